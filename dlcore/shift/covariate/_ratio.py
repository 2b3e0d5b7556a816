"""A density ratio, and the report that says whether to trust it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from dlcore._checks import check_floating, has_values
from dlcore._rows import row_logsumexp, row_max, row_sum
from dlcore._shards import as_rows_of, check_rows, local_rows
from dlcore._torch import loadable, unique
from dlcore.importance import WeightReport, diagnose

from ._balance import Balance, balance_of
from ._features import Standard, map_rows
from ._groups import Groups, effective_groups, group_means
from ._repeats import repeated_rows
from ._scores import SUPPORTED_LOG_RATIO, DomainScores, accuracy_by_chance

__all__ = [
    "MIN_TARGET_ROWS",
    "DensityRatio",
    "LogLinear",
    "LogRatio",
    "RatioReport",
    "ratio_with_report",
    "report_on",
]

MAX_SEPARABILITY = 0.98  # of normal distributions three standard deviations apart: 8103 examples then count as one
MIN_TARGET_ROWS = 10
MAX_EXCESS_ACCURACY = 0.07  # above chance: of normal distributions a third of a standard deviation apart
MAX_UNSUPPORTED = 0.05  # share of the target's rows
MAX_HIDDEN_DIFFERENCE = 0.5  # standard deviations, by which the mean of a column may differ by chance
MAX_DIFFERENCE_OF_FEW_ROWS = 0.25  # standard deviations: tolerated where chance may hide more (Stuart 2010)
NORMAL_QUANTILE_99 = NormalDist().inv_cdf(0.995)  # two-sided
MIN_POINTS_IN_BLOCKS = 1000  # with fewer, blocks would save no memory that matters
MAX_MEAN_ERROR = 0.1  # of the weights: beyond it, they are divided by their mean


@loadable
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
        The number of features computed for each point, which sets the size of a block.
    log_scale : float, default 0
        The constant.

    See Also
    --------
    DensityRatio : Holds it, and checks the points.

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


@loadable
@dataclass(frozen=True)
class LogLinear:
    """A log-ratio that is linear in features."""

    features: Callable[[Tensor], Tensor]
    weight: Tensor
    bias: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the log-ratio at some points, in float64."""
        return self.features(x) @ self.weight + self.bias


