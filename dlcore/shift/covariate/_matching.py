"""Kernel mean matching: weights under which the source has the kernel mean of the target."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_number
from dlcore._numerics import capped_simplex_projection
from dlcore._shards import check_not_sharded
from dlcore._torch import eigenvalues, loadable

from ._classifier import domain_scores
from ._features import Standard, check_samples, evenly_spaced_rows, row_blocks, squared_distances, standardize
from ._ratio import DensityRatio, LogRatio, report_on

__all__ = ["kernel_mean_matching"]

MAX_WIDTH_ROWS = 2**10  # of the source, of which the median distance is the width of the kernel
MAX_STEPS = 10_000
MAX_GAP = 1e-4  # between the value and the minimum, in squared distance of kernel means
ROUNDING = 1e-14  # of the value, in squared distance of kernel means
BLOCK_ROWS = 64  # of the kernel: small enough to be used twice while it is in the processor's cache


@loadable
@dataclass(frozen=True)
class Smoothed:
    """The logarithm of the kernel-weighted mean weight of the rows around a point."""

    columns: Standard
    rows: Tensor
    log_weights: Tensor
    width: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logarithm at some points, in float64."""
        log_kernels = squared_distances(self.columns(x), self.rows) / (-2 * self.width**2)
        return (log_kernels + self.log_weights).logsumexp(-1) - log_kernels.logsumexp(-1)


@dataclass(frozen=True)
class SymmetricKernel:
    """The kernels of all pairs of rows, as blocks of rows that begin at the diagonal: half of the memory and reads."""

    blocks: list[Tensor]

    @classmethod
    def of(cls, z: Tensor, width: float) -> "SymmetricKernel":
        """Return the Gaussian kernels of some rows."""
        return cls(
            [_kernels(z[start : start + BLOCK_ROWS], z[start:], width) for start in range(0, len(z), BLOCK_ROWS)]
        )

    def __matmul__(self, w: Tensor) -> Tensor:
        """Return the product with a vector."""
        product, start = torch.zeros_like(w), 0
        for block in self.blocks:
            stop = start + len(block)
            product[start:stop] += block @ w[start:]
            product[stop:] += w[start:stop] @ block[:, len(block) :]
            start = stop
        return product


def kernel_mean_matching(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], *, maximum: float = 1000.0
) -> DensityRatio:
    r"""Return the weights under which the source is closest to the target, as a mean of kernels.

    .. math::

        \min_{\mathbf{w}}\ \Bigl\lVert \frac1n \sum_{i=1}^{n} w_i\, k(\mathbf{x}_i, \cdot)
            - \frac1m \sum_{j=1}^{m} k(\mathbf{x}'_j, \cdot) \Bigr\rVert^2
        \qquad\text{with}\quad 0 \le w_i \le c, \quad \sum_{i=1}^{n} w_i = n

    where :math:`\mathbf{x}_i` are the rows of the source, :math:`\mathbf{x}'_j` those of the target, :math:`c` the
    maximum, and :math:`k` the Gaussian kernel of the standardized columns whose width is the median distance in the
    source, of 1024 evenly spaced rows if there are more. Means of smooth functions are matched well, so the weights
    suit a risk; they do not estimate the ratio row by row, and many are 0. The search is accelerated projected gradient
    descent. It ends when half the square above is within 1e-4 of its minimum, or raises an error. The kernel of the
    source takes 4 n² bytes, 1.6 GB for 20,000 rows, and the rest little more; the time grows with n² as well.

    The problem is defined on the rows of the source only. The ratio at a new point is defined here as the mean weight
    of the source's rows around it, weighted by their kernels: it is positive, never above :math:`c`, and smoother than
    the weights, from which it differs at the rows themselves.

    Parameters
    ----------
    source : Tensor, shape (n, d)
        The rows to weight.
    target : Tensor, shape (m, d)
        Rows from the distribution in which the model is used.
    maximum : float, in [1, inf), default 1000
        The largest weight :math:`c`; a smaller one makes the weights more equal.

    Returns
    -------
    DensityRatio
        The weights of the source, of mean 1; the ratio as a function of new points, and a report with its verdict.

    Raises
    ------
    TypeError
        If ``source`` or ``target`` is not a real floating-point tensor, or they differ in dtype.
    TypeError
        If ``maximum`` is not a real number.
    ValueError
        If ``source`` or ``target`` is not a matrix with a row and a column, or they differ in their columns.
    ValueError
        If an entry of ``source`` or ``target`` is not finite, or ``maximum`` is less than 1.
    ValueError
        If the rows of ``source`` or ``target`` are sharded over processes.

    See Also
    --------
    logistic_ratio : An estimate of the ratio itself.
    dlcore.shift.detect.mmd_test : The same distance of kernel means, as a test.

    References
    ----------
    .. [1] J. Huang, A. Smola, A. Gretton, K. Borgwardt and B. Schölkopf, "Correcting sample selection bias by unlabeled
       data", *Advances in Neural Information Processing Systems* 19, 2006.
    .. [2] A. Beck and M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems",
       *SIAM Journal on Imaging Sciences* 2(1), 2009.

    Examples
    --------
    Two of the three target rows are at 1; the weights give the source the same mean:

    >>> source, target = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0], [1.0]])
    >>> weights = kernel_mean_matching(source, target).weights
    >>> bool(abs((weights * source[:, 0]).mean() - target.mean()) < 0.01)
    True
    """
    cure = "pass plain rows, as source.full_tensor() gives them, or use logistic_ratio"
    check_not_sharded(
        "the kernel of every two rows would have to be in one process", cure, source=source, target=target
    )
    check_samples(source, target)
    check_number("maximum", maximum, ">= 1", lambda maximum: maximum >= 1)
    maximum = min(maximum, len(source))  # the largest entry of n weights with mean 1 is n at most
    with torch.no_grad():
        columns = standardize(source, target)
        z = columns(source)
        few = z[evenly_spaced_rows(z, MAX_WIDTH_ROWS)]
        width = float(squared_distances(few, few).median()) ** 0.5 or 1.0
        kappa = torch.zeros_like(z[:, 0])
        for rows in row_blocks(target, len(source)):
            kappa += _kernels(columns(rows), z, width).sum(0)
        curvature = _centred_curvature(_kernels(few, few, width)) * len(source) / len(few)
        kernel = SymmetricKernel.of(z, width)
        weights = _match(kernel, kappa * len(source) / len(target), maximum, curvature)
        ratio = LogRatio(Smoothed(columns, z, weights.log(), width), source.shape[1], len(source))
        scores = domain_scores(source, target, columns)
        report = report_on(
            weights,
            source,
            target,
            columns=columns,
            scores=[scores],
            features="kernel",
            unsupported=scores.unsupported,
        )
        report = replace(report, pareto_shape=math.nan)  # the weights are a solution, not values of a ratio
        return DensityRatio(weights.to(source.dtype), report, ratio)


