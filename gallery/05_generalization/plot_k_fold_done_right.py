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

*Prerequisites:* linear models, mean and standard deviation. *Reading time:* 14 minutes.

Folds and four mistakes
-----------------------

To measure how well a model predicts new data, you must hold some data out. *K-fold
cross-validation* divides the rows into :math:`k` folds :math:`\mathcal{V}_1, \dots, \mathcal{V}_k`.
It fits :math:`k` models, each without one fold, and measures each on that fold. This is simple to
write, and there are four ways to get it wrong: rows are lost, the order is ignored, the fold leaks
into the fit, or the scatter of the :math:`e_j` is overinterpreted. What does each mistake cost?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes, load_wine

from dlcore import datasets, linear, losses, model_selection

generator = torch.Generator().manual_seed(0)

# %%
# Every row is held out exactly once
# ----------------------------------
#
# The diabetes data have 442 rows, and :math:`442 = 5\cdot 88 + 2`. Code that cuts folds of ``n //
# k`` rows loses the last two. They belong to the first two folds, one each; then every row is held
# out exactly once.

diabetes = load_diabetes(scaled=False)
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
folds = list(model_selection.k_fold(len(x), 5))

held_out = torch.cat([validation for _, validation in folds])
assert [len(validation) for _, validation in folds] == [89, 89, 88, 88, 88]
assert held_out.sort().values.equal(torch.arange(442))
for train, validation in folds:
    assert len(train) + len(validation) == 442
    assert not torch.isin(train, validation).any()

fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
for j, (_, validation) in enumerate(folds):
    start, length = int(validation[0]), len(validation)
    ax.barh(j, 442, color="C0", alpha=0.25, height=0.7, linewidth=0)
    ax.barh(j, length, left=start, color="C1", height=0.7, linewidth=0)
    ax.text(start + length / 2, j - 0.42, str(length), ha="center")
ax.set(yticks=range(5), yticklabels=range(1, 6), ylim=(4.5, -0.8), xlim=(0, 442))
ax.set(xlabel="row", ylabel="model", xticks=[0, 89, 178, 266, 354, 442])
ax.set_title("Fitted to the blue rows, measured on the orange rows")
fig.set_label(
    "Five bars of 442 rows, one for each model. Each has a different block held out, "
    "of 89 rows in the first two and of 88 in the others; together the blocks cover "
    "all rows."
)
plt.show()

# %%
# Sorted rows must be shuffled
# ----------------------------
#
# A fold is a block of consecutive rows, so the order of the rows should not matter. Often it does:
# the bundled wines are sorted by class, as stored data often are. Then the first of three folds
# holds out the whole first class and the third fold the whole last class, and their models must
# predict a class that they have never seen.


def fit_wine(
    x: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, linear.LinearParams]:
    """Return mean, standard deviation, and a linear model of the three classes."""
    mean, std = x.mean(0), x.std(0)
    targets = torch.eye(3, dtype=x.dtype)[y]
    return mean, std, linear.ridge((x - mean) / std, targets, penalty=1.0)


def is_wrong(
    model: tuple[torch.Tensor, torch.Tensor, linear.LinearParams],
    x: torch.Tensor,
    y: torch.Tensor,
) -> torch.Tensor:
    """Return 1 for each row that gets the wrong class, and 0 for the others."""
    mean, std, params = model
    return (linear.linear((x - mean) / std, *params).argmax(1) != y).to(x.dtype)


wine = load_wine()
x_wine, y_wine = torch.as_tensor(wine.data), torch.as_tensor(wine.target)
assert (y_wine.diff() >= 0).all()

in_order = model_selection.cross_validate(fit_wine, is_wrong, x_wine, y_wine, k=3)
shuffled = model_selection.cross_validate(
    fit_wine, is_wrong, x_wine, y_wine, k=3, shuffle=True, generator=generator
)
assert in_order.validation_mean > 0.6
assert in_order.validation_errors[0] > 0.95
assert shuffled.validation_mean < 0.05

# %%
# In the original order, the model misclassifies more than six of ten wines; shuffled, fewer than
# one of twenty. :func:`dlcore.linear.softmax_regression` refuses such a fold: its error names the
# missing label.

train, _ = next(model_selection.k_fold(len(x_wine), 3))
try:
    linear.softmax_regression(x_wine[train], y_wine[train], n_classes=3)
except ValueError as error:
    message = str(error)
assert message == "the number of each label must be >= 1, got 0 at index 0"

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


