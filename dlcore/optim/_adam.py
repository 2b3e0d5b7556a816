"""Adam's step: each entry of a gradient, divided by its recent size."""

from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from dlcore._checks import check_count, check_finite_in, check_nonnegative, check_number
from dlcore._descent import add_scaled, check_shrinkage, decay_of_leaves
from dlcore._torch import PyTree, TreeSpec, loadable
from dlcore._trees import aligned_leaves, floating_leaves
from dlcore.optim._fused import adam_leaves

__all__ = ["AdamState", "adam_step"]

Tree = TypeVar("Tree")

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
SMALLEST = {dtype: torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps for dtype in DTYPES}  # above 0


@loadable
class AdamState(NamedTuple):
    """The state of :func:`adam_step`, with the symbols of its formula.

    Parameters
    ----------
    t : int, at least 1
        The number of steps taken.
    m, v : Tensor, or nested sequences and mappings of Tensor
        The decaying means of the gradients and of their squares, in the structure of the parameters.

    Examples
    --------
    >>> _, state = adam_step(torch.zeros(2), torch.tensor([4.0, -0.5]), None, lr=0.5, betas=(0.5, 0.75))
    >>> state
    AdamState(t=1, m=tensor([ 2.0000, -0.2500]), v=tensor([4.0000, 0.0625]))
    """

    t: int
    m: PyTree
    v: PyTree


