"""The softmax of long rows, with accurate sums."""

from torch import Tensor

__all__ = ["long_log_softmax", "long_softmax"]


def long_softmax(x: Tensor, dim: int) -> Tensor:
    r"""Compute :math:`e^{x_j - m} / \sum_k e^{x_k - m}` with :math:`m = \max_k x_k`, summing by blocks."""
    exponentials = (x - x.detach().amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def long_log_softmax(x: Tensor, dim: int) -> Tensor:
    r"""Compute :math:`x_j - m - \log\sum_k e^{x_k - m}` with :math:`m = \max_k x_k`, summing by blocks."""
    distances = x - x.detach().amax(dim, keepdim=True)
    return distances - distances.exp().sum(dim, keepdim=True).log()
