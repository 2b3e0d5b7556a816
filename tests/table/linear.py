"""Entries of :mod:`dlcore.linear`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dlcore.linear import _stable

from . import Entry, Pair, Refusal, draw, integers

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


def make_classification(generator: Generator) -> tuple[Tensor, ...]:
    """Draw inputs, probabilities and weights."""
    return draw(generator, 8, 3), draw(generator, 8).sigmoid(), draw(generator, 8).exp()


def refusals(target: str, y: Tensor, layout: str, *more: Refusal, **kwargs: Any) -> tuple[Refusal, ...]:
    """Return the refusals of every fit, about its examples and its penalty, and more."""
    no_matrix = "x must have shape (n, d) with a row and a column at least, got"
    cases: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (TypeError, "x must be a real floating-point tensor, got torch.int64", (integers(X), y), {}),
        (TypeError, "x must be a torch.Tensor, got ndarray; torch.as_tensor(x) converts it", (X.numpy(), y), {}),
        (ValueError, f"{no_matrix} (3,)", (X[:, 0], y), {}),
        (ValueError, f"{no_matrix} (3, 0)", (X[:, :0], y), {}),
        (ValueError, f"{target} must have shape {layout}, got (2,)", (X, y[:2]), {}),
        (ValueError, f"{target} must have shape {layout}, got ()", (X, y[0]), {}),
        (ValueError, f"{target} must have shape {layout}, got (3, 1, 1)", (X, y[:, None, None]), {}),
        (ValueError, "x must be finite, got nan at index (0, 1)", (X.where(X != 2, NAN), y), {}),
        (TypeError, "weights must be a real floating-point tensor, got torch.int64", (X, y), {"weights": integers(Y)}),
        (
            TypeError,
            "weights must have the dtype of x, torch.float32, got torch.float64",
            (X, y),
            {"weights": torch.ones(3, dtype=torch.float64)},
        ),
        (ValueError, "weights must have shape (3,), got (2,)", (X, y), {"weights": torch.ones(2)}),
        *(
            (ValueError, f"weights must {message}", (X, y), {"weights": torch.tensor(weights)})
            for message, weights in [
                ("be >= 0, got -0.5 at index 1", [1.0, -0.5, 0.0]),
                ("be >= 0, got nan at index 2", [1.0, 0.5, NAN]),
                ("have a positive, finite sum, got 0.0", [0.0, 0.0, 0.0]),
                ("have a positive, finite sum, got inf", [0.0, 3e38, 3e38]),
            ]
        ),
    ]
    if kwargs:
        cases += [
            (TypeError, "penalty must be a real number, got '1'", (X, y), {"penalty": "1"}),
            *(
                (ValueError, f"penalty must be >= 0 and finite, got {penalty}", (X, y), {"penalty": penalty})
                for penalty in (-1.0, math.inf, NAN)
            ),
        ]
    return (*(Refusal(error, message, args, kwargs | changed) for error, message, args, changed in cases), *more)


def other_dtype(**kwargs: Any) -> Refusal:
    """Return the refusal of every fit with floating targets."""
    message = "y must have the dtype of x, torch.float32, got torch.float64"
    return Refusal(TypeError, message, (X, Y.double()), kwargs)


def infinite_target(**kwargs: Any) -> Refusal:
    """Return the refusal of both closed forms."""
    message = "y must be finite, got inf at index 1"
    return Refusal(ValueError, message, (X, torch.tensor([0.0, math.inf, 1.0])), kwargs)


DEPENDENT = "x must have rank 2 when centred, got 1: drop columns that depend on others, or penalize"
SEARCH = {
    "gradient": "the number of steps of the search depends on the values, so autograd cannot follow it",
    "func_grad": "the search reads values, which torch.func hides",
    "vmap": "the search reads values, which torch.func hides",
    "compile": "the number of steps of the search depends on the values",
    "meta": "there is no minimum to search for without values",
}
SEPARATED = "x must not separate the classes when penalty is 0: the loss keeps falling as the weights grow"
OVERFLOW = "no minimum found in 0 steps: scale the columns of x, or raise penalty"
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
            Refusal(ValueError, "weight must have shape (2,) or (2, n_out), got (3,)", (X[None], X[:, 0], BIAS)),
            Refusal(ValueError, "bias must have shape (3,), got (1, 3)", (X, WEIGHT, BIAS[None])),
            Refusal(ValueError, "bias must have shape (3,), got ()", (X, WEIGHT, torch.tensor(0.0))),
        ),
    ),
    "linear.least_squares": Entry(
        make=make_regression,
        adapt=with_weights,
        tolerance=64,
        empty=Refusal(ValueError, NO_ROWS, (torch.ones(0, 2), torch.ones(0))),
        refusals=refusals(
            "y",
            Y,
            "(3,) or (3, k)",
            other_dtype(),
            infinite_target(),
            Refusal(ValueError, DEPENDENT, (X[:2], Y[:2])),
        ),
    ),
    "linear.ridge": Entry(
        make=make_regression,
        kwargs={"penalty": 0.7},
        adapt=with_weights,
        empty=Refusal(ValueError, NO_ROWS, (torch.ones(0, 2), torch.ones(0)), {"penalty": 1.0}),
        refusals=refusals(
            "y",
            Y,
            "(3,) or (3, k)",
            other_dtype(penalty=1.0),
            infinite_target(penalty=1.0),
            Refusal(ValueError, DEPENDENT, (X @ torch.ones(2, 2), Y), {"penalty": 1e-50}),
            penalty=1.0,
        ),
    ),
    "linear.logistic_regression": Entry(
        make=make_classification,
        adapt=with_weights,
        empty=Refusal(ValueError, NO_ROWS, (torch.ones(0, 2), torch.ones(0))),
        exempt=SEARCH,
        refusals=refusals(
            "y",
            Y,
            "(3,)",
            other_dtype(),
            Refusal(TypeError, "y must be a real floating-point tensor, got torch.int64", (X, integers(Y))),
            Refusal(ValueError, "y must be in [0, 1], got 1.5 at index 1", (X, 1.5 * Y)),
            Refusal(ValueError, "y must be in [0, 1], got nan at index 0", (X, Y / Y)),
            Refusal(ValueError, "y must hold both classes, got only 0.0", (X, 0 * Y)),
            Refusal(ValueError, "y must hold both classes, got only 1.0", (X, Y), {"weights": Y}),
            Refusal(ValueError, DEPENDENT, (X @ torch.ones(2, 2), Y), {"penalty": 0}),
            Refusal(ValueError, SEPARATED, (X, Y), {"penalty": 0}),
            Refusal(RuntimeError, OVERFLOW, (X.double() * 2e307, Y.double())),
            penalty=1.0,
        ),
    ),
    "linear.softmax_regression": Entry(
        make=lambda generator: (draw(generator, 8, 3), torch.arange(8) % 3, draw(generator, 8).exp()),
        adapt=with_weights,
        empty=Refusal(ValueError, NO_ROWS, (torch.ones(0, 2), torch.ones(0, dtype=torch.int64))),
        exempt=SEARCH,
        refusals=refusals(
            "labels",
            integers(Y),
            "(3,)",
            Refusal(TypeError, "labels must be an integer tensor, got torch.float32", (X, Y)),
            Refusal(
                ValueError, "labels must be in [0, 2), got -1 at index 0", (X, integers(Y) - torch.eye(3)[0].long())
            ),
            Refusal(ValueError, "labels must be in [0, 2), got 3 at index 1", (X, 3 * integers(Y)), {"n_classes": 2}),
            Refusal(ValueError, "n_classes must be >= 2, got 1", (X, 0 * integers(Y))),
            Refusal(
                ValueError,
                "the number of each label must be >= 1, got 0 at index 2",
                (X, integers(Y)),
                {"n_classes": 3},
            ),
            Refusal(ValueError, DEPENDENT, (X @ torch.ones(2, 2), integers(Y)), {"penalty": 0}),
            Refusal(ValueError, SEPARATED, (X, integers(Y)), {"penalty": 0}),
            Refusal(RuntimeError, OVERFLOW, (X.double() * 2e307, integers(Y))),
            penalty=1.0,
        ),
    ),
}

GENERATOR = Generator().manual_seed(0)
TALL, WIDE, TARGETS = draw(GENERATOR, 9, 4), draw(GENERATOR, 4, 9), draw(GENERATOR, 9, 2)


def normal_equations(a: Tensor, b: Tensor, penalty: float = 0.0) -> Tensor:
    """Solve both closed forms as their formula is written."""
    return torch.linalg.solve(a.T @ a + penalty * torch.eye(a.shape[1], dtype=a.dtype), a.T @ b)


PAIRS = {
    "linear._stable.least_squares_solution": Pair(
        kept=_stable.least_squares_solution,
        formula=lambda a, b, *_: normal_equations(a, b),
        arguments=tuple(
            (TALL, TARGETS, size, 2.0**-52) for size in (TALL.abs().amax(0), torch.zeros(4, dtype=torch.float64))
        ),
    ),
    "linear._stable.ridge_solution": Pair(
        kept=_stable.ridge_solution,
        formula=normal_equations,
        arguments=((TALL, TARGETS, 0.7), (WIDE, TARGETS[:4], 0.7), (0 * TALL, TARGETS, 0.7)),
    ),
}
