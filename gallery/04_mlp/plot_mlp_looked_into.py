r"""
What do hidden units learn?
===========================

A multilayer perceptron puts an activation between two affine maps,

.. math::

    \mathbf{h} = \phi(\mathbf{x}\mathbf{W}_1 + \mathbf{b}_1), \qquad
    \mathbf{o} = \mathbf{h}\mathbf{W}_2 + \mathbf{b}_2 ,

and each entry of :math:`\mathbf{h}` is a *hidden unit*. With :math:`\phi = \operatorname{ReLU}`
a unit is zero on one side of a straight border and grows on the other. That is all it can do. How
do a few of them draw a closed curve? What do they look for in real images? And how much truth is there in the
saying that one hidden layer can learn any function?
"""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_digits

from dlcore import linear, losses, mlp, training

ink = plt.rcParams["text.color"]


def per_example(params, x, labels):
    """Return the loss of each row."""
    return losses.cross_entropy(mlp.mlp(params, x), labels)


def accuracy(params, x, labels):
    """Return the share of rows whose class is found."""
    return float((mlp.mlp(params, x).argmax(dim=1) == labels).double().mean())


# %%
# A fence around a disc
# ---------------------
#
# One class fills a disc, the other a ring around it. A linear model has only one straight
# border to offer; the fitted one finds less than two thirds of the points. With a hidden layer
# the borders can be joined. How many does it take? Two units leave the fence open: two straight
# lines cut the plane into sectors that go on for ever. Three can close it, and training finds
# them, from each of three starts.

generator = torch.Generator().manual_seed(0)
n = 400
kinds = torch.arange(n) % 2
turn = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
place = torch.rand(n, generator=generator, dtype=torch.float64)
radius = torch.where(kinds == 0, 0.6 * place.sqrt(), 0.9 + 0.6 * place)
dots = radius[:, None] * torch.stack([turn.cos(), turn.sin()], dim=1)


def train(width, seed, epochs=60, state=None):
    """Return the history of a network trained on the disc and the ring."""
    generator = torch.Generator().manual_seed(seed)
    start = mlp.init_mlp(
        [2, width, 2], scheme="he_normal", generator=generator, dtype=dots.dtype
    )
    return training.fit(
        per_example,
        start,
        (dots, kinds),
        epochs=epochs,
        batch_size=50,
        lr=0.1,
        momentum=0.9,
        resume=state,
        generator=generator,
    )


of_linear = linear.softmax_regression(dots, kinds, penalty=1e-3)
assert accuracy([of_linear], dots, kinds) < 2 / 3
for seed in range(3):
    assert accuracy(train(2, seed).params, dots, kinds) < 0.9
    assert accuracy(train(3, seed).params, dots, kinds) > 0.98

# %%
# Here is how a fence is built by eight units, from the start to the sixtieth epoch. A thin line
# is the border of a unit, where it turns on. The boundary between the classes is straight
# between the borders, and bends where it meets one. So it is a polygon, and more units make it
# rounder.

epochs = [*range(13), 15, 18, 22, 27, 33, 40, 50, 60]
built = {0: train(8, 1, epochs=0)}
for before, after in pairwise(epochs):
    built[after] = train(8, 1, epochs=after - before, state=built[before].state)
reached = {epoch: accuracy(built[epoch].params, dots, kinds) for epoch in epochs}
assert reached[0] < 0.8
assert reached[60] > 0.98

# %%
# Between the borders the network is affine: which units are on decides which affine map is at
# work. Eight lines cut the plane into :math:`1 + 8 + \binom82 = 37` pieces at most, and no more
# patterns of units can be found.

side = torch.linspace(-1.7, 1.7, 201, dtype=torch.float64)
grid = torch.cartesian_prod(side, side)
(w1, b1), _ = built[60].params
patterns = (grid @ w1 + b1 > 0).unique(dim=0)
assert 8 < len(patterns) <= 1 + 8 + math.comb(8, 2)

