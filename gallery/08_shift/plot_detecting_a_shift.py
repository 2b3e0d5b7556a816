r"""
Two-sample tests: which one detects which shift?
================================================

Two-sample tests check whether two samples come from one distribution, and each test detects
different kinds of shift.

In short
--------

All four two-sample tests here keep their level, so an alarm can be trusted, but none detects every
shift: the Kolmogorov–Smirnov test, which looks at one column at a time, misses a changed
correlation, and the classifier test detects it first. The maximum mean discrepancy (MMD) with a
Gaussian kernel is 0 only if :math:`p = q`, but it detects some shifts only when they are strong:

.. math::

    \text{MMD}^2(p, q) = \mathbb{E}\,k(\mathbf{x}, \mathbf{x}')
    + \mathbb{E}\,k(\mathbf{y}, \mathbf{y}') - 2\,\mathbb{E}\,k(\mathbf{x}, \mathbf{y}),
    \qquad \mathbf{x}, \mathbf{x}' \sim p, \quad \mathbf{y}, \mathbf{y}' \sim q .

*Prerequisites:* p-values and the level of a test. *Reading time:* 10 minutes.

Setting
-------

A model was fitted to one sample and is used on another. Before we correct anything, we ask whether
both samples could come from one distribution. A *two-sample test* answers with a p-value: the
probability of a difference at least this large if they do. It only needs a statistic that grows
with the difference, such as the maximum mean discrepancy. Which differences does such a test
detect, and how often does it raise a false alarm?
"""

import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore.shift import detect

generator = torch.Generator().manual_seed(0)
ink = plt.rcParams["text.color"]

# %%
# A permutation test on the order of the digits
# ---------------------------------------------
#
# scikit-learn's digits come in the order in which they were collected. We compare the first 500
# images with the last 500. If the order had no effect, it would not matter which 500 images come
# first. So we permute the images at random 999 times and compare the statistic of the true order
# with those of the random orders.

digits = load_digits()
x = torch.as_tensor(digits.data, dtype=torch.float32) / 16
labels = torch.as_tensor(digits.target)
first, last = slice(None, 500), slice(-500, None)
order = detect.mmd_test(x[first], x[last], n_permutations=999, generator=generator)

assert order.rejects(0.05)
assert order.statistic > order.threshold(0.05)

fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
ax.hist(1000 * order.null, bins=40, color="C0", alpha=0.5)
ax.axvline(1000 * order.threshold(0.05), color=ink, linestyle="--", linewidth=1)
ax.axvline(1000 * order.statistic, color="C1")
top = ax.get_ylim()[1]
at = {"textcoords": "offset points", "va": "top"}
ax.annotate(
    "5 % of the random\norders are larger",
    (1000 * order.threshold(0.05), top),
    (6, 0),
    **at,
)
at |= {"ha": "right", "color": "C1"}
ax.annotate("the true order", (1000 * order.statistic, 0.7 * top), (-6, 0), **at)
ax.set(
    xlabel="squared mean discrepancy, in thousandths", ylabel="number of random orders"
)
ax.set(xlim=(None, 1150 * order.statistic))
ax.set_title("Few random orders differ as much as the true one")
fig.set_label(
    "A histogram of the squared mean discrepancy of 999 random orders, most of them around "
    "0, with a tail to the right. A dashed line marks the upper 5 percent. The line of the "
    "true order lies further to the right, where there are hardly any random orders."
)
plt.show()

# %%
# The images have changed, perhaps because other people wrote them. A classifier can tell better
# than by chance which part an image that it has not seen belongs to. The Kolmogorov–Smirnov test
# looks at each pixel separately and has to correct for 64 tests, but it still finds a few pixels
# that differ. The *labels*, however, have the same distribution in both parts. In a random order,
# the test finds no difference.

told = detect.classifier_test(
    x[first], x[last], features="linear", n_permutations=999, generator=generator
)
counts = detect.label_test(labels[first], labels[last], generator=generator)
pixels = detect.ks_test(x[first], x[last])
shuffled = torch.randperm(len(x), generator=generator)
quiet = detect.mmd_test(
    x[shuffled[first]], x[shuffled[last]], n_permutations=999, generator=generator
)

