r"""
Mutual information: which pixels tell the digit?
================================================

Mutual information counts the bits that one pixel, or two together, give about the class of an
image.

In short
--------

The mutual information of two variables is the number of bits by which knowing one lowers the entropy
of the other. The class of a digit has an entropy of 3.3 bits, and a single pixel gives up to 0.7
bits about it. Two pixels can give less than the sum of both, because they repeat each other, or
more, because some information needs both.

.. math::

    I(X; Y) = \sum_{x, y} p(x, y) \log \frac{p(x, y)}{p(x)\,p(y)}
        = H(Y) - H(Y \mid X) = H(X) + H(Y) - H(X, Y) .

*Prerequisites:* :doc:`entropy </auto_gallery/03_softmax/plot_surprise>`.
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import one_hot

from dlcore import information, linear, metrics

# Change these numbers and run the script again.
seed = 0
n_shuffles = 20
threshold = 7
n_best = 10
claims = {}

# %%
# The information in each pixel
# -----------------------------
#
# The digits of scikit-learn have :math:`8 \times 8` pixels with 17 levels. Counting how often each
# level of a pixel occurs with each class gives their joint distribution, a table of 17 rows and 10
# columns. :func:`dlcore.information.mutual_information` takes 64 such tables at once.

digits = load_digits()
pixels, classes = torch.as_tensor(digits.data).long(), torch.as_tensor(digits.target)
n = len(classes)


def information_of(values, classes):
    """Return the bits that each column of integers gives about the class."""
    levels = one_hot(values, int(values.max()) + 1).double()
    joint = torch.einsum("npv,nc->pvc", levels, one_hot(classes, 10).double()) / n
    return information.mutual_information(joint, base=2), joint


bits, joint = information_of(pixels, classes)
of_class, of_pixel = joint.sum(1), joint.sum(2)
entropy = information.entropy(of_class[0], base=2)
of_both = information.entropy(joint.flatten(1), base=2)
sum_of_entropies = information.entropy(of_pixel, base=2) + entropy
assert torch.allclose(bits, sum_of_entropies - of_both), "H(X) + H(Y) - H(X, Y)"
assert (bits <= entropy).all(), "no pixel gives more than the entropy of the class"
print(f"entropy {entropy:.2f} bits, best pixel {bits.max():.2f} bits")
claims["The class has an entropy of 3.3 bits"] = abs(entropy - math.log2(10)) < 0.01
claims["The best pixel gives 0.6 to 0.75 bits"] = 0.6 < bits.max() < 0.75

# Figure
fig, ax = plt.subplots(figsize=(5, 3.9), layout="constrained")
picture = ax.imshow(bits.reshape(8, 8), cmap="Blues", vmin=0)
fig.colorbar(picture, label="bits about the class")
ax.set(xlabel="column", ylabel="row", title="Pixels in the middle tell the most")
fig.set_label(
    "The 8 × 8 pixels, coloured by the bits that each gives about the class. The columns at both "
    "edges give almost none, and several pixels in between give more than 0.6 bits."
)
plt.show()

# %%
# Chance looks like information
# -----------------------------
#
# In a finite number of rows, even an independent variable seems informative: with :math:`v` levels
# and :math:`c` classes, its estimated information is about :math:`(v - 1)(c - 1) / 2n` nats on
# average. To measure this, we shuffle the classes. Most pixels at the left edge give no more than
# the largest value of the shuffles.

generator = torch.Generator().manual_seed(seed)
by_chance = torch.stack(
    [
        information_of(pixels, classes[torch.randperm(n, generator=generator)])[0]
        for _ in range(n_shuffles)
    ]
)
used_levels = (of_pixel > 0).sum(1)
expected = (used_levels - 1) * 9 / (2 * n * math.log(2))
print(f"by chance {by_chance.mean():.3f} bits, by the formula {expected.mean():.3f}")
informative = bits > by_chance.amax(0)
claims["The formula agrees with the shuffled classes to within a fifth"] = (
    abs(by_chance.mean() / expected.mean() - 1) < 0.2
)
claims["All pixels of the two middle columns are informative"] = bool(
    informative.reshape(8, 8)[:, 3:5].all()
)
claims["At most two pixels of the left edge are informative"] = bool(
    informative.reshape(8, 8)[:, 0].sum() <= 2
)

# %%
# Two pixels: repetition and synergy
# ----------------------------------
#
# If a classifier may use only ten pixels, which should it use? Not the ten that are most
# informative alone. We reduce each pixel to dark or bright, and compare the information of a *pair*
# with the sum of both. Most pairs give about the sum. Some give up to 0.2 bits less, because their
# pixels repeat each other. Others give up to 0.09 bits more, because what one pixel means depends
# on the other.

bright = (pixels > threshold).long()
single, _ = information_of(bright, classes)
first, second = torch.triu_indices(64, 64, offset=1)
pair, _ = information_of(2 * bright[:, first] + bright[:, second], classes)
alone = single[first] + single[second]
gain = pair - alone
assert (pair >= torch.maximum(single[first], single[second]) - 1e-9).all(), "never less"
print(f"repeated: up to {-gain.min():.2f} bits, gained: up to {gain.max():.2f} bits")
claims["Nine of ten pairs give the sum to within 0.05 bits"] = (
    gain.abs() < 0.05
).double().mean() > 0.9
claims["Some pairs give 0.15 bits less than the sum"] = gain.min() < -0.15
claims["Some pairs give 0.05 bits more than the sum"] = gain.max() > 0.05

# Figure
fig, ax = plt.subplots(figsize=(5, 3.9), layout="constrained")
ax.plot(alone, pair, ".C0", markersize=3, alpha=0.5, label="a pair of pixels")
ax.axline((0, 0), slope=1, color="C1", label="sum of both")
ax.set(xlabel="bits of the two alone", ylabel="bits of the pair")
ax.legend()
fig.set_label(
    "The information of each of 2016 pairs of pixels against the sum of both alone, in bits. The "
    "points lie along the diagonal, and some of those with much information are below it."
)
plt.show()

# %%
# A greedy choice uses this. It begins with the best pixel and adds one pixel at a time. For each
# candidate, it computes what the candidate adds to each of the chosen pixels, and takes the
# smallest of these values; the candidate with the largest one is added. A classifier that uses
# these ten pixels makes fewer errors than one that uses the ten pixels that are best alone.

table = torch.zeros(64, 64, dtype=torch.float64)
table[first, second] = table[second, first] = gain
best_alone = single.topk(n_best).indices
chosen = [int(single.argmax())]
while len(chosen) < n_best:
    beyond = single + table[chosen].amin(0)
    beyond[chosen] = -math.inf
    chosen.append(int(beyond.argmax()))


def error(columns):
    """Return the error on the second half of a classifier fitted to the first."""
    x, half = bright[:, columns].double(), n // 2
    fitted = linear.softmax_regression(
        x[:half], classes[:half], n_classes=10, penalty=1.0
    )
    read = linear.linear(x[half:], *fitted).argmax(1)
    return 1 - float(metrics.accuracy(classes[half:], read))


errors = {"best alone": error(best_alone), "greedy": error(torch.tensor(chosen))}
print({name: f"{value:.0%}" for name, value in errors.items()})
claims["The greedy choice makes fewer errors"] = errors["greedy"] < errors["best alone"]

# %%
# Conclusion
# ----------
#
# :func:`dlcore.information.mutual_information` measures any dependence, even one without a
# correlation, in units that can be compared: no set of pixels gives more than the entropy of the
# class, which :func:`dlcore.information.entropy` computes. Compare the result with that of shuffled
# classes, and do not add up the information of variables that repeat each other.

# %%
# Exercises
# ---------
#
# **1.** Toss two fair coins. How many bits does each coin give about whether they agree, and how
# many do both give?

# Solution
one_coin = torch.tensor([[0.25, 0.25], [0.25, 0.25]])  # coin by agreement
both = torch.tensor([[0.25, 0.0], [0.0, 0.25], [0.0, 0.25], [0.25, 0.0]])
assert information.mutual_information(one_coin, base=2) == 0, "one coin tells nothing"
assert information.mutual_information(both, base=2) == 1, "both tell all"

# %%
# **2.** The value of a pixel is replaced by its square. How does its information change?

# Solution
squares, _ = information_of(pixels.square(), classes)
assert torch.allclose(squares, bits), "not at all: the levels only get new names"

# %%
# **3.** How many bits does the class give about itself, and about a copy that is wrong in a tenth
# of the rows?

# Solution
is_wrong = torch.rand(n, generator=generator) < 0.1
other = torch.randint(1, 10, (n,), generator=generator)
copies = torch.stack([classes, torch.where(is_wrong, classes + other, classes) % 10], 1)
exact, noisy = information_of(copies, classes)[0]
assert torch.isclose(exact, entropy), "all of its entropy"
lost = information.entropy(torch.tensor([0.9, *[0.1 / 9] * 9]), base=2)
claims["The errors cost their own entropy"] = abs(exact - noisy - lost) < 0.15

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
