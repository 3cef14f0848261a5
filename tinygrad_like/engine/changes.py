"""commit: changes that are made all together, or not at all.

Whatever can fail is done first and aside: room is made, values are checked and converted. The
changes themselves become calls without arguments, which `commit` then makes in one go.
"""

from functools import partial

ATTEMPTS = 10  # at a change that raises each time; it should not, so this is a defect

_make = partial.__call__


def commit(changes):
    """Make all changes, a list of `functools.partial` objects, whatever is raised meanwhile.

    Python runs the handlers of signals, which may raise (Ctrl-C does), between its instructions.
    The loop here is C code, and so is what the changes call, as a rule, so no handler runs before
    the last change is made. A change that runs Python must be one that can be made twice, since it
    is made again if it was interrupted. The first exception is raised when all changes are made.

    >>> state = {"step": 1}
    >>> commit([partial(state.update, step=2), partial(state.__setitem__, "rate", 0.1)])
    >>> state
    {'step': 2, 'rate': 0.1}
    """
    made: list = []
    first = None
    attempts = 0
    try:
        while True:
            before = len(made)
            try:
                made.extend(map(_make, changes[before:]))
                break
            except BaseException as error:
                first = first or error
                attempts = attempts + 1 if len(made) == before else 0
                if attempts == ATTEMPTS:
                    raise
        if first is not None:
            raise first
    finally:
        first = None  # its traceback holds this frame: no cycle is left
