r"""
Prior correction: why must probabilities be calibrated?
=======================================================

Multiplying a classifier's probabilities by the ratio of the priors helps only if the probabilities
are calibrated.

In short
--------

If classes become more or less common, a classifier's probabilities must be multiplied by the ratio
of the new prior to the old one. This makes calibrated probabilities more accurate, but it ruins
under-confident ones: even with the true prior, the ratio then outweighs the evidence of the image.

.. math::

    p(y \mid \mathbf{x}) \propto w_y\, q(y \mid \mathbf{x}), \qquad w_y = \frac{p(y)}{q(y)} .

*Prerequisites:* :doc:`label shift </auto_gallery/08_shift/plot_label_shift>`.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_digits

from dlcore import linear, metrics
from dlcore.shift import label

# Change these numbers and run the script again.
seed = 0
n_train = 597
n_rows = 500  # in each source and in each target
spread = 2.0  # standard deviation of the logarithms of the target's shares
n_draws = 20
penalty = 100.0  # of the classifier that is under-confident
claims = {}

# %%
# Setting
# -------
#
# A classifier of digits is trained where all digits are about equally common, the *source*, and used
# where some are many times as common as others, the *target*. A given digit looks the same in both.
# Then Bayes' theorem gives the formula above. The true prior :math:`p(y)` is known here, so nothing
# has to be estimated; :doc:`/auto_gallery/08_shift/plot_label_shift` estimates it.

digits = load_digits()
x, y = torch.as_tensor(digits.data) / 16, torch.as_tensor(digits.target)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
train, held_out = order[:n_train], order[n_train:]


def draw(number):
    """Return the row indices of a source and of a target with a random prior."""
    generator = torch.Generator().manual_seed(seed + number)
    shuffled = held_out[torch.randperm(len(held_out), generator=generator)]
    source, others = shuffled[:n_rows], shuffled[n_rows:]
    prior = (spread * torch.randn(10, generator=generator)).softmax(dim=0)
    chance = (prior / torch.bincount(y[others], minlength=10))[y[others]]
    chosen = torch.multinomial(chance, n_rows, replacement=True, generator=generator)
    return source, others[chosen]


def true_weights(source, target):
    """Return the share of each digit in the target divided by that in the source."""
    in_target, in_source = (
        torch.bincount(y[rows], minlength=10).double() / n_rows
        for rows in (target, source)
    )
    return in_target / in_source


def accuracy(probabilities, rows):
    """Return the share of rows whose most probable digit is right."""
    return metrics.accuracy(y[rows], probabilities.argmax(dim=1))


draws = [draw(number) for number in range(n_draws)]

# %%
# When correcting the probabilities hurts
# ---------------------------------------
#
# If :math:`q(y \mid \mathbf{x})` is right, so is the corrected probability. But divide the logits of
# softmax regression by a temperature. The uncorrected predictions do not change, so their accuracy
# is the same at every temperature. Only the corrected probabilities change. If the temperature is
# too high, the classifier is under-confident: the weights dominate its evidence, and rare digits
# are never predicted, although the weights are the true ones.

temperatures = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
logits = linear.linear(x, *linear.softmax_regression(x[train], y[train]))
corrected, plain = torch.zeros(2, n_draws, len(temperatures))
for i, (source, target) in enumerate(draws):
    weights = true_weights(source, target)
    for t, temperature in enumerate(temperatures):
        probabilities = (logits[target] / temperature).softmax(dim=1)
        corrected[i, t] = accuracy(probabilities * weights, target)
        plain[i, t] = accuracy(probabilities, target)
assert torch.allclose(plain, plain[:, :1], atol=0.01), "a temperature keeps the order"
gain = (corrected - plain).mean(dim=0)
best = int(gain.argmax())

claims[
    "At the best temperature, below 2, the true prior gains over 1 % of accuracy"
] = gain[best] > 0.01 and temperatures[best] < 2
claims["Up to a temperature of 1, the true prior helps"] = (gain[:4] > 0).all()
claims["From a temperature of 2 on, the true prior does harm"] = (gain[4:] < 0).all()
claims["At a temperature of 16, the harm exceeds 5 % of accuracy"] = gain[-1] < -0.05

source, target = draws[0]
of_shown = true_weights(source, target)
right = target[logits[target].argmax(dim=1) == y[target]]
image = right[of_shown[y[right]].argmin()]  # of the rarest digit that is recognized

# Figure
fig, (ax, below) = plt.subplots(2, 1, figsize=(5.4, 5.6), layout="constrained")
(before,) = ax.plot(range(10), [0] * 10, "oC1", label="uncorrected")
(after,) = ax.plot(range(10), [0] * 10, "DC0", label="corrected")
ax.set(xlabel="digit", ylabel="probability", xticks=range(10), ylim=(-0.05, 1.05))
below.plot(temperatures, plain.mean(dim=0), "C1")
below.plot(temperatures, corrected.mean(dim=0), ".-C0")
marker = below.axvline(1, color="C2", linewidth=8, alpha=0.3)
below.set(xscale="log", xlabel="temperature", ylabel="accuracy in the target")
fig.legend(loc="outside lower center", ncols=2)


def heat(temperature):
    probabilities = (logits[image] / temperature).softmax(dim=0)
    before.set_ydata(probabilities)
    after.set_ydata(probabilities * of_shown / (probabilities @ of_shown))
    marker.set_xdata([temperature, temperature])
    ax.set_title(f"temperature {temperature:g}: an image of a {y[image]}")


film = FuncAnimation(fig, heat, temperatures)
fig.set_label(
    "Two panels. Top, the probabilities of the ten digits for one image of a rare digit, before and after "
    "the correction, at the temperature that the slider selects. At a low temperature, both "
    "are right; at a high one, the correction makes another, common digit most "
    "probable. Bottom, the accuracy in the target against the temperature: with the true "
    "prior it is above the uncorrected accuracy for temperatures up to 1, below it at 2, "
    "and far below it at higher temperatures."
)
plt.show()

# %%
# Move the temperature. A low one makes the classifier sure of the rare digit, and the correction
# does not change its prediction. A high one spreads the probability over all digits, and the most
# common digit wins.

cold, hot = (
    ((logits[image] / temperature).softmax(dim=0) * of_shown).argmax()
    for temperature in (temperatures[0], temperatures[-1])
)
claims[
    "For the image shown, the correction is right at the lowest temperature only"
] = cold == y[image] != hot

# %%
# Calibrate first
# ---------------
#
# Now the classifier is trained with a strong penalty on its weights, which leaves it
# under-confident: it is right far more often than its probabilities say.
# :func:`dlcore.shift.label.bias_corrected_temperature`, fitted to the labels of the source, finds a
# temperature far below 1. We compare four choices over 20 draws: no correction, the true prior, the
# true prior after calibration, and, after calibration, the prior that
# :func:`dlcore.shift.label.saerens_em` estimates.

weak = linear.softmax_regression(x[train], y[train], penalty=penalty)
weak = linear.linear(x, *weak)
accuracies, fitted_temperatures, reports, ranges = [], [], [], []
for source, target in draws:
    weights = true_weights(source, target)
    calibrator = label.bias_corrected_temperature(weak[source], y[source])
    raw, calibrated = weak.softmax(dim=1), calibrator(weak)
    given = raw[source], y[source], raw[target]
    estimate = label.saerens_em(*given, calibrate=True, n_resamples=0)
    choices = [
        raw[target],
        raw[target] * weights,
        calibrated[target] * weights,
        estimate.correct(calibrated[target]),
    ]
    accuracies.append([accuracy(probabilities, target) for probabilities in choices])
    fitted_temperatures.append(float(calibrator.temperature))
    ranges.append(float(weights.max() / weights[weights > 0].min()))
    by_matrix = label.rlls(*given, n_resamples=0).report
    uncalibrated = label.saerens_em(*given, n_resamples=0).report
    reports.append((by_matrix, uncalibrated, estimate.report))
accuracies = torch.tensor(accuracies)
mean = accuracies.mean(dim=0)
print("raw, raw + prior, calibrated + prior, calibrated + EM:", mean)

claims["Without a correction, the accuracy is between 0.8 and 0.9"] = (
    0.8 < mean[0] < 0.9
)
claims["The true prior alone lowers it by a tenth"] = mean[1] < mean[0] - 0.1
claims["After calibration, the true prior raises it"] = mean[2] > mean[0] + 0.05
claims["After calibration, the prior of EM raises it"] = mean[3] > mean[0] + 0.05
claims["In each draw, the calibration helps"] = (
    accuracies[:, 2] > accuracies[:, 1]
).all()
claims["The fitted temperatures are below 0.3"] = max(fitted_temperatures) < 0.3

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
steps = ["none", "true prior", "calibrated,\ntrue prior", "calibrated,\nEM's prior"]
ax.plot(steps, accuracies.T, "C0", alpha=0.3, linewidth=1)
ax.plot(steps, mean, "o-C1", linewidth=3)
ax.set(xlabel="correction", ylabel="accuracy in the target")
ax.set_title("The true prior helps only a calibrated classifier")
fig.set_label(
    "The accuracy in the target of 20 draws and their mean for four methods. Compared "
    "with the uncorrected classifier, it is lower with the true prior, and much higher "
    "with calibration and either the true prior or the prior that EM estimates."
)
plt.show()

# %%
# The true prior lowers the accuracy by more than a tenth. The largest weight of a digit is more
# than a hundred times the smallest, while the most probable digit is less than three times as
# probable as the next one, so the prior decides.

first, second = weak[held_out].softmax(dim=1).topk(2).values.T
claims["The largest weight is a hundred times the smallest"] = (
    torch.tensor(ranges).median() > 100
)
claims["The most probable digit is less than three times as probable as the next"] = (
    first / second
).median() < 3

# %%
# Does the report warn?
# ---------------------
#
# The report of :func:`dlcore.shift.label.rlls`, which uses the confusion matrix, measures, on the
# weighted source, what the correction does to the accuracy. In most draws it warns, and in each of
# these the correction does harm. The report of EM without calibration does not trust even the prior.
# The report of EM with calibration trusts it in most draws. In the others, it usually objects to the
# rows of rare digits that are drawn many times: they look as if more than the labels had shifted.

harms = (accuracies[:, 1] - accuracies[:, 0]).tolist()
warned = [
    harm
    for (by_matrix, _, _), harm in zip(reports, harms, strict=True)
    if "correct no probabilities by it" in by_matrix.verdict
]
trusted = sum(of_em.trustworthy for _, _, of_em in reports)
print(f"warned in {len(warned)} of {n_draws} draws, trusted EM's prior in {trusted}")
print(reports[0][0].verdict)

claims["The report warns in at least half of the draws"] = len(warned) >= n_draws / 2
claims["If it warns, the correction does harm"] = max(warned, default=0) < 0
claims["EM does not trust its prior without calibration"] = not any(
    uncalibrated.trustworthy for _, uncalibrated, _ in reports
)
claims["After calibration, EM trusts its prior in most draws"] = trusted > n_draws / 2

# %%
# Conclusion
# ----------
#
# Calibrate a classifier's probabilities before you multiply them by anything, with
# :func:`dlcore.shift.label.bias_corrected_temperature`. Then
# :meth:`dlcore.shift.label.LabelShift.correct` makes them more accurate. Read the report first: it
# measures what a correction does to the accuracy.
# :doc:`/auto_gallery/08_shift/plot_when_correction_hurts` shows when the weights of examples do
# harm.

# %%
# Exercises
# ---------
#
# **1.** A test has odds of 20:1 that a patient is ill, in a clinic where half of the patients are.
# In the town, 1 % are ill. How probable is the illness for a patient with the same test in the town?

# Solution
probabilities = torch.tensor([1 / 21, 20 / 21])
weights = torch.tensor([0.99, 0.01]) / 0.5
in_town = probabilities * weights / (probabilities @ weights)
assert torch.isclose(in_town[1], torch.tensor(20 / (20 + 99))), "odds of 20:99, 17 %"

# %%
# **2.** Which temperature makes the strongly penalized classifier right as often as its confidence
# says, on the held-out rows? Compare the calibration error before and after.

# Solution
confident = metrics.calibration_error(y[held_out], weak[held_out].softmax(dim=1))
middle = sorted(fitted_temperatures)[n_draws // 2]
cooled = (weak[held_out] / middle).softmax(dim=1)
claims["The fitted temperature removes most of the calibration error"] = (
    metrics.calibration_error(y[held_out], cooled) < confident / 4
)

# %%
# **3.** Correct the probabilities to the new prior and then back to the old one. What is left of the
# first correction?

# Solution
weights = true_weights(*draws[0]).clamp(min=1e-3)
there = weak[:9].softmax(dim=1) * weights
back = there / there.sum(dim=1, keepdim=True) / weights
back /= back.sum(dim=1, keepdim=True)
assert torch.allclose(back, weak[:9].softmax(dim=1)), "nothing: no information is lost"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
