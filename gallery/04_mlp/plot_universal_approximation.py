r"""
Universal approximation: what do width and depth add?
=====================================================

One hidden layer approximates any continuous function on an interval; depth multiplies its pieces.

In short
--------

A network of one hidden layer with ReLU is a line with a kink for each unit, so it can approximate
every continuous function on a bounded interval, and each doubling of the width divides the error by
four. Each further layer can double the number of linear pieces, which one layer gets only by
doubling its width.

.. math::

    \max_{-1 \le x \le 1} |f_m(x) - f(x)| \le \frac{1}{8}\Bigl(\frac2m\Bigr)^2 \max_x |f''(x)| .

*Prerequisites:* :doc:`multilayer perceptrons </auto_gallery/04_mlp/plot_mlp_looked_into>` and
second derivatives.

Any function?
-------------

One often reads that a hidden layer can represent any function. This needs three qualifiers. One
hidden layer can *approximate* any *continuous* function on a *compact* set. Why is this true, what
happens without the qualifiers, and what are more layers good for?
"""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation

from dlcore import linear, mlp

# Change these numbers and run the script again.
seed = 0
frequencies = [3.0, 7.0]
jump_at = 0.123
far_away = 10.0
max_units = 32
max_depth = 6
n_networks = 100
claims = {}

# %%
# One hidden layer connects points by lines
# -----------------------------------------
#
# In one dimension the proof is a construction. Place the borders of :math:`m` units at equal
# distances, and let each unit change the slope, so that the network :math:`f_m` connects points of
# the function by straight lines. Its error on :math:`[-1, 1]` is at most the bound above. Move the
# number of units in the figure: the network follows the function ever more closely.


def f(x):
    """Return the values of a smooth function."""
    return torch.sin(frequencies[0] * x) + 0.5 * torch.cos(frequencies[1] * x)


def jump(x):
    """Return the values of a function that is not continuous."""
    return (x > jump_at).to(x.dtype)


def interpolate(function, m):
    """Return a network of m hidden units that interpolates a function on [-1, 1]."""
    knots = torch.linspace(-1, 1, m + 1, dtype=torch.float64)
    slopes = function(knots).diff() * m / 2
    first = linear.LinearParams(torch.ones(1, m, dtype=torch.float64), -knots[:-1])
    bends = torch.cat([slopes[:1], slopes.diff()])
    return first, linear.LinearParams(bends[:, None], function(knots[:1]))


def outputs(params, x):
    """Return the output of a network at each point."""
    return mlp.mlp(params, x[:, None])[:, 0]


def worst(function, m, points):
    """Return the largest error of the network of m units over the points."""
    return float(
        (outputs(interpolate(function, m), points) - function(points)).abs().max()
    )


inside = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
bend = frequencies[0] ** 2 + 0.5 * frequencies[1] ** 2  # |f''| is at most this
widths = [2, 4, 8, 16, 32, 64, 128, 256]
errors = {g: [worst(g, m, inside) for m in widths] for g in (f, jump)}
for m, error in zip(widths, errors[f], strict=True):
    assert error <= bend / 8 * (2 / m) ** 2 + 1e-9, "the error is within the bound"
frames = sorted({round(max_units ** (k / 14)) for k in range(15)})
wide = torch.linspace(-1.6, 1.6, 801, dtype=torch.float64)
networks = {m: interpolate(f, m) for m in frames}
drawn = {m: outputs(params, wide) for m, params in networks.items()}
largest = {m: worst(f, m, inside) for m in frames}
for y in drawn.values():
    assert (y[wide < -1] == y[0]).all(), "left of its borders, it is constant"
    assert y[wide > 1].diff(n=2).abs().max() < 1e-9, "right of them, a straight line"

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
ax.axvspan(-1, 1, color="C2", alpha=0.1, linewidth=0)
ax.plot(wide, f(wide), "--C1", label="function")
(lines,) = ax.plot(wide, f(wide), "C0", label="network")
(kinks,) = ax.plot([], [], "oC0")
ax.set(xlabel="x", ylim=(-2.4, 2.4))
fig.legend(loc="outside lower center", ncols=2)


def widen(m):
    lines.set_ydata(drawn[m])
    kinks.set_data(-networks[m][0].bias, f(-networks[m][0].bias))
    lines.axes.set_title(f"Width {m}: error at most {largest[m]:.2g} inside")


film = FuncAnimation(fig, widen, frames)
fig.set_label(
    "A wavy function on [-1.6, 1.6], with the interval from -1 to 1 shaded, and a network that "
    "connects points of it by straight lines. With few units it misses the waves. With 32 it "
    "follows them closely inside the interval. Outside, it continues as a straight line while the "
    "function bends."
)
plt.show()

# %%
# Continuous, and on a compact set
# --------------------------------
#
# Doubling the width divides the error by four, as the formula says. Without the other two
# qualifiers the claim is false. At a jump, every continuous function has an error of at least half
# the jump, and so does a network of any width. Outside the compact set there is no guarantee:
# beyond its last border the network is a straight line, and the error at 10 does not shrink with
# the width.

