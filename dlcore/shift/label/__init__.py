r"""How are the classes spread where no labels are?

Under label shift :math:`p(y)` changes and :math:`p(\mathbf{x} \mid y)` does not: more are ill, and illness looks the
same. A classifier trained on the source then errs in the target in a known way, so what it says of unlabelled target
rows, beside what it says of labelled source rows, tells the target's prior. Each estimate comes with an interval and a
report in words that says when not to trust it. The fits run in float64 and carry no gradients back.
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
