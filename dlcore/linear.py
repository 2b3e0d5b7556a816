r"""Which weights and which bias make a linear model fit best?

A linear model is :math:`\hat{y} = \mathbf{w}^\top\mathbf{x} + b`. This chapter holds the model, for one target or for
several, and its best parameters: in closed form where the error is squared. The bias is never penalized.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ._checks import check_floating, check_number, check_rank, check_values, has_values
from ._linalg import qr, singular_values, solve_triangular

__all__ = ["LinearParams", "least_squares", "linear", "ridge"]


class LinearParams(NamedTuple):
    r"""The parameters of a linear model, :math:`\mathbf{X}\mathbf{W} + \mathbf{b}`.

    A weight has one row for each input and one column for each output, as :func:`linear` multiplies. That is the
    transpose of what :class:`torch.nn.Linear` keeps, so each way takes one line:
    ``layer.load_state_dict({"weight": params.weight.T, "bias": params.bias})`` and
    ``LinearParams(layer.weight.T, layer.bias)``.

    Parameters
    ----------
    weight : Tensor, shape (n_in, n_out) or (n_in,)
        The weight :math:`\mathbf{W}`; without its last dimension, the model has one target and gives a vector.
    bias : Tensor, shape (n_out,) or ()
        The bias :math:`\mathbf{b}`.

    See Also
    --------
    torch.nn.Linear : The same model as a module; its weight has shape (n_out, n_in).

    Examples
    --------
    >>> params = LinearParams(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.tensor([1.0, 0.0, -1.0]))
    >>> layer = torch.nn.Linear(2, 3)
    >>> layer.load_state_dict({"weight": params.weight.T, "bias": params.bias})
    <All keys matched successfully>
    >>> back = LinearParams(layer.weight.T, layer.bias)
    >>> torch.equal(back.weight, params.weight), torch.equal(back.bias, params.bias)
    (True, True)
    """

    weight: Float[Tensor, "n_in *n_out"]
    bias: Float[Tensor, "*n_out"]


def linear(
    x: Float[Tensor, "*batch n_in"], weight: Float[Tensor, "n_in *n_out"], bias: Float[Tensor, "*n_out"]
) -> Float[Tensor, "..."]:
    r"""Return the output of a linear model.

    .. math::

        \mathbf{O} = \mathbf{X}\mathbf{W} + \mathbf{b}, \qquad
        \hat{\mathbf{y}} = \mathbf{X}\mathbf{w} + b

    where each row of :math:`\mathbf{X}` is one example, and the second form has one target.

    Parameters
    ----------
    x : Tensor, shape (*, n_in)
        The inputs :math:`\mathbf{X}`.
    weight : Tensor, shape (n_in, n_out) or (n_in,)
        The weight :math:`\mathbf{W}`, one row for each input.
    bias : Tensor, shape (n_out,) or ()
        The bias :math:`\mathbf{b}`.

    Returns
    -------
    Tensor, shape (*, n_out) or (*)
        The outputs, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If an argument is not a real floating-point tensor.
    TypeError
        If ``weight`` or ``bias`` has another dtype than ``x``.
    ValueError
        If ``x`` has no dimension.
    ValueError
        If ``weight`` has not one row for each column of ``x``.
    ValueError
        If ``bias`` has not one entry for each column of ``weight``.

    See Also
    --------
    torch.nn.functional.linear : The same with the transposed weight, (n_out, n_in).

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 3.1.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> linear(x, torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), torch.tensor([0.0, 10.0, 0.0]))
    tensor([[ 1., 12.,  3.],
            [ 3., 14.,  7.]])
    >>> linear(x, torch.tensor([1.0, 1.0]), torch.tensor(0.5))
    tensor([3.5000, 7.5000])
    """
    check_floating(x=x, weight=weight, bias=bias)
    _check_same_dtype(x, weight=weight, bias=bias)
    check_rank("x", x, 1, "(*, n_in)")
    if weight.dim() not in (1, 2) or weight.shape[0] != x.shape[-1]:
        n_in = x.shape[-1]
        raise ValueError(f"weight must have shape ({n_in},) or ({n_in}, n_out), got {tuple(weight.shape)}")
    if bias.shape != weight.shape[1:]:
        raise ValueError(f"bias must have shape {tuple(weight.shape[1:])}, got {tuple(bias.shape)}")
    return x @ weight + bias


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
        If an argument is not a real floating-point tensor.
    TypeError
        If ``y`` or ``weights`` has another dtype than ``x``.
    ValueError
        If ``x`` is no matrix with a row and a column at least.
    ValueError
        If ``y`` or ``weights`` has not one entry for each row of ``x``.
    ValueError
        If a weight is negative or NaN, or all are 0. This and the next two are not seen under ``torch.compile`` and
        in the transforms of ``torch.func``.
    ValueError
        If ``x`` or ``y`` holds an infinite value or NaN.
    ValueError
        If the columns of ``x``, centred, are linearly dependent, so that many models fit equally well.

    See Also
    --------
    ridge : Has one solution always.
    sklearn.linear_model.LinearRegression : The same; of dependent columns it returns the smallest solution.
    torch.linalg.lstsq : The same without bias and without weights.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 5.3.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> least_squares(x, torch.tensor([1.0, 3.0, 5.0, 7.0]))  # y = 2x + 1
    LinearParams(weight=tensor([2.]), bias=tensor(1.))
    """
    return _squared_error_fit(x, y, weights, 0.0)


