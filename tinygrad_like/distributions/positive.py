"""Distributions of positive numbers: waits, lifetimes, sizes."""

import math

from tinygrad_like.distributions import noise, supports
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.distributions.line import EULER
from tinygrad_like.ops.elements.compare import greater
from tinygrad_like.ops.elements.elementwise import exp, expm1, log, log1p, square, where
from tinygrad_like.ops.elements.special import digamma, lgamma, xlogy
from tinygrad_like.ops.samples.quantiles import gamma_cdf, log_gamma_quantile


class Exponential(Distribution):
    """Density rate exp(-rate x)."""

    parameters = supports.named(rate=supports.POSITIVE)
    support = supports.NOT_NEGATIVE

    def __init__(self, rate, *, validate=True):
        super().__init__(rate=rate, validate=validate)

    def _sample(self, sizes):
        return noise.exponential(sizes, self) / self.rate

    def _log_prob(self, x):
        return log(self.rate) - self.rate * x

    def _cdf(self, x):
        return -expm1(-self.rate * x)

    def _icdf(self, p):
        return -log1p(-p) / self.rate

    def entropy(self):
        """1 - log(rate)."""
        return 1 - log(self.rate)

    @property
    def mean(self):
        """1 / rate."""
        return 1 / self.rate

    @property
    def variance(self):
        """1 / rate^2."""
        return 1 / square(self.rate)


class Gamma(Distribution):
    """Density rate^a x^(a - 1) exp(-rate x) / gamma(a), with a the concentration.

    The gradient of `rsample` with respect to the concentration is exact, see
    ops/samples/quantiles.py.
    """

    parameters = supports.named(concentration=supports.POSITIVE, rate=supports.POSITIVE)
    support = supports.NOT_NEGATIVE

    def __init__(self, concentration, rate, *, validate=True):
        super().__init__(concentration=concentration, rate=rate, validate=validate)

    def _sample(self, sizes):
        return exp(noise.log_gamma(self.concentration, sizes)) / self.rate

    def _log_prob(self, x):
        a = self.concentration
        return xlogy(a, self.rate) + xlogy(a - 1, x) - self.rate * x - lgamma(a)

    def _cdf(self, x):
        return gamma_cdf(self.concentration, self.rate * x)

    def _icdf(self, p):
        return exp(log_gamma_quantile(self.concentration, p)) / self.rate

    def entropy(self):
        """a - log(rate) + lgamma(a) + (1 - a) digamma(a)."""
        a = self.concentration
        return a - log(self.rate) + lgamma(a) + (1 - a) * digamma(a)

    @property
    def mean(self):
        """concentration / rate."""
        return self.concentration / self.rate

    @property
    def variance(self):
        """concentration / rate^2."""
        return self.concentration / square(self.rate)


class Chi2(Gamma):
    """The sum of df squares of standard normal variables: Gamma(df / 2, 1 / 2)."""

    parameters = supports.named(df=supports.POSITIVE)

    def __init__(self, df, *, validate=True):
        Distribution.__init__(self, df=df, validate=validate)

    @property
    def concentration(self):
        """df / 2."""
        return 0.5 * self.df

    @property
    def rate(self):
        """1 / 2."""
        return self._full(0.5)


class Weibull(Distribution):
    """Its cdf is 1 - exp(-(x / scale)^k), with k the concentration."""

    parameters = supports.named(scale=supports.POSITIVE, concentration=supports.POSITIVE)
    support = supports.NOT_NEGATIVE

    def __init__(self, scale, concentration, *, validate=True):
        super().__init__(scale=scale, concentration=concentration, validate=validate)

    def _sample(self, sizes):
        return self.scale * noise.exponential(sizes, self) ** (1 / self.concentration)

    def _log_prob(self, x):
        k, z = self.concentration, x / self.scale
        return log(k) - log(self.scale) + xlogy(k - 1, z) - z**k

    def _cdf(self, x):
        return -expm1(-((x / self.scale) ** self.concentration))

    def _icdf(self, p):
        return self.scale * (-log1p(-p)) ** (1 / self.concentration)

    def entropy(self):
        """Euler's constant times (1 - 1 / k), log(scale / k), and 1."""
        k = self.concentration
        return EULER * (1 - 1 / k) + log(self.scale / k) + 1

    def _moment(self, order):
        return exp(lgamma(1 + order / self.concentration))

    @property
    def mean(self):
        """scale gamma(1 + 1 / k)."""
        return self.scale * self._moment(1)

    @property
    def variance(self):
        """scale^2 (gamma(1 + 2 / k) - gamma(1 + 1 / k)^2)."""
        return square(self.scale) * (self._moment(2) - square(self._moment(1)))


class Pareto(Distribution):
    """Density alpha scale^alpha / x^(alpha + 1) above the scale."""

    parameters = supports.named(scale=supports.POSITIVE, alpha=supports.POSITIVE)

    def __init__(self, scale, alpha, *, validate=True):
        super().__init__(scale=scale, alpha=alpha, validate=validate)

    @property
    def support(self):
        """The numbers from the scale on."""
        return supports.interval(self.scale, math.inf)

    def _sample(self, sizes):
        return self.scale * exp(noise.exponential(sizes, self) / self.alpha)

    def _log_prob(self, x):
        return log(self.alpha) + self.alpha * log(self.scale / x) - log(x)

    def _cdf(self, x):
        return -expm1(self.alpha * log(self.scale / x))

    def _icdf(self, p):
        return self.scale * exp(-log1p(-p) / self.alpha)

    def entropy(self):
        """log(scale / alpha) + 1 + 1 / alpha."""
        return log(self.scale / self.alpha) + 1 + 1 / self.alpha

    @property
    def mean(self):
        """alpha scale / (alpha - 1), or infinity."""
        finite = greater(self.alpha, 1)
        rest = where(finite, self.alpha - 1, 1)
        return where(finite, self.alpha * self.scale / rest, math.inf)

    @property
    def variance(self):
        """scale^2 alpha / ((alpha - 1)^2 (alpha - 2)), or infinity."""
        finite = greater(self.alpha, 2)
        a = where(finite, self.alpha, 3)
        variance = square(self.scale) * a / (square(a - 1) * (a - 2))
        return where(finite, variance, math.inf)
