r"""Initialization: how should weights be drawn?

Equal weights stay equal: every hidden unit of a layer computes the same, receives the same gradient, and a weight
matrix that starts constant has rank 1 for ever. So weights start at random, and the question is how large.

A layer computes :math:`o_i = \sum_{j=1}^{n_\mathrm{in}} w_{ij} x_j`. Let the weights be independent of each other and
of the inputs, with mean 0 and variance :math:`\sigma^2`, and the inputs have mean 0 and variance :math:`\gamma^2`:

.. math::

    \operatorname{Var}[o_i] = \mathrm{E}\Bigl[\Bigl(\sum_j w_{ij} x_j\Bigr)^2\Bigr]
        = \sum_j \mathrm{E}[w_{ij}^2]\,\mathrm{E}[x_j^2]
        + \sum_{j \ne k} \mathrm{E}[w_{ij}]\,\mathrm{E}[w_{ik}]\,\mathrm{E}[x_j x_k]
        = n_\mathrm{in}\,\sigma^2\gamma^2

The cross terms vanish because :math:`\mathrm{E}[w] = 0`, even where the inputs depend on each other. Forward,
:math:`n_\mathrm{in}\sigma^2 = 1` keeps the variance; it grows above 1 and shrinks below. Backward, the gradient with
respect to an input, :math:`\sum_i w_{ij}\,\partial l/\partial o_i`, is such a sum over the outputs, and
:math:`n_\mathrm{out}\sigma^2 = 1` keeps it. Both can hold in a square layer only; Xavier's compromise is
:math:`\frac12(n_\mathrm{in} + n_\mathrm{out})\,\sigma^2 = 1`. A ReLU halves :math:`\mathrm{E}[x^2]`, and He's scheme
doubles :math:`\sigma^2` to make up for it.

Weights have shape (n_in, n_out), as ``x @ weight`` multiplies. That is the transpose of what :class:`torch.nn.Linear`
keeps, and :mod:`torch.nn.init` reads its fans from that layout: for a weight of this library, its ``fan_in`` is
``weight.shape[1]``, the number of *outputs*. The returned tensors have ``requires_grad=False``.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ._checks import check_count, check_nonnegative, check_number, sizes_of
from ._torch import generator_option

__all__ = ["constant", "he_normal", "he_uniform", "normal", "xavier_normal", "xavier_uniform", "zeros"]

Shape = int | Sequence[int]
Source = Generator | None
DType = torch.dtype | None
Device = torch.device | str | int | None
SQRT_2 = math.sqrt(2)


def normal(
    shape: Shape, *, std: float = 0.01, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "..."]:
    r"""Return independent normal weights with mean 0.

    .. math::

        w \sim \mathcal{N}(0, \sigma^2)

    Parameters
    ----------
    shape : int or sequence of int
        The shape, such as (n_in, n_out).
    std : float, at least 0, default 0.01
        The standard deviation :math:`\sigma`, the root of the variance.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state is left alone.

    Returns
    -------
    Tensor, shape ``shape``
        The weights.

    Raises
    ------
    TypeError
        If an entry of ``shape`` is not an integer, ``std`` not a real number, or ``dtype`` not a floating-point one.
    ValueError
        If an entry of ``shape`` is negative, or ``std`` negative or not finite.

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
    return std * torch.randn(_sizes(shape, dtype), **generator_option(generator), dtype=dtype, device=device)


def zeros(shape: Shape, *, dtype: DType = None, device: Device = None) -> Float[Tensor, "..."]:
    r"""Return zeros, the usual initial bias.

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
        If an entry of ``shape`` is not an integer, or ``dtype`` not a floating-point one.
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
    r"""Return weights that are all equal, which shows why weights must not be.

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
        If an entry of ``shape`` is not an integer, ``value`` not a real number, or ``dtype`` not a floating-point one.
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
    return torch.full(_sizes(shape, dtype), value, dtype=dtype or torch.get_default_dtype(), device=device)


