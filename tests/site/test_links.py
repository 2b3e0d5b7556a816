"""The links of the site, read from its files."""

import posixpath
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Links(HTMLParser):
    """What a page links to, and what in it can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.targets += [values[name] for name in ("href", "src") if name in values]
        self.targets += [source.split()[0] for source in values.get("srcset", "").split(",") if source.strip()]


@cache
def links_of(page: Path) -> Links:
    return Links(page.read_text(encoding="utf-8"))


def broken_links(site: Path, page: Path) -> Iterator[str]:
    for target in links_of(page).targets:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        file = Path(posixpath.normpath(page.parent / unquote(parts.path))) if parts.path else page
        if not file.is_relative_to(site) or not file.is_file():
            yield f"{page.relative_to(site)}: {target} does not exist"
        elif parts.fragment and file.suffix == ".html" and unquote(parts.fragment) not in links_of(file).anchors:
            yield f"{page.relative_to(site)}: {target} has no such anchor"


def test_every_link_inside_the_site_leads_somewhere(site: Path) -> None:
    pages = [page for page in site.rglob("*.html") if "_static" not in page.parts]

    broken = [fault for page in pages for fault in broken_links(site, page)]

    assert broken == []


def test_every_tutorial_can_be_downloaded(site: Path) -> None:
    tutorials = list(site.glob("auto_gallery/**/plot_*.html"))

    kinds = [{Path(t).suffix for t in links_of(page).targets if "_downloads/" in t} for page in tutorials]

    assert tutorials
    assert all(kind >= {".py", ".ipynb"} for kind in kinds)
