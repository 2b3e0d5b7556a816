"""What a two-sample test says, and the null distribution by permutation that most of them share."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dlcore._checks import check_floating, check_number, check_same_dtype, check_values

__all__ = ["ShiftTest", "check_samples", "draw_splits", "largest_of", "permutation_p_value", "pooled"]

CHUNK = 2**22  # entries of the permutations that are drawn at a time


@dataclass(frozen=True, eq=False)
class ShiftTest:
    r"""What a two-sample test says, as Python numbers; ``print`` shows it in a sentence.

    Parameters
    ----------
    name : str
        What was measured.
    statistic : float
        The difference that was measured; the larger, the more the samples differ.
    p_value : float, in (0, 1]
        The chance of a statistic at least as large if both samples come from one distribution.
    sizes : tuple of two int
        The sizes of the samples.
    null : Tensor, shape (n_permutations,), or None
        The statistic of each random permutation, for a test by permutation.
    accuracy : float, in [0, 1], or None
        For the classifier test, its balanced accuracy on examples that it has not seen; a half is chance.
    bandwidth : float or None
        For the mean discrepancy, the bandwidth of the kernel.
    feature_statistics : Tensor, shape (d,), or None
        For a test of each feature, its statistics.
    feature_p_values : Tensor, shape (d,), or None
        For a test of each feature, its p-values, corrected for their number.

    Examples
    --------
    >>> test = ShiftTest("MMD²", 0.25, 0.004, (100, 200))
    >>> test.rejects(0.05), test.rejects(0.001)
    (True, False)
    >>> print(test)
    The samples differ: MMD² 0.25 of 100 and 200 examples, p = 0.004.
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

    def rejects(self, alpha: float = 0.05) -> bool:
        """Tell whether the samples differ at level ``alpha``, which errs in that share of all null cases at most."""
        return self.p_value <= _level(alpha)

    def threshold(self, alpha: float = 0.05) -> float:
        """Return what the statistic of a test by permutation must exceed to reject at level ``alpha``.

        It is infinite if there are fewer than ``1 / alpha - 1`` permutations: so few can never reject.
        """
        if self.null is None:
            raise ValueError(f"threshold needs a null distribution by permutation, which {self.name} has not")
        allowed = math.floor(_level(alpha) * (len(self.null) + 1) * (1 + 1e-12)) - 1
        return self.null.sort(descending=True).values[allowed].item() if allowed >= 0 else math.inf

    @property
    def verdict(self) -> str:
        """One sentence that says what was found at level 0.05."""
        n, m = self.sizes
        found = f"{self.name} {self.statistic:.3g} of {n} and {m} examples, p = {self.p_value:.2g}"
        if self.accuracy is not None and self.accuracy > 0.5:
            found += f", told apart with accuracy {self.accuracy:.2f}"
        if not self.rejects():
            return f"No difference found, which does not show that there is none: {found}."
        if self.feature_p_values is not None:
            different = [str(place) for place, p in enumerate(self.feature_p_values) if p <= 0.05]
            found += f", in {'feature' if len(different) == 1 else 'features'} {', '.join(different)}"
        return f"The samples differ: {found}."

    def __str__(self) -> str:
        """Return the verdict."""
        return self.verdict


def _level(alpha: float) -> float:
    check_number("alpha", alpha, "in (0, 1)", lambda alpha: 0 < alpha < 1)
    return alpha


def check_samples(x: Tensor, y: Tensor, at_least: int) -> None:
    """Raise TypeError or ValueError unless there are two finite samples of as many features, and rows enough."""
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
    """Return both samples over their largest value, less each column's median: what is constant becomes exactly 0."""
    both = torch.cat([x.detach(), y.detach()]).double()
    both = both / largest_of(both, dim)
    return both - both.median(0).values


def largest_of(x: Tensor, dim: int | tuple[()] = ()) -> Tensor:
    """Return the largest absolute value, or 1 if all are 0."""
    largest = x.abs().amax(dim)
    return torch.where(largest > 0, largest, 1)


def draw_splits(n: int, total: int, count: int, generator: Generator | None, device: torch.device) -> Iterator[Tensor]:
    """Yield random choices of n rows among all, (chunk, total), True for the chosen: first the first n rows."""
    drawn_on = device if generator is None else generator.device
    yield torch.arange(total, device=device)[None] < n
    size = max(CHUNK // total, 1)
    for start in range(0, count, size):
        chunk = range(start, min(start + size, count))
        rows = torch.stack([torch.randperm(total, generator=generator, device=drawn_on)[:n] for _ in chunk])
        chosen = torch.zeros(len(rows), total, dtype=torch.bool, device=device)
        yield chosen.scatter_(1, rows.to(device), value=True)


def permutation_p_value(statistics: Tensor, tie: float) -> float:
    r"""Return :math:`(1 + k) / (1 + B)`, where k of B permutations are at least the first entry, or nearly."""
    as_large = statistics[1:] >= statistics[0] - tie
    return (1 + int(as_large.sum())) / len(statistics)
