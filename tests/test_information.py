"""Measures of information against their formulas, their laws and their extremes."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from scipy import special, stats
from sklearn.metrics import mutual_info_score
from torch import Tensor

from dlcore import information
from tests.oracle import exact

BASES = [2.0, math.e, 10.0]
bases = st.floats(1.1, 100.0)
ABSOLUTE = 1e-13


@st.composite
def distributions(draw: st.DrawFn, *shape: int, n: int = 1, zeros: bool = True) -> Tensor | tuple[Tensor, ...]:
    """Draw distributions over the last of these dimensions, with some entries 0 if zeros are allowed."""
    size = math.prod(shape)
    entries = st.floats(1e-6, 1.0) | st.just(0.0) if zeros else st.floats(1e-6, 1.0)
    drawn = []
    for _ in range(n):
        rows = torch.tensor(draw(st.lists(entries, min_size=size, max_size=size)), dtype=torch.float64)
        rows = rows.reshape(shape)
        rows[..., 0] += 1e-3
        drawn.append(rows / rows.sum(-1, keepdim=True))
    return tuple(drawn) if n > 1 else drawn[0]


def normalized(p: Tensor) -> list[mp.mpf]:
    """Return the entries in 50 digits, rescaled so that they sum to 1 in 50 digits."""
    entries = exact(p)
    return [entry / sum(entries) for entry in entries]


def hessian(function: Callable[..., Tensor], argnums: int = 0) -> Callable[..., Tensor]:
    return torch.func.jacrev(torch.func.grad(function, argnums=argnums), argnums=argnums)


def entropy_of(p: list[mp.mpf]) -> mp.mpf:
    return -sum(pj * mp.log(pj) for pj in p if pj > 0)


# The formula, in 50 digits


@pytest.mark.held_against("50 digits", information.surprisal)
@given(st.floats(1e-300, 1.0), bases)
def test_surprisal_is_its_formula(p: float, base: float) -> None:
    actual = information.surprisal(torch.tensor(p, dtype=torch.float64), base=base)

    assert actual.item() == pytest.approx(float(-mp.log(p) / mp.log(base)), rel=1e-14, abs=1e-15)


@pytest.mark.held_against("50 digits", information.entropy)
@given(distributions(7), bases)
def test_entropy_is_its_formula(p: Tensor, base: float) -> None:
    expected = entropy_of(normalized(p)) / mp.log(base)

    assert information.entropy(p, base=base).item() == pytest.approx(float(expected), rel=1e-14, abs=ABSOLUTE)


@pytest.mark.held_against("50 digits", information.cross_entropy, information.kl_divergence)
@given(distributions(7, n=2), bases)
def test_cross_entropy_and_divergence_are_their_formulas(pair: tuple[Tensor, Tensor], base: float) -> None:
    p, q = (normalized(x) for x in pair)
    cross_entropy, divergence = mp.inf, mp.inf
    if all(qj > 0 for pj, qj in zip(p, q, strict=True) if pj > 0):
        terms = [(pj, qj) for pj, qj in zip(p, q, strict=True) if pj > 0]
        cross_entropy = -sum(pj * mp.log(qj) for pj, qj in terms) / mp.log(base)
        divergence = sum(pj * mp.log(pj / qj) for pj, qj in terms) / mp.log(base)

    actual = information.cross_entropy(*pair, base=base), information.kl_divergence(*pair, base=base)

    assert actual[0].item() == pytest.approx(float(cross_entropy), rel=1e-14, abs=ABSOLUTE)
    assert actual[1].item() == pytest.approx(float(divergence), rel=1e-14, abs=ABSOLUTE)


@pytest.mark.held_against("50 digits", information.mutual_information)
@given(distributions(12), bases)
def test_mutual_information_is_its_formula(p: Tensor, base: float) -> None:
    joint = mp.matrix(3, 4)
    for k, entry in enumerate(normalized(p)):
        joint[k // 4, k % 4] = entry
    rows = [sum(joint[i, j] for j in range(4)) for i in range(3)]
    columns = [sum(joint[i, j] for i in range(3)) for j in range(4)]
    cells = [(i, j) for i in range(3) for j in range(4) if joint[i, j] > 0]
    expected = sum(joint[i, j] * mp.log(joint[i, j] / (rows[i] * columns[j])) for i, j in cells) / mp.log(base)

    actual = information.mutual_information(p.reshape(3, 4), base=base)

    assert actual.item() == pytest.approx(float(expected), rel=1e-14, abs=ABSOLUTE)


@pytest.mark.held_against("SciPy", information.entropy, information.kl_divergence, information.perplexity)
@given(distributions(5, n=2))
def test_entropy_and_divergence_agree_with_scipy(pair: tuple[Tensor, Tensor]) -> None:
    p, q = (x.numpy() for x in pair)

    for base in BASES:
        entropy = information.entropy(pair[0], base=base).item()
        divergence = information.kl_divergence(*pair, base=base).item()
        assert entropy == pytest.approx(stats.entropy(p, base=base), abs=ABSOLUTE)
        assert divergence == pytest.approx(stats.entropy(p, q, base=base), abs=ABSOLUTE)
    assert information.perplexity(pair[0]).item() == pytest.approx(np.exp(stats.entropy(p)), rel=1e-13)


@pytest.mark.held_against("SciPy", information.kl_divergence)
@given(distributions(5, n=2))
def test_divergence_of_rows_that_do_not_sum_to_one_is_the_generalized_one(pair: tuple[Tensor, Tensor]) -> None:
    p, q = pair[0] * 3, pair[1] * 5

    actual = information.kl_divergence(p, q)

    assert actual.item() == pytest.approx(special.kl_div(p.numpy(), q.numpy()).sum(), rel=1e-13, abs=ABSOLUTE)


@pytest.mark.held_against("scikit-learn", information.mutual_information)
def test_mutual_information_agrees_with_scikit_learn() -> None:
    counts = torch.randint(0, 50, (20, 4, 5))

    actual = information.mutual_information(counts.double() / counts.sum((1, 2), keepdim=True))

    expected = [mutual_info_score(None, None, contingency=table) for table in counts.numpy()]
    np.testing.assert_allclose(actual.numpy(), expected, atol=ABSOLUTE)


@pytest.mark.held_against("PyTorch", information.cross_entropy, information.kl_divergence)
def test_cross_entropy_and_divergence_agree_with_torch() -> None:
    p, q = torch.randn(2, 6, 4, dtype=torch.float64).softmax(-1)

    torch.testing.assert_close(
        information.cross_entropy(p, q), torch.nn.functional.cross_entropy(q.log(), p, reduction="none")
    )
    torch.testing.assert_close(
        information.kl_divergence(p, q), torch.nn.functional.kl_div(q.log(), p, reduction="none").sum(-1)
    )


# Corrections to the notes: 0 · log 0, H(P, Q), D(P ‖ Q), nats and bits


def test_what_never_happens_adds_nothing() -> None:
    p, padded = torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.0, 0.5])
    q = torch.tensor([0.25, 0.5, 0.25])

    torch.testing.assert_close(information.entropy(padded), information.entropy(p))
    torch.testing.assert_close(information.perplexity(padded), torch.tensor(2.0))
    torch.testing.assert_close(information.cross_entropy(padded, padded), information.entropy(p))
    torch.testing.assert_close(information.cross_entropy(padded, q), torch.tensor(-math.log(0.25)))
    assert information.kl_divergence(padded, padded) == 0
    torch.testing.assert_close(information.kl_divergence(padded, q), torch.tensor(math.log(2)))


def test_an_observer_who_rules_out_what_happens_is_infinitely_surprised() -> None:
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])

    assert information.cross_entropy(p, q) == math.inf
    assert information.kl_divergence(p, q) == math.inf
    assert information.kl_divergence(q, p).isfinite()


@given(distributions(4, n=2, zeros=False))
def test_a_bit_is_log_2_nats(pair: tuple[Tensor, Tensor]) -> None:
    p, q = pair
    measures = [
        lambda base: information.surprisal(p, base=base),
        lambda base: information.entropy(p, base=base),
        lambda base: information.cross_entropy(p, q, base=base),
        lambda base: information.kl_divergence(p, q, base=base),
        lambda base: information.mutual_information(p.reshape(2, 2), base=base),
    ]

    for measure in measures:
        torch.testing.assert_close(measure(2.0) * math.log(2), measure(math.e))


# Laws


@given(distributions(6, n=2))
def test_gibbs_inequality(pair: tuple[Tensor, Tensor]) -> None:
    p, q = pair

    assert information.kl_divergence(p, q) >= 0
    assert information.cross_entropy(p, q) >= information.entropy(p) - ABSOLUTE
    assert information.kl_divergence(p, p) == 0


@given(distributions(6, n=2))
def test_cross_entropy_is_entropy_plus_divergence(pair: tuple[Tensor, Tensor]) -> None:
    p, q = pair

    torch.testing.assert_close(
        information.cross_entropy(p, q),
        information.entropy(p) + information.kl_divergence(p, q),
        rtol=1e-12,
        atol=1e-12,
    )


@given(distributions(12))
def test_chain_rule(p: Tensor) -> None:
    joint = p.reshape(3, 4)

    separate = information.entropy(joint.sum(1)) + information.entropy(joint.sum(0))

    shared = information.mutual_information(joint)
    torch.testing.assert_close(information.entropy(p), separate - shared, rtol=1e-12, atol=1e-12)
    assert 0 <= shared <= math.log(3) + ABSOLUTE
    torch.testing.assert_close(information.mutual_information(joint.T), shared, rtol=1e-12, atol=1e-12)


@given(distributions(12))
def test_mutual_information_is_the_divergence_from_independence(p: Tensor) -> None:
    joint = p.reshape(3, 4)
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)

    torch.testing.assert_close(
        information.mutual_information(joint),
        information.kl_divergence(p, independent.reshape(12)),
        rtol=1e-12,
        atol=1e-12,
    )


@given(distributions(3), distributions(4))
def test_mutual_information_is_zero_if_independent_and_the_entropy_for_a_copy(p: Tensor, q: Tensor) -> None:
    assert information.mutual_information(p[:, None] * q) <= ABSOLUTE
    torch.testing.assert_close(information.mutual_information(p.diag()), information.entropy(p), rtol=1e-12, atol=1e-12)


@given(st.integers(1, 1000))
def test_the_uniform_distribution_has_the_greatest_entropy(n: int) -> None:
    uniform = torch.full((n,), 1 / n, dtype=torch.float64)

    torch.testing.assert_close(information.perplexity(uniform), torch.tensor(float(n), dtype=torch.float64))
    assert information.entropy(torch.rand(n, dtype=torch.float64).softmax(-1)) <= math.log(n) + ABSOLUTE


@given(distributions(5), distributions(5), st.floats(0, 1))
def test_entropy_is_concave_and_divergence_convex(p: Tensor, q: Tensor, share: float) -> None:
    middle = share * p + (1 - share) * q
    fair = torch.full((5,), 0.2, dtype=torch.float64)

    assert information.entropy(middle) >= (
        share * information.entropy(p) + (1 - share) * information.entropy(q) - ABSOLUTE
    )
    assert information.kl_divergence(middle, fair) <= (
        share * information.kl_divergence(p, fair) + (1 - share) * information.kl_divergence(q, fair) + ABSOLUTE
    )


@given(distributions(3), distributions(4))
def test_surprise_of_independent_outcomes_adds(p: Tensor, q: Tensor) -> None:
    together = (p[:, None] * q).flatten()

    torch.testing.assert_close(information.entropy(together), information.entropy(p) + information.entropy(q))


@given(distributions(5))
def test_entropy_is_the_expected_surprisal(p: Tensor) -> None:
    possible = p[p > 0]

    torch.testing.assert_close((possible * information.surprisal(possible)).sum(), information.entropy(p))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n", [2, 10, 1000])
def test_divergence_and_mutual_information_are_never_negative_in_rounding(dtype: torch.dtype, n: int) -> None:
    p = torch.rand(500, n)
    near = p * (1 + 1e-4 * torch.randn(500, n))
    p, near = ((x / x.sum(-1, keepdim=True)).to(dtype) for x in (p, near))
    independent = (p[:, :, None] * p.flip(0)[:, None, :10]).to(dtype)
    independent = independent / independent.sum((1, 2), keepdim=True)

    assert (information.kl_divergence(p, near) >= 0).all()
    assert (information.mutual_information(independent) >= 0).all()


def test_divergence_of_close_rows_is_not_rounded_to_zero_and_its_gradient_is_right() -> None:
    p = torch.rand(500, 10)
    q = p * (1 + 1e-4 * torch.randn(500, 10))
    p, q = (x / x.sum(-1, keepdim=True) for x in (p, q))

    gradient = torch.func.grad(lambda q: information.kl_divergence(p, q).sum())(q)

    assert (information.kl_divergence(p, q) > 0).all()
    torch.testing.assert_close(gradient, 1 - p / q, rtol=1e-6, atol=1e-6)


def test_divergence_of_close_rows_in_float32_errs_by_less_than_eps() -> None:
    p = torch.rand(200, 1000)
    q = p * (1 + 1e-2 * torch.randn(200, 1000))
    p, q = (x / x.sum(-1, keepdim=True) for x in (p, q))

    error = information.kl_divergence(p, q).double() - information.kl_divergence(p.double(), q.double())

    assert error.abs().max() < torch.finfo(torch.float32).eps
    assert error.abs().max() < 1e-2 * information.kl_divergence(p.double(), q.double()).mean()


@pytest.mark.held_against("50 digits", information.kl_divergence)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [1e-4, 1e-3, 3e-2, 7e-2, 0.2])
def test_divergence_of_nearly_equal_distributions_keeps_its_digits(dtype: torch.dtype, shift: float) -> None:
    p, q = torch.tensor([0.3, 0.7], dtype=dtype), torch.tensor([0.3 + shift, 0.7 - shift], dtype=dtype)

    actual = information.kl_divergence(p, q)

    expected = sum(pj * mp.log(pj / qj) - pj + qj for pj, qj in zip(exact(p), exact(q), strict=True))
    assert actual.item() == pytest.approx(float(expected), rel=16 * torch.finfo(dtype).eps, abs=0)


@pytest.mark.held_against("50 digits", information.kl_divergence)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ratio", [0.06, 0.5, 0.8, 1.3, 3.0, 17.0])
def test_divergence_of_comparable_tiny_probabilities_keeps_its_digits(dtype: torch.dtype, ratio: float) -> None:
    rare = 1e-3 * torch.finfo(dtype).eps
    p, q = torch.tensor([ratio * rare, 1.0], dtype=dtype), torch.tensor([rare, 1.0], dtype=dtype)

    actual = information.kl_divergence(p, q)

    expected = sum(pj * mp.log(pj / qj) - pj + qj for pj, qj in zip(exact(p), exact(q), strict=True))
    assert actual.item() == pytest.approx(float(expected), rel=16 * torch.finfo(dtype).eps, abs=0)


def mutual_information_of(joint: Tensor) -> float:
    """Return the divergence of a table from the product of its marginals, with enough digits to add 1 and 1e-200."""
    (m, n), cells = joint.shape, exact(joint)
    with mp.workdps(450):
        rows, columns = [sum(cells[i * n : (i + 1) * n]) for i in range(m)], [sum(cells[j::n]) for j in range(n)]
        mass = sum(cells)
        terms = (p * mp.log(p / (rows[k // n] * columns[k % n])) for k, p in enumerate(cells) if p > 0)
        return float(mp.fsum(terms) + mass * mass - mass)


@pytest.mark.held_against("50 digits", information.mutual_information)
@pytest.mark.parametrize("size", [1e-5, 1e-3, 1e-2])
def test_mutual_information_of_a_slight_dependence_keeps_its_digits(size: float) -> None:
    joint = torch.tensor([[0.25 + size, 0.25 - size], [0.25 - size, 0.25 + size]])
    p, q = torch.rand(30, 1, dtype=torch.float64), torch.rand(20, dtype=torch.float64)
    table = p * q * (1 + size * torch.randn(30, 20, dtype=torch.float64))
    table = table / table.sum()

    for x, rel in ((joint, 1e-6), (table.float(), 1e-6), (table, 1e-15 / size)):
        actual = information.mutual_information(x)
        assert actual.item() == pytest.approx(mutual_information_of(x), rel=rel, abs=0)


@pytest.mark.held_against("50 digits", information.mutual_information)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_dependent_cell_costs_mutual_information_no_digits(dtype: torch.dtype) -> None:
    p = torch.tensor([1e-6, 0.3, 0.2, 0.5 - 1e-6], dtype=torch.float64)
    joint = p[:, None] * p.flip(0)
    joint[0, 3] = 0
    joint = (joint / joint.sum()).to(dtype)

    actual = information.mutual_information(joint)

    assert actual.item() == pytest.approx(mutual_information_of(joint), rel=16 * torch.finfo(dtype).eps, abs=0)


@pytest.mark.held_against("50 digits", information.entropy)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rare", [1e-3, 1e-9, 1e-30])
def test_entropy_of_a_nearly_certain_outcome_keeps_its_digits(dtype: torch.dtype, rare: float) -> None:
    p = torch.tensor([1 - rare, rare], dtype=dtype)

    assert information.entropy(p).item() == pytest.approx(
        float(entropy_of(exact(p))), rel=4 * torch.finfo(dtype).eps, abs=0
    )


@pytest.mark.held_against("50 digits", information.surprisal)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_surprisal_of_a_nearly_certain_outcome_keeps_its_digits(dtype: torch.dtype) -> None:
    p = 1 - torch.tensor([1.0, 3.0, 1e3], dtype=dtype) * torch.finfo(dtype).eps

    expected = [float(-mp.log(pj)) for pj in exact(p)]
    assert information.surprisal(p).tolist() == pytest.approx(expected, rel=4 * torch.finfo(dtype).eps, abs=0)


# Closed forms of the gradient


@given(distributions(5, n=2, zeros=False))
def test_gradients_are_their_closed_forms(pair: tuple[Tensor, Tensor]) -> None:
    p, q = pair
    grad = torch.func.grad

    torch.testing.assert_close(grad(information.entropy)(p), -p.log() - 1)
    torch.testing.assert_close(grad(information.perplexity)(p), information.perplexity(p) * (-p.log() - 1))
    torch.testing.assert_close(grad(information.cross_entropy, argnums=1)(p, q), -p / q)
    torch.testing.assert_close(grad(information.cross_entropy)(p, q), -q.log())
    torch.testing.assert_close(grad(information.kl_divergence, argnums=1)(p, q), 1 - p / q)
    torch.testing.assert_close(grad(information.kl_divergence)(p, q), p.log() - q.log())


@given(distributions(12, zeros=False))
def test_gradient_of_mutual_information_is_the_log_ratio(p: Tensor) -> None:
    joint = p.reshape(3, 4)

    gradient = torch.func.grad(information.mutual_information)(joint)

    ratio = joint / (joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True))
    torch.testing.assert_close(gradient, ratio.log(), rtol=1e-9, atol=1e-12)


def test_gradient_at_zero_is_the_documented_convention() -> None:
    p = torch.tensor([0.5, 0.0, 0.0, 0.5], dtype=torch.float64)
    q = torch.tensor([0.25, 0.25, 0.0, 0.5], dtype=torch.float64)
    grad = torch.func.grad

    assert torch.equal(grad(information.entropy)(p)[1:3], torch.zeros(2, dtype=torch.float64))
    assert torch.equal(grad(information.cross_entropy, argnums=1)(p, q)[1:3], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(grad(information.cross_entropy)(p, q), -torch.where(q == 0, 1, q).log())
    torch.testing.assert_close(grad(information.kl_divergence, argnums=1)(p, q), 1 - p / torch.where(q == 0, 1, q))


@pytest.mark.parametrize("measure", [information.entropy, information.perplexity])
def test_gradient_is_finite_twice_over_where_an_entry_is_zero(measure: object) -> None:
    p = torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64)

    assert torch.func.grad(measure)(p).isfinite().all()
    assert hessian(measure)(p).isfinite().all()


@pytest.mark.parametrize("measure", [information.cross_entropy, information.kl_divergence])
def test_gradients_of_a_pair_are_finite_twice_over_where_entries_are_zero(measure: object) -> None:
    p = torch.tensor([0.5, 0.0, 0.0, 0.5], dtype=torch.float64)
    q = torch.tensor([0.25, 0.25, 0.0, 0.5], dtype=torch.float64)

    for derivative in (torch.func.grad, hessian):
        for i in (0, 1):
            assert derivative(measure, argnums=i)(p, q).isfinite().all()


def test_gradient_of_mutual_information_is_finite_where_a_row_is_zero() -> None:
    joint = torch.tensor([[0.25, 0.0], [0.0, 0.0], [0.25, 0.5]], dtype=torch.float64)

    assert torch.func.grad(information.mutual_information)(joint).isfinite().all()
    assert hessian(information.mutual_information)(joint).isfinite().all()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_no_intermediate_gradient_is_nan_where_entries_differ_much() -> None:
    p = torch.tensor([0.6, 0.3, 0.1, 0.0], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([0.001, 0.299, 0.2, 0.5], dtype=torch.float64, requires_grad=True)

    with torch.autograd.detect_anomaly():  # raises if a gradient is NaN, even one that is left out later
        gradients = torch.autograd.grad(information.kl_divergence(p, q), (p, q), create_graph=True)
        torch.autograd.grad(sum(g.sum() for g in gradients), (p, q))


def test_entropy_of_a_saturated_softmax_has_gradient_zero() -> None:
    logits = torch.tensor([0.0, -1e4, 1e4])

    gradient = torch.func.grad(lambda o: information.entropy(o.softmax(-1)))(logits)

    assert torch.equal(gradient, torch.zeros(3))


def test_curvature_of_the_divergence_is_the_fisher_information() -> None:
    p = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)

    curvature = hessian(information.kl_divergence, argnums=1)(p, p)

    torch.testing.assert_close(curvature, (1 / p).diag())


# Extremes


def test_tiny_probabilities_neither_overflow_nor_vanish() -> None:
    p = torch.tensor([1.0, 1e-30, 1e-44])
    q = torch.tensor([1e-44, 1.0, 1e-30])

    for measure in (information.cross_entropy, information.kl_divergence):
        torch.testing.assert_close(measure(p, q), measure(p.double(), q.double()).float(), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(information.entropy(p), torch.tensor(1e-30 * 30 * math.log(10)), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(information.surprisal(p), -p.double().log().float(), rtol=1e-6, atol=0.0)


@pytest.mark.held_against("50 digits", information.mutual_information)
@pytest.mark.parametrize(("dtype", "rare"), [(torch.float32, 1e-30), (torch.float64, 1e-200)])
def test_mutual_information_does_not_multiply_tiny_marginals(dtype: torch.dtype, rare: float) -> None:
    joint = torch.tensor([[rare, 0.0], [0.0, 1.0]], dtype=dtype)

    actual = information.mutual_information(joint)

    assert actual.item() == pytest.approx(mutual_information_of(joint), rel=4 * torch.finfo(dtype).eps, abs=0)


@pytest.mark.parametrize(
    "measure",
    [
        information.surprisal,
        information.entropy,
        information.perplexity,
        lambda p: information.cross_entropy(p, torch.full_like(p, 0.5)),
        lambda p: information.kl_divergence(torch.full_like(p, 0.5), p),
        lambda p: information.mutual_information(p[None]),
    ],
)
def test_nan_stays_nan_and_is_not_a_negative_entry(measure: object) -> None:
    assert measure(torch.tensor([0.5, math.nan])).isnan().any()


def test_a_negative_entry_gives_nan_where_values_cannot_be_read() -> None:
    p, q = torch.tensor([[1.5, -0.5]]), torch.tensor([[0.5, 0.5]])

    for measured in (
        torch.vmap(information.entropy)(p),
        torch.vmap(information.cross_entropy)(p, q),
        torch.vmap(information.cross_entropy)(q, p),
        torch.vmap(information.kl_divergence)(p, q),
        torch.vmap(information.kl_divergence)(q, p),
    ):
        assert measured.isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    p = torch.randn(20, 400).softmax(-1)
    q = (p * (1 + 0.1 * torch.randn(20, 400))).to(dtype).double()
    p = p.to(dtype).double()

    for measure, pair in ((information.entropy, (p,)), (information.kl_divergence, (p, q))):
        actual = measure(*(x.to(dtype) for x in pair))
        torch.testing.assert_close(actual, measure(*pair).to(dtype), rtol=torch.finfo(dtype).eps, atol=0.0)


def test_zeros_have_no_sign() -> None:
    certain = torch.tensor([1.0, 0.0])

    for zero in (
        information.surprisal(certain)[0],
        information.entropy(certain),
        information.cross_entropy(certain, certain),
        information.kl_divergence(certain, certain),
        information.mutual_information(certain[None]),
    ):
        assert zero == 0
        assert not zero.signbit()
