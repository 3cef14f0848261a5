"""The steps of fused loops as functions for compiled code, by the names of kernels/loop.py.

Those in VECTORS take scalars of one dtype and vectors of float32, mixed; the others take scalars.
Nothing is reordered in them, and NaN and infinities are as the ops give them. A truth value is 1
or 0.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..machine.simd import FLAGS, Vector, function_on, spread
from ..math import activations
from ..math.each import function_of
from ..math.vector_math import (
    by_dtype,
    erf,
    exactly,
    exp,
    exp_of_difference,
    log1p_of_part,
    log_of_normal,
    sigmoid,
    tanh,
)


def _kind_of(args):
    """The type of the result: that of the vectors among the arguments, or of the scalars."""
    return next((x for x in args if isinstance(x, Vector)), args[0])


def _values(builder, kind, args):
    """The arguments with each scalar spread over a vector, if the result is one."""
    if not isinstance(kind, Vector):
        return args
    vectors = ir.VectorType
    return [x if isinstance(x.type, vectors) else spread(builder, x, kind.lanes) for x in args]


def _number(kind, value):
    """A constant: in all lanes of a vector, or one scalar."""
    if isinstance(kind, Vector):
        element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        return ir.Constant(ir.VectorType(element, kind.lanes), [value] * kind.lanes)
    return ir.Constant(ir.FloatType() if kind == types.float32 else ir.DoubleType(), value)


def _one(generate):
    """A function of one value; generate(builder, kind, a) returns LLVM's value."""

    @intrinsic
    def function(typingctx, a):
        def codegen(context, builder, sig, args):
            return generate(builder, a, *args)

        return a(a), codegen

    return function


def _two(generate):
    """A function of two values."""

    @intrinsic
    def function(typingctx, a, b):
        kind = _kind_of((a, b))

        def codegen(context, builder, sig, args):
            return generate(builder, kind, *_values(builder, kind, args))

        return kind(a, b), codegen

    return function


def _comparison(relation, compare="fcmp_ordered"):
    def generate(builder, kind, a, b):
        holds = getattr(builder, compare)(relation, a, b)
        return builder.select(holds, _number(kind, 1), _number(kind, 0))

    return _two(generate)


def _is_true(builder, kind, a):
    return builder.fcmp_unordered("!=", a, _number(kind, 0))


def _logic(instruction):
    def generate(builder, kind, a, b):
        a, b = _is_true(builder, kind, a), _is_true(builder, kind, b)
        both = getattr(builder, instruction)(a, b)
        return builder.select(both, _number(kind, 1), _number(kind, 0))

    return _two(generate)


def extreme_of(builder, relation, a, b):
    """Generate the greater (or lesser) of two values; NaN if either is."""
    chosen = builder.select(builder.fcmp_ordered(relation, a, b), a, b)
    return builder.select(builder.fcmp_unordered("uno", a, a), a, chosen)


def _extreme(relation):
    return _two(lambda builder, kind, a, b: extreme_of(builder, relation, a, b))


def _sigmoid_backward(builder, kind, g, y):
    """g y (1 - y)."""
    rest = builder.fsub(_number(kind, 1), y, flags=FLAGS)
    return builder.fmul(g, builder.fmul(y, rest, flags=FLAGS), flags=FLAGS)


def _tanh_backward(builder, kind, g, y):
    """g (1 - y^2)."""
    square = builder.fmul(y, y, flags=FLAGS)
    return builder.fmul(g, builder.fsub(_number(kind, 1), square, flags=FLAGS), flags=FLAGS)


def _relu(builder, kind, x):
    zero = _number(kind, 0)
    return builder.select(builder.fcmp_ordered("<=", x, zero), zero, x)


def _relu_backward(builder, kind, g, y):
    zero = _number(kind, 0)
    return builder.select(builder.fcmp_ordered(">", y, zero), g, zero)


