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
:doc:`ridge regression </auto_gallery/06_regularization/plot_weight_decay>`.

Setting
-------

When the network is used, nothing is dropped. Nothing has to be rescaled either, because the mean
was right all along. So dropout changes the variance and not the mean. What is this noise good for?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import nn

from dlcore import (
    activations,
    linear,
    losses,
    metrics,
    mlp,
    model_selection,
    regularization,
    training,
)

# Change these numbers and run the script again.
seed = 0
rate = 0.5
share_wrong = 0.2
n_train = 100
n_networks = 6
lr = 0.4
n_steps = 200
claims = {}

# %%
# Dropout keeps the mean and adds variance
# ----------------------------------------
#
# Take one hidden value of 2 and drop it 20 000 times for each :math:`p`. Divided by :math:`1-p`, it
# keeps its mean. Without the division, the mean falls to :math:`2(1-p)`, and the network would have
# to be rescaled afterwards. The price of the division is variance: it reaches :math:`h^2` at
# :math:`p = \frac12` and grows without bound as :math:`p` goes to 1.

generator = torch.Generator().manual_seed(seed)
torch.manual_seed(seed)  # modules draw from the global generator

h = torch.full((20_000,), 2.0, dtype=torch.float64)
rates = torch.arange(19) / 20
dropped = torch.stack(
    [regularization.dropout(h, float(p), generator=generator) for p in rates]
)
formula = 4 * rates / (1 - rates)
claims["The mean stays, and the variance is that of the formula"] = (
    (dropped.mean(1) - 2).abs() <= 5 * (formula / 20_000).sqrt()
).all() and torch.allclose(dropped.var(1).float(), formula, rtol=0.1)

# Figure
fig, axes = plt.subplots(1, 2, figsize=(5.4, 3), layout="constrained")
axes[0].plot(rates, dropped.mean(1), "o", label="divided")
axes[0].plot(rates, dropped.mean(1) * (1 - rates), ".", label="not divided")
axes[0].set(title="The mean stays", xlabel="p", ylim=(0, 2.6))
axes[0].legend(loc="lower left")
axes[1].plot(rates, dropped.var(1), "o")
axes[1].plot(rates, formula, color="C0", linewidth=1)
axes[1].set(title="The variance grows", xlabel="p")
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

assert regularization.dropout(h, 0.0).equal(h), "nothing is dropped"
assert not torch.tensor(0.0) > 0, "a draw of 0 is not above 0"
assert (regularization.dropout(h, 1.0) == 0).all(), "everything is dropped"
assert regularization.dropout(h, rate, training=False) is h, (
    "not training: nothing is dropped"
)

# %%
# Two layers of dropout in a module, and the trap of its mode
# -----------------------------------------------------------
#
# In a module, a :class:`torch.nn.Dropout` follows each hidden layer. It cannot know whether the
# network is being trained or used, so *you* tell it: ``net.train()`` and ``net.eval()``. A new
# module is in training mode. If you forget ``net.eval()``, each call makes different predictions,
# which are less accurate.

digits = load_digits()
pixels = torch.as_tensor(digits.data, dtype=torch.float32) / 16
labels = torch.as_tensor(digits.target)
order = torch.randperm(len(pixels), generator=generator)
train_rows, test_rows = order[:-500], order[-500:]
net = nn.Sequential(
    nn.Linear(64, 128),
    nn.ReLU(),
    nn.Dropout(rate),
    nn.Linear(128, 128),
    nn.ReLU(),
    nn.Dropout(rate),
    nn.Linear(128, 10),
)
training.fit_(
    lambda net, x, y: losses.cross_entropy(net(x), y),
    net,
    (pixels[train_rows], labels[train_rows]),
    epochs=20,
    batch_size=50,
    lr=0.2,
    generator=generator,
)


def test_accuracy():
    """Return the share of test digits that the module reads correctly."""
    with torch.no_grad():
        predictions = net(pixels[test_rows]).argmax(dim=1)
    return float(metrics.accuracy(labels[test_rows], predictions))


net.train()
forgotten = [test_accuracy() for _ in range(10)]
net.eval()
right = test_accuracy()
assert right == test_accuracy(), "in evaluation mode, nothing is random"
claims["In training mode, each call gives another accuracy"] = len(set(forgotten)) > 1
claims["Forgetting net.eval() costs accuracy"] = max(forgotten) < right

# %%
# :func:`dlcore.training.fit_` sets the mode itself, for the steps and for the validation data, and
# restores it afterwards. The pure form has no mode: :func:`dlcore.mlp.mlp` has arguments ``dropout``
# and ``training``, so the call itself says what happens. With the same weights, transposed, it
# computes the same logits.

