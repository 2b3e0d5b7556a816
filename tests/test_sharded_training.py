"""Training on rows that are sharded over 1, 2 or 3 processes is training on one."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.utils.data import TensorDataset

from dlcore import _order, _shards, linear, losses, optim, training
from dlcore.linear import LinearParams
from dlcore.shift import concept
from dlcore.training import _loop
from dlcore.training._data import Batch, Batches
from dlcore.training._together import Together
from tests.processes import Processes, mesh_of_one
from tests.test_sharded import draw, refused, shard

OPTIONS: dict[str, Any] = {"epochs": 2, "batch_size": 4, "lr": 0.1, "progress": False}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9, "weight_decay": LinearParams(0.1, 0.0)},
    "schedule": {"lr": optim.cosine_schedule(0.2, n_steps=6)},
    "full batches": {"batch_size": 50},
    "batches of one row": {"batch_size": 1},
    "in order": {"shuffle": False},
    "Adam": {"step": optim.adam_step},
}


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Processes]:
    pool = Processes(tmp_path_factory.mktemp("store"), checked=pytestconfig.getoption("--checked"))
    yield pool
    pool.stop()


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def line_loss(params: LinearParams, x: Tensor, y: Tensor) -> Tensor:
    return losses.squared_loss(linear.linear(x, *params), y)


def start() -> LinearParams:
    return LinearParams(draw(2, seed=7), torch.zeros((), dtype=torch.float64))


def rows(n: int) -> tuple[Tensor, Tensor]:
    return draw(n, 2, seed=n), draw(n, seed=n + 1)


def check_same_history(actual: training.History, expected: training.History) -> None:
    torch.testing.assert_close(actual.params, expected.params, rtol=1e-12, atol=1e-14)
    for losses_of in ("train_loss", "validation_loss"):
        torch.testing.assert_close(actual.state[losses_of], expected.state[losses_of], rtol=1e-12, atol=1e-14)
    assert actual.state["step"] == expected.state["step"]


def check_runs(mesh: DeviceMesh) -> None:
    """Compare runs with those of one process; of 4 rows, the third process has none."""
    for n in (4, 11):
        data = rows(n)
        for name, changed in RUNS.items():
            options = OPTIONS | changed
            expected = training.fit(line_loss, start(), data, generator=seeded(), **options)

            actual = training.fit(line_loss, start(), shard(mesh, data), generator=seeded(), **options)

            try:
                check_same_history(actual, expected)
            except AssertionError as error:
                raise AssertionError(f"{name}, {n} rows: {error}") from error


def check_computed_order(mesh: DeviceMesh) -> None:
    """Let the order be computed, as that of many rows is; of 4 rows, the third process has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_order, "MAX_DRAWN_ROWS", 3)
        for n in (4, 11):
            expected = training.fit(line_loss, start(), rows(n), generator=seeded(), **OPTIONS)

            actual = training.fit(line_loss, start(), shard(mesh, rows(n)), generator=seeded(), **OPTIONS)

            check_same_history(actual, expected)


def check_weights_and_validation(mesh: DeviceMesh) -> None:
    """Give a whole batch the weight 0, and NaN to some rows of weight 0."""
    (x, y), held_out = rows(11), rows(5)
    weights = draw(11, seed=3).exp()
    weights[4:8] = weights[10] = 0
    x[[5, 10]] = torch.nan
    for options in ({"shuffle": False}, {"momentum": 0.5}):
        run = partial(training.fit, line_loss, start(), **OPTIONS, **options)
        expected = run((x, y), weights=weights, validation=held_out, generator=seeded())

        actual = run(
            shard(mesh, (x, y)), weights=shard(mesh, weights), validation=shard(mesh, held_out), generator=seeded()
        )

        check_same_history(actual, expected)


