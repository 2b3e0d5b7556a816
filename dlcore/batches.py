r"""Minibatches and shards: how are examples grouped into batches and split among processes?

A step of minibatch stochastic gradient descent uses a few examples drawn at random, and an epoch uses each example
once. The tensors are indexed directly, a few batches at a time. This needs no copy of all data and no call per example.
If one machine cannot hold all examples, each of several processes holds a part of them, a *shard*.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Generator, Tensor
from torch.distributed.device_mesh import DeviceMesh

from ._checks import check_count, check_rank, number_of_rows
from ._order import Order, random_order
from ._shards import local_rows, shards_in_chunks, shards_of
from ._torch import select_rows, split

__all__ = ["minibatches", "shard_rows"]

MAX_GATHERED_ENTRIES = 2**18  # gathered from a tensor in one call; more if a batch has more


def minibatches(
    *tensors: Shaped[Any, "n ..."],
    batch_size: int,
    shuffle: bool = True,
    drop_last: bool = False,
    generator: Generator | None = None,
) -> Iterator[tuple[Tensor, ...]]:
    r"""Return an iterator over the batches of one epoch, which together hold each row exactly once.

    .. math::

        \{0, \dots, n-1\} = \mathcal{B}_1 \,\dot\cup \cdots \dot\cup\, \mathcal{B}_{\lceil n/b\rceil},
        \qquad |\mathcal{B}_k| = b \text{ for all but the last}

    where :math:`n` is the number of rows and :math:`b` is the batch size. With ``shuffle``, every order of the rows is
    equally likely; that of more than 2²⁴ rows is computed by a hash with a random key, so that no permutation of all of
    them is held. The order is drawn when the function is called, so call it once for each epoch.

    Parameters
    ----------
    *tensors : Tensor or numpy.ndarray, shape (n, ...)
        The data; row i of each tensor belongs to example i.
    batch_size : int, at least 1
        The number of examples in a batch. If the batch size does not divide n, the last batch holds the remaining
        ``n % batch_size`` examples; divide by its own length to take a mean over it.
    shuffle : bool, default True
        Draw a random order. Otherwise the rows keep their order, and the batches are views of the tensors.
    drop_last : bool, default False
        Omit the last batch if it is not full.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    iterator of tuple of Tensor, shapes (batch_size, ...)
        For each batch, a tuple with one tensor for each of ``tensors``, with its dtype and on its device. Without rows
        there is no batch.

    Raises
    ------
    TypeError
        If no tensor is given.
    TypeError
        If ``batch_size`` is not an integer.
    ValueError
        If ``batch_size`` is less than 1.
    ValueError
        If a tensor has no dimension.
    ValueError
        If the tensors differ in their number of rows.

    See Also
    --------
    torch.utils.data.DataLoader : The same batches, as lists, over a :class:`torch.utils.data.TensorDataset`; it
        fetches the rows one by one and stacks them again.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 8.1.3.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> y = torch.tensor([1, 2, 3, 4, 5])
    >>> [labels.tolist() for _, labels in minibatches(x, y, batch_size=2, shuffle=False)]
    [[1, 2], [3, 4], [5]]

    The rows of the tensors stay together, and each occurs once:

    >>> batches = list(minibatches(x, y, batch_size=2, generator=torch.Generator().manual_seed(0)))
    >>> all(torch.equal(inputs[:, 0], labels) for inputs, labels in batches)
    True
    >>> sorted(int(label) for _, labels in batches for label in labels)
    [1, 2, 3, 4, 5]
    """
    if not tensors:
        raise TypeError("minibatches needs at least one tensor")
    check_count("batch_size", batch_size, 1)
    batch_size = int(batch_size)
    columns = [torch.as_tensor(x) for x in tensors]
    for place, x in enumerate(columns):
        check_rank(f"tensors[{place}]", x, 1, "(n, *)")
        if len(x) != len(columns[0]):
            raise ValueError(
                f"tensors must have the same number of rows, got {len(columns[0])} and, at index {place}, {len(x)}"
            )
    n = len(columns[0])
    stop = n - n % batch_size if drop_last else n
    if stop == 0:
        return iter(())
    return batches_in_order(columns, random_order(n, generator) if shuffle else None, batch_size, stop)


def batches_in_order(
    columns: list[Tensor], order: Order | None, batch_size: int, stop: int
) -> Iterator[tuple[Tensor, ...]]:
    """Yield the batches of the first rows in an order, or in their own; one selection gathers several batches."""
    if order is None:
        yield from [
            *zip(*(split(x[:stop], batch_size) for x in columns), strict=True)
        ]  # torch 2.14 compiles no zip here
        return
    step = batch_size * _batches_at_a_time(columns, batch_size)
    for start in range(0, stop, step):
        rows = order.rows(start, min(start + step, stop))
        yield from zip(*(split(select_rows(x, rows), batch_size) for x in columns), strict=True)


def local_batches_in_order(columns: list[Tensor], order: Order | None, batch_size: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield for each batch of sharded rows those that this process holds, as plain tensors; there may be none."""
    x, local = columns[0], [local_rows(column) for column in columns]
    n, first_row = len(x), shards_of(x).first_row
    if order is None:
        for start in range(-first_row, n - first_row, batch_size):
            yield tuple(column[max(start, 0) : max(start + batch_size, 0)] for column in local)
        return
    places, rows = order.part(first_row, first_row + len(local[0]))
    counts = places.div(batch_size, rounding_mode="floor").bincount(minlength=math.ceil(n / batch_size))
    for some in split(counts, _batches_at_a_time(local, batch_size)):
        group, rows = rows.tensor_split([int(some.sum())])
        yield from zip(*(split(select_rows(column, group), some.tolist()) for column in local), strict=True)


