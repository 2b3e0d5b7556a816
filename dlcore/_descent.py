"""The in-place step of :func:`dlcore.optim.momentum_step`, and the weight decay of each parameter."""

import math
from collections.abc import Sequence

from torch import Tensor

from ._checks import check_nonnegative
from ._torch import PyTree, TreeSpec, foreach_add_, foreach_mul_, is_leaf
from ._trees import leaf_name, leaves_like

__all__ = ["decay_of_leaves", "descend_"]


def decay_of_leaves(structure: TreeSpec, weight_decay: PyTree) -> list[float]:
    """Return the weight decay of each leaf, which must be nonnegative and finite; one number applies to all leaves."""
    if is_leaf(weight_decay):
        check_nonnegative("weight_decay", weight_decay)
        return [weight_decay] * structure.num_leaves
    decays = leaves_like(structure, "weight_decay", weight_decay)
    for place, decay in enumerate(decays):
        if not isinstance(decay, float) or not 0 <= decay < math.inf:  # finding the name of a leaf is slow
            check_nonnegative(leaf_name("weight_decay", structure, place), decay)
    return decays


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
    if any(decays):
        g = [g_i.add(w_i, alpha=decay) for g_i, w_i, decay in zip(g, w, decays, strict=True)]
    if momentum:
        foreach_mul_(v, momentum)
        foreach_add_(v, g)
        g = v
    foreach_add_(w, g, alpha=-lr)
