"""Reductions along axes, and running ones."""

import math

import numpy as np

from tinygrad_like.onnx.export.arithmetic import finite, truth
from tinygrad_like.onnx.export.emit import Emitter, Value
from tinygrad_like.onnx.export.moves import axes_of
from tinygrad_like.onnx.export.sizes import product
from tinygrad_like.onnx.export.table import computing, lowers

PLAIN = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}


def _enter() -> None:
    for name, kind in PLAIN.items():
        wraps = name in ("sum", "prod")
        lowers(name, cast="out")(
            lambda g, x, kind=kind, wraps=wraps, **how: _reduced(
                g, kind, _signed(g, x) if wraps else x, **how
            )
        )


def _signed(g, x):
    """Unsigned integers of 64 bits as signed ones, whose sums and products have the same bits."""
    return g.cast(x, np.int64)._replace(shape=x.shape) if x.dtype == np.uint64 else x


def _reduced(g, kind, x, *, axis, keepdims):
    return g.reduce(kind, x, axes_of(axis, x.ndim), keepdims)


_enter()


@lowers("mean")
def mean(g, x, *, axis, keepdims):
    x = g.cast(x, np.float64) if x.dtype.kind in "biu" else x
    return _reduced(g, "ReduceMean", x, axis=axis, keepdims=keepdims)


@lowers("any")
def any_(g, x, *, axis, keepdims):
    return _truth_of("ReduceMax", g, x, axis, keepdims)


@lowers("all")
def all_(g, x, *, axis, keepdims):
    return _truth_of("ReduceMin", g, x, axis, keepdims)


def _truth_of(kind, g, x, axis, keepdims):
    numbers = g.cast(truth(g, x), np.int32)
    return g.Greater(g.reduce(kind, numbers, axes_of(axis, x.ndim), keepdims), 0)


@lowers("argmax")
def argmax(g, x, *, axis, keepdims):
    return _place_of("ArgMax", g, x, axis, keepdims)


@lowers("argmin")
def argmin(g, x, *, axis, keepdims):
    return _place_of("ArgMin", g, x, axis, keepdims)


def _place_of(kind, g, x, axis, keepdims):
    """The place along an axis, or in the flattened array."""
    x = g.cast(x, computing(x.dtype))
    if axis is not None and x.ndim:
        return g.node(kind, x, axis=axis % x.ndim, keepdims=int(keepdims))
    y = g.node(kind, g.Reshape(x, g.constant([-1])), axis=0, keepdims=0)
    return g.Reshape(y, g.constant(np.array((1,) * (x.ndim * keepdims), np.int64)))


# Deviations


def count(g: Emitter, x: Value, axes: list[int], dtype: np.dtype) -> Value:
    """How many elements are reduced to one."""
    assert x.shape is not None
    return g.number(product([x.shape[a] for a in axes], g.runs), dtype)


def deviation(g: Emitter, x: Value, axes: list[int]) -> Value:
    """x less its mean."""
    return g.Sub(x, g.reduce("ReduceMean", x, axes))


@lowers("deviation")
def _deviation(g, x, *, axis):
    return deviation(g, x, axes_of(axis, x.ndim))


@lowers("var")
def var(g, x, *, axis, keepdims, ddof):
    """The mean square of the deviation, with n - ddof for n."""
    x = g.cast(x, np.float64) if x.dtype.kind in "biu" else x
    axes = axes_of(axis, x.ndim)
    centred = deviation(g, x, axes)
    total = g.reduce("ReduceSum", g.Mul(centred, centred), axes, keepdims)
    n = count(g, x, axes, x.dtype)
    return g.Div(total, g.Sub(n, float(ddof)) if ddof else n)


@lowers("std")
def std(g, x, **how):
    return g.Sqrt(var(g, x, **how))


@lowers("norm")
def norm(g, x, *, axis, keepdims):
    """Scaled by the largest element, so that no square overflows."""
    axes = axes_of(axis, x.ndim)
    x = g.Abs(x)
    scale = _scale(g, g.reduce("ReduceMax", x, axes))
    ratio = g.Div(x, scale)
    y = g.Mul(g.Sqrt(g.reduce("ReduceSum", g.Mul(ratio, ratio), axes)), scale)
    return y if keepdims else _without(g, y, axes)


def _scale(g, peak):
    """The largest element, or 1 where nothing can be divided by it."""
    usable = g.And(g.Greater(peak, 0.0), finite(g, peak))
    return g.Where(usable, peak, g.number(1.0, peak.dtype))


def _without(g, y, axes):
    return g.Squeeze(y, g.constant(np.array(axes, np.int64))) if axes else y


