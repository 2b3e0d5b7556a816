"""Random logistic and softmax regressions, with a certificate of each minimum that shares no code with dlcore.

The certificate is the squared Newton decrement at the parameters that the library returned, relative to the loss: twice
the relative distance of the loss from its minimum. Logits, probabilities and the loss are computed with the 64 bits of
NumPy's long double, so that nothing cancels; the Hessian is exact. What the rounding of the returned parameters must
change is computed as well, and allowed. Small problems are solved by SciPy, too, whose loss must not be lower.
"""

import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
import torch
from numpy.typing import NDArray

from dlcore import linear
from tests.battery.results import Result, timed

Array = NDArray[np.floating]
MAX_SECONDS = 300
MAX_PRODUCTS = 3e8  # n · d · k of a problem
MAX_DENSE_PARAMS = 2500
MAX_SCIPY_PARAMS = 60
MAX_ERROR = 2e-11  # the docstring's 1e-11, times two
ROUNDINGS = 16.0


@dataclass(frozen=True)
class Regression:
    """A regression with softmax labels of k classes, or logistic ones if k is 1."""

    x: torch.Tensor
    labels: NDArray[np.int64]
    k: int
    penalty: float
    weights: torch.Tensor | None
    traits: str

    def __str__(self) -> str:
        n, d = self.x.shape
        return f"n={n} d={d} k={self.k} penalty={self.penalty:.1e} {self.traits}"

    def fit(self) -> linear.LinearParams:
        """Return what the library finds."""
        labels = torch.from_numpy(self.labels)
        if self.k == 1:
            y = labels.to(self.x.dtype)
            return linear.logistic_regression(self.x, y, penalty=self.penalty, weights=self.weights)
        return linear.softmax_regression(self.x, labels, n_classes=self.k, penalty=self.penalty, weights=self.weights)


