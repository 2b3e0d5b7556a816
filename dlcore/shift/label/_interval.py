"""The interval of a prior from its bootstrap resamples."""

from statistics import NormalDist

import torch
from torch import Tensor

__all__ = ["prior_interval"]


def prior_interval(resampled_priors: Tensor, n_target: int, level: float) -> Tensor:
    r"""Return the interval, (2, k), of each entry of a prior from its bootstrap resamples, (B, k).

    It contains the percentile interval and the score interval, whose ends solve

    .. math::

        (p - \tilde p)^2 = z^2 \Bigl(s^2 + \frac{(p - \tilde p)(1 - 2\tilde p)}{m}\Bigr)

    where :math:`\tilde p` is the median of the resamples and :math:`2zs` the width of the percentile interval. The
    noise of a share is that at the end of the interval, as in Wilson's: the percentiles alone end too early for a rare
    class, and have no width where none of m target rows is of it.

    Reference: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", *Journal of the
    American Statistical Association* 22(158), 1927.
    """
    z = -NormalDist().inv_cdf((1 - level) / 2)
    levels = resampled_priors.new_tensor([(1 - level) / 2, 0.5, (1 + level) / 2])
    low, median, high = resampled_priors.quantile(levels, dim=0).clamp(0, 1)
    shift = z**2 * (1 - 2 * median) / (2 * n_target)
    half = (shift.square() + ((high - low) / 2).square()).sqrt()
    return torch.stack([low.minimum(median + shift - half), high.maximum(median + shift + half)]).clamp(0, 1)
