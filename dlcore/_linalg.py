"""What torch takes from C without types, typed."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["qr", "singular_values", "solve_triangular", "vector_norm"]

vector_norm: Callable[..., Tensor] = torch.linalg.vector_norm
singular_values: Callable[[Tensor], Tensor] = torch.linalg.svdvals
qr: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.qr
solve_triangular: Callable[..., Tensor] = torch.linalg.solve_triangular
