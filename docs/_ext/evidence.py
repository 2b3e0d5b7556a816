"""The evidence page and the line of evidence on the page of each function: what a test run verified.

Both are made from the JSON files that ``pytest --evidence FILE`` writes. The files in ``docs/measured/evidence`` are
those of the last complete run. Files in the build folder, from a run on this machine, replace what they cover if they
belong to the current code. If the code of a chapter has changed since its tests ran, its table says so.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

import chapters
import library_code
from markup import escape, list_table
from translated import message, said

from tests.table import LAYERS, LAYERS_OF_TWO_PROCESSES, Entry, gather

ALL_LAYERS = LAYERS | LAYERS_OF_TWO_PROCESSES

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
    "autocast": "autocast",
    "dynamic": "dynamic",
    "export": "export",
    "DDP": "ddp",
    "FSDP2": "fsdp",
    "DTensor": "dtensor",
}
HELD, FAILED, EXEMPT, NOT_RUN = "✓", "✗", "–", "·"

PAGE = """\
Evidence
========

This page shows what the tests verified for each function, and which properties do not hold.

{run}

For timings, see :doc:`performance`.

.. fold:: {summary}
   :class: legend

{legend}

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
    **{heading: f"{ALL_LAYERS[kind]}." for heading, kind in COLUMNS.items() if kind in ALL_LAYERS},
    "refusals": "the number of calls with bad input that raised exactly the expected error.",
    "compared with": "the references with which passed tests compare the function: the formula in 50 digits, other "
    "packages, or the definition written out in the test. The number is the largest relative difference in float64 "
    "over all of these tests and all of their inputs.",
}
RUN = message(
    "The results are from the run of {date}: {passed} tests and examples passed, {failed} failed ({machine})."
)
NO_RUN = "**No test run belongs to this build**, so the tables claim nothing. Run ``tox run -e tests,doctests``."
OUTDATED = message("The code of this chapter has changed since the run of {date}.")
TESTS = message("{n} more tests of this chapter")
LARGEST_ERROR = message("largest error {error}")
NOT_TESTED = message("not tested for this build")
BEFORE_CHANGE = message("{date}, before the last change of the code")
REFERENCES = {"its definition": message("its definition"), "50 digits": message("50 digits")}
EQUAL = message("(equal)")
EVIDENCE = message("Evidence")
COLUMNS_AND_SIGNS = message("Meaning of the columns and signs")
HEADINGS = (message("gradient"), message("vmap"), message("compile"))
CHAPTER = """\
{title}
{underline}

{outdated}

.. list-table::
   :class: evidence
   :header-rows: 1
   :stub-columns: 1
   :widths: auto

{rows}

{exempt}

{tests}

"""
FOLDED_TESTS = """\
.. fold:: {summary}
   :class: tests

{rows}
"""


@dataclass
class Evidence:
    """What test runs showed of each function and chapter.

    ``functions`` and ``tests`` have the form that ``tests.evidence.condense`` describes. ``dates`` has the date of the
    results of each chapter, and ``outdated`` the chapters whose code has changed since.
    """

    runs: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    functions: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    tests: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    dates: dict[str, str] = field(default_factory=dict[str, str])
    outdated: set[str] = field(default_factory=set[str])

    @classmethod
    def read(cls, committed: Path, local: Path) -> "Evidence":
        """Read the files of the last complete run, and those of a run on this machine."""
        found = cls()
        for folder in (committed, local):
            for file in sorted(folder.glob("*.json")):
                found.add(json.loads(file.read_text(encoding="utf-8")), folder == committed)
        return found

    def add(self, run: dict[str, Any], is_committed: bool) -> None:
        """Add a run; results of code that has changed count only if they are committed, and are marked."""
        used = False
        for chapter, code in run["code"].items():
            functions = {name: kinds for name, kinds in run["functions"].items() if name.rpartition(".")[0] == chapter}
            tests = {name: counts for name, counts in run["tests"].items() if of_chapter(name, chapter)}
            is_current = library_code.digest([f"dlcore.{chapter}"]) == code
            if not (functions or tests) or not (is_current or is_committed):
                continue
            if is_current and chapter in self.outdated:  # do not mix results of two versions of the code
                self.outdated.remove(chapter)
                self.functions = {n: kinds for n, kinds in self.functions.items() if n.rpartition(".")[0] != chapter}
                self.tests = {name: counts for name, counts in self.tests.items() if not of_chapter(name, chapter)}
            if not is_current:
                self.outdated.add(chapter)
            for name, kinds in functions.items():
                before = self.functions.get(name, {"compared": {}})
                self.functions[name] = {**before, **kinds, "compared": before["compared"] | kinds["compared"]}
            self.tests |= tests
            self.dates[chapter] = max(self.dates.get(chapter, ""), run["date"])
            used = True
        if used:
            self.runs[run["date"], run["machine"]].update(passed=run["passed"], failed=run["failed"])

    def mark(self, function: str, kind: str) -> str:
        """Return the sign for one kind of tests of a function."""
        return mark(self.functions.get(function, {}).get(kind))

    def compared(self, function: str) -> dict[str, float | None]:
        """Return the references that passed tests compare a function with, each with the largest difference."""
        return self.functions.get(function, {}).get("compared", {})


