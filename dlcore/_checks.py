"""Argument checks with one message format: ``weights must be >= 0, got -0.5 at index 1``.

The checks are cheap: those of dtypes and shapes need no pass over the data, and those of values need one. Values are
checked only where they can be read (see :func:`has_values`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import cast

import torch
from torch import Tensor

from ._rows import first_violation, row_extremes
from ._torch import FakeTensor, is_compiling, is_functorch_wrapped_tensor

__all__ = [
    "MAX_OF_ALL_DTYPES",
    "as_int64",
    "check_broadcasts",
    "check_count",
    "check_finite_in",
    "check_floating",
    "check_indices",
    "check_integer",
    "check_losses",
    "check_nonnegative",
    "check_number",
    "check_pair",
    "check_positive_in",
    "check_rank",
    "check_same_dtype",
    "check_same_shape",
    "check_values",
    "check_weights",
    "has_values",
    "number_of_rows",
    "sizes_of",
]

IGNORED = -100  # the label that torch's cross-entropy leaves out by default
MAX_OF_ALL_DTYPES = torch.finfo(torch.float16).max


def has_values(*tensors: Tensor) -> bool:
    """Return whether the values of these tensors can be read.

    They cannot be read on the meta device, while ``torch.compile`` traces, or inside the transforms of ``torch.func``.
    In these cases all checks of values are skipped, and a function that has a fast and a safe path takes the safe one.
    """
    if is_compiling():
        return False
    for x in tensors:  # faster than all(), because some callers take only a few microseconds
        if x.is_meta or is_functorch_wrapped_tensor(x) or (type(x) is not Tensor and isinstance(x, FakeTensor)):
            return False
    return True


def check_broadcasts(**tensors: Tensor) -> None:
    """Raise ValueError unless the second tensor broadcasts to the shape of the first."""
    (name, x), (other, y) = tensors.items()
    sizes = zip(reversed(y.shape), reversed(x.shape), strict=False)
    if y.dim() > x.dim() or any(size not in (1, of_x) for size, of_x in sizes):
        raise ValueError(f"{other} must broadcast to the shape of {name}, {tuple(x.shape)}, got {tuple(y.shape)}")


def check_floating(**tensors: Tensor) -> None:
    """Raise TypeError unless every argument is a real floating-point tensor."""
    for name, x in tensors.items():
        if not isinstance(x, Tensor) or not x.is_floating_point():  # pyright: ignore[reportUnnecessaryIsInstance]
            _check_tensor(name, x)
            raise TypeError(f"{name} must be a real floating-point tensor, got {x.dtype}")


def check_integer(**tensors: Tensor) -> None:
    """Raise TypeError unless every argument is an integer tensor (bool excluded)."""
    for name, x in tensors.items():
        _check_tensor(name, x)
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise TypeError(f"{name} must be an integer tensor, got {x.dtype}")


def as_int64(name: str, x: Tensor) -> Tensor:
    """Return integers in int64, the kind that torch can index with; raise ValueError if one is too large for it."""
    if x.dtype == torch.int64:
        return x
    wide = x.long()
    if x.dtype == torch.uint64:  # an integer that is too large would become negative
        check_values(name, x, "< 2**63", lambda _: wide >= 0)
    return wide


def _check_tensor(name: str, x: object) -> None:
    """Raise TypeError unless ``x`` is a tensor; the message for an array says how to convert it."""
    if not isinstance(x, Tensor):
        hint = f"; torch.as_tensor({name}) converts it" if hasattr(x, "__array__") else ""
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}{hint}")


def check_nonnegative(name: str, value: float) -> None:
    """Raise TypeError unless ``value`` is a real number, ValueError unless it is nonnegative and finite."""
    check_number(name, value, ">= 0 and finite", lambda value: 0 <= value < math.inf)


def check_number(name: str, value: float, rule: str, holds: Callable[[float], bool]) -> None:
    """Raise TypeError unless ``value`` is a real number, ValueError unless the rule holds for it."""
    if type(value) is not float and (not isinstance(value, Real) or isinstance(value, bool)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} must be a real number, got {value!r}")
    if not holds(value):
        raise ValueError(f"{name} must be {rule}, got {value}")


def check_finite_in(name: str, value: float, dtypes: Iterable[torch.dtype]) -> None:
    """Raise ValueError unless a number is finite in all these dtypes."""
    if abs(value) <= MAX_OF_ALL_DTYPES:  # then they need not be read
        return
    for dtype in dtypes:
        if not abs(value) <= torch.finfo(dtype).max:
            raise ValueError(f"{name} must be finite in {dtype}, got {value}{_cure(dtype)}")


def check_positive_in(name: str, value: float, dtype: torch.dtype) -> None:
    """Raise ValueError unless a number is at least the smallest normal one of a dtype, so that one can divide by it."""
    smallest = torch.finfo(dtype).tiny
    if value < smallest:
        raise ValueError(f"{name} must be >= {smallest:.3g} in {dtype}, got {value}{_cure(dtype)}")


def _cure(dtype: torch.dtype) -> str:
    return "" if dtype == torch.float64 else "; use torch.float64"


def check_count(name: str, value: int, at_least: int) -> None:
    """Raise TypeError unless ``value`` is an integer (bool excluded), ValueError if it is less than ``at_least``.

    NumPy integers pass. Unlike int they overflow, even when negated, so compute with ``int(value)``.
    """
    if type(value) is not int and (not isinstance(value, Integral | torch.SymInt) or isinstance(value, bool)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be >= {at_least}, got {value}")


def check_indices(name: str, indices: Tensor, size: int) -> None:
    """Raise ValueError unless all indices are in [0, size); the message names the first that is not."""
    if has_values(indices) and indices.numel():
        smallest, largest = row_extremes(indices)
        if smallest.item() < 0 or largest.item() >= size:
            cure = (
                "; to ignore an example, give it any valid index and the weight 0" if smallest.item() == IGNORED else ""
            )
            rule = f"in [0, {size})"
            check_values(name, indices, rule, lambda indices: (indices >= 0) & (indices < size), cure)


def check_pair(**tensors: Tensor) -> None:
    """Raise TypeError or ValueError unless two real floating-point tensors have the same dtype and shape."""
    check_floating(**tensors)
    check_same_dtype(**tensors)
    check_same_shape(**tensors)


def check_rank(name: str, x: Tensor, at_least: int, layout: str) -> None:
    """Raise ValueError if ``x`` has fewer than ``at_least`` dimensions; ``layout`` is the shape in the message."""
    if x.dim() < at_least:
        raise ValueError(f"{name} must have shape {layout}, got {tuple(x.shape)}")


def check_same_dtype(**tensors: Tensor) -> None:
    """Raise TypeError unless every tensor has the dtype of the first."""
    (first, x), *others = tensors.items()
    for name, other in others:
        if other.dtype != x.dtype:
            raise TypeError(f"{name} must have the dtype of {first}, {x.dtype}, got {other.dtype}")


def check_same_shape(**tensors: Tensor) -> None:
    """Raise ValueError unless two tensors have the same shape, because broadcasting would hide a mistake."""
    (name, x), (other, y) = tensors.items()
    if x.shape != y.shape:
        hint = ""
        if x.numel() == y.numel():
            hint = f"; {other}.reshape({name}.shape) makes them agree"
        raise ValueError(
            f"{name} and {other} must have the same shape, got {tuple(x.shape)} and {tuple(y.shape)}{hint}"
        )


def check_values(name: str, x: Tensor, rule: str, holds: Callable[[Tensor], Tensor], cure: str = "") -> None:
    """Raise ValueError unless the elementwise rule holds for all values; the message names the first violation."""
    if not has_values(x):
        return
    violation = first_violation(x, holds)
    if violation:
        index, value = violation
        place = f" at index {index[0] if len(index) == 1 else index}" if index else ""
        raise ValueError(f"{name} must be {rule}, got {value}{place}{cure}")


def check_weights(name: str, w: Tensor, *, n: int | None = None, finite: bool = True) -> None:
    """Raise TypeError unless ``w`` is floating-point, ValueError unless it is a vector of n nonnegative weights."""
    check_floating(**{name: w})
    if w.dim() != 1 or (n is not None and w.shape[0] != n):
        raise ValueError(f"{name} must have shape ({'n' if n is None else n},), got {tuple(w.shape)}")
    if finite:
        check_values(name, w, ">= 0 and finite", lambda w: (w >= 0) & (w < math.inf))
    else:
        check_values(name, w, ">= 0", lambda w: w >= 0)


def check_losses(losses: Tensor, *shape: int) -> None:
    """Raise TypeError or ValueError unless the caller's loss returned one floating-point value per example."""
    check_floating(losses=losses)
    if losses.shape != shape:
        raise ValueError(f"loss must return one value per example, shape {shape}, got {tuple(losses.shape)}")


