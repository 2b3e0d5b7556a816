"""Calibration of a classifier's probabilities, which EM requires."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from dlcore._checks import check_floating, check_integer, check_nonnegative, check_number, check_values
from dlcore._newton import Derivatives, Objective, minimize_convex
from dlcore._numerics import accumulation_dtype
from dlcore._shards import OneProcess, Shards, as_rows_of, check_rows, local_rows, shards_of
from dlcore._torch import loadable
from dlcore.shift.label._rows import check_logits

__all__ = ["Calibrator", "bias_corrected_temperature", "fit_calibrator"]

START_RATIO = 4  # of the temperatures of two starts
TOLERANCE = 1e-12  # of the mean loss, before the last step, which squares it
MIN_PENALTY = 1e-12  # below it, rounding would hide the penalty of rows that are classified correctly
MAX_PENALTY_PER_ROW = 1e9  # beyond it, rounding would hide the labels
REMEDY = "lower penalty, or the range of logits"


@loadable
@dataclass(frozen=True, eq=False)
class Calibrator:
    r"""A map from logits to calibrated probabilities, for source and target alike.

    .. math::

        \operatorname{softmax}(\mathbf{z} / T + \mathbf{b})

    Parameters
    ----------
    temperature : Tensor, shape (), in (0, inf)
        The temperature :math:`T`: above 1 for an over-confident classifier, below for an under-confident one.
    biases : Tensor, shape (k,)
        The biases :math:`\mathbf{b}`, which sum to 0.

    See Also
    --------
    bias_corrected_temperature : Fits it.

    Examples
    --------
    A temperature of 2 halves the log-odds, here from log 9 to log 3:

    >>> calibrate = Calibrator(temperature=torch.tensor(2.0), biases=torch.zeros(2))
    >>> calibrate(torch.tensor([[1.0, 9.0]]).log())
    tensor([[0.2500, 0.7500]])
    """

    temperature: Float[Tensor, ""]
    biases: Float[Tensor, "k"]

    def __call__(self, logits: Float[Tensor, "*m k"]) -> Float[Tensor, "*m k"]:
        """Return the calibrated probabilities of logits, with their dtype."""
        check_rows(logits=logits)
        check_floating(logits=logits)
        if logits.shape[-1:] != self.biases.shape:
            raise ValueError(f"logits must have shape (*, {len(self.biases)}), got {tuple(logits.shape)}")
        wide = accumulation_dtype(torch.promote_types(logits.dtype, self.biases.dtype))
        calibrated = torch.softmax(local_rows(logits).to(wide) / self.temperature + self.biases, dim=-1)
        return as_rows_of(logits, calibrated.to(logits.dtype))


def bias_corrected_temperature(
    logits: Float[Tensor, "n k"], labels: Integer[Tensor, "n"], *, penalty: float = 1.0
) -> Calibrator:
    r"""Return the temperature and the biases that make the labels most likely.

    .. math::

        \min_{a,\, \mathbf{b}}\ -\sum_{i=1}^{n} \Bigl(\log f_{i y_i}
            + \frac{\lambda}{n} \sum_{j=1}^{k} \frac1k \log f_{ij}\Bigr),
            \qquad \mathbf{f}_i = \operatorname{softmax}(a\,\mathbf{z}_i + \mathbf{b}), \quad a = 1/T

    where :math:`\mathbf{z}_i` are the logits. The penalty acts like :math:`\lambda` pseudo-observations with uniform
    labels: it keeps the temperature above 0 if every row is classified correctly. Apply the result to the logits of the
    source and of the target: calibrating only one side leaves EM unchanged, or makes it worse. Without penalty, as the
    method was published, the mean probability of each class on the fitted rows is exactly its share of the labels.

    Parameters
    ----------
    logits : Tensor, shape (n, k)
        The logits of held-out rows, or the logarithms of probabilities.
    labels : Tensor of integers, shape (n,), in [0, k)
        Their classes; each class must occur.
    penalty : float, in [0, 1e9 n], default 1.0
        The penalty :math:`\lambda`; below 1e-12, at least one row must be classified wrong.

    Returns
    -------
    Calibrator
        The map, with ``temperature`` and ``biases`` in the dtype of ``logits``.

    Raises
    ------
    TypeError
        If ``logits`` is not a real floating-point tensor, ``labels`` not integer, or ``penalty`` not a real number.
    ValueError
        If the shapes are not those above, or a value is out of its range or not finite.
    ValueError
        If a class is absent: its bias has no bound.
    ValueError
        If ``penalty`` is below 1e-12 and some temperature and biases classify every row correctly: the temperature
        falls to 0.
    ValueError
        If labels are less likely where their logits are larger: no positive temperature corrects that.
    RuntimeError
        If the minimum is not reached.

    See Also
    --------
    saerens_em : Includes it with ``calibrate=True``.
    dlcore.metrics.calibration_error : The difference between confidence and accuracy.

    References
    ----------
    .. [1] A. Alexandari, A. Kundaje and A. Shrikumar, "Maximum likelihood with bias-corrected calibration is
       hard-to-beat at label shift adaptation", *ICML*, 2020.

    Examples
    --------
    A classifier that is right in 3 of 4 rows should have the confidence 3/4:

    >>> logits = torch.tensor([[8.0, 0.0], [0.0, 8.0]]).repeat_interleave(4, dim=0)
    >>> calibrate = bias_corrected_temperature(logits, torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]), penalty=0)
    >>> calibrate(torch.tensor([[8.0, 0.0], [0.0, 8.0], [0.0, 0.0]]))
    tensor([[0.7500, 0.2500],
            [0.2500, 0.7500],
            [0.5000, 0.5000]])
    """
    check_rows(logits=logits, labels=labels, penalty=penalty)
    check_nonnegative("penalty", penalty)
    check_floating(logits=logits)
    check_integer(labels=labels)
    check_logits("logits", logits, "labels", labels)
    check_values("logits", logits, "finite", torch.isfinite)
    most = MAX_PENALTY_PER_ROW * len(logits)
    check_number("penalty", penalty, f"<= {most:.3g} for {len(logits)} rows", lambda penalty: penalty <= most)
    return fit_calibrator(local_rows(logits.detach()), local_rows(labels).long(), penalty, shards_of(logits))


@torch.no_grad()
def fit_calibrator(logits: Tensor, labels: Tensor, penalty: float, shards: OneProcess | Shards) -> Calibrator:
    """Return the calibrator of the logits of this process and of all others, by Newton's method.

    The parameters of the search are the inverse temperature times the scale of the logits, and then the biases.
    """
    z, k = logits.double(), logits.shape[1]
    scale = shards.max(z.abs()).clamp(min=torch.finfo(z.dtype).tiny)
    z = z / scale
    z = z - z.mean(dim=1, keepdim=True)
    counts = shards.sum(torch.bincount(labels, minlength=k))
    n = int(counts.sum())
    objective = _objective(z, labels, penalty, n, shards)
    start = _best_start(objective, scale, (counts / n).log().to(z.dtype))
    params, factor = minimize_convex(objective, start, tolerance=TOLERANCE * n, remedy=REMEDY)
    _check_bounded(params, shards.max(z.abs()), n, factor, penalty)
    inverse, biases = params[0] / scale, params[1:] - params[1:].mean()
    return Calibrator((1 / inverse).to(logits.dtype), biases.to(logits.dtype))


def _objective(z: Tensor, labels: Tensor, penalty: float, n: int, shards: OneProcess | Shards) -> Objective:
    """Return the penalized loss of parameters and its derivatives, from n rows of all processes."""
    k = z.shape[1]
    targets = torch.full_like(z, penalty / n / k).scatter_add(1, labels[:, None], z.new_ones(len(z), 1))
    row_mass = 1 + penalty / n
    observed = shards.sum(torch.cat([(targets * z).sum()[None], targets.sum(dim=0)]))
    gauge = z.new_ones(k + 1, k + 1)  # adding one number to all biases changes no probability: this fixes it
    gauge[0], gauge[:, 0] = 0, 0

    def objective(params: Tensor) -> tuple[Tensor, Derivatives]:
        logits = params[0] * z + params[1:]

        def derivatives() -> tuple[Tensor, Tensor]:
            p = logits.softmax(dim=1)
            pz = p * z
            row_means = torch.cat([pz.sum(dim=1, keepdim=True), p], dim=1)
            expected, of_pz, square, outer = shards.sums(
                row_means.sum(dim=0), pz.sum(dim=0), (pz * z).sum(), row_means.T @ row_means
            )
            hessian = torch.diag(expected)
            hessian[0, 0] = square
            hessian[0, 1:] = hessian[1:, 0] = of_pz
            return row_mass * expected - observed, row_mass * (hessian - outer) + gauge

        return row_mass * shards.sum(logits.logsumexp(dim=1).sum()) - params @ observed, derivatives

    return objective


def _best_start(objective: Objective, scale: Tensor, log_shares: Tensor) -> Tensor:
    """Return the parameters of least loss among the classifier's own, higher temperatures, and the label shares alone.

    Probabilities of 0 and 1 have no curvature that Newton's method could follow.
    """
    best = torch.cat([scale[None], torch.zeros_like(log_shares)])
    least, softer = float(objective(best)[0]), best / START_RATIO
    while (loss := float(objective(softer)[0])) < least:
        best, least, softer = softer, loss, softer / START_RATIO
    shares_alone = torch.cat([scale.new_zeros(1), log_shares - log_shares.mean()])
    return shares_alone if float(objective(shares_alone)[0]) < least else best


def _check_bounded(params: Tensor, largest: Tensor, n: int, factor: Tensor, penalty: float) -> None:
    """Raise ValueError unless the temperature is positive, and does not tend to 0.

    ``largest`` is the largest scaled logit of n rows. ``factor`` is the Cholesky factor of the second derivatives,
    which vanish along the parameters if the loss has no minimum.
    """
    if not params[0] > 0:
        raise ValueError("logits must be larger for the true labels: the best temperature is not positive")
    still_falling = float(params[0] * largest) > 10 and float((params @ factor).square().sum()) < 1e-8 * n
    if penalty < MIN_PENALTY and still_falling:
        raise ValueError(
            f"logits must not classify every row correctly when penalty is {penalty:g}: "
            "the loss keeps falling as the temperature tends to 0"
        )
