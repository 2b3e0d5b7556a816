r"""
Activation functions: which ones let gradients through?
=======================================================

The slope of an activation function determines how much of a gradient passes through a layer.

In short
--------

Backpropagation multiplies by the slope of the activation once per layer. The slope of the sigmoid
is at most ¼, so ten layers divide the gradient by a million or more; tanh, ReLU, pReLU, softplus,
GELU and swish can have slope 1, and keep the gradient with suitable weights.

.. math::

    h_k = \phi(z_k), \qquad
    \frac{\partial J}{\partial z_k} = \frac{\partial J}{\partial h_k}\,\phi'(z_k) .

*Prerequisites:* derivatives and the chain rule. *Reading time:* 10 minutes.

Why the slope matters
---------------------

The composition of affine maps is an affine map: without activations, a hundred layers are
equivalent to one. The activation :math:`\phi` is applied to each entry separately. For training,
its slope matters more than its values: if :math:`\phi'` is small everywhere, the gradient vanishes.
This tutorial shows seven activations with their slopes: how large the slopes become, where they are
zero, and what this means for deep networks.
"""

import math

import matplotlib.pyplot as plt
import torch

from dlcore import activations, likelihood, mlp

ink = plt.rcParams["text.color"]

# %%
# Without activations, a network is one affine map
# ------------------------------------------------
#
# First we check the claim above. A network of three layers with the identity as its activation
# equals a single layer, whose weight is the product of the three weights. With any of the other
# activations it does not.

generator = torch.Generator().manual_seed(0)
params = mlp.init_mlp([4, 16, 16, 3], generator=generator, dtype=torch.float64)
inputs = torch.randn(50, 4, generator=generator, dtype=torch.float64)
one_layer = inputs @ params[0].weight @ params[1].weight @ params[2].weight
assert torch.allclose(mlp.mlp(params, inputs, activation="identity"), one_layer)
for name in ("relu", "sigmoid", "tanh", "softplus", "gelu", "swish"):
    assert not torch.allclose(mlp.mlp(params, inputs, activation=name), one_layer)

# %%
# We compute the slope at each point by automatic differentiation, and compare it with the formula
# in the documentation of each function.

x = torch.linspace(-6, 6, 1201, dtype=torch.float64)
functions = {
    "sigmoid": activations.sigmoid,
    "tanh": activations.tanh,
    "ReLU": activations.relu,
    "pReLU": lambda x: activations.prelu(x, 0.25),
    "softplus": activations.softplus,
    "GELU": activations.gelu,
    "swish": activations.swish,
}


def slope(function, x):
    """Return the derivative of an elementwise function at each point."""
    return torch.func.vmap(torch.func.grad(function))(x)


values = {name: function(x) for name, function in functions.items()}
slopes = {name: slope(function, x) for name, function in functions.items()}
sigma = activations.sigmoid(x)
cdf, density = torch.erfc(-x / math.sqrt(2)) / 2, likelihood.normal_density(x)
on_paper = {
    "sigmoid": sigma * (1 - sigma),
    "tanh": 1 - activations.tanh(x) ** 2,
    "ReLU": (x > 0).double(),
    "pReLU": torch.where(x > 0, 1, 0.25).double(),
    "softplus": sigma,
    "GELU": cdf + x * density,
    "swish": sigma + x * sigma * (1 - sigma),
}
for name in functions:
    off_kink = x.abs() > 1e-9
    assert torch.allclose(slopes[name][off_kink], on_paper[name][off_kink])


def draw(names, ylim, label):
    """Draw each activation and its slope in a separate panel."""
    size = (6, 3.2)
    fig, axes = plt.subplots(
        1, len(names), figsize=size, sharey=True, layout="constrained"
    )
    for ax, name in zip(axes, names, strict=True):
        ax.axhline(0, color=ink, linewidth=0.5)
        ax.axhline(1, color=ink, linewidth=0.5, linestyle=":")
        ax.plot(x, values[name], color="C0")
        jump = x.abs() < 1e-9 if name in ("ReLU", "pReLU") else x.isnan()
        ax.plot(x, slopes[name].masked_fill(jump, math.nan), color="C1")
        ax.set(xlim=(-4, 4), ylim=ylim, xticks=[-3, 0, 3], xlabel="z", title=name)
    fig.set_label(label)
    return axes


