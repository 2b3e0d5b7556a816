"""The page of all functions: each with the formula of its docstring, and a filter. autosummary shows no formulas."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import chapters
from translated import message, said

PAGE = """\
All functions
=============

{counted}

The page of each function has its parameters, its examples and the tutorials that use it.

.. raw:: html

   <div class="filter pst-js-only"></div>
   <script defer src="../_static/filter.js"></script>

"""

COUNTED = message("This page lists all {count} public functions of dlcore with their formulas, by chapter.")
CHAPTER = """\
{title}
{underline}

{question}

.. rst-class:: functions

{rows}

"""

ROW = """\
- :func:`{name} <dlcore.{name}>`

  {summary}

  .. math::

{formula}
"""


def write(folder: Path, names_of: dict[str, list[str]]) -> None:
    """Write the page that lists every function, in the order of the chapters."""
    page, count = "", 0
    for module, functions in chapters.functions(names_of):
        rows = [row(f"{module}.{name}".removeprefix("dlcore."), function) for name, function in functions.items()]
        count += len(rows)
        title = module.removeprefix("dlcore.")
        page += CHAPTER.format(
            title=title, underline="-" * len(title), question=chapters.question(module), rows="\n".join(rows)
        )
    chapters.write_if_changed(folder / "functions.rst", PAGE.format(counted=said(COUNTED, count=count)) + page)


def row(name: str, function: Callable[..., Any]) -> str:
    """Return a function's row: its name, the first paragraph of its docstring, and the first formula in it."""
    text = inspect.getdoc(function) or ""
    summary = " ".join(text.partition("\n\n")[0].split())
    summary = re.sub(r":func:`(\w+)`", rf":func:`~dlcore.{name.rpartition('.')[0]}.\1`", summary)
    return ROW.format(name=name, summary=summary, formula=indent(formula(text), " " * 6))


def formula(docstring: str) -> str:
    """Return the first displayed formula of a docstring; only the first one if its block has several."""
    found = re.search(r"^\.\. math:: *(.*)\n((?:\n| +.*\n?)*)", docstring, re.MULTILINE)
    return (found[1] or dedent(found[2]).strip().partition("\n\n")[0]) if found else ""