assert told.rejects(0.01)
assert 0.55 < told.accuracy < 0.7
assert not counts.rejects(0.5)
assert 1 <= (pixels.feature_p_values <= 0.05).sum() <= 12
assert not quiet.rejects(0.05)

for test in (order, told, counts, pixels):
    print(test)

# %%
# False alarms: does a test keep its level?
# -----------------------------------------
#
# At level 0.05, a test may raise a false alarm in at most 5 of 100 cases. We draw both samples from
# one distribution, hundreds of times, and count the alarms. All four tests keep their level. A
# fifth procedure, common in scripts, does not: its p-value is simply the share of permutations
# whose statistic reaches the observed one. With 10 permutations, none of them reaches it in 1 case
# of 11, and the p-value is 0. The right p-value, :math:`(1 + k)/(1 + B)`, counts the true order as
# well; here :math:`k` of the :math:`B` permutations reach the observed statistic.


def normal(n: int, d: int) -> torch.Tensor:
    """Draw rows of independent standard normal entries."""
    return torch.randn(n, d, generator=generator)


def classes(n: int) -> torch.Tensor:
    """Draw labels of three classes."""
    return torch.randint(3, (n,), generator=generator)


draws = 200
options = {"n_permutations": 39, "generator": generator}
tests: dict[str, Callable[..., detect.ShiftTest]] = {
    "mean discrepancy": lambda x, y: detect.mmd_test(x, y, **options),
    "classifier": lambda x, y: detect.classifier_test(x, y, **options),
    "Kolmogorov–Smirnov": detect.ks_test,
}
alarms = {}
for name, test in tests.items():
    rejected = [test(normal(27, 2), normal(20, 2)).rejects(0.05) for _ in range(draws)]
    alarms[name] = sum(rejected) / draws
rejected = [
    detect.label_test(classes(27), classes(20), **options).rejects(0.05)
    for _ in range(draws)
]
alarms["labels"] = sum(rejected) / draws
few = {"n_permutations": 10, "generator": generator}
null_tests = [detect.mmd_test(normal(10, 1), normal(10, 1), **few) for _ in range(1500)]
bare = sum(
    float((test.null >= test.statistic).float().mean()) <= 0.05 for test in null_tests
)
alarms["10 permutations,\nwithout the 1"] = bare / 1500
errors = {name: math.sqrt(0.05 * 0.95 / draws) for name in alarms}
errors["10 permutations,\nwithout the 1"] = math.sqrt(0.05 * 0.95 / 1500)

for name in [*tests, "labels"]:
    assert alarms[name] <= 0.05 + 2 * errors[name]
name = "10 permutations,\nwithout the 1"
assert alarms[name] > 0.05 + 3 * errors[name]
assert not any(test.rejects(0.05) for test in null_tests)

fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
ax.axvline(0.05, color=ink, linestyle="--", linewidth=1)
for place, (name, rate) in enumerate(alarms.items()):
    chance = [0.05 - 2 * errors[name], 0.05 + 2 * errors[name]]
    ax.plot(chance, [-place, -place], color=ink, linewidth=9, alpha=0.2)
    ax.plot(rate, -place, "o", color="C1" if "without" in name else "C0")
ax.text(0.086, 0, "expected range\nat level 0.05", va="center")
ax.set(xlim=(0, 0.125), ylim=(-4.6, 0.5), xlabel="share of false alarms")
ax.set_yticks([-place for place in range(len(alarms))], labels=list(alarms))
ax.set_title("Without the 1, the test does not keep its level")
fig.set_label(
    "Shares of false alarms, one point for each test, on a grey bar around 0.05 of two "
    "standard errors to each side. The mean discrepancy, the classifier, the "
    "Kolmogorov-Smirnov and the label test lie within their bars or below. The share of "
    "10 permutations without the added 1, about 0.09, lies above its bar."
)
plt.show()

# %%
# Power: which test detects which shift?
# --------------------------------------
#
# Now we shift one of the two samples of 80 rows and three columns, by increasing amounts: the mean
# of every column, the scale of one column, or the correlation of two columns, which leaves the
# distribution of each column unchanged. The *power* of a test is the probability that it detects
# the shift.


