"""Training against the pure steps, torch's optimizer and exact solutions, and where it stops, resumes and repeats."""

import copy
import inspect
import io
import itertools
import math
import sys
from collections import UserDict
from collections.abc import Iterator, Sequence
from functools import partial
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
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from dlcore import activations, batches, linear, optim, regularization, training
from dlcore.linear import LinearParams
from tests.oracle import exact, tensors

W = torch.tensor(0.0)


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


@pytest.mark.held_against("PyTorch", training.fit, training.epochs)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_a_run_is_that_of_torch_with_the_same_batches(momentum: float, weight_decay: float) -> None:
    start, x, y = line_data()
    options: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 5,
        "lr": 0.05,
        "momentum": momentum,
        "weight_decay": weight_decay,
    }

    history = training.fit(line_loss, start, (x, y), **options, generator=seeded())
    epochs = training.epochs(line_loss, start, (x, y), **options, generator=seeded())

    params, generator = LinearParams(*(w.clone().requires_grad_() for w in start)), seeded()
    optimizer = torch.optim.SGD(params, lr=0.05, momentum=momentum, weight_decay=weight_decay)
    for _ in range(3):
        for rows in batches.minibatches(x, y, batch_size=5, generator=generator):
            optimizer.zero_grad()
            line_loss(params, *rows).mean().backward()
            optimizer.step()
        found, expected = next(epochs).params, LinearParams(*(w.detach() for w in params))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
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
    assert all(map(torch.equal, [*state["params"], *state["optimizer"]], [*kept["params"], *kept["optimizer"]]))


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


def test_a_history_is_loaded_in_the_safe_mode(tmp_path: Any) -> None:
    history = a_run(2)
    torch.save(history, tmp_path / "history.pt")

    loaded = torch.load(tmp_path / "history.pt", weights_only=True)

    assert isinstance(loaded, training.History)
    assert isinstance(loaded.params, LinearParams)
    assert same_bits(loaded, history)
    assert all(map(torch.equal, loaded.state["optimizer"], history.state["optimizer"]))


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

    with pytest.raises(training.DivergenceError, match=r"^loss must be finite, .* batch 3, row 7$") as caught:
        training.fit(lambda w, x: w * x, torch.tensor(0.0), x, epochs=5, batch_size=2, lr=1.0, shuffle=False)

    assert caught.value.history.params == -2  # the loss was last finite on batch 2, after two steps


def test_a_row_of_a_data_loader_has_no_number() -> None:
    x = torch.tensor([1.0, math.nan])

    with pytest.raises(training.DivergenceError, match=r"^loss must be finite, got nan at epoch 0, batch 0$") as caught:
        training.fit(lambda w, x: w * x, torch.tensor(0.0), DataLoader(x, batch_size=2), epochs=1, lr=1.0)

    assert caught.value.row is None


def test_a_diverged_run_resumes_from_its_last_good_parameters_with_a_smaller_step() -> None:
    start, x, y = line_data()
    options: dict[str, Any] = {"batch_size": 5, "generator": seeded()}

    with pytest.raises(training.DivergenceError) as caught:
        training.fit(line_loss, start, (x, y), epochs=5, lr=lambda step: 0.01 if step < 20 else 1e200, **options)
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

    with pytest.raises(ValueError, match=r"^loss must depend on params, got one that .*training\.fit_$"):
        train(lambda _, x: net(x)[:, 0], list(net.parameters()), torch.ones(4, 3))


def test_no_parameters_are_refused_where_the_loss_has_some() -> None:
    w = torch.ones(1, requires_grad=True)

    with pytest.raises(ValueError, match="loss must depend on params, got one that depends on other tensors only"):
        train(lambda _, x: w * x, [], torch.ones(3))
    assert w.grad is None


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

    assert history.train_loss[-1] < 0.99 * history.train_loss[0]


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


def test_a_loss_with_the_keyword_is_told_whether_it_trains() -> None:
    told: list[bool] = []

    def loss(w: Tensor, x: Tensor, *, training: bool) -> Tensor:
        told.append(training)
        return squared_error(w, x)

    train(loss, torch.tensor(0.0), torch.ones(4), validation=torch.ones(2), epochs=2)

    assert told == [True, True, False] * 2


