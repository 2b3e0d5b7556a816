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
</auto_gallery/03_softmax/plot_softmax_regression_on_digits>`.

Surprise and its expectations
-----------------------------

The *surprise* of an outcome of probability :math:`p` is :math:`-\log p`. It is zero if the outcome
was certain. It is one *bit* if the outcome was the toss of a fair coin and the logarithm has base
2. The formulas above are three expectations. The *entropy* is the expected surprise if you know the
distribution :math:`P`. The *cross-entropy* is the expected surprise if you believe :math:`Q`
instead. Their difference, the *Kullback-Leibler divergence*, is the cost of the wrong belief. A
classifier believes its predicted probabilities. How surprised is it?
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import activations, information, likelihood, linear, losses, metrics

# Change these numbers and run the script again.
seed = 0
n_letters = 100_000
modes = [-2.0, 2.5]
mode_std = 0.7
n_test = 599
penalty = 1.0
weak_penalty = 1e-3
claims = {}

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

generator = torch.Generator().manual_seed(seed)
p = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
uniform = torch.full_like(p, 0.25)
right, wrong = ["0", "10", "110", "111"], ["00", "01", "10", "11"]
surprise = information.surprisal(p, base=2).tolist()
assert all(map(math.isclose, surprise, map(len, right))), "a digit for each bit"
for n_digits, average in [
    (1.75, information.entropy(p, base=2)),
    (2.0, information.cross_entropy(p, uniform, base=2)),
    (0.25, information.kl_divergence(p, uniform, base=2)),
]:
    assert math.isclose(n_digits, average), "digits per letter"

message = torch.multinomial(p, n_letters, replacement=True, generator=generator)
encoded = ["".join(code[j] for j in message.tolist()) for code in (right, wrong)]
per_letter = [len(text) / n_letters for text in encoded]
assert per_letter[1] == 2, "the second code has two digits for each letter"
claims["The message needs 1.75 digits per letter"] = abs(per_letter[0] - 1.75) < 0.02

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
assert math.isclose(entropy[100], 1), "one bit for a fair coin"
assert entropy[0] == entropy[-1] == 0, "none for a certain one"
assert torch.allclose(cross_entropy, torch.ones_like(heads)), "whatever the coin"
assert torch.allclose(entropy + of_wrong, cross_entropy), "the excess is the divergence"
assert backwards[0] == backwards[-1] == math.inf, "the impossible happens"

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
ax.plot(heads, cross_entropy, color="C1", label="if you believe it is fair")
ax.plot(heads, entropy, color="C0", label="if you know the coin")
ax.fill_between(
    heads, entropy, cross_entropy, color="C1", alpha=0.2, label="divergence"
)
ax.set(xlabel="probability of heads", ylabel="bits per toss")
ax.set_title("Entropy plus divergence is cross-entropy")
ax.legend(loc="lower center")
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


humps = [likelihood.normal_density(x, mean=m, std=mode_std) for m in modes]
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

true_mean = float((truth * x).sum())
true_std = math.sqrt(float((truth * (x - true_mean) ** 2).sum()))
covering, choosing = forward.argmin(), reverse.argmin()
mean, std = table[covering].tolist()
claims["The best Q of the forward divergence has the mean and deviation of P"] = (
    abs(mean - true_mean) <= 0.1 and abs(std - true_std) <= 0.05
)
valley = (x - sum(modes) / 2).abs() < 0.5
claims["In the valley, this Q is four times as large as P"] = (
    normals[covering][valley].sum() > 4 * truth[valley].sum()
)

mean, std = table[choosing].tolist()
claims["The best Q of the reverse divergence is the higher mode"] = (
    abs(mean - modes[0]) <= 0.1 and abs(std - mode_std) <= 0.1
)
second = torch.where(table[:, 0] > modes[1] - 1.5, reverse, math.inf).argmin()
nearby = (table - table[second]).abs().amax(dim=1) < 0.3
claims["A local minimum of the reverse divergence is the other mode"] = (
    abs(table[second, 0] - modes[1]) <= 0.1
    and reverse[second] > reverse.min()
    and (reverse[nearby] >= reverse[second]).all()
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.9), layout="constrained")
ax.fill_between(x, truth, color="C3", alpha=0.3, label="P")
ax.plot(x, normals[covering], "C0", label="min D(P‖Q): covers both")
ax.plot(x, normals[choosing], "C1", label="min D(Q‖P): covers one")
ax.plot(x, normals[second], "--C1", label="its local minimum")
ax.set(xlabel="x", ylabel="probability", yticks=[])
ax.set_title("A normal distribution fitted to two modes")
fig.legend(loc="outside lower center", ncols=2)
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
train, test = order[:-n_test], order[-n_test:]
weight, bias = linear.softmax_regression(pixels[train], labels[train], penalty=penalty)
logits = linear.linear(pixels[test], weight, bias)
bits = losses.cross_entropy(logits, labels[test]) / math.log(2)

shares = labels[train].bincount() / len(train)
prior = losses.cross_entropy_from_probabilities(shares.expand(n_test, -1), labels[test])
prior_bits = float(prior.mean()) / math.log(2)
left = float(bits.mean())
claims["Without the pixels, the surprise is nearly 3.32 bits"] = (
    abs(prior_bits - math.log2(10)) < 0.05
)
claims["With them, less than 0.4 bits remain"] = left < 0.4

# %%
# Less than 0.4 of the 3.32 bits remain: the pixels carry at least 2.9 bits about the digit. Two to
# the power of the loss is the *perplexity*: the classifier is as uncertain as in a fair choice
# between fewer than 1.3 classes, down from ten.

claims["The pixels carry at least 2.9 bits"] = prior_bits - left > 2.9
claims["The perplexity falls from ten to below 1.3"] = (
    abs(float(information.perplexity(shares)) - 10) < 0.1 and 2**left < 1.3
)

# %%
# The mean hides how uneven the surprise is. More than half of all digits cost less than a tenth of
# a bit, while the most surprising one in twenty contribute nearly half of the sum. A mistake costs
# more than one bit, because the correct class got less than half of the probability. The figure
# shows the eight most surprising digits, each with its true and its predicted class.

order = bits.argsort(descending=True)
read_as = logits.argmax(dim=1)
is_wrong = read_as != labels[test]
assert (bits[is_wrong] >= 0.999).all(), "a mistake costs more than one bit"
claims["More than half of the digits cost less than a tenth of a bit"] = (
    bits < 0.1
).double().mean() > 0.5
share_of_few = bits[order[: n_test // 20]].sum() / bits.sum()
claims["One digit in twenty contributes nearly half of the surprise"] = (
    0.4 < share_of_few < 0.55
)

# Figure
fig, axes = plt.subplots(2, 4, figsize=(5.4, 3.6), layout="constrained")
for ax, k in zip(axes.flat, order.tolist(), strict=False):
    ax.imshow(pixels[test[k]].reshape(8, 8), cmap="Greys")
    ax.set(xticks=[], yticks=[], xlabel=f"{bits[k]:.1f} bits")
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

weight, bias = linear.softmax_regression(
    pixels[train], labels[train], penalty=weak_penalty
)
logits = linear.linear(pixels[test], weight, bias)
temperatures = [k / 20 for k in range(10, 101)]


def in_bits(rows):
    """Return the mean expected and the mean observed surprise in bits, at each temperature."""
    warm = torch.stack([logits[rows] / t for t in temperatures])
    expected = information.entropy(activations.softmax(warm), base=2)
    truth = labels[test][rows].expand(len(temperatures), -1)
    met = losses.cross_entropy(warm, truth) / math.log(2)
    return expected.mean(dim=1), met.mean(dim=1)


expected, met = in_bits(slice(None))
at_one = temperatures.index(1.0)
claims["The model expects less than half of the surprise that it observes"] = (
    expected[at_one] < 0.5 * met[at_one]
)

# %%
# A temperature above 1 reduces the confidence. As it rises, the expected surprise rises, and the
# observed surprise falls at first. At the minimum of the observed surprise, the two are equal. The
# reason is the derivative of the cross-entropy with respect to :math:`1/T`: it is the difference
# between the mean logit that the model expects and the mean logit of the correct class, and where
# this is zero, the two surprises are the same. The accuracy has not changed, but the calibration
# error, the gap between confidence and accuracy, is smaller.

best = int(met.argmin())
assert (expected.diff() >= 0).all(), "the expected surprise rises with the temperature"
assert (met[: best + 1].diff() <= 0).all(), "the observed one falls at first"
claims["The best temperature is above 1.3"] = temperatures[best] > 1.3
claims["At the best temperature, the two surprises are equal"] = (
    abs(expected[best] - met[best]) < 0.01
)
claims["The best temperature removes a tenth of the surprise"] = (
    met[best] < 0.9 * met[at_one]
)
errors = [
    metrics.calibration_error(labels[test], activations.softmax(logits, temperature=t))
    for t in (1.0, temperatures[best])
]
claims["The calibration error is smaller"] = errors[1] < errors[0]

# %%
# Here we chose the temperature on the test rows, to show its effect. In practice, choose it on rows
# other than those you report on: a temperature chosen on one half of the rows also helps on the
# other.

_, of_first = in_bits(slice(0, n_test // 2))
_, of_second = in_bits(slice(n_test // 2, None))
claims["A temperature chosen on one half helps on the other"] = (
    of_second[of_first.argmin()] < of_second[at_one]
    and of_first[of_second.argmin()] < of_first[at_one]
)

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
ax.plot(temperatures, met, "C1", label="observed")
ax.plot(temperatures, expected, "C0", label="expected")
ax.plot(temperatures[best], met[best], "oC2", label="minimum: equal")
ax.set(xlim=(0.5, 4), ylim=(0, 0.8), xlabel="temperature", ylabel="bits per digit")
ax.set_title("At the best temperature, surprise is as expected")
ax.legend(loc="upper left")
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

log_likelihoods = -losses.cross_entropy(logits, labels[test])
total = likelihood.negative_log_likelihood(log_likelihoods)
assert torch.isclose(total / n_test, math.log(2) * met[at_one]), "the same, in nats"

# %%
# Exercises
# ---------
#
# **1.** All four letters are equally likely, but you use the code for ½, ¼, ⅛ and ⅛. How many
# digits does a letter need on average, and what does the wrong belief cost?

# Solution
mean_length = sum(len(word) for word in right) / 4
assert mean_length == 2.25, "the mean of 1, 2, 3 and 3"
crossed = information.cross_entropy(uniform, p, base=2)
assert math.isclose(crossed, mean_length), "the cross-entropy, the other way round"
cost = information.kl_divergence(uniform, p, base=2)
assert math.isclose(cost, 0.25), "D(Q‖P) is a quarter of a digit, here as D(P‖Q)"

# %%
# **2.** You toss two different coins. What is the entropy of both results together?

# Solution
bent, bad = coins[60], coins[140]
both = torch.outer(bent, bad).flatten()
sum_of_two = information.entropy(bent, base=2) + information.entropy(bad, base=2)
assert torch.isclose(information.entropy(both, base=2), sum_of_two), "the sum of both"

# %%
# **3.** Which belief about the ten classes, without looking at the pixels, has the smallest mean
# surprise on the training digits? Compare a thousand random beliefs.

# Solution
beliefs = torch.randn(1000, 10, generator=generator, dtype=pixels.dtype).softmax(dim=1)
observed = shares.to(beliefs.dtype).expand_as(beliefs)
surprises = information.cross_entropy(observed, beliefs)
least = information.entropy(observed[0])
assert (surprises >= least).all(), "the frequencies themselves: no divergence is < 0"

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
