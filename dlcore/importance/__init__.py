r"""How far can importance weights be trusted?

An importance weight :math:`w_i = p(\mathbf{x}_i) / q(\mathbf{x}_i)` makes an example that was drawn from the source
:math:`q` stand for examples of the target :math:`p`. Few large weights make few examples speak for all. This chapter
measures how few, from the weights alone, says so in words, and holds the remedies. Under ``torch.compile`` and
``torch.func``, where no value can be looked at, weights are not checked to be finite and at least 0.
"""

from ._report import WeightReport, diagnose
from ._weights import clip_weights, effective_sample_size, flatten_weights, normalize_weights, pareto_shape

__all__ = [
    "WeightReport",
    "clip_weights",
    "diagnose",
    "effective_sample_size",
    "flatten_weights",
    "normalize_weights",
    "pareto_shape",
]
