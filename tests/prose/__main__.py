"""Print what breaks a rule; the exit status tells whether anything does."""

import sys

from tests.prose import ROOT, RULES, faults, rules

found = list(faults(ROOT, rules(RULES.read_text(encoding="utf-8"))))
print("\n".join([*found, f"{len(found)} faults"]))
sys.exit(bool(found))
