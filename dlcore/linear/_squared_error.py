"""Least squares and ridge regression: the linear models with the smallest squared error, in closed form."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating, check_nonnegative, check_same_dtype, check_values, has_values
from dlcore._numerics import accumulation_dtype
from dlcore._regression import MAX_ROWS_IN_MEMORY, check_examples
from dlcore._rows import row_sum
from dlcore._shards import check_rows, is_sharded, local_rows, shards_of
from dlcore._torch import qr
from dlcore.linear._model import LinearParams
from dlcore.linear._stable import least_squares_solution, ridge_solution

BLOCK_ROWS = 2**13


def least_squares(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n *k"], *, weights: Float[Tensor, "n"] | None = None
) -> LinearParams:
    r"""Return the linear model with the smallest squared error.

    .. math::

        \min_{\mathbf{w},\, b}\ \frac12\sum_{i=1}^{n} \beta_i\,(\mathbf{w}^\top\mathbf{x}_i + b - y_i)^2

    where :math:`\beta_i` is the weight of example :math:`i`. It is solved by a QR decomposition of the centred inputs,
    which keeps the digits that the normal equations lose.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs, one example each row.
    y : Tensor, shape (n,) or (n, k)
        The targets: one or several, each fitted separately.
    weights : Tensor, shape (n,), in [0, inf), optional
        The weight of each example; 1 by default. An example of weight 0 is absent, whatever its values.

    Returns
    -------
    LinearParams
        ``weight`` of shape (d,) or (d, k) and ``bias`` of shape () or (k,), with the dtype of ``x``; they are
        computed in float64.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``.
    ValueError
        If the shapes are not those above, or there is no row or no column.
    ValueError
        If ``x`` or ``y``, or a difference from their means, is not finite, a weight is negative or NaN, or all weights
        are 0. This check and the next are skipped under ``torch.compile`` and in the transforms of ``torch.func``.
    ValueError
        If the centred columns of ``x`` are linearly dependent, so that many models fit equally well.
    ValueError
        If the rows are sharded, and one of the tensors requires a gradient.

    See Also
    --------
    ridge : Always has exactly one solution if the penalty is positive.
    sklearn.linear_model.LinearRegression : The same; if columns are dependent, it returns the solution of minimum norm.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 5.3.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> least_squares(x, torch.tensor([1.0, 3.0, 5.0, 7.0]))  # y = 2x + 1
    LinearParams(weight=tensor([2.]), bias=tensor(1.))
    """
    check_rows(x=x, y=y, weights=weights)
    centred = _centre(x, y, weights)
    weight = least_squares_solution(centred.x, centred.y, centred.x_magnitude, centred.eps)  # (AᵀA)⁻¹AᵀB, stably
    return centred.model(weight, y)


def ridge(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n *k"], *, penalty: float, weights: Float[Tensor, "n"] | None = None
) -> LinearParams:
    r"""Return the linear model with the smallest sum of squared error and penalty.

    .. math::

        \min_{\mathbf{w},\, b}\ \frac12\sum_{i=1}^{n} \beta_i\,(\mathbf{w}^\top\mathbf{x}_i + b - y_i)^2
            + \frac{\lambda}{2}\lVert\mathbf{w}\rVert_2^2

    where :math:`\beta_i` is the weight of example :math:`i` and :math:`\lambda` the penalty, the ``alpha`` of
    scikit-learn, whose objective is twice this; the bias is not penalized. It is solved by a QR decomposition of the
    centred inputs with :math:`\sqrt{\lambda}\,\mathbf{I}` below them, or to their right if there are more columns than
    rows. :math:`\mathbf{X}^\top\mathbf{X}`, which loses half the digits, is never formed.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs, one example each row.
    y : Tensor, shape (n,) or (n, k)
        The targets: one or several, each fitted separately.
    penalty : float, in [0, inf)
        The penalty :math:`\lambda`; with 0 this is :func:`least_squares`.
    weights : Tensor, shape (n,), in [0, inf), optional
        The weight of each example; 1 by default. An example of weight 0 is absent, whatever its values.

    Returns
    -------
    LinearParams
        ``weight`` of shape (d,) or (d, k) and ``bias`` of shape () or (k,), with the dtype of ``x``; they are
        computed in float64.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``; if ``penalty`` is not a real number.
    ValueError
        If ``penalty`` is out of range, the shapes are not those above, or there is no row or no column.
    ValueError
        If ``x`` or ``y`` is not finite, a weight is negative or NaN, or all weights are 0; skipped as in
        :func:`least_squares`.
    ValueError
        If a column depends on others, and the penalty is too small compared with the inputs to survive rounding.
    ValueError
        If the rows are sharded, and one of the tensors requires a gradient.

    See Also
    --------
    sklearn.linear_model.Ridge : The same for NumPy arrays, by the normal equations.
    least_squares : The limit as the penalty goes to 0.

    References
    ----------
    .. [1] A. E. Hoerl and R. W. Kennard, "Ridge regression: biased estimation for nonorthogonal problems",
       *Technometrics* 12(1), 1970.

    Examples
    --------
    The squares of the centred inputs sum to 2. A penalty of the same size halves the best weight, 2:

    >>> ridge(torch.tensor([[0.0], [2.0]]), torch.tensor([1.0, 5.0]), penalty=2)
    LinearParams(weight=tensor([1.]), bias=tensor(2.))
    """
    check_rows(x=x, y=y, penalty=penalty, weights=weights)
    check_nonnegative("penalty", penalty)
    if penalty == 0:
        return least_squares(x, y, weights=weights)
    centred = _centre(x, y, weights)
    mean_penalty = penalty / centred.total_weight
    if _is_negligible(mean_penalty, centred.x):  # which then needs independent columns
        return least_squares(x, y, weights=weights)
    weight = ridge_solution(centred.x, centred.y, mean_penalty)  # (AᵀA + λI)⁻¹AᵀB, stably
    return centred.model(weight, y)


def _is_negligible(penalty: float | Tensor, a: Tensor) -> bool:
    """Return whether the rounding of a matrix hides a penalty, which then gives dependent columns no solution."""
    if not has_values(a):
        return False
    rounding = 16 * a.shape[1] * torch.finfo(a.dtype).eps * float(a.detach().abs().amax())
    return bool(penalty < rounding * rounding)


class _CentredExamples(NamedTuple):
    """Inputs and targets minus their weighted means; each row is multiplied by the root of its normalized weight.

    With many rows, an orthogonal map has reduced them to a triangular matrix, which has the same solutions.
    """

    x: Tensor  # (n, d)
    y: Tensor  # (n, k)
    x_mean: Tensor
    y_mean: Tensor
    x_magnitude: Tensor  # the largest absolute entry of each column, before centring
    total_weight: float | Tensor
    eps: float  # the relative rounding error of x as given

    def model(self, weight: Tensor, y: Tensor) -> LinearParams:
        """Return the model with this weight and the best bias, in the dtype and with the targets of ``y``."""
        bias = self.y_mean - self.x_mean @ weight
        k = y.shape[1:]
        return LinearParams(weight.reshape(len(weight), *k).to(y.dtype), bias.reshape(k).to(y.dtype))


def _centre(x: Tensor, y: Tensor, weights: Tensor | None) -> _CentredExamples:
    """Check the examples and centre them."""
    check_floating(x=x, y=y)
    check_same_dtype(x=x, y=y)
    check_examples(x, weights, several=True, y=y)
    given = (x, y) if weights is None else (x, y, weights)
    by_blocks = (x.shape[0] > MAX_ROWS_IN_MEMORY or is_sharded(x)) and has_values(*given) and not _need_gradient(*given)
    centred = (_centre_by_blocks if by_blocks else _centre_at_once)(x, y, weights)
    if has_values(*given) and not bool(centred.x_mean.isfinite().all() & centred.y_mean.isfinite().all()):
        for name, tensor in {"x": x, "y": y}.items():
            if weights is not None:
                tensor = torch.where((weights > 0).reshape(len(x), *[1] * (tensor.dim() - 1)), tensor, 0)  # noqa: PLW2901
            check_values(name, tensor, "finite", torch.isfinite)
        raise ValueError("x and y must have finite differences from their means: divide them by a constant")
    return centred


def _centre_at_once(x: Tensor, y: Tensor, weights: Tensor | None) -> _CentredExamples:
    if is_sharded(x):
        raise ValueError("x must not require a gradient, nor y or weights, if the rows are sharded: detach them")
    y = y.reshape(y.shape[0], math.prod(y.shape[1:]))
    n, eps = x.shape[0], torch.finfo(accumulation_dtype(x.dtype)).eps
    x, y = x.double(), y.double()
    if weights is None:
        total_weight, share = n, x.new_full((n, 1), 1 / n)
    else:
        weights = weights.double()
        total_weight = weights.sum()
        share = (weights / total_weight)[:, None]
        x, y = (torch.where(share > 0, rows, 0) for rows in (x, y))  # an absent row may hold NaN
    (x_centred, x_mean), (y_centred, y_mean) = (_subtract_mean(rows, share) for rows in (x, y))
    root = torch.where(share > 0, share, 1).sqrt() * (share > 0)  # its gradient at weight 0 is 0, not NaN
    magnitude = x.detach().abs().amax(0)
    return _CentredExamples(root * x_centred, root * y_centred, x_mean, y_mean, magnitude, total_weight, eps)


def _subtract_mean(rows: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows minus their weighted mean, and the mean.

    The mean is subtracted twice: the first mean is rounded, and the mean of what is left is that rounding error.
    """
    mean = (share * rows).sum(0)
    remainder = (share * (rows - mean)).sum(0)
    return rows - mean - remainder, mean + remainder


