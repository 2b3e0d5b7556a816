"""Density ratios against the truth, other libraries, their formulas and silent errors of other packages."""

import copy
import dataclasses
import io
import itertools
import math
import pickle
import re
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from dlcore import _newton, datasets, importance
from dlcore.shift import covariate
from dlcore.shift.covariate import (
    _balance,
    _classifier,
    _features,
    _groups,
    _kliep,
    _logistic,
    _matching,
    _paths,
    _ratio,
    _repeats,
    _scores,
    _ulsif,
)
from tests.memory import most_bytes_held
from tests.processes import mesh_of_one


def matched(source: Tensor, target: Tensor, *, generator: Generator | None = None) -> covariate.DensityRatio:
    """Match kernel means, for which nothing is drawn."""
    del generator
    return covariate.kernel_mean_matching(source, target)


ESTIMATORS: dict[str, Callable[..., covariate.DensityRatio]] = {
    "linear": lambda *args, **kwargs: covariate.logistic_ratio(*args, features="linear", **kwargs),
    "quadratic": lambda *args, **kwargs: covariate.logistic_ratio(*args, features="quadratic", **kwargs),
    "kernel": lambda *args, **kwargs: covariate.logistic_ratio(*args, features="kernel", **kwargs),
    "auto": covariate.logistic_ratio,
    "kliep": covariate.kliep,
    "ulsif": covariate.ulsif,
    "matching": matched,
}
every_estimator = pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)


def drawn(
    n: int = 1000, m: int = 1000, d: int = 2, *, mean: float = 1.0, std: float = 1.0, seed: int = 0
) -> datasets.GaussianShift:
    """Draw a standard normal source, and a target whose mean is that long."""
    direction = torch.full((d,), d**-0.5, dtype=torch.float64)
    return datasets.gaussian_shift(n, m, mean=mean * direction, std=std, generator=Generator().manual_seed(seed))


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def error(weights: Tensor, truth: Tensor) -> float:
    """Return the squared error relative to the squares of the truth."""
    return float((weights - truth).square().sum() / truth.square().sum())


# Silent wrong results of other packages


@every_estimator
def test_ratio_is_not_inverted(estimate: Callable[..., covariate.DensityRatio]) -> None:
    matching = estimate is ESTIMATORS["matching"]  # single weights of which are no good estimates
    shift = drawn(400, 400) if matching else drawn()

    ratio = estimate(shift.source, shift.target)

    assert correlation(ratio.weights, shift.log_ratio(shift.source).exp()) > (0.6 if matching else 0.9)
    assert correlation(ratio(shift.target), shift.log_ratio(shift.target).exp()) > 0.6


@every_estimator
@pytest.mark.parametrize(("n", "m"), [(800, 200), (200, 800)])
def test_class_sizes_do_not_enter_the_mean_weight(
    estimate: Callable[..., covariate.DensityRatio], n: int, m: int
) -> None:
    shift = drawn(n, m)

    ratio = estimate(shift.source, shift.target)
    fresh = drawn(4000, 1, seed=1)

    assert abs(ratio.weights.mean() - 1) <= 0.1
    assert 0.5 < ratio(fresh.source).clamp(max=20).mean() < 2  # the factor is 4, or 1 / 4


@every_estimator
@pytest.mark.parametrize("d", [1, 2, 30])
def test_separable_domains_are_refused_though_the_weights_look_healthy(
    estimate: Callable[..., covariate.DensityRatio], d: int
) -> None:
    source = torch.randn(200, d, dtype=torch.float64)
    target = torch.randn(200, d, dtype=torch.float64) + 20

    ratio = estimate(source, target)

    assert ratio.weights.isfinite().all()
    assert abs(ratio.weights.mean() - 1) <= 0.1
    assert not ratio.report.trustworthy
    assert "they hardly overlap" in ratio.report.verdict


@every_estimator
def test_a_target_inside_a_hole_of_the_source_is_refused(estimate: Callable[..., covariate.DensityRatio]) -> None:
    angle = torch.rand(300, dtype=torch.float64) * 2 * math.pi
    ring = 5 * torch.stack([angle.cos(), angle.sin()], dim=1)

    ratio = estimate(ring, torch.randn(300, 2, dtype=torch.float64) / 4)

    assert not ratio.report.trustworthy


@every_estimator
def test_a_target_of_which_the_source_covers_a_part_is_refused_though_the_weights_look_healthy(
    estimate: Callable[..., covariate.DensityRatio],
) -> None:
    covered, far = torch.randn(150, 2, dtype=torch.float64), torch.randn(250, 2, dtype=torch.float64) + 30

    ratio = estimate(torch.randn(400, 2, dtype=torch.float64), torch.cat([covered, far]))

    assert not ratio.report.trustworthy


@every_estimator
@pytest.mark.parametrize(("m", "words"), [(1, "1 row, fewer than ten"), (9, "9 rows, fewer than ten")])
def test_a_target_of_few_rows_is_refused(estimate: Callable[..., covariate.DensityRatio], m: int, words: str) -> None:
    shift = drawn(200, m, mean=0.1)

    ratio = estimate(shift.source, shift.target)

    assert ratio.report.n_target == m
    assert ratio.report.verdict == f"Do not trust these weights: the target has {words}."


@every_estimator
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_an_error_that_tells_where(
    estimate: Callable[..., covariate.DensityRatio], value: float
) -> None:
    for name in ("source", "target"):
        samples = {"source": torch.randn(50, 3), "target": torch.randn(60, 3)}
        samples[name][17, 2] = value

        with pytest.raises(ValueError, match=rf"{name} must be finite, got {value} at index \(17, 2\)"):
            estimate(samples["source"], samples["target"])


# What holds for every estimator


@every_estimator
def test_a_constant_column_changes_nothing(estimate: Callable[..., covariate.DensityRatio]) -> None:
    shift = drawn(200, 150)

    expected = estimate(shift.source, shift.target, generator=Generator().manual_seed(0)).weights
    source, target = (torch.cat([x, torch.full_like(x[:, :1], 7.1)], dim=1) for x in (shift.source, shift.target))
    weights = estimate(source, target, generator=Generator().manual_seed(0)).weights

    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-8)


@every_estimator
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_scale_and_offset_of_a_column_change_nothing(
    estimate: Callable[..., covariate.DensityRatio], size: float
) -> None:
    shift = drawn(200, 150)
    sizes, offsets = torch.tensor([size, 3.0]).double(), torch.tensor([0.0, 1e6]).double()

    ratio = estimate(shift.source, shift.target, generator=Generator().manual_seed(0))
    changed = estimate(
        shift.source * sizes + offsets, shift.target * sizes + offsets, generator=Generator().manual_seed(0)
    )

    torch.testing.assert_close(changed.weights, ratio.weights, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(changed(shift.target * sizes + offsets), ratio(shift.target), rtol=1e-5, atol=1e-8)


@every_estimator
@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (1, 40, 2), (40, 1, 2), (20, 15, 50), (2, 3, 4)])
def test_few_rows_and_many_columns_still_give_weights(
    estimate: Callable[..., covariate.DensityRatio], n: int, m: int, d: int
) -> None:
    ratio = estimate(torch.randn(n, d), torch.randn(m, d) + 0.1)

    assert ratio.weights.shape == (n,)
    assert (ratio.weights >= 0).all()
    assert abs(ratio.weights.mean() - 1) <= 0.1
    assert ratio(torch.randn(7, d)).isfinite().all()


@every_estimator
def test_the_same_rows_on_both_sides_have_weight_one(estimate: Callable[..., covariate.DensityRatio]) -> None:
    x = torch.randn(300, 3, dtype=torch.float64)

    ratio = estimate(x, x.clone())

    torch.testing.assert_close(ratio.weights, torch.ones(300, dtype=torch.float64), rtol=0, atol=0.3)
    assert ratio.report.trustworthy


@every_estimator
def test_float32_is_float64_rounded(estimate: Callable[..., covariate.DensityRatio]) -> None:
    shift = drawn(300, 200)
    source, target = shift.source.float(), shift.target.float()

    ratio = estimate(source, target, generator=Generator().manual_seed(0))
    exact = estimate(source.double(), target.double(), generator=Generator().manual_seed(0))

    assert ratio.weights.dtype == ratio(target).dtype == torch.float32
    assert torch.equal(ratio.weights, exact.weights.float())
    assert torch.equal(ratio(target), exact(target.double()).float())


@every_estimator
def test_ratio_at_the_source_is_the_weights(estimate: Callable[..., covariate.DensityRatio]) -> None:
    shift = drawn(200, 150)

    ratio = estimate(shift.source, shift.target)

    if estimate is ESTIMATORS["matching"]:  # its ratio is smoother than its weights
        assert correlation(ratio(shift.source), ratio.weights) > 0.2
        return
    torch.testing.assert_close(ratio(shift.source), ratio.weights)
    torch.testing.assert_close(ratio.log_ratio(shift.source).exp(), ratio.weights)
    torch.testing.assert_close(ratio(shift.source[3]), ratio.weights[3])
    torch.testing.assert_close(ratio(shift.source.reshape(10, 20, 2)), ratio.weights.reshape(10, 20))


