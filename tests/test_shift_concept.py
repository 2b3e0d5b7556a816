"""Monitors of a stream against their formulas, against river, and against the uncompressed window; fine-tuning."""

import math
from collections import UserDict
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from dlcore import training
from dlcore.shift import concept

streams = st.lists(st.floats(0, 1, width=32), max_size=150).map(lambda x: torch.tensor(x, dtype=torch.float64))
RATES = (0.1, 0.35, 0.2, 0.6, 0.05)


def errors(*rates: float, seed: int, length: int = 400) -> Tensor:
    """Return a stream of 0 and 1 whose rate of 1 changes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([(torch.rand(length, generator=generator) < rate).float() for rate in rates])


def losses(*scales: float, seed: int, length: int = 300) -> Tensor:
    """Return a stream of numbers in [0, 1] whose mean changes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([scale * torch.rand(length, generator=generator) for scale in scales])


STREAMS = [errors(*RATES, seed=0), errors(*RATES, seed=1), losses(0.3, 0.5, 0.4, 0.9, seed=2), losses(1.0, seed=3)]


def of_river(detector: drift.ADWIN | drift.PageHinkley, stream: Tensor) -> list[int]:
    """Return where river detects a change; after each it starts anew."""
    found = []
    for i, loss in enumerate(stream.tolist()):
        detector.update(loss)
        if detector.drift_detected:
            found.append(i)
    return found


def adwin_that_starts_anew(stream: Tensor, **options: float) -> list[int]:
    found, start = [], 0
    while first := concept.adwin(None, stream[start:], autocorrelated=False, **options).detections[:1]:
        start += first[0] + 1
        found.append(start - 1)
    return found


# The Page–Hinkley test


@pytest.mark.held_against("river", concept.page_hinkley)
@pytest.mark.parametrize("direction", ["up", "down", "both"])
@pytest.mark.parametrize(("delta", "threshold", "warm_up"), [(0.005, 50.0, 30), (0.02, 10.0, 30), (0.0, 3.0, 100)])
@pytest.mark.parametrize("stream", STREAMS)
def test_page_hinkley_detects_where_river_does(
    stream: Tensor, delta: float, threshold: float, warm_up: int, direction: str
) -> None:
    state = concept.page_hinkley(None, stream, delta=delta, threshold=threshold, warm_up=warm_up, direction=direction)

    options = {"delta": delta, "threshold": threshold, "min_instances": warm_up, "mode": direction}
    assert [*state.detections] == of_river(drift.PageHinkley(alpha=1.0, **options), stream)


def test_the_streams_hold_changes_for_both_to_find() -> None:
    found = [concept.page_hinkley(None, x, delta=0.02, threshold=10.0, direction="both").detections for x in STREAMS]
    windows = [concept.adwin(None, x, autocorrelated=False).detections for x in STREAMS]

    assert [len(detections) >= 2 for detections in found] == [True, True, True, False]
    assert [len(detections) >= 2 for detections in windows] == [True, True, True, False]


@pytest.mark.held_against("its definition", concept.page_hinkley)
@given(streams, st.sampled_from([0.0, 0.125]))
def test_page_hinkley_is_its_formula(stream: Tensor, delta: float) -> None:
    state = concept.page_hinkley(None, stream, delta=delta, threshold=1e9)

    means = stream.cumsum(0) / torch.arange(1, len(stream) + 1)
    for value, deviations in ((state.rise, stream - means), (state.fall, means - stream)):
        m = (deviations - delta).cumsum(0)
        expected = (m[-1] - m.min()).item() if len(m) else 0.0
        assert value == pytest.approx(expected, abs=1e-9)
    assert (state.n, state.count, state.drift, state.detections) == (len(stream), len(stream), False, ())


def test_page_hinkley_forgets_after_a_detection() -> None:
    stream = torch.cat([torch.zeros(100), torch.ones(100)])

    first = concept.page_hinkley(None, stream, threshold=5.0)
    (change,) = first.detections

    rest = concept.page_hinkley(None, stream[change + 1 :], threshold=5.0)
    assert (rest.count, rest.mean, rest.rise, rest.fall) == (first.count, first.mean, first.rise, first.fall)