@lowers("norm_of_order")
def norm_of_order(g, x, *, p, axis, keepdims):
    """The p-norm, scaled by the largest element (of negative p the smallest) as `norm`."""
    axes = axes_of(axis, x.ndim)
    x = g.Abs(x)
    peak = g.reduce("ReduceMax" if p > 0 else "ReduceMin", x, axes)
    scale = _scale(g, peak)
    none = g.Equal(peak, 0.0)
    if p < 0:
        x = g.Where(none, g.number(1.0, x.dtype), x)
    total = g.reduce("ReduceSum", g.Pow(g.Div(x, scale), float(p)), axes)
    y = g.Mul(g.Pow(total, 1 / p), scale)
    y = g.Where(none, g.number(0.0, x.dtype), y) if p < 0 else y
    return y if keepdims else _without(g, y, axes)


# Running ones


@lowers("cumsum", cast="out")
def cumsum(g, x, *, axis, reverse):
    if not x.ndim:
        return g.Identity(x)
    return g.CumSum(_signed(g, x), g.constant(axis % x.ndim), reverse=int(reverse))


def scan(g: Emitter, a: Value, b: Value, initial: Value, axis: int, reverse: bool) -> Value:
    """h_t = a_t h_(t-1) + b_t along an axis; `initial` has no such axis."""
    ir = g.ir
    state, factor, term = (ir.Value(name=g.fresh(name)) for name in ("state", "factor", "term"))
    for value in (state, factor, term):
        value.dtype = g.data_type(b.dtype)
    scaled = ir.node("Mul", [factor, state])
    new = ir.node("Add", [scaled.outputs[0], term])
    seen = ir.node("Identity", [new.outputs[0]])
    for each in (scaled, new, seen):
        each.outputs[0].name = g.fresh(each.op_type)
        each.outputs[0].dtype = g.data_type(b.dtype)
    body = ir.Graph(
        [state, factor, term],
        [new.outputs[0], seen.outputs[0]],
        nodes=[scaled, new, seen],
        name=g.fresh("step"),
    )
    way = int(reverse)
    _, out = g.Scan(
        initial, a, b, outputs=2, body=body, num_scan_inputs=2,
        scan_input_axes=[axis, axis], scan_input_directions=[way, way],
        scan_output_axes=[axis], scan_output_directions=[way],
    )  # fmt: skip
    return out


@lowers("linear_scan", cast="out")
def linear_scan(g, a, b, initial, *, axis, reverse):
    return scan(g, a, b, g.Squeeze(initial, g.constant([axis])), axis, reverse)


@lowers("integer_cumprod", cast="out")
def integer_cumprod(g, x, *, axis):
    zeros = g.Sub(x, x)
    one = g.Squeeze(g.Add(g.slice(zeros, axis, 0, 1), 1), g.constant([axis]))
    return scan(g, x, zeros, one, axis, False)


def _up_to_each(g, x, axis):
    """(x with its axis last and once more before it, where it is not behind the place there)."""
    n, order = x.shape[axis], [i for i in range(x.ndim) if i != axis] + [axis]
    lines = g.unsqueeze(g.Transpose(x, perm=order), -2)
    return lines, g.LessOrEqual(g.diagonals(n, n), 0), [int(i) for i in np.argsort(order)]


@lowers("running_extreme")
def running_extreme(g, x, *, axis, largest):
    """The last place of the extreme of all elements up to each: a matrix for each line."""
    dtype = computing(x.dtype)
    lines, seen, back = _up_to_each(g, g.cast(x, dtype), axis)
    most = np.iinfo(np.int64).max if dtype.kind in "iu" else math.inf
    hidden = g.Where(seen, lines, g.number(-most if largest else most, dtype))
    extreme = g.reduce("ReduceMax" if largest else "ReduceMin", hidden, [x.ndim])
    found = g.cast(g.And(seen, g.Equal(lines, extreme)), np.int32)
    places = g.ArgMax(found, axis=x.ndim, keepdims=0, select_last_index=1)
    return g.Transpose(places, perm=back)


@lowers("logcumsumexp")
def logcumsumexp(g, x, *, axis):
    lines, seen, back = _up_to_each(g, x, axis)
    hidden = g.Where(seen, lines, g.number(-math.inf, x.dtype))
    return g.Transpose(logsumexp(g, hidden, [x.ndim], False), perm=back)


def logsumexp(g: Emitter, x: Value, axes: list[int], keepdims: bool) -> Value:
    """log(sum(exp(x))), measured from the largest element; what is infinite stays so."""
    top = g.reduce("ReduceMax", x, axes)
    decided = g.Not(finite(g, top))
    zero = g.Where(decided, g.number(0.0, x.dtype), top)
    total = g.reduce("ReduceSum", g.Exp(g.Sub(x, zero)), axes)
    one = g.number(1.0, x.dtype)
    y = g.Where(decided, top, g.Add(g.Log(g.Where(decided, one, total)), zero))
    return y if keepdims else _without(g, y, axes)


@lowers("logsumexp")
def _logsumexp(g, x, *, axis, keepdims):
    return logsumexp(g, x, axes_of(axis, x.ndim), keepdims)
