"""kl_divergence: closed forms for pairs of distributions."""

import math
from collections.abc import Callable

from tinygrad_like.distributions.categories import Classes, Multinomial
from tinygrad_like.distributions.compound import Independent, sum_of_last
from tinygrad_like.distributions.counts import (
    Bernoulli,
    Binomial,
    Geometric,
    NegativeBinomial,
    Poisson,
    times,
)
from tinygrad_like.distributions.line import EULER, Cauchy, Gumbel, Laplace, Uniform
from tinygrad_like.distributions.multivariate import MultivariateNormal
from tinygrad_like.distributions.normal import HalfNormal, LogNormal, Normal
from tinygrad_like.distributions.positive import Exponential, Gamma, Pareto, Weibull
from tinygrad_like.distributions.simplex import Beta, Dirichlet
from tinygrad_like.distributions.transformed import TransformedDistribution
from tinygrad_like.ops.arrays.shape import expand_dims, squeeze
from tinygrad_like.ops.elements.compare import equal, greater_equal, less_equal, logical_and
from tinygrad_like.ops.elements.elementwise import abs, exp, log, square, where
from tinygrad_like.ops.elements.special import betaln, digamma, lgamma, xlogy
from tinygrad_like.ops.matrices.systems import solve
from tinygrad_like.ops.reductions.reduce import sum

# (type of p, type of q): the function. A subclass has the function of the class that it is one of,
# unless both are listed: the first classes in the order of resolution count.
_PAIRS: dict[tuple[type, type], Callable] = {}


def kl_divergence(p, q):
    """The mean of log p(x) - log q(x) over x from p: how far q lies from p, one for each batch.

    Args:
        p, q: distributions whose batch shapes broadcast.

    Returns a Tensor, inf where p has values that q has not. Raises NotImplementedError for a pair
    without a closed form.

    >>> import tinygrad_like as tg
    >>> Normal = tg.distributions.Normal
    >>> tg.distributions.kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0)).item()
    0.5
    """
    for first in type(p).__mro__:
        for second in type(q).__mro__:
            if (first, second) in _PAIRS:
                return _PAIRS[first, second](p, q)
    names = f"{type(p).__name__} and {type(q).__name__}"
    raise NotImplementedError(
        f"[kl_divergence] there is no closed form for {names}; estimate it: x = p.sample((n,)), "
        "or p.rsample((n,)) for its gradient, then (p.log_prob(x) - q.log_prob(x)).mean(axis=0)"
    )


def register_kl(first, second):
    """Register the divergence of two classes of distributions; a decorator of f(p, q)."""

    def register(function):
        _PAIRS[first, second] = function
        return function

    return register


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = square(p.scale / q.scale)
    return 0.5 * (ratio + square((p.loc - q.loc) / q.scale) - 1 - log(ratio))


@register_kl(LogNormal, Normal)
@register_kl(Normal, LogNormal)
def _of_different_lines(p, q):
    if isinstance(p, LogNormal) and isinstance(q, LogNormal):
        return _normal(p, q)
    if isinstance(q, LogNormal):  # a normal variable may be negative
        return math.inf + 0 * _normal(p, q)
    return _to_normal(p, q)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    ratio = square(p.scale / q.scale)
    return 0.5 * (ratio - 1 - log(ratio))


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"[kl_divergence] events of p are {p.event_shape}, of q {q.event_shape}, expected one"
        )
    mine, other = p.scale_tril, q.scale_tril
    spread = sum(square(solve(other, mine)), axis=(-2, -1))
    apart = squeeze(solve(other, expand_dims(p.loc - q.loc, -1)), -1)
    logs = q._log_scale(other) - p._log_scale(mine)
    return 0.5 * (spread + sum(square(apart), axis=-1) - p.event_shape[0]) + logs


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    within = logical_and(greater_equal(p.low, q.low), less_equal(p.high, q.high))
    return where(within, log((q.high - q.low) / (p.high - p.low)), math.inf)


