"""Rows of a table by number, and rows added to a table: float32 and float64.

A sum is the same for any number of threads: the updates of a row are added in the order in which
they came. Sums of float32 are kept in float64 and rounded once, but for narrow rows of a table
that is longer than the list of updates, where duplicates are few.
"""

import numpy as np

from .. import reference
from .compile import jit
from .memory import empty
from .threads import pool, run, share, tasks_for, threads_of

NARROW = 8  # columns: for fewer, lists of updates cost more than they save
TILE = 128  # columns that are summed at a time
MANY = 512  # rows
TASK = 1 << 14  # elements that are worth a thread


def gather_rows(table, index):
    """table[index]."""
    if table.dtype.char not in "fd":
        return reference.gather_rows(table, index)
    rows = empty((index.size, *table.shape[1:]), table.dtype)
    if rows.size:
        _gather(pool(), _flat(table), _int64(index), _flat(rows))
    return rows


def scatter_add_(out, index, updates):
    """out[index[i]] += updates[i] for every i."""
    if out.dtype is not updates.dtype or out.dtype.char not in "fd" or not out.flags.c_contiguous:
        reference.scatter_add_(out, index, updates)
    elif updates.size:
        flat = _flat(out)
        room = empty((len(out) + 2 * index.size if flat.shape[1] >= NARROW else 0,), np.int64)
        _scatter_add(pool(), flat, _int64(index), _flat(np.ascontiguousarray(updates)), room)


def _flat(rows):
    """Rows of any shape as those of a matrix."""
    return rows if rows.ndim == 2 else rows.reshape(len(rows), rows.size // len(rows))


def _int64(index):
    return np.ascontiguousarray(index, np.int64)


@jit
def _gather_part(task, tasks, table, index, rows):
    first, end = share(task, tasks, index.size)
    if table.shape[1] == 1:
        for i in range(first, end):
            rows[i, 0] = table[index[i], 0]
        return
    for i in range(first, end):
        row, source = rows[i], table[index[i]]
        for j in range(row.size):
            row[j] = source[j]


@jit
def _gather(pool, table, index, rows):
    tasks = min(tasks_for(pool, rows.size, TASK), max(index.size, 1))
    run(pool, _gather_part, (table, index, rows), tasks)


@jit
def _add_narrow(task, tasks, out, index, updates):
    """Every task reads all of the index, and adds what falls on its own rows of the table."""
    first, end = share(task, tasks, out.shape[0])
    width = out.shape[1]
    if out.itemsize == 8 or out.shape[0] > index.size:
        for i in range(index.size):
            if first <= index[i] < end:
                for j in range(width):
                    out[index[i], j] += updates[i, j]
        return
    sums = np.zeros((end - first, width), np.float64)
    for i in range(index.size):
        if first <= index[i] < end:
            for j in range(width):
                sums[index[i] - first, j] += updates[i, j]
    for k in range(end - first):
        for j in range(width):
            out[first + k, j] += sums[k, j]


@jit
def _link(index, first, following, rows):
    """Make lists of the updates of each row that is met; returns how many these rows are.

    The first update of row r is first[r], and following[i] comes after update i; -1 ends a list.
    """
    first[:] = -1
    met = 0
    for i in range(index.size - 1, -1, -1):
        row = index[i]
        if first[row] < 0:
            rows[met] = row
            met += 1
        following[i] = first[row]
        first[row] = i
    return met


@jit
def _add_lists(task, tasks, out, updates, rows, first, following):
    """Every task has some rows for itself, or, of few rows, some tiles of rows."""
    width = out.shape[1] if rows.size >= MANY else TILE
    tiles = (out.shape[1] + width - 1) // width
    sums = np.empty(width, np.float64)
    begin, end = share(task, tasks, rows.size * tiles)
    for unit in range(begin, end):
        row, left = rows[rows.size - 1 - unit // tiles], unit % tiles * width
        target, i = out[row, left : left + width], first[row]
        if following[i] < 0:
            update = updates[i, left : left + width]
            for j in range(target.size):
                target[j] += update[j]
            continue
        part = sums[: target.size]
        for j in range(part.size):
            part[j] = target[j]
        while i >= 0:
            update, i = updates[i, left : left + width], following[i]
            if i < 0:
                for j in range(part.size):
                    part[j] += update[j]
            else:
                other, i = updates[i, left : left + width], following[i]
                for j in range(part.size):
                    part[j] += np.float64(update[j]) + np.float64(other[j])
        for j in range(part.size):
            target[j] = part[j]


@jit
def _scatter_add(pool, out, index, updates, room):
    tasks = tasks_for(pool, updates.size, TASK)
    if out.shape[1] < NARROW:
        run(pool, _add_narrow, (out, index, updates), min(tasks, threads_of(pool)))
        return
    size, n = out.shape[0], index.size
    first, following, rows = room[:size], room[size : size + n], room[size + n :]
    met = _link(index, first, following, rows)
    run(pool, _add_lists, (out, updates, rows[:met], first, following), tasks)
