r"""
Grouped, stratified and time-ordered folds: which rows may share a fold?
========================================================================

Rows that depend on each other must not be on both sides of a split.

In short
--------

Cross-validation must hold out what will be new when the model is used. If new rows come from new
people, hold out whole groups. If they come from the future, hold out the latest rows. If a class is
rare, give each fold its share of it. Shuffled folds do none of this, so their error can be too
small or impossible to compute.

.. math::

    \text{grouped:}\ g_i = g_l \Rightarrow \text{the same fold}, \qquad
    \text{ordered in time:}\ \max\mathcal{T}_j < \min\mathcal{V}_j .

*Prerequisites:* :doc:`k-fold cross-validation
</auto_gallery/05_generalization/plot_k_fold_done_right>`.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer, load_digits

from dlcore import linear, losses, model_selection, training

# Change these numbers and run the script again.
seed = 0
k = 5
n_writers = 10
n_rare = 10
n_walks = 200
n_times = 120
gap = 10
claims = {}

# %%
# Four kinds of folds
# -------------------
#
# Here are 24 rows in four kinds of folds. Each line is one model: it is fitted to the pale rows and
# measured on the dark ones, and does not use the others. Shuffled folds treat all rows alike.
# *Stratified* folds give each fold the same share of each class; here every fourth row has the rare
# class. *Grouped* folds split no group, here of four consecutive rows. *Time-ordered* folds train
# on the past only.

generator = torch.Generator().manual_seed(seed)
rows = torch.arange(24)
is_rare = (rows % 4 == 0).long()
kinds = {
    "shuffled": model_selection.k_fold(24, 3, shuffle=True, generator=generator),
    "stratified": model_selection.stratified_k_fold(
        is_rare, 3, shuffle=True, generator=generator
    ),
    "grouped": model_selection.grouped_k_fold(rows // 4, 3),
    "time-ordered": model_selection.time_ordered_folds(24, 3, gap=2),
}
kinds = {name: list(folds) for name, folds in kinds.items()}
for _, held_out in kinds["stratified"]:
    assert is_rare[held_out].sum() == 2, "each fold has two of the six rare rows"
for train, held_out in kinds["grouped"]:
    assert not torch.isin(train // 4, held_out // 4).any(), "no group is split"
for train, held_out in kinds["time-ordered"]:
    assert train.max() < held_out.min() - 2, "past, gap of two rows, future"

# Figure
fig, axes = plt.subplots(4, 1, figsize=(5.4, 4.6), sharex=True, layout="constrained")
for ax, (name, folds) in zip(axes, kinds.items(), strict=True):
    for j, (train, held_out) in enumerate(folds):
        ax.plot(train, [j] * len(train), "sC0", alpha=0.4)
        ax.plot(held_out, [j] * len(held_out), "sC1")
    ax.set(title=name, yticks=[], ylim=(2.6, -0.6))
axes[3].set(xlabel="row", xticks=range(0, 24, 4))
fig.set_label(
    "Four panels with three lines of 24 squares, one line for each model. Shuffled and "
    "stratified: the held-out rows are spread over all rows. Grouped: they are two blocks of "
    "four rows. Time-ordered: they are six rows to the right of the training rows, which end "
    "two rows before them, and no later row is used."
)
plt.show()

# %%
# Grouped folds: new digits, or digits of new writers?
# ----------------------------------------------------
#
# The 1797 digits of scikit-learn come from 13 people, and the digits of one person follow each
# other. Where one person ends is not recorded, so we take ten blocks of consecutive rows as groups.
# The model is the nearest neighbour: it remembers every training row. In shuffled folds, the
# nearest neighbour is often a digit of the same writer. In grouped folds it hardly ever is, and the
# error is more than twice as large. Neither number is wrong: the first is the error for another
# digit of these people, and the second is the error for a new person.

digits = load_digits()
pixels = torch.as_tensor(digits.data, dtype=torch.float32)
classes = torch.as_tensor(digits.target)
writer = torch.arange(len(pixels)) * n_writers // len(pixels)


def fit_neighbour(x, y):
    """Return the training rows, which are all of the model."""
    return x, y


def neighbour(model, x):
    """Return the value at the nearest training row."""
    train_x, train_y = model
    return train_y[torch.cdist(x, train_x).argmin(1)]


def is_wrong(model, x, y):
    """Return 1 for each row that gets the wrong class, and 0 for the others."""
    return (neighbour(model, x) != y).float()


of_digits = {}
for name, options in {
    "shuffled": {"k": k, "shuffle": True, "generator": generator},
    "grouped": {"folds": model_selection.grouped_k_fold(writer, k)},
}.items():
    result = model_selection.cross_validate(
        fit_neighbour, is_wrong, pixels, classes, **options
    )
    of_digits[name] = 100 * result.validation_errors
    print(f"{name}: {of_digits[name].mean():.1f} % wrong")

claims["With grouped folds, the error is more than twice as large"] = (
    of_digits["grouped"].mean() > 2 * of_digits["shuffled"].mean()
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 2.8), layout="constrained")
for i, errors in enumerate(of_digits.values()):
    ax.plot(errors, [i] * k, f"oC{i}", markersize=9, alpha=0.6)
    ax.plot(errors.mean(), i, f"|C{i}", markersize=40, markeredgewidth=3)
ax.set(yticks=[0, 1], yticklabels=of_digits, ylim=(1.6, -0.6))
ax.set(xlabel="wrong digits in %: folds and their mean", xlim=(0, None))
ax.set_title("New writers are harder than new digits")
fig.set_label(
    "The percentage of wrong digits in five shuffled and in five grouped folds, with their "
    "means: 1.3 % with shuffled folds and 3.1 % with grouped ones."
)
plt.show()

# %%
# Stratified folds: a rare class needs its share
# ----------------------------------------------
#
# The *recall* of a model is the share of the rare cases that it finds. To measure it, each fold
# must hold out some of them. Take all benign tumours of the breast cancer data and ten malignant
# ones. If the folds are shuffled, one of them often holds out none of the ten, and its recall is 0
# / 0. Each stratified fold holds out two.

is_malignant = torch.as_tensor(load_breast_cancer().target) == 0
benign, malignant = ((is_malignant == kind).nonzero()[:, 0] for kind in (False, True))
labels = is_malignant[torch.cat([benign, malignant[:n_rare]])].long()


def rare_rows(folds):
    """Return how many rare rows each fold holds out."""
    return torch.stack([labels[held_out].sum() for _, held_out in folds])


shuffled = torch.stack(
    [
        rare_rows(
            model_selection.k_fold(len(labels), k, shuffle=True, generator=generator)
        )
        for _ in range(1000)
    ]
)
without = (shuffled == 0).any(dim=1).double().mean()
stratified = rare_rows(model_selection.stratified_k_fold(labels, k))
print(
    f"a fold without a rare row in {without:.0%} of shuffles; stratified: {stratified}"
)

assert stratified.max() - stratified.min() <= 1, "the same share, up to one row"
claims["Four of ten shuffles or more leave a fold without a rare row"] = without > 0.4
claims["Stratified, each fold has two rare rows"] = (stratified == 2).all()

# %%
# Time-ordered folds: predicting is not filling gaps
# --------------------------------------------------
#
# A random walk moves by a step of mean 0 and variance 1 at each time. The best prediction from the
# past is the last value, and :math:`h` steps ahead its mean squared error is :math:`h`. A fold of
# :math:`m` rows, with a gap of :math:`g` rows before it, therefore has the expected error
#
# .. math::
#
#     \frac1m \sum_{h=1}^{m} (g + h) = g + \frac{m + 1}{2} .
#
# With shuffled folds, the same model only fills gaps: the time before or after is nearly always in
# the training rows, and the error is about 1. Both use the value at the nearest known time.

times = torch.arange(n_times, dtype=torch.float64)[:, None]
walks = torch.randn(n_times, n_walks, generator=generator, dtype=torch.float64).cumsum(
    0
)


def squared_error(model, x, y):
    """Return the squared error at each time, the mean over all walks."""
    return (neighbour(model, x) - y).square().mean(1)


in_time = list(model_selection.time_ordered_folds(n_times, k, gap=gap))
fill, predict = (
    model_selection.cross_validate(
        fit_neighbour, squared_error, times, walks, **options
    ).validation_mean
    for options in (
        {"k": k, "shuffle": True, "generator": generator},
        {"folds": in_time},
    )
)
m = n_times // (k + 1)
expected = gap + (m + 1) / 2
print(f"shuffled: {fill:.2f}, in time: {predict:.2f}, expected: {expected}")

claims["Filling gaps has an error of about 1"] = 0.8 < fill < 1.3
claims["Predicting has the error of the formula"] = abs(predict / expected - 1) < 0.15
claims["Shuffled folds understate the error more than tenfold"] = predict > 10 * fill

# %%
# A gap is needed if the rows just before the fold already contain information about it, for example
# because each row describes a whole week. A gap makes the task harder, so choose it as large as it
# will be when the model is used.

train, held_out = in_time[-1]
known = fit_neighbour(times[train], walks[train])
ahead = neighbour(known, times[held_out])
spread = ahead - walks[held_out]
per_step = spread.square().mean(1)
claims["The error grows with the distance"] = per_step[-1] > per_step[0]

# Figure
fig, axes = plt.subplots(1, 2, figsize=(5.6, 3.2), layout="constrained")
axes[0].plot(train, walks[train, 0], "C0", label="past")
axes[0].plot(held_out, walks[held_out, 0], "C1", label="future")
axes[0].plot(held_out, ahead[:, 0], "--C2", label="prediction")
axes[0].set(xlabel="time", ylabel="value", title="One walk")
axes[0].legend(loc="upper right")
axes[1].plot(held_out - train.max(), per_step, "oC1", markersize=4)
axes[1].plot(held_out - train.max(), held_out - train.max(), "C2")
axes[1].set(xlabel="steps ahead", ylabel="squared error", title="All walks")
fig.set_label(
    "Left, a random walk: its past, after a gap its future, and the prediction, a level line at "
    "the last known value. Right, the mean squared error over all walks against the number of "
    "steps ahead: the points follow the line on which both are equal."
)
plt.show()

# %%
# Conclusion
# ----------
#
# Ask what will be new when the model is used, and hold that out.
#
# - New rows like the old ones: :func:`dlcore.model_selection.k_fold` with ``shuffle=True``.
# - A rare class: :func:`dlcore.model_selection.stratified_k_fold`.
# - New people, places or devices: :func:`dlcore.model_selection.grouped_k_fold`.
# - The future: :func:`dlcore.model_selection.time_ordered_folds`.
#
# Each gives pairs of training and held-out rows, and :func:`dlcore.model_selection.cross_validate`
# takes any of them as ``folds``.

# %%
# Exercises
# ---------
#
# **1.** The row of day :math:`t` says what happens in the seven days from :math:`t` on. How large
# must the gap be, so that no training row describes a day of the fold?

# Solution
for days, shares_a_day in ((5, True), (6, False)):
    for train, held_out in model_selection.time_ordered_folds(100, 4, gap=days):
        last_day = train.max() + 6
        assert (last_day >= held_out.min()) == shares_a_day, "six days, one less than 7"

# %%
# **2.** Each person gave one row. What are grouped folds then?

# Solution
folds = list(model_selection.grouped_k_fold(torch.arange(23), k))
sizes = [len(held_out) for _, held_out in folds]
assert max(sizes) - min(sizes) <= 1, "folds of nearly equal size, as those of k_fold"
every_row = torch.cat([held_out for _, held_out in folds]).sort().values
assert every_row.equal(torch.arange(23)), "each row is held out once"

# %%
# **3.** A model that is trained by gradient descent has the same shapes in each fold. Train those of
# all folds at once, and compare with one fold after the other.

# Solution
x, start = pixels[:300] / 16, linear.LinearParams(torch.zeros(64, 10), torch.zeros(10))


def cross_entropy(params, x, y):
    """Return the loss of each row."""
    return losses.cross_entropy(linear.linear(x, *params), y)


def fit_softmax(x, y):
    """Return a softmax regression after ten full-batch steps."""
    return training.fit(
        cross_entropy, start, (x, y), epochs=10, batch_size=len(x), lr=0.5
    ).params


at_once = model_selection.cross_validate_vectorized(
    cross_entropy, start, x, classes[:300], k=k, epochs=10, batch_size=300, lr=0.5
)
in_turn = model_selection.cross_validate(
    fit_softmax, cross_entropy, x, classes[:300], k=k
)
claims["All folds at once give the same errors"] = torch.allclose(
    at_once.validation_errors, in_turn.validation_errors, rtol=1e-3
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
