"""Benchmarks of :mod:`dlcore.optim`."""

from functools import partial

import torch

from dlcore import optim

from .frame import Pair, Row


def step_in_place() -> Pair:
    """Set up a step on twenty matrices, whose gradients are set before each step, as a backward pass would."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = ([torch.zeros(64, 64, requires_grad=True) for _ in range(20)] for _ in range(2))
    grads = [torch.randn(64, 64, generator=generator) for _ in ours]
    optimizer = torch.optim.SGD(theirs, lr=1e-3)

    def step_ours() -> None:
        for w, grad in zip(ours, grads, strict=True):
            w.grad = grad
        optim.sgd_(ours, lr=0.0)

    def step_theirs() -> None:
        for w, grad in zip(theirs, grads, strict=True):
            w.grad = grad
        optimizer.step()
        optimizer.zero_grad()

    return step_ours, step_theirs


def adam() -> Pair:
    """Set up one step of Adam on twenty matrices, pure against in place."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = ([torch.zeros(64, 64) for _ in range(20)] for _ in range(2))
    grads = [torch.randn(64, 64, generator=generator) for _ in ours]
    leaves = [w.requires_grad_() for w in theirs]
    optimizer = torch.optim.AdamW(leaves, lr=1e-3)
    for w, grad in zip(leaves, grads, strict=True):
        w.grad = grad
    _, state = optim.adam_step(ours, grads, None, lr=1e-3, weight_decay=0.01)

    def step_ours() -> None:
        optim.adam_step(ours, grads, state, lr=1e-3, weight_decay=0.01)

    return step_ours, optimizer.step


def clipping() -> Pair:
    """Set up the clipping of twenty gradients to half their norm, pure against in place."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.zeros(64, 64, requires_grad=True) for _ in range(20)]
    grads = [torch.randn(64, 64, generator=generator) for _ in weights]
    max_norm = float(optim.gradient_norm(grads)) / 2

    def clip_theirs() -> None:
        for w, grad in zip(weights, grads, strict=True):
            w.grad = grad.clone()  # the call below overwrites it
        torch.nn.utils.clip_grad_norm_(weights, max_norm)

    return partial(optim.clip_gradients, grads, max_norm=max_norm), clip_theirs


ROWS = [
    Row("sgd_ on 20 matrices of 64 × 64", "torch.optim.SGD", 0.7, step_in_place, compare=False),
    Row("adam_step on 20 matrices of 64 × 64", "torch.optim.AdamW", 1.0, adam, compare=False),
    Row("clip_gradients on 20 matrices of 64 × 64", "clip_grad_norm_ on copies", 1.5, clipping, compare=False),
]
