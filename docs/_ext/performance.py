"""The performance page, made from the files that the benchmarks wrote, because a build cannot measure times."""

import html
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import indent
from typing import Any

import chapters
from markup import escape, list_table
from translated import message, said

PAGE = """\
Performance
===========

This page compares the running times of ``dlcore`` with those of common alternatives. The benchmarks time both sides
alternately in one process. Each row shows the ratio of the times, ``dlcore`` over the alternative: below 1, ``dlcore``
is faster. The ratios depend on the machine, so run the benchmarks on yours, too.

"""
LIBRARY = """\
The library
-----------

The plot shows the time of ``dlcore`` divided by that of the alternative, on a logarithmic axis. A bar marks the target.

.. raw:: html

{plot}

To measure on your processor, which adds a table: ``tox run -e bench -- --json``.

"""
MEASURED = message(
    "Measured on {date}: {machine}. {kept} of {count} medians are within their targets. "
    "Importing all of dlcore takes {milliseconds} ms if torch is already imported."
)
OVER = message("(over)")
AGAINST, TARGET = message("against"), message("target")
OUTLINED = message("outlined: over its target")
PROCESSOR = """\
{title}
{underline}

{measured}

The last column is the share of the memory bandwidth of a plain copy or sum that the work reaches.

.. list-table::
   :class: timings
   :header-rows: 1
   :widths: auto

{timings}

The next table shows how the time grows with n, for work that is linear in n. An exponent of 1 means linear growth.

.. list-table::
   :class: timings
   :header-rows: 1
   :widths: auto

{growths}

Peak memory in addition to the arguments:

.. list-table::
   :class: timings
   :header-rows: 1
   :widths: auto

{peaks}

"""
STUDIES_MEASURED = message("Measured on {date}: {machine}.")
STUDIES = """\
The shift estimators
--------------------

{measured}

To measure again: ``tox run -e bench-shift -- --json docs/measured/shift.json``.

"""
STUDY = """\
{title}
{underline}

{setting}

.. list-table::
   :class: timings
   :header-rows: 1
   :widths: auto

{rows}

"""
NONE = """\
{title}
{underline}

Not measured yet. To measure: ``tox run -e {command}``.

"""


def write(folder: Path, measured: Path) -> None:
    """Write the page from the files that the benchmarks wrote."""
    page = PAGE
    runs = [read(file) for file in sorted(measured.glob("library-*.json"))]
    page += library(runs) or none("The library", "bench -- --json")
    page += studies(read(measured / "shift.json")) or none(
        "The shift estimators", "bench-shift -- --json docs/measured/shift.json"
    )
    chapters.write_if_changed(folder / "performance.rst", page)


def read(file: Path) -> dict[str, Any]:
    """Return the content of a benchmark's file, or an empty dictionary if there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def none(title: str, command: str) -> str:
    """Return a section that says that nothing has been measured yet."""
    return NONE.format(title=title, underline="-" * len(title), command=command)


def library(runs: list[dict[str, Any]]) -> str:
    """Return the section of the library's timings: a plot of all runs, and the tables of each."""
    if not runs:
        return ""
    return LIBRARY.format(plot=indent(plot(runs), "   ")) + "".join(map(processor, runs))


def plot(runs: list[dict[str, Any]]) -> str:
    """Return the ratios of all runs as HTML, whose text has the same size on every screen."""
    timings = {(timing["work"], timing["alternative"]): timing for run in runs for timing in run["timings"]}
    ratios = [timing[name] for run in runs for timing in run["timings"] for name in ("median", "target")]
    low, high = math.floor(math.log10(min(ratios))), math.ceil(math.log10(max(ratios)))
    n_decades = max(high - low, 1)

    def left(ratio: float) -> str:
        return f"left:{100 * (math.log10(ratio) - low) / n_decades:.2f}%"

    def dots(key: tuple[str, str]) -> Iterable[str]:
        for number, run in enumerate(runs):
            for timing in run["timings"]:
                if (timing["work"], timing["alternative"]) == key:
                    state = "kept" if timing["median"] <= timing["target"] else "over"
                    told = html.escape(f"{timing['median']:.3g}, {run['processor']}")
                    yield f'<i class="dot run-{number} {state}" style="{left(timing["median"])}" title="{told}"></i>'

    legend = "".join(
        f'<li><i class="dot run-{number}"></i> {html.escape(run["processor"])}</li>' for number, run in enumerate(runs)
    )
    ticks = "".join(f'<span style="{left(10.0**k)}">{10.0**k:g}</span>' for k in range(low, low + n_decades + 1))
    axis = f'<li class="axis"><span class="work"></span><span class="track">{ticks}</span></li>'
    rows = [
        f'<li><span class="work"><span>{html.escape(work)}</span> '
        f"<small><span>{AGAINST}</span> <span>{html.escape(alternative)}</span></small></span>"
        f'<span class="track"><i class="target" style="{left(timing["target"])}"></i>{"".join(dots(key))}</span></li>'
        for key, timing in timings.items()
        for work, alternative in [key]
    ]
    return "\n".join(
        [
            f'<ul class="ratios-legend">{legend}'
            f'<li><i class="target"></i> <span>{TARGET}</span></li>'
            f'<li><i class="dot over"></i> <span>{OUTLINED}</span></li></ul>',
            f'<ul class="ratios" style="--decades:{n_decades}">',
            *(axis, *rows, axis),
            "</ul>",
        ]
    )


