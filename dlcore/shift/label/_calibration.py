"""The calibration that makes a classifier's probabilities fit for EM."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from dlcore._checks import check_floating, check_integer, check_nonnegative, check_values
from dlcore._numerics import accumulation_dtype
from dlcore._torch import cholesky
from dlcore.shift.label._rows import check_logits

__all__ = ["Calibrator", "bias_corrected_temperature"]

STEPS, SHORTEST = 100, 1e-12
SOFTER = 4  # times the temperature, from start to start
ROUNDING = 1e-14  # of a loss
TOLERANCE = 1e-12  # of the mean loss, before the last step, which squares it


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
    """

    temperature: Float[Tensor, ""]
    biases: Float[Tensor, "k"]

    def __call__(self, logits: Float[Tensor, "*m k"]) -> Float[Tensor, "*m k"]:
        """Return the calibrated probabilities of logits, with their dtype."""
        check_floating(logits=logits)
        if logits.shape[-1:] != self.biases.shape:
            raise ValueError(f"logits must have shape (*, {len(self.biases)}), got {tuple(logits.shape)}")
        wide = accumulation_dtype(torch.promote_types(logits.dtype, self.biases.dtype))
        return torch.softmax(logits.to(wide) / self.temperature + self.biases, dim=-1).to(logits.dtype)


def bias_corrected_temperature(
    logits: Float[Tensor, "n k"], labels: Integer[Tensor, "n"], *, penalty: float = 1.0
) -> Calibrator:
    r"""Return the temperature and the biases that make the labels most likely.

    .. math::

        \min_{a,\, \mathbf{b}}\ -\sum_{i=1}^{n} \Bigl(\log f_{i y_i}
            + \frac{\lambda}{n} \sum_{j=1}^{k} \frac1k \log f_{ij}\Bigr),
            \qquad \mathbf{f}_i = \operatorname{softmax}(a\,\mathbf{z}_i + \mathbf{b}), \quad a = 1/T

    where :math:`\mathbf{z}_i` are the logits. The penalty :math:`\lambda` is worth as many rows that could be of any
    class: it keeps the temperature above 0 where every row is classified right. What comes back is called on the logits
    of the source and on those of the target: to calibrate one side only leaves EM where it was, or makes it worse.
    Without penalty, as the method was published, the mean probability of each class is on the rows of the fit exactly
    its share of the labels.

    Parameters
    ----------
    logits : Tensor, shape (n, k)
        The logits of held-out rows, or the logarithms of probabilities.
    labels : Tensor of integers, shape (n,), in [0, k)
        Their classes; each class must be there.
    penalty : float, in [0, inf), default 1.0
        The penalty :math:`\lambda`; with 0, not all rows may be classified right.

    Returns
    -------
    Calibrator
        The map, with ``temperature`` and ``biases`` in the dtype of ``logits``.

    Raises
    ------
    TypeError
        If ``logits`` is not a real floating-point tensor, ``labels`` not integer, or ``penalty`` no real number.
    ValueError
        If the shapes are not those above, or a value is out of its range or not finite.
    ValueError
        If a class is absent: its bias has no bound.
    ValueError
        If ``penalty`` is 0 and some temperature and biases classify every row right: the temperature falls to 0.
    ValueError
        If the labels are the less likely the larger their logits: no positive temperature mends that.
    RuntimeError
        If the minimum is not reached.

    See Also
    --------
    saerens_em : Calibrates by itself with ``calibrate=True``.
    dlcore.metrics.calibration_error : How far confidence and accuracy lie apart.

    References
    ----------
    .. [1] A. Alexandari, A. Kundaje and A. Shrikumar, "Maximum likelihood with bias-corrected calibration is
       hard-to-beat at label shift adaptation", *ICML*, 2020.

    Examples
    --------
    A classifier that is right in 3 of 4 rows should say 3/4, whatever it says:

    >>> logits = torch.tensor([[8.0, 0.0], [0.0, 8.0]]).repeat_interleave(4, dim=0)
    >>> calibrate = bias_corrected_temperature(logits, torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]), penalty=0)
    >>> calibrate(torch.tensor([[8.0, 0.0], [0.0, 8.0], [0.0, 0.0]]))
    tensor([[0.7500, 0.2500],
            [0.2500, 0.7500],
            [0.5000, 0.5000]])
    """
    check_nonnegative("penalty", penalty)
    check_floating(logits=logits)
    check_integer(labels=labels)
    check_logits("logits", logits, "labels", labels)
    check_values("logits", logits, "finite", torch.isfinite)
    inverse, biases = _fit(logits.detach().double(), labels.long(), penalty)
    return Calibrator((1 / inverse).to(logits.dtype), biases.to(logits.dtype))