def shifted(kind: str, strength: float) -> torch.Tensor:
    """Draw a sample that is shifted in one of three ways."""
    y = normal(80, 3)
    if kind == "means":
        return y + strength
    if kind == "one scale":
        y[:, 0] *= 1 + strength
    else:
        y[:, 1] = strength * y[:, 0] + math.sqrt(1 - strength**2) * y[:, 1]
    return y


strengths = {
    "means": [0.0, 0.15, 0.3, 0.45, 0.6],
    "one scale": [0.0, 0.4, 0.8, 1.2, 1.6],
    "one correlation": [0.0, 0.25, 0.5, 0.75, 0.95],
}
repeats = 40
power = {
    kind: {
        name: [
            sum(
                test(normal(80, 3), shifted(kind, s)).rejects(0.05)
                for _ in range(repeats)
            )
            / repeats
            for s in values
        ]
        for name, test in tests.items()
    }
    for kind, values in strengths.items()
}

# %%
# All tests detect shifts of means and of scale, and the two tests that look at all columns together
# detect them earlier. A test that looks at one column at a time cannot detect the correlation,
# however strong it is. The mean discrepancy detects it late. The classifier, whose features include
# products of columns, detects it first.

for kind in strengths:
    for name in tests:
        assert power[kind][name][0] <= 0.2  # no shift yet
        if kind != "one correlation" or name == "classifier":
            assert power[kind][name][-1] >= 0.8
assert max(power["one correlation"]["Kolmogorov–Smirnov"]) <= 0.2
sums = {
    kind: {name: sum(rates) for name, rates in power[kind].items()} for kind in power
}
for kind in ("means", "one scale"):
    assert sums[kind]["Kolmogorov–Smirnov"] == min(sums[kind].values())
assert sums["one correlation"]["classifier"] == max(sums["one correlation"].values())

fig, axes = plt.subplots(1, 3, figsize=(5.4, 3.7), sharey=True, layout="constrained")
for ax, (kind, values) in zip(axes, strengths.items(), strict=True):
    ax.axhline(0.05, color=ink, linestyle="--", linewidth=1)
    for i, (name, rates) in enumerate(power[kind].items()):
        ax.plot(values, rates, "o-", markersize=4, color=f"C{i}", label=name)
    ax.set(title=kind, ylim=(-0.03, 1.03))
    ax.set_xticks([0, values[2], values[4]], ["0", f"{values[2]:g}", f"{values[4]:g}"])
axes[0].set_ylabel("power at level 0.05")
axes[0].set_xlabel("shift of each")
axes[1].set_xlabel("std − 1")
axes[2].set_xlabel("correlation")
key = {"loc": "outside lower center", "ncols": 3, "labelcolor": "linecolor"}
key |= {"handlelength": 1, "columnspacing": 1.2}
fig.legend(*axes[0].get_legend_handles_labels(), **key)
fig.suptitle(
    "Each test misses some shift or detects it late", x=0.01, ha="left", size="medium"
)
fig.set_label(
    "Three panels of the power of three tests against the strength of the shift. For the "
    "means and for one scale, all rise, the mean discrepancy and the classifier before the "
    "Kolmogorov-Smirnov test. For one correlation, the classifier rises first and the mean "
    "discrepancy later, and the Kolmogorov-Smirnov test stays near 0."
)
plt.show()

# %%
# Conclusion
# ----------
#
# No test is best, because different tests detect different shifts.
# :func:`dlcore.shift.detect.mmd_test` detects any smooth difference.
# :func:`dlcore.shift.detect.classifier_test` detects differences in means, scales and correlations,
# and its accuracy shows how large they are. :func:`dlcore.shift.detect.ks_test` shows which
# features changed, and :func:`dlcore.shift.detect.label_test` tests the classes. All keep their
# level, so you can trust an alarm. You cannot trust the absence of an alarm, because a small sample
# does not reveal a small shift. If the classes have changed,
# :doc:`/auto_gallery/08_shift/plot_label_shift` estimates by how much.
