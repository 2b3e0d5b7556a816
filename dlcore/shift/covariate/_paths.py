"""The features and penalties that are tried, and in which order."""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from ._balance import balance_of
from ._features import Features, Kernels, Products, Standard
from ._groups import Groups

__all__ = ["PENALTIES", "expansion", "path_for_added", "path_for_columns", "path_for_shifted", "penalty_path"]

PENALTIES = (1e3, 1e2, 1e1, 1.0, 0.1)
LIGHTER = (0.1, 0.01, 0.001)  # of the penalty of the other columns


def expansion(name: str, columns: Standard, source: Tensor, target: Tensor, generator: Generator | None) -> Features:
    """Return the features with this name."""
    expansions: dict[str, Callable[[], Features]] = {
        "linear": lambda: columns,
        "quadratic": lambda: Products(columns),
        "kernel": lambda: Kernels.around(columns, source, target, generator),
    }
    return expansions[name]()


def penalty_path(groups: Groups | None) -> tuple[float, ...]:
    """Return the penalties to try; those of rows are multiplied by the rows per group, as the likelihood is."""
    return PENALTIES if groups is None else tuple(value * groups.rows_per_group for value in PENALTIES)


def path_for_columns(columns: Standard, penalties: Sequence[float]) -> list[Tensor]:
    """Return the same penalty for all columns, for each of the penalties."""
    return [torch.full_like(columns.mean, value) for value in penalties]


def path_for_added(best: Tensor, features: Features, penalties: Sequence[float]) -> list[Tensor]:
    """Return the penalties of the columns, followed by one of the penalties for all features that are added to them."""
    return [torch.cat([best, best.new_full((features.size - len(best),), value)]) for value in penalties]


def path_for_shifted(
    best: Tensor, source: Tensor, target: Tensor, columns: Standard, groups: Groups | None
) -> list[Tensor]:
    """Return lighter penalties for the columns whose means differ in source and target; none if no or all columns do.

    Where few of many columns are shifted, the penalty that keeps the noise of the others down would leave these apart.
    Constant columns do not count.
    """
    equal = torch.ones(len(source), dtype=torch.float64, device=source.device)
    balance = balance_of(source, target, equal, columns, groups)
    shifted = balance.columns[balance.imbalanced]
    varying = torch.cat([columns(source), columns(target)]).any(0)
    if len(shifted) in {0, int(varying.sum())}:
        return []
    return [best.index_put((shifted,), factor * best[shifted]) for factor in LIGHTER]
