"""A pool that reuses the memory of freed arrays, instead of fetching new pages from the system.

A new large array is made of new pages, and fetching a page takes longer than writing it. So a
large result lies on a block of memory that outlives it: when the last array on the block is freed,
the block waits here for a result of its size, or of at least half its size if there is no better
one. Training repeats a few sizes, so few blocks wait in vain.

How a block comes back: a weak reference to the result holds the block, and its callback is the
`append` of a deque, so the interpreter puts the reference into the deque when the result is freed.
No Python code runs at that moment. A `__del__` would run some, and an exception that a signal
handler raises while it runs (KeyboardInterrupt among them) is printed and then lost.
"""

import itertools
import math
import weakref
from collections import deque
from typing import Any

import numpy as np

SMALLEST = 1 << 17  # bytes; for less, malloc is as good
MOST_WAITING = 1 << 28  # bytes
MOST_RETURNED = 1 << 27  # bytes of one class of sizes between two results
LINE = 64  # a cache line, to which blocks are aligned
PAGE = 4096
# Where blocks begin in a page, in turns: a processor compares the lower bits of the addresses of
# loads and of stores before them, and waits where these overlap. NumPy's arrays begin at 16.
BEGINNINGS = itertools.cycle((1088, 2112, 3136))


class _Block(np.ndarray):
    """Memory to be lent. Its class differs from a result's, since NumPy takes as the base of a view
    the lowest array of the view's own class: so a result's base is its loan, not what is below."""


class _Loan(np.ndarray):
    """The base of a result: the block that it lies on, and what brings the block back."""

    is_loan = True  # an array with such a base is the owner of its memory
    returning: "_Return"


class _Return(weakref.ref):
    """A weak reference to a result, which holds the block that the result lies on."""

    __slots__ = ("block",)
    block: _Block


# Blocks whose result was freed, as dead _Return, by the bit length of their size. The interpreter
# fills these deques, which drop the oldest beyond their length: that bounds what a program keeps
# that frees a lot and then asks for nothing.
_returned = {
    kind: deque[Any](maxlen=max(1, MOST_RETURNED >> kind))
    for kind in range(SMALLEST.bit_length(), MOST_WAITING.bit_length() + 1)
}
_all_returned = tuple(_returned.values())
# Blocks to be lent, by size; in each list the block that was freed last is at the end.
_waiting: dict[int, list[_Block]] = {}
_most_waiting = 0  # bytes: an upper bound of what waits, exact when it was last counted

# There is no lock. Each step on these containers is one call that the interpreter does not divide;
# where a thread or a signal handler comes between two steps, a block is freed, never lent twice.


def empty(shape, dtype, lasting=False):
    """An uninitialised C-contiguous array for a result.

    With `lasting`, it does not lie on a larger block, since the rest would be lost for as long.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    block = _block(size, lasting)
    loan = block.view(_Loan)
    result = np.ndarray(shape, dtype, loan)
    size = block.size
    if size <= MOST_WAITING:
        returning = loan.returning = _Return(result, _returned[size.bit_length()].append)
        returning.block = block
    return result


class _Unmarked:
    """The memory of an array, which it holds, by NumPy's protocol."""

    def __init__(self, array):
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}
        self.array = array


def writable(x):
    """An array as it is, or its memory if it is marked as read-only, as broadcast views are.

    For arguments that a kernel only reads: numba would compile it once more for marked arrays.
    """
    return x if x.flags.writeable else np.asarray(_Unmarked(x))


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
    global _most_waiting
    for returned in _all_returned:
        while returned:
            try:
                block = returned.popleft().block
            except IndexError:  # another thread was faster
                break
            size = block.size
            _most_waiting += size
            waiting = _waiting.get(size)
            if waiting is None:
                waiting = _waiting.setdefault(size, [])
            waiting.append(block)
    if _most_waiting > MOST_WAITING:
        while (total := waiting_bytes()) > MOST_WAITING:
            oldest = next(iter(list(_waiting)), None)  # the size that was asked for the longest ago
            blocks = _waiting.get(oldest)
            if blocks:
                del blocks[-1:]
            if not blocks:
                _waiting.pop(oldest, None)
        _most_waiting = total


def waiting_bytes():
    """How much memory waits to be lent."""
    return sum(size * len(blocks) for size, blocks in list(_waiting.items()))


def release():
    """Give the waiting blocks back to the system."""
    for returned in _all_returned:
        returned.clear()
    _waiting.clear()
