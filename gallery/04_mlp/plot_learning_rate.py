r"""
Learning rate, momentum and schedules: how large should a step be?
==================================================================

A learning rate that is too small wastes steps and one that is too large diverges; momentum,
warm-up, a cosine schedule and Adam each address one of the causes.

In short
--------

Gradient descent converges only if the learning rate :math:`\eta` is below two divided by the largest
curvature of the loss, and its speed along a flat direction is that rate times the small curvature
there. Momentum makes the flat directions faster, warm-up keeps the first steps small where the
curvature is large, a rate that falls to 0 along a cosine removes the noise of the minibatches, and
Adam chooses a rate for each parameter.

.. math::

    \mathbf{v} \leftarrow \mu\mathbf{v} + \mathbf{g}, \qquad
    \mathbf{w} \leftarrow \mathbf{w} - \eta_t\mathbf{v}, \qquad
    \eta_t = \frac{\eta_0}{2}\Bigl(1 + \cos\frac{\pi t}{T}\Bigr) .

*Prerequisites:* :doc:`minibatches </auto_gallery/02_linear/plot_batch_size_three_ways>` and
:doc:`multilayer perceptrons </auto_gallery/04_mlp/plot_mlp_looked_into>`.

Setting
-------

We first fit a linear model to the diabetes patients. Its loss is a quadratic bowl, so all rates can
be computed. Then we train a network that reads digits, for which rates have to be tried.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes, load_digits

from dlcore import linear, losses, metrics, mlp, model_selection, optim, training

# Change these numbers and run the script again.
seed = 0
momentum = 0.9
n_steps = 200
digits_lr = 0.2
epochs = 12
batch_size = 32
claims = {}

# %%
# Too small, right, too large
# ---------------------------
#
# Around its minimum, the loss of a linear model is
# :math:`\frac12(\mathbf{w} - \mathbf{w}^*)^\top\mathbf{H}\,(\mathbf{w} - \mathbf{w}^*)` with the
# curvatures :math:`\lambda_l`, the eigenvalues of :math:`\mathbf{H} = \mathbf{X}^\top\mathbf{X}/n`.
# A step multiplies the distance along each eigenvector by :math:`1 - \eta\lambda_l`. So descent
# diverges if :math:`\eta > 2/\lambda_\mathrm{max}`, and no rate makes it fast: the curvatures here
# differ by a factor of nearly 500, and the flattest direction needs about as many steps. Momentum
# remembers the direction in which gradients agree. It reaches in 200 steps what plain descent does
# not reach in 1000.

generator = torch.Generator().manual_seed(seed)
diabetes = load_diabetes(scaled=False)
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
x, y = (model_selection.standardize(values)(values) for values in (x, y))

hessian, best = x.T @ x / len(x), linear.least_squares(x, y).weight
curvatures = torch.linalg.eigvalsh(hessian)
flattest, steepest = float(curvatures[0]), float(curvatures[-1])
claims["The curvatures differ by a factor of more than 300"] = steepest / flattest > 300


def descend(lr, momentum=0.0, n_steps=n_steps):
    """Return how far the loss is above its minimum after each step."""
    w, velocity, excess = torch.zeros_like(best), None, []
    for _ in range(n_steps):
        gradient = hessian @ (w - best)
        excess.append(float(gradient @ (w - best) / 2))
        w, velocity = optim.momentum_step(
            w, gradient, velocity, lr=lr, momentum=momentum
        )
    return excess


limit = 2 / steepest
runs = {
    "a hundredth of the limit": descend(0.01 * limit),
    "0.9 of the limit": descend(0.9 * limit),
    "1.02 of the limit": descend(1.02 * limit),
    "0.9, with momentum": descend(0.9 * limit, momentum),
}
claims["Below the limit the loss falls, above it diverges"] = (
    runs["0.9 of the limit"][-1] < 0.1 * runs["0.9 of the limit"][0]
    and runs["1.02 of the limit"][-1] > 10 * runs["1.02 of the limit"][0]
)
claims["At a hundredth of the limit, most of the loss is still there"] = (
    runs["a hundredth of the limit"][-1] > 3 * runs["0.9 of the limit"][-1]
)
claims["Momentum gets further than five times as many steps without"] = (
    runs["0.9, with momentum"][-1] < descend(0.9 * limit, n_steps=5 * n_steps)[-1]
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
for name, excess in runs.items():
    ax.plot(excess, label=name)
ax.set(yscale="log", ylim=(1e-13, 1e3), xlabel="step", ylabel="loss above its minimum")
ax.set_title("Too small, right, too large, and momentum")
ax.legend(loc="lower left")
fig.set_label(
    "The loss above its minimum against the step, on a logarithmic axis. At a hundredth "
    "of the limiting rate it falls slowly, at 0.9 faster at first and then slowly, above "
    "the limit it rises to infinity. With momentum it falls far below the others."
)
plt.show()

# %%
# A network: try rates that differ by factors
# -------------------------------------------
#
# A network's curvature is not known and changes during training, so try rates that differ by a
# constant factor. With too small a rate, the network has not learned enough after the epochs that
# you can afford. With too large a rate, it does not learn at all, or training ends with a
# :class:`~dlcore.training.DivergenceError`. The best rates lie just below the largest that work,
# both for stochastic gradient descent with momentum and for Adam. Adam's rates are smaller, because
# its steps do not depend on the size of the gradient.

digits = load_digits()
pixels = torch.as_tensor(digits.data, dtype=torch.float32) / 16
labels = torch.as_tensor(digits.target)
images, new_images, classes, new_classes = model_selection.train_test_split(
    pixels, labels, test_fraction=1 / 3, generator=generator
)
total_steps = epochs * -(-len(images) // batch_size)


def cross_entropy(params, x, y):
    """Return the loss of each image."""
    return losses.cross_entropy(mlp.mlp(params, x), y)


def train(lr, epochs=epochs, scale=1.0, **options):
    """Return the losses on new images after each epoch; infinity after divergence."""
    own = torch.Generator().manual_seed(seed)
    start = mlp.init_mlp([64, 64, 64, 10], scheme="he_normal", generator=own)
    start = tuple(layer._replace(weight=scale * layer.weight) for layer in start)
    options |= {"batch_size": batch_size, "lr": lr, "generator": own, "epochs": epochs}
    found = []
    try:
        for history in training.epochs(
            cross_entropy, start, (images, classes), **options
        ):
            new_losses = cross_entropy(history.params, new_images, new_classes)
            found += [float(new_losses.mean())]
    except training.DivergenceError:
        found += [float("inf")] * (epochs - len(found))
    return found


rates = [10.0**k for k in (-4, -3, -2, -1, 0, 1)]
reached = {
    "momentum": [train(lr, 5, momentum=momentum)[-1] for lr in rates],
    "Adam": [train(lr, 5, step=optim.adam_step)[-1] for lr in rates],
}
chance = float(torch.tensor(10.0).log())
best_rates = {name: rates[row.index(min(row))] for name, row in reached.items()}
claims["The best rate of momentum is 0.1 or 0.01, that of Adam 0.01 or 0.001"] = (
    best_rates["momentum"] in (0.1, 0.01) and best_rates["Adam"] in (0.01, 0.001)
)
claims["The smallest and the largest rate are no better than guessing"] = all(
    row[0] > chance / 2 and row[-1] > chance * 0.9 for row in reached.values()
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for name, row in reached.items():
    ax.plot(rates, row, "o-", label=name)
ax.axhline(chance, color="C2", linestyle="--", label="guessing")
ax.set(xscale="log", ylim=(0, 4), xlabel="learning rate")
ax.set(
    ylabel="loss after 5 epochs",
    title="Rates that differ by factors of 10",
)
ax.legend(loc="upper left")
fig.set_label(
    "The loss on new images after five epochs against the learning rate, from 0.0001 to "
    "10, for momentum and Adam. Both are U-shaped: near the loss of guessing, 2.3, at the "
    "smallest rates, lowest near 0.1 for momentum and 0.01 for Adam, and at or above that "
    "of guessing at the largest rates."
)
plt.show()

# %%
# Schedules: a rate that changes
# ------------------------------
#
# A schedule is a function from the step to the rate. At a constant rate, the noise of the
# minibatches keeps the loss high; a rate that falls to 0 along a cosine removes this noise.
#
# If the initial weights are three times too large, so is the curvature of the loss at first. Even
# at half the rate, the first steps are then so long that the network never learns more than to
# guess. A *warm-up* begins with small steps. They lead to weights where the curvature is smaller,
# and the network learns at the same rate. Do not rely on a warm-up for a rate near the limit:
# there, whether a network learns depends on the seed, and even on how the processor rounds.
#
# Adam with a cosine, at its best rate of the figure above, needs no search for a rate.
# :func:`dlcore.training.fit` takes a schedule in place of the rate. A schedule has no state, so
# resuming training needs no special treatment.

warm_up = total_steps // 6
schedules = {
    "constant": optim.constant_schedule(digits_lr),
    "cosine": optim.cosine_schedule(digits_lr, n_steps=total_steps),
    "large weights, cosine": optim.cosine_schedule(digits_lr / 2, n_steps=total_steps),
    "large weights, warm-up": optim.warmup_schedule(
        optim.cosine_schedule(digits_lr / 2, n_steps=total_steps - warm_up),
        n_steps=warm_up,
    ),
}
curves = {
    name: train(schedule, scale=3.0 if "large" in name else 1.0, momentum=momentum)
    for name, schedule in schedules.items()
}
schedules["Adam, cosine"] = optim.cosine_schedule(
    best_rates["Adam"], n_steps=total_steps
)
curves["Adam, cosine"] = train(schedules["Adam, cosine"], step=optim.adam_step)
last = {name: curve[-1] for name, curve in curves.items()}
assert schedules["cosine"](total_steps) == 0, "the last rate is 0"
claims["The cosine lowers the loss by a third or more"] = (
    last["cosine"] < 0.67 * last["constant"]
)
claims["With large weights, the network only guesses without warm-up"] = (
    last["large weights, cosine"] > 0.9 * chance
)
claims["With large weights and warm-up, it learns"] = (
    last["large weights, warm-up"] < 0.2 * chance
)
claims["Adam with a cosine is the best of them or nearly so"] = last[
    "Adam, cosine"
] < 1.2 * min(last.values())

# Figure
fig, (above, below) = plt.subplots(2, figsize=(5.4, 6), layout="constrained")
for name, schedule in schedules.items():
    above.plot([schedule(t) for t in range(total_steps)], label=name)
    below.plot(range(1, epochs + 1), curves[name], "o-", markersize=4)
above.set(xlabel="step", ylabel="learning rate", title="Five schedules")
below.set(xlabel="epoch", ylabel="loss on new images", yscale="log")
fig.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=2)
fig.set_label(
    "Two panels. Above, five schedules: constant, falling along a cosine from 0.2 and from "
    "0.1, rising first to 0.1, and a cosine from 0.01 for Adam. Below, the loss on new "
    "images after each epoch. The cosine from 0.2 ends below half the loss of the constant "
    "rate. With large initial weights, the loss stays at that of guessing without warm-up "
    "and falls nearly as far as the best with it. Adam is among the best."
)
plt.show()

# %%
# A rate for each parameter, and a rate that follows the loss
# -----------------------------------------------------------
#
# Two further schemes need no special function. You can pass your own step function, which can have
# a rate for each parameter, as parameter groups do for a module. And :func:`dlcore.training.epochs`
# yields after each epoch, so the caller can halve the rate when the loss has stopped falling.


def slower_last_layer(params, grads, state, lr):
    """Return the parameters after a step with a tenth of the rate for the last layer."""
    hidden = optim.sgd_step(params[:-1], grads[:-1], lr=lr)
    return (*hidden, optim.sgd_step(params[-1], grads[-1], lr=lr / 10)), state


start = mlp.init_mlp([64, 64, 10], scheme="he_normal", generator=generator)
options = {
    "batch_size": batch_size,
    "generator": generator,
    "validation": (new_images, new_classes),
}
history = training.fit(
    cross_entropy,
    start,
    (images, classes),
    epochs=1,
    lr=0.1,
    step=slower_last_layer,
    **options,
)

rate, used = digits_lr, []
run = training.epochs(
    cross_entropy,
    start,
    (images, classes),
    epochs=epochs,
    lr=lambda _step: rate,
    **options,
)
for history in run:
    used.append(rate)
    if len(used) > 1 and history.validation_loss[-1] > history.validation_loss[-2]:
        rate /= 2
assert used == sorted(used, reverse=True), "the rate only falls"
right = mlp.mlp(history.params, new_images).argmax(1)
claims["The network with the falling rate reads 95 % of new images"] = (
    float(metrics.accuracy(new_classes, right)) > 0.95
)

# %%
# Conclusion
# ----------
#
# Find the largest rate that works among rates that differ by a factor, and use a little less. Then
# let the rate fall with :func:`dlcore.optim.cosine_schedule`. If the first steps are too long, add
# :func:`dlcore.optim.warmup_schedule`. Pass :func:`dlcore.optim.momentum_step` or
# :func:`dlcore.optim.adam_step` to :func:`dlcore.training.fit`, or call them in your own loop. If
# occasional steps are too long later on, :doc:`clip the gradients
# </auto_gallery/07_propagation/plot_clipping_gradients>`.

# %%
# Exercises
# ---------
#
# **1.** In the long run, how many times as far does a constant gradient move the weights with
# momentum :math:`\mu` as without? Which rate then corresponds to 0.1 without momentum?

# Solution
w, velocity = torch.zeros(()), None
for _ in range(200):
    before = w
    w, velocity = optim.momentum_step(
        w, torch.ones(()), velocity, lr=0.1, momentum=momentum
    )
claims["A constant gradient moves 1 / (1 − μ) times as far"] = torch.isclose(
    before - w, torch.tensor(0.1 / (1 - momentum)), rtol=1e-3
)

# %%
# **2.** Which rate makes a quadratic bowl of curvature :math:`\lambda` reach its minimum in one step?
# And why does this not work for two different curvatures?

# Solution
eigenvectors = torch.linalg.eigh(hessian).eigenvectors
w = optim.sgd_step(torch.zeros_like(best), -hessian @ best, lr=1 / steepest)
remaining = (eigenvectors.T @ (w - best)).abs()
assert remaining[-1] < 1e-9, "η = 1/λ is exact in the direction of that curvature alone"
assert remaining[:-1].max() > 0.01, "the other directions keep 1 − λ_l / λ"

# %%
# **3.** The first step of Adam has the length :math:`\eta` in each entry. What does this mean for a
# gradient of one millionth?

# Solution
w, _ = optim.adam_step(torch.zeros(2), torch.tensor([1e-6, 1.0]), None, lr=0.01)
assert torch.allclose(w, torch.tensor([-0.01, -0.01]), rtol=0.02), "the same step"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
