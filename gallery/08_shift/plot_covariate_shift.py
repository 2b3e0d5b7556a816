r"""
What if the inputs are not those of the training?
=================================================

A model is trained on examples from the *source* :math:`q` and used in the *target*
:math:`p`. The two may differ in three ways. Under **covariate shift**
:math:`p(\mathbf{x})` changes and :math:`p(y \mid \mathbf{x})` does not: other patients,
the same disease. Under **label shift** :math:`p(y)` changes and
:math:`p(\mathbf{x} \mid y)` does not: more are ill, and illness looks the same. Under
**concept shift** :math:`p(y \mid \mathbf{x})` itself changes: the same word means
something else. The first can be mended without a label of the target, for the risk in
the target is a weighted risk in the source:

.. math::

    \mathbb{E}_{p}\bigl[\ell(\mathbf{x}, y)\bigr]
        = \iint \ell(\mathbf{x}, y)\, p(y \mid \mathbf{x})\,
          \frac{p(\mathbf{x})}{q(\mathbf{x})}\, q(\mathbf{x})\, dy\, d\mathbf{x}
        = \mathbb{E}_{q}\bigl[\beta(\mathbf{x})\, \ell(\mathbf{x}, y)\bigr],
    \qquad \beta = \frac{p}{q} .

Where does the ratio :math:`\beta` come from, and what does it help?
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
# With the exact ratio
# --------------------
#
# First two distributions that are known: the source :math:`\mathcal{N}(0, 1)` and the
# target :math:`\mathcal{N}(1, 1)`, so that :math:`\beta(x) = e^{x - 1/2}`. In both,
# :math:`y = x^2/2` with noise of standard deviation 0.3, and the model is a straight
# line, which cannot be right everywhere. Near 0, where the source is, the best line is
# level, :math:`\hat y = \frac12`; near 1, where the target is, it is
# :math:`\hat y = x`. The source has 1000 examples with labels, the target 125 inputs
# without.

MEAN = torch.ones(1, dtype=torch.float64)


def labelled(x):
    """Return labels of some inputs; source and target do not differ in them."""
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
ax.set_title("Weights turn the line to where the target is")
fig.set_label(
    "Points along a parabola, the larger the further to the right. The unweighted line "
    "is nearly level and fits the points about 0, where the source is. The weighted one "
    "rises and follows the parabola about 1, where the target is. Two bars show the mean "
    "of each and a standard deviation to both sides."
)
plt.show()

# %%
# The size of a point is its weight; the bars reach a standard deviation to each side of a
# mean. In the target the squared error of the level line is
# :math:`\frac74 + 0.3^2 = 1.84` on average and that of the rising one
# :math:`\frac12 + 0.3^2 = 0.59`; in the source it is the other way round. The weighted
# risk, :func:`dlcore.risk.importance_weighted_risk`, needs no label of the target and is
# right about both on average, here over 400 samples. One sample may be off by a lot.

levels, slopes = [], []
for _ in range(400):
    drawn = datasets.gaussian_shift(1000, 0, mean=MEAN, generator=generator).source
    noisy, weights = labelled(drawn), shift.log_ratio(drawn).exp()
    for estimates, line in ((levels, 0.5), (slopes, drawn[:, 0])):
        errors = (line - noisy).square()
        plain = risk.empirical_risk(errors)
        estimates.append([plain, risk.importance_weighted_risk(errors, weights)])
levels, slopes = torch.tensor(levels), torch.tensor(slopes)
for name, estimates in (("level", levels), ("rising", slopes)):
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
# The price is that not all examples count. Their *effective* number is
# :math:`n\,e^{-1}` in this case, 368 of 1000.

report = importance.diagnose(exact)
assert math.isclose(shift.effective_sample_size, 1000 / math.e)
assert abs(report.effective_sample_size - 368) < 60
assert abs(report.mean_weight - 1) < 0.15

# %%
# With an estimated ratio
# -----------------------
#
# In earnest nobody knows the densities. But a classifier can learn to tell the target's
# rows, labelled 1, from the source's, labelled 0. Logistic regression maximizes the
# likelihood of these labels; its loss :math:`-t\log\hat t - (1 - t)\log(1 - \hat t)` has
# one term only for each row, as each label is 0 or 1. Of :math:`n` source and :math:`m`
# target rows about one :math:`x`, a share of :math:`\hat t = m\,p / (m\,p + n\,q)` comes
# from the target, and so the classifier's odds are
#
# .. math::
#
#     e^{h(\mathbf{x})} = \frac{\hat t}{1 - \hat t}
#         = \frac{m}{n}\,\frac{p(\mathbf{x})}{q(\mathbf{x})},
#     \qquad\text{thus}\quad \beta(\mathbf{x}) = \frac{n}{m}\, e^{h(\mathbf{x})} .
#
# Only where both samples have one size are the odds themselves the ratio. The mean of a
# ratio over the source is :math:`\int \frac{p}{q}\,q = 1`, and so that of the odds is
# :math:`m/n`, here 125 / 1000.

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
# :func:`dlcore.shift.covariate.logistic_ratio` knows the factor. Without it every weight
# is eight times too small, and so is each risk that is computed with them, unless it is
# divided by the sum of the weights. The effective sample size does not see the mistake,
# and neither does the minimum, for one factor on all losses does not move it; a penalty
# beside them would count eight times as much. The verdict sees it, by the mean.

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
    "The ratio of the densities against x, on a logarithmic axis: a broad grey straight "
    "line. The estimate with the factor lies close to it, the odds alone run parallel to "
    "the estimate, eight times lower."
)
plt.show()

# %%
# Is the estimate good enough? Forty samples, each with a line fitted without weights,
# with the exact ratio, with the estimated one and, to see what is possible, to labels of
# the target itself. The risk is exact: for :math:`\hat y = ax + b` it is
# :math:`\frac12 + 0.3^2 + (a - 1)^2 + (a + b - 1)^2`.


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
ax.set_xlabel("error above the best line's: 40 samples, and mean")
ax.set_title("The estimated ratio is as good as the exact one")
fig.set_label(
    "Four rows of marks, by how much the squared error in the target of 40 lines each "
    "exceeds that of the best line, on a logarithmic axis, and their means. Unweighted, "
    "the mean is above 1; with the exact ratio, with the estimated one, and from the "
    "target's own labels it is about 0.02."
)
plt.show()

# %%
# Here the log-ratio is linear in :math:`x`. If the target is also narrower, it is
# quadratic, and a linear classifier would never know. The features are chosen by the
# classifier's loss on rows left out.

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
# Real data, chosen with a bias
# -----------------------------
#
# A tumour's area grows with the square of its radius, and a straight line through the
# 569 tumours of the breast cancer data is a compromise. Suppose that a tumour gets into
# the training data the more rarely the larger it is: each three units of radius halve its
# chance :math:`s(x)`. As we have made the bias ourselves, we know the ratio, which is
# proportional to :math:`1/s(x)`. The estimate knows nothing of this. It sees the
# inputs of both.

cancer = torch.as_tensor(load_breast_cancer().data)
radius, area = cancer[:, :1], cancer[:, 3] / 100
chance = 2 ** (-(radius[:, 0] - radius.min()) / 3)


def draw(seed):
    """Return the rows of a biased source, and those of the target."""
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
ax.text(21, 15.5, "a circle", ha="right")
ax.text(24, 0, "radii of the target", ha="right")
ax.set(xlim=(6, 24.5), ylim=(-2, 18.5), xlabel="radius", ylabel="area / 100")
ax.set(xticks=[10, 15, 20], yticks=[0, 5, 10, 15])
ax.set_title("Few large tumours, and a line that gives them their due")
fig.set_label(
    "Area against radius of the source's tumours, along the curve of a circle's area. "
    "The source has few large ones, drawn as large points; ticks show that the target "
    "has more. The weighted line is steeper and passes nearer to the large ones."
)
plt.show()

# %%
# Over 40 draws the estimated ratio lowers the error in the target by a third or more,
# and does as well as the exact one. It helps in nearly every draw. Yet the verdict
# is less often in favour: the weights' tail is heavy where few tumours speak for many, and
# a few hundred rows cannot show that it ends.

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
# What no weight can mend
# -----------------------
#
# Where the source has no example, :math:`q = 0 < p`, there is nothing to be weighted. The
# classifier then separates the domains almost without fail, and the report says so.

apart = datasets.gaussian_shift(1000, 125, mean=5 * MEAN, generator=generator)
hopeless = covariate.logistic_ratio(apart.source, apart.target, generator=generator)
print(hopeless.report.verdict)

assert not hopeless.report.trustworthy
assert hopeless.report.separability > 0.98

# %%
# Conclusion
# ----------
#
# A classifier of the domains is all that covariate shift asks for:
# :func:`dlcore.shift.covariate.logistic_ratio` chooses its features, has the factor
# :math:`n/m`, and its report gives their effective sample size. They go into the ``weights``
# of :func:`dlcore.linear.least_squares` and its like, and into
# :func:`dlcore.risk.importance_weighted_risk`. They helped here because a line was the
# wrong model, so that it matters where it is fitted. With the right one there is nothing
# to gain and something to lose:
# :doc:`/auto_gallery/08_shift/plot_when_correction_hurts`.
