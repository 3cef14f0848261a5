"""Bessel functions. They are differentiable by x; an order is a constant.

CuPy lacks jn, iv and ive, which are also the gradients of j1, y1, i1 and i1e.
"""

from tinygrad_like.engine import elementwise_op, in_single, with_numbers
from tinygrad_like.ops.elements.elementwise import sign
from tinygrad_like.ops.elements.special import of_one, of_several
from tinygrad_like.special.of_scipy import of_scipy


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: -g * j1(x))
def j0(be, x):
    """The Bessel function of the first kind of order 0."""
    return of_one(be.special.j0, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g * 0.5 * (j0(x) - jn(2, x)))
def j1(be, x):
    """The Bessel function of the first kind of order 1."""
    return of_one(be.special.j1, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: -g * y1(x))
def y0(be, x):
    """The Bessel function of the second kind of order 0; -inf at 0, NaN below."""
    return of_one(be.special.y0, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g * 0.5 * (y0(x) - yn(2, x)))
def y1(be, x):
    """The Bessel function of the second kind of order 1; -inf at 0, NaN below."""
    return of_one(be.special.y1, x)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    x=lambda g, n, x: g * 0.5 * (jn(n - 1, x) - jn(n + 1, x)),
)
def jn(be, n, x):
    """The Bessel function of the first kind of order n, also called jv: n is any real number."""
    return of_several(of_scipy(be, "jv"), n, x)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    x=lambda g, n, x: g * 0.5 * (yn(n - 1, x) - yn(n + 1, x)),
)
def yn(be, n, x):
    """The Bessel function of the second kind of order n, an integer."""
    return of_several(of_scipy(be, "yn"), n, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g * i1(x))
def i0(be, x):
    """The modified Bessel function of the first kind of order 0."""
    return of_one(be.special.i0, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g * 0.5 * (i0(x) + iv(2, x)))
def i1(be, x):
    """The modified Bessel function of the first kind of order 1."""
    return of_one(be.special.i1, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x, out: g * (i1e(x) - sign(x) * out))
def i0e(be, x):
    """exp(-|x|) i0(x), which does not overflow."""
    return of_one(be.special.i0e, x)


@elementwise_op(
    autocast=in_single,
    floating=True,
    x=lambda g, x, out: g * (0.5 * (i0e(x) + ive(2, x)) - sign(x) * out),
)
def i1e(be, x):
    """exp(-|x|) i1(x), which does not overflow."""
    return of_one(be.special.i1e, x)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    x=lambda g, v, x: g * 0.5 * (iv(v - 1, x) + iv(v + 1, x)),
)
def iv(be, v, x):
    """The modified Bessel function of the first kind of order v, any real number."""
    return of_several(of_scipy(be, "iv"), v, x)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    x=lambda g, v, x, out: g * (0.5 * (ive(v - 1, x) + ive(v + 1, x)) - sign(x) * out),
)
def ive(be, v, x):
    """exp(-|x|) iv(v, x), which does not overflow."""
    return of_several(of_scipy(be, "ive"), v, x)
