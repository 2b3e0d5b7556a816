"""Entries of :mod:`dlcore.losses`."""

import math

import torch

from dlcore._fused import cross_entropy_of_rows, half_square, surprise_at_labels

from . import Entry, Pair, Refusal, draw, integers

Y = torch.tensor([1.0, 2.0, 3.0])
LOGITS = torch.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
PROBABILITIES = torch.tensor([[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])
LABELS = torch.tensor([2, 0])

RESIDUAL = (
    Refusal(TypeError, "y_hat must be a real floating-point tensor, got torch.int64", (integers(Y), Y)),
    Refusal(TypeError, "y must be a real floating-point tensor, got torch.bool", (Y, Y > 1)),
    Refusal(TypeError, "y must be a torch.Tensor, got float", (Y, 1.0)),
    Refusal(TypeError, "y must have the dtype of y_hat, torch.float32, got torch.float64", (Y, Y.double())),
    Refusal(
        ValueError,
        "y_hat and y must have the same shape, got (3, 1) and (3,); y.reshape(y_hat.shape) makes them agree",
        (Y[:, None], Y),
    ),
    Refusal(ValueError, "y_hat and y must have the same shape, got (3,) and ()", (Y, torch.tensor(1.0))),
)


def class_indices(name: str, scores: torch.Tensor) -> tuple[Refusal, ...]:
    """Return what both cross-entropies refuse."""
    return (
        Refusal(TypeError, f"{name} must be a real floating-point tensor, got torch.int64", (integers(scores), LABELS)),
        Refusal(TypeError, "labels must be an integer tensor, got torch.bool", (scores, LABELS > 1)),
        Refusal(TypeError, "labels must be a torch.Tensor, got list", (scores, [2, 0])),
        Refusal(ValueError, f"{name} must have shape (*, q), got ()", (scores[0, 0], LABELS)),
        Refusal(ValueError, f"{name} must have a class in dimension -1, got shape (2, 0)", (scores[:, :0], LABELS)),
        Refusal(
            ValueError, "labels must have shape (2,), a class index for each row, got (2, 1)", (scores, LABELS[:, None])
        ),
        Refusal(
            ValueError, "labels must have shape (2,), a class index for each row, got ()", (scores, torch.tensor(0))
        ),
        Refusal(TypeError, "dim must be an integer, got 1.0", (scores, LABELS), {"dim": 1.0}),
        Refusal(ValueError, "dim must be >= -2, got -3", (scores, LABELS), {"dim": -3}),
        Refusal(
            ValueError, f"dim must be < 2, the number of dimensions of {name}, got 2", (scores, LABELS), {"dim": 2}
        ),
        Refusal(ValueError, "labels must be in [0, 3), got 3 at index 1", (scores, torch.tensor([2, 3]))),
        Refusal(ValueError, "labels must be in [0, 3), got -1 at index 0", (scores, torch.tensor([-1, 3]))),
        Refusal(
            ValueError,
            "labels must be in [0, 3), got -100 at index 1; "
            "to ignore an example, give it any valid index and the weight 0",
            (scores, torch.tensor([2, -100])),
        ),
        Refusal(
            ValueError,
            "labels must be in [0, 3), got 200 at index 0",
            (scores, torch.tensor([200, 0], dtype=torch.uint8)),
        ),
    )


ENTRIES = {
    "losses.squared_loss": Entry(
        make=lambda generator: (draw(generator, 5), draw(generator, 5)),
        empty=((torch.ones(0), torch.ones(0)), (0,)),
        refusals=RESIDUAL,
    ),
    "losses.absolute_loss": Entry(
        make=lambda generator: (draw(generator, 5), draw(generator, 5)),
        empty=((torch.ones(0), torch.ones(0)), (0,)),
        refusals=RESIDUAL,
    ),
    "losses.huber_loss": Entry(
        make=lambda generator: (draw(generator, 5), draw(generator, 5)),
        kwargs={"delta": 0.75},
        empty=((torch.ones(0), torch.ones(0)), (0,)),
        refusals=(
            *RESIDUAL,
            Refusal(TypeError, "delta must be a real number, got None", (Y, Y), {"delta": None}),
            *(
                Refusal(ValueError, f"delta must be > 0, got {delta}", (Y, Y), {"delta": delta})
                for delta in (0.0, -1.0, math.nan)
            ),
        ),
    ),
    "losses.cross_entropy": Entry(
        make=lambda generator: (draw(generator, 5, 3), torch.randint(3, (5,), generator=generator)),
        kwargs={"label_smoothing": 0.25},
        empty=((torch.ones(0, 3), torch.ones(0, dtype=torch.int64)), (0,)),
        refusals=(
            *class_indices("logits", LOGITS),
            Refusal(
                TypeError,
                "labels must have the dtype of logits, torch.float32, got torch.float64",
                (LOGITS, PROBABILITIES.double()),
            ),
            Refusal(
                TypeError, "labels must be an integer tensor, got torch.float32", (LOGITS, torch.tensor([2.0, 0.0]))
            ),
            Refusal(
                ValueError,
                "logits and labels must have the same shape, got (2, 3) and (1, 3)",
                (LOGITS, PROBABILITIES[:1]),
            ),
            Refusal(ValueError, "logits must have shape (*, q), got ()", (LOGITS[0, 0], PROBABILITIES[0, 0])),
            Refusal(
                ValueError,
                "logits must have a class in dimension -1, got shape (2, 0)",
                (LOGITS[:, :0], PROBABILITIES[:, :0]),
            ),
            Refusal(
                ValueError,
                "labels must have shape (2, 4), a class index for each row, got (2, 3); pass dim=1",
                (torch.zeros(2, 4, 3), torch.zeros(2, 3, dtype=torch.int64)),
            ),
            Refusal(
                ValueError,
                "labels must be in [0, 3), got 3 at index (1, 4)",
                (torch.zeros(2, 3, 5), torch.tensor([[0] * 5, [0] * 4 + [3]])),
                {"dim": 1},
            ),
            Refusal(
                TypeError, "label_smoothing must be a real number, got '0'", (LOGITS, LABELS), {"label_smoothing": "0"}
            ),
            *(
                Refusal(
                    ValueError,
                    f"label_smoothing must be in [0, 1], got {value}",
                    (LOGITS, LABELS),
                    {"label_smoothing": value},
                )
                for value in (-0.1, 1.5, math.nan)
            ),
        ),
    ),
    "losses.cross_entropy_from_probabilities": Entry(
        make=lambda generator: (
            draw(generator, 5, 3).softmax(-1),
            torch.randint(3, (5,), generator=generator),
        ),
        empty=((torch.ones(0, 3), torch.ones(0, dtype=torch.int64)), (0,)),
        refusals=(
            *class_indices("probabilities", PROBABILITIES),
            Refusal(ValueError, "probabilities must be in [0, 1] at the labels, got 2.0 at index 0", (LOGITS, LABELS)),
            Refusal(
                ValueError,
                "probabilities must be in [0, 1] at the labels, got -1.0 at index 1",
                (LOGITS - 1, torch.tensor([1, 2])),
            ),
        ),
    ),
    "losses.logistic_loss": Entry(
        make=lambda generator: (draw(generator, 5), torch.rand(5, dtype=torch.float64, generator=generator)),
        empty=((torch.ones(0), torch.ones(0)), (0,)),
        refusals=(
            Refusal(TypeError, "logits must be a real floating-point tensor, got torch.int64", (integers(Y), Y)),
            *(
                Refusal(
                    TypeError,
                    f"labels must be a real floating-point tensor, got {labels.dtype}; "
                    "labels.to(logits.dtype) converts them",
                    (Y, labels),
                )
                for labels in (Y > 1, integers(Y))
            ),
            Refusal(
                TypeError, "labels must have the dtype of logits, torch.float32, got torch.float64", (Y, Y.double())
            ),
            Refusal(
                ValueError,
                "logits and labels must have the same shape, got (3, 1) and (3,);"
                " labels.reshape(logits.shape) makes them agree",
                (Y[:, None], Y),
            ),
            Refusal(ValueError, "labels must be in [0, 1], got 2.0 at index 1", (Y, Y)),
            Refusal(ValueError, "labels must be in [0, 1], got -1.0 at index 0", (Y, -Y)),
            Refusal(ValueError, "labels must be in [0, 1], got nan at index 0", (Y, Y * math.nan)),
        ),
    ),
}

ROWS = torch.linspace(-3, 0, 12).reshape(4, 3)
PAIRS = {
    "_fused.cross_entropy_of_rows": Pair(
        kept=cross_entropy_of_rows,
        formula=lambda o, y: o.logsumexp(1) - o.gather(1, y[:, None])[:, 0],
        arguments=((ROWS, torch.tensor([2, 0, 1, 1])), (ROWS.double() * 100, torch.tensor([0, 1, 2, 2]))),
    ),
    "_fused.half_square": Pair(
        kept=half_square, formula=lambda y_hat, y: (y_hat - y) ** 2 / 2, arguments=((Y, -Y), (Y, torch.full((3,), 2.0)))
    ),
    "_fused.surprise_at_labels": Pair(
        kept=surprise_at_labels,
        formula=lambda log_p, y: -log_p.gather(-1, y.unsqueeze(-1)).squeeze(-1),
        arguments=((ROWS, torch.tensor([2, 0, 1, 1])), (ROWS[0], torch.tensor(2))),
    ),
}
