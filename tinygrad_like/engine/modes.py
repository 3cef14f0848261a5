"""The modes of a thread (recording, debug, autocast, a running forward), and their switches."""

import inspect
import threading
from contextlib import ContextDecorator
from functools import partial, wraps
from typing import Any

from tinygrad_like.backend import Undoing

# The value of each mode unless a switch changes it.
USUAL: dict[str, Any] = {
    "grad": True,
    "debug": False,
    "autocast": None,
    "vmap": None,
    "trace": None,
    "steps": False,
    "profile": None,
}
NOT_RECORDED = {"grad": False}  # what is changed inside no_grad alone


class _Mode(threading.local):
    """The modes of a thread.

    Only modes with another value than the usual one are kept, in `changed`. So a call asks one
    dictionary whether anything is unusual, and a switch changes one entry, which no signal can
    interrupt.
    """

    recomputing = False  # whether a checkpointed function runs for the second time

    def __init__(self):  # once in each thread
        self.changed: dict[str, Any] = {}
        # While Modules run: the serial number at which the outermost one began. A list, since
        # changing it is quicker than setting an attribute of a thread.
        self.running: list[int] = []

    @property
    def grad(self):
        """Whether calls are recorded."""
        return "grad" not in self.changed

    @property
    def autocast(self):
        """The half type that products are computed in, or None."""
        return self.changed.get("autocast")

    @property
    def steps(self):
        """Whether gradcheck takes complex steps."""
        return "steps" in self.changed

    @property
    def profile(self):
        """What records the time of each call, a `tg.profile`, or None."""
        return self.changed.get("profile")

    @property
    def vmap(self):
        """The innermost vmap that runs, an engine.Level, or None."""
        return self.changed.get("vmap")


mode = _Mode()


def timed_step(step):
    """A method that updates parameters, whose time a profile shows under its object's class."""

    @wraps(step)
    def run(self, *args, **kwargs):
        if "profile" not in mode.changed:
            return step(self, *args, **kwargs)
        with mode.changed["profile"].part("optimizer", self):
            return step(self, *args, **kwargs)

    return run


def tell_of_reading(tensor):
    """Tell what records all calls, if anything does, that values of a Tensor go to Python."""
    if mode.changed and "trace" in mode.changed:
        mode.changed["trace"].read(tensor)


def tell_of_copy(array, copy):
    """Tell what records all calls, if anything does, that an op gets a copy of an array.

    Returns whether its values depend on an input of what is recorded.
    """
    return "trace" in mode.changed and mode.changed["trace"].copied(array, copy)


class Switch(ContextDecorator, Undoing):
    """Sets one of the modes to a value inside a `with` block or a decorated function."""

    def __init__(self, name, value):
        super().__init__()
        self.name, self.value = name, value

    def _recreate_cm(self):  # a decorated function may run in several threads at once
        return Switch(self.name, self.value)

    def __call__(self, function):
        if not callable(function):
            raise TypeError(
                f"[{type(self).__name__}] takes no arguments: use it in a with block, or as a "
                "decorator of a function"
            )
        if (
            inspect.isgeneratorfunction(function)
            or inspect.iscoroutinefunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise TypeError(
                f"[{type(self).__name__}] cannot decorate a generator or an async function, whose "
                "body runs later; use a with block inside it"
            )
        return super().__call__(function)

    def __enter__(self):
        changed, name, value = mode.changed, self.name, self.value
        if name in changed:
            back = partial(changed.__setitem__, name, changed[name])
        else:
            back = partial(changed.pop, name, None)
        # The same switch may be entered again inside its block.
        self._at_end([back, partial(setattr, self, "close", self.close)])
        if value is not USUAL[name]:
            changed[name] = value
        elif name in changed:
            del changed[name]
        return self


class _Plain(Switch):
    """A switch without arguments: as a decorator it may go without its parentheses."""

    def __new__(cls, function=None):
        return super().__new__(cls) if function is None else cls()(function)


class no_grad(_Plain):
    """Inside this block, or function if used as a decorator, nothing is recorded."""

    def __init__(self):
        super().__init__("grad", False)


class enable_grad(_Plain):
    """Inside this block, or function if used as a decorator, calls are recorded again."""

    def __init__(self):
        super().__init__("grad", True)


class debug(_Plain):
    """Inside this block every recorded call keeps its source line and checksums of what it saved.

    A backward pass then names the line of the forward call in its errors, and notices saved
    arrays that were changed behind the library's back (through `.data` or a NumPy alias).
    Slow: each saved array is read twice.
    """

    def __init__(self):
        super().__init__("debug", True)


class complex_steps(_Plain):
    """Inside this block complex numbers stand for real ones that are moved by a complex step.

    They are neither refused nor conjugated, for gradcheck.
    """

    def __init__(self):
        super().__init__("steps", True)
