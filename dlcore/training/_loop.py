"""The loop over epochs and batches, whatever learns from them."""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from dlcore._checks import check_losses, check_nonnegative
from dlcore._torch import fork_rng, manual_seed

from ._data import Batches
from ._history import DivergenceError, History
from ._together import Alone

__all__ = ["Learner", "Rate", "check_rate", "state_of", "train"]

Rate = float | Callable[[int], float]


@runtime_checkable
class Learner(Protocol):
    """What has parameters, learns from the losses of a batch, and keeps the record."""

    model: Any
    """The first argument of the loss."""
    device: torch.device
    step: int
    train_loss: list[float]
    validation_loss: list[float]

    together: Alone
    """The processes that take the same steps."""

    @property
    def replicas(self) -> list[Tensor]:
        """What must be the same in all processes."""
        ...

    def exchanging(self) -> Alone:
        """Return a context in which :meth:`learn` finds the losses of a batch, and exchanges them."""
        ...

    def learn(self, losses: Tensor | None, weights: Tensor | None, lr: float | None, *, count: int) -> float:
        """Return the mean loss of a batch of that many examples, and learn from it if it is finite.

        The losses are those of the rows that this process holds; None if it holds none.
        """
        ...

    def end_epoch(self, lr: float | None) -> float | None:
        """Take a step that is due, and return a value that the last step made infinite or NaN, or None."""
        ...

    def evaluate(self, *, training: bool) -> None:
        """Change between training and evaluation."""
        ...

    def history(self, generator_state: Tensor | None) -> History:
        """Return the record up to the last step."""
        ...

    def history_before_divergence(self, generator_state: Tensor | None) -> History:
        """Return the record with the last finite parameters, and a step without a past."""
        ...


def train(
    learner: Learner,
    loss: Callable[..., Tensor],
    data: Batches,
    validation: Batches | None,
    *,
    epochs: int | None,
    lr: Rate | None,
    progress: bool | None,
    generator: Generator | None,
) -> Iterator[int]:
    """Yield the number of each epoch after it; without a number of epochs, there is no last one."""
    is_told = _accepts_training(loss)
    loss_in_training = partial(loss, training=True) if is_told else loss
    loss_in_validation = partial(loss, training=False) if is_told else loss
    start = len(learner.train_loss)
    devices = () if learner.device.type == "cpu" else (learner.device,)  # that of the CPU is always forked
    n_batches = None if epochs is None or data.count is None else epochs * data.count
    together, process = learner.together, learner.together.shards.process
    together.check_same(learner.replicas)
    with _progress_bar(n_batches, progress if process == 0 else False) as bar:
        for epoch in itertools.count(start) if epochs is None else range(start, start + epochs):
            with fork_rng(devices, enabled=generator is not None):
                if generator is not None:
                    _seed_from(generator, devices, process)
                mean = _train_epoch(learner, loss_in_training, data, epoch, lr=lr, bar=bar, generator=generator)
                learner.train_loss.append(mean)
                if validation is not None:
                    learner.validation_loss.append(_validation_loss(learner, loss_in_validation, validation))
            together.check_same(learner.replicas)
            bar.set_postfix(loss=mean)
            yield epoch


@torch.enable_grad()
def _train_epoch(
    learner: Learner,
    loss: Callable[..., Tensor],
    data: Batches,
    epoch: int,
    *,
    lr: Rate | None,
    bar: Any,  # noqa: ANN401  # tqdm has no types
    generator: Generator | None,
) -> float:
    """Take the steps of an epoch, and return the mean loss of its examples."""
    epoch_start, total, n, batch = state_of(generator), 0.0, 0, 0
    rate, is_alone = None, learner.together.is_alone
    learner.evaluate(training=True)
    for batch, (arguments, beta, held, count) in enumerate(data.of_epoch(generator)):
        with learner.exchanging():
            losses = None
            if held or is_alone:  # a loss of no rows may fail
                losses = loss(learner.model, *arguments)
                check_losses(losses, held)
            rate = _rate(lr, learner.step)
            mean = learner.learn(losses, beta, rate, count=count)
        if not math.isfinite(mean):
            row = _first_row(losses, data, batch, learner.together)
            raise DivergenceError("loss", mean, epoch, batch, learner.history_before_divergence(epoch_start), row=row)
        total += mean * count
        n += count
        bar.update()
    if n == 0:
        raise ValueError("data must have a row, got none")
    if (value := learner.end_epoch(rate)) is not None:
        raise DivergenceError("params", value, epoch, batch, learner.history_before_divergence(epoch_start))
    return total / n


@torch.no_grad()
def _validation_loss(learner: Learner, loss: Callable[..., Tensor], data: Batches) -> float:
    """Return the mean loss on the validation data."""
    total, n, is_alone = 0.0, 0, learner.together.is_alone
    learner.evaluate(training=False)
    with learner.together.expecting([]):
        for arguments, _, held, count in data.of_epoch(None):
            if held or is_alone:
                losses = loss(learner.model, *arguments)
                check_losses(losses, held)
                total += losses.sum(dtype=torch.float64).item()
            n += count
        total, _ = learner.together.sum(total, [])
    if n == 0:
        raise ValueError("validation must have a row, got none")
    return total / n


def _first_row(losses: Tensor | None, data: Batches, batch: int, together: Alone) -> int | None:
    """Return the number of the first row whose loss is infinite or NaN, if that of another row in the batch is not."""
    if data.numbers is None:
        return None
    rows = data.numbers(batch)
    wrong = rows[:0] if losses is None else rows[~losses.detach().isfinite().to(rows.device)]
    counts = together.shards.gather((len(rows), len(wrong), int(wrong.min()) if len(wrong) else math.inf))
    n, n_wrong, firsts = zip(*counts, strict=True)
    return int(min(firsts)) if 0 < sum(n_wrong) < sum(n) else None


def _accepts_training(loss: Callable[..., Tensor]) -> bool:
    """Tell whether the loss has a parameter ``training``."""
    try:
        return "training" in inspect.signature(loss).parameters
    except ValueError:  # what is written in C may have no signature
        return False


def check_rate(lr: Rate) -> None:
    """Raise unless this is a learning rate or a schedule, whose rates are numbers only when it is called."""
    if not callable(lr):
        check_nonnegative("lr", lr)


def _rate(lr: Rate | None, step: int) -> float | None:
    """Return the learning rate of a step, at least 0; a schedule is called for it."""
    if not callable(lr):
        return lr
    rate = lr(step)
    check_nonnegative(f"lr({step})", rate)
    return rate


def state_of(generator: Generator | None) -> Tensor | None:
    """Return the state of a generator."""
    return None if generator is None else generator.get_state()


def _seed_from(generator: Generator, devices: tuple[torch.device, ...], process: int) -> None:
    """Seed torch's own generators, which dropout and data loaders draw from, by the state of the given one.

    Each process has a seed of its own, so that rows of different processes get different masks.
    """
    twin = Generator(generator.device).set_state(generator.get_state())  # so that the given one draws nothing for this
    seed = process + int(torch.randint(2**62, (), generator=twin, device=twin.device).item())
    (manual_seed if devices else torch.default_generator.manual_seed)(seed)


def _progress_bar(n_batches: int | None, progress: bool | None) -> Any:  # noqa: ANN401
    """Return a bar that counts batches, or one that stays silent."""
    from tqdm import tqdm  # noqa: PLC0415  # not before it is needed: importing the library stays fast

    return tqdm(total=n_batches, unit="batch", disable=None if progress is None else not progress)
