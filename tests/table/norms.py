"""Entries of :mod:`dlcore.norms`."""

import torch

from . import Entry, Refusal, normal

X = torch.tensor([3.0, -4.0])
INTEGERS = Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (torch.tensor([3, -4]),))
VECTOR = Refusal(ValueError, "x must have shape (*, m, n), got (2,)", (X,))

ENTRIES = {
    "norms.lp_norm": Entry(
        make=normal(3, 4),
        kwargs={"p": 3.0, "dim": 1},
        empty=((torch.ones(0, 4),), (0,)),
        refusals=(
            INTEGERS,
            Refusal(TypeError, "p must be a real number, got 'fro'", (X, "fro")),
            Refusal(ValueError, "p must be > 0, got 0", (X, 0)),
            Refusal(ValueError, "p must be > 0, got -1.0", (X, -1.0)),
            Refusal(ValueError, "p must be > 0, got nan", (X, float("nan"))),
        ),
    ),
    "norms.l1_norm": Entry(
        make=normal(3, 4), kwargs={"dim": 1}, empty=((torch.ones(0, 4),), (0,)), refusals=(INTEGERS,)
    ),
    "norms.l2_norm": Entry(
        make=normal(3, 4), kwargs={"dim": 1}, empty=((torch.ones(0, 4),), (0,)), refusals=(INTEGERS,)
    ),
    "norms.max_norm": Entry(
        make=normal(3, 4), kwargs={"dim": 1}, empty=((torch.ones(0, 4),), (0,)), refusals=(INTEGERS,)
    ),
    "norms.frobenius_norm": Entry(
        make=normal(2, 3, 4), empty=((torch.ones(0, 3, 4),), (0,)), refusals=(INTEGERS, VECTOR)
    ),
    "norms.spectral_norm": Entry(
        make=normal(2, 3, 4), empty=((torch.ones(0, 3, 4),), (0,)), refusals=(INTEGERS, VECTOR)
    ),
    "norms.nuclear_norm": Entry(
        make=normal(2, 3, 4), empty=((torch.ones(0, 3, 4),), (0,)), refusals=(INTEGERS, VECTOR)
    ),
}
