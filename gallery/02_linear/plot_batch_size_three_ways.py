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

*Prerequisites:* linear regression and gradients.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes

from dlcore import batches, linear, losses, optim, risk, training

# Change these numbers and run the script again.
seed = 0
lr = 0.1
batch_size = 34  # divides the 442 rows evenly
uneven_batch_size = 88  # leaves a last batch of two rows
epochs = 4
n_runs = 8
claims = {}

# %%
# The mean gradient of a minibatch
# --------------------------------
#
# A step of minibatch stochastic gradient descent follows the *mean* gradient of a batch
# :math:`\mathcal{B}`. The division can be written in the loss, as a mean, or in the step, after a
# sum. Both are common, so people divide twice, or never. We measure what each mistake costs, on
# scikit-learn's bundled diabetes data: 442 patients, ten measurements, and the progression of the
# disease one year later.

diabetes = load_diabetes()
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
x = (x - x.mean(dim=0)) / x.std(dim=0)
y = (y - y.mean()) / y.std()
start = (torch.zeros(10, dtype=x.dtype), torch.zeros((), dtype=x.dtype))


def per_example(params, x, y):
    """Return the loss of each row."""
    return losses.squared_loss(linear.linear(x, *params), y)


def mean_loss(params, x, y):
    """Return the mean loss of a batch."""
    return per_example(params, x, y).mean()


# %%
# The correct loop has six lines:

params = start
generator = torch.Generator().manual_seed(seed)
for _ in range(epochs):
    for rows in batches.minibatches(x, y, batch_size=batch_size, generator=generator):
        grads = torch.func.grad(mean_loss)(params, *rows)
        params = optim.sgd_step(params, grads, lr=lr)

# %%
# To compare it with the mistakes, we need a loop with a choice of how to reduce the losses of a
# batch and what to divide by in the step.


def descend(reduce, divisor=None, *, lr=lr, seed=seed, **options):
    """Return the parameters after each step; by default, divide by the batch's length."""
    generator = torch.Generator().manual_seed(seed)
    params = [p.clone().requires_grad_() for p in start]
    path = []
    for _ in range(options.pop("epochs")):
        for rows in batches.minibatches(x, y, generator=generator, **options):
            reduce(per_example(params, *rows)).backward()
            optim.sgd_(params, lr=lr, batch_size=divisor or len(rows[0]))
            path.append(tuple(p.detach().clone() for p in params))
    return path


# %%
# All loops start at zero and see the same batches in the same order. Two of them divide once. The
# first sums the losses and divides in the step, as in the notes; the second takes the mean and
# divides nowhere else. The other two make a mistake. If you pass the batch size to the step *and*
# take the mean, you divide twice, and each step is 34 times too short. There is no warning; the
# loss falls, but slowly. If you take the sum and do not divide, each step is 34 times too long, and
# with this learning rate the loss diverges within an epoch.

options = {"batch_size": batch_size, "epochs": epochs}
paths = {
    "sum, divided in the step": descend(torch.sum, **options),
    "mean": descend(torch.mean, 1, **options),
    "divided twice": descend(torch.mean, **options),
    "never divided": descend(torch.sum, 1, **options),
}
of_sum, of_mean, twice, never = paths.values()
best = linear.least_squares(x, y)
least = per_example(best, x, y).mean()


def excess(path):
    """Return the mean loss minus its minimum, after each step."""
    return torch.stack([per_example(p, x, y).mean() for p in path]) - least