@every_estimator
def test_ratio_is_differentiable_in_the_points_and_composes(estimate: Callable[..., covariate.DensityRatio]) -> None:
    shift = drawn(60, 50)
    points = shift.target[:4].clone().requires_grad_()

    ratio = estimate(shift.source, shift.target)

    assert torch.autograd.gradcheck(ratio, (points,))
    assert torch.autograd.gradgradcheck(ratio, (points,))
    torch.testing.assert_close(torch.vmap(ratio)(points), ratio(points))
    (by_autograd,) = torch.autograd.grad(ratio(points).sum(), points)
    torch.testing.assert_close(torch.vmap(torch.func.grad(ratio))(points.detach()), by_autograd)


@every_estimator
def test_a_generator_leaves_the_global_state_alone(estimate: Callable[..., covariate.DensityRatio]) -> None:
    shift = drawn(150, 150)
    state = torch.get_rng_state()

    one, other = (estimate(shift.source, shift.target, generator=Generator().manual_seed(5)) for _ in range(2))

    assert torch.equal(one.weights, other.weights)
    assert torch.equal(torch.get_rng_state(), state)


@every_estimator
def test_a_fit_carries_no_gradient_back(estimate: Callable[..., covariate.DensityRatio]) -> None:
    ratio = estimate(torch.randn(30, 2).requires_grad_(), torch.randn(30, 2).requires_grad_())

    assert not ratio.weights.requires_grad


@every_estimator
def test_a_ratio_can_be_stored_copied_and_compared(estimate: Callable[..., covariate.DensityRatio]) -> None:
    shift = drawn(60, 50)
    ratio = estimate(shift.source, shift.target)

    file = io.BytesIO()
    torch.save(ratio, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)

    for restored in (loaded, pickle.loads(pickle.dumps(ratio)), copy.deepcopy(ratio)):  # noqa: S301  # written here
        assert torch.equal(restored(shift.target), ratio(shift.target))
        assert str(restored.report) == str(ratio.report)
        assert restored != ratio
        assert restored.model != ratio.model
    assert repr(ratio).startswith("DensityRatio(weights=tensor([")


def test_points_of_other_columns_are_refused(plain: ModuleType) -> None:
    ratio = plain.shift.covariate.logistic_ratio(torch.randn(30, 2), torch.randn(30, 2), features="linear")

    for x, shape in ((torch.randn(5, 1), r"\(5, 1\)"), (torch.tensor(1.0), r"\(\)")):
        with pytest.raises(ValueError, match=rf"x must have shape \(\*, 2\), got {shape}"):
            ratio(x)
    with pytest.raises(TypeError, match=r"x must be a real floating-point tensor, got torch\.int64"):
        ratio(torch.ones(3, 2, dtype=torch.int64))


# The report


def test_effective_sample_size_is_that_of_the_closed_form() -> None:
    sizes = []
    for seed in range(5):
        shift = drawn(4000, 4000, seed=seed)
        sizes.append(covariate.logistic_ratio(shift.source, shift.target).report.effective_sample_size)

    assert abs(sum(sizes) / 5 / (4000 * math.exp(-1)) - 1) < 0.1


def test_report_holds_the_measures_of_the_weights_and_of_the_domains() -> None:
    shift = drawn()

    report = covariate.logistic_ratio(shift.source, shift.target, features="linear").report

    weights = covariate.logistic_ratio(shift.source, shift.target, features="linear").weights
    assert report.effective_sample_size == importance.diagnose(weights).effective_sample_size
    assert report.largest_weight == float(weights.max())
    assert report.pareto_shape == importance.diagnose(weights).pareto_shape
    assert abs(report.separability - 0.76) < 0.03  # of normal distributions one apart, the normal CDF at 1 / √2
    assert (
        report.verdict
        == f"Trust these weights: their effective sample size is {report.effective_sample_size:.3g} of 1000."
    )


def balance(differences: list[float], z: float = 1.0) -> covariate.Balance:
    """Return a balance of columns with these standardized differences."""
    d = torch.tensor(differences, dtype=torch.float64)
    order = d.abs().argsort(descending=True)
    return covariate.Balance(order, d[order], 0 * d, d[order], z * d[order].sign())


def ordinary_report(n_unsupported: int, differences: list[float]) -> covariate.RatioReport:
    """Return a report on weights that are trusted, with so many target rows without support."""
    return covariate.RatioReport(
        400,
        390.0,
        1.0,
        1.3,
        0.2,
        n_target=300,
        n_unsupported=n_unsupported,
        n_repeated=0,
        separability=0.75,
        weighted_accuracy=0.52,
        accuracy_by_chance=0.56,
        balance=balance(differences),
        features="linear",
        effective_target_size=300.0,
        grouped=False,
    )


def test_report_prints_in_lines() -> None:
    report = ordinary_report(3, [0.05, -0.08])

    assert str(report).splitlines() == [
        "Importance weights of 400 examples",
        "  effective sample size  390 (97.5%)",
        "  mean weight            1",
        "  largest weight         1.3 (0.3% of the sum)",
        "  Pareto shape           0.20 (trusted below 0.62)",
        "  rows of the target     300 (3 not represented)",
        "  separability           75.0% of pairs (trusted below 98%)",
        "  weighted accuracy      0.52 (trusted up to 0.63)",
        "  largest difference     0.08 standard deviations of column 1",
        "  features               linear",
        "Trust these weights: their effective sample size is 390 of 400.",
    ]


def test_far_domains_are_not_trusted_where_few_examples_overlap() -> None:
    shift = drawn(2000, 2000, mean=3.5)

    assert not covariate.logistic_ratio(shift.source, shift.target).report.trustworthy


@pytest.mark.parametrize("features", ["linear", lambda x: x])
def test_weights_that_leave_the_domains_different_are_not_trusted(features: Any) -> None:
    shift = drawn(400, 300, std=0.4, mean=0)

    blind = covariate.logistic_ratio(shift.source, shift.target, features=features).report
    seeing = covariate.logistic_ratio(shift.source, shift.target, features="quadratic").report

    assert blind.weighted_accuracy > 0.7
    assert "a classifier still separates the weighted source from the target, with accuracy 0." in blind.verdict
    assert seeing.weighted_accuracy < 0.6
    assert seeing.trustworthy


@every_estimator
def test_equal_domains_have_separability_one_half(
    estimate: Callable[..., covariate.DensityRatio],
) -> None:
    drawn_alike = estimate(torch.randn(300, 2), torch.randn(300, 2)).report
    constant = estimate(torch.ones(30, 2), torch.ones(20, 2)).report

    assert 0.5 <= drawn_alike.separability < 0.6
    assert constant.separability == 0.5
    assert constant.trustworthy


@every_estimator
def test_separability_is_that_of_rows_held_out(estimate: Callable[..., covariate.DensityRatio]) -> None:
    reports = []
    for seed in range(3):
        source, target = torch.randn(2, 200, 40, dtype=torch.float64, generator=Generator().manual_seed(seed))
        target[:, 0] += 0.5
        reports.append(estimate(source, target).report)

    # the best classifier has .64, the normal CDF at ½ / √2; on the rows it is fitted to, one of 40 columns has .73
    assert sum(report.separability for report in reports) / 3 < 0.65


@every_estimator
def test_separability_does_not_depend_on_the_order_of_the_rows(
    estimate: Callable[..., covariate.DensityRatio],
) -> None:
    shift = drawn(1500, 1500)
    ordered = [x[x[:, 0].argsort()] for x in (shift.source, shift.target)]

    expected = estimate(shift.source, shift.target).report.separability

    assert abs(estimate(ordered[0], shift.target).report.separability - expected) < 0.03
    assert abs(estimate(*ordered).report.separability - expected) < 0.03


def test_rows_of_no_weight_count_alike_where_none_has_any() -> None:
    scores = _scores.DomainScores(torch.tensor([0.0, 2.0]).double(), torch.tensor([1.0]).double())

    assert scores.weighted_accuracy(torch.tensor([0.0, 0.0]).double())[0] == 0.75
    assert scores.weighted_accuracy(torch.tensor([3.0, 0.0]).double())[0] == 1.0


def test_area_under_the_curve_is_that_of_scikit_learn() -> None:
    of_source, of_target = torch.randn(50).round(decimals=1), torch.randn(70).round(decimals=1) + 0.5

    area = _scores.DomainScores(of_source, of_target).separability()

    labels = [0] * 50 + [1] * 70
    assert area == pytest.approx(roc_auc_score(labels, torch.cat([of_source, of_target]).numpy()), abs=1e-12)


def test_accuracy_is_that_of_the_best_threshold() -> None:
    of_source, of_target = torch.randn(50).round(decimals=1), torch.randn(70).round(decimals=1) + 0.5
    weights = torch.rand(50).double()

    accuracy, _ = _scores.DomainScores(of_source, of_target).weighted_accuracy(weights)

    right = [
        float(weights[of_source <= at].sum() / weights.sum() + (of_target > at).double().mean()) / 2
        for at in torch.cat([of_source, of_target])
    ]
    assert accuracy == pytest.approx(max(right), abs=1e-12)
    backwards = _scores.DomainScores(of_target + 9, of_target)
    assert backwards.weighted_accuracy(torch.ones(70))[0] == 0.5


