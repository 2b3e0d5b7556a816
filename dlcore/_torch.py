"""Typed access to every private or untyped part of torch that dlcore uses.

A private name may change from one version of torch to the next. Each name is looked up with :func:`_private`; if one is
missing, its substitute is used and ``import dlcore`` still works.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateImportUsage=false

import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import torch
import torch.utils.data
from torch import Tensor

__all__ = [
    "FakeTensor",
    "PyTree",
    "TreeSpec",
    "autocast_dtype",
    "backward",
    "cholesky",
    "collate",
    "cross_entropy_loss",
    "eigenvalues",
    "eigh",
    "foreach_add_",
    "foreach_addcdiv_",
    "foreach_addcmul_",
    "foreach_clamp_min",
    "foreach_copy_",
    "foreach_lerp",
    "foreach_mul",
    "foreach_mul_",
    "foreach_sqrt_",
    "foreach_zero_",
    "fork_rng",
    "gammaincc",
    "generator_option",
    "gradients_of_weighted_sum",
    "is_compiling",
    "is_functorch_wrapped_tensor",
    "is_leaf",
    "laid_out_like",
    "largest_magnitude",
    "loadable",
    "manual_seed",
    "ndtri",
    "pinv",
    "prelu_kernel",
    "pytree",
    "qr",
    "select_rows",
    "singular_values",
    "solve",
    "solve_triangular",
    "split",
    "svd",
    "unique",
    "unique_with_counts",
    "unpack_dual",
    "vector_norm",
]

T = TypeVar("T")

# Public functions without types.
cholesky: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.cholesky_ex
collate: Callable[[list[Any]], Any] = torch.utils.data.default_collate
eigenvalues: Callable[[Tensor], Tensor] = torch.linalg.eigvalsh
eigh: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.eigh
fork_rng: Callable[..., AbstractContextManager[None]] = torch.random.fork_rng
gammaincc: Callable[[Tensor, Tensor], Tensor] = torch.special.gammaincc
ndtri: Callable[[Tensor], Tensor] = torch.special.ndtri
is_compiling: Callable[[], bool] = torch.compiler.is_compiling
manual_seed: Callable[[int], torch.Generator] = torch.manual_seed
vector_norm: Callable[..., Tensor] = torch.linalg.vector_norm
pinv: Callable[[Tensor], Tensor] = torch.linalg.pinv
singular_values: Callable[[Tensor], Tensor] = torch.linalg.svdvals
qr: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.qr
solve: Callable[[Tensor, Tensor], Tensor] = torch.linalg.solve
solve_triangular: Callable[..., Tensor] = torch.linalg.solve_triangular
split: Callable[..., tuple[Tensor, ...]] = torch.split
unique: Callable[[Tensor], Tensor] = torch.unique
unpack_dual: Callable[[Tensor], tuple[Tensor, Tensor | None]] = torch.autograd.forward_ad.unpack_dual


def svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thin singular value decomposition."""
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    return u, s, vt


def select_rows(x: Tensor, index: Tensor) -> Tensor:
    """Return the rows at these indices; torch's fast way lacks the wide unsigned integers."""
    index = index.to(x.device)
    return x[index] if x.dtype in {torch.uint16, torch.uint32, torch.uint64} else x.index_select(0, index)


def unique_with_counts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the different values in ascending order, the place of each entry among them, and how often each occurs."""
    return torch.unique(x, return_inverse=True, return_counts=True)


def generator_option(generator: torch.Generator | None) -> dict[str, Any]:
    """Return keywords for a random function; ``torch.compile`` rejects ``generator=None`` when a shape changes."""
    return {} if generator is None else {"generator": generator}


def loadable(cls: type[T]) -> type[T]:
    """Let :func:`torch.load` make objects of a class of plain data in its safe mode, which is the default."""
    torch.serialization.add_safe_globals([cls])
    return cls


def _private(path: str, otherwise: T) -> T:
    """Return a private part of torch by its path, or the substitute if this version of torch lacks it."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return otherwise


def _for_each(method: Callable[..., Tensor]) -> Callable[..., Any]:
    """Return a function that calls the method on each tensor of a list, in place of one fused call.

    Each other argument is a list, too, or one number.
    """

    def call(tensors: list[Tensor], *others: list[Any] | float, **options: Any) -> list[Tensor]:  # noqa: ANN401
        columns = [other if isinstance(other, list | tuple) else [other] * len(tensors) for other in others]
        return [method(x, *row, **options) for x, *row in zip(tensors, *columns, strict=True)]

    return call


class _NoTensor:
    """A class without instances."""


def _cross_entropy_loss(logits: Tensor, labels: Tensor, weight: None, reduction: int, ignored: int) -> Tensor:  # noqa: ARG001
    """Return the loss of each row in two calls, which take a third longer."""
    log_p = torch.log_softmax(logits, 1)
    return torch.nn.functional.nll_loss(log_p, labels, reduction="none", ignore_index=ignored)


