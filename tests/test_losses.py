"""Losses against their formulas, other libraries, their laws and their extremes."""

import math
import warnings
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from sklearn.metrics import log_loss
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the name everybody knows it by

from dlcore import activations, losses, risk
from dlcore._fused import cross_entropy_of_rows
from tests.oracle import assert_matches, exact, tensors

HALF = [torch.float16, torch.bfloat16]
RESIDUAL_LOSSES = [losses.squared_loss, losses.absolute_loss, losses.huber_loss]
logit_rows = tensors(min_size=4, max_size=4)
class_labels = st.integers(0, 3).map(torch.tensor)
smoothings = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


def simplex(x: Tensor) -> Tensor:
    """Convert numbers to probabilities, some of which are exactly 0."""
    clipped = x.clamp(min=0)
    return clipped / clipped.sum() if clipped.sum() > 0 else torch.eye(len(x), dtype=x.dtype)[0]


def value_and_gradient(loss: Callable[..., Tensor], x: Tensor, *args: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    value = loss(x, *args)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


# The formulas, in 50 digits


@pytest.mark.held_against("50 digits", *RESIDUAL_LOSSES)
@given(tensors(min_size=1, max_size=1), tensors(min_size=1, max_size=1), st.floats(1e-3, 1e3))
def test_residual_losses_are_their_formulas(y_hat: Tensor, y: Tensor, delta: float) -> None:
    residual = (y_hat - y)[0]  # the rounding of the residual is not part of the formula

    def huber(r: mp.mpf) -> mp.mpf:
        return r**2 / 2 if abs(r) <= delta else delta * (abs(r) - mp.mpf(delta) / 2)

    assert_matches(losses.squared_loss(y_hat, y)[0], lambda rs: rs[0] ** 2 / 2, residual)
    assert_matches(losses.absolute_loss(y_hat, y)[0], lambda rs: abs(rs[0]), residual)
    assert_matches(losses.huber_loss(y_hat, y, delta=delta)[0], lambda rs: huber(rs[0]), residual)


@pytest.mark.held_against("50 digits", losses.cross_entropy)
@given(logit_rows, class_labels, smoothings)
def test_cross_entropy_of_a_class_is_its_formula(logits: Tensor, label: Tensor, smoothing: float) -> None:
    actual = losses.cross_entropy(logits, label, label_smoothing=smoothing)

    o, epsilon = exact(logits), mp.mpf(smoothing)
    y = [(1 - epsilon) * (j == int(label)) + epsilon / 4 for j in range(4)]
    expected = -sum(y[j] * mp.log(mp.exp(o[j]) / sum(map(mp.exp, o))) for j in range(4))
    assert abs(mp.mpf(actual.item()) - expected) <= 1e-15 * (1 + max(map(abs, o)))


@pytest.mark.held_against("50 digits", losses.cross_entropy)
@given(logit_rows, tensors(min_size=4, max_size=4), smoothings)
def test_cross_entropy_of_probabilities_is_its_formula(logits: Tensor, x: Tensor, smoothing: float) -> None:
    labels = simplex(x)

    actual = losses.cross_entropy(logits, labels, label_smoothing=smoothing)

    o, epsilon = exact(logits), mp.mpf(smoothing)
    y = [(1 - epsilon) * p + epsilon / 4 for p in exact(labels)]
    expected = -sum(y[j] * mp.log(mp.exp(o[j]) / sum(map(mp.exp, o))) for j in range(4))
    assert abs(mp.mpf(actual.item()) - expected) <= 2e-15 * (1 + max(map(abs, o)))


@pytest.mark.held_against("50 digits", losses.logistic_loss)
@given(st.floats(-700, 700), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0])))
def test_logistic_loss_is_its_formula_to_the_last_digits_in_both_tails(logit: float, label: float) -> None:
    logit, label = (torch.tensor(value, dtype=torch.float64) for value in (logit, label))

    def formula(os: list[mp.mpf], ys: list[mp.mpf]) -> mp.mpf:
        (o,), (y,) = os, ys
        return y * mp.log1p(mp.exp(-o)) + (1 - y) * mp.log1p(mp.exp(o))

    assert_matches(losses.logistic_loss(logit, label), formula, logit, label)


# Other libraries


