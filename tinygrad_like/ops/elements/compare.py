"""Comparisons and logic: booleans (or bits), without gradient. Inputs broadcast as in NumPy."""

from tinygrad_like.backend import wide
from tinygrad_like.engine import check_flag, check_number, elementwise_op, with_numbers


@elementwise_op(complex=True, any_dtype=True, numbers=with_numbers)
def equal(be, a, b):
    """Where a == b, as booleans."""
    return be.xp.equal(a, b)


@elementwise_op(complex=True, any_dtype=True, numbers=with_numbers)
def not_equal(be, a, b):
    """Where a != b, as booleans."""
    return be.xp.not_equal(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def less(be, a, b):
    """Where a < b, as booleans."""
    return be.xp.less(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def less_equal(be, a, b):
    """Where a <= b, as booleans."""
    return be.xp.less_equal(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def greater(be, a, b):
    """Where a > b, as booleans."""
    return be.xp.greater(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def greater_equal(be, a, b):
    """Where a >= b, as booleans."""
    return be.xp.greater_equal(a, b)


@elementwise_op(complex=True, any_dtype=True, numbers=with_numbers)
def logical_and(be, a, b):
    """Where both are true (nonzero), as booleans."""
    return be.xp.logical_and(a, b)


@elementwise_op(complex=True, any_dtype=True, numbers=with_numbers)
def logical_or(be, a, b):
    """Where either is true (nonzero), as booleans."""
    return be.xp.logical_or(a, b)


@elementwise_op(complex=True, any_dtype=True, numbers=with_numbers)
def logical_xor(be, a, b):
    """Where exactly one is true (nonzero), as booleans."""
    return be.xp.logical_xor(a, b)


@elementwise_op(complex=True, any_dtype=True)
def logical_not(be, x):
    """Where x is false (zero), as booleans."""
    return be.xp.logical_not(x)


@elementwise_op(complex=True, any_dtype=True)
def isnan(be, x):
    """Where x is NaN, as booleans."""
    return be.xp.isnan(x)


@elementwise_op(complex=True, any_dtype=True)
def isfinite(be, x):
    """Where x is neither infinite nor NaN, as booleans."""
    return be.xp.isfinite(x)


@elementwise_op(complex=True, any_dtype=True)
def isinf(be, x):
    """Where x is infinite, as booleans."""
    return be.xp.isinf(x)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def bitwise_and(be, a, b):
    """The bits that both have (of integers, or booleans)."""
    return be.xp.bitwise_and(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def bitwise_or(be, a, b):
    """The bits that either has (of integers, or booleans)."""
    return be.xp.bitwise_or(a, b)


@elementwise_op(any_dtype=True, numbers=with_numbers)
def bitwise_xor(be, a, b):
    """The bits that exactly one has (of integers, or booleans)."""
    return be.xp.bitwise_xor(a, b)


@elementwise_op(any_dtype=True)
def invert(be, x):
    """Every bit flipped (of integers, or booleans)."""
    return be.xp.invert(x)


def _subtractable(x):
    """A number or an array whose differences neither wrap around nor overflow."""
    if not hasattr(x, "dtype"):
        return x
    return x.astype("float64") if x.dtype.kind in "biu" else wide(x)


@elementwise_op(complex=True, any_dtype=True, numbers=with_numbers)
def isclose(be, a, b, *, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Where |a - b| <= atol + rtol |b|, as booleans; infinities are close to their equals.

    NaN is close to nothing or, if `equal_nan`, to NaN. ValueError for a negative tolerance.
    """
    rtol = check_number("isclose", "rtol", rtol, 0)
    atol = check_number("isclose", "atol", atol, 0)
    equal_nan = check_flag("isclose", "equal_nan", equal_nan)
    a, b = map(_subtractable, (a, b))
    finite = be.xp.isfinite(b)
    near = be.xp.abs(a - be.xp.where(finite, b, 0)) <= atol + rtol * be.xp.abs(b)
    close = be.xp.where(finite, near, a == b)
    return close | ((a != a) & (b != b)) if equal_nan else close
