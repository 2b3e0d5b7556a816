"""Every page of the site, as a browser shows it."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 375, "height": 800}
AXE = Path(__file__).parents[2] / "docs" / "node_modules" / "axe-core" / "axe.min.js"

TEXT_WITHOUT_CODE = """() => {
    const page = document.body.cloneNode(true)
    page.querySelectorAll('pre, code, script').forEach(node => node.remove())
    return page.textContent
}"""
TOO_WIDE = """() => {
    const boxes = [document.documentElement, ...document.querySelectorAll('.bd-article-container')]
    const scroll = boxes.filter(box => box.scrollWidth > box.clientWidth).map(box => box.className)
    const over = node => node.getBoundingClientRect().right > innerWidth
    const wide = [...document.querySelectorAll('article *')].filter(over).map(node => node.outerHTML.slice(0, 120))
    return scroll.length ? scroll.concat(wide) : []
}"""
AUDIT = """options => axe.run(document, {resultTypes: ['violations'], ...options}).then(found =>
    found.violations.flatMap(fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 160)}`)))"""


@pytest.fixture
def page(tab: Page, address: str, path: str, faults: list[str]) -> Page:
    tab.set_viewport_size(WIDE)
    tab.goto(f"{address}/{path}", wait_until="load")
    tab.evaluate("document.documentElement.dataset.theme = document.documentElement.dataset.mode = 'light'")
    assert faults == []
    return tab


def test_page_loads_without_network_and_is_readable_by_everyone(page: Page, faults: list[str]) -> None:
    text = page.evaluate(TEXT_WITHOUT_CODE)

    assert [mark for mark in (r"\(", r"\[", "$$", r"\frac", r"\mathbf") if mark in text] == []
    assert page.locator(".katex-error").count() == 0
    assert page.eval_on_selector_all("img:not([alt])", "images => images.map(image => image.src)") == []
    assert page.eval_on_selector_all("article .sphx-glr-single-img[alt='']", "images => images.map(i => i.src)") == []

    page.add_script_tag(path=AXE)
    assert page.evaluate(AUDIT, {}) == []
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert page.evaluate(AUDIT, {"runOnly": ["color-contrast"]}) == []

    page.set_viewport_size(NARROW)
    assert page.evaluate(TOO_WIDE) == []
    assert faults == []
