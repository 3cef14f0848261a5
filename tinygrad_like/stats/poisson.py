"""The Poisson distribution of counts k = 0, 1, 2, ... with mean `mu`; differentiable by mu."""

import numpy as np

from tinygrad_like.engine import no_grad
from tinygrad_like.ops.elements.compare import equal, greater_equal, less, logical_and
from tinygrad_like.ops.elements.elementwise import clip, exp, floor, subtract, where
from tinygrad_like.ops.elements.special import in_dtype_of, lgamma, xlogy
from tinygrad_like.special.gamma import gammainc, gammaincc
from tinygrad_like.stats.numbers import density, on_support, positive


def _counts(k, loc, mu):
    """k - loc without a gradient, in the dtype of the mean if that is an array."""
    with no_grad():
        floats = mu if hasattr(mu, "dtype") else np.empty(0, np.float32)
        return subtract(in_dtype_of(floats, k), loc)


@density
def logpmf(k, mu, loc=0.0):
    """The logarithm of the probability of k, -inf where k is no count."""
    mu = positive(mu, or_0=True)
    k = _counts(k, loc, mu)
    supported = logical_and(greater_equal(k, 0), equal(k, floor(k)))
    return on_support(lambda k: xlogy(k, mu) - lgamma(k + 1) - mu, k, supported, 0)


@density
def pmf(k, mu, loc=0.0):
    """The probability of k."""
    return exp(logpmf(k, mu, loc))


@density
def cdf(k, mu, loc=0.0):
    """The probability of at most k."""
    mu = positive(mu, or_0=True)
    below = floor(_counts(k, loc, mu)) + 1  # the number of counts up to k
    return where(less(below, 1), 0, gammaincc(clip(below, 1), mu))


@density
def sf(k, mu, loc=0.0):
    """The probability of more than k, exact where that is near 0."""
    mu = positive(mu, or_0=True)
    below = floor(_counts(k, loc, mu)) + 1
    return where(less(below, 1), 1, gammainc(clip(below, 1), mu))
