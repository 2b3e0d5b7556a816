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
    mlp,
    model_selection,
    norms,
    optim,
    propagation,
    regularization,
    training,
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
    "mlp",
    "model_selection",
    "norms",
    "optim",
    "propagation",
    "regularization",
    "training",
]
