"""Max and average pooling, launched from pool.cu."""

import numpy as np

from ..reference.windows import output_size, starts
from .machine import flat
from .machine.dtypes import dtype_name
from .machine.kernel import kernel
from .machine.launcher import Source

SOURCE = Source("pool.cu")


@kernel("x")
def max_pool2d(x, size, stride, padding):
    """(y, index): the maximum of each window, and its flat position h * W + w in the plane."""
    dtype = dtype_name(x.dtype)
    window = _window(x.shape, size, stride, padding)
    y = np.empty_like(x, shape=(*x.shape[:2], *window[2:4]))
    if x.size == 0:
        return NotImplemented
    index = np.empty_like(y, dtype=np.int64)
    _each("max_pool2d", dtype, y.size, y, index, x, window)
    return y, index


@kernel("g", others="index")
def max_pool2d_backward(g, index, x_shape):
    """dx: g added at the positions that max_pool2d chose; overlapping windows add up."""
    dtype = dtype_name(g.dtype)
    if g.size == 0:
        return NotImplemented
    inputs, outputs = x_shape[2] * x_shape[3], g.shape[2] * g.shape[3]
    dx = np.empty_like(g, shape=x_shape)
    sums = np.empty_like(dx, dtype=np.float64)
    last, following = np.empty_like(dx, dtype=np.int32), np.empty_like(dx, dtype=np.int32)
    kernel = SOURCE.kernel("max_pool2d_backward", dtype)
    threads = min(256, max(32, -(-outputs // 32) * 32))
    planes = x_shape[0] * x_shape[1]
    kernel(planes, threads, dx, sums, last, following, g, index, inputs, outputs)
    return dx


@kernel("x", others="index")
def max_pool2d_gather(x, index):
    """y = x at index, plane by plane: the adjoint of max_pool2d_backward."""
    dtype = dtype_name(x.dtype)
    if x.size == 0:
        return NotImplemented
    y = np.empty_like(x, shape=index.shape)
    sizes = x.shape[2] * x.shape[3], index.shape[2] * index.shape[3]
    _each("max_pool2d_gather", dtype, y.size, y, x, index, *sizes)
    return y


@kernel("x")
def avg_pool2d(x, size, stride, padding):
    """The mean of each window; padding counts as zeros and is counted in the divisor."""
    dtype = dtype_name(x.dtype)
    window = _window(x.shape, size, stride, padding)
    y = np.empty_like(x, shape=(*x.shape[:2], *window[2:4]))
    if y.size == 0:
        return NotImplemented
    _each("avg_pool2d", dtype, y.size, y, x, window)
    return y


@kernel("g")
def avg_pool2d_backward(g, x_shape, size, stride, padding):
    """dx: each window's gradient spread evenly over the window."""
    dtype = dtype_name(g.dtype)
    if g.size == 0:
        return NotImplemented
    dx = np.empty_like(g, shape=x_shape)
    window = _window(x_shape, size, stride, padding)
    _each("avg_pool2d_backward", dtype, dx.size, dx, g, window)
    return dx


def _window(x_shape, size, stride, padding):
    """The fields of pool.cu's Window."""
    out = output_size(x_shape[2:], size, stride, padding)
    return tuple(map(int, (*x_shape[2:], *out, *size, *stride, *starts(padding))))


def _each(name, dtype, count, *args):
    """A kernel of one thread for each of `count` numbers."""
    SOURCE.kernel(name, dtype)(flat.blocks(count), flat.THREADS, *args, count)
