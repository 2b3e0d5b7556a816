"""By which steps do the parameters find the minimum? In place, pure, with momentum, and clipped."""

import math
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar, cast

import torch
from torch import Tensor

from dlcore._checks import check_count, check_floating, check_nonnegative, check_number
from dlcore._torch import PyTree, TreeSpec, foreach_add_, foreach_zero_, is_leaf, pytree, vector_norm
from dlcore._trees import aligned_leaves, floating_leaves, leaf_name, leaves_like

__all__ = ["clip_gradients", "momentum_step", "sgd_", "sgd_step"]

Tree = TypeVar("Tree")


def sgd_(params: PyTree, *, lr: float, batch_size: int = 1) -> None:
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
        If ``lr`` is not a real number, ``batch_size`` not an integer, or a parameter not a floating-point tensor.
    ValueError
        If ``lr`` is negative or not finite, or ``batch_size`` less than 1.
    ValueError
        If a parameter is not a leaf of the graph, or its gradient is None; it is named by its place.
    ValueError
        If there is no parameter, as in an iterator that has been used before.

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
    check_nonnegative("lr", lr)
    check_count("batch_size", batch_size, 1)
    if isinstance(params, Iterator):
        params = list(params)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    steps: dict[int, tuple[Tensor, Tensor]] = {}  # a parameter that is listed twice takes one step
    leaves = cast("list[Any]", params)
    if not isinstance(params, list) or not all(isinstance(w, Tensor) for w in leaves):  # else a search finds no more
        leaves = pytree.tree_leaves(params)
    for place, w in enumerate(leaves):
        gradient = w.grad if isinstance(w, Tensor) and w.is_leaf else None
        if gradient is None:
            _refuse_without_gradient(leaf_name("params", pytree.tree_structure(params), place), w)
        steps[id(w)] = w, gradient
    if not steps:
        raise ValueError("params must hold at least one tensor, got none: an iterator yields its parameters only once")
    weights, gradients = ([pair[i] for pair in steps.values()] for i in (0, 1))
    with torch.no_grad():
        foreach_add_(weights, gradients, alpha=-lr / batch_size)
        foreach_zero_(gradients)


def sgd_step(params: Tree, grads: Tree, *, lr: float, weight_decay: PyTree = 0.0) -> Tree:
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
    grads : of the same structure, shapes and dtypes
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
        If a leaf is not a real floating-point tensor, or has not the dtype of its parameter.
    ValueError
        If ``grads`` or ``weight_decay`` has not the structure or the shapes of ``params``.

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
    check_nonnegative("lr", lr)
    leaves, structure = floating_leaves("params", params)
    gradients, decays = aligned_leaves(leaves, structure, "grads", grads), _decays(structure, weight_decay)
    rows = zip(leaves, gradients, decays, strict=True)
    return structure.unflatten([((1 - lr * decay) * w).sub(g, alpha=lr) for w, g, decay in rows])


def momentum_step(
    params: Tree,
    grads: Tree,
    velocity: Tree | None,
    *,
    lr: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: PyTree = 0.0,
) -> tuple[Tree, Tree]:
    r"""Return the parameters after a step of gradient descent with momentum, and the new velocity.

    .. math::

        \mathbf{v} \leftarrow \mu\mathbf{v} + (\mathbf{g} + \lambda\mathbf{w}), \qquad
        \mathbf{w} \leftarrow \mathbf{w} - \eta\mathbf{v}

    where :math:`\mu` is the momentum, and with Nesterov's the step is
    :math:`-\eta\,(\mu\mathbf{v} + \mathbf{g} + \lambda\mathbf{w})` with the new :math:`\mathbf{v}`. The velocity is in
    the unit of a gradient, as in torch. Polyak's heavy ball keeps the last change of the parameters instead,
    :math:`-\eta\mathbf{v}`; at a constant learning rate both are the same, and when the rate falls, torch's slows the
    ball down at once.

    The weight decay is added to the gradient, as in torch: it is the :math:`L_2` penalty. The shrinking
    :math:`(1 - \eta\lambda)\mathbf{w}` beside the momentum would be another step.

    Parameters
    ----------
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters :math:`\mathbf{w}`.
    grads : of the same structure, shapes and dtypes
        The gradients :math:`\mathbf{g}`.
    velocity : of the same structure, shapes and dtypes, or None
        The velocity :math:`\mathbf{v}` that the last step returned; None, which is zero, before the first.
    lr : float, at least 0
        The learning rate :math:`\eta`.
    momentum : float, in [0, 1), default 0.9
        The share :math:`\mu` of the velocity that stays.
    nesterov : bool, default False
        Look ahead by the new velocity.
    weight_decay : float, or floats in the structure of ``params``, at least 0, default 0.0
        The penalty :math:`\lambda`; a structure gives each parameter its own.

    Returns
    -------
    params : Tensor, or nested sequences and mappings of Tensor
        New parameters, with the structure, the shapes and the dtypes of ``params``.
    velocity : Tensor, or nested sequences and mappings of Tensor
        The velocity to pass to the next step.

    Raises
    ------
    TypeError
        If ``lr``, ``momentum`` or ``weight_decay`` is not a real number.
    ValueError
        If ``lr`` or ``weight_decay`` is negative or not finite, or ``momentum`` not in [0, 1).
    TypeError
        If a leaf is not a real floating-point tensor, or has not the dtype of its parameter.
    ValueError
        If ``grads``, ``velocity`` or ``weight_decay`` has not the structure or the shapes of ``params``.

    See Also
    --------
    torch.optim.SGD : The same in place, with ``momentum``, ``nesterov`` and ``weight_decay``.

    References
    ----------
    .. [1] I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and momentum in deep
       learning", *ICML*, 2013.

    Examples
    --------
    >>> w, g = torch.tensor([2.0]), torch.tensor([1.0])
    >>> w, v = momentum_step(w, g, None, lr=0.5, momentum=0.5)
    >>> momentum_step(w, g, v, lr=0.5, momentum=0.5)
    (tensor([0.7500]), tensor([1.5000]))
    """
    check_nonnegative("lr", lr)
    check_number("momentum", momentum, "in [0, 1)", lambda momentum: 0 <= momentum < 1)
    leaves, structure = floating_leaves("params", params)
    gradients, decays = aligned_leaves(leaves, structure, "grads", grads), _decays(structure, weight_decay)
    penalized = [g.add(w, alpha=decay) for w, g, decay in zip(leaves, gradients, decays, strict=True)]
    velocities = penalized
    if velocity is not None:
        before = aligned_leaves(leaves, structure, "velocity", velocity)
        velocities = [g.add(v, alpha=momentum) for g, v in zip(penalized, before, strict=True)]
    ahead = velocities
    if nesterov:
        ahead = [g.add(v, alpha=momentum) for g, v in zip(penalized, velocities, strict=True)]
    stepped = [w.sub(step, alpha=lr) for w, step in zip(leaves, ahead, strict=True)]
    return structure.unflatten(stepped), structure.unflatten(velocities)


