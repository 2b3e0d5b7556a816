"""The links of the site, read from its files."""

import ast
import posixpath
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tests.library import public_names

GALLERY = Path(__file__).parents[2] / "gallery"


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


def names_in(script: Path) -> set[str]:
    """Return the public functions that a script calls by their module's name."""
    chains = {ast.unparse(node) for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Attribute)}
    return {chain.removeprefix("dlcore.") for chain in chains}


def test_every_name_in_a_tutorial_leads_to_its_page_and_that_page_back(site: Path) -> None:
    functions = {page.stem.removeprefix("dlcore."): page for page in site.glob("api/dlcore.*.*.html")}
    missing: list[str] = []

    for page in site.glob("auto_gallery/*/plot_*.html"):
        names = names_in(GALLERY / page.parent.name / f"{page.stem}.py") & set(functions)
        there = {PurePosixPath(urlsplit(target).path).name for target in links_of(page).targets}
        missing += [f"{page.stem} does not lead to {name}" for name in names if f"dlcore.{name}.html" not in there]
        back = {name: {Path(urlsplit(t).path).name for t in links_of(functions[name]).targets} for name in names}
        missing += [f"{name} does not lead to {page.stem}" for name, links in back.items() if page.name not in links]

    assert functions
    assert missing == []


def test_every_tutorial_leads_to_related_ones(site: Path) -> None:
    tutorials = {page.name: page for page in site.glob("auto_gallery/*/plot_*.html")}

    alone = []
    for name, page in tutorials.items():
        related = page.read_text(encoding="utf-8").partition("Related examples")[2]
        others = {Path(urlsplit(target).path).name for target in Links(related).targets} & set(tutorials) - {name}
        alone += [name] if len(others) < min(3, len(tutorials) - 1) else []

    assert alone == []


def source_of(page: Path) -> tuple[Path, str] | None:
    """Return the file and the anchor that the source link of a page leads to."""
    links = [urlsplit(target) for target in links_of(page).targets if "_modules/" in target]
    name = page.stem.rpartition(".")[2]
    found = [link for link in links if unquote(link.fragment) == name]
    return (Path(posixpath.normpath(page.parent / unquote(found[0].path))), name) if len(found) == 1 else None


def test_every_function_leads_to_its_source(site: Path) -> None:
    names = sorted(public_names())
    missing = []

    for name in names:
        source = source_of(site / "api" / f"dlcore.{name}.html")
        text = source[0].read_text(encoding="utf-8") if source else ""
        code = re.sub("<[^>]*>", "", text.partition(f' id="{name.rpartition(".")[2]}">')[2])
        if not re.match(rf"\s*(\[docs\]\s*)?(@.*\s*)*(def|class) {name.rpartition('.')[2]}\b", code):
            missing.append(name)

    assert names
    assert missing == []


def test_every_module_with_functions_leads_to_its_source(site: Path) -> None:
    modules = {name.rpartition(".")[0] for name in public_names()}

    sources = {
        name: [t for t in links_of(site / "api" / f"dlcore.{name}.html").targets if "_modules/" in t]
        for name in modules
    }

    assert [name for name, found in sources.items() if not found] == []


def test_a_planted_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text('<p id="here"><a href="nowhere.html">1</a><a href="#nowhere">2</a><a href="#here">3</a></p>')

    assert list(broken_links(tmp_path, page)) == [
        "index.html: nowhere.html does not exist",
        "index.html: #nowhere has no such anchor",
    ]
