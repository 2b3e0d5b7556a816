r"""
Stable cross-entropy and log-sum-exp: where does exp overflow?
==============================================================

Two of three formulas for the cross-entropy fail in float32 once logits differ by 50 to 100.

In short
--------

If you compute the softmax first and its logarithm afterwards, the loss or its gradient fails in
float32 once two logits differ by about 50 to 100. Compute the loss from the logits by the
log-sum-exp instead; value and gradient are then correct for every gap that the format can hold.

.. math::

    l(\mathbf{o}, y) = \log\sum_k e^{o_k - \bar o} - (o_y - \bar o), \qquad \bar o = \max_k o_k .

*Prerequisites:* :doc:`softmax </auto_gallery/03_softmax/plot_softmax_family>` and floating-point
numbers.

The loss and the limits of float32
----------------------------------

On paper, a classifier takes the softmax of its logits, and the loss is minus the logarithm of the
probability of the correct class,

.. math::

    l(\mathbf{o}, y) = -\log\hat y_y, \qquad \hat y_j = \frac{e^{o_j}}{\sum_k e^{o_k}}, \qquad
    \frac{\partial l}{\partial \mathbf{o}} = \operatorname{softmax}(\mathbf{o}) - \mathbf{e}_y .

But :math:`e^{89}` is larger than the largest number of float32, and :math:`e^{-104}` is smaller
than its smallest positive number. There are three ways to compute this loss that are equivalent on
paper. Up to which gap between two logits does each of them work, and how does it fail beyond?
"""

import math

import matplotlib.pyplot as plt
import torch

from dlcore import activations, losses

# Change these numbers and run the script again.
seed = 0
precision = "float32"
max_gap = 150
formats = ["float16", "bfloat16", "float32", "float64"]
tolerance = 0.02
batch_size = 32
bad_gap = 95.0
claims = {}

# %%
# Naive, shifted and fused loss
# -----------------------------
#
# The *naive* loss follows the formula. The *shifted* loss subtracts the largest logit first, which
# changes no probability and keeps every exponential at most 1. The *fused* loss never computes the
# probabilities: it simplifies the logarithm first, :math:`-\log\hat y_y = \log\sum_k e^{o_k - \bar
# o} - (o_y - \bar o)` with :math:`\bar o = \max_k o_k`, and computes the result.


def naive(logits, labels):
    """Return the loss by exp, sum, division and log, as in the formula."""
    exps = logits.exp()
    probabilities = exps / exps.sum(-1, keepdim=True)
    return -probabilities.gather(-1, labels[:, None])[:, 0].log()


def shifted(logits, labels):
    """Return the naive loss after subtracting the largest logit."""
    return naive(logits - logits.amax(-1, keepdim=True), labels)


ways = {"fused": losses.cross_entropy, "shifted": shifted, "naive": naive}

# %%
# For moderate logits the three agree.

generator = torch.Generator().manual_seed(seed)
logits = torch.randn(100, 10, generator=generator, dtype=torch.float64)
labels = torch.randint(10, (100,), generator=generator)
for name, loss in ways.items():
    same = torch.allclose(loss(logits, labels), naive(logits, labels), rtol=1e-12)
    assert same, f"the {name} loss of moderate logits"

# %%
# The naive loss fails even for a correct prediction. At the logits (100, 0) the first class is
# almost certain, but in float32 its probability is computed as ∞/∞. The shift corrects this, and
# :func:`dlcore.activations.softmax` uses it.

sure = torch.tensor([[100.0, 0.0]])
first, second = torch.tensor([0]), torch.tensor([1])
assert naive(sure, first).isnan(), "∞ / ∞"
assert shifted(sure, first) == 0, "1 / 1"
assert activations.softmax(sure)[0, 0] == 1, "the softmax shifts, too"

# %%
# The value: overflow and underflow
# ---------------------------------
#
# A loss matters most for wrong predictions. So from now on the label is the class with the
# *smaller* logit. At the logits :math:`(g, 0)` the loss is :math:`\log(1 + e^g)`, almost the gap
# :math:`g` itself, and its gradient is :math:`(\sigma(g), -\sigma(g))`, which quickly approaches
# :math:`(1, -1)`.


