"""Estimates of label shift from the confusion matrix."""

import math

import torch
from jaxtyping import Float, Integer
from torch import Generator, Tensor

from dlcore._checks import check_nonnegative
from dlcore._numerics import percentile_interval, simplex_projection
from dlcore._torch import singular_values, svd
from dlcore.shift.label._report import LabelShift, conclude, resolution
from dlcore.shift.label._rows import (
    Rows,
    check_resampling,
    read,
    resampled_counts,
    resampled_means,
)

__all__ = ["bbse", "rlls"]

HALVINGS = 64


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
    r"""Return the label shift that explains how the predictions have shifted: black-box shift estimation.

    .. math::

        \mathbf{C}\,\mathbf{w} = \boldsymbol{\mu}, \qquad
        C_{ij} = \frac1n \sum_{l=1}^{n} f_i(\mathbf{x}_l)\,\mathbb{1}[y_l = j], \qquad
        \mu_i = \frac1m \sum_{l=1}^{m} f_i(\mathbf{x}'_l)

    where :math:`f` is the one-hot prediction of the classifier, or what it says in probabilities if soft,
    :math:`(\mathbf{x}, y)` are source rows and :math:`\mathbf{x}'` target rows. The joint matrix :math:`\mathbf{C}`
    gives the weights :math:`w_j = p(j)/q(j)`; with its columns divided by their sums :math:`q(j)`, it would give the
    target's prior :math:`p` instead. The solution may have negative entries: the distribution nearest to it in the
    Euclidean norm takes its place, and the report says so. The classifier need not be calibrated, only the same on both
    sides.

    Parameters
    ----------
    source_probabilities : Tensor, shape (n, k), in [0, 1]
        What the classifier says of held-out source rows, not of those it was trained on; each row must sum to 1, to
        within a hundredth.
    source_labels : Tensor of integers, shape (n,), in [0, k)
        Their classes; each class must be there.
    target_probabilities : Tensor, shape (m, k), in [0, 1]
        What the same classifier says of target rows.
    soft : bool, default False
        Whether to average the probabilities, not the predictions.
    level : float, in (0, 1), default 0.95
        The share of the resamples inside the interval.
    n_resamples : int, at least 0, default 500
        The number of times source rows, class by class, and target rows are drawn again; 0 for no interval.
    generator : Generator, optional
        The source of randomness of the resamples, on the device of the tensors.

    Returns
    -------
    LabelShift
        ``target_prior``, ``weights``, ``interval``, each with the dtype of the probabilities, and the ``report``.

    Raises
    ------
    TypeError
        If the probabilities are not real floating-point, of one dtype, or the labels not integer; if ``level`` is no
        number or ``n_resamples`` no integer.
    ValueError
        If the shapes are not those above, a value is out of its range or NaN, or a row does not sum to 1.
    ValueError
        If a class has no source row.
    ValueError
        If the confusion matrix is singular, as when a class is never predicted: many priors explain the same.

    See Also
    --------
    rlls : The same, drawn towards no shift where the matrix is almost singular.
    saerens_em : More exact where the probabilities are calibrated.
    dlcore.metrics.confusion_matrix : The same matrix, transposed: it has a row for each true class.

    References
    ----------
    .. [1] Z. C. Lipton, Y.-X. Wang and A. J. Smola, "Detecting and correcting for label shift with black box
       predictors", *ICML*, 2018.

    Examples
    --------
    The classifier is right in 3 of 4 source rows of either class, and says "0" of 5 of 8 target rows: as it must where
    3 of 4 rows are of class 0, for 3/4 · 3/4 + 1/4 · 1/4 = 5/8.

    >>> says = torch.eye(2)
    >>> source, labels = says[[0, 0, 0, 1, 0, 1, 1, 1]], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> shift = bbse(source, labels, says[[0, 0, 0, 0, 0, 1, 1, 1]])
    >>> shift.target_prior, shift.weights
    (tensor([0.7500, 0.2500]), tensor([1.5000, 0.5000]))
    >>> round(shift.condition_number, 6)
    2.0
    >>> shift.report.verdict
    'Do not trust this prior: class 0 has 4 source rows, fewer than ten.'
    """
    check_resampling(level, n_resamples)
    given = read(source_probabilities, source_labels, target_probabilities)
    return _estimate("bbse", given, soft=soft, penalty=0.0, level=level, n_resamples=n_resamples, generator=generator)


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
    r"""Return the label shift that explains the predictions, drawn towards no shift: regularized learning.

    .. math::

        \min_{\boldsymbol{\theta}}\ \lVert\mathbf{C}\boldsymbol{\theta} -
            (\boldsymbol{\mu} - \mathbf{C}\mathbf{1})\rVert_2 + \rho\,\lVert\boldsymbol{\theta}\rVert_2,
            \qquad \mathbf{w} = \mathbf{1} + \boldsymbol{\theta}

    with the joint confusion matrix :math:`\mathbf{C}` and the mean prediction :math:`\boldsymbol{\mu}` of
    :func:`bbse`. Neither norm is squared: a solution of :math:`\mathbf{C}\mathbf{w} = \boldsymbol{\mu}` is kept as it
    is where the matrix is far from singular, and only then. The minimum, found in closed form up to one number, is
    projected onto the simplex as that of :func:`bbse` is.

    Parameters
    ----------
    source_probabilities : Tensor, shape (n, k), in [0, 1]
        What the classifier says of held-out source rows; each row must sum to 1, to within a hundredth.
    source_labels : Tensor of integers, shape (n,), in [0, k)
        Their classes; each class must be there.
    target_probabilities : Tensor, shape (m, k), in [0, 1]
        What the same classifier says of target rows.
    soft : bool, default False
        Whether to average the probabilities, not the predictions.
    penalty : float, in [0, inf), optional
        The penalty :math:`\rho`; by default a hundredth of :math:`3\bigl(\frac{2l}{3n} + \sqrt{2l/n}\bigr)` with
        :math:`l = \log(40 k)`, which bounds the error of :math:`\mathbf{C}` at 95 %.
    level : float, in (0, 1), default 0.95
        The share of the resamples inside the interval.
    n_resamples : int, at least 0, default 500
        The number of times source rows, class by class, and target rows are drawn again; 0 for no interval.
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
        ``level`` is no number or ``n_resamples`` no integer.
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
    A matrix far from singular is left alone, a singular one leaves all as it was, and the report says so:

    >>> says = torch.eye(2)
    >>> source, labels = says[[0, 0, 0, 1, 0, 1, 1, 1]], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> rlls(source, labels, says[[0, 0, 0, 0, 0, 1, 1, 1]]).weights
    tensor([1.5000, 0.5000])
    >>> blind = rlls(says[[0, 0, 0, 0, 0, 0, 0, 0]], labels, says[[0, 0, 0, 0, 0, 1, 1, 1]])
    >>> blind.weights, blind.condition_number
    (tensor([1., 1.]), inf)
    >>> blind.report.trustworthy
    False
    """
    check_resampling(level, n_resamples)
    given = read(source_probabilities, source_labels, target_probabilities)
    if penalty is None:
        bound = math.log(40 * given.n_classes) / len(given.source)
        penalty = 0.03 * (2 / 3 * bound + math.sqrt(2 * bound))
    check_nonnegative("penalty", penalty)
    return _estimate(
        "rlls", given, soft=soft, penalty=penalty, level=level, n_resamples=n_resamples, generator=generator
    )


