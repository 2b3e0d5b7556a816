"""The Chinese edition of the site: its search, the way between the languages, and no English in its interface."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

import pytest
from babel.messages.pofile import read_po
from bs4 import BeautifulSoup, SoupStrainer
from playwright.sync_api import Page, expect
from translated import LOCALES

from tests.library import public_modules, public_names

from .test_links import links_of
from .test_search import FIRST, first_pages

WANTED = {  # what people type, and the page that they want
    "权重衰减": "auto_gallery/06_regularization/plot_weight_decay",
    "L2 正则化": "auto_gallery/06_regularization/plot_weight_decay",
    "暂退法": "auto_gallery/06_regularization/plot_dropout",
    "丢弃法": "auto_gallery/06_regularization/plot_dropout",
    "协变量偏移": "auto_gallery/08_shift/plot_covariate_shift",
    "标签偏移": "auto_gallery/08_shift/plot_label_shift",
    "概念漂移": "auto_gallery/08_shift/plot_concept_drift",
    "漂移检测": "auto_gallery/08_shift/plot_concept_drift",
    "样本选择偏差": "auto_gallery/08_shift/plot_sample_selection_bias",
    "密度比": "auto_gallery/08_shift/plot_which_density_ratio",
    "重要性权重": "auto_gallery/08_shift/plot_importance_weights",
    "有效样本量": "auto_gallery/08_shift/plot_importance_weights",
    "共形预测": "auto_gallery/08_shift/plot_conformal_intervals",
    "倾向得分": "auto_gallery/08_shift/plot_treatment_effect",
    "双重稳健": "auto_gallery/08_shift/plot_treatment_effect",
    "交叉熵": "api/dlcore.losses.cross_entropy",
    "标签平滑": "api/dlcore.losses.cross_entropy",
    "Huber 损失": "api/dlcore.losses.huber_loss",
    "困惑度": "api/dlcore.information.perplexity",
    "KL 散度": "api/dlcore.information.kl_divergence",
    "KL散度": "api/dlcore.information.kl_divergence",
    "ＫＬ散度": "api/dlcore.information.kl_divergence",
    "岭回归": "api/dlcore.linear.ridge",
    "线性回归": "api/dlcore.linear.least_squares",
    "最小二乘": "api/dlcore.linear.least_squares",
    "逻辑回归": "api/dlcore.linear.logistic_regression",
    "softmax 回归": "api/dlcore.linear.softmax_regression",
    "混淆矩阵": "api/dlcore.metrics.confusion_matrix",
    "校准误差": "api/dlcore.metrics.calibration_error",
    "最大均值差异": "api/dlcore.shift.detect.mmd_test",
    "黑箱偏移估计": "api/dlcore.shift.label.bbse",
    "k 折交叉验证": "auto_gallery/05_generalization/plot_k_fold_done_right",
    "K折交叉验证": "auto_gallery/05_generalization/plot_k_fold_done_right",
    "交叉验证": "auto_gallery/05_generalization/plot_k_fold_done_right",
    "分组交叉验证": "auto_gallery/05_generalization/plot_which_rows_share_a_fold",
    "过拟合": "auto_gallery/05_generalization/plot_polynomial_degree",
    "双重下降": "auto_gallery/05_generalization/plot_double_descent",
    "早停": "api/dlcore.training.fit",
    "学习率调度": "api/dlcore.optim",
    "权重初始化": "api/dlcore.init",
    "He 初始化": "api/dlcore.init.he_normal",
    "Xavier 初始化": "auto_gallery/07_propagation/plot_xavier_understood",
    "梯度消失": "auto_gallery/07_propagation/plot_vanishing_and_exploding",
    "反向传播": "auto_gallery/07_propagation/plot_backpropagation_by_hand",
    "多层感知机": "auto_gallery/04_mlp/plot_mlp_looked_into",
    "激活函数": "auto_gallery/04_mlp/plot_activations",
    "范数": "auto_gallery/01_norms/plot_norm_balls",
    "分布式训练": "auto_gallery/02_linear/plot_sharded_rows",
    "安装": "install",
    "缺失值": "guide/data_frames",
    "独热编码": "guide/data_frames",
    "术语表": "guide/glossary",
    "常见错误": "guide/mistakes",
    "torchrun": "guide/sharded",
    "softmax": "api/dlcore.activations.softmax",
    "dropout": "api/dlcore.regularization.dropout",
    "lp_norm": "api/dlcore.norms.lp_norm",
    "nn.Module": "api/dlcore.training.fit_",
    "GPU": "install",
}
ASKED = {  # questions, and a page that is among the first three
    "如何检测分布偏移": "auto_gallery/08_shift/plot_detecting_a_shift",
    "模型过拟合了怎么办？": "auto_gallery/05_generalization/plot_polynomial_degree",
    "怎么比较两个样本的分布": "auto_gallery/08_shift/plot_detecting_a_shift",
    "为什么梯度会消失": "auto_gallery/07_propagation/plot_vanishing_and_exploding",
    "怎样选择权重衰减的强度": "auto_gallery/06_regularization/plot_weight_decay",
    "有缺失值的表格怎么用": "guide/data_frames",
    "如何在多个 GPU 上训练": "guide/sharded",
    "怎么手写反向传播": "auto_gallery/07_propagation/plot_backpropagation_by_hand",
    "sigmoid 和 relu 怎么选": "auto_gallery/04_mlp/plot_activations",
}
KINDS = [  # a page of each kind, and an anchor on it
    ("index.html", ""),
    ("install.html", ""),
    ("releases.html", ""),
    ("api/index.html", "#by-task"),
    ("api/functions.html", "#losses"),
    ("api/dlcore.norms.html", ""),
    ("api/dlcore.norms.lp_norm.html", "#parameters"),
    ("auto_gallery/index.html", ""),
    ("auto_gallery/01_norms/plot_norm_balls.html", "#sphx-glr-download-auto-gallery-01-norms-plot-norm-balls-py"),
    ("guide/glossary.html", ""),
    ("evidence/index.html", "#evidence-norms-lp-norm"),
    ("search.html", "?q=softmax"),
]
HAN = r"[\u3400-\u9fff]"
OUTSIDE = """() => {
    const page = document.body.cloneNode(true)
    page.querySelectorAll("article, script, style, noscript, svg").forEach(node => node.remove())
    const texts = []
    const walk = document.createTreeWalker(page, NodeFilter.SHOW_TEXT)
    while (walk.nextNode()) texts.push(walk.currentNode.textContent.trim())
    return texts
}"""
CONTROLS = """() => [...document.querySelectorAll(
        "article :is(button, input, label, summary, .headerlink, .viewcode-link, .rubric, [role=status])"
    )].filter(node => !node.closest("details.tests")).map(node => node.textContent.trim())"""
LABELS = """() => [...document.querySelectorAll("*")].flatMap(node =>
    ["aria-label", "title", "placeholder", "data-tooltip", "data-bs-original-title", "data-bs-title"].map(name =>
        node.closest("pre, .katex, dialog:not([open])") ? "" : node.getAttribute(name) ?? ""))"""
FILES = re.compile(r"[\w.]+\.(py|ipynb|zip)")
NAMES = {"dlcore", "API", "English", "Ctrl", "Markdown", "NumPy", "PyTorch"}


def chinese_pages(site: Path) -> list[Path]:
    return [page for page in (site / "zh").rglob("*.html") if "_static" not in page.parts]


def english_pages(site: Path) -> list[Path]:
    """Return the pages that have a counterpart: all but the source code, which is not translated."""
    left_out = {"_static", "_modules", "zh", "404.html"}
    return [page for page in site.rglob("*.html") if page.relative_to(site).parts[0] not in left_out]


def name_of(url: str | None) -> str:
    return (url or "").removesuffix(".html").strip("/")


# The search


def test_what_people_look_for_comes_first(tab: Page, address: str) -> None:
    tab.goto(f"{address}/zh/search.html")

    found = dict(zip(WANTED, map(name_of, first_pages(tab, list(WANTED))), strict=True))

    assert {query: page for query, page in found.items() if page != WANTED[query]} == {}


def test_a_question_finds_pages_with_most_of_its_words(tab: Page, address: str) -> None:
    tab.goto(f"{address}/zh/search.html")

    found = {
        query: [name_of(url) for url in urls]
        for query, urls in zip(ASKED, tab.evaluate(FIRST, [list(ASKED), 3]), strict=True)
    }

    assert {query: pages for query, pages in found.items() if ASKED[query] not in pages} == {}


def test_nonsense_finds_nothing(tab: Page, address: str) -> None:
    tab.goto(f"{address}/zh/search.html")

    assert tab.evaluate(FIRST, [["饕餮", "饕餮如何"], 3]) == [[], []]


def test_a_public_name_gives_what_has_that_name_first(tab: Page, address: str) -> None:
    names = sorted({name.rpartition(".")[2] for name in public_names()})

    tab.goto(f"{address}/zh/search.html")
    found = [name_of(url).rpartition(".")[2] for url in first_pages(tab, names)]

    # The search ignores case: `Gradients` may find `gradients`.
    assert [(name, page) for name, page in zip(names, found, strict=True) if page.lower() != name.lower()] == []


@pytest.mark.parametrize("query", ["权重衰减", "如何检测分布偏移", "softmax", "k 折交叉验证"])
def test_results_are_chinese_without_the_spaces_of_the_index(tab: Page, address: str, query: str) -> None:
    tab.goto(f"{address}/zh/search.html?q={query}")
    tab.locator("#search-results li").first.wait_for()

    shown = tab.locator("#search-results :is(li > a, .kind, .context, .parts a)").all_inner_texts()
    status = tab.get_by_role("status").inner_text()

    spaced = re.compile(rf"{HAN} +{HAN}|[，。；：？！、（“‘] |{HAN} [，。；：？！、）”’]")
    assert [text for text in shown if spaced.search(text)] == []
    assert re.search(HAN, "".join(shown))
    assert re.fullmatch(r"\d+ 个页面", status)


def test_the_dialog_of_the_header_finds_chinese_pages(tab: Page, address: str, faults: list[str]) -> None:
    tab.set_viewport_size({"width": 1400, "height": 900})
    tab.goto(f"{address}/zh/index.html")
    tab.keyboard.press("Control+k")
    tab.keyboard.insert_text("困惑度")
    tab.locator("#pst-search-dialog li a").first.click()

    tab.wait_for_url("**/zh/api/dlcore.information.perplexity.html*")
    assert faults == []


# The way between the languages


@pytest.mark.parametrize(("page", "place"), KINDS)
def test_the_switch_leads_to_the_same_place_in_the_other_language_and_back(
    tab: Page, address: str, faults: list[str], page: str, place: str
) -> None:
    tab.set_viewport_size({"width": 1400, "height": 900})
    tab.goto(f"{address}/{page}{place}")
    expect(tab.locator("html")).to_have_attribute("lang", "en")

    tab.get_by_role("link", name="简体中文").first.click()
    tab.wait_for_url(f"{address}/zh/{page}{place}")
    expect(tab.locator("html")).to_have_attribute("lang", "zh-CN")
    assert place.partition("#")[2] in ("", *links_of_place(tab))

    tab.get_by_role("link", name="English").first.click()
    tab.wait_for_url(f"{address}/{page}{place}")
    assert faults == []


def links_of_place(tab: Page) -> list[str]:
    """Return the names of the places on a page."""
    return tab.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")


def test_the_switch_is_in_the_drawer_on_a_phone(tab: Page, address: str) -> None:
    tab.set_viewport_size({"width": 375, "height": 800})
    tab.goto(f"{address}/zh/guide/glossary.html")
    link = tab.get_by_role("link", name="English")
    expect(link).to_have_count(0)

    tab.locator(".primary-toggle:visible").click()
    link.click()

    tab.wait_for_url(f"{address}/guide/glossary.html")


def test_every_page_has_its_counterpart(site: Path) -> None:
    english = {page.relative_to(site).as_posix() for page in english_pages(site)}
    chinese = {page.relative_to(site / "zh").as_posix() for page in chinese_pages(site)}

    assert english
    assert english ^ chinese == set()


def alternates(site: Path, page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the file to which each link between the languages leads."""
    for code, target in re.findall(
        r'<link rel="alternate" hreflang="([^"]+)" href="([^"]+)"', page.read_text(encoding="utf-8")
    ):
        yield code, (page.parent / target).resolve().relative_to(site.resolve()).as_posix()


