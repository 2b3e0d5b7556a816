"""Rows that occur more than once, which held-out rows do not notice."""

import torch
from torch import Tensor

from dlcore._rows import sharded_masses
from dlcore._shards import is_sharded, local_rows, shards_of
from dlcore._torch import unique

from ._features import row_blocks

__all__ = ["repeated_rows"]

MIN_DISTINCT = 100  # values of a column, from which on it counts as continuous
ODD_FACTOR = 0x9E3779B97F4A7C15 - 2**64  # of a multiplicative hash


def repeated_rows(x: Tensor) -> int:
    """Return how many rows equal an earlier one, if some column is continuous and over half of the rows do; else 0.

    Rows of few discrete values repeat by themselves. A column is continuous if it has more than a hundred values, and
    over half as many as there are distinct rows.
    """
    n_hashes = _distinct(_row_hashes(x), x)
    if 2 * n_hashes >= len(x) or n_hashes <= MIN_DISTINCT:
        return 0
    most_values = max(_distinct(column, x) for column in local_rows(x).T)
    return len(x) - n_hashes if most_values > max(MIN_DISTINCT, n_hashes / 2) else 0


def _distinct(keys: Tensor, x: Tensor) -> int:
    """Return how many of the keys of the rows, of all processes, are distinct."""
    if not is_sharded(x):
        return len(unique(keys))
    masses, _ = sharded_masses(keys, torch.ones_like(keys, dtype=torch.int64)[:, None], x)
    return int(shards_of(x).sum(torch.tensor(len(masses), device=x.device)))


def _row_hashes(x: Tensor) -> Tensor:
    """Return a 64-bit integer for each of the rows of this process."""
    own = local_rows(x)
    hashes, start = own.new_empty(len(own), dtype=torch.int64), 0
    for rows in row_blocks(own, x.shape[1]):
        hashes[start : start + len(rows)] = _hashes(rows)
        start += len(rows)
    return hashes


def _hashes(rows: Tensor) -> Tensor:
    """Return a 64-bit integer for each row, equal for equal rows: sums of integers do not depend on their order."""
    bits = (rows.double() + 0.0).view(torch.int64)  # -0.0 becomes 0.0
    mixed = (bits ^ (bits >> 31)) * ODD_FACTOR
    factors = 2 * torch.arange(rows.shape[1], device=rows.device) + 1
    return ((mixed ^ (mixed >> 29)) * factors * ODD_FACTOR).sum(1)
