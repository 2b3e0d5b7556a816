"""The table that holds an entry for every public function: how to call it, and what it must refuse.

Each module of the library has a module here, whose ``ENTRIES`` are gathered into ``TABLE``. ``tests/test_table.py``
puts every entry through every layer named in ``LAYERS``, ``tests/test_two_processes.py`` through those of
``LAYERS_OF_TWO_PROCESSES``, and both fail for a function without an entry. A layer that cannot hold for a function
stands in its ``exempt``, or in ``tests/exemptions.py``, with the reason; an exemption that is not needed fails, too.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils._pytree import tree_map

from tests.exemptions import exemptions_of
from tests.library import resolve

LAYERS = {
    "gradient": "gradcheck and gradgradcheck pass in float64",
    "func_grad": "torch.func.grad equals autograd",
    "vmap": "torch.vmap equals a loop",
    "compile": "torch.compile(fullgraph=True) gives the eager value and gradient",
    "dtypes": "float64, float32, bfloat16 and float16 keep their dtype and agree",
    "non_contiguous": "strides do not change the result",
    "empty": "a call with no rows returns the expected shape or raises the expected error",
    "meta": "on the meta device, shape and dtype are right, and no tensor is created on another device",
    "autocast": "inside torch.autocast, the value and gradient are those of float32 to the precision of bfloat16",
    "dynamic": "torch.compile(fullgraph=True) compiles at most twice for three numbers of rows",
    "export": "the program that torch.export returns gives the eager value for any number of rows",
}
LAYERS_OF_TWO_PROCESSES = {
    "ddp": "in a module inside DistributedDataParallel, where each process has its own data, the gradient equals that "
    "of a single process with all the data",
    "fsdp": "the same in a module sharded by fully_shard; functions of parameters take its sharded parameters",
    "dtensor": "DTensors with rows sharded over two processes, unequally, give the value and gradient of plain tensors",
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
    """A faster or safer implementation of a formula in the library, and the formula as written.

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
    for name, entry in table.items():
        uncompiled = {layer: entry.exempt["compile"] for layer in ("dynamic", "export") if "compile" in entry.exempt}
        table[name] = replace(entry, exempt={**entry.exempt, **uncompiled, **exemptions_of(name)})
    return table


def is_floating(x: object) -> bool:
    """Tell whether this is a floating-point tensor."""
    return isinstance(x, Tensor) and x.is_floating_point()


def on_tensors(change: Callable[[Tensor], Any], tree: Any) -> Any:
    """Change every tensor of a tree."""
    return tree_map(lambda x: change(x) if isinstance(x, Tensor) else x, tree)


def on_floating(change: Callable[[Tensor], Any], tree: Any) -> Any:
    """Change every floating-point tensor of a tree."""
    return tree_map(lambda x: change(x) if is_floating(x) else x, tree)


def number_of_rows(args: tuple[Any, ...]) -> int:
    """Return the number of rows of the first tensor that has any."""
    return next(len(x) for x in args if isinstance(x, Tensor) and x.dim())


def has_rows(x: Any, n: int) -> bool:
    """Tell whether this is a tensor of that many rows."""
    return isinstance(x, Tensor) and x.shape[:1] == (n,)


def called(library: ModuleType, name: str, entry: Entry) -> Callable[..., Any]:
    """Return the function as its entry calls it: tensors in, a tensor or a tuple of tensors out."""
    function = entry.adapt(resolve(library, name))

    def call(*args: Any) -> Any:
        return function(*args, **entry.kwargs)

    return call


def as_function_of_floats(call: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Callable[..., Any], list[Tensor]]:
    """Return the call as a function of its floating arguments alone, and those."""
    places = [i for i, x in enumerate(args) if is_floating(x)]

    def of_floats(*floats: Tensor) -> Any:
        full = list(args)
        for i, x in zip(places, floats, strict=True):
            full[i] = x
        return call(*full)

    return of_floats, [args[i] for i in places]


def total(tree: Any) -> Tensor:
    """Sum everything that came back, each output weighted differently, so that no gradient cancels."""
    outputs = [x for x in (tree if isinstance(tree, tuple) else (tree,)) if is_floating(x)]
    weights = [torch.linspace(0.5, 1.5, x.numel(), dtype=x.dtype, device=x.device).reshape(x.shape) for x in outputs]
    return sum(((x * w).sum() for x, w in zip(outputs, weights, strict=True)), start=outputs[0].new_zeros(()))
