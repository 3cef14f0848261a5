"""Schedules that rise and fall: OneCycleLR, CyclicLR, CosineRestartsLR; momentum may move too."""

import math
from bisect import bisect_left
from functools import partial

from tinygrad_like.engine import check_choice, check_flag, check_integer, check_number, commit
from tinygrad_like.engine.errors import describe
from tinygrad_like.optim.optimizer import check_optimizer
from tinygrad_like.optim.parameters import checked_number
from tinygrad_like.optim.schedules import Schedule, for_groups, set_rates


class CosineRestartsLR(Schedule):
    """Half a cosine from base to `min_lr` in `first_steps`, and again, each `growth` times longer.

    PyTorch's name is CosineAnnealingWarmRestarts. Source: Loshchilov and Hutter 2017, "SGDR".
    """

    def __init__(self, optimizer, first_steps, growth=1, min_lr=0.0):
        self.first_steps = check_integer("CosineRestartsLR", "first_steps", first_steps, 1)
        self.growth = check_integer("CosineRestartsLR", "growth", growth, 1)
        self.min_lr = checked_number("CosineRestartsLR", "min_lr", min_lr)
        super().__init__(optimizer)

    def lr_at(self, step, base_lr):
        length = self.first_steps
        if self.growth == 1:
            step %= length
        while step >= length:
            step, length = step - length, length * self.growth
        return self.min_lr + (base_lr - self.min_lr) * (1 + math.cos(math.pi * step / length)) / 2


class _Cycling(Schedule):
    """A schedule that moves the momentum against the rate, if it is asked to.

    The momentum of Adam and its kin is the first of `betas`.
    """

    cycle_momentum: bool

    def momentum_at(self, step):
        """The momentum of a step, for all groups."""
        raise NotImplementedError

    def _start(self, optimizer, rates, cycle_momentum, least, most):
        """Check the optimizer, and give its groups the base rates; None leaves those they have."""
        name = type(self).__name__
        check_optimizer(name, optimizer)
        self.cycle_momentum = check_flag(name, "cycle_momentum", cycle_momentum)
        self.base_momentum = check_number(name, "base_momentum", least, 0, below=1)
        self.max_momentum = check_number(name, "max_momentum", most, 0, below=1)
        if self.cycle_momentum and not _has_momentum(optimizer):
            raise ValueError(
                f"[{name}] the optimizer has no momentum and no betas to cycle; pass "
                "cycle_momentum=False"
            )
        if rates is not None:
            commit(set_rates(optimizer, [checked_number(name, "lr", rate) for rate in rates]))
        super().__init__(optimizer)

    def _moved(self, steps, bases):
        changes = super()._moved(steps, bases)
        if not self.cycle_momentum:
            return changes
        momentum = self.momentum_at(steps)
        for group in self.optimizer.param_groups:
            if "betas" in group:
                new = {"betas": (momentum, *group["betas"][1:])}
            else:
                new = {"momentum": momentum}
            changes.append(partial(group.update, new))
        return changes


class OneCycleLR(_Cycling):
    """From max_lr / div_factor up to max_lr, and down to the first rate / final_div_factor.

    The momentum falls from `max_momentum` to `base_momentum` as the rate rises, and back. After
    `total_steps` both keep their last values.

    Args:
        max_lr: the highest rate, or a list with one for each group; by default each group's own
            rate.
        pct_start: the part of the steps in which the rate rises.
        anneal_strategy: "cos" or "linear".
        three_phase: fall to the first rate in as many steps as it rose, and then to the last.

    Raises ValueError if there is no momentum to cycle.
    Source: Smith and Topin 2019, "Super-convergence"; PyTorch's form.

    >>> import tinygrad_like as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> schedule = OneCycleLR(tg.optim.Adam([w]), 0.5, total_steps=100)
    >>> schedule.lr_at(29, 0.5), round(schedule.momentum_at(29), 3)
    (0.5, 0.85)
    """

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps,
        *,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25.0,
        final_div_factor=1e4,
        three_phase=False,
    ):
        name = "OneCycleLR"
        check_optimizer(name, optimizer)
        self.total_steps = check_integer(name, "total_steps", total_steps, 1)
        self.pct_start = check_number(name, "pct_start", pct_start, 0, 1)
        self.anneal_strategy = check_choice(
            name, "anneal_strategy", anneal_strategy, ("cos", "linear")
        )
        self.div_factor = _positive(name, "div_factor", div_factor)
        self.final_div_factor = _positive(name, "final_div_factor", final_div_factor)
        self.three_phase = check_flag(name, "three_phase", three_phase)
        rates = max_lr
        if rates is not None:
            rates = for_groups(name, "max_lr", max_lr, len(optimizer.param_groups))
        self._start(optimizer, rates, cycle_momentum, base_momentum, max_momentum)

    def _at(self, step, low, high, last):
        """A value that goes from low to high to last, in phases that end where PyTorch's do."""
        rise, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        phases = [(rise, low, high), (end, high, last)]
        if self.three_phase:
            phases = [(rise, low, high), (2 * rise, high, low), (end, low, last)]
        ends = [to for to, _, _ in phases[:-1]]
        i = bisect_left(ends, step)
        begin, (to, first, then) = ends[i - 1] if i else 0.0, phases[i]
        progress = min(1.0, (step - begin) / (to - begin)) if to > begin else 1.0
        if self.anneal_strategy == "linear":
            return first + (then - first) * progress
        return then + (first - then) / 2 * (1 + math.cos(math.pi * progress))

    def lr_at(self, step, base_lr):
        low = base_lr / self.div_factor
        return self._at(step, low, base_lr, low / self.final_div_factor)

    def momentum_at(self, step):
        return self._at(step, self.max_momentum, self.base_momentum, self.max_momentum)


