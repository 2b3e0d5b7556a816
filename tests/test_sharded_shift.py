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
from dlcore.shift import concept, covariate, detect, label
from dlcore.shift.covariate._repeats import repeated_rows
from dlcore.shift.covariate._scores import DomainScores
from tests.processes import Processes
from tests.test_sharded import draw, refused, shard, whole

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


def check_scores(mesh: DeviceMesh) -> None:
    """Take many scores with few and with many ties, and fewer scores than processes."""
    for n, m, decimals in ((500, 300, 8), (500, 300, 0), (2, 1, 0), (1, 4, 1)):
        scores = [draw(n).round(decimals=decimals), (draw(m, seed=1) + 0.5).round(decimals=decimals)]
        weights = draw(n, seed=2).exp()
        weights[: n // 3] = 0
        results = []
        for on_source, on_target, w in ((*scores, weights), shard(mesh, (*scores, weights))):
            compared = DomainScores(on_source, on_target)
            results.append([compared.separability(), *compared.weighted_accuracy(w)])
        check_equal(results[1], results[0])


def check_repeats(mesh: DeviceMesh) -> None:
    continuous, discrete = draw(150, 2), torch.arange(150).double()[:, None].expand(150, 2) % 12
    for x, expected in ((continuous.repeat(3, 1), 300), (continuous, 0), (discrete.repeat(3, 1), 0)):
        assert repeated_rows(shard(mesh, x.contiguous())) == repeated_rows(x) == expected
    hundreds = torch.stack([torch.arange(400) % 20, torch.arange(400) // 20], dim=1).double()
    assert repeated_rows(shard(mesh, hundreds.repeat(3, 1))) == repeated_rows(hundreds.repeat(3, 1)) == 0


LABEL_SHIFTS: dict[str, Callable[..., Any]] = {
    "bbse": label.bbse,
    "bbse, soft": partial(label.bbse, soft=True),
    "rlls": label.rlls,
    "saerens_em": label.saerens_em,
    "saerens_em, calibrated": partial(label.saerens_em, calibrate=True),
}


def outputs(n: int, m: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return probabilities, labels of which each process has few classes, and probabilities."""
    labels = torch.arange(n) * k // n
    shown = 2 * torch.eye(k).double()
    return (draw(n, k) + shown[labels]).softmax(1), labels, (draw(m, k, seed=1) + shown[torch.arange(m) % 2]).softmax(1)


def check_label_shifts(mesh: DeviceMesh) -> None:
    for n, m, k in ((13, 4, 2), (61, 40, 3)):
        rows = outputs(n, m, k)
        for estimate in LABEL_SHIFTS.values():
            results = []
            for source, labels, target in (rows, shard(mesh, rows)):
                shift = estimate(source, labels, target, n_resamples=20, generator=seeded())
                found = {name: value for name, value in vars(shift).items() if name != "report"}
                results.append([found, asdict(shift.report), shift.correct(target)])
            check_equal(results[1], results[0])


def check_calibration(mesh: DeviceMesh) -> None:
    for n in (4, 61):  # of 4 rows, the third process has none
        rows = draw(n, 2) + 2 * torch.eye(2).double()[torch.arange(n) % 2], torch.arange(n) % 2
        calibrators = [label.bias_corrected_temperature(*given) for given in (rows, shard(mesh, rows))]
        check_equal(*([vars(c), c(x)] for c, x in zip(calibrators, (rows[0], shard(mesh, rows[0])), strict=True)))


def check_two_sample_tests(mesh: DeviceMesh) -> None:
    draws = {"n_permutations": 39, "generator": seeded}
    for n, m in ((13, 4), (61, 40)):
        rows = samples(n, m)
        check_test(mesh, detect.ks_test, rows)
        check_test(mesh, detect.mmd_test, rows, **draws)
        check_test(mesh, detect.classifier_test, rows, **draws)
        check_test(mesh, detect.label_test, tuple(x[:, 0].round().long() for x in rows), **draws)
        for test in (detect.ks_test, detect.label_test, detect.mmd_test, detect.classifier_test):
            drawn = {} if test is detect.ks_test else draws
            given = tuple(x[:, 0].round().long() for x in rows) if test is detect.label_test else rows
            check_test(mesh, test, given, tolerance=0.125, **drawn)
            check_slices(mesh, test, given, **drawn)
    with patch.multiple(detect._mmd, MAX_KERNEL_ROWS=16), patch.multiple(detect._ks, MAX_ROWS_EXACT=100):
        check_test(mesh, detect.mmd_test, samples(61, 40), **draws)
        check_test(mesh, detect.mmd_test, samples(40, 61), tolerance=0.125, **draws)
        check_test(mesh, detect.ks_test, samples(300, 201))
        check_test(mesh, detect.ks_test, tuple(x.round() for x in samples(100, 1)), correction="bonferroni")


def check_test(
    mesh: DeviceMesh, test: Callable[..., Any], rows: tuple[Tensor, ...], *, generator: Any = None, **options: Any
) -> None:
    results = []
    for x, y in (rows, shard(mesh, rows)):
        drawn = {} if generator is None else {"generator": generator()}
        results.append(asdict(test(x, y, **options, **drawn)))
    check_equal(results[1], results[0])


def check_slices(
    mesh: DeviceMesh, test: Callable[..., Any], rows: tuple[Tensor, ...], *, generator: Any = None, **options: Any
) -> None:
    """Take two slices of which each process with rows has some, and one of which a single process has a row."""
    results = []
    slices = tuple(torch.arange(len(x)) % 2 for x in rows)
    slices[0][6] = 7
    for x, y, x_slices, y_slices in ((*rows, *slices), shard(mesh, (*rows, *slices))):
        drawn = {} if generator is None else {"generator": generator()}
        found = detect.slice_test(test, x, y, x_slices=x_slices, y_slices=y_slices, min_rows=2, **options, **drawn)
        results.append(asdict(found))
    assert results[0]["untested"] == (7,)
    check_equal(results[1], results[0])


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize(
    "check", [check_scores, check_repeats, check_label_shifts, check_calibration, check_two_sample_tests]
)
def test_sharded_rows(processes: Processes, check: Callable[[DeviceMesh], None], n_processes: int) -> None:
    processes.run(check, n_processes)


def refusal_of_all_pairs(mesh: DeviceMesh) -> Any:
    covariate.kernel_mean_matching(*shard(mesh, samples(7, 4)))


def refusal_of_a_stream(mesh: DeviceMesh) -> Any:
    concept.adwin(None, shard(mesh, torch.zeros(7)))


def refusal_of_a_sharded_page_hinkley_stream(mesh: DeviceMesh) -> Any:
    concept.page_hinkley(None, shard(mesh, torch.zeros(7)))


def refusal_of_other_seeds(mesh: DeviceMesh) -> Any:
    covariate.ulsif(*shard(mesh, samples(7, 4)), generator=Generator().manual_seed(mesh.get_local_rank()))


def refusal_of_other_random_states(mesh: DeviceMesh) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(mesh.get_local_rank())
        detect.mmd_test(*shard(mesh, samples(7, 4)))


def refusal_of_another_tolerance(mesh: DeviceMesh) -> Any:
    detect.ks_test(*shard(mesh, samples(7, 4)), tolerance=mesh.get_local_rank() / 8)


def slices_of(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    return {"x_slices": torch.arange(len(x)) % 2, "y_slices": torch.arange(len(y)) % 2}


def refusal_of_other_random_states_in_slices(mesh: DeviceMesh) -> Any:
    slices = {name: shard(mesh, rows) for name, rows in slices_of(*samples(7, 4)).items()}
    with torch.random.fork_rng():
        torch.manual_seed(mesh.get_local_rank())
        detect.slice_test(detect.mmd_test, *shard(mesh, samples(7, 4)), **slices, min_rows=2)


def refusal_of_plain_slices(mesh: DeviceMesh) -> Any:
    detect.slice_test(detect.ks_test, *shard(mesh, samples(7, 4)), **slices_of(*samples(7, 4)), min_rows=2)


def refusal_of_another_penalty(mesh: DeviceMesh) -> Any:
    covariate.kliep(*shard(mesh, samples(7, 4)), penalty=1.0 + mesh.get_local_rank())


def refusal_of_a_nan_row(mesh: DeviceMesh) -> Any:
    source, target = samples(7, 4)
    source[5, 1] = torch.nan
    covariate.logistic_ratio(*shard(mesh, (source, target)), generator=seeded())


def infinite_features(x: Tensor) -> Tensor:
    return 1 / (x - draw(7, 2)[5]).abs().amin(1, keepdim=True)


def refusal_of_an_infinite_feature(mesh: DeviceMesh) -> Any:
    covariate.logistic_ratio(*shard(mesh, samples(7, 4)), features=infinite_features, generator=seeded())


def refusal_of_plain_target_rows(mesh: DeviceMesh) -> Any:
    source, target = samples(7, 4)
    covariate.ulsif(shard(mesh, source), target)


def refusal_of_weights_of_plain_rows(mesh: DeviceMesh) -> Any:
    source, target = samples(7, 4)
    ratio = covariate.logistic_ratio(source, target, features="linear", penalty=1.0)
    covariate.target_mean(shard(mesh, source[:, 0].clone()), ratio, *shard(mesh, (source, target)))


def refusal_of_a_row_that_is_no_distribution(mesh: DeviceMesh) -> Any:
    source, labels, target = outputs(7, 4, 2)
    source[5] = 0.25
    label.bbse(*shard(mesh, (source, labels, target)), n_resamples=0)


def refusal_of_an_absent_class(mesh: DeviceMesh) -> Any:
    source, labels, target = outputs(7, 4, 2)
    label.saerens_em(*shard(mesh, (source, torch.zeros_like(labels), target)), n_resamples=0)


@pytest.mark.parametrize("n_processes", [1, 3])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            refusal_of_all_pairs,
            "ValueError: source must not have sharded rows, because the kernel of every two rows would have to be in "
            "one process; pass plain rows, as source.full_tensor() gives them, or use logistic_ratio",
        ),
        (
            refusal_of_a_stream,
            "ValueError: losses must not have sharded rows, because a stream is read in its order; "
            "losses.full_tensor() gives all of them",
        ),
        (
            refusal_of_a_sharded_page_hinkley_stream,
            "ValueError: losses must not have sharded rows, because a stream is read in its order; "
            "losses.full_tensor() gives all of them",
        ),
        (refusal_of_a_nan_row, "ValueError: source must be finite, got nan at index (5, 1)"),
        (refusal_of_an_infinite_feature, "ValueError: features must be finite, got inf at index (5, 0)"),
        (
            refusal_of_plain_target_rows,
            "TypeError: target must have sharded rows as the other tensors do, got a plain tensor; "
            "torch.distributed.tensor.distribute_tensor(x, mesh, [Shard(0)]) shards them",
        ),
        (
            refusal_of_plain_slices,
            "TypeError: x_slices must have sharded rows as the other tensors do, got a plain tensor; "
            "torch.distributed.tensor.distribute_tensor(x, mesh, [Shard(0)]) shards them",
        ),
        (
            refusal_of_weights_of_plain_rows,
            "TypeError: the weights of ratio must have sharded rows as the other tensors do, got a plain tensor; "
            "torch.distributed.tensor.distribute_tensor(x, mesh, [Shard(0)]) shards them",
        ),
        (
            refusal_of_a_row_that_is_no_distribution,
            "ValueError: the sum of each row of source_probabilities must be 1, got 0.5 at index 5",
        ),
        (
            refusal_of_an_absent_class,
            "ValueError: the number of each label in source_labels must be >= 1, got 0 at index 1",
        ),
    ],
)
def test_all_processes_raise_the_same_error(
    processes: Processes, call: Callable[[DeviceMesh], Any], n_processes: int, error: str
) -> None:
    assert [": ".join(found) for found in processes.run(refused, n_processes, call)] == [error] * n_processes


@pytest.mark.parametrize(
    ("call", "name", "cure"),
    [
        (refusal_of_other_seeds, "generator", "; give each process a generator with the same seed"),
        (refusal_of_other_random_states, "generator", "; give each process a generator with the same seed"),
        (
            refusal_of_other_random_states_in_slices,
            "generator",
            "; give each process a generator with the same seed",
        ),
        (refusal_of_another_penalty, "penalty", ""),
        (refusal_of_another_tolerance, "tolerance", ""),
    ],
)
def test_all_processes_must_have_the_same_options(
    processes: Processes, call: Callable[[DeviceMesh], Any], name: str, cure: str
) -> None:
    found = processes.run(refused, 3, call)

    assert found == found[:1] * 3
    assert found[0][0] == "ValueError"
    assert found[0][1].startswith(f"{name} must be the same on all processes, got ")
    assert found[0][1].endswith(f" on process 1{cure}")
