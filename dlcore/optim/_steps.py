"""Gradient steps (in place, pure, and with momentum) and gradient clipping."""

import functools
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from dlcore._checks import check_count, check_finite_in, check_floating, check_nonnegative, check_number
from dlcore._descent import add_scaled, add_scaled_, check_shrinkage, decay_of_leaves
from dlcore._numerics import upcast
from dlcore._torch import PyTree, TreeSpec, foreach_zero_, pytree
from dlcore._trees import aligned_leaves, floating_leaves, leaf_name

from ._fused import plain_norm
from ._stable import rescaled

__all__ = ["clip_gradients", "gradient_norm", "momentum_step", "sgd_", "sgd_step"]

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
        If a parameter is not a leaf of the graph, or its gradient is None; the error gives its position.
    ValueError
        If there is no parameter, as in an iterator that has been used before.

    See Also
    --------
    torch.optim.SGD : The same with ``batch_size=1``, as an object with state; it skips parameters without a gradient.
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
    w, g = _leaves_and_gradients(params)
    check_finite_in("lr", lr, (x.dtype for x in w))
    with torch.no_grad():
        add_scaled_(w, g, -lr / batch_size)
        foreach_zero_(g)


def sgd_step(params: Tree, grads: Tree, *, lr: float, weight_decay: PyTree = 0.0) -> Tree:
    r"""Return the parameters after a step of gradient descent with weight decay.

    .. math::

        \mathbf{w} \leftarrow (1 - \eta\lambda)\,\mathbf{w} - \eta\,\mathbf{g}

    where :math:`\eta` is the learning rate, :math:`\lambda` the weight decay and :math:`\mathbf{g}` the gradient of the
    loss. It is the step for :math:`L(\mathbf{w}) + \frac{\lambda}{2}\lVert\mathbf{w}\rVert^2`, so here weight decay
    equals the :math:`L_2` penalty. The two differ if the step is not :math:`-\eta` times the latest gradient: with
    momentum or in Adam, shrinking the weights is not the same as adding the penalty to the loss.

    The :math:`\lambda` of a ridge regression refers to the loss :math:`\frac12(\hat{y} - y)^2`. With
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
        The weight decay :math:`\lambda`; a structure gives each parameter its own, such as 0 for the biases.

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
        If a leaf is not a real floating-point tensor, or does not have the dtype of its parameter.
    ValueError
        If ``grads`` or ``weight_decay`` does not have the structure and the shapes of ``params``.

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
    gradients = aligned_leaves(leaves, structure, "grads", grads)
    decays = decay_of_leaves(leaves, structure, weight_decay)
    check_finite_in("lr", lr, (w.dtype for w in leaves))
    check_shrinkage(leaves, lr, decays)
    stepped = [add_scaled((1 - lr * decay) * w, g, -lr) for w, g, decay in zip(leaves, gradients, decays, strict=True)]
    return structure.unflatten(stepped)


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

    where :math:`\mu` is the momentum. With Nesterov's momentum, the step is :math:`-\eta\,(\mu\mathbf{v} + \mathbf{g} +
    \lambda\mathbf{w})` with the new :math:`\mathbf{v}`. The velocity has the unit of a gradient, as in torch. Polyak's
    heavy-ball method stores the last change of the parameters instead, :math:`-\eta\mathbf{v}`. At a constant learning
    rate, the two methods take the same steps; when the rate falls, the steps of this one shrink at once.

    The weight decay is added to the gradient, as in torch, so it is the :math:`L_2` penalty. Shrinking the weights
    separately, to :math:`(1 - \eta\lambda)\mathbf{w}`, would be a different step.

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
        The share :math:`\mu` of the velocity that each step keeps.
    nesterov : bool, default False
        Use Nesterov's momentum, which looks ahead along the new velocity.
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
        If a leaf is not a real floating-point tensor, or does not have the dtype of its parameter.
    ValueError
        If ``grads``, ``velocity`` or ``weight_decay`` does not have the structure and the shapes of ``params``.

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
    gradients = aligned_leaves(leaves, structure, "grads", grads)
    decays = decay_of_leaves(leaves, structure, weight_decay)
    check_finite_in("lr", lr, (w.dtype for w in leaves))
    penalized = [add_scaled(g, w, decay) for w, g, decay in zip(leaves, gradients, decays, strict=True)]
    velocities = penalized
    if velocity is not None:
        before = aligned_leaves(leaves, structure, "velocity", velocity)
        velocities = [add_scaled(g, v, momentum) for g, v in zip(penalized, before, strict=True)]
    ahead = velocities
    if nesterov:
        ahead = [add_scaled(g, v, momentum) for g, v in zip(penalized, velocities, strict=True)]
    stepped = [add_scaled(w, step, -lr) for w, step in zip(leaves, ahead, strict=True)]
    return structure.unflatten(stepped), structure.unflatten(velocities)


def clip_gradients(grads: Tree, *, max_norm: float) -> Tree:
    r"""Return the gradients, scaled down to a maximum norm if theirs is larger.

    .. math::

        \mathbf{g} \leftarrow \mathbf{g}\,\min\Bigl(1, \frac{c}{\lVert\mathbf{g}\rVert_2}\Bigr)

    where :math:`c` is the maximum and the norm is that of all gradients together, as one long vector. Large entries do
    not overflow when they are squared, and small ones do not underflow.

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
        unchanged where their norm is no larger. If the norm is infinite, the infinite entries become NaN and the others
        0; if an entry is NaN, all become NaN.

    Raises
    ------
    TypeError
        If a gradient is not a real floating-point tensor, or is a ``torch.nn.Parameter``.
    TypeError
        If ``max_norm`` is not a real number.
    ValueError
        If ``max_norm`` is negative or NaN.

    See Also
    --------
    gradient_norm : The norm, to record it or to choose the maximum.
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
    leaves, structure = _gradient_leaves(grads)
    if all(g.numel() == 0 for g in leaves):
        return grads
    if (norm := plain_norm(leaves)) is not None:
        factor = (max_norm / norm).clamp(max=1)
        return structure.unflatten([(upcast(g) * factor).to(g.dtype) for g in leaves])
    units, norm, scale = rescaled(leaves)  # g = scale · unit and ‖g‖ = scale · norm, so that no square overflows
    fits = norm <= max_norm / scale
    factor = max_norm / norm.clamp(min=1)  # the norm is at least 1, unless all gradients are zero
    clipped = [
        torch.where(fits.to(g.device), g, (unit * factor.to(g.device)).to(g.dtype))
        for g, unit in zip(leaves, units, strict=True)
    ]
    return structure.unflatten(clipped)