def test_validation_of_a_loss_that_is_told_is_without_dropout() -> None:
    x = torch.ones(64, 3)

    def loss(w: Tensor, x: Tensor, *, training: bool) -> Tensor:
        return regularization.dropout(x, 0.5, training=training) @ w

    history = train(loss, torch.ones(3), x, validation=x, lr=0.0)

    assert history.validation_loss == [3.0]
    assert history.train_loss != [3.0]


def test_a_loss_without_a_signature_is_not_told() -> None:
    history = train(torch.mul, torch.tensor(1.0), torch.ones(2))  # a function written in C

    assert history.params == 0.5


def test_validation_takes_as_many_rows_at_once_as_fit_into_a_batch() -> None:
    sizes: list[int] = []

    def loss(w: Tensor, x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x[:, 0] * w

    validation = torch.arange(10.0)[:, None].expand(10, 2**16)  # four rows of 2¹⁶ entries are 2¹⁸
    history = train(loss, torch.tensor(1.0), torch.ones(2, 1), validation=validation, lr=0.0)

    assert sizes == [2, 4, 4, 2]
    assert history.validation_loss == [4.5]


@pytest.mark.parametrize(("batch_size", "expected"), [(3, [3, 3, 1]), (7, [7]), (None, [1] * 7)])
def test_validation_rows_that_are_fetched_come_in_batches_of_the_training(
    batch_size: int | None, expected: list[int]
) -> None:
    sizes: list[int] = []

    def loss(w: Tensor, x: Tensor, *, training: bool) -> Tensor:
        if not training:
            sizes.append(len(x))
        return w * x

    data = torch.ones(6) if batch_size else DataLoader(torch.ones(6), batch_size=2)
    history = train(
        loss,
        torch.tensor(1.0),
        data,
        batch_size=batch_size,
        validation=Pairs(torch.arange(7.0), make=lambda values: values[0]),
        lr=0.0,
    )

    assert sizes == expected
    assert history.validation_loss == [3.0]


def test_epochs_has_the_defaults_of_fit() -> None:
    of_epochs, of_fit = (inspect.signature(function).parameters for function in (training.epochs, training.fit))

    assert {name: of_epochs[name].default for name in of_fit if name != "epochs"} == {
        name: parameter.default for name, parameter in of_fit.items() if name != "epochs"
    }


# The caller's step


def test_a_run_with_a_pure_step_is_the_run_with_its_options() -> None:
    start, x, y = line_data()
    options: dict[str, Any] = {"epochs": 3, "batch_size": 5, "lr": 0.05, "shuffle": False}
    step = partial(optim.momentum_step, momentum=0.8, weight_decay=0.1)

    with_step = training.fit(line_loss, start, (x, y), step=step, **options)
    without = training.fit(line_loss, start, (x, y), momentum=0.8, weight_decay=0.1, **options)

    torch.testing.assert_close(with_step.params, without.params, rtol=1e-12, atol=1e-12)


def test_a_pure_step_agrees_with_the_nesterov_of_torch() -> None:
    start, x, y = line_data()
    step = partial(optim.momentum_step, momentum=0.9, nesterov=True)

    history = training.fit(line_loss, start, (x, y), epochs=2, batch_size=5, lr=0.05, shuffle=False, step=step)

    params = LinearParams(*(w.clone().requires_grad_() for w in start))
    optimizer = torch.optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True)
    for rows in [*batches.minibatches(x, y, batch_size=5, shuffle=False)] * 2:
        optimizer.zero_grad()
        line_loss(params, *rows).mean().backward()
        optimizer.step()
    torch.testing.assert_close(history.params, LinearParams(*(w.detach() for w in params)), rtol=1e-12, atol=1e-12)


