"""Balance: how far is each column of the weighted source from the target's?"""

from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import NormalDist

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from dlcore._shards import local_rows, shards_of
from dlcore._torch import loadable

from ._features import Standard, mean_features
from ._groups import Groups

__all__ = ["Balance", "balance_of"]

LEVEL = 0.01  # of the largest of all columns, two-sided
MAX_DIFFERENCE = 0.1  # standard deviations
MAX_PRINTED_COLUMNS = 10
ROUNDING = 1e-8  # of standardized columns


@loadable
@dataclass(frozen=True, eq=False)
class Balance:
    r"""The mean of each column in the weighted source and in the target, the largest difference first.

    .. math::

        d_j = \frac{\bar x_{wj} - \bar x'_j}{\sqrt{(s_j^2 + s_j'^2)/2}}, \qquad
        z_j = \frac{\bar x_{wj} - \bar x'_j}
            {\sqrt{\sum_i w_i^2 (x_{ij} - \bar x_{wj})^2 / (\sum_i w_i)^2 + s_j'^2/m}}

    where :math:`\bar x_{wj}` is the weighted mean of the source, :math:`\bar x'_j` the mean of the target's m rows, and
    :math:`s_j`, :math:`s'_j` are the standard deviations without weights. The noise in :math:`z_j` is that of both
    samples for given weights; weights that are fitted to the same rows leave smaller differences. If rows are grouped,
    each square is that of the sum over a group.

    Parameters
    ----------
    columns : Tensor of int64, shape (d,)
        The indices of the columns, in descending order of the absolute ``difference``.
    source_mean, target_mean : Tensor, shape (d,)
        The means, in the units of the column.
    difference : Tensor, shape (d,)
        The standardized difference :math:`d_j`; 0 for a column that is constant in both samples.
    z : Tensor, shape (d,)
        The difference in standard errors.

    See Also
    --------
    RatioReport : Contains it, and objects to a difference above 0.1 that chance does not explain.

    References
    ----------
    .. [1] P. C. Austin, "Balance diagnostics for comparing the distribution of baseline covariates between treatment
       groups in propensity-score matched samples", *Statistics in Medicine* 28(25), 2009.

    Examples
    --------
    >>> import dlcore
    >>> source, target = torch.tensor([[0.0], [0.0], [1.0], [1.0]]), torch.tensor([[0.0], [1.0], [1.0], [1.0]])
    >>> ratio = dlcore.shift.covariate.logistic_ratio(source, target, features="linear", penalty=1e-9)
    >>> print(ratio.report.balance)
    column  weighted source     target  difference       z
         0             0.75       0.75        0.00     0.0
    """

    columns: Integer[Tensor, "d"]
    source_mean: Float[Tensor, "d"]
    target_mean: Float[Tensor, "d"]
    difference: Float[Tensor, "d"]
    z: Float[Tensor, "d"]

    @property
    def largest_z_by_chance(self) -> float:
        """The bound that the largest of all absolute z exceeds at most once in a hundred times by chance."""
        n_varying = max(int((self.z != 0).sum()), 1)  # the z of a constant column is 0
        return NormalDist().inv_cdf(1 - LEVEL / (2 * n_varying))

    @property
    def imbalanced(self) -> Tensor:
        """Whether each column differs by more than 0.1 standard deviations and by more than chance, shape (d,)."""
        return (self.difference.abs() > MAX_DIFFERENCE) & (self.z.abs() > self.largest_z_by_chance)

    @property
    def objection(self) -> str:
        """The largest difference that is imbalanced, in words; empty if there is none."""
        if not bool(self.imbalanced.any()):
            return ""
        worst = int(self.imbalanced.int().argmax())  # the first: the columns are in falling order
        column, difference = int(self.columns[worst]), abs(float(self.difference[worst]))
        return f"column {column} of the weighted source is {difference:.2g} standard deviations from the target's mean"

    def __str__(self) -> str:
        """Return the table; of more than ten columns, the first ten."""
        rows = zip(self.columns, self.source_mean, self.target_mean, self.difference, self.z, strict=True)
        lines = [
            f"{int(j):6d}  {float(source):15.4g}  {float(target):9.4g}  {float(d):10.2f}  {float(z):6.1f}"
            for j, source, target, d, z in islice(rows, MAX_PRINTED_COLUMNS)
        ]
        more = len(self.columns) - len(lines)
        head = "column  weighted source     target  difference       z"
        return "\n".join([head, *lines, *([f"and {more} more columns with smaller differences"] if more else [])])


def balance_of(
    source: Tensor, target: Tensor, weights: Tensor, columns: Standard, groups: Groups | None = None
) -> Balance:
    """Return the balance of all rows; means and variances are those of the standardized columns."""
    weights = local_rows(weights).clamp_min(torch.finfo(weights.dtype).tiny)  # weights that are all 0 count alike
    share = weights / shards_of(source).sum(weights.sum())
    equal, equal_in_target = (weights.new_tensor(1 / len(x)).expand(len(local_rows(x))) for x in (source, target))
    mean_of = partial(mean_features, columns, size=columns.size)
    source_variance = mean_of(source, equal, about=mean_of(source, equal))
    target_mean, mean = mean_of(target, equal_in_target), mean_of(source, share)
    target_variance = mean_of(target, equal_in_target, about=target_mean)
    if groups is None:
        noise = mean_of(source, share.square(), about=mean) + target_variance / len(target)
    else:
        parts = [share[:, None] * (columns(source) - mean), (columns(target) - target_mean) / len(target)]
        noise = groups.totals(torch.cat(parts)).square().sum(0)
    gap = torch.where((mean - target_mean).abs() > ROUNDING, mean - target_mean, 0)
    difference = torch.where(gap == 0, 0, gap / ((source_variance + target_variance) / 2).sqrt())
    order = difference.abs().argsort(descending=True, stable=True)
    return Balance(
        columns=order,
        source_mean=(columns.mean + columns.std * mean)[order],
        target_mean=(columns.mean + columns.std * target_mean)[order],
        difference=difference[order],
        z=torch.where(gap == 0, 0, gap / noise.sqrt())[order],
    )
