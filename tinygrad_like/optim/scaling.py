"""GradScaler: a loss that is scaled up, so that small gradients survive float16."""

import math

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import is_half
from tinygrad_like.engine import Tensor, astype
from tinygrad_like.engine.errors import describe
from tinygrad_like.optim.optimizers import Optimizer
from tinygrad_like.optim.parameters import checked_number


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
    Several optimizers can share the gradients of one loss: all of them step before the next one is
    scaled, and count as one step.
    With a scale of 1 and `growth=1` (bfloat16, float32) it only skips bad steps; with
    `enabled=False` it leaves loss and gradients alone and makes every step.

    Args:
        scale: the first one. growth, backoff: factors, at least 1 and below 1. interval: steps.
        enabled: False for a run in another precision, by the same code.

    Attributes:
        skipped: how many steps were skipped so far.

    Raises TypeError and ValueError for settings that are no such numbers.
    Source: Micikevicius et al. 2018, "Mixed precision training", section 3.2.
    """

    def __init__(self, scale=2.0**16, *, growth=2.0, backoff=0.5, interval=2000, enabled=True):
        for name, value in (("scale", scale), ("growth", growth), ("backoff", backoff)):
            checked_number("GradScaler", name, value)
        if not 0 < scale < math.inf or growth < 1 or not 0 < backoff < 1:
            raise ValueError(
                f"[GradScaler] scale {scale}, growth {growth}, backoff {backoff}; expected a "
                "positive scale, a growth of at least 1 and a backoff between 0 and 1"
            )
        if not isinstance(interval, int) or interval < 1:
            raise ValueError(f"[GradScaler] interval is {interval!r}, expected a positive integer")
        self._growth, self._backoff = float(growth), float(backoff)
        self._interval, self._enabled, self.skipped = interval, enabled, 0
        self._unscaled: dict[Optimizer, bool] = {}  # optimizer: whether its gradients are finite
        self._start(float(scale), 0)

    def _start(self, scale, good):
        """Begin a step with this scale, after so many good ones."""
        self._scale, self._good = scale, good
        self._next = scale, good  # what the next step begins with
        self._stepped: dict[Optimizer, bool] = {}  # as _unscaled, of those that have stepped

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
            self._start(*self._next)
        return (astype(loss, dtype=np.float32) if is_half(loss.dtype) else loss) * self._scale

    def unscale(self, optimizer):
        """Divide the gradients of an optimizer's parameters by the scale, once for each step.

        Raises ValueError if that was done since the last step.
        """
        if optimizer in self._unscaled:
            raise ValueError("[GradScaler] the gradients were unscaled already; call step first")
        if not self._enabled:
            return
        if optimizer in self._stepped:
            self._start(*self._next)
        finite = True
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    grad = p.grad.data
                    p.grad = Tensor(grad / self._scale)
                    finite = finite and bool(backend.of(grad).xp.isfinite(grad).all())
        self._unscaled[optimizer] = finite

    def step(self, optimizer):
        """Unscale, if that was not done; step, unless a gradient is not finite; adapt the scale.

        Returns whether the step was done.
        """
        if not self._enabled:
            optimizer.step()
            return True
        if optimizer not in self._unscaled:
            self.unscale(optimizer)
        finite = self._stepped[optimizer] = self._unscaled.pop(optimizer)
        if finite:
            optimizer.step()
        else:
            self.skipped += 1
        if not all(self._stepped.values()):
            self._next = max(self._scale * self._backoff, 2.0**-126), 0
        elif self._good + 1 >= self._interval:
            self._next = min(self._scale * self._growth, 2.0**127), 0
        else:
            self._next = self._scale, self._good + 1
        return finite

    def state_dict(self):
        """What `load_state_dict` needs to go on, after a step, to the same bits."""
        scale, good = self._next
        return {"scale": scale, "good": good, "skipped": self.skipped}

    def load_state_dict(self, state):
        """Go on from a state. Raises ValueError, changing nothing, for what is none."""
        try:
            scale, good, skipped = (state[name] for name in ("scale", "good", "skipped"))
            scale, good, skipped = float(scale), int(good), int(skipped)
            if not 0 < scale < math.inf or min(good, skipped) < 0:
                raise ValueError(f"scale {scale}, good {good}, skipped {skipped}")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"[GradScaler] {describe(state)} is no state of one") from error
        self.skipped = skipped
        self._unscaled.clear()
        self._start(scale, good)
