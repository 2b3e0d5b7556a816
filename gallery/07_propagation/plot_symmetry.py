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

# Change these numbers and run the script again.
seed = 0
n_hidden = 8
noise = 1e-6
rate = 0.2
lr = 0.5
epochs = 45
n_networks = 5
claims = {}

# %%
# Permutation symmetry of hidden units
# ------------------------------------
#
# Eight hidden units can be ordered in :math:`8! = 40\,320` ways. Each order gives the same outputs,
# the same loss, and the same gradient in the new order.

generator = torch.Generator().manual_seed(seed)
digits = load_digits()
pixels, labels = torch.as_tensor(digits.data) / 16, torch.as_tensor(digits.target)
order = torch.randperm(len(pixels), generator=generator)
x, y = pixels[order[:1200]], labels[order[:1200]]
new_x, new_y = pixels[order[1200:]], labels[order[1200:]]

hidden, output = mlp.init_mlp([64, n_hidden, 10], generator=generator, dtype=x.dtype)
reorder = torch.randperm(n_hidden, generator=generator)
reordered = (
    linear.LinearParams(hidden.weight[:, reorder], hidden.bias[reorder]),
    output._replace(weight=output.weight[reorder]),
)
trace = mlp.forward((hidden, output), x, y, activation="tanh")
other = mlp.forward(reordered, x, y, activation="tanh")
assert torch.allclose(trace.o, other.o), "the same outputs"
d_hidden, other_d_hidden = mlp.backward(trace)[0], mlp.backward(other)[0]
assert torch.allclose(d_hidden.weight[:, reorder], other_d_hidden.weight), (
    "the same gradient in the new order"
)

# %%
# So if two units are equal, swapping them changes nothing, and therefore their gradients are equal,
# too. They are still equal after a step, and after the next one. With constant initial weights, all
# columns of :math:`\mathbf{W}_1` stay equal: the matrix has rank 1.


def constant_network(value):
    """Return a network whose weights all have one value and whose biases are 0."""
    return tuple(
        linear.LinearParams(
            init.constant(fans, value, dtype=x.dtype), x.new_zeros(fans[1])
        )
        for fans in [(64, n_hidden), (n_hidden, 10)]
    )


grads = mlp.backward(mlp.forward(constant_network(0.1), x, y, activation="tanh"))
assert torch.allclose(grads[0].weight, grads[0].weight[:, :1]), "all columns are equal"
assert torch.allclose(grads[1].weight, grads[1].weight[:1]), "all rows are equal"

# %%
# Four training settings
# ----------------------
#
# We train networks with 64 inputs, 8 hidden units with tanh and 10 classes by minibatch stochastic
# gradient descent, five for each of four settings: constant weights; constant weights and dropout;
# constant weights plus noise of a millionth; and Xavier's random weights. The five networks are
# trained at once, in tensors of three dimensions.


def outputs(params, x, rate):
    """Return the logits of all networks."""
    hidden = activations.tanh(x @ params[0] + params[1])
    hidden = regularization.dropout(hidden, rate, generator=generator)
    return hidden @ params[2] + params[3]


def train(noise=0.0, rate=0.0, *, random=False, momentum=0.0, epochs=epochs):
    """Return W_1 of all networks, and per epoch the difference between units and the accuracy."""
    params = []
    for n_in, n_out in [(64, n_hidden), (n_hidden, 10)]:
        shape = (n_networks, n_in, n_out)
        weight = 0.1 + init.normal(shape, std=noise, generator=generator, dtype=x.dtype)
        if random:
            std = (2 / (n_in + n_out)) ** 0.5  # Xavier's
            weight = init.normal(shape, std=std, generator=generator, dtype=x.dtype)
        params += [weight, x.new_zeros(n_networks, 1, n_out)]
    velocity, inequality, accuracy = None, [], []
    for _ in range(epochs):
        for rows, classes in batches.minibatches(
            x, y, batch_size=100, generator=generator
        ):
            leaves = [w.requires_grad_() for w in params]
            logits = outputs(leaves, rows, rate).flatten(0, 1)
            loss = losses.cross_entropy(logits, classes.repeat(n_networks))
            grads = torch.autograd.grad(loss.sum() / len(rows), leaves)
            params, velocity = optim.momentum_step(
                [w.detach() for w in leaves],
                [*grads],
                velocity,
                lr=lr,
                momentum=momentum,
            )
        weight = params[0]
        differences = weight - weight.mean(2, keepdim=True)
        inequality.append(differences.norm(dim=(1, 2)) / weight.norm(dim=(1, 2)))
        right = outputs(params, new_x, 0.0).argmax(2) == new_y
        accuracy.append(right.double().mean(1))
    return params[0], torch.stack(inequality), torch.stack(accuracy)


runs = {
    "constant": train(),
    "with dropout": train(rate=rate),
    "with a millionth": train(noise=noise),
    "random": train(random=True),
}
for name, (weight, _, _) in runs.items():
    ranks = torch.linalg.matrix_rank(weight, rtol=1e-6)
    expected = 1 if name == "constant" else n_hidden
    claims[f"Weights of the run '{name}' end with rank {expected}"] = (
        ranks == expected
    ).all()

