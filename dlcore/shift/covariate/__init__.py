r"""How much more often does a point occur where the model will be used than where it was trained?

Under covariate shift the inputs have another distribution in the target than in the source, :math:`p(\mathbf{x})` and
not :math:`q(\mathbf{x})`, and the labels given the inputs are as they were. Then examples of the source, weighted by
:math:`w(\mathbf{x}) = p(\mathbf{x}) / q(\mathbf{x})`, stand for the target. This chapter estimates the ratio from a
sample of each, without their densities, and says when not to trust it.
"""

from ._kliep import kliep
from ._logistic import logistic_ratio
from ._matching import kernel_mean_matching
from ._ratio import DensityRatio, LogRatio, RatioReport
from ._ulsif import ulsif

__all__ = ["DensityRatio", "LogRatio", "RatioReport", "kernel_mean_matching", "kliep", "logistic_ratio", "ulsif"]
