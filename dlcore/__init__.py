"""The core of deep learning as verified formulas."""

from . import (
    activations,
    batches,
    information,
    init,
    likelihood,
    linear,
    losses,
    metrics,
    model_selection,
    norms,
    optim,
)

__all__ = [
    "activations",
    "batches",
    "information",
    "init",
    "likelihood",
    "linear",
    "losses",
    "metrics",
    "model_selection",
    "norms",
    "optim",
]