def test_adam_as_the_step_trains_as_the_optimizer_of_torch_does() -> None:
    start, x, y = line_data()
    net = a_line()
    net.load_state_dict({"weight": start.weight[None], "bias": start.bias[None]})
    step = partial(optim.adam_step, weight_decay=0.1)

    history = training.fit(line_loss, start, (x, y), epochs=3, batch_size=5, shuffle=False, lr=0.05, step=step)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05, weight_decay=0.1)
    train_module(net, (x, y), epochs=3, optimizer=optimizer)

    torch.testing.assert_close(history.params.weight, net.weight[0].detach(), rtol=1e-12, atol=1e-12)


def test_a_pure_step_leaves_frozen_parameters_and_ties() -> None:
    w, frozen = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)
    step = partial(optim.momentum_step, weight_decay=0.1)

    def loss(params: dict[str, Tensor], x: Tensor) -> Tensor:
        return params["first"] * params["second"] * params["frozen"] * x

    params = {"first": w, "frozen": frozen, "second": w}
    history = train(loss, params, torch.ones(2), lr=0.01, step=step)

    assert history.params["frozen"] == 3
    assert history.params["first"] is history.params["second"]
    torch.testing.assert_close(history.params["first"], torch.tensor(2 - 0.01 * (2 * 2 * 3 + 0.1 * 2)))


@pytest.mark.parametrize("step", [optim.momentum_step, optim.adam_step])
def test_a_run_with_a_pure_step_resumes_to_the_bit(step: Any, tmp_path: Any) -> None:
    start, x, y = line_data()

    def run(epochs: int, **options: Any) -> training.History:
        options |= {"batch_size": 5, "lr": 0.05, "step": step, "generator": seeded()}
        return training.fit(line_loss, start, (x, y), epochs=epochs, **options)

    torch.save(run(2).state, tmp_path / "state.pt")

    assert same_bits(run(5), run(3, resume=torch.load(tmp_path / "state.pt")))


def test_a_run_with_a_pure_step_diverges_to_its_last_finite_parameters() -> None:
    with pytest.raises(training.DivergenceError) as caught:
        train(squared_error, torch.tensor(0.0), torch.ones(4), epochs=50, lr=1e8, step=optim.momentum_step)

    assert caught.value.history.params.isfinite()
    assert caught.value.history.state["optimizer"] is None


# Epoch by epoch


def epochs_of_line(**options: Any) -> Iterator[training.History]:
    torch.manual_seed(0)
    start, x, y = line_data()
    options = {"batch_size": 5, "lr": 0.1, "momentum": 0.9, "generator": seeded(), "validation": (x, y)} | options
    return training.epochs(line_loss, start, (x, y), **options)


def test_epochs_end_where_fit_does() -> None:
    torch.manual_seed(0)
    start, x, y = line_data()
    options: dict[str, Any] = {"batch_size": 5, "lr": 0.1, "momentum": 0.9, "validation": (x, y)}

    whole = training.fit(line_loss, start, (x, y), epochs=4, generator=seeded(), **options)
    *_, last = epochs_of_line(epochs=4)

    assert same_bits(whole, last)
    assert last.validation_loss == whole.validation_loss


def test_every_epoch_has_a_history_of_its_own() -> None:
    histories = [*epochs_of_line(epochs=3)]
    again = [copy.deepcopy(history) for history in epochs_of_line(epochs=3)]

    assert [len(history.train_loss) for history in histories] == [1, 2, 3]
    for kept, copied in zip(histories, again, strict=True):
        assert same_bits(kept, copied)
        assert all(map(torch.equal, kept.state["optimizer"], copied.state["optimizer"]))


@pytest.mark.parametrize("n_epochs", [np.int64(2), 0])
def test_as_many_epochs_as_asked_for_are_taken(n_epochs: Any, plain: ModuleType) -> None:
    options = {"batch_size": 2, "lr": 0.1}

    assert len([*plain.training.epochs(squared_error, W, torch.ones(2), epochs=n_epochs, **options)]) == n_epochs


def test_epochs_without_a_number_go_on() -> None:
    *_, last = itertools.islice(epochs_of_line(), 7)

    assert len(last.train_loss) == 7


