"""Entries of :mod:`dlcore.training`."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from dlcore.optim import momentum_step
from dlcore.training import DivergenceError

from . import Entry, Refusal, draw

W = torch.zeros(2)
X = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
ROW_INDICES = torch.arange(3)
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
        start = (
            torch.zeros(x.shape[1:], dtype=x.dtype, device=x.device),
            torch.zeros((), dtype=x.dtype, device=x.device),
        )
        options: dict[str, Any] = {"weights": weights.abs(), "shuffle": False, "momentum": 0.5, "weight_decay": 0.1}
        return fit(line_loss, start, (x, y), epochs=2, batch_size=2, lr=0.1, **options).params

    return params


def refused(error: type[Exception], message: str, *args: Any, **changed: Any) -> Refusal:
    """Return the refusal of a call of which some arguments are changed."""
    return Refusal(error, message, args or (dot_loss, W, X), ONE_EPOCH | changed)


def first_parameter(params: list[Tensor], grads: list[Tensor], state: Any, *, lr: float) -> tuple[Tensor, Any]:
    """Take a step that loses the structure of the parameters."""
    return params[0] - lr * grads[0], state


def uphill(step: int) -> float:
    """Return a negative learning rate."""
    return -1.0 - step


CUT = "the run stops and looks at its loss after every batch, in Python: differentiate steps of optim.sgd_step instead"
LOOKS = "the run looks at the value of its loss after every batch, and stops where it is not finite"
EXEMPT = {"gradient": CUT, "func_grad": CUT, "vmap": LOOKS, "compile": LOOKS, "meta": LOOKS}
CURE = "; compute it from its first argument, or train a module in place with training.fit_"
STATE = dict.fromkeys(("params", "optimizer", "generator")) | {"step": 0, "train_loss": [], "validation_loss": []}
STATE |= {"params": [W]}
LOADER = DataLoader(TensorDataset(X), batch_size=2)


class Stream(IterableDataset[Tensor]):
    """Rows that come one after the other."""

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the rows."""
        return iter(X)


class Rows(Dataset[Tensor]):
    """Rows that are fetched one by one."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, i: int) -> Tensor:
        """Return a row."""
        return self.rows[i]


HOLDS = "must hold tensors or arrays, alone or in sequences and mappings, or be a Dataset or a DataLoader, got"
BATCHES_HOLD = "let the batches hold them and the loss multiply by them"
DATA = (
    refused(TypeError, f"data {HOLDS} generator", dot_loss, W, (row for row in X)),
    refused(TypeError, f"data {HOLDS} float", dot_loss, W, [[1.0, 2.0]]),
    refused(
        TypeError, "data must have rows that can be indexed, got Stream; pass a DataLoader of it", dot_loss, W, Stream()
    ),
    refused(ValueError, "data must have a row, got none", dot_loss, W, []),
    refused(ValueError, "data must have a row, got none", dot_loss, W, Rows(X[:0])),
    refused(ValueError, "data must have a row, got none", dot_loss, W, DataLoader(Rows(X[:0])), batch_size=None),
    refused(ValueError, "validation must have a row, got none", dot_loss, W, X, validation=DataLoader(Rows(X[:0]))),
    refused(
        TypeError,
        "data must be a DataLoader of tensors, got a batch of list",
        dot_loss,
        W,
        DataLoader(["a", "b"]),
        batch_size=None,
    ),
    refused(
        ValueError,
        "batch_size must be None for a DataLoader, which has its own batches, got 2",
        dot_loss,
        W,
        LOADER,
    ),
    refused(
        ValueError,
        f"weights must be None for a DataLoader; {BATCHES_HOLD}",
        dot_loss,
        W,
        LOADER,
        batch_size=None,
        weights=torch.ones(3),
    ),
    refused(
        ValueError, f"weights must be None for a Rows; {BATCHES_HOLD}", dot_loss, W, Rows(X), weights=torch.ones(3)
    ),
)
FIT = (
    refused(TypeError, "params must be a torch.Tensor, got float", dot_loss, 0.0, X),
    refused(TypeError, "params[1] must be a real floating-point tensor, got torch.int64", dot_loss, [W, W.long()], X),
    refused(TypeError, "epochs must be an integer, got 1.5", epochs=1.5),
    refused(ValueError, "epochs must be >= 0, got -1", epochs=-1),
    refused(TypeError, "batch_size must be an integer, got 2.0", batch_size=2.0),
    refused(TypeError, "batch_size must be an integer, got None", batch_size=None),
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
    refused(ValueError, "data must have shape (n, *), got ()", dot_loss, W, torch.tensor(1.0)),
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
    refused(TypeError, "weights must be a real floating-point tensor, got torch.int64", weights=torch.ones(3).long()),
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
    refused(ValueError, f"loss must depend on params, got one that does not{CURE}", lambda _, x: x[:, 0], W, X),
    refused(
        ValueError,
        "resume must be the state of a History, got one without ['optimizer', 'step']",
        resume={"params": [W], "generator": None, "train_loss": [], "validation_loss": []},
    ),
    refused(
        ValueError,
        "momentum and weight_decay must be 0 with a step, which has its own: use functools.partial",
        momentum=0.5,
        step=momentum_step,
    ),
    refused(
        ValueError,
        "step(params, grads, state)[0] must have the structure of params, [*], got *",
        lambda params, x: x @ params[0],
        [W],
        X,
        step=first_parameter,
    ),
    refused(
        ValueError,
        "resume must hold the velocity of a run with momentum, got the state of another step",
        momentum=0.5,
        resume=STATE | {"optimizer": {"m": W}},
    ),
    *DATA,
    refused(
        ValueError,
        "resume must hold parameters with the shapes of params, [(2,)], got [(3,)]",
        resume={
            "params": [torch.zeros(3)],
            "optimizer": None,
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
            "optimizer": None,
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
)


def trained_line_by_epochs(epochs: Callable[..., Any]) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the parameters of a linear model after the last of two epochs."""
    return trained_line(lambda *args, **options: list(epochs(*args, **options))[-1])


