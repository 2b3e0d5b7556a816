"""Every page of the site, as a browser shows it, and pages with a fault each, to see that it is found."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from .conftest import Watch, serving

WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 375, "height": 800}
AXE = Path(__file__).parents[2] / "docs" / "node_modules" / "axe-core" / "axe.min.js"
WEIGHTS = {
    "api/functions": 2_000_000,
    "api/": 1_200_000,
    "": 1_600_000,
}  # bytes of all that a first visit loads, by what an address begins with
AUDITED = {  # Chinese pages, one of each kind: the others have the elements and styles of the English page
    f"zh/{page}.html"
    for page in (
        "index",
        "install",
        "search",
        "api/functions",
        "api/dlcore.norms",
        "api/dlcore.norms.lp_norm",
        "auto_gallery/index",
        "auto_gallery/01_norms/plot_norm_balls",
        "evidence/index",
        "evidence/performance",
        "guide/glossary",
        "guide/mistakes",
    )
}
LARGEST_SHIFT = 0.1  # of the window, in all: what passes for good

SETTLE = """async () => {
    await document.fonts.ready
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
}"""
LOAD_FIGURES = """async () => {
    const shown = [...document.images].filter(image => image.offsetParent)
    await Promise.all(shown.map(image => { image.loading = 'eager'; return image.decode().catch(() => null) }))
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
}"""
TEXT_WITHOUT_CODE = """() => {
    const page = document.body.cloneNode(true)
    page.querySelectorAll('pre, code, script, style').forEach(node => node.remove())
    return page.textContent
}"""
WITHOUT_DESCRIPTION = """() => [...document.querySelectorAll("img:not([alt]), article .sphx-glr-single-img[alt='']")]
    .map(image => image.outerHTML.slice(0, 160))"""
TOO_WIDE = """() => {
    const boxes = [document.documentElement, ...document.querySelectorAll('.bd-article-container')]
    const scroll = boxes.filter(box => box.scrollWidth > box.clientWidth).map(box => box.className)
    const over = node => node.getBoundingClientRect().right > innerWidth
    const wide = [...document.querySelectorAll('article *')].filter(over).map(node => node.outerHTML.slice(0, 120))
    return scroll.length ? scroll.concat(wide.slice(0, 5)) : []
}"""
SHIFTS = """() => window.shifts.map(([value, nodes]) => [value, `${value.toFixed(3)} ${nodes}`])"""
FORMULAS = {"exclude": [[".katex"], ["math"]]}  # many elements, all in the colour of the text around them
AUDIT = """async ([where, options]) => {
    const found = await axe.run({include: [['html']], ...where}, {resultTypes: ['violations'], ...options})
    const tell = fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 160)}`)
    return found.violations.flatMap(tell)
}"""


def inspect(tab: Page, address: str, site: Path, path: str) -> Iterator[str]:
    """Yield what is wrong with a page, in one visit: first narrow, then wide in both themes."""
    is_audited = path in AUDITED or not path.startswith("zh/")
    tab.set_viewport_size(NARROW)
    with Watch(tab, address) as watch:
        tab.goto(f"{address}/{path}", wait_until="load")
        tab.evaluate("document.documentElement.dataset.theme = document.documentElement.dataset.mode = 'light'")
        tab.evaluate(SETTLE)
        at_first = set(watch.requests)
        tab.evaluate(LOAD_FIGURES)
        yield from shifts(tab)
        yield from (f"too wide: {node}" for node in tab.evaluate(TOO_WIDE))
        if is_audited:
            tab.add_script_tag(path=AXE)
            yield from tab.evaluate(AUDIT, [{}, {"runOnly": ["scrollable-region-focusable"]}])

        loaded = at_first if path.startswith(("api/", "zh/api/")) else watch.requests  # a tutorial is read to its end
        weight = sum((site / name).stat().st_size for name in loaded if (site / name).is_file())
        limit = next(limit for start, limit in WEIGHTS.items() if path.removeprefix("zh/").startswith(start))
        if weight > limit:
            yield f"weighs {weight:,} bytes of {limit:,}"

        text = tab.evaluate(TEXT_WITHOUT_CODE)
        yield from (f"raw TeX: {mark}" for mark in (r"\(", r"\[", "$$", r"\frac", r"\mathbf") if mark in text)
        yield from (f"formula: {source}" for source in tab.locator(".katex-error").all_inner_texts())
        yield from (f"without description: {image}" for image in tab.evaluate(WITHOUT_DESCRIPTION))

        if is_audited:
            tab.set_viewport_size(WIDE)
            yield from tab.evaluate(AUDIT, [{}, {}])
            tab.evaluate("document.documentElement.dataset.theme = 'dark'")
            faults = tab.evaluate(AUDIT, [FORMULAS, {"runOnly": ["color-contrast"]}])
            yield from (f"in dark, {fault}" for fault in faults)
    yield from watch.faults


def shifts(tab: Page) -> Iterator[str]:
    """Yield what moved while the page was loading, if it was more than one may notice."""
    moved = tab.evaluate(SHIFTS)
    if sum(value for value, _ in moved) > LARGEST_SHIFT:
        yield from (f"moves: {what}" for _, what in moved)


def test_page_works_for_everyone_everywhere(tab: Page, address: str, site: Path, path: str) -> None:
    assert list(inspect(tab, address, site, path)) == []


def test_the_audited_chinese_pages_exist(site: Path) -> None:
    assert [page for page in AUDITED if not (site / page).is_file()] == []


@pytest.mark.parametrize(
    "wide", ["index.html", "api/functions.html", "api/dlcore.norms.lp_norm.html", "evidence/index.html"]
)
def test_nothing_moves_on_a_wide_screen_either(tab: Page, address: str, wide: str) -> None:
    tab.set_viewport_size(WIDE)

    tab.goto(f"{address}/{wide}", wait_until="load")
    tab.evaluate(SETTLE)

    assert list(shifts(tab)) == []


PLANTS = {
    "raw TeX": r"<p>\(x^2\)</p>",
    "formula": '<p class="katex-error">x^2</p>',
    "a request leaves": '<img alt="A dot." src="http://elsewhere.invalid/dot.png"/>',
    "404": '<img alt="A dot." src="_static/no-such-file.png"/>',
    "without description": '<img src="_static/favicon.svg"/>',
    "console": "<script>console.error('a fault')</script>",
    "script": "<script>noSuchName()</script>",
    "color-contrast": '<p style="color: #ccc; background: #fff">Hard to read.</p>',
    "in dark, color-contrast": '<p style="color: var(--planted)">Hard to read.</p>'
    "<style>html { --planted: #000 } html[data-theme=dark] { --planted: #222 }</style>",
    "too wide": '<p style="width: 60rem">Wide.</p>',
    "moves": "<div id='late'></div><script>addEventListener('load', () => requestAnimationFrame(() =>"
    "requestAnimationFrame(() => document.getElementById('late').style.height = '20rem')))</script>",
    "weighs": f"<!-- {'x' * 1_600_000} -->",
}


@pytest.mark.parametrize("fault", PLANTS)
def test_planted_fault_is_found(tab: Page, site: Path, tmp_path: Path, fault: str) -> None:
    for part in site.iterdir():
        (tmp_path / part.name).symlink_to(part)
    (tmp_path / "install.html").unlink()
    sound = (site / "install.html").read_text(encoding="utf-8")
    (tmp_path / "install.html").write_text(sound.replace("</h1>", f"</h1>{PLANTS[fault]}", 1), encoding="utf-8")

    with serving(tmp_path) as address:
        found = list(inspect(tab, address, tmp_path, "install.html"))

    assert any(text.startswith(fault) for text in found), found
