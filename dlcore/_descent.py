"""The step of :mod:`dlcore.optim` in place, on leaves that are private to a run."""

from collections.abc import Sequence

from torch import Tensor

from ._torch import PyTree, TreeSpec, foreach_add_, foreach_mul_, is_leaf

__all__ = ["decay_of_leaves", "descend_"]


def decay_of_leaves(structure: TreeSpec, weight_decay: PyTree) -> list[float]:
    """Return the weight decay of each leaf: a number holds for all of them."""
    if is_leaf(weight_decay):
        return [weight_decay] * structure.num_leaves
    return structure.flatten_up_to(weight_decay)


def descend_(
    leaves: list[Tensor],
    grads: Sequence[Tensor],
    velocity: list[Tensor],
    *,
    lr: float,
    momentum: float,
    decays: list[float],
) -> None:
    """Take the step of :func:`dlcore.optim.momentum_step`; without momentum there is no velocity."""
    if any(decays):
        grads = [g.add(w, alpha=decay) for g, w, decay in zip(grads, leaves, decays, strict=True)]
    if momentum:
        foreach_mul_(velocity, momentum)
        foreach_add_(velocity, grads)
        grads = velocity
    foreach_add_(leaves, grads, alpha=-lr)
