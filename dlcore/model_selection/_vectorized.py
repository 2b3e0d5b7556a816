"""Cross-validation of a model trained by gradient descent, with all folds trained at once."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Shaped
from torch import Generator, Tensor

from dlcore._checks import check_count, check_losses, check_nonnegative, check_number, number_of_rows
from dlcore._descent import decay_of_leaves, descend_
from dlcore._shards import take_rows
from dlcore._torch import PyTree, split
from dlcore._trees import floating_leaves

from ._folds import CrossValidation, fold_errors, k_fold

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
    r"""Return the training and the validation error of each fold; gradient descent trains all folds at once.

    .. math::

        \mathbf{w}_j \leftarrow \mathbf{w}_j - \eta\,\partial_{\mathbf{w}_j} \sum_{i} \frac{m_{ji}}{\sum_{i'} m_{ji'}}\,
            l(\mathbf{w}_j, \mathbf{x}_{ji}, y_{ji}), \qquad j = 1, \dots, k

    where the mask :math:`m_{ji}` is 1 for each row :math:`i` in the batch of fold :math:`j`, and 0 for padding: if k
    does not divide n, the folds differ by one row, and a fold that has used all its rows waits for the others. Each
    fold is therefore trained as :func:`dlcore.training.fit` trains it alone, with a copy of ``generator`` made after
    the assignment to folds; ``loss`` is called through :func:`torch.vmap` on k batches at once. The errors of a fold
    that diverges are infinite or NaN. The result has no gradient.

    Parameters
    ----------
    loss : callable
        Maps parameters, inputs and targets to one loss per example, shape (rows,).
    params : Tensor, or nested sequences and mappings of Tensor
        The initial parameters of every fold.
    x : Tensor, shape (n, ...)
        The inputs.
    y : Tensor, shape (n, ...)
        The targets.
    k : int, in [2, n]
        The number of folds.
    epochs : int, at least 0
        The number of passes over the training rows of a fold.
    batch_size : int, at least 1
        The number of examples in a batch of a fold.
    lr : float, at least 0
        The learning rate :math:`\eta`.
    momentum : float, in [0, 1), default 0.0
        The momentum :math:`\mu`, as in :func:`dlcore.optim.momentum_step`.
    weight_decay : float, or floats in the structure of ``params``, at least 0, default 0.0
        The weight decay; a structure has one value for each parameter.
    shuffle : bool, default False
        Whether rows are assigned to folds at random. The batches of an epoch are always drawn at random.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    CrossValidation
        Both errors of each fold, with their mean and standard error.

    Raises
    ------
    TypeError
        If a parameter or the result of ``loss`` is not a real floating-point tensor.
    TypeError
        If ``k``, ``epochs`` or ``batch_size`` is not an integer, or ``lr``, ``momentum`` or ``weight_decay`` is not a
        real number.
    ValueError
        If a number is out of its range, or ``weight_decay`` does not have the structure of ``params``.
    ValueError
        If ``x`` or ``y`` has no dimension, or they differ in their number of rows.
    ValueError
        If ``loss`` does not return one value per example, or its values do not depend on ``params``.

    See Also
    --------
    cross_validate : The same for any model, one fold after another.
    torch.vmap : Evaluates the losses of all folds in one call.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section
       7.10.

    Examples
    --------
    The parameter converges to the mean of the targets, here in one step:

    >>> y = torch.tensor([0.0, 2.0, 4.0, 10.0])
    >>> def loss(w, x, y):
    ...     return (w - y) ** 2 / 2
    >>> result = cross_validate_vectorized(loss, torch.tensor(0.0), y, y, k=2, epochs=1, batch_size=2, lr=1.0)
    >>> result.validation_errors, result.train_errors
    (tensor([18.5000, 22.5000]), tensor([4.5000, 0.5000]))
    """
    initial, structure = floating_leaves("params", params)
    check_count("epochs", epochs, 0)
    check_count("batch_size", batch_size, 1)
    check_nonnegative("lr", lr)
    check_number("momentum", momentum, "in [0, 1)", lambda momentum: 0 <= momentum < 1)
    decays = decay_of_leaves(initial, structure, weight_decay)
    folds = list(k_fold(number_of_rows(x=x, y=y), k, shuffle=shuffle, generator=generator))
    k, epochs, batch_size = int(k), int(epochs), int(batch_size)  # NumPy's integers too

    leaves = [w.detach().expand(k, *w.shape).clone().requires_grad_() for w in initial]
    tree, velocity = structure.unflatten(leaves), [torch.zeros_like(w) for w in leaves] if momentum else []
    losses_of_folds = torch.vmap(loss, randomness="different")
    for index, mask in _batches([train for train, _ in folds], epochs, batch_size, generator):
        with torch.enable_grad():
            losses = losses_of_folds(tree, _batch_rows(x, index), _batch_rows(y, index))
            check_losses(losses, *index.shape)
            means = losses.mean(1)
            if mask is not None:
                mask = mask.to(x.device)  # noqa: PLW2901  # from the device of the generator
                means = torch.where(mask, losses, 0).sum(1) / mask.sum(1).clamp(min=1)
            if not means.requires_grad:
                raise ValueError("loss must depend on params, got one that does not")
            grads = torch.autograd.grad(means.sum(), leaves, materialize_grads=True)
        before = [] if mask is None else [w.detach().clone() for w in (*leaves, *velocity)]
        with torch.no_grad():
            descend_(leaves, grads, velocity, lr=lr, momentum=momentum, decays=decays)
        if mask is not None:
            for w, w_before in zip((*leaves, *velocity), before, strict=True):
                has_rows = mask[:, 0].reshape(k, *[1] * (w.dim() - 1))  # a fold without rows left keeps its state
                w.data.copy_(torch.where(has_rows, w.data, w_before))
    with torch.no_grad():  # the result has no gradient
        errors = [
            fold_errors(loss, structure.unflatten([w[j] for w in leaves]), x, y, *fold) for j, fold in enumerate(folds)
        ]
    return CrossValidation(*map(torch.stack, zip(*errors, strict=True)))


def _batch_rows(x: Tensor, index: Tensor) -> Tensor:
    """Return the rows of the batch of each fold; one selection is faster than indexing by a matrix."""
    return take_rows(x, index.flatten()).reshape(*index.shape, *x.shape[1:])


def _batches(
    folds: list[Tensor], epochs: int, batch_size: int, generator: Generator | None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield for each step the row indices of every fold's batch, and a mask that is False for padding, or None.

    The generator is copied for each number of training rows, so that a fold draws the batches it would draw alone.
    """
    sizes = [len(train) for train in folds]
    longest = max(sizes)
    source = Generator().manual_seed(int(torch.randint(2**62, ()))) if generator is None else generator
    copies = {size: Generator(source.device).set_state(source.get_state()) for size in sizes}
    is_row = torch.arange(longest) < torch.tensor(sizes)[:, None]
    masks = [None if bool(mask.all()) else mask for mask in split(is_row, batch_size, 1)]
    for _ in range(epochs):
        permutations = {n: torch.randperm(n, generator=copy, device=copy.device) for n, copy in copies.items()}
        shuffled = [train[permutations[len(train)]] for train in folds]
        padded = torch.stack([torch.cat([index, index[: longest - len(index)]]) for index in shuffled])
        yield from zip(split(padded, batch_size, 1), masks, strict=True)
    source.set_state(copies[longest].get_state())
