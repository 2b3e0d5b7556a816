"""Entries of :mod:`dlcore.shift.covariate`."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from dlcore.shift import covariate

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


ROW_NUMBERS = torch.arange(3), torch.arange(2)
GROUPS = (
    refused(
        TypeError, "groups must be a tuple of two tensors, of source and target, got Tensor", groups=ROW_NUMBERS[0]
    ),
    refused(TypeError, "groups[1] must be an integer tensor, got torch.float32", groups=(ROW_NUMBERS[0], TARGET[:, 0])),
    refused(
        ValueError,
        "groups[0] must have one entry for each of the 3 rows, got shape (2,)",
        groups=(ROW_NUMBERS[1], ROW_NUMBERS[1]),
    ),
    refused(
        ValueError,
        "groups must be at least 2, so that each can be held out, got 1",
        groups=(0 * ROW_NUMBERS[0], 0 * ROW_NUMBERS[1]),
    ),
)

SEARCH = {
    "gradient": "the number of steps of the search depends on the values: no formula that autograd could follow",
    "func_grad": "the search looks at values, which torch.func hides",
    "vmap": "the search looks at values, which torch.func hides",
    "compile": "the number of steps of the search depends on the values",
    "meta": "there is no minimum to search for without values",
}
RATIO = covariate.DensityRatio(
    torch.tensor([0.5, 1.0, 1.5]), covariate.kliep(SOURCE, SOURCE).report, covariate.LogRatio(lambda x: x[..., 0], 2, 1)
)
VALUES = torch.tensor([1.0, 2.0, 4.0])


def refused_mean(error: type[Exception], message: str, **changed: Any) -> Refusal:
    """Return the refusal of a changed argument of target_mean."""
    args = {"values": VALUES, "ratio": RATIO, "source": SOURCE, "target": TARGET}
    options = {name: value for name, value in changed.items() if name not in args}
    return Refusal(error, message, tuple((args | changed)[name] for name in args), options)


def of_fitted_ratio(target_mean: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the numbers of the estimate, with a ratio that is fitted to the samples."""

    def call(values: Tensor, source: Tensor, target: Tensor) -> Tensor:
        ratio = covariate.kliep(source, target, features="linear", generator=seeded(source))
        found = target_mean(values, ratio, source, target)
        return torch.tensor([found.mean, found.standard_error, *found.interval])

    return call


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
            *GROUPS,
        ),
    ),
    "shift.covariate.kliep": Entry(
        make=draw_samples,
        adapt=of_weights,
        exempt=SEARCH,
        empty=NO_ROWS,
        refusals=refusals(
            refused(TypeError, "penalty must be a real number, got '1'", penalty="1"),
            refused(ValueError, "penalty must be >= 0 and finite, got -1", penalty=-1),
            refused(ValueError, "penalty must be >= 0 and finite, got nan", penalty=math.nan),
            refused(
                ValueError,
                "features must be 'auto', 'linear', 'quadratic' or 'kernel', got 'cubic'",
                features="cubic",
            ),
            *GROUPS,
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
            *GROUPS,
        ),
    ),
    "shift.covariate.target_mean": Entry(
        make=lambda generator: (draw(generator, 9), *draw_samples(generator)),
        adapt=of_fitted_ratio,
        exempt=SEARCH | {"dtypes": "an estimate holds Python numbers"},
        empty=replace(NO_ROWS, args=(VALUES[:0], RATIO, SOURCE[:0], TARGET)),
        refusals=(
            refused_mean(
                TypeError, "values must be a real floating-point tensor, got torch.int64", values=VALUES.long()
            ),
            refused_mean(
                TypeError,
                "values must have the dtype of source, torch.float32, got torch.float64",
                values=VALUES.double(),
            ),
            refused_mean(TypeError, "source must be a torch.Tensor, got list", source=[[1.0]]),
            refused_mean(
                TypeError, "target must be a real floating-point tensor, got torch.int64", target=integers(TARGET)
            ),
            refused_mean(
                TypeError,
                "predictions[1] must have the dtype of source, torch.float32, got torch.float64",
                predictions=(VALUES, VALUES[:2].double()),
            ),
            refused_mean(
                ValueError,
                "values must have one entry for each of the 3 rows, got shape (2,)",
                values=VALUES[:2],
            ),
            refused_mean(
                ValueError,
                "the weights of ratio must have one entry for each of the 2 rows, got shape (3,)",
                values=VALUES[:2],
                source=SOURCE[:2],
            ),
            refused_mean(
                ValueError, "values must be finite, got nan at index 0", values=VALUES.where(VALUES != 1, math.nan)
            ),
            refused_mean(
                ValueError,
                "target must have the 2 rows for which ratio was given groups, got 3",
                target=SOURCE,
                ratio=replace(RATIO, groups=ROW_NUMBERS),
            ),
            refused_mean(
                ValueError,
                "the weights of ratio must not all be 0",
                ratio=replace(RATIO, weights=torch.zeros(3)),
            ),
            refused_mean(TypeError, "level must be a real number, got '1'", level="1"),
            refused_mean(ValueError, "level must be in (0, 1), got 1.0", level=1.0),
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
