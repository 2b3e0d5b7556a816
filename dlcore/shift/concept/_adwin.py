"""Adaptive windowing."""

import math
from dataclasses import dataclass

import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the examples look it up here
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_count, check_number

from ._stream import read, started

__all__ = ["Adwin", "adwin"]

Bucket = tuple[float, float]  # of losses: their sum, and the sum of their squared deviations from their mean


@dataclass(frozen=True)
class Adwin:
    """What :func:`adwin` keeps of a stream: a summary of its newest window.

    Parameters
    ----------
    n : int
        How many losses were read, in all.
    detections : tuple of int
        The places in the stream, counted from 0, at which a change was detected.
    drift : bool
        Whether the last call detected one.
    width : int
        How many of the newest losses are in the window.
    total, deviations : float
        Their sum, and the sum of their squared deviations from their mean.
    buckets : tuple
        The sums and squared deviations of 1, 2, 4, ... successive losses; the oldest first in each row.

    Examples
    --------
    >>> state = adwin(None, torch.tensor([0.25, 0.75, 1.0, 0.0]))
    >>> state.width, state.mean
    (4, 0.5)
    """

    n: int = 0
    detections: tuple[int, ...] = ()
    drift: bool = False
    width: int = 0
    total: float = 0.0
    deviations: float = 0.0
    buckets: tuple[tuple[Bucket, ...], ...] = ((),)

    @property
    def mean(self) -> float:
        """The mean loss in the window; NaN if it is empty."""
        return self.total / self.width if self.width else math.nan


def adwin(
    state: Adwin | None,
    losses: Float[Tensor, "*n"],
    *,
    delta: float = 0.002,
    largest_loss: float = 1.0,
    check_every: int = 32,
    max_buckets: int = 5,
    min_window: int = 5,
) -> Adwin:
    r"""Return the state of adaptive windowing after some more losses.

    .. math::

        |\bar l_0 - \bar l_1| > \sqrt{\frac{2 s^2}{m}\ln\frac{2 \ln n}{\delta}}
            + \frac{2R}{3m}\ln\frac{2 \ln n}{\delta}, \qquad
        \frac1m = \frac{1}{n_0 - w + 1} + \frac{1}{n_1 - w + 1}

    for some cut of the window, n losses of variance :math:`s^2`, into :math:`n_0` old ones of mean :math:`\bar l_0` and
    :math:`n_1` new ones of mean :math:`\bar l_1`: then the oldest losses are dropped until no cut fulfils it, and what
    is left shows no change. With :math:`w = 1` this is the bound of Bifet and Gavaldà, which supposes losses in [0, R];
    a larger w, the shortest part that is compared, tolerates more in short parts.

    The window is kept as sums of 1, 2, 4, ... losses, at most ``max_buckets`` of each, so that memory and the time of a
    check grow like log n. Cuts are possible between these only.

    Parameters
    ----------
    state : Adwin or None
        What the last call returned; None to begin.
    losses : Tensor, shape (n,) or (), in [0, largest_loss]
        The next losses, or a single one. It does not matter how a stream is cut into calls.
    delta : float, in (0, 1), default 0.002
        The confidence :math:`\delta`: about how often a check cuts a window without change, at most.
    largest_loss : float, > 0 and finite, default 1.0
        The bound R of the losses; 1 for errors counted as 0 and 1. Clip a loss that has none.
    check_every : int, at least 1, default 32
        After how many losses cuts are looked for.
    max_buckets : int, at least 1, default 5
        How many sums of each length are kept.
    min_window : int, at least 1, default 5
        The shortest part w that is compared.

    Returns
    -------
    Adwin
        The new state; ``drift`` tells whether these losses hold a change, ``detections`` where, and ``width`` how many
        of the newest losses are of the present concept.

    Raises
    ------
    TypeError
        If ``state`` is not an Adwin, or ``losses`` not a real floating-point tensor.
    TypeError
        If ``delta`` or ``largest_loss`` is not a real number, or another option not an integer.
    ValueError
        If ``losses`` has more than one dimension, or an entry out of its range.
    ValueError
        If an option is out of its range.

    See Also
    --------
    page_hinkley : Cheaper, and tuned by hand.
    fine_tune : What to do with the width of the window.

    References
    ----------
    .. [1] A. Bifet and R. Gavaldà, "Learning from time-changing data with adaptive windowing", *SIAM International
       Conference on Data Mining*, 2007.

    Examples
    --------
    >>> losses = torch.cat([torch.zeros(1000), torch.ones(100)])
    >>> state = adwin(None, losses[:1000])
    >>> state.drift, state.width
    (False, 1000)
    >>> state = adwin(state, losses[1000:])
    >>> state.drift, state.detections, state.mean
    (True, (1023, 1055, 1087), 1.0)

    This is one change, whose last traces leave the window as the evidence grows. To forget all at once, go on from None
    after a detection.
    """
    state = started(Adwin, state)
    check_number("delta", delta, "in (0, 1)", lambda delta: 0 < delta < 1)
    check_number("largest_loss", largest_loss, "> 0 and finite", lambda largest: 0 < largest < math.inf)
    for name, value in {"check_every": check_every, "max_buckets": max_buckets, "min_window": min_window}.items():
        check_count(name, value, 1)
    n, found = state.n, list[int]()
    window = _Window([list(row) for row in state.buckets], state.width, state.total, state.deviations)
    for loss in read(losses, largest_loss):
        window.append(loss, max_buckets)
        n += 1
        if n % check_every == 0 and window.holds_a_change(delta, largest_loss, min_window):
            found.append(n - 1)
            while window.holds_a_change(delta, largest_loss, min_window):
                window.drop_oldest()
    detections, buckets = (*state.detections, *found), tuple(map(tuple, window.rows))
    return Adwin(n, detections, bool(found), window.width, window.total, window.deviations, buckets)


