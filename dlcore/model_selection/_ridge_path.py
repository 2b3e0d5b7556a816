"""Ridge regression with every penalty of a path, on every fold, in one batch of decompositions."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.functional import pad

from dlcore._checks import check_floating, check_same_dtype, check_values, has_values, number_of_rows
from dlcore._numerics import accumulation_dtype
from dlcore._rows import own_rows, row_extremes
from dlcore._shards import check_rows, is_sharded, local_rows, shards_of
from dlcore._torch import loadable, qr, singular_values, svd
from dlcore.norms import l2_norm

from ._folds import CrossValidation, k_fold

__all__ = ["RidgePath", "ridge_path_cross_validation"]


@loadable
class RidgePath(NamedTuple):
    r"""The errors of ridge regression with each penalty, and the best penalties.

    Parameters
    ----------
    penalties : Tensor, shape (p,)
        The penalties.
    folds : CrossValidation
        The errors for each penalty in each fold, shape (p, k), with their mean and standard error, shape (p,).

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section
       7.10.

    Examples
    --------
    The smallest mean is 2, with a standard error of 1; a mean of 3 is still within one standard error:

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
    r"""Return the errors of ridge regression for each penalty in each fold, all computed at once.

    .. math::

        e_{\lambda j} = \frac{1}{|\mathcal{V}_j|} \sum_{i \in \mathcal{V}_j}
            \tfrac12 \bigl(\mathbf{w}_{\lambda j}^\top \mathbf{x}_i + b_{\lambda j} - y_i\bigr)^2, \qquad
        \mathbf{w}_{\lambda j}, b_{\lambda j} = \operatorname*{arg\,min}_{\mathbf{w}, b} \sum_{i \notin \mathcal{V}_j}
            \tfrac12 \bigl(\mathbf{w}^\top \mathbf{x}_i + b - y_i\bigr)^2 + \tfrac{\lambda}{2} \lVert\mathbf{w}\rVert^2

    where :math:`\mathcal{V}_j` are the rows that fold :math:`j` of :func:`k_fold` holds out. The rows of each
    fold are reduced once to a small triangular matrix. The triangular matrices of the other folds, stacked, have a
    singular value decomposition :math:`\mathbf{U}\operatorname{diag}(\mathbf{s})\mathbf{V}^\top`, which gives the
    solution for every penalty: :math:`\mathbf{w}_\lambda =
    \mathbf{V}\operatorname{diag}\bigl(s_l / (s_l^2 + \lambda)\bigr)\mathbf{U}^\top\mathbf{y}`. The product
    :math:`\mathbf{X}^\top\mathbf{X}`, which would square the condition number, is never formed. The gradient with
    respect to ``penalties`` always exists; the one with respect to ``x`` and ``y`` needs folds of full column rank.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs. The penalty is the same for all columns, so they should have the same scale.
    y : Tensor, shape (n,)
        The targets.
    penalties : Tensor, shape (p,), in [0, inf)
        The penalties :math:`\lambda`; the bias is not penalized.
    k : int, in [2, n]
        The number of folds.
    shuffle : bool, default False
        Whether rows are assigned to folds at random.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    RidgePath
        Both errors for each penalty in each fold, the best penalty, and the one-standard-error choice.

    Raises
    ------
    TypeError
        If ``x``, ``y`` or ``penalties`` is not a real floating-point tensor.
    TypeError
        If ``y`` has another dtype than ``x``.
    TypeError
        If ``k`` is not an integer.
    ValueError
        If ``x`` is not a matrix, or ``y`` or ``penalties`` is not a vector.
    ValueError
        If ``x`` and ``y`` differ in their number of rows.
    ValueError
        If ``penalties`` is empty, or one of them is negative, infinite or NaN.
    ValueError
        If ``k`` is less than 2, or greater than the number of rows.
    ValueError
        If an entry of ``x`` or ``y`` is not finite.
    ValueError
        If a penalty is 0 and the centred columns of ``x`` are linearly dependent in a fold's training rows.
    ValueError
        If the rows are sharded, and ``x`` or ``y`` requires a gradient.

    See Also
    --------
    dlcore.linear.ridge : A single fit; with :func:`cross_validate` it gives the same errors, one penalty at a time.
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
    check_rows(x=x, y=y, k=k, shuffle=shuffle)
    n = _check_arguments(x, y, penalties)
    folds = [index.to(x.device) for _, index in k_fold(n, k, shuffle=shuffle, generator=generator)]
    k, (table, scale) = len(folds), _table(x.double(), y.double())
    n_validation = table.new_tensor([len(index) for index in folds])

    # The rows of a fold are (1, x, y). QR replaces them by a triangular matrix R with the same norm of all residuals.
    r_validation = _triangles_of_shards(table, folds, x) if is_sharded(x) else _triangles(table, folds)
    other_folds = torch.tensor([[i for i in range(k) if i != j] for j in range(k)], device=x.device)
    _, r_train = qr(r_validation[other_folds].flatten(1, 2))

    centred, bias_row = r_train[:, 1:, 1:], r_train[:, :1]  # without its first row, R belongs to the centred columns
    norms = l2_norm(r_train[..., 1:-1], dim=1, keepdim=True)
    _check_full_rank_of_folds(centred[..., :-1], norms, penalties, torch.finfo(accumulation_dtype(x.dtype)).eps)
    u, s, vt = svd(centred[..., :-1])
    inverse = s[..., None] / (s[..., None] ** 2 + penalties.double() / scale / scale)
    weight = vt.mT @ (inverse * (u.mT @ centred[..., -1:]))
    bias = (bias_row[..., -1:] - bias_row[..., 1:-1] @ weight) / bias_row[..., :1]
    coefficients = torch.cat([-bias, -weight, torch.ones_like(bias)], dim=1)  # (1, x, y) times these is the residual

    train, validation = (
        (r @ coefficients).square().sum(1) / (2 * n_rows[:, None])
        for r, n_rows in ((r_train, n - n_validation), (r_validation, n_validation))
    )
    return RidgePath(penalties, CrossValidation(train.mT.to(x.dtype), validation.mT.to(x.dtype)))


def _check_arguments(x: Tensor, y: Tensor, penalties: Tensor) -> int:
    """Raise TypeError or ValueError unless the tensors are valid, and return the number of rows."""
    check_floating(x=x, y=y, penalties=penalties)
    check_same_dtype(x=x, y=y)
    if x.dim() != 2 or x.shape[1] == 0:
        raise ValueError(f"x must have shape (n, d) with at least one column, got {tuple(x.shape)}")
    if y.dim() != 1:
        raise ValueError(f"y must have shape (n,), got {tuple(y.shape)}")
    if penalties.dim() != 1 or len(penalties) == 0:
        raise ValueError(f"penalties must have shape (p,) with at least one entry, got {tuple(penalties.shape)}")
    if is_sharded(x) and torch.is_grad_enabled() and (x.requires_grad or y.requires_grad):
        raise ValueError("x must not require a gradient, nor y, if the rows are sharded: detach them")
    check_values("penalties", penalties, ">= 0 and finite", lambda penalties: (penalties >= 0) & penalties.isfinite())
    return number_of_rows(x=x, y=y)


def _table(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows (1, x, y) of this process, centred and with x divided by its scale, and the scale.

    Centring changes only the bias, and avoids a loss of digits.
    """
    n, shards, (smallest, largest) = len(x), shards_of(x), row_extremes(x.detach())
    largest = torch.maximum(-smallest, largest)
    scale = torch.where(largest > 0, largest.log2().floor().exp2(), 1)  # a power of 2 rounds nothing
    x_rows, y_rows = local_rows(x) / scale, local_rows(y)
    x_mean, y_mean = (shards.sum(rows.sum(0)) / n for rows in (x_rows, y_rows))
    if has_values(x, y) and not bool(x_mean.isfinite().all() & y_mean.isfinite()):
        check_values("x", x, "finite", torch.isfinite)
        check_values("y", y, "finite", torch.isfinite)
    return torch.cat([torch.ones_like(y_rows)[:, None], x_rows - x_mean, (y_rows - y_mean)[:, None]], dim=1), scale


