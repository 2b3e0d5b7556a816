"""The density ratio of least squared error, in closed form."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from dlcore._checks import check_number
from dlcore._torch import cholesky, eigh

from ._choice import told_apart
from ._features import CENTRES, Kernels, Standard, squared_distances, standardize
from ._ratio import DensityRatio, LogRatio, ratio_on
from ._samples import blocks, check_samples, draw_rows

__all__ = ["ulsif"]

SAMPLE = 2**12  # rows of each domain, at most, that width and penalty are chosen on
WIDTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)  # times the median distance of a target's row from a centre
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FLOOR = 1e-12  # of the mean on the target: what is left of a ratio that comes out at 0 or below


@dataclass(frozen=True)
class KernelSum:
    """The logarithm of a sum of kernels, where it is above its floor."""

    kernels: Kernels
    coefficients: Tensor
    floor: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logarithm of the sum at some points, in float64."""
        return (self.kernels(x) @ self.coefficients).clamp_min(self.floor).log()


def ulsif(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    alpha: float = 0.0,
    generator: Generator | None = None,
) -> DensityRatio:
    r"""Return the density ratio with the least squared error.

    .. math::

        \min_{\boldsymbol{\theta}}\ \frac12\boldsymbol{\theta}^\top\mathbf{H}\boldsymbol{\theta}
            - \mathbf{h}^\top\boldsymbol{\theta} + \frac{\lambda}{2}\lVert\boldsymbol{\theta}\rVert^2, \qquad
        \mathbf{H} = \frac{1-\alpha}{n}\sum_{i=1}^{n} \boldsymbol{\phi}_i\boldsymbol{\phi}_i^\top
            + \frac{\alpha}{m}\sum_{j=1}^{m} \boldsymbol{\phi}'_j\boldsymbol{\phi}_j'^\top,
        \quad \mathbf{h} = \frac1m\sum_{j=1}^{m} \boldsymbol{\phi}'_j

    where :math:`\boldsymbol{\phi}_i` are, at row :math:`i` of the source, Gaussian kernels around 100 rows of the
    target, and :math:`\boldsymbol{\phi}'_j` the same at row :math:`j` of the target. The ratio is
    :math:`\max(0, \boldsymbol{\theta}^\top\boldsymbol{\phi})`: it is cut off at 0 and not its coefficients, which would
    make another solution of this one. With :math:`\alpha > 0` it is the relative ratio
    :math:`p / (\alpha p + (1 - \alpha) q)`, which no point can make larger than :math:`1/\alpha`; divided by its mean
    on the source, like every ratio here that is off 1 by over a tenth. Width and :math:`\lambda` have the least squared
    error on rows left out, whose values need no second fit: with :math:`\mathbf{B} = \mathbf{H} + \lambda\mathbf{I}`,
    :math:`r = \boldsymbol{\phi}^\top\mathbf{B}^{-1}\mathbf{h}` and
    :math:`g = \boldsymbol{\phi}^\top\mathbf{B}^{-1}\boldsymbol{\phi}` at a row, they are

    .. math::

        \frac{r}{1 - \frac{1-\alpha}{n} g} \ \text{(source)}, \qquad
        \frac{r - g/m}{1 - \frac{\alpha}{m} g} \ \text{(target)}

    by the formula of Sherman and Morrison. They are chosen on 4096 rows of each domain at most; H and h are sums over
    all rows, in blocks.

    Parameters
    ----------
    source : Tensor, shape (n, d)
        The rows to be weighted.
    target : Tensor, shape (m, d)
        Rows from the distribution that counts.
    alpha : float, in [0, 1), default 0
        The share of the target in the denominator; 0 for the ratio itself.
    generator : torch.Generator, optional
        What centres, and rows to choose on, are drawn from; then the global random state is left alone.

    Returns
    -------
    DensityRatio
        The weights of the source, the ratio as a function of new points, and a report with its verdict.

    Raises
    ------
    TypeError
        If ``source`` or ``target`` is not a real floating-point tensor, or they differ in dtype.
    TypeError
        If ``alpha`` is not a real number.
    ValueError
        If ``source`` or ``target`` is not a matrix with a row and a column, or they differ in their columns.
    ValueError
        If an entry of ``source`` or ``target`` is not finite, or ``alpha`` is not in [0, 1).

    See Also
    --------
    logistic_ratio : More accurate where the log-ratio is linear or quadratic.
    dlcore.importance.flatten_weights : Another way to keep weights small.

    References
    ----------
    .. [1] T. Kanamori, S. Hido and M. Sugiyama, "A least-squares approach to direct importance estimation", *Journal of
       Machine Learning Research* 10, 2009.
    .. [2] M. Yamada, T. Suzuki, T. Kanamori, H. Hachiya and M. Sugiyama, "Relative density-ratio estimation for robust
       distribution comparison", *Neural Computation* 25(5), 2013.

    Examples
    --------
    Of the source one half is at 0, of the target a quarter; the penalty draws the ratios, ½ and 3/2, towards 0:

    >>> source = torch.tensor([[0.0], [1.0]]).repeat_interleave(200, dim=0)
    >>> target = torch.tensor([[0.0], [1.0], [1.0], [1.0]]).repeat_interleave(100, dim=0)
    >>> ratio = ulsif(source, target)(torch.tensor([[0.0], [1.0]]))
    >>> bool((abs(ratio - torch.tensor([0.5, 1.5])) < 0.25).all())
    True
    """
    check_samples(source, target)
    check_number("alpha", alpha, "in [0, 1)", lambda alpha: 0 <= alpha < 1)
    with torch.no_grad():
        some, others = (draw_rows(x, SAMPLE, generator) for x in (source, target))
        columns = standardize(source, target)
        centres = columns(draw_rows(others, CENTRES, generator))
        width, penalty = _choose(columns, centres, some, others, alpha)
        kernels = Kernels(columns, centres, width)

        curvature, height = centres.new_zeros(len(centres), len(centres)), centres.new_zeros(len(centres))
        for x, share in ((source, 1 - alpha), (target, alpha)):
            for rows in blocks(x, len(centres)):
                values = kernels(rows)
                curvature.addmm_(values.mT, values, alpha=share / len(x))
                height += values.sum(0) * (x is target) / len(target)
        factor, _ = cholesky(curvature + penalty * torch.eye(len(centres), dtype=centres.dtype, device=centres.device))
        coefficients = torch.cholesky_solve(height[:, None], factor)[:, 0]
        model = KernelSum(kernels, coefficients, FLOOR * float(height @ coefficients))
        return ratio_on(
            source,
            LogRatio(model, source.shape[1], len(centres)),
            n_target=len(target),
            apart=[told_apart(source, target, columns)],
            features="kernel",
        )


