"""The derivatives that the search of logistic and softmax regression uses, against autograd."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, softplus

from dlcore import _newton_cg
from dlcore._logit_losses import LOGISTIC, SOFTMAX, Loss
from dlcore._newton_cg import Point, Problem, Standardization, newton_steps, preconditioner
from dlcore._shards import OneProcess

N, D, K = 13, 3, 4
LOSSES = {"logistic": LOGISTIC, "softmax": SOFTMAX}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def second_derivatives(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the Hessian of a function, as autograd computes it."""
    found = torch.autograd.functional.hessian(f, x)
    assert isinstance(found, Tensor)
    return found


def losses_of(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """Return the loss of each row from its logits (k, m)."""
    return softplus(z[0]) - y * z[0] if loss is LOGISTIC else cross_entropy(z.T, y, reduction="none")


def drawn(loss: Loss, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw logits, targets and a direction of the logits."""
    generator = Generator().manual_seed(seed)
    k = 1 if loss is LOGISTIC else K
    z, direction = torch.randn(2, k, N, dtype=torch.float64, generator=generator)
    y = torch.randint(2 if k == 1 else k, (N,), generator=generator)
    return z, y.double() if k == 1 else y, direction


@every_loss
def test_derivatives_of_a_row_are_those_of_autograd(loss: Loss) -> None:
    z, y, direction = drawn(loss)
    gradient, bound, kept = loss.derivatives(z, y)

    expected = torch.func.grad(lambda z: losses_of(loss, z, y).sum())(z)
    hessians = torch.stack(
        [second_derivatives(lambda row, i=i: losses_of(loss, row[:, None], y[i, None])[0], z[:, i]) for i in range(N)]
    )

    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(loss.hessian_times(kept, y, direction), (hessians @ direction.T[..., None])[..., 0].T)
    torch.testing.assert_close(loss.curvature(kept, y), hessians.diagonal(dim1=1, dim2=2).T)
    assert ((bound > 0) & (bound <= losses_of(loss, z, y))).all()


@every_loss
def test_growth_is_the_slope_of_the_loss_far_along_a_direction(loss: Loss) -> None:
    z, y, direction = drawn(loss)

    far, farther = (losses_of(loss, z + t * direction, y) for t in (1e4, 2e4))

    torch.testing.assert_close(loss.growth(direction, y), (farther - far) / 1e4)


def problem_of(loss: Loss, *, in_memory: bool, weighted: bool) -> tuple[Problem, Callable[[Tensor], Tensor]]:
    """Return a problem and its objective, a function of the parameters that autograd can differentiate."""
    generator = Generator().manual_seed(1)
    x = torch.randn(N, D, dtype=torch.float64, generator=generator)
    _, y, _ = drawn(loss)
    weights = torch.rand(N, dtype=torch.float64, generator=generator) if weighted else None
    penalties = torch.tensor([0.1, 0.2, 0.3, 0.0], dtype=torch.float64)
    matrix = torch.randn(D + 1, D + 1, dtype=torch.float64, generator=generator)
    offset = torch.randn(D, dtype=torch.float64, generator=generator)
    ones = torch.ones(N, 1, dtype=torch.float64)
    if in_memory:
        inputs = torch.cat([x, ones], dim=1)
        problem = Problem(loss, inputs, y, weights, penalties, None, N, OneProcess())
    else:
        inputs = torch.cat([x - offset, ones], dim=1) @ matrix
        problem = Problem(loss, x, y, weights, penalties, Standardization(offset, matrix), N, OneProcess())

    def objective(params: Tensor) -> Tensor:
        losses = losses_of(loss, params @ inputs.T, y)
        return (losses if weights is None else weights * losses).sum() + (penalties * params.square()).sum() / 2

    return problem, objective


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("in_memory", [True, False])
@every_loss
def test_derivatives_of_the_objective_are_those_of_autograd(
    monkeypatch: pytest.MonkeyPatch, loss: Loss, in_memory: bool, weighted: bool, is_kept: bool
) -> None:
    monkeypatch.setattr(_newton_cg, "BLOCK_ENTRIES", 5 * (D + 1))  # several blocks, the last of them shorter
    if not is_kept:
        monkeypatch.setattr(_newton_cg, "MAX_KEPT_ENTRIES", 0)
    problem, objective = problem_of(loss, in_memory=in_memory, weighted=weighted)
    k = 1 if loss is LOGISTIC else K
    params, direction = torch.randn(2, k, D + 1, dtype=torch.float64, generator=Generator().manual_seed(2))

    point = Point(problem, params)
    point.damping = 0.5
    exact = second_derivatives(objective, params)
    damped = exact + 0.5 * torch.eye(k * (D + 1), dtype=torch.float64).reshape(exact.shape)
    mean, shares = point.mean_hessian()
    of_losses = torch.stack([exact[j, :, j] - torch.diag(problem.penalties) for j in range(k)])

    torch.testing.assert_close(point.gradient, torch.func.grad(objective)(params))
    torch.testing.assert_close(point.hessian_times(direction), torch.tensordot(damped, direction, 2))
    torch.testing.assert_close(mean, of_losses.mean(0))
    assert shares.mean() == pytest.approx(1)
    assert 0 < point.scale <= objective(params)
    if k > 1:
        torch.testing.assert_close(point.hessian(), damped)


@every_loss
def test_shares_are_those_of_the_curvature(loss: Loss) -> None:
    problem, _ = problem_of(loss, in_memory=True, weighted=True)
    assert problem.weights is not None
    params = torch.randn(1 if loss is LOGISTIC else K, D + 1, dtype=torch.float64, generator=Generator().manual_seed(3))

    _, shares = Point(problem, params).mean_hessian()

    p = (params @ problem.x[:].T).softmax(0) if len(params) > 1 else (params @ problem.x[:].T).sigmoid()
    curvature = (problem.weights * p * (1 - p)).sum(1)
    torch.testing.assert_close(shares, curvature / curvature.mean())


@pytest.mark.parametrize("max_products", [0, 10**9])
@every_loss
def test_preconditioner_of_few_parameters_is_the_inverse_of_the_hessian(loss: Loss, max_products: int) -> None:
    problem, _ = problem_of(loss, in_memory=True, weighted=False)
    params, step = torch.randn(
        2, 1 if loss is LOGISTIC else K, D + 1, dtype=torch.float64, generator=Generator().manual_seed(4)
    )
    step = step - step.mean(0) if len(step) > 1 else step
    point = Point(problem, params)
    point.damping = 0.25

    found = preconditioner(point, max_products=max_products)(point.hessian_times(step))

    torch.testing.assert_close(found, step)


def test_a_simpler_preconditioner_is_exact_if_the_outputs_have_equal_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_newton_cg, "MAX_EXACT_PARAMS", 0)
    problem, _ = problem_of(SOFTMAX, in_memory=True, weighted=False)
    point = Point(problem, torch.zeros(K, D + 1, dtype=torch.float64))  # all probabilities are 1/k
    step = torch.randn(K, D + 1, dtype=torch.float64, generator=Generator().manual_seed(5))
    step -= step.mean(0)

    found = preconditioner(point, max_products=0)(step)

    hessian, shares = point.mean_hessian()
    expected = torch.linalg.solve(hessian + torch.diag(problem.penalties), step.T).T
    torch.testing.assert_close(shares, torch.ones(K, dtype=torch.float64))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("in_memory", [True, False])
@every_loss
def test_steps_lead_to_where_the_gradient_is_zero(loss: Loss, in_memory: bool) -> None:
    problem, objective = problem_of(loss, in_memory=in_memory, weighted=True)
    steps = newton_steps(problem, torch.zeros(1 if loss is LOGISTIC else K, D + 1, dtype=torch.float64))

    found = next(step for step in steps if step.decrement < 1e-20)

    assert torch.func.grad(objective)(found.point.params).abs().max() < 1e-8


@every_loss
def test_classes_are_separated_by_a_direction_along_which_no_loss_grows(loss: Loss) -> None:
    problem, _ = problem_of(loss, in_memory=True, weighted=False)
    k = 1 if loss is LOGISTIC else K
    direction = torch.zeros(k, D + 1, dtype=torch.float64)
    direction[:, 0] = torch.arange(1.0, k + 1)
    z = direction @ problem.x[:].T
    separated = (z[0] > 0).double() if k == 1 else z.argmax(0)

    assert not problem.separated_by(direction)
    assert Problem(loss, problem.x, separated, None, problem.penalties, None, N, OneProcess()).separated_by(direction)


@pytest.mark.parametrize(
    ("square", "decrement", "expected"), [(1e-4, 1.0, 0.0), (1e3, 1e-12, 0.0), (1e3, 1.0, 0.5 / 16)]
)
def test_damping_ends_if_it_hardly_changes_a_step_or_little_is_left(
    square: float, decrement: float, expected: float
) -> None:
    assert _newton_cg._next_damping(0.5, 1.0, decrement, square, 1.0) == expected
