"""What the site is made with, where a build would take long to show that it works."""

import asyncio
import doctest
import json
import multiprocessing
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import api_pages
import as_markdown
import chapters
import colab
import equivalents
import evidence
import figures
import folding
import in_short
import library_code
import markup
import matplotlib.pyplot as plt
import mendings
import numpy as np
import outdated
import overview
import performance
import pytest
import reading_time
import readme_figure
import site_search
import torch
import translated
import wording
from docutils import nodes
from docutils.utils import new_document
from matplotlib.animation import FuncAnimation
from PIL import Image
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace
from sphinx_gallery.directives import imgsgnode

from benchmarks.frame import Timing
from benchmarks.memory import Peak
from benchmarks.scaling import Growth
from benchmarks.shift.table import Table
from dlcore import norms
from tests.evidence import as_text, condense, describe, relative_difference
from tests.library import public_functions, public_modules, public_names
from tests.table import gather

MEASURED = Path(__file__).parents[1] / "docs" / "measured"
NAMES_OF = {f"dlcore.{path}": list(module.__all__) for path, module in public_modules()}
NORMS = {"dlcore.norms": sorted(name[6:] for name in public_functions() if name.startswith("norms."))}


def as_read(text: str) -> str:
    """Return reStructuredText with what its sentences with values say in English."""
    text = re.sub(r":said-ref:`(.*?) <", lambda found: f":ref:`{translated.in_language(found[1])} <", text)
    return re.sub(r":said:`([^`]*)`", lambda found: translated.in_language(found[1]), text)


