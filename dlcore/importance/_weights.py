"""Measures of importance weights, and transformations that make them less unequal."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._blocks import sum_over_rows
from dlcore._checks import (
    check_floating,
    check_number,
    check_pair,
    check_positive_in,
    check_values,
    check_weights,
    has_values,
)
from dlcore._numerics import accumulation_dtype, upcast
from dlcore._rows import (
    replace_rows,
    row_max,
    row_mean,
    row_quantile,
    row_sum,
    row_topk,
    rows_at,
)
from dlcore._shards import check_rows, replicated

__all__ = [
    "MIN_TAIL_WEIGHTS",
    "clip_weights",
    "effective_sample_size",
    "equal_weights",
    "fit_tail",
    "flatten_weights",
    "largest_and_mean",
    "normalize_log_weights",
    "normalize_weights",
    "pareto_shape",
    "pareto_smoothed_weights",
    "scaled_to_mean_one",
    "tail_length",
    "weighted_quantile",
]

MIN_TAIL_WEIGHTS = 5  # weights above the threshold, below which no tail is fitted
MIN_GRID_POINTS = 30  # values of θ, to which the root of the number of weights is added
PRIOR_EXAMPLES = 10  # the weight, in examples, of the prior on the shape, which is centred at ½


def effective_sample_size(w: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    r"""Return the number of examples of equal weight that would estimate a mean equally well.

    .. math::

        n_\text{eff} = \frac{\bigl(\sum_i w_i\bigr)^2}{\sum_i w_i^2}

    It measures only how unequal the weights are: weights that are all wrong by one factor look perfect.

    Parameters
    ----------
    w : Tensor, shape (n,), in [0, inf)
        The importance weights, on any scale.

    Returns
    -------
    Tensor, shape (), in {0} or [1, n]
        The effective sample size, with the dtype of ``w``; 0 if all weights are 0.

    Raises
    ------
    TypeError
        If ``w`` is not a real floating-point tensor.
    ValueError
        If ``w`` is not a vector, or has a negative, infinite or NaN entry.

    See Also
    --------
    diagnose : Reports it together with what it misses.

    References
    ----------
    .. [1] L. Kish, *Survey Sampling*, 1965, section 11.7.
    .. [2] A. B. Owen, *Monte Carlo Theory, Methods and Examples*, 2013, section 9.3.

    Examples
    --------
    Four examples of equal weight count as four, whatever the weight; if one has all the weight, it counts as one:

    >>> effective_sample_size(torch.full((4,), 1e30)), effective_sample_size(torch.tensor([0.0, 0.0, 7.0, 0.0]))
    (tensor(4.), tensor(1.))
    >>> effective_sample_size(torch.tensor([1.0, 1.0, 1.0, 3.0]))
    tensor(3.)
    """
    check_rows(w=w)
    check_weights("w", w)
    return equal_weights(w, accumulation_dtype(w.dtype)).to(w.dtype)


def equal_weights(w: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the number of equal weights that these count for, from sums in a dtype."""
    largest = _largest(w)

    def powers(w: Tensor) -> Tensor:
        share = w.to(dtype) / largest
        return torch.stack([share, share.square()])

    total, squares = sum_over_rows(powers, w)
    return total**2 / torch.where(squares > 0, squares, 1)


