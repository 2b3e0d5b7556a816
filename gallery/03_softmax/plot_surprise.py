r"""
Entropy, cross-entropy and KL divergence: how surprised is a classifier?
========================================================================

Entropy, cross-entropy and KL divergence measure in bits how surprised a digit classifier is.

In short
--------

The cross-entropy is the expected surprise of an observer who believes :math:`Q` when the data
follow :math:`P`; it exceeds the entropy of :math:`P` by the Kullback-Leibler divergence. A softmax
regression on digits reduces the surprise of a class from 3.3 bits to less than 0.4.

.. math::

    H(P) = -\sum_j p_j\log p_j, \qquad
    H(P, Q) = -\sum_j p_j\log q_j, \qquad
    D(P\,\Vert\,Q) = \sum_j p_j\log\frac{p_j}{q_j} = H(P, Q) - H(P) .

*Prerequisites:* probabilities and logarithms; for the last sections, :doc:`softmax regression
</auto_gallery/03_softmax/plot_softmax_regression_on_digits>`. *Reading time:* 12 minutes.

Surprise and its expectations
-----------------------------

The *surprise* of an outcome of probability :math:`p` is :math:`-\log p`. It is zero if the outcome
was certain. It is one *bit* if the outcome was the toss of a fair coin and the logarithm has base
2. The formulas above are three expectations. The *entropy* is the expected surprise of an observer
who knows the distribution :math:`P`. The *cross-entropy* is that of an observer who believes
:math:`Q`. Their difference, the *Kullback-Leibler divergence*, is the cost of the wrong belief. A
classifier is such an observer. How surprised is it?
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import activations, information, likelihood, linear, losses, metrics

generator = torch.Generator().manual_seed(0)
ink = plt.rcParams["text.color"]

# %%
# Surprise as code length
# -----------------------
#
# Four letters have the probabilities ½, ¼, ⅛ and ⅛. If you know this, you can encode them as 0, 10,
# 110 and 111: each letter gets as many binary digits as it has bits of surprise, and no code is
# shorter on average. If you believe that all four are equally likely, you encode them as 00, 01, 10
# and 11. The entropy is the mean length of the first code, 1.75 digits per letter, and the
# cross-entropy is that of the second, 2. The divergence is the cost of the wrong belief, a quarter
# of a digit. A message of 100 000 letters confirms this.

p = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
uniform = torch.full_like(p, 0.25)
right, wrong = ["0", "10", "110", "111"], ["00", "01", "10", "11"]
surprise = information.surprisal(p, base=2).tolist()
averages = {
    1.75: information.entropy(p, base=2),
    2.0: information.cross_entropy(p, uniform, base=2),
    0.25: information.kl_divergence(p, uniform, base=2),
}
assert all(map(math.isclose, surprise, map(len, right)))
assert all(math.isclose(digits, average) for digits, average in averages.items())

message = torch.multinomial(p, 100_000, replacement=True, generator=generator).tolist()
per_letter = [len("".join(code[j] for j in message)) / 1e5 for code in (right, wrong)]
assert abs(per_letter[0] - 1.75) < 0.02
assert per_letter[1] == 2

# %%
# For two letters, this is the toss of a coin. The entropy is one bit for a fair coin and falls to 0
# as the coin becomes certain. If you believe that the coin is fair, your mean surprise is one bit
# per toss, whatever the coin; the excess over the entropy is the divergence. If you believe that a
# fair coin always falls on the same side, the divergence is infinite.

heads = torch.linspace(0, 1, 201, dtype=torch.float64)
coins = torch.stack([heads, 1 - heads], dim=1)
fair = torch.full_like(coins, 0.5)
entropy = information.entropy(coins, base=2)
cross_entropy = information.cross_entropy(coins, fair, base=2)
of_wrong = information.kl_divergence(coins, fair, base=2)
backwards = information.kl_divergence(fair, coins, base=2)
assert math.isclose(entropy[100], 1)
assert entropy[0] == entropy[-1] == 0
assert torch.allclose(cross_entropy, torch.ones_like(heads))
assert torch.allclose(entropy + of_wrong, cross_entropy)
assert backwards[0] == backwards[-1] == math.inf

fig, ax = plt.subplots(figsize=(5.2, 3.9), layout="constrained")
ax.fill_between(heads, entropy, color="C0", alpha=0.15, linewidth=0)
ax.fill_between(heads, entropy, cross_entropy, color="C1", alpha=0.15, linewidth=0)
ax.plot(heads, entropy, color="C0")
ax.plot(heads, cross_entropy, color="C1")
ax.text(0.5, 0.4, "entropy: surprise if you\nknow the coin", color="C0", ha="center")
ax.text(0.5, 1.04, "cross-entropy: if you believe it is fair", color="C1", ha="center")
ax.text(0.02, 0.86, "divergence", color="C1")
ax.set(
    xlim=(0, 1), ylim=(0, 1.2), xlabel="probability of heads", ylabel="bits per toss"
)
ax.set_yticks([0, 0.5, 1], labels=["0", "½", "1"])
ax.set_title("Entropy plus divergence is cross-entropy")
fig.set_label(
    "Against the probability of heads: the entropy, an arch from 0 through 1 bit at "
    "one half back to 0, and the cross-entropy of an observer who believes that the "
    "coin is fair, a horizontal line at 1 bit. The area between the two is the "
    "divergence."
)
plt.show()

# %%
# Forward and reverse KL divergence
# ---------------------------------
#
# The divergence is not symmetric, and this matters when a simple distribution has to approximate a
# complicated one. :math:`P` has two modes; :math:`Q` may be any normal distribution. Minimizing
# :math:`D(P\,\Vert\,Q)` and minimizing :math:`D(Q\,\Vert\,P)` give different results. We compute
# both on a grid, for every mean and standard deviation of a table.

x = torch.linspace(-8, 8, 321, dtype=torch.float64)


def on_grid(density):
    """Return a density as probabilities of the grid's points."""
    return density / density.sum(dim=-1, keepdim=True)


