"""Monitors of a stream of losses: how soon they see a change, how often they raise a false alarm, and their speed."""

import importlib
import importlib.metadata
import math
import time
from collections.abc import Callable
from statistics import fmean, median

import torch
from torch import Generator, Tensor

from dlcore.shift import concept

from .table import Cell, Table

__all__ = ["tables"]

Monitor = Callable[[Tensor], list[int]]

BEFORE, AFTER = 1000, 1000
COLUMNS = ("false alarms per 1000", "changes missed", "delay", "us per loss")
LENGTH = 1000  # losses between changes, in the streams with none and with two changes
CORRELATIONS = {"independent": 0.0, "AR(1) .5": 0.5, "AR(1) .9": 0.9}


def tables(seeds: int) -> list[Table]:
    """Return one table for both monitors."""
    table = Table(
        "A stream of errors whose rate rises from .1 to .3",
        f"{BEFORE} losses of 0 and 1 before the change, {AFTER} after it, {seeds} streams; the first alarm counts",
        COLUMNS,
    )
    table.targets = {"changes missed": 0.0}
    methods: dict[str, Monitor | None] = {
        "dlcore adwin": lambda stream: [*concept.adwin(None, stream).detections],
        "dlcore adwin, restart": lambda stream: [*concept.adwin(None, stream, restart=True).detections],
        "dlcore adwin, autocorrelated=False": lambda stream: [
            *concept.adwin(None, stream, autocorrelated=False).detections
        ],
        "dlcore adwin, one loss at a time": one_at_a_time,
        "dlcore page_hinkley, threshold 20": lambda stream: [
            *concept.page_hinkley(None, stream, delta=0.05, threshold=20.0).detections
        ],
        **river(),
    }
    for name, monitor in methods.items():
        table.add(name, *(_measured(monitor, seeds) if monitor else ["not installed"] * len(COLUMNS)))
    return [table, alarms(methods, seeds)]


def alarms(methods: dict[str, Monitor | None], seeds: int) -> Table:
    """Return how many alarms each monitor raises in streams without a change and with two changes."""
    columns = tuple(f"{kind}, {count} changes" for count in (0, 2) for kind in ("errors", *CORRELATIONS))
    table = Table(
        "Alarms in streams without a change and with two changes",
        f"{3 * LENGTH} losses; errors whose rate is .2 or, in the middle, .4, and normal losses in [0, 1] with "
        f"standard deviation .07 and mean .4 or .5, independent or an autoregression; mean of {seeds} streams",
        columns,
    )
    table.targets = {column: 2.0 if column.endswith("2 changes") else 0.0 for column in columns}
    streams = [_streams(kind, count, seeds) for count in (0, 2) for kind in ("errors", *CORRELATIONS)]
    for name, monitor in methods.items():
        if monitor is None:
            table.add(name, *["not installed"] * len(columns))
        elif monitor is not one_at_a_time:
            table.add(name, *(fmean(len(monitor(stream)) for stream in each) for each in streams))
    return table


def _streams(kind: str, changes: int, seeds: int) -> list[Tensor]:
    """Return one stream of losses for each seed."""
    level = torch.zeros(3 * LENGTH, dtype=torch.float64)
    if changes:
        level[LENGTH : 2 * LENGTH] = 1
    streams = list[Tensor]()
    for seed in range(seeds):
        generator = Generator().manual_seed(seed)
        if kind == "errors":
            streams.append((torch.rand(len(level), generator=generator) < 0.2 + 0.2 * level).double())
            continue
        rho = CORRELATIONS[kind]
        values = [0.0]
        for z in torch.randn(len(level), generator=generator).tolist():
            values.append(rho * values[-1] + math.sqrt(1 - rho**2) * z)
        streams.append((0.4 + 0.1 * level + 0.07 * torch.tensor(values[1:], dtype=torch.float64)).clamp(0, 1))
    return streams


def one_at_a_time(stream: Tensor) -> list[int]:
    """Return the detections of adwin where each call reads a single loss."""
    state = None
    for loss in stream:
        state = concept.adwin(state, loss)
    return [*state.detections] if state else []


def river() -> dict[str, Monitor | None]:
    """Return river's monitors, which read one loss at a time."""
    try:
        drift = importlib.import_module("river.drift")
    except ImportError:
        return {"river": None}

    def run(make: Callable[[], object]) -> Monitor:
        def found(stream: Tensor) -> list[int]:
            detector, places = make(), list[int]()
            for place, loss in enumerate(stream.tolist()):
                detector.update(loss)  # pyright: ignore[reportAttributeAccessIssue]
                if detector.drift_detected:  # pyright: ignore[reportAttributeAccessIssue]
                    places.append(place)
            return places

        return found

    version = importlib.metadata.version("river")
    return {
        f"river {version} ADWIN": run(drift.ADWIN),
        f"river {version} PageHinkley, threshold 20": run(
            lambda: drift.PageHinkley(delta=0.05, threshold=20.0, alpha=1.0, mode="up")
        ),
    }


def _measured(monitor: Monitor, seeds: int) -> list[Cell]:
    false, missed, delays, seconds = 0, 0, list[float](), list[float]()
    for seed in range(seeds):
        generator = Generator().manual_seed(seed)
        rates = torch.cat([torch.full((BEFORE,), 0.1), torch.full((AFTER,), 0.3)])
        stream = (torch.rand(BEFORE + AFTER, generator=generator) < rates).float()
        start = time.perf_counter()
        places = monitor(stream)
        seconds.append(time.perf_counter() - start)
        false += sum(place < BEFORE for place in places)
        after = [place - BEFORE for place in places if place >= BEFORE]
        missed += not after
        delays += after[:1]
    per_loss = 1e6 * median(seconds) / (BEFORE + AFTER)
    return [1000 * false / (seeds * BEFORE), missed / seeds, fmean(delays) if delays else None, per_loss]
