r"""
Importance weighting: when does correcting a shift do harm?
===========================================================

Correct weights can increase the error when few examples remain effective or when the corrected
probabilities are not calibrated.

In short
--------

Importance weights reduce the effective number of examples, so they increase the error of a model
that is about right without them, and can help only a model that is wrong. Multiplying probabilities
by the ratio of the priors can make predictions worse unless the probabilities are calibrated first.

.. math::

    n_\text{eff} = \frac{\bigl(\sum_i \beta_i\bigr)^2}{\sum_i \beta_i^2} \le n, \qquad \beta = p / q .

*Prerequisites:* :doc:`covariate shift </auto_gallery/08_shift/plot_covariate_shift>` and
:doc:`label shift </auto_gallery/08_shift/plot_label_shift>`. *Reading time:* 15 minutes.

Setting
-------

Weights :math:`\beta = p / q` make the source's examples represent the target, and a prior turns a
classifier's probabilities into those of the target. Both corrections are right in the limit of many
examples. But the weights increase the variance: :math:`n` examples count as only
:math:`n_\text{eff}`. And a new prior multiplies the probabilities whether or not they are
calibrated. Here are two cases in which the *true* weights make things worse. What goes wrong, does
the report warn, and what helps?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from dlcore import importance, linear, metrics
from dlcore.shift import covariate, label

ink = plt.rcParams["text.color"]

# %%
# A model that needs no weights
# -----------------------------
#
# The diabetes data hold ten measurements of 442 patients and the progress of their disease after a
# year. Half of the patients are the target. From the other half, 118 are drawn with replacement,
# and a low body mass index is preferred: with each standard deviation of the index, the probability
# of being drawn falls by a factor of :math:`e^2`. So the ratio is known: it is proportional to
# :math:`e^{2z}`, where :math:`z` is the standardized index.


def standardized(x):
    """Return columns of mean 0 and standard deviation 1."""
    return (x - x.mean(dim=0)) / x.std(dim=0)


def draw(z, tilt, seed):
    """Return the row indices of a source, its exact weights, and the row indices of the target."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(z), generator=generator)
    pool, target = order[: len(z) // 2], order[len(z) // 2 :]
    chance = torch.exp(-tilt * z[pool])
    drawn = torch.multinomial(chance, 118, replacement=True, generator=generator)
    return pool[drawn], chance.mean() / chance[drawn], target


def errors_of_fits(x, y, source, target, all_weights):
    """Return the mean squared error in the target for each choice of weights."""
    found = []
    for weights in all_weights:
        model = linear.ridge(x[source], y[source], penalty=1e-6, weights=weights)
        found.append((linear.linear(x[target], *model) - y[target]).square().mean())
    return torch.stack(found)


diabetes = load_diabetes(scaled=False)
x, y = standardized(torch.as_tensor(diabetes.data)), torch.as_tensor(diabetes.target)
index = x[:, 2]
source, weights, target = draw(index, tilt=2.0, seed=2)
report = importance.diagnose(weights)
print(report)

largest = weights.sort(descending=True).values
few = int((largest.cumsum(dim=0) < weights.sum() / 2).sum()) + 1
print(f"{few} of 118 examples hold half of the weight")

assert few <= 12
assert report.effective_sample_size < 25
assert "clip or flatten" in report.verdict

fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
bmi = torch.as_tensor(diabetes.data[:, 2])
ax.scatter(bmi[source], y[source], s=16 * weights, color="C0", alpha=0.5, linewidth=0)
ax.plot(bmi[target], torch.full((len(target),), -12.0), "|", color=ink, alpha=0.5)
ax.text(42, 5, "body mass index in the target", ha="right")
ax.set(xlabel="body mass index", ylabel="progress of the disease", ylim=(-25, 300))
ax.set_title(f"{few} of 118 examples hold half of the weight")
fig.set_label(
    "The progress of the disease against the body mass index of the source's patients; "
    "the size of each point is its weight. Most points are tiny and have a low index. A "
    "few large points on the right, where the target has many patients, hold most of the "
    "weight."
)
plt.show()

# %%
# Now we fit a linear model of all ten columns in 50 draws: without weights, with the exact weights,
# with the exact weights clipped at 5, and with the weights of
# :func:`dlcore.shift.covariate.logistic_ratio`, which does not know that the body mass index is
# what shifts.

of_fits = {"unweighted": [], "exact, clipped at 5": [], "exact": [], "estimated": []}
reports = []
for seed in range(50):
    source, weights, target = draw(index, tilt=2.0, seed=seed)
    ratio = covariate.logistic_ratio(
        x[source], x[target], generator=torch.Generator().manual_seed(seed)
    )
    clipped = importance.clip_weights(weights, maximum=5.0)
    all_weights = [None, clipped, weights, ratio.weights]
    errors = errors_of_fits(x, y, source, target, all_weights)
    for values, error in zip(of_fits.values(), errors.tolist(), strict=True):
        values.append(error)
    reports.append((importance.diagnose(weights), ratio.report))
mean = {name: sum(values) / len(values) for name, values in of_fits.items()}
effective = sum(exact.effective_sample_size for exact, _ in reports) / 50
warned = [
    sum(not report.trustworthy for report in pair)
    for pair in zip(*reports, strict=True)
]
print({name: round(value) for name, value in mean.items()})
print(f"effective sample size {effective:.1f} of 118; warned, of 50: {warned}")

worse = [a > b for a, b in zip(of_fits["exact"], of_fits["unweighted"], strict=True)]
assert mean["unweighted"] < mean["exact, clipped at 5"] < mean["exact"]
assert mean["exact"] > 1.1 * mean["unweighted"]
assert mean["estimated"] > 1.1 * mean["unweighted"]
assert sum(worse) > 35
assert effective < 30
assert min(warned) > 25

fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for i, (name, values) in enumerate(of_fits.items()):
    ax.plot(values, [i] * 50, "|", color="C0", markersize=12, alpha=0.5)
    ax.plot(mean[name], i, "o", color="C1", markersize=7)
ax.set(yticks=range(4), yticklabels=of_fits, ylim=(3.5, -0.5), xlim=(2500, 8000))
ax.set_xticks([3000, 4000, 5000, 6000, 7000])
ax.set_xlabel("squared error in the target: 50 draws and their mean")
ax.set_title("Even the exact weights increase the error")
fig.set_label(
    "Four rows of marks with their means: the squared error in the target of 50 draws per "
    "row. It is smallest without weights, larger with clipped weights, and largest with "
    "the exact and with the estimated weights."
)
plt.show()

# %%
# The progress is close to linear in the ten columns, so the best model is the same wherever it is
# fitted. The unweighted fit finds it from 118 examples, and the weighted fit from about two dozen.
# Clipping restores some of the lost examples. The report would have warned us: in most draws its
# verdict is not to trust these weights.
#
# Does the effective sample size alone decide? For comparison, take the line from
# :doc:`/auto_gallery/08_shift/plot_covariate_shift` that predicts the area of a tumour from its
# radius. This model is wrong, because areas grow with the square of the radius. Both sources are
# drawn as above, with tilts from weak to strong.

cancer = torch.as_tensor(load_breast_cancer().data)
radius = standardized(cancer[:, :1])
tilts = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0]
problems = {"ten columns, right": (x, y, index)}
problems["line for areas, wrong"] = radius, cancer[:, 3] / 100, radius[:, 0]
gains, counts = {}, {}
for name, (inputs, outputs, z) in problems.items():
    logs, sizes = torch.zeros(2, len(tilts), 50, dtype=torch.float64)
    for i, tilt in enumerate(tilts):
        for seed in range(50):
            source, weights, target = draw(z, tilt, seed)
            plain, corrected = errors_of_fits(
                inputs, outputs, source, target, [None, weights]
            )
            logs[i, seed] = (corrected / plain).log()
            sizes[i, seed] = importance.effective_sample_size(weights)
    gains[name], counts[name] = logs, sizes.mean(dim=1)
    print(name, [f"{ratio:.2f}" for ratio in logs.mean(dim=1).exp()])

