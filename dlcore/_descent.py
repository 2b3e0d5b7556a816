"""The in-place step of :func:`dlcore.optim.momentum_step`, its sums, and the weight decay of each parameter."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ._checks import MAX_OF_ALL_DTYPES, check_finite_in, check_nonnegative
from ._torch import PyTree, TreeSpec, foreach_add_, foreach_mul_, is_leaf
from ._trees import leaf_name, leaves_like

__all__ = ["add_scaled", "add_scaled_", "check_shrinkage", "decay_of_leaves", "descend_"]


def decay_of_leaves(leaves: list[Tensor], structure: TreeSpec, weight_decay: PyTree) -> list[float]:
    """Return the weight decay of each leaf, which must be nonnegative and finite; one number applies to all leaves."""
    if is_leaf(weight_decay):
        check_nonnegative("weight_decay", weight_decay)
        check_finite_in("weight_decay", weight_decay, (w.dtype for w in leaves))
        return [weight_decay] * structure.num_leaves
    decays = leaves_like(structure, "weight_decay", weight_decay)
    for place, decay in enumerate(decays):
        if not isinstance(decay, float) or not 0 <= decay <= MAX_OF_ALL_DTYPES:  # finding the name of a leaf is slow
            name = leaf_name("weight_decay", structure, place)
            check_nonnegative(name, decay)
            check_finite_in(name, decay, [leaves[place].dtype])
    return decays


def check_shrinkage(leaves: list[Tensor], lr: float, decays: list[float]) -> None:
    """Raise ValueError unless the rate times each weight decay is finite in the dtype of the leaf."""
    for w, decay in zip(leaves, decays, strict=True):
        check_finite_in("lr * weight_decay", lr * decay, [w.dtype])


def add_scaled(x: Tensor, y: Tensor, factor: float) -> Tensor:
    """Return x + factor · y.

    ``alpha`` of torch's addition is rounded to float16, where a rate below 6e-5 loses digits; ``value`` is not.
    """
    return x.addcmul(y, y.new_ones(()), value=factor) if x.dtype == torch.float16 else x.add(y, alpha=factor)


def add_scaled_(tensors: list[Tensor], others: Sequence[Tensor], factor: float) -> None:
    """Put x + factor · y in the place of each x."""
    if all(x.dtype != torch.float16 for x in tensors):
        foreach_add_(tensors, others, alpha=factor)
        return
    for x, y in zip(tensors, others, strict=True):
        x.copy_(add_scaled(x, y, factor))


def descend_(
    w: list[Tensor],
    g: Sequence[Tensor],
    v: list[Tensor],
    *,
    lr: float,
    momentum: float,
    decays: list[float],
) -> None:
    """Take the step v ← μv + g + λw, w ← w − ηv in place; without momentum, v is empty."""
    check_finite_in("lr", lr, (x.dtype for x in w))
    if any(decays):
        g = [add_scaled(g_i, w_i, decay) for g_i, w_i, decay in zip(g, w, decays, strict=True)]
    if momentum:
        foreach_mul_(v, momentum)
        foreach_add_(v, g)
        g = v
    add_scaled_(w, g, -lr)
