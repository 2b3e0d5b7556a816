"""Initial weights: the variance of each scheme, in both directions, and the reasons for it."""

import math
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, Tensor

from dlcore import init

Scheme = Callable[..., Tensor]
XAVIER = [init.xavier_uniform, init.xavier_normal]
HE = [init.he_uniform, init.he_normal]
UNIFORM = [init.xavier_uniform, init.he_uniform]
N_IN, N_OUT = 300, 200


def promised_variance(scheme: Scheme, n_in: int, n_out: int) -> float:
    return 2 / (n_in + n_out) if scheme in XAVIER else 2 / n_in


def standard_error(values: Tensor) -> float:
    """Return the standard error of the mean of the values."""
    return (values.std() / math.sqrt(values.numel())).item()


# The distribution


@pytest.mark.parametrize("scheme", [*XAVIER, *HE])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_weights_have_mean_zero_and_the_documented_variance(scheme: Scheme, gain: float) -> None:
    weight = scheme(N_IN, N_OUT, gain=gain, dtype=torch.float64)

    expected = gain**2 * promised_variance(scheme, N_IN, N_OUT) / (1 if scheme in XAVIER else 2)
    assert abs(weight.mean()) < 4 * standard_error(weight)
    assert abs(weight.square().mean() - expected) < 4 * standard_error(weight.square())


@pytest.mark.parametrize("scheme", [*XAVIER, *HE])
def test_default_gain_is_the_scheme_of_the_paper(scheme: Scheme) -> None:
    weight = scheme(N_IN, N_OUT, dtype=torch.float64)

    assert abs(weight.square().mean() - promised_variance(scheme, N_IN, N_OUT)) < 4 * standard_error(weight.square())


@pytest.mark.held_against("SciPy", *XAVIER, *HE)
@pytest.mark.parametrize("scheme", [*XAVIER, *HE])
def test_weights_pass_a_test_for_their_distribution(scheme: Scheme) -> None:
    variance = promised_variance(scheme, N_IN, N_OUT)
    bound = math.sqrt(3 * variance)
    law = stats.uniform(-bound, 2 * bound) if scheme in UNIFORM else stats.norm(0, math.sqrt(variance))

    weight = scheme(N_IN, N_OUT, dtype=torch.float64)

    assert stats.kstest(weight.flatten().numpy(), law.cdf).pvalue > 1e-3


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0, 10))
def test_uniform_weights_come_close_to_their_bound_and_do_not_exceed_it(n_in: int, n_out: int, gain: float) -> None:
    xavier = init.xavier_uniform(n_in, n_out, gain=gain, dtype=torch.float64)
    he = init.he_uniform(n_in, n_out, gain=gain, dtype=torch.float64)

    assert xavier.abs().max() <= gain * math.sqrt(6 / (n_in + n_out))
    assert he.abs().max() <= gain * math.sqrt(3 / n_in)


def test_xavier_bound_is_the_root_of_6_over_both_fans() -> None:
    weight = init.xavier_uniform(N_IN, N_OUT)

    bound = math.sqrt(6 / (N_IN + N_OUT))
    assert 0.999 * bound < weight.max() <= bound
    assert -0.999 * bound > weight.min() >= -bound


@pytest.mark.held_against("SciPy", init.normal)
def test_normal_has_standard_deviation_0_01_and_not_variance_0_01_nor_1() -> None:
    weight = init.normal((N_IN, N_OUT), dtype=torch.float64)

    assert abs(weight.square().mean() - 1e-4) < 4 * standard_error(weight.square())
    assert stats.kstest(weight.flatten().numpy(), stats.norm(0, 0.01).cdf).pvalue > 1e-3


def test_standard_deviation_zero_gives_zeros() -> None:
    assert torch.equal(init.normal(3, std=0), init.zeros(3))


# The variance of outputs and gradients


