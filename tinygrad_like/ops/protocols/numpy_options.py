"""What NumPy's functions take beyond ours: `np.sum(tensor, where=mask, dtype="float64")`.

Each has the name of a function here, which does the work, and is called by the protocol alone: in
`tg.` the same is said by `where` and `astype` around the function. Options that are not named here
are NumPy's, on the values, see protocol.py.
"""

import functools
import math

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import astype, broadcast_to, check_choice, composed, conj, real
from tinygrad_like.ops.arrays import shape as shapes
from tinygrad_like.ops.elements import elementwise
from tinygrad_like.ops.elements.compare import (
    equal,
    greater,
    isnan,
    logical_and,
    logical_not,
    logical_or,
)
from tinygrad_like.ops.indexing import index
from tinygrad_like.ops.matrices import diagonal
from tinygrad_like.ops.reductions import reduce, scan
from tinygrad_like.ops.samples.statistics import count_nonzero

# Reductions


def _mask(x, chosen):
    """`where=` as booleans of the shape of x; None if it chooses every element."""
    if chosen is True:
        return None
    chosen = chosen if hasattr(chosen, "dtype") else np.asarray(chosen)
    if chosen.dtype.kind != "b":
        raise TypeError(f"[where] where has dtype {chosen.dtype}, expected booleans")
    return broadcast_to(chosen, shape=x.shape)


def _chosen(x, chosen, rest):
    """x with `rest` where `chosen` is false."""
    mask = _mask(x, chosen)
    return x if mask is None else elementwise.where(mask, x, rest)


def _cast(x, dtype):
    return x if dtype is None else astype(x, dtype=dtype)


def _inexact(x, dtype):
    if dtype is not None and np.dtype(dtype).kind not in INEXACT:
        raise TypeError(f"[dtype] dtype is {np.dtype(dtype)}, expected a floating one")
    return _cast(x, dtype)


def _from_initial(combine, y, initial):
    """A result, going on from the number `initial`."""
    if initial is None:
        return y
    if y.dtype.kind in INEXACT:
        return combine(y, initial)
    if initial != int(initial):
        raise TypeError(f"[initial] initial is {initial}, expected an integer beside {y.dtype}")
    return combine(y, int(initial))


