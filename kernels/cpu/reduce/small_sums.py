"""The sums that ops ask for, and their gradients: small ones by NumPy, which starts sooner.

This file knows how large an array must be to be worth a kernel of reduce.py.
"""

import functools
import math

import numpy as np

from ...reference.reduce import FEW, describe_reduction, sum_by
from ..machine.kernel import complete_kernel
from .kernels import sum_axes

LARGE = 1 << 16  # elements from which on a kernel sums faster than NumPy
SLOW = 1 << 13  # elements from which on a kernel sums few copies faster than NumPy
WRITTEN = 1 << 12  # elements up to which writing a gradient out is faster than a broadcast view


@complete_kernel
def sum_in_pairs(x, reduction, keepdims):
    """The sum, of any dtype: NumPy's if the array is small and NumPy adds it exactly enough."""
    axes, _, count, neighbours = reduction
    if (
        x.size < LARGE
        and (count <= FEW or (neighbours and x.flags.c_contiguous))
        and x.dtype.char in "fd"
    ):
        return np.add.reduce(x, axes, keepdims=keepdims)  # x.sum would run some Python first
    y = sum_by(sum_axes, x, reduction, keepdims)
    return y if y.ndim else y[()]  # a scalar, as NumPy's


@complete_kernel
def sum_copies(x, axes):
    """The sum over axes along which an array was broadcast, in the dtype of x (not a half type).

    Two copies, and few that lie side by side, are added slice by slice, in pairs: any other sum has
    to begin anew for each of its elements.
    """
    return _sums_of_copies(x.shape, axes)(x, axes)


@functools.lru_cache(1024)
def _sums_of_copies(shape, axes):
    """The function that sums an array of this shape."""
    count = describe_reduction(shape, axes)[2]
    last = len(shape) - 1
    if 1 < count <= FEW and all(shape[a] == 2 or (a == last and shape[a] > 1) for a in axes):
        return _slice_by_slice
    return np.add.reduce if count <= FEW and math.prod(shape) <= SLOW else sum_axes


def _slice_by_slice(x, axes):
    for axis in sorted(axes, reverse=True):
        slices = [x[(*[slice(None)] * axis, i)] for i in range(x.shape[axis])]
        while len(slices) > 1:
            pairs = [a + b for a, b in zip(slices[::2], slices[1::2], strict=False)]
            slices = pairs + slices[len(pairs) * 2 :]
        x = slices[0]
    return x


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
    """x / number. NumPy is slow to make an array of a Python number, so that array is kept."""
    if type(x) is np.ndarray and x.dtype.char in "fd":
        return x / _as_array(number, x.dtype)
    return x / number


@functools.lru_cache(1024)
def _as_array(number, dtype):
    return np.array(number, dtype)
