"""An empty folder, and the report of the copied tutorials: what each took."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    empty = tmp_path / "empty"
    empty.mkdir()
    return empty


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tutorials with the seconds of one core that each took, the longest first."""
    taken = [
        (seconds, tutorial)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for tutorial, seconds in report.user_properties
    ]
    for seconds, tutorial in sorted(taken, reverse=True):
        terminalreporter.write_line(f"{seconds:5.1f} s  {tutorial}")
