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
</auto_gallery/04_mlp/plot_mlp_looked_into>`. *Reading time:* 15 minutes.

Setting
-------

To train the network, we need the derivative of :math:`J` with respect to every weight. Here we
compute these derivatives on numbers that are small enough to follow by hand.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from dlcore import linear, mlp

generator = torch.Generator().manual_seed(0)

# %%
# The forward pass
# ----------------
#
# The network has two inputs, two hidden units with a ReLU, and one output.
# :func:`dlcore.mlp.forward` returns every intermediate value under its name in the formulas. The
# assertions below recompute them by hand.

hidden = linear.LinearParams(
    weight=torch.tensor([[1.0, -1.0], [2.0, 1.0]]), bias=torch.tensor([0.0, -2.0])
)
output = linear.LinearParams(
    weight=torch.tensor([[1.0], [3.0]]), bias=torch.tensor([1.0])
)
x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0]])
trace = mlp.forward([hidden, output], x, y, loss="squared_loss", penalty=1.0)

assert trace.z[0].tolist() == [[1 * 1 + 2 * 2 + 0, 1 * -1 + 2 * 1 - 2]] == [[5, -1]]
assert trace.h[0].tolist() == [[5, 0]]
assert trace.o.tolist() == [[5 * 1 + 0 * 3 + 1]] == [[6]]
assert trace.L == (6 - 4) ** 2 / 2 == 2
assert trace.s == 1 / 2 * (1 + 1 + 4 + 1 + 1 + 9) == 8.5
assert trace.J == 2 + 8.5 == 10.5

# %%
# In the graph, every value has a box, and an arrow leads to it from each value that it is computed
# from. Each weight matrix has two outgoing arrows: one into its layer, and one into the penalty,
# here with :math:`\lambda = 1`.

places = {
    "x": (1, 0),
    "W_1": (0, 0.75),
    "b_1": (2, 0.75),
    "z": (1, 1.5),
    "h": (1, 2.5),
    "W_2": (0, 3.25),
    "b_2": (2, 3.25),
    "o": (1, 4),
    "y": (2, 4.75),
    "s": (0, 5.6),
    "L": (1, 5),
    "J": (1, 6.2),
}
arrows = ["x z", "W_1 z", "b_1 z", "z h", "h o", "W_2 o", "b_2 o", "o L", "y L", "L J"]
arrows += ["W_1 s", "W_2 s", "s J"]


operations = {
    (1, 0.62): (r"$\cdot\,\mathbf{W}_1$", r"$\cdot\,\mathbf{W}_1^\top$"),
    (1, 2): ("ReLU", r"$\odot$ slope (1, 0)"),
    (1, 3): (r"$\cdot\,\mathbf{W}_2$", r"$\cdot\,\mathbf{W}_2^\top$"),
    (1, 4.5): ("½(o − y)²", r"$\cdot\,$(o − y)"),
    (1, 5.6): (r"$+$", r"$\cdot$ 1"),
    (0, 4.5): (r"½‖$\mathbf{W}$‖²", r"$\cdot\,\mathbf{W}$"),
}


def written(value: Tensor) -> str:
    """Return the numbers as text, one line for each row."""
    rows = value.reshape(-1, value.shape[-1] if value.dim() else 1).tolist()
    texts = [[f"{number:g}".replace("-", "−") for number in row] for row in rows]
    width = max(len(text) for row in texts for text in row)
    return "\n".join(" ".join(text.rjust(width) for text in row) for row in texts)


def draw_graph(values: dict[str, Tensor], grads: dict[str, Tensor]) -> plt.Figure:
    """Draw the arrows, and boxes with the values and any gradients."""
    ink = plt.rcParams["text.color"]
    back = bool(grads)
    fig, ax = plt.subplots(figsize=(5.4, 6.6), layout="constrained")
    boxes = {}
    for name, (column, row) in places.items():
        width, height = 0.88, 0.56 if name[0] == "W" else 0.44
        corner = (column - width / 2, row - height / 2)
        style = {"facecolor": "none", "edgecolor": ink, "linewidth": 1}
        boxes[name] = ax.add_patch(plt.Rectangle(corner, width, height, **style))
        symbol = name if name in "LsJ" else rf"\mathbf{{{name[0]}}}{name[1:]}"
        ax.text(column - 0.4, row, f"${symbol}$", va="center")
        style = {"ha": "right", "va": "center", "family": "monospace"}
        ax.text(column + 0.07, row, written(values[name]), color="C0", **style)
        if name in grads:
            ax.text(column + 0.4, row, written(grads[name]), color="C1", **style)
    for start, end in (arrow.split() for arrow in arrows):
        if back and start not in grads:
            continue
        style = {
            "arrowstyle": "<|-" if back else "-|>",
            "color": "C1" if back else "C0",
            "patchA": boxes[start],
            "patchB": boxes[end],
            "connectionstyle": f"arc3,rad={0.55 if (start, end) == ('W_1', 's') else 0}",
        }
        ax.annotate("", places[end], places[start], arrowprops=style)
    for place, texts in operations.items():
        style = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate(texts[back], place, color="C1" if back else "C0", **style)
    ax.set(xlim=(-0.75, 2.46), ylim=(6.45, -0.25))
    ax.axis("off")
    return fig


values = {"x": x, "y": y, "z": trace.z[0], "h": trace.h[0], "o": trace.o}
values |= {"W_1": hidden.weight, "b_1": hidden.bias}
values |= {"W_2": output.weight, "b_2": output.bias}
values |= {"L": trace.L, "s": trace.s, "J": trace.J}

fig = draw_graph(values, {})
fig.axes[0].set_title("Forward pass: each value follows from those above it")
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
dw2 = trace.h[0].T @ do + ds * output.weight  # two arrows leave a weight
db2 = do[0]
dw1 = x.T @ dz + ds * hidden.weight
db1 = dz[0]

assert do.tolist() == [[2]]
assert dh.tolist() == [[2 * 1, 2 * 3]]
assert dz.tolist() == [[2, 0]]
assert dw2.tolist() == [[5 * 2 + 1], [0 * 2 + 3]] == [[11], [3]]
assert dw1.tolist() == [[1 * 2 + 1, 0 - 1], [2 * 2 + 2, 0 + 1]] == [[3, -1], [6, 1]]

# %%
# The second hidden unit is off, at :math:`-1`, where the slope of the ReLU is 0, so nothing of the
# gradient of 6 passes through it. Its weights get the gradient :math:`(-1, 1)`, which comes from
# the penalty alone. :func:`dlcore.mlp.gradients` finds the same gradients by the same steps, and so
# does torch, from the graph that it records.

found = mlp.gradients(trace)
assert found.o.equal(do)
assert found.h[0].equal(dh)
assert found.z[0].equal(dz)
assert found.x.equal(dx)
for ours, theirs in zip(mlp.backward(trace), [(dw1, db1), (dw2, db2)], strict=True):
    assert ours.weight.equal(theirs[0])
    assert ours.bias.equal(theirs[1])

leaves = [w.clone().requires_grad_() for w in (*hidden, *output)]
layers = [linear.LinearParams(*leaves[:2]), linear.LinearParams(*leaves[2:])]
objective = mlp.forward(layers, x, y, loss="squared_loss", penalty=1.0).J
by_autograd = torch.autograd.grad(objective, leaves, retain_graph=True)
for ours, theirs in zip((dw1, db1, dw2, db2), by_autograd, strict=True):
    assert ours.equal(theirs)

grads = {"x": dx, "z": dz, "h": dh, "o": do, "W_1": dw1, "b_1": db1}
grads |= {
    "W_2": dw2,
    "b_2": db2,
    "L": dl,
    "s": ds,
    "J": torch.ones(()),
}
fig = draw_graph(values, grads)
fig.axes[0].set_title("Backward pass: each gradient follows from those below it")
fig.set_label(
    "The same graph with the arrows reversed and, next to each value, its gradient: 1 at "
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
    assert leaves[0].grad.equal(calls * dw1)

# %%
# What "prod" means in the chain rule
# -----------------------------------
#
# The chain rule is often written :math:`\frac{\partial J}{\partial\mathbf{W}_1} =
# \operatorname{prod}\bigl(\frac{\partial J}{\partial\mathbf{z}},
# \frac{\partial\mathbf{z}}{\partial\mathbf{W}_1}\bigr)`, with an operator that "does the
# necessary". The second factor is the derivative of a vector with respect to a matrix: an array
# with three axes, most of whose entries are zero. The necessary operation is to sum over the axis
# that the factors share, the axis of :math:`\mathbf{z}`. For a linear layer the result is an outer
# product, and the large array is never formed.


