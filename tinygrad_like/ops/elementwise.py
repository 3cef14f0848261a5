"""Elementwise ops. Inputs broadcast as in NumPy; the engine sums gradients back.

What the gradient is at kinks and ties: see the table in ops/__init__.py.
"""

import math

from tinygrad_like.backend import INEXACT, in_one_dtype
from tinygrad_like.engine import Tensor, astype, in_single, op

LARGE = 1 << 15  # elements from which on a kernel is worth its call, where NumPy does as well

# Arithmetic


@op(a=lambda g: g, b=lambda g: g)
def add(be, a, b):
    """a + b."""
    return be.k.add(a, b) if getattr(a, "size", 0) >= LARGE else a + b


@op(a=lambda g: g, b=lambda g: -g)
def subtract(be, a, b):
    """a - b."""
    return a - b


@op(a=lambda g, b: g * b, b=lambda g, a: g * a)
def multiply(be, a, b):
    """a * b."""
    return a * b


@op(a=lambda g, b: g / b, b=lambda g, out, b: -g * out / b)
def divide(be, a, b):
    """a / b (true division: integers give float32)."""
    return a / b


def _power_of_base(g, a, b):
    """b a^(b-1), and 0 where b is 0 even though 0^-1 is infinite."""
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b else g * 0
    return g * b * a ** where(b == 0, 1, b - 1)


def _power_of_exponent(g, a, out):
    """a^b log(a), and 0 where a is 0."""
    if isinstance(a, (int, float)):
        return g * out * (math.log(a) if a > 0 else 0 if a == 0 else math.nan)
    if a.dtype.kind not in INEXACT:
        a = astype(a, dtype=g.dtype)
    return g * out * log(where(equal(a, 0), 1, a))


@op(autocast=in_single, a=_power_of_base, b=_power_of_exponent)
def power(be, a, b):
    """a ** b. By the exponent the gradient at a = 0 is 0."""
    # NumPy has fast paths for numbers as exponents, but takes a 0-d array for one as well.
    return a**b if isinstance(b, (int, float)) else be.xp.power(a, b)


@op(a=lambda g: g * 0, b=lambda g: g * 0)
def floor_divide(be, a, b):
    """a // b, rounded towards minus infinity."""
    return a // b


@op(a=lambda g: g, b=lambda g, a, b: -g * floor_divide(a, b))
def remainder(be, a, b):
    """a % b, with the sign of b."""
    return a % b


@op(a=lambda g: -g)
def negative(be, a):
    """-a."""
    return -a


@op(x=lambda g, x: g * sign(x))
def abs(be, x):
    """The absolute value."""
    return be.xp.abs(x)


@op(x=lambda g: g * 0)
def sign(be, x):
    """-1, 0 or 1."""
    return be.xp.sign(x)


@op(x=lambda g: g * 0)
def floor(be, x):
    """The largest integer not above x."""
    return be.xp.floor(x)


@op(x=lambda g: g * 0)
def ceil(be, x):
    """The smallest integer not below x."""
    return be.xp.ceil(x)


@op(x=lambda g: g * 0)
def round(be, x, *, decimals=0):
    """The nearest number with so many decimals; halves go to the even one."""
    return be.xp.round(x, decimals)


# Exponentials, roots and trigonometry


@op(autocast=in_single, floating=True, x=lambda g, out: g * out)
def exp(be, x):
    """e ** x."""
    return be.xp.exp(x)


@op(autocast=in_single, floating=True, x=lambda g, out: g * (out + 1))
def expm1(be, x):
    """e ** x - 1, exact near 0."""
    return be.xp.expm1(x)


@op(autocast=in_single, floating=True, x=lambda g, x: g / x)
def log(be, x):
    """The natural logarithm."""
    return be.xp.log(x)


@op(autocast=in_single, floating=True, x=lambda g, x: g / (1 + x))
def log1p(be, x):
    """log(1 + x), exact near 0."""
    return be.xp.log1p(x)


@op(autocast=in_single, floating=True, x=lambda g, x: g / (x * math.log(2)))
def log2(be, x):
    """The logarithm to base 2."""
    return be.xp.log2(x)


@op(floating=True, x=lambda g, out: g * 0.5 / out)
def sqrt(be, x):
    """The square root."""
    return be.xp.sqrt(x)


