"""The most likely label shift, by expectation maximization."""

import math

import torch
from jaxtyping import Float, Integer
from torch import Generator, Tensor

from dlcore._checks import check_values
from dlcore._numerics import percentile_interval
from dlcore._torch import solve
from dlcore.shift.label._calibration import bias_corrected_temperature
from dlcore.shift.label._report import LabelShift, conclude, resolution
from dlcore.shift.label._rows import Rows, check_resampling, read, resampled_means

__all__ = ["nonnegative_minimum", "saerens_em"]

STEPS, EM_STEPS = 1000, 20  # in all, and before Newton's method, which is slow to bring back what it took for absent
TOLERANCE = 1e-10  # of the mean log-likelihood
HALVINGS = 10  # of a step of Newton's method, before it is given up for one of EM
ROUNDS, PATIENCE = 20, 3  # of setting free and binding, for each class, and without progress


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
    :math:`f` over the source: were the target the source, no shift would be found. The update on the right is repeated,
    and Newton's method takes over after twenty times, until no prior is more likely by more than 1e-10 in the mean
    logarithm. EM takes the probabilities at their word, so they must be calibrated, those of source and target by one
    map: with ``calibrate=True`` this is done here, and the labels are needed for it; otherwise they serve the report
    alone.

    Parameters
    ----------
    source_probabilities : Tensor, shape (n, k), in [0, 1]
        What the classifier says of held-out source rows, not of those it was trained on; each row must sum to 1, to
        within a hundredth.
    source_labels : Tensor of integers, shape (n,), in [0, k)
        Their classes; each class must be there.
    target_probabilities : Tensor, shape (m, k), in [0, 1]
        What the same classifier says of target rows.
    calibrate : bool, default False
        Whether to calibrate both by :func:`bias_corrected_temperature`, fitted to the logarithms of the source's
        probabilities; where logits are at hand, calibrate these by it: a probability of 0 has lost them.
    level : float, in (0, 1), default 0.95
        The share of the resamples inside the interval.
    n_resamples : int, at least 0, default 500
        The number of times source and target rows are drawn again; 0 for no interval. The most likely prior of each is
        found for the second-order expansion of the likelihood around the estimate.
    generator : Generator, optional
        The source of randomness of the resamples, on the device of the tensors.

    Returns
    -------
    LabelShift
        ``target_prior``, ``weights``, ``interval``, each with the dtype of the probabilities, and the ``report``, on
        the calibrated probabilities.

    Raises
    ------
    TypeError
        If the probabilities are not real floating-point, of one dtype, or the labels not integer; if ``level`` is no
        number or ``n_resamples`` no integer.
    ValueError
        If the shapes are not those above, a value is out of its range or NaN, or a row does not sum to 1.
    ValueError
        If a class has no source row.
    ValueError
        If the mean source probability of a class is 0: no target row could be of it.
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
    The classifier says 3/4 where it is right in 3 of 4 source rows, and takes 5 of 8 target rows for class 0:

    >>> says = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> source, labels = says[[0, 0, 0, 1, 0, 1, 1, 1]], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> shift = saerens_em(source, labels, says[[0, 0, 0, 0, 0, 1, 1, 1]])
    >>> shift.target_prior, shift.weights
    (tensor([0.7500, 0.2500]), tensor([1.5000, 0.5000]))
    """
    check_resampling(level, n_resamples)
    rows = read(source_probabilities, source_labels, target_probabilities)
    if calibrate:
        rows = _calibrated(rows)
    return _estimate(rows, level, n_resamples, generator)


def _calibrated(rows: Rows) -> Rows:
    """Return the rows with both sides calibrated by one map, fitted to the source."""
    source, target = (x.clamp(min=resolution(rows.dtype) ** 2).log() for x in (rows.source, rows.target))
    calibrator = bias_corrected_temperature(source, rows.labels)
    return Rows(calibrator(source), rows.labels, calibrator(target), rows.dtype)


@torch.no_grad()
def _estimate(rows: Rows, level: float, n_resamples: int, generator: Generator | None) -> LabelShift:
    source_prior = rows.source.mean(dim=0)
    check_values("the mean source probability of each class", source_prior, "> 0", lambda q: q > 0)
    prior = _most_likely(rows.target / source_prior, source_prior)
    interval = None
    if n_resamples:
        priors = _resampled(rows, prior, source_prior, n_resamples, generator)
        interval = percentile_interval(priors, level)
    return conclude("saerens_em", rows, rows, source_prior=source_prior, solution=prior, prior=prior, interval=interval)


def _most_likely(ratios: Tensor, prior: Tensor) -> Tensor:
    """Return the prior under which rows of likelihood ratios are most likely: EM at first, then Newton's method.

    The factor by which EM would multiply the class that grows most bounds how much likelihood is left to be gained. The
    sum of the prior, taken off the mean log-likelihood, is what keeps it at 1.
    """
    for count in range(STEPS):
        mixture = ratios @ prior
        shares = ratios / mixture[:, None]
        growth = shares.mean(dim=0)
        most = float(growth.max() * prior.sum())
        if most <= 1 + TOLERANCE:
            return prior * growth
        if not math.isfinite(most):
            break
        to = prior * growth
        if count >= EM_STEPS:
            hessian = shares.T @ shares / len(shares)
            step = nonnegative_minimum(hessian, (growth - 1 + hessian @ prior)[None])[0] - prior
            slope = float(step @ (growth - 1))
            for length in 0.5 ** torch.arange(HALVINGS):
                newton = prior + float(length) * step
                gain = ((ratios @ newton) / mixture).log().mean() - float(length) * step.sum()
                if float(gain) >= 1e-4 * float(length) * slope > 0:
                    to = newton
                    break
        prior = to
    raise RuntimeError(
        f"no most likely prior found in {STEPS} steps: a class is all but absent from source_probabilities"
    )


def _resampled(
    rows: Rows, prior: Tensor, source_prior: Tensor, n_resamples: int, generator: Generator | None
) -> Tensor:
    """Return the most likely prior of each resample, for the second-order expansion of the likelihood.

    In the weights, the constraint is gone: the log-likelihood less the sum of the weights times the source's prior is
    greatest where they are right. So a resample's gradient is a difference of two means.
    """
    shares = rows.target / source_prior
    shares = shares / (shares @ prior)[:, None]
    hessian = shares.T @ shares / len(shares)
    source_priors = resampled_means(rows.source, n_resamples, generator) / source_prior
    gradients = resampled_means(shares, n_resamples, generator) - source_priors
    weighted = nonnegative_minimum(hessian, gradients + hessian @ prior) * source_priors
    return weighted / weighted.sum(dim=1, keepdim=True)


def nonnegative_minimum(hessian: Tensor, c: Tensor) -> Tensor:
    r"""Return, for each row c, the x >= 0 at which :math:`\frac12 x^\top H x - c^\top x` is least.

    Free entries below 0 are bound to 0, and bound ones whose slope there is negative set free, all at a time for as
    long as there are ever fewer of them, and then the last of them alone, which cannot go in circles.
    """
    k = len(hessian)
    scale = hessian.diagonal().clamp(min=1e-300).rsqrt()
    eye = torch.eye(k, dtype=c.dtype, device=c.device)
    hessian, c = hessian * scale[:, None] * scale + 1e-12 * eye, c * scale
    tolerance = 1e-12 * c.abs().amax(dim=1, keepdim=True)
    free, fewest, patience = (
        torch.ones_like(c, dtype=torch.bool),
        c.new_full((len(c), 1), k + 1),
        c.new_zeros(len(c), 1),
    )
    places = torch.arange(k, device=c.device)
    x = c
    for _ in range(ROUNDS * k):
        systems = torch.where(free[:, :, None] & free[:, None, :], hessian, eye)
        x = solve(systems, (c * free)[:, :, None])[:, :, 0]
        wrong = torch.where(free, x < -tolerance, x @ hessian < c - tolerance)
        count = wrong.sum(dim=1, keepdim=True)
        if not bool(count.any()):
            break
        patience = torch.where(count < fewest, PATIENCE, patience - 1)
        fewest = torch.minimum(fewest, count)
        last = (places * wrong).amax(dim=1, keepdim=True)
        free = free ^ (wrong & ((patience > 0) | (places == last)))
    return x.clamp(min=0) * scale
