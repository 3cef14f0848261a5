"""Schedules made of schedules: one after another, multiplied, or another one for each group.

A part is a function from the optimizer to a schedule, so that all parts have the same base rates:

    SequentialLR(optimizer, [partial(LinearWarmup, warmup_steps=5),
                             partial(CosineLR, total_steps=95)], milestones=[5])
"""

from bisect import bisect_right

from tinygrad_like.engine.errors import describe
from tinygrad_like.optim.optimizer import check_optimizer
from tinygrad_like.optim.schedules import Schedule, milestones_of, rates_of


class _Compound(Schedule):
    """A schedule of `parts`, whose formulas it uses; they make no steps."""

    def __init__(self, optimizer, parts):
        self.parts = _made(type(self).__name__, optimizer, parts)
        super().__init__(optimizer)


class SequentialLR(_Compound):
    """One part after another: the next begins, at its own step 0, at each of the `milestones`.

    >>> from functools import partial
    >>> import tinygrad_like as tg
    >>> optimizer = tg.optim.SGD([tg.ones(2, requires_grad=True)], lr=1.0)
    >>> warmup, fall = tg.optim.LinearWarmup, tg.optim.ExponentialLR
    >>> parts = partial(warmup, warmup_steps=2), partial(fall, gamma=0.5)
    >>> schedule = SequentialLR(optimizer, parts, milestones=[2])
    >>> [schedule.lr_at(step, 1.0) for step in range(5)]
    [0.5, 1.0, 1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer, parts, milestones):
        self.milestones = milestones_of("SequentialLR", milestones)
        if len(self.milestones) != len(parts) - 1:
            raise ValueError(
                f"[SequentialLR] got {len(self.milestones)} milestones for {len(parts)} parts, "
                "expected one less than parts"
            )
        super().__init__(optimizer, parts)

    def _part(self, step):
        """The part that a step belongs to, and the step in it."""
        i = bisect_right(self.milestones, step)
        return self.parts[i], step - (self.milestones[i - 1] if i else 0)

    def lr_at(self, step, base_lr):
        part, own = self._part(step)
        return part.lr_at(own, base_lr)

    def _rates_at(self, step, bases):
        part, own = self._part(step)
        return part._rates_at(own, bases)


class ChainedLR(_Compound):
    """All parts at once: the rate of each is the base of the next, so that factors multiply.

    PyTorch's name is ChainedScheduler.

    >>> from functools import partial
    >>> import tinygrad_like as tg
    >>> optimizer = tg.optim.SGD([tg.ones(2, requires_grad=True)], lr=1.0)
    >>> warmup, fall = tg.optim.LinearWarmup, tg.optim.ExponentialLR
    >>> parts = partial(warmup, warmup_steps=2), partial(fall, gamma=0.5)
    >>> schedule = ChainedLR(optimizer, parts)
    >>> [schedule.lr_at(step, 1.0) for step in range(4)]
    [0.5, 0.5, 0.25, 0.125]
    """

    def lr_at(self, step, base_lr):
        for part in self.parts:
            base_lr = part.lr_at(step, base_lr)
        return base_lr

    def _rates_at(self, step, bases):
        for part in self.parts:
            bases = part._rates_at(step, bases)
        return bases


class PerGroupLR(_Compound):
    """Another part for each group of the optimizer, in their order."""

    def __init__(self, optimizer, parts):
        check_optimizer("PerGroupLR", optimizer)
        if len(parts) != len(optimizer.param_groups):
            raise ValueError(
                f"[PerGroupLR] got {len(parts)} parts for {len(optimizer.param_groups)} groups, "
                "expected one for each"
            )
        super().__init__(optimizer, parts)

    def lr_at(self, step, base_lr):
        raise ValueError("[PerGroupLR] the rate depends on the group: use parts[i].lr_at")

    def _rates_at(self, step, bases):
        if len(bases) != len(self.parts):
            raise ValueError(
                f"[PerGroupLR] the optimizer has {len(bases)} groups now, expected one for each of "
                f"{len(self.parts)} parts"
            )
        pairs = zip(self.parts, bases, strict=True)
        return [part.lr_at(step, base) for part, base in pairs]


def _made(name, optimizer, parts):
    """The schedules that functions of the optimizer make; its rates are as before."""
    check_optimizer(name, optimizer)
    bases, made = rates_of(optimizer), []
    if not parts:
        raise ValueError(f"[{name}] got no parts, expected at least one")
    for i, make in enumerate(parts):
        if not callable(make):
            raise TypeError(
                f"[{name}] parts[{i}] is {describe(make)}, expected a function from the optimizer "
                "to a schedule, such as functools.partial(StepLR, step_size=10)"
            )
        groups = [dict(group) for group in optimizer.param_groups]
        try:
            part = make(optimizer)
        finally:
            for group, before in zip(optimizer.param_groups, groups, strict=True):
                group.update(before)
        if not isinstance(part, Schedule):
            raise TypeError(f"[{name}] parts[{i}] makes {describe(part)}, expected a Schedule")
        if getattr(part, "cycle_momentum", False):
            raise ValueError(f"[{name}] parts[{i}] cycles the momentum; pass cycle_momentum=False")
        if part.base_lrs != bases:
            raise ValueError(
                f"[{name}] parts[{i}] has the base rates {part.base_lrs}, expected those of the "
                f"groups, {bases}: a rate is set with the optimizer, max_lr=None is its own"
            )
        made.append(part)
    return made
