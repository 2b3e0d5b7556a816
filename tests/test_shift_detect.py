"""Two-sample tests against their formulas and all splits, the level they keep, and the shifts they find."""

import io
import itertools
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel
from torch import Generator, Tensor

from dlcore import linear
from dlcore.shift import detect
from dlcore.shift.detect import ShiftTest, _classifier, _ks, _label, _mmd, _result
from tests.oracle import exact

FEATURE_TESTS = (detect.mmd_test, detect.classifier_test, detect.ks_test)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, d: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64)


def share_of_splits(x: list[float], y: list[float], distance: Callable[[list[float], list[float]], float]) -> float:
    """Return the share of all splits of the pooled values whose distance is at least that of x and y."""
    both, observed = [*x, *y], distance(x, y)
    reached = [
        distance([both[i] for i in chosen], [v for i, v in enumerate(both) if i not in chosen]) >= observed - 1e-9
        for chosen in map(set, itertools.combinations(range(len(both)), len(x)))
    ]
    return sum(reached) / len(reached)


def rejections(test: Callable[[], ShiftTest], draws: int = 1000) -> float:
    return sum(test().rejects(0.05) for _ in range(draws)) / draws


def keeps_its_level(rate: float, draws: int = 1000) -> bool:
    return abs(rate - 0.05) <= 4 * math.sqrt(0.05 * 0.95 / draws)


# The maximum mean discrepancy is its formula


@pytest.mark.held_against("scikit-learn", detect.mmd_test)
@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 4.0])
def test_mmd_is_its_formula_with_the_kernel_of_scikit_learn(bandwidth: float) -> None:
    x, y = normal(7, 3), normal(5, 3) + 1
    k = {
        pair: torch.as_tensor(rbf_kernel(a, b, gamma=1 / (2 * bandwidth**2)))
        for pair, (a, b) in {"xx": (x, x), "yy": (y, y), "xy": (x, y)}.items()
    }

    actual = detect.mmd_test(x, y, bandwidth=bandwidth, n_permutations=1)

    within = (k["xx"].sum() - 7) / (7 * 6) + (k["yy"].sum() - 5) / (5 * 4)
    assert actual.statistic == pytest.approx((within - 2 * k["xy"].mean()).item(), abs=1e-13)
    assert actual.bandwidth == pytest.approx(bandwidth)


def mmd2_of(x: Tensor, y: Tensor, bandwidth: float) -> mp.mpf:
    """Return the statistic in 50 digits."""
    a, b = ([exact(row) for row in sample] for sample in (x, y))

    def k(first: list[mp.mpf], second: list[mp.mpf]) -> mp.mpf:
        return mp.exp(-sum((u - v) ** 2 for u, v in zip(first, second, strict=True)) / (2 * mp.mpf(bandwidth) ** 2))

    within = [sum(k(p, q) for p, q in itertools.permutations(s, 2)) / (len(s) * (len(s) - 1)) for s in (a, b)]
    return sum(within) - 2 * sum(k(p, q) for p in a for q in b) / (len(a) * len(b))


@pytest.mark.held_against("50 digits", detect.mmd_test)
@pytest.mark.parametrize("bandwidth", [1e6, 1.0, 0.05])
@pytest.mark.parametrize(("n", "m"), [(12, 9), (3, 12)])
def test_mmd_keeps_its_digits_for_any_bandwidth(
    monkeypatch: pytest.MonkeyPatch, bandwidth: float, n: int, m: int
) -> None:
    x, y = normal(n, 3), normal(m, 3) + 4
    expected = float(mmd2_of(x, y, bandwidth))

    at_once = detect.mmd_test(x, y, bandwidth=bandwidth, n_permutations=1)
    monkeypatch.setattr(_mmd, "MAX_KERNEL_ROWS", 4)
    in_blocks = detect.mmd_test(x, y, bandwidth=bandwidth, n_permutations=1)

    for test in (at_once, in_blocks):
        assert test.statistic == pytest.approx(expected, rel=1e-11, abs=0)


def test_mmd_of_an_extreme_bandwidth_finds_the_shift() -> None:
    x, y = normal(20, 3), normal(20, 3) + 2
    vertices = 10 * torch.eye(11)[:10]
    far_vertices = vertices.index_fill(1, torch.tensor(10), 100.0)

    assert detect.mmd_test(x, y, bandwidth=1e7).rejects()  # all kernels are 1 but for 1e-14
    assert not detect.mmd_test(x[:10], x[10:], bandwidth=1e7).rejects(0.001)
    assert detect.mmd_test(vertices, far_vertices, bandwidth=1.0).rejects()  # all kernels are at most 1e-43


@pytest.mark.held_against("50 digits", detect.mmd_test)
def test_mmd_of_rows_near_each_other_and_far_from_the_median_keeps_its_digits() -> None:
    x, y = normal(12, 2), normal(9, 2)
    x[:5] += 1e9
    y[:4] += 1e9

    test = detect.mmd_test(x, y, bandwidth=1.0, n_permutations=1)

    assert test.statistic == pytest.approx(float(mmd2_of(x, y, 1.0)), abs=1e-6)  # of a scale of 1e9 in 16 digits


@pytest.mark.held_against("scikit-learn", detect.mmd_test)
def test_bandwidth_is_the_median_distance_of_rows_that_differ() -> None:
    x, y = normal(6, 3) + 1e4, normal(5, 3) + 1e4
    y[0] = x[0]
    both = torch.cat([x, y])
    distances = torch.as_tensor(euclidean_distances(both - both.mean(0)))[*torch.triu_indices(11, 11, 1)]

    actual = detect.mmd_test(x, y, n_permutations=1)

    assert actual.bandwidth == pytest.approx(distances[distances > 1e-6].median().item(), rel=1e-9)


def test_bandwidth_of_many_rows_is_estimated_from_a_part() -> None:
    x, y = normal(3000, 2), normal(3000, 2)

    estimated = detect.mmd_test(x, y, n_permutations=1).bandwidth

    assert estimated == pytest.approx(torch.pdist(torch.cat([x, y])[::3]).median().item(), rel=0.1)
    assert estimated != detect.mmd_test(x, y, n_permutations=1).bandwidth


