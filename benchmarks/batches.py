"""Benchmarks of :mod:`dlcore.batches`."""

import torch
from torch.utils.data import DataLoader, TensorDataset

from dlcore import batches

from .frame import Pair, Row


def epoch() -> Pair:
    """Set up an epoch of shuffled minibatches of 10,000 rows."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(10_000, 20, generator=generator), torch.randn(10_000, generator=generator)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)

    def ours() -> int:
        return sum(len(rows) for rows, _ in batches.minibatches(x, y, batch_size=64))

    def theirs() -> int:
        return sum(len(rows) for rows, _ in loader)

    return ours, theirs


ROWS = [Row("an epoch of minibatches, 10⁴ × 20, 64 a batch", "DataLoader(TensorDataset)", 0.1, epoch)]
