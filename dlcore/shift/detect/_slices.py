"""One two-sample test for each slice of the rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from jaxtyping import Integer, Num
from torch import Tensor

from dlcore._checks import check_count, check_integer, check_same_dtype
from dlcore._shards import check_rows, gathered
from dlcore._torch import loadable, unique_with_counts

from ._effect import ALPHA
from ._result import ShiftTest, check_level, holm

__all__ = ["SliceTests", "slice_test"]


@loadable
@dataclass(frozen=True, eq=False)
class SliceTests:
    """The result of :func:`slice_test`; ``print`` shows it as a sentence.

    Parameters
    ----------
    slices : tuple of int
        The slices that were tested: first those that differ at level 0.05, and of these first the one whose effect has
        the largest lower limit.
    tests : tuple of ShiftTest
        The test of each slice, in this order.
    p_values : Tensor, shape (len(slices),)
        Their p-values, corrected for the number of slices by Holm's method.
    untested : tuple of int
        The slices with too few rows.

    Examples
    --------
    >>> from dlcore.shift.detect import ks_test
    >>> x, y = torch.arange(40.0).reshape(-1, 1), torch.arange(40.0).reshape(-1, 1)
    >>> y[20:] += 100
    >>> slices = torch.arange(40) // 20
    >>> print(slice_test(ks_test, x, y, x_slices=slices, y_slices=slices))
    1 of 2 slices differs: slice 1, Kolmogorov–Smirnov D 1 (between 0.57 and 1), p = 2.9e-11.
    """

    slices: tuple[int, ...]
    tests: tuple[ShiftTest, ...]
    p_values: Tensor
    untested: tuple[int, ...] = ()

    def rejects(self, alpha: float = 0.05) -> tuple[int, ...]:
        """Return the slices that differ; the probability of naming any that does not is at most ``alpha``."""
        return tuple(name for name, p in zip(self.slices, self.p_values, strict=True) if p <= check_level(alpha))

    @property
    def verdict(self) -> str:
        """A sentence with the slices that differ at level 0.05, the worst first, and one with those not tested."""
        tolerance = self.tests[0].tolerance
        more = f" by more than {tolerance:g}" if tolerance else ""
        different = self.rejects(ALPHA)
        found = f"No slice of {len(self.slices)} was found to differ{more}."
        if different:
            verb = "differs" if len(different) == 1 else "differ"
            listed = [
                f"slice {name}, {test.finding}, p = {p:.2g}"
                for name, test, p in zip(self.slices, self.tests, map(float, self.p_values), strict=True)
            ]
            found = (
                f"{len(different)} of {len(self.slices)} slices {verb}{more}: {'; '.join(listed[: len(different)])}."
            )
        if self.untested:
            found += f" Too few rows to test slices {', '.join(map(str, self.untested))}."
        return found

    def __str__(self) -> str:
        """Return the verdict."""
        return self.verdict


def slice_test(
    test: Callable[..., ShiftTest],
    x: Num[Tensor, "n *d"],
    y: Num[Tensor, "m *d"],
    *,
    x_slices: Integer[Tensor, "n"],
    y_slices: Integer[Tensor, "m"],
    min_rows: int = 10,
    **options: Any,  # noqa: ANN401  # those of the test
) -> SliceTests:
    r"""Return in which slices of the rows two samples differ, by one test for each slice.

    .. math::

        p_{(i)} = \max_{j \le i} \min\bigl(1,\ (s - j + 1)\, p'_{(j)}\bigr)

    where :math:`p'_{(1)} \le \dots \le p'_{(s)}` are the p-values of s slices alone. A slice is a group of rows that is
    of interest by itself, such as those of one hospital or one age group: a shift in it may be too small to show in all
    rows. Each further slice is another chance of a false alarm. With these p-values, which are Holm's, the probability
    of naming any slice that does not differ is at most the level, whatever differs in the others.

    If the rows are sharded over processes, each process gathers all of them and tests every slice.

    Parameters
    ----------
    test : callable
        A test of this module; it is called as ``test(x, y, **options)`` with the rows of each slice.
    x, y : Tensor, shape (n, d) and (m, d), or (n,) and (m,)
        The samples, as the test takes them.
    x_slices, y_slices : Tensor of integers, shape (n,) and (m,)
        The slice of each row.
    min_rows : int, at least 2, default 10
        Slices with fewer rows in one of the samples are not tested.
    **options : Any
        Options of the test, such as ``tolerance`` or ``generator``.

    Returns
    -------
    SliceTests
        The tests and their corrected p-values, the worst slice first.

    Raises
    ------
    TypeError
        If ``test`` is not callable, or ``min_rows`` not an integer.
    TypeError
        If ``x_slices`` or ``y_slices`` is not an integer tensor, or only one of them is of dtype uint64.
    ValueError
        If ``x_slices`` or ``y_slices`` has another shape, or ``min_rows`` is less than 2.
    ValueError
        If no slice has enough rows, or the test has too few permutations to reject in so many slices.

    See Also
    --------
    label_test : Given the slices as labels, shows whether their shares differ.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", *Scandinavian Journal of Statistics*
       6(2), 1979.

    Examples
    --------
    Of three slices, only slice 2 has changed:

    >>> from dlcore.shift.detect import ks_test
    >>> x, slices = torch.arange(90.0).reshape(-1, 1), torch.arange(90) // 30
    >>> y = torch.where(slices[:, None] == 2, x + 15, x)
    >>> result = slice_test(ks_test, x, y, x_slices=slices, y_slices=slices)
    >>> result.slices[0], result.rejects(0.01)
    (2, (2,))
    """
    if not callable(test):
        raise TypeError(f"test must be callable, such as ks_test, got {test!r}")
    # options that are not given count, too: without a generator, the global random state must be the same everywhere
    given = {name: parameter.default for name, parameter in signature(test).parameters.items()} | options
    check_rows(**given | {"x": x, "y": y, "x_slices": x_slices, "y_slices": y_slices, "min_rows": min_rows})
    check_integer(x_slices=x_slices, y_slices=y_slices)
    for name, sample, slices in (("x", x, x_slices), ("y", y, y_slices)):
        if slices.shape != sample.shape[:1]:
            raise ValueError(f"{name}_slices must have shape ({len(sample)},), got {tuple(slices.shape)}")
    check_count("min_rows", min_rows, 2)
    unsigned = torch.uint64 in {x_slices.dtype, y_slices.dtype}
    if unsigned:  # as int64, 2⁶⁴ − 1 would be the slice −1 of another dtype
        check_same_dtype(x_slices=x_slices, y_slices=y_slices)
    x, y, x_slices, y_slices = gathered(x), gathered(y), gathered(x_slices).long(), gathered(y_slices).long()
    names = [int(name) for name in unique_with_counts(torch.cat([x_slices, y_slices]))[0]]
    rows = {name % 2**64 if unsigned else name: (x[x_slices == name], y[y_slices == name]) for name in names}
    tested = [name for name, samples in rows.items() if min(map(len, samples)) >= min_rows]
    if not tested:
        raise ValueError(f"x and y must have a slice with at least {min_rows} rows in both, got none; reduce min_rows")
    tests = [test(*rows[name], **options) for name in tested]
    permutations = min((len(found.null) for found in tests if found.null is not None), default=math.inf)
    if (1 + permutations) * ALPHA < len(tested):
        needed = math.ceil(len(tested) / ALPHA) - 1
        raise ValueError(f"n_permutations must be >= {needed} to reject in {len(tested)} slices, got {permutations}")
    p = holm(torch.tensor([found.p_value for found in tests], dtype=torch.float64))
    lower = [found.interval[0] if found.interval else 0.0 for found in tests]
    worst = sorted(range(len(tests)), key=lambda i: (p[i].item() > ALPHA, -lower[i], p[i].item()))
    return SliceTests(
        slices=tuple(tested[i] for i in worst),
        tests=tuple(tests[i] for i in worst),
        p_values=p[worst],
        untested=tuple(name for name in rows if name not in tested),
    )
