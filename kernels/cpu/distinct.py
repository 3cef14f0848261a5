"""Distinct elements of a row, and the most frequent one: see kernels/reference/order.py.

Integers that lie close together are counted in a table, others are put in order by their digits,
from the last to the first one. Floating-point numbers are put in order by NumPy.
"""

import numpy as np

from .machine.compile import jit
from .machine.kernel import REAL, kernel
from .machine.memory import empty
from .machine.simd import inside
from .machine.threads import pool, run, share, tasks_for

SMALL = 1 << 12  # elements, up to which NumPy is quick enough and needs no compiler
TASK = 1 << 15  # elements that are worth a thread
SPARSE = 4  # places of the table for an element, up to which elements are counted in one
DIGIT = 8  # bits
INT64 = np.dtype(np.int64)


@kernel("x", dtypes=(*REAL, INT64))
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


@kernel("x", dtypes=(*REAL, INT64))
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


@jit
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
