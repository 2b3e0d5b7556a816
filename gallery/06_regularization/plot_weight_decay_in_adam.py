r"""
Weight decay and L2 in SGD, Adam and AdamW: which penalty is applied?
=====================================================================

In plain gradient descent, weight decay is the L2 penalty; in Adam, the two are different things.

In short
--------

A step of gradient descent with weight decay :math:`\lambda` first shrinks the weights by
:math:`\eta\lambda`, which equals the step for the loss plus
:math:`\frac\lambda2\lVert\mathbf{w}\rVert^2`. Adam divides each step by the recent size of the
gradient, so it matters whether the penalty's gradient is divided, too: Adam divides it and keeps
the minimum of the penalized loss, and AdamW does not divide it and converges elsewhere.

.. math::

    \mathbf{w} \leftarrow (1 - \eta\lambda)\,\mathbf{w}
    - \frac{\eta}{|\mathcal{B}|}\sum_{i\in\mathcal{B}} \mathbf{x}_i\,(\mathbf{w}^\top\mathbf{x}_i + b - y_i) .

*Prerequisites:* :doc:`ridge regression </auto_gallery/06_regularization/plot_weight_decay>` and
gradient descent.

Setting
-------

Ridge regression on the diabetes patients has a closed form, so we know where a penalty of 100 leads.
Which optimizer, with which options, ends there?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes
from torch import nn

from dlcore import (
    linear,
    losses,
    model_selection,
    norms,
    optim,
    regularization,
    training,
)

# Change these numbers and run the script again.
seed = 0
penalty = 100.0
lr = 0.25
batch_size = 128
n_steps = 200
claims = {}

# %%
# Three ways to miss the ridge solution
# -------------------------------------
#
# Plain gradient descent has three traps. First, ridge regression sums the losses and the step
# averages them, so the weight decay that corresponds to a penalty of 100 is :math:`100/n`. Second,
# the formula has a factor of ½ in the loss. :class:`torch.nn.MSELoss` does not have it, so its
# gradient is twice as large, and the same weight decay has half the effect. Third, minibatch steps
# fluctuate around the solution unless the learning rate decreases.

generator = torch.Generator().manual_seed(seed)
diabetes = load_diabetes(scaled=False)
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
x, y = (model_selection.standardize(values)(values) for values in (x, y))
n = len(x)
goal = linear.ridge(x, y, penalty=penalty)


def half_squares(params, x, y):
    """Return the loss of each row, with the factor ½."""
    return losses.squared_loss(linear.linear(x, *params), y)


def squares(params, x, y):
    """Return the loss of each row, without the factor ½."""
    return 2 * half_squares(params, x, y)


def descend(loss, decay, lr, batch_size=n):
    """Return the weights after each step; the bias does not decay."""
    weight, bias, path = torch.zeros_like(x[0]), torch.zeros_like(y[0]), []
    params, decays = linear.LinearParams(weight, bias), linear.LinearParams(decay, 0.0)
    for _ in range(n_steps):
        rows = torch.randperm(n, generator=generator)[:batch_size]
        grads = torch.func.grad(lambda *args: loss(*args).mean())(
            params, x[rows], y[rows]
        )
        params = optim.sgd_step(params, grads, lr=lr, weight_decay=decays)
        path.append(params.weight)
    return torch.stack(path)


runs = {
    "right": descend(half_squares, penalty / n, lr),
    "without the ½": descend(squares, penalty / n, lr / 2),
    "without 1/n": descend(half_squares, penalty, lr / 100),
    "minibatches": descend(half_squares, penalty / n, lr / 5, batch_size),
}
distances = {
    name: norms.l2_norm(path - goal.weight, dim=1) for name, path in runs.items()
}
half_as_strong = linear.ridge(x, y, penalty=penalty / 2).weight
n_times = linear.ridge(x, y, penalty=penalty * n).weight
claims["With a decay of λ/n, gradient descent finds the ridge solution"] = (
    distances["right"][-1] < 1e-5
)
claims["Without the ½, it finds that of half the penalty"] = (
    norms.l2_norm(runs["without the ½"][-1] - half_as_strong) < 1e-3
)
claims["Without 1/n, it finds that of n times the penalty"] = (
    norms.l2_norm(runs["without 1/n"][-1] - n_times) < 1e-6
)
claims["With minibatches, it fluctuates around the solution"] = (
    0.005 < distances["minibatches"][n_steps // 2 :].mean() < 0.1
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
for name, distance in distances.items():
    ax.plot(distance, label=name)
ax.set(yscale="log", ylim=(1e-7, 5), xlabel="step", ylabel="distance to ridge")
ax.set_title("Three ways to miss the ridge solution")
ax.legend(loc="lower left")
fig.set_label(
    "The distance of the weights to the ridge solution against the step, on a "
    "logarithmic axis. With the right weight decay it falls along a straight line. "
    "Without the factor ½ it stops at 0.05, without 1/n at 0.4, and with minibatches it "
    "fluctuates around 0.02."
)
plt.show()

# %%
# Parameter groups: weight decay without the bias
# -----------------------------------------------
#
# In a module, parameter groups give each parameter its own weight decay. The bias gets none: it
# shifts all predictions by the same amount and does not fit noise. The pure form of the groups is a
# structure of decays, such as ``decays`` above. Both take the same steps. The module has the loss
# with the ½; with :class:`torch.nn.MSELoss`, it would need twice the decay.

module = nn.Linear(x.shape[1], 1, dtype=x.dtype)
nn.init.zeros_(module.weight)
nn.init.zeros_(module.bias)
trainer = torch.optim.SGD(
    [{"params": module.weight, "weight_decay": penalty / n}, {"params": module.bias}],
    lr=lr,
)


def module_loss(module, x, y):
    """Return the loss of each row."""
    return losses.squared_loss(module(x)[:, 0], y)


options = {"epochs": n_steps, "batch_size": n, "generator": generator}
training.fit_(module_loss, module, (x, y), optimizer=trainer, **options)
assert torch.allclose(module.weight[0], runs["right"][-1], equal_nan=True), (
    "parameter groups and a structure of decays take the same steps"
)

# %%
# If the bias decays as well, the predictions are too low or too high on average. The targets here
# have mean 0, which hides the mistake. Targets with another mean, such as the raw ones of about
# 150, show it.

decay = penalty / n
shifted = y + 2
bias = torch.zeros_like(goal.bias)
for _ in range(200):  # the columns have mean 0: the bias follows the mean alone
    bias = optim.sgd_step(bias, bias - shifted.mean(), lr=0.25, weight_decay=decay)
assert torch.allclose(bias, shifted.mean() / (1 + decay)), (
    "a bias that decays is too small"
)

# %%
# Adam and AdamW do not apply the same penalty
# --------------------------------------------
#
# The fourth trap is the optimizer itself. Adam takes the penalty's gradient as part of the
# gradient, so its steps end where the sum is 0, at the ridge solution, however they are scaled.
# AdamW uses *decoupled* weight decay: it shrinks the weights separately from the scaled step. As
# the gradients become small, Adam's division keeps the steps large, and the decay is too weak to
# balance them: the weights pass the ridge solution and move on towards the one without a penalty.
# This may be useful, but it is not the same penalty. :func:`dlcore.optim.adam_step` takes either
# form.

adam_steps, adam_lr = 1000, 0.02
coupling = {"Adam: L2 penalty": False, "AdamW: decoupled": True}
found = {}
for name, decoupled in coupling.items():
    weight, state, found[name] = torch.zeros_like(x[0]), None, []
    kind = {"lr": adam_lr, "weight_decay": decay, "decoupled": decoupled}
    for _ in range(adam_steps):
        gradient = x.T @ (x @ weight - y) / n
        weight, state = optim.adam_step(weight, gradient, state, **kind)
        found[name].append(norms.l2_norm(weight - goal.weight))
    found[name] = torch.stack(found[name])
claims["Adam finds the ridge solution"] = found["Adam: L2 penalty"][-1] < 1e-3
claims["AdamW does not find the ridge solution"] = found["AdamW: decoupled"][-1] > 0.2

# %%
# In a network, the difference matters most for noise. Take weights of 1 whose gradients are nothing
# but noise, of a standard deviation that differs from weight to weight. Weight decay should remove
# all of them. AdamW does so at the same rate. Adam divides the penalty's gradient by the size of
# the noise, so the weights with the largest gradients hardly decay.

noise_std = torch.logspace(-2, 1, 13, dtype=x.dtype)
left = {}
for name, decoupled in coupling.items():
    weight, state = torch.ones(2000, 13, dtype=x.dtype), None
    kind = {"lr": 0.005, "weight_decay": 1.0, "decoupled": decoupled}
    for _ in range(n_steps):
        noise = torch.randn(2000, 13, generator=generator, dtype=x.dtype)
        weight, state = optim.adam_step(weight, noise_std * noise, state, **kind)
    left[name] = weight.mean(0)
expected = (1 - 0.005) ** n_steps
claims["AdamW shrinks every weight by the same factor"] = (
    (left["AdamW: decoupled"] - expected).abs() < 0.05
).all()
claims["Adam hardly shrinks the weights with large gradients"] = (
    left["Adam: L2 penalty"][-1] > 0.8 and left["Adam: L2 penalty"][0] < 0.35
)

# Figure
fig, (above, below) = plt.subplots(2, figsize=(5.4, 5.6), layout="constrained")
for name in coupling:
    above.plot(found[name], label=name)
    below.plot(noise_std, left[name], "o-", label=name)
above.set(yscale="log", ylim=(1e-7, 5), xlabel="step", ylabel="distance to ridge")
above.set_title("AdamW misses the ridge solution")
below.set(xscale="log", xlabel="standard deviation of the gradient")
below.set(ylabel="weight that is left", ylim=(-0.1, 1.05))
below.set_title("In Adam, weights with noisy gradients do not decay")
above.legend()
below.legend(loc="upper left")
fig.set_label(
    "Two panels. Above, the distance to the ridge solution against the step: with Adam "
    "it falls to below 1e-7, with AdamW it falls to 0.1 and rises again to 0.4. Below, "
    "what is left of a weight of 1 against the standard deviation of its gradient: with "
    "AdamW it is about 0.37 for all, with Adam it rises from 0.25 to 0.9."
)
plt.show()

# %%
# Conclusion
# ----------
#
# In :func:`dlcore.optim.sgd_step` and :class:`torch.optim.SGD`, ``weight_decay`` is the factor
# :math:`\lambda` of :func:`dlcore.regularization.l2_penalty`, which equals the penalty of
# :func:`dlcore.linear.ridge` divided by :math:`n` if the loss is a mean and has the ½. In
# :class:`torch.optim.Adam` it is still this penalty, but it acts least where gradients are large.
# In :class:`torch.optim.AdamW`, and in :func:`dlcore.optim.adam_step` by default, it is not a
# penalty but a shrinkage that is the same for all weights. If you switch from one to the other,
# choose :math:`\lambda` again.

# %%
# Exercises
# ---------
#
# **1.** Write the penalty as a term of the loss instead of an option of the step. Which gradient does
# it add?

# Solution
penalized = torch.func.grad(lambda w: decay * regularization.l2_penalty(w))(goal.weight)
assert torch.allclose(penalized, decay * goal.weight), "λ times the weights themselves"

# %%
# **2.** With momentum, is weight decay still the penalty? Take two steps both ways.

# Solution
weight, gradient = goal.weight, goal.weight.flip(0)
by_decay, velocity = optim.momentum_step(
    weight, gradient, None, lr=lr, weight_decay=decay
)
by_decay, _ = optim.momentum_step(
    by_decay, gradient, velocity, lr=lr, weight_decay=decay
)
by_loss, velocity = optim.momentum_step(weight, gradient + decay * weight, None, lr=lr)
by_loss, _ = optim.momentum_step(by_loss, gradient + decay * by_loss, velocity, lr=lr)
assert torch.allclose(by_decay, by_loss), (
    "yes: the velocity sums the penalty's gradients, too"
)

# %%
# **3.** How far does decoupled weight decay shrink a weight in :math:`t` steps if the rate follows a
# schedule? Compare a cosine from :math:`\eta` to 0 with a constant rate of half of that.

# Solution
schedule = optim.cosine_schedule(0.01, n_steps=n_steps)
shrinkage = torch.tensor([1 - schedule(t) for t in range(n_steps)]).prod()
claims["A cosine shrinks about as far as half its first rate"] = (
    abs(shrinkage - (1 - 0.005) ** n_steps) < 0.02
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
