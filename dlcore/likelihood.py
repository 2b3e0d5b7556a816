r"""Likelihood: how probable are the data, and which loss follows from that?

This chapter contains the densities of normal and Laplace noise, and the negative log-likelihood of a data set. A few
standard deviations from the mean, a density underflows to 0 but its logarithm does not; the negative logarithms are
summed over a data set and minimized. Up to a factor and a constant, the negative log-density of normal noise is the
squared loss, and that of Laplace noise is the absolute loss.
"""

import math

import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the examples look it up here
from jaxtyping import Float
from torch import Tensor

from ._checks import check_finite_in, check_floating, check_number, check_positive_in, check_values
from ._numerics import accumulation_dtype

__all__ = [
    "laplace_log_density",
    "negative_log_likelihood",
    "normal_density",
    "normal_log_density",
]


def normal_density(
    x: Float[Tensor, "*shape"],
    *,
    mean: float | Float[Tensor, "*#shape"] = 0.0,
    std: float | Float[Tensor, "*#shape"] = 1.0,
) -> Float[Tensor, "*shape"]:
    r"""Return the density of the normal distribution.

    .. math::

        p(x) = \frac{1}{\sqrt{2\pi\sigma^2}} \exp\Bigl(-\frac{(x-\mu)^2}{2\sigma^2}\Bigr)

    where :math:`\mu` is the mean and :math:`\sigma` is the standard deviation. With :math:`\sigma = 1` it underflows
    to 0 in float32 beyond 15 standard deviations; use :func:`normal_log_density` to multiply or compare densities.

    Parameters
    ----------
    x : Tensor, shape (*)
        The points at which to evaluate the density.
    mean : float or Tensor that broadcasts to the shape of ``x``, default 0.0
        The mean :math:`\mu`, in the unit of ``x``.
    std : float or Tensor that broadcasts to the shape of ``x``, > 0, default 1.0
        The standard deviation :math:`\sigma`, in the unit of ``x``. The values of a tensor are not checked under
        ``torch.compile`` and ``torch.func``.

    Returns
    -------
    Tensor, shape (*), in [0, inf)
        The densities, with the dtype of ``x``, per unit of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    TypeError
        If ``mean`` or ``std`` is neither a real number nor a real floating-point tensor.
    ValueError
        If ``std`` is not positive, or is a number below the normal range of the dtype.
    ValueError
        If ``mean`` or ``std`` does not broadcast to the shape of ``x``.

    See Also
    --------
    torch.distributions.normal.Normal : The distribution as an object; it has only the log-density.
    normal_log_density : The logarithm, which does not underflow.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 1.2.4.

    Examples
    --------
    With :math:`\sigma = 1/\sqrt{2\pi}` the factor in front of the exponential is 1:

    >>> x = torch.tensor([0.0, 1.0, 2.0])
    >>> p = normal_density(x, std=1 / math.sqrt(2 * math.pi))
    >>> torch.allclose(p, torch.exp(-math.pi * x**2))
    True

    Half the standard deviation doubles the density:

    >>> normal_density(x / 2, std=0.5) / normal_density(x)
    tensor([2., 2., 2.])
    """
    z, log_std = _standardize(x, mean, "std", std)
    z = z.clamp(-100.0, 100.0)  # exp(-5000) is 0 in every dtype; the clamp keeps inf * 0 out of the gradient
    return _normal_log_density(z, log_std).exp().to(x.dtype)


