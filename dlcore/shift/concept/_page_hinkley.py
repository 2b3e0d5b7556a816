"""The Page–Hinkley test."""

import math
from dataclasses import dataclass
from typing import Literal

import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the examples look it up here
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_count, check_nonnegative
from dlcore._torch import loadable

from ._stream import initial_or, read

__all__ = ["PageHinkley", "page_hinkley"]


@loadable
@dataclass(frozen=True)
class PageHinkley:
    r"""The state of :func:`page_hinkley`.

    Parameters
    ----------
    n : int
        The number of losses read so far.
    detections : tuple of int
        The indices of the losses, counted from 0, at which a change was detected.
    drift : bool
        Whether the last call detected a change.
    count, mean : int and float
        The number of losses since the last detection, and their mean.
    rise, fall : float
        The statistic for an increase of the losses, :math:`m_t - \min_i m_i`, and that for a decrease.

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

    def reset(self) -> "PageHinkley":
        """Return the state after a detection: the next losses are compared with nothing that came before."""
        return PageHinkley(n=self.n, detections=self.detections)


def page_hinkley(
    state: PageHinkley | None,
    losses: Float[Tensor, "*n"],
    *,
    delta: float = 0.005,
    threshold: float = 50.0,
    warm_up: int = 30,
    direction: Literal["up", "down", "both"] = "up",
) -> PageHinkley:
    r"""Return the state of the Page–Hinkley test after further losses.

    .. math::

        m_t = \sum_{i=1}^{t} (l_i - \bar l_i - \delta), \qquad
        m_t - \min_{i \le t} m_i > \lambda \;\Rightarrow\; \text{a change at } t

    where :math:`\bar l_i` is the mean of the losses up to :math:`l_i`, :math:`\delta` the increase that is tolerated,
    and :math:`\lambda` the threshold: a larger one gives fewer false alarms and detects changes later. The test
    restarts after each detection. In recursive form, :math:`m_t - \min_i m_i` is the larger of 0 and its last value
    plus :math:`l_t - \bar l_t - \delta`.

    Parameters
    ----------
    state : PageHinkley or None
        What the last call returned; None for a new stream.
    losses : Tensor, shape (n,) or ()
        The next losses, or a single one. The result does not depend on how a stream is split into calls.
    delta : float, at least 0, default 0.005
        The tolerated change :math:`\delta` of the mean, in units of the loss.
    threshold : float, at least 0, default 50.0
        The threshold :math:`\lambda`, in units of the loss.
    warm_up : int, at least 1, default 30
        How many losses must be read before a change can be detected.
    direction : {"up", "down", "both"}, default "up"
        Which changes are reported. For "down", the formula holds with the losses and their means negated.

    Returns
    -------
    PageHinkley
        The new state: ``drift`` is True if a change was detected in these losses, ``detections`` says where.

    Raises
    ------
    TypeError
        If ``state`` is not a PageHinkley, or ``losses`` not a real floating-point tensor.
    TypeError
        If ``delta`` or ``threshold`` is not a real number, or ``warm_up`` not an integer.
    ValueError
        If ``losses`` has more than one dimension or sharded rows, or an infinite or NaN entry.
    ValueError
        If ``delta``, ``threshold``, ``warm_up`` or ``direction`` is out of its range.

    See Also
    --------
    adwin : Needs no threshold in units of the loss, and returns how many losses follow the change.

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
    state = initial_or(PageHinkley, state)
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
        rise = max(rise + loss - mean - delta, 0.0)  # m_t − min m_i
        fall = max(fall - loss + mean - delta, 0.0)
        risen, fallen = direction != "down" and rise > threshold, direction != "up" and fall > threshold
        if (risen or fallen) and count >= warm_up:
            found.append(n - 1)
            count, mean, rise, fall = 0, 0.0, 0.0, 0.0
    return PageHinkley(n, (*state.detections, *found), bool(found), count, mean, rise, fall)
