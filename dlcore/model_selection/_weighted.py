"""Cross-validation for a target that is distributed unlike the rows at hand."""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor

from dlcore._checks import check_losses, check_weights, number_of_rows
from dlcore.importance._weights import scaled_to_mean_one

from ._folds import CrossValidation, k_fold, take

__all__ = ["importance_weighted_cross_validation"]

Model = TypeVar("Model")


def importance_weighted_cross_validation(
    fit: Callable[[Tensor, Tensor, Tensor], Model],
    loss: Callable[[Model, Tensor, Tensor], Tensor],
    x: Shaped[Tensor, "n ..."],
    y: Shaped[Tensor, "n ..."],
    *,
    weights: Float[Tensor, "n"],
    k: int,
    shuffle: bool = False,
    normalize: bool = False,
    generator: Generator | None = None,
) -> CrossValidation:
    r"""Return the errors of each fold, weighted so that they are those on the target.

    .. math::

        e_j = \frac{1}{|\mathcal{V}_j|} \sum_{i \in \mathcal{V}_j} w_i\, l\bigl(\hat f_j, \mathbf{x}_i, y_i\bigr),
            \qquad \hat f_j = \operatorname{fit}\bigl(\{(\mathbf{x}_i, y_i, w_i) : i \notin \mathcal{V}_j\}\bigr)

    where :math:`\mathcal{V}_j` are the rows that fold :math:`j` of :func:`k_fold` holds out, and :math:`w_i` the
    density ratio of the target to the source, from which the rows are. Under covariate shift the mean of these errors
    is an unbiased estimate of the risk on the target, whatever ``fit`` does with its own weights; without weights, it
    would be that on the source. A ``fit`` that flattens or clips the weights is compared with one that does not: each
    is judged under the weights given here.

    Parameters
    ----------
    fit : callable
        Maps training inputs, targets and weights to a model, of whatever kind.
    loss : callable
        Maps a model, inputs and targets to one loss per example, shape (rows,).
    x : Tensor, shape (n, ...)
        The inputs.
    y : Tensor, shape (n, ...)
        The targets.
    weights : Tensor, shape (n,), in [0, inf)
        The density ratio at each row.
    k : int, in [2, n]
        The number of folds.
    shuffle : bool, default False
        Assign rows to folds at random.
    normalize : bool, default False
        Divide by the sum of the weights of a fold, not by its number of rows: a small bias for less variance.
    generator : torch.Generator, optional
        What the assignment is drawn from; then the global random state is left alone.

    Returns
    -------
    CrossValidation
        Both weighted errors of each fold, with their mean and standard error.

    Raises
    ------
    TypeError
        If ``k`` is not an integer, or ``weights`` not a real floating-point tensor.
    TypeError
        If ``loss`` does not return a real floating-point tensor.
    ValueError
        If ``k`` is less than 2, or greater than the number of rows.
    ValueError
        If ``x``, ``y`` and ``weights`` differ in their number of rows, or ``weights`` is no vector.
    ValueError
        If a weight is negative, infinite or NaN, or, with ``normalize``, all of a fold are 0.
    ValueError
        If ``loss`` does not return one value per example.

    See Also
    --------
    cross_validate : The same for a target that is distributed like the rows.
    dlcore.shift.covariate.logistic_ratio : Estimates the weights.

    References
    ----------
    .. [1] M. Sugiyama, M. Krauledat and K.-R. Müller, "Covariate shift adaptation by importance weighted cross
       validation", *Journal of Machine Learning Research* 8, 2007.

    Examples
    --------
    The model is the weighted mean of the targets. The first row counts for nothing, the last one twice:

    >>> y = torch.tensor([0.0, 2.0, 4.0, 10.0])
    >>> result = importance_weighted_cross_validation(
    ...     lambda x, y, weights: (weights * y).sum() / weights.sum(),
    ...     lambda mean, x, y: (mean - y) ** 2,
    ...     y,
    ...     y,
    ...     weights=torch.tensor([0.0, 1.0, 1.0, 2.0]),
    ...     k=2,
    ... )
    >>> result.validation_errors, result.validation_mean
    (tensor([18., 66.]), tensor(42.))
    """
    n = number_of_rows(x=x, y=y, weights=weights)
    check_weights("weights", weights)
    errors: list[tuple[Tensor, ...]] = []
    for train, validation in k_fold(n, k, shuffle=shuffle, generator=generator):
        model = fit(take(x, train), take(y, train), take(weights, train))
        of_fold: list[Tensor] = []
        for rows in (train, validation):
            losses, shares = loss(model, take(x, rows), take(y, rows)), take(weights, rows)
            check_losses(losses, len(rows))
            if normalize:
                shares = scaled_to_mean_one("weights of a fold", shares).to(shares.dtype)
            of_fold.append((shares * losses).mean())
        errors.append(tuple(of_fold))
    return CrossValidation(*map(torch.stack, zip(*errors, strict=True)))