def test_page_hinkley_takes_no_fall_for_a_rise() -> None:
    stream = torch.cat([torch.ones(100), torch.zeros(100)])

    found = {d: concept.page_hinkley(None, stream, threshold=5.0, direction=d).drift for d in ("up", "down", "both")}

    assert found == {"up": False, "down": True, "both": True}


def test_page_hinkley_survives_losses_of_any_size() -> None:
    state = concept.page_hinkley(None, torch.tensor([1e300, 1e-300, -1e300], dtype=torch.float64))

    assert math.isfinite(state.rise)
    assert math.isfinite(state.mean)


# Adaptive windowing


@pytest.mark.held_against("river", concept.adwin)
@pytest.mark.parametrize(
    ("delta", "check_every", "max_buckets", "min_window"),
    [(0.002, 32, 5, 5), (0.002, 1, 5, 1), (0.05, 5, 3, 5), (0.3, 7, 2, 20)],
)
@pytest.mark.parametrize("stream", STREAMS)
def test_adwin_detects_where_river_does(
    stream: Tensor, delta: float, check_every: int, max_buckets: int, min_window: int
) -> None:
    options = {"delta": delta, "max_buckets": max_buckets}

    actual = adwin_that_starts_anew(stream, check_every=check_every, min_window=min_window, **options)

    assert actual == of_river(drift.ADWIN(clock=check_every, min_window_length=min_window, **options), stream)


def holds_a_change(window: Tensor, before: float, delta: float, autocorrelated: bool) -> bool:
    """Tell whether a cut fulfils the bound of Bifet and Gavaldà, in the order in which they print it.

    ``before`` is the loss before the window, and ``autocorrelated`` replaces the variance of the losses by n times the
    variance of their mean if they are an autoregression with different means before and after the cut.
    """
    n = len(window)
    steps = torch.cat([window.new_tensor([before]), window]).diff()
    for cut in range(1, n):
        old, new = window[:cut], window[cut:]
        m = 1 / (1 / len(old) + 1 / len(new))
        confidence = delta / math.log(n)
        variance = window.var(correction=0).item()
        if autocorrelated:
            within = torch.cat([old - old.mean(), new - new.mean()]).square().mean().item()
            if within > 1e-12 and steps.any():
                rho = 1 - steps.square().mean().item() / (2 * within)
                variance = max(variance, within * (1 + rho) / (1 - rho))
        bound = math.sqrt(2 / m * variance * math.log(2 / confidence))
        if abs(old.mean() - new.mean()) > bound + 2 / (3 * m) * math.log(2 / confidence):
            return True
    return False


@pytest.mark.held_against("its definition", concept.adwin)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("autocorrelated", [False, True])
def test_adwin_without_compression_looks_at_every_cut_of_the_window(seed: int, autocorrelated: bool) -> None:
    stream = errors(0.1, 0.7, seed=seed, length=60).double()
    stream = (stream + stream.roll(1) + stream.roll(2)) / 3 if autocorrelated else stream
    options = {"delta": 0.3, "check_every": 10, "max_buckets": 1000, "min_window": 1, "autocorrelated": autocorrelated}

    state, window, found = None, stream[:0], []
    for i, loss in enumerate(stream):
        window = torch.cat([window, loss[None]])

        def changed(window: Tensor) -> bool:
            start = i + 1 - len(window)  # noqa: B023
            return holds_a_change(window, stream[max(start - 1, 0)].item(), 0.3, autocorrelated)

        if (i + 1) % 10 == 0 and changed(window):
            while changed(window):
                window = window[1:]
            if not found or i + 1 - len(window) > found[-1]:
                found.append(i)
        state = concept.adwin(state, loss, **options)

        assert state.width == len(window)
    assert [*state.detections] == found != []


