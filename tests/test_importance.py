"""Measures of importance weights against their formulas, their laws, and what they must not hide."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from torch import Tensor

from dlcore import importance
from tests.oracle import assert_matches, exact, tensors

weights = tensors(min_size=1, max_size=30).map(torch.abs)
positive = weights.map(lambda w: w + 1e-3)


def weights_of(n: int, family: str, strength: float) -> Tensor:
    """Return weights that are spread irregularly, with a light tail, or like a power of a uniform number."""
    i = torch.arange(n, dtype=torch.float64)
    return torch.exp(strength * torch.sin(i**2)) if family == "sine" else ((i + 0.5) / n) ** -strength


def shape_in_50_digits(w: Tensor) -> mp.mpf:
    """Fit the generalized Pareto distribution as Zhang and Stephens print it, with the prior of Vehtari et al."""
    ordered = sorted(exact(w))
    n_tail = math.ceil(min(len(ordered) / 5, 3 * math.sqrt(len(ordered))))
    x = [value - ordered[-n_tail - 1] for value in ordered[-n_tail:] if value > ordered[-n_tail - 1]]
    n, m = len(x), 30 + math.isqrt(len(x))
    theta = [
        1 / x[-1] + (1 - mp.sqrt(m / (j - mp.mpf("0.5")))) / (3 * x[int(n / 4 + 0.5) - 1]) for j in range(1, m + 1)
    ]

    def shape(t: mp.mpf) -> mp.mpf:
        return sum(mp.log(1 - t * xi) for xi in x) / n

    likelihood = [mp.exp(n * (mp.log(-t / shape(t)) - shape(t) - 1)) for t in theta]
    k = shape(sum(t * share for t, share in zip(theta, likelihood, strict=True)) / sum(likelihood))
    return (n * k + 5) / (n + 10)


# The formula, in 50 digits


@pytest.mark.held_against("50 digits", importance.effective_sample_size)
@given(weights)
def test_effective_sample_size_is_its_formula(w: Tensor) -> None:
    actual = importance.effective_sample_size(w)

    assert_matches(actual, lambda ws: sum(ws) ** 2 / sum(wi**2 for wi in ws) if any(ws) else mp.mpf(0), w, ulps=64)


@pytest.mark.held_against("50 digits", importance.normalize_weights)
@given(positive)
def test_normalized_weights_are_their_formula(w: Tensor) -> None:
    actual = importance.normalize_weights(w)

    assert_matches(actual[0], lambda ws: ws[0] * len(ws) / sum(ws), w, ulps=16)


@pytest.mark.held_against("50 digits", importance.clip_weights, importance.flatten_weights)
@given(weights, st.floats(0, 1), st.floats(0.1, 100.0))
def test_flattened_and_clipped_weights_are_their_formulas(w: Tensor, exponent: float, maximum: float) -> None:
    flattened = importance.flatten_weights(w, exponent=exponent)
    clipped = importance.clip_weights(w, maximum=maximum)

    assert_matches(flattened[0], lambda ws: ws[0] ** mp.mpf(exponent), w)
    assert clipped.tolist() == [min(wi, maximum) for wi in w.tolist()]


@pytest.mark.held_against("50 digits", importance.pareto_shape)
@pytest.mark.parametrize("n", [25, 60, 300])
@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_pareto_shape_is_its_formula(n: int, spread: float) -> None:
    w = torch.exp(spread * torch.randn(n, dtype=torch.float64))

    assert importance.pareto_shape(w).item() == pytest.approx(float(shape_in_50_digits(w)), rel=1e-12, abs=1e-12)


# The shapes that arviz.psislw (0.23.4) fits to the same weights
ARVIZ = [
    (25, "sine", 0.2, 0.0251287222847204),
    (25, "sine", 3.0, 0.07441561275624071),
    (25, "power", 0.7, 0.5532443137866407),
    (25, "power", 1.5, 0.7565502974807062),
    (100, "sine", 0.2, -1.1041915652373506),
    (100, "sine", 3.0, -0.9932531498443374),
    (100, "power", 0.2, 0.3196208843338415),
    (100, "power", 1.5, 1.0646752698863484),
    (1000, "sine", 1.0, -1.5814234272439058),
    (1000, "power", 0.2, 0.23678773585749627),
    (1000, "power", 0.7, 0.6706577683143464),
    (5000, "sine", 3.0, -1.8196941905880497),
    (5000, "power", 0.2, 0.21752652764953376),
    (5000, "power", 0.7, 0.686253457863696),
    (5000, "power", 1.5, 1.4359122219593172),
]


@pytest.mark.held_against("ArviZ", importance.pareto_shape)
@pytest.mark.parametrize(("n", "family", "strength", "expected"), ARVIZ)
def test_pareto_shape_agrees_with_arviz(n: int, family: str, strength: float, expected: float) -> None:
    w = weights_of(n, family, strength)

    assert importance.pareto_shape(w).item() == pytest.approx(expected, rel=0, abs=1e-12)
    assert importance.pareto_shape(w.float()).item() == pytest.approx(expected, rel=0, abs=1e-3)


def smoothed_in_50_digits(w: Tensor) -> list[float]:
    """Replace the weights above the threshold by quantiles, as Vehtari et al. print it, with the fit of 50 digits."""
    ordered = sorted(exact(w))
    n_tail = math.ceil(min(len(ordered) / 5, 3 * math.sqrt(len(ordered))))
    u = ordered[-n_tail - 1]
    x = [value - u for value in ordered[-n_tail:]]
    n, m = len(x), 30 + math.isqrt(len(x))
    theta = [
        1 / x[-1] + (1 - mp.sqrt(m / (j - mp.mpf("0.5")))) / (3 * x[int(n / 4 + 0.5) - 1]) for j in range(1, m + 1)
    ]

    def shape(t: mp.mpf) -> mp.mpf:
        return sum(mp.log(1 - t * xi) for xi in x) / n

    likelihood = [mp.exp(n * (mp.log(-t / shape(t)) - shape(t) - 1)) for t in theta]
    best = sum(t * share for t, share in zip(theta, likelihood, strict=True)) / sum(likelihood)
    sigma, k = -shape(best) / best, (n * shape(best) + 5) / (n + 10)
    quantiles = [u + sigma / k * ((1 - (z - mp.mpf("0.5")) / n) ** -k - 1) for z in range(1, n + 1)]
    return [float(min(value, ordered[-1])) for value in [*ordered[:-n_tail], *quantiles]]


@pytest.mark.held_against("50 digits", importance.pareto_smoothed_weights)
@pytest.mark.parametrize("n", [25, 60, 300])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_smoothed_weights_are_their_formula(n: int, scale: float) -> None:
    w = torch.exp(scale * torch.randn(n, dtype=torch.float64))

    smoothed = importance.pareto_smoothed_weights(w)

    torch.testing.assert_close(smoothed[w.argsort()], torch.tensor(smoothed_in_50_digits(w), dtype=w.dtype))


@pytest.mark.held_against("ArviZ", importance.pareto_smoothed_weights)
@pytest.mark.parametrize(
    ("n", "strength", "expected"),  # from arviz.psislw (0.23.4), on the scale of the other weights
    [
        (100, 0.7, [12.350676208671446, 17.0716187893769, 33.85014874949449]),
        (1000, 1.5, [5594.702004761993, 11241.133196484408, 50379.40123085792]),
    ],
)
def test_smoothed_weights_agree_with_arviz(n: int, strength: float, expected: list[float]) -> None:
    smoothed = importance.pareto_smoothed_weights(weights_of(n, "power", strength))

    assert smoothed.sort().values[-3:].tolist() == pytest.approx(expected, rel=1e-9)


@given(weights.map(lambda w: w.sort().values))
def test_smoothing_keeps_the_order_and_the_weights_below_the_tail(w: Tensor) -> None:
    smoothed = importance.pareto_smoothed_weights(w)

    n_kept = len(w) - math.ceil(min(len(w) / 5, 3 * math.sqrt(len(w))))
    assert torch.equal(smoothed[:n_kept], w[:n_kept])
    is_smaller = w[:, None] < w  # equal weights may come out in any order
    assert (smoothed - smoothed[:, None] >= -1e-12 * w.max())[is_smaller].all()
    assert smoothed.max() <= w.max()


def test_smoothing_changes_no_weights_without_a_tail() -> None:
    ties = torch.cat([torch.ones(96), torch.tensor([2.0, 3.0, 4.0, 7.0])])

    for w in (torch.ones(100), ties, torch.rand(20)):
        assert torch.equal(importance.pareto_smoothed_weights(w), w)


def test_smoothing_reduces_the_error_of_a_heavy_tailed_mean() -> None:
    u = torch.rand(400, 500, dtype=torch.float64)
    w = 0.4 * u**-0.6  # mean 1, infinite variance
    smoothed = torch.stack([importance.pareto_smoothed_weights(row) for row in w])

    raw, less = ((x.mean(1) - 1).square().mean().sqrt() for x in (w, smoothed))

    assert less < 0.8 * raw


def test_log_weights_near_the_mean_keep_their_digits() -> None:
    log_w = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) + 20
    wide = log_w.double()

    found = importance.normalize_log_weights(log_w)

    expected = wide - wide.exp().mean().log()
    assert expected.abs().min() < 1e-5
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.held_against("50 digits", importance.normalize_log_weights)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("size", "shift"), [(1e-6, 0.0), (1e-3, 20.0), (1e-12, 20.0)])
def test_log_weights_that_are_nearly_equal_keep_their_digits(dtype: torch.dtype, size: float, shift: float) -> None:
    log_w = (shift + size * torch.randn(50, dtype=torch.float64)).to(dtype)

    found = importance.normalize_log_weights(log_w.repeat(1000))

    ws = exact(log_w)
    expected = [float(w - mp.log(mp.fsum(map(mp.exp, ws)) / len(ws))) for w in ws]
    slack = 16 * torch.finfo(torch.float64).eps * (max(ws) - min(ws))
    assert found[:50].tolist() == pytest.approx(expected, rel=torch.finfo(dtype).eps, abs=float(slack))


@pytest.mark.held_against("50 digits", importance.normalize_log_weights)
@given(weights.map(lambda w: 100 * w), st.sampled_from([0.0, 1e3, -1e3]))
def test_normalized_log_weights_are_their_formula(log_w: Tensor, shift: float) -> None:
    actual = importance.normalize_log_weights(log_w)

    ws = exact(log_w)
    expected = float(ws[0] - mp.log(sum(map(mp.exp, ws)) / len(ws)))
    assert actual[0].item() == pytest.approx(expected, rel=1e-12, abs=1e-15 * float(log_w.abs().max()) + 1e-15)
    torch.testing.assert_close(importance.normalize_log_weights(log_w + shift), actual, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(actual.logsumexp(0).exp() / len(log_w), torch.ones((), dtype=log_w.dtype))


@pytest.mark.held_against("NumPy", importance.weighted_quantile)
@given(weights, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]))
def test_weighted_quantile_is_that_of_numpy(w: Tensor, level: float) -> None:
    w = torch.where(w > 1, w.round(), 0) + (torch.arange(len(w)) == 0)
    x = torch.sin(torch.arange(len(w), dtype=torch.float64) ** 2).round(decimals=1)

    actual = importance.weighted_quantile(x, w, level=level)

    assert actual == np.quantile(x.numpy(), level, method="inverted_cdf", weights=w.numpy())


def test_weighted_quantile_ignores_values_of_weight_0() -> None:
    x, w = torch.tensor([math.nan, 3.0, -math.inf, 1.0, math.inf]), torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])

    assert [importance.weighted_quantile(x, w, level=level) for level in (0, 0.5, 0.51, 1)] == [1, 1, 3, 3]


# Laws


@given(positive, st.sampled_from([2.0**-200, 0.5, 2.0**200]))
def test_measures_do_not_depend_on_the_scale(w: Tensor, scale: float) -> None:
    torch.testing.assert_close(importance.effective_sample_size(scale * w), importance.effective_sample_size(w))
    torch.testing.assert_close(importance.normalize_weights(scale * w), importance.normalize_weights(w))
    torch.testing.assert_close(
        importance.pareto_shape(scale * w), importance.pareto_shape(w), equal_nan=True, rtol=1e-9, atol=1e-9
    )


@given(weights)
def test_effective_sample_size_is_between_one_and_n(w: Tensor) -> None:
    actual = importance.effective_sample_size(w)

    assert actual == 0 if not w.any() else 1 - 1e-12 <= actual <= len(w) * (1 + 1e-12)


@given(positive)
def test_effective_sample_size_counts_the_spread_of_the_weights(w: Tensor) -> None:
    normalized = importance.normalize_weights(w)

    torch.testing.assert_close(len(w) / importance.effective_sample_size(w), 1 + normalized.var(correction=0))


@given(positive, st.floats(0, 1), st.floats(0, 1))
def test_flatter_weights_have_a_larger_effective_sample_size(w: Tensor, a: float, b: float) -> None:
    sharper, flatter = (
        importance.effective_sample_size(importance.flatten_weights(w, exponent=e)) for e in (max(a, b), min(a, b))
    )

    assert flatter >= sharper * (1 - 1e-12)


@given(positive, st.floats(1e-2, 1e3))
def test_clipped_weights_have_a_larger_effective_sample_size(w: Tensor, maximum: float) -> None:
    clipped = importance.clip_weights(w, maximum=maximum)

    assert importance.effective_sample_size(clipped) >= importance.effective_sample_size(w) * (1 - 1e-12)
    assert clipped.max() <= maximum


@given(positive)
def test_remedies_at_their_ends_do_nothing_or_all(w: Tensor) -> None:
    assert torch.equal(importance.flatten_weights(w, exponent=1), w)
    assert torch.equal(importance.flatten_weights(w, exponent=0), torch.ones_like(w))
    assert torch.equal(importance.clip_weights(w, maximum=math.inf), w)
    torch.testing.assert_close(importance.normalize_weights(w).mean(), torch.ones((), dtype=w.dtype))


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_pareto_shape_finds_the_shape_of_a_generalized_pareto_distribution(k: float) -> None:
    u = torch.rand(1_000_000, dtype=torch.float64)

    w = 3.0 * (u**-k - 1) / k

    standard_error = (1 + k) / math.sqrt(3000)  # of the largest 3 √n values
    assert importance.pareto_shape(w).item() == pytest.approx(k, abs=4 * standard_error)


def test_pareto_shape_of_an_exponential_tail_is_zero_and_of_a_uniform_one_minus_one() -> None:
    u = torch.rand(100_000, dtype=torch.float64)

    assert importance.pareto_shape(-u.log()).item() == pytest.approx(0, abs=0.08)
    assert importance.pareto_shape(u).item() == pytest.approx(-1, abs=0.15)


@pytest.mark.parametrize("shift", [0.5, 1.0, 1.25])
def test_effective_sample_size_of_a_shifted_gaussian_is_its_closed_form(shift: float) -> None:
    x = torch.randn(200_000, dtype=torch.float64)
    ratio = torch.exp(shift * x - shift**2 / 2)  # N(shift, 1) over N(0, 1)

    share = importance.effective_sample_size(ratio) / len(x)

    assert share.item() == pytest.approx(math.exp(-(shift**2)), rel=0.2)


# Closed forms of the gradient


@given(tensors(min_size=4, max_size=4).map(lambda w: w.abs() + 0.5))
def test_gradients_are_their_closed_forms(w: Tensor) -> None:
    total, squares = w.sum(), (w**2).sum()
    grad = torch.func.grad

    torch.testing.assert_close(
        grad(importance.effective_sample_size)(w), 2 * total / squares - 2 * w * total**2 / squares**2
    )
    torch.testing.assert_close(
        grad(lambda w: importance.normalize_weights(w)[0])(w),
        4 * (torch.tensor([1.0, 0, 0, 0], dtype=w.dtype) / total - w[0] / total**2),
    )
    torch.testing.assert_close(grad(lambda w: importance.clip_weights(w, maximum=3.0).sum())(w), (w <= 3).to(w.dtype))
    torch.testing.assert_close(grad(lambda w: importance.flatten_weights(w, exponent=0.5).sum())(w), 0.5 * w**-0.5)


# Extremes


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e30, 1e38])
def test_measures_neither_overflow_nor_vanish(scale: float) -> None:
    w = torch.tensor([1.0, 1.0, 1.0, 3.0]) * scale

    torch.testing.assert_close(importance.effective_sample_size(w), torch.tensor(3.0), rtol=1e-4, atol=0.0)
    torch.testing.assert_close(importance.normalize_weights(w), torch.tensor([2.0, 2, 2, 6]) / 3, rtol=1e-4, atol=0.0)


def test_all_zero_weights_have_effective_sample_size_zero_and_a_finite_gradient() -> None:
    w = torch.zeros(3)

    assert importance.effective_sample_size(w) == 0
    assert torch.equal(torch.func.grad(importance.effective_sample_size)(w), torch.zeros(3))


def test_overflowed_ratios_can_be_clipped() -> None:
    ratio = torch.tensor([0.0, 1e4]).exp()

    assert torch.equal(importance.clip_weights(ratio, maximum=10.0), torch.tensor([1.0, 10.0]))


@pytest.mark.parametrize("n", [0, 1, 4, 20])
def test_pareto_shape_of_too_few_weights_is_nan(n: int) -> None:
    assert importance.pareto_shape(torch.rand(n)).isnan()


@pytest.mark.parametrize(
    "w",
    [
        torch.ones(100),
        torch.zeros(100),
        torch.arange(100.0).clamp(max=50.0),
        torch.cat([torch.ones(96), torch.tensor([2.0, 3.0, 4.0, 7.0])]),
    ],
)
def test_pareto_shape_without_a_tail_is_nan(w: Tensor) -> None:
    assert importance.pareto_shape(w).isnan()


@pytest.mark.held_against("50 digits", importance.pareto_shape)
def test_pareto_shape_is_fitted_to_the_weights_above_a_tie() -> None:
    w = torch.cat([torch.ones(94, dtype=torch.float64), torch.rand(26, dtype=torch.float64) + 0.5])

    assert importance.pareto_shape(w).item() == pytest.approx(float(shape_in_50_digits(w)), rel=1e-12)
    assert torch.func.grad(importance.pareto_shape)(w).isfinite().all()


def test_pareto_shape_survives_a_grid_point_where_the_tail_is_exponential() -> None:
    w = torch.cat([torch.ones(418), torch.full((60,), 2.0), torch.full((6,), 4.0)]).double()
    step = torch.tensor(1e-9, dtype=torch.float64)

    actual = importance.pareto_shape(w)

    torch.testing.assert_close(actual, importance.pareto_shape(torch.where(w == 4, w + step, w)), rtol=1e-6, atol=0.0)


def test_pareto_shape_ignores_weights_that_underflow_relative_to_the_largest() -> None:
    visible = torch.linspace(0.5, 1.0, 8)
    w = torch.cat([torch.zeros(80), torch.full((12,), 1e-40), visible])

    torch.testing.assert_close(importance.pareto_shape(w), importance.pareto_shape(torch.where(w < 1e-30, 0, w)))


def test_pareto_shape_does_not_depend_on_how_far_the_weights_are_apart_in_float32() -> None:
    w = torch.exp(20 * torch.randn(2000, dtype=torch.float64))
    w = (w / w.max() * 1e38).float()

    assert importance.pareto_shape(w).item() == pytest.approx(importance.pareto_shape(w.double()).item(), abs=1e-3)


# The report


@pytest.mark.held_against("its definition", importance.diagnose)
def test_report_holds_the_measures() -> None:
    w = torch.exp(0.5 * torch.randn(1000, dtype=torch.float64) - 0.125)

    report = importance.diagnose(w)

    assert report.n == 1000
    assert report.effective_sample_size == importance.effective_sample_size(w).item()
    assert report.effective_fraction == report.effective_sample_size / 1000
    assert report.pareto_shape <= importance.pareto_shape(w).item()
    assert report.mean_weight == pytest.approx(w.mean().item())
    assert report.largest_weight == w.max().item()
    assert report.largest_share == pytest.approx((w.max() / w.sum()).item())


def test_light_weights_of_mean_one_are_trusted() -> None:
    report = importance.diagnose(torch.exp(0.5 * torch.randn(1000) - 0.125))

    assert report.trustworthy
    assert report.verdict.startswith("Trust these weights: their effective sample size is ")
    assert report.verdict.endswith(" of 1000.")


def test_equal_weights_of_mean_one_are_trusted() -> None:
    assert importance.diagnose(torch.ones(50)).trustworthy


@pytest.mark.parametrize("n", [1, 5, 1000])
def test_the_tail_of_weights_that_are_nearly_equal_is_no_objection(n: int) -> None:
    tail = 1e-3 * ((torch.arange(n, dtype=torch.float64) + 0.5) / n) ** -0.9

    report = importance.diagnose(importance.normalize_weights(1 + tail))

    assert not report.pareto_shape < (0.8 if n > 20 else 0)
    assert report.largest_weight < 2
    assert "tail" not in report.verdict
    assert report.trustworthy is (n > 10)


@pytest.mark.parametrize(("size", "trusted"), [(0.1, True), (5.0, False)])
def test_a_heavy_tail_matters_if_it_lowers_the_effective_sample_size(size: float, trusted: bool) -> None:
    tail = size * ((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000) ** -0.7

    report = importance.diagnose(importance.normalize_weights(1 + tail))

    assert report.pareto_shape > report.largest_trusted_shape
    assert report.largest_weight > 4
    assert (report.effective_fraction >= 0.6) == trusted == report.trustworthy
    assert ("tail" in report.verdict) != trusted


@pytest.mark.parametrize("jitter", [0.0, 1e-3, 0.1, 0.3])
@pytest.mark.parametrize("n_rare", [20, 80])
def test_bounded_ratios_of_a_rare_binary_column_are_trusted(jitter: float, n_rare: int) -> None:
    n = 4000
    rare = torch.arange(n) < n_rare
    w = torch.where(rare, 25.0, 1 - 25 * n_rare / n).double() * (jitter * torch.randn(n, dtype=torch.float64)).exp()

    report = importance.diagnose(importance.normalize_weights(w))

    assert importance.pareto_shape(w) > 1 or jitter == 0
    assert report.trustworthy


@pytest.mark.parametrize("k", [0.3, 0.6, 0.9, 1.2])
def test_a_shape_that_shorter_tails_confirm_stays(k: float) -> None:
    w = ((torch.arange(5000, dtype=torch.float64) + 0.5) / 5000) ** -k

    assert importance.diagnose(w).pareto_shape == importance.pareto_shape(w).item()


@pytest.mark.parametrize(
    ("w", "reason"),
    [
        (torch.zeros(50), "all are 0"),
        (torch.full((50,), 1 / 50), "their mean is 0.02"),  # separable domains: effective sample size 50 of 50
        (torch.full((2000,), 0.25), "their mean is 0.25"),  # 500 target examples against 2000, and no factor
        (((torch.arange(1000) + 0.5) / 1000) ** -1.5, "no mean"),
        (((torch.arange(1000) + 0.5) / 1000) ** -0.9, "too heavy for 1000 examples"),
        (((torch.arange(100) + 0.5) / 100) ** -0.6, "too heavy for 100 examples"),
        (torch.tensor([1.0] * 9), "effective sample size is 9, below ten"),
        (torch.cat([torch.zeros(95), torch.full((5,), 20.0)]), "effective sample size is 5, below ten"),
    ],
)
def test_bad_weights_are_refused_with_the_reason(w: Tensor, reason: str) -> None:
    report = importance.diagnose(w)

    assert not report.trustworthy
    assert report.verdict.startswith("Do not trust these weights: ")
    assert reason in report.verdict


def test_weights_of_infinite_variance_are_trusted_with_care() -> None:
    w = importance.normalize_weights(((torch.arange(100_000) + 0.5) / 100_000) ** -0.6)

    report = importance.diagnose(w)

    assert 0.5 <= report.pareto_shape < report.largest_trusted_shape
    assert report.verdict.startswith("Trust these weights with care: ")
    assert "variance is infinite" in report.verdict


@pytest.mark.parametrize(("n", "bound"), [(1, -math.inf), (10, 0.0), (100, 0.5), (1000, 2 / 3), (10_000, 0.7)])
def test_the_trusted_shape_grows_with_the_number_of_weights(n: int, bound: float) -> None:
    report = importance.WeightReport(n, 1.0, 1.0, 1.0, math.nan)

    assert report.largest_trusted_shape == pytest.approx(bound)


def test_a_mean_within_three_standard_errors_is_no_objection() -> None:
    w = torch.exp(torch.randn(100, dtype=torch.float64).sort().values - 0.5)
    off = 1 + 0.1 + 2.9 * math.sqrt(1 / importance.effective_sample_size(w) - 1 / 100)
    further = 1 + 0.1 + 6 * math.sqrt(1 / importance.effective_sample_size(w) - 1 / 100)
    normalized = importance.normalize_weights(w)

    assert "mean" not in importance.diagnose(normalized * off).verdict
    assert "mean" in importance.diagnose(normalized * further).verdict or importance.diagnose(w).pareto_shape > 0.5


def test_report_is_printed_in_lines_that_end_with_the_verdict() -> None:
    report = importance.diagnose(torch.zeros(50))

    lines = str(report).splitlines()

    assert lines[0] == "Importance weights of 50 examples"
    assert "  largest weight         0 (0.0% of the sum)" in lines
    assert lines[-1] == report.verdict


def test_report_does_not_depend_on_the_dtype() -> None:
    w = torch.exp(torch.randn(200)).to(torch.float16)

    assert importance.diagnose(w) == importance.diagnose(w.double())
