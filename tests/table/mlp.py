"""Entries of :mod:`dlcore.mlp`."""

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dlcore.linear import LinearParams

from . import Entry, Refusal, draw, seeded

X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
LABELS = torch.tensor([0, 2])
LAYERS = (LinearParams(torch.ones(2, 4), torch.zeros(4)), LinearParams(torch.ones(4, 3), torch.zeros(3)))
MISFITS = (
    Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (LAYERS, LABELS[:, None])),
    Refusal(
        TypeError,
        "params[0].bias must be a real floating-point tensor, got torch.int64",
        ([LinearParams(torch.ones(2, 4), LABELS)], X),
    ),
    Refusal(TypeError, "weight must have the dtype of x, torch.float64, got torch.float32", (LAYERS, X.double())),
    Refusal(ValueError, "params must hold at least one layer, got none", ((), X)),
    Refusal(ValueError, "params[0].weight must have shape (4, n_out), got (2, 4)", (LAYERS, torch.ones(2, 4))),
    Refusal(ValueError, "params[1].weight must have shape (4, n_out), got (2, 4)", (LAYERS[:1] * 2, X)),
    Refusal(
        ValueError,
        "params[0].weight must have shape (2, n_out), got (2,)",
        ([LinearParams(torch.ones(2), torch.tensor(0.0))], X),
    ),
    Refusal(
        ValueError, "bias must have shape (4,), got (1, 4)", ([LinearParams(torch.ones(2, 4), torch.zeros(1, 4))], X)
    ),
    Refusal(ValueError, "x must have shape (*, n_in), got ()", (LAYERS, torch.tensor(1.0))),
    Refusal(
        ValueError,
        "activation must be one of relu, sigmoid, tanh, softplus, gelu, swish, identity, got 'softmax'",
        (LAYERS, X),
        {"activation": "softmax"},
    ),
)


def tensors(generator: Generator) -> tuple[Tensor, ...]:
    """Draw inputs, and the weight and bias of two layers."""
    shapes = ((5, 2), (2, 4), (4,), (4, 3), (3,))
    return tuple(draw(generator, *shape) for shape in shapes)


def tensors_and_targets(generator: Generator) -> tuple[Tensor, ...]:
    """Draw targets, too."""
    return draw(generator, 5, 3), *tensors(generator)


def tensors_and_labels(generator: Generator) -> tuple[Tensor, ...]:
    """Draw class labels, too."""
    return torch.randint(3, (5,), generator=generator), *tensors(generator)


def layers(w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[LinearParams, ...]:
    """Make parameters of tensors."""
    return LinearParams(w1, b1), LinearParams(w2, b2)


def of_tensors(mlp: Callable[..., Any]) -> Callable[..., Any]:
    """Take the parameters one by one."""
    return lambda x, *params, **options: mlp(layers(*params), x, **options)


def traced(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Take the parameters one by one, and return what depends on them."""

    def values(y: Tensor, x: Tensor, *params: Tensor, **options: Any) -> tuple[Tensor, ...]:
        trace = forward(layers(*params), x, y, **options)
        return (*trace.z, *trace.h, trace.o, trace.L, trace.s, trace.J)

    return values


def gradients_by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    """Go forward first, and return all gradients in one tuple."""
    forward = sys.modules[function.__module__].forward

    def flat(y: Tensor, x: Tensor, *params: Tensor, **options: Any) -> tuple[Tensor, ...]:
        grads = function(forward(layers(*params), x, y, **options))
        if hasattr(grads, "params"):
            return (grads.x, *grads.z, *grads.h, grads.o)
        return tuple(grad for layer in grads for grad in layer)

    return flat


def first_layer(init_mlp: Callable[..., Any]) -> Callable[..., Any]:
    """Multiply inputs by first weights of their width, dtype and device, drawn from one seed."""

    def output(x: Tensor, **options: Any) -> Tensor:
        params = init_mlp([x.shape[1], 3, 2], generator=seeded(x), dtype=x.dtype, device=x.device, **options)
        return x @ params[0].weight + params[0].bias

    return output


ENTRIES = {
    "mlp.init_mlp": Entry(
        make=lambda generator: (draw(generator, 5, 4),),
        kwargs={"scale": 1.5},
        adapt=first_layer,
        empty=Refusal(ValueError, "n_in must be >= 1, got 0", ([0, 3],)),
        refusals=(
            Refusal(TypeError, "scale must be a real number, got '2'", ([2, 3],), {"scale": "2"}),
            Refusal(ValueError, "scale must be finite, got inf", ([2, 3],), {"scale": math.inf}),
            Refusal(ValueError, "sizes must have at least two entries, got [3]", ([3],)),
            Refusal(
                ValueError,
                "scheme must be one of xavier_uniform, xavier_normal, he_uniform, he_normal, normal, got 'orthogonal'",
                ([2, 3],),
                {"scheme": "orthogonal"},
            ),
        ),
        exempt={
            "vmap": "each example draws its own weights",
            "compile": "torch.compile cannot create the generator that the test passes",
            "dtypes": "draws differ from dtype to dtype",
        },
    ),
    "mlp.mlp": Entry(
        make=tensors,
        kwargs={"activation": "tanh"},
        adapt=of_tensors,
        empty=((torch.ones(0, 2), *LAYERS[0], *LAYERS[1]), (0, 3)),
        refusals=(
            *MISFITS,
            Refusal(TypeError, "dropout must be a real number, got None", (LAYERS, X), {"dropout": None}),
            Refusal(ValueError, "dropout must be in [0, 1], got 1.5", (LAYERS, X), {"dropout": (1.5,)}),
            Refusal(
                ValueError,
                "dropout must have a probability for each of 1 hidden layers, got 2",
                (LAYERS, X),
                {"dropout": [0.5, 0.5]},
            ),
        ),
    ),
    "mlp.forward": Entry(
        make=tensors_and_labels,
        kwargs={"activation": "tanh", "penalty": 0.5},
        adapt=traced,
        empty=Refusal(
            ValueError,
            "x must have shape (n, n_in) with n >= 1, got (0, 2)",
            (LAYERS, torch.ones(0, 2), torch.ones(0, dtype=torch.int64)),
        ),
        refusals=(
            *(Refusal(r.error, r.message, (*r.args, LABELS), r.kwargs) for r in MISFITS),
            Refusal(ValueError, "x must have shape (n, n_in) with n >= 1, got (2,)", (LAYERS, X[0], LABELS)),
            Refusal(
                ValueError,
                "loss must be one of cross_entropy, squared_loss, got 'mse'",
                (LAYERS, X, LABELS),
                {"loss": "mse"},
            ),
            Refusal(ValueError, "penalty must be >= 0, got -0.5", (LAYERS, X, LABELS), {"penalty": -0.5}),
            Refusal(TypeError, "penalty must be a real number, got None", (LAYERS, X, LABELS), {"penalty": None}),
        ),
    ),
    "mlp.backward": Entry(
        make=tensors_and_labels,
        kwargs={"activation": "gelu", "penalty": 0.5},
        adapt=gradients_by_name,
        exempt={"empty": "there is no trace without rows: forward refuses them"},
    ),
    "mlp.gradients": Entry(
        make=tensors_and_targets,
        kwargs={"activation": "swish", "loss": "squared_loss"},
        adapt=gradients_by_name,
        exempt={"empty": "there is no trace without rows: forward refuses them"},
    ),
}
