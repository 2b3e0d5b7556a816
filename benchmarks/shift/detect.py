"""Two-sample tests on the same draws: how often each errs, what it misses, and how long it takes."""

import importlib
import importlib.metadata
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from scipy import stats
from torch import Generator, Tensor

from benchmarks.frame import seconds_of
from benchmarks.memory import growth
from dlcore.shift import detect

from .table import Cell, Table

__all__ = ["tables"]

Decision = Callable[[Tensor, Tensor], bool]

N, D, ALPHA, DRAWS_PER_SEED = 200, 10, 0.05, 10
COLUMNS = ("false alarms", "missed mean", "missed scale", "missed correlation", "ms")


def tables(seeds: int) -> list[Table]:
    """Return what each test misses, a table for each kind of test, and the cost of many rows."""
    draws = seeds * DRAWS_PER_SEED
    setting = (
        f"{N} and {N} rows, {D} columns, level {ALPHA}, {draws} draws; mean shifted by .12 in each column, one column "
        "with standard deviation 2, one pair with correlation .7"
    )
    kinds: dict[str, tuple[dict[str, Decision | None], tuple[float, ...]]] = {
        "mean discrepancy": (
            {
                "dlcore mmd_test, 1000 permutations": lambda x, y: detect.mmd_test(x, y).rejects(ALPHA),
                "dlcore mmd_test, 100 permutations": lambda x, y: detect.mmd_test(x, y, n_permutations=100).rejects(
                    ALPHA
                ),
                **alibi_detect(),
            },
            (0.31, 0.09, 0.91),
        ),
        "classifier": (
            {
                f"dlcore classifier_test, {features}": _by_classifier(features)
                for features in ("auto", "linear", "quadratic")
            },
            (0.68, 0.98, 0.94),
        ),
        "Kolmogorov-Smirnov, Bonferroni": (
            {
                "dlcore ks_test": lambda x, y: detect.ks_test(x, y).rejects(ALPHA),
                f"scipy ks_2samp {importlib.metadata.version('scipy')}": by_scipy,
            },
            (0.74, 0.15, 0.95),
        ),
    }
    found: list[Table] = []
    for kind, (methods, missed) in kinds.items():
        table = Table(f"Two samples: {kind}", setting, COLUMNS)
        level = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / draws)
        table.targets = dict(zip(COLUMNS, (level, *missed), strict=False))
        for name, method in methods.items():
            table.add(name, *(_measured(method, draws) if method else ["not installed"] * len(COLUMNS)))
        found.append(table)
    return [*found, limits(draws), many_rows()]


def limits(draws: int) -> Table:
    """Return how often the limits of the effect err, and what a test of a tolerance decides."""
    columns = (
        "lower limit too high",
        "upper limit too low",
        "alarms at the difference",
        "alarms at half of it",
        "width",
    )
    table = Table(
        "Two samples: the size of the difference",
        f"{N} and {N} rows, level {ALPHA}, {draws} draws; a tolerance of the true difference, and of half of it",
        columns,
    )
    level = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / draws)
    table.targets = dict(zip(columns[:3], [level] * 3, strict=True))
    few = {"n_permutations": 100}
    methods: dict[str, tuple[Callable[..., detect.ShiftTest], float]] = {
        "dlcore ks_test": (detect.ks_test, math.erf(0.5 / math.sqrt(8))),
        "dlcore mmd_test": (
            partial(detect.mmd_test, bandwidth=1.0, **few),
            math.sqrt(2 / math.sqrt(3) * (1 - math.exp(-(0.5**2) / 6))),
        ),
        "dlcore label_test": (partial(detect.label_test, **few), 0.2),
    }
    for name, (test, effect) in methods.items():
        generator, errors = Generator().manual_seed(0), torch.zeros(4, dtype=torch.float64)
        torch.manual_seed(0)
        widths = list[float]()
        for _ in range(draws):
            x, y = torch.randn(2, N, 1, generator=generator)
            y = y + 0.5
            if test is methods["dlcore label_test"][0]:  # shares .4, .3, .3 and .2, .3, .5
                x, y = (
                    torch.multinomial(torch.tensor(shares), N, replacement=True, generator=generator)
                    for shares in ([0.4, 0.3, 0.3], [0.2, 0.3, 0.5])
                )
            at, beyond = test(x, y, tolerance=effect), test(x, y, tolerance=effect / 2)
            lower, upper = at.interval or (0.0, 1.0)
            errors += torch.tensor([lower > effect, upper < effect, at.rejects(ALPHA), beyond.rejects(ALPHA)])
            widths.append(upper - lower)
        table.add(name, *(errors / draws).tolist(), median(widths))
    return table


