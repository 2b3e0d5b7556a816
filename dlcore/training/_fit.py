"""Minibatch stochastic gradient descent on pure parameters: epoch by epoch, and to the end."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the examples look it up here
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_count, check_number
from dlcore._descent import decay_of_leaves
from dlcore._torch import PyTree
from dlcore._trees import floating_leaves

from ._data import processes_of, training_batches, validation_batches
from ._history import History, initial_state, resumed_state
from ._loop import Rate, check_rate, state_of, train
from ._run import Run, Step

__all__ = ["epochs", "fit"]


class Epochs(Iterator[History]):
    """An iterator that trains for one epoch at a time, and returns the history up to its end."""

    def __init__(self, run: Run, passes: Iterator[int], generator: Generator | None) -> None:
        self.run, self.passes, self.generator = run, passes, generator

    def __next__(self) -> History:
        """Train for an epoch."""
        next(self.passes)
        return self.history()

    def history(self) -> History:
        """Return the history up to the last step."""
        return self.run.history(state_of(self.generator))


def fit(
    loss: Callable[..., Tensor],
    params: PyTree,
    data: Any,  # noqa: ANN401
    *,
    epochs: int,
    batch_size: int | None = None,
    lr: Rate,
    momentum: float = 0.0,
    weight_decay: PyTree = 0.0,
    step: Step | None = None,
    weights: Float[Tensor, "n"] | None = None,
    validation: Any = None,  # noqa: ANN401
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
    :math:`\beta_i` the weight of example :math:`i`. The mean over a batch divides by the length of that batch, even if
    the last one is short. No argument is changed, except that ``generator`` advances.

    With a generator, a run of 4 epochs that resumes for 6 more gives the parameters of a run of 10 epochs, to the bit.
    Random numbers that the loss draws from torch's global generator, as dropout does, are then determined by the given
    generator, too. A ``KeyboardInterrupt`` is raised again, with an attribute ``history`` that holds the completed
    epochs.

    If the rows are sharded over processes, each process computes the losses of its own rows of each batch, and the
    processes exchange the sums of the losses and gradients once a step. The batches, the parameters and the record are
    those of one process; only what the loss draws, such as masks, differs. The loss gets the local rows as plain
    tensors, and is not called where a process holds none. A state resumes on any number of processes. An error in one
    process ends the run in all; the others raise a ``RuntimeError`` with it.

    Parameters
    ----------
    loss : callable
        Maps parameters and a batch, ``loss(params, *rows)``, to one loss per example, shape (rows,). If it has a
        parameter ``training``, it gets True on the training data and False on the validation data.
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters :math:`\mathbf{w}` to start from. If some of them require a gradient, those that do not are
        frozen; a tensor that occurs twice is one parameter, with the weight decay of its first place.
    data : Tensor or numpy.ndarray, shape (n, ...), nested sequences and mappings of them, Dataset, or DataLoader
        The training data: row i of each tensor belongs to example i. The loss gets the parts of a sequence as separate
        arguments, and a mapping as one argument. Tensors may be sharded, see :func:`~dlcore.batches.shard_rows`. The
        batches of a :class:`torch.utils.data.DataLoader` are used unchanged; the state of its own generator is not
        saved. All batches are moved to the device of the parameters.
    epochs : int, at least 0
        The number of passes over the data; with ``resume``, the number of further passes.
    batch_size : int, at least 1, or None
        The number of examples in a batch; None for a data loader, which has its own batches.
    lr : float, at least 0, or callable
        The learning rate :math:`\eta`, or a schedule such as :func:`~dlcore.optim.cosine_schedule`, which maps the
        number of steps taken before to the rate.
    momentum : float, in [0, 1), default 0.0
        The fraction :math:`\mu` of the velocity that is kept.
    weight_decay : float, or floats in the structure of ``params``, at least 0, default 0.0
        The weight decay :math:`\lambda`; a structure gives each parameter its own, such as 0 for the biases.
    step : callable, optional
        A function that replaces the step above: ``step(params, grads, state, lr=lr)`` returns new parameters and a new
        state, and its first state is None. It can be :func:`~dlcore.optim.adam_step`, or your own function that clips
        the gradients or has a rate for each parameter.
    weights : Tensor, shape (n,), at least 0, optional
        The importance weights :math:`\beta`; 1 by default. The loss is not computed for examples of weight 0, which
        still count in the length of their batch.
    validation : as ``data``, optional
        Data to measure the loss on after each epoch, in batches.
    shuffle : bool, default True
        Draw a new order of the rows in each epoch, unless they come from a data loader.
    progress : bool, optional
        Show a progress bar; by default where the error stream is a terminal.
    resume : History or dict, optional
        The :class:`History` to continue, or its ``state``. Its parameters and its generator state replace those given.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    History
        The parameters, the losses of each epoch, and the state to resume from.

    Raises
    ------
    TypeError
        If a parameter, ``weights`` or the result of ``loss`` is not a real floating-point tensor.
    TypeError
        If ``epochs`` or ``batch_size`` is not an integer, or ``lr``, ``momentum`` or ``weight_decay`` is not a real
        number.
    ValueError
        If a number is out of its range, including one that a schedule returns.
    ValueError
        If ``weight_decay``, or what ``step`` returns, does not have the structure of ``params``.
    ValueError
        If ``step`` is given together with ``momentum`` or ``weight_decay``.
    TypeError
        If the data hold anything other than tensors and arrays, or cannot be indexed.
    ValueError
        If the data have no rows, or differ in their number of rows.
    ValueError
        If ``batch_size`` is given with a data loader, or ``weights`` with a data loader or a data set.
    ValueError
        If a weight is negative, infinite or NaN.
    ValueError
        If ``loss`` does not return one value per example, or one that does not depend on ``params``.
    ValueError
        If ``resume`` belongs to other parameters, or to a run with a generator where none is given.
    TypeError
        If the rows are sharded, and parameters, too, or if ``weights`` or ``validation`` are not.
    ValueError
        If the rows are sharded, and arguments, generators or parameters differ between processes.
    DivergenceError
        If the loss of a batch, or a parameter after the last step, is infinite or NaN.

    See Also
    --------
    epochs : The same, one epoch at a time.
    fit_ : Trains a module in place.
    dlcore.optim.momentum_step, dlcore.optim.adam_step : One step, as a pure function.
    torch.optim.SGD : The same step in place, for a training loop written by hand.

    References
    ----------
    .. [1] L. Bottou, F. E. Curtis and J. Nocedal, "Optimization methods for large-scale machine learning", *SIAM
       Review* 60(2), 2018.

    Examples
    --------
    Half the squared distance is smallest at the mean of the data, 3; each full-batch step halves the distance to it:

    >>> data = torch.tensor([1.0, 2.0, 6.0])
    >>> history = fit(lambda w, x: (w - x) ** 2 / 2, torch.tensor(0.0), data, epochs=3, batch_size=3, lr=0.5)
    >>> history.params
    tensor(2.6250)

    A weight of 2 counts an example twice, and a weight of 0 not at all:

    >>> counts = torch.tensor([2.0, 1.0, 0.0])
    >>> fit(lambda w, x: w * x, torch.tensor(0.0), data, weights=counts, epochs=1, batch_size=3, lr=0.75).params
    tensor(-1.)

    Clip the gradients before each step:

    >>> from dlcore import optim
    >>> def step(w, g, state, lr):
    ...     return optim.sgd_step(w, optim.clip_gradients(g, max_norm=1.0), lr=lr), state
    >>> fit(lambda w, x: w * x, torch.tensor(0.0), data, step=step, epochs=1, batch_size=3, lr=0.5).params
    tensor(-0.5000)
    """
    passes = _epochs(
        loss,
        params,
        data,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        step=step,
        weights=weights,
        validation=validation,
        shuffle=shuffle,
        progress=progress,
        resume=resume,
        generator=generator,
    )
    check_count("epochs", epochs, 0)
    history = passes.history()
    try:
        for history in passes:  # noqa: B007  # the last one counts
            pass
    except KeyboardInterrupt as stop:
        stop.history = history  # pyright: ignore[reportAttributeAccessIssue]
        raise
    return history


