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

*Prerequisites:* linear and logistic regression, and expectations.
"""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation

from dlcore import activations, datasets, importance, likelihood, linear, risk
from dlcore.shift import covariate

# Change these numbers and run the script again.
seed = 0
n_source = 1000
n_target = 125
target_mean = 1.0  # the source has mean 0
noise_std = 0.3
n_draws = 400
claims = {}

# %%
# Three ways to differ
# --------------------
#
# A model is trained on examples from the *source* :math:`q` and used in the *target* :math:`p`. The
# two may differ in three ways. Under **covariate shift**, :math:`p(\mathbf{x})` changes and
# :math:`p(y \mid \mathbf{x})` does not: the patients are different, but the disease is the same.
# Under **label shift**, :math:`p(y)` changes and :math:`p(\mathbf{x} \mid y)` does not: more people
# are ill, but the illness looks the same. Under **concept shift**, :math:`p(y \mid \mathbf{x})`
# itself changes: the same word means something else. The figure shows each for one input and two
# classes. A curve is the density of the inputs of one class, and its area is the class's share. The
# thin curves are those of the source.

grid = torch.linspace(-4, 5, 181, dtype=torch.float64)


def joint(inputs, given):
    """Return p(x, y = 0) and p(x, y = 1) for a density of x and p(y = 1 | x)."""
    return torch.stack([inputs * (1 - given), inputs * given])


chance = activations.sigmoid(2 * grid)
of_source = likelihood.normal_density(grid)
of_target = likelihood.normal_density(grid, mean=1.5)
source = joint(of_source, chance)
new_prior = torch.tensor([[0.2], [0.8]], dtype=torch.float64)
shifts = {
    "source": source,
    "covariate shift": joint(of_target, chance),
    "label shift": source * new_prior / 0.5,
    "concept shift": joint(of_source, activations.sigmoid(2 * (grid - 1.2))),
}
shares = {name: torch.trapezoid(of_class, grid) for name, of_class in shifts.items()}
assert torch.allclose(shares["source"], torch.tensor([0.5]).double(), atol=1e-3), (
    "in the source, both classes are equally common"
)
given_x = shifts["covariate shift"][1] / shifts["covariate shift"].sum(0)
assert torch.allclose(given_x, chance), "covariate shift keeps p(y | x)"
given_y = shifts["label shift"] / shares["label shift"][:, None]
assert torch.allclose(given_y, source / 0.5, atol=1e-2), "label shift keeps p(x | y)"
assert torch.allclose(shifts["concept shift"].sum(0), of_source), "here p(x) stays"

# Figure
fig, axes = plt.subplots(
    2, 2, figsize=(5.4, 4.6), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, of_class) in zip(axes.flat, shifts.items(), strict=True):
    ax.plot(grid, source.T, color=plt.rcParams["text.color"], linewidth=1, alpha=0.5)
    ax.plot(grid, of_class[0], "C0", label="class 0")
    ax.plot(grid, of_class[1], "C1", label="class 1")
    ax.set(title=name, xlabel="x", ylabel="density")
    ax.label_outer()
axes[0, 0].legend(loc="upper right")
fig.set_label(
    "Four panels with the densities of the inputs of two classes. In the source, class 0 "
    "is on the left and class 1 on the right, equally large. Covariate shift moves the inputs "
    "to the right, so class 0 becomes small. Label shift makes the curve of class 0 lower and "
    "that of class 1 higher. Concept shift moves the border of the classes to the right, "
    "so class 0 becomes large, while the sum of the curves stays."
)
plt.show()

# %%
# Covariate shift can be corrected without any label from the target, by the formula above. The
# correction of label shift is in :doc:`/auto_gallery/08_shift/plot_label_shift`, and
# :doc:`/auto_gallery/08_shift/plot_concept_drift` detects a change of concept.
#
# Importance weighting with the exact ratio
# -----------------------------------------
#
# We start with two known distributions, the source :math:`\mathcal{N}(0, 1)` and the target
# :math:`\mathcal{N}(1, 1)`, so that :math:`\beta(x) = e^{x - 1/2}`. In both, :math:`y = x^2/2` plus
# noise of standard deviation 0.3. The model is a straight line, which cannot be right everywhere.
# Near 0, where the source is, the best line is horizontal, :math:`\hat y = \frac12`. Near 1, where
# the target is, it is :math:`\hat y = x`. The source has 1000 examples with labels, and the target
# has 125 inputs without labels.

generator = torch.Generator().manual_seed(seed)
MEAN = torch.tensor([target_mean], dtype=torch.float64)


def labelled(x):
    """Return labels for the inputs, by the same rule in source and target."""
    noise = torch.randn(len(x), generator=generator, dtype=x.dtype)
    return x[:, 0].square() / 2 + noise_std * noise


def best_line(mean):
    """Return slope and intercept of the best line for inputs around a mean."""
    return mean, 0.5 - mean**2 / 2


shift = datasets.gaussian_shift(n_source, n_target, mean=MEAN, generator=generator)
x, y = shift.source, labelled(shift.source)
exact = shift.log_ratio(x).exp()
unweighted = linear.least_squares(x, y)
weighted = linear.least_squares(x, y, weights=exact)

for name, line, mean in (
    ("unweighted", unweighted, 0.0),
    ("weighted", weighted, target_mean),
):
    slope, intercept = best_line(mean)
    claims[f"The {name} line is near the best one for inputs around {mean:g}"] = (
        abs(line.weight - slope) < 0.2 and abs(line.bias - intercept) < 0.2
    )

# Figure
# sphinx_gallery_thumbnail_number = 2
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
points = ax.scatter(x[:400, 0], y[:400], color="C0", alpha=0.35, linewidth=0)
ends = torch.tensor([[-3], [4]], dtype=torch.float64)
ax.plot(ends, linear.linear(ends, *unweighted), color="C1", label="unweighted")
(line,) = ax.plot(ends, ends, color="C0", label="weighted")
ax.set(xlim=(-3, 4), ylim=(-1.5, 5), xlabel="x", ylabel="y")
ax.legend(loc="upper left")


def move(mean):
    weights = (mean * x[:, 0] - mean**2 / 2).exp()
    points.set_sizes(10 * weights[:400])
    line.set_ydata(linear.linear(ends, *linear.least_squares(x, y, weights=weights)))
    effective = importance.effective_sample_size(weights)
    ax.set_title(f"target mean {mean:.2f}: effective sample size {effective:.0f}")


film = FuncAnimation(fig, move, [target_mean * step / 8 for step in range(9)])
fig.set_label(
    "Points along a parabola, larger further to the right. The unweighted line is nearly "
    "horizontal and fits the points around 0, where the source is. The weighted line "
    "rises and follows the parabola around the mean of the target, which the slider moves "
    "from 0 to 1."
)
plt.show()

# %%
# The size of a point is its weight. Move the target's mean: the weights move the fit to where the
# target is. The *effective sample size*, the number of equally weighted examples with the same
# variance, falls to :math:`n\,e^{-1}`: 368 of 1000.

report = importance.diagnose(exact)
expected_size = n_source * math.exp(-(target_mean**2))
assert math.isclose(shift.effective_sample_size, expected_size), "n / e for a mean of 1"
claims["The effective sample size of the weights is near its expectation"] = (
    abs(report.effective_sample_size / expected_size - 1) < 0.2
)
claims["The mean weight is near 1"] = abs(report.mean_weight - 1) < 0.15

# %%
# For a line :math:`\hat y = ax + b` and inputs around :math:`\mu`, the mean squared error is
# :math:`\frac12 + 0.3^2 + (a - \mu)^2 + (a\mu + b - \frac{\mu^2 + 1}{2})^2`. In the target, the
# horizontal line has an error of 1.84 and the rising line one of 0.59. In the source it is the other
# way round. The weighted risk, :func:`dlcore.risk.importance_weighted_risk`, needs no label from the
# target and is right about both lines on average, here over 400 samples. On a single sample its
# error can be large.


def true_risk(line, mean):
    """Return the expected squared error of a line for inputs around a mean."""
    a, b = line
    at_mean = a * mean + b - (mean**2 + 1) / 2
    return 0.5 + noise_std**2 + (a - mean) ** 2 + at_mean**2


lines = {"horizontal": best_line(0.0), "rising": best_line(target_mean)}
estimates = {name: [] for name in lines}
for _ in range(n_draws):
    drawn = datasets.gaussian_shift(n_source, 0, mean=MEAN, generator=generator).source
    noisy, weights = labelled(drawn), shift.log_ratio(drawn).exp()
    for name, (a, b) in lines.items():
        errors = (a * drawn[:, 0] + b - noisy).square()
        in_target = risk.importance_weighted_risk(errors, weights)
        estimates[name].append([risk.empirical_risk(errors), in_target])
estimates = {name: torch.tensor(found) for name, found in estimates.items()}

for name, found in estimates.items():
    truths = torch.tensor([true_risk(lines[name], mean) for mean in (0.0, target_mean)])
    print(f"{name}: {found.mean(0)} in source and target, true {truths}")
    claims[f"Both risks of the {name} line are right on average"] = (
        (found.mean(dim=0) - truths).abs() < 4 * found.std(dim=0) / n_draws**0.5
    ).all()
rising = (estimates["rising"] < estimates["horizontal"]).double().mean(dim=0)
claims["The unweighted risk never chooses the rising line"] = rising[0] == 0
claims["The weighted risk nearly always chooses the rising line"] = rising[1] > 0.95

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
domain = torch.cat([torch.zeros(n_source), torch.ones(n_target)]).double()
classifier = linear.logistic_regression(rows, domain)
odds = linear.linear(x, *classifier).exp()
factor = n_source / n_target
ratio = covariate.logistic_ratio(shift.source, shift.target, generator=generator)
print("odds:", importance.diagnose(odds).verdict)
print(ratio.report)

claims["The mean of the odds is m / n"] = abs(factor * odds.mean() - 1) < 0.15
claims["The mean of the estimated ratio is 1"] = abs(ratio.report.mean_weight - 1) < 0.1
claims["The report reveals that the odds are no density ratio"] = (
    "a density ratio has mean 1" in importance.diagnose(odds).verdict
)
claims["The report trusts the estimated ratio, of linear features"] = (
    ratio.report.trustworthy and ratio.report.features == "linear"
)

# %%
# :func:`dlcore.shift.covariate.logistic_ratio` includes the factor. Without it, every weight is
# eight times too small, and so is every risk that is computed with these weights, unless it is
# divided by the sum of the weights. The effective sample size does not reveal the mistake. Neither
# does the minimum, because multiplying all losses by one factor does not move it; but a penalty
# added to these losses would count eight times as much. The verdict of the report reveals it
# through the mean weight.

level = (linear.linear(x, *unweighted) - y).square()
right, small = (risk.importance_weighted_risk(level, w) for w in (factor * odds, odds))
divided = risk.importance_weighted_risk(level, odds, normalize=True)
again = linear.least_squares(x, y, weights=odds)
full = linear.least_squares(x, y, weights=factor * odds)

assert torch.isclose(small, right / factor), "the risk lacks the same factor"
assert torch.allclose(again.weight, full.weight), "the minimum does not move"
assert torch.isclose(
    *(importance.effective_sample_size(w) for w in (odds, factor * odds))
), "the effective sample size does not change"
claims["Divided by the sum of the weights, the risk is right"] = (
    0.8 < divided / right < 1.2
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
places = torch.linspace(-2.5, 3.5, 61, dtype=torch.float64)[:, None]
ax.plot(places, shift.log_ratio(places).exp(), "C2", linewidth=6, alpha=0.4)
ax.plot(places, ratio(places), "C0")
ax.plot(places, linear.linear(places, *classifier).exp(), "C1")
ax.set(yscale="log", xlabel="x", ylabel="ratio of the densities")
ax.set_title("The odds of a classifier lack the factor n / m")
ax.legend(["exact", "estimated, with n / m", "the odds alone"])
fig.set_label(
    "The ratio of the densities against x on a logarithmic axis, a broad straight line. "
    "The estimate with the factor n / m lies close to it. The odds alone are parallel to "
    "the estimate and eight times lower."
)
plt.show()

# %%
# Where importance weighting fails: no overlap
# --------------------------------------------
#
# Where the source has no examples, :math:`q = 0 < p`, there is nothing to weight. With a target mean
# of 5, the classifier distinguishes the two domains almost without error, and the report says so.

apart = datasets.gaussian_shift(
    n_source, n_target, mean=0 * MEAN + 5, generator=generator
)
hopeless = covariate.logistic_ratio(apart.source, apart.target, generator=generator)
print(hopeless.report.verdict)

claims["The report does not trust weights without overlap"] = (
    not hopeless.report.trustworthy and hopeless.report.separability > 0.98
)

# %%
# Conclusion
# ----------
#
# To correct covariate shift, you need only a classifier of the domains.
# :func:`dlcore.shift.covariate.logistic_ratio` includes the factor :math:`n/m`, and its report says
# whether to trust the weights. Pass the weights as ``weights`` to
# :func:`dlcore.linear.least_squares` and similar functions, and to
# :func:`dlcore.risk.importance_weighted_risk`.
# :doc:`/auto_gallery/08_shift/plot_sample_selection_bias` measures how good the estimated ratio is,
# also on real data. The weights helped here because a line was the wrong model, so it matters where
# it is fitted. With the right model there is nothing to gain and something to lose:
# :doc:`/auto_gallery/08_shift/plot_when_correction_hurts`.

# %%
# Exercises
# ---------
#
# **1.** For which mean of the target are only 10 of the 1000 examples effective?

# Solution
far = math.sqrt(math.log(n_source / 10))
away = datasets.gaussian_shift(1, 0, mean=0 * MEAN + far, generator=generator)
assert math.isclose(n_source * away.effective_sample_size, 10), "n exp(−μ²) = 10"

# %%
# **2.** Clip the weights at 2. Does the line move towards the unweighted one, and why can this be
# worthwhile?

# Solution
clipped = importance.clip_weights(exact, maximum=2.0)
softer = linear.least_squares(x, y, weights=clipped)
claims["With clipped weights, the slope lies between the other two"] = (
    unweighted.weight < softer.weight < weighted.weight
)
assert importance.effective_sample_size(clipped) >= importance.effective_sample_size(
    exact
), "more examples remain effective, so the variance is smaller"

# %%
# **3.** Exchange source and target. What is the product of the two ratios at one point?

# Solution
reverse = covariate.logistic_ratio(shift.target, shift.source, generator=generator)
products = ratio(places) * reverse(places)
claims["The product of the ratio and its inverse is near 1"] = (
    products.log().abs().max() < 0.5
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
