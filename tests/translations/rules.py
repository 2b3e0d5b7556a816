"""What a Chinese text must keep of the English one, and how it is written.

The markup is the same: the same formulas, names, links and values, in any order. Chinese text has full-width
punctuation. A space separates Chinese from Latin letters, numbers and formulas, and nothing separates Chinese from
Chinese: markup between Chinese characters is joined with an escaped space, which is not shown. Each term of the
glossary has its Chinese term.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from docutils.utils.punctuation_chars import closers, closing_delimiters, delimiters, openers

GLOSSARY = Path(__file__).parents[2] / "docs" / "guide" / "glossary.rst"
HAN = r"\u3400-\u9fff"
WIDE = "，。；：？！（）、“”‘’《》…—"
ROLE = re.compile(r":([\w:+-]+):`((?:[^`\\]|\\.)*)`")
LITERAL = re.compile(r"``.+?``", re.DOTALL)
LINK = re.compile(r"`([^`<]*?) ?<([^`>]+)>`(_+)")
QUOTED = re.compile(r"`[^`]+`")
OTHERS = [re.compile(markup) for markup in (r"(?<!\w)\|[^|\s]+\|(?!\w)", r"\[\w+\]_", r"{\w+}")]
STRONG = re.compile(r"(?<![\w*\\])(\*{1,2})(?=\S)(.+?)(?<=\S)\1(?![\w*])", re.DOTALL)
HALF = re.compile(rf"[{HAN}][,;:?!()]|[,;:?!(][{HAN}]|[{HAN}]\.(?!\d)")
LATIN = r"[A-Za-z0-9%°αβγλμσηθφχ]"


def faults(english: str, chinese: str) -> Iterator[str]:
    """Yield what is wrong with a translation."""
    yield from of_markup(english, chinese)
    yield from of_borders(chinese)
    yield from of_writing(chinese)
    yield from of_terms(english, chinese)


def of_markup(english: str, chinese: str) -> Iterator[str]:
    """Yield the markup that is missing in a translation or was added."""
    before, after = markup(english), markup(chinese)
    yield from (f"lacks {part}" for part in sorted(before - after))
    yield from (f"adds {part}" for part in sorted(after - before))


def of_borders(chinese: str) -> Iterator[str]:
    """Yield the markup that reStructuredText does not recognize, because of what is next to it."""
    bare = ROLE.sub(lambda role: "x" * len(role[0]), LITERAL.sub(lambda literal: "x" * len(literal[0]), chinese))
    for pattern, text in ((LITERAL, chinese), (ROLE, chinese), (LINK, chinese), (STRONG, bare)):
        for found in pattern.finditer(text):
            before, after = text[: found.start()][-1:], text[found.end() :][:1]
            if not re.fullmatch(rf"|\s|[{openers}{delimiters}]", before):
                yield f"markup needs an escaped space after {before!r}: {found[0]}"
            if not re.fullmatch(rf"|\s|[{closing_delimiters}{delimiters}{closers}]", after):
                yield f"markup needs an escaped space before {after!r}: {found[0]}"


def markup(text: str) -> set[str]:
    """Return the formulas, names, links and values of a text; the titles of links may differ."""
    found = {*LITERAL.findall(text)}
    text = LITERAL.sub("", text)
    for name, content in ROLE.findall(text):
        target = re.search(r"<([^>]+)>$", content)
        if name not in ("zh", "said"):
            found.add(f":{name}:`{target[1] if target and name != 'math' else content}`")
    text = ROLE.sub("", text)
    found |= {address for _, address, _ in LINK.findall(text)}
    for pattern in OTHERS:
        found.update(pattern.findall(text))
    return found


def shown(text: str) -> str:
    """Return a text with x in place of each name and formula, and the titles of links bare, between backquotes."""
    text = LITERAL.sub("\0x\0", text)
    text = ROLE.sub(lambda role: f"\0{shown_role(role)}\0", text)
    text = QUOTED.sub("\0x\0", LINK.sub("\0\\1\0", text))
    for pattern in OTHERS:
        text = pattern.sub("x", text)
    return text.replace("\0", "`")


def shown_role(role: re.Match[str]) -> str:
    """Return what a role shows: the title of a link, or a letter in place of a name or formula."""
    name, content = role[1], role[2]
    title = re.match(r"(.*?) ?<[^>]+>$", content, re.DOTALL)
    if name in ("doc", "ref", "zh", "emphasis", "strong"):
        return title[1] if title else content if name == "zh" else "文"
    return "x"


def of_writing(chinese: str) -> Iterator[str]:
    """Yield what breaks the rules of writing."""
    text = shown(chinese)
    for found in HALF.finditer(re.sub(r"[`*]", "", text)):
        yield f"half-width punctuation in {found[0]!r}"
    if '"' in text and re.search(rf'"[^"]*[{HAN}]', text):
        yield "straight quotation marks around Chinese"
    text = STRONG.sub(r"`\2`", text)
    for found in re.finditer(rf"[{HAN}]`?{LATIN}|{LATIN}`?[{HAN}]|[{HAN}]`[x`]", text):
        yield f"no space in {found[0]!r}"
    for found in re.finditer(rf"(?<=[{HAN}])`? +`?(?=[{HAN}])", text):
        yield f"a space between Chinese characters: {text[max(0, found.start() - 3) : found.end() + 3]!r}"
    for found in re.finditer(rf"(?<!\\) (?=`?[{WIDE}])(?! ?`?[“‘《（—…])|(?<=[，。；：？！、）”》]) +(?!\\)", text):
        yield f"a space next to full-width punctuation: {text[max(0, found.start() - 3) : found.end() + 3]!r}"


@cache
def terms() -> dict[str, tuple[str, ...]]:
    """Return the terms of the glossary, each with its Chinese terms."""
    entries = re.findall(
        r"^   (\S.*?) :zh:`([^`]+)`\n((?:      .*\n)*)", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {
        english: (*chinese.split("、"), *re.findall(r":zh:`([^`]+)`", definition))
        for names, chinese, definition in entries
        for english in names.split(", ")
    }


def of_terms(english: str, chinese: str) -> Iterator[str]:
    """Yield the terms of the glossary whose Chinese term is missing."""
    plain = LINK.sub(shown_link, ROLE.sub(shown_title, LITERAL.sub("", english)))
    plain = re.sub(r"\s+", " ", re.sub(r"`[^`]*`", "", plain).replace(r"\_", "_"))
    written = chinese.replace(" ", "").replace("\\", "").lower()
    for term, translations in terms().items():
        word = re.escape(term).replace(r"\ ", "[ -]")
        is_used = re.search(rf"(?i)(?<![\w-]){word}s?(?![\w-])", plain)
        if is_used and not any(translation.replace(" ", "").lower() in written for translation in translations):
            yield f"{term!r} is not translated as {' or '.join(translations)}"


def shown_link(link: re.Match[str]) -> str:
    """Return the title of a link, or nothing in place of the name of a module."""
    return "" if re.fullmatch(r"[\w.]+\.[\w.]+", link[1]) else link[1]


def shown_title(role: re.Match[str]) -> str:
    """Return the title of a link, or nothing in place of a name or formula."""
    title = re.match(r"(.*?) ?<[^>]+>$", role[2], re.DOTALL)
    return title[1] if title and role[1] in ("doc", "ref") else ""