def test_mmd_in_blocks_is_mmd_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(40, 3), normal(31, 3) + 0.5
    at_once = detect.mmd_test(x, y, n_permutations=50, generator=seeded())

    monkeypatch.setattr(_mmd, "MAX_KERNEL_ROWS", 16)
    monkeypatch.setattr(_result, "MAX_SPLIT_ENTRIES", 200)
    in_blocks = detect.mmd_test(x, y, n_permutations=50, generator=seeded())

    assert in_blocks.statistic == pytest.approx(at_once.statistic, abs=1e-13)
    torch.testing.assert_close(in_blocks.null, at_once.null, rtol=0, atol=1e-13)


def test_mmd_of_each_permutation_is_that_of_permuted_samples() -> None:
    x, y = normal(6, 2), normal(9, 2)
    both, drawn = torch.cat([x, y]), seeded()

    null = detect.mmd_test(x, y, n_permutations=5, bandwidth=1.0, generator=seeded()).null

    assert null is not None
    for statistic in null:
        order = torch.randperm(15, generator=drawn)
        again = detect.mmd_test(both[order[:6]], both[order[6:]], bandwidth=1.0, n_permutations=1)
        assert again.statistic == pytest.approx(statistic.item(), abs=1e-13)


@pytest.mark.parametrize("offset", [0.0, 0.7, 1.5])
def test_mmd_p_value_is_the_share_of_all_splits(offset: float) -> None:
    x, y = normal(5, 1), normal(5, 1) + offset

    def statistic(a: list[float], b: list[float]) -> float:
        rows = torch.tensor([*a, *b], dtype=torch.float64)[:, None]
        return detect.mmd_test(rows[: len(a)], rows[len(a) :], bandwidth=1.0, n_permutations=1).statistic

    actual = detect.mmd_test(x, y, bandwidth=1.0, n_permutations=10_000, generator=seeded()).p_value

    share = share_of_splits(x[:, 0].tolist(), y[:, 0].tolist(), statistic)
    assert actual == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 10_000) + 1e-4)


# The classifier test is its formula


@pytest.mark.parametrize("d", [2, 30])  # also with more columns than rows
def test_each_row_is_scored_by_the_ridge_regression_without_it(d: int) -> None:
    rows = _classifier._standardized(normal(15, d))
    codes = torch.tensor([1 / 6] * 6 + [-1 / 9] * 9, dtype=torch.float64)

    actual = _classifier._left_out(_classifier._ridge(rows), codes[:, None])[:, 0]

    for i in range(15):
        others = torch.arange(15) != i
        weight, bias = linear.ridge(rows[others], codes[others], penalty=_classifier.PENALTY)
        assert actual[i].item() == pytest.approx((rows[i] @ weight + bias).item(), abs=1e-12)


@pytest.mark.held_against("its definition", detect.classifier_test)
@pytest.mark.parametrize("features", ["linear", "quadratic"])
def test_classifier_statistic_and_accuracy_are_those_of_refits(features: str) -> None:
    x, y = normal(9, 2), normal(6, 2) + 1
    both, drawn = torch.cat([x, y]), seeded()
    columns = both if features == "linear" else torch.cat([both, both**2, both[:, :1] * both[:, 1:]], dim=1)
    if features == "quadratic":  # products of centred and scaled columns
        z = (both - both.mean(0)) / both.std(0)
        columns = torch.cat([z, z**2, z[:, :1] * z[:, 1:]], dim=1)
    columns = (columns - columns.mean(0)) / columns.std(0, correction=0)

    def refitted(first: Tensor) -> tuple[float, float]:
        codes = torch.full((15,), -1 / 6, dtype=torch.float64)
        codes[first] = 1 / 9
        scores = torch.zeros(15, dtype=torch.float64)
        for i in range(15):
            others = torch.arange(15) != i
            weight, bias = linear.ridge(columns[others], codes[others], penalty=1.0)
            scores[i] = columns[i] @ weight + bias
        right = (scores * codes > 0).double()
        in_x = codes > 0
        return (scores * codes).sum().item(), ((right[in_x].mean() + right[~in_x].mean()) / 2).item()

    actual = detect.classifier_test(x, y, features=features, n_permutations=20, generator=seeded())

    observed, accuracy = refitted(torch.arange(9))
    null = [refitted(torch.randperm(15, generator=drawn)[:9])[0] for _ in range(20)]
    every = torch.tensor([observed, *null], dtype=torch.float64)
    assert actual.statistic == pytest.approx(((observed - every.mean()) / every.std()).item(), abs=1e-9)
    assert actual.accuracy == pytest.approx(accuracy)
    assert actual.p_value == (1 + sum(score >= observed for score in null)) / 21


def test_auto_does_without_products_that_take_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(100, 3), 2 * normal(100, 3)

    def statistic(features: Literal["auto", "linear", "quadratic"]) -> float:
        return detect.classifier_test(x, y, features=features, n_permutations=19, generator=seeded()).statistic

    monkeypatch.setattr(_classifier, "MAX_PRODUCT_VALUES", 200 * 9)
    assert statistic("auto") == pytest.approx(statistic("quadratic"))
    assert statistic("auto") > statistic("linear")
    monkeypatch.setattr(_classifier, "MAX_PRODUCT_VALUES", 200 * 9 - 1)
    assert statistic("auto") == pytest.approx(statistic("linear"))
    assert statistic("quadratic") > statistic("linear")


def test_auto_takes_the_features_that_tell_more() -> None:
    x = normal(100, 3)
    moved, spread = x + 0.5, 3 * x

    of = {
        (name, features): detect.classifier_test(x, y, features=features, n_permutations=99, generator=seeded())
        for name, y in {"moved": moved, "spread": spread}.items()
        for features in ("linear", "quadratic", "auto")
    }

    statistic = {key: test.statistic for key, test in of.items()}
    assert statistic["moved", "auto"] == pytest.approx(statistic["moved", "linear"])
    assert statistic["moved", "linear"] > statistic["moved", "quadratic"]
    assert statistic["spread", "auto"] == pytest.approx(statistic["spread", "quadratic"])
    assert statistic["spread", "quadratic"] > statistic["spread", "linear"]
    assert of["spread", "auto"].accuracy == of["spread", "quadratic"].accuracy != of["spread", "linear"].accuracy


# The Kolmogorov–Smirnov test against scipy, and against all splits where values tie


