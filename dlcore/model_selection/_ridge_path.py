"""Ridge regression under every penalty of a path, on every fold, in one batch of decompositions."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.functional import pad

from dlcore._checks import check_floating, check_same_dtype, check_values, has_values, number_of_rows
from dlcore._numerics import accumulation_dtype
from dlcore._torch import qr, singular_values, svd
from dlcore.norms import l2_norm, max_norm

from ._folds import CrossValidation, k_fold

__all__ = ["RidgePath", "ridge_path_cross_validation"]


class RidgePath(NamedTuple):
    r"""The errors of ridge regression under each penalty, and which penalty they speak for.

    Parameters
    ----------
    penalties : Tensor, shape (p,)
        The penalties.
    folds : CrossValidation
        The errors under each penalty in each fold, shape (p, k), with their mean and standard error, shape (p,).

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section
       7.10.

    Examples
    --------
    The smallest mean, 2, has standard error 1, and so a mean of 3 is not yet worse:

    >>> errors = torch.tensor([[2.0, 6.0], [1.0, 3.0], [2.0, 4.0], [3.0, 4.0]])
    >>> path = RidgePath(torch.tensor([0.0, 1.0, 2.0, 3.0]), CrossValidation(errors, errors))
    >>> path.best_penalty, path.one_standard_error_penalty
    (tensor(1.), tensor(2.))
    """

    penalties: Float[Tensor, "p"]
    folds: CrossValidation

    @property
    def best_penalty(self) -> Float[Tensor, ""]:
        """The penalty with the smallest mean validation error."""
        return self.penalties.index_select(0, self._best)[0]

    @property
    def one_standard_error_penalty(self) -> Float[Tensor, ""]:
        """The largest penalty whose mean validation error is within one standard error of the smallest."""
        mean, standard_error = self.folds.validation_mean, self.folds.validation_standard_error
        limit = (mean + standard_error).index_select(0, self._best)
        return torch.where(mean <= limit, self.penalties, 0).max()

    @property
    def _best(self) -> Int[Tensor, "1"]:
        return self.folds.validation_mean.argmin(keepdim=True)


def ridge_path_cross_validation(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n"],
    *,
    penalties: Float[Tensor, "p"],
    k: int,
    shuffle: bool = False,
    generator: Generator | None = None,
) -> RidgePath:
    r"""Return the errors of ridge regression under each penalty in each fold, all of them computed at once.

    .. math::

        e_{\lambda j} = \frac{1}{|\mathcal{V}_j|} \sum_{i \in \mathcal{V}_j}
            \tfrac12 \bigl(\mathbf{w}_{\lambda j}^\top \mathbf{x}_i + b_{\lambda j} - y_i\bigr)^2, \qquad
        \mathbf{w}_{\lambda j}, b_{\lambda j} = \operatorname*{arg\,min}_{\mathbf{w}, b} \sum_{i \notin \mathcal{V}_j}
            \tfrac12 \bigl(\mathbf{w}^\top \mathbf{x}_i + b - y_i\bigr)^2 + \tfrac{\lambda}{2} \lVert\mathbf{w}\rVert^2

    where :math:`\mathcal{V}_j` are the rows that fold :math:`j` of :func:`k_fold` holds out. The rows are decomposed
    once, fold by fold, into small triangles; those of the other folds, put together, have a singular value
    decomposition :math:`\mathbf{U}\operatorname{diag}(\mathbf{s})\mathbf{V}^\top` that holds the solution for every
    penalty: :math:`\mathbf{w}_\lambda = \mathbf{V}\operatorname{diag}\bigl(s_l / (s_l^2 + \lambda)\bigr)
    \mathbf{U}^\top\mathbf{y}`. No product :math:`\mathbf{X}^\top\mathbf{X}` is formed, which would square the condition
    number. The gradient with respect to ``penalties`` always exists; with respect to ``x`` and ``y`` it needs folds of
    full column rank.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs. A penalty weighs all columns alike, so they should have one scale.
    y : Tensor, shape (n,)
        The targets.
    penalties : Tensor, shape (p,), in [0, inf)
        The penalties :math:`\lambda`; the bias is not penalized.
    k : int, in [2, n]
        The number of folds.
    shuffle : bool, default False
        Assign rows to folds at random.
    generator : torch.Generator, optional
        What the assignment is drawn from; then the global random state is left alone.

    Returns
    -------
    RidgePath
        Both errors under each penalty in each fold, the best penalty, and the one-standard-error choice.

    Raises
    ------
    TypeError
        If ``x``, ``y`` or ``penalties`` is not a real floating-point tensor.
    TypeError
        If ``y`` has another dtype than ``x``.
    TypeError
        If ``k`` is not an integer.
    ValueError
        If ``x`` is not a matrix, or ``y`` or ``penalties`` not a vector.
    ValueError
        If ``x`` and ``y`` differ in their number of rows.
    ValueError
        If ``penalties`` is empty, or one of them is negative, infinite or NaN.
    ValueError
        If ``k`` is less than 2, or greater than the number of rows.
    ValueError
        If an entry of ``x`` or ``y`` is not finite.
    ValueError
        If a penalty is 0 and the columns of ``x`` depend on each other in a fold's training rows.

    See Also
    --------
    dlcore.linear.ridge : One fit; with :func:`cross_validate` the same errors, one by one.
    sklearn.model_selection.GridSearchCV : The same search for any estimator, one fit at a time, without the ½.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, sections
       3.4.1 and 7.10.

    Examples
    --------
    >>> x, y = torch.tensor([[0.0], [2.0], [0.0], [2.0]]), torch.tensor([1.0, 5.0, 2.0, 4.0])
    >>> path = ridge_path_cross_validation(x, y, penalties=torch.tensor([0.0, 6.0]), k=2)
    >>> path.folds.validation_errors
    tensor([[0.5000, 0.5000],
            [1.5312, 0.1250]])
    >>> path.best_penalty
    tensor(0.)
    """
    n = _check(x, y, penalties)
    folds = [rows.to(x.device) for _, rows in k_fold(n, k, shuffle=shuffle, generator=generator)]
    wide = accumulation_dtype(x.dtype)
    table, scale = _table(x.to(wide), y.to(wide))
    lengths = torch.tensor([len(rows) for rows in folds], dtype=wide, device=x.device)

    # each row of a fold is (1, x, y); an orthogonal map makes of them a triangle that keeps all lengths of residuals
    largest = len(folds[0])
    _, held_out = qr(torch.stack([pad(table[rows], (0, 0, 0, largest - len(rows))) for rows in folds]))
    others = torch.tensor([[i for i in range(k) if i != j] for j in range(k)], device=x.device)
    _, seen = qr(held_out[others].flatten(1, 2))

    centred, bias_row = seen[:, 1:, 1:], seen[:, :1]  # below its first row, the triangle is that of centred columns
    _check_columns(centred[..., :-1], penalties)
    u, s, vt = svd(centred[..., :-1])
    shrunk = s[..., None] / (s[..., None] ** 2 + penalties.to(wide) / scale / scale)
    weight = vt.mT @ (shrunk * (u.mT @ centred[..., -1:]))
    bias = (bias_row[..., -1:] - bias_row[..., 1:-1] @ weight) / bias_row[..., :1]
    residual_of = torch.cat([-bias, -weight, torch.ones_like(bias)], dim=1)

    train, validation = (
        (triangle @ residual_of).square().sum(1) / (2 * rows[:, None])
        for triangle, rows in ((seen, n - lengths), (held_out, lengths))
    )
    return RidgePath(penalties, CrossValidation(train.mT.to(x.dtype), validation.mT.to(x.dtype)))


def _check(x: Tensor, y: Tensor, penalties: Tensor) -> int:
    """Raise unless the arguments are what they should be, and return the number of rows."""
    check_floating(x=x, y=y, penalties=penalties)
    check_same_dtype(x=x, y=y)
    if x.dim() != 2 or x.shape[1] == 0:
        raise ValueError(f"x must have shape (n, d) with a column at least, got {tuple(x.shape)}")
    if y.dim() != 1:
        raise ValueError(f"y must have shape (n,), got {tuple(y.shape)}")
    if penalties.dim() != 1 or len(penalties) == 0:
        raise ValueError(f"penalties must have shape (p,) with an entry at least, got {tuple(penalties.shape)}")
    check_values("penalties", penalties, ">= 0 and finite", lambda penalties: (penalties >= 0) & penalties.isfinite())
    return number_of_rows(x=x, y=y)


def _table(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows (1, x, y) and the scale of x in them; the bias takes up their shift, so none is lost."""
    largest = max_norm(x.detach())
    scale = torch.where(largest > 0, largest, 1)
    x_rows, y_rows = x / scale, y - y.mean()
    x_mean = x_rows.mean(0)
    if has_values(x, y) and not bool(x_mean.isfinite().all() & y_rows[:1].isfinite().all()):
        check_values("x", x, "finite", torch.isfinite)
        check_values("y", y, "finite", torch.isfinite)
    return torch.cat([torch.ones_like(y_rows)[:, None], x_rows - x_mean, y_rows[:, None]], dim=1), scale


def _check_columns(triangles: Tensor, penalties: Tensor) -> None:
    """Raise ValueError where a fold's columns depend on each other and no penalty decides between the solutions."""
    if has_values(triangles, penalties) and not bool(penalties.all()):
        triangles, d = triangles.detach(), triangles.shape[-1]
        lengths = l2_norm(triangles, dim=1, keepdim=True)
        values = singular_values(triangles / torch.where(lengths > 0, lengths, 1))
        ranks = (values > 16 * d * torch.finfo(triangles.dtype).eps).sum(1)
        if int(ranks.min()) < d:
            raise ValueError(
                f"x must have rank {d} when centred, for penalty 0, got {int(ranks.min())} outside fold "
                f"{int(ranks.argmin())}: drop columns that depend on others, or penalize"
            )
