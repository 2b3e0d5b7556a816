"""Training against the pure steps, torch's optimizer and exact solutions, and where it stops, resumes and repeats."""

import copy
import io
import math
import sys
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from sklearn import datasets
from torch import Generator, Tensor
from torch.utils.data import DataLoader, TensorDataset

from dlcore import activations, batches, linear, optim, training
from dlcore.linear import LinearParams
from tests.oracle import exact, tensors


def seeded(seed: int = 1) -> Generator:
    return Generator().manual_seed(seed)


def line_loss(params: LinearParams, x: Tensor, y: Tensor) -> Tensor:
    return (linear.linear(x, *params) - y) ** 2 / 2


def network_loss(params: tuple[LinearParams, ...], x: Tensor, labels: Tensor) -> Tensor:
    for layer in params[:-1]:
        x = linear.linear(x, *layer).relu()
    log_probabilities = activations.log_softmax(linear.linear(x, *params[-1]))
    return -log_probabilities.gather(1, labels[:, None])[:, 0]


def line_data(n: int = 23, d: int = 3) -> tuple[LinearParams, Tensor, Tensor]:
    x, y = torch.randn(n, d, dtype=torch.float64), torch.randn(n, dtype=torch.float64)
    return LinearParams(torch.randn(d, dtype=torch.float64), torch.randn((), dtype=torch.float64)), x, y


# The step is the formula's


@pytest.mark.held_against("50 digits", training.fit)
@given(tensors(min_size=4, max_size=4, largest=10.0), tensors(min_size=4, max_size=4, largest=10.0), st.floats(0, 2))
def test_one_weighted_step_is_its_formula(x: Tensor, y: Tensor, decay: float) -> None:
    w, weights = torch.tensor(0.75, dtype=torch.float64), torch.tensor([0.5, 2.0, 0.0, 1.0], dtype=torch.float64)

    history = training.fit(
        lambda w, x, y: (w * x - y) ** 2 / 2,
        w,
        (x, y),
        epochs=1,
        batch_size=4,
        lr=0.1,
        weight_decay=decay,
        weights=weights,
    )

    rows = list(zip(exact(x), exact(y), exact(weights), strict=True))
    gradient = sum(beta * (mp.mpf(0.75) * a - b) * a for a, b, beta in rows) / 4
    expected = mp.mpf(0.75) - mp.mpf(0.1) * (gradient + mp.mpf(decay) * mp.mpf(0.75))
    loss = sum(beta * (mp.mpf(0.75) * a - b) ** 2 / 2 for a, b, beta in rows) / 4
    assert abs(mp.mpf(history.params.item()) - expected) < 1e-12
    assert abs(mp.mpf(history.train_loss[0]) - loss) < 1e-12


@pytest.mark.parametrize("weight_decay", [0.0, 0.3, LinearParams(0.3, 0.0)])
def test_a_run_is_the_loop_of_pure_steps_over_minibatches(weight_decay: Any) -> None:
    start, x, y = line_data()

    history = training.fit(
        line_loss, start, (x, y), epochs=3, batch_size=5, lr=0.1, weight_decay=weight_decay, generator=seeded()
    )

    params, generator = start, seeded()
    for _ in range(3):
        for rows in batches.minibatches(x, y, batch_size=5, generator=generator):
            grads = torch.func.grad(lambda params, *rows: line_loss(params, *rows).mean())(params, *rows)
            params = optim.sgd_step(params, grads, lr=0.1, weight_decay=weight_decay)
    assert isinstance(history.params, LinearParams)
    torch.testing.assert_close(history.params, params, rtol=1e-12, atol=1e-12)


