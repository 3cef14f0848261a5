"""Reductions along axes, with NumPy's `axis` and `keepdims`.

Sums are pairwise or more exact, for every layout of the array. Half types are added up in float32
at least, integers in int64, and in float64 for their means. Where several elements tie for the
maximum or minimum, they share the gradient equally.
"""

import functools
import math

import numpy as np

from tinygrad_like.backend import describe_reduction, is_half, narrow, wide
from tinygrad_like.engine import astype, check_flag, composed, conj, in_single, op
from tinygrad_like.ops.arrays.shape import (
    along_axes,
    expand_dims,
    moveaxis,
    normal_axes,
    normal_axis,
    reshape,
)
from tinygrad_like.ops.elements.compare import equal, isclose, logical_or, not_equal
from tinygrad_like.ops.elements.elementwise import abs, power, sign, where
from tinygrad_like.ops.elements.transcendental import direction_of, or_nan


def reduction_of(name, shape, axis):
    """A reduction as kernels take it; a wrong axis raises in the name of the op.

    Returns (the axes, the shape that keeps them as 1, how many elements are reduced to one, whether
    these are neighbours in a C-contiguous array).
    """
    if axis is None or type(axis) is int or (type(axis) is tuple and {*map(type, axis)} <= INTEGER):
        return _known_reduction(name, shape, axis)
    return _known_reduction.__wrapped__(name, shape, axis)


INTEGER = {int}  # 1.0 == 1 == True, so the cache would accept them as axes


@functools.lru_cache(1024)
def _known_reduction(name, shape, axis):
    return describe_reduction(shape, normal_axes(name, axis, len(shape)))


def spread_over(be, g, shape, axis):
    """A reduced gradient spread over the shape that was reduced."""
    return be.k.spread(g, reduction_of("reduce", shape, axis)[1], shape)


def _divided(be, x, count):
    """x / count; a half type is divided in float32, since it may not hold the count."""
    if is_half(x.dtype):
        return astype(astype(x, dtype=np.float32) / count, dtype=x.dtype)
    return be.k.divide_by(x, count)


def _mean_rule(g, be, x_shape, axis):
    _, kept, count, _ = reduction_of("mean", x_shape, axis)
    return be.k.spread(_divided(be, g, count), kept, x_shape)


def _axes(name, x, axis):
    """The axes to reduce, checked; None stays None, which NumPy does fastest."""
    return None if axis is None else normal_axes(name, axis, x.ndim)


@op(
    complex=True,
    autocast=in_single,
    batch=along_axes,
    x=lambda g, be, x_shape, axis: spread_over(be, g, x_shape, axis),
)
def sum(be, x, *, axis=None, keepdims=False):
    """The sum along an axis, several, or all."""
    if keepdims is not False:
        keepdims = check_flag("sum", "keepdims", keepdims)
    return be.k.sum_in_pairs(x, reduction_of("sum", x.shape, axis), keepdims)


@op(complex=True, autocast=in_single, batch=along_axes, x=_mean_rule)
def mean(be, x, *, axis=None, keepdims=False):
    """The mean along an axis, several, or all; ValueError where there is nothing to average."""
    if keepdims is not False:
        keepdims = check_flag("mean", "keepdims", keepdims)
    reduction = axes, _, count, _ = reduction_of("mean", x.shape, axis)
    if not count:
        raise ValueError(f"[mean] of no elements has no value (x: {x.shape}, axis: {axis})")
    if x.itemsize == 2 and is_half(x.dtype):  # whose sums overflow
        return (be.k.sum_in_pairs(wide(x), reduction, keepdims) / count).astype(x.dtype)
    if x.dtype.kind in "biu":  # whose sums overflow as well: of time stamps in nanoseconds
        return x.sum(axes, dtype=np.float64, keepdims=keepdims) / count
    return be.k.divide_by(be.k.sum_in_pairs(x, reduction, keepdims), count)


def _degrees(name, x, axis, ddof):
    """(axes, the shape that keeps them, n - ddof), checked."""
    axes, kept, count, _ = reduction_of(name, x.shape, axis)
    if isinstance(ddof, bool) or not isinstance(ddof, (int, float, np.number)) or not ddof >= 0:
        raise ValueError(f"[{name}] ddof is {ddof!r}, expected a number of at least 0, such as 1")
    if count - ddof <= 0:
        raise ValueError(f"[{name}] {count} elements with ddof={ddof} have none (x: {x.shape})")
    return axes, kept, count - ddof


def _variance(name, be, x, axis, keepdims, ddof):
    """(the variance in the precision in which it was added up, the dtype of the result)."""
    axes, kept, n = _degrees(name, x, axis, ddof)
    dtype = x.dtype
    if dtype.kind in "biu":
        x, dtype = _above_least(be, x, axes), np.dtype(np.float32)
    if dtype.kind == "c":  # |z - mean|^2
        dtype = x.real.dtype
        y = (be.k.moments(x.real, axes)[1] + be.k.moments(x.imag, axes)[1]) / n
    else:
        y = be.k.moments(wide(x), axes)[1] / n
    return y.reshape(kept) if keepdims else y, dtype


