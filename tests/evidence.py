"""Write down what a run verified for each function: ``pytest --evidence FILE``, which the site reads.

Each test is told by its name, its outcome, the public functions it names, the independent implementations it names, and
the largest relative difference that its comparisons showed. Nothing is measured without the option.
"""

import ast
import dis
import inspect
import json
import math
import platform
import re
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import library_code
import pytest
import torch
from torch import Tensor

from tests import oracle

ORACLES = {"numpy": "NumPy", "scipy": "SciPy", "sklearn": "scikit-learn", "mpmath": "50 digits", "torch": "PyTorch"}
NO_ORACLE = re.compile(  # what only makes or reads data, or is the machinery that every function must work in
    r"torch\.(?!nn\.|linalg\.|special\.|distributions\.|optim\.)|torch\.nn\.utils|torch\.optim\.Optimizer|"
    r"numpy\.(array|asarray|ndarray|generic|float|int|inf|nan|pi|random|testing|arange|linspace|zeros|ones)|"
    r"sklearn\.datasets"
)
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
                self.records.append({**value, "outcome": report.outcome})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the file, in the one process that all others report to."""
        if not hasattr(session.config, "workerinput"):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(summary(self.records), indent=1), encoding="utf-8")


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
    names = names_in(item.function) | {name for value in params.values() for name in names_of(value)}
    return {
        "kind": "test",
        "test": f"{item.path.stem}::{title}",
        "functions": sorted(known() & {public(name) for name in names}),
        "oracles": sorted({ORACLES[top] for name in names if (top := oracle_of(name))}),
    }


def oracle_of(name: str) -> str | None:
    """Return whose independent implementation a name is, if it is one."""
    if name.startswith(("tests.oracle.exact", "tests.oracle.assert_matches")):
        return "mpmath"
    top = name.partition(".")[0]
    return top if top in ORACLES and not NO_ORACLE.match(name) else None


def public(name: str) -> str:
    """Return the name below ``dlcore`` that users know: private parts are their package's."""
    return re.sub(r"\._\w+", "", name).removeprefix("plain.").removeprefix("dlcore.")


@cache
def known() -> set[str]:
    """Return the names of all public functions."""
    from tests.library import public_functions  # noqa: PLC0415  # the library comes after the checker in front of it

    return set(public_functions())


@cache
def names_in(function: FunctionType) -> frozenset[str]:
    """Return the full names of what a test uses, itself or by what its module defines."""
    function = function.hypothesis.inner_test if hasattr(function, "hypothesis") else function
    found: set[str] = set()
    for chain in chains_of(function):
        first, _, rest = chain.partition(".")
        value = function.__globals__.get(first)
        found |= {f"{name}.{rest}" if rest else name for name in names_of(value, function.__module__)}
        if value is None and first == "plain":
            found.add(chain)
    return frozenset(found)


def chains_of(function: FunctionType) -> Iterator[str]:
    """Yield each name in the body of a function; that of a lambda has no source of its own, but bytecode."""
    if function.__name__ != "<lambda>":
        code = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        for part in getattr(code, "body", []):
            yield from chains(part)
        return
    chain = ""
    for instruction in dis.get_instructions(function):
        if instruction.opname in {"LOAD_ATTR", "LOAD_METHOD"} and chain:
            chain += f".{instruction.argval}"
        elif chain:
            yield chain
            chain = ""
        if instruction.opname == "LOAD_GLOBAL":
            chain = instruction.argval


def chains(node: ast.AST) -> Iterator[str]:
    """Yield each name in a piece of code as far as its dots go: ``np.linalg.norm`` once, and ``np`` not."""
    if isinstance(node, ast.Attribute | ast.Name) and re.fullmatch(r"[\w.]+", text := ast.unparse(node)):
        yield text
    else:
        for child in ast.iter_child_nodes(node):
            yield from chains(child)


def names_of(value: Any, module: str = "") -> set[str]:
    """Return the full name of a module, class or function, and of a function of the test's module, what that uses."""
    if isinstance(value, ModuleType):
        return {value.__name__}
    if isinstance(value, list | tuple | dict):
        return {
            name for part in (value.values() if isinstance(value, dict) else value) for name in names_of(part, module)
        }
    home = getattr(value, "__module__", None) or type(value).__module__
    if isinstance(value, FunctionType) and home == module:
        return set(names_in(value))
    if isinstance(value, FunctionType | type):
        return {f"{home}.{value.__qualname__}"}
    return {home} if home.partition(".")[0] == "mpmath" else set()


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the run: when and on what, the state of the code, and what each test showed."""
    modules = sorted({name.rpartition(".")[0] for name in known()})
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
        "code": {module: library_code.digest([f"dlcore.{module}"]) for module in modules},
        "records": records,
    }
