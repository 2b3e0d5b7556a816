"""Means in a target of real data with a known selection: coverage, and coverage where the report trusts the weights."""

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import comb, sqrt
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from dlcore.shift import covariate

from .halves import Half, half_of
from .table import Cell, Table

__all__ = ["tables"]

MEASURES = ("error", "width", "coverage, known weights", "coverage", "trusted")
COLUMNS = (
    "problems",
    *MEASURES,
    "coverage if trusted",
    "worst if trusted",
    "below .9 beyond chance",
    "worst refusal of good fits",
)
DETAILS = ("n", "m", "d", "draws", *MEASURES, "coverage if trusted", "chance of so few", "most frequent objection")
SETTING = (
    "Rows are drawn into source or target with known odds; 95 % intervals of the target's mean. Errors (root mean "
    "square) and widths are in standard deviations of the outcome"
)
OBJECTIONS = {  # by words of the verdict
    "hardly overlap": "overlap",
    "fewer than ten": "target rows",
    "tail is": "tail",
    "below ten": "effective rows",
    "density ratio has mean": "mean weight",
    "no source row": "support",
    "target's mean": "balance",
    "still separates": "classifier",
    "Too few rows": "too few rows to tell",
}
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


@dataclass
class Tally:
    """What came of the draws of a problem, one entry for each draw with a ratio."""

    squared_errors: list[float] = field(default_factory=list[float])
    widths: list[float] = field(default_factory=list[float])
    held_if_known: list[bool] = field(default_factory=list[bool])
    held: list[bool] = field(default_factory=list[bool])
    verdicts: list[str] = field(default_factory=list[str])

    @property
    def trusted(self) -> list[bool]:
        """Whether the verdict of each draw is that the weights can be trusted."""
        return [verdict.startswith("Trust") for verdict in self.verdicts]

    @property
    def held_if_trusted(self) -> list[bool]:
        """Whether each interval of trusted weights holds the mean."""
        return [held for held, trusted in zip(self.held, self.trusted, strict=True) if trusted]

    @property
    def enough_trusted(self) -> bool:
        """Whether there are enough draws with trusted weights for a coverage among them."""
        return len(self.held_if_trusted) >= max(5, sqrt(len(self.held)))

    @property
    def measures(self) -> tuple[float, ...]:
        """The root mean square error, the mean width, both coverages, and the share of trusted draws."""
        shares = (_mean(x) for x in (self.widths, self.held_if_known, self.held, self.trusted))
        return (sqrt(_mean(self.squared_errors)), *shares)

    @property
    def chance(self) -> float:
        """The probability of so few intervals with the mean among those of trusted weights."""
        return chance_of_so_few(sum(self.held_if_trusted), len(self.held_if_trusted))

    @property
    def objection(self) -> str | None:
        """The most frequent objection in a word."""
        words = [word for verdict in self.verdicts for phrase, word in OBJECTIONS.items() if phrase in verdict]
        return max(words, key=words.count, default=None)


def tables(seeds: int, half: Half | None = None) -> list[Table]:
    """Return a table of all problems for each estimator, and one of the estimators over all problems."""
    summary = Table("Real data: all problems", SETTING, COLUMNS)
    details: list[Table] = []
    found = populations(half)
    for name, estimate in ESTIMATES.items():
        table = Table(f"Real data: {name}", SETTING, DETAILS)
        tallies: list[Tally] = []
        for problem, rows in found:
            if rows is None:
                table.add_missing(problem.name)
                continue
            x, y, odds = rows
            draws = [draw(problem, odds, seed) for seed in range(seeds)]
            tallies.append(tally_of(estimate, x, y, odds / (1 + odds), draws))
            table.add(problem.name, f"{problem.n:,}", f"{problem.m:,}", x.shape[1], *_row(tallies[-1]))
        summary.add(name, *_summary([tally for tally in tallies if tally.held]))
        details.append(table)
    return [summary, *details]


def populations(half: Half | None) -> list[tuple[Problem, tuple[Array, Array, Array] | None]]:
    """Return the problems, each with its population, or None if the package of its data is not installed."""
    found: list[tuple[Problem, tuple[Array, Array, Array] | None]] = []
    for problem in half_of(PROBLEMS, half):
        try:
            found.append((problem, population(problem)))
        except ImportError:
            found.append((problem, None))
    return found


def population(problem: Problem) -> tuple[Array, Array, Array]:
    """Return all rows, their outcomes in standard deviations, and the odds with which each is drawn into the target."""
    x, y = (np.asarray(part, dtype=float) for part in problem.load())
    places = list(problem.tilt)
    z = (x[:, places] - x[:, places].mean(axis=0)) / x[:, places].std(axis=0)
    odds = np.exp((z**2 if problem.squared else z) @ np.array(list(problem.tilt.values())))
    return x, y / y.std(), odds


def draw(problem: Problem, odds: Array, seed: int) -> tuple[Array, Array]:
    """Return the indices of the rows of a source and a target."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(odds))
    in_target = random.random(len(odds)) < (odds / (1 + odds))[order]
    return order[~in_target][: problem.n], order[in_target][: problem.m]


def tally_of(estimate: Estimate, x: Array, y: Array, share: Array, draws: Sequence[tuple[Array, Array]]) -> Tally:
    """Return what comes of the draws; one without a ratio, as of means outside of the source, is left out."""
    truth = float(share @ y / share.sum())
    tally = Tally()
    for seed, (source_rows, target_rows) in enumerate(draws):
        source, target, values = (torch.as_tensor(part) for part in (x[source_rows], x[target_rows], y[source_rows]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ratio = estimate(source, target, Generator().manual_seed(seed))
            except RuntimeError:
                continue
        w = ratio.weights / ratio.weights.mean()
        mean = float((w * values).mean())
        error = float((w * (values - mean)).square().sum()) ** 0.5 / len(values)
        found = covariate.target_mean(values, ratio, source, target)
        tally.squared_errors.append((found.mean - truth) ** 2)
        tally.widths.append(found.interval[1] - found.interval[0])
        tally.held_if_known.append(abs(mean - truth) <= QUANTILE * error)
        tally.held.append(found.interval[0] <= truth <= found.interval[1])
        tally.verdicts.append(ratio.report.verdict)
    return tally


def chance_of_so_few(held: int, n: int) -> float:
    """Return the probability that at most so many of n intervals hold the mean, if each does with probability 0.9."""
    return sum(comb(n, k) * LEAST_COVERAGE**k * (1 - LEAST_COVERAGE) ** (n - k) for k in range(held + 1))


def _row(tally: Tally) -> tuple[Cell, ...]:
    if not tally.held:
        return (0, *[None] * (len(DETAILS) - 4))
    if_trusted = (_mean(tally.held_if_trusted), tally.chance) if tally.enough_trusted else ("too few", None)
    return (len(tally.held), *tally.measures, *if_trusted, tally.objection)


def _summary(tallies: Sequence[Tally]) -> tuple[Cell, ...]:
    if not tallies:
        return (0, *[None] * (len(COLUMNS) - 1))
    trusted = [tally for tally in tallies if tally.enough_trusted]
    refusals = [1 - _mean(tally.trusted) for tally in tallies if _mean(tally.held) >= GOOD_COVERAGE]
    return (
        len(tallies),
        *(_mean(values) for values in zip(*(tally.measures for tally in tallies), strict=True)),
        _mean([held for tally in trusted for held in tally.held_if_trusted]) if trusted else None,
        min((_mean(tally.held_if_trusted) for tally in trusted), default=None),
        sum(tally.chance < LEVEL for tally in trusted),
        max(refusals, default=None),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)