def processor(run: dict[str, Any]) -> str:
    """Return the section of one processor."""
    title = escape(run["processor"])
    rows = [
        [
            *(escape(timing["work"]), named(timing["alternative"])),
            f"**{timing['median']:.3g}**" + ("" if timing["median"] <= timing["target"] else f" {said(OVER)}"),
            f"{timing['smallest']:.3g} – {timing['largest']:.3g}",
            f"{timing['target']:g}",
            duration(timing["seconds"]),
            "" if timing["share_of_bandwidth"] is None else f"{timing['share_of_bandwidth']:.0%}",
        ]
        for timing in run["timings"]
    ]
    growths = [
        [
            escape(growth["work"]),
            f"{growth['sizes'][0]:,} – {growth['sizes'][-1]:,}",
            f"**{growth['exponent']:.2f}**",
            f"{growth['target']:g}",
            duration(growth["seconds"][-1]),
        ]
        for growth in run["growths"]
    ]
    peaks = [
        [escape(peak["work"]), named(peak["alternative"]), memory(peak["dlcore"]), memory(peak["theirs"])]
        for peak in run["peaks"]
    ]
    head = ["work", "alternative", "median ratio", "min – max", "target", "time of dlcore", "share of bandwidth"]
    return PROCESSOR.format(
        title=title,
        underline="~" * len(title),
        measured=said(
            MEASURED,
            date=run["date"],
            machine=run["machine"],
            kept=sum(timing["median"] <= timing["target"] for timing in run["timings"]),
            count=len(rows),
            milliseconds=f"{run['import_milliseconds']:.0f}",
        ),
        timings=list_table(head, rows),
        growths=list_table(["work", "n", "exponent", "target", "time at the largest n"], growths),
        peaks=list_table(["work", "alternative", "peak of dlcore", "peak of the alternative"], peaks),
    )


def named(alternative: str) -> str:
    """Return an alternative as code, or as text if it is described in words."""
    return escape(alternative) if re.search("[a-z] [a-z]", alternative) else f"``{alternative}``"


def duration(seconds: float) -> str:
    """Return a time with three digits in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{rounded(seconds / size)} {unit}"
    return f"{rounded(seconds / 1e-9)} ns"


def memory(mebibytes: float) -> str:
    """Return an amount of memory with three digits in the unit that suits it."""
    if mebibytes >= 1:
        return f"{rounded(mebibytes)} MiB"
    return f"{rounded(mebibytes * 1024)} KiB" if mebibytes else "0"


def rounded(value: float) -> str:
    """Return a number of at least 1 with three digits, or all those before the point."""
    return f"{value:.{max(0, 2 - int(math.log10(value)))}f}" if value >= 1 else f"{value:.2g}"


def studies(run: dict[str, Any]) -> str:
    """Return the sections of the benchmarks of the shift estimators."""
    if not run:
        return ""
    page = STUDIES.format(measured=said(STUDIES_MEASURED, date=run["date"], machine=run["machine"]))
    for table in run["tables"]:
        rows = [[escape(name), *map(cell, cells)] for name, cells in table["rows"].items()]
        if table["targets"]:
            rows.append(["target", *(cell(table["targets"].get(column)) for column in table["columns"])])
        page += STUDY.format(
            title=escape(table["title"]),
            underline="~" * (len(escape(table["title"])) + 1),
            setting=escape(table["setting"]),
            rows=list_table(["method", *map(escape, table["columns"])], rows),
        )
    return page


def cell(value: float | str | None) -> str:
    """Return a cell in the format of the benchmark's own table; a sentence is what a report said."""
    if isinstance(value, str):
        return f"``{value}``" if value.endswith(".") else escape(value)
    return "" if value is None else f"{value:.3g}"
