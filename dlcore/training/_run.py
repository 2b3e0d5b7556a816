"""The parameters of a run under way, its step, and its record."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from dlcore._descent import descend_
from dlcore._numerics import upcast
from dlcore._torch import TreeSpec, foreach_copy_

from ._history import STATE_NAMES, History

__all__ = ["Run"]


class Run:
    """Parameters of its own, the velocity, and the losses so far."""

    def __init__(self, structure: TreeSpec, state: Mapping[str, Any], *, momentum: float, decays: list[float]) -> None:
        self.structure, self.momentum, self.decays = structure, momentum, decays
        self.leaves = [x.detach().clone().requires_grad_() for x in state["params"]]
        self.params = structure.unflatten(self.leaves)
        self.values = [x.detach() for x in self.leaves]  # the same memory, outside of the autograd graph
        self.last_finite = [x.clone() for x in self.values]
        self.velocity = [x.clone() for x in state["velocity"] or map(torch.zeros_like, self.values)] if momentum else []
        self.step: int = state["step"]
        self.train_loss: list[float] = [*state["train_loss"]]
        self.validation_loss: list[float] = [*state["validation_loss"]]

    def learn(self, losses: Tensor, weights: Tensor | None, lr: float) -> float:
        """Return the mean loss of a batch, and take a step of gradient descent on it if it is finite."""
        if not losses.requires_grad:
            raise ValueError("loss must depend on params, got one that does not")
        losses = upcast(losses)
        values, count = losses.detach(), losses.shape[0]
        if weights is None:
            beta_over_count = torch.full_like(values, 1 / count)
            mean = values.mean().item()
        else:
            beta_over_count = (weights / count).to(losses.dtype)
            mean = (beta_over_count * values).sum().item()
        if math.isfinite(mean):
            found = torch.autograd.grad(losses, self.leaves, beta_over_count, allow_unused=True)
            found = cast("tuple[Tensor | None, ...]", found)
            grads = [torch.zeros_like(w) if g is None else g for w, g in zip(self.values, found, strict=True)]
            foreach_copy_(self.last_finite, self.values)
            descend_(self.values, grads, self.velocity, lr=lr, momentum=self.momentum, decays=self.decays)
            self.step += 1
        return mean

    def nonfinite_value(self) -> float | None:
        """Return a value that the last step made infinite or NaN, or None: no later loss would reveal it."""
        for before, after in zip(self.last_finite, self.values, strict=True):
            made = after[before.isfinite() & ~after.isfinite()]
            if len(made):
                return made[0].item()
        return None

    def history(self, generator_state: Tensor | None) -> History:
        """Return the record up to the last step."""
        return self._history(self.values, self.velocity, generator_state)

    def history_before_divergence(self, generator_state: Tensor | None) -> History:
        """Return the record with the last finite parameters and zero velocity."""
        return self._history(self.last_finite, [], generator_state)

    def _history(self, params: list[Tensor], velocity: list[Tensor], generator_state: Tensor | None) -> History:
        state = (params, velocity, self.step, generator_state, self.train_loss, self.validation_loss)
        return History(self.structure.unflatten(params), dict(zip(STATE_NAMES, state, strict=True)))
