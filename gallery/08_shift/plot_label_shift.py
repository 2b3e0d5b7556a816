r"""
Label shift: how common is each class in unlabelled data?
=========================================================

A labelled source sample and a classifier suffice to estimate how frequent each class is in an
unlabelled target sample.

In short
--------

Under label shift the class frequencies change from the source :math:`q` to the target :math:`p`,
but each class still looks the same. The target's frequencies can then be estimated without target
labels: solve the confusion matrix for them (BBSE), or maximize their likelihood with calibrated
probabilities (EM), which has the smallest error here.

.. math::

    p(y) \ne q(y), \qquad p(\mathbf{x} \mid y) = q(\mathbf{x} \mid y) .

*Prerequisites:* :doc:`softmax regression
</auto_gallery/03_softmax/plot_softmax_regression_on_digits>` and Bayes' theorem. *Reading time:* 20
minutes.

Setting
-------

A classifier is trained where every digit is about equally common, the *source*, and used where some
digits are common and some are rare, the *target*. A given digit looks the same in both. This is
**label shift**, the mirror image of covariate shift, where :math:`p(\mathbf{x})` changes and
:math:`p(y \mid \mathbf{x})` stays the same. Nobody labels the target. Can its prior :math:`p(y)`
still be estimated?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import likelihood, linear, metrics, risk
from dlcore.shift import label

digits = load_digits()
x = torch.as_tensor(digits.data) / 16
y = torch.as_tensor(digits.target)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
train, held_out = order[:597], order[597:]

# %%
# Two classifiers
# ---------------
#
# The first is naive Bayes: given the digit, each pixel is normal and independent of the others.
# Neighbouring pixels are not independent, so naive Bayes counts the same evidence many times and is
# far too confident. The second is softmax regression.

of_digit = [x[train][y[train] == j] for j in range(10)]
means = torch.stack([rows.mean(dim=0) for rows in of_digit])
stds = torch.stack([(rows.var(dim=0) + 1e-4).sqrt() for rows in of_digit])
log_prior = torch.tensor([len(rows) / len(train) for rows in of_digit]).log()
pixels = x[:, None].expand(-1, 10, -1)  # once for each digit
log_likelihood = likelihood.normal_log_density(pixels, mean=means, std=stds).sum(dim=2)
weight, bias = linear.softmax_regression(x[train], y[train])
classifiers = {
    "naive Bayes": log_likelihood + log_prior,
    "softmax regression": x @ weight + bias,
}
confidence, accuracy = {}, {}
for name, logits in classifiers.items():
    probabilities = logits[held_out].softmax(dim=1)
    confidence[name] = float(probabilities.amax(dim=1).mean())
    accuracy[name] = float(metrics.accuracy(y[held_out], probabilities.argmax(dim=1)))
    print(f"{name}: confidence {confidence[name]:.2f}, accuracy {accuracy[name]:.2f}")

assert confidence["naive Bayes"] > 0.98
assert accuracy["naive Bayes"] < 0.92
assert accuracy["softmax regression"] > 0.94 > confidence["softmax regression"]

# %%
# A source and a target
# ---------------------
#
# Of the 1200 digits that neither classifier has seen, 500 are the source, whose labels we know. The
# target's 500 digits are drawn from the others so that some digits are many times as common as
# others: the logarithms of the shares are normal with standard deviation 2.


def draw(seed):
    """Return the row indices of a source and of a target with a random prior."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = held_out[torch.randperm(len(held_out), generator=generator)]
    source, others = shuffled[:500], shuffled[500:]
    prior = (2 * torch.randn(10, generator=generator)).softmax(dim=0)
    chance = (prior / torch.bincount(y[others], minlength=10))[y[others]]
    chosen = torch.multinomial(chance, 500, replacement=True, generator=generator)
    return source, others[chosen]


def shares(labels):
    """Return the share of each digit."""
    return torch.bincount(labels, minlength=10).double() / len(labels)


# %%
# The obvious estimate is to count the predictions. Its error is predictable: if a digit is often
# mistaken for an 8, the 8s are overcounted. Let :math:`C_{ij} = P(\hat y = i \mid y = j)` be the
# confusion matrix measured on the *source*. The predictions on the target must then have the shares
#
# .. math::
#
#     \boldsymbol{\mu} = \mathbf{C}\,\mathbf{p}.
#
# Each column of this matrix sums to 1, and solving for :math:`\mathbf{p}` gives the prior. The
# *joint* matrix, whose entries :math:`P(\hat y = i,\, y = j)` sum to 1 in total, gives the weights
# :math:`w_j = p_j / q_j` instead. :func:`dlcore.shift.label.bbse` solves for them, and takes the
# nearest prior if an entry is negative.

