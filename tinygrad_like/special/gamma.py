"""The gamma function, the beta function, and their incomplete integrals."""

import math

import numpy as np

from tinygrad_like.backend import result_dtype
from tinygrad_like.engine import check_integer, composed, elementwise_op, in_single, with_numbers
from tinygrad_like.ops.elements.compare import less
from tinygrad_like.ops.elements.elementwise import cos, log, log1p, round, sin, where
from tinygrad_like.ops.elements.special import (
    betaln_gradient,
    digamma,
    in_dtype_of,
    of_one,
    of_several,
)
from tinygrad_like.special.of_scipy import of_scipy


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x, out: g * out * digamma(x))
def gamma(be, x):
    """The gamma function, (x - 1)! for positive integers; NaN at -1, -2, ..."""
    return of_one(be.special.gamma, x)


def _rgamma_gradient(g, x):
    """-digamma(x) / gamma(x), by reflection left of 1/2, where both factors have poles."""
    left = less(x, 0.5)
    right = where(left, 1, x)
    mirrored = 1 - where(left, x, 0)
    # Whole turns taken off first, pi times the rest is rounded less.
    turn = math.pi * (mirrored - 2 * round(mirrored * 0.5))
    slope = gamma(mirrored) * (sin(turn) * digamma(mirrored) / math.pi + cos(turn))
    return g * where(left, -slope, -rgamma(right) * digamma(right))


@elementwise_op(autocast=in_single, floating=True, x=_rgamma_gradient)
def rgamma(be, x):
    """1 / gamma(x), which is 0 at 0, -1, -2, ..."""
    return of_one(of_scipy(be, "rgamma"), x)


@elementwise_op(floating=True)
def gammasgn(be, x):
    """The sign of gamma(x), 1 or -1; without gradient."""
    return of_one(of_scipy(be, "gammasgn"), x)


MOST_DIMENSIONS = 1 << 20  # each is a term of a sum


def _multigammaln_gradient(g, a, d):
    return g * sum(digamma(a - 0.5 * j) for j in range(d))


@elementwise_op(autocast=in_single, floating=True, a=_multigammaln_gradient)
def _multigammaln(be, a, *, d):
    d = check_integer("multigammaln", "d", d, 1, MOST_DIMENSIONS)
    if not bool((a > 0.5 * (d - 1)).all()):
        raise ValueError(f"[multigammaln] a has elements of at most {0.5 * (d - 1)}, (d - 1) / 2")
    a_wide = a.astype(np.float64, casting="same_kind")
    terms = sum(be.special.gammaln(a_wide - 0.5 * j) for j in range(d))
    return (terms + 0.25 * d * (d - 1) * math.log(math.pi)).astype(a.dtype)


@composed
def multigammaln(a, d):
    """The logarithm of the gamma function of dimension d, the sum of gammaln(a - j / 2) for j < d.

    A constant, d (d - 1) log(pi) / 4, is added. Raises ValueError for a d below 1, or elements of
    `a` that are not above (d - 1) / 2.
    """
    return _multigammaln(a, d=d)


@elementwise_op(
    autocast=in_single,
    numbers=with_numbers,
    a=lambda g, a, b, out: betaln_gradient(g * out, a, b),
    b=lambda g, a, b, out: betaln_gradient(g * out, b, a),
)
def beta(be, a, b):
    """The beta function, gamma(a) gamma(b) / gamma(a + b)."""
    return of_several(be.special.beta, a, b)


# Incomplete integrals, whose derivative by their end is a density


def _in_double(function, *xs):
    """A function of arrays and numbers in float64, in which large terms cancel without loss."""
    dtype = result_dtype(*(x.dtype for x in xs if hasattr(x, "dtype")))
    wide = (x.astype(np.float64, casting="same_kind") if hasattr(x, "dtype") else x for x in xs)
    return function(*wide).astype(dtype)


@elementwise_op(
    a=lambda g, a, x, out: g * out * (log(in_dtype_of(g, x)) - digamma(a)),
    x=lambda g, a, x, out: g * out * ((a - 1) / x - 1),
)
def _gamma_density(be, a, x):
    """x^(a - 1) exp(-x) / gamma(a)."""

    def density(a, x):
        return be.xp.exp(be.special.xlogy(a - 1, x) - x - be.special.gammaln(a))

    return _in_double(density, a, x)


@elementwise_op(
    autocast=in_single, numbers=with_numbers, x=lambda g, a, x: g * _gamma_density(a, x)
)
def gammainc(be, a, x):
    """The integral of t^(a - 1) exp(-t) / gamma(a) from 0 to x, regularized: 1 at infinity.

    It is differentiable by x alone: GraphError if a gradient of `a` is recorded.
    """
    return of_several(be.special.gammainc, a, x)


@elementwise_op(
    autocast=in_single, numbers=with_numbers, x=lambda g, a, x: -g * _gamma_density(a, x)
)
def gammaincc(be, a, x):
    """1 - gammainc(a, x), exact where that is near 0; differentiable by x alone."""
    return of_several(be.special.gammaincc, a, x)


@elementwise_op(
    a=lambda g, a, b, x, out: g * out * log(in_dtype_of(g, x)) - betaln_gradient(g * out, a, b),
    b=lambda g, a, b, x, out: g * out * log1p(-in_dtype_of(g, x)) - betaln_gradient(g * out, b, a),
    x=lambda g, a, b, x, out: g * out * ((a - 1) / x - (b - 1) / (1 - x)),
)
def _beta_density(be, a, b, x):
    """x^(a - 1) (1 - x)^(b - 1) / beta(a, b)."""

    def density(a, b, x):
        powers = be.special.xlogy(a - 1, x) + be.special.xlog1py(b - 1, -x)
        return be.xp.exp(powers - be.special.betaln(a, b))

    return _in_double(density, a, b, x)


@elementwise_op(
    autocast=in_single, numbers=with_numbers, x=lambda g, a, b, x: g * _beta_density(a, b, x)
)
def betainc(be, a, b, x):
    """The integral of t^(a - 1) (1 - t)^(b - 1) / beta(a, b) from 0 to x, regularized: 1 at 1.

    It is differentiable by x alone: GraphError if a gradient of `a` or `b` is recorded.
    """
    return of_several(be.special.betainc, a, b, x)
