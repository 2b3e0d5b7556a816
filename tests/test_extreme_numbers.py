"""A number that the dtype of the computation cannot hold gives the right result, or an error that names it."""

import inspect
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytest
import torch
from mpmath import mp, mpf
from torch import Generator, Tensor

from dlcore import (
    activations,
    datasets,
    importance,
    information,
    init,
    likelihood,
    linear,
    losses,
    mlp,
    model_selection,
    norms,
    optim,
    propagation,
    regularization,
    training,
)
from dlcore.shift import concept, covariate, detect, label
from tests.library import public_functions
from tests.oracle import exact

SMALL = (5e-324, 1e-300, 1e-50, 1e-10)
LARGE = (1e10, 1e50, 1e300, math.inf)
VALUES = (*SMALL, 1 - 2**-53, *LARGE, -1e-50, -1e50)
DTYPES = (torch.float64, torch.float32, torch.float16)
WIDE = (torch.float64, torch.float32)

Numbers = Iterable[mp.mpf | float]


@dataclass(frozen=True)
class Case:
    """One numeric option of a public function.

    ``call`` maps a dtype and the option to tensors, and ``exact`` maps the option to the numbers that they must hold,
    in the order of the tensors. Its arguments are those of ``call``, for what is drawn at random. ``ordinary`` must be
    accepted in every dtype. ``tolerance`` is in units of rounding.
    """

    call: Callable[[torch.dtype, Any], Any]
    exact: Callable[[torch.dtype, mp.mpf], Numbers]
    ordinary: float = 0.5
    dtypes: Sequence[torch.dtype] = DTYPES
    tolerance: float = 16.0
    scale: float = 0.0
    """A magnitude whose rounding is allowed in addition to that of the result."""
    finite: bool = False
    """Whether an option that the dtype cannot hold must be refused, although the result may round to infinity."""


def seeded() -> Generator:
    return Generator().manual_seed(0)