def _triangles(table: Tensor, folds: list[Tensor]) -> Tensor:
    """Return R of the QR decomposition of each fold's rows."""
    largest_fold = len(folds[0])
    return qr(torch.stack([pad(table[index], (0, 0, 0, largest_fold - len(index))) for index in folds]))[1]


def _triangles_of_shards(table: Tensor, folds: list[Tensor], x: Tensor) -> Tensor:
    """Return the same for the rows of all processes; x is sharded, and the table has the rows of this process."""
    own = [qr(table[own_rows(x, index)[1]])[1] for index in folds]
    padded = torch.stack([pad(r, (0, 0, 0, table.shape[1] - len(r))) for r in own])
    return qr(shards_of(x).cat(padded[None]).transpose(0, 1).flatten(1, 2))[1]


def _check_full_rank_of_folds(r: Tensor, norms: Tensor, penalties: Tensor, eps: float) -> None:
    """Raise ValueError if a penalty is 0 and the centred columns of a fold, given by R of their QR, are dependent.

    ``norms`` are those of the columns before the fold was centred: the rounding errors of R are proportional to them
    and to ``eps``, the relative rounding of the columns as given.
    """
    if has_values(r, penalties) and not bool(penalties.all()):
        r, norms, d = r.detach(), norms.detach(), r.shape[-1]
        values = singular_values(r / torch.where(norms > 0, norms, 1))
        ranks = (values > 16 * d * eps).sum(1)
        if int(ranks.min()) < d:
            raise ValueError(
                f"x must have rank {d} when centred, for penalty 0, got {int(ranks.min())} outside fold "
                f"{int(ranks.argmin())}: drop columns that depend on others, or penalize"
            )
