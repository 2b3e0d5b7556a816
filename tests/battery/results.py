"""What a problem of the battery came to, and the table of all of them."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Result(NamedTuple):
    """One problem: what it was, how long the library took on the processor, the error found, and the fault if any."""

    problem: str
    seconds: float
    error: float
    fault: str = ""


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """Return what a function returns, and its seconds on the processor, which other programs do not prolong."""
    start = time.process_time()
    value = function()
    return value, time.process_time() - start


def report(name: str, unit: str, results: Iterable[Result]) -> int:
    """Print each fault when it is found, then the line of a table; return the number of faults."""
    done: list[Result] = []
    for result in results:
        done.append(result)
        if result.fault:
            print(f"FAULT {name}: {result.problem}: {result.fault} ({result.seconds:.1f} s)", flush=True)
    faults = sum(bool(result.fault) for result in done)
    print(f"\n| {name} | problems | faults | largest error ({unit}) | median s | 99 % s | largest s |\n|{'---|' * 7}")
    if done:
        seconds, errors = sorted(result.seconds for result in done), [result.error for result in done]
        largest = max((error for error in errors if error == error), default=0.0)  # noqa: PLR0124  # NaN: not measured
        times = " | ".join(f"{seconds[int(share * (len(done) - 1))]:.3f}" for share in (0.5, 0.99, 1))
        print(f"| {name} | {len(done)} | {faults} | {largest:.2g} | {times} |")
        for result in sorted(done, key=lambda result: -result.seconds)[:5]:
            print(f"slow: {result.seconds:.2f} s, {result.problem}")
    print(flush=True)
    return faults