curves = {name: excess([start, *path]) for name, path in paths.items()}
at_start = float(curves["mean"][0])
claims["Divided once, the loss falls below a twentieth"] = (
    curves["mean"][-1] < 0.05 * at_start
)
claims["Divided twice, it stays above 30 %"] = (
    curves["divided twice"][-1] > 0.3 * at_start
)
claims["Never divided, it diverges within an epoch"] = not (
    curves["never divided"][len(never) // epochs] < 1e6 * at_start
)

# Figure
fig, ax = plt.subplots(layout="constrained")
for (name, curve), width in zip(curves.items(), (6, 2, 2, 2), strict=True):
    ax.plot(curve.clamp(max=9), label=name, linewidth=width)
ax.set(yscale="log", ylim=(1e-3, 4), xlabel="steps", ylabel="excess loss")
ax.set_title("Dividing twice is slow, never dividing diverges")
ax.legend()
fig.set_label(
    "The excess loss against the number of steps, on a logarithmic axis. Sum and "
    "mean, divided once, lie on top of each other and fall from 0.25 to less than "
    "0.01. Divided twice, the loss has only fallen to 0.12 after 52 steps. Never "
    "divided, it leaves the figure at the top with the first step."
)
plt.show()

# %%
# The figure shows the *excess loss*, the mean loss minus its minimum. The two correct loops agree
# at every step, and :func:`dlcore.training.fit`, which takes the loss of each row and the data,
# agrees with them.


def agree(a, b):
    """Tell whether two pairs of parameters agree up to rounding."""
    return all(map(lambda p, q: torch.allclose(p, q, rtol=1e-9, atol=1e-12), a, b))


generator = torch.Generator().manual_seed(seed)
history = training.fit(
    per_example, start, (x, y), lr=lr, generator=generator, **options
)
claims["The two correct loops agree"] = all(map(agree, of_sum, of_mean))
claims["The function fit agrees with them"] = agree(history.params, of_sum[-1])
claims["So does the loop of six lines"] = agree(params, of_sum[-1])
length = min(batch_size, len(x))
assert torch.allclose(length * twice[0][0], of_sum[0][0]), "twice is too short"
assert torch.allclose(never[0][0], length * of_sum[0][0]), "never is too long"

# %%
# A learning rate 34 times as large hides the first mistake, and one 34 times as small the second.
# That is why both survive in working code, until someone changes the batch size.

hidden = descend(torch.mean, lr=lr * batch_size, **options)
claims["A larger rate hides that you divided twice"] = agree(hidden[-1], of_mean[-1])
hidden = descend(torch.sum, 1, lr=lr / batch_size, **options)
claims["A smaller rate hides that you never divided"] = agree(hidden[-1], of_mean[-1])

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
)(start, x, y)[0]
full = per_row.mean(dim=0)
along = per_row @ full / full.square().sum()
assert torch.isclose(along.mean(), torch.ones_like(least)), "1 on average"

n = len(x)
sizes = 2 ** torch.arange(9)
drawn = torch.rand(1000, n, generator=generator).argsort(dim=1)
sums = along[drawn].cumsum(dim=1)[:, sizes - 1]
means = sums / sizes
expected = along.std(correction=0) * ((n - sizes) / (n - 1) / sizes).double().sqrt()
ones = torch.ones_like(expected)
claims["The expected step with the sum grows like the batch"] = torch.allclose(
    sums.mean(dim=0), sizes.double(), rtol=0.2
)
claims["The expected step with the mean does not depend on the batch"] = torch.allclose(
    means.mean(dim=0), ones, atol=0.2
)
claims["The scatter is that of the formula"] = torch.allclose(
    means.std(dim=0), expected, rtol=0.1
)
assert abs(expected[2] / expected[0] - 0.5) < 0.01, "four rows halve the noise"

# Figure
fig, axes = plt.subplots(1, 2, figsize=(5.6, 3.3), layout="constrained")
axes[0].loglog(sizes, sums.mean(dim=0), "o-C1", label="sum")
axes[0].loglog(sizes, means.mean(dim=0), "o-C0", label="mean")
axes[0].set(xlabel="batch size", ylabel="in full gradients", title="Length of a step")
axes[1].loglog(sizes, means.std(dim=0), "oC0", label="mean")
axes[1].loglog(sizes, expected, "--C2", label="formula")
axes[1].set(xlabel="batch size", title="Its scatter")
[ax.legend() for ax in axes]
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
#
# Which way is best? Dividing by its own length has a disadvantage. The mean of two rows makes a
# step of full length whose scatter is more than six times that of the mean of 88. It comes once in
# every epoch and undoes part of what the five steps before it achieved. Here is the loss after each
# epoch, over eight runs with different shuffles:

last = n % uneven_batch_size or uneven_batch_size
scatter = {k: along[drawn[:, :k]].mean(dim=1).std() for k in (last, uneven_batch_size)}
claims["The mean of the last batch scatters six times as much"] = (
    scatter[last] > 6 * scatter[uneven_batch_size]
)


def after_epochs(divisor, batch_size=uneven_batch_size, **options):
    """Return the excess loss after each of 30 epochs, for each run."""
    options |= {"batch_size": batch_size, "epochs": 30}
    runs = [
        descend(torch.sum, divisor, seed=seed + i, **options) for i in range(n_runs)
    ]
    per_epoch = len(runs[0]) // 30
    return torch.stack([excess(path[per_epoch - 1 :: per_epoch]) for path in runs])


