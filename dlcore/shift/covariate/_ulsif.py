"""The density ratio of least squared error, in closed form."""

from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float, Integer
from torch import Generator, Tensor

from dlcore._checks import check_number
from dlcore._rows import rows_at
from dlcore._shards import shards_of
from dlcore._torch import eigh, loadable, solve

from ._classifier import domain_scores
from ._features import (
    MAX_CENTRES,
    MAX_SAMPLE_ROWS,
    Kernels,
    Standard,
    check_samples,
    row_blocks,
    sample_rows,
    squared_distances,
    standardize,
)
from ._groups import Groups, check_groups, sample_indices
from ._ratio import DensityRatio, LogRatio, ratio_with_report

__all__ = ["ulsif"]

WIDTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)  # times the median distance of a target's row from a centre
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FLOOR = 1e-12  # of the mean ratio on the target: the least value, in place of 0, so that it has a logarithm


@loadable
@dataclass(frozen=True)
class KernelSum:
    """The logarithm of a sum of kernels, which is cut off at a floor."""

    kernels: Kernels
    coefficients: Tensor
    floor: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logarithm of the sum at some points, in float64."""
        return (self.kernels(x) @ self.coefficients).clamp_min(self.floor).log()


def ulsif(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    alpha: float = 0.0,
    groups: tuple[Integer[Tensor, "n"], Integer[Tensor, "m"]] | None = None,
    generator: Generator | None = None,
) -> DensityRatio:
    r"""Return the density ratio with the least squared error.

    .. math::

        \min_{\boldsymbol{\theta}}\ \frac12\boldsymbol{\theta}^\top\mathbf{H}\boldsymbol{\theta}
            - \mathbf{h}^\top\boldsymbol{\theta} + \frac{\lambda}{2}\lVert\boldsymbol{\theta}\rVert^2, \qquad
        \mathbf{H} = \frac{1-\alpha}{n}\sum_{i=1}^{n} \boldsymbol{\phi}_i\boldsymbol{\phi}_i^\top
            + \frac{\alpha}{m}\sum_{j=1}^{m} \boldsymbol{\phi}'_j\boldsymbol{\phi}_j'^\top,
        \quad \mathbf{h} = \frac1m\sum_{j=1}^{m} \boldsymbol{\phi}'_j

    where :math:`\boldsymbol{\phi}_i` are, at row :math:`i` of the source, Gaussian kernels around 100 rows of the
    target, and :math:`\boldsymbol{\phi}'_j` the same at row :math:`j` of the target. The ratio is
    :math:`\max(0, \boldsymbol{\theta}^\top\boldsymbol{\phi})`: the ratio is cut off at 0, not its coefficients, which
    would change the solution. With :math:`\alpha > 0` it is the relative ratio
    :math:`p / (\alpha p + (1 - \alpha) q)`, which is at most :math:`1/\alpha`. Like every ratio of this chapter, it is
    divided by its mean on the source if that differs from 1 by more than a tenth. The width and :math:`\lambda`
    minimize the squared error on held-out rows. Their ratios need no second fit: with
    :math:`\mathbf{B} = \mathbf{H} + \lambda\mathbf{I}`,
    :math:`r = \boldsymbol{\phi}^\top\mathbf{B}^{-1}\mathbf{h}` and
    :math:`g = \boldsymbol{\phi}^\top\mathbf{B}^{-1}\boldsymbol{\phi}` at a row, they are

    .. math::

        \frac{r}{1 - \frac{1-\alpha}{n} g} \ \text{(source)}, \qquad
        \frac{r - g/m}{1 - \frac{\alpha}{m} g} \ \text{(target)}

    by the formula of Sherman and Morrison. This choice uses at most 4096 rows of each domain; H and h are sums over all
    rows, in blocks.

    Parameters
    ----------
    source : Tensor, shape (n, d)
        The rows to weight.
    target : Tensor, shape (m, d)
        Rows from the distribution in which the model is used.
    alpha : float, in [0, 1), default 0
        The share of the target in the denominator; 0 for the ratio itself.
    groups : tuple of two Tensor of integers, shape (n,) and (m,), optional
        The group of each row of source and target, for rows that belong together, such as those of one patient. The
        same number in both samples is the same group. Groups are held out as a whole, and the report counts groups.
    generator : torch.Generator, optional
        Draws the centres and the rows of the choice; if given, the global random state does not change.

    Returns
    -------
    DensityRatio
        The weights of the source, the ratio as a function of new points, and a report with its verdict.

    Raises
    ------
    TypeError
        If ``source`` or ``target`` is not a real floating-point tensor, or they differ in dtype.
    TypeError
        If ``alpha`` is not a real number.
    TypeError
        If ``groups`` is not a tuple of two integer tensors.
    ValueError
        If ``source`` or ``target`` is not a matrix with a row and a column, or they differ in their columns.
    ValueError
        If an entry of ``source`` or ``target`` is not finite, or ``alpha`` is not in [0, 1).
    ValueError
        If ``groups`` has not one entry for each row, or all rows are in one group, or if the rows are sharded over
        processes.

    See Also
    --------
    logistic_ratio : More accurate where the log-ratio is linear or quadratic.
    dlcore.importance.flatten_weights : Another way to keep weights small.

    References
    ----------
    .. [1] T. Kanamori, S. Hido and M. Sugiyama, "A least-squares approach to direct importance estimation", *Journal of
       Machine Learning Research* 10, 2009.
    .. [2] M. Yamada, T. Suzuki, T. Kanamori, H. Hachiya and M. Sugiyama, "Relative density-ratio estimation for robust
       distribution comparison", *Neural Computation* 25(5), 2013.

    Examples
    --------
    Half of the source and a quarter of the target are at 0. The penalty pulls the ratios, ½ and 3/2, towards 0:

    >>> source = torch.tensor([[0.0], [1.0]]).repeat_interleave(200, dim=0)
    >>> target = torch.tensor([[0.0], [1.0], [1.0], [1.0]]).repeat_interleave(100, dim=0)
    >>> ratio = ulsif(source, target)(torch.tensor([[0.0], [1.0]]))
    >>> bool((abs(ratio - torch.tensor([0.5, 1.5])) < 0.25).all())
    True
    """
    check_samples(source, target, alpha=alpha, generator=generator)
    check_number("alpha", alpha, "in [0, 1)", lambda alpha: 0 <= alpha < 1)
    grouped = check_groups(groups, source, target)
    with torch.no_grad():
        source_index, target_index = sample_indices(source, target, MAX_SAMPLE_ROWS, generator, grouped)
        source_sample, target_sample = rows_at(source, source_index), rows_at(target, target_index)
        sampled = None if grouped is None else grouped.at(source_index, target_index)
        columns = standardize(source, target)
        centres = columns(sample_rows(target_sample, MAX_CENTRES, generator))
        width, penalty = _choose(columns, centres, source_sample, target_sample, alpha=alpha, groups=sampled)
        phi = Kernels(columns, centres, width)

        gram, h = _moments(phi, source, target, alpha)
        penalized = gram + penalty * torch.eye(len(h), dtype=h.dtype, device=h.device)
        theta = solve(penalized, h)
        return ratio_with_report(
            source,
            target,
            LogRatio(KernelSum(phi, theta, FLOOR * float(h @ theta)), source.shape[1], len(centres)),
            columns=columns,
            scores=[domain_scores(source, target, columns, groups=grouped)],
            features="kernel",
            groups=grouped,
        )


def _moments(phi: Kernels, source: Tensor, target: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return H and h, summed over blocks of rows."""
    gram, h = phi.centres.new_zeros(phi.size, phi.size), phi.centres.new_zeros(phi.size)
    for x, share, h_share in ((source, 1 - alpha, 0.0), (target, alpha, 1.0)):
        for rows in row_blocks(x, phi.size):
            values = phi(rows)
            gram.addmm_(values.mT, values, alpha=share / len(x))
            h.add_(values.sum(0), alpha=h_share / len(x))
    gram, h = shards_of(source).sums(gram, h)
    return gram, h


