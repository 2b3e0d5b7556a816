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

*Prerequisites:* p-values and the level of a test.
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore.shift import detect

# Change these numbers and run the script again.
seed = 0
n_images = 500  # at each end of the digits
n_rows = 80  # in each sample of the power figure
n_permutations = 39
n_draws = 150  # pairs of samples without a shift
n_repeats = 20  # pairs of samples for each strength of a shift
claims = {}

# %%
# A permutation test on the order of the digits
# ---------------------------------------------
#
# A model was fitted to one sample and is used on another. Before we correct anything, we ask whether
# both samples could come from one distribution. A *two-sample test* answers with a p-value: the
# probability of a difference at least this large if they do. It only needs a statistic that grows
# with the difference, such as the maximum mean discrepancy.
#
# scikit-learn's digits come in the order in which they were collected. We compare the first 500
# images with the last 500. If the order had no effect, it would not matter which 500 images come
# first. So we permute the images at random 999 times and compare the statistic of the true order
# with those of the random orders.

generator = torch.Generator().manual_seed(seed)
digits = load_digits()
x = torch.as_tensor(digits.data, dtype=torch.float32) / 16
labels = torch.as_tensor(digits.target)
first, last = slice(None, n_images), slice(-n_images, None)
many = {"n_permutations": 999, "generator": generator}
order = detect.mmd_test(x[first], x[last], **many)

