"""The χ² test of class counts, by permutation."""

import math

import torch
from jaxtyping import Integer
from torch import Generator, Tensor

from dlcore._checks import check_count, check_integer, check_same_dtype
from dlcore._shards import check_rows, gathered

from ._effect import ALPHA, check_tolerance, largest_where, limits_of_shares
from ._result import MAX_SPLIT_ENTRIES, ShiftTest, draw_splits, permutation_p_value

RELATIVE_TIE = 1e-9  # of 1 + χ²: statistics this close are equal but for rounding


def label_test(
    x: Integer[Tensor, "n"],
    y: Integer[Tensor, "m"],
    *,
    tolerance: float = 0.0,
    n_permutations: int = 1000,
    generator: Generator | None = None,
) -> ShiftTest:
    r"""Return whether the classes are equally frequent in two samples of labels.

    .. math::

        \chi^2 = \Bigl(\frac1n + \frac1m\Bigr)\sum_{k} \frac{(n_k - n\,\pi_k)^2}{\pi_k}, \qquad
        \pi_k = \frac{n_k + m_k}{n + m}

    where :math:`n_k` and :math:`m_k` count the labels k in each sample. If K of B random permutations of the pooled
    labels have a statistic at least as large, :math:`p = (1 + K)/(1 + B)`. The :math:`\chi^2` distribution is only the
    limit of the null distribution and needs about five expected labels per class; the permutation test keeps its level
    for any counts.

    The size of the difference is the total variation

    .. math::

        \text{TV} = \frac12 \sum_k \Bigl|\frac{n_k}{n} - \frac{m_k}{m}\Bigr|,

    the largest difference in the probability of a set of classes. With a tolerance :math:`\varepsilon`, the test asks
    whether it exceeds that. Then :math:`p = (1 + K)/(1 + B)`, where K of B draws of the noise of the total variation
    reach :math:`\text{TV} - \varepsilon`. The draws are those of the permutations or, where these have less noise,
    normal ones with the covariance of two samples from the mixture :math:`(m\,p_x + n\,p_y)/(n + m)`, which have at
    least the noise of the samples. The lower limit of the interval is the largest tolerance that is rejected. With many
    classes and few rows, TV is mostly noise, and the limit is 0.

    Predicted labels can be used, too: under label shift, their distribution changes if and only if that of the true
    labels does, provided that the confusion matrix is invertible.

    Each process gathers all labels if they are sharded over processes, because a permutation mixes them.

    Parameters
    ----------
    x, y : Tensor of integers, shape (n,) and (m,)
        The labels, true or predicted: any integers, one per class.
    tolerance : float, in [0, 1), default 0.0
        The largest total variation :math:`\varepsilon` that does not matter.
    n_permutations : int, at least 1, default 1000
        The number B of permutations; with fewer than 19, the test cannot reject at level 0.05.
    generator : torch.Generator, optional
        Draws the permutations; the global random state then stays unchanged.

    Returns
    -------
    ShiftTest
        The result; ``null`` holds the statistic of each permutation, ``effect`` the total variation.

    Raises
    ------
    TypeError
        If ``x`` or ``y`` is not an integer tensor, or only one of them is of dtype uint64.
    TypeError
        If ``tolerance`` is not a real number, or ``n_permutations`` not an integer.
    ValueError
        If ``x`` or ``y`` is not one-dimensional, or is empty.
    ValueError
        If ``tolerance`` or ``n_permutations`` is out of its range.

    See Also
    --------
    scipy.stats.chi2_contingency : With ``correction=False``, the same statistic; its p-value is that of the limit.

    References
    ----------
    .. [1] A. Agresti, *Categorical Data Analysis*, 3rd ed., 2013, sections 3.2 and 3.5.
    .. [2] Z. C. Lipton, Y.-X. Wang and A. J. Smola, "Detecting and correcting for label shift with black box
       predictors", *ICML*, 2018.

    Examples
    --------
    >>> source, target = torch.tensor([0, 1]).repeat(50), torch.tensor([0, 1, 1, 1]).repeat(25)
    >>> test = label_test(source, target, generator=torch.Generator().manual_seed(0))
    >>> round(test.statistic, 2), test.rejects(alpha=0.01)
    (13.33, True)
    >>> label_test(source, source).p_value
    1.0
    """
    check_rows(x=x, y=y, tolerance=tolerance, n_permutations=n_permutations, generator=generator)
    check_integer(x=x, y=y)
    check_tolerance(tolerance, "1", 1)
    check_count("n_permutations", n_permutations, 1)
    if torch.uint64 in {x.dtype, y.dtype}:  # as int64, 2⁶⁴ − 1 would be the label −1 of another dtype
        check_same_dtype(x=x, y=y)
    for name, labels in (("x", x), ("y", y)):
        if labels.dim() != 1 or len(labels) == 0:
            raise ValueError(f"{name} must have shape (n,) with n >= 1, got {tuple(labels.shape)}")
    n, m, x, y = len(x), len(y), gathered(x), gathered(y)
    classes = _class_indices(torch.cat([x.long(), y.long()]))  # of unsigned kinds, torch joins few; equal stays equal
    pi = torch.bincount(classes).double() / (n + m)
    n_k = torch.cat(
        [
            pi.new_zeros(len(in_x), len(pi)).index_add_(1, classes, in_x.double())
            for in_x in draw_splits(n, n + m, n_permutations, generator, x.device)
        ]
    )
    chi2 = (1 / n + 1 / m) * ((n_k - n * pi).square() / pi).sum(1)
    p_x, p_y = n_k / n, (pi * (n + m) - n_k) / m
    tvs = (p_x - p_y).abs().sum(1) / 2
    tv = tvs[0].item()
    drawn = _noise((m * p_x[0] + n * p_y[0]) / (n + m), n, m, int(n_permutations), generator)
    noise = torch.maximum(tvs[1:].sort().values, drawn.sort().values)

    def p_value(tolerance: float) -> float:
        if tolerance == 0:
            return permutation_p_value(chi2, RELATIVE_TIE * (1 + chi2[0].item()))
        return permutation_p_value(torch.cat([noise.new_tensor([tv - tolerance]), noise]), 0)

    lower = largest_where(lambda tolerance: p_value(tolerance) <= ALPHA, 0.0, tv)
    upper = limits_of_shares(chi2.new_tensor(tv), n, m)[1].item()
    return ShiftTest(
        name="χ²",
        statistic=chi2[0].item(),
        p_value=p_value(float(tolerance)),
        sizes=(n, m),
        null=chi2[1:],
        tolerance=float(tolerance),
        effect_name="total variation",
        effect=tv,
        interval=(lower, upper),
    )


def _noise(shares: Tensor, n: int, m: int, count: int, generator: Generator | None) -> Tensor:
    """Draw half the sum of the absolute errors of the differences of two samples' shares, (count,)."""
    root = shares.sqrt()
    device = shares.device if generator is None else generator.device
    found = list[Tensor]()
    chunk_size = max(MAX_SPLIT_ENTRIES // len(shares), 1)
    for start in range(0, count, chunk_size):
        rows = min(chunk_size, count - start)
        z = torch.randn(rows, len(shares), dtype=root.dtype, generator=generator, device=device).to(root.device)
        errors = z * root - (z @ root)[:, None] * shares  # covariance diag(shares) − shares sharesᵀ
        found.append(errors.abs().sum(1) * (math.sqrt(1 / n + 1 / m) / 2))
    return torch.cat(found)


def _class_indices(labels: Tensor) -> Tensor:
    """Return the rank of each label among the distinct ones, from 0, (n,)."""
    ordered, order = labels.sort()
    return torch.zeros_like(order).scatter_(0, order[1:], (ordered[1:] != ordered[:-1]).cumsum(0))
