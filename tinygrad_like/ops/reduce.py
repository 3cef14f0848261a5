"""Reductions along axes, with NumPy's `axis` and `keepdims`.

Where several elements tie for the maximum or minimum, they share the gradient equally.
"""

import functools
import math

import numpy as np

from tinygrad_like.backend import is_half, narrow, wide
from tinygrad_like.engine import astype, broadcast_to, composed, in_single, op
from tinygrad_like.ops.elementwise import abs, equal, maximum, sqrt, where
from tinygrad_like.ops.shape import expand_dims, flip, moveaxis, normal_axes, normal_axis, reshape

SMALL = 1 << 12  # elements up to which writing them out is faster than a broadcast view
LARGE = 1 << 16  # elements from which on a kernel sums faster than the array module


def _reduction(name, shape, axis):
    """(the axes, the shape that keeps them as 1, how many elements are reduced to one)."""
    try:
        return _known_reduction(name, shape, axis)
    except TypeError:  # a list, which cannot be remembered, or what is no axis
        return _known_reduction.__wrapped__(name, shape, axis)


@functools.lru_cache(1024, typed=True)  # an axis of 1.0 is none
def _known_reduction(name, shape, axis):
    axes = normal_axes(name, axis, len(shape))
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return axes, kept, math.prod(shape[i] for i in axes)


def _restore(g, shape, axis):
    """A reduced gradient spread over the shape that was reduced."""
    _, kept, count = _reduction("reduce", shape, axis)
    if type(g) is np.ndarray and g.size * count <= SMALL:
        spread = np.empty(shape, g.dtype)
        spread[...] = g.reshape(kept)
        return spread
    return broadcast_to(reshape(g, shape=kept), shape=shape)


def _divided(x, count):
    """x / count. NumPy takes its time to make an array of a number, so that is kept."""
    if type(x) is np.ndarray and x.dtype.char in "fd":
        return x / _as_array(count, x.dtype)
    return x / count


@functools.lru_cache(1024)
def _as_array(number, dtype):
    return np.array(number, dtype)


def _mean_rule(g, x_shape, axis):
    return _restore(_divided(g, _reduction("mean", x_shape, axis)[2]), x_shape, axis)


def _axes(name, x, axis):
    """The axes to reduce, checked; None stays None, which NumPy does fastest."""
    return None if axis is None else normal_axes(name, axis, x.ndim)


def _total(be, x, axes, keepdims):
    """x.sum: of large arrays by the kernel, one run of neighbouring axes after the other."""
    if x.size < LARGE and x.dtype.char in "fd" and type(x) is np.ndarray:
        return np.add.reduce(x, axes, keepdims=keepdims)  # x.sum, which begins in Python
    if is_half(x.dtype):
        return narrow(_total(be, wide(x), axes, keepdims), x.dtype)
    if x.size < LARGE or x.dtype.kind != "f" or axes == () or not x.flags.c_contiguous:
        return x.sum(axes, keepdims=keepdims)
    y, last = x, x.ndim
    chosen = tuple(range(x.ndim)) if axes is None else axes
    while last and y.size >= LARGE:
        first = last
        while first and (first - 1 in chosen) == (last - 1 in chosen):
            first -= 1
        if last - 1 in chosen:
            before, ones, after = y.shape[:first], (1,) * (last - first), y.shape[last:]
            middle = math.prod(y.shape[first:last])
            y = be.k.sum_middle(y.reshape(math.prod(before), middle, math.prod(after)))
            y = y.reshape(*before, *ones, *after)
        last = first
    if last:  # little is left
        return y.sum(axis=axes, keepdims=keepdims)
    return y if keepdims else y.squeeze(chosen)


@op(autocast=in_single, x=lambda g, x_shape, axis: _restore(g, x_shape, axis))
def sum(be, x, *, axis=None, keepdims=False):
    """The sum along an axis, several, or all."""
    return _total(be, x, _axes("sum", x, axis), keepdims)


@op(autocast=in_single, x=_mean_rule)
def mean(be, x, *, axis=None, keepdims=False):
    """The mean along an axis, several, or all; ValueError where there is nothing to average."""
    axes, _, count = _reduction("mean", x.shape, axis)
    if not count:
        raise ValueError(f"[mean] of no elements has no value (x: {x.shape}, axis: {axis})")
    if x.itemsize == 2 and is_half(x.dtype):  # whose sums overflow
        return (_total(be, wide(x), axes, keepdims) / count).astype(x.dtype)
    return _divided(_total(be, x, axes, keepdims), count)


def _var_rule(g, x, axis, ddof):
    shape = x.shape
    centred = x - mean(x, axis=axis, keepdims=True)
    factor = 2 / (_reduction("var", shape, axis)[2] - ddof)
    return _restore(g * factor, shape, axis) * centred


@op(autocast=in_single, floating=True, x=_var_rule)
def var(be, x, *, axis=None, keepdims=False, ddof=0):
    """The variance: squared deviations over n - ddof."""
    axes, _, count = _reduction("var", x.shape, axis)
    n = count - ddof
    if n <= 0:
        raise ValueError(f"[var] {n + ddof} elements with ddof={ddof} have none (x: {x.shape})")
    numbers = wide(x)
    centred = numbers - numbers.mean(axis=axes, keepdims=True)
    return narrow((centred * centred).sum(axis=axes, keepdims=keepdims) / n, x.dtype)


