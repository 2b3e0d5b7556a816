r"""
Minibatch SGD: when do you divide by the batch size?
====================================================

Divide the gradient by the batch size exactly once; dividing twice or never spoils the step.

In short
--------

Divide exactly once by the number of rows in the batch: either take the mean of the losses, or
divide their sum in the step. A very short last batch is best left out, because its mean gradient is
noisy.

.. math::

    \mathbf{w} \leftarrow \mathbf{w} - \frac{\eta}{|\mathcal{B}|}
        \sum_{i\in\mathcal{B}} \partial_{\mathbf{w}}\, l^{(i)}(\mathbf{w}) .

*Prerequisites:* linear regression and gradients. *Reading time:* 12 minutes.

The mean gradient of a minibatch
--------------------------------

A step of minibatch stochastic gradient descent follows the *mean* gradient of a batch
:math:`\mathcal{B}`. The division can be written in the loss, as a mean, or in the step, after a
sum. Both are common, so people divide twice, or never. And the last batch of an epoch may be
shorter than the others: what do you divide it by? This tutorial shows the correct ways and measures
what each mistake costs, on scikit-learn's bundled diabetes data: 442 patients, ten measurements,
and the progression of the disease one year later.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes

from dlcore import batches, linear, losses, optim, training

diabetes = load_diabetes()
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
x = (x - x.mean(dim=0)) / x.std(dim=0)
y = (y - y.mean()) / y.std()
assert x.shape == (442, 10)

# %%
# Dividing once, in the loss or in the step
# -----------------------------------------
#
# We begin with a batch size that divides evenly: 442 is 13 times 34. Three loops start at zero and
# see the same batches in the same order. The first sums the losses and divides in the step, as in
# the notes; the second takes the mean and divides nowhere else; the third calls
# :func:`dlcore.training.fit`.


def start() -> tuple[torch.Tensor, torch.Tensor]:
    """Return a weight and a bias of zero."""
    return torch.zeros(10, dtype=x.dtype), torch.zeros((), dtype=x.dtype)


def per_example(params, x, y):
    """Return the loss of each row."""
    return losses.squared_loss(linear.linear(x, *params), y)


def descend(
    reduce, divisor=None, *, batch_size, epochs, lr=0.1, seed=0, drop_last=False
):
    """Return the parameters after each step; by default, divide by the batch's length."""
    generator = torch.Generator().manual_seed(seed)
    params = [p.requires_grad_() for p in start()]
    path = []
    for _ in range(epochs):
        for rows in batches.minibatches(
            x, y, batch_size=batch_size, drop_last=drop_last, generator=generator
        ):
            reduce(per_example(params, *rows)).backward()
            optim.sgd_(params, lr=lr, batch_size=divisor or len(rows[0]))
            path.append(tuple(p.detach().clone() for p in params))
    return path


options = {"batch_size": 34, "epochs": 4}
of_sum = descend(torch.sum, **options)
of_mean = descend(torch.mean, 1, **options)
for ours, theirs in zip(of_sum, of_mean, strict=True):
    assert torch.allclose(ours[0], theirs[0], rtol=1e-9, atol=1e-12)
    assert torch.allclose(ours[1], theirs[1], rtol=1e-9, atol=1e-12)

generator = torch.Generator().manual_seed(0)
history = training.fit(
    per_example, start(), (x, y), lr=0.1, generator=generator, **options
)
assert torch.allclose(history.params[0], of_sum[-1][0], rtol=1e-9, atol=1e-12)

# %%
# Dividing twice, or never
# ------------------------
#
# Now the two mistakes. If you pass the batch size to the step *and* take the mean, you divide
# twice, and each step is 34 times too short. There is no warning; the loss falls, but slowly. If
# you take the sum and do not divide, each step is 34 times too long, and with this learning rate
# the loss diverges within an epoch.

twice = descend(torch.mean, **options)
never = descend(torch.sum, 1, **options)
assert torch.allclose(34 * twice[0][0], of_sum[0][0])
assert torch.allclose(never[0][0], 34 * of_sum[0][0])

