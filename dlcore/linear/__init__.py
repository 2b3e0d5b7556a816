r"""Linear models: which weights and which bias fit best?

A linear model is :math:`\hat{y} = \mathbf{w}^\top\mathbf{x} + b`. This chapter has the model, for one target or
several, and its best parameters: in closed form for the squared error, and by a search that ends where the gradient
vanishes for the logistic and the softmax loss. The bias is never penalized.
"""

from ._logistic import logistic_regression, softmax_regression
from ._model import LinearParams, linear
from ._squared_error import least_squares, ridge

__all__ = ["LinearParams", "least_squares", "linear", "logistic_regression", "ridge", "softmax_regression"]
