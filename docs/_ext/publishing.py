"""What a site has once its address is known: a list of its pages for those who search the web."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

from sphinx.application import Sphinx


def sitemap(address: str, pages: Iterable[str]) -> str:
    """Return the sitemap of the pages below an address."""
    root = Element("urlset", xmlns="http://www.sitemaps.org/schemas/sitemap/0.9")
    for page in sorted(pages):
        SubElement(SubElement(root, "url"), "loc").text = f"{address.rstrip('/')}/{quote(page)}"
    return tostring(root, encoding="unicode", xml_declaration=True)


def write_sitemap(app: Sphinx, exception: Exception | None) -> None:
    """Write the sitemap, of all pages and not only of those that this build wrote."""
    if app.config.html_baseurl and exception is None and app.builder.format == "html":
        pages = [app.builder.get_target_uri(name) for name in app.env.found_docs]
        Path(app.outdir, "sitemap.xml").write_text(sitemap(app.config.html_baseurl, pages), encoding="utf-8")


def make_static_folder(app: Sphinx) -> None:
    """Make the folder before the theme copies its logo there: after a build that failed early, it makes a file."""
    if app.builder.format == "html":
        Path(app.outdir, "_static").mkdir(parents=True, exist_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the events."""
    app.connect("builder-inited", make_static_folder)
    app.connect("build-finished", write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
