"""Estimates of label shift from the confusion matrix."""

import math

import torch
from jaxtyping import Float, Integer
from torch import Generator, Tensor

from dlcore._checks import check_nonnegative
from dlcore._numerics import simplex_projection
from dlcore._torch import singular_values, solve, svd
from dlcore.shift.label._report import LabelShift, build_result, resolution
from dlcore.shift.label._rows import (
    ClassifierOutputs,
    check_resampling,
    classifier_outputs,
    resampled_counts,
    resampled_means,
)
from dlcore.shift.label._stable import nearest_solution

__all__ = ["bbse", "resampled_equations", "rlls"]

RIDGE_RANGE = (1e-28, 1e28)  # of λ, relative to the largest squared singular value; the ends represent 0 and infinity
BISECTIONS = 64  # halvings of the range of log λ, after which its ends agree to the last digit


def bbse(
    source_probabilities: Float[Tensor, "n k"],
    source_labels: Integer[Tensor, "n"],
    target_probabilities: Float[Tensor, "m k"],
    *,
    soft: bool = False,
    level: float = 0.95,
    n_resamples: int = 500,
    generator: Generator | None = None,
) -> LabelShift:
    r"""Return the label shift that explains the shift of the predictions: black-box shift estimation.

    .. math::

        \mathbf{C}\,\mathbf{w} = \boldsymbol{\mu}, \qquad
        C_{ij} = \frac1n \sum_{l=1}^{n} f_i(\mathbf{x}_l)\,\mathbb{1}[y_l = j], \qquad
        \mu_i = \frac1m \sum_{l=1}^{m} f_i(\mathbf{x}'_l)

    where :math:`f` is the one-hot prediction of the classifier, or its probabilities if ``soft`` is true,
    :math:`(\mathbf{x}, y)` are source rows and :math:`\mathbf{x}'` target rows. The joint matrix :math:`\mathbf{C}`
    gives the weights :math:`w_j = p(j)/q(j)`; the matrix with its columns divided by their sums :math:`q(j)` would give
    the target's prior :math:`p` instead. If the solution has negative entries, the prior is replaced by the nearest
    distribution in the Euclidean norm, and the report says so. The classifier need not be calibrated, but it must be
    the same on both sides. The interval is found from bootstrap resamples; if the matrix of a resample is singular, the
    solution nearest to no shift is taken.

    Parameters
    ----------
    source_probabilities : Tensor, shape (n, k), in [0, 1]
        The classifier's probabilities for held-out source rows, which it was not trained on; each row must sum to 1,
        to within a hundredth.
    source_labels : Tensor of integers, shape (n,), in [0, k)
        Their classes; each class must occur.
    target_probabilities : Tensor, shape (m, k), in [0, 1]
        The same classifier's probabilities for target rows.
    soft : bool, default False
        Whether to average the probabilities instead of the predictions.
    level : float, in (0, 1), default 0.95
        The share of the resamples inside the interval.
    n_resamples : int, at least 0, default 500
        The number of bootstrap resamples of the source rows, class by class, and of the target rows; 0 for no interval.
    generator : Generator, optional
        The source of randomness of the resamples, on the device of the tensors.

    Returns
    -------
    LabelShift
        ``target_prior``, ``weights``, ``interval``, each with the dtype of the probabilities, and the ``report``.

    Raises
    ------
    TypeError
        If the probabilities are not real floating-point, of one dtype, or the labels not integer; if ``level`` is not a
        number or ``n_resamples`` not an integer.
    ValueError
        If the shapes are not those above, a value is out of its range or NaN, or a row does not sum to 1.
    ValueError
        If a class has no source row.
    ValueError
        If the confusion matrix is singular, as when a class is never predicted: many priors explain the predictions.

    See Also
    --------
    rlls : The same with a penalty, for a matrix that is almost singular.
    saerens_em : More exact if the probabilities are calibrated.
    dlcore.metrics.confusion_matrix : The same matrix, transposed: it has a row for each true class.

    References
    ----------
    .. [1] Z. C. Lipton, Y.-X. Wang and A. J. Smola, "Detecting and correcting for label shift with black box
       predictors", *ICML*, 2018.

    Examples
    --------
    The classifier is right in 3 of 4 source rows of either class, and predicts class 0 for 5 of 8 target rows. This is
    what to expect if 3 of 4 target rows are of class 0, because 3/4 · 3/4 + 1/4 · 1/4 = 5/8.

    >>> one_hot = torch.eye(2)
    >>> source, labels = one_hot[[0, 0, 0, 1, 0, 1, 1, 1]], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> shift = bbse(source, labels, one_hot[[0, 0, 0, 0, 0, 1, 1, 1]])
    >>> shift.target_prior, shift.weights
    (tensor([0.7500, 0.2500]), tensor([1.5000, 0.5000]))
    >>> round(shift.condition_number, 6)
    2.0
    >>> shift.report.verdict
    'Do not trust this prior: class 0 has 4 source rows, fewer than ten.'
    """
    check_resampling(level, n_resamples)
    given = classifier_outputs(
        source_probabilities,
        source_labels,
        target_probabilities,
        soft=soft,
        level=level,
        n_resamples=n_resamples,
        generator=generator,
    )
    outputs = given if soft else given.hardened()
    _check_regular(outputs)
    c, mu = outputs.joint, outputs.mean_output
    w = solve(c, mu)
    # the matrix of a resample may be singular
    w_resampled = (
        nearest_solution(*resampled_equations(outputs, n_resamples, generator, soft=soft)) if n_resamples else None
    )
    return _projected("bbse", given, outputs, w=w, w_resampled=w_resampled, level=level)