@pytest.mark.held_against("PyTorch", losses.cross_entropy)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 5, 4), (2, 3, 5, 4)])
def test_cross_entropy_agrees_with_torch(shape: tuple[int, ...], smoothing: float) -> None:
    logits = 3 * torch.randn(shape, dtype=torch.float64)
    indices = torch.randint(4, shape[:-1])
    probabilities = torch.randn(shape, dtype=torch.float64).softmax(-1)

    for labels in (indices, probabilities):
        rows = labels.reshape(-1) if labels is indices else labels.reshape(-1, 4)
        expected = F.cross_entropy(logits.reshape(-1, 4), rows, reduction="none", label_smoothing=smoothing)
        actual = losses.cross_entropy(logits, labels, label_smoothing=smoothing)
        torch.testing.assert_close(actual, expected.reshape(shape[:-1]), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_any_integers_may_be_labels(dtype: torch.dtype) -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])

    assert torch.equal(losses.cross_entropy(logits, labels.to(dtype)), losses.cross_entropy(logits, labels))
    assert torch.equal(
        losses.cross_entropy_from_probabilities(logits.softmax(-1), labels.to(dtype)),
        losses.cross_entropy_from_probabilities(logits.softmax(-1), labels),
    )


@pytest.mark.held_against("PyTorch", losses.cross_entropy)
def test_more_than_a_byte_of_classes_fits_unsigned_labels() -> None:
    logits, labels = torch.randn(2, 1000), torch.tensor([255, 0], dtype=torch.uint8)

    torch.testing.assert_close(
        losses.cross_entropy(logits, labels), F.cross_entropy(logits, labels.long(), reduction="none")
    )


@pytest.mark.held_against("PyTorch", losses.absolute_loss, losses.huber_loss)
@pytest.mark.parametrize("delta", [0.1, 1.0, 1.5, 100.0])
def test_residual_losses_agree_with_torch(delta: float) -> None:
    y_hat, y = torch.randn(2, 50, dtype=torch.float64)

    torch.testing.assert_close(losses.absolute_loss(y_hat, y), F.l1_loss(y_hat, y, reduction="none"))
    torch.testing.assert_close(
        losses.huber_loss(y_hat, y, delta=delta), F.huber_loss(y_hat, y, reduction="none", delta=delta)
    )
    torch.testing.assert_close(
        losses.huber_loss(y_hat, y, delta=delta), delta * F.smooth_l1_loss(y_hat, y, reduction="none", beta=delta)
    )


