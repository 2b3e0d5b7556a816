"""Parameters as trees: a tensor, or nested sequences and mappings of tensors, whose leaves are named in errors."""

from torch import Tensor
from torch.utils import _pytree as pytree

from ._checks import check_floating, check_same_shape

__all__ = ["check_alike", "floating_leaves", "leaf_name", "leaves_like"]


def floating_leaves(name: str, tree: pytree.PyTree) -> tuple[list[Tensor], pytree.TreeSpec]:
    """Return the leaves of a tree, which must be floating-point tensors, and its structure."""
    leaves, structure = pytree.tree_flatten(tree)
    for place, x in enumerate(leaves):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            check_floating(**{leaf_name(name, tree, place): x})
    return leaves, structure


def leaves_like(params: pytree.PyTree, name: str, tree: pytree.PyTree) -> list[pytree.PyTree]:
    """Return the leaves of a tree in the order of the parameters, whose structure it must have."""
    leaves, structure = pytree.tree_flatten(tree)
    expected = pytree.tree_structure(params)
    if structure == expected:
        return leaves
    try:
        return expected.flatten_up_to(tree)  # the keys of a mapping may come in another order
    except ValueError:
        raise ValueError(
            f"{name} must have the structure of params, {_outline(params)}, got {_outline(tree)}"
        ) from None


def check_alike(params: pytree.PyTree, name: str, tree: pytree.PyTree) -> list[Tensor]:
    """Return the leaves of a tree that must have the structure and the shapes of the parameters."""
    leaves = leaves_like(params, name, tree)
    for place, (w, x) in enumerate(zip(pytree.tree_leaves(params), leaves, strict=True)):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            check_floating(**{leaf_name(name, params, place): x})
        if x.shape != w.shape:
            check_same_shape(**{leaf_name("params", params, place): w, leaf_name(name, params, place): x})
    return leaves


def leaf_name(name: str, tree: pytree.PyTree, place: int) -> str:
    """Return the name of a leaf, such as params['weight']."""
    return name + pytree.keystr(pytree.tree_flatten_with_path(tree)[0][place][0])


def _outline(tree: pytree.PyTree) -> str:
    leaves, structure = pytree.tree_flatten(tree)
    return repr(structure.unflatten(["*"] * len(leaves))).replace("'*'", "*")
