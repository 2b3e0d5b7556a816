r"""
From scratch to nn.Module: where do formula and module differ?
==============================================================

Each formula of a network has a pure function and a module; both give the same numbers if you
account for four differences.

In short
--------

A pure function gets its weights as an argument, and a module owns them. Both compute the same
numbers if you account for four differences. The weights of :class:`torch.nn.Linear` are transposed.
Its initial weights are neither Xavier's nor He's. :class:`torch.nn.MSELoss` lacks the factor ½ and
takes the mean. And weight decay for some of the parameters is a structure of numbers in one form
and parameter groups in the other.

.. math::

    \mathbf{O} = \mathbf{X}\mathbf{W} + \mathbf{b}, \qquad
    \mathbf{W} \in \mathbb{R}^{n_\mathrm{in} \times n_\mathrm{out}}, \qquad
    \mathbf{W}_\mathrm{module} = \mathbf{W}^\top .

*Prerequisites:* :doc:`minibatches </auto_gallery/02_linear/plot_batch_size_three_ways>` and
:doc:`multilayer perceptrons </auto_gallery/04_mlp/plot_mlp_looked_into>`.

Setting
-------

The study notes that dlcore grew out of write each step three times: as a formula, as a few lines of
code, and as a call of :mod:`torch.nn`. We take their snippets one after another, first linear
regression and then a network that reads digits, and compare the forms.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

from dlcore import (
    batches,
    datasets,
    init,
    linear,
    losses,
    metrics,
    mlp,
    optim,
    training,
)

# Change these numbers and run the script again.
seed = 0
n = 200
batch_size = 20
lr = 0.1
weight_decay = 0.05
epochs = 10
width = 64
claims = {}

# %%
# The weights of a module are transposed
# --------------------------------------
#
# The model is :math:`\mathbf{X}\mathbf{W} + \mathbf{b}` with one row for each input, as in the
# formula. A module stores one row for each *output*, and multiplies by the transpose. Copying
# weights from one form to the other therefore takes a transpose, and to read fan-in and fan-out off
# a shape, you have to know its layout.

generator = torch.Generator().manual_seed(seed)
torch.manual_seed(seed)  # modules draw their initial weights from the global generator

layer = nn.Linear(3, 2)
x = torch.randn(5, 3, generator=generator)
as_pure = linear.LinearParams(layer.weight.detach().T, layer.bias.detach())
assert layer.weight.shape == (2, 3), "(n_out, n_in)"
assert as_pure.weight.shape == (3, 2), "(n_in, n_out)"
assert torch.allclose(layer(x), linear.linear(x, *as_pure)), "the same outputs"

# %%
# Initial weights: normal in the notes, uniform in a module
# ---------------------------------------------------------
#
# The notes draw normal weights with a small standard deviation and set the bias to 0. A module
# draws weights and biases uniformly from :math:`\pm1/\sqrt{n_\mathrm{in}}`. To begin like the
# notes, overwrite them; the functions of :mod:`dlcore.init` whose names end in an underscore write
# into a module's weight and know its layout.

linear_layer = nn.Linear(100, 50)
bound = 100**-0.5
default = linear_layer.weight.detach().clone()
assert default.abs().max() <= bound, "uniform within ±1/√n_in"
claims["The default bias is not 0"] = bool((linear_layer.bias != 0).all())
init.he_normal_(linear_layer.weight, generator=generator)
nn.init.zeros_(linear_layer.bias)
drawn = {
    "notes: normal, 0.01": init.normal((100, 50), generator=generator),
    "nn.Linear": default,
    "he_normal_": linear_layer.weight.detach(),
}
claims["He's weights are √6 times as large as a module's"] = (
    abs(drawn["he_normal_"].std() / default.std() / 6**0.5 - 1) < 0.05
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for name, values in drawn.items():
    ax.hist(values.flatten(), 60, histtype="step", linewidth=2, label=name)
ax.set(
    yscale="log",
    xlim=(-0.6, 1.5),
    xlabel="weight",
    ylabel="weights per bin",
    title="Three initial weights",
)
ax.legend(loc="upper right")
fig.set_label(
    "Histograms of 5000 weights of a layer from 100 to 50 units, with a logarithmic count: "
    "the notes' normal weights are all within 0.04 of 0, those of nn.Linear are uniform "
    "between -0.1 and 0.1, and He's are a bell of standard deviation 0.14."
)
plt.show()

# %%
# The loss: MSELoss has no ½
# --------------------------
#
# The notes' ``squared_loss`` is :math:`\frac12(\hat y - y)^2` for each example, with a reshape that
# prevents a column minus a row from becoming a matrix. ``nn.MSELoss(reduction="none")`` is twice as
# large. By default, ``nn.MSELoss()`` is the mean. So the same learning rate takes steps that are
# twice as long.

y_hat, y = torch.randn(2, 7, generator=generator)
ours, theirs = losses.squared_loss(y_hat, y), nn.MSELoss(reduction="none")(y_hat, y)
assert torch.allclose(2 * ours, theirs), "without the ½"
assert torch.allclose(2 * ours.mean(), nn.MSELoss()(y_hat, y)), "and a mean by default"
try:
    losses.squared_loss(y_hat[:, None], y)
except ValueError as error:
    print(error)

# %%
# Cross-entropy differs less. Both forms take logits and not probabilities. dlcore's returns one
# value for each example, and torch's the mean.

logits, labels = torch.randn(7, 3, generator=generator), torch.arange(7) % 3
assert torch.allclose(
    losses.cross_entropy(logits, labels).mean(), nn.CrossEntropyLoss()(logits, labels)
), "the same, up to the mean"

# %%
# Stochastic gradient descent: the loop of the notes, and five more forms of it
# -----------------------------------------------------------------------------
#
# The notes' ``sgd`` divides by the batch size, since their loss is a sum. Here is linear regression
# with weight decay in all forms, on the same batches and from the same weights: the loop of the
# notes, :func:`dlcore.optim.sgd_` (which is this loop), pure steps with
# :func:`dlcore.optim.sgd_step`, :func:`dlcore.training.fit`, a loop with
# :class:`torch.optim.SGD`, and :func:`dlcore.training.fit_`. The bias does not decay: the pure forms
# take a structure of decays, and an optimizer takes parameter groups.

data = datasets.linear_regression(
    torch.tensor([2.0, -3.4]), 4.2, n, generator=generator
)
x, y = data.x, data.y
first = linear.LinearParams(init.normal(2, generator=generator), torch.zeros(()))
decays = linear.LinearParams(weight_decay, 0.0)


def pure_loss(params, x, y):
    """Return the loss of each row, with the ½."""
    return losses.squared_loss(linear.linear(x, *params), y)


def module_loss(net, x, y):
    """Return the loss of each row of a module with one output, with the ½."""
    return losses.squared_loss(net(x)[:, 0], y)


def every_batch():
    """Yield the batches of all epochs, the same at each call."""
    own = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from batches.minibatches(x, y, batch_size=batch_size, generator=own)


def new_module():
    """Return a module with the same initial weights, and an optimizer with its groups."""
    net = nn.Linear(2, 1)
    net.weight.data, net.bias.data = (
        first.weight[None].clone(),
        first.bias[None].clone(),
    )
    groups = [
        {"params": net.weight, "weight_decay": weight_decay},
        {"params": net.bias},
    ]
    return net, torch.optim.SGD(groups, lr=lr)


results = {}

w, b = (value.clone().requires_grad_() for value in first)
for rows, targets in every_batch():  # the notes
    loss = ((rows @ w + b - targets) ** 2 / 2).sum() + len(rows) * weight_decay / 2 * (
        w**2
    ).sum()
    loss.backward()
    with torch.no_grad():
        for param in (w, b):
            param.sub_(lr * param.grad / len(rows))
            param.grad.zero_()
results["loop of the notes"] = w.detach(), b.detach()

w, b = (value.clone().requires_grad_() for value in first)
for rows, targets in every_batch():
    penalty = len(rows) * weight_decay / 2 * w.square().sum()
    (pure_loss((w, b), rows, targets).sum() + penalty).backward()
    optim.sgd_([w, b], lr=lr, batch_size=len(rows))
results["sgd_"] = w.detach(), b.detach()

params = first
mean_gradient = torch.func.grad(lambda *args: pure_loss(*args).mean())
for rows, targets in every_batch():
    grads = mean_gradient(params, rows, targets)
    params = optim.sgd_step(params, grads, lr=lr, weight_decay=decays)
results["sgd_step"] = params

options = {"epochs": epochs, "batch_size": batch_size}
own = torch.Generator().manual_seed(seed)
results["fit"] = training.fit(
    pure_loss, first, (x, y), lr=lr, weight_decay=decays, generator=own, **options
).params

net, optimizer = new_module()
for rows, targets in every_batch():
    optimizer.zero_grad()
    (nn.MSELoss()(net(rows)[:, 0], targets) / 2).backward()
    optimizer.step()
results["torch.optim.SGD"] = net.weight.detach()[0], net.bias.detach()[0]

net, optimizer = new_module()
own = torch.Generator().manual_seed(seed)
training.fit_(module_loss, net, (x, y), optimizer=optimizer, generator=own, **options)
results["fit_"] = net.weight.detach()[0], net.bias.detach()[0]

for name, (weight, bias) in results.items():
    distance = (weight - results["loop of the notes"][0]).abs().max()
    claims[f"{name} finds the weights of the notes' loop"] = (
        distance < 1e-4 and (bias - results["loop of the notes"][1]).abs() < 1e-4
    )

# %%
# The division of ``nn.MSELoss()`` by 2 is easily forgotten. Without it, the gradient of the loss is
# twice as large, so the same weight decay has half the effect.

net, optimizer = new_module()
for rows, targets in every_batch():
    optimizer.zero_grad()
    nn.MSELoss()(net(rows)[:, 0], targets).backward()
    optimizer.step()
exact = {
    decay: linear.ridge(x, y, penalty=n * decay).weight
    for decay in (weight_decay, weight_decay / 2)
}
claims["The loop of the notes ends at the ridge solution"] = (
    torch.dist(results["fit"][0], exact[weight_decay]) < 0.05
)
claims["With MSELoss, the weights are those of half the decay"] = torch.dist(
    net.weight[0], exact[weight_decay / 2]
) < torch.dist(net.weight[0], exact[weight_decay])

# %%
# A network: nn.Sequential and a sequence of parameters
# -----------------------------------------------------
#
# The network has one hidden layer. Each pixel of the input is connected with each hidden unit by a
# weight, and each hidden unit with each logit; the figure shows a few of them. The shape of a
# weight matrix is (number of inputs, number of outputs). A module of layers and activations is
# :func:`dlcore.mlp.mlp` with a sequence of parameters.

start = mlp.init_mlp([64, width, 10], scheme="he_normal", generator=generator)
shapes = [tuple(weight.shape) for weight, _ in start]
assert shapes == [(64, width), (width, 10)], "(inputs, outputs), and 10 logits"

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
units = [torch.linspace(-1, 1, n_shown) for n_shown in (5, 6, 4)]
for place, (left, right) in enumerate(pairwise(units)):
    for unit in left:
        ax.plot([place, place + 1], [[unit] * len(right), right], "C3", linewidth=0.6)
    ax.text(place + 0.5, 1.3, f"W{'₁₂'[place]} {shapes[place]}", ha="center")
names = ["input x", "hidden h", "logits o"]
for place, (name, size) in enumerate(zip(names, [64, width, 10], strict=True)):
    ax.plot([place] * len(units[place]), units[place], f"oC{place}", markersize=16)
    ax.text(place, -1.5, f"{name}\n{size} units", ha="center", va="top")
ax.set(xlim=(-0.35, 2.35), ylim=(-2.1, 1.5))
ax.axis("off")
fig.set_label(
    "A network with one hidden layer: a column of circles for the 64 inputs, one for the 64 hidden "
    "units and one for the 10 logits, of which some are drawn. Lines connect each circle with all "
    "circles of the next column; above them stand the shapes of the weights, (64, 64) and (64, 10)."
)
plt.show()

# %%
# In formulas, :math:`\mathbf{h} = \operatorname{ReLU}(\mathbf{x}\mathbf{W}_1 + \mathbf{b}_1)` and
# :math:`\mathbf{o} = \mathbf{h}\mathbf{W}_2 + \mathbf{b}_2`. Trained on the same batches from the same
# weights, both forms read the same digits. The training differs in one way:
# :func:`dlcore.training.fit` returns new parameters and does not change the old ones, whereas
# :func:`dlcore.training.fit_` changes the module.

digits = load_digits()
pixels = torch.as_tensor(digits.data, dtype=torch.float32) / 16
classes = torch.as_tensor(digits.target)
known, new = slice(0, 1200), slice(1200, None)
net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
for layer, (weight, bias) in zip((net[0], net[2]), start, strict=True):
    layer.weight.data, layer.bias.data = weight.T.contiguous(), bias.clone()

options = {"epochs": 5, "batch_size": 50, "lr": lr}
validation = pixels[new], classes[new]
by_formula = training.fit(
    lambda params, x, y: losses.cross_entropy(mlp.mlp(params, x), y),
    start,
    (pixels[known], classes[known]),
    validation=validation,
    generator=torch.Generator().manual_seed(seed),
    **options,
)
by_module = training.fit_(
    lambda net, x, y: losses.cross_entropy(net(x), y),
    net,
    (pixels[known], classes[known]),
    validation=validation,
    generator=torch.Generator().manual_seed(seed),
    **options,
)
claims["Pure form and module have the same validation losses"] = torch.allclose(
    torch.tensor(by_formula.validation_loss),
    torch.tensor(by_module.validation_loss),
    rtol=1e-3,
)
read = mlp.mlp(by_formula.params, pixels[new]).argmax(1)
claims["The network reads more than 80 % of the new digits"] = (
    metrics.accuracy(classes[new], read) > 0.8
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
ax.plot(range(1, 6), by_formula.validation_loss, "o", markersize=10, label="fit, pure")
ax.plot(range(1, 6), by_module.validation_loss, "x-", label="fit_, module")
ax.set(xlabel="epoch", ylabel="loss on new digits", xticks=range(1, 6))
ax.set_title("Pure form and module learn the same")
ax.legend()
fig.set_label(
    "The loss on new digits after each of five epochs, for the pure form as dots and for "
    "the module as crosses. Each cross is inside its dot."
)
plt.show()

# %%
# When to use which form
# ----------------------
#
# A pure function can be differentiated, vectorized and compared with its formula. A module owns
# buffers and modes, and it is what other libraries expect. :func:`torch.func.functional_call` turns
# a module into a pure function, so everything in dlcore that takes a loss takes modules, too.


def pure(params, x, y):
    """Return the loss of each digit from the module's parameters."""
    return losses.cross_entropy(torch.func.functional_call(net, params, (x,)), y)


