r"""
Lp norms: which p make a norm?
==============================

The unit balls of five orders p show why the triangle inequality fails below p = 1.

In short
--------

The :math:`L_p` formula is a norm exactly if :math:`p \ge 1`. For :math:`p < 1` it violates the
triangle inequality, by a factor of up to :math:`2^{1/p - 1}`.

.. math::

    \lVert\mathbf{x}\rVert_p = \Bigl(\sum_{i=1}^{n} |x_i|^p\Bigr)^{1/p} .

*Prerequisites:* vectors and, for the last figure, matrices.
"""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation

from dlcore import norms

# Change these numbers and run the script again.
seed = 0
orders = [0.5, 1, 2, 4]
n_pairs = 10_000
n_targets = 40
matrix = [[2.0, 1.0], [0.5, 1.5]]
claims = {}

# %%
# Unit balls
# ----------
#
# The *unit ball* of a norm is the set of all vectors of norm at most 1. To trace its boundary, we
# take directions all around the origin and divide each by its own norm. The order :math:`\infty`
# denotes the limit of large :math:`p`, the size of the largest entry.

generator = torch.Generator().manual_seed(seed)
angle = torch.linspace(0, 2 * math.pi, 721, dtype=torch.float64)
directions = torch.stack([angle.cos(), angle.sin()], dim=1)


def boundary(p):
    """Return the boundary of the unit ball of order p."""
    return directions / norms.lp_norm(directions, p, dim=1, keepdim=True)


def middle_norm(p):
    """Return the norm of the midpoint between (1, 0) and (0, 1)."""
    return norms.lp_norm(torch.tensor([0.5, 0.5], dtype=torch.float64), p)


moving = [math.inf, 9, 5, 4, 3, 2.4, 2, 1.7, 1.4, 1.2, 1, 0.9, 0.8, 0.7, 0.6, 0.5]


# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
for p in [*orders, math.inf]:
    ax.plot(*boundary(p).T, linewidth=1, label=f"p = {p:g}")
ax.plot([1, 0.5, 0], [0, 0.5, 1], "o:C5", label="midpoint")
(ball,) = ax.plot(*boundary(1).T, "C0", linewidth=4)
plane = {"aspect": "equal", "xlabel": "first entry", "ylabel": "second entry"}
fig.legend(loc="outside right")


def move(p):
    ball.set_data(*boundary(p).T)
    ax.set(**plane, title=f"p = {p:g}: the midpoint has norm {middle_norm(p):.2f}")


film = FuncAnimation(fig, move, moving)
fig.set_label(
    "Nested closed curves through the four points at distance 1 on the axes. For p = 0.5 it is "
    "a star with four sides bent inwards, for p = 1 a diamond, for p = 2 the circle, for p = 4 a "
    "rounded square, and for infinity the square. The midpoint between the two unit vectors "
    "on the axes is outside the star, on the diamond, and inside the others."
)
plt.show()

# %%
# The ball grows with :math:`p`, from a thin star to the full square, because the norm of a fixed
# vector never increases with :math:`p`. The norms agree only on the axes, where a vector has a
# single nonzero entry.

sizes = torch.stack([norms.lp_norm(directions, p, dim=1) for p in sorted(orders)])
off_axes = directions.abs().amin(dim=1) > 1e-3
assert (sizes.diff(dim=0) <= 1e-12).all(), "a norm never increases with p"
assert (sizes.diff(dim=0)[:, off_axes] < 0).all(), "off the axes it decreases"
on_axis = torch.tensor([0.0, -1.0])
for p in orders:
    assert norms.lp_norm(on_axis, p) == 1, "on the axes all norms agree"

# %%
# As :math:`p` grows, the norm approaches the size of the largest entry fast, because the
# contributions of the other entries shrink like their :math:`p`-th powers.

x = torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)
for p in (4, 8, 16, 32):
    excess = norms.lp_norm(x, p) - norms.max_norm(x)
    assert 0 < excess < (0.3**p + 0.7**p) / p, "the other entries contribute little"
assert norms.lp_norm(x, math.inf) == norms.max_norm(x) == 1, "the limit is the maximum"

