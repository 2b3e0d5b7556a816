r"""Losses of logits with their derivatives, in forms whose small differences keep all their digits.

A row that the model is sure of has a tiny gradient and a tiny curvature. They decide where a weakly penalized model
ends, so neither may be the difference of two numbers near 1.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import relu

__all__ = ["LOGISTIC", "SOFTMAX", "Loss"]


class Loss(NamedTuple):
    """The derivatives of a loss by the logits z, (k, m), of m rows with targets y, (m,)."""

    gradient: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # (z, y), and a lower bound of each row's loss
    hessian_times: Callable[[Tensor, Tensor, Tensor], Tensor]  # (z, y, direction): one matrix (k, k) for each row
    curvature: Callable[[Tensor, Tensor], Tensor]  # (z, y): the diagonals of these matrices
    growth: Callable[[Tensor, Tensor], Tensor]  # (direction, y): the slope of each row's loss far along a direction


def _logistic_gradient(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\sigma(z) - y` as :math:`(1 - y)\sigma(z) - y\sigma(-z)`, which does not cancel."""
    above, below = z.sigmoid().mul_(1 - y), z.neg().sigmoid_().mul_(y)
    return above - below, (above + below)[0]


def _logistic_curvature(z: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    r"""Return :math:`\sigma(z)\,(1 - \sigma(z))`."""
    return z.sigmoid() * z.neg().sigmoid_()


def _logistic_hessian_times(z: Tensor, y: Tensor, direction: Tensor) -> Tensor:
    return _logistic_curvature(z, y).mul_(direction)


def _logistic_growth(direction: Tensor, y: Tensor) -> Tensor:
    return (relu(direction) - y * direction)[0]


def _softmax_gradient(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return p minus the one-hot label; at the label, this is minus the sum of the other probabilities."""
    errors = z.softmax(0).scatter_(0, y[None], 0)
    wrong = errors.sum(0)
    return errors.scatter_(0, y[None], -wrong[None]), wrong


def _softmax_hessian_times(z: Tensor, y: Tensor, direction: Tensor) -> Tensor:
    """Return (diag(p) - ppᵀ)u. A constant in u changes nothing; the one that makes u 0 at the label avoids rounding."""
    p, u = z.softmax(0), direction - direction.gather(0, y[None])
    return p.mul_(u.sub_((p * u).sum(0)))


def _softmax_curvature(z: Tensor, y: Tensor) -> Tensor:
    """Return p(1 - p), with 1 - p at the label as the sum of the other probabilities."""
    p = z.softmax(0)
    wrong = p.scatter(0, y[None], 0).sum(0, keepdim=True)
    return (p * (1 - p)).scatter_(0, y[None], p.gather(0, y[None]) * wrong)


def _softmax_growth(direction: Tensor, y: Tensor) -> Tensor:
    return direction.amax(0) - direction.gather(0, y[None])[0]


LOGISTIC = Loss(_logistic_gradient, _logistic_hessian_times, _logistic_curvature, _logistic_growth)
SOFTMAX = Loss(_softmax_gradient, _softmax_hessian_times, _softmax_curvature, _softmax_growth)
