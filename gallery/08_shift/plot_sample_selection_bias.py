r"""
Sample selection bias: how good is an estimated density ratio?
==============================================================

A density ratio that a classifier estimates corrects a biased sample about as well as the exact
ratio does.

In short
--------

If an example enters the training data with a probability :math:`s(\mathbf{x})` that depends on its
inputs, the exact weights are proportional to :math:`1/s(\mathbf{x})`. Weights that are estimated
from the inputs alone lower the error of a misspecified model about as much as the exact ones, here
by a third, provided that the features of the classifier can express the ratio.

.. math::

    q(\mathbf{x}) = \frac{s(\mathbf{x})\, p(\mathbf{x})}{\mathbb{E}_p[s]}
    \qquad\Rightarrow\qquad
    \beta(\mathbf{x}) = \frac{p(\mathbf{x})}{q(\mathbf{x})}
    = \frac{\mathbb{E}_p[s]}{s(\mathbf{x})} .

*Prerequisites:* :doc:`covariate shift </auto_gallery/08_shift/plot_covariate_shift>`.
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer

from dlcore import datasets, linear
from dlcore.shift import covariate

# Change these numbers and run the script again.
seed = 0
halving = 3.0  # units of radius that halve the chance of being selected
n_draws = 40
n_source = 1000  # of the simulated data
n_target = 125
noise_std = 0.3
claims = {}

# %%
# Sample selection bias in real data
# ----------------------------------
#
# A tumour's area grows with the square of its radius, and a straight line through the 569 tumours
# of the breast cancer data is a compromise. Suppose that a tumour enters the training data with a
# probability :math:`s(x)` that falls as it grows: each three units of radius halve :math:`s(x)`.
# Because we made this bias ourselves, we know the ratio, which is proportional to :math:`1/s(x)`.
# The estimate does not know it: it sees only the inputs of the source and of the target.

cancer = torch.as_tensor(load_breast_cancer().data)
radius, area = cancer[:, :1], cancer[:, 3] / 100
chance = 2 ** (-(radius[:, 0] - radius.min()) / halving)


def draw(number):
    """Return the row indices of a biased source and of the target, and the generator."""
    generator = torch.Generator().manual_seed(seed + number)
    order = torch.randperm(len(cancer), generator=generator)
    pool, target = order[:379], order[379:]
    kept = torch.rand(len(pool), generator=generator) < chance[pool]
    return pool[kept], target, generator


def fit(rows, weights=None):
    """Return the weighted least squares line through the areas of some rows."""
    return linear.least_squares(radius[rows], area[rows], weights=weights)


source, target, generator = draw(2)
tumours = covariate.logistic_ratio(radius[source], radius[target], generator=generator)
unweighted, weighted = fit(source), fit(source, tumours.weights)
print(tumours.report)

claims["The source has smaller tumours than the target, by a unit of radius"] = (
    radius[source].mean() < radius[target].mean() - 1
)
claims["The report trusts the weights of this draw"] = tumours.report.trustworthy
claims["The weighted line is steeper"] = weighted.weight > unweighted.weight

# Figure
fig, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
ends = torch.linspace(6.5, 24, 71, dtype=torch.float64)[:, None]
ax.plot(ends, math.pi * ends**2 / 100, "C2", linewidth=6, alpha=0.3)
ax.plot(ends, linear.linear(ends, *unweighted), "C1")
ax.plot(ends, linear.linear(ends, *weighted), "C0")
ax.plot(radius[target, 0], [-1.5] * len(target), "|C3", alpha=0.5)
sizes = 20 * tumours.weights
ax.scatter(radius[source, 0], area[source], s=sizes, color="C0", alpha=0.6, linewidth=0)
ax.set(xlabel="radius", ylabel="area / 100", ylim=(-2.5, 19))
ax.set_title("Weights let the few large tumours count more")
ax.legend(["area of a circle", "unweighted", "weighted", "radii of the target"])
fig.set_label(
    "Area against radius of the source's tumours, along the curve of a circle's area. "
    "The source has few large tumours, drawn as large points; tick marks show that the "
    "target has more. The weighted line is steeper and passes closer to the large tumours."
)
plt.show()

# %%
# Over 40 draws, the estimated ratio lowers the error in the target by a third or more, and does as
# well as the exact ratio. It helps in nearly every draw. Yet the verdict is favourable less often:
# the weights have a heavy tail, because a few tumours represent many, and a few hundred rows cannot
# show that the tail ends.


def error_in_target(line, target):
    """Return the mean squared error of a line in the target."""
    return (linear.linear(radius[target], *line) - area[target]).square().mean()


compared, trusted = [], []
for number in range(n_draws):
    source, target, generator = draw(number)
    ratio = covariate.logistic_ratio(
        radius[source], radius[target], generator=generator
    )
    lines = [fit(source, w) for w in (None, 1 / chance[source], ratio.weights)]
    compared.append([error_in_target(line, target) for line in lines])
    trusted.append(ratio.report.trustworthy)
without, exact, estimated = torch.tensor(compared).T
helped = int((estimated < without).sum())
print(f"it helps in {helped} of {n_draws} draws, trusted in {sum(trusted)}")

claims["The estimated ratio lowers the error by a third"] = (
    estimated.mean() < 2 / 3 * without.mean()
)
claims["The estimated ratio is as good as the exact one"] = (
    0.8 < estimated.mean() / exact.mean() < 1.2
)
claims["It helps in 85 % of the draws"] = helped >= 0.85 * n_draws
claims["It is trusted less often than it helps"] = sum(trusted) < helped

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.7), layout="constrained")
limits = [0, float(without.max())]
ax.plot(limits, limits, "--", color=plt.rcParams["text.color"], label="no change")
ax.plot(without, exact, "oC1", alpha=0.6, label="exact ratio")
ax.plot(without, estimated, "oC0", alpha=0.6, label="estimated ratio")
ax.set(xlabel="squared error without weights", ylabel="squared error with weights")
ax.set_title("Below the line, the weights help")
ax.legend()
fig.set_label(
    "The error with weights against the error without, one point for each draw and ratio. "
    "Nearly all points are below the diagonal, those of the estimated ratio as far as those "
    "of the exact one."
)
plt.show()

# %%
# Against the truth: simulated data
# ---------------------------------
#
# With simulated data, the risk is known without error. The source is :math:`\mathcal{N}(0, 1)`, the
# target :math:`\mathcal{N}(1, 1)`, and :math:`y = x^2/2` plus noise. We draw forty samples and fit
# four lines to each: without weights, with the exact ratio, with the estimated ratio and, to show
# what is possible, with the labels of the 125 target rows. The risk of a line :math:`\hat y = ax +
# b` exceeds that of the best line by :math:`(a - 1)^2 + (a + b - 1)^2`. The estimated ratio is
# nearly as good as the exact one, and both come close to the labels of the target.

generator = torch.Generator().manual_seed(seed)
MEAN = torch.ones(1, dtype=torch.float64)


def labelled(x):
    """Return labels for the inputs, by the same rule in source and target."""
    noise = torch.randn(len(x), generator=generator, dtype=x.dtype)
    return x[:, 0].square() / 2 + noise_std * noise


names = ["unweighted", "exact ratio", "estimated ratio", "target's labels"]
excess = torch.zeros(len(names), n_draws, dtype=torch.float64)
for number in range(n_draws):
    drawn = datasets.gaussian_shift(n_source, n_target, mean=MEAN, generator=generator)
    x, y = drawn.source, labelled(drawn.source)
    ratio = covariate.logistic_ratio(
        x, drawn.target, features="linear", generator=generator
    )
    lines = [
        linear.least_squares(x, y, weights=weights)
        for weights in (None, drawn.log_ratio(x).exp(), ratio.weights)
    ]
    lines.append(linear.least_squares(drawn.target, labelled(drawn.target)))
    for i, (slope, intercept) in enumerate(lines):
        excess[i, number] = (slope - 1) ** 2 + (slope + intercept - 1) ** 2
mean = excess.mean(dim=1)
print(dict(zip(names, mean.tolist(), strict=True)))

claims["Without weights, the excess is near 1.25"] = abs(mean[0] - 1.25) < 0.1
claims["Weights or labels of the target lower the excess to a tenth"] = (
    mean[1:] < mean[0] / 10
).all()
claims["In the simulation, the estimated ratio is nearly as good as the exact one"] = (
    mean[2] < 2 * mean[1]
)
claims["The estimated ratio is better than no weights in each sample"] = (
    excess[2] < excess[0]
).all()

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for name, values in zip(names, excess, strict=True):
    ax.plot(values, [name] * n_draws, "|C0", markersize=12, alpha=0.5)
ax.plot(mean, names, "oC1")
ax.set(xscale="log", xlabel="excess risk: samples and mean", ylim=(3.5, -0.5))
fig.set_label(
    "Four rows of marks with their means: the excess risk of 40 lines per row, on a "
    "logarithmic axis. Without weights the mean is above 1. With the exact ratio, the "
    "estimated ratio or the target's labels it is about 0.04."
)
plt.show()

# %%
# The features must express the ratio
# -----------------------------------
#
# In the simulation above, the log-ratio was linear in :math:`x`. If the target is also narrower,
# the log-ratio is quadratic, and a linear classifier cannot represent it. So ``logistic_ratio``
# chooses the features by the classifier's loss on held-out rows.

narrow = datasets.gaussian_shift(1000, 500, mean=MEAN, std=0.6, generator=generator)
truth = narrow.log_ratio(narrow.source).exp()
found = {}
for features in ("linear", "auto"):
    ratio = covariate.logistic_ratio(
        narrow.source, narrow.target, features=features, generator=generator
    )
    error = (ratio.weights - truth).square().mean() / truth.square().mean()
    found[features] = ratio.report.features, float(error)
print(found)

claims["The classifier chooses quadratic features"] = found["auto"][0] == "quadratic"
claims["With quadratic features, the error of the weights is below 10 %"] = (
    found["auto"][1] < 0.1
)
claims["With linear features, it is more than five times as large"] = (
    found["linear"][1] > 5 * found["auto"][1]
)

# %%
# Conclusion
# ----------
#
# :func:`dlcore.shift.covariate.logistic_ratio` estimates the weights from the inputs of source and
# target alone, and chooses its features. Here they were about as good as the exact weights. They
# help because a line is the wrong model for an area:
# :doc:`/auto_gallery/08_shift/plot_when_correction_hurts` shows what they cost if the model is
# right.

# %%
# Exercises
# ---------
#
# **1.** Add the square of the radius to the inputs of the fit, so that the model is about right. How
# much do the weights help then?

# Solution
squares = torch.cat([radius, radius.square()], dim=1)
ratios = []
for number in range(n_draws):
    source, target, _ = draw(number)
    errors = [
        (linear.linear(squares[target], *model) - area[target]).square().mean()
        for model in (
            linear.ridge(squares[source], area[source], penalty=1e-6, weights=weights)
            for weights in (None, 1 / chance[source])
        )
    ]
    ratios.append(errors[1] / errors[0])
middle = torch.stack(ratios).median()
claims["With the right model, the weights change the error by less than a fifth"] = (
    0.8 < middle < 1.2
)

# %%
# **2.** What share of the tumours is selected on average, and how does this number turn
# :math:`1/s(x)` into a ratio of mean 1?

# Solution
share = chance.mean()
weights = share / chance
assert torch.isclose(
    (chance * weights).sum() / chance.sum(), torch.tensor(1.0).double()
), "over the selected tumours, E[s] / s has mean 1"

# %%
# **3.** Suppose the selection depends on the *area* given the radius: of equally wide tumours,
# larger ones are missed. Do weights of the radius correct this?

# Solution
by_circle = area - math.pi * radius[:, 0].square() / 100
small = (by_circle < by_circle.median()).nonzero().flatten()
ratio = covariate.logistic_ratio(radius[small], radius, generator=generator)
bias = (linear.linear(radius, *fit(small, ratio.weights)) - area).mean()
claims["Weights of the inputs leave the areas underestimated"] = bias < 0

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
