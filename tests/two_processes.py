"""The layers of the table that need two processes: each function in modules whose data or parameters are distributed.

One pair of processes goes through the whole table, because starting it takes seconds; where a check leaves one process
waiting for the other, another pair goes on. ``tests/test_table.py`` has the layers that need one process.
"""

import copy
import multiprocessing
import multiprocessing.connection
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import dlcore
from tests.table import (
    Entry,
    as_function_of_floats,
    called,
    gather,
    has_rows,
    is_floating,
    number_of_rows,
    on_tensors,
    total,
)

PROCESSES = 2
TRAINING = "fit_"
TWO_SAMPLES = ("risk.generalization_gap", "shift.covariate.", "shift.detect.", "shift.label.")  # names begin so
SECONDS_TO_START, SECONDS_TO_FOLLOW = 240, 240  # on a machine that is busy otherwise
SECONDS_AFTER_FAILURE = 5  # the other process may wait for the one that has failed
OF_PARAMETERS = {  # which fully_shard turns into DTensors
    *(f"init.{name}_" for name in ("he_normal", "he_uniform", "xavier_normal", "xavier_uniform")),
    *(
        f"optim.{name}"
        for name in ("adam_step", "clip_gradients", "gradient_norm", "momentum_step", "sgd_", "sgd_step")
    ),
    "regularization.l1_penalty",
    "regularization.l2_penalty",
}


def outcomes(folder: Path) -> dict[str, dict[str, str | None]]:
    """Go through the table in two processes; return for each layer and function None, or how it failed."""
    pair, names = Pair(folder / "store-0"), sorted(gather())
    checks = [(TRAINING, how) for how in ("ddp", "fsdp")] + [(layer, name) for layer in CHECKS for name in names]
    found: dict[str, dict[str, str | None]] = {layer: {} for layer, _ in checks}
    for i, (layer, name) in enumerate(checks):
        failures = pair.check(layer, name)
        found[layer][name] = next((failure for failure in failures if failure is not None), None)
        if len({failure and failure.splitlines()[-1] for failure in failures}) > 1:  # one may still wait for the other
            pair.stop()
            pair = Pair(folder / f"store-{i + 1}")
    pair.stop()
    return found


