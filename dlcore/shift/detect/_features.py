"""The Kolmogorov–Smirnov test of each feature."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ._result import ShiftTest, check_samples

EXACT = 2000  # pooled rows up to which the null distribution is exact


def ks_test(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, correction: Literal["holm", "bonferroni"] = "holm"
) -> ShiftTest:
    r"""Return whether two samples differ in a feature, by the Kolmogorov–Smirnov test of each.

    .. math::

        D_j = \max_t \bigl|F_{x_j}(t) - F_{y_j}(t)\bigr|, \qquad
        p = \min\bigl(1,\ d\,\min_j p_j\bigr)

    where :math:`F_{x_j}` and :math:`F_{y_j}` are the shares of values up to t of feature j of d, and :math:`p_j` the
    p-value of that feature alone: of all :math:`\binom{n+m}{n}` ways to split its pooled values in two samples, the
    share of those with at least this :math:`D_j`. This is exact also where values tie. With more than 2000
    rows it is Kolmogorov's limit,

    .. math::

        p_j = 2 \sum_{k=1}^{\infty} (-1)^{k-1} e^{-2k^2\lambda^2}, \qquad \lambda = D_j\sqrt{\frac{nm}{n+m}},

    which errs upwards: by 8 % at most at level 0.05 for 300 against 299 rows, by more where values tie.

    The tests of d features are d chances to err. Bonferroni multiplies each p-value by d, Holm the i-th smallest by
    :math:`d - i + 1`, which finds more features at the same level. The verdict on all features is the same.

    Parameters
    ----------
    x, y : Tensor, shape (n, d) and (m, d)
        The samples.
    correction : {"holm", "bonferroni"}, default "holm"
        How ``feature_p_values`` are corrected for their number.

    Returns
    -------
    ShiftTest
        The largest :math:`D_j` with the corrected p-value; those of each feature are in ``feature_statistics`` and
        ``feature_p_values``.

    Raises
    ------
    TypeError
        If ``x`` or ``y`` is not a real floating-point tensor, or their dtypes differ.
    ValueError
        If the shapes are not those above, or a value is infinite or NaN.
    ValueError
        If ``correction`` is none of the above.

    See Also
    --------
    scipy.stats.ks_2samp : The same for one feature without ties; for discrete values its p-value is larger.
    mmd_test : Sees how the features depend on each other, too.

    References
    ----------
    .. [1] J. L. Hodges, "The significance probability of the Smirnov two-sample test", *Arkiv för Matematik* 3, 1958.
    .. [2] G. Schröer and D. Trenkler, "Exact and randomization distributions of Kolmogorov–Smirnov tests two or three
       samples", *Computational Statistics & Data Analysis* 20(2), 1995.
    .. [3] S. Holm, "A simple sequentially rejective multiple test procedure", *Scandinavian Journal of Statistics*
       6(2), 1979.

    Examples
    --------
    Of the 20 ways to split 6 values in two halves, 2 set them apart as far as this:

    >>> x, y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[4.0], [5.0], [6.0]])
    >>> test = ks_test(x, y)
    >>> test.statistic, test.p_value
    (1.0, 0.1)
    """
    check_samples(x, y, at_least=1)
    if correction not in {"holm", "bonferroni"}:
        raise ValueError(f"correction must be 'holm' or 'bonferroni', got {correction!r}")
    n, m = len(x), len(y)
    distances, ends = _distances(x.detach(), y.detach())
    p = _exact_p_values(distances, ends, n, m) if n + m <= EXACT else _limit(distances, n, m)
    adjusted = _holm(p) if correction == "holm" else (len(p) * p).clamp(max=1)
    return ShiftTest(
        name="Kolmogorov–Smirnov D",
        statistic=distances.max().item() / (n * m),
        p_value=adjusted.min().item(),
        sizes=(n, m),
        feature_statistics=distances.double() / (n * m),
        feature_p_values=adjusted,
    )


def _distances(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return n·m·D of each feature as an integer, (d,), and which of its ordered values end a tie, (d, n + m)."""
    n, m = len(x), len(y)
    values, order = torch.cat([x, y]).T.sort(dim=1)
    ends = torch.ones_like(order, dtype=torch.bool)
    ends[:, :-1] = values[:, 1:] != values[:, :-1]
    steps = torch.where(order < n, m, -n).cumsum(1)  # n·m·(F_x − F_y), without rounding
    return torch.where(ends, steps.abs(), 0).amax(1), ends


def _exact_p_values(distances: Tensor, ends: Tensor, n: int, m: int) -> Tensor:
    """Return the share of the splits of each feature's values that reach its distance.

    All splits are followed at once, from the smallest value upwards: ``going[f, i]`` is the share of those that have
    put i values in the first sample and have not reached the distance of feature f. All terms are positive, so that
    small p-values are as exact as large ones.
    """
    total = n + m
    in_x = torch.arange(n + 1, dtype=torch.float64, device=distances.device)
    before = torch.arange(total, dtype=torch.float64, device=distances.device)[:, None]
    to_x, to_y = (n - in_x) / (total - before), (m - (before - in_x)).clamp(min=0) / (total - before)
    apart = (in_x * total - (before + 1) * n).abs()
    limits = torch.where(ends, distances[:, None], math.inf)
    going = torch.zeros(len(distances), n + 1, dtype=torch.float64, device=distances.device)
    going[:, 0] = 1
    arrived = torch.zeros_like(going)
    for t in range(total):
        taken = going[:, :-1] * to_x[t, :-1]
        going = going * to_y[t]
        going[:, 1:] += taken
        reached = apart[t] >= limits[:, t : t + 1]
        arrived += going * reached
        going = going.masked_fill_(reached, 0)
    return arrived.sum(1).clamp(max=1)


def _limit(distances: Tensor, n: int, m: int) -> Tensor:
    """Return the p-values for many rows: one of two series for Kolmogorov's distribution, where each converges fast."""
    argument = distances.double()[:, None] / math.sqrt(n * m * (n + m))
    k = torch.arange(1, 9, dtype=torch.float64, device=distances.device)
    upper = -2 * ((-1) ** k * (-2 * (k * argument) ** 2).exp()).sum(1)
    below = math.sqrt(2 * math.pi) / argument * (-(((2 * k - 1) * math.pi / argument) ** 2) / 8).exp()
    return torch.where(argument[:, 0] < 1, 1 - below.nan_to_num(0).sum(1), upper)


def _holm(p: Tensor) -> Tensor:
    """Return the p-values as Holm corrects them: never smaller than that of a smaller one."""
    ordered, order = p.sort()
    corrected = (ordered * torch.arange(len(p), 0, -1, device=p.device)).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).scatter_(0, order, corrected)
