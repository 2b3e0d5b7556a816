"""Every tutorial, as a reader has it who copied its file into an empty folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tutorials import SCRIPTS, name_of

from .reader import REPORT, run

LIMIT = 60  # seconds of one core, which may be three times as slow as that of 20 seconds


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_copied_tutorial_holds_its_claims_and_draws_its_figures(
    script: Path, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    copy = Path(shutil.copy(script, folder))

    done = run(folder, copy)

    assert done.returncode == 0, done.stderr
    assert "No longer true" not in done.stdout
    ((n_figures, seconds),) = REPORT.findall(done.stdout)
    record_property(name_of(script), float(seconds))
    assert int(n_figures) == script.read_text(encoding="utf-8").count("plt.show()") > 0
    assert float(seconds) < LIMIT
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
