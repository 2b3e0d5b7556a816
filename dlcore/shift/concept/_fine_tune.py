"""Fine-tuning on the newest window of a stream."""

from collections.abc import Callable
from typing import Any

import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the examples look it up here
from torch import Tensor

from dlcore._checks import check_count
from dlcore._torch import PyTree
from dlcore.training import History, fit
from dlcore.training._data import newest_rows

__all__ = ["fine_tune"]


def fine_tune(
    loss: Callable[..., Tensor],
    params: PyTree,
    data: Any,  # noqa: ANN401
    *,
    window: int,
    epochs: int,
    batch_size: int,
    lr: float | Callable[[int], float],
    **options: Any,  # noqa: ANN401  # those of fit
) -> History:
    r"""Return the history of training from given parameters on the newest rows only.

    .. math::

        \min_{\mathbf{w}}\ \frac{1}{n} \sum_{i=N-n+1}^{N} l^{(i)}(\mathbf{w})

    by stochastic gradient descent from the parameters in use, where n is the length of the window and N the number of
    rows. Under concept shift, older rows follow a rule that no longer holds; starting from the old parameters needs
    fewer rows than starting from scratch.

    Parameters
    ----------
    loss : callable
        Maps parameters and a batch, ``loss(params, *rows)``, to one loss per example, shape (rows,).
    params : Tensor, or nested sequences and mappings of Tensor
        The parameters in use.
    data : Tensor or numpy.ndarray, shape (N, ...), nested sequences and mappings of them, or Dataset
        The stream so far, the oldest row first, as for :func:`~dlcore.training.fit`. A data loader gives no access to
        its newest rows; pass its data set.
    window : int, at least 1
        How many of the newest rows to train on, for example the ``width`` of :class:`Adwin`; all if there are fewer.
    epochs, batch_size, lr : int, int and float or callable
        As for :func:`~dlcore.training.fit`.
    **options : Any
        Further options of :func:`~dlcore.training.fit`, such as ``momentum`` or ``generator``.

    Returns
    -------
    History
        The new parameters, and the losses during training.

    Raises
    ------
    TypeError
        If ``window`` is not an integer, or ``data`` a data loader.
    ValueError
        If ``window`` is less than 1.

    See Also
    --------
    dlcore.training.fit : Trains on all rows; checks the other arguments.

    References
    ----------
    .. [1] J. Gama, I. Žliobaitė, A. Bifet, M. Pechenizkiy and A. Bouchachia, "A survey on concept drift adaptation",
       *ACM Computing Surveys* 46(4), 2014.

    Examples
    --------
    The mean of the stream changes from 0 to 4. With half the squared distance as the loss and lr ½, each step halves
    the distance to the new mean:

    >>> stream = torch.tensor([0.0, 0.0, 0.0, 4.0, 4.0])
    >>> half_square = lambda w, x: (w - x) ** 2 / 2
    >>> fine_tune(half_square, torch.tensor(0.0), stream, window=2, epochs=2, batch_size=2, lr=0.5).params
    tensor(3.)
    """
    check_count("window", window, 1)
    return fit(loss, params, newest_rows(data, int(window)), epochs=epochs, batch_size=batch_size, lr=lr, **options)
