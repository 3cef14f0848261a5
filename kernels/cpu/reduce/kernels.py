"""Sums along axes, for float32 and float64: see kernels/reference/reduce.py.

No long sum is added up in the precision of the array, one element after the other. Eight rows are
added as a tree, the trees of a block in float64, and the blocks in float64 again. So the error is
that of three roundings, for elements in the middle of an array as at its end. Elements side by side
are added in runs of 512, in as many accumulators as the registers hold, and the runs in float64.

An array is read in the order of its memory, so a transposed view costs nothing, nor does one that
is flipped along axes to sum. Where such an axis was broadcast, one element is multiplied by its
length. The rows of a slice are read where they lie. The order of the additions depends only on the
shape, the strides and the number of threads.
"""

import numpy as np

from ...reference.reduce import in_memory_order, in_order, steps_of
from ..machine.compile import jit
from ..machine.kernel import kernel
from ..machine.memory import empty, lines_of, writable
from ..machine.simd import body
from ..machine.threads import pool, run, share, tasks_for

TASK = 1 << 14  # elements that are worth a thread
TREE = 8  # rows that are added as a tree
FEW = 16  # rows up to which there are no trees and no blocks
BLOCK = 512  # rows of a block
TILE = 1024  # columns whose sums stay in the fastest cache
NARROW = 64  # columns below which several rows are read as one
SHORT = 64  # rows of float64 that may be added one after the other
RUN = 512  # elements of a run
RUNS = 64 * RUN  # elements of a block of runs
NOUGHT = np.zeros(1)  # subtracted from elements before they are squared: no shift


@kernel("x", any_layout=True)
def sum_axes(x, axes):
    """The sum over `axes`, in the dtype of x."""
    if not x.size:
        return NotImplemented
    x, axes, times, order = in_memory_order(x, axes)
    steps, shape = steps_of(x.shape, axes)
    if len(steps) == 1 and order is None:  # as the gradient of a bias in a training step
        return _sum_step(x.reshape(steps[0]), x.dtype).reshape(shape)
    dtype, y = x.dtype, x
    for i, step in enumerate(steps):
        y = y.reshape(step)
        if i and y.size < TASK and step[1] <= SHORT:  # in float64 by now: NumPy starts sooner
            y = y.sum(1)
        else:
            last = i == len(steps) - 1 and times == 1
            y = _sum_step(y, dtype if last else np.float64)
    if not steps:
        y = x.copy()
    if times != 1:
        y = y * np.float64(times)
    return in_order(y.astype(dtype, copy=False).reshape(shape), order)


@kernel("x")
def sum_middle(x):
    """y[a, b] = sum of x[a, r, b] over r."""
    return _sum_step(x, x.dtype) if x.size else NotImplemented


@kernel("x", any_layout=True)
def moments(x, axes):
    """(mean, the sum of the squared deviations from it) over `axes`, in float64."""
    if not x.size:
        return NotImplemented
    x, axes, times, order = in_memory_order(x, axes)
    steps, shape = steps_of(x.shape, axes)
    if not steps:
        mean = in_order(x.astype(np.float64).reshape(shape), order)
        return mean, np.where(np.isfinite(mean), 0.0, np.nan)
    y = x.reshape(steps[0])
    mean, squares = _moments_step(y)
    count = y.shape[1]
    for step in steps[1:]:  # groups of `count` elements each: Chan et al. 1979
        mean, between = _moments_step(mean.reshape(step))
        squares = _sum_step(squares.reshape(step), np.float64)
        squares += count * between
        count *= step[1]
    if times != 1:
        squares *= times
    return in_order(mean.reshape(shape), order), in_order(squares.reshape(shape), order)


