"""Norms in fewer passes over memory, for vectors on a CPU that need no derivative."""

import torch
from torch import Tensor

from dlcore._numerics import SHORT_SUM_ENTRIES
from dlcore._torch import split, vector_norm

Dim = int | tuple[int, ...] | None
ONE_DOT_ENTRIES = 200_000  # a dot product of longer vectors loses digits
CACHE_BLOCK_ENTRIES = 2**17  # 512 KB in float32


def short_norm(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    r"""Compute :math:`(\sum_i |x_i|^p)^{1/p}` in one call, with few arguments, because each takes time."""
    if dim is not None or keepdim:
        return vector_norm(x, p, dim, keepdim)
    return vector_norm(x) if p == 2 else vector_norm(x, p)


def fused_norm(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    r"""Compute :math:`(\sum_i |x_i|^p)^{1/p}`, with each power computed as :math:`2^{p \log_2|x_i|}`."""
    if dim is not None or keepdim:
        return _raise_(x.abs(), p).sum(dim=dim, keepdim=keepdim).pow_(1 / p)
    x = x if x.dim() == 1 else x.flatten()
    return _length(x) if p == 2 else _sum_of_powers(x, p).pow_(1 / p)


def _length(x: Tensor) -> Tensor:
    """Return the Euclidean norm of a vector; for a long one, take the norm of the norms of short blocks."""
    if x.numel() > ONE_DOT_ENTRIES:
        last = len(x) - len(x) % SHORT_SUM_ENTRIES
        x = torch.cat([vector_norm(x[:last].reshape(-1, SHORT_SUM_ENTRIES), 2, 1, False), x[last:]])
    return torch.dot(x, x).sqrt_()


def _sum_of_powers(x: Tensor, p: float) -> Tensor:
    """Sum the powers one block at a time, in a single buffer that stays in the cache."""
    buffer = x.new_empty(min(len(x), CACHE_BLOCK_ENTRIES))
    blocks = split(x, CACHE_BLOCK_ENTRIES)
    return torch.stack([_raise_(torch.abs(block, out=buffer[: len(block)]), p).sum() for block in blocks]).sum()


def _raise_(magnitudes: Tensor, p: float) -> Tensor:
    if p in {2, 3, 4}:  # products, which are faster than a logarithm and an exponential
        return magnitudes.square_().square_() if p == 4 else magnitudes.pow_(p)
    return magnitudes.log2_().mul_(p).exp2_()
