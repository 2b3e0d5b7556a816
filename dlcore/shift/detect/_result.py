"""The result of a two-sample test, and the null distribution by permutation that most of them share."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dlcore._checks import check_floating, check_number, check_same_dtype, check_values
from dlcore._shards import check_rows
from dlcore._torch import loadable

from ._effect import ALPHA

__all__ = [
    "MAX_SPLIT_ENTRIES",
    "ShiftTest",
    "check_level",
    "check_samples",
    "draw_splits",
    "holm",
    "largest_of",
    "permutation_p_value",
    "pooled",
]

SMALL_SHARE = 0.05  # if the effect is smaller, no share of rows that it compares differs by 5 percentage points
MAX_SPLIT_ENTRIES = 2**22  # entries of the matrix of permuted indicators that is drawn at a time


@loadable
@dataclass(frozen=True, eq=False)
class ShiftTest:
    r"""The result of a two-sample test as Python numbers; ``print`` shows it as a sentence.

    Parameters
    ----------
    name : str
        The name of the statistic.
    statistic : float
        The measured difference; a larger one is stronger evidence that the distributions differ.
    p_value : float, in (0, 1]
        The probability of a difference at least as large if both samples come from one distribution or, with a
        tolerance, from distributions that differ by no more than that.
    sizes : tuple of two int
        The sizes of the samples.
    null : Tensor, shape (n_permutations,), or None
        For a permutation test, the statistic of each random permutation.
    accuracy : float, in [0, 1], or None
        For the classifier test, its balanced accuracy on held-out examples; guessing gives one half.
    bandwidth : float or None
        For the maximum mean discrepancy, the bandwidth of the kernel.
    feature_statistics : Tensor, shape (d,), or None
        For the Kolmogorov–Smirnov test, the statistic of each feature.
    feature_p_values : Tensor, shape (d,), or None
        For the Kolmogorov–Smirnov test, the p-value of each feature, corrected for the number of features.
    feature_intervals : Tensor, shape (d, 2), or None
        For the Kolmogorov–Smirnov test, the limits of each feature's D, which hold for all features together.
    tolerance : float, at least 0
        The largest effect that does not matter.
    effect_name : str
        The name of the effect.
    effect : float, at least 0, or None
        The size of the difference, as measured; 0 if the distributions are equal.
    interval : tuple of two float, or None
        A lower and an upper limit of the effect between the distributions. Each errs in at most 5 % of cases, so this
        is a 90 % interval. Its limits decide the verdict.

    Examples
    --------
    >>> test = ShiftTest("χ²", 9.0, 0.004, (100, 200), effect_name="total variation", effect=0.25, interval=(0.1, 0.5))
    >>> test.rejects(0.05), test.rejects(0.001)
    (True, False)
    >>> print(test)
    The samples differ: total variation 0.25 (between 0.1 and 0.5), χ² 9 of 100 and 200 examples, p = 0.004.
    """

    name: str
    statistic: float
    p_value: float
    sizes: tuple[int, int]
    null: Tensor | None = None
    accuracy: float | None = None
    bandwidth: float | None = None
    feature_statistics: Tensor | None = None
    feature_p_values: Tensor | None = None
    feature_intervals: Tensor | None = None
    tolerance: float = 0.0
    effect_name: str = "effect"
    effect: float | None = None
    interval: tuple[float, float] | None = None

    def rejects(self, alpha: float = 0.05) -> bool:
        """Return whether the p-value is at most ``alpha``, which happens at most that often if there is no shift."""
        return self.p_value <= check_level(alpha)

    def threshold(self, alpha: float = 0.05) -> float:
        """Return the number that the statistic of a permutation test must exceed to reject at level ``alpha``.

        It is infinite if there are fewer than ``1 / alpha - 1`` permutations, since then no statistic rejects.
        """
        if self.tolerance:
            raise ValueError(f"threshold needs a test of no difference, with tolerance 0, got {self.tolerance}")
        if self.null is None:
            raise ValueError(f"threshold needs a null distribution by permutation, which {self.name} has not")
        ordered = self.null.sort(descending=True).values
        ranks = torch.arange(1, len(ordered) + 1, dtype=torch.float64)
        rejecting = int((ranks / (len(ordered) + 1) <= check_level(alpha)).sum())  # p-values above the i-th largest
        return ordered[rejecting - 1].item() if rejecting else math.inf

    @property
    def finding(self) -> str:
        """The effect with its limits, and the statistic if that is another number."""
        statistic = f"{self.name} {self.statistic:.3g}"
        if self.interval is None:
            return statistic
        lower, upper = self.interval
        limits = f"(between {lower:.2g} and {upper:.2g})"
        if self.effect_name == self.name:
            return f"{statistic} {limits}"
        return f"{self.effect_name} {self.effect:.3g} {limits}, {statistic}"

    @property
    def verdict(self) -> str:
        """One sentence with the result at level 0.05."""
        n, m = self.sizes
        found = f"{self.finding} of {n} and {m} examples, p = {self.p_value:.2g}"
        if self.accuracy is not None and self.accuracy > 0.5:
            found += f", classified with accuracy {self.accuracy:.2f}"
        if self.rejects(ALPHA) and self.feature_p_values is not None:
            different = [str(place) for place, p in enumerate(self.feature_p_values) if p <= ALPHA]
            found += f", in {'feature' if len(different) == 1 else 'features'} {', '.join(different)}"
        return f"{self._conclusion()}: {found}."

    def _conclusion(self) -> str:
        """Return what the test and the limits of the effect show."""
        upper = self.interval[1] if self.interval else math.inf
        if self.tolerance:
            if self.rejects(ALPHA):
                return f"The samples differ by more than {self.tolerance:g}"
            if upper <= self.tolerance:
                return f"The samples differ by at most {self.tolerance:g}"
            return f"Too few examples to tell whether the samples differ by more than {self.tolerance:g}"
        if self.rejects(ALPHA):
            little = upper < SMALL_SHARE and self.bandwidth is None  # the MMD is no difference of shares
            return "The samples differ" + (", but by little" if little else "")
        rest = (
            "which does not show that there is none" if self.interval is None else f"but one of {upper:.2g} is possible"
        )
        return f"No difference found, {rest}"

    def __str__(self) -> str:
        """Return the verdict."""
        return self.verdict


def check_level(alpha: float) -> float:
    """Return the level; raise TypeError or ValueError unless it is a number in (0, 1)."""
    check_number("alpha", alpha, "in (0, 1)", lambda alpha: 0 < alpha < 1)
    return alpha


def check_samples(x: Tensor, y: Tensor, at_least: int, **options: object) -> None:
    """Raise TypeError or ValueError unless the samples are finite, with equally many columns and enough rows.

    If their rows are sharded, the options must be the same on all processes.
    """
    check_rows(x=x, y=y, **options)
    check_floating(x=x, y=y)
    check_same_dtype(x=x, y=y)
    for name, sample in (("x", x), ("y", y)):
        if sample.dim() != 2 or len(sample) < at_least or sample.shape[1] == 0:
            raise ValueError(f"{name} must have shape (n, d) with n >= {at_least}, d >= 1, got {tuple(sample.shape)}")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must have the same number of columns, got {x.shape[1]} and {y.shape[1]}")
    check_values("x", x, "finite", torch.isfinite)
    check_values("y", y, "finite", torch.isfinite)


def pooled(x: Tensor, y: Tensor, dim: int | tuple[()] = ()) -> Tensor:
    """Return both samples divided by their largest value, minus each column's median: a constant becomes exactly 0."""
    both = torch.cat([x.detach(), y.detach()]).double()
    both = both / largest_of(both, dim)
    return both - both.median(0).values


