"""The data of a run, in batches: tensors and what holds them, data sets and data loaders."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from dlcore._checks import check_count, check_weights, number_of_rows
from dlcore._order import Order, random_order
from dlcore._rows import own_rows
from dlcore._shards import Shards, check_rows, is_sharded, local_rows, shards_of, take_rows
from dlcore._torch import collate, pytree
from dlcore.batches import batches_in_order, local_batches_in_order

from ._together import Alone, Together

__all__ = ["Batch", "Batches", "newest_rows", "processes_of", "training_batches", "validation_batches"]


class Batch(NamedTuple):
    """A batch, of which a process may hold a part of the rows or none."""

    arguments: Sequence[Any]
    """What the loss gets: the rows of this process whose weight is not 0."""
    weights: Tensor | None
    held: int
    """The number of these rows."""
    size: int
    """The number of rows of the batch in all processes, with those of weight 0."""


Arguments = Callable[[Sequence[Tensor]], Sequence[Any]]

MAX_VALIDATION_ENTRIES = 2**18  # of a tensor in a batch of validation data, unless a training batch has more rows


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch, drawn anew at each call, and their number, or None if it is not known."""

    of_epoch: Callable[[Generator | None], Iterator[Batch]]
    count: int | None
    numbers: Callable[[int], Tensor] | None = None
    """The numbers of the rows that the loss got in a batch of the last epoch, if rows have numbers."""


def processes_of(data: Any, validation: Any, weights: Tensor | None, **options: Any) -> Alone:  # noqa: ANN401
    """Return the processes that hold the rows; raise ValueError if their arguments differ."""
    parts = [(name, path, x) for name, of in (("data", data), ("validation", validation)) for path, x in _parts(of)[0]]
    sharded = [x for *_, x in parts if is_sharded(x)]
    if not sharded:
        return Alone()
    columns = {name + pytree.keystr(path): x if x is None else _column(name, x) for name, path, x in parts}
    check_rows(**columns, weights=weights, **options)
    return Together(cast("Shards", shards_of(sharded[0])))


def training_batches(
    data: Any,  # noqa: ANN401
    device: torch.device,
    *,
    batch_size: int | None,
    shuffle: bool,
    weights: Tensor | None,
) -> Batches:
    """Return the batches to train on, on the device of the parameters."""
    if isinstance(data, DataLoader):
        if batch_size is not None:
            raise ValueError(f"batch_size must be None for a DataLoader, which has its own batches, got {batch_size}")
        _check_no_weights(weights, cast("object", data))
        return _of_loader("data", cast("Iterable[Any]", data), device)
    check_count("batch_size", cast("int", batch_size), 1)
    columns, arguments = _columns("data", data, device)
    if weights is not None:
        if _is_fetched(data):
            _check_no_weights(weights, data)
        check_weights("weights", weights, n=len(columns[0]))
    return _of_rows(columns, arguments, int(cast("int", batch_size)), shuffle=shuffle, weights=weights, device=device)


