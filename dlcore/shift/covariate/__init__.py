r"""Covariate shift: how much more likely is a point where the model is used than where it was trained?

Under covariate shift, the inputs have the density :math:`q(\mathbf{x})` in the source and another density
:math:`p(\mathbf{x})` in the target, while the labels given the inputs stay the same. Examples of the source, weighted
by :math:`w(\mathbf{x}) = p(\mathbf{x}) / q(\mathbf{x})`, then represent the target. This chapter estimates the ratio
from a sample of each, without estimating the densities, and reports when not to trust it.
"""

from ._balance import Balance
from ._kliep import kliep
from ._logistic import logistic_ratio
from ._matching import kernel_mean_matching
from ._mean import TargetMean, target_mean
from ._ratio import DensityRatio, LogRatio, RatioReport
from ._ulsif import ulsif

__all__ = [
    "Balance",
    "DensityRatio",
    "LogRatio",
    "RatioReport",
    "TargetMean",
    "kernel_mean_matching",
    "kliep",
    "logistic_ratio",
    "target_mean",
    "ulsif",
]
