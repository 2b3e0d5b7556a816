"""The density ratio that brings the weighted source closest to the target."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Generator, Tensor
from torch.nn.functional import pad

from dlcore._checks import check_nonnegative
from dlcore._newton import Derivatives, minimize_convex
from dlcore._rows import row_logsumexp, row_softmax, rows_at
from dlcore._shards import shards_of

from ._classifier import MAX_FEATURES, MIN_GAIN, REMEDY, TOLERANCE, domain_scores
from ._features import (
    CANDIDATES,
    MAX_SAMPLE_ROWS,
    Features,
    Standard,
    check_samples,
    map_rows,
    paired_row_blocks,
    row_blocks,
    standardize,
)
from ._groups import Groups, check_groups, sample_indices
from ._paths import expansion, path_for_added, path_for_columns, path_for_shifted, penalty_path
from ._ratio import DensityRatio, LogLinear, LogRatio, ratio_with_report

__all__ = ["fit", "kliep"]

FINAL_TOLERANCE = 1e-10  # of the log-likelihood, before the last step: means of features then agree to all digits
MAX_LOG_RATIO = 1e9  # with a larger one, the ratio has less than seven digits
ROWS_PER_FEATURE = 5  # of each sample: with fewer, products or kernels are not tried

Pair = tuple[Tensor, Tensor]  # source and target


class HalfFits(NamedTuple):
    """Penalties, the parameters fitted to each half of the samples, and what each fit gives on the other half.

    ``weights`` are those of the source's rows, of mean 1, and ``losses`` those of the target's rows. Both move the mean
    loss: a source row by :math:`w_i / n`.
    """

    penalties: Tensor
    params: list[Tensor]
    weights: Tensor
    losses: Tensor

    def gains_over(self, other: "HalfFits", groups: Groups | None = None) -> bool:
        """Return whether the mean loss is lower by two standard errors, from the rows or groups of both samples."""
        by_target, by_source = other.losses - self.losses, other.weights - self.weights
        if groups is None:
            variance = by_target.var() / len(by_target) + by_source.var() / len(by_source)
        else:
            parts = [(gain - gain.mean()) / len(gain) for gain in (by_source, by_target)]
            variance = groups.totals(torch.cat(parts)).square().sum()
        return float(by_target.mean()) > MIN_GAIN * math.sqrt(float(variance))


def kliep(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    features: Literal["auto", "linear", "quadratic", "kernel"] = "auto",
    penalty: float | None = None,
    groups: tuple[Integer[Tensor, "n"], Integer[Tensor, "m"]] | None = None,
    generator: Generator | None = None,
) -> DensityRatio:
    r"""Return the density ratio under which the target is most likely to be the weighted source.

    .. math::

        \max_{\boldsymbol{\theta}}\ \frac1m \sum_{j=1}^{m} \log w(\mathbf{x}'_j), \qquad
        w(\mathbf{x}) = \frac{e^{\boldsymbol{\theta}^\top\boldsymbol{\phi}(\mathbf{x})}}
            {\frac1n \sum_{i=1}^{n} e^{\boldsymbol{\theta}^\top\boldsymbol{\phi}(\mathbf{x}_i)}}

    where :math:`\mathbf{x}_i` are the rows of the source and :math:`\mathbf{x}'_j` those of the target: the
    Kullback-Leibler divergence of the target from :math:`w` times the source is minimal. The mean weight is 1 by
    construction. The features :math:`\boldsymbol{\phi}` are in the exponent, which is the log-linear form of the
    method: positive sums of kernels, its first form, cannot follow a ratio that grows in one direction. They are the
    standardized columns alone, or with their products, or with Gaussian kernels around 100 rows. The penalties
    :math:`\lambda_l\theta_l^2 / 2m`, first of the columns, then of the others, are those with which each half of both
    samples does best on the other half. Products or kernels are taken if they are better there by two standard errors,
    which include the noise of the source: further target rows alone do not justify them. They are not tried if there
    are more than 300 of them, or if either sample has fewer than five rows for each. This choice uses at most 4096 rows
    of each domain; the parameters are then fitted to all rows, in blocks.

    Without penalty, the weighted source has exactly the target's mean of each feature. With ``features="linear"`` and
    ``penalty=0`` the weights are therefore those of entropy balancing: of all that give the columns these means, they
    are closest to equal weights in the Kullback-Leibler divergence.

    Parameters
    ----------
    source : Tensor, shape (n, d)
        The rows to weight.
    target : Tensor, shape (m, d)
        Rows from the distribution in which the model is used.
    features : {"auto", "linear", "quadratic", "kernel"}, default "auto"
        The features in the exponent.
    penalty : float, in [0, inf), optional
        One penalty for all :math:`\lambda_l`; chosen from 0.1 to 1000 by default. With 0, target means
        outside of the source's rows are an error.
    groups : tuple of two Tensor of integers, shape (n,) and (m,), optional
        The group of each row of source and target, for rows that belong together, such as those of one patient. The
        same number in both samples is the same group. Groups are held out as a whole, and the report counts groups.
    generator : torch.Generator, optional
        Draws the kernels and the rows of the choice; if given, the global random state does not change.

    Returns
    -------
    DensityRatio
        The weights of the source, the ratio as a function of new points, and a report with its verdict.

    Raises
    ------
    TypeError
        If ``source`` or ``target`` is not a real floating-point tensor, or they differ in dtype.
    TypeError
        If ``penalty`` is not a real number.
    TypeError
        If ``groups`` is not a tuple of two integer tensors.
    ValueError
        If ``source`` or ``target`` is not a matrix with a row and a column, or they differ in their columns.
    ValueError
        If an entry of ``source`` or ``target`` is not finite, or ``penalty`` is not in [0, inf).
    ValueError
        If ``features`` is none of these names.
    ValueError
        If ``groups`` has not one entry for each row, or all rows are in one group, or if the rows are sharded over
        processes.

    See Also
    --------
    logistic_ratio : The same form of ratio, fitted by classifying the domains.
    ulsif : The least squared error, in closed form.

    References
    ----------
    .. [1] M. Sugiyama, T. Suzuki, S. Nakajima, H. Kashima, P. von Bünau and M. Kawanabe, "Direct importance estimation
       for covariate shift adaptation", *Annals of the Institute of Statistical Mathematics* 60(4), 2008.
    .. [2] Y. Tsuboi, H. Kashima, S. Hido, S. Bickel and M. Sugiyama, "Direct density ratio estimation for large-scale
       covariate shift adaptation", *Journal of Information Processing* 17, 2009.
    .. [3] J. Hainmueller, "Entropy balancing for causal effects: a multivariate reweighting method to produce balanced
       samples in observational studies", *Political Analysis* 20(1), 2012.

    Examples
    --------
    Half of the source and a quarter of the target are at 0, and the rest of both is at 1:

    >>> source = torch.tensor([[0.0], [1.0]]).repeat_interleave(20, dim=0)
    >>> target = torch.tensor([[0.0], [1.0], [1.0], [1.0]]).repeat_interleave(10, dim=0)
    >>> ratio = kliep(source, target, penalty=1e-9)
    >>> ratio(torch.tensor([[0.0], [1.0]]))
    tensor([0.5000, 1.5000])
    """
    check_samples(source, target, features=features, penalty=penalty, generator=generator)
    if features not in CANDIDATES:
        raise ValueError(f"features must be 'auto', 'linear', 'quadratic' or 'kernel', got {features!r}")
    if penalty is not None:
        check_nonnegative("penalty", penalty)
    grouped = check_groups(groups, source, target)
    with torch.no_grad():
        source_index, target_index = sample_indices(source, target, MAX_SAMPLE_ROWS, generator, grouped)
        source_sample, target_sample = rows_at(source, source_index), rows_at(target, target_index)
        sampled = None if grouped is None else grouped.at(source_index, target_index)
        penalties = penalty_path(sampled) if penalty is None else (penalty,)
        columns = standardize(source, target)
        phi, best, name = _choose(
            source_sample,
            target_sample,
            columns,
            name=features,
            penalties=penalties,
            groups=sampled,
            generator=generator,
        )
        start = columns.mean.new_zeros(phi.size)
        theta = fit(phi(source_sample), phi(target_sample), best, start, tolerance=FINAL_TOLERANCE)
        if len(source_sample) < len(source) or len(target_sample) < len(target):
            theta = fit_all_rows(source, target, phi, best, theta)
        if float((phi(source_sample) @ theta).abs().max()) > MAX_LOG_RATIO:
            raise RuntimeError(f"no minimum found: rounding hides the ratios, which differ too much; {REMEDY}")
        return ratio_with_report(
            source,
            target,
            LogRatio(LogLinear(phi, theta, 0.0), source.shape[1], phi.size),
            columns=columns,
            scores=[domain_scores(source, target, columns, groups=grouped)],
            features=name,
            groups=grouped,
            max_mean_error=0.0,
            confirm_support=True,
        )


def _choose(
    source: Tensor,
    target: Tensor,
    columns: Standard,
    *,
    name: str,
    penalties: Sequence[float],
    groups: Groups | None,
    generator: Generator | None,
) -> tuple[Features, Tensor, str]:
    """Return the features and penalties with which each half of the samples does best on the other, and their name."""
    if name != "auto" and len(penalties) == 1:
        features = expansion(name, columns, source, target, generator)
        return features, columns.mean.new_full((features.size,), penalties[0]), name
    halves, groups_of_halves = _halves(source, target, groups)
    linear = _best_on_path(columns, halves, path_for_columns(columns, penalties))
    if len(penalties) > 1 and (path := path_for_shifted(linear.penalties, source, target, columns, groups)):
        lighter = _best_on_path(columns, halves, path, warm_start=linear)
        linear = lighter if lighter.losses.mean() < linear.losses.mean() else linear
    features, best, chosen = columns, linear, "linear"
    independent = (len(source), len(target)) if groups is None else groups.in_each
    most = min(MAX_FEATURES, *(count / ROWS_PER_FEATURE for count in independent))
    for candidate in CANDIDATES[name]:
        expanded = expansion(candidate, columns, source, target, generator)
        if name == candidate or expanded.size <= most:
            path = path_for_added(linear.penalties, expanded, penalties)
            found = _best_on_path(expanded, halves, path, warm_start=linear)
            if name == candidate or found.gains_over(best, groups_of_halves):
                features, best, chosen = expanded, found, candidate
    return features, best.penalties, chosen


def _halves(source: Tensor, target: Tensor, groups: Groups | None) -> tuple[list[Pair], Groups | None]:
    """Return every second row, or group, of both samples, then the others; and the groups in this order of the rows."""
    if groups is None:
        return [(source[i::2], target[i::2]) for i in range(2)], None
    order = [tuple((half == i).nonzero()[:, 0] for half in groups.halves()) for i in range(2)]
    return [(source[i], target[j]) for i, j in order], groups.at(*map(torch.cat, zip(*order, strict=True)))


def _best_on_path(
    features: Features, halves: list[Pair], path: list[Tensor], warm_start: HalfFits | None = None
) -> HalfFits:
    """Return the penalties of a path, strong ones first, with which each half does best on the other half.

    The path ends where the loss rises. ``warm_start`` has the fits on the first columns, and the loss to fall below.
    """
    values = [(features(source), features(target)) for source, target in halves]
    zeros = path[0].new_zeros(len(path[0]))
    best = HalfFits(path[0], [zeros, zeros], zeros[:1], torch.full_like(zeros[:1], math.inf))
    if warm_start is not None:
        best = warm_start._replace(
            penalties=path[0], params=[pad(x, (0, len(zeros) - len(x))) for x in warm_start.params]
        )
    if not all(len(x) for half in halves for x in half):
        return best
    for penalties in path:
        params = [fit(*half, penalties, start) for half, start in zip(values, best.params, strict=True)]
        held_out = (_held_out(*half, other) for half, other in zip(values, reversed(params), strict=True))
        weights, losses = map(torch.cat, zip(*held_out, strict=True))
        if not losses.mean() < best.losses.mean():
            break
        best = HalfFits(penalties, params, weights, losses)
    return best


def _held_out(source: Tensor, target: Tensor, params: Tensor) -> Pair:
    """Return the weight of each row of the source, and minus the log-ratio of each row of the target."""
    logits = source @ params
    log_mean = logits.logsumexp(0) - math.log(len(source))
    return (logits - log_mean).exp(), log_mean - target @ params


def fit(source: Tensor, target: Tensor, penalties: Tensor, params: Tensor, *, tolerance: float = TOLERANCE) -> Tensor:
    """Return the parameters that maximize the penalized likelihood, by Newton's method."""
    m, mean = len(target), target.mean(0)

    def objective(params: Tensor) -> tuple[Tensor, Derivatives]:
        logits = source @ params

        def derivatives() -> tuple[Tensor, Tensor]:
            share = logits.softmax(0)
            mean_weighted = share @ source
            centred = source - mean_weighted
            gradient = m * (mean_weighted - mean) + penalties * params
            return gradient, m * centred.mT @ (share[:, None] * centred) + torch.diag(penalties)

        return m * (logits.logsumexp(0) - mean @ params) + penalties @ (params * params) / 2, derivatives

    return minimize_convex(objective, params, tolerance=tolerance, remedy=REMEDY).params


def fit_all_rows(source: Tensor, target: Tensor, features: Features, penalties: Tensor, params: Tensor) -> Tensor:
    """Return the parameters fitted to all rows, whose features are computed in blocks, from those of a sample."""
    m, shards = len(target), shards_of(source)
    total = sum((features(rows).sum(0) for rows in row_blocks(target, features.size)), torch.zeros_like(params))
    mean = shards.sum(total) / m

    def objective(params: Tensor) -> tuple[Tensor, Derivatives]:
        logits = map_rows(lambda rows: (features(rows) - mean) @ params, source, features.size)

        def derivatives() -> tuple[Tensor, Tensor]:
            gap, squares = torch.zeros_like(params), torch.zeros(len(params), len(params)).to(params)
            for rows, part in paired_row_blocks(source, features.size, row_softmax(logits)):
                z = features(rows) - mean
                gap += part @ z
                squares.addmm_(z.mT, part[:, None] * z)
            gap, squares = shards.sums(gap, squares)
            return m * gap + penalties * params, m * (squares - torch.outer(gap, gap)) + torch.diag(penalties)

        return m * row_logsumexp(logits) + penalties @ (params * params) / 2, derivatives

    return minimize_convex(objective, params, tolerance=FINAL_TOLERANCE, remedy=REMEDY).params
