r"""Synthetic data sets: how far is an estimate from the truth?

With real data the truth is unknown. These functions draw random data and also return the true values behind them: the
parameters of a regression, or the density ratio between two distributions.
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ._checks import check_count, check_finite_in, check_floating, check_nonnegative, check_number, check_positive_in
from ._torch import generator_option, loadable

__all__ = [
    "GaussianShift",
    "LinearRegression",
    "PolynomialRegression",
    "gaussian_shift",
    "linear_regression",
    "polynomial_regression",
]

Array = Any  # a tensor or a NumPy array


@loadable
class LinearRegression(NamedTuple):
    """Examples of a linear model with noise, and the true parameters.

    Parameters
    ----------
    x : Tensor, shape (n, n_in)
        The inputs.
    y : Tensor, shape (n,)
        The noisy targets.
    weight, bias : Tensor, shape (n_in,) and ()
        The true parameters.

    Examples
    --------
    >>> LinearRegression._fields
    ('x', 'y', 'weight', 'bias')
    """

    x: Tensor
    y: Tensor
    weight: Tensor
    bias: Tensor


@loadable
class PolynomialRegression(NamedTuple):
    """Examples of a polynomial with noise, and the true coefficients.

    Parameters
    ----------
    x, y : Tensor, shape (n,)
        The inputs, and the noisy targets.
    coefficients : Tensor, shape (n_coefficients,)
        The true coefficients, from the constant term upwards.

    Examples
    --------
    >>> PolynomialRegression._fields
    ('x', 'y', 'coefficients')
    """

    x: Tensor
    y: Tensor
    coefficients: Tensor


@loadable
class GaussianShift(NamedTuple):
    r"""Samples from a standard normal source and a normal target, whose density ratio is known.

    Parameters
    ----------
    source, target : Tensor, shape (n_source, d) and (n_target, d)
        The samples, from :math:`\mathcal{N}(\mathbf{0}, \mathbf{I})` and
        :math:`\mathcal{N}(\boldsymbol{\mu}, \sigma^2\mathbf{I})`.
    mean, std : Tensor, shape (d,), and float
        The true mean :math:`\boldsymbol{\mu}` and standard deviation :math:`\sigma` of the target.

    Examples
    --------
    >>> shift = gaussian_shift(100, 50, mean=torch.tensor([0.5, 0.0]))
    >>> shift.source.shape, shift.target.shape
    (torch.Size([100, 2]), torch.Size([50, 2]))
    >>> shift.log_ratio(torch.tensor([[0.25, 7.0], [1.25, 7.0]]))
    tensor([0.0000, 0.5000])
    """

    source: Tensor
    target: Tensor
    mean: Tensor
    std: float

    def log_ratio(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        r"""Return the log-density of the target minus that of the source at the points x, shape (\*, d).

        .. math::

            \log\frac{p(\mathbf{x})}{q(\mathbf{x})} = \frac{\lVert\mathbf{x}\rVert^2}{2}
                - \frac{\lVert\mathbf{x} - \boldsymbol{\mu}\rVert^2}{2\sigma^2} - d\log\sigma
        """
        check_floating(x=x)
        if x.dim() == 0 or x.shape[-1] != len(self.mean):
            raise ValueError(f"x must have shape (*, {len(self.mean)}), got {tuple(x.shape)}")
        distance = (x - self.mean) / self.std
        # each difference of squares is written as a product: for std 1, x cancels in the first factor
        terms = (x * (1 - 1 / self.std) + self.mean / self.std) * (x + distance) / 2
        return (terms - math.log(self.std)).sum(dim=-1)

    @property
    def effective_sample_size(self) -> float:
        r"""The effective sample size of the source under the exact weights, in the limit of large n.

        With :math:`w = p/q`, it is the number of source examples :math:`n` divided by :math:`\mathrm{E}_q[w^2]`,

        .. math::

            n_\mathrm{eff} = n \left(\sigma\sqrt{2 - \sigma^2}\right)^{d}
                \exp\left(-\frac{\lVert\boldsymbol{\mu}\rVert^2}{2 - \sigma^2}\right),

        which is :math:`n\exp(-\lVert\boldsymbol{\mu}\rVert^2)` for :math:`\sigma = 1`. For :math:`\sigma^2 \ge 2` the
        variance of the weights is infinite, and the effective sample size is 0.
        """
        rest = 2 - self.std * self.std
        if rest <= 0:
            return 0.0
        squared_length = float(self.mean.double().square().sum())
        log_share = len(self.mean) * (math.log(self.std) + math.log(rest) / 2) - squared_length / rest
        return len(self.source) * math.exp(log_share)


def linear_regression(
    weight: Array, bias: Array, n: int, *, noise_std: float = 0.01, generator: Generator | None = None
) -> LinearRegression:
    r"""Return examples of a linear model with normal noise, and the true parameters.

    .. math::

        y = \mathbf{x}^\top\mathbf{w} + b + \epsilon, \qquad \mathbf{x} \sim \mathcal{N}(\mathbf{0}, \mathbf{I}),
        \quad \epsilon \sim \mathcal{N}(0, \sigma^2)

    Parameters
    ----------
    weight : Tensor or numpy.ndarray, shape (n_in,)
        The weight :math:`\mathbf{w}`; the data get its dtype and device.
    bias : float, or Tensor or numpy.ndarray of shape ()
        The bias :math:`b`.
    n : int, at least 0
        The number of examples.
    noise_std : float, at least 0, default 0.01
        The standard deviation :math:`\sigma` of the noise.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    LinearRegression
        The inputs ``x``, the targets ``y``, and the true ``weight`` and ``bias``.

    Raises
    ------
    TypeError
        If ``weight`` does not hold real floating-point numbers, ``bias`` or ``noise_std`` is not a real number, or
        ``n`` is not an integer.
    ValueError
        If ``weight`` is not a vector, ``bias`` is not a scalar, ``n`` is negative, or ``noise_std`` is negative or not
        finite.

    See Also
    --------
    sklearn.datasets.make_regression : Also draws the weight at random.
    dlcore.linear.least_squares : Estimates the parameters from such data.

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li and A. J. Smola, *Dive into Deep Learning*, 2023, section 3.3.

    Examples
    --------
    >>> data = linear_regression(torch.tensor([2.0, -4.0]), 0.5, 3, noise_std=0.0)
    >>> torch.equal(data.y, data.x @ data.weight + data.bias)
    True
    """
    true_weight = _vector("weight", weight)
    if hasattr(bias, "__array__"):
        true_bias = torch.as_tensor(bias).to(true_weight)
        check_floating(bias=torch.as_tensor(bias))
        if true_bias.dim() != 0:
            raise ValueError(f"bias must have shape (), got {tuple(true_bias.shape)}")
    else:
        check_number("bias", bias, "a number", lambda _: True)
        if math.isfinite(bias):
            check_finite_in("bias", bias, [true_weight.dtype])
        true_bias = torch.tensor(bias, dtype=true_weight.dtype, device=true_weight.device)
    check_count("n", n, 0)
    x = _standard_normal((n, len(true_weight)), true_weight, generator)
    y = x @ true_weight + true_bias + _noise(n, noise_std, true_weight, generator)
    return LinearRegression(x, y, true_weight, true_bias)


def polynomial_regression(
    coefficients: Array, n: int, *, noise_std: float = 0.1, generator: Generator | None = None
) -> PolynomialRegression:
    r"""Return examples of a polynomial on [-1, 1] with normal noise, and the true coefficients.

    .. math::

        y = \sum_{k=0}^{K} c_k x^k + \epsilon, \qquad x \sim U(-1, 1), \quad \epsilon \sim \mathcal{N}(0, \sigma^2)

    Parameters
    ----------
    coefficients : Tensor or numpy.ndarray, shape (K + 1,)
        The coefficients :math:`c_0, \dots, c_K`, the constant first; the data get their dtype and device.
    n : int, at least 0
        The number of examples.
    noise_std : float, at least 0, default 0.1
        The standard deviation :math:`\sigma` of the noise.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    PolynomialRegression
        The inputs ``x``, the targets ``y``, and the true ``coefficients``.

    Raises
    ------
    TypeError
        If ``coefficients`` does not hold real floating-point numbers, ``noise_std`` is not a real number, or ``n`` is
        not an integer.
    ValueError
        If ``coefficients`` is not a vector, ``n`` is negative, or ``noise_std`` is negative or not finite.

    See Also
    --------
    numpy.polynomial.polynomial.polyval : Evaluates the polynomial, with the coefficients in the same order.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 1.1.

    Examples
    --------
    >>> data = polynomial_regression(torch.tensor([1.0, 0.0, 2.0]), 100, noise_std=0.0)
    >>> torch.equal(data.y, 1 + 2 * data.x * data.x)
    True
    """
    true = _vector("coefficients", coefficients)
    check_count("n", n, 0)
    x = 2 * torch.rand(n, **generator_option(generator), dtype=true.dtype, device=true.device) - 1
    y = torch.zeros_like(x)
    for c in reversed(true.unbind()):
        y = y * x + c
    return PolynomialRegression(x, y + _noise(n, noise_std, true, generator), true)


def gaussian_shift(
    n_source: int, n_target: int, *, mean: Array, std: float = 1.0, generator: Generator | None = None
) -> GaussianShift:
    r"""Return samples from two normal distributions whose density ratio is known.

    .. math::

        \mathbf{x}_\mathrm{source} \sim \mathcal{N}(\mathbf{0}, \mathbf{I}), \qquad
        \mathbf{x}_\mathrm{target} \sim \mathcal{N}(\boldsymbol{\mu}, \sigma^2\mathbf{I})

    Parameters
    ----------
    n_source, n_target : int, at least 0
        The numbers of examples in the two samples.
    mean : Tensor or numpy.ndarray, shape (d,)
        The mean :math:`\boldsymbol{\mu}` of the target; the data get its dtype and device.
    std : float, more than 0, default 1.0
        The standard deviation :math:`\sigma` of the target along each axis.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    GaussianShift
        The samples ``source`` and ``target``, the true ``mean`` and ``std``, the method ``log_ratio`` and the property
        ``effective_sample_size``.

    Raises
    ------
    TypeError
        If ``mean`` does not hold real floating-point numbers, ``std`` is not a real number, or a count is not an
        integer.
    ValueError
        If ``mean`` is not a vector, ``std`` is not positive and finite, or a count is negative.

    See Also
    --------
    dlcore.likelihood.normal_log_density : The logarithm of each of the two densities, in one dimension.

    References
    ----------
    .. [1] A. B. Owen, *Monte Carlo Theory, Methods and Examples*, 2013, chapter 9.

    Examples
    --------
    >>> shift = gaussian_shift(1000, 500, mean=torch.tensor([0.0, 0.0]))
    >>> shift.log_ratio(shift.target).abs().max(), shift.effective_sample_size
    (tensor(0.), 1000.0)
    """
    true_mean = _vector("mean", mean)
    check_number("std", std, "> 0 and finite", lambda std: 0 < std < math.inf)
    check_finite_in("std", std, [true_mean.dtype])
    check_positive_in("std", std, true_mean.dtype)
    check_count("n_source", n_source, 0)
    check_count("n_target", n_target, 0)
    source = _standard_normal((n_source, len(true_mean)), true_mean, generator)
    target = true_mean + std * _standard_normal((n_target, len(true_mean)), true_mean, generator)
    return GaussianShift(source, target, true_mean, std)


def _vector(name: str, values: Array) -> Tensor:
    x = torch.as_tensor(values) if hasattr(values, "__array__") else values
    check_floating(**{name: x})
    if x.dim() != 1:
        raise ValueError(f"{name} must be a vector, got shape {tuple(x.shape)}")
    return x


def _standard_normal(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    return torch.randn(shape, **generator_option(generator), dtype=like.dtype, device=like.device)


def _noise(n: int, noise_std: float, like: Tensor, generator: Generator | None) -> Tensor:
    check_nonnegative("noise_std", noise_std)
    check_finite_in("noise_std", noise_std, [like.dtype])
    return noise_std * _standard_normal((n,), like, generator)
