"""What holds for the text of every tutorial, and scripts with a fault each, to see that it is found."""

import ast
import re
from pathlib import Path

import pytest

from tests.library import public_functions
from tests.tutorials import SCRIPTS, cells, faults, lines_of, name_of, settings

GOOD = '''\
r"""
Title
=====

Text.
"""

import matplotlib.pyplot as plt

# Change these numbers and run the script again.
seed = 0
lr = 0.1
name = "digits"
claims = {}

# %%
# Text.

loss = lr * seed
losses = [loss, len(name)]
assert loss <= 0.1, "a step is no longer than the learning rate"
claims["The loss is small"] = loss < 1
claims[f"The loss of {name} is 0"] = loss == 0
for i in range(3):
    losses.append(i)
    losses.append(loss)
losses.sort()

# Figure
fig, ax = plt.subplots(figsize=(5, 3))
fig.set_label(
    "A line."
)
plt.show()

# %%
# Exercises
# ---------
#
# What is 1 + 1?

# Solution
total = 1 + 1
assert total == 2, "one and one are two"

# %%
# What is 1 + 2?

# Solution
claims["One and two are three"] = 1 + 2 == 3

# %%
# With other settings, the script tells what no longer holds.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
'''
FAULTS = {
    "first cell: imports": ("seed = 0\nlr = 0.1\n", "seed = 0\n"),
    "first cell: no setting is called seed": ("seed", "start"),
    "setting lr is not used": ("loss = lr *", "loss = 0 *"),
    "setting lr is overwritten": ("loss = lr * seed", "loss = lr * seed\nlr = 2"),
    "last cell": ("No longer true", "False"),
    "no claim": ("claims[", "results["),
    "claim 'The loss is small' is made twice": ('f"The loss of {name} is 0"', '"The loss is small"'),
    "claim 'small' is not a sentence": ("The loss is small", "small"),
    "claim 'It is small.' is not a sentence": ("The loss is small", "It is small."),
    "claim name is not a sentence": ('"The loss is small"', "name"),
    "no message: assert total == 2": (', "one and one are two"', ""),
    "8 of 28 lines draw": ("plt.show()", "x = 1\n" * 6 + "plt.show()"),
    "plt outside of": ("# Figure\n", ""),
    "ax outside of": ("losses.sort()", "ax = 1"),
    "a figure of 7 inches": ("(5, 3)", "(7, 3)"),
    "text of another size": ("plt.show()", "ax.set_title('x', fontsize=8)\nplt.show()"),
    "there must be one section": ("# Exercises\n# ---------\n", "# Questions\n# ---------\n"),
    "exercises: each text": ("# What is 1 + 1?", "# What is 1 + 1?\n\n# %%\n# More."),
    "1 exercises, not 2 to 4": (
        '# %%\n# What is 1 + 2?\n\n# Solution\nclaims["One and two are three"] = 1 + 2 == 3\n',
        "",
    ),
    "solution 1 does not begin": ("# Solution\ntotal", "total"),
    "solution 1 checks nothing": ('assert total == 2, "one and one are two"', ""),
}


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_tutorial_has_its_form(script: Path) -> None:
    assert list(faults(script)) == []


def test_script_without_faults_has_none(tmp_path: Path) -> None:
    script = tmp_path / "plot.py"
    script.write_text(GOOD)

    assert list(faults(script)) == []
    assert settings(GOOD.partition('"""\n\n')[2]) == {"seed": 0, "lr": 0.1, "name": "digits"}
    assert lines_of([cell for kind, cell in cells(script) if kind == "code"]) == (22, 2)


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    script = tmp_path / "plot.py"
    old, new = FAULTS[fault]
    script.write_text(GOOD.replace(old, new))

    found = list(faults(script))

    assert old in GOOD
    assert any(re.match(re.escape(fault), text) for text in found), found


def functions_used(code: str) -> set[str]:
    """Return the public functions that a piece of code names, like ``norms.lp_norm``; prose does not count."""
    named = {ast.unparse(node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    return {name for name in public_functions() if ".".join(name.split(".")[-2:]) in named}


def test_every_function_is_used_in_a_tutorial() -> None:
    used = functions_used("\n".join(script.read_text(encoding="utf-8") for script in SCRIPTS))
    in_place = {f"{name}_" for name in used}  # the same in a tensor of the caller

    missing = public_functions().keys() - used - in_place
    assert missing == set(), "use them in code where they teach something; a link in the text is not enough"


def test_a_function_that_is_only_mentioned_is_not_used() -> None:
    code = '"""See :func:`dlcore.norms.l1_norm`."""\nx = norms.l2_norm(a)  # not norms.max_norm\ny = label.bbse'

    assert functions_used(code) == {"norms.l2_norm", "shift.label.bbse"}
