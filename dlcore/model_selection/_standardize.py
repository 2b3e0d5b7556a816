"""Columns of mean 0 and standard deviation 1."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating, check_same_dtype
from dlcore._numerics import upcast
from dlcore._torch import loadable

__all__ = ["Standardization", "standardize"]


@loadable
class Standardization(NamedTuple):
    """A map of rows to their standard scores, as :func:`standardize` learned it.

    Parameters
    ----------
    mean : Tensor, shape (...)
        The mean of each column.
    std : Tensor, shape (...), positive
        The standard deviation of each column; 1 for a constant one.

    Examples
    --------
    >>> Standardization(torch.tensor([1.0]), torch.tensor([2.0]))(torch.tensor([[5.0]]))
    tensor([[2.]])
    """

    mean: Float[Tensor, "*columns"]
    std: Float[Tensor, "*columns"]

    def __call__(self, x: Float[Tensor, "n *columns"]) -> Float[Tensor, "n *columns"]:
        """Return the standard scores of rows."""
        check_floating(x=x)
        check_same_dtype(mean=self.mean, x=x)
        if x.shape[1:] != self.mean.shape:
            raise ValueError(f"x must have shape (n, *{tuple(self.mean.shape)}), got {tuple(x.shape)}")
        return (x - self.mean) / self.std


def standardize(x: Float[Tensor, "n *columns"]) -> Standardization:
    r"""Return the map that gives each column of these rows mean 0 and standard deviation 1.

    .. math::

        z_{ij} = \frac{x_{ij} - \mu_j}{\sigma_j}, \qquad
        \mu_j = \frac1n\sum_{i=1}^{n} x_{ij}, \qquad
        \sigma_j^2 = \frac1n\sum_{i=1}^{n} (x_{ij} - \mu_j)^2

    Learn it from the training rows alone, and apply it to the training and the test rows. In cross-validation, do this
    inside ``fit``. A column that is constant in the rows becomes 0, and its standard deviation counts as 1.

    Parameters
    ----------
    x : Tensor, shape (n, ...), n at least 1
        The rows to learn from.

    Returns
    -------
    Standardization
        The map, a function of rows with the same columns; ``mean`` and ``std`` have the dtype of ``x``.

    Raises
    ------
    TypeError
        If ``x`` is not a real floating-point tensor.
    ValueError
        If ``x`` has no row.

    See Also
    --------
    sklearn.preprocessing.StandardScaler : The same as an estimator.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, *The Elements of Statistical Learning*, 2nd ed., 2009, section
       7.10.2.

    Examples
    --------
    >>> train, test = torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[6.0, 7.0]])
    >>> scale = standardize(train)
    >>> scale(train), scale(test)
    (tensor([[-1.,  0.],
            [ 1.,  0.]]), tensor([[4., 2.]]))

    In each fold of a cross-validation it is learned from the training rows of that fold:

    >>> from dlcore import linear, losses, model_selection
    >>> def fit(x, y):
    ...     scale = standardize(x)
    ...     return scale, linear.ridge(scale(x), y, penalty=1.0)
    >>> def loss(model, x, y):
    ...     scale, params = model
    ...     return losses.squared_loss(linear.linear(scale(x), *params), y)
    >>> x = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    >>> model_selection.cross_validate(fit, loss, x, torch.zeros(4), k=2).validation_mean
    tensor(0.)
    """
    check_floating(x=x)
    if x.dim() == 0 or x.shape[0] == 0:
        raise ValueError(f"x must have shape (n, ...) with n >= 1, got {tuple(x.shape)}")
    wide = upcast(x)
    first = wide[0].detach()
    deviations = wide - first  # their mean is accurate even if the rows are far from zero
    mean = deviations.mean(0)
    largest = deviations.detach().abs().amax(0)
    is_constant = largest == 0
    scale = torch.where(is_constant, 1, largest)  # relative to it, squares neither overflow nor underflow
    variance = ((deviations - mean) / scale).square().mean(0)
    std = scale * torch.where(is_constant, 1, variance).sqrt()
    return Standardization((first + mean).to(x.dtype), std.to(x.dtype))
