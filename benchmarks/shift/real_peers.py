"""Means in a target of real data: the error of a weighted mean compared with other packages."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlcore.shift import covariate

from .covariate import Method, weight_methods
from .halves import Half
from .real import Array, draw, populations
from .table import Cell, Table

__all__ = ["tables"]

SETTING = (
    "The first draws of the same problems, with standardized columns. Errors (root mean square) of the weighted mean "
    "of the outcome, without regression, are in standard deviations of the outcome"
)
COLUMNS = ("problems", "draws", "error", "largest error", "problems without weights")


def tables(seeds: int, half: Half | None = None) -> list[Table]:
    """Return the error of each method in each problem, and a table over all problems."""
    chosen = weight_methods()
    chosen["dlcore kliep, entropy balancing"] = lambda *x: covariate.kliep(*x, features="linear", penalty=0).weights
    summary = Table("Real data: errors of weighted means compared with other packages", SETTING, COLUMNS)
    details = Table("Real data: errors of weighted means by problem", SETTING, tuple(chosen))
    for problem, rows in populations(half):
        if rows is None:
            details.add_missing(problem.name)
            continue
        x, y, odds = rows
        draws = [draw(problem, odds, seed) for seed in range(seeds)]
        x = (x - x.mean(axis=0)) / x.std(axis=0)
        details.add(problem.name, *(_error(method, x, y, odds, draws) for method in chosen.values()))
    for name, cells in zip(chosen, zip(*details.rows.values(), strict=True), strict=True):
        errors = [cell for cell in cells if isinstance(cell, float)]
        mean = sum(errors) / len(errors) if errors else None
        summary.add(name, len(errors), seeds, mean, max(errors, default=None), len(cells) - len(errors))
    return [summary, details]


def _error(method: Method | None, x: Array, y: Array, odds: Array, draws: Sequence[tuple[Array, Array]]) -> Cell:
    """Return the root mean square error of the weighted mean, or why there is none."""
    share = odds / (1 + odds)
    truth = float(share @ y / share.sum())
    squares: list[float] = []
    for seed, (source, target) in enumerate(draws):
        torch.manual_seed(seed)
        try:
            weights = torch.as_tensor(odds[source]) if method is None else _weights(method, x[source], x[target])
        except ImportError:
            return "not installed"
        except (RuntimeError, ValueError, np.linalg.LinAlgError):  # such as means outside of the source
            return "no weights"
        mean = float(weights @ torch.as_tensor(y[source]) / weights.sum())
        squares.append((mean - truth) ** 2)
    return (sum(squares) / len(squares)) ** 0.5


def _weights(method: Method, source: Array, target: Array) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method(torch.as_tensor(source), torch.as_tensor(target))
