"""Entries of :mod:`dlcore.training`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dlcore.training import DivergenceError

from . import Entry, Refusal, draw

W = torch.zeros(2)
X = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
MANY = torch.arange(3)
ONE_EPOCH = {"epochs": 1, "batch_size": 2, "lr": 0.5}


def line_loss(params: tuple[Tensor, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Return the squared loss of a linear model."""
    weight, bias = params
    return (x @ weight + bias - y) ** 2 / 2


def dot_loss(w: Tensor, x: Tensor) -> Tensor:
    """Return the product of each row with the parameters."""
    return x @ w


def trained_line(fit: Callable[..., Any]) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the parameters of a linear model after two weighted epochs with a short last batch."""

    def params(x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        start = x.new_zeros(x.shape[1:]), x.new_zeros(())
        options: dict[str, Any] = {"weights": weights.abs(), "shuffle": False, "momentum": 0.5, "weight_decay": 0.1}
        return fit(line_loss, start, (x, y), epochs=2, batch_size=2, lr=0.1, **options).params

    return params


def refused(error: type[Exception], message: str, *args: Any, **changed: Any) -> Refusal:
    """Return the refusal of a call of which some arguments are changed."""
    return Refusal(error, message, args or (dot_loss, W, X), ONE_EPOCH | changed)


CUT = "the run stops and looks at its loss after every batch, in Python: differentiate steps of optim.sgd_step instead"
LOOKS = "the run looks at the value of its loss after every batch, and stops where it is not finite"

ENTRIES = {
    "training.fit": Entry(
        make=lambda generator: (draw(generator, 5, 3), draw(generator, 5), draw(generator, 5)),
        adapt=trained_line,
        empty=refused(ValueError, "data must have a row, got none", dot_loss, W, X[:0]),
        exempt={"gradient": CUT, "func_grad": CUT, "vmap": LOOKS, "compile": LOOKS, "meta": LOOKS},
        refusals=(
            refused(TypeError, "params must be a torch.Tensor, got float", dot_loss, 0.0, X),
            refused(
                TypeError, "params[1] must be a real floating-point tensor, got torch.int64", dot_loss, [W, W.long()], X
            ),
            refused(TypeError, "epochs must be an integer, got 1.5", epochs=1.5),
            refused(ValueError, "epochs must be >= 0, got -1", epochs=-1),
            refused(TypeError, "batch_size must be an integer, got 2.0", batch_size=2.0),
            refused(ValueError, "batch_size must be >= 1, got 0", batch_size=0),
            refused(TypeError, "lr must be a real number, got '0.1'", lr="0.1"),
            refused(ValueError, "lr must be >= 0 and finite, got -0.5", lr=-0.5),
            refused(TypeError, "momentum must be a real number, got None", momentum=None),
            refused(ValueError, "momentum must be in [0, 1), got 1.0", momentum=1.0),
            refused(TypeError, "weight_decay must be a real number, got '0'", weight_decay="0"),
            refused(ValueError, "weight_decay must be >= 0 and finite, got -0.5", weight_decay=-0.5),
            refused(
                ValueError,
                "weight_decay must have the structure of params, [*], got [*, *]",
                dot_loss,
                [W],
                X,
                weight_decay=[0.0, 0.0],
            ),
            refused(ValueError, "data[0] must have shape (n, *), got ()", dot_loss, W, torch.tensor(1.0)),
            refused(
                ValueError,
                "data[0] and data[1] must have the same number of rows, got 3 and 2",
                dot_loss,
                W,
                (X, X[1:]),
            ),
            refused(ValueError, "validation must have a row, got none", validation=X[:0]),
            refused(
                ValueError,
                "validation[0] and validation[1] must have the same number of rows, got 3 and 2",
                validation=[X, X[1:]],
            ),
            refused(
                TypeError, "weights must be a real floating-point tensor, got torch.int64", weights=torch.ones(3).long()
            ),
            refused(ValueError, "weights must have shape (3,), got (2,)", weights=torch.ones(2)),
            refused(
                ValueError,
                "weights must be >= 0 and finite, got -1.0 at index 1",
                weights=torch.tensor([1.0, -1.0, 1.0]),
            ),
            refused(
                TypeError,
                "losses must be a real floating-point tensor, got torch.bool",
                lambda w, x: x @ w > 0,
                W,
                X,
            ),
            refused(
                ValueError,
                "loss must return one value per example, shape (2,), got ()",
                lambda w, x: (x @ w).mean(),
                W,
                X,
                shuffle=False,
            ),
            refused(ValueError, "loss must depend on params, got one that does not", lambda _, x: x[:, 0], W, X),
            refused(
                ValueError,
                "resume must be the state of a History, got one without ['velocity', 'step']",
                resume={"params": [W], "generator": None, "train_loss": [], "validation_loss": []},
            ),
            refused(
                ValueError,
                "resume must hold parameters with the shapes of params, [(2,)], got [(3,)]",
                resume={
                    "params": [torch.zeros(3)],
                    "velocity": [],
                    "step": 0,
                    "generator": None,
                    "train_loss": [],
                    "validation_loss": [],
                },
            ),
            refused(
                ValueError,
                "generator must be given to resume a run that had one, got None",
                resume={
                    "params": [W],
                    "velocity": [],
                    "step": 0,
                    "generator": torch.Generator().get_state(),
                    "train_loss": [],
                    "validation_loss": [],
                },
            ),
            refused(
                DivergenceError,
                "loss must be finite, got nan at epoch 0, batch 1",
                dot_loss,
                W,
                torch.tensor([[1.0, 0.0], [0.0, 1.0], [float("nan"), 1.0]]),
                shuffle=False,
            ),
            refused(
                DivergenceError,
                "params must be finite, got -inf at epoch 0, batch 0",
                lambda w, x: (x @ w + 1e-30).sqrt(),
                W,
                X,
                lr=1e30,
                batch_size=3,
            ),
        ),
    ),
}
