r"""Classification metrics: how good are the predictions of a classifier?

Accuracy is the fraction of correct predictions, the confusion matrix shows which classes are confused, and the
calibration error measures how far the probabilities are from the accuracy. Labels are class indices, and are passed
before the predictions.
"""

from typing import Literal

import torch
from jaxtyping import Float, Integer, Real
from torch import Tensor

from ._checks import (
    as_int64,
    check_count,
    check_floating,
    check_indices,
    check_integer,
    check_same_shape,
    check_values,
)
from ._numerics import upcast
from ._rows import row_mean
from ._shards import check_rows, local_rows, shards_of

__all__ = ["accuracy", "calibration_error", "confusion_matrix"]


def accuracy(labels: Integer[Tensor, "*shape"], predictions: Integer[Tensor, "*shape"]) -> Float[Tensor, ""]:
    r"""Return the fraction of predictions that are correct.

    .. math::

        \frac{1}{n} \sum_{i=1}^{n} \mathbb{1}[\hat{y}_i = y_i]

    where :math:`y_i` is the label and :math:`\hat{y}_i` is the predicted class.

    Parameters
    ----------
    labels : Tensor of integers, shape (*)
        The true classes.
    predictions : Tensor of integers, shape (*)
        The predicted classes; from logits or probabilities, ``logits.argmax(dim=-1)``.

    Returns
    -------
    Tensor, shape (), in [0, 1]
        The accuracy, in torch's default dtype.

    Raises
    ------
    TypeError
        If ``labels`` or ``predictions`` is not an integer tensor.
    ValueError
        If their shapes differ.
    ValueError
        If there is no example.

    See Also
    --------
    sklearn.metrics.accuracy_score : The same for NumPy arrays.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 5.1.2.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [1.0, 4.0]])
    >>> accuracy(torch.tensor([0, 1, 1, 1]), logits.argmax(dim=-1))
    tensor(0.7500)
    """
    check_rows(labels=labels, predictions=predictions)
    check_integer(labels=labels, predictions=predictions)
    check_same_shape(labels=labels, predictions=predictions)
    _check_not_empty(labels)
    correct = labels.to(torch.int64) == predictions.to(torch.int64)  # torch cannot compare every pair of integer dtypes
    return row_mean(correct, dtype=torch.get_default_dtype())


def confusion_matrix(
    labels: Integer[Tensor, "*shape"],
    predictions: Integer[Tensor, "*shape"],
    *,
    n_classes: int,
    normalize: Literal["true", "predicted", "all"] | None = None,
) -> Real[Tensor, "n_classes n_classes"]:
    r"""Return the number of examples for each pair of a true and a predicted class.

    .. math::

        C_{jk} = \sum_{i=1}^{n} \mathbb{1}[y_i = j]\,\mathbb{1}[\hat{y}_i = k]

    where :math:`y_i` is the label and :math:`\hat{y}_i` is the predicted class. Rows are true classes, columns are
    predicted classes, and the diagonal counts the correct predictions.

    Parameters
    ----------
    labels : Tensor of integers, shape (*), in [0, n_classes)
        The true classes.
    predictions : Tensor of integers, shape (*), in [0, n_classes)
        The predicted classes.
    n_classes : int, at least 1
        The number of classes, including those that do not occur.
    normalize : {"true", "predicted", "all"}, optional
        What to scale to sum 1: each row, which estimates :math:`P(\hat{y} = k \mid y = j)`; each column, which
        estimates :math:`P(y = j \mid \hat{y} = k)`; or the whole matrix, which estimates the joint distribution. A row
        or column without examples stays 0.

    Returns
    -------
    Tensor, shape (n_classes, n_classes)
        The counts, as integers; if normalized, numbers in [0, 1] in torch's default dtype.

    Raises
    ------
    TypeError
        If ``labels`` or ``predictions`` is not an integer tensor.
    TypeError
        If ``n_classes`` is not an integer.
    ValueError
        If ``n_classes`` is less than 1.
    ValueError
        If ``normalize`` is not one of these values.
    ValueError
        If the shapes of ``labels`` and ``predictions`` differ.
    ValueError
        If a label is out of range.
    ValueError
        If a prediction is out of range.

    See Also
    --------
    sklearn.metrics.confusion_matrix : The same for NumPy arrays, with "pred" in place of "predicted".

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan and H. Schütze, *Introduction to Information Retrieval*, 2008, chapter 14.

    Examples
    --------
    >>> labels, predictions = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    >>> confusion_matrix(labels, predictions, n_classes=2)
    tensor([[3, 1],
            [0, 2]])
    >>> confusion_matrix(labels, predictions, n_classes=2, normalize="true")
    tensor([[0.7500, 0.2500],
            [0.0000, 1.0000]])
    """
    check_rows(labels=labels, predictions=predictions, n_classes=n_classes, normalize=normalize)
    check_integer(labels=labels, predictions=predictions)
    check_count("n_classes", n_classes, 1)
    if normalize not in {None, "true", "predicted", "all"}:
        raise ValueError(f"normalize must be 'true', 'predicted', 'all' or None, got {normalize!r}")
    check_same_shape(labels=labels, predictions=predictions)
    labels, predictions, k = as_int64("labels", labels), as_int64("predictions", predictions), int(n_classes)
    check_indices("labels", labels, k)
    check_indices("predictions", predictions, k)
    pairs = local_rows(labels * k + predictions).flatten()
    counts = torch.zeros(k**2, dtype=torch.int64, device=labels.device)
    counts = shards_of(labels).sum(counts.index_add(0, pairs, torch.ones_like(pairs))).reshape(k, k)
    if normalize is None:
        return counts
    dim = {"true": (1,), "predicted": (0,), "all": (0, 1)}[normalize]
    return counts / counts.sum(dim=dim, keepdim=True).clamp(min=1)


