"""Max and average pooling, and adding up windows, plane by plane: see kernels/reference/pool.py.

Averages and their gradients are summed along one axis and then along the other, in float64. There
are separate loops for averages of 2 x 2, which are summed in the dtype of x, and for the gradients
of windows that do not overlap, in which nothing is summed.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import kernel
from ..machine.memory import empty
from ..machine.simd import body, inlined, inside
from ..machine.threads import pool, run, share, tasks_for

POSITIONS = np.dtype(np.int32), np.dtype(np.int64)
TASK = 1 << 13  # elements that are worth a thread
SMALL = 1 << 12  # elements, up to which NumPy is quick enough and needs no compiler
MANY = 1 << 31  # pixels, whose positions need int64: fewer take half of the memory
LONGEST = 1024  # elements that are added up one after the other in the dtype of the gradient


@kernel("x", half=True, kept=(1,))
def max_pool2d(x, geometry):
    """(y, index): the maximum of each window, and its flat position in the plane."""
    if geometry.dilation != (1, 1):
        return NotImplemented
    shape, pixels = geometry.y_shape, geometry.h * geometry.w
    y, index = empty(shape, x.dtype), empty(shape, np.int32 if pixels < MANY else np.int64)
    of_x, of_y = _planes(geometry)
    _max_pool(pool(), x.reshape(of_x), y.reshape(of_y), index.reshape(of_y), geometry)
    return y, index


@kernel("x", half=True, kept=(1,))
def adaptive_max_pool2d(x, size):
    """(y, index) as max_pool2d, of the windows that cover the image."""
    n, c, h, w = x.shape
    if x.size <= SMALL:
        return NotImplemented
    shape = n, c, *size
    y, index = empty(shape, x.dtype), empty(shape, np.int32 if h * w < MANY else np.int64)
    of_y = n * c, *size
    _adaptive(pool(), x.reshape(n * c, h, w), y.reshape(of_y), index.reshape(of_y))
    return y, index


@kernel("g", others="index", half=True)
def max_pool2d_backward(g, index, geometry):
    """dx: g added at the positions that max_pool2d chose."""
    if index.dtype not in POSITIONS:
        return NotImplemented
    dx = empty(geometry.x_shape, g.dtype)
    (planes, h, w), (_, ho, wo) = _planes(geometry)
    chosen = g.reshape(planes, ho * wo), index.reshape(planes, ho * wo)
    _spread(pool(), *chosen, dx.reshape(planes, h * w))
    return dx


@kernel("x", half=True)
def avg_pool2d(x, geometry):
    """The mean of each window; padding counts as zeros."""
    y = empty(geometry.y_shape, x.dtype)
    of_x, of_y = _planes(geometry)
    _average(pool(), x.reshape(of_x), y.reshape(of_y), geometry)
    return y


@kernel("g", half=True)
def avg_pool2d_backward(g, geometry):
    """dx: each window's gradient spread evenly over the window."""
    dx = empty(geometry.x_shape, g.dtype)
    of_x, of_y = _planes(geometry)
    _spread_evenly(pool(), dx.reshape(of_x), g.reshape(of_y), geometry)
    return dx


def _planes(s):
    """The shapes of x and of y with one axis for the planes of all images."""
    planes = s.images * s.groups
    return (planes, s.h, s.w), (planes, s.ho, s.wo)


@body
def _tasks(pool, x):
    return max(1, min(tasks_for(pool, x.size, TASK), x.shape[0]))


@inlined
def _window(s):
    """The windows of a Geometry: their size, stride and padding."""
    return s.kh, s.kw, s.sh, s.sw, s.ph, s.pw


@inlined
def _are_2x2_inside(s, x, y):
    """Whether all windows are 2 x 2 and lie within the image."""
    kh, kw, sh, sw, ph, pw = _window(s)
    bottom, right = (y.shape[1] - 1) * sh + 2, (y.shape[2] - 1) * sw + 2
    return (
        kh == 2 and kw == 2 and ph == 0 and pw == 0 and bottom <= x.shape[1] and right <= x.shape[2]
    )


@jit
def _max_pool(pool, x, y, index, s):
    run(pool, _max_pool_part, (x, y, index, s), _tasks(pool, x))


@body
def _max_pool_part(task, tasks, x, y, index, s):
    kh, kw, sh, sw, ph, pw = _window(s)
    h, w = x.shape[1:]
    inside = _are_2x2_inside(s, x, y)
    room = np.empty(w, x.dtype), np.empty(w, index.dtype)
    lefts, rights = np.empty(s.wo, np.int64), np.empty(s.wo, np.int64)
    for q in range(s.wo):
        lefts[q], rights[q] = max(0, q * sw - pw), min(w, q * sw - pw + kw)
    lo, hi = share(task, tasks, x.shape[0])
    for plane in range(lo, hi):
        pixels = x[plane].reshape(h * w)
        for p in range(y.shape[1]):
            best, where = y[plane, p], index[plane, p]
            if inside:  # loops that the compiler unrolls
                for q in range(best.size):
                    best[q], where[q] = _greatest_of_4(pixels, p * sh * w + q * sw, w)
            else:
                top, bottom = max(0, p * sh - ph), min(h, p * sh - ph + kh)
                _greatest(x[plane], top, bottom, lefts, rights, room, best, where)


@jit
def _adaptive(pool, x, y, index):
    run(pool, _adaptive_part, (x, y, index), _tasks(pool, x))


