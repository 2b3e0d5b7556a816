"""Elementwise activations: ReLU and its variants, the sigmoid, the hyperbolic tangent, softplus, GELU and swish."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the customary name

from dlcore._checks import check_broadcasts, check_finite_in, check_floating, check_number, check_same_dtype
from dlcore._numerics import accumulation_dtype, product_operands, upcast
from dlcore._torch import prelu_kernel

__all__ = ["gelu", "prelu", "relu", "sigmoid", "softplus", "swish", "tanh"]

SATURATED = 30.0  # beyond this, the sigmoid in GELU's approximation is 0 or 1, even in float64


def relu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Return the positive part of the inputs.

    .. math::

        \operatorname{ReLU}(x) = \max(x, 0), \qquad
        \operatorname{ReLU}'(x) = \begin{cases} 1 & x > 0 \\ 0 & x \le 0 \end{cases}

    where the derivative at the kink is 0, the subgradient that torch chooses.

    Parameters
    ----------
    x : Tensor, shape (*)
        The inputs.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The activations, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.

    See Also
    --------
    torch.nn.functional.relu : The same.

    References
    ----------
    .. [1] V. Nair and G. E. Hinton, "Rectified linear units improve restricted Boltzmann machines", *ICML*, 2010.

    Examples
    --------
    >>> relu(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([0., 0., 3.])
    """
    check_floating(x=x)
    return torch.relu(x)


def prelu(x: Float[Tensor, "*shape"], alpha: Float[Tensor, "..."] | float) -> Float[Tensor, "*shape"]:
    r"""Return the inputs, with the negative ones multiplied by alpha.

    .. math::

        \operatorname{pReLU}(x) = \max(x, 0) + \alpha \min(x, 0), \qquad
        \operatorname{pReLU}'(x) = \begin{cases} 1 & x > 0 \\ \alpha & x \le 0 \end{cases}, \qquad
        \frac{\partial}{\partial\alpha}\operatorname{pReLU}(x) = \min(x, 0)

    Parameters
    ----------
    x : Tensor, shape (*)
        The inputs.
    alpha : Tensor, or float
        The negative slope, which is usually learned. A tensor broadcasts to the shape of ``x``, last dimensions first.

    Returns
    -------
    Tensor, shape (*)
        The activations; for slope 0 at -inf they are NaN, because :math:`0\cdot\infty` is undefined.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    TypeError
        If ``alpha`` is neither a real number nor a tensor with the dtype of ``x``.
    ValueError
        If ``alpha`` is a number that is not finite in the dtype of ``x``.
    ValueError
        If ``alpha`` does not broadcast to the shape of ``x``.

    See Also
    --------
    torch.nn.functional.prelu : The same with one slope per channel, where the channels are dimension 1.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level performance on
       ImageNet classification", *ICCV*, 2015.

    Examples
    --------
    >>> prelu(torch.tensor([-2.0, 0.0, 3.0]), 0.25)
    tensor([-0.5000,  0.0000,  3.0000])
    >>> prelu(torch.tensor([[-2.0, -2.0], [3.0, 3.0]]), torch.tensor([0.5, 1.0]))
    tensor([[-1., -2.],
            [ 3.,  3.]])
    """
    check_floating(x=x)
    if not isinstance(alpha, Tensor):
        check_number("alpha", alpha, "a number", lambda _: True)
        check_finite_in("alpha", alpha, [x.dtype])
        return F.leaky_relu(x, alpha)
    x, alpha = product_operands(x, alpha)
    check_floating(alpha=alpha)
    check_same_dtype(x=x, alpha=alpha)
    check_broadcasts(x=x, alpha=alpha)
    return prelu_kernel(x, alpha)


