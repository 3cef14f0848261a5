"""The linear recurrence and its gradient, and running sums: see kernels/reference/scan.py.

A task takes lines along the middle axis, or tiles of lines that lie side by side; their states stay
in float64, in the fastest cache. A step waits for the one before it: of lines that lie one behind
the other four are walked at once, so that none waits for another one.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import FLOAT16, REAL, kernel
from ..machine.memory import empty
from ..machine.simd import body, inlined, inside
from ..machine.threads import pool, run, share, tasks_for

TILE = 256  # lines side by side whose states are kept at a time
TASK = 1 << 13  # elements that are worth a thread
SMALL = 1 << 12  # elements, up to which NumPy adds up as quickly and needs no compiler
FOUR = 4  # lines that are walked at once


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


@kernel("x", half=True)
def running_sum(x, reverse):
    """The sum of all elements so far, at each step."""
    if x.size <= SMALL:
        return NotImplemented
    y = empty(x.shape, x.dtype)
    _sums(pool(), x, reverse, y)
    return y


@kernel("x", dtypes=(FLOAT16, *REAL, np.dtype(np.int64)))
def running_extreme(x, largest):
    """The place of the maximum (or minimum) so far, at each step."""
    x = x.astype(np.float32) if x.dtype == FLOAT16 else x
    places = empty(x.shape, np.int64)
    _extreme(pool(), x, largest, places)
    return places


@body
def _tiles(x):
    """(the columns of a tile, how many tiles a row of lines has)."""
    width = min(x.shape[2], TILE)
    return width, (x.shape[2] + width - 1) // max(width, 1)


@body
def _tasks(pool, x):
    return max(1, min(tasks_for(pool, x.size, TASK), x.shape[0] * _tiles(x)[1]))


@inlined
def _line(x, n):
    """Line n of lines whose elements lie side by side."""
    return x[n].reshape(x.shape[1])


@jit
def _scan(pool, a, b, initial, reverse, h):
    run(pool, _scan_part, (a, b, initial, reverse, h), _tasks(pool, a))


@body
def _scan_part(task, tasks, a, b, initial, reverse, h):
    steps = a.shape[1]
    width, tiles = _tiles(a)
    room = np.empty(width, np.float64)
    lo, hi = share(task, tasks, a.shape[0] * tiles)
    if a.shape[2] == 1:
        _scan_lines(a[lo:hi], b[lo:hi], initial[lo:hi], reverse, h[lo:hi])
        return
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


@inside
def _scan_lines(a, b, initial, reverse, h):
    """Lines whose elements lie side by side; the last ones of four may be one line again."""
    last, steps = a.shape[0] - 1, a.shape[1]
    for n in range(0, a.shape[0], FOUR):
        n1, n2, n3 = min(n + 1, last), min(n + 2, last), min(n + 3, last)
        s0, s1 = np.float64(initial[n, 0]), np.float64(initial[n1, 0])
        s2, s3 = np.float64(initial[n2, 0]), np.float64(initial[n3, 0])
        for step in range(steps):
            t = steps - 1 - step if reverse else step
            s0 = a[n, t, 0] * s0 + b[n, t, 0]
            s1 = a[n1, t, 0] * s1 + b[n1, t, 0]
            s2 = a[n2, t, 0] * s2 + b[n2, t, 0]
            s3 = a[n3, t, 0] * s3 + b[n3, t, 0]
            h[n, t, 0], h[n1, t, 0], h[n2, t, 0], h[n3, t, 0] = s0, s1, s2, s3


@jit
def _scan_back(pool, g, a, h, initial, reverse, da, db, dinitial):
    run(pool, _scan_back_part, (g, a, h, initial, reverse, da, db, dinitial), _tasks(pool, a))


@body
def _scan_back_part(task, tasks, g, a, h, initial, reverse, da, db, dinitial):
    steps = a.shape[1]
    width, tiles = _tiles(a)
    room = np.empty(width, np.float64)
    lo, hi = share(task, tasks, a.shape[0] * tiles)
    if a.shape[2] == 1:
        for n in range(lo, hi, FOUR):
            _scan_four_back(n, hi - 1, g, a, h, initial, reverse, da, db, dinitial)
        return
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


@inside
def _scan_four_back(n, last, g, a, h, initial, reverse, da, db, dinitial):
    """As `_scan_lines`, from the other end."""
    n1, n2, n3 = min(n + 1, last), min(n + 2, last), min(n + 3, last)
    s0 = s1 = s2 = s3 = 0.0
    steps = a.shape[1]
    for step in range(steps - 1, 0, -1):
        t = steps - 1 - step if reverse else step
        before = t + 1 if reverse else t - 1
        u0, u1, u2, u3 = g[n, t, 0] + s0, g[n1, t, 0] + s1, g[n2, t, 0] + s2, g[n3, t, 0] + s3
        db[n, t, 0], db[n1, t, 0], db[n2, t, 0], db[n3, t, 0] = u0, u1, u2, u3
        da[n, t, 0], da[n1, t, 0] = u0 * h[n, before, 0], u1 * h[n1, before, 0]
        da[n2, t, 0], da[n3, t, 0] = u2 * h[n2, before, 0], u3 * h[n3, before, 0]
        s0, s1, s2, s3 = a[n, t, 0] * u0, a[n1, t, 0] * u1, a[n2, t, 0] * u2, a[n3, t, 0] * u3
    for m, s in ((n, s0), (n1, s1), (n2, s2), (n3, s3)):
        if steps:
            t = steps - 1 if reverse else 0
            u = g[m, t, 0] + s
            da[m, t, 0], db[m, t, 0], dinitial[m, 0] = u * initial[m, 0], u, a[m, t, 0] * u
        else:
            dinitial[m, 0] = 0


@jit
def _sums(pool, x, reverse, y):
    run(pool, _sums_part, (x, reverse, y), _tasks(pool, x))


@body
def _sums_part(task, tasks, x, reverse, y):
    steps = x.shape[1]
    width, tiles = _tiles(x)
    room = np.empty(width, np.float64)
    lo, hi = share(task, tasks, x.shape[0] * tiles)
    for unit in range(lo, hi):
        n, left = unit // tiles, unit % tiles * width
        if x.shape[2] == 1:
            _sum_line(_line(x, n), reverse, _line(y, n))
            continue
        right = min(left + width, x.shape[2])
        total = room[: right - left]
        total[:] = 0
        for step in range(steps):
            t = steps - 1 - step if reverse else step
            xt, yt = x[n, t, left:right], y[n, t, left:right]
            for j in range(total.size):
                total[j] += xt[j]
                yt[j] = total[j]


@inside
def _sum_line(x, reverse, y):
    """Four elements are added up while the sum of those before them is not known yet."""
    total, step = 0.0, -1 if reverse else 1
    first = x.size - 1 if reverse else 0
    for t in range(0, x.size // FOUR * FOUR, FOUR):
        i = first + step * t
        j, k, m = i + step, i + 2 * step, i + 3 * step
        a = np.float64(x[i])
        b = a + x[j]
        c = b + x[k]
        d = c + x[m]
        y[i], y[j], y[k], y[m] = total + a, total + b, total + c, total + d
        total += d
    for t in range(x.size // FOUR * FOUR, x.size):
        total += x[first + step * t]
        y[first + step * t] = total


@jit
def _extreme(pool, x, largest, places):
    run(pool, _extreme_part, (x, largest, places), _tasks(pool, x))


@body
def _extreme_part(task, tasks, x, largest, places):
    width, tiles = _tiles(x)
    lo, hi = share(task, tasks, x.shape[0] * tiles)
    for unit in range(lo, hi):
        n, left = unit // tiles, unit % tiles * width
        if width == 1 and tiles == 1:
            _extreme_of_line(_line(x, n), largest, _line(places, n))
            continue
        right = min(left + width, x.shape[2])
        for t in range(x.shape[1]):
            new, place = x[n, t, left:right], places[n, t, left:right]
            for j in range(new.size):
                best = places[n, max(t - 1, 0), left + j] if t else 0
                value, old = new[j], x[n, best, left + j]
                better = value >= old if largest else value <= old
                place[j] = t if better or value != value else best


@inlined
def _extreme_of_line(x, largest, places):
    best, place = x[0] if x.size else 0, 0
    for t in range(x.size):
        value = x[t]
        worse = value < best if largest else value > best
        if not worse and (best == best or value != value):
            best, place = value, t
        places[t] = place