def _batches_at_a_time(columns: list[Tensor], batch_size: int) -> int:
    """Return from how many batches the rows are selected in one call."""
    widest = max(math.prod(x.shape[1:]) for x in columns)
    return max(MAX_GATHERED_ENTRIES // max(batch_size * widest, 1), 1)


def shard_rows(rows: Shaped[Tensor, "n_local ..."], mesh: DeviceMesh) -> Shaped[Tensor, "n ..."]:
    r"""Return the rows of all processes, each of which holds any number, as one tensor sharded over the processes.

    .. math::

        \mathbf{X} = \begin{pmatrix} \mathbf{X}_0 \\ \vdots \\ \mathbf{X}_{W-1} \end{pmatrix}, \qquad
        \text{process } p \text{ holds rows } p\,c, \dots, \min\bigl((p + 1)\,c,\ n\bigr) - 1, \qquad
        c = \lceil n / W \rceil

    where :math:`\mathbf{X}_p` are the rows of process :math:`p` of :math:`W`. The last processes may hold fewer
    rows or none. All processes must call the function. Each row is sent at most once, to the process that will hold it.

    The functions of this library that sum over rows take such tensors in place of plain ones. Their results for each
    row are sharded in the same way. All other results are plain tensors, equal on each process.

    Parameters
    ----------
    rows : Tensor, shape (n_local, ...)
        The rows of this process, a plain tensor.
    mesh : DeviceMesh
        The processes, along one dimension.

    Returns
    -------
    Tensor, shape (n, ...)
        The rows of all processes in their order: a DTensor with the placement ``Shard(0)``. Gradients flow back to
        the rows of each process.

    Raises
    ------
    TypeError
        If ``rows`` is not a tensor.
    ValueError
        If ``rows`` has no dimension, or ``mesh`` has more than one.
    ValueError
        If the processes hold rows of different shapes or dtypes.

    See Also
    --------
    torch.distributed.tensor.distribute_tensor : Splits a tensor of the first process, or one that is equal on all.
    torch.distributed.tensor.DTensor.from_local : Exchanges nothing. Unless it is given the shape of all rows, and each
        process holds its :math:`c` rows, means over the result are wrong, and torch raises no error.

    References
    ----------
    .. [1] M. Zaharia et al., "Resilient distributed datasets: a fault-tolerant abstraction for in-memory cluster
       computing", *NSDI*, 2012.

    Examples
    --------
    Here is one process. More of them are started with ``torchrun --nproc_per_node 4 script.py``, and need only the
    first argument of ``init_process_group``:

    >>> torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    >>> mesh = torch.distributed.init_device_mesh("cpu", (1,))
    >>> x = shard_rows(torch.tensor([[1.0], [2.0], [3.0]]), mesh)
    >>> x.shape, x.placements
    (torch.Size([3, 1]), (Shard(dim=0),))
    >>> torch.distributed.destroy_process_group()
    """
    number_of_rows(rows=rows)
    if mesh.ndim != 1:
        raise ValueError(f"mesh must have one dimension, got {mesh.ndim}")
    return shards_in_chunks(rows, mesh)
