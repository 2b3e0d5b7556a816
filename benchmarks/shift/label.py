"""The target's prior under label shift: digits, 500 source and 500 target rows, redrawn for each seed."""

import importlib
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from torch import Tensor

from dlcore.shift import label

from .table import Cell, Table

__all__ = ["tables"]

N_CLASSES, N_TRAIN, N_ROWS, CONCENTRATION = 10, 597, 500, 0.2
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "calibrated": lambda: LogisticRegression(max_iter=1000),
    "over-confident": GaussianNB,
}
COLUMNS = (*(f"MSE x 1e4, {name}" for name in CLASSIFIERS), *(f"ms, {name}" for name in CLASSIFIERS))
MIN_PROBABILITY = 2.0**-104  # lower bound of probabilities before a logarithm, for every package

Array = np.ndarray[Any, Any]
Method = Callable[["Draw"], Any]


@dataclass(frozen=True)
class Draw:
    """One classifier's outputs for a source and a target sample, and the true class shares in the target."""

    source: Array
    labels: Array
    target: Array
    truth: Array

    def as_tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the arguments of dlcore's estimators."""
        return torch.as_tensor(self.source), torch.as_tensor(self.labels), torch.as_tensor(self.target)

    @property
    def one_hot(self) -> Array:
        """The labels in the form that abstention expects."""
        return np.eye(N_CLASSES)[self.labels]


def tables(seeds: int) -> list[Table]:
    """Return a table for each family of estimators."""
    draws = {name: [draw(make, seed) for seed in range(seeds)] for name, make in CLASSIFIERS.items()}
    setting = (
        f"digits, {N_TRAIN} rows to train, {N_ROWS} source and {N_ROWS} target rows, prior from a Dirichlet with all "
        f"{CONCENTRATION}, {seeds} draws; logistic regression, and Gaussian naive Bayes"
    )
    em = Table("Label shift: expectation maximization", setting, COLUMNS)
    hard, soft, rlls = (
        Table(f"Label shift: {name}", setting, COLUMNS)
        for name in ("confusion matrix, hard", "confusion matrix, soft", "regularized, soft")
    )
    em.targets = dict(zip(COLUMNS, (0.26, 6.3), strict=False))
    hard.targets = dict(zip(COLUMNS, (1.08, 9.1), strict=False))
    soft.targets = dict(zip(COLUMNS, (1.24, 7.9), strict=False))
    rlls.targets = dict(zip(COLUMNS, (1.20, 8.5), strict=False))
    methods: list[tuple[Table, str, Method]] = [
        (em, "no correction", lambda d: np.bincount(d.labels) / N_ROWS),
        (em, "naive counts", lambda d: np.bincount(d.target.argmax(axis=1), minlength=N_CLASSES) / N_ROWS),
        (em, "dlcore saerens_em", lambda d: dlcore_prior(label.saerens_em, d)),
        (em, "abstention EM", lambda d: abstention_prior("EMImbalanceAdapter", d)),
        (em, "QuaPy EMQ", lambda d: quapy_em_prior(*both_probabilities(d))),
        (em, "dlcore saerens_em, calibrated", lambda d: dlcore_prior(label.saerens_em, d, calibrate=True)),
        (
            em,
            "dlcore saerens_em, calibrated, with interval",
            lambda d: dlcore_prior(label.saerens_em, d, calibrate=True, n_resamples=500),
        ),
        (em, "abstention EM, its calibration", lambda d: abstention_prior("EMImbalanceAdapter", d, calibrate=True)),
        (em, "abstention EM, both calibrated", lambda d: abstention_prior("EMImbalanceAdapter", calibrated(d))),
        (em, "QuaPy EMQ, both calibrated", lambda d: quapy_em_prior(*both_probabilities(calibrated(d)))),
        (hard, "dlcore bbse", lambda d: dlcore_prior(label.bbse, d)),
        (hard, "dlcore bbse, with interval", lambda d: dlcore_prior(label.bbse, d, n_resamples=500)),
        (hard, "abstention BBSE", lambda d: abstention_prior("BBSEImbalanceAdapter", d)),
        (hard, "QuaPy ACC", lambda d: quapy_adjusted_prior(*both_probabilities(hardened(d)), d.labels)),
        (soft, "dlcore bbse", lambda d: dlcore_prior(label.bbse, d, soft=True)),
        (soft, "dlcore bbse, with interval", lambda d: dlcore_prior(label.bbse, d, soft=True, n_resamples=500)),
        (soft, "abstention BBSE", lambda d: abstention_prior("BBSEImbalanceAdapter", d, soft=True)),
        (soft, "QuaPy PACC", lambda d: quapy_adjusted_prior(*both_probabilities(d), d.labels)),
        (rlls, "dlcore rlls", lambda d: dlcore_prior(label.rlls, d, soft=True)),
        (rlls, "dlcore rlls, with interval", lambda d: dlcore_prior(label.rlls, d, soft=True, n_resamples=500)),
        (rlls, "abstention RLLS", lambda d: abstention_prior("RLLSImbalanceAdapter", d, soft=True)),
    ]
    cells: dict[tuple[str, str], list[list[Cell]]] = {}
    for (
        classifier_draws
    ) in draws.values():  # all methods on one draw, then on the next, so that all see the same machine load
        measured: dict[tuple[str, str], list[tuple[float, float] | str]] = {}
        for given in classifier_draws:
            for table, method, estimate in methods:
                measured.setdefault((table.title, method), []).append(measure(estimate, given))
        for key, results in measured.items():
            numbers = [result for result in results if not isinstance(result, str)]
            reasons = [result for result in results if isinstance(result, str)]
            pair: list[Cell] = (
                [reasons[0], reasons[0]]
                if reasons
                else [1e4 * sum(error for error, _ in numbers) / seeds, median(ms for _, ms in numbers)]
            )
            cells.setdefault(key, []).append(pair)
    for table, method, _ in methods:
        (error, ms), (other_error, other_ms) = cells[table.title, method]
        table.add(method, error, other_error, ms, other_ms)
    return [em, hard, soft, rlls]


