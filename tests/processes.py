"""A few processes that compute together, started once, for the tests of rows that are sharded over processes."""

import importlib
import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

N_PROCESSES = 3
SECONDS = 120


def mesh_of_one() -> DeviceMesh:
    """Return a mesh of this process alone."""
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    return DeviceMesh("cpu", [0])


class Processes:
    """Processes that run a function of a test together, on a mesh of the first 2 or 3 of them."""

    def __init__(self, folder: Path, *, checked: bool) -> None:
        """Start them; each takes some seconds to import torch."""
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(N_PROCESSES):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, rank, folder / "store", checked), daemon=True)
            process.start()
            self._pipes.append(here)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], n_processes: int, *args: Any) -> list[Any]:
        """Return what ``function(mesh, *args)`` returns in each process; raise if it raises in one of them.

        One process is this one, so that its lines count as covered.
        """
        if n_processes == 1:
            return [function(mesh_of_one(), *args)]
        self.ask(function, n_processes, *args)
        answers = [self.answer(rank) for rank in range(n_processes)]
        failures = [f"process {rank}:\n{result}" for rank, (done, result) in enumerate(answers) if not done]
        assert not failures, "\n".join(failures)
        return [result for _, result in answers]

    def ask(self, function: Callable[..., Any], n_processes: int, *args: Any) -> None:
        """Let the first processes run a function."""
        for pipe in self._pipes[:n_processes]:
            pipe.send((function.__module__, function.__qualname__, n_processes, args))

    def answer(self, rank: int) -> tuple[bool, Any]:
        """Return whether the function returned in a process, and what it returned or raised."""
        if not self._pipes[rank].poll(SECONDS):
            raise TimeoutError(f"process {rank} has not answered")
        return self._pipes[rank].recv()

    def stop(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(None)
        self.wait()

    def wait(self) -> None:
        """Wait until the processes have ended."""
        for process in self._processes:
            process.join(SECONDS)
            assert not process.is_alive()


def _serve(pipe: Connection, rank: int, store: Path, checked: bool) -> None:
    """Run each request until there are no more."""
    torch.set_num_threads(1)
    if checked:
        from jaxtyping import install_import_hook  # noqa: PLC0415

        importlib.import_module("tests.annotation_checker")  # the hook looks it up by its name
        install_import_hook("dlcore", "tests.annotation_checker.check")
    dist.init_process_group("gloo", store=dist.FileStore(str(store), N_PROCESSES), rank=rank, world_size=N_PROCESSES)
    meshes = {n: DeviceMesh("cpu", list(range(n))) for n in range(2, N_PROCESSES + 1)}
    while (job := pipe.recv()) is not None:
        module, name, n_processes, args = job
        try:
            function = getattr(importlib.import_module(module), name)
            pipe.send((True, function(meshes[n_processes], *args)))
        except BaseException:  # the test reports it
            pipe.send((False, traceback.format_exc()))
    dist.destroy_process_group()