outputs = {epoch: mlp.mlp(built[epoch].params, grid) for epoch in epochs}
gaps = {epoch: (o[:, 0] - o[:, 1]).reshape(201, 201).T for epoch, o in outputs.items()}


def draw_fence(epoch, ax):
    """Draw the points, the borders of the units and the boundary of the classes."""
    ax.clear()
    (weight, bias), _ = built[epoch].params
    for a, b in zip(weight.T.tolist(), bias.tolist(), strict=True):
        foot = torch.tensor(a, dtype=dots.dtype) * -b / (a[0] ** 2 + a[1] ** 2)
        along = torch.tensor([-a[1], a[0]], dtype=dots.dtype) / math.hypot(*a)
        ends = torch.stack([foot - 4 * along, foot + 4 * along])
        ax.plot(*ends.T, color=ink, linewidth=0.8, alpha=0.5)
    for j in range(2):
        ax.plot(*dots[kinds == j].T, ".", color=f"C{j}", markersize=4, alpha=0.8)
    if gaps[epoch].min() < 0 < gaps[epoch].max():
        ax.contour(side, side, gaps[epoch], levels=[0], colors=[ink], linewidths=2.5)
    ax.set(aspect="equal", xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), xticks=[], yticks=[])
    ax.set_title(f"epoch {epoch}: {100 * reached[epoch]:.0f} %")


fig, axes = plt.subplots(2, 2, figsize=(5.2, 5.5), layout="constrained")
for ax, epoch in zip(axes.flat, [0, 2, 6, 60], strict=True):
    draw_fence(epoch, ax)
fig.set_label(
    "Four stills of the plane with a disc of points inside a ring of others, the borders of "
    "eight hidden units as thin lines, and the boundary between the classes as a thick one. At "
    "epoch 0 all borders go through the centre and the boundary is open. At epoch 2 it has closed "
    "around most of the disc, and from epoch 6 on it is a polygon between disc and ring."
)
plt.show()

# %%
# The same fence, as it is built. All borders begin in the centre, since all biases begin at 0.
# Each leaves it to a side of its own; they turn and shift, and the corners of the fence, which
# lie on them, go along.

offsets = {epoch: built[epoch].params[0].bias.abs().mean() for epoch in epochs}
assert offsets[0] == 0
assert offsets[6] > 0.1
edge = grid.abs().amax(dim=1) == side.max()
closed = {epoch: bool((o[edge, 1] > o[edge, 0]).all()) for epoch, o in outputs.items()}
assert not closed[0]
assert all(closed[epoch] for epoch in epochs if epoch >= 2)

fig, ax = plt.subplots(figsize=(4, 4.2), layout="constrained")
draw_fence(60, ax)  # a still, where nothing can move
film = FuncAnimation(
    fig, draw_fence, frames=epochs, fargs=(ax,), interval=220, repeat=False
)
fig.set_label(
    "One still of the same plane, the last, at epoch 60; the film before it goes through the "
    "epochs. All borders begin in the centre of the disc, leave it and settle, and with them the "
    "boundary, which is open at first and closed from the second epoch on."
)
plt.show()

# %%
# What they look for in digits
# ----------------------------
#
# scikit-learn's bundled digits have 64 pixels, and a third of the 1797 images is kept back. A
# network of 32 hidden units, trained for 25 epochs, reads at least 95 of 100 test digits.
# The mean image is subtracted from all. Without that every input is positive, and a first step
# can push a unit off for every image: with 16 units, three or more are dead at the end, on
# average over three starts.

digits = load_digits()
raw = torch.as_tensor(digits.data, dtype=torch.float32) / 16
classes = torch.as_tensor(digits.target)
order = torch.randperm(len(raw), generator=generator)
known, test = order[:-599], order[-599:]
pixels = raw - raw[known].mean(dim=0)