class CyclicLR(_Cycling):
    """From base_lr up to max_lr in `step_size_up` steps, down in `step_size_down`, and again.

    Args:
        base_lr, max_lr: rates, or lists with one for each group.
        step_size_down: None for as many as up.
        mode: "triangular", "triangular2" (each cycle is half as high as the one before) or
            "exp_range" (the height is multiplied by gamma at each step).
        scale_fn: a function for the height instead of the mode's: of the cycle, counted from 1, or
            with `scale_mode="iterations"` of the step.

    Source: Smith 2017, "Cyclical learning rates for training neural networks".
    """

    def __init__(
        self,
        optimizer,
        base_lr,
        max_lr,
        step_size_up=2000,
        step_size_down=None,
        *,
        mode="triangular",
        gamma=1.0,
        scale_fn=None,
        scale_mode="cycle",
        cycle_momentum=True,
        base_momentum=0.8,
        max_momentum=0.9,
    ):
        name = "CyclicLR"
        check_optimizer(name, optimizer)
        groups = len(optimizer.param_groups)
        self.max_lr = max_lr
        for each in for_groups(name, "max_lr", max_lr, groups):
            checked_number(name, "max_lr", each)
        self.up = check_integer(name, "step_size_up", step_size_up, 1)
        self.down = self.up
        if step_size_down is not None:
            self.down = check_integer(name, "step_size_down", step_size_down, 1)
        self.mode = check_choice(name, "mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = checked_number(name, "gamma", gamma)
        if scale_fn is not None and not callable(scale_fn):
            raise TypeError(f"[{name}] scale_fn is {describe(scale_fn)}, expected a function")
        self.scale_fn = scale_fn
        self.scale_mode = check_choice(name, "scale_mode", scale_mode, ("cycle", "iterations"))
        rates = for_groups(name, "base_lr", base_lr, groups)
        self._start(optimizer, rates, cycle_momentum, base_momentum, max_momentum)

    def _height(self, step):
        """From 0 to 1 and back, scaled."""
        cycle, place = divmod(step, self.up + self.down)
        part = place / self.up if place <= self.up else 1 - (place - self.up) / self.down
        if self.scale_fn is not None:
            scale = self.scale_fn(cycle + 1 if self.scale_mode == "cycle" else step)
        else:
            scale = {
                "triangular": 1.0,
                "triangular2": 0.5**cycle,
                "exp_range": self.gamma**step,
            }[self.mode]
        return part * scale

    def lr_at(self, step, base_lr):
        return base_lr + (self.max_lr - base_lr) * self._height(step)

    def _rates_at(self, step, bases):
        height = self._height(step)
        pairs = zip(bases, for_groups("CyclicLR", "max_lr", self.max_lr, len(bases)), strict=True)
        return [base + (most - base) * height for base, most in pairs]

    def momentum_at(self, step):
        return self.max_momentum - (self.max_momentum - self.base_momentum) * self._height(step)


def _has_momentum(optimizer):
    return all("momentum" in group or "betas" in group for group in optimizer.param_groups)


def _positive(owner, name, value):
    value = checked_number(owner, name, value)
    if not value:
        raise ValueError(f"[{owner}] {name} is 0, expected a positive number")
    return value
