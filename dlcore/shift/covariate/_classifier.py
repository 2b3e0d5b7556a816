"""The domain classifier: a logistic regression of source against target, its features, and its held-out scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad, softplus

from dlcore._logit_losses import LOGISTIC
from dlcore._newton import Derivatives, minimize_convex
from dlcore._regression import minimize
from dlcore._rows import rows_at, set_rows_
from dlcore._shards import local_rows, shards_of
from dlcore._torch import solve_triangular

from ._features import Features, Standard, evenly_spaced_rows, map_rows
from ._groups import Groups, standard_error
from ._paths import PENALTIES, expansion, path_for_added, path_for_columns, path_for_shifted, penalty_path
from ._ratio import LogLinear
from ._scores import DomainScores

__all__ = [
    "MAX_FEATURES",
    "MIN_GAIN",
    "REMEDY",
    "TOLERANCE",
    "Choice",
    "Classifier",
    "DomainRows",
    "best_on_path",
    "choose_features",
    "domain_scores",
    "fit_all_rows",
    "held_out",
    "scores_of_all_rows",
]

MAX_FEATURES = 300  # products or kernels: more are tried only if the caller names them
MIN_GAIN = 2.0  # of the log-loss, in standard errors, for which products or kernels are taken
MAX_FITTED_ROWS = 2**10  # of each domain, to which a classifier that only measures the separability is fitted
TOLERANCE = 1e-4  # of the log-likelihood; the step after the last would gain about its square
SMALLEST_CURVATURE = 1e-17  # of a row's log-loss: below the rounding of probabilities near 1
REMEDY = "raise penalty, or drop columns of source and target that depend on others"


class Classifier(NamedTuple):
    """Parameters (the bias last) and penalties; each row's logit and log-loss, held out; and the mean log-loss."""

    params: Tensor
    penalties: Tensor
    logits: Tensor
    losses: Tensor
    loss: float


class Choice(NamedTuple):
    """Features, their name, and the classifier on them."""

    features: Features
    classifier: Classifier
    name: str


