r"""
Dropout: how does noise regularize a network?
=============================================

Dropout keeps the mean of every hidden value and adds variance, which acts as a penalty on the
weights.

In short
--------

In each training step, dropout sets every hidden value :math:`h` to 0 with probability :math:`p` and
divides the values that it keeps by :math:`1 - p`, so the mean stays the same and only the variance
grows. On the standardized inputs of a linear model, this noise has on average the effect of a ridge
penalty; in a network, it makes single examples harder to memorize.

.. math::

    h' = \begin{cases} 0 & \text{with probability } p \\ h / (1 - p) & \text{otherwise,} \end{cases} \qquad
    \mathrm{E}[h'] = h, \qquad \operatorname{Var}[h'] = \frac{h^2\,p}{1 - p} .

*Prerequisites:* :doc:`multilayer perceptrons </auto_gallery/04_mlp/plot_mlp_looked_into>` and
:doc:`ridge regression </auto_gallery/06_regularization/plot_weight_decay>`. *Reading time:* 10
minutes.

Setting
-------

When the network is used, nothing is dropped. Nothing has to be rescaled either, because the mean
was right all along. So dropout changes the variance and not the mean. What is this noise good for?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor

from dlcore import activations, init, linear, losses, optim, regularization

generator = torch.Generator().manual_seed(0)

# %%
# Dropout keeps the mean and adds variance
# ----------------------------------------
#
# Take one hidden value of 2 and drop it 20 000 times for each :math:`p`. Divided by :math:`1-p`, it
# keeps its mean. Without the division, the mean falls to :math:`2(1-p)`, and the network would have
# to be rescaled afterwards. The price of the division is variance: it reaches :math:`h^2` at
# :math:`p = \frac12` and grows without bound as :math:`p` goes to 1.

h = torch.full((20_000,), 2.0, dtype=torch.float64)
rates = [0.05 * i for i in range(19)]
dropped = torch.stack(
    [regularization.dropout(h, p, generator=generator) for p in rates]
)
undivided = dropped * (1 - torch.tensor(rates))[:, None]
formula = [4 * p / (1 - p) for p in rates]
for values, variance in zip(dropped, formula, strict=True):
    assert (values.mean() - 2).abs() <= 5 * (variance / 20_000) ** 0.5
    assert (values.var() - variance).abs() <= 0.1 * variance

ink = plt.rcParams["text.color"]
fig, axes = plt.subplots(1, 2, figsize=(5.4, 3.2), layout="constrained")
axes[0].plot(rates, [2] * 19, color="C0", linewidth=1)
axes[0].plot(rates, dropped.mean(1), "o", color="C0", markersize=4)
axes[0].plot(rates, undivided.mean(1), ".", color="C1")
axes[0].text(0.05, 2.1, "divided by 1 − p", color="C0")
axes[0].text(0.05, 0.6, "not divided", color="C1")
axes[0].set(title="The mean stays", ylabel="mean", ylim=(0, 2.6))
axes[1].plot(rates, formula, color="C0", linewidth=1)
axes[1].plot(rates, dropped.var(1), "o", color="C0", markersize=4)
axes[1].text(0.75, 22, r"$h^2 p\,/\,(1-p)$", color="C0", ha="right")
axes[1].set(title="The variance grows", ylabel="variance")
for ax in axes:
    ax.set(xlabel="p", xticks=[0, 0.5, 1], xlim=(-0.03, 1))
fig.set_label(
    "Mean and variance of a hidden value of 2 against the probability p, measured and "
    "from the formula. The mean stays at 2; without the division it falls in a straight "
    "line towards 0. The variance rises from 0 to 4 at one half and to 36 at 0.9."
)
plt.show()

# %%
# The extreme values of :math:`p` need no special care. At :math:`p = 0` nothing is dropped. In
# contrast, code that keeps a value where ``torch.rand(...) > p`` drops it whenever the draw is
# exactly 0. At :math:`p = 1` everything is dropped, and nothing is divided by 0.

assert regularization.dropout(h, 0.0, generator=generator).equal(h)
assert not torch.tensor(0.0) > 0
assert (regularization.dropout(h, 1.0, generator=generator) == 0).all()
assert regularization.dropout(h, 0.5, training=False) is h

# %%
# Dropout in a linear model is ridge regression
# ---------------------------------------------
#
# In a linear model, the effect of dropout on the inputs can be computed. The noise adds its
# variance to the loss:
#
# .. math::
#
#     \mathrm{E}\Bigl[\tfrac12\sum_i \bigl(\mathbf{w}^\top\mathbf{x}'_i + b - y_i\bigr)^2\Bigr]
#     = \tfrac12\sum_i \bigl(\mathbf{w}^\top\mathbf{x}_i + b - y_i\bigr)^2
#     + \tfrac12\,\frac{p}{1 - p} \sum_j w_j^2 \sum_i x_{ij}^2 .
#
# If the columns are standardized, :math:`\sum_i x_{ij}^2 = n`, and this is ridge regression with
# the penalty :math:`np/(1-p)`. To check this, we copy the 442 diabetes patients 500 times, drop a
# fifth of the values in each copy independently, and fit plain least squares to all copies. The fit
# finds the ridge solution: here the noise and the penalty are the same thing.

diabetes = load_diabetes(scaled=False)
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
x = (x - x.mean(0)) / x.std(0, correction=0)
y = (y - y.mean()) / y.std()
p, n_copies = 0.2, 500

copies = regularization.dropout(x.repeat(n_copies, 1), p, generator=generator)
noisy = linear.least_squares(copies, y.repeat(n_copies)).weight
ridge = linear.ridge(x, y, penalty=len(x) * p / (1 - p)).weight
plain = linear.least_squares(x, y).weight
assert (noisy - ridge).abs().max() < 0.01
assert (plain - ridge).abs().max() > 0.4

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
place = torch.arange(10)
ax.axhline(0, color=ink, linewidth=1, linestyle="--")
ax.plot(place, plain, "o", color="C0", markersize=5)
ax.plot(place, ridge, "_", color="C1", markersize=18, markeredgewidth=3)
ax.plot(place, noisy, "o", color="C2", markersize=5)
ax.text(3.7, -0.47, "least squares", color="C0", ha="right", va="center")
ax.text(2.35, 0.275, "ridge", color="C1", va="center")
ax.text(6.1, -0.2, "least squares on noisy copies", color="C2", ha="center")
ax.set_xticks(place, diabetes.feature_names)
ax.set(ylabel="weight", title="Least squares on noisy copies is ridge regression")
fig.set_label(
    "The ten weights of three fits to the diabetes data. The weights of least squares on "
    "copies with dropped values lie on the bars of ridge regression in every column. "
    "The weights of plain least squares differ from them, most for s1, s2 and s5."
)
plt.show()

# %%
# Training a network on noisy labels
# ----------------------------------
#
# A network is not linear, but the idea carries over. We train a network with 64 hidden units on 100
# images of digits, about a fifth of which have a wrong label. It has enough weights to memorize all
# of them. We train ten such networks, each on its own images. Each is trained twice with the same
# number of steps, the same initial weights and the same labels: once without dropout, and once with
# :math:`p = \frac12` on the hidden units.

digits = load_digits()
pixels = torch.as_tensor(digits.data, dtype=torch.float32) / 16
n_networks, n_train, n_steps = 10, 100, 200
orders = torch.stack(
    [torch.randperm(1797, generator=generator) for _ in range(n_networks)]
)
x_train, x_new = pixels[orders[:, :n_train]], pixels[orders[:, n_train:]]
truth, y_new = torch.as_tensor(digits.target)[orders].split([n_train, 1697], dim=1)
others = (truth + torch.randint(1, 10, truth.shape, generator=generator)) % 10
is_wrong = torch.rand(truth.shape, generator=generator) < 0.2
y_train = torch.where(is_wrong, others, truth)
assert 0.15 < is_wrong.float().mean() < 0.25

shapes = [(64, 64)] * n_networks, [(64, 10)] * n_networks
start = [
    torch.stack([init.he_normal(*shape, generator=generator) for shape in of_layer])
    for of_layer in shapes
]


def outputs(params: list[Tensor], x: Tensor, p: float) -> Tensor:
    """Return the logits of each network for its own images."""
    hidden = activations.relu(x @ params[0] + params[1])
    return (
        regularization.dropout(hidden, p, generator=generator) @ params[2] + params[3]
    )


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of each network."""
    of_all = losses.cross_entropy(logits.flatten(0, 1), labels.flatten())
    return of_all.reshape(labels.shape).mean(1)