@pytest.mark.held_against("PyTorch", losses.logistic_loss)
def test_logistic_loss_agrees_with_torch() -> None:
    logits, labels = 3 * torch.randn(50, dtype=torch.float64), torch.rand(50, dtype=torch.float64)

    expected = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")

    torch.testing.assert_close(losses.logistic_loss(logits, labels), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.held_against(
    "scikit-learn", losses.cross_entropy, losses.cross_entropy_from_probabilities, losses.logistic_loss
)
def test_mean_losses_agree_with_scikit_learn() -> None:
    logits, labels = torch.randn(50, 3, dtype=torch.float64), torch.randint(3, (50,))
    logit, label = torch.randn(50, dtype=torch.float64), torch.randint(2, (50,))

    expected = log_loss(labels.numpy(), logits.softmax(-1).numpy())
    expected_of_two = log_loss(label.numpy(), logit.sigmoid().numpy())

    assert losses.cross_entropy(logits, labels).mean().item() == pytest.approx(expected, rel=1e-13)
    assert losses.cross_entropy_from_probabilities(logits.softmax(-1), labels).mean().item() == pytest.approx(
        expected, rel=1e-13
    )
    assert losses.logistic_loss(logit, label.double()).mean().item() == pytest.approx(expected_of_two, rel=1e-13)


# Laws


@given(logit_rows, class_labels)
def test_one_hot_probabilities_mean_the_same_as_a_class_index(logits: Tensor, label: Tensor) -> None:
    one_hot = F.one_hot(label, 4).double()

    torch.testing.assert_close(losses.cross_entropy(logits, one_hot), losses.cross_entropy(logits, label))


@given(logit_rows, tensors(min_size=4, max_size=4), smoothings)
def test_label_smoothing_is_a_mixture_of_labels(logits: Tensor, x: Tensor, smoothing: float) -> None:
    labels = simplex(x)

    mixed = (1 - smoothing) * labels + smoothing / 4

    torch.testing.assert_close(
        losses.cross_entropy(logits, labels, label_smoothing=smoothing), losses.cross_entropy(logits, mixed)
    )


@given(tensors(), st.floats(0, 1))
def test_logistic_loss_is_the_cross_entropy_of_two_logits(logits: Tensor, label: float) -> None:
    labels = torch.full_like(logits, label)

    two = losses.cross_entropy(
        torch.stack([torch.zeros_like(logits), logits], -1), torch.stack([1 - labels, labels], -1)
    )

    torch.testing.assert_close(losses.logistic_loss(logits, labels), two)


@given(tensors(), st.floats(0, 1))
def test_logistic_loss_is_unchanged_if_the_two_classes_are_swapped(logits: Tensor, label: float) -> None:
    labels = torch.full_like(logits, label)

    torch.testing.assert_close(losses.logistic_loss(logits, labels), losses.logistic_loss(-logits, 1 - labels))


@given(tensors(min_size=2, max_size=2), st.floats(1e-3, 1e3))
def test_huber_loss_lies_between_the_line_and_the_parabola(pair: Tensor, delta: float) -> None:
    y_hat, y = pair[:1], pair[1:]
    huber, line = losses.huber_loss(y_hat, y, delta=delta), delta * losses.absolute_loss(y_hat, y)
    slack = 1e-12 * (line + delta**2)

    assert huber <= losses.squared_loss(y_hat, y) + slack
    assert line - delta**2 / 2 - slack <= huber <= line + slack


@pytest.mark.parametrize("loss", RESIDUAL_LOSSES)
@given(y=tensors())
def test_loss_of_the_right_answer_is_zero_with_gradient_zero(loss: Callable[..., Tensor], y: Tensor) -> None:
    value, gradient = value_and_gradient(loss, y, y)

    assert torch.equal(value, torch.zeros_like(y))
    assert torch.equal(gradient, torch.zeros_like(y))


# Closed forms of the gradient


@given(logit_rows, tensors(min_size=4, max_size=4), smoothings)
def test_gradient_of_cross_entropy_is_softmax_minus_labels(logits: Tensor, x: Tensor, smoothing: float) -> None:
    labels = simplex(x)

    gradient = torch.func.grad(lambda o: losses.cross_entropy(o, labels, label_smoothing=smoothing))(logits)

    smoothed = (1 - smoothing) * labels + smoothing / 4
    torch.testing.assert_close(gradient, activations.softmax(logits) - smoothed, rtol=1e-12, atol=1e-14)


def test_gradient_of_cross_entropy_has_the_minus_y_that_the_middle_expression_of_the_notes_leaves_out() -> None:
    logits, label = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64), torch.tensor(2)

    gradient = torch.func.grad(losses.cross_entropy)(logits, label)
    middle = logits.exp() / logits.exp().sum()

    torch.testing.assert_close(gradient, middle - torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(gradient.sum(), torch.tensor(0.0, dtype=torch.float64))
    assert middle.sum() == pytest.approx(1)


@given(tensors(), st.floats(0, 1))
def test_gradient_of_logistic_loss_is_sigmoid_minus_label(logits: Tensor, label: float) -> None:
    labels = torch.full_like(logits, label)

    _, gradient = value_and_gradient(losses.logistic_loss, logits, labels)

    torch.testing.assert_close(gradient, activations.sigmoid(logits) - labels, rtol=1e-12, atol=1e-15)


@given(tensors(min_size=4, max_size=4))
def test_gradient_in_the_label_probabilities_is_the_surprise_of_each_class(logits: Tensor) -> None:
    labels = torch.tensor([0.0, 0.25, 0.75, 0.0], dtype=torch.float64)

    gradient = torch.func.grad(losses.cross_entropy, argnums=1)(logits, labels)
    eager = labels.clone().requires_grad_()
    (eager_gradient,) = torch.autograd.grad(losses.cross_entropy(logits, eager), eager)

    torch.testing.assert_close(gradient, -activations.log_softmax(logits))
    torch.testing.assert_close(eager_gradient, gradient)


@given(tensors(min_size=3, max_size=3), st.floats(1e-3, 1e3))
def test_gradients_of_the_residual_losses_are_the_residual_its_sign_and_the_residual_clipped(
    y_hat: Tensor, delta: float
) -> None:
    zero = torch.zeros_like(y_hat)

    _, of_squared = value_and_gradient(losses.squared_loss, y_hat, zero)
    _, of_absolute = value_and_gradient(losses.absolute_loss, y_hat, zero)
    _, of_huber = value_and_gradient(lambda a, b: losses.huber_loss(a, b, delta=delta), y_hat, zero)

    assert torch.equal(of_squared, y_hat)
    assert torch.equal(of_absolute, y_hat.sign())
    torch.testing.assert_close(of_huber, y_hat.clamp(-delta, delta))


def test_hessian_of_cross_entropy_is_the_covariance_of_the_one_hot_label() -> None:
    logits = torch.randn(4, dtype=torch.float64)
    p = activations.softmax(logits)

    hessian = torch.func.jacrev(torch.func.jacrev(losses.cross_entropy))(logits, torch.tensor(1))

    torch.testing.assert_close(hessian, p.diag() - p.outer(p))


def test_second_derivative_of_logistic_loss_at_zero_is_a_quarter() -> None:
    second = torch.func.grad(torch.func.grad(losses.logistic_loss))(torch.tensor(0.0), torch.tensor(1.0))

    assert second == 0.25


# Corrections to the notes and to torch


@pytest.mark.held_against("PyTorch", losses.squared_loss)
def test_mse_loss_is_twice_squared_loss() -> None:
    y_hat, y = torch.randn(2, 50, dtype=torch.float64)

    torch.testing.assert_close(F.mse_loss(y_hat, y, reduction="none"), 2 * losses.squared_loss(y_hat, y))


@pytest.mark.parametrize("loss", RESIDUAL_LOSSES)
def test_a_column_against_a_vector_is_refused_where_torch_makes_a_matrix(loss: Callable[..., Tensor]) -> None:
    y_hat, y = torch.zeros(3, 1), torch.zeros(3)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert F.mse_loss(y_hat, y, reduction="none").shape == (3, 3)
    with pytest.raises(Exception, match="shape"):
        loss(y_hat, y)


def test_squared_loss_is_halved_before_it_overflows() -> None:
    y_hat = torch.tensor([2.5e19])

    assert F.mse_loss(y_hat, torch.zeros(1)) / 2 == math.inf
    torch.testing.assert_close(losses.squared_loss(y_hat, torch.zeros(1)), torch.tensor([3.125e38]))


def test_shifted_softmax_and_then_the_logarithm_fail_at_a_gap_of_105_and_ours_is_105() -> None:
    logits, label = torch.tensor([105.0, 0.0]), torch.tensor(1)

    def in_two_steps(o: Tensor, label: Tensor) -> Tensor:
        scores = (o - o.max()).exp()
        return -(scores / scores.sum()).log()[label]

    value, gradient = value_and_gradient(in_two_steps, logits, label)
    assert value == math.inf
    assert gradient.isnan().any()

    value, gradient = value_and_gradient(losses.cross_entropy, logits, label)
    assert value == 105
    assert torch.equal(gradient, torch.tensor([1.0, -1.0]))


def test_second_form_of_cross_entropy_needs_probabilities_that_sum_to_one() -> None:
    logits = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)

    def second_form(labels: Tensor) -> Tensor:
        return logits.exp().sum().log() - labels @ logits

    halves, quarters = (torch.tensor([0.25, 0.25, last], dtype=torch.float64) for last in (0.5, 0.25))

    for labels, agree in ((halves, True), (quarters, False)):
        assert torch.isclose(losses.cross_entropy(logits, labels), second_form(labels)) == agree


