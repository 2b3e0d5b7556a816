"""Accumulation dtypes, projections onto the simplex, and percentile intervals."""

import torch
from torch import Tensor

from ._torch import autocast_dtype

__all__ = [
    "LONG_ROW_ENTRIES",
    "LONG_STRIDED_ROW_ENTRIES",
    "SHORT_SUM_ENTRIES",
    "accumulation_dtype",
    "capped_simplex_projection",
    "loss_operands",
    "product_operands",
    "simplex_projection",
    "upcast",
]

CAP_BISECTIONS = 60  # enough to reduce the interval below the rounding error of float64

# On a CPU, torch sums in one pass, and the rounding grows with the length: a sum of float32 keeps all digits up to
# SHORT_SUM_ENTRIES entries, and loses one digit with each further factor of ten. A softmax sums the last dimension in a
# few lanes, and any other dimension one entry at a time: at these lengths its error is about 10 units of rounding.
SHORT_SUM_ENTRIES = 4096
LONG_ROW_ENTRIES, LONG_STRIDED_ROW_ENTRIES = 2**20, 2**13

HALF_PRECISION = {torch.float16, torch.bfloat16}


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which to accumulate sums: float32 for half precision, otherwise the dtype itself."""
    return torch.float32 if dtype in HALF_PRECISION else dtype


def upcast(x: Tensor) -> Tensor:
    """Return the tensor in its accumulation dtype."""
    return x.float() if x.dtype in HALF_PRECISION else x


def loss_operands(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the operands of a loss: inside ``torch.autocast`` in float32, as torch's own losses have them."""
    return tensors if autocast_dtype(tensors[0]) is None else _cast(tensors, torch.float32)


def product_operands(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the operands of a product: inside ``torch.autocast`` in its dtype, as torch's own products have them."""
    dtype = autocast_dtype(tensors[0])
    return tensors if dtype is None else _cast(tensors, dtype)


def _cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return the tensors in a dtype; like autocast, do not convert float64 and tensors that are not floating-point."""
    return tuple(x.to(dtype) if _is_cast(x) else x for x in tensors)


def _is_cast(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64


def simplex_projection(v: Tensor) -> Tensor:
    r"""Return the distributions nearest to vectors, (\*, k), in the Euclidean norm: :math:`\max(v - \tau, 0)`."""
    ordered = v.sort(dim=-1, descending=True).values
    ranks = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype, device=v.device)
    excess = (ordered.cumsum(dim=-1) - 1) / ranks
    tau = excess.gather(-1, (ordered > excess).sum(dim=-1, keepdim=True) - 1)
    nearest = (v - tau).relu()
    return nearest / nearest.sum(dim=-1, keepdim=True)


def capped_simplex_projection(v: Tensor, cap: float) -> Tensor:
    r"""Return the distribution with entries at most c nearest to a vector: :math:`\min(\max(v - \tau, 0), c)`.

    If the cap binds, :math:`\tau` has no closed form and is found by bisection.
    """
    nearest = simplex_projection(v)
    if float(nearest.max()) <= cap:
        return nearest
    low, high = v.min() - cap, v.max()
    for _ in range(CAP_BISECTIONS):
        tau = (low + high) / 2
        too_low = (v - tau).clamp(0, cap).sum() > 1
        low, high = torch.where(too_low, tau, low), torch.where(too_low, high, tau)
    return (v - high).clamp(0, cap)