def layer(weight: Tensor) -> Tensor:
    """Return the pre-activations of the hidden layer."""
    return x[0] @ weight + hidden.bias


jacobian = torch.func.jacrev(layer)(hidden.weight)
assert jacobian.shape == (2, 2, 2)
assert (jacobian == 0).sum() == 4
assert torch.einsum("k,kij->ij", dz[0], jacobian).equal(torch.outer(x[0], dz[0]))

# %%
# A batch needs no new formula. With one example in each row of :math:`\mathbf{X}`, the product
# :math:`\mathbf{X}^\top\,\partial J/\partial\mathbf{Z}` sums the outer products of all rows. Since
# the loss is the mean over the batch, the gradient is the mean too. Here we check it with 100
# digits and 32 hidden units.

digits = load_digits()
images = torch.as_tensor(digits.data[:100]) / 16
labels = torch.as_tensor(digits.target[:100])
params = mlp.init_mlp([64, 32, 10], generator=generator, dtype=images.dtype)
batch_gradients = mlp.backward(mlp.forward(params, images, labels, activation="tanh"))
example_gradients = [
    mlp.backward(mlp.forward(params, row[None], label[None], activation="tanh"))
    for row, label in zip(images, labels, strict=True)
]
for k in (0, 1):
    mean = torch.stack([grads[k].weight for grads in example_gradients]).mean(0)
    assert torch.allclose(batch_gradients[k].weight, mean, rtol=1e-12)

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


def objective_at(step: float) -> float:
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
assert 8 < one_sided[at[-2]] / one_sided[at[-3]] < 12
assert 80 < two_sided[at[-1]] / two_sided[at[-2]] < 120
assert two_sided[at[-5]] < 1e-9
assert max(two_sided[:4]) > 1e-7
assert min(wrong) > 0.1


ink = plt.rcParams["text.color"]
fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for values, color in [(one_sided, "C0"), (two_sided, "C2"), (wrong, "C1")]:
    ax.plot(sizes, values, ".-", color=color)
ax.text(1e-11, 0.5, "slope omitted", color="C1")
ax.text(2e-5, 1e-4, "one-sided", color="C0", ha="right")
ax.text(1e-3, 1e-8, "two-sided", color="C2")
ax.set(xscale="log", yscale="log", ylim=(None, 10))
ax.set(xlabel="step", ylabel="relative difference from the gradient")
ax.set_title("A correct gradient agrees up to truncation and rounding")
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

assert sum(w.numel() for layer in params for w in layer) == 2410

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
