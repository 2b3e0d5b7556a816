"""What every test and doctest starts from.

Tests meet the library twice: ``dlcore`` with the annotation checker in front of every function, so that a wrong shape
or dtype inside the library fails; and, through the fixture ``plain``, as a user has it.
"""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

import dlcore as plain_dlcore
import tests.annotation_checker  # noqa: F401  # the hook looks it up by its name

pytest_plugins = ["tests.evidence"]


def _take_out() -> dict[str, ModuleType]:
    """Take the modules of the library out of ``sys.modules``."""
    names = [name for name in sys.modules if name.split(".")[0] == "dlcore"]
    return {name: sys.modules.pop(name) for name in names}


plain_modules = _take_out()
install_import_hook("dlcore", "tests.annotation_checker.check")

# The first call into torch takes a second, and the first of a transform as long again: no deadline.
settings.register_profile("dlcore", deadline=None)
settings.load_profile("dlcore")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from one seed."""
    torch.manual_seed(0)


@pytest.fixture
def plain() -> Iterator[ModuleType]:
    """Put the library as a user has it in the place of the checked one: ``torch.compile`` looks it up by its name."""
    checked_modules = _take_out()
    sys.modules.update(plain_modules)
    yield plain_dlcore
    _take_out()
    sys.modules.update(checked_modules)
