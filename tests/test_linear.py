"""The linear model and its fits against their formulas, against other libraries and at the extremes."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from scipy.optimize import linprog
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate

from dlcore import _newton_cg, _regression, batches, linear
from dlcore._logit_losses import LOGISTIC, SOFTMAX
from dlcore._shards import OneProcess
from tests.memory import most_bytes_held
from tests.oracle import exact, tensors
from tests.processes import mesh_of_one

# The model


@pytest.mark.held_against("50 digits", linear.linear)
@given(tensors(min_size=6, max_size=6), tensors(min_size=3, max_size=3), st.floats(-1e3, 1e3))
def test_linear_is_its_formula(x: Tensor, weight: Tensor, bias: float) -> None:
    actual = linear.linear(x.reshape(2, 3), weight, torch.tensor(bias, dtype=torch.float64))

    for row, value in zip(x.reshape(2, 3), actual, strict=True):
        terms = [a * b for a, b in zip(exact(row), exact(weight), strict=True)] + [mp.mpf(bias)]
        assert abs(mp.mpf(value.item()) - sum(terms)) <= 4 * 2.0**-52 * sum(map(abs, terms))


def test_parameters_may_be_distributed_as_the_rows_are() -> None:
    mesh = mesh_of_one()
    x = batches.shard_rows(torch.eye(3), mesh)
    weight, bias = (DTensor.from_local(w, mesh, [Replicate()]) for w in (torch.arange(3.0), torch.tensor(1.0)))

    for output in (linear.linear(x, weight, bias), linear.linear(x, weight.to_local(), bias.to_local())):
        assert output.full_tensor().tolist() == [1.0, 2.0, 3.0]


@pytest.mark.held_against("PyTorch", linear.linear)
def test_linear_is_torch_linear_with_the_transposed_weight() -> None:
    x, weight, bias = torch.randn(2, 5, 4), torch.randn(4, 3), torch.randn(3)

    torch.testing.assert_close(linear.linear(x, weight, bias), torch.nn.functional.linear(x, weight.T, bias))


def test_several_targets_are_one_target_each() -> None:
    x, weight, bias = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3)

    columns = [linear.linear(x, weight[:, j], bias[j]) for j in range(3)]

    torch.testing.assert_close(linear.linear(x, weight, bias), torch.stack(columns, dim=1))


def test_gradient_of_the_weight_is_inputs_times_output_gradients() -> None:
    x, weight, bias, upstream = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3), torch.randn(5, 3)

    dw, db = torch.func.grad(lambda w, b: (linear.linear(x, w, b) * upstream).sum(), argnums=(0, 1))(weight, bias)

    torch.testing.assert_close(dw, x.T @ upstream)
    torch.testing.assert_close(db, upstream.sum(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_linear_sums_half_precision_in_float32(dtype: torch.dtype) -> None:
    x, weight = torch.full((1, 4096), 0.125, dtype=dtype), torch.full((4096, 2), 0.125, dtype=dtype)

    assert torch.equal(linear.linear(x, weight, torch.ones(2, dtype=dtype)), torch.full((1, 2), 65.0, dtype=dtype))


def test_infinite_and_nan_inputs_pass_through_the_model() -> None:
    x, weight, bias = torch.tensor([[1e30, -math.inf], [1.0, math.nan]]), torch.ones(2), torch.tensor(0.0)

    output = linear.linear(x, weight, bias)

    assert output[0] == -math.inf
    assert output[1].isnan()


@pytest.mark.held_against("PyTorch", linear.linear)
def test_parameters_load_into_a_torch_module_and_back() -> None:
    params = linear.LinearParams(torch.randn(4, 3), torch.randn(3))
    x = torch.randn(5, 4)
    layer = torch.nn.Linear(4, 3)

    layer.load_state_dict({"weight": params.weight.T, "bias": params.bias})
    back = linear.LinearParams(layer.weight.T, layer.bias)

    torch.testing.assert_close(layer(x), linear.linear(x, *params))
    assert torch.equal(back.weight, params.weight)
    assert torch.equal(back.bias, params.bias)


# Squared error, in closed form


def random_examples(n: int, d: int, *targets: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw inputs around 3, targets and weights, in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, dtype=torch.float64, generator=generator) + 3
    y = torch.randn(n, *targets, dtype=torch.float64, generator=generator) - 1
    return x, y, torch.rand(n, dtype=torch.float64, generator=generator)


def vandermonde(n: int, degree: int) -> tuple[Tensor, Tensor]:
    """Return the powers 1 to ``degree`` of n points in (0, 1], and a target that is no polynomial."""
    points = torch.arange(1, n + 1, dtype=torch.float64) / n
    return points[:, None] ** torch.arange(1, degree + 1), (3 * points).exp()


def solve_exactly(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    """Solve the penalized normal equations, bias last, in as many digits as they need."""
    with mp.workdps(80):
        design = mp.matrix([[*exact(row), mp.mpf(1)] for row in x])
        normal = design.T * design
        for j in range(x.shape[1]):
            normal[j, j] += mp.mpf(penalty)
        solution = mp.lu_solve(normal, design.T * mp.matrix(exact(y)))
        return torch.tensor([float(value) for value in solution], dtype=torch.float64)


def flat(params: linear.LinearParams) -> Tensor:
    """Return weight and bias in one tensor, bias last."""
    return torch.cat([params.weight, params.bias[None]])


@pytest.mark.held_against("scikit-learn", linear.ridge)
@pytest.mark.parametrize("penalty", [1e-6, 0.3, 1e4])
@pytest.mark.parametrize("shape", [(30, 4), (4, 30), (5, 5), (30, 4, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_is_that_of_scikit_learn(penalty: float, shape: tuple[int, ...], weighted: bool) -> None:
    x, y, weights = random_examples(*shape)
    peer = Ridge(alpha=penalty, solver="svd").fit(
        x.numpy(), y.numpy(), sample_weight=weights.numpy() if weighted else None
    )

    weight, bias = linear.ridge(x, y, penalty=penalty, weights=weights if weighted else None)

    torch.testing.assert_close(weight, torch.from_numpy(peer.coef_.T), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(bias, torch.as_tensor(peer.intercept_), rtol=1e-8, atol=1e-10)


@pytest.mark.held_against("scikit-learn", linear.least_squares)
@pytest.mark.parametrize("k", [(), (3,)])
def test_least_squares_is_that_of_scikit_learn(k: tuple[int, ...]) -> None:
    x, y, weights = random_examples(30, 4, *k)
    peer = LinearRegression().fit(x.numpy(), y.numpy(), sample_weight=weights.numpy())

    weight, bias = linear.least_squares(x, y, weights=weights)

    torch.testing.assert_close(weight, torch.from_numpy(peer.coef_.T), rtol=1e-8, atol=0)
    torch.testing.assert_close(bias, torch.as_tensor(peer.intercept_), rtol=1e-8, atol=0)


@pytest.mark.held_against("50 digits", linear.ridge)
@pytest.mark.parametrize("penalty", [0.0, 1e-12])
def test_solution_keeps_the_digits_that_the_normal_equations_lose(penalty: float) -> None:
    x, y = vandermonde(20, 8)
    design = torch.cat([x, torch.ones(20, 1, dtype=torch.float64)], dim=1)
    penalties = torch.diag(torch.tensor([penalty] * 8 + [0.0], dtype=torch.float64))
    expected = solve_exactly(x, y, penalty)

    error = (flat(linear.ridge(x, y, penalty=penalty)) - expected).norm() / expected.norm()
    normal_equations = torch.linalg.solve(design.T @ design + penalties, design.T @ y)
    lost = (normal_equations - expected).norm() / expected.norm()

    assert error < 1e-9
    assert lost > 1e3 * error


@pytest.mark.held_against("50 digits", linear.ridge)
def test_ridge_of_a_hilbert_matrix_is_exact() -> None:
    i = torch.arange(1, 11, dtype=torch.float64)
    x = 1 / (i[:, None] + i - 1)
    expected = solve_exactly(x, i, 1e-8)

    torch.testing.assert_close(flat(linear.ridge(x, i, penalty=1e-8)), expected, rtol=1e-8, atol=0)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 20.0]), st.booleans())
def test_gradient_of_the_objective_vanishes_at_the_solution(seed: int, penalty: float, wide: bool) -> None:
    x, y, weights = random_examples(*((3, 6) if wide and penalty else (9, 3)), seed=seed)

    def objective(params: linear.LinearParams) -> Tensor:
        errors = linear.linear(x, *params) - y
        return (weights * errors**2).sum() / 2 + penalty * (params.weight**2).sum() / 2

    params = linear.ridge(x, y, penalty=penalty, weights=weights)

    gradient = torch.func.grad(objective)(params)
    assert flat(gradient).abs().max() < 1e-10 * (1 + flat(params).abs().max())


def test_bias_is_not_penalized() -> None:
    x, y, _ = random_examples(20, 3)

    weight, bias = linear.ridge(x, y, penalty=1e12)

    torch.testing.assert_close(weight, torch.zeros_like(weight), atol=1e-9, rtol=0)
    torch.testing.assert_close(bias, y.mean())


def test_shifting_inputs_and_targets_moves_only_the_bias() -> None:
    x, y, weights = random_examples(20, 3)
    shift = torch.tensor([1.0, -20.0, 300.0], dtype=torch.float64)

    weight, bias = linear.ridge(x, y, penalty=2.0, weights=weights)
    moved = linear.ridge(x + shift, y + 5, penalty=2.0, weights=weights)

    torch.testing.assert_close(moved.weight, weight)
    torch.testing.assert_close(moved.bias, bias + 5 - shift @ weight)


def test_whole_weights_are_repetitions() -> None:
    x, y, _ = random_examples(10, 3)
    counts = torch.tensor([1, 2, 0, 3, 1, 1, 4, 0, 2, 1])
    repeated = linear.ridge(x.repeat_interleave(counts, 0), y.repeat_interleave(counts), penalty=0.4)

    weighted = linear.ridge(x, y, penalty=0.4, weights=counts.to(x.dtype))

    torch.testing.assert_close(weighted, repeated)


@pytest.mark.parametrize("fit", [linear.least_squares, lambda *args, **kw: linear.ridge(*args, penalty=0.4, **kw)])
def test_an_example_of_weight_zero_is_absent_whatever_its_values(fit: Callable[..., linear.LinearParams]) -> None:
    x, y, weights = random_examples(10, 3)
    expected = fit(x[:8], y[:8], weights=weights[:8])
    x[8], y[9] = math.nan, math.inf
    weights[8:] = 0

    params = fit(x, y, weights=weights)

    torch.testing.assert_close(params, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("penalty", [0.0, 0.4])
def test_gradient_is_finite_where_a_weight_is_zero(penalty: float) -> None:
    x, y, weights = random_examples(10, 3)
    weights[3] = 0
    inputs = [x.requires_grad_(), y.requires_grad_(), weights.requires_grad_()]

    params = linear.ridge(x, y, penalty=penalty, weights=weights)
    gradients = torch.autograd.grad(flat(params).sum(), inputs)

    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0][3].abs().max() == 0


@pytest.mark.held_against("PyTorch", linear.least_squares)
def test_gradient_of_the_weight_by_the_targets_is_the_pseudoinverse() -> None:
    x, y, _ = random_examples(10, 3)

    jacobian = torch.func.jacrev(lambda y: linear.least_squares(x, y).weight)(y)

    torch.testing.assert_close(jacobian, torch.linalg.pinv(x - x.mean(0)))


@pytest.mark.parametrize("shape", [(3, 6), (6, 3)])
def test_ridge_is_differentiable_wide_and_tall(shape: tuple[int, int]) -> None:
    x, y, weights = random_examples(*shape)
    inputs = [x.requires_grad_(), y.requires_grad_(), weights.requires_grad_()]

    def solve(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        return flat(linear.ridge(x, y, penalty=0.3, weights=weights))

    assert torch.autograd.gradcheck(solve, inputs)
    assert torch.autograd.gradgradcheck(solve, inputs)


def test_folds_are_solved_in_one_batch() -> None:
    x, y, _ = random_examples(12, 3)
    kept = torch.eye(4, dtype=torch.float64).repeat_interleave(3, 1).lt(1).to(x.dtype)

    batched = torch.vmap(lambda weights: linear.ridge(x, y, penalty=0.3, weights=weights))(kept)

    for fold, weight, bias in zip(kept, *batched, strict=True):
        torch.testing.assert_close((weight, bias), tuple(linear.ridge(x[fold > 0], y[fold > 0], penalty=0.3)))


@pytest.mark.parametrize("size", [1e30, 1e-30])
@pytest.mark.parametrize("n", [4, 20])
def test_extreme_inputs_and_targets_neither_overflow_nor_vanish(size: float, n: int) -> None:
    x, y, _ = random_examples(n, 6)
    expected = linear.ridge(x, y, penalty=0.0 if n == 20 else 1e-3)

    for x_size, y_size in ((size, 1.0), (1.0, size), (size, size)):
        # an input that is larger by a factor needs a penalty that is larger by its square, which float32 cannot hold
        penalty = 0.0 if n == 20 else 1e-3 * x_size**2
        weight, bias = linear.ridge((x * x_size).float(), (y * y_size).float(), penalty=penalty)

        torch.testing.assert_close(weight.double() / y_size * x_size, expected.weight, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(bias.double() / y_size, expected.bias, rtol=1e-3, atol=1e-3)


def test_columns_of_very_different_size_are_no_rank_deficiency() -> None:
    x, y, _ = random_examples(20, 3)
    sizes = torch.tensor([1e30, 1.0, 1e-30], dtype=torch.float64)

    weight, _ = linear.least_squares((x * sizes).float(), y.float())

    torch.testing.assert_close(weight.double() * sizes, linear.least_squares(x, y).weight, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [20, 20_000])
def test_dependent_columns_are_an_error_that_names_the_rank(dtype: torch.dtype, n: int) -> None:
    x = torch.randn(n, 5, dtype=dtype) + 100
    constant, repeated, added = x.clone(), x.clone(), x.clone()
    constant[:, 2] = 0.1
    repeated[:, 3] = repeated[:, 0]
    added[:, 4] = added[:, 0] + added[:, 1]

    for design in (constant, repeated, added):
        with pytest.raises(ValueError, match="rank 5 when centred, got 4"):
            linear.least_squares(design, x[:, 0])
        with pytest.raises(ValueError, match="rank 5 when centred, got 4"):
            linear.ridge(design, x[:, 0], penalty=0)
        assert linear.ridge(design, x[:, 0], penalty=1.0).weight.isfinite().all()


def test_a_small_variation_on_a_large_offset_is_no_rank_deficiency() -> None:
    years = torch.arange(2000.0, 2026.0)[:, None]

    weight, bias = linear.least_squares(years, 0.5 * years[:, 0] - 1000)

    torch.testing.assert_close(weight, torch.tensor([0.5]), rtol=1e-5, atol=0)
    torch.testing.assert_close(bias, torch.tensor(-1000.0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("weighted", [False, True])
def test_five_million_rows_keep_their_digits(dtype: torch.dtype, weighted: bool) -> None:
    n = 5_000_000
    x = torch.randn(n, 1, generator=torch.Generator().manual_seed(0)).to(dtype) + 3
    y = 2 * x[:, 0] + 50
    exact_params = linear.least_squares(x.double(), y.double())

    params = linear.least_squares(x, y, weights=torch.ones(n, dtype=dtype) if weighted else None)

    torch.testing.assert_close(params, linear.LinearParams(*(value.to(dtype) for value in exact_params)))
    assert abs(params.weight.item() - 2) < 2e-3


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [(), (2,)])
def test_many_rows_are_reduced_block_by_block_to_the_same_solution(weighted: bool, k: tuple[int, ...]) -> None:
    x, y, weights = random_examples(40_000, 3, *k)
    weights[::5] = 0
    x[0], y[5] = math.nan, math.inf
    present = weights > 0
    root = (weights if weighted else weights > 0).double()[present].sqrt()
    design = torch.nn.functional.pad(x[present], (0, 1), value=1.0)
    expected = torch.linalg.lstsq(root[:, None] * design, root[:, None] * y[present].reshape(len(root), -1)).solution

    given = (x, y, weights) if weighted else (x[present], y[present], None)
    weight, bias = linear.least_squares(*given[:2], weights=given[2])
    with_gradient = linear.least_squares(given[0].clone().requires_grad_(), given[1], weights=given[2])

    torch.testing.assert_close(weight.reshape(3, -1), expected[:3], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(bias.reshape(-1), expected[3], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(with_gradient.weight.detach(), weight, rtol=1e-10, atol=1e-12)


def test_dependent_columns_and_infinite_values_are_found_among_many_rows() -> None:
    x = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(0)) + 100
    y = x[:, 0].clone()
    dependent = x.clone()
    dependent[:, 2] = x[:, 0] + x[:, 1]

    with pytest.raises(ValueError, match="rank 3 when centred, got 2"):
        linear.least_squares(dependent, y)
    x[39_000, 1] = math.inf
    with pytest.raises(ValueError, match=r"x must be finite, got inf at index \(39000, 1\)"):
        linear.least_squares(x, y)
    y[5], y[7] = math.inf, math.nan
    weights = torch.ones(40_000)
    weights[5] = 0
    with pytest.raises(ValueError, match="y must be finite, got nan at index 7"):
        linear.ridge(torch.ones(40_000, 1), y, penalty=1.0, weights=weights)


def test_rows_whose_differences_overflow_are_an_error() -> None:
    x = torch.tensor([[1.7e308], [-1.7e308], [-1.7e308]], dtype=torch.float64)

    with pytest.raises(ValueError, match="x and y must have finite differences from their means"):
        linear.ridge(x, x[:, 0].sign(), penalty=1.0)


# Logistic and softmax regression, by a search


def random_classes(n: int, d: int, k: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw inputs, labels of a noisy linear model and weights."""
    x, _, weights = random_examples(n, d, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    logits = (x - 3) @ torch.randn(d, k, dtype=x.dtype, generator=generator)
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    labels[:k] = torch.arange(k)
    return x, labels, weights


def logistic_gradient(x: Tensor, y: Tensor, weights: Tensor, penalty: float, params: linear.LinearParams) -> Tensor:
    """Return the gradient of the logistic objective by weight and bias."""
    errors = weights * (torch.sigmoid(linear.linear(x, *params)) - y)
    return torch.cat([errors @ x + penalty * params.weight, errors.sum()[None]])


def softmax_gradient(x: Tensor, labels: Tensor, weights: Tensor, penalty: float, params: linear.LinearParams) -> Tensor:
    """Return the gradient of the softmax objective by weight and bias."""
    one_hot = torch.nn.functional.one_hot(labels, len(params.bias))
    errors = weights[:, None] * (torch.softmax(linear.linear(x, *params), 1) - one_hot)
    return torch.cat([x.T @ errors + penalty * params.weight, errors.sum(0)[None]])


def sklearn_solution(x: Tensor, labels: Tensor, weights: Tensor | None, penalty: float) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's solution, with its smallest tolerance."""
    model = LogisticRegression(C=1 / penalty, solver="newton-cg", tol=1e-12, max_iter=1000)
    model.fit(x.numpy(), labels.numpy(), sample_weight=None if weights is None else weights.numpy())
    return torch.from_numpy(model.coef_.T), torch.from_numpy(model.intercept_)


@pytest.mark.held_against("scikit-learn", linear.logistic_regression)
@pytest.mark.parametrize("penalty", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_logistic_regression_is_that_of_scikit_learn(penalty: float, weighted: bool) -> None:
    x, labels, weights = random_classes(200, 5, 2)
    weight, bias = sklearn_solution(x, labels, weights if weighted else None, penalty)

    params = linear.logistic_regression(x, labels.to(x.dtype), penalty=penalty, weights=weights if weighted else None)

    torch.testing.assert_close(params.weight, weight[:, 0], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(params.bias, bias[0], rtol=1e-6, atol=1e-8)


@pytest.mark.held_against("scikit-learn", linear.softmax_regression)
@pytest.mark.parametrize("penalty", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_regression_is_that_of_scikit_learn(penalty: float, weighted: bool) -> None:
    x, labels, weights = random_classes(200, 5, 4)
    weight, bias = sklearn_solution(x, labels, weights if weighted else None, penalty)

    params = linear.softmax_regression(x, labels, penalty=penalty, weights=weights if weighted else None)

    torch.testing.assert_close(params.weight, weight, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(params.bias, bias - bias.mean(), rtol=1e-6, atol=1e-8)


@pytest.mark.held_against("50 digits", linear.logistic_regression)
def test_logistic_regression_of_two_points_is_its_formula() -> None:
    # x = -1, 1 and y = 0, 1: b = 0, and w solves w * penalty = 2 * sigmoid(-w)
    expected = mp.findroot(lambda w: w / 2 - 2 / (1 + mp.exp(w)), 1)

    weight, bias = linear.logistic_regression(
        torch.tensor([[-1.0], [1.0]], dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64), penalty=0.5
    )

    assert abs(weight.item() - expected) < 1e-8
    assert abs(bias.item()) < 1e-8


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.5, 20.0]), st.sampled_from([3, 20, 60]))
def test_gradient_of_the_logistic_objective_vanishes(seed: int, penalty: float, n: int) -> None:
    x, labels, weights = random_classes(n, 4, 2, seed)
    y = torch.where(weights < 0.5, labels.to(x.dtype), weights)  # labels and probabilities

    params = linear.logistic_regression(x, y, penalty=penalty, weights=weights)

    assert logistic_gradient(x, y, weights, penalty, params).norm() < 1e-8


@pytest.mark.held_against("PyTorch", linear.softmax_regression)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.5, 20.0]), st.integers(2, 4), st.sampled_from([5, 60]))
def test_gradient_of_the_softmax_objective_vanishes(seed: int, penalty: float, k: int, n: int) -> None:
    x, labels, weights = random_classes(n, 4, k, seed)

    params = linear.softmax_regression(x, labels, penalty=penalty, weights=weights)

    assert softmax_gradient(x, labels, weights, penalty, params).norm() < 1e-8
    assert params.weight.sum(1).abs().max() < 1e-10
    assert params.bias.sum().abs() < 1e-10


