"""Cross-validation of a model that is trained by gradient descent, with all folds trained at once."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Shaped
from torch import Generator, Tensor

from dlcore._checks import check_count, check_losses, check_number, number_of_rows
from dlcore._descent import decay_of_leaves, descend_
from dlcore._torch import PyTree, split
from dlcore._trees import floating_leaves
from dlcore.optim import sgd_step

from ._folds import CrossValidation, fold_errors, k_fold, take

__all__ = ["cross_validate_vectorized"]


def cross_validate_vectorized(
    loss: Callable[..., Tensor],
    params: PyTree,
    x: Shaped[Tensor, "n ..."],
    y: Shaped[Tensor, "n ..."],
    *,
    k: int,
    epochs: int,
    batch_size: int,
    lr: float,
    momentum: float = 0.0,
    weight_decay: PyTree = 0.0,
    shuffle: bool = False,
    generator: Generator | None = None,
) -> CrossValidation:
    r"""Return the training and the validation error of each fold, all folds trained at once by gradient descent.

    .. math::

        \mathbf{w}_j \leftarrow \mathbf{w}_j - \eta\,\partial_{\mathbf{w}_j} \sum_{i} \frac{m_{ji}}{\sum_{i'} m_{ji'}}\,
            l(\mathbf{w}_j, \mathbf{x}_{ji}, y_{ji}), \qquad j = 1, \dots, k

    where row :math:`i` of fold :math:`j`'s batch has mask :math:`m_{ji} = 1`, or 0 where the batch is filled up: folds
    differ by a row when k does not divide n, and a fold whose rows are used up waits. So each fold is trained as
    :func:`dlcore.training.fit` trains it alone, with a copy of ``generator`` taken after the assignment to folds;
    ``loss`` is called through :func:`torch.vmap` on k batches at once. A fold that diverges has errors that are
    infinite or NaN. What is returned has no gradient.

    Parameters
    ----------
    loss : callable
        Maps parameters, inputs and targets to one loss per example, shape (rows,).
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters that every fold starts from.
    x : Tensor, shape (n, ...)
        The inputs.
    y : Tensor, shape (n, ...)
        The targets.
    k : int, in [2, n]
        The number of folds.
    epochs : int, at least 0
        How many times a fold goes over its training rows.
    batch_size : int, at least 1
        How many examples a fold's batch holds.
    lr : float, at least 0
        The learning rate :math:`\eta`.
    momentum : float, in [0, 1), default 0.0
        The share of the velocity that stays, as in :func:`dlcore.optim.momentum_step`.
    weight_decay : float, or floats in the structure of ``params``, at least 0, default 0.0
        The weight decay; a structure gives each parameter its own.
    shuffle : bool, default False
        Assign rows to folds at random. The batches of an epoch are drawn at random in any case.
    generator : torch.Generator, optional
        What the assignment and the batches are drawn from; then the global random state is left alone.

    Returns
    -------
    CrossValidation
        Both errors of each fold, with their mean and standard error.

    Raises
    ------
    TypeError
        If a parameter or the result of ``loss`` is not a real floating-point tensor.
    TypeError
        If ``k``, ``epochs`` or ``batch_size`` is not an integer, or ``lr``, ``momentum`` or ``weight_decay`` no real
        number.
    ValueError
        If a number is out of its range, or ``weight_decay`` has not the structure of ``params``.
    ValueError
        If ``x`` or ``y`` has no dimension, or they differ in their number of rows.
    ValueError
        If ``loss`` does not return one value per example, or one that does not depend on ``params``.

    See Also
    --------
    cross_validate : The same for any model, one fold after the other.
    torch.vmap : What makes one call of the losses of all folds.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section
       7.10.

    Examples
    --------
    The parameter goes to the mean of the targets, here all the way in one step:

    >>> y = torch.tensor([0.0, 2.0, 4.0, 10.0])
    >>> def loss(w, x, y):
    ...     return (w - y) ** 2 / 2
    >>> result = cross_validate_vectorized(loss, torch.tensor(0.0), y, y, k=2, epochs=1, batch_size=2, lr=1.0)
    >>> result.validation_errors, result.train_errors
    (tensor([18.5000, 22.5000]), tensor([4.5000, 0.5000]))
    """
    given, structure = floating_leaves("params", params)
    check_count("epochs", epochs, 0)
    check_count("batch_size", batch_size, 1)
    sgd_step(params, params, lr=lr, weight_decay=weight_decay)  # it refuses what it cannot take
    check_number("momentum", momentum, "in [0, 1)", lambda momentum: 0 <= momentum < 1)
    folds = list(k_fold(number_of_rows(x=x, y=y), k, shuffle=shuffle, generator=generator))
    decays = decay_of_leaves(structure, weight_decay)

    leaves = [w.detach().expand(k, *w.shape).clone().requires_grad_() for w in given]
    tree, velocity = structure.unflatten(leaves), [torch.zeros_like(w) for w in leaves] if momentum else []
    losses_of_folds = torch.vmap(loss, randomness="different")
    for rows, present in _batches([train for train, _ in folds], epochs, batch_size, generator):
        with torch.enable_grad():
            losses = losses_of_folds(tree, _take(x, rows), _take(y, rows))
            check_losses(losses, *rows.shape)
            means = losses.mean(1)
            if present is not None:
                present = present.to(x.device)  # noqa: PLW2901  # it was on that of the generator
                means = torch.where(present, losses, 0).sum(1) / present.sum(1).clamp(min=1)
            if not means.requires_grad:
                raise ValueError("loss must depend on params, got one that does not")
            grads = torch.autograd.grad(means.sum(), leaves, materialize_grads=True)
        before = [] if present is None else [w.detach().clone() for w in (*leaves, *velocity)]
        with torch.no_grad():
            descend_(leaves, grads, velocity, lr=lr, momentum=momentum, decays=decays)
        if present is not None:
            for w, kept in zip((*leaves, *velocity), before, strict=True):
                goes_on = present[:, 0].reshape(k, *[1] * (w.dim() - 1))  # else no row was left: the fold waits
                w.data.copy_(torch.where(goes_on, w.data, kept))
    with torch.no_grad():  # what is returned does not know how it was trained
        errors = [
            fold_errors(loss, structure.unflatten([w[j] for w in leaves]), x, y, *fold) for j, fold in enumerate(folds)
        ]
    return CrossValidation(*map(torch.stack, zip(*errors, strict=True)))


def _take(x: Tensor, rows: Tensor) -> Tensor:
    """Return the rows of each fold; selecting them in one run is faster than indexing by a matrix."""
    return take(x, rows.flatten()).reshape(*rows.shape, *x.shape[1:])


def _batches(
    folds: list[Tensor], epochs: int, batch_size: int, generator: Generator | None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield for each step a batch of every fold, and which of its rows are there; None if all are."""
    sizes = [len(train) for train in folds]
    longest = max(sizes)
    source = Generator().manual_seed(int(torch.randint(2**62, ()))) if generator is None else generator
    copies = {size: Generator(source.device).set_state(source.get_state()) for size in sizes}
    there = torch.arange(longest) < torch.tensor(sizes)[:, None]
    masks = [None if bool(mask.all()) else mask for mask in split(there, batch_size, 1)]
    for _ in range(epochs):
        drawn = {n: torch.randperm(n, generator=copy, device=copy.device) for n, copy in copies.items()}
        orders = [train[drawn[len(train)]] for train in folds]
        filled = torch.stack([torch.cat([order, order[: longest - len(order)]]) for order in orders])
        yield from zip(split(filled, batch_size, 1), masks, strict=True)
    source.set_state(copies[longest].get_state())
