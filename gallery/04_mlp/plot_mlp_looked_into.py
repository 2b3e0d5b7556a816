r"""
Multilayer perceptrons: what do hidden units learn?
===================================================

Hidden units draw borders in a plane and detect parts of strokes in digits.

In short
--------

With ReLU, each hidden unit is zero on one side of a straight border and grows on the other; the
next layer combines these borders into polygons. In a network that reads digits, each unit takes
part in many digits, and the more units there are, the less a single one matters.

.. math::

    \mathbf{h} = \phi(\mathbf{x}\mathbf{W}_1 + \mathbf{b}_1), \qquad
    \mathbf{o} = \mathbf{h}\mathbf{W}_2 + \mathbf{b}_2 .

*Prerequisites:* :doc:`softmax regression
</auto_gallery/03_softmax/plot_softmax_regression_on_digits>` and :doc:`activation functions
</auto_gallery/04_mlp/plot_activations>`.

Hidden units
------------

A multilayer perceptron applies an activation between two affine maps, and each entry of
:math:`\mathbf{h}` is a *hidden unit*. How can a few units with straight borders represent a closed
curve? And which patterns do they detect in real images?
"""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_digits

from dlcore import linear, losses, mlp, training

# Change these numbers and run the script again.
seed = 0
n_points = 400
width = 8
epochs = 60
lr = 0.1
digit_widths = [16, 32, 64]
digit_epochs = 25
claims = {}

# %%
# A closed decision boundary from straight borders
# ------------------------------------------------
#
# One class fills a disc, the other a ring around it. A linear model has only one straight decision
# boundary; the fitted one classifies fewer than two thirds of the points correctly. A hidden layer
# can combine several borders. How many does it need? Two units are not enough: two straight lines
# cut the plane into sectors, and a sector is unbounded. Three units can enclose the disc, and
# training finds such a solution from each of three starts.

generator = torch.Generator().manual_seed(seed)
kinds = torch.arange(n_points) % 2
turn = 2 * math.pi * torch.rand(n_points, generator=generator, dtype=torch.float64)
place = torch.rand(n_points, generator=generator, dtype=torch.float64)
radius = torch.where(kinds == 0, 0.6 * place.sqrt(), 0.9 + 0.6 * place)
dots = radius[:, None] * torch.stack([turn.cos(), turn.sin()], dim=1)


def per_example(params, x, labels):
    """Return the loss of each row."""
    return losses.cross_entropy(mlp.mlp(params, x), labels)


def accuracy(params, x, labels):
    """Return the share of rows whose class is predicted correctly."""
    return float((mlp.mlp(params, x).argmax(dim=1) == labels).double().mean())


def train(sizes, start_seed, data, **options):
    """Return the parameters of a network before training and after each epoch."""
    own = torch.Generator().manual_seed(start_seed)
    kind = {"generator": own, "dtype": data[0].dtype}
    start = mlp.init_mlp(sizes, scheme="he_normal", **kind)
    options |= {"lr": lr, "momentum": 0.9, "generator": own}
    passes = training.epochs(per_example, start, data, **options)
    return [start, *(history.params for history in passes)]


on_dots = {"data": (dots, kinds), "epochs": epochs, "batch_size": 50}
of_linear = linear.softmax_regression(dots, kinds, penalty=1e-3)
claims["A linear model is right for fewer than two thirds of the points"] = (
    accuracy([of_linear], dots, kinds) < 2 / 3
)
found = {2: [], 3: []}
for n_units, accuracies in found.items():
    for k in range(3):
        last = train([2, n_units, 2], seed + k, **on_dots)[-1]
        accuracies.append(accuracy(last, dots, kinds))
claims["Two units are right for fewer than nine points in ten"] = max(found[2]) < 0.9
claims["Three units enclose the disc from each start"] = min(found[3]) > 0.98

# %%
# With eight units, we follow the decision boundary from the start to epoch 60; move the epoch in
# the figure. A thin line is the border of a unit, where it turns on. The decision boundary is
# straight between the borders, and has a corner where it meets one. So it is a polygon, and more
# units make it rounder.
#
# All borders start at the centre, because all biases start at 0. Each border moves away from the
# centre to a different side. The borders rotate and shift, and the corners of the decision
# boundary, which lie on them, move along. The boundary is open at first and closed from epoch 2 on.

built = train([2, width, 2], seed + 1, **on_dots)
reached = [accuracy(params, dots, kinds) for params in built]
claims["The network learns to separate the disc from the ring"] = (
    reached[0] < 0.8 and reached[-1] > 0.98
)

