r"""
Data-parallel training: do two processes take the steps of one?
===============================================================

Yes, if they add up sums and counts. If each takes the mean over its own rows, the average of these
means is another gradient.

In short
--------

Each process sums the gradients of the rows that it holds, and one exchange adds up the sums and the
numbers of rows. An average of means gives each *process* the same weight instead of each row, so
training converges to another model.

.. math::

    \mathbf{g} = \frac{1}{|\mathcal{B}|} \sum_{p=1}^{W} \sum_{i\in\mathcal{B}_p}
        \partial_{\mathbf{w}}\, l^{(i)}
    \;\neq\; \frac1W \sum_{p=1}^{W} \frac{1}{|\mathcal{B}_p|} \sum_{i\in\mathcal{B}_p}
        \partial_{\mathbf{w}}\, l^{(i)} .

*Prerequisites:* :doc:`minibatches </auto_gallery/02_linear/plot_batch_size_three_ways>`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes

from dlcore import linear, losses, model_selection, optim, risk, training

# Change these numbers and run the script again.
seed = 0
share = 0.15  # of the rows, which the first process has
lr = 0.05
batch_size = 34
epochs = 10
claims = {}

# %%
# Rows in two places
# ------------------
#
# Two processes hold the 442 diabetes patients of scikit-learn: the first has those whose disease
# progressed least, 15 % of them, and the second has the others. Real shards often differ like this,
# because each hospital, day or sensor writes its own file. One process with all rows is what both
# should agree with.

diabetes = load_diabetes()
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
x, y = (model_selection.standardize(values)(values) for values in (x, y))
x, y = x[y.argsort()], y.sort().values
n = len(x)
n_first = min(max(round(share * n), 1), n - 1)
parts = [(x[:n_first], y[:n_first]), (x[n_first:], y[n_first:])]

start = linear.LinearParams(torch.zeros_like(x[0]), torch.zeros_like(y[0]))
options = {"epochs": epochs, "batch_size": batch_size, "lr": lr}


def loss(params, x, y):
    """Return the loss of each row."""
    return losses.squared_loss(linear.linear(x, *params), y)


generator = torch.Generator().manual_seed(seed)
alone = training.fit(loss, start, (x, y), generator=generator, **options)

# %%
# The same call on two processes
# ------------------------------
#
# The script for two processes has the same call. New are the lines that start the group and make
# one tensor of the parts: :func:`dlcore.batches.shard_rows` returns a ``DTensor`` of all rows, of
# which each process holds a shard. All processes draw the same order of the rows, so each needs a
# generator with the same seed. Its loss gets the rows of a batch that its process holds.

script = """
import torch
from torch import distributed as dist
from dlcore import batches, linear, losses, training

def loss(params, x, y):
    return losses.squared_loss(linear.linear(x, *params), y)

dist.init_process_group("gloo")
mesh = dist.init_device_mesh("cpu", (dist.get_world_size(),))
given = torch.load("given.pt")
x, y = (batches.shard_rows(rows, mesh) for rows in given["parts"][dist.get_rank()])

generator = torch.Generator().manual_seed(given["seed"])
start = linear.LinearParams(*given["start"])
history = training.fit(loss, start, (x, y), generator=generator, **given["options"])
minimum = linear.least_squares(x, y)

if dist.get_rank() == 0:
    torch.save({"history": history.state, "minimum": tuple(minimum)}, "found.pt")
dist.destroy_process_group()
"""

# %%
# On one machine, ``torchrun --nproc_per_node 2 script.py`` starts it, and here the same from Python.
# On many machines the command is given on each of them, with the address of the first; the
# :doc:`guide </guide/sharded>` has it. The script reads its part of the rows and saves what it
# found.

with tempfile.TemporaryDirectory() as folder:
    text = script.replace("given.pt", f"{folder}/given.pt").replace(
        "found.pt", f"{folder}/found.pt"
    )
    Path(folder, "script.py").write_text(text)
    given = {"parts": parts, "seed": seed, "start": tuple(start), "options": options}
    torch.save(given, f"{folder}/given.pt")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    subprocess.run([*torchrun, "--standalone", f"{folder}/script.py"], check=True)
    found = torch.load(f"{folder}/found.pt")

# %%
# The losses of all epochs and the parameters are those of one process, to rounding. So is the
# solution of least squares, which needs no steps: each process decomposes its rows as QR, and they
# exchange the small triangular factors.

minimum = linear.least_squares(x, y)
for actual, expected in (
    (found["history"]["params"], alone.params),
    (found["history"]["train_loss"], alone.train_loss),
    (found["minimum"], minimum),
):
    torch.testing.assert_close(
        list(actual), list(expected), rtol=1e-9, atol=1e-12, msg="as on one process"
    )

# %%
# The average of means
# --------------------
#
# It is tempting to let each process take the mean over the rows that it holds, and to average the
# gradients: nothing but the gradients is exchanged, and with equal shards it is right. In a full
# batch of the unequal parts above, it gives a row of the first process the weight
# :math:`n / (2 n_1)`, here more than 3, and a row of the second :math:`n / (2 n_2)`, less than 0.6.


def mean_gradient(params, x, y):
    """Return the gradient of the mean loss."""
    return torch.func.grad(lambda w: risk.empirical_risk(loss(w, x, y)))(params)


def combined(gradients, shares):
    """Return the sum of gradients times their shares."""
    return linear.LinearParams(
        *(torch.stack(g, -1) @ shares for g in zip(*gradients, strict=True))
    )


def excess(params):
    """Return how far the risk on all rows is above its minimum."""
    return float(loss(params, x, y).mean() - loss(minimum, x, y).mean())


def descend(gradient, n_steps=200):
    """Return the excess risk after each step of full-batch descent, and the model."""
    params, path = start, []
    for _ in range(n_steps):
        path.append(excess(params))
        params = optim.sgd_step(params, gradient(params), lr=lr)
    return path, params


counts = torch.tensor([n_first, n - n_first]).to(x)


def averaged(shares):
    """Return the gradient as a sum of the parts' mean gradients times their shares."""
    return lambda w: combined([mean_gradient(w, *part) for part in parts], shares)


