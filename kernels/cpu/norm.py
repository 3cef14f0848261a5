"""Layer, RMS, batch and group normalisation: see kernels/reference/norm.py.

The elements that are normalised together are called a row here, and are read again while they are
in the cache. Sums of more than RUN elements are added up in float64, run by run. The gradients of
weight and bias are sums over rows: each task has its own sums, which are added in the order of the
tasks.
"""

import numpy as np

from .machine.compile import jit
from .machine.kernel import kernel
from .machine.memory import empty
from .machine.simd import body, fma, full, inside, lanes, load_some, store_some, total
from .machine.threads import pool, run, share, tasks_for, threads_of
from .math.sums import RUN, sum_of_row
from .reduce.kernels import moments, sum_axes

TASK = 1 << 13  # elements that are worth a thread
APART = 32  # elements between the sums of different tasks, which must not share a cache line
ROWS = 64  # rows, likewise
SHORT = 8  # elements of a channel in one image, below which batch norm is NumPy's, of whole arrays


@kernel("x weight? bias?")
def layer_norm(x, weight, bias, eps):
    """(y, mean, rstd) of each row."""
    return _rows(True, x, weight, bias, eps)


@kernel("g x weight? mean rstd")
def layer_norm_backward(g, x, weight, mean, rstd, needs):
    """(dx, dweight, dbias)."""
    return _wanted(_rows_backward(True, g, x, weight, mean, rstd), needs)


@kernel("x weight?")
def rms_norm(x, weight, eps):
    """(y, rstd) of each row."""
    y, _, rstd = _rows(False, x, weight, None, eps)
    return y, rstd


@kernel("g x weight? rstd")
def rms_norm_backward(g, x, weight, rstd, needs):
    """(dx, dweight)."""
    return _wanted(_rows_backward(False, g, x, weight, np.zeros_like(rstd), rstd)[:2], needs)


@kernel("x weight? bias?")
def batch_norm(x, weight, bias, eps):
    """(y, mean, var) of each channel."""
    if not x.size:
        return NotImplemented
    if x.shape[2] < SHORT:
        return _batch_norm_short(x, weight, bias, eps)
    y = empty(x.shape, x.dtype)
    mean, var = np.empty((2, x.shape[1]), x.dtype)
    _channels_forward(pool(), x, *_parameters(x, 1, weight, bias), float(eps), mean, var, y)
    return y, mean, var


@kernel("g x weight? mean var")
def batch_norm_backward(g, x, weight, mean, var, eps, needs):
    """(dx, dweight, dbias)."""
    if not x.size:
        return NotImplemented
    if x.shape[2] < SHORT:
        return _batch_norm_short_backward(g, x, weight, mean, var, eps, needs)
    dx = empty(x.shape, x.dtype)
    dweight, dbias = np.empty((2, x.shape[1]), x.dtype)
    weight, _ = _parameters(x, 1, weight, None)
    _channels_backward(pool(), g, x, weight, mean, var, float(eps), dx, dweight, dbias)
    return _wanted((dx, dweight, dbias), needs)


def _batch_norm_short(x, weight, bias, eps):
    """Batch norm of vectors, or of images of a few pixels, by NumPy on the whole array."""
    mean, var = (s.astype(x.dtype) for s in _statistics(x))
    scale = 1 / np.sqrt(var + x.dtype.type(eps))
    y = x - mean[:, None]
    y *= (scale if weight is None else scale * weight)[:, None]
    if bias is not None:
        y += bias[:, None]
    return y, mean, var


def _statistics(x):
    mean, squares = moments(x, (0, 2))
    return mean, squares / (x.shape[0] * x.shape[2])


def _batch_norm_short_backward(g, x, weight, mean, var, eps, needs):
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    xhat = (x - mean[:, None]) * rstd[:, None]
    dweight, dbias = sum_axes(g * xhat, (0, 2)), sum_axes(g, (0, 2))
    dx = None
    if needs[0]:
        count = x.dtype.type(x.shape[0] * x.shape[2])
        xhat *= (dweight / count)[:, None]
        dx = g - (dbias / count)[:, None]
        dx -= xhat
        dx *= (rstd if weight is None else rstd * weight)[:, None]
    return _wanted((dx, dweight, dbias), needs)


