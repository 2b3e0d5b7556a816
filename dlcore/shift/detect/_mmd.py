"""The maximum mean discrepancy of a Gaussian kernel, by permutation."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_count, check_number
from dlcore._shards import gathered, shards_of

from ._effect import ALPHA, check_tolerance, largest_where
from ._fused import blockwise_sums, gaussian_kernel
from ._result import ShiftTest, check_samples, draw_splits, largest_of, permutation_p_value, pooled

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
    attained by the *witness*. With a tolerance :math:`\varepsilon`, the test asks whether the MMD exceeds it. Then
    k counts the permutations whose norm :math:`\lVert\widehat\mu_x - \widehat\mu_y\rVert`, of the difference of the
    mean embeddings, reaches the observed norm minus :math:`\varepsilon`; the permuted norms are scaled up if the two
    samples have more noise. The lower limit of the interval is the largest tolerance that is rejected. The upper limit
    is the largest MMD with :math:`\text{MMD}^2 + N + 2\,\text{MMD}\,G \le \widehat{\text{MMD}}^2` in 5 % of cases,
    where N is distributed as the permuted statistics and G, the noise of the witness, is normal.

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
    norms = _norms((xx, xy, yy), n, m, less_one)
    effect = math.sqrt(max(mmd2[0].item(), 0.0))

    def p_value(mmd: float) -> float:
        if mmd == 0:
            return permutation_p_value(mmd2, tie)
        return permutation_p_value(torch.cat([norms[:1] - mmd, norms[1:]]), 0)

    lower = largest_where(lambda mmd: p_value(mmd) <= ALPHA, 0.0, effect)
    upper = _upper_limit(effect, mmd2[1:], _witness_std(k_x / n - k_y / m, in_smaller[0], norms[0]), tie)
    unseen = LARGEST_MMD * (1 - ALPHA ** (1 / n))  # the MMD of a share of rows so small that none is in the sample
    return ShiftTest(
        name="MMD²",
        statistic=mmd2[0].item(),
        p_value=p_value(float(tolerance)),
        sizes=(len(x), len(y)),
        null=mmd2[1:],
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


def _norms(sums: tuple[Tensor, Tensor, Tensor], n: int, m: int, less_one: bool) -> Tensor:
    """Return the norm of the difference of the mean embeddings, then those of its noise by permutation, (B + 1,).

    If the two samples have more noise than the permuted ones, as when the small one varies more, the noise is scaled.
    """
    xx, xy, yy = sums
    equal_rows = 0.0 if less_one else 1.0  # their kernel
    norms2 = xx / n**2 + yy / m**2 - 2 * xy / (n * m) + equal_rows * (1 / n + 1 / m)
    noise2 = (equal_rows - xx / (n * (n - 1))) / n + (equal_rows - yy / (m * (m - 1))) / m  # its expectation
    scale2 = (noise2[0] / noise2[1:].mean()).nan_to_num(1).clamp(min=1)
    return torch.cat([norms2[:1], scale2 * norms2[1:]]).clamp(min=0).sqrt()


def _witness_std(witness: Tensor, in_x: Tensor, norm: Tensor) -> float:
    """Return the standard error of the difference of the witness's means, for a witness of norm 1."""
    x, y = witness[in_x], witness[~in_x]  # each up to a constant, which drops out
    return ((x.var() / len(x) + y.var() / len(y)).sqrt() / norm).item() if norm > 0 else 0.0


def _upper_limit(effect: float, null: Tensor, std: float, tie: float) -> float:
    """Return the largest MMD for which so small a statistic has a probability of more than ALPHA."""

    def is_possible(mmd: float) -> bool:
        gaps = mmd**2 + null - effect**2  # that the noise of the witness, 2 MMD G, must bridge
        std_of_noise = math.sqrt(2) * 2 * mmd * std
        reached = (gaps / std_of_noise).erfc() / 2 if std_of_noise > 0 else (gaps <= tie).double()
        return (1 + reached.sum().item()) / (1 + len(null)) > ALPHA

    return largest_where(is_possible, effect, LARGEST_MMD)


def _median_distance(rows: Tensor, generator: Generator | None) -> float:
    """Return the median of the nonzero distances between at most ``BANDWIDTH_ROWS`` rows; 1 if all rows are equal."""
    if len(rows) > BANDWIDTH_ROWS:
        device = rows.device if generator is None else generator.device
        rows = rows[torch.randperm(len(rows), generator=generator, device=device)[:BANDWIDTH_ROWS].to(rows.device)]
    distances = torch.pdist(rows)
    distances = distances[distances > 0]
    return distances.median().item() if len(distances) else 1.0
