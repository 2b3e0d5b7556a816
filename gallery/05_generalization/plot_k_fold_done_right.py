r"""
What may a fold know?
=====================

To know how a model does on new data, some data must stay new. *K-fold cross-validation* lets every
row be new once: it deals the rows into :math:`k` folds :math:`\mathcal{V}_1, \dots, \mathcal{V}_k`,
and fits :math:`k` models, each without one fold, on which it is then measured,

.. math::

    e_j = \frac{1}{|\mathcal{V}_j|} \sum_{i \in \mathcal{V}_j} \ell\bigl(\hat f_j, \mathbf{x}_i, y_i\bigr), \qquad
    \bar e = \frac1k \sum_{j=1}^{k} e_j .

That is simple to write, and there are four ways to get it wrong: rows are lost, their order speaks,
the model has seen the fold after all, or too much is read into the spread of the :math:`e_j`. What
does each of them cost?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes, load_wine

from dlcore import datasets, linear, losses, model_selection

generator = torch.Generator().manual_seed(0)

# %%
# No row is lost
# --------------
#
# The diabetes data have 442 rows, and :math:`442 = 5\cdot 88 + 2`. Code that cuts folds of
# ``n // k`` rows forgets the last two. The two belong to the first two folds, one each, and
# then every row is held out exactly once.

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
ax.set_title("Fitted to blue rows, measured on orange ones")
fig.set_label(
    "Five bars of 442 rows, one for each model. In each, another stretch is held out, "
    "of 89 rows in the first two and of 88 in the others; together they cover all "
    "rows."
)
plt.show()

# %%
# The order says nothing
# ----------------------
#
# A fold is a run of rows, so it should not matter which rows come together. Often it does:
# the bundled wines are sorted by their class, as data on disk tend to be. Then the first of
# three folds holds out the whole first class, the third the whole last one, and their
# models are asked for a class that they have never seen.


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
# In order, the model seems to take more than six of ten wines for another; shuffled, it is
# fewer than one of twenty. :func:`dlcore.linear.softmax_regression` would not even have
# begun: it says which label is missing.

train, _ = next(model_selection.k_fold(len(x_wine), 3))
try:
    linear.softmax_regression(x_wine[train], y_wine[train], n_classes=3)
except ValueError as error:
    message = str(error)
assert message == "the number of each label must be >= 1, got 0 at index 0"

# %%
# The fold has not been seen
# --------------------------
#
# Whatever is learned from the data belongs to the fit, the choice of columns first of all.
# To see what happens otherwise, take data with nothing to find: 100 rows of 1000 columns of
# noise, and labels from a coin. Choose the 20 columns that go best with the labels, and
# cross-validate a classifier on them. It seems to be right four times in five. But the
# columns were chosen on all rows, the held-out ones included. Chosen anew in each fold, on
# its training rows alone, they are worth what they are: a coin.


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
ax.text(0.31, 0, "columns chosen\non all rows", color="C1", va="center")
ax.text(0.34, 1, "chosen\nin each fold", color="C0", va="center", ha="right")
ax.text(0.505, -0.45, "a coin", va="center")
ax.set(xlim=(0, 0.7), ylim=(1.5, -0.7), yticks=[])
ax.spines["left"].set_visible(False)
ax.set(xlabel="share of wrong answers, by cross-validation")
ax.set_title("Skill at noise, if the choice has seen the fold")
fig.set_label(
    "Two rows of 30 points each, the share of wrong answers in 30 sets of pure noise. "
    "With the columns chosen on all rows the points lie about 0.18; chosen in each "
    "fold, they scatter about 0.5, where a coin is."
)
plt.show()

# %%
# Not every leak is a flood. Standardizing with the mean and the standard deviation of all
# rows is the same mistake, and on the 442 rows of the diabetes data it changes the error by
# less than a thousandth, now up and now down. On 40 of them it flatters, by some
# thousandths on average. That is little; but inside the fold it costs nothing to be right.


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
    """Return mean, standard deviation, and a ridge regression on what they standardize."""
    return x.mean(0), x.std(0), fit_plain(standardized(x), y)


def loss_scaled(
    model: tuple[torch.Tensor, torch.Tensor, linear.LinearParams],
    x: torch.Tensor,
    y: torch.Tensor,
) -> torch.Tensor:
    """Return the squared loss of each row, scaled as the training rows were."""
    mean, std, params = model
    return loss_plain(params, (x - mean) / std, y)


def flattery(n: int) -> torch.Tensor:
    """Return by which share the error of n rows is too small if the scale has seen the folds."""
    rows = torch.randperm(len(x), generator=generator)[:n]
    leaky = model_selection.cross_validate(
        fit_plain, loss_plain, standardized(x[rows]), y[rows], k=5
    )
    right = model_selection.cross_validate(
        fit_scaled, loss_scaled, x[rows], y[rows], k=5
    )
    return 1 - leaky.validation_mean / right.validation_mean


of_all = torch.stack([flattery(442) for _ in range(20)])
of_few = torch.stack([flattery(40) for _ in range(100)])
assert of_all.abs().max() < 0.001
assert of_few.mean() > 3 * of_few.std() / 100**0.5
assert 0.001 < of_few.mean() < 0.01

# %%
# What the spread says
# --------------------
#
# Ridge regression on all the diabetes data, 20 times, each time dealt anew: the folds of
# one deal differ by some hundreds, while the means of the deals all but agree. A single
# fold, that is a single split into training and test, tells little. Their mean tells much;
# but how much?

deals = [
    model_selection.cross_validate(
        fit_scaled, loss_scaled, x, y, k=5, shuffle=True, generator=generator
    )
    for _ in range(20)
]
means = torch.stack([deal.validation_mean for deal in deals])
within = torch.stack([deal.validation_errors.std() for deal in deals])
assert within.mean() > 5 * means.std()

fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for place, deal in enumerate(deals, start=1):
    ax.plot([place] * 5, deal.validation_errors, "o", color="C0", alpha=0.5)
ax.plot(range(1, 21), means, "_", color="C1", markersize=12, markeredgewidth=3)
for axis in (ax.xaxis, ax.yaxis):
    axis.set_major_locator(plt.MaxNLocator(5, integer=True))
ax.set(xlabel="deal", ylabel="squared loss, with ½", xlim=(0.3, 20.7))
ax.set_title("The folds (points) scatter, their means (bars) agree")
fig.set_label(
    "Twenty columns, one for each deal, each with five points, the errors of the "
    "folds, which scatter between about 1100 and 2000, and a bar at their mean, close "
    "to 1500 in every column."
)
plt.show()

# %%
# The agreement of the means is deceptive: all deals share the same 442 rows. What one wants
# to know is how far the mean would move with *other* data. That can be seen where data can
# be drawn at will: 300 samples of 200 rows of a linear model, one deal each, and 20 of the
# samples dealt 20 times each. With other data the means scatter about four times as far.
# The standard error that the folds of *one* deal offer, :math:`s/\sqrt{k}`, does not know
# of the other samples, and comes close. It is a little too small on average: the standard
# deviation of five numbers is, and the folds share most of their training rows. From five
# numbers it is a rough guide, and of its square no unbiased one exists (Bengio and
# Grandvalet, 2004).

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
guesses = torch.cat([result.validation_standard_error for result in of_samples])
of_deals = [
    torch.cat([cross_validated(data).validation_mean for _ in range(20)]).std()
    for data in samples[:20]
]
assert 3 < new_data.std() / torch.stack(of_deals).mean() < 5
assert 0.7 * new_data.std() < guesses.mean() < new_data.std()
assert guesses.std() > 0.2 * guesses.mean()

same_data = torch.cat([cross_validated(samples[0]).validation_mean for _ in samples])
fig, axes = plt.subplots(
    2, 1, figsize=(5.4, 4), sharex=True, sharey=True, layout="constrained"
)
bins = torch.linspace(0.38, 0.74, 46)
axes[0].hist(same_data, bins, color="C1", alpha=0.7)
axes[1].hist(new_data, bins, color="C0", alpha=0.7)
axes[0].text(0.47, 40, "one sample,\ndealt 300 times", color="C1", ha="center")
axes[1].text(0.385, 18, "300 samples", color="C0")
bar = {"xerr": guesses.mean(), "fmt": "o", "color": ink, "capsize": 4}
axes[1].errorbar(new_data.mean(), 38, **bar)
axes[1].text(0.6, 38, "what one deal guesses:\none standard error", va="center")
for ax in axes:
    ax.set(ylabel="how often", yticks=[0, 30, 60])
axes[1].set(xlabel="mean error of five folds")
axes[0].set_title("Dealing anew shows but a part of the spread")
fig.set_label(
    "Two histograms of the mean error of five folds, one above the other. One sample "
    "dealt 300 times makes a narrow peak. 300 samples make a hill several times as "
    "wide, about as wide as the bar above it, one guessed standard error to each side."
)
plt.show()

# %%
# Conclusion
# ----------
#
# :func:`dlcore.model_selection.k_fold` deals every row once, and shuffles when asked, as
# rows need it that come sorted. :func:`dlcore.model_selection.cross_validate` takes the
# whole fit, with all that it learns from the data, and gives the errors back with their
# mean and standard error. Trust the mean as far as the standard error; do not trust one
# fold; and do not take agreement between deals for certainty. If the errors are used to
# choose, as :func:`dlcore.model_selection.ridge_path_cross_validation` does, the smallest
# of them has been seen, too, and a last test on rows that nobody has touched needs
# :func:`dlcore.model_selection.train_test_split` beforehand. Why the error on new rows is
# the one to look at, is measured in
# :doc:`/auto_gallery/05_generalization/plot_polynomial_degree`.
