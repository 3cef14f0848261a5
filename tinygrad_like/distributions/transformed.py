"""The distribution of f(x), for a random x and an invertible f."""

from tinygrad_like.distributions.compound import sum_of_last
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.distributions.transforms import Chain, Transform
from tinygrad_like.engine import check_flag
from tinygrad_like.ops.arrays.create import shape_of
from tinygrad_like.ops.elements.elementwise import where


class TransformedDistribution(Distribution):
    """y = f(x), element by element, of a continuous x.

    Args:
        base: the distribution of x.
        transforms: a transform, or several, of which the first is applied first.

    >>> import tinygrad_like as tg
    >>> from tinygrad_like.distributions import Exp, Normal
    >>> d = tg.distributions.TransformedDistribution(Normal(0.0, 1.0), Exp())
    >>> round(d.log_prob(1.0).item(), 4), round(d.cdf(1.0).item(), 4)
    (-0.9189, 0.5)
    """

    def __init__(self, base, transforms, *, validate=True):
        name = "TransformedDistribution"
        parts = [transforms] if isinstance(transforms, Transform) else list(transforms)
        strange = [part for part in parts if not isinstance(part, Transform)]
        if strange:
            raise TypeError(f"[{name}] {strange[0]!r} is no Transform")
        self.base, self.transform = base, Chain(parts)
        self.batch_shape, self.has_rsample = base.batch_shape, base.has_rsample
        self.validate, self._given = check_flag(name, "validate", validate), {}

    def __repr__(self):
        return f"TransformedDistribution({self.base!r}, {list(self.transform.parts)})"

    @property
    def event_shape(self):
        """That of the base."""
        return self.base.event_shape

    @property
    def support(self):
        """Where the last transform maps to, and values that come from the base's support."""
        support, inner = self.transform.support, self.base.support
        axes = tuple(range(-inner.event_ndim, 0))

        def holds(y):
            inside = support.holds(y)
            x = self.transform.inverse(where(inside, y, self.transform.forward(0 * y)))
            inside = inside.all(axis=axes) if axes else inside
            return inside & inner.holds(x)

        return support._replace(holds=holds, event_ndim=inner.event_ndim)

    @property
    def _like(self):
        return self.base._like

    def expand(self, batch_shape):
        """The same distribution with its base's parameters broadcast to another batch shape."""
        base = self.base.expand(shape_of("expand", batch_shape))
        return TransformedDistribution(base, self.transform.parts, validate=self.validate)

    def _sample(self, sizes):
        return self.transform.forward(self.base._sample(sizes))

    def _log_prob(self, y):
        x = self.transform.inverse(y)
        slope = sum_of_last(self.transform.log_slope(x), len(self.event_shape))
        return self.base._log_prob(x) - slope

    def _cdf(self, y):
        below = self.base._cdf(self.transform.inverse(y))
        return where(self.transform.rises, below, 1 - below)

    def _icdf(self, p):
        p = where(self.transform.rises, p, 1 - p)
        return self.transform.forward(self.base._icdf(p))
