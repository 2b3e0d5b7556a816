r"""Importance weights: how far can they be trusted?

An importance weight :math:`w_i = p(\mathbf{x}_i) / q(\mathbf{x}_i)` makes an example that was drawn from the source
:math:`q` represent examples of the target :math:`p`. A few large weights let a few examples dominate. From the weights
alone, this chapter measures how strongly a few examples dominate, states whether the weights can be trusted, and
provides remedies. Under ``torch.compile`` and ``torch.func``, which hide values, weights are not checked to be finite
and at least 0.
"""

from ._report import WeightReport, diagnose
from ._weights import (
    clip_weights,
    effective_sample_size,
    flatten_weights,
    normalize_log_weights,
    normalize_weights,
    pareto_shape,
    pareto_smoothed_weights,
    weighted_quantile,
)

__all__ = [
    "WeightReport",
    "clip_weights",
    "diagnose",
    "effective_sample_size",
    "flatten_weights",
    "normalize_log_weights",
    "normalize_weights",
    "pareto_shape",
    "pareto_smoothed_weights",
    "weighted_quantile",
]
