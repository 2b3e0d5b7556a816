"""The reading time of a tutorial, computed from its text and added to its prerequisites.

Folded code, which most readers do not open, is not counted.
"""

from docutils import nodes
from in_short import is_prerequisites
from sphinx.application import Sphinx
from sphinx.locale import _
from translated import SOURCE, in_language, message

WORDS_PER_MINUTE = 200
READING_TIME, MINUTES = message("Reading time:"), message("{n} minutes.")
LINES_PER_MINUTE = 15  # of code; gallery/GALLERY_HEADER.rst states both rates


def minutes(document: nodes.document) -> int:
    """Return the reading time of a page whose code is folded, in minutes."""
    words = [len(text.rawsource.split()) for text in document.findall(is_text)]  # in the language of the sources
    lines = [
        sum(1 for line in block.astext().splitlines() if line.strip())
        for block in document.findall(nodes.literal_block)
        if block.get("language") == "Python" and not is_folded(block)
    ]
    return max(1, round(sum(words) / WORDS_PER_MINUTE + sum(lines) / LINES_PER_MINUTE))


def is_text(node: nodes.Node) -> bool:
    """Tell whether a node is a heading or a paragraph of the script, and not of what sphinx-gallery adds."""
    if not isinstance(node, nodes.title | nodes.paragraph):
        return False
    names = [*node["classes"], *node.parent["classes"]]
    return "description" not in names and not any(name.startswith("sphx-glr") for name in names)


def is_folded(block: nodes.literal_block) -> bool:
    """Tell whether a block of code is folded: the tag that folds it is before it."""
    place = block.parent.index(block)
    return place > 0 and block.parent[place - 1].astext().startswith("<details")


def show(app: Sphinx, document: nodes.document) -> None:
    """Add the reading time to the prerequisites of a tutorial."""
    if not app.env.current_document.docname.startswith("auto_gallery/"):
        return
    for paragraph in list(document.findall(nodes.paragraph)):
        if is_prerequisites(paragraph):
            time = in_language(f"{MINUTES} | n={minutes(document)}")
            gap = " " if app.config.language == SOURCE else ""
            paragraph += [nodes.Text(gap), nodes.emphasis("", str(_(READING_TIME))), nodes.Text(gap + time)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Compute the time of each page after its code was folded."""
    app.connect("doctree-read", show, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
