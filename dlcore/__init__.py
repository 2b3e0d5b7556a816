"""The core of deep learning as verified formulas."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def __getattr__(name: str) -> ModuleType:
    """Import a module when it is first used, so that a script takes the time of what it needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return __all__
