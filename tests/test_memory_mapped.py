"""Rows that are mapped from a file are read in blocks: no operation makes a copy of all of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dlcore import importance, information, linear, metrics, risk
from dlcore.shift import covariate
from dlcore.shift.covariate import _features, _repeats

N, D = 200_000, 24
BYTES_PER_ROW = 16  # in a new tensor: two numbers of float64 for each row, where a copy of a row has 96 or 192


class LargestTensor(TorchDispatchMode):
    """The bytes of the largest tensor that an operation returns in memory of its own."""

    def __init__(self, *given: Tensor) -> None:
        super().__init__()
        self.largest, self.operation = 0, ""
        self._given = {x.untyped_storage().data_ptr() for x in given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note the memory of the results of an operation."""
        results = func(*args, **(kwargs or {}))
        for x in tree_leaves(results):
            if isinstance(x, Tensor) and x.untyped_storage().data_ptr() not in self._given:
                size = x.untyped_storage().nbytes()
                if size > self.largest:
                    self.largest, self.operation = size, str(func)
        return results


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write normally distributed rows, distributions, and a column that depends on the rows."""
    folder = tmp_path_factory.mktemp("rows")
    x = torch.randn(N, D, generator=Generator().manual_seed(0))
    x[N // 2 :, 0] += 0.5
    y = x @ torch.linspace(-1, 1, D) + torch.randn(N, generator=Generator().manual_seed(1))
    for name, rows in (("x", x), ("p", x.softmax(1)), ("y", y)):
        rows.numpy().tofile(folder / name)
    return folder


@pytest.fixture
def rows(files: Path) -> dict[str, Tensor]:
    return {
        "x": torch.from_file(str(files / "x"), shared=False, size=N * D).reshape(N, D),
        "p": torch.from_numpy(np.memmap(files / "p", dtype=np.float32, mode="c", shape=(N, D))),
        "y": torch.from_file(str(files / "y"), shared=False, size=N),
    }


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[: N // 2], x[N // 2 :]


def labels(rows: dict[str, Tensor], k: int = 2) -> Tensor:
    return (rows["y"] > 0).long() * (k - 1)


def mean_in_target(x: Tensor, y: Tensor) -> Any:
    """Return the mean with so few effective examples that products of the columns are no regressors."""
    ratio = covariate.logistic_ratio(x[:100], x[-100:], features="linear", penalty=1.0)
    weights = torch.cat([torch.ones(100), torch.zeros(N // 2 - 100)])
    return covariate.target_mean(y[: N // 2], replace(ratio, weights=weights), *halves(x))


def ratio_at_all_rows(x: Tensor) -> Tensor:
    return covariate.logistic_ratio(x[:100], x[-100:], features="linear", penalty=1.0)(x)


def seeded() -> Generator:
    return Generator().manual_seed(0)


CALLS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "risk.empirical_risk": lambda rows: risk.empirical_risk(rows["x"][:, 0]),
    "risk.importance_weighted_risk": lambda rows: risk.importance_weighted_risk(rows["y"], rows["p"][:, 0]),
    "risk.standard_error": lambda rows: risk.standard_error(rows["y"], rows["p"][:, 0]),
    "importance.diagnose": lambda rows: importance.diagnose(rows["p"][:, 0]),
    "importance.effective_sample_size": lambda rows: importance.effective_sample_size(rows["p"][:, 0]),
    "importance.normalize_weights": lambda rows: importance.normalize_weights(rows["p"][:, 0]),
    "metrics.accuracy": lambda rows: metrics.accuracy(labels(rows), labels(rows)),
    "metrics.confusion_matrix": lambda rows: metrics.confusion_matrix(labels(rows), labels(rows), n_classes=2),
    "metrics.calibration_error": lambda rows: metrics.calibration_error(labels(rows, D), rows["p"]),
    "information.entropy": lambda rows: information.entropy(rows["p"]),
    "information.perplexity": lambda rows: information.perplexity(rows["p"]),
    "information.cross_entropy": lambda rows: information.cross_entropy(rows["p"], rows["p"]),
    "information.kl_divergence": lambda rows: information.kl_divergence(rows["p"], rows["p"]),
    "linear.linear": lambda rows: linear.linear(rows["x"], torch.ones(D, 1), torch.zeros(1)),
    "linear.least_squares": lambda rows: linear.least_squares(rows["x"], rows["y"]),
    "linear.ridge": lambda rows: linear.ridge(rows["x"], rows["y"], penalty=1.0, weights=rows["p"][:, 0]),
    "linear.logistic_regression": lambda rows: linear.logistic_regression(rows["x"], (rows["y"] > 0).float()),
    "linear.softmax_regression": lambda rows: linear.softmax_regression(rows["x"], labels(rows)),
    "shift.covariate.logistic_ratio": lambda rows: covariate.logistic_ratio(
        *halves(rows["x"]), features="linear", penalty=1.0, generator=seeded()
    ),
    "shift.covariate.ulsif": lambda rows: covariate.ulsif(*halves(rows["x"]), generator=seeded()),
    "shift.covariate.kliep": lambda rows: covariate.kliep(
        *halves(rows["x"]), features="linear", penalty=1.0, generator=seeded()
    ),
    "shift.covariate.DensityRatio": lambda rows: ratio_at_all_rows(rows["x"]),
    "shift.covariate.target_mean": lambda rows: mean_in_target(rows["x"], rows["y"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_copy_of_all_rows_is_made(rows: dict[str, Tensor], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_logistic", "_kliep", "_ulsif"):
        monkeypatch.setattr(f"dlcore.shift.covariate.{module}.MAX_SAMPLE_ROWS", 500)
    with (
        patch.multiple(_features, MAX_BLOCK_ENTRIES=2**16),
        patch.multiple(information, MAX_BLOCK_ENTRIES=2**16),
        LargestTensor(*rows.values()) as largest,
    ):
        CALLS[name](rows)

    assert largest.largest <= BYTES_PER_ROW * N, f"{largest.operation}: {largest.largest / N:.0f} bytes for each row"


def test_a_copy_of_all_rows_is_noticed(rows: dict[str, Tensor]) -> None:
    with LargestTensor(*rows.values()) as largest:
        rows["x"].double()

    assert largest.largest == 8 * N * D


def test_rows_are_drawn_without_replacement_from_more_than_a_permutation_has() -> None:
    x = torch.arange(1000)
    with patch.multiple(_features, MAX_PERMUTED_ROWS=999):
        drawn = torch.stack([_features.random_row_indices(x, 5, seeded().manual_seed(i)) for i in range(2000)])

    assert bool((drawn.sort(1).values.diff(dim=1) > 0).all())
    assert drawn.min() >= 0
    assert drawn.max() < 1000
    assert drawn.double().mean(0).sub(499.5).abs().max() < 4 * 1000 / (12 * 2000) ** 0.5  # 4 standard errors


def test_repeated_rows_are_counted_in_parts() -> None:
    x = torch.randn(500, 2, generator=seeded()).repeat(3, 1)
    with patch.multiple(_repeats, MAX_SORTED_HASHES=100):
        assert _repeats.repeated_rows(x) == 1000


def test_blocks_of_distributions_give_what_all_of_them_give() -> None:
    p, q = (torch.randn(50, 7, generator=seeded().manual_seed(i)).softmax(1) for i in range(2))
    calls = (
        lambda: information.entropy(p),
        lambda: information.perplexity(p),
        lambda: information.cross_entropy(p, q),
        lambda: information.kl_divergence(p, q),
    )
    expected = [call() for call in calls]

    with patch.multiple(information, MAX_BLOCK_ENTRIES=40):
        actual = [call() for call in calls]

    torch.testing.assert_close(actual, expected)