def tensor(values: Any, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def mp_exp(x: mp.mpf) -> mp.mpf:
    """Return exp(x), and 0 where mpmath would take memory without end for an exponent of 10⁵⁰."""
    return mpf(0) if x < -(10**6) else mp.exp(x)


def mp_log_sum_exp(x: Sequence[mp.mpf], t: mp.mpf) -> mp.mpf:
    return t * mp.log(sum(mp_exp((x_i - max(x)) / t) for x_i in x)) + max(x)


# Inputs that every dtype holds exactly.
X = (0.5, -2.0, 1.5, 0.0)
P, Q = (0.25, 0.75), (0.5, 0.5)
W, G, V = (0.0, 1.0, -2.0), (8.0, 0.25, -1.0), (1.0, -0.5, 2.0)  # parameters, gradients and velocities
ROWS = ((0.0, 1.0), (1.0, 0.5), (2.0, -1.0), (0.5, 2.0), (-1.0, 0.25), (3.0, 1.5))
TARGETS = (1.0, 0.0, 1.0, 0.0, 0.0, 1.0)
LAYERS = (((0.5, -1.0), (0.25, 1.0)), ((1.0, 0.5), (-0.5, 2.0)))  # weights of two layers; the biases are 0


def layers(dtype: torch.dtype) -> list[linear.LinearParams]:
    return [linear.LinearParams(tensor(w, dtype), torch.zeros(2, dtype=dtype)) for w in LAYERS]


def scaled(draw: Callable[[torch.dtype, float], Tensor]) -> Case:
    """Return the case of a random tensor that is proportional to the option."""
    return Case(draw, lambda dtype, v: [v * z for z in exact(draw(dtype, 1.0))], finite=True)


def unit_scaled(function: Callable[..., Tensor], option: str, *args: Any) -> Case:
    return scaled(lambda dtype, v: function(*args, dtype=dtype, generator=seeded(), **{option: v}))


def in_place(function: Callable[..., Tensor]) -> Case:
    return scaled(lambda dtype, v: function(torch.zeros(3, 2, dtype=dtype), gain=v, generator=seeded()))


def softmax_of(x: Sequence[float], t: mp.mpf) -> list[mp.mpf]:
    return [mp_exp((x_i - max(x)) / t) / sum(mp_exp((x_j - max(x)) / t) for x_j in x) for x_i in map(mpf, x)]


def swish(x: float, beta: mp.mpf) -> mp.mpf:
    if beta * x < -(10**6):
        return mpf(0)
    return x / (1 + mp_exp(-beta * x))


def normal_log(x: float, mean: mp.mpf, std: mp.mpf) -> mp.mpf:
    return -mp.log(std) - mp.log(2 * mp.pi) / 2 - ((x - mean) / std) ** 2 / 2


def laplace_log(x: float, mean: mp.mpf, scale: mp.mpf) -> mp.mpf:
    return -mp.log(scale) - mp.log(2) - abs((x - mean) / scale)


def of_x(function: Callable[..., Tensor], option: str, **kwargs: Any) -> Callable[[torch.dtype, Any], Tensor]:
    return lambda dtype, v: function(tensor(X, dtype), **kwargs, **{option: v})


def each(formula: Callable[[float, mp.mpf], mp.mpf | float]) -> Callable[[torch.dtype, mp.mpf], Numbers]:
    return lambda _, v: [formula(x, v) for x in X]


def entropy_case(function: Callable[..., Tensor], *inputs: Any, nats: float | mp.mpf) -> Case:
    return Case(
        lambda dtype, v: function(*(tensor(x, dtype) for x in inputs), base=v),
        lambda _, v: [nats / mp.log(v)],
        ordinary=2.0,
    )


def log(x: float) -> mp.mpf:
    return mp.log(mpf(x))


def mp_norm(x: Sequence[float], p: mp.mpf) -> mp.mpf | float:
    largest = mpf(max(x))
    if p == math.inf:
        return largest
    log_sum = mp.log(sum(mp_exp(p * mp.log(x_i / largest)) for x_i in x))
    return math.inf if log_sum / p > 10**6 else largest * mp.exp(log_sum / p)


COLUMN, LABELS = (0.0, 1.0, 2.0, 0.5, -1.0, 3.0), (1, 0, 1, 0, 0, 0)
FLAT = [w for layer in LAYERS for row in layer for w in row]
STREAM = (0.0,) * 96 + (1.0,) * 32
PROBABILITIES = ((0.75, 0.25), (0.75, 0.25), (0.5, 0.5), (0.25, 0.75), (0.25, 0.75), (0.75, 0.25))
LOGITS = ((2.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 0.0), (0.0, 1.0))
CALIBRATION_LABELS = (0, 0, 1, 1, 1, 0)
CLASSES = torch.tensor([0, 0, 0, 1, 1, 1])
PREDICTED = ((0.75, 0.25), (0.5, 0.5), (0.5, 0.5), (0.75, 0.25))
SOURCE = ((0.0,), (1.0,), (2.0,), (0.5,), (-1.0,), (3.0,), (1.5,), (0.25,))
TARGET = ((1.0,), (2.0,), (0.0,), (2.5,), (3.5,), (-0.5,), (1.25,), (2.25,))


def dot_loss(w: Tensor, x: Tensor, *_: Tensor) -> Tensor:
    return x @ w


def ridge_solution(penalty: mp.mpf) -> list[mp.mpf]:
    n, x, y = len(ROWS), mp.matrix(ROWS), mp.matrix(TARGETS)
    mean_x, mean_y = [sum(x[i, j] for i in range(n)) / n for j in range(2)], sum(y) / n
    a = mp.matrix(n, 2)
    for i in range(n):
        for j in range(2):
            a[i, j] = x[i, j] - mean_x[j]
    b = mp.matrix([y_i - mean_y for y_i in y])
    w = mp.lu_solve(a.T * a + penalty * mp.eye(2), a.T * b)
    return [w[0], w[1], mean_y - w[0] * mean_x[0] - w[1] * mean_x[1]]


@cache
def logistic_solution(penalty: mp.mpf) -> list[mp.mpf]:
    """Return weight and bias, by Newton's method from the solution for an infinite penalty."""
    w, b = mpf(0), mp.log(mpf(2) / 4)
    for _ in range(60):
        p = [1 / (1 + mp.exp(-w * x - b)) for x in map(mpf, COLUMN)]
        e, v = [p_i - y for p_i, y in zip(p, LABELS, strict=True)], [p_i * (1 - p_i) for p_i in p]
        gradient = [sum(e_i * x for e_i, x in zip(e, COLUMN, strict=True)) + penalty * w, sum(e)]
        aa = sum(v_i * x * x for v_i, x in zip(v, COLUMN, strict=True)) + penalty
        ab, bb = sum(v_i * x for v_i, x in zip(v, COLUMN, strict=True)), sum(v)
        det = aa * bb - ab * ab
        w -= (bb * gradient[0] - ab * gradient[1]) / det
        b -= (aa * gradient[1] - ab * gradient[0]) / det
    return [w, b]


def penalized_network(dtype: torch.dtype, penalty: float) -> list[Tensor]:
    """Return the penalty of a network, and the gradients of its weights where the loss has none."""
    trace = mlp.forward(
        layers(dtype),
        torch.zeros(1, 2, dtype=dtype),
        torch.zeros(1, 2, dtype=dtype),
        loss="squared_loss",
        penalty=penalty,
    )
    return [trace.s, *(layer.weight for layer in mlp.backward(trace))]


def dropped(n: int, p: mp.mpf) -> list[mp.mpf]:
    kept = torch.rand(n, generator=seeded()) >= float(p)
    return [1 / (1 - p) if keep else mpf(0) for keep in kept]


def folds(option: str, dtype: torch.dtype, value: float) -> model_selection.CrossValidation:
    """Return the errors of folds of equal rows after two steps."""
    options = {"lr": 0.5, option: value}
    return model_selection.cross_validate_vectorized(
        dot_loss,
        torch.ones(1, dtype=dtype),
        torch.ones(4, 1, dtype=dtype),
        torch.ones(4),
        k=2,
        epochs=1,
        batch_size=1,
        **options,
    )


def decayed_twice(decay: mp.mpf) -> mp.mpf:
    w = mpf(1)
    for _ in range(2):
        w -= (1 + decay * w) / 2
    return w


def adam(option: str, dtype: torch.dtype, value: Any) -> Tensor:
    options = {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.25, "weight_decay": 0.5, option: value}
    return optim.adam_step(tensor(W, dtype), tensor(G, dtype), None, **options)[0]


def adam_formula(option: str, _: torch.dtype, value: Any) -> list[mp.mpf]:
    options = {
        "lr": mpf(0.5),
        "betas": (mpf(0.5), mpf(0.75)),
        "eps": mpf(0.25),
        "weight_decay": mpf(0.5),
        option: value,
    }
    lr, eps, decay = (options[name] for name in ("lr", "eps", "weight_decay"))  # in the first step, the betas cancel
    return [(1 - lr * decay) * w - lr * g / (abs(g) + eps) for w, g in zip(map(mpf, W), map(mpf, G), strict=True)]


def momentum(option: str, dtype: torch.dtype, value: Any) -> tuple[Tensor, Tensor]:
    options = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.5, option: value}
    return optim.momentum_step(tensor(W, dtype), tensor(G, dtype), tensor(V, dtype), nesterov=True, **options)


def momentum_formula(option: str, _: torch.dtype, value: mp.mpf) -> list[mp.mpf]:
    options = {"lr": mpf(0.5), "momentum": mpf(0.5), "weight_decay": mpf(0.5), option: value}
    lr, beta, decay = options.values()
    g = [g + decay * w for w, g in zip(W, G, strict=True)]
    v = [beta * v + g_i for v, g_i in zip(V, g, strict=True)]
    return [*(w - lr * (g_i + beta * v_i) for w, g_i, v_i in zip(W, g, v, strict=True)), *v]


