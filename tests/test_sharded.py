"""Rows that are sharded over 1, 2 or 3 processes give the numbers of one process."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.utils._pytree import tree_leaves, tree_map

import dlcore
from dlcore import (
    _newton_cg,
    _regression,
    _rows,
    _shards,
    batches,
    importance,
    information,
    linear,
    losses,
    metrics,
    model_selection,
    risk,
)
from dlcore._logit_losses import LOGISTIC
from tests.library import resolve
from tests.processes import Processes, mesh_of_one
from tests.table import gather

TABLE = gather()

# How many rows each function gets; of 4 rows, the third process has none.
FUNCTIONS = {
    "risk.empirical_risk": (8, 4),
    "risk.importance_weighted_risk": (8, 4),
    "risk.standard_error": (8, 4),
    "risk.generalization_gap": (5, 4),
    "importance.effective_sample_size": (59, 4),
    "importance.pareto_shape": (59, 4),
    "importance.clip_weights": (59, 4),
    "importance.normalize_weights": (59, 4),
    "importance.normalize_log_weights": (59, 4),
    "importance.pareto_smoothed_weights": (59, 4),
    "importance.flatten_weights": (59, 4),
    "importance.diagnose": (59, 4),
    "metrics.accuracy": (8, 4),
    "metrics.confusion_matrix": (8, 4),
    "metrics.calibration_error": (8, 4),
    "information.surprisal": (3,),
    "information.entropy": (3,),
    "information.cross_entropy": (3,),
    "information.kl_divergence": (3,),
    "information.mutual_information": (2,),
    "information.perplexity": (3,),
    "model_selection.cross_validate": (7, 4),
    "model_selection.importance_weighted_cross_validation": (7, 4),
    "model_selection.train_test_split": (5, 4),
    "regularization.l1_penalty": (5, 2),
    "regularization.l2_penalty": (5, 2),
}


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Processes]:
    pool = Processes(tmp_path_factory.mktemp("store"), checked=pytestconfig.getoption("--checked"))
    yield pool
    pool.stop()


def shard(mesh: DeviceMesh, tree: Any) -> Any:
    return tree_map(lambda x: distribute_tensor(x, mesh, [Shard(0)]) if isinstance(x, Tensor) else x, tree)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def whole(tree: Any) -> list[Any]:
    """Return the leaves of a result, with all rows."""
    return [x.full_tensor() if isinstance(x, DTensor) else x for x in tree_leaves(tree)]


def with_gradient(call: Callable[..., Any], args: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    """Return the results of a call, and the gradients of a sum of them."""
    floats = [x.requires_grad_() for x in args if isinstance(x, Tensor) and x.is_floating_point()]
    results = whole(call(*args))
    differentiable = [x for x in results if isinstance(x, Tensor) and x.requires_grad]
    if not differentiable:
        return results, []
    total = sum((x * torch.linspace(0.5, 1.5, x.numel()).reshape(x.shape)).sum() for x in differentiable)
    return results, whole(torch.autograd.grad(total, floats))


def check_equal_to_one_process(mesh: DeviceMesh, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
    expected = with_gradient(call, tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, args))

    actual = with_gradient(call, shard(mesh, args))

    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14, equal_nan=True)


def check_entry(mesh: DeviceMesh, name: str, n: int) -> None:
    entry = TABLE[name]
    args = tuple(x[:n] if isinstance(x, Tensor) else x for x in entry.make(torch.Generator().manual_seed(0)))
    check_equal_to_one_process(mesh, partial(entry.adapt(resolve(dlcore, name)), **entry.kwargs), args)


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize(("name", "n"), [(name, n) for name, sizes in FUNCTIONS.items() for n in sizes])
def test_a_function_of_sharded_rows_equals_one_process(
    processes: Processes, name: str, n: int, n_processes: int
) -> None:
    processes.run(check_entry, n_processes, name, n)


def check_quantiles(mesh: DeviceMesh) -> None:
    x, w = draw(23), draw(23, seed=1).exp()
    x[3], x[4], x[5], x[22] = x[7], torch.inf, -torch.inf, torch.nan
    w[22], w[8] = 0, 0
    for level in (0.0, 0.05, 0.3, 0.5, 0.9, 1.0):
        check_equal_to_one_process(mesh, partial(quantile_of, w=w, mesh=mesh, level=level), (x,))
    ties = torch.tensor([2.0, 1.0, 1.0, 2.0, 0.0, -0.0, 1.0])
    assert quantile_of(shard(mesh, ties), torch.ones(7), mesh, 0.5) == 1  # which of the ties has the gradient is open


def quantile_of(x: Tensor, w: Tensor, mesh: DeviceMesh, level: float) -> Tensor:
    w = distribute_tensor(w, mesh, [Shard(0)]) if isinstance(x, DTensor) else w
    return importance.weighted_quantile(x, w, level=level)


def check_extremes(mesh: DeviceMesh) -> None:
    weights = draw(7).exp() * 1e300
    weights[2] = 0
    check_equal_to_one_process(mesh, importance.normalize_weights, (weights,))
    check_equal_to_one_process(mesh, importance.normalize_log_weights, (torch.tensor([1e4, -torch.inf, 9e3]).double(),))
    losses = torch.tensor([1.0, torch.inf, 3.0, torch.nan, 2.0]).double()
    present = torch.tensor([1.0, 0.0, 2.0, 0.0, 4.0]).double()
    check_equal_to_one_process(mesh, risk.importance_weighted_risk, (losses, present))
    check_equal_to_one_process(mesh, partial(risk.standard_error, normalize=True), (losses, present))
    check_equal_to_one_process(mesh, risk.standard_error, (losses.nan_to_num(0, 5),))


def check_logsumexp(mesh: DeviceMesh) -> None:
    """Sum a number from each process, where DTensor's own ``logsumexp`` would gather all rows."""
    for x in (100 * draw(7), draw(7) - 1e4, torch.full((7,), -torch.inf)):
        result = _rows.row_logsumexp(shard(mesh, x))

        assert type(result) is Tensor
        torch.testing.assert_close(result, x.logsumexp(0))