def measure(name, gaps):
    """Return the loss, and its gradient at the larger logit, for each gap."""
    logits = torch.stack([gaps, torch.zeros_like(gaps)], dim=-1).requires_grad_()
    loss = ways[name](logits, torch.ones(len(gaps), dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    return loss.detach(), gradient[:, 0]


def limits(dtype):
    """Return the gaps g at which exp(g) overflows and exp(-g) underflows to 0."""
    info = torch.finfo(dtype)
    return math.log(info.max), -math.log(info.smallest_normal * info.eps)


gaps = torch.arange(1, max_gap + 1).to(getattr(torch, precision))
measured = {name: measure(name, gaps) for name in ways}
truth = gaps + torch.log1p(torch.exp(-gaps))

# %%
# In float32 the naive loss fails from a gap of 89 on, where :math:`e^g` overflows. The shifted loss
# fails from 104 on, where :math:`e^{-g}` underflows to 0. Both then return ∞. Subtracting the
# largest logit only moves the limit; the fused loss has none.

overflow, underflow = limits(gaps.dtype)
claims["The format overflows from 89 on and underflows from 104 on"] = (
    88 < overflow < 89 and 103 < underflow < 104
)
last_gaps = {"fused": math.inf, "shifted": underflow, "naive": overflow}
for name, last in last_gaps.items():
    loss, _ = measured[name]
    claims[f"Up to its limit, the {name} loss is correct, and then infinite"] = (
        torch.allclose(loss[gaps < last], truth[gaps < last], rtol=0.01)
        and (loss[gaps > last] == math.inf).all()
    )

# %%
# In the figures the three lines coincide as long as the losses agree. The fused line is the widest
# and lies below the others. A dot marks the last finite number.

# Figure
widths = {"fused": 12, "shifted": 6, "naive": 2}


def draw(values, title, ylim):
    """Draw the finite part of each line over the gaps, and mark its end."""
    fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
    for i, (name, of_name) in enumerate(values.items()):
        x, y = torch.stack([gaps, of_name])[:, of_name.isfinite()].float()
        style = {"color": f"C{i}", "alpha": 0.4 if name == "fused" else 1}
        ax.plot(x, y, linewidth=widths[name], label=name, **style)
        ax.plot(x[-1:], y[-1:], "o", markersize=widths[name] + 4, **style)
    ax.set(xlabel="gap between the logits", title=title, ylim=ylim)
    ax.legend()
    return fig


values = {name: loss for name, (loss, _) in measured.items()}
title = f"In {precision}, two of three losses become infinite"
fig = draw(values, title, (0, 1.1 * max_gap))
fig.set_label(
    "The loss against the gap between the logits, in float32. All three losses follow "
    "the same rising line. The naive one ends at a gap of 88, the shifted one at 103, "
    "and the fused one continues to the edge of the figure at 150."
)
plt.show()

# %%
# The gradient fails earlier
# --------------------------
#
# Training uses only the gradient, and the gradient fails earlier than the value. The derivative of
# the naive division contains :math:`e^{-2g}`, which underflows to 0 at half the gap: from 52 on the
# gradient is *zero* although the loss is still correct. There is no warning, and training ignores
# the most wrong example. From 89 on the gradient is NaN.
#
# The shifted loss has the correct gradient up to 88. From 89 on, the derivative of the logarithm, 1
# over a probability, overflows, and :math:`\infty\cdot 0` is NaN, although the loss is correct up
# to 103.

of_fused, of_shifted, of_naive = (gradient for _, gradient in measured.values())
sigmoids = gaps.sigmoid()
right = (gaps > 4) & (gaps < underflow / 2 - 8)
vanished = (gaps > underflow / 2) & (gaps < overflow)
claims["The naive gradient is right at first"] = torch.allclose(
    of_naive[right], sigmoids[right], atol=0.01
)
claims["The naive gradient is a tenth too large before it vanishes"] = (
    (of_naive[gaps == 51] > 1.1) & (of_naive[gaps == 51] < 1.15)
).all()
claims["The naive gradient is zero from half the underflow on"] = (
    of_naive[vanished] == 0
).all()
claims["The naive gradient ends in NaN"] = of_naive[gaps > overflow].isnan().all()
claims["The shifted gradient is right up to 88 and ends in NaN"] = (
    torch.allclose(of_shifted[gaps < overflow], sigmoids[gaps < overflow])
    and of_shifted[gaps > overflow].isnan().all()
)
assert torch.allclose(of_fused, sigmoids, rtol=0.01), "the fused gradient is right"

# sphinx_gallery_thumbnail_number = 2
# Figure
gradients = {name: gradient for name, (_, gradient) in measured.items()}
fig = draw(gradients, "Gradients fail earlier, one with a silent zero", (-0.1, 1.15))
fig.set_label(
    "The gradient at the larger logit against the gap, in float32. The fused gradient "
    "rises to 1 and stays there up to the edge at 150. The shifted gradient does so "
    "up to a gap of 88, where it ends. The naive gradient jumps to 1.1 at 51, falls "
    "to 0 at 52, stays there, and ends at 88."
)
plt.show()

# %%
# Four floating-point formats
# ---------------------------
#
# The limit depends on the exponent range of a format, not on its number of digits. With the
# exponents of float32, bfloat16 fails at similar gaps. With more digits but fewer exponents, float16
# fails at a gap of 8. Even float64 fails, only later. For each format, up to which gap are both the
# value and the gradient correct to 2 %?


def reach(name, dtype, gaps):
    """Return the largest gap up to which value and gradient are correct."""
    loss, gradient = measure(name, gaps.to(dtype))
    gaps = gaps.to(dtype).double()
    right = (
        loss.double() - gaps - torch.log1p(torch.exp(-gaps))
    ).abs() <= tolerance * gaps
    right &= (gradient.double() - gaps.sigmoid()).abs() <= tolerance
    return float((gaps * right.long().cumprod(0)).max())


steps = torch.arange(1.0, 801.0, dtype=torch.float64)
dtypes = [getattr(torch, name) for name in formats]
reached = {
    name: [reach(name, dtype, steps) for dtype in dtypes]
    for name in ("shifted", "naive")
}
for i, dtype in enumerate(dtypes):
    overflow, underflow = limits(dtype)
    claims[f"In {formats[i]}, the shifted loss is correct up to the overflow"] = (
        reached["shifted"][i] == math.floor(overflow)
    )
    claims[f"In {formats[i]}, the naive loss is correct up to half the underflow"] = (
        underflow / 2 - 5 < reached["naive"][i] < underflow / 2
    )
print(reached)

# %%
# The fused loss has no such limit. It is correct at every power of ten that the format can hold.

for name, dtype in zip(formats, dtypes, strict=True):
    largest = math.floor(math.log10(torch.finfo(dtype).max))
    powers = 10 ** torch.arange(0.0, largest + 1, dtype=torch.float64)
    claims[f"In {name}, the fused loss is correct up to the largest power of ten"] = (
        reach("fused", dtype, powers) == float(powers.to(dtype)[-1])
    )

# Figure
fig, ax = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
for color, side, name in [("C1", "left", "shifted"), ("C2", "right", "naive")]:
    ax.plot(reached[name], formats, "o", color=color, label=name)
    for end, row in zip(reached[name], formats, strict=True):
        ax.text(end, row, f"  {end:g}  ", color=color, ha=side, va="center")
ax.set(xscale="log", xlim=(1, 3000), xlabel="last gap that is correct")
ax.margins(y=0.2)
ax.set_title("How far the naive and the shifted loss reach")
ax.invert_yaxis()
fig.legend(loc="outside lower center", ncols=2)
fig.set_label(
    "The largest gap at which value and gradient are correct, for each format, on a "
    "logarithmic axis. naive and shifted: 7 and 11 in float16, 45 and 88 in bfloat16, "
    "50 and 88 in float32, 370 and 709 in float64."
)
plt.show()

# %%
# One bad example ends the training
# ---------------------------------
#
# One such example in a batch is enough. At a gap of 95, the naive and the shifted loss give it a
# gradient of NaN. The mean over the batch propagates this NaN to the weights, and the training is
# lost after the next step. With the fused loss it continues.

x = torch.rand(batch_size, 4, generator=generator)
labels = torch.randint(10, (batch_size,), generator=generator)
logits = torch.randn(batch_size, 10, generator=generator)
logits[-1] = 0
logits[-1, labels[-1] - 1] = bad_gap
for name, loss in ways.items():
    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, labels).mean(), leaf)
    of_weights = x.T @ gradient
    if name == "fused":
        assert of_weights.isfinite().all(), "the fused loss goes on"
    else:
        claims[f"One example turns weights into NaN with the {name} loss"] = (
            of_weights.isnan().any()
        )

