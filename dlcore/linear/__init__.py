r"""Linear models: which weights and which bias fit best?

A linear model is :math:`\hat{y} = \mathbf{w}^\top\mathbf{x} + b`. This chapter contains the model, for one or several
targets, and the functions that find its best parameters. For the squared error they use a closed form; for the logistic
and the softmax loss, a search that ends where the gradient vanishes. The bias is never penalized.
"""

from ._logistic import logistic_regression, softmax_regression
from ._model import LinearParams, linear
from ._squared_error import least_squares, ridge

__all__ = ["LinearParams", "least_squares", "linear", "logistic_regression", "ridge", "softmax_regression"]
