"""The norm of all gradients where their squares would overflow or underflow."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlcore._torch import largest_magnitude

__all__ = ["rescaled"]


def rescaled(gradients: Sequence[Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return unit, norm and scale, where g = scale · unit and ‖g‖ = scale · norm, in at least float32.

    The scale is the largest absolute value of all entries, or 1 if that is zero or not finite.
    """
    filled = [g for g in gradients if g.numel() > 0]
    dtype = torch.float64 if any(g.dtype == torch.float64 for g in filled) else torch.float32
    device = filled[0].device
    largest = torch.stack([largest_magnitude(g.detach()).to(device, dtype) for g in filled]).amax()
    scale = torch.where((largest > 0) & largest.isfinite(), largest, 1)
    units = [g.to(dtype) / scale.to(g.device) for g in gradients]
    # a sum of squares keeps its digits at 10⁸ entries; torch's norm in a single pass does not
    total = torch.stack([unit.square().sum().to(device) for unit in units]).sum()
    norm = torch.where(total == 0, 0, torch.where(total == 0, 1, total).sqrt())  # with the gradient 0 at zeros
    return units, norm, scale