def test_any_epoch_resumes_to_the_bit() -> None:
    whole = [*epochs_of_line(epochs=5)]

    *_, last = epochs_of_line(epochs=3, resume=whole[1], generator=seeded(99))

    assert same_bits(last, whole[4])


def test_between_epochs_the_modes_and_the_random_state_are_those_of_the_caller() -> None:
    with torch.no_grad():
        for _ in epochs_of_line(epochs=2):
            assert not torch.is_grad_enabled()
    iterator = epochs_of_line(epochs=2)
    torch.manual_seed(3)
    next(iterator)
    torch.testing.assert_close(torch.rand(2), torch.rand(2, generator=seeded(3)), rtol=0, atol=0)


def test_a_loop_that_ends_early_closes_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    for _ in epochs_of_line():
        break

    assert "5batch" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


class Interrupts:
    """A loss during whose call the user interrupts the run."""

    def __init__(self, call: int) -> None:
        self.calls_left = call

    def __call__(self, params: LinearParams, x: Tensor, y: Tensor) -> Tensor:
        self.calls_left -= 1
        if self.calls_left == 0:
            raise KeyboardInterrupt
        return line_loss(params, x, y)


def test_an_interrupted_loop_has_the_last_whole_epoch_in_its_variable() -> None:
    torch.manual_seed(0)
    start, x, y = line_data()
    history = None

    with pytest.raises(KeyboardInterrupt):
        for history in training.epochs(  # noqa: B007  # what is left of it is looked at
            Interrupts(13), start, (x, y), batch_size=5, lr=0.1, momentum=0.9, generator=seeded()
        ):
            pass

    assert history is not None
    assert same_bits(history, [*epochs_of_line(epochs=2)][-1])


@pytest.mark.parametrize(("call", "epochs"), [(1, 0), (13, 2)])
def test_an_interrupted_run_keeps_what_was_learned_on_the_exception(call: int, epochs: int) -> None:
    torch.manual_seed(0)
    start, x, y = line_data()
    options: dict[str, Any] = {"batch_size": 5, "lr": 0.1, "momentum": 0.9, "generator": seeded()}

    with pytest.raises(KeyboardInterrupt) as caught:
        training.fit(Interrupts(call), start, (x, y), epochs=9, **options)
    history = caught.value.history  # pyright: ignore[reportAttributeAccessIssue]
    resumed = training.fit(line_loss, start, (x, y), epochs=4 - epochs, resume=history, **options)

    assert len(history.train_loss) == epochs
    assert same_bits(resumed, [*epochs_of_line(epochs=4)][-1])


# Data as PyTorch code has them


class Pairs(Dataset[Any]):
    """Rows that are fetched one by one, as tuples, mappings or tensors."""

    def __init__(self, *columns: Tensor, make: Any = tuple) -> None:
        self.columns, self.make = columns, make

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, i: int) -> Any:
        return self.make([x[i] for x in self.columns])


class Stream(IterableDataset[Any]):
    """Rows one after the other, their number unknown."""

    def __init__(self, *columns: Tensor) -> None:
        self.columns = columns

    def __iter__(self) -> Iterator[Any]:
        return zip(*self.columns, strict=True)


def by_name(params: LinearParams, batch: dict[str, Any]) -> Tensor:
    return line_loss(params, batch["x"], batch["y"])


def in_parts(params: LinearParams, halves: Sequence[Tensor], y: Tensor) -> Tensor:
    return line_loss(params, torch.cat(tuple(halves), 1), y)


def named(values: Sequence[Tensor]) -> dict[str, Tensor]:
    return dict(zip("xy", values, strict=True))