class Net(nn.Module):
    """A network with a parameter that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(2, 3), nn.Linear(3, 1)
        self.unused = nn.Parameter(torch.ones(2))
        self.double()
        for place, w in enumerate((self.hidden.weight, self.hidden.bias, self.last.weight, self.last.bias)):
            w.data = draw(*w.shape, seed=place)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        return self.last(self.hidden(x).tanh())[:, 0]


def net_loss(net: Net, x: Tensor, y: Tensor) -> Tensor:
    return losses.squared_loss(net(x), y)


def check_modules(mesh: DeviceMesh) -> None:
    weights = torch.tensor([1.0, 2, 1, 1, 0, 0, 0, 0, 1, 0.5, 1], dtype=torch.float64)
    for changed in (
        {"lr": 0.1, "max_norm": 0.1},
        {"accumulate": 2, "shuffle": False},
        {"accumulate": 2, "batch_size": 3, "lr": lambda step: 0.1 / (1 + step)},
    ):
        options = OPTIONS | {"lr": None} | changed
        found = []
        for data, w, held_out in ((rows(11), weights, rows(5)), shard(mesh, (rows(11), weights, rows(5)))):
            net = Net()
            optimizer = torch.optim.AdamW(net.parameters(), lr=0.05, weight_decay=0.5)
            run = partial(training.fit_, net_loss, net, data, optimizer=optimizer, weights=w, validation=held_out)
            history = run(generator=seeded(), **options)
            found.append((history, net.state_dict(), optimizer.state_dict()["state"]))
        (expected, *state_of_one), (actual, *state) = found
        check_same_history(actual, expected)
        torch.testing.assert_close(state, state_of_one, rtol=1e-11, atol=1e-14)


def check_resumed_runs(mesh: DeviceMesh) -> None:
    """Let one process resume what several began, and several what one began."""
    data = rows(11)
    whole = OPTIONS | {"epochs": 4, "momentum": 0.9}
    expected = training.fit(line_loss, start(), data, generator=seeded(), **whole)
    of_module = training.fit_(net_loss, Net(), data, generator=seeded(), **(OPTIONS | {"epochs": 4}))
    for first, second in ((data, shard(mesh, data)), (shard(mesh, data), data)):
        run = partial(training.fit, line_loss, start(), **(whole | {"epochs": 2}))
        history = run(first, generator=seeded())
        check_same_history(run(second, generator=seeded(5), resume=history.state), expected)

        history = training.fit_(net_loss, Net(), first, generator=seeded(), **OPTIONS)
        resumed = training.fit_(net_loss, Net(), second, generator=seeded(5), resume=history, **OPTIONS)
        check_same_history(resumed, of_module)


def check_divergence(mesh: DeviceMesh) -> None:
    data, bad = rows(11), rows(11)
    bad[0][6, 1] = torch.nan
    for given, lr in ((data, 1e160), (bad, 0.1)):
        run = partial(training.fit, line_loss, start(), **(OPTIONS | {"lr": lr, "epochs": 5}))
        expected, actual = [failure_of(run, rows) for rows in (given, shard(mesh, given))]

        assert str(actual) == str(expected)
        assert (actual.row == 6) == (given is bad)
        check_same_history(actual.history, expected.history)
    net = Net()
    failure = failure_of(partial(training.fit_, net_loss, net, **OPTIONS), shard(mesh, bad))
    torch.testing.assert_close(failure.history.params, net.state_dict())
    assert failure.row == 6


def failure_of(run: Callable[..., Any], data: Any) -> training.DivergenceError:
    with pytest.raises(training.DivergenceError) as caught:
        run(data, generator=seeded())
    return caught.value


def check_forms_of_data(mesh: DeviceMesh) -> None:
    x, y = rows(11)
    run = partial(training.epochs, generator=None, **(OPTIONS | {"shuffle": False}))
    *_, expected = run(line_loss, start(), (x, y))

    *_, of_mapping = run(lambda w, batch: line_loss(w, batch["x"], batch["y"]), start(), shard(mesh, {"x": x, "y": y}))
    *_, of_data_set = run(line_loss, start(), TensorDataset(*shard(mesh, (x, y))))

    check_same_history(of_mapping, expected)
    check_same_history(of_data_set, expected)
    newest = concept.fine_tune(line_loss, start(), shard(mesh, (x, y)), window=6, **OPTIONS | {"shuffle": False})
    check_same_history(newest, training.fit(line_loss, start(), (x[-6:], y[-6:]), **OPTIONS | {"shuffle": False}))


def check_masks(mesh: DeviceMesh) -> None:
    """Let each process draw masks of its own, for its own rows."""
    drawn: list[Tensor] = []

    def loss(w: Tensor, x: Tensor) -> Tensor:
        drawn.append(torch.rand(4))
        return w * x

    training.fit(loss, torch.tensor(0.0), shard(mesh, torch.ones(6)), generator=seeded(), **OPTIONS | {"batch_size": 6})

    of_all: list[Any] = [None] * mesh.size()
    torch.distributed.all_gather_object(of_all, drawn[0].tolist(), group=mesh.get_group())
    assert len({tuple(masks) for masks in of_all}) == mesh.size()


def count_bytes(mesh: DeviceMesh, n: int) -> int:
    """Return the number of bytes that a process gives to sums over the processes in an epoch of 4 steps."""
    sent, all_reduce = [], torch.distributed.all_reduce

    def counted(x: Tensor, **options: Any) -> Any:
        sent.append(x.numel() * x.element_size())
        return all_reduce(x, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributed, "all_reduce", counted)
        training.fit(line_loss, start(), shard(mesh, rows(n)), generator=seeded(), epochs=1, batch_size=n // 4, lr=0.1)
    assert len(sent) == 4
    return sum(sent)


def check_bytes(mesh: DeviceMesh) -> None:
    """Count 7 numbers a step: three parameters, whether each has a gradient, the loss, and whether a process failed."""
    numbers = 3 + 2 + 2
    assert count_bytes(mesh, 8) == count_bytes(mesh, 8000) == 4 * numbers * 8


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize(
    "check",
    [
        check_runs,
        check_computed_order,
        check_weights_and_validation,
        check_modules,
        check_resumed_runs,
        check_divergence,
        check_forms_of_data,
        check_masks,
        check_bytes,
    ],
)
def test_training_on_sharded_rows(processes: Processes, check: Callable[[DeviceMesh], None], n_processes: int) -> None:
    processes.run(check, n_processes)


def fit_on(mesh: DeviceMesh, params: Any = None, **changed: Any) -> Any:
    options = OPTIONS | {"generator": seeded()} | changed
    training.fit(line_loss, params or start(), shard(mesh, rows(7)), **options)


def refusal_of_another_rate(mesh: DeviceMesh) -> Any:
    fit_on(mesh, lr=0.1 * (1 + mesh.get_local_rank()))


def refusal_of_another_batch_size(mesh: DeviceMesh) -> Any:
    fit_on(mesh, batch_size=4 + mesh.get_local_rank())


def refusal_of_another_seed(mesh: DeviceMesh) -> Any:
    fit_on(mesh, generator=seeded(mesh.get_local_rank()))


def refusal_of_other_parameters(mesh: DeviceMesh) -> Any:
    fit_on(mesh, LinearParams(torch.full((2,), mesh.get_local_rank(), dtype=torch.float64), start().bias))


def refusal_of_another_schedule(mesh: DeviceMesh) -> Any:
    rate = 0.1 * (1 + mesh.get_local_rank())
    fit_on(mesh, lr=lambda _: rate)


def refusal_of_another_optimizer(mesh: DeviceMesh) -> Any:
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1 * (1 + mesh.get_local_rank()))
    training.fit_(net_loss, net, shard(mesh, rows(7)), optimizer=optimizer, **OPTIONS | {"lr": None})


def refusal_of_plain_validation(mesh: DeviceMesh) -> Any:
    fit_on(mesh, validation=rows(3))


def refusal_of_arrays(mesh: DeviceMesh) -> Any:
    x, y = rows(7)
    training.fit(line_loss, start(), (shard(mesh, x), y.numpy()), **OPTIONS)


def refusal_of_sharded_parameters(mesh: DeviceMesh) -> Any:
    fit_on(mesh, LinearParams(shard(mesh, start().weight), start().bias))


def refusal_of_batch_norm(mesh: DeviceMesh) -> Any:
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3)))
    training.fit_(net_loss, net, shard(mesh, rows(7)), **OPTIONS)


def refusal_of_a_distributed_module(mesh: DeviceMesh) -> Any:
    net = nn.parallel.DistributedDataParallel(Net(), process_group=mesh.get_group())
    training.fit_(net_loss, net, shard(mesh, rows(7)), **OPTIONS)


class Counting(Net):
    """A network that keeps the mean of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        self.mean.copy_(x.mean(0))
        return super().forward(x)


