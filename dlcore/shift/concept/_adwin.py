"""Adaptive windowing."""

import math
from dataclasses import dataclass

import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the examples look it up here
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_count, check_number
from dlcore._torch import loadable

from ._stream import initial_or, read

__all__ = ["Adwin", "adwin"]

LARGEST_LOSS_RANGE = 1e-150, 1e150  # the squares of the losses, and their sums, neither vanish nor overflow
# Of successive losses: their sum, the sum of their squared deviations from their mean, and the sum of the squared
# differences of each from the loss before it.
Bucket = tuple[float, float, float]


@loadable
@dataclass(frozen=True)
class Adwin:
    """The state of :func:`adwin`: a summary of the newest window of a stream.

    Parameters
    ----------
    n : int
        The number of losses read so far.
    detections : tuple of int
        The indices of the losses, counted from 0, at which a change was detected.
    drift : bool
        Whether the last call detected a change.
    width : int
        The number of losses in the window, the newest ones.
    total, deviations, differences : float
        Their sum, the sum of their squared deviations from their mean, and that of the squared differences of each from
        the loss before it.
    buckets : tuple
        The same three numbers of 1, 2, 4, ... successive losses; in each row, the oldest first.
    last : float
        The newest loss; 0 if the window is empty.

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
    differences: float = 0.0
    buckets: tuple[tuple[Bucket, ...], ...] = ((),)
    last: float = 0.0

    @property
    def mean(self) -> float:
        """The mean loss in the window; NaN if it is empty."""
        return self.total / self.width if self.width else math.nan

    def reset(self) -> "Adwin":
        """Return the state with an empty window: the next losses are compared with nothing that came before."""
        return Adwin(n=self.n, detections=self.detections)


def adwin(
    state: Adwin | None,
    losses: Float[Tensor, "*n"],
    *,
    delta: float = 0.002,
    largest_loss: float = 1.0,
    check_every: int = 32,
    max_buckets: int = 5,
    min_window: int = 5,
    autocorrelated: bool = True,
    restart: bool = False,
) -> Adwin:
    r"""Return the state of adaptive windowing after further losses.

    .. math::

        |\bar l_0 - \bar l_1| > \sqrt{\frac{2 s^2}{m}\ln\frac{2 \ln n}{\delta}}
            + \frac{2R}{3m}\ln\frac{2 \ln n}{\delta}, \qquad
        \frac1m = \frac{1}{n_0 - w + 1} + \frac{1}{n_1 - w + 1}

    for some cut of the window, n losses with variance :math:`s^2`, into :math:`n_0` older losses with mean
    :math:`\bar l_0` and :math:`n_1` newer losses with mean :math:`\bar l_1`, is a change. The oldest losses are then
    dropped until no cut of the window is a change. With :math:`w = 1` this is the bound of Bifet and Gavaldà for losses
    in [0, R]; w is the length of the shortest part that is compared, and a larger w widens the bound of short parts.

    Of dependent losses, such as a slowly varying error rate, the means vary more than :math:`s^2` says, so that bound
    would find changes where there are none. So :math:`s^2` is replaced by its long-run value for a first-order
    autoregression, if that is larger:

    .. math::

        s_w^2\,\frac{1 + \rho}{1 - \rho}, \qquad 1 - \rho = \frac{1}{2 n s_w^2} \sum_i (l_i - l_{i-1})^2, \qquad
        s_w^2 = s^2 - \frac{n_0 n_1}{n^2} (\bar l_0 - \bar l_1)^2,

    where :math:`s_w^2` is the variance within both parts.

    The window is stored as sums of 1, 2, 4, ... losses, at most ``max_buckets`` of each, so memory and the time of a
    check grow like log n. Cuts are only possible between these sums.

    Parameters
    ----------
    state : Adwin or None
        What the last call returned; None for a new stream.
    losses : Tensor, shape (n,) or (), in [0, largest_loss]
        The next losses, or a single one. The result does not depend on how a stream is split into calls.
    delta : float, in (0, 1), default 0.002
        The level :math:`\delta`: an upper bound, roughly, on the rate at which checks cut a window without change.
    largest_loss : float, in [1e-150, 1e150], default 1.0
        The bound R of the losses; 1 for errors counted as 0 and 1. Clip an unbounded loss.
    check_every : int, at least 1, default 32
        The number of losses between two checks.
    max_buckets : int, at least 1, default 5
        The largest number of sums of each length.
    min_window : int, at least 1, default 5
        The length w of the shortest part that is compared.
    autocorrelated : bool, default True
        Whether losses may depend on the loss before them. If they are independent, False detects slightly earlier.
    restart : bool, default False
        Whether the window is emptied after a detection. Otherwise it keeps the losses that follow the change. The last
        losses before the change leave the window later, as the evidence grows, which is no further detection.

    Returns
    -------
    Adwin
        The new state: ``drift`` is True if a change was detected in these losses, ``detections`` says where, and
        ``width`` is the number of newest losses that follow the present concept.

    Raises
    ------
    TypeError
        If ``state`` is not an Adwin, or ``losses`` not a real floating-point tensor.
    TypeError
        If ``delta`` or ``largest_loss`` is not a real number, or another option not an integer.
    ValueError
        If ``losses`` has more than one dimension or sharded rows, or an entry out of its range.
    ValueError
        If an option is out of its range.

    See Also
    --------
    page_hinkley : Faster, but has a threshold to tune.
    fine_tune : Trains on the window.

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
    >>> state.drift, state.detections, state.width, state.mean
    (True, (1023,), 100, 1.0)

    With ``restart``, the window is emptied at once:

    >>> state = adwin(None, losses, restart=True)
    >>> state.detections, state.width
    ((1023,), 76)
    """
    state = initial_or(Adwin, state)
    check_number("delta", delta, "in (0, 1)", lambda delta: 0 < delta < 1)
    check_number("largest_loss", largest_loss, "> 0 and finite", lambda largest: 0 < largest < math.inf)
    least, most = LARGEST_LOSS_RANGE
    check_number("largest_loss", largest_loss, f"in [{least}, {most}]", lambda largest: least <= largest <= most)
    for name, value in (("check_every", check_every), ("max_buckets", max_buckets), ("min_window", min_window)):
        check_count(name, value, 1)
    check_every, max_buckets = int(check_every), int(max_buckets)
    bound = (float(delta), float(largest_loss), int(min_window), bool(autocorrelated))
    n, detections, drift = state.n, state.detections, False
    window = _Window([*state.buckets], state.width, state.total, state.deviations, state.differences, state.last)
    for loss in read(losses, largest_loss):
        window.append(loss, max_buckets)
        n += 1
        checked = window.width if restart else n  # with restart, the width is the number of losses since it
        if checked % check_every == 0 and window.holds_a_change(*bound):
            if restart:
                window = _Window([()], 0, 0.0, 0.0, 0.0, 0.0)
            while window.holds_a_change(*bound):
                window.drop_oldest()
            if not detections or n - window.width > detections[-1]:  # else these losses precede the same change
                detections, drift = (*detections, n - 1), True
    return Adwin(
        n,
        detections,
        drift,
        window.width,
        window.total,
        window.deviations,
        window.differences,
        tuple(window.rows),
        window.last,
    )


@dataclass(slots=True)
class _Window:
    """The window while losses are read. Row i holds buckets of 2^i losses, the oldest first."""

    rows: list[tuple[Bucket, ...]]
    width: int
    total: float
    deviations: float
    differences: float
    last: float

    def append(self, loss: float, max_buckets: int) -> None:
        """Add a loss; where there are too many buckets of one size, merge the two oldest."""
        difference = 0.0
        if self.width:
            self.deviations += (loss - self.total / self.width) ** 2 * self.width / (self.width + 1)
            difference = (loss - self.last) ** 2
        self.width, self.total, self.last = self.width + 1, self.total + loss, loss
        self.differences += difference
        self.rows[0] += ((loss, 0.0, difference),)
        i = 0
        while len(self.rows[i]) > max_buckets:
            (sum_a, deviations_a, differences_a), (sum_b, deviations_b, differences_b) = self.rows[i][:2]
            self.rows[i] = self.rows[i][2:]
            i += 1
            if i == len(self.rows):
                self.rows.append(())
            deviations = deviations_a + deviations_b + (sum_a - sum_b) ** 2 / 2**i
            self.rows[i] += ((sum_a + sum_b, deviations, differences_a + differences_b),)

    def drop_oldest(self) -> None:
        """Remove the oldest bucket."""
        size = 2 ** (len(self.rows) - 1)
        total, deviations, differences = self.rows[-1][0]
        self.rows[-1] = self.rows[-1][1:]
        self.width, self.total = self.width - size, self.total - total
        difference = total / size - self.total / self.width  # of the means of what is dropped and what is kept
        self.deviations -= deviations + difference**2 * size * self.width / (size + self.width)
        self.differences -= differences
        if not self.rows[-1]:
            self.rows.pop()

    def holds_a_change(self, delta: float, largest_loss: float, min_window: int, autocorrelated: bool) -> bool:
        """Return whether the means on both sides of some cut differ by more than the bound."""
        if self.width < 2 * min_window:
            return False
        n = self.width
        log = math.log(2 * math.log(n) / delta)
        variance = max(self.deviations, 0.0) / n

        def bound(variance: float, inverse_m: float) -> float:
            return math.sqrt(2 * variance * inverse_m * log) + 2 / 3 * largest_loss * inverse_m * log

        n0, sum0 = 0, 0.0
        for i in reversed(range(len(self.rows))):
            for total, _, _ in self.rows[i]:
                n0, sum0 = n0 + 2**i, sum0 + total
                n1 = n - n0
                if n0 >= min_window <= n1:
                    inverse_m = 1 / (n0 - min_window + 1) + 1 / (n1 - min_window + 1)
                    gap = abs(sum0 / n0 - (self.total - sum0) / n1)
                    if gap > bound(variance, inverse_m) and not (
                        autocorrelated and gap <= bound(self.long_run_variance(n0, gap), inverse_m)
                    ):
                        return True
        return False

    def long_run_variance(self, n0: int, gap: float) -> float:
        """Return n times the variance of a mean of n losses, from a first-order autoregression around both means."""
        n = self.width
        within = max(self.deviations / n - n0 * (n - n0) / n**2 * gap**2, 0.0)
        unexplained = max(self.differences, 0.0) / (2 * n)  # the variance times 1 − ρ
        return within * max(2 * within / unexplained - 1, 0.0) if unexplained > 0 else 0.0
