"""Cross-validation weighted by a density ratio, for a target distribution that differs from the source."""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor

from dlcore._checks import check_losses, check_weights, number_of_rows
from dlcore._rows import row_mean
from dlcore._shards import check_rows, in_shards, take_rows
from dlcore.importance._weights import scaled_to_mean_one

from ._folds import CrossValidation, k_fold

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
    r"""Return the importance-weighted errors of each fold, which estimate the risk on the target.

    .. math::

        e_j = \frac{1}{|\mathcal{V}_j|} \sum_{i \in \mathcal{V}_j} w_i\, l\bigl(\hat f_j, \mathbf{x}_i, y_i\bigr),
            \qquad \hat f_j = \operatorname{fit}\bigl(\{(\mathbf{x}_i, y_i, w_i) : i \notin \mathcal{V}_j\}\bigr)

    where :math:`\mathcal{V}_j` are the rows that fold :math:`j` of :func:`k_fold` holds out, and :math:`w_i` is
    the density ratio of the target to the source, from which the rows come. Under covariate shift, the mean of these
    errors is an unbiased estimate of the risk on the target, whatever ``fit`` does with its weights; without weights,
    it would estimate the risk on the source. The weights given here also make a ``fit`` that flattens or clips them
    comparable with one that does not.

    Parameters
    ----------
    fit : callable
        Maps training inputs, targets and weights to a model of any type.
    loss : callable
        Maps a model, inputs and targets to one loss per example, shape (rows,).
    x : Tensor, shape (n, ...)
        The inputs.
    y : Tensor, shape (n, ...)
        The targets.
    weights : Tensor, shape (n,), in [0, inf)
        The density ratio at each row. A row of weight 0 is absent: its loss may be infinite or NaN.
    k : int, in [2, n]
        The number of folds.
    shuffle : bool, default False
        Whether rows are assigned to folds at random.
    normalize : bool, default False
        Whether to divide by the sum of the weights of a fold instead of its number of rows, which adds a small bias
        and reduces the variance.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    CrossValidation
        Both weighted errors of each fold, with their mean and standard error.

    Raises
    ------
    TypeError
        If ``k`` is not an integer, or ``weights`` is not a real floating-point tensor.
    TypeError
        If ``loss`` does not return a real floating-point tensor.
    ValueError
        If ``k`` is less than 2, or greater than the number of rows.
    ValueError
        If ``x``, ``y`` and ``weights`` differ in their number of rows, or ``weights`` is not a vector.
    ValueError
        If a weight is negative, infinite or NaN, or if, with ``normalize``, all weights of a fold are 0.
    ValueError
        If ``loss`` does not return one value per example.

    See Also
    --------
    cross_validate : The same for a target with the distribution of the rows.
    dlcore.shift.covariate.logistic_ratio : Estimates the weights.

    References
    ----------
    .. [1] M. Sugiyama, M. Krauledat and K.-R. Müller, "Covariate shift adaptation by importance weighted cross
       validation", *Journal of Machine Learning Research* 8, 2007.

    Examples
    --------
    The model is the weighted mean of the targets. The first row has weight 0, the last one weight 2:

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
    check_rows(x=x, y=y, weights=weights, k=k, shuffle=shuffle, normalize=normalize)
    n = number_of_rows(x=x, y=y, weights=weights)
    check_weights("weights", weights)
    errors: list[tuple[Tensor, ...]] = []
    for train, validation in k_fold(n, k, shuffle=shuffle, generator=generator):
        model = fit(take_rows(x, train), take_rows(y, train), take_rows(weights, train))
        fold: list[Tensor] = []
        for index in (train, validation):
            losses, w = in_shards(loss(model, take_rows(x, index), take_rows(y, index))), take_rows(weights, index)
            check_losses(losses, len(index))
            if normalize:
                w = scaled_to_mean_one("weights of a fold", w).to(w.dtype)
            fold.append(row_mean(w * torch.where(w > 0, losses, 0)))
        errors.append(tuple(fold))
    return CrossValidation(*map(torch.stack, zip(*errors, strict=True)))