runs = {
    "divided by its own length": after_epochs(None),
    "divided by the batch size": after_epochs(uneven_batch_size),
    "left out": after_epochs(uneven_batch_size, drop_last=True),
}

# %%
# After the tenth epoch, the excess loss is more than eight times as large if the last batch is
# divided by its own length as with either of the other ways. These two are almost equal: two rows
# out of 442 hardly matter, whether they make one tiny step or none. So leave out a last batch that
# is *very* short, or weight it by its number of rows. If the last batch is about half full, the
# effect is small: at a batch size of 59 it has 29 rows, and dividing by its own length gives less
# than twice the excess loss of the fixed divisor.

own, fixed, left_out = (float(of_way[:, 10:].mean()) for of_way in runs.values())
claims["Dividing two rows by two costs eight times the excess loss"] = own > 8 * fixed
claims["Leaving them out changes little"] = 0.8 < left_out / fixed < 1.25
own, fixed = (float(after_epochs(divisor, 59)[:, 10:].mean()) for divisor in (None, 59))
claims["A last batch that is half full matters little"] = fixed < own < 2 * fixed

# Figure
fig, ax = plt.subplots(layout="constrained")
for (name, of_way), width in zip(runs.items(), (2, 6, 2), strict=True):
    shown = of_way.clamp(max=9)
    ax.plot(range(1, 31), shown.quantile(0.5, dim=0), label=name, linewidth=width)
    ax.fill_between(range(1, 31), shown.amin(dim=0), shown.amax(dim=0), alpha=0.2)
ax.set(yscale="log", xlabel="epoch", ylabel="excess loss", ylim=(None, 1))
ax.set_title("Three ways to treat a short last batch")
ax.legend()
fig.set_label(
    "The excess loss after each epoch, on a logarithmic axis: the median of eight "
    "runs, with a band from the lowest to the highest. If the short batch "
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

in_order = batches.minibatches(x, y, batch_size=uneven_batch_size, shuffle=False)
parts = [per_example(best, *rows) for rows in in_order]
of_batches = torch.stack([part.mean() for part in parts])
lengths = torch.tensor([len(part) for part in parts])
claims["The mean of batch means is wrong by more than 5 %"] = (
    abs(of_batches.mean() - least) > 0.05 * least
)
assert torch.isclose(torch.cat(parts).mean(), least), "the mean over rows is right"
weighted = (lengths * of_batches).sum() / lengths.sum()
assert torch.isclose(weighted, least), "and so is the weighted mean"

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

# %%
# Exercises
# ---------
#
# **1.** Your code sums the losses and never divides, with a learning rate of 0.01 that works for
# batches of 16 rows. You double the batch size. Which learning rate keeps the expected step?

# Solution
of_16, of_32 = sums.mean(dim=0)[4:6]
claims["Half the learning rate keeps the expected step"] = (
    abs(of_32 / 2 / of_16 - 1) < 0.1
)

# %%
# **2.** You accumulate the gradients of four batches of 8 rows before each step. What must you
# divide by to get the step of one batch of 32 rows?

# Solution
gradient = torch.func.grad(mean_loss)
whole = gradient(start, x[:32], y[:32])
parts = [gradient(start, x[i : i + 8], y[i : i + 8])[0] for i in (0, 8, 16, 24)]
right = torch.allclose(sum(parts) / 4, whole[0])
assert right, "divide the sum of the four mean gradients by the number of batches, 4"

# %%
# **3.** Each of several processes holds some of the rows, and one of them holds fewer than the
# others. Each computes the mean loss of its own rows, and you average these means. What is wrong
# with this, and how does :func:`dlcore.batches.shard_rows` help? (The solution runs in one process;
# ``torchrun`` starts several.)

# Solution
own, other = per_example(best, x[:88], y[:88]), per_example(best, x[88:90], y[88:90])
both = torch.cat([own, other])
claims["The average of two means is not the mean"] = not torch.isclose(
    (own.mean() + other.mean()) / 2, both.mean(), rtol=0.01
)
store = torch.distributed.HashStore()
torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
mesh = torch.distributed.init_device_mesh("cpu", (1,))
mean = risk.empirical_risk(batches.shard_rows(both, mesh))
torch.distributed.destroy_process_group()
assert mean.isclose(both.mean()), "the mean over the rows, wherever they are"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
