r"""How much more often does a point occur where the model will be used than where it was trained?

Under covariate shift the inputs have another distribution in the target than in the source, :math:`p(\mathbf{x})` and
not :math:`q(\mathbf{x})`, and the labels given the inputs are as they were. Then examples of the source, weighted by
:math:`w(\mathbf{x}) = p(\mathbf{x}) / q(\mathbf{x})`, stand for the target. This chapter estimates the ratio from a
sample of each, without their densities, and says when not to trust it.
"""

from ._logistic import logistic_ratio
from ._ratio import DensityRatio, RatioReport

__all__ = ["DensityRatio", "RatioReport", "logistic_ratio"]
