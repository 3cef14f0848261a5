"""Further kinds of dropout: of whole channels, and one that keeps mean and variance."""

import math

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.arrays.create import ones_like
from tinygrad_like.ops.elements.activation import SELU_ALPHA, SELU_SCALE
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.samples.random import dropout


class Dropout2D(Module):
    """In training y = x m / (1 - p), each m 0 with probability p, else 1, for each channel.

    x is (N, C, ...): images, sequences or volumes. In evaluation y = x.

    Source: Tompson et al. 2015, "Efficient object localization using convolutional networks".
    """

    def __init__(self, p: float = 0.5):
        self.p = arguments.number("Dropout2D", "p", p, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        _check("Dropout2D", x)
        if x.ndim < 2:
            raise ValueError(f"[Dropout2D] x is {x.shape}, expected (N, C, ...)")
        if not self.training or self.p == 0:
            return x
        one = (slice(None),) * 2 + (slice(0, 1),) * (x.ndim - 2)  # of each channel
        first = x[one]
        return x * dropout(ones_like(first), self.p)


class AlphaDropout(Module):
    """In training y = a (x or, with probability p, s) + b: mean 0 and variance 1 stay, after SELU.

    s = -1.758 is what SELU tends to, a = 1 / sqrt((1 - p)(1 + p s^2)), b = -a p s. In evaluation
    y = x.

    Source: Klambauer et al. 2017, "Self-normalizing neural networks".
    """

    def __init__(self, p: float = 0.5):
        self.p = arguments.number("AlphaDropout", "p", p, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        _check("AlphaDropout", x)
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return x * 0
        low = -SELU_ALPHA * SELU_SCALE
        a = 1 / math.sqrt((1 - self.p) * (1 + self.p * low * low))
        dropped = dropout(ones_like(x), self.p) == 0
        return where(dropped, a * low * (1 - self.p), a * x - a * low * self.p)


def _check(name, x):
    arguments.tensor(name, "x", x)
    if x.dtype.kind not in INEXACT:
        raise TypeError(f"[{name}] x has dtype {x.dtype}, expected a floating one")
