"""The equivalents in other libraries, read from the tables of ``guide/equivalents.rst``, for other pages."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TABLES = Path(__file__).parents[1] / "guide" / "equivalents.rst"
LIBRARIES = {"torch": "torch", "numpy": "NumPy", "scipy": "SciPy", "sklearn": "scikit-learn", "optax": "optax"}
ROW = re.compile(r"^   \* - :func:`~dlcore\.([\w.]+)`\n     - (.*)\n((?:       .*\n)*)     -(.*)$", re.MULTILINE)
NAME = re.compile(r"(?::\w+:)?`+~?([\w.]+)`+")


@dataclass(frozen=True)
class Row:
    """A row of a table: a function, the markup of each equivalent by the name of its library, and the difference."""

    function: str
    elsewhere: dict[str, list[str]]
    difference: str


def rows(text: str | None = None) -> list[Row]:
    """Return the rows of all tables."""
    found: list[Row] = []
    for function, first, others, difference in ROW.findall(
        TABLES.read_text(encoding="utf-8") if text is None else text
    ):
        elsewhere: dict[str, list[str]] = defaultdict(list)
        for line in [first, *others.splitlines()]:
            entry = line.strip().removeprefix("| ")
            package = name(entry).partition(".")[0]
            elsewhere[LIBRARIES.get(package, package)].append(entry)
        found.append(Row(function, dict(elsewhere), difference.strip()))
    return found


def name(entry: str) -> str:
    """Return the dotted name that an entry holds."""
    match = NAME.fullmatch(entry)
    if match is None:
        raise ValueError(f"an equivalent must be one name in a role or in backquotes, got {entry!r}")
    return match[1]


def sentences(function: str, found: Sequence[Row]) -> Iterator[str]:
    """Yield a sentence for each row of a function, such as ``In torch: ..., in NumPy: ... (what differs)``."""
    for row in found:
        if row.function == function:
            where = [f"in {library} {', '.join(entries)}" for library, entries in row.elsewhere.items()]
            text = "; ".join(where)
            yield f"{text[0].upper()}{text[1:]}" + (f" – {row.difference}" if row.difference else "")


def index(library: str, found: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table from the names of one library to the functions of dlcore, by name."""
    entries: dict[str, list[str]] = defaultdict(list)
    for row in found:
        link = f":func:`{row.function} <dlcore.{row.function}>`"
        for entry in row.elsewhere.get(library, ()):
            entries[entry].append(link + (f" – {row.difference}" if row.difference else ""))
    yield from (".. list-table::", "   :class: names", "   :header-rows: 1", "   :widths: 40 60", "")
    yield from (f"   * - {library}", "     - dlcore")
    for entry, links in sorted(entries.items(), key=lambda item: name(item[0]).lower()):
        yield f"   * - {entry}"
        yield f"     - | {links[0]}"
        yield from (f"       | {link}" for link in links[1:])
    yield ""
