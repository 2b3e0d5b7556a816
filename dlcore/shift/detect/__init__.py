r"""Two-sample tests: do two samples come from one distribution?

A two-sample test answers with a p-value: the probability of a difference at least as large if there were none. The
tests differ in what they detect. The mean discrepancy of a kernel and a classifier use all features together, the
Kolmogorov–Smirnov test each feature alone, the label test the classes. An alarm means something only if the test keeps
its level: no p-value here is 0, data without any difference have p-value 1, and NaN is an error.

With many rows, a difference too small to matter is significant. So each result also has the size of the difference as
an ``effect`` with an ``interval``: a difference of probabilities or, for the kernel, of means. With the option
``tolerance``, a test asks whether the difference exceeds what matters, and its verdict has three answers: it does; it
does not; there are too few examples to tell.
"""

from ._classifier import classifier_test
from ._ks import ks_test
from ._label import label_test
from ._mmd import mmd_test
from ._result import ShiftTest
from ._slices import SliceTests, slice_test

__all__ = ["ShiftTest", "SliceTests", "classifier_test", "ks_test", "label_test", "mmd_test", "slice_test"]
