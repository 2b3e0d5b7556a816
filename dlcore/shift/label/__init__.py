r"""Label shift: how frequent is each class in unlabelled data?

Under label shift :math:`p(y)` changes and :math:`p(\mathbf{x} \mid y)` does not: more patients are ill, but the
symptoms of each illness stay the same. A classifier trained on the source then errs in the same way in the target, so
its predictions on labelled source rows and on unlabelled target rows together determine the prior of the target. Each
estimate comes with an interval and a report that says when not to trust it. The fits run in float64 and carry no
gradients.
"""

from ._calibration import Calibrator, bias_corrected_temperature
from ._confusion import bbse, rlls
from ._expectation import saerens_em
from ._report import LabelShift, LabelShiftReport

__all__ = [
    "Calibrator",
    "LabelShift",
    "LabelShiftReport",
    "bbse",
    "bias_corrected_temperature",
    "rlls",
    "saerens_em",
]
