r"""Risk: how large is the expected loss, and how well is it known?

The risk of a model is its expected loss over the distribution of future examples, which is unknown. The empirical risk
is the mean loss over a sample. If the sample comes from another distribution, importance weights correct the mean. The
losses in this library are per example, and these functions reduce them to a mean, never to a sum. Each risk is a
differentiable tensor that can be minimized; :func:`standard_error` returns its standard error.
"""

from collections.abc import Callable
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from ._blocks import row_blocks, sum_over_rows
from ._checks import check_floating, check_same_shape, check_weights
from ._numerics import accumulation_dtype
from ._rows import row_mean
from ._shards import check_rows, copied, is_sharded, shards_of
from .importance._weights import largest_and_mean
from .norms import l2_norm

__all__ = [
    "empirical_risk",
    "generalization_gap",
    "importance_weighted_risk",
    "standard_error",
]


def empirical_risk(losses: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    r"""Return the mean loss over a sample.

    .. math::

        R_\text{emp} = \frac1n \sum_{i=1}^{n} \ell_i, \qquad R = \mathbb{E}_{p(\mathbf{x}, y)}[\ell]

    where :math:`\ell_i` is the loss of example :math:`i`. It estimates the risk :math:`R`, the expected loss over the
    distribution :math:`p` of the examples; the estimate is unbiased if the model was not fitted to them. The total loss
    is :math:`n R_\text{emp}`: it has the same minimizer, and its gradient is :math:`n` times as long.

    Parameters
    ----------
    losses : Tensor, shape (n,), n > 0
        The loss of each example.

    Returns
    -------
    Tensor, shape ()
        The empirical risk, with the unit and dtype of ``losses``.

    Raises
    ------
    TypeError
        If ``losses`` is not a real floating-point tensor.
    ValueError
        If ``losses`` does not have exactly one dimension, or is empty.

    See Also
    --------
    torch.mean : The same for tensors of any shape; NaN for an empty one.
    standard_error : The uncertainty of this estimate.

    References
    ----------
    .. [1] V. N. Vapnik, "Principles of risk minimization for learning theory", *Advances in Neural Information
       Processing Systems* 4, 1991.

    Examples
    --------
    >>> losses = torch.tensor([0.0, 1.0, 2.0, 5.0])
    >>> empirical_risk(losses)
    tensor(2.)

    Its gradient is 1/n for each example, whereas that of the sum is 1:

    >>> torch.func.grad(empirical_risk)(losses)
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    check_rows(losses=losses)
    _check_losses(losses=losses)
    return row_mean(losses)


def importance_weighted_risk(
    losses: Float[Tensor, "n"], weights: Float[Tensor, "n"], *, normalize: bool = False
) -> Float[Tensor, ""]:
    r"""Return the weighted mean loss, an estimate of the risk under another distribution.

    .. math::

        \frac1n \sum_{i=1}^{n} w_i \ell_i \qquad\text{or, normalized,}\qquad
        \frac{\sum_{i=1}^{n} w_i \ell_i}{\sum_{i=1}^{n} w_i}

    where :math:`w_i = p(\mathbf{x}_i)/q(\mathbf{x}_i)` if the examples come from :math:`q` and :math:`p` is the target.
    The sum divided by :math:`n` is unbiased if the weights are correct. The sum divided by :math:`\sum_i w_i` is only
    consistent, but the scale of the weights cancels, the result lies between the smallest and the largest loss, and its
    variance is usually smaller. Neither covers a region where :math:`p > 0` and :math:`q = 0`, because no example comes
    from there.

    Parameters
    ----------
    losses : Tensor, shape (n,), n > 0
        The loss of each example.
    weights : Tensor, shape (n,), >= 0
        The importance weights. An example with weight 0 may have any loss, even an infinite one. The values are not
        checked under ``torch.compile`` and ``torch.func``.
    normalize : bool, default False
        Whether to divide by the sum of the weights instead of n.

    Returns
    -------
    Tensor, shape ()
        The weighted risk, with the unit of ``losses``, in the dtype to which both promote.

    Raises
    ------
    TypeError
        If ``losses`` or ``weights`` is not a real floating-point tensor.
    ValueError
        If ``losses`` does not have exactly one dimension, or is empty, or ``weights`` has another shape.
    ValueError
        If a weight is negative or NaN, or, with ``normalize``, if all weights are 0.

    See Also
    --------
    numpy.average : Always divides by the sum of the weights.
    dlcore.importance.diagnose : Whether the weights can be trusted.

    References
    ----------
    .. [1] H. Shimodaira, "Improving predictive inference under covariate shift by weighting the log-likelihood
       function", *Journal of Statistical Planning and Inference* 90(2), 2000.
    .. [2] A. B. Owen, *Monte Carlo Theory, Methods and Examples*, 2013, sections 9.1 and 9.2.

    Examples
    --------
    >>> losses, weights = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([2.0, 1.0, 1.0, 0.0])
    >>> importance_weighted_risk(losses, weights)
    tensor(2.)

    The scale of the weights matters, unless the sum is normalized:

    >>> importance_weighted_risk(losses, 10 * weights), importance_weighted_risk(losses, 10 * weights, normalize=True)
    (tensor(20.), tensor(2.))
    """
    check_rows(losses=losses, weights=weights, normalize=normalize)
    _check_weighted(losses, weights)
    dtype = torch.promote_types(losses.dtype, weights.dtype)
    wide = accumulation_dtype(dtype)
    return _weighted_mean(losses, weights, _scale(weights, wide, normalize=normalize), wide).to(dtype)


def standard_error(
    losses: Float[Tensor, "n"], weights: Float[Tensor, "n"] | None = None, *, normalize: bool = False
) -> Float[Tensor, ""]:
    r"""Return the standard error of an empirical or importance-weighted risk.

    .. math::

        \sqrt{\frac{1}{n(n-1)} \sum_{i=1}^{n} (w_i \ell_i - R)^2} \qquad\text{or, normalized,}\qquad
        \frac{n}{\sum_i w_i} \sqrt{\frac{1}{n(n-1)} \sum_{i=1}^{n} w_i^2 (\ell_i - R)^2}

    where :math:`R` is the risk, and :math:`w_i = 1` without weights. The square of the first form is an unbiased
    estimate of the variance. The second form is the delta method: it is accurate for large :math:`n`, and equals the
    first if all weights are 1. Both assume independent examples, a fixed model and known weights, and both are too
    small if a few large weights dominate.

    Parameters
    ----------
    losses : Tensor, shape (n,), n > 1
        The loss of each example.
    weights : Tensor, shape (n,), >= 0, optional
        The importance weights. An example with weight 0 may have any loss, even an infinite one. The values are not
        checked under ``torch.compile`` and ``torch.func``.
    normalize : bool, default False
        Whether the risk was divided by the sum of the weights instead of n.

    Returns
    -------
    Tensor, shape (), in [0, inf)
        The standard error, with the unit of ``losses``, in the dtype to which both promote; where it is 0, its gradient
        is 0.

    Raises
    ------
    TypeError
        If ``losses`` or ``weights`` is not a real floating-point tensor.
    ValueError
        If ``losses`` does not have exactly one dimension, or has fewer than two entries, or ``weights`` has another
        shape.
    ValueError
        If a weight is negative or NaN, or, with ``normalize``, if all weights are 0.

    See Also
    --------
    torch.std : The standard deviation; divided by the square root of n, it is the standard error.
    dlcore.importance.diagnose : Whether the weights have a finite variance.

    References
    ----------
    .. [1] A. B. Owen, *Monte Carlo Theory, Methods and Examples*, 2013, sections 2.2 and 9.2.

    Examples
    --------
    The deviations from the mean 3 are -2, -2, 0 and 4. Their squares sum to 24, and 24 / (4 · 3) = 2:

    >>> losses = torch.tensor([1.0, 1.0, 3.0, 7.0])
    >>> standard_error(losses) ** 2
    tensor(2.)

    The standard error of a gap between independent samples is the square root of the sum of the squares:

    >>> torch.hypot(standard_error(losses), standard_error(losses))
    tensor(2.)
    """
    if weights is None:
        check_rows(losses=losses, normalize=normalize)
        _check_losses(losses=losses)
        weights = torch.ones_like(losses) if is_sharded(losses) else losses.new_ones(()).expand(losses.shape)
    else:
        check_rows(losses=losses, weights=weights, normalize=normalize)
    _check_weighted(losses, weights)
    n = losses.shape[0]
    if n < 2:
        raise ValueError("losses must hold at least two examples, got shape (1,)")
    dtype = torch.promote_types(losses.dtype, weights.dtype)
    scale = _scale(weights, torch.float64, normalize=normalize)  # float64: the deviations may be small
    risk = copied(_weighted_mean(losses, weights, scale, torch.float64), losses)

    def length_of_deviations(losses: Tensor, weights: Tensor) -> Tensor:
        losses, weights = _present(losses, weights).double(), scale(weights.double())
        return l2_norm(weights * (losses - risk) if normalize else weights * losses - risk)

    length = reduce(torch.hypot, (length_of_deviations(*rows) for rows in row_blocks(losses, weights)))
    return (l2_norm(shards_of(losses).cat(length.reshape(1))) / (n * (n - 1)) ** 0.5).to(dtype)


def generalization_gap(train_losses: Float[Tensor, "n"], test_losses: Float[Tensor, "m"]) -> Float[Tensor, ""]:
    r"""Return the risk on new examples minus the risk on the examples that the model was fitted to.

    .. math::

        \frac1m \sum_{j=1}^{m} \ell_j^\text{test} - \frac1n \sum_{i=1}^{n} \ell_i^\text{train}

    It estimates :math:`R - R_\text{emp}`. The test examples must be new: the gap is too small if they were used to
    choose the model, the penalty or the time to stop.

    Parameters
    ----------
    train_losses : Tensor, shape (n,), n > 0
        The loss of each example that the model was fitted to.
    test_losses : Tensor, shape (m,), m > 0
        The loss of each new example.

    Returns
    -------
    Tensor, shape ()
        The gap, with the unit of the losses, in the dtype to which both promote; it is usually positive.

    Raises
    ------
    TypeError
        If ``train_losses`` or ``test_losses`` is not a real floating-point tensor.
    ValueError
        If ``train_losses`` or ``test_losses`` does not have exactly one dimension, or is empty.

    See Also
    --------
    dlcore.model_selection.cross_validate : Both risks, for each fold.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 5.2.

    Examples
    --------
    >>> generalization_gap(torch.tensor([0.5, 1.5, 1.0]), torch.tensor([1.0, 2.0]))
    tensor(0.5000)
    """
    check_rows(train_losses=train_losses)
    check_rows(test_losses=test_losses)
    _check_losses(train_losses=train_losses, test_losses=test_losses)
    dtype = torch.promote_types(train_losses.dtype, test_losses.dtype)
    # without an offset, the difference loses digits
    offset = (sum_over_rows(Tensor.double, train_losses.detach()) / train_losses.shape[0]).nan_to_num(0, 0, 0)

    def excess(losses: Tensor) -> Tensor:
        return losses.double() - offset

    test, train = (sum_over_rows(excess, x) / x.shape[0] for x in (test_losses, train_losses))
    return (test - train).to(dtype)


def _present(losses: Tensor, weights: Tensor) -> Tensor:
    """Return the losses, replacing infinite or NaN losses of absent examples, those with weight 0, by 0."""
    return torch.where((weights == 0) & ~losses.isfinite(), 0, losses)


def _scale(weights: Tensor, dtype: torch.dtype, *, normalize: bool) -> Callable[[Tensor], Tensor]:
    """Return what divides the weights of some rows by the mean of all, or leaves them as they are."""
    if not normalize:
        return lambda w: w
    largest, mean = largest_and_mean("weights", weights, dtype)
    mean = copied(mean, weights)
    return lambda w: w / largest / mean


def _weighted_mean(losses: Tensor, weights: Tensor, scale: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Tensor:
    """Return the mean of the losses times the scaled weights, computed in a dtype."""

    def products(losses: Tensor, weights: Tensor) -> Tensor:
        return scale(weights.to(dtype)) * _present(losses, weights).to(dtype)

    return sum_over_rows(products, losses, weights) / losses.shape[0]


def _check_losses(**named: Tensor) -> None:
    check_floating(**named)
    for name, losses in named.items():
        if losses.dim() != 1:
            raise ValueError(f"{name} must have shape (n,), one loss per example, got {tuple(losses.shape)}")
        if losses.numel() == 0:
            raise ValueError(f"{name} must hold at least one example, got shape (0,)")


def _check_weighted(losses: Tensor, weights: Tensor) -> None:
    _check_losses(losses=losses)
    check_floating(weights=weights)
    check_same_shape(losses=losses, weights=weights)
    check_weights("weights", weights, finite=False)
