"""reStructuredText that several modules write."""

from collections.abc import Iterable, Iterator
from textwrap import indent


def escape(text: str) -> str:
    """Escape the characters that reStructuredText would read as markup."""
    return "".join(f"\\{sign}" if sign in "\\*`|_" else sign for sign in text)


def list_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return the body of a list-table directive."""
    return indent("\n".join(line for cells in (head, *rows) for line in table_row(cells)), "   ")


def table_row(cells: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a row; a cell may have several lines."""
    for number, cell in enumerate(cells):
        first, *others = cell.split("\n")
        yield f"{'  ' if number else '* '}- {first}"
        yield from (f"    {line}".rstrip() for line in others)