@pytest.mark.held_against("PyTorch", training.fit)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_a_run_is_that_of_torch_with_the_same_batches(momentum: float, weight_decay: float) -> None:
    start, x, y = line_data()

    history = training.fit(
        line_loss,
        start,
        (x, y),
        epochs=3,
        batch_size=5,
        lr=0.05,
        momentum=momentum,
        weight_decay=weight_decay,
        generator=seeded(),
    )

    params, generator = LinearParams(*(w.clone().requires_grad_() for w in start)), seeded()
    optimizer = torch.optim.SGD(params, lr=0.05, momentum=momentum, weight_decay=weight_decay)
    for _ in range(3):
        for rows in batches.minibatches(x, y, batch_size=5, generator=generator):
            optimizer.zero_grad()
            line_loss(params, *rows).mean().backward()
            optimizer.step()
    torch.testing.assert_close(history.params, LinearParams(*(w.detach() for w in params)), rtol=1e-12, atol=1e-12)


def test_a_run_is_the_loop_of_pure_momentum_steps() -> None:
    start, x, y = line_data()

    history = training.fit(
        line_loss, start, (x, y), epochs=2, batch_size=8, lr=0.1, momentum=0.8, weight_decay=0.2, shuffle=False
    )

    params, velocity = start, None
    for _ in range(2):
        for rows in batches.minibatches(x, y, batch_size=8, shuffle=False):
            grads = torch.func.grad(lambda params, *rows: line_loss(params, *rows).mean())(params, *rows)
            params, velocity = optim.momentum_step(params, grads, velocity, lr=0.1, momentum=0.8, weight_decay=0.2)
    torch.testing.assert_close(history.params, params, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("params", [torch.zeros(3), [torch.zeros(3)], {"line": (torch.zeros(3),)}])
def test_parameters_keep_their_structure(params: Any) -> None:
    def loss(params: Any, x: Tensor) -> Tensor:
        (w,) = torch.utils._pytree.tree_leaves(params)
        return x @ w

    history = training.fit(loss, params, torch.ones(4, 3), epochs=1, batch_size=4, lr=0.5)

    assert torch.utils._pytree.tree_structure(history.params) == torch.utils._pytree.tree_structure(params)
    assert torch.equal(torch.utils._pytree.tree_leaves(history.params)[0], torch.full((3,), -0.5))


# Means, weights and short batches


def test_a_short_last_batch_is_averaged_over_its_own_rows() -> None:
    x = torch.tensor([1.0, 1.0, 4.0])

    history = training.fit(lambda w, x: w * x, torch.tensor(0.0), x, epochs=1, batch_size=2, lr=1.0, shuffle=False)

    assert history.params == -5  # 1 for the first batch, 4 and not 2 for the second


def test_train_loss_is_the_mean_over_rows_not_over_batches() -> None:
    x = torch.tensor([1.0, 1.0, 4.0])

    history = training.fit(lambda w, x: w * 0 + x, torch.tensor(0.0), x, epochs=2, batch_size=2, lr=0.0, shuffle=False)

    assert history.train_loss == [2.0, 2.0]


def test_whole_weights_count_an_example_as_often() -> None:
    start, x, y = line_data(n=6)
    counts = torch.tensor([0, 1, 2, 3, 0, 4])

    weighted = training.fit(
        line_loss, start, (x, y), epochs=5, batch_size=6, lr=0.1, weights=counts * 6 / counts.sum().double()
    )
    repeated = training.fit(
        line_loss,
        start,
        (x.repeat_interleave(counts, 0), y.repeat_interleave(counts)),
        epochs=5,
        batch_size=10,
        lr=0.1,
    )

    torch.testing.assert_close(weighted.params, repeated.params)
    assert weighted.train_loss == pytest.approx(repeated.train_loss)


def test_weights_follow_their_rows_through_the_shuffle() -> None:
    x, weights = torch.eye(6), torch.arange(6.0)

    history = training.fit(
        lambda w, x: x @ w, torch.zeros(6), x, epochs=1, batch_size=4, lr=1.0, weights=weights, generator=seeded()
    )

    (first, *_), *_ = batches.minibatches(torch.arange(6), batch_size=4, generator=seeded())
    sizes = torch.full((6,), 2.0).index_fill(0, first, 4.0)
    torch.testing.assert_close(history.params, -weights / sizes)


def test_training_comes_to_the_exact_ridge_solution() -> None:
    start, x, y = line_data()

    history = training.fit(
        line_loss, start, (x, y), epochs=2000, batch_size=23, lr=0.3, weight_decay=LinearParams(0.1, 0.0)
    )

    expected = linear.ridge(x, y, penalty=0.1 * 23)  # the mean over 23 rows against the sum
    torch.testing.assert_close(history.params, expected, rtol=1e-10, atol=1e-10)


def test_weighted_training_comes_to_the_exact_weighted_solution() -> None:
    start, x, y = line_data()
    weights = torch.rand(23, dtype=torch.float64) + 0.5

    history = training.fit(line_loss, start, (x, y), epochs=2000, batch_size=23, lr=0.3, weights=weights)

    expected = linear.least_squares(x, y, weights=weights)
    torch.testing.assert_close(history.params, expected, rtol=1e-10, atol=1e-10)


# The record


def test_validation_loss_is_measured_at_the_end_of_each_epoch() -> None:
    start, x, y = line_data()
    held_out = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, dtype=torch.float64)

    one = training.fit(line_loss, start, (x, y), epochs=1, batch_size=5, lr=0.1, shuffle=False)
    two = training.fit(line_loss, start, (x, y), epochs=2, batch_size=5, lr=0.1, shuffle=False, validation=held_out)

    assert len(two.train_loss) == len(two.validation_loss) == 2
    assert two.validation_loss[0] == pytest.approx(line_loss(one.params, *held_out).mean().item())
    assert two.validation_loss[1] == pytest.approx(line_loss(two.params, *held_out).mean().item())
    assert one.validation_loss == []