def pareto_shape(w: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    r"""Return how heavy the upper tail of the weights is.

    A generalized Pareto distribution is fitted to the largest :math:`M = \lceil\min(n/5, 3\sqrt{n})\rceil` weights
    minus the next largest one, :math:`u`:

    .. math::

        P(w - u > x) = \Bigl(1 + \frac{k x}{\sigma}\Bigr)^{-1/k},

    whose shape :math:`k` is returned. Moments of an order below :math:`1/k` exist: the variance of the weights is
    infinite if :math:`k \ge \frac12`, and their mean if :math:`k \ge 1`. The fit to the excesses :math:`x_i`, of
    which :math:`m` are positive, is that of Zhang and Stephens: with :math:`\theta = -k/\sigma`,

    .. math::

        k(\theta) = \frac1m \sum_{i=1}^{m} \log(1 - \theta x_i), \qquad
        \ell(\theta) = m \Bigl(\log\frac{-\theta}{k(\theta)} - k(\theta) - 1\Bigr), \qquad
        \hat\theta = \frac{\sum_j \theta_j\, e^{\ell(\theta_j)}}{\sum_j e^{\ell(\theta_j)}}

    on a grid of :math:`\theta_j`. As in Pareto-smoothed importance sampling, a prior around ½ that counts for ten
    examples is added: the result is :math:`(m\,k(\hat\theta) + 10 \cdot \frac12)/(m + 10)`.

    Parameters
    ----------
    w : Tensor, shape (n,), in [0, inf)
        The importance weights, on any scale.

    Returns
    -------
    Tensor, shape ()
        The shape :math:`k`, with the dtype of ``w``; NaN if fewer than five weights are above the next largest, as for
        :math:`n \le 20` and for equal weights.

    Raises
    ------
    TypeError
        If ``w`` is not a real floating-point tensor.
    ValueError
        If ``w`` is not a vector, or has a negative, infinite or NaN entry.

    See Also
    --------
    diagnose : What the shape means for this many weights.

    References
    ----------
    .. [1] J. Zhang and M. A. Stephens, "A new and efficient estimation method for the generalized Pareto distribution",
       *Technometrics* 51(3), 2009.
    .. [2] A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry, "Pareto smoothed importance sampling", *Journal of
       Machine Learning Research* 25, 2024.

    Examples
    --------
    Weights :math:`u^{-k}` with uniform :math:`u` have the shape :math:`k`:

    >>> u = (torch.arange(10_000) + 0.5) / 10_000
    >>> [round(pareto_shape(u**-k).item(), 1) for k in (0.25, 0.5, 1.0)]
    [0.3, 0.5, 1.0]
    """
    check_rows(w=w)
    check_weights("w", w)
    n_tail = tail_length(len(w))
    if n_tail < MIN_TAIL_WEIGHTS:
        return row_sum(w) * math.nan
    return fit_tail(w, n_tail).shape.to(w.dtype)


def tail_length(n: int) -> int:
    """Return how many of n weights are the tail."""
    return math.ceil(min(n / 5, 3 * math.sqrt(n)))


class Tail(NamedTuple):
    """The fit of the largest weights: shape and scale, and how many exceed the threshold; NaN if fewer than five do."""

    shape: Tensor
    scale: Tensor
    m: Tensor


def fit_tail(w: Tensor, n_tail: int) -> Tail:
    """Return the fit of the n_tail largest weights; its scale is relative to the largest weight."""
    x, m = _excesses(w, n_tail)
    theta, log_prior = _grid(x, m)
    k = _shape(theta, x, m)
    log_likelihood = m * ((-theta / k).log() - k - 1)
    posterior = (log_likelihood + log_prior).softmax(dim=0)
    theta = (posterior * theta).sum()
    k = _shape(theta, x, m)
    shape = (m * k + PRIOR_EXAMPLES * 0.5) / (m + PRIOR_EXAMPLES)
    return Tail(torch.where(m < MIN_TAIL_WEIGHTS, math.nan, shape), -k / theta, m)


def _excesses(w: Tensor, n_tail: int) -> tuple[Tensor, Tensor]:
    """Return the largest weights less the next largest, in descending order, and how many of them are positive.

    The weights are scaled by the largest one, and those that then underflow count as ties with the threshold.
    """
    largest = upcast(row_topk(w, n_tail + 1)[0]) / _largest(w)
    x = (largest[:-1] - largest[-1].clamp(min=torch.finfo(largest.dtype).tiny)).clamp(min=0)
    return x, (x > 0).sum()


def _grid(x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Return the grid of Zhang and Stephens, scaled by the largest excess and the lower quartile, and its log prior.

    Its length would depend on m, the number of positive excesses. So it has the largest length that is possible, and
    the points beyond its end have the log prior -inf.
    """
    n_grid = MIN_GRID_POINTS + m.sqrt().floor()
    j = torch.arange(MIN_GRID_POINTS + math.isqrt(len(x)), dtype=x.dtype, device=x.device) + 0.5
    quartile = x.gather(0, (m - (m + 2) // 4).reshape(1))
    theta = 1 / x[0] + (1 - (n_grid / j.minimum(n_grid - 0.5)).sqrt()) / (3 * quartile)
    theta = torch.where(theta == 0, torch.finfo(theta.dtype).eps, theta)  # at 0 the tail is exponential, θ/k is 0/0
    return theta, torch.where(j < n_grid, 0, -math.inf)


def _shape(theta: Tensor, x: Tensor, m: Tensor) -> Tensor:
    """Return k(θ) for each θ; an excess of 0 adds nothing."""
    return (-theta.unsqueeze(-1) * x).log1p().sum(dim=-1) / m


def clip_weights(w: Float[Tensor, "n"], *, maximum: float) -> Float[Tensor, "n"]:
    r"""Return the weights, clipped at a maximum.

    .. math::

        \min(w_i, c)

    where :math:`c` is the maximum. Clipping reduces the variance of an estimate and adds bias.

    Parameters
    ----------
    w : Tensor, shape (n,), in [0, inf]
        The importance weights.
    maximum : float, > 0
        The largest weight that is kept, :math:`c`.

    Returns
    -------
    Tensor, shape (n,), in [0, maximum]
        The clipped weights, with the dtype of ``w``.

    Raises
    ------
    TypeError
        If ``w`` is not a real floating-point tensor, or ``maximum`` not a real number.
    ValueError
        If ``w`` is not a vector, or has a negative or NaN entry, or ``maximum`` is not positive.

    See Also
    --------
    torch.clamp : The same with ``max=maximum``, for any numbers.
    flatten_weights : Shrinks all large weights, and needs no maximum.

    References
    ----------
    .. [1] E. L. Ionides, "Truncated importance sampling", *J. of Computational and Graphical Statistics* 17(2), 2008.

    Examples
    --------
    >>> clip_weights(torch.tensor([0.5, 2.0, 50.0, math.inf]), maximum=5.0)
    tensor([0.5000, 2.0000, 5.0000, 5.0000])
    """
    check_rows(w=w, maximum=maximum)
    check_weights("w", w, finite=False)
    check_number("maximum", maximum, "> 0", lambda maximum: maximum > 0)
    check_positive_in("maximum", maximum, w.dtype)
    return w.clamp(max=maximum if maximum <= torch.finfo(w.dtype).max else math.inf)


def normalize_weights(w: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    r"""Return the weights, scaled to the mean 1.

    .. math::

        \frac{w_i}{\frac1n \sum_j w_j}

    A density ratio has mean 1 under the source; an estimate of it need not. With these weights, dividing by :math:`n`
    and dividing by :math:`\sum_i w_i` is the same.

    Parameters
    ----------
    w : Tensor, shape (n,), in [0, inf)
        The importance weights, on any scale.

    Returns
    -------
    Tensor, shape (n,), in [0, n]
        The scaled weights, with the dtype of ``w``.

    Raises
    ------
    TypeError
        If ``w`` is not a real floating-point tensor.
    ValueError
        If ``w`` is not a vector, has a negative, infinite or NaN entry, or has no positive one.

    See Also
    --------
    dlcore.risk.importance_weighted_risk : With ``normalize=True`` it does the same to a risk.

    References
    ----------
    .. [1] A. B. Owen, *Monte Carlo Theory, Methods and Examples*, 2013, section 9.2.

    Examples
    --------
    >>> normalize_weights(torch.tensor([1e30, 3e30, 0.0, 0.0]))
    tensor([1., 3., 0., 0.])
    """
    check_rows(w=w)
    check_weights("w", w)
    return scaled_to_mean_one("w", w).to(w.dtype)


def normalize_log_weights(log_w: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    r"""Return the logarithms of weights, shifted so that the weights have mean 1.

    .. math::

        \log w_i - \log\Bigl(\frac1n \sum_j w_j\Bigr)

    In many dimensions, ratios of densities overflow, but their logarithms do not.

    Parameters
    ----------
    log_w : Tensor, shape (n,), in [-inf, inf)
        The logarithms of the importance weights, on any scale; -inf is a weight of 0.

    Returns
    -------
    Tensor, shape (n,), in [-inf, log n]
        The shifted logarithms, with the dtype of ``log_w``.

    Raises
    ------
    TypeError
        If ``log_w`` is not a real floating-point tensor.
    ValueError
        If ``log_w`` is not a vector, has an entry that is NaN or inf, or has no finite one.

    See Also
    --------
    normalize_weights : The same for the weights.
    torch.log_softmax : The same for weights of sum 1.

    References
    ----------
    .. [1] A. B. Owen, *Monte Carlo Theory, Methods and Examples*, 2013, section 9.2.

    Examples
    --------
    >>> normalize_log_weights(torch.tensor([1000.0, 1000.0, -math.inf, -math.inf])).exp()
    tensor([2., 2., 0., 0.])
    """
    check_rows(log_w=log_w)
    check_floating(log_w=log_w)
    if log_w.dim() != 1:
        raise ValueError(f"log_w must have shape (n,), got {tuple(log_w.shape)}")
    check_values("log_w", log_w, "< inf", lambda log_w: log_w < math.inf)
    wide = log_w.double()  # a weight near the mean has a logarithm near 0
    largest = row_max(wide.detach()) if log_w.shape[0] else wide.new_tensor(-math.inf)
    if has_values(largest) and largest == -math.inf:
        raise ValueError("log_w must have a finite entry")
    distance = wide - replicated(largest, log_w)
    excess = row_mean(distance.expm1())  # of the mean over the largest weight; near 0 if all are nearly equal
    log_mean = torch.where(excess > -0.5, excess.log1p(), row_mean(distance.exp()).log())
    return (distance - replicated(log_mean, log_w)).to(log_w.dtype)


def pareto_smoothed_weights(w: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    r"""Return the weights, the largest replaced by quantiles of the distribution that is fitted to them.

    .. math::

        w_{(z)} \to \min\Bigl(u + \frac{\sigma}{k}\Bigl(\Bigl(1 - \frac{z - 1/2}{m}\Bigr)^{-k} - 1\Bigr),\
            \max_i w_i\Bigr), \qquad z = 1, \dots, m

    for the m weights above the threshold :math:`u` of :func:`pareto_shape`, in ascending order, where :math:`k` is the
    shape and :math:`\sigma = -k(\hat\theta)/\hat\theta` the scale of the fit. The largest weights then vary less from
    sample to sample, at the cost of a small bias. If fewer than five weights are above the threshold, nothing changes.

    Parameters
    ----------
    w : Tensor, shape (n,), in [0, inf)
        The importance weights, on any scale.

    Returns
    -------
    Tensor, shape (n,), in [0, max w]
        The smoothed weights, on the same scale, in the same order and with the dtype of ``w``.

    Raises
    ------
    TypeError
        If ``w`` is not a real floating-point tensor.
    ValueError
        If ``w`` is not a vector, or has a negative, infinite or NaN entry.

    See Also
    --------
    clip_weights : Replaces the largest weights by one number.
    pareto_shape : The shape, which says whether the smoothed weights can be trusted.

    References
    ----------
    .. [1] A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry, "Pareto smoothed importance sampling", *Journal of
       Machine Learning Research* 25, 2024.

    Examples
    --------
    Of 40 weights, 8 are the tail. One of them is far too large:

    >>> w = torch.cat([torch.linspace(0, 2, 39), torch.tensor([100.0])])
    >>> smoothed = pareto_smoothed_weights(w)
    >>> bool(smoothed.max() < 30), torch.equal(smoothed[:32], w[:32])
    (True, True)
    """
    check_rows(w=w)
    check_weights("w", w)
    n_tail = tail_length(len(w))
    if n_tail < MIN_TAIL_WEIGHTS:
        return w.clone()
    share = _relative_to_the_largest(w)
    k, sigma, m = fit_tail(w, n_tail)
    largest, places = row_topk(share, n_tail + 1)
    u = largest[-1]
    below = (torch.arange(n_tail, dtype=share.dtype, device=w.device) + 0.5) / m.clamp(min=1)  # 1 − (z − ½) / m
    quantiles = u + sigma / k * torch.expm1(-k * below.clamp(max=1).log())
    fitted = torch.arange(n_tail, device=w.device) < torch.where(m < MIN_TAIL_WEIGHTS, 0, m)
    wide = upcast(w)
    highest, tail = row_max(wide), rows_at(wide, places[:-1])
    smoothed = torch.where(fitted, (quantiles * highest.detach()).minimum(highest), tail)
    return replace_rows(wide, places[:-1], smoothed).to(w.dtype)


def weighted_quantile(x: Float[Tensor, "n"], w: Float[Tensor, "n"], *, level: float) -> Float[Tensor, ""]:
    r"""Return the smallest value such that at least a given share of the weight is at or below it.

    .. math::

        \min\Bigl\{x_i :\ \sum_j w_j\,\mathbb{1}[x_j \le x_i] \ge \alpha \sum_j w_j,\ w_i > 0\Bigr\}

    where :math:`\alpha` is the level. With importance weights it estimates a quantile of the target, such as the median
    of an outcome, or the bound of a prediction interval that holds under covariate shift.

    Parameters
    ----------
    x : Tensor, shape (n,)
        The values; an example of weight 0 is absent, and its value may be infinite or NaN.
    w : Tensor, shape (n,), in [0, inf)
        The weights, on any scale.
    level : float, in [0, 1]
        The level :math:`\alpha`: ½ for the median.

    Returns
    -------
    Tensor, shape ()
        The quantile, one of the values, with the dtype of ``x``; it is differentiable in ``x``.

    Raises
    ------
    TypeError
        If ``x`` or ``w`` is not a real floating-point tensor, they differ in dtype, or ``level`` is not a real number.
    ValueError
        If ``x`` does not have the shape of ``w``, or ``w`` is not a vector, has a negative, infinite or NaN entry, or
        has no positive one.
    ValueError
        If an ``x`` of positive weight is NaN, or ``level`` is not in [0, 1].

    See Also
    --------
    numpy.quantile : The same with ``method="inverted_cdf"`` and ``weights``.

    References
    ----------
    .. [1] R. J. Tibshirani, R. Foygel Barber, E. Candès and A. Ramdas, "Conformal prediction under covariate shift",
       *Advances in Neural Information Processing Systems* 32, 2019.

    Examples
    --------
    >>> x, w = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 1.0, 1.0, 5.0])
    >>> weighted_quantile(x, torch.ones(4), level=0.5), weighted_quantile(x, w, level=0.5)
    (tensor(2.), tensor(4.))
    """
    check_rows(x=x, w=w, level=level)
    check_weights("w", w)
    check_pair(w=w, x=x)
    check_number("level", level, "in [0, 1]", lambda level: 0 <= level <= 1)
    check_values("x", torch.where(w > 0, x, 0), "a number where w > 0", lambda x: ~x.isnan())
    return row_quantile(x, scaled_to_mean_one("w", w).to(torch.float64), level)


def flatten_weights(w: Float[Tensor, "n"], *, exponent: float) -> Float[Tensor, "n"]:
    r"""Return the weights raised to a power that makes them more equal.

    .. math::

        w_i^\tau

    where :math:`\tau` is the exponent: 1 leaves the weights as they are, 0 makes them all 1, and values
    between trade bias for variance. The mean changes; normalize the result if its mean matters.

    Parameters
    ----------
    w : Tensor, shape (n,), in [0, inf)
        The importance weights.
    exponent : float, in [0, 1]
        The flattening exponent :math:`\tau`.

    Returns
    -------
    Tensor, shape (n,), in [0, inf)
        The flattened weights, with the dtype of ``w``. For an exponent inside (0, 1) the slope at weight 0 is infinite.

    Raises
    ------
    TypeError
        If ``w`` is not a real floating-point tensor, or ``exponent`` not a real number.
    ValueError
        If ``w`` is not a vector, or has a negative, infinite or NaN entry, or ``exponent`` is not in [0, 1].

    See Also
    --------
    clip_weights : Changes only the large weights.

    References
    ----------
    .. [1] H. Shimodaira, "Improving predictive inference under covariate shift by weighting the log-likelihood
       function", *Journal of Statistical Planning and Inference* 90(2), 2000.

    Examples
    --------
    >>> w = torch.tensor([0.0, 0.25, 1.0, 16.0])
    >>> flatten_weights(w, exponent=0.5)
    tensor([0.0000, 0.5000, 1.0000, 4.0000])
    >>> flatten_weights(w, exponent=0)
    tensor([1., 1., 1., 1.])
    """
    check_rows(w=w, exponent=exponent)
    check_weights("w", w)
    check_number("exponent", exponent, "in [0, 1]", lambda exponent: 0 <= exponent <= 1)
    wide = upcast(w)
    power = exponent and max(exponent, torch.finfo(wide.dtype).tiny)  # an exponent that underflows would turn 0 into 1
    return (wide**power).to(w.dtype)


def _largest(w: Tensor) -> Tensor:
    """Return the largest weight, or 1 if all are 0, in float32 at least: over it no sum of weights overflows."""
    largest = upcast(row_max(w.detach()) if w.shape[0] else w.new_ones(()))
    return torch.where(largest > 0, largest, 1)


def _relative_to_the_largest(w: Tensor) -> Tensor:
    """Return the weights over the largest, in float32 at least: their scale does not matter, but may overflow."""
    return upcast(w) / _largest(w)


def largest_and_mean(name: str, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the largest weight and the mean of the weights over it, in a dtype; raise ValueError if all are 0."""
    largest = _largest(w)

    def relative(w: Tensor) -> Tensor:
        return w.to(dtype) / largest

    mean = sum_over_rows(relative, w) / w.shape[0]
    if has_values(mean) and not mean > 0:
        raise ValueError(f"{name} must be finite and not all 0 to be divided by their sum")
    return largest, mean


def scaled_to_mean_one(name: str, w: Tensor) -> Tensor:
    """Return the weights over their mean, half precision in float32; raise ValueError if all are 0."""
    largest, mean = largest_and_mean(name, w, accumulation_dtype(w.dtype))
    return upcast(w) / largest / replicated(mean, w)