best = linear.least_squares(x, y)
least = float(per_example(best, x, y).mean())


def excess(path):
    """Return the mean loss minus its minimum, after each step."""
    return torch.stack([per_example(p, x, y).mean() for p in path]) - least


curves = {"sum": of_sum, "mean": of_mean, "twice": twice, "never": never}
curves = {name: excess([start(), *path]) for name, path in curves.items()}
at_start = float(excess([start()]))
assert curves["mean"][-1] < 0.05 * at_start
assert curves["twice"][-1] > 0.3 * at_start
assert curves["never"][13] > 1e6 * at_start

# %%
# A learning rate 34 times as large hides the first mistake, and one 34 times as small the second.
# That is why both survive in working code, until someone changes the batch size. The figure shows
# the *excess loss*, the mean loss minus its minimum.

for hidden in (
    descend(torch.mean, lr=0.1 * 34, **options),
    descend(torch.sum, 1, lr=0.1 / 34, **options),
):
    assert torch.allclose(hidden[-1][0], of_mean[-1][0], rtol=1e-9, atol=1e-12)

ink = plt.rcParams["text.color"]
steps = range(53)
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
ax.plot(steps, curves["sum"], color="C0", linewidth=8, alpha=0.4)
ax.plot(steps, curves["mean"], color="C0", linewidth=2)
ax.plot(steps, curves["twice"], color="C1")
ax.plot(steps[:13], curves["never"][:13], color="C2")
ax.axhline(at_start, color=ink, linewidth=1, linestyle="--")
ax.text(52, at_start * 1.15, "start of all runs", ha="right")
ax.text(52, 0.145, "divided twice", color="C1", ha="right", va="bottom")
ax.text(30, 0.02, "divided once:\nsum, or mean", color="C0", ha="center", va="bottom")
ax.text(2, 1.2, "never divided", color="C2")
ax.set(yscale="log", ylim=(1e-3, 3), xlim=(-1, 53))
ax.set(xlabel="steps", ylabel="excess loss")
ax.set_title("Dividing twice is slow, never dividing diverges")
fig.set_label(
    "The excess loss against the number of steps, on a logarithmic axis. Sum and "
    "mean, divided once, lie on top of each other and fall from 0.25 to less than "
    "0.01. Divided twice, the loss has only fallen to 0.12 after 52 steps. Never "
    "divided, it leaves the figure at the top with the first step."
)
plt.show()

# %%
# Why divide at all?
# ------------------
#
# The sum would also work, with another learning rate. But with the mean, a learning rate keeps its
# meaning when the batch size changes: the expected step is that of the whole data set, whatever the
# batch size. The batch size changes only the scatter around it. For :math:`|\mathcal{B}|` rows out
# of :math:`n` it is
#
# .. math::
#
#     \operatorname{std} = \sigma_1 \sqrt{\frac{1}{|\mathcal{B}|}\,\frac{n - |\mathcal{B}|}{n - 1}} ,
#
# where :math:`\sigma_1` is the standard deviation over single rows. As long as a batch is small
# compared with the data, four times as many rows halve the noise; a batch of all rows has none. We
# measure this at the start of training, along the direction of the full gradient, over a thousand
# batches of each size:

per_row = torch.func.vmap(
    torch.func.grad(lambda p, x, y: per_example(p, x[None], y[None])[0]),
    in_dims=(None, 0, 0),
)(start(), x, y)[0]
full = per_row.mean(dim=0)
along = per_row @ full / full.square().sum()  # 1 on average
assert torch.isclose(along.mean(), torch.tensor(1.0, dtype=x.dtype))

generator = torch.Generator().manual_seed(1)
sizes = 2 ** torch.arange(9)
drawn = torch.rand(1000, len(x), generator=generator).argsort(dim=1)
sums = along[drawn].cumsum(dim=1)[:, sizes - 1]
means = sums / sizes
expected = along.std(correction=0) * ((442 - sizes) / 441 / sizes).double().sqrt()
assert torch.allclose(sums.mean(dim=0), sizes.double(), rtol=0.2)
assert torch.allclose(means.mean(dim=0), torch.ones_like(expected), atol=0.2)
assert torch.allclose(means.std(dim=0), expected, rtol=0.1)
assert abs(expected[2] / expected[0] - 0.5) < 0.01

