"""Sums along axes, launched from reduce.cu as sums over one axis of arrays with three."""

import math

import numpy as np

from .. import reference
from ..reference.reduce import steps_of
from .launcher import Source, kernel_dtype

SOURCE = Source("reduce.cu")
THREADS = 128
ENOUGH = 132 * 8 * THREADS  # threads that keep a large GPU busy
LEAST = 64  # numbers that are worth a part


def sum_middle(x):
    """y[a, b] = sum of x[a, r, b] over r: (A, R, B) -> (A, B)."""
    dtype = kernel_dtype("sum_middle", x)
    if dtype is None:
        return reference.sum_middle(x)
    a, r, b = x.shape
    y = np.empty_like(x, shape=(a, b))
    if x.size == 0:
        return np.zeros_like(y)
    if b == 1 and r >= LEAST:
        threads = min(512, max(32, r // 4 // 32 * 32))
        SOURCE.kernel("sum_rows", dtype)(a, threads, y, x, r)
        return y
    sums = a * b
    blocks, parts = -(-sums // THREADS), min(r // LEAST, ENOUGH // sums, 65535)
    if parts <= 1:
        SOURCE.kernel("sum_middle", dtype)(blocks, THREADS, y, x, sums, r, b)
        return y
    share = -(-r // parts)
    parts = -(-r // share)
    wide = np.float64 if dtype == "float64" else np.float32
    workspace = np.empty_like(x, shape=(a, parts, b), dtype=wide)
    SOURCE.kernel("sum_some", dtype)((blocks, parts), THREADS, workspace, x, sums, r, b, share)
    SOURCE.kernel("sum_parts", dtype)(blocks, THREADS, y, workspace, sums, parts, b)
    return y


def sum_axes(x, axes):
    """The sum over `axes`, in the dtype of x; it takes arrays of any strides."""
    if kernel_dtype("sum_axes", x) is None or x.size == 0:
        return reference.sum_axes(x, axes)
    steps, shape = steps_of(x.shape, tuple(range(x.ndim)) if axes is None else axes)
    y = x if x.flags.c_contiguous and steps else x.copy()
    for step in steps:
        y = sum_middle(y.reshape(step))
    return y.reshape(shape)


def rows_of(x, axes):
    """(x as rows (sums, count) of what is to be summed, the shape of the result)."""
    axes = tuple(range(x.ndim)) if axes is None else axes
    kept = [i for i in range(x.ndim) if i not in axes]
    shape = tuple(x.shape[i] for i in kept)
    rows = x.transpose(*kept, *sorted(axes)).reshape(math.prod(shape), -1)
    return rows if rows.flags.c_contiguous else rows.copy(), shape
