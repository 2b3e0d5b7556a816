r"""What the regressions share: the guards of their examples, and the search for a minimum that has no closed form.

Newton's method takes few steps, but each forms a matrix of second derivatives. With one output and few columns that is
cheap. Otherwise, the matrix is kept for as long as it serves, for each output alone, and L-BFGS corrects it by the
gradients that are measured anyway. All sums run in float64 over blocks of rows that stay in the cache. With many rows,
the search starts where it ends for a sample of them.

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

__all__ = ["Rows", "check_examples", "check_full_rank", "leave_out_absent", "minimize"]

BLOCK = 2**16  # entries of the inputs that are worked on at a time, 512 KB
FEW = 2**15  # rows beyond which a search starts from a sample
SAMPLE = 2**13  # rows of that sample
STEPS = 500
NEWTON = 64  # columns up to which, with few rows and one output, second derivatives are formed in each step
MEMORY = 10  # steps that correct a kept matrix
YOUTH = 3  # steps for which it is kept in any case
PATIENCE, STILL = 3, 1e-2  # without penalty: steps after which one must not change a logit by this much

Pair = tuple[Tensor, Tensor, float]  # a step, how it changed the gradient, and the product of both


def check_examples(x: Tensor, weights: Tensor | None, *, several: bool = False, **targets: Tensor) -> None:
    """Raise TypeError or ValueError unless there are inputs, a target (or several) for each, and usable weights."""
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
    """Return the examples without those of weight 0, the weights in float64."""
    if weights is None:
        return x, y, None
    kept = weights > 0
    if not bool(kept.all()):
        x, y, weights = x[kept], y[kept], weights[kept]
    return x, y, weights.double()


@runtime_checkable
class Rows(Protocol):
    """Inputs that are computed when they are read, or a matrix of them; ``__getitem__`` takes a slice or indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor: ...

    @property
    def shape(self) -> torch.Size: ...

    @property
    def device(self) -> torch.device: ...


