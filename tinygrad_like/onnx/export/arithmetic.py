"""Arithmetic, comparisons and logic, element by element."""

import math

import numpy as np

from tinygrad_like.onnx.export.emit import BOOL, Emitter, Value
from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.table import computing, lowers

# Ours: the one node of ONNX that is the same.
IN_ONE_DTYPE = {
    **{"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow"},
    **{"negative": "Neg", "abs": "Abs", "_sign": "Sign", "maximum": "Max", "minimum": "Min"},
    **{"copy": "Identity", "positive": "Identity", "itself": "Identity", "conj": "Identity"},
    **{"real": "Identity"},
}
COMPARISONS = {
    **{"equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater"},
    "greater_equal": "GreaterOrEqual",
}
LOGIC = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}
BITS = {
    **{"bitwise_and": ("And", "BitwiseAnd"), "bitwise_or": ("Or", "BitwiseOr")},
    "bitwise_xor": ("Xor", "BitwiseXor"),
}
ROUNDING = {"floor": "Floor", "ceil": "Ceil"}


def _enter() -> None:
    for name, kind in IN_ONE_DTYPE.items():
        lowers(name.lstrip("_"), cast="out")(lambda g, *xs, kind=kind: g.node(kind, *xs))
    for name, kind in COMPARISONS.items():
        lowers(name, cast="inputs")(lambda g, a, b, kind=kind: g.node(kind, a, b))
    for name, kind in LOGIC.items():
        lowers(name)(lambda g, a, b, kind=kind: g.node(kind, truth(g, a), truth(g, b)))
    for name, kinds in BITS.items():
        lowers(name)(lambda g, a, b, kinds=kinds: _bitwise(g, kinds, a, b))
    for name, kind in ROUNDING.items():
        lowers(name, cast="out")(
            lambda g, x, kind=kind: g.node(kind if x.dtype.kind == "f" else "Identity", x)
        )


_enter()


def truth(g: Emitter, x) -> Value:
    """A value, or number, as booleans: whether it is not zero."""
    if not isinstance(x, Value):
        return g.constant(bool(x))
    return x if x.dtype == BOOL else g.cast(x, BOOL)


def _bitwise(g, kinds, a, b):
    """A bitwise op; of booleans it is the logical one."""
    if g.outputs[0].dtype == BOOL:
        return g.node(kinds[0], truth(g, a), truth(g, b))
    _bits_exist(g)
    dtype = g.outputs[0].dtype
    a, b = (g.cast(x, dtype) if isinstance(x, Value) else g.constant(x, dtype) for x in (a, b))
    return g.node(kinds[1], a, b)


def _bits_exist(g):
    if g.opset < 18:
        raise ExportError(
            f"[onnx.export] operators on the bits of integers need opset 18, got {g.opset}"
        )


@lowers("not_equal", cast="inputs")
def not_equal(g, a, b):
    return g.Not(g.Equal(a, b))


@lowers("logical_not")
def logical_not(g, x):
    return g.Not(truth(g, x))


@lowers("invert")
def invert(g, x):
    """The opposite truth, or all bits flipped."""
    if x.dtype == BOOL:
        return g.Not(x)
    _bits_exist(g)
    return g.BitwiseNot(x)


@lowers("isnan", cast="inputs")
def isnan(g, x):
    return g.IsNaN(x) if x.dtype.kind == "f" else g.Less(x, x)


@lowers("isinf", cast="inputs")
def isinf(g, x):
    return g.IsInf(x) if x.dtype.kind == "f" else g.Less(x, x)


@lowers("isfinite", cast="inputs")
def isfinite(g, x):
    return finite(g, x) if x.dtype.kind == "f" else g.Equal(x, x)


def finite(g: Emitter, x: Value) -> Value:
    """Whether floating numbers are neither infinite nor NaN."""
    return g.Not(g.Or(g.IsInf(x), g.IsNaN(x)))


@lowers("isreal")
def isreal(g, x):
    return g.Expand(g.constant(True), g.integers(g.outputs[0].shape))