def test_history_plots_in_one_line() -> None:
    axes = pytest.importorskip("matplotlib.figure").Figure().subplots()
    start, x, y = line_data()
    history = training.fit(line_loss, start, (x, y), epochs=3, batch_size=5, lr=0.1)

    (curve,) = axes.plot(history.train_loss)

    assert list(curve.get_ydata()) == history.train_loss


def test_nothing_that_is_given_is_changed() -> None:
    start, x, y = line_data()
    start = LinearParams(start.weight.requires_grad_(), start.bias)
    weights = torch.ones(23, dtype=torch.float64)
    given = [start.weight, start.bias, x, y, weights]
    before = [part.detach().clone() for part in given]

    history = training.fit(line_loss, start, (x, y), epochs=2, batch_size=5, lr=0.1, momentum=0.9, weights=weights)
    history.params.weight.zero_()

    assert all(map(torch.equal, given, before))
    assert start.weight.grad is None
    assert not history.params.weight.requires_grad


def test_resuming_does_not_change_the_state_that_it_resumes() -> None:
    start, x, y = line_data()
    options: dict[str, Any] = {"epochs": 2, "batch_size": 5, "lr": 0.1, "momentum": 0.9}
    state = training.fit(line_loss, start, (x, y), **options).state
    kept = copy.deepcopy(state)

    training.fit(line_loss, start, (x, y), **options, resume=state)

    assert state["train_loss"] == kept["train_loss"]
    assert all(map(torch.equal, [*state["params"], *state["velocity"]], [*kept["params"], *kept["velocity"]]))


def test_no_epoch_leaves_the_parameters() -> None:
    start, x, y = line_data()

    history = training.fit(line_loss, start, (x, y), epochs=0, batch_size=5, lr=0.1)

    assert torch.equal(history.params.weight, start.weight)
    assert history.train_loss == []


def test_a_run_inside_no_grad_trains_all_the_same() -> None:
    start, x, y = line_data()

    with torch.no_grad():
        history = training.fit(line_loss, start, (x, y), epochs=2, batch_size=23, lr=0.1)

    assert history.train_loss[1] < history.train_loss[0]


def test_a_parameter_that_the_loss_does_not_use_only_decays() -> None:
    history = training.fit(
        lambda params, x: params[0] * x,
        [torch.tensor(0.0), torch.tensor(8.0)],
        torch.ones(2),
        epochs=2,
        batch_size=2,
        lr=0.5,
        weight_decay=1.0,
    )

    assert history.params[1] == 2


