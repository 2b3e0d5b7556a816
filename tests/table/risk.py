"""Entries of :mod:`dlcore.risk`."""

import math

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw

L = torch.tensor([1.0, 2.0, 4.0])
W = torch.tensor([2.0, 0.0, 1.0])
EMPTY = torch.ones(0)


def losses(generator: Generator) -> tuple[Tensor]:
    return (draw(generator, 8) ** 2,)


def weighted_losses(generator: Generator) -> tuple[Tensor, Tensor]:
    return draw(generator, 8) ** 2, draw(generator, 8).exp()


def pair_of_losses(generator: Generator) -> tuple[Tensor, Tensor]:
    return draw(generator, 5) ** 2, 4 + draw(generator, 8) ** 2


def refusals(name: str, before: tuple[Tensor, ...] = (), after: tuple[Tensor, ...] = ()) -> tuple[Refusal, ...]:
    """Return what every function refuses of losses."""
    rule = f"{name} must have shape (n,), one loss per example, got "
    return (
        Refusal(
            TypeError,
            f"{name} must be a real floating-point tensor, got torch.int64",
            (*before, torch.tensor([1, 2, 3]), *after),
        ),
        Refusal(ValueError, rule + "()", (*before, torch.tensor(1.0), *after)),
        Refusal(ValueError, rule + "(3, 1)", (*before, L.reshape(3, 1), *after)),
    )


def nothing(name: str, *args: Tensor) -> Refusal:
    return Refusal(ValueError, f"{name} must hold at least one example, got shape (0,)", args)


WEIGHTS = (
    Refusal(TypeError, "weights must be a real floating-point tensor, got torch.int64", (L, torch.tensor([1, 2, 3]))),
    Refusal(ValueError, "losses and weights must have the same shape, got (3,) and (2,)", (L, W[:2])),
    Refusal(
        ValueError,
        "losses and weights must have the same shape, got (3,) and (3, 1); "
        "weights.reshape(losses.shape) makes them agree",
        (L, W.reshape(3, 1)),
    ),
    Refusal(ValueError, "weights must be >= 0, got -0.5 at index 1", (L, torch.tensor([1.0, -0.5, 1.0]))),
    Refusal(ValueError, "weights must be >= 0, got nan at index 2", (L, torch.tensor([1.0, 0.5, math.nan]))),
    Refusal(
        ValueError,
        "weights must be finite and not all 0 to be divided by their sum",
        (L, torch.zeros(3)),
        {"normalize": True},
    ),
    Refusal(
        ValueError,
        "weights must be finite and not all 0 to be divided by their sum",
        (L, torch.tensor([1.0, math.inf, 1.0])),
        {"normalize": True},
    ),
)

ENTRIES = {
    "risk.empirical_risk": Entry(make=losses, empty=nothing("losses", EMPTY), refusals=refusals("losses")),
    "risk.importance_weighted_risk": Entry(
        make=weighted_losses,
        kwargs={"normalize": True},
        empty=nothing("losses", EMPTY, EMPTY),
        refusals=(*refusals("losses", after=(W,)), *WEIGHTS),
    ),
    "risk.standard_error": Entry(
        make=weighted_losses,
        kwargs={"normalize": True},
        empty=nothing("losses", EMPTY),
        refusals=(
            *refusals("losses"),
            *WEIGHTS,
            Refusal(ValueError, "losses must hold at least two examples, got shape (1,)", (L[:1],)),
        ),
    ),
    "risk.generalization_gap": Entry(
        make=pair_of_losses,
        empty=nothing("train_losses", EMPTY, L),
        refusals=(
            *refusals("train_losses", after=(L,)),
            *refusals("test_losses", before=(L,)),
            nothing("test_losses", L, EMPTY),
        ),
    ),
}