@dataclass(frozen=True)
class _Problem:
    r"""The sum of :math:`\beta_i\,\ell(\mathbf{W}\mathbf{x}_i + \mathbf{b}, y_i)`, and the penalty's, to be made least.

    The parameters, one tensor of shape (k, d + 1), are those of standardized columns; times the transpose of
    ``standard`` they are :math:`(\mathbf{W}, \mathbf{b})`.
    """

    x: Rows
    y: Tensor
    weights: Tensor | None
    penalty: float
    standard: Tensor
    link: Callable[[Tensor], Tensor]
    subtract: Callable[[Tensor, Tensor], Tensor]

    def blocks(self, params: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Yield inputs with a last entry 1, labels, probabilities and weights of a block of rows."""
        prepared, size = self.x.shape[1] == params.shape[1], max(BLOCK // params.shape[1], 1)
        buffer = params.new_ones(0 if prepared else size, params.shape[1])
        for start in range(0, len(self.x), size):
            rows = slice(start, start + size)
            inputs = self.x[rows]
            if not prepared:  # in one place for all blocks, which stays in the cache
                buffer[: len(inputs), :-1] = inputs
                inputs = buffer[: len(inputs)]
            yield (
                inputs,
                self.y[rows],
                self.link(params @ inputs.T),
                None if self.weights is None else self.weights[rows],
            )

    def gradient(self, params: Tensor, hessian: Tensor | None = None) -> Tensor:
        """Return the derivative by the parameters, and add the second ones to a matrix for each output."""
        params = params @ self.standard.T
        gradient = self.penalty * params
        gradient[:, -1] = 0
        for inputs, y, p, weights in self.blocks(params):
            if hessian is not None:
                curvature = (p * (1 - p)).clamp_min_(1e-17)
                if weights is not None:
                    curvature *= weights
                for of_output, v in zip(hessian, curvature, strict=True):
                    of_output.addmm_(v * inputs.T, inputs)
            errors = self.subtract(p, y)
            if weights is not None:
                errors *= weights
            gradient.addmm_(errors, inputs)
        return gradient @ self.standard

    def derivatives(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient, and each output's second derivatives by its own parameters, (k, d + 1, d + 1)."""
        k, size = params.shape
        hessian = params.new_zeros(k, size, size)
        hessian.diagonal(dim1=1, dim2=2)[:, :-1] = self.penalty
        gradient = self.gradient(params, hessian)
        return gradient, self.standard.T @ hessian @ self.standard


def _with_ones(x: Tensor) -> Tensor:
    """Return the rows in float64, each with a last entry 1."""
    return torch.cat([x.double(), x.new_ones(len(x), 1, dtype=torch.float64)], dim=1)


@torch.no_grad()
def minimize(
    x: Rows,
    y: Tensor,
    weights: Tensor | None,
    *,
    penalty: float,
    k: int,
    link: Callable[[Tensor], Tensor],
    subtract: Callable[[Tensor, Tensor], Tensor],
    start: Tensor | None = None,
) -> Tensor:
    """Return the parameters, (k, d + 1), at which the gradient falls below 1e-8 or to what float64 resolves.

    ``link`` maps logits (k, m) to probabilities, and ``subtract`` takes the labels from these in place: what is left is
    the derivative of a loss by its logits. ``start`` is where the search starts, if that is known.
    """
    if weights is not None:
        largest = float(weights.max())
        weights, penalty = weights / largest, penalty / largest
    (n, d), eps = x.shape, torch.finfo(torch.float64).eps
    few = n <= FEW
    some = slice(None) if few else torch.randint(n, (SAMPLE,), generator=Generator().manual_seed(0)).to(x.device)
    columns = _with_ones(x[some]).T.contiguous()
    mean = columns[:-1].mean(1)
    std = (columns[:-1] - mean[:, None]).square().mean(1).sqrt()
    if not bool(std.isfinite().all()):
        _check_finite(x)
    std = torch.where(std > 1e-10 * mean.abs(), std, 1)
    standard = torch.diag(torch.cat([1 / std, std.new_ones(1)]))
    standard[-1, :-1] = -mean / std
    spread = 1 + float((mean / std).abs().max())

    problem = sample = _Problem(columns.T if few else x, y, weights, penalty, standard, link, subtract)
    params = std.new_zeros(k, d + 1)
    if penalty == 0:
        correlations = problem.derivatives(params)[1][0]
        if not bool(correlations.isfinite().all()):
            _check_finite(x)
        values = eigenvalues(correlations)
        check_full_rank(int((values > 16 * d * eps * spread**2 * values[-1]).sum()) - 1, d)
    if start is not None:
        params = torch.cat([start[:, :-1] * std, start[:, -1:] + start[:, :-1] @ mean[:, None]], dim=1)
    elif not few:
        for_many = (std.new_ones(SAMPLE) if weights is None else weights[some]) * (n / SAMPLE)
        sample = replace(problem, x=columns.T, y=y[some], weights=for_many)
        params = _search(sample, params, 1e-3 * n, sample)
    resolved = 8 * eps * math.sqrt(n * (d + 1)) * spread
    stretch = math.sqrt(1 + float((mean.square() + std.square()).sum()))  # of a gradient, on its way back to x
    tolerance = max(1e-8 / stretch, resolved)
    first = problem if k == 1 else sample  # for many outputs, the matrices are dear
    return _search(problem, params, tolerance, first) @ standard.T


def _check_finite(x: Rows) -> None:
    """Raise ValueError that names the first entry that is not finite."""
    check_values("x", x[:], "finite", torch.isfinite)


def _search(problem: _Problem, params: Tensor, tolerance: float, first: _Problem) -> Tensor:
    """Return the parameters where the gradient is as small, or raise an error; begin with the matrix of ``first``."""
    k, size = params.shape
    complete = k == 1  # then the matrices of all outputs, each alone, are all of the second derivatives
    newton = complete and len(problem.x) <= FEW and size <= NEWTON
    fall, youth = (10, 0) if complete else (2, YOUTH)
    factor, age, patience, count, norm = None, 0, PATIENCE, 0, math.inf
    pairs: list[Pair] = []
    gradient, hessian = problem.derivatives(params) if first is problem else (problem.gradient(params), None)
    for count in range(STEPS):  # noqa: B007  # told in the error below
        last, norm = norm, float(vector_norm(gradient))
        if not math.isfinite(norm):
            break
        if norm <= tolerance and problem.penalty > 0:
            return params
        if newton or factor is None or (norm > last / fall and age > youth) or norm <= tolerance:
            if hessian is None:
                _, hessian = (first if factor is None else problem).derivatives(params)
            hessian.diagonal(dim1=1, dim2=2).mul_(1 + 1e-14 * size)
            factor, failed = cholesky(hessian)
            if bool(failed.any()):
                break
            pairs, age = [], 0
        step = _direction(gradient, factor, pairs)
        if norm <= tolerance:
            if float(step.abs().sum(1).max()) < STILL:
                return params
            patience -= 1
            if patience < 0:
                raise ValueError(
                    "x must not separate the classes when penalty is 0: the loss falls for ever as the weights grow"
                )
        slope, length = _dot(gradient, step), 1.0
        while True:
            to = params.add(step, alpha=length)
            moved, hessian = problem.derivatives(to) if newton else (problem.gradient(to), None)
            slope_there = _dot(moved, step)
            if not slope_there > -slope / 2:
                break
            length *= slope / (slope - slope_there)  # where a straight line through both slopes is 0
        change, of_gradient = to.sub(params), moved.sub(gradient)
        pairs = [*pairs[1 - MEMORY :], (change, of_gradient, _dot(change, of_gradient))]
        params, gradient, age = to, moved, age + 1
    _check_finite(problem.x)
    raise RuntimeError(
        f"no minimum found: the norm of the gradient is {norm:.1e} after {count} steps; scale the columns"
    )


def _direction(gradient: Tensor, factor: Tensor, pairs: list[Pair]) -> Tensor:
    """Return minus the gradient over the second derivatives, as L-BFGS corrects them by its pairs."""
    step, parts = -gradient, list[float]()
    for change, of_gradient, product in reversed(pairs):
        parts.append(_dot(change, step) / product)
        step = step.sub(of_gradient, alpha=parts[-1])
    step = torch.cholesky_solve(step.unsqueeze(-1), factor).squeeze(-1)
    if len(step) > 1:  # adding one vector to all outputs' parameters does not change the probabilities: leave it out
        step = step - step.mean(0)
    for (change, of_gradient, product), part in zip(pairs, reversed(parts), strict=True):
        step = step.add(change, alpha=part - _dot(of_gradient, step) / product)
    return step


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))