def read_digits(width, seed, pixels):
    """Return a network trained on the digits, and its hidden units on the test rows."""
    generator = torch.Generator().manual_seed(seed)
    start = mlp.init_mlp([64, width, 10], scheme="he_normal", generator=generator)
    params = training.fit(
        per_example,
        start,
        (pixels[known], classes[known]),
        epochs=25,
        batch_size=128,
        lr=0.1,
        momentum=0.9,
        generator=generator,
    ).params
    return params, mlp.forward(params, pixels[test], classes[test]).h[0]


def n_dead(hidden):
    """Return how many units are on for no image."""
    return int((hidden == 0).all(dim=0).sum())


params, hidden = read_digits(32, 0, pixels)
assert accuracy(params, pixels[test], classes[test]) >= 0.95
assert n_dead(hidden) == 0
assert sum(n_dead(read_digits(16, seed, raw)[1]) for seed in range(3)) >= 9

# %%
# Each unit has a weight for each pixel: a picture of what turns it on. Drawn is the weight
# times the standard deviation of its pixel, for a pixel that never changes has no say. The
# eight units that are on for the fewest digits look for ink in some places (orange) and for
# none in others (purple), parts of strokes rather than digits. Above each stand the digits
# that it is on for, in most of their images. A typical unit is on for most
# images of five to eight of the ten digits, and no unit for those of one digit alone: each
# takes part in many, and what a digit is, the next layer reads from all of them together.

on = (hidden > 0).double()
share = torch.stack([on[classes[test] == digit].mean(dim=0) for digit in range(10)])
n_digits = (share > 0.5).sum(dim=0)
assert 5 <= n_digits.median() <= 8
assert n_digits.min() >= 2

fig, axes = plt.subplots(2, 4, figsize=(5.6, 3.5), layout="constrained")
for ax, unit in zip(axes.flat, n_digits.argsort(stable=True).tolist(), strict=False):
    picture = (params[0].weight[:, unit] * pixels[known].std(dim=0)).reshape(8, 8)
    limit = float(picture.abs().max())
    ax.imshow(picture, cmap="PuOr_r", vmin=-limit, vmax=limit)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(" ".join(str(d) for d in range(10) if share[d, unit] > 0.5))
fig.set_label(
    "What eight hidden units look for, as pictures of 8 by 8 pixels, orange for ink and purple for "
    "none, each with the three to six digits that it is on for. They show spots and edges next to "
    "each other rather than whole digits."
)
plt.show()

# %%
# So how much does a single unit matter? Switch it off in the trained network, and see how many
# test digits are lost. Of 16 units each is worth about 5 of 100 digits on average. Of 64, the
# average unit costs less than half a digit in 100, and few cost more than two: the others know
# enough.

lost = {}
for width in (16, 32, 64):
    lost[width] = []
    for seed in range(2):
        params, hidden = read_digits(width, seed, pixels)
        whole = accuracy(params, pixels[test], classes[test])
        for unit in range(width):
            without = hidden.clone()
            without[:, unit] = 0
            found = linear.linear(without, *params[1]).argmax(dim=1) == classes[test]
            lost[width].append(100 * (whole - float(found.double().mean())))
    lost[width] = torch.tensor(lost[width])
mean = {width: float(points.mean()) for width, points in lost.items()}
assert 3 < mean[16] < 7
assert mean[32] < mean[16] / 2
assert mean[64] < 0.5
assert (lost[64] > 2).double().mean() < 0.1

fig, ax = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
for row, (width, points) in enumerate(lost.items()):
    shift = 0.3 * (torch.rand(len(points), generator=generator) - 0.5)
    ax.plot(row + shift, points, "o", color=f"C{row}", alpha=0.5, markersize=5)
    ax.plot([row - 0.25, row + 0.25], 2 * [mean[width]], color=ink, linewidth=2)
