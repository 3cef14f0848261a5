"""The linear recurrence and its gradient, line by line: see kernels/reference/scan.py.

A task takes lines along the middle axis, or tiles of lines that lie side by side; their states stay
in float64, in the fastest cache.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import kernel
from ..machine.memory import empty
from ..machine.threads import pool, run, share, tasks_for

TILE = 256  # lines side by side whose states are kept at a time
TASK = 1 << 13  # elements that are worth a thread


@kernel("a b initial", half=True)
def linear_scan(a, b, initial, reverse):
    """h: the state after each step, at the place of that step."""
    h = empty(b.shape, b.dtype)
    _scan(pool(), a, b, initial, reverse, h)
    return h


@kernel("g a h initial", half=True)
def linear_scan_backward(g, a, h, initial, reverse):
    """(da, db, dinitial) for g, the gradient of h."""
    da, db, dinitial = (empty(x.shape, a.dtype) for x in (a, a, initial))
    _scan_back(pool(), g, a, h, initial, reverse, da, db, dinitial)
    return da, db, dinitial


@jit
def _tiles(x):
    """(the columns of a tile, how many tiles a row of lines has)."""
    width = min(x.shape[2], TILE)
    return width, (x.shape[2] + width - 1) // max(width, 1)


@jit
def _tasks(pool, x):
    return max(1, min(tasks_for(pool, x.size, TASK), x.shape[0] * _tiles(x)[1]))


@jit
def _scan(pool, a, b, initial, reverse, h):
    run(pool, _scan_part, (a, b, initial, reverse, h), _tasks(pool, a))


@jit
def _scan_part(task, tasks, a, b, initial, reverse, h):
    steps = a.shape[1]
    width, tiles = _tiles(a)
    room = np.empty(width, np.float64)
    lo, hi = share(task, tasks, a.shape[0] * tiles)
    for unit in range(lo, hi):
        n, left = unit // tiles, unit % tiles * width
        right = min(left + width, a.shape[2])
        state = room[: right - left]
        for j in range(state.size):
            state[j] = initial[n, left + j]
        for step in range(steps):
            t = steps - 1 - step if reverse else step
            at, bt, ht = a[n, t, left:right], b[n, t, left:right], h[n, t, left:right]
            for j in range(state.size):
                state[j] = at[j] * state[j] + bt[j]
                ht[j] = state[j]


@jit
def _scan_back(pool, g, a, h, initial, reverse, da, db, dinitial):
    run(pool, _scan_back_part, (g, a, h, initial, reverse, da, db, dinitial), _tasks(pool, a))


@jit
def _scan_back_part(task, tasks, g, a, h, initial, reverse, da, db, dinitial):
    steps = a.shape[1]
    width, tiles = _tiles(a)
    room = np.empty(width, np.float64)
    lo, hi = share(task, tasks, a.shape[0] * tiles)
    for unit in range(lo, hi):
        n, left = unit // tiles, unit % tiles * width
        right = min(left + width, a.shape[2])
        handed_on = room[: right - left]
        handed_on[:] = 0
        for step in range(steps - 1, -1, -1):
            t = steps - 1 - step if reverse else step
            before = t + 1 if reverse else t - 1
            gt, at = g[n, t, left:right], a[n, t, left:right]
            dat, dbt = da[n, t, left:right], db[n, t, left:right]
            past = h[n, before, left:right] if step > 0 else initial[n, left:right]
            for j in range(handed_on.size):
                u = gt[j] + handed_on[j]
                dbt[j] = u
                dat[j] = u * past[j]
                handed_on[j] = at[j] * u
        for j in range(handed_on.size):
            dinitial[n, left + j] = handed_on[j]