side = torch.linspace(-1.7, 1.7, 121, dtype=torch.float64)
grid = torch.cartesian_prod(side, side).flip(1)  # one row of the picture after another
frames = sorted({round(epochs * (k / 15) ** 2) for k in range(16)})
units = {k: (grid @ built[k][0].weight + built[k][0].bias).T for k in frames}
gaps = {k: mlp.mlp(built[k], grid).diff(dim=1)[:, 0] for k in frames}
assert (built[0][0].bias == 0).all(), "all borders start at the centre"
claims["The borders move away from the centre"] = built[-1][0].bias.abs().mean() > 0.1
edge = grid.abs().amax(dim=1) == side.max()
closed = {k: bool((gaps[k][edge] > 0).all()) for k in frames}
claims["The boundary is open at first"] = not closed[0]
later = [closed[k] for k in frames if k >= 2]
claims["The boundary is closed from epoch 2 on"] = all(later)

# Figure
ink = plt.rcParams["text.color"]
fig, plane = plt.subplots(figsize=(4.2, 4.4), layout="constrained")


def draw_border(values, **style):
    if values.min() < 0 < values.max():
        picture = values.reshape(len(side), -1)
        plane.contour(side, side, picture, levels=[0], colors=[ink], **style)


def draw_boundary(epoch):
    plane.clear()
    for unit in units[epoch]:
        draw_border(unit, linewidths=0.8, alpha=0.5)
    draw_border(gaps[epoch], linewidths=2.5)
    for j in range(2):
        plane.plot(*dots[kinds == j].T, ".", color=f"C{j}", markersize=4)
    plane.set(aspect="equal", xticks=[], yticks=[])
    plane.set_title(f"Epoch {epoch}: {reached[epoch]:.0%} correct")


film = FuncAnimation(fig, draw_boundary, frames)
fig.set_label(
    "The plane with a disc of points inside a ring of others, the borders of eight hidden units "
    "as thin lines, and the decision boundary as a thick one. At epoch 0 all borders go through "
    "the centre and the boundary is open. From epoch 2 on it is a polygon between disc and ring."
)
plt.show()

# %%
# Between the borders the network is affine: the set of units that are on determines the affine map.
# Eight lines cut the plane into at most :math:`1 + 8 + \binom82 = 37` pieces, and no more patterns
# of units occur.

patterns = (units[epochs] > 0).unique(dim=1)
n_patterns = patterns.shape[1]
assert n_patterns <= 1 + width + math.comb(width, 2), "no more patterns than pieces"
claims["There are more patterns than units"] = n_patterns > width

# %%
# What hidden units detect in digits
# ----------------------------------
#
# scikit-learn's bundled digits have 64 pixels, and we hold out a third of the 1797 images. A
# network of 32 hidden units, trained for 25 epochs, reads at least 95 of 100 test digits. The mean
# image is subtracted from every image. Without this, no input is negative, and a single step can
# turn a unit off for every image: with 16 units, three or more are dead after training, on average
# over three starts.

digits = load_digits()
raw = torch.as_tensor(digits.data, dtype=torch.float32) / 16
classes = torch.as_tensor(digits.target)
order = torch.randperm(len(raw), generator=generator)
known, test = order[:-599], order[-599:]
pixels = raw - raw[known].mean(dim=0)


def read_digits(n_units, start_seed, images):
    """Return a network trained on the digits, and its hidden units on the test rows."""
    options = {"epochs": digit_epochs, "batch_size": 128}
    data = (images[known], classes[known])
    params = train([64, n_units, 10], start_seed, data, **options)[-1]
    return params, mlp.forward(params, images[test], classes[test]).h[0]


def n_dead(hidden):
    """Return the number of dead units, which are on for no image."""
    return int((hidden == 0).all(dim=0).sum())


networks = {
    n_units: [read_digits(n_units, seed + k, pixels) for k in range(2)]
    for n_units in digit_widths
}
params, hidden = networks[digit_widths[1]][0]
claims["The network reads at least 95 of 100 test digits"] = (
    accuracy(params, pixels[test], classes[test]) >= 0.95
)
claims["None of its units is dead"] = n_dead(hidden) == 0
on_raw = [read_digits(digit_widths[0], seed + k, raw)[1] for k in range(3)]
claims["Without the subtraction, three of 16 units are dead on average"] = (
    sum(map(n_dead, on_raw)) >= 9
)

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
claims["A typical unit is on for five to eight digits"] = 5 <= n_digits.median() <= 8
claims["No unit is on for a single digit"] = n_digits.min() >= 2
images = (params[0].weight.T * pixels[known].std(dim=0)).reshape(-1, 8, 8)
of_few = n_digits.argsort(stable=True).tolist()

# Figure
fig, axes = plt.subplots(2, 4, figsize=(5.6, 3.3), layout="constrained")
for ax, unit in zip(axes.flat, of_few, strict=False):
    limit = float(images[unit].abs().max())
    ax.imshow(images[unit], cmap="PuOr_r", vmin=-limit, vmax=limit)
    ax.set_title(" ".join(str(d) for d in range(10) if share[d, unit] > 0.5))
    ax.set_axis_off()
