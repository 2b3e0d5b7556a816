"""Write down what a run verified for each function: ``pytest --evidence FILE``, which the site reads.

A test that holds functions against an independent implementation says so:
``@pytest.mark.held_against("scikit-learn", losses.cross_entropy)``, with one of ORACLES. The file has the numbers of
tests that passed and failed for each function, and the largest relative difference that their comparisons showed.
"""

import json
import math
import platform
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import library_code
import pytest
import torch
from torch import Tensor

from tests import oracle

ORACLES = {  # what a mark may name, and the package that it comes from
    "50 digits": "mpmath",
    "ArviZ": None,  # numbers that it gave
    "NumPy": "numpy",
    "PyTorch": "torch",
    "SciPy": "scipy",
    "its definition": None,  # written out in the test
    "river": "river",
    "scikit-learn": "sklearn",
}
APPROXIMATE = type(pytest.approx(0.0))
LOOSE = 1e-4  # what half precision, a limit or a mean over draws is held to
SMALLEST = 1e-290  # below, numbers lose digits


class Recorder:
    """What the tests of one run showed."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.records: list[dict[str, Any]] = []
        self.error: float | None = None

    def compare(self, actual: Any, expected: Any) -> None:  # whatever a test compares
        """Keep the relative difference, if it is the largest of this test so far.

        A test that allows more than LOOSE compares something else than two results in double precision.
        """
        difference = relative_difference(actual, expected)
        if difference is not None and difference <= LOOSE:
            self.error = max(self.error or 0.0, difference)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Hand what a test showed to its report, which comes back from the process that ran it."""
        if call.when == "setup":
            self.error = None
        elif call.when == "call":
            item.user_properties.append(("evidence", describe(item) | {"error": self.error}))
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what the tests of all processes showed."""
        for name, value in report.user_properties:
            if name == "evidence" and report.when == "call":
                self.records.append({"outcome": report.outcome, **value, "test_passed": report.passed})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the file, in the one process that all others report to."""
        if not hasattr(session.config, "workerinput"):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(as_text(summary(self.records)) + "\n", encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--evidence", type=Path, metavar="FILE", help="write there what the run verified")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--evidence")
    if file is None:
        return
    recorder = Recorder(config.rootpath / file)
    config.pluginmanager.register(recorder)
    for place, name in (
        (torch.testing, "assert_close"),
        (oracle, "assert_within"),
        (APPROXIMATE, "__eq__"),
    ):
        setattr(place, name, observed(getattr(place, name), recorder))


