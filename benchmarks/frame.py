"""Time pairs of callables alternately, and print the ratios as one table."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

__all__ = [
    "Pair",
    "Row",
    "Timing",
    "aligned",
    "describe_machine",
    "describe_processor",
    "render",
    "seconds_of",
    "time_pair",
    "today",
]

Pair = tuple[Callable[[], Any], Callable[[], Any]]


@dataclass(frozen=True)
class Row:
    """One piece of work, done by dlcore and by the alternative that people use today.

    ``make`` sets up both sides and returns them as callables without arguments. If ``compare`` is true, their results
    must agree to 1 % before anything is timed, because a ratio of times for different results is meaningless. The
    tolerance is this large because long sums of torch lose digits. ``bytes_moved`` is the minimum number of bytes that
    the work reads and writes, if memory bandwidth limits it.
    """

    work: str
    alternative: str
    target: float
    make: Callable[[], Pair]
    compare: bool = True
    bytes_moved: int | None = None


@dataclass(frozen=True)
class Timing:
    """The ratios dlcore / alternative over the rounds of one run, and the median time of dlcore in seconds.

    ``share_of_bandwidth`` is the bandwidth of the work as a share of the bandwidth of a copy or a sum.
    """

    work: str
    alternative: str
    target: float
    median: float
    smallest: float
    largest: float
    seconds: float
    share_of_bandwidth: float | None


def time_pair(row: Row, *, rounds: int, block: float = 0.02) -> Timing:
    """Time both sides alternately, in blocks of calls of about ``block`` seconds, and return the ratios."""
    pair = row.make()
    if row.compare:
        ours, theirs = (torch.as_tensor(side()).detach() for side in pair)
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-5, check_dtype=False)
    calls = [max(1, round(block / seconds_of(side, calls_to_warm_up(side)))) for side in pair]
    ratios: list[float] = []
    times: list[float] = []
    for number in range(rounds):
        spent = [0.0, 0.0]
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            spent[side] = seconds_of(pair[side], calls[side])
        ratios.append(spent[0] / spent[1])
        times.append(spent[0])
    seconds = median(times)
    share = None if row.bytes_moved is None else row.bytes_moved / (seconds * bandwidth(row.bytes_moved))
    spread = (median(ratios), min(ratios), max(ratios))
    return Timing(row.work, row.alternative, row.target, *spread, seconds, share)


@cache
def bandwidth(size: int) -> float:
    """Return the bytes per second that torch moves between memory and processor, in a sum or copy of this size."""
    x = torch.ones(size // 4)
    y = torch.empty_like(x)
    best = [min(seconds_of(work, 10) for _ in range(5)) for work in (x.sum, partial(y.copy_, x))]
    return max(x.nbytes / best[0], 2 * x.nbytes / best[1])


def calls_to_warm_up(work: Callable[[], Any]) -> int:
    """Call the work once to warm up, and return the number of calls for a first estimate of its time."""
    return 3 if seconds_of(work, 1) > 1e-3 else 50


def seconds_of(work: Callable[[], Any], calls: int) -> float:
    """Return the mean time of a call in seconds, over a number of calls."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def describe_processor() -> str:
    """Return the name of the processor and the instructions that torch uses of it."""
    names = (
        line.partition(":")[2].strip() for line in lines_of(Path("/proc/cpuinfo")) if line.startswith("model name")
    )
    return f"{next(names, platform.machine())}, {torch.backends.cpu.get_cpu_capability()}"


def describe_machine() -> str:
    """Return a line that describes the machine and the versions."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{describe_processor()}, {torch.get_num_threads()} threads, {versions}"


def today() -> str:
    """Return today's date in UTC."""
    return datetime.now(UTC).date().isoformat()


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file, or nothing if it does not exist."""
    if path.is_file():
        yield from path.read_text().splitlines()


def render(timings: list[Timing]) -> str:
    """Return the table of the ratios dlcore / alternative, with whether each median meets its target."""
    head = ("work", "alternative", "median", "min", "max", "target", "", "dlcore", "of bandwidth")
    lines = [
        head,
        *(
            (
                *(timing.work, timing.alternative),
                *(f"{ratio:.3g}" for ratio in (timing.median, timing.smallest, timing.largest, timing.target)),
                "ok" if timing.median <= timing.target else "OVER",
                f"{timing.seconds * 1e6:,.1f} µs",
                "" if timing.share_of_bandwidth is None else f"{timing.share_of_bandwidth:.0%}",
            )
            for timing in timings
        ),
    ]
    return aligned(lines, left=2)


def aligned(lines: Sequence[Sequence[str]], *, left: int) -> str:
    """Return a table as text: the first ``left`` columns are left-aligned, the others right-aligned."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    put = [str.ljust if column < left else str.rjust for column in range(len(widths))]
    return "\n".join(
        "  ".join(align(cell, width) for align, cell, width in zip(put, line, widths, strict=True)).rstrip()
        for line in lines
    )