def best_columns(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the 20 columns with the largest correlation with the labels."""
    covariances = (x - x.mean(0)).T @ (y - y.mean())
    return (covariances / x.std(0)).abs().topk(20).indices


def fit_chosen(
    x: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, linear.LinearParams]:
    """Return the best columns and a classifier on them."""
    columns = best_columns(x, y)
    return columns, linear.logistic_regression(x[:, columns], y)


def is_missed(
    model: tuple[torch.Tensor, linear.LinearParams], x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return 1 for each row that gets the wrong label, and 0 for the others."""
    columns, params = model
    return ((linear.linear(x[:, columns], *params) > 0) != (y > 0)).to(x.dtype)


outside, inside = [], []
for _ in range(30):
    noise = torch.randn(100, 1000, generator=generator, dtype=torch.float64)
    coin = torch.randint(2, (100,), generator=generator).double()
    chosen = noise[:, best_columns(noise, coin)]
    for errors, columns in ((outside, chosen), (inside, noise)):
        result = model_selection.cross_validate(
            fit_chosen, is_missed, columns, coin, k=5, shuffle=True, generator=generator
        )
        errors.append(result.validation_mean)
outside, inside = torch.stack(outside), torch.stack(inside)
assert outside.max() < 0.3
assert outside.mean() < 0.2
assert (inside.mean() - 0.5).abs() < 4 * inside.std() / 30**0.5

fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
ink = plt.rcParams["text.color"]
ax.axvline(0.5, color=ink, linewidth=1, linestyle="--")
jitter = torch.linspace(-0.2, 0.2, 30)[torch.randperm(30, generator=generator)]
for row, (errors, color) in enumerate([(outside, "C1"), (inside, "C0")]):
    ax.plot(errors, row + jitter, "o", color=color, alpha=0.7, markeredgewidth=0)
ax.text(0.31, 0, "columns selected\non all rows", color="C1", va="center")
ax.text(0.34, 1, "selected\nin each fold", color="C0", va="center", ha="right")
ax.text(0.505, -0.45, "a coin", va="center")
ax.set(xlim=(0, 0.7), ylim=(1.5, -0.7), yticks=[])
ax.spines["left"].set_visible(False)
ax.set(xlabel="error rate by cross-validation")
ax.set_title("Selecting on all rows finds a signal in pure noise")
fig.set_label(
    "Two rows of 30 points each, the error rate in 30 data sets of pure noise. With "
    "the columns selected on all rows the points lie around 0.18; selected in each "
    "fold, they scatter around 0.5, the error rate of a coin."
)
plt.show()

# %%
# Not every leak matters this much. Standardizing with the mean and the standard deviation of all
# rows is the same mistake, but on the 442 rows of the diabetes data it changes the error by less
# than a thousandth. On 40 rows it understates the error, by some thousandths on average. That is
# little, but standardizing inside the fold costs nothing.


def standardized(x: torch.Tensor) -> torch.Tensor:
    """Return columns of mean 0 and standard deviation 1."""
    return (x - x.mean(0)) / x.std(0)


def fit_plain(x: torch.Tensor, y: torch.Tensor) -> linear.LinearParams:
    """Return a ridge regression."""
    return linear.ridge(x, y, penalty=1.0)


def loss_plain(
    params: linear.LinearParams, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return the squared loss of each row."""
    return losses.squared_loss(linear.linear(x, *params), y)


def fit_scaled(
    x: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, linear.LinearParams]:
    """Return mean, standard deviation, and a ridge regression on the standardized columns."""
    return x.mean(0), x.std(0), fit_plain(standardized(x), y)


def loss_scaled(
    model: tuple[torch.Tensor, torch.Tensor, linear.LinearParams],
    x: torch.Tensor,
    y: torch.Tensor,
) -> torch.Tensor:
    """Return the squared loss of each row, scaled as the training rows were."""
    mean, std, params = model
    return loss_plain(params, (x - mean) / std, y)


def optimism(n: int) -> torch.Tensor:
    """Return the share by which standardizing n rows before the split understates the error."""
    rows = torch.randperm(len(x), generator=generator)[:n]
    leaky = model_selection.cross_validate(
        fit_plain, loss_plain, standardized(x[rows]), y[rows], k=5
    )
    right = model_selection.cross_validate(
        fit_scaled, loss_scaled, x[rows], y[rows], k=5
    )
    return 1 - leaky.validation_mean / right.validation_mean


of_all = torch.stack([optimism(442) for _ in range(20)])
of_few = torch.stack([optimism(40) for _ in range(100)])
assert of_all.abs().max() < 0.001
assert of_few.mean() > 3 * of_few.std() / 100**0.5
assert 0.001 < of_few.mean() < 0.01

# %%
# The standard error of the mean
# ------------------------------
#
# We cross-validate ridge regression on all the diabetes data 20 times, each time with a new
# shuffle. The errors of the folds differ by some hundreds, while their means are almost equal for
# all shuffles. A single fold, that is, a single split into training and test rows, tells little.
# The mean of the folds is more precise, but how precise is it?

repetitions = [
    model_selection.cross_validate(
        fit_scaled, loss_scaled, x, y, k=5, shuffle=True, generator=generator
    )
    for _ in range(20)
]
means = torch.stack([repetition.validation_mean for repetition in repetitions])
within = torch.stack([repetition.validation_errors.std() for repetition in repetitions])
assert within.mean() > 5 * means.std()

fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for place, repetition in enumerate(repetitions, start=1):
    ax.plot([place] * 5, repetition.validation_errors, "o", color="C0", alpha=0.5)
ax.plot(range(1, 21), means, "_", color="C1", markersize=12, markeredgewidth=3)
for axis in (ax.xaxis, ax.yaxis):
    axis.set_major_locator(plt.MaxNLocator(5, integer=True))
ax.set(xlabel="shuffle", ylabel="squared loss, with ½", xlim=(0.3, 20.7))
ax.set_title("The folds (points) scatter, but their means (bars) agree")
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


def cross_validated(
    data: datasets.LinearRegression,
) -> model_selection.CrossValidation:
    """Return the errors of least squares, all five folds at once."""
    return model_selection.ridge_path_cross_validation(
        data.x, data.y, penalties=no_penalty, k=5, shuffle=True, generator=generator
    ).folds


samples = [
    datasets.linear_regression(weight, 0.0, 200, noise_std=1.0, generator=generator)
    for _ in range(300)
]
of_samples = [cross_validated(data) for data in samples]
new_data = torch.cat([result.validation_mean for result in of_samples])
estimates = torch.cat([result.validation_standard_error for result in of_samples])
of_shuffles = [
    torch.cat([cross_validated(data).validation_mean for _ in range(20)]).std()
    for data in samples[:20]
]
assert 3 < new_data.std() / torch.stack(of_shuffles).mean() < 5
assert 0.7 * new_data.std() < estimates.mean() < new_data.std()
assert estimates.std() > 0.2 * estimates.mean()

same_data = torch.cat([cross_validated(samples[0]).validation_mean for _ in samples])
fig, axes = plt.subplots(
    2, 1, figsize=(5.4, 4), sharex=True, sharey=True, layout="constrained"
)
bins = torch.linspace(0.38, 0.74, 46)
axes[0].hist(same_data, bins, color="C1", alpha=0.7)
axes[1].hist(new_data, bins, color="C0", alpha=0.7)
axes[0].text(0.47, 40, "one sample,\nshuffled 300 times", color="C1", ha="center")
axes[1].text(0.385, 18, "300 samples", color="C0")
bar = {"xerr": estimates.mean(), "fmt": "o", "color": ink, "capsize": 4}
axes[1].errorbar(new_data.mean(), 38, **bar)
axes[1].text(0.6, 38, "estimate from one shuffle:\none standard error", va="center")
for ax in axes:
    ax.set(ylabel="count", yticks=[0, 30, 60])
axes[1].set(xlabel="mean error of five folds")
axes[0].set_title("Repeated shuffles understate the variation")
fig.set_label(
    "Two histograms of the mean error of five folds, one above the other. One sample "
    "shuffled 300 times gives a narrow peak. 300 samples give a distribution several "
    "times as wide, about as wide as the bar above it, which extends one estimated "
    "standard error to each side."
)
plt.show()

# %%
# Conclusion
# ----------
#
# :func:`dlcore.model_selection.k_fold` holds out every row once, and shuffles on request, which
# sorted rows need. :func:`dlcore.model_selection.cross_validate` takes the whole fit, including
# everything that it learns from the data, and returns the errors with their mean and standard
# error. Trust the mean up to its standard error, do not trust a single fold, and do not take the
# agreement of shuffles for precision. If you use the errors to choose a model, as
# :func:`dlcore.model_selection.ridge_path_cross_validation` does, the smallest error is too
# optimistic. Then hold out a final test set beforehand with
# :func:`dlcore.model_selection.train_test_split`. The tutorial on :doc:`overfitting
# </auto_gallery/05_generalization/plot_polynomial_degree>` shows why the error on new rows is the
# one that matters.
