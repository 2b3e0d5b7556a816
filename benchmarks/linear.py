"""Benchmarks of :mod:`dlcore.linear`: both sides minimize the same penalized loss to the same gradient norm."""

import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dlcore import linear

from .frame import Pair, Row

SOLVERS = ("lbfgs", "newton-cholesky", "newton-cg")
TOLERANCES = [10.0**-k for k in range(4, 13)]


def data(n: int, d: int, k: int) -> tuple[Tensor, Tensor]:
    """Draw inputs, and labels from a linear model of k classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    scores = x @ torch.randn(d, k, generator=generator, dtype=torch.float64)
    return x, torch.multinomial(scores.softmax(1), 1, generator=generator).squeeze(1)


def gradient_norm(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> float:
    """Return the norm of the gradient at a model, which is 0 at the minimum."""
    k = 2 if weight.dim() == 1 else weight.shape[1]
    logits = x @ weight + bias
    p = torch.stack([-logits, logits], 1).div(2).softmax(1) if k == 2 else logits.softmax(1)
    residual = p - torch.nn.functional.one_hot(labels, k)
    inner = residual[:, 1] if k == 2 else residual
    return float(torch.cat([(x.T @ inner + weight).flatten(), inner.sum(0).flatten()]).norm())


def of_sklearn(solver: str, tol: float, x: Tensor, labels: Tensor) -> LogisticRegression:
    """Fit with scikit-learn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no convergence; the gradient norm is checked below
        return LogisticRegression(C=1.0, solver=solver, tol=tol, max_iter=10_000).fit(x.numpy(), labels.numpy())


def fastest(x: Tensor, labels: Tensor, norm: float) -> tuple[str, float]:
    """Return the solver and tolerance with which scikit-learn reaches this gradient norm fastest."""
    found: list[tuple[float, str, float]] = []
    for solver in SOLVERS:
        for tol in TOLERANCES:
            start = time.perf_counter()
            model = of_sklearn(solver, tol, x, labels)
            seconds = time.perf_counter() - start
            weight, bias = torch.tensor(model.coef_).T, torch.tensor(model.intercept_)
            if weight.shape[1] == 1:
                weight, bias = weight[:, 0], bias[0]
            if gradient_norm(x, labels, weight, bias) <= norm:
                found.append((seconds, solver, tol))
                break
    _, solver, tol = min(found)
    return solver, tol


def fit(n: int, d: int, k: int) -> Pair:
    """Set up the fit of dlcore, and the fastest fit of scikit-learn that is as exact."""
    x, labels = data(n, d, k)
    ours: Callable[[], linear.LinearParams] = (
        partial(linear.logistic_regression, x, labels.double())
        if k == 2
        else partial(linear.softmax_regression, x, labels)
    )
    norm = gradient_norm(x, labels, *ours())
    solver, tol = fastest(x, labels, max(norm, 1e-8 * n**0.5))
    return ours, partial(of_sklearn, solver, tol, x, labels)


ROWS = [
    Row(
        f"{name} regression, {n:,} × {d}", "scikit-learn, its fastest solver", 1.0, partial(fit, n, d, k), compare=False
    )
    for n, d in ((2_000, 10), (10_000, 10), (200_000, 50))
    for name, k in {"logistic": 2, "softmax": 3}.items()
]
