"""What a log-ratio is linear in: the columns themselves, their products, or kernels beside them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ._samples import draw_rows, moments

__all__ = ["CENTRES", "Features", "Kernels", "Products", "Standard", "squared_distances", "standardize"]

CENTRES = 100


@dataclass(frozen=True)
class Standard:
    """The columns (of a function of the rows), each of mean 0 and standard deviation 1 over both samples."""

    mean: Tensor
    std: Tensor
    of_rows: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of some rows in float64."""
        rows = x if self.of_rows is None else self.of_rows(x)
        return (rows.double() - self.mean) / self.std

    @property
    def size(self) -> int:
        """The number of features."""
        return len(self.mean)


@dataclass(frozen=True)
class Products:
    """The standard columns, and the product of every two of them."""

    columns: Standard

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of some rows in float64."""
        z = self.columns(x)
        i, j = torch.triu_indices(z.shape[-1], z.shape[-1], device=z.device)
        return torch.cat([z, z[..., i] * z[..., j]], dim=-1)

    @property
    def size(self) -> int:
        """The number of features."""
        return self.columns.size * (self.columns.size + 3) // 2


@dataclass(frozen=True)
class Kernels:
    """A Gaussian kernel around each centre, on the standard columns; with these columns before them, if asked."""

    columns: Standard
    centres: Tensor
    width: float
    beside: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of some rows in float64."""
        z = self.columns(x)
        kernels = (squared_distances(z, self.centres) / (-2 * self.width**2)).exp()
        return torch.cat([z, kernels], dim=-1) if self.beside else kernels

    @property
    def size(self) -> int:
        """The number of features."""
        return self.columns.size * self.beside + len(self.centres)

    @classmethod
    def around(cls, columns: Standard, source: Tensor, target: Tensor, generator: Generator | None) -> "Kernels":
        """Draw the centres from both samples, take the median of their distances as the width, keep the columns."""
        drawn = [draw_rows(x, CENTRES // 2, generator) for x in (source, target)]
        centres = columns(torch.cat(drawn))
        return cls(columns, centres, math.sqrt(float(squared_distances(centres, centres).median())) or 1.0, beside=True)


Features = Standard | Products | Kernels


def standardize(source: Tensor, target: Tensor, of_rows: Callable[[Tensor], Tensor] | None = None) -> Standard:
    """Return the columns of both samples, standardized."""
    return Standard(*moments(source, target, of_rows), of_rows)


def squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """Return the squared distance of each row to each centre."""
    products = x @ centres.mT
    lengths = x.square().sum(-1, keepdim=True) + centres.square().sum(-1)
    return (lengths - 2 * products).clamp_min(0)
