"""The variance of activations and gradients, measured in a network and predicted for wide layers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_finite_in, check_floating, check_nonnegative, check_same_shape, check_values
from dlcore._network import ACTIVATIONS, Activation, layer_values
from dlcore._numerics import accumulation_dtype, upcast
from dlcore._torch import generator_option, loadable
from dlcore.linear import LinearParams

__all__ = ["SignalPropagation", "gaussian_expectation", "signal_propagation"]

QUADRATURE_NODES = 384


@loadable
class SignalPropagation(NamedTuple):
    """The variance of the signal at the inputs, at the pre-activations of each layer, and at the outputs.

    Parameters
    ----------
    forward_measured, forward_predicted : Tensor, shape (depth + 1,)
        The variance of the values, from the inputs to the outputs.
    backward_measured, backward_predicted : Tensor, shape (depth + 1,)
        The variance of the gradients with respect to these values.

    Examples
    --------
    A layer that halves every value divides the variance by 4 in both directions:

    >>> half = LinearParams(torch.eye(2) / 2, torch.zeros(2))
    >>> x = torch.tensor([[4.0, -4.0]])
    >>> found = signal_propagation([half, half], x, activation="identity", output_gradient=x)
    >>> found.forward_measured
    tensor([16.,  4.,  1.])
    >>> found.backward_measured
    tensor([ 1.,  4., 16.])
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

    where :math:`q_k` is the variance of the pre-activations :math:`\mathbf{z}_k`, :math:`g_k` is that of
    :math:`\partial J/\partial\mathbf{z}_k`, :math:`n_k` is the number of units, and :math:`\sigma_k^2` is the variance
    of the weights that lead to them. The inputs count as layer 0, without an activation. The weights have mean 0;
    therefore all these values have mean 0 over the draw of the weights, and the variance is the mean square over units
    and examples. The prediction is made for each example and then averaged. It assumes that the layers are wide, and
    that the weights are independent of each other and of the gradient at the outputs.

    Parameters
    ----------
    params : sequence of LinearParams
        The parameters, as :func:`dlcore.mlp.init_mlp` draws them, first layer first.
    x : Tensor, shape (n, n_in)
        The inputs, of at least one example.
    activation : str, default "relu"
        The name of the activation :math:`\phi`, as for :func:`dlcore.mlp.mlp`.
    output_gradient : Tensor, shape (n, n_out), optional
        The gradient with respect to the outputs, where the backward pass starts; standard normal by default.
    variances : sequence of float, optional
        The variance :math:`\sigma_k^2` of the initialization scheme, for each layer; by default, the mean square of the
        weights of the layer.
    generator : torch.Generator, optional
        The source of the random gradient; torch's global one by default.

    Returns
    -------
    SignalPropagation
        Four tensors of shape (depth + 1,) with nonnegative entries, from the inputs to the outputs.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or does not have the dtype of ``x``.
    ValueError
        If ``x`` is not a matrix of at least one example, or ``params`` does not fit it.
    ValueError
        If ``output_gradient`` does not have the shape of the outputs, or ``variances`` one entry for each layer.
    ValueError
        If ``activation`` is not one of the names.

    See Also
    --------
    torch.nn.init.calculate_gain : The gain recommended for each activation, to keep the forward variance.

    References
    ----------
    .. [1] B. Poole, S. Lahiri, M. Raghu, J. Sohl-Dickstein and S. Ganguli, "Exponential expressivity in deep neural
       networks through transient chaos", *NeurIPS*, 2016.
    .. [2] S. S. Schoenholz, J. Gilmer, S. Ganguli and J. Sohl-Dickstein, "Deep information propagation", *ICLR*, 2017.

    Examples
    --------
    Each of the two layers doubles every value, which quadruples the variance in both directions:

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
    if variances is not None and len(variances) != len(params):
        raise ValueError(f"variances must have one entry for each of {len(params)} layers, got {len(variances)}")
    for k, variance in enumerate(variances or ()):
        check_nonnegative(f"variances[{k}]", variance)
        check_finite_in(f"variances[{k}]", variance, [accumulation_dtype(x.dtype)])
    if output_gradient is None:
        output_gradient = torch.randn(o.shape, **generator_option(generator), dtype=o.dtype, device=o.device)
    check_floating(output_gradient=output_gradient)
    check_same_shape(output_gradient=output_gradient, outputs=o)

    phi = ACTIVATIONS[activation]
    gradients = _measured_gradients(params, (x, *z), output_gradient, phi)
    sigma2 = [_mean_square(layer.weight.flatten()) for layer in params] if variances is None else variances
    q, g = _predicted_variances(params, sigma2, _mean_square(x), _mean_square(output_gradient), phi)
    per_example = ([_mean_square(v) for v in (x, *z, o)], q, [_mean_square(v) for v in gradients], g)
    return SignalPropagation(*(torch.stack(values).mean(1).to(x.dtype) for values in per_example))


