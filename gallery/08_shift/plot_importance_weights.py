r"""
Importance weights: when do a few of them dominate?
===================================================

The effective sample size and the tail of the weights show whether a few of them dominate, and three
methods reduce their influence.

In short
--------

Importance weights estimate a mean in the target from rows of the source. If the target has heavier
tails, a few weights hold most of the sum: the estimate scatters, and its standard error does not
show it. The Pareto shape of the weights does. Divide by the sum of the weights, smooth or clip the
largest ones, and do not trust the result if the shape is above 0.7.

.. math::

    \mathbb{E}_p[\ell] = \mathbb{E}_q[w\,\ell] \approx \frac{\sum_i w_i\,\ell_i}{\sum_i w_i}, \qquad
    w = \frac{p}{q}, \qquad
    n_\mathrm{eff} = \frac{(\sum_i w_i)^2}{\sum_i w_i^2} .

*Prerequisites:* :doc:`covariate shift </auto_gallery/08_shift/plot_covariate_shift>`.
"""

import math
from statistics import NormalDist

import matplotlib.pyplot as plt
import torch

from dlcore import datasets, importance, linear, model_selection, risk

# Change these numbers and run the script again.
seed = 0
n = 1000
n_samples = 200
stds = [1.2, 1.4, 1.6, 1.8, 2.0]
level = 0.9
claims = {}

# %%
# A target that is wider than the source
# --------------------------------------
#
# The source is the standard normal distribution, and the target has the standard deviation
# :math:`\sigma > 1`. So the largest weights belong to the rarest rows, at both ends of the source.
# The figure shows how much of the sum the largest weights hold. With :math:`\sigma = 1.2`, the ten
# largest of the thousand weights hold about 3 % of it. With :math:`\sigma = 2`, they hold more than a
# quarter.

generator = torch.Generator().manual_seed(seed)
center = torch.zeros(1, dtype=torch.float64)


def draw(std):
    """Return rows of the source, and their log-weights for a target of this std."""
    shift = datasets.gaussian_shift(n, 0, mean=center, std=std, generator=generator)
    return shift.source[:, 0], shift.log_ratio(shift.source)


examples = {std: draw(std) for std in stds}
held = {}
for std, (_, log_weights) in examples.items():
    w = importance.normalize_weights(log_weights.exp())
    held[std] = w.sort(descending=True).values.cumsum(0) / n
    n_eff = importance.effective_sample_size(w)
    print(f"σ = {std}: ten hold {held[std][9]:.0%}, effective sample size {n_eff:.0f}")
    assert w.mean().isclose(torch.ones_like(n_eff)), "normalized weights have mean 1"
claims["For a slightly wider target, ten weights hold little"] = held[stds[0]][9] < 0.05
claims["For the widest target, ten weights hold a quarter"] = held[stds[-1]][9] > 0.25

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for std in stds:
    ax.plot(torch.arange(1, n + 1), held[std], label=f"σ = {std}")
ax.axvline(10, linestyle=":", color="C5")
ax.set(
    xscale="log", xlabel="number of largest weights", ylabel="their share of the sum"
)
ax.set_title("Ten of 1000 weights can hold a quarter of the sum")
ax.legend()
fig.set_label(
    "The share of the sum that the largest weights hold, against their number, with a logarithmic "
    "axis. The wider the target, the earlier its curve rises. At ten weights, a dotted line, the "
    "curve of σ = 1.2 is at 3 %, and that of σ = 2 at 28 %."
)
plt.show()

# %%
# Keep the logarithms of the weights
# ----------------------------------
#
# Often a density is known only up to a constant factor, so the weights can be huge or tiny.
# Exponentials then overflow, while the logarithms do not.
# :func:`dlcore.importance.normalize_log_weights` subtracts the logarithm of their mean first.

_, log_weights = examples[stds[0]]
on_another_scale = log_weights + 1000
assert on_another_scale.exp().isinf().all(), "exp overflows"
same = torch.allclose(
    importance.normalize_log_weights(on_another_scale).exp(),
    importance.normalize_weights(log_weights.exp()),
)
assert same, "the constant factor cancels"

# %%
# How heavy is the tail?
# ----------------------
#
# The weight is :math:`w = e^{a x^2 / 2} / \sigma` with :math:`a = 1 - 1/\sigma^2`. The source has
# :math:`|x| > r` with a probability of about :math:`e^{-r^2/2}`, so :math:`P(w > t)` falls like
# :math:`t^{-1/a}`: a power, whose *shape* :math:`k` is :math:`1 - 1/\sigma^2`. The variance of the
# weights is infinite from :math:`k = \frac12` on, that is, from :math:`\sigma = \sqrt2`.
# :func:`dlcore.importance.pareto_shape` estimates the shape from the weights alone.
#
# What does this mean for an estimate? Take :math:`\ell = x^2`, whose mean in the target is
# :math:`\sigma^2`. We compare four estimates over 200 samples of 1000 rows: the mean of
# :math:`w\ell`, the same divided by the mean weight, and the latter with weights that are clipped at
# :math:`\sqrt n` or smoothed. Smoothing replaces the largest weights by the quantiles of the fitted
# tail, so none of them can be as extreme as in an unlucky sample.

