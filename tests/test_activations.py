"""Activations and the softmax family against their formulas, their laws and their extremes."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from scipy import special
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the name everybody knows it by

from dlcore import activations
from dlcore.activations import hardmax, log_softmax, log_sum_exp, smooth_min, softmax, softmin
from tests.oracle import assert_matches, assert_within, exact, tensors

Function = Callable[..., Tensor]

HALF = [torch.float16, torch.bfloat16]
EXTREMES = [-math.inf, -1e30, -1e4, 0.0, 1e4, 1e30, math.inf, math.nan]
temperatures = st.floats(0.05, 20.0)

# name: the function, its formula and derivative in 50 digits, and its values and slopes at the extremes
POINTWISE: dict[str, tuple[Function, Function, Function, list[float], list[float]]] = {
    "relu": (
        activations.relu,
        lambda x: max(x, mp.mpf(0)),
        lambda x: mp.mpf(x > 0),
        [0, 0, 0, 0, 1e4, 1e30, math.inf, math.nan],
        [0, 0, 0, 0, 1, 1, 1],
    ),
    "prelu": (
        lambda x: activations.prelu(x, 0.25),
        lambda x: max(x, mp.mpf(0)) + min(x, mp.mpf(0)) / 4,
        lambda x: mp.mpf(1 if x > 0 else 0.25),
        [-math.inf, -2.5e29, -2.5e3, 0, 1e4, 1e30, math.inf, math.nan],
        [0.25, 0.25, 0.25, 0.25, 1, 1, 1],
    ),
    "sigmoid": (
        activations.sigmoid,
        lambda x: 1 / (1 + mp.exp(-x)),
        lambda x: mp.exp(-x) / (1 + mp.exp(-x)) ** 2,
        [0, 0, 0, 0.5, 1, 1, 1, math.nan],
        [0, 0, 0, 0.25, 0, 0, 0],
    ),
    "tanh": (
        activations.tanh,
        lambda x: -mp.expm1(-2 * x) / (1 + mp.exp(-2 * x)),
        lambda x: mp.sech(x) ** 2,
        [-1, -1, -1, 0, 1, 1, 1, math.nan],
        [0, 0, 0, 1, 0, 0, 0],
    ),
    "softplus": (
        activations.softplus,
        lambda x: mp.log1p(mp.exp(x)),
        lambda x: 1 / (1 + mp.exp(-x)),
        [0, 0, 0, math.log(2), 1e4, 1e30, math.inf, math.nan],
        [0, 0, 0, 0.5, 1, 1, 1],
    ),
    "gelu": (
        activations.gelu,
        lambda x: x * mp.ncdf(x),
        lambda x: mp.ncdf(x) + x * mp.npdf(x),
        [0, 0, 0, 0, 1e4, 1e30, math.inf, math.nan],
        [0, 0, 0, 0.5, 1, 1, 1],
    ),
    "swish": (
        activations.swish,
        lambda x: x / (1 + mp.exp(-x)),
        lambda x: (1 + mp.exp(-x) + x * mp.exp(-x)) / (1 + mp.exp(-x)) ** 2,
        [0, 0, 0, 0, 1e4, 1e30, math.inf, math.nan],
        [0, 0, 0, 0.5, 1, 1, 1],
    ),
}
SCALAR = [getattr(activations, name) for name in POINTWISE]
TORCHS_OWN = {
    "relu": F.relu,
    "prelu": lambda x: F.prelu(x, torch.tensor(0.25, dtype=x.dtype)),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "swish": F.silu,
}


def slopes(function: Function, x: Tensor) -> Tensor:
    """Return the derivative of a pointwise function at each entry, by autograd."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x)
    return gradient


def relative_errors(actual: Tensor, formula: Function, x: Tensor) -> Tensor:
    """Return the error of each value in units of eps, relative to the formula in 50 digits."""
    expected = [formula(value) for value in exact(x)]
    errors = [abs(got - want) / abs(want) for got, want in zip(exact(actual), expected, strict=True)]
    return torch.tensor([float(error) for error in errors]) / torch.finfo(actual.dtype).eps


