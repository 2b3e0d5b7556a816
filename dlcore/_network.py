"""Shared by the network chapters: schemes, activations and losses by name, their derivatives, and layers."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from . import activations, init, losses
from ._checks import check_floating, check_rank
from .activations import sigmoid
from .linear import LinearParams, linear
from .regularization import dropout

__all__ = ["ACTIVATIONS", "LOSSES", "SCHEMES", "Activation", "Loss", "activation_of", "layer_values", "named"]

T = TypeVar("T")


@dataclass(frozen=True)
class Activation:
    """An activation φ and its derivative φ', both elementwise functions of the pre-activation."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """A loss l(o, y) per example, and its derivative with respect to the outputs o."""

    per_example: Callable[[Tensor, Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]


def named(parameter: str, name: str, table: Mapping[str, T]) -> T:
    """Return the entry of the table with this name, or raise ValueError that lists the names."""
    if name not in table:
        raise ValueError(f"{parameter} must be one of {', '.join(table)}, got {name!r}")
    return table[name]


def _gelu_derivative(z: Tensor) -> Tensor:
    """Return Φ(z) + z Φ'(z), where Φ is the standard normal distribution function."""
    z = z.clamp(-1e3, 1e3)  # an infinite z times a density of 0 would be NaN
    return torch.erfc(-z / math.sqrt(2)) / 2 + z * torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _swish_derivative(z: Tensor) -> Tensor:
    """Return σ(z) + z σ'(z)."""
    z = z.clamp(-1e3, 1e3)  # an infinite z times a slope of 0 would be NaN
    return sigmoid(z) * (1 + z * sigmoid(-z))


def _as_probabilities(labels: Tensor, logits: Tensor) -> Tensor:
    """Return class indices as one-hot rows, and probabilities unchanged."""
    if labels.is_floating_point():
        return labels
    return (labels.long()[:, None] == torch.arange(logits.shape[1], device=logits.device)).to(logits.dtype)


def _cross_entropy_derivative(o: Tensor, y: Tensor) -> Tensor:
    """Return softmax(o) Σy − y; Σy is 1 if the labels are distributions."""
    labels = _as_probabilities(y, o)
    return activations.softmax(o) * labels.sum(-1, keepdim=True) - labels


def _normal(n_in: int, n_out: int, **options: Any) -> Tensor:  # noqa: ANN401
    return init.normal((n_in, n_out), **options)


# 1 − σ(z) and 1 − tanh(z)² lose digits where they approach 0; the equal σ(−z) and 4σ(2z)σ(−2z) do not
ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(activations.relu, lambda z: (z > 0).to(z.dtype)),
    "sigmoid": Activation(sigmoid, lambda z: sigmoid(z) * sigmoid(-z)),
    "tanh": Activation(activations.tanh, lambda z: 4 * sigmoid(2 * z) * sigmoid(-2 * z)),
    "softplus": Activation(activations.softplus, sigmoid),
    "gelu": Activation(activations.gelu, _gelu_derivative),
    "swish": Activation(activations.swish, _swish_derivative),
    "identity": Activation(lambda z: z, torch.ones_like),
}
LOSSES: Mapping[str, Loss] = {
    "cross_entropy": Loss(losses.cross_entropy, _cross_entropy_derivative),
    "squared_loss": Loss(lambda o, y: losses.squared_loss(o, y).sum(1), lambda o, y: o - y),
}
SCHEMES: Mapping[str, Callable[..., Tensor]] = {
    "xavier_uniform": init.xavier_uniform,
    "xavier_normal": init.xavier_normal,
    "he_uniform": init.he_uniform,
    "he_normal": init.he_normal,
    "normal": _normal,
}


def activation_of(activation: str | Callable[[Tensor], Tensor]) -> Activation:
    """Return the activation with this name, or the caller's function with the derivative that torch computes."""
    if not callable(activation):
        return named("activation", activation, ACTIVATIONS)
    return Activation(activation, lambda z: torch.func.vjp(activation, z)[1](torch.ones_like(z))[0])


def layer_values(
    params: Sequence[LinearParams],
    x: Tensor,
    activation: str | Callable[[Tensor], Tensor],
    *,
    dropped: Sequence[float] = (),
    generator: Generator | None = None,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    """Return the pre-activations z and the activations h of the hidden layers, and the outputs o.

    ``dropped`` holds, for each hidden layer, the probability of dropping an activation; if it is empty, none are
    dropped.
    """
    phi = activation_of(activation).function
    if len(params) == 0:
        raise ValueError("params must hold at least one layer, got none")
    check_floating(x=x)
    check_rank("x", x, 1, "(*, n_in)")
    z: list[Tensor] = []
    h = [x]
    for k, (weight, bias) in enumerate(params):
        if k > 0:
            h_k = phi(z[-1])
            h.append(dropout(h_k, dropped[k - 1], generator=generator) if dropped else h_k)
        for name, value in ("weight", weight), ("bias", bias):
            if not (isinstance(value, Tensor) and value.is_floating_point()):  # pyright: ignore[reportUnnecessaryIsInstance]
                check_floating(**{f"params[{k}].{name}": value})
        n_in = h[-1].shape[-1]
        if weight.dim() != 2 or weight.shape[0] != n_in:
            raise ValueError(f"params[{k}].weight must have shape ({n_in}, n_out), got {tuple(weight.shape)}")
        z.append(linear(h[-1], weight, bias))
    return tuple(z[:-1]), tuple(h[1:]), z[-1]
