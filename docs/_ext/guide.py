"""Directives for computed lists, so that no list is incomplete, and a role for Chinese text.

``notes-map`` shows every passage of ``notes_map.toml``, ``notes-tests`` the code of the tests that it names,
``works-cited`` lists the works that the docstrings cite, ``chapters`` lists the chapters of the tutorials with their
questions, and ``equivalents-by-name`` lists the functions of other libraries with those of dlcore. The role ``:zh:``
marks text as Chinese.
"""

import ast
import importlib
import inspect
import tomllib
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import equivalents
import translated
import works
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

DOCS = Path(__file__).parents[1]
NOTES = DOCS / "notes_map.toml"
GALLERY = DOCS.parent / "gallery"

TOTAL = translated.message(
    "Total: {passages} passages, {functions} functions, {tests} tests and {tutorials} tutorials."
)
PASSAGE = """\
.. rubric:: {passage}

.. rst-class:: passage

:The notes: {says}
:Corrected or added: {mended}
:Functions: {functions}
:Tutorials: {tutorials}
:Tests: {tests}
"""


def notes_map() -> Iterator[str]:
    """Yield the map of the notes: a section for each heading, with the passages below it."""
    rows: list[dict[str, Any]] = tomllib.loads(NOTES.read_text(encoding="utf-8"))["row"]
    names = {name for row in rows for name in row["functions"]}
    tests = {name for row in rows for name in row["tests"]}
    tutorials = {name for row in rows for name in row["tutorials"]}
    numbers = {"passages": rows, "functions": names, "tests": tests, "tutorials": tutorials}
    yield translated.said(TOTAL, **{name: len(found) for name, found in numbers.items()}) + "\n"
    for heading, passages in groupby(rows, lambda row: row["heading"]):
        yield f"{bilingual(heading)}\n{'-' * 120}\n"
        for row in passages:
            yield PASSAGE.format(
                passage=row["passage"],
                says=" ".join(row["says"].split()),
                mended=" ".join(row["mended"].split()),
                functions=", ".join(f":func:`~dlcore.{name}`" for name in row["functions"]),
                tutorials=", ".join(f":doc:`/auto_gallery/{name}`" for name in row["tutorials"]),
                tests="; ".join(f":ref:`{sentence(name)} <{label(name)}>`" for name in row["tests"]),
            )


def notes_tests() -> Iterator[str]:
    """Yield the code of each test that the map of the notes names, in the order of the map."""
    rows: list[dict[str, Any]] = tomllib.loads(NOTES.read_text(encoding="utf-8"))["row"]
    for name in dict.fromkeys(name for row in rows for name in row["tests"]):
        yield f".. code-block:: python\n   :name: {label(name)}\n   :caption: tests/test_{name.partition('::')[0]}.py\n"
        yield from (f"   {line}".rstrip() for line in code_of(name).splitlines())
        yield ""


def code_of(test: str) -> str:
    """Return the code of a test, given as ``norms::test_triangle_inequality``, with its decorators."""
    module, _, name = test.partition("::")
    text = (DOCS.parent / "tests" / f"test_{module}.py").read_text(encoding="utf-8")
    found = next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name)
    start = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
    return "\n".join(text.splitlines()[start - 1 : found.end_lineno])


def sentence(test: str) -> str:
    """Return the name of a test as the sentence that it is."""
    return test.partition("::test_")[2].replace("_", " ")


def label(test: str) -> str:
    """Return the name of the place that shows the code of a test."""
    return test.replace("::", "-").replace("_", "-")


def bilingual(heading: str) -> str:
    """Return a heading in which the Chinese words are marked as Chinese."""
    words = heading.split()
    first = next((i for i, word in enumerate(words) if not word.isascii()), len(words))
    english, chinese = " ".join(words[:first]), " ".join(words[first:])
    return f"{english} :zh:`{chinese}`" if chinese else english


def works_cited(names_of: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the bibliography of the public functions and classes, given the names of each module."""
    objects = {
        f"{module}.{name}".removeprefix("dlcore."): getattr(importlib.import_module(module), name)
        for module in sorted(names_of)
        for name in names_of[module]
    }
    yield from works.page({name: value for name, value in objects.items() if not inspect.ismodule(value)})


def gallery_chapters() -> Iterator[str]:
    """Yield the chapters of the tutorials, each with its title and its question."""
    yield ".. container:: chapters\n"
    for header in sorted(GALLERY.glob("*/GALLERY_HEADER.rst")):
        question = header.read_text(encoding="utf-8").strip().split("\n\n")[1]
        yield "   .. container:: chapter\n"
        yield f"      :doc:`/auto_gallery/{header.parent.name}/index`\n"
        yield f"      {' '.join(question.split())}\n"


def equivalents_by_name() -> Iterator[str]:
    """Yield a table for each other library: its names, and the functions of dlcore that they correspond to."""
    rows = equivalents.rows()
    for library in equivalents.LIBRARIES.values():
        yield f"{library}\n{'-' * len(library)}\n"
        yield from equivalents.index(library, rows)


class Computed(SphinxDirective):
    """A directive that is replaced by computed text."""

    has_content = False
    names: ClassVar = ("notes-map", "notes-tests", "works-cited", "chapters", "equivalents-by-name")

    def run(self) -> list[nodes.Node]:
        """Parse the computed text as part of the page."""
        self.env.note_dependency(str(NOTES))
        self.env.note_dependency(str(equivalents.TABLES))
        lines = {
            "notes-map": notes_map,
            "notes-tests": notes_tests,
            "works-cited": lambda: works_cited(self.config.autosummary_context["names_of"]),
            "chapters": gallery_chapters,
            "equivalents-by-name": equivalents_by_name,
        }[self.name]()
        parsed = self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)
        if self.name in ("works-cited", "notes-tests"):
            translated.untranslatable(parsed)
        return parsed


def chinese(name: str, rawtext: str, text: str, *where: Any) -> tuple[list[nodes.Node], list[nodes.system_message]]:  # noqa: ANN401, ARG001
    """Mark text as Chinese by a class that docutils writes as the attribute ``lang``."""
    return [nodes.inline(rawtext, text, classes=["language-zh"])], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives and the role."""
    for name in Computed.names:
        app.add_directive(name, Computed)
    app.add_role("zh", chinese)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
