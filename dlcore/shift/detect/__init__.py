r"""Do two samples come from one distribution?

A two-sample test answers with a p-value: how often so large a difference would come about if there were none. The
tests differ in what they see. The mean discrepancy of a kernel and a classifier look at all features together, the
Kolmogorov–Smirnov test at each alone, the label test at the classes. Only a level that is kept makes an alarm mean
something: no p-value here is 0, data that hold no difference have p-value 1, and NaN is an error.
"""

from ._classifier import classifier_test
from ._counts import label_test
from ._features import ks_test
from ._kernel import mmd_test
from ._result import ShiftTest

__all__ = ["ShiftTest", "classifier_test", "ks_test", "label_test", "mmd_test"]
