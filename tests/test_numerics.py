"""Accumulation dtypes, projections onto the simplex, and percentile intervals."""

from types import ModuleType

import pytest
import torch


@pytest.fixture
def numerics(plain: ModuleType) -> ModuleType:
    return plain._numerics


@pytest.mark.parametrize(
    ("dtype", "accumulated"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_accumulates_in_float32(
    numerics: ModuleType, dtype: torch.dtype, accumulated: torch.dtype
) -> None:
    x = torch.ones(2, dtype=dtype)

    assert numerics.accumulation_dtype(dtype) == accumulated
    assert numerics.upcast(x).dtype == accumulated


def test_upcast_does_not_copy_single_or_double_precision(numerics: ModuleType) -> None:
    x = torch.ones(2)

    assert numerics.upcast(x) is x


def test_simplex_projection_is_the_nearest_distribution(numerics: ModuleType) -> None:
    v = torch.tensor([[0.5, 0.5, 0.5], [2.0, 0.0, -1.0], [0.2, 0.3, 0.5]], dtype=torch.float64)

    nearest = numerics.simplex_projection(v)

    expected = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(nearest, expected)