def ridge(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n *k"], *, penalty: float, weights: Float[Tensor, "n"] | None = None
) -> LinearParams:
    r"""Return the linear model with the least sum of squared error and squared weights.

    .. math::

        \min_{\mathbf{w},\, b}\ \frac12\sum_{i=1}^{n} \beta_i\,(\mathbf{w}^\top\mathbf{x}_i + b - y_i)^2
            + \frac{\lambda}{2}\lVert\mathbf{w}\rVert_2^2

    where :math:`\beta_i` is the weight of example :math:`i` and :math:`\lambda` the penalty; the bias is free. Twice
    this is the objective of :class:`sklearn.linear_model.Ridge`, so that :math:`\lambda` is its ``alpha``. It is solved
    by a QR decomposition of the centred inputs with :math:`\sqrt{\lambda}\,\mathbf{I}` below them, or beside them
    where there are more columns than rows: :math:`\mathbf{X}^\top\mathbf{X}`, which loses half the digits, is never
    formed.

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
        If a tensor is not real floating-point, or ``penalty`` no real number.
    TypeError
        If ``y`` or ``weights`` has another dtype than ``x``.
    ValueError
        If ``penalty`` is negative, infinite or NaN.
    ValueError
        If ``x`` is no matrix with a row and a column at least.
    ValueError
        If ``y`` or ``weights`` has not one entry for each row of ``x``.
    ValueError
        If a weight is negative or NaN, or all are 0; not seen under ``torch.compile`` and ``torch.func``.
    ValueError
        If ``x`` or ``y`` holds an infinite value or NaN; not seen there either.

    See Also
    --------
    sklearn.linear_model.Ridge : The same for NumPy arrays, by the normal equations.
    least_squares : The limit of no penalty.

    References
    ----------
    .. [1] A. E. Hoerl and R. W. Kennard, "Ridge regression: biased estimation for nonorthogonal problems",
       *Technometrics* 12(1), 1970.
    .. [2] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009,
       section 3.4.1.

    Examples
    --------
    The squares of the centred input sum to 2, and a penalty as large halves the weight that fits best, 2:

    >>> ridge(torch.tensor([[0.0], [2.0]]), torch.tensor([1.0, 5.0]), penalty=2)
    LinearParams(weight=tensor([1.]), bias=tensor(2.))
    """
    check_number("penalty", penalty, ">= 0 and finite", lambda penalty: 0 <= penalty < math.inf)
    return _squared_error_fit(x, y, weights, penalty)


def _squared_error_fit(x: Tensor, y: Tensor, weights: Tensor | None, penalty: float) -> LinearParams:
    """Solve both closed forms, on inputs and targets from which their weighted means are taken."""
    share, total = _check_examples(x, y, weights)
    if y.dim() not in (1, 2):
        raise ValueError(f"y must have shape ({len(x)},) or ({len(x)}, k), got {tuple(y.shape)}")
    (n, d), (_, *k), dtype = x.shape, y.shape, x.dtype
    x, y = x.to(share.dtype), y.reshape(n, math.prod(k)).to(share.dtype)
    if weights is not None:
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
        _check_rank(r)
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


def _check_rank(r: Tensor) -> None:
    """Raise ValueError unless the triangular factor of columns not longer than 1 has full rank."""
    if has_values(r):
        d = r.shape[-1]
        rank = int((singular_values(r.detach()) > 16 * d * torch.finfo(r.dtype).eps).sum())
        if rank < d:
            raise ValueError(
                f"x must have rank {d} when centred, got {rank}: drop columns that depend on others, or penalize"
            )


def _check_examples(x: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor | int]:
    """Return each example's share of the total weight, and that total; half precision is widened."""
    check_floating(x=x, y=y)
    _check_same_dtype(x, y=y)
    if x.dim() != 2 or x.numel() == 0:  # noqa: PLR2004  # a matrix has two
        raise ValueError(f"x must have shape (n, d) with a row and a column at least, got {tuple(x.shape)}")
    n, dtype = len(x), torch.promote_types(x.dtype, torch.float32)
    if y.shape[:1] != (n,):
        raise ValueError(f"y must have one entry for each of the {n} rows of x, got shape {tuple(y.shape)}")
    if weights is None:
        return torch.full((n,), 1 / n, dtype=dtype, device=x.device), n
    check_floating(weights=weights)
    _check_same_dtype(x, weights=weights)
    if weights.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), got {tuple(weights.shape)}")
    check_values("weights", weights, ">= 0", lambda weights: weights >= 0)
    weights = weights.to(dtype)
    total = weights.sum()
    if has_values(total) and not 0 < total.item() < math.inf:
        raise ValueError(f"weights must have a positive, finite sum, got {total.item()}")
    return weights / total, total


def _check_same_dtype(x: Tensor, **tensors: Tensor) -> None:
    """Raise TypeError unless every other argument has the dtype of ``x``."""
    for name, other in tensors.items():
        if other.dtype != x.dtype:
            raise TypeError(f"{name} must have the dtype of x, {x.dtype}, got {other.dtype}")
