"""Ops of ONNX on each element: arithmetic, comparisons, activations."""

from functools import reduce

import numpy as np

from tinygrad_like.engine import Tensor, astype
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.graph import lifted
from tinygrad_like.onnx.load.table import Raw, runs
from tinygrad_like.ops.elements import (
    activation,
    arithmetic,
    compare,
    elementwise,
    transcendental,
)
from tinygrad_like.ops.elements.compare import greater, less, logical_and
from tinygrad_like.ops.elements.elementwise import maximum, minimum, where

OF_ONE = {
    "Abs": elementwise.abs,
    "Acos": elementwise.arccos,
    "Acosh": transcendental.arccosh,
    "Asin": elementwise.arcsin,
    "Asinh": transcendental.arcsinh,
    "Atan": elementwise.arctan,
    "Atanh": transcendental.arctanh,
    "BitwiseNot": compare.invert,
    "Ceil": elementwise.ceil,
    "Cos": elementwise.cos,
    "Cosh": elementwise.cosh,
    "Erf": elementwise.erf,
    "Exp": elementwise.exp,
    "Floor": elementwise.floor,
    "IsNaN": compare.isnan,
    "Log": elementwise.log,
    "Mish": activation.mish,
    "Neg": elementwise.negative,
    "Not": compare.logical_not,
    "Reciprocal": arithmetic.reciprocal,
    "Relu": activation.relu,
    "Round": elementwise.round,
    "Sigmoid": activation.sigmoid,
    "Sign": elementwise.sign,
    "Sin": elementwise.sin,
    "Sinh": elementwise.sinh,
    "Softplus": activation.softplus,
    "Softsign": activation.softsign,
    "Sqrt": elementwise.sqrt,
    "Tan": elementwise.tan,
    "Tanh": elementwise.tanh,
}

OF_TWO = {
    "Add": elementwise.add,
    "And": compare.logical_and,
    "BitwiseAnd": compare.bitwise_and,
    "BitwiseOr": compare.bitwise_or,
    "BitwiseXor": compare.bitwise_xor,
    "Equal": compare.equal,
    "Greater": compare.greater,
    "GreaterOrEqual": compare.greater_equal,
    "Less": compare.less,
    "LessOrEqual": compare.less_equal,
    "Mul": elementwise.multiply,
    "Or": compare.logical_or,
    "Sub": elementwise.subtract,
    "Xor": compare.logical_xor,
}


def _enter(op, function, count):
    if count == 1:
        runs(op)(lambda x: function(x))
    else:
        runs(op)(lambda a, b: function(a, b))


for _op, _function in OF_ONE.items():
    _enter(_op, _function, 1)
for _op, _function in OF_TWO.items():
    _enter(_op, _function, 2)


@runs("Div")
def divide(a, b):
    """Integers are divided towards zero."""
    if a.dtype.kind not in "iu":
        return elementwise.divide(a, b)
    quotient, rest = elementwise.floor_divide(a, b), elementwise.remainder(a, b)
    below = logical_and(compare.not_equal(rest, 0), compare.not_equal(less(a, 0), less(b, 0)))
    return quotient + astype(below, dtype=a.dtype)


@runs("Mod")
def modulo_of_integers(a, b, *, fmod=0):
    """Until version 28 floating numbers need fmod=1."""
    if not fmod and a.dtype.kind == "f":
        raise Refused("[onnx] Mod of floating numbers without fmod=1, before opset 28")
    return modulo(a, b, fmod=fmod)


@runs("Mod", since=28)
def modulo(a, b, *, fmod=0):
    """The remainder has the sign of the divisor, with fmod that of the dividend."""
    return arithmetic.fmod(a, b) if fmod else elementwise.remainder(a, b)


@runs("Pow")
def power(a, b: Raw):
    """A number as exponent has simpler gradients than an array."""
    if isinstance(b, np.ndarray):
        b = b.item() if b.size == 1 and b.ndim <= a.ndim else lifted(b, a.device)
    y = elementwise.power(a, b)
    return y if y.dtype == a.dtype else astype(y, dtype=a.dtype)


@runs("BitShift")
def bit_shift(a, b, *, direction):
    left = direction == "LEFT"
    return (arithmetic.bitwise_left_shift if left else arithmetic.bitwise_right_shift)(a, b)


@runs("Max")
def largest(*xs):
    return reduce(maximum, xs)


@runs("Min")
def smallest(*xs):
    return reduce(minimum, xs)


@runs("Sum")
def total(*xs):
    return reduce(elementwise.add, xs)


@runs("Mean")
def average(*xs):
    return reduce(elementwise.add, xs) / len(xs)


@runs("Where")
def choose(condition, a, b):
    return where(condition, a, b)


@runs("IsInf")
def is_infinite(x, *, detect_negative=1, detect_positive=1):
    found = compare.isinf(x)
    if not detect_negative:
        found = logical_and(found, greater(x, 0))
    return found if detect_positive else logical_and(found, less(x, 0))


@runs("Clip")
def clip(x, min: Raw = None, max: Raw = None):
    """Bounds that need a gradient share it as those of maximum and minimum do."""
    if any(isinstance(bound, Tensor) and bound.requires_grad for bound in (min, max)):
        x = x if min is None else maximum(x, lifted(min, x.device))
        return x if max is None else minimum(x, lifted(max, x.device))
    low, high = (None if b is None else _number(b) for b in (min, max))
    if low is not None and high is not None and low > high:
        low = high
    return x if low is high is None else elementwise.clip(x, min=low, max=high)


def _number(x):
    return x if isinstance(x, (int, float)) else x.item()


# Activations


@runs("Elu")
def elu(x, *, alpha=1.0):
    return activation.elu(x, alpha=alpha)


@runs("Celu")
def celu(x, *, alpha=1.0):
    return activation.celu(x, alpha=alpha)


@runs("Selu", since=6)
def selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return activation.elu(x, alpha=alpha) * gamma


@runs("LeakyRelu")
def leaky_relu(x, *, alpha=0.01):
    return activation.leaky_relu(x, slope=alpha)


@runs("PRelu", since=7)
def prelu(x, slope):
    return where(less(x, 0), x * slope, x)


@runs("ThresholdedRelu")
def thresholded_relu(x, *, alpha=1.0):
    return where(greater(x, alpha), x, 0.0)


@runs("Shrink")
def shrink(x, *, lambd=0.5, bias=0.0):
    inner = where(greater(x, lambd), _less_bias(x, bias), elementwise.zeros_of(x))
    return where(less(x, -lambd), _less_bias(x, -bias), inner)


def _less_bias(x, bias):
    return x if bias == 0 else astype(x - bias, dtype=x.dtype)


@runs("HardSigmoid")
def hard_sigmoid(x, *, alpha=0.2, beta=0.5):
    return elementwise.clip(x * alpha + beta, min=0.0, max=1.0)


@runs("HardSwish")
def hard_swish(x):
    return activation.hardswish(x)


@runs("Gelu")
def gelu(x, *, approximate="none"):
    return activation.gelu(x, approximate=approximate == "tanh")


@runs("Swish")
def swish(x, *, alpha=1.0):
    return x * activation.sigmoid(x * alpha)