WAYS: dict[str, Any] = {
    "tuple": (line_loss, lambda x, y: (x, y)),
    "list": (line_loss, lambda x, y: [x, y]),
    "arrays": (line_loss, lambda x, y: (x.numpy(), y.numpy())),
    "mapping": (by_name, lambda x, y: {"x": x, "y": y.numpy()}),
    "mapping of another class": (by_name, lambda x, y: UserDict(x=x, y=y)),
    "nested": (in_parts, lambda x, y: ([x[:, :1], x[:, 1:]], y)),
    "one tuple": (lambda params, xy: line_loss(params, *xy), lambda x, y: [(x, y)]),
    "TensorDataset": (line_loss, TensorDataset),
    "Dataset": (line_loss, Pairs),
    "Dataset of mappings": (by_name, lambda x, y: Pairs(x, y, make=named)),
    "Dataset of tensors": (
        lambda params, rows: line_loss(params, rows[:, :-1], rows[:, -1]),
        lambda x, y: Pairs(torch.cat([x, y[:, None]], 1), make=lambda values: values[0]),
    ),
    "DataLoader": (line_loss, lambda x, y: DataLoader(TensorDataset(x, y), batch_size=5)),
    "DataLoader of mappings": (by_name, lambda x, y: DataLoader(Pairs(x, y, make=named), batch_size=5)),
    "DataLoader of a stream": (line_loss, lambda x, y: DataLoader(Stream(x, y), batch_size=5)),
}


@pytest.mark.parametrize("way", WAYS)
def test_all_kinds_of_data_train_alike(way: str) -> None:
    start, x, y = line_data()
    loss, make = WAYS[way]
    data = make(x, y)
    size = None if isinstance(data, DataLoader) else 5
    expected = training.fit(
        line_loss, start, (x, y), validation=(x, y), epochs=2, batch_size=5, lr=0.1, shuffle=False, progress=False
    )

    history = training.fit(
        loss, start, data, validation=data, epochs=2, batch_size=size, lr=0.1, shuffle=False, progress=False
    )

    assert same_bits(history, expected)
    assert history.validation_loss == pytest.approx(expected.validation_loss, rel=1e-12)


@pytest.mark.parametrize("kind", [TensorDataset, Pairs])
def test_a_data_set_is_shuffled_as_its_tensors_are(kind: Any) -> None:
    start, x, y = line_data()
    options: dict[str, Any] = {"epochs": 2, "batch_size": 5, "lr": 0.1}

    history = training.fit(line_loss, start, kind(x, y), generator=seeded(), **options)

    assert same_bits(history, training.fit(line_loss, start, (x, y), generator=seeded(), **options))


def test_a_tensor_data_set_may_have_weights() -> None:
    x, weights = torch.tensor([1.0, math.nan]), torch.tensor([1.0, 0.0])

    assert train(squared_error, torch.tensor(0.0), TensorDataset(x), weights=weights, lr=1.0).params == 0.5


def test_a_shuffling_data_loader_and_dropout_resume_to_the_bit_and_leave_the_global_state_alone() -> None:
    start, x, y = line_data()

    def loss(params: LinearParams, x: Tensor, y: Tensor) -> Tensor:
        return line_loss(params, torch.nn.functional.dropout(x, 0.5), y)

    def run(epochs: int, seed: int, **options: Any) -> training.History:
        loader = DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True)
        return training.fit(loss, start, loader, epochs=epochs, lr=0.1, generator=seeded(seed), **options)

    torch.manual_seed(5)
    whole, part = run(5, 1), run(2, 1)
    torch.testing.assert_close(torch.rand(2), torch.rand(2, generator=seeded(5)), rtol=0, atol=0)

    assert same_bits(whole, run(3, 7, resume=part))
    assert not same_bits(whole, run(5, 7))


# A module, in place


def a_network(seed: int = 2) -> Any:
    torch.manual_seed(seed)
    layers = torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Dropout(0.3)
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, 1)).double()


def a_line() -> Any:
    torch.manual_seed(2)
    return torch.nn.Linear(3, 1).double()


