r"""
Xavier initialization: how large should initial weights be?
===========================================================

Xavier initialization chooses the variance of the weights so that signals and gradients keep their
size from layer to layer.

In short
--------

For a layer of :math:`n_\mathrm{in}` inputs :math:`x_j` and :math:`n_\mathrm{out}` outputs, the
forward pass needs the weight variance :math:`1/n_\mathrm{in}` and the backward pass needs
:math:`1/n_\mathrm{out}`; Xavier's variance is a compromise between the two. A ReLU halves the mean
square, so He initialization doubles the forward rule to :math:`2/n_\mathrm{in}`.

.. math::

    o_i = \sum_{j=1}^{n_\mathrm{in}} w_{ij}\,x_j, \qquad
    \mathrm{E}[w_{ij}] = 0, \qquad \operatorname{Var}[w_{ij}] = \sigma^2
    = \frac{2}{n_\mathrm{in} + n_\mathrm{out}} .

*Prerequisites:* expectation and variance, and :doc:`backpropagation
</auto_gallery/07_propagation/plot_backpropagation_by_hand>`. *Reading time:* 15 minutes.

Setting
-------

A layer computes sums, and a deep network computes sums of sums. If each layer makes its signal a
little larger or smaller, many layers make it huge or negligible. *Xavier's* initialization chooses
the variance of the weights so that this does not happen. Where does the formula come from? The
derivation has one step that is easy to overlook, two conditions that contradict each other, and one
assumption that the most common activation breaks. This tutorial measures each of them next to its
formula.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from dlcore import activations, init, linear, propagation

generator = torch.Generator().manual_seed(0)
Variance = Callable[[int, int], float]  # weight variance from n_in and n_out

# %%
# Why the cross terms vanish
# --------------------------
#
# The weights have mean 0, so the mean of an output is :math:`\sum_j
# \mathrm{E}[w_{ij}]\,\mathrm{E}[x_j] = 0`, and its variance is the mean of its square. The square
# of a sum consists of squares and cross terms. Since the weights are independent of the inputs,
# each mean is a product of two means,
#
# .. math::
#
#     \operatorname{Var}[o_i] = \mathrm{E}\Bigl[\Bigl(\sum_j w_{ij}x_j\Bigr)^2\Bigr]
#     = \sum_j \mathrm{E}[w_{ij}^2]\,\mathrm{E}[x_j^2]
#     + \sum_{j \ne k} \mathrm{E}[w_{ij}w_{ik}]\,\mathrm{E}[x_j x_k] .
#
# Inputs depend on each other, as neighbouring pixels do: :math:`\mathrm{E}[x_j x_k]` is far from 0.
# But the weights are independent of each other *and* have mean 0, hence
# :math:`\mathrm{E}[w_{ij}w_{ik}] = \mathrm{E}[w_{ij}]\,\mathrm{E}[w_{ik}] = 0`. The weights make
# the cross terms vanish, and the inputs need no particular property. The figure shows all three
# matrices for the 64 pixels of the digits, with means over 5000 draws of the weights.

x = torch.as_tensor(load_digits().data) / 16
n_in, sigma = 64, 1 / 8
weights = init.normal((n_in, 5000), std=sigma, generator=generator, dtype=x.dtype)

of_inputs = x.T @ x / len(x)
of_weights = weights @ weights.T / weights.shape[1]
terms = of_inputs * of_weights
diagonal = torch.eye(n_in, dtype=torch.bool)
assert of_inputs[~diagonal].sum() > 10 * of_inputs[diagonal].sum()
assert of_weights[~diagonal].abs().max() < 0.1 * sigma**2
assert torch.allclose(of_weights[diagonal], torch.full_like(x[0], sigma**2), rtol=0.1)

fig, axes = plt.subplots(1, 3, figsize=(5.4, 2.4), layout="constrained")
pictures = [
    ("inputs: dependent", r"mean of $x_j x_k$", of_inputs),
    ("weights: independent", r"mean of $w_{ij} w_{ik}$", of_weights),
    ("squares remain", "their product", terms),
]
for ax, (title, label, matrix) in zip(axes, pictures, strict=True):
    limit = matrix.abs().max()
    ax.imshow(matrix, cmap="PuOr_r", vmin=-limit, vmax=limit)
    ax.set(title=title, xlabel=label, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
fig.set_label(
    "Three 64 by 64 matrices of means. The matrix for products of two pixels has large "
    "values everywhere. The matrix for products of two weights is 0 except on its "
    "diagonal, and so is the product of the two matrices entry by entry."
)
plt.show()

# %%
# So the squares alone make up the variance, :math:`n_\mathrm{in}\,\sigma^2\gamma^2`, where
# :math:`\gamma^2` is the mean of :math:`x_j^2`. If the inputs have mean 0, :math:`\gamma^2` is
# their variance. Otherwise, as with pixels, the mean square is what matters.

gamma_squared = x.square().mean()
outputs = x @ weights
ratio = outputs.square().mean() / (n_in * sigma**2 * gamma_squared)
assert outputs.mean(1).abs().max() < 5 * outputs.std() / 5000**0.5
assert 0.95 < ratio < 1.05
assert gamma_squared > 1.5 * x.var()

# %%
# The cross terms vanish on average over draws. In a single draw they are as large as the squares,
# and they make one output differ from the next. They also return as soon as the weights have a mean
# other than 0: a mean of half their standard deviation makes the mean square of the outputs eight
# times as large.

squares = x.square() @ weights.square()
crosses = outputs.square() - squares
assert crosses.square().mean() > squares.square().mean()
assert crosses.mean().abs() < 0.05 * squares.mean()

with_a_mean = x @ (weights + sigma / 2)
assert 7 < with_a_mean.square().mean() / outputs.square().mean() < 9

# %%
# Forward pass: the number of inputs matters
# ------------------------------------------
#
# So one layer multiplies the variance by :math:`n_\mathrm{in}\sigma^2`. If this factor is 1, the
# variance stays the same; above 1 it grows, and *below 1 it shrinks*. The next layer multiplies by
# the same factor again: 20 layers of 256 units turn a factor of 2 into a million, and a factor of ½
# into a millionth. :func:`dlcore.propagation.signal_propagation` measures and predicts this, here
# without any activation and over 10 draws of the network.


def layers(sizes: list[int], variance: Variance) -> list[linear.LinearParams]:
    """Return normal weights with the variance given by the rule, and zero biases."""
    return [
        linear.LinearParams(
            init.normal(
                (n_in, n_out),
                std=math.sqrt(variance(n_in, n_out)),
                generator=generator,
            ),
            init.zeros(n_out),
        )
        for n_in, n_out in pairwise(sizes)
    ]


def measure(
    sizes: list[int], variance: Variance, activation: str
) -> propagation.SignalPropagation:
    """Return measurements and predictions for 10 networks, one per row."""
    variances = [variance(n_in, n_out) for n_in, n_out in pairwise(sizes)]
    results = [
        propagation.signal_propagation(
            layers(sizes, variance),
            torch.randn(32, sizes[0], generator=generator),
            activation=activation,
            variances=variances,
            generator=generator,
        )
        for _ in range(10)
    ]
    return propagation.SignalPropagation(*map(torch.stack, zip(*results, strict=True)))


def draw(ax: plt.Axes, measured: Tensor, predicted: Tensor, color: str) -> None:
    """Draw the prediction as a line, and the measurements as mean and range."""
    depth = range(predicted.shape[1])
    ax.plot(depth, predicted.mean(0), color=color, linewidth=1)
    mean = measured.mean(0)
    reach = torch.stack([mean - measured.amin(0), measured.amax(0) - mean])
    ax.errorbar(depth, mean, yerr=reach, fmt="o", markersize=4, color=color)


square = [256] * 21
factors = {2.0: "C0", 1.0: "C1", 0.5: "C2"}
linear_nets = {
    factor: measure(square, lambda n_in, _, factor=factor: factor / n_in, "identity")
    for factor in factors
}
for factor, result in linear_nets.items():
    found = (result.forward_measured / result.forward_predicted).mean(0)
    assert (found > 0.6).all()
    assert (found < 1.6).all()
    growth = result.forward_measured[:, -1] / result.forward_measured[:, 0]
    assert abs(float(growth.mean().log2()) - 20 * math.log2(factor)) < 0.7

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for factor, color in factors.items():
    result = linear_nets[factor]
    draw(ax, result.forward_measured, result.forward_predicted, color)
for factor, height, align in [(2, 3e4, "right"), (1, 4, "left"), (0.5, 3e-5, "right")]:
    text = rf"$n_\mathrm{{in}}\sigma^2 = {factor}$"
    ax.text(12, height, text, color=factors[factor], ha=align)
ax.set(yscale="log", xlabel="layer", ylabel="variance", xticks=[0, 5, 10, 15, 20])
ax.set_title("Above a factor of 1 the signal grows, below it shrinks")
fig.set_label(
    "The variance of the signal at 20 layers on a logarithmic axis: points on three "
    "straight lines. With a factor of 2 it rises to a million, with 1 it stays constant, "
    "and with 0.5 it falls to a millionth."
)
plt.show()

# %%
# Backward pass: the number of outputs matters
# --------------------------------------------
#
# The gradient with respect to an input is a sum as well, but over the outputs, :math:`\partial
# l/\partial x_j = \sum_{i=1}^{n_\mathrm{out}} w_{ij}\,\partial l/\partial o_i`. The same derivation
# gives the factor :math:`n_\mathrm{out}\sigma^2`. If a layer has more inputs than outputs, no
# :math:`\sigma^2` makes both factors 1. Xavier's :math:`\sigma^2` makes their mean 1:
#
# .. math::
#
#     \tfrac12\,(n_\mathrm{in}\sigma^2 + n_\mathrm{out}\sigma^2) = 1 .
#
# This compromise has a price: two numbers with mean 1 have a product of at most 1. Take a network
# whose layers have 100 and 400 units in turn. What one layer removes, the next does not quite
# restore. Each pair of layers multiplies the variance by :math:`0.4\cdot1.6 = 0.64`, in both
# directions, and ten pairs leave a hundredth. The forward rule alone, :math:`\sigma^2 =
# 1/n_\mathrm{in}`, does better here. It is exact in the forward pass. In the backward pass its
# factors :math:`n_\mathrm{out}/n_\mathrm{in}` cancel along the network, except for the first and
# the last width.


def xavier(n_in: int, n_out: int) -> float:
    """Return the variance of Xavier's compromise."""
    return 2 / (n_in + n_out)


