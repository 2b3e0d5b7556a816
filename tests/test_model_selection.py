"""Folds and held-out errors against their definitions and scikit-learn, and leaks between folds."""

import math
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from sklearn import datasets, linear_model, preprocessing
from sklearn import model_selection as sklearn_selection
from torch import Generator, Tensor

from dlcore import linear, model_selection, training
from dlcore.linear import LinearParams
from tests.oracle import assert_matches, exact, tensors


def seeded(seed: int = 1) -> Generator:
    return Generator().manual_seed(seed)


def mean_of_targets(x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    return y.mean(0)


def squared_loss_of_constant(model: Tensor, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    return (model - y) ** 2 / 2


def ridge_fit(penalty: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Ridge regression by the normal equations of the centred data."""

    def fit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        centre = x.mean(0)
        xc = x - centre
        weight = torch.linalg.solve(xc.T @ xc + penalty * torch.eye(x.shape[1], dtype=x.dtype), xc.T @ (y - y.mean()))
        return weight, y.mean() - centre @ weight

    return fit


def squared_loss_of_line(model: tuple[Tensor, Tensor], x: Tensor, y: Tensor) -> Tensor:
    weight, bias = model
    return (x @ weight + bias - y) ** 2 / 2


# k_fold: each row held out exactly once


@given(st.integers(2, 60), st.data(), st.booleans())
def test_every_row_is_held_out_exactly_once(n: int, data: st.DataObject, shuffle: bool) -> None:
    k = data.draw(st.integers(2, n))

    folds = list(model_selection.k_fold(n, k, shuffle=shuffle, generator=seeded()))

    assert len(folds) == k
    assert sorted(torch.cat([validation for _, validation in folds]).tolist()) == list(range(n))
    for train, validation in folds:
        assert sorted(torch.cat([train, validation]).tolist()) == list(range(n))


@given(st.integers(2, 500), st.data())
def test_folds_differ_by_at_most_one_row_and_the_larger_come_first(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(2, n))

    sizes = [len(validation) for _, validation in model_selection.k_fold(n, k)]

    assert sizes == [n // k + 1] * (n % k) + [n // k] * (k - n % k)


def test_442_rows_in_5_folds() -> None:
    sizes = [len(validation) for _, validation in model_selection.k_fold(442, 5)]

    assert sizes == [89, 89, 88, 88, 88]


@pytest.mark.held_against("scikit-learn", model_selection.k_fold)
@pytest.mark.parametrize(("n", "k"), [(442, 5), (10, 10), (7, 3), (2, 2)])
def test_folds_are_those_of_scikit_learn(n: int, k: int) -> None:
    expected = sklearn_selection.KFold(k).split(np.zeros(n))

    for (train, validation), (sk_train, sk_validation) in zip(model_selection.k_fold(n, k), expected, strict=True):
        assert train.tolist() == sk_train.tolist()
        assert validation.tolist() == sk_validation.tolist()


def test_shuffled_folds_make_every_pair_of_rows_equally_likely() -> None:
    generator = seeded()

    first = Counter(
        tuple(sorted(next(model_selection.k_fold(4, 2, shuffle=True, generator=generator))[1].tolist()))
        for _ in range(6000)
    )

    assert len(first) == 6
    assert sum((count - 1000) ** 2 / 1000 for count in first.values()) < 20.5  # χ² with 5 degrees of freedom, p = .001


def test_rows_sorted_by_label_need_the_shuffle() -> None:
    labels = torch.arange(3).repeat_interleave(20)

    runs = [set(labels[train].tolist()) for train, _ in model_selection.k_fold(60, 3)]
    shuffled = [set(labels[train].tolist()) for train, _ in model_selection.k_fold(60, 3, shuffle=True)]

    assert all(len(seen) == 2 for seen in runs)
    assert all(len(seen) == 3 for seen in shuffled)


# Randomness


@pytest.mark.parametrize(
    "draw",
    [
        lambda generator: [v for _, v in model_selection.k_fold(20, 4, shuffle=True, generator=generator)],
        lambda generator: model_selection.train_test_split(torch.arange(20), generator=generator),
        lambda generator: model_selection.cross_validate(
            mean_of_targets,
            squared_loss_of_constant,
            torch.arange(20.0),
            torch.arange(20.0),
            k=4,
            shuffle=True,
            generator=generator,
        ),
    ],
)
def test_a_generator_decides_and_the_global_state_is_left_alone(draw: Callable[[Generator], list[Tensor]]) -> None:
    before = torch.get_rng_state()

    first, again, other = draw(seeded(1)), draw(seeded(1)), draw(seeded(2))

    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


# train_test_split


@given(st.integers(2, 60), st.floats(0.05, 0.95), st.booleans())
def test_split_is_a_partition_in_which_rows_stay_together(n: int, fraction: float, shuffle: bool) -> None:
    n_test = math.floor(fraction * n + 0.5)
    if not 0 < n_test < n:
        return
    y = torch.arange(n)
    x = torch.stack([y * 2.0, y * 3.0], dim=1)

    x_train, x_test, y_train, y_test = model_selection.train_test_split(x, y, test_fraction=fraction, shuffle=shuffle)

    assert len(y_test) == n_test
    assert sorted([*y_train.tolist(), *y_test.tolist()]) == list(range(n))
    assert torch.equal(x_train, x[y_train])
    assert torch.equal(x_test, x[y_test])
    if not shuffle:
        assert torch.equal(y_train, y[: n - n_test])


@pytest.mark.held_against("scikit-learn", model_selection.train_test_split)
@pytest.mark.parametrize("fraction", [0.25, 0.2, 0.5])
def test_split_without_shuffle_is_that_of_scikit_learn(fraction: float) -> None:
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20)

    actual = model_selection.train_test_split(x, y, test_fraction=fraction, shuffle=False)

    expected = sklearn_selection.train_test_split(x, y, test_size=fraction, shuffle=False)
    for got, want in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(got.numpy(), want)


def test_the_fraction_is_rounded_to_the_nearest_row() -> None:
    _, test = model_selection.train_test_split(torch.arange(100), test_fraction=0.07)

    assert len(test) == 7  # 0.07 * 100 is 7.000000000000001, which rounds up to 8


@pytest.mark.parametrize(("n", "fraction"), [(2, 0.5), (5, 0.8), (5, 0.2)])
def test_one_row_is_enough_on_either_side(n: int, fraction: float) -> None:
    train, test = model_selection.train_test_split(torch.arange(n), test_fraction=fraction, shuffle=False)

    assert torch.equal(torch.cat([train, test]), torch.arange(n))
    assert 1 in {len(train), len(test)}


def test_split_leaves_its_arguments_alone() -> None:
    x = torch.arange(8)

    train, test = model_selection.train_test_split(x, shuffle=False)
    train.zero_()
    test.zero_()

    assert torch.equal(x, torch.arange(8))


# cross_validate: the errors, their mean and standard error


@pytest.mark.held_against("scikit-learn", model_selection.cross_validate)
def test_errors_are_those_of_scikit_learn() -> None:
    x, y = torch.randn(43, 3, dtype=torch.float64), torch.randn(43, dtype=torch.float64)

    actual = model_selection.cross_validate(ridge_fit(2.0), squared_loss_of_line, x, y, k=5)

    expected = sklearn_selection.cross_validate(
        linear_model.Ridge(alpha=2.0),
        x.numpy(),
        y.numpy(),
        cv=5,
        scoring="neg_mean_squared_error",
        return_train_score=True,
    )
    np.testing.assert_allclose(actual.validation_errors.numpy(), -expected["test_score"] / 2, rtol=1e-12)
    np.testing.assert_allclose(actual.train_errors.numpy(), -expected["train_score"] / 2, rtol=1e-12)


@given(tensors(min_size=2, max_size=6, largest=100.0))
def test_mean_and_standard_error_are_their_formulas(errors: Tensor) -> None:
    result = model_selection.CrossValidation(errors, errors)

    def standard_error(values: list[mp.mpf]) -> mp.mpf:
        mean, k = mp.fsum(values) / len(values), len(values)
        return mp.sqrt(mp.fsum((e - mean) ** 2 for e in values) / (k - 1) / k)

    slack = 64 * (errors.abs().max() * torch.finfo(errors.dtype).eps + torch.finfo(errors.dtype).tiny)
    for mean, error in (
        (result.train_mean, result.train_standard_error),
        (result.validation_mean, result.validation_standard_error),
    ):
        assert abs(mean - errors.mean()) <= slack
        assert abs(mp.mpf(error.item()) - standard_error([mp.mpf(e) for e in errors.tolist()])) <= slack.item()


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_standard_error_neither_overflows_nor_vanishes(scale: float) -> None:
    result = model_selection.CrossValidation(torch.tensor([1.0, 3.0]) * scale, torch.tensor([10.0, 14.0]) * scale)

    torch.testing.assert_close(result.train_standard_error, torch.tensor(scale), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(result.validation_standard_error, torch.tensor(2 * scale), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_standard_error_of_errors_that_are_nearly_equal_keeps_its_digits(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    errors = 1 + eps * torch.tensor([[0.0, 1.0, 0.0, 0.0], [5.0, 2.0, 3.0, 4.0]], dtype=dtype)

    actual = model_selection.CrossValidation(errors, errors).validation_standard_error

    expected = torch.tensor([(3 / 4 / 12) ** 0.5, (5 / 12) ** 0.5], dtype=dtype) * eps
    torch.testing.assert_close(actual, expected, rtol=8 * eps, atol=0)


def test_train_and_validation_are_not_mixed_up() -> None:
    result = model_selection.CrossValidation(torch.tensor([1.0, 3.0]), torch.tensor([10.0, 14.0]))

    assert (result.train_mean, result.train_standard_error) == (2, 1)
    assert (result.validation_mean, result.validation_standard_error) == (12, 2)


@given(tensors(min_size=4, max_size=8))
def test_leave_one_out_of_a_mean_is_its_closed_form(y: Tensor) -> None:
    n = len(y)

    result = model_selection.cross_validate(mean_of_targets, squared_loss_of_constant, y, y, k=n)

    expected = (n / (n - 1) * (y - y.mean())) ** 2 / 2
    torch.testing.assert_close(result.validation_errors, expected, rtol=1e-9, atol=1e-9)


def test_gradient_of_leave_one_out_is_its_closed_form() -> None:
    y = torch.randn(6, dtype=torch.float64)

    gradient = torch.func.grad(
        lambda y: model_selection.cross_validate(mean_of_targets, squared_loss_of_constant, y, y, k=6).validation_mean
    )(y)

    torch.testing.assert_close(gradient, (6 / 5) ** 2 / 6 * (y - y.mean()))


def test_fit_sees_the_training_rows_of_its_fold_and_nothing_else() -> None:
    seen: list[list[int]] = []

    def fit(x: Tensor, y: Tensor) -> Tensor:
        seen.append(x.tolist())
        return y.mean()

    rows = torch.arange(7.0)
    model_selection.cross_validate(fit, squared_loss_of_constant, rows, rows, k=3)

    assert seen == [[3, 4, 5, 6], [0, 1, 2, 5, 6], [0, 1, 2, 3, 4]]


def test_the_mean_weighs_folds_not_rows() -> None:
    y = torch.tensor([0.0, 0.0, 3.0])

    result = model_selection.cross_validate(mean_of_targets, squared_loss_of_constant, y, y, k=2)

    torch.testing.assert_close(result.validation_errors, torch.tensor([4.5, 4.5]))
    torch.testing.assert_close(result.train_errors, torch.zeros(2))


# Leaks


def standardized(x: Tensor, by: Tensor) -> Tensor:
    return (x - by.mean(0)) / by.std(0)


def test_standardizing_outside_the_fold_leaks_and_inside_does_not() -> None:
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    changed = x.clone()
    changed[:5] *= 100  # the rows that the first of four folds holds out

    def inside(x: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return x, ridge_fit(1.0)(standardized(x, by=x), y)

    def loss(model: tuple[Tensor, tuple[Tensor, Tensor]], x: Tensor, y: Tensor) -> Tensor:
        seen, line = model
        return squared_loss_of_line(line, standardized(x, by=seen), y)

    def train_error_of_first_fold(x: Tensor, *, leaky: bool) -> Tensor:
        if leaky:
            x = standardized(x, by=x)
            return model_selection.cross_validate(ridge_fit(1.0), squared_loss_of_line, x, y, k=4).train_errors[0]
        return model_selection.cross_validate(inside, loss, x, y, k=4).train_errors[0]

    assert train_error_of_first_fold(changed, leaky=False) == train_error_of_first_fold(x, leaky=False)
    assert train_error_of_first_fold(changed, leaky=True) > 1.05 * train_error_of_first_fold(x, leaky=True)


def test_choosing_features_outside_the_fold_finds_structure_in_noise() -> None:
    def best_features(x: Tensor, y: Tensor) -> Tensor:
        return ((x - x.mean(0)) / x.std(0)).T.mul(y - y.mean()).sum(1).abs().topk(10).indices

    def inside(x: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        chosen = best_features(x, y)
        return chosen, ridge_fit(0.0)(x[:, chosen], y)

    def loss(model: tuple[Tensor, tuple[Tensor, Tensor]], x: Tensor, y: Tensor) -> Tensor:
        chosen, line = model
        return squared_loss_of_line(line, x[:, chosen], y)

    leaky, honest = [], []
    for _ in range(10):
        x, y = torch.randn(50, 1000, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
        outside = x[:, best_features(x, y)]
        of_the_mean = y.var() / 2  # nothing can be predicted here
        leaky += model_selection.cross_validate(ridge_fit(0.0), squared_loss_of_line, outside, y, k=5)[1] / of_the_mean
        honest += model_selection.cross_validate(inside, loss, x, y, k=5)[1] / of_the_mean

    assert sum(leaky) / len(leaky) < 0.7
    assert sum(honest) / len(honest) > 1.1


# Extremes


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_stays_in_the_folds_that_see_it(value: float) -> None:
    y = torch.tensor([1.0, value, 2.0, 4.0])

    result = model_selection.cross_validate(mean_of_targets, squared_loss_of_constant, y, y, k=2)

    assert result.train_errors.isfinite().tolist() == [True, False]
    assert not result.validation_mean.isfinite()


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_errors_scale_at_the_extremes(scale: float) -> None:
    y = torch.tensor([0.0, 2.0, 4.0, 10.0])

    def absolute(y: Tensor) -> Tensor:
        return model_selection.cross_validate(
            mean_of_targets, lambda model, _, y: (model - y).abs(), y, y, k=2
        ).validation_errors

    torch.testing.assert_close(absolute(y * scale), absolute(y) * scale, rtol=1e-6, atol=0.0)


@pytest.mark.held_against("50 digits", model_selection.cross_validate)
def test_mean_of_the_formula_in_50_digits() -> None:
    y = torch.tensor([1.5, 2.25, -3.125, 7.0, 0.5], dtype=torch.float64)

    result = model_selection.cross_validate(mean_of_targets, squared_loss_of_constant, y, y, k=2)

    def formula(ys: list[mp.mpf]) -> mp.mpf:
        mean = (ys[3] + ys[4]) / 2
        return sum((mean - yi) ** 2 / 2 for yi in ys[:3]) / 3

    assert_matches(result.validation_errors[0], formula, y)


# The path of ridge regression: all folds and penalties at once


def diabetes() -> tuple[Tensor, Tensor]:
    x, y = datasets.load_diabetes(return_X_y=True)
    return torch.from_numpy(x), torch.from_numpy(y)


def errors_one_by_one(x: Tensor, y: Tensor, penalties: Tensor, **folds: object) -> list[Tensor]:
    """Return the training and validation errors of a loop over penalties and folds."""
    results = [
        model_selection.cross_validate(
            lambda x, y, penalty=penalty: linear.ridge(x, y, penalty=penalty), squared_loss_of_line, x, y, **folds
        )
        for penalty in penalties.tolist()
    ]
    return [torch.stack(errors) for errors in zip(*results, strict=True)]


@pytest.mark.parametrize("k", [5, 10])
@pytest.mark.parametrize("shuffle", [False, True])
def test_path_is_the_loop_over_penalties_and_folds(k: int, shuffle: bool) -> None:
    x, y = diabetes()
    penalties = torch.tensor([0.0, 1e-4, 1e-2, 1.0, 100.0], dtype=torch.float64)

    path = model_selection.ridge_path_cross_validation(
        x, y, penalties=penalties, k=k, shuffle=shuffle, generator=seeded()
    )

    train, validation = (
        torch.stack(errors)
        for errors in zip(
            *(errors_one_by_one(x, y, penalties[[i]], k=k, shuffle=shuffle, generator=seeded()) for i in range(5)),
            strict=True,
        )
    )
    torch.testing.assert_close(path.folds.train_errors, train[:, 0], rtol=1e-12, atol=0.0)
    torch.testing.assert_close(path.folds.validation_errors, validation[:, 0], rtol=1e-12, atol=0.0)


@pytest.mark.held_against("scikit-learn", model_selection.ridge_path_cross_validation)
def test_path_is_that_of_scikit_learn() -> None:
    x, y = diabetes()
    penalties = torch.logspace(-4, 2, 25, dtype=torch.float64)

    path = model_selection.ridge_path_cross_validation(x, y, penalties=penalties, k=10)

    search = sklearn_selection.GridSearchCV(
        linear_model.Ridge(), {"alpha": penalties.tolist()}, cv=10, scoring="neg_mean_squared_error"
    ).fit(x.numpy(), y.numpy())
    expected = np.stack([-search.cv_results_[f"split{j}_test_score"] / 2 for j in range(10)], axis=1)
    np.testing.assert_allclose(path.folds.validation_errors.numpy(), expected, rtol=1e-8)
    assert path.best_penalty.item() == search.best_params_["alpha"]


@pytest.mark.parametrize(("n", "d", "k"), [(9, 30, 2), (20, 3, 8), (8, 6, 8), (2, 1, 2), (3, 1, 2)])
def test_path_of_few_rows_is_the_loop(n: int, d: int, k: int) -> None:
    x, y = torch.randn(n, d, dtype=torch.float64) + 3, torch.randn(n, dtype=torch.float64) + 30
    penalties = torch.tensor([0.1, 10.0], dtype=torch.float64)

    path = model_selection.ridge_path_cross_validation(x, y, penalties=penalties, k=k)

    train, validation = errors_one_by_one(x, y, penalties, k=k)
    torch.testing.assert_close(path.folds.train_errors, train, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(path.folds.validation_errors, validation, rtol=1e-9, atol=1e-12)


def exact_ridge_error(x: Tensor, y: Tensor, train: list[int], validation: list[int], penalty: float) -> mp.mpf:
    """Return the validation error of one fold, by the normal equations in 50 digits."""
    d = x.shape[1]
    rows = [[mp.mpf(1), *map(mp.mpf, row)] for row in x.tolist()]
    targets = [mp.mpf(value) for value in y.tolist()]
    gram = mp.matrix(d + 1, d + 1)
    moment = mp.matrix(d + 1, 1)
    for i in train:
        for a in range(d + 1):
            moment[a] += rows[i][a] * targets[i]
            for b in range(d + 1):
                gram[a, b] += rows[i][a] * rows[i][b]
    for a in range(1, d + 1):
        gram[a, a] += mp.mpf(penalty)
    solution = mp.lu_solve(gram, moment)
    losses = [(mp.fdot(rows[i], solution) - targets[i]) ** 2 / 2 for i in validation]
    return mp.fsum(losses) / len(losses)


@pytest.mark.held_against("50 digits", model_selection.ridge_path_cross_validation)
@pytest.mark.parametrize("penalty", [0.0, 0.5, 1e3])
def test_path_is_its_formula(penalty: float) -> None:
    x, y = torch.randn(11, 3, dtype=torch.float64), torch.randn(11, dtype=torch.float64)

    path = model_selection.ridge_path_cross_validation(
        x, y, penalties=torch.tensor([penalty], dtype=torch.float64), k=3
    )

    for j, (train, validation) in enumerate(model_selection.k_fold(11, 3)):
        expected = exact_ridge_error(x, y, train.tolist(), validation.tolist(), penalty)
        assert path.folds.validation_errors[0, j].item() == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.held_against("50 digits", model_selection.ridge_path_cross_validation)
def test_path_keeps_the_digits_that_the_normal_equations_lose() -> None:
    x = torch.randn(30, 2, dtype=torch.float64)
    x = torch.cat([x, x[:, :1] + 1e-7 * torch.randn(30, 1, dtype=torch.float64)], dim=1)
    y = x @ torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64) + torch.randn(30, dtype=torch.float64)

    path = model_selection.ridge_path_cross_validation(x, y, penalties=torch.zeros(1, dtype=torch.float64), k=2)

    fold = list(range(15, 30)), list(range(15))
    expected = float(exact_ridge_error(x, y, *fold, 0.0))
    by_gram = squared_loss_of_line(ridge_fit(0.0)(x[fold[0]], y[fold[0]]), x[fold[1]], y[fold[1]]).mean().item()
    assert path.folds.validation_errors[0, 0].item() == pytest.approx(expected, rel=1e-7)
    assert abs(by_gram - expected) > 1e-5 * expected


def test_a_shift_of_inputs_and_targets_costs_no_digits() -> None:
    x, y = torch.randint(8, (30, 3)).float(), torch.randint(8, (30,)).float()
    penalties = torch.tensor([0.0, 1.0])

    path = model_selection.ridge_path_cross_validation(x, y, penalties=penalties, k=4)
    shifted = model_selection.ridge_path_cross_validation(x + 2**20, y - 2**20, penalties=penalties, k=4)

    torch.testing.assert_close(shifted.folds.validation_errors, path.folds.validation_errors, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("scale", [1e15, 1e-15])
def test_inputs_and_penalties_of_any_size_keep_the_errors(scale: float) -> None:
    x, y, penalties = torch.randn(30, 3), torch.randn(30), torch.tensor([0.5, 1.0])

    path = model_selection.ridge_path_cross_validation(x, y, penalties=penalties, k=4)
    scaled = model_selection.ridge_path_cross_validation(x * scale, y, penalties=penalties * scale**2, k=4)

    torch.testing.assert_close(scaled.folds.validation_errors, path.folds.validation_errors)


def test_a_large_penalty_leaves_the_mean_and_huge_inputs_outweigh_any() -> None:
    x, y = torch.randn(30, 3), torch.randn(30)
    mean_only = model_selection.cross_validate(mean_of_targets, squared_loss_of_constant, x, y, k=4)

    large = model_selection.ridge_path_cross_validation(x, y, penalties=torch.tensor([1e30]), k=4)
    free = model_selection.ridge_path_cross_validation(x, y, penalties=torch.tensor([0.0]), k=4)
    huge = model_selection.ridge_path_cross_validation(x * 1e30, y, penalties=torch.tensor([1.0]), k=4)

    torch.testing.assert_close(large.folds.validation_errors[0], mean_only.validation_errors)
    torch.testing.assert_close(huge.folds.validation_errors, free.folds.validation_errors)


def test_constant_inputs_leave_the_mean() -> None:
    x, y = torch.zeros(8, 2), torch.randn(8)

    path = model_selection.ridge_path_cross_validation(x, y, penalties=torch.tensor([1.0]), k=4)

    mean_only = model_selection.cross_validate(mean_of_targets, squared_loss_of_constant, x, y, k=4)
    torch.testing.assert_close(path.folds.validation_errors[0], mean_only.validation_errors)


def test_columns_of_different_size_are_not_taken_for_dependent_ones() -> None:
    x, y = torch.randn(30, 2) * torch.tensor([1e-4, 1e4]), torch.randn(30)

    path = model_selection.ridge_path_cross_validation(x, y, penalties=torch.tensor([0.0]), k=4)

    assert path.folds.validation_errors.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(20))
def test_a_column_that_is_constant_outside_a_fold_is_an_error_without_penalty(seed: int, dtype: torch.dtype) -> None:
    generator = seeded(seed)
    n, d, k = (int(torch.randint(low, high, (), generator=generator)) for low, high in ((12, 30), (1, 4), (2, 5)))
    x = torch.randn(n, d, dtype=dtype, generator=generator) + 3
    fold = list(model_selection.k_fold(n, k))[seed % k]
    x[fold[0], seed % d] = 0.1  # of the training rows
    y = torch.randn(n, dtype=dtype, generator=generator)

    with pytest.raises(ValueError, match=f"x must have rank {d} when centred, for penalty 0, got {d - 1} outside fold"):
        model_selection.ridge_path_cross_validation(x, y, penalties=torch.tensor([1.0, 0.0], dtype=dtype), k=k)
    with pytest.raises(ValueError, match=f"x must have rank {d} when centred, got {d - 1}"):
        linear.ridge(x[fold[0]], y[fold[0]], penalty=0)
    penalized = model_selection.ridge_path_cross_validation(x, y, penalties=torch.ones(1, dtype=dtype), k=k)
    assert penalized.folds.validation_errors.isfinite().all()


def test_gradient_of_the_penalty_is_its_closed_form() -> None:
    x, y = torch.randn(10, 1, dtype=torch.float64), torch.randn(10, dtype=torch.float64)
    penalty = torch.tensor([2.0], dtype=torch.float64)

    gradient = torch.func.grad(
        lambda penalties: model_selection.ridge_path_cross_validation(
            x, y, penalties=penalties, k=2
        ).folds.validation_errors[0, 0]
    )(penalty)

    seen, held_out = x[5:, 0], x[:5, 0]
    centred, targets = seen - seen.mean(), y[5:] - y[5:].mean()
    weight = centred @ targets / (centred @ centred + 2)
    slope = -centred @ targets / (centred @ centred + 2) ** 2
    residuals = (held_out - seen.mean()) * weight + y[5:].mean() - y[:5]
    torch.testing.assert_close(gradient, (residuals * (held_out - seen.mean()) * slope).mean()[None])


def test_the_penalties_of_a_path_may_come_in_any_order() -> None:
    errors = torch.tensor([[3.0, 4.0], [1.0, 3.0], [2.0, 6.0], [2.0, 4.0]])

    path = model_selection.RidgePath(
        torch.tensor([3.0, 1.0, 0.0, 2.0]), model_selection.CrossValidation(torch.zeros(4, 2), errors)
    )

    assert path.best_penalty == 1
    assert path.one_standard_error_penalty == 2


def test_half_precision_is_computed_in_float32() -> None:
    x, y = torch.randn(60, 3).half(), torch.randn(60).half()

    half = model_selection.ridge_path_cross_validation(x, y, penalties=torch.tensor([1.0]).half(), k=3)
    single = model_selection.ridge_path_cross_validation(x.float(), y.float(), penalties=torch.tensor([1.0]), k=3)

    assert torch.equal(half.folds.validation_errors, single.folds.validation_errors.half())


# All folds of a model that is trained by gradient descent, at once


def network_loss(params: dict[str, LinearParams], x: Tensor, y: Tensor) -> Tensor:
    hidden = linear.linear(x.flatten(1), *params["hidden"]).tanh()
    return (linear.linear(hidden, *params["out"]) - y) ** 2 / 2


def network(d: int) -> dict[str, LinearParams]:
    draw = torch.randn(d * 5 + 5, dtype=torch.float64)
    zero = torch.zeros(5, dtype=torch.float64)
    return {
        "hidden": LinearParams(draw[: d * 5].reshape(d, 5), zero),
        "out": LinearParams(draw[d * 5 :], zero[0]),
    }


def trained_one_by_one(
    loss: Callable[..., Tensor], params: Any, x: Tensor, y: Tensor, *, generator: Generator, k: int, **options: Any
) -> model_selection.CrossValidation:
    """Train fold after fold, each on batches drawn from a copy of the generator."""
    shuffle = options.pop("shuffle", False)

    def fit(x: Tensor, y: Tensor) -> Any:
        copy = Generator().set_state(generator.get_state())
        return training.fit(loss, params, (x, y), generator=copy, progress=False, **options).params

    return model_selection.cross_validate(fit, loss, x, y, k=k, shuffle=shuffle, generator=generator)


@pytest.mark.held_against("its definition", model_selection.cross_validate_vectorized)
@pytest.mark.parametrize(
    ("n", "k", "batch_size"),
    [
        (24, 4, 6),  # all batches are full
        (24, 4, 7),  # the last is short
        (23, 4, 6),  # a fold has one row less than the others
        (23, 4, 17),  # and no row left for a second batch
        (5, 5, 100),  # one batch
    ],
)
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.1}, {"shuffle": True}])
def test_folds_trained_at_once_are_those_trained_one_by_one(
    n: int, k: int, batch_size: int, options: dict[str, Any]
) -> None:
    params, x, y = network(6), torch.randn(n, 2, 3, dtype=torch.float64), torch.randn(n, dtype=torch.float64)
    run: dict[str, Any] = {"k": k, "epochs": 3, "batch_size": batch_size, "lr": 0.1, **options}

    at_once = model_selection.cross_validate_vectorized(network_loss, params, x, y, generator=seeded(), **run)

    expected = trained_one_by_one(network_loss, params, x, y, generator=seeded(), **run)
    torch.testing.assert_close(at_once, expected, rtol=1e-12, atol=1e-12)


def test_each_parameter_may_decay_on_its_own_in_every_fold() -> None:
    params, x, y = network(3), torch.randn(23, 3, dtype=torch.float64), torch.randn(23, dtype=torch.float64)
    decay = {"out": LinearParams(0.3, 0.0), "hidden": LinearParams(0.1, 0.0)}
    run: dict[str, Any] = {"k": 4, "epochs": 2, "batch_size": 17, "lr": 0.1, "weight_decay": decay}

    at_once = model_selection.cross_validate_vectorized(network_loss, params, x, y, generator=seeded(), **run)

    expected = trained_one_by_one(network_loss, params, x, y, generator=seeded(), **run)
    torch.testing.assert_close(at_once, expected, rtol=1e-12, atol=1e-12)


def test_training_all_folds_comes_to_the_exact_fits() -> None:
    x, y = torch.randn(23, 2, dtype=torch.float64), torch.randn(23, dtype=torch.float64)
    start = (torch.zeros(2, dtype=torch.float64), torch.zeros((), dtype=torch.float64))

    at_once = model_selection.cross_validate_vectorized(
        squared_loss_of_line, start, x, y, k=4, epochs=1000, batch_size=23, lr=0.3
    )

    expected = model_selection.cross_validate(linear.least_squares, squared_loss_of_line, x, y, k=4)
    torch.testing.assert_close(at_once, expected)


def test_training_all_folds_leaves_the_parameters_alone_and_returns_no_gradient() -> None:
    w, y = torch.zeros((), requires_grad=True), torch.arange(6.0)

    result = model_selection.cross_validate_vectorized(
        squared_loss_of_constant_parameter, w, y, y, k=3, epochs=2, batch_size=2, lr=0.5
    )

    assert w == 0
    assert w.grad is None
    assert not result.validation_errors.requires_grad


def squared_loss_of_constant_parameter(w: Tensor, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    return (w - y) ** 2 / 2


def test_a_generator_moves_on_and_the_global_state_stays() -> None:
    y, generator, before = torch.randn(9), seeded(), torch.get_rng_state()
    run: dict[str, Any] = {"k": 3, "epochs": 2, "batch_size": 2, "lr": 0.3, "generator": generator}

    first = model_selection.cross_validate_vectorized(squared_loss_of_constant_parameter, torch.zeros(()), y, y, **run)
    second = model_selection.cross_validate_vectorized(squared_loss_of_constant_parameter, torch.zeros(()), y, y, **run)

    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first.train_errors, second.train_errors)


def test_without_a_generator_the_global_state_decides() -> None:
    y = torch.randn(9)
    run: dict[str, Any] = {"k": 3, "epochs": 2, "batch_size": 2, "lr": 0.3}

    torch.manual_seed(5)
    first = model_selection.cross_validate_vectorized(squared_loss_of_constant_parameter, torch.zeros(()), y, y, **run)
    second = model_selection.cross_validate_vectorized(squared_loss_of_constant_parameter, torch.zeros(()), y, y, **run)
    torch.manual_seed(5)
    again = model_selection.cross_validate_vectorized(squared_loss_of_constant_parameter, torch.zeros(()), y, y, **run)

    assert torch.equal(first.train_errors, again.train_errors)
    assert not torch.equal(first.train_errors, second.train_errors)


def test_a_fold_that_diverges_does_not_touch_the_others() -> None:
    y = torch.arange(9.0)
    y[4] = math.nan

    result = model_selection.cross_validate_vectorized(
        squared_loss_of_constant_parameter, torch.zeros(()), y, y, k=3, epochs=2, batch_size=2, lr=0.3
    )

    assert result.train_errors.isfinite().tolist() == [False, True, False]


def test_the_folds_draw_their_own_dropout() -> None:
    y = torch.ones(8)

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return (w - y * torch.rand_like(x)) ** 2 / 2

    result = model_selection.cross_validate_vectorized(loss, torch.zeros(()), y, y, k=4, epochs=1, batch_size=6, lr=1.0)

    assert len(set(result.train_errors.tolist())) == 4


# Weighted folds


def weighted_mean(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG001
    return (weights * y).sum() / weights.sum()


def zero(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG001
    return x.new_zeros(())


@pytest.mark.held_against("its definition", model_selection.importance_weighted_cross_validation)
def test_weights_of_one_make_it_the_ordinary_cross_validation() -> None:
    y = torch.randn(17, dtype=torch.float64)

    weighted = model_selection.importance_weighted_cross_validation(
        weighted_mean, squared_loss_of_constant, y, y, weights=torch.ones_like(y), k=4
    )

    expected = model_selection.cross_validate(mean_of_targets, squared_loss_of_constant, y, y, k=4)
    torch.testing.assert_close(tuple(weighted), tuple(expected))


def test_a_weighted_fold_ignores_rows_of_weight_zero() -> None:
    y, weights = torch.randn(12, dtype=torch.float64), torch.rand(12, dtype=torch.float64)
    weights[5] = 0
    changed = y.clone()
    changed[5] = 1e6

    results = [
        model_selection.importance_weighted_cross_validation(
            weighted_mean, squared_loss_of_constant, y, targets, weights=weights, k=3
        )
        for targets in (y, changed)
    ]

    torch.testing.assert_close(*map(tuple, results))


def test_normalized_errors_do_not_depend_on_the_scale_of_the_weights() -> None:
    y, weights = torch.randn(12, dtype=torch.float64), torch.rand(12, dtype=torch.float64)

    results = [
        model_selection.importance_weighted_cross_validation(
            weighted_mean, squared_loss_of_constant, y, y, weights=scale * weights, k=3, normalize=True
        )
        for scale in (1.0, 7.0)
    ]

    torch.testing.assert_close(*map(tuple, results))


def test_weighted_validation_estimates_the_error_on_the_target() -> None:
    generator, estimates = seeded(), []
    for _ in range(200):
        x = torch.randn(100, dtype=torch.float64, generator=generator)
        weights = (x / 2 - 1 / 8).exp()  # the target is N(1/2, 1)
        result = model_selection.importance_weighted_cross_validation(
            zero, squared_loss_of_constant, x, x, weights=weights, k=5
        )
        estimates.append(float(result.validation_mean))

    assert abs(sum(estimates) / 200 - (1 + 1 / 4) / 2) < 0.05


# Folds that respect classes, groups or time


class_labels = st.lists(st.integers(-3, 3), min_size=6, max_size=40).map(torch.tensor)


def assert_partition(folds: list[tuple[Tensor, Tensor]], n: int) -> None:
    assert sorted(torch.cat([rows for _, rows in folds]).tolist()) == list(range(n))
    for train, rows in folds:
        assert sorted([*train.tolist(), *rows.tolist()]) == list(range(n))


@given(class_labels, st.integers(2, 6), st.booleans())
def test_stratified_folds_share_every_class_and_all_rows_evenly(labels: Tensor, k: int, shuffle: bool) -> None:
    folds = list(model_selection.stratified_k_fold(labels, k, shuffle=shuffle, generator=seeded()))

    assert_partition(folds, len(labels))
    for of_class in (torch.ones_like(labels, dtype=torch.bool), *(labels == label for label in labels.unique())):
        counts = [int(of_class[rows].sum()) for _, rows in folds]
        assert max(counts) - min(counts) <= 1


@pytest.mark.held_against("scikit-learn", model_selection.stratified_k_fold)
def test_stratified_folds_are_as_even_as_those_of_scikit_learn() -> None:
    labels = torch.randint(3, (100,))
    ours = [labels[rows].bincount(minlength=3) for _, rows in model_selection.stratified_k_fold(labels, 5)]
    theirs = [
        labels[rows].bincount(minlength=3) for _, rows in sklearn_selection.StratifiedKFold(5).split(labels, labels)
    ]

    assert (torch.stack(ours).double().std(0) <= torch.stack(theirs).double().std(0) + 1e-9).all()


def test_stratified_folds_are_drawn_from_the_generator() -> None:
    labels = torch.tensor([0, 1]).repeat(10)
    draws = [
        [
            rows.tolist()
            for _, rows in model_selection.stratified_k_fold(labels, 4, shuffle=True, generator=seeded(seed))
        ]
        for seed in (1, 1, 2)
    ]

    assert draws[0] == draws[1] != draws[2]
    assert draws[0] != [rows.tolist() for _, rows in model_selection.stratified_k_fold(labels, 4)]


@given(class_labels.filter(lambda groups: len(groups.unique()) >= 3), st.integers(2, 3))
def test_no_group_is_in_two_folds(groups: Tensor, k: int) -> None:
    folds = list(model_selection.grouped_k_fold(groups, k))

    assert_partition(folds, len(groups))
    for train, rows in folds:
        assert len(rows) > 0
        assert set(groups[train].tolist()).isdisjoint(groups[rows].tolist())


@pytest.mark.held_against("scikit-learn", model_selection.grouped_k_fold)
def test_grouped_folds_are_those_of_scikit_learn_in_size() -> None:
    groups = torch.randint(20, (200,)).square()

    sizes = sorted(len(rows) for _, rows in model_selection.grouped_k_fold(groups, 4))

    theirs = sklearn_selection.GroupKFold(4).split(groups, groups=groups)
    assert sizes == sorted(len(rows) for _, rows in theirs)


@pytest.mark.held_against("scikit-learn", model_selection.time_ordered_folds)
@pytest.mark.parametrize(("n", "k", "gap"), [(7, 2, 0), (7, 3, 1), (100, 7, 0), (100, 7, 5), (np.int64(20), 19, 0)])
def test_time_ordered_folds_are_those_of_scikit_learn(n: int, k: int, gap: int, plain: ModuleType) -> None:
    folds = plain.model_selection.time_ordered_folds(n, k, gap=gap)

    expected = sklearn_selection.TimeSeriesSplit(k, gap=gap).split(np.zeros(int(n)))
    for (train, rows), (sk_train, sk_rows) in zip(folds, expected, strict=True):
        assert train.tolist() == sk_train.tolist()
        assert rows.tolist() == sk_rows.tolist()


def test_cross_validation_on_given_folds() -> None:
    x, y = torch.randn(30, 2, dtype=torch.float64), torch.randn(30, dtype=torch.float64)
    groups = torch.arange(30) // 3

    def fit(x: Tensor, y: Tensor) -> Tensor:
        return x.T @ y

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return (x @ w - y) ** 2

    by_number = model_selection.cross_validate(fit, loss, x, y, k=5)
    by_folds = model_selection.cross_validate(fit, loss, x, y, folds=model_selection.k_fold(30, 5))
    grouped = model_selection.cross_validate(fit, loss, x, y, folds=model_selection.grouped_k_fold(groups, 5))

    assert torch.equal(by_number.validation_errors, by_folds.validation_errors)
    assert grouped.validation_errors.shape == (5,)


# Standard scores


@pytest.mark.held_against("50 digits", model_selection.standardize)
@given(st.integers(1, 6).flatmap(lambda n: tensors(min_size=n, max_size=n)))
def test_standard_scores_are_their_formula(column: Tensor) -> None:
    scale = model_selection.standardize(column)

    xs, n = exact(column), len(column)
    mean = mp.fsum(xs) / n
    std = mp.sqrt(mp.fsum((x - mean) ** 2 for x in xs) / n)
    largest = max(map(abs, xs)) + 1
    assert abs(mp.mpf(scale.mean.item()) - mean) <= 1e-15 * largest
    if len(column.unique()) > 1:
        assert abs(mp.mpf(scale.std.item()) - std) <= 1e-13 * largest


@pytest.mark.held_against("scikit-learn", model_selection.standardize)
def test_standard_scores_are_those_of_scikit_learn() -> None:
    x, other = torch.randn(50, 3, dtype=torch.float64) * 5 + 100, torch.randn(4, 3, dtype=torch.float64)
    x[:, 1] = 7.0

    scale, expected = model_selection.standardize(x), preprocessing.StandardScaler().fit(x)

    for rows in (x, other):
        torch.testing.assert_close(scale(rows), torch.as_tensor(expected.transform(rows)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [0.1, 1e30, -3e-30])
def test_a_constant_column_becomes_zero_and_its_neighbours_do_not(value: float) -> None:
    x = torch.stack([torch.full((1000,), value), torch.randn(1000)], 1).requires_grad_()

    scale = model_selection.standardize(x)
    z = scale(x)
    (gradient,) = torch.autograd.grad(z[:, 1].square().sum() + z[0, 0], x)

    assert torch.equal(z[:, 0], torch.zeros(1000))
    assert scale.std[0] == 1
    assert z[:, 1].std(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert gradient.isfinite().all()


def test_a_column_far_from_zero_keeps_its_digits() -> None:
    deviations = torch.tensor([-1.0, 0.0, 1.0]).repeat(1000)

    scale = model_selection.standardize(deviations + 2.0**20)

    assert scale.mean == 2.0**20
    assert scale.std.item() == pytest.approx(math.sqrt(2 / 3), rel=1e-6)


@pytest.mark.held_against("50 digits", model_selection.standardize)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_standard_deviation_a_millionth_of_the_mean_keeps_its_digits(dtype: torch.dtype) -> None:
    x = (1e6 + torch.randn(1000, dtype=torch.float64)).to(dtype)

    scale = model_selection.standardize(x)

    mean = mp.fsum(exact(x)) / 1000
    std = mp.sqrt(mp.fsum((xi - mean) ** 2 for xi in exact(x)) / 1000)
    assert scale.mean.item() == pytest.approx(float(mean), rel=torch.finfo(dtype).eps)
    assert scale.std.item() == pytest.approx(float(std), rel=8 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_a_standard_deviation_neither_overflows_nor_vanishes(size: float) -> None:
    x = torch.randn(100, 2)

    expected, actual = model_selection.standardize(x), model_selection.standardize(size * x)

    torch.testing.assert_close(actual.std / size, expected.std, rtol=1e-6, atol=0)
    torch.testing.assert_close(actual(size * x), expected(x), rtol=1e-5, atol=1e-6)


def test_rows_of_other_columns_or_dtypes_are_refused(plain: ModuleType) -> None:
    scale = plain.model_selection.standardize(torch.randn(5, 3))

    with pytest.raises(ValueError, match=r"^x must have shape \(n, \*\(3,\)\), got \(4, 2\)$"):
        scale(torch.ones(4, 2))
    with pytest.raises(TypeError, match=r"^x must have the dtype of mean, torch\.float32, got torch\.float64$"):
        scale(torch.ones(4, 3, dtype=torch.float64))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_row_of_weight_zero_may_have_any_loss(normalize: bool, value: float) -> None:
    y, weights = torch.randn(12, dtype=torch.float64), torch.rand(12, dtype=torch.float64) + 0.1
    weights[5] = 0
    with_value = y.clone()
    with_value[5] = value

    def fit(x: Tensor, y: Tensor, weights: Tensor) -> linear.LinearParams:
        return linear.ridge(x, y, penalty=1.0, weights=weights)

    results = [
        model_selection.importance_weighted_cross_validation(
            fit, squared_loss_of_line, torch.stack([targets, y], 1), targets, weights=weights, k=3, normalize=normalize
        )
        for targets in (y, with_value)
    ]

    torch.testing.assert_close(*map(tuple, results))


# NumPy integers, and many rows


def test_numpy_integers_are_integers(plain: ModuleType) -> None:
    selection = plain.model_selection
    two, y = np.int64(2), torch.randn(6)
    folds = list(selection.k_fold(np.int32(6), two))
    run: dict[str, Any] = {"k": np.int8(2), "epochs": two, "batch_size": np.uint8(3)}

    path = selection.ridge_path_cross_validation(y[:, None], y, penalties=torch.ones(1), k=two)
    at_once = selection.cross_validate_vectorized(
        squared_loss_of_constant_parameter, torch.zeros(()), y, y, lr=0.3, generator=seeded(), **run
    )

    assert [validation.tolist() for _, validation in folds] == [[0, 1, 2], [3, 4, 5]]
    assert path.folds.validation_errors.shape == (1, 2)
    expected = model_selection.cross_validate_vectorized(
        squared_loss_of_constant_parameter,
        torch.zeros(()),
        y,
        y,
        k=2,
        epochs=2,
        batch_size=3,
        lr=0.3,
        generator=seeded(),
    )
    torch.testing.assert_close(at_once, expected)


def test_a_path_over_a_million_rows_keeps_its_digits() -> None:
    x = torch.randn(1_000_000, 1, generator=seeded()) + 3
    y = 2 * x[:, 0] + torch.randn(1_000_000, generator=seeded(2))
    penalties = torch.tensor([0.0, 1e6])

    path = model_selection.ridge_path_cross_validation(x, y, penalties=penalties, k=2)

    wide = model_selection.ridge_path_cross_validation(x.double(), y.double(), penalties=penalties.double(), k=2)
    torch.testing.assert_close(path.folds.validation_errors.double(), wide.folds.validation_errors, rtol=2e-7, atol=0)