params = [
    linear.LinearParams(layer.weight.detach().T, layer.bias.detach())
    for layer in net
    if isinstance(layer, nn.Linear)
]
logits = mlp.mlp(params, pixels[test_rows], dropout=rate, training=False)
assert torch.allclose(logits, net(pixels[test_rows]), atol=1e-4), "the same network"

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
x, y = (model_selection.standardize(values)(values) for values in (x, y))
p, n_copies = 0.2, 500
copies = regularization.dropout(x.repeat(n_copies, 1), p, generator=generator)
fits = {
    "least squares": linear.least_squares(x, y).weight,
    "ridge": linear.ridge(x, y, penalty=len(x) * p / (1 - p)).weight,
    "noisy copies": linear.least_squares(copies, y.repeat(n_copies)).weight,
}
plain, ridge, noisy = fits.values()
claims["Least squares on noisy copies finds the ridge solution"] = (
    noisy - ridge
).abs().max() < 0.01 and (plain - ridge).abs().max() > 0.4

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for (name, weight), marker in zip(fits.items(), (".", "_", "x"), strict=True):
    ax.plot(diabetes.feature_names, weight, marker, label=name, markersize=12)
ax.set(ylabel="weight", title="Least squares on noisy copies is ridge regression")
ax.legend(loc="lower left")
fig.set_label(
    "The ten weights of three fits to the diabetes data. The weights of least squares on "
    "copies with dropped values lie on the bars of ridge regression in every column. "
    "The weights of plain least squares differ from them, most for s1, s2 and s5."
)
plt.show()

# %%
# Dropout slows the memorization of wrong labels
# ----------------------------------------------
#
# A network is not linear, but the idea carries over. We train a network with 64 hidden units on 100
# images of digits, about a fifth of which have a wrong label. It has enough weights to memorize all
# of them. We train six such networks, each on its own images, and each twice from the same initial
# weights: once without dropout, and once with :math:`p = \frac12` on the hidden units.
# :func:`dlcore.training.epochs` gives the parameters after each step, since a batch holds all images.


def train(p):
    """Return the shares of memorized wrong labels and the test accuracies, network by network."""
    memorized, accuracies = [], []
    for k in range(n_networks):
        own = torch.Generator().manual_seed(seed + k)
        rows = torch.randperm(len(pixels), generator=own)
        x, truth = pixels[rows[:n_train]], labels[rows[:n_train]]
        others = (truth + torch.randint(1, 10, truth.shape, generator=own)) % 10
        is_wrong = torch.rand(n_train, generator=own) < share_wrong
        y = torch.where(is_wrong, others, truth)
        rest = rows[n_train:]

        def loss(params, x, y, own=own):
            """Return the loss of each image, with dropout."""
            return losses.cross_entropy(mlp.mlp(params, x, dropout=p, generator=own), y)

        start = mlp.init_mlp([64, 64, 10], scheme="he_normal", generator=own)
        options = {"epochs": n_steps, "batch_size": n_train, "lr": lr}
        for step, history in enumerate(training.epochs(loss, start, (x, y), **options)):
            if step % 5 and step < n_steps - 1:
                continue  # measure every fifth step
            by_heart = mlp.mlp(history.params, x).argmax(1)[is_wrong] == y[is_wrong]
            correct = mlp.mlp(history.params, pixels[rest]).argmax(1) == labels[rest]
            memorized.append(by_heart.float().mean())
            accuracies.append(correct.float().mean())
    result = torch.stack([torch.stack(memorized), torch.stack(accuracies)])
    return *result.reshape(2, n_networks, -1), history.params, pixels[rest]


share_without, accuracy_without, *_ = train(0.0)
share_with, accuracy_with, params, images = train(rate)
gain = accuracy_with - accuracy_without

# %%
# Without dropout, the networks have memorized nearly all wrong labels after 200 steps. With dropout
# they have memorized fewer, because no hidden unit can rely on another one being present. A pattern
# that many images share is learned in spite of the noise. A pattern that belongs to a single image
# is not learned, or is learned later.
#
# On new digits, dropout is behind at first, since it learns more slowly. At the end it is ahead by
# a few digits in 100, because by then the other networks have got worse again. They were best after
# a quarter of the steps, and stopping them there would have gained about as much. But you have to
# know when to stop.