# What changed in the library, and for whom


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of two modules, of which one uses the other, and a script that uses the first."""
    package = tmp_path / "dlcore"
    package.mkdir()
    (package / "__init__.py").write_text("from . import far, near, other\n")
    (package / "far.py").write_text('"""Text."""\ndef one():\n    """Text."""\n    return 1\n')
    (package / "near.py").write_text("from .far import one\n")
    (package / "other.py").write_text("")
    (tmp_path / "plot.py").write_text("from dlcore import near\n")
    return tmp_path


def digest(library: Path) -> str:
    library_code.tree.cache_clear()
    return library_code.digest(library_code.imports(library / "plot.py", library), library)


def test_a_script_uses_what_it_imports_and_what_that_imports(library: Path) -> None:
    used = library_code.closure(library_code.imports(library / "plot.py", library), library)

    assert used == {"dlcore.near", "dlcore.far"}


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("far.py", "return 1", "return 2", True),
        ("far.py", '    """Text."""', '    """Other text."""', False),
        ("far.py", "return 1", "return 1  # one", False),
        ("other.py", "", "x = 1", False),
        ("near.py", "one", "one as two", True),
    ],
)
def test_a_script_is_outdated_by_code_that_it_uses_and_by_nothing_else(
    library: Path, file: str, old: str, new: str, changes: bool
) -> None:
    before = digest(library)
    path = library / "dlcore" / file

    path.write_text(path.read_text().replace(old, new))

    assert (digest(library) != before) == changes


def forget(library: Path, *others: Path) -> list[str]:
    library_code.tree.cache_clear()
    return outdated.forget(library / "gallery", library / "built", *others, root=library)


def test_gallery_runs_again_the_tutorials_whose_part_of_the_library_changed(library: Path) -> None:
    (library / "gallery").mkdir()
    (library / "built").mkdir()
    for name, module in {"plot_far": "far", "plot_near": "near", "plot_other": "other"}.items():
        (library / "gallery" / f"{name}.py").write_text(f"from dlcore import {module}\n")
        (library / "built" / f"{name}.py.md5").touch()
    first, second = forget(library), forget(library)
    for name in first:
        (library / "built" / f"{name}.md5").touch()

    far = library / "dlcore" / "far.py"
    far.write_text(far.read_text().replace("return 1", "return 2"))

    assert first == ["plot_far.py", "plot_near.py", "plot_other.py"]
    assert second == []
    assert forget(library) == ["plot_far.py", "plot_near.py"]
    assert [file.name for file in (library / "built").glob("*.md5")] == ["plot_other.py.md5"]
    assert forget(library, far) == first  # a file that all figures depend on


# What a run showed


def test_difference_is_relative_to_the_largest_entry_and_in_float64_only() -> None:
    x = torch.tensor([1.0, -4.0], dtype=torch.float64)

    assert relative_difference(x + 2, x) == 0.5
    assert relative_difference((x, x + 1), (x, x)) == 0.25
    assert relative_difference(2.0, 4.0) == 0.5
    assert relative_difference(x.float(), x) is None
    assert relative_difference(x, 0 * x) is None
    assert relative_difference("a", "b") is None
    assert relative_difference(np.float64("inf"), np.float64("inf")) is None


def test_a_test_is_held_against_what_its_mark_names_of_which_its_parameters_take_one() -> None:
    mark = pytest.mark.held_against("NumPy", "50 digits", norms.l1_norm, norms.l2_norm).mark
    function = SimpleNamespace(path=Path("test_norms.py"), name="test_it", iter_markers=lambda _: [mark])

    of_all, of_one, of_a_name = (
        describe(SimpleNamespace(**vars(function), callspec=SimpleNamespace(params={"norm": value})))
        for value in (torch.ones(2), norms.l2_norm, "l1_norm")
    )

    assert of_all["functions"] == ["norms.l1_norm", "norms.l2_norm"]
    assert of_all["oracles"] == ["50 digits", "NumPy"]
    assert of_one["functions"] == ["norms.l2_norm"]
    assert of_a_name["functions"] == ["norms.l1_norm"]


NORMS_CODE = library_code.digest(["dlcore.norms"])


def write_run(file: Path, records: list[dict[str, object]], code: str = NORMS_CODE, date: str = "2026-01-31") -> None:
    """Write the file of a run with these records of the norms."""
    file.parent.mkdir(parents=True, exist_ok=True)
    run = {"date": date, "machine": "a machine", "code": {"norms": code}, **condense(records)}
    file.write_text(as_text(run))


def page(tmp_path: Path, records: list[dict[str, object]]) -> str:
    """Return the evidence page of the norms after a run on this machine with these records."""
    write_run(tmp_path / "local" / "tests.json", records)
    return show(tmp_path)


def show(tmp_path: Path) -> str:
    """Return the evidence page of the norms, made from the files in two folders."""
    evidence.write(tmp_path, read(tmp_path), NORMS)
    return as_read((tmp_path / "index.rst").read_text())


def read(tmp_path: Path) -> evidence.Evidence:
    return evidence.Evidence.read(tmp_path / "committed", tmp_path / "local")


def cells(page: str, function: str) -> list[str]:
    """Return the cells of a function."""
    row = page.partition(f"`~dlcore.{function}`")[2].partition("   * - ")[0]
    return [line.removeprefix("     - ") for line in row.splitlines() if line.startswith("     - ")]


def record(kind: str, outcome: str = "passed", **more: object) -> dict[str, object]:
    return {"kind": kind, "functions": ["norms.l1_norm"], "oracles": [], "error": None, "outcome": outcome, **more}


def test_evidence_shows_what_ran(tmp_path: Path) -> None:
    shown = page(
        tmp_path,
        [
            record("doctest"),
            record("gradient"),
            record("vmap", "failed"),
            *[record("refuses")] * 3,
            record("test", test="test_norms::test_it_is_so", oracles=["NumPy"], error=2e-16),
            record("test", test="test_norms::test_it_is_so", oracles=["NumPy"], error=3e-16),
        ],
    )

    against, *marks, refusals = cells(shown, "norms.l1_norm")
    assert "run of 2026-01-31: 7 tests and examples passed, 1 failed (a machine)" in shown
    assert against == "NumPy (3e-16)"
    assert dict(zip(evidence.COLUMNS, marks, strict=True)) == dict.fromkeys(evidence.COLUMNS, "·") | {
        "example": "✓",
        "gradient": "✓",
        "vmap": "✗",
    }
    assert refusals == "3"
    assert "- ✓ it is so (3e-16)" in shown


def test_evidence_without_a_run_claims_nothing(tmp_path: Path) -> None:
    shown = show(tmp_path)

    assert "No test run belongs to this build" in shown
    assert "norms.l1_norm" in shown.partition(".. toctree::")[2]
    assert "✓" not in shown.partition(".. toctree::")[2]


def test_evidence_of_other_code_counts_only_if_committed_and_is_marked(tmp_path: Path) -> None:
    write_run(tmp_path / "local" / "tests.json", [record("gradient")], "other code")
    alone = show(tmp_path)
    write_run(tmp_path / "committed" / "tests.json", [record("vmap")], "older code", "2026-01-01")
    both = show(tmp_path)

    assert "✓" not in alone.partition("</details>")[2]
    assert cells(both, "norms.l1_norm").count("✓") == 1
    assert "The code of this chapter has changed since the run of 2026-01-01" in both
    assert "2026-01-31" not in both


def test_a_run_on_this_machine_replaces_what_it_covers_and_no_results_of_two_versions_are_mixed(tmp_path: Path) -> None:
    committed, local = tmp_path / "committed" / "tests.json", tmp_path / "local" / "tests.json"
    write_run(local, [record("vmap", "failed")])

    write_run(committed, [record("gradient"), record("vmap")], date="2026-01-01")
    same = dict(zip(evidence.COLUMNS, cells(show(tmp_path), "norms.l1_norm")[1:], strict=False))
    write_run(committed, [record("gradient"), record("vmap")], "older code", "2026-01-01")
    changed = dict(zip(evidence.COLUMNS, cells(show(tmp_path), "norms.l1_norm")[1:], strict=False))

    assert (same["gradient"], same["vmap"]) == ("✓", "✗")
    assert (changed["gradient"], changed["vmap"]) == ("·", "✗")
    assert "has changed" not in show(tmp_path)


def test_the_line_of_evidence_names_references_properties_and_the_largest_error(tmp_path: Path) -> None:
    test = {"test": "test_norms::test_it_is_so"}
    records = [
        record("test", **test, oracles=["NumPy"], error=2e-16),
        record("test", **test, oracles=["50 digits"], error=3e-15),
        record("gradient"),
        record("compile", "failed"),
    ]
    file = tmp_path / "committed" / "tests.json"

    write_run(file, records)
    current = as_read(evidence.badge("norms.l1_norm", read(tmp_path)))
    write_run(file, records, "older code")
    outdated_badge = as_read(evidence.badge("norms.l1_norm", read(tmp_path)))

    assert current == (
        ":ref:`Evidence <evidence-norms.l1_norm>`: 50 digits · NumPy · gradient; largest error 3e-15; 2026-01-31"
    )
    assert outdated_badge == f"{current}, before the last change of the code"
    assert ".. _evidence-norms.l1_norm:" in show(tmp_path)


def test_evidence_lists_a_test_without_a_mark_in_the_chapter_of_its_file(tmp_path: Path) -> None:
    tests = [
        record("test", test=f"{file}::test_it_is_so_in_{file}", functions=[]) for file in ("test_norms", "test_mlp")
    ]

    shown = page(tmp_path, tests)

    assert "it is so in test norms" in shown
    assert "it is so in test mlp" not in shown


def test_evidence_tells_what_does_not_hold_and_why(tmp_path: Path) -> None:
    module = {"dlcore.linear": ["least_squares", "logistic_regression"]}
    evidence.write(tmp_path, read(tmp_path), module)
    shown = (tmp_path / "index.rst").read_text()

    for name in ("linear.least_squares", "linear.logistic_regression"):
        exempt = gather()[name].exempt
        assert cells(shown, name).count("–") == len(exempt)
        assert all(markup.escape(reason) in shown for reason in exempt.values())


@cache
def committed() -> evidence.Evidence:
    """Return what the last complete run showed."""
    return evidence.Evidence.read(MEASURED / "evidence", MEASURED / "no such folder")


@pytest.mark.parametrize("name", sorted(public_functions()))
def test_the_committed_run_has_every_property_of_every_function(name: str) -> None:
    exempt = gather()[name].exempt

    marks = {kind: committed().mark(name, kind) for kind in evidence.COLUMNS.values() if kind not in exempt}

    update = "run `tox run -e tests,doctests`, then `cp docs/_build/evidence/*.json docs/measured/evidence`"
    assert marks == dict.fromkeys(marks, evidence.HELD), update
    assert committed().compared(name), update


def test_the_file_of_a_run_has_a_line_for_each_function_in_an_order_of_its_own() -> None:
    records = [
        record("vmap", functions=["norms.l2_norm"]),
        record("gradient"),
        record("test", test="test_norms::test_b", oracles=["NumPy", "50 digits"], error=1.26e-16),
        record("test", test="test_norms::test_a", functions=[]),
    ]

    text = as_text(condense(records))

    assert text == as_text(condense(records[::-1]))
    assert json.loads(text) == condense(records)
    assert '"norms.l1_norm": {"compared": {"50 digits": 1e-16, "NumPy": 1e-16}, "gradient": [1, 0]},' in text
    assert text.index("norms::test_a") < text.index("norms::test_b")


# What a benchmark showed


def library_record(processor: str, *ratios: float) -> str:
    """Return the record of a benchmark with these median ratios."""
    timings = [Timing("norms *", f"torch.{k}", 1.1, ratio, 0.5, 1.5, 2e-6, 0.25) for k, ratio in enumerate(ratios)]
    run = {
        "date": "2026-01-31",
        "processor": processor,
        "machine": f"{processor}, 2 threads",
        "timings": [asdict(timing) for timing in timings],
        "growths": [asdict(Growth("dropout", (10, 1000), (1e-3, 0.1), 1.05, 1.1))],
        "peaks": [asdict(Peak("norms", "torch.linalg", 3.0, 0.5))],
        "import_milliseconds": 41.6,
    }
    return json.dumps(run)


def test_performance_shows_the_figures_of_each_processor_and_when_they_were_taken(tmp_path: Path) -> None:
    (tmp_path / "library-b.json").write_text(library_record("B", 0.75, 1.25))
    (tmp_path / "library-a.json").write_text(library_record("A & A", 0.1))

    performance.write(tmp_path, tmp_path)

    shown = " ".join(as_read((tmp_path / "performance.rst").read_text()).split())
    assert shown.index("A & A ~~~~~") < shown.index("B ~")
    assert "Measured on 2026-01-31: B, 2 threads. 1 of 2 medians are within their targets" in shown
    assert "- norms \\* - ``torch.0`` - **0.75** - 0.5 – 1.5 - 1.1 - 2.00 µs - 25% *" in shown
    assert "**1.25** (over)" in shown
    assert "- dropout - 10 – 1,000 - **1.05** - 1.1 - 100 ms" in shown
    assert "- norms - ``torch.linalg`` - 3.00 MiB - 512 KiB" in shown
    assert "takes 42 ms" in shown
    assert "The shift estimators -------------------- Not measured yet" in shown


def test_performance_plots_the_ratios_of_all_processors_on_one_axis(tmp_path: Path) -> None:
    (tmp_path / "library-a.json").write_text(library_record("A & A", 0.1))
    (tmp_path / "library-b.json").write_text(library_record("B", 1.0, 10.0))

    performance.write(tmp_path, tmp_path)

    shown = (tmp_path / "performance.rst").read_text()
    assert shown.count('<span class="work"><span>norms *') == 2
    assert '<i class="dot run-0 kept" style="left:0.00%" title="0.1, A &amp; A">' in shown
    assert '<i class="dot run-1 kept" style="left:50.00%" title="1, B">' in shown
    assert '<i class="dot run-1 over" style="left:100.00%" title="10, B">' in shown
    assert shown.count('<i class="target" style="left:52.07%">') == 2
    assert [f'">{tick}</span>' in shown for tick in ("0.1", "1", "10", "100")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.50 µs"), (5e-7, "500 ns")]
)
def test_a_time_is_shown_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert performance.duration(seconds) == text


@pytest.mark.parametrize(("mebibytes", "text"), [(1234.5, "1234 MiB"), (0.5, "512 KiB"), (2**-11, "0.5 KiB"), (0, "0")])
def test_memory_is_shown_in_the_unit_that_suits_it(mebibytes: float, text: str) -> None:
    assert performance.memory(mebibytes) == text


def test_performance_shows_the_studies_of_shift(tmp_path: Path) -> None:
    table = Table("Ratios", "20 draws", ("error", "seconds"), targets={"error": 0.1})
    table.add("ulsif", 0.05, "not installed")
    run = {"date": "2026-01-31", "machine": "a machine", "tables": [table.as_json()]}
    (tmp_path / "shift.json").write_text(json.dumps(run))

    performance.write(tmp_path, tmp_path)

    shown = " ".join(as_read((tmp_path / "performance.rst").read_text()).split())
    assert "The library ----------- Not measured yet" in shown
    assert "* - method - error - seconds * - ulsif - 0.05 - not installed * - target - 0.1 -" in shown


# The README


def test_the_figure_of_the_readme_is_what_the_library_draws() -> None:
    drawn = readme_figure.draw()
    numbers = re.compile(r"-?\d+\.\d")

    kept = readme_figure.FILE.read_text()

    assert numbers.sub("", kept) == numbers.sub("", drawn)
    assert [float(x) for x in numbers.findall(kept)] == pytest.approx(
        [float(x) for x in numbers.findall(drawn)], abs=0.2
    )


# The search


def test_the_search_learns_the_kind_the_name_and_the_terms_of_a_page_and_lists_count_less() -> None:
    page = """<article class="bd-article"><p>Note</p><h1><code>lp_norm</code><a class="headerlink" href="#x">#</a></h1>
        <dt class="sig sig-object py" id="dlcore.norms.lp_norm">lp_norm(x, p)</dt>
        <p>Return the <span class="katex"><math>p</math><span class="katex-html"><b>p</b></span></span>-norm
        of &lt;x&gt;.</p><p>More.</p></article>"""

    function = site_search.for_search("api/dlcore.norms.lp_norm", page, ["p-norm"])
    listing = site_search.for_search("guide/notes", page, [])

    for mark in (
        'meta="heading">lp_norm<',
        'meta="kind">API<',
        'meta="title">lp norm<',
        'meta="terms">lp norm, p-norm<',
        'meta="summary">Return the p-norm of &lt;x&gt;.<',
    ):
        assert f"data-pagefind-{mark}" in function
    assert re.findall(r'filter="name">(\w+)<', function) == ["lp_norm", "p_norm"]
    assert '" data-pagefind-ignore>lp_norm(x, p)</dt>' in function
    assert '<dt class="sig sig-object py" id="dlcore.norms.lp_norm">' in listing
    assert 'meta="summary"><' in site_search.for_search("guide/notes", '<article class="bd-article"></article>', [])
    assert "weight" not in function
    assert '<article class="bd-article" data-pagefind-weight="0.3">' in listing
    assert "filter" not in listing


@pytest.mark.parametrize(("term", "name"), [("nn.Module", "module"), ("K-fold  cross", "k_fold_cross")])
def test_a_term_is_named_as_the_browser_names_what_was_asked_for(term: str, name: str) -> None:
    assert site_search.as_name(term) == name


# What programs read


def test_an_index_with_an_empty_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pagefind.js").write_text("...")
    asyncio.run(site_search.files_are_complete(tmp_path))

    monkeypatch.setattr(site_search, "MAX_SECONDS_TO_WRITE", 0.2)
    (tmp_path / "pagefind-entry.json").touch()
    with pytest.raises(RuntimeError, match="is incomplete; build the site again"):
        asyncio.run(site_search.files_are_complete(tmp_path))


def test_the_list_for_programs_has_each_page_once_with_its_title_and_first_paragraph() -> None:
    pages = {"index": "A library.", "api/dlcore.norms": "", "guide/index": "Topics."}
    texts = {page: nodes.container("", *[nodes.paragraph("", text)] * bool(text)) for page, text in pages.items()}
    titles = {page: nodes.title("", f"T {page}") for page in pages}
    env = SimpleNamespace(titles=titles, get_doctree=texts.__getitem__)

    lines = list(as_markdown.listing(env, list(pages), "dlcore", "https://x/"))

    assert lines[:2] == ["# dlcore\n", "> A library.\n"]
    assert [line for line in lines if line.startswith("- ")] == [
        "- [T index](https://x/index.md): A library.",
        "- [T guide/index](https://x/guide/index.md): Topics.",
        "- [T api/dlcore.norms](https://x/api/dlcore.norms.md)",
    ]


# The page of all functions


@pytest.mark.parametrize("name", sorted(public_functions()))
def test_every_docstring_has_a_formula_to_show(name: str) -> None:
    shown = overview.row(name, public_functions()[name])

    formula = shown.partition(".. math::")[2].strip()
    assert formula
    assert "\n\n" not in formula


def test_every_function_is_in_the_listing() -> None:
    names_of = {f"dlcore.{name.rpartition('.')[0]}": [] for name in public_functions()}
    for name in public_functions():
        names_of[f"dlcore.{name.rpartition('.')[0]}"].append(name.rpartition(".")[2])

    listed = {f"{module}.{name}" for module, functions in chapters.functions(names_of) for name in functions}

    assert listed == {f"dlcore.{name}" for name in public_functions()}


# The pages of the tutorials


def folded(cell: str, page: str = "auto_gallery/plot", language: str = "Python") -> list[str]:
    """Return the parts into which a cell of a page is split, with what surrounds the folded ones."""
    document = new_document("plot.rst")
    document += nodes.literal_block(cell, cell, language=language)
    env = SimpleNamespace(current_document=SimpleNamespace(docname=page))
    folding.fold(SimpleNamespace(env=env), document)
    return [part.astext() for part in document]


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("x = 1", ["x = 1"]),
        (
            "x = 1\n\n# Figure\nplot(x)\nshow()",
            ["x = 1", "<summary>Code of the figure</summary>", "plot(x)\nshow()", "</details>"],
        ),
        (
            "# Solution\n\nx = 1\n# Figure\nplot(x)",
            ["<summary>Solution</summary>", "x = 1\n# Figure\nplot(x)", "</details>"],
        ),
        ("x = 1  # Figure\n# Figure of x\ny = 2", ["x = 1  # Figure\n# Figure of x\ny = 2"]),
        (
            "if x:\n    y = 1\nfig.set_label(\n    'A dot.'\n)\nbar.set_label('y')",
            ["if x:\n    y = 1\nbar.set_label('y')"],
        ),
    ],
)
def test_page_folds_a_cell_from_its_marker_on_and_omits_the_alternative_text(cell: str, parts: list[str]) -> None:
    assert [part.removeprefix('<details class="folded">') for part in folded(cell)] == parts


@pytest.mark.parametrize("options", [{"page": "guide/plot"}, {"language": "none"}])
def test_page_folds_only_code_of_tutorials(options: dict[str, str]) -> None:
    cell = "x = 1\n# Figure\nplot(x)"

    assert folded(cell, **options) == [cell]


@pytest.mark.parametrize(("choice", "shown"), [("", "1"), ("# sphinx_gallery_thumbnail_number = 2\n", "2")])
def test_page_shows_its_main_figure_before_the_prerequisites(tmp_path: Path, choice: str, shown: str) -> None:
    script = tmp_path / "auto_gallery" / "01" / "plot.py"
    script.parent.mkdir(parents=True)
    script.write_text(f"{choice}plot()\n")
    document = new_document("plot.rst")
    document += nodes.paragraph("", "The answer.")
    document += nodes.paragraph("*Prerequisites:* none.", "Prerequisites: none.")
    for number in "12":
        for theme in ("light", "dark"):
            box = nodes.container("", nodes.paragraph("", f"{theme} {number}"), classes=[f"only-{theme}"])
            box += nodes.container("", nodes.paragraph("", "slider"), classes=["slider"])
            document += box
    env = SimpleNamespace(current_document=SimpleNamespace(docname="auto_gallery/01/plot"))

    in_short.show_main_figure(SimpleNamespace(env=env, srcdir=tmp_path), document)

    texts = [part.astext() for part in document]
    assert texts[:4] == ["The answer.", f"light {shown}", f"dark {shown}", "Prerequisites: none."]
    assert len(texts) == 8
    assert texts[4] == "light 1\n\nslider"


def page_of(name: str, language: str = "en") -> SimpleNamespace:
    """Return an application that reads a page."""
    env = SimpleNamespace(current_document=SimpleNamespace(docname=name))
    return SimpleNamespace(env=env, config=SimpleNamespace(language=language))


def test_reading_time_counts_text_and_shown_code() -> None:
    document = new_document("plot.rst")
    document += nodes.section("", nodes.title("Title of four words"), nodes.paragraph("word " * 496))
    document += nodes.paragraph("*Prerequisites:* none.", "Prerequisites: none.")
    document += nodes.literal_block("", "x = 1\n\n" * 45, language="Python")
    document += nodes.literal_block("", "output\n" * 45, language="none")
    document += nodes.container("", nodes.paragraph("Download " * 1000), classes=["sphx-glr-footer"])
    document += nodes.container("", nodes.paragraph("Two curves. " * 1000), classes=["description"])
    document += nodes.paragraph("Running time. " * 1000, classes=["sphx-glr-timing"])
    document += [nodes.raw("", '<details class="folded">', format="html")]
    document += [
        nodes.literal_block("", "y = 1\n" * 450, language="Python"),
        nodes.raw("", "</details>", format="html"),
    ]
    app = page_of("auto_gallery/plot")

    reading_time.show(app, document)

    assert document[1].astext() == "Prerequisites: none. Reading time: 6 minutes."  # 502 words and 45 lines


def test_reading_time_follows_chinese_punctuation_without_a_space() -> None:
    document = new_document("plot.rst")
    document += nodes.paragraph("*Prerequisites:* none.", "先修知识：无。")

    reading_time.show(page_of("auto_gallery/plot", "zh_CN"), document)

    assert document.astext() == "先修知识：无。Reading time:1 minutes."


def test_reading_time_is_that_of_tutorials_only() -> None:
    document = new_document("page.rst")
    document += nodes.paragraph("*Prerequisites:* none.", "Prerequisites: none.")
    app = page_of("guide/page")

    reading_time.show(app, document)

    assert document.astext() == "Prerequisites: none."


def colab_link(address: str, page: str) -> str | None:
    """Return the address to which a page of a site with one notebook links."""
    downloads = {
        "a.py": ({"auto_gallery/01/plot"}, "1a/plot.py"),
        "a.ipynb": ({"auto_gallery/01/plot"}, "2b/plot.ipynb"),
    }
    context: dict[str, str] = {}
    app = SimpleNamespace(config=SimpleNamespace(notebooks_url=address), env=SimpleNamespace(dlfiles=downloads))
    colab.add_link(app, page, "page.html", context, None)
    return context.get("colab")


def test_a_tutorial_opens_in_colab_if_the_address_of_the_published_site_is_known() -> None:
    address = "https://github.com/owner/name/blob/gh-pages/stable"

    link = colab_link(address, "auto_gallery/01/plot")

    assert link == ("https://colab.research.google.com/github/owner/name/blob/gh-pages/stable/_downloads/2b/plot.ipynb")
    assert colab_link(address, "index") is None
    assert (colab.first_cell(address) or "").endswith("%pip install -q git+https://github.com/owner/name")


def test_without_the_address_no_page_opens_in_colab() -> None:
    assert colab_link("", "auto_gallery/01/plot") is None
    assert colab.first_cell("") is None


def test_an_address_from_which_colab_opens_no_notebook_is_refused() -> None:
    with pytest.raises(ValueError, match="NOTEBOOKS_URL must be the address of a branch or folder on GitHub"):
        colab.first_cell("https://example.org/site")


# Figures


@pytest.mark.parametrize("name", ["Oranges", "PuOr_r", "Greys"])
def test_colours_of_a_map_with_white_start_from_black_in_dark(name: str) -> None:
    light = plt.get_cmap(name)

    dark = figures.dark_colormap(light)

    values = np.arange(256)
    of_light, of_dark = light(values)[:, :3], dark(values)[:, :3]
    assert of_light[of_light.min(axis=1).argmax()].min() > 0.9
    assert of_dark[of_light.min(axis=1).argmax()].max() < 0.1
    assert np.allclose(np.ptp(of_dark, axis=1), np.ptp(of_light, axis=1))  # the chroma
    assert figures.dark_colormap(dark) is dark


def test_colours_of_a_map_without_white_stay_in_dark() -> None:
    assert figures.dark_colormap(plt.get_cmap("viridis")).name == "viridis"


def test_picture_is_dark_in_dark(tmp_path: Path) -> None:
    fig = plt.figure(figsize=(1, 1))
    fig.set_label("A white square.")
    fig.add_axes((0, 0, 1, 1)).imshow([[0.0]], cmap="Greys", vmin=0, vmax=1)

    scrape(tmp_path, {})

    for name, gray in {"plot_001": 255, "plot_001_dark": 0}.items():
        with Image.open(tmp_path / "images" / f"{name}.png") as picture:
            assert picture.convert("L").getpixel((50, 50)) == gray


def test_claim_that_does_not_hold_fails_the_build(tmp_path: Path) -> None:
    claims = {"The loss falls": False, "The error falls": True, "The ball is convex": False}

    with pytest.raises(ExtensionError, match=r"plot\.py: does not hold: The loss falls; The ball is convex$"):
        scrape(tmp_path, {"claims": claims})


def scrape(folder: Path, scripts_names: dict[str, object]) -> str:
    """Save the open figures as the build does, and return the text that shows them."""
    paths = iter([str(folder / "images" / f"plot_{number:03}.png") for number in (1, 2)])

    class Paths:
        def __iter__(self) -> Iterator[str]:
            return paths

        def __len__(self) -> int:
            return 2

    (folder / "images").mkdir()
    names = {"image_path_iterator": Paths(), "example_globals": scripts_names, "file_conf": {}, "src_file": "plot.py"}
    return figures.save_light_and_dark(None, names, {"src_dir": str(folder)})


def on_white(picture: Image.Image) -> Image.Image:
    """Return a picture as it looks on a white page."""
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def test_a_figure_that_moves_has_a_slider_over_its_frames_and_is_the_last(tmp_path: Path) -> None:
    with plt.rc_context(figures.STYLE):
        fig, ax = plt.subplots(figsize=(1, 1))
        (line,) = ax.plot([0.5], "o", color="C0")
        ax.set_ylim(0, 1)

        def move(y: float) -> None:
            line.set_ydata([y])
            ax.set_title(f"y < {y}")

        film = FuncAnimation(fig, move, frames=[0.1, 0.2, 0.9])
        fig.set_label("A dot that rises.")
        plt.figure(figsize=(1, 1)).set_label("Another figure, which does not move.")

        shown = scrape(tmp_path, {"film": film, "fig": fig})

    options = "<option>y &lt; 0.1</option><option>y &lt; 0.2</option><option>y &lt; 0.9</option>"
    assert shown.count(f"<datalist>{options}</datalist>") == 2
    for theme in ("", "_dark"):
        assert f"All steps in one picture </images/plot_001{theme}.webp>" in shown
        with Image.open(tmp_path / "images" / f"plot_001{theme}.webp") as strip:
            assert strip.size == (figures.FRAME_DPI, 3 * figures.FRAME_DPI)
            steps = [on_white(strip.crop((0, top, 150, top + 150))) for top in (0, 150, 300)]
        assert steps[0] != steps[1]
        ink = {"": "#1668b0", "_dark": "#6cb6ff"}[theme]
        rgb = [int(ink[place : place + 2], 16) for place in (1, 3, 5)]
        assert np.abs(np.asarray(steps[2], dtype=int) - rgb).sum(axis=-1).min() < 16
        with Image.open(tmp_path / "images" / f"plot_001{theme}_2_00x.png") as still:
            last = steps[2].resize(still.size)
            assert np.abs(np.asarray(on_white(still), dtype=int) - np.asarray(last)).mean() < 8
    assert not (tmp_path / "images" / "plot_002.webp").exists()


# The page of a function


class AnyOutput(doctest.OutputChecker):
    """Accept any output, which the doctests check, but no error."""

    def check_output(self, *_: object) -> bool:
        return True


@pytest.mark.parametrize("name", sorted(public_names()))
def test_the_import_shown_runs_as_copied_and_so_do_the_examples_after_it(name: str) -> None:
    module, _, short = f"dlcore.{name}".rpartition(".")
    lines = api_pages.imports(module, short, NAMES_OF)
    scope: dict[str, object] = {}

    if torch.distributed.is_initialized():  # by a test of sharded rows; a reader's process has no group yet
        torch.distributed.destroy_process_group()

    exec("\n".join(lines), scope)  # noqa: S102  # as a reader does
    examples = doctest.DocTestParser().get_doctest(public_names()[name].__doc__, scope, name, None, None)
    results = doctest.DocTestRunner(checker=AnyOutput(), verbose=False).run(examples)

    assert any(re.fullmatch(rf"from {module} import (.*, )?{short}(, .*)?", line) for line in lines)
    assert results.attempted
    assert results.failed == 0


def test_names_that_examples_define_are_not_imported() -> None:
    text = """
    >>> import os
    >>> x = [y for y in range(3)]
    >>> def f(a): return a + b
    >>> sum(map(lambda z: z * c.d, x), *e)
    """

    assert api_pages.free_names(text) == {"b", "c", "e"}


def test_parts_of_a_docstring_become_sections_with_the_errors_after_the_examples() -> None:
    content = addnodes.desc_content()
    content += nodes.paragraph("", "Return it.")
    names = ("Parameters", "Returns", "Raises")
    fields = [nodes.field("", nodes.field_name("", n), nodes.field_body("", nodes.paragraph())) for n in names]
    content += nodes.field_list("", *fields)
    content += [addnodes.seealso("", nodes.paragraph("", "other")), nodes.rubric("", "References"), nodes.paragraph()]
    content += [nodes.rubric("", "Examples"), nodes.doctest_block(), nodes.paragraph(), addnodes.desc()]

    found = sorted(api_pages.parts(content), key=api_pages.place)

    titles = ["Parameters", "Returns", "Examples", "Methods and properties", "Raises", "See also", "References"]
    assert [title.astext() for title, _ in found] == titles
    assert [len(body) for _, body in found] == [1, 1, 2, 1, 1, 1, 1]
    assert content.astext() == "Return it."


# Equivalents in other libraries


def test_every_row_of_the_equivalents_is_read() -> None:
    text = equivalents.TABLES.read_text()

    rows = equivalents.rows()

    assert len(rows) == text.count("   * - :func:") > 90
    assert {library for row in rows for library in row.elsewhere} == set(equivalents.LIBRARIES.values())
    assert all(f"     -{' ' * bool(row.difference)}{row.difference}\n" in text for row in rows)


ROWS = """
   * - :func:`~dlcore.norms.l2_norm`
     - | :func:`torch.linalg.vector_norm`
       | ``optax.tree.norm``
     - overflows
   * - :func:`~dlcore.norms.l1_norm`
     - :func:`torch.linalg.vector_norm`
     -