def test_numpy_arrays_are_welcome() -> None:
    start, x, y = line_data()

    from_numpy = training.fit(
        line_loss, start, [x.numpy(), y.numpy()], epochs=1, batch_size=5, lr=0.1, shuffle=False, validation=(x, y)
    )
    from_torch = training.fit(line_loss, start, (x, y), epochs=1, batch_size=5, lr=0.1, shuffle=False)

    torch.testing.assert_close(from_numpy.params.weight, from_torch.params.weight)


# Chance and continuation


def a_run(epochs: int, seed: int | None = 1, **options: Any) -> training.History:
    start, x, y = line_data()
    generator = None if seed is None else seeded(seed)
    return training.fit(
        line_loss,
        start,
        (x, y),
        validation=(x, y),
        epochs=epochs,
        batch_size=5,
        lr=lambda step: 0.1 / (1 + step),
        momentum=0.9,
        generator=generator,
        **options,
    )


def same_bits(first: training.History, second: training.History) -> bool:
    return all(map(torch.equal, first.params, second.params)) and first.state["train_loss"] == second.train_loss


def test_a_generator_repeats_a_run_to_the_bit_and_leaves_the_global_state_alone() -> None:
    torch.manual_seed(0)
    first = a_run(3)
    after_data = torch.get_rng_state()
    torch.manual_seed(0)
    line_data()
    without_training = torch.get_rng_state()
    torch.manual_seed(0)

    second = a_run(3)

    assert same_bits(first, second)
    assert torch.equal(after_data, without_training)
    torch.manual_seed(0)
    assert not same_bits(first, a_run(3, seed=2))


def test_ten_epochs_are_four_and_six_to_the_bit(tmp_path: Any) -> None:
    torch.manual_seed(0)
    whole = a_run(10)
    torch.manual_seed(0)
    torch.save(a_run(4).state, tmp_path / "state.pt")
    torch.manual_seed(0)

    continued = a_run(6, seed=99, resume=torch.load(tmp_path / "state.pt"))

    assert same_bits(whole, continued)
    assert len(continued.train_loss) == 10
    assert continued.validation_loss == whole.validation_loss
    assert continued.state["step"] == whole.state["step"] == 50
    assert torch.equal(continued.state["generator"], whole.state["generator"])


def test_a_run_without_a_generator_resumes_with_or_without_one() -> None:
    state = a_run(1, seed=None).state

    assert len(a_run(1, seed=None, resume=state).train_loss) == 2
    assert len(a_run(1, seed=3, resume=state).train_loss) == 2


def test_a_schedule_is_asked_for_every_step_and_goes_on_where_it_stopped() -> None:
    asked: list[int] = []

    def schedule(step: int) -> float:
        asked.append(step)
        return 0.1

    def run(**options: Any) -> training.History:
        return training.fit(
            lambda w, x: w * x, torch.tensor(0.0), torch.ones(5), epochs=2, batch_size=2, lr=schedule, **options
        )

    run(resume=run().state)

    assert asked == list(range(12))


def test_momentum_may_begin_or_end_where_a_run_resumes() -> None:
    def run(momentum: float, **options: Any) -> training.History:
        return training.fit(
            lambda w, x: w * x,
            torch.tensor(0.0),
            torch.ones(2),
            epochs=1,
            batch_size=1,
            lr=1.0,
            momentum=momentum,
            **options,
        )

    plain, heavy = run(0.0), run(0.5)

    assert plain.params == -2
    assert heavy.params == -2.5
    assert run(0.5, resume=plain.state).params == -4.5
    assert run(0.0, resume=heavy.state).params == -4.5


# Where the loss is no longer a number


def test_divergence_names_epoch_and_batch_and_keeps_the_last_good_parameters() -> None:
    x = torch.ones(4)

    def loss(w: Tensor, x: Tensor) -> Tensor:
        return (w - x) ** 2

    with pytest.raises(training.DivergenceError) as caught:
        training.fit(loss, torch.tensor(0.0), x, epochs=50, batch_size=2, lr=1e8)

    error = caught.value
    assert str(error) == "loss must be finite, got inf at epoch 1, batch 1"
    assert (error.epoch, error.batch) == (1, 1)
    assert len(error.history.train_loss) == 1
    assert loss(error.history.params, x).isfinite().all()
    after = training.fit(loss, torch.tensor(0.0), x, epochs=1, batch_size=2, lr=1e8)
    assert error.history.params == after.params  # two good steps; after the third the loss overflows


