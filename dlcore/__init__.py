"""The core of deep learning as verified formulas."""

from . import activations, linear, model_selection, norms

__all__ = ["activations", "linear", "model_selection", "norms"]
