"""Gathering rows of a table, adding rows to it, and the maxima of bags of rows.

A sum is the same for any number of threads: the updates of a row are added in the order in which
they came. Sums of float32 are kept in float64 and rounded once. Sums of float64 are added up block
by block, which loses less than adding one element after the other.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.fetch import prefetch
from ..machine.kernel import FLOAT16, REAL, kernel
from ..machine.memory import empty
from ..machine.simd import body, inside, lanes, load, store
from ..machine.threads import pool, run, share, tasks_for, threads_of

NARROW = 8  # columns: for fewer, lists of updates cost more than they save
TILE = 128  # columns that are summed at a time
MANY = 512  # updated rows, from which on tasks take whole rows, not tiles of rows
FEW = 4  # threads, from which on they share the sums of narrow rows
SMALL = 1 << 12  # elements, up to which add_rows_ is left to NumPy, which needs no compiler
TASK = 1 << 14  # elements that are worth a thread
BLOCK = 4096  # updates of narrow rows in a block of a float64 sum
EACH = np.empty(0, np.int64)  # instead of a list of row numbers: update i is row i
CACHE_LINE, AHEAD = 64, 8  # bytes; rows that are fetched ahead, as they lie in no order
CHAIN = 64  # updates of one wide row in a block
TASKS = 64  # a row that gets more than a 64th of all updates would keep one thread too long


@kernel("table", others="index")
def gather_rows(table, index):
    """table[index]."""
    rows = empty((index.size, *table.shape[1:]), table.dtype)
    if rows.size:
        _gather(pool(), _flat(table), _int64(index), _flat(rows))
    return rows


@kernel("out updates", dtypes=(FLOAT16, *REAL))
def scatter_add_(out, index, updates):
    """out[index[i]] += updates[i] for every i."""
    if not out.flags.c_contiguous:
        return NotImplemented
    if updates.size and out.dtype.char == "e":
        wide = out.astype(np.float32)
        scatter_add_(wide, index, updates.astype(np.float32))
        out[...] = wide
    elif updates.size:
        flat, index = _flat(out), _int64(index)
        updates = _flat(np.ascontiguousarray(updates))
        if flat.shape[1] >= NARROW:
            room = empty((len(out) + 2 * index.size,), np.int64)
            _add_wide(pool(), flat, index, updates, EACH, room)
        elif len(out) > index.size:
            bits = (2 * index.size).bit_length()
            room = empty(((1 << bits) + 2 * index.size,), np.int64)
            sums = empty((index.size, flat.shape[1]), np.float64)
            _add_sparse(flat, index, updates, bits, room, sums)
        else:
            _add_dense(pool(), flat, index, updates, empty(flat.shape, np.float64))
    return None


def _flat(rows):
    """Rows of any shape, as the rows of a matrix."""
    return rows if rows.ndim == 2 else rows.reshape(len(rows), rows.size // len(rows))


def _int64(index):
    return np.ascontiguousarray(index, np.int64)


@kernel("updates", others="index", dtypes=(FLOAT16, *REAL))
def sum_rows(index, updates):
    """(rows, sums): the distinct numbers in `index`, rising, and the sum of each one's updates."""
    bits = (2 * index.size).bit_length() or 1
    room = empty(((1 << bits) + 2 * index.size,), np.int64)
    met, rows, numbers = _number(_int64(index), bits, room)
    order = rows[:met].argsort()
    if met == index.size:  # no row is met twice
        return rows[order], np.take(updates, order, axis=0)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(met)
    sums = np.zeros((met, *updates.shape[1:]), updates.dtype)
    scatter_add_(sums, ranks[numbers], updates)
    return rows[order], sums


