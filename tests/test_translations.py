"""The catalogues of the Chinese edition, and the rules for Chinese texts, on sentences that keep and break them."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from babel.messages import Catalog

from tests.translations import __main__ as translations
from tests.translations import catalogues, rules

GOOD = [
    "层数为 3 的网络使用 :func:`~dlcore.losses.cross_entropy`，其值为 :math:`x`。",
    "参见\\ :doc:`权重衰减 </auto_gallery/plot_weight_decay>`\\ 一章。",
    "参见\\ :doc:`/guide/notation`。",
    "这是\\ **权重衰减**\\ 的公式（见下文）：:math:`x^2`，即“平方”。",
    "**1.** 把 *λ* 增大为 10。",
    "当 p < 1 时，范数不再满足三角不等式；误差约为 1.5e-3。",
    "ReLU（修正线性单元）",
    "比值 0.5–2.0，共 8,358 项",
    "*先修知识：*\\ :doc:`多层感知机 </auto_gallery/x>`、矩阵乘积与链式法则。",
    "见 “ReLU” 一节",
]
BAD = {
    "层数为3 的网络": "no space",
    "使用ReLU 激活": "no space",
    "值为:math:`x`。": "no space",
    "参见 :doc:`权重衰减 <x>` 一章": "a space between Chinese characters",
    "这是 **权重衰减** 的公式": "a space between Chinese characters",
    "这是,公式": "half-width",
    "公式(见下文)": "half-width",
    "结束.": "half-width",
    "函数 ，值": "next to full-width",
    "函数， 值": "next to full-width",
    '叫做"平方"': "straight quotation",
    "两 个词": "a space between Chinese characters",
}


def test_words_in_formulas_have_a_translation() -> None:
    root = catalogues.ROOT
    known = tomllib.loads((root / "docs" / "locales" / "zh_CN" / "formulas.toml").read_text())
    files = [*root.glob("docs/*.rst"), *root.glob("docs/guide/*.rst"), *root.glob("gallery/*/*.py")]
    texts = [
        re.sub(r"\n\s*(# ?)?", " ", text)
        for file in [*files, *root.glob("dlcore/**/*.py")]
        for text in re.findall(r"\\text\{([^{}]*)\}", file.read_text())
    ]

    assert [text for text in texts if re.search(r"[a-z]{2} \S*[a-z]{2}", text) and text not in known] == []


@pytest.mark.parametrize("text", GOOD[:-1])
def test_well_written_chinese_passes(text: str) -> None:
    assert list(rules.of_writing(text)) == []


@pytest.mark.parametrize(("text", "rule"), BAD.items())
def test_badly_written_chinese_is_found(text: str, rule: str) -> None:
    found = list(rules.of_writing(text))

    assert [fault for fault in found if rule in fault], found


@pytest.mark.parametrize(
    ("english", "chinese", "fault"),
    [
        ("The norm of :math:`x`.", "范数。", "lacks :math:`x`"),
        ("See ``dim``.", "见 ``dims``。", "lacks ``dim``"),
        ("See :doc:`norms <a>`.", "见\\ :doc:`范数 <b>`。", "lacks :doc:`a`"),
        ("{n} tests", "{m} 项测试", "lacks {n}"),
        ("See `here <https://a.org>`__.", "见\\ `此处 <https://b.org>`__。", "lacks https://a.org"),
        ("See :func:`f`.", "见 :func:`f`（即 f）。", "markup needs an escaped space before '（': :func:`f`"),
        ("See *f*.", "（见）*此处*。", "markup needs an escaped space after '）': *此处*"),
        ("Weight decay shrinks.", "权重收缩。", "'weight decay' is not translated as 权重衰减"),
    ],
)
def test_what_a_translation_loses_is_found(english: str, chinese: str, fault: str) -> None:
    assert fault in list(rules.faults(english, chinese))


def test_a_whole_translation_passes() -> None:
    english = "*Weight decay* shrinks :math:`w`; see :func:`~dlcore.optim.sgd_step` and :doc:`dropout </x>`."
    chinese = "*权重衰减*\\ 会缩小 :math:`w`；参见 :func:`~dlcore.optim.sgd_step` 与\\ :doc:`暂退法 </x>`。"

    assert list(rules.faults(english, chinese)) == []


@pytest.mark.parametrize("file", sorted(catalogues.folder("zh_CN").glob("*.po")), ids=lambda file: file.stem)
def test_each_translation_keeps_the_rules(file: Path) -> None:
    assert list(catalogues.broken(catalogues.read(file))) == []


@pytest.mark.parametrize(
    ("text", "is_message"),
    [
        ("The norm.", True),
        (":math:`x^2`, :func:`~dlcore.norms.lp_norm` and ``dim``", True),  # "and"
        (":math:`x^2`, :func:`~dlcore.norms.lp_norm`, ``dim``", False),
        ("PyTorch (3e-16), NumPy", False),
        (":doc:`Weight decay </x>`", True),
        (":doc:`/x`", False),
        (":said:`{n} tests | n=3`", False),
        ("0.5 – 2", False),
    ],
)
def test_only_texts_with_words_are_messages(text: str, is_message: bool) -> None:
    assert catalogues.has_words(text) is is_message


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of catalogues with two translations, and three extracted messages of which one has changed."""
    monkeypatch.setattr(catalogues, "LOCALES", tmp_path)
    before, now = Catalog(locale="zh_CN"), Catalog()
    before.add("The norm of a vector is its length.", "向量的范数是它的长度。")
    before.add("Gone.", "不再有。")
    now.add("The norm of a vector is its size.")
    now.add("Dropout is random.")
    now.add("Examples using ``f``")
    catalogues.write(before, catalogues.folder("zh_CN") / "guide.po")
    (tmp_path / "zh_CN" / "patterns.toml").write_text("'Examples using ``(.+)``' = '使用 ``\\1`` 的教程'\n")
    monkeypatch.setattr(catalogues, "extracted", lambda: {"guide": now})
    return tmp_path


