"""Elementwise ops. Inputs broadcast as in NumPy; the engine sums gradients back.

What the gradient is at kinks and ties: see the table in ops/__init__.py.
"""

import cmath
import math

import numpy as np

from tinygrad_like.backend import (
    INEXACT,
    holds,
    in_one_dtype,
    is_half,
    narrow,
    wide,
)
from tinygrad_like.engine import (
    astype,
    check_integer,
    composed,
    conj,
    elementwise_op,
    errors,
    in_single,
    real,
    with_numbers,
)
from tinygrad_like.engine.casts import check_numbers
from tinygrad_like.ops.elements.compare import (
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
)

# Arithmetic


@elementwise_op(complex=True, numbers=with_numbers, a=lambda g: g, b=lambda g: g)
def add(be, a, b):
    """a + b."""
    return be.k.add(a, b)


@elementwise_op(complex=True, numbers=with_numbers, a=lambda g: g, b=lambda g: -g)
def subtract(be, a, b):
    """a - b."""
    return a - b


@elementwise_op(complex=True, numbers=with_numbers, a=lambda g, b: g * b, b=lambda g, a: g * a)
def multiply(be, a, b):
    """a * b."""
    return a * b


@elementwise_op(
    complex=True, numbers=with_numbers, a=lambda g, b: g / b, b=lambda g, out, b: -g * out / b
)
def divide(be, a, b):
    """a / b (true division: integers give float32)."""
    return a / b


@elementwise_op(complex=True)
def zeros_of(be, g):
    """Zeros like g: the gradient of an op that is constant in its input; 0 * inf would be NaN."""
    return be.xp.zeros_like(g)


def _power_of_base(g, a, b):
    """g b a^(b-1), and 0 where b is 0, also for an a of 0 or infinity.

    At a b of 0 it is still a function of b, whose slope there is g / a, except where 1 / a or a
    power of it would overflow, or a is NaN.
    """
    if isinstance(b, (int, float, complex)):
        return g * (b * a ** (b - 1)) if b else zeros_of(g)
    flat = logical_and(equal(b, 0), logical_not(greater(abs(a * a * a), 0)))
    return where(flat, 0, g * b * where(flat, 1, a) ** where(flat, 1, b - 1))


def _real_log(a):
    return math.log(a) if a > 0 else math.nan


def _power_of_exponent(g, a, b, out):
    """g a^b log(a), and 0 where a^b is 0 for an a of at least 0, and at 0^0."""
    is_complex = out.dtype.kind == "c"
    if isinstance(a, (int, float, complex)):
        if a and cmath.isfinite(a):
            return g * out * (cmath.log(a) if is_complex else _real_log(a))
        a = where(True, a, zeros_of(g))
    elif a.dtype.kind not in ("c" if is_complex else INEXACT):
        a = astype(a, dtype=g.dtype)
    at_zero = equal(a, 0)
    if is_complex:
        flat = logical_and(at_zero, greater_equal(real(b), 0))
    else:
        at_zero = logical_or(equal(out, 0), logical_and(at_zero, equal(b, 0)))
        flat = logical_and(at_zero, greater_equal(a, 0))
    return g * where(flat, 0, out) * log(where(flat, 1, a))


@elementwise_op(
    complex=True, autocast=in_single, numbers=with_numbers, a=_power_of_base, b=_power_of_exponent
)
def power(be, a, b):
    """a ** b. The gradient for b is 0 at 0 ** 0, and where the power is 0."""
    # `**` has fast paths for numbers as exponents, which would take a 0-d array for one as well.
    return a**b if isinstance(b, (int, float)) else be.xp.power(a, b)


def refuse_zero_divisor(name, a, b):
    """Raise ValueError if integers are divided by 0, for which there is no integer."""
    if all(isinstance(x, int) or (hasattr(x, "dtype") and x.dtype.kind in "biu") for x in (a, b)):
        is_zero = b == 0
        if is_zero if isinstance(is_zero, bool) else is_zero.any():
            raise ValueError(f"[{name}] integers are divided by 0; for inf and NaN use floats")


@elementwise_op(numbers=with_numbers, a=lambda g: zeros_of(g), b=lambda g: zeros_of(g))
def floor_divide(be, a, b):
    """a // b, rounded towards minus infinity. ValueError for integers divided by 0."""
    refuse_zero_divisor("floor_divide", a, b)
    return a // b


@elementwise_op(numbers=with_numbers, a=lambda g: g, b=lambda g, a, b: -g * floor_divide(a, b))
def remainder(be, a, b):
    """a % b, with the sign of b. ValueError for integers divided by 0."""
    refuse_zero_divisor("remainder", a, b)
    return a % b


@elementwise_op(complex=True, a=lambda g: -g)
def negative(be, a):
    """-a."""
    return -a


