"""Argument checks: one message format, and no read of values that do not exist."""

import math
import re
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture
def checks(plain: ModuleType) -> ModuleType:
    return plain._checks


FLOATS = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("value", "got"),
    [([1.0], "list"), (1.0, "float"), (None, "NoneType")],
)
def test_check_floating_and_check_integer_require_a_tensor(checks: ModuleType, value: object, got: str) -> None:
    for check in (checks.check_floating, checks.check_integer):
        with pytest.raises(TypeError, match=rf"^x must be a torch\.Tensor, got {got}"):
            check(x=value)


def test_error_for_a_numpy_array_says_how_to_convert_it(checks: ModuleType) -> None:
    for check in (checks.check_floating, checks.check_integer, checks.number_of_rows):
        with pytest.raises(
            TypeError, match=r"^x must be a torch\.Tensor, got ndarray; torch\.as_tensor\(x\) converts it$"
        ):
            check(x=np.ones(2))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_check_floating_refuses_what_is_not_real(checks: ModuleType, dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=f"^y must be a real floating-point tensor, got {dtype}$"):
        checks.check_floating(x=FLOATS, y=torch.zeros(2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_check_integer_refuses_other_dtypes(checks: ModuleType, dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=f"^labels must be an integer tensor, got {dtype}$"):
        checks.check_integer(labels=torch.zeros(2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_check_integer_accepts_every_integer_dtype(checks: ModuleType, dtype: torch.dtype) -> None:
    checks.check_integer(labels=torch.zeros(2, dtype=dtype))


@pytest.mark.parametrize("value", ["1", None, True, FLOATS])
def test_check_number_requires_a_real_number(checks: ModuleType, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^delta must be a real number, got "):
        checks.check_number("delta", value, "> 0", lambda delta: delta > 0)


@pytest.mark.parametrize("value", [0, -1.5, math.nan])
def test_check_number_names_parameter_rule_and_value(checks: ModuleType, value: float) -> None:
    with pytest.raises(ValueError, match=f"^delta must be > 0, got {value}$"):
        checks.check_number("delta", value, "> 0", lambda delta: delta > 0)


@pytest.mark.parametrize("value", [2.0, "2", None, True, FLOATS])
def test_check_count_requires_an_integer(checks: ModuleType, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^batch_size must be an integer, got "):
        checks.check_count("batch_size", value, 1)


def test_check_count_names_parameter_rule_and_value(checks: ModuleType) -> None:
    checks.check_count("batch_size", 1, 1)

    with pytest.raises(ValueError, match=r"^batch_size must be >= 1, got 0$"):
        checks.check_count("batch_size", 0, 1)


@pytest.mark.parametrize("value", [-1, math.inf, math.nan])
def test_check_nonnegative_requires_a_finite_number_that_is_not_negative(checks: ModuleType, value: float) -> None:
    checks.check_nonnegative("lr", 0)

    with pytest.raises(ValueError, match=f"^lr must be >= 0 and finite, got {value}$"):
        checks.check_nonnegative("lr", value)


def test_check_rank_names_the_layout(checks: ModuleType) -> None:
    checks.check_rank("x", torch.ones(2, 3), 2, "(n, d)")

    with pytest.raises(ValueError, match=r"^x must have shape \(n, d\), got \(2,\)$"):
        checks.check_rank("x", FLOATS, 2, "(n, d)")


def test_check_same_shape_tells_how_to_reshape(checks: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"got \(2, 1\) and \(2,\); y.reshape\(y_hat.shape\) makes them agree$"):
        checks.check_same_shape(y_hat=torch.ones(2, 1), y=FLOATS)


def test_check_same_shape_accepts_equal_shapes(checks: ModuleType) -> None:
    checks.check_same_shape(y_hat=FLOATS, y=-FLOATS)


def test_check_same_shape_gives_no_hint_where_no_reshape_helps(checks: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"got \(3,\) and \(2,\)$"):
        checks.check_same_shape(y_hat=torch.ones(3), y=FLOATS)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.tensor([1.0, -0.5, -2.0]), "weights must be >= 0, got -0.5 at index 1"),
        (torch.tensor([[1.0, math.nan]]), "weights must be >= 0, got nan at index (0, 1)"),
        (torch.tensor(-1.0), "weights must be >= 0, got -1.0"),
    ],
)
def test_check_values_names_the_first_violation(checks: ModuleType, weights: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checks.check_values("weights", weights, ">= 0", lambda w: w >= 0)


def test_check_values_accepts_valid_and_empty_tensors(checks: ModuleType) -> None:
    checks.check_values("weights", FLOATS, ">= 0", lambda w: w >= 0)
    checks.check_values("weights", torch.ones(0), ">= 0", lambda w: w >= 0)


def test_values_are_not_read_where_there_are_none(checks: ModuleType) -> None:
    def guarded(w: torch.Tensor) -> torch.Tensor:
        checks.check_values("weights", w, ">= 0", lambda w: w >= 0)
        return w * 2

    bad = torch.tensor([[1.0], [-1.0]])
    with torch._subclasses.FakeTensorMode() as fake:
        fakes = guarded(fake.from_tensor(bad))

    assert fakes.shape == bad.shape
    assert guarded(bad.to("meta")).is_meta
    assert torch.equal(torch.vmap(guarded)(bad), bad * 2)
    assert torch.equal(torch.compile(guarded, fullgraph=True, backend="eager")(bad), bad * 2)
    with pytest.raises(ValueError, match=r"got -1\.0"):
        guarded(bad)


def test_values_of_a_parameter_and_of_other_subclasses_are_read(checks: ModuleType) -> None:
    class Subclass(torch.Tensor):
        pass

    for bad in (torch.nn.Parameter(-FLOATS), (-FLOATS).as_subclass(Subclass)):
        assert checks.has_values(bad)
        with pytest.raises(ValueError, match="weights must be >= 0"):
            checks.check_values("weights", bad, ">= 0", lambda w: w >= 0)


# NumPy integers


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8, np.uint64])
def test_check_count_accepts_numpy_integers(checks: ModuleType, kind: Any) -> None:
    checks.check_count("batch_size", kind(2), 1)

    with pytest.raises(ValueError, match=r"^batch_size must be >= 3, got 2$"):
        checks.check_count("batch_size", kind(2), 3)


def test_sizes_of_numpy_integers_are_python_integers(checks: ModuleType) -> None:
    for shape in (np.int64(3), (np.int64(3), 2), [3, np.uint8(2)]):
        sizes = checks.sizes_of(shape, None)

        assert sizes == (3, 2)[: len(sizes)]
        assert {type(size) for size in sizes} == {int}
    with pytest.raises(TypeError, match=r"^shape\[0\] must be an integer, got True$"):
        checks.sizes_of((True, 2), None)


# The index of an invalid value, in any number of dimensions


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (torch.tensor([0, 3, 5]), "labels must be in [0, 3), got 3 at index 1"),
        (torch.tensor([[0, 2], [-1, 7]]), "labels must be in [0, 3), got -1 at index (1, 0)"),
        (torch.tensor([[0, 1, 2], [2, 2, 9]]).T, "labels must be in [0, 3), got 9 at index (2, 1)"),
        (torch.tensor(3), "labels must be in [0, 3), got 3"),
    ],
)
def test_check_indices_names_the_first_violation(checks: ModuleType, indices: torch.Tensor, message: str) -> None:
    checks.check_indices("labels", indices.clamp(0, 2), 3)

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checks.check_indices("labels", indices, 3)


