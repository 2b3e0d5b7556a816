"""What a reader does with the site."""

import re
from pathlib import Path

import pytest
from figures import STYLE
from playwright.sync_api import Browser, Page, expect

FOCUS = """() => {
    const node = document.activeElement
    if (node === document.body) return ["", true]
    const parts = [node, ...node.children]
    const marked = style => style.outlineStyle !== "none" || style.boxShadow !== "none"
    const shown = parts.some(part => marked(getComputedStyle(part)) && part.getBoundingClientRect().width > 0)
    const order = [...document.querySelectorAll("*")].indexOf(node)
    return [`${order} ${node.outerHTML.slice(0, 100)}`, shown]
}"""


@pytest.fixture(autouse=True)
def wide(tab: Page) -> None:
    tab.set_viewport_size({"width": 1400, "height": 900})


def is_function(page: Path) -> bool:
    """Tell the page of a function from that of a class."""
    return 'class="py function"' in page.read_text(encoding="utf-8")


def test_every_function_stands_on_one_page_with_its_formula_and_is_found_by_typing(
    tab: Page, address: str, site: Path, faults: list[str]
) -> None:
    functions = [page.stem for page in site.glob("api/dlcore.*.*.html") if is_function(page)]

    tab.goto(f"{address}/api/functions.html")
    rows = tab.locator("ul.functions > li:visible")
    formulas = rows.filter(has=tab.locator("div.math math"))
    listed = formulas.locator("p:first-child a").evaluate_all("links => links.map(link => link.hash.slice(1))")
    tab.get_by_label("Filter").press_sequentially("norm Singular")
    found = rows.locator("p:first-child a").all_inner_texts()
    status = tab.get_by_role("status").inner_text()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/api/dlcore.norms.nuclear_norm.html*")
    tab.go_back()

    assert functions
    assert sorted(listed) == sorted(functions)
    assert found == ["norms.nuclear_norm"]
    assert status == f"1 of {len(functions)} functions"
    assert tab.get_by_label("Filter").input_value() == "norm Singular"
    assert faults == []


@pytest.mark.parametrize("place", ["missing.html", "api/missing.html", "no/such/folder/at/all/missing"])
def test_a_page_that_does_not_exist_leads_back_from_any_depth(tab: Page, address: str, place: str) -> None:
    answer = tab.goto(f"{address}/{place}")
    field = tab.get_by_label("Search")

    assert answer is not None
    assert answer.status == 404
    expect(field).to_have_value("missing")
    assert {link.evaluate("link => link.href") for link in tab.get_by_role("link").all()} == {
        f"{address}/{page}" for page in ("index.html", "auto_gallery/index.html", "api/functions.html")
    }

    field.fill("lp_norm")
    tab.keyboard.press("Enter")
    tab.locator("#search-results li a").first.wait_for()

    assert tab.url == f"{address}/search.html?q=lp_norm"


def test_theme_switch_goes_round_and_each_theme_has_its_figure(tab: Page, address: str, faults: list[str]) -> None:
    tab.goto(f"{address}/index.html")
    figures = tab.locator("article img.only-light, article img.only-dark")
    seen = {}

    for theme in ("light", "dark"):
        tab.locator(".theme-switch-button").first.click()
        tab.locator(f"[data-bs-theme-value={theme}], .dropdown-item", has_text=theme.title()).first.click()
        expect(tab.locator("html")).to_have_attribute("data-theme", theme)
        seen[theme] = [figure.get_attribute("src") for figure in figures.all() if figure.is_visible()]

    assert len(seen["light"]) == len(seen["dark"]) == 1
    assert seen["light"] != seen["dark"]
    assert faults == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_keyboard_moves_a_figure_and_nothing_moves_before(
    tab: Page, address: str, site: Path, faults: list[str], theme: str
) -> None:
    pages = [
        page for page in site.glob("auto_gallery/*/plot_*.html") if 'class="slider' in page.read_text(encoding="utf-8")
    ]
    assert pages

    for page in pages:
        steps: list[str] = []
        tab.on("request", lambda request, steps=steps: steps.append(request.url) if ".webp" in request.url else None)
        tab.goto(f"{address}/{page.relative_to(site).as_posix()}")
        tab.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        slider = tab.get_by_label("Step of the figure above").locator("visible=true").first
        box = tab.locator(f".only-{theme}", has=slider).first
        figure = box.locator("img")
        figure.scroll_into_view_if_needed()
        expect(figure).to_have_js_property("complete", value=True)
        before, last = figure.bounding_box(), box.locator("output").inner_text()
        assert steps == []

        slider.focus()
        tab.keyboard.press("ArrowLeft")
        expect(figure).to_have_attribute("src", re.compile("webp$"))
        after = figure.bounding_box()
        assert after["width"] == before["width"]
        assert abs(after["height"] - before["height"]) < 1
        assert box.locator("output").inner_text() != last
        assert len(steps) == 1
        assert ("_dark.webp" in steps[0]) is (theme == "dark")

        tab.keyboard.press("Home")
        expect(figure).to_have_css("object-position", "0px 0%")
        tab.keyboard.press("End")
        expect(figure).to_have_css("object-position", "0px 100%")
        expect(box.locator("output")).to_have_text(last)
        assert len(steps) == 1

    assert faults == []


