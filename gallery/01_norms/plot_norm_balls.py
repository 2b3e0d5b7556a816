r"""
Which p make a norm?
====================

The :math:`L_p` norms measure the size of a vector by one formula,

.. math::

    \lVert\mathbf{x}\rVert_p = \Bigl(\sum_{i=1}^{n} |x_i|^p\Bigr)^{1/p},

and :math:`p = 2` is the length we know. Nothing in the formula forbids any other :math:`p > 0`. But a norm has to keep
three promises: it is zero at the zero vector only, it scales with the vector,
:math:`\lVert a\mathbf{x}\rVert = |a|\,\lVert\mathbf{x}\rVert`, and the detour is never shorter than the straight way,
:math:`\lVert\mathbf{x}+\mathbf{y}\rVert \le \lVert\mathbf{x}\rVert + \lVert\mathbf{y}\rVert`. For which :math:`p` does
the formula keep all three?
"""

import math

import matplotlib.pyplot as plt
import torch

from dlcore import norms

generator = torch.Generator().manual_seed(0)

# %%
# One formula, many balls
# -----------------------
#
# A way to see a norm is its *unit ball*: all vectors that are at most 1 long. Walk once around the origin, divide
# each direction by its own norm, and you walk along the ball's edge.

angle = torch.linspace(0, 2 * math.pi, 721, dtype=torch.float64)
directions = torch.stack([angle.cos(), angle.sin()], dim=1)


def edge(p: float) -> torch.Tensor:
    """Return the points of norm 1, one for each direction."""
    return directions / norms.lp_norm(directions, p, dim=1)[:, None]


orders = {0.5: "½", 1.0: "1", 2.0: "2", 4.0: "4", math.inf: "∞"}
for p in orders:
    assert torch.allclose(norms.lp_norm(edge(p), p, dim=1), torch.ones_like(angle))

# %%
# With growing :math:`p` the ball grows, from a thin star to the full square, because the norm of one and the same
# vector never grows with :math:`p`. Only on the axes, where a single entry is not zero, do all the norms agree.

sizes = torch.stack([norms.lp_norm(directions, p, dim=1) for p in orders])
assert (sizes[1:] <= sizes[:-1] + 1e-12).all()
for p in orders:
    assert norms.lp_norm(torch.tensor([0.0, -1.0]), p) == 1

fig, ax = plt.subplots(figsize=(7.2, 5.4), layout="constrained")
for i, (p, name) in enumerate(orders.items()):
    x1, x2 = edge(p).T
    ax.plot(x1, x2, color=f"C{i}")
    corner = float(edge(p)[90, 0])  # the direction of (1, 1)
    ax.annotate(
        f"p = {name}",
        (corner, corner),
        (1.35, 1.16 - 0.29 * (4 - i)),
        va="center",
        color=f"C{i}",
        arrowprops={"arrowstyle": "-", "color": f"C{i}", "linewidth": 0.8},
    )
ax.set(aspect="equal", xlabel="first entry", ylabel="second entry", xlim=(-1.1, 1.75), ylim=(-1.1, 1.25))
ax.set(title="The vectors of norm 1", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
fig.set_label(
    "Five nested closed curves through the four points at distance 1 on the axes: a star with four inward-bent sides "
    "for p = 1/2, a diamond for 1, the circle for 2, a rounded square for 4, and the square for infinity."
)
plt.show()

# %%
# :math:`p = \infty` stands for the limit, the largest entry's size. It is reached quickly:

x = torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)
for p in (8, 16, 32, 64):
    assert 0 <= norms.lp_norm(x, p) - norms.max_norm(x) < 0.5**p + 0.7**p
assert norms.lp_norm(x, math.inf) == norms.max_norm(x) == 1

# %%
# What goes wrong below 1
# -----------------------
#
# The star is the odd one out: it bends inwards. Take the two unit vectors on the axes and go half of the way from one
# to the other. For a norm the midpoint cannot be longer than 1, for the triangle inequality and the scaling give
#
# .. math::
#
#     \Bigl\lVert\tfrac12\mathbf{x} + \tfrac12\mathbf{y}\Bigr\rVert
#     \le \tfrac12\lVert\mathbf{x}\rVert + \tfrac12\lVert\mathbf{y}\rVert = 1:
#
# a ball is convex. For :math:`p = \tfrac12` the midpoint has the norm 2 and lies outside.

middle = torch.tensor([0.5, 0.5], dtype=torch.float64)
for p, size in [(0.5, 2), (1, 1), (2, math.sqrt(0.5))]:
    assert math.isclose(norms.lp_norm(middle, p), size)

