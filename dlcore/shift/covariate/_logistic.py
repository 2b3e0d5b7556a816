"""The density ratio that a classifier of the domains has learned."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_number

from ._classifier import Classifier, best_of, fit_to_all
from ._features import Features, Kernels, Products, standardize
from ._ratio import DensityRatio, LogRatio, ratio_on
from ._samples import area_under_curve, check_samples, draw_rows

__all__ = ["logistic_ratio"]

SAMPLE = 2**12  # rows of each domain, at most, that features and penalty are chosen on
PENALTIES = (1e3, 1e2, 1e1, 1.0, 0.1)
MOST_FEATURES = 300  # beyond so many, products and kernels are not tried unasked
BETTER = 2.0  # standard errors by which more features must be better

FeatureMap = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LogLinear:
    """A log-ratio that is linear in features."""

    features: Features
    weight: Tensor
    bias: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the log-ratio at some points, in float64."""
        return self.features(x) @ self.weight + self.bias


def logistic_ratio(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    features: Literal["auto", "linear", "quadratic", "kernel"] | FeatureMap = "auto",
    penalty: float | None = None,
    generator: Generator | None = None,
) -> DensityRatio:
    r"""Return the density ratio that a logistic regression learns when it tells the target from the source.

    .. math::

        w(\mathbf{x}) = \frac{n}{m}\,\frac{P(\text{target} \mid \mathbf{x})}{P(\text{source} \mid \mathbf{x})}
            = \frac{n}{m}\,e^{\boldsymbol{\theta}^\top\boldsymbol{\phi}(\mathbf{x}) + b}

    where :math:`n` and :math:`m` are the sizes of source and target, and :math:`\boldsymbol{\phi}` are standardized
    features. The parameters maximize the likelihood of the domains less :math:`\sum_j \lambda_j\theta_j^2 / 2`; the
    bias is free. Penalties, and the features if they are to be chosen, are those of the least log-loss on rows left
    out, each predicted by the parameters one Newton step from the minimum without it. More features are taken only
    if that loss is better by two standard errors: from the columns alone, to their products as well, to kernels
    around 100 rows instead. All that is chosen on 4096 rows of each domain at most, and then fitted to all rows, in
    blocks: time grows linearly with the rows, and no copy of the samples is made.

    Parameters
    ----------
    source : Tensor, shape (n, d)
        The rows to be weighted.
    target : Tensor, shape (m, d)
        Rows from the distribution that counts.
    features : {"auto", "linear", "quadratic", "kernel"} or callable, default "auto"
        What the log-ratio is linear in; a callable maps rows, shape (k, d), to features, shape (k, p). For ``"auto"``,
        products and kernels are not tried where they make more than 300 features.
    penalty : float, in (0, inf), optional
        One penalty for all :math:`\lambda_j`; chosen from 0.1 to 1000 by default, for products and kernels anew.
    generator : torch.Generator, optional
        What kernels and rows to choose on are drawn from; then the global random state is left alone.

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
        If an entry of ``source`` or ``target``, or a feature, is not finite.
    ValueError
        If ``features`` is none of these names and no function, or ``penalty`` is not in (0, inf).

    See Also
    --------
    kliep : Sums of kernels, of the largest likelihood under the target.
    sklearn.linear_model.LogisticRegression : The classifier; its odds lack the factor n / m.

    References
    ----------
    .. [1] J. Qin, "Inferences for case-control and semiparametric two-sample density ratio models", *Biometrika* 85(3),
       1998.
    .. [2] S. Bickel, M. Brückner and T. Scheffer, "Discriminative learning under covariate shift", *Journal of Machine
       Learning Research* 10, 2009.
    .. [3] K. R. Rad and A. Maleki, "A scalable estimate of the out-of-sample prediction error via approximate
       leave-one-out cross-validation", *Journal of the Royal Statistical Society B* 82(4), 2020.

    Examples
    --------
    Of the source 2 of 3 rows are at 0, of the target 2 of 6; at 1 it is 1 of 3 against 4 of 6:

    >>> source = torch.tensor([[0.0], [0.0], [1.0]])
    >>> target = torch.tensor([[0.0], [0.0], [1.0], [1.0], [1.0], [1.0]])
    >>> ratio = logistic_ratio(source, target, features="linear", penalty=1e-9)
    >>> ratio.weights, ratio(torch.tensor([[1.0]]))
    (tensor([0.5000, 0.5000, 2.0000]), tensor([2.]))
    >>> ratio.report.verdict
    'Do not trust these weights: they are worth 2 unweighted examples, fewer than ten.'
    """
    check_samples(source, target)
    if not callable(features) and features not in ("auto", "linear", "quadratic", "kernel"):
        raise ValueError(f"features must be 'auto', 'linear', 'quadratic', 'kernel' or a function, got {features!r}")
    if penalty is not None:
        check_number("penalty", penalty, "> 0 and finite", lambda penalty: 0 < penalty < math.inf)
    with torch.no_grad():
        return _fit(source, target, features, PENALTIES if penalty is None else (penalty,), generator)


def _fit(
    source: Tensor, target: Tensor, features: str | FeatureMap, grid: tuple[float, ...], generator: Generator | None
) -> DensityRatio:
    """Choose features and penalties on some rows, fit all of them, and report."""
    some, others = (draw_rows(x, SAMPLE, generator) for x in (source, target))
    rows, n = torch.cat([some, others]), len(some)
    chosen: Features = standardize(source, target, None if isinstance(features, str) else features)
    name = "linear" if isinstance(features, str) else "given"
    best = best_of(chosen(rows), n, [rows.new_full((chosen.size,), value, dtype=torch.float64) for value in grid])

    standard, linear = chosen, best
    for kind in ("quadratic", "kernel"):
        if features not in ("auto", kind):
            continue
        expanded = Products(standard) if kind == "quadratic" else Kernels.around(standard, some, others, generator)
        if features == "auto" and expanded.size > MOST_FEATURES:
            continue
        added = expanded.size - standard.size
        paths = [torch.cat([linear.penalties, linear.penalties.new_full((added,), value)]) for value in grid]
        found = best_of(expanded(rows), n, paths)
        if features == kind or _is_better(found, best):
            chosen, best, name = expanded, found, kind

    params = best.params
    shift = math.log(len(target) / len(source)) - math.log(len(others) / n)
    if len(rows) < len(source) + len(target):
        params = fit_to_all(source, target, chosen, best, shift)
    bias = float(params[-1]) - math.log(len(target) / len(source))
    model = LogRatio(LogLinear(chosen, params[:-1], bias), source.shape[1], chosen.size)
    told_apart = area_under_curve(best.logits[:n], best.logits[n:])
    return ratio_on(source, model, separability=told_apart, features=name)


def _is_better(richer: Classifier, simpler: Classifier) -> bool:
    """Tell whether the loss on rows left out is smaller by two standard errors of the mean difference."""
    gain = simpler.losses - richer.losses
    return float(gain.mean()) > BETTER * float(gain.std()) / math.sqrt(len(gain))