humps = [likelihood.normal_density(x, mean=m, std=0.7) for m in (-2.0, 2.5)]
truth = on_grid(0.6 * humps[0] + 0.4 * humps[1])
means = torch.linspace(-4, 4, 81, dtype=torch.float64)
stds = torch.linspace(0.3, 4, 75, dtype=torch.float64)
table = torch.cartesian_prod(means, stds)
normals = on_grid(
    torch.stack(
        [likelihood.normal_density(x, mean=m, std=s) for m, s in table.tolist()]
    )
)
target = truth.expand_as(normals)
forward = information.kl_divergence(target, normals)
reverse = information.kl_divergence(normals, target)

# %%
# The forward divergence :math:`D(P\,\Vert\,Q)` is averaged over :math:`P`, so :math:`Q` must be
# large wherever there are data. The best :math:`Q` covers both modes and has the mean and the
# standard deviation of :math:`P`. It is largest in the valley between the modes, where data are
# rare. Maximum likelihood minimizes this divergence. The reverse divergence :math:`D(Q\,\Vert\,P)`
# is averaged over :math:`Q`, so :math:`Q` must be small wherever :math:`P` is small, but may miss
# parts of :math:`P`. The best :math:`Q` covers only the higher mode, and a local minimum covers the
# other.

mean, std = table[forward.argmin()].tolist()
true_mean = float((truth * x).sum())
true_std = math.sqrt(float((truth * (x - true_mean) ** 2).sum()))
assert abs(mean - true_mean) <= 0.1
assert abs(std - true_std) <= 0.05
valley = truth[(x > -0.5) & (x < 0.5)].sum()
assert normals[forward.argmin()][(x > -0.5) & (x < 0.5)].sum() > 4 * valley

mean, std = table[reverse.argmin()].tolist()
assert abs(mean + 2) <= 0.1
assert abs(std - 0.7) <= 0.1
second = torch.where(table[:, 0] > 1, reverse, math.inf).argmin()
assert abs(table[second, 0] - 2.5) <= 0.1
assert reverse[second] > reverse.min()
nearby = (table - table[second]).abs().amax(dim=1) < 0.3
assert (reverse[nearby] >= reverse[second]).all()

