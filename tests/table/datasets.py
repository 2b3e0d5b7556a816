"""Entries of :mod:`dlcore.datasets`."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw, normal
from .init import RANDOM

W = torch.ones(2)
INTEGERS = torch.tensor([2, -4])


def targets(dataset: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the targets, drawn from one seed."""
    return lambda *args, **kwargs: dataset(*args, **kwargs, generator=Generator().manual_seed(0)).y


def target_sample(dataset: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the sample of the target, drawn from one seed."""
    return lambda mean, n=4: dataset(5, n, mean=mean, std=1.5, generator=Generator().manual_seed(0)).target


def vector_and_scalar(generator: Generator) -> tuple[Tensor, Tensor, int]:
    return draw(generator, 3), draw(generator), 5


def vector_and_count(generator: Generator) -> tuple[Tensor, int]:
    return draw(generator, 3), 5


def kinds(name: str, *rest: object) -> tuple[Refusal, ...]:
    wrong = f"{name} must be "
    return (
        Refusal(TypeError, f"{wrong}a real floating-point tensor, got torch.int64", (INTEGERS, *rest)),
        Refusal(TypeError, f"{wrong}a real floating-point tensor, got torch.int64", (np.array([2, -4]), *rest)),
        Refusal(TypeError, f"{wrong}a torch.Tensor, got list", ([2.0], *rest)),
        Refusal(ValueError, f"{wrong}a vector, got shape (1, 2)", (torch.ones(1, 2), *rest)),
    )


def noise(*args: object) -> tuple[Refusal, ...]:
    return (
        Refusal(TypeError, "noise_std must be a real number, got None", args, {"noise_std": None}),
        Refusal(ValueError, "noise_std must be >= 0 and finite, got -1.0", args, {"noise_std": -1.0}),
        Refusal(ValueError, "noise_std must be >= 0 and finite, got inf", args, {"noise_std": math.inf}),
    )


ENTRIES = {
    "datasets.linear_regression": Entry(
        make=vector_and_scalar,
        adapt=targets,
        empty=((torch.ones(3), torch.ones(()), 0), (0,)),
        refusals=(
            *kinds("weight", 0.5, 3),
            *noise(W, 0.5, 3),
            Refusal(TypeError, "bias must be a real number, got None", (W, None, 3)),
            Refusal(TypeError, "bias must be a real floating-point tensor, got torch.int64", (W, torch.tensor(1), 3)),
            Refusal(ValueError, "bias must have shape (), got (1,)", (W, torch.ones(1), 3)),
            Refusal(TypeError, "n must be an integer, got 3.0", (W, 0.5, 3.0)),
            Refusal(ValueError, "n must be >= 0, got -1", (W, 0.5, -1)),
        ),
        exempt={name: RANDOM[name] for name in ("vmap", "compile")},
    ),
    "datasets.polynomial_regression": Entry(
        make=vector_and_count,
        adapt=targets,
        empty=((torch.ones(3), 0), (0,)),
        refusals=(
            *kinds("coefficients", 3),
            *noise(W, 3),
            Refusal(TypeError, "n must be an integer, got 3.0", (W, 3.0)),
            Refusal(ValueError, "n must be >= 0, got -1", (W, -1)),
        ),
        exempt=RANDOM,
    ),
    "datasets.gaussian_shift": Entry(
        make=normal(3),
        adapt=target_sample,
        empty=((torch.ones(3), 0), (0, 3)),
        refusals=(
            Refusal(
                TypeError, "mean must be a real floating-point tensor, got torch.int64", (3, 3), {"mean": INTEGERS}
            ),
            Refusal(TypeError, "mean must be a torch.Tensor, got float", (3, 3), {"mean": 1.0}),
            Refusal(ValueError, "mean must be a vector, got shape ()", (3, 3), {"mean": torch.tensor(1.0)}),
            Refusal(TypeError, "std must be a real number, got None", (3, 3), {"mean": W, "std": None}),
            Refusal(ValueError, "std must be > 0 and finite, got 0.0", (3, 3), {"mean": W, "std": 0.0}),
            Refusal(ValueError, "std must be > 0 and finite, got inf", (3, 3), {"mean": W, "std": math.inf}),
            Refusal(TypeError, "n_source must be an integer, got 3.0", (3.0, 3), {"mean": W}),
            Refusal(ValueError, "n_source must be >= 0, got -1", (-1, 3), {"mean": W}),
            Refusal(ValueError, "n_target must be >= 0, got -2", (3, -2), {"mean": W}),
        ),
        exempt={name: RANDOM[name] for name in ("vmap", "compile")},
    ),
}