# %%
# Saturating activations: sigmoid and tanh
# ----------------------------------------
#
# The sigmoid maps the real line to (0, 1), and tanh, the same curve rescaled, maps it to (−1, 1).
# Both become flat on both sides. The slope of the sigmoid is at most a *quarter* and that of tanh
# at most 1, and both reach their maximum only at 0. At 5 the slope of the sigmoid is below 0.007
# and that of tanh below 0.0002.

assert torch.allclose(values["tanh"], 2 * activations.sigmoid(2 * x) - 1)
for name, bound, at_5 in [("sigmoid", 0.25, 0.007), ("tanh", 1, 0.0002)]:
    assert bound - 1e-9 < slopes[name].max() <= bound
    assert x[slopes[name].argmax()].abs() < 1e-9
    assert (slopes[name] > 0).all()
    assert (slopes[name][x.abs() >= 5] < at_5).all()

axes = draw(
    ("sigmoid", "tanh"),
    (-1.15, 1.15),
    "Two panels, the sigmoid and tanh with their slopes. The sigmoid rises from 0 to 1, and its "
    "slope is a low peak of height one quarter. tanh rises from -1 to 1, and its slope is a peak of "
    "height 1.",
)
axes[0].text(3.9, 0.85, "value", color="C0", ha="right", va="top")
axes[0].text(2.2, 0.2, "slope", color="C1", ha="left")
plt.show()

# %%
# Rounding makes it worse. In float32 the slope of tanh, :math:`1 - \tanh^2 x`, is computed as
# exactly zero at 10, where it should be :math:`8\cdot 10^{-9}`. The slope of the sigmoid is
# computed as zero at 20, but not at −20, where :math:`\sigma` is small and has full relative
# precision. A unit so far out does not learn any more.

ten, twenty = torch.tensor(10.0), torch.tensor(20.0)
assert torch.func.grad(activations.tanh)(ten) == 0
assert torch.func.grad(activations.tanh)(ten.double()) > 8e-9
assert torch.func.grad(activations.sigmoid)(twenty) == 0
assert torch.func.grad(activations.sigmoid)(-twenty) > 2e-9

# %%
# Piecewise linear activations: ReLU and pReLU
# --------------------------------------------
#
# ReLU has only two slopes, 1 and 0. Where it is on, a gradient passes unchanged, through any number
# of layers; where it is off, no gradient passes. A unit that is off for every example is dead.
# pReLU has a slope :math:`\alpha` on that side, a quarter here, and learns it: its gradient with
# respect to :math:`\alpha` is :math:`\min(z, 0)`.

assert set(slopes["ReLU"].tolist()) == {0, 1}
assert set(slopes["pReLU"].tolist()) <= {0.25, 1, 0.625}
of_alpha = torch.func.jacfwd(lambda alpha: activations.prelu(x, alpha))
assert torch.allclose(of_alpha(torch.tensor(0.25, dtype=x.dtype)), x.clamp(max=0))

axes = draw(
    ("ReLU", "pReLU"),
    (-1.15, 2.3),
    "Two panels, ReLU and pReLU with their slopes. ReLU is 0 for negative z and then rises with "
    "slope 1; its slope jumps from 0 to 1. pReLU has slope one quarter on the left, so its values "
    "are negative there.",
)
axes[0].text(1.3, 1.9, "value", color="C0", ha="right")
axes[0].text(3.9, 0.8, "slope", color="C1", ha="right", va="top")
plt.show()

# %%
# Smooth activations: softplus, GELU and swish
# --------------------------------------------
#
# Softplus is a smooth ReLU: it is the smooth maximum of :math:`z` and 0, and its slope is the
# sigmoid. GELU and swish are :math:`z` times a probability, namely that a normal or a logistic
# variable is smaller than :math:`z`. They fall below zero, to −0.17 and −0.28, and their slopes
# leave the range from 0 to 1 slightly: from −0.13 to 1.13, and from −0.10 to 1.10.

stacked = torch.stack([x, torch.zeros_like(x)], dim=1)
assert torch.allclose(values["softplus"], activations.log_sum_exp(stacked))
assert torch.allclose(slopes["softplus"], values["sigmoid"])
assert torch.allclose(values["GELU"], x * cdf)
assert torch.allclose(values["swish"], x * sigma)
ranges = {"GELU": (-0.17, -0.13, 1.13), "swish": (-0.28, -0.10, 1.10)}
for name, (least, lowest, highest) in ranges.items():
    assert abs(values[name].min() - least) < 0.005
    assert abs(slopes[name].min() - lowest) < 0.005
    assert abs(slopes[name].max() - highest) < 0.005
    assert torch.allclose(slopes[name] + slopes[name].flip(0), torch.ones_like(x))
