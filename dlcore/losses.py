r"""Losses: how wrong is a prediction?

A loss maps a prediction and a target to a number, which is 0 for a perfect prediction. Each function returns one value
per example; training minimizes their mean, which :mod:`dlcore.risk` computes. Pass logits, not probabilities, to a
classification loss: a softmax would round small probabilities to 0 before their logarithm is taken. The value and the
gradient are finite wherever the true ones are. Labels are checked, except while ``torch.compile`` or ``torch.func``
traces. Inside ``torch.autocast``, losses compute and return float32, as torch's own do.
"""

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ._checks import (
    as_int64,
    check_count,
    check_floating,
    check_indices,
    check_integer,
    check_number,
    check_pair,
    check_rank,
    check_values,
    has_values,
)
from ._fused import cross_entropy_of_rows, half_square, surprise_at_labels
from ._numerics import loss_operands, upcast
from .activations import softplus
from .activations._stable import stable_log_softmax

__all__ = [
    "absolute_loss",
    "cross_entropy",
    "cross_entropy_from_probabilities",
    "huber_loss",
    "logistic_loss",
    "squared_loss",
]


def squared_loss(y_hat: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Return half the squared residuals.

    .. math::

        l(\hat y, y) = \tfrac12\,(\hat y - y)^2, \qquad \frac{\partial l}{\partial\hat y} = \hat y - y

    Up to a constant, it is the negative log-likelihood of :math:`y` under normal noise with variance 1.

    Parameters
    ----------
    y_hat : Tensor, shape (*)
        The predictions.
    y : Tensor, shape (*)
        The targets, in the same shape; broadcasting (n, 1) against (n,) would give n × n residuals.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The losses, with the dtype of ``y_hat``, in the squared unit of ``y``.

    Raises
    ------
    TypeError
        If ``y_hat`` and ``y`` are not two real floating-point tensors of one dtype.
    ValueError
        If the shapes differ.

    See Also
    --------
    torch.nn.functional.mse_loss : With ``reduction="none"``, **twice** this, because it omits the ½.
    dlcore.likelihood.normal_log_density : The log-likelihood.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 3.1.1.

    Examples
    --------
    >>> squared_loss(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 2.0]))
    tensor([0.0000, 4.5000])
    """
    y_hat, y = loss_operands(y_hat, y)
    check_pair(y_hat=y_hat, y=y)
    if y_hat.is_cpu:  # in one pass instead of three
        return half_square(y_hat, y)
    residual = y_hat - y
    return residual / 2 * residual  # halved before squaring, so that only the loss itself may overflow


def absolute_loss(y_hat: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Return the absolute residuals.

    .. math::

        l(\hat y, y) = |\hat y - y|, \qquad \frac{\partial l}{\partial\hat y} = \operatorname{sign}(\hat y - y)

    where :math:`\operatorname{sign}(0) = 0`. Up to a constant, it is the negative log-likelihood of :math:`y` under
    Laplace noise with scale 1. The median of the targets minimizes the mean absolute loss; the mean of the targets
    minimizes the mean :func:`squared_loss`.

    Parameters
    ----------
    y_hat, y : Tensor, shape (*)
        The predictions and the targets.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The losses, with the dtype of ``y_hat``, in the unit of ``y``.

    Raises
    ------
    TypeError
        If ``y_hat`` and ``y`` are not two real floating-point tensors of one dtype.
    ValueError
        If the shapes differ.

    See Also
    --------
    torch.nn.functional.l1_loss : The same with ``reduction="none"``, but it broadcasts.
    dlcore.likelihood.laplace_log_density : The log-likelihood.

    References
    ----------
    .. [1] P. J. Huber, "Robust estimation of a location parameter", *Annals of Mathematical Statistics* 35(1), 1964.

    Examples
    --------
    >>> absolute_loss(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 2.0]))
    tensor([0., 3.])
    """
    y_hat, y = loss_operands(y_hat, y)
    check_pair(y_hat=y_hat, y=y)
    return (y_hat - y).abs()


