"""What a reader looks for comes first, and the search loads little."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

WANTED = {  # what people type, and the page that they want
    "xavier initialization": "auto_gallery/07_propagation/plot_xavier_understood",
    "k-fold cross validation": "auto_gallery/05_generalization/plot_k_fold_done_right",
    "group k-fold": "auto_gallery/05_generalization/plot_which_rows_share_a_fold",
    "double descent": "auto_gallery/05_generalization/plot_double_descent",
    "universal approximation": "auto_gallery/04_mlp/plot_universal_approximation",
    "dying relu": "auto_gallery/04_mlp/plot_activations",
    "sample selection bias": "auto_gallery/08_shift/plot_sample_selection_bias",
    "density ratio estimation": "auto_gallery/08_shift/plot_which_density_ratio",
    "conformal prediction": "auto_gallery/08_shift/plot_conformal_intervals",
    "pandas": "guide/data_frames",
    "missing values": "guide/data_frames",
    "lalonde": "auto_gallery/08_shift/plot_treatment_effect",
    "love plot": "auto_gallery/08_shift/plot_treatment_effect",
    "importance weighting": "api/dlcore.importance",
    "label smoothing": "api/dlcore.losses.cross_entropy",
    "kl divergence": "api/dlcore.information.kl_divergence",
    "logsumexp": "api/dlcore.activations.log_sum_exp",
    "early stopping": "api/dlcore.training.fit",
    "covariate shift": "auto_gallery/08_shift/plot_covariate_shift",
    "ridge regression": "api/dlcore.linear.ridge",
    "learning rate schedule": "api/dlcore.optim",
    "he init": "api/dlcore.init.he_normal",
    "cross entropy": "api/dlcore.losses.cross_entropy",
    "cross entropy ignore index": "api/dlcore.losses.cross_entropy",
    "mmd two sample test": "api/dlcore.shift.detect.mmd_test",
    "expected calibration error": "api/dlcore.metrics.calibration_error",
    "dropout": "api/dlcore.regularization.dropout",
    "softmax temperature": "auto_gallery/03_softmax/plot_softmax_family",
    "vanishing gradient": "auto_gallery/07_propagation/plot_vanishing_and_exploding",
    "nn.Module": "api/dlcore.training.fit_",
    "GPU": "install",
    "install": "install",
    "BBSE": "api/dlcore.shift.label.bbse",
    "drift detection": "auto_gallery/08_shift/plot_concept_drift",
    "weight decay vs l2": "auto_gallery/06_regularization/plot_weight_decay_in_adam",
    "l2 norm": "api/dlcore.norms.l2_norm",
    "softmax": "api/dlcore.activations.softmax",
    "data parallel": "auto_gallery/02_linear/plot_sharded_rows",
    "torchrun": "guide/sharded",
}
FIRST = """async ([queries, count]) => {
    const first = []
    for (const query of queries) {
        const found = (await findPages(query)).slice(0, count)
        first.push(await Promise.all(found.map(result => result.data().then(({raw_url}) => raw_url))))
    }
    return first
}"""
MOST_BYTES = 500_000  # that a first search loads


def first_pages(tab: Page, queries: list[str]) -> list[str | None]:
    """Return the first page that is found for each query, or None."""
    return [next(iter(pages), None) for pages in tab.evaluate(FIRST, [queries, 1])]


def test_what_people_look_for_comes_first(tab: Page, address: str) -> None:
    tab.goto(f"{address}/search.html")

    found = dict(zip(WANTED, first_pages(tab, list(WANTED)), strict=True))

    wrong = {
        query: page for query, page in found.items() if (page or "").removesuffix(".html").strip("/") != WANTED[query]
    }
    assert wrong == {}


def test_a_public_name_gives_what_has_that_name_first(tab: Page, address: str, site: Path) -> None:
    names = sorted({page.stem.rpartition(".")[2] for page in site.glob("api/dlcore.*.*.html")})

    tab.goto(f"{address}/search.html")
    found = first_pages(tab, names)
    first = {
        name: (page or "").removesuffix(".html").rpartition(".")[2] for name, page in zip(names, found, strict=True)
    }

    # The search ignores case: `Gradients` may find `gradients`.
    assert names
    assert [(name, page) for name, page in first.items() if page.lower() != name.lower()] == []


def test_the_search_page_shows_links_kinds_and_excerpts_and_loads_little(
    tab: Page, address: str, faults: list[str]
) -> None:
    loaded: list[int] = []
    tab.on(
        "response",
        lambda answer: (
            loaded.append(int(answer.headers.get("content-length", 0))) if "/pagefind/" in answer.url else None
        ),
    )

    tab.goto(f"{address}/search.html?q=lp_norm")
    rows = tab.locator("#search-results li")
    rows.first.wait_for()
    first = rows.first
    quoted = " ".join(tab.locator("#search-results .context").all_inner_texts())
    status = tab.get_by_role("status").inner_text()

    assert first.locator("a").first.inner_text() == "lp_norm"
    assert first.locator(".kind").inner_text() == "API"
    assert first.locator(".parts a").count() <= 3
    assert "\\" not in quoted
    assert "norm" in quoted
    assert status.endswith("pages")
    assert 0 < sum(loaded) < MOST_BYTES
    assert faults == []

    first.locator("a").first.click()
    assert tab.url.partition("?")[0].partition("#")[0] == f"{address}/api/dlcore.norms.lp_norm.html"


def test_an_excerpt_is_the_summary_of_a_page_that_is_found_by_its_name(tab: Page, address: str) -> None:
    summaries = {
        "lp_norm": "Return the Lp norm of a vector.",
        "cross_entropy": "Return the surprise at the labels under the softmax of the logits.",
        "RatioReport": "Diagnostics of",
        "covariate shift": "Weighting the training examples by a density ratio",
        "drift detection": "Monitors of a model’s losses detect",
    }

    for query, summary in summaries.items():
        tab.goto(f"{address}/search.html?q={query}")
        tab.locator("#search-results li").first.wait_for()
        expect(tab.locator("#search-results .context").first).to_have_text(re.compile(f"^{re.escape(summary)}"))
        assert "→" not in " ".join(tab.locator("#search-results .context").all_inner_texts())  # of a signature


def test_nothing_of_the_search_is_loaded_before_someone_searches(tab: Page, address: str) -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url) if "/pagefind/" in request.url else None)

    tab.goto(f"{address}/index.html", wait_until="networkidle")
    before = list(asked)
    tab.keyboard.press("Control+k")
    tab.keyboard.type("kl divergence")
    tab.locator("#pst-search-dialog li a").first.wait_for()

    assert before == []
    assert tab.locator("#pst-search-dialog li a").first.inner_text() == "kl_divergence"
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/api/dlcore.information.kl_divergence.html*")


def test_a_search_shows_more_on_request_and_an_empty_field_shows_nothing(tab: Page, address: str) -> None:
    tab.goto(f"{address}/search.html?q=softmax")
    more = tab.get_by_role("button", name="More results")
    more.wait_for()
    before = tab.locator("#search-results li").count()
    more.click()
    expect(tab.locator("#search-results li").nth(before)).to_be_visible()
    tab.locator("article input").fill("")

    expect(tab.get_by_role("status")).to_have_text("")
    expect(tab.locator("#search-results li")).to_have_count(0)
