"""Show the main figure of a tutorial at its top, at the end of the section "In short".

The main figure is that of the thumbnail: the first one, or the number that the script gives. It is shown again where
the script draws it, there with its slider if it moves.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx


def is_prerequisites(paragraph: nodes.paragraph) -> bool:
    """Tell whether a paragraph, in any language, is the last one of "In short"."""
    return paragraph.rawsource.startswith("*Prerequisites:*")


def show_main_figure(app: Sphinx, document: nodes.document) -> None:
    """Copy the main figure, once for each theme, to the place before the prerequisites."""
    script = Path(app.srcdir, f"{app.env.current_document.docname}.py")
    if script.parent.parent.name != "auto_gallery" or not script.exists():
        return
    below = next(p for p in document.findall(nodes.paragraph) if is_prerequisites(p))
    number = re.search(r"sphinx_gallery_thumbnail_number = (\d+)", script.read_text(encoding="utf-8"))
    for theme in ("only-light", "only-dark"):
        figures = [box for box in document.findall(nodes.container) if theme in box["classes"]]
        if figures:
            copy = figures[int(number[1]) - 1 if number else 0].deepcopy()
            copy["classes"].append("in-short")
            copy.children = [child for child in copy.children if "slider" not in child.get("classes", [])]
            below.parent.insert(below.parent.index(below), copy)


def setup(app: Sphinx) -> dict[str, bool]:
    """Copy the figure after a page was read, before Sphinx collects the images."""
    app.connect("doctree-read", show_main_figure, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
