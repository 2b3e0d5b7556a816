"""Draw mutants: change one operator, number or condition of the library at random, and see whether a test fails.

``tox run -e mutation`` draws from all modules; ``-- --since main`` from those that changed since a commit. A mutant
that lives points at a test that is missing, or changes nothing that a user sees: those are listed in ``EQUIVALENT``
with the reason. No package does this here: mutmut calls each function through another, which
``torch.compile(fullgraph=True)`` does not pass, and cosmic-ray runs one command for every mutant of every module.
"""

import argparse
import ast
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
SCORE = 0.98
TESTS = ROOT / "tests"
FOR_ALL = ["tests/test_extreme_numbers.py", "tests/test_integers.py", "tests/test_sharded.py"]
OF_TEXTS = {"tests/test_docs.py"}
MAX_SECONDS = 600  # of one run of tests: a search that no longer ends is found, too
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A part of a file, by its lines and bytes, and what stands there instead."""

    file: Path
    start: tuple[int, int]
    end: tuple[int, int]
    before: str
    after: str
    place: str = ""
    """Which of several it is, if a line of the same text has the same change more than once."""

    def __str__(self) -> str:
        line = self.file.read_text().splitlines()[self.start[0] - 1].partition("  #")[0].strip()
        return f"{self.file.relative_to(ROOT)}: {line}: {self.before} -> {self.after}{self.place}"

    def source(self) -> str:
        """Return the file with the mutation."""
        lines = self.file.read_bytes().splitlines(keepends=True)
        (first, left), (last, right) = self.start, self.end
        changed = lines[first - 1][:left] + f"({self.after})".encode() + lines[last - 1][right:]
        return b"".join([*lines[: first - 1], changed, *lines[last:]]).decode()


def mutants(file: Path) -> Iterator[Mutant]:
    """Yield all mutants of a file, each with another text."""
    same = defaultdict[str, list[Mutant]](list)
    for mutant in _mutants(file):
        same[str(mutant)].append(mutant)
    for alike in same.values():
        for number, mutant in enumerate(alike, 1):
            yield replace(mutant, place=f" ({number} of {len(alike)})") if len(alike) > 1 else mutant


def _mutants(file: Path) -> Iterator[Mutant]:
    """Yield all mutants of a file."""
    for node in expressions(ast.parse(file.read_text())):
        before = ast.unparse(node)
        for after in changed(node):
            end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
            if after != before:  # twice 0.0 is 0.0
                yield Mutant(file, (node.lineno, node.col_offset), end, before, after)


def expressions(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions of a piece of code that are computed: no annotation, no text of a message."""
    if isinstance(node, ast.expr):
        yield node
    for name, field in ast.iter_fields(node):
        if name not in {"annotation", "returns", "decorator_list"} and not isinstance(node, ast.JoinedStr | ast.Raise):
            for child in field if isinstance(field, list) else [field]:
                if isinstance(child, ast.AST):
                    yield from expressions(child)


def changed(node: ast.expr) -> Iterator[str]:
    """Yield what may stand in the place of an expression."""
    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                if type(op) in SWAPS:
                    swapped = [*ops[:place], SWAPS[type(op)](), *ops[place + 1 :]]
                    yield ast.unparse(ast.Compare(node.left, swapped, node.comparators))
        case ast.BinOp(op=op) if type(op) in SWAPS:
            yield ast.unparse(ast.BinOp(node.left, SWAPS[type(op)](), node.right))
        case ast.BoolOp(op=op):
            yield ast.unparse(ast.BoolOp(SWAPS[type(op)](), node.values))
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield ast.unparse(node.operand)
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield str(value + 1)
        case ast.Constant(value=float(value)):
            yield str(2 * value)
        case ast.IfExp():
            yield ast.unparse(ast.IfExp(node.test, node.orelse, node.body))
        case _:
            pass


@cache
def users(module: str) -> list[Path]:
    """Return the files of the library that import one of its private modules."""
    beside, elsewhere = rf"^from \.{module} import", rf"\bdlcore\.{module}\b"
    return [
        file
        for file in sorted((ROOT / "dlcore").rglob("*.py"))
        if re.search(beside if file.parent == ROOT / "dlcore" else elsewhere, file.read_text(), re.MULTILINE)
    ]


def module_of(file: Path) -> str:
    """Return the chapter of a file of the library, or the private module."""
    name = file.relative_to(ROOT / "dlcore").with_suffix("").parts
    return ".".join(name[: 2 if name[0] == "shift" else 1])


def own_test(module: str) -> str:
    """Return the file of tests that is named for a module of the library, if there is one."""
    return f"tests/test_{module.strip('_').replace('.', '_')}.py" if module != "__init__" else "tests/test_house.py"


@cache
def imported(test: Path) -> str:
    """Return the full name of whatever a file of tests imports, one a line."""
    nodes = [node for node in ast.walk(ast.parse(test.read_text())) if isinstance(node, ast.ImportFrom)]
    return "".join(f"{node.module}.{alias.name}.\n" for node in nodes for alias in node.names)


