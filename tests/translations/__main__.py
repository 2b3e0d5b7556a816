"""Update the catalogues, and list the messages without a translation and those that break a rule.

``tox run -e translations`` does so after ``tox run -e docs``, which runs the tutorials. Commit the catalogues that it
changes, translated or not: the site shows the English text of a message that is not translated yet. With ``--check``,
nothing is written, and gaps are an error only on a release, a commit with a tag such as v1.2.
"""

import argparse
import subprocess
import sys

from . import catalogues

LANGUAGE = "zh_CN"


def is_release() -> bool:
    """Tell whether a version is tagged at the current commit."""
    command = ["git", "tag", "--points-at", "HEAD", "--list", "v*"]
    return bool(subprocess.run(command, cwd=catalogues.ROOT, capture_output=True, text=True, check=True).stdout.strip())


def main() -> None:
    """Update, and tell what is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.translations", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; gaps are an error only on a release")
    arguments = parser.parse_args()
    catalogues.extract_pages()
    found = catalogues.updated(LANGUAGE)
    if not arguments.check:
        for domain, catalogue in found.items():
            catalogues.write(catalogue, catalogues.folder(LANGUAGE) / f"{domain}.po")
    missing = list(catalogues.gaps(found))
    broken = [f"{domain}: {fault}" for domain, catalogue in found.items() for fault in catalogues.broken(catalogue)]
    print("\n".join([*missing, *broken]))
    n_messages = sum(len(catalogue) for catalogue in found.values())
    print(f"{n_messages} messages, {len(missing)} gaps, {len(broken)} faults")
    sys.exit(bool(broken or (missing and is_release())))


if __name__ == "__main__":
    main()