def held_out_ratios(
    on_source: Tensor, on_target: Tensor, penalties: Tensor, alpha: float, groups: Groups | None = None
) -> tuple[Tensor, Tensor]:
    """Return the ratio at each row of source and of target, as the fit without that row, or its group, predicts it.

    Kernels are (widths, rows, centres); the ratios are (widths, rows, penalties).
    """
    n, m = on_source.shape[-2], on_target.shape[-2]
    gram = (1 - alpha) / n * on_source.mT @ on_source + alpha / m * on_target.mT @ on_target
    values, vectors = eigh(gram)
    inverse = 1 / (values.clamp_min(0)[..., None] + penalties)
    h = vectors.mT @ on_target.mean(-2)[..., None]
    if groups is not None:
        rows = torch.cat([on_source, on_target], dim=-2) @ vectors
        ratios = _without_groups(rows, inverse, h, alpha=alpha, groups=groups)
        return ratios[..., :n, :], ratios[..., n:, :]
    (r_source, g_source), (r_target, g_target) = (
        (z @ (inverse * h), (z * z) @ inverse) for z in (on_source @ vectors, on_target @ vectors)
    )
    return r_source / (1 - (1 - alpha) / n * g_source), (r_target - g_target / m) / (1 - alpha / m * g_target)


def _without_groups(rows: Tensor, inverse: Tensor, h: Tensor, *, alpha: float, groups: Groups) -> Tensor:
    """Return the ratio at each row of both samples, as the fit without its group predicts it, for all penalties."""
    n, m = len(groups.source), len(groups.target)
    share = torch.cat([rows.new_full((n,), (1 - alpha) / n), rows.new_full((m,), alpha / m)])
    in_target = (torch.arange(n + m, device=rows.device) >= n).to(rows.dtype)
    ratios = rows @ (inverse * h)
    for i, j in product(range(len(rows)), range(inverse.shape[-1])):
        slope = share * ratios[i, :, j] - in_target / m
        ratios[i, :, j] += groups.change_without(rows[i] * inverse[i, :, j].sqrt(), share, slope)
    return ratios


def _choose(
    columns: Standard,
    centres: Tensor,
    source: Tensor,
    target: Tensor,
    *,
    alpha: float,
    groups: Groups | None,
) -> tuple[float, float]:
    """Return the width and the penalty with the least squared error on held-out rows."""
    distances = [squared_distances(columns(x), centres) for x in (source, target)]
    widths = centres.new_tensor(WIDTHS) * (float(distances[1].median()) ** 0.5 or 1.0)
    penalties = centres.new_tensor(PENALTIES)
    on_source, on_target = ((distance / (-2 * widths[:, None, None] ** 2)).exp() for distance in distances)
    on_source, on_target = (r.clamp_min(0) for r in held_out_ratios(on_source, on_target, penalties, alpha, groups))
    loss = (1 - alpha) / 2 * on_source.square().mean(1) + alpha / 2 * on_target.square().mean(1) - on_target.mean(1)
    best = int(loss.argmin())
    return float(widths[best // len(penalties)]), float(penalties[best % len(penalties)])