def observed(compare: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    """Return a comparison that shows the recorder what it compares."""

    def compare_and_tell(first: Any, second: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(first, APPROXIMATE):
            recorder.compare(second, first.expected)
        else:
            recorder.compare(first, second)
        return compare(first, second, *args, **kwargs)

    return compare_and_tell


def relative_difference(actual: Any, expected: Any) -> float | None:
    """Return max|actual − expected| / max|expected|, or None where there is no such number."""
    if isinstance(actual, tuple | list) and isinstance(expected, tuple | list):
        differences = [relative_difference(*pair) for pair in zip(actual, expected, strict=False)]
        return max((difference for difference in differences if difference is not None), default=None)
    if isinstance(actual, Tensor):
        if actual.dtype != torch.float64 or actual.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(actual):
            return None
        if isinstance(expected, Tensor):
            if actual.shape != expected.shape or not actual.numel():
                return None
            actual, expected = actual.detach(), expected.detach().to(actual)
            scale, difference = expected.abs().max().item(), (actual - expected).abs().max().item()
        else:
            scale, difference = abs(expected), abs(actual.item() - expected)
    else:
        try:
            actual, expected = float(actual), float(expected)  # of NumPy's, inf - inf would warn
            scale, difference = abs(expected), abs(actual - expected)
        except (TypeError, ValueError):
            return None
    ratio = float(difference / scale) if scale > SMALLEST else math.nan
    return ratio if math.isfinite(ratio) else None


def describe(item: pytest.Item) -> dict[str, Any]:
    """Say what a test is about."""
    if isinstance(item, pytest.DoctestItem):
        return {"kind": "doctest", "functions": [public(item.name)], "oracles": []}
    params = item.callspec.params if hasattr(item, "callspec") else {}
    title = getattr(item, "originalname", item.name)
    if item.path.name == "test_table.py":
        kind = params["layer"] if title == "test_layer" else title.removeprefix("test_")
        return {"kind": kind, "functions": [params["name"]] if "name" in params else [], "oracles": []}
    oracles, functions = marked(item.iter_markers("held_against"))
    texts = [value for value in params.values() if isinstance(value, str)]
    drawn = [
        name for name, f in functions.items() if f.__name__ in texts or any(f is value for value in params.values())
    ]
    return {
        "kind": "test",
        "test": f"{item.path.stem}::{title}",
        "functions": sorted(drawn or functions),  # of a table of functions, a parametrized test takes one
        "oracles": sorted(oracles),
    }


def marked(marks: Iterable[pytest.Mark]) -> tuple[set[str], dict[str, Callable[..., Any]]]:
    """Return the oracles that marks name, and the functions by their public names."""
    values = [value for mark in marks for value in mark.args]
    functions = {public(f"{value.__module__}.{value.__qualname__}"): value for value in values if callable(value)}
    return {value for value in values if isinstance(value, str)}, functions


def public(name: str) -> str:
    """Return the name below ``dlcore`` that users know: private parts are their package's."""
    return re.sub(r"\._\w+", "", name).removeprefix("dlcore.")


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the run: when and on what, the state of the code, and what the tests showed."""
    from tests.library import public_modules  # noqa: PLC0415  # the library comes after the checker in front of it

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
        "code": {module: library_code.digest([f"dlcore.{module}"]) for module, _ in sorted(public_modules())},
        **condense(records),
    }


def condense(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count what the tests showed, in an order that does not depend on the order of the tests.

    ``functions`` has, for each function, the numbers of passed and failed tests of each kind and, as ``compared``, the
    references that it was compared with, each with the largest difference. ``tests`` has the same numbers and the
    largest difference for each test of a chapter.
    """
    functions: dict[str, dict[str, Any]] = defaultdict(lambda: {"compared": {}})
    tests: dict[str, list[Any]] = defaultdict(lambda: [0, 0, None])
    total = [0, 0]
    for record in records:
        failed, error = record["outcome"] != "passed", record["error"]
        total[not record.get("test_passed", not failed)] += 1  # a layer that fails as its exemption says is no failure
        if record["kind"] == "test":
            counts = tests[record["test"].removeprefix("test_")]
            counts[failed] += 1
            counts[2] = largest(counts[2], error)
        for name in record["functions"]:
            if record["kind"] != "test":
                functions[name].setdefault(record["kind"], [0, 0])[failed] += 1
            elif not failed:
                compared = functions[name]["compared"]
                compared.update({oracle: largest(compared.get(oracle), error) for oracle in record["oracles"]})
    return {
        "passed": total[False],
        "failed": total[True],
        "functions": in_order(functions),
        "tests": in_order(tests),
    }


def largest(*errors: float | None) -> float | None:
    """Return the largest error, rounded to one digit, or None if none was measured."""
    found = [error for error in errors if error is not None]
    return float(f"{max(found):.0e}") if found else None


def in_order(value: dict[str, Any]) -> dict[str, Any]:
    """Return a dictionary, and those in it, in the order of their names."""
    return {name: in_order(item) if isinstance(item, dict) else item for name, item in sorted(value.items())}


def as_text(value: Any, depth: int = 2) -> str:
    """Return JSON with one line for each function and each test, so that two runs can be compared."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    items = [f"{json.dumps(name, ensure_ascii=False)}: {as_text(item, depth - 1)}" for name, item in value.items()]
    return "{\n" + ",\n".join(items) + "\n}"
