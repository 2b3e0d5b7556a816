"""The softmax family, which acts on a whole row of scores."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_broadcasts, check_floating, check_number, check_same_dtype, check_values
from dlcore._numerics import accumulation_dtype, upcast
from dlcore.activations._stable import stable_log_softmax, stable_softmax

__all__ = ["hardmax", "log_softmax", "log_sum_exp", "smooth_min", "softmax", "softmin"]


def softmax(logits: Float[Tensor, "*shape"], *, dim: int = -1, temperature: float = 1.0) -> Float[Tensor, "*shape"]:
    r"""Return the probabilities that are proportional to the exponentials of the logits.

    .. math::

        \hat y_j = \frac{e^{o_j/T}}{\sum_{k=1}^{q} e^{o_k/T}}, \qquad
        \frac{\partial\hat y_j}{\partial o_k} = \frac{\hat y_j}{T}\,(\delta_{jk} - \hat y_k)

    where :math:`T` is the temperature and :math:`\delta_{jk}` is 1 for :math:`j = k`, else 0. The largest logit is
    subtracted from all of them before exponentiation, which prevents overflow and leaves the result unchanged.

    Parameters
    ----------
    logits : Tensor, shape (*)
        The scores :math:`o`; a class with score -inf has probability 0.
    dim : int, default -1
        The dimension that holds the scores of one row.
    temperature : float, in (0, inf), default 1.0
        The temperature :math:`T`, which divides the scores. As it tends to 0, the result tends to :func:`hardmax`,
        but tied largest entries share the probability equally; as it tends to inf, the result becomes uniform.

    Returns
    -------
    Tensor, shape (*), in [0, 1]
        The probabilities, which sum to 1 along ``dim``, with the dtype of ``logits``. They are NaN if all entries of
        the row are -inf or one is inf, because the differences from the largest entry are then undefined.

    Raises
    ------
    TypeError
        If ``logits`` is not a real floating-point tensor.
    TypeError
        If ``temperature`` is not a real number.
    ValueError
        If ``temperature`` is not positive and finite.

    See Also
    --------
    torch.softmax : The same for temperature 1.
    dlcore.losses.cross_entropy : Use it instead of the logarithm of the softmax.

    References
    ----------
    .. [1] J. S. Bridle, "Probabilistic interpretation of feedforward classification network outputs, with
       relationships to statistical pattern recognition", in *Neurocomputing*, 1990.
    .. [2] G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", arXiv:1503.02531, 2015.

    Examples
    --------
    Equal scores have equal probabilities, and only differences between scores matter:

    >>> softmax(torch.tensor([[1.0, 1.0, 1.0, 1.0], [1e4, 1e4, 0.0, -math.inf]]))
    tensor([[0.2500, 0.2500, 0.2500, 0.2500],
            [0.5000, 0.5000, 0.0000, 0.0000]])

    At a low temperature, the largest entries share all of the probability:

    >>> softmax(torch.tensor([2.0, 3.0, 3.0]), temperature=1e-4)
    tensor([0.0000, 0.5000, 0.5000])
    """
    check_floating(logits=logits)
    _check_temperature(temperature)
    x = _over(temperature, upcast(logits), dim)
    return stable_softmax(x, dim).to(logits.dtype)


def log_softmax(logits: Float[Tensor, "*shape"], *, dim: int = -1, temperature: float = 1.0) -> Float[Tensor, "*shape"]:
    r"""Return the logarithm of the softmax, computed without underflow.

    .. math::

        \log\hat y_j = \frac{o_j}{T} - \log\sum_{k=1}^{q} e^{o_k/T}, \qquad
        \frac{\partial\log\hat y_j}{\partial o_k} = \frac{1}{T}\,(\delta_{jk} - \hat y_k)

    where :math:`T` is the temperature and :math:`\delta_{jk}` is 1 for :math:`j = k`, else 0.

    Parameters
    ----------
    logits : Tensor, shape (*)
        The scores :math:`o`; a class with score -inf has log-probability -inf.
    dim : int, default -1
        The dimension that holds the scores of one row.
    temperature : float, in (0, inf), default 1.0
        The temperature :math:`T`, which divides the scores.

    Returns
    -------
    Tensor, shape (*), in [-inf, 0]
        The log-probabilities, with the dtype of ``logits``; NaN if all entries of the row are -inf or one is inf.

    Raises
    ------
    TypeError
        If ``logits`` is not a real floating-point tensor.
    TypeError
        If ``temperature`` is not a real number.
    ValueError
        If ``temperature`` is not positive and finite.

    See Also
    --------
    torch.nn.functional.log_softmax : The same for temperature 1.

    References
    ----------
    .. [1] P. Blanchard, D. J. Higham and N. J. Higham, "Accurately computing the log-sum-exp and softmax functions",
       *IMA Journal of Numerical Analysis* 41(4), 2021.

    Examples
    --------
    The softmax of these rounds to (1, 0), and the logarithm of its second entry would be -inf:

    >>> log_softmax(torch.tensor([0.0, -1e4])).tolist()
    [0.0, -10000.0]
    """
    check_floating(logits=logits)
    _check_temperature(temperature)
    x = _over(temperature, upcast(logits), dim)
    return stable_log_softmax(x, dim).to(logits.dtype)


def softmin(logits: Float[Tensor, "*shape"], *, dim: int = -1, temperature: float = 1.0) -> Float[Tensor, "*shape"]:
    r"""Return the softmax of the negated scores: the smallest gets the largest probability.

    .. math::

        \operatorname{softmin}(\mathbf{o})_j = \frac{e^{-o_j/T}}{\sum_{k=1}^{q} e^{-o_k/T}}

    where :math:`T` is the temperature. Like :func:`softmax`, it returns a weight for each entry. The smooth *value* of
    the minimum is :func:`smooth_min`, whose gradient is this function.

    Parameters
    ----------
    logits : Tensor, shape (*)
        The scores :math:`o`; an entry of inf has probability 0.
    dim : int, default -1
        The dimension that holds the scores of one row.
    temperature : float, in (0, inf), default 1.0
        The temperature :math:`T`, which divides the scores.

    Returns
    -------
    Tensor, shape (*), in [0, 1]
        The probabilities, which sum to 1 along ``dim``, with the dtype of ``logits``. They are NaN if all entries of
        the row are inf or one is -inf.

    Raises
    ------
    TypeError
        If ``logits`` is not a real floating-point tensor.
    TypeError
        If ``temperature`` is not a real number.
    ValueError
        If ``temperature`` is not positive and finite.

    See Also
    --------
    torch.nn.functional.softmin : The same for temperature 1.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 6.2.2.3.

    Examples
    --------
    >>> softmin(torch.tensor([0.0, 0.0, 1e4]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    check_floating(logits=logits)
    return softmax(-logits, dim=dim, temperature=temperature)


def hardmax(logits: Float[Tensor, "*shape"], *, dim: int = -1) -> Float[Tensor, "*shape"]:
    r"""Return 1 at the largest logit and 0 elsewhere.

    .. math::

        \operatorname{hardmax}(\mathbf{o})_j = \begin{cases} 1 & j = \min\arg\max_k o_k \\ 0 & \text{else}\end{cases}

    If several entries tie for the largest, the first gets the 1, whereas the limit :math:`T \to 0` of :func:`softmax`
    splits it evenly; without ties the two are equal. The gradient is zero, so nothing can be learned through it.

    Parameters
    ----------
    logits : Tensor, shape (*)
        The scores :math:`o`.
    dim : int, default -1
        The dimension that holds the scores of one row.

    Returns
    -------
    Tensor, shape (*), of 0 and 1
        One 1 in each row, with the dtype of ``logits``; a row that holds NaN becomes NaN.

    Raises
    ------
    TypeError
        If ``logits`` is not a real floating-point tensor.

    See Also
    --------
    torch.argmax : The index of the 1, with the same rule for ties.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 6.2.2.3.

    Examples
    --------
    >>> hardmax(torch.tensor([2.0, 3.0, 3.0]))
    tensor([0., 1., 0.])
    """
    check_floating(logits=logits)
    if logits.numel() == 0:
        return 0 * logits
    largest, first = logits.max(dim, keepdim=True)
    one_hot = torch.zeros_like(logits).scatter(dim, first, 1)
    return one_hot + 0 * largest.clamp(-1, 1)  # adds NaN where the largest is NaN, and keeps the result differentiable


def log_sum_exp(
    x: Float[Tensor, "*shape"],
    *,
    dim: int = -1,
    temperature: float = 1.0,
    weights: Float[Tensor, "..."] | None = None,
    keepdim: bool = False,
) -> Float[Tensor, "*reduced"]:
    r"""Return the smooth maximum, also called RealSoftMax.

    .. math::

        m_T(\mathbf{x}) = T\log\sum_{k=1}^{n} e^{x_k/T}, \qquad
        \max_k x_k \le m_T(\mathbf{x}) \le \max_k x_k + T\log n, \qquad
        \nabla m_T(\mathbf{x}) = \operatorname{softmax}(\mathbf{x}/T)

    where :math:`T` is the temperature. The function is convex, and tends to the maximum as :math:`T \to 0`. With
    weights :math:`\beta_k` it is :math:`T\log\sum_k \beta_k e^{x_k/T}`; weights of :math:`1/n` make it a smooth mean.

    Parameters
    ----------
    x : Tensor, shape (*)
        The entries.
    dim : int, default -1
        The dimension that holds the entries of one sum.
    temperature : float, in (0, inf), default 1.0
        The temperature :math:`T`, in the unit of ``x``; a larger one smooths more.
    weights : Tensor, at least 0, optional
        The weights :math:`\beta`, of a shape that broadcasts to that of ``x``. An entry of weight 0 is absent and may
        have any value.
    keepdim : bool, default False
        Keep ``dim``, with size 1.

    Returns
    -------
    Tensor, shape (*) without ``dim``, or with size 1 there
        The smooth maxima, with the dtype of ``x``. They are -inf for a row that is empty or all -inf, and inf for a row
        that holds inf. In these rows the value is the limit, and the gradient, a :func:`softmax`, is NaN.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    TypeError
        If ``temperature`` is not a real number.
    ValueError
        If ``temperature`` is not positive and finite.
    TypeError
        If ``weights`` is not a tensor with the dtype of ``x``.
    ValueError
        If ``weights`` does not broadcast to the shape of ``x``, or a weight is negative or not finite.

    See Also
    --------
    torch.logsumexp : The same for temperature 1, without weights.

    References
    ----------
    .. [1] S. Boyd and L. Vandenberghe, *Convex Optimization*, 2004, section 3.1.5.
    .. [2] P. Blanchard, D. J. Higham and N. J. Higham, "Accurately computing the log-sum-exp and softmax functions",
       *IMA Journal of Numerical Analysis* 41(4), 2021.

    Examples
    --------
    >>> log_sum_exp(torch.tensor([[0.0, 1e4], [-math.inf, 3.0], [-math.inf, -math.inf]])).tolist()
    [10000.0, 3.0, -inf]
    >>> torch.func.grad(log_sum_exp)(torch.tensor([5.0, 5.0]))
    tensor([0.5000, 0.5000])

    The weights 3/4 and 1/4 are those of a mean of exponentials:

    >>> log_sum_exp(torch.tensor([0.0, 0.0, torch.nan]), weights=torch.tensor([0.75, 0.25, 0.0]), keepdim=True)
    tensor([0.])
    """
    check_floating(x=x)
    _check_temperature(temperature)
    wide, t = upcast(x), min(temperature, torch.finfo(accumulation_dtype(x.dtype)).max)
    if weights is not None:
        check_floating(weights=weights)
        check_same_dtype(x=x, weights=weights)
        check_broadcasts(x=x, weights=weights)
        check_values("weights", weights, ">= 0 and finite", lambda w: (w >= 0) & (w < math.inf))
        smooth = _weighted_log_sum_exp(wide, upcast(weights), dim, t)
    elif t == 1 or x.numel() == 0:  # torch subtracts the largest entry itself
        smooth = torch.logsumexp(wide, dim, keepdim=True)
    else:
        smooth = t * torch.logsumexp(_over(t, wide, dim), dim, keepdim=True) + _finite_maximum(wide, dim)
    return (smooth if keepdim else smooth.squeeze(dim)).to(x.dtype)


def smooth_min(x: Float[Tensor, "*shape"], *, dim: int = -1, temperature: float = 1.0) -> Float[Tensor, "*reduced"]:
    r"""Return the smooth minimum, the negative of the smooth maximum of the negated entries.

    .. math::

        -T\log\sum_{k=1}^{n} e^{-x_k/T} = -m_T(-\mathbf{x}), \qquad
        \min_k x_k - T\log n \le -m_T(-\mathbf{x}) \le \min_k x_k

    where :math:`T` is the temperature and :math:`m_T` is :func:`log_sum_exp`. The gradient is :func:`softmin`.

    Parameters
    ----------
    x : Tensor, shape (*)
        The entries.
    dim : int, default -1
        The dimension that holds the entries of one sum.
    temperature : float, in (0, inf), default 1.0
        The temperature :math:`T`, in the unit of ``x``; a larger one smooths more.

    Returns
    -------
    Tensor, shape (*) without ``dim``
        The smooth minima, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    TypeError
        If ``temperature`` is not a real number.
    ValueError
        If ``temperature`` is not positive and finite.

    See Also
    --------
    softmin : The weights of the entries, often called "smooth minimum" as well.

    References
    ----------
    .. [1] S. Boyd and L. Vandenberghe, *Convex Optimization*, 2004, section 3.1.5.

    Examples
    --------
    >>> smooth_min(torch.tensor([[0.0, 1e4], [math.inf, 3.0]])).tolist()
    [0.0, 3.0]
    """
    check_floating(x=x)
    return -log_sum_exp(-x, dim=dim, temperature=temperature)


def _check_temperature(temperature: float) -> None:
    check_number("temperature", temperature, "finite and > 0", lambda temperature: 0 < temperature < math.inf)


def _over(temperature: float, x: Tensor, dim: int) -> Tensor:
    """Return (x - max x) / temperature, because x / temperature may overflow; at temperature 1, return x."""
    if temperature == 1 or x.numel() == 0:  # torch subtracts the largest entry itself
        return x
    limits = torch.finfo(x.dtype)
    scaled = (x - _finite_maximum(x, dim)) / min(max(temperature, limits.tiny), limits.max)
    return scaled if temperature >= limits.tiny else scaled / max(temperature / limits.tiny, limits.tiny)


def _weighted_log_sum_exp(x: Tensor, w: Tensor, dim: int, t: float) -> Tensor:
    """Return the logarithm of the weighted sum, after subtracting the largest entry that has a weight."""
    if x.numel() == 0:
        return torch.logsumexp(x, dim, keepdim=True)
    limits = torch.finfo(x.dtype)
    t = max(t, limits.tiny)
    largest = _finite_maximum(x.masked_fill(w == 0, -math.inf), dim)
    exponents = (x - largest) / t
    exponents = exponents.masked_fill((w == 0) & ~(exponents < math.log(limits.max) - 1), 0)  # 0 times inf is NaN
    return t * (w * exponents.exp()).sum(dim, keepdim=True).log() + largest


def _finite_maximum(x: Tensor, dim: int) -> Tensor:
    """Return the largest entry of each row, or 0 where it is infinite or NaN."""
    largest = x.detach().amax(dim, keepdim=True)
    return largest.masked_fill(~largest.isfinite(), 0)
