r"""Optimization: which steps lead the parameters to a minimum?

The parameters are a tensor, or any sequence, mapping or named tuple of tensors, nested to any depth. The steps are
pure: they return new parameters and change nothing else. Only :func:`sgd_`, the step of introductory courses, works in
place. A schedule is a function that returns the learning rate for a step, counted from 0. It has no state to save:
training that resumes at step t calls it with t.
"""

from ._adam import AdamState, adam_step
from ._schedules import constant_schedule, cosine_schedule, warmup_schedule
from ._steps import clip_gradients, gradient_norm, momentum_step, sgd_, sgd_step

__all__ = [
    "AdamState",
    "adam_step",
    "clip_gradients",
    "constant_schedule",
    "cosine_schedule",
    "gradient_norm",
    "momentum_step",
    "sgd_",
    "sgd_step",
    "warmup_schedule",
]
