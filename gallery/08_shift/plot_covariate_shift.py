r"""
Covariate shift: how does importance weighting correct it?
==========================================================

Weighting the training examples by a density ratio makes their mean loss estimate the risk on inputs
from another distribution.

In short
--------

Under covariate shift the inputs change from the source :math:`q` to the target :math:`p`, and the
labels of given inputs do not: then the risk in the target equals the risk in the source with each
example weighted by :math:`\beta = p/q`. A classifier that distinguishes target rows from source
rows estimates :math:`\beta`: it is :math:`n/m` times the classifier's odds, for :math:`n` source
rows and :math:`m` target rows.

.. math::

    \mathbb{E}_{p}\bigl[\ell(\mathbf{x}, y)\bigr]
        = \iint \ell(\mathbf{x}, y)\, p(y \mid \mathbf{x})\,
          \frac{p(\mathbf{x})}{q(\mathbf{x})}\, q(\mathbf{x})\, dy\, d\mathbf{x}
        = \mathbb{E}_{q}\bigl[\beta(\mathbf{x})\, \ell(\mathbf{x}, y)\bigr],
    \qquad \beta = \frac{p}{q} .

*Prerequisites:* linear and logistic regression, and expectations. *Reading time:* 20 minutes.

Setting
-------

A model is trained on examples from the *source* :math:`q` and used in the *target* :math:`p`. The
two may differ in three ways. Under **covariate shift**, :math:`p(\mathbf{x})` changes and
:math:`p(y \mid \mathbf{x})` does not: the patients are different, but the disease is the same.
Under **label shift**, :math:`p(y)` changes and :math:`p(\mathbf{x} \mid y)` does not: more people
are ill, but the illness looks the same. Under **concept shift**, :math:`p(y \mid \mathbf{x})`
itself changes: the same word means something else. Covariate shift can be corrected without any
label from the target, by the formula above. How do you get the ratio :math:`\beta`, and how much
does it help?
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer

from dlcore import datasets, importance, linear, risk
from dlcore.shift import covariate

generator = torch.Generator().manual_seed(0)
ink = plt.rcParams["text.color"]

# %%
# Importance weighting with the exact ratio
# -----------------------------------------
#
# We start with two known distributions, the source :math:`\mathcal{N}(0, 1)` and the target
# :math:`\mathcal{N}(1, 1)`, so that :math:`\beta(x) = e^{x - 1/2}`. In both, :math:`y = x^2/2` plus
# noise of standard deviation 0.3. The model is a straight line, which cannot be right everywhere.
# Near 0, where the source is, the best line is horizontal, :math:`\hat y = \frac12`. Near 1, where
# the target is, it is :math:`\hat y = x`. The source has 1000 examples with labels, and the target
# has 125 inputs without labels.

MEAN = torch.ones(1, dtype=torch.float64)


def labelled(x):
    """Return labels for the inputs, by the same rule in source and target."""
    noise = torch.randn(len(x), generator=generator, dtype=x.dtype)
    return x[:, 0].square() / 2 + 0.3 * noise


def squared_errors(line, x, y):
    """Return the squared error of each example."""
    return (linear.linear(x, *line) - y).square()


shift = datasets.gaussian_shift(1000, 125, mean=MEAN, generator=generator)
x, y = shift.source, labelled(shift.source)
exact = shift.log_ratio(x).exp()
unweighted = linear.least_squares(x, y)
weighted = linear.least_squares(x, y, weights=exact)

assert abs(unweighted.weight) < 0.15
assert abs(unweighted.bias - 0.5) < 0.1
assert abs(weighted.weight - 1) < 0.2
assert abs(weighted.bias) < 0.2

fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
shown = torch.randperm(1000, generator=generator)[:300]
ax.scatter(
    x[shown, 0], y[shown], s=10 * exact[shown], color="C0", alpha=0.35, linewidth=0
)
ends = torch.tensor([[-2.6], [3.4]], dtype=torch.float64)
ax.plot(ends, linear.linear(ends, *unweighted), color="C1")
ax.plot(ends, linear.linear(ends, *weighted), color="C0")
ax.text(-2.6, 0.7, "unweighted", color="C1")
ax.text(2.1, 2.9, "weighted", color="C0", ha="right")
for height, mean, text in ((4.3, 0, "source"), (3.8, 1, "target")):
    ax.plot([mean - 1, mean + 1], [height, height], color=ink, linewidth=2)
    ax.plot(mean, height, "|", color=ink, markersize=10, markeredgewidth=2)
    ax.text(mean - 1.1, height, text, ha="right", va="center")
ax.set(xlim=(-2.7, 3.5), ylim=(-2, 4.6), xlabel="x", ylabel="y")
ax.set_title("Weights fit the line where the target is")
fig.set_label(
    "Points along a parabola, larger further to the right. The unweighted line is nearly "
    "horizontal and fits the points around 0, where the source is. The weighted line "
    "rises and follows the parabola around 1, where the target is. Two bars show the "
    "mean of source and target and one standard deviation to each side."
)
plt.show()

# %%
# The size of a point is its weight. The bars extend one standard deviation to each side of the
# mean. In the target, the mean squared error of the horizontal line is :math:`\frac74 + 0.3^2 =
# 1.84`, and that of the rising line is :math:`\frac12 + 0.3^2 = 0.59`. In the source it is the
# other way round. The weighted risk, :func:`dlcore.risk.importance_weighted_risk`, needs no label
# from the target and is right about both lines on average, here over 400 samples. On a single
# sample its error can be large.

levels, slopes = [], []
for _ in range(400):
    drawn = datasets.gaussian_shift(1000, 0, mean=MEAN, generator=generator).source
    noisy, weights = labelled(drawn), shift.log_ratio(drawn).exp()
    for estimates, line in ((levels, 0.5), (slopes, drawn[:, 0])):
        errors = (line - noisy).square()
        plain = risk.empirical_risk(errors)
        estimates.append([plain, risk.importance_weighted_risk(errors, weights)])
levels, slopes = torch.tensor(levels), torch.tensor(slopes)
for name, estimates in (("horizontal", levels), ("rising", slopes)):
    print(name, "in source, in target:", estimates.mean(dim=0), estimates.std(dim=0))
right = (levels > slopes).double().mean(dim=0)
print("share of samples that choose the rising line:", right)

truths = ((levels, (0.59, 1.84)), (slopes, (1.84, 0.59)))
for estimates, truth in truths:
    error = estimates.mean(dim=0) - torch.tensor(truth)
    assert (error.abs() < 4 * estimates.std(dim=0) / 400**0.5).all()
assert right[0] == 0
assert right[1] > 0.95

# %%
# The price is a smaller effective number of examples. Here the *effective sample size* is
# :math:`n\,e^{-1}`: 368 of 1000.

report = importance.diagnose(exact)
assert math.isclose(shift.effective_sample_size, 1000 / math.e)
assert abs(report.effective_sample_size - 368) < 60
assert abs(report.mean_weight - 1) < 0.15

# %%
# Importance weighting with an estimated ratio
# --------------------------------------------
#
# In practice nobody knows the densities. But a classifier can learn to distinguish the target's
# rows, labelled 1, from the source's rows, labelled 0. Logistic regression maximizes the likelihood
# of these labels. Its loss :math:`-t\log\hat t - (1 - t)\log(1 - \hat t)` has only one nonzero term
# per row, since each label is 0 or 1. Of :math:`n` source rows and :math:`m` target rows near a
# point :math:`x`, the share :math:`\hat t = m\,p / (m\,p + n\,q)` comes from the target, so the
# classifier's odds are
#
# .. math::
#
#     e^{h(\mathbf{x})} = \frac{\hat t}{1 - \hat t}
#         = \frac{m}{n}\,\frac{p(\mathbf{x})}{q(\mathbf{x})},
#     \qquad\text{thus}\quad \beta(\mathbf{x}) = \frac{n}{m}\, e^{h(\mathbf{x})} .
#
# The odds themselves are the ratio only if both samples have the same size. The mean of a density
# ratio over the source is :math:`\int \frac{p}{q}\,q = 1`, so the mean of the odds is :math:`m/n`,
# here 125 / 1000.

rows = torch.cat([shift.source, shift.target])
domain = torch.cat([torch.zeros(1000), torch.ones(125)]).double()
classifier = linear.logistic_regression(rows, domain)
odds = linear.linear(x, *classifier).exp()
ratio = covariate.logistic_ratio(shift.source, shift.target, generator=generator)
print("odds:", importance.diagnose(odds).verdict)
print(ratio.report)

assert abs(odds.mean() - 0.125) < 0.02
assert abs(8 * odds.mean() - 1) < 0.1
assert abs(ratio.report.mean_weight - 1) < 0.1
assert "a density ratio has mean 1" in importance.diagnose(odds).verdict
assert ratio.report.trustworthy
assert ratio.report.features == "linear"

# %%
# :func:`dlcore.shift.covariate.logistic_ratio` includes the factor. Without it, every weight is
# eight times too small, and so is every risk that is computed with these weights, unless it is
# divided by the sum of the weights. The effective sample size does not reveal the mistake. Neither
# does the minimum, because multiplying all losses by one factor does not move it; but a penalty
# added to these losses would count eight times as much. The verdict of the report reveals it
# through the mean weight.

level = squared_errors(unweighted, x, y)
truth, eighth = (risk.importance_weighted_risk(level, w) for w in (8 * odds, odds))
divided = risk.importance_weighted_risk(level, odds, normalize=True)
again = linear.least_squares(x, y, weights=odds)
full = linear.least_squares(x, y, weights=8 * odds)

assert torch.isclose(eighth, truth / 8)
assert 0.8 < divided / truth < 1.2
assert torch.allclose(again.weight, full.weight)
assert torch.isclose(
    importance.effective_sample_size(odds), importance.effective_sample_size(8 * odds)
)

fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
grid = torch.linspace(-2.5, 3.5, 61, dtype=torch.float64)[:, None]
ax.plot(grid, shift.log_ratio(grid).exp(), color=ink, linewidth=6, alpha=0.25)
ax.plot(grid, ratio(grid), color="C0")
ax.plot(grid, linear.linear(grid, *classifier).exp(), color="C1")
ax.text(-2.4, 3, "exact", color=ink, alpha=0.7)
ax.text(-2.4, 1.6, "estimated, with n / m", color="C0")
ax.text(1.5, 0.06, "the odds alone,\n⅛ as large", color="C1")
ax.set(yscale="log", xlim=(-2.5, 3.5), xlabel="x", ylabel="ratio of the densities")
ax.set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
ax.set_yticks([], minor=True)
ax.set_title("The odds of a classifier lack the factor n / m")
fig.set_label(
    "The ratio of the densities against x on a logarithmic axis, a broad grey straight "
    "line. The estimate with the factor n / m lies close to it. The odds alone are "
    "parallel to the estimate and eight times lower."
)
plt.show()

# %%
# Is the estimate good enough? We draw forty samples and fit four lines to each: without weights,
# with the exact ratio, with the estimated ratio and, to show what is possible, with labels from the
# target itself. The risk is exact: for :math:`\hat y = ax + b` it is :math:`\frac12 + 0.3^2 + (a -
# 1)^2 + (a + b - 1)^2`.


def target_risk(line):
    """Return the expected squared error of a line in the target."""
    a, b = line.weight[0], line.bias
    return 0.59 + (a - 1) ** 2 + (a + b - 1) ** 2


risks = {"unweighted": [], "exact ratio": [], "estimated": [], "target's labels": []}
for _ in range(40):
    drawn = datasets.gaussian_shift(1000, 125, mean=MEAN, generator=generator)
    x, y = drawn.source, labelled(drawn.source)
    estimated = covariate.logistic_ratio(
        x, drawn.target, features="linear", generator=generator
    )
    lines = [
        linear.least_squares(x, y),
        linear.least_squares(x, y, weights=drawn.log_ratio(x).exp()),
        linear.least_squares(x, y, weights=estimated.weights),
        linear.least_squares(drawn.target, labelled(drawn.target)),
    ]
    for name, line in zip(risks, lines, strict=True):
        risks[name].append(float(target_risk(line)))
mean = {name: sum(values) / len(values) for name, values in risks.items()}
print({name: round(value, 3) for name, value in mean.items()})

assert abs(mean["unweighted"] - 1.84) < 0.1
excess = {name: mean[name] - 0.59 for name in risks}
for name in ("exact ratio", "estimated", "target's labels"):
    assert excess[name] < excess["unweighted"] / 10
assert excess["estimated"] < 2 * excess["exact ratio"]
assert max(risks["estimated"]) < min(risks["unweighted"])

fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for i, (name, values) in enumerate(risks.items()):
    above = torch.tensor(values) - 0.59
    ax.plot(above, [i] * 40, "|", color="C0", markersize=12, alpha=0.5)
    ax.plot(excess[name], i, "o", color="C1", markersize=7)
ax.set(yticks=range(4), yticklabels=risks, ylim=(3.5, -0.5), xscale="log")
ax.set_xticks([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
ax.set_xticks([], minor=True)
ax.set_xlabel("excess error over the best line: 40 samples and mean")
ax.set_title("The estimated ratio is as good as the exact one")
fig.set_label(
    "Four rows of marks with their means: the squared error in the target of 40 lines "
    "per row, minus that of the best line, on a logarithmic axis. Without weights the "
    "mean is above 1. With the exact ratio, the estimated ratio or the target's labels "
    "it is about 0.02."
)
plt.show()

# %%
# Here the log-ratio is linear in :math:`x`. If the target is also narrower, the log-ratio is
# quadratic, and a linear classifier cannot represent it. So ``logistic_ratio`` chooses the features
# by the classifier's loss on held-out rows.

narrow = datasets.gaussian_shift(1000, 500, mean=MEAN, std=0.6, generator=generator)
truth = narrow.log_ratio(narrow.source).exp()
found = {}
for features in ("linear", "auto"):
    chosen = covariate.logistic_ratio(
        narrow.source, narrow.target, features=features, generator=generator
    )
    error = (chosen.weights - truth).square().mean() / truth.square().mean()
    found[chosen.report.features] = float(error)
    print(f"{chosen.report.features}: {error:.3f}")

assert found["quadratic"] < 0.1
assert found["linear"] > 5 * found["quadratic"]

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
chance = 2 ** (-(radius[:, 0] - radius.min()) / 3)


def draw(seed):
    """Return the row indices of a biased source and of the target."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(cancer), generator=generator)
    pool, target = order[:379], order[379:]
    kept = torch.rand(len(pool), generator=generator) < chance[pool]
    return pool[kept], target


