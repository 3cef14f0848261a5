"""Further activations: functions of each element, and GLU, PReLU and SwiGLU."""

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.dense import Dense
from tinygrad_like.ops.elements.activation import (
    celu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from tinygrad_like.ops.neural.softmax import log_softmax


class Mish(Module):
    """y = x tanh(softplus(x)) (Misra 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        return mish(x)


class SELU(Module):
    """y = scale elu(x, alpha), which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    def forward(self, x: Tensor) -> Tensor:
        return selu(x)


class ReLU6(Module):
    """y = min(max(x, 0), 6) (Krizhevsky 2010)."""

    def forward(self, x: Tensor) -> Tensor:
        return relu6(x)


class Hardsigmoid(Module):
    """y = min(max(x + 3, 0), 6) / 6."""

    def forward(self, x: Tensor) -> Tensor:
        return hardsigmoid(x)


class Hardswish(Module):
    """y = x hardsigmoid(x) (Howard et al. 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        return hardswish(x)


class LogSigmoid(Module):
    """y = log(sigmoid(x)), without overflow."""

    def forward(self, x: Tensor) -> Tensor:
        return logsigmoid(x)


class Softsign(Module):
    """y = x / (1 + |x|)."""

    def forward(self, x: Tensor) -> Tensor:
        return softsign(x)


class Tanhshrink(Module):
    """y = x - tanh(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return tanhshrink(x)


class CELU(Module):
    """y = x above 0, alpha (exp(x / alpha) - 1) below (Barron 2017)."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = arguments.number("CELU", "alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        return celu(x, alpha=self.alpha)


class Hardshrink(Module):
    """y = x, and 0 where |x| <= lambd."""

    def __init__(self, lambd: float = 0.5):
        self.lambd = arguments.number("Hardshrink", "lambd", lambd)

    def forward(self, x: Tensor) -> Tensor:
        return hardshrink(x, self.lambd)


class Softshrink(Module):
    """y = x moved towards 0 by lambd, or to 0 where it is nearer."""

    def __init__(self, lambd: float = 0.5):
        self.lambd = arguments.number("Softshrink", "lambd", lambd)

    def forward(self, x: Tensor) -> Tensor:
        return softshrink(x, self.lambd)


class Hardtanh(Module):
    """y = x limited to the range from `min` to `max`, with gradient 0 at the limits."""

    def __init__(self, min: float = -1.0, max: float = 1.0):
        self.min = arguments.number("Hardtanh", "min", min)
        self.max = arguments.number("Hardtanh", "max", max)

    def forward(self, x: Tensor) -> Tensor:
        return hardtanh(x, min=self.min, max=self.max)


class Threshold(Module):
    """y = x above `threshold`, the number `value` elsewhere."""

    def __init__(self, threshold: float, value: float):
        self.threshold = arguments.number("Threshold", "threshold", threshold)
        self.value = arguments.number("Threshold", "value", value)

    def forward(self, x: Tensor) -> Tensor:
        return threshold(x, self.threshold, self.value)


class LogSoftmax(Module):
    """y = log(softmax(x)) along an axis."""

    def __init__(self, axis: int = -1):
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return log_softmax(x, axis=self.axis)


class PReLU(Module):
    """y = x above 0, weight x below: the slope `weight` is learned, one or one for each channel.

    x is (N, C, ...) where there are C slopes, else of any shape. The slopes start as `start`.

    Source: He et al. 2015, "Delving deep into rectifiers".
    """

    def __init__(self, channels: int = 1, start: float = 0.25):
        self.channels = arguments.integer("PReLU", "channels", channels)
        self.start = arguments.number("PReLU", "start", start)
        self.weight = init.ones(self.channels)
        self.weight.data *= self.start

    def forward(self, x: Tensor) -> Tensor:
        return prelu(like(x, self.weight), self.weight)


class GLU(Module):
    """y = a sigmoid(b) of the two halves a and b of x along an axis (Dauphin et al. 2017)."""

    def __init__(self, axis: int = -1):
        self.axis = arguments.integer("GLU", "axis", axis, -(1 << 30))

    def forward(self, x: Tensor) -> Tensor:
        return glu(x, self.axis)


class SwiGLU(Module):
    """y = (silu(x W_gate) * (x W_up)) W_down: (..., d_model) -> (..., d_ff) -> (..., d_model).

    The feed-forward layer of Llama. Source: Shazeer 2020, "GLU variants improve transformer".

    >>> import tinygrad_like as tg
    >>> tg.nn.SwiGLU(8, 16)(tg.ones((2, 3, 8))).shape
    (2, 3, 8)
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool = False):
        bias = arguments.flag("SwiGLU", "bias", bias)
        self.gate = Dense(d_model, d_ff, bias)
        self.up = Dense(d_model, d_ff, bias)
        self.down = Dense(d_ff, d_model, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(silu(self.gate(x)) * self.up(x))