def _abs_rule(g, x):
    return g * (conj(sign(x)) if x.dtype.kind == "c" else _sign(x))


@elementwise_op(complex=True, x=_abs_rule)
def abs(be, x):
    """The absolute value; of complex numbers a real one."""
    return be.xp.abs(x)


@elementwise_op(x=lambda g: zeros_of(g))
def _sign(be, x):
    return be.xp.sign(x)


@composed
def sign(x):
    """-1, 0 or 1; of a complex number z / |z|, and 0 at 0."""
    if type(x) is not complex and getattr(getattr(x, "dtype", None), "kind", "") != "c":
        return _sign(x)
    size = abs(x)
    at_0 = equal(size, 0)
    return where(at_0, 0, x / where(at_0, 1, size))


@elementwise_op(x=lambda g: zeros_of(g))
def floor(be, x):
    """The largest integer not above x."""
    return be.xp.floor(x)


@elementwise_op(x=lambda g: zeros_of(g))
def ceil(be, x):
    """The smallest integer not below x."""
    return be.xp.ceil(x)


@elementwise_op(complex=True, x=lambda g: zeros_of(g))
def round(be, x, *, decimals=0):
    """x rounded to `decimals` decimals; halves go to the even neighbour."""
    decimals = check_integer("round", "decimals", decimals)
    return narrow(be.xp.round(wide(x), decimals), x.dtype)  # x 10^decimals may overflow in float16


# Exponentials, roots and trigonometry


@elementwise_op(complex=True, autocast=in_single, floating=True, x=lambda g, out: g * out)
def exp(be, x):
    """e ** x."""
    return be.xp.exp(x)


@elementwise_op(complex=True, autocast=in_single, floating=True, x=lambda g, out: g * (out + 1))
def expm1(be, x):
    """e ** x - 1, exact near 0."""
    return be.xp.expm1(x)


@elementwise_op(complex=True, autocast=in_single, floating=True, x=lambda g, x: g / x)
def log(be, x):
    """The natural logarithm."""
    return be.xp.log(x)


@elementwise_op(complex=True, autocast=in_single, floating=True, x=lambda g, x: g / (1 + x))
def log1p(be, x):
    """log(1 + x), exact near 0."""
    return be.xp.log1p(x)


@elementwise_op(
    complex=True, autocast=in_single, floating=True, x=lambda g, x: g / (x * math.log(2))
)
def log2(be, x):
    """The logarithm to base 2."""
    return be.xp.log2(x)


@elementwise_op(complex=True, floating=True, x=lambda g, out: g * 0.5 / out)
def sqrt(be, x):
    """The square root."""
    return be.xp.sqrt(x)


@elementwise_op(
    complex=True, autocast=in_single, floating=True, x=lambda g, out: g * -0.5 * (out * out * out)
)
def rsqrt(be, x):
    """1 / sqrt(x)."""
    return 1 / be.xp.sqrt(x)


@elementwise_op(complex=True, autocast=in_single, x=lambda g, x: g * (2 * x))
def square(be, x):
    """x * x."""
    return x * x


@elementwise_op(complex=True, floating=True, x=lambda g, x: g * cos(x))
def sin(be, x):
    """The sine of x in radians."""
    return be.xp.sin(x)


@elementwise_op(complex=True, floating=True, x=lambda g, x: -g * sin(x))
def cos(be, x):
    """The cosine of x in radians."""
    return be.xp.cos(x)


@elementwise_op(complex=True, floating=True, x=lambda g, out: g * (1 + out * out))
def tan(be, x):
    """The tangent of x in radians."""
    return be.xp.tan(x)


@elementwise_op(complex=True, floating=True, x=lambda g, x: g * rsqrt(1 - x * x))
def arcsin(be, x):
    """The inverse sine, in radians."""
    return be.xp.arcsin(x)


@elementwise_op(complex=True, floating=True, x=lambda g, x: -g * rsqrt(1 - x * x))
def arccos(be, x):
    """The inverse cosine, in radians."""
    return be.xp.arccos(x)


@elementwise_op(complex=True, floating=True, x=lambda g, x: g / (1 + x * x))
def arctan(be, x):
    """The inverse tangent, in radians."""
    return be.xp.arctan(x)


@elementwise_op(complex=True, floating=True, x=lambda g, x: g * cosh(x))
def sinh(be, x):
    """The hyperbolic sine."""
    return be.xp.sinh(x)


@elementwise_op(complex=True, floating=True, x=lambda g, x: g * sinh(x))
def cosh(be, x):
    """The hyperbolic cosine."""
    return be.xp.cosh(x)


@elementwise_op(
    complex=True, g=lambda h, y: tanh_backward(h, y), y=lambda h, g, y: -2 * (h * g * y)
)
def tanh_backward(be, g, y):
    """The gradient of tanh with respect to its input, from its output y: g (1 - y^2)."""
    return be.k.tanh_backward(g, y)


