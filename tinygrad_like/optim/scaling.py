"""GradScaler: a loss that is scaled up, so that small gradients survive float16."""

import math
from functools import partial

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import is_half, narrow, wide
from tinygrad_like.engine import SparseRows, Tensor, astype, check_flag, check_integer, commit, wrap
from tinygrad_like.engine.errors import describe
from tinygrad_like.engine.modes import timed_step
from tinygrad_like.optim.clipping import numbers
from tinygrad_like.optim.optimizer import Optimizer, check_optimizer
from tinygrad_like.optim.parameters import checked_number
from tinygrad_like.optim.states import set_gradients


class GradScaler:
    """Scales the loss by as much as the gradients can bear, and finds that out by trying.

        scaler = GradScaler()
        with tg.autocast("float16"):
            loss = cross_entropy(model(x), labels)
        scaler.scale(loss).backward()
        scaler.unscale(optimizer)               # only if gradients are clipped
        scaler.step(optimizer)

    A step whose gradients hold an infinity or NaN is skipped and counted, and the scale is
    multiplied by `backoff`; after `interval` good steps in a row it is multiplied by `growth`.
    Several optimizers can share the gradients of one loss: all of them step before the next loss is
    scaled, and this counts as one step.
    With a scale of 1 and `growth=1` (bfloat16, float32) it only skips bad steps; with
    `enabled=False` it leaves loss and gradients alone and makes every step.

    Args:
        scale: the first one. growth, backoff: factors, at least 1 and below 1. interval: steps.
        enabled: False for a run in another precision, by the same code.

    Attributes:
        skipped: how many steps were skipped so far.

    Raises TypeError or ValueError for settings of another type or range.
    Source: Micikevicius et al. 2018, "Mixed precision training", section 3.2.
    """

    _scale: float  # of the step that is under way
    _good: int  # how many good steps in a row came before it
    _next: tuple[float, int]  # the same of the step after it
    _stepped: dict[Optimizer, bool]  # that have stepped: whether their gradients were finite
    skipped: int

    def __init__(self, scale=2.0**16, *, growth=2.0, backoff=0.5, interval=2000, enabled=True):
        for name, value in (("scale", scale), ("growth", growth), ("backoff", backoff)):
            checked_number("GradScaler", name, value)
        if not 0 < scale < math.inf or growth < 1 or not 0 < backoff < 1:
            raise ValueError(
                f"[GradScaler] scale {scale}, growth {growth}, backoff {backoff}; expected a "
                "positive scale, a growth of at least 1 and a backoff between 0 and 1"
            )
        self._growth, self._backoff = float(growth), float(backoff)
        self._interval = check_integer("GradScaler", "interval", interval, 1)
        self._enabled, self.skipped = check_flag("GradScaler", "enabled", enabled), 0
        self._unscaled: dict[Optimizer, bool] = {}  # as _stepped, of those that have not stepped
        commit(self._start(float(scale), 0))

    def _start(self, scale, good):
        """The changes that begin a step with this scale, after `good` good steps in a row."""
        return [
            partial(setattr, self, "_scale", scale),
            partial(setattr, self, "_good", good),
            partial(setattr, self, "_next", (scale, good)),
            partial(setattr, self, "_stepped", {}),
        ]

    @property
    def current_scale(self):
        """What the next loss is multiplied by."""
        return self._next[0]

    def scale(self, loss):
        """loss * scale, to call `backward` on, in float32 at least."""
        if not isinstance(loss, Tensor):
            raise TypeError(f"[GradScaler] loss is {describe(loss)}, expected a Tensor")
        if not self._enabled:
            return loss
        if self._stepped:
            commit(self._start(*self._next))
        return (astype(loss, dtype=np.float32) if is_half(loss.dtype) else loss) * self._scale

    def unscale(self, optimizer):
        """Divide the gradients of an optimizer's parameters by the scale, once for each step.

        Raises ValueError if that was done since the last step.
        """
        check_optimizer("GradScaler", optimizer)
        if optimizer in self._unscaled:
            raise ValueError("[GradScaler] the gradients were unscaled already; call step first")
        if not self._enabled:
            return
        scale, begin = self._scale, []
        if optimizer in self._stepped:
            scale, begin = self._next[0], self._start(*self._next)
        pairs, finite = _unscaled(optimizer, scale)
        note = partial(self._unscaled.__setitem__, optimizer, finite)
        commit([*begin, *set_gradients(pairs), note])

    @timed_step
    def step(self, optimizer):
        """Unscale, if that was not done; step, unless a gradient is not finite; adapt the scale.

        If anything is raised meanwhile, either all of this is done or nothing, as in
        `optimizer.step`.

        Returns whether the step was done.
        """
        check_optimizer("GradScaler", optimizer)
        if not self._enabled:
            optimizer.step()
            return True
        (scale, good), changes = (self._scale, self._good), []
        stepped = {**self._stepped}
        finite, grads = self._unscaled.get(optimizer), None
        if finite is None:
            if optimizer in stepped:
                (scale, good), stepped = self._next, {}
                changes += self._start(scale, good)
            pairs, finite = _unscaled(optimizer, scale)
            changes += set_gradients(pairs)
            grads = {p.node: grad for p, grad in pairs if p.node is not None}
        if finite:
            changes += optimizer._plan(grads)
        stepped[optimizer] = finite
        if not all(stepped.values()):
            following = max(scale * self._backoff, 2.0**-126), 0
        elif good + 1 >= self._interval:
            following = min(scale * self._growth, 2.0**127), 0
        else:
            following = scale, good + 1
        changes += [
            partial(self._unscaled.pop, optimizer, None),
            partial(setattr, self, "_stepped", stepped),
            partial(setattr, self, "_next", following),
            partial(setattr, self, "skipped", self.skipped + (not finite)),
        ]
        commit(changes)
        return finite

    def state_dict(self):
        """What `load_state_dict` needs to go on, after a step, to the same bits."""
        scale, good = self._next
        return {"scale": scale, "good": good, "skipped": self.skipped}

    def load_state_dict(self, state):
        """Go on from `state`. Raises ValueError, and changes nothing, if it is invalid."""
        commit(self._loading(state))

    def _loading(self, state):
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        try:
            scale = checked_number("GradScaler", "scale", state["scale"])
            good, skipped = (
                check_integer("GradScaler", name, state[name], 0) for name in ("good", "skipped")
            )
            if not scale:
                raise ValueError("scale is 0")
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"[GradScaler] the state is none of a GradScaler: {error!r}; nothing was changed"
            ) from error
        changes = partial(setattr, self, "skipped", skipped), partial(self._unscaled.clear)
        return [*changes, *self._start(scale, good)]


def _unscaled(optimizer, scale):
    """Pairs of parameters and their gradients divided by `scale`; and whether all are finite."""
    pairs, answers = [], []
    with np.errstate(over="ignore"):  # with a scale below 1; then the step is skipped
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            if p.grad is not None:
                rows = p.grad.coalesce() if type(p.grad) is SparseRows else None
                grad = numbers(p.grad)
                xp = backend.of(grad).xp
                grad = xp.asarray(narrow(wide(grad) / scale, grad.dtype))  # float16 ends at 65504
                pairs.append((p, wrap(grad) if rows is None else rows.with_values(grad)))
                answers.append(xp.isfinite(grad).all())
    return pairs, all(map(bool, answers))  # only here is a GPU waited for