def number_of_rows(**tensors: Tensor) -> int:
    """Return the common number of rows; raise TypeError unless all are tensors, ValueError if the numbers differ."""
    (first, x), *others = tensors.items()
    for name, tensor in tensors.items():
        _check_tensor(name, tensor)
        check_rank(name, tensor, 1, "(n, *)")
    for name, tensor in others:
        if tensor.shape[0] != x.shape[0]:
            raise ValueError(f"{first} and {name} must have the same number of rows, got {len(x)} and {len(tensor)}")
    return x.shape[0]  # len would fix the number that torch.export leaves open


def sizes_of(shape: int | Sequence[int], dtype: torch.dtype | None) -> tuple[int, ...]:
    """Return the shape of a new tensor as a tuple of int; raise unless it is valid and the dtype is floating-point."""
    sizes = (cast("int", shape),) if isinstance(shape, Integral) else tuple(cast("Sequence[int]", shape))
    for place, size in enumerate(sizes):
        check_count(f"shape[{place}]", size, 0)
    if not (dtype or torch.get_default_dtype()).is_floating_point:
        raise TypeError(f"dtype must be a floating-point dtype, got {dtype}")
    return tuple(size if isinstance(size, int | torch.SymInt) else int(size) for size in sizes)  # pyright: ignore[reportUnnecessaryIsInstance]
