"""Reductions over 10⁷ entries and more, in float32 and half precision, against sums in float64 with compensation.

An error of 1 is the distance of neighbouring numbers of the result's dtype.
"""

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dlcore import activations, importance, information, losses, metrics, norms, optim, regularization, risk
from dlcore import likelihood as densities
from tests.battery.results import Result, timed

MAX_ERROR = 4.0
BLOCK = 2**20


def total(x: Tensor) -> float:
    """Return the sum of float64 entries, without error up to the last addition."""
    return math.fsum(float(block.double().sum()) for block in x.split(BLOCK))


def log_total(x: Tensor) -> float:
    """Return the logarithm of the sum of exponentials."""
    largest = float(x.max())
    return largest + math.log(math.fsum(float((block.double() - largest).exp().sum()) for block in x.split(BLOCK)))


def mean_of(x: Tensor, function: Callable[[Tensor], Tensor] = torch.Tensor.double) -> float:
    """Return the mean of a function of the entries."""
    return math.fsum(float(function(block.double()).sum()) for block in x.split(BLOCK)) / len(x)


def sum_of(x: Tensor, function: Callable[[Tensor], Tensor]) -> float:
    """Return the sum of a function of the entries."""
    return math.fsum(float(function(block.double()).sum()) for block in x.split(BLOCK))