@composed
def sum(x, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    """The sum of `initial` and of the elements where `where` is true, in `dtype`."""
    y = reduce.sum(_chosen(_cast(x, dtype), where, 0), axis=axis, keepdims=keepdims)
    return _from_initial(elementwise.add, y, initial)


@composed
def prod(x, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    """The product of `initial` and of the elements where `where` is true, in `dtype`."""
    y = reduce.prod(_chosen(_cast(x, dtype), where, 1), axis=axis, keepdims=keepdims)
    return _from_initial(elementwise.multiply, y, initial)


def _extreme(extreme, combine, x, axis, keepdims, initial, chosen):
    if initial is None and chosen is not True:
        raise ValueError("[initial] where may choose no element, expected an initial one as well")
    y = extreme(_chosen(x, chosen, initial), axis=axis, keepdims=keepdims)
    return _from_initial(combine, y, initial)


@composed
def max(x, axis=None, keepdims=False, initial=None, where=True):
    """The maximum of `initial` and of the elements where `where` is true."""
    return _extreme(reduce.max, elementwise.maximum, x, axis, keepdims, initial, where)


@composed
def min(x, axis=None, keepdims=False, initial=None, where=True):
    """The minimum of `initial` and of the elements where `where` is true."""
    return _extreme(reduce.min, elementwise.minimum, x, axis, keepdims, initial, where)


@composed
def any(x, axis=None, keepdims=False, where=True):
    """Whether one of the elements where `where` is true is not zero."""
    mask = _mask(x, where)
    return reduce.any(x if mask is None else logical_and(x, mask), axis=axis, keepdims=keepdims)


@composed
def all(x, axis=None, keepdims=False, where=True):
    """Whether none of the elements where `where` is true is zero."""
    mask = _mask(x, where)
    x = x if mask is None else logical_or(x, logical_not(mask))
    return reduce.all(x, axis=axis, keepdims=keepdims)


def _is_half(x):
    return x.dtype.itemsize == 2 and x.dtype.kind in INEXACT


def _exact(x):
    """x in the dtype in which it is averaged: integers and half types in float32."""
    return astype(x, dtype=np.float32) if _is_half(x) or x.dtype.kind not in INEXACT else x


def _narrow(y, x):
    """An average of x in its dtype."""
    return astype(y, dtype=x.dtype) if _is_half(x) else y


def _average(x, mask, axis, keepdims, ddof=0):
    """The sum where the mask is true over how many these are, less `ddof`; NaN of none."""
    degrees = count_nonzero(mask, axis=axis, keepdims=keepdims) - ddof
    known = elementwise.where(greater(degrees, 0), degrees, math.nan)
    total = reduce.sum(elementwise.where(mask, x, 0), axis=axis, keepdims=keepdims)
    return total / astype(known, dtype=np.finfo(x.dtype).dtype)


@composed
def mean(x, axis=None, dtype=None, keepdims=False, where=True):
    """The mean of the elements where `where` is true, in `dtype`; NaN of none."""
    x, mask = _inexact(x, dtype), _mask(x, where)
    if mask is None:
        return reduce.mean(x, axis=axis, keepdims=keepdims)
    return _narrow(_average(_exact(x), mask, axis, keepdims), x)


@composed
def var(x, axis=None, dtype=None, ddof=0, keepdims=False, where=True, correction=None):
    """The variance of the elements where `where` is true, in `dtype`; `correction` is `ddof`."""
    ddof = ddof if correction is None else correction
    x, mask = _inexact(x, dtype), _mask(x, where)
    if mask is None:
        return reduce.var(x, axis=axis, keepdims=keepdims, ddof=ddof)
    wide = _exact(x)
    z = elementwise.where(mask, wide - _average(wide, mask, axis, True), 0)
    return _narrow(_average(real(z * conj(z)), mask, axis, keepdims, ddof), x)


@composed
def std(x, axis=None, dtype=None, ddof=0, keepdims=False, where=True, correction=None):
    """The root of `var`; the gradient of equal elements is 0."""
    ddof = ddof if correction is None else correction
    x = _inexact(x, dtype)
    if where is True:
        return reduce.std(x, axis=axis, keepdims=keepdims, ddof=ddof)
    square = var(_exact(x), axis, None, ddof, keepdims, where)
    nothing = equal(square, 0)
    root = elementwise.sqrt(elementwise.where(nothing, 1, square))
    return _narrow(elementwise.where(nothing, 0, root), x)


def _without_nan(function):
    """A reduction of the elements that are no NaN, with the options of the one of all."""

    @functools.wraps(function)
    def of_known(x, *, where=True, **options):
        if x.dtype.kind not in INEXACT:
            return function(x, where=where, **options)
        mask, known = _mask(x, where), logical_not(isnan(x))
        known = known if mask is None else logical_and(known, mask)
        return function(x, where=known, **options)

    of_known.__name__ = f"nan{function.__name__}"
    return composed(of_known)


nansum, nanprod = _without_nan(sum), _without_nan(prod)
nanmean, nanvar, nanstd = _without_nan(mean), _without_nan(var), _without_nan(std)


# Running sums, order and shape


@composed
def cumsum(x, axis=None, dtype=None):
    """The running sum, in `dtype`."""
    return scan.cumsum(_cast(x, dtype), axis)


@composed
def cumprod(x, axis=None, dtype=None):
    """The running product, in `dtype`."""
    return scan.cumprod(_cast(x, dtype), axis)


@composed
def nancumsum(x, axis=None, dtype=None):
    """The running sum, in which NaN counts as 0, in `dtype`."""
    return scan.nancumsum(_cast(x, dtype), axis)


@composed
def nancumprod(x, axis=None, dtype=None):
    """The running product, in which NaN counts as 1, in `dtype`."""
    return scan.nancumprod(_cast(x, dtype), axis)


@composed
def trace(x, offset=0, axis1=0, axis2=1, dtype=None):
    """The sum of a diagonal, in `dtype`."""
    return diagonal.trace(_cast(x, dtype), offset, axis1, axis2)


@composed
def sort(x, axis=-1, kind=None, stable=None):
    """tg.sort, which is stable whatever `kind` is."""
    return index.sort(x, axis)


@composed
def argsort(x, axis=-1, kind=None, stable=None):
    """tg.argsort, which is stable whatever `kind` is."""
    return index.argsort(x, axis)


@composed
def reshape(x, shape, order="C"):
    """`x` in another shape, its elements read and written along rows ("C") or columns ("F")."""
    if check_choice("reshape", "order", order, ("C", "F")) == "C":
        return shapes.reshape(x, shape)
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    return shapes.transpose(shapes.reshape(shapes.transpose(x), lengths[::-1]))


@composed
def ravel(x, order="C"):
    """All elements as one row, along rows ("C") or columns ("F")."""
    return reshape(x, -1, order)


@composed
def copy(x, order="K"):
    """A copy; tensors know of no order in memory."""
    return shapes.copy(x)


# Methods of ufuncs


@composed
def cummax(x, axis=-1):
    """The maximum so far."""
    return scan.cummax(x, axis)[0]


@composed
def cummin(x, axis=-1):
    """The minimum so far."""
    return scan.cummin(x, axis)[0]


def along_first_axis(op):
    """The op with 0 as its axis by default, as `np.add.reduce` and its like have it."""

    @functools.wraps(op)
    def method(x, axis=0, **options):
        return op(x, axis=axis, **options)

    return method


def outer_of(op):
    """`op` of each element of a and each of b, as `np.multiply.outer`."""

    def outer(a, b):
        ndim = np.ndim(b)
        return op(shapes.reshape(a, (*np.shape(a), *(1,) * ndim)) if ndim else a, b)

    return outer
