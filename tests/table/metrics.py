"""Entries of :mod:`dlcore.metrics`."""

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw

Y = torch.tensor([0, 2, 1])
P = torch.eye(3)
COUNT = {"n_classes": 3}


def classes(generator: Generator, *shape: int) -> Tensor:
    """Draw labels of three classes."""
    return torch.randint(3, shape, generator=generator)


SAMPLE_PAIRS = (
    Refusal(TypeError, "labels must be an integer tensor, got torch.float32", (Y.float(), Y)),
    Refusal(TypeError, "predictions must be an integer tensor, got torch.float32", (Y, P)),
    Refusal(TypeError, "predictions must be a torch.Tensor, got list", (Y, [0, 2, 1])),
    Refusal(
        ValueError,
        "labels and predictions must have the same shape, got (3,) and (3, 1); "
        "predictions.reshape(labels.shape) makes them agree",
        (Y, Y.reshape(3, 1)),
    ),
)
INTEGERS = {
    "gradient": "labels and predictions are integers",
    "func_grad": "labels and predictions are integers",
}

ENTRIES = {
    "metrics.accuracy": Entry(
        make=lambda generator: (classes(generator, 8), classes(generator, 8)),
        empty=Refusal(ValueError, "labels must hold at least one example, got shape (0,)", (Y[:0], Y[:0])),
        refusals=SAMPLE_PAIRS,
        exempt=INTEGERS | {"dtypes": "integers have no floating dtype that the result could keep"},
    ),
    "metrics.confusion_matrix": Entry(
        make=lambda generator: (classes(generator, 8), classes(generator, 8)),
        kwargs=COUNT,
        empty=((Y[:0], Y[:0]), (3, 3)),
        refusals=(
            *(Refusal(x.error, x.message, x.args, COUNT) for x in SAMPLE_PAIRS),
            Refusal(TypeError, "n_classes must be an integer, got 3.0", (Y, Y), {"n_classes": 3.0}),
            Refusal(ValueError, "n_classes must be >= 1, got 0", (Y, Y), {"n_classes": 0}),
            Refusal(
                ValueError,
                "normalize must be 'true', 'predicted', 'all' or None, got 'pred'",
                (Y, Y),
                COUNT | {"normalize": "pred"},
            ),
            Refusal(ValueError, "labels must be in [0, 2), got 2 at index 1", (Y, Y), {"n_classes": 2}),
            Refusal(ValueError, "predictions must be in [0, 3), got -1 at index 0", (Y, Y - 1), COUNT),
        ),
        exempt=INTEGERS,
    ),
    "metrics.calibration_error": Entry(
        make=lambda generator: (classes(generator, 8), draw(generator, 8, 3).softmax(dim=1)),
        kwargs={"n_bins": 4},
        empty=Refusal(ValueError, "labels must hold at least one example, got shape (0,)", (Y[:0], P[:0])),
        refusals=(
            Refusal(TypeError, "labels must be an integer tensor, got torch.float32", (Y.float(), P)),
            Refusal(TypeError, "probabilities must be a real floating-point tensor, got torch.int64", (Y, P.long())),
            Refusal(TypeError, "n_bins must be an integer, got 2.5", (Y, P), {"n_bins": 2.5}),
            Refusal(ValueError, "n_bins must be >= 1, got 0", (Y, P), {"n_bins": 0}),
            Refusal(ValueError, "probabilities must have shape (n, k) with k >= 1, got (3,)", (Y, P[0])),
            Refusal(ValueError, "probabilities must have shape (n, k) with k >= 1, got (3, 0)", (Y, P[:, :0])),
            Refusal(ValueError, "labels must have one entry for each of the 3 rows, got shape (2,)", (Y[:2], P)),
            Refusal(ValueError, "labels must be in [0, 3), got 3 at index 1", (Y + 1, P)),
            Refusal(ValueError, "probabilities must be in [0, 1], got 2.0 at index 0", (Y, 2 * P)),
            Refusal(ValueError, "probabilities must be in [0, 1], got -1.0 at index 0", (Y, -torch.ones(3, 3))),
        ),
    ),
}
