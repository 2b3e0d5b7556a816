"""Densities against their formulas, their laws and their extremes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from scipy import integrate, stats
from torch import Tensor

from dlcore import likelihood
from tests.oracle import assert_matches, exact, tensors

numbers = st.floats(-1e3, 1e3)
scales = st.floats(1e-3, 1e3)
DENSITIES = [likelihood.normal_density, likelihood.normal_log_density, likelihood.laplace_log_density]
LOG_DENSITIES = DENSITIES[1:]


def log_normal(x: mp.mpf, mean: float, std: float) -> mp.mpf:
    return -mp.log(2 * mp.pi * mp.mpf(std) ** 2) / 2 - (x - mp.mpf(mean)) ** 2 / (2 * mp.mpf(std) ** 2)


def log_laplace(x: mp.mpf, mean: float, scale: float) -> mp.mpf:
    return -mp.log(2 * mp.mpf(scale)) - abs(x - mp.mpf(mean)) / mp.mpf(scale)


# The formula, in 50 digits


@pytest.mark.held_against("50 digits", likelihood.laplace_log_density, likelihood.normal_log_density)
@given(numbers, numbers, scales)
def test_log_densities_are_their_formulas(x: float, mean: float, scale: float) -> None:
    point = torch.tensor(x, dtype=torch.float64)
    # the two terms may cancel, so the error is relative to the larger one
    term = 16 * torch.finfo(torch.float64).eps * (1 + abs(math.log(scale)))

    for actual, expected in (
        (likelihood.normal_log_density(point, mean=mean, std=scale), log_normal(mp.mpf(x), mean, scale)),
        (likelihood.laplace_log_density(point, mean=mean, scale=scale), log_laplace(mp.mpf(x), mean, scale)),
    ):
        assert float(expected) == pytest.approx(actual.item(), rel=1e-15, abs=term)


@pytest.mark.held_against("50 digits", likelihood.normal_density)
@given(st.floats(-30, 30), scales)
def test_normal_density_is_its_formula(z: float, std: float) -> None:
    x = torch.tensor(z * std, dtype=torch.float64)

    actual = likelihood.normal_density(x, std=std)

    def density(xs: list[mp.mpf]) -> mp.mpf:
        return mp.exp(-(xs[0] ** 2) / (2 * mp.mpf(std) ** 2)) / mp.sqrt(2 * mp.pi * mp.mpf(std) ** 2)

    assert_matches(actual, density, x, ulps=4 * (4 + z**2))


@pytest.mark.held_against("50 digits", likelihood.negative_log_likelihood)
@given(tensors(max_size=20))
def test_negative_log_likelihood_is_the_sum(x: Tensor) -> None:
    assert_matches(likelihood.negative_log_likelihood(-x.abs()), lambda xs: sum(map(abs, xs)), x)


@pytest.mark.held_against(
    "PyTorch", "SciPy", likelihood.laplace_log_density, likelihood.normal_density, likelihood.normal_log_density
)
def test_densities_agree_with_scipy_and_torch() -> None:
    x, mean = torch.randn(2, 5, dtype=torch.float64)
    scale = torch.rand(5, dtype=torch.float64) + 0.1
    parameters = (mean.numpy(), scale.numpy())

    normal = likelihood.normal_log_density(x, mean=mean, std=scale)
    laplace = likelihood.laplace_log_density(x, mean=mean, scale=scale)

    torch.testing.assert_close(normal, torch.from_numpy(stats.norm.logpdf(x.numpy(), *parameters)))
    torch.testing.assert_close(normal, torch.distributions.Normal(mean, scale).log_prob(x))
    torch.testing.assert_close(laplace, torch.from_numpy(stats.laplace.logpdf(x.numpy(), *parameters)))
    torch.testing.assert_close(
        likelihood.normal_density(x, mean=mean, std=scale), torch.from_numpy(stats.norm.pdf(x.numpy(), *parameters))
    )


# Corrections to the notes


@given(tensors(min_size=4, max_size=4), tensors(min_size=4, max_size=4), scales)
def test_gaussian_noise_gives_the_squared_loss(y: Tensor, y_hat: Tensor, std: float) -> None:
    squared_loss = (y_hat - y) ** 2 / 2

    actual = likelihood.negative_log_likelihood(likelihood.normal_log_density(y, mean=y_hat, std=std))

    # the notes omit these brackets: the sum includes both terms
    expected = (math.log(2 * math.pi * std**2) / 2 + squared_loss / std**2).sum()
    torch.testing.assert_close(actual, expected)


@given(tensors(min_size=4, max_size=4), tensors(min_size=4, max_size=4), scales)
def test_laplace_noise_gives_the_absolute_loss(y: Tensor, y_hat: Tensor, scale: float) -> None:
    actual = likelihood.negative_log_likelihood(likelihood.laplace_log_density(y, mean=y_hat, scale=scale))

    torch.testing.assert_close(actual, (math.log(2 * scale) + (y_hat - y).abs() / scale).sum())


def test_density_is_one_formula_of_tensors_without_numpy() -> None:
    x, mean, std = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (1.0, 0.5, 2.0))

    likelihood.normal_density(x, mean=mean, std=std).backward()

    assert all(parameter.grad is not None for parameter in (x, mean, std))


def test_log_density_tells_near_from_far_where_the_density_is_zero() -> None:
    x = torch.tensor([20.0, 30.0])

    assert torch.equal(likelihood.normal_density(x), torch.zeros(2))
    torch.testing.assert_close(likelihood.normal_log_density(x), torch.tensor([-200.918938, -450.918938]))


# Laws


@pytest.mark.held_against("SciPy", likelihood.laplace_log_density, likelihood.normal_density)
@pytest.mark.parametrize("std", [0.25, 1.0, 7.0])
@pytest.mark.parametrize("mean", [-3.0, 0.0, 2.0])
def test_densities_integrate_to_one_with_their_mean_and_standard_deviation(mean: float, std: float) -> None:
    def moments(density: object) -> list[float]:
        def times(power: int) -> float:
            return integrate.quad(
                lambda x: x**power * density(torch.tensor(x, dtype=torch.float64)).item(),
                mean - 60 * std,
                mean + 60 * std,
                points=[mean],
                limit=200,
            )[0]

        return [times(0), times(1), times(2) - times(1) ** 2]

    normal = moments(lambda x: likelihood.normal_density(x, mean=mean, std=std))
    laplace = moments(lambda x: likelihood.laplace_log_density(x, mean=mean, scale=std).exp())

    assert normal == pytest.approx([1.0, mean, std**2], abs=1e-7)
    assert laplace == pytest.approx([1.0, mean, 2 * std**2], abs=1e-7)


@given(tensors(), numbers, scales)
def test_density_depends_on_the_standardized_value_alone(x: Tensor, mean: float, scale: float) -> None:
    z = (x - mean) / scale

    torch.testing.assert_close(
        likelihood.normal_log_density(x, mean=mean, std=scale), likelihood.normal_log_density(z) - math.log(scale)
    )
    torch.testing.assert_close(
        likelihood.laplace_log_density(x, mean=mean, scale=scale), likelihood.laplace_log_density(z) - math.log(scale)
    )


@given(tensors(largest=30.0))
def test_log_density_is_the_logarithm_of_the_density(x: Tensor) -> None:
    torch.testing.assert_close(likelihood.normal_density(x), likelihood.normal_log_density(x).exp())


# Closed forms of the gradient


@given(tensors(), numbers, scales)
def test_gradients_in_x_are_their_closed_forms(x: Tensor, mean: float, scale: float) -> None:
    z = (x - mean) / scale

    normal = torch.func.grad(lambda x: likelihood.normal_log_density(x, mean=mean, std=scale).sum())(x)
    laplace = torch.func.grad(lambda x: likelihood.laplace_log_density(x, mean=mean, scale=scale).sum())(x)

    torch.testing.assert_close(normal, -z / scale)
    torch.testing.assert_close(laplace, -z.sign() / scale)


@given(tensors(), scales)
def test_gradients_in_the_scale_are_their_closed_forms(x: Tensor, scale: float) -> None:
    std = torch.tensor(scale, dtype=torch.float64)

    normal = torch.func.grad(lambda std: likelihood.normal_log_density(x, std=std).sum())(std)
    laplace = torch.func.grad(lambda scale: likelihood.laplace_log_density(x, scale=scale).sum())(std)

    torch.testing.assert_close(normal, ((x / std) ** 2 - 1).sum() / std)
    torch.testing.assert_close(laplace, ((x / std).abs() - 1).sum() / std)


def test_normal_likelihood_is_greatest_at_the_mean_and_standard_deviation_of_the_data() -> None:
    y = torch.randn(50, dtype=torch.float64)
    parameters = y.mean(), y.std(correction=0)

    slopes = torch.func.grad(
        lambda mean, std: likelihood.negative_log_likelihood(likelihood.normal_log_density(y, mean=mean, std=std)),
        argnums=(0, 1),
    )(*parameters)

    torch.testing.assert_close(torch.stack(slopes), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)


# Extremes


@pytest.mark.parametrize("x", [1e18, 2.5e19, -2.5e19])
def test_normal_log_density_is_accurate_up_to_overflow(x: float) -> None:
    point = torch.tensor(x)

    actual = likelihood.normal_log_density(point)

    torch.testing.assert_close(actual.double(), -(point.double() ** 2) / 2, rtol=2e-7, atol=0.0)
    assert torch.func.grad(likelihood.normal_log_density)(point) == -point


@pytest.mark.held_against("50 digits", likelihood.normal_log_density, likelihood.laplace_log_density)
def test_log_density_near_a_mean_that_float32_does_not_hold_keeps_its_digits() -> None:
    x, mean = torch.tensor([1e6, 1e6 + 0.5]), 1e6 + 0.3

    normal = likelihood.normal_log_density(x, mean=mean, std=0.25)
    laplace = likelihood.laplace_log_density(x, mean=mean, scale=0.25)

    z = [(xi - mp.mpf(mean)) * 4 for xi in exact(x)]
    assert normal.tolist() == pytest.approx(
        [float(-(zi**2) / 2 - mp.log(2 * mp.pi) / 2 + mp.log(4)) for zi in z], rel=1e-6
    )
    assert laplace.tolist() == pytest.approx([float(mp.log(2) - abs(zi)) for zi in z], rel=1e-6)
    of_float64 = likelihood.normal_log_density(x, mean=torch.tensor(mean, dtype=torch.float64), std=0.25)
    torch.testing.assert_close(of_float64, normal)


@pytest.mark.held_against("PyTorch", likelihood.normal_log_density)
def test_normal_log_density_divides_before_it_squares() -> None:
    x = torch.tensor([2e30, 2e-30])
    std = torch.tensor([1e30, 1e-30])

    actual = likelihood.normal_log_density(x, std=std)

    torch.testing.assert_close(actual + std.log(), torch.full((2,), -2 - math.log(2 * math.pi) / 2))
    assert torch.distributions.Normal(0.0, std[0]).log_prob(x[0]).isnan()


@pytest.mark.held_against("SciPy", likelihood.normal_density)
@pytest.mark.parametrize("std", [1e-30, 1e30])
def test_normal_density_does_not_vanish_before_it_is_divided_by_a_small_std(std: float) -> None:
    x = 14.0 * std

    actual = likelihood.normal_density(torch.tensor(x), std=std)

    assert actual.item() == pytest.approx(stats.norm.pdf(14.0) / std, rel=1e-4)


@pytest.mark.parametrize("density", DENSITIES)
def test_an_infinite_point_has_no_density_and_nan_stays_nan(density: object) -> None:
    actual = density(torch.tensor([-math.inf, math.inf, math.nan]))

    impossible = 0.0 if density is likelihood.normal_density else -math.inf
    torch.testing.assert_close(actual, torch.tensor([impossible, impossible, math.nan]), equal_nan=True)


@pytest.mark.parametrize("x", [1e4, -1e30, math.inf, -math.inf])
def test_gradient_of_the_density_is_zero_where_the_density_is(x: float) -> None:
    assert torch.func.grad(likelihood.normal_density)(torch.tensor(x)) == 0


def test_gradient_of_the_laplace_log_density_is_zero_at_the_mean() -> None:
    assert torch.func.grad(lambda x: likelihood.laplace_log_density(x, mean=2.0))(torch.tensor(2.0)) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    x = torch.linspace(-5, 5, 101).to(dtype)

    half_ulp, smallest = torch.finfo(dtype).eps / 2, torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    for density in DENSITIES:
        torch.testing.assert_close(density(x).double(), density(x.double()), rtol=1.01 * half_ulp, atol=smallest)


def test_a_likelihood_of_no_observations_is_one() -> None:
    assert likelihood.negative_log_likelihood(torch.ones(0)) == 0


# Refusals


def test_refuses_to_broadcast_observations_against_a_column_of_predictions(plain: object) -> None:
    y, y_hat = torch.zeros(3), torch.zeros(3, 1)

    with pytest.raises(ValueError, match=r"mean must broadcast .* mean\.reshape\(x\.shape\) makes them agree"):
        plain.likelihood.normal_log_density(y, mean=y_hat)


def test_parameters_may_have_fewer_dimensions_than_the_observations() -> None:
    x, mean, std = torch.zeros(2, 3), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[1.0], [2.0]])

    actual = likelihood.normal_log_density(x, mean=mean, std=std)

    assert actual.shape == (2, 3)
    torch.testing.assert_close(actual[1, 2], likelihood.normal_log_density(torch.tensor(0.0), mean=3.0, std=2.0))


@pytest.mark.parametrize("density", DENSITIES)
def test_a_scale_that_the_dtype_cannot_hold_is_refused(density: object) -> None:
    name = "scale" if density is likelihood.laplace_log_density else "std"

    with pytest.raises(ValueError, match=f"{name} must be >= 1.18e-38 in torch.float32, got 1e-50"):
        density(torch.zeros(1), **{name: 1e-50})
    assert density(torch.zeros(1, dtype=torch.float64), **{name: 1e-50}).isfinite()
