"""Distributions of the real line, or of a part of it, by a location and a scale."""

import math

from tinygrad_like.distributions import noise, supports
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.ops.elements.activation import sigmoid, softplus
from tinygrad_like.ops.elements.compare import greater, greater_equal, less, less_equal, logical_and
from tinygrad_like.ops.elements.elementwise import (
    abs,
    arctan,
    clip,
    exp,
    log,
    log1p,
    sign,
    sqrt,
    square,
    tan,
    where,
)
from tinygrad_like.ops.elements.special import betaln, digamma
from tinygrad_like.ops.samples.quantiles import beta_cdf, beta_quantile

EULER = 0.57721566490153286


def log1p_square(z):
    """log(1 + z^2), also where z^2 overflows."""
    large = greater(abs(z), 1e4)
    beyond = where(large, abs(z), 1)
    return where(large, 2 * log(beyond), log1p(square(where(large, 0, z))))


class LocationScale(Distribution):
    """loc + scale z for a standard variable z: a subclass gives what z has."""

    parameters = supports.named(loc=supports.REAL, scale=supports.POSITIVE)
    support = supports.LINE

    def __init__(self, loc, scale, *, validate=True):
        super().__init__(loc=loc, scale=scale, validate=validate)

    def _z(self, x):
        return (x - self.loc) / self.scale

    def _sample(self, sizes):
        return self.loc + self.scale * self._standard_sample(sizes)

    def _log_prob(self, x):
        return self._standard_log_prob(self._z(x)) - log(self.scale)

    def _cdf(self, x):
        return self._standard_cdf(self._z(x))

    def _icdf(self, p):
        return self.loc + self.scale * self._standard_icdf(p)

    @property
    def mean(self):
        """The mean; NaN where there is none."""
        return self.loc + self.scale * self._standard_mean

    @property
    def variance(self):
        """The variance; NaN where there is none."""
        return square(self.scale) * self._standard_variance

    def entropy(self):
        """log(scale) and the entropy at scale 1."""
        return log(self.scale) + self._standard_entropy


class Laplace(LocationScale):
    """Density exp(-|x - loc| / scale) / (2 scale)."""

    _standard_mean, _standard_variance, _standard_entropy = 0.0, 2.0, 1 + math.log(2)

    def _standard_sample(self, sizes):
        u = 2 * noise.uniform(sizes, self) - 1
        return -sign(u) * log1p(-abs(u))

    def _standard_log_prob(self, z):
        return -abs(z) - math.log(2)

    def _standard_cdf(self, z):
        left = less(z, 0)
        below = 0.5 * exp(where(left, z, 0))
        return where(left, below, 1 - 0.5 * exp(-where(left, 0, z)))

    def _standard_icdf(self, p):
        left = less(p, 0.5)
        return where(left, log(2 * where(left, p, 0.5)), -log(2 - 2 * where(left, 0.5, p)))


class Cauchy(LocationScale):
    """Density 1 / (pi scale (1 + z^2)) with z = (x - loc) / scale. It has no mean."""

    _standard_mean = _standard_variance = math.nan
    _standard_entropy = math.log(4 * math.pi)

    def _standard_sample(self, sizes):
        return self._standard_icdf(noise.uniform(sizes, self))

    def _standard_log_prob(self, z):
        return -math.log(math.pi) - log1p_square(z)

    def _standard_cdf(self, z):
        return arctan(z) / math.pi + 0.5

    def _standard_icdf(self, p):
        return tan(math.pi * (p - 0.5))


class Gumbel(LocationScale):
    """Density exp(-z - exp(-z)) / scale with z = (x - loc) / scale: of the largest of many."""

    _standard_mean, _standard_variance, _standard_entropy = EULER, math.pi**2 / 6, 1 + EULER

    def _standard_sample(self, sizes):
        return noise.gumbel(sizes, self)

    def _standard_log_prob(self, z):
        return -z - exp(-z)

    def _standard_cdf(self, z):
        return exp(-exp(-z))

    def _standard_icdf(self, p):
        return -log(-log(p))


class Logistic(LocationScale):
    """Its cdf is sigmoid((x - loc) / scale)."""

    _standard_mean, _standard_variance, _standard_entropy = 0.0, math.pi**2 / 3, 2.0

    def _standard_sample(self, sizes):
        return noise.logistic(sizes, self)

    def _standard_log_prob(self, z):
        return -softplus(z) - softplus(-z)

    def _standard_cdf(self, z):
        return sigmoid(z)

    def _standard_icdf(self, p):
        return log(p) - log1p(-p)