@body
def _adaptive_part(task, tasks, x, y, index):
    h, w = x.shape[1:]
    _, rows, columns = y.shape
    room = np.empty(w, x.dtype), np.empty(w, index.dtype)
    lefts, rights = np.empty(columns, np.int64), np.empty(columns, np.int64)
    for q in range(columns):
        lefts[q], rights[q] = q * w // columns, ((q + 1) * w + columns - 1) // columns
    lo, hi = share(task, tasks, x.shape[0])
    for plane in range(lo, hi):
        for p in range(rows):
            top, bottom = p * h // rows, ((p + 1) * h + rows - 1) // rows
            best, where = y[plane, p], index[plane, p]
            _greatest(x[plane], top, bottom, lefts, rights, room, best, where)


@inlined
def _is_greater(value, best):
    """Whether a value takes the place of the best so far: the first NaN wins over everything."""
    return (value > best) | ((value != value) & (best == best))


@inlined
def _greatest_of_4(pixels, start, w):
    """(the maximum of a window of 2 x 2, its place): the first of equals, and the first NaN."""
    best, where = pixels[start], start
    for at in (start + 1, start + w, start + w + 1):
        value = pixels[at]
        take = _is_greater(value, best)
        best, where = value if take else best, at if take else where
    return best, where


@inside
def _greatest(x, top, bottom, lefts, rights, room, best, where):
    """The maxima of the windows of some rows of a plane: of each column, and then of columns."""
    most, rows = room
    for j in range(most.size):
        most[j], rows[j] = x[top, j], top
    for i in range(top + 1, bottom):
        row = x[i]
        for j in range(most.size):
            take = _is_greater(row[j], most[j])
            most[j], rows[j] = row[j] if take else most[j], i if take else rows[j]
    for q in range(best.size):
        found, row, column = most[lefts[q]], rows[lefts[q]], lefts[q]
        for j in range(lefts[q] + 1, rights[q]):
            value = most[j]
            alike = (value == found) | ((value != value) & (found != found))
            take = _is_greater(value, found) | (alike & (rows[j] < row))
            found, row = value if take else found, rows[j] if take else row
            column = j if take else column
        best[q], where[q] = found, row * x.shape[1] + column


@jit
def _spread(pool, g, index, dx):
    run(pool, _spread_part, (g, index, dx), _tasks(pool, dx))


@body
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
def _add_at(row, places, values):
    """row = 0, and then row[places] += values."""
    row[:] = 0
    for k in range(values.size):
        row[places[k]] += values[k]


@inlined
def _copy(x, y):
    """y = x."""
    for k in range(x.size):
        y[k] = x[k]


@jit
def _average(pool, x, y, s):
    run(pool, _average_part, (x, y, s), _tasks(pool, x))


@body
def _average_part(task, tasks, x, y, s):
    kh, kw, sh, sw, ph, pw = _window(s)
    share_of_one = 1.0 / (kh * kw)
    inside, quarter = _are_2x2_inside(s, x, y), x.dtype.type(0.25)
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
def _spread_evenly(pool, dx, g, s):
    run(pool, _spread_evenly_part, (dx, g, s), _tasks(pool, dx))


@body
def _spread_evenly_part(task, tasks, dx, g, s):
    kh, kw, sh, sw, ph, pw = _window(s)
    share_of_one = 1.0 / (kh * kw)
    slopes = np.empty(g.shape[2], np.float64)  # their sums over the windows that meet a row
    row = np.empty(dx.shape[2], np.float64)
    lo, hi = share(task, tasks, dx.shape[0])
    for plane in range(lo, hi):
        if kh <= sh and kw <= sw:  # no windows overlap
            _spread_apart(dx[plane], g[plane], s)
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
def _spread_apart(dx, g, s):
    """dx of a plane whose windows do not overlap."""
    kh, kw, sh, sw, ph, pw = _window(s)
    share_of_one = dx.dtype.type(1.0 / (kh * kw))
    dx[:] = 0
    for p in range(g.shape[0]):
        for i in range(max(0, p * sh - ph), min(dx.shape[0], p * sh - ph + kh)):
            row = dx[i]
            for q in range(g.shape[1]):
                part = g[p, q] * share_of_one
                for j in range(max(0, q * sw - pw), min(row.size, q * sw - pw + kw)):
                    row[j] = part


# Windows added up in images, see kernels/reference/patches.py


@kernel("g", half=True)
def join_windows(g, size, stride, dilation):
    """Images of this size in which the windows are added up."""
    if g.size <= SMALL:
        return NotImplemented
    n, c, kh, kw, rows, columns = g.shape
    y = empty((n, c, *size), g.dtype)
    planes = y.reshape(n * c, *size)
    _join(pool(), g.reshape(n * c, kh, kw, rows, columns), planes, stride, dilation)
    return y


@jit
def _join(pool, g, y, stride, dilation):
    tasks = max(1, min(tasks_for(pool, g.size, TASK), y.shape[0]))
    run(pool, _join_part, (g, y, stride, dilation), tasks)


@body
def _join_part(task, tasks, g, y, stride, dilation):
    _, kh, kw, rows, _ = g.shape
    for plane in range(*share(task, tasks, y.shape[0])):
        y[plane] = 0
        for i in range(kh):
            for j in range(kw):
                for p in range(rows):
                    row = y[plane, p * stride[0] + i * dilation[0], j * dilation[1] :]
                    _add_apart(row, g[plane, i, j, p], stride[1])


@inside
def _add_apart(row, new, step):
    """Add elements to every step-th one of a row."""
    if step == 1:
        part = row[: new.size]
        for q in range(part.size):
            part[q] += new[q]
    else:
        for q in range(new.size):
            row[q * step] += new[q]
