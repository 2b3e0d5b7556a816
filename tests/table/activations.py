"""Entries of :mod:`dlcore.activations`."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from dlcore.activations import _stable

from . import Entry, Pair, Refusal, draw, integers, normal

X = torch.tensor([[3.0, -4.0]])
INTEGER_X = Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (integers(X),))
INTEGER_LOGITS = Refusal(TypeError, "logits must be a real floating-point tensor, got torch.int64", (integers(X),))
TEMPERATURES = (
    Refusal(TypeError, "temperature must be a real number, got '1'", (X,), {"temperature": "1"}),
    *(
        Refusal(ValueError, f"temperature must be finite and > 0, got {value}", (X,), {"temperature": value})
        for value in (0.0, -1.0, math.inf, math.nan)
    ),
)
POINTWISE = Entry(make=normal(3, 4), empty=((torch.ones(0, 4),), (0, 4)), refusals=(INTEGER_X,))
ROWS = Entry(
    make=normal(3, 4),
    kwargs={"dim": 1, "temperature": 0.5},
    empty=((torch.ones(0, 4),), (0, 4)),
    refusals=(INTEGER_LOGITS, *TEMPERATURES),
)
SUMS = Entry(
    make=normal(3, 4),
    kwargs={"dim": 1, "temperature": 0.5},
    empty=((torch.ones(0, 4),), (0,)),
    refusals=(INTEGER_X, *TEMPERATURES),
)


def with_and_without_weights(log_sum_exp: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return the sums with and without weights side by side."""

    def sums(x: torch.Tensor, w: torch.Tensor, **options: Any) -> torch.Tensor:
        return torch.stack([log_sum_exp(x, **options), log_sum_exp(x, weights=w.square(), **options)], -1)

    return sums


ENTRIES = {
    "activations.relu": POINTWISE,
    "activations.prelu": Entry(
        make=lambda generator: (draw(generator, 3, 4), draw(generator, 4)),
        empty=((torch.ones(0, 4), 0.25), (0, 4)),
        refusals=(
            Refusal(
                TypeError, "x must be a real floating-point tensor, got torch.int64", (integers(X), torch.ones(1, 2))
            ),
            Refusal(
                TypeError, "alpha must be a real floating-point tensor, got torch.int64", (X, torch.tensor([0, 1]))
            ),
            Refusal(TypeError, "alpha must be a real number, got '1'", (X, "1")),
            Refusal(
                TypeError,
                "alpha must have the dtype of x, torch.float32, got torch.float64",
                (X, torch.ones(2, dtype=torch.float64)),
            ),
            Refusal(ValueError, "alpha must be finite in torch.float32, got inf; use torch.float64", (X, math.inf)),
            Refusal(ValueError, "alpha must be finite in torch.float32, got -1e+50; use torch.float64", (X, -1e50)),
            Refusal(
                ValueError,
                "alpha must broadcast to the shape of x, (1, 2), got (3,)",
                (X, torch.tensor([0.0, 1.0, 2.0])),
            ),
            Refusal(
                ValueError, "alpha must broadcast to the shape of x, (1, 2), got (1, 1, 2)", (X, torch.ones(1, 1, 2))
            ),
            Refusal(ValueError, "alpha must broadcast to the shape of x, (1, 2), got (2, 1)", (X, torch.ones(2, 1))),
        ),
    ),
    "activations.sigmoid": POINTWISE,
    "activations.tanh": POINTWISE,
    "activations.softplus": POINTWISE,
    "activations.gelu": replace(
        POINTWISE,
        refusals=(
            INTEGER_X,
            Refusal(ValueError, "approximate must be 'none' or 'tanh', got 'erf'", (X,), {"approximate": "erf"}),
        ),
    ),
    "activations.swish": Entry(
        make=normal(3, 4),
        kwargs={"beta": 1.5},
        empty=((torch.ones(0, 4),), (0, 4)),
        refusals=(
            INTEGER_X,
            Refusal(TypeError, "beta must be a real number, got None", (X,), {"beta": None}),
            *(
                Refusal(ValueError, f"beta must be finite and >= 0, got {value}", (X,), {"beta": value})
                for value in (-1.0, math.inf, math.nan)
            ),
        ),
    ),
    "activations.softmax": ROWS,
    "activations.log_softmax": ROWS,
    "activations.softmin": ROWS,
    "activations.hardmax": Entry(
        make=normal(3, 4), kwargs={"dim": 1}, empty=((torch.ones(0, 4),), (0, 4)), refusals=(INTEGER_LOGITS,)
    ),
    "activations.log_sum_exp": replace(
        SUMS,
        make=lambda generator: (draw(generator, 3, 4), draw(generator, 4)),
        adapt=with_and_without_weights,
        empty=((torch.ones(0, 4), torch.ones(4)), (0, 2)),
        refusals=(
            *SUMS.refusals,
            Refusal(TypeError, "weights must be a torch.Tensor, got list", (X,), {"weights": [1.0, 1.0]}),
            Refusal(
                TypeError,
                "weights must have the dtype of x, torch.float32, got torch.float64",
                (X,),
                {"weights": torch.ones(2, dtype=torch.float64)},
            ),
            Refusal(
                ValueError,
                "weights must broadcast to the shape of x, (1, 2), got (3,)",
                (X,),
                {"weights": torch.ones(3)},
            ),
            Refusal(
                ValueError,
                "weights must be >= 0 and finite, got -1.0 at index 1",
                (X,),
                {"weights": torch.tensor([1.0, -1.0])},
            ),
        ),
    ),
    "activations.smooth_min": SUMS,
}

ROWS_OF_SCORES = (torch.tensor([[3.0, -4.0, 1e4], [0.0, -math.inf, 2.0]], dtype=torch.float64), 1)
PAIRS = {
    "activations._stable.stable_softmax": Pair(
        kept=_stable.stable_softmax, formula=torch.softmax, arguments=(ROWS_OF_SCORES, (ROWS_OF_SCORES[0].T, 0))
    ),
    "activations._stable.stable_log_softmax": Pair(
        kept=_stable.stable_log_softmax, formula=torch.log_softmax, arguments=(ROWS_OF_SCORES, (ROWS_OF_SCORES[0].T, 0))
    ),
    "activations._stable.long_softmax": Pair(
        kept=_stable.long_softmax, formula=torch.softmax, arguments=(ROWS_OF_SCORES, (ROWS_OF_SCORES[0].T, 0))
    ),
    "activations._stable.long_log_softmax": Pair(
        kept=_stable.long_log_softmax, formula=torch.log_softmax, arguments=(ROWS_OF_SCORES, (ROWS_OF_SCORES[0].T, 0))
    ),
}
