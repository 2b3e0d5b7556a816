"""Formulas that the browser typesets, for a page that has too many to bring them typeset: a tenth of the weight."""

import re
import unicodedata
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

STYLES = {"bold": "BOLD", "bold-italic": "BOLD ITALIC", "double-struck": "DOUBLE-STRUCK", "script": "SCRIPT"}
LETTERS = {  # the letter and its style: its own character, 𝐱 for x in bold
    (unicodedata.normalize("NFKD", character), style): character
    for character in map(chr, (*range(0x2102, 0x2139), *range(0x1D400, 0x1D7CC)))
    for style in (*STYLES.values(), "ITALIC")
    if re.match(rf"(MATHEMATICAL )?{style} (SMALL|CAPITAL)", unicodedata.name(character, ""))
}
SIGNS = "\u00a0¬¯±·×ˆ˜‖‘’…′‾ℎ−⌈⌉⌊⌋⏞⏟⟨⟩\u0302\u0304\u0303ϕϵ\u2061\u2062"
WIDE = '<span class="mspace" style="margin-right:2em;"></span>'
BAR = '<span class="mrel">∣</span>'
RANGES = (0x20, 0x7F), (0x391, 0x3CA), (0x2190, 0x2194), (0x21D0, 0x21D5), (0x2200, 0x2300)  # Greek, arrows, operators


def replace(body: str) -> str:
    """Leave of each formula in a page what is there for the ear, so that the browser typesets that."""
    pieces = re.split(r'<span class="katex-(?:mathml|html)"', body)
    shown = [pieces[0]]
    for piece in pieces[1:]:
        formula, rest = re.match(r"[^>]*>(<math .*?</math>)?(.*)", piece, re.DOTALL).groups("")
        shown.append(split(spell(formula)) + rest[end_of_span(rest) :])
    return "".join(shown)


def end_of_span(text: str) -> int:
    """Return where a span ends that began before this text."""
    depth = 1
    for tag in re.finditer(r"<(/?)span", text):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return text.index(">", tag.end()) + 1
    raise ValueError("a span has no end")


def spell(formula: str) -> str:
    """Say what browsers do not guess: a letter's style by its character, the space after ``log``, and a sign's role."""

    def characters(found: re.Match[str]) -> str:
        return ">" + "".join(LETTERS.get((letter, STYLES[found[1]]), letter) for letter in found[2])

    formula = re.sub(rf' mathvariant="({"|".join(STYLES)})">([^<]*)', characters, formula)
    # The space after a name stands after what is below or above it.
    script = r"<m[ino][^>]*>[^<]*</m[ino]>|<mrow>(?:(?!</?mrow).)*</mrow>"
    formula = re.sub(rf"<mo>\u2061</mo>(</mrow>(?:{script})</m(?:sub|sup|under)>)", "\\1<mo>\u2061</mo>", formula)
    formula = formula.replace("<mo>\u2061</mo></mrow>", "</mrow>")
    formula = re.sub(r"<msup>(<mo [^>]*minsize[^>]*>.</mo>)", r"<msup><mrow>\1</mrow>", formula)
    formula = re.sub(r"<mo>\u2061</mo>(?!<mo[^>]*>[(\[])", '<mspace width="0.1667em"></mspace>', formula)
    formula = re.sub(r'<mo stretchy="false">([∥∣|])', r'<mo lspace="0" rspace="0" stretchy="false">\1', formula)
    return re.sub(r"([=≤≥≈∈,(\[→⇒∝]</mo>)<mo>−</mo>", r'\1<mo form="prefix">−</mo>', formula)


def split(formula: str) -> str:
    """Split what is displayed where it has a wide space, so that what finds no place beside goes below."""
    whole = re.fullmatch(r'(<math [^>]*display="block"><semantics><mrow>)(.*)(</mrow></semantics></math>)', formula)
    if not whole:
        return formula
    begin, inside, end = whole.groups()
    parts, start, depth = [], 0, 0
    for tag in re.finditer(r"<(/?)[^>]*?(/?)>", inside):
        depth += 0 if tag[2] else -1 if tag[1] else 1
        if depth == 0 and tag[0] == '<mspace width="2em"/>':
            parts.append(inside[start : tag.start()])
            start = tag.end()
    return " ".join(begin + part + end for part in [*parts, inside[start:]])


def split_typeset(body: str) -> str:
    """Split each formula that is displayed and typeset where it has a wide space; keep ``p(y | x)`` whole."""
    body = re.sub(rf'({BAR}<span class="mspace"[^>]*></span>)</span><span class="base">', r"\1", body)
    pieces = re.split(r'(<span class="katex-html" aria-hidden="true">)', body)
    shown = pieces[0]
    for mark, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        end = end_of_span(piece) - len("</span>")
        parts = _typeset_parts(piece[:end]) if _is_displayed(shown) else []
        if len(parts) > 1:
            shown += mark.replace('html"', 'html parts"')
            shown += "".join(f'<span class="part">{part}</span>' for part in parts) + piece[end:]
        else:
            shown += mark + piece
    return shown


def _is_displayed(before: str) -> bool:
    return before.rpartition('<span class="katex">')[0].endswith('<span class="katex-display">')


def _typeset_parts(inside: str) -> list[str]:
    parts, start, done, depth, strut = [], "", 0, 0, ""
    for tag in re.finditer(r"<(/?)span[^>]*>", inside):
        if tag[0].startswith('<span class="strut"'):
            strut = tag[0] + "</span>"
        if depth == 1 and tag[0] == WIDE.removesuffix("</span>"):
            parts.append(start + inside[done : tag.start()] + "</span>")
            start, done = '<span class="base">' + strut, tag.start() + len(WIDE)
        depth += -1 if tag[1] else 1
    return [*parts, start + inside[done:]]


def keep_signs(font: Path, smaller: Path) -> None:
    """Save what formulas need of a font: a fifth of it."""
    options = subset.Options(flavor="woff", hinting=False, layout_features=["ssty"])
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes={*map(ord, SIGNS), *map(ord, LETTERS.values())}.union(*(range(*r) for r in RANGES)))
    with TTFont(font) as whole:
        subsetter.subset(whole)
        whole.flavor = "woff"
        whole.save(smaller)