@kernel("x weight? bias?")
def group_norm(x, weight, bias, groups, eps):
    """(y, mean, rstd) of each group of channels in each image."""
    y = empty(x.shape, x.dtype)
    mean, rstd = np.empty((2, x.shape[0], groups), x.dtype)
    _groups_forward(pool(), x, *_parameters(x, 1, weight, bias), float(eps), mean, rstd, y)
    return y, mean, rstd


@kernel("g x weight? mean rstd")
def group_norm_backward(g, x, weight, groups, mean, rstd, needs):
    """(dx, dweight, dbias)."""
    dx = empty(x.shape, x.dtype)
    dweight, dbias = np.empty((2, x.shape[1]), x.dtype)
    weight, _ = _parameters(x, 1, weight, None)
    _groups_backward(pool(), g, x, weight, mean, rstd, dx, dweight, dbias)
    return _wanted((dx, dweight, dbias), needs)


def _parameters(x, axis, weight, bias):
    """The weight and the bias along an axis; ones and zeros where there is none."""
    n = x.shape[axis]
    weight = np.ones(n, x.dtype) if weight is None else weight
    return weight, np.zeros(n, x.dtype) if bias is None else bias


def _wanted(grads, needs):
    return tuple(grad if need else None for grad, need in zip(grads, needs, strict=True))


# Rows: layer and RMS norm


def _rows(centred, x, weight, bias, eps):
    y = empty(x.shape, x.dtype)
    mean, rstd = np.empty((2, x.shape[0]), x.dtype)
    _rows_forward(pool(), centred, x, *_parameters(x, 1, weight, bias), float(eps), mean, rstd, y)
    return y, mean, rstd


def _rows_backward(centred, g, x, weight, mean, rstd):
    dx = empty(x.shape, x.dtype)
    dweight, dbias = np.empty((2, x.shape[1]), x.dtype)
    weight, _ = _parameters(x, 1, weight, None)
    _rows_backward_all(pool(), centred, g, x, weight, mean, rstd, dx, dweight, dbias)
    return dx, dweight, dbias


@body
def _tasks(pool, x, rows):
    return max(1, min(tasks_for(pool, x.size, TASK), rows))


@jit
def _rows_forward(pool, centred, x, weight, bias, eps, mean, rstd, y):
    args = (centred, x, weight, bias, eps, mean, rstd, y)
    run(pool, _rows_forward_part, args, _tasks(pool, x, x.shape[0]))


@body
def _rows_forward_part(task, tasks, centred, x, weight, bias, eps, mean, rstd, y):
    lo, hi = share(task, tasks, x.shape[0])
    real = x.dtype.type
    share_of_one = 1 / max(1, x.shape[1])
    for r in range(lo, hi):
        row, to = x[r], y[r]
        m = real(sum_of_row(row) * share_of_one) if centred else real(0)
        scale = real(1) / np.sqrt(real(_squares(row, m) * share_of_one) + real(eps))
        for i in range(row.size):
            to[i] = (row[i] - m) * scale * weight[i] + bias[i]
        mean[r], rstd[r] = m, scale


@jit
def _rows_backward_all(pool, centred, g, x, weight, mean, rstd, dx, dweight, dbias):
    tasks = min(_tasks(pool, x, x.shape[0]), 2 * threads_of(pool))
    blocks = np.empty((tasks, 2, x.shape[1] + APART), x.dtype)
    parts = np.zeros((tasks, 2, x.shape[1] + APART))
    args = (centred, g, x, weight, mean, rstd, dx, blocks, parts)
    run(pool, _rows_backward_part, args, tasks)
    _add_parts(parts, dweight, dbias)


@body
def _add_parts(parts, dweight, dbias):
    """Add up the sums of all tasks, in the order of the tasks."""
    sums = parts[0]
    for part in parts[1:]:
        sums += part
    dweight[:], dbias[:] = sums[0, : dweight.size], sums[1, : dbias.size]


