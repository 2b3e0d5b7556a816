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
</auto_gallery/07_propagation/plot_backpropagation_by_hand>`.

Setting
-------

A layer computes sums, and a deep network computes sums of sums. If each layer makes its signal a
little larger or smaller, many layers make it huge or negligible. *Xavier's* initialization chooses
the variance of the weights so that this does not happen. The derivation has one step that is easy
to overlook, two conditions that contradict each other, and two assumptions that may be wrong. This
tutorial measures each of them next to its formula.
"""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

from dlcore import activations, init, linear, propagation

# Change these numbers and run the script again.
seed = 0
width = 256
depth = 20
narrow = 100
wide = 400
n_networks = 8
claims = {}

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
# But the weights are independent of each other *and* have mean 0, so
# :math:`\mathrm{E}[w_{ij}w_{ik}] = \mathrm{E}[w_{ij}]\,\mathrm{E}[w_{ik}] = 0`. The weights make
# the cross terms vanish, and the inputs need no particular property. The figure shows all three
# matrices for the 64 pixels of the digits, with means over 5000 draws of the weights.

generator = torch.Generator().manual_seed(seed)
torch.manual_seed(seed)  # modules draw from the global generator

x = torch.as_tensor(load_digits().data) / 16
n_in, sigma = 64, 1 / 8
weights = init.normal((n_in, 5000), std=sigma, generator=generator, dtype=x.dtype)
of_inputs, of_weights = x.T @ x / len(x), weights @ weights.T / weights.shape[1]
diagonal = torch.eye(n_in, dtype=torch.bool)
claims["The products of two pixels are far from 0"] = (
    of_inputs[~diagonal].sum() > 10 * of_inputs[diagonal].sum()
)
claims["The mean products of two weights are close to 0"] = (
    of_weights[~diagonal].abs().max() < 0.1 * sigma**2
)

# Figure
fig, axes = plt.subplots(1, 3, figsize=(5.4, 2.2), layout="constrained")
pictures = {
    "inputs": of_inputs,
    "weights": of_weights,
    "their product": of_inputs * of_weights,
}
for ax, (title, matrix) in zip(axes, pictures.items(), strict=True):
    limit = matrix.abs().max()
    ax.imshow(matrix, cmap="PuOr_r", vmin=-limit, vmax=limit)
    ax.set_title(title)
    ax.set_axis_off()
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
#
# The cross terms vanish on average over draws. In a single draw they are as large as the squares,
# and they make one output differ from the next. They also return as soon as the weights have a mean
# other than 0: a mean of half their standard deviation makes the mean square of the outputs eight
# times as large.

outputs, gamma_squared = x @ weights, x.square().mean()
squares = x.square() @ weights.square()
crosses = outputs.square() - squares
claims["The variance of the outputs is n_in σ² γ²"] = (
    abs(outputs.square().mean() / (n_in * sigma**2 * gamma_squared) - 1) < 0.05
)
claims["The cross terms are large in a single draw and vanish on average"] = (
    crosses.square().mean() > squares.square().mean()
    and crosses.mean().abs() < 0.05 * squares.mean()
)
with_a_mean = x @ (weights + sigma / 2)
claims["With a mean of σ/2, the outputs are eight times as large"] = (
    7 < with_a_mean.square().mean() / outputs.square().mean() < 9
)

# %%
# Forward pass: the number of inputs matters
# ------------------------------------------
#
# So one layer multiplies the variance by :math:`n_\mathrm{in}\sigma^2`. If this factor is 1, the
# variance stays the same; above 1 it grows, and *below 1 it shrinks*. The next layer multiplies by
# the same factor again: 20 layers of 256 units turn a factor of 2 into a million, and a factor of ½
# into a millionth. :func:`dlcore.propagation.signal_propagation` measures and predicts this, here
# without any activation and over 8 draws of the network.


def measure(sizes, variance, activation):
    """Return measurements and predictions for each layer, as means over the networks."""
    variances = [variance(n_in, n_out) for n_in, n_out in pairwise(sizes)]
    results = []
    for _ in range(n_networks):
        params = [
            linear.LinearParams(
                init.normal(fans, std=math.sqrt(v), generator=generator),
                init.zeros(fans[1]),
            )
            for fans, v in zip(pairwise(sizes), variances, strict=True)
        ]
        inputs = torch.randn(32, sizes[0], generator=generator)
        options = {"activation": activation, "generator": generator}
        results.append(
            propagation.signal_propagation(
                params, inputs, variances=variances, **options
            )
        )
    means = (torch.stack(values).mean(0) for values in zip(*results, strict=True))
    return propagation.SignalPropagation(*means)


def digits_gained(values):
    """Return the decimal logarithm of the last value divided by the first."""
    return float((values[-1] / values[0]).log10())


square = [width] * (depth + 1)
factors = [2.0, 1.0, 0.5]
plain = {f: measure(square, lambda n_in, _, f=f: f / n_in, "identity") for f in factors}
for factor, result in plain.items():
    expected = depth * math.log10(factor)
    claims[f"With a factor of {factor}, the signal gains {expected:.1f} digits"] = (
        abs(digits_gained(result.forward_measured) - expected) < 0.3
    )


# Figure
def draw(ax, measured, predicted, color, label=None):
    """Draw the measurements as points and the prediction as a line."""
    ax.plot(measured, "o", markersize=4, color=color, label=label)
    ax.plot(predicted, linewidth=1, color=color)


fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for color, (factor, result) in zip(("C0", "C1", "C2"), plain.items(), strict=True):
    label = rf"$n_\mathrm{{in}}\sigma^2 = {factor}$"
    draw(ax, result.forward_measured, result.forward_predicted, color, label)
ax.set(yscale="log", xlabel="layer", ylabel="variance")
ax.set_title("Above a factor of 1 the signal grows, below it shrinks")
ax.legend(loc="upper left")
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

rules = {
    "Xavier": lambda n_in, n_out: 2 / (n_in + n_out),
    "1/n_in": lambda n_in, _: 1 / n_in,
    "He": lambda n_in, _: 2 / n_in,
}
in_turn = [narrow, wide] * (depth // 2) + [narrow]
nets = {
    name: measure(in_turn, rules[name], "identity") for name in ("Xavier", "1/n_in")
}
pairs = depth // 2 * math.log10(4 * narrow * wide / (narrow + wide) ** 2)
gained = {
    name: (digits_gained(r.forward_measured), -digits_gained(r.backward_measured))
    for name, r in nets.items()
}
claims["Xavier's rule loses in both directions where widths alternate"] = all(
    abs(digits - pairs) < 0.3 for digits in gained["Xavier"]
)
claims["The forward rule keeps both signal and gradient"] = all(
    abs(digits) < 0.2 for digits in gained["1/n_in"]
)

# Figure
fig, axes = plt.subplots(1, 2, figsize=(5.4, 3), sharey=True, layout="constrained")
for color, (name, r) in zip(("C0", "C1"), nets.items(), strict=True):
    draw(axes[0], r.forward_measured, r.forward_predicted, color, name)
    draw(axes[1], r.backward_measured, r.backward_predicted, color, name)
axes[0].set(yscale="log", xlabel="layer", title="Signal, forward →", ylabel="variance")
axes[1].set(xlabel="layer", title="← Gradient, backward")
axes[0].legend(loc="lower left")
fig.set_label(
    "The variance of signal and gradient at 20 layers of 100 and 400 units in turn. With "
    "Xavier's rule both fall in zigzags to about a hundredth, the signal to the right "
    "and the gradient to the left. With the forward rule the signal stays at 1, and the "
    "gradient alternates between 1 and a quarter."
)
plt.show()

# %%
# Are the weights independent of the gradient?
# --------------------------------------------
#
# In the forward pass the weights of a layer are independent of its inputs, because those depend on
# earlier weights only. In the backward pass, the derivation needs weights that are independent of
# the gradient :math:`\partial l/\partial\mathbf{o}`, and this is an assumption: the gradient depends
# on the outputs, which depend on these very weights. If the loss is
# :math:`\frac12\lVert\mathbf{o} - \mathbf{y}\rVert^2` and the targets are large, the gradient is
# nearly :math:`-\mathbf{y}`, and the assumption holds. If all targets are 0, the gradient is
# :math:`\mathbf{o} = \mathbf{W}\mathbf{x}` itself, and the result is
# :math:`(n_\mathrm{in} + n_\mathrm{out} + 1)/n_\mathrm{in}` times as large as predicted: twice as
# large in a square layer. A factor of 2 in the last layer does no harm, because it occurs once and
# not in each layer.


def backward_ratio(target_std):
    """Return the mean square of the gradient of the inputs, divided by its prediction."""
    shape = (400, 64, 64)  # 400 draws of a layer of 64 inputs and 64 outputs
    w = init.normal(shape, std=1 / 8, generator=generator)
    inputs = torch.randn(400, 1, 64, generator=generator)
    targets = target_std * torch.randn(400, 1, 64, generator=generator)
    of_outputs = inputs @ w - targets
    of_inputs = of_outputs @ w.mT
    return float(of_inputs.square().mean() / (64 / 64 * of_outputs.square().mean()))


claims["With large targets, the prediction is right"] = (
    abs(backward_ratio(10) - 1) < 0.1
)
claims["With targets of 0, the gradient is twice as large"] = (
    abs(backward_ratio(0) - (64 + 64 + 1) / 64) < 0.2
)

# %%
# ReLU: half of the mean square is lost
# -------------------------------------
#
# So far the layers had no activation. The results also hold for an activation that is close to the
# identity near 0, such as tanh, as long as the signal is small. They do not hold for a ReLU: it
# sets the negative half of its inputs to 0 and so removes half of their mean square. The next
# layer's sum depends on this mean square and not on the variance, as we saw with the pixels,
# because its inputs no longer have mean 0. In the backward pass the ReLU does the same, because its
# slope is 0 for half of the units. So with a ReLU, Xavier's weights halve the signal in each layer,
# and a billionth is left after 30 layers. He's scheme doubles the variance of the weights:
#
# .. math::
#
#     \sigma^2 = \frac{2}{n_\mathrm{in}} .

relu_depth = depth * 3 // 2
relu_nets = {
    name: measure([width] * (relu_depth + 1), rules[name], "relu")
    for name in ("He", "Xavier")
}
claims["With a ReLU, He's weights keep the signal"] = (
    abs(digits_gained(relu_nets["He"].forward_measured[1:])) < 0.4
)
claims["With a ReLU, Xavier's weights halve it in each layer"] = (
    abs(
        digits_gained(relu_nets["Xavier"].forward_measured[1:])
        + (relu_depth - 1) * math.log10(2)
    )
    < 0.4
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
for color, (name, r) in zip(("C1", "C0"), relu_nets.items(), strict=True):
    draw(ax, r.forward_measured, r.forward_predicted, color, name)
ax.set(yscale="log", xlabel="layer", ylabel="mean square")
ax.set_title("With a ReLU, He's weights keep the signal")
ax.legend(loc="lower left")
fig.set_label(
    "The mean square of the signal at 30 layers with a ReLU, on a logarithmic axis. "
    "With Xavier's weights it falls along a straight line to a billionth. With He's "
    "weights it stays at 2."
)
plt.show()

# %%
# Which distribution, and what does nn.Linear draw?
# -------------------------------------------------
#
# Nothing above depends on the distribution of the weights beyond its mean and variance. A uniform
# distribution on :math:`(-a, a)` has the variance :math:`a^2/3`, so :math:`a =
# \sqrt{6/(n_\mathrm{in} + n_\mathrm{out})}` gives Xavier's variance as well. A module's default is
# neither Xavier's nor He's: :class:`torch.nn.Linear` draws weights *and biases* uniformly from
# :math:`\pm1/\sqrt{n_\mathrm{in}}`. The variance of the weights is :math:`1/(3n_\mathrm{in})`, a
# sixth of He's. So in a deep network of default layers with ReLU, the signal from the inputs
# becomes six times as small with each layer, and soon only the biases are left: every image gives
# the same output.

