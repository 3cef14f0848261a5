"""The normal distribution with mean `loc` and standard deviation `scale`."""

import math

from tinygrad_like.ops.elements.elementwise import exp
from tinygrad_like.special.normal import log_ndtr, ndtr, ndtri
from tinygrad_like.stats.numbers import density, log, positive, standardized

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


@density
def logpdf(x, loc=0.0, scale=1.0):
    """The logarithm of the density at x."""
    z = standardized(x, loc, scale)
    return -0.5 * z * z - LOG_ROOT_2PI - log(scale)


@density
def pdf(x, loc=0.0, scale=1.0):
    """The density at x."""
    return exp(logpdf(x, loc, scale))


@density
def cdf(x, loc=0.0, scale=1.0):
    """The probability of at most x."""
    return ndtr(standardized(x, loc, scale))


@density
def logcdf(x, loc=0.0, scale=1.0):
    """The logarithm of the probability of at most x, also where that rounds to 0."""
    return log_ndtr(standardized(x, loc, scale))


@density
def sf(x, loc=0.0, scale=1.0):
    """The probability of more than x, exact where that is near 0."""
    return ndtr(-standardized(x, loc, scale))


@density
def logsf(x, loc=0.0, scale=1.0):
    """The logarithm of the probability of more than x, also where that rounds to 0."""
    return log_ndtr(-standardized(x, loc, scale))


@density
def ppf(q, loc=0.0, scale=1.0):
    """The quantile: the x at which cdf is q."""
    return ndtri(q) * positive(scale) + loc


@density
def isf(q, loc=0.0, scale=1.0):
    """The x at which sf is q, exact where q is near 0."""
    return loc - ndtri(q) * positive(scale)
