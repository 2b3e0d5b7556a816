"""A norm in fewer passes over memory, for vectors on a CPU of which no derivative is asked for."""

import torch
from torch import Tensor

from dlcore._torch import split, vector_norm

Dim = int | tuple[int, ...] | None
SHORT_SUM_ENTRIES = 4096  # in a longer sum, torch's single pass loses a digit for each factor of ten
ONE_DOT_ENTRIES = 200_000  # in a longer sum, a product of two vectors loses digits
CACHE_BLOCK_ENTRIES = 2**17  # 512 KB in float32


def fused_norm(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    r"""Compute :math:`(\sum_i |x_i|^p)^{1/p}`, a power as the exponential of p times the logarithm."""
    if dim is not None or keepdim:
        return _raise_(x.abs(), p).sum(dim=dim, keepdim=keepdim).pow(1 / p)
    return _length(x.flatten()) if p == 2 else _sum_of_powers(x.flatten(), p).pow(1 / p)


def _length(x: Tensor) -> Tensor:
    """Return the Euclidean norm of a vector: of many entries, the norm of the norms of short blocks."""
    if len(x) > ONE_DOT_ENTRIES:
        last = len(x) - len(x) % SHORT_SUM_ENTRIES
        x = torch.cat([vector_norm(x[:last].reshape(-1, SHORT_SUM_ENTRIES), 2, 1, False), x[last:]])
    return torch.dot(x, x).sqrt()


def _sum_of_powers(x: Tensor, p: float) -> Tensor:
    """Sum a block at a time, in one buffer that stays in the cache."""
    buffer = x.new_empty(min(len(x), CACHE_BLOCK_ENTRIES))
    blocks = split(x, CACHE_BLOCK_ENTRIES)
    return torch.stack([_raise_(torch.abs(block, out=buffer[: len(block)]), p).sum() for block in blocks]).sum()


def _raise_(magnitudes: Tensor, p: float) -> Tensor:
    return magnitudes.square_() if p == 2 else magnitudes.log_().mul_(p).exp_()
