"""GradScaler: a loss that is scaled up, so that small gradients survive float16."""

import math

from tinygrad_like import backend
from tinygrad_like.engine import Tensor
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
        self._scale, self._growth, self._backoff = float(scale), float(growth), float(backoff)
        self._interval, self._good, self.skipped = interval, 0, 0
        self._enabled = enabled
        self._unscaled: dict[Optimizer, bool] = {}  # optimizer: whether its gradients are finite

    @property
    def current_scale(self):
        """What the loss is multiplied by now."""
        return self._scale

    def scale(self, loss):
        """loss * scale, to call `backward` on, in float32 at least."""
        if not isinstance(loss, Tensor):
            raise TypeError(f"[GradScaler] loss is {describe(loss)}, expected a Tensor")
        return loss * self._scale if self._enabled else loss

    def unscale(self, optimizer):
        """Divide the gradients of an optimizer's parameters by the scale, once for each step.

        Raises ValueError if that was done since the last step.
        """
        if optimizer in self._unscaled:
            raise ValueError("[GradScaler] the gradients were unscaled already; call step first")
        if not self._enabled:
            return
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
        finite = self._unscaled.pop(optimizer)
        if finite:
            optimizer.step()
            self._good += 1
            if self._good == self._interval:
                self._scale, self._good = min(self._scale * self._growth, 2.0**127), 0
        else:
            self.skipped += 1
            self._scale, self._good = max(self._scale * self._backoff, 2.0**-126), 0
        return finite

    def state_dict(self):
        """What `load_state_dict` needs to go on to the same bits."""
        return {"scale": self._scale, "good": self._good, "skipped": self.skipped}

    def load_state_dict(self, state):
        """Go on from a state. Raises ValueError, changing nothing, for what is none."""
        try:
            scale, good, skipped = (state[name] for name in ("scale", "good", "skipped"))
            scale, good, skipped = float(scale), int(good), int(skipped)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"[GradScaler] {describe(state)} is no state of one") from error
        self._scale, self._good, self.skipped = scale, good, skipped