def test_a_row_that_is_not_a_number_is_found_in_its_batch() -> None:
    x = torch.ones(10)
    x[7] = math.nan

    with pytest.raises(training.DivergenceError, match=r"^loss must be finite, got nan at epoch 0, batch 3$") as caught:
        training.fit(lambda w, x: w * x, torch.tensor(0.0), x, epochs=5, batch_size=2, lr=1.0, shuffle=False)

    assert caught.value.history.params == -2  # the loss was last finite on batch 2, after two steps


def test_a_diverged_run_resumes_from_its_last_good_parameters_with_a_smaller_step() -> None:
    start, x, y = line_data()
    options: dict[str, Any] = {"batch_size": 5, "generator": seeded()}

    with pytest.raises(training.DivergenceError) as caught:
        training.fit(line_loss, start, (x, y), epochs=500, lr=2.0, **options)
    failed = caught.value.history
    resumed = training.fit(line_loss, start, (x, y), epochs=20, lr=0.01, resume=failed.state, **options)

    assert len(resumed.train_loss) == len(failed.train_loss) + 20
    assert resumed.train_loss[-1] < resumed.train_loss[len(failed.train_loss)]


def test_the_last_step_of_a_run_is_looked_at_too() -> None:
    def loss(w: Tensor, x: Tensor) -> Tensor:
        return (w * x).sqrt()  # finite at 0, where its slope is not

    with pytest.raises(
        training.DivergenceError, match=r"^params must be finite, got -inf at epoch 0, batch 0$"
    ) as caught:
        training.fit(loss, torch.tensor(0.0), torch.ones(2), epochs=1, batch_size=2, lr=1.0)

    assert caught.value.history.params == 0
    assert caught.value.history.train_loss == []


def test_a_parameter_that_was_infinite_from_the_start_may_stay_so() -> None:
    history = training.fit(
        lambda w, x: x * w[0], torch.tensor([0.0, -math.inf]), torch.ones(2), epochs=1, batch_size=2, lr=0.5
    )

    assert torch.equal(history.params, torch.tensor([-0.5, -math.inf]))


