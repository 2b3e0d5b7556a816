"""What torch takes from C without types, typed."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateUsage=false
# pyright: reportPrivateImportUsage=false

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "cholesky",
    "eigenvalues",
    "eigh",
    "foreach_add_",
    "foreach_copy_",
    "foreach_mul_",
    "foreach_zero_",
    "qr",
    "singular_values",
    "solve",
    "solve_triangular",
    "split",
    "svd",
    "unpack_dual",
    "vector_norm",
]

cholesky: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.cholesky_ex
eigenvalues: Callable[[Tensor], Tensor] = torch.linalg.eigvalsh
eigh: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.eigh
vector_norm: Callable[..., Tensor] = torch.linalg.vector_norm
singular_values: Callable[[Tensor], Tensor] = torch.linalg.svdvals
qr: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.qr
solve: Callable[[Tensor, Tensor], Tensor] = torch.linalg.solve
solve_triangular: Callable[..., Tensor] = torch.linalg.solve_triangular
foreach_add_: Callable[..., None] = torch._foreach_add_
foreach_copy_: Callable[[list[Tensor], list[Tensor]], None] = torch._foreach_copy_
foreach_mul_: Callable[[list[Tensor], float], None] = torch._foreach_mul_
foreach_zero_: Callable[[list[Tensor]], None] = torch._foreach_zero_
split: Callable[..., tuple[Tensor, ...]] = torch.split
unpack_dual: Callable[[Tensor], tuple[Tensor, Tensor | None]] = torch.autograd.forward_ad.unpack_dual


def svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thin singular value decomposition."""
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    return u, s, vt
