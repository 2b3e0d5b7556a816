"""The languages of the site: messages with values, and the links between the languages.

Sphinx translates a paragraph whose text is in a catalogue. This extension adds to it, and ``wording`` does for words
that are in no paragraph:

- The role ``said`` and the directive ``fold`` hold sentences with measured values, such as a number of tests. Only the
  sentence is a message, with names in braces in place of the values, so that it stays translated when they change.
- Every page names its counterpart in the other language.
- The pages of the library's source code exist once, in the edition of the source language.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from babel.messages.pofile import read_po
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.ext import viewcode
from sphinx.locale import _
from sphinx.roles import XRefRole
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

LOCALES = Path(__file__).parents[1] / "locales"
SOURCE = "en"
NAMES = {"en": "English", "zh_CN": "简体中文"}
FOLDERS = {"en": "", "zh_CN": "zh/"}  # of the languages, below the site's root
CODE = "_modules/"  # what the addresses of the pages of source code begin with
SITEMAP = "pages.xml"  # of each language; sitemap.xml at the root names both
SITEMAP_INDEX = """<?xml version="1.0" encoding="UTF-8"?>
<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
{}
</sitemapindex>
"""
HAN = r"\u3400-\u9fff"  # Chinese characters, in a set of a regular expression
SEPARATOR = " | "
BRACES = re.compile(r"{(\w+)}")


def message(text: str) -> str:
    """Mark a text of the site as a message for the catalogues, and return it unchanged."""
    return text


# Texts of conf.py, and those of the theme that it does not translate, or not well
message("The dlcore developers")
message("Search the docs ...")
message("Breadcrumb")
message("Collapse Sidebar")
message("Color mode")
message("Dark")
message("Expand Sidebar")
message("Home")
message("Light")
message("On this page")
message("System Settings")
message("next")
message("previous")
message("© Copyright %(copyright)s.")


def said(template: str, **values: object) -> str:
    """Return the markup of a message with values, which the build writes in the language of the site."""
    parts = [template, *(f"{name}={value}" for name, value in values.items())]
    return f":said:`{SEPARATOR.join(parts)}`"


def in_language(text: str) -> str:
    """Return the text of ``said``: the translated template with its values."""
    template, *pairs = text.split(SEPARATOR)
    values = dict(pair.split("=", 1) for pair in pairs)
    return BRACES.sub(lambda name: values[name[1]], str(_(template)))


def said_role(name: str, rawtext: str, text: str, *where: Any) -> tuple[list[nodes.Node], list[nodes.system_message]]:  # noqa: ANN401, ARG001
    """Return the text of the role in the language of the site."""
    return [nodes.Text(in_language(text))], []


class SaidRef(XRefRole):
    """The role ``ref`` with a title that is read as the role ``said`` is."""

    def process_link(
        self,
        env: BuildEnvironment,  # noqa: ARG002
        refnode: nodes.Element,
        has_explicit_title: bool,  # noqa: ARG002
        title: str,
        target: str,
    ) -> tuple[str, str]:
        """Return the title in the language of the site, and the target."""
        refnode["reftype"] = "ref"
        return in_language(title), target.lower()


class Fold(SphinxDirective):
    """Content that a click or the Enter key opens, below a summary, which is read as the role ``said`` is."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        """Return the content between the tags that fold it."""
        names = " ".join(self.options["class"])
        content = self.parse_content_to_nodes()
        if "tests" in names:
            untranslatable(content)
        opening = f'<details class="{names}"><summary>{in_language(self.arguments[0])}</summary>'
        return [
            nodes.raw("", opening, format="html"),
            *content,
            nodes.raw("", "</details>", format="html"),
        ]


@cache
def catalogue(language: str, domain: str) -> dict[str, str]:
    """Return the translated messages of a domain; none for the language of the sources."""
    file = LOCALES / language / "LC_MESSAGES" / f"{domain}.po"
    if not file.exists():
        return {}
    with file.open("rb") as stream:
        return {str(found.id): str(found.string) for found in read_po(stream) if found.string and not found.fuzzy}


def in_settings(text: str, language: str) -> str:
    """Return the translation of a text of the settings, which are read before Sphinx has a language."""
    return catalogue(language, "sphinx").get(text, text)


def untranslatable(parts: Iterable[nodes.Node]) -> None:
    """Mark the text in some nodes as no messages."""
    for part in parts:
        for node in part.findall(nodes.TextElement):
            node["translatable"] = False


class CodeLinks(SphinxPostTransform):
    """Let the links to source code lead to the edition of the source language."""

    default_priority: ClassVar[int] = 110  # after that of sphinx.ext.viewcode, which adds links

    def run(self, **_: Any) -> None:  # noqa: ANN401
        """Change the addresses on the pages of the library, which are in one folder."""
        up = "../" * FOLDERS[self.config.language].count("/")
        for link in self.document.findall(nodes.reference):
            if link.get("refuri", "").startswith(f"../{CODE}"):
                link["refuri"] = up + link["refuri"]


def write_code_once(app: Sphinx) -> None:
    """Write the pages of source code in the source language only."""
    if app.config.language != SOURCE:
        for listener in app.events.listeners["html-collect-pages"]:
            if listener.handler is viewcode.collect_pages:
                app.disconnect(listener.id)
                break


def link_languages(app: Sphinx, page: str, template: str, context: dict[str, Any], document: Any) -> None:  # noqa: ANN401, ARG001
    """Give the templates the path to the page in each language, and its address if that of the site is known."""
    to_root = "../" * (page.count("/") + FOLDERS[app.config.language].count("/"))
    root = app.config.html_baseurl.removesuffix(FOLDERS[app.config.language]) or to_root
    context["languages"] = [
        {
            "code": language.replace("_", "-"),
            "name": name,
            "path": f"{to_root}{FOLDERS[language]}{page}.html",
            "address": f"{root}{FOLDERS[language]}{page}.html",
            "is_shown": language == app.config.language,
        }
        for language, name in NAMES.items()
        if not page.startswith(CODE)
    ]


def write_messages_of_scripts(_app: Sphinx, config: Config) -> None:
    """Write the messages of the scripts in the form that Sphinx serves, from the catalogue."""
    if config.language != SOURCE:
        file = LOCALES / config.language / "LC_MESSAGES" / "sphinx.js"
        content = {"messages": catalogue(config.language, "sphinx"), "locale": config.language, "plural_expr": "0"}
        text = f"Documentation.addTranslations({json.dumps(content, ensure_ascii=False)});\n"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def write_sitemap(app: Sphinx, exception: Exception | None) -> None:
    """Write the sitemap that names those of all languages, if the address of the site is known."""
    if exception is None and app.config.html_baseurl and app.config.language == SOURCE:
        addresses = [f"{app.config.html_baseurl}{folder}{SITEMAP}" for folder in FOLDERS.values()]
        lines = "\n".join(f"  <sitemap><loc>{escape(address)}</loc></sitemap>" for address in addresses)
        Path(app.outdir, "sitemap.xml").write_text(SITEMAP_INDEX.format(lines), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the roles, the directive and the links."""
    app.add_role("said", said_role)
    app.add_role_to_domain("std", "said-ref", SaidRef())
    app.add_directive("fold", Fold)
    app.add_post_transform(CodeLinks)
    app.connect("config-inited", write_messages_of_scripts)
    app.connect("builder-inited", write_code_once)
    app.connect("html-page-context", link_languages)
    app.connect("build-finished", write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
