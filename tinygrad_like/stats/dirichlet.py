"""The Dirichlet distribution of probabilities x with concentrations `alpha`.

The first axis of x counts the probabilities, as in SciPy: x is (k,) or (k, ...), alpha is (k,).
"""

from tinygrad_like.ops.arrays.shape import reshape
from tinygrad_like.ops.elements.elementwise import exp
from tinygrad_like.ops.elements.special import lgamma, xlogy
from tinygrad_like.ops.reductions.reduce import sum
from tinygrad_like.stats.numbers import density, positive


@density
def logpdf(x, alpha):
    """The logarithm of the density at x, whose elements are taken to be positive and to sum to 1.

    Raises ValueError for shapes that do not fit.
    """
    if len(alpha.shape) != 1 or x.shape[:1] != alpha.shape:
        raise ValueError(
            f"[logpdf] x is {x.shape}, alpha is {alpha.shape}, expected (k, ...) and (k,)"
        )
    alpha = positive(alpha)
    constant = sum(lgamma(alpha)) - lgamma(sum(alpha))
    powers = reshape(alpha, (*alpha.shape, *(1,) * (len(x.shape) - 1))) - 1
    return sum(xlogy(powers, x), axis=0) - constant


@density
def pdf(x, alpha):
    """The density at x."""
    return exp(logpdf(x, alpha))
