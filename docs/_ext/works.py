"""The bibliography: each work once, with the functions that cite it; numpydoc lists references per docstring."""

import inspect
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOIS = Path(__file__).parents[1] / "dois.toml"

SECTION = re.compile(r"^References\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^\.\. \[\w+\] (.*?)(?=^\.\. \[|\Z)", re.MULTILINE | re.DOTALL)
PARTS = re.compile(r"(?P<work>.*\b(?:19|20)\d\d)(?:, (?P<place>(?:section|chapter)s? .*))?\.")


def references(docstring: str) -> list[str]:
    """Return the entries in the References section of a docstring, each on one line."""
    section = SECTION.search(inspect.cleandoc(docstring))
    return [" ".join(entry.split()) for entry in ENTRY.findall(section[1])] if section else []


def split(entry: str) -> tuple[str, str]:
    """Return the work that an entry names, and its section or chapter; raise an error if the year is missing."""
    parts = PARTS.fullmatch(entry)
    if parts is None:
        raise ValueError(f"a reference must end with its year and, perhaps, a section or chapter, got {entry!r}")
    return f"{parts['work']}.", parts["place"] or ""


def cited(objects: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Return the works sorted by author, and for each work the cited places with the functions that cite them."""
    works: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, value in objects.items():
        for entry in references(value.__doc__ or ""):
            work, place = split(entry)
            works[work][place].append(name)
    return {
        work: dict(sorted(works[work].items(), key=lambda item: numbers(item[0]))) for work in sorted(works, key=order)
    }


def numbers(place: str) -> list[int]:
    """Return the numbers in a place, which are its sort key."""
    return [int(number) for number in re.findall(r"\d+", place)]


def order(work: str) -> tuple[str, str]:
    """Return the sort key of a work: the last name of its first author, and its year."""
    first = re.split(r", | and | et al", work)[0]
    return first.split()[-1], work[-5:-1]


def page(objects: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the bibliography in reStructuredText."""
    identifiers: dict[str, str] = tomllib.loads(DOIS.read_text(encoding="utf-8"))
    for work, places in cited(objects).items():
        doi = identifiers.get(" ".join(order(work)))
        link = f" `doi:{doi} <https://doi.org/{doi}>`__" if doi else ""
        yield "- " + re.sub(r"^([A-Z]\.)", r"\\\1", work) + link  # an initial would start a list
        yield ""
        for place, names in places.items():
            links = ", ".join(f":obj:`~dlcore.{name}`" for name in names)
            yield f"  | {place + ': ' if place else ''}{links}"
        yield ""
