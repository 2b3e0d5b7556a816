"""Benchmarks of :mod:`dlcore.regularization`."""

from functools import partial

import torch
from torch.nn import functional as F  # noqa: N812  # the conventional name

from dlcore import regularization

from .frame import Pair, Row


def forward(n: int) -> Pair:
    """Set up dropout with probability one half."""
    h = torch.randn(n, generator=torch.Generator().manual_seed(0))
    return partial(regularization.dropout, h, 0.5), partial(F.dropout, h, 0.5)


def backward(n: int) -> Pair:
    """Set up dropout with probability one half, and the gradient of the sum of its result."""
    h = torch.randn(n, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def ours() -> torch.Tensor:
        return torch.autograd.grad(regularization.dropout(h, 0.5).sum(), h)[0]

    def theirs() -> torch.Tensor:
        return torch.autograd.grad(F.dropout(h, 0.5).sum(), h)[0]

    return ours, theirs


ROWS = [
    Row(
        f"dropout of {text}{ending}",
        "F.dropout",
        1.1 if ending else 0.9,
        partial(make, n),
        compare=False,
        bytes_moved=8 * n if n > 1_000_000 and make is forward else None,
    )
    for ending, make in {"": forward, ", with backward": backward}.items()
    for n, text in {100_000: "10⁵", 4_000_000: "4·10⁶"}.items()
]
