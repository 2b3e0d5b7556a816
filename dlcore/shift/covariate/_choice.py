"""Which features does a classifier of the domains need?"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ._classifier import Classifier, best_of
from ._features import Features, Kernels, Products, Standard
from ._ratio import Apart
from ._samples import spread

__all__ = ["MOST_FEATURES", "PENALTIES", "Choice", "choose", "is_better", "told_apart"]

PENALTIES = (1e3, 1e2, 1e1, 1.0, 0.1)
MOST_FEATURES = 300  # beyond so many, products and kernels are not tried unasked
BETTER = 2.0  # standard errors by which more features must be better
ENOUGH = 2**10  # rows of each domain that tell how far the domains overlap


class Choice(NamedTuple):
    """Features, and the classifier that needs them."""

    features: Features
    classifier: Classifier
    name: str


def choose(
    source: Tensor,
    target: Tensor,
    columns: Standard,
    *,
    richer: Sequence[str],
    asked: bool = False,
    penalties: Sequence[float] = PENALTIES,
    linear: Classifier | None = None,
    generator: Generator | None = None,
) -> Choice:
    """Return the features, the columns or richer ones, and their penalties, which do best on rows left out.

    Richer features are taken where they are asked for, or better by two standard errors. The columns keep in them the
    penalty that they have alone; the classifier on them is fitted here if it is not known.
    """
    rows, n = torch.cat([source, target]), len(source)
    expansions: dict[str, Callable[[], Features]] = {
        "quadratic": lambda: Products(columns),
        "kernel": lambda: Kernels.around(columns, source, target, generator),
    }
    if linear is None:
        linear = best_of(columns(rows), n, [columns.mean.new_full((columns.size,), value) for value in penalties])
    features, best, name = columns, linear, "linear"
    for kind in richer:
        expanded = expansions[kind]()
        if asked or expanded.size <= MOST_FEATURES:
            added = expanded.size - columns.size
            paths = [torch.cat([linear.penalties, linear.penalties.new_full((added,), value)]) for value in penalties]
            found = best_of(expanded(rows), n, paths, within=linear, least=math.inf if asked else linear.loss)
            if asked or is_better(found.losses, best.losses):
                features, best, name = expanded, found, kind
    return Choice(features, best, name)


def told_apart(source: Tensor, target: Tensor, columns: Standard, linear: Classifier | None = None) -> Apart:
    """Return how lines or parabolas tell the domains apart, on rows that they were not fitted to.

    The lines are fitted here, unless they are known for all rows, and these are few enough.
    """
    here, there = (spread(x, ENOUGH) for x in (source, target))
    if linear is not None and not len(linear.logits) == len(source) + len(target) == len(here) + len(there):
        linear = None
    logits = choose(source[here], target[there], columns, richer=("quadratic",), linear=linear).classifier.logits
    return Apart(here, logits[: len(here)], logits[len(here) :])


def is_better(richer: Tensor, simpler: Tensor) -> bool:
    """Tell whether the losses on rows left out are smaller by two standard errors of the mean difference."""
    gain = simpler - richer
    return float(gain.mean()) > BETTER * float(gain.std()) / math.sqrt(len(gain))
