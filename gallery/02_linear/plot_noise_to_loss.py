r"""
Squared, Huber and absolute loss: which noise does each assume?
===============================================================

Maximum likelihood turns a density of the noise into a loss: minus its logarithm.

In short
--------

Minimizing the squared loss is maximum likelihood for normal noise, the absolute loss for Laplace
noise, and Huber's loss for normal noise with Laplace tails. A wrong loss costs accuracy: with a few
outliers least squares fails, while Huber's loss costs only a few percent when there are none.

.. math::

    -\log P(\mathbf{y} \mid \mathbf{X})
    = -\log\prod_{i=1}^{n} p(\epsilon_i)
    = \sum_{i=1}^{n} -\log p\bigl(y_i - \mathbf{w}^\top\mathbf{x}_i - b\bigr) .

*Prerequisites:* linear regression and probability densities. *Reading time:* 12 minutes.

From a noise density to a loss
------------------------------

Linear regression usually minimizes the squared loss, as if there were no other. This choice is an
assumption about the noise :math:`\epsilon` in

.. math::

    y = \mathbf{w}^\top\mathbf{x} + b + \epsilon .

If the noise is independent across examples and has density :math:`p`, then the parameters under
which the data are most probable minimize the sum above. So minus the logarithm of the noise density
*is* the loss. Which noise leads to which loss, what does a wrong loss cost, and how do a few
outliers affect each loss?
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes

from dlcore import likelihood, linear, losses

generator = torch.Generator().manual_seed(0)
ink = plt.rcParams["text.color"]

# %%
# Three noise densities and their losses
# --------------------------------------
#
# The logarithm removes the exponential. For the normal density this leaves the squared loss divided
# by :math:`\sigma^2`, and for the Laplace density the absolute loss divided by its scale, each up
# to a constant that does not depend on the parameters.

r = torch.linspace(-6, 6, 1201, dtype=torch.float64)
zero = torch.zeros_like(r)
squared, absolute = losses.squared_loss(r, zero), losses.absolute_loss(r, zero)
for size in (0.5, 1.0, 3.0):
    of_normal = -likelihood.normal_log_density(r, std=size)
    of_laplace = -likelihood.laplace_log_density(r, scale=size)
    constants = of_normal - squared / size**2, of_laplace - absolute / size
    assert torch.allclose(constants[0], zero + math.log(2 * math.pi * size**2) / 2)
    assert torch.allclose(constants[1], zero + math.log(2 * size))

# %%
# The ½ also comes from the density. :class:`torch.nn.MSELoss` leaves it out, so its values are
# twice as large. Neither the ½ nor :math:`\sigma` moves the minimum.

mse = torch.nn.MSELoss(reduction="none")
assert torch.allclose(mse(r, zero), 2 * squared)

# %%
# Conversely, every loss implies a noise density. Huber's loss is quadratic up to :math:`\delta` and
# linear beyond. So its noise is normal in the middle and has the tails of a Laplace density:
# :math:`p(r) \propto e^{-l_\delta(r)}`, which has a finite integral.

delta = 1.345
wide = torch.linspace(-60, 60, 120_001, dtype=torch.float64)
mass = torch.trapezoid(
    (-losses.huber_loss(wide, torch.zeros_like(wide), delta=delta)).exp(), wide
)
huber = losses.huber_loss(r, zero, delta=delta)
inside = math.sqrt(2 * math.pi) * math.erf(delta / math.sqrt(2))
tails = 2 / delta * math.exp(-(delta**2) / 2)
assert math.isclose(float(mass), inside + tails, rel_tol=1e-6)

names = ("squared", "Huber", "absolute")
values = dict(zip(names, (squared, huber, absolute), strict=True))
densities = {
    "squared": likelihood.normal_density(r),
    "Huber": (-huber).exp() / mass,
    "absolute": likelihood.laplace_log_density(r).exp(),
}

# %%
# The three losses differ in the influence of a *large* residual. The slope of the loss is the
# influence of an example on the fit. With the squared loss it grows with the residual. With the
# others it is constant: a label that is wrong by 4, or by a million, has the same influence as one
# that is wrong by 2.

far = torch.tensor([2.0, 4.0, 1e6])
pull = {
    "squared": torch.func.grad(lambda r: losses.squared_loss(r, 0 * r).sum())(far),
    "Huber": torch.func.grad(lambda r: losses.huber_loss(r, 0 * r, delta=delta).sum())(
        far
    ),
    "absolute": torch.func.grad(lambda r: losses.absolute_loss(r, 0 * r).sum())(far),
}
assert torch.equal(pull["squared"], far)
assert torch.allclose(pull["Huber"], torch.full_like(far, delta))
assert torch.equal(pull["absolute"], torch.ones_like(far))

# %%
# The tails of the densities explain this. At a residual of 4, the normal density is 30 times
# smaller than Huber's and nearly 70 times smaller than Laplace's. Under normal noise such a
# residual is so improbable that maximum likelihood bends the line towards the point instead.

at_4 = (r - 4).abs().argmin()
assert 30 < densities["Huber"][at_4] / densities["squared"][at_4] < 34
assert 65 < densities["absolute"][at_4] / densities["squared"][at_4] < 70

colors = {"squared": "C0", "Huber": "C2", "absolute": "C1"}
fig, axes = plt.subplots(1, 2, figsize=(6, 3.5), layout="constrained")
for name in names:
    axes[0].plot(r, densities[name], color=colors[name])
    axes[1].plot(r, values[name], color=colors[name])
axes[0].text(0.35, 0.47, "Laplace", color="C1")
axes[0].text(1.0, 0.28, "normal", color="C0")
axes[0].text(-1.2, 0.24, "Huber’s", color="C2", ha="right")
axes[1].text(3.2, 6.3, "squared", color="C0", ha="right")
axes[1].text(5.2, 6.3, "Huber", color="C2", ha="right")
axes[1].text(5.9, 3.5, "absolute", color="C1", ha="right")
axes[0].set(xlim=(-4, 4), xlabel="noise", ylabel="density", ylim=(0, 0.55))
axes[1].set(xlim=(-2, 6), xlabel="residual", ylabel="loss", ylim=(0, 7))
axes[0].set_title("Density of the noise …")
axes[1].set_title("… and minus its logarithm, the loss")
fig.set_label(
    "Two panels. Left, three densities around 0: the bell of normal noise, the "
    "pointed Laplace density with its heavier tails, and Huber's, a bell with Laplace "
    "tails. Right, the corresponding losses: a parabola, a V, and a parabola that "
    "continues as a straight line."
)
plt.show()

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
# Now the truth is known: all parameters are zero, so each estimate equals its error. There are 300
# data sets of 100 examples and 3 parameters: first with normal noise, then with Laplace noise, and
# then with normal noise in which one value in ten is ten times as large.

n_sets, n, d = 300, 100, 2
x = torch.randn(n_sets, n, d, generator=generator, dtype=torch.float64)
normal = torch.randn(n_sets, n, generator=generator, dtype=torch.float64)
uniform = torch.rand(n_sets, n, generator=generator, dtype=torch.float64) - 0.5
laplace = -uniform.sign() * torch.log1p(-2 * uniform.abs())
wild = torch.rand(n_sets, n, generator=generator) < 0.1
noises = {
    "normal": normal,
    "Laplace": laplace,
    "normal,\n10 % outliers": torch.where(wild, 10 * normal, normal),
}
settings = {"squared": (math.inf, 1), "Huber": (delta, 20), "absolute": (0.01, 50)}
cost, spread = {}, {}
for noise, y in noises.items():
    for name, (bend, rounds) in settings.items():
        params, history = fit(x, y, min(bend, 1e9), rounds)
        assert (history[1:] <= history[:-1] * (1 + 1e-9)).all()
        squares = params.weight.square().sum(-1) + params.bias**2
        cost[noise, name] = float(squares.mean()) * n / (d + 1)
        spread[noise, name] = float(squares.std()) * n / (d + 1) / math.sqrt(n_sets)

# %%
# The cost is the mean squared error of a parameter, times the number of examples; for normal noise,
# least squares has a cost of about 1. The squared and the absolute loss each win on the noise that
# they assume. With normal noise, the absolute loss needs about :math:`\pi/2` times as many
# examples. With Laplace noise, least squares needs more than 1.5 times as many examples as the
# absolute loss, and twice as many in the limit of large :math:`n`. Huber's loss is never far from
# the best. If one label in ten is an outlier, it is the best of the three, and the squared error of
# least squares is more than five times as large.

normal, laplace, mixed = noises
for noise, winner in ((normal, "squared"), (laplace, "absolute"), (mixed, "Huber")):
    assert min(names, key=lambda name: cost[noise, name]) == winner
assert abs(cost[normal, "squared"] - 1) < 0.2
assert abs(cost[normal, "absolute"] / cost[normal, "squared"] - math.pi / 2) < 0.25
assert 1.5 < cost[laplace, "squared"] / cost[laplace, "absolute"] < 2
assert cost[mixed, "squared"] > 5 * cost[mixed, "Huber"]
assert cost[normal, "Huber"] < 1.1 * cost[normal, "squared"]
for noise in noises:
    assert cost[noise, "Huber"] < 1.3 * min(cost[noise, name] for name in names)

fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
for row, noise in enumerate(noises):
    for name in names:
        bar = 2 * spread[noise, name]
        ax.errorbar(
            cost[noise, name], row, xerr=bar, fmt="o", color=colors[name], markersize=8
        )
for name, side in (("squared", "center"), ("Huber", "right"), ("absolute", "left")):
    ax.text(cost[mixed, name], 1.75, name, color=colors[name], ha=side)
ax.set(xscale="log", xlim=(0.75, 18), ylim=(2.4, -0.4), ylabel="noise")
ax.set_xticks([1, 2, 5, 10], labels=["1", "2", "5", "10"])
ax.set_xticks([], minor=True)
ax.set_yticks(range(3), labels=list(noises))
ax.set(xlabel="squared error of a parameter, times n")
ax.set_title("The matching loss wins; Huber’s is never far off")
fig.set_label(
    "For three noises, the squared error of a parameter under each loss, with bars of "
    "two standard errors, on a logarithmic axis. Normal noise: squared and Huber at "
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
assert patients.shape == (442, 10)
assert progress.aminmax() == (25, 346)

splits = torch.stack([torch.randperm(442, generator=generator) for _ in range(20)])
train, test = splits[:, :300], splits[:, 300:]
shares = [0, 1, 2, 5, 10, 15, 20, 25, 30]  # percent of the 300 training rows
settings = {"squared": (1e9, 1), "Huber": (60.0, 30), "absolute": (0.5, 50)}
errors = {name: [] for name in names}
for share in shares:
    y = progress[train]
    y[:, : 3 * share] *= 10
    for name, (bend, rounds) in settings.items():
        params, history = fit(patients[train], y, bend, rounds)
        off = residuals(params, patients[test], progress[test])
        errors[name].append(off.abs().mean(dim=1))
        if name == "squared" and share == 0:
            clean = residuals(params, patients[train], y)
errors = {name: torch.stack(values) for name, values in errors.items()}
assert 50 < clean.std() < 60

# %%
# On clean labels the three losses are equally good: the predictions of least squares have a mean
# absolute error of 46, and those of the others agree to within 2. One misplaced decimal point in
# fifty increases the error of least squares by 10 or more, and one in ten makes it more than three
# times as large. The other two losses stay within 2 of their clean error at up to one in ten, even
# if the point is misplaced by three places. They are sensitive not to the size of the mistakes but
# to their number: at 30 in a hundred, their error has risen by more than 5 as well.

mean = {name: values.mean(dim=1) for name, values in errors.items()}
at = {share: place for place, share in enumerate(shares)}
assert abs(mean["squared"][0] - 46) < 2
for name in ("Huber", "absolute"):
    assert abs(mean[name][0] - mean["squared"][0]) < 2
    assert (mean[name][: at[10] + 1] - mean[name][0]).abs().max() < 2
    assert mean[name][at[30]] > mean[name][0] + 5
assert mean["squared"][at[2]] > mean["squared"][0] + 10
assert mean["squared"][at[10]] > 3 * mean["squared"][0]

y = progress[train]
y[:, : 3 * 10] *= 1000
for name in ("Huber", "absolute"):
    bend, rounds = settings[name]
    params, _ = fit(patients[train], y, bend, 2 * rounds)
    off = residuals(params, patients[test], progress[test])
    assert abs(off.abs().mean() - mean[name][0]) < 2

fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
for name in names:
    spread = errors[name].std(dim=1)
    ax.plot(shares, mean[name], "o-", color=colors[name], markersize=4)
    ax.fill_between(
        shares,
        mean[name] - spread,
        mean[name] + spread,
        color=colors[name],
        alpha=0.2,
        linewidth=0,
    )
ax.text(12, 220, "squared", color="C0", ha="right")
ax.text(22, 63, "Huber", color="C2", ha="right")
ax.text(22, 41.5, "absolute", color="C1", va="top")
ax.set(yscale="log", ylim=(30, 600), xlim=(-0.5, 30.5))
ax.set_yticks([50, 100, 200, 400], labels=["50", "100", "200", "400"])
ax.set_yticks([], minor=True)
ax.set(xlabel="training labels with a misplaced decimal point, %")
ax.set(ylabel="mean absolute error on clean test rows")
ax.set_title("Least squares fails with a few wrong labels")
fig.set_label(
    "The mean absolute error on clean test rows, on a logarithmic axis, against the "
    "share of corrupted training labels, with bands of one standard deviation over 20 "
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
assert log_densities.exp().prod() == 0
assert likelihood.negative_log_likelihood(log_densities).isfinite()

# %%
# If the noise is normal, :func:`dlcore.linear.least_squares` is the most efficient estimate and is
# exact in one step. If there may be outliers, :func:`dlcore.losses.huber_loss` costs a few percent
# and keeps the fit accurate. For classes, the same reasoning leads to the cross-entropy, which
# :doc:`softmax regression </auto_gallery/03_softmax/plot_softmax_regression_on_digits>` minimizes.
