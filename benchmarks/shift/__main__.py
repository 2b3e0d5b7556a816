"""Print the tables of the shift estimators."""

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

from benchmarks.frame import describe_machine, today

from . import __path__ as folder
from .table import Table

ON_REAL_DATA = {"label_real", "real", "real_peers"}


def main() -> None:
    """Run the studies asked for, and print their tables."""
    names = [info.name for info in pkgutil.iter_modules(folder) if info.name not in {"__main__", "halves", "table"}]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shift", description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"among {', '.join(names)} (default: all)")
    parser.add_argument("--seeds", type=int, default=20, help="draws of each setting (default: %(default)s)")
    parser.add_argument("--half", choices=("a", "b"), help="every second problem of the studies on real data")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    if unknown := set(arguments.studies) - set(names):
        parser.error(f"no study named {', '.join(sorted(unknown))}")

    print(describe_machine())
    tables: list[Table] = []
    for name in arguments.studies or names:
        print(name, file=sys.stderr)
        options = {"half": arguments.half} if name in ON_REAL_DATA else {}
        for table in importlib.import_module(f"{__package__}.{name}").tables(arguments.seeds, **options):
            print(f"\n{table}", flush=True)
            tables.append(table)
    if arguments.json:
        run = {"date": today(), "machine": describe_machine(), "tables": [table.as_json() for table in tables]}
        arguments.json.write_text(json.dumps(run, indent=2))


if __name__ == "__main__":
    main()
