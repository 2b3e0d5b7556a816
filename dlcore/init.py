r"""Initialization: how should weights be drawn?

Equal weights stay equal: all hidden units of a layer compute the same value and receive the same gradient, so a weight
matrix that starts constant keeps rank 1. Initial weights are therefore random, and their variance must be chosen.

A layer computes :math:`o_i = \sum_{j=1}^{n_\mathrm{in}} w_{ij} x_j`. Let the weights be independent of each other and
of the inputs, with mean 0 and variance :math:`\sigma^2`, and let the inputs have mean 0 and variance
:math:`\gamma^2`. Then

.. math::

    \operatorname{Var}[o_i] = \mathrm{E}\Bigl[\Bigl(\sum_j w_{ij} x_j\Bigr)^2\Bigr]
        = \sum_j \mathrm{E}[w_{ij}^2]\,\mathrm{E}[x_j^2]
        + \sum_{j \ne k} \mathrm{E}[w_{ij}]\,\mathrm{E}[w_{ik}]\,\mathrm{E}[x_j x_k]
        = n_\mathrm{in}\,\sigma^2\gamma^2

The cross terms vanish because :math:`\mathrm{E}[w] = 0`, even if the inputs depend on each other. In the forward pass,
the variance stays the same if :math:`n_\mathrm{in}\sigma^2 = 1`; it grows if this product is larger, and shrinks if it
is smaller. In the backward pass, the gradient with respect to an input is a similar sum over the outputs,
:math:`\sum_i w_{ij}\,\partial l/\partial o_i`, and its variance stays the same if
:math:`n_\mathrm{out}\sigma^2 = 1`. Both conditions can hold only in a square layer; Xavier's compromise is
:math:`\frac12(n_\mathrm{in} + n_\mathrm{out})\,\sigma^2 = 1`. A ReLU halves :math:`\mathrm{E}[x^2]`, and He's scheme
compensates by doubling :math:`\sigma^2`.

Weights have shape (n_in, n_out), so that a layer computes ``x @ weight``. This is the transpose of the weight of
:class:`torch.nn.Linear`, and :mod:`torch.nn.init` assumes torch's layout: for a weight of this library, the ``fan_in``
of torch is ``weight.shape[1]``, the number of *outputs*. The returned tensors have ``requires_grad=False``.

The functions whose names end in ``_`` write to the weight of a module, which has shape (n_out, n_in), or (n_out, n_in,
...) for a convolution. An output of a convolution also sums over the :math:`k` positions of its kernel, so its fans are
:math:`k n_\mathrm{in}` and :math:`k n_\mathrm{out}`.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ._checks import check_count, check_finite_in, check_floating, check_nonnegative, check_number, sizes_of
from ._torch import generator_option, laid_out_like

__all__ = [
    "constant",
    "he_normal",
    "he_normal_",
    "he_uniform",
    "he_uniform_",
    "normal",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros",
]

Weight = Float[Tensor, "n_out n_in *kernel"]
Shape = int | Sequence[int]
Source = Generator | None
DType = torch.dtype | None
Device = torch.device | str | int | None
SQRT_2 = math.sqrt(2)


def normal(
    shape: Shape, *, std: float = 0.01, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "..."]:
    r"""Return independent, normally distributed weights with mean 0.

    .. math::

        w \sim \mathcal{N}(0, \sigma^2)

    Parameters
    ----------
    shape : int or sequence of int
        The shape, such as (n_in, n_out).
    std : float, at least 0, default 0.01
        The standard deviation :math:`\sigma`, not the variance.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state does not change.

    Returns
    -------
    Tensor, shape ``shape``
        The weights.

    Raises
    ------
    TypeError
        If an entry of ``shape`` is not an integer, ``std`` is not a real number, or ``dtype`` is not floating-point.
    ValueError
        If an entry of ``shape`` is negative, or ``std`` is negative or not finite.

    See Also
    --------
    torch.nn.init.normal_ : The same, in place, with standard deviation 1 by default.

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li and A. J. Smola, *Dive into Deep Learning*, 2023, section 3.4.

    Examples
    --------
    >>> weight = normal((784, 10), generator=torch.Generator().manual_seed(0)).requires_grad_()
    >>> weight.shape, round(weight.std().item(), 3)
    (torch.Size([784, 10]), 0.01)
    """
    check_nonnegative("std", std)
    _check_fits("std", std, dtype)
    return std * torch.randn(_sizes(shape, dtype), **generator_option(generator), dtype=dtype, device=device)


def zeros(shape: Shape, *, dtype: DType = None, device: Device = None) -> Float[Tensor, "..."]:
    r"""Return zeros, the usual initial biases.

    .. math::

        b = 0

    Parameters
    ----------
    shape : int or sequence of int
        The shape, such as (n_out,).
    dtype, device : torch.dtype and torch.device, optional
        As for :func:`torch.empty`.

    Returns
    -------
    Tensor, shape ``shape``
        The zeros.

    Raises
    ------
    TypeError
        If an entry of ``shape`` is not an integer, or ``dtype`` is not floating-point.
    ValueError
        If an entry of ``shape`` is negative.

    See Also
    --------
    torch.zeros : The same for every dtype.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 8.4.

    Examples
    --------
    >>> zeros(3)
    tensor([0., 0., 0.])
    """
    return constant(shape, 0.0, dtype=dtype, device=device)


def constant(shape: Shape, value: float, *, dtype: DType = None, device: Device = None) -> Float[Tensor, "..."]:
    r"""Return equal weights, to show why initial weights must differ.

    .. math::

        w_{ij} = c

    Parameters
    ----------
    shape : int or sequence of int
        The shape, such as (n_in, n_out).
    value : float
        The value :math:`c`.
    dtype, device : torch.dtype and torch.device, optional
        As for :func:`torch.empty`.

    Returns
    -------
    Tensor, shape ``shape``
        The weights.

    Raises
    ------
    TypeError
        If an entry of ``shape`` is not an integer, ``value`` is not a real number, or ``dtype`` is not floating-point.
    ValueError
        If an entry of ``shape`` is negative.

    See Also
    --------
    torch.nn.init.constant_ : The same, in place.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 8.4.

    Examples
    --------
    >>> weight = constant((2, 3), 0.5)
    >>> torch.tensor([[1.0, 3.0]]) @ weight
    tensor([[2., 2., 2.]])
    """
    check_number("value", value, "a number", lambda _: True)
    if math.isfinite(value):
        _check_fits("value", value, dtype)
    return torch.full(_sizes(shape, dtype), value, dtype=dtype or torch.get_default_dtype(), device=device)


def xavier_uniform(
    n_in: int, n_out: int, *, gain: float = 1.0, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "n_in n_out"]:
    r"""Return uniform weights for Xavier initialization, a compromise between both directions.

    .. math::

        w \sim U(-a, a), \qquad a = g\sqrt{\frac{6}{n_\mathrm{in} + n_\mathrm{out}}}, \qquad
        \operatorname{Var}[w] = \frac{a^2}{3} = \frac{2 g^2}{n_\mathrm{in} + n_\mathrm{out}}

    Parameters
    ----------
    n_in, n_out : int, at least 1
        The numbers of inputs and of outputs.
    gain : float, at least 0, default 1.0
        The factor :math:`g`; 1 suits an activation that is close to the identity near 0, such as tanh.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state does not change.

    Returns
    -------
    Tensor, shape (n_in, n_out)
        The weights.

    Raises
    ------
    TypeError
        If ``n_in`` or ``n_out`` is not an integer, ``gain`` is not a real number, or ``dtype`` is not floating-point.
    ValueError
        If ``n_in`` or ``n_out`` is less than 1, or ``gain`` is negative or not finite.

    See Also
    --------
    torch.nn.init.xavier_uniform_ : The same, in place; the sum of the fans does not depend on the layout.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
       *AISTATS*, 2010.

    Examples
    --------
    >>> weight = xavier_uniform(2, 4)
    >>> weight.shape, bool((weight.abs() <= 1).all())
    (torch.Size([2, 4]), True)
    """
    _check_layer(n_in, n_out, gain, dtype)
    bound = gain * math.sqrt(6 / (n_in + n_out))
    return _uniform((n_in, n_out), bound, generator, dtype, device)


def xavier_normal(
    n_in: int, n_out: int, *, gain: float = 1.0, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "n_in n_out"]:
    r"""Return normal weights for Xavier initialization, a compromise between both directions.

    .. math::

        w \sim \mathcal{N}(0, \sigma^2), \qquad \sigma = g\sqrt{\frac{2}{n_\mathrm{in} + n_\mathrm{out}}}

    Parameters
    ----------
    n_in, n_out : int, at least 1
        The numbers of inputs and of outputs.
    gain : float, at least 0, default 1.0
        The factor :math:`g`; 1 suits an activation that is close to the identity near 0, such as tanh.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state does not change.

    Returns
    -------
    Tensor, shape (n_in, n_out)
        The weights.

    Raises
    ------
    TypeError
        If ``n_in`` or ``n_out`` is not an integer, ``gain`` is not a real number, or ``dtype`` is not floating-point.
    ValueError
        If ``n_in`` or ``n_out`` is less than 1, or ``gain`` is negative or not finite.

    See Also
    --------
    torch.nn.init.xavier_normal_ : The same, in place; the sum of the fans does not depend on the layout.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
       *AISTATS*, 2010.

    Examples
    --------
    >>> weight = xavier_normal(300, 100, generator=torch.Generator().manual_seed(0))
    >>> round((300 + 100) / 2 * weight.var().item(), 2)
    1.0
    """
    _check_layer(n_in, n_out, gain, dtype)
    std = gain * math.sqrt(2 / (n_in + n_out))
    return normal((n_in, n_out), std=std, generator=generator, dtype=dtype, device=device)


def he_uniform(
    n_in: int, n_out: int, *, gain: float = SQRT_2, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "n_in n_out"]:
    r"""Return uniform weights for He initialization, which keeps the forward variance through a ReLU.

    .. math::

        w \sim U(-a, a), \qquad a = g\sqrt{\frac{3}{n_\mathrm{in}}}, \qquad
        \operatorname{Var}[w] = \frac{a^2}{3} = \frac{g^2}{n_\mathrm{in}}

    Parameters
    ----------
    n_in, n_out : int, at least 1
        The numbers of inputs and of outputs.
    gain : float, at least 0, default sqrt(2)
        The factor :math:`g`; the square root of 2 compensates for a ReLU, which halves :math:`\mathrm{E}[x^2]`.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state does not change.

    Returns
    -------
    Tensor, shape (n_in, n_out)
        The weights.

    Raises
    ------
    TypeError
        If ``n_in`` or ``n_out`` is not an integer, ``gain`` is not a real number, or ``dtype`` is not floating-point.
    ValueError
        If ``n_in`` or ``n_out`` is less than 1, or ``gain`` is negative or not finite.

    See Also
    --------
    torch.nn.init.kaiming_uniform_ : The same, in place, for the transpose; for this layout, pass ``mode="fan_out"``.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level performance on
       ImageNet classification", *ICCV*, 2015, section 2.2.

    Examples
    --------
    >>> weight = he_uniform(6, 4)
    >>> weight.shape, bool((weight.abs() <= 1).all())
    (torch.Size([6, 4]), True)
    """
    _check_layer(n_in, n_out, gain, dtype)
    bound = gain * math.sqrt(3 / n_in)
    return _uniform((n_in, n_out), bound, generator, dtype, device)


def he_normal(
    n_in: int, n_out: int, *, gain: float = SQRT_2, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "n_in n_out"]:
    r"""Return normal weights for He initialization, which keeps the forward variance through a ReLU.

    .. math::

        w \sim \mathcal{N}(0, \sigma^2), \qquad \sigma = \frac{g}{\sqrt{n_\mathrm{in}}}

    Parameters
    ----------
    n_in, n_out : int, at least 1
        The numbers of inputs and of outputs.
    gain : float, at least 0, default sqrt(2)
        The factor :math:`g`; the square root of 2 compensates for a ReLU, which halves :math:`\mathrm{E}[x^2]`.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state does not change.

    Returns
    -------
    Tensor, shape (n_in, n_out)
        The weights.

    Raises
    ------
    TypeError
        If ``n_in`` or ``n_out`` is not an integer, ``gain`` is not a real number, or ``dtype`` is not floating-point.
    ValueError
        If ``n_in`` or ``n_out`` is less than 1, or ``gain`` is negative or not finite.

    See Also
    --------
    torch.nn.init.kaiming_normal_ : The same, in place, for the transpose; for this layout, pass ``mode="fan_out"``.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level performance on
       ImageNet classification", *ICCV*, 2015, section 2.2.

    Examples
    --------
    >>> weight = he_normal(300, 100, generator=torch.Generator().manual_seed(0))
    >>> round(300 * weight.var().item(), 2)
    2.0
    """
    _check_layer(n_in, n_out, gain, dtype)
    std = gain / math.sqrt(n_in)
    return normal((n_in, n_out), std=std, generator=generator, dtype=dtype, device=device)


def xavier_uniform_(weight: Weight, *, gain: float = 1.0, generator: Source = None) -> Weight:
    r"""Fill the weight of a module with uniform weights for Xavier initialization, a compromise of both directions.

    .. math::

        w \sim U(-a, a), \qquad a = g\sqrt{\frac{6}{k\,(n_\mathrm{in} + n_\mathrm{out})}}

    where :math:`k` is the size of the kernel, 1 for a linear layer.

    Parameters
    ----------
    weight : Tensor, shape (n_out, n_in, ...)
        The weight of a linear layer or of a convolution, which is overwritten.
    gain : float, at least 0, default 1.0
        The factor :math:`g`; 1 suits an activation that is close to the identity near 0, such as tanh.
    generator : torch.Generator, optional
        As for :func:`torch.rand`; with a generator, the global random state does not change. From the same state, the
        transpose of a linear layer's weight gets the values of :func:`xavier_uniform`.

    Returns
    -------
    Tensor, shape (n_out, n_in, ...)
        The weight itself.

    Raises
    ------
    TypeError
        If ``weight`` is not a real floating-point tensor, or ``gain`` not a real number.
    ValueError
        If ``weight`` has fewer than two dimensions or no entry, or ``gain`` is negative or not finite.

    See Also
    --------
    xavier_uniform : A new weight for ``x @ weight``, the transpose.
    torch.nn.init.xavier_uniform_ : The same, in another order of the draws.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
       *AISTATS*, 2010.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 4)
    >>> bool((xavier_uniform_(layer.weight).abs() <= 1).all())
    True
    >>> drawn = xavier_uniform_(layer.weight, generator=torch.Generator().manual_seed(0)).T
    >>> torch.equal(drawn, xavier_uniform(2, 4, generator=torch.Generator().manual_seed(0)))
    True
    """
    fan_in, fan_out = _fans(weight, gain)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return _fill_(weight, _uniform((fan_in, len(weight)), bound, generator, weight.dtype, weight.device))


def xavier_normal_(weight: Weight, *, gain: float = 1.0, generator: Source = None) -> Weight:
    r"""Fill the weight of a module with normal weights for Xavier initialization, a compromise of both directions.

    .. math::

        w \sim \mathcal{N}(0, \sigma^2), \qquad \sigma = g\sqrt{\frac{2}{k\,(n_\mathrm{in} + n_\mathrm{out})}}

    where :math:`k` is the size of the kernel, 1 for a linear layer.

    Parameters
    ----------
    weight : Tensor, shape (n_out, n_in, ...)
        The weight of a linear layer or of a convolution, which is overwritten.
    gain : float, at least 0, default 1.0
        The factor :math:`g`; 1 suits an activation that is close to the identity near 0, such as tanh.
    generator : torch.Generator, optional
        As for :func:`torch.rand`; with a generator, the global random state does not change. From the same state, the
        transpose of a linear layer's weight gets the values of :func:`xavier_normal`.

    Returns
    -------
    Tensor, shape (n_out, n_in, ...)
        The weight itself.

    Raises
    ------
    TypeError
        If ``weight`` is not a real floating-point tensor, or ``gain`` not a real number.
    ValueError
        If ``weight`` has fewer than two dimensions or no entry, or ``gain`` is negative or not finite.

    See Also
    --------
    xavier_normal : A new weight for ``x @ weight``, the transpose.
    torch.nn.init.xavier_normal_ : The same, in another order of the draws.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
       *AISTATS*, 2010.

    Examples
    --------
    >>> layer = torch.nn.Linear(300, 100)
    >>> weight = xavier_normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    >>> round((300 + 100) / 2 * weight.var().item(), 2)
    1.0
    """
    fan_in, fan_out = _fans(weight, gain)
    std = gain * math.sqrt(2 / (fan_in + fan_out))
    shape = fan_in, len(weight)
    return _fill_(weight, normal(shape, std=std, generator=generator, dtype=weight.dtype, device=weight.device))


def he_uniform_(weight: Weight, *, gain: float = SQRT_2, generator: Source = None) -> Weight:
    r"""Fill the weight of a module with uniform weights for He initialization, which keeps the forward variance.

    .. math::

        w \sim U(-a, a), \qquad a = g\sqrt{\frac{3}{k\,n_\mathrm{in}}}

    where :math:`k` is the size of the kernel, 1 for a linear layer.

    Parameters
    ----------
    weight : Tensor, shape (n_out, n_in, ...)
        The weight of a linear layer or of a convolution, which is overwritten.
    gain : float, at least 0, default sqrt(2)
        The factor :math:`g`; the square root of 2 compensates for a ReLU, which halves :math:`\mathrm{E}[x^2]`.
    generator : torch.Generator, optional
        As for :func:`torch.rand`; with a generator, the global random state does not change. From the same state, the
        transpose of a linear layer's weight gets the values of :func:`he_uniform`.

    Returns
    -------
    Tensor, shape (n_out, n_in, ...)
        The weight itself.

    Raises
    ------
    TypeError
        If ``weight`` is not a real floating-point tensor, or ``gain`` not a real number.
    ValueError
        If ``weight`` has fewer than two dimensions or no entry, or ``gain`` is negative or not finite.

    See Also
    --------
    he_uniform : A new weight for ``x @ weight``, the transpose.
    torch.nn.init.kaiming_uniform_ : The same, in another order of the draws.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level performance on
       ImageNet classification", *ICCV*, 2015, section 2.2.

    Examples
    --------
    With a 3 × 3 kernel and two input channels, each output is a sum of 18 products:

    >>> layer = torch.nn.Conv2d(2, 4, kernel_size=3)
    >>> bool((he_uniform_(layer.weight).abs() <= math.sqrt(6 / 18)).all())
    True
    """
    fan_in, _ = _fans(weight, gain)
    bound = gain * math.sqrt(3 / fan_in)
    return _fill_(weight, _uniform((fan_in, len(weight)), bound, generator, weight.dtype, weight.device))


def he_normal_(weight: Weight, *, gain: float = SQRT_2, generator: Source = None) -> Weight:
    r"""Fill the weight of a module with normal weights for He initialization, which keeps the forward variance.

    .. math::

        w \sim \mathcal{N}(0, \sigma^2), \qquad \sigma = \frac{g}{\sqrt{k\,n_\mathrm{in}}}

    where :math:`k` is the size of the kernel, 1 for a linear layer.

    Parameters
    ----------
    weight : Tensor, shape (n_out, n_in, ...)
        The weight of a linear layer or of a convolution, which is overwritten.
    gain : float, at least 0, default sqrt(2)
        The factor :math:`g`; the square root of 2 compensates for a ReLU, which halves :math:`\mathrm{E}[x^2]`.
    generator : torch.Generator, optional
        As for :func:`torch.rand`; with a generator, the global random state does not change. From the same state, the
        transpose of a linear layer's weight gets the values of :func:`he_normal`.

    Returns
    -------
    Tensor, shape (n_out, n_in, ...)
        The weight itself.

    Raises
    ------
    TypeError
        If ``weight`` is not a real floating-point tensor, or ``gain`` not a real number.
    ValueError
        If ``weight`` has fewer than two dimensions or no entry, or ``gain`` is negative or not finite.

    See Also
    --------
    he_normal : A new weight for ``x @ weight``, the transpose.
    torch.nn.init.kaiming_normal_ : The same, in another order of the draws.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level performance on
       ImageNet classification", *ICCV*, 2015, section 2.2.

    Examples
    --------
    >>> layer = torch.nn.Conv2d(40, 100, kernel_size=3)
    >>> weight = he_normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    >>> round(9 * 40 * weight.var().item(), 1)
    2.0
    """
    fan_in, _ = _fans(weight, gain)
    shape, std = (fan_in, len(weight)), gain / math.sqrt(fan_in)
    return _fill_(weight, normal(shape, std=std, generator=generator, dtype=weight.dtype, device=weight.device))


def _fans(weight: Tensor, gain: float) -> tuple[int, int]:
    """Return the numbers of inputs and of outputs of a module's weight, each times the size of the kernel."""
    check_floating(weight=weight)
    if weight.dim() < 2 or weight.numel() == 0:
        raise ValueError(f"weight must have shape (n_out, n_in, ...) and an entry, got {tuple(weight.shape)}")
    check_nonnegative("gain", gain)
    check_finite_in("gain", gain, [weight.dtype])
    return math.prod(weight.shape[1:]), len(weight) * math.prod(weight.shape[2:])