@pytest.mark.held_against("its definition", losses.cross_entropy, losses.cross_entropy_from_probabilities)
def test_cross_entropy_of_the_notes_takes_probabilities_and_torchs_logits() -> None:
    logits, labels = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    probabilities = activations.softmax(logits)

    of_the_notes = -torch.log(probabilities[range(5), labels])

    torch.testing.assert_close(losses.cross_entropy_from_probabilities(probabilities, labels), of_the_notes)
    torch.testing.assert_close(losses.cross_entropy(logits, labels), of_the_notes)
    assert not torch.isclose(losses.cross_entropy(probabilities, labels), of_the_notes).any()


def test_label_minus_100_is_an_error_even_where_values_are_not_looked_at() -> None:
    logits, labels = torch.randn(2, 3), torch.tensor([0, -100])

    assert F.cross_entropy(logits, labels, reduction="none")[1] == 0
    with pytest.raises(RuntimeError, match="out of bounds"):
        torch.vmap(losses.cross_entropy)(logits, labels)


def test_inside_a_transform_where_values_are_not_looked_at_torch_refuses_a_wrong_label() -> None:
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        torch.func.grad(lambda logits: losses.cross_entropy(logits, torch.full((2,), 7)).sum())(torch.zeros(2, 4))


def test_logistic_loss_keeps_the_digits_that_torch_loses_at_label_zero() -> None:
    logit, label = torch.tensor(-50.0), torch.tensor(0.0)

    assert F.binary_cross_entropy_with_logits(logit, label) == 0
    torch.testing.assert_close(losses.logistic_loss(logit, label), torch.tensor(1.9287498e-22), rtol=1e-6, atol=0.0)


# Extremes


