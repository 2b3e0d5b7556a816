r"""Tests of the assumptions of label shift: :math:`p(\mathbf{x} \mid y)` has not changed, and :math:`f` is calibrated.

Reference: L. P. Hansen, "Large sample properties of generalized method of moments estimators", *Econometrica* 50(4),
1982.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dlcore._torch import gammaincc, pinv, solve, vector_norm

from ._rows import ClassifierOutputs, one_hot_of_largest

__all__ = ["MomentTest", "accuracy_gain", "calibration_test", "invariance_test"]

MIN_SHARE = 1e-9  # of a class in the target, which is otherwise absent
N_CONFIDENCE_BINS = 4  # of equally many source rows


class MomentTest(NamedTuple):
    """The distance of moments from what they should be, and the probability of one at least as significant."""

    distance: float
    p_value: float


def invariance_test(outputs: ClassifierOutputs, prior: Tensor) -> MomentTest:
    r"""Return whether the confidences in the target are those of a mixture of the source's classes.

    The shares of the predictions determine the prior. Any further moment :math:`\mathbf{b}` of the scores then tests
    the assumption; here it holds the shares of rows in bins of the largest probability. With the one-hot prediction
    :math:`\mathbf{h}` and the means :math:`\mathbf{A}`, :math:`\mathbf{B}` of both moments in each class of the source,

    .. math::

        \mathbf{r} = \mathbf{b} - \mathbf{B}\mathbf{A}^{+}\mathbf{h}, \qquad
        J = \bar{\mathbf{r}}^\top\mathbf{V}^{-1}\bar{\mathbf{r}} \sim \chi^2, \qquad
        \mathbf{V} = \frac{\operatorname{Cov}(\mathbf{r})}{m}
            + \sum_j \frac{p_j^2}{n_j} \operatorname{Cov}(\mathbf{r} \mid j) + \epsilon\,\mathbf{I}

    where the mean and the first covariance are those of the target, and the other covariances those of the source, in
    whose classes :math:`\mathbf{r}` has mean 0. With :math:`\epsilon`, the variance if one row of each were otherwise,
    no moment is certain because its rows happen to agree.
    """
    confidence, in_target = outputs.source.amax(dim=1), outputs.target.amax(dim=1)
    ranks = torch.arange(1, N_CONFIDENCE_BINS, device=prior.device) * len(confidence) // N_CONFIDENCE_BINS
    edges = confidence.sort().values[ranks]
    y = torch.eye(outputs.n_classes, dtype=prior.dtype, device=prior.device)[outputs.labels]
    n = outputs.counts.to(prior.dtype)
    h, b = one_hot_of_largest(outputs.source), (confidence[:, None] > edges).to(prior.dtype)
    weight = (b.T @ y / n) @ pinv(h.T @ y / n)
    r = b - h @ weight.T
    r_target = (in_target[:, None] > edges).to(prior.dtype) - one_hot_of_largest(outputs.target) @ weight.T
    mean, m = r_target.mean(dim=0), len(r_target)
    centred, of_class = r_target - mean, (r - (y @ (y.T @ r / n[:, None]))) * (prior / n)[outputs.labels, None]
    floor = m**-2 + (prior / n).square().sum()
    v = centred.T @ centred / m**2 + of_class.T @ of_class + floor * torch.eye(len(mean)).to(prior)
    return MomentTest(float(vector_norm(mean)), _chi2_tail(mean @ solve(v, mean), len(mean)))


def calibration_test(outputs: ClassifierOutputs, prior: Tensor, source_prior: Tensor) -> MomentTest:
    r"""Return whether the corrected probabilities of the weighted source have the mean of its labels.

    .. math::

        \mathbf{t} = \frac1n \sum_{i=1}^{n} w_{y_i} \bigl(\mathbf{e}_{y_i} - \mathbf{p}_i\bigr), \qquad
        p_{ij} = \frac{w_j f_{ij}}{\sum_l w_l f_{il}}

    has mean 0 for any weights :math:`w` if the probabilities :math:`\mathbf{f}_i` are calibrated, and it is the error
    of the equation that expectation maximization solves. Mean confidence can equal accuracy where this does not hold.
    The entries sum to 0; to their covariance, the variance if one row of each class were otherwise is added.
    """
    w = prior / source_prior
    posterior = outputs.source * w
    total = posterior.sum(dim=1, keepdim=True)
    posterior = posterior / torch.where(total > 0, total, 1)
    y = torch.eye(outputs.n_classes, dtype=prior.dtype, device=prior.device)[outputs.labels]
    errors = w[outputs.labels, None] * (y - posterior)
    t = errors.mean(dim=0)
    v = (errors - t).T @ (errors - t) / len(errors) ** 2 + torch.diag(prior / outputs.counts).square()
    present = prior > MIN_SHARE
    z2 = t[present] @ solve(v[present][:, present], t[present])
    return MomentTest(float(vector_norm(t)), _chi2_tail(z2, int(present.sum()) - 1))


def accuracy_gain(outputs: ClassifierOutputs, prior: Tensor, source_prior: Tensor) -> tuple[float, float]:
    r"""Return by how much correcting raises the accuracy in the target, and the standard error.

    The gain is :math:`\sum_j p_j g_j` with the gains :math:`g_j` in the classes of the source; its noise is that of the
    rows of each class, and that of a prior counted in the target.
    """
    right, right_before = (
        (x.argmax(dim=1) == outputs.labels).to(prior) for x in (outputs.source * (prior / source_prior), outputs.source)
    )
    n, gains = outputs.counts.to(prior.dtype), right - right_before
    sums = torch.zeros_like(prior).index_add(0, outputs.labels, gains)
    squares = torch.zeros_like(prior).index_add(0, outputs.labels, gains.square())
    g = sums / n
    gain = prior @ g
    variance = prior.square() @ ((squares / n - g.square()) / n) + (prior @ g.square() - gain**2) / len(outputs.target)
    return float(gain), float(variance.clamp_min(0).sqrt())


def _chi2_tail(statistic: Tensor, degrees: int) -> float:
    """Return the probability that a chi-squared variable exceeds the statistic; 1 without degrees of freedom."""
    half = torch.full_like(statistic, degrees / 2)
    return float(gammaincc(half, statistic / 2)) if degrees else 1.0
