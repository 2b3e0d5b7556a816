"""Every function that takes integers takes each kind of them, and refuses what int64 cannot hold."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dlcore import batches, losses, metrics, mlp, model_selection, training
from dlcore.linear import softmax_regression
from dlcore.shift import covariate, detect, label
from tests.library import public_functions

KINDS = [torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.uint32, torch.uint64]
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 1, 0, 2, 1, 0, 0])
LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
P = LOGITS.softmax(1)
SAMPLES = LOGITS[:, :2], LOGITS[:6, 1:]
PARAMS = mlp.init_mlp([3, 4, 3], generator=torch.Generator().manual_seed(0))
OPTIONS: dict[str, Any] = {"n_resamples": 0}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# Each maps labels to tensors. The classes of the last group are only compared with each other.
INDICES: dict[str, Callable[[Tensor], Any]] = {
    "linear.softmax_regression": lambda y: softmax_regression(LOGITS, y),
    "losses.cross_entropy": lambda y: losses.cross_entropy(LOGITS, y),
    "losses.cross_entropy_from_probabilities": lambda y: losses.cross_entropy_from_probabilities(P, y),
    "metrics.calibration_error": lambda y: metrics.calibration_error(y, P),
    "metrics.confusion_matrix": lambda y: metrics.confusion_matrix(y, torch.cat([y[6:], y[:6]]), n_classes=3),
    "mlp.forward": lambda y: mlp.backward(mlp.forward(PARAMS, LOGITS, y, loss="cross_entropy")),
    "shift.label.bbse": lambda y: label.bbse(P, y, P, **OPTIONS).weights,
    "shift.label.bias_corrected_temperature": lambda y: label.bias_corrected_temperature(LOGITS, y).temperature,
    "shift.label.rlls": lambda y: label.rlls(P, y, P, **OPTIONS).weights,
    "shift.label.saerens_em": lambda y: label.saerens_em(P, y, P, **OPTIONS).weights,
}
CLASSES: dict[str, Callable[[Tensor], Any]] = {
    "metrics.accuracy": lambda y: metrics.accuracy(y, torch.cat([y[:6], y[:6]])),
    "model_selection.grouped_k_fold": lambda y: list(model_selection.grouped_k_fold(y, 2)),
    "model_selection.stratified_k_fold": lambda y: list(model_selection.stratified_k_fold(y, 2)),
    "shift.covariate.kliep": lambda y: covariate.kliep(*SAMPLES, groups=(y, y[:6])).weights,
    "shift.covariate.logistic_ratio": lambda y: covariate.logistic_ratio(*SAMPLES, groups=(y, y[:6])).weights,
    "shift.covariate.ulsif": lambda y: covariate.ulsif(*SAMPLES, groups=(y, y[:6])).weights,
    "shift.detect.label_test": lambda y: torch.tensor(
        detect.label_test(y[:6], y[6:], n_permutations=99, generator=seeded()).p_value
    ),
    "shift.detect.slice_test": lambda y: (
        detect.slice_test(detect.ks_test, P[:6], P[6:], x_slices=y[:6], y_slices=y[6:], min_rows=2).p_values
    ),
}
CALLS = INDICES | CLASSES


# Each maps rows of integers to tensors or batches of them, without a look at the values.
ROWS: dict[str, Callable[[Tensor], Any]] = {
    "batches.minibatches": lambda y: list(batches.minibatches(y, batch_size=5, generator=seeded())),
    "model_selection.cross_validate": lambda y: model_selection.cross_validate(first_label, is_other, P, y, k=3),
    "model_selection.cross_validate_vectorized": lambda y: model_selection.cross_validate_vectorized(
        cross_entropy_of_shifted, torch.zeros(3), P, y, k=3, epochs=2, batch_size=5, lr=0.1, generator=seeded()
    ),
    "model_selection.importance_weighted_cross_validation": lambda y: (
        model_selection.importance_weighted_cross_validation(
            lambda x, y, _: first_label(x, y), is_other, P, y, weights=P[:, 0], k=3
        )
    ),
    "model_selection.train_test_split": lambda y: model_selection.train_test_split(y, generator=seeded()),
    "training.fit": lambda y: (
        training.fit(
            cross_entropy_of_shifted, torch.zeros(3), (P, y), epochs=2, batch_size=5, lr=0.1, generator=seeded()
        ).params
    ),
}


def first_label(_: Tensor, y: Tensor) -> Tensor:
    return y[0]


def is_other(label: Tensor, _: Tensor, y: Tensor) -> Tensor:
    return (y.long() != label.long()).double()


def cross_entropy_of_shifted(shift: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return losses.cross_entropy(x + shift, y.long())


def flat(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [tensor for part in value for tensor in flat(part)]


def test_each_function_that_takes_integers_is_called_here() -> None:
    takes_integers = {
        name
        for name, function in public_functions().items()
        if any("Int" in str(parameter.annotation) for parameter in inspect.signature(function).parameters.values())
    }

    assert takes_integers == set(CALLS)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", sorted(CALLS))
def test_each_kind_of_integer_gives_what_int64_gives(name: str, kind: torch.dtype) -> None:
    found, expected = flat(CALLS[name](LABELS.to(kind))), flat(CALLS[name](LABELS))

    assert len(found) == len(expected) > 0
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", sorted(ROWS))
def test_rows_of_each_kind_of_integer_are_those_of_int64(name: str, kind: torch.dtype) -> None:
    found, expected = flat(ROWS[name](LABELS.to(kind))), flat(ROWS[name](LABELS))

    assert len(found) == len(expected) > 0
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x.to(y.dtype), y)


@pytest.mark.parametrize("name", sorted(INDICES))
def test_an_index_above_int64_is_an_error_that_shows_it(name: str) -> None:
    labels = torch.tensor([0, 1, 2, 0, 2**64 - 1, 2, 1, 0, 2, 1, 0, 0], dtype=torch.uint64)

    with pytest.raises(ValueError, match=r"labels must be < 2\*\*63, got 18446744073709551615 at index 4"):
        INDICES[name](labels)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_classes_above_int64_remain_distinct(name: str) -> None:
    shift = 2**64 - 3
    large = torch.tensor([int(y) + shift for y in LABELS], dtype=torch.uint64)
    found, expected = flat(CLASSES[name](large)), flat(CLASSES[name](LABELS))

    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)