def check_distribution_along_the_rows(mesh: DeviceMesh) -> None:
    p, q = draw(2, 7).softmax(1)
    for function in (information.entropy, information.perplexity):
        check_equal_to_one_process(mesh, function, (p,))
    for function in (information.cross_entropy, information.kl_divergence):
        check_equal_to_one_process(mesh, function, (p, q))
    check_equal_to_one_process(mesh, information.mutual_information, (draw(28).softmax(0).reshape(7, 4),))
    check_equal_to_one_process(mesh, information.mutual_information, (p[:, None] * q[:4] / q[:4].sum(),))


def check_least_squares(mesh: DeviceMesh) -> None:
    x, y, targets, weights = draw(11, 3), draw(11, seed=1), draw(11, 2, seed=2), draw(11, seed=3).exp()
    absent = weights.clone()
    absent[4], bad = 0, x.clone()
    bad[4] = torch.nan
    calls = [
        (linear.least_squares, (x, y), None),
        (linear.least_squares, (x + 1e4, targets), weights),
        (linear.least_squares, (bad, targets), absent),
        (partial(linear.ridge, penalty=2.0), (x, y), None),
        (partial(linear.ridge, penalty=2.0), (bad, targets), absent),
        (partial(linear.ridge, penalty=0.5), (draw(4, 6), draw(4)), None),
        (partial(linear.ridge, penalty=0.5), (draw(1, 2), draw(1)), None),
    ]
    for fit, rows, w in calls:
        expected = fit(*rows, weights=w)

        actual = fit(*shard(mesh, rows), weights=shard(mesh, w))

        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


def check_least_squares_of_many_rows(mesh: DeviceMesh) -> None:
    x = (draw(20_000, 4) + torch.arange(4.0)).float()
    y = (x.double() @ torch.tensor([1.0, 2.0, 3.0, 4.0]).double() + draw(20_000, seed=1)).float()

    torch.testing.assert_close(linear.ridge(*shard(mesh, (x, y)), penalty=1), linear.ridge(x, y, penalty=1))


def check_logit_regressions(mesh: DeviceMesh) -> None:
    for n in (2, 4, 61):  # of 2 or 4 rows, the third process has none
        x, weights = draw(n, 2) * torch.tensor([1.0, 1e3]) + 5, draw(n, seed=1).exp()
        y, labels = (draw(n, seed=2) > 0).double(), torch.arange(n) * 7 % min(n, 3)
        y[:2] = torch.tensor([0.0, 1.0])
        absent, bad = weights.clone(), x.clone()
        absent[3::2], bad[3::2] = 0, torch.nan
        for penalty in (1.0, 1e-2) if n < 61 else (1.0, 0.0):
            for rows, w in ((x, None), (x, weights), (bad, absent)):
                check_fit(mesh, partial(linear.logistic_regression, penalty=penalty), rows, y, w)
                check_fit(mesh, partial(linear.softmax_regression, penalty=penalty), rows, labels, w)