def module_loss(net: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (net(x)[:, 0] - y) ** 2 / 2


def train_module(net: torch.nn.Module, data: Any, loss: Any = module_loss, **options: Any) -> training.History:
    defaults: dict[str, Any] = {"epochs": 2, "batch_size": 5, "shuffle": False}
    if "optimizer" not in options:
        defaults["lr"] = 0.1
    return training.fit_(loss, net, data, **(defaults | options))


def sgd(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=0.1)


def adam_w(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=0.01)


def sgd_with_groups(net: torch.nn.Module) -> torch.optim.Optimizer:
    weights, biases = ([w for w in net.parameters() if (w.dim() > 1) == many] for many in (True, False))
    groups = {"params": weights, "weight_decay": 0.1}, {"params": biases, "lr": 0.1}
    return torch.optim.SGD(groups, lr=0.05, momentum=0.9)


def plain_loop(net: torch.nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, epochs: int) -> None:
    for _ in range(epochs):
        net.train()
        for rows in batches.minibatches(x, y, batch_size=5):
            optimizer.zero_grad()
            losses = module_loss(net, *rows)
            losses.backward(torch.full_like(losses, 1 / len(losses)))
            optimizer.step()


def same_tensors(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    return all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


@pytest.mark.held_against("PyTorch", training.fit_)
@pytest.mark.parametrize("make", [sgd, sgd_with_groups, adam_w])
def test_a_module_is_trained_as_by_a_plain_loop_to_the_bit(make: Any) -> None:
    _, x, y = line_data()
    ours, theirs = a_network(), a_network()

    torch.manual_seed(4)
    history = train_module(ours, (x, y), optimizer=make(ours), shuffle=True)
    torch.manual_seed(4)
    plain_loop(theirs, make(theirs), x, y, 2)

    assert same_tensors(ours, theirs)
    assert not same_tensors(ours, a_network())
    assert list(history.params) == list(theirs.state_dict())
    assert all(map(torch.equal, history.params.values(), theirs.state_dict().values()))


def test_the_default_optimizer_is_stochastic_gradient_descent() -> None:
    _, x, y = line_data()
    ours, theirs = a_line(), a_line()

    history = train_module(ours, (x, y), lr=0.1)
    train_module(theirs, (x, y), optimizer=sgd(theirs))

    assert same_tensors(ours, theirs)
    assert history.state["step"] == 10


def test_a_module_is_trained_as_its_parameters_are_by_fit() -> None:
    _, x, y = line_data()
    net = a_line()
    start = {name: w.detach().clone() for name, w in net.named_parameters()}
    weights = torch.rand(23, dtype=torch.float64)
    weights[:7] = 0

    def pure_loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return (torch.func.functional_call(a_line(), params, x)[:, 0] - y) ** 2 / 2

    options: dict[str, Any] = {"weights": weights, "validation": (x, y)}
    ours = train_module(net, (x, y), lr=lambda step: 0.1 / (1 + step), **options)
    pure = training.fit(
        pure_loss, start, (x, y), epochs=2, batch_size=5, shuffle=False, lr=lambda step: 0.1 / (1 + step), **options
    )

    torch.testing.assert_close(ours.params, pure.params, rtol=1e-12, atol=1e-12)
    assert ours.train_loss == pytest.approx(pure.train_loss, rel=1e-12)
    assert ours.validation_loss == pytest.approx(pure.validation_loss, rel=1e-12)


def test_steps_are_in_training_mode_validation_is_not_and_every_part_gets_its_mode_back() -> None:
    _, x, y = line_data()
    net = a_network().eval()
    net[3].train()
    modes: list[bool] = []

    def loss(net: torch.nn.Module, x: Tensor, y: Tensor, *, training: bool) -> Tensor:
        assert net.training == training
        modes.append(training)
        return module_loss(net, x, y)

    history = train_module(net, (x, y), loss, validation=(x, y))

    assert modes == ([True] * 5 + [False]) * 2
    assert [part.training for part in net.modules()] == [False, False, False, False, True, False]
    assert history.validation_loss[-1] == pytest.approx(module_loss(net.eval(), x, y).mean().item(), rel=1e-12)


def test_frozen_and_tied_parameters_of_a_module_stay_so() -> None:
    net: Any = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3), torch.nn.Linear(3, 1)).double()
    net[1].weight = net[0].weight
    net[2].weight.requires_grad_(requires_grad=False)
    frozen = net[2].weight.clone()

    history = train_module(net, line_data()[1:])
    again = train_module(net, line_data()[1:], resume=history)

    assert net[1].weight is net[0].weight
    assert torch.equal(net[2].weight, frozen)
    assert history.params["0.weight"] is history.params["1.weight"]
    assert not torch.equal(history.params["0.weight"], again.params["0.weight"])