def adam_step(
    params: Tree,
    grads: Tree,
    state: AdamState | None,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: PyTree = 0.0,
    decoupled: bool = True,
) -> tuple[Tree, AdamState]:
    r"""Return the parameters after a step of Adam, and the new state.

    .. math::

        \mathbf{m} \leftarrow \beta_1\mathbf{m} + (1 - \beta_1)\,\mathbf{g}, \qquad
        \mathbf{v} \leftarrow \beta_2\mathbf{v} + (1 - \beta_2)\,\mathbf{g}^2, \qquad
        \mathbf{w} \leftarrow (1 - \eta\lambda)\,\mathbf{w} - \eta\,\frac{\mathbf{m} / (1 - \beta_1^t)}
            {\sqrt{\mathbf{v} / (1 - \beta_2^t)} + \varepsilon}

    where :math:`t` counts the steps from 1 and squares, roots and quotients are those of the entries. Both means start
    at 0, and dividing by :math:`1 - \beta^t` removes the resulting bias. The first step changes each entry by about
    :math:`\eta`, whatever the size of its gradient, if this is much larger than :math:`\varepsilon`.

    The weight decay :math:`\lambda` shrinks the weights separately from the step. With ``decoupled=False`` it is the
    :math:`L_2` penalty: :math:`\mathbf{g} + \lambda\mathbf{w}` replaces :math:`\mathbf{g}`, and a weight with large
    gradients then decays less than others.

    Parameters
    ----------
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters :math:`\mathbf{w}`.
    grads : of the same structure, shapes and dtypes
        The gradients :math:`\mathbf{g}`.
    state : AdamState or None
        The state that the last step returned; None before the first.
    lr : float, at least 0
        The learning rate :math:`\eta`.
    betas : pair of float, in [0, 1), default (0.9, 0.999)
        The fractions :math:`\beta_1` and :math:`\beta_2` of the two means that each step keeps.
    eps : float, at least 0, default 1e-8
        The :math:`\varepsilon` that bounds the step where gradients are small.
    weight_decay : float, or floats in the structure of ``params``, at least 0, default 0.0
        The weight decay :math:`\lambda`; a structure gives each parameter its own, such as 0 for the biases.
    decoupled : bool, default True
        Shrink the weights, as AdamW does; otherwise add the penalty's gradient, as Adam does.

    Returns
    -------
    params : Tensor, or nested sequences and mappings of Tensor
        New parameters, with the structure, the shapes and the dtypes of ``params``.
    state : AdamState
        The state to pass to the next step.

    Raises
    ------
    TypeError
        If ``lr``, ``eps``, one of ``betas`` or ``weight_decay`` is not a real number.
    ValueError
        If ``lr``, ``eps`` or ``weight_decay`` is negative or not finite, or one of ``betas`` not in [0, 1).
    TypeError
        If a leaf is not a real floating-point tensor, or does not have the dtype of its parameter.
    ValueError
        If ``grads``, ``state`` or ``weight_decay`` does not have the structure and the shapes of ``params``.
    TypeError
        If ``state`` is neither None nor an AdamState.

    See Also
    --------
    torch.optim.AdamW : The same in place, with weight decay 0.01 by default.
    torch.optim.Adam : The same in place with ``decoupled=False``.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", *ICLR*, 2015, section 2.
    .. [2] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", *ICLR*, 2019.

    Examples
    --------
    The first steps have the size of the learning rate, whatever the size of the gradients:

    >>> w, g = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([4.0, -0.5, 0.0])
    >>> w, state = adam_step(w, g, None, lr=0.5, betas=(0.5, 0.75))
    >>> w
    tensor([-0.5000,  0.5000,  0.0000])
    >>> state.t, state.m, state.v
    (1, tensor([ 2.0000, -0.2500,  0.0000]), tensor([4.0000, 0.0625, 0.0000]))

    The two kinds of weight decay with a gradient of 0:

    >>> adam_step(torch.tensor([4.0]), torch.zeros(1), None, lr=0.5, weight_decay=0.5)[0]
    tensor([3.])
    >>> adam_step(torch.tensor([4.0]), torch.zeros(1), None, lr=0.5, weight_decay=0.5, decoupled=False)[0]
    tensor([3.5000])
    """
    check_nonnegative("lr", lr)
    beta_1, beta_2 = betas
    for name, beta in ("betas[0]", beta_1), ("betas[1]", beta_2):
        check_number(name, beta, "in [0, 1)", lambda beta: 0 <= beta < 1)
    check_nonnegative("eps", eps)
    leaves, structure = floating_leaves("params", params)
    gradients = aligned_leaves(leaves, structure, "grads", grads)
    decays = decay_of_leaves(leaves, structure, weight_decay)
    t, means, squares = _leaves_of_state(state, leaves, structure)
    t += 1
    scale = (1 - beta_2**t) ** 0.5  # the bias correction of v, applied to the rate and to ε instead of to each root
    rate = lr * scale / (1 - beta_1**t)
    check_finite_in("lr", lr, (w.dtype for w in leaves))
    check_finite_in("lr * sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)", rate, (w.dtype for w in leaves))
    if decoupled:
        check_shrinkage(leaves, lr, decays)
    else:
        gradients = [add_scaled(g, w, decay) for w, g, decay in zip(leaves, gradients, decays, strict=True)]
    shrink = [1 - lr * decay if decoupled else 1.0 for decay in decays]
    floor, eps = SMALLEST[leaves[0].dtype] if leaves else 0.0, scale * eps
    fused = adam_leaves(leaves, gradients, means, squares, betas=betas, shrink=shrink, floor=floor, eps=eps, rate=rate)
    if fused is not None:
        stepped, means, squares = fused
    else:
        means = [m.lerp(g, 1 - beta_1) for m, g in zip(means, gradients, strict=True)]
        squares = [(beta_2 * v).addcmul(g, g, value=1 - beta_2) for v, g in zip(squares, gradients, strict=True)]
        roots = [v.clamp(min=SMALLEST[v.dtype]).sqrt() + eps for v in squares]  # a root has no finite slope at 0
        kept = [factor * w for w, factor in zip(leaves, shrink, strict=True)]
        stepped = [w.addcdiv(m, r, value=-rate) for w, m, r in zip(kept, means, roots, strict=True)]
    return structure.unflatten(stepped), AdamState(t, structure.unflatten(means), structure.unflatten(squares))


def _leaves_of_state(
    state: AdamState | None, leaves: list[Tensor], structure: TreeSpec
) -> tuple[int, list[Tensor], list[Tensor]]:
    """Return the number of steps taken and the leaves of both means."""
    if state is None:
        return 0, [torch.zeros_like(w) for w in leaves], [torch.zeros_like(w) for w in leaves]
    if not isinstance(state, tuple) or len(state) != 3:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"state must be None or what the last step returned, got {type(state).__name__}")
    t, m, v = state
    check_count("state.t", t, 0)
    m, v = (aligned_leaves(leaves, structure, name, x) for name, x in (("state.m", m), ("state.v", v)))
    return t, m, v
