"""Entries of :mod:`dlcore.information`."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw

P = torch.tensor([0.5, 0.5])
NEGATIVE = torch.tensor([0.0, 1.5, -0.5])


def distributions(*shape: int, n: int = 1) -> Callable[[Generator], tuple[Tensor, ...]]:
    return lambda generator: tuple(draw(generator, *shape).softmax(-1) for _ in range(n))


def joint(generator: Generator) -> tuple[Tensor]:
    return (draw(generator, 2, 12).softmax(-1).reshape(2, 3, 4),)


def refusals(name: str, *valid: Tensor) -> tuple[Refusal, ...]:
    """Return what every function refuses of its first argument and of its base."""
    return (
        Refusal(TypeError, f"{name} must be a real floating-point tensor, got torch.int64", (P.long(), *valid[1:])),
        Refusal(TypeError, "base must be a real number, got '2'", valid, {"base": "2"}),
        Refusal(ValueError, "base must be > 1, got 1", valid, {"base": 1}),
        Refusal(ValueError, "base must be > 1, got nan", valid, {"base": float("nan")}),
    )


NO_DIMENSION = Refusal(ValueError, "p must have shape (*, n), got ()", (torch.tensor(1.0),))
NEGATIVE_P = Refusal(ValueError, "p must be >= 0, got -0.5 at index 2", (NEGATIVE,))
PAIR = (
    *refusals("p", P, P),
    Refusal(TypeError, "q must be a real floating-point tensor, got torch.int64", (P, P.long())),
    Refusal(ValueError, "p must have shape (*, n), got ()", (torch.tensor(1.0), torch.tensor(1.0))),
    Refusal(ValueError, "p and q must have the same shape, got (2, 2) and (2,)", (torch.eye(2), P)),
    Refusal(ValueError, "p must be >= 0, got -0.5 at index 2", (NEGATIVE, NEGATIVE.abs())),
    Refusal(ValueError, "q must be >= 0, got -0.5 at index 2", (NEGATIVE.abs(), NEGATIVE)),
    Refusal(ValueError, "q must be >= 0, got -0.5 at index 2", (NEGATIVE.clamp(min=0), NEGATIVE)),
)

ENTRIES = {
    "information.surprisal": Entry(
        make=distributions(3, 4),
        empty=((torch.ones(0, 4),), (0, 4)),
        refusals=(*refusals("p", P), NEGATIVE_P),
    ),
    "information.entropy": Entry(
        make=distributions(3, 4),
        empty=((torch.ones(0, 4),), (0,)),
        refusals=(*refusals("p", P), NO_DIMENSION, NEGATIVE_P),
    ),
    "information.cross_entropy": Entry(
        make=distributions(3, 4, n=2), empty=((torch.ones(0, 4), torch.ones(0, 4)), (0,)), refusals=PAIR
    ),
    "information.kl_divergence": Entry(
        make=distributions(3, 4, n=2), empty=((torch.ones(0, 4), torch.ones(0, 4)), (0,)), refusals=PAIR
    ),
    "information.mutual_information": Entry(
        make=joint,
        empty=((torch.ones(0, 3, 4),), (0,)),
        refusals=(
            *refusals("joint", torch.eye(2) / 2),
            Refusal(ValueError, "joint must have shape (*, m, n), got (2,)", (P,)),
            Refusal(ValueError, "joint must be >= 0, got -0.5 at index (0, 2)", (NEGATIVE.reshape(1, 3),)),
        ),
    ),
    "information.perplexity": Entry(
        make=distributions(3, 4),
        empty=((torch.ones(0, 4),), (0,)),
        refusals=(*refusals("p", P)[:1], NO_DIMENSION, NEGATIVE_P),
    ),
}