def test_every_page_names_itself_and_its_counterpart(site: Path) -> None:
    wrong = {}
    for folder, pages in {site: english_pages(site), site / "zh": chinese_pages(site)}.items():
        for page in pages:
            name = page.relative_to(folder).as_posix()
            found = dict(alternates(site, page))
            if found != {"en": name, "zh-CN": f"zh/{name}"}:
                wrong[name] = found

    assert wrong == {}


def test_source_code_is_there_once_and_chinese_pages_lead_to_it(site: Path) -> None:
    targets = links_of(site / "zh" / "api" / "dlcore.norms.lp_norm.html").targets

    assert not (site / "zh" / "_modules").exists()
    sources = [target for target in targets if "_modules/" in target]

    assert sources == ["../../_modules/dlcore/norms/_vectors.html#lp_norm"]
    assert "zh-CN" not in (site / "_modules" / "dlcore" / "norms" / "_vectors.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["missing.html", "api/missing.html", "no/such/folder/missing"])
def test_a_page_that_does_not_exist_is_missed_in_the_language_of_its_place(tab: Page, address: str, place: str) -> None:
    for edition, language, title in (("zh/", "zh-CN", "找不到页面"), ("", "en", "Page not found")):
        answer = tab.goto(f"{address}/{edition}{place}")
        expect(tab.get_by_role("textbox").or_(tab.get_by_role("searchbox"))).to_have_value("missing")

        assert answer is not None
        assert answer.status == 404
        assert tab.locator("html").get_attribute("lang") == language
        assert tab.locator("h1").all_inner_texts() == [title]
        assert {link.evaluate("link => link.href") for link in tab.get_by_role("link").all()} == {
            f"{address}/{edition}{page}" for page in ("index.html", "auto_gallery/index.html", "api/functions.html")
        }

    tab.goto(f"{address}/zh/{place}")
    tab.get_by_role("searchbox").fill("困惑度")
    tab.keyboard.press("Enter")
    tab.locator("#search-results li a").first.wait_for()
    assert tab.url.partition("?")[0] == f"{address}/zh/search.html"


# The interface


def allowed() -> set[str]:
    modules = {name for path, _ in public_modules() for name in (path, path.rpartition(".")[2], f"dlcore.{path}")}
    names = {name for path in public_names() for name in (path, path.rpartition(".")[2], f"dlcore.{path}")}
    return NAMES | modules | names


def is_english(text: str) -> bool:
    """Tell whether a text has words and none of them is Chinese; names of the library and of files are no words."""
    words = re.sub(r"\s+", " ", text).strip(" #…")
    return bool(re.search("[A-Za-z]{2}", words)) and not re.search(HAN, words) and not FILES.fullmatch(words)


def english_texts(tab: Page) -> list[str]:
    texts = {*tab.evaluate(OUTSIDE), *tab.evaluate(CONTROLS), *tab.evaluate(LABELS)}
    return sorted(text for text in texts if is_english(text) and text not in allowed())


@pytest.mark.parametrize("page", [page for page, _ in KINDS])
@pytest.mark.parametrize("width", [375, 1400])
def test_the_interface_is_in_chinese(tab: Page, address: str, page: str, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"{address}/zh/{page}", wait_until="load")
    tab.keyboard.press("Control+k")

    assert english_texts(tab) == []


def test_what_scripts_write_is_in_chinese(tab: Page, address: str) -> None:
    tab.set_viewport_size({"width": 1400, "height": 900})
    tab.goto(f"{address}/zh/auto_gallery/01_norms/plot_norm_balls.html")
    tab.locator(".enlarge:visible").first.focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("dialog.enlarged")).to_have_attribute("aria-label", "放大的图")
    expect(tab.get_by_role("button", name="关闭")).to_be_focused()
    tab.keyboard.press("Escape")
    assert tab.get_by_label("上图的步骤").count() > 0

    tab.goto(f"{address}/zh/api/functions.html")
    tab.get_by_label("按名称或词语筛选").fill("奇异值")
    rows = tab.locator("ul.functions > li:visible p:first-child a").all_inner_texts()
    assert "norms.nuclear_norm" in rows
    status = tab.get_by_role("status").inner_text()
    assert f" {len(rows)} 个" in status
    assert not re.search("[A-Za-z]", status)