ax.text(0.28, mean[16], "mean", va="center")
ax.set_xticks(range(3), labels=[f"{width} units" for width in lost])
ax.set(xlim=(-0.5, 2.5), ylabel="digits lost, of 100")
ax.set_title("Without one unit: the more there are, the less it matters")
fig.set_label(
    "How many of 100 digits are lost if one hidden unit is switched off, a point for each unit "
    "of two networks of each width. With 16 units the points spread from 0 to 12 with a mean of "
    "5, with 32 the mean is 1, and with 64 nearly all points are close to 0."
)
plt.show()

# %%
# Any function?
# -------------
#
# The saying needs three words more. One hidden layer can *approximate* any *continuous*
# function on a *compact* set. In one dimension the proof is a construction: put the borders of
# :math:`m` units at equal distances, and let each one change the slope, so that the network
# joins points of the function by straight lines. Its error on :math:`[-1, 1]` is at most
#
# .. math::
#
#     \frac{1}{8}\Bigl(\frac2m\Bigr)^2 \max_x |f''(x)| .


def interpolate(f, m):
    """Return a network of m hidden units that joins points of f on [-1, 1]."""
    knots = torch.linspace(-1, 1, m + 1, dtype=torch.float64)
    slopes = f(knots).diff() * m / 2
    first = linear.LinearParams(torch.ones(1, m, dtype=torch.float64), -knots[:-1])
    bends = torch.cat([slopes[:1], slopes.diff()])
    return first, linear.LinearParams(bends[:, None], f(knots[:1]))


def worst(f, m, points):
    """Return the largest error of the network of m units at any of the points."""
    return float(
        (mlp.mlp(interpolate(f, m), points[:, None])[:, 0] - f(points)).abs().max()
    )


def smooth(x):
    """Return a function whose second derivative is 33.5 at most."""
    return torch.sin(3 * x) + 0.5 * torch.cos(7 * x)


def jump(x):
    """Return a function that is not continuous."""
    return (x > 0.123).to(x.dtype)


inside = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
widths = [2, 4, 8, 16, 32, 64, 128, 256]
errors = {f: [worst(f, m, inside) for m in widths] for f in (smooth, jump)}
for m, error in zip(widths, errors[smooth], strict=True):
    assert error <= (9 + 24.5) / 8 * (2 / m) ** 2

# %%
# Doubling the width divides the error by four, as the formula says. Without the two other words
# it fails. At a jump every continuous function is wrong by half the jump, and so is a network
# of any width. And outside the set nothing is promised: beyond its last border the network goes
# straight on, and the error at 10 does not shrink with the width.

assert 3.5 < errors[smooth][-2] / errors[smooth][-1] < 4.5
assert min(errors[jump]) >= 0.49
beyond = torch.tensor([10.0], dtype=torch.float64)
assert min(worst(smooth, m, beyond) for m in widths[2:]) > 5

fig, axes = plt.subplots(1, 2, figsize=(6, 3.5), layout="constrained")
wide = torch.linspace(-1.6, 2, 901, dtype=torch.float64)
axes[0].axvspan(-1, 1, color=ink, alpha=0.08, linewidth=0)
axes[0].plot(wide, smooth(wide), color=ink, linewidth=1, linestyle="--")
for i, m in enumerate((4, 16)):
    y = mlp.mlp(interpolate(smooth, m), wide[:, None])[:, 0]
    axes[0].plot(wide, y, color=f"C{i}")
