"""Means in a target of real data with a known selection: coverage, and coverage where the report trusts the weights."""

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from dlcore.shift import covariate

from .halves import Half, half_of
from .table import Cell, Table

__all__ = ["tables"]

COLUMNS = (
    "problems",
    "coverage, known weights",
    "coverage",
    "trusted",
    "coverage if trusted",
    "worst if trusted",
    "below .9 beyond chance",
    "worst refusal of good fits",
)
DETAILS = ("n", "m", "d", *COLUMNS[1:5], "chance of so few")
GOOD_COVERAGE = 0.93  # of all intervals of a problem, from which on its fits are good
LEAST_COVERAGE = 0.9  # where the weights are trusted
LEVEL = 0.01  # of the test of the least coverage
QUANTILE = 1.959964  # of the normal distribution, two-sided at 95 %

Array = np.ndarray[Any, Any]
Estimate = Callable[[Tensor, Tensor, Generator], covariate.DensityRatio]


@dataclass(frozen=True)
class Problem:
    """A data set and the columns by whose values rows are selected into the target.

    ``tilt`` maps places of columns to strengths: the log-odds of the selection are their sum over the standardized
    columns or, if ``squared``, over their squares.
    """

    name: str
    load: Callable[[], tuple[Array, Array]]
    tilt: dict[int, float]
    n: int = 400
    m: int = 400
    squared: bool = False


def bundled(name: str) -> tuple[Array, Array]:
    """Return the columns and the outcome of a set of scikit-learn; for digits, whether the digit is above four."""
    x, y = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")(return_X_y=True)
    return (x[:, x.std(axis=0) > 0], y > 4) if name == "digits" else (x, y)


def of_causaldata(
    name: str, outcome: str, numeric: Sequence[str], categories: Sequence[str] = ()
) -> tuple[Array, Array]:
    """Return numeric columns and dummies of categories, and the outcome, of the rows without missing values."""
    frame = getattr(importlib.import_module("causaldata"), name).load_pandas().data
    frame = frame[[outcome, *numeric, *categories]].dropna()
    dummies = [
        (frame[column] == level).to_numpy() for column in categories for level in sorted(frame[column].unique())[1:]
    ]
    return np.column_stack([frame[list(numeric)].to_numpy(float), *dummies]), frame[outcome].to_numpy()