def forward_rule(n_in: int, n_out: int) -> float:  # noqa: ARG001  # same signature as xavier
    """Return the variance that keeps the signal constant in the forward pass."""
    return 1 / n_in


in_turn = [100, 400] * 10 + [100]
rules = {"Xavier": (xavier, "C0"), "1/n_in": (forward_rule, "C1")}
nets = {name: measure(in_turn, rule, "identity") for name, (rule, _) in rules.items()}
ends = {
    name: [float(values.mean(0)[end]) for values, end in [(r[0], -1), (r[2], 0)]]
    for name, r in nets.items()
}
assert all(0.5 * 0.64**10 < end < 2 * 0.64**10 for end in ends["Xavier"])
assert all(0.7 < end < 1.4 for end in ends["1/n_in"])

fig, axes = plt.subplots(1, 2, figsize=(5.4, 3.2), sharey=True, layout="constrained")
for name, (_, color) in rules.items():
    r = nets[name]
    draw(axes[0], r.forward_measured, r.forward_predicted, color)
    draw(axes[1], r.backward_measured, r.backward_predicted, color)
axes[0].set(yscale="log", ylabel="variance", title="Signal, forward →")
axes[1].set(title="← Gradient, backward")
axes[0].text(7, 1.5, r"$\sigma^2 = 1/n_\mathrm{in}$", color="C1")
axes[0].text(7, 0.02, "Xavier", color="C0", ha="right")
axes[1].text(12.5, 0.05, "Xavier", color="C0")
for ax in axes:
    ax.set(xlabel="layer", xticks=[0, 10, 20], ylim=(0.004, 2.5))
