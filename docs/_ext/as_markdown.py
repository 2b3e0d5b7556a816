"""Each page as Markdown next to its HTML, and ``llms.txt``, which lists them, for programs that read documentation.

sphinx-markdown-builder writes the pages, from what the HTML build has read, so that nothing is run twice.
"""

from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.locale import _
from sphinx.util.display import progress_message
from sphinx_markdown_builder.builder import MarkdownBuilder
from translated import message

DOWNLOAD = "sphx-glr-download-link-note"  # the class of the note above each tutorial
SECTIONS = {  # the headings of llms.txt, and what the addresses of their pages begin with
    message("Start"): ("index", "install"),
    message("Guide"): ("guide/",),
    message("Tutorials"): ("auto_gallery/",),
    message("API"): ("api/",),
    message("More"): ("",),
}


def write_pages(app: Sphinx, exception: Exception | None) -> None:
    """Write the pages of a site that was built."""
    if exception is None and app.builder.name == "html":
        with progress_message("writing the pages as Markdown"):
            builder = MarkdownBuilder(app, app.env)
            builder.init()
            pages = sorted(app.env.found_docs)
            builder.prepare_writing(set(pages))
            for page in pages:
                file = Path(app.outdir, f"{page}.md")
                if not file.exists() or file.stat().st_mtime < Path(app.doctreedir, f"{page}.doctree").stat().st_mtime:
                    builder.write_doc(page, simplify(app.env.get_and_resolve_doctree(page, builder), page))
            text = "\n".join(listing(app.env, pages, app.config.project, app.config.html_baseurl))
            Path(app.outdir, "llms.txt").write_text(text, encoding="utf-8")


def simplify(document: nodes.document, page: str) -> nodes.document:
    """Replace in a page that was read what sphinx-markdown-builder does not know, and keep one theme of each figure."""
    for node in list(document.findall(nodes.Element)):
        kind = type(node).__name__
        uri = str(node.get("uri", ""))
        is_dark = "only-dark" in node["classes"] or (kind in ("image", "imgsgnode") and "_dark" in uri)
        if is_dark or kind == "comment" or DOWNLOAD in node["classes"]:
            node.parent.remove(node)
        elif kind == "imgsgnode":  # a figure of a tutorial
            place = f"{'../' * page.count('/')}_images/{uri.rpartition('/')[2]}"
            node.replace_self(nodes.image(uri=place, alt=node["alt"]))
        elif kind == "code_links_block":
            node.replace_self(nodes.literal_block(node.astext(), node.astext(), language=node["lang"]))
        elif kind == "abbreviation":
            node.replace_self(list(node))
        elif kind == "classifier":  # the type of a parameter
            term = next(other for other in node.parent if isinstance(other, nodes.term))
            node.parent.remove(node)
            term += [nodes.Text(" : "), *node]
        elif kind == "caption":  # of a block of code
            node.replace_self(nodes.paragraph("", node.astext()))
        elif kind == "citation":
            label, *body = node
            node.replace_self([nodes.paragraph("", f"[{label.astext()}] "), *body])
    return document


def listing(env: BuildEnvironment, pages: list[str], project: str, address: str) -> Iterator[str]:
    """Yield the lines of ``llms.txt``: the title of the site and its summary, and the pages with theirs."""
    yield f"# {project}\n"
    yield f"> {summary(env, 'index')}\n"
    left = list(pages)
    for heading, starts in SECTIONS.items():
        found = [page for page in left if page.startswith(starts)]
        left = [page for page in left if page not in found]
        yield f"## {_(heading)}\n"
        for page in found:
            text = summary(env, page)
            yield f"- [{env.titles[page].astext()}]({address}{page}.md)" + (f": {text}" if text else "")
        yield ""


def summary(env: BuildEnvironment, page: str) -> str:
    """Return the first paragraph of a page as text, or nothing if it has none."""
    paragraphs = env.get_doctree(page).findall(nodes.paragraph)
    found = next((found for found in paragraphs if DOWNLOAD not in found.parent["classes"]), None)
    return " ".join(found.astext().split()) if found else ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages after the HTML."""
    app.setup_extension("sphinx_markdown_builder")
    app.connect("build-finished", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
