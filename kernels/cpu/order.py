"""The order of rows, and their largest elements, see kernels/reference/order.py.

NumPy sorts fastest where equal elements may come in any order: these are put right afterwards.

Of the largest, few are kept in order while a row is read: most elements are compared with the least
of them, and are no larger. Of many, NumPy finds the least, and they are put in order then.
"""

import numpy as np

from .machine.compile import jit
from .machine.kernel import REAL, kernel
from .machine.memory import empty
from .machine.simd import inlined
from .machine.threads import pool, run, share, tasks_for

SMALL = 1 << 12  # elements, up to which sorting is quick enough and needs no compiler
TASK = 1 << 15  # elements that are worth a thread
FEW = 64
MANY = 8  # where one in so many elements equals another one, it is quicker to sort stably
SORTED = *REAL, np.dtype(np.int64)


@kernel("x", dtypes=SORTED)
def argsort(x):
    """The places of each row of x (n, m) in the rising order of their elements."""
    if x.size <= SMALL:
        return NotImplemented
    order = np.argsort(x, axis=1)
    values = np.take_along_axis(x, order, 1)
    before, after = values[:, :-1], values[:, 1:]
    repeats = np.zeros(x.shape, bool)  # whether an element equals the one before it
    repeats[:, 1:] = (before == after) | (before != before)
    count = np.count_nonzero(repeats)
    if MANY * count > x.size:
        return NotImplemented
    if count:
        repeated = repeats.copy()
        repeated[:, :-1] |= repeats[:, 1:]
        tied = np.flatnonzero(repeated)
        run = np.cumsum(~repeats.reshape(-1)[tied])
        places = order.reshape(-1)[tied]
        order.reshape(-1)[tied] = places[np.lexsort((places, run))]
    return order


@kernel("x")
def top_places(x, k):
    """The places of the k largest elements of each row of x (n, m), in falling order: (n, k)."""
    if x.size <= SMALL or not k:
        return NotImplemented
    if k <= FEW:
        places = empty((len(x), k), np.int64)
        _top(pool(), x, places)
        return places
    least = np.partition(x, x.shape[1] - k, axis=1)[:, x.shape[1] - k, None]
    if (least != least).any():
        return NotImplemented
    return _in_order(x, _chosen(x, k, least).nonzero()[1].reshape(-1, k))


def _chosen(x, k, least):
    """Which elements are the k largest: of those that equal the least, the first ones.

    NaN is not below anything, and so among them.
    """
    chosen = ~(x < least)
    if np.count_nonzero(chosen) > k * len(x):
        equal = x == least
        above = chosen & ~equal
        missing = k - np.count_nonzero(above, axis=1, keepdims=True)
        chosen = above | (equal & (np.cumsum(equal, axis=1) <= missing))
    return chosen


def _in_order(x, places):
    """Places that rise, in the falling order of their elements; equal ones keep their order."""
    flipped = np.ascontiguousarray(np.take_along_axis(x, places, 1)[:, ::-1])
    order = argsort(flipped)[:, ::-1]
    return np.take_along_axis(places, places.shape[1] - 1 - order, 1)


@inlined
def _is_larger(a, b):
    return a > b or (a != a and b == b)


@jit
def _top(pool, x, places):
    tasks = max(1, min(tasks_for(pool, x.size, TASK), x.shape[0]))
    run(pool, _top_part, (x, places), tasks)


@jit
def _top_part(task, tasks, x, places):
    k = places.shape[1]
    best = np.empty(k, x.dtype)
    for n in range(*share(task, tasks, x.shape[0])):
        row, at, held = x[n], places[n], 0
        for i in range(row.size):
            value = row[i]
            if held == k and not _is_larger(value, best[k - 1]):
                continue
            j = min(held, k - 1)
            held = j + 1
            while j > 0 and _is_larger(value, best[j - 1]):
                best[j], at[j] = best[j - 1], at[j - 1]
                j -= 1
            best[j], at[j] = value, i