layer = nn.Linear(300, 200)
drawn = {
    "xavier_uniform": init.xavier_uniform(300, 200, generator=generator),
    "xavier_normal": init.xavier_normal(300, 200, generator=generator),
    "nn.Linear": layer.weight.detach(),
}
bound = math.sqrt(6 / (300 + 200))
assert drawn["xavier_uniform"].abs().max() <= bound, "uniform weights have a bound"
for name in ("xavier_uniform", "xavier_normal"):
    claims[f"{name} has the variance 2 / (n_in + n_out)"] = (
        abs(drawn[name].var() * (300 + 200) / 2 - 1) < 0.05
    )
claims["Weights and biases of nn.Linear have the variance 1 / (3 n_in)"] = (
    abs(drawn["nn.Linear"].var() * 3 * 300 - 1) < 0.05
    and abs(layer.bias.var() * 3 * 300 - 1) < 0.3
)
default = nn.Sequential(
    *[part for _ in range(depth) for part in (nn.Linear(width, width), nn.ReLU())]
)
with torch.no_grad():
    last = default(torch.randn(100, width, generator=generator))
claims["Default layers with ReLU forget their inputs"] = (
    last.std(0).mean() < 0.01 * last.square().mean().sqrt()
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for name, values in drawn.items():
    ax.hist(
        values.flatten(), 80, density=True, histtype="step", linewidth=2, label=name
    )
ax.set(xlabel="weight", ylabel="density", xlim=(-0.25, 0.4))
ax.set_title("Weights of a layer from 300 to 200 units")
ax.legend(loc="upper right")
fig.set_label(
    "Three densities of weights. xavier_uniform is flat between -0.11 and 0.11, "
    "xavier_normal is a bell with the same variance, and nn.Linear is flat between "
    "-0.058 and 0.058, about twice as high."
)
plt.show()

# %%
# A recipe for each activation
# ----------------------------
#
# An activation :math:`\phi` needs the variance :math:`g^2/n_\mathrm{in}` with the *gain*
# :math:`g = 1/\sqrt{\mathrm{E}[\phi(z)^2]}` for a standard normal :math:`z`, which
# :func:`dlcore.propagation.gaussian_expectation` computes.
#
# .. list-table::
#    :header-rows: 1
#
#    * - activation
#      - initial weights, biases 0
#    * - none
#      - ``xavier_uniform(n_in, n_out)``
#    * - tanh
#      - ``xavier_uniform(n_in, n_out)``, or with ``gain=5/3`` in deep networks
#    * - ReLU
#      - ``he_normal(n_in, n_out)``, whose gain is :math:`\sqrt2`
#    * - leaky ReLU of slope *a*
#      - ``he_normal(n_in, n_out, gain=(2 / (1 + a**2)) ** 0.5)``
#    * - GELU
#      - ``he_normal(n_in, n_out, gain=1.53)``
#    * - swish
#      - ``he_normal(n_in, n_out, gain=1.68)``
#    * - sigmoid
#      - none keeps the gradient in a deep network; use another activation
#
# ReLU and leaky ReLU multiply a signal of any size by the same factor, so their gain holds for each
# layer. For GELU and swish it holds for a mean square of 1 alone: a smaller signal shrinks and a
# larger one grows, so deep networks with them need normalization layers as well.
#
# For the weights of a module, use the in-place forms ``he_normal_(layer.weight)`` and so on. They
# know that a module's weights are transposed, (n_out, n_in).


def mean_square(activation, variance=1.0):
    """Return the mean square of an activation of normal values of this variance."""
    variance = torch.tensor(variance, dtype=torch.float64)
    return float(
        propagation.gaussian_expectation(lambda z: activation(z) ** 2, variance)
    )


def leaky(z):
    """Return the leaky ReLU of slope 0.2."""
    return activations.prelu(z, 0.2)


recipes = {
    activations.relu: 2**0.5,
    leaky: (2 / (1 + 0.2**2)) ** 0.5,
    activations.gelu: 1.53,
    activations.swish: 1.68,
}
for activation, listed in recipes.items():
    name = activation.__name__
    gain = mean_square(activation) ** -0.5
    assert abs(gain - listed) < 0.006, "the gain in the table"
    h = torch.randn(100, width, generator=generator) / gain
    weight = init.he_normal(width, width, gain=gain, generator=generator)
    after = activation(h @ weight).square().mean()
    claims[f"With its gain, a layer of {name} keeps the signal"] = (
        0.8 < after * gain**2 < 1.25
    )
    growth = mean_square(activation, 1.1) / mean_square(activation)  # for 10 % more
    balanced = math.isclose(growth, 1.1, rel_tol=1e-4)
    assert balanced if name in ("relu", "leaky") else growth > 1.11, "stable or not"
init.he_normal_(layer.weight, generator=generator)
claims["In a module, he_normal_ gives the variance 2 / n_in"] = (
    abs(layer.weight.detach().var() * 300 / 2 - 1) < 0.05
)

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
# these schemes; for modules there are :func:`dlcore.init.xavier_uniform_`,
# :func:`dlcore.init.xavier_normal_`, :func:`dlcore.init.he_uniform_` and
# :func:`dlcore.init.he_normal_`. :doc:`/auto_gallery/07_propagation/plot_vanishing_and_exploding`
# measures what happens if the factors are not 1, and what happens in narrow networks even if they
# are. :doc:`/auto_gallery/07_propagation/plot_symmetry` explains why weights have to be random at
# all.

# %%
# Exercises
# ---------
#
# **1.** Which interval does :func:`dlcore.init.he_uniform` draw from?

# Solution
uniform = init.he_uniform(300, 200, generator=generator)
bound = math.sqrt(3 * 2 / 300)
assert uniform.abs().max() <= bound, "from ±√(3 σ²) = ±√(6 / n_in)"
claims["A large sample nearly reaches the bound"] = uniform.abs().max() > 0.99 * bound

# %%
# **2.** What happens to Xavier's variance if you pass the shape of a module's weight, (n_out, n_in), as
# (n_in, n_out)? And to He's?

# Solution
swapped = rules["Xavier"](200, 300), rules["He"](200, 300)
assert swapped[0] == rules["Xavier"](300, 200), "Xavier's is symmetric"
assert math.isclose(swapped[1], 1.5 * rules["He"](300, 200)), "He's has the wrong fan"

# %%
# **3.** Dropout with :math:`p = \frac12` doubles the mean square of the hidden values. Should the
# initial weights be smaller then?

# Solution
h = torch.randn(2000, width, generator=generator)
kept = (torch.rand(h.shape, generator=generator) >= 0.5) / 0.5
claims["Dropout of one half doubles the mean square of a signal"] = (
    abs((h * kept).square().mean() / h.square().mean() - 2) < 0.1
)
# In training, a gain smaller by √(1 − p) keeps the signal; in use, the signal then shrinks.

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