# %%
# Below 1 the ball is not convex
# ------------------------------
#
# A norm must have three properties. It is zero only for the zero vector. It scales with the vector,
# :math:`\lVert a\mathbf{x}\rVert = |a|\,\lVert\mathbf{x}\rVert`. And it satisfies the triangle
# inequality: a detour is never shorter than the straight line,
# :math:`\lVert\mathbf{x}+\mathbf{y}\rVert \le \lVert\mathbf{x}\rVert + \lVert\mathbf{y}\rVert`.
#
# Take the two unit vectors on the axes, and the midpoint between them. With a norm, the midpoint is
# never outside the ball, because scaling and the triangle inequality give
#
# .. math::
#
#     \Bigl\lVert\tfrac12\mathbf{x} + \tfrac12\mathbf{y}\Bigr\rVert
#     \le \tfrac12\lVert\mathbf{x}\rVert + \tfrac12\lVert\mathbf{y}\rVert = 1.
#
# So the ball of a norm is convex. But the midpoint has the norm :math:`2^{1/p - 1}`, which is 2 for
# :math:`p = \frac12`. Move :math:`p` in the figure above: the ball reaches the midpoint at
# :math:`p = 1`.

for p in (0.5, 1, 2, 4):
    assert math.isclose(middle_norm(p), 2 ** (1 / p - 1)), "the norm of the midpoint"

# %%
# The triangle inequality: how wrong, and below which p?
# ------------------------------------------------------
#
# The straight line from the origin to :math:`(1, 1)` has length :math:`2^{1/p}`, and the detour
# over :math:`(1, 0)` has length 2. So *every* :math:`p < 1` violates the triangle inequality, here
# by the factor :math:`2^{1/p - 1}`. This is the worst case: random pairs stay below this factor,
# and for :math:`p \ge 1` they satisfy the inequality. Ten thousand random pairs are enough to find
# a violation for each :math:`p \le 0.95`.

p_values = [0.4 + 0.05 * i for i in range(53)]
corner = torch.ones(2, dtype=torch.float64)
factors = [float(norms.lp_norm(corner, p)) / 2 for p in p_values]
x, y = torch.randn(2, n_pairs, 2, generator=generator, dtype=torch.float64)
worst = []
for p, factor in zip(p_values, factors, strict=True):
    detour = norms.lp_norm(x, p, dim=1) + norms.lp_norm(y, p, dim=1)
    worst.append(float((norms.lp_norm(x + y, p, dim=1) / detour).max()))
    assert math.isclose(factor, 2 ** (1 / p - 1)), "the ratio of the two unit vectors"
    assert worst[-1] <= max(1, factor) + 1e-12, "no pair exceeds it"
claims["Random pairs violate the inequality for each p below 1"] = all(
    ratio > 1.001 for p, ratio in zip(p_values, worst, strict=True) if p < 0.99
)

# Figure
fig, ax = plt.subplots(layout="constrained")
ax.plot(p_values, factors, label="the two unit vectors on the axes")
ax.plot(p_values, worst, ".", label="the largest ratio of random pairs")
ax.axhline(1, color="C2", linestyle="--", label="limit for a norm")
ax.set(xlabel="p", ylabel="norm of the sum / sum of the norms")
ax.set_title("Below p = 1 a detour can be shorter")
ax.legend()
fig.set_label(
    "The norm of a sum divided by the sum of the norms, against p, with a line at the "
    "limit 1. For the two unit vectors on the axes the ratio falls from 2.8 at p = "
    "0.4 through 1 at p = 1 to 0.6 at p = 3. The largest ratio of the random pairs "
    "stays below this curve up to p = 1, and just below 1 from there on."
)
plt.show()

# %%
# The other two properties hold for every :math:`p > 0`: only the zero vector has size zero, and
# size scales with the vector. Without the outer root, the triangle inequality holds below 1 as
# well. So :math:`\sum_i |x_i - y_i|^p` is a distance, although it does not scale.