source, target = draw(seed=9)
probabilities = classifiers["naive Bayes"].softmax(dim=1)
predictions = probabilities.argmax(dim=1)
shift = label.bbse(
    probabilities[source],
    y[source],
    probabilities[target],
    generator=torch.Generator().manual_seed(0),
)
print(shift.report)

given_truth, joint = (
    metrics.confusion_matrix(
        y[source], predictions[source], n_classes=10, normalize=normalize
    ).T.double()
    for normalize in ("true", "all")
)
counts = shares(predictions[target])
prior = torch.linalg.solve(given_truth, counts)
weights = torch.linalg.solve(joint, counts)
truth = shares(y[target])

assert torch.allclose(prior, weights * shares(y[source]), atol=1e-5)
assert shift.report.projected == bool(prior.min() < 0)
assert (shift.target_prior - truth).norm() < (counts - truth).norm() / 2
inside = (shift.interval[0] <= truth) & (truth <= shift.interval[1])
assert inside.sum() >= 8

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
ink = plt.rcParams["text.color"]
place = torch.arange(10)
ax.hlines(truth, place - 0.4, place + 0.4, color=ink, linewidth=1.5)
ax.plot(place - 0.15, counts, "D", color="C1", markersize=6)
ax.vlines(place + 0.15, *shift.interval, color="C0", linewidth=5, alpha=0.35)
ax.plot(place + 0.15, shift.target_prior, "o", color="C0", markersize=6)
most = int(truth.argmax())
side, align = (0.5, "left") if most < 5 else (-0.5, "right")
for height, text, color in [
    (truth[most], "truth", ink),
    (truth[most] - 0.05, "confusion matrix, 95 %", "C0"),
    (truth[most] - 0.1, "counted predictions", "C1"),
]:
    ax.text(most + side, height, text, color=color, ha=align, va="center")
ax.set(xlabel="digit", ylabel="share of the target", xticks=range(10), ylim=(0, None))
ax.set_title("The confusion matrix corrects the counted predictions")
fig.set_label(
    "The share of each digit in the target. The counted predictions differ from many of "
    "the true shares, from some by a lot. The estimates from the confusion matrix are "
    "close to the true shares, and nearly all intervals contain them."
)
plt.show()

# %%
# The interval is a bootstrap interval: source rows, digit by digit, and target rows are resampled
# 500 times, and the equation is solved again for each resample, all in one batch.
#
# Which estimate is best: counting, confusion matrix or EM?
# ---------------------------------------------------------
#
# Counting ignores how confident each prediction is. The maximum likelihood prior uses this
# information: it makes the mixture :math:`\sum_j (p_j / q_j)\, f_j(\mathbf{x})` of the
# probabilities large on the target's rows. :func:`dlcore.shift.label.saerens_em` finds it by
# expectation maximization (EM). But this method relies on the probabilities. With
# ``calibrate=True``, a temperature and a bias for each digit are first fitted to the source's
# labels, and then applied to source and target alike. We compare the estimates over twenty draws,
# each with a different prior:


def estimates(probabilities, source, target):
    """Return the estimated prior for each method."""
    given = probabilities[source], y[source], probabilities[target]
    options = {"n_resamples": 0}
    return {
        "no correction": shares(y[source]),
        "counted predictions": shares(given[2].argmax(dim=1)),
        "confusion matrix": label.bbse(*given, **options).target_prior,
        "EM": label.saerens_em(*given, **options).target_prior,
        "EM, calibrated": label.saerens_em(
            *given, calibrate=True, **options
        ).target_prior,
    }


draws = [draw(seed) for seed in range(20)]
errors = {name: {} for name in classifiers}
for name, logits in classifiers.items():
    probabilities = logits.softmax(dim=1)
    for source, target in draws:
        truth = shares(y[target])
        for method, prior in estimates(probabilities, source, target).items():
            distance = float((prior - truth).abs().sum() / 2)
            errors[name].setdefault(method, []).append(distance)
mean = {
    name: {method: sum(values) / len(values) for method, values in of_method.items()}
    for name, of_method in errors.items()
}
for name, of_method in mean.items():
    print(name, {method: round(value, 3) for method, value in of_method.items()})