def layer_variances(weight: Tensor, n: int = 4000) -> tuple[Tensor, Tensor]:
    """Return the mean square, per example, of the outputs and of the gradient of the inputs, both for unit noise."""
    x, gradient = (
        torch.randn(n, weight.shape[0], dtype=torch.float64),
        torch.randn(n, weight.shape[1], dtype=torch.float64),
    )
    return (x @ weight).square().mean(dim=1), (gradient @ weight.T).square().mean(dim=1)


@pytest.mark.parametrize("scheme", XAVIER)
@pytest.mark.parametrize(("n_in", "n_out"), [(256, 256), (400, 100), (100, 400)])
def test_xavier_keeps_the_variance_on_average_over_both_directions(scheme: Scheme, n_in: int, n_out: int) -> None:
    weight = scheme(n_in, n_out, dtype=torch.float64)

    forward, backward = layer_variances(weight)

    # drawing the weights adds a relative error of at most sqrt(2 / (n_in * n_out)) to that of the examples
    for measured, fan in ((forward, n_in), (backward, n_out)):
        predicted = fan * 2 / (n_in + n_out)
        assert abs(measured.mean() - predicted) < 4 * (
            standard_error(measured) + predicted * math.sqrt(2 / weight.numel())
        )


@pytest.mark.parametrize("scheme", HE)
def test_he_keeps_the_mean_square_through_relu_forward(scheme: Scheme) -> None:
    x = torch.randn(4000, N_IN, dtype=torch.float64)
    weight = scheme(N_IN, N_OUT, dtype=torch.float64)

    after = torch.relu(x @ weight).square().mean(dim=1)

    assert abs(after.mean() - 1) < 4 * (standard_error(after) + math.sqrt(2 / N_OUT / N_IN))


def test_forward_needs_n_in_and_backward_n_out() -> None:
    forward, _ = layer_variances(init.normal((400, 100), std=1 / math.sqrt(400), dtype=torch.float64))
    _, backward = layer_variances(init.normal((400, 100), std=1 / math.sqrt(100), dtype=torch.float64))

    assert forward.mean().item() == pytest.approx(1, abs=0.03)
    assert backward.mean().item() == pytest.approx(1, abs=0.03)


def test_cross_terms_vanish_because_the_weights_have_mean_zero() -> None:
    n, draws = 8, 200_000
    x = torch.ones(n, dtype=torch.float64)  # perfectly dependent inputs
    centred = init.normal((draws, n), std=1.0, dtype=torch.float64) @ x
    shifted = (init.normal((draws, n), std=1.0, dtype=torch.float64) + 1) @ x

    assert abs(centred.square().mean() - n) < 4 * standard_error(centred.square())
    assert abs(shifted.square().mean() - (n + n + n * (n - 1))) < 4 * standard_error(shifted.square())


@pytest.mark.parametrize(("factor", "grows"), [(0.5, False), (2.0, True)])
def test_variance_shrinks_below_1_and_grows_above_1(factor: float, grows: bool) -> None:
    x = torch.randn(500, 128, dtype=torch.float64)

    for _ in range(10):
        x = x @ init.normal((128, 128), std=math.sqrt(factor / 128), dtype=torch.float64)

    assert math.log2(x.var().item()) == pytest.approx(10 if grows else -10, abs=1)


def test_constant_weights_stay_at_rank_1_under_sgd_and_random_ones_do_not() -> None:
    x, y = torch.randn(64, 8, dtype=torch.float64), torch.randn(64, 1, dtype=torch.float64)

    def rank_after_training(first: Tensor, second: Tensor) -> int:
        for _ in range(20):
            first, second = first.requires_grad_(), second.requires_grad_()
            loss = (torch.tanh(x @ first) @ second - y).square().mean()
            gradients = torch.autograd.grad(loss, (first, second))
            first, second = (w.detach() - 0.1 * g for w, g in zip((first, second), gradients, strict=True))
        return int(torch.linalg.matrix_rank(first))

    assert (
        rank_after_training(
            init.constant((8, 8), 0.5, dtype=torch.float64), init.constant((8, 1), 0.5, dtype=torch.float64)
        )
        == 1
    )
    assert (
        rank_after_training(
            init.xavier_normal(8, 8, dtype=torch.float64), init.xavier_normal(8, 1, dtype=torch.float64)
        )
        == 8
    )