def draw(make: Callable[[], Any], seed: int) -> Draw:
    """Train a classifier; draw a source, and from the remaining rows a target with another prior."""
    generator = np.random.default_rng(seed)
    x, y = load_digits(return_X_y=True)
    order = generator.permutation(len(y))
    train, source, remaining = np.split(order, [N_TRAIN, N_TRAIN + N_ROWS])
    classes = generator.choice(N_CLASSES, N_ROWS, p=generator.dirichlet([CONCENTRATION] * N_CLASSES))
    target = np.array([generator.choice(remaining[y[remaining] == j]) for j in classes])
    classifier = make().fit(x[train] / 16, y[train])
    on_source, on_target = (classifier.predict_proba(x[rows] / 16) for rows in (source, target))
    return Draw(on_source, np.asarray(y)[source], on_target, np.bincount(classes, minlength=N_CLASSES) / N_ROWS)


def measure(estimate: Method, given: Draw) -> tuple[float, float] | str:
    """Return the mean squared error of the prior and the milliseconds of a second call, or the reason for none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimate(given)
            start = time.perf_counter()
            prior = estimate(given)
            seconds = time.perf_counter() - start
    except ImportError:
        return "not installed"
    return float(((np.asarray(prior) - given.truth) ** 2).mean()), 1e3 * seconds


def dlcore_prior(
    estimate: Callable[..., label.LabelShift], given: Draw, n_resamples: int = 0, **kwargs: bool
) -> Tensor:
    """Return dlcore's prior."""
    return estimate(*given.as_tensors(), n_resamples=n_resamples, **kwargs).target_prior


def abstention_prior(adapter: str, given: Draw, *, calibrate: bool = False, **kwargs: object) -> Array:
    """Return abstention's weights as a prior, by the mean source probabilities for EM and the labels otherwise."""
    package = importlib.import_module("abstention.label_shift")
    if calibrate:
        kwargs["calibrator_factory"] = temperature_scaling()
        source, target = (np.maximum(x, MIN_PROBABILITY) for x in both_probabilities(given))
        given = Draw(source, given.labels, target, given.truth)
    adapted = getattr(package, adapter)(**kwargs)(
        valid_labels=given.one_hot,
        tofit_initial_posterior_probs=given.target,
        valid_posterior_probs=given.source,
    )
    if adapter != "EMImbalanceAdapter":
        return adapted.multipliers * np.bincount(given.labels) / N_ROWS
    return adapted.multipliers * adapted.calibrator_func(given.source).mean(axis=0)


def temperature_scaling() -> Any:  # noqa: ANN401
    """Return abstention's bias-corrected temperature scaling."""
    return importlib.import_module("abstention.calibration").TempScaling(bias_positions="all")


def calibrated(given: Draw) -> Draw:
    """Return the draw with source and target calibrated by abstention."""
    logs = [np.log(np.maximum(x, MIN_PROBABILITY)) for x in both_probabilities(given)]
    calibrate = temperature_scaling()(valid_preacts=logs[0], valid_labels=given.one_hot)
    return Draw(calibrate(logs[0]), given.labels, calibrate(logs[1]), given.truth)


def quapy_em_prior(source: Array, target: Array) -> Array:
    """Return QuaPy's EM from the mean source probabilities."""
    package = importlib.import_module("quapy.method.aggregative")
    return package.EMQ.EM(source.mean(axis=0), target)[0]


def quapy_adjusted_prior(source: Array, target: Array, labels: Array) -> Array:
    """Return QuaPy's adjusted count, by its default solver, whose solution is on the simplex."""
    package = importlib.import_module("quapy.method.aggregative")
    rates = np.stack([source[labels == j].mean(axis=0) for j in range(N_CLASSES)], axis=1)
    return package.ACC.solve_adjustment(rates, target.mean(axis=0), method="inversion", solver="minimize")


def hardened(given: Draw) -> Draw:
    """Return the draw with one-hot predictions for probabilities."""
    source, target = (np.eye(N_CLASSES)[x.argmax(axis=1)] for x in both_probabilities(given))
    return Draw(source, given.labels, target, given.truth)


def both_probabilities(given: Draw) -> tuple[Array, Array]:
    """Return the probabilities for source and target."""
    return given.source, given.target
