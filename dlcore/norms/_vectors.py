"""Vector norms: the Lp norms, with p = 1, 2 and infinity by name."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating, check_number, has_values
from dlcore._numerics import SHORT_SUM_ENTRIES, upcast
from dlcore._torch import unpack_dual
from dlcore.norms._fused import Dim, fused_norm, short_norm
from dlcore.norms._stable import powers, rescaled_norm

MAX_POWER = 1e20  # beyond it, the norm of any number of entries rounds to the largest magnitude
MIN_PLAIN_POWER = 0.05  # below it, the norm of several entries is so large that they are always rescaled
MAX_PLAIN_NORM = 1e12  # the root has about log(norm) units of rounding error


def lp_norm(
    x: Float[Tensor, "*shape"], p: float = 2.0, *, dim: Dim = None, keepdim: bool = False
) -> Float[Tensor, "*reduced"]:
    r"""Return the :math:`L_p` norm of a vector.

    .. math::

        \lVert\mathbf{x}\rVert_p = \Bigl(\sum_{i=1}^{n} |x_i|^p\Bigr)^{1/p}

    For :math:`p \ge 1` this is a norm; for :math:`p = \infty` it is the limit :math:`\max_i |x_i|`. For
    :math:`0 < p < 1` the formula is still computed, but it is **not a norm**: the triangle inequality fails,
    as :math:`\lVert(1,1)\rVert_{1/2} = 4 > 1 + 1` shows.

    Parameters
    ----------
    x : Tensor, shape (*)
        The vector, or an array of vectors.
    p : float, in (0, inf], default 2.0
        The order of the norm.
    dim : int or tuple of int, optional
        The dimensions that hold the entries of one vector; by default, all of them.
    keepdim : bool, default False
        Keep each dimension of ``dim`` with length 1.

    Returns
    -------
    Tensor, shape (*) without ``dim``, in [0, inf]
        The norms, with the dtype of ``x``; 0 for a vector without entries.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor, or ``p`` is not a real number.
    ValueError
        If ``p`` is not positive.

    See Also
    --------
    torch.linalg.vector_norm : The same without rescaling; in float32 it overflows for entries of 3e30.

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

    The unit ball for :math:`p = \frac12` is not convex: the midpoint of these two unit vectors lies outside it.

    >>> lp_norm(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), 0.5, dim=1)
    tensor([1., 1., 2.])
    """
    check_floating(x=x)
    check_number("p", p, "> 0", lambda p: p > 0)
    if p == 1:
        return _sum_of_magnitudes(x, dim, keepdim)
    if p > MAX_POWER:
        return _largest_magnitude(x, dim, keepdim)
    return _root_of_powers(x, p, dim, keepdim)


def _root_of_powers(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    """Compute the formula; if a power overflowed or underflowed, compute it again on rescaled entries."""
    wide = upcast(x)
    is_readable = has_values(wide)
    if p > 1 and _is_short(wide, p, dim):  # torch's single pass is fast, and accurate at this length
        norm = short_norm(wide, p, dim, keepdim)
    elif is_readable and _is_plain(wide):
        norm = fused_norm(wide, p, dim, keepdim)
    else:
        norm = powers(wide, p).sum(dim=dim, keepdim=keepdim).pow(1 / p)
    if not (is_readable and p >= MIN_PLAIN_POWER and _every_power_counts(norm, p, wide.numel())) and x.numel():
        norm = rescaled_norm(wide, p, dim, keepdim)
    return norm if wide is x else norm.to(x.dtype)


def _is_short(x: Tensor, p: float, dim: Dim) -> bool:
    """Return whether torch's single pass is accurate; for the Euclidean norm, only the length of one vector matters."""
    if p != 2 or dim is None:
        return x.numel() <= SHORT_SUM_ENTRIES
    dims = dim if isinstance(dim, tuple) else (dim,)
    return math.prod([x.shape[d] for d in dims]) <= SHORT_SUM_ENTRIES


def _is_plain(x: Tensor) -> bool:
    """Return whether the tensor is on a CPU, where each pass over memory is slow, and needs no derivative."""
    return x.is_cpu and not x.requires_grad and unpack_dual(x)[1] is None


