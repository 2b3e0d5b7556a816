r"""
Concept drift detection: when did the rule change?
==================================================

Monitors of a model's losses detect when the relation between inputs and labels changes, which no
test of the inputs can.

In short
--------

Under concept drift, :math:`p(y \mid \mathbf{x})` changes over time; if the inputs stay the same,
only the losses :math:`l_t` of the model reveal it. Page–Hinkley and ADWIN detect the change within
150 images here, and fine-tuning on ADWIN's window nearly restores the model. The Page–Hinkley test
is

.. math::

    l_t = \mathbb{1}[\hat{y}_t \ne y_t], \qquad
    m_t = \sum_{i=1}^{t} (l_i - \bar l_i - \delta), \qquad
    m_t - \min_{i \le t} m_i > \lambda \;\Rightarrow\; \text{alarm},

where :math:`\bar l_i` is the mean of the first :math:`i` losses, :math:`\delta` is the increase of
the mean loss that is tolerated, and :math:`\lambda` is the threshold: a larger one gives fewer
false alarms and later detection.

*Prerequisites:* :doc:`softmax regression
</auto_gallery/03_softmax/plot_softmax_regression_on_digits>`. *Reading time:* 10 minutes.

Setting
-------

A model is in use: an image arrives, the model classifies it, and a little later we learn the true
label. One day the rule :math:`p(y \mid \mathbf{x})` changes, while the images stay as they were. No
test of the inputs can detect this, but the losses can. Instead of a sum, adaptive windowing (ADWIN)
keeps a window of the newest losses, and drops its oldest part as soon as the mean of that part
differs from the mean of the rest by more than chance allows. How soon do the two monitors detect
the change, and what should be done then?
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from dlcore import losses, training
from dlcore.shift import concept, detect

ink = plt.rcParams["text.color"]

# %%
# A stream of digits with a change of labels
# ------------------------------------------
#
# Softmax regression is trained on 400 of scikit-learn's digits. The other 1397 arrive one by one.
# After 700 of them, the labels of three digits are exchanged: a 1 is now called 2, a 2 is called 3,
# and a 3 is called 1. Everything is repeated with four random orders.

digits = load_digits()
images = torch.as_tensor(digits.data, dtype=torch.float32) / 16
names = torch.as_tensor(digits.target)
new_name = torch.tensor([0, 2, 3, 1, 4, 5, 6, 7, 8, 9])
n_known, change, seeds = 400, 700, 4


def cross_entropy(
    params: tuple[torch.Tensor, torch.Tensor], x: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the loss of softmax regression."""
    weight, bias = params
    return losses.cross_entropy(x @ weight + bias, labels)