fig, axes = plt.subplots(1, 2, figsize=(6, 3.5), layout="constrained")
axes[0].plot(sizes, sums.mean(dim=0), "o-", color="C1")
axes[0].plot(sizes, means.mean(dim=0), "o-", color="C0")
axes[0].text(10, 30, "sum", color="C1", ha="right")
axes[0].text(20, 1.3, "mean", color="C0")
axes[0].set(ylim=(0.2, 500), title="Length of a step …")
axes[1].plot(sizes, expected, color=ink, linewidth=1, linestyle="--")
axes[1].plot(sizes, means.std(dim=0), "o", color="C0")
axes[1].text(2.6, 1.1, "mean, measured", color="C0")
axes[1].text(22, 0.19, "formula", ha="right")
axes[1].set(title="… and its scatter")
for ax in axes:
    ax.set(xscale="log", yscale="log", xlabel="batch size")
    ax.set_xticks([1, 10, 100], labels=["1", "10", "100"])
axes[0].set_yticks([1, 10, 100], labels=["1", "10", "100"])
axes[0].set_ylabel("in units of the full gradient")
axes[1].set_yticks([0.1, 1], labels=["0.1", "1"])
fig.set_label(
    "Two panels against the batch size, all axes logarithmic. Left, the expected step "
    "along the full gradient: with the sum it grows in proportion to the batch size, "
    "with the mean it stays at 1. Right, the scatter of the step with the mean: the "
    "measured points lie on the line of the formula, which falls like one over the "
    "square root of the batch size, and a little faster towards the end."
)
plt.show()

# %%
# The short last batch
# --------------------
#
# With a batch size of 88, five batches are full and the last one holds two rows: 442 = 5 · 88 + 2.
# There are three ways to treat it. You can divide by its *own* length, 2, as the formula says. You
# can always divide by 88, as a loop with one fixed ``batch_size`` does; this makes the last step 44
# times shorter than the formula says. Or you can leave the batch out.

own = descend(torch.sum, batch_size=88, epochs=1)
fixed = descend(torch.sum, 88, batch_size=88, epochs=1)
dropped = descend(torch.sum, 88, batch_size=88, epochs=1, drop_last=True)
assert (len(own), len(fixed), len(dropped)) == (6, 6, 5)
assert all(torch.equal(a[0], b[0]) for a, b in zip(own[:5], fixed[:5], strict=True))
assert torch.allclose(own[5][0] - own[4][0], 44 * (fixed[5][0] - fixed[4][0]))

# %%
# In code, a sum and a mean give the same model again if the step receives the length of *this*
# batch.

same = descend(torch.mean, 1, batch_size=88, epochs=1)
assert all(torch.allclose(a[0], b[0]) for a, b in zip(own, same, strict=True))

# %%
# Which way is best? Dividing by its own length has a disadvantage. The mean of two rows makes a
# step of full length whose scatter is more than six times that of the mean of 88. It comes once in
# every epoch and undoes part of what the five steps before it achieved. Here is the loss after each
# epoch, over twelve runs with different shuffles:

pair, batch = (along[drawn[:, :size]].mean(dim=1).std() for size in (2, 88))
assert pair > 6 * batch


def after_epochs(divisor, *, batch_size, n_runs=12, drop_last=False):
    """Return the excess loss after each of 30 epochs, for each run."""
    options = {"batch_size": batch_size, "epochs": 30, "drop_last": drop_last}
    runs = [descend(torch.sum, divisor, seed=run, **options) for run in range(n_runs)]
    per_epoch = len(runs[0]) // 30
    return torch.stack([excess(path[per_epoch - 1 :: per_epoch]) for path in runs])