# Pointwise: the formula and its derivative, in 50 digits


@pytest.mark.held_against("50 digits", *SCALAR)
@pytest.mark.parametrize("name", POINTWISE)
@given(x=st.floats(-30, 30))
def test_activation_is_its_formula(name: str, x: float) -> None:
    function, formula, _, _, _ = POINTWISE[name]
    x = torch.tensor(x, dtype=torch.float64)

    ulps = 4 * (1 + x.item() ** 2)  # the exponent of a gate has an error of half an ulp of x²

    assert_matches(function(x), lambda xs: formula(xs[0]), x, ulps=ulps)


@pytest.mark.held_against("50 digits", *SCALAR)
@pytest.mark.parametrize("name", POINTWISE)
@given(x=st.floats(-30, 30))
def test_slope_is_the_derivative_in_the_docstring(name: str, x: float) -> None:
    function, _, derivative, _, _ = POINTWISE[name]
    x = torch.tensor(x, dtype=torch.float64)

    error = mp.mpf(slopes(function, x).item()) - derivative(mp.mpf(x.item()))

    assert abs(error) <= 1e-14


@pytest.mark.held_against("PyTorch", *SCALAR)
@pytest.mark.parametrize("name", POINTWISE)
def test_activation_agrees_with_torch(name: str) -> None:
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)

    torch.testing.assert_close(POINTWISE[name][0](x), TORCHS_OWN[name](x))
    torch.testing.assert_close(slopes(POINTWISE[name][0], x), slopes(TORCHS_OWN[name], x))


