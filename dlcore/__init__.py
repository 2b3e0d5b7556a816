"""The core of deep learning as verified formulas."""

from . import linear, norms

__all__ = ["linear", "norms"]
