"""Benchmarks of :mod:`dlcore.norms`."""

import math
from functools import partial

import torch

from dlcore import norms

from .frame import Pair, Row

SIZES = {1_000: "10³", 100_000: "10⁵", 4_000_000: "4·10⁶"}
ORDERS = {1.0: 1.0, 2.0: 1.0, 2.5: 0.5, 3.0: 0.5, 4.0: 0.5, math.inf: 0.3}  # each order with its target for n >= 10⁵

SHORT_TARGETS = {2.0: 2.5}  # at 10³, where the check that no square overflowed takes as long as the norm


def vector(p: float, n: int) -> Pair:
    """Set up the p-norm of one vector."""
    x = torch.randn(n, generator=torch.Generator().manual_seed(0))
    return partial(norms.lp_norm, x, p), partial(torch.linalg.vector_norm, x, p)


def matrix(p: float, dim: int) -> Pair:
    """Set up the p-norms along one dimension of a matrix."""
    x = torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0))
    return partial(norms.lp_norm, x, p, dim=dim), partial(torch.linalg.vector_norm, x, p, dim=dim)


ROWS = [
    Row(
        f"{p:g}-norm of {text}",
        "torch.linalg.vector_norm",
        target if n > 1000 else SHORT_TARGETS.get(p, 1.5),
        partial(vector, p, n),
        bytes_moved=4 * n if n > 1_000_000 else None,
    )
    for p, target in ORDERS.items()
    for n, text in SIZES.items()
] + [
    Row(f"{p:g}-norm of (1000, 1000), dim={dim}", "torch.linalg.vector_norm", 1.1, partial(matrix, p, dim))
    for p in ORDERS
    for dim in (0, 1)
]
