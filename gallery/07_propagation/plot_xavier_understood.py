r"""
How large should weights begin?
===============================

A layer computes sums, and a deep network sums of sums. If each layer makes its signal a little
larger or smaller, many make it huge or nothing. *Xavier's* initialization chooses the variance of
the weights so that this does not happen. For a layer of :math:`n_\mathrm{in}` inputs :math:`x_j`
and :math:`n_\mathrm{out}` outputs

.. math::

    o_i = \sum_{j=1}^{n_\mathrm{in}} w_{ij}\,x_j, \qquad
    \mathrm{E}[w_{ij}] = 0, \qquad \operatorname{Var}[w_{ij}] = \sigma^2
    = \frac{2}{n_\mathrm{in} + n_\mathrm{out}} .

Where does this come from? The derivation has one step that is easily passed over, two conditions
that contradict each other, and one assumption that the most common activation breaks. Each of them
is measured here beside its formula.
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
Variance = Callable[[int, int], float]  # of the weights, from n_in and n_out

# %%
# Why the cross terms vanish
# --------------------------
#
# The weights have mean 0, so the mean of an output is :math:`\sum_j
# \mathrm{E}[w_{ij}]\,\mathrm{E}[x_j] = 0`, and its variance is the mean of its square. The
# square of a sum has squares and cross terms. As the weights are drawn independently of the
# inputs, each mean is a product of two,
#
# .. math::
#
#     \operatorname{Var}[o_i] = \mathrm{E}\Bigl[\Bigl(\sum_j w_{ij}x_j\Bigr)^2\Bigr]
#     = \sum_j \mathrm{E}[w_{ij}^2]\,\mathrm{E}[x_j^2]
#     + \sum_{j \ne k} \mathrm{E}[w_{ij}w_{ik}]\,\mathrm{E}[x_j x_k] .
#
# Inputs depend on each other, as neighbouring pixels do: :math:`\mathrm{E}[x_j x_k]` is far
# from 0. But the weights are independent of each other *and* have mean 0, hence
# :math:`\mathrm{E}[w_{ij}w_{ik}] = \mathrm{E}[w_{ij}]\,\mathrm{E}[w_{ik}] = 0`. It is the
# weights that make the cross terms vanish; nothing is asked of the inputs. Here are all
# three matrices, for the 64 pixels of the digits and the mean over 5000 draws of their
# weights.

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
    "Three pictures of 64 by 64 means. That of the products of two pixels is full of "
    "large values. That of the products of two weights is empty but for its diagonal. "
    "Their product is, too."
)
plt.show()

# %%
# So the squares alone make up the variance, :math:`n_\mathrm{in}\,\sigma^2\gamma^2` with
# :math:`\gamma^2` the mean of :math:`x_j^2`. That is the variance of the inputs if their
# mean is 0; if it is not, as with pixels, it is the mean square that counts.

gamma_squared = x.square().mean()
outputs = x @ weights
ratio = outputs.square().mean() / (n_in * sigma**2 * gamma_squared)
assert outputs.mean(1).abs().max() < 5 * outputs.std() / 5000**0.5
assert 0.95 < ratio < 1.05
assert gamma_squared > 1.5 * x.var()

# %%
# Vanishing is a matter of the mean over draws. In a single draw, the cross terms are as
# large as the squares: they are what makes one output differ from the next. And they come
# back as soon as the weights have a mean: half of their standard deviation is enough to
# make the mean square of the outputs eight times as large.

squares = x.square() @ weights.square()
crosses = outputs.square() - squares
assert crosses.square().mean() > squares.square().mean()
assert crosses.mean().abs() < 0.05 * squares.mean()

with_a_mean = x @ (weights + sigma / 2)
assert 7 < with_a_mean.square().mean() / outputs.square().mean() < 9

# %%
# Forward: the inputs count
# -------------------------
#
# So one layer multiplies the variance by :math:`n_\mathrm{in}\sigma^2`. Only at 1 is it
# kept; above it grows, and *below it shrinks*. Then the next layer does the same, with the
# factor once more: 20 layers of 256 units turn a factor of 2 into a million, and one of ½
# into a millionth. :func:`dlcore.propagation.signal_propagation` measures and predicts it;
# here without any activation, over 10 draws of the network.


def layers(sizes: list[int], variance: Variance) -> list[linear.LinearParams]:
    """Return normal weights with the variance that the rule gives, and zero biases."""
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
    """Return measurement and prediction for 10 networks, one in each row."""
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
    """Draw the prediction as a line, and the mean and range of the measurements on it."""
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
ax.set_title("Above 1 the signal grows, below 1 it shrinks")
fig.set_label(
    "The variance of the signal at 20 layers, on a logarithmic axis: points on three "
    "straight lines. With the factor 2 it rises to a million, with 1 it stays, with "
    "0.5 it falls to a millionth."
)
plt.show()

# %%
# Backward: the outputs count
# ---------------------------
#
# The gradient with respect to an input is a sum as well, but over the outputs,
# :math:`\partial l/\partial x_j = \sum_{i=1}^{n_\mathrm{out}} w_{ij}\,\partial l/\partial
# o_i`. The same derivation gives it the factor :math:`n_\mathrm{out}\sigma^2`. If a layer
# has more inputs than outputs, no :math:`\sigma^2` keeps both at 1. Xavier's
# :math:`\sigma^2` keeps their mean at 1:
#
# .. math::
#
#     \tfrac12\,(n_\mathrm{in}\sigma^2 + n_\mathrm{out}\sigma^2) = 1 .
#
# It is a compromise, and it has a price: two numbers with mean 1 have a product of at most
# 1. So in a network whose layers have 100 and 400 units in turn, what one layer takes away
# the next does not quite give back. Each pair of layers multiplies the variance by
# :math:`0.4\cdot1.6 = 0.64`, on both ways, and ten pairs leave a hundredth. The forward
# rule alone, :math:`\sigma^2 = 1/n_\mathrm{in}`, does better here. Forward it is exact;
# backward its factors :math:`n_\mathrm{out}/n_\mathrm{in}` cancel along the network, but
# for the first and the last width.


def xavier(n_in: int, n_out: int) -> float:
    """Return the variance of Xavier's compromise."""
    return 2 / (n_in + n_out)