@pytest.mark.held_against("SciPy", detect.ks_test)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 30), (5, 7), (40, 40), (200, 199), (60, 300)])
@pytest.mark.parametrize("offset", [0.0, 0.3, 2.0])
def test_ks_without_ties_agrees_with_scipy(n: int, m: int, offset: float) -> None:
    x, y = normal(n, 1), normal(m, 1) + offset

    actual = detect.ks_test(x, y)

    expected = scipy.stats.ks_2samp(x[:, 0], y[:, 0], method="exact")
    assert actual.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert actual.p_value == pytest.approx(expected.pvalue, rel=1e-9, abs=0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.lists(st.integers(0, 3), min_size=1, max_size=5))
@settings(max_examples=50)
def test_ks_with_ties_is_the_share_of_all_splits(x: list[int], y: list[int]) -> None:
    def distance(a: list[float], b: list[float]) -> float:
        return max(abs(sum(v <= t for v in a) / len(a) - sum(v <= t for v in b) / len(b)) for t in range(4))

    actual = detect.ks_test(torch.tensor(x)[:, None].double(), torch.tensor(y)[:, None].double())

    assert actual.statistic == pytest.approx(distance([*x], [*y]))
    assert actual.p_value == pytest.approx(share_of_splits([*x], [*y], distance), rel=1e-12)


def test_ks_p_value_of_separated_samples_is_exact_however_small() -> None:
    x = torch.arange(400.0, dtype=torch.float64)[:, None]

    actual = detect.ks_test(x[:200], x[200:])

    assert actual.statistic == 1
    assert actual.p_value == pytest.approx(2 / math.comb(400, 200), rel=1e-10, abs=0)


@pytest.mark.held_against("SciPy", detect.ks_test)
def test_ks_limit_is_kolmogorovs_distribution() -> None:
    argument = torch.tensor([0.0, 1e-9, 0.1, 0.4, 0.7, 0.99, 1.01, 1.36, 2.0, 5.0], dtype=torch.float64)

    actual = _ks._kolmogorov_p_values(argument)

    torch.testing.assert_close(actual, torch.as_tensor(scipy.special.kolmogorov(argument.numpy())))


@pytest.mark.parametrize(("n", "m"), [(300, 299), (100, 900), (1000, 1000)])
def test_ks_limit_errs_upwards_and_little(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(n, 5), normal(m, 5) + 0.05
    exact = detect.ks_test(x, y, correction="bonferroni").feature_p_values / 5

    monkeypatch.setattr(_ks, "MAX_ROWS_EXACT", 0)
    limit = detect.ks_test(x, y, correction="bonferroni").feature_p_values / 5

    assert (limit >= exact * (1 - 2e-3)).all()
    assert (limit <= exact * 1.25 + 1e-4).all()


def test_corrections_are_those_of_bonferroni_and_holm() -> None:
    x, y = normal(50, 4), normal(50, 4)
    y[:, 1] += 0.9
    y[:, 3] += 1.1
    alone = torch.tensor([detect.ks_test(x[:, [j]], y[:, [j]]).p_value for j in range(4)], dtype=torch.float64)

    bonferroni = detect.ks_test(x, y, correction="bonferroni")
    holm = detect.ks_test(x, y)

    order = alone.argsort().tolist()
    expected = torch.zeros_like(alone)
    for rank, j in enumerate(order):
        expected[j] = min(1.0, max((4 - i) * alone[k].item() for i, k in enumerate(order[: rank + 1])))
    torch.testing.assert_close(bonferroni.feature_p_values, (4 * alone).clamp(max=1))
    torch.testing.assert_close(holm.feature_p_values, expected)
    assert bonferroni.p_value == pytest.approx(holm.p_value) == pytest.approx(min(1.0, 4 * alone.min().item()))
    assert (holm.feature_p_values <= bonferroni.feature_p_values + 1e-15).all()
    assert "in features 1, 3." in holm.verdict


# The label test against scipy, and against all splits


@pytest.mark.held_against("SciPy", detect.label_test)
def test_label_statistic_agrees_with_scipy() -> None:
    x, y = torch.randint(5, (90,)), torch.randint(4, (40,))

    actual = detect.label_test(7 * x - 3, 7 * y - 3, n_permutations=1)

    counts = [[int((sample == k).sum()) for k in range(5)] for sample in (x, y)]
    expected = scipy.stats.chi2_contingency(counts, correction=False)
    assert actual.statistic == pytest.approx(expected.statistic)


@pytest.mark.held_against("SciPy", detect.label_test)
@pytest.mark.parametrize(("ones_in_x", "ones_in_y"), [(0, 4), (1, 4), (3, 3), (7, 5)])
def test_label_p_value_at_small_counts_is_that_of_fisher(ones_in_x: int, ones_in_y: int) -> None:
    x, y = (torch.arange(8) < ones for ones in (ones_in_x, ones_in_y))

    actual = detect.label_test(x.long(), y.long(), n_permutations=10_000, generator=seeded()).p_value

    table = [[ones_in_x, 8 - ones_in_x], [ones_in_y, 8 - ones_in_y]]
    expected = scipy.stats.fisher_exact(table).pvalue
    assert actual == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 10_000) + 1e-4)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.uint16, torch.uint32, torch.uint64])
def test_labels_may_be_of_any_integer_kind(dtype: torch.dtype) -> None:
    x, y = torch.randint(5, (90,)), torch.randint(4, (40,))
    expected = detect.label_test(x, y, n_permutations=9, generator=seeded())

    actual = detect.label_test(x.to(dtype), y.to(dtype), n_permutations=9, generator=seeded())

    assert (actual.statistic, actual.p_value) == (expected.statistic, expected.p_value)
    if dtype != torch.uint64:
        mixed = detect.label_test(x.to(dtype), y, n_permutations=9, generator=seeded())
        assert (mixed.statistic, mixed.p_value) == (expected.statistic, expected.p_value)


@pytest.mark.parametrize("least", [2**63 - 2, 2**64 - 5])
def test_labels_beyond_int64_stay_distinct(least: int) -> None:
    x, y = torch.tensor([0, 1, 2]).repeat(30), torch.tensor([0, 1, 1]).repeat(30)
    expected = detect.label_test(x, y, n_permutations=9, generator=seeded()).statistic

    labels = torch.tensor([least, least + 1, least + 4], dtype=torch.uint64)

    assert detect.label_test(labels[x], labels[y], n_permutations=9).statistic == pytest.approx(expected)


# The level is kept: 1,000 null draws each


def test_mmd_test_keeps_its_level() -> None:
    rate = rejections(lambda: detect.mmd_test(normal(20, 2), normal(15, 2), n_permutations=39))

    assert keeps_its_level(rate)


