"""The pages are run as a reader would run them."""

from types import ModuleType

import pytest

collect_ignore = ["conf.py", "_ext"]  # they hold no examples, and need what a build of the site has


@pytest.fixture(autouse=True)
def as_a_reader(plain: ModuleType) -> ModuleType:
    """Give the pages the library without the annotation checker: an error reads as a reader will see it."""
    return plain
