"""The page of a function or class: an import that runs, its evidence and equivalents, and sections with anchors.

numpydoc writes a docstring as one block without headings, with the errors above the examples. Here each part becomes a
section of the page, so that "On this page" lists it, and the examples come before the errors.
"""

import ast
import builtins
import doctest
import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

from docutils import nodes
from equivalents import Row, sentences
from evidence import Evidence, badge
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.transforms import SphinxTransform
from translated import message

MEMBERS = message("Methods and properties")
LAST = ("Raises", "Warns", "See also", "References")  # the other parts keep their order, above these


def imports(module: str, name: str, names_of: Mapping[str, list[str]]) -> list[str]:
    """Return the lines that import a public name, and all that the examples in its docstring use without an import."""
    value = inspect.unwrap(getattr(importlib.import_module(module), name))
    scope = vars(sys.modules[value.__module__])
    plain: set[str] = set()
    public: dict[str, set[str]] = {module: {name}}
    for used in sorted(free_names(value.__doc__ or "")):
        found = scope.get(used)
        home = next((home for home in (module, *names_of) if used in names_of[home]), None)
        if isinstance(found, ModuleType):
            plain.add(f"import {found.__name__}" + ("" if found.__name__ == used else f" as {used}"))
        elif home:
            public.setdefault(home, set()).add(used)
    return sorted(plain) + [f"from {home} import {', '.join(sorted(names))}" for home, names in public.items()]


def free_names(docstring: str) -> set[str]:
    """Return the names that the examples of a docstring use and do not define."""
    code = ast.parse("".join(example.source for example in doctest.DocTestParser().get_examples(docstring)))
    names = [node for node in ast.walk(code) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(vars(builtins))
    for node in ast.walk(code):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    return {node.id for node in names} - bound


def box(kind: str, lines: list[str]) -> str:
    """Return a container with a paragraph for each line, or nothing if there are none."""
    return "\n".join([f".. container:: {kind}", "", *(f"   {line}\n" for line in lines), ""]) if lines else ""


class Sections(SphinxTransform):
    """Turn the parts of a docstring into sections of its page, below what the page says of the whole function."""

    default_priority: ClassVar[int] = 10  # before titles are translated

    def apply(self, **_: Any) -> None:  # noqa: ANN401
        """Change the page of a function or class; leave all others as they are."""
        page = next(iter(self.document.findall(nodes.section)), None)
        described = [node for node in page or () if isinstance(node, addnodes.desc)]
        if page is None or len(described) != 1 or not self.env.docname.startswith("api/"):
            return
        content = next(node for node in described[0] if isinstance(node, addnodes.desc_content))
        found = parts(content)
        end = next((i for i, node in enumerate(page) if isinstance(node, nodes.section)), len(page))
        page[end:end] = [self.section(title, body) for title, body in sorted(found, key=place)]

    def section(self, title: nodes.title, body: list[nodes.Node]) -> nodes.section:
        """Return a section with an anchor."""
        section = nodes.section("", title, *body, names=[nodes.fully_normalize_name(title.astext())])
        section["ids"] = [nodes.make_id(title.astext())]
        self.document.ids[section["ids"][0]] = section
        return section


def place(part: tuple[nodes.title, list[nodes.Node]]) -> int:
    """Return the place of a part on the page; parts with the same place stay in the order of the docstring."""
    title = part[0].astext()
    return LAST.index(title) + 2 if title in LAST else title == _(MEMBERS)


def parts(content: addnodes.desc_content) -> list[tuple[nodes.title, list[nodes.Node]]]:
    """Take the parts of a docstring out of its block, and return the title and the content of each."""
    found: list[tuple[nodes.title, list[nodes.Node]]] = []
    members: list[nodes.Node] = []
    for node in list(content):
        if isinstance(node, nodes.field_list):
            found += [(heading(field[0], field[0].astext()), list(field[1])) for field in node]
        elif isinstance(node, addnodes.seealso):
            found.append((heading(node, "See also"), list(node)))
        elif isinstance(node, nodes.rubric):
            found.append((heading(node, node.astext()), []))
        elif isinstance(node, addnodes.desc | addnodes.index):
            members.append(node)
        elif found and not isinstance(node, nodes.comment):
            found[-1][1].append(node)
        else:
            continue
        content.remove(node)
    if any(isinstance(node, addnodes.desc) for node in members):
        found.append((heading(content, str(_(MEMBERS))), members))
    return found


def heading(origin: nodes.Element, text: str) -> nodes.title:
    """Return the title of a section, with the place in the source that messages and translations name."""
    title = nodes.title(text, text)
    title.source, title.line = origin.source, origin.line
    return title


def about(
    names_of: Mapping[str, list[str]], verified: Evidence, rows: Sequence[Row]
) -> dict[str, dict[str, list[str] | str]]:
    """Return, for the full name of each function and class, what its page shows above and below the signature."""
    found: dict[str, dict[str, list[str] | str]] = {}
    for module, names in names_of.items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            if not inspect.ismodule(value):
                short = f"{module}.{name}".removeprefix("dlcore.")
                badges = [badge(short, verified)] if inspect.isfunction(value) else []
                below = box("tested", badges) + box("elsewhere", list(sentences(short, rows)))
                found[f"{module}.{name}"] = {"imports": imports(module, name, names_of), "below": below}
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform."""
    app.add_transform(Sections)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
