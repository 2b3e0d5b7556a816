r"""
Backpropagation by hand: how is a gradient computed?
====================================================

Backpropagation computes the derivatives with respect to all weights in one pass from the loss back
to the inputs.

In short
--------

Backpropagation is the chain rule on the graph of a network's computation: along each arrow the
gradient is multiplied by the derivative, and where several arrows leave a value, the products are
summed. One backward pass costs about twice as much as a forward pass and gives the derivatives of
the objective :math:`J` with respect to all parameters. For a network with one hidden layer, with
input :math:`\mathbf{x}` and activation :math:`\phi`, the graph is

.. math::

    \begin{aligned}
    \mathbf{z} &= \mathbf{x}\mathbf{W}_1 + \mathbf{b}_1, &
    \mathbf{h} &= \phi(\mathbf{z}), &
    \mathbf{o} &= \mathbf{h}\mathbf{W}_2 + \mathbf{b}_2, \\
    L &= \tfrac12\lVert\mathbf{o} - \mathbf{y}\rVert^2, &
    s &= \tfrac\lambda2\bigl(\lVert\mathbf{W}_1\rVert^2 + \lVert\mathbf{W}_2\rVert^2\bigr), &
    J &= L + s .
    \end{aligned}

*Prerequisites:* the chain rule, matrix products and :doc:`multilayer perceptrons
</auto_gallery/04_mlp/plot_mlp_looked_into>`.

Setting
-------

To train the network, we need the derivative of :math:`J` with respect to every weight. Here we
compute these derivatives on numbers that are small enough to follow by hand.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import linear, mlp

# Change these numbers and run the script again.
seed = 0
penalty = 1.0
target = 4.0
n_images = 100
n_hidden = 32
claims = {}

# %%
# The forward pass
# ----------------
#
# The network has two inputs, two hidden units with a ReLU, and one output.
# :func:`dlcore.mlp.forward` returns every intermediate value under its name in the formulas. The
# assertions below recompute them by hand.

generator = torch.Generator().manual_seed(seed)

hidden = linear.LinearParams(
    weight=torch.tensor([[1.0, -1.0], [2.0, 1.0]]), bias=torch.tensor([0.0, -2.0])
)
output = linear.LinearParams(
    weight=torch.tensor([[1.0], [3.0]]), bias=torch.tensor([1.0])
)
x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[target]])
trace = mlp.forward([hidden, output], x, y, loss="squared_loss", penalty=penalty)

assert trace.z[0].tolist() == [[1 * 1 + 2 * 2 + 0, 1 * -1 + 2 * 1 - 2]] == [[5, -1]], (
    "z"
)
assert trace.h[0].tolist() == [[5, 0]], "the ReLU sets -1 to 0"
assert trace.o.tolist() == [[5 * 1 + 0 * 3 + 1]] == [[6]], "o"
claims["The loss is (6 − 4)² / 2 = 2"] = trace.L == (6 - 4) ** 2 / 2 == 2
claims["The penalty is (1 + 1 + 4 + 1 + 1 + 9) / 2 = 8.5"] = trace.s == 17 / 2
claims["The objective is 10.5"] = trace.J == 2 + 8.5

# %%
# In the graph, every value has a box, and an arrow leads to it from each value that it is computed
# from. Each weight matrix has two outgoing arrows: one into its layer, and one into the penalty,
# here with :math:`\lambda = 1`.

values = {"x": x, "y": y, "z": trace.z[0], "h": trace.h[0], "o": trace.o}
values |= {"W_1": hidden.weight, "b_1": hidden.bias}
values |= {"W_2": output.weight, "b_2": output.bias}
values |= {"L": trace.L, "s": trace.s, "J": trace.J}

# Figure
names = ["x", "W_1", "b_1", "z", "h", "W_2", "b_2", "o", "y", "L", "s", "J"]
columns = [0.8, -0.15, 1.6, 0.8, 0.8, 0.25, 1.6, 0.8, 1.6, 0.8, -0.15, 0.4]
rows = [0, 1, 1, 2, 3, 4, 4, 5, 6, 6.2, 6.2, 7.2]
places = dict(zip(names, zip(columns, rows, strict=True), strict=True))
arrows = "x z, W_1 z, b_1 z, z h, h o, W_2 o, b_2 o, o L, y L, W_1 s, W_2 s, L J, s J"


def written(name, value):
    """Return a value as text, one line for each row."""
    rows = torch.atleast_2d(value).tolist()
    return f"{name} = " + "\n".join(", ".join(f"{v:g}" for v in row) for row in rows)


def draw_graph(values, title, *, back=False):
    """Draw the values in their places, and the arrows between them."""
    fig, ax = plt.subplots(figsize=(5.4, 6), layout="constrained")
    for start, end in (arrow.split() for arrow in arrows.split(", ")):
        gap = 15 if places[start][0] == places[end][0] else 27
        style = {"arrowstyle": "<-" if back else "->", "shrinkA": gap, "shrinkB": gap}
        if start in values:
            style["color"] = "C1" if back else "C0"
            ax.annotate("", places[end], places[start], arrowprops=style)
    box = {"boxstyle": "round", "facecolor": "none", "edgecolor": "C0"}
    for name, value in values.items():
        text = written(name, value)
        ax.text(*places[name], text, ha="center", va="center", bbox=box)
    ax.set(xlim=(-0.4, 1.9), ylim=(7.5, -0.4), title=title)
    ax.set_axis_off()
    return fig


fig = draw_graph(values, "Forward pass: each value follows from those above it")
fig.set_label(
    "The computational graph from the input x at the top to the objective J at the "
    "bottom. Each value is in a box with its name: z = (5, -1), h = (5, 0), o = 6, "
    "L = 2, s = 8.5, J = 10.5. Arrows lead from the weights W_1 to z and to s, and from "
    "W_2 to o and to s."
)
plt.show()

# %%
# The backward pass
# -----------------
#
# Now we follow the graph from the bottom up. By the chain rule, the derivative with respect to a
# value is a sum over all arrows that leave it. Each term is the derivative at the arrow's head
# times the derivative along the arrow. Each step needs only the result of the step before and
# values that the forward pass has stored.

dl = ds = torch.ones(())  # J = L + s
do = dl * (trace.o - y)
dh = do @ output.weight.T
dz = dh * (trace.z[0] > 0)
dx = dz @ hidden.weight.T
dw2 = trace.h[0].T @ do + ds * penalty * output.weight  # two arrows leave a weight
db2 = do[0]
dw1 = x.T @ dz + ds * penalty * hidden.weight
db1 = dz[0]

claims["The gradients are those of the numbers above"] = (
    do.tolist() == [[2]]
    and dh.tolist() == [[2 * 1, 2 * 3]]
    and dz.tolist() == [[2, 0]]
    and dw2.tolist() == [[5 * 2 + 1], [0 * 2 + 3]] == [[11], [3]]
    and dw1.tolist() == [[1 * 2 + 1, 0 - 1], [2 * 2 + 2, 0 + 1]] == [[3, -1], [6, 1]]
)

# %%
# The second hidden unit is off, at :math:`-1`, where the slope of the ReLU is 0, so nothing of the
# gradient of 6 passes through it. Its weights get the gradient :math:`(-1, 1)`, which comes from
# the penalty alone. :func:`dlcore.mlp.gradients` finds the same gradients by the same steps, and so
# does torch, from the graph that it records.

found = mlp.gradients(trace)
for ours, theirs in [(found.o, do), (found.h[0], dh), (found.z[0], dz), (found.x, dx)]:
    assert torch.allclose(ours, theirs), "mlp.gradients takes the same steps"
by_hand = (dw1, db1, dw2, db2)
leaves = [w.clone().requires_grad_() for w in (*hidden, *output)]
layers = [linear.LinearParams(*leaves[:2]), linear.LinearParams(*leaves[2:])]
objective = mlp.forward(layers, x, y, loss="squared_loss", penalty=penalty).J
by_autograd = torch.autograd.grad(objective, leaves, retain_graph=True)
by_dlcore = [w for layer in mlp.backward(trace) for w in layer]
for ours, theirs, torchs in zip(by_hand, by_dlcore, by_autograd, strict=True):
    assert torch.allclose(ours, theirs), "as mlp.backward"
    assert torch.allclose(ours, torchs), "as torch"

grads = {"x": dx, "z": dz, "h": dh, "o": do, "W_1": dw1, "b_1": db1}
grads |= {"W_2": dw2, "b_2": db2, "L": dl, "s": ds, "J": dl}

# Figure
fig = draw_graph(
    grads, "Backward pass: each gradient follows from those below it", back=True
)
fig.set_label(
    "The same graph with the arrows reversed and the gradient of each value in its place: 1 at "
    "J, L and s; 2 at o; (2, 6) at h; (2, 0) at z; (2, 4) at x; 11 and 3 at W_2; 2 at "
    "b_2; 3, -1, 6, 1 at W_1; and (2, 0) at b_1."
)
plt.show()

# %%
# When ``.backward()`` is called, torch *adds* the gradients to the ``.grad`` of each leaf. After
# two calls, ``.grad`` holds twice the gradient. This is why a training loop clears the gradients. A
# pure function has nothing to clear.

for calls in (1, 2):
    objective.backward(retain_graph=True)
    assert torch.allclose(leaves[0].grad, calls * dw1), "the gradients are added"

# %%
# What "prod" means in the chain rule
# -----------------------------------
#
# The chain rule is often written :math:`\frac{\partial J}{\partial\mathbf{W}_1} =
# \operatorname{prod}\bigl(\frac{\partial J}{\partial\mathbf{z}},
# \frac{\partial\mathbf{z}}{\partial\mathbf{W}_1}\bigr)`, with an operator that stands for "multiply
# after the necessary operations". The second factor is the derivative of a vector with respect to a
# matrix: an array with three axes, half of whose entries are zero here. The necessary operation is to
# sum over the axis that the factors share, the axis of :math:`\mathbf{z}`. For a linear layer the
# result is an outer product, and the large array is never formed.


def layer(weight):
    """Return the pre-activations of the hidden layer."""
    return x[0] @ weight + hidden.bias


jacobian = torch.func.jacrev(layer)(hidden.weight)
assert jacobian.shape == (2, 2, 2), "an array with three axes"
assert (jacobian == 0).sum() == 4, "half of its entries are 0"
product = torch.einsum("k,kij->ij", dz[0], jacobian)
assert torch.allclose(product, torch.outer(x[0], dz[0])), "an outer product"

# %%
# A batch needs no new formula. With one example in each row of :math:`\mathbf{X}`, the product
# :math:`\mathbf{X}^\top\,\partial J/\partial\mathbf{Z}` sums the outer products of all rows. Since
# the loss is the mean over the batch, the gradient is the mean too. Here we check it with 100
# digits and 32 hidden units.

digits = load_digits()
images = torch.as_tensor(digits.data[:n_images]) / 16
labels = torch.as_tensor(digits.target[:n_images])
params = mlp.init_mlp([64, n_hidden, 10], generator=generator, dtype=images.dtype)
batch_gradients = mlp.backward(mlp.forward(params, images, labels, activation="tanh"))
example_gradients = [
    mlp.backward(mlp.forward(params, row[None], label[None], activation="tanh"))
    for row, label in zip(images, labels, strict=True)
]
for k in (0, 1):
    mean = torch.stack([grads[k].weight for grads in example_gradients]).mean(0)
    assert torch.allclose(batch_gradients[k].weight, mean, rtol=1e-9), "the mean"

# %%
# Gradient checking
# -----------------
#
# A gradient computed by hand can be wrong by a sign or a factor, and training may still reduce the
# loss. To test it, we move the weights a little, here along the gradient, and compare the change of
# :math:`J` with the change that the gradient predicts. If the step is too small, the difference of
# two nearly equal numbers loses its digits. If it is too large, the curvature of the function
# matters. A step that is ten times smaller makes the error of a one-sided difference ten times
# smaller, and that of a two-sided difference a hundred times smaller. A wrong gradient disagrees at
# every step size. Our example omits the slope of the activation: :math:`\mathbf{X}^\top\,\partial
# J/\partial\mathbf{H}`.

direction = batch_gradients[0].weight / batch_gradients[0].weight.norm()
value_gradients = mlp.gradients(mlp.forward(params, images, labels, activation="tanh"))
promised = float((batch_gradients[0].weight * direction).sum())
promised_wrongly = float(((images.T @ value_gradients.h[0]) * direction).sum())


def objective_at(step):
    """Return the objective after a step along the direction."""
    moved = params[0]._replace(weight=params[0].weight + step * direction)
    return float(mlp.forward([moved, params[1]], images, labels, activation="tanh").J)


sizes = [10.0 ** (-11 + i / 2) for i in range(23)]
one_sided, two_sided, wrong = [], [], []
for step in sizes:
    here, ahead, behind = (objective_at(t) for t in (0.0, step, -step))
    one_sided.append(abs((ahead - here) / step / promised - 1))
    two_sided.append(abs((ahead - behind) / (2 * step) / promised - 1))
    wrong.append(abs((ahead - behind) / (2 * step) / promised_wrongly - 1))

at = {exponent: 2 * (exponent + 11) for exponent in (-5, -3, -2, -1)}
claims["The error of a one-sided difference is proportional to the step"] = (
    8 < one_sided[at[-2]] / one_sided[at[-3]] < 12
)
claims["That of a two-sided difference is proportional to its square"] = (
    80 < two_sided[at[-1]] / two_sided[at[-2]] < 120
)
claims["The best agreement has nine digits, and tiny steps lose it again"] = (
    two_sided[at[-5]] < 1e-9 and max(two_sided[:4]) > 1e-7
)
claims["A wrong gradient disagrees at every step"] = min(wrong) > 0.1

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
ax.plot(sizes, one_sided, ".-", label="one-sided")
ax.plot(sizes, wrong, ".-", label="slope omitted")
ax.plot(sizes, two_sided, ".-", label="two-sided")
ax.set(xscale="log", yscale="log", xlabel="step", ylim=(None, 10))
ax.set_ylabel("relative difference")
ax.set_title("A correct gradient agrees with differences")
fig.legend(loc="outside lower center", ncols=3)
fig.set_label(
    "The relative difference between the gradient and a difference quotient against the "
    "step, both on logarithmic axes. As the step shrinks, the one-sided difference falls "
    "to about 1e-8 at 1e-7 and the two-sided one to below 1e-9 at 1e-5; below these "
    "steps they rise again. For the wrong gradient the difference stays above 0.1."
)
plt.show()

# %%
# Such a check takes two forward passes for each direction, and this small network has 2410
# parameters. Backpropagation gives the derivatives with respect to all of them at once. It takes
# two matrix products per layer, where the forward pass takes one.

n_parameters = sum(w.numel() for layer in params for w in layer)
claims["The network has 2410 parameters"] = n_parameters == 2410

# %%
# Conclusion
# ----------
#
# Backpropagation follows the arrows of the graph backwards: it multiplies along each arrow and sums
# where several arrows leave a value. :func:`dlcore.mlp.forward` stores the values that the backward
# pass needs. :func:`dlcore.mlp.gradients` returns the gradient of every box of the graph, and
# :func:`dlcore.mlp.backward` returns only the gradients of the parameters, which an optimizer
# needs. In the backward pass, each layer multiplies the gradient by its weights and by a slope.
# What this does in a deep network is shown in
# :doc:`/auto_gallery/07_propagation/plot_vanishing_and_exploding`.

# %%
# Exercises
# ---------
#
# **1.** The second hidden unit gets a gradient from the penalty alone. What does it get without the
# penalty, and what does this mean for its training?

# Solution
without = mlp.backward(mlp.forward([hidden, output], x, y, loss="squared_loss"))
assert (without[0].weight[:, 1] == 0).all(), (
    "nothing: on this example, the unit stays off"
)

# %%
# **2.** With softmax and cross-entropy in place of the squared loss, what is the gradient of the logits?

# Solution
trace = mlp.forward(params, images, labels)
expected = torch.softmax(trace.o, 1) - torch.eye(10, dtype=images.dtype)[labels]
found = mlp.gradients(trace).o * len(images)  # the loss is a mean
assert torch.allclose(found, expected), "softmax minus label"

# %%
# **3.** Why does a check along a random direction find an error less reliably than one along the gradient?
# Compare what the gradient predicts for both.

# Solution
random_direction = torch.randn(direction.shape, generator=generator, dtype=images.dtype)
random_direction /= random_direction.norm()
along_random = float((batch_gradients[0].weight * random_direction).sum())
claims["Along a random direction, the predicted change is far smaller"] = (
    abs(along_random) < 0.2 * promised
)

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
