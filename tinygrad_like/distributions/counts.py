"""Distributions of yes or no, and of counts."""

import math

from tinygrad_like.distributions import noise, supports
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.engine import astype
from tinygrad_like.ops.arrays.create import arange
from tinygrad_like.ops.arrays.shape import reshape
from tinygrad_like.ops.elements.activation import sigmoid, softplus
from tinygrad_like.ops.elements.compare import equal, greater, isinf, less, less_equal, logical_and
from tinygrad_like.ops.elements.elementwise import exp, expm1, floor, log, log1p, square, where
from tinygrad_like.ops.elements.special import betaln, lgamma, xlogy
from tinygrad_like.ops.reductions.reduce import max, sum
from tinygrad_like.ops.samples.quantiles import (
    beta_cdf,
    binomial_quantile,
    gamma_cdf,
    poisson_quantile,
)


def times(x, y):
    """x y, and 0 where x is 0 beside an infinite y."""
    lost = logical_and(equal(x, 0), isinf(y))
    return x * where(lost, 0, y)


class Chance(Distribution):
    """What has a probability of yes, given as itself or as log(p / (1 - p))."""

    parameters = supports.named(probs=supports.UNIT, logits=supports.LINE)
    has_rsample = False

    def __init__(self, probs=None, logits=None, *, validate=True, **more):
        if (probs is None) == (logits is None):
            got = "neither" if probs is None else "both"
            raise ValueError(f"[{type(self).__name__}] got {got}, expected either probs or logits")
        given = {"logits": logits} if probs is None else {"probs": probs}
        super().__init__(**more, **given, validate=validate)

    @property
    def probs(self):
        """The probability p of yes."""
        given = self._given
        return given["probs"] if "probs" in given else sigmoid(given["logits"])

    @property
    def logits(self):
        """log(p / (1 - p))."""
        given = self._given
        return given["logits"] if "logits" in given else log(self.probs) - log1p(-self.probs)

    @property
    def _no(self):
        """1 - p, without cancellation."""
        return sigmoid(-self.logits) if "logits" in self._given else 1 - self.probs

    def _log_of(self, yes, no):
        """yes log(p) + no log(1 - p), with 0 log(0) = 0."""
        if "logits" in self._given:
            return -times(yes, softplus(-self.logits)) - times(no, softplus(self.logits))
        p = self.probs
        certain = equal(p, 1)
        log_no = where(certain, -math.inf, log1p(-where(certain, 0, p)))
        return xlogy(yes, p) + times(no, log_no)


class Bernoulli(Chance):
    """1 with probability p, else 0.

    >>> import tinygrad_like as tg
    >>> tg.distributions.Bernoulli(logits=tg.Tensor([1000.0])).log_prob([1.0]).exp().tolist()
    [1.0]
    """

    support = supports.YES_NO

    def _sample(self, sizes):
        return astype(less_equal(noise.uniform(sizes, self), self.probs), dtype=self.dtype)

    def _log_prob(self, x):
        return self._log_of(x, 1 - x)

    def _cdf(self, x):
        return where(less(x, 1), self._no, 1)

    def entropy(self):
        """-p log(p) - (1 - p) log(1 - p)."""
        return -self._log_of(self.probs, self._no)

    @property
    def mean(self):
        """p."""
        return self.probs

    @property
    def variance(self):
        """p (1 - p)."""
        return self.probs * self._no


class Geometric(Chance):
    """How many tries fail before the first succeeds: (1 - p)^k p."""

    parameters = supports.named(
        probs=supports.UNIT._replace(
            name="numbers above 0, to 1", holds=lambda x: (x > 0) & (x <= 1)
        ),
        logits=supports.LINE._replace(name="numbers above -inf", holds=lambda x: x > -math.inf),
    )
    support = supports.COUNT

    @property
    def _log_no(self):
        return self._log_of(self._full(0.0), self._full(1.0))

    def _sample(self, sizes):
        return floor(noise.exponential(sizes, self) / -self._log_no)

    def _log_prob(self, k):
        return self._log_of(self._full(1.0), k)

    def _cdf(self, k):
        return -expm1(times(k + 1, self._log_no))

    def entropy(self):
        """The entropy of one try, divided by p."""
        return -self._log_of(self.probs, self._no) / self.probs

    @property
    def mean(self):
        """(1 - p) / p."""
        return self._no / self.probs

    @property
    def variance(self):
        """(1 - p) / p^2."""
        return self._no / square(self.probs)


