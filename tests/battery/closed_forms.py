"""Least squares and ridge regression, with columns far from 0, dependent columns and millions of rows.

The references solve the same problem in NumPy's long double, by Cholesky's factorization of centred and standardized
columns after two steps of iterative refinement; errors are relative to what the data allow: to the change of the
solution if each input changed by the rounding of its dtype.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dlcore import linear
from tests.battery.results import Result, timed

Extended = NDArray[np.longdouble]
MAX_ERROR = 30.0  # times what the rounding of the inputs changes
MIN_LOST_DIGITS = 0.01  # of a standard deviation: the rounding of an input, times the columns


def reference(x: Extended, y: Extended, penalty: float) -> tuple[Extended, np.longdouble]:
    """Return the weight and the bias of a ridge regression."""
    x_mean, y_mean = x.mean(0), y.mean()
    z, t = x - x_mean, y - y_mean
    scale = np.sqrt((z * z).sum(0))
    scale = np.where(scale > 0, scale, 1)
    z = z / scale
    hessian = z.T @ z + np.diag(np.longdouble(penalty) / scale**2)
    inverse = np.linalg.pinv(hessian.astype(float), hermitian=True, rcond=1e-300)
    weight = np.zeros(x.shape[1], np.longdouble)
    for _ in range(20):
        weight = weight + inverse @ (z.T @ (t - z @ weight) - np.longdouble(penalty) / scale**2 * weight)
    weight = weight / scale
    return weight, y_mean - x_mean @ weight


def solve(n: int, d: int, *, ratio: float, penalty: float, dtype: torch.dtype, seed: int) -> Result:
    """Fit rows whose columns have a mean of ``ratio`` standard deviations; with a penalty, two columns are equal."""
    rng = np.random.default_rng([seed, n, d, round(math.log10(ratio)), round(-math.log10(penalty or 1))])
    x = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-3, 3, d)
    x = x + ratio * x.std(0)
    if penalty:
        x[:, -1] = x[:, 0]
    rows = torch.from_numpy(x).to(dtype)
    signal = (rows.double() - rows.double().mean(0)) / rows.double().std(0)
    y = (signal.sum(1) + 0.1 * torch.from_numpy(rng.normal(size=n)) + 3).to(dtype)
    eps = torch.finfo(dtype).eps
    problem = f"n={n:.0e} d={d} mean/sd={ratio:.0e} penalty={penalty:.0e} {dtype}"
    try:
        fitted, seconds = timed(lambda: linear.ridge(rows, y, penalty=penalty))
    except ValueError as error:  # columns that vary by a few units of rounding may be dependent
        refused = penalty == 0 and ratio * eps * d > MIN_LOST_DIGITS and "must have rank" in str(error)
        return Result(problem + ", refused", 0.0, 0.0, "" if refused else str(error))
    extended, targets = rows.double().numpy().astype(np.longdouble), y.double().numpy().astype(np.longdouble)
    # Predictions are compared, not weights: of equal columns, only the sum of the weights is determined.
    weight, bias = reference(extended, targets, penalty)
    found = fitted.weight.double().numpy().astype(np.longdouble), fitted.bias.double().numpy().astype(np.longdouble)
    some = extended[: 10**4]
    error = float(np.abs(some @ (found[0] - weight) + (found[1] - bias)).max())
    allowed = eps * float((np.abs(some) @ np.abs(weight) + np.abs(bias) + np.abs(targets[: len(some)])).max())
    return Result(problem, seconds, error / allowed, "" if error <= MAX_ERROR * allowed else f"{error / allowed:.3g}")


def results(seed: int) -> Iterator[Result]:
    """Fit each combination."""
    ratios, penalties, dtypes = (1.0, 1e3, 1e5, 1e6), (0.0, 1e-8, 1.0), (torch.float64, torch.float32)
    for (n, d), ratio, penalty, dtype in itertools.product(
        ((200, 5), (20_000, 20), (400_000, 5)), ratios, penalties, dtypes
    ):
        yield solve(n, d, ratio=ratio, penalty=penalty, dtype=dtype, seed=seed)
    for ratio, penalty, dtype in itertools.product((1.0, 1e6), (0.0, 1e-8), dtypes):
        yield solve(5_000_000, 2, ratio=ratio, penalty=penalty, dtype=dtype, seed=seed)