def _fill_(weight: Tensor, values: Tensor) -> Tensor:
    """Write values of shape (fan_in, n_out) to the weight of a module, which may be sharded."""
    with torch.no_grad():
        return weight.copy_(laid_out_like(weight, values.T.reshape(weight.shape)))


def _check_layer(n_in: int, n_out: int, gain: float, dtype: DType) -> None:
    check_count("n_in", n_in, 1)
    check_count("n_out", n_out, 1)
    check_nonnegative("gain", gain)
    _check_fits("gain", gain, dtype)


def _check_fits(name: str, value: float, dtype: DType) -> None:
    """Raise ValueError if the tensor's dtype cannot hold a number."""
    check_finite_in(name, value, [dtype or torch.get_default_dtype()])


def _uniform(shape: Shape, bound: float, generator: Source, dtype: DType, device: Device) -> Tensor:
    _check_fits("bound", bound, dtype)
    u = torch.rand(_sizes(shape, dtype), **generator_option(generator), dtype=dtype, device=device)
    return bound * (2 * u - 1)


def _sizes(shape: Shape, dtype: DType) -> tuple[int, ...]:
    """Return the sizes of the tensor as Python integers."""
    sizes = shape if isinstance(shape, Sequence) else (shape,)
    return sizes_of(sizes, dtype)
