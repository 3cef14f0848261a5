"""Sums over one axis of an array with three, (A, R, B) -> (A, B): see kernels/reference/reduce.py.

The order of the additions depends on the shape and the number of threads alone, and long sums are
sums of the sums of blocks: less is lost than by adding one number after the other.
"""

import numpy as np

from .. import reference
from .compile import jit
from .memory import empty
from .threads import pool, run, share, tasks_for

REAL = np.dtype(np.float32), np.dtype(np.float64)
TASK = 1 << 14  # elements that are worth a thread
ROWS = 64  # rows of a block
RUN = 4096  # elements of a block, where they lie side by side


def sum_middle(x):
    """y[a, b] = sum of x[a, r, b] over r."""
    if x.dtype not in REAL:
        return reference.sum_middle(x)
    a, r, b = x.shape
    y = empty((a, b), x.dtype)
    if b == 1:
        _sum_runs(pool(), x.reshape(a, r), y.reshape(a))
    else:
        _sum_rows(pool(), x, y)
    return y


@jit
def _pieces(pool, x):
    """(tasks, into how many pieces each sum is cut, to be enough for them)."""
    tasks = tasks_for(pool, x.size, TASK)
    return tasks, 1 if x.shape[0] >= tasks else max(1, min(tasks, x.shape[1]))


@jit
def _sum_rows(pool, x, y):
    tasks, pieces = _pieces(pool, x)
    parts = np.empty((pieces, *y.shape), x.dtype) if pieces > 1 else y.reshape(1, *y.shape)
    run(pool, _sum_rows_part, (x, parts), tasks)
    if pieces > 1:
        y[:] = 0
        for part in parts:
            y += part


@jit
def _sum_rows_part(task, tasks, x, parts):
    """Sums of blocks of rows, element by element, added up."""
    block = np.empty(x.shape[2], x.dtype)
    for item in range(*share(task, tasks, x.shape[0] * len(parts))):
        i, piece = item // len(parts), item % len(parts)
        begin, end = share(piece, len(parts), x.shape[1])
        to = parts[piece, i]
        to[:] = 0
        for top in range(begin, end, ROWS):
            block[:] = 0
            for r in range(top, min(top + ROWS, end)):
                row = x[i, r]
                for j in range(row.size):
                    block[j] += row[j]
            for j in range(block.size):
                to[j] += block[j]


@jit
def _sum_runs(pool, x, y):
    tasks, pieces = _pieces(pool, x)
    parts = np.empty((pieces, y.size), x.dtype) if pieces > 1 else y.reshape(1, y.size)
    run(pool, _sum_runs_part, (x, parts), tasks)
    if pieces > 1:
        y[:] = 0
        for part in parts:
            y += part


@jit
def _sum_runs_part(task, tasks, x, parts):
    """Sums of what lies side by side, in runs."""
    for item in range(*share(task, tasks, x.shape[0] * len(parts))):
        i, piece = item // len(parts), item % len(parts)
        begin, end = share(piece, len(parts), x.shape[1])
        total = 0.0
        for start in range(begin, end, RUN):
            run_of = x[i, start : min(start + RUN, end)]
            s = x.dtype.type(0)
            for k in range(run_of.size):
                s += run_of[k]
            total += s
        parts[piece, i] = total
