"""Cumulative distributions and their inverses: of the gamma and the beta, and of counts.

A random number x with a shape parameter moves with it as the quantile at its own probability does:
Figurnov et al. 2018, "Implicit Reparameterization Gradients". SciPy computes the values; the
gradient of the gamma's quantile is computed here, to the accuracy of float64, from

    d log x / da = (1 / p(x) x) * integral from x to infinity of p(t) (log t - digamma(a)) dt

for the density p of the gamma of shape a, or minus the same integral from 0 to x.
"""

import functools
import math

import numpy as np

from tinygrad_like.backend import CPU
from tinygrad_like.engine import elementwise_op
from tinygrad_like.ops.elements.compare import greater, less, logical_and
from tinygrad_like.ops.elements.elementwise import divide, exp, log, multiply, subtract, where
from tinygrad_like.ops.elements.special import (
    betaln,
    computed_wide,
    digamma,
    in_dtype_of,
    lgamma,
    of_one,
    of_several,
    xlogy,
)

NODES = 64  # of the quadrature
EXACT = 2.0**52  # up to here float64 has all counts
ROWS = 1 << 14  # how many integrals are computed at a time


@functools.cache
def _gauss_legendre():
    """Nodes and weights of the integral from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (nodes + 1) / 2, weights / 2


def _slope_by_series(special, xp, a, x, log_x):
    """d log x / da by the power series of the incomplete gamma function, for x < a + 1."""
    term = 1 / a
    harmonic = 1 / a
    total, rise = term.copy(), -term * harmonic
    for n in range(1, 400):
        term = term * (x / (a + n))
        harmonic = harmonic + 1 / (a + n)
        total = total + term
        rise = rise - term * harmonic
        if not (term * harmonic > 1e-17 * xp.abs(rise)).any():
            break
    return -((log_x - special.digamma(a)) * total + rise)


def _slope_by_quadrature(special, xp, a, x, log_x):
    """d log x / da by Gauss and Legendre's rule in s = log(t / x), on the side where p falls."""
    nodes, weights = (xp.asarray(part) for part in _gauss_legendre())
    side = xp.where(x > a, 1.0, -1.0)
    fall = xp.abs(a - x)
    # exp(a s - x (e^s - 1)) is below e^-40 beyond the nearer of these two, and not much before.
    reach = xp.minimum(40 / xp.maximum(fall, 1e-300), xp.sqrt(80 / x) + 40 / (3 * a))
    reach = xp.where(side > 0, xp.minimum(reach, xp.log1p((40 + 40 * xp.sqrt(a)) / x)), reach)
    s = (side * reach)[:, None] * nodes
    with np.errstate(under="ignore", over="ignore"):
        fallen = xp.exp(a[:, None] * s - x[:, None] * xp.expm1(s))
    part = fallen * ((log_x - special.digamma(a))[:, None] + s)
    return side * reach * (part * weights).sum(axis=1)


def _log_gamma_slope(be, a, log_x):
    """d log x / da of the gamma's quantile x, for flat float64 arrays."""
    x = be.xp.exp(log_x)
    found = be.xp.empty_like(a)
    by_series = (x < a + 1) & (a < 30)
    for method, chosen in ((_slope_by_series, by_series), (_slope_by_quadrature, ~by_series)):
        if chosen.any():
            found[chosen] = method(be.special, be.xp, a[chosen], x[chosen], log_x[chosen])
    return found


def _in_rows(be, function, a, log_x):
    """A function of flat float64 arrays, some elements at a time, since each takes 64 numbers."""
    a, log_x = be.xp.broadcast_arrays(a, log_x)
    out = be.xp.empty(a.size)
    flat = [be.xp.asarray(y, np.float64).reshape(-1) for y in (a, log_x)]
    for start in range(0, a.size, ROWS):
        rows = slice(start, start + ROWS)
        out[rows] = function(be, *(y[rows] for y in flat))
    return out.reshape(a.shape)


# The gamma


def _log_density(a, log_x):
    """log(x p(x)) of the gamma of shape a: the density of log x."""
    return subtract(multiply(a, log_x) - exp(log_x), lgamma(in_dtype_of(log_x, a)))


@computed_wide
@elementwise_op(
    a=lambda g, a, out: multiply(g, log_gamma_slope(a, out)),
    p=lambda g, a, out: multiply(g, exp(-_log_density(a, out))),
)
def log_gamma_quantile(be, a, p):
    """log x, for the x below which a gamma of shape a > 0 and scale 1 lies with probability p.

    The logarithm, since of small shapes x itself is too small for any float.
    """
    return of_several(functools.partial(_log_gamma_quantile, be), a, p)