@pytest.mark.parametrize("gap", [105.0, 1e4, 1e30, 3e38], ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("as_probabilities", [False, True])
def test_cross_entropy_is_finite_at_any_gap(gap: float, smoothing: float, as_probabilities: bool) -> None:
    logits, labels = torch.tensor([[gap, 0.0], [0.0, -gap]]), torch.tensor([1, 0])
    one_hot = F.one_hot(labels, 2).float()

    value, gradient = value_and_gradient(
        lambda o: losses.cross_entropy(o, one_hot if as_probabilities else labels, label_smoothing=smoothing), logits
    )

    y = (1 - smoothing) * one_hot + smoothing / 2
    torch.testing.assert_close(value, gap * y[:, 1])
    torch.testing.assert_close(gradient, torch.tensor([1.0, 0.0]) - y)


def test_logits_of_opposite_extremes_still_have_a_gradient() -> None:
    logits = torch.tensor([1e30, -1e30])

    value, gradient = value_and_gradient(losses.cross_entropy, logits, torch.tensor(1))

    torch.testing.assert_close(value, torch.tensor(2e30))
    assert torch.equal(gradient, torch.tensor([1.0, -1.0]))


def test_smoothing_over_many_classes_does_not_overflow_in_the_sum() -> None:
    logits = torch.full((1000,), -1e38)
    logits[0] = 0

    value = losses.cross_entropy(logits, torch.tensor(0), label_smoothing=1.0)

    torch.testing.assert_close(value, torch.tensor(0.999e38))


@pytest.mark.parametrize("labels", [torch.tensor(1), torch.tensor([0.0, 0.75, 0.25])], ids=["index", "probabilities"])
def test_a_class_of_probability_zero_may_have_logit_minus_infinity(labels: Tensor) -> None:
    logits = torch.tensor([-math.inf, 0.0, 0.0])
    y = F.one_hot(labels, 3).float() if labels.dim() == 0 else labels

    value, gradient = value_and_gradient(losses.cross_entropy, logits, labels)
    batched, of_transform = torch.vmap(torch.func.grad_and_value(losses.cross_entropy))(logits[None], labels[None])[
        ::-1
    ]

    torch.testing.assert_close(value, torch.tensor(math.log(2)))
    assert torch.equal(gradient, torch.tensor([0.0, 0.5, 0.5]) - y)
    torch.testing.assert_close(batched[0], value)
    torch.testing.assert_close(of_transform[0], gradient)


def test_torchs_cross_entropy_is_nan_for_a_probability_zero_of_a_logit_minus_infinity() -> None:
    logits, labels = torch.tensor([-math.inf, 0.0]), torch.tensor([0.0, 1.0])

    assert F.cross_entropy(logits, labels).isnan()
    assert losses.cross_entropy(logits, labels) == 0


@pytest.mark.parametrize("labels", [torch.tensor(0), torch.tensor([0.25, 0.75])], ids=["index", "probabilities"])
@pytest.mark.parametrize("smoothing", [0.0, 0.25, 1.0])
def test_an_impossible_label_is_infinitely_surprising_with_a_finite_gradient(labels: Tensor, smoothing: float) -> None:
    logits = torch.tensor([-math.inf, 0.0])
    one_hot = torch.tensor([1.0, 0.0]) if labels.dim() == 0 else labels

    value, gradient = value_and_gradient(lambda o: losses.cross_entropy(o, labels, label_smoothing=smoothing), logits)

    assert value == math.inf
    torch.testing.assert_close(gradient, torch.tensor([0.0, 1.0]) - ((1 - smoothing) * one_hot + smoothing / 2))


def test_smoothing_gives_every_class_a_share_so_that_an_impossible_one_costs_infinity() -> None:
    assert losses.cross_entropy(torch.tensor([-math.inf, 0.0]), torch.tensor(1), label_smoothing=0.1) == math.inf


@pytest.mark.parametrize("labels", [torch.tensor([0, 0]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])])
def test_nan_logits_give_nan_in_their_row_only(labels: Tensor) -> None:
    logits = torch.tensor([[math.nan, 0.0], [-math.inf, 0.0]])

    value = losses.cross_entropy(logits, labels)

    assert value[0].isnan()
    assert not value[1].isnan()


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("logit", "label", "value", "gradient"),
    [
        (math.inf, 1.0, 0.0, 0.0),
        (-math.inf, 0.0, 0.0, 0.0),
        (math.inf, 0.0, math.inf, 1.0),
        (-math.inf, 1.0, math.inf, -1.0),
        (math.inf, 0.25, math.inf, 0.75),
        (-math.inf, 0.25, math.inf, -0.25),
        (1e30, 1.0, 0.0, 0.0),
        (1e30, 0.25, 0.75e30, 0.75),
        (-1e30, 0.25, 0.25e30, -0.25),
        (1e4, 0.0, 1e4, 1.0),
        (-1e4, 1.0, 1e4, -1.0),
    ],
)
def test_logistic_loss_at_the_extremes(logit: float, label: float, value: float, gradient: float, traced: bool) -> None:
    logit, label = torch.tensor(logit), torch.tensor(label)

    if traced:
        actual_gradient, actual = torch.func.grad_and_value(losses.logistic_loss)(logit, label)
    else:
        actual, actual_gradient = value_and_gradient(losses.logistic_loss, logit, label)

    torch.testing.assert_close(actual, torch.tensor(value))
    assert actual_gradient == gradient