def test_the_error_is_a_floating_point_error_and_can_be_pickled() -> None:
    with pytest.raises(FloatingPointError) as caught:
        training.fit(lambda w, x: w * x, torch.tensor(0.0), torch.full((2,), math.nan), epochs=1, batch_size=2, lr=1.0)

    twin = copy.deepcopy(caught.value)  # by the way of pickle

    assert str(twin) == str(caught.value)
    assert twin.history.params == caught.value.history.params == 0


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_losses_at_the_extremes_are_learned_from(scale: float) -> None:
    history = training.fit(
        lambda w, x: w * x, torch.tensor(0.0), torch.full((4,), scale), epochs=1, batch_size=4, lr=1.0
    )

    torch.testing.assert_close(history.params, torch.tensor(-scale), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half_precision(dtype: torch.dtype) -> None:
    history = training.fit(
        lambda w, x: (w - x) ** 2 / 2,
        torch.zeros(3, dtype=dtype).sum(),
        torch.ones(8, dtype=dtype),
        epochs=3,
        batch_size=8,
        lr=0.5,
        momentum=0.5,
        weight_decay=0.5,
    )

    assert history.params.dtype == dtype


# As PyTorch code is written


def squared_error(w: Tensor, x: Tensor) -> Tensor:
    return (w - x) ** 2 / 2


def train(loss: Any, params: Any, data: Any, **options: Any) -> training.History:
    return training.fit(loss, params, data, **({"epochs": 1, "batch_size": 2, "lr": 0.5, "shuffle": False} | options))


def test_a_row_of_weight_zero_may_have_any_loss() -> None:
    x, weights = torch.tensor([1.0, math.inf, math.nan, 3.0, math.nan, math.inf]), torch.tensor([1.0, 0, 0, 2, 0, 0])

    history = train(squared_error, torch.tensor(0.0), x, weights=weights)

    assert history.params == 0.25 + 0.5 * 2.75  # the gradients are -1/2 and -2.75; nothing comes from the last batch
    assert history.train_loss[0] == pytest.approx((0.5 + 2.75**2) / 6)


def test_a_weight_of_zero_leaves_the_length_of_the_batch_as_it_is() -> None:
    weights, x = torch.tensor([1.0, 0.0]), torch.ones(2)

    assert train(lambda w, x: w * x, torch.tensor(0.0), x, weights=weights, lr=1.0).params == -0.5


@pytest.mark.parametrize("integer", [np.int64, np.int32])
def test_numpy_integers_count_epochs_and_batches(integer: Any, plain: ModuleType) -> None:
    options = {"epochs": integer(2), "batch_size": integer(2), "lr": 0.5, "shuffle": False}

    history = plain.training.fit(squared_error, torch.tensor(0.0), torch.ones(4), **options)

    assert history.params == train(squared_error, torch.tensor(0.0), torch.ones(4), epochs=2).params


def test_a_loss_that_closes_over_a_module_is_refused() -> None:
    net = torch.nn.Linear(3, 1)

    with pytest.raises(ValueError, match=r"^loss must depend on params, got one that .*functional_call"):
        train(lambda _, x: net(x)[:, 0], list(net.parameters()), torch.ones(4, 3))


def test_a_module_is_trained_through_functional_call() -> None:
    net, x = torch.nn.Linear(3, 1), torch.randn(8, 3)
    before = {name: w.detach().clone() for name, w in net.named_parameters()}

    def loss(params: dict[str, Tensor], x: Tensor) -> Tensor:
        return (torch.func.functional_call(net, params, x)[:, 0] - 1) ** 2

    history = train(loss, dict(net.named_parameters()), x, epochs=20, batch_size=8, lr=0.1)

    assert history.train_loss[-1] < history.train_loss[0]
    assert all(map(torch.equal, net.parameters(), before.values()))


def test_a_run_inside_autocast_learns() -> None:
    x = torch.randn(32, 3)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        history = train(
            lambda w, x: ((x @ w).float()[:, 0] - 1) ** 2, torch.zeros(3, 1), torch.cat([x, x]), epochs=5, batch_size=64
        )

    assert all(after < before for before, after in pairwise(history.train_loss))


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_frozen_parameter_stays(momentum: float) -> None:
    params = {"frozen": torch.tensor(2.0), "free": torch.tensor(2.0, requires_grad=True)}
    options: dict[str, Any] = {"weight_decay": 0.1, "momentum": momentum}

    def loss(params: dict[str, Tensor], x: Tensor) -> Tensor:
        return (params["frozen"] * params["free"] - x) ** 2

    first = train(loss, params, torch.ones(4), lr=0.01, **options)
    second = train(loss, params, torch.ones(4), lr=0.01, resume=first, **options)

    assert first.params["frozen"] == second.params["frozen"] == 2
    assert first.params["free"] != 2
    assert second.params["free"] != first.params["free"]


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_tied_parameters_stay_tied(momentum: float) -> None:
    w = torch.tensor(1.0)
    tied: list[Tensor] = [w, w]
    options: dict[str, Any] = {"epochs": 2, "lr": 0.1, "momentum": momentum}

    history = train(lambda params, x: params[0] * params[1] * x, tied, torch.ones(4), **options)
    once = train(lambda w, x: w * w * x, w, torch.ones(4), **options)
    resumed = train(lambda params, x: params[0] * params[1] * x, tied, torch.ones(4), resume=history.state, **options)

    assert history.params[0] is history.params[1]
    assert history.params[0] == once.params
    assert resumed.params[0] is resumed.params[1]


def test_a_history_resumes_as_its_state_does() -> None:
    history = train(squared_error, torch.tensor(0.0), torch.ones(4))

    by_history = train(squared_error, torch.tensor(0.0), torch.ones(4), resume=history)

    assert by_history.params == train(squared_error, torch.tensor(0.0), torch.ones(4), resume=history.state).params


@pytest.mark.parametrize(("rate", "message"), [(-0.1, "got -0.1"), (math.nan, "got nan"), (math.inf, "got inf")])
def test_a_schedule_that_returns_no_rate_is_refused_at_its_step(rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^lr\(1\) must be >= 0 and finite, {message}$"):
        train(squared_error, torch.tensor(0.0), torch.ones(4), lr=lambda step: rate if step else 0.1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"x": torch.ones(3)}, r"got dict; pass tuple\(data\.values\(\)\)$"),
        (TensorDataset(torch.ones(3)), r"got TensorDataset; pass the tensors of the data set, such as \(x, y\)$"),
        (DataLoader(TensorDataset(torch.ones(3))), r"got DataLoader; pass the tensors of the data set, such as"),
    ],
)
def test_a_data_set_is_refused_with_what_to_pass(data: Any, message: str, plain: ModuleType) -> None:
    with pytest.raises(TypeError, match=f"^data must be a tensor, an array or a sequence of them, {message}"):
        plain.training.fit(squared_error, torch.tensor(0.0), data, epochs=1, batch_size=2, lr=0.1)