def refusal_of_a_buffer_of_local_rows(mesh: DeviceMesh) -> Any:
    training.fit_(net_loss, Counting(), shard(mesh, rows(7)), generator=seeded(), **OPTIONS)


SAME = "ValueError: {} must be the same on all processes, got {} on process 0 and {} on process 1{}"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (refusal_of_another_rate, SAME.format("lr", "0.1", "0.2", "")),
        (refusal_of_another_batch_size, SAME.format("batch_size", "4", "5", "")),
        (refusal_of_another_optimizer, r"ValueError: optimizer must be the same on all processes, got SGD"),
        (refusal_of_another_seed, "ValueError: generator must be the same on all processes, got a random state"),
        (refusal_of_other_parameters, "ValueError: params must be the same on all processes, got 2 tensors with check"),
        (refusal_of_another_schedule, "ValueError: params must be the same on all processes, got 2 tensors with check"),
        (refusal_of_a_buffer_of_local_rows, "ValueError: params must be the same on all processes, got 6 tensors"),
    ],
)
def test_what_differs_between_processes_is_refused(
    processes: Processes, call: Callable[[DeviceMesh], Any], error: str
) -> None:
    for found in processes.run(refused, 2, call):
        assert ": ".join(found).startswith(error)


SHARDS = "torch.distributed.tensor.distribute_tensor(x, mesh, [Shard(0)]) shards them"


