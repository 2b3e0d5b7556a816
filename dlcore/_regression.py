r"""Guards for the examples of a regression, and the search for the smallest loss that has no closed form."""

import math
from itertools import islice

import torch
from torch import Generator, Tensor

from ._checks import check_same_dtype, check_values, check_weights, has_values
from ._logit_losses import Loss
from ._newton_cg import (
    NewtonStep,
    Point,
    Preconditioner,
    Problem,
    RowSource,
    Standardization,
    newton_steps,
    preconditioner,
)
from ._numerics import accumulation_dtype
from ._rows import keep_rows, row_any, row_max, row_search, row_sum, rows_at
from ._shards import OneProcess, Shards, local_rows, shards_of
from ._torch import eigenvalues, qr, singular_values, vector_norm

__all__ = ["check_examples", "check_full_rank", "leave_out_absent", "minimize"]

MAX_ROWS_IN_MEMORY = 2**15  # of the inputs, held in float64; with more rows, the search starts from a sample
SAMPLE_ROWS = 2**13
MAX_STEPS, MAX_SAMPLE_STEPS = 500, 20  # of Newton's method
MAX_LAST_DECREMENT, SAMPLE_DECREMENT = 1e-15, 1e-6  # squared, relative to the loss
FIRST_LATE_STEP, MAX_LATE_DECREMENT = 50, 1e-11  # with a penalty: the same for a search that converges slowly
MAX_LAST_LOGIT_CHANGE = 1e-2  # of a row one standard deviation from the mean
FIRST_SEPARATION_STEP = 8  # from which a search without penalty tells whether the classes are separated
INDEPENDENT_EIGENVALUE = 1e-10  # relative: if all are larger, the columns are independent
MEAN_ROUNDING = 1e-15  # relative: a column that varies less is constant
MAX_OFFSET = 100.0  # of a mean from 0, in standard deviations: rounding is amplified by as much
MAX_PENALTY = 1e300  # of a standardized column


def check_examples(x: Tensor, weights: Tensor | None, *, several: bool = False, **targets: Tensor) -> None:
    """Raise TypeError or ValueError unless x is a matrix with a target (or several) for each row and valid weights."""
    if x.dim() != 2 or x.numel() == 0:
        raise ValueError(f"x must have shape (n, d) with a row and a column at least, got {tuple(x.shape)}")
    n = x.shape[0]
    for name, target in targets.items():
        if target.dim() not in (1, 1 + several) or target.shape[0] != n:
            layout = f"({n},) or ({n}, k)" if several else f"({n},)"
            raise ValueError(f"{name} must have shape {layout}, got {tuple(target.shape)}")
    if weights is not None:
        check_weights("weights", weights, n=n, finite=False)
        check_same_dtype(x=x, weights=weights)
        total = row_sum(weights.detach(), accumulation_dtype(x.dtype))
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
    absent = weights == 0
    if row_any(absent):
        x, y, weights = (keep_rows(rows, ~absent) for rows in (x, y, weights))
    return x, y, weights.double()


@torch.no_grad()
def minimize(
    loss: Loss,
    x: RowSource,
    y: Tensor,
    weights: Tensor | None,
    *,
    penalty: float,
    k: int = 1,
    start: Tensor | None = None,
    shards: OneProcess | Shards | None = None,
) -> Tensor:
    r"""Return the :math:`(\mathbf{W}, \mathbf{b})`, (k, d + 1), with the smallest weighted sum of losses plus penalty.

    .. math::

        \sum_{i=1}^{n} \beta_i\,\ell(\mathbf{W}\mathbf{x}_i + \mathbf{b}, y_i)
            + \frac{\lambda}{2}\lVert\mathbf{W}\rVert_F^2

    The search starts at ``start``, or at the minimum for a sample of the rows if they are many. It ends with a step
    whose decrement is below the rounding of the objective. If ``shards`` are given, x, y and the weights are plain and
    have the rows of this process, but the shape of x, and an index of its rows, are those of all rows.
    """
    (n, d), in_memory = x.shape, x.shape[0] <= MAX_ROWS_IN_MEMORY
    if weights is not None:
        largest = float(row_max(weights))
        weights, penalty = weights / largest, penalty / largest
    shards = shards_of(y) if shards is None else shards
    own_rows, own_y = local_rows(x) if isinstance(x, Tensor) else x, local_rows(y)
    own_weights = None if weights is None else local_rows(weights)
    index = None if in_memory else _sample_index(n, weights).to(x.device)
    if index is None:
        columns, mean, std = _standardized(own_rows[:], n, shards, x)
    else:
        sampled_rows = rows_at(x, index) if isinstance(x, Tensor) else x[index]
        columns, mean, std = _standardized(sampled_rows, len(index), OneProcess(), x)
    penalties = torch.cat([penalty / std / std, std.new_zeros(1)]).clamp_max(MAX_PENALTY)
    rows, standardization = (columns, None) if in_memory else (own_rows, _standardization(mean, std))
    problem = Problem(loss, rows, own_y, own_weights, penalties, standardization, n, shards)
    if penalty == 0:
        _check_independent_columns(problem, x)
    params, precondition = std.new_zeros(k, d + 1), None
    if start is not None:
        params = torch.cat([start[:, :-1] * std, start[:, -1:] + start[:, :-1] @ mean[:, None]], dim=1)
    elif index is not None:
        total = n if weights is None else float(row_sum(weights))
        equal = std.new_full((SAMPLE_ROWS,), total / SAMPLE_ROWS)
        sample = Problem(loss, columns, rows_at(y, index), equal, penalties, None, SAMPLE_ROWS, OneProcess())
        params, precondition = _minimum_of_sample(sample, params)
    params = _minimum(problem, x, params, precondition, penalized=penalty > 0)
    weight = params[:, :-1] / std
    return torch.cat([weight, params[:, -1:] - weight @ mean[:, None]], dim=1)