def test_nan_logit_gives_nan() -> None:
    assert losses.logistic_loss(torch.tensor(math.nan), torch.tensor(1.0)).isnan()


def test_probability_zero_of_the_label_costs_infinity_and_one_nothing() -> None:
    probabilities = torch.tensor([[0.0, 1.0], [0.0, 1.0], [math.nan, 0.5]])

    value = losses.cross_entropy_from_probabilities(probabilities, torch.tensor([0, 1, 0]))

    assert value[0] == math.inf
    assert value[1] == 0
    assert value[2].isnan()


def test_a_probability_that_rounding_left_above_one_is_accepted() -> None:
    probabilities = torch.tensor([1 + 1e-6, 0.0])

    assert losses.cross_entropy_from_probabilities(probabilities, torch.tensor(0)).abs() < 2e-6


@pytest.mark.parametrize("copies", [1, 64], ids=["scalar loop", "vector loop"])
def test_residual_losses_at_the_extremes(copies: int) -> None:
    y_hat = torch.tensor([1e30, -1e30, 1e-30, math.inf, -math.inf, math.nan] * copies)
    zero = torch.zeros_like(y_hat)

    squared = torch.tensor([math.inf, math.inf, 0.0, math.inf, math.inf, math.nan] * copies)
    absolute = torch.tensor([1e30, 1e30, 1e-30, math.inf, math.inf, math.nan] * copies)
    huber = torch.tensor([2e30, 2e30, 0.0, math.inf, math.inf, math.nan] * copies)
    clipped = torch.tensor([2.0, -2.0, 1e-30, 2.0, -2.0, math.nan] * copies)

    torch.testing.assert_close(losses.squared_loss(y_hat, zero), squared, equal_nan=True)
    torch.testing.assert_close(losses.absolute_loss(y_hat, zero), absolute, equal_nan=True)
    value, gradient = value_and_gradient(lambda a, b: losses.huber_loss(a, b, delta=2.0), y_hat, zero)
    torch.testing.assert_close(value, huber, equal_nan=True)
    torch.testing.assert_close(gradient, clipped, equal_nan=True)


def test_huber_loss_with_infinite_delta_is_squared_loss() -> None:
    y_hat, y = torch.randn(2, 50)

    assert torch.equal(losses.huber_loss(y_hat, y, delta=math.inf), losses.squared_loss(y_hat, y))
    assert torch.equal(losses.huber_loss(y_hat, y, delta=1e300), losses.squared_loss(y_hat, y))


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_the_exact_loss_rounded(dtype: torch.dtype) -> None:
    logits, labels = (4 * torch.randn(64, 1000)).to(dtype), torch.randint(1000, (64,))
    probabilities, logit = torch.randn(64, 1000).softmax(-1).to(dtype), (4 * torch.randn(64)).to(dtype)
    label = torch.rand(64).to(dtype)
    limits = torch.finfo(dtype)

    for actual, expected in (
        (losses.cross_entropy(logits, labels), losses.cross_entropy(logits.double(), labels)),
        (losses.cross_entropy(logits, probabilities), losses.cross_entropy(logits.double(), probabilities.double())),
        (
            losses.cross_entropy(logits, labels, label_smoothing=0.1),
            losses.cross_entropy(logits.double(), labels, label_smoothing=0.1),
        ),
        (losses.logistic_loss(logit, label), losses.logistic_loss(logit.double(), label.double())),
    ):
        torch.testing.assert_close(actual.double(), expected, rtol=limits.eps, atol=limits.tiny)


@pytest.mark.parametrize("dtype", HALF)
def test_gradient_of_cross_entropy_in_half_precision_is_right_to_one_rounding(dtype: torch.dtype) -> None:
    logits, labels = (4 * torch.randn(8, 100)).to(dtype), torch.randint(100, (8,))
    limits = torch.finfo(dtype)

    _, gradient = value_and_gradient(losses.cross_entropy, logits, labels)

    expected = activations.softmax(logits.double()) - F.one_hot(labels, 100)
    torch.testing.assert_close(gradient.double(), expected, rtol=limits.eps, atol=limits.tiny * limits.eps)


def test_no_rows_have_no_losses_in_any_shape() -> None:
    assert losses.cross_entropy(torch.ones(0, 3), torch.ones(0, 3)).shape == (0,)
    assert losses.cross_entropy(torch.ones(2, 0, 3), torch.ones(2, 0, dtype=torch.int64)).shape == (2, 0)


