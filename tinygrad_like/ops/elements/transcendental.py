"""Angles, logarithms and hyperbolic functions beyond those of elementwise.py.

What the gradient is at 0 and at infinities: see the table in ops/__init__.py.
"""

import math

from tinygrad_like.engine import by_element, composed, elementwise_op, in_single, op, with_numbers
from tinygrad_like.ops.elements.activation import sigmoid
from tinygrad_like.ops.elements.compare import equal, isinf, less, logical_and
from tinygrad_like.ops.elements.elementwise import abs, cos, multiply, round, sqrt, subtract, where
from tinygrad_like.ops.elements.special import of_one, of_several

# Directions, and angles


def or_nan(norm):
    """A norm to divide by where 0 has no derivative."""
    return where(equal(norm, 0), math.nan, norm)


@op(
    complex=True,
    batch=by_element,
    x=lambda g, norm: g / or_nan(norm),
    norm=lambda g, norm, out: -(g * out) / or_nan(norm),
)
def direction_of(be, x, norm):
    """x / norm, and 0 where the norm is 0: there it has no derivative, which is NaN."""
    at_0 = norm == 0
    return be.xp.where(at_0, 0, x / be.xp.where(at_0, 1, norm))


@elementwise_op(
    numbers=with_numbers,
    y=lambda g, y, x: _turn(g, x, y),
    x=lambda g, y, x: -_turn(g, y, x),
)
def arctan2(be, y, x):
    """The angle of the point (x, y) from the positive x axis, in (-pi, pi].

    >>> import tinygrad_like as tg
    >>> tg.arctan2(tg.Tensor([0.0]), tg.Tensor([1.0])).tolist()
    [0.0]
    """
    return of_several(be.xp.arctan2, y, x)


def _turn(g, across, along):
    """g across / (across^2 + along^2), whose squares would overflow; 0 where both are 0."""
    distance = hypot(across, along)
    return g * direction_of(across, distance) / where(equal(distance, 0), 1, distance)


@elementwise_op(
    numbers=with_numbers,
    a=lambda g, a, out: g * direction_of(a, out),
    b=lambda g, b, out: g * direction_of(b, out),
)
def hypot(be, a, b):
    """sqrt(a^2 + b^2), which neither over- nor underflows where the result does not.

    >>> import tinygrad_like as tg
    >>> tg.hypot(tg.Tensor([3.0]), tg.Tensor([4.0])).tolist()
    [5.0]
    """
    return of_several(be.xp.hypot, a, b)


@composed
def deg2rad(x):
    """Degrees as radians."""
    return multiply(x, math.pi / 180)


@composed
def rad2deg(x):
    """Radians as degrees."""
    return multiply(x, 180 / math.pi)


# Of the derivative of sinc with respect to z = pi x: -z (1/3 - z^2/30 + z^4/840 - ...).
_SINC_SERIES = [(-1) ** k * 2 * k / math.factorial(2 * k + 1) for k in range(1, 9)]
_SINC_NEAR = 0.2  # where the closed form begins to cancel


def _sinc_gradient(g, x):
    near = less(abs(x), _SINC_NEAR)
    z = where(near, x, 0) * math.pi
    series, square = 0 * z, z * z
    for factor in reversed(_SINC_SERIES):
        series = series * square + factor
    x = where(near, 1, x)
    turn = x - 2 * round(x * 0.5)  # pi times this is rounded less than pi x
    return g * where(near, series * z * math.pi, (cos(turn * math.pi) - sinc(x)) / x)


@elementwise_op(autocast=in_single, floating=True, x=_sinc_gradient)
def sinc(be, x):
    """sin(pi x) / (pi x), and 1 at 0.

    >>> import tinygrad_like as tg
    >>> tg.sinc(tg.Tensor([0.0])).tolist()
    [1.0]
    """
    return of_one(be.xp.sinc, x)


# Exponentials, logarithms, roots


@elementwise_op(
    complex=True, autocast=in_single, floating=True, x=lambda g, out: g * out * math.log(2)
)
def exp2(be, x):
    """2 ** x.

    >>> import tinygrad_like as tg
    >>> tg.exp2(tg.Tensor([0.0, 3.0])).tolist()
    [1.0, 8.0]
    """
    return be.xp.exp2(x)


@elementwise_op(
    complex=True, autocast=in_single, floating=True, x=lambda g, x: g / (x * math.log(10))
)
def log10(be, x):
    """The logarithm to base 10."""
    return be.xp.log10(x)


@elementwise_op(floating=True, x=lambda g, out: g / (3 * out * out))
def cbrt(be, x):
    """The cube root, also of negative numbers."""
    return be.xp.cbrt(x)


def _share_of_sum(g, a, b, out, rate=1.0):
    """g e^a / (e^a + e^b); half to each at equal infinities."""
    flat = logical_and(equal(a, b), isinf(out))
    return g * sigmoid(subtract(where(flat, 0, a), where(flat, 0, b)) * rate)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    a=lambda g, a, b, out: _share_of_sum(g, a, b, out),
    b=lambda g, a, b, out: _share_of_sum(g, b, a, out),
)
def logaddexp(be, a, b):
    """log(exp(a) + exp(b)), without overflow."""
    return of_several(be.xp.logaddexp, a, b)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    a=lambda g, a, b, out: _share_of_sum(g, a, b, out, math.log(2)),
    b=lambda g, a, b, out: _share_of_sum(g, b, a, out, math.log(2)),
)
def logaddexp2(be, a, b):
    """log2(2^a + 2^b), without overflow."""
    return of_several(be.xp.logaddexp2, a, b)


# Inverse hyperbolic functions, with slopes whose squares would overflow


def _slope_of_arcsinh(g, x):
    return g / (sqrt(1 + x * x) if x.dtype.kind == "c" else hypot(x, 1))


@elementwise_op(complex=True, floating=True, x=_slope_of_arcsinh)
def arcsinh(be, x):
    """The inverse hyperbolic sine."""
    return be.xp.arcsinh(x)


@elementwise_op(complex=True, floating=True, x=lambda g, x: g / (sqrt(x - 1) * sqrt(x + 1)))
def arccosh(be, x):
    """The inverse hyperbolic cosine: at least 0, and NaN below 1."""
    return be.xp.arccosh(x)


@elementwise_op(complex=True, floating=True, x=lambda g, x: g / ((1 - x) * (1 + x)))
def arctanh(be, x):
    """The inverse hyperbolic tangent: infinite at -1 and 1, NaN outside."""
    return be.xp.arctanh(x)
