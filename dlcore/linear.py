r"""Which weights and which bias make a linear model fit best?

A linear model is :math:`\hat{y} = \mathbf{w}^\top\mathbf{x} + b`. This chapter holds the model, for one target or for
several, and its best parameters: for the squared error in closed form, for the logistic and the softmax loss by a
search that ends where the gradient vanishes. The bias is never penalized.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._checks import check_floating, check_integer, check_number, check_rank, check_values
from ._regression import (
    Problem,
    check_examples,
    check_same_dtype,
    leave_out_absent,
    minimize,
    softmax_of_outputs,
    squared_error_fit,
    subtract_one_hot,
)

__all__ = ["LinearParams", "least_squares", "linear", "logistic_regression", "ridge", "softmax_regression"]


class LinearParams(NamedTuple):
    r"""The parameters of a linear model, :math:`\mathbf{X}\mathbf{W} + \mathbf{b}`.

    A weight has one row for each input and one column for each output: the transpose of what :class:`torch.nn.Linear`
    keeps. Each way takes one line: ``layer.load_state_dict({"weight": params.weight.T, "bias": params.bias})`` and
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
        If an argument is not a real floating-point tensor, or has another dtype than ``x``.
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
    check_same_dtype(x, weight=weight, bias=bias)
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
    return LinearParams(*squared_error_fit(x, y, weights, 0.0))


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
    check_number("penalty", penalty, ">= 0 and finite", lambda penalty: 0 <= penalty < math.inf)
    return LinearParams(*squared_error_fit(x, y, weights, penalty))


def logistic_regression(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n"], *, penalty: float = 1.0, weights: Float[Tensor, "n"] | None = None
) -> LinearParams:
    r"""Return the linear model whose sigmoid fits the labels best.

    .. math::

        \min_{\mathbf{w},\, b}\ \sum_{i=1}^{n} \beta_i\,\bigl(\log(1 + e^{z_i}) - y_i z_i\bigr)
            + \frac{\lambda}{2}\lVert\mathbf{w}\rVert_2^2, \qquad z_i = \mathbf{w}^\top\mathbf{x}_i + b

    where :math:`\beta_i` is the weight of example :math:`i` and :math:`\lambda` the penalty, which is ``1 / C`` of
    scikit-learn; the bias is free. The fit runs in float64 until the norm of the gradient over the largest weight is
    below 1e-8, or what float64 resolves. It cannot be differentiated: the number of its steps depends on values.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs, one example each row.
    y : Tensor, shape (n,), in [0, 1]
        The labels, 0 or 1, or the probabilities of 1.
    penalty : float, in [0, inf), default 1.0
        The penalty :math:`\lambda`; with 0 there is a minimum only where no hyperplane separates the classes.
    weights : Tensor, shape (n,), in [0, inf), optional
        The weight of each example; 1 by default. An example of weight 0 counts as absent, whatever it holds.

    Returns
    -------
    LinearParams
        ``weight`` of shape (d,) and ``bias`` of shape (), with the dtype of ``x``.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``; if ``penalty`` is no real number.
    ValueError
        If the shapes are not those above, a value is out of its range or not finite, or all weights are 0.
    ValueError
        If all labels are 0, or all 1: the bias has no bound.
    ValueError
        If ``penalty`` is 0, and a hyperplane separates the classes or a column of ``x`` depends on others.
    RuntimeError
        If the minimum is not reached.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same for classes, not probabilities, with ``C`` for ``1 / penalty``.
    softmax_regression : For more than two classes.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section 4.4.

    Examples
    --------
    Of 4 examples at 0 one has label 1, and of 4 at 1 three: the model meets both frequencies.

    >>> x = torch.tensor([[0.0], [1.0]]).repeat_interleave(4, dim=0)
    >>> weight, bias = logistic_regression(x, torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]), penalty=0)
    >>> torch.sigmoid(linear(torch.tensor([[0.0], [1.0]]), weight, bias))
    tensor([0.2500, 0.7500])
    """
    check_number("penalty", penalty, ">= 0 and finite", lambda penalty: 0 <= penalty < math.inf)
    check_floating(x=x, y=y)
    check_same_dtype(x, y=y)
    check_examples(x, weights, y=y)
    x, y, weights = leave_out_absent(x, y, weights)
    check_values("y", y, "in [0, 1]", lambda y: (y >= 0) & (y <= 1))
    if y.max() == 0 or y.min() == 1:
        raise ValueError(f"y must hold both classes, got only {y[0].item()}")
    (params,) = minimize(Problem(x, y.double(), weights, penalty, 1, torch.sigmoid, Tensor.sub_)).to(x.dtype)
    return LinearParams(params[:-1], params[-1])


