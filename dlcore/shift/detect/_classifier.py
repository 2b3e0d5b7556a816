"""The classifier two-sample test, with a null distribution by permutation."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_count
from dlcore._shards import gathered
from dlcore._torch import cholesky

from ._effect import check_tolerance, limits_of_shares
from ._result import ShiftTest, check_samples, draw_splits, largest_of, permutation_p_value, pooled

PENALTY = 1.0  # of the ridge regression, as in the docstring
RELATIVE_STD = 1e-9  # of the mean: permuted statistics that vary less are equal but for rounding
ABSOLUTE_TIE = 1e-9  # in standard deviations: statistics this close are equal but for rounding
MAX_PRODUCT_VALUES = 2**26  # entries of the matrix of products, 512 MB, up to which "auto" tries them


def classifier_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    features: Literal["auto", "linear", "quadratic"] = "auto",
    tolerance: float = 0.0,
    n_permutations: int = 1000,
    generator: Generator | None = None,
) -> ShiftTest:
    r"""Return whether a classifier separates two samples.

    .. math::

        T = \frac1n \sum_{i \in x} f_{-i}(\mathbf{z}_i) - \frac1m \sum_{i \in y} f_{-i}(\mathbf{z}_i), \qquad
        f_{-i} = \arg\min_f \sum_{j \ne i} \bigl(f(\mathbf{z}_j) - c_j\bigr)^2 + \lVert\mathbf{w}\rVert^2

    where :math:`c_j` is 1/n for a row of x and −1/m for a row of y, and :math:`f(\mathbf{z}) = \mathbf{w}^\top
    \boldsymbol{\phi}(\mathbf{z}) + b` a ridge regression on standardized features: each row is scored by the model
    fitted without it. The statistic is T minus the mean of its null distribution, in standard deviations of it.

    The null distribution comes from B random permutations of the labels, with all leave-one-out fits of each. These
    take one matrix product, because the hat matrix does not depend on the labels. If k permutations have a statistic at
    least as large, :math:`p = (1 + k)/(1 + B)`. The predictions of cross-validation are not independent trials, so a
    binomial null distribution of the accuracy rejects too often.

    The size of the difference is Youden's J, twice the balanced accuracy minus 1: the difference of the shares of x and
    of y that the classifier assigns to x, and so a lower bound of the total variation. Its standard error is that of
    two independent shares, times the factor by which the permuted J exceed theirs. With a tolerance
    :math:`\varepsilon`, the test asks whether J exceeds it, by the normal limit.

    If the rows are sharded over processes, each process gathers all of them and computes the whole test.

    Parameters
    ----------
    x, y : Tensor, shape (n, d) and (m, d), n and m at least 2
        The samples.
    features : {"auto", "linear", "quadratic"}, default "auto"
        The inputs :math:`\boldsymbol{\phi}` of the classifier: ``"linear"`` the features themselves, which show shifted
        means; ``"quadratic"`` also their squares and products, d (d + 3) / 2 in all, which show changed scales and
        correlations; ``"auto"`` the larger statistic of the two, in the permutations as well. Where the quadratic
        inputs would exceed 2²⁶ values (1000 rows of 370 features), ``"auto"`` means ``"linear"``.
    tolerance : float, in [0, 1), default 0.0
        The largest J :math:`\varepsilon` that does not matter.
    n_permutations : int, at least 1, default 1000
        The number B of permutations; with fewer than 19, the test cannot reject at level 0.05.
    generator : torch.Generator, optional
        Draws the permutations; the global random state then stays unchanged.

    Returns
    -------
    ShiftTest
        The result; ``null`` holds the statistic of each permutation, ``accuracy`` the balanced accuracy on held-out
        rows, ``effect`` their J, or 0 if it is negative.

    Raises
    ------
    TypeError
        If ``x`` or ``y`` is not a real floating-point tensor, or their dtypes differ.
    TypeError
        If ``tolerance`` is not a real number, or ``n_permutations`` not an integer.
    ValueError
        If the shapes are not those above, or a value is infinite or NaN.
    ValueError
        If ``features`` is none of the above, or ``tolerance`` or ``n_permutations`` out of its range.

    See Also
    --------
    mmd_test : Detects any difference, in quadratic time.

    References
    ----------
    .. [1] D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", *ICLR*, 2017.
    .. [2] P. Golland and B. Fischl, "Permutation tests for classification: towards statistical significance in
       image-based studies", *IPMI*, 2003.

    Examples
    --------
    >>> x, y = torch.linspace(0, 1, 50).reshape(-1, 1), torch.linspace(2, 3, 50).reshape(-1, 1)
    >>> test = classifier_test(x, y, generator=torch.Generator().manual_seed(0))
    >>> test.accuracy, test.rejects(alpha=0.01)
    (1.0, True)
    >>> classifier_test(torch.ones(50, 1), torch.ones(50, 1)).p_value
    1.0
    """
    options = {"features": features, "tolerance": tolerance, "n_permutations": n_permutations}
    check_samples(x, y, at_least=2, **options, generator=generator)
    check_count("n_permutations", n_permutations, 1)
    if features not in {"auto", "linear", "quadratic"}:
        raise ValueError(f"features must be 'auto', 'linear' or 'quadratic', got {features!r}")
    check_tolerance(tolerance, "1", 1)
    x, y = gathered(x.detach()), gathered(y.detach())
    n, m = len(x), len(y)
    columns = _standardized(pooled(x, y, 0))
    models = [_ridge(phi) for phi in _inputs(columns, features)]

    def codes(in_x: Tensor) -> Tensor:
        return torch.where(in_x.T, columns.new_tensor(1 / n), -1 / m)

    splits = map(codes, draw_splits(n, n + m, n_permutations, generator, x.device))
    scores = [_scores([_left_out(model, c) for model in models], c) for c in splits]
    t, gain = (torch.cat(parts, dim=1) for parts in zip(*scores, strict=True))
    mean, std = t.mean(1, keepdim=True), t.std(1, keepdim=True)
    z, best = torch.where(std > RELATIVE_STD * mean.abs(), (t - mean) / std, 0).max(0)
    gain = gain.gather(0, best[None])[0]
    inflation = max(math.sqrt(4 * n * m / (n + m) * gain[1:].square().mean().item()), 1)  # of independent examples' std

    def p_value(tolerance: float) -> float:
        if tolerance == 0:
            return permutation_p_value(z, ABSOLUTE_TIE)
        std = inflation * math.sqrt((n + m) / (4 * n * m) - tolerance**2 / (n + m))
        return max(math.erfc((gain[0].item() - tolerance) / (math.sqrt(2) * std)) / 2, 1 / len(gain))

    lower, upper = limits_of_shares(gain[0].clamp(min=0), n, m, inflation=inflation)
    return ShiftTest(
        name="classifier z",
        statistic=z[0].item(),
        p_value=p_value(float(tolerance)),
        sizes=(n, m),
        null=z[1:],
        accuracy=(1 + gain[0].item()) / 2,
        tolerance=float(tolerance),
        effect_name="Youden's J",
        effect=max(gain[0].item(), 0.0),
        interval=(lower.item(), upper.item()),
    )


def _scores(left_out: list[Tensor], codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return T and Youden's J of each model and each column of labels, (models, B), from the left-out predictions."""
    t = torch.stack([(prediction * codes).sum(0) for prediction in left_out])
    signs = torch.stack([(prediction.sign() * codes).sum(0) for prediction in left_out])
    return t, signs / 2


