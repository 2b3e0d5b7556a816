r"""How surprising is an outcome, and how far is one distribution from another?

What is improbable is surprising; entropy is the expected surprise, cross-entropy the surprise of an observer who
believes in another distribution, divergence what the wrong belief costs. Distributions lie along the last dimension.
Throughout, :math:`0 \log 0 = 0`, in the value and in the gradient, so that what :math:`P` never does adds nothing.
Rows are taken to sum to 1 and are not checked for it; a negative entry is an error. Under ``torch.compile`` and
``torch.func``, where no value can be looked at, it makes the result NaN instead.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ._checks import check_floating, check_number, check_rank, check_same_shape, check_values, has_values
from ._numerics import upcast

__all__ = [
    "cross_entropy",
    "entropy",
    "kl_divergence",
    "mutual_information",
    "perplexity",
    "surprisal",
]


NEAR = 0.1  # of (p - q) / (p + q): below, a difference of logarithms would lose a digit and more
SERIES_TERMS = 9  # NEAR ** 18 is below the rounding of float64


def surprisal(p: Float[Tensor, "*shape"], *, base: float = math.e) -> Float[Tensor, "*shape"]:
    r"""Return how surprising an outcome of probability p is.

    .. math::

        I(p) = -\log_b p

    Parameters
    ----------
    p : Tensor, shape (*), in [0, 1]
        The probabilities.
    base : float, > 1, default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The surprisals, with the dtype of ``p``; inf for the impossible.

    Raises
    ------
    TypeError
        If ``p`` is not a real floating-point tensor, or ``base`` not a real number.
    ValueError
        If ``p`` has a negative entry, or ``base`` is not above 1.

    See Also
    --------
    entropy : The expected surprisal.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, *Elements of Information Theory*, 2nd ed., 2006, section 2.1.

    Examples
    --------
    Three tosses of a coin are as surprising as three bits; the certain surprises nobody, the impossible without end:

    >>> surprisal(torch.tensor([0.5**3, 1.0, 0.0]), base=2)
    tensor([3., 0., inf])
    """
    check_floating(p=p)
    unit = _unit(base)
    surprise = (0.0 - upcast(p).log()) / unit  # 0 - log 1 is 0, where -log 1 would be -0
    _refuse_negative(surprise, p=p)
    return surprise.to(p.dtype)


def entropy(p: Float[Tensor, "*batch n"], *, base: float = math.e) -> Float[Tensor, "*batch"]:
    r"""Return the expected surprise of a distribution.

    .. math::

        H(P) = -\sum_{j=1}^{n} p_j \log_b p_j, \qquad \frac{\partial H}{\partial p_j} = -\log_b p_j - \log_b e

    The slope at :math:`p_j = 0` is infinite; the gradient there is 0 by convention, which makes the gradient through a
    softmax whose outputs underflow the right one.

    Parameters
    ----------
    p : Tensor, shape (*, n), >= 0
        The distributions, each along the last dimension.
    base : float, > 1, default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, log n]
        The entropies, with the dtype of ``p``.

    Raises
    ------
    TypeError
        If ``p`` is not a real floating-point tensor, or ``base`` not a real number.
    ValueError
        If ``p`` has no dimension or a negative entry, or ``base`` is not above 1.

    See Also
    --------
    torch.special.entr : Its terms in nats; the gradient at 0 is infinite there.
    torch.distributions.categorical.Categorical : Its ``entropy`` divides by the sum of the row first.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, *Elements of Information Theory*, 2nd ed., 2006, section 2.1.

    Examples
    --------
    A fair choice between four is worth two bits, a certain one nothing:

    >>> entropy(torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]]), base=2)
    tensor([2.0000, 1.5000, 0.0000])
    """
    check_floating(p=p)
    check_rank("p", p, 1, "(*, n)")
    unit = _unit(base)
    nats = _entropy(upcast(p))
    _refuse_negative(nats, p=p)
    return (nats / unit).to(p.dtype)


def cross_entropy(
    p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"], *, base: float = math.e
) -> Float[Tensor, "*batch"]:
    r"""Return the surprise that an observer who believes in Q expects of data drawn from P.

    .. math::

        H(P, Q) = -\sum_{j=1}^{n} p_j \log_b q_j = H(P) + D(P\,\Vert\,Q)

    It is infinite where :math:`Q` rules out what :math:`P` does: :math:`q_j = 0 < p_j`. Where both are 0, the term
    and its gradient are 0.

    Parameters
    ----------
    p : Tensor, shape (*, n), >= 0
        The distributions that the data come from, each along the last dimension.
    q : Tensor, shape (*, n), >= 0
        The distributions that are believed in.
    base : float, > 1, default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The cross-entropies, with the dtype of ``p`` and ``q``.

    Raises
    ------
    TypeError
        If ``p`` or ``q`` is not a real floating-point tensor, or ``base`` not a real number.
    ValueError
        If ``p`` has no dimension, or ``q`` another shape.
    ValueError
        If ``p`` or ``q`` has a negative entry, or ``base`` is not above 1.

    See Also
    --------
    dlcore.losses.cross_entropy : The same from logits, as a loss; use it to train.
    torch.nn.functional.cross_entropy : That loss in torch.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 3.13.

    Examples
    --------
    Who takes a biased coin for a fair one is surprised by one bit at every toss, whatever the bias:

    >>> fair = torch.tensor([0.5, 0.5])
    >>> cross_entropy(torch.tensor([0.75, 0.25]), fair, base=2)
    tensor(1.)

    Who takes a fair coin for a certain one is surprised without end, sooner or later; not so the other way round:

    >>> certain = torch.tensor([1.0, 0.0])
    >>> cross_entropy(fair, certain, base=2), cross_entropy(certain, fair, base=2)
    (tensor(inf), tensor(1.))
    """
    unit = _unit_of_pair(p, q, base)
    wide_p, wide_q = upcast(p), upcast(q)
    possible = torch.where(wide_p < 0, math.nan, wide_p)  # the logarithm of q does not show a negative p
    nats = (possible * -_log(wide_q, wide_p)).sum(-1)
    _refuse_negative(nats, p=p, q=q)
    return (nats / unit).to(torch.promote_types(p.dtype, q.dtype))


def kl_divergence(
    p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"], *, base: float = math.e
) -> Float[Tensor, "*batch"]:
    r"""Return the surprise that believing in Q instead of P adds.

    .. math::

        D(P\,\Vert\,Q) = \sum_{j=1}^{n} p_j \log_b \frac{p_j}{q_j}

    It is never negative, 0 for :math:`P = Q` only, and no distance: it is not symmetric. It is computed as
    :math:`\sum_j (p_j \ln\frac{p_j}{q_j} - p_j + q_j)` over :math:`\ln b`, which is the same for rows that sum to 1. No
    term of this form is negative, so that rounding of the rows cannot make the sum negative either; its gradient in
    :math:`q_j` is :math:`1 - p_j/q_j` in nats, zero at :math:`P = Q`. For rows that do not sum to 1 this is the
    generalized divergence.

    Parameters
    ----------
    p : Tensor, shape (*, n), >= 0
        The distributions that the data come from, each along the last dimension.
    q : Tensor, shape (*, n), >= 0
        The distributions that are believed in.
    base : float, > 1, default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The divergences, with the dtype of ``p`` and ``q``; inf where ``q`` is 0 and ``p`` is not.

    Raises
    ------
    TypeError
        If ``p`` or ``q`` is not a real floating-point tensor, or ``base`` not a real number.
    ValueError
        If ``p`` has no dimension, or ``q`` another shape.
    ValueError
        If ``p`` or ``q`` has a negative entry, or ``base`` is not above 1.

    See Also
    --------
    torch.nn.functional.kl_div : Takes the logarithm of q first and p second, and averages over all entries by default.

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, "On information and sufficiency", *Annals of Mathematical Statistics* 22(1),
       1951.
    .. [2] I. Csiszár, "Why least squares and maximum entropy?", *Annals of Statistics* 19(4), 1991.

    Examples
    --------
    >>> certain, fair = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])
    >>> kl_divergence(certain, fair, base=2), kl_divergence(fair, certain, base=2)
    (tensor(1.), tensor(inf))
    >>> kl_divergence(fair, fair)
    tensor(0.)
    """
    unit = _unit_of_pair(p, q, base)
    wide_p, wide_q = upcast(p), upcast(q)
    log_ratio = _log(wide_p, wide_p) - _log(wide_q, wide_p)
    nats = _never_negative(_divergence_terms(wide_p, wide_q, log_ratio).sum(-1))
    _refuse_negative(nats, p=p, q=q)
    return (nats / unit).to(torch.promote_types(p.dtype, q.dtype))


def mutual_information(joint: Float[Tensor, "*batch m n"], *, base: float = math.e) -> Float[Tensor, "*batch"]:
    r"""Return how much knowing one variable tells about another.

    .. math::

        I(X; Y) = \sum_{i=1}^{m}\sum_{j=1}^{n} p_{ij} \log_b \frac{p_{ij}}{p_{i\cdot}\,p_{\cdot j}}
            = H(X) + H(Y) - H(X, Y)

    where :math:`p_{i\cdot}` and :math:`p_{\cdot j}` are the row and column sums of the joint distribution. It is the
    divergence of the joint distribution from independence, and computed so that it is never negative, as
    :func:`kl_divergence` is.

    Parameters
    ----------
    joint : Tensor, shape (*, m, n), >= 0
        The joint distributions, each over the last two dimensions.
    base : float, > 1, default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, log min(m, n)]
        The mutual informations, with the dtype of ``joint``; 0 for independent variables only.

    Raises
    ------
    TypeError
        If ``joint`` is not a real floating-point tensor, or ``base`` not a real number.
    ValueError
        If ``joint`` has fewer than two dimensions or a negative entry, or ``base`` is not above 1.

    See Also
    --------
    sklearn.metrics.mutual_info_score : The same, in nats, for counts or two lists of labels.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, *Elements of Information Theory*, 2nd ed., 2006, sections 2.3 and 2.4.

    Examples
    --------
    A copy tells all, here one bit; what is independent tells nothing:

    >>> mutual_information(torch.tensor([[[0.5, 0.0], [0.0, 0.5]], [[0.25, 0.25], [0.25, 0.25]]]), base=2)
    tensor([1., 0.])
    """
    check_floating(joint=joint)
    check_rank("joint", joint, 2, "(*, m, n)")
    unit = _unit(base)
    wide = upcast(joint)
    rows, columns, mass = wide.sum(-1, keepdim=True), wide.sum(-2, keepdim=True), wide.sum((-2, -1))
    log_ratio = _log(wide, wide) - _log(rows, rows) - _log(columns, columns)
    independent = rows * columns
    is_near = ((wide - independent).abs() <= NEAR * (wide + independent)).all(-1).all(-1)
    near = _divergence_terms(wide, independent, log_ratio).sum((-2, -1))
    far = (wide * log_ratio).sum((-2, -1)) + (mass * mass - mass)  # products of tiny marginals may vanish
    nats = _never_negative(torch.where(is_near, near, far))
    _refuse_negative(nats, joint=joint)
    return (nats / unit).to(joint.dtype)


def perplexity(p: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""Return among how many equally likely outcomes the choice would be as uncertain.

    .. math::

        \exp H(P) = \prod_{j=1}^{n} p_j^{-p_j}

    The base of the logarithm cancels. The perplexity of a language model on a text is the exponential of its mean
    cross-entropy loss instead.

    Parameters
    ----------
    p : Tensor, shape (*, n), >= 0
        The distributions, each along the last dimension.

    Returns
    -------
    Tensor, shape (*), in [1, n]
        The perplexities, with the dtype of ``p``.

    Raises
    ------
    TypeError
        If ``p`` is not a real floating-point tensor.
    ValueError
        If ``p`` has no dimension or a negative entry.

    See Also
    --------
    entropy : Its logarithm.

    References
    ----------
    .. [1] F. Jelinek, R. L. Mercer, L. R. Bahl and J. K. Baker, "Perplexity: a measure of the difficulty of speech
       recognition tasks", *Journal of the Acoustical Society of America* 62(S1), 1977.

    Examples
    --------
    >>> perplexity(torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]))
    tensor([4., 2., 1.])
    """
    check_floating(p=p)
    check_rank("p", p, 1, "(*, n)")
    nats = _entropy(upcast(p))
    _refuse_negative(nats, p=p)
    return nats.exp().to(p.dtype)