def test_copy_button_copies_code_without_prompts_and_output(tab: Page, address: str) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.goto(f"{address}/api/dlcore.norms.l1_norm.html")
    copied = []

    for number in range(2):
        tab.locator("div.highlight").nth(number).hover()
        tab.locator("button.copybtn").nth(number).click()
        copied.append(tab.evaluate("navigator.clipboard.readText()"))

    assert copied == ["import torch\nfrom dlcore.norms import l1_norm", "l1_norm(torch.tensor([3.0, -4.0]))\n"]


def test_a_function_has_its_name_import_evidence_and_equivalents_and_its_sections_in_order(
    tab: Page, address: str
) -> None:
    tab.goto(f"{address}/api/dlcore.norms.lp_norm.html")

    sections = tab.locator("#pst-page-toc-nav a, .page-toc a").all_inner_texts()
    headings = tab.locator("article section > h2").all_inner_texts()
    link = tab.locator(".tested a").first
    link.click()

    order = ["Parameters", "Returns", "Examples", "Raises", "See also", "References"]
    assert [name for name in sections if name in order] == order
    assert [name.removesuffix("#").strip() for name in headings][: len(order)] == order
    assert tab.url == f"{address}/evidence/index.html#evidence-norms-lp-norm"


def test_every_function_leads_to_its_row_of_evidence_and_names_a_reference_or_property(site: Path) -> None:
    missing = []
    for page in site.glob("api/dlcore.*.*.html"):
        text = page.read_text(encoding="utf-8")
        line = re.search(r'<div class="tested docutils container">\s*<p>(.*?)</p>', text, re.DOTALL)
        if is_function(page) and not (line and re.search(r"(digits|definition|NumPy|compile|gradient|vmap)", line[1])):
            missing.append(page.stem)

    assert missing == []


def test_the_page_of_a_report_shows_what_it_inherits(site: Path) -> None:
    text = (site / "api" / "dlcore.shift.covariate.RatioReport.html").read_text(encoding="utf-8")

    for name in ("verdict", "trustworthy", "effective_fraction"):
        assert f'id="dlcore.shift.covariate.RatioReport.{name}"' in text
    assert ".count" not in (site / "api" / "dlcore.linear.LinearParams.html").read_text(encoding="utf-8")


def test_keyboard_opens_the_search_and_reaches_the_content(tab: Page, address: str) -> None:
    tab.goto(f"{address}/index.html")

    tab.keyboard.press("Tab")
    skip = tab.evaluate("document.activeElement.textContent.trim()")
    tab.keyboard.press("Control+k")
    field = tab.evaluate("document.activeElement.name")
    tab.keyboard.type("kl_divergence")
    tab.keyboard.press("Enter")
    tab.locator("#search-results li a").first.wait_for()

    assert skip == "Skip to main content"
    assert field == "q"
    assert tab.url.partition("?")[0] == f"{address}/search.html"


@pytest.mark.parametrize("page", ["api/dlcore.norms.lp_norm.html", "auto_gallery/01_norms/plot_norm_balls.html"])
def test_keyboard_goes_through_the_whole_page_and_shows_where_it_is(tab: Page, address: str, page: str) -> None:
    tab.goto(f"{address}/{page}")
    seen: list[str] = []

    for _ in range(600):
        tab.keyboard.press("Tab")
        place, shown = tab.evaluate(FOCUS)
        if not place or place in seen:
            break
        seen.append(place)
        assert shown, f"{place} has the focus, and nothing shows it"

    links = tab.locator("article a[href]:visible, article button:visible").count()
    assert len(seen) >= links
    assert any("theme-switch" in place for place in seen)