"""


def test_equivalents_are_told_on_the_page_of_a_function_and_listed_by_their_own_names() -> None:
    rows = equivalents.rows(ROWS)

    assert list(equivalents.sentences("norms.l2_norm", rows)) == [
        "In torch :func:`torch.linalg.vector_norm`; in optax ``optax.tree.norm`` – overflows"
    ]
    assert list(equivalents.index("torch", rows))[5:] == [
        "   * - torch",
        "     - dlcore",
        "   * - :func:`torch.linalg.vector_norm`",
        "     - | :func:`norms.l2_norm <dlcore.norms.l2_norm>` – overflows",
        "       | :func:`norms.l1_norm <dlcore.norms.l1_norm>`",
        "",
    ]


def test_an_equivalent_that_is_not_one_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be one name in a role or in backquotes, got 'torch\.a or b'"):
        equivalents.rows(ROWS.replace("``optax.tree.norm``", "torch.a or b"))


# The index of the API


LAYERS = """
[[tool.importlinter.contracts]]
name = "Chapters"
type = "layers"
containers = ["dlcore"]
layers = ["shift | propagation", "mlp : training", "losses", "norms | optim", "_torch"]
"""


@pytest.mark.parametrize("other", ["", '[[tool.importlinter.contracts]]\nname = "Other"\ntype = "forbidden"\n'])
def test_index_follows_the_layers_from_the_lowest(tmp_path: Path, other: str) -> None:
    (tmp_path / "pyproject.toml").write_text(other + LAYERS)
    names = [
        f"dlcore.{name}" for name in ("shift", "new", "optim", "norms", "losses", "training", "mlp", "propagation")
    ]

    found = chapters.sections(names, chapters.layers(tmp_path / "pyproject.toml"))

    assert {title: [name.removeprefix("dlcore.") for name in names] for title, names in found.items()} == {
        "Building blocks": ["norms", "optim"],
        "Losses, penalties and risk": ["losses"],
        "Networks, training and model selection": ["mlp", "training"],
        "Signal propagation and distribution shift": ["propagation", "shift", "new"],
    }


def test_index_is_alphabetical_without_layers(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")

    found = chapters.sections(["dlcore.b", "dlcore.a"], chapters.layers(tmp_path / "pyproject.toml"))

    assert found == {"Modules": ["dlcore.a", "dlcore.b"]}


@pytest.mark.parametrize(
    ("formula", "after", "kept"),
    [("p", "，而", ["p，"]), ("p", "）。", ["p）。"]), ("p", " 为", []), ("x" * 17, "，而", [])],
)
def test_chinese_punctuation_stays_with_a_short_formula(formula: str, after: str, kept: list[str]) -> None:
    document = new_document("page.rst")
    document += nodes.paragraph("", "", nodes.Text("值 "), nodes.math("", formula), nodes.Text(after))

    wording.keep_punctuation(SimpleNamespace(config=SimpleNamespace(language="zh_CN")), document)

    assert [part.astext() for part in document.findall(nodes.inline)] == kept
    assert document[0].astext() == f"值 {formula}{after}"


def test_english_pages_are_left_as_they_are() -> None:
    document = new_document("page.rst")
    document += nodes.paragraph("", "", nodes.math("", "p"), nodes.Text("。"))

    wording.keep_punctuation(SimpleNamespace(config=SimpleNamespace(language="en")), document)

    assert not [*document.findall(nodes.inline)]


# The languages


PO = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n'
CATALOGUES = {
    "sphinx": {
        "{n} tests passed": "{n} 项测试通过",
        "{n} more": "另有 {n} 项",
        "{n} solutions": "{n} 个解答",
        "Author": "作者",
    },
    "auto_gallery": {"A < B": "甲 < 乙"},
    "index": {"Place": "位置", "Some text.": "一些文字。", "The name of a test.": "不应出现"},
}
TYPES = """
" of " = "，元素为 "
"at least" = "至少"
"at" = "于"
"""


@pytest.fixture
def locales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Small catalogues in place of those of the site."""
    folder = tmp_path / "locales" / "zh_CN"
    (folder / "LC_MESSAGES").mkdir(parents=True)
    (folder / "types.toml").write_text(TYPES, encoding="utf-8")
    for domain, messages in CATALOGUES.items():
        entries = [f'msgid "{english}"\nmsgstr "{chinese}"\n' for english, chinese in messages.items()]
        (folder / "LC_MESSAGES" / f"{domain}.po").write_text("\n".join([PO, *entries]), encoding="utf-8")
    monkeypatch.setattr(translated, "LOCALES", tmp_path / "locales")
    monkeypatch.setattr(wording, "LOCALES", tmp_path / "locales")
    for cached in (translated.catalogue, wording.words):
        cached.cache_clear()
    yield tmp_path / "locales"
    for cached in (translated.catalogue, wording.words):
        cached.cache_clear()


