"""Fold the code of figures and the solutions of exercises on the pages of the tutorials.

In a cell of a script, everything from a line ``# Figure`` or ``# Solution`` to the end of the cell is folded on the
page; a click or the Enter key opens it. Downloads contain everything. sphinx-gallery cannot do this (its issue 953).

The page omits the line ``fig.set_label(...)``, the alternative text of the figure below it.
"""

import ast
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.locale import _
from translated import message

SUMMARIES = {"# Figure": message("Code of the figure"), "# Solution": message("Solution")}
MARKER = re.compile(rf"^({'|'.join(SUMMARIES)})\n", flags=re.MULTILINE)


def split(cell: str) -> tuple[str, str, str]:
    """Return what a cell shows, the marker that follows it, and what the marker folds, or two empty strings."""
    shown, *folded = MARKER.split(cell, maxsplit=1)
    marker, rest = folded or ("", "")
    return shown.strip("\n"), marker, rest.strip("\n")


def without_descriptions(code: str) -> str:
    """Return code without the statements ``fig.set_label(...)``."""
    lines: list[str | None] = list(code.split("\n"))
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Expr) and ast.unparse(node).startswith("fig.set_label("):
            lines[node.lineno - 1 : node.end_lineno] = [None] * (node.end_lineno - node.lineno + 1)
    return "\n".join(line for line in lines if line is not None)


def fold(app: Sphinx, document: nodes.document) -> None:
    """Split each cell of a tutorial at its marker, and fold what follows."""
    if not app.env.current_document.docname.startswith("auto_gallery/"):
        return
    for block in list(document.findall(nodes.literal_block)):
        if block.get("language") != "Python":
            continue
        shown, marker, folded = split(without_descriptions(block.astext()))
        parts: list[nodes.Node] = [code_block(shown, block)] if shown else []
        if marker:
            opening = f'<details class="folded"><summary>{_(SUMMARIES[marker])}</summary>'
            parts += [
                nodes.raw("", opening, format="html"),
                code_block(folded, block),
                nodes.raw("", "</details>", format="html"),
            ]
        block.replace_self(parts)


def code_block(code: str, like: nodes.literal_block) -> nodes.literal_block:
    """Return a block of code with the attributes of another block."""
    block = nodes.literal_block(code, code, **like.attributes)
    block.source, block.line = like.source, like.line
    return block


def setup(app: Sphinx) -> dict[str, bool]:
    """Fold each page after it was read."""
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