@given(streams, st.integers(1, 4), st.integers(1, 8))
@settings(max_examples=50)
def test_adwin_summarizes_the_newest_losses(stream: Tensor, max_buckets: int, check_every: int) -> None:
    state = concept.adwin(None, stream, delta=0.9, max_buckets=max_buckets, check_every=check_every, min_window=1)

    window = stream[len(stream) - state.width :]
    assert state.total == pytest.approx(window.sum().item(), abs=1e-9)
    deviations = ((window - window.mean()) ** 2).sum().item() if len(window) else 0.0
    assert state.deviations == pytest.approx(deviations, abs=1e-9)
    steps = stream.diff().square() if len(stream) else stream
    assert state.differences == pytest.approx(steps[max(len(steps) - state.width, 0) :].sum().item(), abs=1e-9)
    assert state.last == (stream[-1].item() if len(stream) else 0.0)
    assert sum(2**i * len(row) for i, row in enumerate(state.buckets)) == state.width
    assert all(len(row) <= max_buckets for row in state.buckets)
    newest = state.width
    for i, row in reversed([*enumerate(state.buckets)]):
        for total, squares, differences in row:
            part = stream[len(stream) - newest :][: 2**i]
            newest -= 2**i
            assert total == pytest.approx(part.sum().item(), abs=1e-9)
            assert squares == pytest.approx(((part - part.mean()) ** 2).sum().item(), abs=1e-9)
            before = len(stream) - newest - len(part) - 1  # the place of the loss before this part
            with_before = stream[max(before, 0) :][: len(part) + min(before + 1, 1)]
            assert differences == pytest.approx(with_before.diff().square().sum().item(), abs=1e-9)


def test_adwin_keeps_memory_of_the_logarithm_of_the_window() -> None:
    state = concept.adwin(None, torch.full((20_000,), 0.5))

    assert state.width == 20_000
    assert sum(map(len, state.buckets)) <= 5 * (math.log2(20_000) + 1)


def test_adwin_rarely_cuts_a_stream_without_change() -> None:
    alarms = [concept.adwin(None, errors(0.2, seed=seed, length=1000)).drift for seed in range(20)]

    assert sum(alarms) <= 1


def test_adwin_finds_a_change_soon_and_keeps_what_follows_it() -> None:
    for seed in range(10):
        state = concept.adwin(None, errors(0.1, 0.5, seed=seed, length=1000))

        assert 1000 <= state.detections[0] < 1100
        assert state.mean == pytest.approx(0.5, abs=0.06)
        assert 900 <= state.width < 1100


@given(streams)
@settings(max_examples=20)
def test_adwin_does_not_depend_on_the_unit_of_the_loss(stream: Tensor) -> None:
    options = {"delta": 0.5, "check_every": 1, "min_window": 1}

    one, four = (concept.adwin(None, unit * stream, largest_loss=unit, **options) for unit in (1.0, 4.0))

    assert (one.detections, one.width) == (four.detections, four.width)


def test_a_window_without_losses_has_no_mean() -> None:
    assert math.isnan(concept.Adwin().mean)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("autocorrelated", [False, True])