@lowers("iscomplex")
def iscomplex(g, x):
    return g.Expand(g.constant(False), g.integers(g.outputs[0].shape))


@lowers("imag")
def imag(g, x):
    return g.Expand(g.constant(0, x.dtype), g.integers(g.outputs[0].shape))


@lowers("isclose", cast="inputs")
def isclose(g, a, b, *, rtol, atol, equal_nan):
    """By NumPy's rule |a - b| <= atol + rtol |b|; infinities of one sign are close."""
    if a.dtype.kind != "f":
        a, b = g.cast(a, np.float64), g.cast(b, np.float64)
    bound = g.Add(g.Mul(g.Abs(b), rtol), atol)
    near = g.And(g.LessOrEqual(g.Abs(g.Sub(a, b)), bound), finite(g, b))
    near = g.Or(near, g.Equal(a, b))
    return g.Or(near, g.And(g.IsNaN(a), g.IsNaN(b))) if equal_nan else near


@lowers("zeros_of")
def zeros_of(g, x):
    return g.Expand(g.constant(0, x.dtype), g.integers(g.outputs[0].shape))


# Division with a rest, of which ONNX's Mod has integers' as Python's, and floats' as C's


def _wrong_side(g, rest, b):
    """Where C's rest of a floating division has another sign than the divisor."""
    return g.And(g.Not(g.Equal(rest, 0.0)), g.Not(g.Equal(g.Less(rest, 0.0), g.Less(b, 0.0))))


@lowers("remainder", cast="out")
def remainder(g, a, b):
    """Of the sign of the divisor."""
    if a.dtype.kind != "f":
        return g.Mod(a, b)
    rest = g.Mod(a, b, fmod=1)
    return g.Where(_wrong_side(g, rest, b), g.Add(rest, b), rest)


@lowers("floor_divide", cast="out")
def floor_divide(g, a, b):
    """(a - remainder) / b, which is whole but for rounding, and a / b where b is 0."""
    if a.dtype.kind != "f":
        return g.Div(g.Sub(a, g.Mod(a, b)), b)
    rest = g.Mod(a, b, fmod=1)
    whole = g.Round(g.Div(g.Sub(a, rest), b))
    whole = g.Where(_wrong_side(g, rest, b), g.Sub(whole, 1.0), whole)
    return g.Where(g.Equal(b, 0.0), g.Div(a, b), whole)


@lowers("fmod", cast="out")
def fmod(g, a, b):
    return g.Mod(a, b, fmod=1)


@lowers("round", cast="out")
def round_(g, x, *, decimals):
    """To decimal places, in multiples of a power of 10."""
    if x.dtype.kind != "f":
        if decimals < 0:
            raise ExportError("[onnx.export] round of integers to tens cannot be exported")
        return g.Identity(x)
    if not decimals:
        return g.Round(x)
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return g.Div(g.Round(g.Mul(x, scale)), scale)
    return g.Mul(g.Round(g.Div(x, scale)), scale)


@lowers("trunc", cast="out")
def trunc(g, x):
    if x.dtype.kind != "f":
        return g.Identity(x)
    return g.Where(g.Less(x, 0.0), g.Ceil(x), g.Floor(x))


# Signs


def is_negative(g: Emitter, x: Value) -> Value:
    """Whether the sign is a minus, that of -0 included."""
    below = g.Less(x, 0)
    if x.dtype.kind != "f":
        return below
    return g.Or(below, g.And(g.Equal(x, 0.0), g.Less(g.Div(g.number(1.0, x.dtype), x), 0.0)))


@lowers("signbit", cast="inputs")
def signbit(g, x):
    return is_negative(g, x)


@lowers("copysign", cast="out")
def copysign(g, a, b):
    size = g.Abs(a)
    return g.Where(is_negative(g, b), g.Neg(size), size)