def sgd_in_place(dtype: torch.dtype, lr: float) -> Tensor:
    w = tensor(W, dtype).requires_grad_()
    w.grad = tensor(G, dtype)
    optim.sgd_(w, lr=lr)
    return w


def signals(dtype: torch.dtype, value: float) -> list[Tensor]:
    found = propagation.signal_propagation(
        layers(dtype),
        torch.ones(1, 2, dtype=dtype),
        output_gradient=torch.ones(1, 2, dtype=dtype),
        variances=[0.5, value],
    )
    return [found.forward_predicted, found.backward_predicted]


def signals_formula(v: mp.mpf) -> list[mp.mpf]:
    return [mpf(1), mpf(1), v, v, v, mpf(1)]


def page_hinkley(dtype: torch.dtype, **options: Any) -> list[float]:
    state = concept.page_hinkley(None, tensor(STREAM, dtype), **options)
    return [state.rise, float(bool(state.detections))]


def page_hinkley_formula(delta: mp.mpf) -> list[mp.mpf]:
    mean, rise = mpf(0), mpf(0)
    for n, x in enumerate(STREAM, 1):
        mean += (x - mean) / n
        rise = max(rise + x - mean - delta, mpf(0))
    return [rise, mpf(0)]


def ratio(estimate: Callable[..., Any], option: str, dtype: torch.dtype, value: float) -> Tensor:
    seed = {} if estimate is covariate.kernel_mean_matching else {"generator": seeded()}
    features = {"features": "linear"} if option == "penalty" else {}
    return estimate(tensor(SOURCE, dtype), tensor(TARGET, dtype), **seed, **features, **{option: value}).weights


def ratio_case(estimate: Callable[..., Any]) -> Case:
    """Return the case of a penalty: a small one changes nothing, and a large one makes all weights 1."""

    def exact(_: torch.dtype, v: mp.mpf) -> list[float]:
        return [1.0] * len(SOURCE) if v > 1e9 else flat(ratio(estimate, "penalty", torch.float64, max(float(v), 1e-12)))

    return Case(partial(ratio, estimate, "penalty"), exact, tolerance=1e7)


def target_interval(dtype: torch.dtype, level: float) -> tuple[float, float]:
    source, target = tensor(SOURCE, dtype), tensor(TARGET, dtype)
    ratio = covariate.kliep(source, target, features="linear", penalty=1.0, generator=seeded())
    return covariate.target_mean(source[:, 0] ** 2, ratio, source, target, level=level).interval


def target_interval_formula(dtype: torch.dtype, level: mp.mpf) -> list[mp.mpf]:
    low, high = target_interval(dtype, 0.5)
    half = (high - low) / 2 * mp.erfinv(level) / mp.erfinv(mpf(0.5))
    return [(low + high) / 2 - half, (low + high) / 2 + half]


def mmd2(x: Sequence[float], y: Sequence[float], bandwidth: mp.mpf) -> mp.mpf:
    def mean(a: Sequence[float], b: Sequence[float], *, within: bool) -> mp.mpf:
        terms = [
            mp_exp(-(((mpf(s) - t) / bandwidth) ** 2) / 2)
            for i, s in enumerate(a)
            for j, t in enumerate(b)
            if not within or i != j
        ]
        return sum(terms) / len(terms)

    return mean(x, x, within=True) + mean(y, y, within=True) - 2 * mean(x, y, within=False)


def interval(estimate: Callable[..., Any], option: str, dtype: torch.dtype, value: float) -> Tensor:
    return estimate(
        tensor(PROBABILITIES, dtype),
        CLASSES,
        tensor(PREDICTED, dtype),
        n_resamples=50,
        generator=seeded(),
        **{option: value},
    ).interval


def moderate(estimate: Callable[..., Any], dtype: torch.dtype, level: mp.mpf) -> list[float]:
    return flat(interval(estimate, "level", dtype, min(max(float(level), 1e-14), 1 - 1e-14)))


def tolerant(test: Callable[..., Any], dtype: torch.dtype, tolerance: float) -> float:
    samples = tensor([[0.0], [1.0], [2.0], [2.5]], dtype), tensor([[2.0], [3.0], [4.0]], dtype)
    return test(*samples, n_permutations=50, generator=seeded(), tolerance=tolerance).p_value


def moderately(test: Callable[..., Any], _: torch.dtype, tolerance: mp.mpf) -> list[float]:
    return [tolerant(test, torch.float64, max(float(tolerance), 1e-12))]


def kolmogorov_tail(x: mp.mpf) -> mp.mpf:
    terms = ((-1) ** (k - 1) * mp.exp(-2 * k**2 * x**2) for k in range(1, 200))
    return mpf(1) if x < 0.1 else 2 * sum(terms)


def calibrator(dtype: torch.dtype, penalty: float) -> list[Tensor]:
    found = label.bias_corrected_temperature(
        tensor([(2.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 0.0), (0.0, 1.0)], dtype),
        torch.tensor([0, 0, 1, 1, 1, 0]),
        penalty=penalty,
    )
    return [found.temperature, found.biases]


@cache
def calibrator_formula(penalty: mp.mpf) -> list[mp.mpf]:
    """Return the temperature that balances the derivative, and the biases, which are 0 by symmetry."""
    if penalty > 1e10:
        return [mpf(0)] * 3
    n, halves = len(LOGITS), [(mpf(a) - b) / 2 for a, b in LOGITS]
    signed = sum(z if label == 0 else -z for z, label in zip(halves, CALIBRATION_LABELS, strict=True))
    inverse = mp.findroot(
        lambda t: sum(z * mp.tanh(t * z) for z in halves) * (1 + penalty / n) - signed, 1 / (1 + penalty / n)
    )
    return [1 / inverse, mpf(0), mpf(0)]


def last_epoch(*args: Any, **kwargs: Any) -> training.History:
    (history,) = training.epochs(*args, **kwargs)
    return history


