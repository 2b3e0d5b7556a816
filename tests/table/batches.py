"""Entries of :mod:`dlcore.batches`."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from . import Entry, Refusal, draw

X = torch.ones(3, 2)


def as_sum_of_products(minibatches: Callable[..., Iterator[tuple[Tensor, ...]]]) -> Callable[..., Tensor]:
    """Put the batches together again, with a product over the tensors of each."""

    def joined(x: Tensor, y: Tensor, **kwargs: Any) -> Tensor:
        return torch.cat([x[:0], *(rows * others for rows, others in minibatches(x, y, **kwargs))])

    return joined


ENTRIES = {
    "batches.minibatches": Entry(
        make=lambda generator: (draw(generator, 5, 3), draw(generator, 5, 3)),
        kwargs={"batch_size": 2, "shuffle": False},
        adapt=as_sum_of_products,
        empty=((torch.ones(0, 2), torch.ones(0, 2)), (0, 2)),
        refusals=(
            Refusal(TypeError, "minibatches needs at least one tensor", (), {"batch_size": 2}),
            Refusal(TypeError, "batch_size must be an integer, got 2.0", (X,), {"batch_size": 2.0}),
            Refusal(TypeError, "batch_size must be an integer, got True", (X,), {"batch_size": True}),
            Refusal(ValueError, "batch_size must be >= 1, got 0", (X,), {"batch_size": 0}),
            Refusal(ValueError, "tensors[1] must have shape (n, *), got ()", (X, torch.tensor(1.0)), {"batch_size": 2}),
            Refusal(
                ValueError,
                "tensors must have the same number of rows, got 3 and, at index 2, 4",
                (X, X, torch.ones(4)),
                {"batch_size": 2},
            ),
        ),
    ),
}
