"""The performance page, made from the files that the benchmarks wrote, because a build cannot measure times."""

import json
from pathlib import Path
from typing import Any

import chapters
from evidence import escape, list_table

PAGE = """\
Performance
===========

Timings of ``dlcore`` and of the alternatives that people use today. All numbers come from the benchmarks. Each row
times both sides alternately in one process and shows the ratio of the times, ``dlcore`` over the alternative. Below 1,
``dlcore`` is faster. Ratios depend on the machine, too, so run the benchmarks on yours.

"""
LIBRARY = """\
The library
-----------

Measured on {date}: {machine}. {kept} of {count} medians are within their targets. Importing all of dlcore takes
{import_milliseconds:.0f} ms if torch is already imported. The last column is the share of the memory bandwidth of a
plain copy or sum that the work reaches. To measure again: ``tox run -e bench -- --json docs/measured/library.json``.

.. list-table::
   :class: timings
   :header-rows: 1
   :widths: auto

{timings}

Growth of the time with n, for work that is linear in n. An exponent of 1 means linear growth.

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

Not measured yet. To measure: ``tox run -e {command}``.

"""


def write(folder: Path, measured: Path) -> None:
    """Write the page from the files that the benchmarks wrote."""
    page = PAGE
    page += library(read(measured / "library.json")) or none(
        "The library", "bench -- --json docs/measured/library.json"
    )
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
    head = ["work", "alternative", "median ratio", "min – max", "target", "time of dlcore", "share of bandwidth"]
    return LIBRARY.format(
        date=run["date"],
        machine=escape(run["machine"]),
        kept=sum(timing["median"] <= timing["target"] for timing in run["timings"]),
        count=len(rows),
        import_milliseconds=run["import_milliseconds"],
        timings=list_table(head, rows),
        growths=list_table(["work", "n", "exponent", "target", "time at the largest n"], growths),
        peaks=list_table(["work", "alternative", "peak of dlcore", "peak of the alternative"], peaks),
    )


def studies(run: dict[str, Any]) -> str:
    """Return the sections of the benchmarks of the shift estimators."""
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
    """Return a cell in the format of the benchmark's own table."""
    return "" if value is None else escape(value) if isinstance(value, str) else f"{value:.3g}"