# %%
# Every unit has 64 weights, one for each pixel, which form a picture: orange where they are
# positive and purple where they are negative. From constant weights, training makes the same
# picture eight times. Dropout and random weights make eight different ones.

# Figure
fig, axes = plt.subplots(3, 8, figsize=(5.4, 2.6), layout="constrained")
for row, name in zip(axes, ("constant", "with dropout", "random"), strict=True):
    weight = runs[name][0][0]
    scaled = weight / weight.abs().max()
    for ax, column in zip(row, scaled.T, strict=False):
        picture = column.reshape(8, 8)
        ax.imshow(picture, cmap="PuOr_r", vmin=-1, vmax=1)
    row[0].set_title(name)
for ax in axes.flat:
    ax.set_axis_off()
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

unequal = {name: run[1] for name, run in runs.items()}
claims["With constant weights, the units stay equal"] = (
    unequal["constant"] < 1e-6
).all()
claims["Momentum does not help"] = (train(momentum=0.5, epochs=5)[1] < 1e-6).all()
claims["A millionth of noise is still small after an epoch and large at the end"] = (
    unequal["with a millionth"][0] < 1e-4
).all() and (unequal["with a millionth"][-1] > 0.1).all()
claims["The difference grows from epoch to epoch"] = (
    unequal["with a millionth"].mean(1).diff() > 0
).all()
claims["Dropout makes the units different"] = (unequal["with dropout"][-1] > 0.5).all()

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
for i, (name, difference) in enumerate(unequal.items()):
    ax.plot(range(1, epochs + 1), difference, color=f"C{i}", linewidth=0.7, alpha=0.6)
    ax.plot(range(1, epochs + 1), difference.mean(1), color=f"C{i}", label=name)
ax.set(yscale="log", ylim=(1e-7, 5), xlabel="epoch")
ax.set_ylabel("relative difference between the units")
ax.set_title("Noise of a millionth is enough, but it takes longer")
ax.legend(loc="lower right")
fig.set_label(
    "The relative difference between the eight units against the epoch, on a "
    "logarithmic axis, for five networks per setting. With random weights it is close to "
    "1 throughout. With dropout it rises from 0.004 to close to 1 in 18 epochs. With "
    "noise of a millionth it rises from 1e-5, slowly at first, to close to 1 at epoch "
    "40. With constant weights it is below the axis."
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

params = constant_network(0.1)
for _ in range(20):
    grads = mlp.backward(mlp.forward(params, x, y, activation="tanh"))
    params = optim.sgd_step(params, grads, lr=lr)
line = mlp.mlp(params, x, activation="tanh") - params[1].bias
assert torch.linalg.matrix_rank(line, rtol=1e-6) == 1, "all images lie on one line"

accuracy = {name: run[2] for name, run in runs.items()}
last = {name: float(values[-5:].mean()) for name, values in accuracy.items()}
claims["With constant weights, about three in ten digits are read"] = (
    0.2 < last["constant"] < 0.4
)
claims["With dropout and with random weights, more than nine in ten are read"] = (
    min(last["with dropout"], last["random"]) > 0.9
)
slow, fast = (
    int((accuracy[name].mean(1) > 0.9).int().argmax())
    for name in ("with dropout", "random")
)
claims["Dropout takes longer than random weights"] = fast < slow < 30

# Figure
fig, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
for name, values in accuracy.items():
    ax.plot(range(1, epochs + 1), values.mean(1), label=name)
ax.set(ylim=(0, 1), xlabel="epoch", ylabel="accuracy on new digits")
ax.set_title("Accuracy with constant and with random weights")
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "The accuracy on new digits against the epoch. With random weights it reaches 0.9 "
    "within a few epochs. With dropout it stays at 0.1 for ten epochs and then rises to "
    "0.95. With noise of a millionth it rises after thirty epochs. With constant weights "
    "it reaches 0.3."
)
plt.show()

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

# %%
# Exercises
# ---------
#
# **1.** Zeros are the worst of all constants. Which parameters get a gradient then, and what can the
# network learn?

# Solution
d_hidden, d_output = mlp.backward(mlp.forward(constant_network(0.0), x, y))
assert (d_hidden.weight == 0).all(), "no gradient passes weights of 0"
assert (d_output.weight == 0).all(), "hidden values of 0 give no gradient"
assert (d_output.bias != 0).any(), "the last bias learns the frequencies of the classes"

# %%
# **2.** With tanh there is a second symmetry: change the signs of all weights that lead to a unit, of its
# bias and of all weights that lead from it. How many weight vectors compute the same function then?

# Solution
flipped = (
    linear.LinearParams(-hidden.weight, -hidden.bias),
    output._replace(weight=-output.weight),
)
assert torch.allclose(mlp.mlp(flipped, x, activation="tanh"), trace.o), "tanh is odd"
# 8! orders, times 2⁸ signs: more than ten million.

# %%
# **3.** Does it help to let only one of the two matrices start at random?

# Solution
first, second = mlp.init_mlp([64, n_hidden, 10], generator=generator, dtype=x.dtype)
mixed = (constant_network(0.1)[0], second)
grads = mlp.backward(mlp.forward(mixed, x, y, activation="tanh"))
rank = torch.linalg.matrix_rank(grads[0].weight, rtol=1e-9)
claims["Random weights in the second layer break the symmetry of the first"] = rank > 1

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
