"""Entries of :mod:`dlcore.propagation`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from dlcore.propagation import _stable

from . import Entry, Pair, Refusal, draw, integers
from .mlp import LAYERS, MISFITS, X, layers, tensors

SQUARE = torch.eye(2)


def tensors_and_gradient(generator: Generator) -> tuple[Tensor, ...]:
    """Draw the gradient at the outputs, then inputs, weights and biases."""
    return draw(generator, 5, 3), *tensors(generator)


def of_tensors(signal_propagation: Callable[..., Any]) -> Callable[..., Any]:
    """Take the parameters one by one."""

    def four(output_gradient: Tensor, x: Tensor, *params: Tensor, **options: Any) -> tuple[Tensor, ...]:
        return tuple(signal_propagation(layers(*params), x, output_gradient=output_gradient, **options))

    return four


def of_tanh(gaussian_expectation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Take the mean of the square of tanh under positive variances."""
    return lambda x: gaussian_expectation(lambda z: z.tanh() ** 2, x**2)


ENTRIES = {
    "propagation.signal_propagation": Entry(
        make=tensors_and_gradient,
        kwargs={"activation": "tanh"},
        adapt=of_tensors,
        empty=Refusal(ValueError, "x must have shape (n, n_in) with n >= 1, got (0, 2)", (LAYERS, torch.ones(0, 2))),
        refusals=(
            *MISFITS,
            Refusal(ValueError, "x must have shape (n, n_in) with n >= 1, got (2,)", (LAYERS, X[0])),
            Refusal(
                ValueError,
                "variances must have one entry for each of 2 layers, got 3",
                (LAYERS, X),
                {"variances": [1.0, 1.0, 1.0]},
            ),
            Refusal(
                ValueError,
                "output_gradient and outputs must have the same shape, got (3,) and (2, 3)",
                (LAYERS, X),
                {"output_gradient": torch.ones(3)},
            ),
            Refusal(
                TypeError,
                "output_gradient must be a real floating-point tensor, got torch.int64",
                (LAYERS, X),
                {"output_gradient": torch.ones(2, 3, dtype=torch.int64)},
            ),
        ),
    ),
    "propagation.gaussian_expectation": Entry(
        make=lambda generator: (draw(generator, 3, 4),),
        adapt=of_tanh,
        empty=((torch.ones(0, 4),), (0, 4)),
        refusals=(
            Refusal(
                TypeError,
                "variance must be a real floating-point tensor, got torch.int64",
                (torch.tanh, integers(SQUARE)),
            ),
            Refusal(ValueError, "variance must be >= 0, got -0.5 at index 1", (torch.tanh, torch.tensor([1.0, -0.5]))),
            Refusal(ValueError, "variance must be >= 0, got nan", (torch.tanh, torch.tensor(math.nan))),
        ),
    ),
    "propagation.log_singular_values": Entry(
        make=lambda generator: (draw(generator, 2, 2, 2),),
        empty=((torch.ones(0, 3, 2, 2),), (0, 2)),
        refusals=(
            Refusal(
                TypeError, "matrices must be a real floating-point tensor, got torch.int64", (integers(SQUARE)[None],)
            ),
            Refusal(ValueError, "matrices must have shape (*, k, n, n), got (2, 2)", (SQUARE,)),
            Refusal(
                ValueError, "matrices must have shape (*, k, n, n) with n >= 1, got (1, 2, 1)", (SQUARE[None, :, :1],)
            ),
            Refusal(
                ValueError, "matrices must have shape (*, k, n, n) with n >= 1, got (4, 0, 0)", (torch.ones(4, 0, 0),)
            ),
        ),
    ),
}


def log_singular_values_of_the_product(matrices: Tensor) -> Tensor:
    """Return the formula as written, from the left to the right."""
    product = matrices[..., 0, :, :]
    for factor in matrices.unbind(-3)[1:]:
        product = product @ factor
    return torch.linalg.svdvals(product).log()


SEEDED = Generator().manual_seed(0)
PAIRS = {
    "propagation._stable.product_log_singular_values": Pair(
        kept=_stable.product_log_singular_values,
        formula=log_singular_values_of_the_product,
        arguments=tuple((draw(SEEDED, *shape),) for shape in ((1, 3, 3), (3, 4, 4), (2, 2, 5, 5), (4, 1, 1))),
    )
}
