"""Sphinx has no page of timings: this one is made of what the benchmarks wrote, because a build cannot measure."""

import json
from pathlib import Path
from typing import Any

import chapters
from evidence import escape, list_table

PAGE = """\
Performance
===========

``dlcore`` beside what people use today, as the benchmarks printed it; no number on this page was typed. Each row times
both sides in turn in one process and shows the ratio of the times, ``dlcore`` over the alternative: below 1, ``dlcore``
is the faster one. A ratio says more than a time, but it is of one machine, too: run the benchmarks on yours.

"""
LIBRARY = """\
The library
-----------

Measured on {date}: {machine}. {kept} of {count} medians are within their targets. Importing all of dlcore takes
{import_milliseconds:.0f} ms once torch is there. The last column compares the bytes that the work has to move in that
time with what a plain copy or sum moves. To measure again: ``tox run -e bench -- --json docs/measured/library.json``.

.. list-table::
   :class: timings
   :header-rows: 1
   :widths: auto

{timings}

How the time grows with n, where the mathematics is linear in n: an exponent of 1 is linear.

.. list-table::
   :class: timings
   :header-rows: 1
   :widths: auto

{growths}

The peak of memory beyond the arguments:

.. list-table::
   :class: timings
   :header-rows: 1
   :widths: auto

{peaks}

"""
STUDIES = """\
The shift estimators
--------------------

Measured on {date}: {machine}. To measure again: ``tox run -e bench-shift -- --json docs/measured/shift.json``.

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

Not measured yet: ``tox run -e {command}`` does.

"""


def write(folder: Path, measured: Path) -> None:
    """Write the page from the files that the benchmarks left."""
    page = PAGE
    page += library(read(measured / "library.json")) or none(
        "The library", "bench -- --json docs/measured/library.json"
    )
    page += studies(read(measured / "shift.json")) or none(
        "The shift estimators", "bench-shift -- --json docs/measured/shift.json"
    )
    chapters.write_if_changed(folder / "performance.rst", page)


def read(file: Path) -> dict[str, Any]:
    """Return what a benchmark wrote, and nothing where there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def none(title: str, command: str) -> str:
    """Say that something has not been measured."""
    return NONE.format(title=title, underline="-" * len(title), command=command)


def library(run: dict[str, Any]) -> str:
    """Return the section of the library's timings."""
    if not run:
        return ""
    rows = [
        [
            *(escape(timing["work"]), f"``{timing['alternative']}``"),
            f"**{timing['median']:.3g}**" + ("" if timing["median"] <= timing["target"] else " (over)"),
            f"{timing['smallest']:.3g} – {timing['largest']:.3g}",
            f"{timing['target']:g}",
            f"{timing['seconds'] * 1e6:,.1f} µs",
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
            f"{growth['seconds'][-1] * 1e3:,.2f} ms",
        ]
        for growth in run["growths"]
    ]
    peaks = [
        [escape(peak["work"]), f"``{peak['alternative']}``", f"{peak['dlcore']:,.1f} MiB", f"{peak['theirs']:,.1f} MiB"]
        for peak in run["peaks"]
    ]
    head = ["work", "alternative", "median ratio", "from – to", "target", "dlcore", "of bandwidth"]
    return LIBRARY.format(
        date=run["date"],
        machine=escape(run["machine"]),
        kept=sum(timing["median"] <= timing["target"] for timing in run["timings"]),
        count=len(rows),
        import_milliseconds=run["import_milliseconds"],
        timings=list_table(head, rows),
        growths=list_table(["work", "n", "exponent", "target", "the largest"], growths),
        peaks=list_table(["work", "alternative", "dlcore", "alternative's"], peaks),
    )


def studies(run: dict[str, Any]) -> str:
    """Return the sections of the studies of shift."""
    if not run:
        return ""
    page = STUDIES.format(date=run["date"], machine=escape(run["machine"]))
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
    """Return a cell as the benchmark prints it."""
    return "" if value is None else escape(value) if isinstance(value, str) else f"{value:.3g}"