def rlls(
    source_probabilities: Float[Tensor, "n k"],
    source_labels: Integer[Tensor, "n"],
    target_probabilities: Float[Tensor, "m k"],
    *,
    soft: bool = False,
    penalty: float | None = None,
    level: float = 0.95,
    n_resamples: int = 500,
    generator: Generator | None = None,
) -> LabelShift:
    r"""Return the label shift that explains the predictions, with a penalty on the shift: regularized learning.

    .. math::

        \min_{\boldsymbol{\theta}}\ \lVert\mathbf{C}\boldsymbol{\theta} -
            (\boldsymbol{\mu} - \mathbf{C}\mathbf{1})\rVert_2 + \rho\,\lVert\boldsymbol{\theta}\rVert_2,
            \qquad \mathbf{w} = \mathbf{1} + \boldsymbol{\theta}

    with the joint confusion matrix :math:`\mathbf{C}` and the mean prediction :math:`\boldsymbol{\mu}` of
    :func:`bbse`. Neither norm is squared, so the minimum is the solution of
    :math:`\mathbf{C}\mathbf{w} = \boldsymbol{\mu}` itself if the matrix is far from singular, and only then. Otherwise
    it is a ridge solution, whose ridge penalty is found by bisection:

    .. math::

        \boldsymbol{\theta} = (\mathbf{C}^\top\mathbf{C} + \lambda\mathbf{I})^{-1}
            \mathbf{C}^\top(\boldsymbol{\mu} - \mathbf{C}\mathbf{1}), \qquad
        \lambda = \rho\,\frac{\lVert\mathbf{C}\boldsymbol{\theta} -
            (\boldsymbol{\mu} - \mathbf{C}\mathbf{1})\rVert_2}{\lVert\boldsymbol{\theta}\rVert_2}

    The prior is projected onto the simplex as in :func:`bbse`.

    Parameters
    ----------
    source_probabilities : Tensor, shape (n, k), in [0, 1]
        The classifier's probabilities for held-out source rows; each row must sum to 1, to within a hundredth.
    source_labels : Tensor of integers, shape (n,), in [0, k)
        Their classes; each class must occur.
    target_probabilities : Tensor, shape (m, k), in [0, 1]
        The same classifier's probabilities for target rows.
    soft : bool, default False
        Whether to average the probabilities instead of the predictions.
    penalty : float, in [0, inf), optional
        The penalty :math:`\rho`; by default a hundredth of :math:`3\bigl(\frac{2l}{3n} + \sqrt{2l/n}\bigr)` with
        :math:`l = \log(40 k)`, which bounds the error of :math:`\mathbf{C}` at 95 %.
    level : float, in (0, 1), default 0.95
        The share of the resamples inside the interval.
    n_resamples : int, at least 0, default 500
        The number of bootstrap resamples of the source rows, class by class, and of the target rows; 0 for no interval.
    generator : Generator, optional
        The source of randomness of the resamples, on the device of the tensors.

    Returns
    -------
    LabelShift
        ``target_prior``, ``weights``, ``interval``, each with the dtype of the probabilities, and the ``report``.

    Raises
    ------
    TypeError
        If the probabilities are not real floating-point, of one dtype, or the labels not integer; if ``penalty`` or
        ``level`` is not a number or ``n_resamples`` not an integer.
    ValueError
        If the shapes are not those above, a value is out of its range or NaN, or a row does not sum to 1.
    ValueError
        If a class has no source row.

    See Also
    --------
    bbse : The same without penalty; it refuses a singular matrix.

    References
    ----------
    .. [1] K. Azizzadenesheli, A. Liu, F. Yang and A. Anandkumar, "Regularized learning for domain adaptation under
       label shifts", *ICLR*, 2019.

    Examples
    --------
    A matrix far from singular gives the solution of :func:`bbse`. A singular one gives no shift, and the report says
    so:

    >>> one_hot = torch.eye(2)
    >>> source, labels = one_hot[[0, 0, 0, 1, 0, 1, 1, 1]], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> rlls(source, labels, one_hot[[0, 0, 0, 0, 0, 1, 1, 1]]).weights
    tensor([1.5000, 0.5000])
    >>> blind = rlls(one_hot[[0, 0, 0, 0, 0, 0, 0, 0]], labels, one_hot[[0, 0, 0, 0, 0, 1, 1, 1]])
    >>> blind.weights, blind.condition_number
    (tensor([1., 1.]), inf)
    >>> blind.report.trustworthy
    False
    """
    check_resampling(level, n_resamples)
    given = classifier_outputs(
        source_probabilities,
        source_labels,
        target_probabilities,
        soft=soft,
        penalty=penalty,
        level=level,
        n_resamples=n_resamples,
        generator=generator,
    )
    rho = _default_penalty(given) if penalty is None else penalty
    check_nonnegative("penalty", rho)
    outputs = given if soft else given.hardened()
    c, mu = outputs.joint, outputs.mean_output
    w = 1 + _penalized(c, mu, rho)
    w_resampled = (
        1 + _penalized(*resampled_equations(outputs, n_resamples, generator, soft=soft), rho) if n_resamples else None
    )
    return _projected("rlls", given, outputs, w=w, w_resampled=w_resampled, level=level)


