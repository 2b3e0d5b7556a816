"""What Sphinx, numpydoc and the theme leave to mend."""

import re
from typing import Any

from sphinx.application import Sphinx


def escape_markup(*event: Any) -> None:  # noqa: ANN401  # application, kind, name, object, options, lines
    """Keep text that looks like markup: the star of ``shape (*, m, n)``, and initials after a reference's number."""
    lines: list[str] = event[-1]
    for i, line in enumerate(lines):
        escaped = re.sub(r"shape \([^)]*\)", lambda shape: shape[0].replace("*", r"\*"), line)
        lines[i] = re.sub(r"^(\s*\.\. \[\w+\] )([A-Z]\.)", r"\1\\\2", escaped)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect each mending to its event."""
    app.connect("autodoc-process-docstring", escape_markup, priority=400)  # before numpydoc reads the sections
    return {"parallel_read_safe": True, "parallel_write_safe": True}