@pytest.mark.parametrize("copies", [1, 64], ids=["scalar loop", "vector loop"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", POINTWISE)
def test_activation_has_its_limits_at_the_extremes(name: str, dtype: torch.dtype, copies: int) -> None:
    function, _, _, values, gradients = POINTWISE[name]
    x = torch.tensor(EXTREMES * copies, dtype=dtype)

    expected = torch.tensor(values * copies, dtype=dtype)
    gradient = slopes(function, x).reshape(copies, -1)

    torch.testing.assert_close(function(x), expected, equal_nan=True)
    assert torch.equal(gradient[:, :-1], torch.tensor([gradients] * copies, dtype=dtype))


@pytest.mark.parametrize("name", POINTWISE)
def test_second_derivative_is_finite_at_infinity(name: str) -> None:
    x = torch.tensor([-math.inf, -1e30, 1e30, math.inf], requires_grad=True)

    (first,) = torch.autograd.grad(POINTWISE[name][0](x).sum(), x, create_graph=True)
    second = torch.autograd.grad(first.sum(), x)[0] if first.requires_grad else torch.zeros(4)

    assert torch.equal(second, torch.zeros(4))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", POINTWISE)
def test_half_precision_is_the_exact_value_rounded(name: str, dtype: torch.dtype) -> None:
    function, _, derivative, _, _ = POINTWISE[name]
    x = torch.linspace(-8, 8, 257, dtype=dtype)
    limits = torch.finfo(dtype)

    expected = torch.tensor([float(derivative(value)) for value in exact(x)], dtype=torch.float64)

    torch.testing.assert_close(
        function(x).double(), function(x.double()), rtol=limits.eps, atol=limits.tiny * limits.eps
    )
    torch.testing.assert_close(slopes(function, x).double(), expected, rtol=limits.eps, atol=3 * limits.eps)


# Pointwise: laws


@given(tensors())
def test_value_at_x_minus_value_at_minus_x_is_x(x: Tensor) -> None:
    for gated in (activations.softplus, activations.gelu, activations.swish, activations.relu):
        torch.testing.assert_close(gated(x) - gated(-x), x)


@given(tensors(largest=30.0))
def test_sigmoids_of_x_and_minus_x_sum_to_one_and_tanh_is_a_rescaled_sigmoid(x: Tensor) -> None:
    torch.testing.assert_close(activations.sigmoid(x) + activations.sigmoid(-x), torch.ones_like(x))
    torch.testing.assert_close(activations.tanh(x), 2 * activations.sigmoid(2 * x) - 1)


@given(tensors())
def test_softplus_is_minus_the_logarithm_of_the_complementary_sigmoid(x: Tensor) -> None:
    near = x.clamp(-700, 700)

    torch.testing.assert_close(activations.softplus(near), -activations.sigmoid(-near).log(), rtol=1e-9, atol=1e-15)


@given(tensors(), st.floats(-2, 2))
def test_prelu_lies_between_relu_and_the_identity(x: Tensor, alpha: float) -> None:
    torch.testing.assert_close(activations.prelu(x, 0.0), activations.relu(x))
    torch.testing.assert_close(activations.prelu(x, 1.0), x)
    torch.testing.assert_close(activations.prelu(x, alpha), (1 - alpha) * activations.relu(x) + alpha * x)


def test_prelu_broadcasts_a_slope_for_each_of_the_last_dimension() -> None:
    x, alpha = torch.randn(3, 4), torch.randn(4)

    expected = torch.stack([activations.prelu(x[:, j], alpha[j].item()) for j in range(4)], dim=1)

    torch.testing.assert_close(activations.prelu(x, alpha), expected)
    torch.testing.assert_close(activations.prelu(x.T, alpha[:, None]), expected.T)


def test_gradient_of_prelu_in_its_slope_is_the_negative_part() -> None:
    x = torch.tensor([-2.0, 0.0, 3.0, math.inf])

    gradient = torch.func.grad(lambda alpha: activations.prelu(x, alpha).sum())(torch.tensor(0.0))

    assert gradient == -2


def test_prelu_of_slope_zero_has_no_value_at_minus_infinity() -> None:
    assert activations.prelu(torch.tensor(-math.inf), 0.0).isnan()


@pytest.mark.parametrize("beta", [0.0, 1e-50, 1e-30, 0.5, 2.0, 1e30])
def test_swish_changes_from_half_the_identity_to_relu_as_beta_grows(beta: float) -> None:
    x = torch.tensor([-1e30, -3.0, -1.0, 0.0, 2.0, 1e30], dtype=torch.float64)

    expected = x / 2 if beta == 0 else x * torch.sigmoid(beta * x)

    torch.testing.assert_close(activations.swish(x, beta=beta), expected)
    if beta == 1e30:
        torch.testing.assert_close(activations.swish(x, beta=beta), activations.relu(x))


def test_lowest_points_are_those_in_the_docstrings() -> None:
    x = torch.linspace(-5, 0, 10_001, dtype=torch.float64)

    assert -0.17 < activations.gelu(x).min() < -0.169
    assert -0.28 < activations.swish(x).min() < -0.278
    assert -0.14 < activations.swish(x, beta=2.0).min() < -0.139


# Pointwise: tails where torch loses digits or is NaN


@pytest.mark.held_against("50 digits", activations.softplus)
def test_softplus_keeps_all_digits_where_torchs_own_loses_ten() -> None:
    x = torch.linspace(-700, 60, 2001, dtype=torch.float64)

    ours = relative_errors(activations.softplus(x), POINTWISE["softplus"][1], x)
    torchs = relative_errors(F.softplus(x), POINTWISE["softplus"][1], x)

    assert ours.max() <= 1
    assert torchs.max() > 1e-11 / torch.finfo(torch.float64).eps


@pytest.mark.held_against("50 digits", activations.gelu)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gelu_keeps_its_relative_accuracy_in_the_negative_tail(dtype: torch.dtype) -> None:
    x = torch.linspace(-12 if dtype == torch.float32 else -36, -0.01, 501, dtype=dtype)

    errors = relative_errors(activations.gelu(x), POINTWISE["gelu"][1], x)

    assert (errors <= 1 + x**2).all()


def test_gelu_at_minus_10_is_not_zero() -> None:
    x = torch.tensor(-10.0)

    assert F.gelu(x) == 0
    torch.testing.assert_close(activations.gelu(x), torch.tensor(-7.61985302416e-23), rtol=1e-5, atol=0.0)
    torch.testing.assert_close(slopes(activations.gelu, x), torch.tensor(-7.61840009646e-22), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("beta", [3e38, 1e39, 1e300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_swish_of_a_steepness_that_the_dtype_cannot_hold_is_relu(beta: float, dtype: torch.dtype) -> None:
    x = torch.tensor([-2.0, 0.0, 3.0], dtype=dtype)

    assert torch.equal(activations.swish(x, beta=beta), activations.relu(x))
    slopes = torch.func.grad(lambda x: activations.swish(x, beta=beta).sum())(x)
    assert torch.equal(slopes, torch.tensor([0.0, 0.5, 1.0], dtype=dtype))


def test_a_learned_slope_follows_its_inputs_into_autocast() -> None:
    x, alpha = torch.tensor([-2.0, 3.0], dtype=torch.bfloat16), torch.tensor(0.25, requires_grad=True)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = activations.prelu(x, alpha)
    y.sum().backward()

    assert torch.equal(y, torch.tensor([-0.5, 3.0], dtype=torch.bfloat16))
    assert alpha.grad == -2


def test_gelu_and_swish_vanish_at_minus_infinity_where_torchs_own_are_nan() -> None:
    x = torch.tensor([-math.inf])

    assert F.gelu(x).isnan()
    assert F.silu(x).isnan()
    assert activations.gelu(x) == activations.swish(x) == 0


# The softmax family, in 50 digits


@pytest.mark.held_against("50 digits", activations.softmax)
@given(tensors(), temperatures)
def test_softmax_is_its_formula(logits: Tensor, temperature: float) -> None:
    actual = softmax(logits, temperature=temperature)

    scores = [mp.exp(o / mp.mpf(temperature)) for o in exact(logits)]
    for got, score in zip(exact(actual), scores, strict=True):
        expected = score / sum(scores)
        assert abs(got - expected) <= 1e-16 + expected * 1e-15 * max(1, logits.abs().max().item() / temperature)


@pytest.mark.held_against("50 digits", activations.log_softmax)
@given(tensors(), temperatures)
def test_log_softmax_is_its_formula(logits: Tensor, temperature: float) -> None:
    actual = log_softmax(logits, temperature=temperature)

    scaled = [o / mp.mpf(temperature) for o in exact(logits)]
    log_sum = mp.log(sum(mp.exp(o) for o in scaled))
    for got, o in zip(exact(actual), scaled, strict=True):
        assert abs(got - (o - log_sum)) <= 1e-15 * max(1, *map(abs, scaled))


@pytest.mark.held_against("50 digits", activations.log_sum_exp, activations.smooth_min)
@given(tensors(), temperatures)
def test_smooth_maximum_and_minimum_are_their_formulas(x: Tensor, temperature: float) -> None:
    t = mp.mpf(temperature)
    scale = max(1, x.abs().max().item())

    largest = t * mp.log(sum(mp.exp(xi / t) for xi in exact(x)))
    smallest = -t * mp.log(sum(mp.exp(-xi / t) for xi in exact(x)))

    assert abs(mp.mpf(log_sum_exp(x, temperature=temperature).item()) - largest) <= 1e-14 * scale
    assert abs(mp.mpf(smooth_min(x, temperature=temperature).item()) - smallest) <= 1e-14 * scale


@pytest.mark.held_against("PyTorch", hardmax, log_softmax, log_sum_exp, softmax, softmin)
@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_softmax_family_agrees_with_torch_along_any_dimension(dim: int, temperature: float) -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64)

    torch.testing.assert_close(softmax(x, dim=dim, temperature=temperature), torch.softmax(x / temperature, dim))
    torch.testing.assert_close(log_softmax(x, dim=dim, temperature=temperature), F.log_softmax(x / temperature, dim))
    torch.testing.assert_close(softmin(x, dim=dim, temperature=temperature), F.softmin(x / temperature, dim))
    torch.testing.assert_close(
        log_sum_exp(x, dim=dim, temperature=temperature), temperature * torch.logsumexp(x / temperature, dim)
    )
    torch.testing.assert_close(hardmax(x, dim=dim), F.one_hot(x.argmax(dim), x.shape[dim]).double().movedim(-1, dim))


# The softmax family: laws


@pytest.mark.parametrize(("dtype", "temperature"), [(torch.float32, 1e-40), (torch.float64, 1e-310)])
def test_a_temperature_below_the_normal_numbers_divides_logits_as_small(dtype: torch.dtype, temperature: float) -> None:
    steps = torch.tensor([0.0, -1.0, -2.0], dtype=dtype)

    for function in (softmax, log_softmax):
        actual = function(steps * temperature, temperature=temperature)
        torch.testing.assert_close(actual, function(steps), rtol=1e-4, atol=0)


@given(tensors(), temperatures, st.floats(-1e3, 1e3))
def test_softmax_sums_to_one_and_is_invariant_to_a_shift(logits: Tensor, temperature: float, shift: float) -> None:
    probabilities = softmax(logits, temperature=temperature)

    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(softmax(logits + shift, temperature=temperature), probabilities, rtol=1e-9, atol=1e-9)


@given(tensors(largest=30.0), temperatures)
def test_log_softmax_is_the_logarithm(logits: Tensor, temperature: float) -> None:
    torch.testing.assert_close(
        log_softmax(logits, temperature=temperature).exp(), softmax(logits, temperature=temperature)
    )


@given(tensors(), temperatures)
def test_smooth_maximum_lies_above_the_maximum_by_at_most_t_log_n(x: Tensor, temperature: float) -> None:
    n, slack = x.numel(), 1e-12 * (1 + x.abs().max())

    assert x.max() - slack <= log_sum_exp(x, temperature=temperature) <= x.max() + temperature * math.log(n) + slack
    assert x.min() - temperature * math.log(n) - slack <= smooth_min(x, temperature=temperature) <= x.min() + slack


def test_softmin_and_smooth_min_are_two_different_things() -> None:
    x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)

    torch.testing.assert_close(softmin(x), (-x).exp() / (-x).exp().sum())
    torch.testing.assert_close(smooth_min(x), -(-x).exp().sum().log())
    torch.testing.assert_close(torch.func.grad(smooth_min)(x), softmin(x))


# The softmax family: closed forms of the gradient


@given(tensors(largest=30.0), temperatures)
def test_jacobian_of_softmax_is_diagonal_minus_outer_product(logits: Tensor, temperature: float) -> None:
    probabilities = softmax(logits, temperature=temperature)
    jacobian = torch.func.jacrev(lambda o: softmax(o, temperature=temperature))(logits)
    log_jacobian = torch.func.jacrev(lambda o: log_softmax(o, temperature=temperature))(logits)
    identity = torch.eye(len(logits), dtype=torch.float64)

    torch.testing.assert_close(jacobian, (probabilities.diag() - probabilities.outer(probabilities)) / temperature)
    torch.testing.assert_close(log_jacobian, (identity - probabilities) / temperature)


@given(tensors(), temperatures)
def test_gradient_of_the_smooth_maximum_is_softmax_and_of_the_minimum_softmin(x: Tensor, temperature: float) -> None:
    of_max = torch.func.grad(lambda x: log_sum_exp(x, temperature=temperature))(x)
    of_min = torch.func.grad(lambda x: smooth_min(x, temperature=temperature))(x)

    torch.testing.assert_close(of_max, softmax(x, temperature=temperature))
    torch.testing.assert_close(of_min, softmin(x, temperature=temperature))


def test_gradient_of_hardmax_is_zero() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0], [-math.inf, math.inf, 0.0]], requires_grad=True)

    (gradient,) = torch.autograd.grad(hardmax(logits).sum(), logits)

    assert torch.equal(gradient, torch.zeros(2, 3))


