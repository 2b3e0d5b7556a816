"""Workarounds for the packages that build the site; the docstring of each function names the package."""

import math
import re
import socket
import struct
import subprocess
import time
from multiprocessing.util import Finalize
from pathlib import Path
from subprocess import PIPE
from typing import Any

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.locale import _
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator
from sphinxcontrib import katex
from translated import message

UNFOLD = message("Unfold {title}")
logger = getLogger(__name__)


def escape_markup(*event: Any) -> None:  # noqa: ANN401  # application, kind, name, object, options, lines
    """numpydoc: escape the star in ``shape (*, m, n)``, and the initials that follow a reference's number."""
    lines: list[str] = event[-1]
    for i, line in enumerate(lines):
        escaped = re.sub(r"shape \([^)]*\)", lambda shape: shape[0].replace("*", r"\*"), line)
        lines[i] = re.sub(r"^(\s*\.\. \[\w+\] )([A-Z]\.)", r"\1\\\2", escaped)


def skip_fields(*event: Any) -> bool | None:  # noqa: ANN401  # application, kind, name, object, skip, options
    """Autodoc: skip the fields of named tuples, which it documents by number; "Parameters" lists them."""
    return True if type(event[3]).__name__ == "_tuplegetter" else None


def read_again(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    """sphinx-gallery: read the pages of a function and of its module again when a tutorial starts to use it."""
    pages: list[str] = []
    for file in Path(app.srcdir, "api", "backreferences").glob("*.examples"):
        names = f"api/{file.stem}", f"api/{file.stem.rpartition('.')[0]}"
        pages += [page for page in names if env.all_docs.get(page, math.inf) < file.stat().st_mtime_ns // 1000]
    return pages


def pair_thumbnails(app: Sphinx, document: nodes.document) -> None:
    """sphinx-gallery: insert the dark thumbnail of a tutorial after the light one."""
    for light in list(document.findall(nodes.image)):
        uri = light["uri"].replace("_thumb.png", "_thumb_dark.png")
        if uri != light["uri"] and (Path(app.srcdir) / uri.lstrip("/")).exists():
            dark = light.deepcopy()
            dark["uri"] = uri
            for image, theme in (light, "only-light"), (dark, "only-dark"):
                image["classes"].append(theme)
            light.parent.insert(light.parent.index(light) + 1, dark)


def shrink_thumbnails(app: Sphinx) -> None:
    """sphinx-gallery: reduce each new thumbnail to 64 colours, a fifth of its size; a page shows fifteen of them."""
    for path in Path(app.srcdir, "auto_gallery").rglob("thumb/*.png"):
        with Image.open(path) as thumbnail:
            if thumbnail.mode == "RGBA":
                thumbnail.quantize(64, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)


def label_sidebar(app: Sphinx, page: str, template: str, context: dict[str, Any], document: Any) -> None:  # noqa: ANN401, ARG001
    """pydata-sphinx-theme: add an accessible name to each switch that opens a branch of the sidebar."""
    sidebar = context["generate_toctree_html"]

    def labelled_sidebar(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        tree = sidebar(*args, **kwargs)
        for switch in tree.find_all("summary") if hasattr(tree, "find_all") else []:
            link = switch.find_parent("li").a
            switch["aria-label"] = _(UNFOLD).format(title=link.get_text() if link else "").strip()
        return tree

    context["generate_toctree_html"] = labelled_sidebar


def mend_body(app: Sphinx, page: str, template: str, context: dict[str, Any], document: Any) -> None:  # noqa: ANN401, ARG001
    """Docutils: replace a deprecated ARIA role. sphinx-gallery: set the size of each figure, and load it lazily."""
    if "body" in context:
        body = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
        files = {file.name: file for file in (Path(app.srcdir) / "auto_gallery").rglob("*.png")}
        context["body"] = re.sub(r'<img (?=[^>]*?src="[^"]*?([^/"]+\.png)")', lambda tag: _sized(tag, files), body)


def _sized(tag: re.Match[str], files: dict[str, Path]) -> str:
    if tag[1] not in files:
        return tag[0]
    width, height = struct.unpack(">II", files[tag[1]].read_bytes()[16:24])
    return f'{tag[0]}width="{width}" height="{height}" loading="lazy" '


def visit_formula(self: HTML5Translator, node: nodes.Element) -> None:
    """sphinxcontrib-katex: report the location of a faulty formula, and omit the TeX source from the page's text."""
    start = len(self.body)
    try:
        visit = katex.html_visit_math if isinstance(node, nodes.math) else katex.html_visit_displaymath
        visit(self, node)
    except katex.KaTeXError as error:
        logger.warning("%s", error, location=node)
    except nodes.SkipNode:
        self.body[start:] = [re.sub(r"<annotation.*?</annotation>", "", "".join(self.body[start:]), flags=re.DOTALL)]
    raise nodes.SkipNode


def start_katex(
    server: type[katex.KaTeXServer], folder: Path, seconds: float
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """sphinxcontrib-katex: connect when node listens, not when its socket exists, which may be earlier.

    A network socket, the package's other way, takes 90 ms for each formula instead of 0.6 ms: both ends send a message
    in two parts, and the second waits for the delayed acknowledgement of the first. Node ends with this process, also
    with one that reads or writes pages for another, whose exit handlers the package does not reach.
    """
    path = folder / "katex.sock"
    command = server.build_command(socket=path)
    process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, cwd=folder)  # noqa: S603  # of the package
    Finalize(None, process.kill, exitpriority=0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if connection.connect_ex(str(path)) == 0:
            return process, connection
        connection.close()
        time.sleep(0.001)
    process.kill()
    process.communicate()
    raise server.timeout_error(seconds)


def make_static_folder(app: Sphinx) -> None:
    """pydata-sphinx-theme: make the folder of the logo; without the folder, the theme writes a file of that name."""
    if app.builder.format == "html":
        Path(app.outdir, "_static").mkdir(parents=True, exist_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect each workaround to its event."""
    app.add_html_math_renderer("located_katex", (visit_formula, None), (visit_formula, None))
    app.connect("autodoc-process-docstring", escape_markup, priority=400)  # before numpydoc parses the sections
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("builder-inited", make_static_folder)
    app.connect("builder-inited", shrink_thumbnails, priority=900)  # after sphinx-gallery has made them
    app.connect("env-get-outdated", read_again)
    app.connect("doctree-read", pair_thumbnails, priority=400)  # before Sphinx collects the images
    app.connect("html-page-context", label_sidebar, priority=900)  # after the theme
    app.connect("html-page-context", mend_body, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