@pytest.mark.parametrize("n_processes", [1, 2])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            refusal_of_plain_validation,
            f"TypeError: validation[0] must have sharded rows as the other tensors do, got a plain tensor; {SHARDS}",
        ),
        (
            refusal_of_arrays,
            f"TypeError: data[1] must have sharded rows as the other tensors do, got a plain tensor; {SHARDS}",
        ),
        (
            refusal_of_sharded_parameters,
            "TypeError: params must be plain tensors, the same in each process, where rows are sharded, got a DTensor",
        ),
        (
            refusal_of_batch_norm,
            "ValueError: module must not contain BatchNorm1d where rows are sharded: each process would normalize by "
            "its own rows; use torch.nn.GroupNorm or torch.nn.LayerNorm",
        ),
        (
            refusal_of_a_distributed_module,
            "ValueError: module must not be in DistributedDataParallel where rows are sharded: its gradients are "
            "summed already; pass its module",
        ),
    ],
)
def test_what_cannot_be_trained_on_shards_is_refused(
    processes: Processes, call: Callable[[DeviceMesh], Any], n_processes: int, error: str
) -> None:
    assert [": ".join(found) for found in processes.run(refused, n_processes, call)] == [error] * n_processes


def fail_on_a_label(mesh: DeviceMesh, where: str) -> str:
    """Return the error of a run with a label that one of the processes holds, and which does not exist."""
    labels, held_out = torch.zeros(7, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    (labels if where == "data" else held_out)[-1] = 3

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return losses.cross_entropy(x @ w, y)

    with pytest.raises((ValueError, RuntimeError)) as caught:
        training.fit(
            loss,
            torch.zeros(2, 3),
            shard(mesh, (draw(7, 2).float(), labels)),
            validation=shard(mesh, (draw(4, 2).float(), held_out)),
            generator=seeded(),
            **OPTIONS,
        )
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("where", ["data", "validation"])
def test_an_error_of_the_loss_in_one_process_ends_all(processes: Processes, where: str) -> None:
    begin = time.monotonic()

    first, second = processes.run(fail_on_a_label, 2, where)

    assert second.startswith("ValueError: labels must be in [0, 3), got 3 at index ")
    assert first == f"RuntimeError: process 1 has failed with {second}"
    assert time.monotonic() - begin < 30
    assert processes.run(fail_on_a_label, 1, where)[0].startswith("ValueError: labels must be in [0, 3), got 3 at")


def test_the_error_of_another_process_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    shards = _shards.shards_of(shard(mesh_of_one(), torch.ones(2)))
    assert isinstance(shards, _shards.Shards)
    monkeypatch.setattr(_shards.Shards, "sum_", lambda _, x: x + torch.tensor([1.0, 0.0]))
    monkeypatch.setattr(_shards.Shards, "gather", lambda _, x: [x, "ValueError: y must be >= 0"])

    with pytest.raises(RuntimeError, match=r"^process 1 has failed with ValueError: y must be >= 0$"):
        Together(shards).expecting([]).sum(1.0, [])


def test_no_validation_loss_is_computed_where_a_process_holds_no_rows() -> None:
    def loss(w: Tensor, x: Tensor) -> Tensor:
        assert len(x) > 0
        return w * x

    x = shard(mesh_of_one(), torch.ones(2))
    passes = training.epochs(loss, torch.tensor(3.0), x, batch_size=2, lr=0.1)
    held_elsewhere, held_here = Batch((torch.ones(0),), None, 0, 4), Batch((torch.ones(2),), None, 2, 2)

    mean = _loop._validation_loss(passes.run, loss, Batches(lambda _: iter([held_elsewhere, held_here]), 2))

    assert mean == 1  # 2 times 3, divided by 6 rows


def end_in_the_second_epoch(mesh: DeviceMesh, folder: Path) -> None:
    """Train, and keep the state after the first epoch; process 1 ends in the second."""
    epoch = 0

    def loss(params: LinearParams, x: Tensor, y: Tensor) -> Tensor:
        if epoch == 1 and mesh.get_local_rank() == 1:
            os._exit(1)
        return line_loss(params, x, y)

    passes = training.epochs(loss, start(), shard(mesh, rows(11)), generator=seeded(), **OPTIONS)
    history, epoch = next(passes), 1
    if mesh.get_local_rank() == 0:
        torch.save(history.state, folder / "state.pt")
    try:
        next(passes)
    except RuntimeError as error:
        (folder / f"error-{mesh.get_local_rank()}").write_text(str(error))
        os._exit(1)


def test_a_run_of_which_a_process_ends_resumes_with_others(processes: Processes, tmp_path: Path) -> None:
    pool = Processes(tmp_path, checked=False)
    pool.run(refused, 3, refusal_of_arrays)

    pool.ask(end_in_the_second_epoch, 3, tmp_path)
    pool.wait()

    for process in (0, 2):
        assert (tmp_path / f"error-{process}").read_text().startswith("another process has ended: see its own error")
    processes.run(resume_in_the_second_epoch, 2, tmp_path)


def resume_in_the_second_epoch(mesh: DeviceMesh, folder: Path) -> None:
    state = torch.load(folder / "state.pt")

    actual = training.fit(
        line_loss, start(), shard(mesh, rows(11)), generator=seeded(9), resume=state, **OPTIONS | {"epochs": 1}
    )

    check_same_history(actual, training.fit(line_loss, start(), rows(11), generator=seeded(), **OPTIONS))