@lowers("heaviside", cast="out")
def heaviside(g, x, values):
    steps = g.Where(g.Less(x, 0), g.number(0, x.dtype), g.number(1, x.dtype))
    steps = g.Where(g.Equal(x, 0), values, steps)
    return g.Where(g.IsNaN(x), x, steps) if x.dtype.kind == "f" else steps


@lowers("angle")
def angle(g, x):
    turned = g.Where(is_negative(g, x), g.number(math.pi, x.dtype), g.number(0.0, x.dtype))
    return g.Where(g.IsNaN(x), x, turned)


# Choices


@lowers("where")
def where(g, condition, a, b):
    dtype = g.outputs[0].dtype
    if dtype != BOOL:
        dtype = computing(dtype)
    a, b = (g.cast(x, dtype) if isinstance(x, Value) else g.number(x, dtype) for x in (a, b))
    condition = truth(g, condition)
    if dtype == BOOL:  # of which ONNX Runtime has no Where
        return g.Or(g.And(condition, a), g.And(g.Not(condition), b))
    return g.Where(condition, a, b)


@lowers("clip", cast="out")
def clip(g, x, *, min, max):
    """The upper bound is applied last: it wins where the bounds cross."""
    for bound, kind in ((min, "Max"), (max, "Min")):
        if bound is not None:
            bound = g.cast(bound, x.dtype) if isinstance(bound, Value) else bound
            x = g.node(kind, x, bound)
    return x


@lowers("nan_to_num", cast="out")
def nan_to_num(g, x, *, nan, posinf, neginf):
    if x.dtype.kind != "f":
        return g.Identity(x)
    info = np.finfo(x.dtype)
    high = info.max if posinf is None else posinf
    low = info.min if neginf is None else neginf
    for test, number in (
        (g.IsNaN(x), nan),
        (g.IsInf(x, detect_negative=0), high),
        (g.IsInf(x, detect_positive=0), low),
    ):
        x = g.Where(test, g.number(number, x.dtype), x)
    return x


@lowers("lerp", cast="out")
def lerp(g, start, end, weight):
    """From the nearer end, so that a weight of 1 gives exactly the end."""
    step, one = g.Sub(end, start), g.number(1, start.dtype)
    near = g.Add(start, g.Mul(weight, step))
    far = g.Sub(end, g.Mul(g.Sub(one, weight), step))
    half = g.constant(0.5) if weight.dtype.kind != "f" else g.number(0.5, weight.dtype)
    return g.Where(g.Less(g.cast(g.Abs(weight), half.dtype), half), near, far)


# Powers of 2


@lowers("bitwise_left_shift", cast="out")
def bitwise_left_shift(g, a, b):
    return g.Mul(a, g.Pow(g.number(2, a.dtype), b))


@lowers("bitwise_right_shift", cast="out")
def bitwise_right_shift(g, a, b):
    power = g.Pow(g.number(2, a.dtype), b)
    return g.Div(g.Sub(a, g.Mod(a, power)), power)


@lowers("ldexp")
def ldexp(g, x, i):
    dtype = g.outputs[0].dtype
    x, i = (g.cast(v, dtype) if isinstance(v, Value) else g.number(v, dtype) for v in (x, i))
    return g.Mul(x, g.Pow(g.number(2, dtype), i))


@lowers("exponent")
def exponent(g, x):
    """The logarithm may be off by one, which is put right by looking at what is left of x."""
    size = g.cast(g.Abs(x), np.float64)
    odd = g.Or(g.Equal(size, 0.0), g.Not(finite(g, x)))
    size = g.Where(odd, g.number(1.0, size.dtype), size)
    i = g.Add(g.Floor(g.Mul(g.Log(size), 1 / math.log(2))), 1.0)
    rest = g.Mul(size, g.Pow(g.number(2.0, size.dtype), g.Neg(i)))
    i = g.Where(g.GreaterOrEqual(rest, 1.0), g.Add(i, 1.0), i)
    i = g.Where(g.Less(rest, 0.5), g.Sub(i, 1.0), i)
    return g.Where(odd, g.number(0.0, i.dtype), i)
