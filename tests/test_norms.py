"""Norms against their formulas, their laws and their extremes."""

import math
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from torch import Tensor
from torch.autograd import forward_ad

from dlcore import norms
from tests.oracle import assert_matches, tensors

orders = st.one_of(st.floats(1.0, 20.0), st.sampled_from([1.0, 2.0, 3.0, math.inf]))
PLAIN_NORMS = [norms.l1_norm, norms.l2_norm, norms.max_norm, norms.lp_norm]
MATRIX_NORMS = [norms.frobenius_norm, norms.spectral_norm, norms.nuclear_norm]


# The formula, in 50 digits


@pytest.mark.held_against("50 digits", norms.lp_norm)
@given(tensors(), st.floats(0.1, 20.0))
def test_lp_norm_is_its_formula(x: Tensor, p: float) -> None:
    actual = norms.lp_norm(x, p)

    assert_matches(actual, lambda xs: sum(abs(xi) ** mp.mpf(p) for xi in xs) ** (1 / mp.mpf(p)), x, ulps=64)


@pytest.mark.held_against("50 digits", norms.l1_norm, norms.l2_norm, norms.max_norm)
@given(tensors())
def test_named_norms_are_their_formulas(x: Tensor) -> None:
    assert_matches(norms.l1_norm(x), lambda xs: sum(map(abs, xs)), x)
    assert_matches(norms.l2_norm(x), lambda xs: mp.sqrt(sum(xi**2 for xi in xs)), x)
    assert_matches(norms.max_norm(x), lambda xs: max(map(abs, xs)), x, ulps=0)


@pytest.mark.held_against("PyTorch", norms.lp_norm)
@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_lp_norm_agrees_with_torch(p: float, dim: int | tuple[int, ...] | None, keepdim: bool) -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64)

    actual = norms.lp_norm(x, p, dim=dim, keepdim=keepdim)

    torch.testing.assert_close(actual, torch.linalg.vector_norm(x, p, dim=dim, keepdim=keepdim))


@pytest.mark.held_against("NumPy", *MATRIX_NORMS)
@pytest.mark.parametrize(("norm", "order"), list(zip(MATRIX_NORMS, ["fro", 2, "nuc"], strict=True)))
def test_matrix_norms_agree_with_numpy(norm: object, order: str | int) -> None:
    x = torch.randn(3, 4, dtype=torch.float64)

    assert norm(x).item() == pytest.approx(np.linalg.norm(x.numpy(), order), rel=1e-14)


def test_torch_norm_of_a_matrix_is_frobenius_and_linalg_norm_spectral() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)

    assert norms.frobenius_norm(x).item() == pytest.approx(math.sqrt(30))
    assert norms.spectral_norm(x).item() == pytest.approx(math.sqrt(15 + math.sqrt(221)))


# The laws of a norm


@given(tensors(min_size=3, max_size=3), tensors(min_size=3, max_size=3), orders)
def test_triangle_inequality_holds_from_p_1_on(x: Tensor, y: Tensor, p: float) -> None:
    together = norms.lp_norm(x + y, p)

    assert together <= (norms.lp_norm(x, p) + norms.lp_norm(y, p)) * (1 + 1e-12)


@given(st.floats(0.05, 0.95))
def test_triangle_inequality_fails_below_p_1(p: float) -> None:
    x, y = torch.eye(2, dtype=torch.float64)

    assert norms.lp_norm(x + y, p) > norms.lp_norm(x, p) + norms.lp_norm(y, p)


@given(tensors(), st.floats(-100, 100, allow_subnormal=False), st.floats(0.3, 20.0))
def test_scaling_a_vector_scales_its_norm(x: Tensor, factor: float, p: float) -> None:
    torch.testing.assert_close(norms.lp_norm(factor * x, p), abs(factor) * norms.lp_norm(x, p), rtol=1e-10, atol=1e-290)


@given(tensors(), orders)
def test_only_zero_has_norm_zero(x: Tensor, p: float) -> None:
    assert (norms.lp_norm(x, p) == 0) == bool((x == 0).all())


@given(tensors(), orders, orders)
def test_norm_falls_as_p_grows(x: Tensor, p: float, q: float) -> None:
    small, large = sorted((p, q))

    assert norms.lp_norm(x, large) <= norms.lp_norm(x, small) * (1 + 1e-12)