def _sign(builder, kind, x):
    zero = _number(kind, 0)
    below = builder.select(builder.fcmp_ordered("<", x, zero), _number(kind, -1), x)
    return builder.select(builder.fcmp_ordered(">", x, zero), _number(kind, 1), below)


@intrinsic
def where(typingctx, condition, a, b):
    """a where the condition is not 0, else b."""
    kind = _kind_of((condition, a, b))

    def codegen(context, builder, sig, args):
        condition, a, b = _values(builder, kind, args)
        return builder.select(_is_true(builder, kind, condition), a, b)

    return kind(condition, a, b), codegen


def _of_llvm(name):
    return _one(lambda builder, kind, x: function_on(builder, name, x.type, x.type, [x]))


def _logarithms(real):
    """(log, log1p) of scalars of a dtype."""
    info = np.finfo(real)
    normal, scale = real(info.smallest_normal), real(2.0**64)
    log_of_scale, infinity, nan = real(64 * math.log(2)), real(np.inf), real(np.nan)
    zero, one = real(0), real(1)

    @exactly
    def log(x):
        y = log_of_normal(x * scale) - log_of_scale if x < normal else log_of_normal(x)
        y = y if x < infinity else x  # NaN passes through, too
        y = nan if x < zero else y
        return -infinity if x == zero else y

    @exactly
    def log1p(x):
        u = one + x
        y = log(u) * (x / (u - one))  # as u is rounded, x / (u - 1) makes up for it
        y = x if u == one else y
        return y if u < infinity else u

    return log, log1p


def _expm1(real):
    """2 t / (1 - t) with t = tanh(x / 2) near 0, where exp(x) - 1 has lost its digits."""
    half, one, two = real(0.5), real(1), real(2)

    def expm1(x):
        t = tanh(half * x)
        near = two * t / (one - t)
        far = exp(x) - one
        return near if -one < x < one else far

    return expm1


def _softplus(real):
    zero = real(0)

    def softplus(x):
        above = x > zero
        small = log1p_of_part(exp(-x if above else x))
        return x + small if above else small

    return softplus


@exactly
def _sin(x):
    return np.sin(x)


@exactly
def _cos(x):
    return np.cos(x)


@exactly
def _power(a, b):
    return a**b


_log32, _log1p32 = _logarithms(np.float32)
_log64, _log1p64 = _logarithms(np.float64)

# Steps of vectors and scalars
VECTORS = {
    "less": _comparison("<"),
    "less_equal": _comparison("<="),
    "greater": _comparison(">"),
    "greater_equal": _comparison(">="),
    "equal": _comparison("=="),
    "not_equal": _comparison("!=", "fcmp_unordered"),
    "logical_and": _logic("and_"),
    "logical_or": _logic("or_"),
    "maximum": _extreme(">"),
    "minimum": _extreme("<"),
    "where": where,
    "relu": _one(_relu),
    "relu_backward": _two(_relu_backward),
    "sigmoid_backward": _two(_sigmoid_backward),
    "tanh_backward": _two(_tanh_backward),
    "sign": _one(_sign),
    "abs": _of_llvm("llvm.fabs.{}"),
    "sqrt": _of_llvm("llvm.sqrt.{}"),
    "exp": exp,
    "exp_below_maximum": exp_of_difference,
    "sigmoid": sigmoid,
    "silu": function_of(activations.silu),
    "silu_backward": function_of(activations.silu_backward),
    "gelu": function_of(activations.gelu),
    "gelu_backward": function_of(activations.gelu_backward),
    "gelu_tanh": function_of(activations.gelu_tanh),
    "gelu_tanh_backward": function_of(activations.gelu_tanh_backward),
}
# Steps of scalars alone
SCALARS = {
    "expm1": function_of(_expm1),
    "log": by_dtype("log", _log32, _log64, "The natural logarithm."),
    "log1p": by_dtype("log1p", _log1p32, _log1p64, "log(1 + x)."),
    "softplus": function_of(_softplus),
    "tanh": tanh,
    "erf": erf,
    "sin": _sin,
    "cos": _cos,
    "power": _power,
}
