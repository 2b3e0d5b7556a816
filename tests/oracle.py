"""What the oracle tests share: numbers of 50 digits, and tensors drawn for hypothesis."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from mpmath import mp
from torch import Tensor

mp.dps = 50


def exact(x: Tensor) -> list[mp.mpf]:
    """Return the entries of a tensor as numbers of 50 digits."""
    return [mp.mpf(value) for value in x.detach().flatten().tolist()]


def tensors(
    *, min_size: int = 1, max_size: int = 6, largest: float = 1e3, dtype: torch.dtype = torch.float64
) -> st.SearchStrategy[Tensor]:
    """Draw vectors with entries in [-largest, largest]."""
    entries = st.floats(-largest, largest, width=64, allow_subnormal=False)
    return st.lists(entries, min_size=min_size, max_size=max_size).map(lambda values: torch.tensor(values, dtype=dtype))


def assert_matches(actual: Tensor, oracle: Callable[..., mp.mpf], *args: Tensor, ulps: float = 4.0) -> None:
    """Assert that a 0-dimensional result is the oracle's, to so many units in the last place of its dtype."""
    expected = oracle(*(exact(x) for x in args))
    eps = torch.finfo(actual.dtype).eps
    assert_within(actual, expected, ulps * eps * abs(expected) + torch.finfo(actual.dtype).tiny)


def assert_within(actual: Tensor, expected: mp.mpf, bound: mp.mpf) -> None:
    """Assert that a 0-dimensional result is no further from a number of 50 digits than a bound."""
    assert abs(mp.mpf(actual.item()) - expected) <= bound