def of_chapter(test: str, chapter: str) -> bool:
    """Tell whether a test is in the file of a chapter."""
    return test.partition("::")[0] == chapter.replace(".", "_")


def write(folder: Path, evidence: Evidence, names_of: dict[str, list[str]]) -> None:
    """Write the evidence page."""
    table = gather()
    legend = indent("\n".join(f"{sign}\n    {meaning}" for sign, meaning in LEGEND.items()), "   ")
    runs = [
        said(RUN, date=date, machine=machine, passed=f"{counts['passed']:,}", failed=counts["failed"])
        for (date, machine), counts in sorted(evidence.runs.items(), reverse=True)
    ]
    page = PAGE.format(run=" ".join(runs) or NO_RUN, summary=COLUMNS_AND_SIGNS, legend=legend)
    for module, functions in chapters.functions(names_of):
        chapter = module.removeprefix("dlcore.")
        names = [f"{chapter}.{name}" for name in functions]
        page += CHAPTER.format(
            title=chapter,
            underline="-" * len(chapter),
            outdated=said(OUTDATED, date=evidence.dates[chapter]) if chapter in evidence.outdated else "",
            rows=list_table(
                ["function", "compared with", *COLUMNS, "refusals"], [row(n, evidence, table) for n in names]
            ),
            exempt=exemptions({name: table[name] for name in names if name in table}),
            tests=sentences(evidence, chapter),
        )
    chapters.write_if_changed(folder / "index.rst", page)


def row(name: str, evidence: Evidence, table: dict[str, Entry]) -> list[str]:
    """Return the cells of a function's row."""
    entry = table.get(name)
    marks = [EXEMPT if entry and kind in entry.exempt else evidence.mark(name, kind) for kind in COLUMNS.values()]
    refusals = evidence.functions.get(name, {}).get("refuses", [0, 0])
    counted = str(refusals[0]) if mark(refusals) == HELD else mark(refusals)
    compared = ", ".join(
        f"{reference(oracle)}{digits(error)}" for oracle, error in sorted(evidence.compared(name).items())
    )
    return [f".. _{anchor(name)}:\n\n:func:`~dlcore.{name}`", compared or NOT_RUN, *marks, counted]


def anchor(name: str) -> str:
    """Return the name of the place where the evidence page shows a function."""
    return f"evidence-{name}"


def badge(name: str, evidence: Evidence, headings: Iterable[str] = HEADINGS) -> str:
    """Return one line that says what was verified of a function, with a link to its row on the evidence page."""
    chapter = name.rpartition(".")[0]
    compared = evidence.compared(name)
    held = [heading for heading in headings if evidence.mark(name, COLUMNS[heading]) == HELD]
    parts = [" · ".join([*map(reference, sorted(compared)), *map(said, held)])] if compared or held else []
    errors = [error for error in compared.values() if error is not None]
    parts += [said(LARGEST_ERROR, error=digits(max(errors)).strip(" ()"))] if any(errors) else []
    date = evidence.dates.get(chapter)
    parts += [said(BEFORE_CHANGE, date=date) if chapter in evidence.outdated else date or said(NOT_TESTED)]
    return f":said-ref:`{EVIDENCE} <{anchor(name)}>`: {'; '.join(parts)}"


def reference(name: str) -> str:
    """Return the markup of what a function is compared with: the name of a package, or a message."""
    return said(REFERENCES[name]) if name in REFERENCES else name


def mark(counts: Sequence[int] | None) -> str:
    """Return the sign for the numbers of passed and failed tests: passed only if all tests passed."""
    passed, failed = counts or (0, 0)
    return FAILED if failed else HELD if passed else NOT_RUN


def digits(error: float | None) -> str:
    """Return an error rounded to one digit, in parentheses, or an empty string if none was measured."""
    if error is None:
        return ""
    return f" ({error:.0e})".replace("e-0", "e-") if error else f" {said(EQUAL)}"


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


def sentences(evidence: Evidence, chapter: str) -> str:
    """List the tests of a chapter by their names, which are sentences, with the largest error of each."""
    tests = {name: counts for name, counts in evidence.tests.items() if of_chapter(name, chapter)}
    lines = [
        f"- {mark(counts[:2])} {escape(name.partition('::test_')[2].replace('_', ' '))}{digits(counts[2])}"
        for name, counts in tests.items()
    ]
    rows = indent("\n".join(lines), "   ")
    return FOLDED_TESTS.format(summary=f"{TESTS} | n={len(tests)}", rows=rows) if tests else ""
