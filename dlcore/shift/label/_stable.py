"""The safe way to solve the equation of the confusion matrix, where resampling may have made the matrix singular."""

import torch
from torch import Tensor

from dlcore._torch import svd

__all__ = ["nearest_solution"]


def nearest_solution(c: Tensor, mu: Tensor) -> Tensor:
    r"""Return the solution of :math:`\mathbf{C}\,\mathbf{w} = \boldsymbol{\mu}` that is nearest to no shift.

    Of all :math:`\mathbf{w}` that solve it in the sense of least squares, it is the one nearest to
    :math:`\mathbf{1}`. For a regular matrix it is the only solution.

    Parameters
    ----------
    c : Tensor, shape (*, k, k)
        Joint confusion matrices.
    mu : Tensor, shape (*, k)
        Mean predictions in the target.

    Returns
    -------
    Tensor, shape (*, k)
        The weights of the classes.
    """
    u, s, vt = svd(c)
    resolved = s > c.shape[-1] * torch.finfo(c.dtype).eps * s[..., :1]  # the other directions stay where they are
    excess = u.mT @ (mu - c.sum(dim=-1)).unsqueeze(-1)
    theta = vt.mT @ (torch.where(resolved, 1 / s, 0).unsqueeze(-1) * excess)
    return 1 + theta.squeeze(-1)
