"""The index of the API: found by looking at the library, in the order of its floors."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dlcore

FLOORS = {
    "The formulas, each alone": "norms activations likelihood information init batches datasets optim linear metrics "
    "importance",
    "What is minimized": "losses regularization risk",
    "What is done with it": "mlp model_selection training",
    "What is learned from that": "propagation shift",
}

PAGE = """\
API
===

Each module of ``dlcore`` is a chapter: one question, and the functions that answer it. :doc:`All functions <functions>`
on one page, with their formulas, are found by typing.

.. toctree::
   :hidden:

   functions

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
    """Return what a module's ``__all__`` names, in the order of the text that defines it; submodules first."""

    def place(name: str) -> tuple[str, int]:
        value = inspect.unwrap(getattr(module, name))
        return ("", 0) if inspect.ismodule(value) else (inspect.getfile(value), inspect.getsourcelines(value)[1])

    return sorted(module.__all__, key=place)


def write(folder: Path) -> dict[str, list[str]]:
    """Write the page that lists every module, and return each module's names for its page's template.

    A module that no floor names is listed all the same, last.
    """
    top = public_modules(dlcore, "dlcore.")
    order = {f"dlcore.{name}": title for title, names in FLOORS.items() for name in names.split()}
    sections: dict[str, list[str]] = {title: [] for title in (*FLOORS, "More")}
    for name in sorted(top, key=lambda name: (list(order).index(name) if name in order else len(order), name)):
        sections[order.get(name, "More")].append(name)
    page = PAGE
    for title, names in sections.items():
        if names:
            rows = "\n".join(f"   {name}" for name in names)
            page += SECTION.format(title=title, underline="-" * len(title), modules=rows)

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
    """Yield each module that has public functions with these, in the order of the floors."""
    order = [f"dlcore.{name}" for names in FLOORS.values() for name in names.split()]

    def place(module: str) -> tuple[int, str]:
        top = ".".join(module.split(".")[:2])
        return (order.index(top) if top in order else len(order), module)

    for module in sorted(names_of, key=place):
        values = {name: getattr(importlib.import_module(module), name) for name in names_of[module]}
        found = {name: value for name, value in values.items() if inspect.isfunction(value)}
        if found:
            yield module, found


def question(module: str) -> str:
    """Return the question that a module's docstring asks in its first line."""
    return (inspect.getdoc(importlib.import_module(module)) or "").partition("\n")[0]


def write_if_changed(file: Path, text: str) -> None:
    """Write a page, unless it says the same already: what is not touched is not read again."""
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
