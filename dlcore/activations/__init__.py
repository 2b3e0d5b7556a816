r"""Activations: which functions make a network nonlinear, and which turn scores into probabilities?

An activation acts on each entry separately; without one, a stack of linear layers is itself a linear layer. The
softmax family acts on a whole row of scores (logits). It has soft and hard variants, for the maximum and the minimum,
and the logarithm of the softmax. The documentation of each function gives its derivative, because the derivative
decides whether a deep network learns. Every function is accurate in its tails and at ±inf; NaN stays NaN.
"""

from ._pointwise import gelu, prelu, relu, sigmoid, softplus, swish, tanh
from ._softmax import hardmax, log_softmax, log_sum_exp, smooth_min, softmax, softmin

__all__ = [
    "gelu",
    "hardmax",
    "log_softmax",
    "log_sum_exp",
    "prelu",
    "relu",
    "sigmoid",
    "smooth_min",
    "softmax",
    "softmin",
    "softplus",
    "swish",
    "tanh",
]
