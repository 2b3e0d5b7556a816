"""What holds for the pages of the guide, which the doctests do not see."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.library import public_functions, public_names

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def works() -> ModuleType:
    """Return the extension of the site that gathers the works cited."""
    spec = importlib.util.spec_from_file_location("works", ROOT / "docs" / "_ext" / "works.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_reference_of_a_docstring_is_missing_from_the_bibliography(works: ModuleType) -> None:
    names = public_names()
    labels = sum((value.__doc__ or "").count("\n    .. [") for value in names.values())

    cited = works.cited(names)

    assert labels >= 100
    assert sum(len(citing) for places in cited.values() for citing in places.values()) == labels


def test_one_work_is_cited_in_one_form(works: ModuleType) -> None:
    cited = works.cited(public_names())

    titles = [" ".join(work.split('"' if '"' in work else "*")[1].lower().split(":")[0].split()) for work in cited]

    assert [title for title in titles if titles.count(title) > 1] == []


def test_every_identifier_belongs_to_one_cited_work_and_is_shown_with_it(works: ModuleType) -> None:
    identifiers = tomllib.loads(works.DOIS.read_text())
    cited = [" ".join(works.order(work)) for work in works.cited(public_names())]

    assert [key for key in identifiers if cited.count(key) != 1] == []
    assert all(re.fullmatch(r"10\.\d{4,5}/[!-~]+", doi) for doi in identifiers.values())
    preprints = {key: doi for key, doi in identifiers.items() if "arXiv" in doi}
    assert preprints
    assert [key for key, doi in preprints.items() if 2000 + int(doi.rpartition("arXiv.")[2][:2]) > int(key[-4:])] == []
    line = next(line for line in works.page(public_names()) if "Beck" in line)
    assert line.endswith("2009. `doi:10.1137/080716542 <https://doi.org/10.1137/080716542>`__")


@pytest.mark.parametrize("entry", ["A. Author, *A Book*.", "A. Author, *A Book*, 2001, page 4.", "A. Author, 2001"])
def test_a_reference_without_its_year_or_place_is_refused(works: ModuleType, entry: str) -> None:
    with pytest.raises(ValueError, match="a reference must end with its year"):
        works.split(entry)


def test_works_are_in_the_order_of_their_authors(works: ModuleType) -> None:
    authors = [works.order(work)[0] for work in works.cited(public_names())]

    assert authors == sorted(authors)
    assert works.order("C. Szegedy et al., *CVPR*, 2016.") == ("Szegedy", "2016")
    assert works.order("S. Boyd and L. Vandenberghe, *Convex Optimization*, 2004.") == ("Boyd", "2004")


SECTIONS = re.split(r"\n(?=[^\n]+\n-+\n)", (ROOT / "docs" / "guide" / "equivalents.rst").read_text())
ROLE = re.compile(r":(?:func|class|obj):`~?([\w.]+)`")


@pytest.mark.parametrize("section", SECTIONS[1:-1], ids=lambda section: section.partition("\n")[0])
def test_every_row_of_the_equivalents_is_checked_by_a_line(section: str) -> None:
    table, _, code = section.partition(".. code-block:: python")
    rows = table.split("   * - ")[2:]
    checks = re.split(r"   >>> (?=same|all\()", code)[1:]

    where = f"docs/guide/equivalents.rst, {section.partition(chr(10))[0]}"
    count = (
        f"{where}: {len(rows)} rows and {len(checks)} checks; write one `>>> same(...)` for each row, in their order"
    )
    assert len(checks) == len(rows) > 0, count
    for row, check in zip(rows, checks, strict=True):
        name = ROLE.findall(row)[0]
        first, *others = check.rstrip().splitlines()
        order = f"{where}: put what prepares the checks above all of them, found {others[-1:]} after {first}"
        assert check.rstrip().endswith("True"), order
        assert name.rpartition(".")[2] in code, f"{where}: no check calls {name}"


def test_every_function_has_an_equivalent_or_is_listed_as_without_one() -> None:
    named = {name.removeprefix("dlcore.") for section in SECTIONS for name in ROLE.findall(section)}

    missing = sorted(name for name in public_functions() if name not in named)
    assert not missing, f"docs/guide/equivalents.rst: add a row, or list as without an equivalent: {', '.join(missing)}"


@pytest.mark.parametrize("page", ["mistakes", "conventions", "equivalents"])
def test_a_page_of_the_guide_shows_only_what_the_doctests_run(page: str) -> None:
    text = (ROOT / "docs" / "guide" / f"{page}.rst").read_text()

    blocks = re.findall(r"^\.\. code-block:: (\w+)\n\n   (\S+)", text, re.MULTILINE)

    assert blocks
    assert {start for _, start in blocks} == {">>>"}
    assert "doctest:" not in text