def fitted(fit: Callable[..., training.History], option: str, dtype: torch.dtype, value: Any) -> Any:
    """Return the parameters after a step, or after two steps with the same gradient if there is momentum."""
    options = {"lr": 0.5, "batch_size": 1 if option == "momentum" else 2, option: value}
    return fit(
        dot_loss,
        tensor(W, dtype),
        tensor([G, G], dtype),
        epochs=1,
        shuffle=False,
        progress=False,
        **options,
    ).params


def trained_module(option: str, dtype: torch.dtype, value: Any) -> Tensor:
    module = torch.nn.Linear(3, 1, bias=False, dtype=dtype)
    torch.nn.init.zeros_(module.weight)
    options = {"lr": 0.5, option: value}
    training.fit_(
        lambda module, x: module(x)[:, 0],
        module,
        tensor([G, G], dtype),
        epochs=1,
        batch_size=1,
        progress=False,
        **options,
    )
    return module.weight


def norm_of_g() -> mp.mpf:
    return mp.sqrt(sum(mpf(g) ** 2 for g in G))


CASES: dict[tuple[str, str], Case] = {
    ("activations.softmax", "temperature"): Case(
        of_x(activations.softmax, "temperature"), lambda _, t: softmax_of(X, t)
    ),
    ("activations.log_softmax", "temperature"): Case(
        of_x(activations.log_softmax, "temperature"),
        lambda _, t: [(x - mp_log_sum_exp([*map(mpf, X)], t)) / t for x in map(mpf, X)],
    ),
    ("activations.softmin", "temperature"): Case(
        of_x(activations.softmin, "temperature"), lambda _, t: softmax_of([-x for x in X], t)
    ),
    ("activations.log_sum_exp", "temperature"): Case(
        of_x(activations.log_sum_exp, "temperature"), lambda _, t: [mp_log_sum_exp([*map(mpf, X)], t)]
    ),
    ("activations.smooth_min", "temperature"): Case(
        of_x(activations.smooth_min, "temperature"), lambda _, t: [-mp_log_sum_exp([-mpf(x) for x in X], t)]
    ),
    ("activations.prelu", "alpha"): Case(
        of_x(activations.prelu, "alpha"), each(lambda x, a: max(x, 0) + a * min(x, 0))
    ),
    ("activations.swish", "beta"): Case(of_x(activations.swish, "beta"), each(swish)),
    ("datasets.gaussian_shift", "std"): Case(
        lambda dtype, v: (
            datasets.gaussian_shift(2, 3, mean=tensor([0.0, 0.0], dtype), std=v, generator=seeded()).target
        ),
        lambda dtype, v: [
            v * z
            for z in exact(datasets.gaussian_shift(2, 3, mean=tensor([0.0, 0.0], dtype), generator=seeded()).target)
        ],
    ),
    ("datasets.linear_regression", "noise_std"): scaled(
        lambda dtype, v: (
            datasets.linear_regression(tensor([0.0], dtype), tensor(0.0, dtype), 4, noise_std=v, generator=seeded()).y
        )
    ),
    ("datasets.linear_regression", "bias"): Case(
        lambda dtype, v: datasets.linear_regression(tensor([0.0], dtype), v, 2, noise_std=0.0).y, lambda _, v: [v, v]
    ),
    ("datasets.polynomial_regression", "noise_std"): scaled(
        lambda dtype, v: datasets.polynomial_regression(tensor([0.0], dtype), 4, noise_std=v, generator=seeded()).y
    ),
    ("importance.clip_weights", "maximum"): Case(
        lambda dtype, v: importance.clip_weights(tensor([0.0, 1.0, 3.0], dtype), maximum=v),
        lambda _, v: [0, min(1, v), min(3, v)],
    ),
    ("importance.flatten_weights", "exponent"): Case(
        lambda dtype, v: importance.flatten_weights(tensor([0.0, 1.0, 4.0], dtype), exponent=v),
        lambda _, v: [0, 1, mpf(4) ** v],
    ),
    ("importance.weighted_quantile", "level"): Case(
        lambda dtype, v: importance.weighted_quantile(
            tensor([3.0, 1.0, 2.0], dtype), tensor([1.0, 1.0, 2.0], dtype), level=v
        ),
        lambda _, v: [1 if v <= 0.25 else 2 if v <= 0.75 else 3],
    ),
    ("information.surprisal", "base"): Case(
        lambda dtype, v: information.surprisal(tensor([0.25, 0.0], dtype), base=v),
        lambda _, v: [log(4) / mp.log(v), math.inf],
        ordinary=2.0,
    ),
    ("information.entropy", "base"): entropy_case(information.entropy, Q, nats=log(2)),
    ("information.cross_entropy", "base"): entropy_case(information.cross_entropy, P, Q, nats=log(2)),
    ("information.kl_divergence", "base"): entropy_case(
        information.kl_divergence, P, Q, nats=(log(0.5) + 3 * log(1.5)) / 4
    ),
    ("information.mutual_information", "base"): entropy_case(
        information.mutual_information, ((0.5, 0.0), (0.0, 0.5)), nats=log(2)
    ),
    ("init.constant", "value"): Case(lambda dtype, v: init.constant(2, v, dtype=dtype), lambda _, v: [v, v]),
    ("init.normal", "std"): unit_scaled(init.normal, "std", 5),
    ("init.he_normal", "gain"): unit_scaled(init.he_normal, "gain", 3, 2),
    ("init.he_uniform", "gain"): unit_scaled(init.he_uniform, "gain", 3, 2),
    ("init.xavier_normal", "gain"): unit_scaled(init.xavier_normal, "gain", 3, 2),
    ("init.xavier_uniform", "gain"): unit_scaled(init.xavier_uniform, "gain", 3, 2),
    ("init.he_normal_", "gain"): in_place(init.he_normal_),
    ("init.he_uniform_", "gain"): in_place(init.he_uniform_),
    ("init.xavier_normal_", "gain"): in_place(init.xavier_normal_),
    ("init.xavier_uniform_", "gain"): in_place(init.xavier_uniform_),
    ("likelihood.normal_density", "mean"): Case(
        of_x(likelihood.normal_density, "mean"), each(lambda x, v: mp_exp(normal_log(x, v, mpf(1))))
    ),
    ("likelihood.normal_density", "std"): Case(
        of_x(likelihood.normal_density, "std"),
        each(lambda x, v: mp_exp(normal_log(x, mpf(0), v))),
        tolerance=1e3,  # the exponential of a logarithm near 700
    ),
    ("likelihood.normal_log_density", "mean"): Case(
        of_x(likelihood.normal_log_density, "mean"), each(lambda x, v: normal_log(x, v, mpf(1)))
    ),
    ("likelihood.normal_log_density", "std"): Case(
        of_x(likelihood.normal_log_density, "std"), each(lambda x, v: normal_log(x, mpf(0), v))
    ),
    ("likelihood.laplace_log_density", "mean"): Case(
        of_x(likelihood.laplace_log_density, "mean"), each(lambda x, v: laplace_log(x, v, mpf(1)))
    ),
    ("likelihood.laplace_log_density", "scale"): Case(
        of_x(likelihood.laplace_log_density, "scale"), each(lambda x, v: laplace_log(x, mpf(0), v))
    ),
    ("linear.ridge", "penalty"): Case(
        lambda dtype, v: linear.ridge(tensor(ROWS, dtype), tensor(TARGETS, dtype), penalty=v),
        lambda _, v: ridge_solution(v),
        scale=1.0,
    ),
    ("linear.logistic_regression", "penalty"): Case(
        lambda dtype, v: linear.logistic_regression(tensor(COLUMN, dtype)[:, None], tensor(LABELS, dtype), penalty=v),
        lambda _, v: logistic_solution(v),
        tolerance=1e3,
    ),
    ("linear.softmax_regression", "penalty"): Case(
        lambda dtype, v: linear.softmax_regression(tensor(COLUMN, dtype)[:, None], torch.tensor(LABELS), penalty=v),
        lambda _, v: [sign * x / 2 for x in logistic_solution(v / 2) for sign in (-1, 1)],
        tolerance=1e3,
    ),
    ("losses.cross_entropy", "label_smoothing"): Case(
        lambda dtype, v: losses.cross_entropy(
            tensor([[0.5, 1.5], [0.0, -math.inf]], dtype), torch.tensor([1, 0]), label_smoothing=v
        ),
        lambda _, v: [mp.log(1 + mp.exp(-1)) + v / 2, math.inf],
    ),
    ("losses.huber_loss", "delta"): Case(
        lambda dtype, v: losses.huber_loss(tensor(X, dtype), torch.zeros(4, dtype=dtype), delta=v),
        each(lambda x, v: mpf(x) ** 2 / 2 if abs(x) <= v else v * (abs(x) - v / 2)),
    ),
    ("mlp.forward", "penalty"): Case(
        penalized_network,
        lambda _, v: [v / 2 * mpf("7.8125"), *(v * w for w in FLAT)],
    ),
    ("mlp.init_mlp", "scale"): scaled(
        lambda dtype, v: mlp.init_mlp([2, 3], scale=v, dtype=dtype, generator=seeded())[0].weight
    ),
    ("mlp.mlp", "dropout"): Case(
        lambda dtype, v: mlp.mlp(
            [linear.LinearParams(torch.eye(64, dtype=dtype), torch.ones(64, dtype=dtype))] * 2,
            torch.zeros(64, dtype=dtype),
            dropout=v,
            generator=seeded(),
        ),
        lambda _, v: [1 + x for x in dropped(64, v)],
    ),
    ("model_selection.cross_validate_vectorized", "lr"): Case(
        partial(folds, "lr"), lambda _, v: [1 - 2 * v] * 4, finite=True
    ),
    ("model_selection.cross_validate_vectorized", "momentum"): Case(
        partial(folds, "momentum"), lambda _, v: [1 - (2 + v) / 2] * 4, scale=1.0
    ),
    ("model_selection.cross_validate_vectorized", "weight_decay"): Case(
        partial(folds, "weight_decay"), lambda _, v: [decayed_twice(v)] * 4, scale=1.0
    ),
    ("model_selection.train_test_split", "test_fraction"): Case(
        lambda dtype, v: [
            float(len(part)) for part in model_selection.train_test_split(torch.ones(4, dtype=dtype), test_fraction=v)
        ],
        lambda *_: [2, 2],
    ),
    ("norms.lp_norm", "p"): Case(
        lambda dtype, v: torch.stack(
            [norms.lp_norm(tensor(x, dtype), v) for x in ([1.5, 2.0], [0.5, 0.25], [0.0, 0.0], [0.0, 3.0])]
        ),
        lambda _, v: [mp_norm([1.5, 2], v), mp_norm([0.5, 0.25], v), 0, 3],
    ),
    ("optim.adam_step", "lr"): Case(partial(adam, "lr"), partial(adam_formula, "lr"), finite=True, scale=1.0),
    ("optim.adam_step", "betas"): Case(
        lambda dtype, v: [adam("betas", dtype, (v, 0.5)), adam("betas", dtype, (0.5, v))],
        lambda _, v: [*adam_formula("betas", _, (v, mpf(0.5))), *adam_formula("betas", _, (mpf(0.5), v))],
    ),
    ("optim.adam_step", "eps"): Case(partial(adam, "eps"), partial(adam_formula, "eps")),
    ("optim.adam_step", "weight_decay"): Case(
        partial(adam, "weight_decay"), partial(adam_formula, "weight_decay"), finite=True
    ),
    ("optim.clip_gradients", "max_norm"): Case(
        lambda dtype, v: optim.clip_gradients(tensor([3.0, 4.0], dtype), max_norm=v),
        lambda _, v: [3 * min(v / 5, 1), 4 * min(v / 5, 1)],
    ),
    ("optim.constant_schedule", "lr"): Case(
        lambda _, v: optim.constant_schedule(v)(3), lambda _, v: [v], dtypes=[torch.float64]
    ),
    ("optim.cosine_schedule", "lr"): Case(
        lambda _, v: [optim.cosine_schedule(v, n_steps=4, final_lr=0.5)(step) for step in (0, 2, 4)],
        lambda _, v: [v, (v + 0.5) / 2, 0.5],
        dtypes=[torch.float64],
    ),
    ("optim.cosine_schedule", "final_lr"): Case(
        lambda _, v: [optim.cosine_schedule(0.5, n_steps=4, final_lr=v)(step) for step in (0, 2, 4)],
        lambda _, v: [0.5, (v + 0.5) / 2, v],
        dtypes=[torch.float64],
    ),
    ("optim.warmup_schedule", "after"): Case(
        lambda _, v: [optim.warmup_schedule(v, n_steps=3)(step) for step in (0, 3)],
        lambda _, v: [v / 4, v],
        dtypes=[torch.float64],
    ),
    ("optim.momentum_step", "lr"): Case(
        partial(momentum, "lr"), partial(momentum_formula, "lr"), finite=True, scale=8.0
    ),
    ("optim.momentum_step", "momentum"): Case(
        partial(momentum, "momentum"), partial(momentum_formula, "momentum"), scale=8.0
    ),
    ("optim.momentum_step", "weight_decay"): Case(
        partial(momentum, "weight_decay"), partial(momentum_formula, "weight_decay"), finite=True, scale=8.0
    ),
    ("optim.sgd_", "lr"): Case(sgd_in_place, lambda _, v: [w - v * g for w, g in zip(W, G, strict=True)], finite=True),
    ("optim.sgd_step", "lr"): Case(
        lambda dtype, v: optim.sgd_step(tensor(W, dtype), tensor(G, dtype), lr=v, weight_decay=0.25),
        lambda _, v: [(1 - v / 4) * w - v * g for w, g in zip(W, G, strict=True)],
        finite=True,
        scale=1.0,
    ),
    ("optim.sgd_step", "weight_decay"): Case(
        lambda dtype, v: optim.sgd_step(tensor(W, dtype), tensor(G, dtype), lr=0.25, weight_decay=v),
        lambda _, v: [(1 - v / 4) * w - g / 4 for w, g in zip(W, G, strict=True)],
        finite=True,
    ),
    ("propagation.signal_propagation", "variances"): Case(signals, lambda _, v: signals_formula(v), finite=False),
    ("regularization.dropout", "p"): Case(
        lambda dtype, v: regularization.dropout(torch.ones(64, dtype=dtype), v, generator=seeded()),
        lambda _, v: dropped(64, v),
    ),
    ("regularization.dropout_mask", "p"): Case(
        lambda dtype, v: regularization.dropout_mask(64, v, dtype=dtype, generator=seeded()),
        lambda _, v: dropped(64, v),
        finite=True,
    ),
    ("shift.concept.adwin", "delta"): Case(
        lambda dtype, v: float(concept.adwin(None, tensor(STREAM, dtype), delta=v).drift),
        lambda _, v: [float(v > 1e-9)],
    ),
    ("shift.concept.adwin", "largest_loss"): Case(
        lambda dtype, v: float(concept.adwin(None, tensor(STREAM, dtype) * min(v, 1), largest_loss=v).drift),
        lambda dtype, v: [float(v < 2 and float(tensor(1.0, dtype) * float(v)) > 0)],
    ),
    ("shift.concept.page_hinkley", "delta"): Case(
        lambda dtype, v: page_hinkley(dtype, delta=v, threshold=1e3),
        lambda _, v: page_hinkley_formula(v),
    ),
    ("shift.concept.page_hinkley", "threshold"): Case(
        lambda dtype, v: float(page_hinkley(dtype, threshold=v)[1]),
        lambda _, v: [0 if v > 1e3 else 1],
    ),
    ("shift.concept.fine_tune", "lr"): Case(
        lambda dtype, v: (
            concept.fine_tune(
                dot_loss, torch.zeros(3, dtype=dtype), tensor([G, G], dtype), window=2, epochs=1, batch_size=2, lr=v
            ).params
        ),
        lambda _, v: [-v * g for g in G],
        finite=True,
    ),
    ("shift.covariate.kernel_mean_matching", "maximum"): Case(
        partial(ratio, covariate.kernel_mean_matching, "maximum"),
        lambda *_: flat(ratio(covariate.kernel_mean_matching, "maximum", torch.float64, 100.0)),
        ordinary=6.0,
        scale=1e-3 / 2e-16,
        dtypes=[torch.float64],
    ),
    ("shift.covariate.kliep", "penalty"): ratio_case(covariate.kliep),
    ("shift.covariate.logistic_ratio", "penalty"): ratio_case(covariate.logistic_ratio),
    ("shift.covariate.target_mean", "level"): Case(target_interval, target_interval_formula, tolerance=1e3, scale=1.0),
    ("shift.covariate.ulsif", "alpha"): Case(
        partial(ratio, covariate.ulsif, "alpha"),
        lambda _, v: flat(
            ratio(
                covariate.ulsif,
                "alpha",
                torch.float64,
                float(v) if 1e-12 < v < 1 - 1e-12 else float(v > 0.5) * (1 - 1e-12),
            )
        ),
        tolerance=1e6,
    ),
    ("shift.detect.mmd_test", "bandwidth"): Case(
        lambda dtype, v: (
            detect.mmd_test(
                tensor([[0.0], [1.0], [3.0]], dtype), tensor([[0.5], [2.0]], dtype), bandwidth=v, n_permutations=1
            ).statistic
        ),
        lambda _, v: [mmd2([0, 1, 3], [0.5, 2], v)],
        scale=1.0,
    ),
    ("shift.detect.ks_test", "tolerance"): Case(
        lambda dtype, v: (
            detect.ks_test(tensor([[0.0], [1.0], [2.0]], dtype), tensor([[3.0], [4.0]], dtype), tolerance=v).p_value
        ),
        lambda _, v: [kolmogorov_tail((1 - v) * mp.sqrt(mpf(6) / 5))],
    ),
    ("shift.detect.mmd_test", "tolerance"): Case(
        partial(tolerant, detect.mmd_test), partial(moderately, detect.mmd_test), tolerance=1e5
    ),
    ("shift.detect.classifier_test", "tolerance"): Case(
        partial(tolerant, detect.classifier_test), partial(moderately, detect.classifier_test), tolerance=1e5
    ),
    ("shift.detect.label_test", "tolerance"): Case(
        lambda _, v: (
            detect.label_test(CLASSES, 1 - CLASSES, n_permutations=50, generator=seeded(), tolerance=v).p_value
        ),
        lambda _, v: [
            detect.label_test(
                CLASSES, 1 - CLASSES, n_permutations=50, generator=seeded(), tolerance=max(float(v), 1e-12)
            ).p_value
        ],
    ),
    ("shift.label.bbse", "level"): Case(
        partial(interval, label.bbse, "level"), partial(moderate, label.bbse), scale=1.0, tolerance=1e4
    ),
    ("shift.label.rlls", "level"): Case(
        partial(interval, label.rlls, "level"), partial(moderate, label.rlls), scale=1.0, tolerance=1e4
    ),
    ("shift.label.saerens_em", "level"): Case(
        partial(interval, label.saerens_em, "level"), partial(moderate, label.saerens_em), scale=1.0, tolerance=1e4
    ),
    ("shift.label.bias_corrected_temperature", "penalty"): Case(
        calibrator, lambda _, v: calibrator_formula(v), tolerance=1e3, scale=1.0
    ),
    ("shift.label.rlls", "penalty"): Case(
        lambda dtype, v: (
            label.rlls(
                tensor(PROBABILITIES, dtype), CLASSES, tensor(PREDICTED, dtype), penalty=v, n_resamples=0
            ).weights
        ),
        lambda _, v: (
            label.bbse(
                torch.tensor(PROBABILITIES).double(), CLASSES, torch.tensor(PREDICTED).double(), n_resamples=0
            ).weights.tolist()
            if v < 1e-9
            else [1, 1]
            if v > 1
            else flat(
                label.rlls(
                    torch.tensor(PROBABILITIES).double(),
                    CLASSES,
                    torch.tensor(PREDICTED).double(),
                    penalty=float(v),
                    n_resamples=0,
                ).weights
            )
        ),
        tolerance=1e4,
        scale=1.0,
    ),
}
for _function, _fit in {"fit": training.fit, "epochs": last_epoch}.items():
    CASES |= {
        (f"training.{_function}", "lr"): Case(
            partial(fitted, _fit, "lr"),
            lambda _, v: [w - v * g for w, g in zip(W, G, strict=True)],
            finite=True,
            scale=1.0,
        ),
        (f"training.{_function}", "momentum"): Case(
            partial(fitted, _fit, "momentum"),
            lambda _, v: [w - (2 + v) * g / 2 for w, g in zip(W, G, strict=True)],
            scale=1.0,
        ),
        (f"training.{_function}", "weight_decay"): Case(
            partial(fitted, _fit, "weight_decay"),
            lambda _, v: [w - (g + v * w) / 2 for w, g in zip(W, G, strict=True)],
            finite=True,
            scale=1.0,
        ),
    }
