"""Learning rate schedules: pure functions from the step to the rate."""

import math
from collections.abc import Callable

from dlcore._checks import check_count, check_nonnegative

__all__ = ["constant_schedule", "cosine_schedule", "warmup_schedule"]

Schedule = Callable[[int], float]


def constant_schedule(lr: float) -> Schedule:
    r"""Return a schedule with a constant learning rate.

    .. math::

        \eta_t = \eta

    Parameters
    ----------
    lr : float, at least 0
        The learning rate :math:`\eta`.

    Returns
    -------
    callable
        The rate as a pure function of the step :math:`t`, an int counted from 0.

    Raises
    ------
    TypeError
        If ``lr`` is not a real number.
    ValueError
        If ``lr`` is negative or not finite.

    See Also
    --------
    torch.optim.lr_scheduler.ConstantLR : A schedule that keeps the step as its state.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, section 8.3.1.

    Examples
    --------
    >>> schedule = constant_schedule(0.5)
    >>> schedule(0), schedule(1000)
    (0.5, 0.5)
    """
    check_nonnegative("lr", lr)

    def schedule(step: int) -> float:
        check_count("step", step, 0)
        return lr

    return schedule


def cosine_schedule(lr: float, *, n_steps: int, final_lr: float = 0.0) -> Schedule:
    r"""Return a schedule whose learning rate falls along half a cosine.

    .. math::

        \eta_t = \eta_T + \frac{\eta_0 - \eta_T}{2}\Bigl(1 + \cos\frac{\pi\min(t, T)}{T}\Bigr)

    Parameters
    ----------
    lr : float, at least 0
        The rate :math:`\eta_0` of the first step.
    n_steps : int, at least 1
        The step :math:`T` at which the rate reaches its last value, which it then keeps.
    final_lr : float, at least 0, default 0.0
        The last rate :math:`\eta_T`.

    Returns
    -------
    callable
        The rate as a pure function of the step :math:`t`, an int counted from 0.

    Raises
    ------
    TypeError
        If ``lr`` or ``final_lr`` is not a real number, or ``n_steps`` not an integer.
    ValueError
        If ``lr`` or ``final_lr`` is negative or not finite, or ``n_steps`` less than 1.

    See Also
    --------
    torch.optim.lr_scheduler.CosineAnnealingLR : The same with a state; after its last step the rate rises again.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", *ICLR*, 2017, section 3.

    Examples
    --------
    >>> schedule = cosine_schedule(1.0, n_steps=4, final_lr=0.5)
    >>> schedule(0), schedule(2), schedule(4), schedule(1000)
    (1.0, 0.75, 0.5, 0.5)
    """
    check_nonnegative("lr", lr)
    check_nonnegative("final_lr", final_lr)
    check_count("n_steps", n_steps, 1)

    def schedule(step: int) -> float:
        check_count("step", step, 0)
        cosine = math.cos(math.pi * min(step, n_steps) / n_steps)
        return lr * (1 + cosine) / 2 + final_lr * (1 - cosine) / 2  # a difference of the rates would lose digits

    return schedule


def warmup_schedule(after: float | Schedule, *, n_steps: int) -> Schedule:
    r"""Return a schedule whose learning rate first rises in equal steps, and then follows another schedule.

    .. math::

        \eta_t = \begin{cases} \frac{t+1}{T+1}\,\eta'_0 & t < T \\ \eta'_{t-T} & t \ge T \end{cases}

    No step is wasted on a rate of 0, and step :math:`T` is the first at full rate.

    Parameters
    ----------
    after : float or callable
        The schedule :math:`\eta'` that follows, or a constant rate.
    n_steps : int, at least 0
        The number :math:`T` of warm-up steps.

    Returns
    -------
    callable
        The rate as a pure function of the step :math:`t`, an int counted from 0.

    Raises
    ------
    TypeError
        If ``after`` is neither a schedule nor a real number.
    ValueError
        If ``after`` is negative or not finite.
    TypeError
        If ``n_steps`` is not an integer.
    ValueError
        If ``n_steps`` is negative.

    See Also
    --------
    torch.optim.lr_scheduler.LinearLR : A linear rise with a state, from a factor that the caller chooses.

    References
    ----------
    .. [1] P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2.

    Examples
    --------
    >>> schedule = warmup_schedule(cosine_schedule(1.0, n_steps=2), n_steps=3)
    >>> [schedule(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.0]
    """
    check_count("n_steps", n_steps, 0)
    if not callable(after):
        check_nonnegative("after", after)

    def schedule(step: int) -> float:
        check_count("step", step, 0)
        full_rate = after(max(step - n_steps, 0)) if callable(after) else after
        return full_rate * min((step + 1) / (n_steps + 1), 1.0)

    return schedule
