"""Entries of :mod:`dlcore.shift.concept`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, TensorDataset

from dlcore._shards import local_rows
from dlcore.shift.concept import PageHinkley

from . import Entry, Refusal, draw

LOSSES = torch.tensor([0.25, 0.5])
W, X = torch.zeros(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
RUN = {"epochs": 1, "batch_size": 2, "lr": 0.5}


def losses(generator: Generator) -> tuple[Tensor]:
    return (draw(generator, 40).sigmoid(),)


def numbers_of_page_hinkley(page_hinkley: Callable[..., Any]) -> Callable[..., Tensor]:
    def call(losses: Tensor) -> Tensor:
        state = page_hinkley(None, losses)
        return torch.tensor([state.n, state.mean, state.rise, state.fall])

    return call


def numbers_of_adwin(adwin: Callable[..., Any]) -> Callable[..., Tensor]:
    def call(losses: Tensor) -> Tensor:
        state = adwin(None, losses)
        return torch.tensor([state.n, state.width, state.total, state.deviations])

    return call


def tuned(fine_tune: Callable[..., Any]) -> Callable[..., Tensor]:
    return lambda x, w: fine_tune(dot_loss, local_rows(w), x, window=4, shuffle=False, **RUN).params


def dot_loss(w: Tensor, x: Tensor) -> Tensor:
    return (x @ w - 1) ** 2


def refused(error: type[Exception], message: str, *args: Any, **options: Any) -> Refusal:
    return Refusal(error, message, args or (None, LOSSES), options)


READS = (
    refused(TypeError, "losses must be a real floating-point tensor, got torch.int64", None, LOSSES.long()),
    refused(
        TypeError,
        "losses must be a torch.Tensor, got ndarray; torch.as_tensor(losses) converts it",
        None,
        LOSSES.numpy(),
    ),
    refused(ValueError, "losses must have shape (n,) or (), got (2, 1)", None, LOSSES[:, None]),
)
NUMBERS = "a state holds Python numbers, so the losses must have values, and no graph of autograd begins at them"
EXEMPT = dict.fromkeys(("gradient", "func_grad", "vmap", "dtypes", "meta"), NUMBERS)
STEPS_BY_VALUES = "torch.compile traces no steps whose number and course depend on values"
CUT = "the run stops and looks at its loss after every batch, in Python: differentiate steps of optim.sgd_step instead"
LOOKS = "the run looks at the value of its loss after every batch, and stops where it is not finite"

ENTRIES = {
    "shift.concept.page_hinkley": Entry(
        make=losses,
        adapt=numbers_of_page_hinkley,
        empty=((LOSSES[:0],), (4,)),
        exempt=EXEMPT | {"compile": STEPS_BY_VALUES},
        refusals=(
            *READS,
            refused(
                ValueError,
                "losses must be finite, got nan at index 1; to leave out missing losses, pass losses[~losses.isnan()]",
                None,
                torch.tensor([1.0, math.nan]),
            ),
            refused(ValueError, "losses must be finite, got inf", None, torch.tensor(math.inf)),
            refused(
                TypeError,
                "state must be None or what the last call returned, a state of PageHinkley, got 0.5",
                0.5,
                LOSSES,
            ),
            refused(TypeError, "delta must be a real number, got '0'", delta="0"),
            refused(TypeError, "threshold must be a real number, got None", threshold=None),
            refused(TypeError, "warm_up must be an integer, got 1.5", warm_up=1.5),
            refused(ValueError, "delta must be >= 0 and finite, got -1.0", delta=-1.0),
            refused(ValueError, "threshold must be >= 0 and finite, got -1.0", threshold=-1.0),
            refused(ValueError, "warm_up must be >= 1, got 0", warm_up=0),
            refused(ValueError, "direction must be 'up', 'down' or 'both', got 'left'", direction="left"),
        ),
    ),
    "shift.concept.adwin": Entry(
        make=losses,
        adapt=numbers_of_adwin,
        empty=((LOSSES[:0],), (4,)),
        exempt=EXEMPT | {"compile": STEPS_BY_VALUES},
        refusals=(
            *READS,
            refused(
                ValueError,
                "losses must be in [0, 1.0], got nan at index 1"
                "; to leave out missing losses, pass losses[~losses.isnan()]",
                None,
                torch.tensor([1.0, math.nan]),
            ),
            refused(ValueError, "losses must be in [0, 1.0], got 1.5 at index 0", None, torch.tensor([1.5])),
            refused(ValueError, "losses must be in [0, 1.0], got -0.5", None, torch.tensor(-0.5)),
            refused(ValueError, "losses must be in [0, 2], got 2.5 at index 0", None, 10 * LOSSES, largest_loss=2),
            refused(
                TypeError,
                "state must be None or what the last call returned, a state of Adwin, got "
                "PageHinkley(n=0, detections=(), drift=False, count=0, mean=0.0, rise=0.0, fall=0.0)",
                PageHinkley(),
                LOSSES,
            ),
            refused(TypeError, "delta must be a real number, got '0'", delta="0"),
            refused(TypeError, "largest_loss must be a real number, got None", largest_loss=None),
            refused(TypeError, "check_every must be an integer, got 1.5", check_every=1.5),
            refused(ValueError, "delta must be in (0, 1), got 1.0", delta=1.0),
            refused(ValueError, "largest_loss must be > 0 and finite, got 0.0", largest_loss=0.0),
            refused(ValueError, "check_every must be >= 1, got 0", check_every=0),
            refused(ValueError, "max_buckets must be >= 1, got 0", max_buckets=0),
            refused(ValueError, "min_window must be >= 1, got 0", min_window=0),
        ),
    ),
    "shift.concept.fine_tune": Entry(
        make=lambda generator: (draw(generator, 6, 2), draw(generator, 2)),
        adapt=tuned,
        empty=refused(ValueError, "data must have a row, got none", dot_loss, W, X[:0], window=2, **RUN),
        exempt={"gradient": CUT, "func_grad": CUT, "vmap": LOOKS, "compile": LOOKS, "meta": LOOKS},
        refusals=(
            refused(TypeError, "window must be an integer, got 2.0", dot_loss, W, X, window=2.0, **RUN),
            refused(ValueError, "window must be >= 1, got 0", dot_loss, W, X, window=0, **RUN),
            refused(
                TypeError,
                "data must have rows that can be indexed, got DataLoader; pass its dataset",
                dot_loss,
                W,
                DataLoader(TensorDataset(X)),
                window=2,
                **RUN,
            ),
        ),
    ),
}