CONF = """
extensions = ["sphinx.ext.autosummary", "sphinx.ext.viewcode", "translated", "wording"]
autosummary_context = {"names_of": {"dlcore.norms": ["lp_norm"]}}
language = "LANGUAGE"
locale_dirs = ["../locales"]
"""
PAGE = """
Title
=====

:said:`{n} tests passed | n=3`: see :said-ref:`{n} more | n=2 <place>`.

.. fold:: {n} solutions | n=1
   :class: solutions

   Some text.

.. fold:: Tests
   :class: tests

   The name of a test.

.. _place:

Place
-----

lp_norm
-------
"""


def build(folder: Path, language: str) -> str:
    """Return the text of a page in a language, with a mark for each tag that folds."""
    (folder / "pages").mkdir(exist_ok=True)
    (folder / "pages" / "conf.py").write_text(CONF.replace("LANGUAGE", language), encoding="utf-8")
    (folder / "pages" / "index.rst").write_text(PAGE, encoding="utf-8")
    out = folder / language
    with docutils_namespace():
        app = Sphinx(folder / "pages", folder / "pages", out, out / "trees", "html", status=None, warningiserror=True)
        app.build()
        assert [listener.handler.__module__ for listener in app.events.listeners["html-collect-pages"]].count(
            "sphinx.ext.viewcode"
        ) == (language == "en")
    article = (
        (out / "index.html").read_text(encoding="utf-8").partition('role="main"')[2].partition('<div class="sphinx')[0]
    )
    article = re.sub(r'<details class="(\w+)"><summary>(.*?)</summary>', r"[\1: \2]", article)
    return " ".join(re.sub("<[^>]*>", " ", article).split())


