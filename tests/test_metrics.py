"""Accuracy, confusion and calibration against scikit-learn, their definitions and their extremes."""

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dlcore import metrics

pairs = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n).map(torch.tensor)] * 2)
)


# Accuracy


@pytest.mark.held_against("scikit-learn", metrics.accuracy)
@given(pairs)
def test_accuracy_agrees_with_scikit_learn(pair: tuple[Tensor, Tensor]) -> None:
    labels, predictions = pair

    expected = sklearn.metrics.accuracy_score(labels.numpy(), predictions.numpy())

    assert metrics.accuracy(labels, predictions).item() == pytest.approx(expected, rel=1e-6)


def test_accuracy_takes_every_integer_width_and_any_shape() -> None:
    labels = torch.tensor([[0, 1], [2, 3]], dtype=torch.uint8)

    assert metrics.accuracy(labels, labels.to(torch.int64)) == 1
    assert metrics.accuracy(labels, labels.flip(0).to(torch.int32)) == 0


def test_accuracy_counts_exactly_where_float32_could_not() -> None:
    labels = torch.zeros(2**24 + 2, dtype=torch.uint8)
    predictions = labels.clone()
    predictions[: 2**23 + 1] = 1

    assert metrics.accuracy(labels, predictions) == 0.5


# The confusion matrix


@pytest.mark.held_against("scikit-learn", metrics.confusion_matrix)
@given(pairs, st.sampled_from([None, "true", "predicted", "all"]))
def test_confusion_matrix_agrees_with_scikit_learn(pair: tuple[Tensor, Tensor], normalize: Any) -> None:
    labels, predictions = pair

    actual = metrics.confusion_matrix(labels, predictions, n_classes=4, normalize=normalize)

    expected = sklearn.metrics.confusion_matrix(
        labels.numpy(),
        predictions.numpy(),
        labels=range(4),
        normalize="pred" if normalize == "predicted" else normalize,
    )
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-6)


@pytest.mark.held_against("its definition", metrics.confusion_matrix)
@given(pairs)
def test_confusion_matrix_is_its_definition(pair: tuple[Tensor, Tensor]) -> None:
    labels, predictions = pair

    actual = metrics.confusion_matrix(labels, predictions, n_classes=5)

    assert actual.dtype == torch.int64
    for j in range(5):
        for k in range(5):
            assert actual[j, k] == int(((labels == j) & (predictions == k)).sum())


@given(pairs)
def test_accuracy_is_the_diagonal_of_the_joint_distribution(pair: tuple[Tensor, Tensor]) -> None:
    joint = metrics.confusion_matrix(*pair, n_classes=4, normalize="all")

    torch.testing.assert_close(joint.trace(), metrics.accuracy(*pair))
    torch.testing.assert_close(joint.sum(), torch.tensor(1.0))


def test_rows_are_the_true_classes_and_columns_the_predicted_ones() -> None:
    labels, predictions = torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1])

    assert metrics.confusion_matrix(labels, predictions, n_classes=2).tolist() == [[0, 2], [0, 1]]
    assert metrics.confusion_matrix(predictions, labels, n_classes=2).tolist() == [[0, 0], [2, 1]]


def test_a_class_without_examples_keeps_a_row_of_zeros() -> None:
    labels, predictions = torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2])

    by_truth = metrics.confusion_matrix(labels, predictions, n_classes=3, normalize="true")

    assert by_truth.tolist() == [[0.5, 0, 0.5], [0, 0, 0], [0, 0, 1]]


def test_narrow_integers_do_not_wrap_around() -> None:
    labels = torch.tensor([199, 200], dtype=torch.uint8)

    counts = metrics.confusion_matrix(labels, labels, n_classes=201)

    assert (counts[199, 199], counts[200, 200], counts.sum()) == (1, 1, 2)


# Calibration


def calibration_error_as_defined(labels: Tensor, probabilities: Tensor, n_bins: int) -> float:
    """Return the expected calibration error, bin by bin, as defined in the paper."""
    confidences, predictions = probabilities.max(dim=1)
    error = 0.0
    for m in range(1, n_bins + 1):
        inside = (confidences > (m - 1) / n_bins) & (confidences <= m / n_bins)
        if m == 1:
            inside |= confidences == 0
        if inside.any():
            accuracy = (predictions == labels)[inside].double().mean()
            share = int(inside.sum()) / len(labels)
            error += share * abs(accuracy - confidences[inside].mean()).item()
    return error


@pytest.mark.held_against("its definition", metrics.calibration_error)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 20), st.integers(0, 1000))
def test_calibration_error_is_its_definition(n: int, k: int, n_bins: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(n, k, dtype=torch.float64, generator=generator).softmax(dim=1)
    labels = torch.randint(k, (n,), generator=generator)

    actual = metrics.calibration_error(labels, probabilities, n_bins=n_bins)

    assert actual.item() == pytest.approx(calibration_error_as_defined(labels, probabilities, n_bins), abs=1e-12)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    half, above = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.5 + 2**-20, 0.5 - 2**-20]])
    labels = torch.tensor([0, 1])

    together = metrics.calibration_error(labels, torch.cat([half, half]), n_bins=2)
    apart = metrics.calibration_error(labels, torch.cat([half, above]), n_bins=2)

    assert together == 0
    assert apart == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("n_bins", [5, 10, 15])