def calibration_error(
    labels: Integer[Tensor, "n"], probabilities: Float[Tensor, "n k"], *, n_bins: int = 15
) -> Float[Tensor, ""]:
    r"""Return the expected calibration error: the mean distance between confidence and accuracy.

    .. math::

        \sum_{m=1}^{M} \frac{|B_m|}{n} \left|\operatorname{acc}(B_m) - \operatorname{conf}(B_m)\right|

    where the confidence of a prediction is its largest probability, and bin :math:`B_m` holds the examples with a
    confidence in :math:`\bigl(\frac{m-1}{M}, \frac{m}{M}\bigr]`; an edge belongs to the bin below it, and 0 to the
    first bin. The accuracy and the mean confidence of a bin are :math:`\operatorname{acc}` and
    :math:`\operatorname{conf}`; an empty bin adds nothing.

    Parameters
    ----------
    labels : Tensor of integers, shape (n,), in [0, k)
        The true classes.
    probabilities : Tensor, shape (n, k), in [0, 1]
        The predicted probabilities. The class with the largest is the prediction, the first one if several tie. Only
        the largest of each row is checked.
    n_bins : int, at least 1, default 15
        The number :math:`M` of bins, which have equal widths.

    Returns
    -------
    Tensor, shape (), in [0, 1]
        The error, with the dtype of ``probabilities``. As an estimate of the true error it is biased upwards, and more
        so with more bins.

    Raises
    ------
    TypeError
        If ``labels`` is not an integer tensor.
    TypeError
        If ``probabilities`` is not a real floating-point tensor.
    TypeError
        If ``n_bins`` is not an integer.
    ValueError
        If ``n_bins`` is less than 1.
    ValueError
        If ``probabilities`` is not a matrix with at least one class.
    ValueError
        If ``labels`` does not have one entry for each row of ``probabilities``.
    ValueError
        If there is no example.
    ValueError
        If a label is out of range.
    ValueError
        If the largest probability of a row is not in [0, 1].

    See Also
    --------
    sklearn.calibration.calibration_curve : The accuracy and confidence of each bin, for two classes.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On calibration of modern neural networks", *ICML*, 2017,
       section 2.

    Examples
    --------
    Four predictions with confidence 3/4 each are calibrated if three of them are correct:

    >>> probabilities = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.75, 0.25], [0.75, 0.25]])
    >>> calibration_error(torch.tensor([0, 0, 0, 1]), probabilities)
    tensor(0.)
    >>> calibration_error(torch.tensor([0, 0, 0, 0]), probabilities)
    tensor(0.2500)
    """
    check_rows(labels=labels, probabilities=probabilities, n_bins=n_bins)
    check_integer(labels=labels)
    check_floating(probabilities=probabilities)
    check_count("n_bins", n_bins, 1)
    if probabilities.dim() != 2 or probabilities.shape[1] == 0:
        raise ValueError(f"probabilities must have shape (n, k) with k >= 1, got {tuple(probabilities.shape)}")
    if labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"labels must have one entry for each of the {len(probabilities)} rows, got shape {tuple(labels.shape)}"
        )
    _check_not_empty(labels)
    labels, m = as_int64("labels", labels), int(n_bins)
    check_indices("labels", labels, probabilities.shape[1])
    conf, predictions = upcast(probabilities).max(dim=1)
    check_values("probabilities", conf, "in [0, 1]", lambda p: (p >= 0) & (p <= 1))
    acc = (predictions == labels).double()  # float64, because a bin may hold millions of examples
    edges = torch.arange(1, m, dtype=conf.dtype, device=conf.device) / m
    gap, bins = local_rows(acc - conf), torch.bucketize(local_rows(conf.detach()), edges)
    gaps = shards_of(conf).sum(gap.new_zeros(m).index_add(0, bins, gap))  # |B_m| (acc(B_m) - conf(B_m))
    return (gaps.abs().sum() / labels.numel()).to(probabilities.dtype)


def _check_not_empty(labels: Tensor) -> None:
    if labels.numel() == 0:
        raise ValueError(f"labels must hold at least one example, got shape {tuple(labels.shape)}")
