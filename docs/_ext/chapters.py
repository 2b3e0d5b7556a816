"""The API index: all public modules of dlcore, ordered by the layers in ``pyproject.toml``.

autosummary lists only the modules that it is given; this extension finds them.
"""

import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import dlcore

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
SECTIONS = {  # the title of each section of the index, and a module in the lowest layer of that section
    "Building blocks": "norms",
    "Losses, penalties and risk": "losses",
    "Networks, training and model selection": "mlp",
    "Signal propagation and distribution shift": "shift",
}

PAGE = """\
API
===

Each module of ``dlcore`` is a chapter: a topic and its functions. The page :doc:`All functions <functions>` lists every
function with its formula and has a filter. If you come from another library, see
:doc:`From torch to dlcore </guide/from_torch>`. If you know what you want to do, see :ref:`By task <find-by-task>`.

.. toctree::
   :hidden:

   functions

"""
TASKS = """\
.. _find-by-task:

By task
-------

.. include:: /tasks.rst
"""

SECTION = """\
{title}
{underline}

.. autosummary::
   :toctree: .

{modules}

"""


def public_modules(package: ModuleType, prefix: str) -> dict[str, ModuleType]:
    """Return the public modules directly below a package, by their full names."""
    names = [info.name for info in pkgutil.iter_modules(package.__path__, prefix) if "._" not in info.name]
    return {name: importlib.import_module(name) for name in names}


def public_names(module: ModuleType) -> list[str]:
    """Return the names in a module's ``__all__`` in the order of their definitions, submodules first."""

    def place(name: str) -> tuple[str, int]:
        value = inspect.unwrap(getattr(module, name))
        return ("", 0) if inspect.ismodule(value) else (inspect.getfile(value), inspect.getsourcelines(value)[1])

    return sorted(module.__all__, key=place)


def layers(pyproject: Path = PYPROJECT) -> list[list[str]]:
    """Return the modules of each layer in the import-linter contract of ``dlcore``, lowest first; none without one."""
    tools = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
    for contract in tools.get("importlinter", {}).get("contracts", []):
        if contract["type"] == "layers" and contract.get("containers", ["dlcore"]) == ["dlcore"]:
            return [re.findall(r"[\w.]+", layer.replace("dlcore.", "")) for layer in reversed(contract["layers"])]
    return []


def sections(names: Sequence[str], order: list[list[str]]) -> dict[str, list[str]]:
    """Return the modules of each section, ordered by layer and then by name; modules in no layer come last."""
    title = next(iter(SECTIONS)) if order else "Modules"
    found: dict[str, list[str]] = {title: []}
    for layer in order:
        title = next((title for title, first in SECTIONS.items() if first in layer), title)
        found.setdefault(title, []).extend(sorted({f"dlcore.{name}" for name in layer} & set(names)))
    found[title] += sorted(set(names).difference(*found.values()))
    return found


def write(folder: Path) -> dict[str, list[str]]:
    """Write the page that lists every module, and return the names of each module for the page template."""
    top = public_modules(dlcore, "dlcore.")
    page = PAGE
    for title, names in sections(list(top), layers()).items():
        rows = "\n".join(f"   {name}" for name in names)
        page += SECTION.format(title=title, underline="-" * len(title), modules=rows)
    page += TASKS

    contents: dict[str, list[str]] = {}
    waiting = dict(top)
    while waiting:
        name, module = waiting.popitem()
        contents[name] = public_names(module)
        if hasattr(module, "__path__"):
            waiting |= public_modules(module, f"{name}.")

    folder.mkdir(exist_ok=True)
    expected = {
        "index",
        "functions",
        *contents,
        *(f"{name}.{member}" for name, members in contents.items() for member in members),
    }
    for stub in folder.glob("*.rst"):
        if stub.stem not in expected:
            stub.unlink()
    write_if_changed(folder / "index.rst", page)
    return contents


def functions(names_of: dict[str, list[str]]) -> Iterator[tuple[str, dict[str, Callable[..., Any]]]]:
    """Yield each module that has public functions, with these functions, in the order of the index."""
    top = sorted({".".join(module.split(".")[:2]) for module in names_of})
    order = [name for names in sections(top, layers()).values() for name in names]
    for module in sorted(names_of, key=lambda module: (order.index(".".join(module.split(".")[:2])), module)):
        values = {name: getattr(importlib.import_module(module), name) for name in names_of[module]}
        found = {name: value for name, value in values.items() if inspect.isfunction(value)}
        if found:
            yield module, found


def sources(names_of: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return, for each public module, the modules that define its functions and classes."""
    return {
        module: sorted(
            {
                found.__module__
                for found in (getattr(importlib.import_module(module), n) for n in names)
                if not inspect.ismodule(found) and hasattr(found, "__module__")
            }
        )
        for module, names in names_of.items()
    }


def question(module: str) -> str:
    """Return the first line of a module's docstring."""
    return (inspect.getdoc(importlib.import_module(module)) or "").partition("\n")[0]


def write_if_changed(file: Path, text: str) -> None:
    """Write a page if its text changed, because Sphinx reads every file again that was written."""
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
