"""What comes back of an estimate of label shift, and what to think of it, in words."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dlcore._checks import check_floating
from dlcore._numerics import accumulation_dtype
from dlcore._torch import svd
from dlcore.importance import effective_sample_size
from dlcore.shift.label._rows import Rows, normalized_rows

__all__ = ["LabelShift", "LabelShiftReport", "conclude"]

FEW = 10  # rows of a class, or of the target, below which no estimate is trusted
UNSEEN = 3  # what so many of all rows are not one of is still absent from one sample in twenty: the rule of three


@dataclass(frozen=True)
class LabelShiftReport:
    r"""What speaks for and against an estimate of label shift, as Python numbers.

    Parameters
    ----------
    method : str
        The name of the function that made the estimate.
    n_source, n_target : int
        The numbers of rows.
    condition_number : float, in [1, inf]
        The largest singular value of the matrix :math:`P(\hat y \mid y)` over the smallest; inf where it is singular.
    smallest_singular_value, its_standard_error : float
        The smallest singular value, and by how much the few source rows let it err.
    fewest_rows, rarest_class : int
        The number of source rows of the class that has the fewest, and that class.
    never_predicted : tuple of int
        The classes that no source row is predicted to be of.
    smallest_solution : float
        The smallest entry of the prior before it was projected onto the simplex; a prior has none below 0.
    projected : bool
        Whether the solution was no distribution, and the nearest one was taken in its place.
    misfit, its_noise : float
        How far the mean prediction in the target lies from what the prior makes of it, and how far chance alone takes
        it.
    largest_weight : float
        The largest weight of a class.
    effective_sample_size : float, in [1, n_source]
        How many unweighted examples the weighted source rows are worth.
    confidence, accuracy : float, in [0, 1]
        The mean of the largest probability of each source row, and the share of the rows that are predicted right.
    confidence_standard_error : float
        By how much chance alone takes the two apart.
    half_width : float or None
        Half the width of the widest interval; None where none was asked for.

    See Also
    --------
    LabelShift : The estimate.
    """

    method: str
    n_source: int
    n_target: int
    condition_number: float
    smallest_singular_value: float
    its_standard_error: float
    fewest_rows: int
    rarest_class: int
    never_predicted: tuple[int, ...]
    smallest_solution: float
    projected: bool
    misfit: float
    its_noise: float
    largest_weight: float
    effective_sample_size: float
    confidence: float
    accuracy: float
    confidence_standard_error: float
    half_width: float | None

    @property
    def calibrated(self) -> bool:
        """Whether mean confidence and accuracy are within a hundredth and three standard errors of each other."""
        return abs(self.confidence - self.accuracy) <= 0.01 + 3 * self.confidence_standard_error

    @property
    def trustworthy(self) -> bool:
        """Whether nothing speaks against the estimate."""
        return not self._objection()

    @property
    def verdict(self) -> str:
        """One sentence that says whether to trust the estimate, and why not."""
        objection = self._objection()
        if objection:
            return f"Do not trust this prior: {objection}."
        known = ""
        if self.half_width is not None:
            unseen = UNSEEN / self.n_target
            known = f": each class is known to ±{max(self.half_width, unseen):.2g}"
        if not self.calibrated:
            return f"Trust this prior{known}, but correct no probabilities by it: {self._miscalibration()}."
        return f"Trust this prior{known}."

    def _objection(self) -> str:
        """Return what speaks against the estimate, or nothing."""
        silent = f"; never predicted: {_classes(self.never_predicted)}" if self.never_predicted else ""
        objections = {
            f"the confusion matrix is singular{silent}": self.smallest_singular_value == 0,
            f"class {self.rarest_class} has {_count(self.fewest_rows, 'source row')}, fewer than ten": (
                self.fewest_rows < FEW
            ),
            f"so few source rows cannot tell the confusion matrix from a singular one{silent}": (
                self.smallest_singular_value <= 2 * self.its_standard_error
            ),
            f"the target has {_count(self.n_target, 'row')}, fewer than ten": self.n_target < FEW,
            "no mixture of the source's classes looks like the target, so more than the labels has shifted": (
                self.misfit > 0.01 + 3 * self.its_noise
            ),
            f"{self._miscalibration()}, and EM takes its probabilities at their word; calibrate": (
                self.method == "saerens_em" and not self.calibrated
            ),
            f"its weights make the source worth {self.effective_sample_size:.3g} examples, fewer than ten": (
                self.effective_sample_size < FEW
            ),
        }
        return next((objection for objection, holds in objections.items() if holds), "")

    def _miscalibration(self) -> str:
        manner = "over" if self.confidence > self.accuracy else "under"
        return f"the classifier is {manner}-confident, {self.confidence:.2f} at an accuracy of {self.accuracy:.2f}"

    def __str__(self) -> str:
        """Return the report in lines."""
        projected = f"yes, its smallest entry was {self.smallest_solution:.2g}" if self.projected else "no"
        return (
            f"Label shift by {self.method}, from {self.n_source} source and {self.n_target} target rows\n"
            f"  condition number       {self.condition_number:.3g}\n"
            f"  least singular value   {self.smallest_singular_value:.2g} "
            f"(standard error {self.its_standard_error:.1g})\n"
            f"  never predicted        {_classes(self.never_predicted) or 'none'}\n"
            f"  fewest source rows     {self.fewest_rows}, of class {self.rarest_class}\n"
            f"  projected              {projected}\n"
            f"  misfit                 {self.misfit:.2g} (by chance {self.its_noise:.1g})\n"
            f"  largest weight         {self.largest_weight:.3g}\n"
            f"  effective sample size  {self.effective_sample_size:.4g}\n"
            f"  confidence, accuracy   {self.confidence:.3f}, {self.accuracy:.3f}\n"
            f"{self.verdict}"
        )


@dataclass(frozen=True, eq=False)
class LabelShift:
    r"""How the classes are spread in the target.

    Parameters
    ----------
    target_prior : Tensor, shape (k,), in [0, 1]
        The estimate of :math:`p(y)`, which sums to 1.
    source_prior : Tensor, shape (k,), in (0, 1]
        What it is divided by, :math:`q(y)`.
    weights : Tensor, shape (k,), in [0, inf)
        The ratio :math:`p(y) / q(y)` for each class: ``weights[labels]`` are importance weights of the source rows.
    condition_number : float, in [1, inf]
        That of :math:`P(\hat y \mid y)` in the source.
    interval : Tensor, shape (2, k), or None
        The lower and the upper end of the bootstrap interval of each entry of ``target_prior``; None where no
        resample was asked for.
    report : LabelShiftReport
        Whether to trust it: ``print`` shows all, ``verdict`` is one sentence.

    See Also
    --------
    bbse : The estimate from the confusion matrix.
    saerens_em : The most likely prior.
    """

    target_prior: Float[Tensor, "k"]
    source_prior: Float[Tensor, "k"]
    weights: Float[Tensor, "k"]
    condition_number: float
    interval: Float[Tensor, "2 k"] | None
    report: LabelShiftReport

    def correct(self, probabilities: Float[Tensor, "m k"]) -> Float[Tensor, "m k"]:
        r"""Return what a classifier trained on the source should say in the target.

        .. math::

            p(y \mid \mathbf{x}) = \frac{w_y\, q(y \mid \mathbf{x})}{\sum_j w_j\, q(j \mid \mathbf{x})}

        It is right as far as :math:`q(y \mid \mathbf{x})` is: where the probabilities are not calibrated, true weights
        can cost accuracy.

        Parameters
        ----------
        probabilities : Tensor, shape (m, k), in [0, 1]
            The probabilities of the source's classifier, each row a distribution.

        Returns
        -------
        Tensor, shape (m, k), in [0, 1]
            The probabilities in the target, with the dtype of ``probabilities``. A row that has nothing but classes of
            weight 0 is handed back as it was.
        """
        check_floating(probabilities=probabilities)
        if probabilities.dim() != 2 or probabilities.shape[1] != len(self.weights):
            raise ValueError(
                f"probabilities must have shape (m, {len(self.weights)}), got {tuple(probabilities.shape)}"
            )
        rows = normalized_rows("probabilities", probabilities)
        weighted = rows * self.weights.to(rows)
        total = weighted.sum(dim=1, keepdim=True)
        return torch.where(total > 0, weighted / torch.where(total > 0, total, 1), rows).to(probabilities.dtype)


def conclude(
    method: str,
    given: Rows,
    rows: Rows,
    *,
    source_prior: Tensor,
    solution: Tensor,
    prior: Tensor,
    interval: Tensor | None,
) -> LabelShift:
    """Return the result, of the rows as given, as the method reads them (hard or soft), and of what it made of them."""
    counts, weights = rows.counts.to(prior.dtype), prior / source_prior
    conditional = rows.joint / rows.joint.sum(dim=0)
    _, singular_values, directions = svd(conditional)
    # the variance of a class's mean output, summed over outputs, as if one row more might have been otherwise
    squares = prior.new_zeros(len(prior)).index_add(0, rows.labels, rows.source.square().sum(dim=1)) / counts
    spread = (squares - conditional.square().sum(dim=0)).clamp(min=0) / counts + counts.square().reciprocal()
    mean = rows.target.mean(dim=0)
    of_mean = (rows.target.square().sum() / len(rows.target) - mean.square().sum()).clamp(min=0) / len(rows.target)
    smallest = float(singular_values[-1])
    singular = smallest <= len(prior) * resolution(rows.dtype) * float(singular_values[0])
    confidence = given.source.amax(dim=1)
    report = LabelShiftReport(
        method=method,
        n_source=len(rows.source),
        n_target=len(rows.target),
        condition_number=float("inf") if singular else float(singular_values[0]) / smallest,
        smallest_singular_value=0.0 if singular else smallest,
        its_standard_error=float((directions[-1].square() * spread).sum().sqrt()),
        fewest_rows=int(counts.min()),
        rarest_class=int(counts.argmin()),
        never_predicted=given.never_predicted,
        smallest_solution=float(solution.min()),
        projected=bool((solution - prior).abs().max() > 1e-9),
        misfit=float((mean - conditional @ prior).square().sum().sqrt()),
        its_noise=float((of_mean + (prior.square() * spread).sum()).sqrt()),
        largest_weight=float(weights.max()),
        effective_sample_size=float(effective_sample_size(weights[rows.labels])),
        confidence=float(confidence.mean()),
        accuracy=float((given.source.argmax(dim=1) == given.labels).double().mean()),
        confidence_standard_error=float((confidence * (1 - confidence)).mean().div(len(confidence)).sqrt()),
        half_width=None if interval is None else float((interval[1] - interval[0]).max() / 2),
    )
    return LabelShift(
        target_prior=prior.to(rows.dtype),
        source_prior=source_prior.to(rows.dtype),
        weights=weights.to(rows.dtype),
        condition_number=report.condition_number,
        interval=None if interval is None else interval.to(rows.dtype),
        report=report,
    )


def resolution(dtype: torch.dtype) -> float:
    """Return by how much a mean over rows of this dtype may be off, relative: half precision is summed in float64."""
    return torch.finfo(accumulation_dtype(dtype)).eps


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _classes(classes: tuple[int, ...]) -> str:
    return ", ".join(map(str, classes))