def xavier_uniform(
    n_in: int, n_out: int, *, gain: float = 1.0, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "n_in n_out"]:
    r"""Return uniform weights with the variance of Xavier's compromise.

    .. math::

        w \sim U(-a, a), \qquad a = g\sqrt{\frac{6}{n_\mathrm{in} + n_\mathrm{out}}}, \qquad
        \operatorname{Var}[w] = \frac{a^2}{3} = \frac{2 g^2}{n_\mathrm{in} + n_\mathrm{out}}

    Parameters
    ----------
    n_in, n_out : int, at least 1
        The numbers of inputs and of outputs.
    gain : float, at least 0, default 1.0
        The factor :math:`g`; 1 suits an activation that is the identity near 0, as tanh is.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state is left alone.

    Returns
    -------
    Tensor, shape (n_in, n_out)
        The weights.

    Raises
    ------
    TypeError
        If ``n_in`` or ``n_out`` is not an integer, ``gain`` not a real number, or ``dtype`` not a floating-point one.
    ValueError
        If ``n_in`` or ``n_out`` is less than 1, or ``gain`` negative or not finite.

    See Also
    --------
    torch.nn.init.xavier_uniform_ : The same, in place; the sum of both fans is the same in either layout.

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
    _check_layer(n_in, n_out, gain)
    bound = gain * math.sqrt(6 / (n_in + n_out))
    return _uniform((n_in, n_out), bound, generator, dtype, device)


def xavier_normal(
    n_in: int, n_out: int, *, gain: float = 1.0, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "n_in n_out"]:
    r"""Return normal weights with the variance of Xavier's compromise.

    .. math::

        w \sim \mathcal{N}(0, \sigma^2), \qquad \sigma = g\sqrt{\frac{2}{n_\mathrm{in} + n_\mathrm{out}}}

    Parameters
    ----------
    n_in, n_out : int, at least 1
        The numbers of inputs and of outputs.
    gain : float, at least 0, default 1.0
        The factor :math:`g`; 1 suits an activation that is the identity near 0, as tanh is.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state is left alone.

    Returns
    -------
    Tensor, shape (n_in, n_out)
        The weights.

    Raises
    ------
    TypeError
        If ``n_in`` or ``n_out`` is not an integer, ``gain`` not a real number, or ``dtype`` not a floating-point one.
    ValueError
        If ``n_in`` or ``n_out`` is less than 1, or ``gain`` negative or not finite.

    See Also
    --------
    torch.nn.init.xavier_normal_ : The same, in place; the sum of both fans is the same in either layout.

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
    _check_layer(n_in, n_out, gain)
    std = gain * math.sqrt(2 / (n_in + n_out))
    return normal((n_in, n_out), std=std, generator=generator, dtype=dtype, device=device)


def he_uniform(
    n_in: int, n_out: int, *, gain: float = SQRT_2, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "n_in n_out"]:
    r"""Return uniform weights that keep the variance through a ReLU, forward.

    .. math::

        w \sim U(-a, a), \qquad a = g\sqrt{\frac{3}{n_\mathrm{in}}}, \qquad
        \operatorname{Var}[w] = \frac{a^2}{3} = \frac{g^2}{n_\mathrm{in}}

    Parameters
    ----------
    n_in, n_out : int, at least 1
        The numbers of inputs and of outputs.
    gain : float, at least 0, default sqrt(2)
        :math:`g`; the square root of 2 makes up for the half of :math:`\mathrm{E}[x^2]` that a ReLU takes away.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state is left alone.

    Returns
    -------
    Tensor, shape (n_in, n_out)
        The weights.

    Raises
    ------
    TypeError
        If ``n_in`` or ``n_out`` is not an integer, ``gain`` not a real number, or ``dtype`` not a floating-point one.
    ValueError
        If ``n_in`` or ``n_out`` is less than 1, or ``gain`` negative or not finite.

    See Also
    --------
    torch.nn.init.kaiming_uniform_ : The same, in place, on the transpose; on this layout, with ``mode="fan_out"``.

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
    _check_layer(n_in, n_out, gain)
    bound = gain * math.sqrt(3 / n_in)
    return _uniform((n_in, n_out), bound, generator, dtype, device)


def he_normal(
    n_in: int, n_out: int, *, gain: float = SQRT_2, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "n_in n_out"]:
    r"""Return normal weights that keep the variance through a ReLU, forward.

    .. math::

        w \sim \mathcal{N}(0, \sigma^2), \qquad \sigma = \frac{g}{\sqrt{n_\mathrm{in}}}

    Parameters
    ----------
    n_in, n_out : int, at least 1
        The numbers of inputs and of outputs.
    gain : float, at least 0, default sqrt(2)
        :math:`g`; the square root of 2 makes up for the half of :math:`\mathrm{E}[x^2]` that a ReLU takes away.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state is left alone.

    Returns
    -------
    Tensor, shape (n_in, n_out)
        The weights.

    Raises
    ------
    TypeError
        If ``n_in`` or ``n_out`` is not an integer, ``gain`` not a real number, or ``dtype`` not a floating-point one.
    ValueError
        If ``n_in`` or ``n_out`` is less than 1, or ``gain`` negative or not finite.

    See Also
    --------
    torch.nn.init.kaiming_normal_ : The same, in place, on the transpose; on this layout, with ``mode="fan_out"``.

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
    _check_layer(n_in, n_out, gain)
    std = gain / math.sqrt(n_in)
    return normal((n_in, n_out), std=std, generator=generator, dtype=dtype, device=device)


def _check_layer(n_in: int, n_out: int, gain: float) -> None:
    check_count("n_in", n_in, 1)
    check_count("n_out", n_out, 1)
    check_nonnegative("gain", gain)


def _uniform(shape: Shape, bound: float, generator: Source, dtype: DType, device: Device) -> Tensor:
    u = torch.rand(_sizes(shape, dtype), **generator_option(generator), dtype=dtype, device=device)
    return bound * (2 * u - 1)


def _sizes(shape: Shape, dtype: DType) -> tuple[int, ...]:
    """Return the sizes of the tensor, NumPy integers as Python's."""
    sizes = shape if isinstance(shape, Sequence) else (shape,)
    return tuple(int(size) for size in sizes_of(sizes, dtype))
