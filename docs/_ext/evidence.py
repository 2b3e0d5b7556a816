"""The evidence page: what the last test run verified of each function.

The page is made only from the JSON files that ``pytest --evidence FILE`` writes into the build folder. Tests that were
not run, or that ran on a different version of the code, are shown as not run.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

import chapters
import library_code

from tests.table import LAYERS, Entry, gather

COLUMNS = {  # the heading of each column, and the kind of tests whose outcome it shows
    "example": "doctest",
    "gradient": "gradient",
    "grad": "func_grad",
    "vmap": "vmap",
    "compile": "compile",
    "dtypes": "dtypes",
    "strides": "non_contiguous",
    "empty": "empty",
    "meta": "meta",
}
HELD, FAILED, EXEMPT, NOT_RUN = "✓", "✗", "–", "·"

PAGE = """\
Evidence
========

What the tests verified of each function, and which properties do not hold. {run}

For timings, see :doc:`performance`.

.. raw:: html

   <details class="legend"><summary>Meaning of the columns and signs</summary>

{legend}

.. raw:: html

   </details>

.. toctree::
   :hidden:

   performance

"""
LEGEND = {
    "✓": "the test ran and passed.",
    "–": "the property cannot hold, for the reason below the table; a test verifies that it fails.",
    "✗": "the test ran and failed.",
    "·": "the test was not run for this page, so nothing is claimed.",
    "example": "the example in the docstring gives the result shown there.",
    **{heading: f"{LAYERS[kind]}." for heading, kind in COLUMNS.items() if kind in LAYERS},
    "refusals": "the number of calls with bad input that raised exactly the expected error.",
    "compared with": "the references with which passed tests compare the function: the formula in 50 digits, other "
    "packages, or the definition written out in the test. The number is the largest relative difference in float64 "
    "over all of these tests and all of their inputs.",
}
RUN = "The results are from the run of {date}: {passed} tests and examples passed, {failed} failed ({machine})."
NO_RUN = (
    "**No test run belongs to this build**, so the tables list what is tested for each function but claim nothing. Run "
    "``tox run -e tests,doctests`` before ``tox run -e docs`` to fill them."
)
CHAPTER = """\
{title}
{underline}

.. list-table::
   :class: evidence
   :header-rows: 1
   :stub-columns: 1
   :widths: auto

{rows}

{exempt}

{tests}

"""
TESTS = """\
.. raw:: html

   <details class="tests"><summary>{summary}</summary>

{rows}

.. raw:: html

   </details>
"""


@dataclass
class Run:
    """The records of a test run that apply to the current code."""

    date: str = ""
    machine: str = ""
    records: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Read the files of a folder, without the records of other versions of the code."""
        run = cls()
        for file in sorted(folder.glob("*.json")):
            content = json.loads(file.read_text(encoding="utf-8"))
            same = {
                module for module, code in content["code"].items() if library_code.digest([f"dlcore.{module}"]) == code
            }
            run.date, run.machine = max(run.date, content["date"]), content["machine"]
            run.records += [record for record in content["records"] if about(record, same)]
        return run

    def outcomes(self, function: str, kind: str) -> list[str]:
        """Return the outcomes of one kind of tests for a function."""
        return [r["outcome"] for r in self.records if r["kind"] == kind and function in r["functions"]]


def about(record: dict[str, Any], modules: set[str]) -> bool:
    """Tell whether a test concerns only these modules, judged by its functions or else by its file."""
    files = {f"test_{module.replace('.', '_')}" for module in modules}
    functions = {name.rpartition(".")[0] for name in record["functions"]}
    return functions <= modules and (bool(functions) or record.get("test", "").partition("::")[0] in files)


