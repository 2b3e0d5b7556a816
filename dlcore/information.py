r"""Information: how uncertain is a distribution, and how much does it differ from another?

The surprise at an outcome grows as its probability falls. Entropy is the expected surprise, cross-entropy is the
expected surprise of an observer who believes another distribution, and divergence is the difference between the two.
Distributions lie along the last dimension. Throughout, :math:`0 \log 0 = 0`, in the value and in the gradient, so
outcomes that never occur under :math:`P` add nothing. Rows are assumed to sum to 1, which is not checked; a negative
entry is an error. Under ``torch.compile`` and ``torch.func``, which hide the values, it makes the result NaN instead.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ._checks import check_floating, check_number, check_rank, check_same_shape, check_values, has_values
from ._numerics import upcast
from ._rows import row_any, row_sum
from ._shards import check_rows, is_sharded, local_rows, replicated, shards_of
from ._torch import split

__all__ = [
    "cross_entropy",
    "entropy",
    "kl_divergence",
    "mutual_information",
    "perplexity",
    "surprisal",
]


MAX_RELATIVE_GAP = 0.1  # of |p - q| / (p + q); below it, p ln(p / q) - p + q loses a digit or more
MAX_COMPARABLE_GAP = 0.9  # the same of ln p - ln q
MAX_BLOCK_ENTRIES = 2**18  # of a matrix without gradients, in the steps of the formula at a time: 1 MB each
SERIES_TERMS = 9  # MAX_RELATIVE_GAP ** 18 is below the rounding error of float64


def surprisal(p: Float[Tensor, "*shape"], *, base: float = math.e) -> Float[Tensor, "*shape"]:
    r"""Return the surprise at an outcome of probability p.

    .. math::

        I(p) = -\log_b p

    Parameters
    ----------
    p : Tensor, shape (*), in [0, 1]
        The probabilities.
    base : float, in (1, inf), default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The surprises, with the dtype of ``p``; inf where ``p`` is 0.

    Raises
    ------
    TypeError
        If ``p`` is not a real floating-point tensor, or ``base`` is not a real number.
    ValueError
        If ``p`` has a negative entry, or ``base`` is not above 1.

    See Also
    --------
    entropy : The expected surprise.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, *Elements of Information Theory*, 2nd ed., 2006, section 2.1.

    Examples
    --------
    The outcome of three coin tosses has a surprise of three bits, a certain outcome of 0, an impossible one of inf:

    >>> surprisal(torch.tensor([0.5**3, 1.0, 0.0]), base=2)
    tensor([3., 0., inf])
    """
    check_rows(p=p, base=base)
    check_floating(p=p)
    unit = _unit(base)
    surprise = (0.0 - upcast(p).log()) / unit  # 0 - log 1 is 0, where -log 1 would be -0
    _refuse_negative(surprise, p=p)
    return surprise.to(p.dtype)


def entropy(p: Float[Tensor, "*batch n"], *, base: float = math.e) -> Float[Tensor, "*batch"]:
    r"""Return the expected surprise of a distribution.

    .. math::

        H(P) = -\sum_{j=1}^{n} p_j \log_b p_j, \qquad \frac{\partial H}{\partial p_j} = -\log_b p_j - \log_b e

    The slope at :math:`p_j = 0` is infinite. The gradient there is 0 by convention, which gives the right gradient
    through a softmax whose outputs underflow.

    Parameters
    ----------
    p : Tensor, shape (*, n), >= 0
        The distributions, each along the last dimension.
    base : float, in (1, inf), default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, log n]
        The entropies, with the dtype of ``p``.

    Raises
    ------
    TypeError
        If ``p`` is not a real floating-point tensor, or ``base`` is not a real number.
    ValueError
        If ``p`` has no dimension or a negative entry, or ``base`` is not above 1.

    See Also
    --------
    torch.special.entr : The terms of the sum, in nats, with an infinite gradient at 0.
    torch.distributions.categorical.Categorical : Its ``entropy`` first divides each row by its sum.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, *Elements of Information Theory*, 2nd ed., 2006, section 2.1.

    Examples
    --------
    Four equally likely outcomes have an entropy of two bits, and a certain outcome has none:

    >>> entropy(torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]]), base=2)
    tensor([2.0000, 1.5000, 0.0000])
    """
    check_rows(p=p, base=base)
    check_floating(p=p)
    check_rank("p", p, 1, "(*, n)")
    unit = _unit(base)
    nats = _in_blocks(_entropy, p)
    _refuse_negative(nats, p=p)
    return (nats / unit).to(p.dtype)


def cross_entropy(
    p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"], *, base: float = math.e
) -> Float[Tensor, "*batch"]:
    r"""Return the expected surprise, at data drawn from P, of an observer who believes Q.

    .. math::

        H(P, Q) = -\sum_{j=1}^{n} p_j \log_b q_j = H(P) + D(P\,\Vert\,Q)

    It is infinite if :math:`Q` rules out an outcome that occurs under :math:`P`, :math:`q_j = 0 < p_j`. Where both are
    0, the term and its gradient are 0.

    Parameters
    ----------
    p : Tensor, shape (*, n), >= 0
        The true distributions, from which the data come, each along the last dimension.
    q : Tensor, shape (*, n), >= 0
        The distributions that the observer believes.
    base : float, in (1, inf), default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The cross-entropies, with the dtype of ``p`` and ``q``.

    Raises
    ------
    TypeError
        If ``p`` or ``q`` is not a real floating-point tensor, or ``base`` is not a real number.
    ValueError
        If ``p`` has no dimension, or ``q`` has another shape.
    ValueError
        If ``p`` or ``q`` has a negative entry, or ``base`` is not above 1.

    See Also
    --------
    dlcore.losses.cross_entropy : The same as a loss computed from logits; use it for training.
    torch.nn.functional.cross_entropy : The loss from logits, in torch.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 3.13.

    Examples
    --------
    If you believe that a biased coin is fair, your surprise is one bit at each toss, whatever the bias:

    >>> fair = torch.tensor([0.5, 0.5])
    >>> cross_entropy(torch.tensor([0.75, 0.25]), fair, base=2)
    tensor(1.)

    If you believe that a fair coin always shows heads, your expected surprise is infinite; conversely, it is one bit:

    >>> certain = torch.tensor([1.0, 0.0])
    >>> cross_entropy(fair, certain, base=2), cross_entropy(certain, fair, base=2)
    (tensor(inf), tensor(1.))
    """
    unit = _unit_of_pair(p, q, base)

    def expected_surprise(p: Tensor, q: Tensor) -> Tensor:
        possible = torch.where(p < 0, math.nan, p)  # a negative p must give NaN, and log q cannot do that
        return _sum(possible * -_log(q, p))

    nats = _in_blocks(expected_surprise, p, q)
    _refuse_negative(nats, p=p, q=q)
    return (nats / unit).to(torch.promote_types(p.dtype, q.dtype))


def kl_divergence(
    p: Float[Tensor, "*batch n"], q: Float[Tensor, "*batch n"], *, base: float = math.e
) -> Float[Tensor, "*batch"]:
    r"""Return the additional expected surprise from believing Q when the data follow P.

    .. math::

        D(P\,\Vert\,Q) = \sum_{j=1}^{n} p_j \log_b \frac{p_j}{q_j}

    The divergence is never negative, and 0 only for :math:`P = Q`. It is not symmetric, so it is not a distance. It is
    computed as :math:`\sum_j (p_j \ln\frac{p_j}{q_j} - p_j + q_j)` divided by :math:`\ln b`, which is the same for rows
    that sum to 1. No term of this form is negative, so rounding errors in the rows cannot make the sum negative. Its
    gradient in :math:`q_j` is :math:`1 - p_j/q_j` in nats, which is zero at :math:`P = Q`. For rows that do not sum to
    1, this is the generalized divergence.

    Parameters
    ----------
    p : Tensor, shape (*, n), >= 0
        The true distributions, from which the data come, each along the last dimension.
    q : Tensor, shape (*, n), >= 0
        The distributions that the observer believes.
    base : float, in (1, inf), default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The divergences, with the dtype of ``p`` and ``q``; inf where ``q`` is 0 and ``p`` is not.

    Raises
    ------
    TypeError
        If ``p`` or ``q`` is not a real floating-point tensor, or ``base`` is not a real number.
    ValueError
        If ``p`` has no dimension, or ``q`` has another shape.
    ValueError
        If ``p`` or ``q`` has a negative entry, or ``base`` is not above 1.

    See Also
    --------
    torch.nn.functional.kl_div : Takes log q first and p second, and by default averages over all entries.

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

    def divergence(p: Tensor, q: Tensor) -> Tensor:
        log_ratio = _log(p, p) - _log(q, p)
        return _never_negative(_sum(_divergence_terms(p, q, log_ratio)))

    nats = _in_blocks(divergence, p, q)
    _refuse_negative(nats, p=p, q=q)
    return (nats / unit).to(torch.promote_types(p.dtype, q.dtype))


