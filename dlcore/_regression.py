r"""Guards for the examples of a regression, and the search for a minimum that has no closed form.

Newton's method takes few steps, but each of them forms a Hessian. With one output and few columns that is cheap.
Otherwise the Hessian is kept for several steps, with one block for each output, and L-BFGS corrects it with the
gradients that the search computes anyway. All sums run in float64 over blocks of rows that stay in the cache. With many
rows, the search starts at the minimum for a sample of them.

References: J. Nocedal and S. J. Wright, *Numerical Optimization*, 2nd ed., 2006, chapters 3 and 7.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from ._checks import check_same_dtype, check_values, check_weights, has_values
from ._numerics import accumulation_dtype
from ._torch import cholesky, eigenvalues, vector_norm

__all__ = ["RowSource", "check_examples", "check_full_rank", "leave_out_absent", "minimize"]

BLOCK_ENTRIES = 2**16  # of the inputs, read at a time: 512 KB in float64
MAX_ROWS_IN_MEMORY = 2**15  # of the inputs, held in float64; with more rows, the search starts from a sample
SAMPLE_ROWS = 2**13
MAX_STEPS = 500
MAX_NEWTON_COLUMNS = 64  # with one output and rows in memory, up to here the Hessian is computed in each step
MAX_CORRECTIONS = 10  # of a kept Hessian by L-BFGS, the latest ones
MIN_HESSIAN_STEPS = 3  # for which the Hessian of several outputs is kept in any case
MAX_STEPS_AT_TOLERANCE = 3  # without penalty, before the classes count as separated
MAX_LOGIT_CHANGE = 1e-2  # without penalty, in a step from the minimum

Correction = tuple[Tensor, Tensor, float]  # a step, the change of the gradient along it, and their inner product


def check_examples(x: Tensor, weights: Tensor | None, *, several: bool = False, **targets: Tensor) -> None:
    """Raise TypeError or ValueError unless x is a matrix with a target (or several) for each row and valid weights."""
    if x.dim() != 2 or x.numel() == 0:
        raise ValueError(f"x must have shape (n, d) with a row and a column at least, got {tuple(x.shape)}")
    n = len(x)
    for name, target in targets.items():
        if target.dim() not in (1, 1 + several) or len(target) != n:
            layout = f"({n},) or ({n}, k)" if several else f"({n},)"
            raise ValueError(f"{name} must have shape {layout}, got {tuple(target.shape)}")
    if weights is not None:
        check_weights("weights", weights, n=n, finite=False)
        check_same_dtype(x=x, weights=weights)
        total = weights.detach().sum(dtype=accumulation_dtype(x.dtype))
        if has_values(total) and not 0 < float(total) < math.inf:
            raise ValueError(f"weights must have a positive, finite sum, got {float(total)}")


def check_full_rank(rank: int, d: int) -> None:
    """Raise ValueError unless the centred columns of ``x`` are independent."""
    if rank < d:
        raise ValueError(
            f"x must have rank {d} when centred, got {rank}: drop columns that depend on others, or penalize"
        )


def leave_out_absent(x: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the examples whose weight is positive, with the weights in float64."""
    if weights is None:
        return x, y, None
    present = weights > 0
    if not bool(present.all()):
        x, y, weights = x[present], y[present], weights[present]
    return x, y, weights.double()


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
class _Problem:
    r"""The weighted sum of losses :math:`\ell(\mathbf{W}\mathbf{x}_i + \mathbf{b}, y_i)`, plus the penalty.

    The parameters, one tensor of shape (k, d + 1) with the bias last, belong to standardized columns. Multiplied by the
    transpose of ``standardization``, they are :math:`(\mathbf{W}, \mathbf{b})`.
    """

    x: RowSource
    y: Tensor
    weights: Tensor | None
    penalty: float
    standardization: Tensor
    probabilities: Callable[[Tensor], Tensor]
    subtract_labels_: Callable[[Tensor, Tensor], Tensor]

    def blocks(self, params: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Yield, block by block, inputs with a last column of ones, labels, probabilities and weights."""
        has_ones = self.x.shape[1] == params.shape[1]
        block_rows = max(BLOCK_ENTRIES // params.shape[1], 1)
        buffer = params.new_ones(0 if has_ones else block_rows, params.shape[1])
        for first_row in range(0, len(self.x), block_rows):
            block = slice(first_row, first_row + block_rows)
            inputs = self.x[block]
            if not has_ones:  # all blocks share a buffer, which stays in the cache
                buffer[: len(inputs), :-1] = inputs
                inputs = buffer[: len(inputs)]
            yield (
                inputs,
                self.y[block],
                self.probabilities(params @ inputs.T),
                None if self.weights is None else self.weights[block],
            )

    def gradient(self, params: Tensor, hessian: Tensor | None = None) -> Tensor:
        """Return the gradient, and add to ``hessian`` the block of each output, in the columns as given."""
        params = params @ self.standardization.T
        gradient = self.penalty * params
        gradient[:, -1] = 0
        for inputs, y, p, weights in self.blocks(params):
            if hessian is not None:
                curvature = (p * (1 - p)).clamp_min_(1e-17)
                if weights is not None:
                    curvature *= weights
                for hessian_block, v in zip(hessian, curvature, strict=True):
                    hessian_block.addmm_(v * inputs.T, inputs)
            errors = self.subtract_labels_(p, y)
            if weights is not None:
                errors *= weights
            gradient.addmm_(errors, inputs)
        return gradient @ self.standardization

    def derivatives(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient, and the Hessian's block of each output, (k, d + 1, d + 1)."""
        k, n_params = params.shape
        hessian = params.new_zeros(k, n_params, n_params)
        hessian.diagonal(dim1=1, dim2=2)[:, :-1] = self.penalty
        gradient = self.gradient(params, hessian)
        return gradient, self.standardization.T @ hessian @ self.standardization


def _with_ones(x: Tensor) -> Tensor:
    """Return the rows in float64, with a last column of ones."""
    return torch.cat([x.double(), x.new_ones(len(x), 1, dtype=torch.float64)], dim=1)


@torch.no_grad()
def minimize(
    x: RowSource,
    y: Tensor,
    weights: Tensor | None,
    *,
    penalty: float,
    k: int,
    probabilities: Callable[[Tensor], Tensor],
    subtract_labels_: Callable[[Tensor, Tensor], Tensor],
    start: Tensor | None = None,
) -> Tensor:
    """Return the parameters, (k, d + 1), at which the norm of the gradient is below 1e-8 or float64's resolution.

    ``probabilities`` maps logits (k, m) to probabilities, and ``subtract_labels_`` subtracts the labels from these in
    place: the difference is the derivative of the loss by the logits. ``start`` is where the search starts, if known.
    """
    if weights is not None:
        largest = float(weights.max())
        weights, penalty = weights / largest, penalty / largest
    (n, d), eps = x.shape, torch.finfo(torch.float64).eps
    in_memory = n <= MAX_ROWS_IN_MEMORY
    sample_index = slice(None)
    if not in_memory:
        sample_index = torch.randint(n, (SAMPLE_ROWS,), generator=Generator().manual_seed(0)).to(x.device)
    columns = _with_ones(x[sample_index]).T.contiguous()
    mean = columns[:-1].mean(1)
    std = (columns[:-1] - mean[:, None]).square().mean(1).sqrt()
    if not bool(std.isfinite().all()):
        _check_finite(x)
    std = torch.where(std > 1e-10 * mean.abs(), std, 1)
    standardization = torch.diag(torch.cat([1 / std, std.new_ones(1)]))
    standardization[-1, :-1] = -mean / std
    largest_offset = 1 + float((mean / std).abs().max())  # in standard deviations: what centring amplifies rounding by

    inputs = columns.T if in_memory else x
    problem = sample = _Problem(inputs, y, weights, penalty, standardization, probabilities, subtract_labels_)
    params = std.new_zeros(k, d + 1)
    if penalty == 0:
        correlations = problem.derivatives(params)[1][0]
        if not bool(correlations.isfinite().all()):
            _check_finite(x)
        values = eigenvalues(correlations)
        check_full_rank(int((values > 16 * d * eps * largest_offset**2 * values[-1]).sum()) - 1, d)
    if start is not None:
        params = torch.cat([start[:, :-1] * std, start[:, -1:] + start[:, :-1] @ mean[:, None]], dim=1)
    elif not in_memory:
        sample_weights = (std.new_ones(SAMPLE_ROWS) if weights is None else weights[sample_index]) * (n / SAMPLE_ROWS)
        sample = replace(problem, x=columns.T, y=y[sample_index], weights=sample_weights)
        params = _search(sample, params, 1e-3 * n, sample)
    resolution = 8 * eps * math.sqrt(n * (d + 1)) * largest_offset
    gradient_factor = math.sqrt(1 + float((mean.square() + std.square()).sum()))  # of its norm, from standardized to x
    tolerance = max(1e-8 / gradient_factor, resolution)
    first_hessian = problem if k == 1 else sample  # with several outputs, a Hessian of all rows is expensive
    return _search(problem, params, tolerance, first_hessian) @ standardization.T


def _check_finite(x: RowSource) -> None:
    """Raise ValueError that names the first entry that is not finite."""
    check_values("x", x[:], "finite", torch.isfinite)


def _search(problem: _Problem, params: Tensor, tolerance: float, first_hessian: _Problem) -> Tensor:
    """Return parameters at which the gradient is within the tolerance, or raise; start with a Hessian of that problem.

    The Hessian is computed again when the gradient falls too slowly, and where the gradient is within the tolerance.
    """
    k, n_params = params.shape
    exact = k == 1  # with one output, the blocks are the whole Hessian
    newton = exact and len(problem.x) <= MAX_ROWS_IN_MEMORY and n_params <= MAX_NEWTON_COLUMNS
    min_decrease, min_hessian_steps = (10, 0) if exact else (2, MIN_HESSIAN_STEPS)
    factor, hessian_steps, steps_at_tolerance, count, norm = None, 0, 0, 0, math.inf
    corrections: list[Correction] = []
    gradient, hessian = problem.derivatives(params) if first_hessian is problem else (problem.gradient(params), None)
    for count in range(MAX_STEPS):  # noqa: B007  # the error below names it
        last_norm, norm = norm, float(vector_norm(gradient))
        if not math.isfinite(norm):
            break
        if norm <= tolerance and problem.penalty > 0:
            return params
        slow = norm > last_norm / min_decrease and hessian_steps > min_hessian_steps
        if newton or factor is None or slow or norm <= tolerance:
            if hessian is None:
                _, hessian = (first_hessian if factor is None else problem).derivatives(params)
            hessian.diagonal(dim1=1, dim2=2).mul_(1 + 1e-14 * n_params)
            factor, failed = cholesky(hessian)
            if bool(failed.any()):
                break
            corrections, hessian_steps = [], 0
        step = _direction(gradient, factor, corrections)
        if norm <= tolerance:
            if float(step.abs().sum(1).max()) < MAX_LOGIT_CHANGE:
                return params
            steps_at_tolerance += 1
            if steps_at_tolerance > MAX_STEPS_AT_TOLERANCE:
                raise ValueError(
                    "x must not separate the classes when penalty is 0: the loss keeps falling as the weights grow"
                )
        slope, length = _dot(gradient, step), 1.0
        while True:
            next_params = params.add(step, alpha=length)
            next_gradient, hessian = (
                problem.derivatives(next_params) if newton else (problem.gradient(next_params), None)
            )
            next_slope = _dot(next_gradient, step)
            if not next_slope > -slope / 2:
                break
            length *= slope / (slope - next_slope)  # where a straight line through both slopes is 0
        change, gradient_change = next_params.sub(params), next_gradient.sub(gradient)
        correction = (change, gradient_change, _dot(change, gradient_change))
        corrections = [*corrections[1 - MAX_CORRECTIONS :], correction]
        params, gradient, hessian_steps = next_params, next_gradient, hessian_steps + 1
    _check_finite(problem.x)
    raise RuntimeError(
        f"no minimum found: the norm of the gradient is {norm:.1e} after {count} steps; scale the columns"
    )


def _direction(gradient: Tensor, factor: Tensor, corrections: list[Correction]) -> Tensor:
    """Return minus the inverse Hessian times the gradient, with the Hessian as L-BFGS corrects it."""
    step, coefficients = -gradient, list[float]()
    for change, gradient_change, product in reversed(corrections):
        coefficients.append(_dot(change, step) / product)
        step = step.sub(gradient_change, alpha=coefficients[-1])
    step = torch.cholesky_solve(step.unsqueeze(-1), factor).squeeze(-1)
    if len(step) > 1:  # adding one vector to all outputs' parameters does not change the probabilities: leave it out
        step = step - step.mean(0)
    for (change, gradient_change, product), coefficient in zip(corrections, reversed(coefficients), strict=True):
        step = step.add(change, alpha=coefficient - _dot(gradient_change, step) / product)
    return step


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
