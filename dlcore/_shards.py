"""Rows that are sharded over processes: which process holds which, and what the processes exchange.

The layout is that of :func:`torch.distributed.tensor.distribute_tensor` with the placement ``Shard(0)``: equal chunks,
but for the last ones, which hold what is left. For a plain tensor, all functions return what they are given.

A gradient that reaches a sum over the processes is the same on each of them, as the sum is. So it goes on to the rows
of each process as it is. A plain tensor that meets rows has one gradient on each process, and they are added.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch import Generator, Tensor
from torch.distributed.device_mesh import DeviceMesh

from ._checksum import checksum
from ._torch import select_rows

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

__all__ = [
    "OneProcess",
    "Shards",
    "as_rows_of",
    "check_not_sharded",
    "check_rows",
    "copied",
    "exchange",
    "gathered",
    "in_shards",
    "is_sharded",
    "local_rows",
    "replicated",
    "shards_in_chunks",
    "shards_of",
    "take_rows",
]

TO_SHARD = "; torch.distributed.tensor.distribute_tensor(x, mesh, [Shard(0)]) shards them"
TO_CHUNKS = "; dlcore.batches.shard_rows(rows, mesh) brings them there"
SAME_SEED = "; give each process a generator with the same seed"


def is_sharded(x: object) -> bool:
    """Return whether a tensor is a DTensor, without the import of its class, which takes seconds."""
    return type(x) is not Tensor and isinstance(x, Tensor) and hasattr(x, "placements")


class OneProcess:
    """The only process, which holds all rows: there is nothing to communicate."""

    process = first_row = 0
    size = 1

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum over the processes."""
        return x

    def sums(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the sum of each tensor over the processes."""
        return tensors

    def max(self, x: Tensor) -> Tensor:
        """Return the largest entry of all processes."""
        return x.amax()

    def cat(self, x: Tensor) -> Tensor:
        """Return the rows of all processes."""
        return x

    def gather(self, x: Any) -> list[Any]:  # noqa: ANN401
        """Return an object of each process."""
        return [x]


@dataclass(frozen=True)
class Shards:
    """The processes that hold the rows of a tensor, and the first row that is held here."""

    mesh: DeviceMesh
    first_row: int

    @property
    def process(self) -> int:
        """The number of this process."""
        return self.mesh.get_local_rank()

    @property
    def size(self) -> int:
        """The number of processes."""
        return self.mesh.size()

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum over the processes."""
        return _Sum.apply(x, self.mesh)

    def sum_(self, x: Tensor) -> Tensor:
        """Put the sum over the processes in place of a contiguous tensor that requires no gradient."""
        _communicate(dist.all_reduce, x, mesh=self.mesh)
        return x

    def sums(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the sum of each tensor over the processes, all in one exchange."""
        total = self.sum(torch.cat([x.flatten() for x in tensors]))
        parts = total.split([x.numel() for x in tensors])
        return tuple(part.view(x.shape) for part, x in zip(parts, tensors, strict=True))

    def max(self, x: Tensor) -> Tensor:
        """Return the largest entry of all processes, of which some may have none."""
        return self.cat(x.amax()[None] if x.numel() else x.flatten()).amax()

    def cat(self, x: Tensor) -> Tensor:
        """Return the rows of all processes, in their order; each may have another number of rows."""
        return _Cat.apply(x, self.mesh)

    def gather(self, x: Any) -> list[Any]:  # noqa: ANN401
        """Return an object of each process."""
        return _gathered(x, self.mesh)

    def check_same(self, cure: str = "", **outlines: str) -> None:
        """Raise ValueError unless all processes have the same outline of each argument."""
        found = self.gather(outlines)
        for name in outlines:
            _check_same(name, [given[name] for given in found], cure)


def shards_of(x: Tensor) -> OneProcess | Shards:
    """Return the processes that hold the rows of a tensor."""
    if not is_sharded(x):
        return OneProcess()
    mesh = cast("DTensor", x).device_mesh
    return Shards(mesh, min(_chunk_rows(len(x), mesh.size()) * mesh.get_local_rank(), len(x)))


def _chunk_rows(n: int, n_processes: int) -> int:
    """Return the number of rows that each process holds, but the last ones, which hold what is left."""
    return -(-n // n_processes)


def local_rows(x: Tensor) -> Tensor:
    """Return the rows that this process holds, as a plain tensor."""
    return _Local.apply(x) if is_sharded(x) else x


def in_shards(x: Tensor) -> Tensor:
    """Return what torch has computed from sharded rows, and may have laid out otherwise, with its rows sharded."""
    if not is_sharded(x) or cast("DTensor", x).placements[0].is_shard(0):
        return x
    from torch.distributed.tensor import Shard  # noqa: PLC0415

    return cast("DTensor", x).redistribute(placements=[Shard(0)])


def replicated(value: Tensor, x: Tensor) -> Tensor:
    """Return a plain tensor that is one for all in the form in which torch combines it with the rows of ``x``."""
    if not is_sharded(x):
        return value
    from torch.distributed.tensor import DTensor, Replicate  # noqa: PLC0415  # imported already by who made x

    return DTensor.from_local(value, cast("DTensor", x).device_mesh, [Replicate()], run_check=False)


def copied(value: Tensor, x: Tensor) -> Tensor:
    """Return a plain tensor that is one for all, for computing with the local rows of ``x``."""
    return _Copied.apply(value, cast("DTensor", x).device_mesh) if is_sharded(x) else value


def shards_in_chunks(rows: Tensor, mesh: DeviceMesh) -> Tensor:
    """Return the rows that processes hold, any number each, as one tensor in the layout of this module."""
    found = _gathered((f"{rows.dtype} and shape {_shape('n', rows)}", len(rows)), mesh)
    _check_same("rows", [outline for outline, _ in found])
    counts, process = [count for _, count in found], mesh.get_local_rank()
    n, chunk = sum(counts), _chunk_rows(sum(counts), len(counts))
    starts = [sum(counts[:i]) for i in range(len(counts))]
    sent = [_overlap(starts[process], counts[process], chunk * i, chunk) for i in range(len(counts))]
    received = [_overlap(start, count, chunk * process, chunk) for start, count in zip(starts, counts, strict=True)]
    return _Wrapped.apply(_Moved.apply(rows, mesh, sent, received), mesh, n)


def _overlap(start: int, count: int, other_start: int, other_count: int) -> int:
    """Return how many integers two ranges have in common."""
    return max(min(start + count, other_start + other_count) - max(start, other_start), 0)


def gathered(x: Tensor) -> Tensor:
    """Return all rows as a plain tensor."""
    return shards_of(x).cat(local_rows(x))


def exchange(rows: Tensor, counts: Tensor, shards: Shards) -> Tensor:
    """Return the rows that all processes send to this one, each process so many of its own to each, in order."""
    received = shards.cat(counts[None])[:, shards.process]
    return _Moved.apply(rows, shards.mesh, counts.tolist(), received.tolist())


def take_rows(x: Tensor, index: Tensor) -> Tensor:
    """Return the rows at these indices, in their order, sharded if those of ``x`` are."""
    if not is_sharded(x):
        return select_rows(x, index)
    index = index.to(x.device)
    mesh, process, n = cast("DTensor", x).device_mesh, shards_of(x).process, len(index)
    Shards(mesh, 0).check_same(SAME_SEED, **{"the rows of a fold": f"{n} with checksum {checksum(index)}"})
    chunk = _chunk_rows(len(x), mesh.size())
    holders = index.div(chunk, rounding_mode="floor")
    receivers = torch.arange(n, device=x.device).div(_chunk_rows(n, mesh.size()), rounding_mode="floor")
    sent, received = receivers[holders == process], holders[receivers == process]
    counts = [processes.bincount(minlength=mesh.size()).tolist() for processes in (sent, received)]
    rows = _Moved.apply(local_rows(x)[index[holders == process] - chunk * process], mesh, *counts)
    return _Wrapped.apply(rows[received.argsort(stable=True).argsort()], mesh, n)


def as_rows_of(x: Tensor, local: Tensor) -> Tensor:
    """Return the rows of this process as a part of rows that are sharded as those of ``x``."""
    return _Wrapped.apply(local, cast("DTensor", x).device_mesh, len(x)) if is_sharded(x) else local


def check_rows(**arguments: Any) -> None:  # noqa: ANN401
    """Raise unless all tensors among the arguments have sharded rows in one layout, or none; options are compared.

    A process cannot see alone whether the rows are laid out in equal chunks, so all of them exchange what they hold. It
    is the only place where different arguments on different processes are noticed. Nothing is done for plain tensors.
    """
    for x in arguments.values():
        if is_sharded(x):
            _check_sharded(x, arguments)
            return


def check_not_sharded(reason: str, cure: str, **tensors: Tensor) -> None:
    """Raise ValueError if a tensor has sharded rows, which the function cannot take for this reason."""
    for name, x in tensors.items():
        if is_sharded(x):
            raise ValueError(f"{name} must not have sharded rows, because {reason}; {cure}")


def _check_sharded(x: Tensor, arguments: dict[str, Any]) -> None:
    """Raise TypeError or ValueError unless each process has the same arguments, and its chunk of the rows."""
    sharded = {name: cast("DTensor", tensor) for name, tensor in arguments.items() if is_sharded(tensor)}
    outlines = {
        name: _state(argument) if name == "generator" else _outline(argument) for name, argument in arguments.items()
    }
    held = {name: (len(tensor.to_local()), len(tensor)) for name, tensor in sharded.items()}
    found = _gathered((outlines, held), cast("DTensor", x).device_mesh)
    for name, argument in arguments.items():
        cure = SAME_SEED if name == "generator" else ""
        _check_same(name, [outlines[name] for outlines, _ in found], cure)
        if isinstance(argument, Tensor) and name not in sharded:
            raise TypeError(f"{name} must have sharded rows as the other tensors do, got a plain tensor{TO_SHARD}")
    for name, tensor in sharded.items():
        if tensor.device_mesh.ndim != 1 or not tensor.placements[0].is_shard(0):
            raise ValueError(f"{name} must have the placements (Shard(dim=0),), got {tensor.placements}")
        _check_chunks(name, [counts[name] for _, counts in found])


def _check_same(name: str, outlines: list[str], cure: str = "") -> None:
    """Raise ValueError unless all processes have the same argument."""
    for process, outline in enumerate(outlines):
        if outline != outlines[0]:
            raise ValueError(
                f"{name} must be the same on all processes, got {outlines[0]} on process 0 and {outline} on process "
                f"{process}{cure}"
            )


def _check_chunks(name: str, counts: list[tuple[int, int]]) -> None:
    """Raise ValueError unless the rows that the processes hold, with the number of all, are equal chunks."""
    rows = tuple(held for held, _ in counts)
    n, chunk = sum(rows), _chunk_rows(sum(rows), len(rows))
    chunks = tuple(max(min(chunk, n - chunk * process), 0) for process in range(len(rows)))
    if rows != chunks:
        raise ValueError(f"{name} must have its rows in chunks, {chunks} on the processes, got {rows}{TO_CHUNKS}")
    for _, given in counts:
        if given != n:
            raise ValueError(f"{name} must have the {n} rows that the processes hold, got shape[0] {given}{TO_CHUNKS}")


def _outline(argument: object) -> str:
    """Return what must be the same on all processes."""
    if isinstance(argument, Tensor):
        layout = f", placements {cast('DTensor', argument).placements}" if is_sharded(argument) else ""
        shape = _shape("n", argument) if layout else tuple(argument.shape)
        return f"{argument.dtype} and shape {shape}{layout}"
    if callable(argument):  # its repr has an address
        return getattr(argument, "__qualname__", type(argument).__name__)
    return repr(argument)


def _state(generator: Generator | None) -> str:
    """Return what is drawn next: by a generator, or without one by the global random state."""
    state = torch.get_rng_state() if generator is None else generator.get_state()
    return f"a random state with checksum {checksum(state)}"


def _shape(n: str, rows: Tensor) -> str:
    """Return the shape of rows whose number is not compared."""
    return f"({', '.join([n, *map(str, rows.shape[1:])])})"


def _gathered(mine: Any, mesh: DeviceMesh) -> list[Any]:  # noqa: ANN401
    """Return an object of each process."""
    found: list[Any] = [None] * mesh.size()
    _communicate(dist.all_gather_object, found, mine, mesh=mesh)
    return found


def _communicate(collective: Callable[..., Any], *operands: Any, mesh: DeviceMesh) -> None:  # noqa: ANN401
    """Exchange tensors with the other processes; if one of them has ended, raise at once."""
    try:
        collective(*operands, group=mesh.get_group())
    except RuntimeError as error:
        raise RuntimeError("another process has ended: see its own error, then start all of them again") from error


class _Local(torch.autograd.Function):
    """The rows of this process."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        ctx.like = x.detach()
        return cast("DTensor", x).to_local()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        return as_rows_of(ctx.like, *grads)


class _Wrapped(torch.autograd.Function):
    """Rows of this process, as a part of n sharded rows."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, mesh: DeviceMesh, n: int) -> Tensor:  # noqa: ANN401, ARG004
        from torch.distributed.tensor import DTensor, Shard  # noqa: PLC0415  # takes seconds, unless it is imported

        shape = torch.Size([n, *local.shape[1:]])
        stride = torch.empty(shape, device="meta").stride()
        return DTensor.from_local(local, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401, ARG004
        return local_rows(in_shards(*grads)), None, None  # the gradient of a sum is the same on all processes


class _Sum(torch.autograd.Function):
    """The sum over the processes. Each of them uses it alike, so each has the whole gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mesh: DeviceMesh) -> Tensor:  # noqa: ANN401, ARG004
        return Shards(mesh, 0).sum_(x.contiguous().clone())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401, ARG004
        return grads[0], None


class _Copied(torch.autograd.Function):
    """A copy on each process. Each of them uses it for its own rows, so the gradient is the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mesh: DeviceMesh) -> Tensor:  # noqa: ANN401
        ctx.mesh = mesh
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return _Sum.apply(*grads, ctx.mesh), None


class _Cat(torch.autograd.Function):
    """The rows of all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mesh: DeviceMesh) -> Tensor:  # noqa: ANN401
        counts = x.new_empty(mesh.size(), 1, dtype=torch.int64)
        _communicate(dist.all_gather, [*counts], counts.new_tensor([len(x)]), mesh=mesh)
        rows: list[int] = counts.flatten().tolist()
        ctx.start, ctx.count = sum(rows[: mesh.get_local_rank()]), len(x)
        padded = torch.cat([x, x.new_zeros(max(rows) - len(x), *x.shape[1:])])
        parts = [torch.empty_like(padded) for _ in rows]
        _communicate(dist.all_gather, parts, padded, mesh=mesh)
        return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return grads[0][ctx.start : ctx.start + ctx.count], None


class _Moved(torch.autograd.Function):
    """Rows after an exchange in which a process sends so many of them to each, in order, and receives so many."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, mesh: DeviceMesh, sent: list[int], received: list[int]) -> Tensor:  # noqa: ANN401
        ctx.back = mesh, received, sent
        moved = rows.new_empty(sum(received), *rows.shape[1:])
        _communicate(dist.all_to_all_single, moved, rows.contiguous(), received, sent, mesh=mesh)
        return moved

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        return _Moved.apply(*grads, *ctx.back), None, None, None
