"""Folds that respect classes, groups or time."""

from collections.abc import Iterator

import torch
from jaxtyping import Int, Integer
from torch import Generator, Tensor

from dlcore._checks import check_count, check_integer
from dlcore._shards import check_rows, local_rows, shards_of
from dlcore._torch import unique_with_counts

from ._folds import random_or_given_order

__all__ = ["grouped_k_fold", "stratified_k_fold", "time_ordered_folds"]

Folds = Iterator[tuple[Int[Tensor, "train"], Int[Tensor, "validation"]]]


def stratified_k_fold(
    labels: Integer[Tensor, "n"], k: int, *, shuffle: bool = False, generator: Generator | None = None
) -> Folds:
    r"""Return an iterator over folds that all have nearly the same share of each class.

    .. math::

        \mathcal{V}_j = \{i : r_i \equiv j \bmod k\}, \qquad
        r_i = |\{l : y_l < y_i\}| + |\{l < i : y_l = y_i\}|

    where :math:`\mathcal{V}_j`, :math:`j = 0, \dots, k-1`, are the rows that a fold holds out: the rows, sorted by
    label, are assigned to the folds in turn. The numbers of rows of a class differ by at most 1 between folds, and so
    do the sizes of the folds.

    Parameters
    ----------
    labels : Tensor of integers, shape (n,), n at least k
        The class of each row.
    k : int, at least 2
        The number of folds.
    shuffle : bool, default False
        Assign the rows of each class in random order; otherwise in their given order.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    iterator of tuple of Tensor, shapes (n_train,) and (n_validation,)
        For each fold its training rows and its validation rows, in ascending order.

    Raises
    ------
    TypeError
        If ``labels`` is not an integer tensor, or ``k`` not an integer.
    ValueError
        If ``k`` is less than 2, or greater than the number of rows.
    ValueError
        If ``labels`` is not a vector.

    See Also
    --------
    sklearn.model_selection.StratifiedKFold : It refuses k above the size of every class, and its folds differ more in
        size.

    References
    ----------
    .. [1] R. Kohavi, "A study of cross-validation and bootstrap for accuracy estimation and model selection", *IJCAI*,
       1995, section 2.

    Examples
    --------
    >>> labels = torch.tensor([0, 0, 0, 0, 1, 1])
    >>> for train, validation in stratified_k_fold(labels, 2):
    ...     print(labels[train].tolist(), labels[validation].tolist())
    [0, 0, 1] [0, 0, 1]
    [0, 0, 1] [0, 0, 1]
    """
    labels = _all_rows(k, labels=labels)
    n = len(labels)
    order = random_or_given_order(n, shuffle=shuffle, generator=generator).to(labels.device)
    dealt = order[labels[order].argsort(stable=True)]
    fold_of_row = torch.empty_like(dealt).index_copy(0, dealt, torch.arange(n, device=labels.device) % k)
    return _folds(fold_of_row, k)


def grouped_k_fold(groups: Integer[Tensor, "n"], k: int) -> Folds:
    r"""Return an iterator over folds that split no group.

    .. math::

        g_i = g_l \;\Rightarrow\; i, l \in \mathcal{V}_j \text{ for the same } j

    where :math:`g_i` is the group of row :math:`i`, such as a patient with several measurements, and
    :math:`\mathcal{V}_j` are the rows that fold :math:`j` holds out. If a group has rows on both sides of a split, the
    error on the held-out rows measures how well the model remembers the group. The groups are assigned in order of
    size, the largest first, each to the fold that has the fewest rows so far.

    Parameters
    ----------
    groups : Tensor of integers, shape (n,)
        The group of each row.
    k : int, at least 2
        The number of folds, at most the number of groups.

    Returns
    -------
    iterator of tuple of Tensor, shapes (n_train,) and (n_validation,)
        For each fold its training rows and its validation rows, in ascending order.

    Raises
    ------
    TypeError
        If ``groups`` is not an integer tensor, or ``k`` not an integer.
    ValueError
        If ``k`` is less than 2, or greater than the number of rows or groups.
    ValueError
        If ``groups`` is not a vector.

    See Also
    --------
    sklearn.model_selection.GroupKFold : The same, up to ties.

    References
    ----------
    .. [1] D. R. Roberts et al., "Cross-validation strategies for data with temporal, spatial, hierarchical, or
       phylogenetic structure", *Ecography* 40(8), 2017.

    Examples
    --------
    >>> patients = torch.tensor([7, 7, 7, 4, 4, 9])
    >>> for train, validation in grouped_k_fold(patients, 2):
    ...     print(patients[train].tolist(), patients[validation].tolist())
    [4, 4, 9] [7, 7, 7]
    [7, 7, 7] [4, 4, 9]
    """
    groups = _all_rows(k, groups=groups)
    _, group_of_row, counts = unique_with_counts(groups)
    sizes: list[int] = [int(count) for count in counts]
    if len(sizes) < k:
        raise ValueError(f"groups must hold at least {k} groups, one for each fold, got {len(sizes)}")
    rows_of_fold, fold_of_group = [0] * k, [0] * len(sizes)
    for group in sorted(range(len(sizes)), key=lambda group: -sizes[group]):
        fold = rows_of_fold.index(min(rows_of_fold))
        fold_of_group[group] = fold
        rows_of_fold[fold] += sizes[group]
    return _folds(torch.tensor(fold_of_group, device=groups.device)[group_of_row], k)


