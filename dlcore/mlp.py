r"""Multilayer perceptrons: the model, its values layer by layer, and backpropagation.

A multilayer perceptron alternates affine maps and an activation :math:`\phi`: ``"relu"``, ``"sigmoid"``, ``"tanh"``,
``"softplus"``, ``"gelu"``, ``"swish"`` or ``"identity"``, or any function of a tensor that acts on each entry alone,
such as ``functools.partial(activations.swish, beta=2.0)``. This chapter contains the model, its initial parameters, a
forward pass that keeps every value of the computational graph, and backpropagation, which applies the chain rule to
this graph without automatic differentiation. The parameters are a sequence of :class:`~dlcore.linear.LinearParams`,
first layer first. Each row of a matrix is one example, so that :math:`\mathbf{W}\mathbf{x}` is ``x @ weight`` here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Generator, Tensor

from . import init
from ._checks import check_finite_in, check_number
from ._network import LOSSES, SCHEMES, activation_of, layer_values, named
from ._torch import loadable
from .linear import LinearParams

__all__ = ["Gradients", "Trace", "backward", "forward", "gradients", "init_mlp", "mlp"]

Phi = str | Callable[[Tensor], Tensor]


@loadable
@dataclass(frozen=True, eq=False)
class Trace:
    """Every value of the computational graph of one pass, by its name in the formulas of :func:`forward`.

    Parameters
    ----------
    params, x, y : tuple of LinearParams, Tensor and Tensor
        The parameters, the inputs, and the labels or targets, as given.
    z, h : tuple of Tensor, shape (n, width)
        The pre-activations and the activations of the hidden layers.
    o : Tensor, shape (n, n_out)
        The outputs, before any softmax.
    L, s, J : Tensor, shape ()
        The mean loss, the penalty on the weights, and the objective, their sum.
    activation, loss, penalty : str or callable, str and float
        The options, as given.

    Examples
    --------
    >>> params = [LinearParams(torch.eye(2), torch.zeros(2)), LinearParams(torch.ones(2, 1), torch.zeros(1))]
    >>> trace = forward(params, torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0]]), loss="squared_loss")
    >>> trace.z, trace.h, trace.o
    ((tensor([[ 3., -1.]]),), (tensor([[3., 0.]]),), tensor([[3.]]))
    >>> trace.J
    tensor(2.)
    """

    params: tuple[LinearParams, ...]
    x: Float[Tensor, "n n_in"]
    y: Float[Tensor, "n n_out"] | Integer[Tensor, "n"]
    z: tuple[Float[Tensor, "n _"], ...]
    h: tuple[Float[Tensor, "n _"], ...]
    o: Float[Tensor, "n n_out"]
    L: Float[Tensor, ""]
    s: Float[Tensor, ""]
    J: Float[Tensor, ""]
    activation: Phi
    loss: str
    penalty: float


@loadable
class Gradients(NamedTuple):
    """The gradient of the objective at each value of a :class:`Trace`, as :func:`gradients` computes it.

    Parameters
    ----------
    params, x, z, h, o : tuple of LinearParams, Tensor, tuple of Tensor, tuple of Tensor and Tensor
        The gradient with respect to each value, in its structure.

    Examples
    --------
    >>> params = [LinearParams(torch.eye(2), torch.zeros(2)), LinearParams(torch.ones(2, 1), torch.zeros(1))]
    >>> found = gradients(forward(params, torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0]]), loss="squared_loss"))
    >>> found.x, found.params[1].bias
    (tensor([[2., 0.]]), tensor([2.]))
    """

    params: tuple[LinearParams, ...]
    x: Float[Tensor, "n n_in"]
    z: tuple[Float[Tensor, "n _"], ...]
    h: tuple[Float[Tensor, "n _"], ...]
    o: Float[Tensor, "n n_out"]


def init_mlp(
    sizes: Sequence[int],
    *,
    scheme: str = "xavier_uniform",
    scale: float = 1.0,
    generator: Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | int | None = None,
) -> tuple[LinearParams, ...]:
    r"""Return random weights and zero biases for the layers of a multilayer perceptron.

    .. math::

        (\mathbf{W}_k)_{ij} \sim a\,P(n_{k-1}, n_k), \qquad \mathbf{b}_k = \mathbf{0}, \qquad k = 1, \dots, K

    where :math:`n_0, \dots, n_K` are the sizes, :math:`P` is the scheme's distribution, and :math:`a` the scale.

    Parameters
    ----------
    sizes : sequence of int, at least two
        The number of inputs, the width of each hidden layer, and the number of outputs.
    scheme : str, default "xavier_uniform"
        The function of :mod:`dlcore.init` that draws the weights: ``"xavier_uniform"``, ``"xavier_normal"``,
        ``"he_uniform"``, ``"he_normal"``, or ``"normal"`` with its default standard deviation.
    scale : float, default 1.0
        A factor on every weight.
    generator, dtype, device : torch.Generator, torch.dtype and torch.device, optional
        As for :func:`torch.randn`; with a generator, the global random state does not change.

    Returns
    -------
    tuple of LinearParams
        The parameters, first layer first: weights (n_in, n_out) and biases (n_out,).

    Raises
    ------
    TypeError
        If ``scale`` is not a real number.
    ValueError
        If ``sizes`` has fewer than two entries, ``scheme`` is not one of the names, or ``scale`` is not finite.

    See Also
    --------
    torch.nn.Linear : It draws weight and bias uniformly from ±1/√n_in, whatever the activation.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
       *AISTATS*, 2010.

    Examples
    --------
    >>> params = init_mlp([4, 8, 3], generator=torch.Generator().manual_seed(0))
    >>> [tuple(layer.weight.shape) for layer in params]
    [(4, 8), (8, 3)]

    One line loads them into the linear layers of a torch module, whose weights have shape (n_out, n_in), and another
    line reads them back:

    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> net.load_state_dict(dict(zip(net.state_dict(), (x.t() for layer in params for x in layer), strict=True)))
    <All keys matched successfully>
    >>> back = tuple(LinearParams(layer.weight.detach().t(), layer.bias.detach()) for layer in net[::2])
    >>> all(torch.equal(x, y) for layer, same in zip(params, back, strict=True) for x, y in zip(layer, same))
    True
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must have at least two entries, got {list(sizes)}")
    check_number("scale", scale, "finite", math.isfinite)
    check_finite_in("scale", scale, [dtype or torch.get_default_dtype()])
    draw = named("scheme", scheme, SCHEMES)
    return tuple(
        LinearParams(
            scale * draw(n_in, n_out, generator=generator, dtype=dtype, device=device),
            init.zeros(n_out, dtype=dtype, device=device),
        )
        for n_in, n_out in pairwise(sizes)
    )