@op(autocast=in_single, floating=True, x=lambda g, out: g * -0.5 * (out * out * out))
def rsqrt(be, x):
    """1 / sqrt(x)."""
    return 1 / be.xp.sqrt(x)


@op(autocast=in_single, x=lambda g, x: g * 2 * x)
def square(be, x):
    """x * x."""
    return x * x


@op(floating=True, x=lambda g, x: g * cos(x))
def sin(be, x):
    """The sine of x in radians."""
    return be.xp.sin(x)


@op(floating=True, x=lambda g, x: -g * sin(x))
def cos(be, x):
    """The cosine of x in radians."""
    return be.xp.cos(x)


@op(floating=True, x=lambda g, out: g * (1 + out * out))
def tan(be, x):
    """The tangent of x in radians."""
    return be.xp.tan(x)


@op(floating=True, x=lambda g, x: g * rsqrt(1 - x * x))
def arcsin(be, x):
    """The inverse sine, in radians."""
    return be.xp.arcsin(x)


@op(floating=True, x=lambda g, x: -g * rsqrt(1 - x * x))
def arccos(be, x):
    """The inverse cosine, in radians."""
    return be.xp.arccos(x)


@op(floating=True, x=lambda g, x: g / (1 + x * x))
def arctan(be, x):
    """The inverse tangent, in radians."""
    return be.xp.arctan(x)


@op(floating=True, x=lambda g, x: g * cosh(x))
def sinh(be, x):
    """The hyperbolic sine."""
    return be.xp.sinh(x)


@op(floating=True, x=lambda g, x: g * sinh(x))
def cosh(be, x):
    """The hyperbolic cosine."""
    return be.xp.cosh(x)


@op(
    floating=True,
    x=lambda g, be, out: g * (1 - out * out) if type(g) is Tensor else be.k.tanh_backward(g, out),
)
def tanh(be, x):
    """The hyperbolic tangent."""
    return be.xp.tanh(x)


@op(floating=True, x=lambda g, x: g * exp(-x * x) * (2 / math.sqrt(math.pi)))
def erf(be, x):
    """The error function."""
    return be.k.erf(x)


# Choice


@op(
    a=lambda g, a, b: _share(g, a, b, greater),
    b=lambda g, a, b: _share(g, b, a, greater),
)
def maximum(be, a, b):
    """The larger of a and b; NaN if either is."""
    return be.xp.maximum(a, b)


@op(
    a=lambda g, a, b: _share(g, a, b, less),
    b=lambda g, a, b: _share(g, b, a, less),
)
def minimum(be, a, b):
    """The smaller of a and b; NaN if either is."""
    return be.xp.minimum(a, b)


def _share(g, a, b, wins):
    """The gradient where a wins over b, half of it where they tie, 0 where b wins."""
    return where(wins(a, b), g, where(equal(a, b), g * 0.5, 0))


@op(x=lambda g, x, min, max: where(_inside(x, min, max), g, 0))
def clip(be, x, *, min=None, max=None):
    """x limited to the range from `min` to `max` (numbers or arrays; None: no limit)."""
    if min is None and max is None:
        raise ValueError("[clip] both min and max are None, expected at least one limit")
    return be.xp.clip(x, min, max)


def _inside(x, min, max):
    if min is None:
        return less_equal(x, max)
    if max is None:
        return greater_equal(x, min)
    return logical_and(greater_equal(x, min), less_equal(x, max))


@op(
    a=lambda g, condition: where(condition, g, 0),
    b=lambda g, condition: where(condition, 0, g),
)
def where(be, condition, a, b):
    """a where the condition holds, b elsewhere.

    The gradient of the side not taken is 0, but 0 times an infinite derivative is NaN: guard
    the argument as well, `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`.
    """
    return be.xp.where(condition, *in_one_dtype(a, b))


# Activations


@op(floating=True, x=lambda g, out: g * out * (1 - out))
def sigmoid(be, x):
    """1 / (1 + exp(-x)), without overflow."""
    return be.k.sigmoid(x)


@op(g=lambda h, y: relu_backward(h, y), y=lambda h: h * 0)
def relu_backward(be, g, y):
    """The gradient of relu by its input, from its output y: g where y > 0, else 0."""
    return be.k.relu_backward(g, y)


@op(x=lambda g, out: relu_backward(g, out))
def relu(be, x):
    """max(x, 0)."""
    return be.k.relu(x)


