"""Entries of :mod:`dlcore.optim`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import Entry, Refusal, draw

W = torch.ones(2)
PARAMS = {"weight": torch.ones(3, 2), "bias": torch.ones(2)}
LR = {"lr": 0.1}


def fresh(gradient: Tensor | None = None) -> Tensor:
    """Return a parameter with this gradient."""
    w = torch.ones(2, requires_grad=True)
    w.grad = gradient
    return w


def as_function(sgd_: Callable[..., None]) -> Callable[..., Tensor]:
    """Take the step on a copy that holds the gradient, and return the copy."""

    def stepped(w: Tensor, g: Tensor, **kwargs: Any) -> Tensor:
        parameter = w.detach().clone()
        parameter.grad = g.detach().clone()
        sgd_([parameter], **kwargs)
        return parameter

    return stepped


def on_a_mapping(step: Callable[..., Any]) -> Callable[..., Tensor]:
    """Take the step on a mapping with a list in it."""

    def stepped(w: Tensor, b: Tensor, dw: Tensor, db: Tensor, **kwargs: Any) -> Tensor:
        params = step({"weight": w, "rest": [b]}, {"weight": dw, "rest": [db]}, **kwargs)
        return params["weight"] * params["rest"][0]

    return stepped


RATES = (
    Refusal(TypeError, "lr must be a real number, got '0.1'", (W, W), {"lr": "0.1"}),
    Refusal(ValueError, "lr must be >= 0 and finite, got -0.1", (W, W), {"lr": -0.1}),
    Refusal(ValueError, "lr must be >= 0 and finite, got inf", (W, W), {"lr": math.inf}),
    Refusal(ValueError, "lr must be >= 0 and finite, got nan", (W, W), {"lr": math.nan}),
)
TREES = (
    Refusal(TypeError, "params[1] must be a real floating-point tensor, got torch.int64", ([W, W.long()], [W, W]), LR),
    Refusal(TypeError, "params['weight'] must be a torch.Tensor, got float", ({"weight": 1.0}, {"weight": W}), LR),
    Refusal(TypeError, "grads[1] must be a torch.Tensor, got NoneType", ([W, W], [W, None]), LR),
    Refusal(TypeError, "grads must be a real floating-point tensor, got torch.int64", (W, W.long()), LR),
    Refusal(
        TypeError, "grads must have the dtype of params, torch.float32, got torch.float64", (W, W.to(torch.float64)), LR
    ),
    Refusal(ValueError, "grads must have the structure of params, [*], got (*,)", ([W], (W,)), LR),
    Refusal(
        ValueError,
        "grads must have the structure of params, {'weight': *, 'bias': *}, got {'weight': *}",
        (PARAMS, {"weight": PARAMS["weight"]}),
        LR,
    ),
    Refusal(
        ValueError,
        "params[0] and grads[0] must have the same shape, got (2,) and (2, 1); "
        "grads[0].reshape(params[0].shape) makes them agree",
        ([W], [W.reshape(2, 1)]),
        LR,
    ),
)
DECAYS = (
    Refusal(TypeError, "weight_decay must be a real number, got None", (W, W), LR | {"weight_decay": None}),
    Refusal(ValueError, "weight_decay must be >= 0 and finite, got -1.0", (W, W), LR | {"weight_decay": -1.0}),
    Refusal(
        ValueError,
        "weight_decay['bias'] must be >= 0 and finite, got -1.0",
        (PARAMS, PARAMS),
        LR | {"weight_decay": {"bias": -1.0, "weight": 0}},
    ),
    Refusal(
        TypeError,
        "weight_decay[0] must be a real number, got True",
        ([W], [W]),
        LR | {"weight_decay": [True]},
    ),
    Refusal(
        ValueError,
        "weight_decay must have the structure of params, [*], got [*, *]",
        ([W], [W]),
        LR | {"weight_decay": [0.1, 0.1]},
    ),
)
IN_PLACE = "it writes into leaves of the graph, where no derivative passes"

ENTRIES = {
    "optim.sgd_": Entry(
        make=lambda generator: (draw(generator, 3, 2), draw(generator, 3, 2)),
        kwargs={"lr": 0.5, "batch_size": 4},
        adapt=as_function,
        empty=((torch.ones(0, 2), torch.ones(0, 2)), (0, 2)),
        refusals=(
            Refusal(TypeError, "lr must be a real number, got None", ([W],), {"lr": None}),
            Refusal(ValueError, "lr must be >= 0 and finite, got -0.1", ([W],), {"lr": -0.1}),
            Refusal(TypeError, "batch_size must be an integer, got 2.0", ([W],), LR | {"batch_size": 2.0}),
            Refusal(ValueError, "batch_size must be >= 1, got 0", ([W],), LR | {"batch_size": 0}),
            Refusal(TypeError, "params[0] must be a real floating-point tensor, got torch.int64", ([W.long()],), LR),
            Refusal(
                ValueError,
                "params[1] must be a leaf of the autograd graph, got the result of an operation",
                ([fresh(W), 0.01 * fresh()],),
                LR,
            ),
            Refusal(
                ValueError,
                "params[1] must have a gradient, got .grad = None: has backward() reached it?",
                ([fresh(W), fresh()],),
                LR,
            ),
            Refusal(
                ValueError,
                "params['bias'] must have a gradient, got .grad = None: has backward() reached it?",
                ({"weight": fresh(W), "bias": fresh()},),
                LR,
            ),
        ),
        exempt={
            "gradient": IN_PLACE,
            "func_grad": IN_PLACE,
            "vmap": "torch has no batching rule for the update of a list of tensors in place",
        },
    ),
    "optim.sgd_step": Entry(
        make=lambda generator: (
            draw(generator, 3, 2),
            draw(generator, 2),
            draw(generator, 3, 2),
            draw(generator, 2),
        ),
        kwargs={"lr": 0.5, "weight_decay": {"rest": [0.0], "weight": 0.5}},
        adapt=on_a_mapping,
        empty=((torch.ones(0, 2), torch.ones(2), torch.ones(0, 2), torch.ones(2)), (0, 2)),
        refusals=(*RATES, *TREES, *DECAYS),
    ),
}