@kernel("x", any_layout=True)
def sum_squares(x, axes):
    """The sum of x^2 over `axes`, in float64."""
    if not x.size:
        return NotImplemented
    if axes is None and x.flags.c_contiguous:  # as of a gradient that is to be clipped
        y = np.empty(1)
        _power_runs(pool(), writable(x).reshape(1, -1), NOUGHT, 2, y)
        return y.reshape(())
    x, axes, times, order = in_memory_order(x, axes)
    steps, shape = steps_of(x.shape, axes)
    if not steps:
        y = np.square(x, dtype=np.float64)
    else:
        a, _, b = steps[0]
        x = writable(np.ascontiguousarray(x.reshape(steps[0])))
        y = _powers_step(x, np.zeros((a, b)), 2)
    for step in steps[1:]:
        y = _sum_step(y.reshape(step), np.float64)
    if times != 1:
        y *= times
    return in_order(y.reshape(shape), order)


def _sum_step(x, dtype):
    """The sum over the middle of three axes."""
    (a, r, b), x = x.shape, writable(x)
    y = empty((a, b), dtype)
    lines = x if x.flags.c_contiguous else lines_of(x)
    if lines is None:
        _sum_strided(pool(), x, y)
    elif b == 1:
        _sum_runs(pool(), lines.reshape(len(lines), -1), r, y.reshape(a))
    else:
        _sum_rows(pool(), lines, r, y)
    return y


def _moments_step(x):
    """(mean, sum of squared deviations) over the middle of three axes.

    Both are sums of differences, from the first element and from the mean: so nothing is lost far
    from 0, and equal elements deviate by exactly 0.
    """
    x = writable(np.ascontiguousarray(x))
    first = x[:, 0].astype(np.float64)
    mean = _powers_step(x, first, 1)
    mean /= x.shape[1]
    mean += first
    return mean, _powers_step(x, mean, 2)


def _powers_step(x, shift, power):
    """The sum of (x - shift)^power, 1 or 2, over the middle of three axes; shift is (A, B).

    x is C-contiguous.
    """
    y = empty(shift.shape, np.float64)
    if x.shape[2] == 1:
        _power_runs(pool(), x.reshape(x.shape[:2]), shift.reshape(-1), power, y.reshape(-1))
    else:
        _power_rows(pool(), x, shift, power, y)
    return y


@jit
def _pieces(pool, size, sums, rows):
    """(tasks, the number of pieces that each sum is cut into, so that every task has one)."""
    tasks = tasks_for(pool, size, TASK)
    return tasks, 1 if sums >= tasks else max(1, min(tasks, rows))


@body
def _add_up(parts, y):
    """y = the sums of the pieces, in the order of the pieces."""
    sums, flat = parts.ravel(), y.ravel()
    for i in range(flat.size):
        total = sums[i]
        for k in range(i + flat.size, sums.size, flat.size):
            total += sums[k]
        flat[i] = total


# Rows: x is C-contiguous; the first R rows of each of its blocks are summed, and of each row the
# first B elements. `joined` rows of few columns are read as one, whose sums are folded in the end;
# the rows that are left over are added to the last piece one by one.


