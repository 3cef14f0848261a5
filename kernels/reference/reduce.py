"""Sums along axes: accumulated in float64 (complex128), whatever the layout of the array.

`axes` is a tuple of axes from 0 on, or None for all of them; they are left out of the result. All
but `sum_middle` take arrays of any strides.
"""

import functools
import itertools
import math
import operator

import numpy as np

from .contract import kernel
from .precision import wide


def accumulator(dtype):
    """The dtype in which numbers of a dtype are added up; None leaves it to NumPy."""
    return {"f": np.float64, "V": np.float64, "c": np.complex128}.get(dtype.kind)


def total(x, axes, keepdims=False):
    """The sum over `axes` in the accumulator's dtype."""
    x = wide(x)  # NumPy has no sums of bfloat16
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=accumulator(x.dtype))


@kernel(any_layout=True)
def sum_axes(x, axes):
    """The sum over `axes`, in the dtype of x."""
    return total(x, axes).astype(x.dtype)


@kernel
def sum_middle(x):
    """y[a, b] = sum of x[a, r, b] over r: (A, R, B) -> (A, B)."""
    return sum_axes(x, (1,))


@kernel(any_layout=True)
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


@kernel(any_layout=True)
def sum_squares(x, axes):
    """The sum of x^2 over `axes`, in float64: the squares of float32 do not over- or underflow."""
    x = wide(x).astype(accumulator(x.dtype) or np.float64)
    return total(x * x, axes)


@functools.lru_cache(1024)
def steps_of(shape, axes):
    """The shapes (A, R, B) in which neighbouring axes are summed, and the shape of the result.

    An axis of length 1 is no step: there is nothing to add up.
    """
    axes = range(len(shape)) if axes is None else axes
    kept = tuple(n for i, n in enumerate(shape) if i not in axes)
    longer = [(i in axes, n) for i, n in enumerate(shape) if n != 1]
    groups = [
        (summed, math.prod(n for _, n in group))
        for summed, group in itertools.groupby(longer, operator.itemgetter(0))
    ]
    steps, after = [], 1
    while groups:
        summed, n = groups.pop()
        if summed:
            steps.append((math.prod(n for _, n in groups), n, after))
        else:
            after *= n
    return steps, kept


def in_memory_order(x, axes):
    """(x as it lies in memory, which of its axes to sum, times what, the order of those kept)."""
    if x.flags.c_contiguous:
        return x, axes, 1, None
    if axes is None:
        axes = tuple(range(x.ndim))
    times, cut = 1, []
    for i, (n, stride) in enumerate(zip(x.shape, x.strides, strict=True)):
        if stride == 0 and i in axes:  # one number, n times
            times *= n
            cut.append(slice(1))
        else:
            cut.append(slice(None, None, -1 if stride < 0 and i in axes else 1))
    x = x[tuple(cut)]
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
    kept = [i for i in order if i not in axes]
    back = sorted(range(len(kept)), key=kept.__getitem__)
    return x.transpose(order), tuple(k for k, i in enumerate(order) if i in axes), times, back


def in_order(y, order):
    """The axes that were kept, in their order."""
    return y if order is None else y.transpose(order)