class Binomial(Chance):
    """How many of total_count tries succeed."""

    parameters = supports.named(total_count=supports.COUNT, **Chance.parameters)

    def __init__(self, total_count, probs=None, logits=None, *, validate=True):
        super().__init__(probs, logits, total_count=total_count, validate=validate)

    @property
    def support(self):
        """The integers from 0 to total_count."""
        return supports.integers_to(self.total_count)

    def _sample(self, sizes):
        u = noise.uniform(sizes, self)
        return astype(binomial_quantile(u, self.total_count, self.probs), dtype=self.dtype)

    def _log_prob(self, k):
        n = self.total_count
        ways = -log1p(n) - betaln(n - k + 1, k + 1)
        return ways + self._log_of(k, n - k)

    def _cdf(self, k):
        rest = self.total_count - k
        last = less_equal(rest, 0)
        return where(last, 1, beta_cdf(where(last, 1, rest), k + 1, self._no))

    def entropy(self):
        """The sum over all counts, of which there are total_count + 1."""
        most = int(max(self.total_count.detach()).item()) if self.total_count.size else 0
        k = arange(most + 1, dtype=self.dtype, device=self.device)
        k = reshape(k, (most + 1, *(1 for _ in self.batch_shape)))
        beyond = greater(k, self.total_count)
        log_p = self._log_prob(where(beyond, 0, k))
        return -sum(where(beyond, 0, times(exp(log_p), log_p)), axis=0)

    @property
    def mean(self):
        """total_count p."""
        return self.total_count * self.probs

    @property
    def variance(self):
        """total_count p (1 - p)."""
        return self.total_count * self.probs * self._no


class NegativeBinomial(Chance):
    """How many tries succeed, with probability p, before total_count of them failed.

    total_count is any positive number: a Poisson variable whose rate is a gamma variable.
    """

    parameters = supports.named(
        total_count=supports.POSITIVE,
        probs=supports.UNIT._replace(
            name="numbers from 0 to less than 1", holds=lambda x: (x >= 0) & (x < 1)
        ),
        logits=supports.LINE,
    )
    support = supports.COUNT

    def __init__(self, total_count, probs=None, logits=None, *, validate=True):
        super().__init__(probs, logits, total_count=total_count, validate=validate)

    def _sample(self, sizes):
        rate = exp(noise.log_gamma(self.total_count, sizes)) * self.probs / self._no
        u = noise.uniform(sizes, self)
        return astype(poisson_quantile(u, rate), dtype=self.dtype)

    def _log_prob(self, k):
        r = self.total_count
        ways = -log(r + k) - betaln(r, k + 1)
        return ways + self._log_of(k, r)

    def _cdf(self, k):
        return beta_cdf(self.total_count, k + 1, self._no)

    @property
    def mean(self):
        """total_count p / (1 - p)."""
        return self.total_count * self.probs / self._no

    @property
    def variance(self):
        """total_count p / (1 - p)^2."""
        return self.mean / self._no


class Poisson(Distribution):
    """rate^k exp(-rate) / k!."""

    parameters = supports.named(rate=supports.NOT_NEGATIVE)
    support = supports.COUNT
    has_rsample = False

    def __init__(self, rate, *, validate=True):
        super().__init__(rate=rate, validate=validate)

    def _sample(self, sizes):
        return astype(poisson_quantile(noise.uniform(sizes, self), self.rate), dtype=self.dtype)

    def _log_prob(self, k):
        return xlogy(k, self.rate) - self.rate - lgamma(k + 1)

    def _cdf(self, k):
        return 1 - gamma_cdf(k + 1, self.rate)

    @property
    def mean(self):
        """rate."""
        return self.rate

    @property
    def variance(self):
        """rate."""
        return self.rate