def check_logit_regressions_of_many_rows(mesh: DeviceMesh) -> None:
    n = _regression.MAX_ROWS_IN_MEMORY + 1
    x, weights = draw(n, 3) + torch.tensor([0.0, 2.0, 1e4]), draw(n, seed=1).exp()
    y, labels = (x[:, 0] > draw(n, seed=2)).double(), torch.arange(n) % 3
    absent = weights.where(torch.arange(n) % 2 > 0, 0)  # few enough rows are left for the memory
    check_fit(mesh, partial(linear.logistic_regression, penalty=0.0), x, y, None)
    check_fit(mesh, linear.logistic_regression, x, y, weights)
    check_fit(mesh, linear.softmax_regression, x, labels, weights)
    check_fit(mesh, linear.softmax_regression, x, labels, absent)


def check_separation(mesh: DeviceMesh) -> None:
    """Take rows that the direction separates, but for the last one."""
    x, y = torch.arange(-3.5, 4.5).double()[:, None], (torch.arange(8) > 3).double()
    for last, expected in ((1.0, True), (0.0, False)):
        y[-1] = last
        rows, targets = (_shards.local_rows(t) for t in shard(mesh, (x, y)))
        shards = _shards.shards_of(shard(mesh, y))

        problem = _newton_cg.Problem(LOGISTIC, rows, targets, None, torch.zeros(1).double(), None, 8, shards)

        assert problem.separated_by(torch.ones(1, 1).double()) == expected
        assert problem.hessian_products(1) == 8


def check_search(mesh: DeviceMesh) -> None:
    for n in (1, 4, 23):
        w, shares = draw(n).exp(), torch.rand(50, generator=torch.Generator().manual_seed(1)).double()

        assert torch.equal(_rows.row_search(shard(mesh, w), shares), _rows.row_search(w, shares))


def check_taken_rows(mesh: DeviceMesh) -> None:
    for n, index in ((7, [6, 0, 3, 3, 2]), (4, [3]), (2, [1, 0] * 4), (3, [])):
        call = partial(_shards.take_rows, index=torch.tensor(index, dtype=torch.int64))
        check_equal_to_one_process(mesh, call, (draw(n, 2),))


def check_folds(mesh: DeviceMesh) -> None:
    labels = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0])
    for folds in (
        partial(model_selection.stratified_k_fold, k=2),
        partial(model_selection.grouped_k_fold, k=3),
    ):
        torch.testing.assert_close(list(folds(shard(mesh, labels))), list(folds(labels)), rtol=0, atol=0)


def check_cross_validation(mesh: DeviceMesh) -> None:
    x, labels = draw(23, 2), torch.arange(23) % 3
    targets = x.sum(1) + draw(23, seed=1)
    for fit, loss, y in (
        (partial(linear.ridge, penalty=1.0), losses.squared_loss, targets),
        (linear.softmax_regression, losses.cross_entropy, labels),
    ):
        calls = [
            partial(
                model_selection.cross_validate,
                fit,
                lambda params, x, y, loss=loss: loss(linear.linear(x, *params), y),
                k=3,
                shuffle=True,
                generator=torch.Generator().manual_seed(0),
            )
            for _ in range(2)
        ]
        expected = calls[0](x, y)

        actual = calls[1](*shard(mesh, (x, y)))

        torch.testing.assert_close(tuple(actual), tuple(expected), rtol=1e-12, atol=1e-14)


def check_ridge_path(mesh: DeviceMesh) -> None:
    for n, d, k in ((23, 3, 4), (23, 1, 2), (5, 3, 5), (2, 2, 2)):  # of 2 rows, the third process has none
        x, y = draw(n, d) + 1e3, draw(n, seed=1)
        path = partial(
            model_selection.ridge_path_cross_validation,
            penalties=torch.tensor([0.1, 1.0, 100.0]).double().requires_grad_(),
            k=k,
        )
        expected = path(x, y)

        actual = path(*shard(mesh, (x, y)))

        torch.testing.assert_close(tuple(actual.folds), tuple(expected.folds), rtol=1e-12, atol=1e-14)
        (gradient,), (expected_gradient,) = (
            torch.autograd.grad(result.folds.validation_mean.sum(), result.penalties) for result in (actual, expected)
        )
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-14)


def check_fit(mesh: DeviceMesh, fit: Callable[..., Any], x: Tensor, y: Tensor, weights: Tensor | None) -> None:
    expected = fit(x, y, weights=weights)

    actual = fit(*shard(mesh, (x, y)), weights=shard(mesh, weights))

    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