def largest_of(x: Tensor, dim: int | tuple[()] = ()) -> Tensor:
    """Return the largest absolute value, or 1 if all are 0."""
    largest = x.abs().amax(dim)
    return torch.where(largest > 0, largest, 1)


def draw_splits(n: int, total: int, count: int, generator: Generator | None, device: torch.device) -> Iterator[Tensor]:
    """Yield indicators of the first sample, (splits, total): the observed split, then ``count`` random ones."""
    yield torch.arange(total, device=device)[None] < n
    generator_device = device if generator is None else generator.device
    chunk_size = max(MAX_SPLIT_ENTRIES // total, 1)
    for start in range(0, int(count), chunk_size):
        chunk = range(start, min(start + chunk_size, int(count)))
        rows = torch.stack([torch.randperm(total, generator=generator, device=generator_device)[:n] for _ in chunk])
        in_x = torch.zeros(len(rows), total, dtype=torch.bool, device=device)
        yield in_x.scatter_(1, rows.to(device), value=True)


def holm(p: Tensor) -> Tensor:
    """Return Holm's corrected p-values: d − i + 1 times the i-th smallest, or the one before it if that is larger."""
    ordered, order = p.sort()
    corrected = (ordered * torch.arange(len(p), 0, -1, device=p.device)).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).scatter_(0, order, corrected)


def permutation_p_value(statistics: Tensor, tie: float) -> float:
    r"""Return :math:`(1 + k) / (1 + B)`, where k of the B later entries reach the first, up to ``tie`` below it."""
    as_large = statistics[1:] >= statistics[0] - tie
    return (1 + int(as_large.sum())) / len(statistics)
