"""The parameters of a run under way, its step, and its record."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from dlcore._descent import descend_
from dlcore._numerics import upcast
from dlcore._torch import PyTree, TreeSpec, foreach_copy_, gradients_of_weighted_sum
from dlcore._trees import aligned_leaves

from ._history import STATE_NAMES, History
from ._together import Alone

__all__ = ["Run", "Step", "mean_and_factors", "nonfinite_value"]

Step = Callable[..., tuple[PyTree, PyTree]]


class Run:
    """Parameters of its own, what the step keeps of its past, and the losses so far.

    ``given`` are the caller's parameters. One that is given twice is tied and trained once; if some require a gradient
    and others do not, the others are frozen. ``leaves``, ``values``, ``velocity`` hold the parameters that are trained.
    Without a ``step``, it is that of :func:`descend_`.
    """

    def __init__(
        self,
        structure: TreeSpec,
        given: list[Tensor],
        state: Mapping[str, Any],
        *,
        momentum: float,
        decays: list[float],
        step: Step | None,
        together: Alone,
    ) -> None:
        self.together = together
        self.structure, self.momentum, self.pure_step = structure, momentum, step
        self.device = given[0].device if given else torch.get_default_device()
        first_place = {id(w): place for place, w in reversed(list(enumerate(given)))}
        self.places = [first_place[id(w)] for w in given]
        some_require_grad = any(w.requires_grad for w in given)
        trained = [i for i in sorted(set(self.places)) if given[i].requires_grad or not some_require_grad]
        own = {i: state["params"][i].detach().clone() for i in set(self.places)}
        for i in trained:
            own[i].requires_grad_()
        self.leaves = [own[i] for i in trained]
        self.model = structure.unflatten([own[i] for i in self.places])
        self.values = [x.detach() for x in self.leaves]  # the same memory, outside of the autograd graph
        self.last_finite = [x.clone() for x in self.values]
        self.no_gradients: list[Tensor | None] = [None] * len(self.values)
        self.decays = [decays[i] for i in trained]
        self.trained, self.frozen = trained, {i: own[i] for i in own if i not in trained}
        self.past = state["optimizer"]
        self.velocity: list[Tensor] = []
        if momentum and step is None:
            before = self.past or [torch.zeros_like(w) for w in given]
            self.velocity = [before[i].clone() for i in trained]
        self.step: int = state["step"]
        self.train_loss: list[float] = [*state["train_loss"]]
        self.validation_loss: list[float] = [*state["validation_loss"]]

    def learn(self, losses: Tensor | None, weights: Tensor | None, lr: float | None, *, count: int) -> float:
        """Return the mean loss of a batch of that many examples, and take a step on it if it is finite.

        The losses are those of the rows that this process holds; None if it holds none.
        """
        mean, found = (0.0, self.no_gradients) if losses is None else self._gradients(losses, weights, count)
        mean, found = self.together.sum(mean, found)
        if math.isfinite(mean):
            grads = [torch.zeros_like(w) if g is None else g for w, g in zip(self.values, found, strict=True)]
            foreach_copy_(self.last_finite, self.values)
            self._descend(grads, cast("float", lr))
            torch.clear_autocast_cache()  # inside autocast it holds casts of the old values
            self.step += 1
        return mean

    def _gradients(self, losses: Tensor, weights: Tensor | None, count: int) -> tuple[float, Sequence[Tensor | None]]:
        """Return the part of the mean loss that these losses are, and its gradients if it is finite."""
        if not losses.requires_grad:
            raise ValueError(f"loss must depend on params, got one that does not{CURE}")
        losses, mean, factors = mean_and_factors(losses, weights, count)
        if not math.isfinite(mean):
            return mean, self.no_gradients
        found = gradients_of_weighted_sum(losses, factors, self.leaves) if self.leaves else ()
        if all(g is None for g in found):
            raise ValueError(f"loss must depend on params, got one that depends on other tensors only{CURE}")
        return mean, found

    def exchanging(self) -> Alone:
        """Return a context in which :meth:`learn` finds the losses of a batch, and exchanges them."""
        return self.together.expecting(self.values)

    def _descend(self, grads: list[Tensor], lr: float) -> None:
        """Take the step in place, or the caller's."""
        if self.pure_step is None:
            descend_(self.values, grads, self.velocity, lr=lr, momentum=self.momentum, decays=self.decays)
            return
        params = self._at_places(self.frozen, self.values)
        zeros = {i: torch.zeros_like(x) for i, x in self.frozen.items()}
        tree, gradients = (self.structure.unflatten(x) for x in (params, self._at_places(zeros, grads)))
        tree, self.past = self.pure_step(tree, gradients, self.past, lr=lr)
        stepped = aligned_leaves(params, self.structure, "step(params, grads, state)[0]", tree)
        foreach_copy_(self.values, [stepped[i] for i in self.trained])

    def end_epoch(self, lr: float | None) -> float | None:  # noqa: ARG002  # no step is ever due
        """Return a value that the last step made infinite or NaN, or None: no later loss would reveal it."""
        return nonfinite_value(self.last_finite, self.values)

    def evaluate(self, *, training: bool) -> None:
        """Leave pure parameters as they are."""

    @property
    def replicas(self) -> list[Tensor]:
        """What must be the same in all processes."""
        return self.values

    def history(self, generator_state: Tensor | None) -> History:
        """Return the record up to the last step."""
        past: Any = self.past
        if self.pure_step is None:
            zeros = {i: torch.zeros_like(x) for i, x in self.frozen.items()}
            past = self.velocity and self._at_places(zeros, [v.clone() for v in self.velocity])
        return self._history(self.values, past, generator_state)

    def history_before_divergence(self, generator_state: Tensor | None) -> History:
        """Return the record with the last finite parameters, and a step without a past."""
        return self._history(self.last_finite, None, generator_state)

    def _history(self, values: list[Tensor], past: Any, generator_state: Tensor | None) -> History:  # noqa: ANN401
        leaves = self._at_places(self.frozen, [x.clone() for x in values])
        state = (leaves, past, self.step, generator_state, [*self.train_loss], [*self.validation_loss])
        return History(self.structure.unflatten(leaves), dict(zip(STATE_NAMES, state, strict=True)))

    def _at_places(self, frozen: dict[int, Tensor], trained: list[Tensor]) -> list[Tensor]:
        """Return a tensor for each of the given parameters; those that are tied share one."""
        by_place = frozen | dict(zip(self.trained, trained, strict=True))
        return [by_place[i] for i in self.places]


CURE = "; compute it from its first argument, or train a module in place with training.fit_"


def mean_and_factors(losses: Tensor, weights: Tensor | None, count: int) -> tuple[Tensor, float, Tensor]:
    """Return the losses in at least float32, their weighted mean, and the factor of each loss in it."""
    losses = upcast(losses)
    values = losses.detach()
    if weights is None:
        return losses, values.sum().item() / count, torch.full_like(values, 1 / count)
    factors = (weights / count).to(losses.dtype)
    return losses, (factors * values).sum().item(), factors


def nonfinite_value(before: list[Tensor], after: list[Tensor]) -> float | None:
    """Return a value that is infinite or NaN and was finite before, or None."""
    for x, y in zip(before, after, strict=True):
        if not bool(y.isfinite().all()) and len(made := y[x.isfinite() & ~y.isfinite()]):
            return made[0].item()
    return None