fig.set_label(
    "The variance of signal and gradient at 20 layers of 100 and 400 units in turn. With "
    "Xavier's rule both fall in zigzags to about a hundredth, the signal to the right "
    "and the gradient to the left. With the forward rule the signal stays at 1, and the "
    "gradient alternates between 1 and a quarter."
)
plt.show()

# %%
# ReLU: half of the mean square is lost
# -------------------------------------
#
# So far the layers had no activation. The results also hold for an activation that is close to the
# identity near 0, such as tanh, as long as the signal is small. They do not hold for a ReLU: it
# sets the negative half of its inputs to 0 and so removes half of their mean square. The next
# layer's sum depends on this mean square and not on the variance, as we saw with the pixels,
# because its inputs no longer have mean 0.

z = torch.randn(100_000, generator=generator, dtype=torch.float64)
h = activations.relu(z)
assert abs(float(h.square().mean()) - 0.5) < 0.02
assert abs(float(h.mean()) - 1 / math.sqrt(2 * math.pi)) < 0.02
assert h.var() < 0.36

# %%
# In the backward pass the ReLU does the same, because its slope is 0 for half of the units. So with
# a ReLU, Xavier's weights halve the signal in each layer, and a billionth is left after 30 layers.
# He's scheme doubles the variance of the weights:
#
# .. math::
#
#     \sigma^2 = \frac{2}{n_\mathrm{in}} .


