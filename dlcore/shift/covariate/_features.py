"""The two samples, and the features of their rows: the columns themselves, their products, or kernels."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dlcore._checks import check_floating, check_same_dtype, check_values
from dlcore._rows import rows_at
from dlcore._shards import as_rows_of, check_rows, gathered, is_sharded, local_rows, shards_of
from dlcore._torch import loadable, split, unique

__all__ = [
    "CANDIDATES",
    "MAX_CENTRES",
    "MAX_SAMPLE_ROWS",
    "Features",
    "Kernels",
    "Products",
    "Standard",
    "check_samples",
    "evenly_spaced_rows",
    "map_rows",
    "mean_features",
    "paired_row_blocks",
    "random_row_indices",
    "row_blocks",
    "sample_rows",
    "squared_distances",
    "standardize",
]

CANDIDATES = {"auto": ("quadratic", "kernel"), "linear": (), "quadratic": ("quadratic",), "kernel": ("kernel",)}
MAX_SAMPLE_ROWS = 2**12  # rows of each domain on which features, widths and penalties are chosen
MAX_CENTRES = 100  # kernels
MAX_PERMUTED_ROWS = 2**24  # with more, rows are drawn with replacement, and few of so many are drawn twice
MAX_BLOCK_ENTRIES = 2**18  # entries computed at a time: 2 MB in float64
MIN_RELATIVE_RANGE = 1e-10  # of a column, relative to its values: a smaller one is rounding

Map = Callable[[Tensor], Tensor]


def check_samples(source: Tensor, target: Tensor, **options: object) -> None:
    """Raise TypeError or ValueError unless both are finite matrices of one dtype with the same columns.

    If their rows are sharded, the options must be the same on all processes.
    """
    check_rows(source=source, target=target, **options)
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
        if not bool(_column_extremes(row_blocks(x, x.shape[1]), x).isfinite().all()):  # without a copy of x
            check_values(name, x, "finite", torch.isfinite)


def _column_extremes(blocks: Iterable[Tensor], x: Tensor) -> Tensor:
    """Return the smallest and the largest entry of each column over the blocks of all processes, (2, columns)."""
    low = torch.tensor(math.inf, dtype=torch.float64, device=x.device)
    high, shards = -low, shards_of(x)
    for rows in blocks:
        smallest, largest = rows.aminmax(dim=0)
        low, high = low.minimum(smallest), high.maximum(largest)
    columns = int(shards.cat(torch.tensor([low.numel()], device=x.device)).max())  # a process without rows has one
    return torch.stack([shards.cat(low.expand(1, columns)).amin(0), shards.cat(high.expand(1, columns)).amax(0)])


def random_row_indices(x: Tensor, max_rows: int, generator: Generator | None) -> Tensor:
    """Return the indices of rows drawn without replacement, or of all rows in their order if these are few enough."""
    if len(x) <= max_rows:
        return torch.arange(len(x), device=x.device)
    device = None if generator is None else generator.device
    if len(x) <= MAX_PERMUTED_ROWS:
        return torch.randperm(len(x), generator=generator, device=device)[:max_rows].to(x.device)
    drawn = unique(torch.randint(len(x), (2 * max_rows,), generator=generator, device=device))
    return drawn[torch.randperm(len(drawn), generator=generator, device=device)[:max_rows]].to(x.device)


def sample_rows(x: Tensor, max_rows: int, generator: Generator | None) -> Tensor:
    """Return rows drawn without replacement, or all rows if these are few enough, as a plain tensor."""
    return gathered(x) if len(x) <= max_rows else rows_at(x, random_row_indices(x, max_rows, generator))


def evenly_spaced_rows(x: Tensor, max_rows: int) -> Tensor:
    """Return the indices of evenly spaced rows: the order of the rows may matter, and the global state must not."""
    count = min(len(x), max_rows)
    return torch.arange(count, device=x.device) * len(x) // count


def row_blocks(x: Tensor, columns: int) -> tuple[Tensor, ...]:
    """Return views of consecutive rows, few enough to be mapped to that many columns of float64.

    Of sharded rows, they are those of this process, as plain tensors.
    """
    return tuple(rows for (rows,) in paired_row_blocks(x, columns))


def paired_row_blocks(x: Tensor, columns: int, *values: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Return the blocks of rows, each with the entries of vectors that belong to its rows."""
    n, block_rows = len(local_rows(x)), max(MAX_BLOCK_ENTRIES // columns, 1)
    # torch splits no rows into one block of none
    return zip(*(split(local_rows(tensor), block_rows)[:n] for tensor in (x, *values)), strict=True)


def map_rows(function: Callable[[Tensor], Tensor], x: Tensor, columns: int) -> Tensor:
    """Return the number that a function gives for each row, in float64, by blocks that it maps to that many columns."""
    own = local_rows(x)
    values, start = own.new_empty(len(own), dtype=torch.float64), 0
    for rows in row_blocks(own, columns):  # a list of results would fragment the memory
        values[start : start + len(rows)] = function(rows)
        start += len(rows)
    return as_rows_of(x, values)


def mean_features(features: Map, x: Tensor, share: Tensor, size: int, about: Tensor | None = None) -> Tensor:
    """Return the sum of shares of the features of each row, (size,), or of their squared distances from numbers.

    The shares are those of the rows of this process, and the sum is over all processes.
    """
    total = share.new_zeros(size)
    for rows, part in paired_row_blocks(x, size, share):
        z = features(rows)
        total += part @ (z if about is None else (z - about).square())
    return shards_of(x).sum(total)


@loadable
@dataclass(frozen=True)
class Standard:
    """The columns of the rows, or of the caller's function of them, scaled to mean 0 and standard deviation 1."""

    mean: Tensor
    std: Tensor
    feature_map: Map | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of rows in float64."""
        rows = x if self.feature_map is None else self.feature_map(x)
        return (rows.double() - self.mean) / self.std

    @property
    def size(self) -> int:
        """The number of features."""
        return len(self.mean)


@loadable
@dataclass(frozen=True)
class Products:
    """The standard columns, and the product of every two of them."""

    columns: Standard

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of rows in float64."""
        z = self.columns(x)
        i, j = torch.triu_indices(z.shape[-1], z.shape[-1], device=z.device)
        return torch.cat([z, z[..., i] * z[..., j]], dim=-1)

    @property
    def size(self) -> int:
        """The number of features."""
        return self.columns.size * (self.columns.size + 3) // 2


@loadable
@dataclass(frozen=True)
class Kernels:
    """A Gaussian kernel around each centre, on the standard columns; preceded by these columns, if they are kept."""

    columns: Standard
    centres: Tensor
    width: float
    keep_columns: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of rows in float64."""
        z = self.columns(x)
        kernels = (squared_distances(z, self.centres) / (-2 * self.width**2)).exp()
        return torch.cat([z, kernels], dim=-1) if self.keep_columns else kernels

    @property
    def size(self) -> int:
        """The number of features."""
        return self.columns.size * self.keep_columns + len(self.centres)

    @classmethod
    def around(cls, columns: Standard, source: Tensor, target: Tensor, generator: Generator | None) -> "Kernels":
        """Return the columns and kernels around rows drawn from both samples, as wide as their median distance."""
        centres = columns(torch.cat([sample_rows(x, MAX_CENTRES // 2, generator) for x in (source, target)]))
        width = math.sqrt(float(squared_distances(centres, centres).median())) or 1.0
        return cls(columns, centres, width, keep_columns=True)


Features = Standard | Products | Kernels


def standardize(source: Tensor, target: Tensor, feature_map: Map | None = None) -> Standard:
    """Return the columns of both samples (of a function of their rows), standardized; a constant is only centred."""

    def blocks(*samples: Tensor) -> Iterator[Tensor]:
        for x in samples:
            for rows in row_blocks(x, source.shape[1]):
                yield rows.double() if feature_map is None else _mapped(feature_map, rows)

    low, high = _column_extremes(blocks(source, target), source)
    if feature_map is not None and not bool(torch.stack([low, high]).isfinite().all()):
        _check_features(feature_map, source, target)
    half_low, half_high = low / 2, high / 2
    middle, half_range = half_low + half_high, half_high - half_low
    varies = half_range > MIN_RELATIVE_RANGE * middle.abs()
    scale = torch.where(varies, half_range, 1)
    n = len(source) + len(target)
    sums, squares = torch.zeros_like(scale), torch.zeros_like(scale)
    for rows in blocks(source, target):
        scaled = (rows - middle) / scale  # in [-1, 1]: the squares neither overflow nor vanish
        sums += scaled.sum(0)
        squares += scaled.square().sum(0)
    sums, squares = shards_of(source).sums(sums, squares)
    mean = sums / n
    std = (squares / n - mean.square()).clamp_min(0).sqrt()
    return Standard(middle + scale * mean, torch.where(varies, scale * std, 1), feature_map)


def _check_features(feature_map: Map, source: Tensor, target: Tensor) -> None:
    """Raise ValueError that names the first feature of both samples that is not finite."""
    if is_sharded(source):  # only an error needs a copy of all rows
        source, target = gathered(source), gathered(target)
    check_values("features", torch.cat([feature_map(x) for x in (source, target)]), "finite", torch.isfinite)


def _mapped(feature_map: Map, rows: Tensor) -> Tensor:
    """Return the caller's features of some rows; raise TypeError or ValueError unless each row has a vector of them."""
    features = feature_map(rows)
    check_floating(features=features)
    if features.dim() != 2 or len(features) != len(rows) or features.shape[1] == 0:
        raise ValueError(
            f"features must return shape ({len(rows)}, p) for {len(rows)} rows, got {tuple(features.shape)}"
        )
    return features.double()


def squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """Return the squared distance of each row to each centre."""
    squared = (-2 * x) @ centres.mT  # the largest tensor: what follows is done in place
    squared.add_(x.square().sum(-1, keepdim=True)).add_(centres.square().sum(-1))
    return squared.sub_(squared.detach().clamp(max=0))  # what rounding made negative is 0; the gradient is kept
