"""Training of a module in place, by an optimizer of torch."""

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from dlcore._checks import check_count, check_finite_in, check_number
from dlcore._torch import backward, foreach_copy_, foreach_mul_
from dlcore.optim import clip_gradients

from ._data import processes_of, training_batches, validation_batches
from ._history import STATE_NAMES, History, resumed_state
from ._loop import Rate, check_rate, state_of, train
from ._run import mean_and_factors, nonfinite_value
from ._together import Alone

__all__ = ["fit_"]

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def fit_(
    loss: Callable[..., Tensor],
    module: nn.Module,
    data: Any,  # noqa: ANN401
    *,
    epochs: int,
    batch_size: int | None = None,
    lr: Rate | None = None,
    optimizer: Optimizer | None = None,
    max_norm: float = math.inf,
    accumulate: int = 1,
    weights: Float[Tensor, "n"] | None = None,
    validation: Any = None,  # noqa: ANN401
    shuffle: bool = True,
    progress: bool | None = None,
    resume: Mapping[str, Any] | History | None = None,
    generator: Generator | None = None,
) -> History:
    r"""Train a module in place, and return its parameters and the record of its losses.

    .. math::

        \mathbf{g} = \partial_{\mathbf{w}} \frac{1}{|\mathcal{B}|} \sum_{i\in\mathcal{B}} \beta_i\,l^{(i)}(\mathbf{w}),
        \qquad
        \mathbf{w} \leftarrow \operatorname{step}\Bigl(\mathbf{w},\;
            \mathbf{g}\min\bigl(1, \tfrac{c}{\lVert\mathbf{g}\rVert}\bigr)\Bigr)

    where :math:`\mathbf{w}` are the parameters of the module that require a gradient, :math:`\mathcal{B}` is a batch,
    :math:`l^{(i)}` the loss and :math:`\beta_i` the weight of example :math:`i`, and the step is the optimizer's: that
    of stochastic gradient descent, :math:`\mathbf{w} - \eta\mathbf{g}`, by default. The module is in training mode
    during the steps and in evaluation mode for the validation data; afterwards each of its parts has the mode that it
    had. A module of :func:`torch.compile` is trained like any other, also under autocast. Autocast to bfloat16 needs
    nothing else. Autocast to float16 turns gradients below 6e-8 into 0, and this function does not scale the loss: call
    :class:`torch.amp.GradScaler` in a loop of your own.

    With a generator, a run of 4 epochs that resumes for 6 more gives the parameters of a run of 10 epochs, to the bit.
    The state also holds the buffers and the state of the optimizer. Random numbers that the module draws from torch's
    global generator, as dropout does, are determined by the given generator. After a ``KeyboardInterrupt`` the module
    keeps what it has learned, and the attribute ``history`` of the exception holds the record.

    Sharded rows are trained on as by :func:`fit`: each process has the module, with the same plain parameters, and the
    gradients are summed once a step. The module must treat each row alone, which batch normalization does not.

    Parameters
    ----------
    loss : callable
        Maps the module and a batch, ``loss(module, *rows)``, to one loss per example, shape (rows,). If it has a
        parameter ``training``, it gets True on the training data and False on the validation data.
    module : torch.nn.Module
        The module, which is changed.
    data : Tensor or numpy.ndarray, shape (n, ...), nested sequences and mappings of them, Dataset, or DataLoader
        The training data, as for :func:`fit`. They are moved to the device of the parameters, batch by batch.
    epochs : int, at least 0
        The number of passes over the data; with ``resume``, the number of further passes.
    batch_size : int, at least 1, or None
        The number of examples in a batch; None for a data loader, which has its own batches.
    lr : float, at least 0, or callable, optional
        The learning rate :math:`\eta` of all parameters, or a schedule, which maps the number of steps taken before to
        the rate; by default the rates of the optimizer, which can be one for each of its groups.
    optimizer : torch.optim.Optimizer, optional
        Any optimizer whose step needs no closure; ``torch.optim.SGD(module.parameters(), lr=lr)`` by default. Its
        groups give parameters their own weight decay.
    max_norm : float, at least 0, default inf
        The maximum :math:`c` of the norm of all gradients together; see :func:`~dlcore.optim.clip_gradients`.
    accumulate : int, at least 1, default 1
        The number of batches over which a step averages, as if they were one large batch, but with the memory of a
        single one.
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
        The :class:`History` to continue, or its ``state``, whose parameters, buffers, optimizer state and generator
        state replace those given; rates and other options remain those of the optimizer given.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    History
        A copy of the module's ``state_dict()``, the losses of each epoch, and the state to resume from.

    Raises
    ------
    TypeError
        If ``module`` is not a module, or the result of ``loss`` or ``weights`` not a real floating-point tensor.
    TypeError
        If ``epochs``, ``batch_size`` or ``accumulate`` is not an integer, or ``lr`` or ``max_norm`` is not a real
        number.
    ValueError
        If a number is out of its range, including one that a schedule returns.
    ValueError
        If neither ``lr`` nor ``optimizer`` is given, or ``optimizer`` holds no parameter of the module.
    ValueError
        If no parameter of the module requires a gradient.
    TypeError
        If the data hold anything other than tensors and arrays, or cannot be indexed.
    ValueError
        If the data have no rows, or differ in their number of rows.
    ValueError
        If ``batch_size`` is given with a data loader, or ``weights`` with a data loader or a data set.
    ValueError
        If a weight is negative, infinite or NaN.
    ValueError
        If ``loss`` does not return one value per example, or one that does not depend on the module.
    ValueError
        If ``resume`` belongs to another module, or to a run with a generator where none is given.
    TypeError
        If the rows are sharded, and parameters, too, or if ``weights`` or ``validation`` are not.
    ValueError
        If the rows are sharded, and the module normalizes batches or is in ``DistributedDataParallel``, or arguments,
        generators, parameters or buffers differ between processes.
    DivergenceError
        If the loss of a batch, or a parameter after the last step, is infinite or NaN. The module then has the last
        finite parameters, and the optimizer no state.

    See Also
    --------
    fit : The same for pure parameters, without a module.
    torch.optim.SGD : The step; the rest of the loop is left to the caller there.

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li and A. J. Smola, *Dive into Deep Learning*, 2023, section 3.5.

    Examples
    --------
    The line :math:`y = 2x` is found by a linear module:

    >>> from dlcore import losses
    >>> net = torch.nn.Linear(1, 1, bias=False)
    >>> x = torch.tensor([[1.0], [-1.0]])
    >>> squared_loss = lambda net, x, y: losses.squared_loss(net(x), y)[:, 0]
    >>> fit_(squared_loss, net, (x, 2 * x), epochs=1, batch_size=2, lr=1.0).params
    {'weight': tensor([[2.]])}

    Weight decay for the weights and not for the biases, by the groups of the optimizer, and early stopping: each call
    resumes for one more epoch.

    >>> net = torch.nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD([{"params": net.weight, "weight_decay": 0.1}, {"params": net.bias}], lr=0.5)
    >>> history = None
    >>> for epoch in range(100):
    ...     history = fit_(
    ...         squared_loss, net, (x, 2 * x), epochs=1, batch_size=2, optimizer=optimizer, resume=history
    ...     )
    ...     if epoch > 0 and history.train_loss[-1] > history.train_loss[-2] - 1e-4:
    ...         break
    >>> epoch < 99, len(history.train_loss) == epoch + 1
    (True, True)
    """
    together = processes_of(
        data,
        validation,
        weights,
        loss=loss,
        module=type(module),
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        max_norm=max_norm,
        accumulate=accumulate,
        shuffle=shuffle,
    )
    check_count("epochs", epochs, 0)
    check_count("accumulate", accumulate, 1)
    check_number("max_norm", max_norm, ">= 0", lambda max_norm: max_norm >= 0)
    if lr is not None:
        check_rate(lr)
    run = ModuleRun(module, optimizer, lr, max_norm=max_norm, accumulate=int(accumulate), together=together)
    if resume is not None:
        run.resume(resumed_state(resume, run.tensors, generator, momentum=False))
    batches = training_batches(data, run.device, batch_size=batch_size, shuffle=shuffle, weights=weights)
    held_out = None if validation is None else validation_batches(validation, run.device, batch_size=batch_size)
    modes = {part: part.training for part in module.modules()}
    try:
        for _ in train(run, loss, batches, held_out, epochs=int(epochs), lr=lr, progress=progress, generator=generator):
            pass
    except KeyboardInterrupt as stop:
        stop.history = run.history(state_of(generator))  # pyright: ignore[reportAttributeAccessIssue]
        raise
    finally:
        for part, mode in modes.items():
            part.training = mode
    return run.history(state_of(generator))


