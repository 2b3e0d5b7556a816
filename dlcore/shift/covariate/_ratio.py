"""A density ratio, and what to think of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating
from dlcore.importance import WeightReport, diagnose, effective_sample_size

from ._samples import accuracy_of, area_under_curve, in_blocks

__all__ = ["FEW", "Apart", "DensityRatio", "LogLinear", "LogRatio", "RatioReport", "ratio_on", "report_on"]

SEPARATE = 0.98  # normal distributions three standard deviations apart, where 8103 examples are worth one
FEW = 10  # rows of the target below which no ratio is trusted
LEFT = 0.07  # of accuracy, above chance: as of normal distributions a third of a standard deviation apart
SELDOM = math.sqrt(-math.log(0.01) / 8)  # by Smirnov's limit for the largest difference of two distribution functions
TOLERATED = 0.1  # how far the mean weight may be off 1 before the weights are divided by it


@dataclass(frozen=True, eq=False)
class LogRatio:
    r"""A map of points to the logarithm of a ratio, in float64.

    Parameters
    ----------
    unscaled : callable
        Maps points, shape (\*, d), to the logarithm of the ratio up to a constant, shape (\*).
    columns : int
        The number d of columns that the points have.
    size : int
        How many numbers are needed at a time for each point.
    log_scale : float, default 0
        The constant.

    See Also
    --------
    DensityRatio : Holds it, and guards what it is called with.

    Examples
    --------
    >>> LogRatio(lambda x: x[..., 0], columns=1, size=1, log_scale=2.0)(torch.tensor([[1.0]]))
    tensor([3.])
    """

    unscaled: Callable[[Tensor], Tensor]
    columns: int
    size: int
    log_scale: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logarithm of the ratio at some points, in float64."""
        return self.unscaled(x) + self.log_scale


class Apart(NamedTuple):
    """The scores that a classifier of the domains gives to rows that it was not fitted to, and which of the source."""

    places: Tensor
    of_source: Tensor
    of_target: Tensor

    def weighted(self, weights: Tensor) -> tuple[float, float]:
        """Return how well the weighted source is told from the target, and how well chance alone may tell it."""
        here = weights[self.places].clamp_min(torch.finfo(weights.dtype).tiny)  # where none counts, all count alike
        accuracy = accuracy_of(self.of_source, self.of_target, here)
        return accuracy, 0.5 + SELDOM * math.sqrt(1 / float(effective_sample_size(here)) + 1 / len(self.of_target))


