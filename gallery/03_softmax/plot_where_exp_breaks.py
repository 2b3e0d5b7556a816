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
numbers. *Reading time:* 10 minutes.

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

# %%
# Naive, shifted and fused loss
# -----------------------------
#
# The *naive* loss follows the formula. The *shifted* loss subtracts the largest logit first, which
# changes no probability and keeps every exponential at most 1. The *fused* loss never computes the
# probabilities: it simplifies the logarithm first, :math:`-\log\hat y_y = \log\sum_k e^{o_k - \bar
# o} - (o_y - \bar o)` with :math:`\bar o = \max_k o_k`, and computes the result.


def naive(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss by exp, sum, division and log, as in the formula."""
    exps = logits.exp()
    probabilities = exps / exps.sum(-1, keepdim=True)
    return -probabilities.gather(-1, labels[:, None])[:, 0].log()


def shifted(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the naive loss after subtracting the largest logit."""
    return naive(logits - logits.amax(-1, keepdim=True), labels)


ways = {"naive": naive, "shifted": shifted, "fused": losses.cross_entropy}

# %%
# For moderate logits the three agree.

generator = torch.Generator().manual_seed(0)
logits = torch.randn(100, 10, generator=generator, dtype=torch.float64)
labels = torch.randint(10, (100,), generator=generator)
for loss in ways.values():
    assert torch.allclose(loss(logits, labels), naive(logits, labels), rtol=1e-12)

# %%
# The naive loss fails even for a correct prediction. At the logits (100, 0) the first class is
# almost certain, but in float32 its probability is computed as ∞/∞. The shift corrects this, and
# :func:`dlcore.activations.softmax` uses it.

sure = torch.tensor([[100.0, 0.0]])
first, second = torch.tensor([0]), torch.tensor([1])
assert naive(sure, first).isnan()
assert shifted(sure, first) == 0
assert activations.softmax(sure)[0, 0] == 1

# %%
# The value: overflow and underflow
# ---------------------------------
#
# A loss matters most for wrong predictions. So from now on the label is the class with the
# *smaller* logit. At the logits :math:`(g, 0)` the loss is :math:`\log(1 + e^g)`, almost the gap
# :math:`g` itself, and its gradient is :math:`(\sigma(g), -\sigma(g))`, which quickly approaches
# :math:`(1, -1)`.


def measure(name: str, gaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss, and its gradient at the larger logit, for each gap."""
    logits = torch.stack([gaps, torch.zeros_like(gaps)], dim=-1).requires_grad_()
    loss = ways[name](logits, torch.ones(len(gaps), dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    return loss.detach(), gradient[:, 0]


gaps = torch.arange(1.0, 151.0)
measured = {name: measure(name, gaps) for name in ways}
truth = gaps + torch.log1p(torch.exp(-gaps))

# %%
# In float32 the naive loss fails from a gap of 89 on, where :math:`e^g` overflows. The shifted loss
# fails from 104 on, where :math:`e^{-g}` underflows to 0. Both then return ∞. Subtracting the
# largest logit only moves the limit; the fused loss has none.

limits = torch.finfo(torch.float32)
overflow = math.log(limits.max)
underflow = -math.log(limits.smallest_normal * limits.eps)
assert 88 < overflow < 89
assert 103 < underflow < 104
for name, last in [("naive", overflow), ("shifted", underflow), ("fused", math.inf)]:
    loss, _ = measured[name]
    assert torch.allclose(loss[gaps < last], truth[gaps < last], rtol=0.01)
    assert (loss[gaps > last] == math.inf).all()

# %%
# In the figures the three lines coincide as long as the losses agree. The fused line is the widest
# and lies below the others.

widths = {"fused": 12, "shifted": 6, "naive": 2}
colors = {"fused": "C0", "shifted": "C1", "naive": "C2"}


def draw(ax: plt.Axes, values: dict[str, torch.Tensor]) -> None:
    """Draw the finite part of each line over the gaps, and mark its end."""
    for name, width in widths.items():
        finite = values[name].isfinite()
        x, y = gaps[finite], values[name][finite]
        alpha = 0.4 if name == "fused" else 1
        ax.plot(x, y, color=colors[name], linewidth=width, alpha=alpha)
        if name != "fused":
            ax.plot(x[-1], y[-1], "o", markersize=width + 4, color=colors[name])


fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
draw(ax, {name: loss for name, (loss, _) in measured.items()})
ax.text(91, 78, "naive: ∞ from 89 on", color="C2")
ax.text(110, 97, "shifted: ∞\nfrom 104 on", color="C1", va="center")
ax.text(116, 127, "fused", color="C0", ha="right", va="center")
ax.set(xlim=(0, 150), ylim=(0, 150), xlabel="gap between the logits", ylabel="loss")
ax.set(title="In float32 two of the three losses become infinite")
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

_, of_naive = measured["naive"]
assert torch.allclose(of_naive[4:43], torch.ones(39), atol=0.01)
assert 1.1 < of_naive[50] < 1.15
assert (of_naive[(gaps > underflow / 2) & (gaps < overflow)] == 0).all()
assert of_naive[gaps > overflow].isnan().all()
_, of_shifted = measured["shifted"]
assert torch.allclose(of_shifted[gaps < overflow], gaps[gaps < overflow].sigmoid())
assert of_shifted[gaps > overflow].isnan().all()
_, of_fused = measured["fused"]
assert torch.allclose(of_fused, gaps.sigmoid())

# sphinx_gallery_thumbnail_number = 2
fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
draw(ax, {name: gradient for name, (_, gradient) in measured.items()})
ax.text(92, 0, "naive: NaN\nfrom 89 on", color="C2", va="center")
ax.text(55, 0.1, "zero from 52 on", color="C2")
ax.text(92, 0.9, "shifted: NaN\nfrom 89 on", color="C1", va="top")
ax.text(130, 1.07, "fused", color="C0", ha="right", va="center")
ax.set(xlim=(0, 150), ylim=(-0.1, 1.15), yticks=[0, 0.5, 1])
ax.set(xlabel="gap between the logits", ylabel="gradient at the larger logit")
ax.set_title("The gradients fail earlier, one with a silent zero")
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
# The limit depends on the exponent range of a format, not on its number of digits. bfloat16 has the
# exponents of float32 and fails at similar gaps. float16 has more digits but fewer exponents: there
# the naive loss fails at a gap of 8. float64 also fails, only later. For each format, up to which
# gap are both the value and the gradient correct to 2 %?


def reach(name: str, dtype: torch.dtype, gaps: torch.Tensor) -> float:
    """Return the largest gap up to which value and gradient are correct to 2 %."""
    loss, gradient = measure(name, gaps.to(dtype))
    gaps = gaps.to(dtype).double()
    right = (loss.double() - gaps - torch.log1p(torch.exp(-gaps))).abs() <= 0.02 * gaps
    right &= (gradient.double() - gaps.sigmoid()).abs() <= 0.02
    return float(gaps[right.long().cumprod(0).bool()][-1])


formats = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
steps = torch.arange(1.0, 801.0, dtype=torch.float64)
reached = {
    dtype: [reach(name, dtype, steps) for name in ("naive", "shifted")]
    for dtype in formats
}
for dtype, (of_naive, of_shifted) in reached.items():
    limits = torch.finfo(dtype)
    overflow = math.log(limits.max)
    underflow = -math.log(limits.smallest_normal * limits.eps)
    assert math.floor(overflow) == of_shifted
    assert underflow / 2 - 5 < of_naive < underflow / 2
print({str(dtype).removeprefix("torch."): gaps for dtype, gaps in reached.items()})

# %%
# The fused loss has no such limit. It is correct at every power of ten that the format can hold.

for dtype in formats:
    largest = math.floor(math.log10(torch.finfo(dtype).max))
    powers = 10 ** torch.arange(0.0, largest + 1, dtype=torch.float64)
    assert reach("fused", dtype, powers) == float(powers.to(dtype)[-1])

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for row, last in enumerate(reached.values()):
    ax.plot([2, 4e3], [row, row], color=colors["fused"], linewidth=12, alpha=0.4)
    for name, gap in [("shifted", last[1]), ("naive", last[0])]:
        ax.plot([2, gap], [row, row], color=colors[name], linewidth=widths[name])
        ax.plot(gap, row, "o", markersize=widths[name] + 4, color=colors[name])
        text = f"{name} {gap:.0f}" if row == 0 else f"{gap:.0f}"
        align = "right" if name == "naive" else "left"
        place = {"xytext": (0, 11), "textcoords": "offset points", "ha": align}
        ax.annotate(text, (gap, row), color=colors[name], **place)
ax.annotate("fused: no limit", (4e3, 0), color=colors["fused"], **place)
ax.texts[-1].set(ha="right")
ax.set(xscale="log", xlim=(2, 4e3), xticks=[10, 100, 1000])
ax.set_xticklabels(["10", "100", "1000"])
ax.set_yticks(range(4), [str(dtype).removeprefix("torch.") for dtype in formats])
ax.set(ylim=(3.4, -0.6), xlabel="gap between the logits")
ax.set_title("Gaps at which value and gradient are correct")
fig.set_label(
    "The largest gap at which value and gradient are correct, for each format, on a "
    "logarithmic axis. naive and shifted: 7 and 11 in float16, 45 and 88 in bfloat16, "
    "50 and 88 in float32, 370 and 709 in float64. The line of the fused loss reaches "
    "the right edge in all four."
)
plt.show()

# %%
# One bad example ends the training
# ---------------------------------
#
# One such example in a batch is enough. At a gap of 95, the naive and the shifted loss give it a
# gradient of NaN. The mean over the batch propagates this NaN to the weights, and the training is
# lost after the next step. With the fused loss it continues.

x = torch.rand(32, 4, generator=generator)
labels = torch.randint(10, (32,), generator=generator)
logits = torch.randn(32, 10, generator=generator)
logits[7] = 0
logits[7, labels[7] - 1] = 95.0
for name, loss in ways.items():
    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, labels).mean(), leaf)
    of_weights = x.T @ gradient
    assert of_weights.isnan().any() == (name != "fused")
    assert of_weights.isfinite().all() == (name == "fused")

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
assert losses.cross_entropy(hopeless, second) == 1e4
assert losses.logistic_loss(hopeless[0, 0], torch.tensor(0.0)) == 1e4
assert activations.log_softmax(hopeless)[0, 1] == -1e4
rounded = activations.softmax(hopeless)
assert losses.cross_entropy_from_probabilities(rounded, second) == math.inf
