"""The density ratio that brings the weighted source closest to the target."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import pad

from dlcore._checks import check_number
from dlcore._newton import Derivatives, minimize_convex

from ._choice import MOST_FEATURES, PENALTIES, is_better, told_apart
from ._classifier import REMEDY
from ._features import Features, Kernels, Products, standardize
from ._ratio import FEW, DensityRatio, LogLinear, LogRatio, ratio_on
from ._samples import check_samples, draw_rows

__all__ = ["fit", "kliep"]

SAMPLE = 2**12  # rows of each domain, at most, that are fitted
TOLERANCE = 1e-4  # of the log-likelihood; the step after the last would gain about its square

Pair = tuple[Tensor, Tensor]  # source and target


class Halves(NamedTuple):
    """Penalties, the parameters that each half of the samples has with them, and the losses of each on the other."""

    penalties: Tensor
    params: list[Tensor]
    losses: Tensor


def kliep(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    penalty: float | None = None,
    generator: Generator | None = None,
) -> DensityRatio:
    r"""Return the density ratio under which the target is most likely to be the weighted source.

    .. math::

        \max_{\boldsymbol{\theta}}\ \frac1m \sum_{j=1}^{m} \log w(\mathbf{x}'_j), \qquad
        w(\mathbf{x}) = \frac{e^{\boldsymbol{\theta}^\top\boldsymbol{\phi}(\mathbf{x})}}
            {\frac1n \sum_{i=1}^{n} e^{\boldsymbol{\theta}^\top\boldsymbol{\phi}(\mathbf{x}_i)}}

    where :math:`\mathbf{x}_i` are the rows of the source and :math:`\mathbf{x}'_j` those of the target: the
    Kullback-Leibler divergence of the target from :math:`w` times the source is least. The mean weight is 1 by
    construction. The features :math:`\boldsymbol{\phi}` are in the exponent, which is the log-linear form of the
    method: positive sums of kernels, its first form, cannot follow a ratio that grows in one direction. They are the
    standardized columns alone, or their products as well, or Gaussian kernels around 100 rows as well. The penalties
    :math:`\lambda_l\theta_l^2 / 2m`, first of the columns, then of the others, are those with which each half of both
    samples does best on the other half, and more features are taken if they do better there by two standard errors.
    What makes more than 300 features is not tried, nor anything but the columns on fewer than ten rows.
    4096 rows of each domain, at most, are fitted.

    Parameters
    ----------
    source : Tensor, shape (n, d)
        The rows to be weighted.
    target : Tensor, shape (m, d)
        Rows from the distribution that counts.
    penalty : float, in (0, inf), optional
        One penalty for all :math:`\lambda_l`; chosen from 0.1 to 1000 by default.
    generator : torch.Generator, optional
        What the kernels, and the rows if there are more, are drawn from; then the global random state is left alone.

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
    ValueError
        If ``source`` or ``target`` is not a matrix with a row and a column, or they differ in their columns.
    ValueError
        If an entry of ``source`` or ``target`` is not finite, or ``penalty`` is not in (0, inf).

    See Also
    --------
    logistic_ratio : The same form of ratio, fitted by telling the domains apart.
    ulsif : The least squared error, in closed form.

    References
    ----------
    .. [1] M. Sugiyama, T. Suzuki, S. Nakajima, H. Kashima, P. von Bünau and M. Kawanabe, "Direct importance estimation
       for covariate shift adaptation", *Annals of the Institute of Statistical Mathematics* 60(4), 2008.
    .. [2] Y. Tsuboi, H. Kashima, S. Hido, S. Bickel and M. Sugiyama, "Direct density ratio estimation for large-scale
       covariate shift adaptation", *Journal of Information Processing* 17, 2009.

    Examples
    --------
    Of the source one half is at 0, of the target a quarter; at 1 it is one half against three quarters:

    >>> source = torch.tensor([[0.0], [1.0]]).repeat_interleave(20, dim=0)
    >>> target = torch.tensor([[0.0], [1.0], [1.0], [1.0]]).repeat_interleave(10, dim=0)
    >>> ratio = kliep(source, target, penalty=1e-9)
    >>> ratio(torch.tensor([[0.0], [1.0]]))
    tensor([0.5000, 1.5000])
    """
    check_samples(source, target)
    if penalty is not None:
        check_number("penalty", penalty, "> 0 and finite", lambda penalty: 0 < penalty < math.inf)
    with torch.no_grad():
        grid = PENALTIES if penalty is None else (penalty,)
        some, others = (draw_rows(x, SAMPLE, generator) for x in (source, target))
        columns = standardize(source, target)
        halves = [(some[i::2], others[i::2]) for i in range(2)]
        linear = best = _best(columns, halves, [torch.full_like(columns.mean, value) for value in grid])
        features, name = columns, "linear"
        kernels = Kernels.around(columns, some, others, generator)
        for kind, expanded in (("quadratic", Products(columns)), ("kernel", kernels)):
            if expanded.size <= MOST_FEATURES and min(len(some), len(others)) >= FEW:
                added = expanded.size - columns.size
                paths = [torch.cat([linear.penalties, linear.penalties.new_full((added,), value)]) for value in grid]
                found = _best(expanded, halves, paths, within=linear)
                if is_better(found.losses, best.losses):
                    features, name, best = expanded, kind, found
        rows, new = features(some), features(others)
        params = fit(rows, new, best.penalties, torch.zeros_like(rows[0]))

        model = LogRatio(LogLinear(features, params, 0.0), source.shape[1], features.size)
        apart = [told_apart(source, target, columns)]
        return ratio_on(source, model, n_target=len(target), apart=apart, features=name, tolerated=0.0)


def _best(features: Features, halves: list[Pair], paths: list[Tensor], within: Halves | None = None) -> Halves:
    """Return the penalties of a path, strong ones first, with which each half does best on the other.

    The path ends where the loss rises. It begins at fits on the first columns, if they are given, and at their loss.
    """
    values = [(features(source), features(target)) for source, target in halves]
    empty = paths[0].new_zeros(len(paths[0]))
    best = Halves(paths[0], [empty, empty], torch.full_like(empty[:1], math.inf))
    if within is not None:
        best = Halves(paths[0], [pad(x, (0, len(empty) - len(x))) for x in within.params], within.losses)
    if not all(len(x) for half in halves for x in half):
        return best
    for penalties in paths:
        params = [fit(*half, penalties, start) for half, start in zip(values, best.params, strict=True)]
        losses = torch.cat([_losses(*half, other) for half, other in zip(values, reversed(params), strict=True)])
        if not losses.mean() < best.losses.mean():
            break
        best = Halves(penalties, params, losses)
    return best


def _losses(source: Tensor, target: Tensor, params: Tensor) -> Tensor:
    """Return minus the log-ratio of each row of the target."""
    return (source @ params).logsumexp(0) - math.log(len(source)) - target @ params


def fit(source: Tensor, target: Tensor, penalties: Tensor, params: Tensor) -> Tensor:
    """Return the parameters by Newton's method."""
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

    return minimize_convex(objective, params, tolerance=TOLERANCE, remedy=REMEDY).params
