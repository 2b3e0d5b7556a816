"""Blocks of rows: what is computed of each row takes the memory of a block."""

import math
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from ._checks import has_values
from ._shards import local_rows, shards_of
from ._torch import split

__all__ = ["row_blocks", "sum_over_rows"]

MAX_BLOCK_ENTRIES = 2**18  # 2 MB in float64


def row_blocks(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the rows that this process holds, as plain tensors: in blocks, or all at once if a gradient needs them."""
    local = tuple(local_rows(x) for x in tensors)
    needs_all = not has_values(*local) or (torch.is_grad_enabled() and any(x.requires_grad for x in local))
    block_rows = max(MAX_BLOCK_ENTRIES // max(math.prod(x.shape[1:]) for x in local), 1) if local[0].numel() else 1
    if needs_all or len(local[0]) <= block_rows:
        return [local]
    return [*zip(*(split(x, block_rows) for x in local), strict=True)]


def sum_over_rows(values: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return the sum over all rows, the last dimension, of what a function gives for the rows of a block."""
    sums = (values(*rows).sum(-1) for rows in row_blocks(*tensors))  # a list of them would fragment the memory
    return shards_of(tensors[0]).sum(reduce(torch.add, sums))
