"""Entries of :mod:`dlcore.linear`."""

import torch

from . import Entry, Refusal, draw, integers

X = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
WEIGHT = torch.ones(2, 3)
BIAS = torch.zeros(3)

ENTRIES = {
    "linear.linear": Entry(
        make=lambda generator: (draw(generator, 5, 4), draw(generator, 4, 3), draw(generator, 3)),
        empty=((torch.ones(0, 2), WEIGHT, BIAS), (0, 3)),
        refusals=(
            Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (integers(X), WEIGHT, BIAS)),
            Refusal(
                TypeError,
                "weight must have the dtype of x, torch.float32, got torch.float64",
                (X, WEIGHT.double(), BIAS),
            ),
            Refusal(
                TypeError, "bias must have the dtype of x, torch.float32, got torch.float64", (X, WEIGHT, BIAS.double())
            ),
            Refusal(ValueError, "x must have shape (*, n_in), got ()", (torch.tensor(1.0), WEIGHT, BIAS)),
            Refusal(ValueError, "weight must have shape (2,) or (2, n_out), got (3, 2)", (X, WEIGHT.T, BIAS)),
            Refusal(ValueError, "weight must have shape (2,) or (2, n_out), got ()", (X, torch.tensor(1.0), BIAS)),
            Refusal(ValueError, "bias must have shape (3,), got (1, 3)", (X, WEIGHT, BIAS[None])),
            Refusal(ValueError, "bias must have shape (3,), got ()", (X, WEIGHT, torch.tensor(0.0))),
        ),
    ),
}
