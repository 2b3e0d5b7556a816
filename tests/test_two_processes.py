"""What must hold for every public function in two processes, from the one table in ``tests/table``."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Generator, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor

from dlcore.init import he_normal_
from dlcore.losses import squared_loss
from dlcore.optim import gradient_norm
from dlcore.regularization import dropout
from dlcore.training import fit_
from tests.exemptions import EXEMPTIONS
from tests.library import public_functions
from tests.table import LAYERS, LAYERS_OF_TWO_PROCESSES, gather
from tests.two_processes import TRAINING, outcomes


def test_every_function_holds_in_two_processes(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    table, found = gather(), outcomes(tmp_path)

    wrong = [f"fit_ of a module in {how}: {failure}" for how, failure in found.pop(TRAINING).items() if failure]
    assert set(found) == set(LAYERS_OF_TWO_PROCESSES)
    for layer, failures in found.items():
        for name, failure in failures.items():
            reason = table[name].exempt.get(layer)
            if reason is None and failure is not None:
                wrong.append(f"{layer}, {name}: {failure}")
            elif reason is not None and failure is None:
                wrong.append(f"{layer}, {name}: holds; remove it from EXEMPTIONS in tests/exemptions.py")
            outcome = "passed" if failure is None else "failed"
            record_property(
                "evidence", {"kind": layer, "functions": [name], "oracles": [], "error": None, "outcome": outcome}
            )
    assert not wrong, "\n\n".join(wrong)


def test_exemptions_name_layers_and_functions() -> None:
    functions = set(public_functions())

    assert set(EXEMPTIONS) <= set(LAYERS | LAYERS_OF_TWO_PROCESSES)
    for reasons in EXEMPTIONS.values():
        names = [name for reason in reasons.values() for name in reason]
        assert len(names) == len(set(names))
        assert set(names) <= functions


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[DeviceMesh]:
    """Make a mesh of this process alone, in which what other processes hold is nothing."""
    if dist.is_initialized():  # by a test of sharded rows
        dist.destroy_process_group()
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    yield DeviceMesh("cpu", [0])
    dist.destroy_process_group()


@pytest.mark.parametrize("placement", [Shard(0), Shard(1), Replicate()], ids=repr)
def test_dropout_of_a_dtensor_drops_what_it_drops_of_a_plain_tensor(mesh: DeviceMesh, placement: Placement) -> None:
    h = torch.arange(1.0, 21.0).reshape(5, 4)

    dropped = dropout(distribute_tensor(h, mesh, [placement]), 0.5, generator=Generator().manual_seed(0))

    assert dropped.placements == (placement,)
    torch.testing.assert_close(dropped.full_tensor(), dropout(h, 0.5, generator=Generator().manual_seed(0)))


def test_dropout_of_sums_that_are_not_added_up_yet_drops_whole_entries(mesh: DeviceMesh) -> None:
    h = DTensor.from_local(torch.ones(1000), mesh, [Partial()])

    assert dropout(h, 0.75).full_tensor().unique().tolist() == [0.0, 4.0]


def test_a_sharded_weight_is_filled_like_a_whole_one(mesh: DeviceMesh) -> None:
    weight = distribute_tensor(torch.zeros(5, 4), mesh, [Shard(0)])

    filled = he_normal_(weight, generator=Generator().manual_seed(0))

    assert filled is weight
    torch.testing.assert_close(
        weight.full_tensor(), he_normal_(torch.zeros(5, 4), generator=Generator().manual_seed(0))
    )


def test_fit__trains_a_module_of_sharded_parameters(mesh: DeviceMesh) -> None:
    x = torch.linspace(-1, 1, 8)[:, None]
    alone = nn.Linear(1, 1)
    sharded = fully_shard(copy.deepcopy(alone), mesh=mesh)

    for module in (alone, sharded):
        fit_(
            lambda net, x, y: squared_loss(net(x), y)[:, 0],
            module,
            (x, 2 * x),
            epochs=3,
            batch_size=4,
            lr=0.5,
            max_norm=0.25,
            shuffle=False,
        )

    torch.testing.assert_close(sharded.weight.full_tensor(), alone.weight.detach())


@pytest.mark.parametrize("placement", [Shard(0), Replicate(), Partial()], ids=repr)
def test_the_norm_of_distributed_gradients_is_that_of_plain_ones(mesh: DeviceMesh, placement: Placement) -> None:
    gradients = [DTensor.from_local(g, mesh, [placement]) for g in (torch.tensor([3.0, 0.0]), torch.tensor([-4.0]))]

    assert gradient_norm(gradients).full_tensor().item() == 5.0


def test_a_process_without_entries_counts_as_zero(mesh: DeviceMesh) -> None:
    # the second process of two would hold none of the bias of one output
    empty = DTensor.from_local(torch.ones(0), mesh, [Shard(0)], shape=torch.Size([1]), stride=(1,))

    assert gradient_norm([empty, distribute_tensor(torch.tensor([2.0]), mesh, [Shard(0)])]).full_tensor().item() == 2.0