def _sample_index(n: int, weights: Tensor | None) -> Tensor:
    """Draw rows with probabilities proportional to their weights."""
    generator = Generator().manual_seed(0)
    if weights is None:
        return torch.randint(n, (SAMPLE_ROWS,), generator=generator)
    shares = torch.rand(SAMPLE_ROWS, dtype=weights.dtype, generator=generator)
    return row_search(weights, shares.to(weights.device))


def _standardized(rows: Tensor, n: int, shards: OneProcess | Shards, x: RowSource) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows of x in float64, standardized and with a last column of ones, the means and standard deviations.

    They are the rows of this process, of n in all.
    """
    columns = rows.double().T.contiguous()
    mean = shards.sum(columns.sum(1)) / n
    centred = columns - mean[:, None]
    largest = shards.cat(centred.abs().amax(1)[None] if centred.numel() else centred.T).amax(0)
    if not bool(largest.isfinite().all()):
        raise _no_minimum(x, 0)
    varies = largest > MEAN_ROUNDING * mean.abs()
    largest = torch.where(varies, largest, 1)
    mean_square = shards.sum((centred / largest[:, None]).square_().sum(1)) / n
    std = torch.where(varies, mean_square.sqrt() * largest, 1)
    return torch.cat([centred.div_(std[:, None]), columns.new_ones(1, columns.shape[1])]).T, mean, std


def _standardization(mean: Tensor, std: Tensor) -> Standardization:
    """Return the map of parameters to the rows as given; columns far from 0 are centred, which keeps their digits."""
    offset = mean if bool((mean.abs() > MAX_OFFSET * std).any()) else None
    matrix = torch.diag(torch.cat([1 / std, std.new_ones(1)]))
    if offset is None:
        matrix[-1, :-1] = -mean / std
    return Standardization(offset, matrix)


def _check_independent_columns(problem: Problem, x: RowSource) -> None:
    """Raise ValueError unless the standardized columns are independent on all rows."""
    n_params, standardization = len(problem.penalties), problem.standardization
    matrix = torch.eye(n_params).to(problem.penalties) if standardization is None else standardization.matrix
    gram = torch.zeros_like(matrix)
    for _, inputs in problem.blocks():
        gram.addmm_(matrix.T @ inputs.T, inputs @ matrix)
    gram = problem.shards.sum(gram)
    if not bool(gram.isfinite().all()):
        raise _no_minimum(x, 0)
    values = eigenvalues(gram)
    if float(values[0]) > INDEPENDENT_EIGENVALUE * float(values[-1]):
        return
    r = gram.new_zeros(0, n_params)  # of a QR decomposition: the Gram matrix has lost half its digits
    for _, inputs in problem.blocks():
        _, r = qr(torch.cat([r, inputs @ matrix]))
    _, r = qr(problem.shards.cat(r))  # of the processes' own triangles
    norms = vector_norm(r, dim=0)
    values = singular_values(r / torch.where(norms > 0, norms, 1))
    check_full_rank(int((values > 16 * n_params * torch.finfo(r.dtype).eps).sum()) - 1, n_params - 1)


def _minimum_of_sample(sample: Problem, params: Tensor) -> tuple[Tensor, Preconditioner]:
    """Return parameters near the minimum for a sample, where there may be none, and a preconditioner."""
    point = Point(sample, params)
    for state in islice(newton_steps(sample, params), MAX_SAMPLE_STEPS):
        point = state.point
        if state.decrement <= SAMPLE_DECREMENT * point.scale:
            break
    return point.params, preconditioner(point)


def _minimum(
    problem: Problem, x: RowSource, params: Tensor, precondition: Preconditioner | None, *, penalized: bool
) -> Tensor:
    """Return the minimum, or raise the error that says why there is none."""
    last_decrement, count = math.inf, 0
    for count, state in enumerate(islice(newton_steps(problem, params, precondition), MAX_STEPS), 1):
        logit_change = float(state.step.abs().sum(1).max())
        stagnates = penalized and state.decrement > last_decrement / 4  # by rounding
        is_last = state.decrement <= MAX_LAST_DECREMENT * state.point.scale
        is_last &= logit_change <= MAX_LAST_LOGIT_CHANGE or stagnates
        largest_decrement = max(state.decrement, last_decrement)
        is_late = penalized and count >= FIRST_LATE_STEP and largest_decrement <= MAX_LATE_DECREMENT * state.point.scale
        if (is_last or is_late) and state.point.damping == 0:  # a damped step has a smaller decrement
            is_short = logit_change <= MAX_LAST_LOGIT_CHANGE  # a longer step may leave where the Hessian holds
            return state.point.params + state.step if is_short else state.point.params
        if not penalized and count >= FIRST_SEPARATION_STEP:
            _check_not_separated(problem, state)
        last_decrement = state.decrement
    raise _no_minimum(x, count)


def _check_not_separated(problem: Problem, state: NewtonStep) -> None:
    """Raise ValueError if the parameters, or the direction of a step, separate the classes."""
    if problem.separated_by(state.step) or problem.separated_by(state.point.params):
        raise ValueError(
            "x must not separate the classes when penalty is 0: the loss keeps falling as the weights grow"
        )


def _no_minimum(x: RowSource, n_steps: int) -> RuntimeError:
    """Return the error of a search that has failed, or raise ValueError that names the first entry not finite."""
    check_values("x", x[:], "finite", torch.isfinite)
    return RuntimeError(f"no minimum found in {n_steps} steps: scale the columns of x, or raise penalty")
