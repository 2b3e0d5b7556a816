"""What the monitors of a stream share: how a state begins, and how losses are read."""

import math
from typing import TypeVar, cast

from torch import Tensor

from dlcore._checks import check_floating, check_values

__all__ = ["read", "started"]

State = TypeVar("State")


def started(kind: type[State], state: State | None) -> State:
    """Return the state, a new one for None; raise TypeError for one of another monitor."""
    if state is None:
        return kind()
    if not isinstance(state, kind):
        raise TypeError(f"state must be None or what the last call returned, a state of {kind.__name__}, got {state!r}")
    return state


def read(losses: Tensor, largest: float) -> list[float]:
    """Return the losses as numbers; raise for what are none, or not in range."""
    check_floating(losses=losses)
    if losses.dim() > 1:
        raise ValueError(f"losses must have shape (n,) or (), got {tuple(losses.shape)}")
    if largest == math.inf:
        check_values("losses", losses, "finite", lambda losses: losses.isfinite())
    else:
        check_values("losses", losses, f"in [0, {largest}]", lambda losses: (losses >= 0) & (losses <= largest))
    return cast("list[float]", losses.detach().double().flatten().tolist())  # pyright: ignore[reportUnknownMemberType]
