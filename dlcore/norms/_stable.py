"""Powers with a gradient at 0, and norms of entries whose powers overflow or vanish."""

import torch
from torch import Tensor

from dlcore.norms._fused import Dim


def powers(x: Tensor, p: float) -> Tensor:
    r"""Compute :math:`|x_i|^p`; below :math:`p = 1` the slope at 0 is infinite, and its gradient is set to 0."""
    if p < 1:
        return torch.where(x == 0, 0, torch.where(x == 0, 1, x).abs().pow(p))
    return x.abs().pow(p)


def rescaled_norm(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    r"""Compute :math:`s\,(\sum_i |x_i / s|^p)^{1/p}` with :math:`s = \max_i |x_i|`, which no power overflows."""
    dims = () if dim is None else dim  # all
    largest = x.detach().abs().amax(dims, keepdim=True)
    s = torch.where((largest == 0) | largest.isinf(), 1, largest)
    total = powers(x / s, p).sum(dim=dim, keepdim=True)
    is_zero = total == 0  # there the root has no gradient
    norm = torch.where(is_zero, 0, s * torch.where(is_zero, 1, total).pow(1 / p))
    return norm if keepdim else norm.sum(dim=dim)  # a sum over lengths of 1
