"""The catalogues of a language: which texts are messages, and how the catalogues follow the English texts.

Sphinx extracts the messages of the pages. A catalogue keeps those with words to translate; formulas, names and numbers
stay as they are on every page. The domain ``sphinx`` has the messages of the templates, scripts and extensions.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from . import rules

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LOCALES = DOCS / "locales"
EXTRACTED = DOCS / "_build" / "gettext"
WIDTH = 120
HEADER = "# The Chinese texts of the site. `tox run -e translations` brings them up to date with the English ones."
OWN = "sphinx"  # the domain of templates, scripts and extensions
SCRIPTS = {"_ext/*.py": "python", "_static/*.js": "javascript"}
CALLS = {"message": None, "_": None}
TITLED = re.compile(r":(?:doc|ref|download):`([^`<]*)<[^`>]*>`|`([^`<]+) ?<[^`>]*>`_+")
MARKUP = re.compile(r":[\w:+-]+:`[^`]*`|``[^`]*``|\|[^|\s]+\||\[\w+\]_|https?://\S+|{\w+}")
PACKAGES = re.compile(r"(?i)\b(dlcore|torch|pytorch|numpy|scipy|scikit-learn|optax|river|arviz|python|colab|github)\b")


def extract_pages() -> None:
    """Let Sphinx write the messages of all pages. The tutorials must have been run: the site must have been built."""
    folders = ["-d", EXTRACTED / ".doctrees", DOCS, EXTRACTED]
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-E", "-b", "gettext", *folders], check=True)


def extracted() -> dict[str, Catalog]:
    """Return the messages of each domain that have words to translate."""
    found: dict[str, Catalog] = {}
    for file in sorted(EXTRACTED.glob("*.pot")):
        found[file.stem] = Catalog(fuzzy=False)
        for entry in read(file):
            if entry.id and has_words(str(entry.id)):
                pages = sorted({(page(name), 0) for name, _ in entry.locations if is_file(name)})
                found[file.stem].add(entry.id, locations=pages)
    for pattern, method in SCRIPTS.items():
        for file in sorted(DOCS.glob(pattern)):
            with file.open("rb") as stream:
                for _, text, *_ in extract(method, stream, keywords=CALLS, options={"encoding": "utf-8"}):
                    found[OWN].add(text, locations=[(file.relative_to(ROOT).as_posix(), 0)])
    return found


def is_file(location: str) -> bool:
    """Tell whether a place is a file, and not a word of a place such as "file:docstring of name"."""
    return "/" in location and "<" not in location


def page(location: str) -> str:
    """Return the place of a message without the folders of this machine."""
    path = (EXTRACTED / location.partition(":docstring")[0]).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def has_words(text: str) -> bool:
    """Tell whether a message has words, and not only formulas, names and numbers."""
    words = TITLED.sub(lambda link: link[1] or link[2], text)
    return bool(re.search(r"[A-Za-z]{2}", PACKAGES.sub("", MARKUP.sub("", words))))


def read(file: Path) -> Catalog:
    """Return the catalogue in a file."""
    return read_po(BytesIO(file.read_bytes()))


def folder(language: str) -> Path:
    """Return the folder of a language's catalogues."""
    return LOCALES / language / "LC_MESSAGES"


def patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the messages that are translated by a rule: what they match, and what replaces it."""
    file = LOCALES / language / "patterns.toml"
    rules: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return [(re.compile(source), target) for source, target in rules.items()]


def updated(language: str) -> dict[str, Catalog]:
    """Return the catalogues of a language with the extracted messages."""
    rules = patterns(language)
    found: dict[str, Catalog] = {}
    for domain, template in extracted().items():
        file = folder(language) / f"{domain}.po"
        catalogue = read(file) if file.exists() else Catalog(locale=language)
        catalogue.project, catalogue.fuzzy, catalogue.header_comment = "dlcore", False, HEADER
        catalogue.update(template, update_header_comment=False)
        catalogue.obsolete.clear()
        for entry in catalogue:
            for source, target in rules:
                if entry.id and (whole := source.fullmatch(str(entry.id))):
                    entry.string = whole.expand(target)
                    entry.flags.discard("fuzzy")
        found[domain] = catalogue
    return found


def write(catalogue: Catalog, file: Path) -> None:
    """Write a catalogue without the dates and line numbers that would change with every edit."""
    file.parent.mkdir(parents=True, exist_ok=True)
    stream = BytesIO()
    write_po(stream, catalogue, width=WIDTH, include_lineno=False, omit_header=False, ignore_obsolete=True)
    lines = stream.getvalue().decode().splitlines(keepends=True)
    dated = re.compile(r'"(POT-|PO-|Generated-By|Project-Id|Report-|Last-|Language-Team)')
    file.write_text("".join(line for line in lines if not dated.match(line)), encoding="utf-8")


def broken(catalogue: Catalog) -> Iterator[str]:
    """Yield what is wrong with each translation that the site shows."""
    for entry in catalogue:
        if entry.id and entry.string and not entry.fuzzy:
            yield from (f"{fault}: {entry.id}" for fault in rules.faults(str(entry.id), str(entry.string)))


def gaps(catalogues: dict[str, Catalog]) -> Iterator[str]:
    """Yield each message that is not translated, or whose English text has changed."""
    for domain, catalogue in catalogues.items():
        for entry in catalogue:
            if entry.id and (not entry.string or entry.fuzzy):
                yield f"{domain}: {'changed' if entry.fuzzy else 'missing'}: {entry.id}"
