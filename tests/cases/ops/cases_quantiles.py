"""Rows of cumulative distributions and their inverses, against SciPy."""

import numpy as np
import scipy.special as special
import scipy.stats as stats
from case import Case, Maker, P, Values

from tinygrad_like.ops.samples import quantiles


def Chance(*shape):
    """Probabilities from 0.05 to 0.95."""
    return Maker(shape, lambda rng, s: rng.uniform(0.05, 0.95, s))


def Shape(*shape):
    """Shape parameters of different sizes, from 0.3 to 60."""
    return Maker(
        shape, lambda rng, s: rng.choice([0.3, 1.0, 4.0, 50.0], s) * rng.uniform(1, 1.2, s)
    )


def beta_cdf(x):
    return quantiles.beta_cdf(2.5, 0.7, x)


def beta_quantile(x):
    return quantiles.beta_quantile(2.5, 0.7, x)


# A normal and two uniform numbers, for two columns that are accepted and two that are not.
Z, U, CHANCES = [-0.3, 0.2, 60.0, -60.0], [0.9, 0.3, 0.2, 0.4], [0.5, 0.1, 0.6, 0.95]


def log_gamma_sample(a):
    return quantiles.log_gamma_sample(a, *(np.array(x, a.dtype) for x in (Z, U, CHANCES)))


def log_gamma_rejected(a):
    return quantiles.log_gamma_sample(a, -60.0, 0.5, 0.3)


def by_formula(a):
    """Marsaglia and Tsang's numbers, or quantiles."""
    d = np.where(a < 1, a + 1, a) - 1 / 3
    power = np.where(a < 1, CHANCES ** (1 / a), 1)
    x = d * (1 + np.array(Z) / np.sqrt(9 * d)) ** 3 * power
    return np.log(np.where([True, True, False, False], x, special.gammaincinv(a, CHANCES)))


CASES = [
    Case(quantiles.log_gamma_quantile, Shape(2, 3), Chance(3), orders=2, statistics=True,
         numpy=lambda a, p: np.log(special.gammaincinv(a, p))),
    # Its gradient is that of the quantile at the sample, and not of this formula: of what is
    # rejected, which is a quantile, it is both.
    Case(log_gamma_rejected, Shape(2, 3), orders=2, statistics=True,
         numpy=lambda a: np.log(special.gammaincinv(a, 0.3))),
    Case(log_gamma_sample, Shape(2, 4), numpy=by_formula, grad=False, statistics=True),
    Case(quantiles.gamma_cdf, P(2, 3), P(3), orders=2, statistics=True, numpy=special.gammainc),
    Case(quantiles.normal_quantile, Chance(2, 3), statistics=True, numpy=special.ndtri),
    Case(beta_cdf, Chance(2, 3), statistics=True,
         numpy=lambda x: special.betainc(2.5, 0.7, x)),
    Case(beta_quantile, Chance(3), statistics=True,
         numpy=lambda p: special.betaincinv(2.5, 0.7, p)),
    Case(quantiles.poisson_quantile, Chance(2, 3), P(3), numpy=stats.poisson.ppf, grad=False),
    Case(quantiles.binomial_quantile, Chance(2, 3), Values([7.0, 3.0, 0.0]), Chance(3),
         numpy=stats.binom.ppf, grad=False),
]  # fmt: skip