class StudentT(LocationScale):
    """Density proportional to (1 + z^2 / df)^(-(df + 1) / 2) with z = (x - loc) / scale."""

    parameters = supports.named(df=supports.POSITIVE, **LocationScale.parameters)

    def __init__(self, df, loc=0.0, scale=1.0, *, validate=True):
        Distribution.__init__(self, df=df, loc=loc, scale=scale, validate=validate)

    def _standard_sample(self, sizes):
        log_spread = log(0.5 * self.df) - noise.log_gamma(0.5 * self.df, sizes)
        return noise.normal(sizes, self) * exp(0.5 * log_spread)

    def _standard_log_prob(self, z):
        df = self.df
        constant = -0.5 * log(df) - betaln(0.5 * df, 0 * df + 0.5)
        return constant - 0.5 * (df + 1) * log1p_square(z / sqrt(df))

    def _standard_cdf(self, z):
        df = self.df
        tail = 0.5 * beta_cdf(0.5 * df, 0 * df + 0.5, df / (df + square(z)))
        return where(less(z, 0), tail, 1 - tail)

    def _standard_icdf(self, p):
        df = self.df
        left = less(p, 0.5)
        x = beta_quantile(0.5 * df, 0 * df + 0.5, 2 * where(left, p, 1 - p))
        z = sqrt(df * (1 - x) / x)
        return where(left, -z, z)

    @property
    def _standard_mean(self):
        return where(greater(self.df, 1), 0 * self.df, math.nan)

    @property
    def _standard_variance(self):
        finite = greater(self.df, 2)
        variance = self.df / where(finite, self.df - 2, 1)
        return where(finite, variance, where(greater(self.df, 1), math.inf, math.nan))

    @property
    def _standard_entropy(self):
        df = self.df
        rise = digamma(0.5 * (df + 1)) - digamma(0.5 * df)
        return 0.5 * (df + 1) * rise + 0.5 * log(df) + betaln(0.5 * df, 0 * df + 0.5)


class HalfCauchy(Distribution):
    """|x| of a Cauchy x around 0; scale is that of x. It has no finite mean."""

    parameters = supports.named(scale=supports.POSITIVE)
    support = supports.NOT_NEGATIVE

    def __init__(self, scale, *, validate=True):
        super().__init__(scale=scale, validate=validate)

    def _sample(self, sizes):
        return self._icdf(noise.uniform(sizes, self))

    def _log_prob(self, x):
        return math.log(2 / math.pi) - log(self.scale) - log1p_square(x / self.scale)

    def _cdf(self, x):
        return arctan(x / self.scale) * (2 / math.pi)

    def _icdf(self, p):
        return self.scale * tan(math.pi / 2 * p)

    def entropy(self):
        """log(2 pi scale)."""
        return log(self.scale) + math.log(2 * math.pi)

    @property
    def mean(self):
        """Infinity."""
        return self._full(math.inf)

    @property
    def variance(self):
        """Infinity."""
        return self._full(math.inf)


class Uniform(Distribution):
    """Density 1 / (high - low) from low to high."""

    parameters = supports.named(low=supports.REAL, high=supports.REAL)

    def __init__(self, low, high, *, validate=True):
        super().__init__(low=low, high=high, validate=validate)
        if self.validate:
            above = supports.POSITIVE._replace(name="high above low")
            supports.check("Uniform", "high - low", above, self.high - self.low)

    @property
    def support(self):
        """The numbers from low to high."""
        return supports.interval(self.low, self.high)

    def _sample(self, sizes):
        return self.low + (self.high - self.low) * noise.uniform(sizes, self)

    def _log_prob(self, x):
        inside = logical_and(greater_equal(x, self.low), less_equal(x, self.high))
        return where(inside, -log(self.high - self.low), where(x != x, x, -math.inf))

    def _cdf(self, x):
        return clip((x - self.low) / (self.high - self.low), 0, 1)

    def _icdf(self, p):
        return self.low + (self.high - self.low) * p

    def entropy(self):
        """log(high - low)."""
        return log(self.high - self.low)

    @property
    def mean(self):
        """(low + high) / 2."""
        return 0.5 * (self.low + self.high)

    @property
    def variance(self):
        """(high - low)^2 / 12."""
        return square(self.high - self.low) / 12
