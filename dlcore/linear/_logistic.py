"""Logistic and softmax regression: the linear models with the smallest loss, found by a search."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from dlcore._checks import (
    as_int64,
    check_count,
    check_floating,
    check_indices,
    check_integer,
    check_nonnegative,
    check_same_dtype,
    check_values,
)
from dlcore._logit_losses import LOGISTIC, SOFTMAX
from dlcore._regression import check_examples, leave_out_absent, minimize
from dlcore._rows import row_extremes, row_max
from dlcore._shards import check_rows, local_rows, shards_of
from dlcore.linear._model import LinearParams


def logistic_regression(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n"], *, penalty: float = 1.0, weights: Float[Tensor, "n"] | None = None
) -> LinearParams:
    r"""Return the linear model with the smallest logistic loss.

    .. math::

        \min_{\mathbf{w},\, b}\ \sum_{i=1}^{n} \beta_i\,\bigl(\log(1 + e^{z_i}) - y_i z_i\bigr)
            + \frac{\lambda}{2}\lVert\mathbf{w}\rVert_2^2, \qquad z_i = \mathbf{w}^\top\mathbf{x}_i + b

    where :math:`\beta_i` is the weight of example :math:`i` and :math:`\lambda` the penalty, which is ``1 / C`` of
    scikit-learn; the bias is not penalized. The search runs in float64, by Newton's method, until the objective is
    within a relative 1e-15 of its minimum (1e-11 if more than 50 steps are needed), and then takes one more step. The
    result has no gradient, because the number of steps depends on the values.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs, one example each row.
    y : Tensor, shape (n,), in [0, 1]
        The labels, 0 or 1, or the probabilities of 1.
    penalty : float, in [0, inf), default 1.0
        The penalty :math:`\lambda`; with 0 there is a minimum only if no hyperplane separates the classes.
    weights : Tensor, shape (n,), in [0, inf), optional
        The weight of each example; 1 by default. An example of weight 0 is absent, whatever its values.

    Returns
    -------
    LinearParams
        ``weight`` of shape (d,) and ``bias`` of shape (), with the dtype of ``x``.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``; if ``penalty`` is not a real number.
    ValueError
        If the shapes are not those above, a value is out of its range or not finite, or all weights are 0.
    ValueError
        If all labels are 0, or all are 1: the bias then has no bound.
    ValueError
        If ``penalty`` is 0 and a hyperplane separates the classes, or a column of ``x`` depends on others.
    RuntimeError
        If the minimum is not reached.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same for classes only, with ``C`` for ``1 / penalty``.
    softmax_regression : For more than two classes.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section 4.4.

    Examples
    --------
    One of the four examples at 0 has label 1, and so do three of the four at 1. The model returns both frequencies:

    >>> x = torch.tensor([[0.0], [1.0]]).repeat_interleave(4, dim=0)
    >>> weight, bias = logistic_regression(x, torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]), penalty=0)
    >>> torch.sigmoid(torch.tensor([[0.0], [1.0]]) @ weight + bias)
    tensor([0.2500, 0.7500])
    """
    check_rows(x=x, y=y, penalty=penalty, weights=weights)
    check_nonnegative("penalty", penalty)
    check_floating(x=x, y=y)
    check_same_dtype(x=x, y=y)
    check_examples(x, weights, y=y)
    x, y, weights = leave_out_absent(x, y, weights)
    check_values("y", y, "in [0, 1]", lambda y: (y >= 0) & (y <= 1))
    smallest, largest = row_extremes(y)
    if largest == 0 or smallest == 1:
        raise ValueError(f"y must hold both classes, got only {largest.item()}")
    (params,) = minimize(LOGISTIC, x, y, weights, penalty=penalty)
    return LinearParams(params[:-1].to(x.dtype), params[-1].to(x.dtype))


def softmax_regression(
    x: Float[Tensor, "n d"],
    labels: Integer[Tensor, "n"],
    *,
    n_classes: int | None = None,
    penalty: float = 1.0,
    weights: Float[Tensor, "n"] | None = None,
) -> LinearParams:
    r"""Return the linear model with the smallest cross-entropy.

    .. math::

        \min_{\mathbf{W},\, \mathbf{b}}\ \sum_{i=1}^{n} \beta_i\,\Bigl(\log\sum_{j=1}^{k} e^{o_{ij}} - o_{i y_i}\Bigr)
            + \frac{\lambda}{2}\lVert\mathbf{W}\rVert_F^2,
            \qquad \mathbf{o}_i = \mathbf{W}^\top\mathbf{x}_i + \mathbf{b}

    where :math:`\beta_i` is the weight of example :math:`i` and :math:`\lambda` the penalty, which is ``1 / C`` of
    scikit-learn; the bias is not penalized. Adding one vector to all columns of :math:`\mathbf{W}`, or one
    number to all entries of :math:`\mathbf{b}`, changes no probability. The smallest of these models is returned: its
    columns sum to zero, and so do its biases. The search is that of :func:`logistic_regression`.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs, one example each row.
    labels : Tensor of integers, shape (n,), in [0, k)
        The classes; each of them must occur.
    n_classes : int, at least 2, optional
        The number k of classes; by default, one more than the largest label.
    penalty : float, in [0, inf), default 1.0
        The penalty :math:`\lambda`; with 0 there is a minimum only if no linear model separates the classes.
    weights : Tensor, shape (n,), in [0, inf), optional
        The weight of each example; 1 by default. An example of weight 0 is absent, whatever its values.

    Returns
    -------
    LinearParams
        ``weight`` of shape (d, k) and ``bias`` of shape (k,), with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` or ``weights`` is not real floating-point, ``labels`` is not integer, or ``penalty`` is not a real
        number.
    ValueError
        If the shapes are not those above, a value is out of its range or not finite, or all weights are 0.
    ValueError
        If a class does not occur: its bias then has no bound.
    ValueError
        If ``penalty`` is 0 and a linear model separates the classes or a column of ``x`` depends on others.
    RuntimeError
        If the minimum is not reached.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same, with ``C`` for ``1 / penalty``.
    logistic_regression : For two classes: its weight is the difference of the two columns, with half the penalty.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 4.3.4.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [0.0], [0.0], [0.0], [1.0], [1.0], [1.0], [1.0]])
    >>> weight, bias = softmax_regression(x, torch.tensor([0, 0, 1, 2, 0, 1, 2, 2]), penalty=0)
    >>> torch.softmax(torch.tensor([[0.0], [1.0]]) @ weight + bias, dim=1)
    tensor([[0.5000, 0.2500, 0.2500],
            [0.2500, 0.2500, 0.5000]])
    """
    check_rows(x=x, labels=labels, n_classes=n_classes, penalty=penalty, weights=weights)
    check_nonnegative("penalty", penalty)
    check_floating(x=x)
    check_integer(labels=labels)
    check_examples(x, weights, labels=labels)
    x, labels, weights = leave_out_absent(x, as_int64("labels", labels), weights)
    k = int(row_max(labels)) + 1 if n_classes is None else n_classes
    check_count("n_classes", k, 2)
    k = int(k)  # NumPy's integers too
    check_indices("labels", labels, k)
    counts = shards_of(labels).sum(torch.bincount(local_rows(labels), minlength=k))
    check_values("the number of each label", counts, ">= 1", lambda count: count >= 1)
    params = minimize(SOFTMAX, x, labels, weights, penalty=penalty, k=k).to(x.dtype)
    return LinearParams(params[:, :-1].T.contiguous(), params[:, -1])