width = float(x[1] - x[0])
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
ax.fill_between(x, truth / width, color=ink, alpha=0.15, linewidth=0)
ax.plot(x, normals[forward.argmin()] / width, color="C0")
ax.plot(x, normals[reverse.argmin()] / width, color="C1")
ax.plot(x, normals[second] / width, color="C1", linestyle="--")
ax.text(-6.8, 0.12, "min D(P‖Q):\ncovers both", color="C0")
ax.text(-2.7, 0.5, "min D(Q‖P):\ncovers one mode", color="C1", ha="right")
ax.text(3.1, 0.5, "local minimum", color="C1")
ax.text(-2, 0.08, "P", ha="center")
ax.set(xlim=(-7, 7), ylim=(0, 0.65), xlabel="x", ylabel="density")
ax.set_title("A normal distribution fitted to two modes")
fig.set_label(
    "A density with two modes, shaded, and three normal densities. One is low and "
    "wide and covers both modes. One is narrow and covers the higher mode, on the "
    "left. A third, dashed, covers the lower mode."
)
plt.show()

# %%
# The surprise of a classifier in bits
# ------------------------------------
#
# Now real data: 1797 digits of 8 × 8 pixels, a third of them held out for the test. Before you see
# a digit, its class is nearly a fair choice out of ten, :math:`\log_2 10 = 3.32` bits. From the
# pixels, a softmax regression predicts ten probabilities, and its cross-entropy loss on the test
# digits is the remaining surprise.

digits = load_digits()
pixels = torch.as_tensor(digits.data) / 16
labels = torch.as_tensor(digits.target)
order = torch.randperm(len(pixels), generator=generator)
train, test = order[:-599], order[-599:]
weight, bias = linear.softmax_regression(pixels[train], labels[train], penalty=1.0)
logits = linear.linear(pixels[test], weight, bias)
bits = losses.cross_entropy(logits, labels[test]) / math.log(2)

shares = labels[train].bincount() / len(train)
prior = losses.cross_entropy_from_probabilities(shares.expand(599, -1), labels[test])
prior_bits = float(prior.mean()) / math.log(2)
left = float(bits.mean())
assert abs(prior_bits - math.log2(10)) < 0.05
assert left < 0.4

# %%
# Less than 0.4 of the 3.32 bits remain: the pixels carry at least 2.9 bits about the digit. Two to
# the power of the loss is the *perplexity*: the classifier is as uncertain as in a fair choice
# between fewer than 1.3 classes, down from ten.

assert prior_bits - left > 2.9
assert 2**left < 1.3
assert abs(float(information.perplexity(shares)) - 10) < 0.1

# %%
# The mean hides how uneven the surprise is. More than half of all digits cost less than a tenth of
# a bit, while the most surprising one in twenty contribute nearly half of the sum. A mistake costs
# more than one bit, because the correct class got less than half of the probability. The figure
# shows the eight most surprising digits, each with its true and its predicted class.

order = bits.argsort(descending=True)
read_as = logits.argmax(dim=1)
wrong = read_as != labels[test]
assert (bits < 0.1).double().mean() > 0.5
assert 0.4 < bits[order[:30]].sum() / bits.sum() < 0.55
assert (bits[wrong] > 1).all()

fig, axes = plt.subplots(2, 4, figsize=(5.4, 3.9), layout="constrained")
for ax, k in zip(axes.flat, order.tolist(), strict=False):
    ax.imshow(pixels[test[k]].reshape(8, 8), cmap="Greys")
    ax.set(xticks=[], yticks=[], xlabel=f"{bits[k]:.1f} bits")
    ax.spines[:].set_visible(True)
    ax.set_title(f"{labels[test[k]]} or {read_as[k]}?")
fig.set_label(
    "The eight test digits with the largest surprise, as grey images, each with its "
    "true class, its predicted class, and its surprise, from about 6 down to about "
    "3.5 bits."
)
plt.show()

# %%
# Calibration: is the confidence justified?
# -----------------------------------------
#
# A classifier also predicts its own surprise: the entropy of its probabilities. If this prediction
# is correct on average, the classifier is *calibrated* in this sense. Too weak a penalty makes it
# overconfident, because it overfits: this model expects less than half of the surprise that it
# observes.

weight, bias = linear.softmax_regression(pixels[train], labels[train], penalty=1e-3)
logits = linear.linear(pixels[test], weight, bias)
temperatures = [k / 20 for k in range(10, 101)]


