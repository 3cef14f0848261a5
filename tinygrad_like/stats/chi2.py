"""The chi-squared distribution with `df` degrees of freedom: the gamma distribution of df / 2.

The density is differentiable by all arguments, the probabilities by all but `df`.
"""

from tinygrad_like.stats import gamma
from tinygrad_like.stats.numbers import density


@density
def logpdf(x, df, loc=0.0, scale=1.0):
    """The logarithm of the density at x, -inf off the support."""
    return gamma.logpdf(x, df / 2, loc, 2 * scale)


@density
def pdf(x, df, loc=0.0, scale=1.0):
    """The density at x."""
    return gamma.pdf(x, df / 2, loc, 2 * scale)


@density
def cdf(x, df, loc=0.0, scale=1.0):
    """The probability of at most x."""
    return gamma.cdf(x, df / 2, loc, 2 * scale)


@density
def sf(x, df, loc=0.0, scale=1.0):
    """The probability of more than x, exact where that is near 0."""
    return gamma.sf(x, df / 2, loc, 2 * scale)