@cache
def tests_of_several(module: str) -> list[str]:
    """Return the tests that import a module of the library and are named for no module."""
    named = {own_test(module_of(file)) for file in (ROOT / "dlcore").rglob("*.py")} | OF_TEXTS
    files = [file for folder in (TESTS, TESTS / "ported") for file in sorted(folder.glob("test_*.py"))]
    found = [str(file.relative_to(ROOT)) for file in files if f"dlcore.{module}." in imported(file)]
    return [test for test in found if test not in named]


def commands(file: Path) -> list[list[str]]:
    """Return the tests of a file, the quickest first: those of its chapter, or of the chapters that import it.

    Tests that are named for no chapter count for each one that they import.
    """
    module = module_of(file)
    own, others = own_test(module), [[test] for test in tests_of_several(module)]
    if module.startswith("_"):
        chapters = [command for user in users(module) if module_of(user) != module for command in commands(user)]
        found = [[own] if (ROOT / own).is_file() else [], *others, *sorted(chapters, key=FOR_ALL.__eq__)]
    else:
        home = ROOT / "dlcore" / Path(*module.split("."))
        where = home if home.is_dir() else home.with_suffix(".py")
        found = [
            ["--doctest-modules", str(where.relative_to(ROOT)), own],
            ["tests/test_pairs.py", "tests/test_table.py", "-k", f"{module}."],
            FOR_ALL,
            *(test for test in others if test[0] not in FOR_ALL),
        ]
    return [command for number, command in enumerate(found) if command and command not in found[:number]]


def outcome(folder: Path, mutant: Mutant | None, tests: list[list[str]]) -> str:
    """Return what the tests of this copy of the repository do with a mutation, or without: pass, fail, or not end."""
    if mutant:
        (folder / mutant.file.relative_to(ROOT)).write_text(mutant.source())
    try:
        for test in tests:
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *test]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)
            if run.returncode not in {0, 5}:  # 5: no test of this name
                return "fail"
    except subprocess.TimeoutExpired:
        return "do not end"
    finally:
        if mutant:
            shutil.copy(mutant.file, folder / mutant.file.relative_to(ROOT))
    return "pass"


def drawn(arguments: argparse.Namespace) -> list[Mutant]:
    """Return the mutants to run: at most so many, at random, of the files asked for."""
    files = [str(file.relative_to(ROOT)) for file in (ROOT / "dlcore").rglob("*.py")]
    if arguments.since:
        listed = subprocess.run(
            ["git", "diff", "--name-only", arguments.since], cwd=ROOT, capture_output=True, text=True, check=True
        )
        files = [file for file in files if file in listed.stdout.splitlines()]
    chosen = sorted(file for file in files if file.startswith(tuple(arguments.files or ["dlcore"])))
    known = tomllib.loads(EQUIVALENT.read_text())
    every = [mutant for file in chosen for mutant in mutants(ROOT / file) if str(mutant) not in known]
    return random.Random(arguments.seed).sample(every, min(arguments.count, len(every)))  # noqa: S311


def main() -> None:
    """Run mutants, and tell which live."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("files", nargs="*", help="files or folders of the library (default: all)")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--since", metavar="COMMIT", help="only files that changed since then")
    parser.add_argument("--processes", type=int, default=1, help="how many mutants run at once")
    arguments = parser.parse_args()
    died, lived = Counter[str](), Counter[str]()
    chosen = drawn(arguments)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(arguments.processes) as pool:
        folders = [Path(name) / str(number) for number in range(arguments.processes)]
        for folder in folders:
            shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".tox", "_build", "node_modules"))

        def run(mutant: Mutant | None, tests: list[list[str]]) -> tuple[str, float]:
            """Return what the tests do in a copy that no other mutant is in, and how many seconds they take."""
            folder, start = folders.pop(), time.monotonic()
            try:
                return outcome(folder, mutant, tests), time.monotonic() - start
            finally:
                folders.append(folder)

        needed = [*{tuple(command): command for mutant in chosen for command in commands(mutant.file)}.values()]
        for command, (without, _) in zip(needed, pool.map(lambda command: run(None, [command]), needed), strict=True):
            print(f"without a mutation: {' '.join(command)}", flush=True)
            if without != "pass":
                pool.shutdown(cancel_futures=True)
                sys.exit(f"without a mutation, these tests must pass; they {without}: {' '.join(command)}")
        outcomes = pool.map(lambda mutant: run(mutant, commands(mutant.file)), chosen)
        for mutant, (tests, seconds) in zip(chosen, outcomes, strict=True):
            (lived if tests == "pass" else died)[mutant.file.relative_to(ROOT / "dlcore").parts[0]] += 1
            print(f"tests {tests:10} {seconds:4.0f} s  {mutant}", flush=True)
    print("\n".join(f"{module:30} {died[module]} of {died[module] + lived[module]}" for module in sorted(died | lived)))
    score = died.total() / max(died.total() + lived.total(), 1)
    print(f"score {score:.1%} (target {SCORE:.0%})")
    sys.exit(score < SCORE)


if __name__ == "__main__":
    main()
