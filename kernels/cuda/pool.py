"""Max and average pooling, launched from pool.cu."""

import functools

import numpy as np

from .machine import flat
from .machine.dtypes import dtype_name
from .machine.kernel import kernel
from .machine.launcher import Source

SOURCE = Source("pool.cu")


@kernel("x")
def max_pool2d(x, geometry):
    """(y, index): the maximum of each window, and its flat position h * W + w in the plane."""
    dtype = dtype_name(x.dtype)
    if x.size == 0:
        return NotImplemented
    y = np.empty_like(x, shape=geometry.y_shape)
    index = np.empty_like(y, dtype=np.int64)
    _each("max_pool2d", dtype, y.size, y, index, x, _window(geometry))
    return y, index


@kernel("g", others="index")
def max_pool2d_backward(g, index, geometry):
    """dx: g added at the positions that max_pool2d chose; overlapping windows add up."""
    dtype = dtype_name(g.dtype)
    if g.size == 0:
        return NotImplemented
    s = geometry
    inputs, outputs = s.h * s.w, s.ho * s.wo
    dx = np.empty_like(g, shape=s.x_shape)
    sums = np.empty_like(dx, dtype=np.float64)
    last, following = np.empty_like(dx, dtype=np.int32), np.empty_like(dx, dtype=np.int32)
    kernel = SOURCE.kernel("max_pool2d_backward", dtype)
    threads = min(256, max(32, -(-outputs // 32) * 32))
    kernel(s.images * s.groups, threads, dx, sums, last, following, g, index, inputs, outputs)
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
def avg_pool2d(x, geometry):
    """The mean of each window; padding counts as zeros and is counted in the divisor."""
    dtype = dtype_name(x.dtype)
    if x.size == 0:
        return NotImplemented
    y = np.empty_like(x, shape=geometry.y_shape)
    _each("avg_pool2d", dtype, y.size, y, x, _window(geometry))
    return y


@kernel("g")
def avg_pool2d_backward(g, geometry):
    """dx: each window's gradient spread evenly over the window."""
    dtype = dtype_name(g.dtype)
    if g.size == 0:
        return NotImplemented
    dx = np.empty_like(g, shape=geometry.x_shape)
    _each("avg_pool2d_backward", dtype, dx.size, dx, g, _window(geometry))
    return dx


@functools.lru_cache(maxsize=1024)
def _window(s):
    """The fields of pool.cu's Window, from a Geometry."""
    return s.h, s.w, s.ho, s.wo, *s.kernel, *s.stride, *s.padding


def _each(name, dtype, count, *args):
    """A kernel of one thread for each of `count` numbers."""
    SOURCE.kernel(name, dtype)(flat.blocks(count), flat.THREADS, *args, count)
