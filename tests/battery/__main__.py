"""Run the battery, or a part of it."""

import argparse
import sys

from tests.battery import closed_forms, reductions, searches, separation
from tests.battery.results import report

PARTS = ("searches", "separation", "reductions", "closed-forms")


def main() -> int:
    """Run the parts that are named, or all; return 1 if there is a fault."""
    parser = argparse.ArgumentParser(prog="tox run -e battery --", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="by default, all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER", help="the first problem of the searches")
    parser.add_argument("--problems", type=int, default=2000, help="of the searches")
    parser.add_argument("--separations", type=int, default=5000)
    parser.add_argument("--entries", type=int, nargs="+", default=[10**7, 10**8], help="of the reductions")
    args = parser.parse_args()
    faults = 0
    for part in args.parts or PARTS:
        if part == "searches":
            faults += report(part, "relative", searches.results(args.seed, args.first, args.problems))
        elif part == "separation":
            faults += report(part, "relative", separation.results(args.seed, args.separations))
        elif part == "reductions":
            for n in args.entries:
                faults += report(f"{part} of {n:.0e}", "units of rounding", reductions.results(n))
        else:
            faults += report(part, "relative", closed_forms.results(args.seed))
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