def trained_module(fit_: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the weight of a linear module after two weighted epochs with a short last batch."""

    def weight(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        module = Line(x.shape[1]).to(x)
        options: dict[str, Any] = {"weights": weights.abs(), "shuffle": False, "max_norm": 1.0, "accumulate": 2}
        fit_(module_loss, module, (x, y), epochs=2, batch_size=2, lr=0.1, **options)
        return module.weight.detach()

    return weight


class Line(torch.nn.Module):
    """A linear model that begins at zero."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(n_in))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        return x @ self.weight


def module_loss(module: Line, x: Tensor, y: Tensor) -> Tensor:
    """Return the squared loss of a linear model."""
    return (module(x) - y) ** 2 / 2


def outputs(module: Line, x: Tensor) -> Tensor:
    """Return the outputs as losses."""
    return module(x)


def on_modules(refusals: tuple[Refusal, ...]) -> tuple[Refusal, ...]:
    """Return the same refusals of a module."""
    return tuple(replace(r, args=(outputs, Line(2), *r.args[2:])) for r in refusals)


def refused_module(error: type[Exception], message: str, *args: Any, **changed: Any) -> Refusal:
    """Return the refusal of a call of which some arguments are changed."""
    return Refusal(error, message, args or (outputs, Line(2), X), ONE_EPOCH | changed)


FROZEN = Line(2).requires_grad_(requires_grad=False)

ENTRIES = {
    "training.epochs": Entry(
        make=lambda generator: (draw(generator, 5, 3), draw(generator, 5), draw(generator, 5)),
        adapt=trained_line_by_epochs,
        empty=refused(ValueError, "data must have a row, got none", dot_loss, W, X[:0]),
        exempt=EXEMPT,
        refusals=(
            refused(TypeError, "epochs must be an integer, got 1.5", epochs=1.5),
            refused(ValueError, "epochs must be >= 0, got -1", epochs=-1),
            refused(TypeError, "params must be a torch.Tensor, got float", dot_loss, 0.0, X),
            refused(ValueError, "lr must be >= 0 and finite, got -0.5", lr=-0.5),
        ),
    ),
    "training.fit": Entry(
        make=lambda generator: (draw(generator, 5, 3), draw(generator, 5), draw(generator, 5)),
        adapt=trained_line,
        empty=refused(ValueError, "data must have a row, got none", dot_loss, W, X[:0]),
        exempt=EXEMPT,
        refusals=FIT,
    ),
    "training.fit_": Entry(
        make=lambda generator: (draw(generator, 5, 3), draw(generator, 5), draw(generator, 5)),
        adapt=trained_module,
        empty=refused_module(ValueError, "data must have a row, got none", outputs, Line(2), X[:0]),
        exempt=EXEMPT,
        refusals=(
            *on_modules(DATA),
            refused_module(
                TypeError, "module must be a torch.nn.Module, got list; fit trains parameters", outputs, [W], X
            ),
            refused_module(
                TypeError,
                "losses must be a real floating-point tensor, got torch.bool",
                lambda module, x: module(x) > 0,
                Line(2),
                X,
            ),
            refused_module(
                TypeError, "weights must be a real floating-point tensor, got torch.int64", weights=torch.ones(3).long()
            ),
            refused_module(TypeError, "epochs must be an integer, got 1.5", epochs=1.5),
            refused_module(TypeError, "batch_size must be an integer, got None", batch_size=None),
            refused_module(TypeError, "accumulate must be an integer, got 2.0", accumulate=2.0),
            refused_module(TypeError, "lr must be a real number, got '0.1'", lr="0.1"),
            refused_module(TypeError, "max_norm must be a real number, got None", max_norm=None),
            refused_module(TypeError, "optimizer must be a torch.optim.Optimizer, got str", optimizer="sgd"),
            refused_module(
                TypeError,
                "optimizer must take steps without a closure, got LBFGS; "
                "call its step with a closure in a loop of your own",
                optimizer=torch.optim.LBFGS(Line(2).parameters()),
            ),
            refused_module(ValueError, "epochs must be >= 0, got -1", epochs=-1),
            refused_module(ValueError, "batch_size must be >= 1, got 0", batch_size=0),
            refused_module(ValueError, "accumulate must be >= 1, got 0", accumulate=0),
            refused_module(ValueError, "lr must be >= 0 and finite, got -0.5", lr=-0.5),
            refused_module(ValueError, "lr(0) must be >= 0 and finite, got -1.0", lr=uphill),
            refused_module(ValueError, "max_norm must be >= 0, got nan", max_norm=float("nan")),
            refused_module(ValueError, "lr must be given without an optimizer, got None", lr=None),
            refused_module(
                ValueError,
                "optimizer must hold parameters of the module, got one that holds others only",
                optimizer=torch.optim.SGD(Line(2).parameters(), lr=0.1),
            ),
            refused_module(
                ValueError, "module must have a parameter that requires a gradient, got none", outputs, FROZEN, X
            ),
            refused_module(
                ValueError,
                "data[0] and data[1] must have the same number of rows, got 3 and 2",
                outputs,
                Line(2),
                (X, X[1:]),
            ),
            refused_module(
                ValueError,
                "weights must be >= 0 and finite, got -1.0 at index 1",
                weights=torch.tensor([1.0, -1.0, 1.0]),
            ),
            refused_module(
                ValueError,
                "loss must return one value per example, shape (2,), got ()",
                lambda module, x: module(x).mean(),
                Line(2),
                X,
            ),
            refused_module(
                ValueError,
                "loss must depend on the module, got one that does not; compute it from its first argument",
                lambda _, x: x[:, 0],
                Line(2),
                X,
            ),
            refused_module(
                ValueError,
                "loss must depend on the module, got one that depends on other tensors only",
                lambda _, x: x @ torch.ones(2, requires_grad=True),
                Line(2),
                X,
            ),
            refused_module(
                ValueError,
                "resume must hold parameters with the shapes of params, [(2,)], got [(3,)]",
                resume=STATE | {"params": [torch.zeros(3)]},
            ),
            refused_module(
                ValueError,
                "generator must be given to resume a run that had one, got None",
                resume=STATE | {"generator": torch.Generator().get_state()},
            ),
            refused_module(
                DivergenceError,
                "loss must be finite, got nan at epoch 0, batch 1",
                outputs,
                Line(2),
                torch.tensor([[1.0, 0.0], [0.0, 1.0], [float("nan"), 1.0]]),
                shuffle=False,
            ),
            refused_module(
                DivergenceError,
                "params must be finite, got -inf at epoch 0, batch 0",
                lambda module, x: (module(x) + 1e-30).sqrt(),
                Line(2),
                X,
                lr=1e30,
                batch_size=3,
            ),
        ),
    ),
}
