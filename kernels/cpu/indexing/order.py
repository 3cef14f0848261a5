"""The order of rows, their largest and distinct elements, see kernels/reference/order.py.

NumPy sorts fastest where equal elements may come in any order: these are put right afterwards.

Of the largest, few are kept in order while a row is read: most elements are compared with the least
of them, and are no larger. Of many, NumPy finds the least, and they are put in order then.

Distinct integers that lie close together are counted in a table, others are put in order by their
digits, from the last to the first one.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import REAL, kernel
from ..machine.memory import empty
from ..machine.simd import body, inlined, inside
from ..machine.threads import pool, run, share, tasks_for

SMALL = 1 << 12  # elements, up to which sorting is quick enough and needs no compiler
TASK = 1 << 15  # elements that are worth a thread
FEW = 64
MANY = 8  # where one in so many elements equals another one, it is quicker to sort stably
INT64 = np.dtype(np.int64)
SORTED = *REAL, INT64
SPARSE = 4  # places of a table for an element, up to which distinct elements are counted in one
DIGIT = 8  # bits


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


@body
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


@kernel("x", dtypes=SORTED)
def unique_places(x, equal_nan):
    """(the first place of each distinct element, the inverse, the counts)."""
    if x.size <= SMALL:
        return NotImplemented
    first, inverse, counts = (empty(x.shape, np.int64) for _ in range(3))
    if x.dtype != INT64:
        order = np.argsort(x)
        if not equal_nan:
            order[x.size - np.count_nonzero(x != x) :].sort()  # NaN, which stand last
        count = _number_runs(x[order], order, equal_nan, first, inverse, counts)
    else:
        least, most = int(x.min()), int(x.max())
        width = most - least + 1
        if width <= SPARSE * x.size:
            table = empty((width,), np.int64)
            count = _number_by_table(x, least, table, first, inverse, counts)
        else:
            room = empty((2, x.size), np.int64), empty((2, x.size), np.int64)
            keys, order = _order_by_digits(x, least, (width - 1).bit_length(), *room)
            count = _number_runs(keys, order, equal_nan, first, inverse, counts)
    return first[:count].copy(), inverse, counts[:count].copy()


@kernel("x", dtypes=SORTED)
def mode_places(x):
    """The first place of the most frequent element of each row."""
    if x.size <= SMALL:
        return NotImplemented
    places = empty((len(x), 1), np.int64)
    _modes(pool(), x, np.sort(x, axis=1), places)
    return places


@jit
def _number_by_table(x, least, table, first, inverse, counts):
    """Number distinct integers by a table of all from the least to the largest one."""
    table[:] = 0
    for i in range(x.size):
        table[x[i] - least] += 1
    met = 0
    for value in range(table.size):
        if table[value]:
            counts[met], first[met], table[value] = table[value], -1, met
            met += 1
    for i in range(x.size):
        number = table[x[i] - least]
        inverse[i] = number
        if first[number] < 0:
            first[number] = i
    return met


@jit
def _order_by_digits(x, least, bits, keys, places):
    """(integers less the least one in rising order, their places, which rise for equal ones)."""
    source, target = 0, 1
    for i in range(x.size):
        keys[0, i], places[0, i] = x[i] - least, i
    starts = np.empty(1 << DIGIT, np.int64)
    for shift in range(0, bits, DIGIT):
        starts[:] = 0
        for i in range(x.size):
            starts[_digit(keys[source, i], shift)] += 1
        total = 0
        for digit in range(starts.size):
            total, starts[digit] = total + starts[digit], total
        for i in range(x.size):
            key = keys[source, i]
            digit = _digit(key, shift)
            at = starts[digit]
            keys[target, at], places[target, at] = key, places[source, i]
            starts[digit] = at + 1
        source, target = target, source
    return keys[source], places[source]


@inside
def _digit(key, shift):
    return np.int64((np.uint64(key) >> np.uint64(shift)) & np.uint64((1 << DIGIT) - 1))


@jit
def _number_runs(values, order, equal_nan, first, inverse, counts):
    """Number the runs of equal values, whose places may come in any order."""
    number = -1
    before = values[0]
    for i in range(order.size):
        place, value = order[i], values[i]
        alike = value == before or (equal_nan and value != value and before != before)
        if i == 0 or not alike:
            number += 1
            first[number], counts[number] = place, 0
        first[number] = min(first[number], place)
        counts[number] += 1
        inverse[place] = number
        before = value
    return number + 1


@jit
def _modes(pool, x, ordered, places):
    tasks = max(1, min(tasks_for(pool, x.size, TASK), x.shape[0]))
    run(pool, _modes_part, (x, ordered, places), tasks)


@body
def _modes_part(task, tasks, x, ordered, places):
    for n in range(*share(task, tasks, x.shape[0])):
        row, values = x[n], ordered[n]
        longest, start, best = 0, 0, values[0]
        for i in range(values.size):
            if values[i] != values[start]:
                start = i
            if i + 1 - start > longest:
                longest, best = i + 1 - start, values[i]
        place = 0  # where all are NaN
        for i in range(row.size):
            if row[i] == best:
                place = i
                break
        places[n, 0] = place