# Progress


@pytest.mark.parametrize("progress", [None, False])
def test_no_bar_where_asked_or_where_there_is_no_terminal(
    progress: bool | None, capfd: pytest.CaptureFixture[str]
) -> None:
    training.fit(
        lambda w, x: w * x, torch.tensor(0.0), torch.ones(4), epochs=3, batch_size=2, lr=0.1, progress=progress
    )

    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("progress", "shown"), [(None, True), (True, True), (False, False)])
def test_a_terminal_shows_a_bar_that_counts_batches(
    progress: bool | None, *, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    training.fit(
        lambda w, x: w * x, torch.tensor(0.0), torch.ones(5), epochs=3, batch_size=2, lr=0.1, progress=progress
    )

    assert ("9/9" in terminal.getvalue() and "loss=" in terminal.getvalue()) == shown


def test_the_bar_ends_where_the_run_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    with pytest.raises(training.DivergenceError):
        training.fit(lambda w, x: w * x, torch.tensor(0.0), torch.full((2,), math.nan), epochs=1, batch_size=1, lr=1.0)

    assert terminal.getvalue().endswith("\n")


# Real data


def digits() -> tuple[Tensor, Tensor]:
    x, labels = datasets.load_digits(return_X_y=True)
    return torch.from_numpy(x / 16).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("sizes", [(64, 10), (64, 128, 10)])
def test_digits_are_learned(sizes: tuple[int, ...]) -> None:
    x, labels = digits()
    order = torch.randperm(len(x), generator=seeded())
    x, labels = x[order], labels[order]
    params = tuple(
        LinearParams(torch.randn(n_in, n_out, generator=seeded()) / math.sqrt(n_in), torch.zeros(n_out))
        for n_in, n_out in pairwise(sizes)
    )

    history = training.fit(
        network_loss,
        params,
        (x[:1437], labels[:1437]),
        validation=(x[1437:], labels[1437:]),
        epochs=15,
        batch_size=32,
        lr=0.5,
        generator=seeded(),
    )

    outputs = x[1437:]
    for layer in history.params[:-1]:
        outputs = linear.linear(outputs, *layer).relu()
    accuracy = (linear.linear(outputs, *history.params[-1]).argmax(1) == labels[1437:]).double().mean()
    assert accuracy > 0.94
    assert history.validation_loss[-1] < history.validation_loss[0] / 2
    assert isinstance(np.asarray(history.train_loss), np.ndarray)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_mean_of_many_losses_keeps_its_digits(dtype: torch.dtype) -> None:
    x = torch.full((100_003,), 0.1, dtype=dtype)

    history = training.fit(lambda w, x: w * x, torch.ones((), dtype=dtype), x, epochs=1, batch_size=len(x), lr=0.0)

    assert history.train_loss[0] == pytest.approx(float(x[0]), rel=2e-7)
