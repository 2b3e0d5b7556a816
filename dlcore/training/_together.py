"""What the processes of a run exchange: each computes on the rows that it holds, and all take the same steps.

After each batch there is one exchange, a sum of the losses and of the gradients. What fails in one process is told in
this exchange, so that it ends the run in all of them.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Sequence
from types import TracebackType

import torch
from torch import Tensor

from dlcore._checksum import checksum
from dlcore._shards import OneProcess, Shards, is_sharded
from dlcore._torch import split

__all__ = ["Alone", "Together"]

SAME_STEPS = "; start from the same ones, and let neither the step nor a layer depend on the rows of one process"


class Alone:
    """The only process of a run, which exchanges nothing."""

    shards: OneProcess | Shards = OneProcess()
    is_alone = True

    def expecting(self, tensors: Sequence[Tensor]) -> "Alone":  # noqa: ARG002
        """Return a context in which the gradients of these tensors are computed and summed."""
        return self

    def __enter__(self) -> None:
        """Begin to compute."""

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""

    def sum(self, mean: float, gradients: Sequence[Tensor | None]) -> tuple[float, Sequence[Tensor | None]]:
        """Return the sums over the processes; a gradient is None if it is so in all of them."""
        return mean, gradients

    def sum_gradients(self, mean: float, tensors: Sequence[Tensor]) -> float:  # noqa: ARG002
        """Return the sum of a number over the processes, and sum the gradients that tensors hold."""
        return mean

    def check_same(self, tensors: list[Tensor]) -> None:
        """Raise ValueError unless all processes have the same parameters and buffers."""

    def check_plain(self, name: str, tensors: Sequence[Tensor]) -> None:
        """Raise TypeError if parameters are sharded as the rows are."""


class Together(Alone):
    """One of several processes that hold rows.

    The sums are those of a vector that is expected to have a certain length: first come the number of processes that
    have failed, the loss, and for each gradient whether there is one; then come the gradients.
    """

    def __init__(self, shards: Shards) -> None:
        self.shards = self.processes = shards
        self.is_alone = False
        self.expected: Sequence[Tensor] = []
        self.is_awaited = False

    def expecting(self, tensors: Sequence[Tensor]) -> "Alone":
        """Return a context in which the gradients of these tensors are computed and summed."""
        self.expected, self.is_awaited = tensors, True
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Tell the processes that wait for the sum of an error."""
        if self.is_awaited and isinstance(error, Exception):
            self._exchange([1.0, 0.0, *(0.0 for _ in self.expected)], self.expected)
            self.processes.gather(f"{type(error).__name__}: {error}")
        self.is_awaited = False

    def sum(self, mean: float, gradients: Sequence[Tensor | None]) -> tuple[float, Sequence[Tensor | None]]:
        """Return the sums over the processes; a gradient is None if it is so in all of them."""
        zeros_for_none = [
            torch.zeros_like(w) if g is None else g for w, g in zip(self.expected, gradients, strict=True)
        ]
        self.is_awaited = False
        vector = self._exchange([0.0, mean, *(float(g is not None) for g in gradients)], zeros_for_none)
        head: list[float] = vector[: 2 + len(self.expected)].tolist()
        n_failed, mean, *found = head
        if n_failed:
            failures = enumerate(self.processes.gather(None))
            raise RuntimeError(next(f"process {i} has failed with {error}" for i, error in failures if error))
        if not any(found):  # all rows of the batch have weight 0
            found = [1.0] * len(found)
        sums = split(vector[2 + len(self.expected) :], [w.numel() for w in self.expected])
        summed = zip(self.expected, sums, found, strict=True)
        return mean, [total.view_as(w).to(w.device, w.dtype) if n_found else None for w, total, n_found in summed]

    def sum_gradients(self, mean: float, tensors: Sequence[Tensor]) -> float:
        """Return the sum of a number over the processes, and sum the gradients that tensors hold."""
        mean, gradients = self.sum(mean, [w.grad for w in tensors])
        for w, gradient in zip(tensors, gradients, strict=True):
            w.grad = gradient
        return mean

    def _exchange(self, head: list[float], tensors: Sequence[Tensor]) -> Tensor:
        """Return the sum over the processes of a vector of these numbers and entries."""
        dtype, device = torch.float32 if tensors else torch.float64, self.processes.mesh.device_type
        for x in tensors:
            dtype = torch.promote_types(dtype, x.dtype)
        parts = [torch.tensor(head, dtype=dtype), *(x.detach().flatten() for x in tensors)]
        return self.processes.sum_(torch.cat([part.to(device, dtype) for part in parts]))

    def check_same(self, tensors: list[Tensor]) -> None:
        """Raise ValueError unless all processes have the same parameters and buffers."""
        self.processes.check_same(SAME_STEPS, params=f"{len(tensors)} tensors with checksum {checksum(*tensors)}")

    def check_plain(self, name: str, tensors: Sequence[Tensor]) -> None:
        """Raise TypeError if parameters are sharded as the rows are."""
        if any(is_sharded(w) for w in tensors):
            raise TypeError(
                f"{name} must be plain tensors, the same in each process, where rows are sharded, got a DTensor"
            )