@dataclass(frozen=True)
class DomainRows:
    """The features of the source's rows, followed by the target's, computed when they are read.

    If the rows are sharded, those that this process holds of both are read by a slice. An index has them all.
    """

    source: Tensor
    target: Tensor
    features: Features
    scale: Tensor

    def __len__(self) -> int:
        """Return the number of rows of this process."""
        return len(local_rows(self.source)) + len(local_rows(self.target))

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Return the features of rows given by a slice or by their indices."""
        if isinstance(rows, slice):
            source, target = local_rows(self.source), local_rows(self.target)
            n, (start, stop, _) = len(source), rows.indices(len(self))
            x = torch.cat([source[start : min(stop, n)], target[max(start - n, 0) : max(stop - n, 0)]])
        else:
            n = len(self.source)
            from_source = rows_at(self.source, rows.clamp(max=n - 1))
            x = torch.where((rows < n)[:, None], from_source, rows_at(self.target, (rows - n).clamp(min=0)))
        return self.features(x) * self.scale

    @property
    def shape(self) -> torch.Size:
        """The shape of all features."""
        return torch.Size([len(self.source) + len(self.target), self.features.size])

    @property
    def device(self) -> torch.device:
        """The device of the rows."""
        return self.source.device


def choose_features(
    source: Tensor,
    target: Tensor,
    columns: Standard,
    *,
    candidates: Sequence[str],
    explicit: bool = False,
    penalties: Sequence[float] = PENALTIES,
    linear: Classifier | None = None,
    groups: Groups | None = None,
    generator: Generator | None = None,
) -> Choice:
    """Return the features, the columns or the candidates, and the penalties with the least held-out log-loss.

    A candidate is taken if the caller names it explicitly, or if it is better by two standard errors. The columns keep
    the penalties that are best for them alone, lighter ones for columns whose means differ if these are better.
    ``linear`` is the classifier on the columns, if it is known. Each group is held out as a whole.
    """
    rows, n = torch.cat([source, target]), len(source)
    if linear is None:
        linear = best_on_path(columns(rows), n, path_for_columns(columns, penalties), groups)
        if len(penalties) > 1 and (path := path_for_shifted(linear.penalties, source, target, columns, groups)):
            lighter = best_on_path(columns(rows), n, path, groups, warm_start=linear, best_loss=linear.loss)
            linear = min(linear, lighter, key=lambda classifier: classifier.loss)
    choice = Choice(columns, linear, "linear")
    for name in candidates:
        features = expansion(name, columns, source, target, generator)
        if explicit or features.size <= MAX_FEATURES:
            path = path_for_added(linear.penalties, features, penalties)
            best_loss = math.inf if explicit else linear.loss
            found = best_on_path(features(rows), n, path, groups, warm_start=linear, best_loss=best_loss)
            gain = choice.classifier.losses - found.losses
            if explicit or float(gain.mean()) > MIN_GAIN * standard_error(gain, groups):
                choice = Choice(features, found, name)
    return choice


def domain_scores(
    source: Tensor,
    target: Tensor,
    columns: Standard,
    linear: Classifier | None = None,
    groups: Groups | None = None,
) -> DomainScores:
    """Return held-out scores of a linear or quadratic domain classifier, chosen on evenly spaced rows or whole groups.

    ``linear`` is the classifier on the columns of all rows, if it is known; it is used if the rows are few enough.
    """
    if groups is None:
        source_index, target_index = (evenly_spaced_rows(x, MAX_FITTED_ROWS) for x in (source, target))
    else:  # always the same: the global state must not matter
        source_index, target_index = groups.sample(MAX_FITTED_ROWS, Generator().manual_seed(0))
        groups = groups.at(source_index, target_index)
    if linear is not None and not len(linear.logits) == len(source) + len(target) == len(source_index) + len(
        target_index
    ):
        linear = None
    choice = choose_features(
        rows_at(source, source_index),
        rows_at(target, target_index),
        columns,
        candidates=("quadratic",),
        penalties=penalty_path(groups),
        linear=linear,
        groups=groups,
    )
    return scores_of_all_rows(choice, source, target, source_index, target_index)


def scores_of_all_rows(
    choice: Choice, source: Tensor, target: Tensor, source_index: Tensor, target_index: Tensor
) -> DomainScores:
    """Return the held-out scores of the rows of the choice, and of the others, to which it was not fitted."""
    features, (params, _, logits, *_) = choice.features, choice.classifier
    logit = LogLinear(features, params[:-1], float(params[-1]))
    on_source, on_target = (map_rows(logit, x, features.size) for x in (source, target))
    set_rows_(on_source, source_index, logits[: len(source_index)])
    set_rows_(on_target, target_index, logits[len(source_index) :])
    return DomainScores(on_source, on_target)


def best_on_path(
    features: Tensor,
    n_source: int,
    path: Sequence[Tensor],
    groups: Groups | None = None,
    *,
    warm_start: Classifier | None = None,
    best_loss: float = torch.inf,
) -> Classifier:
    """Return the classifier with the penalties, of those along a path, that have the least held-out log-loss.

    The path leads from strong penalties to weak ones, and ends where the loss rises above the best so far, because it
    goes on rising. ``warm_start`` is a classifier on the first columns: the limit of strong penalties on the others.
    """
    rows = pad(features, (0, 1), value=1.0)
    y = (torch.arange(len(rows), device=rows.device) >= n_source).double()
    best, params = None, rows.new_zeros(rows.shape[1])
    if warm_start is not None:
        params[: len(warm_start.params) - 1], params[-1] = warm_start.params[:-1], warm_start.params[-1]
    for penalties in path:
        found = held_out(rows, y, pad(penalties, (0, 1)), params, groups)
        best = found if best is None or found.loss < best.loss else best
        if found.loss >= best_loss:
            break
        best_loss, params = found.loss, found.params
    assert best is not None  # noqa: S101  # the path is not empty
    return best


def held_out(rows: Tensor, y: Tensor, penalties: Tensor, start: Tensor, groups: Groups | None = None) -> Classifier:
    r"""Fit a classifier by Newton's method, with the logit of each row as if the others alone had been fitted.

    Leaving row :math:`i` out moves the minimum by one Newton step, in which all second derivatives but this row's
    stay: its logit becomes :math:`z_i + (p_i - y_i)\,h_i / (1 - v_i h_i)` with
    :math:`h_i = \mathbf{x}_i^\top\mathbf{H}^{-1}\mathbf{x}_i` and :math:`v_i = p_i(1 - p_i)`. The rows of
    a group are left out together.
    """

    def objective(params: Tensor) -> tuple[Tensor, Derivatives]:
        z = rows @ params

        def derivatives() -> tuple[Tensor, Tensor]:
            p = z.sigmoid()
            v = (p * (1 - p)).clamp_min(SMALLEST_CURVATURE)
            return rows.mT @ (p - y) + penalties * params, rows.mT @ (v[:, None] * rows) + torch.diag(penalties)

        return softplus(z).sum() - y @ z + penalties @ (params * params) / 2, derivatives

    params, factor = minimize_convex(objective, start, tolerance=TOLERANCE, remedy=REMEDY)
    z = rows @ params
    p = z.sigmoid()
    u, v = solve_triangular(factor, rows.mT, upper=False), p * (1 - p)
    if groups is None:
        h = u.square_().sum(0)
        logits = z + (p - y) * h / (1 - v * h).clamp_min(1e-12)
    else:
        logits = z + groups.change_without(u.mT, v, p - y)
    losses = softplus(logits) - y * logits
    return Classifier(params, penalties[:-1], logits, losses, float(losses.mean()))


def fit_all_rows(
    source: Tensor, target: Tensor, features: Features, warm_start: Classifier, bias_shift: float
) -> Tensor:
    """Return the parameters fitted to all rows, from those of a sample.

    Rescaling the columns turns one penalty per column into a single penalty.
    """
    penalty = float(warm_start.penalties[0])
    scale = (penalty / warm_start.penalties).sqrt()
    start = torch.cat([warm_start.params[:-1] / scale, warm_start.params[-1:] + bias_shift])
    rows = DomainRows(source, target, features, scale)
    y = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    y[: len(local_rows(source))] = False
    shards = shards_of(source)
    (params,) = minimize(LOGISTIC, rows, y, None, penalty=penalty, start=start[None], shards=shards)
    return torch.cat([params[:-1] * scale, params[-1:]])
