"""Entries of :mod:`dlcore.shift.detect`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dlcore._shards import as_rows_of, local_rows, shards_of
from dlcore.shift.detect import _fused, _mmd, ks_test, mmd_test

from . import Entry, Pair, Refusal, draw, seeded

X = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
Y = torch.tensor([[0.0, 1.0], [2.0, 2.0]])
LABELS = torch.tensor([0, 1, 1])
NAN = torch.tensor([[1.0, 2.0], [3.0, math.nan], [5.0, 7.0]])
NINE_PERMUTATIONS = {"n_permutations": 9}


def kernel_by_distances(a: Tensor, b: Tensor, less_one: bool) -> Tensor:
    exponents = -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square() / 2
    return exponents.expm1() if less_one else exponents.exp()


def samples(generator: Generator) -> tuple[Tensor, Tensor]:
    return draw(generator, 12, 2), draw(generator, 9, 2) + 0.5


def numbers(test: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the statistic and the p-value, from one seed."""

    def call(x: Tensor, y: Tensor, **kwargs: Any) -> Tensor:
        if "n_permutations" in kwargs:
            kwargs["generator"] = seeded(x)
        result = test(x, y, **kwargs)
        return torch.tensor([result.statistic, result.p_value])

    return call


def alternate(x: Tensor) -> Tensor:
    """Return the slices 0, 1, 0, 1, ... of the rows, sharded as these are."""
    rows = shards_of(x).first_row + torch.arange(len(local_rows(x)))
    return as_rows_of(x, rows % 2)


def slices_refused(error: type[Exception], message: str, test: Any = ks_test, **options: Any) -> Refusal:
    return Refusal(error, message, (test, X, X), {"x_slices": SLICES, "y_slices": SLICES} | options)


def refusals(at_least: int, *more: Refusal) -> tuple[Refusal, ...]:
    """List what every test of two matrices refuses, and more that this one refuses."""
    no_sample = f"must have shape (n, d) with n >= {at_least}, d >= 1, got"
    return (
        Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (X.long(), Y)),
        Refusal(TypeError, "y must be a torch.Tensor, got ndarray; torch.as_tensor(y) converts it", (X, Y.numpy())),
        Refusal(TypeError, "y must have the dtype of x, torch.float32, got torch.float64", (X, Y.double())),
        Refusal(ValueError, f"x {no_sample} (3,)", (X[:, 0], Y)),
        Refusal(ValueError, f"y {no_sample} (2, 0)", (X, Y[:, :0])),
        Refusal(ValueError, f"y {no_sample} (0, 2)", (X, Y[:0])),
        Refusal(ValueError, "x and y must have the same number of columns, got 2 and 1", (X, Y[:, :1])),
        Refusal(ValueError, "x must be finite, got nan at index (1, 1)", (NAN, Y)),
        Refusal(ValueError, "y must be finite, got nan at index (1, 1)", (X, NAN)),
        Refusal(ValueError, "x must be finite, got inf at index (0, 0)", (X / 0, Y)),
        *more,
    )


TOLERANCE = (
    Refusal(TypeError, "tolerance must be a real number, got None", (X, Y), {"tolerance": None}),
    Refusal(ValueError, "tolerance must be in [0, 1), got 1.0", (X, Y), {"tolerance": 1.0}),
    Refusal(ValueError, "tolerance must be in [0, 1), got -0.5", (X, Y), {"tolerance": -0.5}),
)
COUNT = (
    Refusal(TypeError, "n_permutations must be an integer, got 99.0", (X, Y), {"n_permutations": 99.0}),
    Refusal(ValueError, "n_permutations must be >= 1, got 0", (X, Y), {"n_permutations": 0}),
)
NUMBERS = "a test holds Python numbers, so the samples must have values, and no graph of autograd begins at them"
RANDOM = "torch.compile traces no call that draws from a torch.Generator"
EXEMPT = dict.fromkeys(("gradient", "func_grad", "vmap", "dtypes", "meta"), NUMBERS)

