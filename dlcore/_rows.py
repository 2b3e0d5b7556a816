r"""Sums, extremes and orders over all rows of a tensor, whether one process holds them or several.

Rows that are sharded over processes are a ``DTensor`` with the placement ``Shard(0)``: each process holds a chunk, as
:func:`torch.distributed.tensor.distribute_tensor` lays them out. Operations that treat each row alone are right and
local in torch. Over the rows, torch gathers all of them for a mean, a sort or the largest entries, and has no boolean
index. The functions here are the plain operation for a plain tensor, and for sharded rows a local operation followed
by a collective one, whose number of bytes does not depend on the number of rows.

What belongs to a row stays sharded as the rows are. What is one for all is a plain tensor, equal on each process.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from ._shards import (
    OneProcess,
    Shards,
    as_rows_of,
    copied,
    exchange,
    is_sharded,
    local_rows,
    shards_in_chunks,
    shards_of,
)
from ._torch import split, unique_with_counts

__all__ = [
    "first_violation",
    "keep_rows",
    "own_rows",
    "replace_rows",
    "row_any",
    "row_extremes",
    "row_logsumexp",
    "row_max",
    "row_mean",
    "row_quantile",
    "row_search",
    "row_softmax",
    "row_sum",
    "row_topk",
    "rows_at",
    "rows_between",
    "set_rows_",
    "sharded_masses",
]

KEYS_PER_RANGE = 64  # of each process, from which the bounds of the ranges are taken
MAX_ENTRIES_AT_ONCE = 2**22  # of which torch makes copies and masks
QUANTILE_BRANCHES = 256  # of the search for a quantile: it ends after 8 steps, because float64 has 64 bits


def row_sum(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return the sum of all entries."""
    return shards_of(x).sum(local_rows(x).sum(dtype=dtype)) if is_sharded(x) else x.sum(dtype=dtype)


