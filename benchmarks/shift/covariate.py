"""Density ratios of normal samples against the truth, and the risk of a model that is fitted under them."""

import importlib
import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Generator, Tensor

from benchmarks.memory import growth
from benchmarks.scaling import Scaling, time_growth
from dlcore import datasets, linear
from dlcore.shift import covariate

from .table import Cell, Table

__all__ = ["tables", "weight_methods"]

N = 1000
COLUMNS = ("NMSE", "correlation", "target risk", "ms", "times LR")
SETTINGS = {"d=2": (2, 1.0), "d=10": (10, 1.0), "d=2, sd .6": (2, 0.6)}
TARGETS = {
    "d=2": {"NMSE": 0.017, "target risk": 0.581},
    "d=10": {"NMSE": 0.018, "target risk": 0.629},
    "d=2, sd .6": {"NMSE": 0.003, "target risk": 0.152},
}
GAMMAS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]

Method = Callable[[Tensor, Tensor], Tensor]


def tables(seeds: int) -> list[Table]:
    """Measure each method in each setting, all methods in turn on each draw."""
    return [*(_table(name, *setting, seeds) for name, setting in SETTINGS.items()), many_rows()]


def _table(name: str, d: int, std: float, seeds: int) -> Table:
    setting = f"source N(0, I), target N(e1, {std:g}^2 I), d = {d}, n = m = {N}; means of {seeds} draws, median times"
    table = Table(f"Covariate shift, {name}", setting, COLUMNS, targets=TARGETS[name])
    methods = weight_methods()
    measured: dict[str, list[tuple[float, ...]]] = {method: [] for method in methods}
    failed: dict[str, str] = {}
    for seed in range(seeds):
        generator = Generator().manual_seed(seed)
        mean = torch.eye(d, dtype=torch.float64)[0]
        shift = datasets.gaussian_shift(N, N, mean=mean, std=std, generator=generator)
        truth = shift.log_ratio(shift.source).exp()
        noise = torch.randn(N, dtype=torch.float64, generator=generator)
        for method, estimate in methods.items():
            if method in failed:
                continue
            torch.manual_seed(seed)
            try:
                start = time.perf_counter()
                weights = truth if estimate is None else estimate(shift.source, shift.target)
                seconds = time.perf_counter() - start
            except ImportError:
                failed[method] = "not installed"
                continue
            measured[method].append((*_errors(weights, truth, shift.source, noise, std), seconds))
    regression_seconds = (
        median(row[3] for row in measured["scikit-learn, linear"]) if measured["scikit-learn, linear"] else 0
    )
    for method, rows in measured.items():
        if method in failed:
            table.add(method, failed[method], None, None, None, None)
            continue
        means: list[Cell] = [sum(column) / seeds for column in list(zip(*rows, strict=True))[:3]]
        spent = median(row[3] for row in rows)
        table.add(method, *means, 1e3 * spent, spent / regression_seconds if regression_seconds else None)
    return table