def write(folder: Path, runs: Path, names_of: dict[str, list[str]]) -> None:
    """Write the evidence page."""
    run, table = Run.read(runs), gather()
    legend = "\n".join(f"{sign}\n    {meaning}" for sign, meaning in LEGEND.items())
    outcomes = [record["outcome"] for record in run.records]
    passed, failed = outcomes.count("passed"), outcomes.count("failed")
    told = RUN.format(date=run.date, machine=run.machine, passed=passed, failed=failed) if run.records else NO_RUN
    page = PAGE.format(run=told, legend=legend)
    for module, functions in chapters.functions(names_of):
        chapter = module.removeprefix("dlcore.")
        names = [f"{chapter}.{name}" for name in functions]
        page += CHAPTER.format(
            title=chapter,
            underline="-" * len(chapter),
            rows=list_table(["function", "compared with", *COLUMNS, "refusals"], [row(n, run, table) for n in names]),
            exempt=exemptions({name: table[name] for name in names if name in table}),
            tests=sentences(run, chapter),
        )
    chapters.write_if_changed(folder / "index.rst", page)


def row(name: str, run: Run, table: dict[str, Entry]) -> list[str]:
    """Return the cells of a function's row."""
    entry = table.get(name)
    marks = [EXEMPT if entry and kind in entry.exempt else mark(run.outcomes(name, kind)) for kind in COLUMNS.values()]
    refusals = run.outcomes(name, "refuses")
    counted = str(len(refusals)) if mark(refusals) == HELD else mark(refusals)
    return [f":func:`~dlcore.{name}`", oracles(name, run) or NOT_RUN, *marks, counted]


def mark(outcomes: list[str]) -> str:
    """Return the sign for a list of outcomes: passed only if all tests passed."""
    return NOT_RUN if not outcomes else HELD if set(outcomes) == {"passed"} else FAILED


def oracles(name: str, run: Run) -> str:
    """Return the references with which a function was compared, each with the largest difference."""
    errors: dict[str, list[float]] = defaultdict(list)
    for record in run.records:
        if name in record["functions"] and record["outcome"] == "passed":
            for oracle in record["oracles"]:
                errors[oracle] += [record["error"]] if record["error"] is not None else []
    return ", ".join(f"{oracle}{digits(errors[oracle])}" for oracle in sorted(errors))


def digits(errors: list[float]) -> str:
    """Return the largest error rounded to one digit, or an empty string if none was measured."""
    if not errors:
        return ""
    return f" ({max(errors):.0e})".replace("e-0", "e-") if max(errors) else " (equal)"


def exemptions(entries: dict[str, Entry]) -> str:
    """List the properties that do not hold, with the reasons."""
    heading = {kind: heading for heading, kind in COLUMNS.items()}
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, entry in entries.items():
        for reason in dict.fromkeys(entry.exempt.values()):
            layers = ", ".join(heading[layer] for layer, why in entry.exempt.items() if why == reason)
            reasons[layers, reason].append(f"``{name.rpartition('.')[2]}``")
    lines = [f"- {', '.join(names)} – *{layers}*: {escape(reason)}." for (layers, reason), names in reasons.items()]
    return "\n".join(["Properties that do not hold:\n", *lines]) if lines else ""


def sentences(run: Run, chapter: str) -> str:
    """List the tests of a chapter by their names, which are sentences, with the largest error of each."""
    tests: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in run.records:
        if record["kind"] == "test" and record["test"].partition("::")[0] == f"test_{chapter.replace('.', '_')}":
            tests[record["test"].partition("::")[2].removeprefix("test_").replace("_", " ")].append(record)
    if not tests:
        return ""
    lines = [
        f"- {mark([r['outcome'] for r in records])} {escape(sentence)}"
        + digits([record["error"] for record in records if record["error"] is not None])
        for sentence, records in tests.items()
    ]
    return TESTS.format(summary=f"{len(tests)} more tests of this chapter", rows="\n".join(lines))


def escape(text: str) -> str:
    """Escape the characters that reStructuredText would read as markup."""
    return "".join(f"\\{sign}" if sign in "\\*`|_" else sign for sign in text)


def list_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return the body of a list-table directive."""
    return indent("\n".join(line for cells in (head, *rows) for line in table_row(cells)), "   ")


def table_row(cells: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a row."""
    for number, cell in enumerate(cells):
        yield f"{'  ' if number else '* '}- {cell}"
