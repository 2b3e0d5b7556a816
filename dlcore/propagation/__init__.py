r"""Signal propagation: how do activations and gradients grow or vanish with depth?

Each layer multiplies the variance of the signal: that of the activations in the forward pass, and that of the gradients
in the backward pass. A factor other than 1 acts once per layer, so the signal vanishes or explodes exponentially with
depth. This chapter measures both variances, predicts them from the variance of the weights alone, and computes the
singular values of a long matrix product without overflow. The prediction holds for wide layers; in narrow layers, the
typical signal falls further below it with each layer.
"""

from ._products import log_singular_values
from ._signals import SignalPropagation, gaussian_expectation, signal_propagation

__all__ = ["SignalPropagation", "gaussian_expectation", "log_singular_values", "signal_propagation"]