def normal_log_density(
    x: Float[Tensor, "*shape"],
    *,
    mean: float | Float[Tensor, "*#shape"] = 0.0,
    std: float | Float[Tensor, "*#shape"] = 1.0,
) -> Float[Tensor, "*shape"]:
    r"""Return the logarithm of the density of the normal distribution.

    .. math::

        \log p(x) = -\frac12 \log 2\pi\sigma^2 - \frac{(x-\mu)^2}{2\sigma^2}

    where :math:`\mu` is the mean and :math:`\sigma` is the standard deviation. If :math:`y` is a prediction
    :math:`\hat y` plus normal noise, this is a constant minus the squared loss :math:`\frac12(\hat y-y)^2` divided by
    :math:`\sigma^2`, so maximizing the likelihood minimizes the squared loss.

    Parameters
    ----------
    x : Tensor, shape (*)
        The points at which to evaluate the density.
    mean : float or Tensor that broadcasts to the shape of ``x``, default 0.0
        The mean :math:`\mu`, in the unit of ``x``.
    std : float or Tensor that broadcasts to the shape of ``x``, > 0, default 1.0
        The standard deviation :math:`\sigma`, in the unit of ``x``. The values of a tensor are not checked under
        ``torch.compile`` and ``torch.func``.

    Returns
    -------
    Tensor, shape (*), in [-inf, inf)
        The log-densities in nats, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    TypeError
        If ``mean`` or ``std`` is neither a real number nor a real floating-point tensor.
    ValueError
        If ``std`` is not positive, or is a number below the normal range of the dtype.
    ValueError
        If ``mean`` or ``std`` does not broadcast to the shape of ``x``.

    See Also
    --------
    torch.distributions.normal.Normal : Its ``log_prob`` squares before it divides, and is NaN in float32
        for 2e30 with standard deviation 1e30.
    torch.nn.functional.gaussian_nll_loss : The negative without the constant, with a lower bound on the variance.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 1.2.5.

    Examples
    --------
    The negative log-density of normal noise is the squared loss divided by :math:`\sigma^2`, plus a constant:

    >>> y, y_hat, std = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.5, 1.0, 4.0]), 0.5
    >>> squared_loss = (y_hat - y) ** 2 / 2
    >>> constant = math.log(2 * math.pi * std**2) / 2
    >>> torch.allclose(-normal_log_density(y, mean=y_hat, std=std), constant + squared_loss / std**2)
    True

    Far from the mean the density is 0, but its logarithm still depends on the distance:

    >>> x = torch.tensor([1e4, 1e18])
    >>> normal_density(x)
    tensor([0., 0.])
    >>> normal_log_density(x).tolist() == (-(x**2) / 2).tolist()
    True
    """
    z, log_std = _standardize(x, mean, "std", std)
    return _normal_log_density(z, log_std).to(x.dtype)


def laplace_log_density(
    x: Float[Tensor, "*shape"],
    *,
    mean: float | Float[Tensor, "*#shape"] = 0.0,
    scale: float | Float[Tensor, "*#shape"] = 1.0,
) -> Float[Tensor, "*shape"]:
    r"""Return the logarithm of the density of the Laplace distribution.

    .. math::

        \log p(x) = -\log 2b - \frac{|x-\mu|}{b}

    where :math:`\mu` is the mean and :math:`b` is the scale; the standard deviation is :math:`\sqrt2\,b`. Normal noise
    leads to the squared loss, and Laplace noise to the absolute loss. Laplace noise has heavier tails, and the gradient
    of an outlier does not grow with its distance.

    Parameters
    ----------
    x : Tensor, shape (*)
        The points at which to evaluate the density.
    mean : float or Tensor that broadcasts to the shape of ``x``, default 0.0
        The mean :math:`\mu`, which is also the median, in the unit of ``x``.
    scale : float or Tensor that broadcasts to the shape of ``x``, > 0, default 1.0
        The scale :math:`b`, the mean absolute deviation, in the unit of ``x``. The values of a tensor are not checked
        under ``torch.compile`` and ``torch.func``.

    Returns
    -------
    Tensor, shape (*), in [-inf, inf)
        The log-densities in nats, with the dtype of ``x``; at the kink at the mean, the gradient is 0.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    TypeError
        If ``mean`` or ``scale`` is neither a real number nor a real floating-point tensor.
    ValueError
        If ``scale`` is not positive, or is a number below the normal range of the dtype.
    ValueError
        If ``mean`` or ``scale`` does not broadcast to the shape of ``x``.

    See Also
    --------
    torch.distributions.laplace.Laplace : The distribution as an object.
    dlcore.norms.l1_norm : The sum of the absolute deviations.

    References
    ----------
    .. [1] S. Boyd and L. Vandenberghe, *Convex Optimization*, 2004, section 7.1.1.

    Examples
    --------
    At scale one half the log-density at the mean is 0, and it falls by twice the distance:

    >>> laplace_log_density(torch.tensor([3.0, 4.0, 1.0]), mean=3.0, scale=0.5)
    tensor([ 0., -2., -4.])

    The likelihood of three observations is greatest at their median under Laplace noise, and at their mean under normal
    noise:

    >>> y = torch.tensor([1.0, 2.0, 6.0])
    >>> torch.func.grad(lambda m: laplace_log_density(y, mean=m).sum())(torch.tensor(2.0))
    tensor(0.)
    >>> torch.func.grad(lambda m: normal_log_density(y, mean=m).sum())(torch.tensor(3.0))
    tensor(0.)
    """
    z, log_scale = _standardize(x, mean, "scale", scale)
    return (-log_scale - math.log(2) - z.abs()).to(x.dtype)


