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
</auto_gallery/03_softmax/plot_softmax_regression_on_digits>` and Bayes' theorem.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import likelihood, linear, metrics, risk
from dlcore.shift import label

# Change these numbers and run the script again.
seed = 0
n_train = 597
n_rows = 500  # in each source and in each target
spread = 2.0  # standard deviation of the logarithms of the target's shares
n_draws = 20
shown = 9  # the draw of the first figure
claims = {}

# %%
# Two classifiers
# ---------------
#
# A classifier is trained where every digit is about equally common, the *source*, and used where
# some digits are common and some are rare, the *target*. A given digit looks the same in both. This
# is **label shift**, the mirror image of covariate shift, where :math:`p(\mathbf{x})` changes and
# :math:`p(y \mid \mathbf{x})` stays the same. Nobody labels the target. Can its prior :math:`p(y)`
# still be estimated?
#
# We use two classifiers. The first is naive Bayes: given the digit, each pixel is normal and
# independent of the others. Neighbouring pixels are not independent, so naive Bayes counts the same
# evidence many times and is far too confident. The second is softmax regression.

digits = load_digits()
x = torch.as_tensor(digits.data) / 16
y = torch.as_tensor(digits.target)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
train, held_out = order[:n_train], order[n_train:]

of_digit = [x[train][y[train] == j] for j in range(10)]
means = torch.stack([rows.mean(dim=0) for rows in of_digit])
stds = torch.stack([(rows.var(dim=0) + 1e-4).sqrt() for rows in of_digit])
log_prior = torch.tensor([len(rows) / n_train for rows in of_digit]).log()
pixels = x[:, None].expand(-1, 10, -1)  # once for each digit
log_likelihood = likelihood.normal_log_density(pixels, mean=means, std=stds).sum(dim=2)
weight, bias = linear.softmax_regression(x[train], y[train])
classifiers = {
    "Naive Bayes": (log_likelihood + log_prior).softmax(dim=1),
    "Softmax regression": (x @ weight + bias).softmax(dim=1),
}
confidence, accuracy = {}, {}
for name, probabilities in classifiers.items():
    top, predictions = probabilities[held_out].max(dim=1)
    confidence[name] = float(top.mean())
    accuracy[name] = float(metrics.accuracy(y[held_out], predictions))
    print(f"{name}: confidence {confidence[name]:.2f}, accuracy {accuracy[name]:.2f}")

claims[
    "The mean confidence of naive Bayes exceeds 98 %, its accuracy is below 92 %"
] = confidence["Naive Bayes"] > 0.98 and accuracy["Naive Bayes"] < 0.92
claims[
    "The accuracy of softmax regression exceeds 94 %, its mean confidence does not"
] = accuracy["Softmax regression"] > 0.94 > confidence["Softmax regression"]

# %%
# From counted predictions to the prior
# -------------------------------------
#
# Of the 1200 digits that neither classifier has seen, 500 are the source, whose labels we know. The
# target's 500 digits are drawn from the others so that some digits are many times as common as
# others: the logarithms of the shares are normal. Their standard deviation is 2, and half of this
# for the first figure, so that no digit dominates it.


def draw(number, spread):
    """Return the row indices of a source and of a target with a random prior."""
    generator = torch.Generator().manual_seed(seed + number)
    shuffled = held_out[torch.randperm(len(held_out), generator=generator)]
    source, others = shuffled[:n_rows], shuffled[n_rows:]
    prior = (spread * torch.randn(10, generator=generator)).softmax(dim=0)
    chance = (prior / torch.bincount(y[others], minlength=10))[y[others]]
    chosen = torch.multinomial(chance, n_rows, replacement=True, generator=generator)
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

source, target = draw(shown, spread / 2)
probabilities = classifiers["Naive Bayes"]
predictions = probabilities.argmax(dim=1)
generator = torch.Generator().manual_seed(seed)
shift = label.bbse(
    probabilities[source], y[source], probabilities[target], generator=generator
)
print(shift.report)

given_truth, joint = (
    metrics.confusion_matrix(
        y[source], predictions[source], n_classes=10, normalize=normalize
    ).T.double()
    for normalize in ("true", "all")
)
counts, truth = shares(predictions[target]), shares(y[target])
prior = torch.linalg.solve(given_truth, counts)
weights = torch.linalg.solve(joint, counts)
assert torch.allclose(prior, weights * shares(y[source]), atol=1e-5), "w = p / q"
assert shift.report.projected == bool(prior.min() < 0), "a negative entry is projected"

of_prior = (shift.target_prior - truth).norm()
claims["The confusion matrix halves the error of counting"] = (
    of_prior < (counts - truth).norm() / 2
)
inside = (shift.interval[0] <= truth) & (truth <= shift.interval[1])
claims["At least 8 of the 10 intervals contain the true share"] = inside.sum() >= 8

# Figure
fig, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
place = torch.arange(10)
ax.plot(place, truth, "_", color=plt.rcParams["text.color"], markersize=24)
ax.plot(place - 0.15, counts, "DC1")
ax.vlines(place + 0.15, *shift.interval, color="C0", linewidth=5, alpha=0.35)
ax.plot(place + 0.15, shift.target_prior, "oC0")
ax.set(xlabel="digit", ylabel="share of the target", xticks=place, ylim=(0, None))
ax.set_title("The confusion matrix corrects the counts")
fig.legend(
    ax.lines, ["truth", "counted", "matrix"], loc="outside lower center", ncols=3
)
fig.set_label(
    "The share of each digit in the target. The counted predictions differ from many of "
    "the true shares, from some by a lot. The estimates from the confusion matrix are "
    "close to the true shares, and nearly all intervals contain them."
)
plt.show()

# %%
# The bars are 95 % bootstrap intervals: source rows, digit by digit, and target rows are resampled
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
# each with a different prior.


def estimates(probabilities, source, target):
    """Return the estimated prior for each method, and the estimate of calibrated EM."""
    given = probabilities[source], y[source], probabilities[target]
    options = {"n_resamples": 0}
    calibrated = label.saerens_em(*given, calibrate=True, **options)
    return calibrated, {
        "no correction": shares(y[source]),
        "counting": shares(given[2].argmax(dim=1)),
        "confusion matrix": label.bbse(*given, **options).target_prior,
        "EM": label.saerens_em(*given, **options).target_prior,
        "EM, calibrated": calibrated.target_prior,
    }


draws = [draw(number, spread) for number in range(n_draws)]
errors, calibrated = {}, {}
for name, probabilities in classifiers.items():
    for source, target in draws:
        shift, priors = estimates(probabilities, source, target)
        calibrated.setdefault(name, []).append(shift)
        for method, prior in priors.items():
            distance = float((prior - shares(y[target])).abs().sum() / 2)
            errors.setdefault(name, {}).setdefault(method, []).append(distance)
mean = {
    name: {method: sum(values) / n_draws for method, values in of_method.items()}
    for name, of_method in errors.items()
}
for name, of_method in mean.items():
    print(name, {method: round(value, 3) for method, value in of_method.items()})

for name, of_method in mean.items():
    claims[f"{name}: calibrated EM has the smallest error"] = of_method[
        "EM, calibrated"
    ] == min(of_method.values())
    claims[f"{name}: counting divides the error by five"] = (
        of_method["no correction"] > 5 * of_method["counting"]
    )
of_bayes = mean["Naive Bayes"]
claims["For naive Bayes, the confusion matrix is better than counting by a fifth"] = (
    of_bayes["confusion matrix"] < 0.8 * of_bayes["counting"]
)
claims["For naive Bayes, EM needs the calibration"] = (
    of_bayes["EM"] > 1.5 * of_bayes["EM, calibrated"]
)

# Figure
fig, axes = plt.subplots(2, 1, figsize=(5.4, 5), sharex=True, layout="constrained")
for ax, (name, of_method) in zip(axes, errors.items(), strict=True):
    for method, values in of_method.items():
        ax.plot(values, [method] * n_draws, "|C0", markersize=9, alpha=0.5)
    ax.plot(list(mean[name].values()), list(mean[name]), "oC1")
    ax.set(title=name, xscale="log", ylim=(4.5, -0.5))
ax.set_xlabel("share of wrong digits: draws and mean")
fig.set_label(
    "Two panels, naive Bayes and softmax regression, with a row of marks for each of "
    "five methods: the error of the prior for 20 draws and its mean, on a logarithmic "
    "axis. Without correction the error is tens of percent; counting reduces it to a few "
    "percent, and the confusion matrix to less. EM is little better than counting for "
    "naive Bayes, and EM on calibrated probabilities is the best for both."
)
plt.show()

# %%
# The error of a prior is the share of the target that it assigns to the wrong digit.
#
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

wrong = (predictions != y).double()
missed = torch.zeros(n_draws, 3)
for i, (source, target) in enumerate(draws):
    weights = calibrated["Naive Bayes"][i].weights[y[source]]
    guesses = [
        risk.empirical_risk(wrong[source]),
        risk.importance_weighted_risk(wrong[source], weights),
        risk.importance_weighted_risk(wrong[source], weights, normalize=True),
    ]
    missed[i] = (torch.stack(guesses) - risk.empirical_risk(wrong[target])).abs()
by_how_much = missed.mean(dim=0)
print(f"unweighted, weighted, normalized: the error rate is off by {by_how_much}")

claims["Both weighted error rates are closer to the truth than the unweighted one"] = (
    by_how_much[1:] < 0.9 * by_how_much[0]
).all()
sizes = [shift.report.effective_sample_size for shift in calibrated["Naive Bayes"]]
claims["On average, fewer than half of the rows remain effective"] = (
    sum(sizes) / n_draws < n_rows / 2
)

# %%
# Digits that the classifier cannot distinguish
# ---------------------------------------------
#
# If the classifier cannot distinguish two digits at all, no equation can determine their shares
# separately. :func:`dlcore.shift.label.bbse` then raises an error, and
# :func:`dlcore.shift.label.rlls`, which stays near the source's prior where the target gives no
# information, warns.

source, target = draws[-1]
blind = classifiers["Softmax regression"].clone()
blind[:, 3] = blind[:, 8] = (blind[:, 3] + blind[:, 8]) / 2
given = blind[source], y[source], blind[target]
shift = label.rlls(*given, soft=True)
print("3 and 8 indistinguishable:", shift.report.verdict)
refused = False
try:
    label.bbse(*given, soft=True)
except ValueError as error:
    print(error)
    refused = True

assert refused, "bbse raises an error if two classes look the same"
assert shift.condition_number == torch.inf, "the matrix is singular"

# %%
# Conclusion
# ----------
#
# Under label shift, the target's prior can be estimated without any label from the target.
# :func:`dlcore.shift.label.bbse` and :func:`dlcore.shift.label.rlls` require only that the
# classifier behaves the same on source and target. :func:`dlcore.shift.label.saerens_em` is the
# most accurate once :func:`dlcore.shift.label.bias_corrected_temperature` has calibrated the
# probabilities. All return a report and a weight for each class, which
# :func:`dlcore.risk.importance_weighted_risk` uses like a density ratio. Before you multiply the
# probabilities by these weights, read :doc:`/auto_gallery/08_shift/plot_prior_correction`.
#
# To test whether anything has shifted at all, see
# :doc:`/auto_gallery/08_shift/plot_detecting_a_shift`. If :math:`p(y \mid \mathbf{x})` itself
# changes, see :doc:`/auto_gallery/08_shift/plot_concept_drift`.

# %%
# Exercises
# ---------
#
# **1.** A test detects 90 % of the ill and has 5 % false alarms. In a town, 14 % of the tests are
# positive. How many people are ill?

# Solution
confusion = torch.tensor([[0.95, 0.10], [0.05, 0.90]])  # columns: healthy, ill
ill = torch.linalg.solve(confusion, torch.tensor([0.86, 0.14]))[1]
assert torch.isclose(ill, torch.tensor((0.14 - 0.05) / (0.90 - 0.05))), "about 10.6 %"

# %%
# **2.** Write one step of EM: average the corrected probabilities of the target's rows. Repeat it a
# hundred times, and compare the result with the library's.

# Solution
given = classifiers["Softmax regression"]
of_source = given[source].mean(dim=0)
prior = of_source.clone()
for _ in range(2000):
    corrected = given[target] * prior / of_source
    prior = (corrected / corrected.sum(dim=1, keepdim=True)).mean(dim=0)
by_library = label.saerens_em(
    given[source], y[source], given[target], n_resamples=0
).target_prior
claims["A few lines of EM find the library's prior"] = torch.allclose(
    prior, by_library, atol=1e-3
)

# %%
# **3.** Let each class look different in the target: invert the target's images. Does the report
# notice that this is no label shift?

# Solution
inverted = ((1 - x[target]) @ weight + bias).softmax(dim=1)
report = label.bbse(given[source], y[source], inverted, n_resamples=0).report
claims[
    "The report does not trust the prior of inverted images"
] = not report.trustworthy

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