def sigmoid(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Return the logistic function of the inputs.

    .. math::

        \sigma(x) = \frac{1}{1 + e^{-x}}, \qquad \sigma'(x) = \sigma(x)\,(1 - \sigma(x)) \le \tfrac14

    Parameters
    ----------
    x : Tensor, shape (*)
        The inputs; a logit is the logarithm of the odds.

    Returns
    -------
    Tensor, shape (*), in [0, 1]
        The activations, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.

    See Also
    --------
    torch.sigmoid : The same.
    dlcore.losses.logistic_loss : Uses its logarithm, computed without overflow.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller, "Efficient BackProp", in *Neural Networks: Tricks of the
       Trade*, 1998.

    Examples
    --------
    >>> sigmoid(torch.tensor([-math.inf, 0.0, math.inf]))
    tensor([0.0000, 0.5000, 1.0000])

    The slope is greatest at 0, and vanishes far from 0:

    >>> torch.func.grad(sigmoid)(torch.tensor(0.0)), torch.func.grad(sigmoid)(torch.tensor(1e4))
    (tensor(0.2500), tensor(0.))
    """
    check_floating(x=x)
    return torch.sigmoid(x)


def tanh(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Return the hyperbolic tangent of the inputs.

    .. math::

        \tanh(x) = \frac{1 - e^{-2x}}{1 + e^{-2x}} = 2\sigma(2x) - 1, \qquad \tanh'(x) = 1 - \tanh^2(x) \le 1

    where :math:`\sigma` is the :func:`sigmoid`.

    Parameters
    ----------
    x : Tensor, shape (*)
        The inputs.

    Returns
    -------
    Tensor, shape (*), in [-1, 1]
        The activations, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.

    See Also
    --------
    torch.tanh : The same.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller, "Efficient BackProp", in *Neural Networks: Tricks of the
       Trade*, 1998.

    Examples
    --------
    >>> tanh(torch.tensor([-math.inf, 0.0, math.inf]))
    tensor([-1.,  0.,  1.])
    >>> torch.func.grad(tanh)(torch.tensor(0.0))
    tensor(1.)
    """
    check_floating(x=x)
    return torch.tanh(x)


def softplus(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Return the softplus, a smooth positive part.

    .. math::

        \operatorname{softplus}(x) = \log(1 + e^x) = -\log\sigma(-x), \qquad \operatorname{softplus}'(x) = \sigma(x)

    where :math:`\sigma` is the :func:`sigmoid`.

    Parameters
    ----------
    x : Tensor, shape (*)
        The inputs.

    Returns
    -------
    Tensor, shape (*), in [0, inf]
        The activations, with the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.

    See Also
    --------
    torch.nn.functional.softplus : Returns ``x`` itself above 20, a relative error of 1e-10 in float64.

    References
    ----------
    .. [1] C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau and R. Garcia, "Incorporating second-order functional knowledge
       for better option pricing", *NIPS*, 2000.

    Examples
    --------
    >>> softplus(torch.tensor([-1e4, 1e4])).tolist()
    [0.0, 10000.0]

    :math:`\operatorname{softplus}(x) - \operatorname{softplus}(-x) = x`:

    >>> softplus(torch.tensor(64.0)) - softplus(torch.tensor(-64.0))
    tensor(64.)
    """
    check_floating(x=x)
    return F.softplus(x, threshold=40)  # adding exp(-40) to 40 changes nothing, even in float64


def gelu(x: Float[Tensor, "*shape"], *, approximate: str = "none") -> Float[Tensor, "*shape"]:
    r"""Return each input times the probability that a standard normal variable is smaller.

    .. math::

        \operatorname{GELU}(x) = x\,\Phi(x) = \frac{x}{2}\operatorname{erfc}\Bigl(-\frac{x}{\sqrt2}\Bigr), \qquad
        \operatorname{GELU}'(x) = \Phi(x) + x\,\varphi(x)

    where :math:`\Phi` and :math:`\varphi` are the standard normal distribution function and density. With
    ``approximate="tanh"``, as many networks were trained, the probability is

    .. math::

        \Phi(x) \approx \tfrac12\bigl(1 + \tanh u\bigr) = \sigma(2u), \qquad
        u = \sqrt{2/\pi}\,\bigl(x + 0.044715\,x^3\bigr)

    which is off by at most 0.0002; the result is off by at most 0.0005.

    Parameters
    ----------
    x : Tensor, shape (*)
        The inputs.
    approximate : {"none", "tanh"}, default "none"
        How to compute :math:`\Phi`: by its definition or by the hyperbolic tangent.

    Returns
    -------
    Tensor, shape (*), in [-0.17, inf]
        The activations, with the dtype of ``x``; the relative error is about
        :math:`(1 + x^2)\varepsilon` in both tails.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    ValueError
        If ``approximate`` is neither "none" nor "tanh".

    See Also
    --------
    torch.nn.functional.gelu : Computed from :math:`1 + \operatorname{erf}`, which is 0 below -6 in float32; NaN at
        -inf.

    References
    ----------
    .. [1] D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016.

    Examples
    --------
    >>> gelu(torch.tensor([-math.inf, 0.0, math.inf]))
    tensor([0., 0., inf])

    :math:`\operatorname{GELU}(x) - \operatorname{GELU}(-x) = x`:

    >>> gelu(torch.tensor(8.0)) - gelu(torch.tensor(-8.0))
    tensor(8.)
    """
    check_floating(x=x)
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    if approximate == "none":
        return _gated(x, lambda x: torch.erfc(x / -math.sqrt(2)) / 2)
    return _gated(x, lambda x: torch.sigmoid(_twice_u(x.clamp(-SATURATED, SATURATED))))


def _twice_u(x: Tensor) -> Tensor:
    """Compute the argument of the sigmoid in the approximation by tanh."""
    return 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def swish(x: Float[Tensor, "*shape"], *, beta: float = 1.0) -> Float[Tensor, "*shape"]:
    r"""Return each input times its sigmoid.

    .. math::

        \operatorname{swish}_\beta(x) = x\,\sigma(\beta x), \qquad
        \operatorname{swish}_\beta'(x) = \sigma(\beta x) + \beta x\,\sigma(\beta x)\,(1 - \sigma(\beta x))

    where :math:`\sigma` is the :func:`sigmoid`. For :math:`\beta = 0` it is :math:`x/2`; as :math:`\beta` grows, it
    tends to :func:`relu`.

    Parameters
    ----------
    x : Tensor, shape (*)
        The inputs.
    beta : float, in [0, inf), default 1.0
        The steepness of the sigmoid.

    Returns
    -------
    Tensor, shape (*)
        The activations, with the dtype of ``x``; never below :math:`-0.28/\beta`.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    TypeError
        If ``beta`` is not a real number.
    ValueError
        If ``beta`` is negative or not finite.

    See Also
    --------
    torch.nn.functional.silu : The same for ``beta=1``; NaN at -inf.

    References
    ----------
    .. [1] P. Ramachandran, B. Zoph and Q. V. Le, "Searching for activation functions", arXiv:1710.05941, 2017.

    Examples
    --------
    >>> swish(torch.tensor([-math.inf, 0.0, math.inf]))
    tensor([0., 0., inf])
    >>> swish(torch.tensor([-2.0, 3.0]), beta=0.0), swish(torch.tensor([-2.0, 3.0]), beta=1e4)
    (tensor([-1.0000,  1.5000]), tensor([-0., 3.]))
    """
    check_floating(x=x)
    check_number("beta", beta, "finite and >= 0", lambda beta: 0 <= beta < math.inf)
    if beta == 0:
        return x / 2
    steepness = min(beta, torch.finfo(accumulation_dtype(x.dtype)).max)  # times 0, a larger one would be NaN
    return _gated(x, lambda x: torch.sigmoid(steepness * x))


def _gated(x: Tensor, gate: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``x`` times its gate, which rises from 0 at -inf to 1 at inf; the product alone is NaN at -inf."""
    wide = upcast(x)  # a gate of 1e-8 is 0 in half precision
    finite = wide.masked_fill(wide.isinf(), 0)
    return torch.where(wide == math.inf, wide, finite * gate(finite)).to(x.dtype)