axes[0].text(2, 0.62, "4 units", color="C0", ha="right")
axes[0].text(1.2, -1.95, "16 units", color="C1", ha="right")
axes[0].text(-1.5, 1.2, "f")
axes[0].set(ylim=(-2.2, 2.2), xlabel="x", title="f and two networks")
axes[0].set_xticks([-1, 0, 1])
axes[1].plot(widths, errors[smooth], "o-", color="C1")
axes[1].plot(widths, errors[jump], "o-", color="C2")
axes[1].text(250, 1.4, "for a jump", color="C2", ha="right")
axes[1].text(12, 0.008, "for f", color="C1", ha="right")
axes[1].set(xscale="log", yscale="log", ylim=(1e-4, 5), xlabel="hidden units")
axes[1].set_xticks([2, 16, 128], labels=["2", "16", "128"])
axes[1].set_xticks([], minor=True)
axes[1].set_title("The largest error on [−1, 1]")
fig.set_label(
    "Two panels. Left, a wavy function on [-1.6, 2], with the interval from -1 to 1 shaded. A "
    "network of 4 units misses its waves, one of 16 follows them closely inside the interval, and "
    "outside both go straight on while the function bends. Right, the largest error inside against "
    "the number of units, on logarithmic axes: for the function it falls from 2 to below 0.001 along "
    "a straight line, for a jump it stays between one half and 1."
)
plt.show()

# %%
# Why go deep
# -----------
#
# With one hidden layer in one dimension, each unit bends the function once: :math:`m` units
# make :math:`m + 1` straight pieces at most. Layers multiply instead. The tent, up and down
# again between 0 and 1, takes two units. A tent of a tent has two peaks, and with each further
# layer their number doubles: six layers, twelve units, 64 pieces. One layer needs 63 units for
# that.

two = linear.LinearParams(torch.tensor([[1.0, 1.0]]), torch.tensor([0.0, -0.5]))
again = linear.LinearParams(torch.tensor([[2.0, 2.0], [-4.0, -4.0]]), two.bias)
out = linear.LinearParams(torch.tensor([[2.0], [-4.0]]), torch.tensor([0.0]))


def n_pieces(params, n=2**12):
    """Return the number of straight pieces on [0, 1]; borders on the grid."""
    grid = torch.linspace(0, 1, n + 1)[:, None]
    slopes = mlp.mlp(params, grid)[:, 0].diff() * n
    return 1 + int((slopes.diff().abs() > 0.5).sum())


towers = {depth: [two, *[again] * (depth - 1), out] for depth in range(1, 7)}
for depth, params in towers.items():
    assert n_pieces(params) == 2**depth
grid = torch.linspace(0, 1, 2**10 + 1)
for _ in range(100):
    weight, bias = torch.randn(2, 12, generator=generator)
    on = grid[:, None] * weight + bias > 0
    assert len(on.unique_consecutive(dim=0)) <= 12 + 1

fig, axes = plt.subplots(3, 1, figsize=(5.2, 4.2), sharex=True, layout="constrained")
for i, (ax, depth) in enumerate(zip(axes, (1, 3, 5), strict=True)):
    ax.plot(grid, mlp.mlp(towers[depth], grid[:, None])[:, 0], color=f"C{i}")
    ax.set(ylim=(-0.05, 1.05), xlim=(0, 1), yticks=[0, 1])
    layers = "layer" if depth == 1 else "layers"
    ax.set_title(f"{depth} {layers} of two units: {2**depth} pieces")
axes[-1].set_xlabel("x")
fig.set_label(
    "Three panels of straight pieces between 0 and 1: with one layer of two units a single tent, "
    "with three layers four tents, with five layers sixteen."
)
plt.show()

# %%
# Conclusion
# ----------
#
# A hidden unit is a border, and a layer of them a set of borders; the next layer says what
# holds between them. :func:`dlcore.mlp.mlp` is the whole model, :func:`dlcore.mlp.init_mlp` its
# start and :func:`dlcore.training.fit` its training; :func:`dlcore.mlp.forward` keeps the
# hidden units, for a look inside. More width makes a network finer and each unit less
# important; more depth multiplies the pieces. How the gradients that train it come back through
# the layers is done by hand in
# :doc:`/auto_gallery/07_propagation/plot_backpropagation_by_hand`. The activation need not be
# ReLU: :doc:`/auto_gallery/04_mlp/plot_activations` has six others.
