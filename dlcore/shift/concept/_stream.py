"""What the monitors of a stream share: how a state begins, and how losses are read."""

import math
from typing import TypeVar, cast

from torch import Tensor

from dlcore._checks import check_floating, check_values
from dlcore._shards import check_not_sharded

__all__ = ["initial_or", "read"]

State = TypeVar("State")


def initial_or(kind: type[State], state: State | None) -> State:
    """Return the state, or the initial one for None; raise TypeError for the state of another monitor."""
    if state is None:
        return kind()
    if not isinstance(state, kind):
        raise TypeError(f"state must be None or what the last call returned, a state of {kind.__name__}, got {state!r}")
    return state


def read(losses: Tensor, largest: float) -> list[float]:
    """Return the losses as Python numbers; raise unless they are finite or, below a finite bound, in [0, largest].

    A missing loss is refused rather than skipped: a stream whose losses are missing where the model is wrong would
    look as if nothing had changed.

    The check is repeated on the tensor only to name the first bad loss: on a single loss, every operation of torch
    costs as much as all the rest of a monitor.
    """
    check_not_sharded("a stream is read in its order", "losses.full_tensor() gives all of them", losses=losses)
    check_floating(losses=losses)
    if losses.dim() > 1:
        raise ValueError(f"losses must have shape (n,) or (), got {tuple(losses.shape)}")
    numbers = cast("list[float]", losses.reshape(-1).tolist())  # pyright: ignore[reportUnknownMemberType]
    if largest == math.inf:
        if not all(map(math.isfinite, numbers)):
            check_values("losses", losses, "finite", lambda losses: losses.isfinite(), cure_of(numbers))
    elif not all(0 <= loss <= largest for loss in numbers):
        check_values(
            "losses", losses, f"in [0, {largest}]", lambda losses: (losses >= 0) & (losses <= largest), cure_of(numbers)
        )
    return numbers


def cure_of(losses: list[float]) -> str:
    """Return how to read a stream with missing losses."""
    return "; to leave out missing losses, pass losses[~losses.isnan()]" if any(map(math.isnan, losses)) else ""
