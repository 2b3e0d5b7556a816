"""What every test and doctest starts from.

A plain ``pytest`` tests the library as a user has it, with few examples for each law, and answers within seconds.
``pytest --checked``, as ``tox`` runs it, tries more examples and puts the annotation checker in front of every
function, so that a wrong shape or dtype inside the library fails. The fixture ``plain`` is the library without it.
"""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from hypothesis import settings

pytest_plugins = ["tests.evidence"]

# The first call into torch takes a second, and the first of a transform as long again: no deadline.
settings.register_profile("quick", deadline=None, max_examples=20)
settings.register_profile("checked", deadline=None)

PLAIN_MODULES: dict[str, ModuleType] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption("--seed", type=int, default=0, help="the seed that every test starts from")
    parser.addoption("--device", action="append", help="run the table of tests on this device alone")
    parser.addoption("--checked", action="store_true", help="check annotations at every call, try more examples (CI)")


def pytest_configure(config: pytest.Config) -> None:
    """Put the annotation checker in front of the library, if the option is given, before any test imports it."""
    checked = config.getoption("--checked")
    settings.load_profile("checked" if checked else "quick")
    library = importlib.import_module("dlcore")
    for name in library.__all__:
        getattr(library, name)  # each module is imported when it is first used
    if checked:
        from jaxtyping import install_import_hook  # noqa: PLC0415  # takes time that only this run has

        importlib.import_module("tests.annotation_checker")  # the hook looks it up by its name
        PLAIN_MODULES.update(_take_out())
        torch.serialization.clear_safe_globals()  # torch.load finds a class by its name, and here are two of each
        install_import_hook("dlcore", "tests.annotation_checker.check")
    else:
        PLAIN_MODULES.update({name: sys.modules[name] for name in _names()})


def _names() -> list[str]:
    """Return the names of the library's modules that are imported."""
    return [name for name in sys.modules if name.split(".")[0] == "dlcore"]


def _take_out() -> dict[str, ModuleType]:
    """Take the modules of the library out of ``sys.modules``."""
    return {name: sys.modules.pop(name) for name in _names()}


@pytest.fixture(autouse=True)
def seeded(pytestconfig: pytest.Config) -> None:
    """Start every test from one seed."""
    torch.manual_seed(pytestconfig.getoption("--seed"))


@pytest.fixture
def plain() -> Iterator[ModuleType]:
    """Put the library as a user has it in the place of the checked one: ``torch.compile`` looks it up by its name."""
    checked_modules = _take_out()
    sys.modules.update(PLAIN_MODULES)
    yield PLAIN_MODULES["dlcore"]
    _take_out()
    sys.modules.update(checked_modules)
