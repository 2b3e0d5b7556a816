r"""
Weight decay as a normal prior: how large should λ be?
======================================================

A penalty on the squared weights assumes that they are normal with mean 0, and the best penalty is
the variance of the noise divided by that of the weights.

In short
--------

Weight decay assumes that the weights are normal with mean 0 and standard deviation :math:`\tau`. If
the noise is normal with standard deviation :math:`\sigma`, the most probable weights minimize the
squared loss with the penalty :math:`\lambda = \sigma^2/\tau^2`. This assumption helps where data
are few, and costs little where they are many.

.. math::

    -\log p(\mathbf{w} \mid \mathbf{X}, \mathbf{y}) = \frac{1}{\sigma^2}\Bigl(
    \frac12\sum_i(\mathbf{w}^\top\mathbf{x}_i + b - y_i)^2
    + \frac{\sigma^2}{2\tau^2}\lVert\mathbf{w}\rVert^2\Bigr) + \text{const} .

*Prerequisites:* :doc:`the normal likelihood </auto_gallery/02_linear/plot_noise_to_loss>` and
:doc:`ridge regression </auto_gallery/06_regularization/plot_weight_decay>`.

Setting
-------

Where does :math:`\lambda` come from, and how much does it gain? We take the inputs of the diabetes
patients included in scikit-learn and draw weights and targets for them, so that the truth is known.
Afterwards we use the true targets.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes

from dlcore import likelihood, linear, losses, model_selection, regularization

# Change these numbers and run the script again.
seed = 0
sigma = 0.75
tau_small = 0.25
tau_large = 0.75
n_few = 40
n_many = 300
claims = {}

# %%
# The true prior gives the best penalty
# -------------------------------------
#
# If the prior is true, no other penalty does better. We draw 2000 weight vectors from the prior,
# draw the targets of 40 patients for each of them, and fit all of these data sets with each
# penalty. The mean error of the weights is smallest near :math:`\sigma^2/\tau^2`, which is 9 for
# small weights and 1 for large ones.

generator = torch.Generator().manual_seed(seed)
diabetes = load_diabetes(scaled=False)
x, y = torch.as_tensor(diabetes.data), torch.as_tensor(diabetes.target)
x, y = (model_selection.standardize(values)(values) for values in (x, y))
options = {"generator": generator, "dtype": x.dtype}

few = x[:n_few]
penalties = torch.logspace(-1.5, 2.5, 33, dtype=x.dtype)
errors = {}
for tau in (tau_small, tau_large):
    weights = tau * torch.randn(x.shape[1], 2000, **options)
    targets = few @ weights + sigma * torch.randn(len(few), 2000, **options)
    fits = [linear.ridge(few, targets, penalty=float(p)) for p in penalties]
    errors[tau] = torch.stack(
        [(fit.weight - weights).square().mean() / tau**2 for fit in fits]
    )
    lowest = penalties[errors[tau].argmin()]
    claims[f"For tau = {tau}, the best penalty is near (sigma/tau)²"] = (
        0.5 < lowest / (sigma / tau) ** 2 < 2
    )

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
for color, (tau, error) in zip(("C0", "C1"), errors.items(), strict=False):
    ax.plot(penalties, error, color=color, label=f"weights of the order of {tau}")
    ax.axvline((sigma / tau) ** 2, color=color, linewidth=1, linestyle="--")
ax.set(xscale="log", ylim=(0, 1.5), xlabel="penalty λ")
ax.set_ylabel(r"squared error of a weight / $\tau^2$")
ax.set_title("The true prior gives the best penalty")
ax.legend(loc="upper right")
fig.set_label(
    "The mean squared error of a weight over 2000 draws against the penalty, for true "
    "weights of the order of 0.25 and 0.75. Each curve has one minimum: near 9 for the "
    "first and near 1 for the second. Dashed lines mark the variance of the noise "
    "divided by that of the weights."
)
plt.show()

# %%
# Why: the penalty is the logarithm of the prior
# ----------------------------------------------
#
# By Bayes' rule, the log-probability of the weights given the data is that of the data given the
# weights, plus that of the weights, up to a constant. Both are normal log-densities, and both are
# negative squares. So ridge regression finds the most probable weights, at which the gradient of
# the sum is 0. In other words, adding :math:`\frac\lambda2\lVert\mathbf{w}\rVert^2` to the loss
# amounts to assuming weights of the order of :math:`\sigma/\sqrt\lambda`.

fit = linear.ridge(x, y, penalty=(sigma / tau_small) ** 2)


def log_posterior(weight: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of the weights given the data, up to a constant."""
    of_data = likelihood.normal_log_density(y, mean=x @ weight + fit.bias, std=sigma)
    of_weight = likelihood.normal_log_density(weight, std=tau_small)
    return of_data.sum() + of_weight.sum()