source, target = draw(seed=2)
tumours = covariate.logistic_ratio(radius[source], radius[target], generator=generator)
unweighted = linear.least_squares(radius[source], area[source])
weighted = linear.least_squares(radius[source], area[source], weights=tumours.weights)
print(tumours.report)

assert radius[source].mean() < radius[target].mean() - 1
assert tumours.report.trustworthy
assert weighted.weight > unweighted.weight

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
ends = torch.linspace(6.5, 24, 71, dtype=torch.float64)[:, None]
ax.plot(ends, math.pi * ends**2 / 100, color=ink, linewidth=6, alpha=0.2)
sizes = 16 * tumours.weights
ax.scatter(radius[source, 0], area[source], s=sizes, color="C0", alpha=0.6, linewidth=0)
ax.plot(ends, linear.linear(ends, *unweighted), color="C1")
ax.plot(ends, linear.linear(ends, *weighted), color="C0")
rug = torch.full((len(target),), -1.2)
ax.plot(radius[target, 0], rug, "|", color=ink, alpha=0.5, markersize=10)
ax.text(24, 9.6, "unweighted", color="C1", ha="right")
ax.text(18.3, 12.2, "weighted", color="C0", ha="right")
ax.text(21, 15.5, "area of a circle", ha="right")
ax.text(24, 0, "radii of the target", ha="right")
ax.set(xlim=(6, 24.5), ylim=(-2, 18.5), xlabel="radius", ylabel="area / 100")
ax.set(xticks=[10, 15, 20], yticks=[0, 5, 10, 15])
ax.set_title("Weights let the few large tumours count more")
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

