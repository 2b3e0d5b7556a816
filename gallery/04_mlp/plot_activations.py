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

*Prerequisites:* derivatives and the chain rule.

Why the slope matters
---------------------

The composition of affine maps is an affine map: without activations, a hundred layers are
equivalent to one. The activation :math:`\phi` is applied to each entry separately. For training,
its slope matters more than its values: if :math:`\phi'` is small everywhere, the gradient vanishes.
This tutorial shows seven activations with their slopes: how large the slopes become, where they are
zero, how a unit with ReLU dies, and what all this means for deep networks.
"""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation

from dlcore import activations, likelihood, losses, mlp, optim

# Change these numbers and run the script again.
seed = 0
width = 16
alpha = 0.25
lr = 0.4
long_step = 4.0
n_steps = 200
max_depth = 30
claims = {}

# %%
# Without activations, a network is one affine map
# ------------------------------------------------
#
# First we check the claim above. A network of three layers with the identity as its activation
# equals a single layer, whose weight is the product of the three weights. With any of the other
# activations it does not.

generator = torch.Generator().manual_seed(seed)
params = mlp.init_mlp([4, width, width, 3], generator=generator, dtype=torch.float64)
inputs = torch.randn(50, 4, generator=generator, dtype=torch.float64)
one_layer = inputs @ params[0].weight @ params[1].weight @ params[2].weight
affine = mlp.mlp(params, inputs, activation="identity")
assert torch.allclose(affine, one_layer), "without activations, one layer"
claims["With activations, a network is not one layer"] = not any(
    torch.allclose(mlp.mlp(params, inputs, activation=name), one_layer)
    for name in ("relu", "sigmoid", "tanh", "softplus", "gelu", "swish")
)

# %%
# We compute the slope at each point by automatic differentiation, and compare it with the formula
# in the documentation of each function.

x = torch.linspace(-6, 6, 1201, dtype=torch.float64)
functions = {
    "sigmoid": activations.sigmoid,
    "tanh": activations.tanh,
    "ReLU": activations.relu,
    "pReLU": lambda z: activations.prelu(z, alpha),
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
    "pReLU": torch.where(x > 0, 1, alpha).double(),
    "softplus": sigma,
    "GELU": cdf + x * density,
    "swish": sigma + x * sigma * (1 - sigma),
}
off_kink = x.abs() > 1e-9
for name in functions:
    same = torch.allclose(slopes[name][off_kink], on_paper[name][off_kink])
    assert same, f"the slope of {name} on paper"

# %%
# Saturating activations: sigmoid and tanh
# ----------------------------------------
#
# The sigmoid maps the real line to (0, 1), and tanh, the same curve rescaled, maps it to (−1, 1).
# Both become flat on both sides. The slope of the sigmoid is at most a *quarter* and that of tanh
# at most 1, and both reach their maximum only at 0. At 5 the slope of the sigmoid is below 0.007
# and that of tanh below 0.0002.

rescaled = 2 * activations.sigmoid(2 * x) - 1
assert torch.allclose(values["tanh"], rescaled), "tanh is a rescaled sigmoid"
for name, bound, at_5 in [("sigmoid", 0.25, 0.007), ("tanh", 1, 0.0002)]:
    assert bound - 1e-9 < slopes[name].max() <= bound, "the largest slope"
    assert x[slopes[name].argmax()].abs() < 1e-9, "it is at 0"
    assert (slopes[name] > 0).all(), "the slope is never zero"
    assert (slopes[name][x.abs() >= 5] < at_5).all(), "but both sides are flat"


# Figure
def draw(names):
    """Draw some activations in one panel and their slopes in another."""
    fig, axes = plt.subplots(1, 2, figsize=(5.6, 3.1), layout="constrained")
    for ax, curves, title in zip(
        axes, (values, slopes), ("Value", "Slope"), strict=True
    ):
        for name in names:
            ax.plot(x[200:-200], curves[name][200:-200], label=name)
        ax.set(xlabel="z", title=title)
        ax.grid(visible=True)
    axes[0].legend()
    return fig


fig = draw(["sigmoid", "tanh"])
fig.set_label(
    "Two panels. Left, the values: the sigmoid rises from 0 to 1 and tanh from -1 to 1. Right, the "
    "slopes: two peaks at 0, of height one quarter for the sigmoid and of height 1 for tanh. Both "
    "slopes are close to 0 at -4 and 4."
)
plt.show()

# %%
# Rounding makes it worse. In float32 the slope of tanh, :math:`1 - \tanh^2 x`, is computed as
# exactly zero at 10, where it should be :math:`8\cdot 10^{-9}`. The slope of the sigmoid is
# computed as zero at 20, but not at −20, where :math:`\sigma` is small and has full relative
# precision. A unit with such a pre-activation stops learning.

ten, twenty = torch.tensor(10.0), torch.tensor(20.0)
of_tanh, of_sigmoid = map(torch.func.grad, (activations.tanh, activations.sigmoid))
assert of_tanh(ten) == 0, "zero in float32"
assert of_tanh(ten.double()) > 8e-9, "not in float64"
assert of_sigmoid(twenty) == 0, "zero on the right"
assert of_sigmoid(-twenty) > 2e-9, "not on the left"

# %%
# Piecewise linear activations: ReLU and pReLU
# --------------------------------------------
#
# ReLU has only two slopes, 1 and 0. Where it is on, a gradient passes unchanged, through any number
# of layers; where it is off, no gradient passes. pReLU has a slope :math:`\alpha` on that side, a
# quarter here, and learns it: its gradient with respect to :math:`\alpha` is :math:`\min(z, 0)`.

assert set(slopes["ReLU"].tolist()) == {0, 1}, "two slopes"
of_alpha = torch.func.jacfwd(lambda alpha: activations.prelu(x, alpha))
at_alpha = of_alpha(torch.tensor(alpha, dtype=x.dtype))
assert torch.allclose(at_alpha, x.clamp(max=0)), "the gradient with respect to α"

# Figure
fig = draw(["ReLU", "pReLU"])
fig.set_label(
    "Two panels. Left, the values: ReLU is 0 for negative z and then rises with slope 1; pReLU is "
    "the same line for positive z, and a flatter line below 0 for negative z. Right, the slopes: "
    "both jump at 0, ReLU from 0 to 1, and pReLU from one quarter to 1."
)
plt.show()

# %%
# Dead ReLU: one long step ends the learning
# ------------------------------------------
#
# A unit that is off for every example gets no gradient at all. It is *dead*: no later step can turn
# it on again. Take one unit :math:`h = \phi(wx + b)` that is to learn :math:`\max(x, 0)` from
# points between −1 and 1. It starts at :math:`w = b = 1`, so its outputs are too large. With a
# learning rate of 0.4 it learns. But if the first step is ten times as long, the bias falls to −2,
# and the unit is off for every point. Its loss never changes again. A unit with pReLU takes the
# same step, gets a quarter of the gradient on the other side, and recovers.

points = torch.linspace(-1, 1, 101, dtype=torch.float64)
targets = points.clamp(min=0)


def train(activation, first_lr):
    """Return the losses and the last weights of one unit; its first step has its own rate."""

    def mean_loss(params):
        w, b = params
        return losses.squared_loss(activation(w * points + b), targets).mean()

    params, found = (torch.ones(()).double(), torch.ones(()).double()), []
    for step in range(n_steps):
        grads, loss = torch.func.grad_and_value(mean_loss)(params)
        found.append(float(loss))
        params = optim.sgd_step(params, grads, lr=lr if step else first_lr)
    return found, params


runs = {
    "ReLU": train(functions["ReLU"], lr),
    "ReLU, long step": train(functions["ReLU"], long_step),
    "pReLU, long step": train(functions["pReLU"], long_step),
}
found, (w, b) = runs["ReLU, long step"]
claims["After the long step, the bias is −2 and the unit off for every point"] = (
    abs(b + 2) < 0.05 and (w * points + b < 0).all()
)
claims["The loss of the dead unit never changes"] = len(set(found[1:])) == 1
claims["With short steps, the unit learns"] = runs["ReLU"][0][-1] < 0.002
claims["A unit with pReLU recovers"] = runs["pReLU, long step"][0][-1] < found[-1] / 4

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
for name, (found, _) in runs.items():
    ax.plot(found, label=name)
ax.set(xlabel="step", ylabel="loss", yscale="log", title="A dead ReLU stops learning")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "The loss of one unit against the step, on a logarithmic axis. With ReLU and short steps it "
    "falls quickly. With ReLU and a long first step it is a horizontal line. With pReLU and the "
    "same long step it falls slowly at first, and far below this line after thirty steps."
)
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
smooth = activations.log_sum_exp(stacked)
assert torch.allclose(values["softplus"], smooth), "the smooth maximum of z and 0"
assert torch.allclose(slopes["softplus"], values["sigmoid"]), "its slope is the sigmoid"
assert torch.allclose(values["GELU"], x * cdf), "z times a normal probability"
assert torch.allclose(values["swish"], x * sigma), "z times a logistic probability"
ranges = {"GELU": (-0.17, -0.13, 1.13), "swish": (-0.28, -0.10, 1.10)}
for name, (least, lowest, highest) in ranges.items():
    assert abs(values[name].min() - least) < 0.005, "the smallest value"
    assert abs(slopes[name].min() - lowest) < 0.005, "the smallest slope"
    assert abs(slopes[name].max() - highest) < 0.005, "the largest slope"
    total = slopes[name] + slopes[name].flip(0)
    assert torch.allclose(total, torch.ones_like(x)), "slopes at z and −z sum to 1"
assert abs(x[slopes["GELU"].argmax()] - math.sqrt(2)) < 0.01, "the steepest point"

# Figure
fig = draw(["softplus", "GELU", "swish"])
fig.set_label(
    "Two panels. Left, the values: softplus rises from 0, and GELU and swish fall slightly below 0 "
    "before they rise. Right, the slopes: that of softplus is the sigmoid, those of GELU and swish "
    "fall below 0 and later rise slightly above 1."
)
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
assert abs(weights.sum() - 1) < 1e-6, "the weights of an average"
largest = {name: float(s.abs().max()) for name, s in slopes.items()}
typical = {name: math.sqrt(weights @ s**2) for name, s in slopes.items()}
print({name: round(size, 3) for name, size in typical.items()})

# %%
# For the sigmoid, even the best case is a quarter. Whatever the data and the biases, the slopes of
# ten layers divide the gradient by a million or more, and those of 75 layers reduce it below the
# smallest positive number of float32. Its typical slope is 0.21. In the best case, all the others
# keep the gradient, and their typical slopes are between 0.5 and 0.75. The weights have to make up
# for this: ReLU's typical slope is :math:`\sqrt{1/2}`, the reason for the factor :math:`\sqrt2` in
# He initialization. Move the depth in the figure: with weights that keep the size of a gradient,
# each layer multiplies it by such a factor.

assert math.isclose(largest["sigmoid"], 0.25), "at best a quarter"
assert 0.25**10 < 1e-6, "ten layers divide by a million"
assert torch.tensor(0.25**75, dtype=torch.float32) == 0, "75 layers leave nothing"
assert 0.2 < typical["sigmoid"] < 0.22, "a typical slope of the sigmoid"
assert abs(typical["ReLU"] - math.sqrt(0.5)) < 0.01, "half of the units are on"
others = [name for name in functions if name != "sigmoid"]
claims["All others can keep the gradient"] = all(
    largest[name] > 0.99 for name in others
)
claims["The other typical slopes are between 0.5 and 0.75"] = all(
    0.5 < typical[name] < 0.75 for name in others
)
order = sorted(functions, key=typical.get)
best_case, usual = ([factor[name] for name in order] for factor in (largest, typical))
depths = sorted({max(1, max_depth * k // 15) for k in range(16)})

# sphinx_gallery_thumbnail_number = 5
# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
(usual_dots,) = ax.plot(usual, order, "o", markersize=9, label="typical slopes")
(best_dots,) = ax.plot(best_case, order, "D", markersize=8, label="largest slopes")
ax.axvline(1, color="C2", linestyle="--", label="unchanged", zorder=0)
ax.set(xscale="log", xlim=(usual[0] ** max_depth / 10, 1e3))
ax.set_xlabel("what is left of the gradient")
fig.legend(loc="outside lower center", ncols=3)


def deepen(depth):
    usual_dots.set_xdata([factor**depth for factor in usual])
    best_dots.set_xdata([factor**depth for factor in best_case])
    best_dots.axes.set_title(
        f"Depth {depth}: a sigmoid leaves at most {0.25**depth:.2g}"
    )


film = FuncAnimation(fig, deepen, depths)
fig.set_label(
    "What is left of a gradient after up to 30 layers, for each activation, on a logarithmic axis, "
    "with typical and with the largest slopes. After 30 layers the sigmoid leaves about 1e-20 and "
    "1e-18. The others leave 1e-4 to 1e-8 with typical slopes, and 1 or more with the largest."
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
# perceptrons </auto_gallery/04_mlp/plot_mlp_looked_into>` shows what hidden units learn, and that on
# :doc:`universal approximation </auto_gallery/04_mlp/plot_universal_approximation>` what they can
# represent.

# %%
# Exercises
# ---------
#
# **1.** How can a unit with tanh compute a sigmoid? Which weights and biases around it do you need?

# Solution
by_tanh = (1 + activations.tanh(x / 2)) / 2
assert torch.allclose(by_tanh, values["sigmoid"]), (
    "halve before, and halve after adding 1"
)

# %%
# **2.** The smallest positive number of float16 is :math:`2^{-24}`. After how many layers of sigmoids
# is even the largest possible product of slopes rounded to 0?

# Solution
assert torch.tensor(0.25**12, dtype=torch.float16) > 0, "2⁻²⁴ is left after 12 layers"
assert torch.tensor(0.25**13, dtype=torch.float16) == 0, "nothing after 13"

# %%
# **3.** Let the unit with the long step use softplus, swish or GELU. One of the three does not
# recover. What is its slope at its pre-activations, and in which direction does this push them?

# Solution
ended = {
    name: train(functions[name], long_step) for name in ("softplus", "swish", "GELU")
}
claims["Softplus and swish recover, GELU does not"] = (
    max(ended["softplus"][0][-1], ended["swish"][0][-1]) < 0.02 < ended["GELU"][0][-1]
)
w, b = ended["GELU"][1]
claims["After the long step, the slope of GELU is negative"] = (
    slope(functions["GELU"], w * points + b) < 0
).all()

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