def mlp(
    params: Sequence[LinearParams],
    x: Float[Tensor, "*batch n_in"],
    *,
    activation: Phi = "relu",
    dropout: float | Sequence[float] = 0.0,
    training: bool = True,
    generator: Generator | None = None,
) -> Float[Tensor, "*batch n_out"]:
    r"""Return the outputs of a multilayer perceptron.

    .. math::

        \mathbf{o} = \mathbf{h}_{K-1}\mathbf{W}_K + \mathbf{b}_K, \qquad
        \mathbf{h}_k = \phi(\mathbf{h}_{k-1}\mathbf{W}_k + \mathbf{b}_k), \qquad \mathbf{h}_0 = \mathbf{x}

    If :math:`\phi` is not a polynomial, one hidden layer with enough units **approximates** any **continuous** function
    on a **compact** set as closely as desired. The theorem does not say how many units that takes, whether training
    finds them, or what happens outside the set. With ``activation="identity"`` all layers together are one affine map.

    Parameters
    ----------
    params : sequence of LinearParams
        The parameters of the :math:`K` layers; one layer is a linear model.
    x : Tensor, shape (*, n_in)
        The inputs.
    activation : str or callable, default "relu"
        The activation :math:`\phi`, or its name.
    dropout : float, in [0, 1], or a sequence of them, default 0.0
        The probability with which each entry of a hidden layer :math:`\mathbf{h}_k` is dropped, or one for each of
        these layers; see :func:`dlcore.regularization.dropout`.
    training : bool, default True
        Whether to drop values, as in training.
    generator : torch.Generator, optional
        The source of randomness; with a generator, the global random state does not change.

    Returns
    -------
    Tensor, shape (*, n_out)
        The outputs, before any softmax, with the dtype of ``x``; under ``torch.autocast``, with its dtype.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``, or ``dropout`` is not a real number.
    ValueError
        If ``params`` is empty, a layer does not fit its inputs, or ``activation`` is not one of the names.
    ValueError
        If ``dropout`` is not in [0, 1], or does not have one probability for each hidden layer.

    See Also
    --------
    torch.nn.Sequential : The same model as a module of linear layers and activations.

    References
    ----------
    .. [1] M. Leshno, V. Y. Lin, A. Pinkus and S. Schocken, "Multilayer feedforward networks with a nonpolynomial
       activation function can approximate any function", *Neural Networks* 6(6), 1993.

    Examples
    --------
    Two hidden units compute the absolute value, which is not affine:

    >>> hidden = LinearParams(torch.tensor([[1.0, -1.0]]), torch.zeros(2))
    >>> output = LinearParams(torch.ones(2, 1), torch.zeros(1))
    >>> mlp([hidden, output], torch.tensor([[-3.0], [2.0]]))
    tensor([[3.],
            [2.]])

    The activation can be any function, here :math:`\max(z, 0)^2`. Dropped values are 0:

    >>> mlp([hidden, output], torch.tensor([[-3.0], [2.0]]), activation=lambda z: z.relu() ** 2)
    tensor([[9.],
            [4.]])
    >>> mlp([hidden, output], torch.tensor([[-3.0], [2.0]]), dropout=1.0)
    tensor([[0.],
            [0.]])
    """
    hidden = len(params) - 1
    dropped = [*dropout] if isinstance(dropout, Sequence) else [dropout] * hidden
    for p in dropped:
        check_number("dropout", p, "in [0, 1]", lambda p: 0 <= p <= 1)
    if len(dropped) != max(hidden, 0):
        raise ValueError(f"dropout must have a probability for each of {hidden} hidden layers, got {len(dropped)}")
    if not training or not any(dropped):
        dropped = []
    return layer_values(params, x, activation, dropped=dropped, generator=generator)[-1]