def _inputs(columns: Tensor, features: str) -> list[Tensor]:
    """Return the inputs of each model that is tried: the columns, or also their products, or both of these."""
    n, d = columns.shape
    if features == "linear" or (features == "auto" and n * d * (d + 3) // 2 > MAX_PRODUCT_VALUES):
        return [columns]
    i, j = torch.triu_indices(d, d, device=columns.device)
    quadratic = torch.cat([columns, _standardized(columns[:, i] * columns[:, j])], dim=1)
    return [quadratic] if features == "quadratic" else [columns, quadratic]


def _standardized(columns: Tensor) -> Tensor:
    """Return the columns with mean 0 and standard deviation 1; a column that is constant but for rounding becomes 0."""
    columns = columns / largest_of(columns, 0)
    std, mean = torch.std_mean(columns, dim=0, correction=0)
    return torch.where(std > 1e-12, (columns - mean) / std, 0)


class _Ridge(NamedTuple):
    """A ridge regression of labels of mean 0 on the inputs, (n, d), before the labels are known."""

    inputs: Tensor
    to_weights: Tensor  # (d, n): its product with the labels gives the weights
    leverage: Tensor  # (n, 1): the diagonal of the hat matrix, which maps labels to predictions


def _ridge(inputs: Tensor) -> _Ridge:
    """Return the regression, from the smaller one of the two Gram matrices."""
    n, d = inputs.shape
    gram = inputs.T @ inputs if d <= n else inputs @ inputs.T
    gram.diagonal().add_(PENALTY)
    factor, _ = cholesky(gram)  # cannot fail: the inputs are standardized and the penalty is 1
    to_weights = torch.cholesky_solve(inputs.T, factor) if d <= n else torch.cholesky_solve(inputs, factor).T
    return _Ridge(inputs, to_weights, 1 / n + (inputs * to_weights.T).sum(1, keepdim=True))


def _left_out(model: _Ridge, codes: Tensor) -> Tensor:
    """Return each row's prediction by the model fitted without it, for columns of labels with mean 0."""
    prediction = model.inputs @ (model.to_weights @ codes)
    return (prediction - model.leverage * codes) / (1 - model.leverage)
