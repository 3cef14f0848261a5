"""Reading and writing at places along lines, see kernels/reference/lines.py.

A task takes whole lines, a tile of those that lie side by side. So what is written to a place comes
in the order of the updates, for any number of threads.

What is only moved is moved as integers of its size: one machine code serves several dtypes.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import FLOAT16, REAL, kernel
from ..machine.memory import empty
from ..machine.simd import body, inlined, inside
from ..machine.threads import pool, run, share, tasks_for, threads_of

BITS = {size: np.dtype(f"int{8 * size}") for size in (1, 2, 4, 8)}
INT64 = np.dtype(np.int64)
MOVED = tuple(map(np.dtype, "? b h i l e f d F".split()))
NUMBERS = FLOAT16, *REAL, INT64
SMALL = 1 << 10  # elements, up to which NumPy is quick enough and needs no compiler
TASK = 1 << 14  # elements that are worth a thread
ROOM = 1 << 20  # sums of a tile
NARROW = 16  # lines side by side that are worth a task
FEW = 64  # updates of a line that are added up in its own dtype
BLOCK = 4096  # updates of a line in a block of a float64 sum
ASSIGN, ADD, MULTIPLY, MAXIMUM, MINIMUM = range(5)
HOW = {None: ASSIGN, "sum": ADD, "prod": MULTIPLY, "amax": MAXIMUM, "amin": MINIMUM}


@kernel("x", others="index", dtypes=MOVED)
def gather_lines(x, index):
    """x[a, index[a, i, b], b], of the shape of index."""
    if index.size <= SMALL:
        return NotImplemented
    y = empty(index.shape, x.dtype)
    _gather(pool(), _bits(x), _int64(index), _bits(y))
    return y


@kernel("g", others="index")
def spread_lines(g, index, n):
    """The adjoint of gather_lines: zeros (outer, n, inner) to which g is added at the places."""
    if g.size <= SMALL:
        return NotImplemented
    shape = g.shape[0], n, g.shape[2]
    if g.shape[1] <= FEW:
        y = np.zeros(shape, g.dtype)
        _write(pool(), y, _int64(index), g, y, ADD, True)
    else:
        y = empty(shape, g.dtype)
        _add(pool(), y, _int64(index), g, y, True)
    return y


@kernel("x updates", others="index", dtypes=MOVED)
def scatter_lines(x, index, updates, reduce):
    """A copy of x in which `updates` are written at the places."""
    if max(x.size, updates.size) <= SMALL or (reduce and x.dtype not in NUMBERS):
        return NotImplemented
    if reduce and x.dtype == FLOAT16:
        wide = x.astype(np.float32), index, updates.astype(np.float32)
        return scatter_lines(*wide, reduce).astype(FLOAT16)
    y, index = empty(x.shape, x.dtype), _int64(index)
    if reduce is None:
        _write(pool(), _bits(x), index, _bits(updates), _bits(y), ASSIGN, False)
    elif reduce == "sum" and x.dtype in REAL:
        _add(pool(), x, index, updates, y, False)
    else:
        _write(pool(), x, index, updates, y, HOW[reduce], False)
    return y


@kernel("out updates")
def add_slices_(out, index, updates):
    """out[a, index[i]] += updates[a, i] for every a and i."""
    if not out.flags.c_contiguous or max(out.size, updates.size) <= SMALL:
        return NotImplemented
    _add_slices(pool(), out, _int64(index), np.ascontiguousarray(updates))
    return None


@kernel("g", others="index", dtypes=(FLOAT16, *REAL))
def scatter_last_backward(g, index):
    """(dx, dupdates) of scatter_lines without `reduce`: each place has the gradient of its last."""
    if g.size <= SMALL:
        return NotImplemented
    dx, dupdates = empty(g.shape, g.dtype), empty(index.shape, g.dtype)
    _last_back(pool(), _bits(g), _int64(index), _bits(dx), _bits(dupdates))
    return dx, dupdates


@kernel("g x updates", others="index", half=True)
def scatter_product_backward(g, x, updates, index):
    """(dx, dupdates) of scatter_lines by "prod": g times the product of all others at a place."""
    if x.size <= SMALL:
        return NotImplemented
    dx, dupdates = empty(x.shape, x.dtype), empty(index.shape, x.dtype)
    _product_back(pool(), g, x, updates, _int64(index), dx, dupdates)
    return dx, dupdates


@kernel("g x updates out", others="index", half=True)
def scatter_extreme_backward(g, x, updates, index, out):
    """(dx, dupdates) of scatter_lines by "amax" or "amin": equal shares for all extreme ones."""
    if x.size <= SMALL:
        return NotImplemented
    dx, dupdates = empty(x.shape, x.dtype), empty(index.shape, x.dtype)
    _extreme_back(pool(), g, x, updates, _int64(index), out, dx, dupdates)
    return dx, dupdates


def _bits(x):
    """An array as integers of the size of its elements."""
    return x.view(BITS[x.itemsize])


def _int64(index):
    return np.ascontiguousarray(index, np.int64)


@jit
def _width(pool, x):
    """The lines of a tile: all that lie side by side, unless threads would be without any."""
    pieces = max(1, threads_of(pool) // max(x.shape[0], 1))
    return max(min(NARROW, x.shape[2]), (x.shape[2] + pieces - 1) // pieces, 1)


@jit
def _units(x, width):
    """How many tiles there are."""
    return x.shape[0] * ((x.shape[2] + width - 1) // width)


@jit
def _tile(x, width, unit):
    """(the number of the outermost axis, the first line, the end) of a tile."""
    tiles = (x.shape[2] + width - 1) // width
    left = unit % tiles * width
    return unit // tiles, left, min(left + width, x.shape[2])


@body
def _tasks(pool, x, index, width):
    return max(1, min(tasks_for(pool, max(x.size, index.size), TASK), _units(x, width)))


@inlined
def _copy(x, y, left, right):
    """y = x for the lines from left on."""
    if right - left == x.shape[1]:
        flat, into = x.reshape(x.size), y.reshape(x.size)
        for k in range(into.size):
            into[k] = flat[k]
    else:
        for k in range(x.shape[0]):
            row, into = x[k, left:right], y[k, left:right]
            for j in range(into.size):
                into[j] = row[j]


@jit
def _gather(pool, x, index, y):
    width = _width(pool, x)
    run(pool, _gather_part, (width, x, index, y), _tasks(pool, x, index, width))


@body
def _gather_part(task, tasks, width, x, index, y):
    for unit in range(*share(task, tasks, _units(x, width))):
        a, left, right = _tile(x, width, unit)
        if x.shape[2] == 1:
            _read(x[a], index[a], y[a], 0, 1)
        else:
            _read(x[a], index[a], y[a], left, right)


@inside
def _read(lines, places, y, left, right):
    for i in range(places.shape[0]):
        for j in range(left, right):
            y[i, j] = lines[places[i, j], j]


@jit
def _write(pool, x, index, updates, y, how, fresh):
    width = _width(pool, x)
    arrays = width, x, index, updates, y, how, fresh
    run(pool, _write_part, arrays, _tasks(pool, x, index, width))


@inlined
def _combined(old, new, how):
    """What a place has after an update."""
    if how == ADD:
        return old + new
    if how == MULTIPLY:
        return old * new
    better = new > old if how == MAXIMUM else new < old
    return new if better | (new != new) else old


@body
def _write_part(task, tasks, width, x, index, updates, y, how, fresh):
    """y = x with the updates; `fresh`: x is already there."""
    for unit in range(*share(task, tasks, _units(x, width))):
        a, left, right = _tile(x, width, unit)
        if not fresh:
            _copy(x[a], y[a], left, right)
        if x.shape[2] == 1:
            _write_tile(y[a], index[a], updates[a], how, 0, 1)
        else:
            _write_tile(y[a], index[a], updates[a], how, left, right)


@inside
def _write_tile(lines, places, new, how, left, right):
    for i in range(places.shape[0]):
        for j in range(left, right):
            k = places[i, j]
            if how == ASSIGN:
                lines[k, j] = new[i, j]
            else:
                lines[k, j] = _combined(lines[k, j], new[i, j], how)


@jit
def _add(pool, x, index, updates, y, fresh):
    width = min(_width(pool, y), max(ROOM // max(y.shape[1], 1), NARROW))
    arrays = width, x, index, updates, y, fresh
    run(pool, _add_part, arrays, _tasks(pool, y, index, width))


@body
def _add_part(task, tasks, width, x, index, updates, y, fresh):
    """y = x, or zeros if `fresh`, and the sums in float64 of the updates, rounded once.

    For float64 itself the sums are of a block of updates at a time.
    """
    n, m = y.shape[1], index.shape[1]
    sums = np.empty((n, width), np.float64)
    block = m if y.itemsize == 4 else max(BLOCK, n)
    for unit in range(*share(task, tasks, _units(y, width))):
        a, left, right = _tile(y, width, unit)
        for start in range(0, max(m, 1), max(block, 1)):
            sums[:] = 0
            end = min(start + block, m)
            before = y[a] if start else x[a]
            if y.shape[2] == 1:
                _sum(sums, index[a, start:end], updates[a, start:end], 0, 1)
                _add_sums(before, sums, y[a], fresh and not start, 0, 1)
            else:
                _sum(sums, index[a, start:end], updates[a, start:end], left, right)
                _add_sums(before, sums, y[a], fresh and not start, left, right)


@inside
def _sum(sums, places, new, left, right):
    for i in range(places.shape[0]):
        for j in range(left, right):
            sums[places[i, j], j - left] += new[i, j]


@inside
def _add_sums(x, sums, y, fresh, left, right):
    for k in range(y.shape[0]):
        for j in range(left, right):
            y[k, j] = sums[k, j - left] if fresh else x[k, j] + sums[k, j - left]


@jit
def _add_slices(pool, out, index, updates):
    width = min(_width(pool, out), max(ROOM // max(out.shape[1], 1), NARROW))
    tasks = max(1, min(tasks_for(pool, max(out.size, updates.size), TASK), _units(out, width)))
    run(pool, _add_slices_part, (width, out, index, updates), tasks)


@body
def _add_slices_part(task, tasks, width, out, index, updates):
    """The sums of a tile are in float64, for float64 itself of a block of updates at a time."""
    sums = np.empty((out.shape[1], width), np.float64)
    block = index.size if out.itemsize == 4 else max(BLOCK, out.shape[1])
    for unit in range(*share(task, tasks, _units(out, width))):
        a, left, right = _tile(out, width, unit)
        for start in range(0, index.size, max(block, 1)):
            places = index[start : start + block]
            new = updates[a, start : start + block, left:right]
            sums[:] = 0
            if out.shape[2] == 1:
                for i in range(places.size):
                    sums[places[i], 0] += new[i, 0]
            else:
                for i in range(places.size):
                    total, update = sums[places[i]], new[i]
                    for j in range(update.size):
                        total[j] += update[j]
            for k in range(out.shape[1]):
                row, total = out[a, k, left:right], sums[k]
                for j in range(row.size):
                    row[j] += total[j]


@jit
def _last_back(pool, g, index, dx, dupdates):
    width = _width(pool, g)
    arrays = width, g, index, dx, dupdates
    run(pool, _last_back_part, arrays, _tasks(pool, g, index, width))


@body
def _last_back_part(task, tasks, width, g, index, dx, dupdates):
    """From the last update to the first: who comes later takes the gradient of a place."""
    for unit in range(*share(task, tasks, _units(g, width))):
        a, left, right = _tile(g, width, unit)
        _copy(g[a], dx[a], left, right)
        if g.shape[2] == 1:
            _take(dx[a], index[a], dupdates[a], 0, 1)
        else:
            _take(dx[a], index[a], dupdates[a], left, right)


@inside
def _take(lines, places, taken, left, right):
    for i in range(places.shape[0] - 1, -1, -1):
        for j in range(left, right):
            k = places[i, j]
            taken[i, j] = lines[k, j]
            lines[k, j] = 0


@jit
def _product_back(pool, g, x, updates, index, dx, dupdates):
    width = _width(pool, x)
    arrays = width, g, x, updates, index, dx, dupdates
    run(pool, _product_back_part, arrays, _tasks(pool, x, index, width))


@body
def _product_back_part(task, tasks, width, g, x, updates, index, dx, dupdates):
    """dx is first the product of x and the updates so far, then g and the updates from the end."""
    for unit in range(*share(task, tasks, _units(x, width))):
        a, left, right = _tile(x, width, unit)
        if x.shape[2] == 1:
            _others(g[a], x[a], updates[a], index[a], dx[a], dupdates[a], 0, 1)
        else:
            _others(g[a], x[a], updates[a], index[a], dx[a], dupdates[a], left, right)


@inside
def _others(g, x, new, places, lines, others, left, right):
    _copy(x, lines, left, right)
    for i in range(places.shape[0]):
        for j in range(left, right):
            k = places[i, j]
            others[i, j] = lines[k, j]
            lines[k, j] *= new[i, j]
    _copy(g, lines, left, right)
    for i in range(places.shape[0] - 1, -1, -1):
        for j in range(left, right):
            k = places[i, j]
            others[i, j] *= lines[k, j]
            lines[k, j] *= new[i, j]


@jit
def _extreme_back(pool, g, x, updates, index, out, dx, dupdates):
    width = _width(pool, x)
    arrays = width, g, x, updates, index, out, dx, dupdates
    run(pool, _extreme_back_part, arrays, _tasks(pool, x, index, width))


@inlined
def _is_extreme(value, extreme):
    """Whether a value is the extreme of its place, which is NaN if one of the values is."""
    return (value == extreme) | (value != value)


@body
def _extreme_back_part(task, tasks, width, g, x, updates, index, out, dx, dupdates):
    """dx is first the number of those that share a gradient, then their share."""
    for unit in range(*share(task, tasks, _units(x, width))):
        a, left, right = _tile(x, width, unit)
        if x.shape[2] == 1:
            _shares(g[a], x[a], updates[a], index[a], out[a], dx[a], dupdates[a], 0, 1)
        else:
            _shares(g[a], x[a], updates[a], index[a], out[a], dx[a], dupdates[a], left, right)


@inside
def _shares(g, x, new, places, extremes, lines, theirs, left, right):
    for k in range(x.shape[0]):
        for j in range(left, right):
            lines[k, j] = _is_extreme(x[k, j], extremes[k, j])
    for i in range(places.shape[0]):
        for j in range(left, right):
            k = places[i, j]
            lines[k, j] += _is_extreme(new[i, j], extremes[k, j])
    for k in range(x.shape[0]):
        for j in range(left, right):
            lines[k, j] = g[k, j] / lines[k, j]
    for i in range(places.shape[0]):
        for j in range(left, right):
            k = places[i, j]
            theirs[i, j] = lines[k, j] if _is_extreme(new[i, j], extremes[k, j]) else 0
    for k in range(x.shape[0]):
        for j in range(left, right):
            lines[k, j] = lines[k, j] if _is_extreme(x[k, j], extremes[k, j]) else 0
