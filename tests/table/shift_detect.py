"""Entries of :mod:`dlcore.shift.detect`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dlcore.shift.detect import _fused, _mmd

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
            Refusal(ValueError, "y must have shape (n,) with n >= 1, got (3, 1)", (LABELS, LABELS[:, None])),
        ),
    ),
}

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
