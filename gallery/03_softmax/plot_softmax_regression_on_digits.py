r"""
Softmax regression: can one layer read digits?
==============================================

One affine layer, trained by minibatch SGD on the cross-entropy, reads 94 of 100 digits.

In short
--------

Softmax regression, one affine map followed by a softmax, reads at least 94 % of handwritten digits
that it has never seen. Its training needs only the cross-entropy loss, whose gradient is the
predicted probabilities minus the one-hot label.

.. math::

    l(\mathbf{o}, y) = \log\sum_k e^{o_k} - o_y, \qquad
    \frac{\partial l}{\partial \mathbf{o}} = \operatorname{softmax}(\mathbf{o}) - \mathbf{e}_y .

*Prerequisites:* matrices and gradients. *Reading time:* 8 minutes.

The model
---------

The model computes a *logit* for each class from the pixels, :math:`\mathbf{o} =
\mathbf{x}\mathbf{W} + \mathbf{b}`, and the softmax of the logits gives the probabilities. We train
it on scikit-learn's bundled digits, 1797 images of 8 × 8 pixels, by minibatch stochastic gradient
descent. Every part is a dlcore function that fits on one page.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import activations, batches, init, losses, metrics, optim

generator = torch.Generator().manual_seed(0)

# %%
# The data
# --------
#
# The pixels range from 0 to 16, so we divide them by 16. We shuffle the rows, and hold out a third
# of the images, 599, for the test.

digits = load_digits()
x = torch.as_tensor(digits.data, dtype=torch.float32) / 16
labels = torch.as_tensor(digits.target)
order = torch.randperm(len(x), generator=generator)
train, test = order[:-599], order[-599:]

assert x.shape == (1797, 64)
assert x.min() == 0
assert x.max() == 1
assert len(test) == 599

# %%
# Training
# --------
#
# The loss of a batch is the mean over its rows, so the step needs no further division. The last
# batch of an epoch is shorter than the others, and its mean is still correct. The weights start as
# small normal random numbers, and the biases start at zero.


def mean_loss(
    params: tuple[torch.Tensor, torch.Tensor], x: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the mean cross-entropy of softmax regression."""
    weight, bias = params
    return losses.cross_entropy(x @ weight + bias, labels).mean()


params = (init.normal((64, 10), std=0.01, generator=generator), init.zeros((10,)))
history = {"train loss": [], "test loss": [], "train accuracy": [], "test accuracy": []}
for _ in range(60):
    for batch in batches.minibatches(
        x[train], labels[train], batch_size=64, generator=generator
    ):
        grads = torch.func.grad(mean_loss)(params, *batch)
        params = optim.sgd_step(params, grads, lr=0.5)
    for name, rows in (("train", train), ("test", test)):
        predictions = (x[rows] @ params[0] + params[1]).argmax(dim=1)
        history[f"{name} loss"].append(float(mean_loss(params, x[rows], labels[rows])))
        history[f"{name} accuracy"].append(
            float(metrics.accuracy(labels[rows], predictions))
        )

# %%
# One layer reads at least 94 of 100 digits that it has never seen. The training loss falls over
# every ten epochs, and the test loss stays above it. The gap between the two grows, because the
# weights are fitted to the training rows.

assert history["test accuracy"][-1] >= 0.94
assert all(
    later < earlier
    for earlier, later in zip(
        history["train loss"][:-10], history["train loss"][10:], strict=True
    )
)
gap = torch.tensor(history["test loss"]) - torch.tensor(history["train loss"])
assert gap[-1] > gap[4] > 0

epochs = range(1, 61)
fig, axes = plt.subplots(1, 2, figsize=(6, 3.3), layout="constrained")
for ax, quantity in zip(axes, ("loss", "accuracy"), strict=True):
    for i, name in enumerate(("train", "test")):
        values = history[f"{name} {quantity}"]
        ax.plot(epochs, values, color=f"C{i}")
        ax.annotate(
            name,
            (60, values[-1]),
            (4, 0),
            textcoords="offset points",
            color=f"C{i}",
            va="center",
        )
    ax.set(xlabel="epoch", xlim=(0, 60))
axes[0].set(title="Cross-entropy, nats", yscale="log")
axes[0].set_yticks([0.1, 0.2, 0.5, 1.0], labels=["0.1", "0.2", "0.5", "1"])
axes[0].set_yticks([], minor=True)
axes[1].set(title="Accuracy", ylim=(0.85, 1))
axes[1].set_yticks([0.85, 0.9, 0.95, 1], labels=["0.85", "0.9", "0.95", "1"])
fig.set_label(
    "Two panels against the epoch. Left, the cross-entropy on a logarithmic scale "
    "falls steeply in the first epochs and then slowly, and the test curve lies above "
    "the training curve. Right, both accuracies rise above 0.94, training above test."
)
plt.show()

