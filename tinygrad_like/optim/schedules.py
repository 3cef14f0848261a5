"""Learning-rate schedules: the rate as a function of the step.

A schedule sets the rate of the first step (number 0) when it is made, and that of the next one at
each `schedule.step()`, which comes after `optimizer.step()`. A new one is a class with a formula:

    class InverseRoot(Schedule):
        def lr_at(self, step, base_lr):
            return base_lr / (step + 1) ** 0.5
"""

import math
from abc import ABC, abstractmethod
from functools import partial

from tinygrad_like.engine import check_choice, check_integer, check_number, check_real, commit
from tinygrad_like.optim.optimizers import check_optimizer
from tinygrad_like.optim.parameters import checked_number


class Schedule(ABC):
    """Sets the learning rates of an optimizer's groups to `lr_at(step, base_lr)`.

    The base of a group is the rate that it has when the schedule is made (`base_lrs`), or when it
    has been added to the optimizer and the schedule makes its next step.
    """

    def __init__(self, optimizer):
        check_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        self.base_lrs = _rates(optimizer)
        self.steps = 0
        self.last_lr = list(self.base_lrs)
        commit(self._moved(0, self.base_lrs))

    @abstractmethod
    def lr_at(self, step, base_lr):
        """The learning rate of a step, counted from 0, for a group whose base is `base_lr`."""

    def step(self):
        """Set the rates of the next step.

        Raises ValueError if they are no longer those that this schedule has set.
        """
        rates, known = _rates(self.optimizer), len(self.last_lr)
        if rates[:known] != self.last_lr:
            raise ValueError(
                f"[{type(self).__name__}] the learning rates are {rates}, but "
                f"this schedule had set {self.last_lr}; another schedule, an assignment or a "
                "loaded state has changed them: have one schedule, change its base_lrs, load "
                "its state too"
            )
        commit(self._moved(self.steps + 1, [*self.base_lrs, *rates[known:]]))

    def state_dict(self):
        """Where the schedule stands; its settings are those of its constructor."""
        return {
            "schedule": type(self).__name__,
            "steps": self.steps,
            "base_lrs": list(self.base_lrs),
        }

    def load_state_dict(self, state):
        """Go on from `state_dict()`, and set the learning rates of that step.

        Raises ValueError, and changes nothing, for another schedule or number of groups.
        """
        commit(self._loading(state))

    def _loading(self, state):
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        bases = _checked_state(self, state, "base_lrs", ("steps",))
        steps = _from_state(self, check_integer, "steps", state["steps"], 0)
        return self._moved(steps, bases)

    def _moved(self, steps, bases):
        """The changes that set the rates of a step."""
        name = type(self).__name__
        rates = [checked_number(name, "lr", self.lr_at(steps, base)) for base in bases]
        return [
            *_set_rates(self.optimizer, rates),
            partial(setattr, self, "base_lrs", list(bases)),
            partial(setattr, self, "steps", steps),
            partial(setattr, self, "last_lr", rates),
        ]


