r"""
Symmetry breaking: why must initial weights be random?
======================================================

Hidden units that start with equal weights get equal gradients, so only randomness can make them
differ.

In short
--------

If all hidden units of a layer start with the same weights, they get the same gradients and stay
equal, and the layer can do no more than a single unit. Random initial weights break this symmetry,
even if they are noise of a millionth, and so does dropout. The reason is that for any permutation
matrix :math:`\mathbf{P}`, reordering the hidden units leaves the network's output unchanged:

.. math::

    \phi(\mathbf{x}\mathbf{W}_1\mathbf{P})\,\mathbf{P}^\top\mathbf{W}_2
    = \phi(\mathbf{x}\mathbf{W}_1)\,\mathbf{W}_2 .

*Prerequisites:* :doc:`backpropagation </auto_gallery/07_propagation/plot_backpropagation_by_hand>`.
*Reading time:* 10 minutes.

Setting
-------

If we swap two hidden units, together with all the weights that lead to and from them, the network
computes the same function. This *symmetry* is harmless unless training starts at weights that are
symmetric themselves, for example all equal. Can gradient descent leave such a point? If not, what
can?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from dlcore import (
    activations,
    batches,
    init,
    linear,
    losses,
    mlp,
    optim,
    regularization,
)

generator = torch.Generator().manual_seed(0)

digits = load_digits()
pixels, labels = torch.as_tensor(digits.data) / 16, torch.as_tensor(digits.target)
order = torch.randperm(len(pixels), generator=generator)
train_rows, new_rows = order[:1200], order[1200:]
x, y = pixels[train_rows], labels[train_rows]

# %%
# Permutation symmetry of hidden units
# ------------------------------------
#
# Eight hidden units can be ordered in :math:`8! = 40\,320` ways. Each order gives the same outputs,
# the same loss, and the same gradient in the new order.

params = mlp.init_mlp([64, 8, 10], generator=generator, dtype=x.dtype)
reorder = torch.randperm(8, generator=generator)
assert not reorder.equal(torch.arange(8))


def reordered(
    params: tuple[linear.LinearParams, ...],
) -> tuple[linear.LinearParams, ...]:
    """Return the same network with its hidden units in another order."""
    hidden, output = params
    return (
        linear.LinearParams(hidden.weight[:, reorder], hidden.bias[reorder]),
        output._replace(weight=output.weight[reorder]),
    )


trace = mlp.forward(params, x, y, activation="tanh")
other = mlp.forward(reordered(params), x, y, activation="tanh")
assert torch.allclose(trace.o, other.o)
for ours, theirs in zip(
    reordered(mlp.backward(trace)), mlp.backward(other), strict=True
):
    assert torch.allclose(ours.weight, theirs.weight)
    assert torch.allclose(ours.bias, theirs.bias)

# %%
# So if two units are equal, swapping them changes nothing, and therefore their gradients are equal,
# too. They are still equal after a step, and after the next one. With constant initial weights, all
# eight columns of :math:`\mathbf{W}_1` stay equal: the matrix has rank 1.

constant = (
    linear.LinearParams(init.constant((64, 8), 0.1, dtype=x.dtype), x.new_zeros(8)),
    linear.LinearParams(init.constant((8, 10), 0.1, dtype=x.dtype), x.new_zeros(10)),
)
d_hidden, d_output = mlp.backward(mlp.forward(constant, x, y, activation="tanh"))
assert torch.allclose(d_hidden.weight, d_hidden.weight[:, :1].expand(64, 8))
assert torch.allclose(d_output.weight, d_output.weight[:1].expand(8, 10))

# %%
# Four training settings
# ----------------------
#
# We train networks with 64 inputs, 8 hidden units with tanh and 10 classes by minibatch stochastic
# gradient descent, five for each of four settings: constant weights; constant weights and dropout;
# constant weights plus noise of a millionth; and Xavier's random weights.


def train(
    noise: float = 0.0,
    p: float = 0.0,
    *,
    random: bool = False,
    momentum: float = 0.0,
    epochs: int = 45,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return W_1 of five networks, and per epoch the difference between units and the accuracy."""
    params = []
    for n_in, n_out in [(64, 8), (8, 10)]:
        shape = (5, n_in, n_out)
        if random:
            draws = [
                init.xavier_normal(n_in, n_out, generator=generator) for _ in range(5)
            ]
            weight = torch.stack(draws).double()
        else:
            weight = init.constant(shape, 0.1, dtype=x.dtype)
            weight += init.normal(shape, std=noise, generator=generator, dtype=x.dtype)
        params += [weight, x.new_zeros(5, 1, n_out)]

    def outputs(params: list[Tensor], x: Tensor, p: float) -> Tensor:
        hidden = activations.tanh(x @ params[0] + params[1])
        hidden = regularization.dropout(hidden, p, generator=generator)
        return hidden @ params[2] + params[3]

    velocity, inequality, accuracy = None, [], []
    for _ in range(epochs):
        for images, classes in batches.minibatches(
            x, y, batch_size=100, generator=generator
        ):
            leaves = [w.requires_grad_() for w in params]
            logits = outputs(leaves, images, p).flatten(0, 1)
            loss = (
                losses.cross_entropy(logits, classes.repeat(5)).reshape(5, -1).mean(1)
            )
            grads = list(torch.autograd.grad(loss.sum(), leaves))
            params, velocity = optim.momentum_step(
                [w.detach() for w in leaves], grads, velocity, lr=0.5, momentum=momentum
            )
        weight = params[0]
        differences = weight - weight.mean(2, keepdim=True)
        inequality.append(differences.norm(dim=(1, 2)) / weight.norm(dim=(1, 2)))
        right = outputs(params, pixels[new_rows], 0.0).argmax(2) == labels[new_rows]
        accuracy.append(right.double().mean(1))
    return params[0], torch.stack(inequality), torch.stack(accuracy)


