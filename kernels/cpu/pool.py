"""Max and average pooling, plane by plane: see kernels/reference/pool.py.

Averages, and their gradients, are summed up along one axis and then along the other, in float64.
"""

import numpy as np

from ..reference.windows import output_size, starts
from .machine.compile import jit
from .machine.kernel import kernel
from .machine.memory import empty
from .machine.simd import inlined
from .machine.threads import pool, run, share, tasks_for

POSITIONS = np.dtype(np.int32), np.dtype(np.int64)
TASK = 1 << 13  # elements that are worth a thread
LONGEST = 1024  # numbers that are added up one after the other in the dtype of the gradient


@kernel("x", half=True, kept=(1,))
def max_pool2d(x, size, stride, padding):
    """(y, index): the maximum of each window, and its flat position in the plane."""
    n, c, h, w = x.shape
    out = output_size((h, w), size, stride, padding)
    position = np.int32 if h * w < 1 << 31 else np.int64  # half of the memory for the backward
    y, index = empty((n, c, *out), x.dtype), empty((n, c, *out), position)
    _max_pool(pool(), _planes(x), _planes(y), _planes(index), _window(size, stride, padding))
    return y, index


@kernel("g", others="index", half=True)
def max_pool2d_backward(g, index, x_shape):
    """dx: g added at the positions that max_pool2d chose."""
    if index.dtype not in POSITIONS:
        return NotImplemented
    n, c, h, w = x_shape
    dx, out = empty(x_shape, g.dtype), g.shape[2] * g.shape[3]
    chosen = g.reshape(n * c, out), index.reshape(n * c, out)
    _spread(pool(), *chosen, dx.reshape(n * c, h * w))
    return dx


@kernel("x", half=True)
def avg_pool2d(x, size, stride, padding):
    """The mean of each window; padding counts as zeros."""
    y = empty((*x.shape[:2], *output_size(x.shape[2:], size, stride, padding)), x.dtype)
    _average(pool(), _planes(x), _planes(y), _window(size, stride, padding))
    return y


@kernel("g", half=True)
def avg_pool2d_backward(g, x_shape, size, stride, padding):
    """dx: each window's gradient spread evenly over the window."""
    dx = empty(x_shape, g.dtype)
    _spread_evenly(pool(), _planes(dx), _planes(g), _window(size, stride, padding))
    return dx


def _window(size, stride, padding):
    return *map(int, size), *map(int, stride), *map(int, starts(padding))


def _planes(x):
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


@jit
def _tasks(pool, x):
    return max(1, min(tasks_for(pool, x.size, TASK), x.shape[0]))


@inlined
def _are_2x2_inside(window, x, y):
    """Whether the windows are 2 x 2 and none stands out of the image."""
    kh, kw, sh, sw, ph, pw = window
    bottom, right = (y.shape[1] - 1) * sh + 2, (y.shape[2] - 1) * sw + 2
    return (
        kh == 2 and kw == 2 and ph == 0 and pw == 0 and bottom <= x.shape[1] and right <= x.shape[2]
    )


@jit
def _max_pool(pool, x, y, index, window):
    run(pool, _max_pool_part, (x, y, index, window), _tasks(pool, x))


@jit
def _max_pool_part(task, tasks, x, y, index, window):
    kh, kw, sh, sw, ph, pw = window
    h, w = x.shape[1:]
    inside = _are_2x2_inside(window, x, y)
    lo, hi = share(task, tasks, x.shape[0])
    for plane in range(lo, hi):
        pixels = x[plane].reshape(h * w)
        for p in range(y.shape[1]):
            top, bottom = max(0, p * sh - ph), min(h, p * sh - ph + kh)
            best, where = y[plane, p], index[plane, p]
            if inside:  # loops that the compiler unrolls
                for q in range(best.size):
                    best[q], where[q] = _greatest(pixels, top * w + q * sw, 2, 2, w)
            else:
                for q in range(best.size):
                    left, right = max(0, q * sw - pw), min(w, q * sw - pw + kw)
                    rows, columns = bottom - top, right - left
                    best[q], where[q] = _greatest(pixels, top * w + left, rows, columns, w)


