"""What the densities share: parameters that may be Python numbers, supports, half types."""

import functools
import math

import numpy as np

from tinygrad_like.backend import is_half, result_dtype
from tinygrad_like.engine import astype, composed
from tinygrad_like.ops import elementwise, special
from tinygrad_like.ops.compare import equal, greater, greater_equal
from tinygrad_like.ops.elementwise import divide, subtract, where


def density(function):
    """A function of arrays and numbers that is computed in float32 for half types."""

    @composed
    @functools.wraps(function)
    def call(*args, **named):
        every = [*args, *named.values()]
        dtypes = [x.dtype for x in every if hasattr(x, "dtype")]
        if not any(map(is_half, dtypes)):
            return function(*args, **named)
        named = {name: _wide(x) for name, x in named.items()}
        out = function(*map(_wide, args), **named)
        dtype = result_dtype(*dtypes)
        return astype(out, dtype=dtype) if is_half(dtype) else out

    return call


def _wide(x):
    half = hasattr(x, "dtype") and is_half(x.dtype)
    return astype(x, dtype=np.float32) if half else x


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