def test_a_module_of_which_the_optimizer_holds_a_part_is_trained_in_that_part() -> None:
    net = a_network()
    first = net[0].weight.detach().clone()

    train_module(net, line_data()[1:], optimizer=torch.optim.SGD(net[4].parameters(), lr=0.1))

    assert torch.equal(net[0].weight, first)


def test_the_history_of_a_module_is_a_copy_that_the_module_loads() -> None:
    net, twin = a_network(), a_network(seed=3)
    history = train_module(net, line_data()[1:])

    twin.load_state_dict(history.params)
    assert same_tensors(net, twin)
    train_module(net, line_data()[1:])
    assert not same_tensors(net, twin)
    assert torch.equal(history.params["0.weight"], twin[0].weight)


@pytest.mark.parametrize("make", [sgd_with_groups, adam_w])
@pytest.mark.parametrize("loads_batches", [False, True])
def test_ten_epochs_of_a_module_are_four_and_six_to_the_bit(make: Any, tmp_path: Any, *, loads_batches: bool) -> None:
    _, x, y = line_data()
    whole, first, second = (a_network(seed) for seed in (2, 2, 3))

    def run(net: torch.nn.Module, epochs: int, seed: int, **options: Any) -> training.History:
        data = DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True) if loads_batches else (x, y)
        options |= {"batch_size": None if loads_batches else 5, "shuffle": True, "validation": data}
        return train_module(net, data, epochs=epochs, optimizer=make(net), generator=seeded(seed), **options)

    torch.manual_seed(5)
    expected = run(whole, 10, 1)
    torch.save(run(first, 4, 1).state, tmp_path / "state.pt")
    torch.testing.assert_close(torch.rand(2), torch.rand(2, generator=seeded(5)), rtol=0, atol=0)
    continued = run(second, 6, 99, resume=torch.load(tmp_path / "state.pt"))

    assert same_tensors(whole, second)
    assert continued.train_loss == expected.train_loss
    assert continued.validation_loss == expected.validation_loss
    assert continued.state["step"] == 50


def test_resuming_a_module_does_not_change_the_history() -> None:
    net = a_network()
    history = train_module(net, line_data()[1:], optimizer=adam_w(net))
    kept = copy.deepcopy(history.state)

    train_module(net, line_data()[1:], optimizer=adam_w(net), resume=history)

    assert all(map(torch.equal, history.state["params"], kept["params"]))
    torch.testing.assert_close(history.state["optimizer"], kept["optimizer"], rtol=0, atol=0)
    assert history.state["train_loss"] == kept["train_loss"]


def test_an_optimizer_keeps_the_rates_of_its_groups_unless_a_rate_is_given() -> None:
    net = a_line()
    optimizer = sgd_with_groups(net)

    train_module(net, line_data()[1:], optimizer=optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.1]
    train_module(net, line_data()[1:], optimizer=optimizer, lr=lambda step: 0.5**step)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5**9] * 2


def test_clipping_is_that_of_torch_up_to_its_1e_minus_6() -> None:
    _, x, y = line_data()
    ours, theirs = a_line(), a_line()

    train_module(ours, (x, y), epochs=1, max_norm=0.1)
    for rows in batches.minibatches(x, y, batch_size=5, shuffle=False):
        theirs.zero_grad()
        module_loss(theirs, *rows).mean().backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.1)
        optim.sgd_(theirs.parameters(), lr=0.1)

    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loads_batches", [False, True])
def test_accumulated_batches_are_one_large_batch(*, loads_batches: bool) -> None:
    _, x, y = line_data()  # 23 rows: batches of 5, 5, 5 and of 5, 3 against 15 and 8
    ours, theirs = a_line(), a_line()
    data = DataLoader(TensorDataset(x, y), batch_size=5) if loads_batches else (x, y)

    history = train_module(ours, data, accumulate=3, batch_size=None if loads_batches else 5)
    expected = train_module(theirs, (x, y), batch_size=15)

    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-12, atol=1e-12)
    assert history.state["step"] == expected.state["step"] == 4
    assert history.train_loss == pytest.approx(expected.train_loss, rel=1e-12)


