r"""
Vanishing and exploding gradients: why do they happen?
======================================================

The gradient at the first layer is a product with one factor per layer, so it shrinks or grows
exponentially with depth.

In short
--------

In a deep network, the gradient at the first layer is a product of one weight matrix and one
diagonal matrix of activation slopes per layer, and it vanishes or explodes unless each factor
preserves its size. The variance of the weights and the slope of the activation set the factor, and
in narrow networks a typical gradient shrinks even if the variance is right.

.. math::

    \frac{\partial J}{\partial \mathbf{z}_1} = \frac{\partial J}{\partial \mathbf{o}}\,
    \mathbf{W}_K^\top \mathbf{D}_{K-1} \mathbf{W}_{K-1}^\top \cdots \mathbf{D}_1, \qquad
    \mathbf{D}_k = \operatorname{diag}\bigl(\phi'(\mathbf{z}_k)\bigr) .

*Prerequisites:* :doc:`backpropagation </auto_gallery/07_propagation/plot_backpropagation_by_hand>`
and singular values.

Setting
-------

A product of many factors is rarely of moderate size. What decides how fast it grows or shrinks: the
width of the layers, the variance of their weights, or the activation?
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import activations, information, mlp, optim, propagation

# Change these numbers and run the script again.
seed = 0
width = 4
depth = 100
n_products = 200
n_layers = 30
lr = 0.01
n_steps = 200
claims = {}

# %%
# Products of a hundred random matrices
# -------------------------------------
#
# Multiply 100 matrices of 4 × 4 standard normal numbers. The largest entry of the product has about
# 25 digits. Now choose the variance that preserves the mean square, :math:`\sigma^2 = \frac14`:
# then :math:`n\sigma^2 = 1`, and the mean square of the entries is the same after any number of
# factors. The product shrinks nevertheless, to a few millionths.

generator = torch.Generator().manual_seed(seed)
options = {"generator": generator, "dtype": torch.float64}

factors = torch.randn(n_products, depth, width, width, **options)
product, growth = torch.eye(width, dtype=torch.float64), []
for factor in factors.unbind(1):
    product = product @ factor
    growth.append(product.abs().amax((1, 2)).log10())
growth = {"variance 1": torch.stack(growth)}  # decimal digits of the largest entry
scaled_by = torch.arange(1, depth + 1)[:, None] * math.log10(width) / 2
growth["variance 1/n"] = growth["variance 1"] - scaled_by
last = {name: digits[-1].mean() for name, digits in growth.items()}
claims["With variance 1, the largest entry has about 25 digits"] = (
    abs(last["variance 1"] - 25) < 1
)
claims["With variance ¼, nearly all products shrink, to a few millionths"] = (
    abs(last["variance 1/n"] + 5.5) < 0.6
    and (growth["variance 1/n"][-1] < 0).double().mean() > 0.98
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for color, (name, digits) in zip(("C1", "C0"), growth.items(), strict=True):
    ax.plot(digits[:, :30], color=color, linewidth=0.5, alpha=0.4)
    ax.plot(digits.mean(1), color=color, linewidth=3, label=name)
ax.set(xlabel="factors", ylabel="digits of the largest entry")
ax.set_title("Products explode with variance 1 and vanish with 1/n")
ax.legend(loc="upper left")
fig.set_label(
    "The decimal logarithm of the largest entry of the product against the number of "
    "factors, for 30 products per variance and on average. With variance 1 it rises "
    "along a straight line to 25. With variance one quarter it falls to about -5.5 on "
    "average, and to between -2 and -10 for single products."
)
plt.show()

# %%
# Why the right variance is not enough
# ------------------------------------
#
# The mean square is constant although nearly all products shrink. This is no contradiction, because
# a few very large products dominate the mean. The mean of the *logarithm* tells us what a typical
# product does. A normal matrix of variance :math:`\sigma^2` multiplies the squared length of a
# vector by :math:`\sigma^2` times a chi-squared variable with :math:`n` degrees of freedom, whose
# mean logarithm is known. So each factor changes the logarithm of the length by
#
# .. math::
#
#     \tfrac12\bigl(\psi(\tfrac n2) + \log 2\sigma^2\bigr) \approx -\frac{1}{2n}
#     \quad\text{for } \sigma^2 = \tfrac1n,
#
# where :math:`\psi` is the digamma function. Narrow networks lose :math:`\frac{1}{2n}` per layer
# although every variance is right. In wide networks the loss is negligible.

widths = torch.tensor([2, 4, 8, 16, 32])


def log_lengths(n):
    """Return the change of the log-length of 64 vectors after all factors."""
    x = torch.ones(64, 1, n, dtype=torch.float64) / math.sqrt(n)
    for _ in range(depth):
        x = x @ torch.randn(64, n, n, **options) / math.sqrt(n)
    return x.norm(dim=(1, 2)).log()


measured = torch.stack([log_lengths(int(n)) for n in widths])
formula = depth * (torch.digamma(widths / 2) - (widths / 2).log()) / 2
claims["The mean logarithms are those of the formula"] = (
    (measured.mean(1) - formula).abs() < 4 * measured.std(1) / 8
).all()
assert torch.allclose(formula[2:], -depth / (2 * widths[2:]), rtol=0.1), "about −1/2n"

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
middle = measured.quantile(torch.tensor([0.1, 0.9]).double(), dim=1) / math.log(10)
ax.fill_between(widths, *middle, alpha=0.2, label="middle 80 %")
ax.plot(widths, measured.mean(1) / math.log(10), "o", color="C0", label="measured")
ax.plot(widths, formula / math.log(10), color="C0", label="formula")
ax.set(xlabel="width n", ylabel="decimal logarithm of the length")
ax.set_title("Length after 100 factors of the right variance, 1/n")
ax.legend(loc="lower right")
fig.set_label(
    "The decimal logarithm of a vector's length after 100 factors of variance 1/n, "
    "against the width n, measured, with a band for the middle 80 percent, and from the "
    "formula: -12.5 at width 2, -6 at 4, and close to 0 at 32."
)
plt.show()

# %%
# The product vanishes and explodes at once
# -----------------------------------------
#
# The largest entry shows only half of what happens. The product stretches some directions and
# shrinks others. Of its four singular values, the smallest vanishes about as fast as the largest
# explodes. Per factor, the logarithm of the :math:`i`-th changes by
# :math:`\frac12\bigl(\psi(\frac{n-i+1}{2}) + \log 2\bigr)`, which is 0.24 decimal digits for the
# first and :math:`-0.28` for the last. The computed product does not contain the small ones,
# because they are lost in the rounding errors of the large ones.
# :func:`dlcore.propagation.log_singular_values` finds all of them without forming the product.

some = factors[:40]
depths = [max(1, depth * part // 10) for part in (1, 4, 7, 10)]
exponents = torch.stack(
    [propagation.log_singular_values(some[:, :k]).mean(0) for k in depths]
) / math.log(10)
freedom = torch.arange(width, 0, -1)
rates = (torch.digamma(freedom / 2) + math.log(2)) / 2 / math.log(10)
slopes = (exponents[-1] - exponents[0]) / max(1, depths[-1] - depths[0])
claims["Per factor, the singular values gain 0.24 to −0.28 digits"] = (
    abs(rates[0] - 0.24) < 0.01
    and abs(rates[-1] + 0.28) < 0.01
    and (slopes - rates).abs().max() < 0.03
)
naive = torch.linalg.svdvals(product[: len(some)]).log10().mean(0)
claims["The computed product has the largest singular value, not the smallest"] = (
    abs(naive[0] - exponents[-1, 0]) < 1e-6 and naive[-1] > exponents[-1, -1] + 25
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for i, exponent in enumerate(exponents.T):
    ax.plot(depths, exponent, "o-", label=f"{i + 1}. singular value")
ax.set(xlabel="factors", ylabel="decimal logarithm")
ax.set_title("The singular values diverge exponentially")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "The decimal logarithm of the four singular values of the product against the "
    "number of factors. The points lie on four straight lines that diverge from 0 to "
    "about 25, 16, 2 and -28 at 100 factors."
)
plt.show()

# %%
# The slope of the activation
# ---------------------------
#
# In the backward pass, each layer multiplies the gradient by :math:`\phi'(\mathbf{z})` as well. The
# sigmoid's slope is at most ¼, and close to 0 where the sigmoid saturates.

z = torch.linspace(-8, 8, 161, dtype=torch.float64)
value = activations.sigmoid(z)
slope = value * (1 - value)
assert slope.max() == slope[80] == 0.25, "a quarter, at 0"
assert slope[[0, -1]].max() < 0.0004, "close to 0 where the sigmoid saturates"

# Figure
fig, ax = plt.subplots(figsize=(5.4, 2.6), layout="constrained")
ax.plot(z, value, label="sigmoid")
ax.plot(z, slope, label="its slope")
ax.set(xlabel="z", title="The sigmoid's slope is at most a quarter")
ax.legend(loc="upper left")
fig.set_label(
    "The sigmoid rises from 0 to 1 between -6 and 6. Its slope has a maximum of one "
    "quarter at 0 and is close to 0 beyond -6 and 6."
)
plt.show()

# %%
# So with a sigmoid the gradient vanishes: with Xavier's weights it loses more than thirty orders of
# magnitude in 30 layers. tanh has slope 1 at 0 and loses little. A ReLU loses half in each layer
# with Xavier's weights and nothing with He's. :func:`dlcore.propagation.signal_propagation` sends a
# random gradient back, here through 5 networks of 30 layers of 128 units, and predicts its variance
# at each layer.

settings = {
    "ReLU, He": ("relu", "he_normal"),
    "tanh, Xavier": ("tanh", "xavier_normal"),
    "ReLU, Xavier": ("relu", "xavier_normal"),
    "sigmoid, Xavier": ("sigmoid", "xavier_normal"),
}
measured, predicted = {}, {}
for name, (activation, scheme) in settings.items():
    results = [
        propagation.signal_propagation(
            mlp.init_mlp([128] * (n_layers + 1), scheme=scheme, **options),
            torch.randn(8, 128, **options),
            activation=activation,
            generator=generator,
        )
        for _ in range(5)
    ]
    measured[name] = torch.stack([r.backward_measured for r in results])
    predicted[name] = torch.stack([r.backward_predicted for r in results])
left = {name: float(values[:, 1].log10().mean()) for name, values in measured.items()}
claims["ReLU with He's weights keeps the gradient"] = abs(left["ReLU, He"]) < 0.5
claims["With tanh, Xavier's weights lose one or two digits"] = (
    -2.5 < left["tanh, Xavier"] < -1
)
claims["ReLU with Xavier's weights loses half in each layer"] = (
    abs(left["ReLU, Xavier"] + (n_layers - 1) * math.log10(2)) < 0.5
)
claims["A sigmoid loses more than thirty digits"] = left["sigmoid, Xavier"] < -30
claims["The measurements agree with the predictions"] = all(
    (values[:, 1] / predicted[name][:, 1]).log10().mean().abs() < 0.5
    for name, values in measured.items()
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for i, name in enumerate(settings):
    ax.plot(predicted[name].mean(0), color=f"C{i}", linewidth=1)
    ax.plot(measured[name].mean(0), "o", color=f"C{i}", markersize=4, label=name)
ax.set(yscale="log", xlabel="layer", ylabel="variance of the gradient")
ax.set_title("← The gradient on its way from outputs to inputs")
ax.legend(loc="lower right")
fig.set_label(
    "The variance of the gradient at 30 layers on a logarithmic axis, from the outputs "
    "on the right to the inputs on the left. With ReLU and He's weights it stays at 1. "
    "It falls to 0.02 with tanh, to 1e-9 with ReLU and Xavier's weights, and to 1e-36 "
    "with a sigmoid."
)
plt.show()

# %%
# How vanishing gradients affect training
# ---------------------------------------
#
# We train networks with ten hidden layers of 64 units on 200 digits, with 200 steps of gradient
# descent. Where the gradient reaches the first layers, the network learns. Where a step is too long
# for the network with the ReLU, its loss jumps and then recovers. Where no gradient reaches the
# first layers, only the last bias learns, and it can learn only the frequencies of the classes. The
# loss then stops at their entropy, 2.30, and looks as if training had converged. With weights of
# twice He's size, the initial loss is above 100, and after a few steps it is no longer finite.

digits = load_digits()
images = torch.as_tensor(digits.data[:200]) / 16
labels = torch.as_tensor(digits.target[:200])


def train(activation, scheme, scale=1.0):
    """Return the loss before each step of a network with 10 hidden layers."""
    params = mlp.init_mlp([64] * 11 + [10], scheme=scheme, scale=scale, **options)
    found = []
    for _ in range(n_steps):
        trace = mlp.forward(params, images, labels, activation=activation)
        found.append(float(trace.L))
        if not math.isfinite(found[-1]):
            break
        params = optim.sgd_step(params, mlp.backward(trace), lr=lr)
    return found


runs = {name: train(*setting) for name, setting in settings.items()}
del runs["ReLU, Xavier"]
runs["ReLU, std 0.01"] = train("relu", "normal")
exploding = train("relu", "he_normal", scale=2.0)
entropy = float(information.entropy(labels.bincount() / len(labels)))
claims["Where the gradient reaches the first layers, the network learns"] = (
    max(min(runs["ReLU, He"]), min(runs["tanh, Xavier"])) < 0.8
)
claims["Where it does not, the loss stops at the entropy of the classes"] = all(
    abs(runs[name][-1] - entropy) < 0.01
    for name in ("sigmoid, Xavier", "ReLU, std 0.01")
)
claims["With twice He's size, the loss is infinite after a few steps"] = (
    exploding[0] > 100 and len(exploding) < 10
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for name, found in runs.items():
    ax.plot(found, label=name)
ax.set(xlabel="step", ylabel="cross-entropy, nats", ylim=(0, 3))
ax.set_title("Networks with vanishing gradients do not learn")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "The loss of four networks with ten hidden layers over 200 steps. With ReLU and "
    "He's weights, and with tanh and Xavier's weights, it falls from about 2.5 to below "
    "0.6. With a sigmoid, and with weights of standard deviation 0.01, it stays at 2.3."
)
plt.show()

# %%
# Conclusion
# ----------
#
# A gradient gets one factor per layer: if the factors differ from 1, it grows or vanishes
# exponentially with depth. The variance of the weights sets the factor, the slope of the activation
# reduces it, and the width determines how far a typical network lies below the mean.
# :func:`dlcore.propagation.signal_propagation` measures and predicts both the forward and the
# backward pass for given parameters. :func:`dlcore.propagation.gaussian_expectation` computes the
# mean that the prediction uses, and :func:`dlcore.propagation.log_singular_values` returns the
# singular values of a long matrix product.
# :doc:`/auto_gallery/07_propagation/plot_xavier_understood` derives the variance that makes the
# factor 1, and :doc:`/auto_gallery/07_propagation/plot_backpropagation_by_hand` derives the product
# itself.
# :doc:`/auto_gallery/07_propagation/plot_clipping_gradients` shows what can be done about gradients
# that explode during training.

# %%
# Exercises
# ---------
#
# **1.** Which variance keeps the length of a *typical* vector at width 4? Set the formula above to 0.

# Solution
n = 4
variance = float(torch.exp(-torch.digamma(torch.tensor(n / 2))) / 2)
x = torch.ones(500, 1, n, dtype=torch.float64)
for _ in range(50):
    x = x @ torch.randn(500, n, n, **options) * math.sqrt(variance)
drift = (x.norm(dim=(1, 2)).log() - math.log(n**0.5)).mean() / 50
claims["With this variance, the mean logarithm of the length stays"] = abs(drift) < 0.02
claims["It is larger than 1/n"] = variance > 1 / n

# %%
# **2.** A residual layer computes :math:`\mathbf{h} + \mathbf{h}\mathbf{W}`. How large may the variance of
# its weights be, so that 100 layers make the signal at most about three times as long?

# Solution
n, layers = 64, 100
x = torch.ones(20, 1, n, dtype=torch.float64)
for _ in range(layers):
    x = x + x @ torch.randn(20, n, n, **options) * math.sqrt(2 / (layers * n))
growth = float(x.norm(dim=(1, 2)).mean() / n**0.5)
claims["With nσ² = 2/100, a hundred residual layers multiply the length by about e"] = (
    abs(growth / math.e - 1) < 0.15
)

# %%
# **3.** Compare the largest singular value of the product with its largest entry. How many digits can
# they differ by at most?

# Solution
largest = torch.linalg.svdvals(product)[:, 0]
ratio = largest / product.abs().amax((1, 2))
assert ((ratio > 0.999) & (ratio <= width * 1.001)).all(), "by a factor from 1 to n"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