@pytest.mark.held_against("PyTorch", linear.logistic_regression, linear.softmax_regression)
@pytest.mark.parametrize("k", [2, 3])
def test_gradient_vanishes_without_penalty_too(k: int) -> None:
    x, labels, weights = random_classes(200, 4, k)

    params = linear.softmax_regression(x, labels, penalty=0, weights=weights)

    assert softmax_gradient(x, labels, weights, 0, params).norm() < 1e-8
    assert params.weight.sum(1).abs().max() < 1e-10
    if k == 2:
        params = linear.logistic_regression(x, labels.to(x.dtype), penalty=0, weights=weights)
        assert logistic_gradient(x, labels, weights, 0, params).norm() < 1e-8


def test_softmax_of_two_classes_is_the_logistic_model() -> None:
    x, labels, _ = random_classes(100, 4, 2)

    weight, bias = linear.softmax_regression(x, labels, penalty=1.0)
    one = linear.logistic_regression(x, labels.to(x.dtype), penalty=0.5)

    torch.testing.assert_close(weight[:, 1] - weight[:, 0], one.weight, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(bias[1] - bias[0], one.bias, rtol=1e-7, atol=1e-9)


def test_exchanging_the_labels_negates_the_model() -> None:
    x, labels, _ = random_classes(100, 4, 2)

    params = linear.logistic_regression(x, labels.to(x.dtype))
    flipped = linear.logistic_regression(x, 1.0 - labels.to(x.dtype))

    torch.testing.assert_close(flat(params), -flat(flipped), rtol=1e-7, atol=1e-9)


def test_a_probability_is_two_weighted_labels() -> None:
    x, _, p = random_examples(50, 3)
    ones = torch.ones_like(p)

    params = linear.logistic_regression(x, p)
    split = linear.logistic_regression(torch.cat([x, x]), torch.cat([ones, 0 * ones]), weights=torch.cat([p, 1 - p]))

    torch.testing.assert_close(flat(params), flat(split), rtol=1e-7, atol=1e-9)


def test_a_search_ignores_examples_of_weight_zero() -> None:
    x, labels, weights = random_classes(60, 3, 3)
    y = (labels > 0).to(x.dtype)
    expected = linear.softmax_regression(x[:50], labels[:50], weights=weights[:50])
    expected_logistic = linear.logistic_regression(x[:50], y[:50], weights=weights[:50])
    weights[50:] = 0
    x[50], y[51], labels[52] = math.nan, math.nan, 77

    for actual, without in (
        (linear.softmax_regression(x, labels, weights=weights), expected),
        (linear.logistic_regression(x, y, weights=weights), expected_logistic),
    ):
        torch.testing.assert_close(actual, without, rtol=1e-7, atol=1e-9)


def test_the_number_of_classes_may_be_a_numpy_integer(plain: ModuleType) -> None:
    n_classes: Any = np.uint8(3)
    x, labels, _ = random_classes(60, 3, 3)

    actual, expected = (plain.linear.softmax_regression(x, labels, n_classes=k) for k in (n_classes, 3))
    torch.testing.assert_close(tuple(actual), tuple(expected))


def test_whole_weights_are_repetitions_in_a_search() -> None:
    x, labels, _ = random_classes(60, 3, 3)
    counts = torch.arange(60) % 4 + 1

    weighted = linear.softmax_regression(x, labels, weights=counts.to(x.dtype))
    repeated = linear.softmax_regression(x.repeat_interleave(counts, 0), labels.repeat_interleave(counts))

    torch.testing.assert_close(weighted, repeated, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("touching", [False, True])
def test_separable_data_without_penalty_are_an_error_that_says_so(touching: bool) -> None:
    x = torch.tensor([[-2.0], [-1.0], [0.0], [0.0], [1.0], [2.0]], dtype=torch.float64).repeat(20, 1)
    labels = torch.tensor([0, 0, 0, 1, 1, 1]).repeat(20)
    if not touching:
        x += 0.1 * (labels[:, None] - 0.5)

    for fit, y in ((linear.logistic_regression, labels.double()), (linear.softmax_regression, labels)):
        with pytest.raises(ValueError, match="x must not separate the classes when penalty is 0"):
            fit(x, y, penalty=0)
        assert fit(x, y, penalty=1e-6).weight.isfinite().all()


def test_three_separable_classes_without_penalty_are_an_error_too() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64).repeat(30, 1)
    x += 0.1 * torch.randn(90, 2, dtype=x.dtype)

    with pytest.raises(ValueError, match="x must not separate the classes when penalty is 0"):
        linear.softmax_regression(x, torch.arange(3).repeat(30), penalty=0)


def test_search_keeps_its_digits_on_columns_of_any_size_and_offset() -> None:
    x, labels, _ = random_classes(100, 4, 2)
    y = labels.to(x.dtype)
    sizes = torch.tensor([1e30, 1e-30, 1e3, 1.0], dtype=x.dtype)
    offsets = torch.tensor([0.0, 0.0, 1.6e9, 2000.0], dtype=x.dtype)

    expected = linear.logistic_regression(x, y, penalty=0)
    params = linear.logistic_regression(x * sizes + offsets, y, penalty=0)

    torch.testing.assert_close(params.weight * sizes, expected.weight, rtol=1e-5, atol=0)


def test_logits_a_million_apart_do_not_stop_the_search() -> None:
    x = torch.tensor([[-1e6], [-1.0], [1.0], [1e6]], dtype=torch.float64)
    y = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)

    params = linear.logistic_regression(x, y)

    scaled = logistic_gradient(x, y, torch.ones(4, dtype=x.dtype), 1.0, params) / torch.tensor([1e6, 1.0])
    assert scaled.abs().max() < 1e-8


