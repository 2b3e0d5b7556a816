"""Entries of :mod:`dlcore.likelihood`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw, normal

X = torch.zeros(3)
INTEGERS = Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (torch.tensor([3, -4]),))
COLUMN = "{} must broadcast to the shape of x, got (3, 1) for (3,); {}.reshape(x.shape) makes them agree".format


def location_and_scale(generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    return draw(generator, 3, 4), draw(generator, 4), draw(generator, 3, 1).abs() + 0.5


def positional(scale: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let the parameters be passed as the tensors they may be."""
    return lambda f: lambda x, *parameters: f(x, **dict(zip(("mean", scale), parameters, strict=False)))


def refusals(scale: str) -> tuple[Refusal, ...]:
    return (
        INTEGERS,
        Refusal(TypeError, "mean must be a real number, got '0'", (X,), {"mean": "0"}),
        Refusal(TypeError, f"{scale} must be a real number, got None", (X,), {scale: None}),
        Refusal(
            TypeError,
            f"{scale} must be a real floating-point tensor, got torch.int64",
            (X,),
            {scale: torch.tensor(1)},
        ),
        Refusal(ValueError, f"{scale} must be > 0, got 0.0", (X,), {scale: 0.0}),
        Refusal(ValueError, f"{scale} must be > 0, got nan", (X,), {scale: float("nan")}),
        Refusal(
            ValueError,
            f"{scale} must be > 0, got -1.0 at index 1",
            (X,),
            {scale: torch.tensor([1.0, -1.0, 0.0])},
        ),
        Refusal(ValueError, f"{scale} must be > 0, got 0.0 at index 2", (X,), {scale: torch.tensor([1.0, 2.0, 0.0])}),
        Refusal(ValueError, COLUMN("mean", "mean"), (X,), {"mean": torch.zeros(3, 1)}),
        Refusal(ValueError, COLUMN(scale, scale), (X,), {scale: torch.ones(3, 1)}),
        Refusal(
            ValueError,
            "mean must broadcast to the shape of x, got (2,) for (3,)",
            (X,),
            {"mean": torch.zeros(2)},
        ),
    )


EMPTY = (torch.ones(0, 4),), (0, 4)

ENTRIES = {
    "likelihood.normal_density": Entry(
        make=location_and_scale, adapt=positional("std"), empty=EMPTY, refusals=refusals("std")
    ),
    "likelihood.normal_log_density": Entry(
        make=location_and_scale, adapt=positional("std"), empty=EMPTY, refusals=refusals("std")
    ),
    "likelihood.laplace_log_density": Entry(
        make=location_and_scale, adapt=positional("scale"), empty=EMPTY, refusals=refusals("scale")
    ),
    "likelihood.negative_log_likelihood": Entry(
        make=normal(3, 4),
        empty=((torch.ones(0, 4),), ()),
        refusals=(
            Refusal(
                TypeError,
                "log_densities must be a real floating-point tensor, got torch.int64",
                (torch.tensor([3, -4]),),
            ),
        ),
    ),
}
