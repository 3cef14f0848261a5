"""What the densities share: parameters that may be Python numbers, supports, half types."""

import functools
import math

import numpy as np

from tinygrad_like.ops.elements import elementwise, special
from tinygrad_like.ops.elements.compare import equal, greater, greater_equal
from tinygrad_like.ops.elements.elementwise import divide, subtract, where


def density(function):
    """A function of arrays and numbers, real ones, of which half types are computed as float32."""
    wide = special.computed_wide(function)

    @functools.wraps(wide)
    def call(*args, **named):
        for x in (*args, *named.values()):
            if type(x) is complex or getattr(getattr(x, "dtype", None), "kind", "") == "c":
                raise TypeError(
                    f"[{function.__name__}] got complex numbers, expected real ones; take their "
                    "real parts, or their sizes"
                )
        return wide(*args, **named)

    return call


def _also_of_numbers(function):
    """An op whose result for Python numbers alone is a Python number, not a float32 Tensor."""

    def call(*xs):
        if any(hasattr(x, "dtype") for x in xs):
            return function(*xs)
        with np.errstate(all="ignore"):
            return float(function(*map(np.float64, xs)))

    return call


log = _also_of_numbers(elementwise.log)
lgamma = _also_of_numbers(special.lgamma)
betaln = _also_of_numbers(special.betaln)


def positive(x, or_0=False):
    """A parameter, and NaN where it is not positive (or 0): then so is what is computed of it."""
    if not hasattr(x, "dtype"):
        return x if x > 0 or (or_0 and x == 0) else math.nan
    return where(greater_equal(x, 0) if or_0 else greater(x, 0), x, math.nan)


def standardized(x, loc, scale):
    """(x - loc) / scale, NaN where the scale is not positive."""
    return divide(subtract(x, loc), positive(scale))


def on_support(logarithm, z, supported, inside):
    """`logarithm(z)`, of a density, where z is supported; -inf elsewhere, and NaN of NaN.

    `inside` is a point of the support that takes the place of the others: there the formula may be
    NaN, and so would be its gradient.
    """
    return where(
        supported,
        logarithm(where(supported, z, inside)),
        where(equal(z, z), -math.inf, z),
    )
