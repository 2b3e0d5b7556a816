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

*Prerequisites:* least squares, mean and variance. *Reading time:* 12 minutes.

Risk and empirical risk
-----------------------

We fit a model to the examples we have, and use it on others. The *empirical risk*
:math:`R_\text{emp}` is its mean loss on the :math:`n` examples that it was fitted to; the *risk*
:math:`R` is its expected loss on a new example, and only the risk matters. Here the model is a
polynomial, so a single number, its degree, controls its flexibility. The data come from a cubic
with normal noise, so the truth is known. We draw 200 samples, to see not only what one fit does,
but how fits vary. Which degree should you choose?
"""

import matplotlib.pyplot as plt
import torch

from dlcore import datasets, linear, losses, norms, risk

generator = torch.Generator().manual_seed(0)

# %%
# Underfitting and overfitting
# ----------------------------
#
# A polynomial of degree :math:`K` is a linear model of the powers :math:`x, \dots, x^K`. So least
# squares fits it, and :func:`torch.vmap` fits all 200 samples at once.

truth = torch.tensor([-0.5, -3.0, 1.5, 4.0], dtype=torch.float64)
noise_std = 0.5
n_samples, degrees = 200, range(1, 11)


def draw(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 200 samples of n examples."""
    data = datasets.polynomial_regression(
        truth, n_samples * n, noise_std=noise_std, generator=generator
    )
    return data.x.reshape(n_samples, n), data.y.reshape(n_samples, n)


def powers(x: torch.Tensor, degree: int) -> torch.Tensor:
    """Return x, ..., x^degree in a new last dimension."""
    return x[..., None] ** torch.arange(1, degree + 1)


fit = torch.vmap(linear.least_squares)
predict = torch.vmap(linear.linear)

x, y = draw(40)
fits = {degree: fit(powers(x, degree), y) for degree in degrees}

# %%
# The line cannot follow the data: it *underfits*. The cubic follows them and is close to the truth,
# the dashed curve. The polynomial of degree 10 comes closer to the points than either, but has
# false bends at the edges: it *overfits*. It has the smallest loss on the sample, but its mean
# squared distance from the truth is more than four times that of the cubic.

grid = torch.linspace(-1, 1, 201, dtype=torch.float64)
curve = sum(c * grid**k for k, c in enumerate(truth))
curves = {
    degree: predict(powers(grid.expand(n_samples, -1), degree), *params)
    for degree, params in fits.items()
}
train_losses = {
    degree: losses.squared_loss(predict(powers(x, degree), *params), y)
    for degree, params in fits.items()
}

one = 10
on_sample, from_truth = (
    [float(values[degree][one].mean()) for degree in (1, 3, 10)]
    for values in (
        train_losses,
        {degree: (of_fits - curve) ** 2 for degree, of_fits in curves.items()},
    )
)
assert on_sample[2] < on_sample[1] < on_sample[0]
assert 4 * from_truth[1] < from_truth[2] < from_truth[0]

ink = plt.rcParams["text.color"]
colors = {1: "C0", 3: "C1", 10: "C2"}
fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
ax.plot(x[one], y[one], "o", color=ink, markersize=4)
ax.plot(grid, curve, color=ink, linewidth=1, linestyle="--")
for degree, color in colors.items():
    ax.plot(grid, curves[degree][one], color=color)
ax.text(0.25, -0.1, "degree 1", color="C0")
ax.text(0.94, 2.3, "degree 3", color="C1", ha="right")
ax.text(-0.45, 1.25, "degree 10", color="C2")
ax.set(xlabel="x", ylabel="y", ylim=(-2.6, 2.6))
ax.set_title("Three fits to one sample of 40 points")
fig.set_label(
    "Forty points scattered around a dashed cubic curve, and three fits. The line of "
    "degree 1 misses the curve's bends, the fit of degree 3 stays close to the curve, "
    "and the one of degree 10 oscillates around it and turns down at the right edge, "
    "where the curve goes up."
)
plt.show()

# %%
# Risk and empirical risk against the degree
# ------------------------------------------
#
# Now we use all 200 samples, and 200 new ones to test on. The empirical risk falls with each
# degree, in every single sample, because a higher degree includes all lower ones. The risk falls up
# to degree 3, and then rises, first slowly and then steeply. At degree 10 its mean is more than
# three times its median, because a few samples have an extreme risk.

