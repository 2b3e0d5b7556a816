"""Which flattening exponent does cross-validation choose, with and without importance weights?"""

import torch
from torch import Generator, Tensor

from dlcore import linear, model_selection
from dlcore.importance import flatten_weights

from .table import Table

EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
N, FOLDS = 150, 10


def tables(seeds: int) -> list[Table]:
    """Measure the excess error of a line, on the target, for each exponent and for each choice."""
    table = Table(
        "Importance-weighted cross-validation",
        f"sinc(x) with noise 1/4; source N(1, 1/4), target N(2, 1/16), exact ratio; n = {N}; {seeds} draws; a line",
        ("excess error x 1e3",),
        targets={"excess error x 1e3": 18.1},
    )
    new = 2 + torch.randn(100_000, 1, dtype=torch.float64, generator=Generator().manual_seed(1)) / 4
    errors = torch.zeros(len(EXPONENTS) + 2, dtype=torch.float64)
    for seed in range(seeds):
        generator = Generator().manual_seed(seed)
        x = 1 + torch.randn(N, 1, dtype=torch.float64, generator=generator) / 2
        y = torch.sinc(x[:, 0]) + torch.randn(N, dtype=torch.float64, generator=generator) / 4
        weights = 2 * (2 * (x[:, 0] - 1).square() - 8 * (x[:, 0] - 2).square()).exp()
        reached = torch.stack([_squares(_fit(x, y, weights, e), new, torch.sinc(new[:, 0])).mean() for e in EXPONENTS])
        chosen = [_choose(x, y, weights, judged, seed) for judged in (torch.ones_like(weights), weights)]
        errors += torch.cat([reached, reached[chosen]]) / seeds
    names = [*(f"exponent {exponent:g}" for exponent in EXPONENTS), "cross_validate", "dlcore importance_weighted"]
    for name, error in zip(names, errors.tolist(), strict=True):
        table.add(name, 1e3 * error)
    return [table]


def _fit(x: Tensor, y: Tensor, weights: Tensor, exponent: float) -> linear.LinearParams:
    return linear.least_squares(x, y, weights=flatten_weights(weights, exponent=exponent))


def _squares(model: linear.LinearParams, x: Tensor, y: Tensor) -> Tensor:
    return (linear.linear(x, *model) - y).square()


def _choose(x: Tensor, y: Tensor, weights: Tensor, judged: Tensor, seed: int) -> int:
    """Return the place of the exponent with the least error on rows held out, judged under these weights."""
    pair = torch.stack([weights, y], dim=1)  # the fit flattens the ratio, whatever the judge's weights are
    means: list[float] = []
    for exponent in EXPONENTS:
        result = model_selection.importance_weighted_cross_validation(
            lambda x, pair, _, e=exponent: _fit(x, pair[:, 1], pair[:, 0], e),
            lambda model, x, pair: _squares(model, x, pair[:, 1]),
            x,
            pair,
            weights=judged,
            k=FOLDS,
            shuffle=True,
            generator=Generator().manual_seed(seed),
        )
        means.append(float(result.validation_mean))
    return means.index(min(means))