@pytest.mark.parametrize(
    ("planted", "found"),
    [("Hello world", True), ("lp_norm", False), ("权重 decay", False), ("plot_dropout.ipynb", False)],
)
def test_planted_english_is_found(tab: Page, address: str, planted: str, found: bool) -> None:
    tab.goto(f"{address}/zh/install.html")
    tab.evaluate("text => document.querySelector('footer').append(text)", planted)

    assert (planted in english_texts(tab)) == found


# The texts


NOT_TRANSLATED = "pre, code, .katex, .sig, .citation, [role=list], .footnote, details.tests, table.evidence, datalist"
WORDS = re.compile(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}")
PARTS = ["p", "dt", "li", "th", "summary", "h1", "h2", "h3"]


def english_sentences(html: str) -> Iterator[str]:
    """Yield the texts of a page with three English words in a row and no Chinese."""
    article = re.sub(r"<pre>.*?</pre>|<math.*?</math>", "", html.partition("<article")[2], flags=re.DOTALL)
    page = BeautifulSoup(f"<article{article}", "html.parser", parse_only=SoupStrainer("article"))
    for part in page.select(NOT_TRANSLATED):
        part.decompose()
    for part in page.select("article " + ", article ".join(PARTS)):
        text = " ".join(part.get_text().split())
        if WORDS.search(text) and not re.search(HAN, text) and not part.find(PARTS):
            yield text