@op(x=lambda g, x, slope: where(x > 0, g, g * slope))
def leaky_relu(be, x, *, slope=0.01):
    """x above 0, slope x below (Maas et al. 2013)."""
    return be.xp.where(x > 0, x, x * slope)


@op(floating=True, x=lambda g, x, out, alpha: where(x > 0, g, g * (out + alpha)))
def elu(be, x, *, alpha=1.0):
    """x above 0, alpha (exp(x) - 1) below (Clevert et al. 2016)."""
    return be.xp.where(x > 0, x, alpha * be.xp.expm1(be.xp.minimum(x, 0)))


def _gelu(x, approximate):
    if approximate:
        return x * 0.5 * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return x * 0.5 * (1 + erf(x * math.sqrt(0.5)))


@op(
    floating=True,
    composite=_gelu,
    backward=lambda g, be, x, approximate: [be.k.gelu_backward(g, x, approximate)],
)
def gelu(be, x, *, approximate=False):
    """x Phi(x), Phi the normal distribution function; `approximate` takes the tanh form.

    Source: Hendrycks and Gimpel 2016, "Gaussian error linear units".
    """
    return be.k.gelu(x, approximate)


@op(
    floating=True,
    composite=lambda x: x * sigmoid(x),
    backward=lambda g, be, x: [be.k.silu_backward(g, x)],
)
def silu(be, x):
    """x sigmoid(x), also called swish (Ramachandran et al. 2017)."""
    return be.k.silu(x)


@op(autocast=in_single, floating=True, x=lambda g, x: g * sigmoid(x))
def softplus(be, x):
    """log(1 + exp(x)), without overflow."""
    return be.k.softplus(x)


# Comparisons and logic: booleans, without gradient


@op(any_dtype=True)
def equal(be, a, b):
    """Where a == b, as booleans."""
    return be.xp.equal(a, b)


@op(any_dtype=True)
def not_equal(be, a, b):
    """Where a != b, as booleans."""
    return be.xp.not_equal(a, b)


@op(any_dtype=True)
def less(be, a, b):
    """Where a < b, as booleans."""
    return be.xp.less(a, b)


@op(any_dtype=True)
def less_equal(be, a, b):
    """Where a <= b, as booleans."""
    return be.xp.less_equal(a, b)


@op(any_dtype=True)
def greater(be, a, b):
    """Where a > b, as booleans."""
    return be.xp.greater(a, b)


@op(any_dtype=True)
def greater_equal(be, a, b):
    """Where a >= b, as booleans."""
    return be.xp.greater_equal(a, b)


@op(any_dtype=True)
def logical_and(be, a, b):
    """Where both are true (nonzero), as booleans."""
    return be.xp.logical_and(a, b)


@op(any_dtype=True)
def logical_or(be, a, b):
    """Where either is true (nonzero), as booleans."""
    return be.xp.logical_or(a, b)


@op(any_dtype=True)
def logical_xor(be, a, b):
    """Where exactly one is true (nonzero), as booleans."""
    return be.xp.logical_xor(a, b)


@op(any_dtype=True)
def logical_not(be, x):
    """Where x is false (zero), as booleans."""
    return be.xp.logical_not(x)


@op(any_dtype=True)
def isnan(be, x):
    """Where x is not a number, as booleans."""
    return be.xp.isnan(x)


@op(any_dtype=True)
def isfinite(be, x):
    """Where x is neither infinite nor NaN, as booleans."""
    return be.xp.isfinite(x)


@op(any_dtype=True)
def isinf(be, x):
    """Where x is infinite, as booleans."""
    return be.xp.isinf(x)


@op(any_dtype=True)
def bitwise_and(be, a, b):
    """Both bits (of integers, or booleans)."""
    return be.xp.bitwise_and(a, b)


@op(any_dtype=True)
def bitwise_or(be, a, b):
    """Either bit (of integers, or booleans)."""
    return be.xp.bitwise_or(a, b)


@op(any_dtype=True)
def bitwise_xor(be, a, b):
    """Exactly one bit (of integers, or booleans)."""
    return be.xp.bitwise_xor(a, b)


@op(any_dtype=True)
def invert(be, x):
    """Every bit turned (of integers, or booleans)."""
    return be.xp.invert(x)