def clip_gradients(grads: Tree, *, max_norm: float) -> Tree:
    r"""Return the gradients, shortened where their norm exceeds a maximum; their direction stays.

    .. math::

        \mathbf{g} \leftarrow \mathbf{g}\,\min\Bigl(1, \frac{c}{\lVert\mathbf{g}\rVert_2}\Bigr)

    where :math:`c` is the maximum and the norm is that of all gradients together, as of one long vector. Neither large
    nor small entries are squared away.

    Parameters
    ----------
    grads : Tensor, or nested sequences and mappings of Tensor
        The gradients :math:`\mathbf{g}`.
    max_norm : float, in [0, inf]
        The maximum :math:`c`.

    Returns
    -------
    Tensor, or nested sequences and mappings of Tensor
        The gradients with a norm of at most ``max_norm``, with the structure, the shapes and the dtypes of ``grads``;
        unchanged where they keep to it. Of an infinite norm nothing finite but 0 can be made: what is infinite becomes
        NaN and the rest 0; with a NaN among them, all become NaN.

    Raises
    ------
    TypeError
        If a gradient is not a real floating-point tensor.
    TypeError
        If ``max_norm`` is not a real number.
    ValueError
        If ``max_norm`` is negative or NaN.

    See Also
    --------
    torch.nn.utils.clip_grad_norm_ : The same in place, on ``.grad``; it divides by the norm plus 1e-6, and the norm
        overflows at entries of 3e30 in float32.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", 2013.

    Examples
    --------
    >>> clip_gradients([torch.tensor([3.0]), torch.tensor([0.0, 4.0])], max_norm=2.5)
    [tensor([1.5000]), tensor([0., 2.])]
    """
    check_number("max_norm", max_norm, ">= 0", lambda max_norm: max_norm >= 0)
    leaves, structure = floating_leaves("grads", grads)
    filled = [g for g in leaves if g.numel() > 0]
    if not filled:
        return grads
    wide = torch.float64 if any(g.dtype == torch.float64 for g in filled) else torch.float32
    largest = torch.stack([g.detach().abs().amax().to(filled[0].device, wide) for g in filled]).amax()
    scale = torch.where((largest > 0) & largest.isfinite(), largest, 1)
    units = [g.to(wide) / scale.to(g.device) for g in leaves]
    norms = [vector_norm(unit).to(scale.device) for unit in units]
    norm = vector_norm(torch.stack(norms))  # of the units, so at least 1 unless all are zero
    keeps = norm <= max_norm / scale
    factor = max_norm / norm.clamp(min=1)
    return structure.unflatten(
        [
            torch.where(keeps.to(g.device), g, (unit * factor.to(g.device)).to(g.dtype))
            for g, unit in zip(leaves, units, strict=True)
        ]
    )


def _refuse_without_gradient(name: str, w: Tensor) -> NoReturn:
    check_floating(**{name: w})
    if not w.is_leaf:
        raise ValueError(f"{name} must be a leaf of the autograd graph, got the result of an operation")
    raise ValueError(f"{name} must have a gradient, got .grad = None: has backward() reached it?")


def _decays(structure: TreeSpec, weight_decay: PyTree) -> list[float]:
    """Return the weight decay of each parameter."""
    if is_leaf(weight_decay):
        check_nonnegative("weight_decay", weight_decay)
        return [weight_decay] * structure.num_leaves
    decays = leaves_like(structure, "weight_decay", weight_decay)
    for place, decay in enumerate(decays):
        if not isinstance(decay, float) or not 0 <= decay < math.inf:
            check_nonnegative(leaf_name("weight_decay", structure, place), decay)
    return decays