def forward_rule(n_in: int, n_out: int) -> float:  # noqa: ARG001  # as the compromise is called
    """Return the variance that keeps the signal on its way forward."""
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
axes[0].set(yscale="log", ylabel="variance", title="signal, forward →")
axes[1].set(title="← gradient, backward")
axes[0].text(7, 1.5, r"$\sigma^2 = 1/n_\mathrm{in}$", color="C1")
axes[0].text(7, 0.02, "Xavier", color="C0", ha="right")
axes[1].text(12.5, 0.05, "Xavier", color="C0")
for ax in axes:
    ax.set(xlabel="layer", xticks=[0, 10, 20], ylim=(0.004, 2.5))
fig.set_label(
    "Variance of signal and gradient at 20 layers of 100 and 400 units in turn. With "
    "Xavier's rule both fall in zigzags to about a hundredth, the signal to the right, "
    "the gradient to the left. With the forward rule the signal stays at 1, and the "
    "gradient goes between 1 and a quarter."
)
plt.show()

# %%
# ReLU: half of the square
# ------------------------
#
# All this was for sums without an activation, and it holds for one that is the identity
# near 0, as tanh is, while the signal is small. A ReLU is not: it sets the negative half of
# its inputs to 0, and so takes away half of their mean square. It is the mean square, not
# the variance, that the next layer's sum is made of, as the pixels have shown; its inputs
# no longer have mean 0.

z = torch.randn(100_000, generator=generator, dtype=torch.float64)
h = activations.relu(z)
assert abs(float(h.square().mean()) - 0.5) < 0.02
assert abs(float(h.mean()) - 1 / math.sqrt(2 * math.pi)) < 0.02
assert h.var() < 0.36

# %%
# Backward it does the same, with a slope of 0 for half of the units. So under a ReLU,
# Xavier's weights halve the signal in each layer, and after 30 layers a billionth is left.
# He's scheme doubles the variance of the weights,
#
# .. math::
#
#     \sigma^2 = \frac{2}{n_\mathrm{in}} .


def he(n_in: int, n_out: int) -> float:  # noqa: ARG001  # as the others are called
    """Return the variance that makes up for what a ReLU takes away."""
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
ax.set_title("Under a ReLU, He's weights keep the signal")
fig.set_label(
    "The mean square of the signal at 30 layers with a ReLU, on a logarithmic axis. "
    "With Xavier's weights it falls on a straight line to a billionth. With He's it "
    "stays at 2; the range over 10 networks widens with depth."
)
plt.show()

# %%
# The bars are the range over 10 networks. The prediction is a mean over all networks, and
# each of them is off by factors of its own, which pile up with depth.

of_he = relu_nets[he].forward_measured.log()
assert of_he[:, 30].std() > 2 * of_he[:, 2].std()

# %%
# The shape of the distribution
# -----------------------------
#
# Nothing above asks how the weights are distributed, beyond mean and variance. A uniform
# distribution on :math:`(-a, a)` has the variance :math:`a^2/3`, so :math:`a =
# \sqrt{6/(n_\mathrm{in} + n_\mathrm{out})}` is Xavier's as well.

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
# Weights with mean 0, drawn independently, make every cross term vanish, whatever the
# inputs. What remains is a factor per layer: :math:`n_\mathrm{in}\sigma^2` forward and
# :math:`n_\mathrm{out}\sigma^2` backward, each halved by a ReLU.
# :func:`dlcore.init.xavier_normal` and :func:`dlcore.init.xavier_uniform` strike the
# balance for tanh and its like, :func:`dlcore.init.he_normal` and
# :func:`dlcore.init.he_uniform` keep the forward way through a ReLU; of the two ways, one
# is enough, for the other differs by the first and the last width only.
# :func:`dlcore.mlp.init_mlp` draws whole networks by each of them, and
# :func:`dlcore.propagation.signal_propagation` tells what to expect of any other. What
# happens where the factors are not 1, and to narrow networks even where they are, is
# measured in :doc:`/auto_gallery/07_propagation/plot_vanishing_and_exploding`; why weights
# have to be random at all, in :doc:`/auto_gallery/07_propagation/plot_symmetry`.