def _log_gamma_quantile(be, a, p):
    xp, special = be.xp, be.special
    with np.errstate(divide="ignore", under="ignore", over="ignore"):
        x = special.gammaincinv(a, p)
        tiny = (x < 1e-200) & (a < 1)  # P(a, x) = x^a / gamma(a + 1), to the last digit
        first = (xp.log(p) + special.gammaln(a + 1)) / a
        return xp.where(tiny, first, xp.log(xp.where(tiny, 1, x)))


@computed_wide
@elementwise_op(a=lambda g, a, out: multiply(g, log_gamma_slope(a, out)))
def log_gamma_sample(be, a, z, u, p):
    """log x of a gamma variable x of shape a, from a normal number z and two uniform ones.

    Nearly always z and u will do, by the method of Marsaglia and Tsang 2000, "A simple method for
    generating gamma variables". Where it rejects them, x is the quantile at p, which takes longer.
    The gradient with respect to a is that of the quantile at x: it asks not how x was found.
    """
    return of_several(functools.partial(_log_gamma_sample, be), a, z, u, p)


def _log_gamma_sample(be, a, z, u, p):
    xp = be.xp
    a, z, u, p = xp.broadcast_arrays(a, z, u, p)
    small = a < 1
    d = a + xp.where(small, 1.0, 0.0) - 1 / 3
    root = 1 + z / xp.sqrt(9 * d)
    with np.errstate(divide="ignore", over="ignore"):
        log_v = 3 * xp.log(xp.maximum(root, 0))
        v = xp.exp(log_v)
        accepted = xp.log(u) < 0.5 * z * z + d - d * v + d * log_v
        # Of a shape below 1: x of the next shape times p^(1 / a).
        log_x = xp.log(d) + log_v + xp.where(small, xp.log(p) / a, 0)
    accepted &= root > 0
    if not accepted.all():
        rest = ~accepted
        log_x[rest] = _log_gamma_quantile(be, a[rest], p[rest])
    return log_x


@elementwise_op(
    a=lambda g, a, log_x: multiply(g, _log_gamma_bend(a, log_x)),
    log_x=lambda g, a, log_x, out: multiply(g, digamma(a) - log_x - multiply(out, a - exp(log_x))),
)
def log_gamma_slope(be, a, log_x):
    """d log x / da of `log_gamma_quantile` at a fixed probability, for the x that it has."""
    return of_several(lambda a, log_x: _in_rows(be, _log_gamma_slope, a, log_x), a, log_x)


def _no_third_order(g):
    raise NotImplementedError(
        "[log_gamma_slope] gradients with respect to the shape of a gamma go to order 2; this is "
        "order 3"
    )


@elementwise_op(a=_no_third_order, log_x=_no_third_order)
def _log_gamma_bend(be, a, log_x):
    """d/da of `log_gamma_slope`, from five of its values, to ten digits."""

    def bend(be, a, log_x):
        h = 2e-3 * a
        far, near = (
            _log_gamma_slope(be, a + k * h, log_x) - _log_gamma_slope(be, a - k * h, log_x)
            for k in (2, 1)
        )
        return (8 * near - far) / (12 * h)

    return of_several(lambda a, log_x: _in_rows(be, bend, a, log_x), a, log_x)


def _density_at(a, x):
    return exp(xlogy(a - 1, x) - x - lgamma(in_dtype_of(x, a)))


def _gamma_cdf_rise(g, a, x):
    """g dP/da = -x p(x) d log x / da, and 0 at the ends."""
    inside = logical_and(greater(x, 0), less(x, math.inf))
    log_x = log(where(inside, x, 1))
    rise = multiply(exp(_log_density(a, log_x)), log_gamma_slope(a, log_x))
    return where(inside, -multiply(g, rise), 0)


@computed_wide
@elementwise_op(a=_gamma_cdf_rise, x=lambda g, a, x: multiply(g, _density_at(a, x)))
def gamma_cdf(be, a, x):
    """The probability P(a, x) that a gamma of shape a > 0 and scale 1 lies below x >= 0."""
    return of_several(be.special.gammainc, a, x)


# The normal