@given(tensors(min_size=4, max_size=4), tensors(min_size=4, max_size=4), st.floats(1.05, 20.0))
def test_hoelder_inequality(x: Tensor, y: Tensor, p: float) -> None:
    conjugate = p / (p - 1)

    assert abs(torch.dot(x, y)) <= norms.lp_norm(x, p) * norms.lp_norm(y, conjugate) * (1 + 1e-12)


@pytest.mark.held_against("PyTorch", norms.frobenius_norm)
@given(tensors(min_size=6, max_size=6))
def test_matrix_norms_are_norms_of_the_singular_values(x: Tensor) -> None:
    matrix = x.reshape(2, 3)
    singular_values = torch.linalg.svdvals(matrix)

    torch.testing.assert_close(norms.frobenius_norm(matrix), norms.l2_norm(singular_values))
    assert norms.spectral_norm(matrix) <= norms.frobenius_norm(matrix) * (1 + 1e-12)
    assert norms.frobenius_norm(matrix) <= norms.nuclear_norm(matrix) * (1 + 1e-12)


# Closed forms of the gradient


@given(tensors(min_size=3, max_size=3))
def test_gradient_of_l2_norm_is_the_unit_vector(x: Tensor) -> None:
    length = norms.l2_norm(x)
    expected = torch.where(length > 0, x / length, 0)

    torch.testing.assert_close(torch.func.grad(norms.l2_norm)(x), expected)


@pytest.mark.parametrize("norm", PLAIN_NORMS)
def test_gradient_at_zero_is_zero(norm: object) -> None:
    x = torch.zeros(3, requires_grad=True)

    (gradient,) = torch.autograd.grad(norm(x), x)

    assert torch.equal(gradient, torch.zeros(3))


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("n", [3, 10_000])
def test_gradient_at_zero_is_zero_for_every_order(p: float, n: int) -> None:
    x = torch.zeros(n, requires_grad=True)

    (gradient,) = torch.autograd.grad(norms.lp_norm(x, p), x)

    assert torch.equal(gradient, torch.zeros(n))
    assert torch.equal(torch.func.grad(lambda x: norms.lp_norm(x, p))(torch.zeros(n)), torch.zeros(n))


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0, 3.0, math.inf])
def test_gradient_is_finite_where_an_entry_is_zero(p: float) -> None:
    gradient = torch.func.grad(lambda x: norms.lp_norm(x, p))(torch.tensor([0.0, 3.0, -4.0]))

    assert gradient.isfinite().all()


# Extremes


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e38 / 4, 1e-38, 1.0])
def test_l2_norm_neither_overflows_nor_vanishes(scale: float) -> None:
    x = torch.tensor([3.0, 4.0]) * scale

    torch.testing.assert_close(norms.l2_norm(x), torch.tensor(5.0) * scale, rtol=3e-7, atol=0.0)
    torch.testing.assert_close(torch.func.grad(norms.l2_norm)(x), torch.tensor([0.6, 0.8]), rtol=3e-7, atol=0.0)


def test_l2_norm_of_3e30_and_4e30_is_5e30() -> None:
    assert norms.l2_norm(torch.tensor([3e30, 4e30])).item() == pytest.approx(5e30, rel=3e-7)
    assert norms.l2_norm(torch.tensor([3e-30, 4e-30])).item() == pytest.approx(5e-30, rel=3e-7)


@pytest.mark.parametrize("p", [0.5, 1.5, 2.0, 3.0, 7.5, 100.0])
@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_lp_norm_scales_at_the_extremes(p: float, scale: float) -> None:
    x = torch.tensor([1.0, -2.0, 3.0])

    torch.testing.assert_close(norms.lp_norm(x * scale, p), norms.lp_norm(x, p) * scale, rtol=2e-6, atol=0.0)


def test_rows_of_very_different_size_keep_their_own_scale() -> None:
    x = torch.tensor([[3e30, 4e30], [0.0, 0.0], [3e-30, 4e-30]])

    torch.testing.assert_close(norms.l2_norm(x, dim=1), torch.tensor([5e30, 0.0, 5e-30]), rtol=3e-7, atol=0.0)


def test_many_small_entries_count_next_to_a_large_one() -> None:
    x = torch.full((10_001,), 1e-4)
    x[0] = 1e-2

    torch.testing.assert_close(norms.l2_norm(x), torch.tensor(math.sqrt(2) * 1e-2))


