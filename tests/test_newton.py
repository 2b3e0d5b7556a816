"""Newton's method for smooth convex functions: the minimum it finds, and its errors if there is none."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from dlcore import _newton
from dlcore._newton import Derivatives, Objective, minimize_convex


def counted(objective: Objective) -> tuple[Objective, list[float]]:
    """Return the objective, and a list to which each computed value is appended."""
    values: list[float] = []

    def call(params: Tensor) -> tuple[Tensor, Derivatives]:
        value, derivatives = objective(params)
        values.append(float(value))
        return value, derivatives

    return call, values


def quadratic(hessian: Tensor, linear: Tensor) -> Objective:
    """Return the function pᵀHp / 2 - cᵀp."""
    return lambda p: (p @ hessian @ p / 2 - linear @ p, lambda: (hessian @ p - linear, hessian))


def of_one(
    value: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor], curvature: Callable[[Tensor], Tensor]
) -> Objective:
    """Return a function of one parameter."""
    return lambda p: (value(p).sum(), lambda: (slope(p), torch.diag(curvature(p))))


def minimize(objective: Objective, *start: float, tolerance: float = 1e-12) -> Tensor:
    return minimize_convex(
        objective, torch.tensor(start, dtype=torch.float64), tolerance=tolerance, remedy="raise penalty"
    ).params


def log_cosh(p: Tensor) -> Tensor:
    return p.abs() + (1 + (-2 * p.abs()).exp()).log() - math.log(2)


@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(-6, 6))
@settings(max_examples=20)
def test_a_quadratic_function_takes_one_step(seed: int, size: int, exponent: float) -> None:
    generator = Generator().manual_seed(seed)
    root = torch.randn(size + 3, size, dtype=torch.float64, generator=generator)
    hessian, target = 10**exponent * root.T @ root, torch.randn(size, dtype=torch.float64, generator=generator)
    objective, values = counted(quadratic(hessian, hessian @ target))

    minimum = minimize_convex(objective, torch.zeros_like(target), tolerance=1e-20 * 10**exponent, remedy="")

    assert len(values) <= 3  # at the start, after the step, and once more because of rounding
    torch.testing.assert_close(minimum.params, target, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(minimum.factor @ minimum.factor.T, hessian, rtol=1e-9, atol=0)


def test_the_last_step_needs_no_value() -> None:
    objective, values = counted(quadratic(torch.eye(2).double(), torch.zeros(2).double()))

    params = minimize(objective, 1.0, -1.0, tolerance=2.0)

    assert torch.equal(params.round(decimals=10), torch.zeros(2).double())
    assert len(values) == 1


def test_steps_that_go_too_far_are_halved() -> None:
    objective, values = counted(of_one(log_cosh, torch.tanh, lambda p: 1 - torch.tanh(p) ** 2))

    params = minimize(objective, 3.0)  # a full Newton step leads from 3 to -98

    assert values[1] > values[0]
    assert abs(float(params)) < 1e-9


def test_dependent_parameters_share_a_minimum() -> None:
    rows = torch.randn(30, 3, dtype=torch.float64)
    rows = torch.cat([rows, rows], dim=1)
    aim = torch.randn(30, dtype=torch.float64)

    params = minimize(quadratic(rows.T @ rows, rows.T @ aim), *[0.0] * 6)

    torch.testing.assert_close(rows @ params, rows[:, :3] @ torch.linalg.lstsq(rows[:, :3], aim).solution)
    assert params.abs().max() < 10


def test_a_parameter_that_changes_nothing_stays() -> None:
    hessian, linear = torch.diag(torch.tensor([2.0, 0.0]).double()), torch.tensor([2.0, 0.0]).double()

    params = minimize(quadratic(hessian, linear), 0.0, 5.0)

    torch.testing.assert_close(params, torch.tensor([1.0, 5.0]).double())


REFUSED: dict[str, tuple[Objective, float, str]] = {
    "a maximum": (quadratic(-torch.eye(1).double(), torch.ones(1).double()), 0.0, "are not positive definite"),
    "a saddle": (of_one(torch.cos, lambda p: -p.sin(), lambda p: -p.cos()), 0.1, "are not positive definite"),
    "no bound": (of_one(lambda p: (-p).exp(), lambda p: -(-p).exp(), lambda p: (-p).exp()), 0.0, "in 100 steps"),
    "NaN": (of_one(lambda p: p, lambda p: p * math.nan, torch.ones_like), 0.0, "are not finite"),
    "infinity": (of_one(lambda p: p, lambda p: p + math.inf, torch.ones_like), 0.0, "are not finite"),
    "a wrong slope": (of_one(torch.square, lambda p: -2 * p, torch.ones_like), 1.0, "the value does not fall"),
}


@pytest.mark.parametrize(("objective", "start", "words"), REFUSED.values(), ids=REFUSED)
def test_a_search_that_does_not_converge_is_an_error_that_names_the_remedy(
    objective: Objective, start: float, words: str
) -> None:
    with pytest.raises(RuntimeError, match=rf"^no minimum found.*{words}.*; raise penalty$"):
        minimize(objective, start, tolerance=1e-200)


def test_a_factorization_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_newton, "cholesky", lambda x: (torch.eye(len(x)).to(x), torch.ones(())))

    with pytest.raises(RuntimeError, match="the second derivatives are not positive definite; raise penalty"):
        minimize(quadratic(torch.eye(1).double(), torch.ones(1).double()), 0.0)
