"""Private parts of torch: without any one of them dlcore still works, or fails only when that part is used."""

import math
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Generator

from dlcore import datasets, linear, model_selection, propagation
from dlcore.shift import concept, covariate
from dlcore.training import DivergenceError
from tests.library import public_names

ROOT = Path(__file__).parents[1]
PRIVATE = [
    "torch._C._is_any_autocast_enabled",
    "torch._C._nn.cross_entropy_loss",
    "torch._foreach_add_",
    "torch._foreach_addcdiv_",
    "torch._foreach_addcmul_",
    "torch._foreach_clamp_min",
    "torch._foreach_copy_",
    "torch._foreach_lerp",
    "torch._foreach_mul",
    "torch._foreach_mul_",
    "torch._foreach_sqrt_",
    "torch._foreach_zero_",
    "torch._prelu_kernel",
    "torch._subclasses.FakeTensor",
    "torch._C._functorch.is_functorch_wrapped_tensor",
    "torch.utils._pytree",
    "torch.autograd.graph._engine_run_backward",
]

Load = Callable[[], ModuleType]


@pytest.fixture
def load_without_private_parts(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that reloads ``dlcore._torch`` as if torch had no private parts."""

    def load() -> ModuleType:
        for path in PRIVATE:
            owner, _, name = path.rpartition(".")
            monkeypatch.delattr(eval(owner, {"torch": torch}), name)  # noqa: S307  # our own list
        spec = spec_from_file_location("torch_without_private_parts", ROOT / "dlcore" / "_torch.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_each_private_part_is_missing_here() -> None:
    source = (ROOT / "dlcore" / "_torch.py").read_text()

    assert sorted(re.findall(r'_private\(\s*"([^"]+)"', source)) == sorted(PRIVATE)


def test_fused_calls_are_replaced_by_a_loop(load_without_private_parts: Load) -> None:
    parts = load_without_private_parts()
    tensors = [torch.tensor([1.0, 2.0]), torch.tensor(3.0)]

    parts.foreach_add_(tensors, [torch.ones(2), torch.ones(())], alpha=2)
    parts.foreach_mul_(tensors, 10.0)
    assert [x.tolist() for x in tensors] == [[30.0, 40.0], 50.0]

    parts.foreach_copy_(tensors, [torch.zeros(2), torch.ones(())])
    assert [x.tolist() for x in tensors] == [[0.0, 0.0], 1.0]

    assert [x.tolist() for x in parts.foreach_mul(tensors, [2.0, 3.0])] == [[0.0, 0.0], 3.0]
    parts.foreach_addcdiv_(tensors, [torch.ones(2), torch.ones(())], [torch.full((2,), 4.0), torch.ones(())], value=2)
    assert [x.tolist() for x in tensors] == [[0.5, 0.5], 3.0]

    parts.foreach_zero_(tensors)
    assert [x.tolist() for x in tensors] == [[0.0, 0.0], 0.0]


def test_the_losses_of_rows_come_from_public_functions(load_without_private_parts: Load) -> None:
    logits, labels = torch.randn(4, 3), torch.tensor([0, -5, 2, 1])

    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none", ignore_index=-5)

    losses = load_without_private_parts().cross_entropy_loss(logits, labels, None, 0, -5)

    torch.testing.assert_close(losses, expected)
    assert losses[1] == 0


@pytest.mark.parametrize("is_private", [True, False])
def test_slopes_for_negative_inputs_may_have_any_shape(
    load_without_private_parts: Load, plain: ModuleType, *, is_private: bool
) -> None:
    parts = plain._torch if is_private else load_without_private_parts()
    x = torch.tensor([[-2.0, 0.0, 3.0], [math.inf, -0.0, -1.0]], requires_grad=True)
    alpha = torch.tensor([[0.5], [4.0]], requires_grad=True)

    activations = parts.prelu_kernel(x, alpha)
    activations.nansum().backward()

    assert activations.tolist() == [[-1.0, 0.0, 3.0], [math.inf, 0.0, -4.0]]
    assert (x.grad.tolist(), alpha.grad.tolist()) == ([[0.5, 0.5, 1.0], [1.0, 4.0, 4.0]], [[-2.0], [-1.0]])


@pytest.mark.parametrize("is_private", [True, False])
def test_gradients_of_a_weighted_sum_are_those_of_autograd(
    load_without_private_parts: Load, plain: ModuleType, *, is_private: bool
) -> None:
    parts = plain._torch if is_private else load_without_private_parts()
    w, b, unused = (torch.randn(shape, requires_grad=True) for shape in ((3,), (), (2,)))
    x, factors = torch.randn(4, 3), torch.rand(4)
    expected = torch.autograd.grad((x @ w - b).square(), [w, b], factors)

    *found, none = parts.gradients_of_weighted_sum((x @ w - b).square(), factors, [w, b, unused])
    parts.backward((x @ w - b).square(), factors)

    assert none is None
    assert all(w.grad.equal(e) for w, e in zip((w, b), expected, strict=True))
    assert all(g.equal(e) and not g.requires_grad for g, e in zip(found, expected, strict=True))


def test_no_tensor_is_mistaken_for_a_fake_or_wrapped_one(load_without_private_parts: Load) -> None:
    parts = load_without_private_parts()

    assert not isinstance(torch.ones(2), parts.FakeTensor)
    assert not parts.is_functorch_wrapped_tensor(torch.ones(2))


def test_importing_dlcore_works_without_private_parts_of_torch() -> None:
    script = (
        "import torch\n"
        + "".join(f"del {path}\n" for path in PRIVATE)
        + "from dlcore import losses, norms\n"
        + "print(norms.l2_norm(torch.tensor([3.0, 4.0])).item())"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "5.0\n"


def test_only_one_module_names_private_parts_of_torch() -> None:
    for path in (ROOT / "dlcore").rglob("*.py"):
        if path.name != "_torch.py":
            text = path.read_text()
            assert not any(name in text for name in ("torch._", "import _pytree", "_foreach_(")), path


def test_is_leaf_separates_a_leaf_from_a_tree(plain: ModuleType) -> None:
    is_leaf = plain._torch.is_leaf

    assert is_leaf(0.1)
    assert is_leaf(torch.ones(2))
    assert not is_leaf([0.1])
    assert not is_leaf({"w": 0.1})
    assert not is_leaf([])


def test_every_public_class_of_results_is_loaded_in_the_safe_mode() -> None:
    classes = {value for value in public_names().values() if isinstance(value, type)}

    assert classes - set(torch.serialization.get_safe_globals()) == {DivergenceError}


X, Y = torch.tensor([[1.0], [2.0], [4.0], [7.0]]), torch.tensor([1.0, 3.0, 3.0, 8.0])


@pytest.mark.parametrize(
    "result",
    [
        datasets.linear_regression(torch.ones(2), torch.tensor(1.0), 5),
        datasets.polynomial_regression(torch.ones(2), 5),
        datasets.gaussian_shift(5, 3, mean=torch.ones(2)),
        model_selection.cross_validate(
            lambda x, _: x.mean(), lambda mean, x, _: (x[:, 0] - mean) ** 2, X, Y, k=2, generator=Generator()
        ),
        model_selection.ridge_path_cross_validation(X, Y, k=2, penalties=torch.tensor([0.5, 2.0])),
        propagation.signal_propagation([linear.LinearParams(torch.ones(1, 3), torch.zeros(3))], X),
        concept.adwin(None, torch.tensor([0.0, 1.0, 0.5])),
        concept.page_hinkley(None, Y),
        covariate.TargetMean(2.0, 0.5, (1.02, 2.98), 0.95),
    ],
    ids=lambda result: type(result).__name__,
)
def test_a_result_is_loaded_in_the_safe_mode(result: object, tmp_path: Path) -> None:
    torch.save(result, tmp_path / "result.pt")

    loaded = torch.load(tmp_path / "result.pt", weights_only=True)

    assert type(loaded) is type(result)
    assert repr(loaded) == repr(result)