def _above_least(be, x, axes):
    """Integers less the least of them, as float64: so those beyond 2^53 keep their differences."""
    if not x.size:
        return x.astype(np.float64)
    x = x if x.dtype == np.uint64 else x.astype(np.int64)
    least = x.min(axis=axes, keepdims=True)
    return (x.astype(np.uint64) - least.astype(np.uint64)).astype(np.float64)


def _single(x):
    """x, half types as float32: they may not hold a count, nor a share of a sum."""
    return astype(x, dtype=np.float32) if is_half(x.dtype) else x


def _centred(be, x, axis):
    """An array less its mean; half types in float32."""
    x, reduction = wide(x), reduction_of("mean", x.shape, axis)
    return x - be.k.divide_by(be.k.sum_in_pairs(x, reduction, True), reduction[2])


@op(complex=True, batch=along_axes, x=lambda g, axis: _deviation(g, axis=axis))
def _deviation(be, x, *, axis):
    """x less its mean."""
    return narrow(_centred(be, x, axis), x.dtype)


@op(
    complex=True,
    batch=along_axes,
    g=lambda h, x, axis, factor: _along_deviation(h, x, axis=axis, factor=factor),
    x=lambda h, g, axis, factor: _deviation(h * g * factor, axis=axis),
)
def _along_deviation(be, g, x, *, axis, factor):
    """g (x - mean(x)) factor; half types in float32, rounded once."""
    return narrow(wide(g) * factor * _centred(be, x, axis), g.dtype)


def _mirrored(x):
    """The conjugate of complex numbers: |z|^2 changes by 2 Re(conj(z) dz)."""
    return conj(x) if x.dtype.kind == "c" else x


def _var_rule(g, x, axis, ddof):
    _, kept, n = _degrees("var", x, axis, ddof)
    return _along_deviation(reshape(g, kept), _mirrored(x), axis=axis, factor=2 / n)


@op(complex=True, autocast=in_single, batch=along_axes, x=_var_rule)
def var(be, x, *, axis=None, keepdims=False, ddof=0):
    """The variance: squared deviations over n - ddof; of complex numbers those of |z - mean|."""
    if keepdims is not False:
        keepdims = check_flag("var", "keepdims", keepdims)
    y, dtype = _variance("var", be, x, axis, keepdims, ddof)
    return y.astype(dtype)


@op(
    complex=True,
    batch=along_axes,
    g=lambda h, x, root, axis, factor: _along_direction(h, x, root, axis=axis, factor=factor),
    x=lambda h, g, root, axis, factor: _deviation(h * g * factor / or_nan(root), axis=axis),
    root=lambda h, root, out: -(h * out) / or_nan(root),
)
def _along_direction(be, g, x, root, *, axis, factor):
    """g (x - mean(x)) factor / root, and 0 where the root is 0: see `direction_of`."""
    at_0, root = root == 0, wide(root)
    slope = wide(g) * factor * _centred(be, x, axis) / be.xp.where(at_0, 1, root)
    return narrow(be.xp.where(at_0, 0, slope), g.dtype)


def _std_rule(g, x, out, axis, ddof):
    _, kept, n = _degrees("std", x, axis, ddof)
    if n + ddof == 1:  # it is 0 for every x, and so are all its derivatives
        return _along_deviation(reshape(g, kept), _mirrored(x), axis=axis, factor=1)
    root = reshape(out, kept)
    return _along_direction(reshape(g, kept), _mirrored(x), root, axis=axis, factor=1 / n)


@op(complex=True, autocast=in_single, batch=along_axes, x=_std_rule)
def std(be, x, *, axis=None, keepdims=False, ddof=0):
    """The standard deviation, the root of `var`; its gradient for equal elements is 0."""
    if keepdims is not False:
        keepdims = check_flag("std", "keepdims", keepdims)
    y, dtype = _variance("std", be, x, axis, keepdims, ddof)
    return be.xp.sqrt(y).astype(dtype)


def _extreme_rule(g, x, out, axis):
    """The gradient in equal shares for the elements equal to the extreme, NaN ones if it is NaN."""
    kept, dtype = reduction_of("reduce", x.shape, axis)[1], g.dtype
    ties = logical_or(equal(x, reshape(out, kept)), not_equal(x, x))
    g = _single(g)
    count = sum(astype(ties, dtype=g.dtype), axis=axis, keepdims=True)
    return astype(where(ties, reshape(g, kept) / count, 0), dtype=dtype)


