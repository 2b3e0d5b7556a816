r"""
Weight decay and ridge regression: how do the weights shrink?
=============================================================

Weight decay shrinks the weights most in the directions in which the data vary least, and early
stopping does nearly the same.

In short
--------

Weight decay adds to the loss a penalty on the squared size of the weights, but not of the bias. A
linear model with this penalty is *ridge regression*: the penalty multiplies the component of the
weights along each singular vector of the data by :math:`s^2/(s^2 + \lambda)`, where :math:`s` is
the singular value, so weights that the data barely determine shrink first.

.. math::

    \min_{\mathbf{w},\,b}\ \frac12\sum_{i=1}^{n} (\mathbf{w}^\top\mathbf{x}_i + b - y_i)^2
    + \frac\lambda2\lVert\mathbf{w}\rVert_2^2 .

*Prerequisites:* linear regression, gradient descent and the singular value decomposition.

Setting
-------

Weight decay keeps a model from fitting the noise. For a linear model the solution is known in
closed form, so a formula tells us what :math:`\lambda` does. The data are the diabetes patients
included in scikit-learn, 442 rows of 10 columns, all standardized.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_diabetes

from dlcore import linear, model_selection, norms, optim

# Change these numbers and run the script again.
seed = 0
n_patients = 442
small_penalty = 10.0
large_penalty = 100.0
lr = 1e-4
n_steps = 1000
claims = {}

# %%
# The ridge path
# --------------
#
# As the penalty grows, the weights go to 0, but at different rates. Two columns, s1 and s2, are
# blood values that rise and fall together. Without a penalty, one of them gets a large negative
# weight and the other a positive one, and in most patients the two contributions partly cancel. A
# penalty of 10, small compared with 442 rows, removes most of these two weights and hardly changes
# those of bmi and bp. No weight becomes exactly 0.

generator = torch.Generator().manual_seed(seed)
diabetes = load_diabetes(scaled=False)
chosen = torch.randperm(442, generator=generator)[:n_patients]
x, y = (torch.as_tensor(a)[chosen] for a in (diabetes.data, diabetes.target))
x, y = (model_selection.standardize(values)(values) for values in (x, y))

names = list(diabetes.feature_names)
blood, body = [names.index("s1"), names.index("s2")], [2, 3]
penalties = torch.logspace(-1, 5, 61, dtype=x.dtype)
path = torch.stack([linear.ridge(x, y, penalty=float(p)).weight for p in penalties])
free = linear.least_squares(x, y).weight
shrunk = linear.ridge(x, y, penalty=small_penalty).weight

contributions = x[:, blood] * free[blood]
cancelled = (contributions.prod(1) < 0).double().mean()
claims["The columns s1 and s2 rise and fall together, and cancel in most patients"] = (
    torch.corrcoef(x.T)[blood[0], blood[1]] > 0.85 and cancelled > 0.7
)
claims["The small penalty removes most of the weights of s1 and s2"] = (
    shrunk[blood].abs() < 0.4 * free[blood].abs()
).all()
claims["The small penalty hardly changes the weights of bmi and bp"] = (
    (shrunk / free - 1)[body].abs() < 0.05
).all()
assert (norms.l2_norm(path, dim=1).diff() < 0).all(), "the norm must fall"
assert (path != 0).all(), "no weight becomes exactly 0"

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
ax.plot(penalties, path, color=plt.rcParams["text.color"], linewidth=1, alpha=0.4)
ax.plot(penalties, path[:, blood], color="C1", label=["s1 and s2", None])
ax.plot(penalties, path[:, body], color="C0", label=["bmi and bp", None])
ax.legend(loc="lower right")
ax.set(xscale="log", xlabel="penalty λ", ylabel="weight")
ax.set_title("The two weights that cancel shrink first")
fig.set_label(
    "The ten weights against the penalty, from 0.1 to 100 000, on a logarithmic axis. "
    "The weights of s1 and s2 start at -0.5 and 0.3 and are close to 0 at a penalty of a few "
    "tens. Those of bmi and bp keep their values up to a penalty of 100. Finally all go to 0."
)
plt.show()

# %%
# What the penalty does in each direction
# ---------------------------------------
#
# The rule behind this is simple in the right coordinates. With the singular value decomposition
# :math:`\mathbf{X} = \mathbf{U}\operatorname{diag}(\mathbf{s})\mathbf{V}^\top`, the penalty
# multiplies the component of the weights along each column of :math:`\mathbf{V}` by
# :math:`s_l^2/(s_l^2 + \lambda)`. Directions in which the data vary a lot keep nearly all of their
# component. The direction in which they vary least, s1 against s2, keeps about a quarter.

_, s, vt = torch.linalg.svd(x, full_matrices=False)
kept = s**2 / (s**2 + small_penalty)
assert torch.allclose(vt @ shrunk, kept * (vt @ free)), "each component has its factor"
claims["The widest direction keeps 99 %, and the narrowest about a quarter"] = (
    kept[0] > 0.99 and 0.2 < kept[-1] < 0.33
)
claims["The direction of least variation is s1 against s2"] = (
    sorted(vt[-1].abs().topk(2).indices.tolist()) == blood
)

# %%
# Two weights can be plotted. Here s1 and s2 alone explain the target. The loss is a long valley,
# and the penalty is a bowl centred at 0. As the penalty grows, the solution first moves along the
# floor of the valley, where the loss hardly rises, and only then turns towards 0. At every
# solution, an ellipse of equal loss touches a circle of equal penalty.

pair = x[:, blood]
best = linear.least_squares(pair, y).weight
trail = torch.stack([linear.ridge(pair, y, penalty=float(p)).weight for p in penalties])
downhill = torch.stack([pair.T @ (y - pair @ weight) for weight in trail])
assert torch.allclose(downhill, penalties[:, None] * trail, atol=1e-9), (
    "at a solution, the slopes of loss and penalty are opposite"
)

touching = linear.ridge(pair, y, penalty=large_penalty).weight
angle = torch.linspace(0, 2 * torch.pi, 181, dtype=x.dtype)
circle = torch.stack([angle.cos(), angle.sin()])
values, directions = torch.linalg.eigh(pair.T @ pair)
unit_ellipse = directions @ (circle / values.sqrt()[:, None])
size = norms.l2_norm(pair @ (touching - best))  # the loss has risen by half its square
ellipse = best[:, None] + size * unit_ellipse

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
ax.plot(*ellipse, color="C0", label="equal loss")
ax.plot(*(norms.l2_norm(touching) * circle), color="C1", label="equal penalty")
ax.plot(*trail.T, color="C2", linewidth=4, label="path of ridge")
ax.plot(*torch.stack([best, touching]).T, "o", color="C2")
ax.set(aspect="equal", xlabel="weight of s1", ylabel="weight of s2")
ax.set_title("The ridge path: along the valley, then to 0")
fig.legend(loc="outside lower center", ncols=3)
fig.set_label(
    "The plane of two weights, with a long ellipse of equal loss around the solution "
    "without a penalty and a circle of equal penalty around 0. The path of solutions "
    "runs from the centre of the ellipse along its long axis and then bends to 0. At a "
    "penalty of 100, the ellipse and the circle touch on the path."
)
plt.show()

# %%
# Early stopping follows the same path
# ------------------------------------
#
# Gradient descent without any penalty follows nearly the same path in the opposite direction. It
# starts at 0, reaches the floor of the valley in a few dozen steps, and moves along it slowly for
# hundreds of steps. It never leaves the path of ridge regression by more than a tenth of the total
# distance. After :math:`t` steps of learning rate :math:`\eta`, its distance from the ridge
# solution for a penalty of :math:`1/(\eta t)` is at most a fifth of the total distance. So early
# stopping has nearly the same effect as weight decay.

weight, steps = torch.zeros_like(best), []
for _ in range(n_steps + 1):
    steps.append(weight)
    weight = optim.sgd_step(weight, pair.T @ (pair @ weight - y), lr=lr)
steps = torch.stack(steps)
total = norms.l2_norm(best)
claims["Gradient descent stays within a tenth of the ridge path"] = (
    torch.cdist(steps, trail).amin(1).max() < total / 10
)
matched = torch.stack(
    [linear.ridge(pair, y, penalty=1 / (lr * t)).weight for t in range(1, n_steps + 1)]
)
claims["After t steps, ridge with a penalty of 1/(lr t) is near"] = (
    norms.l2_norm(steps[1:] - matched, dim=1).max() < total / 5
)
floor, across = ((steps - best) @ directions).abs().T
early, later = min(40, n_steps), min(200, n_steps)
claims["The floor of the valley is reached early, its end late"] = (
    across[early] < 0.05 * across[0] and floor[later] > 0.3 * floor[0]
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
for scale in (0.4, 0.8, 1.2):
    valley = best[:, None] + scale * size * unit_ellipse
    ax.plot(*valley, color="C0", linewidth=1, alpha=0.6)
ax.plot(*trail.T, color="C2", linewidth=6, alpha=0.3)
(dots,) = ax.plot(*steps.T, ".-", color="C1", linewidth=1, markersize=5)
ax.set(aspect="equal", xlabel="weight of s1", ylabel="weight of s2")


def draw_descent(t):
    """Show the first t steps (dots) on the path of ridge (band)."""
    dots.set_data(*steps[: t + 1].T)
    ax.set_title(f"Gradient descent after {t} steps")


draw_descent(n_steps)
frames = [min(n_steps, round(1.35**k)) for k in range(24)]
film = FuncAnimation(fig, draw_descent, frames, interval=180, repeat=False)
fig.set_label(
    "The same plane with ellipses of equal loss, the path of ridge regression as a broad "
    "band, and the steps of gradient descent as dots. The animation adds the dots one after "
    "another. They start at 0, turn into the valley after about thirty steps, and move along "
    "its floor, close to the band, in ever shorter steps to the centre of the ellipses."
)
plt.show()

# %%
# Conclusion
# ----------
#
# A penalty on the squared weights shrinks those components that the data barely determine. In
# closed form it is :func:`dlcore.linear.ridge`, and a limited number of steps of
# :func:`dlcore.optim.sgd_step` comes close to it. Two tutorials continue from here: :doc:`how large
# should λ be </auto_gallery/06_regularization/plot_weight_decay_prior>`, and :doc:`does the
# optimizer apply the λ that it was given
# </auto_gallery/06_regularization/plot_weight_decay_in_adam>`.
# :doc:`/auto_gallery/05_generalization/plot_polynomial_degree` shows how a flexible model fits
# without a penalty.

# %%
# Exercises
# ---------
#
# **1.** The prediction of ridge regression is a matrix times the targets,
# :math:`\hat{\mathbf{y}} = \mathbf{H}\mathbf{y}`. The trace of :math:`\mathbf{H}` counts the
# *effective* number of weights, which is 10 without a penalty. How many are left at the small
# penalty, and how do you find this number from the singular values?

# Solution
identity = torch.eye(len(x), dtype=x.dtype)
by_target = linear.ridge(x, identity - identity.mean(0), penalty=small_penalty).weight
assert torch.allclose((x @ by_target).trace(), kept.sum()), "the sum of all factors"
claims["Of ten weights, about nine are left"] = 8.5 < kept.sum() < 9.5

# %%
# **2.** The figure suggests that early stopping has a factor for each direction, too. Find it: what
# share of the solution's component along a singular vector is reached after :math:`t` steps?

# Solution
t = n_steps // 2
reached = 1 - (1 - lr * values) ** t
assert torch.allclose(directions.T @ steps[t], reached * (directions.T @ best)), (
    "1 − (1 − lr s²)ᵗ takes the place of s² / (s² + λ)"
)

# %%
# **3.** Measure bmi in another unit, so that its numbers are ten times as large. Do least squares and
# ridge regression still make the same predictions as before?

# Solution
scaled = x.clone()
scaled[:, 2] *= 10
again = linear.least_squares(scaled, y).weight
assert torch.allclose(scaled @ again, x @ free), "least squares does not notice"
again = linear.ridge(scaled, y, penalty=small_penalty).weight
assert not torch.allclose(scaled @ again, x @ shrunk), (
    "ridge penalizes the weight of bmi a hundred times less: standardize the columns"
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