def in_bits(rows):
    """Return the mean expected and the mean observed surprise in bits, at each temperature."""
    warm = torch.stack([logits[rows] / t for t in temperatures])
    expected = information.entropy(activations.softmax(warm), base=2)
    met = losses.cross_entropy(warm, labels[test][rows].expand(91, -1)) / math.log(2)
    return expected.mean(dim=1), met.mean(dim=1)


expected, met = in_bits(slice(None))
at_one = temperatures.index(1.0)
assert expected[at_one] < 0.5 * met[at_one]

# %%
# A temperature above 1 reduces the confidence. As it rises, the expected surprise rises, and the
# observed surprise falls at first. At the minimum of the observed surprise, the two are equal. The
# reason is the derivative of the cross-entropy with respect to :math:`1/T`: it is the difference
# between the mean logit that the model expects and the mean logit of the correct class, and where
# this is zero, the two surprises are the same. The accuracy has not changed, but the calibration
# error, the gap between confidence and accuracy, is smaller.

best = int(met.argmin())
assert temperatures[best] > 1.3
assert (expected.diff() > 0).all()
assert (met[: best + 1].diff() < 0).all()
assert abs(expected[best] - met[best]) < 0.01
assert met[best] < 0.9 * met[at_one]
errors = [
    metrics.calibration_error(
        labels[test], activations.softmax(logits, temperature=temperatures[k])
    )
    for k in (at_one, best)
]
assert errors[1] < errors[0]

# %%
# Here we chose the temperature on the test rows, to show its effect. In practice, choose it on
# other rows than those you report: a temperature chosen on one half of the rows also helps on the
# other.

_, of_first = in_bits(slice(0, 300))
_, of_second = in_bits(slice(300, None))
assert of_second[of_first.argmin()] < of_second[at_one]
assert of_first[of_second.argmin()] < of_first[at_one]

fig, ax = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
ax.plot(temperatures, met, color="C1")
ax.plot(temperatures, expected, color="C0")
ax.plot(temperatures[best], met[best], "o", color=ink, markersize=8)
ax.annotate(
    "minimum: observed\nequals expected surprise",
    (temperatures[best], float(met[best])),
    (0, -14),
    textcoords="offset points",
    va="top",
)
ax.text(0.7, 0.37, "observed", color="C1")
ax.text(3.4, 0.6, "expected", color="C0", ha="right")
ax.set(ylim=(0, 0.8), xlim=(0.5, 4), xlabel="temperature", ylabel="bits per digit")
ax.set_yticks([0, 0.25, 0.5, 0.75], labels=["0", "¼", "½", "¾"])
ax.set_title("At the best temperature, surprise is as expected")
fig.set_label(
    "The mean surprise on the test digits against the temperature of the softmax. The "
    "expected surprise rises from almost 0. The observed surprise falls from over 0.4 "
    "bits, has its minimum of 0.2 at a temperature of 1.9, exactly where the two "
    "curves cross, and rises again."
)
plt.show()

# %%
# Conclusion
# ----------
#
# The surprise of a digit's class is :math:`\log_2 10` bits without the pixels and less than 0.4
# bits with them. :func:`dlcore.information.entropy`, :func:`dlcore.information.cross_entropy` and
# :func:`dlcore.information.kl_divergence` take ``base=2`` for bits.
# :func:`dlcore.losses.cross_entropy`, the loss that trains a classifier, takes logits and is in
# nats; a bit is 0.69 nats. Its sum is a negative log-likelihood: maximizing the likelihood of the
# data and minimizing the surprise are the same, for classes here and for numbers in
# :doc:`regression </auto_gallery/02_linear/plot_noise_to_loss>`. The direction of a divergence
# decides whether the fit covers all modes or only one. :func:`dlcore.metrics.calibration_error`
# measures whether the confidence matches the accuracy; the :doc:`softmax temperature
# </auto_gallery/03_softmax/plot_softmax_family>` corrects it.

likelihoods = -losses.cross_entropy(logits, labels[test])
total = likelihood.negative_log_likelihood(likelihoods)
assert torch.isclose(total / len(test), math.log(2) * met[at_one])