runs = {
    "constant": (train(), "C1"),
    "with dropout": (train(p=0.2), "C0"),
    "with a millionth": (train(noise=1e-6), "C2"),
    "random": (train(random=True), "C3"),
}
for name, ((weight, _, _), _) in runs.items():
    ranks = torch.linalg.matrix_rank(weight, rtol=1e-6)
    assert (ranks == (1 if name == "constant" else 8)).all()

# %%
# Every unit has 64 weights, one for each pixel, which form a picture: orange where they are
# positive and purple where they are negative. From constant weights, training makes the same
# picture eight times. Dropout and random weights make eight different ones.

fig, axes = plt.subplots(3, 8, figsize=(5.4, 2.6), layout="constrained")
for row, name in zip(axes, ("constant", "with dropout", "random"), strict=True):
    weight = runs[name][0][0][0]
    limit = float(weight.abs().max())
    for ax, column in zip(row, weight.T, strict=True):
        picture = column.reshape(8, 8)
        ax.imshow(picture, cmap="PuOr_r", vmin=-limit, vmax=limit)
        ax.set_axis_off()
    row[0].set_title(name)
fig.set_label(
    "The weights of eight hidden units as pictures of 8 by 8 pixels, in three rows. With "
    "constant initial weights all eight are the same. With dropout and with random "
    "initial weights all eight differ."
)
plt.show()

# %%
# Symmetry lasts forever, or until the slightest noise
# ----------------------------------------------------
#
# How unequal are the units of a network? We subtract the mean of the columns of
# :math:`\mathbf{W}_1` from each column and divide the norm of the result by the norm of
# :math:`\mathbf{W}_1`. With constant initial weights, this difference is 0 after every epoch.
# Neither minibatches nor momentum help, because they treat all units alike. Dropout breaks the
# symmetry: it drops one unit and keeps another, so the two get different gradients. Noise of a
# millionth is also enough. The symmetric point is unstable, like a ball on a ridge: the difference
# grows from epoch to epoch, faster and faster, until the units separate. So "forever" holds in
# exact arithmetic only. Where rounding treats two columns differently, it acts as noise too, but of
# size :math:`10^{-16}`.

_, unequal, _ = runs["constant"][0]
assert (unequal < 1e-6).all()
assert (train(momentum=0.5, epochs=5)[1] < 1e-6).all()
_, unequal, _ = runs["with a millionth"][0]
assert (unequal[0] < 1e-4).all()
assert (unequal[-1] > 0.1).all()
growth = unequal[1:].mean(1) / unequal[:-1].mean(1)
assert (growth > 1).all()
assert runs["with dropout"][0][1][-1].min() > 0.5

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for name in ("random", "with dropout", "with a millionth"):
    (_, unequal, _), color = runs[name]
    epochs = range(1, len(unequal) + 1)
    ax.plot(epochs, unequal, color=color, linewidth=0.7, alpha=0.6)
    ax.plot(epochs, unequal.mean(1), color=color, linewidth=2.5)