@pytest.mark.held_against("PyTorch", linear.logistic_regression, linear.softmax_regression)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 3])
def test_many_rows_start_from_a_sample_and_end_at_the_same_minimum(k: int, weighted: bool) -> None:
    x, labels, weights = random_classes(40_000, 3, k)
    order = labels.argsort()
    x, labels, weights = x[order], labels[order], weights[order] if weighted else torch.ones_like(weights)
    state = torch.get_rng_state()

    params = linear.softmax_regression(x, labels, weights=weights if weighted else None)

    assert softmax_gradient(x, labels, weights, 1.0, params).norm() < 1e-8
    if k == 2:
        params = linear.logistic_regression(x, labels.to(x.dtype), weights=weights if weighted else None)
        assert logistic_gradient(x, labels, weights, 1.0, params).norm() < 1e-8
    assert torch.equal(torch.get_rng_state(), state)


def test_a_column_that_is_constant_in_the_sample_is_fitted() -> None:
    x, labels, weights = random_classes(40_000, 3, 2)
    x[:, 1] = 0
    x[17, 1] = 5.0

    params = linear.logistic_regression(x, labels.to(x.dtype))

    assert logistic_gradient(x, labels, torch.ones_like(weights), 1.0, params).norm() < 1e-8


def test_a_value_that_is_not_finite_is_found_among_many_rows() -> None:
    x, labels, _ = random_classes(40_000, 3, 2)
    x[39_999, 2] = math.inf

    for penalty in (0, 1.0):
        with pytest.raises(ValueError, match=r"x must be finite, got inf at index \(39999, 2\)"):
            linear.logistic_regression(x, labels.to(x.dtype), penalty=penalty)


