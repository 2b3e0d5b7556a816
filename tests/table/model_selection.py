"""Entries of :mod:`dlcore.model_selection`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from . import Entry, Refusal, draw

X = torch.ones(4, 2)
Y = torch.ones(4)
SCALAR = torch.tensor(1.0)


def held_out_rows(k_fold: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the rows that each fold holds out, and the sum of its training rows."""
    return lambda x: tuple(y for train, rows in k_fold(len(x), 3) for y in (x[rows], x[train].sum(0)))


LABELS = torch.tensor([2, 0, 0, 2, 1, 0, 2])


def rows_of(folds: Callable[[Callable[..., Any]], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what folds of seven rows hold out of a tensor, and the sum of what they train on."""

    def of_function(function: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
        return lambda x: tuple(y for train, rows in folds(function) for y in (x[rows], x[train].sum(0)))

    return of_function


def mean_fit(x: Tensor, y: Tensor) -> Tensor:
    """Return a model that depends on both: the mean of the inputs times the mean of the targets."""
    return x.mean(0) * y.mean()


def product_loss(model: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return one value per example that depends on the model, the inputs and the targets."""
    return (x @ model - y) ** 2


def mean_errors(cross_validate: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the results of a cross-validation of such a model."""

    def errors(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        result = cross_validate(mean_fit, product_loss, x, y, k=3)
        return (*result, result.validation_mean, result.validation_standard_error, result.train_standard_error)

    return errors


def weighted_mean_fit(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Return a model that depends on all three."""
    return (weights[:, None] * x).mean(0) * y.mean()


def weighted_mean_errors(cross_validate: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the errors of such a model, divided by rows and by weights."""

    def errors(x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            error
            for normalize in (False, True)
            for error in cross_validate(
                weighted_mean_fit, product_loss, x, y, weights=weights, k=3, normalize=normalize
            )
        )

    return errors


def refused_weights(error: type[Exception], message: str, *args: Any, **changed: Any) -> Refusal:
    """Return the refusal of a weighted cross-validation with some arguments changed."""
    given = (weighted_mean_fit, product_loss, X, Y)
    return Refusal(error, message, (*args, *given[len(args) :]), {"k": 2, "weights": Y} | changed)


def draw_path(generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a line with some noise, and penalties of which the smallest is clearly the best."""
    x, noise = draw(generator, 22, 2), draw(generator, 22)
    return x, x.sum(1) + 0.3 * noise, (draw(generator, 3).abs() + 0.5) * torch.tensor([1.0, 30.0, 900.0]).double()


def path_errors(ridge_path_cross_validation: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the results of a path."""

    def errors(x: Tensor, y: Tensor, penalties: Tensor) -> tuple[Tensor, ...]:
        path = ridge_path_cross_validation(x, y, penalties=penalties, k=3)
        return (*path.folds, path.folds.validation_standard_error, path.best_penalty, path.one_standard_error_penalty)

    return errors


def dot_loss(params: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the squared loss of a line through the origin."""
    return (x @ params - y) ** 2 / 2


def trained_fold_errors(cross_validate_vectorized: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the errors of a line after an epoch with one batch in each fold."""

    def errors(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        start = torch.zeros_like(x[0])
        return tuple(cross_validate_vectorized(dot_loss, start, x, y, k=3, epochs=1, batch_size=9, lr=0.1))

    return errors


def refused(error: type[Exception], message: str, *args: Any, **changed: Any) -> Refusal:
    """Return the refusal of a vectorized cross-validation with some arguments changed."""
    given = (dot_loss, torch.zeros(2), X, Y)
    return Refusal(
        error, message, (*args, *given[len(args) :]), {"k": 2, "epochs": 1, "batch_size": 2, "lr": 0.5} | changed
    )


CUT = "the training of the folds computes gradients itself, and the result has none"
LEAVES = "the parameters of the folds become leaves of a graph, which torch.func does not allow inside a transform"
DRAWS = "each fold draws its batches from a copy of the generator, and torch.compile cannot create one"
PENALTIES = torch.tensor([0.5, 2.0])
PATH = {"penalties": PENALTIES, "k": 2}
TWIN = torch.tensor([[1.0, 2.0], [2.0, 4.0], [4.0, 8.0], [3.0, 6.0], [5.0, 0.0], [1.0, 1.0], [0.0, 1.0], [2.0, 0.0]])

ENTRIES = {
    "model_selection.train_test_split": Entry(
        make=lambda generator: (draw(generator, 5, 3), draw(generator, 5)),
        kwargs={"test_fraction": 0.4, "shuffle": False},
        empty=Refusal(
            ValueError, "test_fraction must leave rows on both sides, got 0.25 of 0 rows", (torch.ones(0, 2),)
        ),
        refusals=(
            Refusal(TypeError, "train_test_split needs at least one tensor", ()),
            Refusal(TypeError, "test_fraction must be a real number, got '25%'", (X,), {"test_fraction": "25%"}),
            Refusal(ValueError, "test_fraction must be in (0, 1), got 25", (X,), {"test_fraction": 25}),
            Refusal(ValueError, "test_fraction must be in (0, 1), got 0.0", (X,), {"test_fraction": 0.0}),
            Refusal(ValueError, "test_fraction must be in (0, 1), got nan", (X,), {"test_fraction": float("nan")}),
            Refusal(ValueError, "tensors[1] must have shape (n, *), got ()", (X, SCALAR)),
            Refusal(
                ValueError, "tensors[0] and tensors[2] must have the same number of rows, got 4 and 3", (X, Y, Y[1:])
            ),
            Refusal(
                ValueError,
                "test_fraction must leave rows on both sides, got 0.1 of 4 rows",
                (X,),
                {"test_fraction": 0.1},
            ),
            Refusal(
                ValueError,
                "test_fraction must leave rows on both sides, got 0.9 of 4 rows",
                (X,),
                {"test_fraction": 0.9},
            ),
        ),
    ),
    "model_selection.k_fold": Entry(
        make=lambda generator: (draw(generator, 7, 2),),
        adapt=held_out_rows,
        empty=Refusal(ValueError, "n must be >= 2, got 0", (0, 2)),
        refusals=(
            Refusal(TypeError, "n must be an integer, got 10.0", (10.0, 5)),
            Refusal(TypeError, "k must be an integer, got 2.5", (10, 2.5)),
            Refusal(ValueError, "k must be >= 2, got 1", (10, 1)),
            Refusal(ValueError, "n must be >= 5, got 4", (4, 5)),
        ),
    ),
    "model_selection.stratified_k_fold": Entry(
        make=lambda generator: (draw(generator, 7, 2),),
        adapt=rows_of(lambda stratified_k_fold: stratified_k_fold(LABELS, 3)),
        empty=Refusal(ValueError, "n must be >= 2, got 0", (LABELS[:0], 2)),
        refusals=(
            Refusal(TypeError, "labels must be an integer tensor, got torch.float32", (LABELS.float(), 2)),
            Refusal(TypeError, "k must be an integer, got 2.5", (LABELS, 2.5)),
            Refusal(ValueError, "k must be >= 2, got 1", (LABELS, 1)),
            Refusal(ValueError, "n must be >= 8, got 7", (LABELS, 8)),
            Refusal(ValueError, "labels must have shape (n,), got (7, 1)", (LABELS[:, None], 2)),
        ),
        exempt={"meta": "the values of the labels decide which rows are in a fold"},
    ),
    "model_selection.grouped_k_fold": Entry(
        make=lambda generator: (draw(generator, 7, 2),),
        adapt=rows_of(lambda grouped_k_fold: grouped_k_fold(LABELS, 3)),
        empty=Refusal(ValueError, "n must be >= 2, got 0", (LABELS[:0], 2)),
        refusals=(
            Refusal(TypeError, "groups must be an integer tensor, got torch.bool", (LABELS > 0, 2)),
            Refusal(TypeError, "k must be an integer, got 2.5", (LABELS, 2.5)),
            Refusal(ValueError, "k must be >= 2, got 1", (LABELS, 1)),
            Refusal(ValueError, "groups must hold at least 4 groups, one for each fold, got 3", (LABELS, 4)),
            Refusal(ValueError, "groups must have shape (n,), got ()", (LABELS[0], 2)),
        ),
        exempt={
            "compile": "the sizes of the groups decide in Python which fold each of them goes to",
            "meta": "the values of the groups decide which rows are in a fold",
        },
    ),
    "model_selection.time_ordered_folds": Entry(
        make=lambda generator: (draw(generator, 7, 2),),
        adapt=rows_of(lambda time_ordered_folds: time_ordered_folds(7, 3, gap=1)),
        empty=Refusal(ValueError, "n must be >= 3, got 0", (0, 2)),
        refusals=(
            Refusal(TypeError, "n must be an integer, got 7.0", (7.0, 2)),
            Refusal(TypeError, "k must be an integer, got 2.5", (7, 2.5)),
            Refusal(TypeError, "gap must be an integer, got 1.0", (7, 2), {"gap": 1.0}),
            Refusal(ValueError, "k must be >= 2, got 1", (7, 1)),
            Refusal(ValueError, "gap must be >= 0, got -1", (7, 2), {"gap": -1}),
            Refusal(ValueError, "gap must be < 3, to leave the first fold a training row, got 3", (7, 2), {"gap": 3}),
        ),
    ),
    "model_selection.standardize": Entry(
        make=lambda generator: (draw(generator, 5, 2), draw(generator, 3, 2)),
        adapt=lambda standardize: lambda x, other: torch.cat([standardize(x)(x), standardize(x)(other)]),
        empty=Refusal(ValueError, "x must have shape (n, ...) with n >= 1, got (0, 2)", (X[:0],)),
        refusals=(
            Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (X.long(),)),
            Refusal(ValueError, "x must have shape (n, ...) with n >= 1, got ()", (SCALAR,)),
        ),
    ),
    "model_selection.cross_validate": Entry(
        make=lambda generator: (draw(generator, 7, 2), draw(generator, 7)),
        adapt=mean_errors,
        empty=Refusal(ValueError, "n must be >= 2, got 0", (mean_fit, product_loss, X[:0], Y[:0]), {"k": 2}),
        refusals=(
            Refusal(TypeError, "k must be an integer, got 2.5", (mean_fit, product_loss, X, Y), {"k": 2.5}),
            Refusal(
                TypeError,
                "losses must be a real floating-point tensor, got torch.bool",
                (mean_fit, lambda model, x, y: x @ model != y, X, Y),
                {"k": 2},
            ),
            Refusal(ValueError, "either k or folds must be given, got none", (mean_fit, product_loss, X, Y)),
            Refusal(
                ValueError,
                "either k or folds must be given, got both",
                (mean_fit, product_loss, X, Y),
                {"k": 2, "folds": []},
            ),
            Refusal(ValueError, "len(folds) must be >= 2, got 0", (mean_fit, product_loss, X, Y), {"folds": []}),
            Refusal(ValueError, "k must be >= 2, got 1", (mean_fit, product_loss, X, Y), {"k": 1}),
            Refusal(ValueError, "n must be >= 5, got 4", (mean_fit, product_loss, X, Y), {"k": 5}),
            Refusal(ValueError, "y must have shape (n, *), got ()", (mean_fit, product_loss, X, SCALAR), {"k": 2}),
            Refusal(
                ValueError,
                "x and y must have the same number of rows, got 4 and 3",
                (mean_fit, product_loss, X, Y[1:]),
                {"k": 2},
            ),
            Refusal(
                ValueError,
                "loss must return one value per example, shape (2,), got ()",
                (mean_fit, lambda *args: product_loss(*args).mean(), X, Y),
                {"k": 2},
            ),
        ),
    ),
    "model_selection.ridge_path_cross_validation": Entry(
        make=draw_path,
        adapt=path_errors,
        empty=Refusal(ValueError, "n must be >= 2, got 0", (X[:0], Y[:0]), PATH),
        refusals=(
            Refusal(TypeError, "x must be a real floating-point tensor, got torch.int64", (X.long(), Y), PATH),
            Refusal(TypeError, "y must be a real floating-point tensor, got torch.int64", (X, Y.long()), PATH),
            Refusal(TypeError, "penalties must be a torch.Tensor, got list", (X, Y), {"penalties": [0.5], "k": 2}),
            Refusal(TypeError, "y must have the dtype of x, torch.float32, got torch.float64", (X, Y.double()), PATH),
            Refusal(TypeError, "k must be an integer, got 2.5", (X, Y), {**PATH, "k": 2.5}),
            Refusal(ValueError, "x must have shape (n, d) with at least one column, got (4,)", (Y, Y), PATH),
            Refusal(ValueError, "x must have shape (n, d) with at least one column, got (4, 0)", (X[:, :0], Y), PATH),
            Refusal(ValueError, "y must have shape (n,), got (4, 1)", (X, Y[:, None]), PATH),
            Refusal(
                ValueError,
                "penalties must have shape (p,) with at least one entry, got ()",
                (X, Y),
                {"penalties": SCALAR, "k": 2},
            ),
            Refusal(
                ValueError,
                "penalties must have shape (p,) with at least one entry, got (0,)",
                (X, Y),
                {"penalties": Y[:0], "k": 2},
            ),
            Refusal(
                ValueError,
                "penalties must be >= 0 and finite, got -0.5 at index 0",
                (X, Y),
                {"penalties": -PENALTIES, "k": 2},
            ),
            Refusal(
                ValueError,
                "penalties must be >= 0 and finite, got inf at index 1",
                (X, Y),
                {"penalties": torch.tensor([1.0, float("inf")]), "k": 2},
            ),
            Refusal(ValueError, "x and y must have the same number of rows, got 4 and 3", (X, Y[1:]), {**PATH, "k": 2}),
            Refusal(ValueError, "k must be >= 2, got 1", (X, Y), {**PATH, "k": 1}),
            Refusal(ValueError, "n must be >= 5, got 4", (X, Y), {**PATH, "k": 5}),
            Refusal(
                ValueError, "x must be finite, got nan at index (0, 0)", (torch.full((4, 2), float("nan")), Y), PATH
            ),
            Refusal(ValueError, "y must be finite, got inf at index 0", (X, torch.full((4,), float("inf"))), PATH),
            Refusal(
                ValueError,
                "x must have rank 2 when centred, for penalty 0, got 1 outside fold 1: drop columns that depend on "
                "others, or penalize",
                (TWIN, torch.ones(8)),
                {"penalties": torch.tensor([1.0, 0.0]), "k": 2},
            ),
        ),
    ),
    "model_selection.importance_weighted_cross_validation": Entry(
        make=lambda generator: (draw(generator, 7, 2), draw(generator, 7), draw(generator, 7).exp()),
        adapt=weighted_mean_errors,
        tolerance=64,
        empty=refused_weights(
            ValueError, "n must be >= 2, got 0", weighted_mean_fit, product_loss, X[:0], Y[:0], weights=Y[:0]
        ),
        refusals=(
            refused_weights(TypeError, "k must be an integer, got 2.5", k=2.5),
            refused_weights(
                TypeError, "weights must be a real floating-point tensor, got torch.int64", weights=Y.long()
            ),
            refused_weights(
                TypeError,
                "losses must be a real floating-point tensor, got torch.bool",
                weighted_mean_fit,
                lambda model, x, y: x @ model != y,
            ),
            refused_weights(ValueError, "k must be >= 2, got 1", k=1),
            refused_weights(ValueError, "n must be >= 5, got 4", k=5),
            refused_weights(ValueError, "x and weights must have the same number of rows, got 4 and 3", weights=Y[1:]),
            refused_weights(ValueError, "weights must have shape (n,), got (4, 1)", weights=Y[:, None]),
            refused_weights(ValueError, "weights must be >= 0 and finite, got -1.0 at index 0", weights=-Y),
            refused_weights(
                ValueError,
                "weights of a fold must be finite and not all 0 to be divided by their sum",
                weights=torch.tensor([0.0, 0.0, 1.0, 1.0]),
                normalize=True,
            ),
            refused_weights(
                ValueError,
                "loss must return one value per example, shape (2,), got ()",
                weighted_mean_fit,
                lambda *args: product_loss(*args).mean(),
            ),
        ),
    ),
    "model_selection.cross_validate_vectorized": Entry(
        make=lambda generator: (draw(generator, 8, 2), draw(generator, 8)),
        adapt=trained_fold_errors,
        empty=refused(ValueError, "n must be >= 2, got 0", dot_loss, torch.zeros(2), X[:0], Y[:0]),
        exempt={"gradient": CUT, "func_grad": CUT, "vmap": LEAVES, "compile": DRAWS},
        refusals=(
            refused(TypeError, "params must be a torch.Tensor, got float", dot_loss, 0.0),
            refused(
                TypeError,
                "losses must be a real floating-point tensor, got torch.bool",
                lambda params, x, y: x @ params > y,
            ),
            refused(TypeError, "k must be an integer, got 2.5", k=2.5),
            refused(ValueError, "k must be >= 2, got 1", k=1),
            refused(ValueError, "n must be >= 5, got 4", k=5),
            refused(TypeError, "epochs must be an integer, got 1.5", epochs=1.5),
            refused(ValueError, "epochs must be >= 0, got -1", epochs=-1),
            refused(TypeError, "batch_size must be an integer, got 2.0", batch_size=2.0),
            refused(ValueError, "batch_size must be >= 1, got 0", batch_size=0),
            refused(TypeError, "lr must be a real number, got None", lr=None),
            refused(ValueError, "lr must be >= 0 and finite, got -0.5", lr=-0.5),
            refused(TypeError, "momentum must be a real number, got None", momentum=None),
            refused(ValueError, "momentum must be in [0, 1), got 1.0", momentum=1.0),
            refused(TypeError, "weight_decay must be a real number, got '0'", weight_decay="0"),
            refused(ValueError, "weight_decay must be >= 0 and finite, got -0.5", weight_decay=-0.5),
            refused(
                ValueError,
                "weight_decay must have the structure of params, [*], got [*, *]",
                dot_loss,
                [torch.zeros(2)],
                weight_decay=[0.0, 0.0],
            ),
            refused(ValueError, "y must have shape (n, *), got ()", dot_loss, torch.zeros(2), X, SCALAR),
            refused(
                ValueError,
                "x and y must have the same number of rows, got 4 and 3",
                dot_loss,
                torch.zeros(2),
                X,
                Y[1:],
            ),
            refused(
                ValueError,
                "loss must return one value per example, shape (2, 2), got (2,)",
                lambda *args: dot_loss(*args).mean(),
            ),
            refused(ValueError, "loss must depend on params, got one that does not", lambda _, x, y: x[:, 0] - y),
        ),
    ),
}
