"""Steps on all parameters at once, and the norm of all gradients without rescaling."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from dlcore._checks import has_values
from dlcore._numerics import upcast
from dlcore._torch import (
    foreach_add_,
    foreach_addcdiv_,
    foreach_addcmul_,
    foreach_clamp_min,
    foreach_lerp,
    foreach_mul,
    foreach_sqrt_,
)

__all__ = ["adam_leaves", "plain_norm"]

ONE_DOT_ENTRIES = 200_000  # a dot product of longer vectors loses digits
MIN_PLAIN_NORM, MAX_PLAIN_NORM = 1e-8, 1e12  # between them no square overflows, and none that counts underflows


def adam_leaves(
    w: list[Tensor],
    g: list[Tensor],
    m: list[Tensor],
    v: list[Tensor],
    *,
    betas: tuple[float, float],
    shrink: list[float],
    floor: float,
    eps: float,
    rate: float,
) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]] | None:
    r"""Compute :math:`\mathbf{w}`, :math:`\mathbf{m}` and :math:`\mathbf{v}` after a step of Adam, all leaves at once.

    Return None if the tensors have several dtypes or are of a subclass, and if a derivative is needed.
    """
    if not _are_fusible(w, g, m, v):
        return None
    means, squares = foreach_lerp(m, g, 1 - betas[0]), foreach_mul(v, betas[1])
    foreach_addcmul_(squares, g, g, value=1 - betas[1])
    roots = foreach_clamp_min(squares, floor)
    foreach_sqrt_(roots)
    foreach_add_(roots, eps)
    stepped = foreach_mul(w, shrink)
    foreach_addcdiv_(stepped, means, roots, value=-rate)
    return stepped, means, squares


def _are_fusible(*lists: list[Tensor]) -> bool:
    """Return whether these are ordinary tensors of one dtype that need no derivative."""
    tensors = [x for leaves in lists for x in leaves]
    if not has_values(*tensors) or len({x.dtype for x in tensors}) != 1:
        return False
    return _are_ordinary(tensors) and not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))


def _are_ordinary(tensors: list[Tensor]) -> bool:
    return all(type(x) in {Tensor, Parameter} for x in tensors)


def plain_norm(gradients: list[Tensor]) -> Tensor | None:
    r"""Compute :math:`(\sum_k \sum_i g_{ki}^2)^{1/2}`; return None where a square may overflow or vanish."""
    if not has_values(*gradients) or len({g.device for g in gradients}) > 1 or not _are_ordinary(gradients):
        return None
    dtype = torch.float64 if any(g.dtype == torch.float64 for g in gradients) else torch.float32
    norm = torch.stack([_sum_of_squares(upcast(g)).to(dtype) for g in gradients]).sum().sqrt()
    return norm if MIN_PLAIN_NORM <= norm.item() <= MAX_PLAIN_NORM else None


def _sum_of_squares(x: Tensor) -> Tensor:
    if x.numel() > ONE_DOT_ENTRIES:
        return x.square().sum()
    x = x.flatten()
    return torch.dot(x, x)
