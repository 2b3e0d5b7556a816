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
and singular values. *Reading time:* 15 minutes.

Setting
-------

A product of many factors is rarely of moderate size. What decides how fast it grows or shrinks: the
width of the layers, the variance of their weights, or the activation?
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from dlcore import activations, information, mlp, optim, propagation

generator = torch.Generator().manual_seed(0)

# %%
# Products of a hundred random matrices
# -------------------------------------
#
# Multiply 100 matrices of 4 × 4 standard normal numbers. The largest entry of the product has about
# 25 digits. Now choose the variance that preserves the mean square, :math:`\sigma^2 = \frac14`:
# then :math:`n\sigma^2 = 1`, and the mean square of the entries is the same after any number of
# factors. The product shrinks nevertheless, to a few millionths.

n_products, depth, width = 200, 100, 4
factors = torch.randn(
    n_products, depth, width, width, generator=generator, dtype=torch.float64
)


def partial_products(factors: Tensor) -> Tensor:
    """Return the products of the first 1, 2, 3, ... factors."""
    products = [factors[:, 0]]
    for factor in factors.unbind(1)[1:]:
        products.append(products[-1] @ factor)
    return torch.stack(products)


def digits_of_largest(products: Tensor) -> Tensor:
    """Return the decimal logarithm of the largest entry."""
    return products.abs().amax((-2, -1)).log10()


products = partial_products(factors)
growth = {1: digits_of_largest(products)}
growth[1 / 4] = digits_of_largest(partial_products(factors / 2))
assert (growth[1][-1].mean() - 25).abs() < 1
assert (growth[1 / 4][-1].mean() + 5.5).abs() < 0.6
assert (growth[1 / 4][-1] < 0).all()

ink = plt.rcParams["text.color"]
counts = range(1, depth + 1)
fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for digits, color in zip(growth.values(), ("C1", "C0"), strict=True):
    ax.plot(counts, digits[:, :30], color=color, linewidth=0.5, alpha=0.4)
    ax.plot(counts, digits.mean(1), color=color, linewidth=3)
ax.axhline(0, color=ink, linewidth=1, linestyle="--")
ax.text(55, 21, "variance 1", color="C1", ha="right")
ax.text(60, 2.5, "variance ¼", color="C0")
ax.set(xlabel="factors", ylabel="decimal logarithm of the largest entry")
ax.set_title("Products explode with variance 1 and vanish with ¼")
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


def log_lengths(n: int) -> Tensor:
    """Return the change of the log-length of 64 vectors after 100 factors."""
    x = torch.ones(64, 1, n, dtype=torch.float64) / math.sqrt(n)
    for _ in range(depth):
        matrices = torch.randn(64, n, n, generator=generator, dtype=torch.float64)
        x = x @ matrices / math.sqrt(n)
    return x.norm(dim=(1, 2)).log()


