"""Entries of :mod:`dlcore.init`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, normal


def of_a_shape(**given: Any) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Multiply a tensor by weights of its shape, dtype and device."""
    return lambda init: lambda x, **kwargs: x * init(x.shape, **given, **kwargs, dtype=x.dtype, device=x.device)


def seeded(init: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Draw the weights from one seed."""
    return lambda *args, **kwargs: init(*args, **kwargs, generator=Generator().manual_seed(0))


def of_a_layer(init: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Multiply a tensor by weights of its shape, dtype and device, drawn from one seed."""
    return lambda x, **kwargs: x * seeded(init)(*x.shape, **kwargs, dtype=x.dtype, device=x.device)


RANDOM = {
    "vmap": "each example draws its own weights",
    "compile": "torch.compile cannot create the generator that the test passes",
    "dtypes": "draws differ from dtype to dtype",
}
SHAPES = (
    Refusal(TypeError, "shape[1] must be an integer, got 2.0", ((3, 2.0),)),
    Refusal(ValueError, "shape[0] must be >= 0, got -1", (-1,)),
    Refusal(TypeError, "dtype must be a floating-point dtype, got torch.int64", (3,), {"dtype": torch.int64}),
)
LAYER = Entry(
    make=normal(5, 4),
    kwargs={"gain": 1.5},
    adapt=of_a_layer,
    empty=Refusal(ValueError, "n_in must be >= 1, got 0", (0, 3)),
    refusals=(
        Refusal(TypeError, "n_in must be an integer, got 3.0", (3.0, 2)),
        Refusal(TypeError, "n_out must be an integer, got None", (3, None)),
        Refusal(ValueError, "n_out must be >= 1, got -2", (3, -2)),
        Refusal(TypeError, "gain must be a real number, got 'relu'", (3, 2), {"gain": "relu"}),
        Refusal(ValueError, "gain must be >= 0 and finite, got -1.0", (3, 2), {"gain": -1.0}),
        Refusal(ValueError, "gain must be >= 0 and finite, got inf", (3, 2), {"gain": math.inf}),
        Refusal(TypeError, "dtype must be a floating-point dtype, got torch.int32", (3, 2), {"dtype": torch.int32}),
    ),
    exempt=RANDOM,
)
W = torch.ones(3, 2)
IN_PLACE = Entry(
    make=normal(5, 4, 3),
    kwargs={"gain": 1.5},
    adapt=lambda init_: lambda x, **kwargs: x * seeded(init_)(x.detach().clone(), **kwargs),
    empty=Refusal(ValueError, "weight must have shape (n_out, n_in, ...) and an entry, got (0, 2)", (W[:0],)),
    refusals=(
        Refusal(TypeError, "weight must be a real floating-point tensor, got torch.int64", (W.long(),)),
        Refusal(TypeError, "gain must be a real number, got 'relu'", (W,), {"gain": "relu"}),
        Refusal(ValueError, "weight must have shape (n_out, n_in, ...) and an entry, got (3,)", (W[:, 0],)),
        Refusal(ValueError, "gain must be >= 0 and finite, got -1.0", (W,), {"gain": -1.0}),
    ),
    exempt=RANDOM,
)

ENTRIES = {
    "init.normal": Entry(
        make=normal(5, 4),
        kwargs={"std": 0.5},
        adapt=lambda init: of_a_shape()(seeded(init)),
        empty=((torch.ones(0, 4),), (0, 4)),
        refusals=(
            *SHAPES,
            Refusal(TypeError, "std must be a real number, got None", (3,), {"std": None}),
            Refusal(ValueError, "std must be >= 0 and finite, got -0.1", (3,), {"std": -0.1}),
            Refusal(ValueError, "std must be >= 0 and finite, got nan", (3,), {"std": math.nan}),
        ),
        exempt=RANDOM,
    ),
    "init.zeros": Entry(make=normal(5, 4), adapt=of_a_shape(), empty=((torch.ones(0, 4),), (0, 4)), refusals=SHAPES),
    "init.constant": Entry(
        make=normal(5, 4),
        adapt=of_a_shape(value=0.5),
        empty=((torch.ones(0, 4),), (0, 4)),
        refusals=(
            Refusal(TypeError, "shape[1] must be an integer, got 2.0", ((3, 2.0), 0.5)),
            Refusal(ValueError, "shape[0] must be >= 0, got -1", (-1, 0.5)),
            Refusal(TypeError, "value must be a real number, got '1'", (3, "1")),
            Refusal(TypeError, "dtype must be a floating-point dtype, got torch.bool", (3, 1), {"dtype": torch.bool}),
        ),
    ),
    "init.he_normal": LAYER,
    "init.he_uniform": LAYER,
    "init.xavier_normal": LAYER,
    "init.xavier_uniform": LAYER,
    "init.he_normal_": IN_PLACE,
    "init.he_uniform_": IN_PLACE,
    "init.xavier_normal_": IN_PLACE,
    "init.xavier_uniform_": IN_PLACE,
}