@body
def _rows_backward_part(task, tasks, centred, g, x, weight, mean, rstd, dx, blocks, parts):
    lo, hi = share(task, tasks, x.shape[0])
    real, size, n = x.dtype.type, lanes(x), x.shape[1]
    share_of_one, rest = 1 / max(1, n), n % size
    dweight, dbias = blocks[task, 0, :n], blocks[task, 1, :n]
    for top in range(lo, hi, ROWS):
        dweight[:], dbias[:] = 0, 0
        for r in range(top, min(top + ROWS, hi)):
            start, m, scale = r * n, mean[r], rstd[r]
            plain_sum, along_sum = _sums_of_row(g, x, weight, m, scale, start, n)
            shift = real(plain_sum * share_of_one) if centred else real(0)
            row = start, m, scale, shift, real(along_sum * share_of_one)
            for i in range(0, n - rest, size):
                _row_gradient(g, x, weight, dx, dweight, dbias, row, i, size)
            if rest:
                _row_gradient(g, x, weight, dx, dweight, dbias, row, n - rest, rest)
        for i in range(n):
            parts[task, 0, i] += dweight[i]
            parts[task, 1, i] += dbias[i]


@inside
def _sums_of_row(g, x, weight, m, scale, start, n):
    """The sums of g weight and of g weight (x - m) scale."""
    size, plain_sum, along_sum = lanes(x), 0.0, 0.0
    for first in range(0, n, RUN):
        plain, along = full(x, x.dtype.type(0)), full(x, x.dtype.type(0))
        last = min(first + RUN, n)
        rest = (last - first) % size
        for i in range(first, last - rest, size):
            grad, normal = _weighted(g, x, weight, m, scale, start, i, size)
            plain, along = plain + grad, fma(grad, normal, along)
        if rest:
            grad, normal = _weighted(g, x, weight, m, scale, start, last - rest, rest)
            plain, along = plain + grad, fma(grad, normal, along)
        plain_sum += total(plain)
        along_sum += total(along)
    return plain_sum, along_sum


@inside
def _weighted(g, x, weight, m, scale, start, i, count):
    """(g weight, (x - m) scale) of `count` columns from i on."""
    grad = load_some(g, start + i, 0, count) * load_some(weight, i, 0, count)
    return grad, (load_some(x, start + i, 0, count) - m) * scale


@inside
def _row_gradient(g, x, weight, dx, dweight, dbias, row, i, count):
    """dx of `count` columns of a row from i on, and what they add to dweight and dbias."""
    start, m, scale, shift, slope = row
    grad = load_some(g, start + i, 0, count)
    normal = (load_some(x, start + i, 0, count) - m) * scale
    value = scale * (grad * load_some(weight, i, 0, count) - shift - normal * slope)
    store_some(dx, start + i, value, 0, count)
    store_some(dweight, i, fma(grad, normal, load_some(dweight, i, 0, count)), 0, count)
    store_some(dbias, i, grad + load_some(dbias, i, 0, count), 0, count)


# Channels: batch norm


@jit
def _channels_forward(pool, x, weight, bias, eps, mean, var, y):
    args = (x, weight, bias, eps, mean, var, y)
    run(pool, _channels_forward_part, args, _tasks(pool, x, x.shape[1]))


@body
def _channels_forward_part(task, tasks, x, weight, bias, eps, mean, var, y):
    lo, hi = share(task, tasks, x.shape[1])
    real = x.dtype.type
    share_of_one = 1 / max(1, x.shape[0] * x.shape[2])
    for c in range(lo, hi):
        total = 0.0  # sums over a whole batch are added up in double precision
        for n in range(x.shape[0]):
            total += sum_of_row(x[n, c])
        m = real(total * share_of_one)
        total = 0.0
        for n in range(x.shape[0]):
            total += _squares(x[n, c], m)
        mean[c], var[c] = m, real(total * share_of_one)
        scale = weight[c] / np.sqrt(var[c] + real(eps))
        for n in range(x.shape[0]):
            _affine(x[n, c], m, scale, bias[c], y[n, c])


@jit
def _channels_backward(pool, g, x, weight, mean, var, eps, dx, dweight, dbias):
    args = (g, x, weight, mean, var, eps, dx, dweight, dbias)
    run(pool, _channels_backward_part, args, _tasks(pool, x, x.shape[1]))


