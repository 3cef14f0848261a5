"""Rows of cumulative distributions and their inverses, against SciPy."""

import numpy as np
import scipy.special as special
import scipy.stats as stats
from case import Case, Maker, P, Values

from tinygrad_like.ops import quantiles


def Chance(*shape):
    """Probabilities from 0.05 to 0.95."""
    return Maker(shape, lambda rng, s: rng.uniform(0.05, 0.95, s))


def Shape(*shape):
    """Shape parameters of different sizes, from 0.3 to 60."""
    return Maker(
        shape, lambda rng, s: rng.choice([0.3, 1.0, 4.0, 50.0], s) * rng.uniform(1, 1.2, s)
    )


def beta_cdf(x):
    return quantiles.beta_cdf(np.array(2.5, x.dtype), np.array(0.7, x.dtype), x)


def beta_quantile(x):
    return quantiles.beta_quantile(np.array(2.5, x.dtype), np.array(0.7, x.dtype), x)


CASES = [
    Case(quantiles.log_gamma_quantile, Shape(2, 3), Chance(3),
         numpy=lambda a, p: np.log(special.gammaincinv(a, p))),
    Case(quantiles.gamma_cdf, P(2, 3), P(3), numpy=special.gammainc),
    Case(quantiles.normal_quantile, Chance(2, 3), numpy=special.ndtri),
    Case(beta_cdf, Chance(2, 3), numpy=lambda x: special.betainc(2.5, 0.7, x)),
    Case(beta_quantile, Chance(3), numpy=lambda p: special.betaincinv(2.5, 0.7, p)),
    Case(quantiles.poisson_quantile, Chance(2, 3), P(3), numpy=stats.poisson.ppf, grad=False),
    Case(quantiles.binomial_quantile, Chance(2, 3), Values([7.0, 3.0, 0.0]), Chance(3),
         numpy=stats.binom.ppf, grad=False),
]  # fmt: skip