# The dimension of the classes


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(5, 4), (2, 4, 3), (2, 4, 4), (2, 4, 3, 5)])
def test_classes_in_dimension_one_are_those_of_torch(shape: tuple[int, ...], smoothing: float) -> None:
    logits = 3 * torch.randn(shape, dtype=torch.float64)
    indices = torch.randint(4, (shape[0], *shape[2:]))
    probabilities = torch.randn(shape, dtype=torch.float64).softmax(1)

    for labels in (indices, probabilities):
        for dim in (1, 1 - len(shape)):
            actual = losses.cross_entropy(logits, labels, dim=dim, label_smoothing=smoothing)
            expected = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
            torch.testing.assert_close(actual, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dim", [0, 1, -2])
def test_the_dimension_of_the_classes_may_be_moved(dim: int) -> None:
    logits = torch.randn(4, 4, 4, dtype=torch.float64)  # a cube, where the shape does not distinguish the dimensions
    labels = torch.randint(4, (4, 4))

    by_dim = losses.cross_entropy(logits, labels, dim=dim)
    probabilities = logits.softmax(dim)

    torch.testing.assert_close(by_dim, losses.cross_entropy(logits.movedim(dim, -1), labels), rtol=1e-13, atol=0.0)
    torch.testing.assert_close(
        losses.cross_entropy_from_probabilities(probabilities, labels, dim=dim), by_dim, rtol=1e-13, atol=1e-15
    )
    assert not torch.allclose(by_dim, losses.cross_entropy(logits, labels))


@pytest.mark.parametrize("n", [3, 4])
def test_the_classes_of_one_row_of_labels_may_come_first(n: int) -> None:
    logits, labels = torch.randn(4, n, dtype=torch.float64), torch.randint(4, (n,))

    torch.testing.assert_close(losses.cross_entropy(logits, labels, dim=0), losses.cross_entropy(logits.mT, labels))


def test_a_bad_label_is_named_by_its_full_index() -> None:
    labels = torch.zeros(2, 7, dtype=torch.int64)
    labels[1, 6] = 3

    with pytest.raises(ValueError, match=r"^labels must be in \[0, 3\), got 3 at index \(1, 6\)$"):
        losses.cross_entropy(torch.randn(2, 7, 3), labels)


def test_ignored_labels_are_rows_of_weight_zero() -> None:
    logits, labels = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, -100, 2, -100, 1])
    kept = labels != -100

    per_row = losses.cross_entropy(logits, labels.where(kept, 0))

    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(risk.importance_weighted_risk(per_row, kept * 5 / kept.sum().double()), expected)


# Infinite logits


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_single_infinite_logit_has_all_the_probability(dtype: torch.dtype) -> None:
    logits = torch.tensor([[0.0, math.inf, -math.inf], [0.0, math.inf, 1.0], [1.0, 1.0, -math.inf]], dtype=dtype)

    loss = losses.cross_entropy(logits, torch.tensor([1, 0, 0]))

    torch.testing.assert_close(loss, torch.tensor([0.0, math.inf, math.log(2)], dtype=dtype))
    by_columns = losses.cross_entropy(logits.mT, torch.tensor([1, 0, 0]), dim=0)
    assert torch.equal(by_columns, loss)
    soft = torch.tensor([[0.0, 1.0, 0.0]], dtype=dtype)
    assert losses.cross_entropy(logits[:1], soft) == 0


def test_the_gradient_at_an_infinite_logit_is_zero_and_other_rows_have_theirs() -> None:
    logits = torch.tensor([[0.0, math.inf], [0.0, 0.0]])

    gradient = torch.func.grad(lambda o: losses.cross_entropy(o, torch.tensor([1, 0])).sum())(logits)
    _, by_autograd = value_and_gradient(losses.cross_entropy, logits, torch.tensor([1, 0]))

    assert torch.equal(gradient, torch.tensor([[0.0, 0.0], [-0.5, 0.5]]))
    assert torch.equal(by_autograd, gradient)


def test_two_infinite_logits_and_a_nan_give_nan() -> None:
    logits = torch.tensor([[math.inf, math.inf], [0.0, math.nan]])

    assert losses.cross_entropy(logits, torch.tensor([0, 0])).isnan().all()


# The common case, a matrix with a class index for each row, is one call of torch


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 1], dtype=torch.int32)),
        (torch.zeros(2, 3), torch.tensor([0, 3])),
        (torch.zeros(2, 3), torch.tensor([0])),
        (torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 1])),
        (torch.zeros(2, 3).half(), torch.tensor([0, 1])),
        (torch.zeros(3), torch.tensor(0)),
        (torch.zeros(2, 3, 1), torch.zeros(2, 1, dtype=torch.int64)),
        (torch.zeros(0, 0), torch.zeros(0, dtype=torch.int64)),
        (torch.zeros(2, 3, device="meta"), torch.zeros(2, dtype=torch.int64, device="meta")),
        (torch.tensor([[math.inf, 0.0]]), torch.tensor([0])),
        (torch.tensor([[math.nan, 0.0]]), torch.tensor([1])),
    ],
)
def test_one_call_of_torch_is_not_enough_for_all_else(logits: Tensor, labels: Tensor) -> None:
    assert cross_entropy_of_rows(logits, labels) is None


