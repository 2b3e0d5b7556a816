"""Risks and their standard errors against their formulas, their laws, and the spread over repeated samples."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from scipy import stats
from torch import Tensor

from dlcore import importance, risk
from tests.oracle import assert_matches, exact, tensors

SHIFT = 0.5
losses_and_weights = st.integers(2, 20).flatmap(
    lambda n: st.tuples(
        tensors(min_size=n, max_size=n).map(torch.abs), tensors(min_size=n, max_size=n).map(lambda w: w.abs() + 1e-3)
    )
)


def shifted_sample(generator: torch.Generator, *shape: int) -> tuple[Tensor, Tensor]:
    """Draw x from N(0, 1); return the losses (x - 1)² and the weights for N(1/2, 1), under which the risk is 5/4."""
    x = torch.randn(shape, dtype=torch.float64, generator=generator)
    return (x - 1) ** 2, torch.exp(SHIFT * x - SHIFT**2 / 2)


# The formula, in 50 digits


@pytest.mark.held_against("50 digits", risk.empirical_risk)
@given(tensors(max_size=20))
def test_empirical_risk_is_the_mean_loss(losses: Tensor) -> None:
    assert_matches(risk.empirical_risk(losses.abs()), lambda ls: sum(ls) / len(ls), losses.abs())


@pytest.mark.held_against("50 digits", risk.importance_weighted_risk)
@given(losses_and_weights)
def test_weighted_risks_are_their_formulas(pair: tuple[Tensor, Tensor]) -> None:
    def weighted(ls: list[mp.mpf], ws: list[mp.mpf]) -> mp.mpf:
        return sum(w * loss for loss, w in zip(ls, ws, strict=True))

    assert_matches(risk.importance_weighted_risk(*pair), lambda ls, ws: weighted(ls, ws) / len(ls), *pair, ulps=16)
    assert_matches(
        risk.importance_weighted_risk(*pair, normalize=True), lambda ls, ws: weighted(ls, ws) / sum(ws), *pair, ulps=32
    )


@pytest.mark.held_against("50 digits", risk.standard_error)
@given(losses_and_weights)
def test_standard_errors_are_their_formulas(pair: tuple[Tensor, Tensor]) -> None:
    losses, weights = exact(pair[0]), exact(pair[1])
    n, total = len(losses), sum(weights)
    parts = [w * loss for loss, w in zip(losses, weights, strict=True)]
    plain = mp.sqrt(sum((part - sum(parts) / n) ** 2 for part in parts) / (n * (n - 1)))
    spread = sum((w * (loss - sum(parts) / total)) ** 2 for loss, w in zip(losses, weights, strict=True))
    normalized = n / total * mp.sqrt(spread / (n * (n - 1)))

    rounding = 1e-14 * float(max(parts, default=0)) + 1e-300
    assert risk.standard_error(*pair).item() == pytest.approx(float(plain), rel=1e-12, abs=rounding)
    rounding = 1e-14 * float(max(weights) * max(losses) * n / total) + 1e-300
    assert risk.standard_error(*pair, normalize=True).item() == pytest.approx(
        float(normalized), rel=1e-12, abs=rounding
    )


@pytest.mark.held_against("NumPy", "SciPy", risk.importance_weighted_risk, risk.standard_error)
@given(losses_and_weights)
def test_risks_agree_with_numpy_and_scipy(pair: tuple[Tensor, Tensor]) -> None:
    losses, weights = (x.numpy() for x in pair)

    assert risk.importance_weighted_risk(*pair, normalize=True).item() == pytest.approx(
        np.average(losses, weights=weights), rel=1e-14
    )
    assert risk.standard_error(pair[0]).item() == pytest.approx(stats.sem(losses), rel=1e-9, abs=1e-12)


# Corrections to the notes


def test_the_risk_is_a_mean_and_the_total_loss_is_n_times_it() -> None:
    losses = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)

    gradient = torch.func.grad(risk.empirical_risk)(losses)

    assert 3 * risk.empirical_risk(losses) == losses.sum()
    torch.testing.assert_close(3 * gradient, torch.func.grad(torch.sum)(losses))


def test_the_empirical_risk_estimates_the_expected_loss() -> None:
    losses, _ = shifted_sample(torch.Generator().manual_seed(0), 100_000)

    off = (risk.empirical_risk(losses) - 2) / risk.standard_error(losses)  # E(x - 1)² = 2 for N(0, 1)

    assert abs(off) < 3


@given(losses_and_weights)
def test_dividing_by_n_and_by_the_sum_of_the_weights_are_two_risks(pair: tuple[Tensor, Tensor]) -> None:
    losses, weights = pair

    by_n = risk.importance_weighted_risk(losses, weights)
    by_sum = risk.importance_weighted_risk(losses, weights, normalize=True)

    torch.testing.assert_close(by_n, by_sum * weights.mean())
    torch.testing.assert_close(by_sum, risk.importance_weighted_risk(losses, importance.normalize_weights(weights)))


# Laws


@given(losses_and_weights, st.floats(1e-3, 1e3))
def test_the_scale_of_the_weights_cancels_in_the_normalized_risk(pair: tuple[Tensor, Tensor], scale: float) -> None:
    losses, weights = pair

    for measure in (risk.importance_weighted_risk, risk.standard_error):
        torch.testing.assert_close(
            measure(losses, scale * weights, normalize=True),
            measure(losses, weights, normalize=True),
            atol=1e-9,
            rtol=1e-9,
        )


@given(losses_and_weights)
def test_the_normalized_risk_lies_between_the_smallest_and_the_largest_loss(pair: tuple[Tensor, Tensor]) -> None:
    actual = risk.importance_weighted_risk(*pair, normalize=True)

    assert pair[0].min() * (1 - 1e-12) <= actual <= pair[0].max() * (1 + 1e-12)


@given(tensors(min_size=2, max_size=20), st.booleans())
def test_weights_of_one_change_nothing(losses: Tensor, normalize: bool) -> None:
    ones = torch.ones_like(losses)

    weighted = risk.importance_weighted_risk(losses, ones, normalize=normalize)

    torch.testing.assert_close(weighted, risk.empirical_risk(losses))
    torch.testing.assert_close(risk.standard_error(losses, ones, normalize=normalize), risk.standard_error(losses))


@given(tensors(min_size=3, max_size=10), st.integers(1, 4))
def test_integer_weights_repeat_examples_in_the_normalized_risk(losses: Tensor, times: int) -> None:
    weights = torch.ones_like(losses)
    weights[0] = times

    actual = risk.importance_weighted_risk(losses, weights, normalize=True)

    torch.testing.assert_close(actual, risk.empirical_risk(losses.repeat_interleave(weights.long())))


@given(tensors(min_size=2, max_size=20), st.floats(-100, 100), st.floats(0.01, 100))
def test_risk_moves_with_the_losses_and_its_standard_error_does_not(losses: Tensor, move: float, scale: float) -> None:
    moved = scale * losses + move

    torch.testing.assert_close(risk.empirical_risk(moved), scale * risk.empirical_risk(losses) + move)
    torch.testing.assert_close(
        risk.standard_error(moved), scale * risk.standard_error(losses), rtol=1e-9, atol=1e-10 * (scale + abs(move))
    )


@given(tensors(), tensors())
def test_gap_is_the_difference_of_the_risks(train: Tensor, test: Tensor) -> None:
    gap = risk.generalization_gap(train, test)

    torch.testing.assert_close(gap, risk.empirical_risk(test) - risk.empirical_risk(train))
    torch.testing.assert_close(gap, -risk.generalization_gap(test, train))


# The spread over repeated samples


@pytest.mark.parametrize(("weighted", "normalize"), [(False, False), (True, False), (True, True)])
def test_standard_error_is_the_spread_of_the_risk_over_many_samples(weighted: bool, normalize: bool) -> None:
    losses, weights = shifted_sample(torch.Generator().manual_seed(1), 4000, 400)
    if not weighted:
        weights = torch.ones_like(weights)
    truth = 1.25 if weighted else 2.0

    risks = torch.vmap(lambda x, w: risk.importance_weighted_risk(x, w, normalize=normalize))(losses, weights)
    errors = torch.vmap(lambda x, w: risk.standard_error(x, w, normalize=normalize))(losses, weights)

    assert (errors.square().mean().sqrt() / risks.std()).item() == pytest.approx(1, abs=0.05)
    assert ((risks - truth).abs() <= 1.96 * errors).double().mean().item() == pytest.approx(0.95, abs=0.03)


def test_risk_divided_by_n_is_unbiased_and_the_unweighted_one_is_not() -> None:
    losses, weights = shifted_sample(torch.Generator().manual_seed(2), 100_000)

    weighted = risk.importance_weighted_risk(losses, weights)

    assert abs(weighted - 1.25) < 4 * risk.standard_error(losses, weights)
    assert abs(risk.empirical_risk(losses) - 1.25) > 30 * risk.standard_error(losses)


def test_standard_error_of_a_gap_is_that_of_two_independent_samples() -> None:
    generator = torch.Generator().manual_seed(3)
    train, test = shifted_sample(generator, 2000, 100)[0], shifted_sample(generator, 2000, 300)[0]

    gaps = torch.vmap(risk.generalization_gap)(train, test)
    errors = torch.hypot(torch.vmap(risk.standard_error)(train), torch.vmap(risk.standard_error)(test))

    assert (errors.square().mean().sqrt() / gaps.std()).item() == pytest.approx(1, abs=0.05)


# Closed forms of the gradient


@given(losses_and_weights)
def test_gradients_are_their_closed_forms(pair: tuple[Tensor, Tensor]) -> None:
    losses, weights = pair
    n, total = len(losses), weights.sum()
    both = torch.func.grad(risk.importance_weighted_risk, argnums=(0, 1))
    normalized = risk.importance_weighted_risk(losses, weights, normalize=True)

    torch.testing.assert_close(both(losses, weights), (weights / n, losses / n))
    torch.testing.assert_close(
        both(losses, weights, normalize=True),
        (weights / total, (losses - normalized) / total),
        rtol=1e-9,
        atol=float(1e-12 * losses.max() / weights.min()),
    )


def test_gradient_of_the_standard_error_is_zero_where_the_losses_are_equal() -> None:
    losses = torch.full((4,), 2.0)

    assert risk.standard_error(losses) == 0
    assert torch.equal(torch.func.grad(risk.standard_error)(losses), torch.zeros(4))


# Extremes


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_risks_neither_overflow_nor_vanish(scale: float) -> None:
    losses, weights = torch.tensor([1.0, 1.0, 3.0, 7.0]), torch.tensor([1.0, 2.0, 0.0, 1.0])

    torch.testing.assert_close(risk.empirical_risk(losses * scale), torch.tensor(3.0) * scale)
    torch.testing.assert_close(risk.standard_error(losses * scale) / scale, torch.tensor(math.sqrt(2)))
    for measure in (risk.importance_weighted_risk, risk.standard_error):
        torch.testing.assert_close(measure(losses, weights * scale), measure(losses, weights) * scale)
        torch.testing.assert_close(
            measure(losses, weights * scale * 1e8, normalize=True), measure(losses, weights, normalize=True)
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_shows_in_the_risk(bad: float) -> None:
    losses = torch.tensor([1.0, bad])

    for actual in (risk.empirical_risk(losses), risk.importance_weighted_risk(losses, torch.ones(2))):
        torch.testing.assert_close(actual, torch.tensor(bad), equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_in_float32(dtype: torch.dtype) -> None:
    losses, weights = torch.full((4096,), 3.0, dtype=dtype), torch.full((4096,), 0.5, dtype=dtype)

    assert risk.empirical_risk(losses) == 3
    assert risk.importance_weighted_risk(losses, weights) == 1.5
    assert risk.importance_weighted_risk(losses * 1000, weights * 1000, normalize=True) == (losses * 1000)[0]


def test_a_product_that_half_precision_cannot_hold_does_not_overflow_the_risk() -> None:
    losses, weights = torch.tensor([300.0, 0.0]).half(), torch.tensor([300.0, 1.0]).half()

    assert risk.importance_weighted_risk(losses, weights) == 45_000
    assert risk.standard_error(losses, weights) == 45_000


def test_dtypes_of_losses_and_weights_promote() -> None:
    losses, weights = torch.ones(3, dtype=torch.float16), torch.ones(3)

    assert risk.importance_weighted_risk(losses, weights).dtype == torch.float32
    assert risk.standard_error(losses, weights).dtype == torch.float32
    assert risk.standard_error(losses).dtype == torch.float16


def test_an_already_reduced_loss_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match="one loss per example"):
        plain.risk.empirical_risk(torch.tensor([1.0, 2.0]).mean())


def test_an_example_of_weight_zero_is_absent_whatever_its_loss() -> None:
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0], dtype=torch.float64)
    losses = torch.tensor([math.inf, 1.0, math.nan, 2.0], dtype=torch.float64)
    finite = torch.tensor([5.0, 1.0, 7.0, 2.0], dtype=torch.float64)

    for normalize in (False, True):
        for measure in (risk.importance_weighted_risk, risk.standard_error):
            actual = measure(losses, weights, normalize=normalize)
            torch.testing.assert_close(actual, measure(finite, weights, normalize=normalize))
        gradient = torch.func.grad(risk.importance_weighted_risk, argnums=(0, 1))(losses, weights, normalize=normalize)
        assert all(g.isfinite().all() for g in gradient)
    assert risk.importance_weighted_risk(torch.tensor([math.inf, 1.0]), torch.tensor([0.0, 1.0])) == 0.5


@pytest.mark.held_against("50 digits", risk.generalization_gap)
def test_a_small_gap_between_large_risks_keeps_its_digits() -> None:
    train = 1000 + torch.rand(1001)
    test = train[:-1] + 2**-10

    expected = float(sum(exact(test)) / len(test) - sum(exact(train)) / len(train))

    assert risk.generalization_gap(train, test).item() == pytest.approx(expected, rel=1e-6)
    near = torch.tensor([1.0, 1 + 2**-30, 1 + 2**-31], dtype=torch.float64)
    assert risk.generalization_gap(near, near[1:]).item() == pytest.approx(2**-32, rel=1e-14, abs=0)
    assert risk.generalization_gap(torch.tensor([math.inf]), torch.ones(1)) == -math.inf


@pytest.mark.parametrize("normalize", [False, True])
def test_standard_error_of_losses_far_from_zero_keeps_its_digits(normalize: bool) -> None:
    losses = 1e6 + torch.rand(1000)
    expected = losses.double().std() / math.sqrt(1000)

    actual = risk.standard_error(losses, torch.ones(1000), normalize=normalize)

    torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_risks_of_ten_million_examples_are_those_of_float64(dtype: torch.dtype) -> None:
    losses, weights = torch.rand(10**7).to(dtype), (torch.rand(10**7) + 0.5).to(dtype)
    calls = [
        lambda x, _: risk.empirical_risk(x),
        risk.importance_weighted_risk,
        lambda x, w: risk.importance_weighted_risk(x, w, normalize=True),
        lambda x, _: risk.standard_error(x),
        risk.standard_error,
        lambda x, _: risk.generalization_gap(x[: 10**6], x),
    ]

    for call in calls:
        expected = call(losses.double(), weights.double())
        torch.testing.assert_close(
            call(losses, weights).double(), expected, rtol=4 * torch.finfo(dtype).eps, atol=0, msg=str(call)
        )
