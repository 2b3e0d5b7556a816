r"""Newton's method for smooth convex functions.

Each step solves :math:`\mathbf{H}\mathbf{s} = -\mathbf{g}` by Cholesky's factorization, and is halved until the value
falls enough. Newton's decrement :math:`\mathbf{g}^\top\mathbf{H}^{-1}\mathbf{g}` is twice the fall that a quadratic
model predicts; near the minimum, each decrement is about the square of the last.

Reference: S. Boyd and L. Vandenberghe, *Convex Optimization*, 2004, section 9.5.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ._torch import cholesky

__all__ = ["Derivatives", "Minimum", "Objective", "minimize_convex"]

MAX_STEPS = 100
SHORTEST_STEP = 1e-12  # as a fraction of Newton's step
SUFFICIENT_DECREASE = 1e-4  # of the value, as a fraction of what the slope promises (Armijo)
VALUE_ROUNDING = 1e-14  # of the value, relative
DIAGONAL_ROUNDING = 1e-14  # of the second derivatives, relative, for each of their rows

Derivatives = Callable[[], tuple[Tensor, Tensor]]  # gradient and second derivatives where the value was computed
Objective = Callable[[Tensor], tuple[Tensor, Derivatives]]


class Minimum(NamedTuple):
    """Parameters, and the Cholesky factor of the second derivatives where the last step began."""

    params: Tensor
    factor: Tensor


def minimize_convex(objective: Objective, start: Tensor, *, tolerance: float, remedy: str) -> Minimum:
    """Return the minimum: the step whose decrement is at most the tolerance is the last one.

    ``objective`` maps parameters to the value, and to a function that returns the derivatives there: these are computed
    only where a step begins. ``remedy`` ends the error message: it names what the caller can change.
    """
    params, (value, derivatives) = start, objective(start)
    for _ in range(MAX_STEPS):
        gradient, hessian = derivatives()
        step, factor = _newton_step(gradient, hessian, remedy)
        decrement = -float(gradient @ step)
        if not 0 <= decrement < math.inf:
            raise RuntimeError(f"no minimum found: the derivatives are not finite; {remedy}")
        if decrement <= tolerance:
            return Minimum(params + step, factor)
        highest = float(value) + VALUE_ROUNDING * abs(float(value)) + tolerance / 100
        length = 1.0
        while True:
            moved = params + length * step
            value, derivatives = objective(moved)
            if float(value) <= highest - SUFFICIENT_DECREASE * length * decrement:
                break
            length /= 2
            if length < SHORTEST_STEP:
                raise RuntimeError(f"no minimum found: the value does not fall along Newton's step; {remedy}")
        params = moved
    raise RuntimeError(f"no minimum found in {MAX_STEPS} steps; {remedy}")


def _newton_step(gradient: Tensor, hessian: Tensor, remedy: str) -> tuple[Tensor, Tensor]:
    """Return minus the inverse of the second derivatives times the gradient, and their Cholesky factor.

    The second derivatives of dependent parameters are singular up to rounding. The diagonal is therefore raised by a
    bound of that rounding, which changes no other step noticeably.
    """
    diagonal = hessian.diagonal()
    rounding = DIAGONAL_ROUNDING * len(diagonal) * diagonal + torch.finfo(hessian.dtype).tiny
    factor, failed = cholesky(hessian + torch.diag(rounding))
    if bool(failed):
        raise RuntimeError(f"no minimum found: the second derivatives are not positive definite; {remedy}")
    return -torch.cholesky_solve(gradient[:, None], factor)[:, 0], factor