@pytest.mark.held_against("PyTorch", init.constant, init.zeros)
def test_constants_agree_with_torch() -> None:
    assert torch.equal(init.zeros((N_IN, N_OUT)), torch.nn.init.zeros_(torch.empty(N_IN, N_OUT)))
    assert torch.equal(init.constant((N_IN, N_OUT), 0.3), torch.nn.init.constant_(torch.empty(N_IN, N_OUT), 0.3))


# The fan convention against torch.nn.init


@pytest.mark.held_against("PyTorch", init.he_normal, init.he_uniform)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(init.he_normal, torch.nn.init.kaiming_normal_), (init.he_uniform, torch.nn.init.kaiming_uniform_)],
)
def test_torch_reads_the_fans_of_our_layout_the_other_way_round(ours: Scheme, theirs: Callable[..., Tensor]) -> None:
    weight = ours(N_IN, N_OUT, dtype=torch.float64)
    as_linear = theirs(torch.empty(N_OUT, N_IN, dtype=torch.float64), nonlinearity="relu")
    as_ours = theirs(torch.empty(N_IN, N_OUT, dtype=torch.float64), nonlinearity="relu", mode="fan_out")
    mistaken = theirs(torch.empty(N_IN, N_OUT, dtype=torch.float64), nonlinearity="relu")

    for other, fan in ((weight, N_IN), (as_linear, N_IN), (as_ours, N_IN), (mistaken, N_OUT)):
        assert abs(other.square().mean() - 2 / fan) < 4 * standard_error(other.square())


@pytest.mark.held_against("PyTorch", "SciPy", init.xavier_normal, init.xavier_uniform)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(init.xavier_normal, torch.nn.init.xavier_normal_), (init.xavier_uniform, torch.nn.init.xavier_uniform_)],
)
def test_for_xavier_both_layouts_agree(ours: Scheme, theirs: Callable[..., Tensor]) -> None:
    weight = ours(N_IN, N_OUT, gain=2.0, dtype=torch.float64)

    for shape in ((N_IN, N_OUT), (N_OUT, N_IN)):
        other = theirs(torch.empty(shape, dtype=torch.float64), gain=2.0)
        assert stats.ks_2samp(weight.flatten().numpy(), other.flatten().numpy()).pvalue > 1e-3


# The keywords of torch's factory functions


RANDOM = [
    lambda **kwargs: init.normal((5, 4), **kwargs),
    *(lambda scheme=scheme, **kwargs: scheme(5, 4, **kwargs) for scheme in [*XAVIER, *HE]),
]


