"""Rows of a table by number, and rows added to a table: float32 and float64, and sums of float16.

A sum is the same for any number of threads: the updates of a row are added in the order in which
they came. Sums of float32 are kept in float64 and rounded once; those of float64 are sums of the
sums of blocks, so that less is lost than by adding one number after the other.
"""

import numpy as np

from .. import reference
from .compile import jit
from .memory import empty
from .threads import pool, run, share, tasks_for, threads_of

NARROW = 8  # columns: for fewer, lists of updates cost more than they save
TILE = 128  # columns that are summed at a time
MANY = 512  # rows
FEW = 4  # threads
TASK = 1 << 14  # elements that are worth a thread
BLOCK = 4096  # updates of narrow rows in a block of a float64 sum
CHAIN = 64  # updates of one wide row in a block


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
    if out.dtype is not updates.dtype or out.dtype.char not in "fde" or not out.flags.c_contiguous:
        reference.scatter_add_(out, index, updates)
    elif updates.size and out.dtype.char == "e":
        wide = out.astype(np.float32)
        scatter_add_(wide, index, updates.astype(np.float32))
        out[...] = wide
    elif updates.size:
        flat = _flat(out)
        narrow = flat.shape[1] < NARROW
        sums = empty(flat.shape if narrow else (0, 0), np.float64)
        room = empty((0 if narrow else len(out) + 2 * index.size,), np.int64)
        _scatter_add(pool(), flat, _int64(index), _flat(np.ascontiguousarray(updates)), sums, room)


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
def _add_narrow(task, tasks, out, index, updates, sums):
    """Every task reads all of the index, and adds what falls on its own rows of the table.

    `sums`, of the table's shape, take up a block of updates (of float32 all) and are then given to
    `out`. Of a table with more rows than there are updates, only the rows that these name are met.
    """
    first, end = share(task, tasks, out.shape[0])
    width = out.shape[1]
    sparse, single = out.shape[0] > index.size, out.itemsize == 4
    if sparse:
        for i in range(index.size):
            if first <= index[i] < end:
                for j in range(width):
                    sums[index[i], j] = 0
    else:
        sums[first:end] = 0
    block = index.size if single else BLOCK
    for start in range(0, index.size, block):
        stop = min(start + block, index.size)
        for i in range(start, stop):
            if first <= index[i] < end:
                for j in range(width):
                    sums[index[i], j] += updates[i, j]
        if single and not sparse:
            for row in range(first, end):
                for j in range(width):
                    out[row, j] += sums[row, j]
            return
        for i in range(start, stop):
            if first <= index[i] < end:
                for j in range(width):
                    out[index[i], j] += sums[index[i], j]
                    sums[index[i], j] = 0


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
    sums, block = np.empty(width, np.float64), np.empty(width, np.float64)
    begin, end = share(task, tasks, rows.size * tiles)
    for unit in range(begin, end):
        row, left = rows[rows.size - 1 - unit // tiles], unit % tiles * width
        target, i = out[row, left : left + width], first[row]
        if following[i] < 0:
            update = updates[i, left : left + width]
            for j in range(target.size):
                target[j] += update[j]
            continue
        total, part = sums[: target.size], block[: target.size]
        for j in range(part.size):
            total[j], part[j] = target[j], 0
        added = 0
        while i >= 0:
            update, i = updates[i, left : left + width], following[i]
            if i < 0:
                for j in range(part.size):
                    part[j] += update[j]
            else:
                other, i = updates[i, left : left + width], following[i]
                for j in range(part.size):
                    part[j] += np.float64(update[j]) + np.float64(other[j])
            added += 2
            if added % CHAIN == 0:
                for j in range(part.size):
                    total[j] += part[j]
                    part[j] = 0
        for j in range(part.size):
            target[j] = total[j] + part[j]


@jit
def _scatter_add(pool, out, index, updates, sums, room):
    tasks = tasks_for(pool, updates.size, TASK)
    if out.shape[1] < NARROW:
        # For two or three threads, to skip what is another's costs more than to do it all alone.
        threads = threads_of(pool)
        tasks = min(tasks, threads) if threads >= FEW else 1
        run(pool, _add_narrow, (out, index, updates, sums), tasks)
        return
    size, n = out.shape[0], index.size
    first, following, rows = room[:size], room[size : size + n], room[size + n :]
    met = _link(index, first, following, rows)
    run(pool, _add_lists, (out, updates, rows[:met], first, following), tasks)