def _kernels(x: Tensor, centres: Tensor, width: float) -> Tensor:
    return squared_distances(x, centres).div_(-2 * width**2).exp_()


def _centred_curvature(kernel: Tensor) -> float:
    """Return the largest eigenvalue for vectors that sum to 0; at least 1, that of different rows far apart."""
    centred = kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
    return max(float(eigenvalues(centred)[-1]), 1.0)


def _match(kernel: SymmetricKernel, kappa: Tensor, maximum: float, curvature: float) -> Tensor:
    """Return the weights w of least wᵀKw / 2 - wᵀκ, from a guess of the largest curvature, which is raised if needed.

    All moves keep the sum of the weights, so the curvature is that of the centred kernel, which is much smaller.
    """
    n, momentum = len(kappa), 1.0
    weights = ahead = torch.ones_like(kappa)
    product = product_ahead = kernel @ weights
    for _ in range(MAX_STEPS):
        last, last_product = weights, product
        while True:
            step = ahead - (product_ahead - kappa) / curvature
            weights = n * capped_simplex_projection(step / n, maximum / n)
            product, move = kernel @ weights, weights - ahead
            if float(move @ (product - product_ahead)) <= curvature * float(move @ move) + ROUNDING * n * n:
                break
            curvature *= 1.5
        if _gap(product - kappa, weights, maximum) <= MAX_GAP * n * n:
            return weights
        if float((ahead - weights) @ (weights - last)) > 0:  # uphill: start again from rest
            momentum = 1.0
        next_momentum = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        beta, momentum = (momentum - 1) / next_momentum, next_momentum
        ahead, product_ahead = weights + beta * (weights - last), product + beta * (product - last_product)
    raise RuntimeError(
        f"no weights within {MAX_GAP:g} of the least distance found in {MAX_STEPS} steps; "
        f"lower maximum, or pass fewer rows of source"
    )


def _gap(gradient: Tensor, weights: Tensor, maximum: float) -> float:
    """Return a bound of how far the value is above the minimum: the slope towards the best corner (Frank and Wolfe)."""
    n = len(weights)
    corner = (n - maximum * torch.arange(n, dtype=weights.dtype, device=weights.device)).clamp(0, maximum)
    return float(gradient @ weights - gradient.sort().values @ corner)
