"""A study's table: a row for each method, a column for each measure."""

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.frame import aligned

__all__ = ["Table"]

Cell = float | str | None


@dataclass
class Table:
    """What the methods reached in one setting.

    ``setting`` says in one line what was drawn, and how often. ``targets`` holds what dlcore's row must not exceed, by
    column. A cell is a number, a word (why there is none, such as ``not installed``), or None: not measured.
    """

    title: str
    setting: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[Cell, ...]] = field(default_factory=dict[str, tuple[Cell, ...]])
    targets: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, method: str, *cells: Cell) -> None:
        """Add the row of a method."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{method} must have {len(self.columns)} cells, got {len(cells)}")
        self.rows[method] = cells

    def add_missing(self, method: str) -> None:
        """Add the row of a method or problem whose package is not installed."""
        self.add(method, "not installed", *[None] * (len(self.columns) - 1))

    def as_json(self) -> dict[str, Any]:
        """Return the table as other programs read it."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the table in aligned columns."""
        head = ("method", *self.columns)
        lines = [head, *((name, *map(_show, cells)) for name, cells in self.rows.items())]
        if self.targets:
            lines.append(("target", *(_show(self.targets.get(column)) for column in self.columns)))
        return "\n".join([self.title, self.setting, aligned(lines, left=1)])


def _show(cell: Cell) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else f"{cell:.3g}"