def test_classifier_test_keeps_its_level() -> None:
    rate = rejections(lambda: detect.classifier_test(normal(20, 2), normal(15, 2), n_permutations=39))

    assert keeps_its_level(rate)


def test_ks_test_keeps_its_level_over_all_features() -> None:
    rate = rejections(lambda: detect.ks_test(normal(20, 2), normal(23, 2)))

    assert keeps_its_level(rate)


def test_label_test_keeps_its_level_at_small_counts() -> None:
    shares = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05])

    def null_draw() -> ShiftTest:
        x, y = (torch.multinomial(shares, n, replacement=True) for n in (30, 25))
        return detect.label_test(x, y, n_permutations=39)

    assert keeps_its_level(rejections(null_draw))


# Silent wrong results of others


@pytest.mark.parametrize("test", FEATURE_TESTS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_row_of_nan_is_an_error_that_names_it_and_not_drift(test: Callable[..., ShiftTest], bad: float) -> None:
    x, y = normal(50, 3), normal(50, 3)
    y[17] = bad

    with pytest.raises(ValueError, match=rf"y must be finite, got {bad} at index \(17, 0\)"):
        test(x, y)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e300, 1e-300])
@pytest.mark.parametrize("test", FEATURE_TESTS)
def test_constant_data_have_p_value_one_and_a_finite_statistic(test: Callable[..., ShiftTest], value: float) -> None:
    x, y = (torch.full((n, 3), value, dtype=torch.float64) for n in (20, 13))

    actual = test(x, y)

    assert actual.p_value == 1
    assert actual.statistic == pytest.approx(0, abs=1e-12)


def test_what_is_constant_becomes_zero_and_not_nearly_zero() -> None:
    x = torch.tensor([[0.1, 0.3, 0.7]], dtype=torch.float64)

    assert torch.equal(_result.pooled(x.expand(20, 3), x.expand(13, 3)), torch.zeros(33, 3, dtype=torch.float64))


def test_labels_of_one_class_have_p_value_one() -> None:
    actual = detect.label_test(torch.full((20,), 3), torch.full((13,), 3))

    assert (actual.p_value, actual.statistic) == (1, 0)


@pytest.mark.parametrize("test", [detect.mmd_test, detect.classifier_test])
def test_a_p_value_by_permutation_is_never_zero(test: Callable[..., ShiftTest]) -> None:
    x = normal(30, 2)

    assert test(x, x + 100, n_permutations=10).p_value == 1 / 11
    assert test(x, x + 100, n_permutations=99).p_value == 1 / 100
    assert detect.label_test(torch.zeros(30).long(), torch.ones(30).long(), n_permutations=10).p_value == 1 / 11


def test_ten_permutations_do_not_make_the_test_oversized() -> None:
    tests = [detect.mmd_test(normal(10, 1), normal(10, 1), n_permutations=10) for _ in range(1000)]

    rate = sum(test.rejects(1 / 11) for test in tests) / 1000

    assert not any(test.rejects(0.05) for test in tests)
    assert abs(rate - 1 / 11) <= 2 * math.sqrt(1 / 11 * 10 / 11 / 1000)


def test_the_classifier_test_keeps_the_level_that_five_folds_with_a_binomial_null_exceed() -> None:
    rows = torch.randn(1000, 100, 10, dtype=torch.float64)
    labels = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(50)

    right = torch.zeros(1000)
    for fold in torch.arange(100).chunk(5):
        rest = torch.arange(100)[~torch.isin(torch.arange(100), fold)]
        weight = torch.linalg.lstsq(rows[:, rest], labels[rest].expand(1000, -1)[..., None]).solution
        right += ((rows[:, fold] @ weight)[..., 0] * labels[fold] > 0).sum(1)
    binomial = (torch.as_tensor(scipy.stats.binom.sf(right - 1, 100, 0.5)) <= 0.05).double().mean()
    options = {"features": "linear", "n_permutations": 19}
    ours = rejections(iter([detect.classifier_test(x[::2], x[1::2], **options) for x in rows]).__next__)

    assert binomial > 0.075
    assert keeps_its_level(ours)


# What the tests see


@pytest.mark.parametrize(
    ("shift", "seen_by"),
    [
        ("mean", {"mmd", "classifier", "ks"}),
        ("scale", {"mmd", "classifier", "ks"}),
        ("correlation", {"mmd", "classifier"}),
        ("none", set()),
    ],
)
def test_each_test_sees_its_kind_of_shift(shift: str, seen_by: set[str]) -> None:
    x, y = normal(300, 3), normal(300, 3)
    if shift == "mean":
        y = y + 0.4
    elif shift == "scale":
        y[:, 0] *= 2
    elif shift == "correlation":
        y[:, 1] = 0.9 * y[:, 0] + math.sqrt(1 - 0.81) * y[:, 1]

    tests = {
        "mmd": detect.mmd_test(x, y, n_permutations=199),
        "classifier": detect.classifier_test(x, y, n_permutations=199),
        "ks": detect.ks_test(x, y),
    }

    assert {name for name, test in tests.items() if test.rejects(0.01)} == seen_by


# Laws


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 10**6))
@settings(max_examples=25)
def test_exchanging_the_samples_changes_no_statistic(n: int, m: int, seed: int) -> None:
    rows = torch.randn(n + m, 2, dtype=torch.float64, generator=seeded(seed))
    x, y = rows[:n], rows[n:]

    mmd, ks = ([test(a, b) for a, b in ((x, y), (y, x))] for test in (detect.mmd_test, detect.ks_test))

    assert mmd[0].statistic == pytest.approx(mmd[1].statistic, abs=1e-13)
    assert (ks[0].statistic, ks[0].p_value) == pytest.approx((ks[1].statistic, ks[1].p_value), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e20, 1e307])
@pytest.mark.parametrize("test", FEATURE_TESTS)
def test_the_unit_does_not_matter(test: Callable[..., ShiftTest], scale: float) -> None:
    x, y = normal(20, 3), normal(20, 3) + 0.5
    options = {} if test is detect.ks_test else {"generator": seeded(), "n_permutations": 99}
    expected = test(x, y, **options)

    if options:
        options["generator"] = seeded()
    actual = test(scale * x, scale * y, **options)

    assert actual.statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert actual.p_value == pytest.approx(expected.p_value, abs=0.011)  # rounding may move one permutation


