"""Special functions that distributions and losses are made of; the others are in tg.special.

SciPy computes them, on a GPU CuPy's version of it (`be.special`), half types in float32.

What the gradient is where a logarithm meets 0: see the table in ops/__init__.py.
"""

import functools
import math

import numpy as np

from tinygrad_like.backend import INEXACT, is_half, narrow, result_dtype, wide, wide_dtype
from tinygrad_like.engine import (
    astype,
    check_integer,
    check_number,
    composed,
    elementwise_op,
    in_single,
    with_numbers,
)
from tinygrad_like.ops.elements.compare import equal, less_equal, logical_and
from tinygrad_like.ops.elements.elementwise import (
    add,
    clip,
    divide,
    erf_gradient,
    exp,
    log,
    multiply,
    where,
    zeros_of,
)


def of_one(function, x):
    """A function of SciPy of a floating array, half types in float32."""
    return narrow(function(wide(x)), x.dtype)


def of_several(function, *xs):
    """A function of SciPy of arrays and numbers that broadcast, in the dtype of the floating ones.

    Integers alone give float32.
    """
    dtypes = [x.dtype for x in xs if hasattr(x, "dtype")]
    dtype = result_dtype(*dtypes)
    if dtype.kind not in INEXACT:
        dtype = np.dtype(np.float32)
    inner = wide_dtype(dtype)
    inputs = (
        x.astype(inner, casting="same_kind", copy=False) if hasattr(x, "dtype") else x for x in xs
    )
    return narrow(function(*inputs), dtype)


def computed_wide(function):
    """A function of arrays and numbers that half types enter, and its gradient, as float32.

    In half types an exponential of a difference of large numbers would have no digits left.
    """

    @composed
    @functools.wraps(function)
    def call(*args, **named):
        every = [*args, *named.values()]
        dtypes = [x.dtype for x in every if hasattr(x, "dtype")]
        if not any(map(is_half, dtypes)):
            return function(*args, **named)
        named = {name: _widened(x) for name, x in named.items()}
        out = function(*map(_widened, args), **named)
        dtype = result_dtype(*dtypes)
        return astype(out, dtype=dtype) if is_half(dtype) else out

    return call


def _widened(x):
    half = hasattr(x, "dtype") and is_half(x.dtype)
    return astype(x, dtype=np.float32) if half else x


def in_dtype_of(g, x):
    """`x`, in a gradient rule, as an array in the dtype of g; floating arrays are unchanged."""
    if not hasattr(x, "dtype"):
        return where(True, x, zeros_of(g))
    return x if x.dtype.kind in INEXACT else astype(x, dtype=g.dtype)


# The gamma function


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g * digamma(x))
def lgamma(be, x):
    """log |gamma(x)|, also called gammaln; infinite at 0, -1, -2, ..."""
    return of_one(be.special.gammaln, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g * polygamma(1, x))
def digamma(be, x):
    """The derivative of lgamma, also called psi; NaN at -1, -2, ..."""
    return of_one(be.special.digamma, x)


@composed
def polygamma(n, x):
    """The derivative of order n of digamma: (-1)^(n+1) n! zeta(n + 1, x) for n > 0.

    >>> import tinygrad_like as tg
    >>> tg.polygamma(1, tg.Tensor([1.0]))
    Tensor([1.644934], dtype=float32)

    Args:
        n: an integer of at least 0.
        x: a Tensor or array.

    Raises TypeError or ValueError for any other n.
    """
    n = check_integer("polygamma", "n", n, least=0)
    return _polygamma(x, n=n) if n else digamma(x)


def _polygamma64(be, n, x):
    """polygamma in float64: in float32 n! overflows, zeta underflows, and differences cancel."""
    x = x.astype(np.float64, casting="same_kind")
    if not n:
        return be.special.digamma(x)
    return (-1) ** (n + 1) * float(be.special.gamma(n + 1.0)) * be.special.zeta(n + 1, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x, n: g * polygamma(n + 1, x))
def _polygamma(be, x, *, n):
    """polygamma for n > 0."""
    return _polygamma64(be, n, x).astype(x.dtype)


@elementwise_op(
    x=lambda g, x, step, n: g * _polygamma_rise(x, step, n=n + 1),
    step=lambda g, x, step, n: g * polygamma(n + 1, add(x, step)),
)
def _polygamma_rise(be, x, step, *, n):
    """polygamma(n, x + step) - polygamma(n, x), with what rounding to the dtype would cancel."""
    dtype = result_dtype(x.dtype, step.dtype)
    x, step = (v.astype(np.float64, casting="same_kind") for v in (x, step))
    return (_polygamma64(be, n, x + step) - _polygamma64(be, n, x)).astype(dtype)


def betaln_gradient(g, a, b):
    """g (digamma(a) - digamma(a + b)): the gradient of betaln with respect to a."""
    return -g * _polygamma_rise(in_dtype_of(g, a), in_dtype_of(g, b), n=0)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    a=lambda g, a, b: betaln_gradient(g, a, b),
    b=lambda g, a, b: betaln_gradient(g, b, a),
)
def betaln(be, a, b):
    """log |B(a, b)| = lgamma(a) + lgamma(b) - lgamma(a + b)."""
    return of_several(be.special.betaln, a, b)


# The error function


@elementwise_op(complex=True, autocast=in_single, floating=True, x=lambda g, x: -erf_gradient(g, x))
def erfc(be, x):
    """1 - erf(x), exact where that is near 0."""
    return of_one(be.special.erfc, x)


@elementwise_op(
    autocast=in_single,
    floating=True,
    x=lambda g, out: g * exp(out * out) * (math.sqrt(math.pi) / 2),
)
def erfinv(be, x):
    """The inverse of erf: infinite at -1 and 1, NaN outside."""
    return of_one(be.special.erfinv, x)


# Logarithms


def log_beside_0(g, x, y, log=log, least=0):
    """g log(y), and 0 where x is 0 and y at most `least`: there x log(y) is 0 by definition."""
    x, y = in_dtype_of(g, x), in_dtype_of(g, y)
    flat = logical_and(equal(x, 0), less_equal(y, least))
    return where(flat, 0, g * log(where(flat, 1, y)))


def quotient_beside_0(g, x, y):
    """g x / y, and 0 where both are 0."""
    x = in_dtype_of(g, x)
    return divide(multiply(g, x), where(logical_and(equal(x, 0), equal(y, 0)), 1, y))


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    x=lambda g, x, y: log_beside_0(g, x, y),
    y=lambda g, x, y: quotient_beside_0(g, x, y),
)
def xlogy(be, x, y):
    """x log(y), and 0 where x is 0 (unless y is NaN)."""
    return of_several(be.special.xlogy, x, y)


@composed
def logit(x, eps=None):
    """log(x / (1 - x)), the inverse of sigmoid; `eps`: x is first limited to [eps, 1 - eps].

    Raises ValueError for an eps below 0 or above 1/2.
    """
    if eps is not None:
        eps = check_number("logit", "eps", eps, 0, 0.5)
        x = clip(x, eps, 1 - eps)
    return _logit(x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g / (x * (1 - x)))
def _logit(be, x):
    return of_one(be.special.logit, x)
