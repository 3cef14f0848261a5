"""Arithmetic beyond the operators' own: signs and steps, bits and divisors, values that are close.

What the gradient is at steps and zeros: see the table in ops/__init__.py.
"""

import math

import numpy as np

from tinygrad_like.backend import FLOATING, narrow, wide
from tinygrad_like.engine import (
    Tensor,
    astype,
    check_number,
    composed,
    elementwise_op,
    with_numbers,
)
from tinygrad_like.engine.casts import check_numbers
from tinygrad_like.ops.elements.compare import equal, isfinite, isnan
from tinygrad_like.ops.elements.elementwise import (
    divide,
    maximum,
    minimum,
    negative,
    power,
    refuse_zero_divisor,
    round,
    sign,
    subtract,
    where,
    zeros_of,
)
from tinygrad_like.ops.elements.special import in_dtype_of, of_several

# Signs and steps


@elementwise_op(complex=True, x=lambda g: g)
def positive(be, x):
    """A copy of x, as +x is in NumPy."""
    return be.xp.positive(x)


@elementwise_op(x=lambda g: zeros_of(g))
def trunc(be, x):
    """x without its fraction: the nearest integer that is not further from 0.

    >>> import tinygrad_like as tg
    >>> tg.trunc(tg.Tensor([1.7, -1.7])).tolist()
    [1.0, -1.0]
    """
    return be.xp.trunc(x)


@elementwise_op(any_dtype=True)
def signbit(be, x):
    """Where the sign is negative, as booleans: also of -0.0, and of a NaN with that sign."""
    return be.xp.signbit(x)


@elementwise_op(
    numbers=with_numbers,
    a=lambda g, a, out: g * (sign(a) * sign(out)),
    b=lambda g: zeros_of(g),
)
def copysign(be, a, b):
    """|a| with the sign of b.

    >>> import tinygrad_like as tg
    >>> tg.copysign(tg.Tensor([1.0, 2.0]), tg.Tensor([-0.0, 3.0])).tolist()
    [-1.0, 2.0]
    """
    return of_several(be.xp.copysign, a, b)


@elementwise_op(
    numbers=with_numbers,
    x=lambda g: zeros_of(g),
    values=lambda g, x: where(equal(in_dtype_of(g, x), 0), g, 0),
)
def heaviside(be, x, values):
    """0 below 0, `values` at 0 and 1 above it; NaN of NaN."""
    return of_several(be.xp.heaviside, x, values)


def _unless_nan(a, b):
    """a, and b where a is NaN."""
    if isinstance(a, (int, float)):
        return b if math.isnan(a) else a
    return where(isnan(a), b, a)


@composed
def fmax(a, b):
    """The larger of a and b, or the one that is no NaN; `maximum` gives NaN.

    The gradient of ties is halved, as that of `maximum`; a NaN has none, unless both are.
    """
    return maximum(_unless_nan(a, b), _unless_nan(b, a))


@composed
def fmin(a, b):
    """The smaller of a and b, or the one that is no NaN; `minimum` gives NaN.

    The gradient of ties is halved, as that of `minimum`; a NaN has none, unless both are.
    """
    return minimum(_unless_nan(a, b), _unless_nan(b, a))


# Quotients and powers


@elementwise_op(
    numbers=with_numbers,
    a=lambda g: g,
    b=lambda g, a, b, out: -g * round(divide(subtract(a, out), b)),
)
def fmod(be, a, b):
    """The remainder of a / b with the sign of a, as C's; `remainder` has the sign of b.

    ValueError for integers divided by 0.

    >>> import tinygrad_like as tg
    >>> tg.fmod(tg.Tensor([5.0, -5.0]), 3).tolist()
    [2.0, -2.0]
    """
    refuse_zero_divisor("fmod", a, b)
    return be.xp.fmod(a, b)


@composed
def reciprocal(x):
    """1 / x (of integers in float32, as all quotients)."""
    return divide(1, x)


