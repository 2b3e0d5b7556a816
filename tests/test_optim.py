"""Optimization steps against torch's own, their closed forms, and the traps of the notes."""

import copy
import io
import math
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from torch import Tensor

from dlcore import batches, norms, optim
from dlcore._descent import descend_
from tests.oracle import exact, tensors

rates = st.floats(0, 2)


class Layer(NamedTuple):
    weight: Tensor
    bias: Tensor


def regression(n: int = 7) -> tuple[Tensor, Tensor, Layer]:
    """Draw inputs, targets and parameters that do not fit them yet."""
    x, y = torch.randn(n, 3, dtype=torch.float64), torch.randn(n, dtype=torch.float64)
    return x, y, Layer(torch.randn(3, dtype=torch.float64), torch.randn((), dtype=torch.float64))


def half_squared_errors(params: Layer, x: Tensor, y: Tensor) -> Tensor:
    return (x @ params.weight + params.bias - y) ** 2 / 2


def mean_loss(params: Layer, x: Tensor, y: Tensor) -> Tensor:
    return half_squared_errors(params, x, y).mean()


def as_leaves(params: Layer) -> Layer:
    return Layer(*(w.clone().requires_grad_() for w in params))


# The formula, in 50 digits


@pytest.mark.held_against("50 digits", optim.sgd_step)
@given(tensors(min_size=1, max_size=1), tensors(min_size=1, max_size=1), rates, st.floats(0, 2))
def test_sgd_step_is_its_formula(w: Tensor, g: Tensor, lr: float, weight_decay: float) -> None:
    actual = optim.sgd_step(w, g, lr=lr, weight_decay=weight_decay)

    exact = abs(mp.mpf(w.item())) * (1 + mp.mpf(lr) * mp.mpf(weight_decay)) + abs(mp.mpf(lr) * mp.mpf(g.item()))
    shrink = 1 - mp.mpf(lr) * mp.mpf(weight_decay)
    error = abs(mp.mpf(actual.item()) - (shrink * mp.mpf(w.item()) - mp.mpf(lr) * mp.mpf(g.item())))
    assert error <= 4 * torch.finfo(torch.float64).eps * exact + 1e-300


# sgd_, in place