def _entropy(p: Tensor) -> Tensor:
    return (p * -_log(p, p)).sum(-1)


def _divergence_terms(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    r"""Return :math:`p \ln\frac pq - p + q`, also where p is near q and the three terms cancel.

    With :math:`s = p + q` and :math:`u = (p - q) / s` it is :math:`s\,[(1 + u) \operatorname{artanh}(u) - u]`, whose
    series is :math:`s\,[u^2 + u^3/3 + u^4/3 + u^5/5 + u^6/5 + \dots]`.
    """
    s = p + q
    is_near = (p - q).abs() < NEAR * s
    u = torch.where(is_near, p - q, 0) / torch.where(is_near, s, 1)
    u2 = u * u
    series = torch.zeros_like(u)
    for n in range(2 * SERIES_TERMS + 1, 1, -2):  # Horner's rule
        series = series * u2 + 1 / n
    near = s * u2 * (1 + u * series + u2 * series)
    return torch.where(is_near, near, p * log_ratio + (q - p))


def _log(q: Tensor, p: Tensor) -> Tensor:
    """Return the logarithm of q, but 0 where p and q are 0: there 0 · log 0 = 0 without a gradient."""
    return torch.where((p == 0) & (q == 0), 1, q).log()


def _never_negative(x: Tensor) -> Tensor:
    """Take a negative rounding error out of the value; the gradient stays."""
    return x - x.detach().clamp(max=0)


def _unit(base: float) -> float:
    """Return how many nats the unit of this base has."""
    check_number("base", base, "> 1", lambda base: base > 1)
    return math.log(base)


def _unit_of_pair(p: Tensor, q: Tensor, base: float) -> float:
    check_floating(p=p, q=q)
    check_rank("p", p, 1, "(*, n)")
    check_same_shape(p=p, q=q)
    return _unit(base)


def _refuse_negative(result: Tensor, **distributions: Tensor) -> None:
    """Look for a negative entry where a NaN tells that there may be one: the results are fewer than the entries."""
    if has_values(result) and bool(result.isnan().any()):
        for name, p in distributions.items():
            check_values(name, p, ">= 0", lambda p: ~(p < 0))
