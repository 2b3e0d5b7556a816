"""Run scripts like a reader who installed what they need and nothing else: ``python alone.py SCRIPT... -- MODULE...``.

The modules named are those that a reader lacks, and cannot be imported; the network refuses; a warning is an error; and
each figure is drawn in the default style of matplotlib. After its own output, each script has a line with the number of
its figures and its seconds, which for the first include the imports.
"""

import runpy
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from types import ModuleType


class Reader:
    """A finder of modules that finds what a reader has."""

    lacks = frozenset(sys.argv[sys.argv.index("--") + 1 :])
    find_distributions = PathFinder.find_distributions  # some packages ask for their own version

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as Python does, unless the reader lacks it."""
        return None if name.partition(".")[0] in cls.lacks else PathFinder.find_spec(name, path, target)


def refuse_network(event: str, args: tuple[object, ...]) -> None:
    """Let nothing be downloaded, whether or not names can be looked up here."""
    asked_for = {"socket.getaddrinfo": 0, "socket.connect": 1}
    if event in asked_for:
        raise ConnectionRefusedError(f"a tutorial downloads nothing, this one asks for {args[asked_for[event]]}")


def main(scripts: Sequence[str]) -> None:
    """Run each script, draw its figures, and print how many there are and how long it took."""
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Reader]
    sys.path.pop(0)  # the folder of this file
    sys.addaudithook(refuse_network)
    import matplotlib.pyplot as plt  # noqa: PLC0415  # now that it is found as the script would find it

    warnings.simplefilter("error")
    for between_packages in (DeprecationWarning, PendingDeprecationWarning):
        warnings.simplefilter("ignore", between_packages)  # Python shows them to nobody either
    start = 0.0
    for script in scripts:
        runpy.run_path(script, run_name="__main__")
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
        end = time.process_time()
        print(f"{len(plt.get_fignums())} figures, {end - start:.1f} s", flush=True)
        plt.close("all")
        start = end


if __name__ == "__main__":
    main(sys.argv[1 : sys.argv.index("--")])
