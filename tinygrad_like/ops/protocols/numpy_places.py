"""Chosen and compared elements by NumPy's names: `np.compress(mask, t)`, `np.isin(t, u)`.

Each is composed of ops, and called by the protocol alone: an index `t[mask]`, `tg.unique` and
`tg.where` say the same. How many elements are chosen depends on values, so that `tg.vmap` refuses
these as it does `nonzero`.
"""

import math

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import backend_of, broadcast_to, check_choice, check_flag, composed
from tinygrad_like.ops.arrays.create import shape_of, zeros, zeros_like
from tinygrad_like.ops.arrays.shape import (
    expand_dims,
    moveaxis,
    normal_axes,
    normal_axis,
    reshape,
    stack,
    unbind,
)
from tinygrad_like.ops.elements.compare import (
    equal,
    greater,
    isinf,
    isnan,
    less,
    logical_and,
    logical_not,
    logical_or,
)
from tinygrad_like.ops.elements.elementwise import clip, where
from tinygrad_like.ops.indexing.arrange import append
from tinygrad_like.ops.indexing.index import argsort, nonzero, sort, take, take_along_axis
from tinygrad_like.ops.reductions.reduce import all, any, argmax, argmin, max, min
from tinygrad_like.ops.samples.order import as_array, searchsorted, unique


def _row(x):
    return reshape(x, (-1,))


# By conditions and places


def flatnonzero(x):
    """The places of the elements that are not 0, in the flat tensor."""
    return nonzero(_row(x))[0]


@composed
def extract(condition, arr):
    """The elements of the flat tensor at which the flat condition is not 0."""
    return take(_row(arr), flatnonzero(as_array(condition, arr)))


@composed
def compress(condition, a, axis=None):
    """The slices along an axis at which a row of conditions, which may be short, is true."""
    condition = as_array(condition, a)
    if condition.ndim != 1:
        raise ValueError(f"[compress] condition is {condition.shape}, expected one row")
    return take(a, nonzero(condition)[0], axis)


@composed
def choose(a, choices, mode="raise"):
    """At each place the element of the choice whose number is there; all of them broadcast.

    `mode` is that of `tg.take`.
    """
    parts = [as_array(c, a) for c in choices]
    shape = np.broadcast_shapes(a.shape, *(c.shape for c in parts))
    parts = [broadcast_to(c, shape=shape) for c in parts]
    a = broadcast_to(a, shape=shape)
    places = take(np.arange(len(parts)), a, mode=mode)
    return take_along_axis(stack(parts, 0), expand_dims(places, 0), 0)[0]


@composed
def resize(a, new_shape):
    """A tensor of this shape with the elements of the flat one, again and again."""
    lengths = shape_of("resize", new_shape)
    if not a.size:
        return zeros(lengths, dtype=a.dtype, device=backend_of(a).device)
    return reshape(take(_row(a), np.arange(math.prod(lengths)) % a.size), lengths)


@composed
def trim_zeros(filt, trim="fb", axis=None):
    """Without the outer slices that hold only zeros: in front ("f"), at the back ("b"), or both.

    Along an axis, several, or all.
    """
    trim = check_choice("trim_zeros", "trim", trim.lower(), ("f", "b", "fb", "bf"))
    index = [slice(None)] * filt.ndim
    found = nonzero(filt)
    for a in normal_axes("trim_zeros", axis, filt.ndim):
        places = found[a]
        first, last = (min(places).item(), max(places).item()) if places.size else (0, -1)
        stop = last + 1 if "b" in trim or not places.size else None
        index[a] = slice(first if "f" in trim else 0, stop)
    return filt[tuple(index)]


def _place_of_known(name, place, x, axis, keepdims, rest):
    if x.dtype.kind not in INEXACT:
        return place(x, axis=axis, keepdims=keepdims)
    missing = isnan(x)
    if any(all(missing, axis=axis)).item():
        raise ValueError(f"[{name}] there are NaN alone, expected a number in each slice")
    return place(where(missing, rest, x), axis=axis, keepdims=keepdims)


@composed
def nanargmax(x, axis=None, keepdims=False):
    """The index of the first maximum, ignoring NaN; ValueError where all elements are NaN."""
    return _place_of_known("nanargmax", argmax, x, axis, keepdims, -math.inf)


