"""The density ratio that a classifier of the domains has learned."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_number

from ._choice import PENALTIES, choose, told_apart
from ._classifier import fit_to_all
from ._features import standardize
from ._ratio import Apart, DensityRatio, LogLinear, LogRatio, ratio_on
from ._samples import check_samples, drawn

__all__ = ["logistic_ratio"]

SAMPLE = 2**12  # rows of each domain, at most, that features and penalty are chosen on
RICHER = {"auto": ("quadratic", "kernel"), "linear": (), "quadratic": ("quadratic",), "kernel": ("kernel",)}

FeatureMap = Callable[[Tensor], Tensor]


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
    'Do not trust these weights: the target has 6 rows, fewer than ten.'
    """
    check_samples(source, target)
    if not callable(features) and features not in RICHER:
        raise ValueError(f"features must be 'auto', 'linear', 'quadratic', 'kernel' or a function, got {features!r}")
    if penalty is not None:
        check_number("penalty", penalty, "> 0 and finite", lambda penalty: 0 < penalty < math.inf)
    with torch.no_grad():
        return _fit(source, target, features, PENALTIES if penalty is None else (penalty,), generator)


def _fit(
    source: Tensor, target: Tensor, features: str | FeatureMap, penalties: Sequence[float], generator: Generator | None
) -> DensityRatio:
    """Choose features and penalties on some rows, fit all of them, and report."""
    here, there = (drawn(x, SAMPLE, generator) for x in (source, target))
    some, others = source[here], target[there]
    columns = standardize(source, target, None if isinstance(features, str) else features)
    richer = RICHER[features] if isinstance(features, str) else ()
    asked = features != "auto"
    choice = choose(some, others, columns, richer=richer, asked=asked, penalties=penalties, generator=generator)

    params, log_odds = choice.classifier.params, math.log(len(target) / len(source))
    if len(some) + len(others) < len(source) + len(target):
        shift = log_odds - math.log(len(others) / len(some))
        params = fit_to_all(source, target, choice.features, choice.classifier, shift)
    log_linear = LogLinear(choice.features, params[:-1], float(params[-1]) - log_odds)
    logits = choice.classifier.logits
    apart = [Apart(here, logits[: len(here)], logits[len(here) :])]
    if features not in {"auto", "quadratic"}:  # which may not see how the domains differ
        plain = columns if isinstance(features, str) else standardize(source, target)
        apart.append(told_apart(source, target, plain, choice.classifier if features == "linear" else None))
    return ratio_on(
        source,
        LogRatio(log_linear, source.shape[1], choice.features.size),
        n_target=len(target),
        apart=apart,
        features=choice.name if isinstance(features, str) else "given",
    )