# The softmax family: the naive form, ties, temperature


@pytest.mark.parametrize(("shape", "dim"), [((2**22,), 0), ((2**20, 2), 0)])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_softmax_of_long_rows_keeps_its_digits(
    function: Callable[..., Tensor], shape: tuple[int, ...], dim: int
) -> None:
    """The error of torch's own softmax is hundreds of units of rounding here."""
    logits = torch.rand(shape)
    found, expected = function(logits, dim=dim), function(logits.double(), dim=dim)
    gradient = torch.func.grad(lambda x: function(x, dim=dim)[0].sum())

    torch.testing.assert_close(found.double(), expected, rtol=5e-7, atol=0.0)
    torch.testing.assert_close(gradient(logits).double(), gradient(logits.double()), rtol=1e-6, atol=1e-12)


def test_naive_softmax_is_nan_at_logit_100_and_ours_is_not() -> None:
    logits = torch.tensor([100.0, 0.0])

    naive = logits.exp() / logits.exp().sum()

    assert naive[0].isnan()
    torch.testing.assert_close(softmax(logits), torch.tensor([1.0, 3.7835e-44]), rtol=0.0, atol=1e-43)


def test_hardmax_takes_the_first_of_a_tie_and_the_cold_limit_splits_it() -> None:
    logits = torch.tensor([1.0, 3.0, 3.0, -5.0])

    assert torch.equal(hardmax(logits), torch.tensor([0.0, 1.0, 0.0, 0.0]))
    for temperature in (1e-2, 1e-30, 1e-300):
        assert torch.equal(softmax(logits, temperature=temperature), torch.tensor([0.0, 0.5, 0.5, 0.0]))


