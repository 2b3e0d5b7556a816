"""The best linear model for the squared error, in closed form."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating, check_nonnegative, check_same_dtype, check_values, has_values
from dlcore._numerics import accumulation_dtype
from dlcore._regression import check_examples, check_full_rank
from dlcore._torch import qr, singular_values, solve_triangular
from dlcore.linear._model import LinearParams


def least_squares(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n *k"], *, weights: Float[Tensor, "n"] | None = None
) -> LinearParams:
    r"""Return the linear model with the least squared error.

    .. math::

        \min_{\mathbf{w},\, b}\ \frac12\sum_{i=1}^{n} \beta_i\,(\mathbf{w}^\top\mathbf{x}_i + b - y_i)^2

    where :math:`\beta_i` is the weight of example :math:`i`. It is solved by a QR decomposition of the centred inputs,
    which keeps the digits that the normal equations lose.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs, one example each row.
    y : Tensor, shape (n,) or (n, k)
        The targets: one or several, each fitted alone.
    weights : Tensor, shape (n,), in [0, inf), optional
        The weight of each example; 1 by default. An example of weight 0 counts as absent, whatever it holds.

    Returns
    -------
    LinearParams
        ``weight`` of shape (d,) or (d, k) and ``bias`` of shape () or (k,), with the dtype of ``x``; half precision is
        solved in float32.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``.
    ValueError
        If the shapes are not those above, or there is no row or no column.
    ValueError
        If ``x`` or ``y`` is not finite, a weight negative or NaN, or all are 0. This and the next go unseen under
        ``torch.compile`` and in the transforms of ``torch.func``.
    ValueError
        If the columns of ``x``, centred, are linearly dependent, so that many models fit equally well.

    See Also
    --------
    ridge : Has one solution always.
    sklearn.linear_model.LinearRegression : The same; of dependent columns it returns the smallest solution.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 5.3.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> least_squares(x, torch.tensor([1.0, 3.0, 5.0, 7.0]))  # y = 2x + 1
    LinearParams(weight=tensor([2.]), bias=tensor(1.))
    """
    return _fit(x, y, weights, 0.0)


def ridge(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n *k"], *, penalty: float, weights: Float[Tensor, "n"] | None = None
) -> LinearParams:
    r"""Return the linear model with the least sum of squared error and squared weights.

    .. math::

        \min_{\mathbf{w},\, b}\ \frac12\sum_{i=1}^{n} \beta_i\,(\mathbf{w}^\top\mathbf{x}_i + b - y_i)^2
            + \frac{\lambda}{2}\lVert\mathbf{w}\rVert_2^2

    where :math:`\beta_i` is the weight of example :math:`i` and :math:`\lambda` the penalty, the ``alpha`` of
    scikit-learn, whose objective is twice this; the bias is free. It is solved by a QR decomposition of the centred
    inputs with :math:`\sqrt{\lambda}\,\mathbf{I}` below them, or beside them where there are more columns than rows:
    :math:`\mathbf{X}^\top\mathbf{X}`, which loses half the digits, is never formed.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs, one example each row.
    y : Tensor, shape (n,) or (n, k)
        The targets: one or several, each fitted alone.
    penalty : float, in [0, inf)
        The penalty :math:`\lambda`; with 0 this is :func:`least_squares`.
    weights : Tensor, shape (n,), in [0, inf), optional
        The weight of each example; 1 by default. An example of weight 0 counts as absent, whatever it holds.

    Returns
    -------
    LinearParams
        ``weight`` of shape (d,) or (d, k) and ``bias`` of shape () or (k,), with the dtype of ``x``; half precision is
        solved in float32.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``; if ``penalty`` is no real number.
    ValueError
        If ``penalty`` is out of range, the shapes are not those above, or there is no row or no column.
    ValueError
        If ``x`` or ``y`` is not finite, a weight negative or NaN, or all are 0; unseen as in :func:`least_squares`.

    See Also
    --------
    sklearn.linear_model.Ridge : The same for NumPy arrays, by the normal equations.
    least_squares : The limit of no penalty.

    References
    ----------
    .. [1] A. E. Hoerl and R. W. Kennard, "Ridge regression: biased estimation for nonorthogonal problems",
       *Technometrics* 12(1), 1970.

    Examples
    --------
    The squares of the centred input sum to 2, and a penalty as large halves the weight that fits best, 2:

    >>> ridge(torch.tensor([[0.0], [2.0]]), torch.tensor([1.0, 5.0]), penalty=2)
    LinearParams(weight=tensor([1.]), bias=tensor(2.))
    """
    check_nonnegative("penalty", penalty)
    return _fit(x, y, weights, penalty)


def _fit(x: Tensor, y: Tensor, weights: Tensor | None, penalty: float) -> LinearParams:
    """Solve both closed forms, on inputs and targets from which their weighted means are taken."""
    check_floating(x=x, y=y)
    check_same_dtype(x=x, y=y)
    check_examples(x, weights, several=True, y=y)
    (n, d), (_, *k), dtype = x.shape, y.shape, x.dtype
    wide = accumulation_dtype(dtype)
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
            check_full_rank(int((singular_values(r.detach()) > 16 * d * torch.finfo(r.dtype).eps).sum()), d)
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
    return LinearParams(weight.reshape(d, *k).to(dtype), bias.reshape(k).to(dtype))
