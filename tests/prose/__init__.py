"""Check the English of the repository: ``tox run -e prose`` prints each sentence that breaks a rule of ``rules.toml``.

Docstrings, comments and messages of the Python files are read, and so are the pages, README.md and the other texts.
Code and formulas within a sentence are ignored. No package does this here: those named vale download the program when
they are installed or first run, which needs a host other than the package index; proselint has only rules of its own.
"""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("rules.toml")
FILES = ("*.md", "docs/**/*.rst", "docs/*.md", "docs/*.toml", "gallery/**/*.rst", "gallery/**/*.py")
FILES += ("benchmarks/**/*.py", "dlcore/**/*.py", "docs/**/*.py", "tests/**/*.py", "conftest.py")
GENERATED = ("docs/_build/", "docs/api/", "docs/auto_gallery/", "docs/evidence/", "docs/node_modules/")
QUOTES = ("tests/test_prose.py",)  # faults on purpose
NOT_PROSE = re.compile(r"^(%%|noqa|type:|fmt:|ruff:|pragma:|pyright:|sphinx_gallery)(:? [A-Z, \d]+)?(.*?# )?")
CODE = "\N{WHITE CIRCLE}"  # stands for code and formulas in a sentence
DIRECTIVE = re.compile(r"\s*\.\. (?!\[|note|warning|admonition|seealso)\S+:")
LAST_LINE_OF_TITLE = 3  # after the quotes of a tutorial's docstring, or the label of a page
INLINE = re.compile(
    r"``.+?``|:[\w:+-]+:`(?P<shown>[^`<]+)<[^`]*>`|:[\w:+-]+:`[^`]*`|`[^`\n]+`(?!_)|</?[a-z][^<>]*>|https?://\S+",
    re.DOTALL,
)
ITEM = re.compile(r"\s*(?:(?:[-*•] |\* - |\d+\. |#+ |\| ?|\.\. \[\w+\] |:[^:`]+: )\s*)+")
UNDERLINE = re.compile(r"\s*([=\-~^*])\1{2,}$")
END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=[\"'(\[*]*[A-Z○])")


@dataclass(frozen=True)
class Rule:
    """A pattern that no sentence may match, and what to write instead; ``only`` limits it to headings or to names."""

    pattern: re.Pattern[str]
    instead: str
    only: str


@dataclass(frozen=True)
class Text:
    """A sentence, heading or name, and the number of its line."""

    line: int
    words: str
    kind: str = "sentence"


def rules(text: str) -> list[Rule]:
    """Return the rules of a TOML text."""
    found = tomllib.loads(text)["rule"]
    return [Rule(re.compile(rule["pattern"]), rule["instead"], rule.get("only", "")) for rule in found]


def files(root: Path) -> Iterator[str]:
    """Yield the names of the files with texts."""
    for name in sorted({file.relative_to(root).as_posix() for pattern in FILES for file in root.glob(pattern)}):
        if not name.startswith((*GENERATED, *QUOTES)):
            yield name


def faults(root: Path, rules: list[Rule]) -> Iterator[str]:
    """Yield each text that breaks a rule, with its place and what to write instead."""
    for name in files(root):
        source = (root / name).read_text(encoding="utf-8")
        if name.endswith(".toml"):
            source = re.sub(r"^\S.*? = |^\[.*", "- ", source, flags=re.MULTILINE)  # each value is a text
        for text in texts_of_python(source) if name.endswith(".py") else texts(source):
            for rule in rules:
                if rule.only in kinds_of(text) and (found := rule.pattern.search(text.words)):
                    yield f"{name}:{text.line}: {found[0].strip()!r}: {rule.instead}\n    {text.words}"


def kinds_of(text: Text) -> tuple[str, ...]:
    """Return what a rule may be limited to if it holds for a text; "" is a rule without a limit."""
    return {"sentence": ("",), "heading": ("", "heading"), "title": ("", "heading", "title"), "name": ("name",)}[
        text.kind
    ]


def texts_of_python(source: str) -> Iterator[Text]:
    """Yield the sentences of docstrings, comments and strings of at least three words, and the names of variables."""
    tree = ast.parse(source)
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and id(node) not in inner):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            words = "".join(str(part.value) if isinstance(part, ast.Constant) else CODE for part in parts)
            if words.count(" ") >= 2:
                for part in [words] if id(node) in documentation else words.split("\n"):
                    yield from texts(part, node.lineno)
        elif isinstance(node, ast.Name | ast.arg | ast.FunctionDef | ast.ClassDef):
            yield Text(node.lineno, getattr(node, "id", None) or getattr(node, "arg", None) or node.name, "name")
    for start, block in comments(source):
        yield from texts(block, start)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments, those on consecutive lines as one text, with the number of their first line."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, own = token.start[0], not token.line[: token.start[1]].strip()
            if block and not (own and line == last + 1):
                yield last - len(block) + 1, "\n".join(block)
                block = []
            block.append(NOT_PROSE.sub("", re.sub(r"^#+:? ?", "", token.string)))
            last = line
    if block:
        yield last - len(block) + 1, "\n".join(block)


def texts(source: str, start: int = 1) -> Iterator[Text]:
    """Yield the sentences and headings of a text in reStructuredText or Markdown."""
    prose = "\n".join(without_code(source.split("\n")))
    for line, paragraph, kind in paragraphs(INLINE.sub(without_names, prose)):
        place = start - 1 + line
        for sentence in re.split(END, paragraph):
            if words := " ".join(re.sub(f"{CODE}+", CODE, sentence).split()):
                yield Text(place, words, "title" if kind == "heading" and place <= LAST_LINE_OF_TITLE else kind)
            place += sentence.count("\n")


def without_names(code: re.Match[str]) -> str:
    """Return what a link shows, and for other code within a sentence as many circles, on as many lines."""
    if code["shown"] is None:
        return re.sub(r"[^\n]", CODE, code[0])
    shown = code["shown"].rstrip()
    return shown + "\n" * (code[0].count("\n") - shown.count("\n"))


def without_code(lines: list[str]) -> Iterator[str]:
    """Yield the lines of a text, and an empty one for each line of code."""
    indent, fenced, example = -1, False, False  # the indentation of what announces a block of code, or -1
    for line in lines:
        depth = len(line) - len(line.lstrip())
        words = line.strip()
        example = bool(words) and (example or words.startswith(">>> "))
        if indent >= 0 and words and depth <= indent:
            indent = -1
        is_fence = words.startswith("```")
        is_directive = DIRECTIVE.match(line) is not None
        yield "" if indent >= 0 or example or fenced or is_fence or is_directive else line
        fenced ^= is_fence
        if indent < 0 and (is_directive or words.endswith("::")):
            indent = depth


def paragraphs(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield paragraphs, items of lists and headings, with the numbers of their first lines and their kinds."""
    gathered: list[str] = []
    first, indent, kind = 0, 0, "sentence"
    for number, line in enumerate([*source.split("\n"), ""], start=1):
        item = ITEM.match(line)
        is_line = UNDERLINE.match(line) is not None
        depth = len(line) - len(line.lstrip())
        if gathered and (not line.strip() or is_line or item or depth != indent):
            yield first, "\n".join(gathered), "heading" if is_line else kind
            gathered = []
        if line.strip() and not is_line:
            if not gathered:
                start = len(item[0]) if item else depth
                first, indent, kind = number, start, "heading" if line.startswith("#") else "sentence"
            gathered.append(line[indent:])