def forward(
    params: Sequence[LinearParams],
    x: Float[Tensor, "n n_in"],
    y: Float[Tensor, "n n_out"] | Integer[Tensor, "n"],
    *,
    activation: Phi = "relu",
    loss: str = "cross_entropy",
    penalty: float = 0.0,
) -> Trace:
    r"""Return every value between the inputs and the objective.

    .. math::

        \begin{aligned}
        \mathbf{z}_k &= \mathbf{h}_{k-1}\mathbf{W}_k + \mathbf{b}_k, & \mathbf{h}_k &= \phi(\mathbf{z}_k), &
            \mathbf{o} &= \mathbf{h}_{K-1}\mathbf{W}_K + \mathbf{b}_K, \\
        L &= \frac1n\sum_{i=1}^{n} l(\mathbf{o}_i, \mathbf{y}_i), &
            s &= \frac\lambda2\sum_{k=1}^{K}\lVert\mathbf{W}_k\rVert_F^2, & J &= L + s
        \end{aligned}

    where :math:`\mathbf{h}_0 = \mathbf{x}`, and :math:`l` is the cross-entropy of the softmax of the outputs, or
    :math:`\frac12\lVert\mathbf{o}_i - \mathbf{y}_i\rVert^2`. :math:`L` is the **mean** over the batch, so the optimizer
    must not divide by the batch size again. Biases are not penalized.

    Parameters
    ----------
    params : sequence of LinearParams
        The parameters of the :math:`K` layers.
    x : Tensor, shape (n, n_in)
        The inputs, of at least one example.
    y : Tensor, shape (n,) or (n, n_out)
        Class indices or probabilities for the cross-entropy, targets of the shape of the outputs for the squared loss.
    activation : str or callable, default "relu"
        The activation :math:`\phi`, or its name. The derivative of a callable is torch's.
    loss : str, default "cross_entropy"
        The loss :math:`l`, ``"cross_entropy"`` or ``"squared_loss"``.
    penalty : float, at least 0, default 0.0
        The strength :math:`\lambda`.

    Returns
    -------
    Trace
        The values by their names in the formulas, and the options, which :func:`backward` needs.

    Raises
    ------
    TypeError
        If a tensor is not real floating-point, or has another dtype than ``x``, or ``penalty`` is not a real number.
    ValueError
        If ``x`` is not a matrix of at least one example, ``params`` does not fit it, or ``y`` does not fit the outputs.
    ValueError
        If ``activation`` or ``loss`` is not one of the names, or ``penalty`` is negative.

    See Also
    --------
    mlp : The outputs alone.
    torch.nn.MSELoss : Twice the squared loss, and averaged over the outputs, too.

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li and A. J. Smola, *Dive into Deep Learning*, 2023, section 5.3.

    Examples
    --------
    >>> hidden = LinearParams(torch.tensor([[1.0, -1.0], [2.0, 1.0]]), torch.tensor([0.0, -2.0]))
    >>> output = LinearParams(torch.tensor([[1.0], [3.0]]), torch.tensor([1.0]))
    >>> x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0]])
    >>> trace = forward([hidden, output], x, y, loss="squared_loss", penalty=0.5)
    >>> trace.z, trace.h, trace.o
    ((tensor([[ 5., -1.]]),), (tensor([[5., 0.]]),), tensor([[6.]]))
    >>> trace.L, trace.s, trace.J
    (tensor(2.), tensor(4.2500), tensor(6.2500))
    """
    check_number("penalty", penalty, ">= 0", lambda penalty: penalty >= 0)
    per_example = named("loss", loss, LOSSES).per_example
    z, h, o = layer_values(params, x, activation)
    if x.dim() != 2 or x.shape[0] == 0:
        raise ValueError(f"x must have shape (n, n_in) with n >= 1, got {tuple(x.shape)}")
    check_finite_in("penalty", penalty, (layer.weight.dtype for layer in params))
    mean_loss = per_example(o, y).mean()
    s = penalty / 2 * torch.stack([layer.weight.square().sum() for layer in params]).sum()
    return Trace(tuple(params), x, y, z, h, o, mean_loss, s, mean_loss + s, activation, loss, penalty)