@pytest.mark.parametrize("draw", RANDOM)
def test_a_generator_makes_it_reproducible_and_leaves_the_global_state_alone(draw: Scheme) -> None:
    before = torch.get_rng_state()

    first, second = (draw(generator=Generator().manual_seed(1)) for _ in range(2))
    other = draw(generator=Generator().manual_seed(2))

    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("draw", [*RANDOM, lambda **kwargs: init.zeros((5, 4), **kwargs)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtype_and_device_are_those_requested(draw: Scheme, dtype: torch.dtype) -> None:
    weight = draw(dtype=dtype, device="cpu")

    assert (weight.dtype, weight.shape, weight.requires_grad) == (dtype, (5, 4), False)
    assert weight.isfinite().all()
    assert draw(device="meta").is_meta


@pytest.mark.parametrize("name", ["xavier_uniform", "xavier_normal", "he_uniform", "he_normal"])
def test_it_compiles_and_vmap_draws_anew_for_each_example(name: str, plain: ModuleType) -> None:
    scheme = getattr(plain.init, name)

    compiled = torch.compile(lambda x: x + scheme(5, 4), fullgraph=True, backend="aot_eager")(torch.zeros(5, 4))
    stacked = torch.vmap(lambda x: x + scheme(5, 4), randomness="different")(torch.zeros(3, 5, 4))

    assert compiled.std() > 0
    assert not torch.equal(stacked[0], stacked[1])


def test_an_integer_is_a_shape_of_one_dimension() -> None:
    assert torch.equal(init.zeros(3), torch.zeros(3))
    assert torch.equal(init.constant([2, 1], 4), torch.tensor([[4.0], [4.0]]))
    assert init.normal(()).shape == ()


@pytest.mark.parametrize("draw", ["normal", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"])
def test_without_a_generator_it_compiles_for_shapes_that_change(draw: str, plain: ModuleType) -> None:
    function = getattr(plain.init, draw)

    def drawn_like(x: torch.Tensor) -> torch.Tensor:
        return function(x.shape) if draw == "normal" else function(*x.shape)

    torch.compiler.reset()  # the recompilation limit counts all schemes together
    compiled = torch.compile(drawn_like, backend="aot_eager", fullgraph=True)

    for shape in ((8, 4), (7, 4), (6, 5)):
        assert compiled(torch.ones(shape)).shape == shape


def test_numpy_integers_are_sizes(plain: ModuleType) -> None:
    three, two = np.int64(3), np.int32(2)

    assert plain.init.zeros(three).shape == (3,)
    assert plain.init.normal((three, two)).shape == (3, 2)
    assert plain.init.xavier_uniform(three, two).shape == (3, 2)
    assert plain.init.he_normal(three, two).shape == (3, 2)


# In place, in the layout of a module

IN_PLACE = [init.xavier_uniform_, init.xavier_normal_, init.he_uniform_, init.he_normal_]
PURE = [init.xavier_uniform, init.xavier_normal, init.he_uniform, init.he_normal]
KAIMING = [
    partial(fill_, nonlinearity="relu") for fill_ in (torch.nn.init.kaiming_uniform_, torch.nn.init.kaiming_normal_)
]
THEIRS = [torch.nn.init.xavier_uniform_, torch.nn.init.xavier_normal_, *KAIMING]
LAYERS = [
    torch.nn.Linear(60, 50),
    torch.nn.Conv1d(20, 50, 5),
    torch.nn.Conv2d(8, 40, (3, 2)),
    torch.nn.Conv3d(4, 40, 2),
]


@pytest.mark.parametrize(("in_place", "pure"), [*zip(IN_PLACE, PURE, strict=True)])
def test_a_linear_layer_gets_the_transpose_of_the_pure_draw(in_place: Scheme, pure: Scheme) -> None:
    layer = torch.nn.Linear(4, 3).double()

    returned = in_place(layer.weight, gain=0.5, generator=Generator().manual_seed(0))

    expected = pure(4, 3, gain=0.5, generator=Generator().manual_seed(0), dtype=torch.float64)
    assert returned is layer.weight
    assert layer.weight.requires_grad
    assert layer.weight.is_leaf
    assert torch.equal(layer.weight.T, expected)


@pytest.mark.held_against("PyTorch", *IN_PLACE)
@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize(("in_place", "theirs"), [*zip(IN_PLACE, THEIRS, strict=True)])
def test_the_variance_is_that_of_torch_for_every_kernel(
    in_place: Scheme, theirs: Scheme, layer: torch.nn.Linear
) -> None:
    ours = in_place(layer.weight).detach().clone()
    other = theirs(layer.weight).detach()

    difference = ours.square().mean() - other.square().mean()
    assert abs(difference) < 4 * math.hypot(standard_error(ours.square()), standard_error(other.square()))
    assert abs(ours.mean()) < 4 * standard_error(ours)


def test_the_draws_of_a_kernel_are_independent_of_its_places() -> None:
    weight = init.he_uniform_(torch.empty(200, 4, 3, 3, dtype=torch.float64), generator=Generator().manual_seed(0))

    correlations = torch.corrcoef(weight.flatten(1).T) - torch.eye(36, dtype=torch.float64)
    assert correlations.abs().max() < 5 / math.sqrt(200)
    assert len(weight.unique()) == weight.numel()
