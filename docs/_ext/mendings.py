"""What Sphinx, numpydoc, sphinx-gallery and the theme leave to mend, each with its reason."""

import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import native_math
from docutils import nodes
from PIL import Image
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator
from sphinxcontrib import katex

logger = getLogger(__name__)
FONTS = {
    "katex-html": "katex/fonts/KaTeX_Main-Regular.woff2",
    'class="mord mathnormal': "katex/fonts/KaTeX_Math-Italic.woff2",
    'class="mord mathbf': "katex/fonts/KaTeX_Main-Bold.woff2",
}
SCRIPTS = {"search": "search.js", "api/functions": "filter.js"}
Visit = Callable[[HTML5Translator, nodes.Element], None]


def escape_markup(*event: Any) -> None:  # noqa: ANN401  # application, kind, name, object, options, lines
    """Keep text that looks like markup: the star of ``shape (*, m, n)``, and initials after a reference's number."""
    lines: list[str] = event[-1]
    for i, line in enumerate(lines):
        escaped = re.sub(r"shape \([^)]*\)", lambda shape: shape[0].replace("*", r"\*"), line)
        lines[i] = re.sub(r"^(\s*\.\. \[\w+\] )([A-Z]\.)", r"\1\\\2", escaped)


def leave_type_variables_plain(
    app: Sphinx,  # noqa: ARG001
    env: BuildEnvironment,  # noqa: ARG001
    node: pending_xref,
    content: nodes.Element,
) -> nodes.Element | None:
    """Let a type variable in a signature stand without a link: it has no page."""
    module, _, name = node.get("reftarget", "").rpartition(".")
    return content if isinstance(getattr(sys.modules.get(module), name, None), TypeVar) else None


def skip_fields(*event: Any) -> bool | None:  # noqa: ANN401  # application, kind, name, object, skip, options
    """Leave out the fields of a named tuple, which its Parameters tell: Python documents them by their number."""
    return True if type(event[3]).__name__ == "_tuplegetter" else None


def read_again(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    """Name the pages of functions that a tutorial began to use since they were read, and of their modules."""
    users = Path(app.srcdir, "api", "backreferences").glob("*.examples")
    changed = [(f"api/{name}", file.stat().st_mtime_ns // 1000) for file in users for name in _and_module(file.stem)]
    return [page for page, time in changed if env.all_docs.get(page, time) < time]


def _and_module(name: str) -> tuple[str, str]:
    return name, name.rpartition(".")[0]


def pair_thumbnails(app: Sphinx, document: nodes.document) -> None:
    """Put the dark thumbnail of a tutorial beside the light one."""
    for light in list(document.findall(nodes.image)):
        uri = light["uri"].replace("_thumb.png", "_thumb_dark.png")
        if uri != light["uri"] and (Path(app.srcdir) / uri.lstrip("/")).exists():
            dark = light.deepcopy()
            dark["uri"] = uri
            for image, theme in (light, "only-light"), (dark, "only-dark"):
                image["classes"].append(theme)
            light.parent.insert(light.parent.index(light) + 1, dark)


def shrink_thumbnails(app: Sphinx) -> None:
    """Write each new thumbnail with 64 colours: a fifth of its weight, where an address shows fifteen of them."""
    for path in Path(app.srcdir, "auto_gallery").rglob("thumb/*.png"):
        with Image.open(path) as thumbnail:
            if thumbnail.mode == "RGBA":
                thumbnail.quantize(64, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)


def mend_page(app: Sphinx, page: str, template: str, context: dict[str, Any], document: Any) -> None:  # noqa: ANN401, ARG001
    """Mend a page's HTML before its template gets it."""
    sidebar = context["generate_toctree_html"]

    def labelled_sidebar(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Give each switch that unfolds a branch a name."""
        tree = sidebar(*args, **kwargs)
        for switch in tree.find_all("summary") if hasattr(tree, "find_all") else []:
            link = switch.find_parent("li").a
            switch["aria-label"] = f"Unfold {link.get_text()}" if link else "Unfold"
        return tree

    context["generate_toctree_html"] = labelled_sidebar
    if script := SCRIPTS.get(page):
        app.add_js_file(script, loading_method="defer")  # after the search is defined, before it runs
    if "body" not in context:
        return
    body = context["body"]
    if "film docutils" in body:
        app.add_js_file("film.js", loading_method="defer")
    # A signature of several lines is a definition list without terms, inside of a term.
    body = re.sub(r"<dl>\s*((?:<dd><em class=\"sig-param\">.*?</dd>\s*)+)</dl>", _signature, body, flags=re.DOTALL)
    # A formula's source is for nobody who reads the page, and would be searched and quoted as text.
    body = re.sub(r"<annotation.*?</annotation>", "", body, flags=re.DOTALL)
    if page == "api/functions":
        # Typeset for the eye a formula weighs 5 KB, and there are many: here browsers typeset what is for the ear.
        body = native_math.replace(body)
    body = native_math.split_typeset(body)
    # What is typeset with fonts that come late jumps when they come.
    fonts = [font for mark, font in FONTS.items() if mark in body] + ["stix/math.woff"] * (page == "api/functions")
    for font in fonts:
        link = '<link rel="preload" as="font" crossorigin href="{}"/>\n'
        context["metatags"] += link.format(context["pathto"](f"_static/{font}", resource=True))
    if fonts:
        app.add_js_file("formulas.js", loading_method="defer")
    # The role of a reference was withdrawn from the standard; its parent is a list.
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    # A picture that has its size moves no text when it comes, and the other theme's never comes.
    sizes = {file.name: file for file in (Path(app.srcdir) / "auto_gallery").rglob("*.png")}
    context["body"] = re.sub(r'<img (?=[^>]*?src="[^"]*?([^/"]+\.png)")', lambda tag: _sized(tag, sizes), body)


def _signature(match: re.Match[str]) -> str:
    rows = match[1].replace("<dd>", '<span class="sig-row">').replace("</dd>", "</span>")
    return f'<span class="sig-rows">{rows}</span>'


def _sized(tag: re.Match[str], files: dict[str, Path]) -> str:
    if tag[1] not in files:
        return tag[0]
    width, height = struct.unpack(">II", files[tag[1]].read_bytes()[16:24])
    return f'{tag[0]}width="{width}" height="{height}" loading="lazy" '


def located(
    visit: Callable[[HTML5Translator, nodes.Element], None],
) -> Callable[[HTML5Translator, nodes.Element], None]:
    """Let a formula that does not parse be a warning that says where it stands, so that all of them are found."""

    def visit_and_tell(self: HTML5Translator, node: nodes.Element) -> None:
        try:
            visit(self, node)
        except katex.KaTeXError as error:
            logger.warning("%s", error, location=node)
            raise nodes.SkipNode from error

    return visit_and_tell


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect each mending to its event."""
    inline, block = located(katex.html_visit_math), located(katex.html_visit_displaymath)
    app.add_html_math_renderer("located_katex", (inline, None), (block, None))
    app.connect("autodoc-process-docstring", escape_markup, priority=400)  # before numpydoc reads the sections
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("builder-inited", shrink_thumbnails, priority=900)  # after sphinx-gallery has made them
    app.connect("env-get-outdated", read_again)
    app.connect("missing-reference", leave_type_variables_plain)
    app.connect("doctree-read", pair_thumbnails, priority=400)  # before Sphinx collects the images
    app.connect("html-page-context", mend_page, priority=900)  # after the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