def waiting() -> str:
    """Return the messages that wait for a translation, which they need for a release only."""
    catalogues = [read_po(BytesIO(file.read_bytes())) for file in LOCALES.glob("zh_CN/LC_MESSAGES/*.po")]
    return "\n".join(str(entry.id) for found in catalogues for entry in found if not entry.string or entry.fuzzy)


def test_no_sentence_is_left_in_english(site: Path) -> None:
    pages = [page for page in chinese_pages(site) if page.stem != "bibliography"]
    known = waiting()

    left = {page.stem: [*english_sentences(page.read_text(encoding="utf-8"))] for page in pages}
    unknown = {page: [text for text in found if WORDS.search(text)[0] not in known] for page, found in left.items()}

    assert pages
    assert {page: found for page, found in unknown.items() if found} == {}


def test_a_planted_english_sentence_is_found() -> None:
    page = "<article><p>Use the loss function.</p><p>用 the loss function 即可</p><pre>of the loss</pre></article>"

    assert [*english_sentences(page)] == ["Use the loss function."]


# What programs read


def test_each_chinese_page_is_there_as_markdown_and_llms_txt_is_in_chinese(site: Path) -> None:
    text = (site / "zh" / "llms.txt").read_text(encoding="utf-8")
    listed = re.findall(r"\]\(([^)]+\.md)\)", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    pages = {page.relative_to(site / "zh").with_suffix(".md").as_posix() for page in chinese_pages(site)}

    tutorial = (site / "zh" / "auto_gallery" / "01_norms" / "plot_norm_balls.md").read_text(encoding="utf-8")

    assert set(listed) == pages - {"search.md"}
    assert headings
    assert [heading for heading in headings if is_english(heading) and heading not in NAMES] == []
    assert len(re.findall(HAN, tutorial)) > 1000
    assert [page for page in listed if not (site / "zh" / PurePosixPath(page)).is_file()] == []