METHODS = {
    "plain mean": risk.importance_weighted_risk,
    "over the sum": lambda loss, w: risk.importance_weighted_risk(
        loss, w, normalize=True
    ),
    "clipped": lambda loss, w: risk.importance_weighted_risk(
        loss, importance.clip_weights(w, maximum=math.sqrt(n)), normalize=True
    ),
    "smoothed": lambda loss, w: risk.importance_weighted_risk(
        loss, importance.pareto_smoothed_weights(w), normalize=True
    ),
}
deviate = NormalDist().inv_cdf((1 + level) / 2)
errors, biases, shapes, coverage, quantile_errors = {}, {}, {}, [], []
for std in stds:
    samples = [draw(std) for _ in range(n_samples)]
    weighted = [(x.square(), log_weights.exp(), x) for x, log_weights in samples]
    for name, estimate in METHODS.items():
        found = torch.stack([estimate(loss, w) for loss, w, _ in weighted])
        mean_square = (found / std**2 - 1).square().mean()
        errors.setdefault(name, []).append(float(mean_square.sqrt()))
        biases[name] = float(
            (found / std**2 - 1).mean()
        )  # of the widest target, at last
        if name == "over the sum":
            standard_errors = torch.stack(
                [
                    risk.standard_error(loss, w, normalize=True)
                    for loss, w, _ in weighted
                ]
            )
            inside = (found - std**2).abs() < deviate * standard_errors
            coverage.append(float(inside.double().mean()))
    shapes[std] = torch.stack([importance.pareto_shape(w) for _, w, _ in weighted])
    quantiles = torch.stack(
        [importance.weighted_quantile(x, w, level=0.9) for _, w, x in weighted]
    )
    truth = std * NormalDist().inv_cdf(0.9)
    quantile_errors.append(float((quantiles / truth - 1).square().mean().sqrt()))
expected = [1 - 1 / std**2 for std in stds]
means = [float(shapes[std].mean()) for std in stds]

claims["The estimated shape is on average within 0.1 of the true one"] = all(
    abs(k - truth) < 0.1 for k, truth in zip(means, expected, strict=True)
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
ax.plot(stds, expected, label="1 − 1/σ²")
for std in stds:
    ax.plot([std] * n_samples, shapes[std], "_C1", alpha=0.4)
ax.plot(stds, means, "oC1", label="estimate: samples, mean")
ax.axhline(0.7, linestyle=":", color="C5", label="limit of trust")
ax.set(xlabel="σ of the target", xticks=stds, ylabel="Pareto shape", ylim=(-0.15, 1.5))
ax.set_title("The weights reveal how heavy their tail is")
ax.legend(loc="upper left")
fig.set_label(
    "The estimated Pareto shape for five standard deviations of the target, a tick for each of "
    "200 samples and a dot at their mean. The dots lie close to the curve 1 - 1/σ², which rises "
    "from 0.3 to 0.75 and crosses the limit 0.7 at about 1.8."
)
plt.show()

# %%
# Which estimate is best, and is its standard error right?
# --------------------------------------------------------
#
# Dividing by the sum of the weights costs nothing and removes part of the noise: a large weight then
# is in the numerator and in the denominator. If the variance is infinite, clipping or smoothing
# reduces the error further, although both make the estimate too small. The interval of
# :func:`dlcore.risk.standard_error` should cover the truth in 90 % of the samples. It does with light
# tails. With heavy ones, the samples without an extreme row have both a small estimate and a small
# standard error, and the interval covers the truth far less often.

by_method = dict(zip(METHODS, torch.tensor([*errors.values()]), strict=True))
for name, of_method in by_method.items():
    print(f"{name}:", *(f"{error:.2f}" for error in of_method))
print("coverage:", *(f"{share:.2f}" for share in coverage))
plain, over_sum, clipped, smoothed = by_method.values()
claims["Dividing by the sum lowers the error"] = (over_sum < plain).all()
claims["On average over the targets, smoothing lowers it further"] = (
    smoothed.mean() < over_sum.mean()
)
claims["On average over the targets, clipping does, too"] = (
    clipped.mean() < over_sum.mean()
)
claims["Clipped and smoothed weights make the estimate too small"] = (
    max(biases["clipped"], biases["smoothed"]) < -0.1
)
claims["Intervals cover the truth if the tail is light"] = (
    abs(coverage[0] - level) < 0.09
)
claims["They fail if it is heavy"] = coverage[-1] < level - 0.2

# Figure
fig, axes = plt.subplots(1, 2, figsize=(5.6, 3.8), layout="constrained")
for name, of_method in by_method.items():
    axes[0].plot(stds, of_method, "o-", label=name)
axes[0].set(yscale="log", xlabel="σ", xticks=stds, title="Relative error")
axes[1].plot(stds, coverage, "o-C1")
axes[1].axhline(level, linestyle="--", color="C5")
axes[1].set(xlabel="σ", xticks=stds, title="Coverage", ylim=(0, 1))
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "Two panels against the standard deviation of the target. Left, the relative error of four "
    "estimates on a logarithmic axis: it grows for all of them; the plain mean is worst, and the "
    "clipped and smoothed ones are best where the target is wide. Right, the share of intervals "
    "that cover the truth: it falls from the dashed line at 0.9 to about one half."
)
plt.show()

