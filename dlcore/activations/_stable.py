"""The softmax of long rows, with accurate sums."""

import torch
from torch import Tensor

from dlcore._numerics import LONG_ROW_ENTRIES, LONG_STRIDED_ROW_ENTRIES

__all__ = ["long_log_softmax", "long_softmax", "stable_log_softmax", "stable_softmax"]


def stable_softmax(x: Tensor, dim: int) -> Tensor:
    """Compute torch's softmax, or the one of long rows."""
    return (long_softmax if _is_long(x, dim) else torch.softmax)(x, dim)


def stable_log_softmax(x: Tensor, dim: int) -> Tensor:
    """Compute torch's logarithm of the softmax, or the one of long rows."""
    return (long_log_softmax if _is_long(x, dim) else torch.log_softmax)(x, dim)


def _is_long(x: Tensor, dim: int) -> bool:
    """Return whether rows along ``dim`` are so long that torch's softmax on a CPU loses digits."""
    if not x.is_cpu or x.dim() == 0:
        return False
    is_last = dim in {-1, x.dim() - 1}
    return x.shape[dim] > (LONG_ROW_ENTRIES if is_last else LONG_STRIDED_ROW_ENTRIES)


def long_softmax(x: Tensor, dim: int) -> Tensor:
    r"""Compute :math:`e^{x_j - m} / \sum_k e^{x_k - m}` with :math:`m = \max_k x_k`, summing by blocks."""
    exponentials = (x - x.detach().amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def long_log_softmax(x: Tensor, dim: int) -> Tensor:
    r"""Compute :math:`x_j - m - \log\sum_k e^{x_k - m}` with :math:`m = \max_k x_k`, summing by blocks."""
    distances = x - x.detach().amax(dim, keepdim=True)
    return distances - distances.exp().sum(dim, keepdim=True).log()
