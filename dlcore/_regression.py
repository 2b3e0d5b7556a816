r"""How the regressions find their minimum, and the guards that they share.

The squared error has a closed form. The others are searched for.

Newton's method takes few steps, but each forms a matrix of second derivatives. Here that matrix is kept for as long as
it serves, and L-BFGS corrects it by the gradients that are measured anyway. All sums run in float64 over blocks of rows
that stay in the cache. With many rows, the search starts where it ends for a sample of them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from ._checks import check_floating, check_values, has_values
from ._linalg import cholesky, eigenvalues, qr, singular_values, solve_triangular, vector_norm

__all__ = [
    "Problem",
    "check_examples",
    "check_same_dtype",
    "leave_out_absent",
    "minimize",
    "softmax_of_outputs",
    "squared_error_fit",
    "subtract_one_hot",
]

BLOCK = 2**17  # entries of the inputs that are worked on at a time, 1 MB
SAMPLE = 2**13  # rows of the sample that the search starts from
STEPS = 500
MEMORY = 10  # steps that correct the kept matrix
YOUTH = 3  # steps for which it is kept in any case
PATIENCE, STILL = 3, 1e-2  # without penalty: steps after which one must not change a logit by this much


def check_same_dtype(x: Tensor, **tensors: Tensor) -> None:
    """Raise TypeError unless every other argument has the dtype of ``x``."""
    for name, other in tensors.items():
        if other.dtype != x.dtype:
            raise TypeError(f"{name} must have the dtype of x, {x.dtype}, got {other.dtype}")


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
        check_floating(weights=weights)
        check_same_dtype(x, weights=weights)
        if weights.shape != (n,):
            raise ValueError(f"weights must have shape ({n},), got {tuple(weights.shape)}")
        check_values("weights", weights, ">= 0", lambda weights: weights >= 0)
        total = weights.detach().sum(dtype=torch.promote_types(x.dtype, torch.float32))
        if has_values(total) and not 0 < float(total) < math.inf:
            raise ValueError(f"weights must have a positive, finite sum, got {float(total)}")


def _check_full_rank(rank: int, d: int) -> None:
    """Raise ValueError unless the centred columns of ``x`` are independent."""
    if rank < d:
        raise ValueError(
            f"x must have rank {d} when centred, got {rank}: drop columns that depend on others, or penalize"
        )


def squared_error_fit(x: Tensor, y: Tensor, weights: Tensor | None, penalty: float) -> tuple[Tensor, Tensor]:
    """Solve both closed forms, on inputs and targets from which their weighted means are taken."""
    check_floating(x=x, y=y)
    check_same_dtype(x, y=y)
    check_examples(x, weights, several=True, y=y)
    (n, d), (_, *k), dtype = x.shape, y.shape, x.dtype
    wide = torch.promote_types(dtype, torch.float32)
    x, y = x.to(wide), y.reshape(n, math.prod(k)).to(wide)
    if weights is None:
        total, share = n, x.new_full((n,), 1 / n)
    else:
        total = weights.to(wide).sum()
        share = weights / total
        x, y = (torch.where(share[:, None] > 0, rows, 0) for rows in (x, y))  # an absent row may hold NaN
    x_mean, y_mean = ((share[:, None] * rows).sum(0) for rows in (x, y))
    if has_values(x, y) and not bool(x_mean.isfinite().all() & y_mean.isfinite().all()):
        check_values("x", x, "finite", torch.isfinite)
        check_values("y", y, "finite", torch.isfinite)

    root = torch.where(share > 0, share, 1).sqrt() * (share > 0)  # its gradient at weight 0 is 0, not NaN
    a, b = root[:, None] * (x - x_mean), root[:, None] * (y - y_mean)
    size = x.detach().abs().amax(0)
    if penalty == 0:
        scale = torch.where(size > 0, size, 1)
        q, r = qr(a / scale)
        if has_values(r):
            _check_full_rank(int((singular_values(r.detach()) > 16 * d * torch.finfo(r.dtype).eps).sum()), d)
        solution = solve_triangular(r, q.mT @ b, upper=True)
    else:
        scale = torch.where(size > 0, size, 1).amax()
        below = (penalty / total) ** 0.5 / scale * torch.eye(min(n, d), dtype=x.dtype, device=x.device)
        if n >= d:
            q, r = qr(torch.cat([a / scale, below]))
            solution = solve_triangular(r, q[:n].mT @ b, upper=True)
        else:
            q, r = qr(torch.cat([a.mT / scale, below]))
            solution = q[:d] @ solve_triangular(r.mT, b, upper=False)
    weight = solution / scale.unsqueeze(-1)
    bias = y_mean - x_mean @ weight
    return weight.reshape(d, *k).to(dtype), bias.reshape(k).to(dtype)


def leave_out_absent(x: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the examples without those of weight 0, the weights in float64."""
    if weights is None:
        return x, y, None
    kept = weights > 0
    if not bool(kept.all()):
        x, y, weights = x[kept], y[kept], weights[kept]
    return x, y, weights.double()