def test_sentences_with_values_and_folds_are_written_in_the_language_of_the_page(tmp_path: Path, locales: Path) -> None:
    english, chinese = build(tmp_path, "en"), build(tmp_path, "zh_CN")

    assert "3 tests passed: see 2 more" in english
    assert "[solutions: 1 solutions] Some text." in english
    assert "3 项测试通过: see 另有 2 项" in chinese
    assert "[solutions: 1 个解答] 一些文字。" in chinese
    assert "[tests: Tests] The name of a test." in chinese
    assert "位置" in chinese
    assert "lp_norm" in chinese
    assert '"Author": "作者"' in (locales / "zh_CN" / "LC_MESSAGES" / "sphinx.js").read_text(encoding="utf-8")


def test_a_setting_is_translated_if_the_catalogue_has_it(locales: Path) -> None:  # noqa: ARG001
    assert translated.in_settings("Author", "zh_CN") == "作者"
    assert translated.in_settings("Author", "en") == "Author"
    assert translated.in_settings("Title", "zh_CN") == "Title"


def test_the_words_of_a_type_are_translated_as_a_whole_the_longest_first(locales: Path) -> None:  # noqa: ARG001
    assert wording.translate_type(" of ", "zh_CN") == "，元素为 "  # between two links
    assert wording.translate_type(" at least 1, at data", "zh_CN") == " 至少 1，于 data"
    assert wording.translate_type("pairs of ", "zh_CN") == "pairs，元素为 "
    assert wording.translate_type(", at [0, 1), (n, d) or at", "zh_CN") == "，于 [0, 1)，(n, d) or 于"
    assert wording.translate_type("data at of at", "zh_CN") == "data 于，元素为于"
    assert wording.translate_type("Tensor of shape at least 1", "en") == "Tensor of shape at least 1"


