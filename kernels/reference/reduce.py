"""Sums along axes: accumulated in float64 (complex128), whatever the layout of the array.

`axes` is a tuple of axes from 0 on, or None for all of them; they are left out of the result. All
but `sum_middle` take arrays of any strides.
"""

import functools
import math

import numpy as np

from .precision import wide


def accumulator(dtype):
    """The dtype in which numbers of a dtype are added up; None leaves it to NumPy."""
    return {"f": np.float64, "V": np.float64, "c": np.complex128}.get(dtype.kind)


def total(x, axes, keepdims=False):
    """The sum over `axes` in the accumulator's dtype."""
    x = wide(x)  # NumPy has no sums of bfloat16
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=accumulator(x.dtype))


def sum_axes(x, axes):
    """The sum over `axes`, in the dtype of x."""
    return total(x, axes).astype(x.dtype)


def sum_middle(x):
    """y[a, b] = sum of x[a, r, b] over r: (A, R, B) -> (A, B)."""
    return sum_axes(x, (1,))


def moments(x, axes):
    """(mean, the sum of the squared deviations from it) over `axes`, in the accumulator's dtype.

    The mean is corrected by the mean of the differences from it: so nothing is lost far from 0, nor
    beside an outlier, and equal numbers deviate by exactly 0.
    """
    x = wide(x)
    sums = total(x, axes, keepdims=True)
    count = max(1, x.size // max(1, sums.size))
    mean = sums / count
    mean = mean + total(x - mean, axes, keepdims=True) / count
    deviations = x - mean
    squares = total(deviations * deviations, axes)
    return mean.reshape(squares.shape), squares


def sum_squares(x, axes):
    """The sum of x^2 over `axes`, in float64: the squares of float32 do not over- or underflow."""
    x = wide(x).astype(accumulator(x.dtype))
    return total(x * x, axes)


@functools.lru_cache(1024)
def steps_of(shape, axes):
    """The shapes (A, R, B) in which neighbouring axes are summed, and the shape of the result."""
    steps, kept, last = [], [], len(shape)
    axes = range(last) if axes is None else axes
    after = 1
    while last:
        first = last - 1
        while first and (first - 1 in axes) == (last - 1 in axes):
            first -= 1
        if last - 1 in axes:
            steps.append((math.prod(shape[:first]), math.prod(shape[first:last]), after))
        else:
            kept[:0] = shape[first:last]
            after *= math.prod(shape[first:last])
        last = first
    return steps, tuple(kept)