@pytest.mark.held_against("its definition", optim.sgd_)
@given(st.integers(1, 6), rates, st.integers(1, 9))
def test_sgd_in_place_is_the_loop_of_the_notes(n: int, lr: float, batch_size: int) -> None:
    gradients = [torch.randn(3, dtype=torch.float64) for _ in range(n)]
    params = [torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(n)]
    expected = [w.detach() - lr * g / batch_size for w, g in zip(params, gradients, strict=True)]
    for w, g in zip(params, gradients, strict=True):
        w.grad = g.clone()

    optim.sgd_(params, lr=lr, batch_size=batch_size)

    for w, want in zip(params, expected, strict=True):
        torch.testing.assert_close(w.detach(), want, rtol=1e-14, atol=1e-14)
        assert torch.equal(w.grad, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("whole", ["sum", "mean"])
def test_last_short_batch_is_scaled_by_its_own_length(whole: str) -> None:
    x, y, start = regression(n=7)
    params, expected = as_leaves(start), start

    for inputs, targets in batches.minibatches(x, y, batch_size=4, shuffle=False):
        losses = half_squared_errors(params, inputs, targets)
        if whole == "sum":
            losses.sum().backward()
            optim.sgd_(params, lr=0.1, batch_size=len(targets))
        else:
            losses.mean().backward()
            optim.sgd_(params, lr=0.1)
        gradients = torch.func.grad(mean_loss)(expected, inputs, targets)
        expected = Layer(*(w - 0.1 * g for w, g in zip(expected, gradients, strict=True)))

    for w, want in zip(params, expected, strict=True):
        torch.testing.assert_close(w.detach(), want, rtol=1e-12, atol=1e-12)


def test_mean_loss_and_batch_size_together_divide_twice() -> None:
    x, y, start = regression(n=4)
    right, wrong = as_leaves(start), as_leaves(start)

    for params, batch_size in ((right, 1), (wrong, 4)):
        mean_loss(params, x, y).backward()
        optim.sgd_(params, lr=0.1, batch_size=batch_size)

    for start_w, right_w, wrong_w in zip(start, right, wrong, strict=True):
        torch.testing.assert_close((right_w - start_w).detach(), 4 * (wrong_w - start_w).detach())


def test_nothing_is_changed_if_one_gradient_is_missing() -> None:
    first, second = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    first.grad = torch.ones(2)

    with pytest.raises(ValueError, match=r"^params\[1\] must have a gradient"):
        optim.sgd_([first, second], lr=0.1)

    assert torch.equal(first, torch.ones(2))
    assert torch.equal(first.grad, torch.ones(2))


def test_a_frozen_parameter_is_refused_with_what_to_pass() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    net[0].requires_grad_(False)
    net(torch.ones(2, 3)).sum().backward()

    with pytest.raises(ValueError, match=r"^params\[0\] must have a gradient, got a frozen parameter; pass \[w for"):
        optim.sgd_(net.parameters(), lr=0.1)
    optim.sgd_([w for w in net.parameters() if w.requires_grad], lr=0.1)


def test_gradients_are_cleared_so_that_the_next_backward_does_not_add_to_them() -> None:
    w = torch.tensor([1.0], requires_grad=True)

    for _ in range(2):
        (3 * w).sum().backward()
        optim.sgd_(w, lr=0.5)

    assert w.item() == 1 - 2 * 0.5 * 3


def test_a_tied_parameter_takes_one_step() -> None:
    w = torch.tensor([1.0], requires_grad=True)
    (3 * w).sum().backward()

    optim.sgd_([w, w], lr=0.5)

    assert w.item() == -0.5


def test_it_takes_modules_parameters_mappings_and_nested_parameters() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    twin = copy.deepcopy(net)
    tree = {"first": as_leaves(Layer(torch.ones(2), torch.ones(1))), "rest": [torch.ones(3, requires_grad=True)]}
    trainer = torch.optim.SGD(twin.parameters(), lr=0.5)

    for one in (net, twin):
        one(torch.ones(4, 3)).sum().backward()
    optim.sgd_(net.parameters(), lr=0.5)
    trainer.step()
    sum(w.sum() for w in (*tree["first"], *tree["rest"])).backward()
    optim.sgd_(tree, lr=0.5)

    torch.testing.assert_close(list(net.parameters()), list(twin.parameters()))
    assert all((w == 0.5).all() for w in (*tree["first"], *tree["rest"]))

    layers = [as_leaves(Layer(torch.ones(2), torch.ones(1))) for _ in range(2)]
    sum(w.sum() for layer in layers for w in layer).backward()
    optim.sgd_(layers, lr=0.5)

    assert all((w == 0.5).all() for layer in layers for w in layer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_parameters_of_several_dtypes_step_together(dtype: torch.dtype) -> None:
    params = [torch.ones(2, dtype=dtype, requires_grad=True), torch.ones(3, dtype=torch.float64, requires_grad=True)]
    sum(w.double().sum() for w in params).backward()

    optim.sgd_(params, lr=0.5)

    assert [w.dtype for w in params] == [dtype, torch.float64]
    assert all((w == 0.5).all() for w in params)


def test_a_gradient_with_a_graph_is_read_and_cleared() -> None:
    w = torch.tensor([2.0], requires_grad=True)
    with pytest.warns(UserWarning, match="create_graph"):
        (w**3).sum().backward(create_graph=True)

    optim.sgd_(w, lr=0.25)

    assert w.item() == 2 - 0.25 * 12
    assert w.grad.item() == 0


# sgd_step, pure


def test_sgd_step_writes_to_nothing() -> None:
    params, grads = {"w": torch.ones(2)}, {"w": torch.ones(2)}

    stepped = optim.sgd_step(params, grads, lr=0.5)

    assert torch.equal(params["w"], torch.ones(2))
    assert torch.equal(grads["w"], torch.ones(2))
    assert stepped["w"].data_ptr() != params["w"].data_ptr()


@pytest.mark.held_against("PyTorch", optim.sgd_step)
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_trajectory_of_sgd_step_is_that_of_torch(weight_decay: float) -> None:
    x, y, params = regression()
    theirs = as_leaves(params)
    trainer = torch.optim.SGD(theirs, lr=0.1, weight_decay=weight_decay)

    for _ in range(100):
        params = optim.sgd_step(params, torch.func.grad(mean_loss)(params, x, y), lr=0.1, weight_decay=weight_decay)
        trainer.zero_grad()
        mean_loss(theirs, x, y).backward()
        trainer.step()

    for ours, other in zip(params, theirs, strict=True):
        torch.testing.assert_close(ours, other.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.held_against("PyTorch", optim.sgd_step)
def test_biases_are_left_out_of_weight_decay_as_with_parameter_groups() -> None:
    x, y, params = regression()
    theirs = as_leaves(params)
    trainer = torch.optim.SGD([{"params": theirs.weight, "weight_decay": 0.3}, {"params": theirs.bias}], lr=0.1)

    for _ in range(100):
        grads = torch.func.grad(mean_loss)(params, x, y)
        params = optim.sgd_step(params, grads, lr=0.1, weight_decay=Layer(0.3, 0.0))
        trainer.zero_grad()
        mean_loss(theirs, x, y).backward()
        trainer.step()

    for ours, other in zip(params, theirs, strict=True):
        torch.testing.assert_close(ours, other.detach(), rtol=1e-12, atol=1e-12)


def test_params_keep_their_structure_whatever_it_is() -> None:
    tree = (Layer(torch.ones(2), torch.ones(())), {"a": [torch.ones(1)], "b": ()})

    stepped = optim.sgd_step(tree, tree, lr=1.0)

    assert isinstance(stepped, tuple)
    assert isinstance(stepped[0], Layer)
    assert stepped[1] == {"a": [torch.zeros(1)], "b": ()}


def test_a_mapping_of_gradients_may_have_its_keys_in_another_order() -> None:
    params = {"a": torch.ones(2), "b": torch.ones(3)}
    grads = {"b": torch.zeros(3), "a": torch.ones(2)}

    stepped = optim.sgd_step(params, grads, lr=1.0)

    assert torch.equal(stepped["a"], torch.zeros(2))
    assert torch.equal(stepped["b"], torch.ones(3))


def test_a_step_can_be_differentiated_to_learn_through_it() -> None:
    def after(w: Tensor) -> Tensor:
        return optim.sgd_step(w, torch.func.grad(lambda v: (v**2).sum())(w), lr=0.25).square().sum()

    w = torch.tensor([1.0, -2.0])

    torch.testing.assert_close(torch.func.grad(after)(w), 2 * 0.25 * w)


def test_a_whole_step_compiles_with_its_gradient_and_with_a_rate_that_changes(plain: ModuleType) -> None:
    x, y, params = regression()

    def step(params: Layer, lr: float) -> Layer:
        return plain.optim.sgd_step(params, torch.func.grad(mean_loss)(params, x, y), lr=lr, weight_decay=0.1)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")

    for lr in (0.1, 0.2, 0.4):
        torch.testing.assert_close(tuple(compiled(params, lr)), tuple(step(params, lr)))


# Weight decay


@given(rates, st.floats(0, 2))
def test_weight_decay_is_the_l2_penalty_for_plain_sgd(lr: float, penalty: float) -> None:
    x, y, params = regression()

    def penalized(params: Layer) -> Tensor:
        return mean_loss(params, x, y) + penalty / 2 * sum(w.square().sum() for w in params)

    decayed = optim.sgd_step(params, torch.func.grad(mean_loss)(params, x, y), lr=lr, weight_decay=penalty)
    descended = optim.sgd_step(params, torch.func.grad(penalized)(params), lr=lr)

    torch.testing.assert_close(tuple(decayed), tuple(descended), rtol=1e-12, atol=1e-12)


def test_the_weight_decay_update_holds_with_the_half_in_the_loss_only() -> None:
    x, y, params = regression()
    eta, penalty = 0.1, 0.5
    residuals = x @ params.weight + params.bias - y
    of_the_notes = (1 - eta * penalty) * params.weight - eta / len(y) * x.T @ residuals

    with_half, with_mse = (
        optim.sgd_step(params, torch.func.grad(loss)(params), lr=eta, weight_decay=penalty).weight
        for loss in (
            lambda p: mean_loss(p, x, y),
            lambda p: torch.nn.functional.mse_loss(x @ p.weight + p.bias, y),
        )
    )

    torch.testing.assert_close(with_half, of_the_notes, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(with_mse, of_the_notes - eta / len(y) * x.T @ residuals, rtol=1e-12, atol=1e-12)


def test_with_mse_loss_the_same_weight_decay_is_half_as_strong() -> None:
    x, y, _ = regression(n=20)
    penalty = 0.5
    identity = torch.eye(3, dtype=torch.float64)

    def converge(loss: Any, weight_decay: float) -> Tensor:
        w = torch.zeros(3, dtype=torch.float64)
        for _ in range(400):
            w = optim.sgd_step(w, torch.func.grad(lambda w: loss(x @ w, y))(w), lr=0.1, weight_decay=weight_decay)
        return w

    def ridge(penalty: float) -> Tensor:
        return torch.linalg.solve(x.T @ x / 20 + penalty * identity, x.T @ y / 20)

    half = converge(lambda y_hat, y: ((y_hat - y) ** 2 / 2).mean(), penalty)
    mse = converge(torch.nn.functional.mse_loss, penalty)

    torch.testing.assert_close(half, ridge(penalty), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(mse, ridge(penalty / 2), rtol=1e-10, atol=1e-12)


def trained_by_adam(kind: Any, weight_decay: float, penalty: float) -> Tensor:
    torch.manual_seed(0)
    x, y, params = regression()
    weight = params.weight.clone().requires_grad_()
    trainer = kind([weight], lr=0.1, weight_decay=weight_decay)
    for _ in range(20):
        trainer.zero_grad()
        (((x @ weight - y) ** 2 / 2).mean() + penalty / 2 * weight.square().sum()).backward()
        trainer.step()
    return weight.detach()


def test_in_adam_weight_decay_and_the_l2_penalty_differ() -> None:
    penalized = trained_by_adam(torch.optim.Adam, 0.0, 0.5)
    coupled = trained_by_adam(torch.optim.Adam, 0.5, 0.0)
    decoupled = trained_by_adam(torch.optim.AdamW, 0.5, 0.0)

    torch.testing.assert_close(coupled, penalized, rtol=1e-10, atol=1e-10)
    assert (decoupled - penalized).abs().max() > 0.05


# Extremes


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_shows_in_the_parameters(value: float) -> None:
    stepped = optim.sgd_step(torch.tensor([1.0, 2.0]), torch.tensor([value, 0.0]), lr=0.5)

    assert not stepped[0].isfinite()
    assert stepped[1] == 2


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_steps_scale_at_the_extremes(scale: float) -> None:
    w = torch.tensor([1.0, -2.0]) * scale

    torch.testing.assert_close(optim.sgd_step(w, w, lr=0.5), w / 2, rtol=1e-6, atol=0.0)


# Momentum


@pytest.mark.held_against("PyTorch", optim.momentum_step)
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_trajectory_of_momentum_step_is_that_of_torch(nesterov: bool, weight_decay: float) -> None:
    x, y, params = regression()
    leaves = as_leaves(params)
    optimizer = torch.optim.SGD(leaves, lr=0.1, momentum=0.8, nesterov=nesterov, weight_decay=weight_decay)
    velocity = None

    for _ in range(20):
        grads = torch.func.grad(mean_loss)(params, x, y)
        params, velocity = optim.momentum_step(
            params, grads, velocity, lr=0.1, momentum=0.8, nesterov=nesterov, weight_decay=weight_decay
        )
        optimizer.zero_grad()
        mean_loss(leaves, x, y).backward()
        optimizer.step()

    for ours, theirs in zip(params, leaves, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)


@given(tensors(min_size=3, max_size=3), rates, st.floats(0, 0.9))
def test_constant_gradient_gives_the_geometric_sum_of_velocities(g: Tensor, lr: float, momentum: float) -> None:
    w, velocity = torch.zeros(3, dtype=torch.float64), None

    for _ in range(4):
        w, velocity = optim.momentum_step(w, g, velocity, lr=lr, momentum=momentum)

    powers = [sum(momentum**i for i in range(step + 1)) for step in range(4)]
    torch.testing.assert_close(velocity, g * powers[-1])
    torch.testing.assert_close(w, -lr * g * sum(powers))


def test_momentum_zero_is_the_plain_step() -> None:
    w, g = torch.randn(2, 5, dtype=torch.float64)

    stepped, velocity = optim.momentum_step(w, g, None, lr=0.1, momentum=0.0)

    torch.testing.assert_close(stepped, optim.sgd_step(w, g, lr=0.1))
    assert torch.equal(velocity, g)


def test_polyaks_heavy_ball_differs_from_torchs_when_the_rate_falls() -> None:
    w = polyak = torch.ones(1, dtype=torch.float64)
    g, velocity, change = torch.ones(1, dtype=torch.float64), None, torch.zeros(1, dtype=torch.float64)
    gaps = []

    for lr in (0.5, 0.5, 0.1):
        w, velocity = optim.momentum_step(w, g, velocity, lr=lr, momentum=0.5)
        change = 0.5 * change - lr * g
        polyak = polyak + change
        gaps.append(float(w - polyak))

    assert gaps[:2] == [0, 0]
    assert gaps[2] > 0.1


def test_with_momentum_weight_decay_and_the_l2_penalty_differ() -> None:
    w = torch.ones(1, dtype=torch.float64)
    penalized, velocity, shrunk, plain = w, None, w, None

    for _ in range(3):
        penalized, velocity = optim.momentum_step(penalized, 0 * w, velocity, lr=0.5, momentum=0.5, weight_decay=0.5)
        shrunk, plain = optim.momentum_step(0.75 * shrunk, 0 * w, plain, lr=0.5, momentum=0.5)

    assert not torch.isclose(penalized, shrunk)


# Clipping


@given(tensors(min_size=4, max_size=4), st.floats(0, 2e3))
def test_clipped_gradients_keep_their_direction_and_at_most_the_maximum(g: Tensor, max_norm: float) -> None:
    first, second = optim.clip_gradients([g[:1], g[1:]], max_norm=max_norm)

    clipped = torch.cat([first, second])
    norm = norms.l2_norm(g)
    factor = 1.0 if norm <= max_norm else max_norm / norm
    torch.testing.assert_close(clipped, g * factor, rtol=1e-12, atol=1e-280)


def test_short_gradients_are_left_as_they_are() -> None:
    g = torch.randn(5)

    assert torch.equal(optim.clip_gradients(g, max_norm=1e3), g)
    assert torch.equal(optim.clip_gradients(g, max_norm=math.inf), g)


@pytest.mark.held_against("PyTorch", optim.clip_gradients)
def test_clipping_agrees_with_torch_up_to_its_1e_minus_6() -> None:
    leaves = [torch.zeros(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    for w in leaves:
        w.grad = torch.randn(3, 2, dtype=torch.float64)

    ours = optim.clip_gradients([w.grad for w in leaves], max_norm=0.5)
    torch.nn.utils.clip_grad_norm_(leaves, 0.5)

    for clipped, w in zip(ours, leaves, strict=True):
        torch.testing.assert_close(clipped, w.grad, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1.0])
def test_clipping_neither_overflows_nor_vanishes(scale: float) -> None:
    g = torch.tensor([3.0, 4.0]) * scale

    clipped = optim.clip_gradients(g, max_norm=0.5 * scale)

    torch.testing.assert_close(clipped, torch.tensor([0.3, 0.4]) * scale, rtol=1e-6, atol=0.0)


def test_clipping_of_ten_million_entries_keeps_their_digits() -> None:
    """torch's norm in a single pass is wrong by 2,000 units of rounding here."""
    gradient = torch.rand(10**7, generator=torch.Generator().manual_seed(0))

    (clipped,) = optim.clip_gradients([gradient], max_norm=1.0)

    assert abs(clipped.double().norm().item() - 1) < 5e-7


def test_clipping_to_zero_gives_zeros_and_zeros_stay_zeros() -> None:
    assert torch.equal(optim.clip_gradients(torch.ones(3), max_norm=0.0), torch.zeros(3))
    assert torch.equal(optim.clip_gradients(torch.zeros(3), max_norm=0.0), torch.zeros(3))
    assert optim.clip_gradients({}, max_norm=1.0) == {}
    assert optim.clip_gradients([torch.ones(0)], max_norm=1.0)[0].shape == (0,)


def test_an_infinite_gradient_shows_after_clipping() -> None:
    clipped = optim.clip_gradients(torch.tensor([1.0, math.inf]), max_norm=1.0)

    assert clipped[0] == 0
    assert clipped[1].isnan()
    assert optim.clip_gradients(torch.tensor([1.0, math.nan]), max_norm=1.0).isnan().all()


@pytest.mark.parametrize("rate", [1e-4, 1e-6, 1e-8])
def test_a_small_rate_keeps_its_digits_in_float16(rate: float) -> None:
    w, g = torch.full((9,), 0.25, dtype=torch.float16), torch.full((9,), 3e4, dtype=torch.float16)
    parameter = torch.nn.Parameter(w * 0)
    parameter.grad = g.clone()

    optim.sgd_([parameter], lr=rate)
    velocity = g + 0
    descend_(in_place := [w * 0], [g], [velocity], lr=rate, momentum=0.5, decays=[0.0])
    steps = {
        "sgd_": (parameter.detach(), -rate * 3e4),
        "sgd_step": (optim.sgd_step(w * 0, g, lr=rate), -rate * 3e4),
        "momentum_step": (optim.momentum_step(w * 0, g, None, lr=rate)[0], -rate * 3e4),
        "the velocity": (optim.momentum_step(g, w * 0, None, lr=0.5, weight_decay=rate)[1], rate * 3e4),
        "in place": (in_place[0], -rate * 4.5e4),
        "Adam's mean": (optim.adam_step(g, w * 0, None, lr=0, weight_decay=rate, decoupled=False)[1].m, rate * 3e3),
    }

    for name, (step, expected) in steps.items():
        torch.testing.assert_close(step, torch.full_like(step, expected), rtol=2e-3, atol=6e-8, msg=name)


def test_a_step_in_float16_does_not_overflow_where_its_result_fits() -> None:
    w, g = torch.tensor([6e4], dtype=torch.float16), torch.tensor([4e4], dtype=torch.float16)

    assert optim.sgd_step(w, g, lr=2.0).item() == -2e4


def test_half_precision_gradients_have_their_norm_taken_in_float32() -> None:
    g = torch.full((4096,), 100.0, dtype=torch.float16)  # of norm 6400; the sum of squares is far above 65504

    assert torch.equal(optim.clip_gradients(g, max_norm=3200.0), g / 2)


def test_clipping_refuses_parameters_in_place_of_their_gradients() -> None:
    net = torch.nn.Linear(3, 1)
    net(torch.ones(2, 3)).sum().backward()

    with pytest.raises(
        TypeError, match=r"^grads must be gradients, got parameters; pass \[w\.grad for w in parameters\]$"
    ):
        optim.clip_gradients(list(net.parameters()), max_norm=1.0)
    assert len(optim.clip_gradients([w.grad for w in net.parameters()], max_norm=1.0)) == 2


# The norm


@pytest.mark.held_against("PyTorch", optim.gradient_norm)
@given(tensors(min_size=3, max_size=3), tensors(min_size=2, max_size=2))
def test_the_norm_of_gradients_is_its_formula(g: Tensor, h: Tensor) -> None:
    norm = optim.gradient_norm([g, {"h": h}])

    expected = mp.sqrt(sum(x**2 for x in [*exact(g), *exact(h)]))
    assert abs(mp.mpf(norm.item()) - expected) <= 1e-15 * expected
    torch.testing.assert_close(norm, torch.nn.utils.get_total_norm([g, h]))


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_the_norm_of_gradients_neither_overflows_nor_vanishes(scale: float) -> None:
    norm = optim.gradient_norm([torch.tensor([3.0]) * scale, torch.tensor([[4.0]]) * scale])

    torch.testing.assert_close(norm, torch.tensor(5.0) * scale, rtol=1e-6, atol=0.0)


def test_the_norm_has_the_widest_dtype_and_tells_what_is_not_finite() -> None:
    mixed = [torch.tensor([3.0], dtype=torch.bfloat16), torch.tensor([4.0], dtype=torch.float64)]

    assert torch.equal(optim.gradient_norm(mixed), torch.tensor(5.0, dtype=torch.float64))
    assert optim.gradient_norm(torch.full((2,), 3.0, dtype=torch.float16)).dtype == torch.float16
    assert optim.gradient_norm([]) == 0
    assert optim.gradient_norm(torch.tensor([1.0, math.inf])) == math.inf
    assert optim.gradient_norm(torch.tensor([1.0, math.nan])).isnan()


@given(tensors(min_size=3, max_size=3), st.floats(0.1, 10))
def test_gradients_are_clipped_to_the_smaller_of_norm_and_maximum(g: Tensor, max_norm: float) -> None:
    clipped = optim.clip_gradients(g, max_norm=max_norm)

    assert float(optim.gradient_norm(clipped)) == pytest.approx(min(float(optim.gradient_norm(g)), max_norm), rel=1e-12)


# Adam


@given(tensors(min_size=3, max_size=3), tensors(min_size=6, max_size=6), st.floats(0, 1), st.booleans())
def test_two_steps_of_adam_are_their_formula(w: Tensor, g: Tensor, decay: float, decoupled: bool) -> None:
    options: dict[str, Any] = {"lr": 0.25, "betas": (0.75, 0.5), "weight_decay": decay, "decoupled": decoupled}

    stepped, state = optim.adam_step(w, g[:3], None, **options)
    stepped, state = optim.adam_step(stepped, g[3:], state, **options)

    decay = mp.mpf(decay)
    for i, w_i in enumerate(exact(w)):
        m = v = mp.mpf(0)
        for t in (1, 2):
            gradient = exact(g)[3 * (t - 1) + i] + (0 if decoupled else decay * w_i)
            m, v = m * 3 / 4 + gradient / 4, v / 2 + gradient**2 / 2
            root = mp.sqrt(v / (1 - mp.mpf(0.5) ** t)) + mp.mpf(1e-8)
            w_i = (1 - (decay / 4 if decoupled else 0)) * w_i - m / (1 - mp.mpf(0.75) ** t) / root / 4  # noqa: PLW2901
        assert abs(mp.mpf(stepped[i].item()) - w_i) <= 1e-13 * (1 + abs(w_i))


@pytest.mark.held_against("PyTorch", optim.adam_step)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("decoupled", [True, False])
def test_adam_agrees_with_torch(dtype: torch.dtype, weight_decay: float, *, decoupled: bool) -> None:
    make = torch.optim.AdamW if decoupled else torch.optim.Adam
    params: list[Tensor] = [torch.randn(3, 2, dtype=dtype), torch.randn(2, dtype=dtype)]
    theirs = [w.clone().requires_grad_() for w in params]
    optimizer = make(theirs, lr=0.1, weight_decay=weight_decay, foreach=False)
    state = None

    for _ in range(20):
        grads = [torch.randn_like(w) for w in params]
        params, state = optim.adam_step(params, grads, state, lr=0.1, weight_decay=weight_decay, decoupled=decoupled)
        for w, g in zip(theirs, grads, strict=True):
            w.grad = g.clone()
        optimizer.step()

    for ours, w in zip(params, theirs, strict=True):
        torch.testing.assert_close(ours, w.detach(), rtol=8 * torch.finfo(dtype).eps, atol=8 * torch.finfo(dtype).eps)
    assert state is not None
    assert state.t == 20


def test_the_two_kinds_of_weight_decay_differ_where_gradients_differ() -> None:
    w, g = torch.tensor([1.0, 1.0]), torch.tensor([100.0, 0.01])

    def decay_of(*, decoupled: bool) -> Tensor:
        with_decay, without = (
            optim.adam_step(w, g, None, lr=0.1, weight_decay=decay, decoupled=decoupled)[0] for decay in (0.1, 0.0)
        )
        return without - with_decay

    torch.testing.assert_close(decay_of(decoupled=True), torch.tensor([0.01, 0.01]), rtol=1e-4, atol=0.0)
    assert decay_of(decoupled=False).abs().max() < 1e-3


def test_a_step_of_adam_has_a_gradient_where_the_gradient_is_zero() -> None:
    w, g = torch.zeros(2, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)

    stepped, _ = optim.adam_step(w, g, None, lr=0.5, eps=0.25)
    (slope,) = torch.autograd.grad(stepped.sum(), g)

    # of −η g / (|g| + ε): −η ε / (|g| + ε)²
    torch.testing.assert_close(slope, torch.tensor([-2.0, -0.125 / 1.25**2], dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e15, 1e-15])
def test_the_first_step_of_adam_is_the_rate_at_any_scale(scale: float) -> None:
    g = torch.tensor([3.0, -4.0]) * scale

    stepped, _ = optim.adam_step(torch.zeros(2), g, None, lr=0.5, eps=0.0)

    torch.testing.assert_close(stepped, torch.tensor([-0.5, 0.5]), rtol=1e-6, atol=0.0)
    assert torch.equal(optim.adam_step(torch.zeros(2), torch.zeros(2), None, lr=0.5, eps=0.0)[0], torch.zeros(2))


def test_steps_of_adam_compile_without_a_break_as_they_are_counted(plain: ModuleType) -> None:
    torch.compiler.reset()
    compiled = torch.compile(partial(plain.optim.adam_step, lr=0.1), fullgraph=True, backend="aot_eager")
    w, state = torch.ones(3), None
    expected, expected_state = w, None

    for _ in range(4):
        w, state = compiled(w, 2 * w, state)
        expected, expected_state = optim.adam_step(expected, 2 * expected, expected_state, lr=0.1)

    torch.testing.assert_close(w, expected)


def test_a_state_of_adam_is_loaded_in_the_safe_mode() -> None:
    _, state = optim.adam_step({"w": torch.ones(2)}, {"w": torch.ones(2)}, None, lr=0.1)
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)

    loaded = torch.load(file, weights_only=True)

    assert isinstance(loaded, optim.AdamState)
    assert loaded.t == 1
    assert torch.equal(loaded.v["w"], state.v["w"])


# Schedules


@pytest.mark.held_against("PyTorch", optim.cosine_schedule)
def test_cosine_schedule_agrees_with_torch() -> None:
    schedule = optim.cosine_schedule(0.5, n_steps=10, final_lr=0.1)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.1)

    for step in range(11):
        assert schedule(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.held_against("PyTorch", optim.constant_schedule, optim.warmup_schedule)
def test_warmup_agrees_with_torch() -> None:
    schedule = optim.warmup_schedule(optim.constant_schedule(0.5), n_steps=4)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 5, total_iters=4)

    for step in range(8):
        assert schedule(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        theirs.step()


def test_a_schedule_never_rises_after_its_warmup() -> None:
    schedule = optim.warmup_schedule(optim.cosine_schedule(1.0, n_steps=20), n_steps=5)
    rates = [schedule(step) for step in range(40)]

    assert rates[:6] == sorted(rates[:6])
    assert rates[5] == max(rates) == 1
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[25:] == [0.0] * 15


def test_warmup_to_a_constant_rate_rises_in_equal_steps() -> None:
    schedule = optim.warmup_schedule(1.0, n_steps=3)

    assert [schedule(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_warmup_of_no_steps_changes_nothing() -> None:
    assert [optim.warmup_schedule(0.3, n_steps=0)(step) for step in range(3)] == [0.3] * 3


@pytest.mark.parametrize(
    "make",
    [
        lambda optim: optim.constant_schedule(1.0),
        lambda optim: optim.cosine_schedule(1.0, n_steps=3),
        lambda optim: optim.warmup_schedule(optim.constant_schedule(1.0), n_steps=3),
    ],
)
def test_a_step_before_the_first_is_refused(make: Any, plain: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"^step must be >= 0, got -1$"):
        make(plain.optim)(-1)
