"""What a reader has who copied a tutorial into an empty folder, and what then happens."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALONE = Path(__file__).with_name("alone.py")
REPORT = re.compile(r"^(\d+) figures, ([\d.]+) s$", re.MULTILINE)
INSTRUCTIONS = ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")  # set by tests-portable


def canonical(requirement: str) -> str:
    """Return the name of the distribution that a requirement names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def needed(requirements: Iterable[str]) -> set[str]:
    """Return the distributions that these requirements ask for, and those that they ask for in turn."""
    found: set[str] = set()
    waiting = [canonical(requirement) for requirement in requirements]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            try:
                asked = requires(name) or []
            except PackageNotFoundError:  # one for another platform
                continue
            waiting += [canonical(requirement) for requirement in asked if "extra ==" not in requirement]
    return found


@cache
def modules_a_reader_lacks() -> list[str]:
    """Return what is here but does not come with dlcore, matplotlib and scikit-learn; tests and docs are, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    has = needed([*project["dependencies"], "matplotlib", "scikit-learn"])
    installed = packages_distributions().items()
    lacks = {module for module, names in installed if not has & {canonical(name) for name in names}}
    return sorted((lacks | {path.stem for path in ROOT.iterdir()}) - {"dlcore"})


def run(folder: Path, *scripts: Path) -> "subprocess.CompletedProcess[str]":
    """Run scripts alone in a folder, without a screen, without settings, and on one core."""
    names = ("PATH", "HOME", "PYTHONPATH", "LD_LIBRARY_PATH", *INSTRUCTIONS)
    kept = {name: os.environ[name] for name in names if name in os.environ}
    settings = folder.parent / "matplotlibrc"
    settings.touch()
    environment = kept | {"MPLBACKEND": "Agg", "MATPLOTLIBRC": str(settings), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ALONE), *(script.name for script in scripts), "--", *modules_a_reader_lacks()]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
