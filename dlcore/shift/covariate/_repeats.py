"""Rows that occur more than once, which held-out rows do not notice."""

import torch
from torch import Tensor

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
    hashes = torch.cat([_hashes(rows) for rows in row_blocks(x, x.shape[1])])
    distinct = len(unique(hashes))
    if 2 * distinct >= len(x) or distinct <= MIN_DISTINCT:
        return 0
    most_values = max(len(unique(column)) for column in x.T)
    return len(x) - distinct if most_values > max(MIN_DISTINCT, distinct / 2) else 0


def _hashes(rows: Tensor) -> Tensor:
    """Return a 64-bit integer for each row, equal for equal rows: sums of integers do not depend on their order."""
    bits = (rows.double() + 0.0).view(torch.int64)  # -0.0 becomes 0.0
    mixed = (bits ^ (bits >> 31)) * ODD_FACTOR
    factors = 2 * torch.arange(rows.shape[1], device=rows.device) + 1
    return ((mixed ^ (mixed >> 29)) * factors * ODD_FACTOR).sum(1)