def test_adwin_detects_each_change_once(restart: bool, autocorrelated: bool) -> None:
    for seed in range(5):
        stream = errors(0.1, 0.6, 0.2, seed=seed, length=1000)

        found = concept.adwin(None, stream, restart=restart, autocorrelated=autocorrelated).detections

        assert [place // 1000 for place in found] == [1, 2]


def test_a_further_cut_before_a_detection_is_no_further_detection() -> None:
    losses = torch.cat([torch.zeros(1000), torch.ones(100)])
    states = [concept.adwin(None, losses[:n]) for n in (1024, 1056, 1088, 1100)]

    assert [state.detections for state in states] == [(1023,)] * 4
    first = [state.n - state.width for state in states]
    assert first[0] < first[1] < first[2] == first[3] == 1000


def autoregression(rho: float, seed: int, *levels: float, length: int = 1000) -> Tensor:
    """Return a stream of dependent losses with standard deviation 0.07 around levels."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(levels) * length + 1, dtype=torch.float64, generator=generator).tolist()
    values = noise[:1]
    for z in noise[1:]:
        values.append(rho * values[-1] + math.sqrt(1 - rho**2) * z)
    means = torch.tensor(levels, dtype=torch.float64).repeat_interleave(length)
    return (means + 0.07 * torch.tensor(values[1:], dtype=torch.float64)).clamp(0, 1)


@pytest.mark.held_against("river", concept.adwin)
@pytest.mark.parametrize(("rho", "river_errs"), [(0.5, False), (0.9, True)])
def test_adwin_takes_no_dependence_for_a_change(rho: float, river_errs: bool) -> None:
    steady = [autoregression(rho, seed, 0.4, 0.4, 0.4) for seed in range(6)]
    changing = [autoregression(rho, seed, 0.3, 0.6, 0.4) for seed in range(6)]

    found = [concept.adwin(None, stream).detections for stream in steady]
    of_others = [of_river(drift.ADWIN(), stream) for stream in steady]
    by_independence = [concept.adwin(None, stream, autocorrelated=False).detections for stream in steady]

    assert sum(map(len, found)) <= 1
    assert (sum(map(len, of_others)) >= 4) == (sum(map(len, by_independence)) >= 4) == river_errs
    for stream in changing:
        assert [place // 1000 for place in concept.adwin(None, stream).detections] == [1, 2]


@pytest.mark.held_against("river", concept.adwin)
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("check_every", [7, 32])
def test_adwin_that_restarts_detects_where_river_does(stream: Tensor, check_every: int) -> None:
    found = concept.adwin(None, stream, restart=True, check_every=check_every, autocorrelated=False).detections

    assert [*found] == of_river(drift.ADWIN(clock=check_every), stream)


def test_a_reset_empties_the_window_and_keeps_the_count() -> None:
    state = concept.adwin(None, errors(0.1, 0.6, seed=0))

    actual = state.reset()

    assert actual == concept.Adwin(n=state.n, detections=state.detections)
    assert actual.detections
    after = concept.adwin(actual, torch.ones(100))
    assert (after.width, after.mean, after.drift, after.n) == (100, 1.0, False, state.n + 100)


def test_a_reset_of_page_hinkley_is_the_state_after_a_detection() -> None:
    stream = torch.cat([torch.zeros(100), torch.ones(100)])
    (place,) = concept.page_hinkley(None, stream, threshold=5.0).detections
    detected = concept.page_hinkley(None, stream[: place + 1], threshold=5.0)

    actual = concept.page_hinkley(None, stream[:100]).reset()

    assert actual == concept.PageHinkley(n=100)
    assert detected.reset() == concept.PageHinkley(n=place + 1, detections=(place,))
    assert concept.page_hinkley(detected.reset(), stream) == concept.page_hinkley(detected, stream)


# What holds for both


@pytest.mark.parametrize("monitor", [concept.page_hinkley, concept.adwin])
@given(data=st.data())
@settings(max_examples=25)
def test_it_does_not_matter_how_a_stream_is_cut_into_calls(monitor, data: st.DataObject) -> None:
    stream = errors(0.1, 0.9, seed=0, length=100)
    options = {"threshold": 4.0} if monitor is concept.page_hinkley else {"check_every": 3}
    cuts = sorted(data.draw(st.lists(st.integers(0, 200), max_size=6)))

    state = None
    for start, stop in pairwise([0, *cuts, 200]):
        before = state
        state = monitor(state, stream[start:stop], **options)

        assert state.drift == (state.detections != (before.detections if before else ()))
    at_once = monitor(None, stream, **options)
    assert at_once.detections
    assert state.detections == at_once.detections
    assert {**vars(state), "drift": None} == {**vars(at_once), "drift": None}


@pytest.mark.parametrize("monitor", [concept.page_hinkley, concept.adwin])
def test_a_state_is_left_as_it_was(monitor) -> None:
    first = monitor(None, torch.full((40,), 0.25))
    copy = dict(vars(first))

    monitor(first, torch.ones(100))

    assert vars(first) == copy


@pytest.mark.parametrize("monitor", [concept.page_hinkley, concept.adwin])
def test_losses_of_every_float_type_are_read_as_numbers(monitor) -> None:
    stream = torch.tensor([0.25, 0.5, 1.0] * 20)

    states = [monitor(None, stream.to(dtype)) for dtype in (torch.float16, torch.bfloat16, torch.float64)]

    assert states[0] == states[1] == states[2] == monitor(None, stream.requires_grad_())


@pytest.mark.parametrize("monitor", [concept.page_hinkley, concept.adwin])
@pytest.mark.parametrize("cut", [0, 500])
def test_nan_in_a_long_stream_is_an_error_that_names_its_index(monitor, cut: int) -> None:
    stream = torch.full((1000,), 0.5)
    stream[[703, 901]] = math.nan

    cure = r"; to leave out missing losses, pass losses\[~losses\.isnan\(\)\]$"
    state = monitor(None, stream[:cut])
    before = dict(vars(state))

    with pytest.raises(ValueError, match=rf"^losses must be .*, got nan at index {703 - cut}{cure}"):
        monitor(state, stream[cut:])
    with pytest.raises(ValueError, match=rf"^losses must be .*, got nan{cure}"):
        monitor(None, stream[703])

    assert vars(state) == before
    assert monitor(state, stream[cut:][~stream[cut:].isnan()]).n == 998


def test_options_may_be_numpy_numbers(plain: ModuleType) -> None:
    concept = plain.shift.concept
    stream = errors(0.1, 0.6, seed=0)
    integers = {"check_every": 8, "max_buckets": 4, "min_window": 100}

    state = concept.adwin(None, stream, **{name: np.int8(value) for name, value in integers.items()})

    assert state == concept.adwin(None, stream, **integers)
    assert type(state.n) is int
    run = {"epochs": 1, "batch_size": 2, "lr": 0.1, "shuffle": False}
    x, w = torch.randn(50, 2), torch.zeros(2)
    tuned = [
        concept.fine_tune(lambda w, x: (x @ w - 1) ** 2, w, x, window=window, **run) for window in (np.uint8(20), 20)
    ]
    assert torch.equal(tuned[0].params, tuned[1].params)


# Fine-tuning


def squared_error(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return (x @ w - y) ** 2 / 2


@pytest.mark.held_against("its definition", concept.fine_tune)
def test_fine_tuning_is_training_on_the_newest_rows() -> None:
    x, y, w = torch.randn(50, 2), torch.randn(50), torch.randn(2)
    run = {"epochs": 3, "batch_size": 4, "lr": 0.1, "momentum": 0.5}

    actual = concept.fine_tune(squared_error, w, (x, y), window=20, generator=torch.Generator().manual_seed(0), **run)

    expected = training.fit(squared_error, w, (x[30:], y[30:]), generator=torch.Generator().manual_seed(0), **run)
    assert torch.equal(actual.params, expected.params)
    assert actual.train_loss == expected.train_loss


def test_a_window_longer_than_the_stream_is_the_stream() -> None:
    x, w, run = torch.randn(5, 2), torch.zeros(2), {"epochs": 1, "batch_size": 5, "lr": 0.1, "shuffle": False}

    def loss(w: Tensor, x: Tensor) -> Tensor:
        return (x @ w - 1) ** 2

    all_of_it = concept.fine_tune(loss, w, x, window=99, **run)

    assert torch.equal(all_of_it.params, training.fit(loss, w, x, **run).params)


def test_after_a_change_of_concept_the_newest_window_teaches_more_than_the_whole_stream() -> None:
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(600, 2, generator=generator)
        old, new = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
        y = torch.cat([x[:500] @ old, x[500:] @ new])
        run = {"epochs": 5, "batch_size": 10, "lr": 0.05, "generator": generator}

        on_window = concept.fine_tune(squared_error, old, (x, y), window=100, **run).params
        on_all = training.fit(squared_error, old, (x, y), **run).params

        assert (on_window - new).norm() < 0.3 * (on_all - new).norm()


@pytest.mark.parametrize("n", [3, 99])
@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: (x.numpy(), y.numpy()),
        lambda x, y: [x, y],
        TensorDataset,
        lambda x, y: Pairs(list(zip(x, y, strict=True))),
    ],
    ids=["arrays", "list", "TensorDataset", "Dataset"],
)
def test_fine_tuning_takes_the_newest_rows_of_every_form_of_data(form: Callable[[Tensor, Tensor], Any], n: int) -> None:
    x, y, w = torch.randn(8, 2), torch.randn(8), torch.randn(2)
    run = {"epochs": 2, "batch_size": 2, "lr": 0.1, "shuffle": False}

    actual = concept.fine_tune(squared_error, w, form(x, y), window=n, **run)

    torch.testing.assert_close(actual.params, training.fit(squared_error, w, (x[-n:], y[-n:]), **run).params)


def test_fine_tuning_takes_the_newest_rows_of_a_mapping() -> None:
    x, w = torch.randn(8, 2), torch.randn(2)
    run = {"epochs": 2, "batch_size": 2, "lr": 0.1, "shuffle": False}

    def loss(w: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return (batch["x"] @ w) ** 2

    actual = concept.fine_tune(loss, w, UserDict({"x": x}), window=4, **run)

    torch.testing.assert_close(actual.params, training.fit(loss, w, {"x": x[-4:]}, **run).params)


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Pairs that are fetched one by one."""

    def __init__(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.pairs[i]