claims["Doubling the width divides the error by four"] = (
    3.5 < errors[f][-2] / errors[f][-1] < 4.5
)
claims["At a jump, the error stays at half the jump or more"] = (
    min(errors[jump]) >= 0.49
)
beyond = torch.tensor([far_away], dtype=torch.float64)
claims["At 10, the error does not shrink"] = (
    min(worst(f, m, beyond) for m in widths[2:]) > 5
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
ax.loglog(widths, errors[f], "o-", label="smooth function")
ax.loglog(widths, errors[jump], "s-", label="function with a jump")
ax.set(xlabel="hidden units", ylabel="largest error on [−1, 1]")
ax.set_title("Twice the width, a quarter of the error")
ax.legend()
fig.set_label(
    "The largest error on [-1, 1] against the number of units, on logarithmic axes. For the smooth "
    "function it falls from 2 to below 0.001 along a straight line. For the function with a jump "
    "it stays between one half and 1."
)
plt.show()

# %%
# Depth multiplies the linear pieces
# ----------------------------------
#
# With one hidden layer in one dimension, each unit adds one kink, so :math:`m` units make at most
# :math:`m + 1` linear pieces. Layers multiply this number instead. The tent function, which rises
# and falls once between 0 and 1, takes two units. The tent of a tent has two peaks, and each
# further layer doubles their number: six layers, with twelve units, make 64 pieces. A single layer
# needs 63 units for that.

two = linear.LinearParams(torch.tensor([[1.0, 1.0]]), torch.tensor([0.0, -0.5]))
again = linear.LinearParams(torch.tensor([[2.0, 2.0], [-4.0, -4.0]]), two.bias)
last = linear.LinearParams(torch.tensor([[2.0], [-4.0]]), torch.tensor([0.0]))
towers = {d: [two, *[again] * (d - 1), last] for d in range(1, max_depth + 1)}
grid = torch.linspace(0, 1, 2 ** (max_depth + 4) + 1)  # all kinks are on the grid


def n_pieces(params):
    """Return the number of linear pieces on [0, 1]."""
    slopes = outputs(params, grid).diff() * (len(grid) - 1)
    return 1 + int((slopes.diff().abs() > 0.5).sum())


for depth, params in towers.items():
    assert n_pieces(params) == 2**depth, "each layer doubles the number of pieces"

generator = torch.Generator().manual_seed(seed)
counts = []
for _ in range(n_networks):
    weight, bias = torch.randn(2, 2 * max_depth, generator=generator)
    on = grid[:, None] * weight + bias > 0
    counts.append(len(on.unique_consecutive(dim=0)))
assert max(counts) <= 2 * max_depth + 1, "one layer: at most a piece more than units"

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
(tents,) = ax.plot(grid, grid)
ax.set(xlabel="x", ylim=(-0.05, 1.05))


def deepen(depth):
    tents.set_ydata(outputs(towers[depth], grid))
    tents.axes.set_title(f"Depth {depth}: {2 * depth} units, {2**depth} pieces")


tower_film = FuncAnimation(fig, deepen, range(1, max_depth + 1))
fig.set_label(
    "A piecewise linear function between 0 and 1: a single tent with one layer of two units, two "
    "tents with two layers, and 32 tents, in 64 pieces, with six layers."
)
plt.show()

# %%
# Conclusion
# ----------
#
# Width makes a network finer: twice the units, a quarter of the error. Depth multiplies the linear
# pieces. :func:`dlcore.mlp.mlp` computes every network here, from weights that are set by hand as
# :class:`dlcore.linear.LinearParams`. That good weights exist does not mean that training finds
# them: a deep network must first let its gradients through, which the tutorial on :doc:`vanishing
# gradients </auto_gallery/07_propagation/plot_vanishing_and_exploding>` examines. Activations other
# than ReLU work as well: the tutorial on :doc:`activation functions
# </auto_gallery/04_mlp/plot_activations>` compares seven.

# %%
# Exercises
# ---------
#
# **1.** How many units are enough for an error of at most 0.01? Solve the bound for :math:`m`, and
# check the network.

# Solution
enough = math.ceil(2 * math.sqrt(bend / (8 * 0.01)))
assert worst(f, enough, inside) <= 0.01 + 1e-9, "the bound holds"
claims["41 units are enough"] = enough == 41

# %%
# **2.** Build the deepest tower as a network of one hidden layer. How many units does it take?

# Solution
n_units = 2**max_depth


def tower(x):
    """Return the deepest tower, stretched from [0, 1] to [-1, 1]."""
    return outputs(towers[max_depth], ((x + 1) / 2).float()).double()


assert worst(tower, n_units, inside) < 1e-3, "a unit for each of the pieces"

# %%
# **3.** At a jump, the largest error does not shrink. Does the *mean* absolute error shrink as the
# width grows?

# Solution
mean_error = {
    m: (outputs(interpolate(jump, m), inside) - jump(inside)).abs().mean()
    for m in (16, 256)
}
claims["The mean error shrinks: only the interval of the jump is wrong"] = (
    mean_error[256] < mean_error[16] / 8
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