class Pair:
    """Two processes with one mesh."""

    def __init__(self, store: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for rank in range(PROCESSES):
            ours, theirs = context.Pipe()
            self.pipes.append(ours)
            self.processes.append(context.Process(target=_serve, args=(theirs, rank, store), daemon=True))
            self.processes[-1].start()
        for pipe in self.pipes:
            assert pipe.poll(SECONDS_TO_START), "a process did not start"
            pipe.recv()

    def check(self, layer: str, name: str) -> list[str | None]:
        """Return how a check failed in each process, or None where it passed."""
        for pipe in self.pipes:
            pipe.send((layer, name))
        multiprocessing.connection.wait(self.pipes)
        found = {i: pipe.recv() for i, pipe in enumerate(self.pipes) if pipe.poll()}
        seconds = SECONDS_AFTER_FAILURE if any(found.values()) else SECONDS_TO_FOLLOW
        for i, pipe in enumerate(self.pipes):
            if i not in found:
                found[i] = pipe.recv() if pipe.poll(seconds) else "it waits for the other process"
        return [found[i] for i in range(PROCESSES)]

    def stop(self) -> None:
        """End the processes, whatever they wait for."""
        for process in self.processes:
            process.kill()
            process.join()


def _serve(pipe: Connection, rank: int, store: Path) -> None:
    """Run the requested checks in one of the processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(str(store), PROCESSES), rank=rank, world_size=PROCESSES)
    table, mesh = gather(), DeviceMesh("cpu", list(range(PROCESSES)))
    pipe.send("ready")
    while True:
        layer, name = pipe.recv()
        pipe.send(_failure(layer, name, table, mesh))


def _failure(layer: str, name: str, table: dict[str, Entry], mesh: DeviceMesh) -> str | None:
    """Return how a check failed, or None if it passed."""
    try:
        if layer == TRAINING:
            check_training(name, mesh)
        else:
            CHECKS[layer](name, table[name], mesh)
    except Exception:  # whatever stops the check will do: the test compares it with the exemptions
        return traceback.format_exc(limit=-3)
    return None


class Scaled(nn.Module):
    """A function of tensors whose entries are multiplied by parameters, which are 1."""

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__()
        self.call = call
        sizes = [x.shape[-1:] or (1,) for x in args if is_floating(x)]
        self.factors = nn.ParameterList([torch.ones(size, dtype=torch.float64) for size in sizes])
        self.rest = nn.Parameter(
            torch.ones(3, dtype=torch.float64)
        )  # so that there is a parameter if no argument is floating-point

    def forward(self, *args: Any) -> Any:
        """Return what the function makes of the products."""
        factors = iter(self.factors)
        return self.call(*(x * next(factors).reshape(x.shape[-1:]) if is_floating(x) else x for x in args))


def check_in_module(name: str, entry: Entry, mesh: DeviceMesh, how: str) -> None:
    """Compare the gradient over two processes, each with its own data, with the mean of those of one process."""
    call = called(dlcore, name, entry)
    draws = [entry.make(Generator().manual_seed(seed)) for seed in range(PROCESSES)]
    own = draws[mesh.get_local_rank()]
    module, alone = distributed(how, Scaled(call, own), mesh), Scaled(call, own)
    if "gradient" in entry.exempt:
        with torch.no_grad():
            torch.testing.assert_close(module(*own), alone(*own))
        return

    total(module(*own)).backward()
    for args in draws:
        (total(alone(*args)) / PROCESSES).backward()

    for name_of_parameter, expected in alone.factors.named_parameters():
        actual = dict(module.named_parameters())
        grad = next(w.grad for key, w in actual.items() if key.endswith(f"factors.{name_of_parameter}"))
        torch.testing.assert_close(whole(grad), expected.grad)


def check_ddp(name: str, entry: Entry, mesh: DeviceMesh) -> None:
    check_in_module(name, entry, mesh, "ddp")


def check_fsdp(name: str, entry: Entry, mesh: DeviceMesh) -> None:
    if name in OF_PARAMETERS:
        check_layout(name, entry, mesh, lambda x, _: Shard(0) if x.dim() else Replicate())
    else:
        check_in_module(name, entry, mesh, "fsdp")


def check_dtensor(name: str, entry: Entry, mesh: DeviceMesh) -> None:
    of_two_samples = name.startswith(TWO_SAMPLES)
    check_layout(name, entry, mesh, lambda x, n: Shard(0) if has_rows(x, n) or of_two_samples else Replicate())


def check_layout(name: str, entry: Entry, mesh: DeviceMesh, placement: Callable[[Tensor, int], Placement]) -> None:
    """Compare the value and the gradient for DTensors with those for plain tensors."""
    call = called(dlcore, name, entry)
    args = entry.make(Generator().manual_seed(0))
    n = number_of_rows(args)
    if n % PROCESSES == 0 and n > PROCESSES:  # let the last process have fewer rows
        args = on_tensors(lambda x: x[: n - 1] if has_rows(x, n) else x, args)
        n -= 1
    distributed = on_tensors(lambda x: distribute_tensor(x, mesh, [placement(x, n)]), args)
    of_plain, plain = as_function_of_floats(call, args)
    of_distributed, floats = as_function_of_floats(call, distributed)
    with_gradient = "gradient" not in entry.exempt
    inputs, others = ([x.detach().requires_grad_(with_gradient) for x in xs] for xs in (plain, floats))

    expected, actual = of_plain(*inputs), of_distributed(*others)

    actual = whole(actual)
    torch.testing.assert_close(actual, expected)
    if with_gradient:
        grads = torch.autograd.grad(total(actual), others)
        torch.testing.assert_close(whole(grads), torch.autograd.grad(total(expected), inputs))


def whole(tree: Any) -> Any:
    """Gather what is distributed."""
    return on_tensors(lambda x: x.full_tensor() if isinstance(x, DTensor) else x, tree)


CHECKS = {"ddp": check_ddp, "fsdp": check_fsdp, "dtensor": check_dtensor}


def distributed(how: str, module: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Return a module in DistributedDataParallel or with sharded parameters."""
    if how == "ddp":
        return DistributedDataParallel(module, process_group=mesh.get_group(), find_unused_parameters=True)
    return fully_shard(module, mesh=mesh) or module


def check_training(how: str, mesh: DeviceMesh) -> None:
    """Compare a module trained by fit_ over two processes, each with its share of each batch, with one of one process.

    The steps clip the gradients and take the mean over two batches, and a second call resumes.
    """
    generator = Generator().manual_seed(0)
    x, y = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in ((16, 3), (16, 1)))
    rank = mesh.get_local_rank()
    alone = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    for weight in (alone[0].weight, alone[2].weight):
        dlcore.init.xavier_normal_(weight, generator=generator)
        weight.data = weight.data.contiguous()
    for layer in (alone[0], alone[2]):
        nn.init.zeros_(layer.bias)
    module = distributed(how, copy.deepcopy(alone), mesh)

    for trained, data, batch_size in ((alone, (x, y), 4), (module, (x[rank::PROCESSES], y[rank::PROCESSES]), 2)):
        history = None
        for _ in range(2):
            optimizer = torch.optim.Adam(trained.parameters(), lr=0.05)
            history = dlcore.training.fit_(
                lambda net, x, y: dlcore.losses.squared_loss(net(x), y)[:, 0],
                trained,
                data,
                epochs=2,
                batch_size=batch_size,
                optimizer=optimizer,
                max_norm=0.125,
                accumulate=2,
                shuffle=False,
                resume=history,
            )

    torch.testing.assert_close(whole(list(module.state_dict().values())), list(alone.state_dict().values()))
