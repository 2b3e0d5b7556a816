"""Entries of :mod:`dlcore.regularization`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw, normal
from .init import RANDOM, SHAPES, of_a_shape, seeded

H = torch.ones(3)
NOT_A_PROBABILITY = "p must be in [0, 1], got {}".format


def weight_and_bias(generator: Generator) -> tuple[Tensor, Tensor]:
    return draw(generator, 3, 2), draw(generator, 2)


def of_a_mapping(penalty: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Take the penalty of a mapping with a list in it."""
    return lambda weight, bias: penalty({"weight": weight, "rest": [bias]})


def of_a_tensor(dropout_mask: Callable[..., Any]) -> Callable[..., Tensor]:
    """Multiply a tensor by a mask of its shape, dtype and device, drawn from one seed."""
    return of_a_shape()(seeded(dropout_mask))


PENALTY = Entry(
    make=weight_and_bias,
    adapt=of_a_mapping,
    empty=((torch.ones(0, 2), torch.ones(0)), ()),
    refusals=(
        Refusal(
            TypeError, "params[1] must be a real floating-point tensor, got torch.int64", ([H, torch.tensor([3, -4])],)
        ),
        Refusal(TypeError, "params['weight'] must be a torch.Tensor, got float", ({"weight": 1.0},)),
    ),
)

ENTRIES = {
    "regularization.dropout": Entry(
        make=normal(5, 4),
        kwargs={"p": 0.25},
        adapt=seeded,
        empty=((torch.ones(0, 4),), (0, 4)),
        refusals=(
            Refusal(TypeError, "h must be a real floating-point tensor, got torch.int64", (torch.tensor([3, -4]), 0.5)),
            Refusal(TypeError, "p must be a real number, got '0.5'", (H, "0.5")),
            Refusal(ValueError, NOT_A_PROBABILITY(-0.1), (H, -0.1)),
            Refusal(ValueError, NOT_A_PROBABILITY(1.5), (H, 1.5), {"training": False}),
            Refusal(ValueError, NOT_A_PROBABILITY("nan"), (H, math.nan)),
        ),
        exempt={name: RANDOM[name] for name in ("vmap", "compile")},
    ),
    "regularization.dropout_mask": Entry(
        make=normal(5, 4),
        kwargs={"p": 0.25},
        adapt=of_a_tensor,
        empty=((torch.ones(0, 4),), (0, 4)),
        refusals=(
            *(Refusal(r.error, r.message, (*r.args, 0.5), r.kwargs) for r in SHAPES),
            Refusal(TypeError, "p must be a real number, got None", (3, None)),
            Refusal(ValueError, NOT_A_PROBABILITY(-0.1), (3, -0.1)),
            Refusal(ValueError, NOT_A_PROBABILITY("nan"), (3, math.nan)),
        ),
        exempt={name: RANDOM[name] for name in ("vmap", "compile")},
    ),
    "regularization.l1_penalty": PENALTY,
    "regularization.l2_penalty": PENALTY,
}