for of_method in mean.values():
    assert of_method["EM, calibrated"] == min(of_method.values())
    assert of_method["no correction"] > 5 * of_method["counted predictions"]
of_bayes = mean["naive Bayes"]
assert of_bayes["confusion matrix"] < 0.8 * of_bayes["counted predictions"]
assert of_bayes["EM"] > 1.5 * of_bayes["EM, calibrated"]

fig, axes = plt.subplots(2, 1, figsize=(5.4, 5), sharex=True, layout="constrained")
for ax, (name, of_method) in zip(axes, errors.items(), strict=True):
    for i, (method, values) in enumerate(of_method.items()):
        ax.plot(values, [i] * len(values), "|", color="C0", markersize=9, alpha=0.5)
        ax.plot(mean[name][method], i, "o", color="C1", markersize=7)
    ax.set(yticks=range(len(of_method)), yticklabels=of_method, xscale="log")
    ax.set(title=name, ylim=(len(of_method) - 0.5, -0.5))
axes[1].set_xlabel("share assigned to the wrong digit: 20 draws and mean")
axes[1].set_xticks(
    [0.003, 0.01, 0.03, 0.1, 0.3], ["0.3 %", "1 %", "3 %", "10 %", "30 %"]
)
axes[1].set_xticks([], minor=True)
title = "EM on calibrated probabilities has the smallest error"
fig.suptitle(title, x=0.01, ha="left", size="medium")
fig.set_label(
    "Two panels, naive Bayes and softmax regression, with a row of marks for each of "
    "five methods: the error of the prior for 20 draws and its mean, on a logarithmic "
    "axis. Without correction the error is tens of percent; counting reduces it to a few "
    "percent, and the confusion matrix to less. EM is little better than counting for "
    "naive Bayes, and EM on calibrated probabilities is the best for both."
)
plt.show()

# %%
# The error rate in the target
# ----------------------------
#
# The weights :math:`w_j = p_j / q_j` make a labelled source row represent the target's rows of its
# digit. So the error rate in the target can be estimated from the source, without any label from
# the target: it is the weighted risk
#
# .. math::
#
#     \frac1n \sum_{i=1}^{n} w_{y_i}\, l_i, \qquad l_i = \mathbb{1}[\hat y_i \ne y_i],
#
# or the same sum divided by the sum of the weights instead of :math:`n`. It is closer to the error
# rate of the target than the unweighted risk, but not by much. Of the 500 rows, only a few bear the
# large weights, and the effective sample size in the report shows how few examples remain.

probabilities = classifiers["naive Bayes"].softmax(dim=1)
wrong = (probabilities.argmax(dim=1) != y).double()
sizes, missed = [], {"unweighted": [], "weighted": [], "normalized": []}
for source, target in draws:
    given = probabilities[source], y[source], probabilities[target]
    shift = label.saerens_em(*given, calibrate=True, n_resamples=0)
    weights = shift.weights[y[source]]
    sizes.append(shift.report.effective_sample_size)
    of_target = risk.empirical_risk(wrong[target])
    for name, guess in [
        ("unweighted", risk.empirical_risk(wrong[source])),
        ("weighted", risk.importance_weighted_risk(wrong[source], weights)),
        (
            "normalized",
            risk.importance_weighted_risk(wrong[source], weights, normalize=True),
        ),
    ]:
        missed[name].append(abs(float(guess - of_target)))
by_how_much = {name: sum(values) / len(draws) for name, values in missed.items()}
print({name: f"error {100 * value:.1f} %" for name, value in by_how_much.items()})

for name in ("weighted", "normalized"):
    assert by_how_much[name] < 0.9 * by_how_much["unweighted"]
assert sum(sizes) / len(sizes) < 250

# %%
# When correcting the probabilities hurts
# ---------------------------------------
#
# Once the prior is known, the classifier's probabilities can be corrected,
#
# .. math::
#
#     p(y \mid \mathbf{x}) \propto w_y\, q(y \mid \mathbf{x}),
#
# which :meth:`dlcore.shift.label.LabelShift.correct` does. If :math:`q(y \mid \mathbf{x})` is
# right, so is the result. But divide the logits of the softmax regression by a temperature. The
# uncorrected predictions do not change, so their accuracy is the same at every temperature. Only
# the corrected probabilities change. If the temperature is too high, the classifier is
# under-confident: the weights dominate its evidence, and rare digits are never predicted, although
# the weights are the true ones.

