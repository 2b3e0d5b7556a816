"""Halves of the problems: numbers are chosen on one, and confirmed on the other."""

from collections.abc import Sequence
from typing import Literal, TypeVar

__all__ = ["Half", "half_of"]

Half = Literal["a", "b"]
T = TypeVar("T")


def half_of(problems: Sequence[T], half: Half | None) -> Sequence[T]:
    """Return every second problem, from the first or the second on; all without a half."""
    return problems if half is None else problems["ab".index(half) :: 2]