@loadable
@dataclass(frozen=True)
class RatioReport(WeightReport):
    r"""Diagnostics of the weights and of the two samples, as Python numbers.

    Parameters
    ----------
    n : int
        The number of weights; if rows are grouped, the number of groups in the source.
    effective_sample_size : float, in {0} or [1, n]
        The number of examples of equal weight with the same variance of a mean; of groups, as if the rows of a group
        were the same.
    mean_weight : float, in [0.9, 1.1]
        The mean of the weights.
    largest_weight : float, in [0, inf)
        The largest weight.
    pareto_shape : float
        How heavy the tail is; NaN where there is no tail to fit, and for kernel means, whose weights are not values of
        a ratio.
    n_target : int
        The number of rows of the target, or of its groups.
    n_unsupported : int
        The number of target rows whose ratio is more than twice the largest weight of the source, so that no source row
        represents them; for kernel means, the odds of the classifier take the place of the ratio, and for ``kliep``,
        which makes the ratio large at these rows, both must say so.
    n_repeated : int
        The number of rows that equal an earlier row of their sample, but of another group, if this is not explained by
        columns of few values: features and penalties are chosen as if they were independent, and the effective sample
        size counts them all.
    separability : float, in [½, 1]
        How well a classifier separates the domains: the share of pairs of held-out rows, one of each domain, in which
        the target's has the larger score. About ½ if the domains are the same, or if the classifier does worse than
        a guess; 1 if they do not overlap.
    weighted_accuracy, accuracy_by_chance : float, in [½, 1]
        The balanced accuracy with which the same classifier separates the weighted source from the target: about ½ if
        the weights make the source look like the target. By chance alone, it exceeds ``accuracy_by_chance`` once in
        a hundred times.
    balance : Balance
        The mean of each column in the weighted source and in the target.
    features : str
        The features in which the log-ratio is linear, or the kernel of which the ratio is a sum.
    effective_target_size : float, in [1, n_target]
        The number of rows of the target; of groups, the number of groups of equal size with the same variance of a
        mean.
    grouped : bool
        Whether the caller gave groups of rows.

    See Also
    --------
    dlcore.importance.WeightReport : The part that depends on the weights alone.

    Examples
    --------
    Separable domains can have weights that look healthy. The report detects them:

    >>> import dlcore
    >>> source = torch.linspace(0, 1, 200).reshape(-1, 1)
    >>> report = dlcore.shift.covariate.kliep(source, source + 2).report
    >>> report.verdict
    'Do not trust these weights: a classifier separates the domains in 100% of pairs, so they hardly overlap.'

    Weights that leave the domains different are detected, too. Here the target lies in the middle of the source, where
    a linear classifier cannot find it:

    >>> report = dlcore.shift.covariate.logistic_ratio(source, source / 4 + 3 / 8, features="linear").report
    >>> round(report.effective_sample_size), round(report.weighted_accuracy, 1)
    (200, 0.9)
    >>> report.trustworthy
    False
    """

    n_target: int
    n_unsupported: int
    n_repeated: int
    separability: float
    weighted_accuracy: float
    accuracy_by_chance: float
    balance: Balance
    features: str
    effective_target_size: float
    grouped: bool

    @property
    def hidden_difference(self) -> float:
        """The standardized difference of a column that chance exceeds once in a hundred times; 0 if none varies."""
        if not bool(self.balance.difference.any()):
            return 0.0
        return NORMAL_QUANTILE_99 * math.sqrt(1 / max(self.effective_sample_size, 1) + 1 / self.effective_target_size)

    @property
    def _too_few_rows(self) -> bool:
        """Whether a column differs by more than is tolerated, while the rows are too few to say that it is chance."""
        largest = float(self.balance.difference.abs().max())
        return self.hidden_difference > MAX_HIDDEN_DIFFERENCE and largest > MAX_DIFFERENCE_OF_FEW_ROWS

    @property
    def _target_rows(self) -> str:
        """The number of rows of the target, or of groups, in words."""
        return f"{self.n_target} {'group' if self.grouped else 'row'}{'' if self.n_target == 1 else 's'}"

    @property
    def trustworthy(self) -> bool:
        """Whether there is no objection to the weights, and enough rows to raise one."""
        return not self._objection() and not self._too_few_rows

    @property
    def verdict(self) -> str:
        """One sentence that says whether to trust the weights, and why not."""
        if not self._objection() and self._too_few_rows:
            return (
                f"Too few rows to tell: a column can differ by {self.hidden_difference:.2g} standard deviations by "
                f"chance, with an effective sample size of {self.effective_sample_size:.3g} and "
                f"{self._target_rows} of the target."
            )
        if self.n_repeated and not self._objection():
            return (
                f"{super().verdict[:-1]}, if the {self.n_repeated} repeated rows are independent; "
                "otherwise pass groups."
            )
        return super().verdict

    def _objection(self) -> str:
        """Return the first reason not to trust the weights, or an empty string."""
        rows = self._target_rows
        weights = super()._objection()
        objections = {
            f"a classifier separates the domains in {self.separability:.0%} of pairs, so they hardly overlap": (
                self.separability >= MAX_SEPARABILITY
            ),
            f"the target has {rows}, fewer than ten": self.n_target < MIN_TARGET_ROWS,
            weights: weights != "",
            f"no source row represents {self.n_unsupported} of the {rows} of the target": (
                self.n_unsupported > MAX_UNSUPPORTED * self.n_target
            ),
            self.balance.objection: self.balance.objection != "",
            "a classifier still separates the weighted source from the target, with accuracy "
            f"{self.weighted_accuracy:.2f}": self.weighted_accuracy > self.accuracy_by_chance + MAX_EXCESS_ACCURACY,
        }
        return next((objection for objection, holds in objections.items() if holds), "")

    def __str__(self) -> str:
        """Return the report in lines."""
        *lines, verdict = super().__str__().splitlines()
        worst = abs(float(self.balance.difference[0]))
        trusted = min(self.accuracy_by_chance + MAX_EXCESS_ACCURACY, 1.0)
        added = (
            f"  {'groups' if self.grouped else 'rows'} of the target".ljust(25)
            + f"{self.n_target} ({self.n_unsupported} not represented)",
            f"  separability           {self.separability:.1%} of pairs (trusted below {MAX_SEPARABILITY:.0%})",
            f"  weighted accuracy      {self.weighted_accuracy:.2f} (trusted up to {trusted:.2f})",
            f"  largest difference     {worst:.2f} standard deviations of column {int(self.balance.columns[0])}",
            f"  features               {self.features}",
        )
        return "\n".join([*lines, *added, verdict])


