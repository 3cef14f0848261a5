"""Layer, RMS, batch and group normalisation, launched from norm.cu."""

import numpy as np

from .machine.dtypes import WIDE, dtype_name
from .machine.flat import threads_for_row
from .machine.kernel import kernel
from .machine.launcher import Source
from .reduce import sum_middle

SOURCE = Source("norm.cu")
THREADS = 128
PARTS = 64  # of the rows, whose sums are added up afterwards


@kernel("x weight? bias?")
def layer_norm(x, weight, bias, eps):
    """(y, mean, rstd) of each row: (R, D), (D,), (D,) -> (R, D), (R,), (R,)."""
    dtype = dtype_name(x.dtype)
    if x.shape[1] == 0:
        return NotImplemented
    y, mean, rstd = np.empty_like(x), _wide(x, x.shape[0]), _wide(x, x.shape[0])
    _by_rows("layer_norm", dtype, x.shape, y, mean, rstd, x, weight, bias, eps)
    return y, mean, rstd


@kernel("g x weight?", others="mean rstd")
def layer_norm_backward(g, x, weight, mean, rstd, needs):
    """(dx, dweight, dbias), each None where `needs` says so."""
    dtype = dtype_name(g.dtype)
    if x.size == 0:
        return NotImplemented
    dx = np.empty_like(x) if needs[0] else None
    if needs[0]:
        _by_rows("layer_norm_backward", dtype, x.shape, dx, g, x, weight, mean, rstd)
    return dx, *_parameter_grads(dtype, g, x, mean, rstd, needs[1:])


@kernel("x weight?")
def rms_norm(x, weight, eps):
    """y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps): (R, D), (D,) -> (R, D), (R,)."""
    dtype = dtype_name(x.dtype)
    if x.shape[1] == 0:
        return NotImplemented
    y, rstd = np.empty_like(x), _wide(x, x.shape[0])
    _by_rows("rms_norm", dtype, x.shape, y, rstd, x, weight, eps)
    return y, rstd


@kernel("g x weight?", others="rstd")
def rms_norm_backward(g, x, weight, rstd, needs):
    """(dx, dweight), each None where `needs` says so."""
    dtype = dtype_name(g.dtype)
    if x.size == 0:
        return NotImplemented
    dx = np.empty_like(x) if needs[0] else None
    if needs[0]:
        _by_rows("rms_norm_backward", dtype, x.shape, dx, g, x, weight, rstd)
    return dx, _parameter_grads(dtype, g, x, None, rstd, (needs[1], False))[0]


@kernel("x weight? bias?")
def batch_norm(x, weight, bias, eps):
    """(y, mean, var) of each channel over the whole batch: (N, C, L) -> (N, C, L), (C,), (C,)."""
    dtype = dtype_name(x.dtype)
    if x.size == 0:
        return NotImplemented
    n, c, length = x.shape
    y, mean, var = np.empty_like(x), _wide(x, c), _wide(x, c)
    threads = threads_for_row(n * length)
    SOURCE.kernel("channel_moments", dtype)(c, threads, mean, var, x, n, c, length)
    threads = threads_for_row(length)
    kernel = SOURCE.kernel("batch_norm", dtype)
    kernel(n * c, threads, y, x, weight, bias, mean, var, eps, c, length)
    return y, mean, var


@kernel("g x weight?", others="mean var")
def batch_norm_backward(g, x, weight, mean, var, eps, needs):
    """(dx, dweight, dbias), each None where `needs` says so; mean and var are functions of x."""
    dtype = dtype_name(g.dtype)
    if x.size == 0:
        return NotImplemented
    n, c, length = x.shape
    scaled, plain = _channel_sums(dtype, g, x, mean, var, eps, groups=0)
    dx = np.empty_like(x) if needs[0] else None
    if needs[0]:
        threads = threads_for_row(length)
        kernel = SOURCE.kernel("batch_norm_backward", dtype)
        sums = scaled, plain, eps, n, c, length
        kernel(n * c, threads, dx, g, x, weight, mean, var, *sums)
    return dx, *_narrowed(x, (scaled, plain), needs[1:])


@kernel("x weight? bias?")
def group_norm(x, weight, bias, groups, eps):
    """(y, mean, rstd) of each group of channels in each image: mean and rstd are (N, groups)."""
    dtype = dtype_name(x.dtype)
    if x.size == 0:
        return NotImplemented
    n, c, length = x.shape
    y, mean, rstd = np.empty_like(x), _wide(x, n, groups), _wide(x, n, groups)
    shape, group = (n * groups, c // groups * length), (groups, c // groups, length)
    args = y, mean, rstd, x, weight, bias, eps
    _by_rows("group_norm", dtype, shape, *args, sizes=group)
    return y, mean, rstd


@kernel("g x weight?", others="mean rstd")
def group_norm_backward(g, x, weight, groups, mean, rstd, needs):
    """(dx, dweight, dbias), each None where `needs` says so."""
    dtype = dtype_name(g.dtype)
    if x.size == 0:
        return NotImplemented
    n, c, length = x.shape
    dx = np.empty_like(x) if needs[0] else None
    if needs[0]:
        shape, group = (n * groups, c // groups * length), (groups, c // groups, length)
        args = dx, g, x, weight, mean, rstd
        _by_rows("group_norm_backward", dtype, shape, *args, sizes=group)
    if not (needs[1] or needs[2]):
        return dx, None, None
    sums = _channel_sums(dtype, g, x, mean, rstd, 0.0, groups)
    return dx, *_narrowed(x, sums, needs[1:])


def _wide(x, *shape):
    """An array for statistics of x, in the dtype of arithmetic."""
    return np.empty_like(x, shape=shape, dtype=WIDE[dtype_name(x.dtype)])


def _by_rows(name, dtype, shape, *args, sizes=None):
    """Launch a kernel, a block for each row; its last arguments are `sizes`, or the columns."""
    rows, columns = shape
    if rows:
        kernel = SOURCE.kernel(name, dtype)
        kernel(rows, threads_for_row(columns), *args, *(sizes or (columns,)))


def _parameter_grads(dtype, g, x, mean, rstd, needs):
    """(dweight, dbias) of rows: sums of g * xhat and of g down each column."""
    if not any(needs):
        return None, None
    rows, columns = x.shape
    share = max(32, -(-rows // PARTS))
    parts = -(-rows // share)
    sums = [_wide(x, 1, parts, columns) if need else None for need in needs]
    kernel = SOURCE.kernel("sum_over_rows", dtype)
    grid = -(-columns // THREADS), parts
    kernel(grid, THREADS, *sums, g, x, mean, rstd, rows, columns, share)
    sums = [s if s is None else sum_middle(s).reshape(columns) for s in sums]
    return _narrowed(x, sums, needs)


def _channel_sums(dtype, g, x, mean, spread, eps, groups):
    """The sums of g * xhat and of g for each channel."""
    n, c, length = x.shape
    scaled, plain = _wide(x, c), _wide(x, c)
    kernel = SOURCE.kernel("sum_over_channel", dtype)
    sizes = n, c, length, groups
    kernel(c, threads_for_row(n * length), scaled, plain, g, x, mean, spread, eps, *sizes)
    return scaled, plain


def _narrowed(x, sums, needs):
    """The sums that are needed, in the dtype of x."""
    return [s.astype(x.dtype) if need else None for s, need in zip(sums, needs, strict=True)]
