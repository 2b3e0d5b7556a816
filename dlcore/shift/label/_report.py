"""The result of an estimate of label shift, and a report that says whether to trust it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating
from dlcore._numerics import accumulation_dtype
from dlcore._shards import as_rows_of, check_rows, local_rows
from dlcore._torch import loadable, svd, vector_norm
from dlcore.shift.label._assumptions import (
    accuracy_gain,
    calibration_test,
    corrected_outputs,
    corrected_rows,
    invariance_test,
    present_everywhere,
)
from dlcore.shift.label._interval import prior_interval
from dlcore.shift.label._rows import ClassifierOutputs, normalized_rows

__all__ = ["CALIBRATED_EM", "LabelShift", "LabelShiftReport", "build_result", "resolution"]

CALIBRATED_EM = "saerens_em, calibrated"

MIN_ROWS = 10  # rows of each class of the source, and of the target
MIN_EFFECTIVE_SAMPLE_SIZE = 10  # examples
MAX_ERROR = 0.01  # probability by which a misfit may exceed three standard errors
MAX_MOMENT_ERROR = 0.02  # standard deviations by which a moment of the scores may be off, though significant
MAX_PRIOR_ERROR = 0.02  # probability by which a miscalibration may move a class, though significant
MAX_SHARE_OF_INTERVAL = 2 / 3  # of half the width: beyond it, a miscalibration is larger than the noise
MAX_HALF_WIDTH = 0.25  # of an interval from a matrix that may be singular; no penalty has narrowed it
LEVEL = 0.01  # of the tests of the assumptions
MIN_LOSS = 3  # standard errors of the accuracy
RULE_OF_THREE = 3  # rows: a class that is absent from m rows has, at 95 % confidence, a share of less than 3 / m
ROUNDING = 1e-9  # probability by which the projection onto the simplex changes a distribution


@loadable
@dataclass(frozen=True)
class LabelShiftReport:
    r"""The diagnostics of an estimate of label shift, as Python numbers.

    Parameters
    ----------
    method : str
        The name of the function that made the estimate.
    n_source, n_target : int
        The numbers of rows.
    condition_number : float, in [1, inf]
        The largest singular value of the matrix :math:`P(\hat y \mid y)` over the smallest; inf where it is singular.
    smallest_singular_value, singular_value_standard_error : float
        The smallest singular value of that matrix, and its standard error from the numbers of source rows.
    fewest_rows, rarest_class : int
        The number of source rows of the class that has the fewest, and that class.
    never_predicted : tuple of int
        The classes that the classifier predicts for no source row.
    smallest_solution : float
        The smallest entry of the prior before it was projected onto the simplex; negative if that prior was not a
        distribution.
    projected : bool
        Whether the solution was not a distribution, and was replaced by the nearest one.
    misfit, misfit_standard_error : float
        The distance between the mean prediction in the target and the mean prediction that the prior implies, and the
        root mean square of that distance from sampling alone.
    largest_weight : float
        The largest weight of a class.
    effective_sample_size : float, in [1, n_source]
        The number of unweighted examples with the same variance as the weighted source rows.
    invariance_error, invariance_p_value : float
        By how many standard deviations a moment of the target's scores differs from that of the mixture of the source's
        classes with the same mean scores, and the p-value of all such moments: a test of the assumption that
        :math:`p(\mathbf{x} \mid y)` has not changed.
    confidence, accuracy : float, in [0, 1]
        The mean of the largest probability of each source row, and the share of correct predictions.
    calibration_error, calibration_p_value : float
        By how much a class of the most likely prior differs from the prior that the same corrected probabilities give
        without the assumption that they are calibrated, and the p-value: a test of that assumption.
    accuracy_gain, gain_standard_error : float
        By how much correcting the probabilities raises the accuracy on the weighted source, which represents the
        target, and the standard error.
    half_width : float or None
        Half the width of the widest interval; None without resamples.

    See Also
    --------
    LabelShift : The estimate.

    Examples
    --------
    >>> from dlcore.shift import label
    >>> one_hot = torch.eye(2)
    >>> predicted, labels = torch.tensor([[0, 0, 0, 1, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1]]).repeat(1, 20)
    >>> target = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]).repeat(20)
    >>> report = label.bbse(one_hot[predicted], labels, one_hot[target]).report
    >>> report.effective_sample_size, report.largest_weight
    (128.0, 1.5)
    >>> report.trustworthy
    True
    >>> report.verdict
    'Trust this prior: each class is known to ±0.23.'
    """

    method: str
    n_source: int
    n_target: int
    condition_number: float
    smallest_singular_value: float
    singular_value_standard_error: float
    fewest_rows: int
    rarest_class: int
    never_predicted: tuple[int, ...]
    smallest_solution: float
    projected: bool
    misfit: float
    misfit_standard_error: float
    largest_weight: float
    effective_sample_size: float
    invariance_error: float
    invariance_p_value: float
    confidence: float
    accuracy: float
    calibration_error: float
    calibration_p_value: float
    accuracy_gain: float
    gain_standard_error: float
    half_width: float | None

    @property
    def calibrated(self) -> bool:
        """Whether a miscalibration moves the prior by no more than chance, 0.02, or two thirds of the half-width."""
        noise = 0.0 if self.half_width is None else MAX_SHARE_OF_INTERVAL * self.half_width
        return self.calibration_p_value >= LEVEL or self.calibration_error <= max(MAX_PRIOR_ERROR, noise)

    @property
    def trustworthy(self) -> bool:
        """Whether there is no objection to the estimate."""
        return not self._objection()

    @property
    def verdict(self) -> str:
        """One sentence that says whether to trust the estimate, and why not."""
        objection = self._objection()
        if objection:
            return f"Do not trust this prior: {objection}."
        known = ""
        if self.half_width is not None:
            known = f": each class is known to ±{max(self.half_width, RULE_OF_THREE / self.n_target):.2g}"
        if self.accuracy_gain < -MIN_LOSS * self.gain_standard_error:
            loss = f"that lowers the accuracy by {-self.accuracy_gain:.2g}"
            return f"Trust this prior{known}, but correct no probabilities by it: {loss}."
        return f"Trust this prior{known}."

    def _objection(self) -> str:
        """Return the first objection to the estimate, or nothing."""
        never = f"; never predicted: {_classes(self.never_predicted)}" if self.never_predicted else ""
        objections = {
            f"the confusion matrix is singular{never}": self.smallest_singular_value == 0,
            f"class {self.rarest_class} has {_count(self.fewest_rows, 'source row')}, fewer than ten": (
                self.fewest_rows < MIN_ROWS
            ),
            f"with so few source rows, the confusion matrix may be singular{never}": (
                self.smallest_singular_value <= 2 * self.singular_value_standard_error
                and (self.half_width is None or self.half_width > MAX_HALF_WIDTH or self.method == "rlls")
            ),
            f"the target has {_count(self.n_target, 'row')}, fewer than ten": self.n_target < MIN_ROWS,
            "no mixture of the source's classes looks like the target, so more than the labels has shifted": (
                self.misfit > MAX_ERROR + 3 * self.misfit_standard_error
                or (self.invariance_p_value < LEVEL and self.invariance_error > MAX_MOMENT_ERROR)
            ),
            f"the probabilities are not calibrated (confidence {self.confidence:.2f}, accuracy {self.accuracy:.2f}), "
            f"which EM assumes; {self._remedy()}": self.method.startswith("saerens_em") and not self.calibrated,
            f"the weighted source has an effective sample size of {self.effective_sample_size:.3g}, below ten": (
                self.effective_sample_size < MIN_EFFECTIVE_SAMPLE_SIZE
            ),
        }
        return next((objection for objection, holds in objections.items() if holds), "")

    def _remedy(self) -> str:
        return "use bbse" if self.method == CALIBRATED_EM else "calibrate, or use bbse"

    def __str__(self) -> str:
        """Return the report in lines."""
        projected = f"yes, its smallest entry was {self.smallest_solution:.2g}" if self.projected else "no"
        return (
            f"Label shift by {self.method}, from {self.n_source} source and {self.n_target} target rows\n"
            f"  condition number       {self.condition_number:.3g}\n"
            f"  least singular value   {self.smallest_singular_value:.2g} "
            f"(standard error {self.singular_value_standard_error:.1g})\n"
            f"  never predicted        {_classes(self.never_predicted) or 'none'}\n"
            f"  fewest source rows     {self.fewest_rows}, of class {self.rarest_class}\n"
            f"  projected              {projected}\n"
            f"  misfit                 {self.misfit:.2g} (standard error {self.misfit_standard_error:.1g})\n"
            f"  largest weight         {self.largest_weight:.3g}\n"
            f"  effective sample size  {self.effective_sample_size:.4g}\n"
            f"  moments of scores      {self.invariance_error:.2g} standard deviations from a mixture of the classes "
            f"(p = {self.invariance_p_value:.2g})\n"
            f"  confidence, accuracy   {self.confidence:.3f}, {self.accuracy:.3f}\n"
            f"  calibration            moves a class by {self.calibration_error:.2g} "
            f"(p = {self.calibration_p_value:.2g})\n"
            f"  corrected accuracy     {self.accuracy_gain:+.3f} (standard error {self.gain_standard_error:.1g})\n"
            f"{self.verdict}"
        )


@loadable
@dataclass(frozen=True, eq=False)
class LabelShift:
    r"""The prior of the classes in the target, and the weights that it gives to the source.

    Parameters
    ----------
    target_prior : Tensor, shape (k,), in [0, 1]
        The estimate of :math:`p(y)`, which sums to 1.
    source_prior : Tensor, shape (k,), in (0, 1]
        The prior of the classes in the source, :math:`q(y)`.
    weights : Tensor, shape (k,), in [0, inf)
        The ratio :math:`p(y) / q(y)` for each class: ``weights[labels]`` are importance weights of the source rows.
    condition_number : float, in [1, inf]
        The condition number of :math:`P(\hat y \mid y)` in the source.
    interval : Tensor, shape (2, k), or None
        The lower and the upper end of the bootstrap interval of each entry of ``target_prior``; None without resamples.
    report : LabelShiftReport
        Whether to trust the estimate: ``print`` shows all diagnostics, ``verdict`` is one sentence.

    See Also
    --------
    bbse : The estimate from the confusion matrix.
    saerens_em : The most likely prior.

    Examples
    --------
    >>> from dlcore.shift import label
    >>> one_hot = torch.eye(2)
    >>> source, labels = one_hot[[0, 0, 0, 1, 0, 1, 1, 1]], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> shift = label.bbse(source, labels, one_hot[[0, 0, 0, 0, 0, 1, 1, 1]])
    >>> shift.target_prior, shift.weights
    (tensor([0.7500, 0.2500]), tensor([1.5000, 0.5000]))
    >>> shift.correct(torch.tensor([[0.5, 0.5]]))
    tensor([[0.7500, 0.2500]])
    """

    target_prior: Float[Tensor, "k"]
    source_prior: Float[Tensor, "k"]
    weights: Float[Tensor, "k"]
    condition_number: float
    interval: Float[Tensor, "2 k"] | None
    report: LabelShiftReport

    def correct(self, probabilities: Float[Tensor, "m k"]) -> Float[Tensor, "m k"]:
        r"""Return the source classifier's probabilities, corrected for the prior of the target.

        .. math::

            p(y \mid \mathbf{x}) = \frac{w_y\, q(y \mid \mathbf{x})}{\sum_j w_j\, q(j \mid \mathbf{x})}

        The result is only as right as :math:`q(y \mid \mathbf{x})`: if the probabilities are not calibrated, even the
        true weights can reduce accuracy.

        Parameters
        ----------
        probabilities : Tensor, shape (m, k), in [0, 1]
            The probabilities of the source's classifier, each row a distribution.

        Returns
        -------
        Tensor, shape (m, k), in [0, 1]
            The probabilities in the target, with the dtype of ``probabilities``. A row that holds only classes of
            weight 0 is returned unchanged.
        """
        check_rows(probabilities=probabilities)
        check_floating(probabilities=probabilities)
        if probabilities.dim() != 2 or probabilities.shape[1] != len(self.weights):
            raise ValueError(
                f"probabilities must have shape (m, {len(self.weights)}), got {tuple(probabilities.shape)}"
            )
        rows = local_rows(normalized_rows("probabilities", probabilities))
        return as_rows_of(probabilities, corrected_rows(rows, self.weights.to(rows)).to(probabilities.dtype))


def build_result(
    method: str,
    given: ClassifierOutputs,
    outputs: ClassifierOutputs,
    *,
    source_prior: Tensor,
    solution: Tensor,
    prior: Tensor,
    resampled_priors: Sequence[Tensor],
    level: float,
) -> LabelShift:
    """Return the result of the outputs as given, and as the method uses them (hard or soft).

    The interval is the smallest that contains the prior and that of each set of resampled priors; None without a set.
    """
    n_per_class, weights = outputs.counts.to(prior.dtype), prior / source_prior
    conditional, mean = outputs.conditional, outputs.mean_output
    _, singular_values, directions = svd(conditional)
    smallest = float(singular_values[-1])
    singular = smallest <= len(prior) * resolution(outputs.dtype) * float(singular_values[0])
    column_variances, mean_variance = _variances(outputs)
    confidence = given.source.amax(dim=1)
    interval = None
    if resampled_priors:
        intervals = torch.stack([prior_interval(priors, outputs.m, level) for priors in resampled_priors])
        interval = torch.stack([intervals[:, 0].amin(dim=0).minimum(prior), intervals[:, 1].amax(dim=0).maximum(prior)])
    present = present_everywhere(prior, outputs.m)
    invariance = invariance_test(given, prior)
    calibration = calibration_test(corrected_outputs(given, present / source_prior), present)
    gain, gain_standard_error = accuracy_gain(given, prior, source_prior)
    report = LabelShiftReport(
        method=method,
        n_source=outputs.n,
        n_target=outputs.m,
        condition_number=float("inf") if singular else float(singular_values[0]) / smallest,
        smallest_singular_value=0.0 if singular else smallest,
        singular_value_standard_error=float((directions[-1].square() @ column_variances).sqrt()),
        fewest_rows=int(n_per_class.min()),
        rarest_class=int(n_per_class.argmin()),
        never_predicted=given.never_predicted,
        smallest_solution=float(solution.min()),
        projected=bool((solution - prior).abs().max() > ROUNDING),
        misfit=float(vector_norm(mean - conditional @ prior)),
        misfit_standard_error=float((mean_variance + prior.square() @ column_variances).sqrt()),
        largest_weight=float(weights.max()),
        effective_sample_size=float((n_per_class @ weights) ** 2 / (n_per_class @ weights.square())),
        invariance_error=invariance.distance,
        invariance_p_value=invariance.p_value,
        confidence=float(given.source_mean(confidence)),
        accuracy=float(given.source_mean((given.source.argmax(dim=1) == given.labels).double())),
        calibration_error=calibration.distance,
        calibration_p_value=calibration.p_value,
        accuracy_gain=gain,
        gain_standard_error=gain_standard_error,
        half_width=None if interval is None else float((interval[1] - interval[0]).max() / 2),
    )
    return LabelShift(
        target_prior=prior.to(outputs.dtype),
        source_prior=source_prior.to(outputs.dtype),
        weights=weights.to(outputs.dtype),
        condition_number=report.condition_number,
        interval=None if interval is None else interval.to(outputs.dtype),
        report=report,
    )


def _variances(outputs: ClassifierOutputs) -> tuple[Tensor, Tensor]:
    """Return the variance of each column of the conditional confusion matrix, (k,), and of the mean prediction, ().

    Each is summed over the outputs. A column has 1/n² more, the variance if one of its n rows were otherwise: no column
    is certain because its rows happen to agree.
    """
    n = outputs.counts.to(outputs.source.dtype)
    squares = outputs.sums(outputs.source.square().sum(dim=1)) / n
    columns = (squares - outputs.conditional.square().sum(dim=0)).clamp(min=0) / n + n**-2
    mean_square = outputs.target_mean(outputs.target.square().sum(dim=1))
    return columns, (mean_square - outputs.mean_output.square().sum()).clamp(min=0) / outputs.m


def resolution(dtype: torch.dtype) -> float:
    """Return the relative rounding error of a mean over rows of this dtype."""
    return torch.finfo(accumulation_dtype(dtype)).eps


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _classes(classes: tuple[int, ...]) -> str:
    return ", ".join(map(str, classes))
