"""The rows that an estimate is made from, and what is drawn from them again and again."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dlcore._checks import check_count, check_floating, check_integer, check_number, check_rank, check_values

__all__ = [
    "Rows",
    "check_logits",
    "check_resampling",
    "normalized_rows",
    "one_hot_of_largest",
    "read",
    "resampled_counts",
    "resampled_means",
]

SLACK = 0.01  # by which the sum of a row, and so an entry, may miss 1
BLOCK = 2**22  # numbers that are drawn at a time, 32 MB


@dataclass(frozen=True)
class Rows:
    """What a classifier says of source and target: a row of probabilities, in float64, for each example."""

    source: Tensor
    labels: Tensor
    target: Tensor
    dtype: torch.dtype

    @property
    def n_classes(self) -> int:
        return self.source.shape[1]

    @property
    def counts(self) -> Tensor:
        """The number of source rows of each class, (k,)."""
        return torch.bincount(self.labels, minlength=self.n_classes)

    @property
    def joint(self) -> Tensor:
        """The mean over the source of what is said, by class: entry (i, j) is of output i and label j."""
        totals = self.source.new_zeros(self.n_classes, self.n_classes).index_add(0, self.labels, self.source)
        return totals.T / len(self.source)

    @property
    def never_predicted(self) -> tuple[int, ...]:
        """The classes that no source row is predicted to be of."""
        predicted = torch.bincount(self.source.argmax(dim=1), minlength=self.n_classes)
        return tuple(int(j) for j in (predicted == 0).nonzero().flatten())

    def hardened(self) -> "Rows":
        """Return the rows with all probability on the largest entry."""
        return Rows(one_hot_of_largest(self.source), self.labels, one_hot_of_largest(self.target), self.dtype)


def read(source_probabilities: Tensor, source_labels: Tensor, target_probabilities: Tensor) -> Rows:
    """Return the rows; raise TypeError or ValueError unless each class is in the source and each row a distribution."""
    check_floating(source_probabilities=source_probabilities, target_probabilities=target_probabilities)
    check_integer(source_labels=source_labels)
    if target_probabilities.dtype != source_probabilities.dtype:
        raise TypeError(
            f"target_probabilities must have the dtype of source_probabilities, {source_probabilities.dtype}, "
            f"got {target_probabilities.dtype}"
        )
    check_logits("source_probabilities", source_probabilities, "source_labels", source_labels)
    k = source_probabilities.shape[1]
    if target_probabilities.dim() != 2 or target_probabilities.shape[1] != k or not len(target_probabilities):
        raise ValueError(
            f"target_probabilities must have shape (m, {k}) with m >= 1, got {tuple(target_probabilities.shape)}"
        )
    return Rows(
        source=normalized_rows("source_probabilities", source_probabilities),
        labels=source_labels.long(),
        target=normalized_rows("target_probabilities", target_probabilities),
        dtype=source_probabilities.dtype,
    )


def check_logits(name: str, logits: Tensor, labels_name: str, labels: Tensor) -> None:
    """Raise ValueError unless there is a row for each label, and a label of each class."""
    if logits.dim() != 2 or logits.shape[1] < 2 or not len(logits):
        raise ValueError(f"{name} must have shape (n, k) with n >= 1 and k >= 2, got {tuple(logits.shape)}")
    n, k = logits.shape
    if labels.shape != (n,):
        raise ValueError(f"{labels_name} must have one entry for each of the {n} rows, got shape {tuple(labels.shape)}")
    check_values(labels_name, labels, f"in [0, {k})", lambda labels: (labels >= 0) & (labels < k))
    counts = torch.bincount(labels.long(), minlength=k)
    check_values(f"the number of each label in {labels_name}", counts, ">= 1", lambda counts: counts >= 1)


def check_resampling(level: float, n_resamples: int) -> None:
    """Raise TypeError or ValueError unless an interval can be taken from the resamples."""
    check_number("level", level, "in (0, 1)", lambda level: 0 < level < 1)
    check_count("n_resamples", n_resamples, 0)


def normalized_rows(name: str, probabilities: Tensor) -> Tensor:
    """Return the rows in float64, each over its sum; raise ValueError unless each is a distribution."""
    check_rank(name, probabilities, 2, "(n, k)")
    check_values(name, probabilities, "in [0, 1]", lambda p: (p >= 0) & (p <= 1 + SLACK))
    wide = probabilities.double()
    sums = wide.sum(dim=1)
    check_values(f"the sum of each row of {name}", sums, "1", lambda sums: (sums - 1).abs() <= SLACK)
    return wide / sums[:, None]


def one_hot_of_largest(probabilities: Tensor) -> Tensor:
    """Return rows of 0 and a 1, at the first of the largest entries."""
    return torch.zeros_like(probabilities).scatter(1, probabilities.argmax(dim=1, keepdim=True), 1)


def resampled_means(rows: Tensor, n_resamples: int, generator: Generator | None) -> Tensor:
    """Return the means of rows, (n, k), each over as many that are drawn from them again: (n_resamples, k)."""
    n, at_a_time = len(rows), max(BLOCK // len(rows), 1)
    means: list[Tensor] = []
    for start in range(0, n_resamples, at_a_time):
        b = min(at_a_time, n_resamples - start)
        drawn = torch.randint(n, (b, n), generator=generator, device=rows.device)
        drawn += n * torch.arange(b, device=rows.device)[:, None]
        counts = torch.bincount(drawn.flatten(), minlength=b * n).reshape(b, n)
        means.append(counts.to(rows.dtype) @ rows / n)
    return torch.cat(means)


def resampled_counts(counts: Tensor, shares: Tensor, n_resamples: int, generator: Generator | None) -> Tensor:
    """Return how often each of k outcomes with given shares, (*, k), comes up in so many draws, (*): B times."""
    left = counts.to(shares.dtype).expand(n_resamples, *shares.shape[:-1]).contiguous()
    rest = torch.ones_like(left)
    drawn: list[Tensor] = []
    for share in shares.unbind(dim=-1):
        chance = torch.where(rest > 0, share / rest, 0).clamp(0, 1)
        drawn.append(torch.binomial(left, chance, generator=generator))
        left, rest = left - drawn[-1], (rest - share).clamp(min=0)
    drawn[-1] = drawn[-1] + left  # what rounding has left over
    return torch.stack(drawn, dim=-1)
