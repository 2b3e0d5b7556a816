"""Trees of parameters: a tensor, or nested sequences and mappings of tensors, whose leaves errors refer to by name."""

from torch import Tensor

from ._checks import check_floating, check_same_shape
from ._torch import PyTree, TreeSpec, pytree

__all__ = ["aligned_leaves", "floating_leaves", "leaf_name", "leaves_like"]


def floating_leaves(name: str, tree: PyTree) -> tuple[list[Tensor], TreeSpec]:
    """Return the leaves of a tree, which must be real floating-point tensors, and its structure."""
    leaves, structure = pytree.tree_flatten(tree)
    for place, x in enumerate(leaves):
        if not isinstance(x, Tensor) or not x.is_floating_point():  # finding the name of a leaf is slow
            check_floating(**{leaf_name(name, structure, place): x})
    return leaves, structure


def leaves_like(structure: TreeSpec, name: str, tree: PyTree) -> list[PyTree]:
    """Return the leaves of a tree, which must have the structure of the parameters, in their order."""
    leaves, found = pytree.tree_flatten(tree)
    if found == structure:
        return leaves
    try:
        return structure.flatten_up_to(tree)  # the keys of a mapping may be in another order
    except ValueError:
        raise ValueError(
            f"{name} must have the structure of params, {_outline(structure)}, got {_outline(found)}"
        ) from None


def aligned_leaves(params: list[Tensor], structure: TreeSpec, name: str, tree: PyTree) -> list[Tensor]:
    """Return the leaves of a tree, which must have the structure, shapes and dtypes of the parameters."""
    leaves = leaves_like(structure, name, tree)
    for place, (w, x) in enumerate(zip(params, leaves, strict=True)):
        if not isinstance(x, Tensor) or x.shape != w.shape or x.dtype != w.dtype:
            given, like = leaf_name(name, structure, place), leaf_name("params", structure, place)
            check_floating(**{given: x})
            check_same_shape(**{like: w, given: x})
            raise TypeError(f"{given} must have the dtype of {like}, {w.dtype}, got {x.dtype}")
    return leaves


def leaf_name(name: str, structure: TreeSpec, place: int) -> str:
    """Return the name of a leaf, such as params['weight']."""
    tree = structure.unflatten(range(structure.num_leaves))
    return name + pytree.keystr(pytree.tree_flatten_with_path(tree)[0][place][0])


def _outline(structure: TreeSpec) -> str:
    return repr(structure.unflatten("*" * structure.num_leaves)).replace("'*'", "*")