x_new, y_new = draw(1000)
test_losses = {
    degree: losses.squared_loss(predict(powers(x_new, degree), *params), y_new)
    for degree, params in fits.items()
}
mean = torch.vmap(risk.empirical_risk)
train_risks = torch.stack([mean(train_losses[degree]) for degree in degrees])
test_risks = torch.stack([mean(test_losses[degree]) for degree in degrees])
assert (train_risks[1:] <= train_risks[:-1] + 1e-12).all()
means = test_risks.mean(1)
assert means.argmin() == degrees.index(3)
assert (means[3:] > means[2:-1]).all()
assert means[3] < 1.1 * means[2]
assert means[-1] > 2 * means[-2]
assert means[-1] > 3 * test_risks[-1].median()

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for risks, color in [(test_risks, "C1"), (train_risks, "C0")]:
    low, high = risks.quantile(torch.tensor([0.1, 0.9], dtype=risks.dtype), dim=1)
    ax.fill_between(degrees, low, high, color=color, alpha=0.2, linewidth=0)
    ax.plot(degrees, risks.mean(1), ".-", color=color)
ax.axhline(noise_std**2 / 2, color=ink, linewidth=1, linestyle="--")
ax.text(7.2, 0.5, "risk", color="C1", ha="right")
ax.text(8, 0.06, "empirical risk", color="C0", ha="center", va="top")
ax.text(1, 0.12, "noise", va="top")
ax.set(yscale="log", ylim=(0.04, 4), xticks=degrees, xlabel="degree")
ax.set_yticks([0.1, 1], ["0.1", "1"])
ax.set(
    ylabel="squared loss, with ½",
    title="The risk rises again, the empirical risk does not",
)
fig.set_label(
    "Mean and middle 80 percent of the risk and the empirical risk over 200 samples, "
    "against the degree, on a logarithmic axis. The empirical risk falls throughout, "
    "from 0.4 to just below the noise. The risk falls from 0.4 to 0.14 at degree 3 "
    "and then rises, its mean to above 3 at degree 10."
)
plt.show()

# %%
# Bias and variance
# -----------------
#
# The fits to all 200 samples show two kinds of error. The fits of degree 1 agree with each other,
# but not with the truth. The fits of degree 10 agree with the truth on average, but not with each
# other.

errors = {1: "bias", 3: "neither", 10: "variance"}
fig, axes = plt.subplots(1, 3, figsize=(5.4, 2.8), sharey=True, layout="constrained")
for ax, (degree, color) in zip(axes, colors.items(), strict=True):
    ax.plot(grid, curves[degree].T, color=color, linewidth=0.5, alpha=0.25)
    ax.plot(grid, curve, color=ink, linewidth=1.5, linestyle="--")
    ax.set(ylim=(-3, 4), xticks=[-1, 0, 1])
    ax.set_title(f"degree {degree}:\n{errors[degree]}")
axes[0].set_ylabel("y")
axes[1].set_xlabel("x")
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
target = sum(c * points**k for k, c in enumerate(truth))
parts = {}
for degree, params in fits.items():
    values = predict(powers(points.expand(n_samples, -1), degree), *params)
    bias = losses.squared_loss(values.mean(0), target).mean()
    variance = losses.squared_loss(values, values.mean(0).expand_as(values)).mean()
    parts[degree] = (float(bias), float(variance))
biases, variances = torch.tensor(list(parts.values()), dtype=torch.float64).T
sums = noise_std**2 / 2 + biases + variances
assert torch.allclose(sums[:6], means[:6], rtol=0.1)

# %%
# Up to degree 3, each degree reduces the bias. Then no bias is left, and each further degree only
# adds variance. From there on, the bias in the figure is an artefact: a mean of 200 fits has a
# 200th of their variance, the dotted line.

assert biases[0] > biases[1] > 100 * biases[2]
assert (biases[2:] < 3 * variances[2:] / n_samples).all()
assert (variances[3:] > variances[2:-1]).all()

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for values, color in [(biases, "C0"), (variances, "C1"), (sums, "C2")]:
    ax.plot(degrees, values, ".-", color=color)
ax.plot(degrees, variances / n_samples, color="C1", linewidth=1, linestyle=":")
ax.axhline(noise_std**2 / 2, color=ink, linewidth=1, linestyle="--")
ax.text(2.8, 0.0015, "bias, squared", color="C0")
ax.text(5.2, 0.025, "variance", color="C1", va="top")
ax.text(7.4, 0.0004, "variance / 200", color="C1", va="top")
ax.text(6, 0.25, "their sum with the noise", color="C2", ha="right", va="bottom")
ax.text(1, 0.115, "noise", va="top")
ax.set(yscale="log", xticks=degrees, xlabel="degree")
ax.set(ylabel="part of the risk", title="First the bias falls, then the variance rises")
fig.set_label(
    "Squared bias, variance, and their sum with the noise, against the degree, on a "
    "logarithmic axis. The bias falls from 0.3 to 0.0001 at degree 3, and from there "
    "on stays close to a dotted line, a 200th of the variance. The variance is "
    "smallest at degree 3, 0.014, and rises to above 3 at degree 10. The sum is "
    "smallest at degree 3, slightly above the noise."
)
plt.show()