@body
def _channels_backward_part(task, tasks, g, x, weight, mean, var, eps, dx, dweight, dbias):
    lo, hi = share(task, tasks, x.shape[1])
    real = x.dtype.type
    share_of_one = 1 / max(1, x.shape[0] * x.shape[2])
    for c in range(lo, hi):
        m, rstd = mean[c], real(1) / np.sqrt(var[c] + real(eps))
        plain = along = 0.0
        for n in range(x.shape[0]):
            plain += sum_of_row(g[n, c])
            along += _product(g[n, c], x[n, c], m)
        dweight[c], dbias[c] = real(along) * rstd, real(plain)
        shift, slope = real(plain * share_of_one), real(along * share_of_one) * rstd * rstd
        for n in range(x.shape[0]):
            _slope(g[n, c], x[n, c], m, weight[c] * rstd, shift, slope, dx[n, c])


@jit
def _squares(x, m):
    whole = 0.0
    for start in range(0, x.size, RUN):
        part, s = x[start : start + RUN], x.dtype.type(0)
        for i in range(part.size):
            s += (part[i] - m) * (part[i] - m)
        whole += s
    return whole


@jit
def _product(g, x, m):
    whole = 0.0
    for start in range(0, x.size, RUN):
        a, b, s = g[start : start + RUN], x[start : start + RUN], x.dtype.type(0)
        for i in range(a.size):
            s += a[i] * (b[i] - m)
        whole += s
    return whole


@jit
def _affine(x, m, scale, bias, y):
    for i in range(x.size):
        y[i] = (x[i] - m) * scale + bias


@body
def _slope(g, x, m, scale, shift, slope, dx):
    for i in range(x.size):
        dx[i] = scale * (g[i] - shift - (x[i] - m) * slope)


# Groups of channels: group norm


@jit
def _groups_forward(pool, x, weight, bias, eps, mean, rstd, y):
    args = (x, weight, bias, eps, mean, rstd, y)
    run(pool, _groups_forward_part, args, _tasks(pool, x, x.shape[0]))


@body
def _groups_forward_part(task, tasks, x, weight, bias, eps, mean, rstd, y):
    lo, hi = share(task, tasks, x.shape[0])
    real, groups = x.dtype.type, mean.shape[1]
    width = x.shape[1] // groups
    share_of_one = 1 / max(1, width * x.shape[2])
    for n in range(lo, hi):
        for k in range(groups):
            channels = range(k * width, (k + 1) * width)
            total = 0.0
            for c in channels:
                total += sum_of_row(x[n, c])
            m = real(total * share_of_one)
            total = 0.0
            for c in channels:
                total += _squares(x[n, c], m)
            scale = real(1) / np.sqrt(real(total * share_of_one) + real(eps))
            mean[n, k], rstd[n, k] = m, scale
            for c in channels:
                _affine(x[n, c], m, scale * weight[c], bias[c], y[n, c])


@jit
def _groups_backward(pool, g, x, weight, mean, rstd, dx, dweight, dbias):
    tasks = min(_tasks(pool, x, x.shape[0]), 2 * threads_of(pool))
    parts = np.zeros((tasks, 2, x.shape[1] + APART))
    run(pool, _groups_backward_part, (g, x, weight, mean, rstd, dx, parts), tasks)
    _add_parts(parts, dweight, dbias)


@body
def _groups_backward_part(task, tasks, g, x, weight, mean, rstd, dx, parts):
    lo, hi = share(task, tasks, x.shape[0])
    real, groups = x.dtype.type, mean.shape[1]
    width = x.shape[1] // groups
    share_of_one = 1 / max(1, width * x.shape[2])
    dweight, dbias = parts[task, 0, : x.shape[1]], parts[task, 1, : x.shape[1]]
    for n in range(lo, hi):
        for k in range(groups):
            m, scale = mean[n, k], rstd[n, k]
            plain = along = 0.0
            for c in range(k * width, (k + 1) * width):
                one, other = sum_of_row(g[n, c]), _product(g[n, c], x[n, c], m)
                dbias[c] += one
                dweight[c] += other * scale
                plain += one * weight[c]
                along += other * weight[c]
            shift, slope = real(plain * share_of_one), real(along * share_of_one) * scale * scale
            for c in range(k * width, (k + 1) * width):
                grad, row, to, w = g[n, c], x[n, c], dx[n, c], weight[c]
                for i in range(row.size):
                    to[i] = scale * (grad[i] * w - shift - (row[i] - m) * slope)
