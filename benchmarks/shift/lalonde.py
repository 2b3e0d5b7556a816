"""LaLonde's data: the effect of a job training, with controls from a survey in place of those of the experiment."""

import importlib
from collections.abc import Callable
from math import sqrt
from typing import Any

import torch
from torch import Generator, Tensor

from dlcore.shift import covariate

from .table import Table

__all__ = ["tables"]

COLUMNS = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]
MEASURES = ("effect", "doubly robust", "standard error", "largest difference", "effective rows", "verdict")

Estimate = Callable[[Tensor, Tensor], covariate.DensityRatio]
ESTIMATES: dict[str, Estimate] = {
    "ulsif": lambda s, t: covariate.ulsif(s, t, generator=Generator().manual_seed(0)),
    "logistic_ratio, linear": lambda s, t: covariate.logistic_ratio(s, t, features="linear"),
    "logistic_ratio": lambda s, t: covariate.logistic_ratio(s, t, generator=Generator().manual_seed(0)),
    "kliep, entropy balancing": lambda s, t: covariate.kliep(s, t, features="linear", penalty=0),
}


def tables(seeds: int) -> list[Table]:
    """Return the effect on the treated by the experiment, by the survey, and by each estimator of the ratio.

    The data are given, so there is nothing to draw ``seeds`` times.
    """
    del seeds
    table = Table(
        "LaLonde's data: the effect of training on earnings",
        "185 men in the training of the NSW experiment, 260 of its controls, 15,992 men of the CPS survey; US dollars",
        MEASURES,
    )
    try:
        treated, earned = _rows("nsw_mixtape", treated=True)
        controls, of_controls = _rows("nsw_mixtape", treated=False)
        survey, of_survey = _rows("cps_mixtape", treated=False)
    except ImportError:
        table.add_missing("experiment")
        return [table]

    for name, outcomes, rows in (("experiment", of_controls, controls), ("survey, without weights", of_survey, survey)):
        error = sqrt(float(earned.var() / len(earned) + outcomes.var() / len(outcomes)))
        variance = (rows.var(dim=0, correction=0) + treated.var(dim=0, correction=0)) / 2
        largest = float(((rows.mean(dim=0) - treated.mean(dim=0)) / variance.sqrt()).abs().max())
        effect = float(earned.mean() - outcomes.mean())
        table.add(name, dollars(effect), None, dollars(error), largest, f"{len(rows):,}", None)
    for name, estimate in ESTIMATES.items():
        ratio = estimate(survey, treated)
        by_weights = float(earned.mean() - ratio.weights @ of_survey / ratio.weights.sum())
        known = torch.zeros_like(of_survey), earned
        effect = covariate.target_mean(-of_survey, ratio, survey, treated, predictions=known)
        report = ratio.report
        largest = float(report.balance.difference.abs().max())
        amounts = (dollars(amount) for amount in (by_weights, effect.mean, effect.standard_error))
        table.add(name, *amounts, largest, report.effective_sample_size, report.verdict)
    return [table]


def dollars(amount: float) -> str:
    """Return an amount of money without cents."""
    return f"{amount:,.0f}"


def _rows(name: str, *, treated: bool) -> tuple[Tensor, Tensor]:
    """Return the columns of the treated or of the others in a data set of causaldata, and what they earned in 1978."""
    frame: Any = getattr(importlib.import_module("causaldata"), name).load_pandas().data
    frame = frame[frame["treat"] == treated]
    return torch.tensor(frame[COLUMNS].to_numpy(float)), torch.tensor(frame["re78"].to_numpy(float))
