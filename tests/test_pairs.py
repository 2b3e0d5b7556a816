"""A faster or safer implementation of a formula gives what the formula gives."""

import ast
from pathlib import Path

import pytest
import torch

from tests.table import pairs

LIBRARY = Path(__file__).parents[1] / "dlcore"
PAIRS = pairs()


def kept_ways() -> set[str]:
    """Return the name of every public function of the files that hold what is faster or safer."""
    names: set[str] = set()
    for path in [*LIBRARY.rglob("_fused.py"), *LIBRARY.rglob("_stable.py")]:
        module = ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
        definitions = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
        names |= {f"{module}.{node.name}" for node in definitions if not node.name.startswith("_")}
    return names


def test_every_kept_way_has_its_formula() -> None:
    assert set(PAIRS) == kept_ways()


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_kept_way_equals_the_formula(name: str) -> None:
    pair = PAIRS[name]
    assert pair.arguments

    for arguments in pair.arguments:
        kept, formula = pair.kept(*arguments), pair.formula(*arguments)

        torch.testing.assert_close(kept, formula, rtol=pair.tolerance, atol=pair.tolerance)
