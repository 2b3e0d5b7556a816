"""Random orders of rows: drawn as a permutation, or computed from a key where there are too many rows for one."""

from dataclasses import dataclass
from math import isqrt

import torch
from torch import Generator, Tensor

from ._rows import rows_between
from ._torch import generator_option, split

__all__ = ["ComputedOrder", "DrawnOrder", "Order", "random_order"]

MAX_DRAWN_ROWS = 2**24  # a permutation of more rows takes longer than computing the part that a process needs
ROUNDS = 4  # from which no simple test tells the order from a drawn one
NUMBERS_AT_A_TIME = 2**15  # which fit into the cache
MULTIPLIERS = 0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9  # odd and without a pattern, as any hash of integers uses


@dataclass(frozen=True)
class DrawnOrder:
    """A permutation."""

    permutation: Tensor

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the rows at these places of the order."""
        return self.permutation[start:stop]

    def part(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return the places of these rows in ascending order, and the rows there, counted from start."""
        return rows_between(start, stop, self.permutation)


@dataclass(frozen=True)
class ComputedOrder:
    r"""A permutation of n rows by a Feistel network on pairs of digits in base :math:`b = \lceil\sqrt n\rceil`.

    A round maps :math:`(l, r)` to :math:`(r,\ l + h_j(r) \bmod b)`, where :math:`h_j` is a hash with the key of the
    round, so it has an inverse. The :math:`b^2` numbers are permuted; one that is not below n is mapped again.
    """

    n: int
    keys: tuple[int, ...]

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the rows at these places of the order."""
        return self._permuted(torch.arange(start, min(stop, self.n)), inverse=False)

    def part(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return the places of these rows in ascending order, and the rows there, counted from start."""
        pieces = split(torch.arange(start, stop), NUMBERS_AT_A_TIME)
        places, rows = torch.cat([self._permuted(piece, inverse=True) for piece in pieces]).sort()
        return places, rows

    def _permuted(self, x: Tensor, *, inverse: bool) -> Tensor:
        """Return the numbers that the permutation of the numbers below n, or its inverse, maps these to."""
        x = self._in_rounds(x, inverse=inverse)
        while len(outside := (x >= self.n).nonzero()[:, 0]):
            x[outside] = self._in_rounds(x[outside], inverse=inverse)
        return x

    def _in_rounds(self, x: Tensor, *, inverse: bool) -> Tensor:
        """Return the same for the numbers below the square of the base."""
        base = isqrt(self.n - 1) + 1
        left, right = x.div(base, rounding_mode="floor"), x.remainder(base)
        for key in reversed(self.keys) if inverse else self.keys:
            if inverse:
                left, right = (right - _hashed(left, key)).remainder_(base), left
            else:
                left, right = right, (left + _hashed(right, key)).remainder_(base)
        return left.mul_(base).add_(right)


def _hashed(x: Tensor, key: int) -> Tensor:
    """Return integers below 2**32 without a pattern."""
    for multiplier in MULTIPLIERS:
        x = (x + key).mul_(multiplier)
        x = x.bitwise_xor_(x >> 32)
    return x.bitwise_and_(2**32 - 1)


Order = DrawnOrder | ComputedOrder


def random_order(n: int, generator: Generator | None) -> Order:
    """Return a random order of n rows, drawn in 32 bits or computed."""
    options, device = generator_option(generator), None if generator is None else generator.device
    if n <= MAX_DRAWN_ROWS:
        return DrawnOrder(torch.randperm(n, **options, dtype=torch.int32, device=device))
    keys = torch.randint(2**62, (ROUNDS,), **options, device=device)
    return ComputedOrder(n, tuple(int(key) for key in keys))