def gaussian_expectation(
    function: Callable[[Tensor], Tensor], variance: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    r"""Return the expected value of a function of a normal variable with mean 0.

    .. math::

        \mathrm{E}\bigl[f(\sqrt{q}\,u)\bigr]
            = \int_{-\infty}^{\infty} f(\sqrt{q}\,u)\,\frac{e^{-u^2/2}}{\sqrt{2\pi}}\,\mathrm{d}u

    With :math:`u` replaced by a multiple of :math:`\sinh t`, the trapezoidal rule resolves the width of the normal
    density and the unit width over which an activation bends, whichever is smaller. The rule is symmetric, so the mean
    of a step at 0 is exactly one half.

    Parameters
    ----------
    function : callable
        The function :math:`f`, which acts elementwise. It must be smooth, except for a kink or step at 0.
    variance : Tensor, shape (*), in [0, inf]
        The variance :math:`q`; there is no gradient with respect to it where it is 0.

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
    numpy.polynomial.hermite_e.hermegauss : Has fewer nodes, which miss a bend much narrower than the density.

    References
    ----------
    .. [1] L. N. Trefethen and J. A. C. Weideman, "The exponentially convergent trapezoidal rule", *SIAM Review* 56(3),
       2014.

    Examples
    --------
    A ReLU halves the mean square of its input:

    >>> gaussian_expectation(lambda z: torch.relu(z) ** 2, torch.tensor([1.0, 8.0]))
    tensor([0.5000, 4.0000])
    """
    check_floating(variance=variance)
    check_values("variance", variance, ">= 0", lambda variance: variance >= 0)
    return _expectation(function, upcast(variance)).to(variance.dtype)


def _measured_gradients(
    params: Sequence[LinearParams], z: Sequence[Tensor], output_gradient: Tensor, phi: Activation
) -> list[Tensor]:
    """Return ∂J/∂z at the inputs, which count as z of layer 0, at the pre-activations, and at the outputs."""
    slopes = [torch.ones_like(z[0]), *map(phi.derivative, z[1:])]
    dz = [output_gradient]
    for (weight, _), slope in zip(reversed(params), reversed(slopes), strict=True):
        dz.insert(0, dz[0] @ weight.mT * slope)
    return dz


def _predicted_variances(
    params: Sequence[LinearParams],
    sigma2: Sequence[Tensor] | Sequence[float],
    input_variance: Tensor,
    output_variance: Tensor,
    phi: Activation,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return q and g at the inputs, the pre-activations and the outputs, for each example."""
    q, signal = [input_variance], input_variance
    for (weight, bias), variance in zip(params, sigma2, strict=True):
        q.append(weight.shape[0] * variance * signal + _mean_square(bias))
        signal = _expectation(lambda z: phi.function(z) ** 2, q[-1])
    slopes = [torch.ones(()), *(_expectation(lambda z: phi.derivative(z) ** 2, q_k) for q_k in q[1:-1])]
    g = [output_variance]
    for (weight, _), variance, slope in zip(reversed(params), reversed(sigma2), reversed(slopes), strict=True):
        g.insert(0, weight.shape[1] * variance * slope * g[0])
    return q, g


def _mean_square(x: Tensor) -> Tensor:
    """Return the mean square of each example, over the last dimension."""
    return upcast(x).square().mean(-1)


def _expectation(function: Callable[[Tensor], Tensor], variance: Tensor) -> Tensor:
    """Return E[f(√q u)] by the trapezoidal rule in t, where u is a multiple of sinh t."""
    std = variance.sqrt()[..., None]
    step = 1 / std.clamp(1, 1e16)  # the width in u over which f(√q u) bends
    t = torch.asinh(12 / step) * torch.linspace(-1, 1, QUADRATURE_NODES, dtype=variance.dtype, device=variance.device)
    u = step * t.sinh()
    density = t.cosh() * torch.exp(-(u**2) / 2)
    return (density * function(std * u)).sum(-1) / density.sum(-1)