def huber_loss(
    y_hat: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"], *, delta: float = 1.0
) -> Float[Tensor, "*shape"]:
    r"""Return losses that are quadratic for small residuals and linear for large ones.

    .. math::

        l_\delta(\hat y, y) = c\,\Bigl(|r| - \frac c2\Bigr), \quad r = \hat y - y, \quad c = \min(|r|, \delta), \qquad
        \frac{\partial l_\delta}{\partial\hat y} = c\,\operatorname{sign}(r)

    which is :math:`\frac12 r^2` up to :math:`|r| = \delta`, and its tangent :math:`\delta|r| - \frac12\delta^2` beyond.
    The gradient of an outlier is therefore at most :math:`\delta` in size.

    Parameters
    ----------
    y_hat : Tensor, shape (*)
        The predictions.
    y : Tensor, shape (*)
        The targets.
    delta : float, in (0, inf], default 1.0
        The residual above which the loss is linear, in the unit of ``y``; inf gives :func:`squared_loss`.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The losses, with the dtype of ``y_hat``, in the squared unit of ``y``.

    Raises
    ------
    TypeError
        If ``y_hat`` and ``y`` are not two real floating-point tensors of one dtype, or ``delta`` is not a real
        number.
    ValueError
        If the shapes differ, or ``delta`` is not positive.

    See Also
    --------
    torch.nn.functional.huber_loss : The same with ``reduction="none"``, but it broadcasts.

    References
    ----------
    .. [1] P. J. Huber, "Robust estimation of a location parameter", *Annals of Mathematical Statistics* 35(1), 1964.

    Examples
    --------
    >>> huber_loss(torch.tensor([0.5, -3.0, 1024.0]), torch.zeros(3), delta=2.0).tolist()
    [0.125, 4.0, 2046.0]
    """
    y_hat, y = loss_operands(y_hat, y)
    check_pair(y_hat=y_hat, y=y)
    check_number("delta", delta, "> 0", lambda delta: delta > 0)
    r = (y_hat - y).abs()
    c = r.clamp(max=min(delta, torch.finfo(r.dtype).max))  # finite, because inf - inf is NaN
    return c * (r - c / 2)


def cross_entropy(
    logits: Float[Tensor, "*shape"],
    labels: Integer[Tensor, "..."] | Float[Tensor, "*shape"],
    *,
    dim: int = -1,
    label_smoothing: float = 0.0,
) -> Float[Tensor, "..."]:
    r"""Return the surprise at the labels under the softmax of the logits.

    .. math::

        l(\mathbf{o}, \mathbf{y}) = -\sum_{j=1}^{q} y_j \log\hat y_j
            = \log\sum_{k=1}^{q} e^{o_k} - \sum_{j=1}^{q} y_j o_j, \qquad
        \frac{\partial l}{\partial\mathbf{o}} = \operatorname{softmax}(\mathbf{o}) - \mathbf{y}

    where :math:`\hat{\mathbf{y}} = \operatorname{softmax}(\mathbf{o})`. The second form and the gradient hold if
    :math:`\sum_j y_j = 1`; for other labels, the first form is computed. A class of probability 0 adds nothing, even if
    its logit is -inf. If exactly one logit is inf, its class has probability 1.

    Parameters
    ----------
    logits : Tensor, shape (*, q)
        The scores :math:`\mathbf{o}` of q classes, before any softmax; the classes are the last dimension, or ``dim``.
    labels : Tensor, shape (*) of integers in [0, q), or shape (*, q) of probabilities
        The class indices, which stand for one-hot :math:`\mathbf{y}`, or :math:`\mathbf{y}` itself, whose values are
        not checked.
    dim : int, default -1
        The dimension of the classes: 1 for the logits (N, q, H, W) of images, whose labels are (N, H, W). If the last
        dimension also has size q, a wrong ``dim`` gives a wrong loss without an error.
    label_smoothing : float, in [0, 1], default 0.0
        The :math:`\varepsilon` of :math:`(1 - \varepsilon)\,\mathbf{y} + \varepsilon / q`, which replaces the labels.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The losses in nats, with the dtype of ``logits``. The absolute error of a small loss is a rounding unit of 1: in
        float32 a loss of 3e-7 has one correct digit. :func:`logistic_loss`, for two classes, has all of them.

    Raises
    ------
    TypeError
        If ``logits`` is not a real floating-point tensor, ``dim`` not an integer, or ``label_smoothing`` not a real
        number.
    TypeError
        If ``labels`` is neither an integer tensor nor one with the dtype of ``logits``.
    ValueError
        If ``logits`` has no dimension ``dim`` or no class in it, or ``labels`` has neither of the two shapes.
    ValueError
        If a class index is not in [0, q), or ``label_smoothing`` not in [0, 1].

    See Also
    --------
    torch.nn.functional.cross_entropy : The same with ``reduction="none"`` and the classes in dimension 1; it ignores
        the label -100, and returns NaN if a class of probability 0 has the logit -inf, or if a logit is inf.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 6.2.2.3.
    .. [2] C. Szegedy et al., "Rethinking the Inception architecture for computer vision", *CVPR*, 2016, section 7.

    Examples
    --------
    >>> cross_entropy(torch.tensor([[0.0, 1e4], [0.0, 1e4]]), torch.tensor([0, 1])).tolist()
    [10000.0, 0.0]
    >>> torch.func.grad(cross_entropy)(torch.zeros(4), torch.tensor(2))
    tensor([ 0.2500,  0.2500, -0.7500,  0.2500])
    """
    if dim == -1 and label_smoothing == 0 and (losses := cross_entropy_of_rows(logits, labels)) is not None:
        return losses  # the most common case, in one call of torch that also checks the arguments
    logits, labels = loss_operands(logits, labels)
    q = _check_scores("logits", logits, dim)
    if label_smoothing != 0:
        check_number("label_smoothing", label_smoothing, "in [0, 1]", lambda weight: 0 <= weight <= 1)
    y = labels
    real = isinstance(labels, Tensor) and labels.is_floating_point()  # pyright: ignore[reportUnnecessaryIsInstance]
    if real and labels.dim() == logits.dim():  # labels with one dimension less are taken for class indices, and refused
        check_pair(logits=logits, labels=labels)
    else:
        y = _class_indices(labels, logits, dim)
    o, is_readable = upcast(logits), has_values(logits, y)
    loss = _surprise(stable_log_softmax(o if is_readable else _certain_rows(o, dim), dim), y, dim, q, label_smoothing)
    if is_readable and bool(loss.detach().isnan().any()):  # as in a row with a logit inf, or for an invalid label
        if not real:
            check_indices("labels", y, q)
        loss = _surprise(stable_log_softmax(_certain_rows(o, dim), dim), y, dim, q, label_smoothing)
    return loss if loss.dtype == logits.dtype else loss.to(logits.dtype)


