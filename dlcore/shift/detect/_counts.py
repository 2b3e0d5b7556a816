"""The test of class counts, by permutation."""

import torch
from jaxtyping import Integer
from torch import Generator, Tensor

from dlcore._checks import check_count, check_integer

from ._result import ShiftTest, draw_splits, permutation_p_value

TIE = 1e-9  # relative: statistics that are no further apart are one number, rounded twice


def label_test(
    x: Integer[Tensor, "n"],
    y: Integer[Tensor, "m"],
    *,
    n_permutations: int = 1000,
    generator: Generator | None = None,
) -> ShiftTest:
    r"""Return whether the classes of two samples of labels are distributed alike.

    .. math::

        \chi^2 = \Bigl(\frac1n + \frac1m\Bigr)\sum_{k} \frac{(n_k - n\,\pi_k)^2}{\pi_k}, \qquad
        \pi_k = \frac{n_k + m_k}{n + m}

    where :math:`n_k` and :math:`m_k` count the labels k in each sample. Of B random permutations of the pooled labels,
    let K have a statistic at least as large: then :math:`p = (1 + K)/(1 + B)`. Unlike the limit of :math:`\chi^2`,
    which needs about five expected labels of each class, this keeps its level for any counts.

    Labels that a classifier predicts serve as well: under label shift, their distribution changes if and only if that
    of the true labels does, provided that the confusion matrix is invertible.

    Parameters
    ----------
    x, y : Tensor of integers, shape (n,) and (m,)
        The labels, true ones or predicted ones; any integers, one for each class.
    n_permutations : int, at least 1, default 1000
        The number B of permutations; 19 is the least that can reject at level 0.05.
    generator : torch.Generator, optional
        What the permutations are drawn from; then the global random state is left alone.

    Returns
    -------
    ShiftTest
        With the statistic of each permutation in ``null``.

    Raises
    ------
    TypeError
        If ``x`` or ``y`` is not an integer tensor.
    TypeError
        If ``n_permutations`` is not an integer.
    ValueError
        If ``x`` or ``y`` has not one dimension, or no label.
    ValueError
        If ``n_permutations`` is less than 1.

    See Also
    --------
    scipy.stats.chi2_contingency : The same statistic of a table of counts, without correction, and its limit.

    References
    ----------
    .. [1] A. Agresti, *Categorical Data Analysis*, 3rd ed., 2013, sections 3.2 and 3.5.
    .. [2] Z. C. Lipton, Y.-X. Wang and A. J. Smola, "Detecting and correcting for label shift with black box
       predictors", *ICML*, 2018.

    Examples
    --------
    >>> source, target = torch.tensor([0, 1]).repeat(50), torch.tensor([0, 1, 1, 1]).repeat(25)
    >>> test = label_test(source, target, generator=torch.Generator().manual_seed(0))
    >>> round(test.statistic, 2), test.rejects(alpha=0.01)
    (13.33, True)
    >>> label_test(source, source).p_value
    1.0
    """
    check_integer(x=x, y=y)
    check_count("n_permutations", n_permutations, 1)
    for name, labels in (("x", x), ("y", y)):
        if labels.dim() != 1 or len(labels) == 0:
            raise ValueError(f"{name} must have shape (n,) with n >= 1, got {tuple(labels.shape)}")
    n, m = len(x), len(y)
    values, order = torch.cat([x, y]).sort()
    classes = torch.zeros_like(order).scatter_(0, order[1:], (values[1:] != values[:-1]).cumsum(0))
    shares = torch.bincount(classes).double() / (n + m)
    counts = torch.cat(
        [
            shares.new_zeros(len(split), len(shares)).index_add_(1, classes, split.double())
            for split in draw_splits(n, n + m, n_permutations, generator, x.device)
        ]
    )
    statistics = (1 / n + 1 / m) * ((counts - n * shares).square() / shares).sum(1)
    return ShiftTest(
        name="χ²",
        statistic=statistics[0].item(),
        p_value=permutation_p_value(statistics, TIE * (1 + statistics[0].item())),
        sizes=(n, m),
        null=statistics[1:],
    )
