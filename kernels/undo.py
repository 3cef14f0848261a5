"""`with` blocks that undo their changes when they end, even if an exception ends them.

Python runs the handlers of signals, which may raise (Ctrl-C does), as a function written in Python
begins. So an `__exit__` in Python, or a function that a `finally` calls, may be left before its
first line, and the change that it should have undone remains: recording stays off, say.
"""

import io
from collections import deque
from functools import partial

_make = partial.__call__
_run_through = deque(maxlen=0).extend


class Undoing(io.IOBase):
    """A `with` block that ends by making `changes`, a list of `functools.partial` objects.

    The changes have to call C code, such as `dict.update` and `setattr`. All code that leads to
    them is C code as well: the `__exit__` of io.IOBase, which calls `close`, and the loop over the
    changes. So no signal handler runs in between.

    >>> settings = {"checked": False}
    >>> with Undoing([partial(settings.update, checked=False)]):
    ...     settings["checked"] = True
    >>> settings
    {'checked': False}
    """

    closed = True  # else io.IOBase would call `close` when the object is freed

    def __init__(self, changes=()):
        self._at_end(changes)

    def _at_end(self, changes):
        self.close = partial(_run_through, map(_make, changes))

    def __enter__(self):
        return self
