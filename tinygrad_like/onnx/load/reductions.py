"""Ops of ONNX that reduce axes or run along one: sums, extremes, softmax."""

import math

import numpy as np

from tinygrad_like.engine import Tensor, astype
from tinygrad_like.onnx.load.casts import cast
from tinygrad_like.onnx.load.table import Host, axis_of, integer, integers, runs
from tinygrad_like.ops.arrays import create
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.elements import elementwise
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.indexing import padding
from tinygrad_like.ops.neural import softmax as softmaxes
from tinygrad_like.ops.reductions import reduce, scan


def _sum(x, **over):
    return reduce.sum(x, **over)


def _l2(x, **over):
    return elementwise.sqrt(reduce.sum(x * x, **over))


def _l2_of_floats(x, **over):
    """The norm, whose gradient at 0 is 0."""
    return reduce.norm(x, **over) if x.dtype.kind == "f" else _l2(x, **over)


def _extreme(function, least):
    """A reduction by an extreme, for which that of nothing is the end of the dtype's range."""

    def of(x, *, axis, keepdims):
        if math.prod(x.shape[a] for a in axis) == 0:
            shape = [1 if i in axis else n for i, n in enumerate(x.shape)]
            shape = shape if keepdims else [n for i, n in enumerate(x.shape) if i not in axis]
            return create.full(tuple(shape), _bound(x.dtype, least), dtype=x.dtype)
        return function(x, axis=axis, keepdims=keepdims)

    return of


def _bound(dtype, least):
    """The least or greatest value of a dtype, which an extreme of nothing is."""
    if dtype.kind == "b":
        return not least
    if dtype.kind == "f":
        return -math.inf if least else math.inf
    return int(np.iinfo(dtype).min if least else np.iinfo(dtype).max)


def _log_sum_exp(x, **over):
    if x.size == 0:  # log(0)
        return elementwise.log(reduce.sum(x, **over))
    return softmaxes.logsumexp(x, **over)


REDUCTIONS = {
    "ReduceL1": lambda x, **over: reduce.sum(elementwise.abs(x), **over),
    "ReduceL2": _l2_of_floats,
    "ReduceLogSum": lambda x, **over: elementwise.log(reduce.sum(x, **over)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _extreme(reduce.max, least=True),
    "ReduceMean": reduce.mean,
    "ReduceMin": _extreme(reduce.min, least=False),
    "ReduceProd": reduce.prod,
    "ReduceSum": _sum,
    "ReduceSumSquare": lambda x, **over: reduce.sum(x * x, **over),
}


# Of integers these are computed in float64, and then lose their fraction.
FRACTIONAL = "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean"


def _enter(op, function):
    """Enter a reduction: without axes over all, or of single elements if the node says so."""

    @runs(op)
    def reduced(x, axes: Host = None, *, keepdims=1, noop_with_empty_axes=0):
        axes = () if axes is None else integers(axes)
        if not axes and noop_with_empty_axes:
            axes = ()
        elif not axes:
            axes = tuple(range(x.ndim))
        axes = tuple(axis_of(a, x.ndim) for a in axes)
        dtype = x.dtype
        if dtype.kind in "iu" and op in FRACTIONAL:
            x = astype(x, dtype=np.float64)
        if not axes:  # of single elements
            y = function(arrays.expand_dims(x, x.ndim), axis=(x.ndim,), keepdims=False)
        else:
            y = function(x, axis=axes, keepdims=bool(keepdims))
        return cast(y, dtype)


for _op, _function in REDUCTIONS.items():
    _enter(_op, _function)


@runs("ArgMax")
def argmax(x, *, axis=0, keepdims=1, select_last_index=0):
    return _position(reduce.argmax, x, axis_of(axis, x.ndim), keepdims, select_last_index)


@runs("ArgMin")
def argmin(x, *, axis=0, keepdims=1, select_last_index=0):
    return _position(reduce.argmin, x, axis_of(axis, x.ndim), keepdims, select_last_index)


def _position(function, x, axis, keepdims, last):
    """The first place of an extreme, or the last one."""
    if last:
        found = function(arrays.flip(x, axis=axis), axis=axis, keepdims=bool(keepdims))
        return x.shape[axis] - 1 - astype(found, dtype=np.int64)
    return astype(function(x, axis=axis, keepdims=bool(keepdims)), dtype=np.int64)


# Along an axis


def _enter_softmax(op, function):
    @runs(op, since=13)
    def along_axis(x, *, axis=-1):
        return function(x, axis=axis)

    @runs(op)
    def over_the_rest(x, *, axis=1):
        """Before version 13: over all axes from this one on."""
        axis = axis_of(axis, x.ndim)
        rows = arrays.reshape(x, shape=(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
        return arrays.reshape(function(rows, axis=-1), shape=x.shape)


def _hardmax(x, axis):
    """1 at the first largest element along an axis, else 0."""
    places = reduce.argmax(x, axis=axis, keepdims=True)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    numbers = Tensor(np.arange(x.shape[axis]).reshape(shape), device=x.device)
    return astype(equal(numbers, places), dtype=x.dtype)


_enter_softmax("Softmax", softmaxes.softmax)
_enter_softmax("LogSoftmax", softmaxes.log_softmax)
_enter_softmax("Hardmax", _hardmax)


@runs("CumSum")
def cumulative_sum(x, axis: Host, *, exclusive=0, reverse=0):
    return _cumulative(x, axis, exclusive, reverse, reduce.cumsum, 0)


@runs("CumProd")
def cumulative_product(x, axis: Host, *, exclusive=0, reverse=0):
    return _cumulative(x, axis, exclusive, reverse, scan.cumprod, 1)


def _cumulative(x, axis, exclusive, reverse, function, start):
    """A running sum or product; an exclusive one begins with `start`."""
    axis = axis_of(integer(axis), x.ndim)
    y = arrays.flip(x, axis=axis) if reverse else x
    if exclusive:
        widths = [(0, 0)] * x.ndim
        widths[axis] = (1, -1)
        y = padding.pad(y, tuple(widths), value=start)
    y = cast(function(y, axis), x.dtype)
    return arrays.flip(y, axis=axis) if reverse else y
