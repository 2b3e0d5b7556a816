"""Entries of :mod:`dlcore.linear`."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw, integers

X = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
Y = torch.tensor([0.0, 1.0, 1.0])
WEIGHT = torch.ones(2, 3)
BIAS = torch.zeros(3)
NAN = float("nan")


def with_weights(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a fit into a function of three tensors."""

    def call(x: Tensor, y: Tensor, weights: Tensor, **kwargs: Any) -> Any:
        return tuple(fit(x, y, weights=weights, **kwargs))

    return call


def make_regression(generator: Generator) -> tuple[Tensor, ...]:
    """Draw inputs, two targets and weights."""
    return draw(generator, 8, 3), draw(generator, 8, 2), draw(generator, 8).exp()


def example_refusals(**kwargs: Any) -> tuple[Refusal, ...]:
    """List what every fit refuses in its examples."""
    weighted = {**kwargs, "weights": torch.ones(3)}
    cases = [
        (TypeError, "x must be a real floating-point tensor, got torch.int64", (integers(X), Y), kwargs),
        (TypeError, "y must have the dtype of x, torch.float32, got torch.float64", (X, Y.double()), kwargs),
        (
            TypeError,
            "weights must have the dtype of x, torch.float32, got torch.float64",
            (X, Y),
            {**kwargs, "weights": torch.ones(3, dtype=torch.float64)},
        ),
        (ValueError, "x must have shape (n, d) with a row and a column at least, got (3,)", (X[:, 0], Y), kwargs),
        (ValueError, "x must have shape (n, d) with a row and a column at least, got (3, 0)", (X[:, :0], Y), kwargs),
        (ValueError, "y must have one entry for each of the 3 rows of x, got shape (2,)", (X, Y[:2]), kwargs),
        (ValueError, "y must have one entry for each of the 3 rows of x, got shape ()", (X, Y[0]), kwargs),
        (ValueError, "weights must have shape (2,), got (3,)", (X[:2], Y[:2]), weighted),
        (ValueError, "x must be finite, got nan at index (0, 1)", (X.where(X != 2, NAN), Y), kwargs),
        *(
            (ValueError, message, (X, Y), {**kwargs, "weights": torch.tensor(weights)})
            for message, weights in [
                ("weights must be >= 0, got -0.5 at index 1", [1.0, -0.5, 0.0]),
                ("weights must be >= 0, got nan at index 2", [1.0, 0.5, NAN]),
                ("weights must have a positive, finite sum, got 0.0", [0.0, 0.0, 0.0]),
                ("weights must have a positive, finite sum, got inf", [0.0, 3e38, 3e38]),
            ]
        ),
    ]
    return tuple(Refusal(*case) for case in cases)


REGRESSION_REFUSALS = (
    Refusal(ValueError, "y must have shape (3,) or (3, k), got (3, 1, 1)", (X, Y[:, None, None])),
    Refusal(ValueError, "y must be finite, got inf at index (1, 0)", (X, torch.tensor([0.0, math.inf, 1.0]))),
)
NO_ROWS = "x must have shape (n, d) with a row and a column at least, got (0, 2)"

ENTRIES = {
    "linear.linear": Entry(
        make=lambda generator: (draw(generator, 5, 4), draw(generator, 4, 3), draw(generator, 3)),
        empty=((torch.ones(0, 2), WEIGHT, BIAS), (0, 3)),
        refusals=(
            Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (integers(X), WEIGHT, BIAS)),
            Refusal(
                TypeError,
                "weight must have the dtype of x, torch.float32, got torch.float64",
                (X, WEIGHT.double(), BIAS),
            ),
            Refusal(
                TypeError, "bias must have the dtype of x, torch.float32, got torch.float64", (X, WEIGHT, BIAS.double())
            ),
            Refusal(ValueError, "x must have shape (*, n_in), got ()", (torch.tensor(1.0), WEIGHT, BIAS)),
            Refusal(ValueError, "weight must have shape (2,) or (2, n_out), got (3, 2)", (X, WEIGHT.T, BIAS)),
            Refusal(ValueError, "weight must have shape (2,) or (2, n_out), got ()", (X, torch.tensor(1.0), BIAS)),
            Refusal(ValueError, "bias must have shape (3,), got (1, 3)", (X, WEIGHT, BIAS[None])),
            Refusal(ValueError, "bias must have shape (3,), got ()", (X, WEIGHT, torch.tensor(0.0))),
        ),
    ),
    "linear.least_squares": Entry(
        make=make_regression,
        adapt=with_weights,
        tolerance=64,
        empty=Refusal(ValueError, NO_ROWS, (torch.ones(0, 2), torch.ones(0))),
        refusals=(
            *example_refusals(),
            *REGRESSION_REFUSALS,
            Refusal(
                ValueError,
                "x must have rank 2 when centred, got 1: drop columns that depend on others, or penalize",
                (X[:2], Y[:2]),
            ),
        ),
    ),
    "linear.ridge": Entry(
        make=make_regression,
        kwargs={"penalty": 0.7},
        adapt=with_weights,
        empty=Refusal(ValueError, NO_ROWS, (torch.ones(0, 2), torch.ones(0)), {"penalty": 1.0}),
        refusals=(
            *example_refusals(penalty=1.0),
            *(replace(refusal, kwargs={"penalty": 1.0}) for refusal in REGRESSION_REFUSALS),
            Refusal(TypeError, "penalty must be a real number, got '1'", (X, Y), {"penalty": "1"}),
            Refusal(ValueError, "penalty must be >= 0 and finite, got -1.0", (X, Y), {"penalty": -1.0}),
            Refusal(ValueError, "penalty must be >= 0 and finite, got inf", (X, Y), {"penalty": math.inf}),
            Refusal(ValueError, "penalty must be >= 0 and finite, got nan", (X, Y), {"penalty": NAN}),
        ),
    ),
}