def time_ordered_folds(n: int, k: int, *, gap: int = 0) -> Folds:
    r"""Return an iterator over folds, each trained on the past and validated on the rows that follow.

    .. math::

        \mathcal{V}_j = \{n - (k - j + 1)\,m, \dots, n - (k - j)\,m - 1\}, \qquad
        \mathcal{T}_j = \{i : i < \min\mathcal{V}_j - g\}, \qquad m = \Bigl\lfloor\frac{n}{k+1}\Bigr\rfloor

    where the rows are in the order of time, fold :math:`j = 1, \dots, k` holds out :math:`\mathcal{V}_j` and trains on
    :math:`\mathcal{T}_j`, and :math:`g` is the gap. With folds of :func:`k_fold`, a model would also learn from what
    comes after the rows that it predicts.

    Parameters
    ----------
    n : int, at least k + 1
        The number of rows.
    k : int, at least 2
        The number of folds.
    gap : int, at least 0, default 0
        The number of rows to leave out between the training and the validation rows, if neighbouring rows resemble each
        other.

    Returns
    -------
    iterator of tuple of Tensor, shapes (n_train,) and (n_validation,)
        For each fold its training rows and its validation rows, in ascending order.

    Raises
    ------
    TypeError
        If ``n``, ``k`` or ``gap`` is not an integer.
    ValueError
        If ``k`` is less than 2, ``gap`` negative, or ``n`` less than k + 1.
    ValueError
        If ``gap`` leaves the first fold no row to train on.

    See Also
    --------
    sklearn.model_selection.TimeSeriesSplit : The same folds, as NumPy arrays.

    References
    ----------
    .. [1] L. J. Tashman, "Out-of-sample tests of forecasting accuracy: an analysis and review", *International Journal
       of Forecasting* 16(4), 2000.

    Examples
    --------
    >>> for train, validation in time_ordered_folds(7, 3, gap=1):
    ...     print(train.tolist(), validation.tolist())
    [0, 1, 2] [4]
    [0, 1, 2, 3] [5]
    [0, 1, 2, 3, 4] [6]
    """
    check_count("k", k, 2)
    check_count("n", n, int(k) + 1)
    check_count("gap", gap, 0)
    n, k, gap = int(n), int(k), int(gap)
    m = n // (k + 1)
    starts = range(n - k * m, n, m)
    if starts[0] - gap < 1:
        raise ValueError(f"gap must be < {starts[0]}, to leave the first fold a training row, got {gap}")
    return ((torch.arange(start - gap), torch.arange(start, start + m)) for start in starts)


def _all_rows(k: int, **vector: Tensor) -> Tensor:
    """Return a vector of at least k integers as a plain tensor; the folds have the indices of all of them anyway."""
    check_rows(k=k, **vector)
    check_integer(**vector)
    ((name, x),) = vector.items()
    if x.dim() != 1:
        raise ValueError(f"{name} must have shape (n,), got {tuple(x.shape)}")
    check_count("k", k, 2)
    check_count("n", len(x), k)
    return shards_of(x).cat(local_rows(x))


def _folds(fold_of_row: Tensor, k: int) -> Folds:
    """Yield the rows outside and inside each fold."""
    return (((fold_of_row != j).nonzero()[:, 0], (fold_of_row == j).nonzero()[:, 0]) for j in range(k))
