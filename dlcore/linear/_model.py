"""The linear model and its parameters."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating, check_rank, check_same_dtype
from dlcore._numerics import product_operands
from dlcore._shards import is_sharded, replicated
from dlcore._torch import loadable


@loadable
class LinearParams(NamedTuple):
    r"""The parameters of a linear model, :math:`\mathbf{X}\mathbf{W} + \mathbf{b}`.

    The weight has one row for each input and one column for each output: it is the transpose of that of
    :class:`torch.nn.Linear`. One line converts in each direction:
    ``layer.load_state_dict({"weight": params.weight.T, "bias": params.bias})`` and
    ``LinearParams(layer.weight.T, layer.bias)``.

    Parameters
    ----------
    weight : Tensor, shape (n_in, n_out) or (n_in,)
        The weight :math:`\mathbf{W}`; without the last dimension, the model has one target and returns a vector.
    bias : Tensor, shape (n_out,) or ()
        The bias :math:`\mathbf{b}`.

    See Also
    --------
    torch.nn.Linear : The same model as a module; its weight has shape (n_out, n_in).

    Examples
    --------
    >>> params = LinearParams(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.tensor([1.0, 0.0, -1.0]))
    >>> layer = torch.nn.Linear(2, 3)
    >>> layer.load_state_dict({"weight": params.weight.T, "bias": params.bias})
    <All keys matched successfully>
    >>> back = LinearParams(layer.weight.T, layer.bias)
    >>> torch.equal(back.weight, params.weight), torch.equal(back.bias, params.bias)
    (True, True)
    """

    weight: Float[Tensor, "n_in *n_out"]
    bias: Float[Tensor, "*n_out"]


def linear(
    x: Float[Tensor, "*batch n_in"], weight: Float[Tensor, "n_in *n_out"], bias: Float[Tensor, "*n_out"]
) -> Float[Tensor, "..."]:
    r"""Return the output of a linear model.

    .. math::

        \mathbf{O} = \mathbf{X}\mathbf{W} + \mathbf{b}, \qquad
        \hat{\mathbf{y}} = \mathbf{X}\mathbf{w} + b

    where each row of :math:`\mathbf{X}` is one example, and the second form has one target.

    Parameters
    ----------
    x : Tensor, shape (*, n_in)
        The inputs :math:`\mathbf{X}`.
    weight : Tensor, shape (n_in, n_out) or (n_in,)
        The weight :math:`\mathbf{W}`, one row for each input.
    bias : Tensor, shape (n_out,) or ()
        The bias :math:`\mathbf{b}`.

    Returns
    -------
    Tensor, shape (*, n_out) or (*)
        The outputs, with the dtype of ``x``; under ``torch.autocast``, with its dtype.

    Raises
    ------
    TypeError
        If an argument is not a real floating-point tensor, or has another dtype than ``x``.
    ValueError
        If ``x`` has no dimension.
    ValueError
        If the number of rows of ``weight`` is not the number of columns of ``x``.
    ValueError
        If the number of entries of ``bias`` is not the number of columns of ``weight``.

    See Also
    --------
    torch.nn.functional.linear : The same with the transposed weight, (n_out, n_in).

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 3.1.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> linear(x, torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), torch.tensor([0.0, 10.0, 0.0]))
    tensor([[ 1., 12.,  3.],
            [ 3., 14.,  7.]])
    >>> linear(x, torch.tensor([1.0, 1.0]), torch.tensor(0.5))
    tensor([3.5000, 7.5000])
    """
    if is_sharded(x) and not is_sharded(weight):  # all rows share the parameters
        weight, bias = replicated(weight, x), replicated(bias, x)
    x, weight, bias = product_operands(x, weight, bias)
    check_floating(x=x, weight=weight, bias=bias)
    check_same_dtype(x=x, weight=weight, bias=bias)
    check_rank("x", x, 1, "(*, n_in)")
    if weight.dim() not in (1, 2) or weight.shape[0] != x.shape[-1]:
        n_in = x.shape[-1]
        raise ValueError(f"weight must have shape ({n_in},) or ({n_in}, n_out), got {tuple(weight.shape)}")
    if bias.shape != weight.shape[1:]:
        raise ValueError(f"bias must have shape {tuple(weight.shape[1:])}, got {tuple(bias.shape)}")
    if x.dim() == weight.dim() == 2:
        return torch.addmm(bias, x, weight)  # the same in one call
    return x @ weight + bias
