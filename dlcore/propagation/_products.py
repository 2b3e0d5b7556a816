"""The singular values of a long product of matrices."""

import torch
from jaxtyping import Float

from dlcore._checks import check_floating, check_rank
from dlcore._numerics import upcast

from ._stable import product_log_singular_values

__all__ = ["log_singular_values"]


def log_singular_values(matrices: Float[torch.Tensor, "*batch k n n"]) -> Float[torch.Tensor, "*batch n"]:
    r"""Return the logarithms of the singular values of a product of matrices.

    .. math::

        \log\sigma_i(\mathbf{M}_1\mathbf{M}_2\cdots\mathbf{M}_k), \qquad i = 1, \dots, n

    The product itself is never formed: it would overflow, and the rounding errors of its large singular values would
    hide the small ones. QR factorizations, one matrix at a time, make the product triangular and keep the scale of each
    row as a separate logarithm. Jacobi rotations of these rows then give the singular values. Even the smallest one is
    accurate, unless a single factor is nearly singular or spans more orders of magnitude than the dtype has digits.

    Parameters
    ----------
    matrices : Tensor, shape (*, k, n, n)
        The factors in order, as in ``x @ matrices[0] @ matrices[1]``.

    Returns
    -------
    Tensor, shape (*, n), in [-inf, inf)
        The natural logarithms, largest first, with the dtype of ``matrices``; -inf for a singular value of zero.

    Raises
    ------
    TypeError
        If ``matrices`` is not a real floating-point tensor.
    ValueError
        If ``matrices`` has fewer than three dimensions, or the matrices are empty or not square.

    See Also
    --------
    torch.linalg.svdvals : The singular values of one matrix, with errors relative to the largest one.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 8.6.

    Examples
    --------
    The product of 200 of these holds :math:`2^{200}`, which overflows in float32, and :math:`2^{-200}`:

    >>> matrices = torch.tensor([[0.0, 2.0], [0.5, 0.0]]).expand(200, 2, 2) @ torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> (log_singular_values(matrices) / torch.tensor(2.0).log()).round()
    tensor([ 200., -200.])
    """
    check_floating(matrices=matrices)
    check_rank("matrices", matrices, 3, "(*, k, n, n)")
    n_rows, n_columns = matrices.shape[-2:]
    if n_rows != n_columns or n_rows == 0:
        raise ValueError(f"matrices must have shape (*, k, n, n) with n >= 1, got {tuple(matrices.shape)}")
    # torch.linalg.svdvals of the product, computed without forming it
    return product_log_singular_values(upcast(matrices)).to(matrices.dtype)