measured = torch.stack([log_lengths(int(n)) for n in widths])
halves = widths.double() / 2
formula = depth * (torch.digamma(halves) - halves.log()) / 2
errors = measured.std(1) / 8
assert ((measured.mean(1) - formula).abs() < 4 * errors).all()
assert torch.allclose(formula[2:], -depth / (2 * widths[2:].double()), rtol=0.1)

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
ax.axhline(0, color=ink, linewidth=1, linestyle="--")
ax.plot(widths, formula / math.log(10), color="C0")
low, high = measured.quantile(torch.tensor([0.1, 0.9], dtype=torch.float64), dim=1)
bars = torch.stack([measured.mean(1) - low, high - measured.mean(1)]) / math.log(10)
ax.errorbar(widths, measured.mean(1) / math.log(10), yerr=bars, fmt="o", color="C0")
ax.text(2.9, -10, "formula", color="C0", va="top")
ax.text(2.12, -15.5, "measured: mean, and middle 80 %", color="C0", va="center")
ax.set(xscale="log", xlabel="width n", ylabel="decimal logarithm of the length")
ax.set_yticks([-15, -10, -5, 0])
ax.set_xticks(widths, [str(int(n)) for n in widths])
ax.minorticks_off()
ax.set_title("Length after 100 factors of the right variance, 1/n")
fig.set_label(
    "The decimal logarithm of a vector's length after 100 factors of variance 1/n, "
    "against the width n, measured, with bars for the middle 80 percent, and from the "
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
depths = [10, 40, 70, 100]
exponents = torch.stack(
    [propagation.log_singular_values(some[:, :k]) for k in depths]
) / math.log(10)
freedom = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
rates = (torch.digamma(freedom / 2) + math.log(2)) / 2 / math.log(10)
assert (rates[[0, -1]] - torch.tensor([0.24, -0.28])).abs().max() < 0.01
change = exponents[-1] - exponents[0]
errors = change.std(0) / len(some) ** 0.5
assert ((change.mean(0) - 90 * rates).abs() < 4 * errors).all()
naive = torch.linalg.svdvals(products[-1, : len(some)]).log10().mean(0)
assert (naive[0] - exponents[-1].mean(0)[0]).abs() < 1e-6
assert naive[3] > exponents[-1].mean(0)[3] + 25

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
ax.axhline(0, color=ink, linewidth=1, linestyle="--")
for i, color in enumerate(("C1", "C2", "C3", "C0")):
    ax.plot(depths, exponents.mean(1)[:, i], "o", color=color, markersize=4)
    start = exponents[0].mean(0)[i] - rates[i] * depths[0]
    ax.plot([0, 100], [start, start + 100 * rates[i]], color=color, linewidth=1)
    name = ("largest", "second", "third", "smallest")[i]
    ax.text(103, start + 100 * rates[i], name, color=color, va="center")
ax.set(xlabel="factors", xlim=(0, 128), xticks=[0, 25, 50, 75, 100])
ax.set_ylabel("decimal logarithm of the singular value")
ax.set_title("The singular values diverge exponentially")
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
assert slope.max() == slope[80] == 0.25
assert slope[[0, -1]].max() < 0.0004

fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
ax.plot(z, value, color="C0")
ax.plot(z, slope, color="C1")
ax.text(2.6, 0.84, "sigmoid", color="C0", va="top")
ax.text(2.2, 0.14, "its slope", color="C1")
ax.set(xlabel="z", yticks=[0, 0.25, 0.5, 1], yticklabels=["0", "¼", "½", "1"])
ax.set_title("The sigmoid's slope is at most a quarter")
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
    "ReLU, He": ("relu", "he_normal", "C2"),
    "tanh, Xavier": ("tanh", "xavier_normal", "C0"),
    "ReLU, Xavier": ("relu", "xavier_normal", "C3"),
    "sigmoid, Xavier": ("sigmoid", "xavier_normal", "C1"),
}
arriving = {}
for name, (activation, scheme, _) in settings.items():
    results = [
        propagation.signal_propagation(
            mlp.init_mlp([128] * 31, scheme=scheme, generator=generator, dtype=z.dtype),
            torch.randn(8, 128, generator=generator, dtype=z.dtype),
            activation=activation,
            generator=generator,
        )
        for _ in range(5)
    ]
    arriving[name] = [
        torch.stack([getattr(r, f"backward_{way}") for r in results])
        for way in ("measured", "predicted")
    ]
digits_at_first = {
    name: float(measured[:, 1].log10().mean())
    for name, (measured, _) in arriving.items()
}
assert abs(digits_at_first["ReLU, He"]) < 0.5
assert -2.5 < digits_at_first["tanh, Xavier"] < -1
assert abs(digits_at_first["ReLU, Xavier"] + 29 * math.log10(2)) < 0.5
assert digits_at_first["sigmoid, Xavier"] < -30
for measured, predicted in arriving.values():
    assert (measured[:, 1] / predicted[:, 1]).log10().mean().abs() < 0.5