def validation_batches(data: Any, device: torch.device, *, batch_size: int | None) -> Batches:  # noqa: ANN401
    """Return the batches to measure the loss on, in the order of the data."""
    if isinstance(data, DataLoader):
        return _of_loader("validation", cast("Iterable[Any]", data), device)
    columns, arguments = _columns("validation", data, device)
    size = int(batch_size or 1)
    if not _is_fetched(data):
        size = max(size, MAX_VALIDATION_ENTRIES // max(1, *(math.prod(x.shape[1:]) for x in columns)))
    return _of_rows(columns, arguments, size, shuffle=False, weights=None, device=device)


def newest_rows(data: Any, n: int) -> Any:  # noqa: ANN401
    """Return the last n rows of the data, or all if there are fewer."""
    if isinstance(data, DataLoader):
        raise TypeError("data must have rows that can be indexed, got DataLoader; pass its dataset")
    if _is_fetched(data) and not isinstance(data, IterableDataset):
        return Subset(data, range(max(len(data) - n, 0), len(data)))

    def last_rows(x: Any) -> Any:  # noqa: ANN401
        if is_sharded(x):
            return take_rows(x, torch.arange(max(len(x) - n, 0), len(x)))
        return x[-n:] if getattr(x, "shape", ()) else x  # fit refuses what has no rows

    return pytree.tree_map(last_rows, _plain(data.tensors if isinstance(data, TensorDataset) else data))


def _check_no_weights(weights: Tensor | None, data: object) -> None:
    """Raise ValueError if there are weights: only rows that are indexed can be left out."""
    if weights is not None:
        raise ValueError(
            f"weights must be None for a {type(data).__name__}; let the batches hold them and the loss multiply by them"
        )


def _is_fetched(data: object) -> bool:
    """Tell whether the rows are fetched one by one."""
    return isinstance(data, Dataset) and not isinstance(data, TensorDataset)


def _of_rows(
    columns: list[Tensor],
    arguments: Arguments,
    batch_size: int,
    *,
    shuffle: bool,
    weights: Tensor | None,
    device: torch.device,
) -> Batches:
    """Return the batches of tensors; the loss does not get the rows of weight 0."""
    n, tensors = len(columns[0]), columns if weights is None else [*columns, weights]
    local_weights = None if weights is None else local_rows(weights)
    has_absent_rows = local_weights is not None and not bool(local_weights.all())  # their loss may be infinite or NaN
    order: list[Order] = []  # of the last epoch

    def of_epoch(generator: Generator | None) -> Iterator[Batch]:
        order.clear()  # its memory is free before the next one is drawn
        if shuffle:
            check_rows(data=columns[0], generator=generator)
            order.append(random_order(n, generator))
        drawn = order[0] if shuffle else None
        if is_sharded(columns[0]):
            batches = local_batches_in_order(tensors, drawn, batch_size)
        else:
            batches = batches_in_order(tensors, drawn, batch_size, n)
        for start, rows in zip(range(0, n, batch_size), batches, strict=True):
            size = min(batch_size, n - start)
            if has_absent_rows:
                rows = tuple(x[rows[-1] > 0] for x in rows)  # noqa: PLW2901
            if weights is None:
                yield Batch(arguments(rows), None, len(rows[0]), size)
            else:
                yield Batch(arguments(rows[:-1]), rows[-1].to(device), len(rows[0]), size)

    def numbers(batch: int) -> Tensor:
        start = batch * batch_size
        stop = min(start + batch_size, n)
        rows = order[0].rows(start, stop) if shuffle else torch.arange(start, stop)
        places, own = own_rows(tensors[0], rows)
        return rows[places] if local_weights is None else rows[places][local_weights[own.to(local_weights.device)] > 0]

    return Batches(of_epoch, math.ceil(n / batch_size), numbers)


def _of_loader(name: str, loader: Iterable[Any], device: torch.device) -> Batches:
    """Return the batches of a data loader."""

    def of_epoch(_: Generator | None) -> Iterator[Batch]:
        for batch in loader:
            sizes = [len(x) for x in pytree.tree_leaves(_plain(batch)) if isinstance(x, Tensor) and x.dim() > 0]
            if not sizes:
                raise TypeError(f"{name} must be a DataLoader of tensors, got a batch of {type(batch).__name__}")
            yield Batch(_as_arguments(batch, device), None, sizes[0], sizes[0])

    try:
        return Batches(of_epoch, len(cast("Sequence[Any]", loader)))
    except TypeError:  # an iterable data set has no length
        return Batches(of_epoch, None)


def _columns(name: str, data: Any, device: torch.device) -> tuple[list[Tensor], Arguments]:  # noqa: ANN401
    """Return tensors with one row per example, and a function that makes the loss's arguments of some rows."""
    if _is_fetched(data):
        return _columns_of_fetched_rows(name, data, device)
    paths, structure = _parts(data)
    columns = {name + pytree.keystr(path): _column(name, x) for path, x in paths}
    if not columns or number_of_rows(**columns) == 0:
        raise ValueError(f"{name} must have a row, got none")
    is_flat = not isinstance(data, Mapping) and all(len(path) < 2 for path, _ in paths)
    if is_flat and all(x.device == device for x in columns.values()):
        return [*columns.values()], lambda rows: rows  # most data are so, and each microsecond counts
    return [*columns.values()], lambda rows: _as_arguments(structure.unflatten(rows), device)


def _parts(data: Any) -> tuple[list[tuple[Any, Any]], Any]:  # noqa: ANN401
    """Return the tensors that hold data, each with its path, and the structure that they are in."""
    return pytree.tree_flatten_with_path(_plain(data.tensors if isinstance(data, TensorDataset) else data))


def _columns_of_fetched_rows(name: str, rows: Any, device: torch.device) -> tuple[list[Tensor], Arguments]:  # noqa: ANN401
    """Return the indices of the rows of a data set, and a function that fetches and collates them."""
    kind = type(rows).__name__
    if isinstance(rows, IterableDataset):
        raise TypeError(f"{name} must have rows that can be indexed, got {kind}; pass a DataLoader of it")
    if len(rows) == 0:
        raise ValueError(f"{name} must have a row, got none")
    return [torch.arange(len(rows))], lambda numbers: _as_arguments(collate([rows[int(i)] for i in numbers[0]]), device)


def _column(name: str, x: Any) -> Tensor:  # noqa: ANN401
    """Return a part of the data as a tensor."""
    if not isinstance(x, Tensor) and not hasattr(x, "__array__"):
        raise TypeError(
            f"{name} must hold tensors or arrays, alone or in sequences and mappings, or be a Dataset or a DataLoader, "
            f"got {type(x).__name__}"
        )
    return torch.as_tensor(x)


def _plain(data: Any) -> Any:  # noqa: ANN401
    """Return a mapping of another class as a dict, which torch looks into."""
    return dict(cast("Mapping[str, Any]", data)) if isinstance(data, Mapping) else data


def _as_arguments(batch: Any, device: torch.device) -> Sequence[Any]:  # noqa: ANN401
    """Return the arguments that a batch gives to the loss: the parts of a sequence, or else the batch as a whole."""

    def moved(x: Any) -> Any:  # noqa: ANN401
        return x.to(device) if isinstance(x, Tensor) else x

    parts = pytree.tree_map(moved, _plain(batch))
    return cast("Sequence[Any]", parts) if isinstance(parts, tuple | list) else (parts,)
