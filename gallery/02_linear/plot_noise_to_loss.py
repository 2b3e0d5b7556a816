r"""
Squared, Huber and absolute loss: which noise does each assume?
===============================================================

Maximum likelihood turns a density of the noise into a loss: minus its logarithm.

In short
--------

Minimizing the squared loss is maximum likelihood for normal noise, the absolute loss for Laplace
noise, and Huber's loss for normal noise with Laplace tails. A wrong loss costs precision: with a few
outliers least squares fails, while Huber's loss costs only a few percent when there are none.

.. math::

    -\log P(\mathbf{y} \mid \mathbf{X})
    = -\log\prod_{i=1}^{n} p(\epsilon_i)
    = \sum_{i=1}^{n} -\log p\bigl(y_i - \mathbf{w}^\top\mathbf{x}_i - b\bigr) .

*Prerequisites:* linear regression and probability densities.
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes

from dlcore import likelihood, linear, losses

# Change these numbers and run the script again.
seed = 0
delta = 1.345  # where Huber's loss turns from a parabola into a line
n_sets = 300
n = 100
outlier_share = 0.1
n_splits = 20
claims = {}

# %%
# From a noise density to a loss
# ------------------------------
#
# Linear regression usually minimizes the squared loss, as if there were no other. This choice is an
# assumption about the noise :math:`\epsilon` in
#
# .. math::
#
#     y = \mathbf{w}^\top\mathbf{x} + b + \epsilon .
#
# If the noise is independent across examples and has density :math:`p`, then the parameters under
# which the data are most probable minimize the sum above. So minus the logarithm of the noise
# density *is* the loss.

r = torch.linspace(-6, 6, 1201, dtype=torch.float64)
zero = torch.zeros_like(r)
values = {
    "squared": losses.squared_loss(r, zero),
    "Huber": losses.huber_loss(r, zero, delta=delta),
    "absolute": losses.absolute_loss(r, zero),
}
squared, huber, absolute = values.values()
middle = math.sqrt(2 * math.pi) * math.erf(delta / math.sqrt(2))
tails = 2 / delta * math.exp(-(delta**2) / 2)
densities = {
    "squared": likelihood.normal_density(r),
    "Huber": (-huber).exp() / (middle + tails),
    "absolute": likelihood.laplace_log_density(r).exp(),
}

# Figure
fig, axes = plt.subplots(1, 2, figsize=(5.6, 3.3), layout="constrained")
for name, value in values.items():
    axes[0].plot(r, densities[name])
    axes[1].plot(r, value, label=name)
axes[0].set(xlim=(-4, 4), xlabel="noise", title="Density of the noise …")
axes[1].set(xlim=(-2, 6), ylim=(0, 7), xlabel="residual", title="… and its loss")
axes[1].legend(loc="upper left")
fig.set_label(
    "Two panels. Left, three densities around 0: the bell of normal noise, Huber's, a bell "
    "with heavier tails, and the pointed Laplace density. Right, the corresponding losses: "
    "a parabola, a parabola that continues as a straight line, and a V."
)
plt.show()

# %%
# The logarithm removes the exponential. For the normal density this leaves the squared loss divided
# by :math:`\sigma^2`, and for the Laplace density the absolute loss divided by its scale, each up
# to a constant that does not depend on the parameters.

for size in (0.5, 1.0, 3.0):
    of_normal = -likelihood.normal_log_density(r, std=size) - squared / size**2
    of_laplace = -likelihood.laplace_log_density(r, scale=size) - absolute / size
    constant = zero + math.log(2 * math.pi * size**2) / 2
    assert torch.allclose(of_normal, constant), "the squared loss and a constant"
    constant = zero + math.log(2 * size)
    assert torch.allclose(of_laplace, constant), "the absolute loss and a constant"

# %%
# The ½ also comes from the density. :class:`torch.nn.MSELoss` leaves it out, so its values are
# twice as large. Neither the ½ nor :math:`\sigma` moves the minimum.

mse = torch.nn.MSELoss(reduction="none")
assert torch.allclose(mse(r, zero), 2 * squared), "without the ½"

# %%
# Conversely, every loss implies a noise density. Huber's loss is quadratic up to :math:`\delta` and
# linear beyond. So its noise is normal in the middle and has the tails of a Laplace density:
# :math:`p(r) \propto e^{-l_\delta(r)}`, which has a finite integral.

wide = torch.linspace(-60, 60, 120_001, dtype=torch.float64)
of_huber = (-losses.huber_loss(wide, 0 * wide, delta=delta)).exp()
mass = float(torch.trapezoid(of_huber, wide))
claims["The integral of Huber's density is that of its middle and its tails"] = (
    math.isclose(mass, middle + tails, rel_tol=1e-6)
)

# %%
# The three losses differ in the influence of a *large* residual. The slope of the loss is the
# influence of an example on the fit. With the squared loss it grows with the residual. With the
# others it is constant: a label that is wrong by 4, or by a million, has the same influence as one
# that is wrong by 2.

far = torch.tensor([2.0, 4.0, 1e6])
of_loss = {
    "squared": losses.squared_loss,
    "Huber": lambda r, y: losses.huber_loss(r, y, delta=delta),
    "absolute": losses.absolute_loss,
}
slopes = {
    name: torch.func.grad(lambda r, loss=loss: loss(r, 0 * r).sum())(far)
    for name, loss in of_loss.items()
}
assert torch.equal(slopes["squared"], far), "the slope is the residual"
assert torch.allclose(slopes["Huber"], far.clamp(max=delta)), "the slope ends at δ"
assert torch.equal(slopes["absolute"], torch.ones_like(far)), "the slope is the sign"

# %%
# The tails of the densities explain this. At a residual of 4, the normal density is 30 times
# smaller than Huber's and nearly 70 times smaller than Laplace's. Under normal noise such a
# residual is so improbable that maximum likelihood bends the line towards the point instead.

at_4 = (r - 4).abs().argmin()
of_huber, of_laplace = (
    densities[name][at_4] / densities["squared"][at_4] for name in ("Huber", "absolute")
)
claims["At 4, Huber's density is 30 times the normal one"] = 30 < of_huber < 34
assert 65 < of_laplace < 70, "and Laplace's nearly 70 times"

# %%
# Fitting each loss by weighted least squares
# -------------------------------------------
#
# Least squares has a closed form. The other losses do not, but repeated weighted least squares is
# enough. Fit; give each example the weight :math:`\min(1, \delta/|r_i|)`, so that its weighted
# squared loss has the slope of its Huber loss; and repeat. No round increases the Huber loss. With
# a very small :math:`\delta` the result minimizes the absolute loss. ``torch.func.vmap`` fits
# hundreds of data sets at once.

solve = torch.func.vmap(lambda x, y, w: linear.least_squares(x, y, weights=w))


def residuals(params, x, y):
    """Return predictions minus targets, for many data sets at once."""
    return (x @ params.weight[..., None])[..., 0] + params.bias[..., None] - y


def fit(x, y, delta, rounds):
    """Return the Huber fit of each data set and the mean loss after each round."""
    weights, history = torch.ones_like(y), []
    for _ in range(rounds):
        params = solve(x, y, weights)
        r = residuals(params, x, y)
        history.append(losses.huber_loss(r, torch.zeros_like(r), delta=delta).mean(-1))
        weights = delta / r.abs().clamp(min=delta)
    return params, torch.stack(history)


# %%
# What does the wrong loss cost?
# ------------------------------
#
# In a simulation the truth is known. Here all parameters are zero, so each estimate equals its
# error. There are 300 data sets of 100 examples and 3 parameters: first with normal noise, then
# with Laplace noise, and then with normal noise in which one value in ten is ten times as large.

d = 2
generator = torch.Generator().manual_seed(seed)
x = torch.randn(n_sets, n, d, generator=generator, dtype=torch.float64)
normal = torch.randn(n_sets, n, generator=generator, dtype=torch.float64)
uniform = torch.rand(n_sets, n, generator=generator, dtype=torch.float64) - 0.5
laplace = -uniform.sign() * torch.log1p(-2 * uniform.abs())
wild = torch.rand(n_sets, n, generator=generator) < outlier_share
noises = {
    "normal": normal,
    "Laplace": laplace,
    "outliers": torch.where(wild, 10 * normal, normal),
}
bends = {"squared": (1e9, 1), "Huber": (delta, 20), "absolute": (0.01, 50)}
cost = {}
for noise, y in noises.items():
    for name, (bend, rounds) in bends.items():
        params, history = fit(x, y, bend, rounds)
        assert (history[1:] <= history[:-1] * (1 + 1e-9)).all(), "the loss falls"
        squares = params.weight.square().sum(-1) + params.bias**2
        cost[noise, name] = float(squares.mean()) * n / (d + 1)

# %%
# The cost is the mean squared error of a parameter, times the number of examples; for normal noise,
# least squares has a cost of about 1. The squared and the absolute loss each win on the noise that
# they assume. With normal noise, the absolute loss needs about :math:`\pi/2` times as many
# examples. With Laplace noise, least squares needs more than 1.5 times as many examples as the
# absolute loss, and twice as many in the limit of large :math:`n`. Huber's loss is never far from
# the best. If one label in ten is an outlier, it is the best of the three, and the squared error of
# least squares is more than five times as large.

for noise, winner in (("normal", "squared"), ("Laplace", "absolute")):
    best = min(bends, key=lambda name, noise=noise: cost[noise, name])
    claims[f"With {noise} noise, the {winner} loss wins"] = best == winner
claims["With normal noise, least squares has a cost of about 1"] = (
    abs(cost["normal", "squared"] - 1) < 0.2
)
ratio = cost["normal", "absolute"] / cost["normal", "squared"]
claims["With normal noise, the absolute loss costs π/2 times as much"] = (
    abs(ratio - math.pi / 2) < 0.25
)
ratio = cost["Laplace", "squared"] / cost["Laplace", "absolute"]
claims["With Laplace noise, least squares costs 1.5 to 2 times as much"] = (
    1.5 < ratio < 2
)
claims["With outliers, Huber's loss is the best of the three"] = (
    min(bends, key=lambda name: cost["outliers", name]) == "Huber"
)
claims["With outliers, least squares costs over five times as much"] = (
    cost["outliers", "squared"] > 5 * cost["outliers", "Huber"]
)
claims["With normal noise, Huber's loss costs less than 10 % more"] = (
    cost["normal", "Huber"] < 1.1 * cost["normal", "squared"]
)
claims["Huber's loss is never far from the best"] = all(
    cost[noise, "Huber"] < 1.3 * min(cost[noise, name] for name in bends)
    for noise in noises
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for name in bends:
    ax.plot([cost[noise, name] for noise in noises], list(noises), "o", label=name)
ax.set(xscale="log", xlabel="squared error of a parameter, times n", ylabel="noise")
ax.set_title("The matching loss wins")
ax.legend(loc="center right")
fig.set_label(
    "For three noises, the squared error of a parameter under each loss, "
    "on a logarithmic axis. Normal noise: squared and Huber at "
    "about 1.1, absolute 1.6. Laplace noise: absolute 1.3, Huber 1.5, squared 2. "
    "Normal noise with ten percent outliers: Huber 1.6, absolute 2, squared 12."
)
plt.show()

# %%
# Real data with misplaced decimal points
# ---------------------------------------
#
# On real data the noise distribution is unknown. scikit-learn's diabetes data hold ten measurements
# of 442 patients, and the progression of the disease one year later, a number from 25 to 346.
# Suppose someone types these numbers in, and in some rows the decimal point slips: 151 becomes
# 1510. The test rows stay clean. We use twenty random splits with 300 training rows. Huber's
# :math:`\delta` is 60, about the standard deviation of the residuals on clean data.

diabetes = load_diabetes()
patients = torch.as_tensor(diabetes.data)
progress = torch.as_tensor(diabetes.target)

splits = torch.stack(
    [torch.randperm(442, generator=generator) for _ in range(n_splits)]
)
train, test = splits[:, :300], splits[:, 300:]
shares = [0, 1, 2, 5, 10, 15, 20, 25, 30]  # percent of the 300 training rows
bends = {"squared": (1e9, 1), "Huber": (60.0, 30), "absolute": (0.5, 50)}
errors = {name: [] for name in bends}
for share in shares:
    y = progress[train]
    y[:, : 3 * share] *= 10
    for name, (bend, rounds) in bends.items():
        params, history = fit(patients[train], y, bend, rounds)
        off = residuals(params, patients[test], progress[test])
        errors[name].append(off.abs().mean(dim=1))
        if name == "squared" and share == 0:
            clean = residuals(params, patients[train], y)
errors = {name: torch.stack(values) for name, values in errors.items()}
claims["Residuals on clean data have a standard deviation of 50 to 60"] = (
    50 < clean.std() < 60
)

# %%
# On clean labels the three losses are equally good: the predictions of least squares have a mean
# absolute error of 46, and those of the others agree to within 2. One misplaced decimal point in
# fifty increases the error of least squares by 10 or more, and one in ten makes it more than three
# times as large. With up to one wrong label in ten, the errors of the other two losses stay within
# 2 of their values on clean labels, even if the point is misplaced by three places. These losses
# are sensitive not to the size of the mistakes but to their number: with 30 wrong labels in a
# hundred, their errors have risen by more than 5 as well.

mean = {name: of_loss.mean(dim=1) for name, of_loss in errors.items()}
at = {share: place for place, share in enumerate(shares)}
robust = ("Huber", "absolute")
claims["On clean labels least squares has an error of 46"] = (
    abs(mean["squared"][0] - 46) < 2
)
claims["On clean labels the three losses are equally good"] = all(
    abs(mean[name][0] - mean["squared"][0]) < 2 for name in robust
)
claims["Up to one wrong label in ten hardly moves two of the losses"] = all(
    (mean[name][: at[10] + 1] - mean[name][0]).abs().max() < 2 for name in robust
)
claims["Three wrong labels in ten move all of them"] = all(
    mean[name][at[30]] > mean[name][0] + 5 for name in bends
)
claims["One wrong label in fifty adds 10 to the error of least squares"] = (
    mean["squared"][at[2]] > mean["squared"][0] + 10
)
claims["One wrong label in ten triples the error of least squares"] = (
    mean["squared"][at[10]] > 3 * mean["squared"][0]
)

y = progress[train]
y[:, : 3 * 10] *= 1000
for name in robust:
    bend, rounds = bends[name]
    params, _ = fit(patients[train], y, bend, 2 * rounds)
    off = residuals(params, patients[test], progress[test])
    claims[
        f"With the {name} loss, it hardly matters how far the point is misplaced"
    ] = abs(off.abs().mean() - mean[name][0]) < 2

# Figure
fig, ax = plt.subplots(layout="constrained")
for name, of_loss in errors.items():
    ax.errorbar(shares, mean[name], of_loss.std(dim=1, correction=0), label=name)
ax.set(yscale="log", xlabel="misplaced decimal points, % of the training labels")
ax.set(ylabel="error on clean test rows")
ax.set_title("Least squares fails with a few wrong labels")
ax.legend()
fig.set_label(
    "The mean absolute error on clean test rows, on a logarithmic axis, against the "
    "share of corrupted training labels, with bars of one standard deviation over 20 "
    "splits. All three losses start at 46. The error of the squared loss rises at "
    "once, to 150 at ten percent and 400 at thirty. The errors of Huber's loss and of "
    "the absolute loss stay near 46 up to ten percent and reach 60 at thirty."
)
plt.show()

# %%
# Conclusion
# ----------
#
# A loss is an assumption about the noise. :func:`dlcore.losses.squared_loss` is minus the logarithm
# of :func:`dlcore.likelihood.normal_density`, and :func:`dlcore.losses.absolute_loss` is minus the
# logarithm of the Laplace density. :func:`dlcore.likelihood.negative_log_likelihood` sums either
# over a data set; the product of the densities themselves would underflow to 0.

log_densities = likelihood.normal_log_density(clean.flatten(), std=float(clean.std()))
assert log_densities.exp().prod() == 0, "the product underflows"
sum_of_logs = likelihood.negative_log_likelihood(log_densities)
assert sum_of_logs.isfinite(), "the sum does not"

# %%
# If the noise is normal, :func:`dlcore.linear.least_squares` is the most efficient estimate and is
# exact in one step. If there may be outliers, :func:`dlcore.losses.huber_loss` costs a few percent
# and keeps the fit accurate. For classes, the same reasoning leads to the cross-entropy, which
# :doc:`softmax regression </auto_gallery/03_softmax/plot_softmax_regression_on_digits>` minimizes.

# %%
# Exercises
# ---------
#
# **1.** Noise is uniform on :math:`[-1, 1]`. Which parameters are most probable? Is there a unique
# answer for the location of the numbers 0.2, 0.9 and 1.5?

# Solution
numbers = torch.tensor([0.2, 0.9, 1.5])
locations = torch.linspace(0, 2, 201)
possible = ((numbers - locations[:, None]).abs() <= 1 + 1e-6).all(dim=1)
interval = locations[possible].aminmax()
right = torch.allclose(torch.stack(list(interval)), torch.tensor([0.5, 1.2]))
assert right, "all locations from 1.5 − 1 to 0.2 + 1 are equally probable"

# %%
# **2.** The squared loss leads to the mean of the numbers, the absolute loss to their median. What
# share of outliers can each of them tolerate?

# Solution
numbers = torch.ones(101)
numbers[:50] = 1e6
assert numbers.median() == 1, "the median tolerates nearly one half"
numbers[1:50] = 1
assert numbers.mean() > 1e3, "one outlier spoils the mean"

# %%
# **3.** To which loss does Huber's loss, divided by :math:`\delta`, tend as :math:`\delta` goes to
# 0, and Huber's loss as :math:`\delta` goes to ∞?

# Solution
tiny = losses.huber_loss(r, zero, delta=1e-6) / 1e-6
assert torch.allclose(tiny, absolute, atol=1e-6), "to the absolute loss"
large = losses.huber_loss(r, zero, delta=1e6)
assert torch.allclose(large, squared), "to the squared loss"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
