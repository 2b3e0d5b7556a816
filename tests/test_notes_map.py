"""No passage of the study notes is without its function and its tutorial, and none that was mended without its test."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.library import public_functions

ROOT = Path(__file__).parents[1]
ROWS: list[dict[str, Any]] = tomllib.loads((ROOT / "docs" / "notes_map.toml").read_text())["row"]
FIELDS = {"heading", "passage", "says", "mended", "functions", "tests", "tutorials"}


def names_of_tests(module: str) -> set[str]:
    """Return the names of the tests of one module."""
    tree = ast.parse((ROOT / "tests" / f"test_{module}.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_all_38_passages_are_there() -> None:
    assert len(ROWS) == 38
    assert len({row["passage"] for row in ROWS}) == 38


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["passage"])
def test_every_passage_has_its_functions_and_its_tests(row: dict[str, Any]) -> None:
    functions = public_functions()

    assert row["functions"]
    assert row["tests"]
    assert [name for name in row["functions"] if name not in functions] == []
    for test in row["tests"]:
        module, _, name = test.partition("::")
        assert name in names_of_tests(module)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["passage"])
def test_every_passage_says_what_it_says_and_what_was_mended(row: dict[str, Any]) -> None:
    assert set(row) == FIELDS
    assert all(row[field].strip().endswith(".") for field in ("says", "mended"))
    assert row["heading"].strip() == row["heading"]
    assert row["heading"][0].isascii()  # the English words come first


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["passage"])
def test_every_passage_has_a_tutorial_that_uses_one_of_its_functions(row: dict[str, Any]) -> None:
    scripts = [(ROOT / "gallery" / f"{name}.py").read_text() for name in row["tutorials"]]

    assert scripts
    assert any(re.search(rf"\b{re.escape(name)}\b", script) for name in row["functions"] for script in scripts)


def test_every_tutorial_belongs_to_a_passage() -> None:
    folder = ROOT / "gallery"
    tutorials = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/plot_*.py")}

    assert tutorials == {name for row in ROWS for name in row["tutorials"]}