@loadable
@dataclass(frozen=True, eq=False)
class DensityRatio:
    r"""The estimated ratio of the target's density to the source's: weights, a function of new points, and a report.

    Far from the source, the ratio is an extrapolation and can exceed the largest number: :meth:`log_ratio` stays finite
    there, and ``report.n_unsupported`` counts the rows of the target for which the ratio is no longer represented.

    Parameters
    ----------
    weights : Tensor, shape (n,), >= 0
        The ratio at the rows of the source, with a mean within 0.1 of 1 and the dtype of the source.
    report : RatioReport
        The diagnostics and the verdict.
    model : LogRatio
        The map of points to the logarithm of the ratio.
    groups : tuple of two Tensor of int64, shape (n,) and (m,), optional
        The numbers of the groups of the rows of source and target, if the caller gave groups.

    See Also
    --------
    dlcore.risk.importance_weighted_risk : Uses the weights.
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
    groups: tuple[Integer[Tensor, "n"], Integer[Tensor, "m"]] | None = None

    def log_ratio(self, x: Float[Tensor, "*points d"]) -> Float[Tensor, "*points"]:
        r"""Return the logarithm of the ratio at any points, shape (\*, d); it is differentiable in them."""
        return self._in_float64(x).to(x.dtype)

    def __call__(self, x: Float[Tensor, "*points d"]) -> Float[Tensor, "*points"]:
        r"""Return the ratio at any points, shape (\*, d); it is differentiable in them."""
        return self._in_float64(x).exp().to(x.dtype)

    def _in_float64(self, x: Tensor) -> Tensor:
        check_rows(x=x)
        check_floating(x=x)
        if x.dim() == 0 or x.shape[-1] != self.model.columns:
            raise ValueError(f"x must have shape (*, {self.model.columns}), got {tuple(x.shape)}")
        needs_gradient = torch.is_grad_enabled() and x.requires_grad
        if x.dim() == 2 and len(x) > MIN_POINTS_IN_BLOCKS and has_values(x) and not needs_gradient:
            return map_rows(self.model, x, self.model.size)
        return as_rows_of(x, self.model(local_rows(x)))


def ratio_with_report(
    source: Tensor,
    target: Tensor,
    model: LogRatio,
    *,
    columns: Standard,
    scores: Sequence[DomainScores],
    features: str,
    groups: Groups | None = None,
    max_mean_error: float = MAX_MEAN_ERROR,
    confirm_support: bool = False,
) -> DensityRatio:
    """Return the ratio with its weights and report; the weights are divided by their mean if that is not near 1.

    With ``confirm_support``, a target row lacks support only if the held-out odds of the classifiers say so, too: a
    ratio that was made large at these rows is larger there than at other rows of the target.
    """
    log_weights = map_rows(model, source, model.size)
    log_mean = float(row_logsumexp(log_weights)) - math.log(len(source))
    if not abs(math.expm1(min(log_mean, 1.0))) <= max_mean_error:
        model = replace(model, log_scale=model.log_scale - log_mean)
        log_weights -= log_mean
    beyond = map_rows(model, target, model.size) > float(row_max(log_weights)) + SUPPORTED_LOG_RATIO
    if confirm_support:
        for each in scores:
            beyond &= each.unsupported
    weights = log_weights.exp_()  # as long as the source: no copy
    report = report_on(
        weights,
        source,
        target,
        columns=columns,
        scores=scores,
        features=features,
        unsupported=beyond,
        groups=groups,
    )
    labels = None if groups is None else (groups.source, groups.target)
    return DensityRatio(weights.to(source.dtype), report, model, labels)


def report_on(
    weights: Tensor,
    source: Tensor,
    target: Tensor,
    *,
    columns: Standard,
    scores: Sequence[DomainScores],
    features: str,
    unsupported: Tensor,
    groups: Groups | None = None,
) -> RatioReport:
    """Return the report on weights, using the domain classifier that separates the two samples best."""
    accuracies = (each.weighted_accuracy(weights) for each in scores)
    accuracy, by_chance = max(accuracies, key=lambda pair: pair[0] - pair[1])
    if groups is None:
        diagnosis, n_unsupported = diagnose(weights), int(row_sum(unsupported))
        n_repeated = repeated_rows(source) + repeated_rows(target)
        n_target, effective_target_size = len(target), float(len(target))
    else:
        diagnosis = diagnose(group_means(weights, groups.source))
        n_unsupported = len(unique(groups.target[unsupported]))
        n_repeated = repeated_rows(source, groups.source) + repeated_rows(target, groups.target)
        n_target, effective_target_size = groups.in_each[1], effective_groups(groups.target)
        by_chance = accuracy_by_chance(max(diagnosis.effective_sample_size, 1), effective_target_size)
    return RatioReport(
        **asdict(diagnosis),
        n_target=n_target,
        n_unsupported=n_unsupported,
        n_repeated=n_repeated,
        separability=max(0.5, *(each.separability() for each in scores)),
        weighted_accuracy=accuracy,
        accuracy_by_chance=by_chance,
        balance=balance_of(source, target, weights, columns, groups),
        features=features,
        effective_target_size=effective_target_size,
        grouped=groups is not None,
    )
