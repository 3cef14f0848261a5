"""The normal distribution, and what is made of it by one step."""

import math

from tinygrad_like.distributions import noise, supports
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.ops.elements.elementwise import abs, erf, exp, expm1, log, sqrt, square
from tinygrad_like.ops.elements.special import erfc
from tinygrad_like.ops.samples.quantiles import normal_quantile

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class Normal(Distribution):
    """Density exp(-(x - loc)^2 / (2 scale^2)) / (scale sqrt(2 pi)).

    >>> import tinygrad_like as tg
    >>> d = tg.distributions.Normal(tg.Tensor([0.0, 1.0]), 2.0)
    >>> d.log_prob([0.0, 0.0]).numpy().round(3).tolist()
    [-1.6119999885559082, -1.7369999885559082]
    """

    parameters = supports.named(loc=supports.REAL, scale=supports.POSITIVE)
    support = supports.LINE

    def __init__(self, loc, scale, *, validate=True):
        super().__init__(loc=loc, scale=scale, validate=validate)

    def _sample(self, sizes):
        return self.loc + self.scale * noise.normal(sizes, self)

    def _log_prob(self, x):
        return -0.5 * square((x - self.loc) / self.scale) - log(self.scale) - HALF_LOG_2_PI

    def _cdf(self, x):
        return 0.5 * erfc((self.loc - x) / (self.scale * math.sqrt(2)))

    def _icdf(self, p):
        return self.loc + self.scale * normal_quantile(p)

    def entropy(self):
        """log(scale) + log(2 pi e) / 2."""
        return log(self.scale) + (0.5 + HALF_LOG_2_PI)

    @property
    def mean(self):
        """loc."""
        return self.loc

    @property
    def variance(self):
        """scale^2."""
        return square(self.scale)

    @property
    def stddev(self):
        """scale."""
        return self.scale


class LogNormal(Normal):
    """exp(x) of a normal x: loc and scale are those of log(value)."""

    support = supports.POSITIVE

    def _sample(self, sizes):
        return exp(super()._sample(sizes))

    def _log_prob(self, x):
        return super()._log_prob(log(x)) - log(x)

    def _cdf(self, x):
        return super()._cdf(log(x))

    def _icdf(self, p):
        return exp(super()._icdf(p))

    def entropy(self):
        """loc + log(scale) + log(2 pi e) / 2."""
        return super().entropy() + self.loc

    @property
    def mean(self):
        """exp(loc + scale^2 / 2)."""
        return exp(self.loc + 0.5 * square(self.scale))

    @property
    def variance(self):
        """(exp(scale^2) - 1) exp(2 loc + scale^2)."""
        return expm1(square(self.scale)) * exp(2 * self.loc + square(self.scale))

    @property
    def stddev(self):
        """The square root of the variance."""
        return sqrt(self.variance)


class HalfNormal(Distribution):
    """|x| of a normal x around 0; scale is that of x."""

    parameters = supports.named(scale=supports.POSITIVE)
    support = supports.NOT_NEGATIVE

    def __init__(self, scale, *, validate=True):
        super().__init__(scale=scale, validate=validate)

    def _sample(self, sizes):
        return self.scale * abs(noise.normal(sizes, self))

    def _log_prob(self, x):
        constant = 0.5 * math.log(2 / math.pi)
        return constant - 0.5 * square(x / self.scale) - log(self.scale)

    def _cdf(self, x):
        return erf(x / (self.scale * math.sqrt(2)))

    def _icdf(self, p):
        return self.scale * -normal_quantile(0.5 - 0.5 * p)

    def entropy(self):
        """log(scale) + log(pi e / 2) / 2."""
        return log(self.scale) + (0.5 + 0.5 * math.log(math.pi / 2))

    @property
    def mean(self):
        """scale sqrt(2 / pi)."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self):
        """scale^2 (1 - 2 / pi)."""
        return square(self.scale) * (1 - 2 / math.pi)