def _default_penalty(outputs: ClassifierOutputs) -> float:
    """Return a hundredth of the bound on the error of the confusion matrix."""
    bound = math.log(40 * outputs.n_classes) / outputs.n
    return 0.03 * (2 / 3 * bound + math.sqrt(2 * bound))


def _penalized(c: Tensor, mu: Tensor, rho: float) -> Tensor:
    r"""Return θ of rlls for each of a batch of joint matrices, (*, k, k), and mean predictions, (*, k)."""
    u, s, vt = svd(c)
    beta = (u.mT @ (mu - c.sum(dim=-1)).unsqueeze(-1)).squeeze(-1)
    theta = s * beta / (s**2 + _ridge_penalty(s, beta, rho))
    return (vt.mT @ theta.unsqueeze(-1)).squeeze(-1)


def _ridge_penalty(s: Tensor, beta: Tensor, rho: float) -> Tensor:
    r"""Return the ridge penalty λ at which :math:`\rho\lVert r\rVert = \lambda\lVert\theta\rVert`, by bisection.

    In the basis of the singular vectors, :math:`\theta_i = s_i\beta_i/(s_i^2+\lambda)`, and the residual is
    :math:`r_i = \lambda\beta_i/(s_i^2+\lambda)`. The quotient of the norms of :math:`\theta` and
    :math:`r/\lambda` is a root mean square of the :math:`s_i` that grows with λ, so it is ρ only once.
    """
    largest = s[..., :1] ** 2
    low, high = (torch.full_like(largest, math.log(end)) for end in RIDGE_RANGE)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        squares = (beta / (s**2 / largest + middle.exp())) ** 2  # of r / λ
        too_small = rho * rho * squares.sum(-1, keepdim=True) > (s**2 * squares).sum(-1, keepdim=True)
        low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    return low.exp() * largest


def resampled_equations(
    outputs: ClassifierOutputs, n_resamples: int, generator: Generator | None, *, soft: bool
) -> tuple[Tensor, Tensor]:
    """Return the joint confusion matrix, (n_resamples, k, k), and the mean prediction, (n_resamples, k), of each."""
    if soft:
        by_class = [outputs.source[outputs.labels == j] for j in range(outputs.n_classes)]
        resampled = [resampled_means(rows, n_resamples, generator, outputs.shards) for rows in by_class]
        columns = torch.stack(resampled, dim=-1)
        means = resampled_means(outputs.target, n_resamples, generator, outputs.shards)
    else:  # the mean of one-hot rows is a multinomial count over the number of rows
        n, m = outputs.counts, torch.tensor(outputs.m, device=outputs.target.device)
        columns = (resampled_counts(n, outputs.conditional.T, n_resamples, generator) / n[:, None]).mT
        means = resampled_counts(m, outputs.mean_output, n_resamples, generator) / m
    return columns * outputs.source_prior, means


def _projected(
    method: str,
    given: ClassifierOutputs,
    outputs: ClassifierOutputs,
    *,
    w: Tensor,
    w_resampled: Tensor | None,
    level: float,
) -> LabelShift:
    """Return the result of the weights, with each prior projected onto the simplex."""
    q = outputs.source_prior
    return build_result(
        method,
        given,
        outputs,
        source_prior=q,
        solution=q * w,
        prior=simplex_projection(q * w),
        resampled_priors=[] if w_resampled is None else [q * w_resampled],
        level=level,
    )


def _check_regular(outputs: ClassifierOutputs) -> None:
    """Raise ValueError unless the confusion matrix has full rank."""
    k = outputs.n_classes
    values = singular_values(outputs.conditional)
    rank = int((values > k * resolution(outputs.dtype) * values[0]).sum())
    if rank < k:
        absent = outputs.never_predicted
        never = "; never predicted: " + ", ".join(map(str, absent)) if absent else ""
        raise ValueError(
            f"source_probabilities must distinguish the classes, but their confusion matrix has rank {rank} of {k}"
            f"{never}; rlls stays near the source's prior"
        )
