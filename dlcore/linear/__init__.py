r"""Which weights and which bias make a linear model fit best?

A linear model is :math:`\hat{y} = \mathbf{w}^\top\mathbf{x} + b`. This chapter holds the model, for one target or for
several, and its best parameters: for the squared error in closed form, for the logistic and the softmax loss by a
search that ends where the gradient vanishes. The bias is never penalized.
"""

from ._logistic import logistic_regression, softmax_regression
from ._model import LinearParams, linear
from ._squared_error import least_squares, ridge

__all__ = ["LinearParams", "least_squares", "linear", "logistic_regression", "ridge", "softmax_regression"]