def row_mean(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return the mean of all entries."""
    return row_sum(x, dtype) / x.numel() if is_sharded(x) else x.mean(dtype=dtype)


def row_any(x: Tensor) -> bool:
    """Return whether any entry of a boolean tensor is True."""
    return int(shards_of(x).sum(local_rows(x).any().long())) > 0 if is_sharded(x) else bool(x.any())


def row_max(x: Tensor) -> Tensor:
    """Return the largest entry."""
    return shards_of(x).max(local_rows(x))


def row_extremes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest entry."""
    if is_sharded(x):
        local = local_rows(x)
        x = shards_of(x).cat(torch.cat([_extreme(local, torch.amin), _extreme(local, torch.amax)]))
    smallest, largest = x.aminmax()
    return smallest, largest


def _extreme(x: Tensor, extreme: Callable[..., Tensor]) -> Tensor:
    """Return the extreme entry as a vector, which is empty if there is none."""
    return extreme(x).reshape(1) if x.numel() else x.reshape(0)


def row_logsumexp(x: Tensor) -> Tensor:
    """Return the logarithm of the sum of the exponentials of a vector."""
    if not is_sharded(x):
        return x.logsumexp(0)
    largest = row_max(x)
    largest = torch.where(largest.isfinite(), largest, 0)
    return largest + shards_of(x).sum((local_rows(x) - largest).exp().sum()).log()


def row_softmax(x: Tensor) -> Tensor:
    """Return the exponentials of a vector divided by their sum."""
    if not is_sharded(x):
        return x.softmax(0)
    exponentials = (local_rows(x) - row_max(x)).exp()
    return as_rows_of(x, exponentials / shards_of(x).sum(exponentials.sum()))


def row_topk(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest entries of a vector, in descending order, and their indices."""
    if not is_sharded(x):
        return _largest_of_blocks(x, k)
    shards, local = shards_of(x), local_rows(x)
    values, index = _largest_of_blocks(local, min(k, len(local)))
    values, order = shards.cat(values).topk(k)
    return values, shards.cat(index + shards.first_row)[order]


def _largest_of_blocks(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest entries of a vector and their indices, from those of each block: torch sorts a copy."""
    if len(x) <= MAX_ENTRIES_AT_ONCE:
        values, index = x.topk(k)
        return values, index
    tops = [block.topk(min(k, len(block))) for block in split(x, MAX_ENTRIES_AT_ONCE)]
    values, order = torch.cat([values for values, _ in tops]).topk(k)
    return values, torch.cat([index + MAX_ENTRIES_AT_ONCE * place for place, (_, index) in enumerate(tops)])[order]


def row_quantile(x: Tensor, w: Tensor, level: float) -> Tensor:
    """Return the smallest entry of a vector up to which the weights sum to at least a share of their sum."""
    if is_sharded(x):
        return _sharded_quantile(x, w, level)
    ordered, order = x.sort()
    cumulative = w[order].cumsum(dim=0)
    needed = (level * cumulative[-1]).clamp(min=torch.finfo(w.dtype).tiny)
    return ordered.gather(0, torch.searchsorted(cumulative, needed.reshape(1)))[0]


def _sharded_quantile(x: Tensor, w: Tensor, level: float) -> Tensor:
    """Return the quantile by a search in the order of floating-point numbers, whose bits are integers in that order."""
    shards, x, w = shards_of(x), local_rows(x), local_rows(w).detach()
    bits = (x.detach().double() + 0.0).view(torch.int64)  # -0.0 + 0.0 is 0.0
    keys, order = (bits ^ ((bits >> 63) & torch.iinfo(torch.int64).max)).sort()
    cumulative = torch.cat([w.new_zeros(1), w[order].cumsum(dim=0)])
    needed = max(level * float(shards.sum(cumulative[-1])), torch.finfo(w.dtype).tiny)
    low, high = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max
    while low < high:
        step = -(-(high - low + 1) // QUANTILE_BRANCHES)
        bounds = [min(low + step * (j + 1) - 1, high) for j in range(QUANTILE_BRANCHES)]
        places = torch.searchsorted(keys, keys.new_tensor(bounds), right=True)
        reached = shards.sum(cumulative[places]) >= needed
        reached[-1] = True  # another order of summation rounds otherwise
        j = int(reached.to(torch.uint8).argmax())
        low, high = low + step * j if j else low, bounds[j]
    own = order[(keys == low) & (w[order] > 0)]
    holders = shards.cat(order.new_tensor([shards.first_row] if len(own) else []))
    is_first = len(own) > 0 and int(holders[0]) == shards.first_row
    return shards.sum(x[own[0]] if is_first else x[:0].sum())  # all have a part in the gradient


def row_search(w: Tensor, shares: Tensor) -> Tensor:
    """Return the indices of the rows at which the cumulative weights reach these shares of their sum."""
    shards, cumulative = shards_of(w), local_rows(w).cumsum(dim=0)
    sums = shards.cat(local_rows(w).sum().reshape(1))
    points = shares * sums.sum() - sums[: shards.process].sum()
    return shards.sum(torch.searchsorted(cumulative, points)).clamp_max(len(w) - 1)  # counts of the rows before


def keep_rows(x: Tensor, keep: Tensor) -> Tensor:
    """Return the rows where a boolean vector is True; sharded rows are moved, so that they are equal chunks again."""
    shards, kept = shards_of(x), local_rows(x)[local_rows(keep)]
    return kept if isinstance(shards, OneProcess) else shards_in_chunks(kept, shards.mesh)


def rows_at(x: Tensor, index: Tensor) -> Tensor:
    """Return the rows at these indices, in their order, as a plain tensor: for a sample of the rows."""
    if not is_sharded(x):
        return x[index]
    local, (places, own) = local_rows(x), own_rows(x, index)
    return shards_of(x).sum(local.new_zeros(len(index), *local.shape[1:]).index_copy(0, places, local[own]))


def replace_rows(x: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """Return a vector with these values at these indices."""
    if not is_sharded(x):
        return x.scatter(0, index, values)
    places, own = own_rows(x, index)
    return as_rows_of(x, local_rows(x).scatter(0, own, copied(values, x)[places]))


def set_rows_(x: Tensor, index: Tensor, values: Tensor) -> None:
    """Write values to a vector at these indices, in place."""
    places, own = own_rows(x, index)
    local_rows(x)[own] = values[places]


def own_rows(x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of the indices of rows that this process holds, and these indices among its own rows."""
    first_row = shards_of(x).first_row
    return rows_between(first_row, first_row + len(local_rows(x)), index)


def rows_between(start: int, stop: int, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of the indices from start on and before stop, and these indices counted from start."""
    places = ((index >= start) & (index < stop)).nonzero()[:, 0]
    return places, index[places] - start


def sharded_masses(keys: Tensor, masses: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the masses, (n, c), at each distinct key of a range, and at all keys up to it.

    Keys and masses belong to the rows of this process, of any tensors that are sharded over the processes of ``x``. The
    keys are those of all processes. Their ranges are in the order of the processes, and hold about as many keys each.
    The masses of equal keys are added up before they are sent.
    """
    shards = cast("Shards", shards_of(x))
    keys, masses = _sums_at(keys, masses)
    places = torch.arange(KEYS_PER_RANGE, device=keys.device) * len(keys) // KEYS_PER_RANGE
    bounds = shards.cat(keys[places] if len(keys) else keys).sort().values
    bounds = bounds[torch.arange(1, shards.size, device=keys.device) * len(bounds) // shards.size]
    ends = torch.searchsorted(keys, bounds)
    counts = torch.cat([ends.new_zeros(1), ends, ends.new_tensor([len(keys)])]).diff()
    _, masses = _sums_at(exchange(keys, counts, shards), exchange(masses, counts, shards))
    before = shards.cat(masses.sum(0, keepdim=True))[: shards.process].sum(0)
    return masses, before + masses.cumsum(0)


def _sums_at(keys: Tensor, masses: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct keys in ascending order, and the sum of the masses at each."""
    distinct, places, _ = unique_with_counts(keys)
    return distinct, masses.new_zeros(len(distinct), masses.shape[1]).index_add(0, places, masses)


def first_violation(x: Tensor, holds: Callable[[Tensor], Tensor]) -> tuple[tuple[int, ...], float] | None:
    """Return the index and the value of the first entry for which an elementwise rule does not hold, or None."""
    if not is_sharded(x):
        block_rows = max(MAX_ENTRIES_AT_ONCE // max(math.prod(x.shape[1:]), 1), 1)
        for place, block in enumerate(split(x, block_rows) if x.dim() else [x]):
            kept = holds(block)
            if not bool(kept.all()):
                first, *others = [int(i) for i in (~kept).nonzero()[0]] if x.dim() else [0]
                index = (block_rows * place + first, *others) if x.dim() else ()
                return index, x[index].item()
        return None
    shards, local = shards_of(x), local_rows(x).detach()
    places = (~holds(local)).flatten().nonzero()[:1, 0]
    first_entry = shards.first_row * math.prod(x.shape[1:])
    found = shards.cat(torch.stack([places + first_entry, local.flatten()[places]], dim=1).double())
    if not len(found):
        return None
    index = tuple(
        int(i) for i in torch.unravel_index(found[0, 0].long(), x.shape)
    )  # processes are in the order of the rows
    return index, found[0, 1].item() if x.is_floating_point() else int(found[0, 1])
