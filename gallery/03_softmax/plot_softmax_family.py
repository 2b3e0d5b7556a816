r"""
Softmax temperature: how close is a softmax to a hardmax?
=========================================================

The temperature moves a softmax from equal probabilities to the hardmax, and changes no decision.

In short
--------

As the temperature :math:`T` falls from ∞ to 0, the softmax moves from equal probabilities to the
hardmax, the distribution that gives all probability to the largest logit; logits that tie keep
equal shares. The temperature changes the confidence of a classifier, never its decision.

.. math::

    \operatorname{softmax}(\mathbf{o}/T)_j = \frac{e^{o_j/T}}{\sum_{k=1}^{q} e^{o_k/T}} .

*Prerequisites:* exponentials and probabilities.

From logits to probabilities
----------------------------

A classifier with :math:`q` classes computes a score for each class, its *logit* :math:`o_j`. The
softmax turns the logits into probabilities, usually with :math:`T = 1`. Its name promises a soft
version of the *hardmax*. How does one become the other, what happens to a tie, and what is a
softmin?
"""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_wine

from dlcore import activations, information, linear

# Change these numbers and run the script again.
seed = 0
logits_apart = [2.0, 1.0, 0.0]
logits_tied = [0.0, 2.0, 2.0]
penalty = 1.0
entropy_weight = 0.7
n_distributions = 100_000
claims = {}

# %%
# Temperature on the probability simplex
# --------------------------------------
#
# Three probabilities that sum to 1 are a point of a triangle: at each corner one class is certain,
# in the centre all classes are equally likely, and on an edge one class is excluded. As the
# temperature falls from ∞ to 0, the softmax moves from the centre to a corner: move :math:`T` in the
# figure below. Only differences of logits matter: a constant added to all logits changes nothing.

corners = torch.tensor([[0, 0], [1, 0], [0.5, math.sqrt(0.75)]], dtype=torch.float64)
temperatures = torch.logspace(3, -3, 400, dtype=torch.float64).tolist()
apart = torch.tensor(logits_apart, dtype=torch.float64)
tied = torch.tensor(logits_tied, dtype=torch.float64)


def path(function, o):
    """Return the probabilities at each temperature, highest first."""
    return torch.stack([function(o, temperature=t) for t in temperatures])


soft_max, soft_tie = path(activations.softmax, apart), path(activations.softmax, tied)
for o, probabilities in [(apart, soft_max), (tied, soft_tie)]:
    total = probabilities.sum(dim=1)
    assert torch.allclose(total, torch.ones_like(total)), "probabilities sum to 1"
    moved = path(activations.softmax, o + 7)
    assert torch.allclose(moved, probabilities), "a constant changes nothing"
claims["At the highest temperature, all classes are nearly equally likely"] = (
    torch.stack([soft_max[0], soft_tie[0]]) - 1 / 3
).abs().max() < 1e-3

# %%
# The softmax of the negated logits is the *softmin*, which favours the smallest logit. It leaves
# the centre in the opposite direction: to first order in :math:`1/T`, softmax and softmin are
# mirror images. At lower temperatures they are not. The softmin is proportional to one over the
# softmax, and it moves to another corner.

soft_min = path(activations.softmin, apart)
negated = path(activations.softmax, -apart)
assert torch.allclose(soft_min, negated), "a softmin is a softmax of −o"
product = activations.softmax(apart) * activations.softmin(apart)
assert torch.allclose(product, product.mean()), "softmin is proportional to 1 / softmax"
deviation = soft_max[0] - 1 / 3
claims["At the highest temperature, softmax and softmin are mirror images"] = (
    soft_min[0] - 1 / 3 + deviation
).abs().max() < 0.01 * deviation.abs().max()
curves = torch.stack([soft_max, soft_min, soft_tie]) @ corners
of_apart, of_tied = (
    f"({', '.join(f'{logit:g}' for logit in logits)})"
    for logits in (logits_apart, logits_tied)
)
names = [f"softmax of {of_apart}", f"softmin of {of_apart}", f"softmax of {of_tied}"]

