"""Words outside of messages: in the types of parameters, in formulas, in HTML and below figures.

Formulas, names, types, cited works and the names of tests are no messages, because a catalogue would repeat them
unchanged. The words in them, such as "at least" in a type or "otherwise" in a formula, are replaced by those of
``types.toml`` and ``formulas.toml``.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache, cached_property
from html import escape, unescape
from itertools import chain
from typing import Any, ClassVar

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.transforms import SphinxTransform
from sphinx_gallery.directives import imgsgnode
from translated import HAN, LOCALES, SOURCE, catalogue, message

SEPARATORS = {", ": "、", "; ": "；", ": ": "："}  # between names, in paragraphs that consist of them
SEPARATOR = re.compile("|".join(SEPARATORS))
CLOSING = re.compile(r"[，。；：、？！）”》]+")
LONGEST_UNBROKEN = 16  # characters of TeX; longer formulas may be broken on a phone
DESCRIBED_BELOW = message("The figure that is described below")


@cache
def words(language: str, name: str) -> dict[str, str]:
    """Return the words of a file of a language with their translations, the longest first."""
    file = LOCALES / language / f"{name}.toml"
    found: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


def translate_type(text: str, language: str) -> str:
    """Return a part of a type with its words in a language, with Chinese commas outside of brackets."""
    known = words(language, "types")
    if not known:
        return text
    text = re.sub("|".join(map(bounded, known)), lambda found: known[found[0]], text)
    text = re.sub(r", ?(?![^(\[{]*[)\]}])", "，", text)
    return re.sub(rf"(?<=[{HAN}]) (?=[{HAN}])|(?<=，) | (?=，)", "", text)


def bounded(word: str) -> str:
    """Return a pattern that finds a word, and not a part of a longer one."""
    before, after = (r"\b" if end.isalnum() else "" for end in (word[0], word[-1]))
    return before + re.escape(word) + after


def translate_formula(formula: str, language: str) -> str:
    """Return a formula in TeX with the words in it in a language."""
    known = words(language, "formulas")
    return re.sub(r"\\text{([^}]*)}", lambda text: rf"\text{{{known.get(text[1], text[1])}}}", formula)


class Names(SphinxTransform):
    """Take formulas, names, types and cited works out of the messages; translate the words in types and formulas."""

    default_priority: ClassVar[int] = 5  # before the parts of docstrings become sections, and messages are translated

    def apply(self, **_: Any) -> None:  # noqa: ANN401
        """Mark what is no message."""
        language = self.config.language
        for node in [*self.document.findall(nodes.TextElement)]:
            if self.is_type(node):
                for text in [*node.findall(nodes.Text)]:
                    if not isinstance(text.parent, nodes.strong | nodes.literal):
                        text.parent.replace(text, nodes.Text(translate_type(text.astext(), language)))
            elif isinstance(node, nodes.math_block):
                node[:] = [nodes.Text(translate_formula(node.astext(), language))]
            elif not self.is_name(node) and not is_in(node, nodes.citation):
                continue
            node["translatable"] = False

    def is_type(self, node: nodes.Element) -> bool:
        """Tell whether a node is a name with its type in the parts of a docstring."""
        return isinstance(node, nodes.term | nodes.classifier) and is_in(node, addnodes.desc_content)

    def is_name(self, node: nodes.Element) -> bool:
        """Tell whether a node is a title that is a name of the library."""
        return isinstance(node, nodes.title) and node.astext() in self.names

    @cached_property
    def names(self) -> set[str]:
        """The names of the library."""
        names_of: dict[str, list[str]] = self.config.autosummary_context["names_of"]
        modules = {module.removeprefix("dlcore.") for module in names_of}
        return {*names_of, *modules, *chain.from_iterable(names_of.values())}


def ancestors(node: nodes.Node) -> Iterator[nodes.Element]:
    """Yield the nodes that a node is in, the innermost first."""
    while node.parent is not None:
        node = node.parent
        yield node


def is_in(node: nodes.Node, kind: type[nodes.Element]) -> bool:
    """Tell whether a node is inside a node of some kind."""
    return any(isinstance(ancestor, kind) for ancestor in ancestors(node))


def is_evidence(node: nodes.Node) -> bool:
    """Tell whether a node is in a line or a table of evidence."""
    return any({"tested", "evidence"} & {*ancestor.get("classes", ())} for ancestor in ancestors(node))


def describe_figures(app: Sphinx, document: nodes.document) -> None:
    """Give each figure the description below it, which the source language shows as alternative text only.

    Other languages show it, because the words in a figure are those of the source language. The copy of the main figure
    at the top has its description as alternative text in all languages.
    """
    for box in [*document.findall(nodes.container)]:
        if "description" not in box["classes"] or app.builder.format != "html":
            continue
        is_shown = app.config.language != SOURCE and "in-short" not in box.parent["classes"]
        for figure in box.parent.findall(imgsgnode):
            figure["alt"] = str(_(DESCRIBED_BELOW)) if is_shown else " ".join(box.astext().split())
        if not is_shown:
            box.parent.remove(box)


def translate_html(app: Sphinx, document: nodes.document) -> None:
    """Translate the text between the tags of HTML: the titles of thumbnails, the labels of the plot of timings."""
    if app.config.language == SOURCE:
        return
    domains = app.env.current_document.docname.partition("/")[0], "auto_gallery", "sphinx"

    def translated(text: re.Match[str]) -> str:
        found = (catalogue(app.config.language, domain).get(unescape(text[1])) for domain in domains)
        translation = next(filter(None, found), None)
        return f">{escape(translation)}<" if translation else text[0]

    for node in [*document.findall(nodes.raw)]:
        text = re.sub(r' tooltip="[^"]*"', "", node.astext())  # the theme shows the page's summary, in one language
        text = re.sub(r">([^<>]+)<", translated, text)
        if text != node.astext():
            node.replace_self(nodes.raw("", text, format=node["format"]))


def separate_names(app: Sphinx, document: nodes.document) -> None:
    """Write Chinese punctuation between names, and in lines of evidence, which are no messages."""
    if app.config.language == SOURCE:
        return
    for text in [*document.findall(nodes.Text)]:
        if not isinstance(text.parent, nodes.paragraph):
            continue
        if text.astext() in SEPARATORS or is_evidence(text):
            text.parent.replace(text, nodes.Text(SEPARATOR.sub(lambda mark: SEPARATORS[mark[0]], text.astext())))


def keep_punctuation(app: Sphinx, document: nodes.document) -> None:
    """Keep Chinese punctuation on the line of the formula before it: a browser may break a line after a formula."""
    if app.config.language == SOURCE:
        return
    for formula in [*document.findall(nodes.math)]:
        following = formula.next_node(descend=False, siblings=True)
        mark = CLOSING.match(following.astext()) if isinstance(following, nodes.Text) else None
        if mark and len(formula.astext()) <= LONGEST_UNBROKEN:
            rest = nodes.Text(following.astext()[mark.end() :])
            following.parent.replace(following, rest)
            unbroken = nodes.inline(classes=["unbroken"])
            formula.replace_self(unbroken)
            unbroken += [formula, nodes.Text(mark[0])]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform, and what follows after a page was read and its main figure copied to its top."""
    app.add_transform(Names)
    for change in (describe_figures, translate_html, separate_names, keep_punctuation):
        app.connect("doctree-read", change, priority=410)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
