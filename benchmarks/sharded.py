"""Weak scaling: the same number of rows a process, on one process and on two.

With two processes twice as many rows take at most 1.25 times as long. The last row is a fit of one process by
scikit-learn compared with one by dlcore.
"""

import multiprocessing
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from dlcore import batches, linear, losses, training
from dlcore.shift import covariate

from .frame import Pair, Row

ROWS_A_PROCESS, COLUMNS = 1_000_000, 50
Work = Callable[[Tensor, Tensor], Any]


def examples(process: int) -> tuple[Tensor, Tensor]:
    """Return the rows of a process."""
    generator = torch.Generator().manual_seed(process)
    x = torch.randn(ROWS_A_PROCESS, COLUMNS, generator=generator)
    weight = torch.linspace(-1, 1, COLUMNS)
    return x, (x @ weight + torch.randn(ROWS_A_PROCESS, generator=generator) > 0).float()


def logistic(x: Tensor, y: Tensor) -> Tensor:
    """Fit a logistic regression, and return its weight."""
    return linear.logistic_regression(x, y).weight


def loss(params: linear.LinearParams, x: Tensor, y: Tensor) -> Tensor:
    """Return the logistic loss of each row."""
    return losses.logistic_loss(linear.linear(x, *params), y)


def epoch(x: Tensor, y: Tensor) -> Tensor:
    """Train for an epoch in batches of 65,536 rows a process, and return the weight."""
    return trained(x, y, 65_536)


def epoch_of_small_batches(x: Tensor, y: Tensor) -> Tensor:
    """Train for an epoch in batches of 4,096 rows a process, whose steps are hardly longer than an exchange."""
    return trained(x, y, 4096)


def trained(x: Tensor, y: Tensor, batch_size: int) -> Tensor:
    """Return the weight after an epoch, in batches of as many rows a process."""
    n_processes = len(x) // ROWS_A_PROCESS
    start = linear.LinearParams(torch.zeros(COLUMNS), torch.zeros(()))
    options = {"epochs": 1, "batch_size": batch_size * n_processes, "lr": 0.1, "progress": False}
    generator = torch.Generator().manual_seed(0)
    return training.fit(loss, start, (x, y), generator=generator, **options).params.weight


def density_ratio(x: Tensor, _: Tensor) -> Tensor:
    """Estimate a density ratio between two samples of 20 columns, and return its effective sample size."""
    source, target = x[:, :20], x[:, 20:40] + 0.3
    generator = torch.Generator().manual_seed(0)
    ratio = covariate.logistic_ratio(source, target, features="linear", penalty=1e-3, generator=generator)
    return torch.as_tensor(ratio.report.effective_sample_size)


def scikit_learn(x: Tensor, y: Tensor) -> Tensor:
    """Fit the same logistic regression by scikit-learn, and return its weight."""
    return torch.from_numpy(LogisticRegression(C=1.0, tol=1e-6).fit(x.numpy(), y.numpy()).coef_[0])


class Processes:
    """Processes with a thread each that hold rows; they end with this one."""

    def __init__(self, n: int) -> None:
        context, folder = multiprocessing.get_context("spawn"), tempfile.mkdtemp()
        self.pipes: list[Connection] = []
        for process in range(n):
            ours, theirs = context.Pipe()
            context.Process(target=serve, args=(theirs, process, n, Path(folder) / "store"), daemon=True).start()
            self.pipes.append(ours)

    def run(self, work: str) -> Tensor:
        """Return what a function of this module makes of the rows of all processes."""
        for pipe in self.pipes:
            pipe.send(work)
        results = [pipe.recv() for pipe in self.pipes]
        return results[0]


def serve(pipe: Connection, process: int, n: int, store: Path) -> None:
    """Run what the pipe names on rows that are sharded, until the pipe is closed or this process is ended."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=process, world_size=n)
    mesh = DeviceMesh("cpu", list(range(n)))
    x, y = (batches.shard_rows(rows, mesh) for rows in examples(process))
    with suppress(EOFError):
        while True:
            pipe.send(globals()[pipe.recv()](x, y))


def doubled(work: str) -> Pair:
    """Set up two processes and one, with the same number of rows a process."""
    return partial(Processes(2).run, work), partial(Processes(1).run, work)


def beside_scikit_learn() -> Pair:
    """Set up one process, without shards, and scikit-learn."""
    x, y = examples(0)
    return partial(logistic, x, y), partial(scikit_learn, x, y)


ROWS = [
    Row("logistic regression, 10⁶ × 50 a process", "1 process", 1.25, partial(doubled, "logistic"), compare=False),
    Row(
        "an epoch of fit, 10⁶ × 50 a process, in batches of 65,536", "1 process", 1.25, partial(doubled, "epoch"), False
    ),
    Row(
        "an epoch of fit, 10⁶ × 50 a process, in batches of 4,096",
        "1 process",
        1.25,
        partial(doubled, "epoch_of_small_batches"),
        False,
    ),
    Row("logistic_ratio, 10⁶ × 20 a process", "1 process", 1.25, partial(doubled, "density_ratio"), compare=False),
    Row("logistic regression, 10⁶ × 50", "scikit-learn", 1.0, beside_scikit_learn),
]