def mutual_information(joint: Float[Tensor, "*batch m n"], *, base: float = math.e) -> Float[Tensor, "*batch"]:
    r"""Return the information that one variable gives about another.

    .. math::

        I(X; Y) = \sum_{i=1}^{m}\sum_{j=1}^{n} p_{ij} \log_b \frac{p_{ij}}{p_{i\cdot}\,p_{\cdot j}}
            = H(X) + H(Y) - H(X, Y)

    where :math:`p_{i\cdot}` and :math:`p_{\cdot j}` are the row and column sums of the joint distribution. It is the
    divergence between the joint distribution and the product of its marginals. Like :func:`kl_divergence`, it is
    computed in a form that is never negative.

    Parameters
    ----------
    joint : Tensor, shape (*, m, n), >= 0
        The joint distributions, each over the last two dimensions.
    base : float, in (1, inf), default e
        The base :math:`b`: e for nats, 2 for bits.

    Returns
    -------
    Tensor, shape (*), in [0, log min(m, n)]
        The mutual information, with the dtype of ``joint``; 0 only for independent variables.

    Raises
    ------
    TypeError
        If ``joint`` is not a real floating-point tensor, or ``base`` is not a real number.
    ValueError
        If ``joint`` has fewer than two dimensions or a negative entry, or ``base`` is not above 1.

    See Also
    --------
    sklearn.metrics.mutual_info_score : The same, in nats, from counts or from two lists of labels.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, *Elements of Information Theory*, 2nd ed., 2006, sections 2.3 and 2.4.

    Examples
    --------
    A copy of a fair coin toss gives one bit of information, and an independent variable gives none:

    >>> mutual_information(torch.tensor([[[0.5, 0.0], [0.0, 0.5]], [[0.25, 0.25], [0.25, 0.25]]]), base=2)
    tensor([1., 0.])
    """
    check_rows(joint=joint, base=base)
    check_floating(joint=joint)
    check_rank("joint", joint, 2, "(*, m, n)")
    unit = _unit(base)
    # In float64, because nearly independent variables differ from independent ones in the last digits only.
    wide = joint.double()
    rows, columns = wide.sum(-1, keepdim=True), _column_sums(wide)
    log_ratio = _log(wide, wide) - _log(rows, rows) - _log(columns, columns)  # the product of marginals may underflow
    nats = _never_negative(_sum_of_matrix(_divergence_terms(wide, rows * columns, log_ratio)))
    _refuse_negative(nats, joint=joint)
    return (nats / unit).to(joint.dtype)