@dataclass
class _Window:
    """The window while losses are read. Row i holds buckets of 2^i losses, the oldest first."""

    rows: list[list[Bucket]]
    width: int
    total: float
    deviations: float

    def append(self, loss: float, max_buckets: int) -> None:
        """Take in a loss; where there are too many buckets of a size, merge the two oldest."""
        if self.width:
            self.deviations += (loss - self.total / self.width) ** 2 * self.width / (self.width + 1)
        self.width, self.total = self.width + 1, self.total + loss
        self.rows[0].append((loss, 0.0))
        i = 0
        while len(self.rows[i]) > max_buckets:
            (a, of_a), (b, of_b) = self.rows[i][:2]
            del self.rows[i][:2]
            i += 1
            if i == len(self.rows):
                self.rows.append([])
            self.rows[i].append((a + b, of_a + of_b + (a - b) ** 2 / 2**i))

    def drop_oldest(self) -> None:
        """Leave out the oldest bucket."""
        size = 2 ** (len(self.rows) - 1)
        total, deviations = self.rows[-1].pop(0)
        self.width, self.total = self.width - size, self.total - total
        apart = total / size - self.total / self.width
        self.deviations -= deviations + apart**2 * size * self.width / (size + self.width)
        if not self.rows[-1]:
            self.rows.pop()

    def holds_a_change(self, delta: float, largest_loss: float, min_window: int) -> bool:
        """Tell whether the means on both sides of a cut differ by more than the bound."""
        if self.width < 2 * min_window:
            return False
        log = math.log(2 * math.log(self.width) / delta)
        n_old, old = 0, 0.0
        spread = 2 * max(self.deviations, 0.0) / self.width * log
        for i in reversed(range(len(self.rows))):
            for total, _ in self.rows[i]:
                n_old, old = n_old + 2**i, old + total
                n_new = self.width - n_old
                if n_old >= min_window <= n_new:
                    share = 1 / (n_old - min_window + 1) + 1 / (n_new - min_window + 1)  # this is 1 / m
                    bound = math.sqrt(spread * share) + 2 / 3 * largest_loss * log * share
                    if abs(old / n_old - (self.total - old) / n_new) > bound:
                        return True
        return False