cross_entropy_loss: Callable[[Tensor, Tensor, None, int, int], Tensor] = _private(
    "torch._C._nn.cross_entropy_loss", _cross_entropy_loss
)
foreach_add_ = _private("torch._foreach_add_", _for_each(Tensor.add_))
foreach_addcdiv_ = _private("torch._foreach_addcdiv_", _for_each(Tensor.addcdiv_))
foreach_addcmul_ = _private("torch._foreach_addcmul_", _for_each(Tensor.addcmul_))
foreach_clamp_min = _private("torch._foreach_clamp_min", _for_each(Tensor.clamp_min))
_copy_each_ = _for_each(Tensor.copy_)
_foreach_copy_ = _private("torch._foreach_copy_", _copy_each_)
foreach_lerp = _private("torch._foreach_lerp", _for_each(Tensor.lerp))
foreach_mul = _private("torch._foreach_mul", _for_each(Tensor.mul))
foreach_mul_ = _private("torch._foreach_mul_", _for_each(Tensor.mul_))
foreach_sqrt_ = _private("torch._foreach_sqrt_", _for_each(Tensor.sqrt_))
foreach_zero_ = _private("torch._foreach_zero_", _for_each(Tensor.zero_))


def _prelu(x: Tensor, alpha: Tensor) -> Tensor:
    finite = x.clamp(max=torch.finfo(x.dtype).max)  # because inf - inf is NaN
    return torch.relu(x) + alpha * (finite - torch.relu(finite))  # clamp(max=0) has another slope at 0 in torch 2.14


_prelu_kernel: Callable[[Tensor, Tensor], Tensor] = _private("torch._prelu_kernel", _prelu)


def prelu_kernel(x: Tensor, alpha: Tensor) -> Tensor:
    """Return max(x, 0) + alpha · min(x, 0), of slope alpha at 0; the gradient of torch's kernel refuses DTensors."""
    return (_prelu if _is_dtensor(x) or _is_dtensor(alpha) else _prelu_kernel)(x, alpha)


def foreach_copy_(tensors: list[Tensor], others: list[Tensor]) -> None:
    """Copy each tensor of the second list to that of the first; torch's fused copy refuses DTensors."""
    copy_ = _copy_each_ if any(map(_is_dtensor, tensors)) else _foreach_copy_
    copy_(tensors, others)


def _autograd(*arguments: Any, accumulate_grad: bool) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    """Return or accumulate the gradients by the public functions."""
    outputs, factors, _, _, inputs, allow_unused = arguments
    if accumulate_grad:
        torch.autograd.backward(outputs, factors)
        return ()
    return torch.autograd.grad(outputs, inputs, factors, allow_unused=allow_unused)


_run_backward = _private("torch.autograd.graph._engine_run_backward", _autograd)


def gradients_of_weighted_sum(losses: Tensor, factors: Tensor, inputs: list[Tensor]) -> tuple[Tensor | None, ...]:
    """Return the gradients of the losses times factors of their shape, None for an input on which they do not depend.

    The checks of ``torch.autograd.grad`` would take a tenth of the time of a step on a small batch.
    """
    return _run_backward((losses,), (factors,), False, False, (*inputs,), True, accumulate_grad=False)


def backward(losses: Tensor, factors: Tensor) -> None:
    """Add the gradients of the losses times factors of their shape to those of all leaves."""
    _run_backward((losses,), (factors,), False, False, (), True, accumulate_grad=True)


def laid_out_like(x: Tensor, values: Tensor) -> Tensor:
    """Return values that every process holds whole in the layout of ``x`` if it is a DTensor, and else as they are."""
    if type(x) is Tensor or not _is_dtensor(x):
        return values
    tensor, (mesh, placements) = sys.modules["torch.distributed.tensor"], _layout(x)
    return tensor.distribute_tensor(values, mesh, placements, src_data_rank=None)


def largest_magnitude(x: Tensor) -> Tensor:
    """Return the largest absolute value; torch's amax fails for a DTensor where a process holds none of its entries."""
    if not _is_dtensor(x):
        return x.abs().amax()
    tensor, (mesh, placements) = sys.modules["torch.distributed.tensor"], _layout(x)
    own = cast("Any", x).redistribute(mesh, placements).to_local().abs()
    largest = own.amax() if own.numel() else own.new_zeros(())
    of_all = [tensor.Partial("max") if layout.is_shard() else layout for layout in placements]
    return tensor.DTensor.from_local(largest, mesh, of_all)


def _layout(x: Any) -> tuple[Any, list[Any]]:  # noqa: ANN401
    """Return the mesh of a DTensor and its placements, where the sums that are still to be added up are replicated."""
    replicate = sys.modules["torch.distributed.tensor"].Replicate()
    return x.device_mesh, [replicate if layout.is_partial() else layout for layout in x.placements]


def _is_dtensor(x: Tensor) -> bool:
    """Tell whether a tensor is distributed over processes, without importing what makes such tensors: it takes long."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(x, module.DTensor)


# If these two are missing, a check may read values that do not exist, and torch raises its own error.
FakeTensor: type = _private("torch._subclasses.FakeTensor", _NoTensor)
is_functorch_wrapped_tensor: Callable[[Tensor], bool] = _private(
    "torch._C._functorch.is_functorch_wrapped_tensor", lambda _: False
)

_is_any_autocast_enabled: Callable[[], bool] = _private("torch._C._is_any_autocast_enabled", lambda: True)


def autocast_dtype(x: object) -> torch.dtype | None:
    """Return the dtype that ``torch.autocast`` gives to the operands of a matrix product, or None outside of it."""
    if not _is_any_autocast_enabled() or not isinstance(x, Tensor) or x.is_meta:  # it does not know the meta device
        return None
    return torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else None


# Trees of parameters; if the module is missing, only the functions that take a tree fail.
PyTree = Any
TreeSpec = Any
pytree: Any = _private("torch.utils._pytree", SimpleNamespace())


def is_leaf(tree: PyTree) -> bool:
    """Return whether a tree is a single leaf."""
    leaves = pytree.tree_leaves(tree)
    return len(leaves) == 1 and leaves[0] is tree