@pytest.mark.parametrize("norm", [*PLAIN_NORMS, lambda x: norms.lp_norm(x, 0.5), lambda x: norms.lp_norm(x, 3)])
def test_infinite_entries_give_inf_and_nan_gives_nan(norm: object) -> None:
    assert norm(torch.tensor([1.0, -math.inf])) == math.inf
    assert norm(torch.tensor([1.0, math.nan])).isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_in_float32(dtype: torch.dtype) -> None:
    x = torch.full((4096,), 0.125, dtype=dtype)

    assert norms.l1_norm(x) == 512
    assert norms.l2_norm(x) == 8


@pytest.mark.parametrize("norm", PLAIN_NORMS)
def test_a_vector_without_entries_has_norm_zero(norm: object) -> None:
    assert norm(torch.ones(0)) == 0
    assert norm(torch.ones(0), keepdim=True).shape == (1,)


@pytest.mark.parametrize("norm", MATRIX_NORMS)
def test_a_matrix_without_entries_has_norm_zero(norm: object) -> None:
    assert norm(torch.ones(0, 3)) == 0


@pytest.mark.held_against("PyTorch", norms.lp_norm)
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 4.0])
def test_many_entries_lose_no_digits(p: float) -> None:
    x = torch.randn(1_000_000)
    expected = torch.linalg.vector_norm(x.double(), p)

    assert abs(norms.lp_norm(x, p).double() / expected - 1) < 5e-7
    assert abs(norms.lp_norm(x.reshape(1, -1), p, dim=1).double() / expected - 1) < 5e-7


@pytest.mark.parametrize("norm", MATRIX_NORMS)
def test_a_matrix_that_is_not_finite_does_not_affect_others_in_its_batch(norm: object) -> None:
    x = torch.eye(2).repeat(3, 1, 1)
    x[0, 0, 1], x[1, 1, 0] = math.nan, -math.inf

    values = norm(x)

    assert values[0].isnan()
    assert values[1] == math.inf
    torch.testing.assert_close(values[2], norm(torch.eye(2)))


@pytest.mark.parametrize("size", [3, 100])
@pytest.mark.parametrize("name", ["l1_norm", "l2_norm", "lp_norm", "max_norm"])
def test_a_dimension_may_be_a_numpy_integer(name: str, size: int, plain: ModuleType) -> None:
    norm, x = getattr(plain.norms, name), torch.randn(size, size)

    for dim, same in ((np.int64(1), 1), ((np.int8(0), np.int64(1)), (0, 1))):
        assert torch.equal(norm(x, dim=dim), norm(x, dim=same))


# Norms of many entries that need no derivative are fused


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.5, 3.0, 7.5])
@pytest.mark.parametrize("n", [5000, 300_001])
def test_fused_norm_agrees_with_the_differentiable_one(p: float, n: int) -> None:
    x = torch.randn(n)
    x[::7] = 0

    quick, along_rows = norms.lp_norm(x, p), norms.lp_norm(x[None], p, dim=1, keepdim=True)

    expected = (x.double().abs() ** p).sum() ** (1 / p)
    for actual in (quick, along_rows.squeeze(), norms.lp_norm(x.clone().requires_grad_(), p).detach()):
        torch.testing.assert_close(actual.double(), expected, rtol=5e-7, atol=0.0)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.5, 3.0])
@pytest.mark.parametrize(("entry", "expected"), [(math.inf, math.inf), (math.nan, math.nan), (1e-30, 1e-30)])
def test_fused_norm_keeps_extremes(p: float, entry: float, expected: float) -> None:
    x = torch.zeros(200_000)
    x[123_456] = entry

    torch.testing.assert_close(norms.lp_norm(x, p), torch.tensor(expected), equal_nan=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`")  # torch warns at its first dual number
@pytest.mark.parametrize("p", [0.5, 1.0, 2.5, 3.0])
def test_forward_derivatives_do_not_use_the_fused_norm(p: float) -> None:
    x, along = torch.randn(2, 5000, dtype=torch.float64)
    x[::7] = 0

    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(norms.lp_norm(forward_ad.make_dual(x, along), p)).tangent

    _, expected = torch.func.jvp(lambda x: norms.lp_norm(x, p), (x,), (along,))
    assert tangent.isfinite()
    torch.testing.assert_close(tangent, expected)


@pytest.mark.parametrize("dim", [0, 1])
def test_max_norm_of_long_rows_is_their_largest_magnitude(dim: int) -> None:
    x = torch.linspace(-3, 2, 10_000).reshape(5000, 2)

    assert torch.equal(norms.max_norm(x, dim=dim), x.abs().amax(dim))
