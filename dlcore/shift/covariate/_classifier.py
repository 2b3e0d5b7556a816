"""The domain classifier: a logistic regression that tells, at no cost, how it does on rows it was not fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from dlcore._newton import Derivatives, minimize_convex
from dlcore._regression import minimize
from dlcore._torch import solve_triangular

from ._features import Features

__all__ = ["Classifier", "Rows", "best_of", "fit_to_all", "held_out"]

TOLERANCE = 1e-4  # of the log-likelihood; the step after the last would gain about its square
SMALLEST_CURVATURE = 1e-17  # of a row's log-loss: below the rounding of probabilities near 1
REMEDY = "raise penalty, or drop columns of source and target that depend on others"


class Classifier(NamedTuple):
    """Parameters, the bias last, and penalties; and of each row, its logit and log-loss as all others have it."""

    params: Tensor
    penalties: Tensor
    logits: Tensor
    losses: Tensor
    loss: float


@dataclass(frozen=True)
class Rows:
    """The features of the source's rows and then of the target's, computed where they are read."""

    source: Tensor
    target: Tensor
    features: Features
    scale: Tensor

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.source) + len(self.target)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Return the features of some rows, in their order."""
        n = len(self.source)
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            x = torch.cat([self.source[start : min(stop, n)], self.target[max(start - n, 0) : max(stop - n, 0)]])
        else:
            of_source, of_target = self.source[rows.clamp(max=n - 1)], self.target[(rows - n).clamp(min=0)]
            x = torch.where((rows < n)[:, None], of_source, of_target)
        return self.features(x) * self.scale

    @property
    def shape(self) -> torch.Size:
        """That of all features."""
        return torch.Size([len(self), self.features.size])

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.source.device


def best_of(
    features: Tensor,
    n_source: int,
    paths: Sequence[Tensor],
    *,
    within: Classifier | None = None,
    least: float = torch.inf,
) -> Classifier:
    """Return the classifier whose penalties, of those along a path, do best on rows left out.

    The path leads from strong penalties to weak ones, and ends where the loss rises above the least so far: from there
    on, it goes on rising. It begins at a classifier on the first columns, if one is given, which is what penalties
    beyond all bounds leave.
    """
    rows = pad(features, (0, 1), value=1.0)
    y = (torch.arange(len(rows), device=rows.device) >= n_source).double()
    best, params = None, rows.new_zeros(rows.shape[1])
    if within is not None:
        params[: len(within.params) - 1], params[-1] = within.params[:-1], within.params[-1]
    for penalties in paths:
        found = held_out(rows, y, pad(penalties, (0, 1)), params)
        best = found if best is None or found.loss < best.loss else best
        if found.loss >= least:
            break
        least, params = found.loss, found.params
    assert best is not None  # noqa: S101  # there is a path
    return best


def held_out(rows: Tensor, y: Tensor, penalties: Tensor, params: Tensor) -> Classifier:
    r"""Fit a classifier by Newton's method, and ask it about each row as if it had been fitted to all others.

    Leaving row :math:`i` out moves the minimum by one Newton step, in which all second derivatives but this row's
    stay: its logit becomes :math:`z_i + (p_i - y_i)\,h_i / (1 - v_i h_i)` with
    :math:`h_i = \mathbf{x}_i^\top\mathbf{H}^{-1}\mathbf{x}_i` and :math:`v_i = p_i(1 - p_i)`.
    """

    def objective(params: Tensor) -> tuple[Tensor, Derivatives]:
        logits = rows @ params
        p = torch.sigmoid(logits)

        def derivatives() -> tuple[Tensor, Tensor]:
            gradient = rows.mT @ (p - y) + penalties * params
            curvature = (p * (1 - p)).clamp_min(SMALLEST_CURVATURE)
            return gradient, rows.mT @ (curvature[:, None] * rows) + torch.diag(penalties)

        return softplus(logits).sum() - y @ logits + penalties @ (params * params) / 2, derivatives

    params, factor = minimize_convex(objective, params, tolerance=TOLERANCE, remedy=REMEDY)
    logits = rows @ params
    p = torch.sigmoid(logits)
    leverage = solve_triangular(factor, rows.mT, upper=False).square_().sum(0)
    logits = logits + (p - y) * leverage / (1 - p * (1 - p) * leverage).clamp_min(1e-12)
    losses = softplus(logits) - y * logits
    return Classifier(params, penalties[:-1], logits, losses, float(losses.mean()))


def fit_to_all(source: Tensor, target: Tensor, features: Features, near: Classifier, shift: float) -> Tensor:
    """Return the parameters for all rows, where the search for those of a sample has ended near them.

    One penalty for all columns of another scale is what another penalty for each column is.
    """
    penalty = float(near.penalties[0])
    scale = (penalty / near.penalties).sqrt()
    start = torch.cat([near.params[:-1] / scale, near.params[-1:] + shift])
    y = torch.arange(len(source) + len(target), device=source.device).ge_(len(source))
    rows = Rows(source, target, features, scale)
    (params,) = minimize(
        rows, y.double(), None, penalty=penalty, k=1, link=torch.sigmoid, subtract=Tensor.sub_, start=start[None]
    )
    return torch.cat([params[:-1] * scale, params[-1:]])
