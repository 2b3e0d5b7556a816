"""A hash, without docstrings, of the library code on which a result depends."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def source(module: str, root: Path = ROOT) -> Path | None:
    """Return the file of a module of the library, given its full name, or None if it is not such a module."""
    path = root.joinpath(*module.split("."))
    files = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in files if module.split(".", maxsplit=1)[0] == "dlcore" and file.is_file()), None)


@cache
def tree(file: Path) -> ast.Module:
    """Return the syntax tree of a file without docstrings and comments."""
    parsed = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(parsed):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return parsed


def imports(file: Path, root: Path = ROOT) -> set[str]:
    """Return the modules of the library that a file imports anywhere."""
    package = list(file.relative_to(root).parts[:-1]) if file.is_relative_to(root / "dlcore") else []
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *filter(None, [node.module])])
            below = {alias.name: f"{start}.{alias.name}" for alias in node.names}
            found |= {name if source(name, root) else start for name in below.values()}
    return {module for module in found if source(module, root)}


def closure(modules: Iterable[str], root: Path = ROOT) -> set[str]:
    """Return these modules and all modules of the library that they import, directly or indirectly."""
    reached: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        reached.add(module)
        if file := source(module, root):
            waiting |= imports(file, root) - reached
    return reached


def digest(modules: Iterable[str], root: Path = ROOT) -> str:
    """Return a hash of the code of these modules and of their imports, independent of docstrings and layout."""
    files = {module: source(module, root) for module in closure(modules, root)}
    code = {module: ast.dump(tree(file)) for module, file in sorted(files.items()) if file}
    return hashlib.sha256(repr(code).encode()).hexdigest()[:16]
