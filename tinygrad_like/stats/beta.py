"""The beta distribution on [0, 1]: x^(a - 1) (1 - x)^(b - 1) / beta(a, b).

The density is differentiable by all arguments, the probabilities by all but `a` and `b`.
"""

from tinygrad_like.ops.elements.compare import greater_equal, less_equal, logical_and
from tinygrad_like.ops.elements.elementwise import clip, exp
from tinygrad_like.ops.elements.special import xlogy
from tinygrad_like.special.entropy import xlog1py
from tinygrad_like.special.gamma import betainc
from tinygrad_like.stats.numbers import betaln, density, log, on_support, positive, standardized


@density
def logpdf(x, a, b, loc=0.0, scale=1.0):
    """The logarithm of the density at x, -inf off the support."""
    z, a, b = standardized(x, loc, scale), positive(a), positive(b)
    supported = logical_and(greater_equal(z, 0), less_equal(z, 1))
    powers = on_support(lambda z: xlogy(a - 1, z) + xlog1py(b - 1, -z), z, supported, 0.5)
    return powers - betaln(a, b) - log(scale)


@density
def pdf(x, a, b, loc=0.0, scale=1.0):
    """The density at x."""
    return exp(logpdf(x, a, b, loc, scale))


@density
def cdf(x, a, b, loc=0.0, scale=1.0):
    """The probability of at most x."""
    return betainc(positive(a), positive(b), clip(standardized(x, loc, scale), 0, 1))


@density
def sf(x, a, b, loc=0.0, scale=1.0):
    """The probability of more than x, exact where that is near 0."""
    return betainc(positive(b), positive(a), 1 - clip(standardized(x, loc, scale), 0, 1))