claims["Without dropout, nearly all wrong labels are memorized"] = (
    share_without[:, -1].mean() > 0.9
)
claims["With dropout, fewer wrong labels are memorized"] = (
    share_with[:, -1].mean() < share_without[:, -1].mean() - 0.05
)
claims["Dropout is behind at first and ahead at the end"] = (
    gain[:, : gain.shape[1] // 8].mean() < 0 and gain[:, -1].mean() > 0.02
)
steps = [*range(0, n_steps - 1, 5), n_steps - 1]
best, place = accuracy_without.mean(0).max(0)
claims["Without dropout, the networks get worse again"] = (
    steps[place] < n_steps / 2 and best > accuracy_without[:, -1].mean() + 0.02
)

# Figure
fig, axes = plt.subplots(1, 2, figsize=(5.4, 3.2), layout="constrained")
curves = [(share_without, share_with), (accuracy_without, accuracy_with)]
for ax, (without, with_dropout) in zip(axes, curves, strict=True):
    ax.plot(steps, without.mean(0), color="C1", label="without dropout")
    ax.plot(steps, with_dropout.mean(0), color="C0", label="with dropout")
    ax.set(xlabel="step", ylim=(0, 1.03))
axes[0].set_title("Memorized wrong labels")
axes[1].set_title("Accuracy on new digits")
axes[1].legend(loc="lower right")
fig.set_label(
    "Two panels against the step, each with and without dropout. The share of wrong labels "
    "that the networks reproduce rises to 1 without dropout and more slowly with it. The "
    "accuracy on new digits rises to 0.77 and falls again without dropout; with dropout it "
    "rises more slowly and stays."
)
plt.show()

# %%
# Dropout at prediction time
# --------------------------
#
# When the network is used, nothing is dropped. For the logits this gives exactly the mean over all
# dropout masks, since the layer after the dropped units is linear: the mean over 400 draws differs
# only by sampling noise. For the probabilities it does not, because the softmax is not linear. The
# mean of the noisy probabilities is less confident than the probabilities without noise.

quiet = mlp.mlp(params, images[:200])
noisy = torch.stack(
    [
        mlp.mlp(params, images[:200], dropout=rate, generator=generator)
        for _ in range(400)
    ]
)
scores = (noisy.mean(0) - quiet) / (noisy.std(0).clamp(min=1e-6) / 400**0.5)
claims["For the logits, the mean over dropout masks is the value without"] = (
    scores.mean().abs() < 0.15 and 0.85 < scores.std() < 1.15
)
sure = activations.softmax(quiet).amax(1).mean()
claims["The mean of the noisy probabilities is less confident"] = (
    activations.softmax(noisy).mean(0).amax(1).mean() < sure - 0.02
)

# %%
# Conclusion
# ----------
#
# Dropout keeps the mean of every hidden value and adds variance. Training pays for the variance as
# for a penalty: for a linear model it *is* the penalty of :func:`dlcore.linear.ridge`, which
# :doc:`/auto_gallery/06_regularization/plot_weight_decay` examines. In a network, dropout makes it
# harder to memorize single examples. :func:`dlcore.regularization.dropout` takes a generator and
# drops with exactly the given probability. :func:`dlcore.regularization.dropout_mask` returns the
# factors alone, for when one draw is needed in several places. What dropout and other noise do to
# the smoothness of a network is shown in
# :doc:`/auto_gallery/06_regularization/plot_smoothness`.

# %%
# Exercises
# ---------
#
# **1.** A recurrent network should drop the same units at each time step. How do you draw one mask and
# use it twice?

# Solution
mask = regularization.dropout_mask(64, rate, generator=generator)
first, second = (torch.ones(2, 64) * mask).unbind()
assert first.equal(second), "draw the factors alone, and multiply by them each time"

# %%
# **2.** What is the standard deviation of the sum of 100 hidden values of 1 under dropout? Compare the
# formula with 5000 draws.

# Solution
sums = regularization.dropout(torch.ones(5000, 100), rate, generator=generator).sum(1)
expected = (torch.tensor(100 * rate) / (1 - rate)).sqrt()
claims["The variances of independent masks add up"] = (
    sums.std() / expected - 1
).abs() < 0.05

# %%
# **3.** Train the module above without its two dropout layers, for the same number of epochs. With
# 1297 images and correct labels, does dropout still gain anything?

# Solution
plain_net = nn.Sequential(
    *[layer for layer in net if not isinstance(layer, nn.Dropout)]
)
for layer in plain_net:
    if isinstance(layer, nn.Linear):
        layer.reset_parameters()
training.fit_(
    lambda net, x, y: losses.cross_entropy(net(x), y),
    plain_net,
    (pixels[train_rows], labels[train_rows]),
    epochs=20,
    batch_size=50,
    lr=0.2,
    generator=generator,
)
read = plain_net(pixels[test_rows]).argmax(dim=1)
claims["With clean labels and many images, dropout gains less than 2 %"] = (
    right - float(metrics.accuracy(labels[test_rows], read)) < 0.02
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
