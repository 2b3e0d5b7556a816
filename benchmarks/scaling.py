"""Growth of the time: the exponent of n in the time of work that is linear in n."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import linear_regression
from typing import Any

import torch

from dlcore import batches, linear, losses, norms, regularization

from .frame import aligned, seconds_of

__all__ = ["SCALINGS", "Growth", "Scaling", "render_growth", "time_growth"]


@dataclass(frozen=True)
class Scaling:
    """Work whose number of operations is linear in n."""

    work: str
    make: Callable[[int], Callable[[], Any]]
    sizes: tuple[int, ...] = (125_000, 250_000, 500_000, 1_000_000)
    target: float = 1.1


@dataclass(frozen=True)
class Growth:
    """The time for each size, and the exponent that fits these times best."""

    work: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    exponent: float
    target: float


def time_growth(scaling: Scaling) -> Growth:
    """Time each size as the minimum of five runs, and fit a line to the logarithms."""
    seconds = tuple(min(seconds_of(work, 1) for _ in range(5)) for work in map(scaling.make, scaling.sizes))
    exponent = linear_regression(*([math.log(value) for value in values] for values in (scaling.sizes, seconds))).slope
    return Growth(scaling.work, scaling.sizes, seconds, exponent, scaling.target)


def render_growth(growths: list[Growth]) -> str:
    """Return the table of exponents, with the time for the largest n."""
    head = ("work", "n", "exponent", "target", "", "the largest")
    return aligned(
        [
            head,
            *(
                (
                    *(growth.work, f"{growth.sizes[0]:,} to {growth.sizes[-1]:,}"),
                    *(f"{growth.exponent:.2f}", f"{growth.target:g}"),
                    "ok" if growth.exponent <= growth.target else "OVER",
                    f"{growth.seconds[-1] * 1e3:,.2f} ms",
                )
                for growth in growths
            ),
        ],
        left=1,
    )


def drawn(*shape: int) -> torch.Tensor:
    """Draw standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def norm(n: int) -> Callable[[], Any]:
    """Set up the 2.5-norm."""
    return partial(norms.lp_norm, drawn(n), 2.5)


def dropout(n: int) -> Callable[[], Any]:
    """Set up dropout with probability one half."""
    return partial(regularization.dropout, drawn(n), 0.5)


def cross_entropy(n: int) -> Callable[[], Any]:
    """Set up the cross-entropy of 10 classes."""
    return partial(losses.cross_entropy, drawn(n, 10), torch.arange(n) % 10)


def epoch(n: int) -> Callable[[], Any]:
    """Set up an epoch of minibatches of 256 rows."""
    x = drawn(n, 20)
    return lambda: sum(len(rows) for (rows,) in batches.minibatches(x, batch_size=256))


def ridge(n: int) -> Callable[[], Any]:
    """Set up a ridge regression on 20 columns."""
    x = drawn(n, 20)
    return partial(linear.ridge, x, x[:, 0], penalty=1.0)


def logistic(n: int) -> Callable[[], Any]:
    """Set up a logistic regression on 20 columns."""
    x = drawn(n, 20)
    return partial(linear.logistic_regression, x, (x[:, 0] + drawn(2, n)[1] > 0).float())


SCALINGS = [
    Scaling("2.5-norm", norm),
    Scaling("dropout", dropout),
    Scaling("cross-entropy, 10 classes", cross_entropy),
    Scaling("an epoch of minibatches, 20 columns", epoch),
    Scaling("ridge, 20 columns", ridge),
    Scaling("logistic regression, 20 columns", logistic),
]