# %%
# Confusion matrix: which digits are mistaken for which?
# ------------------------------------------------------
#
# The confusion matrix counts how often each true digit is read as each digit. Correct answers are
# on the diagonal, so only the errors are coloured. There are at most 6 errors in 100, and they are
# not evenly distributed: the two most frequent are reading a 3 as an 8 and a 5 as a 9.

predictions = (x[test] @ params[0] + params[1]).argmax(dim=1)
confusion = metrics.confusion_matrix(labels[test], predictions, n_classes=10)
errors = confusion - torch.diag(confusion.diagonal())

assert confusion.sum() == len(test)
assert confusion.diagonal().sum() / len(test) == metrics.accuracy(
    labels[test], predictions
)
assert errors.sum() <= 0.06 * len(test)
others = errors.clone()
others[3, 8] = others[5, 9] = 0
assert min(errors[3, 8], errors[5, 9]) > others.max()

fig, ax = plt.subplots(figsize=(5.2, 4.9), layout="constrained")
ax.imshow(
    torch.where(errors > 0, errors, torch.nan),
    cmap="Oranges",
    vmin=-1,
    vmax=2 * int(errors.max()),
)
for i, row in enumerate(confusion.tolist()):
    for j, count in enumerate(row):
        if i == j:
            ax.text(j, i, str(count), ha="center", va="center", weight="bold")
        elif count:
            ax.text(j, i, str(count), ha="center", va="center", color="black")
ax.set(xlabel="read as", ylabel="true digit", xticks=range(10), yticks=range(10))
ax.set_title("A 3 read as an 8, a 5 read as a 9")
fig.set_label(
    "A ten by ten table of counts, true digit against the digit read. Nearly all "
    "counts are on the diagonal. The few errors are coloured, most strongly a 3 read "
    "as an 8 and a 5 read as a 9, four times each."
)
plt.show()

# %%
# The weights as images
# ---------------------
#
# Each class has 64 weights, one for each pixel, which form an image. Ink on an orange pixel is
# evidence for the class, ink on a purple pixel is evidence against it. The image of the 0 has a
# hole: the most negative of its weights is one of the four in the middle, and no other digit has
# such negative weights there.

weights = params[0].T.reshape(10, 8, 8)
centre = weights[0, 3:5, 3:5].mean()

assert centre == weights[:, 3:5, 3:5].mean(dim=(1, 2)).min()
assert weights[0, 3:5, 3:5].min() == weights[0].min()

# sphinx_gallery_thumbnail_number = 3
fig, axes = plt.subplots(2, 5, figsize=(6, 2.8), layout="constrained")
largest = float(weights.abs().max())
for digit, ax in enumerate(axes.flat):
    picture = ax.imshow(weights[digit], cmap="PuOr_r", vmin=-largest, vmax=largest)
    ax.set(title=str(digit), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
fig.colorbar(picture, ax=axes, label="weight", shrink=0.8)
fig.set_label(
    "Ten small images of 8 by 8 weights, one for each digit. The image of 0 is a ring "
    "of positive weights around a strongly negative centre."
)
plt.show()

# %%
# The gradient by hand
# --------------------
#
# The gradient at the logits is :math:`\operatorname{softmax}(\mathbf{o}) - \mathbf{e}_y`, and
# multiplying it by the pixels gives the gradient of the weights. Written by hand this is one line,
# and it agrees with automatic differentiation. The mean of each column of this difference is the
# gradient of a bias. Each row sums to zero: the probability that one class gains, the others lose.

weight, bias = params
residual = activations.softmax(x[train] @ weight + bias) - torch.eye(10)[labels[train]]
by_hand = (x[train].T @ residual / len(train), residual.mean(dim=0))
by_autograd = torch.func.grad(mean_loss)(params, x[train], labels[train])

for ours, theirs in zip(by_hand, by_autograd, strict=True):
    assert torch.allclose(ours, theirs, atol=1e-6)
assert float(residual.sum(dim=1).abs().max()) < 1e-5

# %%
# Conclusion
# ----------
#
# One layer can read digits. It needs only :func:`dlcore.losses.cross_entropy` on the logits,
# :func:`dlcore.batches.minibatches` and :func:`dlcore.optim.sgd_step`. The weights of a class form
# an image of the evidence for its digit. A single layer cannot use combinations of pixels; that
# needs the hidden layer of a :doc:`multilayer perceptron
# </auto_gallery/04_mlp/plot_mlp_looked_into>`.
