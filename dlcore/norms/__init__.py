r"""Norms: how large is a vector or a matrix?

A norm is a function :math:`\lVert\cdot\rVert` that is zero only at the zero vector, scales as
:math:`\lVert a\mathbf{x}\rVert = |a|\,\lVert\mathbf{x}\rVert`, and satisfies the triangle inequality
:math:`\lVert\mathbf{x}+\mathbf{y}\rVert \le \lVert\mathbf{x}\rVert + \lVert\mathbf{y}\rVert`. Every function
of this chapter is finite wherever the dtype of its argument can represent the true value: entries of size 1e30 do
not overflow when squared, and entries of size 1e-30 do not underflow. At a kink the gradient is a subgradient.
"""

from ._matrices import frobenius_norm, nuclear_norm, spectral_norm
from ._vectors import l1_norm, l2_norm, lp_norm, max_norm

__all__ = [
    "frobenius_norm",
    "l1_norm",
    "l2_norm",
    "lp_norm",
    "max_norm",
    "nuclear_norm",
    "spectral_norm",
]
