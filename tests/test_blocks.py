"""What is computed in blocks of rows equals what is computed of all rows at once."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dlcore import _blocks, _rows, importance, losses, risk
from tests.test_memory_mapped import LargestTensor

FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "importance-weighted risk": risk.importance_weighted_risk,
    "normalized risk": lambda x, w: risk.importance_weighted_risk(x, w, normalize=True),
    "standard error": lambda x, _: risk.standard_error(x),
    "standard error with weights": risk.standard_error,
    "normalized standard error": lambda x, w: risk.standard_error(x, w, normalize=True),
    "generalization gap": risk.generalization_gap,
    "effective sample size": lambda _, w: importance.effective_sample_size(w),
    "Pareto shape": lambda _, w: importance.pareto_shape(w),
    "Pareto shape of the report": lambda _, w: torch.tensor(importance.diagnose(w).pareto_shape, dtype=w.dtype),
    "mean of the report": lambda _, w: torch.tensor(importance.diagnose(w).mean_weight, dtype=w.dtype),
    "size of the report": lambda _, w: torch.tensor(importance.diagnose(w).effective_sample_size, dtype=w.dtype),
}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "MAX_BLOCK_ENTRIES", 64)
    monkeypatch.setattr(_rows, "MAX_ENTRIES_AT_ONCE", 64)


def drawn(n: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, dtype=dtype, generator=generator) + 3
    return x, (1 - torch.rand(n, dtype=dtype, generator=generator)) ** -0.4


@pytest.mark.parametrize("name", FUNCTIONS)
def test_blocks_do_not_change_a_result(name: str, request: pytest.FixtureRequest) -> None:
    x, w = drawn(1000)

    at_once = FUNCTIONS[name](x, w)
    request.getfixturevalue("small_blocks")

    torch.testing.assert_close(FUNCTIONS[name](x, w), at_once, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_tensor_has_an_entry_for_each_row(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "MAX_BLOCK_ENTRIES", 2**14)
    monkeypatch.setattr(_rows, "MAX_ENTRIES_AT_ONCE", 2**16)
    x, w = drawn(1_000_000, torch.float32)

    with LargestTensor(x, w) as made:
        FUNCTIONS[name](x, w)

    assert made.largest < 4 * len(x), made.operation  # the smallest would be a copy in float32


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["normalized risk", "normalized standard error", "generalization gap"])
def test_a_gradient_is_that_of_all_rows(name: str) -> None:
    x, w = drawn(70)

    assert torch.autograd.gradcheck(FUNCTIONS[name], (x.requires_grad_(), w))


@pytest.mark.usefixtures("small_blocks")
def test_the_first_bad_value_is_found_in_any_block() -> None:
    w = torch.ones(300)
    w[[130, 200]] = torch.tensor([-1.0, -2.0])

    with pytest.raises(ValueError, match=r"w must be >= 0 and finite, got -1\.0 at index 130$"):
        importance.effective_sample_size(w)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 1\], got -1\.0 at index \(65, 0\)"):
        losses.logistic_loss(torch.zeros(150, 2), w.view(150, 2))


@pytest.mark.usefixtures("small_blocks")
def test_the_largest_weights_are_found_in_all_blocks() -> None:
    w = torch.arange(200.0)[torch.randperm(200)]

    values, index = _rows.row_topk(w, 100)

    assert values.tolist() == [*range(199, 99, -1)]
    assert torch.equal(w[index], values)
