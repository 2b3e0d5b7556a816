"""Estimates and tests of shift from rows that are sharded over 1, 2 or 3 processes are those of one process."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Generator, Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.utils._pytree import tree_leaves

from dlcore import _regression
from dlcore.shift import covariate
from tests.processes import Processes
from tests.test_sharded import draw, shard, whole

SAMPLE = 40  # rows of each domain on which the choices are made here, in place of thousands


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Processes]:
    pool = Processes(tmp_path_factory.mktemp("store"), checked=pytestconfig.getoption("--checked"))
    yield pool
    pool.stop()


def seeded() -> Generator:
    return Generator().manual_seed(0)


def check_equal(actual: Any, expected: Any) -> None:
    for found, wanted in zip(whole(tree_leaves(actual)), whole(tree_leaves(expected)), strict=True):
        if isinstance(wanted, float | Tensor):
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-13, equal_nan=True)
        else:
            assert found == wanted


def samples(n: int, m: int, d: int = 2) -> tuple[Tensor, Tensor]:
    return draw(n, d), 0.8 * draw(m, d, seed=1) + 0.4


def check_ratio(mesh: DeviceMesh, estimate: Callable[..., Any], source: Tensor, target: Tensor) -> None:
    """Compare the weights, the ratio at new points with its gradient, the report, and a mean in the target."""
    results = []
    for s, t in ((source, target), shard(mesh, (source, target))):
        ratio = estimate(s, t)
        points = t.clone().requires_grad_()
        at_target = ratio(points)
        (gradient,) = torch.autograd.grad(whole(at_target.sum())[0], points)
        values = s.square().sum(1)
        predictions = (values / 2, t.square().sum(1) / 3)
        means = [covariate.target_mean(values, ratio, s, t, predictions=given) for given in (None, predictions)]
        report = asdict(ratio.report) | {"balance": list(asdict(ratio.report.balance).values())}
        results.append([ratio.weights, at_target.detach(), gradient, report, str(ratio.report), *map(asdict, means)])

    check_equal(results[1], results[0])


ESTIMATES: dict[str, Callable[..., Any]] = {
    "logistic_ratio": covariate.logistic_ratio,
    "logistic_ratio, linear": partial(covariate.logistic_ratio, features="linear", penalty=1.0),
    "logistic_ratio, kernel": partial(covariate.logistic_ratio, features="kernel"),
    "logistic_ratio, a function": partial(covariate.logistic_ratio, features=torch.tanh),
    "kliep": covariate.kliep,
    "ulsif": covariate.ulsif,
    "ulsif, alpha": partial(covariate.ulsif, alpha=0.25),
}


def check_ratios(mesh: DeviceMesh, name: str) -> None:
    """Take few rows, of which the third process has none; then more than a sample has, in and out of memory."""

    def estimate(source: Tensor, target: Tensor) -> Any:
        return ESTIMATES[name](source, target, generator=seeded())

    check_ratio(mesh, estimate, *samples(13, 4))
    if "kliep" not in name:
        check_ratio(mesh, estimate, *samples(4, 13))
    modules = [covariate._logistic, covariate._kliep, covariate._ulsif]
    with patch.multiple(covariate._classifier, MAX_FITTED_ROWS=SAMPLE - 10):
        for module in modules:
            module.MAX_SAMPLE_ROWS, kept = SAMPLE, module.MAX_SAMPLE_ROWS
        check_ratio(mesh, estimate, *samples(150, 70))
        with patch.multiple(_regression, MAX_ROWS_IN_MEMORY=100):
            check_ratio(mesh, estimate, *samples(70, 151))
        for module in modules:
            module.MAX_SAMPLE_ROWS = kept


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize("name", ESTIMATES)
def test_a_ratio_of_sharded_rows_equals_one_process(processes: Processes, name: str, n_processes: int) -> None:
    processes.run(check_ratios, n_processes, name)