class ModuleRun:
    """A module under training, its optimizer, and the losses so far.

    ``tensors`` are those of the module's ``state_dict()``. ``current`` are the parameters that are trained and the
    buffers, and ``last_finite`` what they were when the loss of a batch was last finite. The gradients hold the sum
    over ``n_batches`` batches of ``rows`` rows, divided by ``unit``.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer | None,
        lr: Rate | None,
        *,
        max_norm: float,
        accumulate: int,
        together: Alone,
    ) -> None:
        if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}; fit trains parameters")
        self.model, self.max_norm, self.accumulate = module, max_norm, accumulate
        self.trained = [w for w in module.parameters() if w.requires_grad]
        if not self.trained:
            raise ValueError("module must have a parameter that requires a gradient, got none")
        self.optimizer = _optimizer(self.trained, optimizer, lr)
        self.device = self.trained[0].device
        self.together = together
        if not together.is_alone:
            together.check_plain("the parameters of module", self.trained)
            _check_same_on_any_rows(module)
        self.tensors = [x for x in module.state_dict(keep_vars=True).values() if isinstance(x, Tensor)]
        self.current = [x.detach() for x in (*self.trained, *module.buffers())]
        self.last_finite = [x.clone() for x in self.current]
        self.rows = self.n_batches = self.unit = self.step = 0
        self.train_loss: list[float] = []
        self.validation_loss: list[float] = []

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for x, saved in zip(self.tensors, state["params"], strict=True):
            x.detach().copy_(saved)
        self.optimizer.state.clear()
        if state["optimizer"]:
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": copy.deepcopy(state["optimizer"]), "param_groups": groups})
        self.step, self.train_loss = state["step"], [*state["train_loss"]]
        self.validation_loss = [*state["validation_loss"]]

    def learn(self, losses: Tensor | None, weights: Tensor | None, lr: float | None, *, count: int) -> float:
        """Return the mean loss of a batch of that many examples, and learn from it if it is finite.

        The losses are those of the rows that this process holds; None if it holds none.
        """
        if self.n_batches == 0:
            self.optimizer.zero_grad()
            self.rows, self.unit = 0, count * self.accumulate
        mean = 0.0 if losses is None else self._differentiate(losses, weights, count)
        mean = self.together.sum_gradients(mean, self._due_gradients())
        if math.isfinite(mean):
            foreach_copy_(self.last_finite, self.current)
            self.rows += count
            self.n_batches += 1
            if self.n_batches == self.accumulate:
                self._descend(lr)
        return mean

    def _differentiate(self, losses: Tensor, weights: Tensor | None, count: int) -> float:
        """Return the part of the mean loss that these losses are, and add its gradients if it is finite."""
        if not losses.requires_grad:
            raise ValueError(
                "loss must depend on the module, got one that does not; compute it from its first argument"
            )
        losses, mean, factors = mean_and_factors(losses, weights, count)
        if math.isfinite(mean):
            backward(losses, factors if self.unit == count else factors * (count / self.unit))
            if all(w.grad is None for w in self.trained):
                raise ValueError("loss must depend on the module, got one that depends on other tensors only")
        return mean

    def exchanging(self) -> Alone:
        """Return a context in which :meth:`learn` finds the losses of a batch, and exchanges them."""
        return self.together.expecting(self._due_gradients())

    def _due_gradients(self) -> Sequence[Tensor]:
        """Return the parameters whose gradients are complete with the next batch."""
        return self.trained if self.n_batches + 1 == self.accumulate else []

    @property
    def replicas(self) -> list[Tensor]:
        """What must be the same in all processes."""
        return self.current

    def _descend(self, lr: float | None) -> None:
        """Take the step of the optimizer with the mean gradient over the rows."""
        grads = [w.grad for w in self.trained if w.grad is not None]
        if self.rows != self.unit:
            foreach_mul_(grads, self.unit / self.rows)
        if self.max_norm < math.inf:
            foreach_copy_(grads, clip_gradients(grads, max_norm=self.max_norm))
        if lr is not None:
            check_finite_in("lr", lr, (w.dtype for w in self.trained))
            for group in self.optimizer.param_groups:
                group["lr"] = lr
        self.optimizer.step()
        torch.clear_autocast_cache()  # inside autocast it holds casts of the old values
        self.step += 1
        self.n_batches = 0

    def end_epoch(self, lr: float | None) -> float | None:
        """Take a step that is due, and return a value that the last step made infinite or NaN, or None."""
        if self.n_batches:
            with self.together.expecting(self.trained):
                self.together.sum_gradients(0.0, self.trained)
            self._descend(lr)
        return nonfinite_value(self.last_finite[: len(self.trained)], self.current[: len(self.trained)])

    def evaluate(self, *, training: bool) -> None:
        """Change the mode of the module."""
        self.model.train(training)

    def history(self, generator_state: Tensor | None) -> History:
        """Return the record with copies of all tensors."""
        return self._history(copy.deepcopy(self.optimizer.state_dict()["state"]), generator_state)

    def history_before_divergence(self, generator_state: Tensor | None) -> History:
        """Return the record with the last finite parameters, which the module gets back."""
        foreach_copy_(self.current, self.last_finite)
        self.optimizer.state.clear()
        return self._history(None, generator_state)

    def _history(self, past: Any, generator_state: Tensor | None) -> History:  # noqa: ANN401
        own = {id(x): x.detach().clone() for x in self.tensors}
        params = {name: own.get(id(x), x) for name, x in self.model.state_dict(keep_vars=True).items()}
        leaves = [own[id(x)] for x in self.tensors]
        state = (leaves, past, self.step, generator_state, [*self.train_loss], [*self.validation_loss])
        return History(params, dict(zip(STATE_NAMES, state, strict=True)))


def _check_same_on_any_rows(module: nn.Module) -> None:
    """Raise ValueError unless each process may compute with the module on its own rows."""
    for part in module.modules():
        if isinstance(part, DistributedDataParallel):
            raise ValueError(  # noqa: TRY004  # it is a module
                "module must not be in DistributedDataParallel where rows are sharded: its gradients are summed "
                "already; pass its module"
            )
        if isinstance(part, BATCH_NORMS):
            raise ValueError(  # noqa: TRY004
                f"module must not contain {type(part).__name__} where rows are sharded: each process would normalize "
                "by its own rows; use torch.nn.GroupNorm or torch.nn.LayerNorm"
            )


def _optimizer(trained: list[nn.Parameter], optimizer: Optimizer | None, lr: Rate | None) -> Optimizer:
    """Return the optimizer, or that of the default."""
    if optimizer is None:
        if lr is None:
            raise ValueError("lr must be given without an optimizer, got None")
        return torch.optim.SGD(trained, lr=0.0)  # its rate is set at each step
    if not isinstance(optimizer, Optimizer):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise TypeError(
            f"optimizer must take steps without a closure, got {type(optimizer).__name__}; "
            "call its step with a closure in a loop of your own"
        )
    held = {id(w) for group in optimizer.param_groups for w in group["params"]}
    if held.isdisjoint(map(id, trained)):
        raise ValueError("optimizer must hold parameters of the module, got one that holds others only")
    return optimizer