@pytest.mark.parametrize("test", FEATURE_TESTS)
def test_a_far_offset_does_not_matter(test: Callable[..., ShiftTest]) -> None:
    x, y = (torch.round(normal(20, 3) * 8) / 8 for _ in range(2))  # so that the sum is exact
    options = {} if test is detect.ks_test else {"n_permutations": 99}

    actual, expected = (
        test(x + offset, y + offset, **(options and options | {"generator": seeded()})) for offset in (1e8, 0.0)
    )

    assert actual.statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert actual.p_value == pytest.approx(expected.p_value, abs=0.011)  # rounding may move one permutation


def test_one_outlier_far_away_is_no_nan() -> None:
    x, y = normal(20, 2), normal(20, 2)
    x[0] = y[3] = 1e200

    assert math.isfinite(detect.mmd_test(x, y, n_permutations=19).statistic)
    assert math.isfinite(detect.mmd_test(x, y, n_permutations=19, bandwidth=1e-10).statistic)
    assert math.isfinite(detect.classifier_test(x, y, n_permutations=19).statistic)


def test_discrete_rows_that_repeat_are_compared() -> None:
    x, y = (torch.randint(2, (60, 3)).double() for _ in range(2))
    y[:, 0] = 1

    assert detect.mmd_test(x, y).rejects(0.01)
    assert detect.classifier_test(x, y).rejects(0.01)
    assert detect.ks_test(x, y).rejects(0.01)
    assert detect.ks_test(x, y).verdict.endswith("in feature 0.")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("test", FEATURE_TESTS)
def test_every_float_type_is_compared_as_its_values_are(test: Callable[..., ShiftTest], dtype: torch.dtype) -> None:
    x, y = normal(20, 3).to(dtype), normal(20, 3).to(dtype)
    options = [{} if test is detect.ks_test else {"generator": seeded(), "n_permutations": 99} for _ in range(2)]

    assert test(x, y, **options[0]).statistic == test(x.double(), y.double(), **options[1]).statistic


@pytest.mark.parametrize("test", [detect.mmd_test, detect.classifier_test, detect.label_test])
def test_a_generator_leaves_the_global_state_alone_and_repeats(test: Callable[..., ShiftTest]) -> None:
    x, y = normal(12, 2), normal(12, 2)
    if test is detect.label_test:
        x, y = (x[:, 0] > 0).long(), (y[:, 0] > 0).long()
    before = torch.get_rng_state()

    first, second = (test(x, y, n_permutations=20, generator=seeded(3)).null for _ in range(2))

    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_that_require_gradients_are_compared_without() -> None:
    x, y = normal(12, 2).requires_grad_(), normal(12, 2)

    for test in FEATURE_TESTS:
        assert 0 < test(x, y).p_value <= 1


# The result


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.5])
def test_the_threshold_is_what_the_statistic_must_exceed_to_reject(alpha: float) -> None:
    for seed in range(20):
        x, y = torch.randn(2, 12, 1, generator=seeded(seed))
        test = detect.mmd_test(x, y + 0.5, n_permutations=99)

        assert test.rejects(alpha) == (test.statistic > test.threshold(alpha))


