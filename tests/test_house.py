"""What holds for the repository as a whole: imports, docstrings, tests, and what it may not say."""

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import torch
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate

import dlcore
from tests import evidence
from tests.library import code_lines, public_functions, public_modules, public_names

ROOT = Path(__file__).parents[1]

NEVER_IMPORTED = {"matplotlib", "sklearn", "sphinx", "scipy", "pandas"}
MAX_CODE_LINES = 250  # of a module: without docstrings, comments and blank lines
SOURCES = sorted(path for path in (ROOT / "dlcore").rglob("*.py"))
FUNCTIONS = public_functions()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT / "dlcore").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def test_package_exports_its_modules_and_version_and_nothing_else() -> None:
    modules = {path.split(".")[0] for path, _ in public_modules()}

    assert dlcore.__all__ == sorted({"__version__"} | modules), (
        "dlcore/__init__.py: import each public module, and name it in __all__, in alphabetical order"
    )


def test_a_module_is_imported_when_it_is_first_used() -> None:
    script = "import sys, dlcore; print('dlcore.norms' in sys.modules, dlcore.norms.l1_norm.__name__)"

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert shown.stdout == "False l1_norm\n"
    assert dir(dlcore) == dlcore.__all__
    with pytest.raises(AttributeError, match="module 'dlcore' has no attribute 'nothing'"):
        dlcore.nothing  # noqa: B018


def test_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "dlcore/__init__.py"
    assert f"## {dlcore.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert citation is not None
    assert citation[1] == dlcore.__version__


def test_the_oldest_torch_that_is_allowed_is_the_oldest_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    allowed = [found[1] for found in (re.fullmatch(r"torch>=([\d.]+)", x) for x in project["dependencies"]) if found]
    tested = re.findall(r"^ *torcholdest: torch==([\d.]+)\.\*$", (ROOT / "tox.ini").read_text(), re.M)
    assert len(allowed) == 1
    assert tested == allowed


def test_annotation_checker_refuses_a_wrong_shape_when_asked_for(pytestconfig: pytest.Config) -> None:
    refusal = "Type-check error" if pytestconfig.getoption("--checked") else "must have the same shape"

    with pytest.raises(Exception, match=refusal):  # the checker's own error, or the guard's
        dlcore.losses.squared_loss(torch.ones(3), torch.ones(4))


def test_tox_runs_the_annotation_checker() -> None:
    commands = re.findall(r"-m pytest (?:tests|--doctest-modules) .*", (ROOT / "tox.ini").read_text())

    assert len(commands) >= 3
    assert all("--checked" in command for command in commands)


def test_importing_the_library_does_not_import_what_it_does_not_need() -> None:
    script = "import sys, torch; before = set(sys.modules); from dlcore import *; print(*set(sys.modules) - before)"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    packages = {module.split(".")[0] for module in loaded.stdout.split()}
    assert "dlcore.shift" in loaded.stdout.split()
    assert packages & (NEVER_IMPORTED | {"tqdm"}) == set()


def test_public_names_of_a_module_are_sorted_and_its_own() -> None:
    for path, module in public_modules():
        assert module.__all__ == sorted(module.__all__), f"sort __all__ of dlcore.{path}"
    for name, value in public_names().items():
        if inspect.isfunction(value) or inspect.isclass(value):
            home = value.__module__.partition("._")[0]  # a private part belongs to its package
            assert home == "dlcore." + name.rpartition(".")[0], name


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_docstring_is_complete(name: str) -> None:
    function = FUNCTIONS[name]
    doc = FunctionDoc(function)
    text = inspect.getdoc(function) or ""

    documented = [name.strip("* ") for item in doc["Parameters"] for name in item.name.split(",")]
    parameters = list(inspect.signature(function).parameters)
    undescribed = [item for section in ("Parameters", "Raises") for item in doc[section] if not item.desc]
    missing = [
        part
        for part, present in {
            "the formula (.. math::, in a raw string)": ".. math::" in text,
            "an example (>>>)": ">>>" in text,
            f"Parameters: {', '.join(parameters)}, in this order": doc["Parameters"] and documented == parameters,
            "Returns": doc["Returns"] or doc["Yields"],
            "See Also (the equivalent elsewhere, and how it differs)": doc["See Also"],
            "References (paper or book section, with year)": doc["References"],
            f"a description of {', '.join(str(item.name or item.type) for item in undescribed)}": not undescribed,
        }.items()
        if not present
    ]

    assert not missing, f"add to the docstring of dlcore.{name} (norms.lp_norm is a model): {'; '.join(missing)}"


# numpydoc's own findings that hold here; left out are those on wording that mathematics has its own ways with.
NUMPYDOC_CODES = {"GL03", "GL06", "GL07", "PR01", "PR02", "PR03", "PR07", "RT03", "SS01", "SS04", "YD01"}


