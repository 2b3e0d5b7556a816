r"""How large is a vector, and how large is a matrix?

A norm is a function :math:`\lVert\cdot\rVert` that is zero at the zero vector only, scales as
:math:`\lVert a\mathbf{x}\rVert = |a|\,\lVert\mathbf{x}\rVert`, and keeps the triangle inequality
:math:`\lVert\mathbf{x}+\mathbf{y}\rVert \le \lVert\mathbf{x}\rVert + \lVert\mathbf{y}\rVert`. Every function
of this chapter is finite wherever its true value can be written in the type of its argument: the squares of
entries of size 1e30 do not overflow, those of size 1e-30 do not vanish. At a kink the gradient is a subgradient.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ._checks import check_floating, check_number, check_rank, has_values
from ._linalg import singular_values, vector_norm

__all__ = [
    "frobenius_norm",
    "l1_norm",
    "l2_norm",
    "lp_norm",
    "max_norm",
    "nuclear_norm",
    "spectral_norm",
]

Dim = int | tuple[int, ...] | None
FEW = 4096  # entries
FAR = 1e12  # from 1: the root of the sum loses as many units as the natural logarithm of the norm


def lp_norm(
    x: Float[Tensor, "*shape"], p: float = 2.0, *, dim: Dim = None, keepdim: bool = False
) -> Float[Tensor, "*reduced"]:
    r"""Return the :math:`L_p` norm of a vector.

    .. math::

        \lVert\mathbf{x}\rVert_p = \Bigl(\sum_{i=1}^{n} |x_i|^p\Bigr)^{1/p}

    For :math:`p \ge 1` this is a norm, and :math:`p = \infty` its limit :math:`\max_i |x_i|`. For
    :math:`0 < p < 1` the formula is computed all the same, but it is **no norm**: the triangle inequality fails,
    as :math:`\lVert(1,1)\rVert_{1/2} = 4 > 1 + 1` shows.

    Parameters
    ----------
    x : Tensor, shape (*)
        The vector, or an array of vectors.
    p : float, in (0, inf], default 2.0
        The order.
    dim : int or tuple of int, optional
        The dimensions that hold one vector's entries; all of them by default.
    keepdim : bool, default False
        Keep each dimension of ``dim`` with length 1.

    Returns
    -------
    Tensor, shape (*) without ``dim``, in [0, inf]
        The norms, with the dtype of ``x``; 0 for a vector without entries.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor, or ``p`` not a real number.
    ValueError
        If ``p`` is not positive.

    See Also
    --------
    torch.linalg.vector_norm : The same sum without rescaling: it overflows at entries of 3e30 in float32.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 2.2.

    Examples
    --------
    >>> x = torch.tensor([3.0, -4.0])
    >>> lp_norm(x)
    tensor(5.)
    >>> lp_norm(x, 1), lp_norm(x, math.inf)
    (tensor(7.), tensor(4.))

    The unit ball of :math:`p = \frac12` is not convex: the midpoint of two unit vectors lies outside.

    >>> lp_norm(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), 0.5, dim=1)
    tensor([1., 1., 2.])
    """
    check_floating(x=x)
    check_number("p", p, "> 0", lambda p: p > 0)
    if p in {1, math.inf}:
        return (l1_norm if p == 1 else max_norm)(x, dim=dim, keepdim=keepdim)
    if x.dtype in {torch.float16, torch.bfloat16}:
        return lp_norm(x.float(), p, dim=dim, keepdim=keepdim).to(x.dtype)
    norm = _root_of_powers(x, p, dim, keepdim)
    if norm.numel() == 0 or (has_values(norm) and _no_power_was_lost(norm, p, _length(x, dim))):
        return norm
    scale = max_norm(x.detach(), dim=dim, keepdim=True)
    is_zero = scale == 0
    relative = x / torch.where(is_zero | scale.isinf(), 1, scale)
    norm = _root_of_powers(torch.where(is_zero, 1, relative), p, dim, True)
    norm = torch.where(is_zero, 0, norm * torch.where(scale.isinf(), 1, scale))
    return norm if keepdim else norm.sum(dim=dim)  # a sum over lengths of 1


def _length(x: Tensor, dim: Dim) -> int:
    return (
        x.numel() if dim is None else math.prod([x.shape[d] for d in dim]) if isinstance(dim, tuple) else x.shape[dim]
    )


def _root_of_powers(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    """Compute the formula as it is written; at zero the root has no gradient."""
    if p == 2 and _length(x, dim) <= FEW:
        return vector_norm(x, p, dim, keepdim)  # in one pass, but it loses a digit for each tenfold of entries
    if p == 2 and dim is None and not keepdim:
        flat = x.flatten()
        return torch.dot(flat, flat).sqrt()
    powers = x.abs().pow(p)
    if p < 1:  # the power has no gradient at zero
        powers = torch.where(x == 0, 0, torch.where(x == 0, 1, x).abs().pow(p))
    return powers.sum(dim=dim, keepdim=keepdim).pow(1 / p)


def _no_power_was_lost(norm: Tensor, p: float, n: int) -> bool:
    """Tell whether no power overflowed, none that vanished would have been seen, and the root kept its digits."""
    smallest, largest = [norm.item()] * 2 if norm.numel() == 1 else [bound.item() for bound in norm.detach().aminmax()]
    limits = torch.finfo(norm.dtype)
    return max((n * limits.tiny / limits.eps) ** (1 / p), 1 / FAR) <= smallest and largest <= FAR


def l1_norm(x: Float[Tensor, "*shape"], *, dim: Dim = None, keepdim: bool = False) -> Float[Tensor, "*reduced"]:
    r"""Return the sum of the absolute values.

    .. math::

        \lVert\mathbf{x}\rVert_1 = \sum_{i=1}^{n} |x_i|

    Parameters
    ----------
    x : Tensor, shape (*)
        The vector, or an array of vectors.
    dim, keepdim : int or tuple of int, bool
        Which dimensions hold one vector's entries, and whether they stay, as in :func:`lp_norm`.

    Returns
    -------
    Tensor, shape (*) without ``dim``, in [0, inf]
        The norms, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.

    See Also
    --------
    torch.linalg.vector_norm : The same with ``ord=1``.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 2.2.

    Examples
    --------
    >>> l1_norm(torch.tensor([3.0, -4.0]))
    tensor(7.)
    """
    check_floating(x=x)
    return x.abs().sum(dim=dim, keepdim=keepdim)


def l2_norm(x: Float[Tensor, "*shape"], *, dim: Dim = None, keepdim: bool = False) -> Float[Tensor, "*reduced"]:
    r"""Return the Euclidean length.

    .. math::

        \lVert\mathbf{x}\rVert_2 = \sqrt{\sum_{i=1}^{n} x_i^2}, \qquad
        \nabla\lVert\mathbf{x}\rVert_2 = \frac{\mathbf{x}}{\lVert\mathbf{x}\rVert_2}

    Parameters
    ----------
    x : Tensor, shape (*)
        The vector, or an array of vectors.
    dim, keepdim : int or tuple of int, bool
        Which dimensions hold one vector's entries, and whether they stay, as in :func:`lp_norm`.

    Returns
    -------
    Tensor, shape (*) without ``dim``, in [0, inf]
        The norms, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.

    See Also
    --------
    torch.linalg.vector_norm : The same sum without rescaling: it overflows at entries of 3e30 in float32.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 2.2.

    Examples
    --------
    >>> l2_norm(torch.tensor([3.0, -4.0]))
    tensor(5.)

    Neither large nor small entries are squared away:

    >>> l2_norm(torch.tensor([[3e30, 4e30], [3e-30, 4e-30]]), dim=1).tolist() == torch.tensor([5e30, 5e-30]).tolist()
    True

    The gradient at zero, where the norm has a kink, is zero:

    >>> torch.func.grad(l2_norm)(torch.zeros(2))
    tensor([0., 0.])
    """
    return lp_norm(x, dim=dim, keepdim=keepdim)


def max_norm(x: Float[Tensor, "*shape"], *, dim: Dim = None, keepdim: bool = False) -> Float[Tensor, "*reduced"]:
    r"""Return the largest absolute value.

    .. math::

        \lVert\mathbf{x}\rVert_\infty = \max_{1 \le i \le n} |x_i| = \lim_{p\to\infty} \lVert\mathbf{x}\rVert_p

    Parameters
    ----------
    x : Tensor, shape (*)
        The vector, or an array of vectors.
    dim, keepdim : int or tuple of int, bool
        Which dimensions hold one vector's entries, and whether they stay, as in :func:`lp_norm`.

    Returns
    -------
    Tensor, shape (*) without ``dim``, in [0, inf]
        The norms, with the dtype of ``x``; 0 for a vector without entries.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.

    See Also
    --------
    torch.linalg.vector_norm : The same with ``ord=math.inf``; it refuses a vector without entries.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 2.2.

    Examples
    --------
    >>> max_norm(torch.tensor([3.0, -4.0]))
    tensor(4.)
    """
    check_floating(x=x)
    if x.numel() == 0:  # a maximum over nothing: the sum over nothing has the shape, and 0 the value
        return l1_norm(x, dim=dim, keepdim=keepdim)
    if dim is None and not keepdim:
        smallest, largest = torch.aminmax(x)
        return torch.maximum(-smallest, largest)
    return x.abs().amax(dim=() if dim is None else dim, keepdim=keepdim)


def frobenius_norm(x: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch"]:
    r"""Return the root of the sum of a matrix's squared entries.

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
        If ``x`` is no matrix.

    See Also
    --------
    spectral_norm : What ``torch.linalg.norm(x, 2)`` gives, where ``torch.norm(x, 2)`` gives this one.

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
    r"""Return the largest factor by which a matrix stretches a vector.

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
        If ``x`` is no matrix.

    See Also
    --------
    torch.linalg.matrix_norm : The same with ``ord=2``; it refuses a matrix without entries.

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
        If ``x`` is no matrix.

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
    wide = x.to(torch.promote_types(x.dtype, torch.float32))  # no half-precision decomposition exists
    return singular_values(wide).to(x.dtype)
