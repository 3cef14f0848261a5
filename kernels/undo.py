"""Blocks whose end takes back what they changed, whatever is raised meanwhile.

Python runs the handlers of signals, which may raise (Ctrl-C does), as a function written in Python
begins. So an `__exit__` in Python, or a function that a `finally` calls, may be left before its
first line, and what it should have taken back stays as it is: recording stays off, say.
"""

import io
from collections import deque
from functools import partial

_make = partial.__call__
_run_through = deque(maxlen=0).extend


class Undoing(io.IOBase):
    """A `with` block at whose end `changes` are made, a list of `functools.partial` objects.

    The changes call C code, as `dict.update` and `setattr` are, and so is the rest of the way to
    them: the `__exit__` of io.IOBase, which calls `close`, and the loop. No handler of a signal
    runs in between.

    >>> settings = {"checked": False}
    >>> with Undoing([partial(settings.update, checked=False)]):
    ...     settings["checked"] = True
    >>> settings
    {'checked': False}
    """

    closed = True  # else io.IOBase would call `close` when the object goes

    def __init__(self, changes=()):
        self._at_end(changes)

    def _at_end(self, changes):
        self.close = partial(_run_through, map(_make, changes))

    def __enter__(self):
        return self
