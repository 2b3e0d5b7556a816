"""The classifier two-sample test, with a null distribution by permutation."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_count
from dlcore._torch import cholesky

from ._result import ShiftTest, check_samples, draw_splits, largest_of, permutation_p_value, pooled

PENALTY = 1.0
TIE = 1e-9
MOST = 2**26  # values of products, 512 MB, beyond which they are not tried unasked


def classifier_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    features: Literal["auto", "linear", "quadratic"] = "auto",
    n_permutations: int = 1000,
    generator: Generator | None = None,
) -> ShiftTest:
    r"""Return whether a classifier can tell two samples apart.

    .. math::

        T = \frac1n \sum_{i \in x} f_{-i}(\mathbf{z}_i) - \frac1m \sum_{i \in y} f_{-i}(\mathbf{z}_i), \qquad
        f_{-i} = \arg\min_f \sum_{j \ne i} \bigl(f(\mathbf{z}_j) - c_j\bigr)^2 + \lVert\mathbf{w}\rVert^2

    where :math:`c_j` is 1/n for a row of x and −1/m for a row of y, and :math:`f(\mathbf{z}) = \mathbf{w}^\top
    \boldsymbol{\phi}(\mathbf{z}) + b` a ridge regression on standardized features: each row is scored by the model that
    was fitted without it. The statistic is by how many standard deviations of its null distribution T exceeds the mean.

    The null distribution is that of B random permutations of the labels, each with all its fits: the hat matrix does
    not depend on the labels, so these take one matrix product. Of them, let k have a statistic at least as large: then
    :math:`p = (1 + k)/(1 + B)`. Accuracies of cross-validation are no independent trials, and a binomial null for them
    rejects too often.

    Parameters
    ----------
    x, y : Tensor, shape (n, d) and (m, d), n and m at least 2
        The samples.
    features : {"auto", "linear", "quadratic"}, default "auto"
        What the classifier sees: ``"linear"`` the features, so that only their means matter; ``"quadratic"`` also their
        squares and products, d (d + 3) / 2 in all, so that scales and correlations matter; ``"auto"`` tries both, and
        takes the larger statistic, in each permutation alike. It does without the second where these would be more than
        2²⁶ values, as of 1000 rows of 370 features.
    n_permutations : int, at least 1, default 1000
        The number B of permutations; 19 is the least that can reject at level 0.05.
    generator : torch.Generator, optional
        What the permutations are drawn from; then the global random state is left alone.

    Returns
    -------
    ShiftTest
        With the statistic of each permutation in ``null``, and the balanced ``accuracy`` on rows left out.

    Raises
    ------
    TypeError
        If ``x`` or ``y`` is not a real floating-point tensor, or their dtypes differ.
    TypeError
        If ``n_permutations`` is not an integer.
    ValueError
        If the shapes are not those above, or a value is infinite or NaN.
    ValueError
        If ``features`` is none of the above, or ``n_permutations`` less than 1.

    See Also
    --------
    mmd_test : Sees any difference, at quadratic cost.

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
    check_samples(x, y, at_least=2)
    check_count("n_permutations", n_permutations, 1)
    if features not in {"auto", "linear", "quadratic"}:
        raise ValueError(f"features must be 'auto', 'linear' or 'quadratic', got {features!r}")
    n, m = len(x), len(y)
    rows = _standardized(pooled(x, y, 0))
    kinds = {features} if features != "auto" else {"linear", "quadratic"}
    if features == "auto" and len(rows) * rows.shape[1] * (rows.shape[1] + 3) // 2 > MOST:
        kinds = {"linear"}
    expansions = {"linear": lambda: rows, "quadratic": lambda: _with_products(rows)}
    models = [_hat(make()) for kind, make in expansions.items() if kind in kinds]
    chunks, correct = list[Tensor](), list[float]()
    for split in draw_splits(n, n + m, n_permutations, generator, x.device):
        codes = split.T * rows.new_tensor(1 / n + 1 / m) - 1 / m
        left_out = [_left_out(model, codes) for model in models]
        if not chunks:
            correct = [((f * codes > 0) * codes.abs()).sum().item() / 2 for f in left_out]
        chunks.append(torch.stack([(f * codes).sum(0) for f in left_out]))
    scores = torch.cat(chunks, dim=1)
    mean, std = scores.mean(1, keepdim=True), scores.std(1, keepdim=True)
    statistics, best = torch.where(std > TIE * mean.abs(), (scores - mean) / std, 0).max(0)
    return ShiftTest(
        name="classifier z",
        statistic=statistics[0].item(),
        p_value=permutation_p_value(statistics, TIE),
        sizes=(n, m),
        null=statistics[1:],
        accuracy=correct[int(best[0])],
    )


def _standardized(columns: Tensor) -> Tensor:
    """Return the columns with mean 0 and standard deviation 1; what is constant, but for rounding, becomes 0."""
    columns = columns / largest_of(columns, 0)
    std, mean = torch.std_mean(columns, dim=0, correction=0)
    return torch.where(std > 1e-12, (columns - mean) / std, 0)


def _with_products(rows: Tensor) -> Tensor:
    """Return the columns, their squares and their products, all standardized."""
    i, j = torch.triu_indices(rows.shape[1], rows.shape[1], device=rows.device)
    return torch.cat([rows, _standardized(rows[:, i] * rows[:, j])], dim=1)


def _hat(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs, what maps labels to weights of ridge regression, and how each label acts on its own fit."""
    n, d = inputs.shape
    gram = inputs.T @ inputs if d <= n else inputs @ inputs.T
    gram.diagonal().add_(PENALTY)
    factor, _ = cholesky(gram)
    to_weights = torch.cholesky_solve(inputs.T, factor) if d <= n else torch.cholesky_solve(inputs, factor).T
    return inputs, to_weights, 1 / n + (inputs * to_weights.T).sum(1)


def _left_out(model: tuple[Tensor, Tensor, Tensor], codes: Tensor) -> Tensor:
    """Return for each row the prediction of the model that was fitted without it, for labels of mean 0."""
    inputs, to_weights, leverage = model
    leverage = leverage[:, None]
    return (inputs @ (to_weights @ codes) - leverage * codes) / (1 - leverage)