@torch.no_grad()
def _estimate(
    method: str,
    given: Rows,
    *,
    soft: bool,
    penalty: float,
    level: float,
    n_resamples: int,
    generator: Generator | None,
) -> LabelShift:
    rows = given if soft else given.hardened()
    joint, counts = rows.joint, rows.counts
    source_prior, target_mean = counts / joint.new_tensor(len(rows.source)), rows.target.mean(dim=0)
    conditional = joint / source_prior
    if method == "bbse":
        _check_regular(given, conditional)
    solution = source_prior * _weights(joint, target_mean, penalty)
    interval = None
    if n_resamples:
        m = torch.tensor(len(rows.target), device=joint.device)
        if soft:
            of_class = [rows.source[rows.labels == j] for j in range(rows.n_classes)]
            columns = torch.stack([resampled_means(x, n_resamples, generator) for x in of_class], dim=-1)
            means = resampled_means(rows.target, n_resamples, generator)
        else:
            columns = (resampled_counts(counts, conditional.T, n_resamples, generator) / counts[:, None]).mT
            means = resampled_counts(m, target_mean, n_resamples, generator) / m
        priors = simplex_projection(source_prior * _weights(columns * source_prior, means, penalty))
        interval = percentile_interval(priors, level)
    return conclude(
        method,
        given,
        rows,
        source_prior=source_prior,
        solution=solution,
        prior=simplex_projection(solution),
        interval=interval,
    )


def _check_regular(given: Rows, conditional: Tensor) -> None:
    """Raise ValueError unless the confusion matrix has full rank."""
    k = given.n_classes
    values = singular_values(conditional)
    rank = int((values > k * resolution(given.dtype) * values[0]).sum())
    if rank < k:
        silent = "; never predicted: " + ", ".join(map(str, given.never_predicted)) if given.never_predicted else ""
        raise ValueError(
            f"source_probabilities must tell the classes apart, but their confusion matrix has rank {rank} of {k}"
            f"{silent}; rlls stays near the source's prior"
        )


def _weights(joint: Tensor, mean: Tensor, penalty: float) -> Tensor:
    r"""Return :math:`1 + \theta` for each of a batch of matrices, (*, k, k), and mean predictions, (*, k).

    At the minimum, :math:`\theta` is that of ridge regression whose penalty :math:`\lambda` is :math:`\rho` times the
    residual over :math:`\theta`, both in length. That quotient is a root mean square of inverse singular values, which
    falls as :math:`\lambda` grows: halving an interval for :math:`\log\lambda` finds it, or ends at the edge that
    stands for 0.
    """
    u, s, vt = svd(joint)
    b = (u.mT @ (mean - joint.sum(dim=-1)).unsqueeze(-1)).squeeze(-1)
    squares = s.square()
    largest = squares[..., :1]
    low, high = (torch.full_like(largest, at) for at in (math.log(1e-28), math.log(1e28)))
    if penalty > 0:
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            shares = (b / (squares / largest + middle.exp())).square()
            too_small = penalty**2 * shares.sum(-1, keepdim=True) > (squares * shares).sum(-1, keepdim=True)
            low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    theta = vt.mT @ (s * b / (squares + low.exp() * largest)).unsqueeze(-1)
    return 1 + theta.squeeze(-1)