assert abs(x[slopes["GELU"].argmax()] - math.sqrt(2)) < 0.01

axes = draw(
    ("softplus", "GELU", "swish"),
    (-0.5, 2.3),
    "Three panels, softplus, GELU and swish with their slopes. Softplus rises from 0, and its "
    "slope is the sigmoid. GELU and swish fall slightly below 0 before they rise, and their slopes "
    "fall below 0 and later rise slightly above 1.",
)
axes[0].text(0.6, 1.9, "value", color="C0", ha="right")
axes[0].text(3.9, 0.82, "slope", color="C1", ha="right", va="top")
plt.show()

# %%
# The gradient after many layers
# ------------------------------
#
# Two numbers describe the effect of an activation on a gradient in one layer. One is the largest
# slope, the best case. The other is the root mean square of the slope if the pre-activations are
# standard normal, which a good initialization aims at,
#
# .. math::
#
#     \max_z |\phi'(z)| \qquad\text{and}\qquad \sqrt{\mathbb{E}\,\phi'(z)^2},\quad z\sim\mathcal{N}(0, 1) .

weights = likelihood.normal_density(x) * (x[1] - x[0])
assert abs(weights.sum() - 1) < 1e-6
largest = {name: float(s.abs().max()) for name, s in slopes.items()}
typical = {name: math.sqrt(weights @ s**2) for name, s in slopes.items()}
print({name: round(size, 3) for name, size in typical.items()})

# %%
# For the sigmoid, even the best case is a quarter. Whatever the data and the biases, the slopes of
# ten layers divide the gradient by a million or more, and those of 75 layers reduce it below the
# smallest positive number of float32. Its typical slope is 0.21. In the best case, all the others
# keep the gradient unchanged, and their typical slopes are between 0.5 and 0.75. The weights have
# to make up for this: ReLU's typical slope is :math:`\sqrt{1/2}`, the reason for the factor
# :math:`\sqrt2` in He initialization.

assert math.isclose(largest["sigmoid"], 0.25)
assert 0.25**10 < 1e-6
assert torch.tensor(0.25**75, dtype=torch.float32) == 0
assert 0.2 < typical["sigmoid"] < 0.22
assert abs(typical["ReLU"] - math.sqrt(0.5)) < 0.01
for name in functions:
    if name != "sigmoid":
        assert largest[name] > 0.99
        assert 0.5 < typical[name] < 0.75

fig, ax = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
order = sorted(functions, key=typical.get)
for row, name in enumerate(order):
    ax.plot([typical[name], largest[name]], [row, row], color=ink, linewidth=0.5)
    ax.plot(typical[name], row, "o", color="C0", markersize=9)
    ax.plot(largest[name], row, "D", color="C1", markersize=8)
ax.axvline(1, color=ink, linewidth=1, linestyle="--", zorder=0)
top = len(order) - 1
ax.text(typical[order[top]], top + 0.35, "typical", color="C0", ha="center")
ax.text(1.02, top + 0.35, "largest", color="C1")
ax.text(1.02, -0.1, "unchanged", va="center")
ax.set_yticks(range(len(order)), labels=order)
ax.set(
    xlim=(0, 1.3), ylim=(-0.5, top + 0.8), xlabel="factor on the gradient in one layer"
)
ax.set_title("The sigmoid keeps at most a quarter of the gradient")
fig.set_label(
    "The typical and the largest slope of each activation. Sigmoid: 0.21 and 0.25. "
    "The others, softplus, swish, GELU, tanh, ReLU and pReLU, have typical slopes "
    "between 0.54 and 0.73, and largest slopes from 1 to 1.13."
)
plt.show()

# %%
# Conclusion
# ----------
#
# Use :func:`dlcore.activations.sigmoid` at the output, for a probability, and
# :func:`dlcore.activations.relu`, :func:`dlcore.activations.gelu` or
# :func:`dlcore.activations.swish` in the hidden layers. :func:`dlcore.activations.prelu` prevents
# dead units by a learned slope. :func:`dlcore.activations.tanh` saturates, but its slope at 0 is 1.
# :func:`dlcore.activations.softplus` is for values that must be positive.
# :func:`dlcore.propagation.signal_propagation` measures the joint effect of weights and slopes in a
# whole network; the tutorial on :doc:`Xavier initialization
# </auto_gallery/07_propagation/plot_xavier_understood>` uses it. The tutorial on :doc:`multilayer
# perceptrons </auto_gallery/04_mlp/plot_mlp_looked_into>` shows what a network can represent with
# these functions.
