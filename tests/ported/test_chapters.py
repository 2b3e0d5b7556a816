"""Chapters of a first course, as its readers would write them with dlcore: in pure form, and with modules.

They are the subjects of chapters of A. Zhang, Z. Lipton, M. Li and A. Smola, *Dive into Deep Learning*, 2023, on data
that scikit-learn bundles. Both forms start from the same values, see the same batches, and must end at the same values.
"""

from functools import cache, partial

import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Generator, Tensor, nn

from dlcore.datasets import linear_regression, polynomial_regression
from dlcore.init import he_normal_, normal, xavier_uniform_
from dlcore.linear import LinearParams, least_squares, linear, softmax_regression
from dlcore.losses import cross_entropy, squared_loss
from dlcore.metrics import accuracy
from dlcore.mlp import init_mlp, mlp
from dlcore.model_selection import cross_validate, k_fold, standardize, train_test_split
from dlcore.optim import adam_step, cosine_schedule, warmup_schedule
from dlcore.regularization import dropout, l2_penalty
from dlcore.risk import empirical_risk, generalization_gap
from dlcore.training import epochs, fit, fit_


def seeded() -> Generator:
    return Generator().manual_seed(0)


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the pixels, in [0, 1], and the labels of training and test digits."""
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        torch.as_tensor(x, dtype=torch.float32) / 16, torch.as_tensor(y), test_fraction=0.25, generator=seeded()
    )
    return x_train, y_train, x_test, y_test


@cache
def diabetes() -> tuple[Tensor, Tensor]:
    """Return ten features of patients on scales of their own, and a positive number to predict."""
    x, y = load_diabetes(return_X_y=True, scaled=False)
    return torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32)


def module_of(params: tuple[LinearParams, ...], *between: nn.Module) -> nn.Sequential:
    """Return a module with the values of pure layers, whose weights are the transposes."""
    layers: list[nn.Module] = []
    for weight, bias in params:
        layer = nn.Linear(*weight.shape)
        with torch.no_grad():
            layer.weight.copy_(weight.T)
            layer.bias.copy_(bias)
        layers += [layer, *between]
    return nn.Sequential(*layers[: len(layers) - len(between)])


def assert_equal_layers(module: nn.Module, params: tuple[LinearParams, ...]) -> None:
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    for layer, (weight, bias) in zip(layers, params, strict=True):
        torch.testing.assert_close(layer.weight.detach(), weight.T, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(layer.bias.detach(), bias, rtol=1e-3, atol=1e-4)


def test_linear_regression() -> None:
    data = linear_regression(torch.tensor([2.0, -3.4]), torch.tensor(4.2), 400, noise_std=0.01, generator=seeded())
    start = LinearParams(normal((2, 1), std=0.01, generator=seeded()), torch.zeros(1))
    net = module_of((start,))
    y = data.y[:, None]
    run = {"epochs": 6, "batch_size": 10, "lr": 0.03}

    pure = fit(
        lambda params, x, y: squared_loss(linear(x, *params), y)[:, 0], start, (data.x, y), generator=seeded(), **run
    )
    fit_(lambda net, x, y: squared_loss(net(x), y)[:, 0], net, (data.x, y), generator=seeded(), **run)

    assert_equal_layers(net, (pure.params,))
    exact = least_squares(data.x, y)
    torch.testing.assert_close(pure.params.weight, exact.weight, rtol=0, atol=0.01)
    torch.testing.assert_close(pure.params.bias, torch.tensor([4.2]), rtol=0, atol=0.01)


def test_softmax_regression() -> None:
    x, y, x_test, y_test = digits()
    start = LinearParams(torch.zeros(64, 10), torch.zeros(10))
    net = module_of((start,))
    run = {"epochs": 10, "batch_size": 64, "lr": 0.5}

    pure = fit(lambda params, x, y: cross_entropy(linear(x, *params), y), start, (x, y), generator=seeded(), **run)
    fit_(lambda net, x, y: cross_entropy(net(x), y), net, (x, y), generator=seeded(), **run)

    assert_equal_layers(net, (pure.params,))
    assert accuracy(y_test, linear(x_test, *pure.params).argmax(dim=1)) > 0.9
    exact = softmax_regression(x, y, penalty=1e-3)
    assert empirical_risk(cross_entropy(linear(x, *exact), y)) < pure.train_loss[-1]


def test_mlp() -> None:
    x, y, x_test, y_test = digits()
    start = init_mlp([64, 64, 10], scheme="he_normal", generator=seeded())
    net = module_of(start, nn.ReLU())
    run = {"epochs": 6, "batch_size": 32, "lr": 0.2}

    pure = fit(lambda params, x, y: cross_entropy(mlp(params, x), y), start, (x, y), generator=seeded(), **run)
    history = fit_(
        lambda net, x, y: cross_entropy(net(x), y), net, (x, y), validation=(x_test, y_test), generator=seeded(), **run
    )

    assert_equal_layers(net, pure.params)
    assert accuracy(y_test, net(x_test).argmax(dim=1)) > 0.93
    assert history.validation_loss[-1] < history.validation_loss[0]


def powers(x: Tensor, degree: int) -> Tensor:
    return x[:, None] ** torch.arange(1, degree + 1)


def test_model_selection() -> None:
    data = polynomial_regression(torch.tensor([5.0, 1.2, -3.4, 5.6]), 60, noise_std=0.1, generator=seeded())
    x, y = data.x, data.y

    def squared_losses(params: LinearParams, x: Tensor, y: Tensor) -> Tensor:
        return squared_loss(linear(x, *params), y)

    errors = {}
    for degree in (1, 3, 8):
        errors[degree] = cross_validate(least_squares, squared_losses, powers(x, degree), y, k=5).validation_mean

    assert errors[1] > 10 * errors[3]
    assert min(errors, key=errors.get) == 3

    few = slice(0, 10)
    params = least_squares(powers(x[few], 8), y[few])
    gap = generalization_gap(
        squared_losses(params, powers(x[few], 8), y[few]), squared_losses(params, powers(x[10:], 8), y[10:])
    )
    assert gap > 0


def test_weight_decay() -> None:
    n, d = 20, 100
    data = linear_regression(torch.full((d,), 0.01), torch.tensor(0.05), 2 * n, noise_std=0.01, generator=seeded())
    x, y = data.x[:n], data.y[:n, None]
    start = LinearParams(normal((d, 1), generator=Generator().manual_seed(1)), torch.zeros(1))
    run = {"epochs": 40, "batch_size": 5, "lr": 0.005}

    def loss(params: LinearParams, x: Tensor, y: Tensor) -> Tensor:
        return squared_loss(linear(x, *params), y)[:, 0]

    def penalized(params: LinearParams, x: Tensor, y: Tensor) -> Tensor:
        return loss(params, x, y) + 3.0 * l2_penalty(params.weight)

    net = module_of((start,))
    groups = [{"params": net[0].weight, "weight_decay": 3.0}, {"params": net[0].bias}]
    optimizer = torch.optim.SGD(groups, lr=run["lr"])

    alone = fit(loss, start, (x, y), generator=seeded(), **run)
    decayed = fit(loss, start, (x, y), weight_decay=LinearParams(3.0, 0.0), generator=seeded(), **run)
    by_penalty = fit(penalized, start, (x, y), generator=seeded(), **run)
    fit_(
        lambda net, x, y: squared_loss(net(x), y)[:, 0],
        net,
        (x, y),
        epochs=40,
        batch_size=5,
        optimizer=optimizer,
        generator=seeded(),
    )

    assert_equal_layers(net, (decayed.params,))
    torch.testing.assert_close(by_penalty.params, decayed.params, rtol=1e-3, atol=1e-4)
    assert l2_penalty(decayed.params.weight) < l2_penalty(alone.params.weight) / 2
    held_out = data.x[n:], data.y[n:, None]
    assert loss(decayed.params, *held_out).mean() < loss(alone.params, *held_out).mean()


class TwoDropouts(nn.Module):
    """A network with dropout after each of its hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden1, self.hidden2, self.out = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        for layer in (self.hidden1, self.hidden2, self.out):
            he_normal_(layer.weight, generator=seeded())
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = dropout(self.hidden1(x).relu(), 0.2, training=self.training)
        h = dropout(self.hidden2(h).relu(), 0.5, training=self.training)
        return self.out(h)


