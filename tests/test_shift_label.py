"""Label shift against independent solutions and against silent errors of other packages."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, Tensor

from dlcore import _newton, linear, metrics
from dlcore._numerics import simplex_projection
from dlcore._shards import OneProcess
from dlcore._torch import cholesky
from dlcore.shift import label
from dlcore.shift.label import LabelShift, LabelShiftReport, _calibration, _expectation, _fused
from dlcore.shift.label._assumptions import accuracy_gain, invariance_test
from dlcore.shift.label._interval import prior_interval
from dlcore.shift.label._rows import ClassifierOutputs, resampled_counts, resampled_means

ESTIMATES: list[Callable[..., LabelShift]] = [label.bbse, label.rlls, label.saerens_em]
Sample = tuple[Tensor, Tensor, Tensor, Tensor]
seeds = st.integers(0, 10_000)


def generator_of(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)


def logits_of(labels: Tensor, source_prior: Tensor, separation: float, generator: Generator) -> Tensor:
    """Draw inputs N(separation e_y, I), and return the logarithms of their exact posteriors, up to a constant."""
    k = len(source_prior)
    x = torch.randn(len(labels), k, dtype=torch.float64, generator=generator)
    return separation * (x + separation * torch.eye(k, dtype=torch.float64)[labels]) + source_prior.log()


def sample(
    seed: int,
    target_prior: list[float],
    *,
    n: int = 500,
    m: int = 500,
    separation: float = 2.0,
    sharpness: float = 1.0,
) -> Sample:
    """Draw source probabilities and labels, target probabilities and labels; exact posteriors at a sharpness of 1."""
    generator, k = generator_of(seed), len(target_prior)
    source_prior = torch.full((k,), 1 / k, dtype=torch.float64)
    labels = torch.arange(n) % k
    target_labels = torch.multinomial(torch.tensor(target_prior), m, replacement=True, generator=generator)
    source, target = (
        (sharpness * logits_of(y, source_prior, separation, generator)).softmax(dim=1) for y in (labels, target_labels)
    )
    return source, labels, target, target_labels


def shares(labels: Tensor, k: int) -> Tensor:
    return torch.bincount(labels, minlength=k) / len(labels)


def joint_matrix(probabilities: Tensor, labels: Tensor, *, soft: bool) -> np.ndarray[Any, Any]:
    """Return the matrix C row by row, by the definition."""
    k = probabilities.shape[1]
    outputs = probabilities if soft else torch.eye(k, dtype=torch.float64)[probabilities.argmax(dim=1)]
    matrix = np.zeros((k, k))
    for row, y in zip(outputs.numpy(), labels.tolist(), strict=True):
        matrix[:, y] += row / len(labels)
    return matrix


def mean_prediction(probabilities: Tensor, *, soft: bool) -> np.ndarray[Any, Any]:
    outputs = probabilities if soft else torch.eye(probabilities.shape[1])[probabilities.argmax(dim=1)].double()
    return outputs.mean(dim=0).numpy()


def by_plain_em(target: Tensor, source_prior: Tensor, steps: int = 2000) -> Tensor:
    """Repeat the update as Saerens, Latinne and Decaestecker print it."""
    prior = source_prior
    for _ in range(steps):
        posterior = target * (prior / source_prior)
        prior = (posterior / posterior.sum(dim=1, keepdim=True)).mean(dim=0)
    return prior


# The confusion matrix


@pytest.mark.held_against("NumPy", label.bbse)
@pytest.mark.parametrize("soft", [False, True])
@settings(max_examples=20)
@given(seed=seeds)
def test_bbse_solves_the_equation_of_its_definition(soft: bool, seed: int) -> None:
    source, labels, target, _ = sample(seed, [0.5, 0.3, 0.2], n=120, m=90)

    shift = label.bbse(source, labels, target, soft=soft, n_resamples=0)

    weights = np.linalg.solve(joint_matrix(source, labels, soft=soft), mean_prediction(target, soft=soft))
    np.testing.assert_allclose(shift.source_prior.numpy(), shares(labels, 3).numpy())
    if weights.min() >= 0:
        np.testing.assert_allclose(shift.weights.numpy(), weights, atol=1e-9)
    assert shift.report.projected == (weights.min() < -1e-9)


@pytest.mark.held_against("NumPy", label.bbse)
def test_the_column_normalized_matrix_gives_the_prior_and_the_joint_one_the_weights() -> None:
    labels = torch.tensor([0] * 60 + [1] * 20)
    predictions = torch.tensor([0] * 48 + [1] * 12 + [0] * 5 + [1] * 15)
    target = torch.eye(2, dtype=torch.float64)[[0] * 21 + [1] * 19]

    shift = label.bbse(torch.eye(2, dtype=torch.float64)[predictions], labels, target, n_resamples=0)

    joint = metrics.confusion_matrix(labels, predictions, n_classes=2, normalize="all").T.double()
    conditional = metrics.confusion_matrix(labels, predictions, n_classes=2, normalize="true").T.double()
    mean = target.mean(dim=0)
    torch.testing.assert_close(conditional @ shift.target_prior, mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(joint @ shift.weights, mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(shift.weights, shift.target_prior / torch.tensor([0.75, 0.25]).double())
    assert (joint @ shift.target_prior - mean).abs().max() > 0.1
    assert shift.condition_number == pytest.approx(np.linalg.cond(conditional.numpy()), rel=1e-5)


@settings(max_examples=20)
@given(st.integers(1, 6), seeds)
def test_projection_is_the_nearest_distribution(k: int, seed: int) -> None:
    v = 2 * torch.randn(k, dtype=torch.float64, generator=generator_of(seed))

    nearest = simplex_projection(v)

    assert nearest.min() >= 0
    assert nearest.sum().item() == pytest.approx(1, abs=1e-12)
    # the way from the nearest point to v must not lead nearer to any corner
    assert ((torch.eye(k, dtype=torch.float64) - nearest) @ (v - nearest)).max() <= 1e-9


@pytest.mark.held_against("SciPy", label.rlls)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.02, 0.3, 1.0, 5.0])
def test_rlls_is_at_the_minimum_of_its_definition(soft: bool, penalty: float) -> None:
    source, labels, target, _ = sample(1, [0.35, 0.35, 0.3], n=200, m=200, separation=1.0)
    matrix, mean = joint_matrix(source, labels, soft=soft), mean_prediction(target, soft=soft)

    shift = label.rlls(source, labels, target, soft=soft, penalty=penalty, n_resamples=0)

    def objective(theta: np.ndarray[Any, Any]) -> float:
        residual = matrix @ theta - (mean - matrix.sum(axis=1))
        return float(np.linalg.norm(residual) + penalty * np.linalg.norm(theta))

    options = {"xatol": 1e-12, "fatol": 1e-15, "maxiter": 20_000, "maxfev": 20_000}
    best = min(
        (scipy.optimize.minimize(objective, start, method="Nelder-Mead", options=options) for start in 0.1 * np.eye(3)),
        key=lambda found: found.fun,
    )
    solution = shift.source_prior * (1 + torch.as_tensor(best.x))
    torch.testing.assert_close(shift.target_prior, simplex_projection(solution), atol=1e-5, rtol=0)


def test_the_default_penalty_is_a_hundredth_of_the_bound_in_the_docstring() -> None:
    source, labels, target, _ = sample(0, [0.4, 0.35, 0.25], n=200, m=200, separation=0.2)
    bound = math.log(40 * 3) / 200
    penalty = 0.01 * 3 * (2 * bound / 3 + math.sqrt(2 * bound))

    found, by_hand, larger = (
        label.rlls(source, labels, target, n_resamples=0, **options).weights
        for options in ({}, {"penalty": penalty}, {"penalty": 1.01 * penalty})
    )

    torch.testing.assert_close(found, by_hand)
    assert (found - larger).abs().max() > 1e-5


def test_rlls_is_bbse_far_from_a_singular_matrix_and_no_shift_under_a_large_penalty() -> None:
    source, labels, target, _ = sample(0, [0.6, 0.3, 0.1])

    regular = label.rlls(source, labels, target, n_resamples=0)
    none = label.rlls(source, labels, target, penalty=100, n_resamples=0)

    torch.testing.assert_close(regular.weights, label.bbse(source, labels, target, n_resamples=0).weights)
    torch.testing.assert_close(none.weights, torch.ones(3, dtype=torch.float64))


def test_negative_solutions_are_projected_so_that_the_weights_times_the_source_prior_sum_to_one() -> None:
    negative = 0
    for seed in range(40):
        source, labels, target, _ = sample(seed, [0.98, 0.02, 0.0], n=90, m=60, separation=1.5)

        for estimate in (label.bbse, label.rlls):
            shift = estimate(source, labels, target, n_resamples=0)

            assert shift.target_prior.min() >= 0
            assert (shift.weights * shift.source_prior).sum().item() == pytest.approx(1, abs=1e-12)
            assert shift.report.projected == (shift.report.smallest_solution < -1e-9)
            assert ("projected              yes" in str(shift.report)) == shift.report.projected
            negative += shift.report.projected
    assert negative > 10


# Expectation maximization


@pytest.mark.held_against("its definition", label.saerens_em)
@settings(max_examples=20)
@given(seeds, st.sampled_from([1.0, 3.0]))
def test_em_is_where_the_plain_update_ends(seed: int, sharpness: float) -> None:
    source, labels, target, _ = sample(seed, [0.5, 0.3, 0.2], n=60, m=40, sharpness=sharpness)

    shift = label.saerens_em(source, labels, target, n_resamples=0)

    prior = by_plain_em(target, source.mean(dim=0))
    torch.testing.assert_close(shift.target_prior, prior, atol=2e-3, rtol=0)


@settings(max_examples=20)
@given(seeds, st.floats(0.2, 8.0), st.integers(2, 6))
def test_no_prior_is_more_likely_than_that_of_em(seed: int, sharpness: float, k: int) -> None:
    prior = [0.0, 0.9] + [0.1 / (k - 1)] * (k - 2) if k > 2 else [0.1, 0.9]
    source, labels, target, _ = sample(seed, prior, n=20 * k, m=30, sharpness=sharpness)

    shift = label.saerens_em(source, labels, target, n_resamples=0)

    # the log-likelihood is concave, so its slopes towards the corners bound what is left to gain
    ratios = target / source.mean(dim=0)
    slopes = (ratios / (ratios @ shift.target_prior)[:, None]).mean(dim=0)
    assert slopes.max() <= 1 + 1e-8
    assert shift.target_prior.sum().item() == pytest.approx(1, abs=1e-9)
    assert shift.target_prior.min() >= 0


def test_em_finds_no_shift_where_the_target_is_the_source() -> None:
    source, labels, _, _ = sample(0, [0.5, 0.5], sharpness=4)

    shift = label.saerens_em(source, labels, source, n_resamples=0)

    torch.testing.assert_close(shift.weights, torch.ones(2, dtype=torch.float64), atol=1e-6, rtol=0)


def test_em_settles_where_a_class_dies_out_and_classifiers_are_certain() -> None:
    source, labels, target, target_labels = sample(3, [0.0, 0.97, 0.01, 0.01, 0.01], m=800, sharpness=12)

    shift = label.saerens_em(source, labels, target, calibrate=True, n_resamples=0)

    assert (shift.target_prior - shares(target_labels, 5)).abs().max() < 0.03


# Calibration


def loss_of(params: np.ndarray[Any, Any], logits: Tensor, labels: Tensor, penalty: float) -> float:
    log_p = (params[0] * logits + torch.as_tensor(params[1:])).log_softmax(dim=1)
    return -(log_p[torch.arange(len(labels)), labels].sum() + penalty * log_p.mean()).item()


@pytest.mark.held_against("SciPy", label.bias_corrected_temperature)
@pytest.mark.parametrize("penalty", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("scale", [0.2, 1.0, 30.0])
def test_calibration_is_at_the_minimum_that_scipy_finds(penalty: float, scale: float) -> None:
    source, labels, _, _ = sample(0, [0.2, 0.3, 0.5], n=90)
    logits = scale * (source.log() + torch.tensor([0.5, 0.0, -1.0]))

    calibrator = label.bias_corrected_temperature(logits, labels, penalty=penalty)

    found = scipy.optimize.minimize(loss_of, [1 / scale, 0, 0, 0], args=(logits, labels, penalty), tol=1e-12)
    params = np.array([1 / calibrator.temperature.item(), *calibrator.biases.tolist()])
    assert loss_of(params, logits, labels, penalty) <= found.fun + 1e-9
    assert params[0] == pytest.approx(found.x[0], rel=1e-3)
    np.testing.assert_allclose(params[1:], found.x[1:] - found.x[1:].mean(), atol=1e-3 * scale)


@pytest.mark.held_against("SciPy", label.bias_corrected_temperature)
def test_a_classifier_that_knows_little_is_calibrated_from_the_shares_of_the_labels() -> None:
    labels = torch.tensor([0] * 180 + [1] * 20)
    logits = torch.randn(200, 2, dtype=torch.float64, generator=generator_of(0))
    logits[:, 0] += 0.3 * (labels == 0)

    calibrator = label.bias_corrected_temperature(logits, labels)

    found = scipy.optimize.minimize(loss_of, [0, 0, 0], args=(logits, labels, 1.0), tol=1e-12)
    params = np.array([1 / calibrator.temperature.item(), *calibrator.biases.tolist()])
    assert loss_of(params, logits, labels, 1.0) <= found.fun + 1e-9


@settings(max_examples=20)
@given(seeds)
def test_without_penalty_the_mean_probabilities_are_the_shares_of_the_labels(seed: int) -> None:
    source, labels, _, _ = sample(seed, [0.2, 0.3, 0.5], n=100, sharpness=3)

    calibrator = label.bias_corrected_temperature(source.log(), labels, penalty=0)

    torch.testing.assert_close(calibrator(source.log()).mean(dim=0), shares(labels, 3).double(), atol=1e-7, rtol=0)
    assert calibrator.biases.sum().abs() < 1e-9


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 4.0])
def test_temperature_undoes_what_made_the_classifier_over_or_under_confident(sharpness: float) -> None:
    source, labels, _, _ = sample(0, [0.2, 0.3, 0.5], n=6000)
    bias = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)

    calibrator = label.bias_corrected_temperature(sharpness * source.log() + bias, labels)

    assert calibrator.temperature.item() == pytest.approx(sharpness, rel=0.06)
    torch.testing.assert_close(calibrator.biases, -bias / sharpness, atol=0.15 / sharpness, rtol=0.1)


def test_a_calibrator_calibrates_the_target_as_the_source() -> None:
    source, labels, target, target_labels = sample(0, [0.7, 0.2, 0.1], n=2000, m=2000, separation=1.2, sharpness=5)
    calibrate = label.bias_corrected_temperature(source.log(), labels)
    truth = shares(target_labels, 3).double()

    at_once = label.saerens_em(source, labels, target, calibrate=True, n_resamples=0).target_prior
    both = label.saerens_em(calibrate(source.log()), labels, calibrate(target.log()), n_resamples=0).target_prior
    one_side = label.saerens_em(calibrate(source.log()), labels, target, n_resamples=0).target_prior
    neither = label.saerens_em(source, labels, target, n_resamples=0).target_prior

    torch.testing.assert_close(at_once, both)
    assert (both - neither).abs().max() > 0.02
    errors = [(prior - truth).abs().max().item() for prior in (both, one_side, neither)]
    assert errors[0] < 0.03
    assert errors[0] < min(errors[1:]) / 2


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_calibration_does_not_depend_on_the_scale_of_logits(scale: float) -> None:
    source, labels, _, _ = sample(0, [0.2, 0.3, 0.5], n=90)

    calibrated = label.bias_corrected_temperature(source.log(), labels, penalty=0)(source.log())
    scaled = label.bias_corrected_temperature(scale * source.log(), labels, penalty=0)(scale * source.log())

    torch.testing.assert_close(scaled, calibrated)


def test_calibrator_keeps_dtype_and_refuses_another_number_of_classes() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]]), torch.tensor([0, 1, 1])
    calibrate = label.bias_corrected_temperature(logits, labels)

    assert calibrate(logits.to(torch.bfloat16)).dtype == torch.bfloat16
    assert calibrate(logits.double()).dtype == torch.float64
    assert calibrate(logits[0]).shape == (2,)
    with pytest.raises(ValueError, match=r"^logits must have shape \(\*, 2\), got \(3, 1\)$"):
        calibrate(logits[:, :1])


def test_a_perfect_classifier_is_calibrated_under_a_penalty() -> None:
    labels = torch.arange(40) % 2

    shift = label.saerens_em(torch.eye(2)[labels], labels, torch.eye(2)[[0, 0, 0, 1]], calibrate=True)

    torch.testing.assert_close(shift.target_prior, torch.tensor([0.75, 0.25]), atol=0.01, rtol=0)


@pytest.mark.parametrize("wrong", [0, 1, 5])
@pytest.mark.parametrize("k", [2, 3, 10, 100])
def test_posteriors_of_exactly_0_and_1_are_calibrated_though_no_curvature_is_where_they_are(k: int, wrong: int) -> None:
    labels = torch.arange(20 * k) % k
    outputs = torch.eye(k, dtype=torch.float64)[labels]
    true = torch.where(torch.arange(len(labels)) < wrong, (labels + 1) % k, labels)

    shift = label.saerens_em(outputs, true, outputs, calibrate=True, n_resamples=0)

    torch.testing.assert_close(shift.target_prior, shares(true, k).double(), atol=0.01, rtol=0)


def test_steps_that_are_too_long_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    source, labels, _, _ = sample(0, [0.2, 0.3, 0.5], n=90, sharpness=3)
    expected = label.bias_corrected_temperature(source.log(), labels)

    monkeypatch.setattr(_newton, "cholesky", lambda x: cholesky(x / 30))
    monkeypatch.setattr(_calibration, "TOLERANCE", 1e-10)
    found = label.bias_corrected_temperature(source.log(), labels)

    torch.testing.assert_close(found.temperature, expected.temperature, rtol=1e-4, atol=0)


def test_searches_that_reach_nothing_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    source, labels, target, _ = sample(0, [0.2, 0.3, 0.5], n=90, sharpness=3)
    monkeypatch.setattr(_newton, "MAX_STEPS", 2)
    monkeypatch.setattr(_expectation, "EM_STEPS", 0)
    monkeypatch.setattr(_fused, "MAX_STEPS", 2)

    with pytest.raises(RuntimeError, match="no minimum found in 2 steps"):
        label.bias_corrected_temperature(source.log(), labels)
    with pytest.raises(RuntimeError, match="no most likely prior found in 2 steps"):
        label.saerens_em(source, labels, target)
    monkeypatch.setattr(_newton, "cholesky", lambda x: (torch.eye(len(x)).to(x), torch.ones(())))
    with pytest.raises(RuntimeError, match=r"no minimum found: .*; lower penalty, or the range of logits"):
        label.bias_corrected_temperature(source.log(), labels)


@settings(max_examples=50)
@given(seed=seeds, k=st.integers(1, 8))
def test_nonnegative_minimum_is_where_no_entry_can_be_bettered(seed: int, k: int) -> None:
    generator = generator_of(seed)
    roots = torch.randn(k + 3, k, dtype=torch.float64, generator=generator)
    roots = roots * torch.randn(k, dtype=torch.float64, generator=generator).mul(4).exp()
    hessian = roots.T @ roots
    c = torch.randn(5, k, dtype=torch.float64, generator=generator) @ hessian.diagonal().sqrt().diag()

    x = _fused.nonnegative_minimum(hessian, c)

    scale = hessian.diagonal().sqrt()
    slopes = (x @ hessian - c) / scale
    assert (x >= 0).all()
    assert slopes.min() >= -1e-6
    assert (slopes * (x * scale)).abs().max() <= 1e-5


def test_a_nonnegative_minimum_that_is_not_found_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fused, "MAX_ROUNDS_PER_CLASS", 1)
    source, labels, target, _ = sample(0, [0.98, 0.01, 0.01], n=3000, m=3000)
    hessian = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    c = torch.tensor([[1.0, -1.0]], dtype=torch.float64)

    assert _fused.nonnegative_minimum(hessian, c).tolist() == [[pytest.approx(1), 0]]
    monkeypatch.setattr(_fused, "MAX_ROUNDS_PER_CLASS", 0)
    with pytest.raises(
        RuntimeError, match=r"no nonnegative prior found in 0 rounds: .*source_probabilities.*merge them"
    ):
        label.saerens_em(source, labels, target)


# Right answers on any path


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("target_prior", [[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
def test_estimates_come_near_the_truth(estimate: Callable[..., LabelShift], target_prior: list[float]) -> None:
    source, labels, target, target_labels = sample(0, target_prior, n=30_000, m=30_000)

    shift = estimate(source, labels, target, n_resamples=0)

    assert (shift.target_prior - shares(target_labels, 3)).abs().max() < 0.015
    torch.testing.assert_close(shift.weights, shift.target_prior / shift.source_prior)
    assert shift.report.trustworthy


def test_em_on_calibrated_probabilities_is_the_most_exact() -> None:
    errors = torch.zeros(3)
    for seed in range(30):
        source, labels, target, target_labels = sample(seed, [0.8, 0.15, 0.05], separation=1.5)
        for i, estimate in enumerate(ESTIMATES):
            prior = estimate(source, labels, target, n_resamples=0).target_prior
            errors[i] += (prior - shares(target_labels, 3)).square().mean()

    assert errors[2] < 0.8 * errors[0]
    assert errors[2] < 0.8 * errors[1]


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_order_of_rows_and_names_of_classes_do_not_matter(estimate: Callable[..., LabelShift]) -> None:
    source, labels, target, _ = sample(0, [0.5, 0.3, 0.2], n=60, m=40)
    rows, names = torch.randperm(60), torch.tensor([2, 0, 1])

    shift = estimate(source, labels, target, n_resamples=0)
    shuffled = estimate(source[rows], labels[rows], target.flip(0), n_resamples=0)
    renamed = estimate(source[:, names], names.argsort()[labels], target[:, names], n_resamples=0)

    torch.testing.assert_close(shuffled.target_prior, shift.target_prior, atol=1e-7, rtol=0)
    torch.testing.assert_close(renamed.target_prior, shift.target_prior[names], atol=1e-7, rtol=0)


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_everywhere(estimate: Callable[..., LabelShift], dtype: torch.dtype) -> None:
    source, labels, target, _ = sample(0, [0.5, 0.3, 0.2])

    shift = estimate(source.to(dtype), labels.to(torch.uint8), target.to(dtype))

    assert shift.interval is not None
    assert {x.dtype for x in (shift.target_prior, shift.source_prior, shift.weights, shift.interval)} == {dtype}
    expected = estimate(source, labels, target).target_prior
    torch.testing.assert_close(shift.target_prior.double(), expected, atol=0.02, rtol=0)


def test_extra_outputs_are_told_by_an_error_and_narrow_labels_do_not_wrap_around() -> None:
    k = 200
    labels = torch.arange(400, dtype=torch.int64).remainder(k).to(torch.uint8)
    source = (0.9 * torch.eye(k) + 0.1 / k)[labels.long()]

    shift = label.bbse(source, labels, source[:k], soft=True, n_resamples=0)

    torch.testing.assert_close(shift.weights, torch.ones(k), atol=1e-4, rtol=0)


# What is silently wrong elsewhere: singular matrices, zeros, and rows that are no distributions


def test_a_singular_confusion_matrix_is_refused_by_bbse_and_reported_by_rlls() -> None:
    labels = torch.arange(60) % 3
    blind = torch.full((60, 3), 1 / 3)
    target = torch.full((30, 3), 1 / 3)

    for soft in (False, True):
        with pytest.raises(
            ValueError, match="must distinguish the classes, but their confusion matrix has rank 1 of 3"
        ):
            label.bbse(blind, labels, target, soft=soft)
        shift = label.rlls(blind, labels, target, soft=soft)

        assert shift.condition_number == math.inf
        assert not shift.report.trustworthy
        assert shift.report.verdict.startswith("Do not trust this prior: the confusion matrix is singular")


def test_an_almost_singular_confusion_matrix_is_reported_and_gives_no_huge_weights() -> None:
    labels = torch.arange(90) % 3
    source = torch.eye(3, dtype=torch.float64)[labels]
    source[:, :2] = source[:, :2].sum(dim=1, keepdim=True) / 2
    source[:, 0] += 1e-6 * (labels == 0)
    source /= source.sum(dim=1, keepdim=True)
    target = source[:20].clone()
    target[:, 0] *= 1 + 1e-3

    for estimate in ESTIMATES:
        soft = {} if estimate is label.saerens_em else {"soft": True}
        shift = estimate(source, labels, target / target.sum(dim=1, keepdim=True), **soft)

        assert shift.condition_number > 1e6
        assert shift.weights.max() <= 3 + 1e-9
        assert "the confusion matrix may be singular" in shift.report.verdict


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_a_class_absent_from_validation_is_refused(estimate: Callable[..., LabelShift]) -> None:
    source, labels, target, _ = sample(0, [0.5, 0.3, 0.2], n=60)

    with pytest.raises(ValueError, match=r"^the number of each label in source_labels must be >= 1, got 0 at index 1$"):
        estimate(source, labels.where(labels != 1, 2), target)


def test_a_class_never_predicted_is_named_and_does_no_harm_to_soft_estimates() -> None:
    source, labels, target, target_labels = sample(0, [0.2, 0.3, 0.5], n=30_000, m=30_000, separation=1)
    source, target = ((p.log() - torch.tensor([0.0, 0.0, 9.0])).softmax(dim=1) for p in (source, target))

    with pytest.raises(ValueError, match="rank 2 of 3; never predicted: 2;"):
        label.bbse(source, labels, target)
    hard = label.rlls(source, labels, target, n_resamples=0)
    calibrated = label.saerens_em(source, labels, target, calibrate=True, n_resamples=0)

    assert hard.report.verdict.endswith("the confusion matrix is singular; never predicted: 2.")
    assert calibrated.report.trustworthy
    assert (calibrated.target_prior - shares(target_labels, 3)).abs().max() < 0.02


def test_a_source_prior_with_a_zero_is_refused_because_em_would_put_all_on_that_class() -> None:
    labels = torch.arange(60) % 3
    source = torch.tensor([[0.5, 0.5, 0.0]]).expand(60, 3)
    target = torch.tensor([[0.5, 0.499, 0.001]]).expand(20, 3)

    with pytest.raises(ValueError, match=r"mean source probability of each class must be > 0, got 0\.0 at index 2"):
        label.saerens_em(source, labels, target)


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.0, 0.0, 0.0], "the sum of each row of target_probabilities must be 1, got 0.0 at index 7"),
        ([0.9, 0.9, 0.1], "the sum of each row of target_probabilities must be 1, got 1.9"),
        ([0.5, math.nan, 0.5], "target_probabilities must be in [0, 1], got nan at index (7, 1)"),
        ([0.5, math.inf, 0.5], "target_probabilities must be in [0, 1], got inf at index (7, 1)"),
        ([-0.1, 0.6, 0.5], "target_probabilities must be in [0, 1], got -0.1 at index (7, 0)"),
    ],
)
def test_an_all_zero_posterior_row_and_other_rows_that_are_no_distribution_are_refused(
    estimate: Callable[..., LabelShift], row: list[float], message: str
) -> None:
    source, labels, target, _ = sample(0, [0.5, 0.3, 0.2], n=60)
    target[7] = torch.tensor(row, dtype=torch.float64)

    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is compared below
        estimate(source, labels, target)

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_posteriors_of_exactly_0_and_1_give_the_shares_of_the_predictions(estimate: Callable[..., LabelShift]) -> None:
    labels = torch.arange(60) % 3
    target = torch.eye(3)[[0] * 14 + [1] * 6]

    shift = estimate(torch.eye(3)[labels], labels, target)

    torch.testing.assert_close(shift.target_prior, torch.tensor([0.7, 0.3, 0.0]))
    torch.testing.assert_close(shift.weights, torch.tensor([2.1, 0.9, 0.0]))
    assert shift.condition_number == pytest.approx(1)
    assert shift.interval is not None
    assert shift.interval.isfinite().all()


def test_rows_that_miss_1_by_rounding_are_divided_by_their_sum() -> None:
    source, labels, target, _ = sample(0, [0.5, 0.3, 0.2])
    rounded = (1000 * source).round() / 1000

    shift = label.bbse(rounded, labels, 0.995 * target, soft=True, n_resamples=0)

    expected = label.bbse(rounded / rounded.sum(dim=1, keepdim=True), labels, target, soft=True, n_resamples=0)
    torch.testing.assert_close(shift.weights, expected.weights)


# The interval


def refitted(estimate: Callable[..., LabelShift], rows: Sample, n_resamples: int, **kwargs: Any) -> Tensor:
    """Return the interval of a bootstrap that fits each resample anew."""
    source, labels, target, _ = rows
    generator, priors = generator_of(1), list[Tensor]()
    for _ in range(n_resamples):
        again = torch.randint(len(target), (len(target),), generator=generator)
        if estimate is label.saerens_em:
            drawn = torch.randint(len(source), (len(source),), generator=generator)
        else:  # class by class
            of_class = [(labels == j).nonzero()[:, 0] for j in range(source.shape[1])]
            drawn = torch.cat([x[torch.randint(len(x), (len(x),), generator=generator)] for x in of_class])
        priors.append(estimate(source[drawn], labels[drawn], target[again], n_resamples=0, **kwargs).target_prior)
    return torch.stack(priors).quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0)


@pytest.mark.parametrize(
    ("estimate", "kwargs"),
    [
        (label.bbse, {}),
        (label.bbse, {"soft": True}),
        (label.rlls, {"penalty": 0.5}),
        (label.saerens_em, {}),
    ],
)
def test_interval_is_that_of_fitting_each_resample_anew(
    estimate: Callable[..., LabelShift], kwargs: dict[str, Any]
) -> None:
    rows = sample(0, [0.6, 0.25, 0.15], n=150, m=200, separation=1.5)  # no resample has a negative share

    shift = estimate(*rows[:3], level=0.9, n_resamples=2000, generator=generator_of(0), **kwargs)

    assert shift.interval is not None
    expected = refitted(estimate, rows, 150, **kwargs)
    if estimate is label.saerens_em:  # the smallest interval that contains both
        source, labels, target, _ = rows
        corrected = [shift.correct(x) for x in (source, target)]
        other = refitted(label.bbse, (corrected[0], labels, corrected[1], labels), 150, soft=True)
        expected = torch.stack([expected[0].minimum(other[0]), expected[1].maximum(other[1])])
    torch.testing.assert_close(shift.interval, expected, atol=0.03, rtol=0)


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_interval_covers_the_prior_at_its_level(estimate: Callable[..., LabelShift]) -> None:
    prior, n_draws = torch.tensor([0.6, 0.3, 0.1]), 60
    held = torch.zeros(3)
    for seed in range(n_draws):
        rows = sample(seed, prior.tolist(), n=300, m=300, separation=1.5)
        shift = estimate(*rows[:3], level=0.8, n_resamples=100, generator=generator_of(seed))
        assert shift.interval is not None
        held += (shift.interval[0] <= prior) & (prior <= shift.interval[1])

    # 3 classes and 60 draws: 0.8 to three standard errors, as if the classes of a draw were one
    assert abs(held.mean().item() / n_draws - 0.8) < 3 * math.sqrt(0.8 * 0.2 / n_draws)


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_generator_makes_the_interval_reproducible_and_leaves_the_global_state_alone(
    estimate: Callable[..., LabelShift],
) -> None:
    source, labels, target, _ = sample(0, [0.5, 0.3, 0.2], n=60, m=40)
    state = torch.get_rng_state()

    once, again = (estimate(source, labels, target, generator=generator_of(7)).interval for _ in range(2))

    assert once is not None
    assert again is not None
    assert torch.equal(once, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert once.shape == (2, 3)
    assert (once[0] <= once[1]).all()
    assert 0 <= once.min() <= once.max() <= 1
    assert estimate(source, labels, target, n_resamples=0).interval is None


def test_resamples_are_drawn_in_blocks_that_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.arange(12.0, dtype=torch.float64).reshape(6, 2)
    monkeypatch.setattr("dlcore.shift.label._rows.MAX_INDICES_AT_A_TIME", 18)

    means = resampled_means(rows, 2000, generator_of(0), OneProcess())

    assert means.shape == (2000, 2)
    torch.testing.assert_close(means.mean(dim=0), rows.mean(dim=0), atol=0.15, rtol=0)
    torch.testing.assert_close(means.var(dim=0), rows.var(dim=0, correction=0) / 6, rtol=0.15, atol=0)
    torch.testing.assert_close(means[:, 1] - means[:, 0], torch.ones(2000, dtype=torch.float64))


def test_probabilities_above_1_by_rounding_are_divided_by_their_sum() -> None:
    source, labels, target, _ = sample(0, [0.5, 0.3, 0.2])
    source, target = source.float(), target.float()
    certain = torch.eye(3)[[0, 1, 2]] * (1 + torch.finfo(torch.float32).eps)

    above = label.bbse(torch.cat([source, certain]), torch.cat([labels, torch.arange(3)]), target, n_resamples=0)

    expected = label.bbse(
        torch.cat([source, torch.eye(3)]), torch.cat([labels, torch.arange(3)]), target, n_resamples=0
    )
    torch.testing.assert_close(above.weights, expected.weights)


def test_resampled_counts_are_multinomial() -> None:
    counts = torch.tensor([10, 40])
    given_shares = torch.tensor([[0.2, 0.0, 0.8], [0.3, 0.6, 0.1]], dtype=torch.float64)

    drawn = resampled_counts(counts, given_shares, 20_000, generator_of(0))

    assert torch.equal(drawn.sum(dim=-1), counts.double().expand(20_000, 2))
    mean, variance = counts[:, None] * given_shares, counts[:, None] * given_shares * (1 - given_shares)
    torch.testing.assert_close(drawn.mean(dim=0), mean, atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.var(dim=0), variance, atol=0.05, rtol=0.05)
    covariance = ((drawn[:, 1, 0] - mean[1, 0]) * (drawn[:, 1, 1] - mean[1, 1])).mean().item()
    assert covariance == pytest.approx(-40 * 0.3 * 0.6, rel=0.05)


def test_score_interval_solves_its_equation_and_contains_the_percentiles() -> None:
    generator, m, z = generator_of(0), 40, stats.norm.ppf(0.95)
    priors = 0.1 * torch.rand(400, 3, dtype=torch.float64, generator=generator) + torch.tensor([0.1, 0.8, -0.05])

    low, high = prior_interval(priors, m, 0.9)

    percentiles = np.quantile(priors.numpy(), [0.05, 0.5, 0.95], axis=0).clip(0, 1)
    for j, end in ((0, high), (1, low)):  # a rare class may be more frequent, and a frequent one rarer
        p, centre = end[j].item(), percentiles[1, j]
        s2 = ((percentiles[2, j] - percentiles[0, j]) / (2 * z)) ** 2
        assert (p - centre) ** 2 == pytest.approx(z**2 * (s2 + (p - centre) * (1 - 2 * centre) / m))
    assert (low.numpy() <= percentiles[0] + 1e-12).all()
    assert (high.numpy() >= percentiles[2] - 1e-12).all()
    assert low[2] == 0


# The report, and correcting probabilities


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("soft", [False, True])
def test_every_number_of_the_report_is_its_definition(estimate: Callable[..., LabelShift], soft: bool) -> None:
    kwargs = {} if estimate is label.saerens_em else {"soft": soft}
    source, labels, target, _ = sample(2, [0.1, 0.6, 0.3], n=50, m=30, separation=1.2, sharpness=3)
    labels = torch.where(torch.arange(50) > 46, 1, labels)  # no two classes have the same number of rows
    soft = soft or estimate is label.saerens_em

    shift = estimate(source, labels, target, level=0.8, n_resamples=50, generator=generator_of(0), **kwargs)

    p, q = (x.numpy() for x in (shift.target_prior, shift.source_prior))
    n, m, k = 50, 30, 3
    counts = np.array([int((labels == j).sum()) for j in range(k)])
    of_source, of_target = (
        (x if soft else torch.eye(k, dtype=torch.float64)[x.argmax(dim=1)]).numpy() for x in (source, target)
    )
    conditional = np.stack([of_source[labels.numpy() == j].mean(axis=0) for j in range(k)], axis=1)
    column_variances = np.array(
        [
            sum(of_source[labels.numpy() == j][:, i].var() for i in range(k)) / counts[j] + 1 / counts[j] ** 2
            for j in range(k)
        ]
    )
    mean_variance = sum(of_target[:, i].var() for i in range(k)) / m
    _, values, directions = np.linalg.svd(conditional)
    confidence = source.max(dim=1).values.numpy()
    row_weights = (p / q)[labels.numpy()]
    corrected = source.numpy() * p / q
    gains = 1.0 * (corrected.argmax(axis=1) == labels.numpy()) - (source.numpy().argmax(axis=1) == labels.numpy())
    g, of_classes = np.array(
        [(gains[labels.numpy() == j].mean(), gains[labels.numpy() == j].var()) for j in range(k)]
    ).T
    present = np.maximum(p, 1 / m) / np.maximum(p, 1 / m).sum()
    scores = source.numpy() * present / q
    scores = scores / scores.sum(axis=1, keepdims=True)
    of_class = [scores[labels.numpy() == j] for j in range(k)]
    means = np.stack([rows.mean(axis=0) for rows in of_class], axis=1)
    noise = np.diag((present / counts) ** 2)
    noise += sum(present[j] ** 2 / counts[j] * np.cov(of_class[j].T, bias=True) for j in range(k))
    errors = present - means @ present
    z2 = errors @ np.linalg.solve(noise, errors)
    assert shift.interval is not None
    expected = {
        "n_source": n,
        "n_target": m,
        "condition_number": values[0] / values[-1],
        "smallest_singular_value": values[-1],
        "singular_value_standard_error": math.sqrt(sum(directions[-1] ** 2 * column_variances)),
        "fewest_rows": counts.min(),
        "rarest_class": counts.argmin(),
        "misfit": math.sqrt(sum((of_target.mean(axis=0) - conditional @ p) ** 2)),
        "misfit_standard_error": math.sqrt(mean_variance + sum(p**2 * column_variances)),
        "largest_weight": max(p / q),
        "effective_sample_size": row_weights.sum() ** 2 / (row_weights**2).sum(),
        "confidence": confidence.mean(),
        "accuracy": (source.numpy().argmax(axis=1) == labels.numpy()).mean(),
        "accuracy_gain": p @ g,
        "gain_standard_error": math.sqrt(p**2 @ (of_classes / counts) + (p @ g**2 - (p @ g) ** 2) / m),
        "calibration_error": abs(np.linalg.solve(means, errors)).max(),
        "calibration_p_value": stats.chi2.sf(z2, k - 1),
        "half_width": (shift.interval[1] - shift.interval[0]).max().item() / 2,
    }
    if estimate is label.bbse:
        solution = np.linalg.solve(conditional, of_target.mean(axis=0))
        expected |= {"smallest_solution": solution.min(), "projected": solution.min() < 0}
    assert {name: getattr(shift.report, name) for name in expected} == pytest.approx(expected, rel=1e-9)
    assert shift.report.never_predicted == ()
    assert shift.report.method == estimate.__name__
    assert shift.condition_number == shift.report.condition_number
    np.testing.assert_allclose(shift.weights, p / q)


TRUSTED = LabelShiftReport(
    method="bbse",
    n_source=10,
    n_target=10,
    condition_number=2.0,
    smallest_singular_value=0.5 + 2**-10,
    singular_value_standard_error=0.25,
    fewest_rows=10,
    rarest_class=0,
    never_predicted=(),
    smallest_solution=0.0,
    projected=False,
    misfit=0.01 + 3 * 0.5,
    misfit_standard_error=0.5,
    largest_weight=1.0,
    effective_sample_size=10.0,
    invariance_error=1.0,
    invariance_p_value=0.01,
    confidence=0.75,
    accuracy=0.75,
    calibration_error=0.02,
    calibration_p_value=0.0,
    accuracy_gain=-0.03,
    gain_standard_error=0.01,
    half_width=0.25,
)


def test_report_at_every_boundary_is_trusted() -> None:
    assert TRUSTED.trustworthy
    assert TRUSTED.verdict == "Trust this prior: each class is known to ±0.3."
    assert replace(TRUSTED, half_width=0.5).verdict == "Trust this prior: each class is known to ±0.5."
    assert replace(TRUSTED, half_width=None).verdict == "Trust this prior."


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({"smallest_singular_value": 0.0}, "the confusion matrix is singular"),
        ({"fewest_rows": 9}, "class 0 has 9 source rows, fewer than ten"),
        (
            {"smallest_singular_value": 0.5, "half_width": None},
            "with so few source rows, the confusion matrix may be singular",
        ),
        ({"n_target": 9}, "the target has 9 rows, fewer than ten"),
        (
            {"misfit": 0.01 + 3 * 0.5 + 2**-10},
            "no mixture of the source's classes looks like the target, so more than the labels has shifted",
        ),
        (
            {"invariance_error": 0.021, "invariance_p_value": 0.0099},
            "no mixture of the source's classes looks like the target, so more than the labels has shifted",
        ),
        ({"effective_sample_size": 9.99}, "the weighted source has an effective sample size of 9.99, below ten"),
    ],
)
def test_report_just_beyond_a_boundary_is_not_trusted(change: dict[str, Any], objection: str) -> None:
    report = replace(TRUSTED, **change)

    assert not report.trustworthy
    assert report.verdict == f"Do not trust this prior: {objection}."


@pytest.mark.parametrize(
    ("error", "p_value", "calibrated"), [(0.02, 0.0, True), (0.5, 0.01, True), (0.5, 0.009, False)]
)
def test_miscalibration_counts_against_em_alone_if_it_is_large_and_significant(
    error: float, p_value: float, calibrated: bool
) -> None:
    report = replace(TRUSTED, calibration_error=error, calibration_p_value=p_value, half_width=0.015)

    assert report.trustworthy
    assert report.calibrated is calibrated
    assert replace(report, method="saerens_em").trustworthy is calibrated
    if not calibrated:
        words = "Do not trust this prior: the probabilities are not calibrated (confidence 0.75, accuracy 0.75), which "
        assert replace(report, method="saerens_em").verdict == words + "EM assumes; calibrate, or use bbse."


def test_miscalibration_within_the_noise_of_the_interval_is_no_objection() -> None:
    report = replace(TRUSTED, method="saerens_em", calibration_error=0.06, calibration_p_value=0.0)

    assert replace(report, half_width=0.09).trustworthy
    assert not replace(report, half_width=0.089).trustworthy
    assert not replace(report, half_width=None).trustworthy


def test_a_matrix_that_may_be_singular_is_no_objection_where_the_interval_is_narrow() -> None:
    report = replace(TRUSTED, smallest_singular_value=0.5)

    assert replace(report, half_width=0.25).trustworthy
    assert not replace(report, half_width=0.26).trustworthy
    assert not replace(report, half_width=0.25, method="rlls").trustworthy  # the penalty narrows the interval


def test_em_that_has_calibrated_does_not_ask_for_calibration() -> None:
    source, labels, target, _ = sample(0, [0.9, 0.1])

    report = label.saerens_em(source, labels, target, calibrate=True, n_resamples=0).report

    assert report.trustworthy
    refused = replace(report, calibration_error=0.5, calibration_p_value=0.0)
    assert refused.verdict.endswith("which EM assumes; use bbse.")


def misspecified(seed: int, n: int, prior: float) -> Sample:
    """Draw N(0, 1) and N(3/2, 4), for which the logit of the best line is wrong, though it has the mean confidence."""
    generator = generator_of(seed)

    def draw(count: int, share: float) -> tuple[Tensor, Tensor]:
        y = (torch.rand(count, generator=generator) > share).long()
        return torch.randn(count, 1, generator=generator, dtype=torch.float64) * (1 + y[:, None]) + 1.5 * y[:, None], y

    (x_train, y_train), (x, y), (x_target, y_target) = draw(2000, 0.5), draw(n, 0.5), draw(n, prior)
    params = linear.logistic_regression(x_train, y_train.double(), penalty=0.0)
    source, target = (torch.sigmoid(linear.linear(z, *params)).reshape(-1, 1) for z in (x, x_target))
    return torch.cat([1 - source, source], dim=1), y, torch.cat([1 - target, target], dim=1), y_target


def test_em_on_a_misspecified_classifier_is_refused_or_its_interval_holds_the_prior() -> None:
    trusted, held, calibrated_on_average = 0, 0, 0
    for seed in range(30):
        rows = misspecified(seed, 500, 0.9)
        shift = label.saerens_em(*rows[:3], n_resamples=200, generator=generator_of(seed))
        assert shift.interval is not None
        calibrated_on_average += abs(shift.report.confidence - shift.report.accuracy) < 0.05
        trusted += shift.report.trustworthy
        held += shift.report.trustworthy and bool(shift.interval[0, 0] <= 0.9 <= shift.interval[1, 0])

    assert calibrated_on_average >= 27
    assert held >= 0.9 * trusted


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_blurred_inputs_are_detected_though_the_predictions_have_a_prior(estimate: Callable[..., LabelShift]) -> None:
    source, labels, target, _ = sample(0, [0.5, 0.3, 0.2], separation=2.5)
    blurred = target.sqrt() / target.sqrt().sum(dim=1, keepdim=True)  # the same predictions, less confident

    before, after = (estimate(source, labels, x, n_resamples=0).report for x in (target, blurred))

    assert before.invariance_p_value > 0.01
    assert after.invariance_p_value < 1e-4
    assert after.verdict.endswith("so more than the labels has shifted.")


@pytest.mark.parametrize("target_prior", [[0.5, 0.3, 0.2], [0.6, 0.4]])
def test_invariance_test_is_its_definition(target_prior: list[float]) -> None:
    source, labels, target, _ = sample(0, target_prior, n=60, m=50, separation=1.5)
    prior = torch.tensor(target_prior, dtype=torch.float64)
    outputs = ClassifierOutputs(source, labels, target, torch.float64, 60, 50, OneProcess())

    found = invariance_test(outputs, prior)

    def moments(scores: np.ndarray) -> np.ndarray:
        logs = np.log(scores + 1e-4)
        if scores.shape[1] == 2:
            return logs
        second = np.argsort(-scores, axis=1)[:, 1]
        return np.hstack([logs, np.eye(scores.shape[1])[second][:, 1:]])

    f, f_target, y = source.numpy(), target.numpy(), labels.numpy()
    b, b_target, p = moments(f), moments(f_target), np.array(target_prior)
    of_scores, of_moments = (np.stack([x[y == j].mean(0) for j in range(len(p))], axis=1) for x in (f, b))
    to_moments = of_moments @ np.linalg.pinv(of_scores)
    r, r_target = b - f @ to_moments.T, b_target - f_target @ to_moments.T
    n = np.bincount(y)
    floor = 1 / 50**2 + ((p / n) ** 2).sum()
    v = np.cov(r_target.T, bias=True) / 50 + floor * np.eye(len(r.T))
    v += sum(p[j] ** 2 / n[j] * np.cov(r[y == j].T, bias=True) for j in range(len(p)))
    mean = r_target.mean(0)
    statistic = mean @ np.linalg.solve(v, mean)
    deviation = np.sqrt(b.var(0) + b_target.var(0) + floor)
    assert found.p_value == pytest.approx(stats.chi2.sf(statistic, len(mean)), rel=1e-6)
    assert found.distance == pytest.approx(abs(mean / deviation).max(), rel=1e-9)


def test_tests_of_the_assumptions_keep_their_level() -> None:
    p_values = []
    for seed in range(200):
        source, labels, target, _ = sample(seed, [0.7, 0.2, 0.1], n=200, m=200)
        report = label.saerens_em(source, labels, target, n_resamples=0).report
        p_values.append((report.invariance_p_value, report.calibration_p_value))

    rejected = (torch.tensor(p_values) < 0.05).double().mean(dim=0)

    assert rejected.max() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert rejected.min() > 0.005


def test_a_class_that_is_absent_from_the_target_is_no_moment() -> None:
    source, labels, target, _ = sample(0, [0.5, 0.5, 0.0])

    report = label.saerens_em(source, labels, target, n_resamples=0).report

    assert 0.01 < report.calibration_p_value <= 1


def test_scores_that_are_all_equal_test_no_assumption() -> None:
    labels = torch.arange(40) % 2

    report = label.bbse(torch.eye(2)[labels], labels, torch.eye(2)[labels], n_resamples=0).report

    assert (report.invariance_error, report.invariance_p_value) == pytest.approx((0, 1), abs=1e-12)
    assert (report.calibration_error, report.calibration_p_value) == pytest.approx((0, 1), abs=1e-12)


@pytest.mark.parametrize(
    ("estimate", "rows", "verdict"),
    [
        (label.bbse, sample(0, [0.5, 0.5], n=18), "class 0 has 9 source rows, fewer than ten"),
        (label.bbse, sample(0, [0.5, 0.5], m=8), "the target has 8 rows, fewer than ten"),
        (label.bbse, sample(0, [0.5, 0.5], m=1), "the target has 1 row, fewer than ten"),
        (label.bbse, sample(0, [0.5, 0.5], separation=0.3, n=60), "the confusion matrix may be singular"),
        (label.saerens_em, sample(0, [0.8, 0.2], separation=1, sharpness=5), "not calibrated (confidence 0.9"),
        (label.saerens_em, sample(0, [0.5, 0.5], sharpness=0.1), "not calibrated (confidence 0.6"),
    ],
)
def test_report_gives_the_reason_not_to_trust(estimate: Callable[..., LabelShift], rows: Sample, verdict: str) -> None:
    report = estimate(*rows[:3], n_resamples=0).report

    assert not report.trustworthy
    assert report.verdict.startswith("Do not trust this prior: ")
    assert verdict in report.verdict
    assert str(report).endswith(report.verdict)


def test_report_detects_that_more_than_the_labels_has_shifted() -> None:
    source, labels, _, _ = sample(0, [0.5, 0.5])
    certain = torch.tensor([[0.999, 0.001]], dtype=torch.float64).expand(500, 2)

    report = label.bbse(source, labels, certain, soft=True, n_resamples=0).report

    assert report.verdict.endswith(
        "no mixture of the source's classes looks like the target, so more than the labels has shifted."
    )
    assert report.misfit > 3 * report.misfit_standard_error


def test_report_measures_how_few_rows_have_all_weight() -> None:
    labels = torch.tensor([0] * 10_000 + [1] * 11)
    source, target = torch.eye(2)[labels].clone(), torch.eye(2)[[1] * 100]
    source[-1] = source[0]

    report = label.bbse(source, labels, target, n_resamples=0).report

    assert report.effective_sample_size == pytest.approx(11)
    assert report.trustworthy
    few = label.bbse(source, labels, torch.eye(2)[[1] * 99 + [0]], n_resamples=0).report
    assert few.largest_weight == pytest.approx(10_011 / 11)


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_no_class_is_known_better_than_the_rule_of_three_allows(
    estimate: Callable[..., LabelShift],
) -> None:
    labels = torch.arange(200) % 2

    report = estimate(torch.eye(2)[labels], labels, torch.eye(2)[[0] * 12]).report

    # each resample is the sample: the ends are those of Wilson's interval for a share of 0, to z² / m + O(1 / m²)
    assert report.half_width == pytest.approx(stats.norm.ppf(0.975) ** 2 / 12 / 2, abs=1e-6)
    assert report.verdict == "Trust this prior: each class is known to ±0.25."


def test_report_warns_of_a_correction_that_lowers_the_accuracy_and_of_no_other() -> None:
    source, labels, target, target_labels = sample(0, [0.8, 0.1, 0.1], n=2000, separation=2.5, sharpness=0.1)

    unsure = label.bbse(source, labels, target, n_resamples=0)
    sure = label.bbse(*sample(0, [0.8, 0.1, 0.1], n=2000, separation=2.5)[:3], n_resamples=0)

    before, after = (metrics.accuracy(target_labels, x.argmax(dim=1)) for x in (target, unsure.correct(target)))
    assert after < before - 0.05
    assert unsure.report.accuracy_gain == pytest.approx(float(after - before), abs=0.02)
    loss = f"{-unsure.report.accuracy_gain:.2g}"
    words = f"Trust this prior, but correct no probabilities by it: that lowers the accuracy by {loss}."
    assert unsure.report.verdict == words
    assert sure.report.accuracy_gain > 0
    assert sure.report.verdict == "Trust this prior."


def test_accuracy_of_the_weighted_source_is_that_of_the_target() -> None:
    source, labels, target, target_labels = sample(0, [0.7, 0.2, 0.1], n=20_000, m=20_000, separation=1)

    shift = label.bbse(source, labels, target, n_resamples=0)

    before, after = (metrics.accuracy(target_labels, x.argmax(dim=1)) for x in (target, shift.correct(target)))
    assert shift.report.accuracy_gain == pytest.approx(float(after - before), abs=0.01)
    assert shift.report.accuracy_gain > 0.05


def test_noise_of_a_gain_in_a_class_that_nearly_all_rows_are_of_keeps_its_digits() -> None:
    prior = torch.tensor([1 - 1e-9, 1e-9], dtype=torch.float64)
    wrong, sure = torch.tensor([[0.4, 0.6]] * 20).double(), torch.tensor([[1e-12, 1 - 1e-12]] * 20).double()
    labels = torch.tensor([0] * 20 + [1] * 20)
    outputs = ClassifierOutputs(
        torch.cat([wrong, sure]), labels, torch.zeros(30, 2).double(), torch.float64, 60, 30, OneProcess()
    )

    gain, standard_error = accuracy_gain(outputs, prior, torch.tensor([0.5, 0.5]).double())

    p = [Fraction(value) for value in prior.tolist()]
    assert gain == prior[0].item()
    variance = (p[0] * (1 - p[0]) ** 2 + p[1] * p[0] ** 2) / 30
    assert standard_error == pytest.approx(variance**0.5, rel=1e-14, abs=0)


def test_results_are_compared_as_objects_and_not_entry_by_entry() -> None:
    source, labels, target, _ = sample(0, [0.5, 0.5])
    shift, other = (label.bbse(source, labels, target, n_resamples=0) for _ in range(2))
    calibrate, again = (label.bias_corrected_temperature(source.log(), labels) for _ in range(2))

    assert shift == shift  # noqa: PLR0124
    assert shift != other
    assert calibrate == calibrate  # noqa: PLR0124
    assert calibrate != again


def test_corrected_probabilities_are_those_of_the_target() -> None:
    source, labels, target, _ = sample(0, [0.9, 0.1], separation=1)

    shift = label.saerens_em(source, labels, target, n_resamples=0)
    corrected = shift.correct(target)

    by_bayes = target * shift.weights
    torch.testing.assert_close(corrected, by_bayes / by_bayes.sum(dim=1, keepdim=True))
    torch.testing.assert_close(corrected.mean(dim=0), shift.target_prior, atol=1e-8, rtol=0)
    assert shift.correct(target.float()).dtype == torch.float32


def test_label_shift_keeps_p_of_x_given_y_and_changes_p_of_y_given_x() -> None:
    looks = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], dtype=torch.float64)  # p(x | y), the same on both sides
    labels = torch.tensor([0] * 400 + [1] * 600)
    source_joint, target_joint = (p[:, None] * looks for p in torch.tensor([[0.4, 0.6], [0.8, 0.2]]).double())
    outputs = (source_joint / source_joint.sum(dim=0)).T  # the output of a perfect classifier for each x
    x_of_source = torch.tensor([0] * 280 + [1] * 80 + [2] * 40 + [0] * 60 + [1] * 120 + [2] * 420)
    x_of_target = torch.tensor([0] * 58 + [1] * 20 + [2] * 22)

    for estimate in ESTIMATES:
        soft = {} if estimate is label.saerens_em else {"soft": True}
        shift = estimate(outputs[x_of_source], labels, outputs[x_of_target], n_resamples=0, **soft)

        torch.testing.assert_close(shift.target_prior, target_joint.sum(dim=1), atol=1e-5, rtol=0)
        torch.testing.assert_close(shift.weights, torch.tensor([2, 1 / 3]).double(), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            shift.correct(outputs), (target_joint / target_joint.sum(dim=0)).T, atol=1e-5, rtol=0
        )


def test_correcting_keeps_a_row_of_nothing_but_absent_classes() -> None:
    labels = torch.arange(60) % 3
    shift = label.bbse(torch.eye(3)[labels], labels, torch.eye(3)[[0] * 14 + [1] * 6], n_resamples=0)

    corrected = shift.correct(torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.7, 0.0]]))

    torch.testing.assert_close(corrected, torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]]))
    with pytest.raises(ValueError, match=r"^probabilities must have shape \(m, 3\), got \(2, 2\)$"):
        shift.correct(torch.eye(2))


def test_correcting_a_row_of_nothing_but_absent_classes_has_a_finite_gradient() -> None:
    labels = torch.arange(60) % 3
    shift = label.bbse(torch.eye(3)[labels], labels, torch.eye(3)[[0] * 14 + [1] * 6], n_resamples=0)
    shift = replace(shift, weights=torch.tensor([2.1, 0.9, 0.0]))  # exactly 0, whatever the processor
    logits = torch.tensor([[-200.0, -200.0, 0.0], [0.1, 0.2, -0.3]], requires_grad=True)

    shift.correct(logits.softmax(1))[:, 0].sum().backward()

    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_correcting_and_calibrating_refuse_integers(plain: ModuleType) -> None:
    labels = torch.arange(60) % 3
    shift = plain.shift.label.bbse(torch.eye(3)[labels], labels, torch.eye(3), n_resamples=0)
    calibrate = plain.shift.label.bias_corrected_temperature(torch.eye(3)[labels], labels)

    with pytest.raises(TypeError, match=r"^probabilities must be a real floating-point tensor, got torch.int64$"):
        shift.correct(labels[:3])
    with pytest.raises(TypeError, match=r"^logits must be a real floating-point tensor, got torch.int64$"):
        calibrate(labels[:3])


def test_a_calibrator_and_an_estimate_are_loaded_in_the_safe_mode() -> None:
    source, labels, target, _ = sample(0, [0.2, 0.8])
    estimate = label.bbse(source, labels, target)
    calibrator = label.bias_corrected_temperature(source.log(), labels)
    file = io.BytesIO()
    torch.save((estimate, calibrator), file)
    file.seek(0)

    loaded_estimate, loaded_calibrator = torch.load(file, weights_only=True)

    assert torch.equal(loaded_estimate.weights, estimate.weights)
    assert str(loaded_estimate.report) == str(estimate.report)
    assert torch.equal(loaded_calibrator(target.log()), calibrator(target.log()))
