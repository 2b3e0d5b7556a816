"""How a tutorial is written: its cells, its settings, and what is wrong with it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import folding
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

from tests.library import code_lines

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "gallery").glob("*/plot_*.py"))
SETTINGS = "# Change these numbers and run the script again."
CLOSING = """\
for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
"""
MAX_DRAWING = 0.25  # of the lines of code
MAX_WIDTH = 5.6  # inches; a wider figure has labels of less than 10 px on a phone
DRAWING = {"plt", "fig", "ax", "axes"}  # names that only the code of a figure uses


def name_of(script: Path) -> str:
    """Return the name of a script in the tests' reports: its folder and its own, without ending."""
    return f"{script.parent.name}/{script.stem}"


def cells(script: Path) -> list[tuple[str, str]]:
    """Return the cells of a script, each with its kind, "text" or "code"."""
    return [(block.type, block.content) for block in split_code_and_text_blocks(str(script))[1]]


def computing_and_drawing(cell: str) -> tuple[str, str]:
    """Return the code of a cell up to its line ``# Figure``, and what follows that line."""
    shown, marker, folded = folding.split(cell)
    return computing_and_drawing(folded) if marker == "# Solution" else (shown, folded)


def lines_of(code: list[str]) -> tuple[int, int]:
    """Return the number of lines of code, and of those that draw; alternative texts do not count."""
    parts = [computing_and_drawing(folding.without_descriptions(cell)) for cell in code]
    computing, drawing = (sum(map(code_lines, part)) for part in zip(*parts, strict=True))
    return computing + drawing, drawing


def settings(first_cell: str) -> dict[str, object]:
    """Return the settings of a script, which its first cell lists after a comment."""
    listed = first_cell.partition(f"\n\n{SETTINGS}\n")[2].partition("\nclaims = {}\n")[0]
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(listed).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def names(code: str, context: type[ast.expr_context]) -> set[str]:
    """Return the variables that a piece of code reads or writes."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    return {node.id for node in nodes if isinstance(node.ctx, context)}


def claims(code: str) -> Iterator[ast.expr]:
    """Yield the claims of a piece of code: ``claims["..."] = ...``."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "claims":
            yield node.slice


def faults(script: Path) -> Iterator[str]:
    """Yield what in a script is not as CONTRIBUTING.md asks."""
    parts = cells(script)
    first, *others = [cell for kind, cell in parts if kind == "code"]
    yield from faults_of_settings(first, "\n".join(others))
    yield from faults_of_claims([first, *others])
    yield from faults_of_figures([first, *others])
    yield from faults_of_exercises(parts)


def faults_of_settings(first: str, rest: str) -> Iterator[str]:
    """Yield what is wrong with the first cell."""
    try:
        found = settings(first)
    except ValueError:
        yield "first cell: between the comment and `claims = {}` is something else than settings"
        return
    if not 3 <= len(found) <= 7 or first.strip().rpartition("\n")[2] != "claims = {}":
        yield "first cell: imports, an empty line, the comment, 3 to 7 settings, `claims = {}`"
    if "seed" not in found:
        yield "first cell: no setting is called seed"
    used = names(rest, ast.Load)
    yield from (f"setting {name} is not used" for name in found if name not in used)
    changed = names(rest, ast.Store)
    yield from (f"setting {name} is overwritten" for name in found if name in changed)


def faults_of_claims(code: list[str]) -> Iterator[str]:
    """Yield what is wrong with the claims, the assertions and the last cell."""
    if code[-1].strip() != CLOSING.strip():
        yield "last cell: it must print each claim that does not hold, in the usual words"
    found = [claim for cell in code[:-1] for claim in claims(cell)]
    if not found:
        yield "no claim"
    texts = [ast.unparse(claim) for claim in found]
    yield from (f"claim {text} is made twice" for text in sorted({text for text in texts if texts.count(text) > 1}))
    for claim, text in zip(found, texts, strict=True):
        if not isinstance(claim, ast.Constant | ast.JoinedStr) or not re.match(r"f?['\"][A-Z0-9{].*[^.]['\"]$", text):
            yield f"claim {text} is not a sentence without its full stop"
    for cell in code:
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.Assert) and node.msg is None:
                yield f"no message: {ast.unparse(node)}"


def faults_of_figures(code: list[str]) -> Iterator[str]:
    """Yield what is wrong with the figures."""
    lines, drawn = lines_of(code)
    if drawn > MAX_DRAWING * lines:
        yield f"{drawn} of {lines} lines draw, more than {MAX_DRAWING:.0%}"
    for computing, drawing in map(computing_and_drawing, code):
        yield from (f"{name} outside of `# Figure`" for name in sorted(names(computing, ast.expr_context) & DRAWING))
        for width in re.findall(r"figsize=\(([\d.]+)", drawing):
            if float(width) > MAX_WIDTH:
                yield f"a figure of {width} inches, more than {MAX_WIDTH}"
        if re.search(r"\bfont(?:_?size|dict)\b|\bsize=", drawing):
            yield "text of another size than the style's"


def faults_of_exercises(parts: list[tuple[str, str]]) -> Iterator[str]:
    """Yield what is wrong with the exercises: text and solution in turn, then a text and the last cell."""
    starts = [i for i, (kind, cell) in enumerate(parts) if kind == "text" and re.search(r"^Exercises\n-+$", cell, re.M)]
    if len(starts) != 1:
        yield "there must be one section called Exercises"
        return
    exercises = parts[starts[0] :]
    solutions = [cell for kind, cell in exercises[:-2] if kind == "code"]
    if [kind for kind, _ in exercises] != ["text", "code"] * (len(exercises) // 2):
        yield "exercises: each text has one cell, its solution"
    if not 2 <= len(solutions) <= 4:
        yield f"{len(solutions)} exercises, not 2 to 4"
    for number, solution in enumerate(solutions, start=1):
        if not solution.lstrip("\n").startswith("# Solution\n"):
            yield f"solution {number} does not begin with `# Solution`"
        if not any(claims(solution)) and "assert " not in solution:
            yield f"solution {number} checks nothing"