def _by_classifier(features: str) -> Decision:
    return lambda x, y: detect.classifier_test(x, y, features=features).rejects(ALPHA)  # pyright: ignore[reportArgumentType]


def draw(shift: str, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return two normal samples of which the second is shifted."""
    x, y = torch.randn(2, N, D, generator=generator)
    if shift == "mean":
        y = y + 0.12
    elif shift == "scale":
        y[:, 0] *= 2
    elif shift == "correlation":
        y[:, 1] = 0.7 * y[:, 0] + math.sqrt(1 - 0.7**2) * y[:, 1]
    return x, y


def _measured(method: Decision, draws: int) -> list[Cell]:
    """Return the share of false alarms, the shares of shifts missed, and the median time."""
    rates, seconds = list[float](), list[float]()
    for shift in ("none", "mean", "scale", "correlation"):
        generator, rejected = Generator().manual_seed(0), 0
        torch.manual_seed(0)
        for _ in range(draws):
            samples = draw(shift, generator)
            start = time.perf_counter()
            rejected += method(*samples)
            seconds.append(time.perf_counter() - start)
        rates.append(rejected / draws)
    return [rates[0], *(1 - rate for rate in rates[1:]), 1e3 * median(seconds)]


def by_scipy(x: Tensor, y: Tensor) -> bool:
    """Decide by scipy's test of each column."""
    tests = [stats.ks_2samp(a.numpy(), b.numpy()) for a, b in zip(x.T, y.T, strict=True)]
    return min(test.pvalue for test in tests) <= ALPHA / D  # pyright: ignore[reportAttributeAccessIssue]


def alibi_detect() -> dict[str, Decision | None]:
    """Return alibi-detect's test with its default of 100 permutations."""
    installed = sys.modules.get("tensorflow")
    sys.modules["tensorflow"] = None  # pyright: ignore[reportArgumentType]  # a partial installation makes the import fail
    try:
        module = importlib.import_module("alibi_detect.cd")
    except ImportError:
        return {"alibi-detect": None}
    finally:
        del sys.modules["tensorflow"]
        if installed is not None:
            sys.modules["tensorflow"] = installed

    def decide(x: Tensor, y: Tensor) -> bool:
        detector = module.MMDDrift(x.numpy(), backend="pytorch", p_val=ALPHA, n_permutations=100)
        return bool(detector.predict(y.numpy())["data"]["is_drift"])

    return {f"alibi-detect {importlib.metadata.version('alibi-detect')}, 100 permutations": decide}


def many_rows() -> Table:
    """Return the cost of the mean discrepancy for many rows, whose kernel matrix would not fit in memory."""
    table = Table(
        "Two samples: mean discrepancy of many rows",
        f"{D} columns, 20 permutations, once; the memory beyond that of the data",
        ("rows", "seconds", "MiB more", "MiB of the kernel matrix"),
    )
    for n in (1000, 10_000):
        x, y = torch.randn(2, n, D, generator=Generator().manual_seed(0))
        test = partial(detect.mmd_test, x, y, n_permutations=20)
        table.add(f"dlcore mmd_test, {n} and {n}", 2 * n, seconds_of(test, 1), growth(test), 8 * (2 * n) ** 2 / 2**20)
    return table
