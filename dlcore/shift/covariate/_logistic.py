"""The density ratio of a logistic regression that classifies the domains."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Integer
from torch import Generator, Tensor

from dlcore._checks import check_number
from dlcore._rows import rows_at

from ._classifier import choose_features, domain_scores, fit_all_rows, scores_of_all_rows
from ._features import CANDIDATES, MAX_SAMPLE_ROWS, check_samples, standardize
from ._groups import check_groups, sample_indices
from ._paths import penalty_path
from ._ratio import DensityRatio, LogLinear, LogRatio, ratio_with_report

__all__ = ["logistic_ratio"]

FeatureMap = Callable[[Tensor], Tensor]


def logistic_ratio(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    features: Literal["auto", "linear", "quadratic", "kernel"] | FeatureMap = "auto",
    penalty: float | None = None,
    groups: tuple[Integer[Tensor, "n"], Integer[Tensor, "m"]] | None = None,
    generator: Generator | None = None,
) -> DensityRatio:
    r"""Return the density ratio of a logistic regression that classifies rows as source or target.

    .. math::

        w(\mathbf{x}) = \frac{n}{m}\,\frac{P(\text{target} \mid \mathbf{x})}{P(\text{source} \mid \mathbf{x})}
            = \frac{n}{m}\,e^{\boldsymbol{\theta}^\top\boldsymbol{\phi}(\mathbf{x}) + b}

    where :math:`n` and :math:`m` are the sizes of source and target, and :math:`\boldsymbol{\phi}` are standardized
    features. The parameters maximize the log-likelihood of the domains minus :math:`\sum_j \lambda_j\theta_j^2 / 2`;
    the bias is not penalized. The penalties, and with ``"auto"`` the features, minimize the log-loss on held-out rows:
    each row is predicted as if the model had been fitted to the others, to within one Newton step. Columns whose means
    differ in the two samples have a lighter penalty if that is better. Products of the columns, and kernels around 100
    rows, are taken only if that loss is better by two standard errors. This choice uses at most 4096 rows of each
    domain. The parameters are then fitted to all rows, in blocks: time grows linearly with the number of rows, and no
    copy of the samples is made.

    Parameters
    ----------
    source : Tensor, shape (n, d)
        The rows to weight.
    target : Tensor, shape (m, d)
        Rows from the distribution in which the model is used.
    features : {"auto", "linear", "quadratic", "kernel"} or callable, default "auto"
        The features in which the log-ratio is linear; a callable maps rows, shape (k, d), to features, shape (k, p).
        With ``"auto"``, products or kernels are not tried if there are more than 300 of them.
    penalty : float, in (0, inf), optional
        One penalty for all :math:`\lambda_j`; chosen from 0.1 to 1000 by default, separately for products
        and kernels.
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
        If an entry of ``source`` or ``target``, or a feature, is not finite.
    ValueError
        If ``features`` is neither one of these names nor a function, or ``penalty`` is not in (0, inf).
    ValueError
        If ``groups`` has not one entry for each row, or all rows are in one group, or if the rows are sharded over
        processes.

    See Also
    --------
    kliep : The same form of ratio, fitted by maximum likelihood under the target.
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
    Two of the three source rows and two of the six target rows are at 0, and the others are at 1:

    >>> source = torch.tensor([[0.0], [0.0], [1.0]])
    >>> target = torch.tensor([[0.0], [0.0], [1.0], [1.0], [1.0], [1.0]])
    >>> ratio = logistic_ratio(source, target, features="linear", penalty=1e-9)
    >>> ratio.weights, ratio(torch.tensor([[1.0]]))
    (tensor([0.5000, 0.5000, 2.0000]), tensor([2.]))
    >>> ratio.report.verdict
    'Do not trust these weights: the target has 6 rows, fewer than ten.'
    """
    check_samples(source, target, features=features, penalty=penalty, generator=generator)
    if not callable(features) and features not in CANDIDATES:
        raise ValueError(f"features must be 'auto', 'linear', 'quadratic', 'kernel' or a function, got {features!r}")
    if penalty is not None:
        check_number("penalty", penalty, "> 0 and finite", lambda penalty: 0 < penalty < math.inf)
    grouped = check_groups(groups, source, target)
    with torch.no_grad():
        source_index, target_index = sample_indices(source, target, MAX_SAMPLE_ROWS, generator, grouped)
        sampled = None if grouped is None else grouped.at(source_index, target_index)
        columns = standardize(source, target, features if callable(features) else None)
        choice = choose_features(
            rows_at(source, source_index),
            rows_at(target, target_index),
            columns,
            candidates=() if callable(features) else CANDIDATES[features],
            explicit=features != "auto",
            penalties=penalty_path(sampled) if penalty is None else (penalty,),
            groups=sampled,
            generator=generator,
        )
        phi, classifier = choice.features, choice.classifier
        log_odds = math.log(len(target) / len(source))
        params = classifier.params
        if len(classifier.logits) < len(source) + len(target):
            bias_shift = log_odds - math.log(len(target_index) / len(source_index))
            params = fit_all_rows(source, target, phi, classifier, bias_shift)
        theta, b = params[:-1], float(params[-1])
        scores = [scores_of_all_rows(choice, source, target, source_index, target_index)]
        plain = standardize(source, target) if callable(features) else columns
        if features not in {"auto", "quadratic"}:  # these may not see how the domains differ
            scores.append(domain_scores(source, target, plain, classifier if features == "linear" else None, grouped))
        return ratio_with_report(
            source,
            target,
            LogRatio(LogLinear(phi, theta, b - log_odds), source.shape[1], phi.size),
            columns=plain,
            scores=scores,
            features="given" if callable(features) else choice.name,
            groups=grouped,
        )
