"""Minibatches: each row exactly once, every order equally likely, and errors at the call."""

import itertools
import math
from collections import Counter
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed.tensor import Shard, distribute_tensor
from torch.utils.data import DataLoader, TensorDataset

from dlcore import _order, batches
from tests.processes import mesh_of_one


@given(st.integers(0, 40), st.integers(1, 45), st.booleans(), st.integers(0, 100))
def test_each_row_comes_exactly_once(n: int, batch_size: int, shuffle: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    epoch = list(batches.minibatches(torch.arange(n), batch_size=batch_size, shuffle=shuffle, generator=generator))

    assert sorted(int(i) for (rows,) in epoch for i in rows) == list(range(n))
    assert [len(rows) for (rows,) in epoch[:-1]] == [batch_size] * (len(epoch) - 1)
    assert len(epoch) == -(-n // batch_size)


@given(st.integers(0, 40), st.integers(1, 45), st.booleans())
def test_drop_last_leaves_full_batches_only(n: int, batch_size: int, shuffle: bool) -> None:
    epoch = list(batches.minibatches(torch.arange(n), batch_size=batch_size, shuffle=shuffle, drop_last=True))

    assert [len(rows) for (rows,) in epoch] == [batch_size] * (n // batch_size)
    assert len({int(i) for (rows,) in epoch for i in rows}) == n // batch_size * batch_size


def test_rows_of_the_tensors_stay_together() -> None:
    x, y, z = torch.arange(12.0).reshape(6, 2), torch.arange(6) * 2, torch.arange(6.0).reshape(6, 1, 1)

    for rows, labels, others in batches.minibatches(x, y, z, batch_size=4):
        assert torch.equal(rows[:, 0], labels)
        assert torch.equal(others[:, 0, 0] * 2, labels)


def test_every_order_is_equally_likely() -> None:
    generator, draws = torch.Generator().manual_seed(0), 6000

    counts = Counter(
        tuple(
            torch.cat(
                [rows for (rows,) in batches.minibatches(torch.arange(3), batch_size=2, generator=generator)]
            ).tolist()
        )
        for _ in range(draws)
    )

    assert set(counts) == set(itertools.permutations(range(3)))
    deviation = (draws / 6 * 5 / 6) ** 0.5
    assert all(abs(count - draws / 6) < 4 * deviation for count in counts.values())


@pytest.mark.held_against("PyTorch", batches.minibatches)
def test_without_shuffling_the_batches_are_those_of_a_data_loader_and_views() -> None:
    x, y = torch.randn(11, 3), torch.arange(11)

    epoch = list(batches.minibatches(x, y, batch_size=4, shuffle=False))

    for (rows, labels), loaded in zip(epoch, DataLoader(TensorDataset(x, y), batch_size=4), strict=True):
        assert torch.equal(rows, loaded[0])
        assert torch.equal(labels, loaded[1])
    assert epoch[0][0].data_ptr() == x.data_ptr()


def test_a_generator_makes_it_reproducible_and_leaves_the_global_state_alone() -> None:
    x = torch.arange(100)
    before = torch.get_rng_state()

    first, second = (
        torch.cat(
            [rows for (rows,) in batches.minibatches(x, batch_size=7, generator=torch.Generator().manual_seed(3))]
        )
        for _ in range(2)
    )

    assert torch.equal(first, second)
    assert not torch.equal(first, x)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_seed_decides() -> None:
    x = torch.arange(100)

    epochs = []
    for _ in range(2):
        torch.manual_seed(1)
        epochs.append([torch.cat(list(itertools.chain(*batches.minibatches(x, batch_size=9)))) for _ in range(2)])

    assert torch.equal(epochs[0][0], epochs[1][0])
    assert not torch.equal(epochs[0][0], epochs[0][1])


def test_numpy_arrays_are_accepted_and_keep_their_dtype() -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)

    epoch = list(batches.minibatches(x, y, batch_size=4, shuffle=False))

    assert [(rows.dtype, labels.dtype) for rows, labels in epoch] == [(torch.float64, torch.int64)] * 2
    np.testing.assert_array_equal(torch.cat([rows for rows, _ in epoch]).numpy(), x)


def test_one_tensor_is_returned_in_tuples_too() -> None:
    (batch,) = batches.minibatches(torch.arange(3), batch_size=5, shuffle=False)

    assert isinstance(batch, tuple)
    assert torch.equal(batch[0], torch.arange(3))


def test_errors_are_raised_at_the_call_not_at_the_first_batch(plain: ModuleType) -> None:
    with pytest.raises(ValueError, match="same number of rows"):
        plain.batches.minibatches(torch.ones(3), torch.ones(4), batch_size=2)


def test_gradient_flows_through_shuffled_batches_to_their_rows() -> None:
    x = torch.randn(7, 2, requires_grad=True)

    total = sum((rows**2).sum() for (rows,) in batches.minibatches(x, batch_size=3))
    (gradient,) = torch.autograd.grad(total, x)

    torch.testing.assert_close(gradient, 2 * x)


@pytest.mark.parametrize("batch_size", [1, 7, 300])
def test_batches_do_not_depend_on_how_many_are_gathered_at_a_time(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.arange(1000.0).reshape(-1, 2)
    at_once = [*batches.minibatches(x, batch_size=batch_size, generator=torch.Generator().manual_seed(0))]
    monkeypatch.setattr("dlcore.batches.MAX_GATHERED_ENTRIES", 30)

    few = [*batches.minibatches(x, batch_size=batch_size, generator=torch.Generator().manual_seed(0))]

    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    assert [len(rows) for (rows,) in few] == [len(rows) for rows in order.split(batch_size)]
    assert torch.equal(torch.cat([rows for (rows,) in few]), x[order])
    assert all(torch.equal(a, b) for (a,), (b,) in zip(few, at_once, strict=True))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batch_size_may_be_a_numpy_integer(shuffle: bool, drop_last: bool, plain: ModuleType) -> None:
    options = {"shuffle": shuffle, "drop_last": drop_last}

    sizes = [len(x) for (x,) in plain.batches.minibatches(torch.arange(5), batch_size=np.int64(2), **options)]

    assert sizes == ([2, 2] if drop_last else [2, 2, 1])


@pytest.mark.held_against("PyTorch", batches.shard_rows)  # with several processes in tests/test_sharded.py
def test_rows_are_sharded_as_torch_shards_them() -> None:
    rows, mesh = torch.arange(6.0).reshape(3, 2), mesh_of_one()

    sharded, expected = batches.shard_rows(rows, mesh), distribute_tensor(rows, mesh, [Shard(0)])

    assert sharded.placements == expected.placements
    assert (sharded.shape, sharded.stride()) == (expected.shape, expected.stride())
    assert torch.equal(sharded.full_tensor(), rows)


# An order that is computed


@given(st.integers(1, 300), st.integers(0, 2**62))
def test_a_computed_order_is_a_permutation_whose_parts_can_be_found(n: int, seed: int) -> None:
    order = computed_order(n, seed)

    permutation = order.rows(0, n)

    assert torch.equal(permutation.sort().values, torch.arange(n))
    start = n // 3
    places, found = order.part(start, n)
    assert torch.equal(places, places.sort().values)
    assert torch.equal(permutation[places], found + start)


def computed_order(n: int, seed: int) -> _order.ComputedOrder:
    keys = torch.randint(2**62, (_order.ROUNDS,), generator=torch.Generator().manual_seed(seed))
    return _order.ComputedOrder(n, tuple(keys.tolist()))


def test_a_computed_order_has_no_pattern() -> None:
    n, batch_size = 2**20 - 3, 4096
    rows = computed_order(n, seed=0).rows(0, n - n % batch_size).view(-1, batch_size)

    for part in (rows * 8 // n, rows % 8):  # which of 8 shards holds a row, and which of 8 turns it has
        counts = torch.stack([(part == k).sum(1) for k in range(8)], 1)
        misfits = ((counts - batch_size / 8) ** 2 / (batch_size / 8)).sum(1)  # chi-squared, 7 degrees of freedom
        assert abs(misfits.mean() - 7) < 5 * (14 / len(rows)) ** 0.5
    steps = rows.flatten().diff().remainder(n)
    distinct = len(steps.unique()) / n
    assert abs(distinct - (1 - math.exp(-len(steps) / n))) < 5e-3  # as many as of independent draws


def test_many_rows_get_a_computed_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_order, "MAX_DRAWN_ROWS", 9)
    x = torch.arange(10)

    orders = [
        torch.cat(
            [rows for (rows,) in batches.minibatches(x, batch_size=3, generator=torch.Generator().manual_seed(seed))]
        )
        for seed in (0, 0, 1)
    ]

    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert torch.equal(orders[0].sort().values, x)
    assert not torch.equal(orders[0], x)
