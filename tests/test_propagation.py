"""Signal propagation against its prediction and closed forms, and matrix products in 400 digits."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from dlcore import mlp, propagation
from dlcore._network import ACTIVATIONS
from dlcore.linear import LinearParams
from dlcore.propagation import gaussian_expectation, log_singular_values, signal_propagation


def inputs(n: int, width: int) -> Tensor:
    return torch.randn(n, width, dtype=torch.float64)


def deep(sizes: list[int], std: float | None = None, scheme: str = "he_normal") -> list[LinearParams]:
    """Draw layers by the scheme, or with one standard deviation for all weights."""
    if std is None:
        return list(mlp.init_mlp(sizes, scheme=scheme, dtype=torch.float64))
    return list(mlp.init_mlp(sizes, scheme="normal", scale=std / 0.01, dtype=torch.float64))


# Measurements against autograd and the definition


@pytest.mark.held_against("its definition", signal_propagation)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    seed=st.integers(0, 2**32),
)
def test_measured_variances_are_the_mean_squares_of_values_and_gradients(
    sizes: list[int], activation: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    params = mlp.init_mlp(sizes, generator=generator, dtype=torch.float64)
    x, targets = (torch.randn(3, n, dtype=torch.float64, generator=generator) for n in (sizes[0], sizes[-1]))
    trace = mlp.forward(params, x, targets, activation=activation, loss="squared_loss")
    grads = mlp.gradients(trace)

    found = signal_propagation(params, x, activation=activation, output_gradient=grads.o)

    values, of_values = (x, *trace.z, trace.o), (grads.x, *grads.z, grads.o)
    torch.testing.assert_close(found.forward_measured, torch.stack([v.square().mean() for v in values]))
    torch.testing.assert_close(found.backward_measured, torch.stack([v.square().mean() for v in of_values]))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_wide_layers_keep_the_prediction_both_ways(activation: str) -> None:
    params = deep([300, 500, 400, 300, 200], std=1 / 20)

    found = signal_propagation(params, inputs(50, 300), activation=activation)

    torch.testing.assert_close(found.forward_measured, found.forward_predicted, rtol=0.3, atol=0.0)
    torch.testing.assert_close(found.backward_measured, found.backward_predicted, rtol=0.3, atol=0.0)


def test_prediction_is_exact_on_average_over_the_draws() -> None:
    # every weight is ±σ, and all draws are enumerated: a layer of 2 inputs and 2 outputs has 2⁴
    x, gradient = inputs(3, 2), inputs(3, 2)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 4).reshape(16, 2, 2)
    zero = torch.zeros(2, dtype=torch.float64)

    found = [
        signal_propagation([LinearParams(1.5 * w, zero)], x, output_gradient=gradient, variances=[2.25]) for w in signs
    ]

    measured_forward = torch.stack([each.forward_measured for each in found]).mean(0)
    measured_backward = torch.stack([each.backward_measured for each in found]).mean(0)
    torch.testing.assert_close(measured_forward, found[0].forward_predicted)
    torch.testing.assert_close(measured_backward, found[0].backward_predicted)


def test_biases_add_their_mean_square() -> None:
    params = [
        LinearParams(torch.zeros(2, 3), torch.tensor([1.0, 2.0, 2.0])),
        LinearParams(torch.zeros(3, 1), torch.ones(1)),
    ]

    found = signal_propagation(params, torch.ones(4, 2))

    assert torch.equal(found.forward_predicted, torch.tensor([1.0, 3.0, 1.0]))
    assert torch.equal(found.forward_measured, found.forward_predicted)


def test_examples_of_different_length_are_predicted_one_by_one() -> None:
    params = deep([400, 400, 400], std=1 / 20)
    x = inputs(20, 400) * torch.logspace(-1, 1, 20, dtype=torch.float64)[:, None]

    together = signal_propagation(params, x, activation="tanh", output_gradient=(g := inputs(20, 400)))
    alone = [
        signal_propagation(params, x[i : i + 1], activation="tanh", output_gradient=g[i : i + 1]) for i in range(20)
    ]

    for name in propagation.SignalPropagation._fields:
        torch.testing.assert_close(getattr(together, name), torch.stack([getattr(a, name) for a in alone]).mean(0))
    torch.testing.assert_close(together.forward_measured, together.forward_predicted, rtol=0.1, atol=0.0)


# The claims of the notes, and what they omit


def test_sigmoid_makes_the_gradient_vanish() -> None:
    params = deep([100] * 21, scheme="xavier_normal")

    found = signal_propagation(params, inputs(20, 100), activation="sigmoid")

    # σ' is at most a quarter, so that each layer keeps at most a sixteenth of the gradient's variance
    keeps = found.backward_predicted[1:-1] / found.backward_predicted[2:]
    assert (keeps <= 1 / 16).all()
    assert found.backward_measured[1] < 16.0**-18 * found.backward_measured[-1]
    assert found.forward_measured[-1] > 0.1


def test_unit_variance_makes_the_signal_explode() -> None:
    params = deep([100] * 11, std=1.0)

    found = signal_propagation(params, inputs(20, 100), activation="relu", variances=[1.0] * 10)

    growth = found.forward_predicted[1:] / found.forward_predicted[:-1]
    assert growth.tolist() == pytest.approx([100.0] + [50.0] * 9, rel=1e-12)
    assert found.forward_measured[-1] > 1e16
    assert found.backward_measured[0] > 1e16


def test_relu_halves_the_mean_square_and_he_compensates() -> None:
    sizes = [200] * 13
    halving, kept = (
        signal_propagation(deep(sizes, std=std), inputs(20, 200), variances=[std**2] * 12)
        for std in (math.sqrt(1 / 200), math.sqrt(2 / 200))
    )

    ratios = halving.forward_predicted[2:] / halving.forward_predicted[1:-1]
    torch.testing.assert_close(ratios, torch.full_like(ratios, 0.5), rtol=1e-14, atol=0.0)
    torch.testing.assert_close(kept.forward_predicted[1:], kept.forward_predicted[1:2].expand(12), rtol=1e-13, atol=0.0)
    assert halving.forward_measured[-1] < 0.5**9
    assert 0.2 < kept.forward_measured[-1] / kept.forward_measured[1] < 5


def test_xavier_is_a_compromise_between_the_two_ways() -> None:
    sizes = [400, 100, 400, 100, 400]
    x = inputs(50, 400)

    found = {
        scheme: signal_propagation(
            deep(sizes, scheme="xavier_normal") if scheme == "xavier" else of_variances(sizes, scheme),
            x,
            activation="identity",
        )
        for scheme in ("xavier", "forward", "backward")
    }

    # n_in σ² = 1 keeps only the forward variance, and n_out σ² = 1 only the backward one. Xavier keeps neither at a
    # single layer: the factor 2 n_in / (n_in + n_out) is 1.6 into a narrow layer and 0.4 out of it
    expected = {
        "xavier": ([1.6, 0.64, 1.024, 0.4096], [0.4096, 1.024, 0.64, 1.6]),
        "forward": ([1, 1, 1, 1], [1, 4, 1, 4]),
        "backward": ([4, 1, 4, 1], [1, 1, 1, 1]),
    }
    for scheme, (forward, backward) in expected.items():
        q, g = found[scheme].forward_measured, found[scheme].backward_measured
        assert (q[1:] / q[0]).tolist() == pytest.approx(forward, rel=0.3), scheme
        assert (g[:-1] / g[-1]).tolist() == pytest.approx(backward, rel=0.3), scheme


def of_variances(sizes: list[int], keeps: str) -> list[LinearParams]:
    """Draw weights whose variance keeps that of the signal in one direction."""
    return [
        LinearParams(
            torch.randn(n_in, n_out, dtype=torch.float64) / math.sqrt(n_in if keeps == "forward" else n_out),
            torch.zeros(n_out, dtype=torch.float64),
        )
        for n_in, n_out in pairwise(sizes)
    ]


def log10_of_the_largest_entry(std: float, draws: int = 200) -> Tensor:
    product = torch.eye(4, dtype=torch.float64).expand(draws, 4, 4)
    for _ in range(100):
        product = product @ (std * torch.randn(draws, 4, 4, dtype=torch.float64))
    return product.abs().amax((-2, -1)).log10()


def test_product_of_100_random_4_by_4_matrices_explodes_and_with_the_right_variance_collapses() -> None:
    exploding, right = log10_of_the_largest_entry(1.0), log10_of_the_largest_entry(0.5)

    # n σ² = 1 keeps the mean of the square, E‖xM‖² = ‖x‖²; but the typical product falls
    assert exploding.median().item() == pytest.approx(25, abs=1)
    assert right.median().item() == pytest.approx(-5.5, abs=1)
    torch.testing.assert_close(exploding.median() + 100 * math.log10(0.5), right.median(), rtol=0.0, atol=1.0)


def test_largest_singular_value_bounds_the_largest_entry() -> None:
    matrices = torch.randn(20, 100, 4, 4, dtype=torch.float64)
    product = matrices[:, 0]
    for factor in matrices.unbind(1)[1:]:
        product = product @ factor

    largest = log_singular_values(matrices)[:, 0]

    entry = product.abs().amax((-2, -1)).log()
    assert (entry <= largest + 1e-9).all()
    assert (largest <= entry + math.log(4)).all()


@pytest.mark.held_against("50 digits", signal_propagation)
@pytest.mark.parametrize(("width", "drift"), [(4, -0.27), (16, -0.063), (64, -0.0157)])
def test_narrow_layers_drift_below_the_prediction(width: int, drift: float) -> None:
    # for a Gaussian layer E log(‖xW‖²/‖x‖²) = ψ(n/2) − log(n/2), about −1/n, although the mean square is kept
    exact = float(mp.digamma(width / 2) - mp.log(width / 2))
    depth = 30
    found = [
        signal_propagation(
            deep([width] * (depth + 1), std=width**-0.5),
            inputs(1, width),
            activation="identity",
            variances=[1 / width] * depth,
        )
        for _ in range(60)
    ]

    per_layer = torch.stack([(f.forward_measured[-1] / f.forward_predicted[-1]).log() / depth for f in found])

    assert exact == pytest.approx(drift, rel=0.02)
    assert per_layer.mean().item() == pytest.approx(exact, abs=5 * float(per_layer.std()) / math.sqrt(60))


# The expected value under a normal density


@pytest.mark.held_against("NumPy", gaussian_expectation)
@pytest.mark.parametrize("q", [0.0, 1e-6, 0.3, 1.0, 30.0, 1e4, 1e8])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_gaussian_expectation_is_the_integral(name: str, q: float) -> None:
    variance = torch.tensor(q, dtype=torch.float64)

    square = gaussian_expectation(lambda z: ACTIVATIONS[name].function(z) ** 2, variance)
    slope = gaussian_expectation(lambda z: ACTIVATIONS[name].derivative(z) ** 2, variance)

    for found, function in ((square, ACTIVATIONS[name].function), (slope, ACTIVATIONS[name].derivative)):
        assert found.item() == pytest.approx(integral(function, q), rel=1e-12, abs=1e-300)


def integral(function: Callable[[Tensor], Tensor], q: float) -> float:
    """Integrate the square by Gauss-Legendre quadrature, on pieces that double in length from below both scales."""
    nodes, weights = (torch.tensor(values) for values in leggauss(40))
    right = 2.0 ** torch.arange(-40, 6, dtype=torch.float64)
    edges = torch.cat([-right.flip(0), torch.zeros(1, dtype=torch.float64), right])
    lengths = edges.diff()[:, None]
    u = edges[:-1, None] + lengths * (nodes + 1) / 2
    density = torch.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    return float((lengths / 2 * weights * density * function(math.sqrt(q) * u) ** 2).sum())


@pytest.mark.held_against("NumPy", gaussian_expectation)
def test_gaussian_expectation_agrees_with_gauss_and_hermite_where_both_are_accurate() -> None:
    nodes, weights = (torch.tensor(values) for values in hermegauss(100))
    expected = (weights * torch.tanh(0.5 * nodes) ** 2).sum() / weights.sum()

    found = gaussian_expectation(lambda z: z.tanh() ** 2, torch.tensor(0.25, dtype=torch.float64))

    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0.0)


@given(st.floats(1e-20, 1e12))
def test_moments_of_a_normal_variable(q: float) -> None:
    variance = torch.tensor(q, dtype=torch.float64)

    for function, expected in (
        (lambda z: z**2, q),
        (lambda z: z**4, 3 * q**2),
        (lambda z: torch.relu(z) ** 2, q / 2),
        (lambda z: (z > 0).double(), 0.5),
        (torch.ones_like, 1.0),
    ):
        assert gaussian_expectation(function, variance).item() == pytest.approx(expected, rel=1e-13)


def test_infinite_variance_gives_the_limit() -> None:
    infinite = torch.tensor(math.inf)

    assert gaussian_expectation(lambda z: torch.tanh(z) ** 2, infinite) == 1
    assert gaussian_expectation(lambda z: torch.relu(z) ** 2, infinite) == math.inf
    assert gaussian_expectation(lambda z: (z > 0).float(), infinite) == pytest.approx(0.5)


def test_price_theorem_gives_the_gradient() -> None:
    # ∂E[f(√q u)]/∂q = E[f''(√q u)]/2
    q = torch.tensor([0.01, 1.0, 100.0], dtype=torch.float64)

    (gradient,) = torch.func.vjp(lambda q: gaussian_expectation(torch.cos, q), q)[1](torch.ones(3, dtype=torch.float64))

    torch.testing.assert_close(gradient, -torch.exp(-q / 2) / 2, rtol=1e-10, atol=1e-15)


# Singular values of a product


def exact_log_singular_values(matrices: Tensor) -> list[float]:
    with mp.workdps(400):
        product = mp.eye(matrices.shape[-1])
        for matrix in matrices:
            product *= mp.matrix(matrix.tolist())
        return [float(mp.log(value)) for value in mp.svd_r(product, compute_uv=False)]


@pytest.mark.held_against("50 digits", log_singular_values)
@pytest.mark.parametrize(("n", "k"), [(1, 5), (2, 100), (3, 40), (4, 100), (5, 60)])
@pytest.mark.parametrize("scale", [1e-8, 0.5, 1.0, 1e8])
def test_log_singular_values_are_those_of_the_exact_product(n: int, k: int, scale: float) -> None:
    matrices = torch.randn(k, n, n, dtype=torch.float64)

    found = log_singular_values(scale * matrices)

    expected = torch.tensor(exact_log_singular_values(scale * matrices), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-11)


@pytest.mark.held_against("PyTorch", log_singular_values)
@pytest.mark.parametrize("n", [1, 2, 3, 8, 33, 64])
def test_log_singular_values_of_one_matrix_are_those_of_svd(n: int) -> None:
    matrix = torch.randn(2, 1, n, n, dtype=torch.float64)

    torch.testing.assert_close(
        log_singular_values(matrix), torch.linalg.svdvals(matrix[:, 0]).log(), rtol=0.0, atol=1e-11
    )


@settings(max_examples=30)
@given(st.lists(st.floats(-300, 300), min_size=3, max_size=3), st.integers(1, 8))
def test_scales_in_any_order_come_out_sorted(exponents: list[float], k: int) -> None:
    logs = torch.tensor(exponents, dtype=torch.float64)

    found = log_singular_values(logs.exp().diag().expand(k, 3, 3))

    torch.testing.assert_close(found, k * logs.sort(descending=True).values, rtol=1e-12, atol=1e-12)


def test_singular_directions_that_swap_halfway_are_followed() -> None:
    scales = torch.tensor([[1e-9, 1e9], [1e12, 1e-9]], dtype=torch.float64).repeat_interleave(50, dim=0)
    matrices = torch.diag_embed(scales)

    found = log_singular_values(matrices)

    expected = torch.tensor([50 * math.log(1e3), 0.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-9)


@pytest.mark.held_against("50 digits", log_singular_values)
@pytest.mark.parametrize("order", ["DA", "AD", "ADB", "EA", "AEB", "ADBE", "DEDE", "ADBDAEB", "DAEBDBE"])
def test_factors_that_span_many_orders_of_magnitude_keep_the_small_singular_values(order: str) -> None:
    a, b = torch.randn(2, 3, 3, dtype=torch.float64)
    d, e = torch.tensor([[1e-20, 1.0, 1e-8], [1e10, 1.0, 1e-15]], dtype=torch.float64).diag_embed()
    matrices = torch.stack([{"A": a, "B": b, "D": d, "E": e}[name] for name in order])

    found = log_singular_values(matrices)

    expected = torch.tensor(exact_log_singular_values(matrices), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-11)


@pytest.mark.held_against("PyTorch", log_singular_values)
def test_orthogonal_factors_keep_every_length() -> None:
    factors, _ = torch.linalg.qr(torch.randn(200, 6, 6, dtype=torch.float64))

    assert log_singular_values(factors).abs().max() < 1e-13


@pytest.mark.held_against("PyTorch", log_singular_values)
@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 5))
def test_logarithms_add_up_to_those_of_the_determinants(seed: int, k: int, n: int) -> None:
    matrices = torch.randn(k, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    found = log_singular_values(matrices)

    torch.testing.assert_close(found.sum(), torch.linalg.slogdet(matrices).logabsdet.sum(), rtol=1e-10, atol=1e-8)


def test_transposed_product_has_the_same_singular_values() -> None:
    matrices = torch.randn(30, 5, 5, dtype=torch.float64)

    torch.testing.assert_close(
        log_singular_values(matrices), log_singular_values(matrices.mT.flip(0)), rtol=1e-12, atol=1e-10
    )


def test_factor_that_is_singular_gives_minus_infinity() -> None:
    dead = torch.tensor([1.0, 0.0, 2.0]).diag()

    found = log_singular_values(torch.stack([2 * torch.eye(3), dead, dead]))

    torch.testing.assert_close(found[:2], torch.tensor([math.log(8), math.log(2)]))
    assert found[2] == -math.inf
    assert torch.equal(log_singular_values(torch.zeros(2, 3, 3)), torch.full((3,), -math.inf))


def test_product_without_factors_is_the_identity() -> None:
    assert torch.equal(log_singular_values(torch.ones(0, 3, 3)), torch.zeros(3))


def test_nan_in_a_factor_gives_nan() -> None:
    assert log_singular_values(torch.tensor([[[math.nan, 1.0], [1.0, 2.0]]])).isnan().any()


def test_a_product_that_is_not_finite_does_not_affect_others_in_its_batch() -> None:
    matrices = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    finite = log_singular_values(matrices[2])
    matrices[0, 1, 0, 0], matrices[1, 0, 2, 1] = math.nan, math.inf

    logs = log_singular_values(matrices)

    assert logs[:2].isnan().all()
    torch.testing.assert_close(logs[2], finite)


def test_log_singular_values_raise_where_the_rotations_do_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcore.propagation._stable.MAX_JACOBI_SWEEPS", 0)
    with pytest.raises(RuntimeError, match="matrices: no singular values found in 0 sweeps"):
        log_singular_values(torch.ones(1, 2, 2) + torch.eye(2))


@pytest.mark.held_against("PyTorch", log_singular_values)
def test_gradient_of_the_sum_is_the_inverse_transposed() -> None:
    matrices = torch.randn(3, 4, 4, dtype=torch.float64)

    gradient = torch.func.grad(lambda m: log_singular_values(m).sum())(matrices)

    torch.testing.assert_close(gradient, torch.linalg.inv(matrices).mT)


def test_gradient_of_an_odd_number_of_rows() -> None:
    matrices = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(log_singular_values, matrices)
    assert torch.autograd.gradgradcheck(log_singular_values, matrices)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_factors_of_extreme_size_neither_overflow_nor_vanish(scale: float) -> None:
    matrices = torch.randn(20, 4, 4)

    found = log_singular_values(scale * matrices)

    torch.testing.assert_close(found, log_singular_values(matrices) + 20 * math.log(scale), rtol=1e-5, atol=1e-3)


# Extremes


def test_nan_and_overflow_show_in_both_measurement_and_prediction() -> None:
    params = [LinearParams(torch.full((2, 2), 1e15), torch.zeros(2))] * 2

    found = signal_propagation(params, torch.tensor([[1e15, 1e15]]))
    of_nan = signal_propagation(params, torch.tensor([[math.nan, 1.0]]))

    assert found.forward_predicted[-1] == math.inf
    assert found.forward_measured[-1] == math.inf
    assert of_nan.forward_predicted.isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_squares_in_float32(dtype: torch.dtype) -> None:
    params = [LinearParams(torch.eye(4096, 1, dtype=dtype), torch.zeros(1, dtype=dtype))]
    x = torch.full((2, 4096), 0.001, dtype=dtype)
    x[:, 0] = 128.0

    found = signal_propagation(params, x, output_gradient=torch.ones(2, 1, dtype=dtype))

    assert found.forward_measured.dtype == dtype
    assert found.forward_measured[0] == 4
    assert found.forward_measured[1] == 16384
    assert found.forward_predicted[1] == 4


def test_generator_draws_the_gradient_and_leaves_the_global_state_alone() -> None:
    params, x, before = deep([5, 4, 3]), inputs(2, 5), torch.get_rng_state()

    one, same = (signal_propagation(params, x, generator=torch.Generator().manual_seed(3)) for _ in range(2))

    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.backward_measured, same.backward_measured)