def _every_power_counts(norm: Tensor, p: float, n: int) -> bool:
    """Return whether, of n powers, none overflowed and none that affects the norm underflowed."""
    if (n_norms := norm.numel()) == 1:  # a single read, because the norm of 1000 entries takes only 2 µs
        smallest = largest = norm.item()
    elif n_norms == 0:
        return False
    else:
        smallest, largest = (bound.item() for bound in norm.detach().aminmax())
    return _min_plain_norm(norm.dtype, p, n // n_norms) <= smallest and largest <= MAX_PLAIN_NORM


@lru_cache
def _min_plain_norm(dtype: torch.dtype, p: float, n: int) -> float:
    """Return the norm above which n underflowed powers change the sum by less than its rounding error."""
    limits = torch.finfo(dtype)
    return max((n * limits.tiny / limits.eps) ** (1 / p), 1 / MAX_PLAIN_NORM)


def l1_norm(x: Float[Tensor, "*shape"], *, dim: Dim = None, keepdim: bool = False) -> Float[Tensor, "*reduced"]:
    r"""Return the sum of a vector's absolute values.

    .. math::

        \lVert\mathbf{x}\rVert_1 = \sum_{i=1}^{n} |x_i|

    Parameters
    ----------
    x : Tensor, shape (*)
        The vector, or an array of vectors.
    dim, keepdim : int or tuple of int, bool
        The dimensions that hold the entries of one vector, and whether to keep them, as in :func:`lp_norm`.

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
    return _sum_of_magnitudes(x, dim, keepdim)


def _sum_of_magnitudes(x: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    if x.numel() <= SHORT_SUM_ENTRIES:  # in a single pass, which loses digits in a longer sum
        return short_norm(x, 1, dim, keepdim)
    return x.abs().sum(dim=dim, keepdim=keepdim)


def l2_norm(x: Float[Tensor, "*shape"], *, dim: Dim = None, keepdim: bool = False) -> Float[Tensor, "*reduced"]:
    r"""Return the Euclidean length of a vector.

    .. math::

        \lVert\mathbf{x}\rVert_2 = \sqrt{\sum_{i=1}^{n} x_i^2}, \qquad
        \nabla\lVert\mathbf{x}\rVert_2 = \frac{\mathbf{x}}{\lVert\mathbf{x}\rVert_2}

    Parameters
    ----------
    x : Tensor, shape (*)
        The vector, or an array of vectors.
    dim, keepdim : int or tuple of int, bool
        The dimensions that hold the entries of one vector, and whether to keep them, as in :func:`lp_norm`.

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
    torch.linalg.vector_norm : The same without rescaling; in float32 it overflows for entries of 3e30.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 2.2.

    Examples
    --------
    >>> l2_norm(torch.tensor([3.0, -4.0]))
    tensor(5.)

    The squares of large entries do not overflow, and those of small entries do not underflow:

    >>> l2_norm(torch.tensor([[3e30, 4e30], [3e-30, 4e-30]]), dim=1).tolist() == torch.tensor([5e30, 5e-30]).tolist()
    True

    The gradient at zero, where the norm has a kink, is zero:

    >>> torch.func.grad(l2_norm)(torch.zeros(2))
    tensor([0., 0.])
    """
    check_floating(x=x)
    return _root_of_powers(x, 2.0, dim, keepdim)


def max_norm(x: Float[Tensor, "*shape"], *, dim: Dim = None, keepdim: bool = False) -> Float[Tensor, "*reduced"]:
    r"""Return the largest absolute value in a vector.

    .. math::

        \lVert\mathbf{x}\rVert_\infty = \max_{1 \le i \le n} |x_i| = \lim_{p\to\infty} \lVert\mathbf{x}\rVert_p

    Parameters
    ----------
    x : Tensor, shape (*)
        The vector, or an array of vectors.
    dim, keepdim : int or tuple of int, bool
        The dimensions that hold the entries of one vector, and whether to keep them, as in :func:`lp_norm`.

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
    torch.linalg.vector_norm : The same with ``ord=math.inf``; it raises an error for a vector without entries.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 2.2.

    Examples
    --------
    >>> max_norm(torch.tensor([3.0, -4.0]))
    tensor(4.)
    """
    check_floating(x=x)
    return _largest_magnitude(x, dim, keepdim)


def _largest_magnitude(x: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    if x.numel() == 0:  # the maximum of no entries; their sum has the right shape and the value 0
        return _sum_of_magnitudes(x, dim, keepdim)
    if x.numel() <= SHORT_SUM_ENTRIES:
        return short_norm(x, math.inf, dim, keepdim)
    if dim is None and not keepdim:
        smallest, largest = torch.aminmax(x)  # in one pass, without a copy of the magnitudes
        return torch.maximum(-smallest, largest)
    return x.abs().amax(() if dim is None else dim, keepdim)