# Weights, losses and rows


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (FLOATS[:, None], {}, "w must have shape (n,), got (2, 1)"),
        (FLOATS, {"n": 3}, "w must have shape (3,), got (2,)"),
        (torch.tensor([0.0, math.inf]), {}, "w must be >= 0 and finite, got inf at index 1"),
        (torch.tensor([0.0, -1.0]), {"finite": False}, "w must be >= 0, got -1.0 at index 1"),
        (torch.tensor([math.nan, math.inf]), {"finite": False}, "w must be >= 0, got nan at index 0"),
    ],
)
def test_check_weights_names_what_is_wrong(
    checks: ModuleType, weights: torch.Tensor, options: dict[str, Any], message: str
) -> None:
    checks.check_weights("w", torch.zeros(2), n=2)
    checks.check_weights("w", torch.tensor([0.0, math.inf]), finite=False)

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checks.check_weights("w", weights, **options)


def test_check_losses_requires_one_value_per_example(checks: ModuleType) -> None:
    checks.check_losses(FLOATS, 2)

    with pytest.raises(ValueError, match=r"^loss must return one value per example, shape \(3,\), got \(2,\)$"):
        checks.check_losses(FLOATS, 3)


def test_tensors_must_agree_in_dtype_and_rows(checks: ModuleType) -> None:
    checks.check_pair(x=FLOATS, y=-FLOATS)
    assert checks.number_of_rows(x=FLOATS, y=torch.ones(2, 5)) == 2

    with pytest.raises(TypeError, match=r"^y must have the dtype of x, torch\.float32, got torch\.float64$"):
        checks.check_pair(x=FLOATS, y=FLOATS.double())
    with pytest.raises(ValueError, match=r"^x and y must have the same number of rows, got 2 and 3$"):
        checks.number_of_rows(x=FLOATS, y=torch.ones(3))
    with pytest.raises(TypeError, match=r"^dtype must be a floating-point dtype, got torch\.int64$"):
        checks.sizes_of(2, torch.int64)
