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
    y = empty((x.shape[0], x.shape[2]), x.dtype)
    _sum_middle(pool(), x, y)
    return y


@jit
def _sum_middle(pool, x, y):
    a, r, b = x.shape
    tasks = tasks_for(pool, x.size, TASK)
    if a >= tasks:
        run(pool, _some_of_a, (x, y), tasks)
        return
    tasks = max(1, min(tasks, r))
    parts = np.empty((tasks, a, b), x.dtype)
    run(pool, _some_of_r, (x, parts), tasks)
    y[:] = 0
    for part in parts:
        y += part


@jit
def _some_of_a(task, tasks, x, y):
    lo, hi = share(task, tasks, x.shape[0])
    if x.shape[2] == 1:
        _sum_runs(x, lo, hi, 0, x.shape[1], y)
    else:
        for i in range(lo, hi):
            _sum_rows(x[i], y[i])


@jit
def _some_of_r(task, tasks, x, parts):
    lo, hi = share(task, tasks, x.shape[1])
    if x.shape[2] == 1:
        _sum_runs(x, 0, x.shape[0], lo, hi, parts[task])
    else:
        for i in range(x.shape[0]):
            _sum_rows(x[i, lo:hi], parts[task, i])


@jit
def _sum_rows(x, y):
    """y = the sum of the rows of x (R, B)."""
    y[:] = 0
    block = np.empty(x.shape[1], x.dtype)
    for top in range(0, x.shape[0], ROWS):
        block[:] = 0
        for r in range(top, min(top + ROWS, x.shape[0])):
            row = x[r]
            for j in range(row.size):
                block[j] += row[j]
        for j in range(block.size):
            y[j] += block[j]


@jit
def _sum_runs(x, top, bottom, lo, hi, y):
    """y[a, 0] = the sum of x[a, lo:hi, 0], elements that lie side by side, for some a."""
    flat = x.reshape(x.size)
    for i in range(top, bottom):
        begin, end = i * x.shape[1] + lo, i * x.shape[1] + hi
        total = 0.0
        for start in range(begin, end, RUN):
            part = flat[start : min(start + RUN, end)]
            s = x.dtype.type(0)
            for k in range(part.size):
                s += part[k]
            total += s
        y[i, 0] = total
