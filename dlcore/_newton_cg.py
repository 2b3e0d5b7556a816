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
from ._shards import OneProcess, Shards
from ._torch import cholesky, eigh, solve_triangular, vector_norm

__all__ = [
    "NewtonStep",
    "Point",
    "Preconditioner",
    "Problem",
    "RowSource",
    "Standardization",
    "newton_steps",
    "preconditioner",
]

BLOCK_ENTRIES = 2**16  # of inputs in memory, read at a time: 512 KB; of others, twice as many
MAX_PRODUCTS_EACH_STEP = 2**28  # for a Hessian and its factor: up to here, each step computes them for rows in memory
MAX_PRODUCTS = 2**33  # up to here, the Hessian of several outputs is the preconditioner if a simpler one is slow
MAX_KEPT_ENTRIES = 2**24  # of the rows' probabilities: 128 MB, and as much again while a step is tried
MAX_EXACT_PARAMS = 160  # up to here, the Hessian of all rows takes less time than the iterations that it saves
MAX_CG_STEPS = 500  # of conjugate gradients in a step of Newton's method
SLOW_CG_STEPS = 12  # after which the next step of Newton's method computes a new preconditioner
MIN_CG_RESIDUAL, MAX_CG_RESIDUAL = 1e-12, 1e-2  # squared and relative
LAST_DISTANCE = 1e-27  # from the minimum, squared and relative to the loss, that is resolved
MIN_SHARE = 1e-14  # of a direction's curvature in the simpler preconditioner, relative
MAX_SLOPE = 0.5  # at the end of a step, relative to its start
MAX_LENGTH_RATIO = 4.0  # of the first length that is tried, to the last step's
MIN_GOOD_LENGTH = 0.3  # of a step: after a shorter one, the next is damped
DAMPING_RATIO = 4.0
NEGLIGIBLE_DAMPING = 1e-3  # of a step, relative to its squared decrement
UNDAMPED_DECREMENT = 1e-10  # squared, relative to the loss
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


class Standardization(NamedTuple):
    """Maps parameters of standardized columns to those of the columns minus ``offset``."""

    offset: Tensor | None
    matrix: Tensor  # (d + 1, d + 1), times the parameters transposed


