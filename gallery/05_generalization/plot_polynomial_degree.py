r"""
Overfitting and the bias-variance tradeoff: how flexible should a model be?
===========================================================================

Polynomials fitted to 200 samples show how bias falls and variance rises with the degree.

In short
--------

A model should be as flexible as the truth and no more: below, bias dominates the risk, and above,
variance does. The empirical risk cannot choose the degree, because it falls with every degree; the
loss on new examples can.

.. math::

    R_\text{emp} = \frac1n \sum_{i=1}^{n} \ell\bigl(\hat f(x_i), y_i\bigr), \qquad
    R = \mathrm{E}\bigl[\ell(\hat f(x), y)\bigr] .

*Prerequisites:* least squares, mean and variance.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation

from dlcore import datasets, linear, losses, risk

# Change these numbers and run the script again.
seed = 0
truth = [-0.5, -3.0, 1.5, 4.0]  # the coefficients of 1, x, x² and x³
noise_std = 0.5
n = 40  # examples in each sample, at least 15
n_samples = 200
claims = {}

# %%
# Underfitting and overfitting
# ----------------------------
#
# We fit a model to the examples we have, and use it on others. The *empirical risk*
# :math:`R_\text{emp}` is its mean loss on the :math:`n` examples that it was fitted to. The *risk*
# :math:`R` is its expected loss on a new example, and only the risk matters.
#
# Here the model is a polynomial, so one number, its degree, controls its flexibility. The data come
# from a cubic with normal noise, so the truth is known. A polynomial of degree :math:`K` is a
# linear model of the powers :math:`x, \dots, x^K`. So least squares fits it, and
# :func:`torch.vmap` fits 200 samples at once. As many new samples measure the risk.

generator = torch.Generator().manual_seed(seed)
coefficients = torch.tensor(truth, dtype=torch.float64)
true_degree = len(truth) - 1
degrees = range(1, 11)


def draw(n):
    """Return n_samples samples of n examples."""
    data = datasets.polynomial_regression(
        coefficients, n_samples * n, noise_std=noise_std, generator=generator
    )
    return data.x.reshape(n_samples, n), data.y.reshape(n_samples, n)


def powers(x, degree):
    """Return x, ..., x^degree in a new last dimension."""
    return x[..., None] ** torch.arange(1, degree + 1)


def true_curve(x):
    """Return the polynomial without noise."""
    return sum(c * x**k for k, c in enumerate(coefficients))


fit = torch.vmap(linear.least_squares)
predict = torch.vmap(linear.linear)
mean = torch.vmap(risk.empirical_risk)

(x, y), (x_new, y_new) = draw(n), draw(1000)
grid = torch.linspace(-1, 1, 201, dtype=torch.float64)
fits, curves, train_risks, test_risks = {}, {}, [], []
for degree in degrees:
    fits[degree] = fit(powers(x, degree), y)
    curves[degree] = predict(powers(grid.expand(n_samples, -1), degree), *fits[degree])
    for risks, inputs, targets in ((train_risks, x, y), (test_risks, x_new, y_new)):
        predictions = predict(powers(inputs, degree), *fits[degree])
        risks.append(mean(losses.squared_loss(predictions, targets)))
train_risks, test_risks = torch.stack(train_risks), torch.stack(test_risks)
means = test_risks.mean(1)
one = min(10, n_samples - 1)  # the sample that the figure shows


# Figure
ink = plt.rcParams["text.color"]
fig, (ax, below) = plt.subplots(2, 1, figsize=(5.4, 5.8), layout="constrained")
ax.plot(x[one], y[one], "o", color=ink, markersize=4)
ax.plot(grid, true_curve(grid), "--", color=ink, linewidth=1, label="truth")
(line,) = ax.plot(grid, grid, "C1", label="fit")
ax.set(xlabel="x", ylabel="y", ylim=(-2.9, 2.9), xticks=[-1, 0, 1])
below.plot(degrees, means, ".-C1", label="risk")
below.plot(degrees, train_risks.mean(1), ".-C0", label="empirical risk")
marker = below.axvline(1, color=ink, linewidth=8, alpha=0.25)
below.set(yscale="log", xlabel="degree", ylabel="squared loss, with ½")
ax.legend(), below.legend()


def move(degree):
    line.set_ydata(curves[degree][one])
    marker.set_xdata([degree, degree])
    ax.set_title(f"degree {degree}: risk {means[degree - 1]:.2f}")


film = FuncAnimation(fig, move, degrees)
fig.set_label(
    "Two panels. Top, forty points scattered around a dashed cubic curve, and the fit of the "
    "degree that the slider selects. The line of degree 1 misses the bends of the curve, the "
    "fit of degree 3 stays close to it, and the fit of degree 10 oscillates and turns "
    "down at the right edge, where the curve goes up. Bottom, on a logarithmic axis, the "
    "empirical risk falls with the degree, and the risk falls from 0.4 to 0.14 at degree 3 "
    "and then rises to above 3 at degree 10."
)
plt.show()

# %%
# Move the degree. The line of degree 1 cannot follow the data: it *underfits*. The cubic follows
# them and is close to the truth. The polynomial of degree 10 comes closer to the points than
# either, but has false bends at the edges: it *overfits*.

from_truth = [
    float((curves[d][one] - true_curve(grid)).square().mean()) for d in degrees
]
claims[
    "On the sample shown, degree 10 is four times as far from the truth as the cubic"
] = from_truth[0] > from_truth[-1] > 4 * from_truth[true_degree - 1]

# %%
# The empirical risk falls with each degree, in every single sample, because a higher degree
# includes all lower ones. The risk falls up to degree 3, and then rises, first slowly and then
# steeply. At degree 10 its mean is more than three times its median, because a few samples have an
# extreme risk.

assert (train_risks.diff(dim=0) <= 1e-9).all(), (
    "the empirical risk falls in each sample"
)
claims["The risk is smallest at the degree of the truth"] = (
    means.argmin() == true_degree - 1
)
claims["Beyond the degree of the truth, the risk rises, first by less than 10 %"] = (
    means[true_degree - 1 :].diff() > 0
).all() and means[true_degree] < 1.1 * means[true_degree - 1]
claims["At degree 10, the mean risk is more than three times the median"] = (
    means[-1] > 3 * test_risks[-1].median()
)

# %%
# Bias and variance
# -----------------
#
# The fits to all 200 samples show two kinds of error. The fits of degree 1 agree with each other,
# but not with the truth. The fits of degree 10 agree with the truth on average, but not with each
# other.

errors = {1: "bias", true_degree: "neither", 10: "variance"}

# Figure
fig, axes = plt.subplots(1, 3, figsize=(5.4, 2.8), sharey=True, layout="constrained")
for ax, (degree, error) in zip(axes, errors.items(), strict=False):
    ax.plot(grid, curves[degree].T, "C0", linewidth=0.5, alpha=0.25)
    ax.plot(grid, true_curve(grid), "--C1")
    ax.set(ylim=(-3, 4), xlabel="x", title=f"degree {degree}:\n{error}")
axes[0].set_ylabel("y")
fig.set_label(
    "Two hundred fits of degree 1, 3 and 10, each panel with the true curve, dashed. "
    "The lines form a narrow band that misses the curve; the cubics lie close around "
    "the curve; the fits of degree 10 follow it in the middle and diverge at both "
    "edges."
)
plt.show()

# %%
# The two errors add up. With :math:`\bar f` the mean of the fits :math:`\hat f`, and with the ½ of
# the squared loss,
#
# .. math::
#
#     R = \underbrace{\tfrac12\sigma^2}_{\text{noise}}
#     + \underbrace{\tfrac12\,\mathrm{E}_x\bigl[(\bar f(x) - f(x))^2\bigr]}_{\text{bias, squared}}
#     + \underbrace{\tfrac12\,\mathrm{E}_x\,\mathrm{E}\bigl[(\hat f(x) - \bar f(x))^2\bigr]}_{\text{variance}} .
#
# Up to degree 6, the sum of the parts agrees within a tenth with the risk measured on new examples,
# which does not use the truth. Beyond degree 6, a few samples dominate.

points = x_new[0]
biases, variances = torch.zeros(2, len(degrees), dtype=torch.float64)
for i, degree in enumerate(degrees):
    values = predict(powers(points.expand(n_samples, -1), degree), *fits[degree])
    middle = values.mean(0)
    biases[i] = losses.squared_loss(middle, true_curve(points)).mean()
    variances[i] = losses.squared_loss(values, middle.expand_as(values)).mean()
sums = noise_std**2 / 2 + biases + variances
claims["Up to degree 6, noise, bias and variance sum to the risk within a tenth"] = (
    torch.allclose(sums[:6], means[:6], rtol=0.1)
)

# %%
# Up to degree 3, each degree reduces the bias. Then no bias is left, and each further degree only
# adds variance. From there on, the bias in the figure is an artefact: a mean of 200 fits has a
# 200th of their variance, the dotted line.

claims[
    "Up to the degree of the truth, the bias falls, and then to less than a hundredth"
] = (biases[:true_degree].diff() < 0).all() and (
    biases[true_degree - 1] < biases[0] / 100
)
claims["From there on, the measured bias is less than three 200ths of the variance"] = (
    biases[true_degree - 1 :] < 3 * variances[true_degree - 1 :] / n_samples
).all()
claims["From there on, each degree adds variance"] = (
    variances[true_degree - 1 :].diff() > 0
).all()

# Figure
fig, ax = plt.subplots(layout="constrained")
ax.plot(degrees, sums, ".-C2", label="sum with the noise")
ax.plot(degrees, variances, ".-C1", label="variance")
ax.plot(degrees, biases, ".-C0", label="bias, squared")
ax.plot(degrees, variances / n_samples, ":C1", label="variance / samples")
ax.axhline(noise_std**2 / 2, color=ink, linestyle="--", label="noise")
ax.set(yscale="log", xlabel="degree", ylabel="part of the risk")
ax.set_title("First the bias falls, then the variance rises")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "Squared bias, variance, and their sum with the noise, against the degree, on a "
    "logarithmic axis. The bias falls from 0.3 to 0.0001 at degree 3, and from there "
    "on stays close to a dotted line, a 200th of the variance. The variance is "
    "smallest at degree 3, 0.014, and rises to above 3 at degree 10. The sum is "
    "smallest at degree 3, slightly above the noise."
)
plt.show()

# %%
# Conclusion
# ----------
#
# A model should be as flexible as the truth, and no more. A less flexible model is wrong in the
# same way on every sample, and a more flexible one in a different way on each. The empirical risk,
# :func:`dlcore.risk.empirical_risk`, reveals the first error but not the second, so it cannot
# choose the degree. The loss on examples that were not used for the fit can. Here we drew new
# examples with :func:`dlcore.datasets.polynomial_regression`; real data must be held out from the
# sample, as in :doc:`K-fold cross-validation
# </auto_gallery/05_generalization/plot_k_fold_done_right>`. Many parameters alone do not make a
# model overfit: :doc:`/auto_gallery/05_generalization/plot_double_descent` shows what else it takes.

# %%
# Exercises
# ---------
#
# **1.** Choose the degree from one sample of 40: fit to 30 of its examples and measure the loss on
# the other 10. Which degree do most of the 200 samples choose?

# Solution
cut = 3 * n // 4
held_out = []
for degree in degrees:
    params = fit(powers(x[:, :cut], degree), y[:, :cut])
    predictions = predict(powers(x[:, cut:], degree), *params)
    held_out.append(mean(losses.squared_loss(predictions, y[:, cut:])))
chosen = torch.stack(held_out).argmin(0) + 1
claims["Most samples choose the degree of the truth"] = chosen.mode()[0] == true_degree
claims["Hardly any sample chooses a lower degree"] = (
    chosen < true_degree
).double().mean() < 0.1

# %%
# **2.** Use the mean of all 200 predictions of degree 10. Can its loss be larger than the mean loss
# of the 200 fits?

# Solution
predictions = predict(powers(points.expand(n_samples, -1), 10), *fits[10])
targets = y_new[0].expand_as(predictions)
of_mean = losses.squared_loss(predictions.mean(0), y_new[0]).mean()
of_each = losses.squared_loss(predictions, targets).mean()
assert of_mean <= of_each, "the squared loss is convex: averaging never hurts"
claims["The mean of the fits removes most of the risk"] = of_mean < of_each / 5

# %%
# **3.** The empirical risk of the cubic is below the noise, :math:`\sigma^2/2`. How much lower is it,
# as a share of the noise? Guess a formula with :math:`p` and :math:`n`.

# Solution
below_noise = 1 - train_risks[true_degree - 1] / (noise_std**2 / 2)
standard_error = below_noise.std() / n_samples**0.5
claims["The empirical risk of the true degree is p/n below the noise"] = (
    abs(below_noise.mean() - (true_degree + 1) / n) < 4 * standard_error
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
