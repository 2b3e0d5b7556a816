r"""By which steps do the parameters find the minimum?

The parameters are a tensor, or any sequence, mapping or named tuple of tensors, nested as deeply as wanted. The steps
are pure: they return new parameters and write to nothing. Only :func:`sgd_`, the loop of every first lesson, works in
place.
"""

import math
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ._checks import check_count, check_number
from ._linalg import foreach_add_, foreach_zero_
from ._trees import check_alike, floating_leaves, leaf_name, leaves_like

__all__ = ["sgd_", "sgd_step"]

Tree = TypeVar("Tree")


def sgd_(params: pytree.PyTree, *, lr: float, batch_size: int = 1) -> None:
    r"""Take a step of stochastic gradient descent in place, and clear the gradients.

    .. math::

        \mathbf{w} \leftarrow \mathbf{w} - \frac{\eta}{|\mathcal{B}|}\,
            \partial_{\mathbf{w}} \sum_{i\in\mathcal{B}} l^{(i)}(\mathbf{w})

    where :math:`\eta` is the learning rate, :math:`\mathcal{B}` the batch, and ``.grad`` holds what ``backward()``
    left there. The mean over the batch is taken **once**, in one of two places that are equivalent: call
    ``losses.sum().backward()`` and pass ``batch_size=len(batch)``, the length of *this* batch, since the last one may
    be short; or call ``losses.mean().backward()`` and leave ``batch_size`` at 1. Nothing is changed if an error is
    raised.

    Parameters
    ----------
    params : Tensor, or sequence, mapping or iterator of Tensor
        The parameters :math:`\mathbf{w}`: leaves of the autograd graph. One that is listed twice takes one step.
    lr : float, at least 0
        The learning rate :math:`\eta`.
    batch_size : int, at least 1, default 1
        What to divide by: :math:`|\mathcal{B}|` if the loss was a sum, 1 if it was a mean.

    Returns
    -------
    None
        The parameters are changed in place, and each ``.grad`` is filled with zeros.

    Raises
    ------
    TypeError
        If ``lr`` is not a real number.
    ValueError
        If ``lr`` is negative or not finite.
    TypeError
        If ``batch_size`` is not an integer.
    ValueError
        If ``batch_size`` is less than 1.
    TypeError
        If a parameter is not a real floating-point tensor.
    ValueError
        If a parameter is not a leaf of the graph; it is named by its place.
    ValueError
        If the gradient of a parameter is None; it is named by its place.

    See Also
    --------
    torch.optim.SGD : The same with ``batch_size=1``, and a state; it passes over parameters without a gradient.
    sgd_step : The same without side effects.

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li and A. J. Smola, *Dive into Deep Learning*, 2023, section 3.4.

    Examples
    --------
    The loss :math:`\frac12 (w - y)^2` on two examples, first summed, then averaged:

    >>> w, y = torch.zeros(1, requires_grad=True), torch.tensor([1.0, 3.0])
    >>> (0.5 * (w - y) ** 2).sum().backward()
    >>> sgd_([w], lr=0.5, batch_size=len(y))
    >>> w, w.grad
    (tensor([1.], requires_grad=True), tensor([0.]))
    >>> (0.5 * (w - y) ** 2).mean().backward()
    >>> sgd_([w], lr=0.5)
    >>> w
    tensor([1.5000], requires_grad=True)
    """
    _check_rate("lr", lr)
    check_count("batch_size", batch_size, 1)
    if isinstance(params, Iterator):
        params = list(params)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    leaves, _ = floating_leaves("params", params)
    steps: dict[Tensor, Tensor] = {}  # a parameter that is listed twice takes one step
    for place, w in enumerate(leaves):
        if not w.is_leaf:
            name = leaf_name("params", params, place)
            raise ValueError(f"{name} must be a leaf of the autograd graph, got the result of an operation")
        gradient = w.grad
        if gradient is None:
            name = leaf_name("params", params, place)
            raise ValueError(f"{name} must have a gradient, got .grad = None: has backward() reached it?")
        steps[w] = gradient
    with torch.no_grad():
        foreach_add_(list(steps), list(steps.values()), alpha=-lr / batch_size)
        foreach_zero_(list(steps.values()))