def test_balance_is_its_formula() -> None:
    source, target = torch.randn(40, 3, dtype=torch.float64), 2 + 3 * torch.randn(30, 3, dtype=torch.float64)
    weights = torch.rand(40, dtype=torch.float64)
    columns = _features.standardize(source, target)

    found = _balance.balance_of(source, target, weights, columns)

    mean = (weights[:, None] * source).sum(0) / weights.sum()
    gap = mean - target.mean(0)
    pooled = ((source.var(0, correction=0) + target.var(0, correction=0)) / 2).sqrt()
    noise = (weights.square()[:, None] * (source - mean).square()).sum(0) / weights.sum() ** 2
    noise = (noise + target.var(0, correction=0) / 30).sqrt()
    order = (gap / pooled).abs().argsort(descending=True)
    assert torch.equal(found.columns, order)
    torch.testing.assert_close(found.source_mean, mean[order])
    torch.testing.assert_close(found.target_mean, target.mean(0)[order])
    torch.testing.assert_close(found.difference, (gap / pooled)[order])
    torch.testing.assert_close(found.z, (gap / noise)[order])


@pytest.mark.parametrize("weights", [torch.zeros(4), torch.ones(4)])
def test_constant_columns_are_balanced_unless_their_constants_differ(weights: Tensor) -> None:
    source, target = torch.tensor([[7.1, 0.0]]).double().expand(4, 2), torch.tensor([[7.1, 1.0]]).double().expand(3, 2)

    found = _balance.balance_of(source, target, weights.double(), _features.standardize(source, target))

    assert found.columns.tolist() == [1, 0]
    assert found.difference[0] < -1e6
    assert (found.difference[1], found.z[1]) == (0, 0)


def test_balance_of_domains_a_million_standard_deviations_apart_keeps_its_digits() -> None:
    source, target = (torch.randn(100, 1, dtype=torch.float64) + sign * 1e6 for sign in (1, -1))
    columns, weights = _features.standardize(source, target), torch.rand(100, dtype=torch.float64)

    found = _balance.balance_of(source, target, weights, columns)

    xs, ys, ws = ([Fraction(value) for value in x.flatten().tolist()] for x in (source, target, weights))

    def variance(values: list[Fraction]) -> Fraction:
        mean = sum(values, Fraction()) / len(values)
        return sum(((value - mean) ** 2 for value in values), Fraction()) / len(values)

    weighted = sum(w * x for w, x in zip(ws, xs, strict=True)) / sum(ws)
    noise = sum((w * (x - weighted)) ** 2 for w, x in zip(ws, xs, strict=True)) / sum(ws) ** 2
    gap = float(weighted - sum(ys) / len(ys))
    assert found.difference.item() == pytest.approx(gap / ((variance(xs) + variance(ys)) / 2) ** 0.5, rel=1e-9)
    assert found.z.item() == pytest.approx(gap / (noise + variance(ys) / len(ys)) ** 0.5, rel=1e-9)


def test_balance_prints_ten_columns_and_the_number_of_the_others() -> None:
    lines = str(balance([0.01 * j for j in range(12)])).splitlines()

    assert lines[0] == "column  weighted source     target  difference       z"
    assert lines[1] == "    11             0.11          0        0.11     1.0"
    assert len(lines) == 12
    assert lines[-1] == "and 2 more columns with smaller differences"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "Trust these weights: their effective sample size is 390 of 400."),
        (
            {"n_unsupported": 16},
            "Do not trust these weights: no source row represents 16 of the 300 rows of the target.",
        ),
        (
            {"balance": balance([0.05, -0.2, 0.15], z=4.0)},
            "Do not trust these weights: column 1 of the weighted source is 0.2 standard deviations from the target's "
            "mean.",
        ),
        ({"balance": balance([0.05, -0.2], z=2.7)}, "Trust these weights: their effective sample size is 390 of 400."),
        ({"balance": balance([0.09], z=9.0)}, "Trust these weights: their effective sample size is 390 of 400."),
        (
            {"accuracy_by_chance": 0.5, "weighted_accuracy": 0.5 + 0.07},
            "Trust these weights: their effective sample size is 390 of 400.",
        ),
        (
            {"accuracy_by_chance": 0.5, "weighted_accuracy": 0.5701},
            "Do not trust these weights: a classifier still separates the weighted source from the target, with "
            "accuracy 0.57.",
        ),
        (
            {"n_repeated": 200},
            "Trust these weights: their effective sample size is 390 of 400, if the 200 repeated rows are independent; "
            "otherwise pass groups.",
        ),
        (
            {"n_target": 27, "effective_target_size": 27.0, "n_unsupported": 0, "balance": balance([0.3])},
            "Too few rows to tell: a column can differ by 0.51 standard deviations by chance, with an effective sample "
            "size of 390 and 27 rows of the target.",
        ),
        (
            {"n_target": 27, "effective_target_size": 27.0, "n_unsupported": 0, "balance": balance([0.2])},
            "Trust these weights: their effective sample size is 390 of 400.",
        ),
        (
            {"n_target": 27, "effective_target_size": 27.0, "n_unsupported": 0, "balance": balance([0.0])},
            "Trust these weights: their effective sample size is 390 of 400.",
        ),
    ],
)
def test_verdict_follows_support_balance_and_power(change: dict[str, Any], verdict: str) -> None:
    report = ordinary_report(15, [0.05])

    changed = dataclasses.replace(report, **change)

    assert changed.verdict == verdict
    assert changed.trustworthy is verdict.startswith("Trust")


@pytest.mark.parametrize("name", ["linear", "auto", "kliep", "ulsif"])
def test_target_rows_that_no_source_row_represents_are_counted_and_refused(name: str) -> None:
    source, target = torch.randn(2000, 2, dtype=torch.float64), torch.randn(800, 2, dtype=torch.float64)
    target[:80, 0] += 8

    ratio = ESTIMATORS[name](source, target)

    assert 80 <= ratio.report.n_unsupported < 100
    if name != "kliep":  # whose odds of a classifier have to agree
        assert ratio.report.n_unsupported == int((ratio(target) > 2 * ratio.weights.max()).sum())
    assert not ratio.report.trustworthy


@pytest.mark.parametrize("name", ["auto", "kliep"])
def test_a_ratio_that_overflows_has_a_finite_logarithm_and_is_counted(name: str) -> None:
    source, target = torch.randn(600, 1, dtype=torch.float64), torch.randn(600, 1, dtype=torch.float64) * 2
    target[:60] += 1000

    ratio = ESTIMATORS[name](source, target)

    assert ratio.log_ratio(target).isfinite().all()
    assert ratio.report.n_unsupported >= 60
    assert not ratio.report.trustworthy


@pytest.mark.parametrize("estimate", [covariate.logistic_ratio, covariate.kliep])
def test_the_only_shifted_one_of_many_columns_is_balanced(estimate: Callable[..., covariate.DensityRatio]) -> None:
    differences, errors = [], []
    for seed in range(6):
        generator = Generator().manual_seed(seed)
        source, target = (torch.randn(n, 60, dtype=torch.float64, generator=generator) for n in (300, 200))
        target[:, 7] += 0.8

        ratio = estimate(source, target, features="linear", generator=generator)

        balance = ratio.report.balance
        differences.append(float(balance.difference[balance.columns == 7].abs()))
        errors.append(error(ratio.weights, (0.8 * source[:, 7] - 0.32).exp()))

    assert sum(differences) / 6 < 0.25  # of 0.8; 0.4 and more with one penalty for all columns
    assert sum(errors) / 6 < 0.2


def test_shifted_columns_are_penalized_less_unless_there_are_none_or_no_others() -> None:
    source, target = torch.randn(2, 400, 3, dtype=torch.float64)
    target[:, 1] += 1
    columns, best = _features.standardize(source, target), torch.full((3,), 10.0, dtype=torch.float64)

    path = _paths.path_for_shifted(best, source, target, columns, None)

    assert [x.tolist() for x in path] == [[10.0, pytest.approx(x), 10.0] for x in (1.0, 0.1, 0.01)]
    assert _paths.path_for_shifted(best, source, source, columns, None) == []
    assert _paths.path_for_shifted(best, source, source + 1, columns, None) == []
    assert _paths.path_for_shifted(best, 0 * source, 0 * target, columns, None) == []


def test_a_constant_column_does_not_raise_the_bound_of_the_imbalance() -> None:
    shift = drawn(60, 50)
    constant = [torch.cat([x, torch.ones(len(x), 3, dtype=torch.float64)], dim=1) for x in (shift.source, shift.target)]

    plain, more = (
        _balance.balance_of(source, target, torch.ones(60, dtype=torch.float64), _features.standardize(source, target))
        for source, target in ((shift.source, shift.target), constant)
    )

    assert more.largest_z_by_chance == plain.largest_z_by_chance
    assert int(more.imbalanced.sum()) == int(plain.imbalanced.sum())


def test_a_ratio_that_leaves_columns_unbalanced_is_refused_though_its_weights_look_healthy() -> None:
    generator = Generator().manual_seed(0)
    source, target = torch.randn(2, 4000, 20, dtype=torch.float64, generator=generator)
    target[:, 0] += 1

    ratio = covariate.ulsif(source, target, generator=generator)
    balanced = covariate.logistic_ratio(source, target, generator=generator)

    assert importance.diagnose(ratio.weights).trustworthy
    assert ratio.report.balance.columns[0] == 0
    assert ratio.report.balance.difference[0] < -0.1
    assert "column 0 of the weighted source is 0." in ratio.report.verdict
    assert balanced.report.trustworthy