def stream_of(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    """Return images in random order, labels whose rule changes, and the generator."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    labels = names[order]
    changed = torch.arange(len(order)) >= n_known + change
    return images[order], torch.where(changed, new_name[labels], labels), generator


def trained(
    x: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the parameters of softmax regression fitted to the rows before the stream."""
    start = (torch.zeros(64, 10), torch.zeros(10))
    run = {"epochs": 30, "batch_size": 32, "lr": 0.5, "generator": generator}
    return training.fit(
        cross_entropy, start, (x[:n_known], labels[:n_known]), **run
    ).params


def errors_of(
    params: tuple[torch.Tensor, torch.Tensor], x: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return 1 for each row that the model gets wrong, else 0."""
    weight, bias = params
    return ((x @ weight + bias).argmax(dim=1) != labels).float()


# %%
# Detecting the change: Page–Hinkley and ADWIN
# --------------------------------------------
#
# The monitors read the errors of the model as it was first trained. It is not trained further, so
# its errors change only if the data change. Each call takes a state and some losses and returns a
# new state, so a stream can be read in pieces of any length. Here ADWIN reads one image at a time,
# so that we can record its window.

alarms = {"ADWIN": [], "Page–Hinkley": []}
for seed in range(seeds):
    x, labels, generator = stream_of(seed)
    wrong = errors_of(trained(x, labels, generator), x[n_known:], labels[n_known:])
    alarms["ADWIN"].append(concept.adwin(None, wrong).detections)
    monitor = concept.page_hinkley(None, wrong, delta=0.05, threshold=10.0)
    alarms["Page–Hinkley"].append(monitor.detections)
    if seed == 0:
        first_errors, state, widths = wrong, None, []
        for loss in wrong:
            state = concept.adwin(state, loss)
            widths.append(state.width)
        same_images = detect.mmd_test(
            x[n_known : n_known + change],
            x[n_known + change :],
            n_permutations=199,
            generator=generator,
        )
        assert state.detections == alarms["ADWIN"][0]

# %%
# Neither monitor raises a false alarm in any of the four streams, and both detect the change within
# 150 images. A two-sample test of the images before and after the change finds no difference, which
# is right: the images did not change.

for found in alarms.values():
    for places in found:
        assert change <= places[0] < change + 150
assert not same_images.rejects(0.05)

fig, axes = plt.subplots(2, 1, figsize=(5.4, 4.8), sharex=True, layout="constrained")
rate = first_errors.unfold(0, 50, 1).mean(dim=1)
axes[0].plot(range(49, len(first_errors)), 100 * rate, color="C0", linewidth=1.5)
for i, (name, found) in enumerate(alarms.items()):
    place = found[0][0]
    axes[0].axvline(place, color=f"C{i + 1}", linestyle=":")
    axes[0].annotate(
        f"{name}: {place - change} images later",
        (max(found[0][0] for found in alarms.values()), 71 - 10 * i),
        (6, 0),
        textcoords="offset points",
        color=f"C{i + 1}",
        va="center",
    )
axes[1].plot(widths, color="C1")
for ax in axes:
    ax.axvline(change, color=ink, linestyle="--", linewidth=1)
axes[0].annotate(
    "the rule changes",
    (change, 71),
    (-6, 0),
    textcoords="offset points",
    ha="right",
    va="center",
)
axes[0].set(ylim=(0, 77), ylabel="errors in the last 50, %")
axes[0].set_title("The model's errors rise, and both monitors detect it")
axes[1].set(xlabel="images read", ylabel="images in the window")
axes[1].set_title("ADWIN drops most images from before the change")
fig.set_label(
    "Two panels against the number of images read. Top: the share of errors among the last "
    "50 images is below 20 percent up to the change at 700 and around 35 percent after it; "
    "two dotted lines shortly after the change mark the alarms. Bottom: the width of ADWIN's "
    "window grows by one with each image, falls to less than half soon after the change, "
    "and grows again."
)
plt.show()

# %%
# The width of ADWIN's window is the number of newest images that follow the present rule. It falls
# soon after the change. At the end of the stream, the window holds all images since the change and
# at most 150 from before it.

since = len(first_errors) - change
assert max(widths[:change]) == change
assert min(widths[change : change + 200]) < 0.5 * change
assert since <= widths[-1] <= since + 150

# %%
# Retraining: on which images?
# ----------------------------
#
# Every 50 images, the model in use may learn from the images seen so far: a few epochs of gradient
# descent that start at its present parameters. On which images should it be trained? We compare
# three choices: none, which leaves the model as it was; all images so far; and ADWIN's window of
# the newest images. Each image is classified before its label is used for training, so every error
# is an error on a new image.

step = 50
histories = {
    "never trained again": [],
    "trained on all images": [],
    "on the newest window": [],
}
for seed in range(seeds):
    for name, history in histories.items():
        x, labels, generator = stream_of(seed)
        params = first = trained(x, labels, generator)
        state, wrong = None, []
        for start in range(n_known, len(x), step):
            rows = slice(start, start + step)
            wrong.append(errors_of(params, x[rows], labels[rows]))
            state = concept.adwin(state, errors_of(first, x[rows], labels[rows]))
            if name != "never trained again":
                seen = min(start + step, len(x))
                params = concept.fine_tune(
                    cross_entropy,
                    params,
                    (x[:seen], labels[:seen]),
                    window=state.width if "window" in name else seen,
                    epochs=2,
                    batch_size=32,
                    lr=0.3,
                    generator=generator,
                ).params
        history.append(torch.cat(wrong))

# %%
# Before the change, the choice hardly matters. After it, the model that is never trained again
# stays wrong on the three digits. The model trained on all images improves slowly, because many of
# them follow the old rule. The model trained on the newest window ends close to its error before
# the change.

share = {name: torch.stack(found) for name, found in histories.items()}
late = {name: float(found[:, -400:].mean()) for name, found in share.items()}
early = {name: float(found[:, :change].mean()) for name, found in share.items()}
never, everything, window = share

assert max(early.values()) < min(early.values()) + 0.03 < 0.12
assert float(share[window][:, -200:].mean()) < early[window] + 0.06
assert late[never] > 0.3
assert late[window] < 0.15
assert late[window] < 0.7 * late[everything] < 0.7 * late[never]

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for i, found in enumerate(share.values()):
    blocks = torch.stack(
        [100 * part.mean(dim=1) for part in found.split(2 * step, dim=1)]
    )
    mean, error = blocks.mean(dim=1), blocks.std(dim=1) / seeds**0.5
    places = 2 * step * torch.arange(len(blocks)) + step
    ax.plot(places, mean, "o-", markersize=4, color=f"C{i}")
    ax.fill_between(
        places, mean - error, mean + error, color=f"C{i}", alpha=0.2, linewidth=0
    )
texts = ["never trained again", "on all\nimages", "on the newest\nwindow"]
for i, (text, height) in enumerate(zip(texts, (39, 21, 5), strict=True)):
    ax.text(1390, height, text, color=f"C{i}", ha="right", va="top")
ax.axvline(change, color=ink, linestyle="--", linewidth=1)
ax.annotate(
    "the rule changes", (change, 37.6), (-6, 0), textcoords="offset points", ha="right"
)
ax.set(xlabel="images read", ylabel="errors, %", ylim=(0, 42))
ax.set_title("After the change, training on the newest window is best")
fig.set_label(
    "The share of errors against the number of images read, for three ways to retrain, with "
    "a band of one standard error over four streams. All are below 12 percent before the "
    "change at 700, and jump after it. The model that is never trained again stays above 30 "
    "percent. Trained on all images, the error falls slowly. Trained on the newest window, it "
    "is back below 15 percent after 450 images."
)
plt.show()

# %%
# Conclusion
# ----------
#
# If the rule changes, only the losses reveal it. :func:`dlcore.shift.concept.page_hinkley` and
# :func:`dlcore.shift.concept.adwin` detect the change within 150 images. ADWIN's window shows which
# images follow the present rule, and :func:`dlcore.shift.concept.fine_tune` continues training from
# the old parameters on these images. To find out whether the images have changed rather than the
# rule, use the tests in :doc:`/auto_gallery/08_shift/plot_detecting_a_shift`.
