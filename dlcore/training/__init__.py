r"""Training: minibatch stochastic gradient descent over any loss that returns one value per example.

A run has a weight for each example, validation data, a progress bar, and a record of its losses. It stops where the
loss is not finite, and its state resumes as if the run had never been interrupted.
"""

from ._fit import epochs, fit
from ._history import DivergenceError, History
from ._module import fit_

__all__ = ["DivergenceError", "History", "epochs", "fit", "fit_"]