CASES |= {
    ("training.fit_", "lr"): Case(partial(trained_module, "lr"), lambda _, v: [-2 * v * g for g in G], finite=True),
    ("training.fit_", "max_norm"): Case(
        partial(trained_module, "max_norm"), lambda _, v: [-g * min(1, v / norm_of_g()) for g in G]
    ),
}


def options() -> set[tuple[str, str]]:
    """Return each public function with each of its parameters that takes a number."""
    found: set[tuple[str, str]] = set()
    for name, function in public_functions().items():
        for parameter in inspect.signature(function).parameters.values():
            takes_number = re.search(r"(?<![\w.])float\b", str(parameter.annotation).replace("'float'", "float"))
            if takes_number or isinstance(parameter.default, float):
                found.add((name, parameter.name))
    return found


def flat(result: Any) -> list[float]:
    if isinstance(result, Tensor):
        return result.detach().double().flatten().tolist()
    return [result] if isinstance(result, float | int) else [value for part in result for value in flat(part)]


def is_right(actual: float, expected: mp.mpf | float, dtype: torch.dtype, case: Case) -> bool:
    """Return whether a number is the expected one after rounding to the dtype, which may be infinite or 0."""
    limits = torch.finfo(dtype)
    expected = mpf(expected)
    if math.isnan(actual):
        return False
    rounding = case.tolerance * limits.eps
    if math.isinf(actual):
        return not case.finite and abs(expected) > limits.max * (1 - rounding) and (actual > 0) == (expected > 0)
    return abs(mpf(actual) - expected) <= rounding * (abs(expected) + limits.tiny + case.scale)