def gradient_norm(grads: PyTree) -> Float[Tensor, ""]:
    r"""Return the norm of all gradients together, as one long vector.

    .. math::

        \lVert\mathbf{g}\rVert_2 = \Bigl(\sum_{k}\sum_{i} g_{ki}^2\Bigr)^{1/2}

    where :math:`\mathbf{g}_k` is the gradient of parameter :math:`k`. :func:`clip_gradients` compares this norm with
    its maximum. Record it in each step to see how often a given maximum would be exceeded. Large entries do not
    overflow when they are squared, and small ones do not underflow.

    Parameters
    ----------
    grads : Tensor, or nested sequences and mappings of Tensor
        The gradients :math:`\mathbf{g}`.

    Returns
    -------
    Tensor, shape (), in [0, inf]
        The norm, in the widest dtype of the gradients; 0 if there are none.

    Raises
    ------
    TypeError
        If a gradient is not a real floating-point tensor, or is a ``torch.nn.Parameter``.

    See Also
    --------
    torch.nn.utils.get_total_norm : The same for a flat sequence; it overflows at entries of 3e30 in float32.
    clip_gradients : Scales the gradients down to a maximum norm.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", 2013.

    Examples
    --------
    >>> gradient_norm({"weight": torch.tensor([3.0, 0.0]), "bias": torch.tensor(4.0)})
    tensor(5.)
    """
    leaves, _ = _gradient_leaves(grads)
    if all(g.numel() == 0 for g in leaves):
        return leaves[0].new_zeros(()) if leaves else torch.zeros(())
    norm = plain_norm(leaves)
    if norm is None:
        _, unit_norm, scale = rescaled(leaves)  # ‖g‖ = scale · norm, so that no square overflows
        norm = scale * unit_norm
    return norm.to(functools.reduce(torch.promote_types, (g.dtype for g in leaves)))


def _gradient_leaves(grads: PyTree) -> tuple[list[Tensor], TreeSpec]:
    """Return the gradients and their structure; raise TypeError if parameters are passed in their place."""
    leaves, structure = floating_leaves("grads", grads)
    if any(isinstance(g, Parameter) for g in leaves):
        raise TypeError("grads must be gradients, got parameters; pass [w.grad for w in parameters]")
    return leaves, structure


def _leaves_and_gradients(params: PyTree) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters, each of them once, and their gradients; raise if a parameter has none."""
    if isinstance(params, Iterator):
        params = list(params)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    leaves = cast("list[Any]", params)
    if not isinstance(params, list) or not all(isinstance(w, Tensor) for w in leaves):  # a flat list needs no search
        leaves = pytree.tree_leaves(params)
    found: dict[Tensor, Tensor] = {}  # a tensor is a key by its identity
    for place, w in enumerate(leaves):
        gradient = w.grad if isinstance(w, Tensor) and w.is_leaf else None
        if gradient is None:
            _refuse_without_gradient(leaf_name("params", pytree.tree_structure(params), place), w)
        found[w] = gradient
    if not found:
        raise ValueError("params must hold at least one tensor, got none: an iterator yields its parameters only once")
    return [*found], [*found.values()]


def _refuse_without_gradient(name: str, w: Tensor) -> NoReturn:
    check_floating(**{name: w})
    if not w.requires_grad:
        raise ValueError(
            f"{name} must have a gradient, got a frozen parameter; pass [w for w in parameters if w.requires_grad]"
        )
    if not w.is_leaf:
        raise ValueError(f"{name} must be a leaf of the autograd graph, got the result of an operation")
    raise ValueError(f"{name} must have a gradient, got .grad = None: has backward() reached it?")
