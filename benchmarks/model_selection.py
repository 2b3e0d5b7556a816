"""Benchmarks of :mod:`dlcore.model_selection`."""

import torch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from torch import Tensor

from dlcore import mlp, model_selection, training

from .frame import Pair, Row
from .training import digits, loss


def ridge_path() -> Pair:
    """Set up the cross-validation of 25 penalties in 10 folds of the diabetes data."""
    inputs, targets = load_diabetes(return_X_y=True)
    x, y, penalties = torch.tensor(inputs), torch.tensor(targets), torch.logspace(-4, 2, 25, dtype=torch.float64)
    search = GridSearchCV(
        Ridge(), {"alpha": penalties.tolist()}, cv=KFold(10), scoring="neg_mean_squared_error", n_jobs=2
    )

    def ours() -> Tensor:
        path = model_selection.ridge_path_cross_validation(x, y, penalties=penalties, k=10)
        return path.folds.validation_errors.mean(1)

    def theirs() -> Tensor:
        return torch.tensor(-search.fit(inputs, targets).cv_results_["mean_test_score"]) / 2

    return ours, theirs


def folds_of_networks() -> Pair:
    """Set up the training of a network in 10 folds of the digits, all at once and one by one."""
    x, y = digits()
    params = mlp.init_mlp((64, 16, 10), generator=torch.Generator().manual_seed(0))
    options = {"epochs": 2, "batch_size": 32, "lr": 0.1}

    def ours() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return model_selection.cross_validate_vectorized(
            loss, params, x, y, k=10, **options, generator=generator
        ).validation_errors

    def fit(x: Tensor, y: Tensor) -> tuple[mlp.LinearParams, ...]:
        generator = torch.Generator().manual_seed(0)
        return training.fit(loss, params, (x, y), **options, progress=False, generator=generator).params

    def theirs() -> Tensor:
        return model_selection.cross_validate(fit, loss, x, y, k=10).validation_errors

    return ours, theirs


ROWS = [
    Row("ridge path, 25 penalties, 10 folds, diabetes", "GridSearchCV(Ridge())", 0.01, ridge_path),
    Row("a 64-16-10 MLP in 10 folds at once, digits", "fold after fold", 0.4, folds_of_networks),
]
