"""Entropies, element by element, with 0 log 0 as 0."""

from tinygrad_like.engine import elementwise_op, in_single, with_numbers
from tinygrad_like.ops.elements.compare import equal, logical_and
from tinygrad_like.ops.elements.elementwise import add, divide, log, log1p, where
from tinygrad_like.ops.elements.special import (
    in_dtype_of,
    log_beside_0,
    of_one,
    of_several,
    quotient_beside_0,
)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    x=lambda g, x, y: log_beside_0(g, x, y, log=log1p, least=-1),
    y=lambda g, x, y: quotient_beside_0(g, x, add(y, 1)),
)
def xlog1py(be, x, y):
    """x log(1 + y), and 0 where x is 0 (unless y is NaN)."""
    return of_several(be.special.xlog1py, x, y)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: -g * (log(x) + 1))
def entr(be, x):
    """-x log(x), 0 at 0, and -inf below: the entropy of one outcome."""
    return of_one(be.special.entr, x)


def _log_quotient(g, x, y, more=0):
    """g (log(x / y) + more), and 0 where both are 0."""
    x, y = in_dtype_of(g, x), in_dtype_of(g, y)
    nothing = logical_and(equal(x, 0), equal(y, 0))
    x, y = (where(nothing, 1, a) for a in (x, y))
    return where(nothing, 0, g * (log(divide(x, y)) + more))


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    x=lambda g, x, y: _log_quotient(g, x, y, 1),
    y=lambda g, x, y: -quotient_beside_0(g, x, y),
)
def rel_entr(be, x, y):
    """x log(x / y), 0 where x is 0 and y is not negative, and inf where it is not defined."""
    return of_several(be.special.rel_entr, x, y)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    x=lambda g, x, y: _log_quotient(g, x, y),
    y=lambda g, x, y: g - quotient_beside_0(g, x, y),
)
def kl_div(be, x, y):
    """x log(x / y) - x + y, which is 0 where x equals y and positive elsewhere."""
    return of_several(be.special.kl_div, x, y)
