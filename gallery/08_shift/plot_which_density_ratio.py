r"""
Density-ratio estimation: logistic, KLIEP, uLSIF or kernel mean matching?
=========================================================================

Four estimators of importance weights are compared on the same problems, which shows how to choose
one.

In short
--------

All four estimate the ratio of the target's density to the source's from two samples. Logistic
regression of the domain is a good default. KLIEP balances column means exactly, uLSIF estimates a
bounded ratio, and kernel mean matching gives weights for means alone. Whichever you choose, its
report says what is left unbalanced, and a doubly robust mean corrects it.

.. math::

    w(\mathbf{x}) = \frac{p(\mathbf{x})}{q(\mathbf{x})}, \qquad
    \mathbb{E}_q[w\,f] = \mathbb{E}_p[f] \quad\text{for all functions } f .

*Prerequisites:* :doc:`covariate shift </auto_gallery/08_shift/plot_covariate_shift>`.
"""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_breast_cancer

from dlcore.shift import covariate

# Change these numbers and run the script again.
seed = 0
n_source = 300
n_target = 300
n_samples = 6
share = 0.9
halving = 3.0
claims = {}

# %%
# Three problems with a known ratio
# ---------------------------------
#
# In the first problem the target is shifted: the source is normal around 0 and the target around 1,
# so the log-ratio is a straight line. In the second, the target is narrower than the source, and the
# log-ratio is a parabola. In the third, both consist of the same two groups, around −2 and 2. In the
# source half of the rows are in the right group, in the target nine of ten: the ratio is level within
# each group, and changes in between.
#
# Kernel mean matching gives weights at the source's rows only. Its curve in the figure is a smoothed
# version of them.

generator = torch.Generator().manual_seed(seed)


def normal(n, mean, std=1.0):
    """Return n draws from a normal distribution."""
    z = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    return mean + std * z


def groups(n, right):
    """Return n draws of which this share is around 2, and the others are around -2."""
    is_right = torch.rand(n, 1, generator=generator, dtype=torch.float64) < right
    return normal(n, torch.where(is_right, 2.0, -2.0))


def of_groups(x):
    """Return the ratio of the two mixtures."""
    left, right = (torch.exp(-((x[:, 0] - mean) ** 2) / 2) for mean in (-2, 2))
    return ((1 - share) * left + share * right) / (0.5 * left + 0.5 * right)


PROBLEMS = {  # two samples, and the ratio
    "shifted": (
        lambda: (normal(n_source, 0), normal(n_target, 1)),
        lambda x: (x[:, 0] - 0.5).exp(),
    ),
    "narrower": (
        lambda: (normal(n_source, 0), normal(n_target, 0, 0.5)),
        lambda x: 2 * (-1.5 * x[:, 0] ** 2).exp(),
    ),
    "two groups": (lambda: (groups(n_source, 0.5), groups(n_target, share)), of_groups),
}
ESTIMATORS = {
    "logistic": lambda a, b: covariate.logistic_ratio(a, b, generator=generator),
    "KLIEP": lambda a, b: covariate.kliep(a, b, generator=generator),
    "uLSIF": lambda a, b: covariate.ulsif(a, b, generator=generator),
    "kernel means": lambda a, b: covariate.kernel_mean_matching(a, b, maximum=20),
}

examples = {}
for problem, (draw, _) in PROBLEMS.items():
    a, b = draw()
    examples[problem] = {name: fit(a, b) for name, fit in ESTIMATORS.items()}
grid = torch.linspace(-4, 4, 161, dtype=torch.float64)[:, None]

# Figure
fig, ax = plt.subplots(layout="constrained")


def show(problem, ax=ax):
    ax.clear()
    ax.plot(
        grid, PROBLEMS[problem][1](grid), "C4", linewidth=8, alpha=0.3, label="exact"
    )
    for name, ratio in examples[problem].items():
        ax.plot(grid, ratio(grid), label=name)
    ax.set(ylim=(0, 4), xlabel="x", ylabel="ratio of the densities")
    ax.set(title=f"The target is {problem}" if " " not in problem else "Two groups")
    ax.legend(loc="upper left")


film = FuncAnimation(fig, show, list(PROBLEMS))
fig.set_label(
    "The exact ratio and four estimates against x, for two groups. The exact ratio is a step from "
    "0.2 at the left to 1.8 at the right. Kernel mean matching and uLSIF stay near it; logistic "
    "and KLIEP rise like an exponential and exceed it at the right."
)
plt.show()

