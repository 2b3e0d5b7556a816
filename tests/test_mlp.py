"""The multilayer perceptron and its gradients by hand against autograd, torch's modules and the chain rule."""

import io
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from torch import Tensor

from dlcore import activations, losses, mlp, regularization, training
from dlcore._network import ACTIVATIONS
from dlcore.linear import LinearParams

LOSSES = ["cross_entropy", "squared_loss"]
MODULES = {
    "relu": torch.nn.ReLU,
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
    "softplus": torch.nn.Softplus,
    "gelu": torch.nn.GELU,
    "swish": torch.nn.SiLU,
    "identity": torch.nn.Identity,
}
FORMULAS = {
    "relu": lambda z: max(z, mp.mpf(0)),
    "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    "tanh": mp.tanh,
    "softplus": lambda z: mp.log1p(mp.exp(z)),
    "gelu": lambda z: z * mp.ncdf(z),
    "swish": lambda z: z / (1 + mp.exp(-z)),
    "identity": lambda z: z,
}


def network(sizes: list[int], seed: int = 0) -> tuple[LinearParams, ...]:
    """Draw weights and biases, all of them normal: a bias of zero would hide its part in the formulas."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        LinearParams(
            torch.randn(n_in, n_out, dtype=torch.float64, generator=generator) / math.sqrt(n_in),
            torch.randn(n_out, dtype=torch.float64, generator=generator),
        )
        for n_in, n_out in pairwise(sizes)
    )


def batch(n: int, sizes: list[int], loss: str, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, sizes[0], dtype=torch.float64, generator=generator)
    if loss == "cross_entropy":
        return x, torch.randint(sizes[-1], (n,), generator=generator)
    return x, torch.randn(n, sizes[-1], dtype=torch.float64, generator=generator)


def requiring_grad(params: tuple[LinearParams, ...]) -> tuple[LinearParams, ...]:
    return tuple(LinearParams(*(x.clone().requires_grad_() for x in layer)) for layer in params)


def flat(params: tuple[LinearParams, ...]) -> list[Tensor]:
    return [x for layer in params for x in layer]


# Backpropagation by hand is what autograd finds


@pytest.mark.held_against("PyTorch", mlp.backward, mlp.gradients)
@given(
    depth=st.integers(0, 4),
    widths=st.lists(st.integers(1, 7), min_size=6, max_size=6),
    n=st.sampled_from([1, 2, 9]),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    loss=st.sampled_from(LOSSES),
    penalty=st.sampled_from([0.0, 0.3, 20.0]),
    seed=st.integers(0, 2**32),
)
def test_backward_equals_autograd(
    *, depth: int, widths: list[int], n: int, activation: str, loss: str, penalty: float, seed: int
) -> None:
    sizes = widths[: depth + 2]
    params = requiring_grad(network(sizes, seed))
    x, y = batch(n, sizes, loss, seed)
    trace = mlp.forward(params, x.requires_grad_(), y, activation=activation, loss=loss, penalty=penalty)
    values = [*flat(params), trace.x, *trace.z, *trace.h, trace.o]

    by_autograd = torch.autograd.grad(trace.J, values)
    with torch.no_grad():
        found = mlp.gradients(trace)
        of_params = mlp.backward(trace)

    by_hand = [*flat(found.params), found.x, *found.z, *found.h, found.o]
    torch.testing.assert_close(by_hand, list(by_autograd), rtol=1e-12, atol=1e-12)
    assert all(map(torch.equal, flat(of_params), flat(found.params)))


@pytest.mark.held_against("PyTorch", mlp.backward)
def test_backward_equals_autograd_for_probabilities_as_labels() -> None:
    params = requiring_grad(network([3, 5, 4]))
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64).softmax(dim=1)

    trace = mlp.forward(params, x, y)

    by_hand, by_autograd = flat(mlp.backward(trace)), torch.autograd.grad(trace.J, flat(params))
    torch.testing.assert_close(by_hand, list(by_autograd), rtol=1e-12, atol=1e-12)


def test_backward_needs_no_autograd() -> None:
    x, y = batch(4, [3, 2], "cross_entropy")

    with torch.inference_mode():
        grads = mlp.backward(mlp.forward(network([3, 5, 2]), x, y))

    assert all(not x.requires_grad and x.grad_fn is None for x in flat(grads))


@pytest.mark.held_against("its definition", mlp.gradients)
def test_backward_is_the_chain_rule_of_the_notes_for_one_hidden_layer() -> None:
    (w1, b1), (w2, b2) = params = network([3, 5, 2])
    x, y = batch(1, [3, 2], "squared_loss")
    penalty = 0.25

    grads = mlp.gradients(mlp.forward(params, x, y, activation="sigmoid", loss="squared_loss", penalty=penalty))

    # for one example, as columns: z = W¹x + b¹, h = φ(z), o = W²h + b²
    z = w1.T @ x[0] + b1
    h = torch.sigmoid(z)
    of_o = w2.T @ h + b2 - y[0]
    of_h = w2 @ of_o
    of_z = of_h * h * (1 - h)
    torch.testing.assert_close(grads.o[0], of_o)
    torch.testing.assert_close(grads.h[0][0], of_h)
    torch.testing.assert_close(grads.z[0][0], of_z)
    torch.testing.assert_close(grads.params[1].weight, torch.outer(h, of_o) + penalty * w2)
    torch.testing.assert_close(grads.params[1].bias, of_o)
    torch.testing.assert_close(grads.params[0].weight, torch.outer(x[0], of_z) + penalty * w1)
    torch.testing.assert_close(grads.params[0].bias, of_z)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_of_a_batch_is_the_mean_of_its_examples(loss: str) -> None:
    params = network([3, 5, 2])
    x, y = batch(7, [3, 2], loss)

    together = flat(mlp.backward(mlp.forward(params, x, y, loss=loss, penalty=0.5)))
    alone = [
        flat(mlp.backward(mlp.forward(params, x[i : i + 1], y[i : i + 1], loss=loss, penalty=0.5))) for i in range(7)
    ]

    torch.testing.assert_close(together, [torch.stack(each).mean(0) for each in zip(*alone, strict=True)])


@pytest.mark.held_against("its definition", mlp.backward, mlp.forward)
def test_penalty_is_on_the_weights_and_not_on_the_biases() -> None:
    params = network([3, 5, 2])
    x, y = batch(4, [3, 2], "cross_entropy")

    with_penalty, without = (mlp.forward(params, x, y, penalty=penalty) for penalty in (0.5, 0.0))

    expected = 0.25 * sum(float(torch.linalg.matrix_norm(layer.weight)) ** 2 for layer in params)
    assert with_penalty.s.item() == pytest.approx(expected, rel=1e-14)
    assert without.s == 0
    for layer, one, other in zip(params, mlp.backward(with_penalty), mlp.backward(without), strict=True):
        torch.testing.assert_close(one.weight - other.weight, 0.5 * layer.weight)
        assert torch.equal(one.bias, other.bias)


def test_a_step_against_the_gradient_lowers_the_objective() -> None:
    params = network([3, 5, 2])
    x, y = batch(9, [3, 2], "cross_entropy")
    before = mlp.forward(params, x, y, activation="tanh", penalty=0.1)

    moved = tuple(
        LinearParams(layer.weight - 1e-3 * grad.weight, layer.bias - 1e-3 * grad.bias)
        for layer, grad in zip(params, mlp.backward(before), strict=True)
    )

    after = mlp.forward(moved, x, y, activation="tanh", penalty=0.1)
    squared_length = sum(float(grad.square().sum()) for grad in flat(mlp.backward(before)))
    assert (before.J - after.J).item() == pytest.approx(1e-3 * squared_length, rel=1e-2)


@pytest.mark.held_against("PyTorch", mlp.forward)
def test_loss_is_the_mean_of_the_formula() -> None:
    params = network([2, 3])
    x, y = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1])

    squared = mlp.forward(params, x, y, loss="squared_loss")
    crossed = mlp.forward(params, x, labels, loss="cross_entropy")

    torch.testing.assert_close(squared.L, torch.nn.functional.mse_loss(squared.o, y) * 3 / 2)
    torch.testing.assert_close(crossed.L, torch.nn.functional.cross_entropy(crossed.o, labels))
    assert torch.equal(squared.J, squared.L + squared.s)


# The derivatives of the activations


@pytest.mark.held_against("50 digits", mlp.backward)
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_derivative_by_hand_is_that_of_the_formula(name: str) -> None:
    points = torch.cat([torch.linspace(-30, 30, 60, dtype=torch.float64), torch.tensor([1e-30, -1e-30, 1e-3])])

    slopes = ACTIVATIONS[name].derivative(points)

    with mp.workdps(300):
        for point, slope in zip(map(mp.mpf, points.tolist()), slopes.tolist(), strict=True):
            exact = mp.diff(FORMULAS[name], point)
            assert abs(slope - exact) <= 1e-12 * max(abs(exact), abs(point) * mp.npdf(point))


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_derivative_keeps_its_digits_where_it_vanishes(name: str) -> None:
    z = torch.tensor([40.0], dtype=torch.float64)

    slope = ACTIVATIONS[name].derivative(z)

    expected = math.exp(-40) if name == "sigmoid" else 4 * math.exp(-80)
    assert slope.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("z", [1e4, 1e30, math.inf])
def test_derivative_has_its_limits(name: str, z: float) -> None:
    right, left = ACTIVATIONS[name].derivative(torch.tensor([z, -z]))

    saturating = name in {"sigmoid", "tanh"}
    assert right == (0 if saturating else 1)
    assert left == (1 if name == "identity" else 0)


# The model


@pytest.mark.held_against("PyTorch", mlp.mlp)
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("sizes", [[3, 2], [3, 5, 2], [3, 4, 6, 1]])
def test_mlp_is_a_sequence_of_torch_modules(name: str, sizes: list[int]) -> None:
    params = network(sizes)
    layers = [torch.nn.Linear(*shape, dtype=torch.float64) for shape in pairwise(sizes)]
    net = torch.nn.Sequential(*[module for layer in layers for module in (layer, MODULES[name]())][:-1])
    net.load_state_dict(dict(zip(net.state_dict(), (x.t() for layer in params for x in layer), strict=True)))
    x = torch.randn(2, 7, 3, dtype=torch.float64)

    torch.testing.assert_close(mlp.mlp(params, x, activation=name), net(x))


@pytest.mark.held_against("PyTorch", mlp.mlp)
def test_parameters_load_into_torch_modules_and_back() -> None:
    params = network([3, 5, 2])
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)).double()

    net.load_state_dict(dict(zip(net.state_dict(), (x.t() for layer in params for x in layer), strict=True)))
    back = tuple(LinearParams(layer.weight.detach().t(), layer.bias.detach()) for layer in net[::2])

    assert all(map(torch.equal, flat(back), flat(params)))
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(mlp.mlp(back, x), mlp.mlp(params, x), rtol=1e-12, atol=1e-12)


def test_forward_keeps_what_mlp_computes() -> None:
    params = network([3, 5, 4, 2])
    x, y = batch(6, [3, 2], "cross_entropy")

    trace = mlp.forward(params, x, y, activation="tanh")

    torch.testing.assert_close(trace.o, mlp.mlp(params, x, activation="tanh"))
    assert [tuple(z.shape) for z in trace.z] == [(6, 5), (6, 4)]
    for z, h in zip(trace.z, trace.h, strict=True):
        assert torch.equal(h, torch.tanh(z))
    torch.testing.assert_close(trace.z[1], trace.h[0] @ params[1].weight + params[1].bias)


@given(depth=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_affine_maps_of_affine_maps_are_affine(depth: int, seed: int) -> None:
    params = network([3, *[4] * depth, 2], seed)
    weight, bias = params[0]
    for layer in params[1:]:
        weight, bias = weight @ layer.weight, bias @ layer.weight + layer.bias

    x = torch.randn(5, 3, dtype=torch.float64)

    torch.testing.assert_close(mlp.mlp(params, x, activation="identity"), x @ weight + bias)


@given(seed=st.integers(0, 2**32), swap=st.permutations(range(5)))
def test_hidden_units_may_change_places(seed: int, swap: list[int]) -> None:
    first, second = network([3, 5, 2], seed)
    x = torch.randn(4, 3, dtype=torch.float64)

    swapped = [LinearParams(first.weight[:, swap], first.bias[swap]), LinearParams(second.weight[swap], second.bias)]

    torch.testing.assert_close(mlp.mlp(swapped, x), mlp.mlp([first, second], x))


def interpolating_network(units: int) -> tuple[LinearParams, LinearParams]:
    """Return the ReLU network with one hidden layer that is sin at ``units + 1`` equidistant points of [0, 2π]."""
    knots = torch.linspace(0, 2 * math.pi, units + 1, dtype=torch.float64)
    slopes = knots.sin().diff() / knots.diff()
    bends = torch.cat([slopes[:1], slopes.diff()])
    hidden = LinearParams(torch.ones(1, units, dtype=torch.float64), -knots[:-1])
    return hidden, LinearParams(bends[:, None], torch.zeros(1, dtype=torch.float64))


def test_one_hidden_layer_approximates_a_continuous_function_on_a_compact_set_and_only_there() -> None:
    inside = torch.linspace(0, 2 * math.pi, 10_001, dtype=torch.float64)[:, None]
    outside = inside + 4 * math.pi

    errors = [float((mlp.mlp(interpolating_network(n), inside) - inside.sin()).abs().max()) for n in (8, 16, 32, 64)]
    beyond = float((mlp.mlp(interpolating_network(64), outside) - outside.sin()).abs().max())

    # approximately: four times closer with twice the units, but never exactly
    assert [a / b for a, b in pairwise(errors)] == pytest.approx([4, 4, 4], rel=0.1)
    assert errors[-1] < 2e-3
    assert beyond > 10


# Initialization


@pytest.mark.held_against("its definition", mlp.init_mlp)
@pytest.mark.parametrize(
    ("scheme", "variance"),
    [
        ("xavier_uniform", 2 / 500),
        ("xavier_normal", 2 / 500),
        ("he_uniform", 2 / 300),
        ("he_normal", 2 / 300),
        ("normal", 1e-4),
    ],
)
def test_init_mlp_draws_by_the_scheme(scheme: str, variance: float) -> None:
    params = mlp.init_mlp([300, 200, 100], scheme=scheme, scale=3.0, dtype=torch.float64)

    assert [tuple(layer.weight.shape) for layer in params] == [(300, 200), (200, 100)]
    assert all(torch.equal(layer.bias, torch.zeros_like(layer.bias)) for layer in params)
    assert all(x.dtype == torch.float64 for x in flat(params))
    assert float(params[0].weight.square().mean()) == pytest.approx(9 * variance, rel=0.03)


def test_init_mlp_with_a_generator_leaves_the_global_state_alone() -> None:
    before = torch.get_rng_state()

    one, same = (mlp.init_mlp([3, 5, 2], generator=torch.Generator().manual_seed(7)) for _ in range(2))

    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, flat(one), flat(same)))


# Extremes


@pytest.mark.parametrize("gap", [1e4, 1e30])
def test_gradient_is_finite_where_the_logits_are_far_apart(gap: float) -> None:
    params = (LinearParams(torch.tensor([[gap, 0.0]]), torch.zeros(2)),)

    trace = mlp.forward(params, torch.ones(1, 1), torch.tensor([1]))
    (grads,) = mlp.backward(trace)

    assert torch.equal(trace.L, torch.tensor(gap))
    assert torch.equal(grads.weight, torch.tensor([[1.0, -1.0]]))
    assert torch.equal(grads.bias, torch.tensor([1.0, -1.0]))


def test_saturated_units_pass_back_a_small_gradient_and_not_nothing() -> None:
    params = (LinearParams(torch.eye(1), torch.zeros(1)), LinearParams(torch.eye(1), torch.zeros(1)))

    trace = mlp.forward(params, torch.full((1, 1), 30.0), torch.zeros(1, 1), activation="sigmoid", loss="squared_loss")

    assert mlp.backward(trace)[0].bias.item() == pytest.approx(math.exp(-30), rel=1e-5)


def test_nan_goes_through_and_back() -> None:
    params = network([2, 3, 1])

    trace = mlp.forward(
        params, torch.tensor([[math.nan, 1.0]], dtype=torch.float64), torch.zeros(1, 1).double(), loss="squared_loss"
    )

    assert trace.J.isnan()
    assert mlp.backward(trace)[1].bias.isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_over_the_batch_in_float32(dtype: torch.dtype) -> None:
    params = (LinearParams(torch.zeros(1, 1, dtype=dtype), torch.zeros(1, dtype=dtype)),)
    x, y = torch.ones(4096, 1, dtype=dtype), -torch.ones(4096, 1, dtype=dtype)

    trace = mlp.forward(params, x, y, loss="squared_loss")

    assert trace.L == 0.5
    assert mlp.backward(trace)[0].bias == 1
    assert mlp.backward(trace)[0].weight == 1


def test_numpy_integers_are_widths(plain: ModuleType) -> None:
    params = plain.mlp.init_mlp([4, np.int64(8), np.int32(3)])

    assert [tuple(layer.weight.shape) for layer in params] == [(4, 8), (8, 3)]


@pytest.mark.parametrize("labels", [[1.0, 1.0], [0.0, 0.0], [0.25, 0.25]])
def test_backward_is_autograd_for_labels_that_do_not_sum_to_one(labels: list[float]) -> None:
    o, y = torch.tensor([[1.0, 2.0]], dtype=torch.float64, requires_grad=True), torch.tensor([labels]).double()
    identity = [LinearParams(torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))]

    trace = mlp.forward(identity, o, y)

    torch.testing.assert_close(mlp.gradients(trace).o, torch.autograd.grad(trace.L, o)[0])


def test_a_trace_and_its_gradients_are_loaded_in_the_safe_mode() -> None:
    trace = mlp.forward(mlp.init_mlp([3, 2]), torch.randn(4, 3), torch.tensor([0, 1, 1, 0]))
    file = io.BytesIO()
    torch.save((trace, mlp.gradients(trace)), file)
    file.seek(0)

    loaded, gradients = torch.load(file, weights_only=True)

    assert torch.equal(loaded.J, trace.J)
    assert torch.equal(gradients.x, mlp.gradients(trace).x)


def test_autocast_gives_its_dtype_as_for_a_module_and_a_loss_in_float32() -> None:
    params = mlp.init_mlp([3, 8, 2])
    x, labels = torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])
    module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    for layer, (weight, bias) in zip(module[::2], params, strict=True):
        layer.load_state_dict({"weight": weight.T, "bias": bias})

    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, expected = mlp.mlp(params, x), module(x)
        trace = mlp.forward(params, x, labels)
        many = mlp.mlp(params, x.expand(2, 5, 3))

    assert logits.dtype == expected.dtype == many.dtype == torch.bfloat16
    torch.testing.assert_close(logits, expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(many[1], logits, rtol=0.02, atol=0.02)
    assert trace.J.dtype == torch.float32


# Functions as activations, and dropout


def test_a_function_is_an_activation_like_its_name() -> None:
    params = network([3, 5, 4, 2])
    x, y = batch(6, [3, 2], "cross_entropy")

    by_name = mlp.forward(params, x, y, activation="swish")
    by_function = mlp.forward(params, x, y, activation=activations.swish)

    assert torch.equal(mlp.mlp(params, x, activation=activations.swish), by_name.o)
    torch.testing.assert_close(mlp.gradients(by_function), mlp.gradients(by_name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("phi", [partial(activations.swish, beta=3.0), torch.sin, torch.nn.ELU(0.5), torch.nn.SELU()])
def test_the_gradient_of_any_activation_is_that_of_autograd(phi: Callable[[Tensor], Tensor]) -> None:
    params = tuple(LinearParams(*(w.requires_grad_() for w in layer)) for layer in network([3, 5, 4, 2]))
    x, y = batch(6, [3, 2], "cross_entropy")

    trace = mlp.forward(params, x, y, activation=phi)

    by_autograd = torch.autograd.grad(trace.J, flat(params))
    torch.testing.assert_close(flat(mlp.backward(trace)), list(by_autograd), rtol=1e-12, atol=1e-12)


def test_dropout_of_a_network_is_that_of_its_hidden_layers() -> None:
    params = network([3, 50, 40, 2])
    x, generator = torch.randn(6, 3, dtype=torch.float64), torch.Generator().manual_seed(3)

    outputs = mlp.mlp(params, x, dropout=(0.25, 0.5), generator=torch.Generator().manual_seed(3))

    h = x
    for (weight, bias), p in zip(params[:-1], (0.25, 0.5), strict=True):
        h = regularization.dropout((h @ weight + bias).relu(), p, generator=generator)
    torch.testing.assert_close(outputs, h @ params[-1].weight + params[-1].bias, rtol=1e-12, atol=1e-12)


def test_one_probability_holds_for_every_hidden_layer_and_none_in_evaluation() -> None:
    params = network([3, 50, 40, 2])
    x = torch.randn(6, 3, dtype=torch.float64)
    one, each = (
        mlp.mlp(params, x, dropout=dropout, generator=torch.Generator().manual_seed(3)) for dropout in (0.5, [0.5, 0.5])
    )

    assert torch.equal(one, each)
    assert torch.equal(mlp.mlp(params, x, dropout=0.5, training=False), mlp.mlp(params, x))
    assert torch.equal(
        mlp.mlp(params[-1:], x.expand(40, 6, 3)[:, 0, 0], dropout=0.5), mlp.mlp(params[-1:], x[0, 0].expand(40))
    )


def test_a_network_with_dropout_is_trained_with_it_and_measured_without() -> None:
    x = torch.randn(64, 3)
    data = x, x.sum(1)

    def loss(params: tuple[LinearParams, ...], x: Tensor, y: Tensor, *, training: bool) -> Tensor:
        return losses.squared_loss(mlp.mlp(params, x, dropout=0.5, training=training)[:, 0], y)

    history = training.fit(loss, mlp.init_mlp([3, 32, 1]), data, validation=data, epochs=1, batch_size=64, lr=0.0)

    assert history.validation_loss[0] == pytest.approx(
        loss(history.params, *data, training=False).mean().item(), rel=1e-6
    )
    assert abs(history.train_loss[0] - history.validation_loss[0]) > 1e-3
