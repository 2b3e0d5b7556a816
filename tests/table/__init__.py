"""The table that holds an entry for every public function: how to call it, and what it must refuse.

Each module of the library has a module here, whose ``ENTRIES`` are gathered into ``TABLE``. ``tests/test_table.py``
puts every entry through every layer named in ``LAYERS``, and fails for a function without an entry. A layer that
cannot hold for a function stands in its ``exempt`` with the reason; an exemption that is not needed fails, too.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

LAYERS = {
    "gradient": "gradcheck and gradgradcheck in float64",
    "func_grad": "torch.func.grad equals autograd",
    "vmap": "torch.vmap equals a loop",
    "compile": "torch.compile(fullgraph=True) gives the eager value and gradient",
    "dtypes": "float64, float32, bfloat16 and float16 keep their dtype and agree",
    "non_contiguous": "strides do not change the result",
    "empty": "what it does with no rows is written in the entry",
    "meta": "shapes and dtypes come out without values, and no tensor is made on another device",
}


@dataclass(frozen=True)
class Refusal:
    """A call that must be refused, and the whole message of the error."""

    error: type[Exception]
    message: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Entry:
    """How one public function is called.

    ``make`` draws positional arguments from a generator, floating tensors in float64. ``adapt``, where given, turns
    the function into one that maps ``make``'s tensors to a tensor (or a tuple of them). ``empty`` is a call with
    no rows and the shape that comes back, or a ``Refusal``.
    """

    make: Callable[[Generator], tuple[Any, ...]]
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    adapt: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function
    empty: tuple[tuple[Any, ...], tuple[int, ...]] | Refusal | None = None
    refusals: tuple[Refusal, ...] = ()
    exempt: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerance: float = 16.0
    """How many units of the dtype's eps, relative to the largest value, a result in that dtype may be off."""


@dataclass(frozen=True)
class Pair:
    """A faster or safer way that the library keeps beside a formula, and the formula as written.

    Both are called with each of ``arguments`` and must return equal tensors, to the tolerance of the dtype.
    """

    kept: Callable[..., Any]
    formula: Callable[..., Any]
    arguments: tuple[tuple[Any, ...], ...]
    tolerance: float | None = None


def normal(*shape: int) -> Callable[[Generator], tuple[Tensor]]:
    """Draw one standard normal tensor."""
    return lambda generator: (draw(generator, *shape),)


def draw(generator: Generator, *shape: int) -> Tensor:
    """Draw a standard normal tensor in float64."""
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def seeded(like: Tensor) -> Generator:
    """Return a generator of seed 0 on the device of a tensor; for one without values, on the CPU."""
    return Generator("cpu" if like.is_meta else like.device).manual_seed(0)


def integers(x: Tensor) -> Tensor:
    """Return the same tensor as integers, which most functions refuse."""
    return x.to(torch.int64)


def pairs() -> dict[str, Pair]:
    """Gather the pairs of all modules of this package by the name below ``dlcore`` of the way that is kept."""
    found: dict[str, Pair] = {}
    for info in pkgutil.walk_packages(__path__, __name__ + "."):
        found |= getattr(importlib.import_module(info.name), "PAIRS", {})
    return found


def gather() -> dict[str, Entry]:
    """Gather the entries of all modules of this package."""
    table: dict[str, Entry] = {}
    for info in pkgutil.walk_packages(__path__, __name__ + "."):
        if not info.ispkg:
            table |= importlib.import_module(info.name).ENTRIES
    return table
