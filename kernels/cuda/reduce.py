"""Sums, sums of squares and moments along axes, launched from reduce.cu.

Each group of neighbouring axes is one reduction, over the middle axis of an array with three.
Sums between two of these are float32 at least. An array is read in the order of its memory:
transposed and flipped views are not copied, and along a broadcast axis the one element is read
once and its sum multiplied.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..reference.reduce import FEW, describe_reduction, in_memory_order, in_order, steps_of, sum_by
from .machine.dtypes import WIDE, dtype_name
from .machine.kernel import complete_kernel, contiguous, kernel
from .machine.launcher import Source

SOURCE = Source("reduce.cu")
THREADS = 128
ENOUGH = 132 * 8 * THREADS  # threads that keep a large GPU busy
LEAST = 64  # elements that are worth a part of a column, or a block for a row
PER_THREAD = 32  # elements for each of its threads that are worth another block for a row
FAN = 64  # moments that a thread merges
MOST = 65535  # parts: the limit of grid.y


@kernel("x")
def sum_middle(x):
    """y[a, b] = sum of x[a, r, b] over r: (A, R, B) -> (A, B)."""
    return _sums(x, x.dtype)


@kernel("x", any_layout=True)
def sum_axes(x, axes):
    """The sum over `axes`, in the dtype of x; it takes arrays of any strides."""
    if x.size == 0:
        return NotImplemented
    y, axes, times, order = _in_memory_order(x, axes)
    steps, shape = steps_of(y.shape, axes)
    dtype = x.dtype if len(steps) == times == 1 else _wide(x)
    if not steps:  # each sum has one term
        y = y.astype(dtype)
    for step in steps:
        y = _sums(y.reshape(step), dtype)
    y = _times(y, times).astype(x.dtype, copy=False)
    return _in_order(y.reshape(shape), order)


@complete_kernel
def sum_in_pairs(x, reduction, keepdims):
    """The sum of an array of any dtype, in that dtype."""
    return sum_by(sum_axes, x, reduction, keepdims)


@complete_kernel
def sum_copies(x, axes):
    """The sum over axes along which an array was broadcast."""
    return x.sum(axes) if describe_reduction(x.shape, axes)[2] <= FEW else sum_axes(x, axes)


@kernel("x", any_layout=True)
def sum_squares(x, axes):
    """The sum of x^2 over `axes`, in float64."""
    if x.size == 0:
        return NotImplemented
    y, axes, times, order = _in_memory_order(x, axes)
    steps, shape = steps_of(y.shape, axes)
    if not steps:
        y = y.astype(np.float64)
        return _in_order(_times(y * y, times).reshape(shape), order)
    cut = _cut(*steps[0])
    squares = cut.room(x, np.float64)
    cut.run("sum_squares", y, squares)
    for step in (*[squares.shape] * (cut.parts > 1), *steps[1:]):
        squares = _sums(squares.reshape(step), squares.dtype)
    return _in_order(_times(squares, times).reshape(shape), order)


@kernel("x", any_layout=True)
def moments(x, axes):
    """(mean, the sum of the squared deviations from it) over `axes`, in float64."""
    if x.size == 0:
        return NotImplemented
    y, axes, times, order = _in_memory_order(x, axes)
    steps, shape = steps_of(y.shape, axes)
    if not steps:
        mean = _in_order(y.astype(np.float64).reshape(shape), order)
        return mean, np.where(np.isfinite(mean), np.zeros_like(mean), np.nan)
    cut, count = _cut(*steps[0]), steps[0][1]
    mean, squares = cut.room(x, np.float64), cut.room(x, np.float64)
    cut.run("moments", y, mean, squares)
    mean, squares = _merged(mean, squares, cut.share, count)
    for step in steps[1:]:
        share, count = count, count * step[1]
        mean, squares = _merged(mean.reshape(step), squares.reshape(step), share, count)
    squares = _times(squares, times)
    return _in_order(mean.reshape(shape), order), _in_order(squares.reshape(shape), order)


class _Cut(NamedTuple):
    """How a reduction of (A, R, B) over R is launched: in parts of `share` elements."""

    rows: bool  # whether a block computes each sum, and not a thread
    a: int
    r: int
    b: int
    threads: int
    parts: int
    share: int

    def room(self, like, dtype):
        """An unwritten array for the results of the parts: (A, parts, B)."""
        return np.empty_like(like, shape=(self.a, self.parts, self.b), dtype=dtype)

    def run(self, name, x, *results):
        """Launch the kernel `name` for rows or for columns."""
        sums = self.a * self.b
        blocks = sums if self.rows else -(-sums // self.threads)
        sizes = (self.r,) if self.rows else (sums, self.r, self.b)
        kernel = SOURCE.kernel(name + ("_rows" if self.rows else "_columns"), x.dtype)
        kernel((blocks, self.parts), self.threads, *results, x, *sizes, self.share)


@functools.lru_cache(4096)
def _cut(a, r, b):
    """The _Cut for a shape: several parts where there are too few sums to keep a GPU busy."""
    rows, threads = b == 1 and r >= LEAST, THREADS
    least = LEAST
    if rows:
        threads = min(512, max(32, r // 4 // 32 * 32))
        least = threads * PER_THREAD
    enough = ENOUGH // (a * threads if rows else a * b)
    share = -(-r // max(1, min(r // least, enough, MOST)))
    return _Cut(rows, a, r, b, threads, -(-r // share), share)


def _wide(x):
    """The dtype of arithmetic: float32 for half types."""
    return WIDE[dtype_name(x.dtype)]


def _sums(x, dtype):
    """The sums over the middle axis, in the dtype of x or that of its arithmetic."""
    a, r, b = x.shape
    if x.size == 0:
        return np.zeros_like(x, shape=(a, b), dtype=dtype)
    cut = _cut(a, r, b)
    y = cut.room(x, dtype if cut.parts == 1 else _wide(x))
    cut.run("sum", x, *((y, None) if y.dtype == x.dtype else (None, y)))
    if cut.parts == 1:
        return y.reshape(a, b)
    return _sums(y, y.dtype).astype(dtype, copy=False)


def _merged(mean, squares, share, length):
    """The moments of (A, parts, B), merged to (A, B).

    A part has `share` of the `length` elements, and the last one the rest.
    """
    a, parts, b = mean.shape
    while parts > 1:
        fan = min(parts, FAN)
        merged = -(-parts // fan)
        found = [np.empty_like(mean, shape=(a, merged, b)) for _ in range(2)]
        results = a * merged * b
        kernel = SOURCE.kernel("merge_moments", mean.dtype)
        sizes = results, parts, b, fan, share, length
        kernel(-(-results // THREADS), THREADS, *found, mean, squares, *sizes)
        (mean, squares), parts, share = found, merged, share * fan
    return mean.reshape(a, b), squares.reshape(a, b)


def _in_memory_order(x, axes):
    """As `in_memory_order`, and x is C-contiguous."""
    x, axes, times, order = in_memory_order(x, axes)
    return contiguous(x), axes, times, order


def _times(y, times):
    return y if times == 1 else y * float(times)


def _in_order(y, order):
    """As reference.reduce.in_order, and C-contiguous."""
    return contiguous(in_order(y, order))
