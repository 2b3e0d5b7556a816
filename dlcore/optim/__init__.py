r"""By which steps do the parameters find the minimum?

The parameters are a tensor, or any sequence, mapping or named tuple of tensors, nested as deeply as wanted. The steps
are pure: they return new parameters and write to nothing. Only :func:`sgd_`, the loop of every first lesson, works in
place. A schedule is the learning rate as a pure function of the step, counted from 0: it has no state to save, and
training that resumes at step t asks it for step t.
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