def left_out(of_source: Tensor, of_target: Tensor, penalties: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return the ratio at each row, of source and of target, as a fit without that row has it.

    Kernels are (widths, rows, centres); the ratios are (widths, rows, penalties).
    """
    n, m = of_source.shape[-2], of_target.shape[-2]
    curvature = (1 - alpha) / n * of_source.mT @ of_source + alpha / m * of_target.mT @ of_target
    values, vectors = eigh(curvature)
    inverse = 1 / (values.clamp_min(0)[..., None] + penalties)
    height = vectors.mT @ of_target.mean(-2)[..., None]
    (ratio, reach), (new_ratio, new_reach) = (
        (z @ (inverse * height), (z * z) @ inverse) for z in (of_source @ vectors, of_target @ vectors)
    )
    return ratio / (1 - (1 - alpha) / n * reach), (new_ratio - new_reach / m) / (1 - alpha / m * new_reach)


def _choose(columns: Standard, centres: Tensor, source: Tensor, target: Tensor, alpha: float) -> tuple[float, float]:
    """Return the width and the penalty with the least squared error on rows left out."""
    distances = [squared_distances(columns(x), centres) for x in (source, target)]
    widths = centres.new_tensor(WIDTHS) * (float(distances[1].median()) ** 0.5 or 1.0)
    penalties = centres.new_tensor(PENALTIES)
    kernels = [(distance / (-2 * widths[:, None, None] ** 2)).exp() for distance in distances]
    old, new = (ratio.clamp_min(0) for ratio in left_out(kernels[0], kernels[1], penalties, alpha))
    loss = (1 - alpha) / 2 * old.square().mean(1) + alpha / 2 * new.square().mean(1) - new.mean(1)
    best = int(loss.argmin())
    return float(widths[best // len(penalties)]), float(penalties[best % len(penalties)])
