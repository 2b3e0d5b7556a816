"""The most likely label shift, by expectation maximization."""

from dataclasses import replace

import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the examples look it up here
from jaxtyping import Float, Integer
from torch import Generator, Tensor

from dlcore._checks import check_values
from dlcore.shift.label._assumptions import corrected_outputs, present_everywhere
from dlcore.shift.label._calibration import fit_calibrator
from dlcore.shift.label._confusion import resampled_equations
from dlcore.shift.label._fused import most_likely_prior, nonnegative_minimum
from dlcore.shift.label._report import CALIBRATED_EM, LabelShift, build_result, resolution
from dlcore.shift.label._rows import ClassifierOutputs, check_resampling, classifier_outputs, resampled_means
from dlcore.shift.label._stable import nearest_solution

__all__ = ["saerens_em"]

EM_STEPS = 20  # updates of EM that come first


def saerens_em(
    source_probabilities: Float[Tensor, "n k"],
    source_labels: Integer[Tensor, "n"],
    target_probabilities: Float[Tensor, "m k"],
    *,
    calibrate: bool = False,
    level: float = 0.95,
    n_resamples: int = 500,
    generator: Generator | None = None,
) -> LabelShift:
    r"""Return the label shift under which the target is most likely, by expectation maximization.

    .. math::

        \max_{p}\ \frac1m \sum_{i=1}^{m} \log \sum_{j=1}^{k} \frac{p_j}{q_j}\, f_j(\mathbf{x}'_i), \qquad
        p_j \leftarrow \frac1m \sum_{i=1}^{m} \frac{(p_j/q_j)\, f_j(\mathbf{x}'_i)}
            {\sum_l (p_l/q_l)\, f_l(\mathbf{x}'_i)}

    where :math:`f` are the classifier's probabilities, :math:`\mathbf{x}'` the target rows and :math:`q` the mean of
    :math:`f` over the source, so that no shift is found if the target equals the source. The fraction is the posterior
    of the target row (the E-step), and its mean the new prior (the M-step). After twenty updates, Newton's method takes
    over, until no prior has a mean log-likelihood that is larger by more than 1e-10. EM assumes that the probabilities
    are calibrated, with one map for source and target: ``calibrate=True`` does this and needs the labels; otherwise the
    labels are used only for the interval and the report. The likelihood alone ignores miscalibration, so its bootstrap
    interval is extended to contain that of :func:`bbse` with the corrected probabilities as scores, which need not be
    calibrated. The report tests whether the two priors differ.

    Parameters
    ----------
    source_probabilities : Tensor, shape (n, k), in [0, 1]
        The classifier's probabilities for held-out source rows, which it was not trained on; each row must sum to 1,
        to within a hundredth.
    source_labels : Tensor of integers, shape (n,), in [0, k)
        Their classes; each class must occur.
    target_probabilities : Tensor, shape (m, k), in [0, 1]
        The same classifier's probabilities for target rows.
    calibrate : bool, default False
        Whether to calibrate both by :func:`bias_corrected_temperature`, fitted to the logarithms of the source's
        probabilities. If you have logits, calibrate them instead: a probability of 0 has lost its logit.
    level : float, in (0, 1), default 0.95
        The share of the resamples inside the interval.
    n_resamples : int, at least 0, default 500
        The number of bootstrap resamples of the source and the target rows; 0 for no interval. The most likely prior of
        each is found for the second-order expansion of the likelihood around the estimate.
    generator : Generator, optional
        The source of randomness of the resamples, on the device of the tensors.

    Returns
    -------
    LabelShift
        ``target_prior``, ``weights``, ``interval``, each with the dtype of the probabilities, and the ``report``, which
        describes the calibrated probabilities.

    Raises
    ------
    TypeError
        If the probabilities are not real floating-point, of one dtype, or the labels not integer; if ``level`` is not a
        number or ``n_resamples`` not an integer.
    ValueError
        If the shapes are not those above, a value is out of its range or NaN, or a row does not sum to 1.
    ValueError
        If a class has no source row.
    ValueError
        If the mean source probability of a class is 0: no target row could belong to it.
    ValueError
        If ``calibrate`` is true, and :func:`bias_corrected_temperature` finds no temperature.
    RuntimeError
        If the maximum is not reached.

    See Also
    --------
    bias_corrected_temperature : The calibration.
    bbse : Needs no calibrated probabilities.

    References
    ----------
    .. [1] M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs of a classifier to new a priori
       probabilities: a simple procedure", *Neural Computation* 14(1), 2002.
    .. [2] A. Alexandari, A. Kundaje and A. Shrikumar, "Maximum likelihood with bias-corrected calibration is
       hard-to-beat at label shift adaptation", *ICML*, 2020.

    Examples
    --------
    The classifier predicts with probability 3/4 and is right in 3 of 4 source rows; it predicts class 0 for 5 of 8
    target rows:

    >>> f = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> source, labels = f[[0, 0, 0, 1, 0, 1, 1, 1]], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> shift = saerens_em(source, labels, f[[0, 0, 0, 0, 0, 1, 1, 1]])
    >>> shift.target_prior, shift.weights
    (tensor([0.7500, 0.2500]), tensor([1.5000, 0.5000]))
    """
    check_resampling(level, n_resamples)
    outputs = classifier_outputs(
        source_probabilities,
        source_labels,
        target_probabilities,
        calibrate=calibrate,
        level=level,
        n_resamples=n_resamples,
        generator=generator,
    )
    if calibrate:
        outputs = _calibrated(outputs)
    f, q = outputs.target, outputs.source_mean(outputs.source)
    check_values("the mean source probability of each class", q, "> 0", lambda q: q > 0)
    p = q
    for _ in range(EM_STEPS):
        joint = p / q * f
        posterior = joint / joint.sum(dim=1, keepdim=True)  # E-step
        p = outputs.target_mean(posterior)  # M-step
    p = most_likely_prior(f / q, p, outputs.shards)  # EM alone may need thousands of further updates
    return build_result(
        CALIBRATED_EM if calibrate else "saerens_em",
        outputs,
        outputs,
        source_prior=q,
        solution=p,
        prior=p,
        resampled_priors=_resampled(outputs, p, q, n_resamples, generator) if n_resamples else [],
        level=level,
    )


