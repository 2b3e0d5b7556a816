r"""
Smoothness: how do noise, dropout and Jacobian penalties simplify a function?
=============================================================================

A smooth function changes little when its input changes a little; noise on the inputs and a penalty
on the Jacobian enforce this, and dropout does not.

In short
--------

Having small weights is one kind of simplicity. Another is smoothness: the output changes little
when the input changes a little. Training with input noise of standard deviation :math:`\sigma`
favours smooth functions: for a small :math:`\sigma` it adds a penalty on the *Jacobian*
:math:`\mathbf{J} = \partial\mathbf{f}/\partial\mathbf{x}` to the squared loss. Such a penalty can
also be added directly, whereas dropout is noise on the hidden values.

.. math::

    \mathrm{E}\Bigl[\tfrac12\lVert\mathbf{f}(\mathbf{x} + \boldsymbol\varepsilon) - \mathbf{y}\rVert^2\Bigr]
    \approx \tfrac12\lVert\mathbf{f}(\mathbf{x}) - \mathbf{y}\rVert^2
    + \frac{\sigma^2}{2}\,\lVert\mathbf{J}(\mathbf{x})\rVert_F^2, \qquad
    \boldsymbol\varepsilon \sim \mathcal{N}(0, \sigma^2\mathbf{I}) .

*Prerequisites:* :doc:`dropout </auto_gallery/06_regularization/plot_dropout>` and :doc:`weight
decay </auto_gallery/06_regularization/plot_weight_decay>`.

Setting
-------

We first fit a curve, where smoothness can be seen, and then read digits, where it can be measured:
how many digits are still read correctly if the images are noisy?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import (
    losses,
    metrics,
    mlp,
    model_selection,
    norms,
    regularization,
    training,
)

# Change these numbers and run the script again.
seed = 0
n_points = 30
label_noise = 0.3
sigma = 0.1
n_hidden = 64
epochs = 15
claims = {}

# %%
# Noise on the inputs smooths a curve
# -----------------------------------
#
# The curve is a weighted sum of 60 hidden units with fixed random weights, so each fit is a linear
# least-squares problem. Fitted to 30 noisy points, it goes back and forth between them. Now we fit
# 200 copies of each point, each with its :math:`x` moved a little at random and its :math:`y`
# unchanged. A curve with a steep slope would be wrong at most copies, so the fit is smooth.

generator = torch.Generator().manual_seed(seed)
options = {"generator": generator, "dtype": torch.float64}

slopes, offsets = 6 * torch.randn(60, **options), 4 * torch.randn(60, **options)
points = 2 * torch.rand(n_points, **options).sort().values - 1
y = torch.sin(3 * points) + label_noise * torch.randn(n_points, **options)


def features(x):
    """Return the hidden values, and a constant."""
    return torch.cat(
        [torch.tanh(x[:, None] * slopes + offsets), x.new_ones(len(x), 1)], 1
    )


def derivatives(x):
    """Return the derivatives of the features with respect to x."""
    slope = slopes * (1 - torch.tanh(x[:, None] * slopes + offsets) ** 2)
    return torch.cat([slope, x.new_zeros(len(x), 1)], 1)


def least_squares(rows, targets):
    """Return the weights that minimize the squared loss, with a tiny penalty."""
    penalty = 1e-6 * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype)
    return torch.linalg.solve(rows.T @ rows + penalty, rows.T @ targets)


x, targets = points.repeat(200), y.repeat(200)
moved = x + sigma * torch.randn(len(x), **options)
zeros = torch.zeros_like(targets)
slope_rows = sigma * derivatives(moved)  # their squared loss is the penalty
curves = {
    "plain": least_squares(features(points), y),
    "noise on x": least_squares(features(moved), targets),
    "slope penalty": least_squares(
        torch.cat([features(x), slope_rows]), torch.cat([targets, zeros])
    ),
}
grid = torch.linspace(-1, 1, 401, dtype=torch.float64)
rough = {name: (derivatives(grid) @ w).square().mean() for name, w in curves.items()}
error = {
    name: (features(grid) @ w - torch.sin(3 * grid)).square().mean()
    for name, w in curves.items()
}
for name in ("noise on x", "slope penalty"):
    claims[f"The curve with {name} is smoother and closer to the truth"] = (
        rough[name] < rough["plain"] / 3 and error[name] < error["plain"]
    )

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
ax.plot(points, y, "o", color=plt.rcParams["text.color"], markersize=4)
for color, (name, w) in zip(("C1", "C0", "C2"), curves.items(), strict=True):
    ax.plot(grid, features(grid) @ w, color=color, label=name)
ax.set(
    xlabel="x",
    ylabel="y",
    xticks=[-1, 0, 1],
    ylim=(-2.2, 2.2),
    title="Noise on x makes the curve smooth",
)
ax.legend(loc="upper left")
fig.set_label(
    "Thirty noisy points along a sine, and three curves. The plain fit oscillates between "
    "the points. The fit with noise on x and the fit with a penalty on the slope are "
    "smooth and close to each other."
)
plt.show()

# %%
# Why noise is a penalty on the Jacobian
# --------------------------------------
#
# A first-order expansion gives
# :math:`\mathbf{f}(\mathbf{x} + \boldsymbol\varepsilon) \approx \mathbf{f}(\mathbf{x}) +
# \mathbf{J}\boldsymbol\varepsilon`. The noise has mean 0, so the cross term vanishes, and the mean
# of :math:`\lVert\mathbf{J}\boldsymbol\varepsilon\rVert^2` is
# :math:`\sigma^2\lVert\mathbf{J}\rVert_F^2`. The second-order term of the expansion is multiplied
# by the residual :math:`\mathbf{f} - \mathbf{y}`, which is small where the fit is good. We check
# this with a random network whose targets are its own outputs: the residual is 0, and the loss that
# noise adds approaches the penalty as :math:`\sigma` goes to 0.

params = mlp.init_mlp([3, 20, 2], scale=2.0, **options)
x0 = torch.randn(3, **options)


def network(x):
    """Return the outputs of the network."""
    return mlp.mlp(params, x, activation="tanh")


jacobian = torch.func.jacrev(network)(x0)
penalty = norms.frobenius_norm(jacobian) ** 2 / 2
stds = [0.003, 0.03, 0.3, 3.0]
added = []
for std in stds:
    epsilon = std * torch.randn(100_000, 3, **options)
    outputs = network(x0 + epsilon)
    loss = losses.squared_loss(outputs, network(x0).expand_as(outputs)).sum(1).mean()
    added.append(float(loss / (std**2 * penalty)))
claims["For small noise, the added loss is the penalty"] = abs(added[0] - 1) < 0.03
claims["For large noise, it is not, because tanh is bounded"] = added[-1] < 0.7

# %%
# Smooth classifiers of digits
# ----------------------------
#
# Five networks with one hidden layer of 64 units with tanh learn to read digits. One has no
# regularization. The others have input noise, dropout, a penalty on the weights, or a penalty on the
# Jacobian of the logits. A loss returns one value per example, so a penalty of each example can
# be added to it. With one hidden layer, the Jacobian is
# :math:`\mathbf{W}_1\operatorname{diag}(\phi'(\mathbf{z}))\,\mathbf{W}_2`, and its squared norm
# needs only products of small matrices.

digits = load_digits()
pixels = torch.as_tensor(digits.data, dtype=torch.float32) / 16
x, test_x, y, test_y = model_selection.train_test_split(
    pixels, torch.as_tensor(digits.target), test_fraction=1 / 3, generator=generator
)


def squared_jacobian(params, x):
    """Return the squared Frobenius norm of the Jacobian of the logits at each image."""
    (w1, b1), (w2, _) = params
    slope = 1 - torch.tanh(x @ w1 + b1) ** 2
    return ((slope @ ((w1.T @ w1) * (w2 @ w2.T))) * slope).sum(1)


def train(*, noise=0.0, dropout=0.0, decay=0.0, smoothness=0.0):
    """Return a network trained with these, always from the same initial weights."""
    own = torch.Generator().manual_seed(seed)

    def loss(params, x, y):
        """Return the loss of each image and its penalty."""
        moved = x + noise * torch.randn(x.shape, generator=own)
        logits = mlp.mlp(
            params, moved, activation="tanh", dropout=dropout, generator=own
        )
        weights = [layer.weight for layer in params]
        return (
            losses.cross_entropy(logits, y)
            + decay * regularization.l2_penalty(weights)
            + smoothness / 2 * squared_jacobian(params, x)
        )

    start = mlp.init_mlp([64, n_hidden, 10], generator=own)
    run = {"epochs": epochs, "batch_size": 50, "lr": 0.1, "momentum": 0.9}
    return training.fit(loss, start, (x, y), generator=own, **run).params


networks = {
    "plain": train(),
    "input noise": train(noise=0.3),
    "dropout": train(dropout=0.5),
    "weight decay": train(decay=0.003),
    "Jacobian penalty": train(smoothness=0.03),
}
one = test_x[0]
full = torch.func.jacrev(lambda x: mlp.mlp(networks["plain"], x, activation="tanh"))(
    one
)
assert torch.allclose(
    squared_jacobian(networks["plain"], one[None])[0], full.square().sum(), rtol=1e-3
), "the closed form is the squared Frobenius norm of the Jacobian"

# %%
# On clean images the five read about the same number of digits. If noise is added to the test
# images, the networks trained with input noise and with the Jacobian penalty, which enforce
# smoothness directly, lose less accuracy. The legend gives the size of the Jacobian: input noise
# makes it smaller by a third, and the penalty by a factor of six. Weight decay lies in between.
# Dropout regularizes in another way: it makes the outputs insensitive to changes of the *hidden
# values*, and does not shrink the Jacobian with respect to the inputs.

levels = [0.1 * i for i in range(9)]
noise = torch.randn(8, *test_x.shape, generator=generator)
accuracy, size = {}, {}
for name, params in networks.items():
    size[name] = float(squared_jacobian(params, test_x).mean()) ** 0.5
    accuracy[name] = [
        float(
            metrics.accuracy(
                test_y.expand(8, -1),
                mlp.mlp(params, test_x + level * noise, activation="tanh").argmax(-1),
            )
        )
        for level in levels
    ]
plain = accuracy["plain"]
claims["On clean images, the networks differ by at most 3 digits in 100"] = (
    max(a[0] for a in accuracy.values()) - min(a[0] for a in accuracy.values()) <= 0.03
)
for name, factor in {"input noise": 0.8, "Jacobian penalty": 0.3}.items():
    claims[f"With {name}, noisy images are read better"] = (
        accuracy[name][5] > plain[5] + 0.03
    )
    claims[f"With {name}, the Jacobian is smaller than {factor} of the plain one"] = (
        size[name] < factor * size["plain"]
    )
claims["Dropout does not shrink the Jacobian"] = size["dropout"] > 0.9 * size["plain"]

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
for name, values in accuracy.items():
    ax.plot(levels, values, label=f"{name}, ‖J‖ = {size[name]:.0f}")
ax.set(xlabel="standard deviation of the noise on test images", ylim=(0.4, 1.02))
ax.set(ylabel="accuracy", title="Smooth networks read noisy digits better")
ax.legend(loc="lower left")
fig.set_label(
    "The accuracy on test digits against the noise that is added to them, for five "
    "networks. All start near 0.97. The plain network falls fastest; those trained with "
    "input noise and with the Jacobian penalty fall more slowly."
)
plt.show()

# %%
# Conclusion
# ----------
#
# Smoothness is a kind of simplicity that the size of the weights does not measure. You can enforce
# it by noise on the inputs, which needs no derivative, or by a penalty on the Jacobian
# (:func:`torch.func.jacrev`, :func:`dlcore.norms.frobenius_norm`), which has no sampling noise.
# :func:`dlcore.training.fit` trains with either, because you can pass it any loss.
# :func:`dlcore.regularization.dropout` and :func:`dlcore.regularization.l2_penalty` regularize as
# well, but they keep other quantities small.

# %%
# Exercises
# ---------
#
# **1.** In a linear model :math:`\mathbf{w}^\top\mathbf{x} + b`, what is the Jacobian? So which
# regularization has the same effect as noise on the inputs?

# Solution
w = torch.randn(5, **options)
jacobian = torch.func.jacrev(lambda x: x @ w)(torch.randn(5, **options))
half = regularization.l2_penalty(w)
assert torch.allclose(jacobian.square().sum() / 2, half), "weight decay: J is w itself"

# %%
# **2.** The largest change of the logits under a step of length 1 is the largest singular value of the
# Jacobian. How much smaller is it than the Frobenius norm for ten logits?

# Solution
params = networks["plain"]
jacobians = torch.func.vmap(
    torch.func.jacrev(lambda x: mlp.mlp(params, x, activation="tanh"))
)(test_x[:100])
shares = norms.spectral_norm(jacobians) / norms.frobenius_norm(jacobians)
assert ((shares > 0.31) & (shares <= 1.0001)).all(), "at least by 1/√10, never larger"
claims["Typically it is about half the Frobenius norm"] = 0.4 < shares.mean() < 0.75

# %%
# **3.** Move each test image by a step of length 1 along the gradient of its loss, which makes its
# label less probable. Which of the networks still read most of the moved images?

# Solution


def read_after_attack(params):
    """Return the share of moved images that are read correctly."""

    def total(x):
        """Return the sum of all losses."""
        logits = mlp.mlp(params, x, activation="tanh")
        return losses.cross_entropy(logits, test_y).sum()

    slope = torch.func.grad(total)(test_x)
    length = norms.l2_norm(slope, dim=1, keepdim=True).clamp(min=1e-30)
    logits = mlp.mlp(params, test_x + slope / length, activation="tanh")
    return float(metrics.accuracy(test_y, logits.argmax(1)))


attacked = {name: read_after_attack(params) for name, params in networks.items()}
claims["Under attack, the smooth networks read more than the plain one"] = (
    attacked["input noise"] > attacked["plain"] < attacked["Jacobian penalty"]
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
