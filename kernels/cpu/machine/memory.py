"""A pool that reuses the memory of freed arrays, instead of fetching new pages from the system.

A new large array is made of new pages, and fetching a page takes longer than writing it. So a
large result lies on a block of memory that outlives it: when the last array on the block is freed,
the block waits here for a result of its size, or of at least half its size if there is no better
one. Training repeats a few sizes, so few blocks wait in vain.

How a block comes back: a result's base is its loan, and a weak reference to the loan knows the
block. Its callback is the `extend` of a deque, so that the interpreter puts the block there when
the result and all views of it are gone. No Python code runs at that moment. A `__del__` would run
some, and an exception that a signal handler raises while it runs (KeyboardInterrupt among them) is
printed and then lost.

Up to MOST_WAITING bytes wait, and as many again may have come back since something was last asked
for; `release` gives them to the system.
"""

import itertools
import math
import weakref
from collections import deque

import numpy as np

SMALLEST = 1 << 17  # bytes; for less, malloc is as good
UNIT = 1 << 18  # bytes of a block that count as one entry in `_returned`
MOST_WAITING = 1 << 28  # bytes
RECOUNT = 64  # results after which the waiting bytes are counted anew
LINE = 64  # a cache line, to which blocks are aligned
PAGE = 4096
SLICE = 1 << 12  # elements of a slice, up to which a view of whole rows is not worth making
# Where blocks begin in a page, in turns. A processor compares only the lower bits of the address of
# a load with those of earlier stores, and waits where they agree. NumPy's arrays begin at 16.
BEGINNINGS = itertools.cycle((1088, 2112, 3136))


class _Block(np.ndarray):
    """Memory to be lent.

    Its class differs from a result's: NumPy makes the lowest array of a view's own class the base
    of the view. So the base of a result is its loan, and not the block below that.
    """


class _Lender(np.ndarray):
    """The base of a loan. It keeps the `_Return` alive until the loan is freed."""

    returning: "_Return"


class _Loan(np.ndarray):
    """The base of a result. While it is alive, the block is lent."""

    is_loan = True  # an array with such a base is the owner of its memory


class _Return(weakref.ref):
    """A weak reference to a loan that yields, when iterated, the entries of its block: None for
    each UNIT but one, then the block.

    Each instance has the `__iter__` of a tuple as its own, so iterating runs no Python code.
    """

    __slots__ = ("__iter__",)


# The blocks that came back. Each has as many entries as it has units, itself the last of them, so
# the length of the deque, beyond which it drops the oldest, bounds the bytes. A block of less than
# a unit has one entry.
_returned: deque[_Block | None] = deque(maxlen=MOST_WAITING // UNIT)
# Blocks to be lent, by size; in each list the block that was freed last is at the end.
_waiting: dict[int, list[_Block]] = {}
_about_waiting = 0  # bytes that wait, about: of two threads that add at once, one may be lost
_collections = itertools.count(1)

# There is no lock. Each step on these containers is one call that the interpreter does not divide;
# where a thread or a signal handler comes between two steps, a block is freed, never lent twice.


def empty(shape, dtype, lasting=False):
    """An uninitialised C-contiguous array for a result.

    With `lasting`, for an array that is kept for long, it is never placed on a larger block, whose
    rest would be lost for as long.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    block = _block(size, lasting)
    lender = block.view(_Lender)
    loan = lender.view(_Loan)
    result = np.ndarray(shape, dtype, loan)
    if block.size <= MOST_WAITING:
        returning = lender.returning = _Return(loan, _returned.extend)
        entries = (None,) * (block.size // UNIT - 1) + (block,)
        returning.__iter__ = entries.__iter__  # type: ignore[method-assign]
    return result


class _Unmarked:
    """Offers an array's memory by NumPy's protocol, without the mark that it is read-only."""

    def __init__(self, array):
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}
        self.array = array


def writable(x):
    """The array itself or, if it is marked as read-only (broadcast views are), an unmarked view.

    For arguments that a kernel only reads: numba would compile it once more for marked arrays.
    """
    return x if x.flags.writeable else np.asarray(_Unmarked(x))


def plain(x):
    """The array or a copy: C-contiguous, aligned and, see `writable`, not marked as read-only."""
    return writable(x) if x.flags.c_contiguous and x.flags.aligned else x.copy(order="C")


def lines_of(x):
    """A C-contiguous array whose part [:A, :R, :B] is x, in the memory of x, or None.

    Only that part may be read: the array may reach beyond the memory of x.
    """
    (a, r, b), (block, row, step), size = x.shape, x.strides, x.itemsize
    if b == 1:  # runs of r elements
        shape, line, fits = (a, block // size, 1), block, row == size and block >= r * size
    else:
        rows = r if a == 1 else block // row if row else 0
        shape, line = (a, rows, row // size), row
        fits = step == size and row >= b * size and rows >= r and (a == 1 or block % row == 0)
    if x.size <= SLICE or not fits or line % size:
        return None
    return np.lib.stride_tricks.as_strided(
        x, shape, (shape[1] * shape[2] * size, shape[2] * size, size)
    )


def _block(size, lasting):
    _collect()
    waiting = _waiting.get(size)
    if not waiting and not lasting:
        larger = [other for other in list(_waiting) if size < other <= 2 * size]
        waiting = _waiting.get(min(larger)) if larger else None
    if waiting:
        try:
            block = waiting.pop()
        except IndexError:  # another thread was faster
            pass
        else:
            if not waiting:
                _waiting.pop(block.size, None)
            return block
    memory = np.empty(size + 2 * PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE + next(BEGINNINGS)
    return memory[start : start + size].view(_Block)


def _collect():
    """Move the blocks that came back to those that wait, up to the limit."""
    global _about_waiting
    while _returned:
        try:
            block = _returned.popleft()
        except IndexError:  # another thread was faster
            break
        if block is None:
            continue
        size = block.size
        _about_waiting += size
        waiting = _waiting.get(size)
        if waiting is None:
            waiting = _waiting.setdefault(size, [])
        waiting.append(block)
    if _about_waiting > MOST_WAITING or next(_collections) % RECOUNT == 0:
        while (total := waiting_bytes()) > MOST_WAITING:
            oldest = next(iter(list(_waiting)), None)  # the size whose list was made first
            blocks = _waiting.get(oldest)
            if blocks:
                del blocks[:1]
            if not blocks:
                _waiting.pop(oldest, None)
        _about_waiting = total


def waiting_bytes():
    """How many bytes wait to be lent."""
    return sum(size * len(blocks) for size, blocks in list(_waiting.items()))


def release():
    """Give the waiting blocks back to the system."""
    _returned.clear()
    _waiting.clear()