for p in (0.25, 0.5, 0.75):
    assert norms.lp_norm(torch.zeros(2), p) == 0, "the zero vector has size zero"
    assert (norms.lp_norm(x, p, dim=1) > 0).all(), "and no other vector has"
    tripled = norms.lp_norm(-3 * x, p, dim=1)
    assert torch.allclose(tripled, 3 * norms.lp_norm(x, p, dim=1)), "size scales"
    powers = [v.abs().pow(p).sum(dim=1) for v in (x, y, x + y)]
    assert (powers[2] <= powers[0] + powers[1] + 1e-12).all(), "the powers obey it"

# %%
# Why p = 1 makes zeros
# ---------------------
#
# A penalty on the weights of a model keeps them in a ball. Suppose that the best weights without
# the penalty, the *target*, lie outside the ball. With the penalty, training stops at a point of
# the ball close to the target. On the diamond of :math:`p = 1`, that point is often a corner, and
# at a corner one entry is exactly zero. All targets in a whole sector have the same corner as their
# closest point. The circle of :math:`p = 2` has no corners: each of its points is closest only to
# the targets straight behind it. That is why the lasso, with the 1-norm, selects features and ridge
# regression, with the 2-norm, does not. In the figure, the targets have a large first weight and a
# small second one; the titles count the closest points with a zero.

first = 1.5 + torch.rand(n_targets, generator=generator, dtype=torch.float64)
second = 0.6 * torch.randn(n_targets, generator=generator, dtype=torch.float64)
targets = torch.stack([first, second], dim=1)
closest, zeros = {}, {}
for p in (1, 2):
    edge = boundary(p)
    closest[p] = edge[torch.cdist(targets, edge).argmin(dim=1)]
    zeros[p] = int((closest[p].abs().amin(dim=1) < 1e-9).sum())
claims["With p = 1, more than half of the closest points have a zero"] = (
    zeros[1] > n_targets / 2
)
claims["With p = 2, hardly any closest point has a zero"] = zeros[2] <= n_targets / 20

# Figure
fig, axes = plt.subplots(1, 2, figsize=(5.6, 3.3), sharey=True, layout="constrained")
for ax, p in zip(axes, (1, 2), strict=True):
    ax.plot(*boundary(p).T, "C0")
    ax.plot(*torch.stack([closest[p], targets]).permute(2, 0, 1), ".-C1", linewidth=0.5)
    ax.set(aspect="equal", xlabel="first weight", title=f"p = {p}: {zeros[p]} zeros")
axes[0].set_ylabel("second weight")
fig.set_label(
    "Two panels, each with a unit ball and lines from targets outside to their closest "
    "points. On the diamond of p = 1, most lines end at the right corner. On the circle of "
    "p = 2, each line ends at a point of its own, off the axes."
)
plt.show()

# %%
# Matrix norms and singular values
# --------------------------------
#
# A matrix maps the unit circle to an ellipse. The half-axes of the ellipse are the *singular
# values* of the matrix, :math:`\sigma_1 \ge \sigma_2`. Three of the norms above, applied to these
# two numbers, give three norms of the matrix: the spectral, the Frobenius and the nuclear norm,
#
# .. math::
#
#     \lVert\mathbf{A}\rVert_2 = \lVert\boldsymbol\sigma\rVert_\infty, \qquad
#     \lVert\mathbf{A}\rVert_F = \lVert\boldsymbol\sigma\rVert_2, \qquad
#     \lVert\mathbf{A}\rVert_* = \lVert\boldsymbol\sigma\rVert_1 .
#
# The spectral norm is the longer half-axis: the matrix stretches no unit vector further. The
# Frobenius norm can be computed without singular values: it is the length of the vector of all
# entries.

a = torch.tensor(matrix, dtype=torch.float64)
ellipse = directions @ a.T
u, sigma, _ = torch.linalg.svd(a)
for of_matrix, of_sigma in [
    (norms.spectral_norm(a), norms.max_norm(sigma)),
    (norms.frobenius_norm(a), norms.l2_norm(sigma)),
    (norms.nuclear_norm(a), norms.l1_norm(sigma)),
    (norms.frobenius_norm(a), norms.l2_norm(a.flatten())),
]:
    assert torch.isclose(of_matrix, of_sigma), "a matrix norm is a norm of the σ"
