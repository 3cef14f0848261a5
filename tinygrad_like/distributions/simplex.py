"""Distributions of shares: of the unit interval and of the simplex."""

from tinygrad_like.distributions import noise, supports
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.distributions.line import EULER
from tinygrad_like.ops.arrays.shape import expand_dims
from tinygrad_like.ops.elements.activation import sigmoid
from tinygrad_like.ops.elements.elementwise import exp, expm1, log, log1p, square
from tinygrad_like.ops.elements.special import betaln, digamma, lgamma, xlogy
from tinygrad_like.ops.neural.softmax import softmax
from tinygrad_like.ops.reductions.reduce import sum
from tinygrad_like.ops.samples.quantiles import beta_cdf, beta_quantile


class OfUnitInterval(Distribution):
    """What Beta and Kumaraswamy share: their parameters and support."""

    parameters = supports.named(concentration1=supports.POSITIVE, concentration0=supports.POSITIVE)
    support = supports.UNIT

    def __init__(self, concentration1, concentration0, *, validate=True):
        super().__init__(
            concentration1=concentration1, concentration0=concentration0, validate=validate
        )


class Beta(OfUnitInterval):
    """Density proportional to x^(a - 1) (1 - x)^(b - 1), a = concentration1, b = concentration0.

    `rsample` is a quotient of gamma variables, see `Gamma`.
    """

    def _sample(self, sizes):
        log_a = noise.log_gamma(self.concentration1, sizes)
        return sigmoid(log_a - noise.log_gamma(self.concentration0, sizes))

    def _log_prob(self, x):
        a, b = self.concentration1, self.concentration0
        return xlogy(a - 1, x) + xlogy(b - 1, 1 - x) - betaln(a, b)

    def _cdf(self, x):
        return beta_cdf(self.concentration1, self.concentration0, x)

    def _icdf(self, p):
        return beta_quantile(self.concentration1, self.concentration0, p)

    def entropy(self):
        """betaln(a, b) - (a - 1) digamma(a) - (b - 1) digamma(b) + (a + b - 2) digamma(a + b)."""
        a, b = self.concentration1, self.concentration0
        parts = (a - 1) * digamma(a) + (b - 1) * digamma(b)
        return betaln(a, b) - parts + (a + b - 2) * digamma(a + b)

    @property
    def mean(self):
        """a / (a + b)."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self):
        """a b / ((a + b)^2 (a + b + 1))."""
        a, b = self.concentration1, self.concentration0
        return a * b / (square(a + b) * (a + b + 1))


class Kumaraswamy(OfUnitInterval):
    """Its cdf is 1 - (1 - x^a)^b, with a = concentration1 and b = concentration0."""

    def _sample(self, sizes):
        return self._of_exponential(noise.exponential(sizes, self))

    def _of_exponential(self, e):
        return (-expm1(-e / self.concentration0)) ** (1 / self.concentration1)

    def _log_prob(self, x):
        a, b = self.concentration1, self.concentration0
        return log(a) + log(b) + xlogy(a - 1, x) + xlogy(b - 1, 1 - x**a)

    def _cdf(self, x):
        return 1 - (1 - x**self.concentration1) ** self.concentration0

    def _icdf(self, p):
        return self._of_exponential(-log1p(-p))

    def entropy(self):
        """1 - 1 / b + (1 - 1 / a) (digamma(b + 1) + Euler's constant) - log(a b)."""
        a, b = self.concentration1, self.concentration0
        return 1 - 1 / b + (1 - 1 / a) * (digamma(b + 1) + EULER) - log(a) - log(b)

    def _moment(self, order):
        a, b = self.concentration1, self.concentration0
        return b * exp(betaln(1 + order / a, b))

    @property
    def mean(self):
        """b B(1 + 1 / a, b)."""
        return self._moment(1)

    @property
    def variance(self):
        """b B(1 + 2 / a, b) - mean^2."""
        return self._moment(2) - square(self._moment(1))


class Dirichlet(Distribution):
    """Density proportional to the product of x_i^(a_i - 1), with a the concentration.

    `rsample` divides gamma variables by their sum, see `Gamma`.

    >>> import tinygrad_like as tg
    >>> tg.distributions.Dirichlet(tg.Tensor([1.0, 1.0, 2.0])).mean.tolist()
    [0.25, 0.25, 0.5]
    """

    parameters = supports.named(concentration=supports.POSITIVE_VECTOR)
    support = supports.SIMPLEX

    def __init__(self, concentration, *, validate=True):
        super().__init__(concentration=concentration, validate=validate)

    @property
    def event_shape(self):
        """(k,), of the k shares."""
        return self.concentration.shape[-1:]

    def _sample(self, sizes):
        return softmax(noise.log_gamma(self.concentration, sizes + self.event_shape))

    @property
    def _total(self):
        return sum(self.concentration, axis=-1)

    @property
    def _log_normalizer(self):
        return sum(lgamma(self.concentration), axis=-1) - lgamma(self._total)

    def _log_prob(self, x):
        return sum(xlogy(self.concentration - 1, x), axis=-1) - self._log_normalizer

    def entropy(self):
        """The log of the normalizer, and (a_i - 1) times what digamma(a_i) lacks to the total's."""
        a, total = self.concentration, expand_dims(self._total, -1)
        return self._log_normalizer - sum((a - 1) * (digamma(a) - digamma(total)), axis=-1)

    @property
    def mean(self):
        """a / sum(a)."""
        return self.concentration / expand_dims(self._total, -1)

    @property
    def variance(self):
        """mean (1 - mean) / (sum(a) + 1)."""
        return self.mean * (1 - self.mean) / (expand_dims(self._total, -1) + 1)
