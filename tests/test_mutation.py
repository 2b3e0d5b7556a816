"""Mutants are drawn where code computes, and run against the tests of their module."""

import tomllib
from pathlib import Path

import pytest

from tests import mutation
from tests.mutation import EQUIVALENT, ROOT, commands, mutants, outcome

SOURCE = '''
def é(x: int = 1, *, y: "float" = 0.5) -> int:
    """Text with 1 < 2."""
    if 0 < x < 2 and not y:
        raise ValueError(f"got {x + 1}")
    return -x if True else x**2 + 0.0
'''


def test_each_part_that_is_computed_has_its_mutants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    (file := tmp_path / "module.py").write_text(SOURCE)

    found = {str(mutant): mutant.source() for mutant in mutants(file)}

    assert {change.rpartition(": ")[2] for change in found} == {
        "1 -> 2",
        "0.5 -> 1.0",
        "0 < x < 2 and (not y) -> 0 < x < 2 or not y",
        "0 < x < 2 -> 0 <= x < 2",
        "0 < x < 2 -> 0 < x <= 2",
        "0 -> 1",
        "2 -> 3",
        "not y -> y",
        "-x if True else x ** 2 + 0.0 -> x ** 2 + 0.0 if True else -x",
        "True -> False",
        "-x -> x",
        "x ** 2 -> x * 2",
        "x ** 2 + 0.0 -> x ** 2 - 0.0",
    }
    assert (
        "    if (0 < x < 2 or not y):\n"
        in found["module.py: if 0 < x < 2 and not y:: 0 < x < 2 and (not y) -> 0 < x < 2 or not y"]
    )


def test_mutants_of_one_text_are_told_apart_by_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    (file := tmp_path / "module.py").write_text("x = 1 * 1\n")

    found = {str(mutant).rpartition(": ")[2]: mutant.source() for mutant in mutants(file)}

    assert found == {
        "1 * 1 -> 1 / 1": "x = (1 / 1)\n",
        "1 -> 2 (1 of 2)": "x = (2) * 1\n",
        "1 -> 2 (2 of 2)": "x = 1 * (2)\n",
    }


def test_each_equivalent_mutant_is_one_of_the_library() -> None:
    known = list(tomllib.loads(EQUIVALENT.read_text()))
    files = {ROOT / text.partition(": ")[0] for text in known}
    texts = {str(mutant) for file in files for mutant in mutants(file)}

    assert [text for text in known if text not in texts] == [], "no line is like this: drop the entry, or correct it"


def test_a_file_is_held_by_the_tests_of_its_chapter_or_of_those_that_import_it() -> None:
    assert commands(ROOT / "dlcore" / "shift" / "label" / "_report.py")[0] == [
        "--doctest-modules",
        "dlcore/shift/label",
        "tests/test_shift_label.py",
    ]
    private = commands(ROOT / "dlcore" / "_regression.py")
    assert any("tests/test_linear.py" in command for command in private)
    assert all(commands(file) for file in (ROOT / "dlcore").rglob("*.py"))


def test_a_file_is_held_by_the_tests_of_several_chapters_that_import_its_own() -> None:
    assert commands(ROOT / "dlcore" / "_rows.py")[0] == ["tests/test_sharded.py"]
    training = {test for command in commands(ROOT / "dlcore" / "training" / "_fit.py") for test in command}
    assert {"tests/test_sharded_training.py", "tests/ported/test_chapters.py"} <= training
    assert "tests/test_mlp.py" not in training, "the test of another chapter"
    assert "tests/test_memory_mapped.py" not in training, "it does not import this chapter"


def test_a_mutant_dies_by_a_test_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    (copy := tmp_path / "copy").mkdir()
    for folder in (tmp_path, copy):
        (folder / "module.py").write_text("x = 1\n")
    (copy / "test_it.py").write_text("import module\n\n\ndef test_it():\n    while module.x == 2:\n        pass\n")
    (mutant,) = mutants(tmp_path / "module.py")

    assert outcome(copy, None, [["test_it.py"]]) == "pass"
    monkeypatch.setattr(mutation, "MAX_SECONDS", 3)
    assert outcome(copy, mutant, [["test_it.py"]]) == "do not end"
    assert (copy / "module.py").read_text() == "x = 1\n"