def cross_entropy_from_probabilities(
    probabilities: Float[Tensor, "*shape"], labels: Integer[Tensor, "..."], *, dim: int = -1
) -> Float[Tensor, "..."]:
    r"""Return the cross-entropy of the labels from given probabilities.

    .. math::

        l(\hat{\mathbf{y}}, y) = -\log\hat y_y

    If you have logits, use :func:`cross_entropy`: once logits differ by 105, the softmax underflows to 0 in float32
    and this loss becomes infinite.

    Parameters
    ----------
    probabilities : Tensor, shape (*, q), in [0, 1]
        The distributions :math:`\hat{\mathbf{y}}` over q classes, in the last dimension or ``dim``; checked only at
        the labels.
    labels : Tensor, shape (*) of integers in [0, q)
        The class indices :math:`y`.
    dim : int, default -1
        The dimension of the classes.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The losses in nats, with the dtype of ``probabilities``.

    Raises
    ------
    TypeError
        If ``probabilities`` is not a real floating-point tensor, ``labels`` is not an integer tensor, or ``dim`` is not
        an integer.
    ValueError
        If ``probabilities`` has no dimension ``dim`` or no class there, or ``labels`` has another shape.
    ValueError
        If a class index is not in [0, q), or the probability of a label (perhaps a logit) is not in [0, 1].

    See Also
    --------
    sklearn.metrics.log_loss : The mean over the examples, with probabilities clipped away from 0.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 6.2.2.3.

    Examples
    --------
    >>> cross_entropy_from_probabilities(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 0])).tolist()
    [-0.0, inf]
    """
    (probabilities,) = loss_operands(probabilities)
    q = _check_scores("probabilities", probabilities, dim)
    y = _class_indices(labels, probabilities, dim)
    check_indices("labels", y, q)
    p = probabilities.gather(dim, y.unsqueeze(dim)).squeeze(dim)
    limit = 1 + 8 * torch.finfo(p.dtype).eps  # rounding may leave a probability slightly above 1
    check_values("probabilities", p, "in [0, 1] at the labels", lambda p: ~((p < 0) | (p > limit)))
    return -p.log()


