r"""
Importance weighting: when does correcting a shift do harm?
===========================================================

Even the exact weights increase the error if the model is right without them, because few examples
remain effective.

In short
--------

Importance weights reduce the effective number of examples, so they increase the error of a model
that is about right without them. They can help only a model that is wrong, and then they may help
even if few examples remain effective.

.. math::

    n_\text{eff} = \frac{\bigl(\sum_i \beta_i\bigr)^2}{\sum_i \beta_i^2} \le n, \qquad \beta = p / q .

*Prerequisites:* :doc:`covariate shift </auto_gallery/08_shift/plot_covariate_shift>`.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_breast_cancer, load_diabetes

from dlcore import importance, linear, model_selection
from dlcore.shift import covariate

# Change these numbers and run the script again.
seed = 0
n = 118  # examples in the source
tilt = 2.0  # how strongly the source prefers a low body mass index
maximum = 5.0  # where weights are clipped
n_draws = 50
claims = {}

# %%
# A model that needs no weights
# -----------------------------
#
# Weights :math:`\beta = p / q` make the source's examples represent the target, and this is right in
# the limit of many examples. But they increase the variance: :math:`n` examples count as only
# :math:`n_\text{eff}`. Here the *true* weights make things worse. What goes wrong, does the report
# warn, and what helps?
#
# The diabetes data hold ten measurements of 442 patients and the progress of their disease after a
# year. Half of the patients are the target. From the other half, 118 are drawn with replacement,
# and a low body mass index is preferred: with each standard deviation of the index, the probability
# of being drawn falls by a factor of :math:`e^2`; this 2 is the *tilt*. So the ratio is known: it
# is proportional to :math:`e^{2z}`, where :math:`z` is the standardized index.


def standardized(x):
    """Return columns of mean 0 and standard deviation 1."""
    return model_selection.standardize(x)(x)


def draw(z, tilt, number):
    """Return the row indices of a source, its exact weights, and the row indices of the target."""
    generator = torch.Generator().manual_seed(seed + number)
    order = torch.randperm(len(z), generator=generator)
    pool, target = order[: len(z) // 2], order[len(z) // 2 :]
    chance = torch.exp(-tilt * z[pool])
    drawn = torch.multinomial(chance, n, replacement=True, generator=generator)
    return pool[drawn], chance.mean() / chance[drawn], target


def errors_of_fits(x, y, source, target, all_weights):
    """Return the mean squared error in the target for each choice of weights."""
    found = []
    for weights in all_weights:
        model = linear.ridge(x[source], y[source], penalty=1e-6, weights=weights)
        found.append((linear.linear(x[target], *model) - y[target]).square().mean())
    return torch.stack(found)


def half_of_the_weight(weights):
    """Return how many examples, the largest weights first, have half of the sum."""
    largest = weights.sort(descending=True).values
    return int((largest.cumsum(dim=0) < weights.sum() / 2).sum()) + 1


diabetes = load_diabetes(scaled=False)
x, y = standardized(torch.as_tensor(diabetes.data)), torch.as_tensor(diabetes.target)
index, bmi = x[:, 2], torch.as_tensor(diabetes.data[:, 2])
source, weights, target = draw(index, tilt, 2)
report = importance.diagnose(weights)
print(report)

claims["At most 12 examples have half of the weight"] = (
    half_of_the_weight(weights) <= 12
)
claims["Fewer than 25 examples remain effective"] = report.effective_sample_size < 25
claims["The report advises to clip or flatten the weights"] = (
    "clip or flatten" in report.verdict
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
points = ax.scatter(bmi, y, color="C0", alpha=0.5, linewidth=0)
ax.plot(bmi[target], [-12] * len(target), "|C1", alpha=0.5, label="in the target")
ax.set(xlabel="body mass index", ylabel="progress of the disease", ylim=(-25, 360))
ax.legend(loc="upper right")


def move(tilt):
    rows, sizes, _ = draw(index, tilt, 2)
    points.set_offsets(torch.stack([bmi[rows], y[rows]], dim=1))
    points.set_sizes(16 * sizes)
    half = half_of_the_weight(sizes)
    ax.set_title(f"tilt {tilt:.2f}: {half} of {n} have half the weight")


film = FuncAnimation(fig, move, [tilt * step / 8 for step in range(9)])
fig.set_label(
    "The progress of the disease against the body mass index of the source's patients; "
    "the size of each point is its weight. Most points are tiny and have a low index. A "
    "few large points on the right, where the target has many patients, have most of the "
    "weight. With a smaller tilt, which the slider selects, all points have nearly the same size."
)
plt.show()

# %%
# The size of a point is its weight. Move the tilt: if the source differs a lot from the target, a few
# examples have half of the weight.
#
# Now we fit a linear model of all ten columns in 50 draws: without weights, with the exact weights,
# with the exact weights clipped at 5, and with the weights of
# :func:`dlcore.shift.covariate.logistic_ratio`, which does not know that the body mass index is
# what shifts.

names = ["unweighted", "clipped", "exact", "estimated"]
errors, warned = torch.zeros(n_draws, len(names)), torch.zeros(n_draws, 2)
sizes = torch.zeros(n_draws)
for number in range(n_draws):
    source, weights, target = draw(index, tilt, number)
    generator = torch.Generator().manual_seed(seed + number)
    ratio = covariate.logistic_ratio(x[source], x[target], generator=generator)
    clipped = importance.clip_weights(weights, maximum=maximum)
    all_weights = [None, clipped, weights, ratio.weights]
    errors[number] = errors_of_fits(x, y, source, target, all_weights)
    report = importance.diagnose(weights)
    sizes[number] = report.effective_sample_size
    warned[number] = torch.tensor(
        [not report.trustworthy, not ratio.report.trustworthy]
    )
mean = errors.mean(dim=0)
print(dict(zip(names, mean.round().tolist(), strict=True)))
print(f"effective sample size {sizes.mean():.1f} of {n}; warned: {warned.mean(dim=0)}")

claims["Clipped weights increase the error, and the exact ones increase it more"] = (
    mean[0] < mean[1] < mean[2]
)
claims["Exact and estimated weights increase the error by a tenth or more"] = (
    mean[2:] > 1.1 * mean[0]
).all()
claims["The exact weights do harm in more than 70 % of the draws"] = (
    errors[:, 2] > errors[:, 0]
).double().mean() > 0.7
claims["On average, a quarter of the examples remains effective"] = sizes.mean() < n / 4
claims["In most draws, the reports on both ratios warn"] = (
    warned.mean(dim=0) > 0.5
).all()

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
for name, values in zip(names, errors.T, strict=True):
    ax.plot(values, [name] * n_draws, "|C0", markersize=12, alpha=0.5)
ax.plot(mean, names, "oC1")
ax.set(xlabel="squared error in the target: draws and mean", ylim=(3.5, -0.5))
fig.set_label(
    "Four rows of marks with their means: the squared error in the target of 50 draws per "
    "row. It is smallest without weights, larger with clipped weights, and largest with "
    "the exact and with the estimated weights."
)
plt.show()

# %%
# Even the exact weights increase the error. The progress is close to linear in the ten columns, so
# the best model is the same wherever it is fitted. The unweighted fit finds it from 118 examples,
# and the weighted fit from about two dozen. Clipping restores some of the lost examples. The report
# would have warned us: in most draws its verdict is not to trust these weights.
#
# A model that needs weights
# --------------------------
#
# Does the effective sample size alone decide? For comparison, take a line that predicts the area of
# a tumour from its radius, as in :doc:`/auto_gallery/08_shift/plot_sample_selection_bias`. This
# model is wrong, because areas grow with the square of the radius. Both sources are drawn as above,
# with tilts from weak to strong.

cancer = torch.as_tensor(load_breast_cancer().data)
radius = standardized(cancer[:, :1])
tilts = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0]
problems = {
    "right: diabetes, ten columns": (x, y, index),
    "wrong: tumours, a line": (radius, cancer[:, 3] / 100, radius[:, 0]),
}
gains, counts = {}, {}
for name, (inputs, outputs, z) in problems.items():
    logs, sizes = torch.zeros(2, len(tilts), n_draws, dtype=torch.float64)
    for i, strength in enumerate(tilts):
        for number in range(n_draws):
            source, weights, target = draw(z, strength, number)
            plain, corrected = errors_of_fits(
                inputs, outputs, source, target, [None, weights]
            )
            logs[i, number] = (corrected / plain).log()
            sizes[i, number] = importance.effective_sample_size(weights)
    gains[name], counts[name] = logs.mean(dim=1), sizes.mean(dim=1)
    print(name, [f"{ratio:.2f}" for ratio in gains[name].exp()])

right, wrong = gains.values()
claims["For the right model, the weights increase the error at each tilt"] = (
    right > 0
).all()
claims["At the strongest tilt, they increase it by more than a tenth"] = right[-1] > 0.1
claims["For the wrong model, they nearly halve it at the strongest tilt"] = (
    wrong[-1] < -0.5
)

# Figure
# sphinx_gallery_thumbnail_number = 3
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
for name, color in zip(gains, ("C1", "C0"), strict=True):
    ax.plot(counts[name], gains[name].exp(), "o-", color=color, label=name)
ax.axhline(1, color=plt.rcParams["text.color"], linestyle="--")
ax.set(xlabel=f"effective sample size, of {n}", ylabel="error weighted / unweighted")
ax.set(xlim=(n, 0), title="Weights improve a wrong model only")
fig.legend(loc="outside lower center")
fig.set_label(
    "The error with weights divided by the error without, against the effective sample "
    "size, which falls to the right. For the diabetes data the ratio rises above 1. For "
    "the tumours it falls below one half."
)
plt.show()

# %%
# With equally few effective examples, the wrong model gains more than the right one loses. The
# weights themselves show what they cost in effective examples, and the report says so. How much
# they gain depends on the model, about which the weights contain no information. But you can find
# out: add the squares of the columns to the model. If they do not lower the error on held-out rows,
# there is little to correct.


def error_with_squares(x, y, number):
    """Return the held-out error with squares divided by that without."""
    generator = torch.Generator().manual_seed(seed + number)
    halves = torch.randperm(len(x), generator=generator).tensor_split(2)
    squares = torch.cat([x, x.square()], dim=1)
    plain = errors_of_fits(x, y, *halves, [None])
    return errors_of_fits(squares, y, *halves, [None]) / plain


of_right, of_wrong = (
    torch.cat([error_with_squares(inputs, outputs, k) for k in range(20)]).mean()
    for inputs, outputs, _ in problems.values()
)
print(
    f"with squares: {of_right:.2f} for the right model, {of_wrong:.2f} for the wrong one"
)

claims["Squares do not lower the error of the right model"] = of_right > 0.97
claims["Squares lower the error of the wrong model to less than a third"] = (
    of_wrong < 0.3
)

# %%
# Conclusion
# ----------
#
# Before you correct anything, read the report. :func:`dlcore.importance.diagnose` and the reports
# of the estimated ratios say how many effective examples remain and whether the tail is too heavy.
# :func:`dlcore.importance.clip_weights` and :func:`dlcore.importance.flatten_weights` accept some
# bias and restore some of the lost examples. A model that is about right without weights does not
# need any; a wrong model may gain even from poor weights. The second correction that can do harm is
# that of a classifier's probabilities: :doc:`/auto_gallery/08_shift/plot_prior_correction`.

# %%
# Exercises
# ---------
#
# **1.** Half of the examples have the weight 0, and the others have the weight 2. How many are
# effective?

# Solution
weights = torch.tensor([0.0, 2.0]).repeat(50)
assert importance.effective_sample_size(weights) == 50, "as many as have a weight"

# %%
# **2.** The square root of each weight is a compromise between the weight and none. Compare its
# effective sample size, and its error for the right model, with those of the exact weights.

# Solution
fits = []
for number in range(n_draws):
    source, weights, target = draw(index, tilt, number)
    root = importance.flatten_weights(weights, exponent=0.5)
    assert importance.effective_sample_size(root) >= importance.effective_sample_size(
        weights
    ), "more examples remain effective"
    fits.append(errors_of_fits(x, y, source, target, [None, root, weights]))
unweighted, rooted, exact = torch.stack(fits).mean(dim=0)
claims["The error of the square roots lies between the other two"] = (
    unweighted < rooted < exact
)

# %%
# **3.** Add the squares of the columns to the model of the tumours. Do the weights still help?

# Solution
squares = torch.cat([radius, radius.square()], dim=1)
ratios = []
for number in range(n_draws):
    source, weights, target = draw(radius[:, 0], tilt, number)
    both = errors_of_fits(squares, cancer[:, 3], source, target, [None, weights])
    ratios.append(both[1] / both[0])
claims["Once the model is right, the weights gain less than a tenth"] = (
    torch.stack(ratios).median() > 0.9
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