def train(p: float) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return the networks, and every five steps their accuracy and share of memorized wrong labels."""
    biases = init.zeros((n_networks, 1, 64)), init.zeros((n_networks, 1, 10))
    params = [start[0].clone(), biases[0], start[1].clone(), biases[1]]
    accuracies, shares = [], []
    for step in range(1, n_steps + 1):
        leaves = [w.requires_grad_() for w in params]
        loss = mean_loss(outputs(leaves, x_train, p), y_train)
        grads = torch.autograd.grad(loss.sum(), leaves)
        params = optim.sgd_step([w.detach() for w in leaves], list(grads), lr=0.4)
        if step % 5 == 0:
            right = outputs(params, x_new, 0.0).argmax(2) == y_new
            by_heart = (outputs(params, x_train, 0.0).argmax(2) == y_train) & is_wrong
            accuracies.append(right.float().mean(1))
            shares.append(by_heart.sum(1) / is_wrong.sum(1))
    return params, torch.stack(accuracies), torch.stack(shares)


_, accuracy_without, share_without = train(0.0)
params, accuracy_with, share_with = train(0.5)

# %%
# Without dropout, the networks have memorized nearly all wrong labels after 200 steps. With dropout
# they have memorized fewer, in every one of the ten pairs, because no hidden unit can rely on
# another one being present. A pattern that many images share is learned in spite of the noise. A
# pattern that belongs to a single image is not learned, or is learned later.

assert share_without[-1].mean() > 0.9
assert (share_with[-1] < share_without[-1]).all()
assert share_with[-1].mean() < share_without[-1].mean() - 0.05
assert share_with[19].mean() < 0.75 * share_without[19].mean()

steps = range(5, n_steps + 1, 5)
fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for share, color in [(share_without, "C1"), (share_with, "C0")]:
    ax.fill_between(
        steps, share.amin(1), share.amax(1), color=color, alpha=0.2, linewidth=0
    )
    ax.plot(steps, share.mean(1), color=color)
ax.text(70, 0.88, "without\ndropout", color="C1", ha="right", va="center")
ax.text(165, 0.36, "with dropout", color="C0", ha="center")
ax.set(xlabel="step", ylabel="share of wrong labels memorized", ylim=(0, 1.03))
ax.set_title("Dropout slows the memorization of wrong labels")
fig.set_label(
    "The share of wrong labels that the networks reproduce against the step, as mean and "
    "range over ten networks. Without dropout it rises to 1 within 200 steps; with "
    "dropout it rises more slowly, to about 0.8."
)
plt.show()

# %%
# On new digits, dropout is behind at first, since it learns more slowly. At the end it is ahead by
# about 4 digits in 100, because by then the other networks have got worse again. They were best
# after about 50 steps, and stopping them there would have gained as much. But you have to know when
# to stop.

gain = accuracy_with - accuracy_without
error = gain[-1].std() / n_networks**0.5
assert gain[:6].mean() < 0
assert gain[-1].mean() > 4 * error
assert 0.02 < gain[-1].mean() < 0.07
assert (gain[-1] > 0).sum() >= 9
assert 30 <= steps[int(accuracy_without.mean(1).argmax())] <= 80
best = accuracy_without.mean(1).max()
assert best > accuracy_without[-1].mean() + 0.02
assert accuracy_with[-1].mean() < best + 0.02

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
ax.axhline(0, color=ink, linewidth=1, linestyle="--")
ax.plot(steps, gain, color="C0", linewidth=1, alpha=0.5)
ax.plot(steps, gain.mean(1), color="C0", linewidth=3)
ax.set(xlabel="step", ylabel="accuracy with − without")
ax.set_title("Gain in accuracy from dropout on new digits")
fig.set_label(
    "The accuracy on new digits with dropout minus that without, against the step, for "
    "ten pairs of networks and on average. It begins below 0, crosses 0 after about 50 "
    "steps, and is 0.04 on average at the end, above 0 for nearly every pair."
)
plt.show()

# %%
# Dropout at prediction time
# --------------------------
#
# When the network is used, nothing is dropped. For the logits this gives exactly the mean over all
# dropout masks, since the layer after the dropped units is linear: the mean over 200 draws differs
# only by sampling noise. For the probabilities it does not, because the softmax is not linear. The
# mean of the noisy probabilities is less confident than the probabilities without noise.

x_few = x_new[:, :100]
quiet = outputs(params, x_few, 0.0)
noisy = torch.stack([outputs(params, x_few, 0.5) for _ in range(200)])
scores = (noisy.mean(0) - quiet) / (noisy.std(0) / 200**0.5)
assert scores.mean().abs() < 0.1
assert 0.9 < scores.std() < 1.1
sure = activations.softmax(quiet).amax(2).mean()
less_sure = activations.softmax(noisy).mean(0).amax(2).mean()
assert less_sure < sure - 0.02

# %%
# Conclusion
# ----------
#
# Dropout keeps the mean of every hidden value and adds variance. Training pays for the variance as
# for a penalty: for a linear model it *is* the penalty of :func:`dlcore.linear.ridge`, which
# :doc:`/auto_gallery/06_regularization/plot_weight_decay` examines. In a network, dropout makes it
# harder to memorize single examples. :func:`dlcore.regularization.dropout` takes a generator and
# drops with exactly the given probability. :func:`dlcore.regularization.dropout_mask` returns the
# factors alone, for when one draw is needed in several places. With 100 labels, a fifth of them
# wrong, dropout gained four digits in a hundred and needed more steps.
