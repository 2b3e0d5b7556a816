r"""
Multilayer perceptrons: what do hidden units learn?
===================================================

Hidden units draw borders in a plane, detect strokes in digits and approximate functions.

In short
--------

With ReLU, each hidden unit is zero on one side of a straight border and grows on the other; the
next layer combines these borders into polygons. Wider layers approximate a function more finely
and depend less on each unit, while deeper networks multiply the number of linear pieces.

.. math::

    \mathbf{h} = \phi(\mathbf{x}\mathbf{W}_1 + \mathbf{b}_1), \qquad
    \mathbf{o} = \mathbf{h}\mathbf{W}_2 + \mathbf{b}_2 .

*Prerequisites:* :doc:`softmax regression
</auto_gallery/03_softmax/plot_softmax_regression_on_digits>` and :doc:`activation functions
</auto_gallery/04_mlp/plot_activations>`. *Reading time:* 18 minutes.

Hidden units
------------

A multilayer perceptron applies an activation between two affine maps, and each entry of
:math:`\mathbf{h}` is a *hidden unit*. How can a few units with straight borders represent a closed
curve? Which patterns do they detect in real images? And in what sense can one hidden layer
represent any function?
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
    """Return the share of rows whose class is predicted correctly."""
    return float((mlp.mlp(params, x).argmax(dim=1) == labels).double().mean())


# %%
# A closed decision boundary from straight borders
# ------------------------------------------------
#
# One class fills a disc, the other a ring around it. A linear model has only one straight decision
# boundary; the fitted one classifies fewer than two thirds of the points correctly. A hidden layer
# can combine several borders. How many does it need? Two units are not enough: two straight lines
# cut the plane into sectors, and a sector is unbounded. Three units can enclose the disc, and
# training finds such a solution from each of three starts.

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
# With eight units, we follow the decision boundary from the start to epoch 60. A thin line is the
# border of a unit, where it turns on. The decision boundary is straight between the borders, and
# has a corner where it meets one. So it is a polygon, and more units make it rounder.

epochs = [*range(13), 15, 18, 22, 27, 33, 40, 50, 60]
built = {0: train(8, 1, epochs=0)}
for before, after in pairwise(epochs):
    built[after] = train(8, 1, epochs=after - before, state=built[before].state)
reached = {epoch: accuracy(built[epoch].params, dots, kinds) for epoch in epochs}
assert reached[0] < 0.8
assert reached[60] > 0.98

# %%
# Between the borders the network is affine: the set of units that are on determines the affine map.
# Eight lines cut the plane into at most :math:`1 + 8 + \binom82 = 37` pieces, and no more patterns
# of units occur.

side = torch.linspace(-1.7, 1.7, 201, dtype=torch.float64)
grid = torch.cartesian_prod(side, side)
(w1, b1), _ = built[60].params
patterns = (grid @ w1 + b1 > 0).unique(dim=0)
assert 8 < len(patterns) <= 1 + 8 + math.comb(8, 2)

outputs = {epoch: mlp.mlp(built[epoch].params, grid) for epoch in epochs}
gaps = {epoch: (o[:, 0] - o[:, 1]).reshape(201, 201).T for epoch, o in outputs.items()}


def draw_boundary(epoch, ax):
    """Draw the points, the borders of the units and the decision boundary."""
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
    draw_boundary(epoch, ax)
fig.set_label(
    "Four stills of the plane with a disc of points inside a ring of others, the "
    "borders of eight hidden units as thin lines, and the decision boundary as a "
    "thick one. At epoch 0 all borders go through the centre and the boundary is "
    "open. At epoch 2 it has closed around most of the disc, and from epoch 6 on it "
    "is a polygon between disc and ring."
)
plt.show()

# %%
# The animation shows how the boundary forms. All borders start at the centre, because all biases
# start at 0. Each border moves away from the centre to a different side. The borders rotate and
# shift, and the corners of the decision boundary, which lie on them, move along.

offsets = {epoch: built[epoch].params[0].bias.abs().mean() for epoch in epochs}
assert offsets[0] == 0
assert offsets[6] > 0.1
edge = grid.abs().amax(dim=1) == side.max()
closed = {epoch: bool((o[edge, 1] > o[edge, 0]).all()) for epoch, o in outputs.items()}
assert not closed[0]
assert all(closed[epoch] for epoch in epochs if epoch >= 2)

fig, ax = plt.subplots(figsize=(4, 4.2), layout="constrained")
draw_boundary(60, ax)  # the still picture, for pages that cannot play the animation
film = FuncAnimation(
    fig, draw_boundary, frames=epochs, fargs=(ax,), interval=220, repeat=False
)
fig.set_label(
    "The same plane at the end of the animation, at epoch 60. The animation shows the "
    "epochs before. All borders start in the centre of the disc, move away and "
    "settle. The decision boundary, which lies between them, is open at first and "
    "closed from the second epoch on."
)
plt.show()

# %%
# What hidden units detect in digits
# ----------------------------------
#
# scikit-learn's bundled digits have 64 pixels, and we hold out a third of the 1797 images. A
# network of 32 hidden units, trained for 25 epochs, reads at least 95 of 100 test digits. The mean
# image is subtracted from every image. Without this, every input is positive, and a single step can
# turn a unit off for every image: with 16 units, three or more are dead after training, on average
# over three starts.

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
    """Return the number of dead units, which are on for no image."""
    return int((hidden == 0).all(dim=0).sum())


params, hidden = read_digits(32, 0, pixels)
assert accuracy(params, pixels[test], classes[test]) >= 0.95
assert n_dead(hidden) == 0
assert sum(n_dead(read_digits(16, seed, raw)[1]) for seed in range(3)) >= 9

# %%
# Each unit has a weight for each pixel, which together form an image of what turns the unit on. We
# scale each weight by its pixel's standard deviation, so constant pixels do not matter. The figure
# shows the eight units that are on for the fewest digits. They detect ink in some places (orange)
# and its absence in others (purple): parts of strokes rather than digits. The title lists the
# digits for which the unit is on in most images. A typical unit is on for most images of five to
# eight of the ten digits, and no unit is on for those of a single digit. Each unit takes part in
# many digits, and the next layer identifies a digit from all units together.

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
    "The weights of eight hidden units as images of 8 by 8 pixels, orange for ink and "
    "purple for its absence, each with the three to six digits for which the unit is "
    "on. They show spots and edges next to each other rather than whole digits."
)
plt.show()

# %%
# How much does a single unit matter? We switch it off in the trained network, and count how many
# test digits are lost. With 16 units, each unit accounts for about 5 of 100 digits on average. With
# 64 units, the average loss is less than half a digit in 100, and few units cost more than two
# digits, because the other units carry enough information.

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
ax.set_title("With more units, each single unit matters less")
fig.set_label(
    "How many of 100 digits are lost if one hidden unit is switched off, one point "
    "for each unit of two networks of each width. With 16 units the points spread "
    "from 0 to 12 with a mean of 5, with 32 the mean is 1, and with 64 nearly all "
    "points are close to 0."
)
plt.show()

# %%
# Universal approximation: any function?
# --------------------------------------
#
# The claim that one hidden layer can represent any function needs three qualifiers. One hidden
# layer can *approximate* any *continuous* function on a *compact* set. In one dimension the proof
# is a construction: place the borders of :math:`m` units at equal distances, and let each unit
# change the slope, so that the network connects points of the function by straight lines. Its error
# on :math:`[-1, 1]` is at most
#
# .. math::
#
#     \frac{1}{8}\Bigl(\frac2m\Bigr)^2 \max_x |f''(x)| .


def interpolate(f, m):
    """Return a network of m hidden units that interpolates f linearly on [-1, 1]."""
    knots = torch.linspace(-1, 1, m + 1, dtype=torch.float64)
    slopes = f(knots).diff() * m / 2
    first = linear.LinearParams(torch.ones(1, m, dtype=torch.float64), -knots[:-1])
    bends = torch.cat([slopes[:1], slopes.diff()])
    return first, linear.LinearParams(bends[:, None], f(knots[:1]))


def worst(f, m, points):
    """Return the largest error of the network of m units over the points."""
    return float(
        (mlp.mlp(interpolate(f, m), points[:, None])[:, 0] - f(points)).abs().max()
    )


def smooth(x):
    """Return the values of a function whose second derivative is at most 33.5."""
    return torch.sin(3 * x) + 0.5 * torch.cos(7 * x)


def jump(x):
    """Return the values of a function that is not continuous."""
    return (x > 0.123).to(x.dtype)


inside = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
widths = [2, 4, 8, 16, 32, 64, 128, 256]
errors = {f: [worst(f, m, inside) for m in widths] for f in (smooth, jump)}
for m, error in zip(widths, errors[smooth], strict=True):
    assert error <= (9 + 24.5) / 8 * (2 / m) ** 2

# %%
# Doubling the width divides the error by four, as the formula says. Without the other two
# qualifiers the claim is false. At a jump, every continuous function has an error of at least half
# the jump, and so does a network of any width. Outside the compact set there is no guarantee:
# beyond its last border the network is a straight line, and the error at 10 does not shrink with
# the width.

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
    "Two panels. Left, a wavy function on [-1.6, 2], with the interval from -1 to 1 "
    "shaded. A network of 4 units misses its waves. One of 16 follows them closely "
    "inside the interval. Outside, both continue as straight lines while the function "
    "bends. Right, the largest error inside the interval against the number of units, "
    "on logarithmic axes: for the function it falls from 2 to below 0.001 along a "
    "straight line, for a jump it stays between one half and 1."
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
out = linear.LinearParams(torch.tensor([[2.0], [-4.0]]), torch.tensor([0.0]))


def n_pieces(params, n=2**12):
    """Return the number of linear pieces on [0, 1], with the borders on a grid."""
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
    "Three panels of piecewise linear functions between 0 and 1: one tent with one "
    "layer of two units, four tents with three layers, and sixteen with five layers."
)
plt.show()

# %%
# Conclusion
# ----------
#
# A hidden unit defines a border, and a layer defines a set of borders; the next layer assigns
# values between them. :func:`dlcore.mlp.mlp` is the whole model, :func:`dlcore.mlp.init_mlp`
# initializes it and :func:`dlcore.training.fit` trains it; :func:`dlcore.mlp.forward` returns the
# hidden units for inspection. More width makes a network finer and each unit less important; more
# depth multiplies the linear pieces. The tutorial on :doc:`backpropagation by hand
# </auto_gallery/07_propagation/plot_backpropagation_by_hand>` derives how the gradients pass back
# through the layers. Other activations than ReLU are possible: the tutorial on :doc:`activation
# functions </auto_gallery/04_mlp/plot_activations>` compares seven.
