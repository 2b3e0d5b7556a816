"""Peak memory of a call in addition to its arguments, measured for each side in a separate process.

``python -m benchmarks.memory NUMBER SIDE`` prints the MiB of one side of one row. The table runs this command.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .frame import Row, aligned
from .linear import ROWS as LINEAR
from .losses import ROWS as LOSSES
from .norms import ROWS as NORMS
from .regularization import ROWS as REGULARIZATION

__all__ = ["LARGE", "Peak", "growth", "peaks", "render_peaks"]

LARGE: list[Row] = [
    row
    for row in (*NORMS, *LOSSES, *REGULARIZATION, *LINEAR)
    if any(size in row.work for size in ("4·10⁶", "4096 × 1000", "logistic regression, 200,000"))
]


@dataclass(frozen=True)
class Peak:
    """The peak memory of both sides in MiB."""

    work: str
    alternative: str
    dlcore: float
    theirs: float


def peaks(rows: list[Row]) -> list[Peak]:
    """Measure both sides of each row."""
    return [
        Peak(row.work, row.alternative, *(_in_a_process(LARGE.index(row), side) for side in (0, 1))) for row in rows
    ]


def render_peaks(found: list[Peak]) -> str:
    """Return the table of peak memory."""
    head = ("work", "alternative", "dlcore", "alternative's")
    lines = [(peak.work, peak.alternative, f"{peak.dlcore:,.1f} MiB", f"{peak.theirs:,.1f} MiB") for peak in found]
    return aligned([head, *lines], left=2)


def _in_a_process(number: int, side: int) -> float:
    command = [sys.executable, "-m", __name__, str(number), str(side)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603  # our own command


def growth(work: Callable[[], Any]) -> float:
    """Return the increase of peak resident memory during a call, in MiB, including the memory of the result."""
    work()  # load everything that stays in memory
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = _status("VmRSS")
    kept = work()
    risen = (_status("VmHWM") - before) / 1024
    del kept
    return risen


def _status(field: str) -> int:
    """Return a field of the status of this process, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    print(growth(LARGE[int(sys.argv[1])].make()[int(sys.argv[2])]))
