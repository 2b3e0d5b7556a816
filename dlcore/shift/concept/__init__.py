r"""Has the rule that links inputs to labels changed, and since when?

Concept shift shows in the losses of a model that is in use: they grow. A monitor reads them in their order and says
where they have changed. It is a pure function from state to state, which can be stored and replayed, and reads one loss
or a whole stream by the same call. After an alarm the model is trained on the newest window only.
"""

from ._adwin import Adwin, adwin
from ._fine_tune import fine_tune
from ._page_hinkley import PageHinkley, page_hinkley

__all__ = ["Adwin", "PageHinkley", "adwin", "fine_tune", "page_hinkley"]