stretched = norms.l2_norm(ellipse, dim=1)
longest = math.isclose(stretched.max(), sigma[0], rel_tol=1e-4)
assert longest, "no unit vector is stretched further than the spectral norm"
lengths = [f"length {size:.2f}" for size in sigma]
claims["The half-axes are 2.56 and 0.98"] = (
    abs(sigma[0] - 2.56) < 0.01 and abs(sigma[1] - 0.98) < 0.01
)

# Figure
fig, ax = plt.subplots(layout="constrained")
ax.plot(*directions.T, label="unit circle")
ax.plot(*ellipse.T, label="its image")
ax.plot(*torch.stack([0 * u, u * sigma]).transpose(0, 1), "--", label=lengths)
ax.set(**plane, title="The longer half-axis is the spectral norm")
fig.legend(loc="outside right")
fig.set_label(
    "The unit circle and its image under a matrix, an ellipse that leans to the right. Its "
    "half-axes, dashed, have the lengths 2.56 and 0.98, the singular values."
)
plt.show()

# %%
# Conclusion
# ----------
#
# The formula is a norm exactly if :math:`p \ge 1`. Its unit balls are then convex, and they grow
# with :math:`p` from the diamond to the square. :func:`dlcore.norms.lp_norm` computes it for every
# :math:`p > 0`, so you can see what goes wrong below 1. The three most common norms are
# :func:`dlcore.norms.l1_norm`, :func:`dlcore.norms.l2_norm` and :func:`dlcore.norms.max_norm`. For
# matrices there are :func:`dlcore.norms.frobenius_norm`, :func:`dlcore.norms.spectral_norm` and
# :func:`dlcore.norms.nuclear_norm`.

# %%
# Exercises
# ---------
#
# **1.** How many times longer than the largest entry can the 2-norm of a vector with :math:`n`
# entries be? Find a vector that reaches the bound.

# Solution
for n in (1, 10, 1000):
    ones = torch.ones(n, dtype=torch.float64)
    ratio = norms.l2_norm(ones) / norms.max_norm(ones)
    assert math.isclose(ratio, math.sqrt(n)), "the vector of ones reaches √n"
    random = torch.randn(100, n, generator=generator, dtype=torch.float64)
    ratios = norms.l2_norm(random, dim=1) / norms.max_norm(random, dim=1)
    assert (ratios <= math.sqrt(n) + 1e-9).all(), "no vector exceeds √n"

# %%
# **2.** Which ball of the plane is a square that stands on its corner, and which norm of
# :math:`(x, y)` is the maximum of :math:`|x + y|` and :math:`|x - y|`?

# Solution
x = torch.randn(100, 2, generator=generator, dtype=torch.float64)
rotated = torch.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], dim=1)
same = torch.allclose(norms.max_norm(rotated, dim=1), norms.l1_norm(x, dim=1))
assert same, "the diamond is a square, so the 1-norm is a rotated maximum norm"

# %%
# **3.** A weight matrix has a spectral norm of 0.9. What happens to a signal that passes through
# fifty such layers, without activation functions?

# Solution
layer = torch.randn(20, 20, generator=generator, dtype=torch.float64)
layer *= 0.9 / norms.spectral_norm(layer)
signal = torch.ones(20, dtype=torch.float64)
for depth in range(1, 51):
    signal = layer @ signal
    bound = 0.9**depth * math.sqrt(20)
    assert norms.l2_norm(signal) <= bound, "each layer shrinks it to at most 0.9"
claims["After fifty layers, less than a hundredth is left"] = norms.l2_norm(
    signal
) < 0.01 * math.sqrt(20)

# %%
# **4.** How large is the largest :math:`p`-ball inside the unit circle, for :math:`p \ge 2`?

# Solution
for p in (2, 3, 4, math.inf):
    radius = 1 / norms.l2_norm(boundary(p), dim=1).max()
    expected = 2 ** (1 / p - 1 / 2)  # the direction (1, 1) is the longest
    assert math.isclose(radius, expected, rel_tol=1e-4), "its corner touches the circle"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