@register_kl(Laplace, Normal)
@register_kl(Uniform, Normal)
def _to_normal(p, q):
    spread = (p.variance + square(p.mean - q.loc)) / square(q.scale)
    return 0.5 * spread + log(q.scale) + 0.5 * math.log(2 * math.pi) - p.entropy()


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    apart, ratio = abs(p.loc - q.loc), p.scale / q.scale
    return ratio * exp(-apart / p.scale) + apart / q.scale - log(ratio) - 1


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    """Chyzak and Nielsen 2019."""
    apart = square(p.scale + q.scale) + square(p.loc - q.loc)
    return log(apart / (4 * p.scale * q.scale))


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio = p.scale / q.scale
    apart = (q.loc - p.loc) / q.scale
    return -log(ratio) - apart + exp(apart + lgamma(1 + ratio)) - 1 - EULER + ratio * EULER


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return ratio - 1 - log(ratio)


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    ratio = q.rate / p.rate
    return (a - b) * digamma(a) - lgamma(a) + lgamma(b) - b * log(ratio) + a * (ratio - 1)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    return _gamma(Gamma(0 * p.rate + 1, p.rate, validate=False), q)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p, q):
    return _gamma(p, Gamma(0 * q.rate + 1, q.rate, validate=False))


@register_kl(Weibull, Weibull)
def _weibull(p, q):
    """Bauckhage 2013."""
    k, m = p.concentration, q.concentration
    ratio = p.scale / q.scale
    logs = log(k / m) - m * log(ratio) + (k - m) * (-EULER / k)
    return logs + exp(m * log(ratio) + lgamma(m / k + 1)) - 1


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = p.scale / q.scale
    inside = greater_equal(ratio, 1)
    logs = q.alpha * log(where(inside, ratio, 1)) + log(p.alpha / q.alpha)
    return where(inside, logs + q.alpha / p.alpha - 1, math.inf)


@register_kl(Beta, Beta)
def _beta(p, q):
    a, b, c, d = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    logs = betaln(c, d) - betaln(a, b)
    rises = (a - c) * digamma(a) + (b - d) * digamma(b)
    return logs + rises + (c - a + d - b) * digamma(a + b)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    apart = p.concentration - q.concentration
    rises = digamma(p.concentration) - expand_dims(digamma(p._total), -1)
    return q._log_normalizer - p._log_normalizer + sum(apart * rises, axis=-1)


# Counts and classes


def _of_one_try(p, q):
    """p log(p / q) + (1 - p) log((1 - p) / (1 - q)), inf where only q rules an outcome out."""
    return p._log_of(p.probs, p._no) - q._log_of(p.probs, p._no)


def _same_count(p, q):
    """The total_count that both have; NotImplementedError if there are two."""
    n = p.total_count
    if not equal(n, q.total_count).all():
        raise NotImplementedError(
            f"[kl_divergence] of two {type(p).__name__}s has a closed form for one total_count only"
        )
    return n


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    return _of_one_try(p, q)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    return times(_same_count(p, q), _of_one_try(p, q))


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return _of_one_try(p, q) / p.probs


@register_kl(NegativeBinomial, NegativeBinomial)
def _negative_binomial(p, q):
    return _same_count(p, q) * _of_one_try(p, q) / p._no


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return xlogy(p.rate, p.rate) - xlogy(p.rate, q.rate) - (p.rate - q.rate)


@register_kl(Classes, Classes)
def _classes(p, q):
    if type(p) is not type(q) or p._classes != q._classes:
        raise ValueError(f"[kl_divergence] p is {p}, q is {q}, expected the same classes")
    log_p = p.logits
    ruled_out = equal(log_p, -math.inf)
    apart = where(ruled_out, 0, log_p) - where(ruled_out, 0, q.logits)
    return sum(times(exp(log_p), apart), axis=-1)


@register_kl(Multinomial, Multinomial)
def _multinomial(p, q):
    if p.total_count != q.total_count:
        raise ValueError(f"[kl_divergence] p is {p}, q is {q}, expected one total_count")
    return p.total_count * _classes(p, q)


# Compounds


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.ndims != q.ndims:
        raise NotImplementedError(
            f"[kl_divergence] p takes {p.ndims} axes as one event, q {q.ndims}, expected as many"
        )
    return sum_of_last(kl_divergence(p.base, q.base), p.ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transform.parts != q.transform.parts:
        raise NotImplementedError(
            "[kl_divergence] of transformed distributions has a closed form only if their "
            "transforms are the same objects, or of the same class and settings"
        )
    return kl_divergence(p.base, q.base)