def test_a_search_carries_no_gradient_back() -> None:
    x, labels, weights = random_classes(50, 3, 2)

    params = linear.logistic_regression(
        x.requires_grad_(), labels.to(x.dtype).requires_grad_(), weights=weights.requires_grad_()
    )

    assert not params.weight.requires_grad
    assert not params.bias.requires_grad


def test_many_columns_are_searched_without_a_matrix_in_each_step() -> None:
    x, labels, weights = random_classes(300, 80, 2)

    params = linear.logistic_regression(x, labels.to(x.dtype), weights=weights)

    assert logistic_gradient(x, labels, weights, 1.0, params).norm() < 1e-8


def test_a_search_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels, _ = random_classes(100, 4, 3)
    monkeypatch.setattr(_regression, "MAX_STEPS", 3)

    with pytest.raises(RuntimeError, match="no minimum found in 3 steps: scale the columns of x, or raise penalty"):
        linear.softmax_regression(x, labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_search_in_a_narrow_dtype_is_the_float64_search_rounded(dtype: torch.dtype) -> None:
    x, labels, _ = random_classes(100, 4, 3)
    x = x.to(dtype)

    params = linear.softmax_regression(x, labels)
    exact_params = linear.softmax_regression(x.double(), labels)

    torch.testing.assert_close(params, linear.LinearParams(*(value.to(dtype) for value in exact_params)))


def test_least_squares_keeps_its_digits_on_columns_far_from_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 3, generator=generator) + 1e5
    true_weight = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    y = ((x.double() - 1e5) @ true_weight + 7).float()
    weights = torch.rand(1000, generator=generator) + 0.5

    weight, _ = linear.least_squares(x, y, weights=weights)

    torch.testing.assert_close(weight.double(), true_weight, rtol=0, atol=3e-6)