def test_each_option_that_takes_a_number_is_a_case() -> None:
    missing = [f"{name}: add a Case for {option!r} to CASES" for name, option in sorted(options() - set(CASES))]
    left_over = [
        f"{name} has no option {option!r}: remove its Case"
        for name, option in sorted(set(CASES) - options() - {("datasets.linear_regression", "bias")})
    ]
    assert not missing + left_over, "\n".join(missing + left_over)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, id=f"{name[0]} {name[1]} {dtype}")
        for name, case in sorted(CASES.items(), key=lambda item: item[0])
        for dtype in case.dtypes
    ],
)
def test_a_number_gives_the_right_result_or_an_error_that_names_it(name: tuple[str, str], dtype: torch.dtype) -> None:
    case = CASES[name]
    wrong = []
    for value in (case.ordinary, *VALUES):
        try:
            actual = flat(case.call(dtype, value))
        except Exception as error:
            if (
                value == case.ordinary
                or not isinstance(error, ValueError)
                or not re.search(rf"\b{name[1]}\b", str(error))
            ):
                wrong.append((value, repr(error)[:300]))
            continue
        expected = list(case.exact(dtype, mpf(value)))
        assert len(actual) == len(expected)
        if not all(is_right(a, e, dtype, case) for a, e in zip(actual, expected, strict=True)):
            wrong.append((value, actual, [mp.nstr(mpf(e), 5) for e in expected]))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_error_names_parameter_rule_dtype_value_and_cure(dtype: torch.dtype) -> None:
    w = [torch.ones(2, dtype=dtype), torch.ones(2, dtype=torch.float64)]
    end = f"must be finite in {dtype}, got 1e\\+50; use torch.float64$"

    with pytest.raises(ValueError, match=f"^lr {end}"):
        optim.sgd_step(w, w, lr=1e50)
    with pytest.raises(ValueError, match=rf"^weight_decay\[0\] {end}"):
        optim.sgd_step(w, w, lr=0.5, weight_decay=[1e50, 1e50])
    with pytest.raises(ValueError, match=f"^lr {end}"):
        training.fit(dot_loss, w[0], w[1].to(dtype)[None], epochs=1, batch_size=1, lr=lambda _: 1e50)
    with pytest.raises(ValueError, match=r"^std must be >= 1.18e-38 in torch.float32, got 1e-50; use torch.float64$"):
        likelihood.normal_log_density(w[0], std=1e-50)
    with pytest.raises(ValueError, match=r"^std must be >= 2.23e-308 in torch.float64, got 1e-310$"):
        likelihood.normal_log_density(w[1], std=1e-310)


