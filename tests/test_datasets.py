"""Synthetic data against the true parameters that are returned with them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, Tensor

from dlcore import datasets
from tests.oracle import tensors

WEIGHT = torch.tensor([2.0, -3.4], dtype=torch.float64)
MEAN = torch.tensor([0.5, -0.3], dtype=torch.float64)


def from_seed(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def log_density_ratio(x: Tensor, mean: Tensor, std: float) -> Tensor:
    target, source = stats.norm.logpdf(x.numpy(), mean.numpy(), std), stats.norm.logpdf(x.numpy())
    return torch.as_tensor((target - source).sum(axis=-1))


@pytest.mark.held_against("SciPy", datasets.linear_regression)
def test_residuals_of_linear_regression_are_the_noise() -> None:
    data = datasets.linear_regression(WEIGHT, 4.2, 5000, noise_std=0.5, generator=from_seed())

    residuals = data.y - data.x @ data.weight - data.bias

    assert stats.kstest(residuals.numpy(), stats.norm(0, 0.5).cdf).pvalue > 1e-3
    assert stats.kstest(data.x.flatten().numpy(), stats.norm.cdf).pvalue > 1e-3
    assert data.bias == 4.2


@pytest.mark.held_against("NumPy", "SciPy", datasets.polynomial_regression)
def test_residuals_of_polynomial_regression_are_the_noise() -> None:
    coefficients = np.array([1.0, -2.0, 0.0, 5.0])
    data = datasets.polynomial_regression(coefficients, 5000, noise_std=0.5, generator=from_seed())

    residuals = data.y.numpy() - np.polynomial.polynomial.polyval(data.x.numpy(), coefficients)

    assert stats.kstest(residuals, stats.norm(0, 0.5).cdf).pvalue > 1e-3
    assert stats.kstest(data.x.numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert torch.equal(data.coefficients, torch.from_numpy(coefficients))


@pytest.mark.held_against("SciPy", datasets.gaussian_shift)
@pytest.mark.parametrize("std", [0.5, 1.0, 2.0])
def test_samples_of_gaussian_shift_have_the_documented_distributions(std: float) -> None:
    shift = datasets.gaussian_shift(4000, 3000, mean=MEAN, std=std, generator=from_seed())

    assert shift.source.shape == (4000, 2)
    assert shift.target.shape == (3000, 2)
    for d in range(2):
        assert stats.kstest(shift.source[:, d].numpy(), stats.norm.cdf).pvalue > 1e-3
        assert stats.kstest(shift.target[:, d].numpy(), stats.norm(MEAN[d].item(), std).cdf).pvalue > 1e-3


@pytest.mark.held_against("SciPy", datasets.gaussian_shift)
@given(tensors(min_size=2, max_size=2, largest=30), tensors(min_size=2, max_size=2, largest=5), st.floats(0.1, 10))
def test_log_ratio_is_that_of_the_densities(x: Tensor, mean: Tensor, std: float) -> None:
    shift = datasets.gaussian_shift(0, 0, mean=mean, std=std)

    torch.testing.assert_close(shift.log_ratio(x), log_density_ratio(x, mean, std), rtol=1e-9, atol=1e-9)


def test_log_ratio_of_equal_standard_deviations_is_exactly_linear_far_away() -> None:
    shift = datasets.gaussian_shift(0, 0, mean=torch.tensor([1.0]))

    assert shift.log_ratio(torch.tensor([1e6])).item() == 1e6 - 0.5  # both squares are 1e12


@pytest.mark.held_against("SciPy", datasets.gaussian_shift)
@pytest.mark.parametrize("std", [0.7, 1.0, 1.2])
def test_effective_sample_size_is_n_over_the_mean_square_of_the_weights(std: float) -> None:
    shift = datasets.gaussian_shift(400, 1, mean=MEAN, std=std)
    grid = torch.linspace(-30, 30, 3001, dtype=torch.float64)

    mean_square = 1.0
    for m in MEAN:  # the integral of q^2 / p along one axis at a time
        log_weight = stats.norm.logpdf(grid, m, std) - stats.norm.logpdf(grid)
        mean_square *= np.trapezoid(np.exp(2 * log_weight + stats.norm.logpdf(grid)), grid.numpy())

    assert shift.effective_sample_size == pytest.approx(400 / mean_square, rel=1e-9)


def test_effective_sample_size_falls_with_the_exponential_of_the_squared_shift() -> None:
    shift = datasets.gaussian_shift(100, 1, mean=torch.tensor([1.0, 2.0]))

    assert shift.effective_sample_size == pytest.approx(100 * math.exp(-5))


@pytest.mark.parametrize("std", [math.sqrt(2) + 1e-9, 2.0, 1e30])
def test_weights_of_infinite_variance_have_effective_sample_size_zero(std: float) -> None:
    assert datasets.gaussian_shift(100, 1, mean=MEAN, std=std).effective_sample_size == 0


def test_log_ratio_refuses_points_of_another_dimension() -> None:
    shift = datasets.gaussian_shift(1, 1, mean=MEAN)

    with pytest.raises(ValueError, match=r"x must have shape \(\*, 2\), got \(4, 3\)"):
        shift.log_ratio(torch.ones(4, 3))


def test_same_seed_gives_the_same_data_and_leaves_the_global_state_alone() -> None:
    before = torch.get_rng_state()

    for draw in (
        lambda seed: datasets.linear_regression(WEIGHT, 1.0, 9, generator=from_seed(seed)).y,
        lambda seed: datasets.polynomial_regression(WEIGHT, 9, generator=from_seed(seed)).y,
        lambda seed: datasets.gaussian_shift(9, 9, mean=MEAN, generator=from_seed(seed)).target,
    ):
        assert torch.equal(draw(0), draw(0))
        assert not torch.equal(draw(0), draw(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_numpy_parameters_are_accepted_and_determine_the_dtype() -> None:
    data = datasets.linear_regression(WEIGHT.numpy(), np.array(0.5), 3)
    shift = datasets.gaussian_shift(3, 3, mean=MEAN.float().numpy())

    assert data.x.dtype == data.y.dtype == data.bias.dtype == torch.float64
    assert shift.source.dtype == shift.target.dtype == torch.float32
