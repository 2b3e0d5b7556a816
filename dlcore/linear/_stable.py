r"""The closed forms of linear regression by a QR decomposition.

The normal equations form :math:`\mathbf{A}^\top\mathbf{A}`, which squares the condition number and so loses half the
digits. A QR decomposition of :math:`\mathbf{A}` keeps them.
"""

import torch
from torch import Tensor

from dlcore._checks import has_values
from dlcore._regression import check_full_rank
from dlcore._torch import qr, singular_values, solve_triangular

__all__ = ["least_squares_solution", "ridge_solution"]


def least_squares_solution(a: Tensor, b: Tensor, magnitude: Tensor, eps: float) -> Tensor:
    r"""Return :math:`(\mathbf{A}^\top\mathbf{A})^{-1}\mathbf{A}^\top\mathbf{B}`; raise if columns are dependent.

    ``magnitude`` is the largest absolute entry of each column before it was centred: the rounding errors of a centred
    column are proportional to it and to ``eps``, so both decide which singular values count as zero.
    """
    d = a.shape[1]
    scale = torch.where(magnitude > 0, magnitude, 1)
    q, r = qr(a / scale)
    if has_values(r):
        check_full_rank(int((singular_values(r.detach()) > 16 * d * eps).sum()), d)
    return solve_triangular(r, q.mT @ b, upper=True) / scale[:, None]


def ridge_solution(a: Tensor, b: Tensor, penalty: float | Tensor) -> Tensor:
    r"""Return :math:`(\mathbf{A}^\top\mathbf{A} + \lambda\mathbf{I})^{-1}\mathbf{A}^\top\mathbf{B}` for a positive λ.

    The matrix decomposed is :math:`\mathbf{A}` with :math:`\sqrt\lambda\,\mathbf{I}` below it; with more columns
    than rows, :math:`\mathbf{A}^\top` is decomposed instead, because it gives a smaller matrix.
    """
    n, d = a.shape
    largest = a.detach().abs().amax()
    scale = torch.where(largest > 0, largest, 1)
    a = a / scale
    root_penalty = penalty**0.5 / scale * torch.eye(min(n, d), dtype=a.dtype, device=a.device)
    if n >= d:
        q, r = qr(torch.cat([a, root_penalty]))
        solution = solve_triangular(r, q[:n].mT @ b, upper=True)
    else:
        q, r = qr(torch.cat([a.mT, root_penalty]))
        solution = q[:d] @ solve_triangular(r.mT, b, upper=False)
    return solution / scale
