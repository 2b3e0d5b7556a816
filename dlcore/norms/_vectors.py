"""The size of a vector."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating, check_number, has_values
from dlcore._numerics import upcast
from dlcore._torch import split, unpack_dual, vector_norm

Dim = int | tuple[int, ...] | None
FEW, MANY = 4096, 200_000  # entries
BLOCK = 2**17  # entries, 512 KB
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
        return (_sum_of_magnitudes if p == 1 else _largest_magnitude)(x, dim, keepdim)
    return _norm(x, p, dim, keepdim)


def _norm(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    """Compute the formula, and once more with the vectors divided by their largest entry if a power was lost."""
    if (wide := upcast(x)) is not x:
        return _norm(wide, p, dim, keepdim).to(x.dtype)
    norm, n = _root_of_powers(x, p, dim, keepdim)
    if norm.numel() == 0 or (has_values(norm) and _no_power_was_lost(norm, p, n)):
        return norm
    scale = _largest_magnitude(x.detach(), dim, True)
    is_zero = scale == 0
    relative = x / torch.where(is_zero | scale.isinf(), 1, scale)
    norm, _ = _root_of_powers(torch.where(is_zero, 1, relative), p, dim, True)
    norm = torch.where(is_zero, 0, norm * torch.where(scale.isinf(), 1, scale))
    return norm if keepdim else norm.sum(dim=dim)  # a sum over lengths of 1


def _length(x: Tensor, dim: Dim) -> int:
    if dim is None:
        return x.numel()
    return x.shape[dim] if isinstance(dim, int) else math.prod([x.shape[d] for d in dim])


def _root_of_powers(x: Tensor, p: float, dim: Dim, keepdim: bool) -> tuple[Tensor, int]:
    """Compute the formula as it is written, and how many powers a sum holds; at zero the root has no gradient."""
    n = _length(x, dim)
    if p == 2 and n <= FEW:
        return (vector_norm(x) if dim is None and not keepdim else vector_norm(x, 2, dim, keepdim)), n
    if p == 4:  # two products are quicker than a power
        return _root_of_powers(x.square(), 2, dim, keepdim)[0].sqrt(), n
    if x.numel() <= FEW and p > 1:
        return vector_norm(x, p, dim, keepdim), n  # in one pass, but it loses a digit for each tenfold of entries
    if p == 2 and dim is None and not keepdim:
        flat = x.flatten()
        if n > MANY:  # the norm of the norms of short blocks
            blocks, rest = flat[: n - n % FEW].reshape(-1, FEW), flat[n - n % FEW :]
            flat = torch.cat([vector_norm(blocks, 2, 1, False), rest])
        return torch.dot(flat, flat).sqrt(), n
    return _sum_of_powers(x, p, dim, keepdim).pow(1 / p), n


def _sum_of_powers(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    """Sum the powers of the magnitudes; those of a vector a block at a time, in one place that stays in the cache."""
    if not _has_no_derivative(x):
        return _powers(x, p).sum(dim=dim, keepdim=keepdim)
    if dim is not None or keepdim or x.numel() <= BLOCK:
        return _raise_(x.abs(), p).sum(dim=dim, keepdim=keepdim)
    buffer = x.new_empty(BLOCK)
    blocks = split(x.flatten(), BLOCK)
    return torch.stack([_raise_(torch.abs(block, out=buffer[: len(block)]), p).sum() for block in blocks]).sum()


def _powers(x: Tensor, p: float) -> Tensor:
    if p < 1:  # the power has no gradient at zero
        return torch.where(x == 0, 0, torch.where(x == 0, 1, x).abs().pow(p))
    return x.abs().pow(p)


def _raise_(magnitudes: Tensor, p: float) -> Tensor:
    """Raise in place; over its logarithm a power comes quicker, but has no derivative at zero."""
    if p == 1:
        return magnitudes
    return magnitudes.pow_(3) if p == 3 else magnitudes.log_().mul_(p).exp_()


def _has_no_derivative(x: Tensor) -> bool:
    """Tell whether nothing will be differentiated by ``x``, and it is on a CPU, where each pass over it takes time."""
    return x.is_cpu and has_values(x) and not x.requires_grad and unpack_dual(x)[1] is None


def _no_power_was_lost(norm: Tensor, p: float, n: int) -> bool:
    """Tell whether no power overflowed, none that vanished would have been seen, and the root kept its digits."""
    if norm.numel() == 1:
        smallest = largest = norm.item()
    else:
        smallest, largest = (bound.item() for bound in norm.detach().aminmax())
    return _smallest_safe(norm.dtype, p, n) <= smallest and largest <= FAR


@lru_cache
def _smallest_safe(dtype: torch.dtype, p: float, n: int) -> float:
    limits = torch.finfo(dtype)
    return max((n * limits.tiny / limits.eps) ** (1 / p), 1 / FAR)


def _sum_of_magnitudes(x: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    if x.numel() <= FEW:
        return vector_norm(x, 1, dim, keepdim)  # in one pass, see above
    return _sum_of_powers(x, 1, dim, keepdim)


def _largest_magnitude(x: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    if x.numel() == 0:  # a maximum over nothing: the sum over nothing has the shape, and 0 the value
        return _sum_of_magnitudes(x, dim, keepdim)
    if dim is None and not keepdim:
        smallest, largest = torch.aminmax(x)
        return torch.maximum(-smallest, largest)
    return x.abs().amax(dim=() if dim is None else dim, keepdim=keepdim)


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
    return _sum_of_magnitudes(x, dim, keepdim)


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
    check_floating(x=x)
    return _norm(x, 2.0, dim, keepdim)


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
    return _largest_magnitude(x, dim, keepdim)