# %%
# Quantiles are less sensitive than means
# ---------------------------------------
#
# A weighted mean of :math:`x^2` depends on how far away the extreme rows are, and a quantile only on
# how much weight they have. :func:`dlcore.importance.weighted_quantile` estimates the value that 90 %
# of the target's rows do not exceed, and its relative error is smaller.

print("90 % quantile:", *(f"{error:.2f}" for error in quantile_errors))
claims["The quantile has a smaller relative error than the mean"] = bool(
    (torch.tensor(quantile_errors) < over_sum).all()
)

# %%
# Conclusion
# ----------
#
# :func:`dlcore.importance.diagnose` reports the effective sample size and the Pareto shape, and says
# in one sentence whether to trust the weights. If not, collect data where the target is; no
# transformation of the weights replaces rows that are missing.
#
# - Work with logarithms: :func:`dlcore.importance.normalize_log_weights`.
# - Divide by the sum: ``normalize=True`` in :func:`dlcore.risk.importance_weighted_risk`.
# - Reduce the largest: :func:`dlcore.importance.pareto_smoothed_weights`, or
#   :func:`dlcore.importance.clip_weights`.

for std in (stds[0], stds[-1]):
    report = importance.diagnose(examples[std][1].exp())
    print(f"std {std}: {report.verdict}")
    claims[f"Only the lighter tail is trusted: {std}"] = report.trustworthy == (
        std == stds[0]
    )

# %%
# Exercises
# ---------
#
# **1.** Raise the weights to a power between 0 and 1. What happens to the effective sample size, and
# to the estimate of the mean of :math:`x^2`?

# Solution
x, log_weights = examples[stds[0]]
sizes, estimates = [], []
for exponent in (0.0, 0.5, 1.0):
    w = importance.flatten_weights(log_weights.exp(), exponent=exponent)
    sizes.append(importance.effective_sample_size(w))
    estimates.append(risk.importance_weighted_risk(x.square(), w, normalize=True))
assert sizes[0] == n, "with exponent 0 all weights are 1"
assert sizes[0] >= sizes[1] >= sizes[2], "flatter weights have a larger effective size"
claims["The estimate moves from the source's mean to the target's"] = (
    estimates[0] < estimates[1] < estimates[2]
)

# %%
# **2.** By mistake, all weights are ten times too large. Which results above change?

# Solution
w = log_weights.exp()
before, after = importance.diagnose(w), importance.diagnose(10 * w)
assert math.isclose(before.effective_sample_size, after.effective_sample_size), "no"
assert math.isclose(before.pareto_shape, after.pareto_shape, rel_tol=1e-6), "no"
for name, estimate in METHODS.items():
    ratio = estimate(x.square(), 10 * w) / estimate(x.square(), w)
    changes = name == "plain mean"
    if name != "clipped":  # its maximum is on the scale of the weights
        assert math.isclose(ratio, 10 if changes else 1, rel_tol=1e-6), name
assert not after.trustworthy, "only the mean weight reveals it"

# %%
# **3.** The curve :math:`y = x^2` is fitted by a line, with the weights raised to an exponent. The target
# is shifted by 1. Which exponent does cross-validation choose, without and with weights?

# Solution
shift = datasets.gaussian_shift(n, 0, mean=center + 1, generator=generator)
x, y, ratio = shift.source, shift.source[:, 0].square(), shift.log_ratio(shift.source)
risks = {}
for exponent in (0.0, 1.0):

    def fit(x, y, w, exponent=exponent):
        flat = importance.flatten_weights(w, exponent=exponent)
        return linear.least_squares(x, y, weights=flat)

    def squared_error(line, x, y):
        return (linear.linear(x, *line) - y).square()

    def plain_fit(x, y, exponent=exponent):
        return fit(x, y, shift.log_ratio(x).exp(), exponent)

    options = {"k": 5, "shuffle": True, "generator": generator}
    risks[exponent] = (
        model_selection.cross_validate(plain_fit, squared_error, x, y, **options),
        model_selection.importance_weighted_cross_validation(
            fit, squared_error, x, y, weights=ratio.exp(), **options
        ),
    )
(plain_0, weighted_0), (plain_1, weighted_1) = (
    [result.validation_mean for result in risks[exponent]] for exponent in (0.0, 1.0)
)
claims["Without weights it chooses exponent 0, the best in the source"] = (
    plain_0 < plain_1
)
claims["With weights it chooses exponent 1, the best in the target"] = (
    weighted_1 < weighted_0
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
