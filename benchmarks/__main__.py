"""Print tables of the time ratios dlcore / alternative, the growth of the time, peak memory and import time."""

import argparse
import importlib
import itertools
import json
import os
import pkgutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median

from . import __path__ as folder
from .frame import Row, Timing, describe_machine, describe_processor, render, time_pair, today
from .memory import LARGE, peaks, render_peaks
from .scaling import SCALINGS, render_growth, time_growth

NO_ROWS = {"__main__", "dask_ml", "frame", "memory", "scaling"}
IMPORT_TARGET = 80  # ms
MEASURED = Path(__file__).parents[1] / "docs" / "measured"


def all_rows() -> list[Row]:
    """Collect the rows of the modules of this package, which are named after the modules of dlcore."""
    rows: list[Row] = []
    for info in pkgutil.iter_modules(folder):
        if not info.ispkg and info.name not in NO_ROWS:
            rows += importlib.import_module(f"{__package__}.{info.name}").ROWS
    return rows


def import_time(times: int = 7) -> float:
    """Return the median time in milliseconds to import all modules of dlcore after torch, each time in a new process.

    The first process compiles the modules and does not count; the others read what it compiled. Whether the garbage
    collector happens to look through all objects of torch in this time, which takes 70 ms, is chance: they are exempt.
    """
    script = (
        "import gc, time, torch; gc.freeze(); t = time.perf_counter(); from dlcore import *; "
        "print((time.perf_counter() - t) * 1e3)"
    )
    command, environment = [sys.executable, "-c", script], os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    _, *milliseconds = (
        float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)  # noqa: S603
        for _ in range(times + 1)
    )
    return median(milliseconds)


def own_record() -> Path:
    """Return the file of this kind of processor, such as library-amd-avx2.json: the site shows one table for each."""
    name, _, instructions = describe_processor().rpartition(", ")
    vendor = "".join(itertools.takewhile(str.isalnum, name)) or "other"
    return MEASURED / f"library-{vendor}-{instructions}.json".lower()


def main() -> None:
    """Measure the selected rows, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="measure only work whose name contains TEXT")
    parser.add_argument("--rounds", type=int, default=15, help="rounds per ratio (default: %(default)s)")
    own = own_record()
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=own,
        help=f"also write the results, by default to {own.name}",
    )
    arguments = parser.parse_args()
    rows = [row for row in all_rows() if arguments.only in row.work]
    scalings = [scaling for scaling in SCALINGS if arguments.only in scaling.work]
    large = [row for row in LARGE if arguments.only in row.work]
    if not rows and not scalings:
        parser.error(f"no row's work contains {arguments.only!r}")

    timings: list[Timing] = []
    for number, row in enumerate(rows, start=1):
        print(f"{number}/{len(rows)} {row.work}", file=sys.stderr)
        timings.append(time_pair(row, rounds=arguments.rounds))
    growths = [time_growth(scaling) for scaling in scalings]
    found = peaks(large)
    milliseconds = import_time()

    print(describe_machine())
    if timings:
        print(f"\nratios dlcore / alternative, timed alternately in one run\n\n{render(timings)}")
    if growths:
        print(f"\nexponent of n in the time of work that is linear in n\n\n{render_growth(growths)}")
    if found:
        print(f"\npeak memory in addition to the arguments\n\n{render_peaks(found)}")
    print(f"\nimport of dlcore after torch: {milliseconds:.0f} ms (target {IMPORT_TARGET})")
    if arguments.json:
        report = {
            "date": today(),
            "processor": describe_processor(),
            "machine": describe_machine(),
            "timings": [asdict(timing) for timing in timings],
            "growths": [asdict(growth) for growth in growths],
            "peaks": [asdict(peak) for peak in found],
            "import_milliseconds": milliseconds,
        }
        arguments.json.write_text(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
