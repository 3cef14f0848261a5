"""Exponentials, logarithms, waves, special functions and activations, element by element.

Where the obvious formula loses digits (log1p of small numbers, erfc of large ones), one that keeps
them is written instead.
"""

import math

import numpy as np

from tinygrad_like.onnx.export.arithmetic import finite, is_negative
from tinygrad_like.onnx.export.emit import Emitter, Value
from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.table import lowers

ONE_NODE = {
    **{"exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan"},
    **{"arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh"},
    **{"tanh": "Tanh", "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh", "erf": "Erf"},
    **{"sigmoid": "Sigmoid", "softsign": "Softsign"},
}


def _enter() -> None:
    for name, kind in ONE_NODE.items():
        lowers(name)(lambda g, x, kind=kind: g.node(kind, x))


_enter()


def expm1(g: Emitter, x: Value) -> Value:
    """exp(x) - 1 = tanh(x / 2) (exp(x) + 1), which keeps the digits of small x."""
    return g.Mul(g.Tanh(g.Mul(x, 0.5)), g.Add(g.Exp(x), 1.0))


def log1p(g: Emitter, x: Value) -> Value:
    """log(u) x / (u - 1) for u = 1 + x, rounded: the two errors of u cancel (Kahan)."""
    u = g.Add(x, 1.0)
    scaled = g.Div(g.Mul(g.Log(u), x), g.Sub(u, 1.0))
    small = g.Where(g.Equal(u, 1.0), x, scaled)
    return g.Where(finite(g, u), small, g.Log(u))


lowers("expm1")(expm1)
lowers("log1p")(log1p)


@lowers("log2")
def log2(g, x):
    return g.Mul(g.Log(x), 1 / math.log(2))


@lowers("log10")
def log10(g, x):
    return g.Mul(g.Log(x), 1 / math.log(10))


@lowers("exp2")
def exp2(g, x):
    return g.Pow(g.number(2.0, x.dtype), x)


@lowers("rsqrt")
def rsqrt(g, x):
    return g.Reciprocal(g.Sqrt(x))


@lowers("square", cast="out")
def square(g, x):
    return g.Mul(x, x)


@lowers("cbrt")
def cbrt(g, x):
    return g.Mul(g.Sign(x), g.Pow(g.Abs(x), 1 / 3))


@lowers("sinc")
def sinc(g, x):
    """sin(pi x) / (pi x), and 1 at 0."""
    turn = g.Mul(x, math.pi)
    at_0 = g.Equal(x, 0.0)
    one = g.number(1.0, x.dtype)
    return g.Where(at_0, one, g.Div(g.Sin(turn), g.Where(at_0, one, turn)))


@lowers("hypot", cast="out")
def hypot(g, a, b):
    """Scaled by the longer side, so that no square overflows."""
    a, b = g.Abs(a), g.Abs(b)
    long, short = g.Max(a, b), g.Min(a, b)
    plain = g.Or(g.Equal(long, 0.0), g.Not(finite(g, long)))
    ratio = g.Div(short, g.Where(plain, g.number(1.0, a.dtype), long))
    scaled = g.Mul(long, g.Sqrt(g.Add(g.Mul(ratio, ratio), 1.0)))
    return g.Where(plain, long, scaled)


@lowers("arctan2", cast="out")
def arctan2(g, y, x):
    """From the angle to the nearer axis, so that nothing is divided by 0."""
    ay, ax = g.Abs(y), g.Abs(x)
    long, short = g.Max(ay, ax), g.Min(ay, ax)
    none = g.Equal(long, 0.0)
    one = g.number(1.0, y.dtype)
    angle = g.Atan(g.Div(short, g.Where(none, one, long)))
    both = g.And(g.IsInf(x), g.IsInf(y))
    angle = g.Where(both, g.number(math.pi / 4, y.dtype), angle)
    angle = g.Where(g.Greater(ay, ax), g.Sub(g.number(math.pi / 2, y.dtype), angle), angle)
    left = is_negative(g, x)
    angle = g.Where(left, g.Sub(g.number(math.pi, y.dtype), angle), angle)
    return g.Where(is_negative(g, y), g.Neg(angle), angle)


@lowers("logaddexp", cast="out")
def logaddexp(g, a, b):
    top = g.Max(a, b)
    gap = g.Where(g.Equal(a, b), g.number(0.0, a.dtype), g.Neg(g.Abs(g.Sub(a, b))))
    return g.Add(top, log1p(g, g.Exp(gap)))


@lowers("logaddexp2", cast="out")
def logaddexp2(g, a, b):
    scale = math.log(2)
    return g.Div(logaddexp(g, g.Mul(a, scale), g.Mul(b, scale)), scale)


# Special functions


