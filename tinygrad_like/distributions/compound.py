"""Distributions made of others: axes of a batch as one event, and mixtures."""

from tinygrad_like.distributions.categories import Categorical
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.engine import broadcast_to, check_flag, check_integer
from tinygrad_like.ops.arrays.create import shape_of
from tinygrad_like.ops.arrays.shape import expand_dims, reshape, squeeze
from tinygrad_like.ops.elements.elementwise import square
from tinygrad_like.ops.indexing.index import take_along_axis
from tinygrad_like.ops.neural.softmax import logsumexp
from tinygrad_like.ops.reductions.reduce import sum


def sum_of_last(x, ndims):
    """The sum over the last axes."""
    return sum(x, axis=tuple(range(-ndims, 0))) if ndims else x


class Independent(Distribution):
    """A distribution whose last batch axes are one event: their log-probabilities add up.

    Args:
        base: a distribution.
        ndims: how many of its batch axes.

    >>> import tinygrad_like as tg
    >>> normals = tg.distributions.Normal(tg.zeros((3, 2)), 1.0)
    >>> d = tg.distributions.Independent(normals, 1)
    >>> d.batch_shape, d.event_shape
    ((3,), (2,))
    """

    def __init__(self, base, ndims, *, validate=True):
        most = len(base.batch_shape)
        self.base, self.ndims = base, check_integer("Independent", "ndims", ndims, 0, most)
        self.batch_shape = base.batch_shape[: most - self.ndims]
        self.validate, self._given = check_flag("Independent", "validate", validate), {}
        self.has_rsample = base.has_rsample

    def __repr__(self):
        return f"Independent({self.base!r}, {self.ndims})"

    @property
    def event_shape(self):
        """The batch axes that are taken, and the event of the base."""
        return self.base.batch_shape[len(self.batch_shape) :] + self.base.event_shape

    @property
    def support(self):
        """That of the base, for each part of an event."""
        support = self.base.support
        axes = tuple(range(-self.ndims, 0))

        def holds(x):
            inside = support.holds(x)
            return inside.all(axis=axes) if axes else inside

        return support._replace(holds=holds, event_ndim=support.event_ndim + self.ndims)

    @property
    def _like(self):
        return self.base._like

    @property
    def _value_dtype(self):
        return self.base._value_dtype

    def expand(self, batch_shape):
        """The same distribution with its parameters broadcast to another batch shape."""
        events = self.base.batch_shape[len(self.batch_shape) :]
        base = self.base.expand(shape_of("expand", batch_shape) + events)
        return Independent(base, self.ndims, validate=self.validate)

    def _sample(self, sizes):
        return self.base._sample(sizes + self.base.batch_shape[len(self.batch_shape) :])

    def _log_prob(self, x):
        return sum_of_last(self.base._log_prob(x), self.ndims)

    def entropy(self):
        """The sum of the base's entropies."""
        return sum_of_last(self.base.entropy(), self.ndims)

    @property
    def mean(self):
        """That of the base."""
        return self.base.mean

    @property
    def variance(self):
        """That of the base."""
        return self.base.variance


class MixtureSameFamily(Distribution):
    """One of k distributions of a family, by the probabilities of a Categorical.

    Args:
        mixture: a Categorical of k classes.
        components: a distribution whose last batch axis has length k.

    >>> import tinygrad_like as tg
    >>> mix = tg.distributions.Categorical(probs=tg.Tensor([0.5, 0.5]))
    >>> d = tg.distributions.MixtureSameFamily(
    ...     mix, tg.distributions.Normal(tg.Tensor([-1.0, 1.0]), 0.1)
    ... )
    >>> round(d.variance.item(), 4)
    1.01
    """

    has_rsample = False

    def __init__(self, mixture, components, *, validate=True):
        name = "MixtureSameFamily"
        if not isinstance(mixture, Categorical):
            raise TypeError(f"[{name}] mixture is {mixture!r}, expected a Categorical")
        k = mixture.logits.shape[-1]
        if components.batch_shape[-1:] != (k,):
            raise ValueError(
                f"[{name}] the mixture has {k} classes, the components have the batch shape "
                f"{components.batch_shape}, expected (..., {k})"
            )
        self.batch_shape = components.batch_shape[:-1]
        self.mixture, self.components = mixture.expand(self.batch_shape), components
        self.validate, self._given = check_flag(name, "validate", validate), {}

    def __repr__(self):
        return f"MixtureSameFamily({self.mixture!r}, {self.components!r})"

    @property
    def event_shape(self):
        """That of the components."""
        return self.components.event_shape

    @property
    def support(self):
        """That of the components, which have to agree in it."""
        support, at = self.components.support, -1 - len(self.event_shape)

        def holds(x):
            return support.holds(expand_dims(x, at)).all(axis=-1)

        return support._replace(holds=holds)

    @property
    def _like(self):
        return self.components._like

    @property
    def _value_dtype(self):
        return self.components._value_dtype

    def expand(self, batch_shape):
        """The same distribution with its parameters broadcast to another batch shape."""
        batch_shape = shape_of("expand", batch_shape)
        components = self.components.expand((*batch_shape, self.components.batch_shape[-1]))
        return MixtureSameFamily(
            self.mixture.expand(batch_shape), components, validate=self.validate
        )

    def _sample(self, sizes):
        labels = self.mixture._sample(sizes)
        every = self.components._sample((*sizes, self.components.batch_shape[-1]))
        ndim = len(self.event_shape)
        index = reshape(labels, (*labels.shape, 1, *(1 for _ in range(ndim))))
        index = broadcast_to(index, (*labels.shape, 1, *self.event_shape))
        return squeeze(take_along_axis(every, index, len(sizes)), len(sizes))

    def _of_components(self, x):
        return expand_dims(x, -1 - len(self.event_shape))

    def _log_prob(self, x):
        log_p = self.components._log_prob(self._of_components(x))
        return logsumexp(self.mixture.logits + log_p, axis=-1)

    def _cdf(self, x):
        return sum(self.mixture.probs * self.components._cdf(expand_dims(x, -1)), axis=-1)

    def _average(self, x):
        """The average over the components of (..., k, *event_shape)."""
        p = self.mixture.probs
        ndim = len(self.event_shape)
        p = reshape(p, (*p.shape, *(1 for _ in range(ndim))))
        return sum(p * x, axis=-1 - ndim)

    @property
    def mean(self):
        """The average of the components' means."""
        return self._average(self.components.mean)

    @property
    def variance(self):
        """The average variance, and the variance of the means."""
        apart = self.components.mean - self._of_components(self.mean)
        return self._average(self.components.variance + square(apart))
