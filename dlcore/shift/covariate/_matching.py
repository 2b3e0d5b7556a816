"""The weights under which the source has the kernel mean of the target."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_number

from ._choice import told_apart
from ._features import Standard, squared_distances, standardize
from ._ratio import DensityRatio, LogRatio, report_on
from ._samples import blocks, check_samples

__all__ = ["kernel_mean_matching"]

STEPS, LOOK = 1000, 10  # of the search, and steps after which it is looked how far from the minimum it can be
CLOSE = 1e-4  # how far that may be, as a squared distance of kernel means
HALVINGS = 40


@dataclass(frozen=True)
class Smoothed:
    """The logarithm of the mean weight of the rows around a point, each counting by its kernel."""

    columns: Standard
    rows: Tensor
    log_weights: Tensor
    width: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logarithm at some points, in float64."""
        log_kernels = squared_distances(self.columns(x), self.rows) / (-2 * self.width**2)
        return (log_kernels + self.log_weights).logsumexp(-1) - log_kernels.logsumexp(-1)


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
    source. Means of smooth functions are matched well, which makes it good for a risk; the single weights are no
    good estimates of the ratio, and many are 0. The search is accelerated projected gradient descent, and ends where
    the square above is within 1e-4 of the least; it needs memory for n² numbers.

    The problem knows of no other points than the source's. The ratio at a new point is defined here as the mean weight
    of the source's rows around it, each counting by its kernel: positive, never above :math:`c`, and smoother than the
    weights, from which it differs at the rows themselves.

    Parameters
    ----------
    source : Tensor, shape (n, d)
        The rows to be weighted.
    target : Tensor, shape (m, d)
        Rows from the distribution that counts.
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
    Two rows stand for the three of the target, of which two are at 1; the mean of the source is then the target's:

    >>> source, target = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0], [1.0]])
    >>> weights = kernel_mean_matching(source, target).weights
    >>> bool(abs((weights * source[:, 0]).mean() - target.mean()) < 0.01)
    True
    """
    check_samples(source, target)
    check_number("maximum", maximum, ">= 1", lambda maximum: maximum >= 1)
    with torch.no_grad():
        columns = standardize(source, target)
        rows = columns(source)
        distances = squared_distances(rows, rows)
        width = float(distances.median()) ** 0.5 or 1.0
        kernel = distances.div_(-2 * width**2).exp_()
        means = torch.zeros_like(rows[:, 0])
        for others in blocks(target, len(source)):
            means += (squared_distances(rows, columns(others)) / (-2 * width**2)).exp().sum(1)
        weights = _match(kernel, means * len(source) / len(target), maximum)
        ratio = LogRatio(Smoothed(columns, rows, weights.log(), width), source.shape[1], len(source))
        report = report_on(weights, len(target), [told_apart(source, target, columns)], "kernel")
        return DensityRatio(weights.to(source.dtype), report, ratio)


def _match(kernel: Tensor, means: Tensor, maximum: float) -> Tensor:
    """Return the weights w of least wᵀKw / 2 - wᵀm; the step is one over a bound of the largest eigenvalue."""
    n, step = len(means), 1 / float(kernel.sum(1).max())
    weights = ahead = torch.ones_like(means)
    momentum = 1.0
    for count in range(1, STEPS + 1):
        last = weights
        weights = _project(ahead - step * (kernel @ ahead - means), maximum)
        if float((ahead - weights) @ (weights - last)) > 0:  # uphill: start again from rest
            momentum = 1.0
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead, momentum = weights + (momentum - 1) / following * (weights - last), following
        if count % LOOK == 0 and _distance_from_least(kernel @ weights - means, weights, maximum) <= CLOSE * n * n:
            break
    return weights


def _project(weights: Tensor, maximum: float) -> Tensor:
    """Return the closest weights in [0, maximum] with mean 1: all are lowered alike, and cut."""
    ranked = weights.sort(descending=True).values
    lowered = (ranked.cumsum(0) - len(weights)) / torch.arange(1, len(weights) + 1, device=weights.device)
    kept = (weights - lowered[(ranked > lowered).sum() - 1]).clamp_min(0)
    if float(kept.max()) <= maximum:
        return kept
    low, high = ranked[-1] - maximum, ranked[0]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_much = (weights - middle).clamp(0, maximum).mean() > 1
        low, high = torch.where(too_much, middle, low), torch.where(too_much, high, middle)
    return (weights - high).clamp(0, maximum)


def _distance_from_least(gradient: Tensor, weights: Tensor, maximum: float) -> float:
    """Return how much lower, at most, the minimum is: to the best corner by the gradient, by Frank and Wolfe."""
    n = len(weights)
    filled = (n - maximum * torch.arange(n, dtype=weights.dtype, device=weights.device)).clamp(0, maximum)
    return float(gradient @ weights - gradient.sort().values @ filled)