@dataclass(frozen=True)
class Problem:
    """The weighted sum of losses plus the penalty, a function of the parameters (k, d + 1) of standardized columns.

    The bias is the last parameter, and belongs to a column of ones. If rows are sharded, each process has its own, and
    the sums run over all of them.
    """

    loss: Loss
    x: RowSource
    y: Tensor
    weights: Tensor | None
    penalties: Tensor  # of each standardized column, 0 for the bias
    standardization: Standardization | None  # None: x is standardized and has the column of ones
    n: int  # the number of rows of all processes
    shards: OneProcess | Shards

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield, block by block, the rows' indices, and the rows with a last column of ones."""
        n_params, in_memory = len(self.penalties), self.standardization is None
        block_rows = max((1 if in_memory else 2) * BLOCK_ENTRIES // n_params, 1)
        buffer = self.penalties.new_ones(0 if in_memory else block_rows, n_params)
        for first_row in range(0, len(self.x), block_rows):
            block = slice(first_row, first_row + block_rows)
            inputs = self.x[block]
            if self.standardization is not None:  # all blocks share a buffer, which stays in the cache
                rows, inputs = inputs, buffer[: len(inputs)]
                inputs[:, :-1] = rows
                if self.standardization.offset is not None:
                    inputs[:, :-1] -= self.standardization.offset
            yield block, inputs

    def params_of_rows(self, params: Tensor) -> Tensor:
        """Return parameters, or a direction of them, for the rows of the blocks."""
        return params if self.standardization is None else params @ self.standardization.matrix.T

    def weighted(self, values: Tensor, block: slice) -> Tensor:
        """Return the values of a block's rows times their weights."""
        return values if self.weights is None else values * self.weights[block]

    def hessian_products(self, k: int) -> int:
        """Return the order of the number of products in the whole Hessian of k outputs and its factorization."""
        size = k * len(self.penalties)
        return max(self.n, size) * size**2

    def separated_by(self, direction: Tensor) -> bool:
        """Return whether no row's loss grows far along a direction, up to rounding."""
        direction = self.params_of_rows(direction)

        def grows(block: slice, inputs: Tensor) -> bool:
            rounding = LOGIT_ROUNDING * (direction.abs() @ inputs.T.abs().clamp_min(1)).amax(0)
            return bool((self.loss.growth(direction @ inputs.T, self.y[block]) > rounding).any())

        found = any(grows(block, inputs) for block, inputs in self.blocks())
        return float(self.shards.sum(self.penalties.new_tensor(float(found)))) == 0


class Point:
    """Parameters with the gradient there, a lower bound of the objective of its order, and the second derivatives."""

    def __init__(self, problem: Problem, params: Tensor) -> None:
        """Compute the gradient; keep what the second derivatives need of each row, unless that is too much.

        ``damping`` is a multiple of the identity that the Hessian contains.
        """
        self.problem, self.params, self.damping = problem, params, 0.0
        self._row_params = problem.params_of_rows(params)
        keep = len(problem.x) * len(params) <= MAX_KEPT_ENTRIES
        self._kept: list[Tensor] | None = [] if keep else None
        gradient, scale, penalty_gradient = torch.zeros_like(params), params.new_zeros(()), problem.penalties * params
        for block, inputs in problem.blocks():
            errors, row_scale, kept = problem.loss.derivatives(self._row_params @ inputs.T, problem.y[block])
            gradient.addmm_(problem.weighted(errors, block), inputs)
            scale += problem.weighted(row_scale, block).sum()
            if self._kept is not None:
                self._kept.append(kept)
        gradient, scale = problem.shards.sums(gradient, scale)
        self.gradient = self._of_standardized(gradient) + penalty_gradient
        self.scale = float(scale) + _dot(penalty_gradient, params) / 2

    def _of_standardized(self, gradient: Tensor) -> Tensor:
        standardization = self.problem.standardization
        return gradient if standardization is None else gradient @ standardization.matrix

    def _blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield blocks of rows with what the second derivatives need of each row."""
        loss, y = self.problem.loss, self.problem.y
        for count, (block, inputs) in enumerate(self.problem.blocks()):
            kept = None if self._kept is None else self._kept[count]
            yield block, inputs, loss.derivatives(self._row_params @ inputs.T, y[block])[2] if kept is None else kept

    def hessian_times(self, direction: Tensor) -> Tensor:
        """Return the Hessian times a direction."""
        problem, row_direction = self.problem, self.problem.params_of_rows(direction)
        product = torch.zeros_like(direction)
        for block, inputs, kept in self._blocks():
            change = problem.loss.hessian_times(kept, problem.y[block], row_direction @ inputs.T)
            product.addmm_(problem.weighted(change, block), inputs)
        product = problem.shards.sum(product)
        return self._of_standardized(product) + (problem.penalties + self.damping) * direction

    def mean_hessian(self) -> tuple[Tensor, Tensor]:
        """Return the Hessian of the losses by one output's parameters, as a mean, and each output's share of it."""
        problem, (k, n_params) = self.problem, self.params.shape
        hessian, shares = self.params.new_zeros(n_params, n_params), self.params.new_zeros(k)
        for block, inputs, kept in self._blocks():
            v = problem.weighted(problem.loss.curvature(kept, problem.y[block]), block)
            shares += v.sum(1)
            hessian.addmm_(v.mean(0) * inputs.T, inputs)
        hessian, shares = problem.shards.sums(hessian, shares)
        return self._of_standardized(self._of_standardized(hessian).T), shares / shares.mean()

    def hessian(self) -> Tensor:
        """Return the whole Hessian of the softmax loss, (k, d + 1, k, d + 1), from products of probabilities."""
        problem, (k, n_params) = self.problem, self.params.shape
        hessian = self.params.new_zeros(k, k, n_params, n_params)
        for block, inputs, p in self._blocks():
            weighted = problem.weighted(p, block)
            for j in range(k - 1):
                products = (weighted[j] * p[j + 1 :])[:, None] * inputs.T
                hessian[j, j + 1 :] -= (products.flatten(0, 1) @ inputs).reshape(-1, n_params, n_params)
        hessian = problem.shards.sum(hessian)
        hessian = self._of_standardized(self._of_standardized(hessian).mT)
        hessian += hessian.transpose(0, 1).clone()
        for j, block_sum in enumerate(hessian.sum(1)):
            hessian[j, j] = torch.diag(problem.penalties + self.damping) - block_sum
        return hessian.transpose(1, 2)


def _cholesky_factor(matrix: Tensor) -> Tensor:
    """Return the Cholesky factor of a positive semidefinite matrix, with its diagonal raised by its rounding."""
    matrix.diagonal().mul_(1 + DIAGONAL_ROUNDING * len(matrix)).add_(torch.finfo(matrix.dtype).tiny)
    factor, failed = cholesky(matrix)
    if bool(failed):
        raise RuntimeError("no minimum found: the Hessian is not positive definite; scale the columns of x")
    return factor


def preconditioner(point: Point, *, max_products: int = MAX_PRODUCTS_EACH_STEP) -> Preconditioner:
    """Return the inverse of the Hessian; of several outputs, an approximate one if it takes more products."""
    k = len(point.params)
    is_small = point.params.numel() <= MAX_EXACT_PARAMS
    full = k > 1 and (is_small or point.problem.hessian_products(k) <= max_products)
    return _full_preconditioner(point) if full else _block_preconditioner(point)


def _block_preconditioner(point: Point) -> Preconditioner:
    """Return the inverse of the mean Hessian of an output times each output's share; for one output it is exact."""
    hessian, shares = point.mean_hessian()
    penalties = torch.diag(point.problem.penalties + point.damping)
    factor = _cholesky_factor(hessian + penalties)
    if len(shares) == 1:
        return lambda gradient: torch.cholesky_solve(gradient.mT, factor).mT
    # In the basis T the penalties are diag(θ), and the mean Hessian is diag(1 - θ).
    half = solve_triangular(factor, penalties, upper=False)
    theta, u = eigh(solve_triangular(factor, half.mT, upper=False))
    t = solve_triangular(factor.mT, u, upper=True)
    curvature = (shares[:, None] * (1 - theta) + theta).clamp_min(MIN_SHARE)
    return lambda gradient: _without_common_part((gradient @ t / curvature) @ t.mT)


def _full_preconditioner(point: Point) -> Preconditioner:
    """Return the inverse of the whole Hessian of several outputs."""
    shape = point.params.shape
    factor = _cholesky_factor(point.hessian().reshape(shape.numel(), shape.numel()))
    return lambda gradient: _without_common_part(torch.cholesky_solve(gradient.reshape(-1, 1), factor).reshape(shape))


def _without_common_part(step: Tensor) -> Tensor:
    """Subtract what a step adds to the parameters of all outputs: it does not change the probabilities."""
    return step - step.mean(0)


def _conjugate_gradients(point: Point, precondition: Preconditioner) -> tuple[Tensor, int]:
    """Return a step that solves Newton's system up to a relative residual, and the number of iterations.

    With the residual at the relative distance from the minimum, Newton's method converges quadratically. No step needs
    to come closer than rounding allows.
    """
    step, residual = torch.zeros_like(point.params), -point.gradient
    direction = preconditioned = precondition(residual)
    square, count = _dot(residual, preconditioned), 0
    distance = square / max(point.scale, torch.finfo(torch.float64).tiny)  # squared and relative
    limit = square * min(max(distance, LAST_DISTANCE / max(distance, LAST_DISTANCE), MIN_CG_RESIDUAL), MAX_CG_RESIDUAL)
    while square > limit and count < MAX_CG_STEPS:
        product = point.hessian_times(direction)
        curvature = _dot(direction, product)
        if curvature <= 0:  # all rows are so certain that float64 has no smaller curvature
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
    """A point, Newton's step from it, and the squared decrement of the step."""

    point: Point
    step: Tensor
    decrement: float


def newton_steps(problem: Problem, params: Tensor, precondition: Preconditioner | None = None) -> Iterator[NewtonStep]:
    """Yield each step before it is taken; end if the derivatives are not finite.

    ``precondition`` is what conjugate gradients start with, if there is one already: that of a sample, say. If there
    are few parameters, one of all rows replaces it after the first step.
    """
    is_rough = precondition is not None
    in_memory = problem.standardization is None
    each_step = in_memory and problem.hessian_products(len(params)) <= MAX_PRODUCTS_EACH_STEP
    point, max_products, length, damping = Point(problem, params), MAX_PRODUCTS_EACH_STEP, 1.0, 0.0
    while math.isfinite(float(vector_norm(point.gradient))):
        point.damping = damping
        if each_step or precondition is None:
            precondition = preconditioner(point, max_products=max_products)
        if each_step:
            step = precondition(-point.gradient)
        else:
            step, count = _conjugate_gradients(point, precondition)
            if count > SLOW_CG_STEPS:
                precondition, max_products = None, MAX_PRODUCTS
            elif is_rough and params.numel() <= MAX_EXACT_PARAMS:
                precondition = None
            is_rough = False
        decrement = -_dot(point.gradient, step)
        yield NewtonStep(point, step, decrement)
        point, length = _line_search(point, step, decrement, length)
        damping = _next_damping(damping, length, decrement, _dot(step, step), point.scale)


def _next_damping(damping: float, length: float, decrement: float, square: float, scale: float) -> float:
    """Return the multiple of the identity that the next step adds to the Hessian.

    Rows of which the model is certain have almost no curvature, so that Newton's step may move them far beyond where
    the Hessian holds. The identity, in standardized parameters, shortens such a step in their directions alone.
    """
    if length < MIN_GOOD_LENGTH:
        return max(DAMPING_RATIO * damping, decrement / square)
    is_negligible = damping * square <= NEGLIGIBLE_DAMPING * decrement or decrement <= UNDAMPED_DECREMENT * scale
    return 0.0 if is_negligible else damping / DAMPING_RATIO**2


def _line_search(point: Point, step: Tensor, decrement: float, last_length: float) -> tuple[Point, float]:
    """Return a point along the step, and the length of the step.

    A step is too long if the loss rises steeply at its end, and too short if a longer one was too long but the loss
    still falls steeply. The slope decides, because near the minimum the change of the loss is below its rounding. A
    decrement above the loss itself promises more than the loss can fall, so the loss limits the slope, too.
    """
    length, low, high = min(1.0, MAX_LENGTH_RATIO * last_length), 0.0, math.inf
    while True:
        end = Point(point.problem, point.params.add(step, alpha=length))
        slope = _dot(end.gradient, step)
        if not slope <= MAX_SLOPE * min(decrement, point.scale):
            high = length
        elif slope < -MAX_SLOPE * decrement and length < 1:
            low = length
        else:
            return end, length
        if high - low < MIN_BRACKET:
            return end, length
        length = (low + high) / 2 if high < math.inf else min(1.0, MAX_LENGTH_RATIO * length)
