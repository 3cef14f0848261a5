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
from tinygrad_like.optim.optimizer import check_optimizer
from tinygrad_like.optim.parameters import checked_number


class Schedule(ABC):
    """Sets the learning rates of an optimizer's groups to `lr_at(step, base_lr)`.

    The base of a group is the rate that it has when the schedule is made (`base_lrs`), or when it
    has been added to the optimizer and the schedule makes its next step.
    """

    def __init__(self, optimizer):
        check_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        self.base_lrs = rates_of(optimizer)
        self.steps = 0
        self.last_lr = list(self.base_lrs)
        commit(self._moved(0, self.base_lrs))

    @abstractmethod
    def lr_at(self, step, base_lr):
        """The learning rate of a step, counted from 0, for a group whose base is `base_lr`."""

    def _rates_at(self, step, bases):
        """The learning rates of all groups."""
        return [self.lr_at(step, base) for base in bases]

    def step(self):
        """Set the rates of the next step.

        Raises ValueError if they are no longer those that this schedule has set.
        """
        rates, known = rates_of(self.optimizer), len(self.last_lr)
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
        rates = [checked_number(name, "lr", rate) for rate in self._rates_at(steps, bases)]
        return [
            *set_rates(self.optimizer, rates),
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


class MultiStepLR(Schedule):
    """base gamma^n, where n of the `milestones` are at or before the step."""

    def __init__(self, optimizer, milestones, gamma=0.1):
        self.milestones = milestones_of("MultiStepLR", milestones)
        self.gamma = checked_number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        return base_lr * self.gamma ** sum(at <= step for at in self.milestones)


class LinearLR(Schedule):
    """base factor, which goes in a straight line from `start` to `end`, and stays there."""

    def __init__(self, optimizer, total_steps, start=1 / 3, end=1.0):
        self.total_steps = check_integer("LinearLR", "total_steps", total_steps, 1)
        self.start = checked_number("LinearLR", "start", start)
        self.end = checked_number("LinearLR", "end", end)
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        progress = min(1, step / self.total_steps)
        return base_lr * (self.start + (self.end - self.start) * progress)


class ConstantLR(Schedule):
    """base factor before `total_steps`, and base from there on."""

    def __init__(self, optimizer, total_steps, factor=1 / 3):
        self.total_steps = check_integer("ConstantLR", "total_steps", total_steps, 1)
        self.factor = checked_number("ConstantLR", "factor", factor)
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        return base_lr * self.factor if step < self.total_steps else base_lr


class WarmupStableDecay(Schedule):
    """A linear warmup, the base rate, and in the last `decay_steps` a fall to `min_lr`.

    `shape` is that of the fall: "linear", "cosine", or "root" for 1 - sqrt(progress). The long
    stable part need not know when training ends: go on from a state before the fall.
    Source: Hu et al. 2024, "MiniCPM"; Haegele et al. 2024, "Scaling laws and compute-optimal
    training beyond fixed training durations", for the root.
    """

    def __init__(
        self, optimizer, total_steps, decay_steps, warmup_steps=0, min_lr=0.0, shape="linear"
    ):
        name = "WarmupStableDecay"
        self.total_steps = check_integer(name, "total_steps", total_steps, 1)
        self.decay_steps = check_integer(name, "decay_steps", decay_steps, 1)
        self.warmup_steps = check_integer(name, "warmup_steps", warmup_steps, 0)
        self.min_lr = checked_number(name, "min_lr", min_lr)
        self.shape = check_choice(name, "shape", shape, ("linear", "cosine", "root"))
        if self.warmup_steps + self.decay_steps > self.total_steps:
            raise ValueError(
                f"[{name}] warmup_steps {warmup_steps} and decay_steps {decay_steps} are more than "
                f"total_steps {total_steps}"
            )
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        if step < self.warmup_steps:
            return base_lr * (step + 1) / self.warmup_steps
        left = min(max(self.total_steps - step, 0), self.decay_steps)
        progress = 1 - left / self.decay_steps
        part = {
            "linear": 1 - progress,
            "cosine": (1 + math.cos(math.pi * progress)) / 2,
            "root": 1 - math.sqrt(progress),
        }[self.shape]
        return self.min_lr + (base_lr - self.min_lr) * part


class LambdaLR(Schedule):
    """base f(step), for any function f; or for a list of them, one for each group."""

    def __init__(self, optimizer, f):
        self.f = list(f) if isinstance(f, list | tuple) else f
        for each in self.f if isinstance(self.f, list) else [f]:
            if not callable(each):
                kind = type(each).__name__
                raise TypeError(f"[LambdaLR] f is a {kind}, expected a function of a step")
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        return self._scaled(self.f, step, base_lr)

    def _rates_at(self, step, bases):
        each = for_groups("LambdaLR", "f", self.f, len(bases))
        return [self._scaled(f, step, base) for f, base in zip(each, bases, strict=True)]

    def _scaled(self, f, step, base_lr):
        return base_lr * check_real("LambdaLR", f"f({step})", f(step))


class ReduceOnPlateau:
    """Multiplies the learning rates by `factor` when a metric has stopped improving.

    Args:
        factor: from 0 to less than 1.
        patience: how many steps without improvement are allowed in a row.
        mode: "min" for a metric that should fall, such as a loss, "max" for one that should rise.
        threshold: the part of the best value by which a metric must beat it; or, with
            `threshold_mode` "abs", how much.
        cooldown: for so many steps after a reduction none is counted as one without improvement.
        min_lr: no rate is made lower than this; a list has one for each group.
        eps: a rate that would change by no more than this is left alone.
    """

    def __init__(
        self,
        optimizer,
        factor=0.1,
        patience=10,
        *,
        mode="min",
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
        min_lr=0.0,
        eps=1e-8,
    ):
        name = type(self).__name__
        check_optimizer(name, optimizer)
        factor = check_number(name, "factor", factor, 0, below=1)
        check_choice(name, "mode", mode, ("min", "max"))
        self.optimizer, self.factor, self.mode = optimizer, factor, mode
        self.patience = checked_number(name, "patience", patience)
        self.threshold = checked_number(name, "threshold", threshold)
        self.threshold_mode = check_choice(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = check_integer(name, "cooldown", cooldown, 0)
        self.eps = checked_number(name, "eps", eps)
        lowest = for_groups(name, "min_lr", min_lr, len(optimizer.param_groups))
        lowest = [checked_number(name, "min_lr", each) for each in lowest]
        self.min_lr = lowest if isinstance(min_lr, list | tuple) else lowest[0]
        self.best, self.waited, self.cooling = None, 0, 0

    @property
    def last_lr(self):
        """The learning rate of each group."""
        return rates_of(self.optimizer)

    def step(self, metric):
        """Take a value of the metric into account. NaN is not an improvement."""
        metric = check_real(type(self).__name__, "metric", metric)
        best, waited, cooling, rates = self.best, self.waited + 1, self.cooling, self.last_lr
        if self._is_better(metric):
            best, waited = metric, 0
        if cooling:
            waited, cooling = 0, cooling - 1
        if waited > self.patience:
            waited, cooling = 0, self.cooldown
            lowest = for_groups(type(self).__name__, "min_lr", self.min_lr, len(rates))
            rates = [self._reduced(*pair) for pair in zip(rates, lowest, strict=True)]
        commit(self._moved(best, waited, cooling, rates))

    def _reduced(self, rate, lowest):
        """The next lower rate. One that is below the lowest already stays."""
        new = min(rate, max(rate * self.factor, lowest))
        return new if rate - new > self.eps else rate

    def _moved(self, best, waited, cooling, rates):
        return [
            *set_rates(self.optimizer, rates),
            partial(setattr, self, "best", best),
            partial(setattr, self, "waited", waited),
            partial(setattr, self, "cooling", cooling),
        ]

    def _is_better(self, metric):
        if self.best is None:
            return not math.isnan(metric)
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1)
        return metric < self.best - margin if self.mode == "min" else metric > self.best + margin

    def state_dict(self):
        """The best metric, how long it has stood, the steps of cooldown left, and the rates."""
        return {
            "schedule": type(self).__name__,
            "best": self.best,
            "waited": self.waited,
            "cooling": self.cooling,
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
        cooling = _from_state(self, check_integer, "cooling", state.get("cooling", 0), 0)
        best = state["best"]
        if best is not None:
            best = _from_state(self, check_real, "best", best)
        return self._moved(best, waited, cooling, rates)


def for_groups(owner, name, value, count):
    """A setting for each of `count` groups: those in a list, or the same one for all."""
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"[{owner}] {name} has {len(value)} entries, expected one for each of the "
            f"{count} groups"
        )
    return list(value)


def milestones_of(owner, milestones):
    """Steps in rising order, as a list."""
    if not isinstance(milestones, list | tuple):
        raise TypeError(f"[{owner}] milestones is {milestones!r}, expected a list of steps")
    found = [check_integer(owner, "a milestone", each, 0) for each in milestones]
    if found != sorted(found):
        raise ValueError(f"[{owner}] milestones is {found}, expected steps in rising order")
    return found


def rates_of(optimizer):
    """The learning rate of each group."""
    return [options["lr"] for options in optimizer._all_options()]


def set_rates(optimizer, rates):
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
