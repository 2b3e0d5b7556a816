"""The fast way to the most likely prior: Newton's method, where expectation maximization takes thousands of updates."""

import math

import torch
from torch import Tensor

from dlcore._shards import OneProcess, Shards
from dlcore._torch import solve

__all__ = ["most_likely_prior", "nonnegative_minimum"]

MAX_STEPS = 1000
MAX_GAIN = 1e-10  # of the mean log-likelihood, that is left at the end
NEWTON_LENGTHS = (1.0, 1 / 4, 1 / 16)  # fractions of Newton's step
RELATIVE_RIDGE = 1e-12  # of the diagonal of the matrix, so that it is positive definite
RELATIVE_ROUNDING = 1e-12  # of the largest entry of the linear term
MAX_ROUNDS_PER_CLASS = 20  # changes of the active set
MAX_FRUITLESS_ROUNDS = 3  # changes of the whole active set without fewer violations than ever before


def most_likely_prior(ratios: Tensor, p: Tensor, shards: OneProcess | Shards | None = None) -> Tensor:
    r"""Return the distribution :math:`p` that maximizes :math:`\frac1m\sum_i\log\sum_j r_{ij}\,p_j`.

    Each step is the best of one update of EM and of Newton's step at a few lengths, so the likelihood always grows as
    fast as by EM. Without the constraint :math:`\sum_j p_j = 1`, the objective less :math:`\sum_j p_j` has the same
    maximum. Its gradient is :math:`g_j - 1`, where :math:`g_j` is the factor by which EM multiplies :math:`p_j`; the
    largest of these factors bounds the gain that is left.

    Parameters
    ----------
    ratios : Tensor, shape (m, k), >= 0
        The likelihood ratios :math:`r_{ij}` of the rows.
    p : Tensor, shape (k,), >= 0
        Where the search starts; an entry of 0 is a class that is nearly absent there.
    shards : OneProcess or Shards, optional
        The processes that hold the other rows.

    Returns
    -------
    Tensor, shape (k,)
        The most likely prior.

    Raises
    ------
    RuntimeError
        If the maximum is not reached.
    """
    shards = OneProcess() if shards is None else shards
    lengths, m = p.new_tensor(NEWTON_LENGTHS)[:, None], int(shards.sum(torch.tensor(len(ratios), device=p.device)))
    for _ in range(MAX_STEPS):
        shares = ratios / (ratios @ p)[:, None]
        growth = shards.sum(shares.sum(dim=0)) / m
        gain_left = float(growth.max() * p.sum()) - 1
        if gain_left <= MAX_GAIN:
            return p * growth
        if not math.isfinite(gain_left):
            break
        gradient, hessian = growth - 1, shards.sum(shares.T @ shares) / m
        newton = nonnegative_minimum(hessian, (gradient + hessian @ p)[None]) - p
        steps = torch.cat([p[None] * gradient, lengths * newton])
        change = (shares @ steps.T).clamp(min=-1)  # of the likelihood of each row, relative; below -1 by rounding only
        losses = shards.sum((change.log1p() - change).sum(dim=0)) / m
        gains = steps @ gradient + losses  # keeps the digits of a small gain
        p = p + steps[gains.argmax()]
    raise RuntimeError(
        f"no most likely prior found in {MAX_STEPS} steps: a class is all but absent from source_probabilities"
    )


def nonnegative_minimum(hessian: Tensor, c: Tensor) -> Tensor:
    r"""Return, for each row c, the x >= 0 that minimizes :math:`\frac12 x^\top H x - c^\top x`.

    An active-set method: free entries that come out negative are fixed at 0, and fixed entries with a negative slope
    are set free. All are changed at once as long as their number falls; after that only the last one, which cannot
    cycle.

    Parameters
    ----------
    hessian : Tensor, shape (k, k)
        The positive semidefinite matrix :math:`H`, which all rows share.
    c : Tensor, shape (b, k)
        The linear terms.

    Returns
    -------
    Tensor, shape (b, k), in [0, inf)
        The minima.

    Raises
    ------
    RuntimeError
        If rounding keeps the search from a minimum, as where the matrix is singular and c not in its range.
    """
    k = len(hessian)
    scale = hessian.diagonal().clamp(min=1e-300).rsqrt()
    eye = torch.eye(k, dtype=c.dtype, device=c.device)
    hessian, c = hessian * scale[:, None] * scale + RELATIVE_RIDGE * eye, c * scale
    tolerance = RELATIVE_ROUNDING * c.abs().amax(dim=1, keepdim=True)
    classes = torch.arange(k, device=c.device)
    free = torch.ones_like(c, dtype=torch.bool)
    fewest, rounds_left = c.new_full((len(c), 1), k + 1), c.new_zeros(len(c), 1)
    for _ in range(MAX_ROUNDS_PER_CLASS * k):
        systems = torch.where(free[:, :, None] & free[:, None, :], hessian, eye)
        x = solve(systems, (c * free)[:, :, None])[:, :, 0]
        violated = torch.where(free, x < -tolerance, x @ hessian < c - tolerance)
        n_violated = violated.sum(dim=1, keepdim=True)
        if not bool(n_violated.any()):
            return x.clamp(min=0) * scale
        rounds_left = torch.where(n_violated < fewest, MAX_FRUITLESS_ROUNDS, rounds_left - 1)
        fewest = torch.minimum(fewest, n_violated)
        last = (classes * violated).amax(dim=1, keepdim=True)
        free = free ^ (violated & ((rounds_left > 0) | (classes == last)))
    raise RuntimeError(
        f"no nonnegative prior found in {MAX_ROUNDS_PER_CLASS * k} rounds: source_probabilities hardly distinguish "
        f"some classes; merge them"
    )
