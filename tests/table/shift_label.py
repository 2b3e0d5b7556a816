"""Entries of :mod:`dlcore.shift.label`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dlcore.shift.label import _fused, _stable

from . import Entry, Pair, Refusal, draw, integers

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
SAYS = torch.eye(3)[LABELS] / 2 + 1 / 6
TARGET = SAYS[:4]
NAN = float("nan")


def estimated(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Turn an estimate into a function that returns its tensors."""

    def call(*args: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
        shift = fit(*args, n_resamples=0, **kwargs)
        return shift.target_prior, shift.source_prior, shift.weights

    return call


def fitted(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the calibration into a function that returns its tensors."""

    def call(*args: Tensor) -> tuple[Tensor, ...]:
        calibrator = fit(*args)
        return calibrator.temperature, calibrator.biases

    return call


def make_predictions(generator: Generator) -> tuple[Tensor, ...]:
    """Draw a good classifier's outputs for 30 source rows, their labels, and its outputs for 20 target rows."""
    labels = torch.arange(30) % 3
    source = (draw(generator, 30, 3) + 3 * torch.eye(3, dtype=torch.float64)[labels]).softmax(dim=1)
    target = (draw(generator, 20, 3) + 3 * torch.eye(3, dtype=torch.float64)[labels[:20] // 2]).softmax(dim=1)
    return source, labels, target


def make_logits(generator: Generator) -> tuple[Tensor, ...]:
    """Draw logits that tell something of their labels."""
    labels = torch.arange(30) % 3
    return draw(generator, 30, 3) + torch.eye(3, dtype=torch.float64)[labels], labels


def refusals(*more: Refusal) -> tuple[Refusal, ...]:
    """List what every estimate refuses, and more that it refuses."""
    no_row = "source_probabilities must have shape (n, k) with n >= 1 and k >= 2, got"
    no_target = "target_probabilities must have shape (m, 3) with m >= 1, got"
    value: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("level must be in (0, 1), got 1.0", (SAYS, LABELS, TARGET), {"level": 1.0}),
        ("n_resamples must be >= 0, got -1", (SAYS, LABELS, TARGET), {"n_resamples": -1}),
        (f"{no_row} (6,)", (SAYS[:, 0], LABELS, TARGET), {}),
        (f"{no_row} (6, 1)", (SAYS[:, :1], LABELS, TARGET), {}),
        (f"{no_target} (4, 2)", (SAYS, LABELS, TARGET[:, :2]), {}),
        (f"{no_target} (0, 3)", (SAYS, LABELS, TARGET[:0]), {}),
        (
            "source_labels must have one entry for each of the 6 rows, got shape (5,)",
            (SAYS, LABELS[:5], TARGET),
            {},
        ),
        ("source_labels must be in [0, 3), got 3 at index 4", (SAYS, LABELS + 1, TARGET), {}),
        (
            "the number of each label in source_labels must be >= 1, got 0 at index 1",
            (SAYS, torch.tensor([0, 0, 2, 2, 2, 2]), TARGET),
            {},
        ),
        (
            "source_probabilities must be in [0, 1], got nan at index (0, 0)",
            (SAYS.where(SAYS < 0.5, NAN), LABELS, TARGET),
            {},
        ),
        ("target_probabilities must be in [0, 1], got 2.0 at index (0, 0)", (SAYS, LABELS, 2 * torch.eye(3)), {}),
        ("target_probabilities must be in [0, 1], got -1.0 at index (0, 0)", (SAYS, LABELS, -torch.ones(1, 3)), {}),
        (
            "the sum of each row of source_probabilities must be 1, got 0.5 at index 0",
            (torch.eye(3)[LABELS] / 2, LABELS, TARGET),
            {},
        ),
        (
            "the sum of each row of target_probabilities must be 1, got 0.0 at index 1",
            (SAYS, LABELS, torch.diag(torch.tensor([1.0, 0.0, 1.0]))),
            {},
        ),
    ]
    types: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        (
            "source_probabilities must be a torch.Tensor, got ndarray; "
            "torch.as_tensor(source_probabilities) converts it",
            (SAYS.numpy(), LABELS, TARGET),
            {},
        ),
        (
            "target_probabilities must be a real floating-point tensor, got torch.int64",
            (SAYS, LABELS, integers(TARGET)),
            {},
        ),
        ("source_labels must be an integer tensor, got torch.float32", (SAYS, LABELS.float(), TARGET), {}),
        (
            "target_probabilities must have the dtype of source_probabilities, torch.float32, got torch.float64",
            (SAYS, LABELS, TARGET.double()),
            {},
        ),
        ("level must be a real number, got '0.9'", (SAYS, LABELS, TARGET), {"level": "0.9"}),
        ("n_resamples must be an integer, got 1.5", (SAYS, LABELS, TARGET), {"n_resamples": 1.5}),
    ]
    return (
        *(Refusal(ValueError, *case) for case in value),
        *(Refusal(TypeError, *case) for case in types),
        *more,
    )


NO_ROWS = Refusal(
    ValueError,
    "source_probabilities must have shape (n, k) with n >= 1 and k >= 2, got (0, 3)",
    (SAYS[:0], LABELS[:0], TARGET),
)
SINGULAR = "source_probabilities must distinguish the classes, but their confusion matrix has rank 2 of 3"
NEVER_ABOVE = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.1, 0.3], [0.1, 0.3, 0.6]])[LABELS // 2 * 2 % 3]
VALUES = {
    "gradient": "a fit that looks at values and carries no gradients back",
    "func_grad": "the fit looks at values, which torch.func hides",
    "vmap": "the fit looks at values, which torch.func hides",
    "compile": "the report is made of Python numbers, which are no part of a graph",
    "meta": "there is nothing to report without values",
}
UNSEEN = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
TINY = torch.tensor([[0.5, 0.5, 1e-310]], dtype=torch.float64)
LOGITS = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
TWO = torch.tensor([0, 1, 1, 0])


def em_to_convergence(ratios: Tensor, p: Tensor) -> Tensor:
    """Repeat the E-step and the M-step as they are printed."""
    for _ in range(20_000):
        joint = ratios * p
        p = (joint / joint.sum(dim=1, keepdim=True)).mean(dim=0)
    return p


def best_of_all_supports(hessian: Tensor, c: Tensor) -> Tensor:
    """Minimize over each set of free entries, and keep the least value of those that are not negative."""
    k, minima = len(hessian), list[Tensor]()
    for row in c:
        candidates = [torch.zeros_like(row)]
        for bits in range(1, 2**k):
            free = [j for j in range(k) if bits >> j & 1]
            x = torch.zeros_like(row)
            x[free] = torch.linalg.solve(hessian[free][:, free], row[free])
            candidates += [x] if (x >= 0).all() else []
        minima.append(min(candidates, key=lambda x, row=row: float(x @ hessian @ x / 2 - row @ x)))
    return torch.stack(minima)


def mixtures(seed: int, m: int, k: int, scale: float) -> tuple[Tensor, Tensor]:
    """Draw likelihood ratios, and the prior from which the search starts."""
    ratios = k * (scale * draw(torch.Generator().manual_seed(seed), m, k)).softmax(dim=1)
    return ratios, torch.full((k,), 1 / k, dtype=torch.float64)


def quadratics(seed: int, k: int) -> tuple[Tensor, Tensor]:
    """Draw a positive definite matrix and 20 linear terms."""
    generator = torch.Generator().manual_seed(seed)
    roots = draw(generator, k + 2, k)
    return roots.T @ roots, draw(generator, 20, k)


def systems(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    """Draw regular joint matrices and mean predictions."""
    generator = torch.Generator().manual_seed(seed)
    return draw(generator, *shape, 3, 3) + 4 * torch.eye(3, dtype=torch.float64), draw(generator, *shape, 3)


PAIRS = {
    "shift.label._fused.most_likely_prior": Pair(
        kept=_fused.most_likely_prior,
        formula=em_to_convergence,
        arguments=(mixtures(0, 40, 3, 1.0), mixtures(1, 200, 5, 2.0), mixtures(2, 60, 2, 6.0)),
        tolerance=1e-5,
    ),
    "shift.label._fused.nonnegative_minimum": Pair(
        kept=_fused.nonnegative_minimum,
        formula=best_of_all_supports,
        arguments=tuple(quadratics(seed, k) for seed, k in enumerate((1, 2, 4, 6))),
        tolerance=1e-8,
    ),
    "shift.label._stable.nearest_solution": Pair(
        kept=_stable.nearest_solution,
        formula=torch.linalg.solve,
        arguments=(systems(0), systems(1, 7), systems(2, 2, 5)),
    ),
}

ENTRIES = {
    "shift.label.bbse": Entry(
        make=make_predictions,
        adapt=estimated,
        kwargs={"soft": True},
        empty=NO_ROWS,
        exempt=VALUES,
        refusals=refusals(
            Refusal(
                ValueError,
                SINGULAR + "; never predicted: 1; rlls stays near the source's prior",
                (torch.eye(3)[[0, 0, 0, 0, 2, 2]], LABELS, TARGET),
            ),
            Refusal(
                ValueError,
                SINGULAR + "; rlls stays near the source's prior",
                (torch.eye(3)[[0, 1, 0, 1, 2, 2]], LABELS, TARGET),
            ),
        ),
    ),
    "shift.label.rlls": Entry(
        make=make_predictions,
        adapt=estimated,
        kwargs={"soft": True},
        empty=NO_ROWS,
        exempt=VALUES,
        refusals=refusals(
            Refusal(TypeError, "penalty must be a real number, got '1'", (SAYS, LABELS, TARGET), {"penalty": "1"}),
            Refusal(ValueError, "penalty must be >= 0 and finite, got -1.0", (SAYS, LABELS, TARGET), {"penalty": -1.0}),
        ),
    ),
    "shift.label.saerens_em": Entry(
        make=make_predictions,
        adapt=estimated,
        empty=NO_ROWS,
        exempt=VALUES,
        refusals=refusals(
            Refusal(
                ValueError,
                "the mean source probability of each class must be > 0, got 0.0 at index 2",
                (UNSEEN, LABELS[::2], TARGET),
            ),
            Refusal(
                ValueError,
                "logits must be larger for the true labels: the best temperature is not positive",
                (SAYS.roll(1, 1), LABELS, TARGET),
                {"calibrate": True},
            ),
            Refusal(
                RuntimeError,
                "no most likely prior found in 1000 steps: a class is all but absent from source_probabilities",
                (TINY.expand(6, 3), LABELS, torch.eye(3, dtype=torch.float64)),
            ),
        ),
    ),
    "shift.label.bias_corrected_temperature": Entry(
        make=make_logits,
        adapt=fitted,
        empty=Refusal(
            ValueError,
            "logits must have shape (n, k) with n >= 1 and k >= 2, got (0, 2)",
            (LOGITS[:0], TWO[:0]),
        ),
        exempt=VALUES | {"compile": "the number of steps of the search depends on the values"},
        refusals=(
            Refusal(TypeError, "logits must be a real floating-point tensor, got torch.int64", (integers(LOGITS), TWO)),
            Refusal(TypeError, "labels must be an integer tensor, got torch.float32", (LOGITS, TWO.float())),
            Refusal(TypeError, "penalty must be a real number, got None", (LOGITS, TWO), {"penalty": None}),
            Refusal(ValueError, "penalty must be >= 0 and finite, got inf", (LOGITS, TWO), {"penalty": math.inf}),
            Refusal(ValueError, "logits must have shape (n, k) with n >= 1 and k >= 2, got (4,)", (LOGITS[:, 0], TWO)),
            Refusal(ValueError, "labels must have one entry for each of the 4 rows, got shape (2,)", (LOGITS, TWO[:2])),
            Refusal(ValueError, "labels must be in [0, 2), got -1 at index 0", (LOGITS, TWO - 1)),
            Refusal(ValueError, "logits must be finite, got inf at index (0, 0)", (LOGITS / (2 - LOGITS), TWO)),
            Refusal(ValueError, "the number of each label in labels must be >= 1, got 0 at index 1", (LOGITS, 0 * TWO)),
            Refusal(
                ValueError,
                "logits must not classify every row correctly when penalty is 0: the loss keeps falling as the "
                "temperature tends to 0",
                (LOGITS, torch.tensor([0, 0, 1, 1])),
                {"penalty": 0},
            ),
            Refusal(
                ValueError,
                "logits must be larger for the true labels: the best temperature is not positive",
                (LOGITS, torch.tensor([1, 1, 0, 0])),
            ),
            Refusal(ValueError, "penalty must be <= 6e+09 for 6 rows, got 1e+50", (SAYS, LABELS), {"penalty": 1e50}),
            Refusal(
                RuntimeError,
                "no minimum found: the value does not fall along Newton's step; lower penalty, or the range of logits",
                (1e10 * SAYS, LABELS),
                {"penalty": 1e-12},
            ),
        ),
    ),
}
