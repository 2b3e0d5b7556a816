r"""Newton's method for the penalized loss of a linear model.

Cholesky's factorization solves its linear systems if the Hessian is small, otherwise preconditioned conjugate gradients
do. All sums run in float64 over blocks of standardized rows that stay in the cache.

References: J. Nocedal and S. J. Wright, *Numerical Optimization*, 2nd ed., 2006, chapters 3, 5 and 7.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ._logit_losses import Loss
from ._torch import cholesky, eigh, solve_triangular, vector_norm

__all__ = ["NewtonStep", "Preconditioner", "Problem", "RowSource", "newton_steps", "preconditioner"]

BLOCK_ENTRIES = 2**16  # of the inputs, read at a time: 512 KB in float64
MAX_PRODUCTS_EACH_STEP = 2**28  # for a Hessian and its factor: up to here, each step computes them for rows in memory
MAX_PRODUCTS = 2**33  # up to here, the Hessian of several outputs is the preconditioner if a simpler one is slow
MAX_CG_STEPS = 500  # of conjugate gradients in a step of Newton's method
SLOW_CG_STEPS = 12  # after which the next step of Newton's method computes a new preconditioner
MIN_CG_RESIDUAL, MAX_CG_RESIDUAL = 1e-6, 0.1  # relative
MIN_SHARE = 1e-14  # of a direction's curvature in the simpler preconditioner, relative
MAX_SLOPE = 0.5  # at the end of a step, relative to its start
MAX_LENGTH_RATIO = 4.0  # of the first length that is tried, to the last step's
MIN_BRACKET = 1e-12  # of the length of a step
LOGIT_ROUNDING = 1e-9  # of a separating direction's logits, relative to the size of their terms
DIAGONAL_ROUNDING = 1e-14  # of the Hessian, relative, for each of its rows

Preconditioner = Callable[[Tensor], Tensor]  # solves a linear system with an approximate Hessian


@runtime_checkable
class RowSource(Protocol):
    """A matrix, or an object that computes rows of one when they are read by a slice or by their indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | Tensor, /) -> Tensor: ...

    @property
    def shape(self) -> torch.Size: ...

    @property
    def device(self) -> torch.device: ...