def many_rows() -> Table:
    """Return the cost of a million rows, and how it grows on the way there."""
    n, d = 1_000_000, 20
    columns = ("seconds", "exponent of n", "MiB more", "MiB of the samples")
    table = Table(
        "Covariate shift, many rows",
        f"source N(0, I), target N(e1, I), d = {d}, float32, n = m = {n:,}; the exponent from n / 8 on, four sizes",
        columns,
        targets={"exponent of n": 1.1, "MiB more": 3 * 8 * n * d / 2**20},
    )
    generator = Generator().manual_seed(0)
    source, target = torch.randn(2, n, d, generator=generator)
    target[:, 0] += 1
    sizes = (n // 8, n // 4, n // 2, n)
    for estimate in (covariate.logistic_ratio, covariate.ulsif, covariate.kliep):
        name = f"dlcore {estimate.__name__}"
        cost = time_growth(Scaling(name, lambda k, of=estimate: partial(of, source[:k], target[:k]), sizes))
        more = growth(partial(estimate, source, target))
        table.add(name, cost.seconds[-1], cost.exponent, more, (source.nbytes + target.nbytes) / 2**20)
    return table


def _errors(weights: Tensor, truth: Tensor, x: Tensor, noise: Tensor, std: float) -> tuple[float, float, float]:
    """Return the error of the weights, their correlation with the truth, and the risk of a line fitted under them.

    The line is to follow t + t^2 / 2 with noise 3/10, t being the column that is shifted. Its expected
    squared error on the target, noise included, follows from the moments of t there.
    """
    error = (weights - truth).square().sum() / truth.square().sum()
    both = torch.stack([weights, truth])
    correlation = float(torch.corrcoef(both)[0, 1]) if float(weights.std()) > 0 else 0.0
    t = x[:, 0]
    weight, bias = linear.least_squares(x, t + t.square() / 2 + 0.3 * noise, weights=weights.clamp_min(0))
    # with t = 1 + s z, the residual is a + b z + z^2 s^2 / 2, plus the slopes of the other columns
    constant = 1.5 - bias - weight[0]
    slope = std * (2 - weight[0])
    squares = std**2 / 2
    others = std**2 * weight[1:].square().sum()
    risk = constant**2 + slope**2 + 3 * squares**2 + 2 * constant * squares + others + 0.09
    return float(error), correlation, float(risk)


def weight_methods() -> dict[str, Method | None]:
    """Return what gives weights from two samples, by name; None for the true ratio."""
    return {
        "none": lambda source, target: torch.ones(len(source), dtype=source.dtype),  # noqa: ARG005
        "the true ratio": None,
        "dlcore logistic_ratio": lambda *samples: covariate.logistic_ratio(*samples).weights,
        "dlcore logistic_ratio, linear": lambda *samples: covariate.logistic_ratio(*samples, features="linear").weights,
        "scikit-learn, linear": lambda *samples: _scikit_learn(*samples, degree=1),
        "scikit-learn, quadratic": lambda *samples: _scikit_learn(*samples, degree=2),
        "dlcore kliep": lambda *samples: covariate.kliep(*samples).weights,
        "adapt KLIEP": lambda *samples: _adapt("KLIEP", *samples, gamma=GAMMAS),
        "densratio KLIEP": lambda *samples: _densratio(*samples, method="KLIEP"),
        "dlcore ulsif": lambda *samples: covariate.ulsif(*samples).weights,
        "adapt ULSIF": lambda *samples: _adapt("ULSIF", *samples, gamma=GAMMAS, lambdas=[0.01, 0.1, 1.0, 10.0]),
        "densratio uLSIF": lambda *samples: _densratio(*samples, method="uLSIF"),
        "dlcore kernel_mean_matching": lambda *samples: covariate.kernel_mean_matching(*samples).weights,
        "adapt KMM": lambda *samples: _adapt("KMM", *samples, gamma=0.5),
    }


def _scikit_learn(source: Tensor, target: Tensor, degree: int) -> Tensor:
    model_of = importlib.import_module("sklearn.linear_model").LogisticRegression
    features = importlib.import_module("sklearn.preprocessing").PolynomialFeatures(degree, include_bias=False)
    x = features.fit_transform(torch.cat([source, target]).numpy())
    model = model_of(max_iter=1000).fit(x, [0] * len(source) + [1] * len(target))
    odds = torch.from_numpy(model.decision_function(x[: len(source)])).exp()
    return odds * len(source) / len(target)


def _adapt(name: str, source: Tensor, target: Tensor, **options: float | list[float]) -> Tensor:
    estimator = getattr(importlib.import_module("adapt.instance_based"), name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = estimator(Xt=target.numpy(), kernel="rbf", verbose=0, random_state=0, **options)
        return torch.as_tensor(model.fit_weights(source.numpy(), target.numpy()), dtype=source.dtype)


def _densratio(source: Tensor, target: Tensor, method: str) -> Tensor:
    estimate = importlib.import_module("densratio").densratio
    model = estimate(target.numpy(), source.numpy(), method=method, verbose=False)
    return torch.as_tensor(model.compute_density_ratio(source.numpy())).flatten().to(source.dtype)