@composed
def nanargmin(x, axis=None, keepdims=False):
    """The index of the first minimum, ignoring NaN; ValueError where all elements are NaN."""
    return _place_of_known("nanargmin", argmin, x, axis, keepdims, math.inf)


@composed
def lexsort(keys, axis=-1):
    """The places that sort by several keys along an axis: by the last one first."""
    if hasattr(keys, "shape"):
        if keys.ndim < 2:
            raise ValueError(f"[lexsort] keys are {keys.shape}, expected rows, or a tuple of keys")
        keys = unbind(keys)
    axis = normal_axis("lexsort", axis, keys[0].ndim)
    order = argsort(keys[0], axis)
    for key in keys[1:]:
        order = take_along_axis(order, argsort(take_along_axis(key, order, axis), axis), axis)
    return order


# Comparisons


def isposinf(x):
    """Where x is infinity, as booleans."""
    return logical_and(isinf(x), greater(x, 0))


def isneginf(x):
    """Where x is -infinity, as booleans."""
    return logical_and(isinf(x), less(x, 0))


def _broadcast(a, b):
    """Whether two shapes broadcast against each other."""
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return True


@composed
def array_equal(a1, a2, equal_nan=False):
    """Whether two tensors have one shape and equal elements, as a bool."""
    a, b = as_array(a1, a2), as_array(a2, a1)
    if a.shape != b.shape:
        return False
    same = equal(a, b)
    if check_flag("array_equal", "equal_nan", equal_nan):
        same = logical_or(same, logical_and(isnan(a), isnan(b)))
    return all(same).item()


@composed
def array_equiv(a1, a2):
    """Whether two tensors broadcast and have equal elements then, as a bool."""
    a, b = as_array(a1, a2), as_array(a2, a1)
    return _broadcast(a, b) and all(equal(a, b)).item()


@composed
def isin(element, test_elements, invert=False):
    """Whether each element is among the test elements, as booleans; NaN is not."""
    x, among = as_array(element, test_elements), as_array(test_elements, element)
    invert, row = check_flag("isin", "invert", invert), sort(_row(among))
    if row.size:
        found = equal(take(row, clip(searchsorted(row, x), 0, row.size - 1)), x)
    else:
        found = zeros_like(x, dtype=bool)
    return logical_not(found) if invert else found


# Sets: rising rows, each element once


@composed
def union1d(ar1, ar2):
    """What is in one of two tensors, or in both."""
    return unique(append(as_array(ar1, ar2), as_array(ar2, ar1)))


@composed
def intersect1d(ar1, ar2):
    """What is in both of two tensors."""
    values = unique(as_array(ar1, ar2))
    return values[isin(values, ar2)]


@composed
def setdiff1d(ar1, ar2):
    """What is in the first of two tensors alone."""
    values = unique(as_array(ar1, ar2))
    return values[isin(values, ar2, True)]


@composed
def setxor1d(ar1, ar2):
    """What is in one of two tensors, not in both."""
    return sort(append(setdiff1d(ar1, ar2), setdiff1d(ar2, ar1)))


# A function of each row


@composed
def apply_along_axis(func1d, axis, arr, *args, **kwargs):
    """The results of a function of each row along an axis, in the place of that axis.

    One call for each row; `tg.vmap` calls it once for all.
    """
    axis = normal_axis("apply_along_axis", axis, arr.ndim)
    rows = moveaxis(arr, axis, -1)
    if not rows.size:
        raise ValueError(f"[apply_along_axis] there are no rows (arr: {arr.shape}, axis: {axis})")
    places = np.ndindex(rows.shape[:-1])
    results = [as_array(func1d(rows[place], *args, **kwargs), arr) for place in places]
    one = results[0].shape
    y = reshape(stack(results, 0), (*rows.shape[:-1], *one))
    return moveaxis(y, (*range(arr.ndim - 1, y.ndim),), (*range(axis, axis + len(one)),))


@composed
def apply_over_axes(func, a, axes):
    """`func(a, axis)` for one axis after the other; axes that it takes away stay with length 1."""
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        axis = normal_axis("apply_over_axes", axis, a.ndim)
        y = func(a, axis)
        a = y if y.ndim == a.ndim else expand_dims(y, axis)
    return a
