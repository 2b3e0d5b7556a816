"""The core of deep learning as verified formulas."""

from . import (
    activations,
    batches,
    importance,
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
    "importance",
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