def test_dropout() -> None:
    x, y, x_test, y_test = digits()
    start = init_mlp([64, 64, 64, 10], scheme="he_normal", generator=seeded())
    net = TwoDropouts()
    run = {"epochs": 8, "batch_size": 32, "lr": 0.2, "validation": (x_test, y_test)}

    def loss(params: tuple[LinearParams, ...], x: Tensor, y: Tensor, *, training: bool) -> Tensor:
        return cross_entropy(mlp(params, x, dropout=(0.2, 0.5), training=training), y)

    pure = fit(loss, start, (x, y), generator=seeded(), **run)
    history = fit_(lambda net, x, y: cross_entropy(net(x), y), net, (x, y), generator=seeded(), **run)

    assert net.training
    net.eval()
    assert accuracy(y_test, net(x_test).argmax(dim=1)) > 0.93
    assert accuracy(y_test, mlp(pure.params, x_test).argmax(dim=1)) > 0.93
    # validation has dropout off, so its loss is that of the trained network
    torch.testing.assert_close(history.validation_loss[-1], cross_entropy(net(x_test), y_test).mean().item())
    torch.testing.assert_close(
        pure.validation_loss[-1], loss(pure.params, x_test, y_test, training=False).mean().item()
    )


def test_initialization() -> None:
    x, y, _, _ = digits()
    nets = {}
    for name, init_ in (("xavier", xavier_uniform_), ("zeros", nn.init.zeros_), ("ones", nn.init.ones_)):
        nets[name] = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
        for layer in (nets[name][0], nets[name][2]):
            init_(layer.weight)
            nn.init.zeros_(layer.bias)

    losses = {}
    for name, net in nets.items():
        history = fit_(
            lambda net, x, y: cross_entropy(net(x), y), net, (x, y), epochs=3, batch_size=32, lr=0.2, generator=seeded()
        )
        losses[name] = history.train_loss[-1]

    assert losses["xavier"] < min(losses["ones"], losses["zeros"])
    # equal hidden units stay equal
    assert (nets["ones"][0].weight == nets["ones"][0].weight[0]).all()
    assert (nets["xavier"][0].weight != nets["xavier"][0].weight[0]).any()


def test_prices_with_folds_standardized_inside_and_the_best_epoch_kept() -> None:
    x, y = diabetes()
    log_y = y.log()[:, None]
    fold_losses = []
    for train, validation in k_fold(len(x), 5, shuffle=True, generator=seeded()):
        scale, log_scale = standardize(x[train]), standardize(log_y[train])
        params = init_mlp([10, 16, 1], scheme="he_normal", generator=seeded())
        best = None
        for history in epochs(
            lambda params, x, y: squared_loss(mlp(params, x), y)[:, 0],
            params,
            (scale(x[train]), log_scale(log_y[train])),
            batch_size=32,
            lr=warmup_schedule(cosine_schedule(0.02, n_steps=20 * 12), n_steps=20),
            step=partial(adam_step, weight_decay=0.1),
            validation=(scale(x[validation]), log_scale(log_y[validation])),
            generator=seeded(),
        ):
            if best is None or history.validation_loss[-1] < best[0]:
                best = history.validation_loss[-1], history
            if len(history.train_loss) == 20:
                break
        fold_losses.append(best[0])

    assert sum(fold_losses) / len(fold_losses) < 0.75 * 0.5  # the mean of the training targets has the loss ½
