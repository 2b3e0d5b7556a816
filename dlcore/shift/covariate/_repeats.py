"""Rows that occur more than once, which held-out rows do not notice."""

import torch
from torch import Tensor

from dlcore._rows import sharded_masses
from dlcore._shards import is_sharded, local_rows, shards_of
from dlcore._torch import unique

from ._features import row_blocks

__all__ = ["repeated_rows"]

MIN_DISTINCT = 100  # values of a column, from which on it counts as continuous
MAX_SORTED_HASHES = 2**22  # at a time, because sorting takes several times their memory
ODD_FACTOR = 0x9E3779B97F4A7C15 - 2**64  # of a multiplicative hash


def repeated_rows(x: Tensor, groups: Tensor | None = None) -> int:
    """Return how many rows equal an earlier one, if some column is continuous and over half of the rows do; else 0.

    Rows that repeat within their group count once. Rows of few discrete values repeat by themselves. A column is
    continuous if it has more than a hundred values, and over half as many as there are distinct rows.
    """
    n_distinct = _distinct_rows(x, x)
    n = len(x) if groups is None else _distinct_rows(x, x, groups)
    if 2 * n_distinct >= n:
        return 0
    most_values = max(_distinct_rows(column[:, None], x) for column in local_rows(x).T)
    return n - n_distinct if most_values > max(MIN_DISTINCT, n_distinct / 2) else 0


def _distinct_rows(own: Tensor, x: Tensor, groups: Tensor | None = None) -> int:
    """Return how many rows are distinct, of those in ``x`` or of some columns of them; ``own`` are of this process.

    Equal rows of two groups are distinct, if there are groups.
    """
    own = local_rows(own)
    hashes, start = own.new_empty(len(own), dtype=torch.int64), 0
    for rows in row_blocks(own, own.shape[1]):
        hashes[start : start + len(rows)] = _hashes(rows)
        start += len(rows)
    if groups is not None:
        hashes += ODD_FACTOR * groups
    if is_sharded(x):
        masses, _ = sharded_masses(hashes, torch.ones_like(hashes)[:, None], x)
        return int(shards_of(x).sum(torch.tensor(len(masses), device=x.device)))
    n_parts = -(-len(hashes) // MAX_SORTED_HASHES)
    parts = (hashes[hashes.remainder(n_parts) == part] for part in range(n_parts)) if n_parts > 1 else (hashes,)
    return sum(len(unique(part)) for part in parts)


def _hashes(rows: Tensor) -> Tensor:
    """Return a 64-bit integer for each row, equal for equal rows: sums of integers do not depend on their order."""
    bits = (rows.double() + 0.0).view(torch.int64)  # -0.0 becomes 0.0
    mixed = (bits ^ (bits >> 31)) * ODD_FACTOR
    factors = 2 * torch.arange(rows.shape[1], device=rows.device) + 1
    return ((mixed ^ (mixed >> 29)) * factors * ODD_FACTOR).sum(1)