def backward(trace: Trace) -> tuple[LinearParams, ...]:
    r"""Return the gradient of the objective with respect to the parameters, by the chain rule.

    .. math::

        \frac{\partial J}{\partial\mathbf{W}_k}
            = \mathbf{h}_{k-1}^\top\frac{\partial J}{\partial\mathbf{z}_k} + \lambda\mathbf{W}_k, \qquad
        \frac{\partial J}{\partial\mathbf{b}_k} = \sum_{i=1}^{n}\frac{\partial J}{\partial\mathbf{z}_{k,i}}

    where :math:`\mathbf{h}_0 = \mathbf{x}`, :math:`\mathbf{z}_K = \mathbf{o}`, and :func:`gradients` states the other
    derivatives.

    Parameters
    ----------
    trace : Trace
        The values of a forward pass.

    Returns
    -------
    tuple of LinearParams
        The gradients, in the structure and the dtype of the parameters.

    See Also
    --------
    torch.autograd.grad : The same from the graph that torch records; this function needs no such graph.

    References
    ----------
    .. [1] D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning representations by back-propagating errors",
       *Nature* 323, 1986.

    Examples
    --------
    The second hidden unit is inactive, so no gradient passes through it.

    >>> hidden = LinearParams(torch.tensor([[1.0, -1.0], [2.0, 1.0]]), torch.tensor([0.0, -2.0]))
    >>> output = LinearParams(torch.tensor([[1.0], [3.0]]), torch.tensor([1.0]))
    >>> x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0]])
    >>> (dw1, db1), (dw2, db2) = backward(forward([hidden, output], x, y, loss="squared_loss"))
    >>> dw2.T, db2
    (tensor([[10.,  0.]]), tensor([2.]))
    >>> dw1, db1
    (tensor([[2., 0.],
            [4., 0.]]), tensor([2., 0.]))
    """
    dz, _ = _layer_gradients(trace)
    return _parameter_gradients(trace, dz)