right, wrong = (logs.mean(dim=1) for logs in gains.values())
assert (right > 0).all()
assert right[-1] > 0.1
assert wrong[-1] < -0.5

# sphinx_gallery_thumbnail_number = 3
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
for (name, logs), color in zip(gains.items(), ("C1", "C0"), strict=True):
    middle, error = logs.mean(dim=1), 2 * logs.std(dim=1) / 50**0.5
    low, high = (middle - error).exp(), (middle + error).exp()
    ax.fill_between(counts[name], low, high, color=color, alpha=0.2, linewidth=0)
    ax.plot(counts[name], middle.exp(), "o-", color=color)
ax.axhline(1, color=ink, linewidth=1, linestyle="--")
ax.text(118, 1.14, "diabetes, ten columns:\nthe right model", color="C1")
ax.text(118, 0.5, "tumours, a line:\na wrong model", color="C0", va="top")
ax.set(yscale="log", xlim=(120, 15), ylim=(0.33, 1.5))
ax.set_yticks([0.4, 0.6, 0.8, 1, 1.2], ["0.4", "0.6", "0.8", "1", "1.2"])
ax.set_yticks([], minor=True)
ax.set(xlabel="effective sample size, of 118", ylabel="error weighted / unweighted")
ax.set_title("Weights improve a wrong model and worsen a right one")
fig.set_label(
    "The error with weights divided by the error without, against the effective sample "
    "size, which falls to the right. For the diabetes data the ratio rises above 1. For "
    "the tumours it falls below one half."
)
plt.show()

