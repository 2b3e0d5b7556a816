"""Every tutorial, as a reader has it who copied its file into an empty folder."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALONE = Path(__file__).with_name("alone.py")
SCRIPTS = sorted((ROOT / "gallery").glob("*/plot_*.py"))
LIMIT = 20  # seconds of one core
INSTRUCTIONS = ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")  # set by tests-portable


def canonical(requirement: str) -> str:
    """Return the name of the distribution that a requirement names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def needed(requirements: Iterable[str]) -> set[str]:
    """Return the distributions that these requirements ask for, and those that they ask for in turn."""
    found: set[str] = set()
    waiting = [canonical(requirement) for requirement in requirements]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            try:
                asked = requires(name) or []
            except PackageNotFoundError:  # one for another platform
                continue
            waiting += [canonical(requirement) for requirement in asked if "extra ==" not in requirement]
    return found


@cache
def modules_a_reader_lacks() -> list[str]:
    """Return what is here but does not come with dlcore, matplotlib and scikit-learn; tests and docs are, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    has = needed([*project["dependencies"], "matplotlib", "scikit-learn"])
    installed = packages_distributions().items()
    lacks = {module for module, names in installed if not has & {canonical(name) for name in names}}
    return sorted((lacks | {path.stem for path in ROOT.iterdir()}) - {"dlcore"})


def run(folder: Path, script: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script alone in a folder, without a screen, without settings, and on one core."""
    names = ("PATH", "HOME", "PYTHONPATH", "LD_LIBRARY_PATH", *INSTRUCTIONS)
    kept = {name: os.environ[name] for name in names if name in os.environ}
    settings = folder.parent / "matplotlibrc"
    settings.touch()
    environment = kept | {"MPLBACKEND": "Agg", "MATPLOTLIBRC": str(settings), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ALONE), script.name, *modules_a_reader_lacks()]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    empty = tmp_path / "empty"
    empty.mkdir()
    return empty


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: f"{script.parent.name}/{script.stem}")
def test_a_copied_tutorial_holds_its_claims_and_draws_its_figures(
    script: Path, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    copy = Path(shutil.copy(script, folder))

    done = run(folder, copy)

    assert done.returncode == 0, done.stderr
    report = re.search(r"(\d+) figures, ([\d.]+) s\n$", done.stdout)
    assert report is not None
    record_property(f"{script.parent.name}/{script.name}", float(report[2]))
    assert int(report[1]) == script.read_text(encoding="utf-8").count("plt.show()") > 0
    assert float(report[2]) < LIMIT
    assert list(folder.iterdir()) == [copy]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("assert 1 + 1 == 3", "AssertionError"),
        ("import pytest", "No module named 'pytest'"),
        ("import tests", "No module named 'tests'"),
        ("import warnings; warnings.warn('something')", "UserWarning"),
        ("import urllib.request; urllib.request.urlopen('http://example.org')", "a tutorial downloads nothing"),
        ("import matplotlib.pyplot as plt; plt.title('范')", "Glyph"),
    ],
)
def test_a_script_that_needs_more_or_claims_too_much_fails(code: str, error: str, folder: Path) -> None:
    script = folder / "plot_wrong.py"
    script.write_text(code, encoding="utf-8")

    done = run(folder, script)

    assert done.returncode != 0
    assert error in done.stderr