# %%
# Conclusion
# ----------
#
# No logarithm can restore a probability that has been rounded to 0. So let a classifier return its
# logits, and let the loss take them: :func:`dlcore.losses.cross_entropy` for classes and
# :func:`dlcore.losses.logistic_loss` for binary labels have a correct value and gradient at every
# gap that a format can hold. Use :func:`dlcore.activations.softmax` to read probabilities, and
# :func:`dlcore.activations.log_softmax` for their logarithms. If you have probabilities from
# elsewhere, use :func:`dlcore.losses.cross_entropy_from_probabilities`, which returns ∞ where they
# are 0.

hopeless = torch.tensor([[1e4, 0.0]])
assert losses.cross_entropy(hopeless, second) == 1e4, "the gap"
assert losses.logistic_loss(hopeless[0, 0], torch.tensor(0.0)) == 1e4, "for two classes"
assert activations.log_softmax(hopeless)[0, 1] == -1e4, "the logarithm"
rounded = activations.softmax(hopeless)
too_late = losses.cross_entropy_from_probabilities(rounded, second)
assert too_late == math.inf, "a probability that was rounded to 0"

# %%
# Exercises
# ---------
#
# **1.** Someone subtracts the *smallest* logit instead of the largest. Each probability is the same
# on paper. Up to which gap does this work in float32?

