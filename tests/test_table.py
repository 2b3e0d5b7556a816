"""What must hold for every public function, from the one table in ``tests/table``."""

import ast
import inspect
import math
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from numpydoc.docscrape import FunctionDoc
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.export import Dim

import dlcore
from tests.library import public_functions, resolve
from tests.table import (
    LAYERS,
    LAYERS_OF_TWO_PROCESSES,
    Entry,
    Refusal,
    as_function_of_floats,
    gather,
    has_rows,
    is_floating,
    number_of_rows,
    on_floating,
    on_tensors,
    total,
)
from tests.table import called as call_of_entry

TABLE = gather()
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        present = ["cpu", *([accelerator.type] if accelerator else [])]
        metafunc.parametrize("device", metafunc.config.getoption("--device") or present)


def draws(entry: Entry, device: str = "cpu", n: int = 1) -> list[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(0)
    return [on_tensors(lambda x: x.to(device), entry.make(generator)) for _ in range(n)]


def called(library: ModuleType, name: str) -> Callable[..., Any]:
    return call_of_entry(library, name, TABLE[name])


def check_gradient(library: ModuleType, name: str, device: str) -> None:
    of_floats, floats = as_function_of_floats(called(library, name), draws(TABLE[name], device)[0])
    inputs = [x.clone().requires_grad_() for x in floats]

    assert inputs
    try:
        assert torch.autograd.gradcheck(of_floats, inputs)
    except ValueError as error:
        error.add_note(
            f"{name} refuses an argument that moved by 1e-6, as gradcheck moves it: let `make` in its Entry "
            "draw it as integers and `adapt` convert it, or exempt `gradient` with the reason"
        )
        raise
    assert torch.autograd.gradgradcheck(of_floats, inputs)


def check_func_grad(library: ModuleType, name: str, device: str) -> None:
    of_floats, floats = as_function_of_floats(called(library, name), draws(TABLE[name], device)[0])
    inputs = [x.clone().requires_grad_() for x in floats]

    by_transform = torch.func.grad(lambda *xs: total(of_floats(*xs)), argnums=tuple(range(len(floats))))(*floats)
    by_autograd = torch.autograd.grad(total(of_floats(*inputs)), inputs)

    torch.testing.assert_close(by_transform, by_autograd)


def check_vmap(library: ModuleType, name: str, device: str) -> None:
    call = called(library, name)
    rows = draws(TABLE[name], device, 3)
    places = [i for i, x in enumerate(rows[0]) if isinstance(x, Tensor)]
    stacked = [torch.stack([row[i] for row in rows]) if i in places else x for i, x in enumerate(rows[0])]

    in_dims = tuple(0 if i in places else None for i in range(len(stacked)))
    batched = torch.vmap(call, in_dims=in_dims, randomness="different")(*stacked)
    looped = [call(*row) for row in rows]

    if isinstance(batched, tuple):
        torch.testing.assert_close(batched, tuple(torch.stack(outputs) for outputs in zip(*looped, strict=True)))
    else:
        torch.testing.assert_close(batched, torch.stack(looped))


def check_compile(library: ModuleType, name: str, device: str) -> None:
    torch.compiler.reset()
    call = called(library, name)
    of_floats, floats = as_function_of_floats(call, draws(TABLE[name], device)[0])
    eager, traced = ([x.clone().requires_grad_() for x in floats] for _ in range(2))

    expected = of_floats(*eager)
    actual = torch.compile(of_floats, fullgraph=True, backend="aot_eager")(*traced)

    torch.testing.assert_close(actual, expected)
    if "gradient" not in TABLE[name].exempt:
        torch.testing.assert_close(
            torch.autograd.grad(total(actual), traced), torch.autograd.grad(total(expected), eager)
        )


def check_dtypes(library: ModuleType, name: str, device: str) -> None:
    call = called(library, name)
    args = draws(TABLE[name], device)[0]
    # the inputs are first rounded to the coarsest dtype: what differs then is the computation, not its input
    args = on_floating(lambda x: x.to(torch.bfloat16).to(torch.float16).to(torch.float64), args)
    expected = call(*args)
    for dtype in DTYPES:
        actual = call(*on_floating(partial(Tensor.to, dtype=dtype), args))

        for got, want in zip(*(x if isinstance(x, tuple) else (x,) for x in (actual, expected)), strict=True):
            assert got.dtype == (dtype if is_floating(want) else want.dtype)
            if is_floating(want):
                bound = TABLE[name].tolerance * torch.finfo(dtype).eps * want.abs().max()
                assert (got.to(torch.float64) - want).abs().max() <= bound


def check_non_contiguous(library: ModuleType, name: str, device: str) -> None:
    call = called(library, name)
    args = draws(TABLE[name], device)[0]

    spread = on_tensors(lambda x: torch.stack([x, x], dim=-1)[..., 0], args)

    assert any(isinstance(x, Tensor) and not x.is_contiguous() for x in spread)
    torch.testing.assert_close(call(*spread), call(*args))


def check_empty(library: ModuleType, name: str, device: str) -> None:
    empty = TABLE[name].empty
    assert empty is not None, f"the entry of {name} does not say what it does with no rows"
    if isinstance(empty, Refusal):
        check_refusal(library, name, empty)
    else:
        args, shape = empty

        result = called(library, name)(*on_tensors(lambda x: x.to(device), args))

        assert tuple(result.shape) == shape


def check_meta(library: ModuleType, name: str, device: str) -> None:
    call = called(library, name)
    args = draws(TABLE[name], device)[0]

    metas = on_tensors(lambda x: x.to("meta"), args)
    actual = call(*metas)

    for got, want in zip(*(x if isinstance(x, tuple) else (x,) for x in (actual, call(*args))), strict=True):
        assert got.is_meta
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
    # Unlike meta tensors alone, FakeTensorMode raises where devices meet; a shuffle on the CPU has no values in it.
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, suppress(DataDependentOutputException):
        call(*on_tensors(mode.from_tensor, metas))


def check_autocast(library: ModuleType, name: str, device: str) -> None:
    with_gradient = "gradient" not in TABLE[name].exempt
    args = on_floating(Tensor.float, draws(TABLE[name], device)[0])
    of_floats, floats = as_function_of_floats(called(library, name), args)
    inputs, others = ([x.clone().requires_grad_(with_gradient) for x in floats] for _ in range(2))

    expected = in_a_tuple(of_floats(*inputs))
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        actual = in_a_tuple(of_floats(*others))

    if with_gradient:
        expected += torch.autograd.grad(total(expected), inputs)
        actual += torch.autograd.grad(total(actual), others)
    for got, want in zip(actual, expected, strict=True):
        bound = TABLE[name].tolerance * torch.finfo(torch.bfloat16).eps * want.abs().max()
        assert got.shape == want.shape
        assert got.dtype in ({torch.float32, torch.bfloat16} if is_floating(want) else {want.dtype})
        assert (got.double() - want.double()).abs().max() <= bound


@torch._dynamo.config.patch(recompile_limit=2)  # a third compilation raises
def check_dynamic(library: ModuleType, name: str, device: str) -> None:
    torch.compiler.reset()
    with_gradient = "gradient" not in TABLE[name].exempt
    call = called(library, name)
    compiled = torch.compile(call, fullgraph=True, backend="eager")
    args = draws(TABLE[name], device)[0]

    for times in (1, 2, 3):
        more = repeated(args, times)
        inputs, others = (on_floating(lambda x: x.clone().requires_grad_(with_gradient), more) for _ in range(2))
        expected, actual = call(*inputs), compiled(*others)

        torch.testing.assert_close(actual, expected)
        if with_gradient:
            by_eager = torch.autograd.grad(total(expected), list(filter(is_floating, inputs)))
            by_compiled = torch.autograd.grad(total(actual), list(filter(is_floating, others)))
            torch.testing.assert_close(by_compiled, by_eager)


def check_export(library: ModuleType, name: str, device: str) -> None:
    args = draws(TABLE[name], device)[0]
    n = number_of_rows(args)
    sizes = tuple({0: Dim.DYNAMIC} if has_rows(x, n) else None for x in args)

    exported = torch.export.export(Calling(called(library, name)), args, dynamic_shapes={"args": sizes})

    for times in (1, 3):
        more = repeated(args, times)
        torch.testing.assert_close(exported.module()(*more), called(library, name)(*more))


class Calling(nn.Module):
    """A module without parameters that calls a function."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self, *args: Any) -> Any:
        """Return what the function returns."""
        return self.call(*args)


def in_a_tuple(tree: Any) -> tuple[Tensor, ...]:
    return tree if isinstance(tree, tuple) else (tree,)


def repeated(args: tuple[Any, ...], times: int) -> tuple[Any, ...]:
    """Repeat the rows of the tensors that have as many as the first."""
    n = number_of_rows(args)
    return on_tensors(lambda x: x.repeat(times, *[1] * (x.dim() - 1)) if has_rows(x, n) else x, args)


def check_refusal(library: ModuleType, name: str, refusal: Refusal) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # its class and message are compared below
        resolve(library, name)(*refusal.args, **refusal.kwargs)

    # by name: a class of the library's own exists once in each of its two copies
    actual, expected = type(caught.value), refusal.error
    assert (actual.__module__, actual.__qualname__) == (expected.__module__, expected.__qualname__)
    assert str(caught.value) == refusal.message


CHECKS = {layer: globals()[f"check_{layer}"] for layer in LAYERS}


def test_table_holds_every_public_function_and_nothing_else() -> None:
    functions = public_functions()
    files = {name: f"tests/table/{name.rpartition('.')[0].replace('.', '_')}.py" for name in functions}

    missing = [f"{name}: add an Entry to ENTRIES in {files[name]}" for name in sorted(set(functions) - set(TABLE))]
    left_over = [f"{name}: no public function; remove its Entry" for name in sorted(set(TABLE) - set(functions))]
    assert not missing + left_over, "\n".join(missing + left_over)


def test_exemptions_name_known_layers_and_give_a_reason() -> None:
    for name, entry in TABLE.items():
        assert set(entry.exempt) <= set(LAYERS | LAYERS_OF_TWO_PROCESSES), name
        assert all(len(reason) > 10 for reason in entry.exempt.values()), name


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", sorted(TABLE))
def test_layer(name: str, layer: str, device: str, plain: ModuleType) -> None:
    if layer not in TABLE[name].exempt:
        CHECKS[layer](plain, name, device)
    else:
        # An exemption that is not needed is a lie on the evidence page: whatever stops the check will do.
        with pytest.raises(Exception):  # noqa: B017, PT011
            CHECKS[layer](plain, name, device)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_annotations_hold_for_every_dtype(name: str, device: str) -> None:
    call = called(dlcore, name)
    args = draws(TABLE[name], device)[0]
    dtypes = DTYPES if "dtypes" not in TABLE[name].exempt else DTYPES[:2]

    for dtype in dtypes:
        call(*on_floating(partial(Tensor.to, dtype=dtype), args))


@pytest.mark.parametrize(
    ("name", "refusal"),
    [pytest.param(name, r, id=f"{name}: {r.message}") for name, entry in sorted(TABLE.items()) for r in entry.refusals],
)
def test_refuses(name: str, refusal: Refusal, plain: ModuleType) -> None:
    check_refusal(plain, name, refusal)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_raises_line_has_a_refusal(name: str, plain: ModuleType) -> None:
    documented = Counter(item.type for item in FunctionDoc(resolve(plain, name))["Raises"])
    entry = TABLE[name]
    refusals = [*entry.refusals, *([entry.empty] if isinstance(entry.empty, Refusal) else [])]
    tested = Counter(refusal.error.__name__ for refusal in refusals)

    hint = f"give each line of Raises of {name} a Refusal in its Entry, and each Refusal's error a line of Raises"
    assert set(documented) == set(tested), hint
    assert documented <= tested, hint


SAID = {"e": math.e, "inf": math.inf, "sqrt(2)": math.sqrt(2)}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_default_is_what_the_docstring_says(name: str, plain: ModuleType) -> None:
    function = resolve(plain, name)
    said = {
        parameter.strip(): SAID[default] if default in SAID else ast.literal_eval(default)
        for item in FunctionDoc(function)["Parameters"]
        for parameter in item.name.split(",")
        for default in re.findall(r"default (.+)$", item.type)
    }

    parameters = inspect.signature(function).parameters

    assert said == {parameter: parameters[parameter].default for parameter in said}


PLAIN_ADAPT = Entry.__dataclass_fields__["adapt"].default
WELCOME_ARRAYS = {"model_selection.train_test_split"}  # as torch itself takes them at the boundary
TENSORS_IN = sorted(name for name, entry in TABLE.items() if entry.adapt is PLAIN_ADAPT and name not in WELCOME_ARRAYS)


@pytest.mark.parametrize("name", TENSORS_IN)
def test_numpy_arrays_are_told_how_to_convert(name: str, plain: ModuleType) -> None:
    arrays = on_tensors(Tensor.numpy, draws(TABLE[name])[0])

    with pytest.raises(TypeError, match=r"must be a torch\.Tensor, got ndarray; torch\.as_tensor\(.*\) converts it"):
        called(plain, name)(*arrays)