@pytest.mark.usefixtures("place")
def test_a_catalogue_follows_the_texts_and_names_its_gaps() -> None:
    found = catalogues.updated("zh_CN")
    gaps = list(catalogues.gaps(found))
    texts = {str(entry.id): str(entry.string) for entry in found["guide"] if entry.id}

    assert sorted(texts) == ["Dropout is random.", "Examples using ``f``", "The norm of a vector is its size."]
    assert texts["Examples using ``f``"] == "使用 ``f`` 的教程"
    assert gaps == ["guide: changed: The norm of a vector is its size.", "guide: missing: Dropout is random."]


def test_a_written_catalogue_has_no_dates_and_no_line_numbers(place: Path) -> None:
    file = place / "zh_CN" / "LC_MESSAGES" / "guide.po"
    catalogue = Catalog(locale="zh_CN")
    catalogue.add("The norm.", "范数。", locations=[("docs/a.rst", 7)])

    catalogues.write(catalogue, file)
    text = file.read_text(encoding="utf-8")

    assert "Date" not in text
    assert "#: docs/a.rst\n" in text
    assert catalogues.read(file).get("The norm.").string == "范数。"  # type: ignore[union-attr]


@pytest.mark.parametrize("is_release", [True, False])
@pytest.mark.parametrize("n_gaps", [2, 0])
def test_gaps_are_an_error_on_a_release_only(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], n_gaps: int, is_release: bool
) -> None:
    monkeypatch.setattr(catalogues, "extract_pages", lambda: None)
    monkeypatch.setattr("sys.argv", ["translations", "--check"])
    monkeypatch.setattr(translations, "is_release", lambda: is_release)
    if not n_gaps:
        monkeypatch.setattr(catalogues, "extracted", lambda: {"guide": Catalog()})
    file = place / "zh_CN" / "LC_MESSAGES" / "guide.po"
    before = file.read_bytes()

    with pytest.raises(SystemExit) as end:
        translations.main()

    assert bool(end.value.code) is (is_release and n_gaps > 0)
    assert f"{n_gaps} gaps, 0 faults" in capsys.readouterr().out
    assert file.read_bytes() == before


def test_a_release_is_a_commit_with_the_tag_of_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogues, "ROOT", tmp_path)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]

    def git(*arguments: str) -> None:
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "First")
    git("tag", "other")
    before = translations.is_release()
    git("tag", "v0.1")

    assert (before, translations.is_release()) == (False, True)


def test_messages_of_pages_scripts_and_extensions_are_extracted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "_build/gettext/guide.pot": (
            '#: ../../guide/a.rst:7\nmsgid "The norm."\nmsgstr ""\n\nmsgid "``p``"\nmsgstr ""\n'
        ),
        "_build/gettext/sphinx.pot": 'msgid "Search"\nmsgstr ""\n',
        "_ext/own.py": 'TEXT = message("{n} tests")\n',
        "_static/own.js": 'label(_("Close"))\n',
    }.items():
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(text)
    monkeypatch.setattr(catalogues, "ROOT", tmp_path)
    monkeypatch.setattr(catalogues, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(catalogues, "EXTRACTED", tmp_path / "docs" / "_build" / "gettext")

    found = {name: {e.id: e.locations for e in cat if e.id} for name, cat in catalogues.extracted().items()}

    assert {name: sorted(map(str, texts)) for name, texts in found.items()} == {
        "guide": ["The norm."],
        "sphinx": ["Close", "Search", "{n} tests"],
    }
    assert found["guide"]["The norm."] == [("docs/guide/a.rst", 0)]
    assert found["sphinx"]["Close"] == [("docs/_static/own.js", 0)]