# Solution
logits = torch.tensor([[88.0, 0.0], [89.0, 0.0]])
from_smallest = naive(logits - logits.amin(-1, keepdim=True), torch.tensor([1, 1]))
assert from_smallest.isfinite().tolist() == [True, False], "88: exp still overflows"

# %%
# **2.** With two classes, the probability of class 1 is the sigmoid of the logit :math:`o`. In
# float32, from about which :math:`o` on is :math:`-\log(1 - \sigma(o))` infinite? It is much
# smaller than 89: why?

# Solution
logits = torch.arange(1.0, 30.0)
loss = -(1 - activations.sigmoid(logits)).log()
first_infinite = float(logits[loss == math.inf][0])
assert 16 <= first_infinite <= 19, "σ is rounded to 1 as soon as e⁻ᵒ is below 2⁻²⁵"
right = losses.logistic_loss(logits, torch.zeros_like(logits))
assert torch.allclose(right, logits.double().exp().log1p().float()), "from the logit"

# %%
# **3.** PyTorch's ``CrossEntropyLoss`` takes logits. Someone passes it the softmax of the logits.
# What is the smallest loss that ten classes can then reach?

# Solution
perfect = torch.eye(10)[:1]
twice = torch.nn.CrossEntropyLoss()(perfect, first)
assert math.isclose(twice, math.log(math.e + 9) - 1, rel_tol=1e-5), "log(e + 9) − 1"
claims["Even a perfect classifier stays at a loss of 1.46"] = abs(twice - 1.46) < 0.01

# %%
# If you change the settings, the script tells you here which of its claims no longer hold.

for claim, holds in claims.items():
    if not holds:
        print(f"No longer true with these settings: {claim}.")
