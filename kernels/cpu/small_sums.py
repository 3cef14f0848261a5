"""Sums as ops ask for them, and their gradients: by NumPy, which starts sooner, while it is enough.

How large an array must be to be worth a kernel of reduce.py is known here.
"""

import functools
import math

import numpy as np

from ..reference.reduce import FEW, describe_reduction, sum_by
from .machine.kernel import complete_kernel
from .reduce import sum_axes

LARGE = 1 << 16  # elements from which on a kernel sums faster than NumPy
WRITTEN = 1 << 12  # elements up to which writing a gradient out is faster than a broadcast view


@complete_kernel
def sum_in_pairs(x, reduction, keepdims):
    """The sum, of any dtype: NumPy's, which starts sooner, if the array is small and it adds so."""
    axes, _, count, neighbours = reduction
    if (
        x.size < LARGE
        and (count <= FEW or (neighbours and x.flags.c_contiguous))
        and x.dtype.char in "fd"
    ):
        return np.add.reduce(x, axes, keepdims=keepdims)  # x.sum, which begins in Python
    return sum_by(sum_axes, x, reduction, keepdims)


@complete_kernel
def sum_copies(x, axes):
    """The sum over axes along which an array was broadcast."""
    few = describe_reduction(x.shape, axes)[2] <= FEW
    return x.sum(axes) if few else sum_axes(x, axes)


@complete_kernel
def spread(x, kept, shape):
    """`x` repeated over the elements that were summed: a small array is written out."""
    if type(x) is np.ndarray and math.prod(shape) <= WRITTEN:
        y = np.empty(shape, x.dtype)
        y[...] = x.reshape(kept)
        return y
    return np.broadcast_to(x.reshape(kept), shape)


@complete_kernel
def divide_by(x, number):
    """x / number. NumPy takes its time to make an array of a number, so that is kept."""
    if type(x) is np.ndarray and x.dtype.char in "fd":
        return x / _as_array(number, x.dtype)
    return x / number


@functools.lru_cache(1024)
def _as_array(number, dtype):
    return np.array(number, dtype)
