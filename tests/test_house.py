"""What holds for the repository as a whole: floors, imports, docstrings, and what it may not say."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate

import dlcore
from tests.library import public_functions, public_modules, public_names

ROOT = Path(__file__).parents[1]

# A module imports only from lower floors.
FLOORS = """
_torch
_checks _numerics
_descent _regression _trees
linear._model
activations batches datasets importance information init likelihood linear metrics norms optim
losses regularization risk
_network
mlp model_selection._folds training
model_selection model_selection._ridge_path model_selection._vectorized model_selection._weighted
shift.covariate._samples
shift.covariate._features
shift.covariate._classifier shift.covariate._ratio
shift.covariate._choice
propagation shift shift.covariate shift.label shift.detect shift.concept
"""
FLOOR = {module: number for number, modules in enumerate(FLOORS.strip().splitlines()) for module in modules.split()}
FLOOR |= dict.fromkeys(("activations._pointwise", "activations._softmax"), FLOOR["activations"])
FLOOR |= dict.fromkeys(("linear._logistic", "linear._squared_error"), FLOOR["linear"])
FLOOR |= {"norms._vectors": FLOOR["_trees"], "norms._matrices": FLOOR["norms"]}
FLOOR |= dict.fromkeys(("optim._schedules", "optim._steps"), FLOOR["optim"])
FLOOR |= {"importance._weights": FLOOR["_trees"], "importance._report": FLOOR["importance"]}
FLOOR |= {"shift.detect._result": FLOOR["mlp"]}
FLOOR |= {f"shift.detect._{part}": FLOOR["shift.detect"] for part in ("classifier", "counts", "features", "kernel")}
FLOOR |= {f"shift.covariate._{part}": FLOOR["shift.covariate"] for part in ("kliep", "logistic", "matching", "ulsif")}
FLOOR |= {"shift.label._rows": FLOOR["_trees"]}
FLOOR |= dict.fromkeys(("shift.label._calibration", "shift.label._report"), FLOOR["losses"])
FLOOR |= dict.fromkeys(("shift.label._confusion", "shift.label._expectation"), FLOOR["mlp"])
FLOOR |= {"shift.concept._stream": FLOOR["mlp"]}
FLOOR |= {f"shift.concept._{part}": FLOOR["shift.concept"] for part in ("adwin", "fine_tune", "page_hinkley")}
NEVER_IMPORTED = {"matplotlib", "sklearn", "sphinx", "scipy", "pandas"}
SOURCES = sorted(path for path in (ROOT / "dlcore").rglob("*.py"))
FUNCTIONS = public_functions()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT / "dlcore").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> set[str]:
    """Return the absolute names of all modules that a source file imports, lazily or not."""
    package = ["dlcore", *path.relative_to(ROOT / "dlcore").parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{start}.{alias.name}" for alias in node.names} if not node.module else {start}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_from_lower_floors(path: Path) -> None:
    name = module_name(path)
    if path.name == "__init__.py":  # a package hands its modules on
        return

    for target in imports(path):
        top, _, below = target.partition(".")
        assert top not in NEVER_IMPORTED, f"{name} imports {top}"
        if top == "dlcore":
            assert FLOOR[below] < FLOOR[name], f"{name} (floor {FLOOR[name]}) imports {below} (floor {FLOOR[below]})"


def test_package_hands_on_the_modules_and_nothing_else() -> None:
    assert set(dlcore.__all__) == {path.split(".")[0] for path, _ in public_modules()}
    assert dlcore.__all__ == sorted(dlcore.__all__)


def test_importing_the_library_does_not_import_what_it_does_not_need() -> None:
    script = "import sys, torch; before = set(sys.modules); import dlcore; print(*sorted(set(sys.modules) - before))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    packages = {module.split(".")[0] for module in loaded.stdout.split()}
    assert "dlcore" in packages
    assert packages & (NEVER_IMPORTED | {"tqdm"}) == set()


def test_public_names_of_a_module_are_sorted_and_its_own() -> None:
    for path, module in public_modules():
        assert module.__all__ == sorted(module.__all__), path
    for name, value in public_names().items():
        if inspect.isfunction(value) or inspect.isclass(value):
            home = value.__module__.partition("._")[0]  # a private part belongs to its package
            assert home == "dlcore." + name.rpartition(".")[0], name


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_docstring_is_complete(name: str) -> None:
    function = FUNCTIONS[name]
    doc = FunctionDoc(function)
    text = inspect.getdoc(function) or ""

    assert ".. math::" in text, "the formula"
    assert ">>>" in text, "an example"
    assert doc["Parameters"]
    assert doc["Returns"] or doc["Yields"]
    assert doc["See Also"]
    assert doc["References"]
    documented = [name.strip("* ") for item in doc["Parameters"] for name in item.name.split(",")]
    assert documented == list(inspect.signature(function).parameters)
    assert all(item.desc for section in ("Parameters", "Raises") for item in doc[section])


# numpydoc's own findings that hold here; left out are those on wording that mathematics has its own ways with.
NUMPYDOC_CODES = {"GL03", "GL06", "GL07", "PR01", "PR02", "PR03", "PR07", "RT03", "SS01", "SS04", "YD01"}


@pytest.mark.parametrize("name", sorted(public_names()))
def test_docstring_passes_numpydoc(name: str) -> None:
    found = [f"{code} {message}" for code, message in validate(f"dlcore.{name}")["errors"] if code in NUMPYDOC_CODES]

    assert found == []


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_example_pins_no_noise(name: str) -> None:
    examples = "\n".join(FunctionDoc(FUNCTIONS[name])["Examples"])
    outputs = [line for line in examples.splitlines() if line and not line.startswith((">>>", "..."))]

    assert not any(re.search(r"\d\.\d{6,}|\.\.\.", line) for line in outputs)
    assert "# doctest:" not in examples


def tracked_files() -> list[Path]:
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


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = re.findall(
        r"^ {0,4}(python3? -m pip install tox && tox run .*)$", (ROOT / "README.md").read_text(), re.M
    )
    script = (ROOT / ".ci" / "run").read_text()

    assert len(commands) == 2
    assert all(command in script for command in commands)


def test_no_module_is_a_book() -> None:
    lengths = {module_name(path): len(path.read_text().splitlines()) for path in SOURCES}

    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_every_module_has_its_tests() -> None:
    missing = [
        path for path, _ in public_modules() if not (ROOT / "tests" / f"test_{path.replace('.', '_')}.py").is_file()
    ]

    assert missing in ([], ["shift"])