def sum_of_pairs(x: Tensor, y: Tensor, function: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Return the sum of a function of pairs of entries."""
    pairs = zip(x.split(BLOCK), y.split(BLOCK), strict=True)
    return math.fsum(float(function(a.double(), b.double()).sum()) for a, b in pairs)


def units(found: Tensor, expected: float) -> float:
    """Return the distance in units of the result's last place."""
    info = torch.finfo(found.dtype)
    if abs(expected) > info.max:
        return 0.0 if math.isinf(float(found)) else math.inf
    place = max(2.0 ** math.floor(math.log2(abs(expected))) if expected else 0.0, info.tiny) * info.eps
    return abs(float(found) - expected) / place


Case = tuple[str, Callable[[], Tensor], Callable[[], float]]


def vectors(n: int, dtype: torch.dtype) -> Iterator[Case]:
    """Yield norms, penalties, risks and what is computed from weights."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, generator=generator).to(dtype)  # of one sign: the sum of signed entries may be near 0
    w = (0.5 + torch.rand(n, generator=generator)).to(dtype)
    u = x - 0.5
    squares = sum_of(u, torch.square)
    yield "l1_norm", lambda: norms.l1_norm(u), lambda: sum_of(u, torch.abs)
    yield "l2_norm", lambda: norms.l2_norm(u), lambda: math.sqrt(squares)
    yield "lp_norm 2.5", lambda: norms.lp_norm(u, 2.5), lambda: sum_of(u, lambda u: u.abs() ** 2.5) ** 0.4
    yield "lp_norm 3", lambda: norms.lp_norm(u, 3), lambda: sum_of(u, lambda u: u.abs() ** 3) ** (1 / 3)
    yield "lp_norm 0.5", lambda: norms.lp_norm(u, 0.5), lambda: sum_of(u, lambda u: u.abs() ** 0.5) ** 2
    yield "frobenius_norm", lambda: norms.frobenius_norm(u.reshape(-1, 1000)), lambda: math.sqrt(squares)
    column, row = u[:, None], u[None, :]
    yield "l2_norm of a column", lambda: norms.l2_norm(column, dim=0)[0], lambda: math.sqrt(squares)
    yield "l2_norm of a row", lambda: norms.l2_norm(row, dim=1)[0], lambda: math.sqrt(squares)
    yield "l1_norm of a column", lambda: norms.l1_norm(column, dim=0)[0], lambda: sum_of(u, torch.abs)
    yield (
        "lp_norm 3 of a column",
        lambda: norms.lp_norm(column, 3, dim=0)[0],
        lambda: sum_of(u, lambda u: u.abs() ** 3) ** (1 / 3),
    )
    yield "l1_penalty", lambda: regularization.l1_penalty([u]), lambda: sum_of(u, torch.abs)
    yield "l2_penalty", lambda: regularization.l2_penalty([u]), lambda: squares / 2
    yield "gradient_norm", lambda: optim.gradient_norm([u]), lambda: math.sqrt(squares)
    yield (
        "clip_gradients",
        lambda: optim.clip_gradients([u], max_norm=1.0)[0][0] * 1.0,
        lambda: float(u[0]) / math.sqrt(squares),
    )
    yield "empirical_risk", lambda: risk.empirical_risk(x), lambda: mean_of(x)
    weighted = sum_of_pairs(x, w, torch.mul)
    yield "importance_weighted_risk", lambda: risk.importance_weighted_risk(x, w), lambda: weighted / n
    yield (
        "importance_weighted_risk, normalized",
        lambda: risk.importance_weighted_risk(x, w, normalize=True),
        lambda: weighted / total(w),
    )
    mean = mean_of(x)
    yield (
        "standard_error",
        lambda: risk.standard_error(x),
        lambda: math.sqrt(sum_of(x, lambda x: (x - mean) ** 2) / (n - 1) / n),
    )
    yield (
        "standard_error, weighted",
        lambda: risk.standard_error(x, w),
        lambda: math.sqrt(sum_of_pairs(x, w, lambda x, w: (x * w - weighted / n) ** 2) / (n - 1) / n),
    )
    shifted = (x.double() + 1e-3).to(dtype)
    yield (
        "generalization_gap",
        lambda: risk.generalization_gap(x, shifted),
        lambda: sum_of_pairs(shifted, x, torch.sub) / n,
    )
    yield (
        "effective_sample_size",
        lambda: importance.effective_sample_size(w),
        lambda: total(w) ** 2 / sum_of(w, torch.square),
    )
    yield "normalize_weights", lambda: importance.normalize_weights(w)[0], lambda: float(w[0]) * n / total(w)
    yield (
        "normalize_log_weights",
        lambda: importance.normalize_log_weights(u)[0],
        lambda: float(u[0]) + math.log(n) - log_total(u),
    )
    yield "negative_log_likelihood", lambda: densities.negative_log_likelihood(-x), lambda: total(x)


def distributions(n: int, dtype: torch.dtype) -> Iterator[Case]:
    """Yield what is computed from distributions over n outcomes, and from the logits of n classes."""
    generator = torch.Generator().manual_seed(1)
    if dtype != torch.float16:  # a probability of 1e-8 is 0 there
        p, q = (torch.rand(n, generator=generator, dtype=torch.float64) + 0.5 for _ in range(2))
        p, q = (p / p.sum()).to(dtype), (q / q.sum()).to(dtype)
        entropy = -sum_of(p, lambda p: p * p.log())
        yield "entropy", lambda: information.entropy(p), lambda: entropy
        yield "perplexity", lambda: information.perplexity(p), lambda: math.exp(entropy)
        yield (
            "cross_entropy of distributions",
            lambda: information.cross_entropy(p, q),
            lambda: -sum_of_pairs(p, q, lambda p, q: p * q.log()),
        )
        yield (
            "kl_divergence",
            lambda: information.kl_divergence(p, q),
            lambda: sum_of_pairs(p, q, lambda p, q: p * (p / q).log() - p + q),
        )
        joint = p.reshape(1000, -1)
        yield "mutual_information", lambda: information.mutual_information(joint), lambda: mutual(joint)
    logits = (3 * torch.randn(n, generator=generator)).to(dtype)
    largest, log_sum = int(logits.argmax()), log_total(logits)
    for name, rows, dim in (("row", logits[None], -1), ("column", logits[:, None], 0)):

        def entry(output: Tensor) -> Tensor:
            return output.flatten()[largest]

        yield (
            f"softmax of a {name}",
            lambda rows=rows, dim=dim: entry(activations.softmax(rows, dim=dim)),
            lambda: math.exp(float(logits[largest]) - log_sum),
        )
        yield (
            f"log_softmax of a {name}",
            lambda rows=rows, dim=dim: entry(activations.log_softmax(rows, dim=dim)),
            lambda: float(logits[largest]) - log_sum,
        )
        yield (
            f"log_sum_exp of a {name}",
            lambda rows=rows, dim=dim: activations.log_sum_exp(rows, dim=dim)[0],
            lambda: log_sum,
        )
        yield (
            f"cross_entropy of a {name}",
            lambda rows=rows, dim=dim: losses.cross_entropy(rows, torch.tensor([largest]), dim=dim)[0],
            lambda: log_sum - float(logits[largest]),
        )
    mean = mean_of(logits)
    yield (
        "cross_entropy, one row",
        lambda: losses.cross_entropy(logits, torch.tensor(largest)),
        lambda: log_sum - float(logits[largest]),
    )
    yield (
        "cross_entropy, smoothed",
        lambda: losses.cross_entropy(logits, torch.tensor(largest), label_smoothing=0.5),
        lambda: log_sum - 0.5 * float(logits[largest]) - 0.5 * mean,
    )
    if dtype != torch.float16:
        yield (
            "cross_entropy, soft labels",
            lambda: losses.cross_entropy(logits, p),
            lambda: sum_of_pairs(logits, p, lambda o, p: p * (log_sum - o)),
        )


def mutual(joint: Tensor) -> float:
    """Return the mutual information in float64."""
    p = joint.double()
    rows, columns = p.sum(1, keepdim=True), p.sum(0, keepdim=True)
    mass = float(p.sum())
    return float((p * (p / rows / columns).log() - p + rows * columns).sum()) + 0 * mass


def counts(n: int, dtype: torch.dtype) -> Iterator[Case]:
    """Yield metrics over n examples."""
    labels = torch.arange(n) % 2
    predictions = torch.arange(n) % 5 % 2
    correct = float((labels == predictions).double().mean())
    yield "accuracy", lambda: metrics.accuracy(labels, predictions), lambda: correct
    confidence = torch.tensor([0.9, 0.1], dtype=dtype)
    yield (
        "calibration_error",
        lambda: metrics.calibration_error(labels, confidence.expand(n, 2)),
        lambda: abs(float(confidence[0].double()) - 0.5),
    )


def results(n: int) -> Iterator[Result]:
    """Compute each reduction in each dtype."""
    parts = (vectors, distributions, counts)
    for part, dtype in itertools.product(parts, (torch.float32, torch.bfloat16, torch.float16)):
        for name, compute, expected in part(n, dtype):
            found, seconds = timed(compute)
            error = units(found, expected())
            fault = "" if error <= MAX_ERROR else f"{error:.3g} units"
            yield Result(f"{name}, {dtype}", seconds, error, fault)