# Figure


def draw_triangle(ax, of):
    """Draw the simplex and the names of its corners."""
    ax.fill(*corners.T, fill=False, edgecolor=plt.rcParams["text.color"])
    for j, (across, up) in enumerate(corners.tolist()):
        side = "bottom" if up else "top"
        ax.text(across, up * 1.1 - 0.04, f"{of} {j + 1}", ha="center", va=side)
    ax.set(aspect="equal", xlim=(-0.15, 1.15), ylim=(-0.12, 0.99))
    ax.set_axis_off()


fig, ax = plt.subplots(figsize=(5.4, 4.8), layout="constrained")
draw_triangle(ax, "class")
for curve, name in zip(curves, names, strict=True):
    ax.plot(*curve.T, label=name, clip_on=False)
dots = ax.scatter(*curves[:, -1].T, s=120, c=["C0", "C1", "C2"], clip_on=False)


def move(k):
    dots.set_offsets(curves[:, k])
    at_k = ", ".join(f"{p:.2f}" for p in soft_max[k])
    dots.axes.set_title(f"T = {temperatures[k]:.2g}: softmax ({at_k})")


film = FuncAnimation(fig, move, [0, *range(110, 270, 9)])
fig.legend(loc="outside lower center")
fig.set_label(
    "A triangle whose corners stand for three classes. Three curves start in its "
    "centre. The softmax of (2, 1, 0) bends into the corner of class 1. Its softmin "
    "starts in the opposite direction and bends into the corner of class 3. The "
    "softmax of (0, 2, 2) goes straight to the middle of the edge between classes 2 "
    "and 3. Dots move along the curves as the temperature falls."
)
plt.show()

# %%
# If one logit is the largest, the limit at :math:`T = 0` is :func:`~dlcore.activations.hardmax`.
# The softmax converges fast: the largest probability differs from 1 by about :math:`e^{-g/T}`,
# where :math:`g` is the gap to the next logit. If two logits tie, the limit of the softmax is the
# midpoint between their corners, because the softmax treats them alike. A hardmax has to choose
# one, and like ``argmax`` it takes the first.

claims["Without ties, the limit of the softmax is the hardmax"] = torch.allclose(
    soft_max[-1], activations.hardmax(apart)
)
claims["Without ties, the limit of the softmin is the hardmax of −o"] = torch.allclose(
    soft_min[-1], activations.hardmax(-apart)
)
claims["With a tie, the limit of the softmax has equal shares"] = soft_tie[
    -1
].tolist() == [0, 0.5, 0.5]
claims["With a tie, the hardmax takes the first class"] = activations.hardmax(
    tied
).tolist() == [0, 1, 0]
largest, second, _ = apart.sort(descending=True).values.tolist()
cold = torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64)
lacking = torch.stack(
    [1 - activations.softmax(apart, temperature=float(t)).amax() for t in cold]
)
claims["The largest probability is about 1 − exp(−g/T)"] = torch.allclose(
    lacking, torch.exp((second - largest) / cold), rtol=0.01
)

# %%
# Logits of a linear classifier
# -----------------------------
#
# Now real data: scikit-learn's bundled wines come from three growers. Four standardized
# measurements are enough to assign at least 172 of the 178 wines to the correct grower. A single
# layer has one weight for each pair of a measurement and a grower,
#
# .. math::
#
#     o_j = \sum_{i=1}^{d} x_i w_{ij} + b_j ,
#
# so each logit has an equation of its own, and all have the same inputs. The first grower's wines
# have much proline. The second grower's are pale and have little alcohol. The third grower's have
# few flavanoids.