def gradients(trace: Trace) -> Gradients:
    r"""Return the gradient of the objective with respect to every value of the computational graph.

    .. math::

        \frac{\partial J}{\partial\mathbf{o}_i} = \frac1n\frac{\partial l}{\partial\mathbf{o}_i}, \qquad
        \frac{\partial J}{\partial\mathbf{h}_k} = \frac{\partial J}{\partial\mathbf{z}_{k+1}}\mathbf{W}_{k+1}^\top,
        \qquad
        \frac{\partial J}{\partial\mathbf{z}_k} = \frac{\partial J}{\partial\mathbf{h}_k} \odot \phi'(\mathbf{z}_k)

    where :math:`\partial l/\partial\mathbf{o}_i` is :math:`\operatorname{softmax}(\mathbf{o}_i) - \mathbf{y}_i` for the
    cross-entropy and :math:`\mathbf{o}_i - \mathbf{y}_i` for the squared loss, and :math:`\mathbf{z}_K = \mathbf{o}`.
    If :math:`\mathbf{y}_i` does not sum to 1, its sum multiplies the softmax.

    Parameters
    ----------
    trace : Trace
        The values of a forward pass.

    Returns
    -------
    Gradients
        The gradients with respect to ``params``, ``x``, ``z``, ``h`` and ``o``, each with the shape of its value.

    See Also
    --------
    backward : The gradients with respect to the parameters alone.

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li and A. J. Smola, *Dive into Deep Learning*, 2023, section 5.3.

    Examples
    --------
    >>> params = [LinearParams(torch.eye(2), torch.zeros(2)), LinearParams(torch.ones(2, 1), torch.zeros(1))]
    >>> found = gradients(forward(params, torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0]]), loss="squared_loss"))
    >>> found.o, found.h, found.z
    (tensor([[2.]]), (tensor([[2., 2.]]),), (tensor([[2., 0.]]),))
    """
    dz, dh = _layer_gradients(trace)
    dx = dz[0] @ trace.params[0].weight.mT
    return Gradients(_parameter_gradients(trace, dz), dx, tuple(dz[:-1]), tuple(dh), dz[-1])


def _layer_gradients(trace: Trace) -> tuple[list[Tensor], list[Tensor]]:
    """Return ∂J/∂z of every layer, the last of them ∂J/∂o, and ∂J/∂h of the hidden layers."""
    derivative = activation_of(trace.activation).derivative
    do = LOSSES[trace.loss].derivative(trace.o, trace.y) / trace.x.shape[0]
    dz = [do]
    dh: list[Tensor] = []
    for z, (weight, _) in zip(reversed(trace.z), reversed(trace.params[1:]), strict=True):
        dh.insert(0, dz[0] @ weight.mT)
        dz.insert(0, dh[0] * derivative(z))
    return dz, dh


def _parameter_gradients(trace: Trace, dz: list[Tensor]) -> tuple[LinearParams, ...]:
    """Return ∂J/∂W and ∂J/∂b of every layer."""
    gradients_of_layers: list[LinearParams] = []
    for h, dz_k, (weight, _) in zip((trace.x, *trace.h), dz, trace.params, strict=True):
        dw, db = h.mT @ dz_k + trace.penalty * weight, dz_k.sum(0)
        gradients_of_layers.append(LinearParams(dw, db))
    return tuple(gradients_of_layers)
