r"""
Softmax temperature: how close is a softmax to a hardmax?
=========================================================

The temperature moves a softmax from equal probabilities to the hardmax, and changes no decision.

In short
--------

As the temperature :math:`T` falls from ∞ to 0, the softmax moves from equal probabilities to the
hardmax, the distribution that gives all probability to the largest logit; only tied logits keep
equal shares. The temperature changes the confidence of a classifier, never its decision.

.. math::

    \operatorname{softmax}(\mathbf{o}/T)_j = \frac{e^{o_j/T}}{\sum_{k=1}^{q} e^{o_k/T}} .

*Prerequisites:* exponentials and probabilities. *Reading time:* 12 minutes.

From logits to probabilities
----------------------------

A classifier with :math:`q` classes first computes a score for each class, its *logit*,

.. math::

    o_j = \sum_{i=1}^{d} x_i w_{ij} + b_j ,

and then turns the logits into probabilities by the softmax above, usually with :math:`T = 1`. The
name promises a soft version of the *hardmax*. How does one become the other, what happens to a tie,
and what is a softmin?
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_wine

from dlcore import activations, information, linear

generator = torch.Generator().manual_seed(0)
ink = plt.rcParams["text.color"]

# %%
# Logits of a linear classifier
# -----------------------------
#
# scikit-learn's bundled wines come from three growers. Four standardized measurements are enough to
# assign at least 172 of the 178 wines to the correct grower. A single layer has one weight for each
# pair of a measurement and a grower, so each logit has an equation of its own, and all have the
# same inputs.

wine = load_wine()
chosen = {"alcohol": 0, "flavanoids": 6, "colour": 9, "proline": 12}
x = torch.as_tensor(wine.data)[:, list(chosen.values())]
x = (x - x.mean(dim=0)) / x.std(dim=0)
growers = torch.as_tensor(wine.target)
weight, bias = linear.softmax_regression(x, growers, penalty=1.0)
logits = linear.linear(x, weight, bias)
assert weight.shape == (4, 3)
assert logits.shape == (178, 3)
assert (logits.argmax(dim=1) == growers).sum() >= 172
by_hand = sum(x[:, i] * weight[i, 2] for i in range(4)) + bias[2]
assert torch.allclose(logits[:, 2], by_hand)

# %%
# The first grower's wines have much proline, the second grower's are pale and have little alcohol,
# and the third grower's have few flavanoids.

names = list(chosen)
assert weight[:, 0].argmax() == names.index("proline")
assert (weight[[0, 2], 1] < 0).all()
assert weight[:, 2].argmin() == names.index("flavanoids")

fig, ax = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
left = [(0, 3 - i) for i in range(4)]
right = [(2.4, 2.5 - j) for j in range(3)]
for i, start in enumerate(left):
    for j, end in enumerate(right):
        w = float(weight[i, j])
        ax.plot(
            *zip(start, end, strict=True),
            color="C1" if w > 0 else "C0",
            linewidth=5 * abs(w) / float(weight.abs().max()),
            zorder=0,
        )
    ax.text(start[0] - 0.2, start[1], names[i], ha="right", va="center")
for j, (across, up) in enumerate(right):
    ax.text(across + 0.2, up, f"grower {j + 1}", va="center")
ax.scatter(*zip(*left, *right, strict=True), s=160, color=ink)
ax.text(0.9, -0.5, "positive weight", color="C1", ha="right")
ax.text(1.4, -0.5, "negative weight", color="C0")
ax.text(0, 3.45, "inputs", ha="center")
ax.text(2.4, 3.45, "logits", ha="center")
ax.set(xlim=(-1.0, 3.4), ylim=(-0.7, 3.7))
ax.set_axis_off()
fig.set_label(
    "A network of one layer. Four inputs on the left, alcohol, flavanoids, colour and proline, "
    "each joined to three logits on the right, one for each grower. The lines are as thick as "
    "the weights. Among the thickest are a positive one from proline to grower 1 and a "
    "negative one from flavanoids to grower 3."
)
plt.show()

# %%
# Temperature on the probability simplex
# --------------------------------------
#
# Three probabilities that sum to 1 are a point of a triangle: at each corner one class is certain,
# in the centre all classes are equally likely, and on an edge one class is excluded. As the
# temperature falls from ∞ to 0, the softmax moves from the centre to a corner. Only differences of
# logits matter: a constant added to all logits changes nothing.

corners = torch.tensor([[0, 0], [1, 0], [0.5, math.sqrt(0.75)]], dtype=torch.float64)
temperatures = torch.logspace(-3, 3, 400, dtype=torch.float64).tolist()
examples = {
    "(2, 1, 0)": torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64),
    "(0, 2, 2)": torch.tensor([0.0, 2.0, 2.0], dtype=torch.float64),
}


def path(function, o):
    """Return the probabilities at each temperature, lowest first."""
    return torch.stack([function(o, temperature=t) for t in temperatures])


paths = {name: path(activations.softmax, o) for name, o in examples.items()}
for name, o in examples.items():
    assert torch.allclose(paths[name].sum(dim=1), torch.ones(400, dtype=o.dtype))
    assert torch.allclose(path(activations.softmax, o + 7), paths[name])
    assert torch.allclose(paths[name][-1], torch.full_like(o, 1 / 3), atol=1e-3)

# %%
# If one logit is the largest, the limit at :math:`T = 0` is :func:`~dlcore.activations.hardmax`.
# The softmax converges fast: the probability that the largest logit still lacks shrinks like
# :math:`e^{-g/T}`, where :math:`g` is the gap to the next logit. If two logits tie, the limit of
# the softmax is the midpoint between their corners, because the softmax treats them alike. A
# hardmax has to choose one, and like ``argmax`` it takes the first.

hard = {name: activations.hardmax(o) for name, o in examples.items()}
assert torch.allclose(paths["(2, 1, 0)"][0], hard["(2, 1, 0)"])
assert paths["(0, 2, 2)"][0].tolist() == [0, 0.5, 0.5]
assert hard["(0, 2, 2)"].tolist() == [0, 1, 0]
for t in (0.05, 0.1, 0.2):
    missing = 1 - activations.softmax(examples["(2, 1, 0)"], temperature=t)[0]
    assert torch.isclose(missing, torch.tensor(math.exp(-1 / t)).double(), rtol=0.01)

# %%
# The softmax of the negated logits is the *softmin*, which favours the smallest logit. It leaves
# the centre in the opposite direction: to first order in :math:`1/T`, softmax and softmin are
# mirror images. At lower temperatures they are not: the softmin is proportional to one over the
# softmax, and moves to another corner.

o = examples["(2, 1, 0)"]
soft_min = path(activations.softmin, o)
inverse = 1 / activations.softmax(o)
assert torch.allclose(activations.softmin(o), inverse / inverse.sum())
assert torch.allclose(soft_min, path(activations.softmax, -o))
assert torch.allclose(soft_min[0], activations.hardmax(-o))
steps = activations.softmax(o, temperature=100) - 1 / 3
assert torch.allclose(
    activations.softmin(o, temperature=100) - 1 / 3, -steps, atol=1e-4
)


def draw_triangle(ax, of="class"):
    """Draw the simplex and the names of its corners."""
    ax.fill(*corners.T, fill=False, edgecolor=ink, linewidth=1)
    ax.text(-0.12, -0.04, f"{of} 1", va="top")
    ax.text(1.12, -0.04, f"{of} 2", ha="right", va="top")
    ax.text(0.5, math.sqrt(0.75) + 0.04, f"{of} 3", ha="center")
    ax.set(aspect="equal", xlim=(-0.15, 1.15), ylim=(-0.12, 0.97))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


# sphinx_gallery_thumbnail_number = 2
fig, ax = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
draw_triangle(ax)
lines = {
    "softmax of (2, 1, 0)": (paths["(2, 1, 0)"], "C0"),
    "softmin of (2, 1, 0)": (soft_min, "C1"),
    "softmax of (0, 2, 2)": (paths["(0, 2, 2)"], "C2"),
}
at_one = min(range(400), key=lambda k: abs(temperatures[k] - 1))
places = {"C0": ((8, -14), "left"), "C1": ((-8, 0), "right"), "C2": ((-4, 6), "right")}
for probabilities, color in lines.values():
    across, up = (probabilities @ corners).T
    ax.plot(across, up, color=color, clip_on=False)
    ax.plot(across[0], up[0], "o", color=color, markersize=9, clip_on=False)
    ax.plot(across[at_one], up[at_one], "o", color=color, markersize=5)
    offset, side = places[color]
    ax.annotate(
        "T = 1",
        (across[at_one], up[at_one]),
        offset,
        textcoords="offset points",
        color=color,
        ha=side,
    )
ax.plot(*corners.mean(dim=0), "o", color=ink, markersize=9)
ax.text(0.54, 0.25, "T = ∞", va="top")
ax.text(0.26, 0.17, "softmax of\n(2, 1, 0)", color="C0", ha="center")
ax.text(0.42, 0.41, "softmin of\n(2, 1, 0)", color="C1", ha="center")
ax.text(0.79, 0.44, "softmax of\n(0, 2, 2), a tie", color="C2", va="center")
ax.set_title("As T falls, probabilities leave the centre")
fig.set_label(
    "A triangle whose corners stand for three classes. Three curves start in its "
    "centre. The softmax of (2, 1, 0) bends into the corner of class 1. Its softmin "
    "starts in the opposite direction and bends into the corner of class 3. The "
    "softmax of (0, 2, 2) goes straight to the middle of the edge between classes 2 "
    "and 3."
)
plt.show()

# %%
# Confidence changes, decisions do not
# ------------------------------------
#
# Back to the wines. A higher temperature moves all of them towards the centre, and a lower one
# towards the corners. But the order of the probabilities is that of the logits at *every*
# temperature, so no wine crosses a decision boundary. The temperature changes only the confidence,
# not the accuracy. The confidence, the mean of the largest probability, falls from above 0.97 at
# :math:`T = \frac14` to below 0.75 at :math:`T = 4`.

confidence = {}
for t in (0.25, 1.0, 4.0):
    p = activations.softmax(logits, temperature=t)
    assert torch.equal(p.argsort(dim=1), logits.argsort(dim=1))
    confidence[t] = p.amax(dim=1)
assert (confidence[0.25] > confidence[1.0]).all()
assert (confidence[1.0] > confidence[4.0]).all()
assert confidence[0.25].mean() > 0.97
assert confidence[4.0].mean() < 0.75

fig, axes = plt.subplots(1, 2, figsize=(6, 2.9), layout="constrained")
for ax, t in zip(axes, (1, 4), strict=True):
    draw_triangle(ax, of="grower")
    for j in range(3):
        edge = corners[[k for k in range(3) if k != j]].mean(dim=0)
        border = torch.stack([corners.mean(dim=0), edge])
        ax.plot(*border.T, color=ink, linewidth=1, linestyle="--")
        spots = activations.softmax(logits[growers == j], temperature=t) @ corners
        ax.plot(*spots.T, ".", color=f"C{j}", markersize=7, alpha=0.7, clip_on=False)
    ax.set_title(f"The wines at T = {t}")
fig.set_label(
    "The 178 wines as points of the triangle of probabilities, coloured by grower, at "
    "temperatures 1 and 4, with the decision boundaries. At 1 most points are crowded "
    "in the three corners, at 4 they form three clouds around the centre. No point "
    "has crossed a boundary."
)
plt.show()

# %%
# Why the exponential? Among all distributions, the softmax is the one that maximizes the expected
# logit plus :math:`T` times the entropy,
#
# .. math::
#
#     \max_{\mathbf{p}}\ \sum_j p_j o_j + T\,H(\mathbf{p}) = T\log\sum_{k=1}^{q} e^{o_k/T} .
#
# The temperature is the weight of the entropy: at 0 only the expected logit counts, at ∞ only the
# entropy. A hundred thousand random distributions never do better. The maximum itself is a useful
# quantity, the subject of the next section.

T = 0.7
random = torch.rand(100_000, 3, generator=generator, dtype=o.dtype).log().neg()
random /= random.sum(dim=1, keepdim=True)  # uniform on the triangle
for o in examples.values():
    p = activations.softmax(o, temperature=T)
    best = (p * o).sum() + T * information.entropy(p)
    others = random @ o + T * information.entropy(random)
    assert torch.isclose(best, activations.log_sum_exp(o, temperature=T))
    assert best - 1e-3 < others.max() <= best + 1e-12

# %%
# Log-sum-exp, the smooth maximum
# -------------------------------
#
# The maximum value is :func:`~dlcore.activations.log_sum_exp`. It is what the name "softmax"
# suggests: a smooth version of the maximum itself. It exceeds the maximum by at most :math:`T\log
# q`, the value when all entries tie. Its gradient is the softmax. Its mirror image is the smooth
# minimum
#
# .. math::
#
#     -T\log\sum_{k=1}^{q} e^{-x_k/T} ,
#
# whose gradient is the softmin. So the names "max" and "min" cover two kinds of function: vectors
# of probabilities, soft or hard, and single values, exact or smooth.

x = torch.linspace(-3, 3, 301, dtype=torch.float64)
pairs = torch.stack([x, torch.zeros_like(x)], dim=1)
smooth_max = {t: activations.log_sum_exp(pairs, temperature=t) for t in (1.0, 0.5, 0.2)}
smooth_min = {t: activations.smooth_min(pairs, temperature=t) for t in smooth_max}
for t, values in smooth_max.items():
    above = values - pairs.amax(dim=1)
    assert (above > 0).all()
    assert torch.isclose(above.max(), torch.tensor(t * math.log(2), dtype=x.dtype))
    assert above.argmax() == 150  # where x is 0
    assert torch.allclose(smooth_min[t], x - values)  # of two entries: min = sum - max
for o in examples.values():
    of_max = torch.func.grad(activations.log_sum_exp)(o)
    of_min = torch.func.grad(activations.smooth_min)(o)
    assert torch.allclose(of_max, activations.softmax(o))
    assert torch.allclose(of_min, activations.softmin(o))
    assert (torch.func.grad(lambda o: activations.hardmax(o)[0])(o) == 0).all()

fig, ax = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
ax.plot(x, pairs.amax(dim=1), color=ink, linewidth=1, linestyle="--")
ax.plot(x, pairs.amin(dim=1), color=ink, linewidth=1, linestyle="--")
for (t, values), width in zip(smooth_max.items(), (3, 2, 1), strict=True):
    ax.plot(x, values, color="C0", linewidth=width)
    ax.plot(x, smooth_min[t], color="C1", linewidth=width)
ax.text(-2.9, 1.3, "smooth maximum of x and 0", color="C0")
ax.text(2.9, -1.4, "smooth minimum of x and 0", color="C1", ha="right")
ax.text(2.9, -3, "thinner: lower T\n(1, 0.5, 0.2)", ha="right")
ax.set(xlabel="x", ylabel="value", xticks=range(-3, 4))
ax.set_title("The smooth maximum lies above the maximum")
fig.set_label(
    "The smooth maximum of x and 0 for the temperatures 1, 0.5 and 0.2: three curves "
    "above the kinked line of the maximum, closest to it at the lowest temperature. "
    "Their mirror images, the smooth minima, lie below the kinked line of the "
    "minimum."
)
plt.show()

# %%
# Conclusion
# ----------
#
# The lower the temperature, the closer the softmax is to the hardmax.
# :func:`dlcore.activations.softmax` takes the temperature. :func:`dlcore.activations.hardmax` is
# its limit except for ties, but it cannot be used for training, because its gradient is zero.
# :func:`dlcore.activations.softmin` is the softmax of the negated logits. The gradients of
# :func:`dlcore.activations.log_sum_exp` and :func:`dlcore.activations.smooth_min` are the softmax
# and the softmin. The log-sum-exp is also part of the cross-entropy; the tutorial on :doc:`stable
# cross-entropy </auto_gallery/03_softmax/plot_where_exp_breaks>` explains why it must be computed
# as one function. The tutorial on :doc:`entropy and cross-entropy
# </auto_gallery/03_softmax/plot_surprise>` measures whether a model's confidence is justified.