def draw(seed: int, number: int) -> Regression:
    """Return a random problem."""
    rng = np.random.default_rng([seed, number])
    n, d, k = 1.0, 1.0, 1.0
    while n == 1 or n * d * k > MAX_PRODUCTS:
        n = 10 ** rng.uniform(4.3, 5) if rng.random() < 0.03 else 10 ** rng.uniform(math.log10(5), 4)
        d, k = 200 ** rng.random(), 1.0 if rng.random() < 0.4 else 2 * 25 ** rng.random()
    n, d, k = int(n), int(d), int(k)
    k = k if n > k else 1
    traits: list[str] = []

    def has(trait: str, share: float) -> bool:
        if rng.random() < share:
            traits.append(trait)
            return True
        return False

    x = rng.normal(size=(n, d))
    if has("log-normal", 0.25):
        x = np.exp(rng.uniform(0.5, 3) * x)
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    if has("scaled", 0.35):
        x = x * 10.0 ** rng.uniform(-8, 8, d)
    if has("shifted", 0.3):
        x = x + 1e6 * (x.std(0) if rng.random() < 0.5 else 1.0) * (rng.random(d) < 0.5)
    if has("duplicates", 0.2):
        x[:, rng.integers(d, size=1 + d // 4)] = x[:, rng.integers(d, size=1 + d // 4)]
    if has("constant", 0.15):
        x[:, rng.integers(d)] = rng.choice([0.0, 1.0, 1e6])
    if has("rare-column", 0.15):
        x[:, rng.integers(d)] = rng.random(n) < 3 / n
    shares = np.ones(max(k, 2))
    if has("rare", 0.3):
        shares = 10.0 ** -rng.uniform(0, 4, max(k, 2))
    logits = np.log(shares) + rng.gumbel(size=(n, max(k, 2)))
    if not has("random", 0.3):
        logits += z @ rng.normal(size=(d, max(k, 2))) * (30 ** rng.uniform(-1, 1) / math.sqrt(d))
    labels = logits.argmax(1)
    labels[rng.permutation(n)[: max(k, 2)]] = np.arange(max(k, 2))
    weights = 10.0 ** rng.uniform(-6, 6, n) if has("weighted", 0.35) else None
    single = has("float32", 0.15)
    x_given = torch.from_numpy(x).to(torch.float32 if single else torch.float64)
    w_given = None if weights is None else torch.from_numpy(weights).to(x_given.dtype)
    return Regression(x_given, labels, k, 10.0 ** rng.uniform(-8, 4), w_given, " ".join(traits))


class Certificate(NamedTuple):
    """The relative squared decrement, and what the rounding of the parameters may add to it."""

    error: float
    allowance: float


class Objective:
    """The loss and its derivatives in the parameters of standardized columns, one row for each output."""

    def __init__(self, problem: Regression) -> None:
        """Standardize the columns in long double."""
        x = problem.x.numpy().astype(np.longdouble)
        self.x, self.problem, self.n = x, problem, len(x)
        self.beta = np.ones(self.n) if problem.weights is None else problem.weights.double().numpy()
        self.mean = (self.beta @ x) / self.beta.sum()
        std = np.sqrt((self.beta @ (x - self.mean) ** 2) / self.beta.sum())
        self.std = np.where(std > 1e-16 * np.abs(self.mean), std, 1)
        self.s = np.concatenate([(x - self.mean) / self.std, np.ones((self.n, 1))], 1).astype(float)
        self.penalties = np.append(problem.penalty / self.std**2, 0).astype(float)
        self.one_hot = np.zeros((problem.k, self.n), bool)
        if problem.k > 1:
            self.one_hot[problem.labels, np.arange(self.n)] = True

    def rows(self, z: Array) -> tuple[Array, Array, Array]:
        """Return the losses (n,), the errors p - y (k, n) and the probabilities (k, n), from logits (k, n)."""
        if self.problem.k == 1:
            sign = 1 - 2 * self.problem.labels
            margin = np.clip(sign * z[0], -11000, 11000).astype(np.longdouble)
            wrong = 1 / (1 + np.exp(-margin))
            return np.maximum(margin, 0) + np.log1p(np.exp(-np.abs(margin))), (sign * wrong)[None], wrong[None]
        z = z - z.max(0)
        e = np.exp(np.maximum(z, -11000))
        p = e / e.sum(0)
        wrong = np.where(self.one_hot, 0, p).sum(0)
        at_label = z[self.problem.labels, np.arange(self.n)]
        loss = np.where(wrong < 0.5, -np.log1p(-np.minimum(wrong, 0.5)), np.log(e.sum(0)) - at_label)
        return loss, np.where(self.one_hot, -wrong, p), p

    def value(self, params: Array) -> float:
        """Return the objective."""
        losses, _, _ = self.rows(params @ self.s.T)
        return float(self.beta @ losses + (self.penalties * params * params).sum() / 2)

    def gradient(self, params: Array) -> Array:
        """Return the gradient, (k, d + 1)."""
        _, errors, _ = self.rows(params @ self.s.T)
        return (errors * self.beta) @ self.s + self.penalties * params

    def hessian(self, p: Array) -> Array:
        """Return the Hessian, flattened to a square."""
        k, size = len(p), self.s.shape[1]
        hessian = np.zeros((k, size, k, size))
        for i in range(k):
            for j in range(i, k):
                v = self.beta * (p[i] * (1 - p[i]) if i == j else -p[i] * p[j])
                hessian[i, :, j] = (self.s.T * v) @ self.s
                hessian[j, :, i] = hessian[i, :, j].T
            hessian[i, :, i] += np.diag(self.penalties)
        return hessian.reshape(k * size, k * size)

    def certificate(self, params: linear.LinearParams) -> Certificate:
        """Return how far the library's parameters are from the minimum."""
        weight = params.weight.double().numpy().astype(np.longdouble).reshape(self.x.shape[1], -1).T
        bias = params.bias.double().numpy().astype(np.longdouble).reshape(-1)
        losses, errors, p = self.rows(weight @ self.x.T + bias[:, None])
        value = self.beta @ losses + self.problem.penalty * (weight * weight).sum() / 2
        standard = np.concatenate([weight * self.std, (bias + weight @ self.mean)[:, None]], 1)
        gradient = ((errors * self.beta).astype(float) @ self.s + self.penalties * standard).astype(float)
        p = p.astype(float)
        rounding = torch.finfo(self.problem.x.dtype).eps * (np.abs(weight) @ np.abs(self.x).T + np.abs(bias)[:, None])
        allowance = float((self.beta * p * (1 - p) * rounding.astype(float) ** 2).sum() / value)
        solve = self._dense_step if gradient.size <= MAX_DENSE_PARAMS else self._step
        return Certificate(float((gradient * solve(p, gradient)).sum() / value), allowance)

    def _dense_step(self, p: Array, gradient: Array) -> Array:
        hessian = self.hessian(p)
        k, size = gradient.shape
        if k > 1:  # one number added to all biases changes nothing
            bias = np.arange(k) * size + size - 1
            hessian[np.ix_(bias, bias)] += hessian[bias, bias].mean()
        scale = np.sqrt(np.maximum(hessian.diagonal(), np.finfo(float).tiny))
        hessian = hessian / scale / scale[:, None] + 1e-15 * len(scale) * np.eye(len(scale))
        with np.errstate(all="ignore"):  # an infinite decrement is a fault
            return (scipy.linalg.solve(hessian, gradient.ravel() / scale, assume_a="sym") / scale).reshape(k, size)

    def _step(self, p: Array, gradient: Array) -> Array:
        """Solve Newton's system by conjugate gradients, with one factor for each class."""
        factors = []
        for p_j in p:
            block = (self.s.T * (self.beta * p_j * (1 - p_j))) @ self.s + np.diag(self.penalties)
            block[np.diag_indices_from(block)] *= 1 + 1e-13
            factors.append(scipy.linalg.cho_factor(block + np.finfo(float).tiny * np.eye(len(block))))

        def precondition(v: Array) -> Array:
            solved = np.stack([scipy.linalg.cho_solve(f, row) for f, row in zip(factors, v, strict=True)])
            return solved - solved.mean(0)

        step, residual = np.zeros_like(gradient), gradient
        direction = z = precondition(residual)
        square = first = (residual * z).sum()
        for _ in range(400):
            if square <= 1e-4 * first:
                break
            u = direction @ self.s.T
            product = ((p * (u - (p * u).sum(0))) * self.beta) @ self.s + self.penalties * direction
            length = square / (direction * product).sum()
            step, residual = step + length * direction, residual - length * product
            z = precondition(residual)
            last, square = square, (residual * z).sum()
            direction = z + square / last * direction
        return step

    def scipy_value(self) -> float:
        """Return the smallest loss that SciPy finds, from zero."""
        k, size = self.problem.k, self.s.shape[1]

        def derivatives(flat: Array) -> tuple[float, Array]:
            params = flat.reshape(k, size)
            return self.value(params), self.gradient(params).ravel()

        def hessian(flat: Array) -> Array:
            return self.hessian(self.rows(flat.reshape(k, size) @ self.s.T)[2])

        options = {"gtol": 0, "maxiter": 200}
        found = scipy.optimize.minimize(
            derivatives, np.zeros(k * size), jac=True, hess=hessian, method="trust-exact", options=options
        )
        return float(found.fun)


class _TimeoutError(Exception):
    pass


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _TimeoutError


def solve(problem: Regression) -> Result:
    """Fit the problem, and check the minimum."""
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    try:
        params, seconds = timed(problem.fit)
    except (RuntimeError, ValueError) as error:
        return Result(str(problem), 0.0, math.nan, str(error))
    except _TimeoutError:
        return Result(str(problem), MAX_SECONDS, math.nan, f"not finished in {MAX_SECONDS} s")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    objective = Objective(problem)
    error, allowance = objective.certificate(params)
    fault = ""
    if not error <= MAX_ERROR + ROUNDINGS * allowance:
        fault = f"relative squared decrement {error:.1e}, of which rounding explains {allowance:.1e}"
    elif objective.penalties.size * problem.k <= MAX_SCIPY_PARAMS and len(problem.x) <= 2000 and not allowance > 1e-12:
        weight = params.weight.double().numpy().reshape(problem.x.shape[1], -1).T
        bias = params.bias.double().numpy().reshape(-1) + weight @ objective.mean.astype(float)
        standard = np.concatenate([weight * objective.std, bias[:, None]], 1).astype(float)
        ours, theirs = objective.value(standard), objective.scipy_value()
        if ours > theirs + 1e-10 * abs(theirs):
            fault = f"loss {ours:.17g}, SciPy finds {theirs:.17g}"
    return Result(str(problem), seconds, max(error - ROUNDINGS * allowance, 0.0), fault)


def results(seed: int, first: int, problems: int) -> Iterator[Result]:
    """Solve some of the problems."""
    for number in range(first, first + problems):
        result = solve(draw(seed, number))
        yield result._replace(problem=f"{number}: {result.problem}")
