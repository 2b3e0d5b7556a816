"""Small pieces of arithmetic that several chapters need."""

import torch
from torch import Tensor

__all__ = ["accumulation_dtype", "percentile_interval", "simplex_projection", "upcast"]

HALF_PRECISION = {torch.float16, torch.bfloat16}


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which sums of this dtype are taken: float32 for half precision, else the dtype itself."""
    return torch.float32 if dtype in HALF_PRECISION else dtype


def upcast(x: Tensor) -> Tensor:
    """Return the tensor in its accumulation dtype."""
    return x.float() if x.dtype in HALF_PRECISION else x


def simplex_projection(v: Tensor) -> Tensor:
    r"""Return the nearest distributions to vectors, (\*, k), in the Euclidean norm: :math:`\max(v - \tau, 0)`."""
    ordered = v.sort(dim=-1, descending=True).values
    ranks = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype, device=v.device)
    excess = (ordered.cumsum(dim=-1) - 1) / ranks
    tau = excess.gather(-1, (ordered > excess).sum(dim=-1, keepdim=True) - 1)
    nearest = (v - tau).relu()
    return nearest / nearest.sum(dim=-1, keepdim=True)


def percentile_interval(estimates: Tensor, level: float) -> Tensor:
    """Return the central interval that holds the share ``level`` of bootstrap estimates, (B, *): shape (2, *)."""
    return estimates.quantile(estimates.new_tensor([(1 - level) / 2, (1 + level) / 2]), dim=0)
