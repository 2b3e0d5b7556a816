"""How well a classifier separates source and target, by the scores of their rows."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dlcore._rows import row_max, sharded_masses
from dlcore._shards import is_sharded, local_rows, shards_of
from dlcore.importance import effective_sample_size

from ._features import row_blocks

__all__ = ["SUPPORTED_LOG_RATIO", "DomainScores", "accuracy_by_chance"]

KS_QUANTILE_99 = math.sqrt(-math.log(0.01) / 2)  # of the one-sided Kolmogorov-Smirnov statistic, Smirnov's limit
SUPPORTED_LOG_RATIO = math.log(2)  # beyond the largest of the source


class DomainScores(NamedTuple):
    """Held-out scores of the domain classifier for all rows."""

    on_source: Tensor
    on_target: Tensor

    @property
    def unsupported(self) -> Tensor:
        """Whether the odds of each target row are more than twice the largest of the source."""
        return self.on_target > float(row_max(self.on_source)) + SUPPORTED_LOG_RATIO

    def separability(self) -> float:
        """Return how often a target row has the larger score of a pair, ties counting half (the area under the ROC)."""
        n, m = len(self.on_source), len(self.on_target)
        if is_sharded(self.on_source):
            at, up_to = self._masses(torch.ones_like(local_rows(self.on_source)))
            return float(shards_of(self.on_source).sum(at[:, 1] @ (up_to[:, 0] - at[:, 0] / 2))) / (n * m)
        ordered = self.on_source.sort().values
        below = sum(
            int((torch.searchsorted(ordered, block) + torch.searchsorted(ordered, block, right=True)).sum())
            for block in row_blocks(self.on_target, 1)
        )
        return below / m / (2 * n)

    def weighted_accuracy(self, weights: Tensor) -> tuple[float, float]:
        """Return the accuracy of the best threshold between the weighted source and the target, and that by chance."""
        # weights that are all 0 count alike
        weights = weights.clamp_min(torch.finfo(weights.dtype).tiny)
        best = self._largest_difference(weights)
        by_chance = accuracy_by_chance(float(effective_sample_size(weights)), len(self.on_target))
        return 0.5 + max(best, 0.0) / 2, by_chance

    def _largest_difference(self, weights: Tensor) -> float:
        """Return the largest difference of the weighted shares of source and target up to a score."""
        if is_sharded(weights):
            shards, (_, up_to) = shards_of(weights), self._masses(local_rows(weights))
            shares = up_to / shards.cat(up_to[-1:]).amax(0)
            return float(shards.max(shares[:, 0] - shares[:, 1]))
        ordered, cumulative = _cumulative_weights(self.on_source, weights)
        ordered_target = self.on_target.sort().values
        largest = -math.inf
        for block in row_blocks(ordered, 1):
            source_below = cumulative[torch.searchsorted(ordered, block, right=True) - 1] / cumulative[-1]
            target_below = torch.searchsorted(ordered_target, block, right=True) / weights.new_tensor(
                len(self.on_target)
            )
            largest = max(largest, float((source_below - target_below).max()))
        return largest

    def _masses(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of the source, and the number of the target's rows, at each score and up to it, (k, 2).

        ``weights`` are those of the rows of this process, and the scores are a range of those of all processes.
        """
        on_source, on_target = map(local_rows, self)
        masses = weights.new_zeros(len(on_source) + len(on_target), 2)
        masses[: len(on_source), 0], masses[len(on_source) :, 1] = weights, 1
        return sharded_masses(torch.cat([on_source, on_target]), masses, self.on_source)


def _cumulative_weights(scores: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores in ascending order, and the sum of the weights up to each."""
    ordered, order = scores.sort()
    return ordered, weights[order].cumsum(0)


def accuracy_by_chance(effective_source_size: float, effective_target_size: float) -> float:
    """Return the accuracy that the best threshold exceeds once in a hundred times if the two samples do not differ."""
    return 0.5 + KS_QUANTILE_99 / 2 * math.sqrt(1 / effective_source_size + 1 / effective_target_size)
