"""The core of deep learning as verified formulas."""

from . import linear, model_selection, norms

__all__ = ["linear", "model_selection", "norms"]
