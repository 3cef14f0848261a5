"""The gamma distribution with shape `a`: x^(a - 1) exp(-x) / gamma(a), from 0 on.

The density is differentiable by all arguments, the probabilities by all but `a`.
"""

from tinygrad_like.ops.elements.compare import greater_equal
from tinygrad_like.ops.elements.elementwise import clip, exp
from tinygrad_like.ops.elements.special import xlogy
from tinygrad_like.special.gamma import gammainc, gammaincc
from tinygrad_like.stats.numbers import density, lgamma, log, on_support, positive, standardized


@density
def logpdf(x, a, loc=0.0, scale=1.0):
    """The logarithm of the density at x, -inf off the support."""
    z, a = standardized(x, loc, scale), positive(a)
    powers = on_support(lambda z: xlogy(a - 1, z) - z, z, greater_equal(z, 0), 1)
    return powers - lgamma(a) - log(scale)


@density
def pdf(x, a, loc=0.0, scale=1.0):
    """The density at x."""
    return exp(logpdf(x, a, loc, scale))


@density
def cdf(x, a, loc=0.0, scale=1.0):
    """The probability of at most x."""
    return gammainc(positive(a), clip(standardized(x, loc, scale), 0))


@density
def sf(x, a, loc=0.0, scale=1.0):
    """The probability of more than x, exact where that is near 0."""
    return gammaincc(positive(a), clip(standardized(x, loc, scale), 0))