def he(n_in: int, n_out: int) -> float:  # noqa: ARG001  # same signature as xavier
    """Return the variance that compensates for the half that a ReLU removes."""
    return 2 / n_in


relu_nets = {rule: measure([256] * 31, rule, "relu") for rule in (he, xavier)}
for rule, r in relu_nets.items():
    kept = r.forward_measured[:, -1] / r.forward_measured[:, 1]
    sent_back = r.backward_measured[:, 1] / r.backward_measured[:, -1]
    halvings = 29 if rule is xavier else 0
    assert abs(float(kept.mean().log2()) + halvings) < 1.5
    assert abs(float(sent_back.mean().log2()) + halvings) < 1.5

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for r, color in zip(relu_nets.values(), ("C1", "C0"), strict=True):
    draw(ax, r.forward_measured, r.forward_predicted, color)
ax.text(15, 10, "He", color="C1", ha="center")
ax.text(14, 1e-5, "Xavier", color="C0", ha="right", va="top")
ax.set(yscale="log", ylim=(1e-10, 1e2), xlabel="layer", ylabel="mean square")
ax.set_title("With a ReLU, He's weights keep the signal")
fig.set_label(
    "The mean square of the signal at 30 layers with a ReLU, on a logarithmic axis. "
    "With Xavier's weights it falls along a straight line to a billionth. With He's "
    "weights it stays at 2, and the range over 10 networks widens with depth."
)
plt.show()

# %%
# The bars show the range over 10 networks. The prediction is a mean over all networks. Each single
# network deviates from it by random factors, which accumulate with depth.

of_he = relu_nets[he].forward_measured.log()
assert of_he[:, 30].std() > 2 * of_he[:, 2].std()

# %%
# The shape of the distribution does not matter
# ---------------------------------------------
#
# Nothing above depends on the distribution of the weights beyond its mean and variance. A uniform
# distribution on :math:`(-a, a)` has the variance :math:`a^2/3`, so :math:`a =
# \sqrt{6/(n_\mathrm{in} + n_\mathrm{out})}` gives Xavier's variance as well.

bound = math.sqrt(6 / (300 + 200))
uniform = init.xavier_uniform(300, 200, generator=generator)
normal = init.xavier_normal(300, 200, generator=generator)
assert uniform.abs().max() <= bound < normal.abs().max()
for weight in (uniform, normal):
    assert 0.97 < weight.var() * (300 + 200) / 2 < 1.03

# %%
# Conclusion
# ----------
#
# If the weights have mean 0 and are independent, every cross term vanishes, whatever the inputs
# are. What remains is a factor per layer: :math:`n_\mathrm{in}\sigma^2` forward and
# :math:`n_\mathrm{out}\sigma^2` backward, each halved by a ReLU. :func:`dlcore.init.xavier_normal`
# and :func:`dlcore.init.xavier_uniform` balance the two factors for tanh and similar activations.
# :func:`dlcore.init.he_normal` and :func:`dlcore.init.he_uniform` keep the signal in the forward
# pass through a ReLU. Preserving one direction is enough, because the other differs only by the
# first and the last width. :func:`dlcore.mlp.init_mlp` initializes whole networks with each of
# these schemes, and :func:`dlcore.propagation.signal_propagation` predicts the result of any other.
# :doc:`/auto_gallery/07_propagation/plot_vanishing_and_exploding` measures what happens if the
# factors are not 1, and what happens in narrow networks even if they are.
# :doc:`/auto_gallery/07_propagation/plot_symmetry` explains why weights have to be random at all.
