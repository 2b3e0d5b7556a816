"""Splits into training and held-out rows, and the errors on both."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor

from dlcore._checks import check_count, check_losses, check_number, number_of_rows
from dlcore._rows import row_mean
from dlcore._shards import check_rows, in_shards, take_rows
from dlcore._torch import loadable
from dlcore.norms import l2_norm

__all__ = [
    "CrossValidation",
    "cross_validate",
    "fold_errors",
    "k_fold",
    "random_or_given_order",
    "train_test_split",
]

Model = TypeVar("Model")


@loadable
class CrossValidation(NamedTuple):
    r"""The errors of each fold, with their mean and its standard error.

    With :math:`e_j` the mean loss in fold :math:`j`, the mean is :math:`\bar e = \frac1k\sum_j e_j`, and its standard
    error :math:`s/\sqrt{k}` with :math:`s^2 = \frac{1}{k-1}\sum_j (e_j - \bar e)^2`. The folds share training
    rows, so their errors are not independent: the standard error is only a guide, and no unbiased one exists.

    Parameters
    ----------
    train_errors : Tensor, shape (*, k)
        The mean loss on the training rows of each fold.
    validation_errors : Tensor, shape (*, k)
        The mean loss on the rows held out in each fold.

    References
    ----------
    .. [1] Y. Bengio and Y. Grandvalet, "No unbiased estimator of the variance of K-fold cross-validation", *Journal of
       Machine Learning Research* 5, 2004.

    Examples
    --------
    >>> result = CrossValidation(torch.tensor([4.5, 0.5]), torch.tensor([18.5, 22.5]))
    >>> result.train_mean, result.validation_mean
    (tensor(2.5000), tensor(20.5000))
    >>> result.train_standard_error, result.validation_standard_error
    (tensor(2.), tensor(2.))
    """

    train_errors: Float[Tensor, "*path k"]
    validation_errors: Float[Tensor, "*path k"]

    @property
    def train_mean(self) -> Float[Tensor, "*path"]:
        """The mean of the training errors."""
        return self.train_errors.mean(-1)

    @property
    def train_standard_error(self) -> Float[Tensor, "*path"]:
        """The standard error of the mean of the training errors."""
        return _standard_error(self.train_errors)

    @property
    def validation_mean(self) -> Float[Tensor, "*path"]:
        """The mean of the validation errors: the estimate of the error on new data."""
        return self.validation_errors.mean(-1)

    @property
    def validation_standard_error(self) -> Float[Tensor, "*path"]:
        """The standard error of the mean of the validation errors."""
        return _standard_error(self.validation_errors)


def train_test_split(
    *tensors: Shaped[Any, "n ..."],
    test_fraction: float = 0.25,
    shuffle: bool = True,
    generator: Generator | None = None,
) -> tuple[Tensor, ...]:
    r"""Return the training rows and the test rows of each tensor.

    .. math::

        n_\text{test} = \lfloor f n + \tfrac12 \rfloor, \qquad n_\text{train} = n - n_\text{test}

    where :math:`n` is the number of rows and :math:`f` the fraction to hold out.

    Parameters
    ----------
    *tensors : Tensor or numpy.ndarray, shape (n, ...)
        The data: row i of each tensor belongs to example i.
    test_fraction : float, in (0, 1), default 0.25
        The fraction of the rows to hold out.
    shuffle : bool, default True
        Whether the test rows are drawn at random; otherwise they are the last rows.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    tuple of Tensor, shapes (n_train, ...) and (n_test, ...)
        For each tensor, its training rows and then its test rows: ``x_train, x_test, y_train, y_test``.

    Raises
    ------
    TypeError
        If no tensor is given.
    TypeError
        If ``test_fraction`` is not a real number.
    ValueError
        If ``test_fraction`` is not in (0, 1).
    ValueError
        If a tensor has no dimension.
    ValueError
        If the tensors differ in their number of rows.
    ValueError
        If no row would be left for training, or none for testing.

    See Also
    --------
    sklearn.model_selection.train_test_split : The same order of results; it rounds the number of test rows up.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section 7.2.

    Examples
    --------
    >>> x, y = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([1, 2, 3, 4])
    >>> x_train, x_test, y_train, y_test = train_test_split(x, y, shuffle=False)
    >>> y_train, y_test
    (tensor([1, 2, 3]), tensor([4]))
    """
    if not tensors:
        raise TypeError("train_test_split needs at least one tensor")
    check_number("test_fraction", test_fraction, "in (0, 1)", lambda fraction: 0 < fraction < 1)
    given = [torch.as_tensor(x) for x in tensors]
    named = {f"tensors[{place}]": x for place, x in enumerate(given)}
    check_rows(**named, test_fraction=test_fraction, shuffle=shuffle)
    n = number_of_rows(**named)
    n_train = n - math.floor(test_fraction * n + 0.5)
    if not 0 < n_train < n:
        raise ValueError(f"test_fraction must leave rows on both sides, got {test_fraction} of {n} rows")
    index = random_or_given_order(n, shuffle=shuffle, generator=generator)
    return tuple(take_rows(x, part) for x in given for part in (index[:n_train], index[n_train:]))


def k_fold(
    n: int, k: int, *, shuffle: bool = False, generator: Generator | None = None
) -> Iterator[tuple[Int[Tensor, "train"], Int[Tensor, "validation"]]]:
    r"""Return an iterator over the folds: the indices of the training rows and of the validation rows.

    .. math::

        \{0, \dots, n-1\} = \mathcal{V}_1 \,\dot\cup \cdots \dot\cup\, \mathcal{V}_k, \qquad
        |\mathcal{V}_j| = \begin{cases} \lfloor n/k \rfloor + 1 & j \le n \bmod k \\ \lfloor n/k \rfloor & j > n \bmod k
        \end{cases}

    where :math:`\mathcal{V}_j` are the rows that fold :math:`j` holds out; it trains on all others. Each row is held
    out exactly once, even if k does not divide n.

    Parameters
    ----------
    n : int, at least k
        The number of rows.
    k : int, at least 2
        The number of folds; ``k=n`` leaves one row out at a time.
    shuffle : bool, default False
        Whether rows are assigned to folds at random, which sorted rows need; otherwise a fold is a run of rows.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    iterator of tuple of Tensor, shapes (n_train,) and (n_validation,)
        For each fold, the indices of its training rows and of its validation rows.

    Raises
    ------
    TypeError
        If ``n`` or ``k`` is not an integer.
    ValueError
        If ``k`` is less than 2.
    ValueError
        If ``n`` is less than ``k``.

    See Also
    --------
    sklearn.model_selection.KFold : The same folds, as NumPy arrays.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section
       7.10.

    Examples
    --------
    >>> for train, validation in k_fold(5, 2):
    ...     print(train.tolist(), validation.tolist())
    [3, 4] [0, 1, 2]
    [0, 1, 2] [3, 4]
    >>> [len(validation) for _, validation in k_fold(442, 5)]
    [89, 89, 88, 88, 88]
    """
    check_count("k", k, 2)
    check_count("n", n, k)
    n, k = int(n), int(k)  # NumPy's integers too
    folds = random_or_given_order(n, shuffle=shuffle, generator=generator).tensor_split(k)
    return ((torch.cat([*folds[:j], *folds[j + 1 :]]), folds[j]) for j in range(k))


def cross_validate(
    fit: Callable[[Tensor, Tensor], Model],
    loss: Callable[[Model, Tensor, Tensor], Tensor],
    x: Shaped[Tensor, "n ..."],
    y: Shaped[Tensor, "n ..."],
    *,
    k: int | None = None,
    folds: Iterable[tuple[Tensor, Tensor]] | None = None,
    shuffle: bool = False,
    generator: Generator | None = None,
) -> CrossValidation:
    r"""Return the training and the validation error of each fold.

    .. math::

        e_j = \frac{1}{|\mathcal{V}_j|} \sum_{i \in \mathcal{V}_j} l\bigl(\hat f_j, \mathbf{x}_i, y_i\bigr), \qquad
        \hat f_j = \operatorname{fit}\bigl(\{(\mathbf{x}_i, y_i) : i \notin \mathcal{V}_j\}\bigr)

    where :math:`\mathcal{V}_j` are the rows that fold :math:`j` of :func:`k_fold` holds out. A step that learns from
    the data, such as standardizing or choosing features, belongs inside ``fit``. Outside of it, the step uses the
    held-out rows, and the error is underestimated.

    Parameters
    ----------
    fit : callable
        Maps training inputs and targets to a model of any type.
    loss : callable
        Maps a model, inputs and targets to one loss per example, shape (rows,).
    x : Tensor, shape (n, ...)
        The inputs.
    y : Tensor, shape (n, ...)
        The targets.
    k : int, in [2, n], optional
        The number of folds of :func:`k_fold`.
    folds : iterable of pairs of Tensor, optional
        Instead of ``k``, the training and the validation rows of each fold, as :func:`stratified_k_fold`,
        :func:`grouped_k_fold` and :func:`time_ordered_folds` return them.
    shuffle : bool, default False
        Whether rows are assigned to folds at random.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    CrossValidation
        Both errors of each fold, with their mean and standard error.

    Raises
    ------
    TypeError
        If ``k`` is not an integer.
    TypeError
        If ``loss`` does not return a real floating-point tensor.
    ValueError
        If neither ``k`` nor ``folds`` is given, or both are.
    ValueError
        If ``k`` is less than 2, or greater than the number of rows, or ``folds`` are fewer than 2.
    ValueError
        If ``x`` or ``y`` has no dimension.
    ValueError
        If ``x`` and ``y`` differ in their number of rows.
    ValueError
        If ``loss`` does not return one value per example.

    See Also
    --------
    sklearn.model_selection.cross_validate : The same for estimators; by default it stratifies a classifier's folds.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section
       7.10.

    Examples
    --------
    The model is the mean of the targets, and ignores the inputs:

    >>> y = torch.tensor([0.0, 2.0, 4.0, 10.0])
    >>> result = cross_validate(lambda x, y: y.mean(), lambda mean, x, y: (mean - y) ** 2 / 2, y, y, k=2)
    >>> result.validation_errors, result.validation_mean, result.validation_standard_error
    (tensor([18.5000, 22.5000]), tensor(20.5000), tensor(2.))
    >>> result.train_errors
    tensor([4.5000, 0.5000])
    """
    check_rows(x=x, y=y, k=k, shuffle=shuffle)
    n = number_of_rows(x=x, y=y)
    if folds is None and k is not None:
        folds = k_fold(n, k, shuffle=shuffle, generator=generator)
    elif folds is None or k is not None:
        raise ValueError("either k or folds must be given, got " + ("none" if folds is None else "both"))
    errors = [
        fold_errors(loss, fit(take_rows(x, train), take_rows(y, train)), x, y, train, validation)
        for train, validation in folds
    ]
    check_count("len(folds)", len(errors), 2)
    return CrossValidation(*map(torch.stack, zip(*errors, strict=True)))


def fold_errors(
    loss: Callable[[Model, Tensor, Tensor], Tensor],
    model: Model,
    x: Tensor,
    y: Tensor,
    *indices: Tensor,
) -> tuple[Tensor, ...]:
    """Return the mean loss of a model on each of several sets of rows, given by their indices."""
    errors: list[Tensor] = []
    for index in indices:
        losses = in_shards(loss(model, take_rows(x, index), take_rows(y, index)))
        check_losses(losses, len(index))
        errors.append(row_mean(losses))
    return tuple(errors)


def _standard_error(errors: Tensor) -> Tensor:
    k = errors.shape[-1]
    deviations = errors - errors[..., :1].detach()  # nearly equal errors lose digits in their mean
    return l2_norm(deviations - deviations.mean(-1, keepdim=True), dim=-1) / math.sqrt(k * (k - 1))


def random_or_given_order(n: int, *, shuffle: bool, generator: Generator | None) -> Tensor:
    """Return the indices of all rows, in the order in which they are assigned."""
    if not shuffle:
        return torch.arange(n)
    return torch.randperm(n, generator=generator, device=None if generator is None else generator.device)
