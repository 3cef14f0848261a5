"""Student's t distribution with `df` degrees of freedom.

The density is differentiable by all arguments, the probabilities by all but `df`.
"""

from tinygrad_like.engine import elementwise_op, with_numbers
from tinygrad_like.ops.elements import elementwise
from tinygrad_like.ops.elements.compare import less
from tinygrad_like.ops.elements.elementwise import exp, log1p, where
from tinygrad_like.ops.elements.special import of_several
from tinygrad_like.special.of_scipy import of_scipy
from tinygrad_like.stats.numbers import betaln, density, log, positive, standardized


@density
def logpdf(x, df, loc=0.0, scale=1.0):
    """The logarithm of the density at x."""
    z, df = standardized(x, loc, scale), positive(df)
    constant = betaln(df / 2, 0.5) + 0.5 * log(df) + log(scale)
    return log1p(z * z / df) * (-0.5 * (df + 1)) - constant


@density
def pdf(x, df, loc=0.0, scale=1.0):
    """The density at x."""
    return exp(logpdf(x, df, loc, scale))


@elementwise_op(numbers=with_numbers, z=lambda g, z, df: g * pdf(z, df))
def _stdtr(be, z, df):
    """The distribution function."""
    return of_several(lambda z, df: of_scipy(be, "stdtr")(df, z), z, df)


@density
def cdf(x, df, loc=0.0, scale=1.0):
    """The probability of at most x."""
    return _stdtr(standardized(x, loc, scale), positive(df))


@density
def logcdf(x, df, loc=0.0, scale=1.0):
    """The logarithm of the probability of at most x."""
    z = standardized(x, loc, scale)
    left = less(z, 0)
    tail = _stdtr(where(left, z, -z), positive(df))
    return where(left, elementwise.log(where(left, tail, 1)), log1p(-tail))


@density
def sf(x, df, loc=0.0, scale=1.0):
    """The probability of more than x, exact where that is near 0."""
    return _stdtr(-standardized(x, loc, scale), positive(df))
