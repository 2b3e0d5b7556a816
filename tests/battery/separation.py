"""Does a search without penalty tell whether a linear model separates the classes? A linear program knows.

The classes are separated if a direction exists along which no row's margin falls and one row's margin grows. The linear
program maximizes the sum of all margins, each between 0 and 1: if there is such a direction, a margin reaches 1, else
all are 0.
"""

from collections.abc import Iterator

import numpy as np
import scipy.optimize
import scipy.sparse
import torch
from numpy.typing import NDArray

from dlcore import linear
from tests.battery.results import Result, timed

LARGE_PROBLEMS = 12
LARGE_ROWS = 120_000


def is_separated(x: NDArray[np.float64], labels: NDArray[np.int64], k: int) -> bool:
    """Return what the linear program finds."""
    n, d = x.shape
    rows = np.concatenate([x, np.ones((n, 1))], 1)
    blocks = []
    for j in range(k):
        of_others = labels != j
        block = np.zeros((int(of_others.sum()), k, d + 1))
        block[:, j] = -rows[of_others]
        block[np.arange(len(block)), labels[of_others]] += rows[of_others]
        blocks.append(block.reshape(len(block), -1))
    margins = np.concatenate(blocks)
    constraint = scipy.sparse.csr_array(margins) if n > 1000 else margins
    found = scipy.optimize.linprog(
        -margins.sum(0) / len(margins),
        A_ub=scipy.sparse.vstack([-constraint, constraint]) if n > 1000 else np.concatenate([-margins, margins]),
        b_ub=np.concatenate([np.zeros(len(margins)), np.ones(len(margins))]),
        bounds=(None, None),
        method="highs",
    )
    if not found.success:
        raise RuntimeError(found.message)
    return bool((margins @ found.x).max() > 0.5)


def draw(seed: int, number: int) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Return a small problem; on a grid of few points, margins are often exactly 0."""
    rng = np.random.default_rng([seed, 1, number])
    n, d, k = int(rng.integers(4, 40)), int(rng.integers(1, 5)), int(rng.choice([2, 2, 3, 4]))
    x = rng.integers(-2, 3, (n, d)).astype(float) if rng.random() < 0.6 else rng.normal(size=(n, d))
    strength = rng.choice([0.0, 1.0, 5.0, 100.0])
    labels = (strength * x @ rng.normal(size=(d, k)) + rng.gumbel(size=(n, k))).argmax(1)
    if rng.random() < 0.3:
        x = x * 10.0 ** rng.integers(-6, 7, d)
    return x, labels, k


def draw_large(seed: int, number: int) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Return a large problem: separated, or separated but for one row, or with few rows of one class."""
    rng = np.random.default_rng([seed, 2, number])
    k = 2 + number % 2
    x = rng.normal(size=(LARGE_ROWS, 3))
    scores = x @ rng.normal(size=(3, k))
    labels = scores.argmax(1)
    kind = number % 3
    if kind == 1:
        labels[rng.integers(LARGE_ROWS)] = scores[0].argmin()
    elif kind == 2:
        labels[:] = 0
        labels[rng.permutation(LARGE_ROWS)[:20]] = np.arange(20) % (k - 1) + 1
    return x, labels, k


def expected(x: NDArray[np.float64], labels: NDArray[np.int64], k: int) -> str:
    """Return a part of the error's message that the problem must cause, or nothing."""
    if len(np.unique(labels)) < k:
        return "both classes" if k == 2 else "the number of each label"
    centred = x - x.mean(0)
    scale = np.abs(centred).max(0)
    if np.linalg.matrix_rank(centred / np.where(scale > 0, scale, 1), tol=1e-9) < x.shape[1]:
        return "must have rank"
    return "must not separate" if is_separated(x / np.where(scale > 0, scale, 1), labels, k) else ""


def solve(x: NDArray[np.float64], labels: NDArray[np.int64], k: int, problem: str) -> Result:
    """Fit the problem, and compare the outcome with the linear program."""
    rows, y = torch.from_numpy(x), torch.from_numpy(labels)

    def outcome() -> str:
        try:
            if k == 2:
                linear.logistic_regression(rows, y.double(), penalty=0)
            else:
                linear.softmax_regression(rows, y, n_classes=k, penalty=0)
        except (RuntimeError, ValueError) as error:
            return str(error)
        return ""

    found, seconds = timed(outcome)
    message = expected(x, labels, k)
    agrees = message in found if message else not found
    return Result(problem, seconds, 0.0, "" if agrees else f"{message!r} was expected, got {found!r}")


def results(seed: int, problems: int) -> Iterator[Result]:
    """Solve small problems, and some with more rows than a search holds at once."""
    for number in range(problems):
        yield solve(*draw(seed, number), f"small {number}")
    for number in range(LARGE_PROBLEMS if problems else 0):
        yield solve(*draw_large(seed, number), f"large {number}")