# %%
# With equally few effective examples, the wrong model gains more than it loses. The weights
# themselves show what they cost in effective examples, and the report says so. How much they gain
# depends on the model, about which the weights contain no information. But you can find out: add
# the squares of the columns to the model. If they do not lower the error on held-out rows, there is
# little to correct.


def error_with_squares(x, y, seed):
    """Return the held-out error with squares divided by that without."""
    generator = torch.Generator().manual_seed(seed)
    halves = torch.randperm(len(x), generator=generator).tensor_split(2)
    squares = torch.cat([x, x.square()], dim=1)
    plain = errors_of_fits(x, y, *halves, [None])
    return errors_of_fits(squares, y, *halves, [None]) / plain


of_squares = [
    torch.cat([error_with_squares(inputs, outputs, seed) for seed in range(20)]).mean()
    for inputs, outputs, _ in problems.values()
]
print("with squares:", [f"{ratio:.2f}" for ratio in of_squares])

assert of_squares[0] > 0.97
assert of_squares[1] < 0.3

# %%
# Prior correction of uncalibrated probabilities
# ----------------------------------------------
#
# In the second case, a classifier of digits is trained where all digits are about equally common,
# and used where some are many times as common as others. It is trained with a strong penalty on its
# weights, which leaves it under-confident: it is right far more often than its probabilities say.
# We give it the true prior :math:`p(y)` and correct its probabilities, :math:`p(y \mid \mathbf{x})
# \propto \frac{p(y)}{q(y)}\, q(y \mid \mathbf{x})`.

digits = load_digits()
pixels, truth = torch.as_tensor(digits.data) / 16, torch.as_tensor(digits.target)
order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
train, held_out = order[:597], order[597:]
model = linear.softmax_regression(pixels[train], truth[train], penalty=100.0)
logits = linear.linear(pixels, *model)


