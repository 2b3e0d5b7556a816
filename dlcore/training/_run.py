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
    """Parameters of its own, the velocity, and the losses so far.

    ``given`` are the caller's parameters. One that is given twice is tied and trained once; if some require a gradient
    and others do not, the others are frozen. The lists ``leaves`` to ``velocity`` hold the parameters that are trained.
    """

    def __init__(
        self,
        structure: TreeSpec,
        given: list[Tensor],
        state: Mapping[str, Any],
        *,
        momentum: float,
        decays: list[float],
    ) -> None:
        self.structure, self.momentum = structure, momentum
        first_place = {id(w): place for place, w in reversed(list(enumerate(given)))}
        self.places = [first_place[id(w)] for w in given]
        some_require_grad = any(w.requires_grad for w in given)
        trained = [i for i in sorted(set(self.places)) if given[i].requires_grad or not some_require_grad]
        own = {i: state["params"][i].detach().clone() for i in set(self.places)}
        for i in trained:
            own[i].requires_grad_()
        self.leaves = [own[i] for i in trained]
        self.params = structure.unflatten([own[i] for i in self.places])
        self.values = [x.detach() for x in self.leaves]  # the same memory, outside of the autograd graph
        self.last_finite = [x.clone() for x in self.values]
        self.decays = [decays[i] for i in trained]
        self.trained, self.frozen = trained, {i: own[i] for i in own if i not in trained}
        before = state["velocity"] or [torch.zeros_like(w) for w in given]
        self.velocity = [before[i].clone() for i in trained] if momentum else []
        self.step: int = state["step"]
        self.train_loss: list[float] = [*state["train_loss"]]
        self.validation_loss: list[float] = [*state["validation_loss"]]

    def learn(self, losses: Tensor, weights: Tensor | None, lr: float, *, count: int) -> float:
        """Return the mean loss of a batch of that many examples, and take a step on it if it is finite."""
        if not losses.requires_grad:
            raise ValueError("loss must depend on params, got one that does not")
        losses = upcast(losses)
        values = losses.detach()
        if weights is None:
            beta_over_count = torch.full_like(values, 1 / count)
            mean = values.mean().item()
        else:
            beta_over_count = (weights / count).to(losses.dtype)
            mean = (beta_over_count * values).sum().item()
        if math.isfinite(mean):
            found = torch.autograd.grad(losses, self.leaves, beta_over_count, allow_unused=True)
            found = cast("tuple[Tensor | None, ...]", found)
            if all(g is None for g in found):
                raise ValueError(
                    "loss must depend on params, got one that depends on other tensors only; compute it from its first "
                    "argument, for a module with torch.func.functional_call(module, params, x)"
                )
            grads = [torch.zeros_like(w) if g is None else g for w, g in zip(self.values, found, strict=True)]
            foreach_copy_(self.last_finite, self.values)
            descend_(self.values, grads, self.velocity, lr=lr, momentum=self.momentum, decays=self.decays)
            torch.clear_autocast_cache()  # inside autocast it holds casts of the old values
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
        leaves = self._at_places(self.frozen, params)
        velocities = velocity and self._at_places({i: torch.zeros_like(x) for i, x in self.frozen.items()}, velocity)
        state = (leaves, velocities, self.step, generator_state, self.train_loss, self.validation_loss)
        return History(self.structure.unflatten(leaves), dict(zip(STATE_NAMES, state, strict=True)))

    def _at_places(self, frozen: dict[int, Tensor], trained: list[Tensor]) -> list[Tensor]:
        """Return a tensor for each of the given parameters; those that are tied share one."""
        by_place = frozen | dict(zip(self.trained, trained, strict=True))
        return [by_place[i] for i in self.places]
