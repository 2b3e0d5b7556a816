"""Rerun a tutorial if the library code that it uses changed; sphinx-gallery checks only the script itself."""

import hashlib
import json
from pathlib import Path

import library_code


def forget(scripts: Path, built: Path, *others: Path, root: Path = library_code.ROOT) -> list[str]:
    """Mark scripts as not built if the library code that they use changed, and return their names.

    ``others`` are files on which every tutorial depends, such as the style of the figures.
    """
    notes = built / "library.json"
    before = json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {}
    style = "".join(hashlib.sha256(other.read_bytes()).hexdigest()[:16] for other in others)
    now = {
        script.relative_to(scripts).as_posix(): library_code.digest(library_code.imports(script, root), root) + style
        for script in sorted(scripts.glob("**/plot_*.py"))
    }
    outdated = [name for name, state in now.items() if before.get(name) != state]
    for name in outdated:
        (built / f"{name}.md5").unlink(missing_ok=True)
    built.mkdir(exist_ok=True)
    notes.write_text(json.dumps(now, indent=1), encoding="utf-8")
    return outdated
