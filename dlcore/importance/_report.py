"""A report on importance weights that says whether to trust them."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._blocks import sum_over_rows
from dlcore._checks import check_weights
from dlcore._rows import row_max, row_topk
from dlcore._shards import check_rows, is_sharded
from dlcore._torch import loadable

from ._weights import MIN_TAIL_WEIGHTS, equal_weights, fit_tail, tail_length

__all__ = ["WeightReport", "diagnose"]

MIN_EFFECTIVE_SAMPLE_SIZE = 10  # examples
MAX_SHAPE = 0.7  # Pareto shape, for any number of weights
MAX_MEAN_ERROR = 0.1  # by which the mean may differ from 1 beyond three standard errors
MIN_CONFIRMING_WEIGHTS = 10  # the shortest tail that is fitted to confirm a shape
HARMLESS_RATIO = 2.0  # largest weight over the mean, up to which n_eff >= n / 2 whatever the tail
HARMLESS_FRACTION = 0.6  # n_eff / n, from which on intervals cover as without a tail: measured on real data


@loadable
@dataclass(frozen=True)
class WeightReport:
    r"""The diagnostics of importance weights, as Python numbers.

    Parameters
    ----------
    n : int
        The number of weights.
    effective_sample_size : float, in {0} or [1, n]
        The number of examples of equal weight that would estimate a mean equally well.
    mean_weight : float, in [0, inf)
        The mean, 1 for a density ratio.
    largest_weight : float, in [0, inf)
        The largest weight.
    pareto_shape : float
        The shape of the tail, which shorter tails must confirm; NaN if there is no tail to fit.

    See Also
    --------
    diagnose : Measures all this.

    Examples
    --------
    >>> report = diagnose(torch.tensor([0.5, 1.5]).repeat(100))
    >>> report.effective_sample_size, report.mean_weight, report.largest_weight
    (160.0, 1.0, 1.5)
    >>> report.trustworthy
    True
    >>> report.verdict
    'Trust these weights: their effective sample size is 160 of 200.'
    """

    n: int
    effective_sample_size: float
    mean_weight: float
    largest_weight: float
    pareto_shape: float

    @property
    def effective_fraction(self) -> float:
        """The effective sample size as a share of the sample size, in [0, 1]."""
        return self.effective_sample_size / self.n

    @property
    def largest_share(self) -> float:
        """The largest weight as a share of the sum, in [0, 1]."""
        return self.largest_weight / (self.mean_weight * self.n) if self.mean_weight else 0.0

    @property
    def largest_trusted_shape(self) -> float:
        """The Pareto shape above which n weights are too few: 1 - 1 / log10(n), and 0.7 at most."""
        return min(1 - 1 / math.log10(self.n), MAX_SHAPE) if self.n > 1 else -math.inf

    @property
    def _relevant_shape(self) -> float:
        """The Pareto shape, or NaN if the largest weights hold too little for the tail to matter."""
        harmless = self.largest_weight <= HARMLESS_RATIO * self.mean_weight
        return math.nan if harmless or self.effective_fraction >= HARMLESS_FRACTION else self.pareto_shape

    @property
    def trustworthy(self) -> bool:
        """Whether there is no objection to the weights."""
        return not self._objection()

    @property
    def verdict(self) -> str:
        """One sentence that says whether to trust the weights, and why not."""
        objection = self._objection()
        if objection:
            return f"Do not trust these weights: {objection}."
        size = f"their effective sample size is {self.effective_sample_size:.3g} of {self.n}"
        if self._relevant_shape >= 0.5:
            return (
                f"Trust these weights with care: {size}, and no standard error is valid, as their variance is infinite."
            )
        return f"Trust these weights: {size}."

    def _objection(self) -> str:
        """Return the first objection to the weights, or nothing."""
        if self.largest_weight == 0:
            return "all are 0, as if source and target did not overlap"
        if self._relevant_shape >= 1:
            return "their tail is so heavy that they have no mean"
        if self._relevant_shape >= self.largest_trusted_shape:
            return f"their tail is too heavy for {self.n} examples; clip or flatten them"
        if self.effective_sample_size < MIN_EFFECTIVE_SAMPLE_SIZE:
            return f"their effective sample size is {self.effective_sample_size:.3g}, below ten"
        standard_error = self.mean_weight * math.sqrt(max(1 / self.effective_sample_size - 1 / self.n, 0))
        if abs(self.mean_weight - 1) > MAX_MEAN_ERROR + 3 * standard_error:
            return f"their mean is {self.mean_weight:.3g}, but a density ratio has mean 1"
        return ""

    def __str__(self) -> str:
        """Return the report in lines."""
        return (
            f"Importance weights of {self.n} examples\n"
            f"  effective sample size  {self.effective_sample_size:.4g} ({self.effective_fraction:.1%})\n"
            f"  mean weight            {self.mean_weight:.4g}\n"
            f"  largest weight         {self.largest_weight:.4g} ({self.largest_share:.1%} of the sum)\n"
            f"  Pareto shape           {self.pareto_shape:.2f} (trusted below {self.largest_trusted_shape:.2f})\n"
            f"{self.verdict}"
        )


def diagnose(w: Float[Tensor, "n"]) -> WeightReport:
    r"""Return a report on importance weights, with a verdict in words.

    Do not trust the weights if any of these holds, where :math:`k` is their Pareto shape:

    .. math::

        \max_i w_i = 0, \qquad k \ge \min(1 - 1/\log_{10} n,\ 0.7), \qquad n_\text{eff} < 10, \qquad
        |\bar w - 1| > \tfrac{1}{10} + 3\,\bar w \sqrt{1/n_\text{eff} - 1/n}

    The second is the bound of Vehtari et al. above which a large error is likely. It applies only if the largest weight
    is more than twice the mean and the effective sample size is less than 0.6 n: otherwise the tail has little weight,
    whatever its shape. A tail that mixes two groups of weights, as a rare binary column can cause, can have any
    :math:`k` even if the weights are bounded. So the tail is fitted again at half its length, at a quarter, and so on
    down to ten weights. Then :math:`k` is the smallest of the shape and of these shapes plus two standard errors,
    :math:`2\,(1 + k_m)/\sqrt m` for :math:`m` weights. The third condition is the :math:`n` that the same bound
    requires at :math:`k = 0`. The last one compares the mean with 1, and tolerates a tenth plus three standard errors.
    Only this comparison detects separable domains, or a forgotten factor :math:`n_\text{source}/n_\text{target}`:
    there, all weights can be equal and still be wrong. If :math:`k \ge \frac12`, the variance of the weights is
    infinite.

    Parameters
    ----------
    w : Tensor, shape (n,), in [0, inf)
        The importance weights, scaled like a density ratio, whose mean is 1.

    Returns
    -------
    WeightReport
        The measures as Python numbers. ``verdict`` is a sentence, ``trustworthy`` is True or False, and ``print`` shows
        all.

    Raises
    ------
    TypeError
        If ``w`` is not a real floating-point tensor.
    ValueError
        If ``w`` is not a vector, is empty, or has a negative, infinite or NaN entry.

    See Also
    --------
    effective_sample_size : The most common measure, which misses a wrong mean.
    pareto_shape : The measure of the tail.

    References
    ----------
    .. [1] A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry, "Pareto smoothed importance sampling", *Journal of
       Machine Learning Research* 25, 2024, section 3.2.4.

    Examples
    --------
    Judged by their effective sample size, equal weights are perfect. Their mean shows that they are not a density
    ratio:

    >>> print(diagnose(torch.full((1000,), 0.25)))
    Importance weights of 1000 examples
      effective sample size  1000 (100.0%)
      mean weight            0.25
      largest weight         0.25 (0.1% of the sum)
      Pareto shape           nan (trusted below 0.67)
    Do not trust these weights: their mean is 0.25, but a density ratio has mean 1.
    """
    check_rows(w=w)
    check_weights("w", w)
    if not len(w):
        raise ValueError("w must hold at least one weight, got shape (0,)")
    w = w.detach() if is_sharded(w) else w.detach().cpu()
    return WeightReport(
        n=len(w),
        effective_sample_size=equal_weights(w, torch.float64).item(),
        mean_weight=sum_over_rows(Tensor.double, w).item() / len(w),
        largest_weight=row_max(w).item(),
        pareto_shape=_confirmed_shape(w),
    )


def _confirmed_shape(w: Tensor) -> float:
    """Return the Pareto shape, or the smallest upper bound that a shorter tail gives."""
    n_tail = tail_length(len(w))
    if n_tail < MIN_TAIL_WEIGHTS:
        return math.nan
    tail = row_topk(w, n_tail + 1)[0].double()
    shape, n_tail = fit_tail(tail, n_tail).shape.item(), n_tail // 2
    while n_tail >= MIN_CONFIRMING_WEIGHTS:
        k, _, m = map(float, fit_tail(tail, n_tail))
        upper = k + 2 * (1 + max(k, 0.0)) / math.sqrt(m) if m else math.nan
        shape, n_tail = min(shape, upper), n_tail // 2  # NaN is never smaller
    return shape
