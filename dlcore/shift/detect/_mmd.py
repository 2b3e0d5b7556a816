"""The maximum mean discrepancy of a Gaussian kernel, by permutation."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_count, check_number
from dlcore._shards import gathered, shards_of

from ._effect import ALPHA, check_tolerance, largest_where
from ._fused import blockwise_sums, gaussian_kernel
from ._result import ShiftTest, check_samples, draw_splits, largest_of, pooled

MAX_KERNEL_ROWS = 1024  # rows and columns of the kernel matrix in memory at a time: 8 MB
BANDWIDTH_ROWS = 1000  # at most so many random rows are used to find the median distance
MIN_BANDWIDTH = 1e-300  # relative to the largest entry: smaller distances count as none
LARGEST_MMD = math.sqrt(2)  # of a kernel in [0, 1]
RELATIVE_TIE = 1e-11  # of the means whose difference is MMD²: statistics this close are equal but for rounding


def mmd_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    bandwidth: float | None = None,
    tolerance: float = 0.0,
    n_permutations: int = 1000,
    generator: Generator | None = None,
) -> ShiftTest:
    r"""Return whether two samples differ, by the maximum mean discrepancy of a Gaussian kernel.

    .. math::

        \widehat{\text{MMD}}^2 = \frac{1}{n(n-1)}\sum_{i \ne j} k(\mathbf{x}_i, \mathbf{x}_j)
            + \frac{1}{m(m-1)}\sum_{i \ne j} k(\mathbf{y}_i, \mathbf{y}_j)
            - \frac{2}{nm}\sum_{i,j} k(\mathbf{x}_i, \mathbf{y}_j), \qquad
        k(\mathbf{a}, \mathbf{b}) = \exp\Bigl(-\frac{\lVert\mathbf{a}-\mathbf{b}\rVert^2}{2\sigma^2}\Bigr)

    is an unbiased estimate of the squared distance between the two distributions, so it can be negative. If k of B
    random permutations of the pooled rows have a statistic at least as large, :math:`p = (1 + k)/(1 + B)`, which is
    never 0 and keeps its level for any number of rows and permutations.

    The size of the difference is the MMD itself, the largest difference of the means of a function of norm 1, which is
    attained by the *witness*. With a tolerance :math:`\varepsilon`, the test asks whether the MMD exceeds it. If it is
    equal to it, :math:`\widehat{\text{MMD}}^2 \approx \varepsilon^2 + N + 2 \varepsilon G`, where N is distributed as
    the permuted statistics and G, the noise of the difference of the witness's means, is normal with the standard
    deviation that the samples show. The interval holds the values for which neither this nor its opposite is rejected.

    The time grows with the square of the number of rows, the memory linearly: with more than 1024 rows, the kernel
    matrix is computed block by block, and each block is multiplied with all permutations at once. If the rows are
    sharded over processes, each process gathers all of them and computes its share of these blocks.

    Parameters
    ----------
    x, y : Tensor, shape (n, d) and (m, d), n and m at least 2
        The samples. Distances mix the features, so bring the features to a common scale first.
    bandwidth : float, in (0, inf), optional
        The bandwidth :math:`\sigma`. By default the median of the nonzero distances between pooled rows, or between
        1000 random ones if there are more.
    tolerance : float, in [0, sqrt(2)), default 0.0
        The largest MMD :math:`\varepsilon` that does not matter. It depends on the bandwidth, so choose that, too.
    n_permutations : int, at least 1, default 1000
        The number B of permutations; with fewer than 19, the test cannot reject at level 0.05.
    generator : torch.Generator, optional
        Draws the permutations and the rows for the bandwidth; the global random state then stays unchanged.

    Returns
    -------
    ShiftTest
        The result; ``null`` holds the statistic of each permutation, ``bandwidth`` the bandwidth used, ``effect`` the
        MMD.

    Raises
    ------
    TypeError
        If ``x`` or ``y`` is not a real floating-point tensor, or their dtypes differ.
    TypeError
        If ``bandwidth`` or ``tolerance`` is not a real number, or ``n_permutations`` not an integer.
    ValueError
        If the shapes are not those above, or a value is infinite or NaN.
    ValueError
        If ``bandwidth``, ``tolerance`` or ``n_permutations`` is out of its range.

    See Also
    --------
    classifier_test : Measures how well a classifier separates the samples, in linear time.
    ks_test : Finds the features that differ.

    References
    ----------
    .. [1] A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schölkopf and A. Smola, "A kernel two-sample test", *Journal of
       Machine Learning Research* 13, 2012.
    .. [2] B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", *Statistical Applications in
       Genetics and Molecular Biology* 9(1), 2010.

    Examples
    --------
    Of the 70 ways to split 8 rows into two halves, only the observed one and its mirror image separate them:

    >>> x, y = torch.zeros(4, 1), torch.ones(4, 1)
    >>> test = mmd_test(x, y, generator=torch.Generator().manual_seed(0))
    >>> test.rejects(alpha=0.05), test.bandwidth
    (True, 1.0)
    >>> mmd_test(x, x).p_value
    1.0
    """
    options = {"bandwidth": bandwidth, "tolerance": tolerance, "n_permutations": n_permutations}
    check_samples(x, y, at_least=2, **options, generator=generator)
    if bandwidth is not None:
        check_number("bandwidth", bandwidth, "in (0, inf)", lambda bandwidth: 0 < bandwidth < float("inf"))
    check_tolerance(tolerance, "sqrt(2)", LARGEST_MMD)
    check_count("n_permutations", n_permutations, 1)
    shards, x, y = shards_of(x), gathered(x.detach()), gathered(y.detach())
    n, m = sorted((len(x), len(y)))
    rows = pooled(x, y)
    unit = float(largest_of(torch.stack([x.abs().max(), y.abs().max()]).double()))  # of the rows
    sigma = _median_distance(rows, generator) if bandwidth is None else float(bandwidth) / unit
    z = rows / max(sigma, MIN_BANDWIDTH)
    in_x = torch.cat([*draw_splits(len(x), len(z), n_permutations, generator, x.device)])
    in_smaller = in_x if len(x) == n else ~in_x  # the sum within the larger sample is what is left of the whole
    less_one = float(z.square().sum(1).max()) < 1 / 4  # kernels are all near 1, which MMD² does not depend on
    many = len(z) > MAX_KERNEL_ROWS  # then the same, in memory that grows linearly
    if many:
        xx, xy, yy, k_x, k_y = blockwise_sums(z, in_smaller, less_one, MAX_KERNEL_ROWS, shards)
    else:
        xx, xy, yy, k_x, k_y = _sums(z, in_smaller, less_one, MAX_KERNEL_ROWS)
    within, between = xx / (n * (n - 1)) + yy / (m * (m - 1)), 2 * xy / (n * m)
    mmd2 = within - between
    tie = RELATIVE_TIE * float((within + between).abs().max())
    diagonal = 0.0 if less_one else 1 / n + 1 / m
    length2 = xx[0] / n**2 + yy[0] / m**2 - 2 * xy[0] / (n * m) + diagonal  # of the difference of the mean embeddings
    std = _witness_std(k_x / n - k_y / m, in_smaller[0], length2)
    observed, null = mmd2[0].item(), mmd2[1:]
    effect = math.sqrt(max(observed, 0.0))

    def p_value(mmd: float) -> float:
        return _share_beyond(observed - mmd**2 - null, 2 * mmd * std, tie)

    def p_value_below(mmd: float) -> float:  # of a statistic that is this small
        return _share_beyond(mmd**2 + null - effect**2, 2 * mmd * std, tie)

    lower = largest_where(lambda mmd: p_value(mmd) <= ALPHA, 0.0, effect)
    upper = largest_where(lambda mmd: p_value_below(mmd) > ALPHA, effect, LARGEST_MMD)
    unseen = LARGEST_MMD * (1 - ALPHA ** (1 / n))  # the MMD of a share of rows so small that none is in the sample
    return ShiftTest(
        name="MMD²",
        statistic=observed,
        p_value=p_value(float(tolerance)),
        sizes=(len(x), len(y)),
        null=null,
        bandwidth=sigma * unit,
        tolerance=float(tolerance),
        effect_name="MMD",
        effect=effect,
        interval=(lower, max(upper, unseen)),
    )


def _sums(z: Tensor, in_x: Tensor, less_one: bool, _: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the sums of the kernel over the pairs within x, between x and y, and within y, (B + 1,) for all splits.

    Also return the sums of each row of the kernel over the rows of x and of y in the first split, (len(z),).
    """
    k = gaussian_kernel(z, z, less_one).fill_diagonal_(0)  # the sums within a sample leave out i = j
    x = in_x.to(k.dtype)
    x_k = x @ k
    xx, xy = (x_k * x).sum(1), (x_k * (1 - x)).sum(1)
    row_sums = k.sum(0)
    return xx, xy, row_sums.sum() - xx - 2 * xy, x_k[0], row_sums - x_k[0]