state = dict(net.named_parameters())
assert torch.allclose(
    pure(state, *validation), losses.cross_entropy(net(pixels[new]), classes[new])
), "the same losses"

# %%
# Conclusion
# ----------
#
# This table gives the name of each formula in both forms:
#
# .. list-table::
#    :header-rows: 1
#
#    * - formula
#      - pure
#      - module
#      - difference
#    * - :math:`\mathbf{X}\mathbf{W} + \mathbf{b}`
#      - :func:`dlcore.linear.linear`
#      - :class:`torch.nn.Linear`
#      - transposed weights
#    * - initial weights
#      - :func:`dlcore.init.normal`
#      - :func:`dlcore.init.he_normal_`
#      - a module's default is uniform
#    * - :math:`\frac12(\hat y - y)^2`
#      - :func:`dlcore.losses.squared_loss`
#      - :class:`torch.nn.MSELoss`
#      - no ½, mean
#    * - cross-entropy
#      - :func:`dlcore.losses.cross_entropy`
#      - :class:`torch.nn.CrossEntropyLoss`
#      - mean
#    * - a step
#      - :func:`dlcore.optim.sgd_step`
#      - :class:`torch.optim.SGD`
#      - a structure of decays; parameter groups
#    * - training
#      - :func:`dlcore.training.fit`
#      - :func:`dlcore.training.fit_`
#      - returns new parameters; works in place
#
# Dropout in a module has a mode, which :doc:`/auto_gallery/06_regularization/plot_dropout` shows.
# :doc:`/auto_gallery/06_regularization/plot_weight_decay_in_adam` continues with weight decay in
# other optimizers.