@op(batch=along_axes, x=_extreme_rule)
def max(be, x, *, axis=None, keepdims=False):
    """The maximum along an axis, several, or all; NaN if there is one."""
    if keepdims is not False:
        keepdims = check_flag("max", "keepdims", keepdims)
    return x.max(axis=_axes("max", x, axis), keepdims=keepdims)


@op(batch=along_axes, x=_extreme_rule)
def min(be, x, *, axis=None, keepdims=False):
    """The minimum along an axis, several, or all; NaN if there is one."""
    if keepdims is not False:
        keepdims = check_flag("min", "keepdims", keepdims)
    return x.min(axis=_axes("min", x, axis), keepdims=keepdims)


def _prod_rule(g, be, x, out, axis):
    """The product of the other elements: out / x, unless an element is zero."""
    shape = x.shape
    if not be.holds_anywhere(x == 0):
        return spread_over(be, g * out, shape, axis) / x
    axes = normal_axes("prod", axis, len(shape))
    last = tuple(range(len(shape) - len(axes), len(shape)))
    moved = moveaxis(x, axes, last)
    rows = reshape(moved, (*moved.shape[: last[0]], -1)) if axes else expand_dims(x, -1)
    n = rows.shape[-1]
    # Row i of this square holds all elements, the i-th replaced by 1.
    others = prod(where(be.xp.eye(n, dtype=bool), 1, expand_dims(rows, -2)), axis=-1)
    return spread_over(be, g, shape, axis) * moveaxis(reshape(others, moved.shape), last, axes)


@op(complex=True, autocast=in_single, batch=along_axes, x=_prod_rule)
def prod(be, x, *, axis=None, keepdims=False):
    """The product along an axis, several, or all."""
    if keepdims is not False:
        keepdims = check_flag("prod", "keepdims", keepdims)
    axes = normal_axes("prod", axis, x.ndim)
    if x.dtype.kind not in "fcV":
        return x.prod(axis=axes, keepdims=keepdims)
    return wide(x).prod(axis=axes, keepdims=keepdims, dtype=_running(x)).astype(x.dtype)


def _running(x):
    """The dtype of sums and products that are made element by element, so that errors add up."""
    return {"f": np.float64, "V": np.float64, "c": np.complex128}.get(x.dtype.kind)


@op(
    complex=True,
    autocast=in_single,
    batch=along_axes,
    x=lambda g, axis, reverse: _cumsum(g, axis=axis, reverse=not reverse),
)
def _cumsum(be, x, *, axis, reverse=False):
    """The running sum, from the end of the axis if `reverse`."""
    axis = normal_axis("cumsum", axis, x.ndim)
    if x.dtype.kind not in "fcV":
        return x.cumsum(axis=axis)
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    return be.k.running_sum(x.reshape(outer, x.shape[axis], inner), reverse).reshape(x.shape)


@composed
def cumsum(x, axis=None):
    """The running sum along an axis; by default of all elements in order, as one row."""
    return _cumsum(reshape(x, (-1,)), axis=0) if axis is None else _cumsum(x, axis=axis)


def _norm_rule(g, be, x, out, axis):
    kept = reduction_of("norm", x.shape, axis)[1]
    return spread_over(be, g, x.shape, axis) * direction_of(_mirrored(x), reshape(out, kept))


@op(complex=True, autocast=in_single, batch=along_axes, x=_norm_rule)
def _norm(be, x, *, axis=None, keepdims=False):
    axes, kept, _, _ = reduction_of("norm", x.shape, axis)
    x = be.xp.abs(x) if x.dtype.kind == "c" else x
    dtype, x = x.dtype, wide(x)
    squares = be.k.sum_squares(x, axes).reshape(kept)  # in float64, which holds float32's
    if x.dtype == np.float64 and not ((squares > 1e-290) & (squares < np.inf)).all():
        peak = be.xp.abs(x).max(axis=axes, keepdims=True, initial=0)
        peak = be.xp.where((peak > 0) & (peak < np.inf), peak, 1)
        y = be.xp.sqrt(be.k.sum_squares(x / peak, axes)).reshape(kept) * peak
    else:
        y = be.xp.sqrt(squares)
    y = y.astype(dtype)
    return y if keepdims else y.squeeze(axes)


def _norm_of_order_rule(g, be, x, out, axis, p):
    """The slope with respect to each x is sign(x) (|x| / norm)^(p - 1); for p < 1 it is 0 at 0."""
    kept = reduction_of("norm", x.shape, axis)[1]
    direction = direction_of(_mirrored(x), reshape(out, kept))
    ratio = abs(direction)
    if p < 1:
        ratio = where(equal(ratio, 0), 1, ratio)
    return spread_over(be, g, x.shape, axis) * sign(direction) * power(ratio, p - 1)