@pytest.mark.parametrize("name", sorted(public_names()))
def test_docstring_passes_numpydoc(name: str) -> None:
    found = [f"{code} {message}" for code, message in validate(f"dlcore.{name}")["errors"] if code in NUMPYDOC_CODES]

    assert not found, f"mend the docstring of dlcore.{name}: {'; '.join(found)}"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_example_pins_no_noise(name: str) -> None:
    examples = "\n".join(FunctionDoc(FUNCTIONS[name])["Examples"])
    outputs = [line for line in examples.splitlines() if line and not line.startswith((">>>", "..."))]

    assert not any(re.search(r"\d\.\d{6,}|\.\.\.", line) for line in outputs)
    assert "# doctest:" not in examples


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("an unpacked source distribution has no list of tracked files")
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_repository_names_no_machine() -> None:
    home = re.compile(r"/(?:home|root|Users|tmp|work)/\w|https?://(?:localhost|127\.0\.0\.1):\d|--(?:extra-)?index-url")
    for path in tracked_files():
        if (
            path.suffix not in {".png", ".svg", ".ico", ".woff2"}
            and path != Path(__file__).resolve()
            and path.is_file()
        ):
            found = home.search(path.read_text())
            assert found is None, f"{path.relative_to(ROOT)} says {found and found.group()!r}"


def test_no_generated_file_is_tracked() -> None:
    generated = ("docs/_build/", "docs/generated/", "docs/auto_gallery/")
    names = [str(path.relative_to(ROOT)) for path in tracked_files()]

    assert not [name for name in names if name.startswith(generated) or "__pycache__" in name]


def test_source_distribution_has_every_tracked_file() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert {*build} == {"targets"}
    assert {*build["targets"]} == {"wheel"}  # without options for the sdist, hatchling leaves out what git ignores

    assert {ROOT / name for name in ("conftest.py", "tests/library.py", "docs/_ext/folding.py")} <= {*tracked_files()}
    ignored = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert ignored.stdout == "", "these files would be missing from the source distribution; see .gitignore"


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = re.findall(
        r"^ {0,4}(python3? -m pip install tox && tox run .*)$", (ROOT / "README.md").read_text(), re.M
    )
    script = (ROOT / ".ci" / "run").read_text()

    assert len(commands) == 2
    assert all(command in script for command in commands)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_no_longer_than_a_chapter(path: Path) -> None:
    lines = code_lines(path.read_text())

    assert lines <= MAX_CODE_LINES, f"move a part of {path.relative_to(ROOT)} to a file of its own: {lines} code lines"


def test_code_lines_leave_out_prose(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""One\nTwo."""\n\n# three\nX = """a\nb"""  # four\n\n\ndef f():\n    """Five."""\n    return X\n')

    assert code_lines(path.read_text()) == 4


def test_every_module_has_its_tests() -> None:
    files = {path: f"tests/test_{path.replace('.', '_')}.py" for path, _ in public_modules() if path != "shift"}
    missing = [file for file in files.values() if not (ROOT / file).is_file()]

    assert missing == [], "write these files; tests/test_norms.py is the model"


@cache
def marked_in(module: str) -> tuple[set[str], set[str]]:
    """Return the oracles, and the functions by their public names, that the marks in the tests of a module name."""
    tests = vars(importlib.import_module(f"tests.test_{module.replace('.', '_')}"))
    marks = [mark for name in tests if name.startswith("test_") for mark in getattr(tests[name], "pytestmark", [])]
    oracles, functions = evidence.marked(mark for mark in marks if mark.name == "held_against")
    return oracles, set(functions)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_is_held_against_an_oracle(name: str) -> None:
    module, _, function = name.rpartition(".")

    assert name in marked_in(module)[1], (
        f"tests/test_{module.replace('.', '_')}.py: mark the test that compares {function} with an independent "
        f'implementation: @pytest.mark.held_against("50 digits", {module.rpartition(".")[2]}.{function}), or one of '
        f"{', '.join(evidence.ORACLES)}"
    )


@pytest.mark.parametrize("module", sorted({name.rpartition(".")[0] for name in FUNCTIONS}))
def test_an_oracle_that_is_imported_is_named_by_a_mark(module: str) -> None:
    file = f"tests/test_{module.replace('.', '_')}.py"
    imports = set(re.findall(r"^(?:from|import) (\w+)(?!.*\bdatasets\b)", (ROOT / file).read_text(), re.M))
    expected = {oracle for oracle, package in evidence.ORACLES.items() if package in imports - {"numpy", "torch"}}
    oracles = marked_in(module)[0]

    assert expected <= oracles <= set(evidence.ORACLES), (
        f"{file}: mark the tests that compare functions with {', '.join(expected - oracles) or 'an oracle'} with "
        f"@pytest.mark.held_against(oracle, *functions); tests/evidence.py lists the oracles"
    )
