"""Functions of each element, under the names of the standard."""

from typing import Any

from tinygrad_like.array_api.dtypes import astype
from tinygrad_like.engine import GraphError, Tensor, backend_of, mode, wrap
from tinygrad_like.ops.elements import elementwise
from tinygrad_like.ops.elements.arithmetic import (
    bitwise_left_shift,
    bitwise_right_shift,
    copysign,
    positive,
    reciprocal,
    signbit,
    trunc,
)
from tinygrad_like.ops.elements.compare import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
)
from tinygrad_like.ops.elements.compare import invert as bitwise_invert
from tinygrad_like.ops.elements.complex import conj, imag, real
from tinygrad_like.ops.elements.elementwise import (
    abs,
    add,
    ceil,
    cos,
    cosh,
    divide,
    exp,
    expm1,
    floor,
    floor_divide,
    log,
    log1p,
    log2,
    maximum,
    minimum,
    multiply,
    negative,
    remainder,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
)
from tinygrad_like.ops.elements.elementwise import arccos as acos
from tinygrad_like.ops.elements.elementwise import arcsin as asin
from tinygrad_like.ops.elements.elementwise import arctan as atan
from tinygrad_like.ops.elements.elementwise import power as pow
from tinygrad_like.ops.elements.transcendental import arccosh as acosh
from tinygrad_like.ops.elements.transcendental import arcsinh as asinh
from tinygrad_like.ops.elements.transcendental import arctan2 as atan2
from tinygrad_like.ops.elements.transcendental import arctanh as atanh
from tinygrad_like.ops.elements.transcendental import hypot, log10, logaddexp

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
]


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """`x`, in its dtype, with what lies beyond `min` and `max` set to them."""
    if min is None and max is None:
        return x.copy()
    return astype(elementwise.clip(x, min=min, max=max), x.dtype, copy=False)


def round(x: Tensor, /) -> Tensor:
    """The nearest whole numbers, of two equally near ones the even one."""
    return elementwise.round(x)


def nextafter(x1: Any, x2: Any, /) -> Tensor:
    """The next number of the dtype after x1, on the way to x2; it has no gradient.

    Raises GraphError for a Tensor whose gradient is being recorded.
    """
    if mode.grad and any(isinstance(x, Tensor) and x.requires_grad for x in (x1, x2)):
        raise GraphError("[nextafter] has no gradient; detach() its arguments")
    x = x1 if isinstance(x1, Tensor) else x2
    arrays = [a.data if isinstance(a, Tensor) else a for a in (x1, x2)]
    return wrap(backend_of(x).xp.asarray(backend_of(x).xp.nextafter(*arrays)))
