"""Distributions of one class of k, as a label or one-hot, and of counts of classes."""

import math

import numpy as np

from tinygrad_like.distributions import noise, supports
from tinygrad_like.distributions.counts import times
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.engine import astype, broadcast_to, check_integer
from tinygrad_like.ops.arrays.shape import expand_dims, squeeze
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import exp, log, where
from tinygrad_like.ops.elements.special import lgamma
from tinygrad_like.ops.indexing.index import one_hot, take_along_axis
from tinygrad_like.ops.neural.softmax import log_softmax, softmax
from tinygrad_like.ops.reductions.reduce import argmax, sum


class Classes(Distribution):
    """What has a probability for each class, along the last axis of probs or logits.

    probs are divided by their sum, logits taken to log_softmax, at each use.
    """

    parameters = supports.named(probs=supports.WEIGHTS, logits=supports.LOGITS)
    has_rsample = False

    def __init__(self, probs=None, logits=None, *, validate=True):
        if (probs is None) == (logits is None):
            got = "neither" if probs is None else "both"
            raise ValueError(f"[{type(self).__name__}] got {got}, expected either probs or logits")
        given = {"logits": logits} if probs is None else {"probs": probs}
        super().__init__(**given, validate=validate)

    @property
    def _classes(self):
        return self._like.shape[-1]

    @property
    def logits(self):
        """The logarithms of the probabilities of the classes, (*batch_shape, k)."""
        if "logits" in self._given:
            return log_softmax(self._like)
        p = self.probs
        return where(equal(p, 0), -math.inf, log(where(equal(p, 0), 1, p)))

    @property
    def probs(self):
        """The probabilities of the classes, which add up to 1."""
        if "logits" in self._given:
            return softmax(self._like)
        return self._like / sum(self._like, axis=-1, keepdims=True)

    def _labels(self, sizes):
        """The class with the largest logarithm after Gumbel's noise (Gumbel 1954)."""
        noises = noise.gumbel((*sizes, self._classes), self)
        return argmax(self.logits + noises, axis=-1)

    def _entropy_of_one(self):
        log_p = self.logits
        return -sum(times(exp(log_p), log_p), axis=-1)


class Categorical(Classes):
    """A label from 0 to k - 1, as an int64 Tensor.

    >>> import tinygrad_like as tg
    >>> d = tg.distributions.Categorical(probs=tg.Tensor([1.0, 3.0]))
    >>> d.log_prob(tg.Tensor([1])).exp().tolist()
    [0.75]
    """

    @property
    def support(self):
        """The integers from 0 to k - 1."""
        return supports.integers_to(self._classes - 1)

    def _sample(self, sizes):
        return self._labels(sizes)

    @property
    def _value_dtype(self):
        return np.dtype(np.float64)

    def _log_prob(self, labels):
        shape = np.broadcast_shapes(labels.shape, self.batch_shape)
        index = broadcast_to(expand_dims(astype(labels, dtype=np.int64), -1), (*shape, 1))
        logits = broadcast_to(self.logits, (*shape, self._classes))
        return squeeze(take_along_axis(logits, index, -1), -1)

    def entropy(self):
        """-sum(p log(p))."""
        return self._entropy_of_one()


class OneHotCategorical(Classes):
    """One class of k as a vector of zeros with a 1."""

    support = supports.ONE_HOT

    @property
    def event_shape(self):
        """(k,)."""
        return (self._classes,)

    def _sample(self, sizes):
        return one_hot(self._labels(sizes), self._classes, dtype=self.dtype)

    def _log_prob(self, x):
        return sum(times(x, self.logits), axis=-1)

    def entropy(self):
        """-sum(p log(p))."""
        return self._entropy_of_one()

    @property
    def mean(self):
        """p."""
        return self.probs

    @property
    def variance(self):
        """p (1 - p)."""
        return self.probs * (1 - self.probs)


class Multinomial(Classes):
    """How many of total_count draws are of each class: (k,) counts that add up to it."""

    def __init__(self, total_count, probs=None, logits=None, *, validate=True):
        self.total_count = check_integer("Multinomial", "total_count", total_count, least=0)
        super().__init__(probs, logits, validate=validate)

    @property
    def _settings(self):
        return {"total_count": self.total_count}

    @property
    def event_shape(self):
        """(k,)."""
        return (self._classes,)

    @property
    def support(self):
        """Counts that add up to total_count."""
        return supports.counts_of(self.total_count)

    def _sample(self, sizes):
        labels = self._labels((self.total_count, *sizes))
        return sum(one_hot(labels, self._classes, dtype=self.dtype), axis=0)

    def _log_prob(self, x):
        ways = math.lgamma(self.total_count + 1) - sum(lgamma(x + 1), axis=-1)
        return ways + sum(times(x, self.logits), axis=-1)

    @property
    def mean(self):
        """total_count p."""
        return self.total_count * self.probs

    @property
    def variance(self):
        """total_count p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)
