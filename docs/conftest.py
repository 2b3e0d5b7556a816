"""Run the examples on the pages as a reader would run them."""

from types import ModuleType

import pytest

collect_ignore = ["conf.py", "_ext"]  # they have no examples and need the packages of the site's build


@pytest.fixture(autouse=True)
def as_a_reader(plain: ModuleType) -> ModuleType:
    """Run the pages without the annotation checker, so that errors read as a reader sees them."""
    return plain