def test_a_number_per_parameter_needs_only_fit_its_own_dtype() -> None:
    single, double = torch.ones(2), torch.ones(2, dtype=torch.float64)

    _, stepped = optim.sgd_step([single, double], [single, double], lr=0.5, weight_decay=[0.0, 1e50])

    assert stepped.tolist() == [-0.5e50, -0.5e50]


def test_products_of_numbers_must_be_finite() -> None:
    w = torch.tensor([0.0, 1.0])

    with pytest.raises(ValueError, match=r"^lr \* weight_decay must be finite in torch.float32, got 1\.0.*e\+60"):
        optim.sgd_step(w, w, lr=1e30, weight_decay=1e30)
    with pytest.raises(ValueError, match=r"^lr \* weight_decay must be finite in torch.float32, got 1\.0.*e\+60"):
        optim.adam_step(w, w, None, lr=1e30, weight_decay=1e30)
    with pytest.raises(
        ValueError,
        match=r"^lr \* sqrt\(1 - betas\[1\] \*\* t\) / \(1 - betas\[0\] \*\* t\) must be finite in torch.float32",
    ):
        optim.adam_step(w, w, None, lr=1e38, betas=(0.99, 0.0))
    with pytest.raises(ValueError, match=r"^bound must be finite in torch.float32"):
        init.xavier_uniform(1, 1, gain=3e38)


