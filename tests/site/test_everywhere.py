"""The site without JavaScript, on paper, with enlarged text, and for programs."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

TUTORIAL = "auto_gallery/01_norms/plot_norm_balls.html"
SHOWN_FIGURES = """() => [...document.querySelectorAll("article .sphx-glr-single-img")]
    .filter(image => image.offsetParent).map(image => image.getAttribute("src"))"""
CUT = """() => [...document.querySelectorAll("article pre")].filter(box => box.scrollWidth > box.clientWidth + 1)
    .map(box => box.textContent.slice(0, 80))"""
CUT_TABLES = """() => [...document.querySelectorAll("article table")].map(table => [table, table.parentElement])
    .filter(([table, box]) => table.offsetWidth > box.clientWidth || table.getBoundingClientRect().right > innerWidth)
    .map(([table]) => table.textContent.slice(0, 80))"""
SHARE_OF_BOX = """image => {
    const scale = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight)
    return scale ** 2 * image.naturalWidth * image.naturalHeight / (image.clientWidth * image.clientHeight)
}"""
COLUMN = """() => {
    const box = document.querySelector(".bd-article-container")
    const size = parseFloat(getComputedStyle(document.documentElement).fontSize)
    return [box.clientWidth / size, document.documentElement.scrollWidth - document.documentElement.clientWidth]
}"""


def test_without_javascript_each_figure_is_shown_once_in_the_light_theme(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()

    page.goto(f"{address}/{TUTORIAL}")
    figures = [figure for figure in page.locator("article .sphx-glr-single-img").all() if figure.is_visible()]
    names = [figure.get_attribute("src") or "" for figure in figures]
    background = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    context.close()

    assert names
    assert [name for name in names if "_dark" in name] == []
    assert background == "rgb(255, 255, 255)"


def test_a_page_is_printed_in_the_light_theme_without_sidebars_and_with_whole_code(tab: Page, address: str) -> None:
    tab.set_viewport_size({"width": 800, "height": 1100})
    tab.goto(f"{address}/{TUTORIAL}")
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")

    tab.emulate_media(media="print")
    tab.wait_for_function("document.documentElement.dataset.theme === 'light'")
    shown = tab.evaluate(SHOWN_FIGURES)
    sidebars = [bar for bar in tab.locator(".bd-sidebar, .bd-header").all() if bar.is_visible()]
    cut = tab.evaluate(CUT)
    tab.emulate_media(media="screen")

    assert shown
    assert [name for name in shown if "_dark" in name] == []
    assert sidebars == []
    assert cut == []
    tab.wait_for_function("document.documentElement.dataset.theme === 'dark'")


def test_wide_tables_fit_on_paper_and_controls_are_not_printed(tab: Page, address: str) -> None:
    tab.set_viewport_size({"width": 718, "height": 1045})  # A4 without its margins
    tab.emulate_media(media="print")
    tab.goto(f"{address}/evidence/index.html")
    cut = tab.evaluate(CUT_TABLES)
    tab.goto(f"{address}/api/functions.html")
    fields = [field for field in tab.locator("article input").all() if field.is_visible()]
    tab.emulate_media(media="screen")

    assert cut == []
    assert fields == []


@pytest.mark.parametrize(("width", "size"), [(375, 100), (1440, 100), (1440, 200)])
def test_figure_of_the_first_page_keeps_its_proportions(tab: Page, address: str, width: int, size: int) -> None:
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"{address}/index.html")
    tab.add_style_tag(content=f"html {{ font-size: {size}% !important; }}")
    figure = tab.locator(".home img:visible")

    fit = figure.evaluate("image => getComputedStyle(image).objectFit")
    used = figure.evaluate(SHARE_OF_BOX)

    assert fit == "contain"
    assert used > 0.6  # of the box that is reserved for it


@pytest.mark.parametrize("page", ["api/dlcore.losses.cross_entropy.html", TUTORIAL, "guide/conventions.html"])
def test_text_of_twice_the_size_keeps_a_readable_column(tab: Page, address: str, page: str) -> None:
    tab.set_viewport_size({"width": 1400, "height": 900})
    tab.goto(f"{address}/{page}")

    tab.add_style_tag(content="html { font-size: 200% !important; }")
    width, too_wide = tab.evaluate(COLUMN)

    assert width >= 20  # times the size of the text: about 40 letters
    assert too_wide <= 0


def test_no_code_or_output_is_cut_at_1440_pixels(tab: Page, address: str, site: Path) -> None:
    tab.set_viewport_size({"width": 1440, "height": 900})
    pages = [p for folder in ("api", "guide", "auto_gallery") for p in (site / folder).rglob("*.html")]
    cut = {}

    for page in pages:
        tab.goto(f"{address}/{page.relative_to(site).as_posix()}", wait_until="domcontentloaded")
        if found := tab.evaluate(CUT):
            cut[page.name] = found

    assert pages
    assert cut == {}


def test_each_page_is_there_as_markdown_and_llms_txt_lists_them(site: Path) -> None:
    left_out = ("_static", "_modules", "zh", "404.html", "search.html")
    pages = [page for page in site.rglob("*.html") if page.relative_to(site).parts[0] not in left_out]
    listed = re.findall(r"\]\(([^)]+\.md)\)", (site / "llms.txt").read_text(encoding="utf-8"))

    text = (site / "api" / "dlcore.norms.lp_norm.md").read_text(encoding="utf-8")
    tutorial = (site / TUTORIAL).with_suffix(".md").read_text(encoding="utf-8")
    figure = re.search(r"!\[[^\]]+\]\(([^)]+)\)", tutorial)

    assert sorted(listed) == sorted(page.relative_to(site).with_suffix(".md").as_posix() for page in pages)
    assert [page for page in listed if not re.match(r"(<a .*\n\n)*# ", (site / page).read_text(encoding="utf-8"))] == []
    assert r"\Bigl(\sum_{i=1}^{n} |x_i|^p\Bigr)^{1/p}" in text
    assert "tensor(5.)" in text
    assert figure is not None
    assert ((site / TUTORIAL).parent / figure[1]).is_file()
    assert "_dark" not in tutorial


def test_a_page_leads_to_its_markdown(tab: Page, address: str) -> None:
    tab.set_viewport_size({"width": 1400, "height": 900})
    tab.goto(f"{address}/api/dlcore.norms.lp_norm.html")

    link = tab.locator("link[rel=alternate][type='text/markdown']").get_attribute("href")

    assert link == "dlcore.norms.lp_norm.md"
    assert tab.get_by_role("link", name="This page as Markdown").get_attribute("href") == link


def test_the_bibliography_the_notes_and_the_index_by_torch_have_their_links(site: Path) -> None:
    works, notes, torch = (
        (site / "guide" / f"{name}.html").read_text() for name in ("bibliography", "notes", "from_torch")
    )
    api = (site / "api" / "index.html").read_text(encoding="utf-8")
    guide = (site / "guide" / "index.html").read_text(encoding="utf-8")

    assert works.count("https://doi.org/") > 50
    assert notes.count('href="notes_tests.html#') > 50
    assert "torch.linalg.vector_norm" in torch
    assert "api/dlcore.norms.lp_norm.html" in torch
    assert 'id="by-task"' in api
    chapters = re.findall(r'<a class="reference internal" href="(\w+)\.html"><span class="doc">', guide)
    assert chapters[-1] == "notes"