@torch.no_grad()
def _fit(logits: Tensor, labels: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return the inverse temperature and the biases, by Newton's method from the best of some starts."""
    n, k = logits.shape
    scale = logits.abs().max().clamp(min=torch.finfo(logits.dtype).tiny)
    z = logits / scale
    z = z - z.mean(dim=1, keepdim=True)
    # the parameters are the inverse temperature times the scale, and the biases
    shares = (torch.bincount(labels, minlength=k) / n).log().to(z.dtype)
    flat, params = torch.cat([z.new_zeros(1), shares - shares.mean()]), torch.cat([scale[None], z.new_zeros(k)])
    targets = z.new_full((n, k), penalty / n / k).scatter_add(1, labels[:, None], z.new_ones(n, 1))
    mass = 1 + penalty / n  # of each row
    observed = torch.cat([(targets * z).sum()[None], targets.sum(dim=0)])
    gauge = z.new_ones(k + 1, k + 1)  # one number added to all biases changes nothing
    gauge[0], gauge[:, 0] = 0, 0

    def loss(params: Tensor) -> tuple[Tensor, Tensor]:
        logits = params[0] * z + params[1:]
        largest = logits.amax(dim=1, keepdim=True)
        p = (logits - largest).exp_()
        total = p.sum(dim=1, keepdim=True)
        return p.div_(total), mass * (total.log() + largest).sum() - params @ observed

    p, value = loss(params)
    softer = loss(params / SOFTER)
    while bool(softer[1] < value):  # where all is saturated there is no curvature to go by
        params, (p, value) = params / SOFTER, softer
        softer = loss(params / SOFTER)
    if bool((of_flat := loss(flat))[1] < value):
        params, (p, value) = flat, of_flat
    for _ in range(STEPS):
        pz = p * z
        expected = torch.cat([pz.sum()[None], p.sum(dim=0)])
        gradient = mass * expected - observed
        of_rows = torch.cat([pz.sum(dim=1, keepdim=True), p], dim=1)
        hessian = torch.diag(expected)
        hessian[0, 0] = (pz * z).sum()
        hessian[0, 1:] = hessian[1:, 0] = pz.sum(dim=0)
        hessian = mass * (hessian - of_rows.T @ of_rows) + gauge
        factor, failed = cholesky(hessian + torch.diag(1e-14 * hessian.diagonal() + 1e-300))
        step = torch.cholesky_solve(gradient[:, None], factor)[:, 0]
        decrement = float(gradient @ step)
        if bool(failed) or not 0 <= decrement < math.inf:
            break
        if decrement <= TOLERANCE * n:
            _check_bounded(params, z, hessian, penalty)
            params = params - step
            return params[0] / scale, params[1:] - params[1:].mean()
        before, length = value + ROUNDING * (n + value.abs()), 1.0
        p, value = loss(params - step)
        while not bool(value <= before - 1e-4 * length * decrement) and length > SHORTEST:
            length /= 2
            p, value = loss(params - length * step)
        params = params - length * step
    raise RuntimeError(f"no minimum found in {STEPS} steps")


def _check_bounded(params: Tensor, z: Tensor, hessian: Tensor, penalty: float) -> None:
    """Raise ValueError unless the temperature is positive, and not on its way to 0."""
    if not params[0] > 0:
        raise ValueError("logits must be larger where they are right: no positive temperature is the best one")
    still_falling = bool((params[0] * z).abs().max() > 10) and float(params @ hessian @ params) < 1e-8 * len(z)
    if penalty == 0 and still_falling:
        raise ValueError(
            "logits must not classify every row right when penalty is 0: "
            "the loss falls for ever as the temperature does"
        )
