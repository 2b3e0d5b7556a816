"""Benchmarks of :mod:`dlcore.losses`."""

from functools import partial

import torch
from torch.nn import functional as F  # noqa: N812  # the conventional name

from dlcore import losses

from .frame import Pair, Row


def data(n: int, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw logits and labels."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, n_classes, generator=generator), torch.randint(n_classes, (n,), generator=generator)


def forward(n: int, n_classes: int) -> Pair:
    """Set up the cross-entropy of each row."""
    logits, labels = data(n, n_classes)
    return partial(losses.cross_entropy, logits, labels), partial(F.cross_entropy, logits, labels, reduction="none")


def backward(n: int, n_classes: int) -> Pair:
    """Set up the gradient of the mean cross-entropy."""
    logits, labels = data(n, n_classes)
    logits.requires_grad_()

    def ours() -> torch.Tensor:
        return torch.autograd.grad(losses.cross_entropy(logits, labels).mean(), logits)[0]

    def theirs() -> torch.Tensor:
        return torch.autograd.grad(F.cross_entropy(logits, labels), logits)[0]

    return ours, theirs


def squared(n: int) -> Pair:
    """Set up half the squared error of each row."""
    generator = torch.Generator().manual_seed(0)
    y_hat, y = torch.randn(2, n, generator=generator)
    return partial(losses.squared_loss, y_hat, y), lambda: F.mse_loss(y_hat, y, reduction="none") / 2


ROWS = [
    Row("cross-entropy of 4096 × 1000", "F.cross_entropy", 1.05, partial(forward, 4096, 1000)),
    Row("cross-entropy of 64 × 10", "F.cross_entropy", 1.3, partial(forward, 64, 10)),
    Row("cross-entropy of 4096 × 1000, with backward", "F.cross_entropy", 1.05, partial(backward, 4096, 1000)),
    Row("cross-entropy of 64 × 10, with backward", "F.cross_entropy", 1.3, partial(backward, 64, 10)),
    Row("squared loss of 10⁵", "F.mse_loss / 2", 1.0, partial(squared, 100_000)),
    Row("squared loss of 4·10⁶", "F.mse_loss / 2", 1.0, partial(squared, 4_000_000), bytes_moved=48_000_000),
]