@every_estimator
def test_of_two_modes_one_of_which_is_the_target_the_other_has_no_weight_or_the_verdict_tells(
    estimate: Callable[..., covariate.DensityRatio],
) -> None:
    modes = torch.cat([torch.randn(400, 2) - 3, torch.randn(400, 2) + 3]).double()

    ratio = estimate(modes, torch.randn(400, 2).double() - 3)

    assert ratio.weights[400:].mean() < 0.1 or not ratio.report.trustworthy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_ten_times_over_are_counted_and_named(dtype: torch.dtype) -> None:
    shift = drawn(300, 250, 2, mean=0.3)
    source, target = (x.to(dtype).repeat(10, 1) for x in (shift.source, shift.target))

    report = covariate.logistic_ratio(source, target, features="linear").report

    assert report.n_repeated == 9 * 550
    assert report.verdict.endswith(", if the 4950 repeated rows are independent; otherwise pass groups.")
    assert covariate.logistic_ratio(shift.source, shift.target, features="linear").report.n_repeated == 0


def test_rows_of_few_values_repeat_by_themselves() -> None:
    discrete = torch.randint(30, (4000, 2)).double()
    continuous_and_unique = torch.cat([discrete, torch.randn(4000, 1).double()], dim=1)
    zeros = torch.tensor([[0.0, 1.0], [-0.0, 1.0]]).double()

    assert _repeats.repeated_rows(discrete) == 0
    assert _repeats.repeated_rows(continuous_and_unique) == 0
    assert _repeats.repeated_rows(zeros.repeat(200, 1) + torch.arange(400)[:, None] // 4 * torch.ones(2)) == 0
    assert _repeats.repeated_rows(torch.randn(101, 2).repeat(3, 1)) == 202


def test_ratio_of_a_blind_classifier_is_refused_with_all_rows_where_a_sample_would_pass() -> None:
    shift = drawn(64_000, 64_000, 1, mean=0, std=0.6)

    report = covariate.logistic_ratio(shift.source, shift.target, features="linear").report

    assert report.accuracy_by_chance < 0.51
    assert "a classifier still separates the weighted source from the target, with accuracy 0.6" in report.verdict


@pytest.mark.parametrize("n", [(500, 20), (40, 40)])
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "matching"])
def test_few_rows_are_too_few_to_tell_if_columns_are_left_to_differ(name: str, n: tuple[int, int]) -> None:
    shift = drawn(*n, 30, mean=0.2)

    report = ESTIMATORS[name](shift.source, shift.target).report

    assert report.balance.difference.abs().max() > 0.3
    assert not report.trustworthy
    assert "too few rows to tell" in report.verdict.lower() or report.verdict.startswith("Do not trust")
    assert report.hidden_difference > 0.5


def test_few_rows_are_trusted_if_the_weights_leave_no_column_to_differ() -> None:
    shift = drawn(500, 20, 12, mean=0.2)

    report = covariate.kernel_mean_matching(shift.source, shift.target).report

    assert report.balance.difference.abs().max() < 0.2
    assert report.hidden_difference > 0.5
    assert report.trustworthy


# Groups


GROUPED = {name: ESTIMATORS[name] for name in ("linear", "auto", "kliep", "ulsif")}
every_grouped = pytest.mark.parametrize("name", GROUPED)