# The search on hard problems


def weak_penalty(seed: int) -> tuple[Tensor, Tensor, Tensor, float, int]:
    """Draw a problem with columns of any scale, with heavy tails, duplicates, rare classes and weights over decades."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, dtype=torch.float64, generator=generator)

    n, d, k = (int(uniform(low, high, 1)) for low, high in ((8, 200), (1, 25), (2, 6)))
    x = torch.randn(n, d, dtype=torch.float64, generator=generator)
    if seed % 3 == 1:
        x = (2 * x).exp()
    if seed % 4 == 1:
        x[:, -1] = x[:, 0]
        x[:, d // 2] = 3
    scores = x @ torch.randn(d, k, dtype=x.dtype, generator=generator) / d
    labels = (scores + (seed % 2) * torch.randn(n, k, dtype=x.dtype, generator=generator)).argmax(1)
    labels[: k - 1] = torch.arange(1, k)
    labels[k - 1] = 0
    if seed % 2:
        x = x * 10 ** uniform(-8, 8, d)
    if seed % 5 == 2:
        x = x + 1e6
    weights = 10 ** uniform(-12 if seed % 3 == 0 else 0, 0, n)
    return x, labels, weights, float(10 ** uniform(-8, 4, 1)), k


def relative_decrement(
    x: Tensor, labels: Tensor, weights: Tensor, penalty: float, params: linear.LinearParams
) -> float:
    """Return the fall of the objective that a quadratic model of it predicts, relative to the objective."""
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 1e-12 * mean.abs(), std, 1)
    inputs = torch.nn.functional.pad((x - mean) / std, (0, 1), value=1.0)
    standard = torch.cat([params.weight * std[:, None], (params.bias + mean @ params.weight)[None]])
    penalties = torch.cat([penalty / std**2, torch.zeros(1, dtype=x.dtype)])
    log_p = torch.log_softmax(inputs @ standard, 1)
    p, y = log_p.exp(), torch.nn.functional.one_hot(labels, standard.shape[1])
    gradient = inputs.T @ (weights[:, None] * (p - y)) + penalties[:, None] * standard
    d, k = standard.shape
    hessian = torch.zeros(k, d, k, d, dtype=x.dtype)
    for j in range(k):
        for i in range(k):
            v = weights * p[:, j] * (float(i == j) - p[:, i])
            hessian[j, :, i] = (v * inputs.T) @ inputs + (torch.diag(penalties) if i == j else 0)
    matrix, vector = hessian.reshape(k * d, k * d), gradient.T.flatten()
    unit = matrix.diagonal().clamp_min(1e-300).rsqrt()
    values, basis = torch.linalg.eigh(unit[:, None] * matrix * unit)
    kept = values > 1e-13 * values[-1]
    parts = (basis.T @ (unit * vector))[kept]
    objective = -(weights * log_p[torch.arange(len(x)), labels]).sum() + (penalties[:, None] * standard**2).sum() / 2
    return float((parts**2 / values[kept]).sum() / objective)


@pytest.mark.parametrize("seed", range(40))
def test_the_search_arrives_on_random_problems(seed: int) -> None:
    x, labels, weights, penalty, k = weak_penalty(seed)

    params = linear.softmax_regression(x, labels, n_classes=k, penalty=penalty, weights=weights)
    two = linear.logistic_regression(x, (labels > 0).to(x.dtype), penalty=penalty / 2, weights=weights)
    as_softmax = linear.LinearParams(
        torch.stack([-two.weight, two.weight], 1) / 2, torch.stack([-two.bias, two.bias]) / 2
    )

    assert relative_decrement(x, labels, weights, penalty, params) < 1e-9
    assert relative_decrement(x, (labels > 0).long(), weights, penalty, as_softmax) < 1e-9


def test_derivatives_of_a_row_that_is_nearly_certain_keep_their_digits() -> None:
    z = torch.tensor([[45.0], [0.0], [-3.0]], dtype=torch.float64)
    direction = torch.tensor([[0.3], [-1.2], [0.7]], dtype=torch.float64)
    label = torch.tensor([0])
    e = [mp.exp(mp.mpf(value)) for value in exact(z[:, 0])]
    p = [value / mp.fsum(e) for value in e]
    u = exact(direction[:, 0])
    mean = mp.fsum(a * b for a, b in zip(p, u, strict=True))

    gradient, _, kept = SOFTMAX.derivatives(z, label)
    product, curvature = SOFTMAX.hessian_times(kept, label, direction), SOFTMAX.curvature(kept, label)
    sure, _, of_sure = LOGISTIC.derivatives(z[:1], torch.tensor([1.0], dtype=torch.float64))

    for j in range(3):
        assert gradient[j, 0].item() == pytest.approx(float(p[j] - (j == 0)), rel=1e-12, abs=0)
        assert product[j, 0].item() == pytest.approx(float(p[j] * (u[j] - mean)), rel=1e-12, abs=0)
        assert curvature[j, 0].item() == pytest.approx(float(p[j] * (1 - p[j])), rel=1e-12, abs=0)
    sigmoid = 1 / (1 + mp.exp(-45))
    assert sure.item() == pytest.approx(float(sigmoid - 1), rel=1e-12, abs=0)
    assert of_sure.item() == pytest.approx(float(sigmoid * (1 - sigmoid)), rel=1e-12, abs=0)


def test_six_random_classes_with_a_weak_penalty_are_fitted() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 120, dtype=torch.float64, generator=generator)
    labels = torch.randint(6, (400,), generator=generator)

    params = linear.softmax_regression(x, labels, penalty=1e-3)

    assert softmax_gradient(x, labels, torch.ones(400, dtype=x.dtype), 1e-3, params).norm() < 1e-8


def test_many_classes_take_no_matrix_for_each() -> None:
    x, labels, weights = random_classes(500, 40, 30)

    params = linear.softmax_regression(x, labels, penalty=0.1, weights=weights)

    assert softmax_gradient(x, labels, weights, 0.1, params).norm() < 1e-8


def test_a_search_over_many_classes_does_not_hold_a_matrix_for_each() -> None:
    n, d, k = 200, 100, 200
    x = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    held = most_bytes_held(lambda: linear.softmax_regression(x, torch.arange(n) % k, penalty=10.0))

    assert 8 * n * k <= held < 8 * k * d**2 / 2


@pytest.mark.parametrize("penalty", [1e-14, 1e-8])
def test_duplicated_columns_share_a_tiny_penalty(penalty: float) -> None:
    x, labels, _ = random_classes(100, 3, 2)

    single = linear.logistic_regression(x, labels.to(x.dtype), penalty=0)
    double = linear.logistic_regression(torch.cat([x, x], 1), labels.to(x.dtype), penalty=penalty)

    torch.testing.assert_close(double.weight[:3] + double.weight[3:], single.weight, rtol=1e-6, atol=0)
    torch.testing.assert_close(double.weight[:3], double.weight[3:], rtol=0.05, atol=0)  # up to rounding over penalty


def test_columns_far_from_zero_keep_their_digits_in_a_search_over_many_rows() -> None:
    x, labels, weights = random_classes(40_000, 3, 2)
    shifted = x + torch.tensor([1e6, 0.0, -1e5])

    expected = linear.logistic_regression(x, labels.to(x.dtype), weights=weights)
    params = linear.logistic_regression(shifted, labels.to(x.dtype), weights=weights)

    torch.testing.assert_close(params.weight, expected.weight, rtol=1e-7, atol=0)


def test_a_search_that_keeps_no_probabilities_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels, weights = random_classes(500, 40, 20)
    expected = linear.softmax_regression(x, labels, weights=weights)
    monkeypatch.setattr(_newton_cg, "MAX_KEPT_ENTRIES", 0)

    params = linear.softmax_regression(x, labels, weights=weights)

    torch.testing.assert_close(params, expected, rtol=1e-9, atol=1e-12)


def logistic_problem(x: Tensor, y: Tensor) -> _newton_cg.Problem:
    """Return the loss without penalty on rows that are taken as standardized."""
    return _newton_cg.Problem(LOGISTIC, x, y, None, torch.zeros(x.shape[1], dtype=x.dtype), None, len(x), OneProcess())


def test_conjugate_gradients_take_no_step_without_curvature() -> None:
    problem = logistic_problem(torch.ones(3, 1).double(), torch.tensor([0.0, 1.0, 1.0]).double())
    point = _newton_cg.Point(problem, torch.full((1, 1), 1e3, dtype=torch.float64))

    step, count = _newton_cg._conjugate_gradients(point, torch.clone)

    assert point.gradient == 1
    assert step == 0
    assert count == 0


def test_a_line_search_ends_at_a_kink() -> None:
    problem = logistic_problem(torch.full((2, 1), 1e20).double(), torch.tensor([0.0, 1.0]).double())
    point = _newton_cg.Point(problem, torch.full((1, 1), -1.0, dtype=torch.float64))

    end, length = _newton_cg._line_search(point, torch.full((1, 1), 3.0, dtype=torch.float64), 1.0, 1.0)

    assert length == pytest.approx(1 / 3)
    assert abs(end.params) < 1e-11


def test_a_line_search_does_not_climb_above_the_loss() -> None:
    # From a loss of 0.02, a step that promises to lower it by 500 must not end at a loss of 1.
    problem = logistic_problem(torch.ones(3, 1).double(), torch.tensor([1.0, 1.0, 0.0]).double())
    problem = replace(problem, weights=torch.tensor([1.0, 1.0, 1e-3]).double())
    point = _newton_cg.Point(problem, torch.full((1, 1), 5.0, dtype=torch.float64))

    end, _ = _newton_cg._line_search(point, torch.full((1, 1), 1000.0, dtype=torch.float64), 1000.0, 1.0)

    assert point.scale == pytest.approx(0.0144, rel=0.01)
    assert end.scale < point.scale
    assert end.params < 25


def test_a_matrix_that_is_not_positive_definite_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no minimum found: the Hessian is not positive definite"):
        _newton_cg._cholesky_factor(-torch.eye(2))


def test_a_start_at_the_minimum_ends_there() -> None:
    x, labels, _ = random_classes(40_000, 3, 2)
    expected = _regression.minimize(LOGISTIC, x, labels.to(x.dtype), None, penalty=1.0)

    params = _regression.minimize(LOGISTIC, x, labels.to(x.dtype), None, penalty=1.0, start=expected + 1e-3)

    torch.testing.assert_close(params, expected, rtol=1e-9, atol=1e-12)


# Separation and rank without penalty


def separating_program(x: Tensor, labels: Tensor, k: int) -> float:
    """Return the largest sum of margins of a model with no row on the wrong side: 0 if the classes overlap."""
    rows = torch.nn.functional.pad(x, (0, 1), value=1.0).numpy()
    if k == 2:
        margins = np.where(labels == 1, 1.0, -1.0)[:, None] * rows
    else:
        own, other = np.eye(k)[labels], np.eye(k)
        difference = own[:, None, :] - other[None]  # of the outputs of the label and of each class
        margins = np.einsum("ijc,id->ijcd", difference, rows).reshape(len(x) * k, -1)
    program = linprog(-margins.sum(0), A_ub=-margins, b_ub=np.zeros(len(margins)), bounds=[(-1, 1)] * margins.shape[1])
    return -program.fun


@pytest.mark.held_against("SciPy", linear.softmax_regression, linear.logistic_regression)
@pytest.mark.parametrize("seed", range(60))
def test_separation_agrees_with_a_linear_program(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    n, d, k = (int(torch.randint(low, high, (), generator=generator)) for low, high in ((6, 40), (1, 5), (2, 5)))
    if seed % 2:  # whole numbers: many rows lie on the boundary
        x = torch.randint(-2, 3, (n, d), generator=generator).double()
    else:
        x = torch.randn(n, d, dtype=torch.float64, generator=generator)
    scores = x @ torch.randn(d, k, dtype=x.dtype, generator=generator)
    noise = torch.randn(n, k, dtype=x.dtype, generator=generator)
    labels = (scores + (0.0, 0.3, 3.0)[seed % 3] * noise).argmax(1)
    labels[:k], x[-1] = torch.arange(k), torch.arange(d) ** 2.0
    fits = [lambda: linear.softmax_regression(x, labels, penalty=0)]
    if k == 2:
        fits.append(lambda: linear.logistic_regression(x, labels.double(), penalty=0))

    for fit in fits:
        if int(torch.linalg.matrix_rank(x - x.mean(0))) < d:
            with pytest.raises(ValueError, match="rank"):
                fit()
        elif separating_program(x, labels, k) > 1e-7:
            with pytest.raises(ValueError, match="x must not separate the classes"):
                fit()
        else:
            assert fit().weight.isfinite().all()


@pytest.mark.parametrize("penalty", [0.0, 1e-6])
def test_a_sample_without_the_rare_rows_does_not_decide_that_classes_are_separated(penalty: float) -> None:
    n = 100_000
    x, labels = torch.zeros(n, 1, dtype=torch.float64), torch.arange(n) % 2
    x[:8] = 1

    logistic = linear.logistic_regression(x, labels.double(), penalty=penalty)
    softmax = linear.softmax_regression(x, labels, penalty=penalty)

    assert logistic.weight.abs() < 1e-8
    assert softmax.weight.abs().max() < 1e-8


@pytest.mark.parametrize("seed", range(3))
def test_a_class_of_thirty_rows_among_many_is_fitted_without_penalty(seed: int) -> None:
    x, _, weights = random_examples(100_000, 4, seed=seed)
    y = torch.zeros(100_000, dtype=x.dtype)
    y[torch.randperm(100_000, generator=torch.Generator().manual_seed(seed))[:30]] = 1

    params = linear.logistic_regression(x, y, penalty=0)
    softmax = linear.softmax_regression(x, y.long(), penalty=0)

    assert logistic_gradient(x, y, torch.ones_like(weights), 0, params).norm() < 1e-8
    torch.testing.assert_close(softmax.weight[:, 1] - softmax.weight[:, 0], params.weight, rtol=1e-7, atol=1e-8)


def test_separation_of_many_rows_is_found_whatever_the_sample_holds() -> None:
    x, labels, _ = random_classes(120_000, 3, 2)
    x[:, 0] = torch.where(labels == 1, x[:, 0].abs(), -x[:, 0].abs())
    with_overlap = x.clone()
    with_overlap[[0, 1], 0] *= -1

    with pytest.raises(ValueError, match="x must not separate the classes"):
        linear.logistic_regression(x, labels.to(x.dtype), penalty=0)
    with pytest.raises(ValueError, match="x must not separate the classes"):
        linear.softmax_regression(x, labels, penalty=0)
    assert linear.logistic_regression(with_overlap, labels.to(x.dtype), penalty=0).weight.isfinite().all()


def test_the_rank_of_many_rows_is_that_of_all_rows() -> None:
    x, labels, _ = random_classes(100_000, 3, 2)
    x[:, 2] = x[:, 0] + x[:, 1]
    independent = x.clone()
    independent[:5, 2] += 1

    with pytest.raises(ValueError, match="rank 3 when centred, got 2"):
        linear.logistic_regression(x, labels.to(x.dtype), penalty=0)
    assert linear.logistic_regression(independent, labels.to(x.dtype), penalty=0).weight.isfinite().all()


def test_a_column_that_is_huge_beside_its_correlated_one_is_not_taken_for_a_dependent_one() -> None:
    x = torch.randn(50, 2, dtype=torch.float64)
    x[:, 1] = 1e20 * (x[:, 0] + x[:, 1])
    rows, ones = torch.nn.functional.pad(x, (0, 1), value=1.0), torch.ones(50, dtype=torch.float64)
    problem = _newton_cg.Problem(
        LOGISTIC, rows, ones, None, torch.zeros(3, dtype=torch.float64), None, 50, OneProcess()
    )

    _regression._check_independent_columns(problem, x)
    rows[:, 1] = 1e20 * x[:, 0]
    with pytest.raises(ValueError, match="rank 2 when centred, got 1"):
        _regression._check_independent_columns(problem, x)


def test_ridge_of_equal_columns_far_from_zero_keeps_its_digits() -> None:
    # In float32, rounding divided by the penalty would give the two columns opposite weights, and lose the bias.
    generator = torch.Generator().manual_seed(0)
    column = torch.randn(200, 1, generator=generator) + 1e5
    z = column.double() - column.double().mean()
    y = (z[:, 0] + 0.1 * torch.randn(200, generator=generator)).float()

    weight, _ = linear.ridge(column.expand(200, 2), y, penalty=1e-8)

    slope = (z[:, 0] @ (y.double() - y.double().mean())) / (z[:, 0] @ z[:, 0] + 0.5e-8) / 2
    torch.testing.assert_close(weight, torch.full((2,), float(slope)), rtol=1e-4, atol=0)