temperatures = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
logits = classifiers["softmax regression"]
corrected, plain = torch.zeros(2, len(draws), len(temperatures), dtype=torch.float64)
for i, (source, target) in enumerate(draws):
    weights = shares(y[target]) / shares(y[source])
    for t, temperature in enumerate(temperatures):
        probabilities = (logits / temperature).softmax(dim=1)
        by_truth = (probabilities[target] * weights).argmax(dim=1)
        corrected[i, t] = metrics.accuracy(y[target], by_truth)
        plain[i, t] = metrics.accuracy(y[target], logits[target].argmax(dim=1))
gain = (corrected - plain).mean(dim=0)
best = int(gain.argmax())
print(
    "gained:",
    [f"{t:g}: {100 * g:+.1f} %" for t, g in zip(temperatures, gain, strict=True)],
)

assert gain[best] > 0.01
assert temperatures[best] < 2
assert (gain[:4] > 0).all()
assert (gain[4:] < 0).all()
assert gain[-1] < -0.05

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
middle, spread = corrected.mean(dim=0), corrected.std(dim=0)
ax.fill_between(
    temperatures, middle - spread, middle + spread, color="C0", alpha=0.2, linewidth=0
)
ax.plot(temperatures, middle, "o-", color="C0")
ax.axhline(float(plain.mean()), color="C1")
ax.text(0.125, 0.91, "corrected by the true prior", color="C0")
ax.text(16, 0.96, "uncorrected", color="C1", ha="right")
ax.set(xscale="log", xlabel="temperature of the probabilities", ylabel="accuracy")
ax.set_xticks(temperatures, ["⅛", "¼", "½", "1", "2", "4", "8", "16"])
ax.set_xticks([], minor=True)
ax.set_title("The true prior ruins under-confident probabilities")
fig.set_label(
    "The accuracy in the target against the temperature, with a band of one standard "
    "deviation over draws. With the true prior it is above the uncorrected accuracy for "
    "temperatures up to 1, below it at 2, and far below it at higher temperatures."
)
plt.show()

# %%
# The report of an estimate measures, on the weighted source, what a correction does to the accuracy,
# and warns if the accuracy falls. Without calibration, EM does not trust its own prior. If the
# classifier cannot distinguish two digits at all, no equation can determine their shares
# separately. :func:`dlcore.shift.label.bbse` then raises an error, and
# :func:`dlcore.shift.label.rlls`, which stays near the source's prior where the target gives no
# information, warns.

source, target = draws[9]
weak = (logits / 8).softmax(dim=1)
given = weak[source], y[source], weak[target]
print("confusion matrix:", label.bbse(*given).report.verdict)
print("EM:", label.saerens_em(*given).report.verdict)

assert "that lowers the accuracy" in label.bbse(*given).report.verdict
assert not label.saerens_em(*given).report.trustworthy
assert label.saerens_em(*given, calibrate=True).report.trustworthy

blind = weak.clone()
blind[:, 3] = blind[:, 8] = (weak[:, 3] + weak[:, 8]) / 2
given = blind[source], y[source], blind[target]
shift = label.rlls(*given, soft=True)
print("3 and 8 indistinguishable:", shift.report.verdict)
try:
    label.bbse(*given, soft=True)
except ValueError as error:
    print(error)
    refused = True

assert refused
assert shift.condition_number == torch.inf

# %%
# Conclusion
# ----------
#
# Under label shift, the target's prior can be estimated without any label from the target.
# :func:`dlcore.shift.label.bbse` and :func:`dlcore.shift.label.rlls` require only that the
# classifier behaves the same on source and target. :func:`dlcore.shift.label.saerens_em` is the
# most accurate once :func:`dlcore.shift.label.bias_corrected_temperature` has calibrated the
# probabilities. All return a report and a weight for each class, which
# :func:`dlcore.risk.importance_weighted_risk` uses like a density ratio. Read the report before you
# correct anything: right weights applied to wrong probabilities give worse predictions than no
# correction.
#
# To test whether anything has shifted at all, see
# :doc:`/auto_gallery/08_shift/plot_detecting_a_shift`. If :math:`p(y \mid \mathbf{x})` itself
# changes, see :doc:`/auto_gallery/08_shift/plot_concept_drift`.
