"""Invertible functions of random values, with the logarithms of their slopes."""

import math
from functools import reduce
from typing import Any

from tinygrad_like.distributions import supports
from tinygrad_like.engine import Tensor
from tinygrad_like.ops.elements.activation import sigmoid, softplus
from tinygrad_like.ops.elements.compare import greater
from tinygrad_like.ops.elements.elementwise import abs, exp, log, log1p, tanh


class Transform:
    """y = f(x), element by element: `forward`, `inverse`, and log |dy / dx| at x.

    A subclass defines these three, and where it differs `support` and `rises`.
    """

    @property
    def support(self) -> supports.Support:
        """Where y lies, for any x."""
        return supports.LINE

    @property
    def rises(self) -> Any:
        """Whether y grows with x: a bool, or a Tensor where elements differ."""
        return True

    def __repr__(self):
        return f"{type(self).__name__}()"


class Exp(Transform):
    """y = exp(x)."""

    support = supports.POSITIVE

    def forward(self, x):
        """exp(x)."""
        return exp(x)

    def inverse(self, y):
        """log(y)."""
        return log(y)

    def log_slope(self, x):
        """x."""
        return x


class Affine(Transform):
    """y = loc + scale x, for numbers or Tensors; the scale may be negative, not 0."""

    def __init__(self, loc, scale):
        self.loc, self.scale = loc, scale
        values = scale.data if isinstance(scale, Tensor) else scale
        if (values == 0).any() if hasattr(values, "any") else values == 0:
            raise ValueError("[Affine] scale contains 0, expected no zeros")

    def __repr__(self):
        return f"Affine({self.loc!r}, {self.scale!r})"

    @property
    def rises(self):
        """Whether the scale is positive."""
        return self.scale > 0 if not isinstance(self.scale, Tensor) else greater(self.scale, 0)

    def forward(self, x):
        """loc + scale x."""
        return self.loc + self.scale * x

    def inverse(self, y):
        """(y - loc) / scale."""
        return (y - self.loc) / self.scale

    def log_slope(self, x):
        """log |scale|."""
        if isinstance(self.scale, (int, float)):
            return 0 * x + math.log(self.scale if self.scale > 0 else -self.scale)
        return log(abs(self.scale)) + 0 * x


class Sigmoid(Transform):
    """y = 1 / (1 + exp(-x))."""

    support = supports.UNIT

    def forward(self, x):
        """sigmoid(x)."""
        return sigmoid(x)

    def inverse(self, y):
        """log(y / (1 - y))."""
        return log(y) - log1p(-y)

    def log_slope(self, x):
        """log(y) + log(1 - y)."""
        return -softplus(x) - softplus(-x)


class Tanh(Transform):
    """y = tanh(x).

    A sample that has rounded to 1 or -1 has lost its x, and NaN as its log-probability; from the
    sample x of the base it is base.log_prob(x) - log_slope(x).
    """

    support = supports.interval(-1, 1)

    def forward(self, x):
        """tanh(x)."""
        return tanh(x)

    def inverse(self, y):
        """log((1 + y) / (1 - y)) / 2."""
        return 0.5 * (log1p(y) - log1p(-y))

    def log_slope(self, x):
        """log(1 - tanh(x)^2), exact for large x."""
        return 2 * (math.log(2) - x - softplus(-2 * x))


class Chain(Transform):
    """Several transforms, the first one first.

    >>> import tinygrad_like as tg
    >>> Chain([Affine(1.0, 2.0), Affine(0.0, 3.0)]).forward(tg.Tensor(1.0)).item()
    9.0
    """

    def __init__(self, parts):
        self.parts = tuple(parts)

    def __repr__(self):
        return f"Chain({list(self.parts)})"

    @property
    def support(self):
        """That of the last transform."""
        return self.parts[-1].support if self.parts else supports.LINE

    @property
    def rises(self):
        """Whether an even number of them falls."""
        return reduce(lambda a, b: a == b, (part.rises for part in self.parts), True)

    def forward(self, x):
        """All transforms, one after the other."""
        return reduce(lambda x, part: part.forward(x), self.parts, x)

    def inverse(self, y):
        """All inverses, the last one first."""
        return reduce(lambda y, part: part.inverse(y), reversed(self.parts), y)

    def log_slope(self, x):
        """The sum of theirs."""
        total = 0 * x
        for part in self.parts:
            total, x = total + part.log_slope(x), part.forward(x)
        return total
