r"""
Double descent: can a model have too many parameters?
=====================================================

The risk of a model peaks where it has as many parameters as there are examples, and falls again
beyond.

In short
--------

With more parameters per example, the gap between risk and empirical risk grows, and the risk peaks
where the model can just fit every example. Beyond this point it falls again, because the fit with
the smallest weights becomes smoother; a penalty on the weights removes the peak altogether.

.. math::

    \mathrm{E}[R - R_\text{emp}] \approx \frac{p\,\sigma^2}{n}
    \qquad (p \ll n\text{ parameters, noise variance } \sigma^2) .

*Prerequisites:* :doc:`overfitting </auto_gallery/05_generalization/plot_polynomial_degree>`.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation

from dlcore import datasets, linear, losses, norms, risk

# Change these numbers and run the script again.
seed = 0
truth = [-0.5, -3.0, 1.5, 4.0]  # the coefficients of 1, x, x² and x³
noise_std = 0.5
n_samples = 200
penalty = 0.05
few = 20  # examples in each sample of the last section
claims = {}

# %%
# More examples, fewer parameters
# -------------------------------
#
# A rule of thumb names three causes of overfitting: many parameters, few examples, and large
# parameters. The formula above contains the first two. It holds if a linear model of :math:`p`
# parameters can express the truth, and the number :math:`n` of examples is large. Half of the gap is
# the *optimism* of the empirical risk, the amount by which it is below the loss of the truth on the
# same examples. The other half is the *excess risk* of the fit, the amount by which its risk is above
# that of the truth.
#
# We fit polynomials to samples of a cubic with normal noise. By the formula, degree 9, which has 10
# parameters, needs 2.5 times as many examples for the same gap as degree 3, which has 4. With 320 or
# 640 examples, the formula is right for both degrees. With 40, it is far too small for degree 9,
# because a few samples dominate the mean: one sample in twenty contributes more than half of it.

generator = torch.Generator().manual_seed(seed)
coefficients = torch.tensor(truth, dtype=torch.float64)


def draw(n, n_samples=n_samples):
    """Return samples of n examples each."""
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
sizes = [40, 80, 160, 320, 640]
gaps, errors, optimisms = torch.zeros(3, 2, len(sizes), dtype=torch.float64)
for i, size in enumerate(sizes):
    inputs, targets = draw(size, 4 * n_samples)
    new_inputs, new_targets = draw(size, 4 * n_samples)
    for j, degree in enumerate((3, 9)):
        params = fit(powers(inputs, degree), targets)
        train, test = (
            losses.squared_loss(predict(powers(x, degree), *params), y)
            for x, y in ((inputs, targets), (new_inputs, new_targets))
        )
        gap = torch.vmap(risk.generalization_gap)(train, test)
        gaps[j, i], errors[j, i] = gap.mean(), gap.std() / len(gap) ** 0.5
        optimism = (losses.squared_loss(true_curve(inputs), targets) - train).mean(1)
        optimisms[j, i] = optimism.mean()
        if degree >= len(truth) - 1:
            least = -1e-9 * targets.square().mean(1)
            assert (optimism >= least).all(), "no curve of this degree fits better"
        if (size, degree) == (40, 9):
            share = gap.topk(len(gap) // 20).values.sum() / gap.sum()
formula = torch.tensor([[4], [10]]) * noise_std**2 / torch.tensor(sizes)
assert torch.allclose(formula[1], 2.5 * formula[0]), "the gap is proportional to p / n"

claims["With 320 or 640 examples, the formula is right for both degrees"] = (
    (gaps - formula).abs()[:, 3:] < 4 * errors[:, 3:]
).all()
claims["With 320 or 640 examples, half of the gap is optimism"] = (
    (2 * optimisms / gaps - 1).abs()[:, 3:] < 0.1
).all()
claims["Each mean gap is positive"] = (gaps > 0).all()
claims["With 40 examples, the gap of degree 9 is five times the formula"] = (
    gaps[1, 0] > 5 * formula[1, 0]
)
claims["There, one sample in twenty contributes more than half of the gap"] = (
    share > 0.5
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for j, name in enumerate(("degree 3", "degree 9")):
    ax.errorbar(sizes, gaps[j], 2 * errors[j], fmt=f"oC{j}", label=name)
    ax.plot(sizes, formula[j], f"--C{j}", linewidth=1, label="its formula")
ax.set(xscale="log", yscale="log", ylabel="risk − empirical risk")
ax.set_xticks(sizes, sizes, minor=False)
ax.set(xlabel="examples", title="The gap is proportional to p / n")
ax.minorticks_off(), ax.legend(ncols=2)
fig.set_label(
    "The mean gap over 800 samples against the number of examples, from 40 to 640, "
    "both logarithmic, for degree 3 and 9, each with the line of the formula. The "
    "points of degree 3 lie on their line. Those of degree 9 reach theirs at 320 "
    "examples; at 40 they are far above it."
)
plt.show()

# %%
# A penalty instead of a lower degree
# -----------------------------------
#
# The third cause suggests a remedy. With 40 examples, the fits of degree 10 oscillate, because their
# coefficients are large. So instead of lowering the degree, you can penalize the coefficients. A
# ridge penalty of :math:`\lambda = 0.05` reduces the median of their norms from about 270 to about 4,
# and the mean risk from above 1 to nearly that of the cubic. Move :math:`\lambda` in the figure: with
# a large penalty, the fit is nearly constant, so it underfits.

(x, y), (x_new, y_new) = draw(40), draw(1000)
grid = torch.linspace(-1, 1, 201, dtype=torch.float64)
one = min(10, n_samples - 1)  # the sample that the figure shows


def fit_ridge(penalty, degree=10):
    """Return the norms of the weights, the mean risk, and the curve of the sample shown."""
    ridge = torch.vmap(lambda x, y: linear.ridge(x, y, penalty=penalty))
    params = ridge(powers(x, degree), y)
    predictions = predict(powers(x_new, degree), *params)
    shown = powers(grid, degree) @ params.weight[one] + params.bias[one]
    sizes = norms.l2_norm(params.weight, dim=1)
    return sizes, losses.squared_loss(predictions, y_new).mean(), shown


penalties = [0.0, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0]
ridges = {strength: fit_ridge(strength) for strength in [*penalties, penalty]}
_, risk_of_truth, _ = fit_ridge(0.0, degree=len(truth) - 1)
bare, small, large = (ridges[strength] for strength in (0.0, penalty, 100.0))
norms_by_penalty = torch.stack([ridges[strength][0] for strength in sorted(ridges)])
ratios = norms_by_penalty[1:] / norms_by_penalty[:-1]
assert (ratios < 1 + 1e-9).all(), "a larger penalty never makes the weights longer"
claims["The penalty reduces the norm of the coefficients from over 200 to below 10"] = (
    bare[0].median() > 200 and small[0].median() < 10
)
claims[
    "The penalty reduces the risk from above 1 to nearly that of the true degree"
] = small[1] < 1.25 * risk_of_truth < 1 < bare[1]
claims["A penalty of 100 has more than twice the risk"] = large[1] > 2 * small[1]

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.7), layout="constrained")
ink = plt.rcParams["text.color"]
ax.plot(x[one], y[one], "o", color=ink, markersize=4)
ax.plot(grid, true_curve(grid), "--", color=ink, linewidth=1, label="truth")
for strength in (0.0, penalty):
    ax.plot(grid, ridges[strength][2], linewidth=1, label=f"λ = {strength:g}")
(moving,) = ax.plot(grid, grid, "C2", linewidth=3)
ax.set(xlabel="x", ylabel="y", ylim=(-2.9, 2.9), xticks=[-1, 0, 1])
ax.legend()


def move(strength):
    moving.set_ydata(ridges[strength][2])
    ax.set_title(f"λ = {strength:g}: risk {ridges[strength][1]:.2f}")


film = FuncAnimation(fig, move, sorted(ridges))
fig.set_label(
    "Forty points around a dashed cubic, with fits of degree 10. Without a penalty the fit "
    "oscillates. With the penalty 0.05 it is close to the cubic. The slider moves a third "
    "fit from the first to the second and on to a nearly horizontal line."
)
plt.show()

# %%
# More parameters than examples
# -----------------------------
#
# Large neural networks have more parameters than examples, and yet they generalize. The risk rises
# only until the model can fit every example exactly, which happens when the number of parameters is
# about :math:`n`. Beyond this point, many models fit exactly. A tiny penalty, here :math:`10^{-8}`,
# selects the one with the smallest weights. The more parameters there are, the smaller these weights
# become, and the risk *falls* again. To see this, we fit samples of 20 examples with up to 400
# Legendre polynomials, which are orthogonal to each other. They are scaled to the mean square
# :math:`1/k`, where :math:`k` is the degree. So a polynomial of high degree needs a large weight, and
# small weights mean a smooth fit. The peak is not inevitable: the penalty of the last section
# removes it.

numbers = [1, 2, 3, 4, 6, 8, 10, 14, 19, 25, 35, 50, 70, 100, 200, 400]
(few_x, few_y), points, targets = draw(few, 50), x_new[0], y_new[0]


def legendre(x):
    """Return the scaled Legendre polynomials of x, in a new last dimension."""
    values = [torch.ones_like(x), x]
    for k in range(1, numbers[-1]):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
    k = torch.arange(1, len(values))
    return torch.stack(values[1:], dim=-1) * ((2 * k + 1) / k).sqrt()


k = torch.arange(1, numbers[-1] + 1, dtype=torch.float64)
jacobi = torch.diag(k / (4 * k**2 - 1).sqrt(), 1)  # of Gauss's quadrature
nodes, vectors = torch.linalg.eigh(jacobi + jacobi.T)
products = (vectors[0].square() * legendre(nodes).T) @ legendre(nodes)
assert torch.allclose(products, torch.diag(1 / k)), "orthogonal, with mean square 1 / k"
features, new_features = legendre(few_x), legendre(points)
risks, on_sample, lengths = torch.zeros(3, 2, len(numbers), dtype=torch.float64)
for i, strength in enumerate((1e-8, max(1e-8, penalty))):
    ridge = torch.vmap(lambda x, y, p=strength: linear.ridge(x, y, penalty=p))
    for j, number in enumerate(numbers):
        w, b = ridge(features[..., :number], few_y)
        predictions = w @ new_features[:, :number].T + b[:, None]
        of_new = losses.squared_loss(predictions, targets.expand_as(predictions))
        risks[i, j] = of_new.mean(1).median()
        fitted = predict(features[..., :number], w, b)
        on_sample[i, j] = losses.squared_loss(fitted, few_y).mean(1).median()
        lengths[i, j] = norms.l2_norm(w, dim=1).median()

bare, penalized = risks
peak = numbers[int(bare.argmax())]
claims[
    "The risk peaks where the number of parameters is about that of the examples"
] = few / 2 <= peak <= 1.3 * few
claims["Beyond the peak, the risk falls to less than a hundredth of it"] = (
    bare[-1] < bare.max() / 100
)
claims["The second descent does not reach the risk of the true degree here"] = (
    bare[-1] > bare.min()
)
claims["Beyond the peak, the weights become smaller again"] = (
    lengths[0, -1] < lengths[0].max() / 100
)
claims["With the penalty, the risk has no peak"] = penalized.max() < 5 * penalized.min()

# Figure
# sphinx_gallery_thumbnail_number = 3
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
ax.plot(numbers, bare, ".-", label="λ = 10⁻⁸")
ax.plot(numbers, penalized, ".-", label=f"λ = {penalty:g}")
ax.axvline(few, color=ink, linestyle="--", label=f"{few} examples")
ax.set(xscale="log", yscale="log", xlabel="parameters", ylabel="median risk")
ax.set_title("The risk peaks where the fit becomes exact")
ax.legend(loc="upper right")
fig.set_label(
    "The median risk against the number of parameters, both on logarithmic axes. With "
    "nearly no penalty, the risk falls, rises to a peak of about 100 000 near 20, the "
    "number of examples, and falls to about 0.2 at 400. With the penalty 0.05, it stays "
    "between 0.1 and 0.5."
)
plt.show()

# %%
# Conclusion
# ----------
#
# Many parameters alone do not make a model overfit: it also takes few examples and large weights.
# :func:`dlcore.risk.generalization_gap` measures the gap between training and new examples. If there
# are too few examples for a model, :func:`dlcore.linear.ridge` makes it less flexible without
# lowering its degree; it also removes the peak of the risk. The tutorial on :doc:`weight decay
# </auto_gallery/06_regularization/plot_weight_decay>` explains what the penalty does to the weights.

# %%
# Exercises
# ---------
#
# **1.** What is the empirical risk to the right of the peak, and why does it say nothing about the
# risk there?

# Solution
beyond = torch.tensor(numbers) >= min(2 * few, numbers[-1])
claims["Beyond the peak, every fit is exact"] = (on_sample[0, beyond] < 1e-6).all()
claims["The risks of these exact fits differ by a factor of ten"] = (
    bare[beyond].max() > 10 * bare[beyond].min()
)

# %%
# **2.** Use half of the examples. Where is the peak then? Can *more* examples increase the risk of a
# model with a given number of parameters?

# Solution
half = few // 2
ridge = torch.vmap(lambda x, y: linear.ridge(x, y, penalty=1e-8))
fewer = []
for number in numbers:
    w, b = ridge(features[:, :half, :number], few_y[:, :half])
    predictions = w @ new_features[:, :number].T + b[:, None]
    of_new = losses.squared_loss(predictions, targets.expand_as(predictions))
    fewer.append(of_new.mean(1).median())
fewer = torch.stack(fewer)
claims["With half of the examples, the peak moves to the left"] = (
    fewer.argmax() < bare.argmax()
)
claims["At the peak of all examples, half of them give a lower risk"] = (
    fewer[bare.argmax()] < bare.max()
)

# %%
# **3.** The formula gives the gap. How many examples does degree 9 need for a gap of 0.01?

# Solution
needed = 10 * noise_std**2 / 0.01
inputs, targets = draw(max(20, round(needed)))
params = fit(powers(inputs, 9), targets)
predictions = predict(powers(x_new, 9), *params)
gap = losses.squared_loss(predictions, y_new).mean()
gap -= losses.squared_loss(predict(powers(inputs, 9), *params), targets).mean()
claims["With 10 σ² / 0.01 examples, the gap of degree 9 is about 0.01"] = (
    abs(gap - 0.01) < 0.004
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