def epochs(
    loss: Callable[..., Tensor],
    params: PyTree,
    data: Any,  # noqa: ANN401
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: Rate,
    momentum: float = 0.0,
    weight_decay: PyTree = 0.0,
    step: Step | None = None,
    weights: Float[Tensor, "n"] | None = None,
    validation: Any = None,  # noqa: ANN401
    shuffle: bool = True,
    progress: bool | None = None,
    resume: Mapping[str, Any] | History | None = None,
    generator: Generator | None = None,
) -> Iterator[History]:
    r"""Return an iterator that trains for one epoch at a time and yields the history up to its end.

    .. math::

        \mathbf{w}_t = \operatorname{epoch}(\mathbf{w}_{t-1}), \qquad t = 1, 2, \dots

    where an epoch takes the steps of :func:`fit` over all batches once. Early stopping, keeping the best parameters, or
    a rate that follows the losses takes a line or two in the caller's loop. Each history has its own parameters, which
    later epochs do not change. If the loop is interrupted, its variable holds the last completed epoch.

    Parameters
    ----------
    loss, params, data : callable, parameters and data
        As for :func:`fit`.
    epochs : int, at least 0, optional
        The number of epochs; unlimited by default.
    batch_size, lr, momentum, weight_decay, step, weights, validation, shuffle, progress, resume, generator : optional
        As for :func:`fit`, with the same required arguments.

    Returns
    -------
    iterator of History
        The history after each epoch. Arguments are checked at the call; the first epoch begins with the first
        ``next``. A :class:`DivergenceError` ends the iterator as it ends :func:`fit`.

    Raises
    ------
    TypeError
        As for :func:`fit`.
    ValueError
        As for :func:`fit`.

    See Also
    --------
    fit : All epochs at once.
    torch.optim.lr_scheduler.ReduceLROnPlateau : A rate that follows the losses, as a class.

    References
    ----------
    .. [1] L. Prechelt, "Early stopping -- but when?", in *Neural Networks: Tricks of the Trade*, 1998.

    Examples
    --------
    Early stopping: end when the validation loss has not improved for two epochs, and keep the best parameters. The
    training data pull the parameter past 1, which is best for the validation data:

    >>> half_square = lambda w, x: (w - x) ** 2 / 2
    >>> start, data, options = torch.tensor(0.0), torch.full((2,), 2.0), {"batch_size": 2, "lr": 0.25}
    >>> for history in epochs(half_square, start, data, validation=torch.ones(1), **options):
    ...     if history.validation_loss[-1] == min(history.validation_loss):
    ...         best = history
    ...     if len(history.validation_loss) - len(best.validation_loss) == 2:
    ...         break
    >>> best.params, history.params
    (tensor(0.8750), tensor(1.3672))

    Anything can be measured while training, here the distance to the minimum:

    >>> [float(2 - history.params) for history in epochs(half_square, start, data, epochs=3, **options)]
    [1.5, 1.125, 0.84375]

    A rate that the loop changes; here it is halved while the loss is above the first:

    >>> rate = 3.0
    >>> for history in epochs(half_square, start, data, epochs=4, batch_size=2, lr=lambda step: rate):
    ...     if history.train_loss[-1] > history.train_loss[0]:
    ...         rate /= 2
    >>> rate, history.train_loss
    (0.375, [2.0, 8.0, 32.0, 8.0])
    """
    together = processes_of(
        data,
        validation,
        weights,
        loss=loss,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        step=step,
        shuffle=shuffle,
    )
    if epochs is not None:
        check_count("epochs", epochs, 0)
        epochs = int(epochs)
    leaves, structure = floating_leaves("params", params)
    together.check_plain("params", leaves)
    check_rate(lr)
    check_number("momentum", momentum, "in [0, 1)", lambda momentum: 0 <= momentum < 1)
    decays = decay_of_leaves(leaves, structure, weight_decay)
    if step is not None and (momentum or any(decays)):
        raise ValueError("momentum and weight_decay must be 0 with a step, which has its own: use functools.partial")
    state = initial_state(leaves)
    if resume is not None:
        state = resumed_state(resume, leaves, generator, momentum=momentum > 0)
    run = Run(structure, leaves, state, momentum=momentum, decays=decays, step=step, together=together)
    batches = training_batches(data, run.device, batch_size=batch_size, shuffle=shuffle, weights=weights)
    held_out = None if validation is None else validation_batches(validation, run.device, batch_size=batch_size)
    passes = train(run, loss, batches, held_out, epochs=epochs, lr=lr, progress=progress, generator=generator)
    return Epochs(run, passes, generator)


_epochs = cast("Callable[..., Epochs]", epochs)  # fit has a parameter of this name