wine = load_wine()
chosen = {"alcohol": 0, "flavanoids": 6, "colour": 9, "proline": 12}
measurements = list(chosen)
x = torch.as_tensor(wine.data)[:, list(chosen.values())]
x = (x - x.mean(dim=0)) / x.std(dim=0)
growers = torch.as_tensor(wine.target)
weight, bias = linear.softmax_regression(x, growers, penalty=penalty)
logits = linear.linear(x, weight, bias)
assert weight.shape == (4, 3), "a weight for each measurement and grower"
assert logits.shape == (178, 3), "a logit for each wine and grower"
by_hand = sum(x[:, i] * weight[i, 2] for i in range(4)) + bias[2]
assert torch.allclose(logits[:, 2], by_hand), "the equation of the third logit"

n_correct = int((logits.argmax(dim=1) == growers).sum())
claims["At least 172 wines are assigned to the correct grower"] = n_correct >= 172
claims["Grower 1 has proline, grower 3 few flavanoids"] = (
    measurements[weight[:, 0].argmax()] == "proline"
    and measurements[weight[:, 2].argmin()] == "flavanoids"
)
claims["Grower 2 has pale wines with little alcohol"] = (weight[[0, 2], 1] < 0).all()

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
ax.axhline(0, color=plt.rcParams["text.color"], linewidth=0.5)
ax.plot(measurements, weight, "o", label=[f"logit of grower {j}" for j in (1, 2, 3)])
ax.set(ylabel="weight", title="One layer: twelve weights make three logits")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "The weights of four measurements for the logits of three growers. Proline has a large "
    "positive weight for grower 1 and a negative one for grower 2. Alcohol and colour have "
    "negative weights for grower 2. Flavanoids have a large negative weight for grower 3."
)
plt.show()

# %%
# Confidence changes, decisions do not
# ------------------------------------
#
# A higher temperature moves all wines towards the centre, and a lower one towards the corners, as
# the slider below shows. But the order of the probabilities is that of the logits at *every*
# temperature, so no wine crosses a decision boundary. The temperature changes only the confidence,
# not the accuracy. The confidence, the mean of the largest probability, is above 0.97 at :math:`T =
# \frac14` and below 0.75 at :math:`T = 4`.

rising = [0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5]
clouds = {t: activations.softmax(logits, temperature=t) for t in rising}
for p in clouds.values():
    ordered = p.gather(1, logits.argsort(dim=1))
    assert (ordered.diff(dim=1) >= 0).all(), "the order is that of the logits"
    assert (p.argmax(dim=1) == logits.argmax(dim=1)).all(), "no decision changes"
confidences = torch.stack([p.amax(dim=1) for p in clouds.values()])
assert (confidences.diff(dim=0) <= 1e-12).all(), "confidence falls as T rises"
confidence = dict(zip(rising, confidences.mean(dim=1).tolist(), strict=True))
claims["The confidence is above 0.97 at T = ¼"] = confidence[0.25] > 0.97
claims["The confidence is below 0.75 at T = 4"] = confidence[4] < 0.75

# Figure
fig, ax = plt.subplots(figsize=(5.4, 4.6), layout="constrained")
draw_triangle(ax, "grower")
for edge in (corners.sum(dim=0) - corners) / 2:
    ax.plot(*torch.stack([corners.mean(dim=0), edge]).T, "--C3", linewidth=1)
colors = [f"C{j}" for j in growers]
wines = ax.scatter(*(clouds[1] @ corners).T, s=25, c=colors, alpha=0.7, clip_on=False)


def warm(t):
    wines.set_offsets(clouds[t] @ corners)
    wines.axes.set_title(
        f"T = {t:g}: confidence {confidence[t]:.2f}, {n_correct} correct"
    )


wine_film = FuncAnimation(fig, warm, rising)
fig.set_label(
    "The 178 wines as points of the triangle of probabilities, coloured by grower, with "
    "dashed decision boundaries that meet in the centre. At high temperatures the points "
    "form three clouds around the centre, and at low ones they crowd in the three corners. "
    "No point crosses a boundary."
)
plt.show()

# %%
# Why the exponential?
# --------------------
#
# Among all distributions, the softmax is the one that maximizes the expected logit plus :math:`T`
# times the entropy,
#
# .. math::
#
#     \max_{\mathbf{p}}\ \sum_j p_j o_j + T\,H(\mathbf{p}) = T\log\sum_{k=1}^{q} e^{o_k/T} .
#
# The temperature is the weight of the entropy: at 0 only the expected logit counts, at ∞ only the
# entropy. A hundred thousand random distributions never do better, and the best of them come close.

