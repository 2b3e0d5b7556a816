"""Powers with a finite gradient at 0, and norms of entries whose powers overflow or underflow."""

import torch
from torch import Tensor

from dlcore.norms._fused import Dim


def powers(x: Tensor, p: float) -> Tensor:
    r"""Compute :math:`|x_i|^p`; for :math:`p < 1` the slope at 0 is infinite, so the gradient there is set to 0."""
    if p < 1:
        return torch.where(x == 0, 0, torch.where(x == 0, 1, x).abs().pow(p))
    return x.abs().pow(p)


def rescaled_norm(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    r"""Compute :math:`s\,(\sum_i |x_i / s|^p)^{1/p}` with :math:`s = \max_i |x_i|`, so no power overflows."""
    dims = () if dim is None else dim  # () means all dimensions
    largest = x.detach().abs().amax(dims, keepdim=True)
    s = torch.where((largest == 0) | largest.isinf(), 1, largest)
    total = powers(x / s, p).sum(dim=dim, keepdim=True)
    is_zero = total == 0  # where the root has no gradient
    norm = torch.where(is_zero, 0, s * torch.where(is_zero, 1, total).pow(1 / p))
    return norm if keepdim else norm.sum(dim=dim)  # the dimensions have length 1, so the sum only removes them
