"""Resizing: one axis after the other, as `tg.interpolate` calls `resample`.

Along an axis of known length it is a product with a matrix. Along a dynamic one it is ONNX's Resize
if the factor is a power of 2. By other factors ONNX Runtime computes lengths and places in float32,
where floor(30 * 2.1) may be 62 or 63, and copies an axis whose length stays the same; so the places
are written out, in float64 as `interpolate` has them.
"""

import math

import numpy as np

from tinygrad_like.onnx.export.emit import Emitter, Value
from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.sizes import Size
from tinygrad_like.onnx.export.table import lowers
from tinygrad_like.ops.neural.resize import CUBIC, table_of

RESIZE_OF_KIND: dict[str, dict] = {  # the attributes of Resize
    "nearest": {"mode": "nearest", "nearest_mode": "floor"},
    "nearest-exact": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    "linear": {"mode": "linear"},
    "cubic": {"mode": "cubic", "cubic_coeff_a": CUBIC},
}
INT64, FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)

# Keys' kernel by its coefficients, the highest power first: up to a distance of 1, and from 1 to 2.
NEAR = CUBIC + 2, -(CUBIC + 3), 0.0, 1.0
FAR = CUBIC, -5 * CUBIC, 8 * CUBIC, -4 * CUBIC


@lowers("resample", cast="out")
def resample(g, x, *, spec, axis):
    """A product with the table as a matrix, where all lengths are known."""
    if isinstance(spec.n, Size) or isinstance(spec.outputs, Size):
        return _along_dynamic_axis(g, x, spec, axis)
    starts, places, weights = table_of(spec)
    outputs = len(starts) - 1
    matrix = np.zeros((x.shape[axis], outputs))
    np.add.at(matrix, (places, np.repeat(np.arange(outputs), np.diff(starts))), weights)
    last = g.Transpose(x, perm=_exchanged(x.ndim, axis))
    y = g.MatMul(last, g.constant(matrix, x.dtype))
    return g.Transpose(y, perm=_exchanged(x.ndim, axis))


def _exchanged(ndim, axis):
    """The order of axes in which one is exchanged with the last."""
    order = list(range(ndim))
    order[axis], order[-1] = order[-1], order[axis]
    return order


def _along_dynamic_axis(g, x, spec, axis):
    """By a factor, along an axis whose length is not known."""
    if spec.kind not in RESIZE_OF_KIND or spec.transposed or spec.corners:
        raise ExportError(
            f"[onnx.export] interpolate ({spec.kind}) along a dynamic axis cannot be exported; "
            "leave the axis out of dynamic_axes"
        )
    factor = _factor(spec.step)
    if math.frexp(factor)[0] == 0.5 and x.dtype != FLOAT64:  # of which ONNX Runtime has no Resize
        factors = [1.0] * x.ndim
        factors[axis] = factor
        where = "asymmetric" if spec.kind == "nearest" else "half_pixel"
        return g.Resize(
            x, None, g.constant(factors, np.float32),
            coordinate_transformation_mode=where, **RESIZE_OF_KIND[spec.kind],
        )  # fmt: skip
    n = g.number(spec.n, INT64)
    count = g.cast(g.Floor(g.Mul(g.cast(n, FLOAT64), factor)), INT64)
    if spec.kind.startswith("nearest"):
        return g.Gather(x, _nearest(g, n, count, spec), axis=axis)
    return _weighted(g, x, n, count, spec, axis)


def _factor(step: float) -> float:
    """The scale factor of a step, which is its reciprocal, in as few digits as say it."""
    short = float(f"{1 / step:.12g}")
    return short if 1 / short == step else 1 / step


def _outputs(g: Emitter, count: Value) -> Value:
    """0, 1, ..., count - 1."""
    return g.Range(g.constant(0, INT64), count, g.constant(1, INT64))


def _nearest(g, n, count, spec):
    """The place of each output: in integers where the step is n / count, as in `table_of`."""
    halves = g.Mul(_outputs(g, count), 2)
    halves = g.Add(halves, 1) if spec.kind == "nearest-exact" else halves
    exact = g.Div(g.Mul(halves, n), g.Mul(count, 2))
    rounded = g.Floor(g.Mul(g.Mul(g.cast(halves, FLOAT64), spec.step), 0.5))
    even = g.Equal(g.Div(g.cast(n, FLOAT64), g.cast(count, FLOAT64)), spec.step)
    places = g.Where(even, exact, g.cast(rounded, INT64))
    return g.Min(places, g.Sub(n, 1))


def _weighted(g, x, n, count, spec, axis):
    """The sum of the 2 or 4 neighbours of each output, times their weights."""
    middles = g.Add(g.cast(_outputs(g, count), FLOAT64), 0.5)
    at = g.Sub(g.Mul(middles, spec.step), 0.5)
    at = g.Max(at, 0.0) if spec.kind == "linear" else at
    floor = g.Floor(at)
    t = g.Sub(at, floor)
    rest = g.Sub(g.constant(1.0, FLOAT64), t)
    if spec.kind == "linear":
        first, weights = 0, [rest, t]
    else:
        ends = (g.Add(t, 1.0), FAR), (t, NEAR), (rest, NEAR), (g.Add(rest, 1.0), FAR)
        first, weights = -1, [_polynomial(g, *end) for end in ends]
    lengths = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
    terms = []
    for k, weight in enumerate(weights, first):
        places = g.Min(g.Max(g.Add(g.cast(floor, INT64), k), 0), g.Sub(n, 1))
        weight = g.Reshape(g.cast(weight, x.dtype), g.integers(lengths))
        terms.append(g.Mul(g.Gather(x, places, axis=axis), weight))
    return g.Sum(*terms)


def _polynomial(g, x, coefficients):
    """A polynomial, the highest power first."""
    first, *rest = coefficients
    total = g.constant(first, x.dtype)
    for c in rest:
        total = g.Add(g.Mul(total, x), c)
    return total
