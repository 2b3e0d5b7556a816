"""Entries of :mod:`dlcore.optim`."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dlcore.optim import AdamState, _stable
from dlcore.optim._fused import adam_leaves, plain_norm

from . import Entry, Pair, Refusal, draw

W = torch.ones(2)
PARAMS = {"weight": torch.ones(3, 2), "bias": torch.ones(2)}
LR = {"lr": 0.1}


def fresh(gradient: Tensor | None = None) -> Tensor:
    """Return a parameter with this gradient."""
    w = torch.ones(2, requires_grad=True)
    w.grad = gradient
    return w


def as_function(sgd_: Callable[..., None]) -> Callable[..., Tensor]:
    """Take the step on a copy that holds the gradient, and return the copy."""

    def stepped(w: Tensor, g: Tensor, **kwargs: Any) -> Tensor:
        parameter = w.detach().clone()
        parameter.grad = g.detach().clone()
        sgd_([parameter], **kwargs)
        return parameter

    return stepped


def on_a_mapping(step: Callable[..., Any]) -> Callable[..., Tensor]:
    """Take the step on a mapping with a list in it."""

    def stepped(w: Tensor, b: Tensor, dw: Tensor, db: Tensor, **kwargs: Any) -> Tensor:
        params = step({"weight": w, "rest": [b]}, {"weight": dw, "rest": [db]}, **kwargs)
        return params["weight"] * params["rest"][0]

    return stepped


def on_a_pair(step: Callable[..., Any]) -> Callable[..., Tensor]:
    """Take the step with momentum on a list of two, and return what became of both and of their velocities."""

    def stepped(*tensors: Tensor, **kwargs: Any) -> Tensor:
        params, velocity = step(list(tensors[:2]), list(tensors[2:4]), list(tensors[4:]), **kwargs)
        return params[0] * params[1] + 2 * velocity[0] * velocity[1]

    return stepped


def on_a_pair_twice(adam_step: Callable[..., Any]) -> Callable[..., Tensor]:
    """Take two steps of Adam on a list of two, and return what became of both and of the state."""

    def stepped(*tensors: Tensor, **kwargs: Any) -> Tensor:
        params, state = adam_step(list(tensors[:2]), list(tensors[2:4]), None, **kwargs)
        params, (_, m, v) = adam_step(params, list(tensors[4:]), state, **kwargs)
        return params[0] * params[1] + 2 * m[0] * m[1] + v[0] * v[1]

    return stepped


def on_the_first_of_a_pair(clip: Callable[..., Any]) -> Callable[..., Tensor]:
    """Clip a list of two gradients by their common norm, and return their product."""

    def clipped(g: Tensor, h: Tensor, **kwargs: Any) -> Tensor:
        first, second = clip([g, h], **kwargs)
        return first * second

    return clipped


def at_steps(make: Callable[..., Callable[[int], float]]) -> Callable[..., Tensor]:
    """Return the rates of the first steps."""

    def rates(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        schedule = make(*args, **kwargs)
        return torch.stack([schedule(step) * x for step in range(4)])

    return rates


RATES = (
    Refusal(TypeError, "lr must be a real number, got '0.1'", (W, W), {"lr": "0.1"}),
    Refusal(ValueError, "lr must be >= 0 and finite, got -0.1", (W, W), {"lr": -0.1}),
    Refusal(ValueError, "lr must be >= 0 and finite, got inf", (W, W), {"lr": math.inf}),
    Refusal(ValueError, "lr must be >= 0 and finite, got nan", (W, W), {"lr": math.nan}),
)
TREES = (
    Refusal(TypeError, "params[1] must be a real floating-point tensor, got torch.int64", ([W, W.long()], [W, W]), LR),
    Refusal(TypeError, "params['weight'] must be a torch.Tensor, got float", ({"weight": 1.0}, {"weight": W}), LR),
    Refusal(TypeError, "grads[1] must be a torch.Tensor, got NoneType", ([W, W], [W, None]), LR),
    Refusal(TypeError, "grads must be a real floating-point tensor, got torch.int64", (W, W.long()), LR),
    Refusal(
        TypeError, "grads must have the dtype of params, torch.float32, got torch.float64", (W, W.to(torch.float64)), LR
    ),
    Refusal(ValueError, "grads must have the structure of params, [*], got (*,)", ([W], (W,)), LR),
    Refusal(
        ValueError,
        "grads must have the structure of params, {'weight': *, 'bias': *}, got {'weight': *}",
        (PARAMS, {"weight": PARAMS["weight"]}),
        LR,
    ),
    Refusal(
        ValueError,
        "params[0] and grads[0] must have the same shape, got (2,) and (2, 1); "
        "grads[0].reshape(params[0].shape) makes them agree",
        ([W], [W.reshape(2, 1)]),
        LR,
    ),
)
DECAYS = (
    Refusal(TypeError, "weight_decay must be a real number, got None", (W, W), LR | {"weight_decay": None}),
    Refusal(ValueError, "weight_decay must be >= 0 and finite, got -1.0", (W, W), LR | {"weight_decay": -1.0}),
    Refusal(
        ValueError,
        "weight_decay['bias'] must be >= 0 and finite, got -1.0",
        (PARAMS, PARAMS),
        LR | {"weight_decay": {"bias": -1.0, "weight": 0}},
    ),
    Refusal(
        TypeError,
        "weight_decay[0] must be a real number, got True",
        ([W], [W]),
        LR | {"weight_decay": [True]},
    ),
    Refusal(
        ValueError,
        "weight_decay must have the structure of params, [*], got [*, *]",
        ([W], [W]),
        LR | {"weight_decay": [0.1, 0.1]},
    ),
)
NOTHING_TO_STEP = (
    (torch.ones(0, 2), torch.ones(2), torch.ones(0, 2), torch.ones(2), torch.ones(0, 2), torch.ones(2)),
    (0, 2),
)


def with_velocity(refusal: Refusal) -> Refusal:
    """Put no velocity after the parameters and the gradients."""
    return replace(refusal, args=(*refusal.args, None))


def schedule_entry(args: tuple[Any, ...], kwargs: dict[str, Any], *refusals: Refusal) -> Entry:
    """Return the entry of a schedule, which maps a step to a number and touches no tensor."""
    return Entry(
        make=lambda generator: (draw(generator, 4), *args),
        kwargs=kwargs,
        adapt=at_steps,
        empty=((torch.ones(0, 4), *args), (4, 0, 4)),
        refusals=refusals,
    )


IN_PLACE = "it writes to leaves of the graph, which has no derivative"

ENTRIES = {
    "optim.sgd_": Entry(
        make=lambda generator: (draw(generator, 3, 2), draw(generator, 3, 2)),
        kwargs={"lr": 0.5, "batch_size": 4},
        adapt=as_function,
        empty=((torch.ones(0, 2), torch.ones(0, 2)), (0, 2)),
        refusals=(
            Refusal(TypeError, "lr must be a real number, got None", ([W],), {"lr": None}),
            Refusal(ValueError, "lr must be >= 0 and finite, got -0.1", ([W],), {"lr": -0.1}),
            Refusal(TypeError, "batch_size must be an integer, got 2.0", ([W],), LR | {"batch_size": 2.0}),
            Refusal(ValueError, "batch_size must be >= 1, got 0", ([W],), LR | {"batch_size": 0}),
            Refusal(TypeError, "params[0] must be a real floating-point tensor, got torch.int64", ([W.long()],), LR),
            Refusal(
                ValueError,
                "params[1] must be a leaf of the autograd graph, got the result of an operation",
                ([fresh(W), 0.01 * fresh()],),
                LR,
            ),
            Refusal(
                ValueError,
                "params[1] must have a gradient, got .grad = None: has backward() reached it?",
                ([fresh(W), fresh()],),
                LR,
            ),
            Refusal(
                ValueError,
                "params must hold at least one tensor, got none: an iterator yields its parameters only once",
                (iter([]),),
                LR,
            ),
            Refusal(
                ValueError,
                "params['bias'] must have a gradient, got .grad = None: has backward() reached it?",
                ({"weight": fresh(W), "bias": fresh()},),
                LR,
            ),
        ),
        exempt={
            "gradient": IN_PLACE,
            "func_grad": IN_PLACE,
            "vmap": "torch has no batching rule for the update of a list of tensors in place",
        },
    ),
    "optim.sgd_step": Entry(
        make=lambda generator: (
            draw(generator, 3, 2),
            draw(generator, 2),
            draw(generator, 3, 2),
            draw(generator, 2),
        ),
        kwargs={"lr": 0.5, "weight_decay": {"rest": [0.0], "weight": 0.5}},
        adapt=on_a_mapping,
        empty=((torch.ones(0, 2), torch.ones(2), torch.ones(0, 2), torch.ones(2)), (0, 2)),
        refusals=(*RATES, *TREES, *DECAYS),
    ),
    "optim.momentum_step": Entry(
        make=lambda generator: tuple(draw(generator, *shape) for shape in ((3, 2), (2,)) * 3),
        kwargs={"lr": 0.5, "momentum": 0.75, "nesterov": True, "weight_decay": [0.5, 0.0]},
        adapt=on_a_pair,
        empty=NOTHING_TO_STEP,
        refusals=(
            *(with_velocity(refusal) for refusal in (*RATES, *TREES, *DECAYS)),
            Refusal(TypeError, "momentum must be a real number, got None", (W, W, None), LR | {"momentum": None}),
            Refusal(ValueError, "momentum must be in [0, 1), got 1.0", (W, W, None), LR | {"momentum": 1.0}),
            Refusal(ValueError, "momentum must be in [0, 1), got -0.1", (W, W, None), LR | {"momentum": -0.1}),
            Refusal(TypeError, "velocity must be a torch.Tensor, got float", (W, W, 0.0), LR),
            Refusal(
                ValueError,
                "params[0] and velocity[0] must have the same shape, got (2,) and (3,)",
                ([W], [W], [torch.ones(3)]),
                LR,
            ),
        ),
    ),
    "optim.adam_step": Entry(
        make=lambda generator: tuple(draw(generator, *shape) for shape in ((3, 2), (2,)) * 3),
        kwargs={"lr": 0.5, "betas": (0.75, 0.5), "eps": 0.5, "weight_decay": [0.5, 0.0]},
        adapt=on_a_pair_twice,
        empty=NOTHING_TO_STEP,
        refusals=(
            *(with_velocity(refusal) for refusal in (*RATES, *TREES, *DECAYS)),
            Refusal(TypeError, "betas[0] must be a real number, got None", (W, W, None), LR | {"betas": (None, 0.5)}),
            Refusal(ValueError, "betas[0] must be in [0, 1), got -0.5", (W, W, None), LR | {"betas": (-0.5, 0.5)}),
            Refusal(ValueError, "betas[1] must be in [0, 1), got 1.0", (W, W, None), LR | {"betas": (0.5, 1.0)}),
            Refusal(TypeError, "eps must be a real number, got '0'", (W, W, None), LR | {"eps": "0"}),
            Refusal(ValueError, "eps must be >= 0 and finite, got -1e-08", (W, W, None), LR | {"eps": -1e-8}),
            Refusal(TypeError, "state must be None or what the last step returned, got Tensor", (W, W, W), LR),
            Refusal(TypeError, "state.m must be a torch.Tensor, got NoneType", (W, W, AdamState(1, None, W)), LR),
            Refusal(TypeError, "state.t must be an integer, got None", (W, W, AdamState(None, W, W)), LR),
            Refusal(ValueError, "state.t must be >= 0, got -1", (W, W, AdamState(-1, W, W)), LR),
            Refusal(
                ValueError,
                "params and state.v must have the same shape, got (2,) and (3,)",
                (W, W, AdamState(1, W, torch.ones(3))),
                LR,
            ),
        ),
    ),
    "optim.gradient_norm": Entry(
        make=lambda generator: (draw(generator, 3, 2), draw(generator, 2)),
        adapt=lambda gradient_norm: lambda g, h: gradient_norm({"g": g, "rest": [h]}),
        empty=((torch.ones(0, 2), torch.ones(0)), ()),
        refusals=(
            Refusal(TypeError, "grads[1] must be a torch.Tensor, got NoneType", ([W, None],)),
            Refusal(
                TypeError,
                "grads must be gradients, got parameters; pass [w.grad for w in parameters]",
                ([torch.nn.Parameter(W)],),
            ),
        ),
    ),
    "optim.clip_gradients": Entry(
        make=lambda generator: (draw(generator, 3, 2), draw(generator, 2)),
        kwargs={"max_norm": 0.5},
        adapt=on_the_first_of_a_pair,
        empty=((torch.ones(0, 2), torch.ones(2)), (0, 2)),
        refusals=(
            Refusal(TypeError, "grads[1] must be a torch.Tensor, got NoneType", ([W, None],), {"max_norm": 1.0}),
            Refusal(
                TypeError, "grads must be a real floating-point tensor, got torch.int64", (W.long(),), {"max_norm": 1.0}
            ),
            Refusal(TypeError, "max_norm must be a real number, got None", (W,), {"max_norm": None}),
            Refusal(ValueError, "max_norm must be >= 0, got -1.0", (W,), {"max_norm": -1.0}),
            Refusal(ValueError, "max_norm must be >= 0, got nan", (W,), {"max_norm": math.nan}),
        ),
    ),
    "optim.constant_schedule": schedule_entry(
        (0.25,),
        {},
        Refusal(TypeError, "lr must be a real number, got None", (None,)),
        Refusal(ValueError, "lr must be >= 0 and finite, got -1.0", (-1.0,)),
    ),
    "optim.cosine_schedule": schedule_entry(
        (1.0,),
        {"n_steps": 4},
        Refusal(TypeError, "lr must be a real number, got None", (None,), {"n_steps": 4}),
        Refusal(TypeError, "n_steps must be an integer, got 4.0", (1.0,), {"n_steps": 4.0}),
        Refusal(ValueError, "lr must be >= 0 and finite, got inf", (math.inf,), {"n_steps": 4}),
        Refusal(ValueError, "final_lr must be >= 0 and finite, got -1", (1.0,), {"n_steps": 4, "final_lr": -1}),
        Refusal(ValueError, "n_steps must be >= 1, got 0", (1.0,), {"n_steps": 0}),
    ),
    "optim.warmup_schedule": schedule_entry(
        (1.0,),
        {"n_steps": 3},
        Refusal(TypeError, "after must be a real number, got None", (None,), {"n_steps": 3}),
        Refusal(ValueError, "after must be >= 0 and finite, got -1.0", (-1.0,), {"n_steps": 3}),
        Refusal(TypeError, "n_steps must be an integer, got True", (1.0,), {"n_steps": True}),
        Refusal(ValueError, "n_steps must be >= 0, got -1", (1.0,), {"n_steps": -1}),
    ),
}


def norm_after_rescaling(*gradients: Tensor) -> Tensor:
    """Return the norm of all gradients, put together from the parts."""
    _, norm, scale = _stable.rescaled(gradients)
    return scale * norm


def adam_one_by_one(w: list[Tensor], g: list[Tensor], m: list[Tensor], v: list[Tensor]) -> tuple[list[Tensor], ...]:
    """Return the parameters and both means after a step of Adam, tensor by tensor."""
    m = [0.5 * x + 0.5 * y for x, y in zip(m, g, strict=True)]
    v = [0.75 * x + 0.25 * y**2 for x, y in zip(v, g, strict=True)]
    return [x / 2 - 0.1 * y / (z.sqrt() + 0.01) for x, y, z in zip(w, m, v, strict=True)], m, v


def adam_at_once(w: list[Tensor], g: list[Tensor], m: list[Tensor], v: list[Tensor]) -> tuple[list[Tensor], ...]:
    """Return the same by one call for all tensors."""
    found = adam_leaves(w, g, m, v, betas=(0.5, 0.75), shrink=[0.5] * len(w), floor=0.0, eps=0.01, rate=0.1)
    assert found is not None
    return tuple([*leaves] for leaves in found)


SEEDED = torch.Generator().manual_seed(0)
PAIRS = {
    "optim._fused.adam_leaves": Pair(
        kept=adam_at_once,
        formula=adam_one_by_one,
        arguments=(tuple([draw(SEEDED, 3, 4).abs(), draw(SEEDED, 2).abs()] for _ in range(4)),),
    ),
    "optim._fused.plain_norm": Pair(
        kept=lambda *gradients: plain_norm([*gradients]),
        formula=lambda *gradients: torch.cat([g.flatten() for g in gradients]).norm(),
        arguments=((draw(SEEDED, 5),), (draw(SEEDED, 3, 4), draw(SEEDED), draw(SEEDED, 0), draw(SEEDED, 300_000))),
    ),
    "optim._stable.rescaled": Pair(
        kept=norm_after_rescaling,
        formula=lambda *gradients: torch.cat([g.flatten() for g in gradients]).norm(),
        arguments=(
            (draw(SEEDED, 5),),
            (draw(SEEDED, 3, 4), draw(SEEDED, 4), draw(SEEDED)),
            (torch.zeros(3), torch.ones(0)),
        ),
    ),
}
