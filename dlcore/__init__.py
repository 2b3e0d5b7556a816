"""The core of deep learning as verified formulas."""

from . import (
    activations,
    batches,
    datasets,
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
    risk,
    shift,
    training,
)

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "activations",
    "batches",
    "datasets",
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
    "risk",
    "shift",
    "training",
]