of_all_rows, _ = descend(lambda w: mean_gradient(w, x, y))
of_sums, _ = descend(averaged(counts / n))
of_means, wrong = descend(averaged(torch.full_like(counts, 0.5)))
torch.testing.assert_close(of_sums, of_all_rows, rtol=1e-8, atol=1e-13)
claims["A row of the first process has more than three times its weight"] = (
    n / (2 * n_first) > 3 and n / (2 * (n - n_first)) < 0.6
)
claims["The average of means ends far from the minimum"] = (
    of_means[-1] > 10 * of_all_rows[-1]
)
claims["The average of means predicts a slower progression"] = (
    float(linear.linear(x, *wrong).mean()) < -0.1
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
ax.plot(of_all_rows, label="one process")
ax.plot(of_sums, ls=":", lw=3, label="two, sums and counts")
ax.plot(of_means, label="two, average of means")
ax.set(yscale="log", xlabel="step", ylabel="risk above its minimum")
ax.legend()
fig.set_label(
    "The risk above its minimum on a logarithmic axis, by the step of full-batch descent. "
    "The curve of two processes that exchange sums lies on that of one process and falls. "
    "That of the average of means stays far above them."
)
plt.show()

# %%
# What a step sends
# -----------------
#
# The gradients of all parameters, whether there is one for each, the loss and whether a process has
# failed: with :math:`p` parameters in :math:`k` tensors, :math:`p + k + 2` numbers. The rows stay
# where they are, so it does not matter how many there are. A large batch is cheaper for each row.

n_parameters = sum(w.numel() for w in start)
bytes_sent = (n_parameters + len(start) + 2) * x.element_size()
bytes_of_batch = batch_size * (x.shape[1] + 1) * x.element_size()
assert bytes_sent == 120, "15 numbers of 8 bytes, whatever the settings"
claims["A step sends a tenth of the bytes of its rows, or less"] = (
    bytes_sent <= bytes_of_batch / 10
)

# %%
# Conclusion
# ----------
#
# Exchange sums and counts, never means. :func:`dlcore.training.fit`,
# :func:`dlcore.training.fit_` and the functions that sum over rows do so if their rows are sharded
# by :func:`dlcore.batches.shard_rows`, and give the numbers of one process. The
# :doc:`guide </guide/sharded>` lists what runs on sharded rows, and what it costs.

# %%
# Exercises
# ---------
#
# **1.** Which weights must one process give its rows, so that it takes the steps of the average of
# means?

# Solution
weights = (n / (2 * counts)).repeat_interleave(counts.long())


def weighted_gradient(params):
    """Return the gradient of the importance-weighted risk."""
    return torch.func.grad(
        lambda w: risk.importance_weighted_risk(loss(w, x, y), weights)
    )(params)


of_weighted_rows, _ = descend(weighted_gradient)
torch.testing.assert_close(of_weighted_rows, of_means, rtol=1e-8, atol=1e-13)
assert abs(weights.mean() - 1) < 1e-12, "each process has half of the weight"

# %%
# **2.** Three shards hold 2, 3 and 5 rows of a batch, and their mean losses are 1, 2 and 4. What is
# the mean loss of the batch, and what is the average of means?

# Solution
held, means = torch.tensor([2.0, 3.0, 5.0]), torch.tensor([1.0, 2.0, 4.0])
assert (held * means).sum() / held.sum() == 2.8, "28 divided by 10"
assert means.mean() == 7 / 3, "smaller, because the largest shard has the largest loss"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