def test_the_words_in_a_formula_are_translated_and_its_symbols_stay(locales: Path) -> None:
    (locales / "zh_CN" / "formulas.toml").write_text('"otherwise" = "否则"\n', encoding="utf-8")
    document = new_document("page.rst")
    formula = r"R_\text{emp} = 0 \text{otherwise}"
    document += nodes.math_block(formula, formula)
    config = SimpleNamespace(language="zh_CN", autosummary_context={"names_of": {}})
    document.settings.env = SimpleNamespace(config=config)

    wording.Names(document).apply()

    assert document[0].astext() == r"R_\text{emp} = 0 \text{否则}"
    assert document[0]["translatable"] is False
    assert wording.translate_formula(formula, "en") == formula


def test_names_are_separated_by_the_punctuation_of_the_language() -> None:
    shown = {}
    for language in ("en", "zh_CN"):
        document = new_document("page.rst")
        names = [
            nodes.literal("", "a"),
            nodes.Text(", "),
            nodes.literal("", "b"),
            nodes.Text("; "),
            nodes.literal("", ", "),
        ]
        document += nodes.paragraph("", "", *names)
        document += nodes.container("", nodes.paragraph("", "error 2e-16; 2026, before"), classes=["tested"])
        document += nodes.paragraph("", "not; evidence, a text")
        wording.separate_names(SimpleNamespace(config=SimpleNamespace(language=language)), document)
        shown[language] = document.astext()

    others = "not; evidence, a text"
    assert shown["en"].split("\n\n") == ["a, b; , ", "error 2e-16; 2026, before", others]
    assert shown["zh_CN"].split("\n\n") == ["a、b；, ", "error 2e-16；2026、before", others]