# %%
# Exercises
# ---------
#
# **1.** How many numbers does ``nn.Linear(784, 256)`` own, and what are the shapes of its
# gradients?

# Solution
layer = nn.Linear(784, 256)
layer(torch.ones(1, 784)).sum().backward()
n_numbers = sum(w.numel() for w in layer.parameters())
assert n_numbers == 784 * 256 + 256, "weights and biases"
assert layer.weight.grad.shape == layer.weight.shape, "that of the weights, transposed"

# %%
# **2.** Which learning rate makes a loop with ``nn.MSELoss()`` take the steps of the notes' loop without
# weight decay?

# Solution
one, other = (nn.Linear(2, 1) for _ in range(2))
other.load_state_dict(one.state_dict())
losses.squared_loss(one(x)[:, 0], y).mean().backward()
nn.MSELoss()(other(x)[:, 0], y).backward()
assert torch.allclose(lr * one.weight.grad, lr / 2 * other.weight.grad), "half the rate"

# %%
# **3.** ``loss = nn.MSELoss()(net(x), y)`` with outputs of shape (n, 1) and targets of shape (n,) only
# warns. What does it compute?

# Solution
outputs = net[0](pixels[:4])[:, :1]
targets = torch.tensor([0.0, 1.0, 2.0, 3.0])
matrix = outputs - targets
assert matrix.shape == (4, 4), "each output minus each target: a mean of n² differences"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
