r"""
K-fold cross-validation: what may a fold see?
=============================================

Lost rows, sorted rows, leaks and false precision are four common mistakes of cross-validation.

In short
--------

K-fold cross-validation measures each of :math:`k` models on the fold that it was not fitted to, so
every row is held out exactly once. Shuffle the rows, repeat everything that is learned from the
data inside each fold, and trust the mean error only up to its standard error.

.. math::

    e_j = \frac{1}{|\mathcal{V}_j|} \sum_{i \in \mathcal{V}_j} \ell\bigl(\hat f_j, \mathbf{x}_i, y_i\bigr), \qquad
    \bar e = \frac1k \sum_{j=1}^{k} e_j .

*Prerequisites:* linear models, mean and standard deviation.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes, load_wine

from dlcore import datasets, linear, losses, model_selection

# Change these numbers and run the script again.
seed = 0
k = 5
n_columns = 1000  # of pure noise
n_chosen = 20  # of these columns
n_sets = 30  # of noise
n_shuffles = 20
n_samples = 300
claims = {}

# %%
# Every row is held out exactly once
# ----------------------------------
#
# To measure how well a model predicts new data, you must hold some data out. *K-fold
# cross-validation* divides the rows into :math:`k` folds :math:`\mathcal{V}_1, \dots, \mathcal{V}_k`.
# It fits :math:`k` models, each without one fold, and measures each on that fold.
#
# The diabetes data have 442 rows, and :math:`442 = 5\cdot 88 + 2`. Code that cuts folds of ``n //
# k`` rows loses the last two. They belong to the first two folds, one each; then every row is held
# out exactly once.

generator = torch.Generator().manual_seed(seed)
diabetes = load_diabetes(scaled=False)
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
folds = list(model_selection.k_fold(len(x), k))

held_out = torch.cat([validation for _, validation in folds])
lengths = [len(validation) for _, validation in folds]
assert held_out.sort().values.equal(torch.arange(442)), "each row is held out once"
assert max(lengths) - min(lengths) <= 1, "no fold has two rows more than another"
for train, validation in folds:
    assert len(train) + len(validation) == 442, "a model uses all other rows"
    assert not torch.isin(train, validation).any(), "and none of the fold"
claims["The folds have 89, 89, 88, 88 and 88 rows"] = lengths == [89, 89, 88, 88, 88]

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
starts = [int(validation[0]) for _, validation in folds]
ax.barh(range(1, k + 1), 442, color="C0", alpha=0.25, label="fitted to")
ax.barh(range(1, k + 1), lengths, left=starts, color="C1", label="measured on")
ax.set(xlabel="row", ylabel="model", xticks=[*starts, 442], ylim=(k + 0.5, 0.5))
fig.legend(loc="outside upper left", ncols=2)
fig.set_label(
    "Five bars of 442 rows, one for each model. Each has a different block held out, "
    "of 89 rows in the first two and of 88 in the others; together the blocks cover "
    "all rows."
)
plt.show()

# %%
# This is simple to write, and there are four ways to get it wrong: rows are lost, the order is
# ignored, the fold leaks into the fit, or the scatter of the :math:`e_j` is overinterpreted. What
# does each of the other three mistakes cost?
#
# Sorted rows must be shuffled
# ----------------------------
#
# A fold is a block of consecutive rows, so the order of the rows should not matter. Often it does:
# the bundled wines are sorted by class, as stored data often are. Then the first of three folds
# holds out the whole first class and the third fold the whole last class, and their models must
# predict a class that they have never seen.


def fit_wine(x, y):
    """Return the standardization, and a linear model of the three classes."""
    scale = model_selection.standardize(x)
    targets = torch.eye(3, dtype=x.dtype)[y]
    return scale, linear.ridge(scale(x), targets, penalty=1.0)


def is_wrong(model, x, y):
    """Return 1 for each row that gets the wrong class, and 0 for the others."""
    scale, params = model
    return (linear.linear(scale(x), *params).argmax(1) != y).to(x.dtype)


wine = load_wine()
x_wine, y_wine = torch.as_tensor(wine.data), torch.as_tensor(wine.target)
assert (y_wine.diff() >= 0).all(), "the wines are sorted"

in_order = model_selection.cross_validate(fit_wine, is_wrong, x_wine, y_wine, k=3)
shuffled = model_selection.cross_validate(
    fit_wine, is_wrong, x_wine, y_wine, k=3, shuffle=True, generator=generator
)
assert in_order.validation_mean > 0.6, "in the original order, most wines are wrong"
assert in_order.validation_errors[0] > 0.95, "the first class was never seen"
claims["Shuffled, fewer than one wine of twenty is wrong"] = (
    shuffled.validation_mean < 0.05
)

# %%
# In the original order, the model misclassifies more than six of ten wines; shuffled, fewer than
# one of twenty. :func:`dlcore.linear.softmax_regression` refuses such a fold: its error names the
# missing label. :func:`dlcore.model_selection.stratified_k_fold` gives each fold its share of each
# class.

train, _ = next(model_selection.k_fold(len(x_wine), 3))
try:
    linear.softmax_regression(x_wine[train], y_wine[train], n_classes=3)
except ValueError as error:
    message = str(error)
refusal = "the number of each label must be >= 1, got 0 at index 0"
assert message == refusal, "the error names the missing label"

# %%
# Select features inside each fold
# --------------------------------
#
# Everything that is learned from the data belongs to the fit, above all the selection of columns.
# To see what happens otherwise, take data with no signal: 100 rows of 1000 columns of noise, and
# labels from tossing a coin. Select the 20 columns with the largest correlation with the labels,
# and cross-validate a classifier on them. It seems to be right four times in five. But all rows
# took part in the selection, including the held-out ones. If the columns are selected in each fold,
# on its training rows alone, the classifier is no better than chance.


def best_columns(x, y):
    """Return the columns with the largest correlation with the labels."""
    covariances = (x - x.mean(0)).T @ (y - y.mean())
    return (covariances / x.std(0)).abs().topk(n_chosen).indices


def fit_chosen(x, y):
    """Return the best columns and a classifier on them."""
    columns = best_columns(x, y)
    return columns, linear.logistic_regression(x[:, columns], y)


def is_missed(model, x, y):
    """Return 1 for each row that gets the wrong label, and 0 for the others."""
    columns, params = model
    return ((linear.linear(x[:, columns], *params) > 0) != (y > 0)).to(x.dtype)


outside, inside = [], []
for _ in range(n_sets):
    noise = torch.randn(100, n_columns, generator=generator, dtype=torch.float64)
    coin = torch.randint(2, (100,), generator=generator).double()
    chosen = noise[:, best_columns(noise, coin)]
    for errors, columns in ((outside, chosen), (inside, noise)):
        result = model_selection.cross_validate(
            fit_chosen, is_missed, columns, coin, k=k, shuffle=True, generator=generator
        )
        errors.append(result.validation_mean)
outside, inside = torch.stack(outside), torch.stack(inside)
claims[
    "Selecting on all rows, the error is always below 0.3, and below 0.2 on average"
] = outside.max() < 0.3 and outside.mean() < 0.2
claims["Selecting in each fold, the error is that of a coin"] = (
    inside.mean() - 0.5
).abs() < 4 * inside.std() / n_sets**0.5

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
labels = ["selected on all rows", "selected in each fold"]
style = {"range": (0, 0.7), "histtype": "stepfilled", "alpha": 0.7}
ax.hist([outside, inside], 20, label=labels, **style)
ax.axvline(0.5, color="C2", linestyle="--", label="a coin")
ax.set(xlabel="error rate by cross-validation", ylabel="sets of pure noise")
ax.yaxis.get_major_locator().set_params(integer=True)
ax.set_title("Selecting on all rows finds a signal in noise")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "Histograms of the error rate in 30 data sets of pure noise. With the columns selected "
    "on all rows, the error rates lie around 0.18; selected in each fold, they scatter "
    "around 0.5, the error rate of a coin, which a dashed line marks."
)
plt.show()

# %%
# Not every leak matters this much. Standardizing with the mean and the standard deviation of all
# rows is the same mistake, but on the 442 rows of the diabetes data it changes the error by less
# than a thousandth. On 40 rows it understates the error, by some thousandths on average. That is
# little, but standardizing inside the fold costs nothing.


def fit_plain(x, y):
    """Return a ridge regression."""
    return linear.ridge(x, y, penalty=1.0)


def loss_plain(params, x, y):
    """Return the squared loss of each row."""
    return losses.squared_loss(linear.linear(x, *params), y)


def fit_scaled(x, y):
    """Return the standardization, and a ridge regression on the standardized columns."""
    scale = model_selection.standardize(x)
    return scale, fit_plain(scale(x), y)


def loss_scaled(model, x, y):
    """Return the squared loss of each row, scaled as the training rows were."""
    scale, params = model
    return loss_plain(params, scale(x), y)


def optimism(n):
    """Return the share by which standardizing n rows before the split understates the error."""
    rows = torch.randperm(len(x), generator=generator)[:n]
    scaled = model_selection.standardize(x[rows])(x[rows])
    leaky = model_selection.cross_validate(fit_plain, loss_plain, scaled, y[rows], k=k)
    right = model_selection.cross_validate(
        fit_scaled, loss_scaled, x[rows], y[rows], k=k
    )
    return 1 - leaky.validation_mean / right.validation_mean


of_all = torch.stack([optimism(442) for _ in range(n_shuffles)])
of_few = torch.stack([optimism(40) for _ in range(5 * n_shuffles)])
claims["Standardizing all 442 rows changes the error by less than a thousandth"] = (
    of_all.abs().max() < 0.001
)
claims["Standardizing all of 40 rows understates the error by some thousandths"] = (
    3 * of_few.std() / len(of_few) ** 0.5 < of_few.mean()
    and 0.001 < of_few.mean() < 0.01
)

# %%
# Rows that belong together
# -------------------------
#
# A fold also leaks if its rows resemble training rows more than new data would. Take 50 patients
# with four nearly equal measurements each, and toss a coin for each patient. The label of the
# nearest training row is nearly always right, because that row comes from the same patient. With
# folds that split no patient, it is no better than the coin.
#
# A time series has the same problem, since each row resembles its neighbours. Predict a random walk
# from the nearest known value: shuffled folds know the days before and after, and their error is
# many times too small. Folds in the order of time know only the past.


def keep(x, y):
    """Return the rows, in which the nearest one is looked up."""
    return x, y


def error_of_nearest(rows, x, y):
    """Return the squared difference from the value of the nearest row."""
    nearest = torch.cdist(x, rows[0]).argmin(1)
    return (rows[1][nearest] - y).square()


patient = torch.arange(50).repeat_interleave(4)
of_patient = torch.randn(50, 5, generator=generator, dtype=torch.float64)
measured = of_patient[patient]
measured += 0.05 * torch.randn(200, 5, generator=generator, dtype=torch.float64)
ill = torch.randint(2, (50,), generator=generator).double()[patient]
day = torch.arange(400, dtype=torch.float64)[:, None]
walk = torch.randn(400, generator=generator, dtype=torch.float64).cumsum(0)
mean_errors = []
for inputs, outputs, right_folds in (
    (measured, ill, model_selection.grouped_k_fold(patient, k)),
    (day, walk, model_selection.time_ordered_folds(400, k)),
):
    for folds in (
        model_selection.k_fold(len(inputs), k, shuffle=True, generator=generator),
        right_folds,
    ):
        result = model_selection.cross_validate(
            keep, error_of_nearest, inputs, outputs, folds=folds
        )
        mean_errors.append(result.validation_mean)
split, grouped, shuffled, ordered = mean_errors
claims["The nearest measurement is that of the same patient"] = split < 0.02
claims["For a new patient, the nearest row is no better than a coin"] = (
    0.3 < grouped < 0.7
)
claims["Shuffled days make the error of a forecast ten times too small"] = (
    ordered > 10 * shuffled
)

# %%
# The standard error of the mean
# ------------------------------
#
# We cross-validate ridge regression on all the diabetes data 20 times, each time with a new
# shuffle. The errors of the folds differ by some hundreds, while their means are almost equal for
# all shuffles. A single fold, that is, a single split into training and test rows, tells little.
# The mean of the folds is more precise, but how precise is it?

repetitions = torch.stack(
    [
        model_selection.cross_validate(
            fit_scaled, loss_scaled, x, y, k=k, shuffle=True, generator=generator
        ).validation_errors
        for _ in range(n_shuffles)
    ]
)
claims["The folds differ five times as much as the means"] = (
    repetitions.std(1).mean() > 5 * repetitions.mean(1).std()
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
shuffles = range(1, n_shuffles + 1)
ax.plot(shuffles, repetitions, "oC0", alpha=0.5)
ax.plot(shuffles, repetitions.mean(1), "_C1", markersize=12, markeredgewidth=3)
ax.set(xlabel="shuffle", xticks=shuffles[4::5], ylabel="squared loss, with ½")
ax.set_title("The folds (points) scatter, the means (bars) agree")
fig.set_label(
    "Twenty columns, one for each shuffle, each with five points, the errors of the "
    "folds, which scatter between about 1100 and 2000, and a bar at their mean, close "
    "to 1500 in every column."
)
plt.show()

# %%
# The agreement of the means is deceptive, because all shuffles use the same 442 rows. We want to
# know how much the mean would vary with *other* data. To measure this, we simulate data: 300
# samples of 200 rows of a linear model, with one shuffle each, and 20 shuffles each for 20 of the
# samples. Across samples, the means scatter about four times as much as across shuffles.
#
# The standard error from the folds of *one* shuffle, :math:`s/\sqrt{k}`, uses no other sample, and
# yet comes close to the scatter across samples. It is slightly too small on average, because a
# standard deviation of five numbers is, and because the folds share most of their training rows.
# From five numbers it is a rough estimate, and no unbiased estimate of its square exists (Bengio
# and Grandvalet, 2004).

no_penalty = torch.zeros(1, dtype=torch.float64)
weight = torch.ones(10, dtype=torch.float64)


def cross_validated(data):
    """Return the errors of least squares, all folds at once."""
    return model_selection.ridge_path_cross_validation(
        data.x, data.y, penalties=no_penalty, k=k, shuffle=True, generator=generator
    ).folds


samples = [
    datasets.linear_regression(weight, 0.0, 200, noise_std=1.0, generator=generator)
    for _ in range(n_samples)
]
of_samples = [cross_validated(data) for data in samples]
new_data = torch.cat([result.validation_mean for result in of_samples])
estimates = torch.cat([result.validation_standard_error for result in of_samples])
of_shuffles = torch.stack(
    [
        torch.cat([cross_validated(data).validation_mean for _ in range(n_shuffles)])
        for data in samples[:20]
    ]
)
claims[
    "Across samples, the means scatter about four times as much as across shuffles"
] = 3 < new_data.std() / of_shuffles.std(1).mean() < 5
claims["The standard error of one shuffle is close to the scatter across samples"] = (
    0.7 * new_data.std() < estimates.mean() < new_data.std()
)
claims["A standard error from five numbers is a rough estimate"] = (
    estimates.std() > 0.2 * estimates.mean()
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
same_data = torch.cat([cross_validated(samples[0]).validation_mean for _ in samples])
ax.hist(new_data, 40, alpha=0.7, label=f"{n_samples} samples")
ax.hist(same_data, 10, alpha=0.7, label=f"one sample, shuffled {n_samples} times")
middle = float(new_data.mean())
ax.errorbar(middle, 0.2 * n_samples, xerr=estimates.mean(), fmt="oC2", capsize=4)
ax.set(xlabel="mean error of the folds", ylabel="count")
ax.set_title("Repeated shuffles understate the variation")
fig.legend(loc="outside lower center")
fig.set_label(
    "Two histograms of the mean error of five folds. One sample shuffled 300 times gives a "
    "narrow peak. 300 samples give a distribution several times as wide, about as wide as "
    "the bar above it, which extends one estimated standard error to each side."
)
plt.show()

# %%
# The bar extends one standard error, as a single shuffle estimates it, to each side of the mean.
#
# Conclusion
# ----------
#
# :func:`dlcore.model_selection.k_fold` holds out every row once, and shuffles on request, which
# sorted rows need. :func:`dlcore.model_selection.grouped_k_fold` and
# :func:`dlcore.model_selection.time_ordered_folds` keep rows together that belong together.
# :func:`dlcore.model_selection.cross_validate` takes the whole fit, including everything that it
# learns from the data, and returns the errors with their mean and standard error. Trust the mean up
# to its standard error, do not trust a single fold, and do not take the agreement of shuffles for
# precision. If you use the errors to choose a model, as
# :func:`dlcore.model_selection.ridge_path_cross_validation` does, the smallest error is too
# optimistic. Then hold out a final test set beforehand with
# :func:`dlcore.model_selection.train_test_split`. The tutorial on :doc:`overfitting
# </auto_gallery/05_generalization/plot_polynomial_degree>` shows why the error on new rows is the
# one that matters.

# %%
# Exercises
# ---------
#
# **1.** How many rows do all models together lose if each fold has ``n // k`` rows? Write the right
# lengths of the folds in one line, for any :math:`n` and :math:`k`.

# Solution
for n in range(k, k + 50):
    right = [n // k + (j < n % k) for j in range(k)]
    folds = model_selection.k_fold(n, k)
    assert [len(rows) for _, rows in folds] == right, "the first n % k folds are longer"
    assert n - k * (n // k) == n % k, "that many rows are lost"

# %%
# **2.** Choose the best of 200 classifiers whose predictions are coin tosses, by their error on 100
# held-out rows. What error rate does the best one seem to have, and what does it have on new rows?

# Solution
wrong = torch.rand(200, 2, 100, generator=generator) < 0.5
seeming, on_new = wrong[:, 0].double().mean(1), wrong[:, 1].double().mean(1)
best = seeming.argmin()
claims["The best of 200 coins seems to have an error rate below 0.42"] = (
    seeming[best] < 0.42
)
claims["On new rows it is a coin"] = 0.35 < on_new[best] < 0.65

# %%
# **3.** Leave-one-out cross-validation has as many folds as rows. For least squares no refit is
# needed: the error of row :math:`i` is its residual divided by :math:`1 - h_i`, where :math:`h_i`
# is the :math:`i`-th diagonal entry of :math:`\mathbf{X}(\mathbf{X}^\top\mathbf{X})^{-1}
# \mathbf{X}^\top`. Verify it on the diabetes data.

# Solution
with_one = torch.cat([torch.ones(442, 1, dtype=x.dtype), x], dim=1)
q, _ = torch.linalg.qr(with_one)
residuals = y - q @ (q.T @ y)
shortcut = residuals / (1 - q.square().sum(1))
one_by_one = model_selection.ridge_path_cross_validation(
    x, y, penalties=no_penalty, k=442
).folds.validation_mean
assert torch.allclose(one_by_one, shortcut.square().mean() / 2), "the same mean loss"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