fig.set_label(
    "The weights of eight hidden units as images of 8 by 8 pixels, orange for ink and "
    "purple for its absence, each with the three to six digits for which the unit is "
    "on. They show spots and edges next to each other rather than whole digits."
)
plt.show()

# %%
# How much does a single unit matter?
# -----------------------------------
#
# We switch off one unit in the trained network, and count how many test digits are lost. With 16
# units, each unit accounts for about 5 of 100 digits on average. With 64 units, the average loss is
# less than half a digit in 100, and few units cost more than two digits, because the other units
# carry enough information.

lost = {n_units: [] for n_units in digit_widths}
for n_units, trained in networks.items():
    for params, hidden in trained:
        whole = accuracy(params, pixels[test], classes[test])
        for unit in range(n_units):
            without = hidden.clone()
            without[:, unit] = 0
            found = linear.linear(without, *params[1]).argmax(dim=1) == classes[test]
            lost[n_units].append(100 * (whole - float(found.double().mean())))
mean = {n_units: sum(values) / len(values) for n_units, values in lost.items()}
few, more, many = digit_widths
claims["With 16 units, each accounts for about 5 of 100 digits"] = 3 < mean[few] < 7
claims["With 32 units, each matters less than half as much"] = (
    mean[more] < mean[few] / 2
)
claims["With 64 units, each accounts for less than half a digit"] = mean[many] < 0.5
claims["With 64 units, few cost more than two digits"] = (
    torch.tensor(lost[many]) > 2
).double().mean() < 0.1

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
for row, values in enumerate(lost.values()):
    shift = 0.3 * torch.rand(len(values), generator=generator) - 0.15
    ax.plot(row + shift, values, "o", alpha=0.5, markersize=5)
ax.plot(range(3), list(mean.values()), "_", color=ink, markersize=50, label="mean")
ax.set_xticks(range(3), [f"{n_units} units" for n_units in lost])
ax.set(ylabel="lost, of 100 digits", title="With more units, each matters less")
ax.legend(markerscale=0.4)
fig.set_label(
    "How many of 100 digits are lost if one hidden unit is switched off, one point "
    "for each unit of two networks of each width. With 16 units the points spread "
    "from 0 to 12 with a mean of 5, with 32 the mean is 1, and with 64 nearly all "
    "points are close to 0."
)
plt.show()

# %%
# Conclusion
# ----------
#
# A hidden unit defines a border, and a layer defines a set of borders; the next layer assigns
# values between them. :func:`dlcore.mlp.mlp` is the whole model, :func:`dlcore.mlp.init_mlp`
# initializes it and :func:`dlcore.training.fit` trains it; :func:`dlcore.training.epochs` stops
# after each epoch, and :func:`dlcore.mlp.forward` returns the hidden units for inspection. The
# tutorial on :doc:`universal approximation </auto_gallery/04_mlp/plot_universal_approximation>`
# shows what more units and more layers can represent. The tutorial on :doc:`backpropagation by hand
# </auto_gallery/07_propagation/plot_backpropagation_by_hand>` derives how the gradients pass back
# through the layers.

# %%
# Exercises
# ---------
#
# **1.** Give the linear model two more inputs, the squares of the coordinates. Does it still need
# hidden units to separate the disc from the ring?

# Solution
with_squares = torch.cat([dots, dots**2], dim=1)
of_squares = linear.softmax_regression(with_squares, kinds, penalty=1e-3)
claims["With squares as inputs, a linear model separates the classes"] = (
    accuracy([of_squares], with_squares, kinds) == 1
)

# %%
# **2.** Multiply the incoming weights and the bias of a hidden unit by 10, and divide its outgoing
# weights by 10. What changes?

# Solution
(w1, b1), (w2, b2) = params
factor = torch.ones(len(b1))
factor[0] = 10
scaled = [
    linear.LinearParams(w1 * factor, b1 * factor),
    linear.LinearParams(w2 / factor[:, None], b2),
]
outputs = mlp.mlp(scaled, pixels[test])
same = torch.allclose(outputs, mlp.mlp(params, pixels[test]), atol=1e-3)
assert same, "nothing: max(10 z, 0) = 10 max(z, 0)"

# %%
# **3.** Into how many pieces can three lines cut the plane? Draw many random units, and count the
# patterns in which they are on.

# Solution
most = 0
for _ in range(100):
    w, b = torch.randn(2, 3, generator=generator), torch.randn(3, generator=generator)
    on = grid.float() @ w + b / 2 > 0
    codes = on.long() @ torch.tensor([1, 2, 4])
    most = max(most, len(codes.unique()))
assert most <= 7, "1 + 3 + 3 pieces; all eight patterns never occur"
claims["Seven pieces do occur"] = most == 7

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
