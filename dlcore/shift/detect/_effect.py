"""The size of a difference, with a lower and an upper limit that each hold with probability 0.95."""

from collections.abc import Callable

from torch import Tensor

from dlcore._checks import check_number
from dlcore._torch import ndtri

__all__ = ["ALPHA", "check_tolerance", "largest_where", "limits_of_shares"]

ALPHA = 0.05  # the probability with which each limit of an interval may err, and the level of a verdict


def check_tolerance(tolerance: float, largest: str, bound: float) -> None:
    """Raise TypeError or ValueError unless the tolerance is a number of at least 0 and less than any effect can be."""
    check_number("tolerance", tolerance, f"in [0, {largest})", lambda tolerance: 0 <= tolerance < bound)


def limits_of_shares(
    difference: Tensor, n: int, m: int, alpha: float = ALPHA, inflation: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""Return the limits, in [0, 1], of the difference of two shares, of n and of m rows; each errs in a share alpha.

    Shares whose difference is u have a variance of at most
    :math:`\tfrac14(\tfrac1n + \tfrac1m) - \tfrac{u^2}{n + m}`. As in Wilson's interval, the limits are the two u that
    lie as many of these standard deviations, times the inflation, from the measured difference as alpha demands.
    """
    z = inflation * ndtri(difference.new_tensor(1 - alpha))
    scale = 1 + z**2 / (n + m)
    half_width = z * ((n + m) / (4 * n * m) * scale - difference**2 / (n + m)).clamp(min=0).sqrt()
    return ((difference - half_width) / scale).clamp(0, 1), ((difference + half_width) / scale).clamp(0, 1)


def largest_where(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return the largest number in [low, high] up to which a condition holds, or low if it holds nowhere."""
    if holds(high):
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
