"""The maximum mean discrepancy of a Gaussian kernel, by permutation."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_count, check_number

from ._result import ShiftTest, check_samples, draw_splits, largest_of, permutation_p_value, pooled

BLOCK = 1024  # rows and columns of the kernel matrix that exist at a time
FOR_MEDIAN = 1000  # rows whose distances the bandwidth is the median of
FAR = 1e150  # bandwidths: the square of a larger number may overflow
TIE = 1e-11  # statistics that are no further apart are one number, rounded twice


def mmd_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    bandwidth: float | None = None,
    n_permutations: int = 1000,
    generator: Generator | None = None,
) -> ShiftTest:
    r"""Return whether two samples differ, by the maximum mean discrepancy of a Gaussian kernel.

    .. math::

        \widehat{\text{MMD}}^2 = \frac{1}{n(n-1)}\sum_{i \ne j} k(\mathbf{x}_i, \mathbf{x}_j)
            + \frac{1}{m(m-1)}\sum_{i \ne j} k(\mathbf{y}_i, \mathbf{y}_j)
            - \frac{2}{nm}\sum_{i,j} k(\mathbf{x}_i, \mathbf{y}_j), \qquad
        k(\mathbf{a}, \mathbf{b}) = \exp\Bigl(-\frac{\lVert\mathbf{a}-\mathbf{b}\rVert^2}{2\sigma^2}\Bigr)

    estimates the distance between two distributions without bias: below 0 is possible. Of B random permutations of the
    pooled rows, let k have a statistic at least as large: then :math:`p = (1 + k)/(1 + B)`, which is never 0 and keeps
    its level for any number of rows and permutations.

    The cost is quadratic in the number of rows, the memory linear: the kernel matrix exists one block at a time, and
    each block is multiplied with all permutations at once.

    Parameters
    ----------
    x, y : Tensor, shape (n, d) and (m, d), n and m at least 2
        The samples. Distances mix the features: bring them to one scale first.
    bandwidth : float, in (0, inf), optional
        The bandwidth :math:`\sigma`. By default the median distance between pooled rows that differ, of 1000 random
        rows if there are more.
    n_permutations : int, at least 1, default 1000
        The number B of permutations; 19 is the least that can reject at level 0.05.
    generator : torch.Generator, optional
        What the permutations, and the rows for the bandwidth, are drawn from; then the global random state is left
        alone.

    Returns
    -------
    ShiftTest
        With the statistic of each permutation in ``null``, and the ``bandwidth``.

    Raises
    ------
    TypeError
        If ``x`` or ``y`` is not a real floating-point tensor, or their dtypes differ.
    TypeError
        If ``bandwidth`` is not a real number, or ``n_permutations`` not an integer.
    ValueError
        If the shapes are not those above, or a value is infinite or NaN.
    ValueError
        If ``bandwidth`` or ``n_permutations`` is out of its range.

    See Also
    --------
    classifier_test : Says how well the samples can be told apart, at linear cost.
    ks_test : Says in which features they differ.

    References
    ----------
    .. [1] A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schölkopf and A. Smola, "A kernel two-sample test", *Journal of
       Machine Learning Research* 13, 2012.
    .. [2] B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", *Statistical Applications in
       Genetics and Molecular Biology* 9(1), 2010.

    Examples
    --------
    Of 8 rows, 70 splits in two halves are possible, and only the true one and its mirror separate them:

    >>> x, y = torch.zeros(4, 1), torch.ones(4, 1)
    >>> test = mmd_test(x, y, generator=torch.Generator().manual_seed(0))
    >>> test.rejects(alpha=0.05), test.bandwidth
    (True, 1.0)
    >>> mmd_test(x, x).p_value
    1.0
    """
    check_samples(x, y, at_least=2)
    if bandwidth is not None:
        check_number("bandwidth", bandwidth, "in (0, inf)", lambda bandwidth: 0 < bandwidth < float("inf"))
    check_count("n_permutations", n_permutations, 1)
    rows = pooled(x, y)
    scale = float(largest_of(torch.stack([x.detach().abs().max(), y.detach().abs().max()]).double()))
    sigma = _median_distance(rows, generator) if bandwidth is None else bandwidth / scale
    splits = torch.cat([*draw_splits(len(x), len(rows), n_permutations, generator, x.device)])
    discrepancies = _discrepancies((rows / sigma).clamp(-FAR, FAR), splits, len(x))
    return ShiftTest(
        name="MMD²",
        statistic=discrepancies[0].item(),
        p_value=permutation_p_value(discrepancies, TIE),
        sizes=(len(x), len(y)),
        null=discrepancies[1:],
        bandwidth=sigma * scale,
    )


def _discrepancies(rows: Tensor, splits: Tensor, n: int) -> Tensor:
    r"""Return the statistic of each split: of its indicator :math:`\mathbf{s}` the sums within and across the samples.

    With a zero diagonal, these are :math:`\mathbf{s}^\top\mathbf{K}\mathbf{s}`, what is left of
    :math:`\mathbf{s}^\top\mathbf{K}\mathbf{1}`, and what is left of :math:`\mathbf{1}^\top\mathbf{K}\mathbf{1}`.
    """
    total = len(rows)
    m = total - n
    squares = rows.square().sum(1)
    within_x = rows.new_zeros(len(splits))
    of_row = rows.new_zeros(total)
    for i in range(0, total, BLOCK):
        here = slice(i, i + BLOCK)
        chosen = splits[:, here].to(rows.dtype)
        for j in range(i, total, BLOCK):
            there = slice(j, j + BLOCK)
            kernel = torch.addmm(squares[there], rows[here], rows[there].T, alpha=-2).add_(squares[here, None])
            kernel = kernel.clamp_(min=0).mul_(-0.5).exp_()
            if i == j:
                kernel.fill_diagonal_(0)
            of_row[here] += kernel.sum(1)
            inside = ((chosen @ kernel) * splits[:, there]).sum(1)
            if i != j:  # the block below the diagonal, too
                of_row[there] += kernel.sum(0)
                inside = 2 * inside
            within_x += inside
    from_x = sum(
        (splits[:, i : i + BLOCK].to(rows.dtype) @ of_row[i : i + BLOCK] for i in range(0, total, BLOCK)), within_x * 0
    )
    across = from_x - within_x
    within_y = of_row.sum() - 2 * across - within_x
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * across / (n * m)


def _median_distance(rows: Tensor, generator: Generator | None) -> float:
    """Return the median of the distances that are not 0, of a random part of the rows; 1 if there is none."""
    if len(rows) > FOR_MEDIAN:
        drawn_on = rows.device if generator is None else generator.device
        rows = rows[torch.randperm(len(rows), generator=generator, device=drawn_on)[:FOR_MEDIAN].to(rows.device)]
    distances = torch.pdist(rows)
    distances = distances[distances > 0]
    return distances.median().item() if len(distances) else 1.0