@given(tensors(min_size=2))
def test_cold_softmax_is_hardmax_where_nothing_ties(logits: Tensor) -> None:
    first, second = logits.topk(2).values
    cold = softmax(logits, temperature=1e-300)

    if first - second > 1e-290:  # a gap of many times the temperature
        assert torch.equal(cold, hardmax(logits))
    torch.testing.assert_close(log_sum_exp(logits, temperature=1e-300), logits.max(), rtol=0.0, atol=1e-299)


def test_hot_softmax_is_uniform() -> None:
    torch.testing.assert_close(softmax(torch.tensor([1e4, 0.0, -3.0, 7.0]), temperature=1e30), torch.full((4,), 0.25))


# Extremes


@pytest.mark.parametrize("temperature", [1.0, 0.1, 10.0])
@pytest.mark.parametrize("scale", [1e4, 1e30, 3e38], ids=str)
def test_softmax_of_huge_logits_is_finite_with_its_gradient(scale: float, temperature: float) -> None:
    logits = torch.tensor([scale, -scale, scale, 0.0], requires_grad=True)

    probabilities = softmax(logits, temperature=temperature)
    (gradient,) = torch.autograd.grad(probabilities[0], logits)

    assert torch.equal(probabilities, torch.tensor([0.5, 0.0, 0.5, 0.0]))
    torch.testing.assert_close(gradient, torch.tensor([0.25, 0.0, -0.25, 0.0]) / temperature)
    torch.testing.assert_close(
        log_sum_exp(logits, temperature=temperature), torch.tensor(scale + temperature * math.log(2))
    )
    torch.testing.assert_close(smooth_min(logits, temperature=temperature), torch.tensor(-scale))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_class_with_logit_minus_infinity_has_probability_zero(temperature: float) -> None:
    logits = torch.tensor([-math.inf, 2.0, 2.0], requires_grad=True)

    probabilities = softmax(logits, temperature=temperature)
    (gradient,) = torch.autograd.grad(probabilities[1], logits)

    assert torch.equal(probabilities, torch.tensor([0.0, 0.5, 0.5]))
    assert torch.equal(gradient, torch.tensor([0.0, 0.25, -0.25]) / temperature)
    assert log_softmax(logits, temperature=temperature)[0] == -math.inf


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_row_of_minus_infinity_only_has_no_softmax(temperature: float) -> None:
    logits = torch.full((3,), -math.inf)

    assert softmax(logits, temperature=temperature).isnan().all()
    assert log_softmax(logits, temperature=temperature).isnan().all()
    assert softmin(-logits, temperature=temperature).isnan().all()
    assert log_sum_exp(logits, temperature=temperature) == -math.inf
    assert smooth_min(-logits, temperature=temperature) == math.inf
    assert torch.func.grad(lambda x: log_sum_exp(x, temperature=temperature))(logits).isnan().all()
    assert torch.equal(hardmax(logits), torch.tensor([1.0, 0.0, 0.0]))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_row_with_plus_infinity_has_no_softmax(temperature: float) -> None:
    logits = torch.tensor([0.0, math.inf])

    assert softmax(logits, temperature=temperature).isnan().any()
    assert log_softmax(logits, temperature=temperature).isnan().any()
    assert softmin(-logits, temperature=temperature).isnan().any()
    assert log_sum_exp(logits, temperature=temperature) == math.inf
    assert smooth_min(-logits, temperature=temperature) == -math.inf
    assert torch.equal(hardmax(logits), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_nan_stays_nan_and_in_its_row(temperature: float) -> None:
    x = torch.tensor([[0.0, math.nan], [0.0, 0.0]])

    for function in (softmax, log_softmax, softmin, log_sum_exp, smooth_min):
        result = function(x, temperature=temperature)
        assert result[0].isnan().all()
        assert result[1].isfinite().all()
    assert hardmax(x)[0].isnan().all()
    assert torch.equal(hardmax(x)[1], torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_half_precision_sums_in_float32(dtype: torch.dtype, temperature: float) -> None:
    x = torch.randn(8, 1000).to(dtype)
    limits = torch.finfo(dtype)

    for function in (softmax, log_softmax, softmin, log_sum_exp, smooth_min):
        actual = function(x, temperature=temperature).double()
        expected = function(x.double(), temperature=temperature)
        torch.testing.assert_close(actual, expected, rtol=limits.eps, atol=limits.tiny * limits.eps)
    assert softmax(torch.zeros(4096, dtype=dtype)).sum() == 1


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_row_without_entries_has_an_empty_softmax_and_the_smooth_maximum_minus_infinity(temperature: float) -> None:
    x = torch.ones(3, 0)

    assert softmax(x, temperature=temperature).shape == hardmax(x).shape == (3, 0)
    assert torch.equal(log_sum_exp(x, temperature=temperature), torch.full((3,), -math.inf))
    assert torch.equal(smooth_min(x, temperature=temperature), torch.full((3,), math.inf))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_single_score_has_probability_one(temperature: float) -> None:
    assert softmax(torch.tensor(7.0), temperature=temperature) == hardmax(torch.tensor(7.0)) == 1
    assert log_sum_exp(torch.tensor(7.0), temperature=temperature) == 7


# GELU by tanh


@given(st.floats(-15, 15))
def test_gelu_by_tanh_is_its_formula(value: float) -> None:
    x = torch.tensor(value, dtype=torch.float64)

    def formula(xs: list[mp.mpf]) -> mp.mpf:
        return xs[0] / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (xs[0] + mp.mpf(0.044715) * xs[0] ** 3)))

    actual = activations.gelu(x, approximate="tanh")

    with mp.workdps(800):  # in the tail, 1 + tanh has as many zeros
        expected = formula([mp.mpf(value)])
    assert_within(actual, expected, (1 + value**4) * 1e-15 * abs(expected) + mp.mpf(1e-300))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gelu_by_tanh_is_that_of_torch_and_close_to_gelu(dtype: torch.dtype) -> None:
    x = torch.linspace(-12, 12, 1001, dtype=dtype)

    by_tanh = activations.gelu(x, approximate="tanh")

    torch.testing.assert_close(by_tanh, F.gelu(x, approximate="tanh"))
    assert 1e-4 < (by_tanh - activations.gelu(x)).abs().max() < 5e-4