@composed
def std(x, axis=None, keepdims=False, ddof=0):
    """The standard deviation, the root of `var` (its gradient is infinite where that is 0)."""
    return sqrt(var(x, axis=axis, keepdims=keepdims, ddof=ddof))


def _extreme_rule(g, x, out, axis):
    """The gradient for the elements equal to the extreme, in equal shares."""
    _, kept, _ = _reduction("reduce", x.shape, axis)
    ties = equal(x, reshape(out, kept))
    count = sum(astype(ties, dtype=g.dtype), axis=axis, keepdims=True)
    return where(ties, reshape(g, kept) / maximum(count, 1), 0)


@op(x=_extreme_rule)
def max(be, x, *, axis=None, keepdims=False):
    """The maximum along an axis, several, or all; NaN if there is one."""
    return x.max(axis=_axes("max", x, axis), keepdims=keepdims)


@op(x=_extreme_rule)
def min(be, x, *, axis=None, keepdims=False):
    """The minimum along an axis, several, or all; NaN if there is one."""
    return x.min(axis=_axes("min", x, axis), keepdims=keepdims)


def _prod_rule(g, be, x, out, axis):
    """The product of the other elements: out / x, unless an element is zero."""
    shape = x.shape
    if not (x == 0).any():
        return _restore(g * out, shape, axis) / x
    axes = normal_axes("prod", axis, len(shape))
    last = tuple(range(len(shape) - len(axes), len(shape)))
    moved = moveaxis(x, axes, last)
    rows = reshape(moved, (*moved.shape[: last[0]], -1)) if axes else expand_dims(x, -1)
    n = rows.shape[-1]
    # Row i of this square holds all elements, the i-th replaced by 1.
    others = prod(where(be.xp.eye(n, dtype=bool), 1, expand_dims(rows, -2)), axis=-1)
    return _restore(g, shape, axis) * moveaxis(reshape(others, moved.shape), last, axes)


@op(autocast=in_single, x=_prod_rule)
def prod(be, x, *, axis=None, keepdims=False):
    """The product along an axis, several, or all."""
    return narrow(wide(x).prod(axis=_axes("prod", x, axis), keepdims=keepdims), x.dtype)


@op(autocast=in_single, x=lambda g, axis: flip(cumsum(flip(g, axis=axis), axis=axis), axis=axis))
def _cumsum(be, x, *, axis):
    return narrow(wide(x).cumsum(axis=normal_axis("cumsum", axis, x.ndim)), x.dtype)


@composed
def cumsum(x, axis=None):
    """The running sum along an axis; by default of all elements in order, as one row."""
    return _cumsum(reshape(x, (-1,)), axis=0) if axis is None else _cumsum(x, axis=axis)


@op(
    autocast=in_single,
    floating=True,
    x=lambda g, x, out, axis: _restore(g / where(equal(out, 0), 1, out), x.shape, axis) * x,
)
def _norm(be, x, *, axis=None, keepdims=False):
    numbers = wide(x)  # the square of 300 overflows float16
    squares = (numbers * numbers).sum(axis=_axes("norm", x, axis), keepdims=keepdims)
    return be.xp.sqrt(squares).astype(x.dtype)


@composed
def norm(x, ord=2, axis=None, keepdims=False):
    """The vector norm of order 1, 2 or inf, over an axis, several, or all elements.

    The gradient of the 2-norm at 0 is 0.
    """
    if ord == 2:
        return _norm(x, axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(abs(x), axis=axis, keepdims=keepdims)
    if ord == math.inf:
        return max(abs(x), axis=axis, keepdims=keepdims)
    raise ValueError(f"[norm] ord is {ord!r}, expected 1, 2 or inf")


# Positions and truth: integers and booleans, without gradient


def _one_axis(name, x, axis):
    return None if axis is None else normal_axis(name, axis, x.ndim)


@op(any_dtype=True)
def argmax(be, x, *, axis=None, keepdims=False):
    """The index of the (first) maximum along an axis, or in the flattened tensor."""
    return x.argmax(axis=_one_axis("argmax", x, axis), keepdims=keepdims)


@op(any_dtype=True)
def argmin(be, x, *, axis=None, keepdims=False):
    """The index of the (first) minimum along an axis, or in the flattened tensor."""
    return x.argmin(axis=_one_axis("argmin", x, axis), keepdims=keepdims)


@op(any_dtype=True)
def any(be, x, *, axis=None, keepdims=False):
    """Whether any element along an axis, several, or all is true (nonzero)."""
    return x.any(axis=_axes("any", x, axis), keepdims=keepdims)


@op(any_dtype=True)
def all(be, x, *, axis=None, keepdims=False):
    """Whether all elements along an axis, several, or all are true (nonzero)."""
    return x.all(axis=_axes("all", x, axis), keepdims=keepdims)