fig, axes = plt.subplots(1, 3, figsize=(7.2, 3.0), layout="constrained", sharex=True, sharey=True)
for ax, (p, name), verdict in zip(axes, [(0.5, "½"), (1.0, "1"), (2.0, "2")], ["outside", "on the edge", "inside"]):
    colour = f"C{list(orders).index(p)}"
    x1, x2 = edge(p).T
    ax.fill(x1, x2, color=colour, alpha=0.25, linewidth=0)
    ax.plot(x1, x2, color=colour)
    ax.plot([1, 0], [0, 1], color=plt.rcParams["text.color"], linewidth=1, linestyle="--")
    ax.plot(*middle, "o", color=plt.rcParams["text.color"])
    ax.annotate(verdict, middle, (6, 6), textcoords="offset points")
    ax.set(aspect="equal", title=f"p = {name}", xlim=(-0.15, 1.25), ylim=(-0.15, 1.25), xticks=[0, 1], yticks=[0, 1])
fig.supxlabel("first entry", fontsize="medium")
axes[0].set_ylabel("second entry")
fig.set_label(
    "The unit balls for p = 1/2, 1 and 2 in the first quadrant, each with the segment between the two unit vectors on "
    "the axes: its midpoint is outside the ball for 1/2, on its edge for 1 and inside for 2."
)
plt.show()

# %%
# How wrong, and from where on
# ----------------------------
#
# The straight way from the origin to :math:`(1, 1)` has the length :math:`2^{1/p}`, the detour over :math:`(1, 0)` has
# the length 2. So the third promise is broken for every :math:`p < 1`, by the factor :math:`2^{1/p - 1}`. This pair of
# vectors is the worst there is in the plane: ten thousand random pairs stay below, and keep the promise for every
# :math:`p \ge 1`.

p_values = torch.linspace(0.4, 3, 53, dtype=torch.float64).tolist()
straight = torch.stack([norms.lp_norm(torch.ones(2, dtype=torch.float64), p) for p in p_values])
x, y = torch.randn(2, 10_000, 2, generator=generator, dtype=torch.float64)
worst = []
for p in p_values:
    detour = norms.lp_norm(x, p, dim=1) + norms.lp_norm(y, p, dim=1)
    worst.append(float((norms.lp_norm(x + y, p, dim=1) / detour).max()))
    assert worst[-1] <= max(1, 2 ** (1 / p - 1)) + 1e-12
assert torch.allclose(straight, torch.tensor([2 ** (1 / p) for p in p_values], dtype=torch.float64))
assert all((length > 2) == (p < 1) for p, length in zip(p_values, straight) if abs(p - 1) > 1e-9)

fig, ax = plt.subplots(layout="constrained")
ax.axhline(1, color="C1", linewidth=1)
ax.plot(p_values, straight / 2, color="C0")
ax.plot(p_values, worst, ".", color="C2")
ax.annotate("(1, 0) and (0, 1)", (0.5, 2), (10, 0), textcoords="offset points", color="C0", va="center")
ax.annotate("10 000 random pairs", (0.7, worst[6]), (0.95, 1.45), color="C2", arrowprops={"arrowstyle": "-", "color": "C2"})
ax.text(3, 1.03, "allowed: at most 1", color="C1", ha="right", va="bottom")
ax.set(xlabel="p", ylabel="length of the sum / sum of the lengths", title="Below p = 1 the detour is shorter", ylim=(0, 3))
fig.set_label(
    "The ratio of the length of a sum to the sum of the lengths against p. For the two unit vectors on the axes it "
    "falls from 2.8 at p = 0.4 through 1 at p = 1 to 0.6 at p = 3; the largest ratio among random pairs runs just below "
    "it for p < 1 and stays at 1 for p > 1."
)
plt.show()

# %%
# What is left of it
# ------------------
#
# The other two promises hold for every :math:`p > 0`: only the zero vector has no size, and size scales. And without
# the outer root the third one holds below 1 too: :math:`\sum_i |x_i - y_i|^p` is a distance, though none that scales.

x, y = x[:100], y[:100]
for p in (0.25, 0.5, 0.75):
    assert norms.lp_norm(torch.zeros(2), p) == 0
    assert (norms.lp_norm(x, p, dim=1) > 0).all()
    assert torch.allclose(norms.lp_norm(-3 * x, p, dim=1), 3 * norms.lp_norm(x, p, dim=1))
    assert ((x + y).abs().pow(p).sum(1) <= x.abs().pow(p).sum(1) + y.abs().pow(p).sum(1) + 1e-12).all()

# %%
# Conclusion
# ----------
#
# The formula is a norm exactly for :math:`p \ge 1`; there its balls are convex, and they grow with :math:`p` from the
# diamond to the square. :func:`dlcore.norms.lp_norm` computes it for every :math:`p > 0`, so that you can see what goes
# wrong; :func:`~dlcore.norms.l1_norm`, :func:`~dlcore.norms.l2_norm` and :func:`~dlcore.norms.max_norm` are the three
# you will meet most. The corners of the diamond lie on the axes, where all but one entry are zero: this is why a
# penalty on the 1-norm makes entries exactly zero.
