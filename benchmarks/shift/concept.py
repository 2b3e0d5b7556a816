"""Monitors of a stream of losses: how soon they see a change, how often they raise a false alarm, and their speed."""

import importlib
import importlib.metadata
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
        "dlcore adwin, one loss at a time": one_at_a_time,
        "dlcore page_hinkley, threshold 20": lambda stream: [
            *concept.page_hinkley(None, stream, delta=0.05, threshold=20.0).detections
        ],
        **river(),
    }
    for name, monitor in methods.items():
        table.add(name, *(_measured(monitor, seeds) if monitor else ["not installed"] * len(COLUMNS)))
    return [table]


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