@pytest.mark.parametrize("in_dims", [(0, None), (None, 0), (0, 0)])
def test_vmap_over_logits_or_labels(in_dims: tuple[int | None, int | None]) -> None:
    logits, labels = torch.randn(2, 4, 3), torch.randint(3, (2, 4))
    arguments = [x if d == 0 else x[0] for x, d in zip((logits, labels), in_dims, strict=True)]

    mapped = torch.vmap(losses.cross_entropy, in_dims=in_dims)(*arguments)

    each = [losses.cross_entropy(logits[i * (in_dims[0] == 0)], labels[i * (in_dims[1] == 0)]) for i in range(2)]
    torch.testing.assert_close(mapped, torch.stack(each))


def test_one_look_at_the_losses_of_images_finds_wrong_labels_and_infinite_logits() -> None:
    logits, labels = torch.zeros(2, 3, 2), torch.tensor([[0, 1], [2, 0]])
    logits[1, 2, 0] = math.inf

    loss = losses.cross_entropy(logits, labels, dim=1)

    torch.testing.assert_close(loss, torch.tensor([[math.log(3)] * 2, [0.0, math.log(3)]]))
    for label in (3, -1):
        labels[1, 1] = label
        with pytest.raises(ValueError, match=rf"labels must be in \[0, 3\), got {label} at index \(1, 1\)"):
            losses.cross_entropy(logits, labels, dim=1)


# Autocast

ONES = torch.ones(2, 3)
IN_AUTOCAST: dict[str, Callable[[Tensor], Tensor]] = {
    "squared": lambda half: losses.squared_loss(half, ONES),
    "absolute": lambda half: losses.absolute_loss(half, ONES),
    "huber": lambda half: losses.huber_loss(half, ONES),
    "indices": lambda half: losses.cross_entropy(half, torch.tensor([0, 2])),
    "probabilities": lambda half: losses.cross_entropy(half, ONES / 3),
    "logistic": lambda half: losses.logistic_loss(half, ONES),
    "of probabilities": lambda half: losses.cross_entropy_from_probabilities(half.sigmoid(), torch.tensor([0, 2])),
}


@pytest.mark.parametrize("name", IN_AUTOCAST)
def test_autocast_gives_a_loss_in_float32(name: str) -> None:
    loss, half = IN_AUTOCAST[name], torch.randn(2, 3).bfloat16()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(half)
    outside = loss(half.float())

    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, outside, rtol=0.01 if name == "of probabilities" else 0.0, atol=0.0)


def test_autocast_leaves_float64_and_what_is_wrong_as_they_are(plain: ModuleType) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert losses.squared_loss(ONES.double(), ONES.double()).dtype == torch.float64
        assert losses.squared_loss(ONES.to("meta"), ONES.to("meta")).is_meta
        with pytest.raises(TypeError, match=r"^y_hat must be a torch\.Tensor, got float$"):
            plain.losses.squared_loss(1.0, ONES)
        with pytest.raises(TypeError, match=r"^y must be a torch\.Tensor, got float$"):
            plain.losses.squared_loss(ONES, 1.0)


def test_a_loss_compiles_without_a_break_inside_autocast(plain: ModuleType) -> None:
    torch.compiler.reset()
    compiled = torch.compile(plain.losses.squared_loss, fullgraph=True, backend="aot_eager")

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = compiled(ONES.bfloat16(), ONES)

    assert loss.dtype == torch.float32


@pytest.mark.parametrize(("shape", "dim"), [((2**22,), -1), ((1, 2**22), -1), ((2**20, 2), 0)])
def test_cross_entropy_of_millions_of_classes_keeps_its_digits(shape: tuple[int, ...], dim: int) -> None:
    """The error of torch's own is hundreds of units of rounding here."""
    logits = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    labels = logits.argmax(dim)
    soft = torch.softmax(logits.double(), dim)
    compute = losses.cross_entropy

    for found, expected in (
        (compute(logits, labels, dim=dim), compute(logits.double(), labels, dim=dim)),
        (
            compute(logits, labels, dim=dim, label_smoothing=0.5),
            -(0.5 * soft.amax(dim).log() + 0.5 * soft.log().mean(dim)),
        ),
        (compute(logits, soft.float(), dim=dim), -(soft * soft.log()).sum(dim)),
    ):
        torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