# %%
# More examples, fewer parameters
# -------------------------------
#
# Many parameters alone do not make a model overfit. The rule of thumb names three causes: many
# parameters, few examples, and large parameters. One formula contains the first two. If a linear
# model of :math:`p` parameters can express the truth, and the number :math:`n` of examples is
# large, then
#
# .. math::
#
#     \mathrm{E}[R - R_\text{emp}] \approx \frac{p\,\sigma^2}{n} .
#
# Half of this is the optimism of the training error, and half is the excess risk of the fit. So
# degree 9, with its 10 parameters, needs 2.5 times as many examples as degree 3 for the same gap.
# The number :math:`n = 40` is not large enough for degree 9: its gap is far above the formula, and
# a few samples dominate it.

sizes = [40, 80, 160, 320, 640]
gaps = {3: [], 9: []}
for n in sizes:
    x, y, x_new, y_new = (
        torch.cat(draws)
        for draws in zip(*(draw(n) + draw(n) for _ in range(5)), strict=True)
    )
    for degree, of_sizes in gaps.items():
        params = fit(powers(x, degree), y)
        train, test = (
            losses.squared_loss(predict(powers(inputs, degree), *params), targets)
            for inputs, targets in ((x, y), (x_new, y_new))
        )
        of_sizes.append(torch.vmap(risk.generalization_gap)(train, test))

formula = {d: (d + 1) * noise_std**2 / torch.tensor(sizes) for d in gaps}
mean_gaps = {d: torch.stack(of_sizes).mean(1) for d, of_sizes in gaps.items()}
spread = {
    d: torch.stack(of_sizes).std(1) / len(x) ** 0.5 for d, of_sizes in gaps.items()
}
for degree, gap in mean_gaps.items():
    error = (gap - formula[degree]).abs()
    assert (error[3:] < 4 * spread[degree][3:]).all()
    assert (gap > 0).all()
assert mean_gaps[9][0] > 5 * formula[9][0]

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for degree, color in [(3, "C1"), (9, "C2")]:
    ax.plot(sizes, formula[degree], color=color, linewidth=1, linestyle="--")
    bars = {"yerr": 2 * spread[degree], "fmt": "o", "color": color}
    ax.errorbar(sizes, mean_gaps[degree], **bars)
ax.annotate("degree 9", (80, mean_gaps[9][1]), (8, 4), textcoords="offset points")
ax.annotate("degree 3", (80, mean_gaps[3][1]), (-8, -4), textcoords="offset points")
ax.texts[0].set(color="C2")
ax.texts[1].set(color="C1", ha="right", va="top")
ax.set(xscale="log", yscale="log", xlabel="examples", ylabel="risk − empirical risk")
ax.set_xticks(sizes, [str(n) for n in sizes])
ax.minorticks_off()
ax.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
ax.set_title("The gap is proportional to parameters per example")
fig.set_label(
    "The mean gap over 1000 samples against the number of examples, from 40 to 640, "
    "both logarithmic, for degree 3 and 9, each with the line of the formula. The "
    "points of degree 3 lie on their line. Those of degree 9 reach theirs at 320 "
    "examples; at 40 they are far above it."
)
plt.show()

# %%
# The third cause suggests a remedy. The fits of degree 10 that vary most have large coefficients,
# so you can keep the degree and penalize the coefficients instead. A small ridge penalty reduces
# their norm from about 300 to about 4, and the risk from above 1 to nearly that of the cubic.

x, y = draw(40)
x_new, y_new = draw(1000)
sizes_of_weights, risks = [], []
for penalty in (0.0, 0.05):
    penalized = torch.vmap(lambda x, y, p=penalty: linear.ridge(x, y, penalty=p))
    params = penalized(powers(x, 10), y)
    sizes_of_weights.append(norms.l2_norm(params.weight, dim=1).median())
    predictions = predict(powers(x_new, 10), *params)
    risks.append(losses.squared_loss(predictions, y_new).mean())
assert sizes_of_weights[0] > 200
assert sizes_of_weights[1] < 10
assert risks[0] > 1
assert risks[1] < 1.25 * means[degrees.index(3)]

# %%
# Conclusion
# ----------
#
# A model should be as flexible as the truth, and no more. A less flexible model is wrong in the
# same way on every sample, and a more flexible one in a different way on each. The empirical risk,
# :func:`dlcore.risk.empirical_risk`, reveals the first error but not the second, so it cannot
# choose the degree. The loss on examples that were not used for the fit can;
# :func:`dlcore.risk.generalization_gap` is the difference of the two. Here we drew new examples
# with :func:`dlcore.datasets.polynomial_regression`; real data must be held out from the sample, as
# in :doc:`K-fold cross-validation </auto_gallery/05_generalization/plot_k_fold_done_right>`. If
# there are too few examples for a model, :func:`dlcore.linear.ridge` makes it less flexible at the
# same degree, by :doc:`weight decay </auto_gallery/06_regularization/plot_weight_decay>`.