THUMBNAIL = """<div class="sphx-glr-thumbcontainer" tooltip="Some &quot;summary&quot;.">
<div class="sphx-glr-thumbnail-title">A &lt; B</div></div>"""


def test_thumbnails_have_the_title_in_the_language_of_the_page_and_no_english_summary(locales: Path) -> None:  # noqa: ARG001
    shown = {}
    for language in ("en", "zh_CN"):
        document = new_document("page.rst")
        document += [nodes.raw("", THUMBNAIL, format="html"), nodes.raw("", "<b>other</b>", format="html")]
        wording.translate_html(page_of("api/page", language), document)
        shown[language] = [node.astext() for node in document]

    assert shown["en"] == [THUMBNAIL, "<b>other</b>"]
    assert shown["zh_CN"][1] == "<b>other</b>"
    assert "甲 &lt; 乙</div>" in shown["zh_CN"][0]
    assert "tooltip" not in shown["zh_CN"][0]


@pytest.mark.parametrize(
    ("language", "format_", "place", "text", "is_shown"),
    [
        ("en", "html", "other", "一条 曲线。", False),
        ("zh_CN", "html", "other", "The figure that is described below", True),
        ("zh_CN", "html", "in-short", "一条 曲线。", False),
        ("en", "gettext", "other", "old", True),
    ],
)
def test_a_figure_is_described_as_alternative_text_or_below(
    language: str, format_: str, place: str, text: str, is_shown: bool
) -> None:
    document = new_document("page.rst")
    box = nodes.container("", imgsgnode(uri="a.png", alt="old"), classes=["only-light", place])
    box += nodes.container("", nodes.paragraph("", "一条\n曲线。"), classes=["description"])
    document += [box, nodes.container("", imgsgnode(uri="b.png", alt="other"))]
    app = SimpleNamespace(config=SimpleNamespace(language=language), builder=SimpleNamespace(format=format_))

    wording.describe_figures(app, document)

    assert [figure["alt"] for figure in document.findall(imgsgnode)] == [text, "other"]
    assert ("曲线" in document.astext()) == is_shown


