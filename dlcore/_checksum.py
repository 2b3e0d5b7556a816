"""A number by which processes compare tensors without sending them."""

import torch
from torch import Tensor

__all__ = ["checksum"]

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by their number of bytes


def checksum(*tensors: Tensor) -> int:
    """Return a number that differs if a bit of the tensors does: the sum of their entries' bits times their places."""
    total = 0
    for x in tensors:
        bits = x.detach().reshape(-1).view(INTEGERS[x.element_size()])
        places = torch.arange(1, len(bits) + 1, device=bits.device)
        total = (31 * total + int(places.mul_(bits).sum())) % 2**64  # integers of torch wrap around, too
    return total