# %%
# Which weights are closest to the ratio?
# ---------------------------------------
#
# We measure the squared error of the weights at the source's rows, divided by their mean square,
# over six samples. If the log-ratio is a line or a parabola, logistic regression and KLIEP are best:
# they choose these features. uLSIF and kernel mean matching use only kernels, which are a poor fit
# for a ratio that grows in one direction. For two groups, where the ratio is bounded, kernel mean
# matching is best.


def relative_error(weights, truth):
    """Return the squared error over the mean square."""
    return float(((weights - truth) ** 2).mean() / (truth**2).mean())


found = {name: {problem: [] for problem in PROBLEMS} for name in ESTIMATORS}
for problem, (draw, exact) in PROBLEMS.items():
    for _ in range(n_samples):
        a, b = draw()
        for name, fit in ESTIMATORS.items():
            found[name][problem].append(relative_error(fit(a, b).weights, exact(a)))
mean_errors = {
    name: [sum(values) / n_samples for values in of_name.values()]
    for name, of_name in found.items()
}
for name, values in mean_errors.items():
    print(f"{name}:", *(f"{value:.3f}" for value in values))


def best(place):
    """Return the estimator with the smallest error in a problem."""
    return min(mean_errors, key=lambda name: mean_errors[name][place])


claims["Logistic regression is best for the shifted target"] = best(0) == "logistic"
claims["It is best for the narrower target"] = best(1) == "logistic"
claims["Kernel mean matching is best for two groups"] = best(2) == "kernel means"
claims["For the shifted target, kernels have five times the error of KLIEP"] = (
    min(mean_errors["uLSIF"][0], mean_errors["kernel means"][0])
    > 5 * mean_errors["KLIEP"][0]
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
for name, values in mean_errors.items():
    ax.plot(values, range(3), "o", markersize=9, label=name)
ax.set(xscale="log", yticks=range(3), yticklabels=PROBLEMS, ylim=(2.5, -0.5))
ax.set(xlabel="relative squared error of the weights")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "The relative squared error of four estimators on three problems, on a logarithmic axis. "
    "Shifted: logistic 0.02, KLIEP 0.1, kernel means 0.6 and uLSIF 1.2. Narrower: logistic and "
    "KLIEP below 0.01, the others about 0.015. Two groups: kernel means 0.09, logistic and KLIEP "
    "0.15 and uLSIF 0.5."
)
plt.show()

# %%
# What each of them guarantees
# ----------------------------
#
# KLIEP without penalty gives every column exactly the target's mean; with ``features="linear"`` this
# is *entropy balancing*. uLSIF with :math:`\alpha > 0` estimates the *relative* ratio
# :math:`p / (\alpha p + (1-\alpha) q)`, which is at most :math:`1/\alpha` even where the source has
# no rows; its estimate exceeds this bound only slightly. Kernel mean matching keeps each weight
# below a maximum of your choice.

a, b = PROBLEMS["shifted"][0]()
balanced = covariate.kliep(a, b, features="linear", penalty=0.0)
relative = covariate.ulsif(a, b, alpha=0.5, generator=generator)
capped = covariate.kernel_mean_matching(a, b, maximum=5.0)
gap = (balanced.weights[:, None] * a).mean() - b.mean()
assert abs(gap) < 1e-6, "the weighted mean of the source is that of the target"
assert capped.weights.max() <= 5 + 1e-9, "no weight above the maximum"
claims["The relative ratio is at most slightly above 1 / α"] = (
    relative.weights.max() < 1.5 / 0.5
)

# %%
# Real data: from the weights to a corrected mean
# -----------------------------------------------
#
# The breast cancer data have 569 tumours. A tumour enters the source with a probability that falls
# with its radius, half for each three units, and a random third of all tumours is the target. We know
# two columns of each, radius and texture, and want to know the mean area in the target, without
# using its areas. The weighted mean of the source inherits the imbalance that each ratio leaves.
# :func:`dlcore.shift.covariate.target_mean` adds a regression on the columns, so that it is right
# if either the ratio or the regression is, and its interval includes the noise of the ratio. Here
# the correction is large, because the area is almost a function of the radius.

cancer = torch.as_tensor(load_breast_cancer().data)
columns, area = cancer[:, :2], cancer[:, 3]
chance = 2 ** (-(cancer[:, 0] - cancer[:, 0].min()) / halving)
estimates = {name: ([], [], []) for name in ESTIMATORS}
unweighted = []
for _ in range(n_samples):
    order = torch.randperm(len(cancer), generator=generator)
    pool, target = order[:379], order[379:]
    kept = (
        torch.rand(len(pool), generator=generator, dtype=torch.float64) < chance[pool]
    )
    source = pool[kept]
    truth = float(area[target].mean())
    unweighted.append(float(area[source].mean()) - truth)
    for name, fit in ESTIMATORS.items():
        ratio = fit(columns[source], columns[target])
        result = covariate.target_mean(
            area[source], ratio, columns[source], columns[target]
        )
        by_weights, corrected, covers = estimates[name]
        by_weights.append(float((ratio.weights * area[source]).mean()) - truth)
        corrected.append(result.mean - truth)
        covers.append(result.interval[0] <= truth <= result.interval[1])