def erfc(g: Emitter, x: Value) -> Value:
    """1 - erf(x) to a relative error of 1.2e-7 for all x, as for large ones nothing is left of it.

    Source: Press et al., "Numerical recipes in C", 2nd edition, section 6.2, erfcc.
    """
    if x.dtype == np.float64:
        raise ExportError(
            "[onnx.export] erfc cannot be exported in float64: ONNX has erf alone, and 1 - erf "
            "loses all digits; convert the model to float32"
        )
    z = g.Abs(x)
    t = g.Div(g.number(1.0, x.dtype), g.Add(g.Mul(z, 0.5), 1.0))
    total = g.number(ERFC[-1], x.dtype)
    for c in reversed(ERFC[:-1]):
        total = g.Add(g.Mul(total, t), c)
    tail = g.Mul(t, g.Mul(g.Exp(g.Neg(g.Mul(z, z))), g.Exp(total)))
    tail = g.Where(g.Less(x, 0.0), g.Sub(g.number(2.0, x.dtype), tail), tail)
    return g.Where(g.Less(z, 0.5), g.Sub(g.number(1.0, x.dtype), g.Erf(x)), tail)


ERFC = (
    *(-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398),
    *(1.48851587, -0.82215223, 0.17087277),
)
lowers("erfc")(erfc)


@lowers("ndtr")
def ndtr(g, x):
    return g.Mul(erfc(g, g.Mul(x, -math.sqrt(0.5))), 0.5)


def _times_log(g, x, y, log):
    """x log(y), and 0 where x is 0, unless y is NaN."""
    none = g.And(g.Equal(x, 0.0), g.Not(g.IsNaN(y)))
    safe = g.Where(none, g.number(1.0, x.dtype), y)
    return g.Where(none, g.number(0.0, x.dtype), g.Mul(x, log(safe)))


@lowers("xlogy", cast="out")
def xlogy(g, x, y):
    return _times_log(g, x, y, g.Log)


@lowers("xlog1py", cast="out")
def xlog1py(g, x, y):
    return _times_log(g, x, y, lambda safe: log1p(g, safe))


@lowers("entr")
def entr(g, x):
    y = g.Neg(_times_log(g, x, x, g.Log))
    return g.Where(g.Less(x, 0.0), g.number(-math.inf, x.dtype), y)


@lowers("rel_entr", cast="out")
def rel_entr(g, x, y):
    zero, endless = g.number(0.0, x.dtype), g.number(math.inf, x.dtype)
    positive = g.And(g.Greater(x, 0.0), g.Greater(y, 0.0))
    one = g.number(1.0, x.dtype)
    ratio = g.Div(g.Where(positive, x, one), g.Where(positive, y, one))
    nothing = g.And(g.Equal(x, 0.0), g.GreaterOrEqual(y, 0.0))
    found = g.Where(positive, g.Mul(x, g.Log(ratio)), g.Where(nothing, zero, endless))
    return g.Where(g.Or(g.IsNaN(x), g.IsNaN(y)), g.Add(x, y), found)


@lowers("kl_div", cast="out")
def kl_div(g, x, y):
    return g.Add(g.Sub(rel_entr(g, x, y), x), y)


@lowers("logit")
def logit(g, x):
    return g.Sub(g.Log(x), log1p(g, g.Neg(x)))


# Activations


@lowers("relu", cast="out")
def relu(g, x):
    return g.Relu(x) if x.dtype.kind == "f" else g.Max(x, 0)


@lowers("leaky_relu", cast="out")
def leaky_relu(g, x, *, slope):
    if x.dtype.kind != "f":
        return g.Where(g.Greater(x, 0), x, g.Mul(g.cast(x, np.float32), float(slope)))
    return g.LeakyRelu(x, alpha=float(slope))


@lowers("elu")
def elu(g, x, *, alpha):
    below = g.Mul(expm1(g, g.Min(x, 0.0)), float(alpha))
    return g.Where(g.Greater(x, 0.0), x, below)


@lowers("celu")
def celu(g, x, *, alpha):
    below = g.Mul(expm1(g, g.Div(g.Min(x, 0.0), float(alpha))), float(alpha))
    return g.Where(g.Greater(x, 0.0), x, below)


@lowers("gelu")
def gelu(g, x, *, approximate):
    """ONNX's own node from version 20 on, its formula before."""
    tanh = approximate in (True, "tanh")
    if g.opset >= 20:
        return g.Gelu(x, approximate="tanh" if tanh else "none")
    if tanh:
        cube = g.Mul(g.Mul(x, x), x)
        inner = g.Mul(g.Add(x, g.Mul(cube, 0.044715)), math.sqrt(2 / math.pi))
        rise = g.Tanh(inner)
    else:
        rise = g.Erf(g.Mul(x, math.sqrt(0.5)))
    return g.Mul(g.Mul(x, 0.5), g.Add(rise, 1.0))


@lowers("silu")
def silu(g, x):
    return g.Mul(x, g.Sigmoid(x))


@lowers("softplus")
def softplus(g, x, *, beta, threshold):
    """log(1 + exp(x)) measured from max(x, 0), so that no exponential overflows."""
    scaled = x if beta == 1 else g.Mul(x, float(beta))
    y = g.Add(g.Max(scaled, 0.0), log1p(g, g.Exp(g.Neg(g.Abs(scaled)))))
    y = y if beta == 1 else g.Div(y, float(beta))
    return y if threshold is None else g.Where(g.Greater(scaled, float(threshold)), x, y)


@lowers("hardtanh", cast="out")
def hardtanh(g, x, *, min, max):
    return g.Min(g.Max(x, min), max)


@lowers("tanhshrink")
def tanhshrink(g, x):
    return g.Sub(x, g.Tanh(x))
