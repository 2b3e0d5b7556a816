r"""Regularization: how can a network be kept from fitting the noise?

A penalty on the size of the parameters is added to the loss; dropout adds noise to the hidden values, drawn anew at
each step. A dropped value becomes 0, and a kept value is multiplied by :math:`1/(1-p)`. The mean therefore stays
:math:`h`, and nothing has to be rescaled when the network is used.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from ._checks import check_floating, check_number, sizes_of
from ._numerics import upcast
from ._torch import PyTree, generator_option, laid_out_like
from ._trees import floating_leaves
from .init import Device, DType, Shape, Source

__all__ = ["dropout", "dropout_mask", "l1_penalty", "l2_penalty"]


def dropout(
    h: Float[Tensor, "*shape"], p: float, *, training: bool = True, generator: Source = None
) -> Float[Tensor, "*shape"]:
    r"""Return the hidden values after dropping each with probability :math:`p`.

    .. math::

        h' = \begin{cases} 0 & \text{with probability } p \\ h / (1 - p) & \text{otherwise,} \end{cases} \qquad
        \mathrm{E}[h'] = h, \qquad \operatorname{Var}[h'] = \frac{h^2 p}{1 - p}

    For :math:`p = 0` no value is dropped, and for :math:`p = 1` every value is. A dropped value is 0 even if :math:`h`
    is infinite. The probability is rounded to a multiple of :math:`2^{-24}`.

    For a ``DTensor`` of ``torch.distributed``, every process draws for all hidden values and keeps its own part, so
    start the generators of all processes from the same seed.

    Parameters
    ----------
    h : Tensor, shape (*)
        The hidden values :math:`h`, which are the outputs of a layer.
    p : float, in [0, 1]
        The probability that a value is dropped.
    training : bool, default True
        Whether to drop values; if False, the function returns ``h`` itself.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    Tensor, shape (*)
        The hidden values :math:`h'`, with the dtype of ``h``.

    Raises
    ------
    TypeError
        If ``h`` is not a real floating-point tensor, or ``p`` is not a real number.
    ValueError
        If ``p`` is not in [0, 1].

    See Also
    --------
    torch.nn.functional.dropout : The same without a generator; there a dropped infinity becomes NaN, as in
        ``h * mask``.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, "Dropout: A simple way to prevent
       neural networks from overfitting", *Journal of Machine Learning Research* 15, 2014.

    Examples
    --------
    >>> h = torch.tensor([1.0, 2.0, 3.0, 4.0])
    >>> dropout(h, 0.0), dropout(h, 1.0), dropout(h, 0.5, training=False)
    (tensor([1., 2., 3., 4.]), tensor([0., 0., 0., 0.]), tensor([1., 2., 3., 4.]))

    Each value is either dropped or divided by :math:`1 - p`:

    >>> dropout(torch.ones(1000), 0.75).unique()
    tensor([0., 4.])
    """
    check_floating(h=h)
    _check_probability(p)
    if not training:
        return h
    return _keep(h, laid_out_like(h, _draw_kept(h.shape, p, generator, h.device)), p)


def dropout_mask(
    shape: Shape, p: float, *, generator: Source = None, dtype: DType = None, device: Device = None
) -> Float[Tensor, "..."]:
    r"""Return the factors by which :func:`dropout` multiplies, so that one draw can be used in several places.

    .. math::

        m = \begin{cases} 0 & \text{with probability } p \\ 1 / (1 - p) & \text{otherwise} \end{cases}

    Parameters
    ----------
    shape : int or sequence of int
        The shape, such as (n, n_hidden).
    p : float, in [0, 1]
        The probability that a factor is 0.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.rand`; with a generator, the global random state does not change.

    Returns
    -------
    Tensor, shape ``shape``, of 0 and 1 / (1 - p)
        The factors :math:`m`.

    Raises
    ------
    TypeError
        If an entry of ``shape`` is not an integer, ``p`` is not a real number, or ``dtype`` is not floating-point.
    ValueError
        If an entry of ``shape`` is negative, or ``p`` is not in [0, 1].

    See Also
    --------
    torch.bernoulli : Draws zeros and ones from a tensor of probabilities.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, "Dropout: A simple way to prevent
       neural networks from overfitting", *Journal of Machine Learning Research* 15, 2014.

    Examples
    --------
    >>> dropout_mask((2, 2), 0.0)
    tensor([[1., 1.],
            [1., 1.]])

    The same seed drops the same values:

    >>> h = torch.ones(1000)
    >>> mask = dropout_mask(1000, 0.5, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(h * mask, dropout(h, 0.5, generator=torch.Generator().manual_seed(0)))
    True
    """
    _check_probability(p)
    sizes = sizes_of(shape, dtype)
    dtype = dtype or torch.get_default_dtype()
    largest = torch.finfo(dtype).max
    check_number("p", p, f"1, or have a finite 1 / (1 - p) in {dtype}", lambda p: _scale(p) <= largest)
    return _scale(p) * _draw_kept(sizes, p, generator, device).to(dtype)


def l1_penalty(params: PyTree) -> Float[Tensor, ""]:
    r"""Return the sum of the absolute values of all parameters.

    .. math::

        \lVert\mathbf{w}\rVert_1 = \sum_i |w_i|, \qquad \nabla\lVert\mathbf{w}\rVert_1 = \operatorname{sign}\mathbf{w}

    The size of the gradient does not shrink with :math:`\mathbf{w}`, so many parameters end at 0. At 0 itself the
    gradient is 0.

    Parameters
    ----------
    params : Tensor, or nested sequences and mappings of tensors, or an iterator of tensors
        The parameters :math:`\mathbf{w}`, such as ``module.parameters()``.

    Returns
    -------
    Tensor, shape (), in [0, inf]
        The penalty; 0 if there are no parameters.

    Raises
    ------
    TypeError
        If ``params`` holds anything other than real floating-point tensors.

    See Also
    --------
    dlcore.norms.l1_norm : The same for one tensor or for each of its rows.

    References
    ----------
    .. [1] R. Tibshirani, "Regression shrinkage and selection via the lasso", *Journal of the Royal Statistical Society*
       B 58, 1996.

    Examples
    --------
    >>> l1_penalty({"weight": torch.tensor([[3.0, -4.0]]), "bias": torch.tensor([1.0])})
    tensor(8.)
    """
    return _sum(lambda w: w.abs().sum(), params)


def l2_penalty(params: PyTree) -> Float[Tensor, ""]:
    r"""Return half the squared Euclidean norm of all parameters.

    .. math::

        \frac12\lVert\mathbf{w}\rVert_2^2 = \frac12\sum_i w_i^2, \qquad
        \nabla\,\frac12\lVert\mathbf{w}\rVert_2^2 = \mathbf{w}

    The norm is *squared*, and the factor ½ makes the gradient :math:`\mathbf{w}` itself. With plain gradient descent,
    adding :math:`\lambda` times this penalty to the loss is the same as weight decay with :math:`\lambda`. With an
    optimizer that rescales gradients, such as Adam, it is not the same.

    Parameters
    ----------
    params : Tensor, or nested sequences and mappings of tensors, or an iterator of tensors
        The parameters :math:`\mathbf{w}`, such as ``module.parameters()``.

    Returns
    -------
    Tensor, shape (), in [0, inf]
        The penalty; 0 if there are no parameters. It overflows only if the dtype cannot represent the true value.

    Raises
    ------
    TypeError
        If ``params`` holds anything other than real floating-point tensors.

    See Also
    --------
    dlcore.optim.sgd_step : Its ``weight_decay`` is the factor :math:`\lambda` of this penalty.
    dlcore.linear.ridge : The closed-form minimum of the squared loss plus this penalty.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 7.1.1.

    Examples
    --------
    >>> l2_penalty({"weight": torch.tensor([[3.0, -4.0]]), "bias": torch.tensor([1.0])})
    tensor(13.)
    >>> torch.func.grad(l2_penalty)(torch.tensor([3.0, -4.0]))
    tensor([ 3., -4.])

    The weights of a module, without its biases:

    >>> net = torch.nn.Linear(4, 1)
    >>> w = torch.nn.init.constant_(net.weight, 0.5)
    >>> l2_penalty(w for name, w in net.named_parameters() if name.endswith("weight")).item()
    0.5
    """
    return _sum(lambda w: (w / 2 * w).sum(), params)


def _check_probability(p: float) -> None:
    check_number("p", p, "in [0, 1]", lambda p: 0 <= p <= 1)


def _scale(p: float) -> float:
    return 0.0 if p == 1 else 1 / (1 - p)


def _keep(h: Tensor, kept: Tensor, p: float) -> Tensor:
    return torch.where(kept, h * _scale(p), 0)


def _draw_kept(sizes: tuple[int, ...], p: float, generator: Source, device: Device) -> Tensor:
    return torch.rand(sizes, dtype=torch.float32, device=device, **generator_option(generator)) >= p


def _sum(penalty: Callable[[Tensor], Tensor], params: PyTree) -> Tensor:
    """Sum the penalties of the leaves, in single precision for half-precision leaves."""
    leaves, _ = floating_leaves(
        "params", list(cast("Iterator[Tensor]", params)) if isinstance(params, Iterator) else params
    )
    if not leaves:
        return torch.zeros(())
    penalties = [penalty(upcast(w)) for w in leaves]
    return reduce(torch.add, penalties).to(reduce(torch.promote_types, [w.dtype for w in leaves]))