compared, trusted = [], []
for seed in range(40):
    source, target = draw(seed)
    ratio = covariate.logistic_ratio(
        radius[source], radius[target], generator=torch.Generator().manual_seed(seed)
    )
    lines = [
        linear.least_squares(radius[source], area[source], weights=weights)
        for weights in (None, 1 / chance[source], ratio.weights)
    ]
    compared.append(
        [squared_errors(line, radius[target], area[target]).mean() for line in lines]
    )
    trusted.append(ratio.report.trustworthy)
compared = torch.tensor(compared)
print("unweighted, exact, estimated:", compared.mean(dim=0))
without, exact, estimated = compared.T
print(f"it helps in {(estimated < without).sum()} of 40, trusted: {sum(trusted)}")

assert estimated.mean() < 2 / 3 * without.mean()
assert 0.8 < estimated.mean() / exact.mean() < 1.2
assert (estimated < without).sum() >= 34
assert sum(trusted) < 34

# %%
# Where importance weighting fails: no overlap
# --------------------------------------------
#
# Where the source has no examples, :math:`q = 0 < p`, there is nothing to weight. The classifier
# then distinguishes the two domains almost without error, and the report says so.

apart = datasets.gaussian_shift(1000, 125, mean=5 * MEAN, generator=generator)
hopeless = covariate.logistic_ratio(apart.source, apart.target, generator=generator)
print(hopeless.report.verdict)

assert not hopeless.report.trustworthy
assert hopeless.report.separability > 0.98

# %%
# Conclusion
# ----------
#
# To correct covariate shift, you need only a classifier of the domains.
# :func:`dlcore.shift.covariate.logistic_ratio` chooses its features and includes the factor
# :math:`n/m`, and its report says whether to trust the weights. Pass the weights as ``weights`` to
# :func:`dlcore.linear.least_squares` and similar functions, and to
# :func:`dlcore.risk.importance_weighted_risk`. They helped here because a line was the wrong model,
# so it matters where it is fitted. With the right model there is nothing to gain and something to
# lose: :doc:`/auto_gallery/08_shift/plot_when_correction_hurts`.