@op(complex=True, autocast=in_single, batch=along_axes, x=_norm_of_order_rule)
def _norm_of_order(be, x, *, p, axis=None, keepdims=False):
    axes, kept, count, _ = reduction_of("norm", x.shape, axis)
    x = be.xp.abs(x) if x.dtype.kind == "c" else x
    dtype = x.dtype
    size = be.xp.abs(wide(x)).astype(np.float64)
    if not count:
        peak = be.xp.full(kept, 0.0 if p > 0 else np.inf)
    elif p > 0:
        peak = size.max(axis=axes, keepdims=True)
    else:  # the smallest counts most, and one of 0 makes the norm 0
        peak = size.min(axis=axes, keepdims=True)
        size = be.xp.where(peak == 0, 1, size)
    scale = be.xp.where((peak > 0) & (peak < np.inf), peak, 1)
    y = be.k.sum_axes((size / scale) ** p, axes).reshape(kept) ** (1 / p) * scale
    y = (y if p > 0 else be.xp.where(peak == 0, 0, y)).astype(dtype)
    return y if keepdims else y.squeeze(axes)


@composed
def norm(x, ord=2, axis=None, keepdims=False):
    """The vector norm of order p, sum(|x|^p)^(1/p), over an axis, several, or all elements.

    It neither over- nor underflows where the result does not. The gradient at 0 is 0, the second
    derivative there, which does not exist, NaN. `linalg.matrix_norm` has the norms of matrices.

    Args:
        ord: a number other than 0; inf for the largest |x|, -inf for the smallest; 0 for how many
            elements are not 0.

    The norm of integers is float32. Raises ValueError for another order.
    """
    keepdims = check_flag("norm", "keepdims", keepdims)
    is_number = isinstance(ord, (int, float, np.number)) and not isinstance(ord, (bool, np.bool_))
    if not is_number or ord != ord:
        raise ValueError(
            f"[norm] ord is {ord!r}, expected a number, inf or -inf; norms of matrices are in "
            "linalg.matrix_norm"
        )
    if x.dtype.kind in "biu":  # whose |x| may be beyond their dtype
        floating = astype(x, dtype=np.float64)
        return astype(norm(floating, ord, axis, keepdims), dtype=np.float32)
    if ord == 2:
        return _norm(x, axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        size = abs(x) if x.dtype.kind == "c" else x
        return sum(where(equal(size, 0), sign(size), 1), axis=axis, keepdims=keepdims)
    if ord in (math.inf, -math.inf):
        return (max if ord > 0 else min)(abs(x), axis=axis, keepdims=keepdims)
    return _norm_of_order(x, p=float(ord), axis=axis, keepdims=keepdims)


# Positions and truth: integers and booleans, without gradient


def _position_in_all(call, arrays, attributes):
    (x,), keepdims = arrays, attributes["keepdims"]
    if attributes["axis"] is not None:
        return along_axes(call, arrays, attributes)
    y = call(x.full().reshape((call.size, x.size)), axis=1, keepdims=False)
    return y.reshape((call.size, *(1,) * x.ndim)) if keepdims is True else y


def _one_axis(name, x, axis):
    if axis is None or (not x.ndim and normal_axes(name, axis, 0) == ()):  # of a number
        return None
    return normal_axis(name, axis, x.ndim)


@op(any_dtype=True, batch=_position_in_all)
def argmax(be, x, *, axis=None, keepdims=False):
    """The index of the (first) maximum along an axis, or in the flattened tensor."""
    if keepdims is not False:
        keepdims = check_flag("argmax", "keepdims", keepdims)
    return x.argmax(axis=_one_axis("argmax", x, axis), keepdims=keepdims)


@op(any_dtype=True, batch=_position_in_all)
def argmin(be, x, *, axis=None, keepdims=False):
    """The index of the (first) minimum along an axis, or in the flattened tensor."""
    if keepdims is not False:
        keepdims = check_flag("argmin", "keepdims", keepdims)
    return x.argmin(axis=_one_axis("argmin", x, axis), keepdims=keepdims)


@op(complex=True, any_dtype=True, batch=along_axes)
def any(be, x, *, axis=None, keepdims=False):
    """Whether any element along an axis, several, or all is true (nonzero)."""
    if keepdims is not False:
        keepdims = check_flag("any", "keepdims", keepdims)
    return x.any(axis=_axes("any", x, axis), keepdims=keepdims)


@op(complex=True, any_dtype=True, batch=along_axes)
def all(be, x, *, axis=None, keepdims=False):
    """Whether all elements along an axis, several, or all are true (nonzero)."""
    if keepdims is not False:
        keepdims = check_flag("all", "keepdims", keepdims)
    return x.all(axis=_axes("all", x, axis), keepdims=keepdims)


@composed
def allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether all elements are close, as `isclose` says: a tensor of one boolean."""
    return all(isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan))
