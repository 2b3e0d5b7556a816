r"""Newton's method for smooth convex functions.

Each step solves :math:`\mathbf{H}\mathbf{s} = -\mathbf{g}` by a Cholesky factorization, and is halved until the value
decreases sufficiently. The Newton decrement :math:`\mathbf{g}^\top\mathbf{H}^{-1}\mathbf{g}` is twice the decrease
that the quadratic model predicts. Near the minimum, each decrement is about the square of the previous one.

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
SHORTEST_STEP = 1e-12  # as a fraction of the full Newton step
SUFFICIENT_DECREASE = 1e-4  # of the value, as a fraction of the linear prediction (Armijo condition)
VALUE_ROUNDING = 1e-14  # relative to the value
DIAGONAL_ROUNDING = 1e-14  # relative to a diagonal entry of the Hessian, per parameter

Derivatives = Callable[[], tuple[Tensor, Tensor]]  # the gradient and the Hessian at the parameters of the value
Objective = Callable[[Tensor], tuple[Tensor, Derivatives]]


class Minimum(NamedTuple):
    """The parameters at the minimum, and the Cholesky factor of the Hessian where the last step began."""

    params: Tensor
    factor: Tensor


def minimize_convex(objective: Objective, start: Tensor, *, tolerance: float, remedy: str) -> Minimum:
    """Return the minimum; the first step whose decrement is at most the tolerance is the last one.

    ``objective`` maps parameters to the value and to a function that returns the derivatives there; the derivatives are
    computed only where a step begins. ``remedy`` ends the error message, and names what the caller can change.
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
    """Return the Newton step, which is minus the inverse Hessian times the gradient, and the Cholesky factor.

    If parameters are dependent, the Hessian is singular up to rounding. Its diagonal is therefore increased by a bound
    on this rounding, which has no noticeable effect on other steps.
    """
    diagonal = hessian.diagonal()
    rounding = DIAGONAL_ROUNDING * len(diagonal) * diagonal + torch.finfo(hessian.dtype).tiny
    factor, failed = cholesky(hessian + torch.diag(rounding))
    if bool(failed):
        raise RuntimeError(f"no minimum found: the second derivatives are not positive definite; {remedy}")
    return -torch.cholesky_solve(gradient[:, None], factor)[:, 0], factor
