"""A link that opens the notebook of a tutorial in Colab, if the address of the published site on GitHub is known.

Colab opens notebooks from GitHub, where those of this site are only once it is published. The environment variable
``NOTEBOOKS_URL`` is the address of the published files, such as ``https://github.com/owner/name/blob/gh-pages``.
Without it, no page has a link, and the notebooks install nothing.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from sphinx.application import Sphinx

GITHUB = re.compile(r"https://github\.com/(?P<name>[^/]+/[^/]+)/blob/[^/]+(?:/.+)?")
INSTALL = """\
import sys

if "google.colab" in sys.modules:
    %pip install -q git+https://github.com/{name}"""


def published(address: str) -> re.Match[str]:
    """Return the parts of the address of the published files."""
    parts = GITHUB.fullmatch(address)
    if parts is None:
        raise ValueError(
            f"NOTEBOOKS_URL must be the address of a branch or folder on GitHub, as "
            f"https://github.com/owner/name/blob/gh-pages, got {address!r}"
        )
    return parts


def first_cell(address: str) -> str | None:
    """Return the first cell of each notebook, which installs dlcore in Colab, or None without an address."""
    return INSTALL.format(name=published(address)["name"]) if address else None


def add_link(app: Sphinx, page: str, template: str, context: dict[str, Any], document: Any) -> None:  # noqa: ANN401, ARG001
    """Tell the sidebar of a tutorial the address of its notebook in Colab."""
    address = app.config.notebooks_url
    if address and (download := notebook(page, app.env.dlfiles)):
        path = published(address)[0].removeprefix("https://github.com/")
        context["colab"] = f"https://colab.research.google.com/github/{path}/_downloads/{download}"


def notebook(page: str, downloads: dict[str, tuple[set[str], str]]) -> str | None:
    """Return the place of a page's own notebook among the downloads, or None if it has none."""
    name = f"{PurePosixPath(page).name}.ipynb"
    return next(
        (file for pages, file in downloads.values() if page in pages and PurePosixPath(file).name == name), None
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the setting and the link."""
    app.add_config_value("notebooks_url", "", "html", str)
    app.connect("html-page-context", add_link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
