"""The outputs of a classifier that an estimate is made from, and their bootstrap resamples."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Generator, Tensor

from dlcore._checks import as_int64, check_count, check_floating, check_integer, check_number, check_rank, check_values
from dlcore._shards import OneProcess, Shards, as_rows_of, check_rows, local_rows, shards_of
from dlcore._torch import split

__all__ = [
    "ClassifierOutputs",
    "check_logits",
    "check_resampling",
    "classifier_outputs",
    "normalized_rows",
    "one_hot_of_largest",
    "resampled_counts",
    "resampled_means",
]

SUM_TOLERANCE = 0.01  # probability by which the sum of a row may miss 1
MAX_INDICES_AT_A_TIME = 2**22  # row indices drawn at a time: 32 MB


@dataclass(frozen=True)
class ClassifierOutputs:
    """The probabilities of n source and m target rows in float64, and the labels of the source rows.

    Of sharded rows, the tensors have those of this process, and all counts and means are those of all processes.
    """

    source: Tensor
    labels: Tensor
    target: Tensor
    dtype: torch.dtype
    n: int
    m: int
    shards: OneProcess | Shards

    @property
    def n_classes(self) -> int:
        return self.source.shape[1]

    @cached_property
    def counts(self) -> Tensor:
        """The number of source rows of each class, (k,)."""
        return self.shards.sum(torch.bincount(self.labels, minlength=self.n_classes))

    @cached_property
    def source_prior(self) -> Tensor:
        """The shares of the source labels, (k,)."""
        return self.counts / self.source.new_tensor(self.n)

    def sums(self, rows: Tensor) -> Tensor:
        """Return the sum of rows, (n, c), or of numbers, (n,), over the source rows of each class: (k, c) or (k,)."""
        totals = rows.new_zeros(self.n_classes, *rows.shape[1:])
        return self.shards.sum(totals.index_add(0, self.labels, rows))

    def source_mean(self, rows: Tensor) -> Tensor:
        """Return the mean of what belongs to the source rows."""
        return self.shards.sum(rows.sum(dim=0)) / self.n

    def target_mean(self, rows: Tensor) -> Tensor:
        """Return the mean of what belongs to the target rows."""
        return self.shards.sum(rows.sum(dim=0)) / self.m

    @cached_property
    def mean_output(self) -> Tensor:
        """The mean output in the target, (k,)."""
        return self.target_mean(self.target)

    @cached_property
    def joint(self) -> Tensor:
        """The joint confusion matrix, (k, k): entry (i, j) is the mean of output i times the indicator of label j."""
        return self.sums(self.source).T / self.n

    @cached_property
    def conditional(self) -> Tensor:
        """The conditional confusion matrix, (k, k): entry (i, j) is the mean of output i over the rows of label j."""
        return self.joint / self.source_prior

    @property
    def never_predicted(self) -> tuple[int, ...]:
        """The classes that no source row is predicted to be of."""
        predicted = self.shards.sum(torch.bincount(self.source.argmax(dim=1), minlength=self.n_classes))
        return tuple(int(j) for j in (predicted == 0).nonzero().flatten())

    def hardened(self) -> "ClassifierOutputs":
        """Return one-hot predictions in place of the probabilities."""
        return replace(self, source=one_hot_of_largest(self.source), target=one_hot_of_largest(self.target))


def classifier_outputs(
    source_probabilities: Tensor,
    source_labels: Tensor,
    target_probabilities: Tensor,
    *,
    n_resamples: int,
    generator: Generator | None,
    **options: object,
) -> ClassifierOutputs:
    """Return the outputs, detached; raise unless each class has a source row and each row is a distribution.

    If the rows are sharded, the options must be the same on all processes, as must what the generator draws.
    """
    check_rows(
        source_probabilities=source_probabilities,
        source_labels=source_labels,
        target_probabilities=target_probabilities,
        n_resamples=n_resamples,
        **options,
        **({"generator": generator} if n_resamples else {}),
    )
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
    return ClassifierOutputs(
        source=local_rows(normalized_rows("source_probabilities", source_probabilities.detach())),
        labels=local_rows(source_labels).long(),
        target=local_rows(normalized_rows("target_probabilities", target_probabilities.detach())),
        dtype=source_probabilities.dtype,
        n=len(source_probabilities),
        m=len(target_probabilities),
        shards=shards_of(source_probabilities),
    )


def check_logits(name: str, logits: Tensor, labels_name: str, labels: Tensor) -> None:
    """Raise ValueError unless there is a row for each label, and a label of each class."""
    if logits.dim() != 2 or logits.shape[1] < 2 or not len(logits):
        raise ValueError(f"{name} must have shape (n, k) with n >= 1 and k >= 2, got {tuple(logits.shape)}")
    n, k = logits.shape
    if labels.shape != (n,):
        raise ValueError(f"{labels_name} must have one entry for each of the {n} rows, got shape {tuple(labels.shape)}")
    labels = as_int64(labels_name, labels)
    check_values(labels_name, labels, f"in [0, {k})", lambda labels: (labels >= 0) & (labels < k))
    counts = shards_of(labels).sum(torch.bincount(local_rows(labels), minlength=k))
    check_values(f"the number of each label in {labels_name}", counts, ">= 1", lambda counts: counts >= 1)


def check_resampling(level: float, n_resamples: int) -> None:
    """Raise TypeError or ValueError unless an interval can be taken from the resamples."""
    check_number("level", level, "in (0, 1)", lambda level: 0 < level < 1)
    check_count("n_resamples", n_resamples, 0)


def normalized_rows(name: str, probabilities: Tensor) -> Tensor:
    """Return the rows in float64, each divided by its sum; raise ValueError unless each is a distribution."""
    check_rank(name, probabilities, 2, "(n, k)")
    check_values(name, probabilities, "in [0, 1]", lambda p: (p >= 0) & (p <= 1 + SUM_TOLERANCE))
    wide = local_rows(probabilities).double()
    sums = wide.sum(dim=1)
    check_values(
        f"the sum of each row of {name}",
        as_rows_of(probabilities, sums),
        "1",
        lambda sums: (sums - 1).abs() <= SUM_TOLERANCE,
    )
    return as_rows_of(probabilities, wide / sums[:, None])


def one_hot_of_largest(probabilities: Tensor) -> Tensor:
    """Return one-hot rows with the 1 at the first of the largest entries."""
    return torch.zeros_like(probabilities).scatter(1, probabilities.argmax(dim=1, keepdim=True), 1)


def resampled_means(rows: Tensor, n_resamples: int, generator: Generator | None, shards: OneProcess | Shards) -> Tensor:
    """Return the mean of each bootstrap resample of rows, (n, k): shape (n_resamples, k).

    Each process draws all rows, as one process would, and adds up its own.
    """
    held = shards.cat(torch.tensor([len(rows)], device=rows.device))
    n, first = int(held.sum()), int(held[: shards.process].sum())
    resamples_at_a_time = max(MAX_INDICES_AT_A_TIME // n, 1)
    means = rows.new_empty(n_resamples, rows.shape[1])
    for block in split(means, resamples_at_a_time):
        b = len(block)
        indices = torch.randint(n, (b, n), generator=generator, device=rows.device)
        indices += n * torch.arange(b, device=rows.device)[:, None]  # one bincount for all resamples of the block
        counts = torch.bincount(indices.flatten(), minlength=b * n).reshape(b, n)
        block.copy_(counts[:, first : first + len(rows)].to(rows.dtype) @ rows / n)
    return shards.sum(means)


def resampled_counts(n: Tensor, shares: Tensor, n_resamples: int, generator: Generator | None) -> Tensor:
    """Draw from multinomial distributions of n trials, (*), and shares, (*, k): shape (n_resamples, *, k).

    A multinomial count is a chain of binomial ones: outcome j takes its share of the trials that are left.
    """
    trials_left = n.to(shares.dtype).expand(n_resamples, *shares.shape[:-1]).contiguous()
    share_left = torch.ones_like(trials_left)
    counts: list[Tensor] = []
    for share in shares.unbind(dim=-1):
        chance = torch.where(share_left > 0, share / share_left, 0).clamp(0, 1)
        counts.append(torch.binomial(trials_left, chance, generator=generator))
        trials_left, share_left = trials_left - counts[-1], (share_left - share).clamp(min=0)
    counts[-1] = counts[-1] + trials_left  # trials that the rounding of the shares has left
    return torch.stack(counts, dim=-1)
