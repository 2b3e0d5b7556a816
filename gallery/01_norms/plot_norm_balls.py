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

*Prerequisites:* vectors and, for the last figure, matrices. *Reading time:* 8 minutes.

The three properties of a norm
------------------------------

For :math:`p = 2` the formula gives the ordinary length of a vector, and it is defined for any other
:math:`p > 0` as well. A norm must have three properties: it is zero only for the zero vector; it
scales with the vector, :math:`\lVert a\mathbf{x}\rVert = |a|\,\lVert\mathbf{x}\rVert`; and it
satisfies the triangle inequality, so that a detour is never shorter than the straight line:
:math:`\lVert\mathbf{x}+\mathbf{y}\rVert \le \lVert\mathbf{x}\rVert + \lVert\mathbf{y}\rVert`. For
which :math:`p` does the formula have all three?
"""

import math

import matplotlib.pyplot as plt
import torch

from dlcore import norms

generator = torch.Generator().manual_seed(0)

# %%
# Unit balls
# ----------
#
# The *unit ball* of a norm is the set of all vectors of norm at most 1. To trace its boundary, we
# take directions all around the origin and divide each by its own norm.

angle = torch.linspace(0, 2 * math.pi, 721, dtype=torch.float64)
directions = torch.stack([angle.cos(), angle.sin()], dim=1)
orders = {0.5: "½", 1.0: "1", 2.0: "2", 4.0: "4", math.inf: "∞"}
edges = {
    p: directions / norms.lp_norm(directions, p, dim=1, keepdim=True) for p in orders
}
for p, edge in edges.items():
    assert torch.allclose(norms.lp_norm(edge, p, dim=1), torch.ones_like(angle))

# %%
# The ball grows with :math:`p`, from a thin star to the full square, because the norm of a fixed
# vector never increases with :math:`p`. The norms agree only on the axes, where a vector has a
# single nonzero entry.

sizes = torch.stack([norms.lp_norm(directions, p, dim=1) for p in orders])
off_axes = directions.abs().amin(dim=1) > 1e-3
assert (sizes[1:] <= sizes[:-1] + 1e-12).all()
assert (sizes[1:] < sizes[:-1])[:, off_axes].all()
for p in orders:
    assert norms.lp_norm(torch.tensor([0.0, -1.0]), p) == 1

fig, ax = plt.subplots(figsize=(5.4, 5.4), layout="constrained")
inside = {"xytext": (-8, -8), "ha": "center", "rotation": -45}
above = {"xytext": (0, 9), "ha": "right"}
for i, (p, edge) in enumerate(edges.items()):
    ax.plot(*edge.T, color=f"C{i}")
    ax.annotate(
        f"p = {orders[p]}",
        edge[90],  # the direction of (1, 1)
        **(above if p == math.inf else inside),
        textcoords="offset points",
        va="center",
        color=f"C{i}",
    )
ax.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
ax.set(xlabel="first entry", ylabel="second entry", title="The vectors of norm 1")
fig.set_label(
    "Five nested closed curves through the four points at distance 1 on the axes: "
    "a star with four sides bent inwards for p = 1/2, a diamond for p = 1, the circle "
    "for p = 2, a rounded square for p = 4, and the square for infinity."
)
plt.show()

# %%
# :math:`p = \infty` denotes the limit, the size of the largest entry. The norm approaches this
# limit fast, because the contributions of the other entries shrink like their :math:`p`-th powers.

x = torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)
for p in (4, 8, 16, 32):
    assert 0 < norms.lp_norm(x, p) - norms.max_norm(x) < (0.3**p + 0.7**p) / p
assert norms.lp_norm(x, math.inf) == norms.max_norm(x) == 1

# %%
# Below 1 the ball is not convex
# ------------------------------
#
# Only the star bends inwards. Take the two unit vectors on the axes, and the midpoint between them.
# With a norm, the midpoint is never outside the ball, because scaling and the triangle inequality
# give
#
# .. math::
#
#     \Bigl\lVert\tfrac12\mathbf{x} + \tfrac12\mathbf{y}\Bigr\rVert
#     \le \tfrac12\lVert\mathbf{x}\rVert + \tfrac12\lVert\mathbf{y}\rVert = 1.
#
# So the ball of a norm is convex. But for :math:`p = \frac12` the midpoint has norm 2.

middle = torch.tensor([0.5, 0.5], dtype=torch.float64)
for p, size in [(0.5, 2), (1, 1), (2, math.sqrt(0.5))]:
    assert math.isclose(norms.lp_norm(middle, p), size)

fig, axes = plt.subplots(1, 3, figsize=(5.6, 2.4), sharey=True, layout="constrained")
verdicts = {0.5: "outside", 1.0: "on the edge", 2.0: "inside"}
ink = plt.rcParams["text.color"]
for i, (ax, (p, verdict)) in enumerate(zip(axes, verdicts.items(), strict=True)):
    ax.fill(*edges[p].T, color=f"C{i}", alpha=0.2, linewidth=0)
    ax.plot(*edges[p].T, color=f"C{i}")
    ax.plot([1, 0], [0, 1], color=ink, linewidth=1, linestyle="--")
    ax.plot(*middle, "o", color=ink)
    beside = {"xytext": (-6, -14), "ha": "right"} if p == 2 else {"xytext": (6, 6)}
    ax.annotate(verdict, middle, **beside, textcoords="offset points")
    ax.set(aspect="equal", xlim=(-0.15, 1.3), ylim=(-0.15, 1.3))
    ax.set(xticks=[0, 1], yticks=[0, 1], title=f"p = {orders[p]}")
axes[0].set_ylabel("second entry")
axes[1].set_xlabel("first entry")
fig.set_label(
    "The unit balls of p = 1/2, 1 and 2 in the first quadrant, each with the segment "
    "between the two unit vectors on the axes. The segment's midpoint is outside the "
    "ball for p = 1/2, on its edge for p = 1, and inside for p = 2."
)
plt.show()

# %%
# The triangle inequality: how wrong, and below which p?
# ------------------------------------------------------
#
# The straight line from the origin to :math:`(1, 1)` has length :math:`2^{1/p}`, and the detour
# over :math:`(1, 0)` has length 2. So *every* :math:`p < 1` violates the triangle inequality, here
# by the factor :math:`2^{1/p - 1}`. This is the worst case: ten thousand random pairs stay below
# this factor, and for :math:`p \ge 1` they satisfy the inequality.

p_values = [0.4 + 0.05 * i for i in range(53)]
corner = torch.ones(2, dtype=torch.float64)
factors = [float(norms.lp_norm(corner, p)) / 2 for p in p_values]
x, y = torch.randn(2, 10_000, 2, generator=generator, dtype=torch.float64)
worst = []
for p, factor in zip(p_values, factors, strict=True):
    detour = norms.lp_norm(x, p, dim=1) + norms.lp_norm(y, p, dim=1)
    worst.append(float((norms.lp_norm(x + y, p, dim=1) / detour).max()))
    assert math.isclose(factor, 2 ** (1 / p - 1))
    assert worst[-1] <= max(1, factor) + 1e-12
    assert (worst[-1] > 1.001) == (p < 0.99)

fig, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
ax.axhline(1, color=ink, linewidth=1, linestyle="--")
fine = torch.linspace(0.4, 3, 261)
ax.plot(fine, 2 ** (1 / fine - 1), color="C0")
ax.plot(p_values, worst, ".", color="C1")
ax.text(0.6, 2.0, "the two unit vectors on the axes", color="C0")
ax.text(1.1, 1.12, "the largest ratio of 10 000 random pairs", color="C1")
ax.text(3, 0.94, "limit for a norm", ha="right", va="top")
ax.set(xlabel="p", ylabel="norm of the sum / sum of the norms", ylim=(0, 3))
ax.set_title("Below p = 1 a detour can be shorter than the straight line")
fig.set_label(
    "The norm of a sum divided by the sum of the norms, against p, with a line at the "
    "limit 1. For the two unit vectors on the axes the ratio falls from 2.8 at p = "
    "0.4 through 1 at p = 1 to 0.6 at p = 3. The largest ratio of the random pairs "
    "stays below this curve up to p = 1, and just below 1 from there on."
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

matrix = torch.tensor([[2.0, 1.0], [0.5, 1.5]], dtype=torch.float64)
ellipse = directions @ matrix.T
u, sigma, _ = torch.linalg.svd(matrix)
assert torch.isclose(norms.spectral_norm(matrix), norms.max_norm(sigma))
assert torch.isclose(norms.frobenius_norm(matrix), norms.l2_norm(sigma))
assert torch.isclose(norms.nuclear_norm(matrix), norms.l1_norm(sigma))
assert torch.isclose(norms.frobenius_norm(matrix), norms.l2_norm(matrix.flatten()))

assert [round(float(axis), 2) for axis in sigma] == [2.56, 0.98]
stretched = norms.l2_norm(ellipse, dim=1)
assert math.isclose(stretched.max(), norms.spectral_norm(matrix), rel_tol=1e-4)
assert math.isclose(stretched.min(), sigma[1], rel_tol=1e-4)

fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
ax.plot(*directions.T, color="C0")
ax.plot(*ellipse.T, color="C1")
for i in range(2):
    end = u[:, i] * sigma[i] * u[0, i].sign()
    ax.plot([0, end[0]], [0, end[1]], color=ink, linewidth=1, linestyle="--")
    place = {"textcoords": "offset points", "xytext": (8, -8 * i)}
    ax.annotate(f"σ{'₁₂'[i]} = {sigma[i]:.2f}", end, va="center", **place)
ax.text(-0.95, 0.8, "unit circle", color="C0", ha="right")
ax.text(1.7, -0.2, "its image", color="C1", va="center")
ax.set(aspect="equal", xlim=(-2.6, 3.4), xticks=[-2, 0, 2], yticks=[-1, 0, 1])
ax.set(xlabel="first entry", ylabel="second entry")
ax.set_title("The longer half-axis is the spectral norm")
fig.set_label(
    "The unit circle and its image under a matrix, an ellipse that leans to the right. Its "
    "half-axes, dashed, have the lengths 2.56 and 0.98, the singular values."
)
plt.show()

# %%
# Definiteness and homogeneity
# ----------------------------
#
# The other two properties hold for every :math:`p > 0`: only the zero vector has size zero, and
# size scales with the vector. Without the outer root, the triangle inequality holds below 1 as
# well. So :math:`\sum_i |x_i - y_i|^p` is a distance, although it does not scale.

for p in (0.25, 0.5, 0.75):
    assert norms.lp_norm(torch.zeros(2), p) == 0
    assert (norms.lp_norm(x, p, dim=1) > 0).all()
    tripled = norms.lp_norm(-3 * x, p, dim=1)
    assert torch.allclose(tripled, 3 * norms.lp_norm(x, p, dim=1))
    powers = [v.abs().pow(p).sum(dim=1) for v in (x, y, x + y)]
    assert (powers[2] <= powers[0] + powers[1] + 1e-12).all()

# %%
# Conclusion
# ----------
#
# The formula is a norm exactly if :math:`p \ge 1`. Its unit balls are then convex, and they grow
# with :math:`p` from the diamond to the square. :func:`dlcore.norms.lp_norm` computes it for every
# :math:`p > 0`, so you can see what goes wrong below 1. The three most common norms are
# :func:`dlcore.norms.l1_norm`, :func:`dlcore.norms.l2_norm` and :func:`dlcore.norms.max_norm`. For
# matrices there are :func:`dlcore.norms.frobenius_norm`, :func:`dlcore.norms.spectral_norm` and
# :func:`dlcore.norms.nuclear_norm`. The corners of the diamond lie on the axes, where all entries
# but one are zero; this is why a penalty on the 1-norm makes entries exactly zero.
