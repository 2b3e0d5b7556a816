r"""Training: minibatch stochastic gradient descent over any loss that returns one value per example.

A run can have a weight for each example, validation data and a progress bar, and it records its losses. It stops if the
loss is not finite. A run that resumes from its state gives the same result as one that was never interrupted.
"""

from ._fit import epochs, fit
from ._history import DivergenceError, History
from ._module import fit_

__all__ = ["DivergenceError", "History", "epochs", "fit", "fit_"]