ax.text(3, 2, "random", color="C3", ha="center")
ax.text(12, 0.06, "constant, with dropout", color="C0")
ax.text(27, 2e-4, "constant, with\na millionth of noise", color="C2", va="top")
ax.text(1, 1.4e-6, "constant: 0, below the axis", color="C1")
ax.set(yscale="log", ylim=(1e-6, 5), xlabel="epoch")
ax.set_ylabel("relative difference between the units")
ax.set_title("Noise of a millionth is enough, but it takes longer")
fig.set_label(
    "The relative difference between the eight units against the epoch, on a "
    "logarithmic axis, for five networks per setting. With random weights it is close to "
    "1 throughout. With dropout it rises from 0.004 to close to 1 in 18 epochs. With "
    "noise of a millionth it rises from 1e-5, slowly at first, to close to 1 at epoch "
    "40. With constant weights it is 0."
)
plt.show()

# %%
# Eight equal units act as one
# ----------------------------
#
# The logits are :math:`\mathbf{b}` plus a multiple of a single vector, so all images lie on one
# line in the space of logits. Ten classes cannot all be separated on one line: at the end, the
# network reads three in ten new digits correctly. With dropout it reads more than nine in ten
# correctly, but needs more epochs than with random weights.

accuracy = runs["constant"][0][2]
for _ in range(50):
    grads = mlp.backward(mlp.forward(constant, x, y, activation="tanh"))
    constant = optim.sgd_step(constant, grads, lr=0.5)
    line = mlp.mlp(constant, x, activation="tanh") - constant[1].bias
    assert torch.linalg.matrix_rank(line, rtol=1e-6) == 1
assert accuracy.max() < 0.5
assert 0.2 < accuracy[-5:].mean() < 0.4
for name in ("with dropout", "random"):
    assert runs[name][0][2][-1].min() > 0.9
first_good = {
    name: int((of_run[2].mean(1) > 0.9).int().argmax())
    for name, (of_run, _) in runs.items()
    if name != "constant"
}
assert first_good["random"] < first_good["with dropout"] < 30

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for (_, _, accuracy), color in runs.values():
    ax.plot(epochs, accuracy, color=color, linewidth=0.7, alpha=0.6)
    ax.plot(epochs, accuracy.mean(1), color=color, linewidth=2.5)
ax.text(5.5, 0.8, "random", color="C3")
ax.text(13.5, 0.5, "with\ndropout", color="C0", ha="right")
ax.text(33, 0.5, "with a\nmillionth", color="C2", ha="right")
ax.text(45, 0.2, "constant", color="C1", ha="right")
ax.set(ylim=(0, 1), xlabel="epoch", ylabel="accuracy on new digits")
ax.set_title("Accuracy with constant and with random weights")
fig.set_label(
    "The accuracy on new digits against the epoch. With random weights it reaches 0.9 "
    "within a few epochs. With dropout it stays at 0.1 for ten epochs and then rises to "
    "0.95. With noise of a millionth it rises after thirty epochs. With constant weights "
    "it reaches 0.3."
)
plt.show()

# %%
# Zeros are the worst of all constants. The hidden values are then 0, and so are the weights of the
# next layer. Neither weight matrix gets a gradient, and only the last bias ever changes. Biases may
# start at 0, but weights may not.

zero = (
    linear.LinearParams(init.zeros((64, 8), dtype=x.dtype), x.new_zeros(8)),
    linear.LinearParams(init.zeros((8, 10), dtype=x.dtype), x.new_zeros(10)),
)
d_hidden, d_output = mlp.backward(mlp.forward(zero, x, y, activation="tanh"))
assert (d_hidden.weight == 0).all()
assert (d_output.weight == 0).all()
assert (d_output.bias != 0).any()

# %%
# Conclusion
# ----------
#
# Hidden units differ only in their weights, and gradient descent keeps equal units equal. So
# initial weights are random: :func:`dlcore.mlp.init_mlp` samples them, and
# :doc:`/auto_gallery/07_propagation/plot_xavier_understood` explains how large they should be.
# :func:`dlcore.init.constant` exists to show what happens otherwise, and :func:`dlcore.init.zeros`
# is meant for biases. :func:`dlcore.regularization.dropout` breaks the symmetry as a by-product;
# :doc:`/auto_gallery/06_regularization/plot_dropout` shows its main purpose.