@kernel("out x", dtypes=REAL)
def add_rows_(out, index, x, source):
    """out[index[i]] += x[source[i]] for every i; the rows of x are read where they lie."""
    if not out.flags.c_contiguous or out.shape[1] < NARROW or index.size * out.shape[1] <= SMALL:
        return NotImplemented
    x, index, source = np.ascontiguousarray(x), _int64(index), _int64(source)
    if 0 < _longest_run(index) <= max(CHAIN, index.size // TASKS):
        _add_runs(pool(), out, index, x, source)
    else:
        room = empty((len(out) + 2 * index.size,), np.int64)
        _add_wide(pool(), out, index, x, source, room)
    return None


@body
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


@body
def _add_dense_part(task, tasks, out, index, updates, sums):
    """Every task reads the whole index, and adds the updates of its own rows of the table.

    `sums`, of the table's shape, take a block of updates (for float32, all of them) and are then
    added to `out`.
    """
    first, end = share(task, tasks, out.shape[0])
    width = out.shape[1]
    block = index.size if out.itemsize == 4 else max(BLOCK, out.shape[0])
    sums[first:end] = 0
    for start in range(0, index.size, block):
        for i in range(start, min(start + block, index.size)):
            if first <= index[i] < end:
                for j in range(width):
                    sums[index[i], j] += updates[i, j]
        for row in range(first, end):
            for j in range(width):
                out[row, j] += sums[row, j]
                sums[row, j] = 0


@jit
def _add_sparse(out, index, updates, bits, room, sums):
    """Add updates to few of many rows, which are numbered as they are met: only these have sums.

    `room` is memory for `_number`.
    """
    width, increasing = out.shape[1], True
    for i in range(1, index.size):
        if index[i] <= index[i - 1]:
            increasing = False
            break
    if increasing:  # no row is met twice, as for the labels of classes
        for i in range(index.size):
            for j in range(width):
                out[index[i], j] += updates[i, j]
        return
    met, rows, numbers = _number(index, bits, room)
    sums[:met] = 0
    block = index.size if out.itemsize == 4 else BLOCK
    for start in range(0, index.size, block):
        for i in range(start, min(start + block, index.size)):
            for j in range(width):
                sums[numbers[i], j] += updates[i, j]
        for number in range(met):
            for j in range(width):
                out[rows[number], j] += sums[number, j]
                sums[number, j] = 0


@inside
def _place_of(row, places, rows, bits):
    """The place of a row's number in the hash table, or a free one: Knuth's multiplicative hash."""
    place = np.int64((np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits))
    while places[place] >= 0 and rows[places[place]] != row:
        place = (place + 1) & ((1 << bits) - 1)
    return place


@jit
def _number(index, bits, room):
    """(how many rows there are, the rows as they are met, the number of each update's row).

    They lie in `room`, behind a hash table of 2^bits places.
    """
    places, rest, met = room[: 1 << bits], room[1 << bits :], 0
    rows, numbers = rest[: index.size], rest[index.size :]
    places[:] = -1
    for i in range(index.size):
        place = _place_of(index[i], places, rows, bits)
        if places[place] < 0:
            places[place], rows[met] = met, index[i]
            met += 1
        numbers[i] = places[place]
    return met, rows, numbers


@jit
def linked(index, first, following, rows):
    """Link the updates of each row to a list; returns how many rows have updates.

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


@inside
def _source(source, i):
    """The row of the updates that is update i."""
    return source[i] if source.size else i


@body
def _add_lists(task, tasks, out, updates, source, rows, first, following):
    """Add up a task's rows or, if there are few rows, its tiles of rows."""
    width = out.shape[1] if rows.size >= MANY else TILE
    tiles = (out.shape[1] + width - 1) // width
    sums, block = np.empty(width, np.float64), np.empty(width, np.float64)
    begin, end = share(task, tasks, rows.size * tiles)
    for unit in range(begin, end):
        row, left = rows[rows.size - 1 - unit // tiles], unit % tiles * width
        target, i = out[row, left : left + width], first[row]
        if following[i] < 0:
            update = updates[_source(source, i), left : left + width]
            for j in range(target.size):
                target[j] += update[j]
            continue
        total, part = sums[: target.size], block[: target.size]
        for j in range(part.size):
            total[j], part[j] = target[j], 0
        added = 0
        while i >= 0:
            update, i = updates[_source(source, i), left : left + width], following[i]
            if i < 0:
                for j in range(part.size):
                    part[j] += update[j]
            else:
                other, i = updates[_source(source, i), left : left + width], following[i]
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
def _add_dense(pool, out, index, updates, sums):
    # Each task reads all updates. With two or three threads that costs more than it saves.
    tasks, threads = tasks_for(pool, updates.size, TASK), threads_of(pool)
    tasks = min(tasks, threads) if threads >= FEW else 1
    run(pool, _add_dense_part, (out, index, updates, sums), tasks)


@jit
def _longest_run(index):
    """How many equal numbers stand in a row at most, if none falls; else 0."""
    longest, run = 1, 1
    for i in range(1, index.size):
        if index[i] < index[i - 1]:
            return 0
        run = run + 1 if index[i] == index[i - 1] else 1
        longest = max(longest, run)
    return longest


@jit
def _add_runs(pool, out, index, x, source):
    tasks = tasks_for(pool, index.size * out.shape[1], TASK)
    run(pool, _add_runs_part, (out, index, x, source), tasks)


@body
def _add_runs_part(task, tasks, out, index, x, source):
    """Add rows whose numbers rise; of equal ones all are this task's, if the first one is."""
    first, end = share(task, tasks, index.size)
    while 0 < first < index.size and index[first] == index[first - 1]:
        first += 1
    while 0 < end < index.size and index[end] == index[end - 1]:
        end += 1
    flat, end_of_run = x.reshape(x.size), first
    total, part = np.empty(x.shape[1], np.float64), np.empty(x.shape[1], x.dtype)
    while end_of_run < end:
        i = end_of_run
        while end_of_run < end and index[end_of_run] == index[i]:
            end_of_run += 1
        target = out[index[i]]
        if end_of_run - i <= CHAIN:
            _add_chain(flat, source, i, end_of_run, end, target)
            continue
        for j in range(target.size):
            total[j] = target[j]
        for start in range(i, end_of_run, CHAIN):
            part[:] = 0
            _add_chain(flat, source, start, min(start + CHAIN, end_of_run), end, part)
            for j in range(target.size):
                total[j] += part[j]
        for j in range(target.size):
            target[j] = total[j]


@inside
def prefetch_row(x, index, i):
    """Bring the row of x that comes some places after x[index[i]] into a cache."""
    later = index[min(i + AHEAD, index.size - 1)] * x.shape[1]
    flat = x.reshape(x.size)
    for j in range(later, later + x.shape[1], CACHE_LINE // x.itemsize):
        prefetch(flat, j)


@inside
def _add_chain(flat, source, first, end, last, target):
    """target += the rows source[first:end] of flat, some columns at a time, in registers."""
    width, n = target.size, lanes(flat)
    j = 0
    while j + 4 * n <= width:
        a, b, c, d = (
            load(target, j),
            load(target, j + n),
            load(target, j + 2 * n),
            load(target, j + 3 * n),
        )
        for i in range(first, end):
            later = source[min(i + AHEAD, last - 1)] * width + j
            prefetch(flat, later)
            prefetch(flat, later + 2 * n)
            at = source[i] * width + j
            a, b = a + load(flat, at), b + load(flat, at + n)
            c, d = c + load(flat, at + 2 * n), d + load(flat, at + 3 * n)
        store(target, j, a)
        store(target, j + n, b)
        store(target, j + 2 * n, c)
        store(target, j + 3 * n, d)
        j += 4 * n
    for i in range(first, end):
        at = source[i] * width
        for k in range(j, width):
            target[k] += flat[at + k]


@jit
def _add_wide(pool, out, index, updates, source, room):
    size, n = out.shape[0], index.size
    first, following, rows = room[:size], room[size : size + n], room[size + n :]
    met = linked(index, first, following, rows)
    tasks = tasks_for(pool, n * updates.shape[1], TASK)
    run(pool, _add_lists, (out, updates, source, rows[:met], first, following), tasks)


# Maxima of bags, see kernels/reference/bag.py. For the gradient a task takes whole rows of the
# table: the places of a row's id are first linked to a list.


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


@body
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


@body
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
