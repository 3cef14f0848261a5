"""Memory for results: what died lately is given out again, instead of fetched from the system.

A new array of some size is new pages, and to get a page costs more time than to write it. So a
large result lies on a block that outlives it: when the last array on the block has died, the block
waits here for a result of its size, or of half of it at least if there is no better one. Few sizes
recur in training, so few blocks wait in vain.
"""

import itertools
import math
import os
import threading

import numpy as np

SMALLEST = 1 << 17  # bytes; for less, malloc is as good
MOST_WAITING = 1 << 28  # bytes
LINE = 64  # a cache line, to which blocks are aligned
PAGE = 4096
# Where blocks begin in a page, in turns: a processor compares the lower bits of the addresses of
# loads and of stores before them, and waits where these overlap. NumPy's arrays begin at 16.
BEGINNINGS = itertools.cycle((1088, 2112, 3136))


class _Block(np.ndarray):
    """Memory to be lent. A type of its own, lest NumPy make it the base of what lies on a loan."""


_lock = threading.RLock()  # re-entrant: an array may die, and come here, at any allocation
_waiting: dict[int, list[_Block]] = {}  # size -> blocks, the one that died last at the end
_waiting_bytes = 0


class _OnLoan(np.ndarray):
    """A block that is in use: the base of one result, which is the base of all views of it."""

    is_loan = True  # an array with such a base is the owner of its memory

    def __del__(self):
        # A view or a copy of a loan is none; at the end of the process there is nothing to keep.
        if _lock is not None and type(self.base) is _Block:
            _take_back(self.base)


def empty(shape, dtype, lasting=False):
    """An array of any content, C-contiguous: room for a result.

    One that is lasting does not lie on a larger block, whose rest would be lost as long.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, _block(size, lasting).view(_OnLoan))


def _block(size, lasting):
    global _waiting_bytes
    with _lock:
        blocks = _waiting.get(size) or (None if lasting else _slightly_larger(size))
        if blocks:
            block = blocks.pop()
            _waiting_bytes -= block.size
            if not blocks:
                del _waiting[block.size]
            return block
        beginning = next(BEGINNINGS)
    memory = np.empty(size + 2 * PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE + beginning
    return memory[start : start + size].view(_Block)


def _slightly_larger(size):
    """The waiting blocks of the least size above this one, up to twice as large, if there are any.

    An array may die meanwhile, and change what waits: so this walks through a copy of the sizes.
    """
    sizes = [other for other in list(_waiting) if size < other <= 2 * size]
    return _waiting.get(min(sizes)) if sizes else None


def _take_back(block):
    global _waiting_bytes
    size = block.size
    with _lock:
        if size > MOST_WAITING:
            return
        _waiting.setdefault(size, []).append(block)
        _waiting_bytes += size
        while _waiting_bytes > MOST_WAITING:  # those of the size that was asked for least lately
            oldest = next(iter(_waiting))
            blocks = _waiting[oldest]
            if blocks:
                _waiting_bytes -= oldest
                blocks.pop()
            if not blocks:
                del _waiting[oldest]


def _begin_again():
    """In a forked child: a thread that does not exist there may have held the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)


def release():
    """Give the waiting blocks back to the system."""
    global _waiting_bytes
    with _lock:
        _waiting.clear()
        _waiting_bytes = 0
