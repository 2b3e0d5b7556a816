"""What a run of training returns, and the state from which it resumes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlcore._torch import PyTree, loadable

__all__ = ["STATE_NAMES", "DivergenceError", "History", "initial_state", "resumed_state"]

STATE_NAMES = ("params", "optimizer", "step", "generator", "train_loss", "validation_loss")


@loadable
@dataclass(frozen=True, eq=False)
class History:
    """The trained parameters and the record of their training: ``plt.plot(history.train_loss)`` shows it.

    Parameters
    ----------
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters after the last step.
    state : dict
        What the run needs to continue, in plain containers of numbers and tensors: :func:`torch.save` writes it, and
        :func:`torch.load` reads it back, as it does a whole History once dlcore.training is imported.

    Examples
    --------
    >>> from dlcore.training import fit
    >>> history = fit(lambda w, x: (w - x) ** 2, torch.tensor(2.0), torch.zeros(4), epochs=3, batch_size=4, lr=0.25)
    >>> history.train_loss
    [4.0, 1.0, 0.25]
    """

    params: PyTree
    state: dict[str, Any]

    @property
    def train_loss(self) -> list[float]:
        """The mean loss on the training rows of each epoch, accumulated while the parameters change."""
        return self.state["train_loss"]

    @property
    def validation_loss(self) -> list[float]:
        """The mean loss on the validation data at the end of each epoch that had them."""
        return self.state["validation_loss"]


class DivergenceError(FloatingPointError):
    """The training loss, or a parameter, is no longer finite.

    Parameters
    ----------
    what : str
        What is not finite.
    value : float
        Its value.
    epoch : int
        The epoch, counted from 0.
    batch : int
        The batch in the epoch, counted from 0.
    history : History
        The epochs before, and the last parameters at which the loss of a batch was finite. Its state resumes from them
        at the start of the failed epoch, without any state of the step.
    row : int, optional
        The number of the first row of the data with such a loss, if another row in the batch has a finite one.

    Examples
    --------
    >>> from dlcore.training import fit
    >>> try:
    ...     fit(lambda w, x: (w - x) ** 2, torch.tensor(0.0), torch.ones(4), epochs=99, batch_size=4, lr=1e9)
    ... except DivergenceError as error:
    ...     print(error)
    ...     print(error.history.params.isfinite())
    loss must be finite, got inf at epoch 3, batch 0
    tensor(True)
    """

    def __init__(
        self, what: str, value: float, epoch: int, batch: int, history: History, *, row: int | None = None
    ) -> None:
        super().__init__(what, value, epoch, batch, history)
        self.epoch = epoch
        self.batch = batch
        self.history = history
        self.row = row

    def __str__(self) -> str:
        """Say what is not finite, and where."""
        what, value, epoch, batch, _ = self.args
        row = "" if self.row is None else f", row {self.row}"
        return f"{what} must be finite, got {value} at epoch {epoch}, batch {batch}{row}"


def initial_state(params: list[Tensor]) -> dict[str, Any]:
    """Return the state of a run before its first step."""
    return dict(zip(STATE_NAMES, (params, None, 0, None, [], []), strict=True))


def resumed_state(
    resume: Mapping[str, Any] | History, params: list[Tensor], generator: torch.Generator | None, *, momentum: bool
) -> Mapping[str, Any]:
    """Return the state of the run to continue, and set the generator to where it stopped."""
    state = resume.state if isinstance(resume, History) else resume
    if missing := [name for name in STATE_NAMES if name not in state]:
        raise ValueError(f"resume must be the state of a History, got one without {missing}")
    expected, got = ([tuple(x.shape) for x in leaves] for leaves in (params, state["params"]))
    if got != expected:
        raise ValueError(f"resume must hold parameters with the shapes of params, {expected}, got {got}")
    if momentum and state["optimizer"] and not isinstance(state["optimizer"], list):
        raise ValueError("resume must hold the velocity of a run with momentum, got the state of another step")
    if state["generator"] is not None:
        if generator is None:
            raise ValueError("generator must be given to resume a run that had one, got None")
        generator.set_state(state["generator"].cpu())
    return state
