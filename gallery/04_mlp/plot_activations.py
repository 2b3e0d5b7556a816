r"""
Which activation lets gradients through?
========================================

An affine map of an affine map is an affine map: without something in between, a hundred
layers are one. That something is the activation :math:`\phi`, applied to every entry alone,
and for learning its slope counts more than its values. Backpropagation multiplies by
:math:`\phi'` once in every layer,

.. math::

    h_k = \phi(z_k), \qquad
    \frac{\partial J}{\partial z_k} = \frac{\partial J}{\partial h_k}\,\phi'(z_k),

so a slope that is always small makes the gradient vanish. Here are seven activations with their
slopes: how large they get, where they are zero, and what that means for depth.
"""

import math

import matplotlib.pyplot as plt
import torch

from dlcore import activations, likelihood, mlp

ink = plt.rcParams["text.color"]

# %%
# Why bend at all
# ---------------
#
# First the claim above. A network of three layers with the identity as its activation is the
# one layer that the product of its weights makes. With any of the others it is not.

generator = torch.Generator().manual_seed(0)
params = mlp.init_mlp([4, 16, 16, 3], generator=generator, dtype=torch.float64)
inputs = torch.randn(50, 4, generator=generator, dtype=torch.float64)
one_layer = inputs @ params[0].weight @ params[1].weight @ params[2].weight
assert torch.allclose(mlp.mlp(params, inputs, activation="identity"), one_layer)
for name in ("relu", "sigmoid", "tanh", "softplus", "gelu", "swish"):
    assert not torch.allclose(mlp.mlp(params, inputs, activation=name), one_layer)

# %%
# Slopes are computed by automatic differentiation, one for each point. A formula on paper
# should say the same; it stands with each function in its documentation.

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
    """Draw each activation and its slope in a panel of its own."""
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
# Those that saturate
# -------------------
#
# The sigmoid maps the line to (0, 1) and tanh, the same curve stretched, to (−1, 1). Both
# flatten out on both sides. The sigmoid's slope is nowhere above a *quarter*, that of tanh
# nowhere above 1, and both reach it at 0 only. At 5 the one is below 0.007, the other below
# 0.0002.

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
    "slope is a low hump of height one quarter. tanh rises from -1 to 1, and its slope is a hump of "
    "height 1.",
)
axes[0].text(3.9, 0.85, "value", color="C0", ha="right", va="top")
axes[0].text(2.2, 0.2, "slope", color="C1", ha="left")
plt.show()

# %%
# Rounding makes it worse. In float32 the slope of tanh, :math:`1 - \tanh^2 x`, is exactly zero
# at 10, where it should be :math:`8\cdot 10^{-9}`. That of the sigmoid is zero at 20, but not
# at −20, where :math:`\sigma` is small and keeps its digits. A unit that far out learns nothing
# any more.

ten, twenty = torch.tensor(10.0), torch.tensor(20.0)
assert torch.func.grad(activations.tanh)(ten) == 0
assert torch.func.grad(activations.tanh)(ten.double()) > 8e-9
assert torch.func.grad(activations.sigmoid)(twenty) == 0
assert torch.func.grad(activations.sigmoid)(-twenty) > 2e-9

# %%
# Those with a kink
# -----------------
#
# ReLU has only two slopes, 1 and 0. Where it is on, a gradient passes unchanged, through any
# number of layers; where it is off, nothing passes, and a unit that is off for every example is
# dead. pReLU leaves a slope :math:`\alpha` on that side, a quarter here, and learns it: its
# gradient with respect to :math:`\alpha` is :math:`\min(z, 0)`.

assert set(slopes["ReLU"].tolist()) == {0, 1}
assert set(slopes["pReLU"].tolist()) <= {0.25, 1, 0.625}
of_alpha = torch.func.jacfwd(lambda alpha: activations.prelu(x, alpha))
assert torch.allclose(of_alpha(torch.tensor(0.25, dtype=x.dtype)), x.clamp(max=0))

axes = draw(
    ("ReLU", "pReLU"),
    (-1.15, 2.3),
    "Two panels, ReLU and pReLU with their slopes. ReLU is 0 up to 0 and then rises with slope 1; "
    "its slope jumps from 0 to 1. pReLU has the slope one quarter on the left, so that its values "
    "are negative there.",
)
axes[0].text(1.3, 1.9, "value", color="C0", ha="right")
axes[0].text(3.9, 0.8, "slope", color="C1", ha="right", va="top")
plt.show()

# %%
# Those that are smooth
# ---------------------
#
# Softplus rounds the kink off: it is the smooth maximum of :math:`z` and 0, and its slope is
# the sigmoid. GELU and swish are :math:`z` times a probability, of a normal and of a logistic
# variable to be smaller. They dip below zero, to −0.17 and −0.28, and their slopes leave the
# range from 0 to 1 a little: from −0.13 to 1.13, and from −0.10 to 1.10.

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
    "slope is the sigmoid. GELU and swish dip below 0 before they rise, and their slopes "
    "dip below 0 and later rise a little above 1.",
)
axes[0].text(0.6, 1.9, "value", color="C0", ha="right")
axes[0].text(3.9, 0.82, "slope", color="C1", ha="right", va="top")
plt.show()

# %%
# What is left after many layers
# ------------------------------
#
# Two numbers tell what an activation does to a gradient in one layer: the largest slope it has,
# the best case; and the root mean square of its slope if the pre-activations are standard
# normal, which a good initialization aims at,
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
# For the sigmoid even the best case is a quarter: whatever the data and the biases, ten layers
# divide the gradient by a million or more, and 75 layers leave less than the smallest number of
# float32. Its typical slope is 0.21. All the others can keep a gradient as it is in the best
# case, and have typical slopes between 0.5 and 0.75. The weights have to make up for the rest:
# ReLU's typical slope is :math:`\sqrt{1/2}`, and this is where the :math:`\sqrt2` of He's
# initialization comes from.

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
ax.text(1.02, -0.1, "kept as it is", va="center")
ax.set_yticks(range(len(order)), labels=order)
ax.set(
    xlim=(0, 1.3), ylim=(-0.5, top + 0.8), xlabel="factor on the gradient in one layer"
)
ax.set_title("Even at its best, the sigmoid takes three quarters")
fig.set_label(
    "For each activation, the typical and the largest slope. Sigmoid: 0.21 and 0.25. The others, "
    "softplus, swish, GELU, tanh, ReLU and pReLU, have typical slopes between 0.54 and 0.73, "
    "and largest ones from 1 to 1.13."
)
plt.show()

# %%
# Conclusion
# ----------
#
# :func:`dlcore.activations.sigmoid` belongs at the output, where a probability is wanted, and
# :func:`dlcore.activations.relu`, :func:`dlcore.activations.gelu` or
# :func:`dlcore.activations.swish` in between. :func:`dlcore.activations.prelu` mends dead units
# with a slope to learn, :func:`dlcore.activations.tanh` is the one that saturates but starts
# with slope 1, and :func:`dlcore.activations.softplus` is for numbers that must be positive.
# How weights and slopes together decide over a whole network is measured by
# :func:`dlcore.propagation.signal_propagation`, and used in
# :doc:`/auto_gallery/07_propagation/plot_xavier_understood`. What a network makes of its bends
# is the subject of :doc:`/auto_gallery/04_mlp/plot_mlp_looked_into`.