def _witness_std(witness: Tensor, in_x: Tensor, length2: Tensor) -> float:
    """Return the standard error of the difference of the witness function's means, for a witness of norm 1."""
    variance = sum(w.var() / len(w) for w in (witness[in_x], witness[~in_x]))  # a constant in each sample drops out
    return (variance / length2).sqrt().item() if length2 > 0 else 0.0


def _share_beyond(gaps: Tensor, std: float, tie: float) -> float:
    """Return the probability that normal noise exceeds the gaps, as for a permutation test; it may have no spread."""
    reached = (gaps / (math.sqrt(2) * std)).erfc() / 2 if std > 0 else (gaps <= tie).double()
    return (1 + reached.sum().item()) / (1 + len(gaps))


def _median_distance(rows: Tensor, generator: Generator | None) -> float:
    """Return the median of the nonzero distances between at most ``BANDWIDTH_ROWS`` rows; 1 if all rows are equal."""
    if len(rows) > BANDWIDTH_ROWS:
        device = rows.device if generator is None else generator.device
        rows = rows[torch.randperm(len(rows), generator=generator, device=device)[:BANDWIDTH_ROWS].to(rows.device)]
    distances = torch.pdist(rows)
    distances = distances[distances > 0]
    return distances.median().item() if len(distances) else 1.0
