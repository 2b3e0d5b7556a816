r"""Losses of logits with their derivatives, in forms whose small differences keep all their digits.

A row whose class the model predicts with near certainty has a tiny gradient and a tiny curvature. With a weak penalty,
these decide where the minimum is, so neither may be computed as the difference of two numbers near 1.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import relu

__all__ = ["LOGISTIC", "SOFTMAX", "Loss"]


class Loss(NamedTuple):
    """The derivatives of a loss by the logits z, (k, m), of m rows with targets y, (m,)."""

    derivatives: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
    """(z, y) to the gradient (k, m), a lower bound of each row's loss (m,), and what the next two need (k, m)."""
    hessian_times: Callable[[Tensor, Tensor, Tensor], Tensor]
    """That, y and a direction (k, m) to the product with the matrix (k, k) of second derivatives of each row."""
    curvature: Callable[[Tensor, Tensor], Tensor]
    """That and y to the diagonals of these matrices (k, m)."""
    growth: Callable[[Tensor, Tensor], Tensor]
    """A direction (k, m) and y to the slope of each row's loss far along the direction (m,)."""


def _logistic_derivatives(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return :math:`\sigma(z) - y`, as :math:`(1 - y)\sigma(z) - y\sigma(-z)`, which does not cancel."""
    y, above, below = y.to(z.dtype), z.sigmoid(), z.neg().sigmoid_()  # y is cast here, because blocks of rows are small
    curvature = above * below
    above, below = above.mul_(1 - y), below.mul_(y)
    return above - below, (above + below)[0], curvature


def _logistic_hessian_times(curvature: Tensor, y: Tensor, direction: Tensor) -> Tensor:  # noqa: ARG001
    return curvature * direction


def _logistic_curvature(curvature: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    return curvature


def _logistic_growth(direction: Tensor, y: Tensor) -> Tensor:
    return (relu(direction) - y.to(direction.dtype) * direction)[0]


def _softmax_derivatives(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return p minus the one-hot label, and p; at the label, p - 1 is minus the sum of the other probabilities."""
    p = z.softmax(0)
    errors = p.scatter(0, y[None], 0)
    wrong = errors.sum(0)
    return errors.scatter_(0, y[None], -wrong[None]), wrong, p


def _softmax_hessian_times(p: Tensor, y: Tensor, direction: Tensor) -> Tensor:
    """Return (diag(p) - ppᵀ)u. A constant in u changes nothing; the one that makes u 0 at the label avoids rounding."""
    u = direction - direction.gather(0, y[None])
    return p * u.sub_((p * u).sum(0))


def _softmax_curvature(p: Tensor, y: Tensor) -> Tensor:
    """Return p(1 - p), with 1 - p at the label as the sum of the other probabilities."""
    wrong = p.scatter(0, y[None], 0).sum(0, keepdim=True)
    return (p * (1 - p)).scatter_(0, y[None], p.gather(0, y[None]) * wrong)


def _softmax_growth(direction: Tensor, y: Tensor) -> Tensor:
    return direction.amax(0) - direction.gather(0, y[None])[0]


LOGISTIC = Loss(_logistic_derivatives, _logistic_hessian_times, _logistic_curvature, _logistic_growth)
SOFTMAX = Loss(_softmax_derivatives, _softmax_hessian_times, _softmax_curvature, _softmax_growth)
