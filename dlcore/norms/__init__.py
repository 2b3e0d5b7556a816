r"""How large is a vector, and how large is a matrix?

A norm is a function :math:`\lVert\cdot\rVert` that is zero at the zero vector only, scales as
:math:`\lVert a\mathbf{x}\rVert = |a|\,\lVert\mathbf{x}\rVert`, and keeps the triangle inequality
:math:`\lVert\mathbf{x}+\mathbf{y}\rVert \le \lVert\mathbf{x}\rVert + \lVert\mathbf{y}\rVert`. Every function
of this chapter is finite wherever its true value can be written in the type of its argument: the squares of
entries of size 1e30 do not overflow, those of size 1e-30 do not vanish. At a kink the gradient is a subgradient.
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