def test_a_compiled_module_is_trained() -> None:
    net = a_network()
    torch.compiler.reset()
    compiled: Any = torch.compile(net, backend="aot_eager")

    history = train_module(compiled, line_data()[1:], epochs=20, validation=line_data()[1:])

    assert history.train_loss[-1] < history.train_loss[0]
    assert not same_tensors(net, a_network())
    assert net.training


@pytest.mark.parametrize("inside", [False, True])
def test_a_module_learns_under_autocast(*, inside: bool) -> None:
    net, x = torch.nn.Linear(3, 1), torch.randn(32, 3)

    def loss(net: torch.nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside or torch.is_autocast_enabled("cpu")):
            return (net(x)[:, 0].float() - 1) ** 2

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not inside):
        history = train_module(net, torch.cat([x, x]), loss, epochs=5, batch_size=64)

    assert all(after < before for before, after in pairwise(history.train_loss))
    assert net.weight.dtype == torch.float32


def test_float16_loses_small_gradients_which_a_loop_with_a_scaler_keeps() -> None:
    x, scaler = torch.ones(4, 3), torch.amp.GradScaler("cpu", init_scale=2.0**16)
    nets = {name: torch.nn.Linear(3, 1) for name in ("float32", "bfloat16", "float16", "scaled")}
    start = torch.zeros(1, 3)
    for net in nets.values():
        torch.nn.init.zeros_(net.weight)

    def loss(net: torch.nn.Module, x: Tensor) -> Tensor:
        return net(x)[:, 0].float() * 2.0**-26

    train_module(nets["float32"], x, loss, epochs=1, batch_size=4, lr=1.0)
    for name, dtype in {"bfloat16": torch.bfloat16, "float16": torch.float16}.items():
        with torch.autocast("cpu", dtype=dtype):
            train_module(nets[name], x, loss, epochs=1, batch_size=4, lr=1.0)
    optimizer = torch.optim.SGD(nets["scaled"].parameters(), lr=1.0)
    with torch.autocast("cpu", dtype=torch.float16):
        mean = loss(nets["scaled"], x).mean()
    scaler.scale(mean).backward()
    scaler.step(optimizer)

    weights = {name: net.weight.detach() for name, net in nets.items()}
    torch.testing.assert_close(weights.pop("float16"), start, rtol=0.0, atol=0.0)
    for weight in weights.values():
        torch.testing.assert_close(weight, start - 2.0**-26, rtol=1e-6, atol=0.0)


def test_a_diverged_module_has_its_last_finite_parameters_and_buffers() -> None:
    net = a_network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    _, x, y = line_data()
    x[12] = math.nan  # in the third batch: it makes the running means of the normalization NaN as well

    with pytest.raises(training.DivergenceError, match=r"^loss must be finite, got nan at epoch 0, batch 2") as caught:
        train_module(net, (x, y), optimizer=optimizer)

    assert all(x.isfinite().all() for x in net.state_dict().values())
    assert all(map(torch.equal, caught.value.history.params.values(), net.state_dict().values()))
    assert len(optimizer.state) == 0
    resumed = train_module(net, line_data()[1:], optimizer=sgd(net), resume=caught.value.history)
    assert len(resumed.train_loss) == len(caught.value.history.train_loss) + 2


def test_an_interrupted_module_keeps_what_it_learned() -> None:
    net = a_network().eval()
    calls = itertools.count()

    def loss(net: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
        if next(calls) == 12:
            raise KeyboardInterrupt
        return module_loss(net, x, y)

    with pytest.raises(KeyboardInterrupt) as caught:
        train_module(net, line_data()[1:], loss, epochs=9)
    history = caught.value.history  # pyright: ignore[reportAttributeAccessIssue]

    assert not net.training
    assert not same_tensors(net, a_network())
    assert len(history.train_loss) == 2
    assert history.state["step"] == 12
    assert torch.equal(history.params["0.weight"], net[0].weight)


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
