"""Entries of :mod:`dlcore.model_selection`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import Entry, Refusal, draw

X = torch.ones(4, 2)
Y = torch.ones(4)
SCALAR = torch.tensor(1.0)


def held_out_rows(k_fold: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return what each fold holds out of a tensor, and the sum of what it trains on."""
    return lambda x: tuple(y for train, rows in k_fold(len(x), 3) for y in (x[rows], x[train].sum(0)))


def mean_fit(x: Tensor, y: Tensor) -> Tensor:
    """Return a model that looks at both: the mean of the inputs times the mean of the targets."""
    return x.mean(0) * y.mean()


def product_loss(model: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return one value per example that depends on the model, the inputs and the targets."""
    return (x @ model - y) ** 2


def of_means(cross_validate: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return all that a cross-validation of such a model says."""

    def errors(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        result = cross_validate(mean_fit, product_loss, x, y, k=3)
        return (*result, result.validation_mean, result.validation_standard_error, result.train_standard_error)

    return errors


ENTRIES = {
    "model_selection.train_test_split": Entry(
        make=lambda generator: (draw(generator, 5, 3), draw(generator, 5)),
        kwargs={"test_fraction": 0.4, "shuffle": False},
        empty=Refusal(
            ValueError, "test_fraction must leave rows on both sides, got 0.25 of 0 rows", (torch.ones(0, 2),)
        ),
        refusals=(
            Refusal(TypeError, "train_test_split needs at least one tensor", ()),
            Refusal(TypeError, "test_fraction must be a real number, got '25%'", (X,), {"test_fraction": "25%"}),
            Refusal(ValueError, "test_fraction must be in (0, 1), got 25", (X,), {"test_fraction": 25}),
            Refusal(ValueError, "test_fraction must be in (0, 1), got 0.0", (X,), {"test_fraction": 0.0}),
            Refusal(ValueError, "test_fraction must be in (0, 1), got nan", (X,), {"test_fraction": float("nan")}),
            Refusal(ValueError, "tensors[1] must have shape (n, *), got ()", (X, SCALAR)),
            Refusal(
                ValueError, "tensors[0] and tensors[2] must have the same number of rows, got 4 and 3", (X, Y, Y[1:])
            ),
            Refusal(
                ValueError,
                "test_fraction must leave rows on both sides, got 0.1 of 4 rows",
                (X,),
                {"test_fraction": 0.1},
            ),
            Refusal(
                ValueError,
                "test_fraction must leave rows on both sides, got 0.9 of 4 rows",
                (X,),
                {"test_fraction": 0.9},
            ),
        ),
    ),
    "model_selection.k_fold": Entry(
        make=lambda generator: (draw(generator, 7, 2),),
        adapt=held_out_rows,
        empty=Refusal(ValueError, "n must be >= 2, got 0", (0, 2)),
        refusals=(
            Refusal(TypeError, "n must be an integer, got 10.0", (10.0, 5)),
            Refusal(TypeError, "k must be an integer, got 2.5", (10, 2.5)),
            Refusal(ValueError, "k must be >= 2, got 1", (10, 1)),
            Refusal(ValueError, "n must be >= 5, got 4", (4, 5)),
        ),
    ),
    "model_selection.cross_validate": Entry(
        make=lambda generator: (draw(generator, 7, 2), draw(generator, 7)),
        adapt=of_means,
        empty=Refusal(ValueError, "n must be >= 2, got 0", (mean_fit, product_loss, X[:0], Y[:0]), {"k": 2}),
        refusals=(
            Refusal(TypeError, "k must be an integer, got 2.5", (mean_fit, product_loss, X, Y), {"k": 2.5}),
            Refusal(
                TypeError,
                "losses must be a real floating-point tensor, got torch.bool",
                (mean_fit, lambda model, x, y: x @ model != y, X, Y),
                {"k": 2},
            ),
            Refusal(ValueError, "k must be >= 2, got 1", (mean_fit, product_loss, X, Y), {"k": 1}),
            Refusal(ValueError, "n must be >= 5, got 4", (mean_fit, product_loss, X, Y), {"k": 5}),
            Refusal(ValueError, "y must have shape (n, *), got ()", (mean_fit, product_loss, X, SCALAR), {"k": 2}),
            Refusal(
                ValueError,
                "x and y must have the same number of rows, got 4 and 3",
                (mean_fit, product_loss, X, Y[1:]),
                {"k": 2},
            ),
            Refusal(
                ValueError,
                "loss must return one value per example, shape (2,), got ()",
                (mean_fit, lambda *args: product_loss(*args).mean(), X, Y),
                {"k": 2},
            ),
        ),
    ),
}
