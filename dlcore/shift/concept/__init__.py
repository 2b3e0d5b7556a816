r"""Concept shift: has the rule that links inputs to labels changed, and since when?

Concept shift increases the losses of a model in use. A monitor reads the losses in order and reports where they have
changed. It is a pure function from state to state, so a state can be stored and replayed, and one call reads a single
loss or a whole stream. After an alarm, the model is trained on the newest window only.
"""

from ._adwin import Adwin, adwin
from ._fine_tune import fine_tune
from ._page_hinkley import PageHinkley, page_hinkley

__all__ = ["Adwin", "PageHinkley", "adwin", "fine_tune", "page_hinkley"]