@inlined
def _greatest(pixels, start, rows, columns, w):
    """(the maximum of a window, its place): the first of equals, and the first NaN."""
    best, where = pixels[start], start
    for i in range(rows):
        for j in range(columns):
            at = start + i * w + j
            value = pixels[at]
            take = (value > best) | ((value != value) & (best == best))
            best, where = value if take else best, at if take else where
    return best, where


@jit
def _spread(pool, g, index, dx):
    run(pool, _spread_part, (g, index, dx), _tasks(pool, dx))


@jit
def _spread_part(task, tasks, g, index, dx):
    many = g.shape[1] > LONGEST  # which may all have chosen the same place
    sums = np.empty(dx.shape[1] if many else 0, np.float64)
    lo, hi = share(task, tasks, dx.shape[0])
    for plane in range(lo, hi):
        if many:
            _add_at(sums, index[plane], g[plane])
            _copy(sums, dx[plane])
        else:
            _add_at(dx[plane], index[plane], g[plane])


@inlined
def _add_at(row, places, numbers):
    """row = 0, and then row[places] += numbers."""
    row[:] = 0
    for k in range(numbers.size):
        row[places[k]] += numbers[k]


@inlined
def _copy(x, y):
    """y = x"""
    for k in range(x.size):
        y[k] = x[k]


@jit
def _average(pool, x, y, window):
    run(pool, _average_part, (x, y, window), _tasks(pool, x))


@jit
def _average_part(task, tasks, x, y, window):
    kh, kw, sh, sw, ph, pw = window
    share_of_one = 1.0 / (kh * kw)
    inside, quarter = _are_2x2_inside(window, x, y), x.dtype.type(0.25)
    columns = np.empty(x.shape[2], np.float64)  # their sums over the rows of a window
    lo, hi = share(task, tasks, x.shape[0])
    for plane in range(lo, hi):
        for p in range(y.shape[1]):
            mean = y[plane, p]
            if inside:  # a loop that the compiler unrolls
                top, below = x[plane, p * sh], x[plane, p * sh + 1]
                for q in range(mean.size):
                    at = q * sw
                    mean[q] = (top[at] + top[at + 1] + below[at] + below[at + 1]) * quarter
                continue
            columns[:] = 0
            for i in range(max(0, p * sh - ph), min(x.shape[1], p * sh - ph + kh)):
                row = x[plane, i]
                for j in range(row.size):
                    columns[j] += row[j]
            for q in range(mean.size):
                total = 0.0
                for j in range(max(0, q * sw - pw), min(columns.size, q * sw - pw + kw)):
                    total += columns[j]
                mean[q] = total * share_of_one


@jit
def _spread_evenly(pool, dx, g, window):
    run(pool, _spread_evenly_part, (dx, g, window), _tasks(pool, dx))


@jit
def _spread_evenly_part(task, tasks, dx, g, window):
    kh, kw, sh, sw, ph, pw = window
    share_of_one = 1.0 / (kh * kw)
    slopes = np.empty(g.shape[2], np.float64)  # their sums over the windows that meet a row
    row = np.empty(dx.shape[2], np.float64)
    lo, hi = share(task, tasks, dx.shape[0])
    for plane in range(lo, hi):
        if kh <= sh and kw <= sw:  # no windows overlap
            _spread_apart(dx[plane], g[plane], window)
            continue
        for i in range(dx.shape[1]):
            slopes[:] = 0
            for p in range(max(0, (i + ph - kh) // sh + 1), min(g.shape[1], (i + ph) // sh + 1)):
                for q in range(slopes.size):
                    slopes[q] += g[plane, p, q]
            row[:] = 0
            for q in range(slopes.size):
                part = slopes[q] * share_of_one
                for j in range(max(0, q * sw - pw), min(row.size, q * sw - pw + kw)):
                    row[j] += part
            _copy(row, dx[plane, i])


@inlined
def _spread_apart(dx, g, window):
    """dx of a plane whose windows do not overlap."""
    kh, kw, sh, sw, ph, pw = window
    share_of_one = dx.dtype.type(1.0 / (kh * kw))
    dx[:] = 0
    for p in range(g.shape[0]):
        for i in range(max(0, p * sh - ph), min(dx.shape[0], p * sh - ph + kh)):
            row = dx[i]
            for q in range(g.shape[1]):
                part = g[p, q] * share_of_one
                for j in range(max(0, q * sw - pw), min(row.size, q * sw - pw + kw)):
                    row[j] = part