def _centre_by_blocks(x: Tensor, y: Tensor, weights: Tensor | None) -> _CentredExamples:
    """Centre many rows in float64, a block at a time, and reduce them to the R of their QR decomposition.

    One decomposition of 5 million rows in float32 is accurate to 2 digits only. The first column is of ones: without
    the first row and column, R belongs to the centred columns.
    """
    (n, d), eps = x.shape, torch.finfo(accumulation_dtype(x.dtype)).eps
    total_weight = float(n if weights is None else row_sum(weights, torch.float64))
    shards, x, y = shards_of(x), local_rows(x), local_rows(y)
    weights = None if weights is None else local_rows(weights)
    y = y.reshape(len(y), math.prod(y.shape[1:]))

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        for first_row in range(0, len(x), BLOCK_ROWS):
            block = slice(first_row, first_row + BLOCK_ROWS)
            rows = torch.cat([x.new_ones(len(x[block]), 1), x[block], y[block]], dim=1).double()
            share = rows.new_ones(len(rows), 1) if weights is None else weights[block, None].double()
            yield rows.where(share > 0, 0), share / total_weight  # an absent row may hold NaN

    mean, magnitude = x.new_zeros(1 + d + y.shape[1], dtype=torch.float64), x.new_zeros(d, dtype=torch.float64)
    for rows, share in blocks():
        mean += (share * rows).sum(0)
        magnitude = torch.maximum(magnitude, rows[:, 1 : d + 1].abs().amax(0))
    mean, magnitude = shards.sum(mean), shards.cat(magnitude[None]).amax(0)
    mean[0], r = 0, mean.new_zeros(1, len(mean))
    for rows, share in blocks():
        _, r = qr(torch.cat([r, share.sqrt() * (rows - mean)]))
    _, r = qr(shards.cat(r))  # of the processes' own triangles
    centred = r[1:, 1:]
    return _CentredExamples(
        centred[:, :d], centred[:, d:], mean[1 : d + 1], mean[d + 1 :], magnitude, total_weight, eps
    )


def _need_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
