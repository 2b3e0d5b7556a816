"""Inventories for intersphinx from short lists in the repository, so that a build needs no network.

``_inventories/PROJECT.txt`` lists the names that the pages of this site mention. Its first line is the address of the
project's documentation. A line with a kind and a page (``$`` stands for the name) is followed by names, one per line::

    https://docs.pytorch.org/docs/stable/

    function generated/$.html#$
      torch.softmax

A name that a docstring mentions but no list contains fails the build; add a line for it.
"""

import zlib
from pathlib import Path

HEADER = """\
# Sphinx inventory version 2
# Project: {project}
# Version:
# The remainder of this file is compressed using zlib.
"""


def mapping(lists: Path, compiled: Path) -> dict[str, tuple[str, str]]:
    """Compile every list, and return the setting ``intersphinx_mapping`` for the results."""
    compiled.mkdir(parents=True, exist_ok=True)
    projects: dict[str, tuple[str, str]] = {}
    for source in sorted(lists.glob("*.txt")):
        address, entries = read(source)
        target = compiled / f"{source.stem}.inv"
        content = HEADER.format(project=source.stem).encode() + zlib.compress("\n".join(entries).encode() + b"\n", 9)
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)
        projects[source.stem] = (address, str(target))
    return projects


def types(lists: Path, own: dict[str, list[str]]) -> dict[str, str]:
    """Return the links for types that docstrings name: types of dlcore and of the lists, and no others.

    ``own`` maps each module of dlcore to its names.
    """
    dotted = [entry.split()[0] for source in lists.glob("*.txt") for entry in read(source)[1] if " py:" in entry]
    return {
        **{name: f":obj:`{name}`" for name in dotted if "." in name},
        **{name: f":obj:`~{module}.{name}`" for module, names in own.items() for name in names if name[0].isupper()},
        "Tensor": ":obj:`~torch.Tensor`",
        "Generator": ":obj:`~torch.Generator`",
        "bool": ":obj:`python:bool`",
        "callable": ":obj:`callable <python:callable>`",
    }


def read(source: Path) -> tuple[str, list[str]]:
    """Return the address on the first line of a list, and its entries in the format of an inventory."""
    address, *lines = (line for line in source.read_text(encoding="utf-8").splitlines() if line.strip())
    kind = page = ""
    entries: list[str] = []
    for line in lines:
        if line.startswith(" "):
            name = line.strip()
            role = kind if ":" in kind else f"py:{kind}"
            entries.append(f"{name} {role} 1 {page.replace('$', name)} -")
        else:
            kind, page = line.split()
    return address.strip(), entries