def test_gelu_by_tanh_has_its_limits_and_slopes_at_the_extremes() -> None:
    x = torch.tensor([-math.inf, -1e30, 0.0, 1e30, math.inf])

    assert torch.equal(activations.gelu(x, approximate="tanh"), torch.tensor([0.0, 0.0, 0.0, 1e30, math.inf]))
    assert torch.equal(slopes(lambda x: activations.gelu(x, approximate="tanh"), x[1:4]), torch.tensor([0.0, 0.5, 1.0]))


# Weights in a sum of exponentials


@given(tensors(min_size=4, max_size=4), tensors(min_size=4, max_size=4, largest=10.0), st.floats(0.1, 10))
def test_weighted_sum_of_exponentials_is_its_formula(x: Tensor, w: Tensor, temperature: float) -> None:
    weights = w.clamp(min=0)

    actual = log_sum_exp(x, weights=weights, temperature=temperature)

    t = mp.mpf(temperature)
    with mp.workdps(100):
        total = mp.fsum(b * mp.exp(a / t) for a, b in zip(exact(x), exact(weights), strict=True))
        expected = t * mp.log(total) if total > 0 else -mp.inf
    if total == 0:
        assert actual == -math.inf
    else:
        scale = 1 + max(map(abs, exact(x))) + abs(expected)
        assert abs(mp.mpf(actual.item()) - expected) <= 1e-14 * scale


