r"""How does a model learn from examples, a few at a time?

Minibatch stochastic gradient descent over any loss that returns one value per example, with what a real run needs: a
weight for each example, data to validate on, a progress bar, a record of the errors, a stop where the loss is no longer
a number, and a state from which the run goes on as if it had never stopped.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor

from . import optim
from ._checks import check_count, check_losses, check_number, check_weights, number_of_rows
from ._descent import decay_of_leaves, descend_
from ._numerics import upcast
from ._torch import PyTree, TreeSpec, foreach_copy_
from ._trees import floating_leaves
from .batches import minibatches

__all__ = ["DivergenceError", "History", "fit"]

FEW = 4096  # losses that one product may sum without losing digits
Rows = Shaped[Any, "_ ..."] | Sequence[Shaped[Any, "_ ..."]]


@dataclass(frozen=True, eq=False)
class History:
    """What a run of training has learned, and how: ``plt.plot(history.train_loss)`` shows it.

    Parameters
    ----------
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters after the last step.
    state : dict
        All that the run needs to go on, in plain containers of numbers and tensors: :func:`torch.save` writes it, and
        :func:`torch.load` reads it back.

    Examples
    --------
    >>> history = fit(lambda w, x: (w - x) ** 2, torch.tensor(2.0), torch.zeros(4), epochs=3, batch_size=4, lr=0.25)
    >>> history.train_loss
    [4.0, 1.0, 0.25]
    """

    params: PyTree
    state: dict[str, Any]

    @property
    def train_loss(self) -> list[float]:
        """For each epoch the mean loss on the training rows, each at the parameters that met it, in its course."""
        return self.state["train_loss"]

    @property
    def validation_loss(self) -> list[float]:
        """For each epoch with validation data the mean loss on them at its end."""
        return self.state["validation_loss"]


class DivergenceError(FloatingPointError):
    """Training came to a loss that is not finite.

    Parameters
    ----------
    what : str
        What is not finite.
    value : float
        What it is instead.
    epoch : int
        The epoch, counted from 0.
    batch : int
        The batch in the epoch, counted from 0.
    history : History
        The epochs before, and the last good parameters: the latest at which the loss of a batch was finite. Its state
        resumes there, without velocity, at the start of the epoch that failed.

    Examples
    --------
    >>> try:
    ...     fit(lambda w, x: (w - x) ** 2, torch.tensor(0.0), torch.ones(4), epochs=99, batch_size=4, lr=1e9)
    ... except DivergenceError as error:
    ...     print(error)
    ...     print(error.history.params.isfinite())
    loss must be finite, got inf at epoch 3, batch 0
    tensor(True)
    """

    def __init__(self, what: str, value: float, epoch: int, batch: int, history: History) -> None:
        super().__init__(what, value, epoch, batch, history)
        self.epoch = epoch
        self.batch = batch
        self.history = history

    def __str__(self) -> str:
        """Say what is not finite, and where."""
        what, value, epoch, batch, _ = self.args
        return f"{what} must be finite, got {value} at epoch {epoch}, batch {batch}"


def fit(
    loss: Callable[..., Tensor],
    params: PyTree,
    data: Rows,
    *,
    epochs: int,
    batch_size: int,
    lr: float | Callable[[int], float],
    momentum: float = 0.0,
    weight_decay: PyTree = 0.0,
    weights: Float[Tensor, "n"] | None = None,
    validation: Rows | None = None,
    shuffle: bool = True,
    progress: bool | None = None,
    resume: Mapping[str, Any] | None = None,
    generator: Generator | None = None,
) -> History:
    r"""Return the parameters that minibatch stochastic gradient descent finds, and the record of its losses.

    .. math::

        \mathbf{g} = \partial_{\mathbf{w}} \frac{1}{|\mathcal{B}|} \sum_{i\in\mathcal{B}} \beta_i\,l^{(i)}(\mathbf{w}),
        \qquad
        \mathbf{v} \leftarrow \mu\mathbf{v} + \mathbf{g} + \lambda\mathbf{w}, \qquad
        \mathbf{w} \leftarrow \mathbf{w} - \eta\mathbf{v}

    for each batch :math:`\mathcal{B}` of :func:`~dlcore.batches.minibatches`, where :math:`l^{(i)}` is the loss and
    :math:`\beta_i` the weight of example :math:`i`. A mean divides by the length of its own batch, also of a short
    last one. Nothing that is given is changed.

    A run of 4 epochs whose state resumes for 6 more ends, to the bit, where a run of 10 ends, provided that both draw
    their batches from a generator.

    Parameters
    ----------
    loss : callable
        Maps parameters and a batch, ``loss(params, *rows)``, to one loss per example, shape (rows,).
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters :math:`\mathbf{w}` to start from.
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
        The share :math:`\mu` of the velocity that stays.
    weight_decay : float, or floats in the structure of ``params``, at least 0, default 0.0
        The weight decay :math:`\lambda`; a structure gives each parameter its own, such as 0 to the biases.
    weights : Tensor, shape (n,), at least 0, optional
        The importance weights :math:`\beta`; 1 by default.
    validation : Tensor or numpy.ndarray, shape (m, ...), or a sequence of them, optional
        Data to measure the loss on, all at once, after each epoch.
    shuffle : bool, default True
        Draw the order of the rows anew in each epoch.
    progress : bool, optional
        Show a progress bar; by default where standard error is a terminal.
    resume : dict, optional
        The ``state`` of the :class:`History` to continue. It holds the parameters and the generator's state, too, and
        takes the place of both.
    generator : torch.Generator, optional
        What the order is drawn from; then the global random state is left alone.

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
        If a number is out of its range, or ``weight_decay`` has not the structure of ``params``.
    ValueError
        If the data have no rows, or differ in their number of rows.
    ValueError
        If a weight is negative, infinite or NaN.
    ValueError
        If ``loss`` does not return one value per example, or one that does not depend on ``params``.
    ValueError
        If ``resume`` belongs to other parameters, or to a run with a generator where none is given.
    DivergenceError
        If the loss of a batch is infinite or NaN, or the last step leaves a parameter so.

    See Also
    --------
    dlcore.optim.momentum_step : One step, as a pure function.
    torch.optim.SGD : The same step in place, for a loop of one's own.

    References
    ----------
    .. [1] L. Bottou, F. E. Curtis and J. Nocedal, "Optimization methods for large-scale machine learning", *SIAM
       Review* 60(2), 2018.

    Examples
    --------
    Half the squared distance is least at the mean of the data, 3, which a full batch halves the way to:

    >>> data = torch.tensor([1.0, 2.0, 6.0])
    >>> history = fit(lambda w, x: (w - x) ** 2 / 2, torch.tensor(0.0), data, epochs=3, batch_size=3, lr=0.5)
    >>> history.params
    tensor(2.6250)

    A weight counts an example as often as it says:

    >>> counts = torch.tensor([2.0, 1.0, 0.0])
    >>> fit(lambda w, x: w * x, torch.tensor(0.0), data, weights=counts, epochs=1, batch_size=3, lr=0.75).params
    tensor(-1.)
    """
    given, structure = floating_leaves("params", params)
    check_count("epochs", epochs, 0)
    check_count("batch_size", batch_size, 1)
    # a step refuses what it cannot take, and a schedule is asked when it is its turn
    optim.sgd_step(params, params, lr=0.0 if callable(lr) else lr, weight_decay=weight_decay)
    check_number("momentum", momentum, "in [0, 1)", lambda momentum: 0 <= momentum < 1)
    decays = decay_of_leaves(structure, weight_decay)
    columns = _columns("data", data)
    held_out = None if validation is None else _columns("validation", validation)
    n = len(columns[0])
    if weights is not None:
        check_weights("weights", weights, n=n)
        columns.append(weights)
    state = _start(given) if resume is None else _resumed(resume, given, generator)

    run = _Run(structure, state, momentum=momentum, decays=decays)
    with _progress_bar(epochs * math.ceil(n / batch_size), progress) as bar, torch.enable_grad():
        for epoch in range(len(run.train_loss), len(run.train_loss) + epochs):
            drawn, total, batch = _state_of(generator), 0.0, 0
            batches = minibatches(*columns, batch_size=batch_size, shuffle=shuffle, generator=generator)
            for batch, rows in enumerate(batches):
                losses = _losses(loss, run.params, rows if weights is None else rows[:-1])
                rate = lr(run.step) if callable(lr) else lr
                mean = run.learn(losses, None if weights is None else rows[-1], rate)
                if not math.isfinite(mean):
                    raise DivergenceError("loss", mean, epoch, batch, run.history(drawn, diverged=True))
                total += mean * losses.size(0)
                bar.update()
            if (lost := run.lost()) is not None:
                raise DivergenceError("params", lost, epoch, batch, run.history(drawn, diverged=True))
            run.train_loss.append(total / n)
            if held_out is not None:
                with torch.no_grad():
                    run.validation_loss.append(_losses(loss, run.params, held_out).mean().item())
            bar.set_postfix(loss=run.train_loss[-1])
    return run.history(_state_of(generator))


class _Run:
    """A run under way: parameters that are its own, and what its history will tell."""

    def __init__(self, structure: TreeSpec, state: Mapping[str, Any], *, momentum: float, decays: list[float]) -> None:
        self.structure, self.momentum, self.decays = structure, momentum, decays
        self.leaves = [x.detach().clone().requires_grad_() for x in state["params"]]
        self.params = structure.unflatten(self.leaves)
        self.values = [x.detach() for x in self.leaves]  # the same numbers, of which autograd takes no notice
        self.good = [x.clone() for x in self.values]
        self.velocity = [x.clone() for x in state["velocity"] or map(torch.zeros_like, self.good)] if momentum else []
        self.step: int = state["step"]
        self.train_loss: list[float] = [*state["train_loss"]]
        self.validation_loss: list[float] = [*state["validation_loss"]]
        self.share = torch.empty(0)  # what an example of a batch adds to its mean

    def learn(self, losses: Tensor, weights: Tensor | None, lr: float) -> float:
        """Take the step that a batch asks for, unless its mean loss is not finite, and return that mean."""
        if not losses.requires_grad:
            raise ValueError("loss must depend on params, got one that does not")
        mean = self.mean(upcast(losses), weights)
        value = mean.item()
        if math.isfinite(value):
            found = cast("tuple[Tensor | None, ...]", torch.autograd.grad(mean, self.leaves, allow_unused=True))
            grads = [torch.zeros_like(w) if g is None else g for w, g in zip(self.values, found, strict=True)]
            foreach_copy_(self.good, self.values)
            descend_(self.values, grads, self.velocity, lr=lr, momentum=self.momentum, decays=self.decays)
            self.step += 1
        return value

    def mean(self, losses: Tensor, weights: Tensor | None) -> Tensor:
        """Return the mean loss of a batch; of a small one as a product, which takes the least time."""
        count = losses.size(0)
        if count > FEW:
            return (losses if weights is None else losses * weights).mean()
        if weights is not None:
            return torch.dot(losses, (weights / count).to(losses.dtype))
        if self.share.size(0) != count or self.share.dtype != losses.dtype:
            self.share = torch.full_like(losses, 1 / count, requires_grad=False)
        return torch.dot(losses, self.share)

    def lost(self) -> float | None:
        """Return a value that is not finite since the last step, or None; no loss has come after it that would tell."""
        for before, after in zip(self.good, self.values, strict=True):
            lost = after[before.isfinite() & ~after.isfinite()]
            if len(lost):
                return lost[0].item()
        return None

    def history(self, drawn: Tensor | None, *, diverged: bool = False) -> History:
        """Return what is known so far; of a run that has diverged, with its last good parameters at rest."""
        params = self.good if diverged else self.values
        velocity = [] if diverged else self.velocity
        state = (params, velocity, self.step, drawn, self.train_loss, self.validation_loss)
        return History(self.structure.unflatten(params), dict(zip(_STATE, state, strict=True)))


_STATE = ("params", "velocity", "step", "generator", "train_loss", "validation_loss")


def _start(params: list[Tensor]) -> dict[str, Any]:
    """Return the state of a run that has not begun."""
    return dict(zip(_STATE, (params, [], 0, None, [], []), strict=True))


def _resumed(state: Mapping[str, Any], params: list[Tensor], generator: Generator | None) -> Mapping[str, Any]:
    """Return the state of the run to continue, and set the generator to where it stopped."""
    if missing := [name for name in _STATE if name not in state]:
        raise ValueError(f"resume must be the state of a History, got one without {missing}")
    expected, got = ([tuple(x.shape) for x in leaves] for leaves in (params, state["params"]))
    if got != expected:
        raise ValueError(f"resume must hold parameters with the shapes of params, {expected}, got {got}")
    if state["generator"] is not None:
        if generator is None:
            raise ValueError("generator must be given to resume a run that had one, got None")
        generator.set_state(state["generator"].cpu())
    return state


def _state_of(generator: Generator | None) -> Tensor | None:
    return None if generator is None else generator.get_state()


def _columns(name: str, data: Rows) -> list[Tensor]:
    """Return the data as tensors, which must have one number of rows, and at least one."""
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