def languages_of(page: str, language: str, address: str = "") -> list[tuple[str, str, str, bool]]:
    """Return the code, the path and the address of each language to which a page links, and whether it is its own."""
    context: dict[str, list[dict[str, object]]] = {}
    app = SimpleNamespace(config=SimpleNamespace(language=language, html_baseurl=address))
    translated.link_languages(app, page, "page.html", context, None)
    return [tuple(link[key] for key in ("code", "path", "address", "is_shown")) for link in context["languages"]]


def test_a_page_links_to_itself_and_its_counterpart() -> None:
    assert languages_of("api/x", "en") == [
        ("en", "../api/x.html", "../api/x.html", True),
        ("zh-CN", "../zh/api/x.html", "../zh/api/x.html", False),
    ]
    assert languages_of("index", "zh_CN") == [
        ("en", "../index.html", "../index.html", False),
        ("zh-CN", "../zh/index.html", "../zh/index.html", True),
    ]
    assert languages_of("_modules/dlcore/norms", "en") == []


@pytest.mark.parametrize(("language", "base"), [("en", "https://a.org/x/"), ("zh_CN", "https://a.org/x/zh/")])
def test_a_page_names_its_addresses_if_that_of_the_site_is_known(language: str, base: str) -> None:
    found = languages_of("api/x", language, base)

    assert [address for _, _, address, _ in found] == ["https://a.org/x/api/x.html", "https://a.org/x/zh/api/x.html"]


@pytest.mark.parametrize(
    ("language", "to"), [("en", "../_modules/dlcore/a.html#f"), ("zh_CN", "../../_modules/dlcore/a.html#f")]
)
def test_links_to_source_code_lead_to_the_one_copy_of_it(language: str, to: str) -> None:
    document = new_document("page.rst")
    addresses = ["../_modules/dlcore/a.html#f", "../guide/a.html", ""]
    document += [nodes.reference("", "x", refuri=address) for address in addresses[:2]]
    document += nodes.reference("", "x", refid="here")

    translated.CodeLinks.run(SimpleNamespace(config=SimpleNamespace(language=language), document=document))

    assert [link.get("refuri", "") for link in document] == [to, *addresses[1:]]


def sitemap_of(folder: Path, language: str, address: str, exception: Exception | None = None) -> list[str]:
    """Return the addresses in the sitemap that a build writes; none if it writes no sitemap."""
    folder.mkdir()
    config = SimpleNamespace(language=language, html_baseurl=address)
    translated.write_sitemap(SimpleNamespace(config=config, outdir=folder), exception)
    file = folder / "sitemap.xml"
    return re.findall("<loc>(.*?)</loc>", file.read_text(encoding="utf-8")) if file.exists() else []


def test_the_sitemap_names_the_pages_of_both_editions(tmp_path: Path) -> None:
    address = "https://a.org/x&y/"
    escaped = "https://a.org/x&amp;y/"

    assert sitemap_of(tmp_path / "a", "en", address) == [f"{escaped}pages.xml", f"{escaped}zh/pages.xml"]
    assert sitemap_of(tmp_path / "b", "zh_CN", f"{address}zh/") == []
    assert sitemap_of(tmp_path / "c", "en", "") == []
    assert sitemap_of(tmp_path / "d", "en", address, ValueError("a failed build")) == []


def test_chinese_is_indexed_by_characters_and_the_names_of_pages_are_not() -> None:
    page = '<article class="bd-article"><h1>K 折，交叉</h1><p title="暂退">图</p></article>'

    found = site_search.in_characters(site_search.for_search("guide/x", page, ["K 折交叉", "暂退法"]))

    assert '<p title="暂退"> 图 </p>' in found
    assert re.search(r'filter="name">k折交叉</p>.*filter="name">暂退法</p>', found)
    assert re.search(r'meta="title">K 折 +， +交 +叉 <', found.replace("  ", " "))


@pytest.mark.parametrize("term", ["K 折交叉验证", "K折交叉验证", "k-折 交叉验证"])
def test_a_chinese_name_is_the_same_with_and_without_spaces(term: str) -> None:
    assert site_search.as_name(term) == "k折交叉验证"


SERVER = """
import socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
time.sleep(0.3)
if sys.argv[2] == "listens":
    server.listen()
    server.accept()[0].sendall(b"ready")
time.sleep(60)
"""


class Typesetter:
    """A server whose socket exists before it listens."""

    def __init__(self, what: str) -> None:
        self.what = what

    def build_command(self, socket: Path) -> list[str]:
        return [sys.executable, "-c", SERVER, str(socket), self.what]

    def timeout_error(self, seconds: float) -> Exception:
        return ExtensionError(f"not up after {seconds} seconds")


def test_the_build_waits_until_the_typesetter_listens(tmp_path: Path) -> None:
    process, connection = mendings.start_katex(Typesetter("listens"), tmp_path, 60)
    answer = connection.recv(5)
    connection.close()
    process.kill()
    process.communicate()

    assert answer == b"ready"


def test_a_typesetter_that_never_listens_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExtensionError, match=r"not up after 0\.5 seconds"):
        mendings.start_katex(Typesetter("sleeps"), tmp_path, 0.5)


def start_and_end(folder: Path) -> None:
    """Start a typesetter in a process that ends without it, and leave the number of its process."""
    process, connection = mendings.start_katex(Typesetter("listens"), folder, 60)
    connection.recv(5)  # it would end by itself if nobody read its answer
    (folder / "process").write_text(str(process.pid))


def test_a_typesetter_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=start_and_end, args=(tmp_path,))
    process.start()
    process.join()
    status = Path("/proc", (tmp_path / "process").read_text(), "status")

    deadline = time.monotonic() + 10
    while status.exists() and "zombie" not in status.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)

    assert process.exitcode == 0
    assert not status.exists() or "zombie" in status.read_text()