def test_bin_edges_that_are_not_binary_fractions_are_compared_exactly(n_bins: int) -> None:
    confidences = torch.arange(1, n_bins + 1) / n_bins
    wrong = torch.ones(n_bins, dtype=torch.int64)

    error = metrics.calibration_error(wrong, torch.stack([confidences, torch.zeros(n_bins)], dim=1), n_bins=n_bins)

    torch.testing.assert_close(error, confidences.mean())


def test_a_classifier_that_samples_its_own_probabilities_is_calibrated() -> None:
    n, n_bins = 200_000, 10
    probabilities = (2 * torch.randn(n, 3, dtype=torch.float64)).softmax(dim=1)
    labels = torch.multinomial(probabilities, 1)[:, 0]

    error = metrics.calibration_error(labels, probabilities, n_bins=n_bins)
    overconfident = metrics.calibration_error(labels, (3 * probabilities.log()).softmax(dim=1), n_bins=n_bins)

    # the gap of a bin has standard deviation at most 1 / (2 sqrt(n_m)); Cauchy-Schwarz bounds the sum by this
    assert error < math.sqrt(n_bins / n)
    assert overconfident > 0.1


def test_gradient_of_calibration_error_pulls_confidence_towards_accuracy() -> None:
    probabilities = torch.tensor([[0.75, 0.25], [0.75, 0.25]], dtype=torch.float64)

    gradient = torch.func.grad(lambda p: metrics.calibration_error(torch.tensor([0, 1]), p))(probabilities)

    assert gradient.tolist() == [[0.5, 0], [0.5, 0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_in_float32(dtype: torch.dtype) -> None:
    probabilities = torch.tensor([[0.75, 0.25]], dtype=dtype).expand(4000, 2)
    labels = (torch.arange(4000) % 2).to(torch.int64)

    assert metrics.calibration_error(labels, probabilities) == 0.25


def test_certain_predictions_are_accepted_and_nan_is_refused() -> None:
    labels = torch.tensor([0, 1])

    assert metrics.calibration_error(labels, torch.eye(2)) == 0
    assert metrics.calibration_error(labels, torch.eye(2).flip(0)) == 1
    with pytest.raises(ValueError, match=r"^probabilities must be in \[0, 1\], got nan at index 1$"):
        metrics.calibration_error(labels, torch.tensor([[1.0, 0.0], [math.nan, 0.0]]))


def test_calibration_error_of_ten_million_examples_is_exact() -> None:
    n = 10**7

    error = metrics.calibration_error(torch.arange(n) % 2, torch.tensor([[0.9, 0.1]]).expand(n, 2))

    torch.testing.assert_close(error, torch.tensor(0.4), rtol=1e-6, atol=0)


def test_memory_for_many_bins_does_not_grow_with_the_examples() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(2000, 2, dtype=torch.float64, generator=generator)
    labels = torch.randint(2, (2000,), generator=generator)

    few = metrics.calibration_error(labels, probabilities, n_bins=2000)
    many = metrics.calibration_error(labels, probabilities, n_bins=10**7)  # a table of n times bins would be 20 GB

    assert few.item() == pytest.approx(calibration_error_as_defined(labels, probabilities, 2000))
    confidences, predictions = probabilities.max(dim=1)  # each bin then holds at most one example
    assert many.item() == pytest.approx((confidences - (predictions == labels).double()).abs().mean().item(), rel=1e-2)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.uint32, torch.uint64])
def test_every_integer_dtype_is_accepted(dtype: torch.dtype) -> None:
    labels, predictions = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 2, 2, 1])

    for y, guess in ((labels.to(dtype), predictions), (labels, predictions.to(dtype)), (labels.to(dtype),) * 2):
        expected = metrics.confusion_matrix(y.long(), guess.long(), n_classes=3)
        assert torch.equal(metrics.confusion_matrix(y, guess, n_classes=3), expected)
        assert metrics.accuracy(y, guess) == metrics.accuracy(y.long(), guess.long())
    assert metrics.calibration_error(labels.to(dtype), torch.eye(3)[predictions]) == 0.25


def test_numpy_integers_are_accepted(plain: ModuleType) -> None:
    metrics, labels = plain.metrics, torch.tensor([0, 1, 1])

    assert metrics.confusion_matrix(labels, labels, n_classes=np.int64(2)).tolist() == [[1, 0], [0, 2]]
    assert metrics.confusion_matrix(labels, labels, n_classes=np.int8(100)).shape == (100, 100)
    assert metrics.calibration_error(labels, torch.eye(2)[labels], n_bins=np.int64(5)) == 0
