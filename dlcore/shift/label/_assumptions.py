r"""Tests of the assumptions of label shift: :math:`p(\mathbf{x} \mid y)` has not changed, and :math:`f` is calibrated.

Reference: L. P. Hansen, "Large sample properties of generalized method of moments estimators", *Econometrica* 50(4),
1982.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from dlcore._torch import gammaincc, pinv, solve

from ._rows import ClassifierOutputs

__all__ = [
    "MomentTest",
    "accuracy_gain",
    "calibration_test",
    "corrected_outputs",
    "corrected_rows",
    "invariance_test",
    "present_everywhere",
]

MIN_SCORE = 1e-4  # added before the logarithm: below, the scores of certain classifiers differ by nothing that matters


class MomentTest(NamedTuple):
    """How far moments are from what they should be, and the probability of a distance at least as significant."""

    distance: float
    p_value: float


def invariance_test(outputs: ClassifierOutputs, prior: Tensor) -> MomentTest:
    r"""Return whether the scores in the target are those of a mixture of the source's classes.

    The mean scores determine the prior. Any further moment :math:`\mathbf{b}` of the scores then tests the assumption;
    here it holds their logarithms and, of more than two classes, which is the second most probable. With the scores
    :math:`\mathbf{f}` and the means :math:`\mathbf{A}`, :math:`\mathbf{B}` of both moments in each class of the source,

    .. math::

        \mathbf{r} = \mathbf{b} - \mathbf{B}\mathbf{A}^{+}\mathbf{f}, \qquad
        J = \bar{\mathbf{r}}^\top\mathbf{V}^{-1}\bar{\mathbf{r}} \sim \chi^2, \qquad
        \mathbf{V} = \frac{\operatorname{Cov}(\mathbf{r})}{m}
            + \sum_j \frac{p_j^2}{n_j} \operatorname{Cov}(\mathbf{r} \mid j) + \epsilon\,\mathbf{I}

    where the mean and the first covariance are those of the target, and the other covariances those of the source, in
    whose classes :math:`\mathbf{r}` has mean 0. With :math:`\epsilon`, the variance if one row of each were otherwise,
    no moment is certain because its rows happen to agree. The distance is the largest of the means, in standard
    deviations of its moment.
    """
    n, m, shards = outputs.counts.to(prior.dtype), outputs.m, outputs.shards
    b, b_target = _score_moments(outputs.source), _score_moments(outputs.target)
    weight = (outputs.sums(b).T / n) @ pinv(outputs.conditional)
    r, r_target = b - outputs.source @ weight.T, b_target - outputs.target @ weight.T
    mean = outputs.target_mean(r_target)
    floor = m**-2 + (prior / n).square().sum()
    centred = (r_target - mean) / m
    v = shards.sum(centred.T @ centred) + _mean_covariance(r, outputs, prior) + floor * torch.eye(len(mean)).to(prior)
    variance = outputs.source_mean((b - outputs.source_mean(b)).square())
    variance += outputs.target_mean((b_target - outputs.target_mean(b_target)).square())
    deviation = (variance + floor).sqrt()
    return MomentTest(float((mean / deviation).abs().max()), _chi2_tail(mean @ solve(v, mean), len(mean)))


def calibration_test(corrected: ClassifierOutputs, prior: Tensor) -> MomentTest:
    r"""Return by how much a miscalibration moves the most likely prior, and whether that is chance.

    The corrected probabilities :math:`\mathbf{h}` are scores like any other: with their means :math:`\mathbf{A}` in
    each class of the source, the prior that solves :math:`\mathbf{A}\mathbf{p} = \bar{\mathbf{h}}'` needs no
    calibration, and it is as exact as the most likely one if they are calibrated. As expectation maximization ends
    where :math:`\bar{\mathbf{h}}' = \mathbf{p}`, the two differ by

    .. math::

        \boldsymbol{\delta} = \mathbf{A}^{+}(\mathbf{p} - \mathbf{A}\mathbf{p}), \qquad
        Z = (\mathbf{p} - \mathbf{A}\mathbf{p})^\top\mathbf{V}^{-1}(\mathbf{p} - \mathbf{A}\mathbf{p})
            \sim \chi^2, \qquad
        \mathbf{V} = \sum_j \frac{p_j^2}{n_j} \operatorname{Cov}(\mathbf{h} \mid j)
            + \operatorname{diag}\Bigl(\frac{p_j^2}{n_j^2}\Bigr)

    which is a test of Hausman's kind: mean confidence can equal accuracy where it rejects. The entries sum to 0. The
    distance is the largest entry of :math:`\boldsymbol{\delta}`.

    References: J. A. Hausman, "Specification tests in econometrics", *Econometrica* 46(6), 1978; Q. Tian, X. Zhang and
    J. Zhao, "ELSA: efficient label shift adaptation through the lens of semiparametric models", *ICML*, 2023.
    """
    t = prior - corrected.conditional @ prior
    floor = torch.diag((prior / corrected.counts).square())
    z2 = t @ solve(_mean_covariance(corrected.source, corrected, prior) + floor, t)
    return MomentTest(float((pinv(corrected.conditional) @ t).abs().max()), _chi2_tail(z2, len(t) - 1))


def corrected_outputs(outputs: ClassifierOutputs, weights: Tensor) -> ClassifierOutputs:
    """Return the outputs corrected by the weights of the classes."""
    return replace(
        outputs, source=corrected_rows(outputs.source, weights), target=corrected_rows(outputs.target, weights)
    )


def corrected_rows(probabilities: Tensor, weights: Tensor) -> Tensor:
    """Return rows times the weights, divided by their sums; a row of nothing but classes of weight 0 is kept."""
    weighted = probabilities * weights
    total = weighted.sum(dim=1, keepdim=True)
    return torch.where(total > 0, weighted / torch.where(total > 0, total, 1), probabilities)


def present_everywhere(prior: Tensor, n_target: int) -> Tensor:
    """Return the prior with at least one row of the target in each class, so that no corrected score is all 0."""
    prior = prior.clamp(min=1 / n_target)
    return prior / prior.sum()


def _score_moments(scores: Tensor) -> Tensor:
    """Return the logarithms of the scores and, of more than two classes, the indicators of the second largest."""
    logs = (scores + MIN_SCORE).log()
    if scores.shape[1] == 2:
        return logs
    second = scores.topk(2, dim=1).indices[:, 1:]
    return torch.cat([logs, torch.zeros_like(scores).scatter(1, second, 1)[:, 1:]], dim=1)


def _mean_covariance(rows: Tensor, outputs: ClassifierOutputs, prior: Tensor) -> Tensor:
    """Return the covariance of the mean of rows of the source, whose classes are weighted to have the prior."""
    n = outputs.counts.to(prior.dtype)
    means = outputs.sums(rows) / n[:, None]
    centred = (rows - means[outputs.labels]) * (prior / n)[outputs.labels, None]
    return outputs.shards.sum(centred.T @ centred)


def accuracy_gain(outputs: ClassifierOutputs, prior: Tensor, source_prior: Tensor) -> tuple[float, float]:
    r"""Return by how much correcting raises the accuracy in the target, and the standard error.

    The gain is :math:`\sum_j p_j g_j` with the gains :math:`g_j` in the classes of the source; its noise is that of the
    rows of each class, and that of a prior counted in the target.
    """
    right, right_before = (
        (x.argmax(dim=1) == outputs.labels).to(prior) for x in (outputs.source * (prior / source_prior), outputs.source)
    )
    n, gains = outputs.counts.to(prior.dtype), right - right_before
    g, squares = outputs.sums(gains) / n, outputs.sums(gains.square())
    gain = prior @ g
    variance = prior.square() @ ((squares / n - g.square()) / n) + prior @ (g - gain).square() / outputs.m
    return float(gain), float(variance.sqrt())


def _chi2_tail(statistic: Tensor, degrees: int) -> float:
    """Return the probability that a chi-squared variable exceeds the statistic; 1 without degrees of freedom."""
    half = torch.full_like(statistic, degrees / 2)
    return float(gammaincc(half, statistic / 2)) if degrees else 1.0