@pytest.mark.held_against("SciPy", log_sum_exp)
def test_weighted_sum_of_exponentials_agrees_with_scipy_and_of_ones_with_the_plain_one() -> None:
    x, w = torch.randn(3, 4, dtype=torch.float64), torch.rand(4, dtype=torch.float64)

    for keepdim in (False, True):
        expected = torch.as_tensor(special.logsumexp(x, 1, b=w, keepdims=keepdim))
        torch.testing.assert_close(log_sum_exp(x, weights=w, keepdim=keepdim), expected)
        plain = log_sum_exp(x, dim=0, keepdim=keepdim)
        torch.testing.assert_close(log_sum_exp(x, dim=0, weights=torch.ones_like(x), keepdim=keepdim), plain)


@pytest.mark.parametrize("absent", [math.nan, math.inf, -math.inf, 1e38, 5.0])
def test_an_entry_of_weight_zero_is_absent(absent: float) -> None:
    x = torch.tensor([0.0, absent, 1.0], requires_grad=True)
    w = torch.tensor([1.0, 0.0, 3.0], requires_grad=True)

    smooth = log_sum_exp(x, weights=w)
    of_x, of_w = torch.autograd.grad(smooth, (x, w))

    expected = math.log(1 + 3 * math.e)
    assert smooth.item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(of_x, torch.tensor([1.0, 0.0, 3 * math.e]) / math.exp(expected))
    assert of_w.isfinite().all()
    if absent == 5.0:
        assert of_w[1].item() == pytest.approx(math.exp(5 - expected), rel=1e-5)


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 1.0, 1e30])
def test_weights_do_not_overflow_where_the_sum_does_not(temperature: float) -> None:
    x = torch.tensor([1e30, -1e30, 0.0])

    smooth = log_sum_exp(x, weights=torch.full((3,), 0.5), temperature=temperature)

    sum_of_three = (math.e + 1 / math.e + 1) / 2
    limit = 1e30 * math.log(sum_of_three) if temperature == 1e30 else 1e30
    torch.testing.assert_close(smooth, torch.tensor(limit), rtol=1e-5, atol=0.0)
    assert log_sum_exp(x, weights=torch.zeros(3), temperature=temperature) == -math.inf
    assert log_sum_exp(x * math.inf, weights=torch.tensor([1.0, 0.0, 0.0])) == math.inf
