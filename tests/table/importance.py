"""Entries of :mod:`dlcore.importance`."""

import math
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw

W = torch.tensor([1.0, 2.0])
EMPTY = torch.ones(0)


def weights(generator: Generator) -> tuple[Tensor]:
    return (draw(generator, 60).exp(),)


def as_tensor(diagnose: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the numbers of the report."""
    return lambda w: torch.tensor(astuple(diagnose(w)))


def of_values(quantile: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the quantile as a function of the values alone: it has no gradient in the weights."""
    return lambda x, **kwargs: quantile(x, torch.arange(x.shape[0], device=x.device).to(x.dtype), **kwargs)


def refusals(rule: str = ">= 0 and finite", **kwargs: float) -> tuple[Refusal, ...]:
    """Return what every function refuses of its weights."""
    return (
        Refusal(TypeError, "w must be a real floating-point tensor, got torch.int64", (W.long(),), kwargs),
        Refusal(TypeError, "w must be a torch.Tensor, got list", ([1.0, 2.0],), kwargs),
        Refusal(ValueError, "w must have shape (n,), got (2, 1)", (W.reshape(2, 1),), kwargs),
        Refusal(ValueError, f"w must be {rule}, got -0.5 at index 1", (torch.tensor([1.0, -0.5]),), kwargs),
        Refusal(ValueError, f"w must be {rule}, got nan at index 0", (torch.tensor([math.nan, 1.0]),), kwargs),
    )


INFINITE = Refusal(ValueError, "w must be >= 0 and finite, got inf at index 0", (torch.tensor([math.inf, 1.0]),))
NUMBERS = "a report holds Python numbers, which need the values of the weights and have no gradient"

ENTRIES = {
    "importance.effective_sample_size": Entry(make=weights, empty=((EMPTY,), ()), refusals=(*refusals(), INFINITE)),
    "importance.pareto_shape": Entry(
        make=weights,
        empty=((EMPTY,), ()),
        refusals=(*refusals(), INFINITE),
        tolerance=256.0,  # the tail's excess over its threshold is a difference, and its logarithm is what counts
    ),
    "importance.clip_weights": Entry(
        make=weights,
        kwargs={"maximum": 1.5},
        empty=((EMPTY,), (0,)),
        refusals=(
            *refusals(rule=">= 0", maximum=1.5),
            Refusal(TypeError, "maximum must be a real number, got None", (W,), {"maximum": None}),
            Refusal(ValueError, "maximum must be > 0, got 0.0", (W,), {"maximum": 0.0}),
            Refusal(ValueError, "maximum must be > 0, got nan", (W,), {"maximum": math.nan}),
        ),
    ),
    "importance.normalize_weights": Entry(
        make=weights,
        empty=Refusal(ValueError, "w must be finite and not all 0 to be divided by their sum", (EMPTY,)),
        refusals=(
            *refusals(),
            INFINITE,
            Refusal(ValueError, "w must be finite and not all 0 to be divided by their sum", (torch.zeros(2),)),
        ),
    ),
    "importance.normalize_log_weights": Entry(
        make=lambda generator: (draw(generator, 60),),
        empty=Refusal(ValueError, "log_w must have a finite entry", (EMPTY,)),
        refusals=(
            Refusal(TypeError, "log_w must be a real floating-point tensor, got torch.int64", (W.long(),)),
            Refusal(ValueError, "log_w must have shape (n,), got (2, 1)", (W.reshape(2, 1),)),
            Refusal(ValueError, "log_w must be < inf, got nan at index 0", (torch.tensor([math.nan, 1.0]),)),
            Refusal(ValueError, "log_w must be < inf, got inf at index 1", (torch.tensor([0.0, math.inf]),)),
            Refusal(ValueError, "log_w must have a finite entry", (torch.tensor([-math.inf]),)),
        ),
    ),
    "importance.pareto_smoothed_weights": Entry(
        make=weights,
        empty=((EMPTY,), (0,)),
        refusals=(*refusals(), INFINITE),
        tolerance=256.0,  # as of pareto_shape
    ),
    "importance.weighted_quantile": Entry(
        make=lambda generator: (draw(generator, 60),),
        kwargs={"level": 0.5},
        adapt=of_values,
        empty=Refusal(
            ValueError, "w must be finite and not all 0 to be divided by their sum", (EMPTY, EMPTY), {"level": 0.5}
        ),
        refusals=(
            Refusal(
                TypeError, "w must be a real floating-point tensor, got torch.int64", (W, W.long()), {"level": 0.5}
            ),
            Refusal(
                TypeError,
                "x must have the dtype of w, torch.float32, got torch.float64",
                (W.double(), W),
                {"level": 0.5},
            ),
            Refusal(TypeError, "level must be a real number, got '1'", (W, W), {"level": "1"}),
            Refusal(ValueError, "level must be in [0, 1], got 1.5", (W, W), {"level": 1.5}),
            Refusal(ValueError, "w must be >= 0 and finite, got -1.0 at index 0", (W, -W), {"level": 0.5}),
            Refusal(
                ValueError, "w must be finite and not all 0 to be divided by their sum", (W, 0 * W), {"level": 0.5}
            ),
            Refusal(
                ValueError,
                "x must be a number where w > 0, got nan at index 0",
                (torch.tensor([math.nan, 1.0]), W),
                {"level": 0.5},
            ),
        ),
    ),
    "importance.flatten_weights": Entry(
        make=weights,
        kwargs={"exponent": 0.5},
        empty=((EMPTY,), (0,)),
        refusals=(
            *refusals(exponent=0.5),
            Refusal(TypeError, "exponent must be a real number, got '1'", (W,), {"exponent": "1"}),
            Refusal(ValueError, "exponent must be in [0, 1], got -0.5", (W,), {"exponent": -0.5}),
            Refusal(ValueError, "exponent must be in [0, 1], got 1.5", (W,), {"exponent": 1.5}),
        ),
    ),
    "importance.diagnose": Entry(
        make=weights,
        adapt=as_tensor,
        empty=Refusal(ValueError, "w must hold at least one weight, got shape (0,)", (EMPTY,)),
        refusals=(*refusals(), INFINITE),
        exempt=dict.fromkeys(("gradient", "func_grad", "vmap", "dtypes", "meta"), NUMBERS),
    ),
}
