"""The two samples: what they must be, their scales, and their rows in blocks."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from dlcore._checks import check_floating, check_same_dtype, check_values
from dlcore._torch import split

__all__ = [
    "accuracy_of",
    "area_under_curve",
    "blocks",
    "check_samples",
    "draw_rows",
    "drawn",
    "in_blocks",
    "moments",
    "spread",
]

BLOCK = 2**18  # entries that are worked on at a time, 2 MB in float64

Map = Callable[[Tensor], Tensor]


def check_samples(source: Tensor, target: Tensor) -> None:
    """Raise TypeError or ValueError unless both are matrices of one kind with the same columns."""
    check_floating(source=source, target=target)
    check_same_dtype(source=source, target=target)
    for name, x in (("source", source), ("target", target)):
        if x.dim() != 2 or x.numel() == 0:
            raise ValueError(f"{name} must have shape (n, d) with a row and a column at least, got {tuple(x.shape)}")
    if target.shape[1] != source.shape[1]:
        raise ValueError(
            f"source and target must have the same columns, got {source.shape[1]} columns and {target.shape[1]}"
        )
    for name, x in (("source", source), ("target", target)):
        if not bool(torch.stack([*x.aminmax(dim=0)]).isfinite().all()):  # without a copy of x
            check_values(name, x, "finite", torch.isfinite)


def blocks(x: Tensor, columns: int) -> Iterator[Tensor]:
    """Yield the rows in blocks, small enough to become that many columns of float64."""
    yield from split(x, max(BLOCK // columns, 1))


def in_blocks(of_rows: Map, x: Tensor, columns: int) -> Tensor:
    """Return a number in float64 for each row, never with more than a block in memory.

    What a block gives is put in a place that is there already: between what blocks take, it would keep memory in parts.
    """
    result, start = x.new_empty(len(x), dtype=torch.float64), 0
    for rows in blocks(x, columns):
        result[start : start + len(rows)] = of_rows(rows)
        start += len(rows)
    return result


def moments(source: Tensor, target: Tensor, of_rows: Map | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each column (of ``of_rows``) over both samples; that of a constant is 1."""
    d = source.shape[1]

    def read() -> Iterator[Tensor]:
        for x in (source, target):
            for rows in blocks(x, d):
                yield rows.double() if of_rows is None else _checked(of_rows(rows), len(rows)).double()

    extremes = torch.stack([torch.stack(rows.aminmax(dim=0)) for rows in read()])
    if of_rows is not None and not bool(extremes.isfinite().all()):
        check_values("features", torch.cat([of_rows(x) for x in (source, target)]), "finite", torch.isfinite)
    low, high = extremes[:, 0].amin(0) / 2, extremes[:, 1].amax(0) / 2
    middle, half = low + high, high - low
    varies = half > 1e-10 * middle.abs()
    scale = torch.where(varies, half, 1)
    n = len(source) + len(target)
    total, squares = torch.zeros_like(scale), torch.zeros_like(scale)
    for rows in read():
        inside = (rows - middle) / scale  # in [-1, 1]: the squares neither overflow nor vanish
        total += inside.sum(0)
        squares += inside.square().sum(0)
    mean = total / n
    std = (squares / n - mean.square()).clamp_min(0).sqrt()
    return middle + scale * mean, torch.where(varies, scale * std, 1)


def _checked(features: Tensor, n: int) -> Tensor:
    """Return what a function of rows has returned; raise TypeError or ValueError unless it is a vector for each."""
    check_floating(features=features)
    if features.dim() != 2 or len(features) != n or features.shape[1] == 0:
        raise ValueError(f"features must return shape ({n}, p) for {n} rows, got {tuple(features.shape)}")
    return features


def drawn(x: Tensor, most: int, generator: Generator | None) -> Tensor:
    """Return the places of so many rows at most, drawn without replacement, or of all in their order."""
    if len(x) <= most:
        return torch.arange(len(x), device=x.device)
    device = None if generator is None else generator.device
    return torch.randperm(len(x), generator=generator, device=device)[:most].to(x.device)


def draw_rows(x: Tensor, most: int, generator: Generator | None) -> Tensor:
    """Return so many rows at most, drawn without replacement."""
    return x if len(x) <= most else x[drawn(x, most, generator)]


def spread(x: Tensor, most: int) -> Tensor:
    """Return the places of so many rows at most, as far apart as they can be: rows may be in an order that matters."""
    some = min(len(x), most)
    return torch.arange(some, device=x.device) * len(x) // some


def area_under_curve(of_source: Tensor, of_target: Tensor) -> float:
    """Return how often a target row has the larger score of a pair, ties counting half."""
    ranked = of_source.sort().values
    below = torch.searchsorted(ranked, of_target) + torch.searchsorted(ranked, of_target, right=True)
    return float(below.double().mean()) / (2 * len(of_source))


def accuracy_of(of_source: Tensor, of_target: Tensor, weights: Tensor) -> float:
    """Return the mean of the shares of target and weighted source that the best threshold on scores takes rightly."""
    ranked, order = of_source.sort()
    of_weights = weights[order].cumsum(0)
    source_below = of_weights[torch.searchsorted(ranked, ranked, right=True) - 1].double() / of_weights[-1]
    target_below = torch.searchsorted(of_target.sort().values, ranked, right=True).double() / len(of_target)
    return 0.5 + max(float((source_below - target_below).max()), 0.0) / 2