slope = torch.func.grad(log_posterior)(fit.weight)
assert slope.abs().max() < 1e-6, "ridge regression is at the maximum"

# %%
# How much does the penalty gain?
# -------------------------------
#
# Now we use the true targets. We fit 40 patients and measure the loss on 100 others, for 60 random
# choices. The best penalty, near 20, reduces the loss by a seventh. With 300 patients, the best
# penalty gains next to nothing, while too large a penalty still costs a lot.

orders = torch.stack([torch.randperm(len(x), generator=generator) for _ in range(60)])
available, test = orders[:, :-100], orders[:, -100:]
penalties = torch.logspace(-1, 3.5, 19, dtype=x.dtype)
risks = {}
for n_train in (n_few, n_many):
    train = available[:, :n_train]
    risks[n_train] = []
    for penalty in penalties.tolist():
        fits = torch.vmap(lambda x, y, p=penalty: linear.ridge(x, y, penalty=p))(
            x[train], y[train]
        )
        predictions = torch.vmap(linear.linear)(x[test], *fits)
        risks[n_train].append(losses.squared_loss(predictions, y[test]).mean())
    risks[n_train] = torch.stack(risks[n_train])

of_few, of_many = risks[n_few], risks[n_many]
claims["With few patients, the best penalty is between 5 and 60"] = (
    5 < penalties[of_few.argmin()] < 60
)
claims["With few patients, it lowers the loss by a seventh"] = (
    of_few.min() < 0.88 * of_few[0]
)
claims["With many patients, it gains next to nothing"] = (
    of_many.min() > 0.99 * of_many[0]
)
claims["Too large a penalty costs a lot with many patients, too"] = (
    of_many[-1] > 1.4 * of_many[0]
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
for color, (n_train, risk) in zip(("C1", "C0"), risks.items(), strict=False):
    ax.plot(penalties, risk, color=color, label=f"fitted to {n_train} patients")
ax.set(xscale="log", xlabel="penalty λ", ylabel="loss on new patients, with ½")
ax.set_title("With few rows, a penalty lowers the loss")
ax.legend(loc="upper left")
fig.set_label(
    "The mean loss on new patients against the penalty over 60 random choices. For "
    "models fitted to 40 patients it falls from 0.34 to 0.29 near a penalty of 20 and "
    "then rises to 0.49. For models fitted to 300 patients it stays at 0.25 up to a "
    "penalty of 100 and then rises."
)
plt.show()

# %%
# Choosing λ from the data
# ------------------------
#
# In practice, neither :math:`\sigma` nor :math:`\tau` is known. Cross-validation measures the loss
# for each penalty on rows that were held out.
# :func:`dlcore.model_selection.ridge_path_cross_validation` tries all penalties at once.

selection = model_selection.ridge_path_cross_validation(
    x, y, penalties=penalties, k=5, shuffle=True, generator=generator
)
claims["Cross-validation of all rows chooses a penalty below 200"] = (
    selection.best_penalty < 200
)

# %%
# Conclusion
# ----------
#
# Weight decay assumes that the weights are normal with mean 0, and :math:`\lambda` says how small
# they are expected to be. As a term of any loss it is :func:`dlcore.regularization.l2_penalty`; in
# closed form it is :func:`dlcore.linear.ridge`. How an optimizer applies it is the subject of
# :doc:`/auto_gallery/06_regularization/plot_weight_decay_in_adam`.

# %%
# Exercises
# ---------
#
# **1.** If the weights have a Laplace prior, as in :func:`dlcore.likelihood.laplace_log_density`, which
# penalty takes the place of the squares?

# Solution
weight = fit.weight
log_prior = likelihood.laplace_log_density(weight, scale=tau_small).sum()
constant = -len(weight) * torch.tensor(2 * tau_small).log()
penalty = regularization.l1_penalty(weight)
assert torch.allclose(log_prior, constant - penalty / tau_small), (
    "the sum of absolute values, which makes zeros"
)

# %%
# **2.** How much does the best penalty gain in the first figure, compared with the smallest one, for
# each :math:`\tau`? Which weights need the penalty more?

# Solution
gains = {tau: float(error.min() / error[0]) for tau, error in errors.items()}
claims["Small weights need the penalty more than large ones"] = (
    gains[tau_small] < gains[tau_large]
)

# %%
# **3.** The squared loss of :class:`torch.nn.MSELoss` has no ½ and takes the mean. Which factor before
# :math:`\lVert\mathbf{w}\rVert^2` gives the same minimum as a penalty of :math:`\lambda`?

# Solution
penalty = (sigma / tau_small) ** 2
leaf = weight.clone().requires_grad_()
mse = torch.nn.functional.mse_loss(x @ leaf + fit.bias, y)
(slope,) = torch.autograd.grad(mse + penalty / len(x) * leaf.square().sum(), leaf)
assert slope.abs().max() < 1e-6, "λ/n: twice the loss divided by n needs twice λ/2n"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
