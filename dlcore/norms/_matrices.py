"""Matrix norms: Frobenius, spectral and nuclear."""

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating, check_rank
from dlcore._numerics import upcast
from dlcore._torch import singular_values
from dlcore.norms._vectors import l1_norm, l2_norm, max_norm


def frobenius_norm(x: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch"]:
    r"""Return the square root of the sum of a matrix's squared entries.

    .. math::

        \lVert\mathbf{X}\rVert_F = \sqrt{\sum_{i=1}^{m}\sum_{j=1}^{n} x_{ij}^2}
            = \sqrt{\sum_k \sigma_k^2}, \qquad \sigma_k \text{ the singular values}

    Parameters
    ----------
    x : Tensor, shape (*, m, n)
        The matrices.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The norms.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    ValueError
        If ``x`` has fewer than two dimensions.

    See Also
    --------
    spectral_norm : The result of ``torch.linalg.norm(x, 2)``; ``torch.norm(x, 2)`` returns the Frobenius norm.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 2.3.

    Examples
    --------
    >>> frobenius_norm(torch.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(5.)
    """
    check_floating(x=x)
    check_rank("x", x, 2, "(*, m, n)")
    return l2_norm(x, dim=(-2, -1))


def spectral_norm(x: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch"]:
    r"""Return the largest factor by which a matrix can stretch a vector.

    .. math::

        \lVert\mathbf{X}\rVert_2 = \max_{\mathbf{v}\ne\mathbf{0}}
            \frac{\lVert\mathbf{X}\mathbf{v}\rVert_2}{\lVert\mathbf{v}\rVert_2} = \max_k \sigma_k

    Parameters
    ----------
    x : Tensor, shape (*, m, n)
        The matrices.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The norms, with the dtype of ``x``; 0 for a matrix without entries.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    ValueError
        If ``x`` has fewer than two dimensions.

    See Also
    --------
    torch.linalg.matrix_norm : The same with ``ord=2``.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 2.3.

    Examples
    --------
    >>> spectral_norm(torch.tensor([[0.0, 3.0], [-4.0, 0.0]]))
    tensor(4.)
    """
    return max_norm(_singular_values(x), dim=-1)


def nuclear_norm(x: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch"]:
    r"""Return the sum of a matrix's singular values.

    .. math::

        \lVert\mathbf{X}\rVert_* = \sum_k \sigma_k

    Parameters
    ----------
    x : Tensor, shape (*, m, n)
        The matrices.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The norms.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    ValueError
        If ``x`` has fewer than two dimensions.

    See Also
    --------
    torch.linalg.matrix_norm : The same with ``ord="nuc"``.

    References
    ----------
    .. [1] B. Recht, M. Fazel and P. A. Parrilo, "Guaranteed minimum-rank solutions", *SIAM Review* 52(3), 2010.

    Examples
    --------
    >>> nuclear_norm(torch.tensor([[0.0, 3.0], [-4.0, 0.0]]))
    tensor(7.)
    """
    return l1_norm(_singular_values(x), dim=-1)


def _singular_values(x: Tensor) -> Tensor:
    check_floating(x=x)
    check_rank("x", x, 2, "(*, m, n)")
    wide = upcast(x)  # torch has no half-precision decomposition
    if x.numel() == 0:
        return singular_values(wide).to(x.dtype)
    largest = wide.detach().abs().amax((-2, -1), keepdim=True)
    finite = largest.isfinite()  # torch cannot decompose a matrix that holds a NaN or infinite entry
    sigma = singular_values(torch.where(finite, wide, 0))
    return torch.where(finite.squeeze(-1), sigma, largest.squeeze(-1)).to(x.dtype)
