"""Entries of :mod:`dlcore.norms`."""

import torch

from dlcore.norms import _fused, _stable

from . import Entry, Pair, Refusal, normal

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

MIXED = torch.tensor([[3.0, -4.0, 0.0], [0.5, 2.0, -1.0]])
LONG = torch.linspace(-2, 2, 300_001)
SHORT_VECTORS = tuple(
    (MIXED, p, dim, keepdim) for p in (0.5, 2.0, 3.0) for dim in (None, 1, (0, 1)) for keepdim in (False, True)
)
VECTORS = (
    *SHORT_VECTORS,
    *((LONG, p, None, False) for p in (0.5, 2.0, 2.5)),
    *((LONG[None], p, 1, True) for p in (2.0, 2.5)),
)


def lp_norm(x: torch.Tensor, p: float, dim: int | tuple[int, ...] | None, keepdim: bool) -> torch.Tensor:
    """Compute the norm by its formula, in double precision."""
    return x.double().abs().pow(p).sum(dim=dim, keepdim=keepdim).pow(1 / p).to(x.dtype)


PAIRS = {
    "norms._fused.fused_norm": Pair(kept=_fused.fused_norm, formula=lp_norm, arguments=VECTORS),
    "norms._fused.short_norm": Pair(kept=_fused.short_norm, formula=lp_norm, arguments=SHORT_VECTORS),
    "norms._stable.rescaled_norm": Pair(kept=_stable.rescaled_norm, formula=lp_norm, arguments=VECTORS),
    "norms._stable.powers": Pair(
        kept=_stable.powers, formula=lambda x, p: x.abs().pow(p), arguments=((MIXED, 0.5), (MIXED, 3.0))
    ),
}