def draw_digits(seed):
    """Return the row indices of a source and of a target with a random prior."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = held_out[torch.randperm(len(held_out), generator=generator)]
    source, others = shuffled[:500], shuffled[500:]
    prior = (2 * torch.randn(10, generator=generator)).softmax(dim=0)
    chance = (prior / torch.bincount(truth[others], minlength=10))[truth[others]]
    chosen = torch.multinomial(chance, 500, replacement=True, generator=generator)
    return source, others[chosen]


def true_weights(source, target):
    """Return the share of each digit in the target divided by that in the source."""
    shares = [
        torch.bincount(truth[rows], minlength=10) / 500 for rows in (target, source)
    ]
    return shares[0] / shares[1]


accuracies, temperatures, verdicts, ranges = [], [], [], []
for seed in range(20):
    source, target = draw_digits(seed)
    true = true_weights(source, target)
    calibrator = label.bias_corrected_temperature(logits[source], truth[source])
    raw, calibrated = logits.softmax(dim=1), calibrator(logits)
    given = raw[source], truth[source], raw[target]
    estimate = label.saerens_em(*given, calibrate=True, n_resamples=0)
    outputs = [
        raw[target],
        raw[target] * true,
        calibrated[target] * true,
        estimate.correct(calibrated[target]),
    ]
    accuracies.append(
        [metrics.accuracy(truth[target], output.argmax(dim=1)) for output in outputs]
    )
    ranges.append(float(true.max() / true[true > 0].min()))
    temperatures.append(float(calibrator.temperature))
    uncalibrated = label.saerens_em(*given, n_resamples=0).report
    hard = label.bbse(*given, n_resamples=0).report
    verdicts.append((hard, uncalibrated, estimate.report))
accuracies = torch.tensor(accuracies)
middle = accuracies.mean(dim=0)
print("raw, raw + prior, calibrated + prior, calibrated + EM:", middle)
print(verdicts[0][0].verdict)

assert 0.8 < middle[0] < 0.9
assert middle[1] < middle[0] - 0.1
assert middle[2] > middle[0] + 0.05
assert middle[3] > middle[0] + 0.05
assert (accuracies[:, 2] > accuracies[:, 1]).all()
assert max(temperatures) < 0.3

first, second = logits[held_out].softmax(dim=1).topk(2).values.T
spread = float(torch.tensor(ranges).median())
print(f"weights: {spread:.0f}, probabilities: {(first / second).median():.1f}")
assert spread > 100
assert (first / second).median() < 3

# %%
# The true prior lowers the accuracy by more than a tenth. The largest weight of a digit is more
# than a hundred times the smallest, while the most probable digit is less than three times as
# probable as the next one, so the prior decides. The remedy is
# :func:`dlcore.shift.label.bias_corrected_temperature`, fitted to the labels of the source, which
# finds a temperature far below 1. After calibration, the corrected probabilities are more accurate
# than the original ones. They are hardly less accurate if :func:`dlcore.shift.label.saerens_em` has
# to estimate the prior.

steps = [
    "no\ncorrection",
    "true\nprior",
    "calibrated,\ntrue prior",
    "calibrated,\nEM's prior",
]
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
ax.plot(range(4), accuracies.T, color="C0", alpha=0.3, linewidth=1)
ax.plot(range(4), middle, "o-", color="C1", linewidth=3, markersize=8)
labels = [f"{step}\n{share:.2f}" for step, share in zip(steps, middle, strict=True)]
ax.set(xticks=range(4), xticklabels=labels, xlim=(-0.3, 3.3), ylabel="accuracy")
ax.set_title("The true prior helps only a calibrated classifier")
fig.set_label(
    "The accuracy in the target of 20 draws and their mean for four methods. Compared "
    "with the uncorrected classifier, it is lower with the true prior, and much higher "
    "with calibration and either the true prior or the prior that EM estimates."
)
plt.show()

# %%
# The report of the confusion matrix measures, on the weighted source, what the correction does to
# the accuracy. In most draws it warns, and in each of these the correction does harm. The report of
# EM without calibration does not trust even the prior. The report of EM with calibration trusts it
# in most draws. In the others, it usually objects to the rows of rare digits that are drawn many
# times: they look as if more than the labels had shifted.

harms = (accuracies[:, 1] - accuracies[:, 0]).tolist()
warned = [
    harm
    for (hard, _, _), harm in zip(verdicts, harms, strict=True)
    if "correct no probabilities by it" in hard.verdict
]
print(f"warned in {len(warned)} of 20 draws, trusted EM's prior in", end=" ")
print(sum(of_em.trustworthy for _, _, of_em in verdicts))

assert len(warned) >= 10
assert max(warned) < 0
assert not any(uncalibrated.trustworthy for _, uncalibrated, _ in verdicts)
assert sum(of_em.trustworthy for _, _, of_em in verdicts) > 10

# %%
# Conclusion
# ----------
#
# Before you correct anything, read the report. :func:`dlcore.importance.diagnose` and the reports
# of the estimated ratios say how many effective examples remain and whether the tail is too heavy.
# :func:`dlcore.importance.clip_weights` and :func:`dlcore.importance.flatten_weights` accept some
# bias and restore some of the lost examples. A model that is about right without weights does not
# need any; a wrong model may gain even from poor weights. Calibrate a classifier's probabilities
# before you multiply them by anything, with :func:`dlcore.shift.label.bias_corrected_temperature`.
# :doc:`/auto_gallery/08_shift/plot_label_shift` shows for which temperatures the prior helps.