@pytest.mark.parametrize("count", [1, 9, 19, 28, 99, 999])
def test_threshold_and_rejects_agree_at_and_around_each_possible_p_value(count: int) -> None:
    null = torch.arange(count, dtype=torch.float64)

    for k in [*range(0, count, max(1, count // 50)), count - 1]:  # so many permutations are at least the statistic
        p = (1 + k) / (1 + count)
        test = ShiftTest("T", count - k - 0.5, p, (5, 5), null=null)
        less, more = math.nextafter(p, 0), math.nextafter(p, 1)

        assert _result.permutation_p_value(torch.cat([torch.tensor([test.statistic]).double(), null]), 0) == p
        assert [test.rejects(alpha) for alpha in (less, p, more)] == [False, True, True]
        assert [test.statistic > test.threshold(alpha) for alpha in (less, p, more)] == [False, True, True]
        assert test.threshold(p) == count - 1 - k
    assert ShiftTest("T", -1.0, 1.0, (5, 5), null=null).threshold(1 - 1e-16) == 0
    assert not ShiftTest("T", -1.0, 1.0, (5, 5), null=null).rejects(1 - 1e-16)


@pytest.mark.parametrize("alpha", [0, 0.0, 1, 1.0, -0.05, 1.5, math.nan, math.inf])
def test_a_level_is_more_than_0_and_less_than_1(alpha: float, plain: ModuleType) -> None:
    test = plain.shift.detect.ShiftTest("T", 1.0, 0.5, (5, 5), null=torch.zeros(1))

    for ask in (test.rejects, test.threshold):
        with pytest.raises(ValueError, match=rf"^alpha must be in \(0, 1\), got {alpha}$"):
            ask(alpha)


def test_the_default_level_is_a_twentieth() -> None:
    at, above = (ShiftTest("T", 1.0, p, (5, 5), null=torch.arange(19.0)) for p in (0.05, math.nextafter(0.05, 1)))

    assert at.rejects()
    assert not above.rejects()
    assert at.verdict.startswith("The samples differ: ")
    assert above.verdict.startswith("No difference found")
    assert at.threshold() == 18.0


@pytest.mark.parametrize("test", [detect.mmd_test, detect.classifier_test])
def test_a_result_has_the_fields_of_its_definition(test: Callable[..., ShiftTest]) -> None:
    actual = test(normal(7, 2), normal(5, 2) + 1, n_permutations=30, generator=seeded())

    assert actual.null is not None
    assert actual.null.shape == (30,)
    assert actual.p_value == (1 + int((actual.null >= actual.statistic - 1e-9).sum())) / 31
    assert actual.sizes == (7, 5)
    assert actual.feature_p_values is actual.feature_statistics is None
    assert (actual.accuracy is None) == (actual.bandwidth is not None) == (test is detect.mmd_test)


def test_many_rows_that_differ_a_little_differ_by_little() -> None:
    x = torch.arange(200_000, dtype=torch.float64)[:, None]
    by = {rows: detect.ks_test(x, x + rows) for rows in (1_100, 9_400, 9_600)}

    assert by[1_100].verdict == (
        "The samples differ, but by little: Kolmogorov–Smirnov D 0.0055 (between 0.0012 and 0.0081) of 200000 and "
        "200000 examples, p = 0.0047, in feature 0."
    )
    assert by[9_400].interval[1] < 0.05 < by[9_600].interval[1]  # which decides it, not the D of the samples
    assert by[9_400].verdict.startswith("The samples differ, but by little: ")
    assert by[9_600].verdict.startswith("The samples differ: ")


@pytest.mark.parametrize("swapped", [False, True])
def test_the_noise_of_the_mmd_is_that_of_the_sample_that_varies_more(swapped: bool) -> None:
    x, y = 3 * normal(30, 1), 0.01 * normal(600, 1) + 5
    samples = (y, x) if swapped else (x, y)

    tests = [detect.mmd_test(*samples, bandwidth=1.0, generator=seeded(), tolerance=t) for t in (0.0, 0.5)]

    x_x, x_y, y_y = (torch.as_tensor(rbf_kernel(a, b, gamma=0.5)) for a, b in ((x, x), (x, y), (y, y)))
    norm = (x_x.mean() - 2 * x_y.mean() + y_y.mean()).sqrt().item()
    noise = math.sqrt((30 - x_x.mean() * 30) / 29 / 30)  # nearly all of it is of x
    assert norm - 2 * noise < tests[0].interval[0] < norm - noise
    assert tests[0].interval == tests[1].interval
    assert tests[1].rejects() == (tests[0].interval[0] > 0.5)


def test_a_small_mmd_is_not_called_little() -> None:
    x = torch.arange(40, dtype=torch.float64)[:, None]

    test = detect.mmd_test(x, x + 30, bandwidth=1e4, n_permutations=99, generator=seeded())

    assert test.interval[1] < 0.2
    assert ShiftTest("MMD²", 1e-4, 0.01, (9, 9), bandwidth=1.0, effect=0.01, interval=(0.0, 0.02)).verdict.startswith(
        "The samples differ: "
    )
    assert test.verdict.startswith("The samples differ: ")


# The size of a difference


def all_four(x: Tensor, y: Tensor, **options: float) -> list[ShiftTest]:
    """Return the test of one kind each, of 99 permutations from one seed."""
    labels = [(sample[:, 0] * 2).round().long() for sample in (x, y)]
    random = {"n_permutations": 99, **options}
    return [
        detect.ks_test(x, y, **options),
        detect.mmd_test(x, y, bandwidth=1.0, generator=seeded(), **random),
        detect.classifier_test(x, y, generator=seeded(), **random),
        detect.label_test(*labels, generator=seeded(), **random),
    ]


def test_effects_are_their_formulas() -> None:
    x, y = normal(60, 2), normal(50, 2) + 1.4

    ks, mmd, classifier, label = all_four(x, y)

    shares = [torch.bincount((s[:, 0] * 2).round().long() + 20, minlength=40) / len(s) for s in (x, y)]
    assert ks.effect == ks.statistic
    assert mmd.effect == pytest.approx(math.sqrt(mmd.statistic))
    assert classifier.effect == pytest.approx(2 * classifier.accuracy - 1)
    assert label.effect == pytest.approx((shares[0] - shares[1]).abs().sum().item() / 2, rel=1e-6)
    for test in (ks, mmd, classifier, label):
        assert 0 < test.interval[0] < test.effect < test.interval[1] < 1


@pytest.mark.held_against("its definition", detect.ks_test)
@pytest.mark.parametrize(("n", "m"), [(50, 50), (40, 200)])
def test_limits_of_ks_solve_their_equations(n: int, m: int) -> None:
    x, y = normal(n, 3), normal(m, 3)
    y[:, 1] += 1

    test = detect.ks_test(x, y)

    def solves(effect: float, limits: list[float], alpha: float) -> None:
        margin = math.sqrt(math.log(2 / alpha) / 2 * (1 / n + 1 / m))
        assert limits[0] == pytest.approx(max(effect - margin, 0))
        std = math.sqrt((1 / n + 1 / m) / 4 - limits[1] ** 2 / (n + m))
        assert limits[1] - effect == pytest.approx(scipy.stats.norm.ppf(1 - alpha) * std)

    for effect, limits in zip(test.feature_statistics, test.feature_intervals, strict=True):
        solves(effect.item(), limits.tolist(), 0.05 / 3)
    assert test.interval[0] == test.feature_intervals[1, 0].item()
    assert test.effect < test.interval[1] < test.feature_intervals[1, 1]


@pytest.mark.parametrize("kind", range(4))
def test_the_lower_limit_is_the_largest_tolerance_that_is_rejected(kind: int) -> None:
    x, y = normal(100, 2), normal(80, 2) + 1.4
    lower = all_four(x, y)[kind].interval[0]

    less, more = (all_four(x, y, tolerance=lower * factor)[kind] for factor in (0.999, 1.001))

    assert lower > 0.05
    assert less.p_value == pytest.approx(0.05, abs=0.011)  # up to a permutation
    assert less.rejects()
    assert not more.rejects()
    assert less.interval == more.interval


@pytest.mark.parametrize("kind", range(4))
def test_p_values_rise_with_the_tolerance(kind: int) -> None:
    x, y = normal(100, 2), normal(80, 2) + 1.4

    p = [all_four(x, y, tolerance=tolerance)[kind].p_value for tolerance in (0.01, 0.1, 0.2, 0.4, 0.9)]

    assert p == sorted(p)
    assert 0 < p[0] <= 0.05
    assert p[-1] > 0.9


@pytest.mark.parametrize("test", [detect.mmd_test, detect.classifier_test])
def test_the_least_p_value_with_a_tolerance_is_one_of_all_permutations(test: Any) -> None:
    x = normal(40, 1)

    assert test(x, x + 100, tolerance=0.01, n_permutations=99, generator=seeded()).p_value == 1 / 100


def true_effects(shift: float) -> tuple[float, float]:
    """Return D of two normal distributions with different means, and the MMD of the kernel with bandwidth 1."""
    return 2 * scipy.stats.norm.cdf(shift / 2) - 1, math.sqrt(2 / math.sqrt(3) * (1 - math.exp(-(shift**2) / 6)))


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0])
def test_the_limits_err_in_at_most_a_twentieth(shift: float) -> None:
    draws, (d, mmd) = 300, true_effects(shift)
    errors = {"ks": [0, 0], "mmd": [0, 0], "label": [0, 0]}
    shares = torch.tensor([[0.4, 0.3, 0.3], [0.4 + shift / 4, 0.3, 0.3 - shift / 4]])

    for _ in range(draws):
        x, y = normal(30, 1), normal(50, 1) + shift
        labels = [torch.multinomial(p, n, replacement=True) for p, n in zip(shares, (30, 50), strict=True)]
        tests = {
            "ks": (detect.ks_test(x, y, tolerance=0.5), d),
            "mmd": (detect.mmd_test(x, y, bandwidth=1.0, n_permutations=59), mmd),
            "label": (detect.label_test(*labels, n_permutations=59), shift / 4),
        }
        for name, (test, truth) in tests.items():
            errors[name][0] += test.interval[0] > truth
            errors[name][1] += test.interval[1] < truth

    assert max(itertools.chain(*errors.values())) <= draws * 0.05 + 3 * math.sqrt(draws * 0.05 * 0.95)


def test_the_lower_limit_of_many_classes_is_not_their_noise() -> None:
    shares = torch.full((50,), 0.02)

    tests = [
        detect.label_test(*(torch.multinomial(shares, n, replacement=True) for n in (30, 300)), n_permutations=59)
        for _ in range(100)
    ]

    assert min(test.effect for test in tests) > 0.3
    assert sum(test.interval[0] > 0 for test in tests) <= 12  # at level 0.05


def test_the_noise_of_two_very_different_samples_is_not_that_of_the_larger_one() -> None:
    x, y = torch.tensor([0, 1]).repeat(15), torch.tensor([0] * 990 + [1] * 10)

    test = detect.label_test(x, y, generator=seeded())

    std = math.sqrt(0.25 / 30 + 0.01 * 0.99 / 1000)
    assert test.effect == pytest.approx(0.49)
    assert test.interval[0] == pytest.approx(0.49 - 1.96 * std, abs=0.02)


def test_the_noise_is_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    monkeypatch.setattr(_label, "MAX_SPLIT_ENTRIES", 3000)

    noise = _label._noise(shares, 40, 60, 20_000, seeded())

    errors = torch.distributions.MultivariateNormal(torch.zeros(3).double(), 1e-12 * torch.eye(3) + shares.diag())
    drawn = errors.sample((20_000,))
    drawn = drawn - drawn.sum(1, keepdim=True) * shares  # covariance diag(shares) − shares sharesᵀ
    expected = drawn.abs().sum(1) / 2 * math.sqrt(1 / 40 + 1 / 60)
    assert noise.shape == (20_000,)
    assert noise.mean().item() == pytest.approx(expected.mean().item(), rel=0.02)
    assert noise.std().item() == pytest.approx(expected.std().item(), rel=0.04)


def test_the_upper_limit_allows_for_rows_that_are_not_in_the_samples() -> None:
    x = torch.zeros(20, 1)

    test = detect.mmd_test(x, x, n_permutations=99)

    rare = 1 - 0.05 ** (1 / 20)  # so large a share is not among 20 rows with probability 0.05
    assert test.interval == pytest.approx((0.0, math.sqrt(2) * rare))


def test_a_classifier_without_features_has_no_effect() -> None:
    x = torch.ones(30, 2)

    test = detect.classifier_test(x, x, n_permutations=99)

    assert (test.effect, test.interval[0]) == (0.0, 0.0)
    assert test.interval[1] > 0.2


def test_limits_of_youdens_j_allow_for_dependent_predictions() -> None:
    x, y = normal(20, 8), normal(20, 8) + 0.5

    test = detect.classifier_test(x, y, n_permutations=400, generator=seeded())

    j = 2 * test.accuracy - 1
    std = math.sqrt((1 - j**2) / 40)  # of 20 and 20 independent predictions
    assert test.interval[0] < j - 1.645 * std
    assert test.interval[1] - test.interval[0] > 2 * 1.645 * std


@pytest.mark.parametrize(
    ("tolerance", "conclusion"),
    [
        (0.0, "The samples differ: "),
        (0.01, "The samples differ by more than 0.01: "),
        (0.17, "Too few examples to tell whether the samples differ by more than 0.17: "),
        (0.3, "The samples differ by at most 0.3: "),
    ],
)
def test_a_verdict_says_whether_the_difference_exceeds_the_tolerance(tolerance: float, conclusion: str) -> None:
    x = torch.arange(1000, dtype=torch.float64)[:, None]

    test = detect.ks_test(x, x + 150, tolerance=tolerance)

    assert test.tolerance == tolerance
    assert test.verdict.startswith(f"{conclusion}Kolmogorov–Smirnov D 0.15 (between 0.089 and 0.19) of 1000 and 1000")


def test_a_verdict_of_no_difference_says_how_large_one_may_be() -> None:
    x = torch.arange(1000, dtype=torch.float64)[:, None]

    assert detect.ks_test(x, x).verdict.startswith("No difference found, but one of 0.037 is possible: ")
    plain = ShiftTest("T", 1.0, 0.5, (5, 5))
    assert (
        plain.verdict
        == "No difference found, which does not show that there is none: T 1 of 5 and 5 examples, p = 0.5."
    )


def test_a_test_with_a_tolerance_has_no_threshold() -> None:
    x, y = normal(20, 1), normal(20, 1)

    test = detect.mmd_test(x, y, n_permutations=19, tolerance=0.25)

    with pytest.raises(ValueError, match=r"^threshold needs a test of no difference, with tolerance 0, got 0\.25$"):
        test.threshold()


# Slices


def sliced(shifts: dict[int, float], n: int = 60, same_rows: bool = False) -> dict[str, Tensor]:
    """Return samples whose slices differ by the given shifts, of independent or of the same rows."""
    names = torch.tensor([*shifts]).repeat_interleave(n)
    offsets = torch.tensor([*shifts.values()], dtype=torch.float64).repeat_interleave(n)
    x = normal(len(names), 1)
    y = (x if same_rows else normal(len(names), 1)) + offsets[:, None]
    return {"x": x, "y": y, "x_slices": names, "y_slices": names}


@pytest.mark.held_against("its definition", detect.slice_test)
def test_slices_are_tested_alone_and_corrected_together() -> None:
    samples = sliced({7: 0.0, -2: 1.2, 4: 0.4, 11: 2.5})
    order = torch.randperm(240)
    shuffled = samples | {"y": samples["y"][order], "y_slices": samples["y_slices"][order]}

    result = detect.slice_test(detect.ks_test, **shuffled)

    alone = {
        name: detect.ks_test(samples["x"][samples["x_slices"] == name], samples["y"][samples["y_slices"] == name])
        for name in (-2, 4, 7, 11)
    }
    ordered = sorted(test.p_value for test in alone.values())
    holm = [min(1, max((4 - j) * p for j, p in enumerate(ordered[: i + 1]))) for i in range(4)]
    assert {name: test.p_value for name, test in zip(result.slices, result.tests, strict=True)} == {
        name: test.p_value for name, test in alone.items()
    }
    for test, p in zip(result.tests, result.p_values, strict=True):
        assert p.item() == pytest.approx(holm[ordered.index(test.p_value)])


def test_the_worst_slice_is_named_first() -> None:
    result = detect.slice_test(detect.ks_test, **sliced({7: 0.0, -2: 1.2, 11: 2.5}, same_rows=True))

    assert result.slices == (11, -2, 7)
    assert result.rejects() == (11, -2)
    lower = [test.interval[0] for test in result.tests]
    assert lower == sorted(lower, reverse=True)
    assert str(result) == result.verdict
    assert result.verdict.startswith("2 of 3 slices differ: slice 11, Kolmogorov–Smirnov D 0.")
    assert "; slice -2, Kolmogorov–Smirnov D 0." in result.verdict
    assert "slice 7" not in result.verdict


def test_a_slice_that_differs_precedes_one_whose_effect_is_larger_but_uncertain() -> None:
    few, many = ShiftTest("T", 1.0, 0.2, (10, 10), effect=0.9, interval=(0.5, 1.0)), ShiftTest("T", 1.0, 0.001, (9, 9))
    tests = iter([few, many])

    result = detect.slice_test(lambda _x, _y: next(tests), **sliced({0: 0.0, 1: 0.0}))

    assert result.slices == (1, 0)
    assert result.verdict == "1 of 2 slices differs: slice 1, T 1, p = 0.002."


def test_slices_with_few_rows_are_named_and_not_tested() -> None:
    x = y = normal(50, 1)
    names = torch.tensor([0] * 30 + [1] * 11 + [2] * 9, dtype=torch.uint8)
    other = torch.tensor([0] * 30 + [1] * 10 + [3] * 10)

    result = detect.slice_test(detect.ks_test, x, y, x_slices=names, y_slices=other, min_rows=11)

    assert (result.slices, result.untested) == ((0,), (1, 2, 3))
    assert result.verdict.endswith("found to differ. Too few rows to test slices 1, 2, 3.")


def test_slices_beyond_int64_keep_their_names() -> None:
    samples = sliced({0: 0.0, 1: 3.0}, same_rows=True)
    names = torch.tensor([2**64 - 2, 2**64 - 1], dtype=torch.uint64)[samples["x_slices"]]

    result = detect.slice_test(detect.ks_test, samples["x"], samples["y"], x_slices=names, y_slices=names)

    assert result.slices == (2**64 - 1, 2**64 - 2)


def test_slices_of_labels_and_a_tolerance_reach_the_test() -> None:
    slices = torch.tensor([0, 1]).repeat_interleave(200)
    x, y = torch.tensor([0, 1]).repeat(200), torch.cat([torch.tensor([0, 1]).repeat(100), torch.ones(200).long()])
    options = {"x_slices": slices, "y_slices": slices, "tolerance": 0.3, "n_permutations": 99}

    result = detect.slice_test(detect.label_test, x, y, generator=seeded(), **options)

    assert result.rejects() == (1,)
    assert result.verdict.startswith("1 of 2 slices differs by more than 0.3: slice 1, total variation 0.5 (between 0.")
    quiet = detect.slice_test(detect.label_test, x, x, generator=seeded(), **options)
    assert quiet.verdict == "No slice of 2 was found to differ by more than 0.3."


def test_so_many_slices_need_more_permutations() -> None:
    samples = sliced(dict.fromkeys(range(6), 3.0), n=12)

    with pytest.raises(ValueError, match=r"^n_permutations must be >= 119 to reject in 6 slices, got 118$"):
        detect.slice_test(detect.mmd_test, **samples, n_permutations=118)
    assert len(detect.slice_test(detect.mmd_test, **samples, n_permutations=119).rejects()) == 6


def test_slices_keep_their_level_together() -> None:
    draws = 200
    named = [
        bool(detect.slice_test(detect.ks_test, **sliced(dict.fromkeys(range(5), 0.0), n=11), tolerance=0.0).rejects())
        for _ in range(draws)
    ]

    assert sum(named) <= draws * 0.05 + 3 * math.sqrt(draws * 0.05 * 0.95)


def test_so_few_permutations_can_never_reject() -> None:
    test = detect.mmd_test(normal(5, 1), normal(5, 1) + 9, n_permutations=18)

    assert test.threshold(0.05) == math.inf
    assert not test.rejects(0.05)


def test_verdict_reports_the_finding() -> None:
    x = normal(50, 2)
    different = detect.classifier_test(x, x + 9, n_permutations=99, generator=seeded())
    alike = detect.ks_test(x, x)

    assert str(different) == different.verdict
    assert different.verdict.startswith("The samples differ: Youden's J 1 (between 0.")
    assert different.verdict.endswith("of 50 and 50 examples, p = 0.01, classified with accuracy 1.00.")
    constant = detect.classifier_test(x * 0, x * 0, n_permutations=19, generator=seeded())
    assert "accuracy" not in constant.verdict  # which is below chance where there is nothing to tell
    assert alike.verdict == (
        "No difference found, but one of 0.16 is possible: Kolmogorov–Smirnov D 0 (between 0 and 0.16) of 50 and 50 "
        "examples, p = 1."
    )


def test_a_result_refuses_what_is_no_level(plain: ModuleType) -> None:
    test = plain.shift.detect.ks_test(normal(5, 1), normal(5, 1))

    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 5"):
        test.rejects(5)
    with pytest.raises(TypeError, match=r"alpha must be a real number, got '5%'"):
        test.rejects("5%")
    with pytest.raises(ValueError, match=r"threshold needs a null distribution by permutation, which Kolmog"):
        test.threshold()


def test_a_result_is_loaded_in_the_safe_mode() -> None:
    result = detect.ks_test(torch.randn(20, 2), torch.randn(20, 2))
    file = io.BytesIO()
    torch.save(result, file)
    file.seek(0)

    assert str(torch.load(file, weights_only=True)) == str(result)