fig, ax = plt.subplots(figsize=(5.4, 4.4), layout="constrained")
for name, (measured, predicted) in arriving.items():
    color = settings[name][2]
    ax.plot(range(31), predicted.mean(0), color=color, linewidth=1)
    ax.plot(range(31), measured.mean(0), "o", color=color, markersize=4)
ax.text(1, 1e2, "ReLU, He", color="C2")
ax.text(1, 1e-5, "tanh, Xavier", color="C0")
ax.text(11, 1e-10, "ReLU, Xavier", color="C3")
ax.text(14, 1e-26, "sigmoid, Xavier", color="C1")
ax.set(yscale="log", ylim=(1e-39, 1e5), yticks=[1e-36, 1e-24, 1e-12, 1])
ax.minorticks_off()
ax.set(xlabel="layer", ylabel="variance of the gradient")
ax.set_title("← The gradient on its way from outputs to inputs")
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
# We train networks with ten hidden layers of 64 units on 200 digits, with 300 steps of gradient
# descent. Where the gradient reaches the first layers, the network learns. Where a step is too long
# for the network with the ReLU, its loss jumps and then recovers. Where no gradient reaches the
# first layers, only the last bias learns, and it can learn only the frequencies of the classes. The
# loss then stops at their entropy, 2.30, and looks as if training had converged. With weights of
# twice He's size, the initial loss is above 100, and after a few steps it is no longer finite.

digits = load_digits()
images = torch.as_tensor(digits.data[:200]) / 16
labels = torch.as_tensor(digits.target[:200])


def train(activation: str, scheme: str, scale: float = 1.0) -> list[float]:
    """Return the loss before each of 300 steps of a network with 10 hidden layers."""
    sizes = [64] * 11 + [10]
    options = {"generator": generator, "dtype": images.dtype}
    params = mlp.init_mlp(sizes, scheme=scheme, scale=scale, **options)
    losses = []
    for _ in range(300):
        trace = mlp.forward(params, images, labels, activation=activation)
        losses.append(float(trace.L))
        if not math.isfinite(losses[-1]):
            break
        params = optim.sgd_step(params, mlp.backward(trace), lr=0.01)
    return losses


runs = {
    "ReLU, He": (train("relu", "he_normal"), "C2"),
    "tanh, Xavier": (train("tanh", "xavier_normal"), "C0"),
    "sigmoid, Xavier": (train("sigmoid", "xavier_normal"), "C1"),
    "ReLU, std 0.01": (train("relu", "normal"), "C3"),
}
exploding = train("relu", "he_normal", scale=2.0)
entropy = float(information.entropy(labels.bincount() / len(labels)))
assert min(runs["ReLU, He"][0]) < 0.8
assert min(runs["tanh, Xavier"][0]) < 0.8
assert torch.tensor(runs["ReLU, He"][0]).diff().max() > 0.01
for name in ("sigmoid, Xavier", "ReLU, std 0.01"):
    assert abs(runs[name][0][-1] - entropy) < 0.01
assert exploding[0] > 100
assert len(exploding) < 10

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for found, color in runs.values():
    ax.plot(found, color=color)
ax.text(27, 2.5, "sigmoid, Xavier", color="C1")
ax.text(300, 2.36, "ReLU, std 0.01", color="C3", ha="right")
ax.text(215, 0.72, "tanh, Xavier", color="C0")
ax.text(60, 0.35, "ReLU, He", color="C2")
ax.set(xlabel="step", ylabel="cross-entropy, nats", ylim=(0, 3))
ax.set_title("Networks with vanishing gradients do not learn")
fig.set_label(
    "The loss of four networks with ten hidden layers over 300 steps. With ReLU and "
    "He's weights, and with tanh and Xavier's weights, it falls from about 2.5 to below "
    "0.5. With a sigmoid, and with weights of standard deviation 0.01, it stays at 2.3."
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