def ten_times(shift: datasets.GaussianShift) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Return each row ten times over, and the groups of equal rows, whose labels are in no order."""
    source, target = (x.repeat(10, 1) for x in (shift.source, shift.target))
    labels = 7 * torch.arange(len(shift.source) + len(shift.target)) - 1000
    return source, target, (labels[: len(shift.source)].repeat(10), labels[len(shift.source) :].repeat(10))


@every_grouped
def test_rows_ten_times_over_in_groups_give_the_same_as_the_single_rows(name: str) -> None:
    shift = drawn(150, 120, 2, std=0.7, mean=0.5)
    source, target, groups = ten_times(shift)
    single = ESTIMATORS[name](shift.source, shift.target, generator=Generator().manual_seed(0))

    grouped = ESTIMATORS[name](source, target, groups=groups, generator=Generator().manual_seed(0))

    one, ten = single.report, grouped.report
    assert (ten.features, ten.n, ten.n_target, ten.n_repeated) == (one.features, 150, 120, 0)
    assert ten.effective_target_size == pytest.approx(120, rel=1e-12)
    assert "if the" not in ten.verdict
    if name == "ulsif":  # its kernels are around other rows
        assert ten.effective_sample_size == pytest.approx(one.effective_sample_size, rel=0.25)
        return
    torch.testing.assert_close(grouped.weights[:150], single.weights, rtol=1e-6, atol=1e-9)
    assert ten.effective_sample_size == pytest.approx(one.effective_sample_size, rel=1e-6)
    assert ten.accuracy_by_chance == pytest.approx(one.accuracy_by_chance, rel=1e-6)
    assert ten.hidden_difference == pytest.approx(one.hidden_difference, rel=1e-6)
    torch.testing.assert_close(ten.balance.z, one.balance.z, rtol=1e-4, atol=1e-6)
    values = shift.source[:, 0] ** 2
    expected = covariate.target_mean(values, single, shift.source, shift.target)
    found = covariate.target_mean(values.repeat(10), grouped, source, target)
    assert found.mean == pytest.approx(expected.mean, rel=1e-6)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-4)


def test_rows_ten_times_over_without_groups_claim_too_much() -> None:
    shift = drawn(150, 120, 2, std=0.7, mean=0.5)
    source, target, _ = ten_times(shift)

    report = covariate.logistic_ratio(source, target, generator=Generator().manual_seed(0)).report

    assert report.effective_sample_size > 500
    assert "repeated rows are independent; otherwise pass groups." in report.verdict


def some_groups() -> tuple[Tensor, Tensor]:
    """Return groups of 1, 2, 5 and 14 rows over 12 rows of source and 10 of target, two of which are in both."""
    return torch.tensor([0, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3]), torch.tensor([3] * 10)


@pytest.mark.parametrize("d", [1, 3, 20])
def test_a_group_left_out_has_the_logits_of_a_step_to_the_fit_without_it(d: int) -> None:
    shift = drawn(12, 10, d)
    rows = torch.cat([torch.cat([shift.source, shift.target]), torch.ones(22, 1, dtype=torch.float64)], dim=1)
    y = (torch.arange(22) >= 12).double()
    penalties = torch.full((d + 1,), 2.0, dtype=torch.float64)
    penalties[-1] = 0.5
    groups = _groups.Groups.numbered(*some_groups())
    start = torch.zeros(d + 1, dtype=torch.float64)

    found = _classifier.held_out(rows, y, penalties, start, groups)

    p = torch.sigmoid(rows @ found.params)
    for group in range(4):
        of_group = groups.of_rows == group
        others = ~of_group
        hessian = rows[others].T @ ((p * (1 - p))[others, None] * rows[others]) + torch.diag(penalties)
        gradient = rows[others].T @ (p - y)[others] + penalties * found.params
        step = rows[of_group] @ (found.params - torch.linalg.solve(hessian, gradient))
        torch.testing.assert_close(found.logits[of_group], step, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("centres", [2, 9])
def test_least_squares_ratio_of_a_group_left_out_is_that_of_a_fit_without_it(alpha: float, centres: int) -> None:
    on_source, on_target = (torch.rand(1, n, centres, dtype=torch.float64) for n in (12, 10))
    penalties = torch.tensor([0.01, 0.5], dtype=torch.float64)
    groups = _groups.Groups.numbered(*some_groups())

    ratios = _ulsif.held_out_ratios(on_source, on_target, penalties, alpha, groups)

    for group, (place, penalty) in itertools.product(range(4), enumerate(penalties)):
        kept_source, kept_target = on_source[0, groups.source != group], on_target[0, groups.target != group]
        curvature = (1 - alpha) / 12 * kept_source.T @ kept_source + alpha / 10 * kept_target.T @ kept_target
        theta = torch.linalg.solve(
            curvature + penalty * torch.eye(centres, dtype=torch.float64), kept_target.sum(0) / 10
        )
        torch.testing.assert_close(
            ratios[0][0, groups.source == group, place], on_source[0, groups.source == group] @ theta
        )
        torch.testing.assert_close(
            ratios[1][0, groups.target == group, place], on_target[0, groups.target == group] @ theta
        )


def test_samples_and_halves_are_of_whole_groups() -> None:
    sizes = torch.randint(1, 9, (60,))
    groups = _groups.Groups.numbered(
        torch.arange(40).repeat_interleave(sizes[:40]), torch.arange(30, 60).repeat_interleave(sizes[30:])
    )

    index = groups.sample(50, Generator().manual_seed(0))
    halves = groups.halves()

    for of_rows, chosen, half in zip((groups.source, groups.target), index, halves, strict=True):
        assert 40 < len(chosen) <= 50
        rest = torch.ones(len(of_rows), dtype=torch.bool).scatter(0, chosen, 0)
        assert not set(of_rows[chosen].tolist()) & set(of_rows[rest].tolist())
        assert not set(of_rows[half == 0].tolist()) & set(of_rows[half == 1].tolist())
        assert len(of_rows[half == 0].unique()) - len(of_rows[half == 1].unique()) in {-1, 0, 1}
    assert not set(groups.source[halves[0] == 0].tolist()) & set(groups.target[halves[1] == 1].tolist())
    one = _groups.Groups.numbered(torch.zeros(90, dtype=torch.int64), torch.arange(1, 100))
    assert len(one.sample(50, None)[0]) == 50  # a group that is too large is cut


def test_a_standard_error_is_that_of_the_sums_of_groups() -> None:
    values = torch.tensor([1.0, 2.0, 6.0, 3.0], dtype=torch.float64)  # 3 on average
    pairs = _groups.Groups.numbered(torch.tensor([0, 1]), torch.tensor([0, 1]))  # 7 and 5, less 2 · 3
    single = _groups.Groups.numbered(torch.arange(2), torch.arange(2, 4))

    assert _groups.standard_error(values, pairs) == pytest.approx(math.sqrt(1 + 1) / 4)
    assert _groups.standard_error(values, single) == pytest.approx(math.sqrt(4 + 1 + 9 + 0) / 4)
    assert _groups.standard_error(values, None) == pytest.approx(math.sqrt((4 + 1 + 9 + 0) / 3 / 4))


def test_effective_number_of_groups_is_that_of_their_weights() -> None:
    weights, labels = torch.tensor([1.0, 2.0, 1.0, 4.0]).double(), torch.tensor([5, 3, 5, 9])

    found = _groups.group_means(weights, labels)

    assert sorted(found.tolist()) == [1.5, 1.5, 3.0]  # 2, 2 and 4, times three groups over four rows
    assert _groups.effective_groups(labels) == pytest.approx(16 / 6)


def test_errors_by_group_are_those_of_many_draws() -> None:
    held, by_row, total = 0, 0, 80
    for seed in range(total):
        generator = Generator().manual_seed(seed)
        patients = [
            torch.randn(n, 2, generator=generator, dtype=torch.float64) + mean for n, mean in ((80, 0.0), (60, 0.3))
        ]
        source, target = (
            (x[:, None] + torch.randn(len(x), 6, 2, generator=generator, dtype=torch.float64) / 3).flatten(0, 1)
            for x in patients
        )
        of_patient = torch.randn(80, generator=generator, dtype=torch.float64)
        values = source[:, 0] + of_patient.repeat_interleave(6)
        groups = (torch.arange(80).repeat_interleave(6), torch.arange(80, 140).repeat_interleave(6))
        for labels in (None, groups):
            ratio = covariate.logistic_ratio(source, target, features="linear", groups=labels)
            found = covariate.target_mean(values, ratio, source, target)
            holds = found.interval[0] <= 0.3 <= found.interval[1]
            held, by_row = (held, by_row + holds) if labels is None else (held + holds, by_row)

    assert held >= 0.95 * total - 3 * math.sqrt(0.95 * 0.05 * total)
    assert by_row < 0.75 * total


def test_a_verdict_on_groups_counts_groups() -> None:
    shift = drawn(200, 90, 2, mean=0.2)
    groups = torch.arange(200), torch.arange(90) // 10

    report = covariate.logistic_ratio(shift.source, shift.target, groups=groups).report

    assert report.verdict == "Do not trust these weights: the target has 9 groups, fewer than ten."
    assert "  groups of the target   9 (0 not represented)" in str(report).splitlines()


def test_target_groups_that_no_source_row_represents_are_counted() -> None:
    shift = drawn(400, 300, 2, mean=0.2)
    target = shift.target.clone()
    target[:40, 0] += 30

    ratio = covariate.logistic_ratio(shift.source, target, groups=(torch.arange(400), torch.arange(300) // 4))

    beyond = (ratio(target) > 2 * ratio.weights.max()).reshape(75, 4)
    assert (ratio.report.n_target, ratio.report.n_unsupported) == (75, int(beyond.any(1).sum()))
    assert 10 <= ratio.report.n_unsupported < 40 <= int(beyond.sum())


def sharded(x: Tensor) -> DTensor:
    return distribute_tensor(x, mesh_of_one(), [Shard(0)])


@every_grouped
def test_groups_are_refused_with_sharded_rows(name: str) -> None:
    shift, groups = drawn(12, 10), some_groups()
    cure = (
        "must not have sharded rows, because groups are held out as a whole, in one process; "
        "pass x.full_tensor() of the rows and of their groups, or no groups"
    )

    for labels in (groups, tuple(map(sharded, groups))):
        with pytest.raises(ValueError, match=f"^{re.escape(f'source {cure}')}$"):
            ESTIMATORS[name](sharded(shift.source), sharded(shift.target), groups=labels)
    with pytest.raises(ValueError, match=f"^{re.escape(f'groups[1] {cure}')}$"):
        ESTIMATORS[name](shift.source, shift.target, groups=(groups[0], sharded(groups[1])))


# The logistic ratio


@pytest.mark.held_against("scikit-learn", covariate.logistic_ratio)
@pytest.mark.parametrize(("n", "m"), [(300, 300), (400, 100)])
def test_linear_ratio_is_that_of_scikit_learn_times_the_class_sizes(n: int, m: int) -> None:
    shift = drawn(n, m, d=3)
    both = torch.cat([shift.source, shift.target])
    standard = (both - both.mean(0)) / both.std(0, correction=0)
    model = LogisticRegression(C=0.5, tol=1e-10, solver="newton-cg").fit(standard.numpy(), [0] * n + [1] * m)
    odds = torch.from_numpy(model.decision_function(standard[:n].numpy())).exp()

    ratio = covariate.logistic_ratio(shift.source, shift.target, features="linear", penalty=2.0)

    torch.testing.assert_close(ratio.weights, odds * n / m, rtol=1e-5, atol=0)


def test_features_are_chosen_from_the_data() -> None:
    chosen = {"linear": drawn(d=4), "quadratic": drawn(std=0.6)}
    x = torch.randn(2000, 1, dtype=torch.float64)
    waves = torch.rand(2000, dtype=torch.float64) < (1 + (3 * x[:, 0]).sin()) / 2

    for features, shift in chosen.items():
        assert covariate.logistic_ratio(shift.source, shift.target).report.features == features
    assert covariate.logistic_ratio(x[~waves], x[waves]).report.features == "kernel"


def test_chosen_features_are_no_worse_than_the_right_ones_given() -> None:
    right: dict[Any, tuple[int, float]] = {"linear": (10, 1.0), "quadratic": (2, 0.6)}

    for features, (d, std) in right.items():
        errors = torch.zeros(2)
        for seed in range(5):
            shift = drawn(d=d, std=std, seed=seed)
            truth = shift.log_ratio(shift.source).exp()
            for place, name in enumerate(("auto", features)):
                weights = covariate.logistic_ratio(shift.source, shift.target, features=name).weights
                errors[place] += error(weights, truth) / 5

        assert errors[0] <= 1.05 * errors[1]
        assert errors[0] < 0.05


def test_products_of_ten_columns_do_not_overfit() -> None:
    errors = []
    for seed in range(5):
        shift = drawn(d=10, seed=seed)
        weights = covariate.logistic_ratio(shift.source, shift.target, features="quadratic").weights
        errors.append(error(weights, shift.log_ratio(shift.source).exp()))

    assert sum(errors) / 5 < 0.1


def test_a_kernel_finds_a_ratio_that_no_parabola_has() -> None:
    x = 4 * torch.rand(6000, 1, dtype=torch.float64) - 2
    truth = 1 + (3 * x[:, 0]).sin()
    target = x[torch.rand(6000, dtype=torch.float64) < truth / 2]

    ratio = covariate.logistic_ratio(x, target, features="kernel", generator=Generator().manual_seed(0))
    parabola = covariate.logistic_ratio(x, target, features="quadratic")

    assert error(ratio.weights, truth) < 0.1
    assert error(parabola.weights, truth) > 0.2


def test_a_function_gives_the_features() -> None:
    shift = drawn(std=0.6)

    def squares(x: Tensor) -> Tensor:
        return torch.cat([x, 1e9 * x**2], dim=-1)

    ratio = covariate.logistic_ratio(shift.source, shift.target, features=squares)

    assert error(ratio.weights, shift.log_ratio(shift.source).exp()) < 0.05
    assert ratio.report.features == "given"


@given(st.integers(0, 10**6), st.sampled_from([0.5, 10.0]), st.sampled_from([2, 12]))
@settings(max_examples=10)
def test_a_row_left_out_has_the_logit_of_a_step_to_the_fit_without_it(seed: int, penalty: float, d: int) -> None:
    shift = drawn(60, 40, d, seed=seed)
    rows = torch.cat([torch.cat([shift.source, shift.target]), torch.ones(100, 1, dtype=torch.float64)], dim=1)
    y = (torch.arange(100) >= 60).double()
    penalties = torch.full((d + 1,), penalty, dtype=torch.float64)
    penalties[-1] = 0
    start = torch.zeros(d + 1, dtype=torch.float64)

    found = _classifier.held_out(rows, y, penalties, start)

    p = torch.sigmoid(rows @ found.params)
    differences, moves = [], []
    for i in range(0, 100, 9):
        others = torch.arange(100) != i
        hessian = rows[others].T @ ((p * (1 - p))[others, None] * rows[others]) + torch.diag(penalties)
        gradient = rows[others].T @ (p - y)[others] + penalties * found.params
        step = rows[i] @ (found.params - torch.linalg.solve(hessian, gradient))
        assert abs(found.logits[i] - step) < 0.02  # the search has ended near the minimum, not at it
        refitted = rows[i] @ _classifier.held_out(rows[others], y[others], penalties, start).params
        differences.append(abs(found.logits[i] - refitted))
        moves.append(abs(rows[i] @ found.params - refitted))
    assert sum(differences) < 0.15 * sum(moves) + 0.01


def test_newton_steps_that_go_too_far_are_taken_back() -> None:
    x = torch.tensor([[-1e4], [-1.0], [1.0], [1e4]], dtype=torch.float64)
    rows, y = torch.cat([x, torch.ones_like(x)], dim=1), torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    penalties = torch.tensor([1e-6, 0.0], dtype=torch.float64)

    params = _classifier.held_out(rows, y, penalties, torch.tensor([0.1, 3.0], dtype=torch.float64)).params

    gradient = rows.T @ (torch.sigmoid(rows @ params) - y) + penalties * params
    assert (gradient / rows.abs().amax(0)).abs().max() < 1e-4


@every_estimator
def test_a_search_without_a_minimum_names_the_remedy(
    estimate: Callable[..., covariate.DensityRatio], monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = drawn(100, 100)
    monkeypatch.setattr(_newton, "MAX_STEPS", 1)

    with pytest.raises(
        RuntimeError, match=r"no minimum found in 1 steps; raise penalty, or drop columns of source and target"
    ):
        estimate(shift.source, shift.target)


@pytest.mark.parametrize("features", ["linear", "quadratic", "kernel"])
def test_all_rows_are_fitted_where_features_and_penalty_are_chosen_on_some(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = drawn(900, 400)
    monkeypatch.setattr(_logistic, "MAX_SAMPLE_ROWS", 300)
    sampled = covariate.logistic_ratio(
        shift.source, shift.target, features=features, penalty=3.0, generator=Generator().manual_seed(0)
    )
    model = sampled.model.unscaled
    assert isinstance(model, _ratio.LogLinear)

    both = torch.cat([shift.source, shift.target])
    rows = torch.cat([model.features(both), torch.ones(1300, 1, dtype=torch.float64)], dim=1)
    penalties = torch.tensor([3.0] * len(model.weight) + [0.0], dtype=torch.float64)
    y = (torch.arange(1300) >= 900).double()
    exact = _classifier.held_out(rows, y, penalties, torch.zeros_like(penalties)).params

    torch.testing.assert_close(model.weight, exact[:-1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        torch.tensor(model.bias - math.log(900 / 400), dtype=torch.float64), exact[-1], rtol=1e-3, atol=1e-4
    )


def test_many_rows_are_fitted_in_blocks_though_the_domains_differ_in_size() -> None:
    shift = drawn(60_000, 300, d=3)

    ratio = covariate.logistic_ratio(shift.source.float(), shift.target.float())

    assert ratio.report.features == "linear"
    assert error(ratio.weights.double(), shift.log_ratio(shift.source).exp()) < 0.1


def test_rows_are_read_alike_by_slice_and_by_index() -> None:
    source, target = torch.randn(5, 2), torch.randn(4, 2)
    standard = _features.standardize(source, target)
    rows = _classifier.DomainRows(source, target, standard, torch.tensor([1.0, 2.0], dtype=torch.float64))
    every = standard(torch.cat([source, target])) * rows.scale

    index = torch.tensor([8, 0, 4, 5])

    torch.testing.assert_close(rows[index], every[index])
    torch.testing.assert_close(rows[3:7], every[3:7])
    torch.testing.assert_close(rows[6:100], every[6:])


def test_columns_are_standardized_over_both_samples() -> None:
    source, target = torch.randn(30, 2, dtype=torch.float64), 5 + 3 * torch.randn(50, 2, dtype=torch.float64)
    both = torch.cat([source, target])

    mean, std, _ = dataclasses.astuple(_features.standardize(source, target))

    torch.testing.assert_close(mean, both.mean(0))
    torch.testing.assert_close(std, both.std(0, correction=0))


def test_a_search_starts_at_the_classifier_of_the_first_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    shift = drawn(60, 50, d=2)
    rows = torch.cat([shift.source, shift.target])
    starts: list[Tensor] = []
    held_out = _classifier.held_out

    def noted(rows: Tensor, y: Tensor, penalties: Tensor, params: Tensor, groups: Any = None) -> _classifier.Classifier:
        starts.append(params.clone())
        return held_out(rows, y, penalties, params, groups)

    monkeypatch.setattr(_classifier, "held_out", noted)
    linear = _classifier.best_on_path(rows, 60, [torch.full((2,), 0.1, dtype=torch.float64)])
    both = torch.cat([rows, rows.square()], dim=1)
    _classifier.best_on_path(both, 60, [torch.full((4,), 0.1, dtype=torch.float64)], warm_start=linear)

    expected = torch.cat([linear.params[:2], torch.zeros(2, dtype=torch.float64), linear.params[2:]])
    torch.testing.assert_close(starts[0], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(starts[1], expected)


def test_rows_beyond_the_sample_are_scored_by_the_fitted_classifier() -> None:
    shift = drawn(50, 40)
    columns = _features.standardize(shift.source, shift.target)
    rows = torch.cat([columns(shift.source[:30]), columns(shift.target[:20])])
    classifier = _classifier.best_on_path(rows, 30, [torch.full((2,), 0.1, dtype=torch.float64)])
    choice = _classifier.Choice(columns, classifier, "linear")

    scores = _classifier.scores_of_all_rows(choice, shift.source, shift.target, torch.arange(30), torch.arange(20))

    weight, bias = classifier.params[:2], classifier.params[2]
    torch.testing.assert_close(scores.on_source[:30], classifier.logits[:30])
    torch.testing.assert_close(scores.on_target[:20], classifier.logits[30:])
    torch.testing.assert_close(scores.on_source[30:], columns(shift.source[30:]) @ weight + bias)
    torch.testing.assert_close(scores.on_target[20:], columns(shift.target[20:]) @ weight + bias)


# The ratio of least squares


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3]))
@settings(max_examples=10)
def test_least_squares_ratio_at_a_row_left_out_is_that_of_a_fit_without_it(seed: int, alpha: float) -> None:
    generator = Generator().manual_seed(seed)
    on_source, on_target = (torch.rand(n, 5, dtype=torch.float64, generator=generator) for n in (12, 9))
    penalties = torch.tensor([0.01, 0.5], dtype=torch.float64)

    of_source, of_target = _ulsif.held_out_ratios(on_source, on_target, penalties, alpha)

    def solve(of_source: Tensor, of_target: Tensor, penalty: Tensor) -> Tensor:
        curvature = (1 - alpha) / 12 * of_source.T @ of_source + alpha / 9 * of_target.T @ of_target
        return torch.linalg.solve(curvature + penalty * torch.eye(5, dtype=torch.float64), of_target.sum(0) / 9)

    for place, penalty in enumerate(penalties):
        for i in (0, 8):
            kept_source, kept_target = torch.arange(12) != i, torch.arange(9) != i
            torch.testing.assert_close(
                of_source[i, place], on_source[i] @ solve(on_source[kept_source], on_target, penalty)
            )
            torch.testing.assert_close(
                of_target[i, place], on_target[i] @ solve(on_source, on_target[kept_target], penalty)
            )


def test_the_widths_to_choose_from_leave_no_gap() -> None:
    widths, penalties = (torch.tensor(x, dtype=torch.float64) for x in (_ulsif.WIDTHS, _ulsif.PENALTIES))

    assert widths[0] < 0.4
    assert widths[-1] >= 3
    for candidates, ratio in ((widths, 1.5), (penalties, 10)):
        steps = candidates[1:] / candidates[:-1]
        assert steps.min() > 1
        assert steps.max() < ratio * (1 + 1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_width_and_penalty_have_the_least_squared_error_at_rows_left_out(alpha: float) -> None:
    chosen: set[tuple[float, float]] = set()
    for seed in range(8):
        shift = drawn(40, 30, mean=0.5 * (seed % 4), seed=seed)
        columns = _features.standardize(shift.source, shift.target)
        centres, penalties = columns(shift.target[:10]), torch.tensor(_ulsif.PENALTIES, dtype=torch.float64)
        distance = torch.cdist(columns(shift.target), centres).median()

        found = _ulsif._choose(columns, centres, shift.source, shift.target, alpha=alpha, groups=None)

        errors: dict[tuple[float, float], float] = {}
        for width in _ulsif.WIDTHS:
            on_source, on_target = (
                torch.exp(-(torch.cdist(columns(x), centres) ** 2) / (2 * (width * distance) ** 2))
                for x in (shift.source, shift.target)
            )
            of_source, of_target = _ulsif.held_out_ratios(on_source, on_target, penalties, alpha)
            for j, penalty in enumerate(_ulsif.PENALTIES):
                r_source, r_target = of_source[:, j].clamp(min=0), of_target[:, j].clamp(min=0)
                denominator = (1 - alpha) * (r_source**2).mean() + alpha * (r_target**2).mean()
                errors[float(width * distance), penalty] = float(denominator / 2 - r_target.mean())
        expected = min(errors, key=errors.__getitem__)
        assert found == pytest.approx(expected)
        chosen.add((round(found[0] / float(distance), 3), found[1]))
    assert len(chosen) > 2


@pytest.mark.held_against("its definition", covariate.ulsif)
def test_least_squares_ratio_solves_its_linear_equations() -> None:
    shift = drawn(150, 120)

    model = covariate.ulsif(shift.source, shift.target).model.unscaled
    assert isinstance(model, _ulsif.KernelSum)

    on_source, on_target = model.kernels(shift.source), model.kernels(shift.target)
    residual = on_target.mean(0) - on_source.T @ on_source @ model.coefficients / 150
    penalty = float(residual @ model.coefficients / model.coefficients.square().sum())
    assert min(abs(penalty / value - 1) for value in _ulsif.PENALTIES) < 1e-6
    torch.testing.assert_close(residual, penalty * model.coefficients, rtol=1e-6, atol=1e-9)


def test_relative_ratio_is_bounded() -> None:
    shift = drawn(mean=2.0)

    plain = covariate.ulsif(shift.source, shift.target)
    relative = covariate.ulsif(shift.source, shift.target, alpha=0.5)

    truth = shift.log_ratio(shift.source).exp()
    truth = truth / (0.5 * truth + 0.5)
    assert error(relative.weights * truth.mean(), truth) < 0.1
    assert relative.report.largest_weight < plain.report.largest_weight / 2
    assert abs(relative.weights.mean() - 1) < 1e-9
    assert relative.report.effective_sample_size > 3 * plain.report.effective_sample_size


@pytest.mark.parametrize("n", [101, 5000])
def test_a_sample_of_rows_has_as_many_rows_as_asked_for(n: int) -> None:
    drawn = _features.random_row_indices(torch.zeros(n, 1), 100, Generator().manual_seed(0))

    assert len(set(drawn.tolist())) == 100


def test_least_squares_ratio_reads_all_rows_where_it_chooses_on_some(monkeypatch: pytest.MonkeyPatch) -> None:
    shift = drawn(900, 400)
    monkeypatch.setattr(_ulsif, "MAX_SAMPLE_ROWS", 200)
    monkeypatch.setattr(_features, "MAX_BLOCK_ENTRIES", 5000)

    ratio = covariate.ulsif(shift.source, shift.target)
    model = ratio.model.unscaled
    assert isinstance(model, _ulsif.KernelSum)

    on_source, on_target = model.kernels(shift.source), model.kernels(shift.target)
    residual = on_target.mean(0) - on_source.T @ on_source @ model.coefficients / 900
    assert correlation(residual, model.coefficients) > 0.999


def test_a_ratio_below_zero_is_cut_off() -> None:
    shift = drawn(mean=3.0)

    weights = covariate.ulsif(shift.source, shift.target).weights

    assert (weights >= 0).all()
    assert (weights < 1e-9).any()


# The ratio of the largest likelihood


@pytest.mark.held_against("its definition", covariate.kliep)
def test_weighted_source_has_the_features_of_the_target() -> None:
    shift = drawn(300, 200)

    ratio = covariate.kliep(shift.source, shift.target, penalty=2.0)
    model = ratio.model.unscaled
    assert isinstance(model, _ratio.LogLinear)

    on_source, on_target = model.features(shift.source), model.features(shift.target)
    difference = on_target.mean(0) - ratio.weights @ on_source / 300
    torch.testing.assert_close(difference, 2.0 * model.weight / 200, rtol=1e-2, atol=1e-5)
    assert abs(ratio.weights.mean() - 1) < 1e-12


def test_likelihood_fit_takes_back_steps_that_go_too_far() -> None:
    x = torch.tensor([[-10.0], [-1.0], [1.0], [10.0]], dtype=torch.float64)
    penalties = torch.tensor([1e-3], dtype=torch.float64)

    params = _kliep.fit(x, x[1:] / 2, penalties, torch.tensor([0.8], dtype=torch.float64))

    share = (x @ params).softmax(0)
    gradient = 3 * (share @ x - x[1:].mean(0) / 2) + penalties * params
    assert gradient.abs() < 1e-2


def test_more_target_rows_never_hurt_the_likelihood_ratio() -> None:
    errors = []
    for m in (100, 3000):
        shifts = [drawn(100, m, 1, seed=seed) for seed in range(12)]
        weights = [covariate.kliep(x.source, x.target, generator=Generator().manual_seed(0)).weights for x in shifts]
        of_each = [error(w, x.log_ratio(x.source).exp()) for w, x in zip(weights, shifts, strict=True)]
        errors.append(sum(of_each) / 12)

    assert errors[1] < errors[0] + 0.05


def test_products_of_two_columns_are_found_by_the_likelihood_ratio() -> None:
    shift = drawn(std=0.6)

    ratio = covariate.kliep(shift.source, shift.target)

    assert ratio.report.features == "quadratic"
    assert error(ratio.weights, shift.log_ratio(shift.source).exp()) < 0.05


@pytest.mark.parametrize("estimate", [ESTIMATORS["linear"], ESTIMATORS["auto"], covariate.kliep])
def test_duplicated_columns_without_penalty_have_a_solution_or_an_error_that_names_the_penalty(
    estimate: Callable[..., covariate.DensityRatio],
) -> None:
    shift = drawn(100, 80, 3)
    source, target = (torch.cat([x, x], dim=1) for x in (shift.source, shift.target))

    try:
        weights = estimate(source, target, penalty=1e-14).weights
    except RuntimeError as failure:
        assert "raise penalty, or drop columns of source and target" in str(failure)  # noqa: PT017
    else:
        assert weights.isfinite().all()
        assert abs(weights.mean() - 1) <= 0.1


# Kernel mean matching


def test_matched_ratio_at_a_point_is_the_mean_weight_of_the_rows_around_it() -> None:
    shift = drawn(30, 30)
    columns = _features.standardize(shift.source, shift.target)
    log_weights = torch.randn(30, dtype=torch.float64)
    points = torch.randn(5, 2, dtype=torch.float64)

    found = _matching.Smoothed(columns, columns(shift.source), log_weights, 0.7)(points)

    kernels = torch.exp(-(torch.cdist(columns(points), columns(shift.source)) ** 2) / (2 * 0.7**2))
    torch.testing.assert_close(found.exp(), kernels @ log_weights.exp() / kernels.sum(1))


@pytest.mark.held_against("SciPy", covariate.kernel_mean_matching)
def test_matched_weights_are_those_of_a_solver_of_quadratic_programs() -> None:
    source, target = torch.randn(25, 2, dtype=torch.float64), torch.randn(30, 2, dtype=torch.float64) + 0.7
    both = torch.cat([source, target])
    on_source, on_target = ((x - both.mean(0)) / both.std(0, correction=0) for x in (source, target))
    width = torch.cdist(on_source, on_source).square().median().sqrt()
    kernel = torch.exp(-torch.cdist(on_source, on_source).square() / (2 * width**2)).numpy()
    means = torch.exp(-torch.cdist(on_source, on_target).square() / (2 * width**2)).sum(1).numpy() * 25 / 30

    weights = covariate.kernel_mean_matching(source, target, maximum=3.0).weights.numpy()
    best = minimize(
        lambda w: w @ kernel @ w / 2 - w @ means,
        torch.ones(25).numpy(),
        jac=lambda w: kernel @ w - means,
        bounds=[(0, 3)] * 25,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 25},
        options={"ftol": 1e-12, "maxiter": 500},
    )

    assert abs(weights.sum() - 25) < 1e-6
    assert weights.min() >= 0
    assert weights.max() <= 3 + 1e-9
    assert 0 <= (weights @ kernel @ weights / 2 - weights @ means - best.fun) / 25**2 + 1e-9 < 1e-4


@pytest.mark.parametrize("n", [200, 1025])
def test_the_width_of_a_match_is_the_median_distance_of_at_most_1024_evenly_spaced_rows(n: int) -> None:
    shift = drawn(n, 10)
    z = _features.standardize(shift.source, shift.target)(shift.source)
    rows = z if n <= 1024 else z[torch.arange(1024) * n // 1024]

    model = covariate.kernel_mean_matching(shift.source, shift.target, maximum=1.0).model.unscaled

    assert isinstance(model, _matching.Smoothed)
    assert model.width == pytest.approx(float(torch.cdist(rows, rows).square().median().sqrt()))


def test_a_match_that_does_not_reach_its_gap_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_matching, "MAX_STEPS", 3)

    with pytest.raises(RuntimeError, match=r"within 0\.0001 of the least distance .* 3 steps; lower maximum, or pass"):
        covariate.kernel_mean_matching(torch.randn(20, 2), torch.randn(20, 2) + 1)


def test_half_of_one_matrix_of_all_pairs_of_source_rows_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_matching, "MAX_WIDTH_ROWS", 100)
    monkeypatch.setattr(_matching, "MAX_GAP", 1.0)
    shift = drawn(800, 100)

    held = most_bytes_held(lambda: covariate.kernel_mean_matching(shift.source, shift.target))

    assert 4 * 800**2 <= held < 8 * 800**2


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_blocks_of_the_kernel_multiply_as_the_whole_matrix(n: int) -> None:
    z, w = torch.randn(n, 2, dtype=torch.float64), torch.rand(n, dtype=torch.float64)

    product = _matching.SymmetricKernel.of(z, 1.5) @ w

    torch.testing.assert_close(product, torch.exp(-torch.cdist(z, z).square() / 4.5) @ w)


def test_a_match_raises_a_curvature_that_is_guessed_too_small() -> None:
    shift = drawn(100, 1, 3)
    kernel = _matching.SymmetricKernel.of(shift.source, 1.5)
    kappa = 100 * torch.exp(-torch.cdist(shift.source, shift.target).square() / 4.5)[:, 0]

    slow, fast = (_matching._match(kernel, kappa, 20.0, curvature) for curvature in (1e-6, 100.0))

    value = [float(w @ (kernel @ w) / 2 - w @ kappa) / 100**2 for w in (slow, fast)]
    assert value[0] == pytest.approx(value[1], abs=1e-4)
    assert abs(slow.sum() - 100) < 1e-6


def test_matched_weights_have_no_tail_to_judge() -> None:
    shift = drawn(400, 300)

    ratio = covariate.kernel_mean_matching(shift.source.exp(), shift.target.exp())

    assert math.isnan(ratio.report.pareto_shape)
    assert importance.diagnose(ratio.weights).pareto_shape > -math.inf


def test_matched_weights_give_a_right_risk() -> None:
    shift = drawn(400, 400)

    weights = covariate.kernel_mean_matching(shift.source, shift.target).weights

    mean = (weights[:, None] * shift.source).mean(0)
    assert (mean - shift.target.mean(0)).norm() < 0.15
    assert (shift.source.mean(0) - shift.target.mean(0)).norm() > 0.8


# The mean in the target


@pytest.mark.held_against("its definition", covariate.target_mean)
@pytest.mark.parametrize("with_predictions", [False, True])
@pytest.mark.parametrize(("n", "d"), [(60, 2), (400, 2)])  # without and with products
def test_target_mean_is_its_formula(with_predictions: bool, n: int, d: int) -> None:
    shift = drawn(n, 50, d, mean=0.5)
    values = shift.source[:, 0] ** 2 + torch.randn(n, dtype=torch.float64)
    predictions = (shift.source[:, 1], shift.target[:, 1]) if with_predictions else None
    ratio = covariate.logistic_ratio(shift.source, shift.target)

    found = covariate.target_mean(values, ratio, shift.source, shift.target, predictions=predictions, level=0.9)

    y = (values - (shift.source[:, 1] if with_predictions else 0)).numpy()
    w = ratio.weights.numpy() / ratio.weights.numpy().sum()
    both = np.concatenate([shift.source.numpy(), shift.target.numpy()])
    both = (both - both.mean(0)) / both.std(0)
    if 1 / (w**2).sum() >= 25:
        both = np.stack([both[:, 0], both[:, 1], both[:, 0] ** 2, both[:, 0] * both[:, 1], both[:, 1] ** 2], axis=1)
    phi, phi_target = both[:n] - w @ both[:n], both[n:] - w @ both[:n]
    root = np.sqrt(w)[:, None] * phi
    matrix = root.T @ root + np.eye(phi.shape[1]) / n
    beta = np.linalg.solve(matrix, phi.T @ (w * (y - w @ y)))
    f_target = phi_target @ beta + (shift.target[:, 1].numpy() if with_predictions else 0)
    hat = w * (1 + np.einsum("ij,jk,ik->i", phi, np.linalg.inv(matrix), phi))
    residual = (y - w @ y - phi @ beta) / (1 - hat)
    influence = w * (1 + phi @ np.linalg.inv(matrix) @ phi_target.mean(0))
    error_expected = math.sqrt(((influence * residual) ** 2).sum() + f_target.var() / 50)
    assert found.mean == pytest.approx(w @ y + f_target.mean(), rel=1e-9)
    assert found.standard_error == pytest.approx(error_expected, rel=1e-9)
    half = 1.6448536269514722 * error_expected
    assert found.interval == pytest.approx((found.mean - half, found.mean + half))
    assert found.level == 0.9


@pytest.mark.parametrize("name", ["auto", "kliep", "ulsif"])
def test_interval_of_a_target_mean_includes_the_noise_of_the_ratio(name: str) -> None:
    held, held_with_known_weights = 0, 0
    for seed in range(60):
        shift = drawn(300, 60, 3, mean=0.5, seed=seed)
        x = shift.source.sum(1)
        values = x + torch.randn(300, dtype=torch.float64, generator=Generator().manual_seed(seed))
        ratio = ESTIMATORS[name](shift.source, shift.target, generator=Generator().manual_seed(seed))
        found = covariate.target_mean(values, ratio, shift.source, shift.target)
        truth = 0.5 * math.sqrt(3)
        held += found.interval[0] <= truth <= found.interval[1]
        w = ratio.weights / ratio.weights.mean()
        known = float((w * (values - (w * values).mean())).square().sum().sqrt()) / 300
        held_with_known_weights += abs(float((w * values).mean()) - truth) < 1.96 * known

    assert held >= 52  # of 60: .95 less three standard errors
    assert held_with_known_weights < 48


def test_target_mean_prints_its_interval() -> None:
    shift = drawn(100, 100)
    found = covariate.target_mean(
        shift.source[:, 0], covariate.kliep(shift.source, shift.target), shift.source, shift.target, level=0.9
    )

    assert str(found).startswith(f"{found.mean:.4g} ± {found.standard_error:.2g} (90% interval ")


@pytest.mark.parametrize("right", ["ratio", "predictions"])
def test_target_mean_is_right_if_the_ratio_or_the_predictions_are(right: str) -> None:
    shift = drawn(4000, 4000, 2, mean=1.0)
    truth = float((3 * shift.target[:, 0]).sin().mean())
    blind = covariate.kliep(shift.source[:, 1:] * 0, shift.target[:, 1:] * 0)  # all weights are 1
    ratio = covariate.logistic_ratio(shift.source, shift.target) if right == "ratio" else blind
    wrong = (shift.source[:, 0], shift.target[:, 0])
    exact = ((3 * shift.source[:, 0]).sin(), (3 * shift.target[:, 0]).sin())

    found = covariate.target_mean(
        (3 * shift.source[:, 0]).sin(),
        ratio,
        shift.source,
        shift.target,
        predictions=wrong if right == "ratio" else exact,
    )

    assert abs(found.mean - truth) < 4 * found.standard_error < 0.3
    assert abs(float((3 * shift.source[:, 0]).sin().mean()) - truth) > 0.02


def test_likelihood_ratio_of_the_columns_without_penalty_is_entropy_balancing() -> None:
    shift = drawn(200, 150, 3)

    ratio = covariate.kliep(shift.source, shift.target, features="linear", penalty=0)

    centred = (shift.source - shift.target.mean(0)).numpy()
    dual = minimize(lambda b: np.log(np.exp(centred @ b).sum()), np.zeros(3), method="BFGS", options={"gtol": 1e-10})
    expected = np.exp(centred @ dual.x)
    np.testing.assert_allclose(ratio.weights.numpy() / 200, expected / expected.sum(), rtol=1e-4)
    torch.testing.assert_close(ratio.weights @ shift.source / 200, shift.target.mean(0), rtol=0, atol=1e-9)
    assert ratio.report.balance.difference.abs().max() < 1e-8


def test_target_rows_are_not_unsupported_because_a_ratio_of_many_columns_was_fitted_to_them() -> None:
    shift = drawn(150, 80, 25, mean=0.5)

    ratio = covariate.kliep(shift.source, shift.target, features="linear", penalty=0)

    assert (ratio(shift.target) > 2 * ratio.weights.max()).sum() > 10
    assert ratio.report.n_unsupported == 0
    assert ratio.report.trustworthy


def test_likelihood_ratio_is_fitted_to_all_rows_where_it_chooses_on_some(monkeypatch: pytest.MonkeyPatch) -> None:
    shift = drawn(900, 400)
    exact = covariate.kliep(shift.source, shift.target, features="quadratic", penalty=3.0)
    monkeypatch.setattr(_kliep, "MAX_SAMPLE_ROWS", 200)
    monkeypatch.setattr(_features, "MAX_BLOCK_ENTRIES", 1000)

    sampled = covariate.kliep(shift.source, shift.target, features="quadratic", penalty=3.0)
    balanced = covariate.kliep(shift.source, shift.target, features="linear", penalty=0)

    torch.testing.assert_close(sampled.weights, exact.weights, rtol=1e-5, atol=0)
    assert balanced.report.balance.difference.abs().max() < 1e-8


def test_entropy_balancing_towards_means_outside_of_the_source_is_an_error() -> None:
    source = torch.randn(50, 2, dtype=torch.float64)

    with pytest.raises(RuntimeError, match="raise penalty, or drop columns of source and target"):
        covariate.kliep(source, source + 20, features="linear", penalty=0)


@pytest.mark.parametrize("name", ["linear", "quadratic", "kernel"])
def test_features_of_the_likelihood_ratio_can_be_named(name: Any) -> None:
    shift = drawn(120, 100)

    assert covariate.kliep(shift.source, shift.target, features=name).report.features == name
