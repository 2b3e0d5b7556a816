"""Faster ways to the kernel matrix and to the sums of its parts, equal to their formulas."""

import torch
from torch import Tensor

from dlcore._shards import OneProcess, Shards

__all__ = ["blockwise_sums", "gaussian_kernel"]

MAX_SQUARED_LENGTH = 1e3  # of a row, in bandwidths, up to which the rounding of its square is no error of a distance


def gaussian_kernel(a: Tensor, b: Tensor, less_one: bool) -> Tensor:
    """Return exp(−‖aᵢ − bⱼ‖² / 2) of all pairs of rows, (len(a), len(b)), or that less 1 without a loss of digits.

    Of rows that are not far from 0, ‖a‖² − 2 aᵀb + ‖b‖² is a matrix product.
    """
    a2, b2 = a.square().sum(1), b.square().sum(1)
    if bool((torch.cat([a2, b2]) > MAX_SQUARED_LENGTH).any()):
        squared = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square_()
    else:  # rounding can make the distance of nearly equal rows negative
        squared = torch.addmm(b2, a, b.T, alpha=-2).add_(a2[:, None]).clamp_(min=0)
    exponents = squared.mul_(-0.5)
    return exponents.expm1_() if less_one else exponents.exp_()


def blockwise_sums(
    z: Tensor, in_x: Tensor, less_one: bool, block_rows: int, shards: OneProcess | Shards | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    r"""Return the sums of the kernel within x, between x and y, and within y, (B + 1,) for all splits.

    Also return the sums of each row of the kernel over the rows of x and of y in the first split, (len(z),).

    At any time only ``block_rows`` rows and columns of the kernel matrix K, whose diagonal counts as 0, exist. For the
    indicator :math:`\mathbf{s}` of the first sample, the blocks on and above the diagonal add up to
    :math:`\mathbf{s}^\top\mathbf{K}\mathbf{s}` and to the row sums :math:`\mathbf{K}\mathbf{1}`; the other two sums
    are the remainders of :math:`\mathbf{s}^\top\mathbf{K}\mathbf{1}` and
    :math:`\mathbf{1}^\top\mathbf{K}\mathbf{1}`. If there are several processes, they take the blocks in turns.
    """
    shards = OneProcess() if shards is None else shards
    blocks = [slice(i, i + block_rows) for i in range(0, len(z), block_rows)]
    xx = z.new_zeros(len(in_x))
    row_sums, row_sums_x = z.new_zeros(len(z)), z.new_zeros(len(z))
    first = in_x[0].to(z.dtype)
    for i in range(shards.process, len(blocks), shards.size):
        rows = blocks[i]
        s = in_x[:, rows].to(z.dtype)
        for j, columns in enumerate(blocks[i:], start=i):
            k = gaussian_kernel(z[rows], z[columns], less_one)
            if i == j:
                k.fill_diagonal_(0)
                xx += ((s @ k) * s).sum(1)
            else:  # this block and, transposed, the one below the diagonal
                row_sums[columns] += k.sum(0)
                row_sums_x[columns] += first[rows] @ k
                xx += 2 * ((s @ k) * in_x[:, columns]).sum(1)
            row_sums[rows] += k.sum(1)
            row_sums_x[rows] += k @ first[columns]
    xx, row_sums, row_sums_x = shards.sums(xx, row_sums, row_sums_x)
    x_sums = z.new_zeros(len(in_x))
    for rows in blocks:
        x_sums += in_x[:, rows].to(z.dtype) @ row_sums[rows]
    xy = x_sums - xx
    return xx, xy, row_sums.sum() - xx - 2 * xy, row_sums_x, row_sums - row_sums_x
