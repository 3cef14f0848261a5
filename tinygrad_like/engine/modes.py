"""What is on in this thread: recording, debugging, autocast, a forward; and the switches of it."""

import inspect
import threading
from contextlib import ContextDecorator
from operator import attrgetter
from typing import Any


class _Mode(threading.local):
    recomputing = False  # whether a checkpointed function runs for the second time
    unusual = False  # whether debug or autocast is on
    plain = True  # whether calls are recorded and nothing is unusual: what a short path asks for
    _grad = True
    _debug = False
    _autocast: Any = None

    def __init__(self):  # once in each thread
        # While Modules run: the serial number at which the outermost one began. A list, since
        # changing it is quicker than setting an attribute of a thread.
        self.running: list[int] = []

    def _set(self, **flags):
        vars(self).update(flags)
        self.unusual = self._debug or self._autocast is not None
        self.plain = self._grad and not self.unusual

    grad = property(
        attrgetter("_grad"),
        lambda self, value: self._set(_grad=value),
        doc="Whether calls are recorded.",
    )
    debug = property(
        attrgetter("_debug"),
        lambda self, value: self._set(_debug=value),
        doc="Whether what is saved is fingerprinted.",
    )
    autocast = property(
        attrgetter("_autocast"),
        lambda self, value: self._set(_autocast=value),
        doc="The half type that products are computed in, or None.",
    )


mode = _Mode()


class _SetMode(ContextDecorator):
    """Sets one flag of `mode` inside a `with` block or a decorated function."""

    name, value = "grad", True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def _recreate_cm(self):
        return type(self)()  # a decorated function may run in several threads at once

    def __call__(self, function):
        if inspect.isgeneratorfunction(function):
            raise TypeError(
                f"[{type(self).__name__}] cannot decorate a generator, whose body runs later; "
                "use a with block inside it"
            )
        return super().__call__(function)

    def __enter__(self):
        self._before.append(getattr(mode, self.name))
        setattr(mode, self.name, self.value)
        return self

    def __exit__(self, *exception):
        setattr(mode, self.name, self._before.pop())


class no_grad(_SetMode):
    """Inside this block, or function if used as a decorator, nothing is recorded."""

    name, value = "grad", False


class enable_grad(_SetMode):
    """Inside this block, or function if used as a decorator, calls are recorded again."""

    name, value = "grad", True


class debug(_SetMode):
    """Inside this block every recorded call keeps its source line and checksums of what it saved.

    A backward pass then names the line of the forward call in its errors, and notices saved
    arrays that were changed behind the library's back (through `.data` or a NumPy alias).
    Slow: each saved array is read twice.
    """

    name, value = "debug", True