ENTRIES = {
    "shift.detect.mmd_test": Entry(
        make=samples,
        kwargs=NINE_PERMUTATIONS,
        adapt=numbers,
        empty=Refusal(ValueError, "x must have shape (n, d) with n >= 2, d >= 1, got (0, 2)", (X[:0], Y)),
        exempt=EXEMPT | {"compile": RANDOM},
        refusals=refusals(
            2,
            *COUNT,
            Refusal(TypeError, "bandwidth must be a real number, got 'median'", (X, Y), {"bandwidth": "median"}),
            Refusal(ValueError, "bandwidth must be in (0, inf), got 0.0", (X, Y), {"bandwidth": 0.0}),
            Refusal(ValueError, "bandwidth must be in (0, inf), got nan", (X, Y), {"bandwidth": math.nan}),
            Refusal(TypeError, "tolerance must be a real number, got '1'", (X, Y), {"tolerance": "1"}),
            Refusal(ValueError, "tolerance must be in [0, sqrt(2)), got 1.5", (X, Y), {"tolerance": 1.5}),
        ),
    ),
    "shift.detect.classifier_test": Entry(
        make=samples,
        kwargs=NINE_PERMUTATIONS,
        adapt=numbers,
        empty=Refusal(ValueError, "x must have shape (n, d) with n >= 2, d >= 1, got (0, 2)", (X[:0], Y)),
        exempt=EXEMPT | {"compile": RANDOM},
        refusals=refusals(
            2,
            *COUNT,
            *TOLERANCE,
            Refusal(
                ValueError,
                "features must be 'auto', 'linear' or 'quadratic', got 'cubic'",
                (X, Y),
                {"features": "cubic"},
            ),
        ),
    ),
    "shift.detect.ks_test": Entry(
        make=samples,
        adapt=numbers,
        empty=Refusal(ValueError, "x must have shape (n, d) with n >= 1, d >= 1, got (0, 2)", (X[:0], Y)),
        exempt=EXEMPT,
        refusals=refusals(
            1,
            *TOLERANCE,
            Refusal(
                ValueError,
                "correction must be 'holm' or 'bonferroni', got 'fdr'",
                (X, Y),
                {"correction": "fdr"},
            ),
        ),
    ),
    "shift.detect.label_test": Entry(
        make=lambda generator: (
            torch.randint(3, (12,), generator=generator),
            torch.randint(3, (9,), generator=generator),
        ),
        kwargs=NINE_PERMUTATIONS,
        adapt=numbers,
        empty=Refusal(ValueError, "x must have shape (n,) with n >= 1, got (0,)", (LABELS[:0], LABELS)),
        exempt={
            "gradient": "labels are integers",
            "func_grad": "labels are integers",
            "vmap": NUMBERS,
            "dtypes": "integers have no floating dtype that the result could keep",
            "meta": NUMBERS,
            "compile": RANDOM,
        },
        refusals=(
            Refusal(TypeError, "x must be an integer tensor, got torch.float32", (LABELS.float(), LABELS)),
            Refusal(TypeError, "y must be an integer tensor, got torch.bool", (LABELS, LABELS > 0)),
            Refusal(
                TypeError,
                "y must have the dtype of x, torch.uint64, got torch.int64",
                (LABELS.to(torch.uint64), LABELS),
            ),
            Refusal(
                TypeError, "n_permutations must be an integer, got None", (LABELS, LABELS), {"n_permutations": None}
            ),
            Refusal(ValueError, "n_permutations must be >= 1, got 0", (LABELS, LABELS), {"n_permutations": 0}),
            Refusal(TypeError, "tolerance must be a real number, got '1'", (LABELS, LABELS), {"tolerance": "1"}),
            Refusal(ValueError, "tolerance must be in [0, 1), got 1", (LABELS, LABELS), {"tolerance": 1}),
            Refusal(ValueError, "y must have shape (n,) with n >= 1, got (3, 1)", (LABELS, LABELS[:, None])),
        ),
    ),
}

SLICES = torch.tensor([0, 0, 1])
ENTRIES["shift.detect.slice_test"] = Entry(
    make=samples,
    adapt=lambda slice_test: (
        lambda x, y: torch.stack(
            [
                torch.tensor([test.statistic, float(p)])
                for result in [slice_test(ks_test, x, y, x_slices=alternate(x), y_slices=alternate(y), min_rows=2)]
                for test, p in zip(result.tests, result.p_values, strict=True)
            ]
        )
    ),
    empty=Refusal(
        ValueError,
        "x and y must have a slice with at least 10 rows in both, got none; reduce min_rows",
        (ks_test, X[:0], Y[:0]),
        {"x_slices": SLICES[:0], "y_slices": SLICES[:0]},
    ),
    exempt=EXEMPT | {"compile": "the rows of each slice are found in Python"},
    refusals=(
        slices_refused(TypeError, "test must be callable, such as ks_test, got 'ks'", test="ks"),
        slices_refused(TypeError, "x_slices must be an integer tensor, got torch.float32", x_slices=SLICES.float()),
        slices_refused(TypeError, "y_slices must be an integer tensor, got torch.bool", y_slices=SLICES > 0),
        slices_refused(
            TypeError,
            "y_slices must have the dtype of x_slices, torch.uint64, got torch.int64",
            x_slices=SLICES.to(torch.uint64),
        ),
        slices_refused(TypeError, "min_rows must be an integer, got 2.5", min_rows=2.5),
        slices_refused(ValueError, "min_rows must be >= 2, got 1", min_rows=1),
        slices_refused(ValueError, "x_slices must have shape (3,), got (2,)", x_slices=SLICES[:2]),
        slices_refused(ValueError, "y_slices must have shape (3,), got (3, 1)", y_slices=SLICES[:, None]),
        slices_refused(
            ValueError, "x and y must have a slice with at least 3 rows in both, got none; reduce min_rows", min_rows=3
        ),
        slices_refused(
            ValueError,
            "n_permutations must be >= 19 to reject in 1 slices, got 9",
            test=mmd_test,
            min_rows=2,
            n_permutations=9,
        ),
    ),
)

ROWS = draw(torch.Generator().manual_seed(0), 23, 3)
SPLITS = torch.stack([torch.randperm(23, generator=torch.Generator().manual_seed(seed)) < 9 for seed in range(5)])
PAIRS = {
    "shift.detect._fused.gaussian_kernel": Pair(
        kept=_fused.gaussian_kernel,
        formula=kernel_by_distances,
        arguments=tuple(
            (a, b, less_one)
            for a, b in ((ROWS[:9], ROWS[9:]), (1e9 + ROWS, 1e9 + ROWS), (ROWS[:0], ROWS))
            for less_one in (False, True)
        ),
        tolerance=1e-12,
    ),
    "shift.detect._fused.blockwise_sums": Pair(
        kept=_fused.blockwise_sums,
        formula=_mmd._sums,
        arguments=tuple(
            (ROWS, SPLITS, less_one, block_rows) for block_rows in (1, 7, 22, 23, 100) for less_one in (False, True)
        ),
        tolerance=1e-13,
    ),
}