@dataclass(frozen=True)
class LogLinear:
    """A log-ratio that is linear in features."""

    features: Callable[[Tensor], Tensor]
    weight: Tensor
    bias: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the log-ratio at some points, in float64."""
        return self.features(x) @ self.weight + self.bias


@dataclass(frozen=True)
class RatioReport(WeightReport):
    r"""What the weights say about themselves, and the two samples about the weights, as Python numbers.

    Parameters
    ----------
    n : int
        The number of weights.
    effective_sample_size : float, in {0} or [1, n]
        How many examples of equal weight would do as well.
    mean_weight : float, in [0.9, 1.1]
        The mean of the weights.
    largest_weight : float, in [0, inf)
        The largest weight.
    pareto_shape : float
        How heavy the tail is; NaN where there is no tail to fit.
    n_target : int
        The number of rows of the target.
    separability : float, in [½, 1]
        How well a classifier tells the domains apart: how often, of one row of each that it was not fitted to, it
        takes the right one for the target's. About ½ where they are the same, or where it does worse than to guess; 1
        where they do not overlap.
    weighted_accuracy, accuracy_by_chance : float, in [½, 1]
        How well the same classifier tells the weighted source from the target: the mean of the shares of both that it
        takes rightly. About ½ if the weights make the source look like the target; and what chance alone exceeds once
        in a hundred times.
    features : str
        What the log-ratio is linear in, or the kernel that the ratio is a sum of.

    See Also
    --------
    dlcore.importance.WeightReport : The part that the weights alone know.

    Examples
    --------
    Separable domains can have weights that look healthy. The report is not deceived:

    >>> weights, domains = (400, 390.0, 1.0, 1.3, 0.2), {"n_target": 400, "accuracy_by_chance": 0.55}
    >>> RatioReport(*weights, **domains, separability=1, weighted_accuracy=1, features="linear").verdict
    'Do not trust these weights: a classifier tells the domains apart in 100% of pairs, so they hardly overlap.'

    Nor by those that leave the domains as far apart as they were:

    >>> RatioReport(*weights, **domains, separability=0.8, weighted_accuracy=0.75, features="linear").verdict
    'Do not trust these weights: a classifier still tells the weighted source from the target, with accuracy 0.75.'
    """

    n_target: int
    separability: float
    weighted_accuracy: float
    accuracy_by_chance: float
    features: str

    def _objection(self) -> str:
        """Return what speaks against the weights, or nothing."""
        if self.separability >= SEPARATE:
            return f"a classifier tells the domains apart in {self.separability:.0%} of pairs, so they hardly overlap"
        if self.n_target < FEW:
            return f"the target has {self.n_target} row{'' if self.n_target == 1 else 's'}, fewer than ten"
        if objection := super()._objection():
            return objection
        if self.weighted_accuracy > self.accuracy_by_chance + LEFT:
            accuracy = f"{self.weighted_accuracy:.2f}"
            return f"a classifier still tells the weighted source from the target, with accuracy {accuracy}"
        return ""

    def __str__(self) -> str:
        """Return the report in lines."""
        *lines, verdict = super().__str__().splitlines()
        trusted = min(self.accuracy_by_chance + LEFT, 1.0)
        added = (
            f"  rows of the target     {self.n_target}",
            f"  domains told apart     {self.separability:.1%} of pairs (trusted below {SEPARATE:.0%})",
            f"  once weighted          with accuracy {self.weighted_accuracy:.2f} (trusted up to {trusted:.2f})",
            f"  features               {self.features}",
        )
        return "\n".join([*lines, *added, verdict])


@dataclass(frozen=True, eq=False)
class DensityRatio:
    r"""The estimated ratio of the target's density to the source's: weights, a function of new points, and a report.

    Parameters
    ----------
    weights : Tensor, shape (n,), >= 0
        The ratio at the rows of the source, of mean 1 to a tenth, with the dtype of the source.
    report : RatioReport
        How far the weights can be trusted, in numbers and in a sentence.
    model : LogRatio
        What maps points to the logarithm of the ratio.

    See Also
    --------
    dlcore.risk.importance_weighted_risk : What the weights are for.
    dlcore.importance.clip_weights : For weights whose tail is too heavy.

    Examples
    --------
    >>> import dlcore
    >>> source, target = torch.tensor([[0.0], [0.0], [1.0]]), torch.tensor([[0.0], [1.0], [1.0]])
    >>> ratio = dlcore.shift.covariate.logistic_ratio(source, target, features="linear", penalty=1e-9)
    >>> ratio.weights, ratio(torch.tensor([1.0]))
    (tensor([0.5000, 0.5000, 2.0000]), tensor(2.))
    """

    weights: Float[Tensor, "n"]
    report: RatioReport
    model: LogRatio

    def log_ratio(self, x: Float[Tensor, "*points d"]) -> Float[Tensor, "*points"]:
        r"""Return the logarithm of the ratio at any points, shape (\*, d); it is differentiable in them."""
        return self._in_float64(x).to(x.dtype)

    def __call__(self, x: Float[Tensor, "*points d"]) -> Float[Tensor, "*points"]:
        r"""Return the ratio at any points, shape (\*, d); it is differentiable in them."""
        return self._in_float64(x).exp().to(x.dtype)

    def _in_float64(self, x: Tensor) -> Tensor:
        check_floating(x=x)
        if x.dim() == 0 or x.shape[-1] != self.model.columns:
            raise ValueError(f"x must have shape (*, {self.model.columns}), got {tuple(x.shape)}")
        return self.model(x)


def ratio_on(
    source: Tensor,
    model: LogRatio,
    *,
    n_target: int,
    apart: Sequence[Apart],
    features: str,
    tolerated: float = TOLERATED,
) -> DensityRatio:
    """Return the ratio with its weights, divided by their mean if that is off 1 by more than is tolerated."""
    log_weights = in_blocks(model, source, model.size)
    log_mean = float(log_weights.logsumexp(0)) - math.log(len(source))
    if not abs(math.expm1(min(log_mean, 1.0))) <= tolerated:
        model = replace(model, log_scale=model.log_scale - log_mean)
        log_weights -= log_mean
    weights = log_weights.exp()
    return DensityRatio(weights.to(source.dtype), report_on(weights, n_target, apart, features), model)


def report_on(weights: Tensor, n_target: int, apart: Sequence[Apart], features: str) -> RatioReport:
    """Return the report on weights, given how classifiers tell the domains apart: the one that tells most counts."""
    accuracy, by_chance = max((judge.weighted(weights) for judge in apart), key=lambda told: told[0] - told[1])
    return RatioReport(
        **asdict(diagnose(weights)),
        n_target=n_target,
        separability=max(0.5, *(area_under_curve(judge.of_source, judge.of_target) for judge in apart)),
        weighted_accuracy=accuracy,
        accuracy_by_chance=by_chance,
        features=features,
    )