def test_a_scale_in_another_dtype_must_not_vanish() -> None:
    std = torch.tensor(1e-50, dtype=torch.float64)

    assert likelihood.normal_log_density(torch.zeros(1, dtype=torch.float64), std=std).item() == pytest.approx(
        -math.log(1e-50) - math.log(2 * math.pi) / 2
    )
    with pytest.raises(ValueError, match=r"^std must be > 0 in torch.float32, got 0.0$"):
        likelihood.normal_log_density(torch.zeros(1), std=std)


def test_mask_is_finite() -> None:
    with pytest.raises(
        ValueError, match=r"^p must be 1, or have a finite 1 / \(1 - p\) in torch.float16, got 0.99999$"
    ):
        regularization.dropout_mask(3, 0.99999, dtype=torch.float16)


def test_infinite_numbers_are_kept_where_they_mean_something() -> None:
    assert init.constant(1, -math.inf).item() == -math.inf
    assert math.isnan(datasets.linear_regression(torch.ones(1), math.nan, 1).y.item())
    assert likelihood.normal_log_density(torch.zeros(1), mean=math.inf).item() == -math.inf
    assert importance.clip_weights(torch.tensor([1.0, math.inf]), maximum=1e50).tolist() == [1.0, math.inf]


@pytest.mark.parametrize("std", [1e-160, 1e160])
def test_effective_sample_size_of_an_extreme_shift(std: float) -> None:
    shift = datasets.gaussian_shift(3, 3, mean=torch.zeros(1, dtype=torch.float64), std=std)

    assert 0 <= shift.effective_sample_size < 1e-150


def test_equal_rows_stay_equal_in_a_narrow_kernel() -> None:
    x, y = torch.tensor([[0.1, 0.3], [0.7, 0.2], [0.9, 0.4]]), torch.tensor([[0.1, 0.3], [0.7, 0.2]])

    for bandwidth in (1e-5, 1e-10, 1e-300):
        found = detect.mmd_test(x, y, bandwidth=bandwidth, n_permutations=1).statistic
        assert found == pytest.approx(-2 * 2 / 6)


def test_a_penalty_that_rounding_hides_is_an_error() -> None:
    column = torch.tensor([[0.0], [1.0], [2.0], [4.0]], dtype=torch.float64)
    separated = torch.eye(2, dtype=torch.float64)[[0, 1, 0, 1]]

    with pytest.raises(ValueError, match=r"x must have rank 2 when centred, got 1: .*, or penalize"):
        linear.ridge(column.repeat(1, 2), column[:, 0], penalty=1e-50)
    with pytest.raises(RuntimeError, match=r"no minimum found: rounding hides the ratios, .*; raise penalty"):
        covariate.kliep(column, column + 9, features="linear", penalty=1e-13, generator=seeded())
    with pytest.raises(ValueError, match="logits must not classify every row correctly when penalty is 1e-50: "):
        label.bias_corrected_temperature(separated, torch.tensor([0, 1, 0, 1]), penalty=1e-50)
    torch.testing.assert_close(
        linear.ridge(column.repeat(1, 2), 2 * column[:, 0], penalty=1e-15).weight, torch.ones(2, dtype=torch.float64)
    )