class StepLR(Schedule):
    """base gamma^floor(step / step_size)."""

    def __init__(self, optimizer, step_size, gamma=0.1):
        self.step_size = check_integer("StepLR", "step_size", step_size, 1)
        self.gamma = checked_number("StepLR", "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        return base_lr * self.gamma ** (step // self.step_size)


class ExponentialLR(Schedule):
    """base gamma^step."""

    def __init__(self, optimizer, gamma):
        self.gamma = checked_number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        return base_lr * self.gamma**step


class LinearWarmup(Schedule):
    """base (step + 1) / warmup_steps, then base: the last step of the warmup is at full rate."""

    def __init__(self, optimizer, warmup_steps):
        self.warmup_steps = check_integer("LinearWarmup", "warmup_steps", warmup_steps, 1)
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        return base_lr * min(1, (step + 1) / self.warmup_steps)


class CosineLR(Schedule):
    """A linear warmup, then half a cosine from base at `warmup_steps` to min_lr at `total_steps`.

    min_lr + (base - min_lr) (1 + cos(pi progress)) / 2, and min_lr from there on. Source:
    Loshchilov and Hutter 2017, without restarts.
    """

    def __init__(self, optimizer, total_steps, min_lr=0.0, warmup_steps=0):
        self.total_steps = check_integer("CosineLR", "total_steps", total_steps, 1)
        self.min_lr = checked_number("CosineLR", "min_lr", min_lr)
        self.warmup_steps = check_integer("CosineLR", "warmup_steps", warmup_steps, 0)
        if not warmup_steps < total_steps:
            raise ValueError(
                f"[CosineLR] warmup_steps is {warmup_steps!r}, expected 0 to less than "
                f"total_steps={total_steps}"
            )
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        if step < self.warmup_steps:
            return base_lr * (step + 1) / self.warmup_steps
        progress = min(1, (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.min_lr + (base_lr - self.min_lr) * (1 + math.cos(math.pi * progress)) / 2


class PolynomialLR(Schedule):
    """base (1 - step / total_steps)^power, and 0 from there on; power 1 is a straight line."""

    def __init__(self, optimizer, total_steps, power=1.0):
        self.total_steps = check_integer("PolynomialLR", "total_steps", total_steps, 1)
        self.power = checked_number("PolynomialLR", "power", power)
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        return base_lr * (1 - min(1, step / self.total_steps)) ** self.power


class LambdaLR(Schedule):
    """base f(step), for any function f."""

    def __init__(self, optimizer, f):
        if not callable(f):
            raise TypeError(f"[LambdaLR] f is a {type(f).__name__}, expected a function of a step")
        self.f = f
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        return base_lr * check_real("LambdaLR", f"f({step})", self.f(step))


class ReduceOnPlateau:
    """Multiplies the learning rates by `factor` when a metric has stopped improving.

    Args:
        factor: from 0 to less than 1.
        patience: how many steps without improvement are allowed in a row.
        mode: "min" for a metric that should fall, such as a loss, "max" for one that should rise.
        threshold: the part of the best value by which a metric must beat it.
        min_lr: no rate is made lower than this.
    """

    def __init__(
        self, optimizer, factor=0.1, patience=10, *, mode="min", threshold=1e-4, min_lr=0.0
    ):
        name = type(self).__name__
        check_optimizer(name, optimizer)
        factor = check_number(name, "factor", factor, 0, below=1)
        check_choice(name, "mode", mode, ("min", "max"))
        self.optimizer, self.factor, self.mode = optimizer, factor, mode
        self.patience = checked_number(name, "patience", patience)
        self.threshold = checked_number(name, "threshold", threshold)
        self.min_lr = checked_number(name, "min_lr", min_lr)
        self.best, self.waited = None, 0

    @property
    def last_lr(self):
        """The learning rate of each group."""
        return _rates(self.optimizer)

    def step(self, metric):
        """Take a value of the metric into account. NaN is not an improvement."""
        metric = check_real(type(self).__name__, "metric", metric)
        best, waited, rates = self.best, self.waited + 1, self.last_lr
        if self._is_better(metric):
            best, waited = metric, 0
        elif waited > self.patience:
            waited = 0
            # A rate that is below min_lr already stays.
            rates = [min(rate, max(rate * self.factor, self.min_lr)) for rate in rates]
        commit(self._moved(best, waited, rates))

    def _moved(self, best, waited, rates):
        return [
            *_set_rates(self.optimizer, rates),
            partial(setattr, self, "best", best),
            partial(setattr, self, "waited", waited),
        ]

    def _is_better(self, metric):
        if self.best is None:
            return not math.isnan(metric)
        margin = self.threshold * abs(self.best)
        return metric < self.best - margin if self.mode == "min" else metric > self.best + margin

    def state_dict(self):
        """The best metric, how long it has stood, and the learning rates."""
        return {
            "schedule": type(self).__name__,
            "best": self.best,
            "waited": self.waited,
            "last_lr": self.last_lr,
        }

    def load_state_dict(self, state):
        """Go on from `state_dict()`.

        Raises ValueError, and changes nothing, for the state of another schedule.
        """
        commit(self._loading(state))

    def _loading(self, state):
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        rates = _checked_state(self, state, "last_lr", ("best", "waited"))
        waited = _from_state(self, check_integer, "waited", state["waited"], 0)
        best = state["best"]
        if best is not None:
            best = _from_state(self, check_real, "best", best)
        return self._moved(best, waited, rates)


def _rates(optimizer):
    return [options["lr"] for options in optimizer._all_options()]


def _set_rates(optimizer, rates):
    """The changes that give the groups their rates."""
    pairs = zip(optimizer.param_groups, rates, strict=True)
    return [partial(group.__setitem__, "lr", rate) for group, rate in pairs]


def _checked_state(schedule, state, rates, others):
    """The rates in a state; ValueError unless it is of such a schedule and number of groups."""
    name, groups = type(schedule).__name__, len(schedule.optimizer.param_groups)
    made_by = state.get("schedule") if isinstance(state, dict) else type(state).__name__
    if made_by != name:
        raise ValueError(
            f"[{name}] the state is of {made_by}, expected {name}; nothing was changed"
        )
    lacking = [key for key in (rates, *others) if key not in state]
    if lacking or not isinstance(state[rates], list | tuple):
        raise ValueError(f"[{name}] the state lacks {lacking or rates}; nothing was changed")
    if len(state[rates]) != groups:
        raise ValueError(
            f"[{name}] the state has {len(state[rates])} groups, expected {groups}; nothing was "
            "changed"
        )
    return [_from_state(schedule, checked_number, rates, rate) for rate in state[rates]]


def _from_state(schedule, check, name, *value):
    """A checked entry of a state: a ValueError for any fault, also for a wrong type."""
    try:
        return check(type(schedule).__name__, name, *value)
    except TypeError as error:
        raise ValueError(f"{error}; nothing was changed") from error