@dataclass(frozen=True)
class Problem:
    r"""The sum of :math:`\beta_i\,\ell(\mathbf{W}\mathbf{x}_i + \mathbf{b}, y_i)`, and the penalty's.

    The parameters :math:`(\mathbf{W}, \mathbf{b})` are one tensor of shape (k, d + 1). ``link`` maps logits (k, m) to
    probabilities, and ``subtract`` takes the labels from them: what is left is the derivative of a loss by its logits.
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None
    penalty: float
    k: int
    link: Callable[[Tensor], Tensor]
    subtract: Callable[[Tensor, Tensor], Tensor]

    def sample(self) -> "Problem":
        """Return the same problem on some of the rows, each standing for many."""
        n = len(self.x)
        rows = torch.randint(n, (SAMPLE,), generator=Generator().manual_seed(0)).to(self.x.device)
        weights = rows.new_ones(SAMPLE, dtype=torch.float64) if self.weights is None else self.weights[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], weights=weights * (n / SAMPLE))

    def blocks(self, params: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Yield inputs, labels, probabilities and weights of a block of rows."""
        n, d = self.x.shape
        size = max(BLOCK // d, 1)
        for start in range(0, n, size):
            rows = slice(start, start + size)
            x = self.x[rows].double()
            logits = torch.addmm(params[:, -1:], params[:, :-1], x.mT)
            yield x, self.y[rows], self.link(logits), None if self.weights is None else self.weights[rows]

    def gradient(self, params: Tensor) -> Tensor:
        """Return the derivative of the sum by the parameters."""
        gradient = self.penalty * params
        gradient[:, -1] = 0
        for x, y, probabilities, weights in self.blocks(params):
            errors = self.subtract(probabilities, y)
            if weights is not None:
                errors *= weights
            gradient[:, :-1].addmm_(errors, x)
            gradient[:, -1] += errors.sum(1)
        return gradient

    def hessian(self, params: Tensor) -> Tensor:
        """Return, for each output, the second derivatives by its own parameters, (k, d + 1, d + 1)."""
        d = params.shape[1] - 1
        hessian = params.new_zeros(self.k, d + 1, d + 1)
        hessian[:, :-1, :-1].diagonal(dim1=1, dim2=2).add_(self.penalty)
        for x, _, p, weights in self.blocks(params):
            curvature = (p * (1 - p)).clamp_min_(1e-17)
            if weights is not None:
                curvature *= weights
            for of_output, v in zip(hessian, curvature, strict=True):
                weighted = v[:, None] * x
                of_output[:-1, :-1].addmm_(x.mT, weighted)
                of_output[-1, :-1] += weighted.sum(0)
                of_output[-1, -1] += v.sum()
        hessian[:, :-1, -1] = hessian[:, -1, :-1]
        return hessian


def softmax_of_outputs(logits: Tensor) -> Tensor:
    """Return the probabilities of logits (k, m), one column each row of the inputs."""
    return torch.softmax(logits, dim=0)


def subtract_one_hot(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Subtract 1 from the probability of each label, in place."""
    return probabilities.scatter_add_(0, labels[None], probabilities.new_full((1, len(labels)), -1))


def minimize(problem: Problem) -> Tensor:
    """Return the parameters, (k, d + 1), at which the gradient falls below 1e-8 or to what float64 resolves."""
    if problem.weights is not None:
        largest = float(problem.weights.max())
        problem = replace(problem, weights=problem.weights / largest, penalty=problem.penalty / largest)
    n, d = problem.x.shape
    eps = torch.finfo(torch.float64).eps
    sample = problem.sample() if n > 4 * SAMPLE else problem
    std, mean = torch.std_mean(sample.x.double(), dim=0, correction=0)
    if not bool(torch.isfinite(std + mean).all()):
        check_values("x", problem.x, "finite", torch.isfinite)
    std = torch.where(std > 1e-10 * mean.abs(), std, 1)
    standard = torch.diag(
        torch.cat([1 / std, std.new_ones(1)])
    )  # from parameters of standardized columns to plain ones
    standard[-1, :-1] = -mean / std
    spread = 1 + float((mean / std).abs().max())
    params = std.new_zeros(problem.k, d + 1)
    if problem.penalty == 0:
        correlations = standard.T @ problem.hessian(params)[0] @ standard
        check_values("x", problem.x, "finite", torch.isfinite)
        values = eigenvalues(correlations)
        rank = int((values > 16 * d * eps * spread**2 * values[-1]).sum()) - 1
        _check_full_rank(rank, d)
    if sample is not problem:
        params = _search(sample, standard, params, 1e-3 * n, sample)
    resolved = 8 * eps * math.sqrt(n * (d + 1)) * spread
    tolerance = max(1e-8 / max(1.0, float(std.max()) * spread), resolved)
    return _search(problem, standard, params, tolerance, sample) @ standard.T


def _search(problem: Problem, standard: Tensor, params: Tensor, tolerance: float, first: Problem) -> Tensor:
    """Follow L-BFGS from second derivatives that are kept, those of ``first`` to begin with, for standard columns."""
    factor, curvature, norm, age, patience, count = None, first, math.inf, 0, PATIENCE, 0
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    fall, youth = (
        (10, 0) if problem.k == 1 else (2, YOUTH)
    )  # for one output the matrix is complete: a new one pays soon
    gradient = problem.gradient(params @ standard.T) @ standard
    for count in range(STEPS):  # noqa: B007  # told in the error below
        last, norm = norm, float(vector_norm(gradient))
        if not math.isfinite(norm):
            break
        if norm <= tolerance and problem.penalty > 0:
            return params
        if factor is None or (norm > last / fall and age > youth) or norm <= tolerance:
            hessian = standard.T @ curvature.hessian(params @ standard.T) @ standard
            hessian.diagonal(dim1=1, dim2=2).mul_(1 + 1e-14 * hessian.shape[1])
            factor, failed = cholesky(hessian)
            if bool(failed.any()):
                break
            curvature, pairs, age = problem, [], 0
        step = _direction(gradient, factor, pairs)
        if norm <= tolerance:
            if float(step.abs().sum(1).max()) < STILL:
                return params
            patience -= 1
            if patience < 0:
                raise ValueError(
                    "x must not separate the classes when penalty is 0: the loss falls for ever as the weights grow"
                )
        slope, length = float((gradient * step).sum()), 1.0
        while True:
            moved = problem.gradient((params + length * step) @ standard.T) @ standard
            slope_there = float((moved * step).sum())
            if slope_there <= -slope / 2:
                break
            length *= slope / (slope - slope_there)  # where a straight line through both slopes is 0
        change, of_gradient = length * step, moved - gradient
        pairs = [*pairs[-MEMORY + 1 :], (change, of_gradient, (change * of_gradient).sum())]
        params, gradient, age = params + change, moved, age + 1
    check_values("x", problem.x, "finite", torch.isfinite)
    raise RuntimeError(
        f"no minimum found: the norm of the gradient is {norm:.1e} after {count} steps; scale the columns"
    )


def _direction(gradient: Tensor, factor: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Return minus the gradient over the second derivatives, as L-BFGS corrects them by its pairs."""
    step, parts = -gradient, list[Tensor]()
    for change, of_gradient, product in reversed(pairs):
        parts.append((change * step).sum() / product)
        step = step - parts[-1] * of_gradient
    step = torch.cholesky_solve(step.unsqueeze(-1), factor).squeeze(-1)
    if len(step) > 1:  # adding one vector to all outputs' parameters does not change the probabilities: leave it out
        step = step - step.mean(0)
    for (change, of_gradient, product), part in zip(pairs, reversed(parts), strict=True):
        step = step + change * (part - (of_gradient * step).sum() / product)
    return step
