"""The singular values of a matrix product that is never formed."""

import torch
from torch import Tensor

from dlcore._checks import has_values
from dlcore._torch import qr

__all__ = ["product_log_singular_values"]

MAX_JACOBI_SWEEPS = 12


def product_log_singular_values(matrices: Tensor) -> Tensor:
    r"""Return log σ of the product of matrices, (\*, k, n, n): shape (\*, n), largest first.

    The factors are multiplied from the right. Their product so far is basis · diag(exp(logs)) · rows.
    """
    *batch, _, n, _ = matrices.shape
    identity = torch.eye(n, dtype=matrices.dtype, device=matrices.device).expand(*batch, n, n)

    basis, rows, logs = identity, identity, identity.new_zeros(*batch, n, 1)
    for factor in reversed(matrices.unbind(-3)):
        columns = factor @ basis
        # large columns and rows go first, because reflections would otherwise lose the small ones to rounding
        largest_first = (columns.abs().amax(-2).log() + logs[..., 0]).argsort(dim=-1, descending=True)
        columns, rows, logs = (_rows_in(largest_first, x) for x in (columns.mT, rows, logs))
        largest_first = columns.abs().amax(-2).argsort(dim=-1, descending=True)
        basis, triangle = qr(_rows_in(largest_first, columns.mT))
        basis = _rows_in(largest_first.argsort(dim=-1), basis)

        scales = torch.where(triangle != 0, logs.mT, -torch.inf)
        largest = scales.amax(-1, keepdim=True)
        largest = torch.where(largest == -torch.inf, 0, largest)
        rows, logs = _normalized(triangle * (scales - largest).exp() @ rows, largest)
    logs = _orthogonalized(rows, logs)
    return logs.sort(dim=-1, descending=True).values[..., :n]


def _rows_in(order: Tensor, x: Tensor) -> Tensor:
    return torch.take_along_dim(x, order[..., None], dim=-2)


def _normalized(rows: Tensor, logs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows scaled to length 1, and the logarithms of their scales."""
    # divided by the largest entry, the entries have squares that neither overflow nor underflow
    largest = rows.detach().abs().amax(-1, keepdim=True)
    scale = torch.where(largest == 0, 1, largest)
    square = (rows / scale).square().sum(-1, keepdim=True)
    length = torch.where(largest == 0, 1, square).sqrt()
    return rows / scale / length, torch.where(largest == 0, -torch.inf, logs + scale.log() + length.log())


def _orthogonalized(rows: Tensor, logs: Tensor) -> Tensor:
    """Rotate scaled rows, two at a time, until all are orthogonal, and return the logarithms of their lengths."""
    if rows.shape[-2] % 2 == 1:
        rows = torch.nn.functional.pad(rows, (0, 0, 0, 1))
        logs = torch.nn.functional.pad(logs, (0, 0, 0, 1), value=-torch.inf)
    half = rows.shape[-2] // 2
    tolerance = rows.shape[-1] * torch.finfo(rows.dtype).eps
    for _ in range(MAX_JACOBI_SWEEPS):
        if _is_any_cosine_above(tolerance, rows) is False:
            return logs[..., 0]
        for _ in range(2 * half - 1):  # a round-robin schedule: each row is paired once with every other
            table = torch.cat([rows, logs], dim=-1)
            upper, lower = _rotated(table[..., :half, :], table[..., half:, :].flip(-2))
            moving = torch.cat([upper[..., 1:, :], lower.flip(-2)], dim=-2)
            table = torch.cat([upper[..., :1, :], moving.roll(1, dims=-2)], dim=-2)
            rows, logs = table[..., :-1], table[..., -1:]
    # the relative error of a singular value is the square of the remaining cosines
    if _is_any_cosine_above(torch.finfo(rows.dtype).eps ** 0.5, rows):
        raise RuntimeError(
            f"matrices: no singular values found in {MAX_JACOBI_SWEEPS} sweeps; try fewer matrices, or float64"
        )
    return logs[..., 0]


def _is_any_cosine_above(limit: float, rows: Tensor) -> bool | None:
    """Return whether the cosine of any two unit rows exceeds the limit, or None if values are hidden; NaN does not."""
    cosines = torch.triu(rows @ rows.mT, diagonal=1)
    return bool((cosines.abs() > limit).any()) if has_values(cosines) else None


def _rotated(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Make pairs of scaled rows orthogonal, each given as the row and the logarithm of its scale."""
    swap = second[..., -1:] > first[..., -1:]
    large, small = torch.where(swap, second, first), torch.where(swap, first, second)
    a, log_a, b, log_b = large[..., :-1], large[..., -1:], small[..., :-1], small[..., -1:]
    ratio = torch.where(log_b == -torch.inf, -torch.inf, log_b - log_a).exp()
    cosine = (a * b).sum(-1, keepdim=True)
    difference = (1 - ratio) * (1 + ratio)
    square = difference**2 + (2 * ratio * cosine) ** 2
    # the tangent of the rotation angle divided by the ratio
    tilt = 2 * cosine / (difference + torch.where(square == 0, 1, square).sqrt())
    shrink = -torch.log1p((ratio * tilt) ** 2) / 2
    large = torch.cat(_normalized(a + ratio**2 * tilt * b, log_a + shrink), dim=-1)
    small = torch.cat(_normalized(b - tilt * a, log_b + shrink), dim=-1)
    return torch.where(swap, small, large), torch.where(swap, large, small)