def cps() -> tuple[Array, Array]:
    """Return the controls of the Current Population Survey, and what they earned in 1978."""
    return of_causaldata("cps_mixtape", "re78", ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"])


def smokers() -> tuple[Array, Array]:
    """Return the smokers of the NHANES follow-up study, and their change of weight."""
    numeric = ["age", "sex", "race", "wt71", "smokeintensity", "smokeyrs"]
    return of_causaldata("nhefs", "wt82_71", numeric, ["education", "exercise", "active"])


def titanic() -> tuple[Array, Array]:
    """Return dummies of class, age and sex of those on board, and who survived."""
    frame = importlib.import_module("causaldata").titanic.load_pandas().data
    columns = [frame[name].astype("category").cat.codes.to_numpy(float) for name in ("class", "age", "sex")]
    survived = frame["survived"].astype("category").cat.codes.to_numpy(float)
    classes = [columns[0] == level for level in np.unique(columns[0])[1:]]
    return np.column_stack([*classes, *columns[1:]]), survived


def cards() -> tuple[Array, Array]:
    """Return bill, lateness and age of holders of credit cards, and whether they were late in September."""
    return of_causaldata("credit_cards", "LateSept", ["BillApril", "LateApril", "AGE"])


def restaurants() -> tuple[Array, Array]:
    """Return year, number of branches and weekend of inspections, and their score."""
    return of_causaldata("restaurant_inspections", "inspection_score", ["Year", "NumberofLocations", "Weekend"])


PROBLEMS = (
    Problem("diabetes, by bmi", lambda: bundled("diabetes"), {2: 0.7}, 100, 60),
    Problem("diabetes, two columns", lambda: bundled("diabetes"), {2: 0.5, 8: 0.5}, 100, 60),
    Problem("tumours, by radius", lambda: bundled("breast_cancer"), {0: 0.5}, 120, 80),
    Problem("digits, by one pixel", lambda: bundled("digits"), {20: 0.5}, 300, 200),
    Problem("earnings, by age", cps, {0: 0.7}),
    Problem("earnings, by earlier earnings", cps, {6: 0.6, 7: 0.6}),
    Problem("earnings, by two rare binary columns", cps, {2: 0.8, 3: 0.8}),
    Problem("earnings, few target rows", cps, {0: 0.5, 1: -0.5}, 1000, 40),
    Problem("earnings, many target rows", cps, {0: 0.5, 1: -0.5}, 200, 3000),
    Problem("earnings, middle ages", cps, {0: -0.6}, squared=True),
    Problem("smokers, by age", smokers, {0: 0.7}, 250, 150),
    Problem("smokers, by weight and cigarettes", smokers, {3: 0.5, 4: 0.5}, 250, 150),
    Problem("titanic, by sex", titanic, {4: -0.6}, 300, 200),
    Problem("titanic, by class", titanic, {1: 0.6, 2: 0.6}, 300, 200),
    Problem("cards, by bill", cards, {0: 0.5}),
    Problem("cards, by lateness and age", cards, {1: 0.6, 2: 0.6}),
    Problem("restaurants, by branches", restaurants, {1: 0.7}),
    Problem("restaurants, by year and weekend", restaurants, {0: 0.7, 2: 0.5}),
)
ESTIMATES: dict[str, Estimate] = {
    "logistic_ratio": lambda s, t, g: covariate.logistic_ratio(s, t, generator=g),
    "logistic_ratio, linear": lambda s, t, g: covariate.logistic_ratio(s, t, features="linear", generator=g),
    "kliep": lambda s, t, g: covariate.kliep(s, t, generator=g),
    "kliep, entropy balancing": lambda s, t, g: covariate.kliep(s, t, features="linear", penalty=0, generator=g),
    "ulsif": lambda s, t, g: covariate.ulsif(s, t, generator=g),
    "kernel_mean_matching": lambda s, t, _: covariate.kernel_mean_matching(s, t),
}


def tables(seeds: int, half: Half | None = None) -> list[Table]:
    """Return a table of all problems for each estimator, and one of the estimators over all problems."""
    setting = (
        f"rows drawn with known odds into source or target, {seeds} draws each; 95 % intervals of the target's mean"
    )
    summary = Table("Real data: all problems", setting, COLUMNS)
    details: list[Table] = []
    for name, estimate in ESTIMATES.items():
        table = Table(f"Real data: {name}", setting, DETAILS)
        for problem in half_of(PROBLEMS, half):
            table.add(problem.name, *_row(problem, estimate, seeds))
        rows = [row for row in table.rows.values() if isinstance(row[3], float)]
        trusted = [row for row in rows if isinstance(row[6], float)]
        shares = [_mean([row[place] for row in rows]) for place in (3, 4, 5)]
        worst = min((float(row[6] or 0) for row in trusted), default=None)
        weighted = sum(float(row[5] or 0) * float(row[6] or 0) for row in trusted) / max(
            sum(float(row[5] or 0) for row in trusted), 1e-9
        )
        below = sum(isinstance(row[7], float) and row[7] < LEVEL for row in rows)
        refused = max((1 - float(row[5] or 0) for row in rows if float(row[4] or 0) >= GOOD_COVERAGE), default=None)
        summary.add(name, len(rows), *shares, weighted, worst, below, refused)
        details.append(table)
    return [summary, *details]


def _mean(cells: Sequence[Cell]) -> float:
    return sum(float(cell or 0) for cell in cells) / max(len(cells), 1)


def chance_of_so_few(held: int, n: int) -> float:
    """Return the probability that at most so many of n intervals hold the mean, if each does with probability 0.9."""
    return sum(comb(n, k) * LEAST_COVERAGE**k * (1 - LEAST_COVERAGE) ** (n - k) for k in range(held + 1))


def _row(problem: Problem, estimate: Estimate, seeds: int) -> tuple[Cell, ...]:
    """Return the sizes, and how often each interval holds the mean of the target."""
    try:
        x, y = (np.asarray(part, dtype=float) for part in problem.load())
    except ImportError:
        return ("not installed", *[None] * (len(DETAILS) - 1))
    places = list(problem.tilt)
    z = (x[:, places] - x[:, places].mean(axis=0)) / x[:, places].std(axis=0)
    odds = np.exp((z**2 if problem.squared else z) @ np.array(list(problem.tilt.values())))
    share = odds / (1 + odds)
    truth = float(share @ y / share.sum())
    fitted, known, held, trusted, held_trusted = 0, 0, 0, 0, 0
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        order = random.permutation(len(y))
        in_target = random.random(len(y)) < share[order]
        source_rows, target_rows = order[~in_target][: problem.n], order[in_target][: problem.m]
        source, target, values = (torch.as_tensor(part) for part in (x[source_rows], x[target_rows], y[source_rows]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ratio = estimate(source, target, Generator().manual_seed(seed))
            except RuntimeError:
                continue  # no solution, as of entropy balancing for means outside of the source
        fitted += 1
        w = ratio.weights / ratio.weights.mean()
        mean = float((w * values).mean())
        error = float((w * (values - mean)).square().sum()) ** 0.5 / len(values)
        found = covariate.target_mean(values, ratio, source, target)
        holds = found.interval[0] <= truth <= found.interval[1]
        known += abs(mean - truth) <= QUANTILE * error
        held += holds
        trusted += ratio.report.trustworthy
        held_trusted += holds and ratio.report.trustworthy
    enough = trusted >= max(5, sqrt(seeds))
    shares = [count / max(fitted, 1) for count in (known, held, trusted)]
    if_trusted = (held_trusted / trusted, chance_of_so_few(held_trusted, trusted)) if enough else ("too few", None)
    return (problem.n, problem.m, x.shape[1], *shares, *if_trusted)