@dataclass(frozen=True)
class Problem:
    """The weighted sum of losses plus the penalty, a function of the parameters (k, d + 1) of standardized columns.

    The bias is the last parameter, and belongs to a column of ones.
    """

    loss: Loss
    x: RowSource
    y: Tensor
    weights: Tensor | None
    penalties: Tensor  # of each standardized column, 0 for the bias
    mean: Tensor
    std: Tensor

    def blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Yield, block by block, standardized inputs with a last column of ones, targets and weights."""
        n_params = len(self.penalties)
        block_rows = max(BLOCK_ENTRIES // n_params, 1)
        buffer = self.penalties.new_ones(0 if self.is_in_memory else block_rows, n_params)
        for first_row in range(0, len(self.x), block_rows):
            block = slice(first_row, first_row + block_rows)
            inputs = self.x[block]
            if not self.is_in_memory:  # all blocks share a buffer, which stays in the cache
                rows, inputs = inputs, buffer[: len(inputs)]
                inputs[:, :-1] = rows
                inputs[:, :-1].sub_(self.mean).div_(self.std)
            yield inputs, self.y[block], None if self.weights is None else self.weights[block]

    @property
    def is_in_memory(self) -> bool:
        """Whether the inputs are standardized already, with a last column of ones."""
        return self.x.shape[1] == len(self.penalties)

    def hessian_products(self, k: int) -> int:
        """Return the order of the number of products in the whole Hessian of k outputs and its factorization."""
        size = k * len(self.penalties)
        return max(len(self.x), size) * size**2

    def gradient(self, params: Tensor) -> tuple[Tensor, float]:
        """Return the gradient and the scale of the objective: a lower bound of it, of the same order."""
        gradient = self.penalties * params
        scale = (gradient * params).sum() / 2
        for inputs, y, weights in self.blocks():
            errors, row_scale = self.loss.gradient(params @ inputs.T, y)
            if weights is not None:
                errors, row_scale = errors.mul_(weights), row_scale * weights
            gradient.addmm_(errors, inputs)
            scale += row_scale.sum()
        return gradient, float(scale)

    def hessian_times(self, params: Tensor, direction: Tensor) -> Tensor:
        """Return the Hessian at the parameters times a direction."""
        product = self.penalties * direction
        both = torch.cat([params, direction])
        for inputs, y, weights in self.blocks():
            z, u = (both @ inputs.T).chunk(2)
            change = self.loss.hessian_times(z, y, u)
            product.addmm_(change if weights is None else change.mul_(weights), inputs)
        return product

    def mean_hessian(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Return the Hessian of the losses by one output's parameters, as a mean, and each output's share of it."""
        k, n_params = params.shape
        hessian, shares = params.new_zeros(n_params, n_params), params.new_zeros(k)
        for inputs, y, weights in self.blocks():
            v = self.loss.curvature(params @ inputs.T, y)
            if weights is not None:
                v.mul_(weights)
            shares += v.sum(1)
            hessian.addmm_(v.mean(0) * inputs.T, inputs)
        return hessian, shares / shares.mean()

    def hessian(self, params: Tensor) -> Tensor:
        """Return the whole Hessian of the softmax loss, (k, d + 1, k, d + 1), from products of probabilities."""
        k, n_params = params.shape
        hessian = params.new_zeros(k, n_params, k, n_params)
        for inputs, _, weights in self.blocks():
            p = (params @ inputs.T).softmax(0)
            weighted = p if weights is None else p * weights
            for j in range(k - 1):
                products = (weighted[j] * p[j + 1 :])[:, None] * inputs.T
                hessian[j, :, j + 1 :] -= (products @ inputs).transpose(0, 1)
        hessian += hessian.permute(2, 3, 0, 1).clone()
        for j, block in enumerate(-hessian.sum(2)):
            hessian[j, :, j] = block + torch.diag(self.penalties)
        return hessian

    def separated_by(self, direction: Tensor) -> bool:
        """Return whether no row's loss grows far along a direction, up to rounding."""
        for inputs, y, _ in self.blocks():
            rounding = LOGIT_ROUNDING * (direction.abs() @ inputs.T.abs().clamp_min(1)).amax(0)
            if bool((self.loss.growth(direction @ inputs.T, y) > rounding).any()):
                return False
        return True


def _cholesky_factor(matrix: Tensor) -> Tensor | None:
    """Return the Cholesky factor of a matrix with its diagonal raised by its rounding, or None if there is none."""
    matrix.diagonal().mul_(1 + DIAGONAL_ROUNDING * len(matrix)).add_(torch.finfo(matrix.dtype).tiny)
    factor, failed = cholesky(matrix)
    return None if bool(failed) else factor


def preconditioner(
    problem: Problem, params: Tensor, *, max_products: int = MAX_PRODUCTS_EACH_STEP
) -> Preconditioner | None:
    """Return the inverse of the Hessian, or of an approximation where it has several outputs and takes more products.

    It is None if the matrix is not positive definite.
    """
    k = len(params)
    full = k > 1 and problem.hessian_products(k) <= max_products
    return (_full_preconditioner if full else _block_preconditioner)(problem, params)


def _block_preconditioner(problem: Problem, params: Tensor) -> Preconditioner | None:
    """Return the inverse of the mean Hessian of an output times each output's share; for one output it is exact."""
    hessian, shares = problem.mean_hessian(params)
    penalties = torch.diag(problem.penalties)
    factor = _cholesky_factor(hessian + penalties)
    if factor is None:
        return None
    if len(params) == 1:
        return lambda gradient: torch.cholesky_solve(gradient.mT, factor).mT
    # In the basis T the penalties are diag(θ), and the mean Hessian is diag(1 - θ).
    half = solve_triangular(factor, penalties, upper=False)
    theta, u = eigh(solve_triangular(factor, half.mT, upper=False))
    t = solve_triangular(factor.mT, u, upper=True)
    curvature = (shares[:, None] * (1 - theta) + theta).clamp_min(MIN_SHARE)
    return lambda gradient: _without_common_part((gradient @ t / curvature) @ t.mT)