@jit
def _cut(pool, a, r, b, line):
    """(tasks, pieces, joined rows, tiles of columns)."""
    joined = max(1, NARROW // b) if r > FEW and line == b else 1
    tiles = -(-b * joined // TILE)
    tasks, pieces = _pieces(pool, a * r * b, a * tiles, r // joined // TREE if r > FEW else 1)
    return tasks, pieces, joined, tiles


@jit
def _sum_rows(pool, x, r, y):
    a, b = y.shape
    tasks, pieces, joined, tiles = _cut(pool, a, r, b, x.shape[2])
    parts = np.empty((pieces if pieces > 1 else 0, a, b))  # of one piece, y itself has the sums
    run(pool, _sum_rows_part, (x, r, parts, y, joined, tiles), tasks)
    if pieces > 1:
        _add_up(parts, y)


@jit
def _power_rows(pool, x, shift, power, y):
    a, r, b = x.shape
    tasks, pieces, joined, tiles = _cut(pool, a, r, b, b)
    parts = np.empty((pieces, a, b))
    run(pool, _power_rows_part, (x, shift, power, parts, joined, tiles), tasks)
    _add_up(parts, y)


@jit
def _rows_of(piece, pieces, rows):
    """(begin, end) of a piece: whole trees of rows, and in the last piece the rows left over."""
    begin, end = share(piece, pieces, rows // TREE)
    return begin * TREE, rows if piece == pieces - 1 else end * TREE


@body
def _sum_rows_part(task, tasks, x, r, parts, y, joined, tiles):
    """Sums of blocks of rows, column by column, added up: in `parts`, or in y if that is empty."""
    (a, b), pieces, line = y.shape, max(1, len(parts)), x.shape[2]
    columns, width = b * joined, line * joined
    room, block_room = np.empty(min(columns, TILE)), np.empty(min(columns, TILE))
    for item in range(*share(task, tasks, a * pieces * tiles)):
        tile, piece, i = item % tiles, item // tiles % pieces, item // tiles // pieces
        left, rows = tile * TILE, x[i].reshape(x.shape[1] * line)
        sums = room[: min(TILE, columns - left)]
        if r <= FEW:
            _sum_few_rows(rows[left:], r, width, sums, y[i, left : left + sums.size])
            continue
        block = block_room[: sums.size]
        sums[:] = 0
        begin, end = _rows_of(piece, pieces, r // joined)
        for top in range(begin, end, BLOCK):
            block[:] = 0
            bottom = min(top + BLOCK, end)
            trees = top + (bottom - top) // TREE * TREE
            for k in range(top, trees, TREE):
                _add_tree(rows[k * width + left :], width, block)
            for k in range(trees, bottom):
                row = rows[k * width + left : k * width + left + block.size]
                for j in range(block.size):
                    block[j] += row[j]
            for j in range(block.size):
                sums[j] += block[j]
        over = rows[r // joined * width : r * line] if piece == pieces - 1 else rows[:0]
        if pieces > 1:
            _fold(sums, over, parts[piece, i, left : min(left + TILE, b)])
        else:
            _fold(sums, over, y[i, left : min(left + TILE, b)])


@body
def _sum_few_rows(rows, r, width, sums, to):
    """to = the sum of r rows, `width` apart."""
    for j in range(to.size):
        sums[j] = rows[j]
    for k in range(1, r - 1):
        row = rows[k * width :]
        for j in range(to.size):
            sums[j] += row[j]
    row = rows[(r - 1) * width :]
    for j in range(to.size):
        to[j] = sums[j] + row[j] if r > 1 else sums[j]


@body
def _add_tree(rows, width, block):
    """Add eight rows, `width` apart, to the block."""
    n = block.size
    a, b, c, d = rows[:n], rows[width:], rows[2 * width :], rows[3 * width :]
    e, f, g, h = rows[4 * width :], rows[5 * width :], rows[6 * width :], rows[7 * width :]
    for j in range(n):
        four = (a[j] + b[j]) + (c[j] + d[j])
        block[j] += np.float64(four + ((e[j] + f[j]) + (g[j] + h[j])))


@jit
def _fold(sums, over, to):
    """to[j] = the sum of column j over the rows that were read as one, and those left over."""
    b = to.size
    for j in range(b):
        value = sums[j]
        for k in range(j + b, sums.size, b):
            value += sums[k]
        for k in range(j, over.size, b):
            value += over[k]
        to[j] = value


@body
def _power_rows_part(task, tasks, x, shift, power, parts, joined, tiles):
    """Like `_sum_rows_part`, for powers of the differences from the shift, all in float64."""
    (pieces, a, b), r = parts.shape, x.shape[1]
    width = b * joined
    room, block_room = np.empty(min(width, TILE)), np.empty(min(width, TILE))
    shift_room = np.empty(min(width, TILE))
    for item in range(*share(task, tasks, a * pieces * tiles)):
        tile, piece, i = item % tiles, item // tiles % pieces, item // tiles // pieces
        left, rows = tile * TILE, x[i].reshape(r * b)
        sums = room[: min(TILE, width - left)]
        block, m = block_room[: sums.size], shift_room[: sums.size]
        for j in range(m.size):
            m[j] = shift[i, (left + j) % b]
        sums[:] = 0
        begin, end = _rows_of(piece, pieces, r // joined)
        for top in range(begin, end, BLOCK):
            block[:] = 0
            for k in range(top, min(top + BLOCK, end)):
                row = rows[k * width + left : k * width + left + block.size]
                if power == 1:
                    for j in range(block.size):
                        block[j] += row[j] - m[j]
                else:
                    for j in range(block.size):
                        block[j] += (row[j] - m[j]) * (row[j] - m[j])
            for j in range(block.size):
                sums[j] += block[j]
        to = parts[piece, i, left : min(left + TILE, b)]
        _fold(sums, rows[:0], to)
        if piece == pieces - 1:
            for k in range(r // joined * width, r * b):
                difference = rows[k] - shift[i, k % b]
                to[k % b] += difference if power == 1 else difference * difference


# Runs: x is C-contiguous; the first R elements of each of its rows are summed.


@jit
def _sum_runs(pool, x, r, y):
    tasks, pieces = _pieces(pool, y.size * r, y.size, r // RUN)
    parts = np.empty((pieces if pieces > 1 else 0, y.size))  # as in `_sum_rows`
    run(pool, _sum_runs_part, (x, r, parts, y), tasks)
    if pieces > 1:
        _add_up(parts, y)


@body
def _sum_runs_part(task, tasks, x, r, parts, y):
    pieces = max(1, len(parts))
    for item in range(*share(task, tasks, pieces * y.size)):
        i, piece = item // pieces, item % pieces
        begin, end = share(piece, pieces, r)
        total = 0.0
        for top in range(begin, end, RUNS):
            block = 0.0
            for start in range(top, min(top + RUNS, end), RUN):
                run_of = x[i, start : min(start + RUN, end)]
                s = x.dtype.type(0)
                for k in range(run_of.size):
                    s += run_of[k]
                block += s
            total += block
        if pieces > 1:
            parts[piece, i] = total
        else:
            y[i] = total


@jit
def _power_runs(pool, x, shift, power, y):
    tasks, pieces = _pieces(pool, x.size, len(x), x.shape[1] // RUN)
    parts = np.empty((pieces, y.size))
    run(pool, _power_runs_part, (x, shift, power, parts), tasks)
    _add_up(parts, y)


@body
def _power_runs_part(task, tasks, x, shift, power, parts):
    for item in range(*share(task, tasks, parts.size)):
        i, piece = item // len(parts), item % len(parts)
        begin, end = share(piece, len(parts), x.shape[1])
        total, m = 0.0, shift[i]
        for start in range(begin, end, RUNS):
            run_of = x[i, start : min(start + RUNS, end)]
            s = 0.0
            if power == 1:
                for k in range(run_of.size):
                    s += run_of[k] - m
            else:
                for k in range(run_of.size):
                    s += (run_of[k] - m) * (run_of[k] - m)
            total += s
        parts[piece, i] = total


# Any strides: x is (A, R, B).


@jit
def _sum_strided(pool, x, y):
    tasks, pieces = _pieces(pool, x.size, len(x), x.shape[1])
    parts = np.empty((pieces, *y.shape))
    run(pool, _sum_strided_part, (x, parts), tasks)
    _add_up(parts, y)


@body
def _sum_strided_part(task, tasks, x, parts):
    """Sums of blocks of rows in float64, added up."""
    pieces, a, b = parts.shape
    block, run_of = np.empty(b), np.empty(BLOCK, x.dtype)
    for item in range(*share(task, tasks, a * pieces)):
        i, piece = item // pieces, item % pieces
        begin, end = share(piece, pieces, x.shape[1])
        to = parts[piece, i]
        to[:] = 0
        for top in range(begin, end, BLOCK):
            bottom = min(top + BLOCK, end)
            if b == 1:
                for r in range(bottom - top):
                    run_of[r] = x[i, top + r, 0]
                s = x.dtype.type(0)
                for r in range(bottom - top):
                    s += run_of[r]
                to[0] += s
                continue
            block[:] = 0
            for r in range(top, bottom):
                for j in range(b):
                    block[j] += x[i, r, j]
            for j in range(b):
                to[j] += block[j]
