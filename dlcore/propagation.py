r"""How do signals grow or fade on their way through many layers?

Each layer multiplies the variance of what passes through it, forward the activations and backward the gradients. A
factor that is not 1 acts once per layer, and so the signal vanishes or explodes exponentially with depth. This chapter
measures both ways, predicts them from the variance of the weights alone, and takes a product of many matrices apart
without overflow. The prediction is for wide layers: at small width the typical signal falls below it, layer by layer.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ._checks import check_floating, check_rank, check_same_shape, check_values, has_values
from ._network import ACTIVATIONS, layer_values
from ._numerics import upcast
from ._torch import qr
from .linear import LinearParams

__all__ = ["SignalPropagation", "gaussian_expectation", "log_singular_values", "signal_propagation"]

NODES = 384
SWEEPS = 12


class SignalPropagation(NamedTuple):
    """The variance of the signal at the inputs, at each layer's pre-activations, and at the outputs: depth + 1 values.

    Parameters
    ----------
    forward_measured, forward_predicted : Tensor, shape (depth + 1,)
        The variance of the values themselves.
    backward_measured, backward_predicted : Tensor, shape (depth + 1,)
        The variance of the gradients with respect to them.
    """

    forward_measured: Float[Tensor, " depth_and_1"]
    forward_predicted: Float[Tensor, " depth_and_1"]
    backward_measured: Float[Tensor, " depth_and_1"]
    backward_predicted: Float[Tensor, " depth_and_1"]


def signal_propagation(
    params: Sequence[LinearParams],
    x: Float[Tensor, "n n_in"],
    *,
    activation: str = "relu",
    output_gradient: Float[Tensor, "n n_out"] | None = None,
    variances: Sequence[float] | None = None,
    generator: Generator | None = None,
) -> SignalPropagation:
    r"""Return the variance of activations and gradients at every layer, measured and predicted.

    .. math::

        q_{k+1} = n_k\,\sigma_{k+1}^2\,\mathrm{E}\bigl[\phi(\sqrt{q_k}\,u)^2\bigr] + \overline{b_{k+1}^2}, \qquad
        g_k = n_{k+1}\,\sigma_{k+1}^2\,\mathrm{E}\bigl[\phi'(\sqrt{q_k}\,u)^2\bigr]\,g_{k+1},
        \qquad u \sim \mathcal{N}(0, 1)

    where :math:`q_k` is the variance of the pre-activations :math:`\mathbf{z}_k` and :math:`g_k` that of
    :math:`\partial J/\partial\mathbf{z}_k`, :math:`n_k` is the number of units, and :math:`\sigma_k^2` the variance of
    the weights that lead to them. The inputs count as layer 0, without an activation. Weights have mean 0, and so have
    all these over the draw of the weights: a variance is a mean square here, over units and examples. The prediction is
    made for each example, then averaged. It takes the layers to be wide, and the weights to be independent of each
    other and of the gradient at the outputs.

    Parameters
    ----------
    params : sequence of LinearParams
        The parameters, as :func:`dlcore.mlp.init_mlp` draws them, first layer first.
    x : Tensor, shape (n, n_in)
        The inputs, of at least one example.
    activation : str, default "relu"
        The name of the activation :math:`\phi`, as for :func:`dlcore.mlp.mlp`.
    output_gradient : Tensor, shape (n, n_out), optional
        The gradient with respect to the outputs, which is sent back; standard normal by default.
    variances : sequence of float, optional
        The variance :math:`\sigma_k^2` that the scheme promises, for each layer; by default the mean square of its
        weights.
    generator : torch.Generator, optional
        The source of the random gradient; torch's global one by default.

    Returns
    -------
    SignalPropagation
        Four tensors of shape (depth + 1,), from the inputs to the outputs, at least 0.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``.
    ValueError
        If ``x`` is no matrix of at least one example, or ``params`` does not fit it.
    ValueError
        If ``output_gradient`` has not the shape of the outputs, or ``variances`` not one entry for each layer.
    ValueError
        If ``activation`` is none of the names.

    See Also
    --------
    torch.nn.init.calculate_gain : A standard deviation for each activation, meant to keep the forward variance.

    References
    ----------
    .. [1] B. Poole, S. Lahiri, M. Raghu, J. Sohl-Dickstein and S. Ganguli, "Exponential expressivity in deep neural
       networks through transient chaos", *NeurIPS*, 2016.
    .. [2] S. S. Schoenholz, J. Gilmer, S. Ganguli and J. Sohl-Dickstein, "Deep information propagation", *ICLR*, 2017.

    Examples
    --------
    Two layers, each of which doubles every value, and so quadruples the variance, both ways:

    >>> double = LinearParams(2 * torch.eye(2), torch.zeros(2))
    >>> x = torch.tensor([[1.0, -1.0]])
    >>> found = signal_propagation([double, double], x, activation="identity", output_gradient=x)
    >>> found.forward_measured, found.forward_predicted
    (tensor([ 1.,  4., 16.]), tensor([ 1.,  4., 16.]))
    >>> found.backward_measured
    tensor([16.,  4.,  1.])
    """
    z, _, o = layer_values(params, x, activation)
    if x.dim() != 2 or x.shape[0] == 0:
        raise ValueError(f"x must have shape (n, n_in) with n >= 1, got {tuple(x.shape)}")
    if variances is None:
        variances_of_weights = [_mean_square(layer.weight.flatten()) for layer in params]
    elif len(variances) == len(params):
        variances_of_weights = list(variances)
    else:
        raise ValueError(f"variances must have one entry for each of {len(params)} layers, got {len(variances)}")
    if output_gradient is None:
        output_gradient = torch.randn(o.shape, generator=generator, dtype=o.dtype, device=o.device)
    check_floating(output_gradient=output_gradient)
    check_same_shape(output_gradient=output_gradient, outputs=o)
    phi, derivative = ACTIVATIONS[activation].function, ACTIVATIONS[activation].derivative

    gradients = [output_gradient]
    for layer, slope in zip(reversed(params), reversed([torch.ones_like(x), *map(derivative, z)]), strict=True):
        gradients.insert(0, gradients[0] @ layer.weight.mT * slope)

    q, slopes = [_mean_square(x)], [torch.ones(())]
    for k, (layer, variance) in enumerate(zip(params, variances_of_weights, strict=True)):
        of_h = _expectation(lambda z: phi(z) ** 2, q[k]) if k > 0 else q[k]
        q.append(layer.weight.shape[0] * variance * of_h + _mean_square(layer.bias))
        slopes.append(_expectation(lambda z: derivative(z) ** 2, q[-1]))
    g = [_mean_square(output_gradient)]
    for layer, variance, slope in zip(reversed(params), reversed(variances_of_weights), slopes[-2::-1], strict=True):
        g.insert(0, layer.weight.shape[1] * variance * slope * g[0])

    per_example = ([_mean_square(v) for v in (x, *z, o)], q, [_mean_square(v) for v in gradients], g)
    return SignalPropagation(*(torch.stack(values).mean(1).to(x.dtype) for values in per_example))


def gaussian_expectation(
    function: Callable[[Tensor], Tensor], variance: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    r"""Return the mean of a function of a normal variable with mean 0.

    .. math::

        \mathrm{E}\bigl[f(\sqrt{q}\,u)\bigr]
            = \int_{-\infty}^{\infty} f(\sqrt{q}\,u)\,\frac{e^{-u^2/2}}{\sqrt{2\pi}}\,\mathrm{d}u

    With :math:`u` replaced by a multiple of :math:`\sinh t`, the trapezoidal rule resolves both the width of the normal
    density and the unit width on which an activation bends, whichever is the smaller. It is symmetric, so that a step
    at 0 has mean exactly one half.

    Parameters
    ----------
    function : callable
        The function :math:`f`, elementwise; smooth, or with its only kink or step at 0.
    variance : Tensor, shape (*), in [0, inf]
        The variance :math:`q`; where it is 0, there is no gradient with respect to it.

    Returns
    -------
    Tensor, shape (*)
        The means, with the dtype of ``variance``.

    Raises
    ------
    TypeError
        If ``variance`` is not a real floating-point tensor.
    ValueError
        If an entry of ``variance`` is negative or NaN.

    See Also
    --------
    numpy.polynomial.hermite_e.hermegauss : Fewer nodes, but they miss a bend that is narrow against the density.

    References
    ----------
    .. [1] L. N. Trefethen and J. A. C. Weideman, "The exponentially convergent trapezoidal rule", *SIAM Review* 56(3),
       2014.

    Examples
    --------
    A ReLU halves the mean square:

    >>> gaussian_expectation(lambda z: torch.relu(z) ** 2, torch.tensor([1.0, 8.0]))
    tensor([0.5000, 4.0000])
    """
    check_floating(variance=variance)
    check_values("variance", variance, ">= 0", lambda variance: variance >= 0)
    return _expectation(function, upcast(variance)).to(variance.dtype)


def log_singular_values(matrices: Float[Tensor, "*batch k n n"]) -> Float[Tensor, "*batch n"]:
    r"""Return the logarithms of the singular values of a product of matrices.

    .. math::

        \log\sigma_i(\mathbf{M}_1\mathbf{M}_2\cdots\mathbf{M}_k), \qquad i = 1, \dots, n

    The product itself is never formed: it would overflow, and its small singular values would drown in the rounding of
    the large ones. QR factors of one matrix after the other make it triangular, with the scale of each row apart;
    Jacobi rotations of these rows do the rest. So even the smallest keeps its digits, unless single factors are
    themselves near singular, or span more orders of magnitude than the dtype has digits.

    Parameters
    ----------
    matrices : Tensor, shape (*, k, n, n)
        The factors, from the left, as in ``x @ matrices[0] @ matrices[1]``.

    Returns
    -------
    Tensor, shape (*, n), in [-inf, inf)
        The natural logarithms, largest first, with the dtype of ``matrices``; -inf for a singular value of zero.

    Raises
    ------
    TypeError
        If ``matrices`` is not a real floating-point tensor.
    ValueError
        If ``matrices`` has fewer than three dimensions, or its matrices are empty or not square.

    See Also
    --------
    torch.linalg.svdvals : The singular values of a single matrix, to within rounding of the largest.

    References
    ----------
    .. [1] G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th ed., 2013, section 8.6.

    Examples
    --------
    The product of 200 of these holds :math:`2^{200}`, which float32 does not, and :math:`2^{-200}`:

    >>> matrices = torch.tensor([[0.0, 2.0], [0.5, 0.0]]).expand(200, 2, 2) @ torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> (log_singular_values(matrices) / torch.tensor(2.0).log()).round()
    tensor([ 200., -200.])
    """
    check_floating(matrices=matrices)
    check_rank("matrices", matrices, 3, "(*, k, n, n)")
    *batch, _, n, columns = matrices.shape
    if n != columns or n == 0:
        raise ValueError(f"matrices must have shape (*, k, n, n) with n >= 1, got {tuple(matrices.shape)}")
    wide = upcast(matrices)
    identity = torch.eye(n, dtype=wide.dtype, device=wide.device).expand(*batch, n, n)

    basis, rows, logs = identity, identity, identity.new_zeros(*batch, n, 1)
    for factor in reversed(wide.unbind(-3)):
        columns = factor @ basis
        # large columns and large rows go first: reflections would round the small ones away
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
    return logs.sort(dim=-1, descending=True).values[..., :n].to(matrices.dtype)


def _mean_square(x: Tensor) -> Tensor:
    """Return the mean square over the last dimension, one for each example."""
    return upcast(x).square().mean(-1)


def _expectation(function: Callable[[Tensor], Tensor], variance: Tensor) -> Tensor:
    std = variance.sqrt()[..., None]
    finest = 1 / std.clamp(1, 1e16)
    t = torch.asinh(12 / finest) * torch.linspace(-1, 1, NODES, dtype=variance.dtype, device=variance.device)
    u = finest * t.sinh()
    density = t.cosh() * torch.exp(-(u**2) / 2)
    return (density * function(std * u)).sum(-1) / density.sum(-1)


def _rows_in(order: Tensor, x: Tensor) -> Tensor:
    return torch.take_along_dim(x, order[..., None], dim=-2)


def _normalized(rows: Tensor, logs: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows of length 1, and the logarithms of the scales by which to multiply them."""
    largest = (
        rows.detach().abs().amax(-1, keepdim=True)
    )  # squares of entries relative to it neither over- nor underflow
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
    for _ in range(SWEEPS):
        cosines = torch.triu(rows @ rows.mT, diagonal=1)
        if has_values(cosines) and bool((cosines.abs() <= tolerance).all()):
            break
        for _ in range(2 * half - 1):  # a round of a tournament, in which each row meets one other
            table = torch.cat([rows, logs], dim=-1)
            upper, lower = _rotated(table[..., :half, :], table[..., half:, :].flip(-2))
            others = torch.cat([upper[..., 1:, :], lower.flip(-2)], dim=-2)
            table = torch.cat([upper[..., :1, :], others.roll(1, dims=-2)], dim=-2)
            rows, logs = table[..., :-1], table[..., -1:]
    return logs[..., 0]


def _rotated(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Make pairs of scaled rows orthogonal, each given as the row and the logarithm of its scale."""
    swap = other[..., -1:] > one[..., -1:]
    large, small = torch.where(swap, other, one), torch.where(swap, one, other)
    a, log_a, b, log_b = large[..., :-1], large[..., -1:], small[..., :-1], small[..., -1:]
    ratio = torch.where(log_b == -torch.inf, -torch.inf, log_b - log_a).exp()
    cosine = (a * b).sum(-1, keepdim=True)
    spread = (1 - ratio) * (1 + ratio)
    square = spread**2 + (2 * ratio * cosine) ** 2
    tilt = (
        2 * cosine / (spread + torch.where(square == 0, 1, square).sqrt())
    )  # the tangent of the angle, over the ratio
    shrink = -torch.log1p((ratio * tilt) ** 2) / 2
    large = torch.cat(_normalized(a + ratio**2 * tilt * b, log_a + shrink), dim=-1)
    small = torch.cat(_normalized(b - tilt * a, log_b + shrink), dim=-1)
    return torch.where(swap, small, large), torch.where(swap, large, small)