curves = {
    "its own length": after_epochs(None, batch_size=88),
    "the batch size": after_epochs(88, batch_size=88),
    "left out": after_epochs(88, batch_size=88, drop_last=True),
}

# %%
# After the tenth epoch, the excess loss is more than eight times as large if the last batch is
# divided by its own length as with either of the other ways. These two are almost equal: two rows
# out of 442 hardly matter, whether they make one tiny step or none. So leave out a last batch that
# is *very* short, or weight it by its number of rows. If the last batch is about half full, the
# effect is small: at a batch size of 59 it has 29 rows, and dividing by its own length gives less
# than twice the excess loss of the fixed divisor.

late = {name: float(runs[:, 10:].mean()) for name, runs in curves.items()}
assert late["its own length"] > 8 * late["the batch size"]
assert 0.8 < late["left out"] / late["the batch size"] < 1.25

of_own, of_fixed = (
    after_epochs(divisor, batch_size=59, n_runs=5)[:, 10:].mean()
    for divisor in (None, 59)
)
assert of_fixed < of_own < 2 * of_fixed

fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
epochs = range(1, 31)
for i, runs in enumerate(curves.values()):
    low, middle, high = runs.quantile(
        torch.tensor([0.1, 0.5, 0.9], dtype=x.dtype), dim=0
    )
    ax.plot(epochs, middle, color=f"C{i}", linewidth=6 if i == 1 else 2)
    ax.lines[-1].set_alpha(0.5 if i == 1 else 1)
    ax.fill_between(epochs, low, high, color=f"C{i}", alpha=0.2, linewidth=0)
ax.text(29.6, 0.12, "divided by its own length", color="C0", ha="right")
ax.text(29.6, 0.001, "divided by the batch size", color="C1", ha="right")
ax.text(29.6, 0.0007, "or left out", color="C2", ha="right")
ax.set(yscale="log", ylim=(5e-4, 0.2), xlim=(1, 30))
ax.set(xlabel="epoch", ylabel="excess loss")
ax.set_title("Three ways to treat a last batch of two rows")
fig.set_label(
    "The excess loss after each epoch, on a logarithmic axis: the median of twelve "
    "runs, with a band from the tenth to the ninetieth percentile. If the short batch "
    "is divided by its own length, the loss stays near 0.02 with a wide band. If it "
    "is divided by the full batch size, or left out, the loss falls to less than "
    "0.002."
)
plt.show()

# %%
# The mean of batch means is not the mean loss
# --------------------------------------------
#
# The short batch can also bias the report after training. The mean over the batches of their mean
# losses is not the mean loss: the two rows at the end count as much as 88 others. Weight each batch
# by its length, or keep the losses of the examples.

parts = [
    per_example(best, *rows)
    for rows in batches.minibatches(x, y, batch_size=88, shuffle=False)
]
of_batches = torch.stack([part.mean() for part in parts])
lengths = torch.tensor([len(part) for part in parts])
assert lengths.tolist() == [88, 88, 88, 88, 88, 2]
assert abs(of_batches.mean() - least) > 0.05 * least
assert torch.isclose(torch.cat(parts).mean(), torch.tensor(least, dtype=x.dtype))
weighted = (lengths * of_batches).sum() / lengths.sum()
assert torch.isclose(weighted, torch.tensor(least, dtype=x.dtype))

# %%
# Conclusion
# ----------
#
# Divide once, by the length of the current batch: take the mean of the losses and pass nothing to
# :func:`dlcore.optim.sgd_`, or take their sum and pass ``batch_size=len(batch)``. dlcore's losses
# are per example, so the choice is visible in the code, and :func:`dlcore.optim.sgd_step` does not
# divide. :func:`dlcore.batches.minibatches` leaves out a short last batch with ``drop_last=True``;
# the next epoch shuffles again, so its rows are used then. The tutorial on :doc:`squared, Huber and
# absolute loss </auto_gallery/02_linear/plot_noise_to_loss>` explains why the loss of a row is
# squared in the first place.