def _full_preconditioner(problem: Problem, params: Tensor) -> Preconditioner | None:
    """Return the inverse of the whole Hessian of several outputs."""
    factor = _cholesky_factor(problem.hessian(params).reshape(params.numel(), params.numel()))
    if factor is None:
        return None
    return lambda gradient: _without_common_part(
        torch.cholesky_solve(gradient.reshape(-1, 1), factor).reshape(params.shape)
    )


def _without_common_part(step: Tensor) -> Tensor:
    """Subtract what a step adds to the parameters of all outputs: it does not change the probabilities."""
    return step - step.mean(0)


def _conjugate_gradients(
    problem: Problem, params: Tensor, gradient: Tensor, precondition: Preconditioner, tolerance: float
) -> tuple[Tensor, int]:
    """Return a step that solves Newton's system up to a relative residual, and the number of iterations."""
    step, residual = torch.zeros_like(params), -gradient
    direction = preconditioned = precondition(residual)
    square, count = _dot(residual, preconditioned), 0
    limit = tolerance**2 * square
    while square > limit and count < MAX_CG_STEPS:
        product = problem.hessian_times(params, direction)
        curvature = _dot(direction, product)
        if not curvature > 0:  # rounding
            break
        step = step.add(direction, alpha=square / curvature)
        residual = residual.sub(product, alpha=square / curvature)
        preconditioned = precondition(residual)
        last_square, square = square, _dot(residual, preconditioned)
        direction = preconditioned.add(direction, alpha=square / last_square)
        count += 1
    return step, count


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))


class NewtonStep(NamedTuple):
    """Parameters, Newton's step from them, its squared decrement, and the scale of the objective."""

    params: Tensor
    step: Tensor
    decrement: float
    scale: float


def newton_steps(problem: Problem, params: Tensor, precondition: Preconditioner | None = None) -> Iterator[NewtonStep]:
    """Yield each step before it is taken; end if the derivatives are not finite.

    ``precondition`` is what conjugate gradients start with, if there is one already.
    """
    k = len(params)
    each_step = problem.is_in_memory and problem.hessian_products(k) <= MAX_PRODUCTS_EACH_STEP
    max_products, length = MAX_PRODUCTS_EACH_STEP, 1.0
    gradient, scale = problem.gradient(params)
    while math.isfinite(float(vector_norm(gradient))):
        if each_step or precondition is None:
            precondition = preconditioner(problem, params, max_products=max_products)
            if precondition is None:
                return
        if each_step:
            step = precondition(-gradient)
        else:
            decrement_ratio = _dot(gradient, precondition(gradient)) / max(scale, torch.finfo(torch.float64).tiny)
            residual = min(max(math.sqrt(max(decrement_ratio, 0)), MIN_CG_RESIDUAL), MAX_CG_RESIDUAL)
            step, count = _conjugate_gradients(problem, params, gradient, precondition, residual)
            if count > SLOW_CG_STEPS:
                precondition, max_products = None, MAX_PRODUCTS
        decrement = -_dot(gradient, step)
        yield NewtonStep(params, step, decrement, scale)
        params, gradient, scale, length = _line_search(problem, params, step, decrement, length)


def _line_search(
    problem: Problem, params: Tensor, step: Tensor, decrement: float, last_length: float
) -> tuple[Tensor, Tensor, float, float]:
    """Return parameters along the step with their gradient and scale, and the length of the step.

    A step is too long if the loss rises steeply at its end, and too short if a longer one was too long but the loss
    still falls steeply. The slope decides, because near the minimum the change of the loss is below its rounding.
    """
    length, low, high = min(1.0, MAX_LENGTH_RATIO * last_length), 0.0, math.inf
    while True:
        moved = params.add(step, alpha=length)
        gradient, scale = problem.gradient(moved)
        slope = _dot(gradient, step)
        if not slope <= MAX_SLOPE * decrement:
            high = length
        elif slope < -MAX_SLOPE * decrement and length < 1:
            low = length
        else:
            break
        if high - low < MIN_BRACKET:
            break
        length = (low + high) / 2 if high < math.inf else min(1.0, MAX_LENGTH_RATIO * length)
    return moved, gradient, scale, length