def check_gradient_of_a_result_that_torch_reduces(mesh: DeviceMesh) -> None:
    weights, factors = draw(7).exp().requires_grad_(), draw(7, seed=1)
    (expected,) = torch.autograd.grad((importance.normalize_weights(weights) * factors).sum(), weights)
    sharded, factors = shard(mesh, (weights.detach(), factors))
    sharded.requires_grad_()

    (smoothed,) = torch.autograd.grad(importance.pareto_smoothed_weights(sharded).sum().full_tensor(), sharded)
    total = (importance.normalize_weights(sharded) * factors).sum().full_tensor()
    (gradient,) = torch.autograd.grad(total, sharded)

    torch.testing.assert_close(gradient.full_tensor(), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(smoothed.full_tensor(), torch.ones_like(weights))


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize(
    "check",
    [
        check_quantiles,
        check_extremes,
        check_logsumexp,
        check_least_squares,
        check_least_squares_of_many_rows,
        check_logit_regressions,
        check_logit_regressions_of_many_rows,
        check_search,
        check_separation,
        check_taken_rows,
        check_folds,
        check_cross_validation,
        check_ridge_path,
        check_distribution_along_the_rows,
        check_gradient_of_a_result_that_torch_reduces,
    ],
)
def test_sharded_rows(processes: Processes, check: Callable[[DeviceMesh], None], n_processes: int) -> None:
    processes.run(check, n_processes)


def check_shard_rows(mesh: DeviceMesh, counts: list[int], dtype: torch.dtype) -> None:
    x = (10 * draw(sum(counts), 2)).to(dtype)
    start = sum(counts[: mesh.get_local_rank()])
    local = x[start : start + counts[mesh.get_local_rank()]].clone()

    sharded = batches.shard_rows(local, mesh)

    assert isinstance(sharded, DTensor)
    assert sharded.shape == x.shape
    assert torch.equal(sharded.to_local(), shard(mesh, x).to_local())
    if dtype.is_floating_point:
        local.requires_grad_()
        (gradient,) = torch.autograd.grad(batches.shard_rows(local, mesh).square().sum().full_tensor(), local)
        torch.testing.assert_close(gradient, 2 * local)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
@pytest.mark.parametrize("counts", [[5], [300, 701], [0, 3], [1, 0, 5], [2, 2, 0], [0, 0, 0], [4, 4, 3]])
def test_rows_of_any_lengths_are_brought_into_the_layout(
    processes: Processes, counts: list[int], dtype: torch.dtype
) -> None:
    processes.run(check_shard_rows, len(counts), counts, dtype)


def refusal_of_nan(mesh: DeviceMesh) -> Any:
    weights = torch.ones(7, dtype=torch.float64)
    weights[5] = -0.5
    risk.importance_weighted_risk(*shard(mesh, (torch.ones(7), weights)))


def refusal_of_a_later_column(mesh: DeviceMesh) -> Any:
    labels = torch.zeros(4, 3, dtype=torch.int64)
    labels[2, 1] = labels[3, 0] = 9
    metrics.confusion_matrix(*shard(mesh, (labels, labels)), n_classes=2)


def refusal_of_a_layout(mesh: DeviceMesh) -> Any:
    local = torch.ones([300, 701][mesh.get_local_rank()])
    risk.empirical_risk(DTensor.from_local(local, mesh, [Shard(0)]))


def refusal_of_a_size(mesh: DeviceMesh) -> Any:
    local = torch.ones(2 if mesh.get_local_rank() == 0 else 1)
    risk.empirical_risk(DTensor.from_local(local, mesh, [Shard(0)]))


def refusal_of_copies(mesh: DeviceMesh) -> Any:
    risk.empirical_risk(distribute_tensor(torch.ones(4), mesh, [Replicate()]))


def refusal_of_plain_weights(mesh: DeviceMesh) -> Any:
    risk.importance_weighted_risk(shard(mesh, torch.ones(4)), torch.ones(4))


def refusal_of_another_option(mesh: DeviceMesh) -> Any:
    metrics.calibration_error(
        *shard(mesh, (torch.zeros(4, dtype=torch.int64), torch.ones(4, 1))), n_bins=10 + mesh.get_local_rank()
    )


def refusal_of_an_infinite_row(mesh: DeviceMesh) -> Any:
    x = draw(7, 2)
    x[5, 1] = torch.inf
    linear.least_squares(*shard(mesh, (x, draw(7))), weights=shard(mesh, torch.ones(7).double()))


def refusal_of_dependent_columns(mesh: DeviceMesh) -> Any:
    linear.least_squares(*shard(mesh, (draw(7, 1).expand(7, 2), draw(7))))


def refusal_of_a_gradient(mesh: DeviceMesh) -> Any:
    linear.ridge(*shard(mesh, (draw(7, 2), draw(7).requires_grad_())), penalty=1)


def refusal_of_a_nan_row(mesh: DeviceMesh) -> Any:
    x = draw(7, 2)
    x[5, 1] = torch.nan
    linear.logistic_regression(*shard(mesh, (x, (torch.arange(7) % 2).double())))


def refusal_of_a_late_nan_row(mesh: DeviceMesh) -> Any:
    n = _regression.MAX_ROWS_IN_MEMORY + 2
    x = draw(n, 1)
    x[n - 1] = torch.nan
    linear.softmax_regression(*shard(mesh, (x, torch.arange(n) % 2)), penalty=0)


def refusal_of_one_class(mesh: DeviceMesh) -> Any:
    linear.logistic_regression(*shard(mesh, (draw(4, 1), torch.ones(4).double())))


def refusal_of_a_missing_class(mesh: DeviceMesh) -> Any:
    linear.softmax_regression(*shard(mesh, (draw(4, 1), torch.tensor([0, 0, 2, 2]))))


def refusal_of_separated_classes(mesh: DeviceMesh) -> Any:
    x = torch.arange(7.0)
    linear.logistic_regression(*shard(mesh, (x[:, None], (x > 2).float())), penalty=0)


def refusal_of_dependent_columns_of_a_search(mesh: DeviceMesh) -> Any:
    linear.logistic_regression(*shard(mesh, (draw(7, 1).expand(7, 2), (torch.arange(7) % 2).double())), penalty=0)


def refusal_of_other_folds(mesh: DeviceMesh) -> Any:
    folds = [(torch.tensor([0, 1, 2 + mesh.get_local_rank()]), torch.tensor([4, 5]))] * 2
    fit = partial(linear.ridge, penalty=1.0)
    model_selection.cross_validate(fit, losses.squared_loss, *shard(mesh, (draw(7, 2), draw(7))), folds=folds)


def refusal_of_a_nan_row_of_a_path(mesh: DeviceMesh) -> Any:
    y = draw(7)
    y[5] = torch.nan
    model_selection.ridge_path_cross_validation(*shard(mesh, (draw(7, 2), y)), penalties=torch.ones(1), k=2)


def refusal_of_a_gradient_of_a_path(mesh: DeviceMesh) -> Any:
    x, y = shard(mesh, (draw(7, 2), draw(7)))
    model_selection.ridge_path_cross_validation(x, y.requires_grad_(), penalties=torch.ones(1), k=2)


def refusal_of_another_kind(mesh: DeviceMesh) -> Any:
    batches.shard_rows(torch.ones(2, 1 + mesh.get_local_rank()), mesh)


def refused(mesh: DeviceMesh, call: Callable[[DeviceMesh], Any]) -> tuple[str, str]:
    """Return the error of a call."""
    try:
        call(mesh)
    except (TypeError, ValueError) as error:
        return type(error).__name__, str(error)
    raise AssertionError(f"{call.__name__} has not been refused")


CURE = "; dlcore.batches.shard_rows(rows, mesh) brings them there"


@pytest.mark.parametrize(
    ("call", "n_processes", "error"),
    [
        (refusal_of_nan, 1, "ValueError: weights must be >= 0, got -0.5 at index 5"),
        (refusal_of_nan, 3, "ValueError: weights must be >= 0, got -0.5 at index 5"),
        (refusal_of_a_later_column, 1, "ValueError: labels must be in [0, 2), got 9 at index (2, 1)"),
        (refusal_of_a_later_column, 3, "ValueError: labels must be in [0, 2), got 9 at index (2, 1)"),
        (
            refusal_of_a_layout,
            2,
            f"ValueError: losses must have its rows in chunks, (501, 500) on the processes, got (300, 701){CURE}",
        ),
        (
            refusal_of_a_size,
            2,
            f"ValueError: losses must have the 3 rows that the processes hold, got shape[0] 4{CURE}",
        ),
        (refusal_of_copies, 1, "ValueError: losses must have the placements (Shard(dim=0),), got (Replicate(),)"),
        (
            refusal_of_plain_weights,
            1,
            "TypeError: weights must have sharded rows as the other tensors do, got a plain tensor; "
            "torch.distributed.tensor.distribute_tensor(x, mesh, [Shard(0)]) shards them",
        ),
        (
            refusal_of_another_option,
            3,
            "ValueError: n_bins must be the same on all processes, got 10 on process 0 and 11 on process 1",
        ),
        (refusal_of_an_infinite_row, 1, "ValueError: x must be finite, got inf at index (5, 1)"),
        (refusal_of_an_infinite_row, 3, "ValueError: x must be finite, got inf at index (5, 1)"),
        (
            refusal_of_dependent_columns,
            3,
            "ValueError: x must have rank 2 when centred, got 1: drop columns that depend on others, or penalize",
        ),
        (
            refusal_of_a_gradient,
            1,
            "ValueError: x must not require a gradient, nor y or weights, if the rows are sharded: detach them",
        ),
        (refusal_of_a_nan_row, 1, "ValueError: x must be finite, got nan at index (5, 1)"),
        (refusal_of_a_nan_row, 3, "ValueError: x must be finite, got nan at index (5, 1)"),
        (refusal_of_a_late_nan_row, 2, "ValueError: x must be finite, got nan at index (32769, 0)"),
        (refusal_of_one_class, 3, "ValueError: y must hold both classes, got only 1.0"),
        (refusal_of_a_missing_class, 3, "ValueError: the number of each label must be >= 1, got 0 at index 1"),
        (
            refusal_of_separated_classes,
            3,
            "ValueError: x must not separate the classes when penalty is 0: the loss keeps falling as the weights grow",
        ),
        (
            refusal_of_dependent_columns_of_a_search,
            3,
            "ValueError: x must have rank 2 when centred, got 1: drop columns that depend on others, or penalize",
        ),
        (
            refusal_of_other_folds,
            2,
            "ValueError: the rows of a fold must be the same on all processes, got 3 with checksum 8 on process 0 and "
            "3 with checksum 11 on process 1; give each process a generator with the same seed",
        ),
        (refusal_of_a_nan_row_of_a_path, 3, "ValueError: y must be finite, got nan at index 5"),
        (
            refusal_of_a_gradient_of_a_path,
            1,
            "ValueError: x must not require a gradient, nor y, if the rows are sharded: detach them",
        ),
        (
            refusal_of_another_kind,
            2,
            "ValueError: rows must be the same on all processes, got torch.float32 and shape (n, 1) on process 0 and "
            "torch.float32 and shape (n, 2) on process 1",
        ),
    ],
)
def test_all_processes_raise_the_same_error(
    processes: Processes, call: Callable[[DeviceMesh], Any], n_processes: int, error: str
) -> None:
    assert [": ".join(found) for found in processes.run(refused, n_processes, call)] == [error] * n_processes


def test_differences_between_processes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x must have its rows in chunks, \(501, 500\) on the processes, got \(300"):
        _shards._check_chunks("x", [(300, 600), (701, 1402)])
    with pytest.raises(ValueError, match=r"x must have the 3 rows that the processes hold, got shape\[0\] 4"):
        _shards._check_chunks("x", [(2, 4), (1, 2)])
    with pytest.raises(ValueError, match="k must be the same on all processes, got 1 on process 0 and 2 on process 2"):
        _shards._check_same("k", ["1", "1", "2"])


def end_one_process(mesh: DeviceMesh, folder: Path) -> None:
    """End process 1, and let the others end with their error, as a script does."""
    losses = shard(mesh, torch.ones(7))
    if mesh.get_local_rank() == 1:
        os._exit(1)
    try:
        risk.empirical_risk(losses)
    except RuntimeError as error:
        (folder / f"{mesh.get_local_rank()}").write_text(str(error))
        os._exit(1)


def test_all_processes_end_within_seconds_of_one(tmp_path: Path) -> None:
    pool = Processes(tmp_path, checked=False)
    pool.run(refused, 3, refusal_of_nan)
    start = time.monotonic()

    pool.ask(end_one_process, 3, tmp_path)
    pool.wait()

    assert time.monotonic() - start < 30
    for process in (0, 2):
        assert (tmp_path / str(process)).read_text().startswith("another process has ended: see its own error")


def test_a_lost_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = shard(mesh_of_one(), torch.ones(3))

    def lost(*_: Any, **__: Any) -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "all_reduce", lost)
    with pytest.raises(RuntimeError, match="another process has ended: see its own error, then start all of them"):
        risk.empirical_risk(losses)
