"""The maxima of bags of rows of a table, see kernels/reference/bag.py.

A task takes whole bags, and for the gradient whole rows of the table: the places of a row's id are
first linked to a list. So no two tasks write to one row, and sums come in the order of the ids.
"""

import numpy as np

from .index import SMALL, TASK, linked, prefetch_row
from .machine.compile import jit
from .machine.kernel import kernel
from .machine.memory import empty
from .machine.threads import pool, run, share, tasks_for


@kernel("table", others="ids counted starts", half=True, kept=(1,))
def bag_maxima(table, ids, counted, starts):
    """(y, ties): the maxima, and how many rows of a bag have each one."""
    if ids.size * table.shape[1] <= SMALL:
        return NotImplemented
    shape = starts.size - 1, table.shape[1]
    y, ties = empty(shape, table.dtype), empty(shape, np.int32)
    _maxima(pool(), table, ids, counted, starts, y, ties)
    return y, ties


@kernel("g table y", others="ids counted bags ties", half=True)
def bag_maxima_backward(g, table, ids, counted, bags, y, ties):
    """dtable: all rows of a bag that have a maximum share its gradient."""
    if ids.size * table.shape[1] <= SMALL:
        return NotImplemented
    dtable = empty(table.shape, table.dtype)
    room = empty((len(table) + 2 * ids.size,), np.int64)
    shares = g / np.maximum(ties, 1).astype(g.dtype)
    _maxima_back(pool(), shares, table, ids, counted, bags, y, dtable, room)
    return dtable


@jit
def _maxima(pool, table, ids, counted, starts, y, ties):
    tasks = min(tasks_for(pool, ids.size * table.shape[1], TASK), max(starts.size - 1, 1))
    run(pool, _maxima_part, (table, ids, counted, starts, y, ties), tasks)


@jit
def _maxima_part(task, tasks, table, ids, counted, starts, y, ties):
    for bag in range(*share(task, tasks, y.shape[0])):
        best, alike = y[bag], ties[bag]
        best[:], alike[:] = 0, 0
        met = False
        for i in range(starts[bag], starts[bag + 1]):
            if not counted[i]:
                continue
            prefetch_row(table, ids, i)
            row = table[ids[i]]
            if not met:
                for j in range(row.size):
                    best[j], alike[j] = row[j], 1
                met = True
                continue
            for j in range(row.size):
                value, old = row[j], best[j]
                more = (value > old) | ((value != value) & (old == old))
                same = (value == old) | ((value != value) & (old != old))
                best[j] = value if more else old
                alike[j] = np.int32(1) if more else alike[j] + np.int32(same)


@jit
def _maxima_back(pool, shares, table, ids, counted, bags, y, dtable, room):
    size = table.shape[0]
    first, following, rows = room[:size], room[size : size + ids.size], room[size + ids.size :]
    linked(ids, first, following, rows)
    tasks = min(tasks_for(pool, ids.size * table.shape[1], TASK), max(size, 1))
    arrays = shares, table, counted, bags, y, dtable, first, following
    run(pool, _maxima_back_part, arrays, tasks)


@jit
def _maxima_back_part(task, tasks, shares, table, counted, bags, y, dtable, first, following):
    sums, nothing = np.empty(table.shape[1], np.float64), table.dtype.type(0)
    for n in range(*share(task, tasks, table.shape[0])):
        i, row, drow = first[n], table[n], dtable[n]
        if i < 0:
            drow[:] = 0
            continue
        sums[:] = 0
        while i >= 0:
            if counted[i]:
                best, slopes = y[bags[i]], shares[bags[i]]
                for j in range(sums.size):
                    found = (row[j] == best[j]) | (row[j] != row[j])
                    sums[j] += slopes[j] if found else nothing
            i = following[i]
        for j in range(drow.size):
            drow[j] = sums[j]
