"""Exceptions raised at any moment of an action, and states before and after it, to be compared."""

import gc
import inspect
import signal
import sys

import numpy as np
import pytest

needs_timers = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system, as Windows, has no signal.setitimer"
)


class Interruption(BaseException):
    """Stands for what a signal's handler raises."""


def frozen(value):
    """A state as something that can be compared: arrays and Tensors as their bytes."""
    if isinstance(value, dict):
        return {key: frozen(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [frozen(child) for child in value]
    if hasattr(value, "numpy"):
        value = value.numpy()
    return (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


OURS = "tinygrad_like", "kernels"


def interrupted_at_every_line(make, within=OURS):
    """Run an action again and again, and raise at its first line, its second, and so on.

    The start of a function counts as a line. Of the lines those count that are in files whose path
    has a part that is in `within`.

    `make()` returns an action and a function of what it changes. Wherever the exception comes,
    the state has to be what it was before the action or what it is after it.

    Returns how often it was each.
    """
    act, look = make()
    before = frozen(look())
    act()
    after = frozen(look())
    assert before != after
    counts = {"before": 0, "after": 0}
    line = 0
    while True:
        act, look = make()
        assert frozen(look()) == before
        line += 1
        if not _interrupted_at(line, act, within):
            assert line > 1, f"the action runs no line of {within}"
            return counts
        found = frozen(look())
        assert found in (before, after), f"a half of it was done when line {line} was interrupted"
        counts["after" if found == after else "before"] += 1


def _interrupted_at(line, act, within):
    """Run an action and raise at the line of this number; returns whether it came so far."""
    left = [line]

    def trace(frame, event, argument):
        if not any(part in frame.f_code.co_filename for part in within):
            return None
        # A generator that goes is called once more, to end it, and sees no signal then.
        starts = event == "call" and not frame.f_code.co_flags & inspect.CO_GENERATOR
        if event == "line" or starts:
            left[0] -= 1
            if left[0] == 0:
                raise Interruption
        return trace

    outer = sys.gettrace()
    with np.errstate():  # one within may be left at a line where no signal comes: before its end
        sys.settrace(trace)
        try:
            act()
        except Interruption:
            return True
        finally:
            sys.settrace(outer)
    return False


class Alarms:
    """Inside this block a handler raises Interruption, each time after a random while.

    The collector's callbacks (hypothesis has one) do not run meanwhile: what is raised in them is
    printed and lost.
    """

    def __init__(self, rng, longest):
        self._rng, self._longest = rng, longest
        self.raised = 0

    def _raise(self, *_):
        self.raised += 1
        raise Interruption

    def __enter__(self):
        self._callbacks = gc.callbacks[:]
        gc.callbacks.clear()
        self._handler = signal.signal(signal.SIGALRM, self._raise)
        return self

    def set(self):
        """Raise once, at some moment from now on."""
        signal.setitimer(signal.ITIMER_REAL, self._rng.uniform(1e-6, self._longest))

    def stop(self):
        """Raise no more after this. A signal that came during it is heeded as a function begins."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._heed()

    def _heed(self):
        pass

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._handler)
        gc.callbacks.extend(self._callbacks)