rms = {
    name: [math.sqrt(sum(e**2 for e in errors) / n_samples) for errors in lists[:2]]
    for name, lists in estimates.items()
}
covered = {name: sum(lists[2]) / n_samples for name, lists in estimates.items()}
without = math.sqrt(sum(error**2 for error in unweighted) / n_samples)
for name, (raw, corrected) in rms.items():
    print(f"{name}: {raw:.0f}, corrected {corrected:.0f}, covered {covered[name]:.0%}")
print(f"without weights: {without:.0f}")

claims["Each estimator has a smaller error than no weights"] = all(
    raw < without for raw, _ in rms.values()
)
claims["Its intervals cover the truth in all samples"] = min(covered.values()) == 1
claims["The correction lowers every error to less than half"] = all(
    corrected < raw / 2 for raw, corrected in rms.values()
)
claims["Corrected, the largest error is below the smallest without correction"] = max(
    corrected for _, corrected in rms.values()
) < min(raw for raw, _ in rms.values())

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
ax.axvline(without, linestyle="--", color="C5", label="without weights")
for i, label in enumerate(["weighted mean", "doubly robust"]):
    ax.plot([r[i] for r in rms.values()], range(4), "oD"[i], markersize=9, label=label)
ax.set(xscale="log", yticks=range(4), yticklabels=rms, ylim=(3.5, -0.5))
ax.set(xlabel="error of the mean area")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "The error of the estimated mean area for four estimators, on a logarithmic axis, with a dashed "
    "line for the unweighted mean. The weighted means are left of the line, and the doubly robust "
    "estimates far left of them, close to each other."
)
plt.show()

# %%
# Which one? A decision chart
# ---------------------------

CHART = [
    ("Must column means agree?", "kliep, penalty 0"),
    ("Target beyond the source?", "ulsif, alpha > 0"),
    ("A bounded ratio, for a mean?", "kernel_mean_matching"),
    ("All else", "logistic_ratio"),
]

# Figure
fig, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
box = {"boxstyle": "round", "facecolor": "none", "edgecolor": "C0"}
for y, (question, answer) in enumerate(CHART):
    ax.text(0, y, question, va="center")
    ax.text(0.98, y, answer, va="center", ha="right", bbox=box)
    ax.plot([0.55, 0.6], [y, y], ">-C0", markevery=[1])
    if y < len(CHART) - 1:
        ax.plot([0.05, 0.05], [y + 0.25, y + 0.75], "vC1-", markevery=[1])
        ax.text(0.08, y + 0.5, "no", va="center")
ax.set(xlim=(0, 1), ylim=(len(CHART) - 0.5, -0.5))
ax.axis("off")
fig.set_label(
    "A chart of questions, each with a function if the answer is yes. Must column means agree: kliep "
    "with penalty 0. Is the target in part beyond the source: ulsif with alpha above 0. Is the ratio "
    "bounded and only a mean needed: kernel_mean_matching. In all other cases: logistic_ratio."
)
plt.show()

# %%
# Conclusion
# ----------
#
# Begin with :func:`dlcore.shift.covariate.logistic_ratio`, and read its report. Take
# :func:`dlcore.shift.covariate.kliep` if column means must agree exactly,
# :func:`dlcore.shift.covariate.ulsif` for a ratio with a bound, and
# :func:`dlcore.shift.covariate.kernel_mean_matching` if you need only means, from at most about
# 20,000 rows. With the same data, :func:`dlcore.shift.covariate.target_mean` makes the choice
# matter less. The :doc:`performance page </evidence/performance>` compares the four with other
# packages on real problems.

# %%
# Exercises
# ---------
#
# **1.** The two samples come from the same distribution. Which weights do you expect, and which effective
# sample size?

# Solution
a, b = normal(n_source, 0), normal(n_target, 0)
for name, fit in ESTIMATORS.items():
    size = fit(a, b).report.effective_sample_size
    claims[f"Without a shift, {name} keeps two thirds of the rows"] = (
        size > n_source * 2 / 3
    )

# %%
# **2.** Every row of the target is farther right than the source's rows. What do the four reports say?

# Solution
far = normal(n_target, 12)
verdicts = [fit(a, far).report.trustworthy for fit in ESTIMATORS.values()]
claims["No report trusts weights without overlap"] = not any(verdicts)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
