"""A small convolutional network and a small transformer, with dlcore's functions in place of torch's."""

import math

import torch
from torch import Generator, Tensor, nn

from dlcore.activations import gelu, softmax
from dlcore.init import he_normal_, normal, xavier_uniform_
from dlcore.losses import cross_entropy
from dlcore.metrics import accuracy
from dlcore.optim import clip_gradients, cosine_schedule
from dlcore.regularization import dropout
from dlcore.training import epochs, fit_

from .test_chapters import digits, seeded


class Convolutions(nn.Module):
    """Two convolutions over images of 8 × 8, batch normalization, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.norm, self.out = nn.BatchNorm2d(8), nn.Linear(16 * 4, 10)
        for layer in (self.conv1, self.conv2):
            he_normal_(layer.weight, generator=seeded())
        xavier_uniform_(self.out.weight, generator=seeded())

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.max_pool2d(gelu(self.norm(self.conv1(x))), 2)
        h = nn.functional.max_pool2d(gelu(self.conv2(h)), 2)
        return self.out(dropout(h.flatten(1), 0.1, training=self.training))


def test_a_convolutional_network_learns_digits() -> None:
    x, y, x_test, y_test = digits()
    x, x_test = (pixels.reshape(-1, 1, 8, 8) for pixels in (x, x_test))
    net = Convolutions()

    history = fit_(
        lambda net, x, y: cross_entropy(net(x), y, label_smoothing=0.05),
        net,
        (x, y),
        epochs=3,
        batch_size=32,
        optimizer=torch.optim.AdamW(net.parameters(), lr=0.01),
        lr=cosine_schedule(0.01, n_steps=3 * 43),
        max_norm=5.0,
        validation=(x_test, y_test),
        generator=seeded(),
    )

    net.eval()
    assert accuracy(y_test, net(x_test).argmax(dim=1)) > 0.93
    assert len(history.validation_loss) == 3


def test_a_network_that_labels_every_pixel_has_its_classes_in_dimension_one() -> None:
    images = digits()[0][:32].reshape(-1, 1, 8, 8)
    ink = (images[:, 0] > 0.5).long()
    net = nn.Conv2d(1, 2, 1)

    history = fit_(
        lambda net, x, y: cross_entropy(net(x), y, dim=1).mean(dim=(1, 2)),
        net,
        (images, ink),
        epochs=40,
        batch_size=32,
        lr=5.0,
        generator=seeded(),
    )

    assert history.train_loss[-1] < history.train_loss[0] / 2
    assert accuracy(ink.flatten(), net(images).argmax(dim=1).flatten()) > 0.95


class Block(nn.Module):
    """A block of a transformer: attention to what came before, and a network for each position."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.mix, self.up, self.down = (
            nn.Linear(*size) for size in ((d, 3 * d), (d, d), (d, 2 * d), (2 * d, d))
        )

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = (part.reshape(n, t, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(d, -1))
        scores = q @ k.transpose(-1, -2) / math.sqrt(d / self.heads)
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        attention = softmax(scores.masked_fill(later, -math.inf))
        x = x + self.mix((attention @ v).transpose(1, 2).reshape(n, t, d))
        return x + self.down(dropout(gelu(self.up(self.norm2(x))), 0.1, training=self.training))


class Transformer(nn.Module):
    """Return the logits of the next token at each position."""

    def __init__(self, tokens: int, length: int, d: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, d)
        self.position = nn.Parameter(normal((length, d), std=0.02, generator=seeded()))
        self.blocks = nn.Sequential(Block(d, 2), Block(d, 2))
        self.out = nn.Linear(d, tokens, bias=False)
        self.out.weight = self.embedding.weight  # tied
        xavier_uniform_(self.embedding.weight, generator=seeded())

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.blocks(self.embedding(tokens) + self.position[: tokens.shape[1]]))


def cycles(n: int, generator: Generator) -> Tensor:
    """Return sequences that repeat their first three tokens, after a number of zeros that stand for padding."""
    start = torch.randint(1, 8, (n, 3), generator=generator)
    return torch.cat([torch.zeros(n, 1, dtype=torch.long), start.repeat(1, 4)], dim=1)


def test_a_transformer_learns_to_copy() -> None:
    torch.manual_seed(0)
    sequences = cycles(256, seeded())
    net = Transformer(8, 12)

    def loss(net: nn.Module, rows: Tensor) -> Tensor:
        losses = cross_entropy(net(rows[:, :-1]), rows[:, 1:])
        return losses[:, 3:].mean(dim=1)  # the first three tokens are drawn and cannot be known

    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.01)
    history = fit_(
        loss, net, sequences, epochs=25, batch_size=32, optimizer=optimizer, max_norm=1.0, generator=seeded()
    )

    net.eval()
    unseen = cycles(64, Generator().manual_seed(1))
    predicted = net(unseen[:, :-1]).argmax(dim=-1)[:, 3:]
    assert history.train_loss[-1] < history.train_loss[0] / 4
    assert accuracy(unseen[:, 4:].flatten(), predicted.flatten()) > 0.9
    assert net.out.weight is net.embedding.weight


def test_a_pure_network_of_modules_is_trained_by_functional_call() -> None:
    x, y, _, _ = digits()
    net = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    start = {name: w.detach().clone() for name, w in net.named_parameters()}

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(torch.func.functional_call(net, params, (x,)), y)

    def clipped_step(params: dict[str, Tensor], grads: dict[str, Tensor], _: None, *, lr: float) -> tuple:
        grads = clip_gradients(grads, max_norm=0.5)
        return {name: w - lr * grads[name] for name, w in params.items()}, None

    for history in epochs(loss, start, (x, y), batch_size=32, lr=0.2, step=clipped_step, generator=seeded()):
        if len(history.train_loss) == 3:
            break
    fit_(
        lambda net, x, y: cross_entropy(net(x), y),
        net,
        (x, y),
        epochs=3,
        batch_size=32,
        lr=0.2,
        max_norm=0.5,
        generator=seeded(),
    )

    torch.testing.assert_close(dict(net.named_parameters()), history.params, rtol=1e-3, atol=1e-4)
