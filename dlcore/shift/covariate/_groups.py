"""Groups: rows that belong together, such as the visits of one patient, and are therefore held out together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dlcore._checks import check_integer
from dlcore._shards import check_not_sharded
from dlcore._torch import solve, unique, unique_with_counts

from ._features import random_row_indices

__all__ = ["Groups", "check_groups", "effective_groups", "group_means", "sample_indices", "standard_error"]

SMALLEST_PIVOT = 1e-12  # added to the diagonal: without a group that holds almost all rows, little is determined


@dataclass(frozen=True)
class Groups:
    """The groups of the rows of source and target, numbered from 0; the same number in both is the same group."""

    source: Tensor
    target: Tensor
    count: int

    @classmethod
    def numbered(cls, source: Tensor, target: Tensor) -> "Groups":
        """Return the groups with these labels."""
        labels, group_of_row, _ = unique_with_counts(torch.cat([source, target]))
        return cls(group_of_row[: len(source)], group_of_row[len(source) :], len(labels))

    @property
    def of_rows(self) -> Tensor:
        """The group of each row of the source, followed by the target's."""
        return torch.cat([self.source, self.target])

    @property
    def in_each(self) -> tuple[int, int]:
        """The numbers of groups in the source and in the target."""
        return len(unique(self.source)), len(unique(self.target))

    @property
    def rows_per_group(self) -> float:
        """The mean number of rows of a group."""
        return (len(self.source) + len(self.target)) / self.count

    def at(self, source_index: Tensor, target_index: Tensor) -> "Groups":
        """Return the groups of some rows."""
        return Groups.numbered(self.source[source_index], self.target[target_index])

    def sample(self, max_rows: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Return the indices of rows of whole groups, which are drawn in the same order for source and target."""
        device = None if generator is None else generator.device
        rank = torch.randperm(self.count, generator=generator, device=device).to(self.source.device)
        return _of_lowest_rank(rank[self.source], max_rows), _of_lowest_rank(rank[self.target], max_rows)

    def halves(self) -> tuple[Tensor, Tensor]:
        """Return which half each row of source and target is in: every second group of each."""
        in_source = torch.zeros(self.count, dtype=torch.bool, device=self.source.device)
        in_source[self.source] = True
        half = torch.where(in_source, in_source.cumsum(0) - 1, (~in_source).cumsum(0) - 1) % 2
        return half[self.source], half[self.target]

    def totals(self, values: Tensor) -> Tensor:
        """Return the sum of each group over the rows of the source, followed by the target's."""
        return values.new_zeros(self.count, *values.shape[1:]).index_add(0, self.of_rows, values)

    def rows_by_size(self) -> Iterator[Tensor]:
        """Return the rows of all groups of one size, a row of the matrix for each group, for each size."""
        of_rows = self.of_rows
        order, counts = of_rows.argsort(stable=True), torch.bincount(of_rows, minlength=self.count)
        starts = counts.cumsum(0) - counts
        for size in unique(counts[counts > 0]):
            yield order[starts[counts == size][:, None] + torch.arange(int(size), device=order.device)]

    def change_without(self, rows: Tensor, curvature: Tensor, slope: Tensor) -> Tensor:
        r"""Return by how much the prediction for each row changes if its group is left out.

        The minimum of a quadratic function with the Hessian :math:`\mathbf{H}` moves if the rows
        :math:`\mathbf{X}_g`, with the curvatures :math:`\mathbf{D}` and the slopes :math:`\mathbf{s}` of their losses,
        are taken out of it. With :math:`\mathbf{G} = \mathbf{X}_g\mathbf{H}^{-1}\mathbf{X}_g^\top`, their predictions
        change by :math:`(\mathbf{I} - \mathbf{G}\mathbf{D})^{-1}\mathbf{G}\mathbf{s}`. ``rows`` are
        :math:`\mathbf{X}\mathbf{L}^{-\top}` for :math:`\mathbf{H} = \mathbf{L}\mathbf{L}^\top`. The equations have the
        size of the group or, if that is smaller, the number of the parameters.
        """
        change = torch.zeros_like(slope)
        for index in self.rows_by_size():
            u, d, s = rows[index], curvature[index][..., None], slope[index][..., None]
            if index.shape[1] <= rows.shape[1]:
                gram = u @ u.mT
                moved = solve(_one_minus(gram * d.mT), gram @ s)
            else:
                moved = u @ solve(_one_minus(u.mT @ (d * u)), u.mT @ s)
            change[index] = moved[..., 0]
        return change


def check_groups(groups: tuple[Tensor, Tensor] | None, source: Tensor, target: Tensor) -> Groups | None:
    """Return the groups; raise TypeError or ValueError unless both samples have an integer for each of plain rows."""
    if groups is None:
        return None
    if not isinstance(groups, tuple) or len(groups) != 2:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"groups must be a tuple of two tensors, of source and target, got {type(groups).__name__}")
    of_source, of_target = groups
    check_not_sharded(
        "groups are held out as a whole, in one process",
        "pass x.full_tensor() of the rows and of their groups, or no groups",
        **{"source": source, "target": target, "groups[0]": of_source, "groups[1]": of_target},
    )
    for place, (of_rows, x) in enumerate(zip(groups, (source, target), strict=True)):
        check_integer(**{f"groups[{place}]": of_rows})
        if of_rows.shape != (len(x),):
            raise ValueError(
                f"groups[{place}] must have one entry for each of the {len(x)} rows, got shape {tuple(of_rows.shape)}"
            )
    found = Groups.numbered(*groups)
    if found.count == 1:
        raise ValueError("groups must be at least 2, so that each can be held out, got 1")
    return found


def sample_indices(
    source: Tensor, target: Tensor, max_rows: int, generator: Generator | None, groups: Groups | None
) -> tuple[Tensor, Tensor]:
    """Return the indices of rows of each sample, drawn without replacement: of whole groups, if there are any."""
    if groups is not None:
        return groups.sample(max_rows, generator)
    return random_row_indices(source, max_rows, generator), random_row_indices(target, max_rows, generator)


def standard_error(values: Tensor, groups: Groups | None) -> float:
    """Return the standard error of the mean of a value for each row; rows of a group need not be independent."""
    if groups is None:
        return float(values.std()) / math.sqrt(len(values))
    return float(groups.totals(values - values.mean()).square().sum().sqrt()) / len(values)


def group_means(weights: Tensor, of_rows: Tensor) -> Tensor:
    """Return a weight for each group, proportional to the sum over its rows, with the mean that the weights have."""
    _, group, counts = unique_with_counts(of_rows)
    return weights.new_zeros(len(counts)).index_add(0, group, weights) * (len(counts) / len(weights))


def effective_groups(of_rows: Tensor) -> float:
    """Return the number of groups of equal size whose mean has the same variance."""
    counts = unique_with_counts(of_rows)[2].double()
    return float(counts.sum().square() / counts.square().sum())


def _of_lowest_rank(rank: Tensor, max_rows: int) -> Tensor:
    """Return the indices of the rows of the groups of lowest rank; of the first group alone, if it is too large."""
    if len(rank) <= max_rows:
        return torch.arange(len(rank), device=rank.device)
    ordered = rank.sort().values
    return (rank < ordered[max_rows].clamp_min(ordered[0] + 1)).nonzero()[:max_rows, 0]


def _one_minus(matrices: Tensor) -> Tensor:
    return (1 + SMALLEST_PIVOT) * torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device) - matrices