@composed
def float_power(a, b):
    """a ** b in float64, whatever the dtypes are."""
    if not (hasattr(a, "dtype") or hasattr(b, "dtype")):
        a = Tensor(a, dtype=np.float64)
    return power(_in_double(a), _in_double(b))


def _in_double(x):
    return astype(x, dtype=np.float64) if hasattr(x, "dtype") else x


@elementwise_op(x=lambda g, i: ldexp(g, i))
def ldexp(be, x, i):
    """x 2^i, for integers i."""
    x_wide = wide(x) if x.dtype.kind in FLOATING else x.astype(np.float32, casting="same_kind")
    return narrow(be.xp.ldexp(x_wide, i), x.dtype)


@elementwise_op()
def _exponent(be, x):
    """The exponents that `frexp` finds."""
    return be.xp.frexp(wide(x))[1]


@composed
def frexp(x):
    """(m, i) with x = m 2^i, 0.5 <= |m| < 1 and integers i; of 0, inf and NaN m is x, i is 0.

    The gradient with respect to m goes to x as if i were constant.

    >>> import tinygrad_like as tg
    >>> [y.tolist() for y in tg.frexp(tg.Tensor([3.0, 0.25]))]
    [[0.75, 0.5], [2, -1]]
    """
    i = _exponent(x)
    return ldexp(x, negative(i)), i


@elementwise_op(
    complex=True,
    numbers=with_numbers,
    start=lambda g, weight: g * (1 - weight),
    end=lambda g, weight: g * weight,
    weight=lambda g, start, end: g * (end - start),
)
def lerp(be, start, end, weight):
    """start + weight (end - start): from start, where weight is 0, to end, where it is 1.

    >>> import tinygrad_like as tg
    >>> tg.lerp(tg.Tensor([0.0, 10.0]), 20.0, 0.25).tolist()
    [5.0, 12.5]
    """

    def between(start, end, weight):
        step = end - start  # from whose nearer end the way is rounded less
        return be.xp.where(abs(weight) < 0.5, start + weight * step, end - (1 - weight) * step)

    return of_several(between, start, end, weight)


# Integers


@elementwise_op(any_dtype=True, numbers=with_numbers)
def bitwise_left_shift(be, a, b):
    """The bits of an integer a shifted to the left by b places, with zeros behind them."""
    return be.xp.left_shift(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def bitwise_right_shift(be, a, b):
    """The bits of an integer a shifted to the right by b places, which keeps the sign of a."""
    return be.xp.right_shift(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def gcd(be, a, b):
    """The greatest common divisor of |a| and |b|, integers."""
    return be.xp.gcd(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def lcm(be, a, b):
    """The lowest common multiple of |a| and |b|, integers."""
    return be.xp.lcm(a, b)


# NaN, infinities, tolerances

LARGEST_BFLOAT16 = 2.0**128 - 2.0**120


@elementwise_op(x=lambda g, x: where(isfinite(x), g, 0))
def nan_to_num(be, x, *, nan=0.0, posinf=None, neginf=None):
    """x with NaN and infinities replaced; by default by 0 and the largest numbers of the dtype.

    Raises TypeError if a replacement is not a number, ValueError if the dtype cannot hold it.

    >>> import tinygrad_like as tg
    >>> tg.nan_to_num(tg.Tensor([float('nan'), 1.0]), nan=7.0).tolist()
    [7.0, 1.0]
    """
    given = {"nan": nan, "posinf": posinf, "neginf": neginf}
    for name, value in given.items():
        if value is not None and x.dtype.kind in FLOATING:
            value = check_number("nan_to_num", name, value, -math.inf, math.inf)
            check_numbers("nan_to_num", np.array(value), x.dtype)
            given[name] = value
    if x.dtype.kind != "V":
        return be.xp.nan_to_num(x, **given)
    limits = {"posinf": LARGEST_BFLOAT16, "neginf": -LARGEST_BFLOAT16}  # NumPy does not know it
    given |= {name: limits[name] for name in limits if given[name] is None}
    return narrow(be.xp.nan_to_num(wide(x), **given), x.dtype)
