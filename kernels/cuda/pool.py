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
    if x.size == 0 or not _fits(geometry) or geometry.dilation != (1, 1):
        return NotImplemented
    index = np.empty_like(x, shape=geometry.y_shape, dtype=np.int64)
    return _mapped("max_pool2d", x, geometry.y_shape, index, x, _window(geometry)), index


@kernel("g", others="index")
def max_pool2d_backward(g, index, geometry):
    """dx: g added at the positions that max_pool2d chose; overlapping windows add up."""
    if g.size == 0 or not _fits(geometry):
        return NotImplemented
    s, dtype = geometry, dtype_name(g.dtype)
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
    sizes = x.shape[2] * x.shape[3], index.shape[2] * index.shape[3]
    return _mapped("max_pool2d_gather", x, index.shape, x, index, *sizes)


@kernel("x")
def avg_pool2d(x, geometry):
    """The mean of each window; padding counts as zeros and is counted in the divisor."""
    if not _fits(geometry):
        return NotImplemented
    return _mapped("avg_pool2d", x, geometry.y_shape, x, _window(geometry))


@kernel("g")
def avg_pool2d_backward(g, geometry):
    """dx: each window's gradient spread evenly over the window."""
    if not _fits(geometry):
        return NotImplemented
    return _mapped("avg_pool2d_backward", g, geometry.x_shape, g, _window(geometry))


def _fits(s):
    """Whether an int can count the pixels of a plane."""
    return max(s.h * s.w, s.ho * s.wo) < 2**31


@functools.lru_cache(maxsize=1024)
def _window(s):
    """The fields of pool.cu's Window, from a Geometry."""
    return s.h, s.w, s.ho, s.wo, *s.kernel, *s.stride, *s.padding


def _mapped(name, x, shape, *args):
    """The result of a kernel, an array of `shape`: a thread computes each element from x."""
    if x.size == 0:
        return NotImplemented
    y = np.empty_like(x, shape=shape)
    kernel = SOURCE.kernel(name, dtype_name(x.dtype))
    kernel(flat.blocks(y.size), flat.THREADS, y, *args, y.size)
    return y