generator = torch.Generator().manual_seed(seed)
random = torch.rand(n_distributions, 3, generator=generator, dtype=x.dtype)
random = -torch.log1p(-random)
random /= random.sum(dim=1, keepdim=True)  # uniform on the triangle
T = entropy_weight
shortfalls = []
for o in (apart, tied):
    p = activations.softmax(o, temperature=T)
    best = (p * o).sum() + T * information.entropy(p)
    smooth = activations.log_sum_exp(o, temperature=T)
    assert torch.isclose(best, smooth), "the maximum is the log-sum-exp"
    others = random @ o + T * information.entropy(random)
    shortfalls.append(float(best - others.max()))
    assert shortfalls[-1] >= -1e-9, "no distribution does better"
claims["The best random distributions come within 0.001"] = max(shortfalls) < 1e-3

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
    assert (above > 0).all(), "the smooth maximum is above the maximum"
    assert above.argmax() == 150, "most where x is 0 and the entries tie"
    assert math.isclose(above.max(), t * math.log(2)), "by T log 2 for two entries"
    assert torch.allclose(smooth_min[t], x - values), "min = sum − max"
for o in (apart, tied):
    of_max = torch.func.grad(activations.log_sum_exp)(o)
    assert torch.allclose(of_max, activations.softmax(o)), "the gradient is the softmax"
    of_min = torch.func.grad(activations.smooth_min)(o)
    assert torch.allclose(of_min, activations.softmin(o)), "the gradient is the softmin"
    of_hard = torch.func.grad(lambda o: activations.hardmax(o)[0])(o)
    assert (of_hard == 0).all(), "a hardmax has no gradient"

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
for t, width in zip(smooth_max, (3, 2, 1), strict=True):
    ax.plot(x, smooth_max[t], "C0", linewidth=width, label=f"maximum, T = {t:g}")
for t, width in zip(smooth_max, (3, 2, 1), strict=True):
    ax.plot(x, smooth_min[t], "C1", linewidth=width, label=f"minimum, T = {t:g}")
ax.plot(x, torch.stack([x.clamp(min=0), x.clamp(max=0)], dim=1), "--C3", linewidth=1)
ax.set(xlabel="x", title="Smooth maximum and minimum of x and 0")
fig.legend(loc="outside lower center", ncols=2)
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

# %%
# Exercises
# ---------
#
# **1.** The softmax of two logits depends only on their gap and the temperature. Which function of
# the two is the first probability?

# Solution
for gap, t in [(1.0, 1.0), (3.0, 2.0), (-4.0, 0.5)]:
    of_two = activations.softmax(torch.tensor([gap, 0.0]), temperature=t)
    sigmoid = activations.sigmoid(torch.tensor(gap / t))
    assert torch.isclose(of_two[0], sigmoid), "the sigmoid of gap / T"

# %%
# **2.** A colleague multiplies all logits by 3. Which temperature restores the old probabilities?
# And does the accuracy change if you forget it?

# Solution
tripled = activations.softmax(3 * logits, temperature=3)
assert torch.allclose(tripled, activations.softmax(logits)), "T = 3"
forgotten = activations.softmax(3 * logits).argmax(dim=1)
assert (forgotten == logits.argmax(dim=1)).all(), "no, only the confidence does"

# %%
# **3.** At which temperature does the softmax of (2, 1, 0) give the first class exactly one half?
# Find it by bisection.

# Solution
low, high = 0.05, 50.0
for _ in range(60):
    middle = math.sqrt(low * high)
    too_cold = activations.softmax(apart, temperature=middle).amax() > 0.5
    low, high = (middle, high) if too_cold else (low, middle)
claims["The largest probability is one half at T = 2.08"] = abs(middle - 2.08) < 0.01

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