def perplexity(p: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""Return the number of equally likely outcomes that have the same entropy.

    .. math::

        \exp H(P) = \prod_{j=1}^{n} p_j^{-p_j}

    The base of the logarithm cancels. The perplexity of a language model on a text is a different quantity: the
    exponential of its mean cross-entropy loss.

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
    entropy : The logarithm of the perplexity.

    References
    ----------
    .. [1] F. Jelinek, R. L. Mercer, L. R. Bahl and J. K. Baker, "Perplexity: a measure of the difficulty of speech
       recognition tasks", *Journal of the Acoustical Society of America* 62(S1), 1977.

    Examples
    --------
    >>> perplexity(torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]))
    tensor([4., 2., 1.])
    """
    check_rows(p=p)
    check_floating(p=p)
    check_rank("p", p, 1, "(*, n)")
    nats = _in_blocks(_entropy, p)
    _refuse_negative(nats, p=p)
    return nats.exp().to(p.dtype)


def _in_blocks(nats: Callable[..., Tensor], *distributions: Tensor) -> Tensor:
    """Return what a function gives for distributions; for the rows of a large matrix, block by block.

    Its intermediate results then take the memory of a block, unless a gradient needs them.
    """
    p = distributions[0]
    # values are hidden from torch.compile, which must not compare the number of entries
    is_large = has_values(*distributions) and p.dim() == 2 and p.numel() > MAX_BLOCK_ENTRIES
    if not is_large or is_sharded(p) or (torch.is_grad_enabled() and any(x.requires_grad for x in distributions)):
        return nats(*map(upcast, distributions))
    block_rows = max(MAX_BLOCK_ENTRIES // p.shape[1], 1)
    blocks = zip(*(split(x, block_rows) for x in distributions), strict=True)
    return torch.cat([nats(*map(upcast, rows)) for rows in blocks])


def _entropy(p: Tensor) -> Tensor:
    return _sum(p * -_log(p, p))


def _sum(x: Tensor) -> Tensor:
    """Return the sums over the last dimension; if it is the only one, it may be sharded."""
    return row_sum(x) if x.dim() == 1 else x.sum(-1)


def _sum_of_matrix(x: Tensor) -> Tensor:
    """Return the sums over the last two dimensions; if they are the only ones, their rows may be sharded."""
    return row_sum(x) if x.dim() == 2 else x.sum((-2, -1))


def _column_sums(x: Tensor) -> Tensor:
    """Return the sums over the last dimension but one, which is kept; if it is the first, it may be sharded."""
    return (
        replicated(shards_of(x).sum(local_rows(x).sum(0, keepdim=True)), x) if x.dim() == 2 else x.sum(-2, keepdim=True)
    )


def _divergence_terms(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    r"""Return :math:`p \ln\frac pq - p + q`, accurate even where p is near q and the three terms cancel.

    With :math:`s = p + q` and :math:`u = (p - q) / s`, the logarithm is :math:`2 \operatorname{artanh}(u)`, which keeps
    its digits where p and q are comparable and tiny. The sum is :math:`s\,[(1 + u) \operatorname{artanh}(u) - u]`, with
    the series :math:`s\,[u^2 + u^3/3 + u^4/3 + u^5/5 + u^6/5 + \dots]`.
    """
    s, gap = p + q, (p - q).abs()
    is_near, is_comparable = gap < MAX_RELATIVE_GAP * s, gap < MAX_COMPARABLE_GAP * s
    u = torch.where(is_comparable, p - q, 0) / torch.where(is_comparable, s, 1)
    u2 = u * u
    series = torch.zeros_like(u)
    for n in range(2 * SERIES_TERMS + 1, 1, -2):  # Horner's rule
        series = series * u2 + 1 / n
    near = s * u2 * (1 + u * series + u2 * series)
    return torch.where(is_near, near, p * torch.where(is_comparable, 2 * u.atanh(), log_ratio) + (q - p))


def _log(q: Tensor, p: Tensor) -> Tensor:
    """Return log q, but 0 where both p and q are 0, so that 0 · log 0 is 0 and has no gradient."""
    return torch.where((p == 0) & (q == 0), 1, q).log()


def _never_negative(x: Tensor) -> Tensor:
    """Set values that rounding made negative to 0, and keep the gradient."""
    return x - x.detach().clamp(max=0)


def _unit(base: float) -> float:
    """Return the number of nats in one unit of information to this base."""
    check_number("base", base, "> 1", lambda base: base > 1)
    check_number("base", base, "finite", math.isfinite)
    return math.log(base)


def _unit_of_pair(p: Tensor, q: Tensor, base: float) -> float:
    check_rows(p=p, q=q, base=base)
    check_floating(p=p, q=q)
    check_rank("p", p, 1, "(*, n)")
    check_same_shape(p=p, q=q)
    return _unit(base)


def _refuse_negative(result: Tensor, **distributions: Tensor) -> None:
    """Raise ValueError if an entry is negative; search only if the result, which has fewer entries, holds a NaN."""
    if has_values(result) and row_any(result.isnan()):
        for name, p in distributions.items():
            check_values(name, p, ">= 0", lambda p: ~(p < 0))
