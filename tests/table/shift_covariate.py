"""Entries of :mod:`dlcore.shift.covariate`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw, integers, seeded

SOURCE = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 2.0]])
TARGET = torch.tensor([[1.0, 1.0], [2.0, 0.5]])


def draw_samples(generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw a source, and a target that is shifted."""
    return draw(generator, 9, 2), draw(generator, 8, 2) + 0.5


def of_weights(estimate: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the weights, and the ratio at the target's rows."""

    def call(source: Tensor, target: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
        ratio = estimate(source, target, generator=seeded(source), **kwargs)
        return ratio.weights, ratio(target)

    return call


def of_matched_weights(match: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the same of an estimator that draws nothing."""

    def call(source: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        ratio = match(source, target)
        return ratio.weights, ratio(target)

    return call


def refusals(*more: Refusal) -> tuple[Refusal, ...]:
    """List what every estimator refuses in its samples, and more that it refuses."""
    no_matrix = "must have shape (n, d) with a row and a column at least, got"
    cases: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
        (TypeError, "source must be a real floating-point tensor, got torch.int64", (integers(SOURCE), TARGET)),
        (TypeError, "target must be a torch.Tensor, got list", (SOURCE, [[1.0, 2.0]])),
        (
            TypeError,
            "target must have the dtype of source, torch.float32, got torch.float64",
            (SOURCE, TARGET.double()),
        ),
        (ValueError, f"source {no_matrix} (3,)", (SOURCE[:, 0], TARGET)),
        (ValueError, f"target {no_matrix} (2, 0)", (SOURCE, TARGET[:, :0])),
        (ValueError, f"target {no_matrix} (0, 2)", (SOURCE, TARGET[:0])),
        (ValueError, "source and target must have the same columns, got 2 columns and 1", (SOURCE, TARGET[:, :1])),
        (
            ValueError,
            "source must be finite, got nan at index (1, 0)",
            (SOURCE.where(SOURCE != 1, math.nan)[[2, 1]], TARGET),
        ),
        (ValueError, "target must be finite, got inf at index (1, 0)", (SOURCE, TARGET.where(TARGET != 2, math.inf))),
    ]
    return (*(Refusal(error, message, args) for error, message, args in cases), *more)


def refused(error: type[Exception], message: str, **kwargs: Any) -> Refusal:
    """Return the refusal of an option."""
    return Refusal(error, message, (SOURCE, TARGET), kwargs)


SEARCH = {
    "gradient": "the number of steps of the search depends on the values: no formula that autograd could follow",
    "func_grad": "the search looks at values, which torch.func hides",
    "vmap": "the search looks at values, which torch.func hides",
    "compile": "the number of steps of the search depends on the values",
    "meta": "there is no minimum to search for without values",
}
NO_ROWS = Refusal(
    ValueError,
    "source must have shape (n, d) with a row and a column at least, got (0, 2)",
    (SOURCE[:0], TARGET),
)

ENTRIES = {
    "shift.covariate.logistic_ratio": Entry(
        make=draw_samples,
        adapt=of_weights,
        kwargs={"features": "linear"},
        exempt=SEARCH,
        empty=NO_ROWS,
        refusals=refusals(
            refused(
                ValueError,
                "features must be 'auto', 'linear', 'quadratic', 'kernel' or a function, got 'cubic'",
                features="cubic",
            ),
            refused(
                ValueError,
                "features must be finite, got inf at index (0, 0)",
                features=lambda x: 1 / x,
            ),
            refused(
                TypeError,
                "features must be a real floating-point tensor, got torch.int64",
                features=lambda x: x.long(),
            ),
            refused(ValueError, "features must return shape (3, p) for 3 rows, got (3,)", features=lambda x: x.sum(1)),
            refused(TypeError, "penalty must be a real number, got '1'", penalty="1"),
            refused(ValueError, "penalty must be > 0 and finite, got 0", penalty=0),
            refused(ValueError, "penalty must be > 0 and finite, got inf", penalty=math.inf),
        ),
    ),
    "shift.covariate.kliep": Entry(
        make=draw_samples,
        adapt=of_weights,
        exempt=SEARCH,
        empty=NO_ROWS,
        refusals=refusals(
            refused(TypeError, "penalty must be a real number, got '1'", penalty="1"),
            refused(ValueError, "penalty must be > 0 and finite, got 0", penalty=0),
            refused(ValueError, "penalty must be > 0 and finite, got nan", penalty=math.nan),
        ),
    ),
    "shift.covariate.ulsif": Entry(
        make=draw_samples,
        adapt=of_weights,
        exempt=SEARCH,
        empty=NO_ROWS,
        refusals=refusals(
            refused(TypeError, "alpha must be a real number, got None", alpha=None),
            refused(ValueError, "alpha must be in [0, 1), got 1.0", alpha=1.0),
            refused(ValueError, "alpha must be in [0, 1), got -0.1", alpha=-0.1),
        ),
    ),
    "shift.covariate.kernel_mean_matching": Entry(
        make=draw_samples,
        adapt=of_matched_weights,
        exempt=SEARCH,
        empty=NO_ROWS,
        refusals=refusals(
            refused(TypeError, "maximum must be a real number, got '5'", maximum="5"),
            refused(ValueError, "maximum must be >= 1, got 0.5", maximum=0.5),
        ),
    ),
}