@elementwise_op(complex=True, floating=True, x=lambda g, out: tanh_backward(g, out))
def tanh(be, x):
    """The hyperbolic tangent."""
    return be.xp.tanh(x)


def erf_gradient(g, x):
    """2 g exp(-x^2) / sqrt(pi)."""
    with np.errstate(under="ignore"):  # far from 0 the bell curve rounds to 0
        return g * exp(-x * x) * (2 / math.sqrt(math.pi))


@elementwise_op(complex=True, floating=True, x=erf_gradient)
def erf(be, x):
    """The error function; of complex numbers by SciPy."""
    return be.special.erf(x) if x.dtype.kind == "c" else be.k.erf(x)


# Choice


@elementwise_op(
    numbers=with_numbers,
    a=lambda g, a, b: _share(g, a, b, less),
    b=lambda g, a, b: _share(g, b, a, less),
)
def maximum(be, a, b):
    """The larger of a and b; NaN if either is."""
    return be.xp.maximum(a, b)


@elementwise_op(
    numbers=with_numbers,
    a=lambda g, a, b: _share(g, a, b, greater),
    b=lambda g, a, b: _share(g, b, a, greater),
)
def minimum(be, a, b):
    """The smaller of a and b; NaN if either is."""
    return be.xp.minimum(a, b)


def _share(g, a, b, loses):
    """The gradient where a wins over b, or either is NaN; half of it at ties; 0 where b wins."""
    return where(loses(a, b), 0, where(equal(a, b), g * 0.5, g))


@elementwise_op(copied=("min", "max"), x=lambda g, x, min, max: where(_inside(x, min, max), g, 0))
def clip(be, x, *, min=None, max=None):
    """x limited to the range from `min` to `max` (numbers or arrays; None: no limit).

    Where min is above max the result is max, as in NumPy.
    """
    if min is None and max is None:
        raise ValueError("[clip] both min and max are None, expected at least one limit")
    low, high = _limit(x, "min", min, -math.inf), _limit(x, "max", max, math.inf)
    return x.copy() if low is None and high is None else be.xp.clip(x, low, high)


def _limit(x, name, limit, no_limit):
    """A limit in a form that keeps the dtype of x; None if it is `no_limit`, an infinity."""
    if limit is None:
        return None
    if type(limit) is float and -math.inf < limit < math.inf and x.dtype.itemsize != 2:
        return limit
    errors.refuse_masked("clip", name, limit)
    if hasattr(limit, "ndim") and limit.ndim:
        return limit
    limit = limit.item() if hasattr(limit, "item") else limit
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise TypeError(f"[clip] {name} is {limit!r}, expected a number, an array or None")
    if limit != limit:
        raise ValueError(f"[clip] {name} is nan, expected a number, an array or None")
    if is_half(x.dtype) and not holds(x.dtype, limit, exactly=False):
        limit = math.copysign(math.inf, limit)
    return None if limit == no_limit else limit


def _inside(x, min, max):
    if min is None:
        return less_equal(x, max)
    if max is None:
        return greater_equal(x, min)
    return logical_and(greater_equal(x, min), less_equal(x, max))


def _check_number(number, beside):
    """Raise ValueError for a Python number that the dtype of the array beside it cannot hold."""
    kind = type(number)
    if (kind is not int and kind is not float) or 0 <= number < 128:
        return
    kinds = "fiu" if kind is int else "f"  # a fraction beside integers makes the result floating
    if hasattr(beside, "dtype") and beside.dtype.kind in kinds:
        check_numbers("where", np.array(number), beside.dtype)


def _where_with_numbers(apply, args, arrays, attributes):
    _, a, b = arrays
    _check_number(a, b)
    _check_number(b, a)
    return with_numbers(apply, args, arrays, attributes)


@elementwise_op(
    complex=True,
    numbers=_where_with_numbers,
    a=lambda g, condition: where(condition, g, 0),
    b=lambda g, condition: where(condition, 0, g),
)
def where(be, condition, a, b):
    """a where the condition holds, b elsewhere.

    The gradient of the side not taken is 0, but 0 times an infinite derivative is NaN: guard
    the argument as well, `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`.

    Raises ValueError for a number that the dtype of the array beside it cannot hold.
    """
    _check_number(a, b)
    _check_number(b, a)
    return be.xp.where(condition, *in_one_dtype(a, b))


@composed
def masked_fill(x, mask, value):
    """`x` with `value` where the boolean `mask` holds, as PyTorch's; they broadcast.

    Raises TypeError for a mask that is not boolean.
    """
    if getattr(getattr(mask, "dtype", None), "kind", None) != "b":
        got = getattr(mask, "dtype", type(mask).__name__)
        raise TypeError(f"[masked_fill] mask is of {got}, expected booleans; write mask != 0")
    return where(mask, value, x)