def test_keyboard_switches_the_theme(tab: Page, address: str) -> None:
    tab.goto(f"{address}/index.html")
    tab.locator(".theme-switch-button:visible").first.focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("ArrowDown")
    while "Dark" not in tab.evaluate("document.activeElement.textContent"):
        tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")

    expect(tab.locator("html")).to_have_attribute("data-theme", "dark")


def test_function_leads_to_the_tutorials_that_use_it_and_back(tab: Page, address: str) -> None:
    tab.goto(f"{address}/api/dlcore.norms.lp_norm.html")
    tab.get_by_role("link", name="Lp norms: which p make a norm?").first.click()
    tab.locator("pre a[href*='dlcore.norms.lp_norm']").first.click()

    assert tab.url.startswith(f"{address}/api/dlcore.norms.lp_norm.html")


TUTORIAL = "auto_gallery/01_norms/plot_norm_balls.html"
LABEL = STYLE["font.size"] / 72 * STYLE["figure.dpi"]  # pixels, in a figure at its natural width
NATURAL = "image => image.clientWidth / image.getAttribute('width')"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_tap_enlarges_a_figure_on_a_phone_and_another_closes_it(browser: Browser, address: str, theme: str) -> None:
    phone = browser.new_context(viewport={"width": 375, "height": 800}, has_touch=True, reduced_motion="reduce")
    page = phone.new_page()
    page.goto(f"{address}/{TUTORIAL}")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    figures = page.locator(f"article .only-{theme} img.sphx-glr-single-img")
    enlarged = page.locator("dialog img")
    assert figures.count() >= 4

    for figure in figures.all():
        on_page = LABEL * figure.evaluate(NATURAL)
        figure.tap()
        expect(enlarged).to_be_visible()
        expect(enlarged).to_have_js_property("complete", value=True)
        assert ("_dark" in (enlarged.get_attribute("src") or "")) is (theme == "dark")
        assert enlarged.get_attribute("alt") == figure.get_attribute("alt")
        assert LABEL * enlarged.evaluate(NATURAL) >= max(1.2 * on_page, 10)
        assert on_page >= 10
        enlarged.tap(position={"x": 50, "y": 50})
        expect(page.locator("dialog.enlarged")).not_to_be_visible()

    phone.close()


def test_keyboard_enlarges_a_figure_with_its_step_and_returns(tab: Page, address: str, faults: list[str]) -> None:
    tab.goto(f"{address}/{TUTORIAL}")
    tab.evaluate("document.documentElement.dataset.theme = 'light'")
    button = tab.locator(".only-light:has(.slider) .enlarge")
    dialog = tab.locator("dialog.enlarged")
    tab.get_by_label("Step of the figure above").locator("visible=true").first.press("Home")
    expect(tab.locator(".only-light:has(.slider) img")).to_have_css("object-position", "0px 0%")

    button.focus()
    tab.keyboard.press("Enter")
    expect(dialog.locator("img")).to_have_css("object-position", "0px 0%")
    wide, narrow = (
        image.bounding_box() for image in (dialog.locator("img"), tab.locator(".only-light:has(.slider) img"))
    )
    assert wide["width"] > narrow["width"]
    assert abs(wide["width"] / wide["height"] - narrow["width"] / narrow["height"]) < 0.02
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    tab.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(button).to_be_focused()

    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    expect(dialog).not_to_be_visible()
    expect(dialog.locator("img")).to_have_count(0)
    assert faults == []


def test_copy_button_of_folded_code_copies_what_is_below_the_marker(tab: Page, address: str, faults: list[str]) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.goto(f"{address}/{TUTORIAL}")
    folded = tab.locator("details.folded")
    buttons = folded.locator("button.copybtn")

    folded.first.locator("summary").press("Enter")
    folded.first.locator("pre").hover()
    buttons.first.click()

    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("fig, ax = plt.subplots(")
    assert copied.rstrip().endswith("plt.show()")
    assert buttons.count() == folded.count()
    assert faults == []


def test_each_tutorial_has_its_reading_time_and_no_link_to_colab(site: Path) -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in site.glob("auto_gallery/*/plot_*.html")}

    times = {name: re.findall(r"<em>Reading time:</em> (\d+) minutes\.", text) for name, text in pages.items()}

    assert pages
    assert [name for name, found in times.items() if len(found) != 1 or not 5 <= int(found[0]) <= 25] == []
    assert [name for name, text in pages.items() if "colab" in text] == []  # built without NOTEBOOKS_URL