def negative_log_likelihood(log_densities: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    r"""Return the negative log-likelihood of a data set of independent examples.

    .. math::

        -\log P(\mathbf{y}) = -\log \prod_{i=1}^{n} p(y_i) = -\sum_{i=1}^{n} \log p(y_i)

    The logarithm turns the product into a sum over the data set; divide by :math:`n` for the mean.

    Parameters
    ----------
    log_densities : Tensor, shape (*)
        The log-density or log-probability of each observation.

    Returns
    -------
    Tensor, shape (), in (-inf, inf]
        The sum over all entries, in nats, with the dtype of ``log_densities``; 0 if there are none.

    Raises
    ------
    TypeError
        If ``log_densities`` is not a real floating-point tensor.

    See Also
    --------
    torch.nn.NLLLoss : Selects the log-probabilities of the labels first, and returns their mean by default.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 1.2.4.

    Examples
    --------
    >>> negative_log_likelihood(torch.tensor([-1.0, -0.5, -2.0]))
    tensor(3.5000)

    The product of a hundred thousand densities underflows to 0, but the sum of their logarithms is finite:

    >>> log_densities = torch.full((100_000,), -2.0)
    >>> log_densities.exp().prod(), negative_log_likelihood(log_densities)
    (tensor(0.), tensor(200000.))
    """
    check_floating(log_densities=log_densities)
    return log_densities.neg().sum()


def _normal_log_density(z: Tensor, log_std: float | Tensor) -> Tensor:
    return -log_std - math.log(2 * math.pi) / 2 - (z / 2) * z  # z * z may overflow where its half does not


def _standardize(x: Tensor, mean: float | Tensor, name: str, scale: float | Tensor) -> tuple[Tensor, float | Tensor]:
    """Return (x - mean) / scale and log(scale), in float32 for half precision.

    The difference is that of float64, which holds a mean that is a Python number; it may be small.
    """
    check_floating(x=x)
    _check_parameter(x, "mean", mean)
    _check_parameter(x, name, scale)
    wide = accumulation_dtype(x.dtype)
    if not isinstance(mean, Tensor) and math.isfinite(mean):
        check_finite_in("mean", mean, [wide])
    if isinstance(scale, Tensor):
        check_values(name, scale, "> 0", lambda scale: scale > 0)
        if scale.dtype != x.dtype:
            check_values(name, scale.to(wide), f"> 0 in {wide}", lambda scale: scale > 0)
        log_scale = scale.to(wide).log()
    else:
        check_number(name, scale, "> 0", lambda scale: scale > 0)
        check_positive_in(name, scale, wide)
        log_scale = math.log(scale)
    return ((x.double() - mean) / scale).to(wide), log_scale


def _check_parameter(x: Tensor, name: str, value: float | Tensor) -> None:
    if not isinstance(value, Tensor):
        check_number(name, value, "a number", lambda _: True)
        return
    check_floating(**{name: value})
    padded = (1,) * (x.dim() - value.dim()) + value.shape
    if len(padded) != x.dim() or any(n not in (1, m) for m, n in zip(x.shape, padded, strict=True)):
        hint = f"; {name}.reshape(x.shape) makes them agree" if value.numel() == x.numel() else ""
        raise ValueError(
            f"{name} must broadcast to the shape of x, got {tuple(value.shape)} for {tuple(x.shape)}{hint}"
        )
