r"""
Gradient clipping: what to do about gradients that explode?
===========================================================

Clipping limits the length of a gradient and keeps its direction, so a single steep place cannot
throw the parameters far away.

In short
--------

Where the loss has a cliff, the gradient is far longer than elsewhere, and a single step along it
can undo all previous training. Clipping scales the gradients down to a maximum norm :math:`c` if
their joint norm is larger. With a :math:`c` a little above the usual norm, it changes only the few
dangerous steps.

.. math::

    \mathbf{g} \leftarrow \mathbf{g}\,\min\Bigl(1, \frac{c}{\lVert\mathbf{g}\rVert_2}\Bigr) .

*Prerequisites:* :doc:`exploding gradients
</auto_gallery/07_propagation/plot_vanishing_and_exploding>`.

Setting
-------

A recurrent network applies the same weight again and again, so its output and its gradient contain
powers of this weight. We begin with one weight, whose loss can be drawn, and continue with a deep
network that reads digits.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import losses, metrics, mlp, optim, training

# Change these numbers and run the script again.
seed = 0
n_factors = 10
start = 1.3
max_norm = 5.0
lr = 0.02
n_steps = 60
init_scale = 1.5
claims = {}

# %%
# A step from a cliff
# -------------------
#
# The weight :math:`w` is applied ten times, and the output :math:`w^{10}` should be 1. Below 1 the
# loss :math:`\frac12(w^{10} - 1)^2` is flat, and above 1 it is a cliff. At a start of 1.3, the
# gradient is about 1350, and a step of learning rate 0.02 goes to :math:`-26`, where the loss has 28
# digits. Clipped to a norm of 5, the steps walk down to the minimum.

generator = torch.Generator().manual_seed(seed)


def loss(w):
    """Return half the squared error of the output."""
    return (w**n_factors - 1) ** 2 / 2


def descend(max_norm):
    """Return the weights of gradient descent with clipping."""
    w = torch.tensor(start, dtype=torch.float64)
    path = [w]
    for _ in range(n_steps):
        gradient = optim.clip_gradients(torch.func.grad(loss)(w), max_norm=max_norm)
        w = optim.sgd_step(w, gradient, lr=lr)
        path.append(w)
    return torch.stack(path)


clipped, free = descend(max_norm), descend(float("inf"))
first = torch.func.grad(loss)(clipped[0])
claims["The first step without clipping goes far below -10"] = free[1] < -10
claims["Its loss has more than 20 digits"] = loss(free[1]) > 1e20
claims["With clipping, the weight is near the minimum at the end"] = (
    clipped[-1] - 1
).abs() < 0.05

# Figure
w = torch.linspace(0.5, 1.4, 181, dtype=torch.float64)
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
ax.plot(w, loss(w), color="C0", label="loss")
ax.plot(clipped, loss(clipped), "o", color="C2", label="clipped steps")
ax.axvline(start, color="C1", linestyle="--", label=f"first step: to {free[1]:.0f}")
ax.set(
    xlabel="w",
    xlim=(0.5, 1.4),
    ylim=(-2, 90),
    title="From a cliff, clipped steps walk down",
)
ax.legend(loc="upper left")
fig.set_label(
    "The loss against the weight: flat below 1, and a cliff above. The clipped steps go "
    "down the cliff in equal distances and end at the minimum. A dashed line marks the "
    "start; the label says that the first step without clipping leads to -26."
)
plt.show()

# %%
# A deep network whose initial weights are too large
# --------------------------------------------------
#
# A network with 10 hidden layers of 64 units reads digits, with initial weights of one and a half
# times He's size. The signal and the gradient grow by this factor in each layer. Without clipping,
# the first step already moves the weights far away, and training ends with a
# :class:`~dlcore.training.DivergenceError` or learns nothing. Clipped to a norm of 5, the same
# network learns. The clipping is a line in the step that is passed to :func:`dlcore.training.fit`,
# and :func:`dlcore.optim.gradient_norm` records how long the gradients were.

digits = load_digits()
x = torch.as_tensor(digits.data, dtype=torch.float32) / 16
y = torch.as_tensor(digits.target)
params = mlp.init_mlp(
    [64] * 11 + [10], scheme="he_normal", scale=init_scale, generator=generator
)


def cross_entropy(params, x, y):
    """Return the loss of each image."""
    return losses.cross_entropy(mlp.mlp(params, x), y)


def train(max_norm):
    """Return the history of training with clipping, and the norm of the gradient at each step."""
    norms = []

    def step(params, grads, state, lr):
        """Return the parameters after a clipped step."""
        norms.append(float(optim.gradient_norm(grads)))
        grads = optim.clip_gradients(grads, max_norm=max_norm)
        return optim.sgd_step(params, grads, lr=lr), state

    own = torch.Generator().manual_seed(seed)
    options = {"epochs": 10, "batch_size": 100, "lr": lr, "generator": own}
    try:
        return training.fit(cross_entropy, params, (x, y), step=step, **options), norms
    except training.DivergenceError as error:
        return error.history, norms


def accuracy(params):
    """Return the share of images that are read correctly."""
    return float(metrics.accuracy(y, mlp.mlp(params, x).argmax(1)))


history, norms = train(max_norm)
unclipped, norms_unclipped = train(float("inf"))
claims["Without clipping, the network does not learn"] = (
    accuracy(unclipped.params) < 0.3
)
claims["With clipping, it reads more than 80 % of the digits"] = (
    accuracy(history.params) > 0.8
)
claims["The first gradients are more than ten times as long as the last"] = sum(
    norms[:10]
) > 10 * sum(norms[-10:])

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
ax.plot(norms_unclipped, color="C1", label="without clipping")
ax.plot(norms, color="C0", label="with clipping, before it is applied")
ax.axhline(max_norm, color="C2", linestyle="--", label="maximum")
ax.set(yscale="log", xlabel="step", ylabel="norm of the gradient")
ax.set_title("With clipping, the gradients become shorter")
ax.legend()
fig.set_label(
    "The norm of the gradient against the step, on a logarithmic axis. Without clipping "
    "the line jumps up within a few steps and then ends or falls to near 0. With clipping "
    "it falls from several hundred to about ten."
)
plt.show()

# %%
# In a module
# -----------
#
# In a loop by hand, :func:`torch.nn.utils.clip_grad_norm_` clips in place, between ``backward()``
# and ``step()``. In :func:`dlcore.training.fit_`, ``max_norm`` does the same. The norm is that of
# *all* gradients together: clipping each parameter alone would change the direction.


def module():
    """Return the same network as a module."""
    layers = []
    for weight, bias in params:
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = weight.T.contiguous(), bias.clone()
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


net = module()
training.fit_(
    lambda net, x, y: losses.cross_entropy(net(x), y),
    net,
    (x[:500], y[:500]),
    epochs=1,
    batch_size=100,
    shuffle=False,
    lr=lr,
    max_norm=max_norm,
)
by_hand = module()
for k in range(5):
    rows = slice(100 * k, 100 * (k + 1))
    torch.nn.functional.cross_entropy(by_hand(x[rows]), y[rows]).backward()
    torch.nn.utils.clip_grad_norm_(by_hand.parameters(), max_norm)
    with torch.no_grad():
        for w in by_hand.parameters():
            w.sub_(w.grad, alpha=lr)
            w.grad = None
difference = max(
    float((a - b).detach().abs().max())
    for a, b in zip(net.parameters(), by_hand.parameters(), strict=True)
)
claims["With max_norm, fit_ takes the steps of the loop by hand"] = difference < 1e-3

# %%
# Conclusion
# ----------
#
# Clipping is a safeguard for rare steps: :func:`dlcore.optim.clip_gradients` in a pure step,
# ``max_norm`` in :func:`dlcore.training.fit_`. To choose the maximum, record
# :func:`dlcore.optim.gradient_norm` for a while and take a value a little above the usual one. If
# nearly every step is clipped, as at the start of the network above, the cause is elsewhere: in the
# :doc:`initial weights </auto_gallery/07_propagation/plot_xavier_understood>`, or in a
# :doc:`learning rate </auto_gallery/04_mlp/plot_learning_rate>` that is too large.

# %%
# Exercises
# ---------
#
# **1.** Clipping each *entry* of the gradient to :math:`\pm c` is easier. What does it change that
# clipping the norm does not?

# Solution
gradient = torch.tensor([100.0, 1.0])
by_norm = optim.clip_gradients(gradient, max_norm=1.0)
by_entry = gradient.clamp(-1, 1)
cosine = torch.nn.functional.cosine_similarity
assert torch.isclose(cosine(by_norm, gradient, dim=0), torch.tensor(1.0)), (
    "same direction"
)
assert cosine(by_entry, gradient, dim=0) < 0.72, "turned by 45 degrees"

# %%
# **2.** How far can the parameters move in all steps together if each gradient is clipped?

# Solution
distance = optim.gradient_norm(
    [
        a - b
        for new, old in zip(history.params, params, strict=True)
        for a, b in zip(new, old, strict=True)
    ]
)
assert distance <= len(norms) * lr * max_norm * 1.001, "at most steps × lr × max_norm"

# %%
# **3.** Start the same network with He's own weights. How long is the first gradient now, and does the
# training still need clipping?

# Solution
params = mlp.init_mlp([64] * 11 + [10], scheme="he_normal", generator=generator)
well_started, norms_he = train(float("inf"))
claims["With He's weights, the first gradient is a tenth as long or shorter"] = (
    norms_he[0] < norms[0] / 10
)
claims["With He's weights, the network learns without clipping"] = (
    accuracy(well_started.params) > 0.8
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