def sgd_step(params: Tree, grads: Tree, *, lr: float, weight_decay: pytree.PyTree = 0.0) -> Tree:
    r"""Return the parameters after a step of gradient descent with weight decay.

    .. math::

        \mathbf{w} \leftarrow (1 - \eta\lambda)\,\mathbf{w} - \eta\,\mathbf{g}

    where :math:`\eta` is the learning rate, :math:`\lambda` the weight decay and :math:`\mathbf{g}` the gradient of the
    loss. It is the step on :math:`L(\mathbf{w}) + \frac{\lambda}{2}\lVert\mathbf{w}\rVert^2`, so here weight decay and
    the :math:`L_2` penalty are one thing. They are two wherever the step is not :math:`-\eta` times the latest
    gradient: with momentum or in Adam, shrinking the weights and adding the penalty to the loss differ.

    The :math:`\lambda` of a ridge regression is meant for the loss :math:`\frac12(\hat{y} - y)^2`. With
    :class:`torch.nn.MSELoss`, whose gradient is twice as large, the same :math:`\lambda` is half as strong.

    Parameters
    ----------
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters :math:`\mathbf{w}`.
    grads : of the same structure and shapes
        The gradients :math:`\mathbf{g}`, as :func:`torch.func.grad` gives them.
    lr : float, at least 0
        The learning rate :math:`\eta`.
    weight_decay : float, or floats in the structure of ``params``, at least 0, default 0.0
        The weight decay :math:`\lambda`; a structure gives each parameter its own, such as 0 to the biases.

    Returns
    -------
    Tensor, or nested sequences and mappings of Tensor
        New parameters, with the structure, the shapes and the dtypes of ``params``.

    Raises
    ------
    TypeError
        If ``lr`` or ``weight_decay`` is not a real number.
    ValueError
        If ``lr`` or ``weight_decay`` is negative or not finite.
    TypeError
        If a parameter or a gradient is not a real floating-point tensor.
    ValueError
        If ``grads`` or ``weight_decay`` has not the structure of ``params``.
    ValueError
        If a gradient has not the shape of its parameter.

    See Also
    --------
    torch.optim.SGD : The same in place; parameter groups give each parameter its own weight decay.
    sgd_ : The same in place, without weight decay.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", *ICLR*, 2019.

    Examples
    --------
    >>> params = {"weight": torch.tensor([2.0, -4.0]), "bias": torch.tensor(1.0)}
    >>> grads = {"weight": torch.tensor([1.0, 1.0]), "bias": torch.tensor(1.0)}
    >>> sgd_step(params, grads, lr=0.5, weight_decay={"weight": 1.0, "bias": 0.0})
    {'weight': tensor([ 0.5000, -2.5000]), 'bias': tensor(0.5000)}
    """
    _check_rate("lr", lr)
    leaves, structure = floating_leaves("params", params)
    rows = zip(leaves, check_alike(params, "grads", grads), _decays(params, weight_decay), strict=True)
    return structure.unflatten([torch.sub((1 - lr * decay) * w, g, alpha=lr).to(w.dtype) for w, g, decay in rows])


def _check_rate(name: str, value: float) -> None:
    check_number(name, value, ">= 0 and finite", lambda value: 0 <= value < math.inf)


def _decays(params: pytree.PyTree, weight_decay: pytree.PyTree) -> list[float]:
    """Return the weight decay of each parameter."""
    if pytree.tree_is_leaf(weight_decay):
        _check_rate("weight_decay", weight_decay)
        return [weight_decay] * len(pytree.tree_leaves(params))
    decays = leaves_like(params, "weight_decay", weight_decay)
    for place, decay in enumerate(decays):
        if not isinstance(decay, float) or not 0 <= decay < math.inf:
            _check_rate(leaf_name("weight_decay", params, place), decay)
    return decays