def logistic_loss(logits: Float[Tensor, "*shape"], labels: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Return the cross-entropy of binary labels under the sigmoid of the logits.

    .. math::

        l(o, y) = -y\log\sigma(o) - (1 - y)\log(1 - \sigma(o))
            = y\log(1 + e^{-o}) + (1 - y)\log(1 + e^{o}), \qquad
        \frac{\partial l}{\partial o} = \sigma(o) - y

    It is the :func:`cross_entropy` of the two logits :math:`(0, o)`. For a label of 0 or 1, one of the two terms is 0,
    even if the logit is infinite.

    Parameters
    ----------
    logits : Tensor, shape (*)
        The log-odds :math:`o`, before any sigmoid.
    labels : Tensor, shape (*), in [0, 1]
        The probabilities :math:`y` of the positive class; 0 or 1 for hard labels.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The losses in nats, with the dtype of ``logits``.

    Raises
    ------
    TypeError
        If ``logits`` and ``labels`` are not two real floating-point tensors of one dtype.
    ValueError
        If the shapes differ, or a label is not in [0, 1].

    See Also
    --------
    torch.nn.functional.binary_cross_entropy_with_logits : The same, but a small loss at label 0 rounds to 0.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 4.3.2.

    Examples
    --------
    >>> logistic_loss(torch.tensor([1e4, 1e4, torch.inf]), torch.tensor([0.0, 1.0, 1.0])).tolist()
    [10000.0, 0.0, 0.0]
    >>> torch.func.grad(logistic_loss)(torch.tensor(0.0), torch.tensor(1.0))
    tensor(-0.5000)
    """
    logits, labels = loss_operands(logits, labels)
    if isinstance(labels, Tensor) and not labels.is_floating_point():  # pyright: ignore[reportUnnecessaryIsInstance]
        cure = "labels.to(logits.dtype) converts them"
        raise TypeError(f"labels must be a real floating-point tensor, got {labels.dtype}; {cure}")
    check_pair(logits=logits, labels=labels)
    check_values("labels", labels, "in [0, 1]", lambda labels: labels.clamp(0, 1) == labels)
    wide = upcast(logits)
    return (_weighted(labels, softplus(-wide)) + _weighted(1 - labels, softplus(wide))).to(logits.dtype)


def _weighted(p: Tensor | float, x: Tensor) -> Tensor:
    """Return ``p * x`` for nonnegative ``x``, with ``0 * inf = 0``, so classes of probability 0 add nothing."""
    product = p * x
    if has_values(product) and not bool(product.detach().sum().isnan()):
        return product
    return p * x.masked_fill((p == 0) & x.isinf(), 0)


def _surprise(log_p: Tensor, y: Tensor, dim: int, q: int, smoothing: float) -> Tensor:
    """Return minus the sum of the log-probabilities, weighted by the labels or taken at their indices."""
    if y.is_floating_point():
        loss = _weighted(y, -log_p).sum(dim)
    elif y.is_cpu and y.dim() < 2 and dim in (-1, log_p.dim() - 1):
        loss = surprise_at_labels(log_p, y)
    else:
        loss = -_at_labels(log_p, y, dim, q)
    if smoothing == 0:
        return loss
    share = max(smoothing / q, torch.finfo(log_p.dtype).tiny)  # 0 times an infinite surprise would be NaN
    return _weighted(1 - smoothing, loss) - (share * log_p).sum(dim)


def _at_labels(x: Tensor, y: Tensor, dim: int, q: int) -> Tensor:
    """Return the entries at the labels, and NaN for a label out of range, so one check of the result finds both."""
    if not has_values(x, y):
        return x.gather(dim, y.unsqueeze(dim)).squeeze(dim)
    entries = x.gather(dim, y.clamp(0, q - 1).unsqueeze(dim)).squeeze(dim)
    return entries.masked_fill((y < 0) | (y >= q), math.nan)


def _certain_rows(o: Tensor, dim: int) -> Tensor:
    """Return the logits; in a row with a single inf, replace it by 0 and all others by -inf, which is the limit."""
    is_infinite = o == math.inf
    is_certain = is_infinite & (is_infinite.sum(dim, keepdim=True) == 1)
    certain = torch.full_like(o, -math.inf).masked_fill(is_certain, 0)
    return torch.where(is_certain.any(dim, keepdim=True), certain, o)


def _check_scores(name: str, x: Tensor, dim: int) -> int:
    """Return the number of classes in a dimension; raise unless the tensor is floating-point and has a class."""
    check_floating(**{name: x})
    check_rank(name, x, 1, "(*, q)")
    check_count("dim", dim, -x.dim())
    if dim >= x.dim():
        raise ValueError(f"dim must be < {x.dim()}, the number of dimensions of {name}, got {dim}")
    if x.size(dim) == 0:
        raise ValueError(f"{name} must have a class in dimension {dim}, got shape {tuple(x.shape)}")
    return x.size(dim)


def _class_indices(labels: Tensor, scores: Tensor, dim: int) -> Tensor:
    """Return the labels as int64, as torch needs to index; raise unless there is one integer for each row."""
    check_integer(labels=labels)
    if labels.shape != _shape_without(scores, dim):
        cure = "; pass dim=1" if scores.dim() > 2 and labels.shape == _shape_without(scores, 1) else ""
        layout = f"{_shape_without(scores, dim)}, a class index for each row"
        raise ValueError(f"labels must have shape {layout}, got {tuple(labels.shape)}{cure}")
    return as_int64("labels", labels)


def _shape_without(x: Tensor, dim: int) -> tuple[int, ...]:
    sizes = list(x.shape)
    del sizes[dim]
    return tuple(sizes)
