"""Minibatch stochastic gradient descent."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from dlcore._checks import (
    check_count,
    check_losses,
    check_nonnegative,
    check_number,
    check_weights,
    number_of_rows,
)
from dlcore._descent import decay_of_leaves
from dlcore._torch import PyTree
from dlcore._trees import floating_leaves
from dlcore.batches import minibatches

from ._history import DivergenceError, History, initial_state, resumed_state
from ._run import Run

__all__ = ["fit"]

Data = Shaped[Any, "_ ..."] | Sequence[Shaped[Any, "_ ..."]]


def fit(
    loss: Callable[..., Tensor],
    params: PyTree,
    data: Data,
    *,
    epochs: int,
    batch_size: int,
    lr: float | Callable[[int], float],
    momentum: float = 0.0,
    weight_decay: PyTree = 0.0,
    weights: Float[Tensor, "n"] | None = None,
    validation: Data | None = None,
    shuffle: bool = True,
    progress: bool | None = None,
    resume: Mapping[str, Any] | History | None = None,
    generator: Generator | None = None,
) -> History:
    r"""Return the parameters that minibatch stochastic gradient descent finds, and the record of its losses.

    .. math::

        \mathbf{g} = \partial_{\mathbf{w}} \frac{1}{|\mathcal{B}|} \sum_{i\in\mathcal{B}} \beta_i\,l^{(i)}(\mathbf{w}),
        \qquad
        \mathbf{v} \leftarrow \mu\mathbf{v} + \mathbf{g} + \lambda\mathbf{w}, \qquad
        \mathbf{w} \leftarrow \mathbf{w} - \eta\mathbf{v}

    for each batch :math:`\mathcal{B}` of :func:`~dlcore.batches.minibatches`, where :math:`l^{(i)}` is the loss and
    :math:`\beta_i` the weight of example :math:`i`. The mean divides by the length of its own batch, also if the last
    one is short. No argument is changed, except that ``generator`` advances.

    If the batches are drawn from a generator, a run of 4 epochs that resumes for 6 more gives the parameters of a run
    of 10 epochs, to the bit.

    Parameters
    ----------
    loss : callable
        Maps parameters and a batch, ``loss(params, *rows)``, to one loss per example, shape (rows,).
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters :math:`\mathbf{w}` to start from. If some of them require a gradient, those that do not are
        frozen; a tensor that occurs twice is one parameter, with the weight decay of its first place.
    data : Tensor or numpy.ndarray, shape (n, ...), or a sequence of them
        The training data: row i of each of them belongs to example i.
    epochs : int, at least 0
        How many times to go over the data; with ``resume``, how many times more.
    batch_size : int, at least 1
        How many examples a batch holds.
    lr : float, at least 0, or callable
        The learning rate :math:`\eta`, or a schedule such as :func:`~dlcore.optim.cosine_schedule`, which maps the
        number of steps taken before to the rate.
    momentum : float, in [0, 1), default 0.0
        The fraction :math:`\mu` of the velocity that is kept.
    weight_decay : float, or floats in the structure of ``params``, at least 0, default 0.0
        The weight decay :math:`\lambda`; a structure gives each parameter its own, such as 0 to the biases.
    weights : Tensor, shape (n,), at least 0, optional
        The importance weights :math:`\beta`; 1 by default. The loss is not computed for examples of weight 0, which
        still count in the length of their batch.
    validation : Tensor or numpy.ndarray, shape (m, ...), or a sequence of them, optional
        Data to measure the loss on, all at once, after each epoch.
    shuffle : bool, default True
        Draw the order of the rows anew in each epoch.
    progress : bool, optional
        Show a progress bar; by default where standard error is a terminal.
    resume : History or dict, optional
        The :class:`History` to continue, or its ``state``. Its parameters and its generator state replace those given.
    generator : torch.Generator, optional
        The source of the order; with it, the global random state is left alone.

    Returns
    -------
    History
        The parameters, the losses of each epoch, and the state to resume from.

    Raises
    ------
    TypeError
        If a parameter, ``weights`` or the result of ``loss`` is not a real floating-point tensor.
    TypeError
        If ``epochs`` or ``batch_size`` is not an integer, or ``lr``, ``momentum`` or ``weight_decay`` no real number.
    ValueError
        If a number is out of its range, also one that a schedule returns.
    ValueError
        If ``weight_decay`` does not have the structure of ``params``.
    ValueError
        If the data have no rows, or differ in their number of rows.
    ValueError
        If a weight is negative, infinite or NaN.
    ValueError
        If ``loss`` does not return one value per example, or one that does not depend on ``params``.
    TypeError
        If ``data`` or ``validation`` is a mapping, a data set or a data loader.
    ValueError
        If ``resume`` belongs to other parameters, or to a run with a generator where none is given.
    DivergenceError
        If the loss of a batch is infinite or NaN, or the last step leaves a parameter so.

    See Also
    --------
    dlcore.optim.momentum_step : One step, as a pure function.
    torch.optim.SGD : The same step in place, for a training loop written by hand.

    References
    ----------
    .. [1] L. Bottou, F. E. Curtis and J. Nocedal, "Optimization methods for large-scale machine learning", *SIAM
       Review* 60(2), 2018.

    Examples
    --------
    Half the squared distance is least at the mean of the data, 3; each full-batch step halves the distance to it:

    >>> data = torch.tensor([1.0, 2.0, 6.0])
    >>> history = fit(lambda w, x: (w - x) ** 2 / 2, torch.tensor(0.0), data, epochs=3, batch_size=3, lr=0.5)
    >>> history.params
    tensor(2.6250)

    A weight of 2 counts an example twice, and a weight of 0 not at all:

    >>> counts = torch.tensor([2.0, 1.0, 0.0])
    >>> fit(lambda w, x: w * x, torch.tensor(0.0), data, weights=counts, epochs=1, batch_size=3, lr=0.75).params
    tensor(-1.)
    """
    leaves, structure = floating_leaves("params", params)
    check_count("epochs", epochs, 0)
    check_count("batch_size", batch_size, 1)
    epochs, batch_size = int(epochs), int(batch_size)
    if not callable(lr):  # a schedule's rates are numbers only when it is called
        check_nonnegative("lr", lr)
    check_number("momentum", momentum, "in [0, 1)", lambda momentum: 0 <= momentum < 1)
    decays = decay_of_leaves(structure, weight_decay)
    columns = _columns("data", data)
    validation_columns = None if validation is None else _columns("validation", validation)
    n = len(columns[0])
    has_absent_rows = False
    if weights is not None:
        check_weights("weights", weights, n=n)
        columns.append(weights)
        has_absent_rows = not bool(weights.all())
    if isinstance(resume, History):
        resume = resume.state
    state = initial_state(leaves) if resume is None else resumed_state(resume, leaves, generator)

    run = Run(structure, leaves, state, momentum=momentum, decays=decays)
    with _progress_bar(epochs * math.ceil(n / batch_size), progress) as bar, torch.enable_grad():
        for epoch in range(len(run.train_loss), len(run.train_loss) + epochs):
            epoch_start, total, batch = _state_of(generator), 0.0, 0
            batches = minibatches(*columns, batch_size=batch_size, shuffle=shuffle, generator=generator)
            for batch, rows in enumerate(batches):
                count = len(rows[0])
                if has_absent_rows:  # of weight 0, for which the loss may be infinite or NaN
                    rows = [x[rows[-1] > 0] for x in rows]  # noqa: PLW2901
                rows, beta = (rows, None) if weights is None else (rows[:-1], rows[-1])  # noqa: PLW2901
                rate = _rate(lr, run.step)
                mean = run.learn(_losses(loss, run.params, rows), beta, rate, count=count)
                if not math.isfinite(mean):
                    raise DivergenceError("loss", mean, epoch, batch, run.history_before_divergence(epoch_start))
                total += mean * count
                bar.update()
            if (value := run.nonfinite_value()) is not None:
                raise DivergenceError("params", value, epoch, batch, run.history_before_divergence(epoch_start))
            run.train_loss.append(total / n)
            if validation_columns is not None:
                with torch.no_grad():
                    run.validation_loss.append(_losses(loss, run.params, validation_columns).mean().item())
            bar.set_postfix(loss=run.train_loss[-1])
    return run.history(_state_of(generator))


def _rate(lr: float | Callable[[int], float], step: int) -> float:
    """Return the learning rate of a step, at least 0; a schedule is called for it."""
    if not callable(lr):
        return lr
    rate = lr(step)
    check_nonnegative(f"lr({step})", rate)
    return rate


def _state_of(generator: Generator | None) -> Tensor | None:
    return None if generator is None else generator.get_state()


def _columns(name: str, data: Data) -> list[Tensor]:
    """Return the data as tensors, which must have one number of rows, and at least one."""
    if isinstance(data, Mapping | DataLoader | Dataset):
        cure = "tuple(data.values())" if isinstance(data, Mapping) else "the tensors of the data set, such as (x, y)"
        kind = type(cast("object", data)).__name__
        raise TypeError(f"{name} must be a tensor, an array or a sequence of them, got {kind}; pass {cure}")
    parts = cast("Sequence[Any]", data if isinstance(data, tuple | list) else [data])
    columns = [torch.as_tensor(x) for x in parts]
    if number_of_rows(**{f"{name}[{place}]": x for place, x in enumerate(columns)}) == 0:
        raise ValueError(f"{name} must have a row, got none")
    return columns


def _losses(loss: Callable[..., Tensor], params: PyTree, rows: Sequence[Tensor]) -> Tensor:
    losses = loss(params, *rows)
    check_losses(losses, len(rows[0]))
    return losses


def _progress_bar(n_batches: int, progress: bool | None) -> Any:  # noqa: ANN401  # tqdm has no types
    """Return a bar that counts batches, or one that stays silent."""
    from tqdm import tqdm  # noqa: PLC0415  # not before it is needed: importing the library stays fast

    return tqdm(total=n_batches, unit="batch", disable=None if progress is None else not progress)