@computed_wide
@elementwise_op(
    floating=True, p=lambda g, out: multiply(g, exp(0.5 * out * out)) * math.sqrt(2 * math.pi)
)
def normal_quantile(be, p):
    """The x below which a standard normal variable lies with probability p, exact for small p."""
    return of_one(be.special.ndtri, p)


# The beta


def _no_shape_gradient(g):
    raise NotImplementedError(
        "[beta_cdf] cdf and icdf of Beta, StudentT and NegativeBinomial have no gradient with "
        "respect to their shape parameters: detach() these"
    )


def _beta_density(a, b, x):
    a, b = in_dtype_of(x, a), in_dtype_of(x, b)
    return exp(xlogy(a - 1, x) + xlogy(b - 1, 1 - x) - betaln(a, b))


@computed_wide
@elementwise_op(
    a=_no_shape_gradient,
    b=_no_shape_gradient,
    x=lambda g, a, b, x: multiply(g, _beta_density(a, b, x)),
)
def beta_cdf(be, a, b, x):
    """The probability that a beta of shapes a and b lies below x, from 0 to 1."""
    return of_several(be.special.betainc, a, b, x)


@computed_wide
@elementwise_op(
    a=_no_shape_gradient,
    b=_no_shape_gradient,
    p=lambda g, a, b, out: divide(g, _beta_density(a, b, out)),
)
def beta_quantile(be, a, b, p):
    """The x below which a beta of shapes a and b lies with probability p."""

    def quantile(a, b, p):
        inside = be.special.betaincinv(a, b, p)
        return be.xp.where((p == 0) | (p == 1), p, inside)

    return of_several(quantile, a, b, p)


# Counts: a guess by the normal distribution, and steps from there, on the host


def _smallest(be, cdf, p, largest, mean, deviation, skew, *parameters):
    """The smallest count k with cdf(k, *parameters) >= p, of arrays of one shape.

    The guess is Cornish and Fisher's of a distribution with this mean, deviation and skewness. It
    stands where float64 cannot tell k from k + 1. For p = 1 the result is `largest`, for what is no
    probability NaN.
    """
    z, unknown = CPU.special.ndtri(p), ~np.isfinite(p + mean) | (p < 0) | (p > 1)
    with np.errstate(invalid="ignore"):
        guess = np.floor(mean + deviation * (z + skew * (z * z - 1) / 6))
    k = np.nan_to_num(np.maximum(guess, 0), nan=0.0, posinf=0.0).ravel()
    counted = ~(unknown | (p == 1)).ravel() & (k < EXACT)
    shape, certain = z.shape, p == 1
    p, *rest = (x.ravel() for x in (p, *parameters))

    def at(places, step):
        return cdf(k[places] + step, *(x[places] for x in rest))

    places = np.flatnonzero(counted)
    while places.size:
        places = places[at(places, 0) < p[places]]
        k[places] += 1
    places = np.flatnonzero(counted & (k > 0))
    while places.size:
        places = places[at(places, -1) >= p[places]]
        k[places] -= 1
        places = places[k[places] > 0]
    found = np.where(certain, largest, k.reshape(shape))
    return be.from_host(np.where(unknown, np.nan, found))


def _on_host(be, *xs):
    """Arrays and numbers as float64 arrays of one shape."""
    return np.broadcast_arrays(*(np.asarray(be.to_host(x), np.float64) for x in xs))


@elementwise_op()
def poisson_quantile(be, p, rate):
    """The smallest count k for which a Poisson variable is at most k with probability p."""

    def smallest(p, rate):
        p, rate = _on_host(be, p, rate)
        root = np.sqrt(rate)
        skew = 1 / np.maximum(root, 1e-3)
        return _smallest(be, CPU.special.pdtr, p, np.inf, rate, root, skew, rate)

    return of_several(smallest, p, rate)


def _binomial_cdf(k, n, probability):
    more = np.maximum(n - k, 0)
    below = CPU.special.betainc(np.where(more > 0, more, 1), k + 1, 1 - probability)
    return np.where(more > 0, below, 1)


@elementwise_op()
def binomial_quantile(be, p, n, probability):
    """The smallest k for which at most k of n trials succeed with probability p."""

    def smallest(p, n, probability):
        p, n, chance = _on_host(be, p, n, probability)
        root = np.sqrt(n * chance * (1 - chance))
        skew = (1 - 2 * chance) / np.maximum(root, 1e-3)
        return _smallest(be, _binomial_cdf, p, n, n * chance, root, skew, n, chance)

    return of_several(smallest, p, n, probability)
