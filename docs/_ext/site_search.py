"""The site's search by Pagefind, whose index a browser loads in small parts, instead of Sphinx's index in one file.

Each page is indexed as it is written, with additions that its visitors do not see: its kind, and the words by which
people look for it (``search_terms.toml``). These words and the names of functions are a filter, too, by which
``_static/search.js`` first finds the pages that have exactly the name that was typed. Long lists, such as the
evidence, count for less than the pages that they list. Signatures are left out: a function is found by its name.
"""

import asyncio
import re
import shutil
import time
import tomllib
from collections.abc import Collection, Iterator
from html import escape, unescape
from pathlib import Path

from bs4 import BeautifulSoup
from pagefind.index import IndexConfig
from pagefind.service import PagefindService
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.util.display import progress_message
from translated import HAN, LOCALES, SOURCE, message

TERMS = Path(__file__).parents[1] / "search_terms.toml"
KINDS = {  # what the address of a page begins with, and the kind that the search shows
    "api/dlcore.": message("API"),
    "auto_gallery/": message("Tutorial"),
    "guide/": message("Guide"),
}
OTHER_KIND = message("Page")
WIDE = re.compile(rf"([\u3000-\u303f{HAN}\uff00-\uffef“”‘’…—])")  # Chinese characters and their punctuation
LISTS = (
    "api/functions",
    "evidence/",
    "guide/bibliography",
    "guide/equivalents",
    "guide/from_torch",
    "guide/notes",
    "releases",
)
WEIGHT_OF_LISTS = 0.3
ARTICLE = '<article class="bd-article">'
SETTINGS: IndexConfig = {
    "root_selector": "article.bd-article",
    "exclude_selectors": [
        ".katex-html",  # the formula once more; its MathML stays
        "a.headerlink",
        "details.tests",
        ".import",
        ".sphx-glr-download-link-note",
        ".sphx-glr-thumbcontainer",
        ".sphx-glr-footer",
    ],
    "keep_index_url": True,
}
MAX_SECONDS_TO_WRITE = 60
UNUSED = ("*-ui.js", "*-ui.css", "pagefind-highlight.js")  # Pagefind's own search boxes


def turn_off_sphinx(app: Sphinx) -> None:
    """Write no index of Sphinx's own search."""
    app.builder.search = False


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Write the index of a site that was built."""
    if exception is None and app.builder.name == "html":
        with progress_message("indexing the pages for the search"):
            folder = Path(app.outdir, "pagefind")
            shutil.rmtree(folder, ignore_errors=True)
            asyncio.run(index(Path(app.outdir), sorted(app.env.found_docs), folder, app.config.language))
            for pattern in UNUSED:
                for file in folder.glob(pattern):
                    file.unlink()


async def index(site: Path, pages: list[str], folder: Path, language: str) -> None:
    """Index the pages."""
    file = TERMS if language == SOURCE else LOCALES / language / TERMS.name
    terms: dict[str, list[str]] = tomllib.loads(file.read_text(encoding="utf-8"))
    if unknown := sorted(terms.keys() - set(pages)):
        raise ValueError(f"{file} must name pages of the site, got {unknown[0]!r}")
    claimed = {as_name(term): page for page, found in terms.items() for term in found}
    async with PagefindService() as service:
        found = await service.create_index(config={**SETTINGS, "output_path": str(folder)})
        for page in pages:
            text = (site / f"{page}.html").read_text(encoding="utf-8")
            others = {name for name, owner in claimed.items() if owner != page}
            content = for_search(page, text, terms.get(page, []), others)
            if language != SOURCE:
                content = in_characters(content)
            await found.add_html_file(content=content, url=f"{page}.html")
        await found.write_files()
        await files_are_complete(folder)


async def files_are_complete(folder: Path) -> None:
    """Wait until no file is empty: Pagefind answers before its last writes, and would be ended without them."""
    deadline = time.monotonic() + MAX_SECONDS_TO_WRITE
    while any(file.stat().st_size == 0 for file in folder.rglob("*") if file.is_file()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the search index in {folder} is incomplete; build the site again")
        await asyncio.sleep(0.1)


def for_search(page: str, text: str, terms: list[str], others: Collection[str] = ()) -> str:
    """Return the text of a page with what the search needs to know of it; ``others`` are names of other pages."""
    weight = f' data-pagefind-weight="{WEIGHT_OF_LISTS}"' if page.startswith(LISTS) else ""
    marks = "".join(
        f"<p data-pagefind-ignore {kind}>{escape(value)}</p>" for kind, value in described(page, text, terms, others)
    )
    signature = f'id="{page.removeprefix("api/")}"'
    text = text.replace(f"{signature}>", f"{signature} data-pagefind-ignore>", 1)
    return text.replace(ARTICLE, ARTICLE.replace(">", f"{weight}>") + marks, 1)


def described(page: str, text: str, terms: list[str], others: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the attribute and the value of each property of a page."""
    title = title_of(text)
    kind = _(next((kind for start, kind in KINDS.items() if page.startswith(start)), OTHER_KIND))
    yield 'data-pagefind-meta="heading"', title
    yield 'data-pagefind-meta="kind"', kind
    yield 'data-pagefind-meta="summary"', summary_of(text)
    if page.startswith("api/dlcore."):
        title = page.rpartition(".")[2].replace("_", " ")
        terms = [title, *terms]
    yield 'data-pagefind-meta="title"', title  # as words: an index of names joined by "_" finds none of them
    if terms:
        yield 'data-pagefind-meta="terms"', ", ".join(terms)
    for name in map(as_name, terms):
        if name not in others:
            yield 'data-pagefind-filter="name"', name


def in_characters(html: str) -> str:
    """Return a page with spaces around each Chinese character, which the search then takes for a word.

    The names of pages, which are compared with what was typed as a whole, stay as they are.
    """
    parts = re.split(r"(<p [^>]*data-pagefind-filter[^>]*>[^<]*</p>|<[^>]*>)", html)
    return "".join(part if part.startswith("<") else WIDE.sub(r" \1 ", part) for part in parts)


def as_name(term: str) -> str:
    """Return a term as ``search.js`` writes what was typed, to find the page of exactly that name."""
    name = re.sub(r"[\s-]+", "_", term.lower().rpartition(".")[2])
    return re.sub(rf"_?([{HAN}])_?", r"\1", name)  # with or without spaces around Chinese


def title_of(text: str) -> str:
    """Return the heading of a page as text."""
    found = re.search(r"<h1>(.*?)(?:<a class=\"headerlink\".*?)?</h1>", text, re.DOTALL)
    return unescape(re.sub(r"<[^>]*>", "", found[1])).strip() if found else ""


def summary_of(text: str) -> str:
    """Return the first paragraph of a page below its heading as text, or "" if it has none."""
    found = re.search(r"<p>.*?</p>", text.partition("</h1>")[2], re.DOTALL)
    paragraph = BeautifulSoup(found[0] if found else "", "html.parser")
    for formula in paragraph.select(".katex-html"):  # the same is there as MathML
        formula.decompose()
    return " ".join(paragraph.get_text().split())


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace the search."""
    app.connect("builder-inited", turn_off_sphinx)
    app.connect("build-finished", write_index, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
