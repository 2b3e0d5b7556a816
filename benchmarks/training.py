"""Benchmarks of :mod:`dlcore.training`: three epochs on the digits, with the same initial weights and loss."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the conventional name
from torch.utils.data import DataLoader, TensorDataset

from dlcore import losses, mlp, training
from dlcore.linear import LinearParams

from .frame import Pair, Row

EPOCHS, BATCH, LR = 3, 64, 0.1
MODELS = {"softmax regression": (64, 10), "a 64-128-10 MLP": (64, 128, 10)}


def digits() -> tuple[Tensor, Tensor]:
    """Return the images, scaled to [0, 1], and their classes."""
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)


def loss(params: tuple[LinearParams, ...], x: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of each row."""
    return losses.cross_entropy(mlp.mlp(params, x), y)


def logits(layers: list[Tensor], x: Tensor) -> Tensor:
    """Return the logits of the network, as a hand-written loop would compute them."""
    for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        x = torch.relu(torch.addmm(bias, x, weight))
    return torch.addmm(layers[-1], x, layers[-2])


def batches_by_hand(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of an epoch."""
    for rows in torch.randperm(len(x)).split(BATCH):
        yield x[rows], y[rows]


def loop_by_hand(start: list[Tensor], x: Tensor, y: Tensor) -> float:
    """Train with torch alone, and return the mean loss of the last epoch."""
    layers = [w.clone().requires_grad_() for w in start]
    total = 0.0
    for _ in range(EPOCHS):
        total = 0.0
        for inputs, labels in batches_by_hand(x, y):
            mean = F.cross_entropy(logits(layers, inputs), labels)
            grads = torch.autograd.grad(mean, layers)
            with torch.no_grad():
                for w, grad in zip(layers, grads, strict=True):
                    w.sub_(grad, alpha=LR)
            total += mean.item() * len(labels)
    return total / len(x)


def loop_of_parts(start: list[Tensor], x: Tensor, y: Tensor) -> float:
    """Train with a ``DataLoader`` and ``torch.optim.SGD``, and return the mean loss of the last epoch."""
    layers = [w.clone().requires_grad_() for w in start]
    optimizer = torch.optim.SGD(layers, lr=LR)
    loader = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    total = 0.0
    for _ in range(EPOCHS):
        total = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            mean = F.cross_entropy(logits(layers, inputs), labels)
            mean.backward()
            optimizer.step()
            total += mean.item() * len(labels)
    return total / len(x)


def against(loop: Callable[..., float], sizes: tuple[int, ...]) -> Pair:
    """Set up both trainings; before they are timed, their losses must agree to 5 %, as the row orders differ."""
    x, y = digits()
    params = mlp.init_mlp(sizes, generator=torch.Generator().manual_seed(0))

    def ours() -> float:
        options = {"epochs": EPOCHS, "batch_size": BATCH, "lr": LR, "progress": False}
        return training.fit(loss, params, (x, y), **options).train_loss[-1]

    theirs = partial(loop, [w for layer in params for w in layer], x, y)
    reached = ours(), theirs()
    if abs(reached[0] / reached[1] - 1) > 0.05:
        raise ValueError(f"both must reach the same loss, got {reached}")
    return ours, theirs


def module(sizes: tuple[int, ...]) -> torch.nn.Sequential:
    """Return the network as a module."""
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [torch.nn.ReLU(), torch.nn.Linear(n_in, n_out)]
    return torch.nn.Sequential(*layers[1:])


def module_loop(
    net: torch.nn.Module, batches: Callable[[Tensor, Tensor], Iterable[Sequence[Tensor]]], x: Tensor, y: Tensor
) -> float:
    """Train a module by hand, and return the last epoch's mean loss."""
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    total = 0.0
    for _ in range(EPOCHS):
        total = 0.0
        for inputs, labels in batches(x, y):
            optimizer.zero_grad()
            mean = F.cross_entropy(net(inputs), labels)
            mean.backward()
            optimizer.step()
            total += mean.item() * len(labels)
    return total / len(x)


def module_against(batches: Callable[[Tensor, Tensor], Iterable[Sequence[Tensor]]], sizes: tuple[int, ...]) -> Pair:
    """Set up both trainings of a module; they go on from where the last call ended."""
    x, y = digits()
    ours, theirs = module(sizes), module(sizes)

    def module_loss(net: torch.nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(net(inputs), labels, reduction="none")

    def train() -> float:
        options = {"epochs": EPOCHS, "batch_size": BATCH, "lr": LR, "progress": False}
        return training.fit_(module_loss, ours, (x, y), **options).train_loss[-1]

    return train, partial(module_loop, theirs, batches, x, y)


def loaded(x: Tensor, y: Tensor) -> Iterable[Sequence[Tensor]]:
    """Return the batches of a data loader."""
    return DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)


ROWS = [
    Row(f"fit of {model}, digits", alternative, target, partial(against, loop, sizes), compare=False)
    for model, sizes in MODELS.items()
    for loop, alternative, target in ((loop_of_parts, "DataLoader, SGD", 0.5), (loop_by_hand, "a loop by hand", 1.1))
]
ROWS += [
    Row(f"fit_ of {model}, digits", alternative, target, partial(module_against, batches, sizes), compare=False)
    for model, sizes in MODELS.items()
    for batches, alternative, target in ((loaded, "DataLoader, SGD", 0.5), (batches_by_hand, "a loop by hand", 1.1))
]
