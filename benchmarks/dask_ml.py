"""Logistic regression of rows on two processes: the ratios of the times dlcore / dask-ml.

dask-ml is installed in an environment of its own: ``tox run -e bench-dask``.
"""

import argparse
from functools import partial

import numpy as np
import torch
from dask import array, delayed  # pyright: ignore[reportMissingImports]
from dask.distributed import Client, LocalCluster, wait  # pyright: ignore[reportMissingImports]
from dask_ml.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]
from torch import Tensor

from .frame import Row, describe_machine, render, time_pair
from .sharded import COLUMNS, ROWS_A_PROCESS, Processes, examples

SOLVERS = "lbfgs", "newton"  # its default, admm, takes more than twenty times as long as these


@delayed(pure=True)
def table(process: int) -> np.ndarray:
    """Return the rows of a process, with the labels as the last column."""
    return torch.column_stack(examples(process)).numpy()


def weight_of(model: LogisticRegression, x: array.Array, y: array.Array) -> Tensor:
    """Fit a model of dask-ml, and return its weight."""
    return torch.from_numpy(model.fit(x, y).coef_)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dask_ml", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per ratio (default: %(default)s)")
    arguments = parser.parse_args()
    ours = partial(Processes(2).run, "logistic")
    shape, rows = (ROWS_A_PROCESS, COLUMNS + 1), []
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        both = array.concatenate([array.from_delayed(table(process), shape, "float32") for process in range(2)])
        x, y = client.persist([both[:, :-1], both[:, -1]])
        wait([x, y])
        for solver in SOLVERS:
            model = LogisticRegression(solver=solver, C=1.0, max_iter=1000, tol=1e-6)
            pair = ours, partial(weight_of, model, x, y)
            rows.append(Row("logistic regression, 10⁶ × 50 a process", f"dask-ml, {solver}", 1.0, lambda p=pair: p))
        timings = [time_pair(row, rounds=arguments.rounds) for row in rows]
    print(f"{describe_machine()}, two processes with one thread each\n\n{render(timings)}")


if __name__ == "__main__":
    main()
