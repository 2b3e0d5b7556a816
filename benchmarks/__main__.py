"""Print the table of ratios dlcore / alternative."""

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

from . import __path__ as folder
from .frame import Row, Timing, as_json, describe_machine, render, time_pair


def all_rows() -> list[Row]:
    """Gather the rows of this package's modules, which are named after those of dlcore."""
    rows: list[Row] = []
    for info in pkgutil.iter_modules(folder):
        if not info.ispkg and info.name not in {"__main__", "frame"}:
            rows += importlib.import_module(f"{__package__}.{info.name}").ROWS
    return rows


def main() -> None:
    """Time every row asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="time the rows whose work contains this text")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each row (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    rows = [row for row in all_rows() if arguments.only in row.work]
    if not rows:
        parser.error(f"no row's work contains {arguments.only!r}")

    timings: list[Timing] = []
    for number, row in enumerate(rows, start=1):
        print(f"{number}/{len(rows)} {row.work}", file=sys.stderr)
        timings.append(time_pair(row, rounds=arguments.rounds))

    print(f"{describe_machine()}\nratios dlcore / alternative, timed in turn in one run\n\n{render(timings)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(timings), indent=2))


if __name__ == "__main__":
    main()