def softmax_regression(
    x: Float[Tensor, "n d"],
    labels: Int[Tensor, "n"],
    *,
    n_classes: int | None = None,
    penalty: float = 1.0,
    weights: Float[Tensor, "n"] | None = None,
) -> LinearParams:
    r"""Return the linear model whose softmax fits the labels best.

    .. math::

        \min_{\mathbf{W},\, \mathbf{b}}\ \sum_{i=1}^{n} \beta_i\,\Bigl(\log\sum_{j=1}^{k} e^{o_{ij}} - o_{i y_i}\Bigr)
            + \frac{\lambda}{2}\lVert\mathbf{W}\rVert_F^2,
            \qquad \mathbf{o}_i = \mathbf{W}^\top\mathbf{x}_i + \mathbf{b}

    where :math:`\beta_i` is the weight of example :math:`i` and :math:`\lambda` the penalty, which is ``1 / C`` of
    scikit-learn; the bias is free. One vector added to all columns of :math:`\mathbf{W}`, or one number to all of
    :math:`\mathbf{b}`, changes no probability: of these models the smallest is returned, whose columns, and whose
    biases, sum to zero. The fit runs as that of :func:`logistic_regression` does.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The inputs, one example each row.
    labels : Tensor of integers, shape (n,), in [0, k)
        The classes; each of them must be there.
    n_classes : int, at least 2, optional
        The number k of classes; by default, one more than the largest label.
    penalty : float, in [0, inf), default 1.0
        The penalty :math:`\lambda`; with 0 there is a minimum only where no linear model separates the classes.
    weights : Tensor, shape (n,), in [0, inf), optional
        The weight of each example; 1 by default. An example of weight 0 counts as absent, whatever it holds.

    Returns
    -------
    LinearParams
        ``weight`` of shape (d, k) and ``bias`` of shape (k,), with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` or ``weights`` is not real floating-point, ``labels`` not integer, or ``penalty`` no real number.
    ValueError
        If the shapes are not those above, a value is out of its range or not finite, or all weights are 0.
    ValueError
        If a class is absent: its bias has no bound.
    ValueError
        If ``penalty`` is 0, and a linear model separates the classes or a column of ``x`` depends on others.
    RuntimeError
        If the minimum is not reached.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same, with ``C`` for ``1 / penalty``.
    logistic_regression : For two classes: its weight is the difference of the two columns, with half the penalty.

    References
    ----------
    .. [1] D. Böhning, "Multinomial logistic regression algorithm", *Annals of the Institute of Statistical Mathematics*
       44(1), 1992.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [0.0], [0.0], [0.0], [1.0], [1.0], [1.0], [1.0]])
    >>> weight, bias = softmax_regression(x, torch.tensor([0, 0, 1, 2, 0, 1, 2, 2]), penalty=0)
    >>> torch.softmax(linear(torch.tensor([[0.0], [1.0]]), weight, bias), dim=1)
    tensor([[0.5000, 0.2500, 0.2500],
            [0.2500, 0.2500, 0.5000]])
    """
    check_number("penalty", penalty, ">= 0 and finite", lambda penalty: 0 <= penalty < math.inf)
    check_floating(x=x)
    check_integer(labels=labels)
    check_examples(x, weights, labels=labels)
    x, labels, weights = leave_out_absent(x, labels.long(), weights)
    k = int(labels.max()) + 1 if n_classes is None else n_classes
    check_number("n_classes", k, ">= 2", lambda k: k >= 2)
    check_values("labels", labels, f"in [0, {k})", lambda labels: (labels >= 0) & (labels < k))
    check_values("the number of each label", torch.bincount(labels, minlength=k), ">= 1", lambda count: count >= 1)
    params = minimize(Problem(x, labels, weights, penalty, k, softmax_of_outputs, subtract_one_hot)).to(x.dtype)
    return LinearParams(params[:, :-1].T.contiguous(), params[:, -1])