assert order.rejects(0.05) == bool(order.statistic > order.threshold(0.05)), (
    "a statistic above the threshold is what a test rejects"
)
claims["The true order differs more than 95 % of the random orders"] = order.rejects(
    0.05
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
ax.hist(1000 * order.null, bins=40, color="C0", alpha=0.5, label="random orders")
ax.axvline(1000 * order.threshold(0.05), color="C2", linestyle="--", label="5 % larger")
ax.axvline(1000 * order.statistic, color="C1", label="true order")
ax.set(xlabel="squared mean discrepancy, in thousandths", ylabel="random orders")
ax.set_title("Few random orders differ as much as the true one")
fig.legend(loc="outside lower center", ncols=3)
fig.set_label(
    "A histogram of the squared mean discrepancy of 999 random orders, most of them around "
    "0, with a tail to the right. A dashed line marks the upper 5 percent. The line of the "
    "true order lies further to the right, where there are hardly any random orders."
)
plt.show()

# %%
# The images have changed, perhaps because other people wrote them. A classifier predicts better
# than chance which part an unseen image belongs to. The Kolmogorov–Smirnov test looks at each pixel
# separately and has to correct for 64 tests, but it still finds a few pixels that differ. The
# *labels*, however, have the same distribution in both parts. In a random order, the test finds no
# difference.

scored = detect.classifier_test(x[first], x[last], features="linear", **many)
counts = detect.label_test(labels[first], labels[last], generator=generator)
pixels = detect.ks_test(x[first], x[last])
shuffled = torch.randperm(len(x), generator=generator)
quiet = detect.mmd_test(x[shuffled[first]], x[shuffled[last]], **many)
for test in (order, scored, counts, pixels):
    print(test)

claims["A classifier separates the parts better than chance"] = scored.rejects(0.01)
claims["The classifier is right for 55 to 70 % of the images"] = (
    0.55 < scored.accuracy < 0.7
)
claims["The labels have not changed"] = not counts.rejects(0.5)
claims["A few pixels differ, at most 12"] = (
    1 <= (pixels.feature_p_values <= 0.05).sum() <= 12
)
claims["In a random order, the test finds no difference"] = not quiet.rejects(0.05)

# %%
# Slices: which digits have changed?
# ----------------------------------
#
# In all images together, the shift is small: the MMD, the root of the statistic, is about 0.05. But
# the images of one digit may have changed while the others hide it. So we test each *slice*, here
# the images of each digit, alone. Ten tests give ten chances of a false alarm, so their p-values
# are corrected by Holm's method. The result names the slice with the largest shift first. Its MMD
# exceeds that of all images several times.

digit = {"x_slices": labels[first], "y_slices": labels[last], "min_rows": 2}
by_digit = detect.slice_test(detect.mmd_test, x[first], x[last], **digit, **many)
print(by_digit)

assert by_digit.rejects(0.01) == tuple(
    name
    for name, p in zip(by_digit.slices, by_digit.p_values, strict=True)
    if p <= 0.01
), "a slice is named if its corrected p-value is at most the level"
claims["In all images, the MMD is about 0.05"] = 0.04 < order.effect < 0.06
claims["At least 3 digits have changed"] = len(by_digit.rejects(0.05)) >= 3
claims["The worst digit has changed 3 times as much as all images"] = (
    by_digit.tests[0].interval[0] > 3 * order.effect
)

# %%
# Effect sizes: does the shift matter?
# ------------------------------------
#
# A p-value only says whether there is a difference, and with enough rows, even a difference too
# small to matter is significant. Here, the means of 200,000 rows each differ by 1/80 of a standard
# deviation. So each result also has the size of the difference as an ``effect`` with an
# ``interval``, whose two limits each err in 5 % of cases. Decide which difference would matter, and
# pass it as ``tolerance``: the test then asks whether the difference exceeds it.

a, b = torch.randn(2, 200_000, 1, generator=generator)
strict = detect.ks_test(a, b + 1 / 80)
practical = detect.ks_test(a, b + 1 / 80, tolerance=0.02)
for test in (strict, practical):
    print(test)

true_distance = math.erf(1 / 80 / math.sqrt(8))
assert strict.interval == practical.interval, "the tolerance changes only the question"
claims["The small shift is significant"] = strict.rejects(0.05)
claims["It is smaller than 0.02"] = practical.interval[1] < 0.02
claims["The interval holds the true difference"] = (
    strict.interval[0] <= true_distance <= strict.interval[1]
)

# %%
# False alarms: does a test keep its level?
# -----------------------------------------
#
# At level 0.05, a test may raise a false alarm in at most 5 of 100 cases. We draw both samples from
# one distribution, hundreds of times, and count the alarms. All four tests keep their level. A
# fifth procedure, common in scripts, does not: its p-value is the share of permutations
# whose statistic reaches the observed one. With 10 permutations, none of them reaches it in 1 case
# of 11, and the p-value is 0. The right p-value, :math:`(1 + k)/(1 + B)`, counts the true order as
# well; here :math:`k` of the :math:`B` permutations reach the observed statistic.


def normal(n, d):
    """Draw rows of independent standard normal entries."""
    return torch.randn(n, d, generator=generator)


def classes(n):
    """Draw labels of three classes."""
    return torch.randint(3, (n,), generator=generator)


options = {"n_permutations": n_permutations, "generator": generator}
tests = {
    "MMD": lambda x, y: detect.mmd_test(x, y, **options),
    "classifier": lambda x, y: detect.classifier_test(x, y, **options),
    "Kolmogorov–Smirnov": detect.ks_test,
}
alarms = {
    name: [test(normal(27, 2), normal(20, 2)).rejects(0.05) for _ in range(n_draws)]
    for name, test in tests.items()
}
alarms["labels"] = [
    detect.label_test(classes(27), classes(20), **options).rejects(0.05)
    for _ in range(n_draws)
]
few = {"n_permutations": 10, "generator": generator}
null_tests = [
    detect.mmd_test(normal(10, 1), normal(10, 1), **few) for _ in range(6 * n_draws)
]
bare = "MMD, 10 permutations,\nwithout the 1"
alarms[bare] = [
    float((test.null >= test.statistic).double().mean()) <= 0.05 for test in null_tests
]
rates = {name: sum(found) / len(found) for name, found in alarms.items()}
errors = {name: math.sqrt(0.05 * 0.95 / len(found)) for name, found in alarms.items()}

for name in [*tests, "labels"]:
    claims[f"{name}: the test keeps its level"] = rates[name] <= 0.05 + 2 * errors[name]
claims["Without the 1, the test does not keep its level"] = (
    rates[bare] > 0.05 + 3 * errors[bare]
)
assert not any(test.rejects(0.05) for test in null_tests), (
    "1/11 is the smallest p-value"
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
band = {"xerr": [2 * error for error in errors.values()], "elinewidth": 9, "alpha": 0.3}
ax.errorbar([0.05] * 5, list(rates), fmt="|C2", label="expected at level 0.05", **band)
ax.plot(list(rates.values()), list(rates), "oC1", label="measured")
ax.set(xlabel="share of false alarms", xlim=(0, None), ylim=(4.6, -0.6))
fig.legend(loc="outside upper right", ncols=2)
fig.set_label(
    "Shares of false alarms, one point for each test, on a bar around 0.05 of two "
    "standard errors to each side. The MMD, the classifier, the Kolmogorov-Smirnov and the "
    "label test lie within their bars or to the left. The share of 10 permutations without "
    "the added 1, about 0.09, lies to the right of its bar."
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

strengths = {
    "means": [0.0, 0.15, 0.3, 0.45, 0.6],
    "one scale": [0.0, 0.5, 1.0, 1.5, 2.0],
    "correlation": [0.0, 0.25, 0.5, 0.75, 0.95],
}


def shifted(kind, strength):
    """Draw a sample that is shifted in one of three ways."""
    y = normal(n_rows, 3)
    if kind == "means":
        return y + strength
    if kind == "one scale":
        y[:, 0] *= 1 + strength
    else:
        y[:, 1] = strength * y[:, 0] + math.sqrt(1 - strength**2) * y[:, 1]
    return y


def power(test, kind, strength):
    """Return the share of pairs of samples in which a test detects a shift."""
    pairs = [(normal(n_rows, 3), shifted(kind, strength)) for _ in range(n_repeats)]
    return sum(test(x, y).rejects(0.05) for x, y in pairs) / n_repeats


powers = {
    (kind, name): torch.tensor([power(test, kind, strength) for strength in values])
    for kind, values in strengths.items()
    for name, test in tests.items()
}

# %%
# All tests detect shifts of means and of scale, and the two tests that look at all columns together
# detect them earlier. A test that looks at one column at a time cannot detect the correlation,
# however strong it is. MMD detects it late. The classifier, whose features include products of
# columns, detects it first.

for (kind, name), found in powers.items():
    claims[f"{name}: without a shift, few alarms ({kind})"] = found[0] <= 0.2
    if kind != "correlation" or name == "classifier":
        claims[f"{name}: detects the strongest shift ({kind})"] = found[-1] >= 0.8
sums = {key: float(found.sum()) for key, found in powers.items()}
ks = "Kolmogorov–Smirnov"
for kind in ("means", "one scale"):
    claims[f"Kolmogorov–Smirnov detects a shift last ({kind})"] = sums[kind, ks] == min(
        sums[kind, name] for name in tests
    )
claims["Kolmogorov–Smirnov cannot detect a correlation"] = (
    powers["correlation", ks].max() <= 0.2
)
claims["The classifier detects the correlation first"] = sums[
    "correlation", "classifier"
] == max(sums["correlation", name] for name in tests)

# Figure
# sphinx_gallery_thumbnail_number = 3
fig, axes = plt.subplots(1, 3, figsize=(5.4, 3.7), sharey=True, layout="constrained")
for ax, (kind, values) in zip(axes, strengths.items(), strict=True):
    for name in tests:
        ax.plot(values, powers[kind, name], "o-", markersize=4)
    ax.set(title=kind, xticks=[0, values[-1]])
axes[0].set_ylabel("power at level 0.05")
axes[1].set_xlabel("strength of the shift")
fig.legend(axes[0].lines, list(tests), loc="outside lower left", ncols=2)
fig.set_label(
    "Three panels of the power of three tests against the strength of the shift. For the "
    "means and for one scale, all rise, the MMD and the classifier before the "
    "Kolmogorov-Smirnov test. For one correlation, the classifier rises first and the MMD "
    "later, and the Kolmogorov-Smirnov test stays near 0."
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
# does not reveal a small shift; the upper limit of the ``interval`` shows how large it may be.
# :func:`dlcore.shift.detect.slice_test` shows which groups of rows changed. If the classes have
# changed, :doc:`/auto_gallery/08_shift/plot_label_shift` estimates by how much.

# %%
# Exercises
# ---------
#
# **1.** What is the smallest p-value that 39 permutations can give, and how many do you need to
# reject at level 0.001?

# Solution
for count in (39, 998, 999):
    far = detect.mmd_test(
        normal(30, 1), normal(30, 1) + 9, n_permutations=count, generator=generator
    )
    assert math.isclose(far.p_value, 1 / (1 + count)), "no permutation reaches it"
    assert far.rejects(0.001) == (count >= 999), "999 are needed"

# %%
# **2.** Compute the squared MMD of two small samples from its formula, with the kernel
# :math:`k(x, y) = xy`. To which difference of the two samples does it reduce, if the pairs of equal
# indices are kept?

# Solution
a, b = normal(8, 1), normal(8, 1) + 1
linear_mmd = (a @ a.T).mean() + (b @ b.T).mean() - 2 * (a @ b.T).mean()
assert torch.isclose(linear_mmd, (a.mean() - b.mean()).square(), atol=1e-6), (
    "the squared difference of the means: this kernel detects nothing else"
)

# %%
# **3.** Rotate two correlated columns by 45 degrees before you test each column. Does the
# Kolmogorov–Smirnov test now detect the correlation?

# Solution
turn = torch.tensor([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
rotated = [
    detect.ks_test(normal(n_rows, 3) @ turn, shifted("correlation", 0.95) @ turn)
    for _ in range(n_repeats)
]
claims["After a rotation, the Kolmogorov–Smirnov test detects the correlation"] = (
    sum(test.rejects(0.05) for test in rotated) > 0.8 * n_repeats
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
