"""commit: changes that are made either all together or not at all.

Everything that can fail is done first, on the side: memory is allocated, values are checked and
converted. The changes themselves become calls without arguments, which `commit` makes in one go.
"""

from collections import deque
from functools import partial
from itertools import islice
from operator import length_hint

ATTEMPTS = 10  # at a change that raises each time: it should never, so that is a defect

_nothing: deque = deque(maxlen=0)
run_through = _nothing.extend  # consumes an iterator and keeps nothing of it

_make = partial.__call__


def commit(changes):
    """Make all changes, a list of `functools.partial` objects, even if something raises meanwhile.

    Python runs the handlers of signals, which may raise (Ctrl-C does), between its instructions.
    The loop is C code that takes no memory between two changes, and what the changes call is C
    code, as a rule; so no handler runs before the last change is made. A change that runs Python
    must be one that can be made twice, since it is made again if it was interrupted. The first
    exception is raised when all changes are made.

    >>> state = {"step": 1}
    >>> commit([partial(state.update, step=2), partial(state.__setitem__, "rate", 0.1)])
    >>> state
    {'step': 2, 'rate': 0.1}
    """
    marks = iter(changes)  # advances by one after each change that is made
    left = len(changes)
    first = None
    attempts = 0
    try:
        while True:
            try:
                todo = changes if first is None else islice(changes, len(changes) - left, None)
                run_through(zip(map(_make, todo), marks))  # noqa: B905 (a keyword costs time)
                break
            except BaseException as error:
                first = first or error
                before, left = left, length_hint(marks)
                attempts = attempts + 1 if left == before else 0
                if attempts == ATTEMPTS:
                    raise
        if first is not None:
            raise first
    finally:
        first = None  # its traceback holds this frame: no cycle is left
