"""The mean of a quantity in the target, with a standard error that includes the estimation of the ratio."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from dlcore._checks import check_floating, check_number, check_same_dtype, check_values
from dlcore._rows import row_any
from dlcore._shards import as_rows_of, local_rows, shards_of
from dlcore._torch import cholesky, loadable, solve, solve_triangular
from dlcore.importance import effective_sample_size

from ._features import Products, check_samples, map_rows, mean_features, paired_row_blocks, standardize
from ._groups import Groups, group_means
from ._ratio import DensityRatio

__all__ = ["TargetMean", "target_mean"]

EXAMPLES_PER_PRODUCT = 5  # of the effective sample size: with fewer, products are no regressors
MAX_LEVERAGE = 0.95  # of a row, by which its residual is enlarged


@loadable
@dataclass(frozen=True)
class TargetMean:
    r"""An estimate of a mean in the target, as Python numbers.

    Parameters
    ----------
    mean : float
        The estimate.
    standard_error : float
        Its standard error, from the noise of both samples.
    interval : tuple of two float
        The confidence interval of a normal distribution.
    level : float
        The level of the interval.

    See Also
    --------
    target_mean : Estimates it.

    Examples
    --------
    >>> print(TargetMean(mean=2.0, standard_error=0.5, interval=(1.02, 2.98), level=0.95))
    2 ± 0.5 (95% interval 1.02 to 2.98)
    """

    mean: float
    standard_error: float
    interval: tuple[float, float]
    level: float

    def __str__(self) -> str:
        """Return the estimate, its standard error and its interval."""
        low, high = self.interval
        return f"{self.mean:.4g} ± {self.standard_error:.2g} ({self.level:.0%} interval {low:.4g} to {high:.4g})"


def target_mean(
    values: Float[Tensor, "n"],
    ratio: DensityRatio,
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    predictions: tuple[Float[Tensor, "n"], Float[Tensor, "m"]] | None = None,
    level: float = 0.95,
) -> TargetMean:
    r"""Return a doubly robust estimate of a mean in the target from values observed in the source.

    .. math::

        \hat\mu = \sum_{i=1}^{n} \omega_i \bigl(y_i - f(\mathbf{x}_i)\bigr) + \frac1m \sum_{j=1}^{m} f(\mathbf{x}'_j),
        \qquad \omega_i = \frac{w_i}{\sum_l w_l}, \qquad
        f = g + \boldsymbol{\beta}^\top\boldsymbol{\phi}

    where :math:`y_i` are the values, :math:`w_i` the weights, :math:`g` the predictions of a model (0 by default), and
    :math:`\boldsymbol{\beta}` the weighted ridge regression, with penalty 1, of :math:`y - g` on
    :math:`\boldsymbol{\phi}`. These are the standardized columns, and also their products if the effective sample size
    is at least five times the number of all. The estimate is right if either the ratio or :math:`f` is: what the
    weights leave unbalanced in :math:`\boldsymbol{\phi}` is corrected. With residuals :math:`r_i` of the regression,
    each predicted from the other rows,

    .. math::

        \operatorname{se}^2 = \sum_{i=1}^{n} \lambda_i^2 r_i^2 + \frac{\operatorname{Var} f(\mathbf{x}')}{m}, \qquad
        \lambda_i = \omega_i \bigl(1 + (\boldsymbol{\phi}_i - \bar{\boldsymbol{\phi}}_\omega)^\top \mathbf{A}^{-1}
            (\bar{\boldsymbol{\phi}}' - \bar{\boldsymbol{\phi}}_\omega)\bigr)

    where :math:`\bar{\boldsymbol{\phi}}_\omega` and :math:`\bar{\boldsymbol{\phi}}'` are the means in the weighted
    source and in the target, and :math:`\mathbf{A}` is the matrix of the regression. This is the influence function of
    a ratio that balances :math:`\boldsymbol{\phi}`: fitting it removes the part of the noise that :math:`f` explains,
    and adds the noise of the target. If the ratio was fitted to groups of rows, each square is that of the sum over a
    group, whose residuals are predicted from the other groups, and the penalty is the number of rows per group. The
    standard error of :func:`~dlcore.risk.importance_weighted_risk` takes the weights as known.

    Parameters
    ----------
    values : Tensor, shape (n,)
        What was observed in each row of the source: an outcome, or the loss of a model.
    ratio : DensityRatio
        The ratio that was estimated from the two samples.
    source : Tensor, shape (n, d)
        The rows of the source.
    target : Tensor, shape (m, d)
        The rows of the target.
    predictions : tuple of two Tensor, shape (n,) and (m,), optional
        The predictions :math:`g` of the values for the rows of source and target, by a model that was fitted to other
        rows.
    level : float, in (0, 1), default 0.95
        The level of the interval.

    Returns
    -------
    TargetMean
        The mean, its standard error and interval, as Python numbers in the unit of ``values``.

    Raises
    ------
    TypeError
        If ``values``, ``source``, ``target`` or a prediction is not a real floating-point tensor, or they differ in
        dtype.
    TypeError
        If ``level`` is not a real number.
    ValueError
        If the shapes are not those above, ``source``, or ``target`` if there are groups, has not the rows to which the
        ratio was fitted, or an entry is not finite.
    ValueError
        If all weights are 0, or ``level`` is not in (0, 1).

    See Also
    --------
    dlcore.risk.importance_weighted_risk : The weighted mean alone, differentiable in the losses.

    References
    ----------
    .. [1] J. M. Robins, A. Rotnitzky and L. P. Zhao, "Estimation of regression coefficients when some regressors are
       not always observed", *Journal of the American Statistical Association* 89(427), 1994.
    .. [2] C.-E. Särndal, B. Swensson and J. Wretman, *Model Assisted Survey Sampling*, 1992, section 6.6.

    Examples
    --------
    The values are linear in the column, so their mean in the target is that of the column, whatever the weights:

    >>> import dlcore
    >>> source, target = torch.linspace(0, 1, 41).reshape(-1, 1), torch.linspace(0.5, 1, 41).reshape(-1, 1)
    >>> ratio = dlcore.shift.covariate.logistic_ratio(source, target)
    >>> estimate = target_mean(4 * source[:, 0], ratio, source, target)
    >>> round(estimate.mean, 1)
    3.0
    """
    weights = {"the weights of ratio": ratio.weights}
    given = {} if predictions is None else {f"predictions[{i}]": g for i, g in enumerate(predictions)}
    check_samples(source, target, values=values, level=level, **weights, **given)
    check_number("level", level, "in (0, 1)", lambda level: 0 < level < 1)
    g_source, g_target = map(_zeros, (source, target)) if predictions is None else predictions
    _check_rows(source, {"values": values, "predictions[0]": g_source, **weights})
    _check_rows(target, {"predictions[1]": g_target})
    if ratio.groups is not None and len(ratio.groups[1]) != len(target):
        raise ValueError(
            f"target must have the {len(ratio.groups[1])} rows for which ratio was given groups, got {len(target)}"
        )
    w = ratio.weights.detach().double()
    if not row_any(w != 0):
        raise ValueError("the weights of ratio must not all be 0")
    with torch.no_grad():
        columns = standardize(source, target)
        products = Products(columns)
        groups = None if ratio.groups is None else Groups.numbered(*ratio.groups)
        independent = w if groups is None else group_means(w, groups.source)
        enough = EXAMPLES_PER_PRODUCT * products.size <= float(effective_sample_size(independent))
        phi = products if enough else columns
        shards, w, y, g_source, g_target = (
            shards_of(w),
            *(local_rows(x).double() for x in (w, values, g_source, g_target)),
        )

        omega = w / shards.sum(w.sum())
        residual = y - g_source
        mean_residual = shards.sum(omega @ residual)
        residual = residual - mean_residual
        share = omega.new_tensor(1 / len(target)).expand(len(g_target))
        phi_omega, phi_target = (mean_features(phi, x, s, phi.size) for x, s in ((source, omega), (target, share)))
        a, b = omega.new_zeros(phi.size, phi.size), omega.new_zeros(phi.size)
        for rows, o, r in paired_row_blocks(source, phi.size, omega, residual):
            centred = phi(rows) - phi_omega
            a.addmm_(centred.T, o[:, None] * centred)
            b += centred.T @ (o * r)
        a, b = shards.sums(a, b)
        a.diagonal().add_(1 / len(independent))  # the ridge penalty 1
        beta = solve(a, b)
        f_target = g_target + local_rows(map_rows(lambda rows: (phi(rows) - phi_omega) @ beta, target, phi.size))
        mean_f = shards.sum(share @ f_target)
        mean = mean_residual + mean_f

        direction = solve(a, phi_target - phi_omega)

        def errors(rows: Tensor, o: Tensor, r: Tensor) -> Tensor:
            """Return the influence of rows of the source, times their residuals without them or their groups."""
            centred = phi(rows) - phi_omega
            return o * (1 + centred @ direction) * _left_out(r - centred @ beta, centred, o, a, groups)

        of_target = share * (f_target - mean_f)
        if groups is None:
            blocks = paired_row_blocks(source, phi.size, omega, residual)
            variance = shards.sum(of_target.square().sum() + sum(errors(*block).square().sum() for block in blocks))
        else:
            variance = groups.totals(torch.cat([errors(source, omega, residual), of_target])).square().sum()
    standard_error = math.sqrt(float(variance))
    half = -NormalDist().inv_cdf((1 - level) / 2) * standard_error
    return TargetMean(float(mean), standard_error, (float(mean) - half, float(mean) + half), float(level))


def _zeros(x: Tensor) -> Tensor:
    """Return 0 for each row."""
    return as_rows_of(x, local_rows(x).new_zeros(len(local_rows(x))))


def _left_out(residual: Tensor, centred: Tensor, omega: Tensor, a: Tensor, groups: Groups | None) -> Tensor:
    """Return the residuals of rows of the source if each row, or its group, is left out of the regression."""
    if groups is None:
        leverage = omega * (1 + (centred * solve(a, centred.T).T).sum(1))
        return residual / (1 - leverage.clamp_max(MAX_LEVERAGE))
    rows = solve_triangular(cholesky(a)[0], centred.T, upper=False).T
    of_source = Groups(groups.source, groups.target[:0], groups.count)
    return residual + of_source.change_without(pad(rows, (1, 0), value=1.0), omega, omega * residual)


def _check_rows(x: Tensor, numbers: Mapping[str, Tensor]) -> None:
    """Raise TypeError or ValueError unless there is a finite number of the same dtype for each row."""
    for name, values in numbers.items():
        check_floating(**{name: values})
        check_same_dtype(source=x, **{name: values})
        if values.shape != (len(x),):
            raise ValueError(
                f"{name} must have one entry for each of the {len(x)} rows, got shape {tuple(values.shape)}"
            )
        check_values(name, values, "finite", torch.isfinite)
