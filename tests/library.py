"""What the library's public surface is, found by looking."""

import ast
import importlib
import io
import pkgutil
import tokenize
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import dlcore


def public_modules() -> Iterator[tuple[str, ModuleType]]:
    """Yield each public module by its name below ``dlcore``."""
    for info in pkgutil.walk_packages(dlcore.__path__, "dlcore."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            yield info.name.removeprefix("dlcore."), importlib.import_module(info.name)


def public_names() -> dict[str, Any]:
    """Return each public object by its name below ``dlcore``; a module that a package exports is not one."""
    names = {f"{path}.{name}": getattr(module, name) for path, module in public_modules() for name in module.__all__}
    return {name: value for name, value in names.items() if not isinstance(value, ModuleType)}


def public_functions() -> dict[str, Callable[..., Any]]:
    """Return each public function by its name below ``dlcore``."""
    return {name: value for name, value in public_names().items() if isinstance(value, FunctionType)}


def resolve(library: ModuleType, name: str) -> Callable[..., Any]:
    """Find a function by its name below ``dlcore`` in one of the two copies of the library."""
    value: Any = library
    for part in name.split("."):
        value = getattr(value, part)
    return value


def code_lines(source: str) -> int:
    """Count the lines that hold code: no docstring, no comment, no blank line."""
    prose: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - prose)