def _calibrated(outputs: ClassifierOutputs) -> ClassifierOutputs:
    """Return the outputs with both sides calibrated by one map, fitted to the source."""
    source, target = (x.clamp(min=resolution(outputs.dtype) ** 2).log() for x in (outputs.source, outputs.target))
    calibrator = fit_calibrator(source, outputs.labels, 1.0, outputs.shards)
    return replace(outputs, source=calibrator(source), target=calibrator(target))


def _resampled(
    outputs: ClassifierOutputs, p: Tensor, q: Tensor, n_resamples: int, generator: Generator | None
) -> list[Tensor]:
    """Return the most likely prior of each resample, and the prior from the corrected scores.

    The first is that of the second-order expansion of the likelihood. In the weights there is no constraint: the mean
    log-likelihood less the sum of the weights times the source's prior is largest at the right weights. So the gradient
    of a resample is a difference of two means.
    """
    ratios = outputs.target / q
    shares = ratios / (ratios @ p)[:, None]
    shards = outputs.shards
    hessian = shards.sum(shares.T @ shares) / outputs.m
    source_priors = resampled_means(outputs.source, n_resamples, generator, shards) / q
    gradients = resampled_means(shares, n_resamples, generator, shards) - source_priors
    weighted = nonnegative_minimum(hessian, gradients + hessian @ p) * source_priors
    corrected = corrected_outputs(outputs, present_everywhere(p, outputs.m) / q)
    w = nearest_solution(*resampled_equations(corrected, n_resamples, generator, soft=True))
    return [weighted / weighted.sum(dim=1, keepdim=True), outputs.source_prior * w]
