"""The Page–Hinkley test."""

import math
from dataclasses import dataclass
from typing import Literal

import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the examples look it up here
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_count, check_nonnegative

from ._stream import read, started

__all__ = ["PageHinkley", "page_hinkley"]


@dataclass(frozen=True)
class PageHinkley:
    """What :func:`page_hinkley` keeps of a stream.

    Parameters
    ----------
    n : int
        How many losses were read, in all.
    detections : tuple of int
        The places in the stream, counted from 0, at which a change was detected.
    drift : bool
        Whether the last call detected one.
    count, mean : int and float
        The number of losses since the last detection, and their mean.
    rise, fall : float
        By how much the losses have added up above their mean, and below it.

    Examples
    --------
    >>> page_hinkley(None, torch.tensor([0.0, 1.0]), delta=0.25).rise
    0.25
    """

    n: int = 0
    detections: tuple[int, ...] = ()
    drift: bool = False
    count: int = 0
    mean: float = 0.0
    rise: float = 0.0
    fall: float = 0.0


def page_hinkley(
    state: PageHinkley | None,
    losses: Float[Tensor, "*n"],
    *,
    delta: float = 0.005,
    threshold: float = 50.0,
    warm_up: int = 30,
    direction: Literal["up", "down", "both"] = "up",
) -> PageHinkley:
    r"""Return the state of the Page–Hinkley test after some more losses.

    .. math::

        m_t = \sum_{i=1}^{t} (l_i - \bar l_i - \delta), \qquad
        m_t - \min_{i \le t} m_i > \lambda \;\Rightarrow\; \text{a change at } t

    where :math:`\bar l_i` is the mean of the losses up to :math:`l_i`, :math:`\delta` the rise that does not matter,
    and :math:`\lambda` the threshold: a larger one gives fewer false alarms and later true ones. After a detection the
    test starts anew.

    Parameters
    ----------
    state : PageHinkley or None
        What the last call returned; None to begin.
    losses : Tensor, shape (n,) or ()
        The next losses, or a single one. It does not matter how a stream is cut into calls.
    delta : float, at least 0, default 0.005
        The change :math:`\delta` per loss that is tolerated.
    threshold : float, at least 0, default 50.0
        The threshold :math:`\lambda`, in units of the loss.
    warm_up : int, at least 1, default 30
        How many losses must be read before a change is detected.
    direction : {"up", "down", "both"}, default "up"
        Which changes count. For "down" the losses and their means change sign.

    Returns
    -------
    PageHinkley
        The new state; ``drift`` tells whether these losses hold a change, ``detections`` where.

    Raises
    ------
    TypeError
        If ``state`` is not a PageHinkley, or ``losses`` not a real floating-point tensor.
    TypeError
        If ``delta`` or ``threshold`` is not a real number, or ``warm_up`` not an integer.
    ValueError
        If ``losses`` has more than one dimension, or an infinite or NaN entry.
    ValueError
        If ``delta``, ``threshold``, ``warm_up`` or ``direction`` is out of its range.

    See Also
    --------
    adwin : Needs no threshold in units of the loss, and says how many losses are new.

    References
    ----------
    .. [1] E. S. Page, "Continuous inspection schemes", *Biometrika* 41, 1954.
    .. [2] J. Gama, I. Žliobaitė, A. Bifet, M. Pechenizkiy and A. Bouchachia, "A survey on concept drift adaptation",
       *ACM Computing Surveys* 46(4), 2014.

    Examples
    --------
    >>> losses = torch.cat([torch.zeros(100), torch.ones(100)])
    >>> state = page_hinkley(None, losses[:100], threshold=5.0)
    >>> state.drift
    False
    >>> state = page_hinkley(state, losses[100:], threshold=5.0)
    >>> state.drift, state.detections
    (True, (105,))
    """
    state = started(PageHinkley, state)
    check_nonnegative("delta", delta)
    check_nonnegative("threshold", threshold)
    check_count("warm_up", warm_up, 1)
    if direction not in {"up", "down", "both"}:
        raise ValueError(f"direction must be 'up', 'down' or 'both', got {direction!r}")
    n, count, mean, rise, fall = state.n, state.count, state.mean, state.rise, state.fall
    found = list[int]()
    for loss in read(losses, math.inf):
        n, count = n + 1, count + 1
        mean += (loss - mean) / count
        rise = max(rise + loss - mean - delta, 0.0)  # what m is above its least value so far
        fall = max(fall - loss + mean - delta, 0.0)
        largest = {"up": rise, "down": fall, "both": max(rise, fall)}[direction]
        if largest > threshold and count >= warm_up:
            found.append(n - 1)
            count, mean, rise, fall = 0, 0.0, 0.0, 0.0
    return PageHinkley(n, (*state.detections, *found), bool(found), count, mean, rise, fall)
