r"""What bends a line, and what turns scores into probabilities?

An activation acts on every entry alone: without one, a stack of linear layers is a linear layer. The softmax family
acts on a row of scores (logits) together, and comes in pairs: soft and hard, max and min, with its logarithm. The
derivative stands with each function, since it is what decides whether a deep network learns. Every function is right
at ±inf and far out in its tails; NaN stays NaN.
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
