"""Entries of :mod:`dlcore.batches`."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from dlcore._shards import local_rows
from tests.processes import mesh_of_one

from . import Entry, Refusal, draw

X = torch.ones(3, 2)


def as_sum_of_products(minibatches: Callable[..., Iterator[tuple[Tensor, ...]]]) -> Callable[..., Tensor]:
    """Put the batches together again, with a product over the tensors of each."""

    def joined(x: Tensor, y: Tensor, **kwargs: Any) -> Tensor:
        return torch.cat([x[:0], *(rows * others for rows, others in minibatches(x, y, **kwargs))])

    return joined


def on_one_process(shard_rows: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the rows of the only process."""
    return lambda rows: local_rows(shard_rows(rows, mesh_of_one()))


COLLECTIVE = "processes exchange values, and torch cannot transform such collective operations"

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
    "batches.shard_rows": Entry(
        make=lambda generator: (draw(generator, 5, 3),),
        adapt=on_one_process,
        empty=((torch.ones(0, 2),), (0, 2)),
        refusals=(
            Refusal(TypeError, "rows must be a torch.Tensor, got list", ([1.0], None)),
            Refusal(ValueError, "rows must have shape (n, *), got ()", (torch.tensor(1.0), None)),
            Refusal(ValueError, "mesh must have one dimension, got 2", (X, SimpleNamespace(ndim=2))),
        ),
        exempt=dict.fromkeys(("func_grad", "vmap", "compile", "meta"), COLLECTIVE),
    ),
}
