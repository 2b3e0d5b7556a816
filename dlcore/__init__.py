"""The core of deep learning as verified formulas."""

from . import norms

__all__ = ["norms"]
