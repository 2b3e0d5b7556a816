"""Dropout against the enumeration of its masks and its documented moments; penalties against their formulas."""

import itertools
import math
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from scipy import stats
from torch import Generator, Tensor

from dlcore import optim, regularization
from tests.oracle import assert_matches, tensors

N = 200_000
PENALTIES = [regularization.l1_penalty, regularization.l2_penalty]
HIDDEN = torch.tensor([1.0, -2.0, 0.0, 1e-3, 3e4], dtype=torch.float64)


def from_seed(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def every_outcome(h: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Return the output of dropout under each of the 2^n masks, and the probability of each mask."""
    masks = torch.tensor(list(itertools.product([True, False], repeat=len(h))))
    kept = masks.sum(dim=1).double()
    return regularization._keep(h.expand(masks.shape), masks, p), (1 - p) ** kept * p ** (len(h) - kept)


# The distribution


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_mean_is_h_over_all_masks(p: float) -> None:
    outcomes, probability = every_outcome(HIDDEN, p)

    torch.testing.assert_close(probability @ outcomes, HIDDEN, rtol=1e-14, atol=0)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_variance_is_h_squared_p_over_1_minus_p_over_all_masks(p: float) -> None:
    outcomes, probability = every_outcome(HIDDEN, p)

    variance = probability @ (outcomes - HIDDEN) ** 2

    torch.testing.assert_close(variance, HIDDEN**2 * p / (1 - p), rtol=1e-13, atol=0)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.7, 0.99])
def test_drawn_values_keep_the_mean_and_have_the_variance(p: float) -> None:
    h = torch.full((N,), 3.0, dtype=torch.float64)

    dropped = regularization.dropout(h, p, generator=from_seed())

    squares = (dropped - 3) ** 2
    assert abs(dropped.mean() - 3) < 4 * dropped.std() / math.sqrt(N)
    assert abs(squares.mean() - 9 * p / (1 - p)) < 4 * squares.std() / math.sqrt(N) + 1e-12


@pytest.mark.held_against("SciPy", regularization.dropout_mask)
@pytest.mark.parametrize("p", [0.001, 0.2, 0.5, 0.8, 0.999])
def test_each_value_is_dropped_with_probability_p(p: float) -> None:
    dropped = int((regularization.dropout_mask(N, p, generator=from_seed(1)) == 0).sum())

    assert stats.binomtest(dropped, N, p).pvalue > 1e-3


@pytest.mark.parametrize("p", [0.4e-5, 1 - 0.4e-5])
def test_a_small_probability_is_kept_on_average_over_draws(p: float) -> None:
    rare, n, draws = min(p, 1 - p), 2**14, 2000
    generator = from_seed()

    counts = [int((regularization.dropout_mask(n, p, generator=generator) == 0).sum()) for _ in range(draws)]

    happened = torch.tensor([float(c if p < 0.5 else n - c) for c in counts])
    assert abs(happened.mean() - rare * n) < 4 * happened.std() / math.sqrt(draws)
    assert happened.sum() > 0


@pytest.mark.held_against("SciPy", regularization.dropout_mask)
def test_neighbours_are_dropped_independently() -> None:
    dropped = regularization.dropout_mask(N, 0.3, generator=from_seed()) == 0

    for lag in range(1, 5):
        both = int((dropped[lag:] & dropped[:-lag])[:: lag + 1].sum())
        assert stats.binomtest(both, len(dropped[lag:][:: lag + 1]), 0.3**2).pvalue > 1e-3


@pytest.mark.held_against("its definition", regularization.dropout)
@given(st.integers(0, 9), st.sampled_from([0.25, 0.3, 0.75, 0.99]))
def test_every_value_is_dropped_or_divided_by_1_minus_p(n: int, p: float) -> None:
    h = torch.arange(1.0, n + 1, dtype=torch.float64)

    dropped = regularization.dropout(h, p)

    expected = torch.where(dropped == 0, 0, h / (1 - p))
    torch.testing.assert_close(dropped, expected, rtol=1e-15, atol=0)


# The probabilities 0 and 1


def test_no_entry_is_dropped_at_p_0() -> None:
    h = torch.randn(10**6)

    assert torch.equal(regularization.dropout(h, 0.0), h)
    assert torch.equal(regularization.dropout(h, 0), h)
    assert bool((regularization.dropout_mask(10**6, 0.0) == 1).all())


@pytest.mark.parametrize("p", [1, 1.0])
def test_everything_is_dropped_at_p_1(p: float) -> None:
    h = torch.tensor([1.0, -math.inf, math.inf, math.nan, 1e30]).repeat(10**5)

    assert bool((regularization.dropout(h, p) == 0).all())
    assert bool((regularization.dropout_mask(10**6, p) == 0).all())


def test_gradient_at_p_1_is_zero() -> None:
    h = torch.tensor([1.0, math.inf], requires_grad=True)

    regularization.dropout(h, 1.0).sum().backward()

    assert torch.equal(h.grad, torch.zeros(2))


def test_a_dropped_infinity_is_0_and_a_kept_one_infinite() -> None:
    h = torch.tensor([math.inf, -math.inf, math.nan, 1.0]).repeat(100)

    dropped = regularization.dropout(h, 0.5, generator=from_seed())

    kept = regularization.dropout_mask(400, 0.5, generator=from_seed()) != 0
    torch.testing.assert_close(dropped, torch.where(kept, 2 * h, 0), equal_nan=True)
    assert 100 < kept.sum() < 300


def test_nothing_happens_when_not_training() -> None:
    h = torch.randn(100)

    assert regularization.dropout(h, 0.9, training=False) is h


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kept_values_in_half_precision_are_rounded_once(dtype: torch.dtype) -> None:
    h = torch.randn(1000).to(dtype)

    dropped = regularization.dropout(h, 0.3)

    expected = torch.where(dropped == 0, 0, h.double() / 0.7)
    torch.testing.assert_close(dropped.double(), expected, rtol=0.505 * torch.finfo(dtype).eps, atol=0)


# The source of randomness


def test_same_seed_drops_the_same_and_leaves_the_global_state_alone() -> None:
    h, before = torch.ones(1000), torch.get_rng_state()

    first, again, other = (regularization.dropout(h, 0.5, generator=from_seed(seed)) for seed in (0, 0, 1))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_seed_decides() -> None:
    torch.manual_seed(3)
    first = regularization.dropout_mask(1000, 0.5)
    torch.manual_seed(3)

    assert torch.equal(regularization.dropout_mask(1000, 0.5), first)
    assert not torch.equal(regularization.dropout_mask(1000, 0.5), first)


@pytest.mark.parametrize("p", [0.3, 0.7])
def test_dropout_is_the_product_with_the_mask_of_the_same_seed(p: float) -> None:
    h = torch.randn(40, 25)

    mask = regularization.dropout_mask((40, 25), p, generator=from_seed())

    torch.testing.assert_close(regularization.dropout(h, p, generator=from_seed()), h * mask)
    assert mask.unique().tolist() == torch.tensor([0, 1 / (1 - p)]).tolist()


def test_each_example_of_vmap_is_dropped_differently(plain: ModuleType) -> None:
    def drop(h: Tensor) -> Tensor:
        return plain.regularization.dropout(h, 0.5)

    dropped = torch.vmap(drop, randomness="different")(torch.ones(3, 100))
    alike = torch.vmap(drop, randomness="same")(torch.ones(3, 100))

    assert len(dropped.unique(dim=0)) == 3
    assert len(alike.unique(dim=0)) == 1
    assert dropped.unique().tolist() == [0.0, 2.0]


@pytest.mark.parametrize("p", [0.0, 0.25, 0.75, 1.0])
def test_dropout_compiles_into_one_graph(plain: ModuleType, p: float) -> None:
    torch.compiler.reset()
    h = torch.randn(400, 25, requires_grad=True)

    dropped = torch.compile(lambda h: plain.regularization.dropout(h, p), fullgraph=True, backend="aot_eager")(h)
    (gradient,) = torch.autograd.grad(dropped.sum(), h)

    factor = torch.tensor(0.0 if p == 1 else 1 / (1 - p))
    torch.testing.assert_close(dropped, h * gradient)
    assert bool(((gradient == 0) | (gradient == factor)).all())
    assert abs((gradient == 0).float().mean() - p) < 0.02


def test_vmap_drops_unbatched_values_differently_for_each_example(plain: ModuleType) -> None:
    h = torch.ones(100)

    dropped = torch.vmap(lambda _: plain.regularization.dropout(h, 0.5), randomness="different")(torch.zeros(3))

    assert len(dropped.unique(dim=0)) == 3
    assert dropped.unique().tolist() == [0.0, 2.0]


def test_compiled_dropout_takes_a_batch_of_another_size(plain: ModuleType) -> None:
    torch.compiler.reset()
    drop = torch.compile(lambda h: plain.regularization.dropout(h, 0.5), fullgraph=True, backend="aot_eager")
    mask = torch.compile(lambda h: plain.regularization.dropout_mask(h.shape, 0.5), fullgraph=True, backend="aot_eager")

    for n in (80, 70, 3):
        for dropped in (drop(torch.ones(n, 40)), mask(torch.ones(n, 40))):
            assert dropped.shape == (n, 40)
            assert dropped.unique().tolist() == [0.0, 2.0]


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_gradient_is_the_mask_and_the_second_derivative_is_that_of_what_follows(p: float) -> None:
    h = torch.randn(50, dtype=torch.float64, requires_grad=True)
    mask = regularization.dropout_mask(50, p, generator=from_seed(), dtype=torch.float64)

    loss = (regularization.dropout(h, p, generator=from_seed()) ** 3).sum()
    (gradient,) = torch.autograd.grad(loss, h, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), h)

    torch.testing.assert_close(gradient, 3 * mask**3 * h**2)
    torch.testing.assert_close(second, 6 * mask**3 * h)


# Penalties


@pytest.mark.held_against("50 digits", regularization.l1_penalty, regularization.l2_penalty)
@given(tensors())
def test_penalties_are_their_formulas(w: Tensor) -> None:
    assert_matches(regularization.l1_penalty(w), lambda ws: sum(map(abs, ws)), w)
    assert_matches(regularization.l2_penalty(w), lambda ws: sum(wi**2 for wi in ws) / mp.mpf(2), w)


@given(tensors(), tensors())
def test_penalty_of_a_tree_is_the_sum_over_its_leaves(a: Tensor, b: Tensor) -> None:
    for penalty in PENALTIES:
        expected = penalty(torch.cat([a, b]))

        torch.testing.assert_close(penalty({"a": a, "rest": (b.reshape(-1, 1), [])}), expected)


@given(tensors())
def test_gradient_of_l2_penalty_is_w_to_the_bit_and_that_of_l1_its_sign(w: Tensor) -> None:
    assert torch.equal(torch.func.grad(regularization.l2_penalty)(w), w)
    assert torch.equal(torch.func.grad(regularization.l1_penalty)(w), w.sign())


def test_l2_penalty_is_half_the_squared_norm_not_the_norm() -> None:
    w = torch.tensor([3.0, -4.0])

    assert regularization.l2_penalty(w) == 12.5


def test_penalty_in_the_loss_is_weight_decay_of_plain_descent() -> None:
    w, decay, lr = torch.randn(5, dtype=torch.float64), 0.3, 0.1

    def loss(w: Tensor) -> Tensor:
        return w.sin().sum()

    penalized = torch.func.grad(lambda w: loss(w) + decay * regularization.l2_penalty(w))(w)

    by_penalty = optim.sgd_step(w, penalized, lr=lr)
    by_decay = optim.sgd_step(w, torch.func.grad(loss)(w), lr=lr, weight_decay=decay)
    torch.testing.assert_close(by_penalty, by_decay)


def test_l2_penalty_overflows_only_where_half_the_square_does() -> None:
    w = torch.tensor([2.5e19])  # its square, 6.25e38, exceeds the largest float32, 3.4e38

    assert regularization.l2_penalty(w).item() == pytest.approx(3.125e38, rel=1e-6)
    assert regularization.l2_penalty(torch.tensor([1e30])) == math.inf


@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalty_of_parameters_that_are_not_finite_is_not_finite(penalty: object) -> None:
    assert penalty(torch.tensor([-math.inf, 1.0])) == math.inf
    assert penalty(torch.tensor([math.nan, 1.0])).isnan()


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_adds_up_in_single(penalty: object, dtype: torch.dtype) -> None:
    ones = torch.ones(4097, dtype=dtype)  # added one by one in half precision, the sum stops at 2048 or 256

    single, many = penalty(ones.float()), penalty([ones] * 3)

    assert penalty(ones) == single.to(dtype)
    assert many == (3 * single).to(dtype)


def test_penalty_without_parameters_is_zero() -> None:
    for penalty in PENALTIES:
        assert torch.equal(penalty([]), torch.zeros(()))
        assert torch.equal(penalty(torch.ones(0, 2)), torch.zeros(()))


def test_different_dtypes_promote_to_the_wider() -> None:
    w = torch.ones(2)

    assert regularization.l2_penalty([w.half(), w]).dtype == torch.float32
    assert regularization.l1_penalty([w, w.double()]).dtype == torch.float64


def test_penalties_take_the_parameters_of_a_module_as_an_iterator() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))

    for penalty in (regularization.l1_penalty, regularization.l2_penalty):
        torch.testing.assert_close(penalty(net.parameters()), penalty(list(net.parameters())))
        weights = [net[0].weight, net[2].weight]
        of_weights = penalty(w for name, w in net.named_parameters() if name.endswith("weight"))
        torch.testing.assert_close(of_weights, penalty(weights))
