"""The linear model and its exact fits against their formulas, other libraries and their extremes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from torch import Tensor

from dlcore import linear
from tests.oracle import exact, tensors

# The model


@given(tensors(min_size=6, max_size=6), tensors(min_size=3, max_size=3), st.floats(-1e3, 1e3))
def test_linear_is_its_formula(x: Tensor, weight: Tensor, bias: float) -> None:
    actual = linear.linear(x.reshape(2, 3), weight, torch.tensor(bias, dtype=torch.float64))

    for row, value in zip(x.reshape(2, 3), actual, strict=True):
        terms = [a * b for a, b in zip(exact(row), exact(weight), strict=True)] + [mp.mpf(bias)]
        assert abs(mp.mpf(value.item()) - sum(terms)) <= 4 * 2.0**-52 * sum(map(abs, terms))


def test_linear_is_torch_linear_with_the_transposed_weight() -> None:
    x, weight, bias = torch.randn(2, 5, 4), torch.randn(4, 3), torch.randn(3)

    torch.testing.assert_close(linear.linear(x, weight, bias), torch.nn.functional.linear(x, weight.T, bias))


def test_several_targets_are_one_target_each() -> None:
    x, weight, bias = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3)

    columns = [linear.linear(x, weight[:, j], bias[j]) for j in range(3)]

    torch.testing.assert_close(linear.linear(x, weight, bias), torch.stack(columns, dim=1))


def test_gradient_of_the_weight_is_inputs_times_output_gradients() -> None:
    x, weight, bias, upstream = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3), torch.randn(5, 3)

    of_weight, of_bias = torch.func.grad(lambda w, b: (linear.linear(x, w, b) * upstream).sum(), argnums=(0, 1))(
        weight, bias
    )

    torch.testing.assert_close(of_weight, x.T @ upstream)
    torch.testing.assert_close(of_bias, upstream.sum(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_linear_sums_half_precision_in_float32(dtype: torch.dtype) -> None:
    x, weight = torch.full((1, 4096), 0.125, dtype=dtype), torch.full((4096, 2), 0.125, dtype=dtype)

    assert torch.equal(linear.linear(x, weight, torch.ones(2, dtype=dtype)), torch.full((1, 2), 65.0, dtype=dtype))


def test_infinite_and_nan_inputs_pass_through_the_model() -> None:
    x, weight, bias = torch.tensor([[1e30, -math.inf], [1.0, math.nan]]), torch.ones(2), torch.tensor(0.0)

    output = linear.linear(x, weight, bias)

    assert output[0] == -math.inf
    assert output[1].isnan()


def test_parameters_load_into_a_torch_module_and_back() -> None:
    params = linear.LinearParams(torch.randn(4, 3), torch.randn(3))
    x = torch.randn(5, 4)
    layer = torch.nn.Linear(4, 3)

    layer.load_state_dict({"weight": params.weight.T, "bias": params.bias})
    back = linear.LinearParams(layer.weight.T, layer.bias)

    torch.testing.assert_close(layer(x), linear.linear(x, *params))
    assert torch.equal(back.weight, params.weight)
    assert torch.equal(back.bias, params.bias)
